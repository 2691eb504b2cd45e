"""One object, whatever it is: headers, line ends, gzip, damage."""

from __future__ import annotations

import gzip
import io
import json
import random
from importlib.resources import files

import pytest

from flowlake.flows.read import NotAFlowLog, read_blocks
from tests.flows.read.reading import V2, V2_LINE, read

PORTS = "srcaddr dstaddr srcport\n"


def rows(*ports: int) -> list[dict[str, object]]:
    return [{"srcaddr": "10.0.0.1", "dstaddr": "10.0.0.2", "srcport": port} for port in ports]


def lines(*ports: object) -> str:
    return "".join(f"10.0.0.1 10.0.0.2 {port}\n" for port in ports)


def test_types_and_nulls() -> None:
    result = read(f"{V2}\n{V2_LINE}\n2 0012 eni-1 - - - - - - - 1431280876 1431280934 - NODATA\n".encode())
    assert result.rows[0] == {
        "version": 2,
        "account_id": "123456789010",
        "interface_id": "eni-1235b8ca123456789",
        "srcaddr": "172.31.16.139",
        "dstaddr": "172.31.16.21",
        "srcport": 20641,
        "dstport": 22,
        "protocol": 6,
        "packets": 20,
        "bytes": 4249,
        "start": 1418530010,
        "end": 1418530070,
        "action": "ACCEPT",
        "log_status": "OK",
    }
    assert result.rows[1]["srcaddr"] is None
    assert result.rows[1]["bytes"] is None
    assert result.rows[1]["account_id"] == "0012"
    types = {field.name: str(field.type) for field in result.blocks[0].records.schema}
    assert types["srcport"] == "int32"
    assert types["bytes"] == "int64"
    assert types["srcaddr"] == "dictionary<values=string, indices=int32, ordered=0>"


@pytest.mark.parametrize(
    "content",
    [
        PORTS + lines(1, 2),
        (PORTS + lines(1, 2)).rstrip("\n"),
        (PORTS + lines(1, 2)).replace("\n", "\r\n"),
        (PORTS + lines(1, 2)).replace(" ", "   "),
        (PORTS + lines(1, 2)).replace(" ", "\t"),
        (PORTS + lines(1, 2)).replace(" ", ","),
        (PORTS + lines(1, 2)).replace(" ", ", "),
        '"srcaddr","dstaddr","srcport"\n"10.0.0.1","10.0.0.2","1"\n10.0.0.1,10.0.0.2,2\n',
        "\n# flow log\n" + PORTS + "\n" + lines(1) + "\n   \n" + lines("2  # second"),
        PORTS + lines(1) + PORTS + lines(2),
        PORTS + PORTS + lines(1, 2) + PORTS,
        "\ufeff" + PORTS + lines(1, 2),
        PORTS + "2016-04-26T15:08:34.000Z " + lines(1) + "2016-04-26T15:08:35.123Z " + lines(2),
        PORTS + lines(1) + "2016-04-26T15:08:35.123Z " + lines(2),
        PORTS.replace("srcport", "src-port-made-up srcport") + lines("x 1", "y 2"),
    ],
    ids=[
        "plain",
        "no last newline",
        "crlf",
        "many spaces",
        "tabs",
        "commas",
        "commas and spaces",
        "quoted",
        "comments and blank lines",
        "header before every record",
        "headers anywhere",
        "byte order mark",
        "exported with timestamps",
        "one timestamp",
        "a field we do not know",
    ],
)
@pytest.mark.parametrize("block_bytes", [16 << 20, 20])
def test_the_same_two_records_however_they_are_written(content: str, block_bytes: int) -> None:
    for data in (content.encode(), gzip.compress(content.encode())):
        result = read(data, block_bytes=block_bytes)
        assert (result.rows, result.rejects, result.lines) == (rows(1, 2), [], 2)


@pytest.mark.parametrize("stamp", ["", "2016-04-26T15:08:34.000Z "])
@pytest.mark.parametrize("separator", [" ", ","])
def test_headerless_lines_by_a_given_format(separator: str, stamp: str) -> None:
    content = (stamp + lines(1)).replace(" ", separator) + (stamp + lines("x")).replace(" ", separator)
    result = read(content.encode(), format="${srcaddr} ${dstaddr} ${srcport}")
    assert (result.rows, result.rejects) == (rows(1), [(2, "bad_number")])


def test_a_header_goes_before_a_given_format() -> None:
    result = read((PORTS + lines(1)).encode(), format="dstaddr srcaddr srcport")
    assert result.rows == rows(1)


