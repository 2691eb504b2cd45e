"""Parquet flow logs, as AWS writes them and as others do, row group by row group."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.flows.read.block import Block, NotAFlowLog, Reject, rejects_table
from flowlake.flows.read.formats import FIELD_TYPES, Format, canonical
from flowlake.flows.read.inflate import Readable
from flowlake.flows.read.text import Layout, empty_records
from flowlake.flows.read.typed import read_rows

PARQUET_MAGIC = b"PAR1"
ROWS = 1 << 16
IN_MEMORY_BYTES = 32 << 20
DAMAGE = (pa.ArrowException, OSError, ValueError)


def read_parquet(source: Readable, name: str, wanted: Collection[str] | None) -> Iterator[Block]:
    """The rows of a Parquet file as blocks. Raises NotAFlowLog where its columns are not those of a flow log.

    A Parquet file is read from its end, so the source is put in a file first (in memory while it is small).
    """
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
        shutil.copyfileobj(cast(IO[bytes], source), file)
        file.seek(0)
        try:
            parquet = pq.ParquetFile(file, pre_buffer=False)
            raw_names = list(parquet.schema_arrow.names)
        except DAMAGE as error:
            yield _torn(Format(()), wanted, error)
            return
        form = format_of_columns(raw_names)
        if form is None:
            raise NotAFlowLog(f"{name}: the Parquet file's columns are not those of a flow log")
        yield from _rows(parquet, form, raw_names, wanted)


def format_of_columns(names: list[str]) -> Format | None:
    """The format that column names (or keys) say, with hyphens or underscores; None where less than half are known."""
    form = Format(tuple(canonical(name) for name in names))
    return form if names and 2 * len(form.readable()) >= len(names) else None


def _rows(
    parquet: pq.ParquetFile, form: Format, raw_names: list[str], wanted: Collection[str] | None
) -> Iterator[Block]:
    known = {column: raw for column, raw in zip(form.column_names, raw_names, strict=True) if column in FIELD_TYPES}
    needed = Layout(form).columns_to_read(wanted) or tuple(known)[:1]
    batches = parquet.iter_batches(ROWS, columns=[known[column] for column in needed], use_threads=False)
    number = 1
    while True:
        try:
            batch = next(batches, None)
        except DAMAGE as error:
            yield _torn(form, wanted, error)
            return
        if batch is None:
            break
        arrays = {column: batch.column(batch.schema.names.index(known[column])) for column in needed}
        yield read_rows(arrays, form, range(number, number + len(batch)), wanted)
        number += len(batch)
    if number == 1:
        yield Block(empty_records(form, wanted), rejects_table([]), 0, form.fields, form.kind)


def _torn(form: Format, wanted: Collection[str] | None, error: Exception) -> Block:
    reject = Reject(None, "torn_parquet", str(error)[:1000])
    return Block(empty_records(form, wanted), rejects_table([reject]), 0, form.fields, form.kind, torn=True)
