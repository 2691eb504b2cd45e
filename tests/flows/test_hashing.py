"""Distinct combinations: the first row of each in order of first sight, and for each row its number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.hashing import distinct


def test_distinct_combinations_are_numbered_in_order_of_first_sight() -> None:
    interface = np.array([7, 3, 7, 3, 7], dtype=np.int32)
    address = np.array([2**64 - 1, 0, 2**64 - 1, 1, 0], dtype=np.uint64)
    first, number = distinct(interface, address)
    assert first.tolist() == [0, 1, 3, 4]
    assert number.tolist() == [0, 1, 0, 2, 3]


def test_no_rows_have_no_combinations() -> None:
    first, number = distinct(np.zeros(0, np.int64), np.zeros(0, np.bool_))
    assert (first.tolist(), number.tolist()) == ([], [])


@pytest.mark.parametrize("columns", [(), (np.zeros(2, np.int64), np.zeros(3, np.int64))])
def test_columns_must_be_of_one_length(columns: tuple) -> None:
    with pytest.raises(ValueError, match="one length"):
        distinct(*columns)


def test_floats_are_not_told_apart() -> None:
    with pytest.raises(TypeError, match="float64"):
        distinct(np.zeros(2))


# Small values meet often, the ends of the range are where words of several widths could be mixed up.
SIGNED = st.one_of(st.integers(-2, 2), st.sampled_from([-(2**63), 2**63 - 1]))
UNSIGNED = st.one_of(st.integers(0, 2), st.just(2**64 - 1))


@given(st.lists(st.tuples(SIGNED, UNSIGNED, st.booleans(), st.integers(-128, 127)), max_size=200))
def test_distinct_is_what_a_dictionary_says(rows: list[tuple]) -> None:
    columns = [
        np.array([row[i] for row in rows], dtype=type_)
        for i, type_ in enumerate((np.int64, np.uint64, np.bool_, np.int8))
    ]
    numbers: dict[tuple, int] = {}
    expected = [numbers.setdefault(row, len(numbers)) for row in rows]
    first, number = distinct(*columns)
    assert number.tolist() == expected
    assert [rows[i] for i in first.tolist()] == list(numbers)