def test_lines_of_the_default_format_need_no_header() -> None:
    other = V2_LINE.replace("2 1234", "3 1234", 1)
    result = read(f"# from CloudWatch\n{V2_LINE}\n{other}\n{V2_LINE} x\n".encode(), columns=["bytes"])
    assert result.rows == [{"bytes": 4249}]
    # Fourteen values are not enough: these may be of any custom format.
    assert result.rejects == [(3, "unknown_format"), (4, "wrong_field_count")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"Phony unsupported log format.\n",
        b"a b c d e f g h i j k l m n\n",
        V2_LINE.replace("2 1234", "3 1234", 1).encode(),
        V2_LINE.replace("ACCEPT", "6").encode(),
        b"\x00\xff\x00" * 100,
        b'{"a": 1}',
        b"[1, 2, 3]",
        b"{" * 5000,
        b"[" * 5000,
        gzip.compress(b"hello\n"),
    ],
)
def test_what_is_no_flow_log_at_all_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(NotAFlowLog, match="test"):
        read(content)


def test_lines_before_the_header_are_rejects() -> None:
    result = read(("hello\n\xff\n" + PORTS + lines(1)).encode("latin-1"))
    assert (result.rows, result.rejects) == (rows(1), [(1, "unknown_format"), (2, "not_text")])


def test_a_header_alone_is_an_empty_flow_log() -> None:
    (block,) = read(PORTS.encode()).blocks
    assert (block.lines, block.fields, block.records.num_rows) == (0, ("srcaddr", "dstaddr", "srcport"), 0)


def test_a_good_header_with_only_bad_lines_is_still_a_flow_log() -> None:
    result = read(f"{V2}\n2 12345678910 eni-1 - - - - - - - 1742570089 1742570142 -".encode())
    assert (result.rows, result.rejects) == ([], [(2, "wrong_field_count")])


def test_a_header_of_other_fields_changes_the_format_from_there_on() -> None:
    content = PORTS + lines(1, 2) + "dstaddr srcaddr dstport\n" + "10.0.0.2 10.0.0.1 3\n" * 2 + PORTS + lines(4)
    result = read(content.encode())
    assert result.rows == [
        *rows(1, 2),
        *[{"dstaddr": "10.0.0.2", "srcaddr": "10.0.0.1", "dstport": 3}] * 2,
        *rows(4),
    ]
    assert [block.fields[2] for block in result.blocks] == ["srcport", "dstport", "srcport"]


