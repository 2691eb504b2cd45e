"""Splitting a block in one pass: the same values as Python's own splitting and reading gives, however many lines."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.read.split import NUMBER_32, NUMBER_64, SKIPPED, TEXT, count_lines, split

KINDS = [("a", TEXT), ("b", NUMBER_64), ("-", SKIPPED), ("c", NUMBER_32), ("d", TEXT)]
ROW = st.tuples(
    st.text("abc-", max_size=40),
    st.one_of(st.integers(-(10**18) + 1, 10**18 - 1), st.integers(-200, 200)),
    st.text("xyz", max_size=70),
    st.integers(-(2**31) + 1, 2**31 - 1),
    st.sampled_from(["", "-", "--", "x" * 16, "x" * 17, "x" * 24, "x" * 25, "eni-0", "eni-1", "abcdefgh", "abcdefghi"]),
)


def columns(lines: list[str], separator: str, begin: int = 0, longest: int = 1 << 16) -> dict[str, list] | None:
    text = "?" * begin + "".join(line + "\n" for line in lines)
    found = split(text.encode(), separator.encode(), KINDS, longest, tidied=False, begin=begin)
    if found is None:
        return None
    told = {name: column.to_pylist() for name, column in found.columns.items()}
    return told | {"places": found.places.tolist(), "doubtful": found.doubtful.tolist(), "lines": [found.lines]}


def said(text: str) -> str | None:
    return None if text in ("", "-") else text


@given(st.lists(ROW, max_size=60), st.sampled_from([0, 1, 100]), st.booleans())
@settings(deadline=None)
def test_values_are_what_python_splits(rows: list[tuple], begin: int, comma: bool) -> None:
    separator = "," if comma else " "
    if not comma:
        rows = [(a or "-", b, c or "-", d, e or "-") for a, b, c, d, e in rows]
    lines = [separator.join(map(str, row)) for row in rows]
    assert columns(lines, separator, begin) == {
        "a": [said(row[0]) for row in rows],
        "b": [row[1] for row in rows],
        "c": [row[3] for row in rows],
        "d": [said(row[4]) for row in rows],
        "places": list(range(len(rows))),
        "doubtful": [],
        "lines": [len(rows)],
    }


def test_thousands_of_distinct_texts_keep_apart() -> None:
    """The tables of texts grow; texts that agree in their first sixteen bytes, or in their length, are others."""
    rng = random.Random(1)
    texts = [f"subnet-0123456789{n:x}" for n in range(3000)] + [f"{n}" for n in range(3000)]
    texts += ["a" * n for n in range(1, 100)] + ["a" * n + "b" for n in range(100)]
    rows = [(rng.choice(texts), rng.choice(texts)) for _ in range(20_000)]
    found = columns([f"{a} 1 x 2 {d}" for a, d in rows], " ")
    assert found is not None
    assert found["a"] == [a for a, _ in rows]
    assert found["d"] == [d for _, d in rows]


@pytest.mark.parametrize(
    "number",
    ["1.0", "+1", "--1", "1-", "a", "12345678a", "a12345678", "1234567a9", "1" * 19, "1" * 17 + "/", ":" + "1" * 16],
)
def test_what_is_no_plain_number_makes_a_doubtful_line(number: str) -> None:
    found = columns([f"a {n} x 1 b" for n in ("5", number, "-", "-7")], " ")
    assert found is not None
    assert (found["b"], found["places"], found["doubtful"]) == ([5, None, -7], [0, 2, 3], [1])


def test_a_number_of_32_bits_may_not_be_greater() -> None:
    values = [2**31 - 1, 2**31, -(2**31) + 1, -(2**31), 10**12]
    found = columns([f"a 1 x {value} b" for value in values], " ")
    assert found is not None
    assert (found["c"], found["doubtful"]) == ([values[0], values[2]], [1, 3, 4])


@pytest.mark.parametrize("fields", [1, 4, 6, 7, 80, 300])
def test_lines_of_another_number_of_values_are_doubtful(fields: int) -> None:
    good = "a 1 x 1 b"
    found = columns([good, " ".join(["1"] * fields), good], " ")
    assert found is not None
    assert (found["a"], found["places"], found["doubtful"]) == (["a", "a"], [0, 2], [1])


@pytest.mark.parametrize("place", [0, 1, 5, 40])
@pytest.mark.parametrize(
    "line",
    [
        "",
        " a 1 x 1 b",
        "a 1 x 1 b ",
        "a  1 x 1 b",
        "a\t1 x 1 b",
        "a 1 x 1 b\r",
        "ä 1 x 1 b",
        "a 1 x 1 #b",
        "\0 1 x 1 b",
    ],
)
def test_what_tidying_would_change_is_seen_wherever_it_stands(line: str, place: int) -> None:
    lines = ["some 10 text 5 here"] * 40
    lines.insert(place, line)
    assert columns(lines, " ") is None


def test_two_spaces_around_the_sixty_fourth_byte_are_seen() -> None:
    for before in range(50, 80):
        assert columns(["x" * before + "  1 x 1 b"], " ") is None
        assert columns(["x" * before + " 1 x 1 b"], " ") is not None


def test_a_line_that_is_too_long_is_one_to_be_tidied() -> None:
    assert columns(["x" * 92 + " 1 x 1 b"], " ", longest=100) is not None
    assert columns(["x" * 93 + " 1 x 1 b"], " ", longest=100) is None


@given(st.text("ab\n", max_size=300), st.integers(0, 100))
def test_lines_are_counted(text: str, begin: int) -> None:
    begin = min(begin, len(text))
    assert count_lines(text.encode(), begin) == text.count("\n", begin)
