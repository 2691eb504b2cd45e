"""The fast way and the careful way of reading lines give the same rows, whatever the lines are."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.read.formats import FIELD_TYPES, V2_DEFAULT, VPC_FIELDS, Format, parse_format
from flowlake.flows.read.text import COMMA, SPACE, Layout, Lines, Part, read_lines

ADDRESSES = [
    "10.0.0.1",
    "172.31.16.139",
    "2001:db8::1",
    "::ffff:1.2.3.4",
    "1.2.3",
    "01.2.3.4",
    "1.2.3.256",
    "fe80::1%1",
]
NUMBERS = ["0", "1", "6", "22", "255", "256", "65535", "65536", "2147483647", "2147483648", "9223372036854775807"]
ODD_NUMBERS = ["-1", "+1", "007", "0x1F", "0X1f", "-0x1", "1.0", "1e3", "1_0", "9223372036854775808", "²", "-0", "NaN"]
TIMES = ["1418530010", "1418530070", "253402300800", "0", "-5"]
WORDS = [
    "ACCEPT",
    "REJECT",
    "accept",
    "OK",
    "NODATA",
    "SKIPDATA",
    "S3",
    "eni-0",
    "-",
    "None",
    "null",
    '"',
    '"a',
    "#",
    "a#",
]
NAMES = [*VPC_FIELDS, "account-id", "tgw-id", "made-up"]
STAMPS = ["2016-04-26T15:08:34.000Z", "2016-04-26T15:08:34+00:00"]

token = st.sampled_from([*ADDRESSES, *NUMBERS, *ODD_NUMBERS, *TIMES, *WORDS, *NAMES, *STAMPS])


def likely(field: str) -> st.SearchStrategy[str]:
    """Mostly a good value of the field, so that a line of thirty values often has only one bad one."""
    if field.endswith("addr"):
        good = st.sampled_from(ADDRESSES[:4])
    elif field == "version":
        good = st.just("2")
    elif field in ("start", "end"):
        good = st.sampled_from(TIMES[:2])
    elif FIELD_TYPES.get(field) in ("int", "bigint"):
        good = st.sampled_from(NUMBERS[:5])
    else:
        good = st.sampled_from({"action": WORDS[:2], "log_status": WORDS[3:6]}.get(field, ["eni-0", "S3", "x"]))
    return st.one_of(good, good, good, good, good, good, good, st.just("-"), token)


@st.composite
def formats(draw: st.DrawFn) -> Format:
    names = draw(st.lists(st.sampled_from(sorted(FIELD_TYPES)), min_size=1, max_size=12, unique=True))
    if draw(st.booleans()):
        names.insert(draw(st.integers(0, len(names))), "made_up")
    return Format(tuple(names))


@st.composite
def line(draw: st.DrawFn, form: Format, separator: bytes) -> bytes:
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return draw(st.binary(max_size=40))
    if kind == 1:
        fields = draw(st.sampled_from([form.fields, form.fields[::-1], form.fields[:1], ("srcaddr", "dstaddr")]))
        return separator.join(field.replace("_", "-").encode() for field in fields)
    tokens = [draw(likely(field)) for field in form.fields]
    if kind == 2:
        tokens.insert(draw(st.integers(0, len(tokens))), draw(token))
    if kind == 3:
        tokens.insert(0, draw(st.sampled_from(STAMPS)))
    if kind == 4:
        tokens.pop()
    text = separator.join(item.encode() for item in tokens)
    if kind == 5:
        text = text.replace(
            separator, draw(st.sampled_from([b"  ", b"\t", b", ", b",", b" "])), draw(st.integers(1, 3))
        )
    if kind == 6:
        text = draw(st.sampled_from([b" ", b"\xef\xbb\xbf", b"# ", b"\0"])) + text
    if kind == 7:
        text += draw(st.sampled_from([b" ", b"\r", b" # said so", b"#", b"\r\r", b"\x1f", b"\xff", "ä".encode()]))
    if kind == 8:
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.binary(min_size=1, max_size=2)) + text[place + 1 :]
    return text


@st.composite
def cases(draw: st.DrawFn) -> tuple[bytes, Layout, list[str] | None]:
    assumed = draw(st.integers(0, 5)) == 0
    form = V2_DEFAULT if assumed else draw(formats())
    separator = SPACE if assumed else draw(st.sampled_from([SPACE, SPACE, COMMA]))
    layout = Layout(form, separator, draw(st.sampled_from([False, False, True])), assumed)
    rows = draw(st.lists(line(form, separator), max_size=8))
    wanted = draw(st.one_of(st.none(), st.lists(st.sampled_from(form.fields), max_size=4)))
    return b"".join(row.replace(b"\n", b" ") + b"\n" for row in rows), layout, wanted


def shown(part: Part) -> Any:
    rest = None if part.rest is None else (part.rest.content, [part.rest.number(0)] if part.rest.size else [])
    return (
        part.records.to_pylist(),
        part.records.schema,
        part.records.num_rows,
        part.rejects,
        part.lines,
        rest,
        part.next_layout,
    )


@settings(max_examples=300, deadline=None)
@given(cases())
def test_fast_and_careful_reading_agree(case: tuple[bytes, Layout, list[str] | None]) -> None:
    data, layout, wanted = case
    fast = read_lines(Lines(data, 1), layout, wanted)
    careful = read_lines(Lines(data, 1), layout, wanted, careful=True)
    assert shown(fast) == shown(careful)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_line_is_a_record_or_a_reject(case: tuple[bytes, Layout, list[str] | None]) -> None:
    data, layout, wanted = case
    lines = Lines(data, 1)
    seen = 0
    while True:
        part = read_lines(lines, layout, wanted)
        assert part.lines == part.records.num_rows + len(part.rejects)
        assert part.records.schema.names == list(part.layout.format.readable(wanted))
        seen += part.lines
        if part.rest is None or part.next_layout is None:
            break
        lines, layout = part.rest, part.next_layout
    assert seen <= data.count(b"\n")


def test_doubtful_lines_among_many_good_ones() -> None:
    layout = Layout(parse_format("srcaddr srcport log-status"))
    rows = [f"10.0.0.{place % 200} {place} OK" for place in range(2000)]
    rows[700] = rows[700] + " x"
    rows[1500] = "nowhere 1 OK"
    rows[1900] = "10.0.0.1"
    data = "".join(row + "\n" for row in rows).encode()
    part = read_lines(Lines(data, 1), layout)
    assert [(reject.line, reject.reason) for reject in part.rejects] == [
        (701, "wrong_field_count"),
        (1501, "bad_address"),
        (1901, "wrong_field_count"),
    ]
    assert shown(part) == shown(read_lines(Lines(data, 1), layout, careful=True))
    assert [column.num_chunks for column in part.records.columns] == [1, 1, 1]


def test_a_header_is_seen_where_no_column_that_is_read_has_rules() -> None:
    layout = Layout(Format(("made_up", "account_id")))
    part = read_lines(Lines(b"a 1\nmade-up account-id\nb 2\naccount-id made-up\nc 3\n", 1), layout)
    assert part.records.to_pylist() == [{"account_id": "1"}, {"account_id": "2"}]
    assert part.next_layout == Layout(Format(("account_id", "made_up")))


def test_a_block_with_one_bad_number_keeps_its_other_lines() -> None:
    layout = Layout(parse_format("srcaddr srcport bytes"))
    data = b"10.0.0.1 22 100\n10.0.0.2 2x 200\n10.0.0.3 65536 300\n10.0.0.4 23 400\n"
    part = read_lines(Lines(data, 1), layout)
    assert part.records.to_pylist() == [
        {"srcaddr": "10.0.0.1", "srcport": 22, "bytes": 100},
        {"srcaddr": "10.0.0.4", "srcport": 23, "bytes": 400},
    ]
    assert [(reject.line, reject.reason) for reject in part.rejects] == [(2, "bad_number"), (3, "bad_port")]
    # No value of a rejected line stays in a dictionary: the next steps work on these values.
    assert part.records["srcaddr"].chunk(0).dictionary.to_pylist() == ["10.0.0.1", "10.0.0.4"]
