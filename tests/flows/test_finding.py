"""Rows found for many asked at once, against what plain Python says."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows import finding
from flowlake.flows.finding import Places, in_ranges, states_at
from flowlake.flows.lookup import AddressIndex

# Few values, that keys share parts; the ends of the words, where signs could be mixed up.
SCOPE = st.one_of(st.integers(-2, 2), st.just(-(2**47)))
WORD = st.one_of(st.integers(0, 2), st.just(2**64 - 1))
KEY = st.tuples(SCOPE, WORD, WORD)


def columns(keys: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    types = (np.int64, np.uint64, np.uint64)
    scope, high, low = (np.array([key[i] for key in keys], dtype=type_) for i, type_ in enumerate(types))
    return scope, high, low


@given(st.lists(KEY, unique=True), st.lists(KEY))
def test_only_what_is_there_is_found(keys: list[tuple], asked: list[tuple]) -> None:
    first = np.arange(len(keys) + 1) * 2
    begin, stop = Places(*columns(keys)).spans(first, *columns(asked))
    expected = [(2 * keys.index(key), 2 * keys.index(key) + 2) if key in keys else (0, 0) for key in asked]
    assert list(zip(begin.tolist(), stop.tolist(), strict=True)) == expected


def test_an_index_finds_the_same_where_it_was_sent() -> None:
    """Columns as they come from Arrow, which nobody may write to."""
    index, _ = AddressIndex.build(*columns([(1, 0, 7), (1, 0, 7), (2, 0, 7)]))
    asked = columns([(2, 0, 7), (1, 0, 7), (3, 0, 7)])
    for values in asked:
        values.flags.writeable = False
    here = [found.tolist() for found in index.find(*asked)]
    there = [found.tolist() for found in pickle.loads(pickle.dumps(index)).find(*asked)]
    assert here == there
    assert [stop - begin for begin, stop in zip(*here, strict=True)] == [1, 2, 0]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4).map(sorted), min_size=1), st.data())
def test_a_state_is_the_last_that_began(states: list[list[int]], data: st.DataObject) -> None:
    first = np.cumsum([0, *map(len, states)])
    since = np.array([at for of_owner in states for at in of_owner], dtype=np.int64)
    asked = data.draw(st.lists(st.tuples(st.integers(-1, len(states) - 1), st.integers(-1, 10))))
    owner, at = (np.array([a[i] for a in asked], dtype=np.int64) for i in (0, 1))

    def expected(of: int, moment: int) -> int:
        if of < 0 or not states[of]:
            return -1
        return int(first[of]) + max(sum(began <= moment for began in states[of]) - 1, 0)

    assert states_at(first, since, owner, at).tolist() == [expected(*one) for one in asked]


@pytest.mark.parametrize("few", [0, 250_000])
def test_ranges_have_their_ends_and_no_other_half(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled or not."""
    monkeypatch.setattr(finding, "_FEW", few)
    firsts, lasts = np.array([10, 30], np.uint64), np.array([20, 30], np.uint64)
    low = np.array([9, 10, 20, 21, 30, 15], np.uint64)
    high = np.array([0, 0, 0, 0, 0, 1], np.uint64)
    assert in_ranges(firsts, lasts, high, low).tolist() == [False, True, True, False, True, False]
