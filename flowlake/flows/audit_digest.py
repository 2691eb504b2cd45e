"""Every value that can decide an expectation, once: what the audit reads of millions of rows.

Whether a column keeps an expectation depends on which values occur in it, not on how often. So each file is read by a
worker that keeps of each column what could break its expectations (its distinct values, or its least and greatest, and
a null if there is one), and the digests of all files are merged into a table of some hundred rows. An expectation holds
of all rows if and only if it holds of the digest: of a set, because each distinct value is there; of limits, because
the least and the greatest are there; of "not null", because a null would be there. Uniqueness alone needs all values:
they are compared apart, bucket by bucket.

Memory grows with neither rows nor files. The Parquet that was written is read back here by Arrow, by way of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowlake.flows.audit_rules import RULES, Scope, computed
from flowlake.flows.hashing import distinct
from flowlake.flows.schemas import hive_type
from flowlake.lake.contracts import contract
from flowlake.lake.store import ObjectStore

ANY, EXTREMES, DISTINCT = 0, 1, 2
"""How much of a column is kept: whether there are values and nulls; the least and greatest too; all distinct values."""

DISTINCT_AT_MOST = 1000
"""Of more distinct values than this, some are left out. No set of allowed values is as long, so of those that are kept
some break the expectation anyway."""

_BATCH_ROWS = 1 << 17
_BYTES_A_BUCKET = 128_000_000
_SOME = 100
_PRESENT = pa.array(["a value"])
_SUMMED = {"conversations": ("leg", "uploaded", "downloaded")}


@dataclass(frozen=True)
class Digest:
    """What the expectations need to know of some files.

    schemas are the (name, type) lists met, hopefully one. kept holds of each column the values that may decide. sums
    adds up bytes by leg, for the reconciliation.
    """

    rows: int = 0
    schemas: frozenset[tuple[tuple[str, str], ...]] = frozenset()
    kept: Mapping[str, pa.Array] = field(default_factory=dict)
    bytes_by_leg: Mapping[str, int] = field(default_factory=dict)


def digest_file(store: ObjectStore, key: str, table: str, keeps: Mapping[str, int], scope: Scope) -> Digest:
    """The digest of one file. A file whose columns are not the contract's is not looked into."""
    with store.open(key) as stream, pq.ParquetFile(stream) as file:
        schema = _shape(file)
        if schema != promised(table):
            return Digest(file.metadata.num_rows, frozenset([schema]))
        columns = needed(table, [*keeps, *_SUMMED.get(table, ())])
        parts = [digest_rows(rows, table, keeps, scope) for rows in _batches(file, columns)]
    return merged([*parts, Digest(0, frozenset([schema]))], keeps)


def digest_rows(rows: pa.Table, table: str, keeps: Mapping[str, int], scope: Scope) -> Digest:
    """The digest of some rows that have at least the columns that the expectations and their rules look at."""
    rules = [name for name in keeps if name in RULES[table]]
    rows = computed(rows, table, rules, scope)
    kept = {name: _kept(rows[name], how) for name, how in keeps.items()}
    return Digest(rows.num_rows, frozenset(), kept, _bytes_by_leg(rows) if table == "conversations" else {})


def merged(digests: Iterable[Digest], keeps: Mapping[str, int]) -> Digest:
    """The digest of all files together, in whatever order they come."""
    parts = list(digests)
    kept = {}
    for name, how in keeps.items():
        arrays = [part.kept[name] for part in parts if name in part.kept]
        if arrays:
            kept[name] = _kept(pa.chunked_array(arrays), how)
    schemas = frozenset(schema for part in parts for schema in part.schemas)
    legs = {leg for part in parts for leg in part.bytes_by_leg}
    sums = {leg: sum(part.bytes_by_leg.get(leg, 0) for part in parts) for leg in sorted(legs)}
    return Digest(sum(part.rows for part in parts), schemas, kept, sums)


def promised(table: str) -> tuple[tuple[str, str], ...]:
    """The columns and types that the contract promises of a file."""
    return tuple((column.name, column.type) for column in contract(table).columns)


def _shape(file: pq.ParquetFile) -> tuple[tuple[str, str], ...]:
    return tuple((name, hive_type(file.schema_arrow.field(name).type)) for name in file.schema_arrow.names)


def needed(table: str, names: Iterable[str]) -> list[str]:
    """The columns to read for these columns and computed ones, in the file's order."""
    wanted: set[str] = set()
    for name in names:
        wanted.update(RULES[table][name].columns if name in RULES[table] else (name,))
    return [name for name in contract(table).column_names if name in wanted]


def _batches(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.Table]:
    for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
        yield pa.Table.from_batches([batch])


def _kept(values: pa.ChunkedArray, how: int) -> pa.Array:
    if how == DISTINCT:
        distinct = values.unique()
        if len(distinct) <= DISTINCT_AT_MOST:
            return distinct
        nulls = [pa.nulls(1, distinct.type)] if values.null_count else []
        return pa.concat_arrays([distinct.drop_null()[: DISTINCT_AT_MOST - 1], *nulls])
    if how == EXTREMES and values.null_count < len(values):
        extremes = pc.min_max(values)
        found = pa.array([extremes["min"].as_py(), extremes["max"].as_py()], values.type)
    else:
        found = _PRESENT if how == ANY and values.null_count < len(values) else pa.nulls(0, _type(values, how))
    return pa.concat_arrays([found, pa.nulls(1, found.type)]) if values.null_count else found


