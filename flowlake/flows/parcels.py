"""Several Arrow tables as one run of bytes, to travel through Spark as one binary value.

Shuffling a few large values instead of millions of rows keeps the rows in Arrow from the reader to the last
aggregation.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

Parcel = tuple[int, str, bytes]
"""What a step sends on: where to (a bucket), of which kind, and a payload."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
"""Half as many bytes again as by zstd: what the JVM does more with them is a third of what the workers save."""


def pack(tables: Mapping[str, pa.Table]) -> bytes:
    """Tables by name as bytes: one after the other, then how many bytes each has, then how many say that.

    Numbers travel as what they are above their column's least, in as few bytes as that takes: a third of the bytes are
    compressed in half the time.
    """
    sink = io.BytesIO()
    sizes = {}
    for name, table in tables.items():
        before, framed = sink.tell(), _framed(table)
        with pa.ipc.new_stream(sink, framed.schema, options=_OPTIONS) as writer:
            writer.write_table(framed)
        sizes[name] = sink.tell() - before
    foot = json.dumps(sizes).encode()
    sink.write(foot + len(foot).to_bytes(4, "big"))
    return sink.getvalue()


def unpack(data: bytes) -> dict[str, pa.Table]:
    """What pack made."""
    foot_begins = len(data) - 4 - int.from_bytes(data[-4:], "big")
    sizes: dict[str, int] = json.loads(data[foot_begins:-4])
    buffer, at = pa.py_buffer(data), 0
    tables = {}
    for name, size in sizes.items():
        tables[name] = _unframed(pa.ipc.open_stream(buffer.slice(at, size)).read_all())
        at += size
    return tables


_TYPE, _LEAST = b"type", b"least"
"""What a framed column's field says: the type of its numbers, as numpy names it, and the least of them."""


def _framed(table: pa.Table) -> pa.Table:
    """The table with each column of integers, nulls none of them, as what they are above the least, in the narrowest
    type that holds that; of one that is the same in all rows nothing but the field is left.
    """
    columns, fields = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_integer(field.type) and len(column) and not column.null_count:
            values = column.to_numpy()
            least, greatest = int(values.min()), int(values.max())
            kind = np.min_scalar_type(greatest - least)
            if least == greatest or kind.itemsize < values.itemsize:
                above = values - values.dtype.type(least) if least else values
                column = pa.nulls(len(values)) if least == greatest else pa.array(above.astype(kind))
                field = pa.field(field.name, column.type, metadata={_TYPE: values.dtype.str, _LEAST: str(least)})
        columns.append(column)
        fields.append(field)
    return pa.table(columns, schema=pa.schema(fields))


def _unframed(table: pa.Table) -> pa.Table:
    """The table that was framed; fields of integers are plain ones, that may be null."""
    columns, fields = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.metadata and _LEAST in field.metadata:
            kind, least = np.dtype(field.metadata[_TYPE].decode()), int(field.metadata[_LEAST])
            if pa.types.is_null(field.type):
                values = np.full(len(column), least, dtype=kind)
            else:
                values = column.to_numpy().astype(kind)
                if least:
                    values += kind.type(least)
            column = pa.array(values)
            field = pa.field(field.name, column.type)
        columns.append(column)
        fields.append(field)
    return pa.table(columns, schema=pa.schema(fields))
