"""Flow logs inside JSON: CloudWatch Logs, Firehose, Lambda events, records as objects."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pytest

from flowlake.flows.read import LogGroup, NotAFlowLog, read_events
from tests.flows.read.reading import V2_LINE, read

FORMAT = "srcaddr dstaddr srcport"


def message(port: object) -> str:
    return f"10.0.0.1 10.0.0.2 {port}"


def rows(*ports: int) -> list[dict[str, object]]:
    return [{"srcaddr": "10.0.0.1", "dstaddr": "10.0.0.2", "srcport": port} for port in ports]


def subscription(
    *events: tuple[str, object], kind: str = "DATA_MESSAGE", stream: str = "eni-1-all", group: str = "g"
) -> str:
    listed = [{"id": name, "timestamp": 0, "message": message(port)} for name, port in events]
    return json.dumps(
        {
            "messageType": kind,
            "owner": "1",
            "logGroup": group,
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
    # An id with another message is no event of CloudWatch's: nothing is lost for it.
    other = subscription(("a", 1), ("a", 2), ("a", 1))
    assert read(other.encode(), format=FORMAT).rows == rows(1, 2)


def test_an_object_of_repeated_events_alone_tells_how_many() -> None:
    result = read(subscription(("a", 1), ("b", 2)).encode(), format=FORMAT, repeats=[0, 1])
    assert (result.rows, result.lines, [block.repeated for block in result.blocks]) == ([], 0, [2])
    assert [block.group for block in result.blocks] == [LogGroup("1", "g")]


def test_events_are_left_out_by_the_places_that_are_told() -> None:
    """Places are those of read_events: over all groups and documents, also in base64, of events that have an id."""
    without_id = json.loads(subscription(("a", 0)))
    del without_id["logEvents"][0]["id"]
    content = (
        CONTROL
        + subscription(("a", 1), ("b", 2))
        + json.dumps(without_id)
        + json.dumps({"message": message(9)})
        + json.dumps({"records": [{"data": in_base64(subscription(("a", 1), ("c", 3), group="h"), packed=True)}]})
    )
    (digests,) = read_events(io.BytesIO(gzip.compress(content.encode())))
    assert digests.shape == (4, 2)
    assert len({tuple(row) for row in digests.tolist()}) == 4  # the same id in another log group is another event
    result = read(content.encode(), format=FORMAT, repeats=[1, 2])
    assert sorted(row["srcport"] for row in result.rows) == [0, 1, 3, 9]
    # Told that none is to be left out, none is.
    twice = subscription(("a", 1), ("a", 1))
    assert read(twice.encode(), format=FORMAT, repeats=[]).rows == rows(1, 1)
    (same,) = read_events(io.BytesIO(twice.encode()))
    assert same[0].tolist() == same[1].tolist()


def test_an_object_without_events_at_its_begin_is_not_read_on() -> None:
    messages = (json.dumps({"message": message(1)}) + "\n") * 100_000
    stream = io.BytesIO((messages + subscription(("a", 1))).encode())
    assert list(read_events(stream)) == []
    assert stream.tell() < 2 << 20
    assert list(read_events(io.BytesIO(V2_LINE.encode()))) == []
    near = (json.dumps({"message": message(1)}) + "\n") * 1000 + subscription(("a", 1))
    assert [len(digests) for digests in read_events(io.BytesIO(near.encode()))] == [1]


def test_each_log_group_has_blocks_of_its_own() -> None:
    """Groups g and h take turns, h in another format, with a header; an event lost of h is h's."""
    broken = json.loads(subscription(("x", 1), group="h"))
    broken["logEvents"] = [7]
    header = json.loads(subscription(("h", 0), group="h"))
    header["logEvents"][0]["message"] = "srcport srcaddr"
    line_of_h = json.loads(subscription(("i", 0), group="h"))
    line_of_h["logEvents"][0]["message"] = "5 10.0.0.9"
    parts = [subscription(("a", 1)), *map(json.dumps, (header, line_of_h, broken)), subscription(("b", 2))]
    parts.append(json.dumps({"message": message(3)}))
    for block_bytes in (16 << 20, 10):
        result = read("".join(parts).encode(), format=FORMAT, block_bytes=block_bytes)
        by_group: dict[object, list[object]] = {}
        for block in result.blocks:
            found = [row["srcport"] for row in block.records.to_pylist()] + block.rejects["reason"].to_pylist()
            by_group.setdefault(block.group, []).extend(found)
        assert {group: sorted(map(str, found)) for group, found in by_group.items()} == {
            LogGroup("1", "g"): ["1", "2"],
            LogGroup("1", "h"): ["5", "bad_envelope"],
            None: ["3"],
        }


def test_a_log_group_of_unknown_format_is_rejects_beside_one_that_can_be_read() -> None:
    """Whichever comes first. Where none can be read the object is no flow log."""
    known = json.loads(subscription(("a", 1), group="known"))
    known["logEvents"][0]["message"] = V2_LINE
    both = [json.dumps(known), subscription(("a", 1), group="other")]
    for parts in (both, both[::-1]):
        result = read("".join(parts).encode())
        assert (len(result.rows), result.rejects) == (1, [(1, "unknown_format")])
        assert {block.group.name for block in result.blocks if block.group and block.rejects.num_rows} == {"other"}
    with pytest.raises(NotAFlowLog):
        read(both[1].encode())


