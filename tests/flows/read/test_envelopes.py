"""Flow logs inside JSON: CloudWatch Logs, Firehose, Lambda events, records as objects."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from flowlake.flows.read import NotAFlowLog
from tests.flows.read.reading import V2_LINE, read

FORMAT = "srcaddr dstaddr srcport"


def message(port: object) -> str:
    return f"10.0.0.1 10.0.0.2 {port}"


def rows(*ports: int) -> list[dict[str, object]]:
    return [{"srcaddr": "10.0.0.1", "dstaddr": "10.0.0.2", "srcport": port} for port in ports]


def subscription(*events: tuple[str, object], kind: str = "DATA_MESSAGE", stream: str = "eni-1-all") -> str:
    listed = [{"id": name, "timestamp": 0, "message": message(port)} for name, port in events]
    return json.dumps(
        {
            "messageType": kind,
            "owner": "1",
            "logGroup": "g",
            "logStream": stream,
            "subscriptionFilters": ["f"],
            "logEvents": listed,
        }
    )


CONTROL = json.dumps({"messageType": "CONTROL_MESSAGE", "logEvents": [{"id": "", "message": "CWL CONTROL MESSAGE: …"}]})


def in_base64(content: str, packed: bool = False) -> str:
    raw = content.encode()
    return base64.b64encode(gzip.compress(raw) if packed else raw).decode()


@pytest.mark.parametrize(
    "content",
    [
        subscription(("a", 1), ("b", 2)),
        subscription(("a", 1)) + subscription(("b", 2)),
        CONTROL + "\n" + subscription(("a", 1)) + "\n\n" + CONTROL + subscription(("b", 2)),
        json.dumps(json.loads(subscription(("a", 1), ("b", 2))), indent=2),
        json.dumps({"message": message(1)}) + "\n" + json.dumps({"message": message(2)}) + "\n",
        json.dumps({"message": message(1)}) + json.dumps({"message": message(2)}),
        json.dumps({"message": message(1) + "\n" + message(2) + "\n"}),
        json.dumps({"records": [{"data": in_base64(message(1))}, {"data": in_base64(message(2) + "\n")}]}),
        json.dumps({"records": [{"data": in_base64(json.dumps({"message": message(port)}))} for port in (1, 2)]}),
        json.dumps({"records": [{"data": in_base64(subscription(("a", 1), ("b", 2)), packed=True)}]}),
        json.dumps({"Records": [{"kinesis": {"data": in_base64(subscription(("a", 1), ("b", 2)), packed=True)}}]}),
        json.dumps({"awslogs": {"data": in_base64(subscription(("a", 1), ("b", 2)), packed=True)}}),
        json.dumps({"message": message(1)}) + "\n" + message(2) + "\n",
    ],
    ids=[
        "subscription",
        "behind one another",
        "control messages between",
        "pretty printed",
        "lines of messages",
        "messages without newlines",
        "two lines in one message",
        "firehose transformation of lines",
        "firehose transformation of messages",
        "firehose transformation of subscriptions",
        "kinesis event",
        "cloudwatch event",
        "a bare line among messages",
    ],
)
def test_the_same_two_records_in_whatever_envelope(content: str) -> None:
    for data in (content.encode(), gzip.compress(content.encode()), gzip.compress(gzip.compress(content.encode()))):
        for block_bytes in (16 << 20, 10):
            result = read(data, format=FORMAT, block_bytes=block_bytes)
            assert (result.rows, result.rejects) == (rows(1, 2), [])


def test_members_of_gzip_behind_one_another_as_firehose_stores_them() -> None:
    members = b"".join(gzip.compress(subscription((name, port)).encode()) for name, port in (("a", 1), ("b", 2)))
    assert read(members, format=FORMAT).rows == rows(1, 2)


def test_a_repeated_event_is_left_out_and_counted() -> None:
    twice = subscription(("a", 1), ("b", 2)) + subscription(("a", 1), ("b", 2), ("c", 3))
    for block_bytes in (16 << 20, 10):
        result = read(twice.encode(), format=FORMAT, block_bytes=block_bytes)
        assert (result.rows, result.lines) == (rows(1, 2, 3), 3)
        assert sum(block.repeated for block in result.blocks) == 2
    # Equal records with ids of their own are two records, and other streams have ids of their own.
    both = subscription(("a", 1), ("b", 1)) + subscription(("a", 1), stream="eni-2-all")
    assert read(both.encode(), format=FORMAT).rows == rows(1, 1, 1)


def test_lines_without_a_format_must_be_of_the_default() -> None:
    assert len(read(json.dumps({"message": V2_LINE}).encode()).rows) == 1
    with pytest.raises(NotAFlowLog):
        read(json.dumps({"message": message(1)}).encode())


def test_control_messages_alone_are_no_error_and_no_records() -> None:
    result = read(CONTROL.encode())
    assert (result.rows, result.rejects, result.lines) == ([], [], 0)
    assert read(CONTROL.encode(), format=FORMAT).lines == 0


def test_records_as_objects_with_typed_values() -> None:
    first: dict[str, Any] = {"srcaddr": "10.0.0.1", "src-port": 0, "srcport": 443, "bytes": 40.0, "traffic_path": "-"}
    second = {"srcaddr": "10.0.0.2", "srcport": "22", "account_id": 12345678901, "bytes": None}
    bad = [{"srcaddr": "10.0.0.3", "srcport": value} for value in (True, [1], 70000, "1.5")]
    for content in (
        json.dumps([first, second, *bad]),
        json.dumps(first) + json.dumps(second) + "\n" + "\n".join(json.dumps(item) for item in bad),
    ):
        result = read(content.encode())
        assert result.rows == [
            {"srcaddr": "10.0.0.1", "srcport": 443, "bytes": 40, "traffic_path": None, "account_id": None},
            {"srcaddr": "10.0.0.2", "srcport": 22, "bytes": None, "traffic_path": None, "account_id": "012345678901"},
        ]
        assert [reason for _, reason in result.rejects] == ["not_text", "not_text", "bad_port", "bad_number"]


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        ('{"message": "10.0.0.1 10.0.0.2', "bad_envelope"),
        ('{"message": 7}', "bad_envelope"),
        ('{"a": 1}', "bad_envelope"),
        ("[1]", "bad_envelope"),
        ("{]", "bad_envelope"),
        ("[" * 3000, "bad_envelope"),
        ('{"records": [{"data": "***"}]}', "bad_envelope"),
        ('{"records": [{"data": 5}]}', "bad_envelope"),
        ('{"records": [5]}', "bad_envelope"),
        ('{"awslogs": {"data": "' + base64.b64encode(gzip.compress(b"x")[:-4]).decode() + '"}}', "bad_envelope"),
        ('{"messageType": "DATA_MESSAGE", "logEvents": [{"id": "x"}]}', "bad_envelope"),
        ('{"messageType": "DATA_MESSAGE", "logEvents": 1}', "bad_envelope"),
        ('{"message": "10.0.0.1 \\ud800 1"}', "not_text"),
        ('{"message": "10.0.0.1 \\u0000 1"}', "not_text"),
        ('{"message": "10.0.0.1"}', "wrong_field_count"),
        ('{"message": ' + "9" * 5000 + "}", "bad_envelope"),
    ],
)
def test_what_can_not_be_opened_is_one_reject_and_the_others_are_read(piece: str, reason: str) -> None:
    for between in ("\n", ""):
        content = json.dumps({"message": message(1)}) + "\n" + piece + between + json.dumps({"message": message(2)})
        result = read(content.encode(), format=FORMAT)
        assert (result.rows, result.rejects) == (rows(1, 2), [(2, reason)])


def test_bytes_that_are_no_utf_8_are_one_reject() -> None:
    result = read(b'{"message": "10.0.0.1 \xff 1"}{"message": "' + message(2).encode() + b'"}', format=FORMAT)
    assert (result.rows, result.rejects) == (rows(2), [(1, "not_text")])


def test_a_torn_gzip_of_json_gives_its_good_part_and_one_reject() -> None:
    content = "".join(json.dumps({"message": message(port)}) for port in range(2000)).encode()
    packed = gzip.compress(content)
    for length in range(30, len(packed) - 8, 301):
        result = read(packed[:length], format=FORMAT)
        assert result.rejects == [(None, "torn_gzip")]
        assert result.rows == rows(*range(len(result.rows)))
    # Cut text that was never zipped has only its last piece to show for it.
    cut = read(content[: content.rindex(b"10.0.0.2")], format=FORMAT)
    assert [reason for _, reason in cut.rejects] == ["bad_envelope"]


def test_a_document_larger_than_what_is_read_at_once() -> None:
    many = subscription(*((str(place), place % 60000) for place in range(20_000)))
    assert len(many) > 1 << 20
    result = read((many + subscription(("last", 7))).encode(), format=FORMAT, block_bytes=1 << 16)
    assert len(result.rows) == 20_001
    assert result.rows[-1]["srcport"] == 7
