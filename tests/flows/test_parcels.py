"""Parcels give back the tables that were packed, with the numbers that they held."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.parcels import pack, unpack


class Kind(NamedTuple):
    name: str
    type: pa.DataType
    least: int
    most: int


KINDS = [Kind(f"i{n}", getattr(pa, f"int{n}")(), -(1 << n - 1), (1 << n - 1) - 1) for n in (8, 16, 32, 64)]
KINDS += [Kind(f"u{n}", getattr(pa, f"uint{n}")(), 0, (1 << n) - 1) for n in (8, 16, 32, 64)]
EDGES = [sign * (1 << bits) + more for bits in (7, 15, 31) for sign in (-1, 1) for more in (-1, 0, 1)]
NUMBERS = st.one_of(
    st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 300), st.integers(0, 2**64 - 1)
)


def test_tables_come_back_by_their_names() -> None:
    tables = {"a": pa.table({"n": [1, 2, None], "t": ["x", None, ""]}), "b": pa.table({"n": pa.array([], pa.int8())})}
    assert unpack(pack(tables)) == tables


@given(st.lists(NUMBERS, max_size=5))
def test_numbers_come_back_as_they_were(values: list[int]) -> None:
    fitting = [kind for kind in KINDS if all(kind.least <= value <= kind.most for value in values)]
    table = pa.table({kind.name: pa.array(values, kind.type) for kind in fitting})
    assert unpack(pack({"t": table}))["t"].equals(table)


def test_rows_come_back_of_several_chunks_and_of_none() -> None:
    chunks = pa.chunked_array([[3, 4], [], [1000]], pa.int64())
    table = pa.table({"n": chunks, "same": pa.chunked_array([[7, 7], [], [7]], pa.uint64())})
    for part in (table, table.slice(1), table.slice(3)):
        assert unpack(pack({"t": part}))["t"].to_pydict() == part.to_pydict()
        assert unpack(pack({"t": part}))["t"].schema == table.schema


def test_a_column_takes_no_more_bytes_than_its_numbers_are_apart() -> None:
    rows = 1 << 12
    numbers = {"same": [1 << 40] * rows, "near": [(1 << 40) + n % 256 for n in range(rows)], "far": list(range(rows))}
    sizes = {n: len(pack({"t": pa.table({n: pa.array(numbers[n], pa.int64())})})) for n in numbers}
    assert sizes["same"] < sizes["near"] < sizes["far"] < 3 * rows