@pytest.mark.parametrize(
    ("owner", "name", "group"),
    [
        ("1", "/vpc/flow.logs_#-1", LogGroup("1", "/vpc/flow.logs_#-1")),
        (7, "g", LogGroup("", "g")),
        ("1", None, None),
        ("1", "", None),
        ("1", "no\ud800name", None),
        ("1", "g" * 513, None),
    ],
)
def test_a_group_is_what_cloudwatch_can_have_named_so(owner: object, name: object, group: LogGroup | None) -> None:
    document = json.loads(subscription(("a", 1))) | {"owner": owner, "logGroup": name}
    result = read(json.dumps(document).encode(), format=FORMAT)
    assert [(block.group, block.records.num_rows) for block in result.blocks] == [(group, 1)]


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
    second_row = {"srcaddr": "10.0.0.2", "srcport": 22, "account_id": "012345678901", "bytes": None}
    bad = [{"srcaddr": "10.0.0.3", "srcport": value} for value in (True, [1], 70000, "1.5")]
    for content in (
        json.dumps([first, second, *bad]),
        json.dumps(first) + json.dumps(second) + "\n" + "\n".join(json.dumps(item) for item in bad),
    ):
        result = read(content.encode())
        assert result.rows == [
            {"srcaddr": "10.0.0.1", "srcport": 443, "bytes": 40, "traffic_path": None},
            second_row,
        ]
        assert [reason for _, reason in result.rejects] == ["not_text", "not_text", "bad_port", "bad_number"]


def test_records_as_objects_of_other_keys_are_of_another_format_however_they_are_cut() -> None:
    """Keys a and b take turns; b's second is bad, and a's third. The order of keys makes no format."""
    a = [{"srcaddr": f"10.0.0.{place}", "srcport": port} for place, port in enumerate((1, 2, "x"))]
    b = [{"tgw-id": "tgw-1", "bytes": amount} for amount in (5, -1, 7)]
    b[2] = dict(reversed(b[2].items()))
    content = "\n".join(json.dumps(item) for pair in zip(a, b, strict=True) for item in pair)
    for block_bytes in (16 << 20, 100, 10):
        result = read(content.encode(), block_bytes=block_bytes)
        by_format: dict[object, list[object]] = {}
        for block in result.blocks:
            by_format.setdefault((block.kind, block.fields), []).extend(block.records.to_pylist())
        assert by_format == {
            ("vpc", ("srcaddr", "srcport")): [
                {"srcaddr": "10.0.0.0", "srcport": 1},
                {"srcaddr": "10.0.0.1", "srcport": 2},
            ],
            ("transit_gateway", ("tgw_id", "bytes")): [
                {"tgw_id": "tgw-1", "bytes": 5},
                {"tgw_id": "tgw-1", "bytes": 7},
            ],
        }
        assert result.rejects == [(4, "negative_number"), (5, "bad_number")]


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
        ('{"messageType": 1, "owner": "", "logGroup": "", "logStream": "", "logEvents": [{"id": x', "bad_envelope"),
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


def test_a_torn_subscription_gives_its_whole_events_and_one_reject() -> None:
    """Also one on many lines. Events are numbered alike where they are listed and where they are left out."""
    whole = subscription(*((str(place), place) for place in range(500)))
    for content in (whole, json.dumps(json.loads(whole), indent=1), whole + whole):
        packed = gzip.compress(content.encode())
        for length in range(300, len(packed) - 8, 517):
            torn = packed[:length]
            result = read(torn, format=FORMAT)
            assert result.rejects == [(None, "torn_gzip")]
            assert result.rows == rows(*range(len(result.rows)))
            assert [block.group for block in result.blocks if block.lines] == [LogGroup("1", "g")]
            listed = sum(len(digests) for digests in read_events(io.BytesIO(torn)))
            assert listed == len(result.rows) + sum(block.repeated for block in result.blocks)
            but_one = read(torn, format=FORMAT, repeats=[listed - 1])
            assert len(but_one.rows) == listed - 1
    # All but the last brackets came, and all but half an event, which is what the reject shows.
    events = json.dumps([json.loads(whole)["logEvents"][499]])[1:-1]
    assert read(whole[: -len("]}")].encode(), format=FORMAT).rejects == [(1, "bad_envelope")]
    cut = read(whole[: whole.rindex("10.0.0.1")].encode(), format=FORMAT)
    assert (cut.rows, cut.rejects) == (rows(*range(499)), [(1, "bad_envelope")])
    assert events.startswith(cut.texts[0])


@pytest.mark.parametrize("late", ["owner", "logGroup", "logStream", "messageType"])
def test_events_of_a_torn_subscription_are_read_only_where_it_is_said_before_whose_they_are(late: str) -> None:
    document = json.loads(subscription(("a", 1), ("b", 2)))
    document[late] = document.pop(late)
    result = read(json.dumps(document)[:-5].encode(), format=FORMAT)
    assert (result.rows, result.rejects) == ([], [(1, "bad_envelope")])


def test_a_subscription_that_is_broken_gives_its_events_before_that() -> None:
    broken = subscription(("a", 1), ("b", 2), ("c", 3)).replace('{"id": "b"', '{"id": b')
    for between in ("", "\\n"):
        result = read((broken + between + subscription(("d", 4))).encode(), format=FORMAT)
        assert (result.rows, result.rejects) == (rows(1, 4), [(1, "bad_envelope")])


def test_a_document_larger_than_what_is_read_at_once() -> None:
    many = subscription(*((str(place), place % 60000) for place in range(20_000)))
    assert len(many) > 1 << 20
    result = read((many + subscription(("last", 7))).encode(), format=FORMAT, block_bytes=1 << 16)
    assert len(result.rows) == 20_001
    assert result.rows[-1]["srcport"] == 7
