"""Texts as codes, and columns taken by their entries: what a dictionary of Python's gives, whatever the texts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.columns import entries, extremes, numbers, taken
from flowlake.flows.text_codes import TextCodes

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=30), st.sampled_from(["eni-1", "eni-2", ""])), max_size=40)


@given(st.lists(TEXTS, max_size=5), st.integers(0, 3))
@settings(deadline=None)
def test_every_code_stands_for_its_text(columns: list[list[str | None]], offset: int) -> None:
    codes = TextCodes()
    seen: dict[str | None, int] = {None: 0}
    for texts in columns:
        plain = pa.array(["before"] * offset + texts, pa.string())
        for column in (plain[offset:], plain.dictionary_encode()[offset:]):
            found = codes.of_column(column).tolist()
            held = codes.list()
            assert [held[code] for code in found] == texts
            assert found == [seen.setdefault(text, code) for text, code in zip(texts, found, strict=True)]
    assert len(codes) == len(codes.list()) == len(set(codes.list()))


def test_thousands_of_texts_keep_their_codes() -> None:
    codes = TextCodes()
    texts = [f"eni-{n:017x}" for n in range(20_000)]
    for begin in range(0, len(texts), 777):
        codes.of_column(pa.array(texts[begin : begin + 777]))
    assert codes.list() == [None, *texts]
    assert codes.of_column(pa.array(texts)).tolist() == list(range(1, len(texts) + 1))


VALUES = st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)), max_size=40)


@given(VALUES, st.integers(0, 9))
def test_nulls_are_filled_wherever_the_column_begins(values: list[int | None], offset: int) -> None:
    for kind in (pa.int32(), pa.int64()):
        column = pa.array([None] * offset + values, kind)[offset:]
        assert numbers(column).tolist() == [value or 0 for value in values]
        held = [value for value in values if value is not None]
        assert extremes(column) == ((min(held), max(held)) if held else None)
        found = taken(entries(column), np.array(entries(column).dictionary.to_pylist(), np.int64), 7)
        assert found.tolist() == [7 if value is None else value for value in values]
