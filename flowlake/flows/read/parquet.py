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
            yield _torn(Format(()), wanted, error, 0)
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
    batches = _batches(parquet, [known[column] for column in needed])
    number = 1
    while True:
        try:
            batch = next(batches, None)
        except DAMAGE as error:
            yield _torn(form, wanted, error, number - 1)
            return
        if batch is None:
            break
        arrays = {column: batch.column(batch.schema.names.index(known[column])) for column in needed}
        yield read_rows(arrays, form, range(number, number + len(batch)), wanted)
        number += len(batch)
    if number == 1:
        yield Block(empty_records(form, wanted), rejects_table([]), 0, form.fields, form.kind)


def _batches(parquet: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows in order, some at a time; behind the last that can be had it raises what the damage raises.

    Batches reach over the ends of row groups, for there may be many small ones. So one that holds damage is read again,
    row group by row group.
    """
    read = 0
    try:
        for batch in parquet.iter_batches(ROWS, columns=columns, use_threads=False):
            yield batch
            read += len(batch)
        return
    except DAMAGE:
        pass
    begin = 0
    for group in range(parquet.num_row_groups):
        size = parquet.metadata.row_group(group).num_rows
        if begin + size <= read:
            begin += size
            continue
        for batch in parquet.iter_batches(ROWS, row_groups=[group], columns=columns, use_threads=False):
            had = min(max(read - begin, 0), len(batch))
            begin += len(batch)
            if had < len(batch):
                yield batch.slice(had)


def _torn(form: Format, wanted: Collection[str] | None, error: Exception, read: int) -> Block:
    """The block that ends a damaged file. read: how many rows came before the damage."""
    text = f"the rows up to {read} were read: {error}" if read else f"nothing could be read: {error}"
    reject = Reject(None, "torn_parquet", text.strip()[:1000])
    return Block(empty_records(form, wanted), rejects_table([reject]), 0, form.fields, form.kind, torn=True)
