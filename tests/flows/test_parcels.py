"""Parcels give back the tables that were packed, and narrowed columns the numbers that they held."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.parcels import narrowed, pack, unpack

EDGES = [sign * (1 << bits) + more for bits in (7, 15, 31) for sign in (-1, 1) for more in (-1, 0, 1)]
NUMBERS = st.one_of(st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 300))


def test_tables_come_back_by_their_names() -> None:
    tables = {"a": pa.table({"n": [1, 2, None], "t": ["x", None, ""]}), "b": pa.table({"n": pa.array([], pa.int8())})}
    assert unpack(pack(tables)) == tables


@given(st.lists(NUMBERS, max_size=5))
def test_narrowed_numbers_are_the_same_numbers(values: list[int]) -> None:
    table = pa.table({"n": pa.array(values, pa.int64()), "t": pa.array(["x"] * len(values), pa.string())})
    narrow = narrowed(table)
    assert narrow["n"].to_pylist() == values
    assert narrow.cast(table.schema) == table


def test_a_column_takes_no_more_bytes_than_its_numbers_need() -> None:
    values = {"one": [-128, 127], "two": [0, 128], "four": [-32769, 0], "eight": [2**31, 0], "null": [None, 1]}
    narrow = narrowed(pa.table({name: pa.array(column, pa.int64()) for name, column in values.items()}))
    assert [str(field.type) for field in narrow.schema] == ["int8", "int16", "int32", "int64", "int64"]
