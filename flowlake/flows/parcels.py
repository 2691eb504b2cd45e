"""Several Arrow tables as one run of bytes, to travel through Spark as one binary value.

Shuffling a few large values instead of millions of rows keeps the rows in Arrow from the reader to the last
aggregation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def pack(tables: Mapping[str, pa.Table]) -> bytes:
    """Tables by name as bytes."""
    parts = {name: _stream(table) for name, table in tables.items()}
    head = json.dumps({name: len(part) for name, part in parts.items()}).encode()
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


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
