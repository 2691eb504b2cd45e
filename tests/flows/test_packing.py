"""Columns packed into words: rows are told apart by the words just as by the columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.packing import packed

SIGNED = st.one_of(st.integers(-2, 2), st.sampled_from([-(2**63), 2**63 - 1]))
UNSIGNED = st.one_of(st.integers(0, 2), st.just(2**64 - 1))
ROW = st.tuples(SIGNED, UNSIGNED, st.booleans(), st.integers(-128, 127), st.integers(0, 3))


@given(st.lists(ROW, min_size=1, max_size=50))
def test_words_are_equal_where_all_columns_are(rows: list[tuple]) -> None:
    types = (np.int64, np.uint64, np.bool_, np.int8, np.uint8)
    words = packed(np.array([row[i] for row in rows], dtype=type_) for i, type_ in enumerate(types))
    numbers: dict[tuple, int] = {}
    by_columns = [numbers.setdefault(row, len(numbers)) for row in rows]
    numbers = {}
    by_words = [numbers.setdefault(row, len(numbers)) for row in zip(*(w.tolist() for w in words), strict=True)]
    assert by_words == by_columns


def test_narrow_columns_share_a_word() -> None:
    """Two bits and one, and none for what is the same everywhere."""
    words = packed([np.array([-1, 2]), np.array([True, False]), np.array([7, 7])])
    assert len(words) == 1
    assert len(set(words[0].tolist())) == 2