def test_line_numbers_are_those_of_the_inflated_object() -> None:
    content = "# comment\n" + PORTS + lines(1) + "\n" + lines("x", 2) + PORTS + lines("y")
    for block_bytes in (16 << 20, 30):
        assert read(content.encode(), block_bytes=block_bytes).rejects == [(5, "bad_number"), (8, "bad_number")]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"srcaddr": "10.0.0.256"}, "bad_address"),
        ({"dstaddr": "10.0.0"}, "bad_address"),
        ({"dstaddr": "fe80::1%eth0"}, "bad_address"),
        ({"srcport": "65536"}, "bad_port"),
        ({"dstport": "-1"}, "bad_port"),
        ({"protocol": "256"}, "bad_protocol"),
        ({"packets": "-1"}, "negative_number"),
        ({"bytes": str(2**50 + 1)}, "impossible_amount"),
        ({"packets": str(2**63 - 1)}, "impossible_amount"),
        ({"bytes": "0x10"}, "bad_number"),
        ({"bytes": "1.5"}, "bad_number"),
        ({"bytes": "9223372036854775808"}, "bad_number"),
        ({"version": "two"}, "bad_number"),
        ({"start": "-1"}, "bad_time"),
        ({"end": "1418530070000000"}, "bad_time"),
        ({"start": "1418530071"}, "ends_before_start"),
        ({"action": "DROP"}, "bad_action"),
        ({"action": "accept"}, "bad_action"),
        ({"log-status": "BAD"}, "bad_log_status"),
        ({"interface-id": "eni-\x07"}, "not_text"),
        ({"interface-id": "eni-" + "x" * 70000}, "line_too_long"),
    ],
)
def test_rejects_say_why(values: dict[str, str], reason: str) -> None:
    good = dict(zip(V2.split(), V2_LINE.split(), strict=True))
    bad = " ".join({**good, **values}.values())
    result = read(f"{V2}\n{V2_LINE}\n{bad}\n{V2_LINE}\n".encode())
    assert result.rejects == [(3, reason)]
    assert result.texts == [bad[:1000]]
    assert len(result.rows) == 2
    assert reason in json.loads(files("flowlake.flows").joinpath("reject_reasons.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "values",
    [
        {"account-id": "unknown"},
        {"account-id": "64111117617"},
        {"srcaddr": "1.128.0.0", "dstaddr": "2a02:cf40::"},
        {"log-status": "NODATA", "protocol": "8080"},
        {"start": "164000066"},
        {"action": "-"},
        {"log-status": "-"},
        {"start": "1418530070"},
    ],
)
def test_odd_but_real_values_are_read(values: dict[str, str]) -> None:
    good = dict(zip(V2.split(), V2_LINE.split(), strict=True))
    result = read(f"{V2}\n{' '.join({**good, **values}.values())}\n".encode())
    (row,) = result.rows
    for name, value in values.items():
        read_value = row[name.replace("-", "_")]
        assert read_value == (None if value == "-" else type(read_value)(value))


def test_wanted_columns_alone_are_read_and_checked() -> None:
    content = "srcaddr log-status protocol srcport\n10.0.0.1 NODATA 999 x\nnowhere OK 999 22\n10.0.0.1 OK 6 22\n"
    assert read(content.encode(), columns=["srcaddr"]).rows == [{"srcaddr": "10.0.0.1"}] * 2
    # The protocol of a line without data may be anything, so the log status is looked at though nobody asked for it.
    result = read(content.encode(), columns=["protocol", "vpc_id"])
    assert (result.rows, result.rejects) == ([{"protocol": 999}, {"protocol": 6}], [(3, "bad_protocol")])
    nothing = read(content.encode(), columns=["vpc_id"])
    assert (nothing.rows, nothing.lines) == ([{}] * 3, 3)


def test_all_members_of_a_gzip_are_read() -> None:
    members = gzip.compress((PORTS + lines(1)).encode()) + gzip.compress(b"") + gzip.compress(lines(2).encode())
    assert read(members).rows == rows(1, 2)
    assert read(members + bytes(512)).rejects == []
    assert read(gzip.compress(members)).rows == rows(1, 2)


def test_a_torn_gzip_gives_its_good_part_and_one_reject() -> None:
    content = (PORTS + lines(*range(1000))).encode()
    packed = gzip.compress(content)
    for length in range(2, len(packed), 97):
        result = read(packed[:length])
        assert [reason for _, reason in result.rejects] == ["torn_gzip"]
        assert result.rejects[0][0] is None
        assert result.rows == rows(*range(len(result.rows)))
        assert result.blocks[-1].torn
    # Half a line may look whole ("10.0.0.1 10.0.0.2 99" of 999): it goes to the reject, not to the records.
    assert len(read(packed[:-8]).rows) in (999, 1000)


def test_bytes_behind_a_gzip_and_a_wrong_checksum_are_damage() -> None:
    packed = gzip.compress((PORTS + lines(1)).encode())
    assert read(packed + b"tail").rejects == [(None, "torn_gzip")]
    assert read(packed + b"tail").rows == rows(1)
    assert read(packed[:-8] + b"\0\0\0\0" + packed[-4:]).rejects == [(None, "torn_gzip")]


def test_memory_is_bounded_by_the_block_not_by_the_object() -> None:
    class Endless(io.RawIOBase):
        """A gigabyte of log, or of one line, made as it is read."""

        def __init__(self, head: bytes, piece: bytes) -> None:
            self.left = 1 << 30
            self.head, self.piece = head, piece

        def read(self, size: int = -1) -> bytes:
            if self.head:
                taken, self.head = self.head[:size], self.head[size:]
                return taken
            self.left -= len(self.piece)
            return self.piece if self.left > 0 else b""

    blocks = read_blocks(Endless(PORTS.encode(), lines(1).encode() * 1000), "endless", block_bytes=1 << 20)  # type: ignore[arg-type]
    first = [next(blocks).records.num_rows for _ in range(3)]
    assert all(0 < count < 100_000 for count in first)
    one_line = read_blocks(Endless(PORTS.encode(), b"x" * (1 << 20)), "one line", block_bytes=1 << 20)  # type: ignore[arg-type]
    (reject,) = [reject for block in one_line for reject in block.rejects.to_pylist()]
    assert (reject["line"], reject["reason"], len(reject["text"])) == (2, "line_too_long", 1000)


def test_many_changes_of_format_cost_no_more_than_their_lines() -> None:
    turns = ("dstaddr srcport\n10.0.0.2 1\n" + "srcport dstaddr\n1 10.0.0.2\n") * 1500
    result = read(turns.encode())
    assert result.rows == [{"dstaddr": "10.0.0.2", "srcport": 1}] * 3000


@pytest.mark.parametrize("seed", range(20))
def test_arbitrary_bytes_never_break_the_reader(seed: int) -> None:
    chance = random.Random(seed)
    heads = [b"", b"\x1f\x8b\x08", b"PAR1", b"{", b'{"message": "', b"[", PORTS.encode(), V2.encode() + b"\n"]
    for head in heads:
        content = head + chance.randbytes(chance.randrange(3000))
        for format in (None, V2):
            try:
                read(content, format=format, block_bytes=chance.choice([64, 1 << 20]))
            except NotAFlowLog:
                assert format is None or head == b"PAR1"
