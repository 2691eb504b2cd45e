"""Several Arrow tables as one run of bytes, to travel through Spark as one binary value.

Shuffling a few large values instead of millions of rows keeps the rows in Arrow from the reader to the last
aggregation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def pack(tables: Mapping[str, pa.Table]) -> bytes:
    """Tables by name as bytes."""
    parts = {name: _stream(table) for name, table in tables.items()}
    head = json.dumps({name: part.size for name, part in parts.items()}).encode()
    return len(head).to_bytes(4, "big") + head + b"".join(parts.values())


def unpack(data: bytes) -> dict[str, pa.Table]:
    """What pack made."""
    head_ends = 4 + int.from_bytes(data[:4], "big")
    lengths: dict[str, int] = json.loads(data[4:head_ends])
    buffer, at = pa.py_buffer(data), head_ends
    tables = {}
    for name, length in lengths.items():
        tables[name] = pa.ipc.open_stream(buffer.slice(at, length)).read_all()
        at += length
    return tables


def narrowed(table: pa.Table) -> pa.Table:
    """The table with each column of integers in the narrowest type that holds them; nulls are none of them.

    Half the bytes are packed in half the time. A cast to the table's own schema gives it back.
    """
    return pa.table([_narrowed(column) for column in table.columns], names=table.column_names)


def _narrowed(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if not pa.types.is_signed_integer(column.type) or column.null_count or not len(column):
        return column
    values = column.to_numpy()
    least, greatest = int(values.min()), int(values.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= least and greatest <= np.iinfo(kind).max:
            return pa.array(values.astype(kind, copy=False))
    return column


def _stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return sink.getvalue()