def _type(values: pa.ChunkedArray, how: int) -> pa.DataType:
    return _PRESENT.type if how == ANY else values.type


def _bytes_by_leg(rows: pa.Table) -> dict[str, int]:
    both = pc.add(pc.fill_null(rows["uploaded"], 0), pc.fill_null(rows["downloaded"], 0))
    sums = pa.table({"leg": rows["leg"], "bytes": both}).group_by("leg").aggregate([("bytes", "sum")])
    return {
        str(leg): total or 0 for leg, total in zip(*(sums[n].to_pylist() for n in ("leg", "bytes_sum")), strict=True)
    }


# ---- examples --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Condition:
    """What makes a row break one expectation; column may be a computed one. shown are the columns of an example."""

    column: str
    broken: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    shown: tuple[str, ...]


def broken_rows(
    store: ObjectStore, key: str, table: str, conditions: Sequence[Condition], scope: Scope, examples: int
) -> list[tuple[int, list[dict[str, Any]]]]:
    """How many rows of a file meet each condition, and some of them."""
    names = list(dict.fromkeys(name for c in conditions for name in (c.column, *c.shown)))
    rules = [name for name in names if name in RULES[table]]
    found: list[tuple[int, list[dict[str, Any]]]] = [(0, []) for _ in conditions]
    with store.open(key) as stream, pq.ParquetFile(stream) as file:
        for rows in _batches(file, needed(table, names)):
            full = computed(rows, table, rules, scope)
            for number, condition in enumerate(conditions):
                broken = full.filter(condition.broken(full[condition.column]))
                count, shown = found[number]
                more = broken.select(condition.shown).slice(0, examples - len(shown)).to_pylist()
                found[number] = count + broken.num_rows, shown + more
    return found


# ---- uniqueness ------------------------------------------------------------------------------------------------------


def buckets_for(file_bytes: int) -> int:
    """As many as keep one in memory: an id takes at least 16 bytes in a file, so a bucket has 8 million at most."""
    return max(1, -(-file_bytes // _BYTES_A_BUCKET))


@dataclass(frozen=True)
class Bucket:
    """The text values of one column of a table, of all its files, that may be equal to one another: each value is in
    one of so many buckets. A file whose columns are not the contract's has none.
    """

    table: str
    column: str
    keys: Sequence[str]
    number: int
    of: int

    def values(self, store: ObjectStore, scope: Scope) -> Iterator[pa.Array]:
        for key in self.keys:
            with store.open(key) as stream, pq.ParquetFile(stream) as file:
                if _shape(file) == promised(self.table):
                    for rows in _batches(file, needed(self.table, [self.column])):
                        yield self._taken(rows, scope)

    def _taken(self, rows: pa.Table, scope: Scope) -> pa.Array:
        if self.column in RULES[self.table]:
            rows = computed(rows, self.table, [self.column], scope)
        values = rows[self.column].combine_chunks().drop_null()
        return values if self.of == 1 else values.filter(pa.array(_last_octets(values) % self.of == self.number))


def repeated(bucket: Bucket, store: ObjectStore, scope: Scope) -> tuple[int, list[str]]:
    """Of the bucket's values, those that occur more than once: how many rows have one, and some of them."""
    if _all_differ(map(_as_words, bucket.values(store, scope))):
        return 0, []
    counts = pa.chunked_array(bucket.values(store, scope), pa.string()).value_counts()
    several = counts.filter(pc.greater(counts.field("counts"), 1))
    return sum(several.field("counts").to_pylist()), several.field("values")[:_SOME].to_pylist()


def _all_differ(parts: Iterable[np.ndarray | None]) -> bool:
    """Whether all rows of all parts differ; false also where there is a part whose values could not be read so."""
    read = []
    for part in parts:
        if part is None:
            return False
        read.append(part)
    words = np.concatenate(read) if read else np.zeros((0, 2), np.uint64)
    del read
    return len(distinct(words[:, 0], words[:, 1])[0]) == len(words)


_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


def _as_words(values: pa.StringArray) -> np.ndarray | None:
    """Each text as two words that differ where texts do; null where one is not of 32 hexadecimal digits."""
    octets, places = _octets(values)
    if not bool(np.all(np.diff(places) == 32)):
        return None
    digits = _DIGITS[octets[places[0] : places[-1]]]
    if not len(digits):
        return np.zeros((0, 2), np.uint64)
    if int(digits.max()) > 15:
        return None
    return (digits[0::2] << 4 | digits[1::2]).view(np.uint64).reshape(-1, 2)


def _last_octets(values: pa.StringArray) -> np.ndarray:
    """The last two octets of each text as a number; hexadecimal digests spread evenly by them."""
    octets, places = _octets(values)
    if not len(octets):  # all of them empty
        return np.zeros(len(values), np.int64)
    length, ends = np.diff(places), places[1:]
    last = np.where(length > 0, octets[np.maximum(ends - 1, 0)], 0).astype(np.int64)
    before = np.where(length > 1, octets[np.maximum(ends - 2, 0)], 0).astype(np.int64)
    return before * 31 + last


def _octets(values: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of all texts, and where each begins and the last ends."""
    _, offsets, data = values.buffers()
    octets = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    if offsets is None or not offsets.size:
        return octets, np.zeros(1, np.int32)
    return octets, np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
