"""The three steps that run on Spark's workers, each a plain function over its own share of the hour; no step knows
Spark.

gather     raw objects -> sums and evidence, as parcels
attribute  sums -> rows with both ends attributed, cut into buckets by pair of addresses
converse   all rows of some buckets -> conversations, written as one Parquet file

What a step sends on is (bucket, kind, payload); payloads are parcels or JSON.
"""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowlake.flows.attribute import attribute as attribute_sums
from flowlake.flows.buckets import bucket_of, fold_client_ports
from flowlake.flows.connections import decide_again, tell_by_connections
from flowlake.flows.conversations import Grouped, group, together
from flowlake.flows.endpoints import TagSettings
from flowlake.flows.evidence import Worker, evidence_of, examine
from flowlake.flows.hashing import distinct
from flowlake.flows.lookup import NOBODY, Lookup
from flowlake.flows.objects import RawObject, made_at, source_in
from flowlake.flows.packing import packed
from flowlake.flows.parcels import Parcel, pack, unpack
from flowlake.flows.present import present
from flowlake.flows.read import Block, NotAFlowLog, read_blocks
from flowlake.flows.repeats import Places
from flowlake.flows.reporters import COUNTED, DUPLICATE, FATES, ON_HOP, OUTSIDE, Chosen, choose, pair_of_ends
from flowlake.flows.routes import Router
from flowlake.flows.summarise import COLUMNS, EXTRAS, FACTS, Source, Summary
from flowlake.flows.sums import BEFORE
from flowlake.flows.world import CONTESTED_DST, CONTESTED_SRC, HOWS, LEGS, RECEIVER, SENDER, UNSURE, World
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectStore

SUMS, EVIDENCE, REJECTS, ROWS, WRITTEN = "sums", "evidence", "rejects", "rows", "written"

BLOCK_BYTES = 16 << 20
"""Inflated bytes read at a time: each block looks at its distinct texts once."""

REJECT_ROWS = pa.schema(
    [
        ("account_id", pa.string()),
        ("region", pa.string()),
        ("flow_log_id", pa.string()),
        ("object", pa.string()),
        ("line", pa.int64()),
        ("reason", pa.string()),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True)
class Task:
    """What every task of an hour is told."""

    hour: Hour
    window_seconds: int
    format: str | None = None


# --- gather ----------------------------------------------------------------------------------------------------------


def gather(
    objects: Sequence[RawObject],
    store: ObjectStore,
    lookup: Lookup,
    task: Task,
    repeats: Mapping[str, Places] | None = None,
) -> Iterator[Parcel]:
    """Reads objects one after the other, in bounded memory, and sends on what they sum up to.

    repeats: by key of the object which of its events are to be left out; see repeats.py.
    """
    summary = Summary(task.hour, task.window_seconds)
    for item in objects:
        yield from _read_object(item, store, summary, lookup, task, (repeats or {}).get(item.key))
    yield from _finish(summary, lookup)


def _read_object(
    item: RawObject, store: ObjectStore, summary: Summary, lookup: Lookup, task: Task, repeats: Places | None
) -> Iterator[Parcel]:
    torn = False
    first: Source | None = None
    made = made_at(item.key)
    # An object lies in reach of two hours; what can't be read of it is listed with the hour of its name.
    listed_here = made is None or Hour.holding(made.timestamp()) == task.hour
    # Where records of this task had to tell of their interfaces once, the next objects' are asked at once.
    columns = COLUMNS | set(FACTS) if summary.told else COLUMNS
    try:
        for block in _blocks(item, store, task, columns, repeats):
            torn |= block.torn
            source = source_in(item.source, block.group)
            if block.torn and block.group is None:  # what it lost is told with the object
                source = first or source
            first = first or source
            records, rejects = _with_times(block.records)
            rejects = pa.concat_tables([block.rejects, rejects]) if rejects.num_rows else block.rejects
            if block.records.num_rows:
                summary.add(source, records, block.fields, block.kind == "transit_gateway")
                if records.num_rows and _strangers(records, block.fields, summary, lookup):
                    if columns is COLUMNS:
                        _read_facts(item, store, summary, task, repeats)
                    elif block.kind == "vpc":
                        summary.note_facts(records)
            reasons = Counter(rejects["reason"].to_pylist())
            summary.note_lines(source, block.lines, reasons, block.repeated, listed_here, item.source)
            if rejects.num_rows and listed_here:
                yield 0, REJECTS, pack({"rejects": _reject_rows(item, source, rejects)})
            if summary.is_full():
                yield from _finish(summary, lookup)
                summary.clear()
    except NotAFlowLog as error:
        first = first or item.source
        summary.note_lines(item.source, 0, {"not_a_flow_log": 1}, 0, listed_here, item.source)
        if listed_here:
            told = pa.table(
                {"line": pa.array([None], pa.int64()), "reason": ["not_a_flow_log"], "text": [str(error)[:1000]]}
            )
            yield 0, REJECTS, pack({"rejects": _reject_rows(item, item.source, told)})
    summary.note_object(first or item.source, torn, item.source)
    if summary.is_full():
        yield from _finish(summary, lookup)
        summary.clear()


def _blocks(
    item: RawObject, store: ObjectStore, task: Task, columns: Collection[str], repeats: Places | None
) -> Iterator[Block]:
    with store.open(item.key) as stream:
        yield from read_blocks(
            stream, item.key, format=task.format, columns=columns, block_bytes=BLOCK_BYTES, repeats=repeats
        )


def _strangers(records: pa.Table, fields: Sequence[str], summary: Summary, lookup: Lookup) -> bool:
    """Whether the block has interfaces whose VPC the book does not know and of which its format (fields) tells what was
    not noted yet. Looks at each interface of which all is known once.
    """
    offered = set(FACTS).intersection(fields)
    columns = [
        records[name].combine_chunks() for name in ("interface_id", "resource_id") if name in records.column_names
    ]
    if len(columns) == 2 and not columns[0].null_count:
        del columns[1]
    strangers = False
    for column in columns:
        new = summary.not_placed(column.dictionary)
        codes = lookup.interfaces.codes(new)
        known = [code >= 0 and lookup.interface_vpc[code] >= 0 for code in codes.tolist()]
        rest = [name for name, is_known in zip(new, known, strict=True) if not is_known]
        summary.place([name for name, is_known in zip(new, known, strict=True) if is_known or summary.has_told(name)])
        strangers |= not all(summary.has_told(name, offered) for name in rest)
    return strangers


def _read_facts(item: RawObject, store: ObjectStore, summary: Summary, task: Task, repeats: Places | None) -> None:
    """Reads the object once more, for what its records say of their interfaces alone."""
    for block in _blocks(item, store, task, {"interface_id", "resource_id", *FACTS}, repeats):
        if block.kind == "vpc":
            summary.note_facts(block.records)


def _with_times(records: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The records that begin at some time; and one reject for each of the others, which are of no hour, so that none
    goes uncounted. A record whose end is not known ends when it begins.
    """
    if "start" not in records.column_names:
        return records.slice(0, 0), _without_start(records.num_rows, "the format lacks start")
    start = records["start"]
    timeless = start.null_count
    if timeless:
        records = records.filter(pc.is_valid(start))
    if "end" not in records.column_names:
        records = records.append_column("end", records["start"])
    elif records["end"].null_count:
        ended = pc.coalesce(records["end"], records["start"])
        records = records.set_column(records.column_names.index("end"), "end", ended)
    return records, _without_start(timeless, "the record has no start")


def _without_start(rows: int, text: str) -> pa.Table:
    return pa.table(
        {"line": pa.nulls(rows, pa.int64()), "reason": pa.repeat("no_start", rows), "text": pa.repeat(text, rows)}
    )


def _reject_rows(item: RawObject, source: Source, rejects: pa.Table) -> pa.Table:
    size = rejects.num_rows
    said = [source.account_id, source.region, source.flow_log_id, item.key]
    columns = [pa.array([text] * size, pa.string()) for text in said]
    return pa.table([*columns, rejects["line"], rejects["reason"], rejects["text"]], schema=REJECT_ROWS)


def _finish(summary: Summary, lookup: Lookup) -> Iterator[Parcel]:
    worker = examine(summary, lookup)
    yield 0, EVIDENCE, pack(evidence_of(worker, lookup))
    if worker.sums.num_rows:
        yield 0, SUMS, _pack_worker(worker)


def _pack_worker(worker: Worker) -> bytes:
    summary = worker.summary
    names = summary.interfaces.list()
    keys = list(summary.extras)
    extras = {
        name: pa.array([None if k is None else _text(k[i]) for k in keys], pa.string()) for i, name in enumerate(EXTRAS)
    }
    sums = worker.sums.append_column("own", pa.array(worker.own))
    sources = [
        (s.flow_log_id, s.account_id, s.region, c.transit) for s, c in zip(summary.sources, summary.counts, strict=True)
    ]
    return pack(
        {
            "sums": sums,
            "addresses": pa.table({"high": worker.high, "low": worker.low}),
            "interfaces": pa.table({"text": pa.array(names, pa.string()), "forwards": pa.array(worker.forwards)}),
            "extras": pa.table(extras),
            "sources": pa.table(
                {
                    "flow_log_id": pa.array([s[0] for s in sources], pa.string()),
                    "account_id": pa.array([s[1] for s in sources], pa.string()),
                    "region": pa.array([s[2] for s in sources], pa.string()),
                    "transit": pa.array([s[3] for s in sources], pa.bool_()),
                }
            ),
        }
    )


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "1" if value else None
    return None if value is None else str(value)


# --- attribute -------------------------------------------------------------------------------------------------------


@dataclass
class Sums:
    """A worker's sums as they arrive in the next step: what attribute needs of a summary."""

    sums: pa.Table
    high: np.ndarray
    low: np.ndarray
    own: np.ndarray
    forwards: np.ndarray
    interfaces: list[str | None]
    extras: list[tuple | None]
    sources: list[Source]
    transit: list[bool]


def unpack_sums(payload: bytes) -> Sums:
    tables = unpack(payload)
    columns = [tables["extras"][name].to_pylist() for name in EXTRAS]
    rows = tables["sources"].to_pylist()
    return Sums(
        tables["sums"].drop_columns(["own"]),
        tables["addresses"]["high"].to_numpy(),
        tables["addresses"]["low"].to_numpy(),
        tables["sums"]["own"].to_numpy(),
        tables["interfaces"]["forwards"].to_numpy(),
        tables["interfaces"]["text"].to_pylist(),
        list(zip(*columns, strict=True)),
        [Source(r["flow_log_id"], r["account_id"], r["region"]) for r in rows],
        [r["transit"] for r in rows],
    )


MEASURES = ("bytes", "packets", "records", "opened")


def attribute(payloads: Iterable[bytes], world: World, buckets: int) -> Iterator[Parcel]:
    """Attributes each parcel of sums, forgets client ports that nothing needs, and cuts the rows into buckets."""
    for payload in payloads:
        parts = []
        for sums in attribute_sums(unpack_sums(payload), world):
            rows = without_idle_evidence(fold_client_ports(world, sums))
            rows = rows.append_column("bucket", pa.array(bucket_of(world, rows, buckets)))
            parts.append(add_up(rows, sorted_by="bucket"))
        cuts = [np.searchsorted(part["bucket"].to_numpy(), np.arange(buckets + 1)).tolist() for part in parts]
        for bucket in range(buckets):
            places = zip(parts, cuts, strict=True)
            found = [part.slice(cut[bucket], cut[bucket + 1] - cut[bucket]) for part, cut in places]
            rows = pa.concat_tables(found).drop_columns(["bucket"]) if found else pa.table({})
            if rows.num_rows:
                yield bucket, ROWS, pack({"rows": rows.unify_dictionaries().combine_chunks()})


def without_idle_evidence(rows: pa.Table) -> pa.Table:
    """Of rows beside the hour only those that can tell an end: an interface's own, whose ports are still there."""
    col = {n: rows[n].to_numpy() for n in ("slot", "srcport", "dstport", "position", "duplicate")}
    own = (col["position"] == SENDER) | (col["position"] == RECEIVER)
    telling = own & (col["srcport"] > 0) & (col["dstport"] > 0) & ~col["duplicate"]
    kept = (col["slot"] < BEFORE) | telling
    return rows if bool(kept.all()) else rows.filter(pa.array(kept))


def add_up(rows: pa.Table, sorted_by: str | None = None) -> pa.Table:
    """Rows that differ in nothing but their measures as one: bytes, packets, records and openings added, the span
    widened. In order of first sight, or by one of their numbers and then so.
    """
    span = {"first": np.minimum, "last": np.maximum}
    keys, texts = dict[str, np.ndarray](), dict[str, pa.Array]()
    for name in rows.column_names:
        if name in (*MEASURES, *span):
            continue
        column = rows[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            texts[name] = column.dictionary
            column = column.indices.fill_null(NOBODY)
        keys[name] = column.to_numpy(zero_copy_only=False)
    first, of = distinct(*packed(keys.values()))
    order = np.arange(len(first)) if sorted_by is None else np.argsort(keys[sorted_by][first], kind="stable")
    columns: dict[str, Any] = {name: values[first[order]] for name, values in keys.items()}
    for name, dictionary in texts.items():
        codes = pa.array(columns[name], mask=columns[name] < 0)
        columns[name] = pa.DictionaryArray.from_arrays(codes, dictionary)
    for name in MEASURES:
        added = np.zeros(len(first), dtype=np.int64)
        np.add.at(added, of, rows[name].to_numpy())
        columns[name] = added[order]
    for name, widen in span.items():
        values = rows[name].to_numpy()
        reached = values[first]
        widen.at(reached, of, values)
        columns[name] = reached[order]
    return pa.table(columns)


# --- converse --------------------------------------------------------------------------------------------------------

CONVERSATIONS_A_FILE = 500_000
"""As many are written to a file, about 24 MB; it may be more by what one bucket holds."""
DICTIONARY_BYTES = 8 << 20
"""Addresses of a row group that are all different still fit."""

_TEXT_COLUMNS = ("src_label", "dst_label", "next_hop", "next_hop_type", "reject_reason")


def converse(
    payloads: Iterable[tuple[int, bytes]],
    world: World,
    states: pa.Table,
    settings: TagSettings,
    task: Task,
    store: ObjectStore,
    folder: str,
    number: int,
) -> Iterator[Parcel]:
    """Makes the conversations of some buckets and writes them as files. Sends on what was written and counted.

    Buckets are worked on one after the other, each whole: what meets there does not depend on what else is here, and
    memory holds the rows of one. Conversations are kept as integers until they fill a file.
    """
    by_bucket: dict[int, list[bytes]] = {}
    for bucket, payload in payloads:
        by_bucket.setdefault(bucket, []).append(payload)
    router, texts = Router(world.lookup), dict[str, int]()
    kept: list[Grouped] = []
    counted: list[dict[str, dict[str, int]]] = []
    files = 0
    for bucket in sorted(by_bucket):
        grouped, of_bucket = _converse_bucket(by_bucket.pop(bucket), texts, world, router, task)
        counted.append(of_bucket)
        if grouped is not None:
            kept.append(grouped)
        if kept and (not by_bucket or sum(map(len, kept)) >= CONVERSATIONS_A_FILE):
            key = f"{folder}part-{number:05d}-{files:02d}.zstd.parquet"
            whole = together(kept)
            kept.clear()
            size = _write(store, key, present(whole, list(texts), states, world, router, settings))
            told = {"key": key, "size": size, "rows": len(whole), "published": _bytes_by_leg(whole)}
            yield 0, WRITTEN, json.dumps(told | {"counts": _as_texts(merge_counts(counted))}).encode()
            counted.clear()
            files += 1
    if counted:
        yield 0, WRITTEN, json.dumps({"rows": 0, "counts": _as_texts(merge_counts(counted))}).encode()


def _converse_bucket(
    payloads: Iterable[bytes], texts: dict[str, int], world: World, router: Router, task: Task
) -> tuple[Grouped | None, dict[str, dict[str, int]]]:
    """The conversations of a bucket, if it has any, and what was counted. texts: the codes of labels, added to."""
    rows, labels = _as_arrays([unpack(payload)["rows"] for payload in payloads], texts)
    told_rows, here = decide_again(tell_by_connections(rows, world), rows, world), rows["slot"] < BEFORE
    if not bool(here.all()):
        told_rows = {name: values[here] for name, values in told_rows.items()}
        labels = {name: values[here] for name, values in labels.items()}
    chosen = choose(told_rows, world)
    return group(chosen, labels, router, task.hour.starts, task.window_seconds), counts(chosen, world)


def _as_texts(counted: Mapping[int, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {str(source): entry for source, entry in counted.items()}


def _bytes_by_leg(grouped: Grouped) -> dict[str, int]:
    c = grouped.columns
    sizes = c["uploaded"] + c["downloaded"]
    return {LEGS[leg]: int(sizes[c["leg"] == leg].sum()) for leg in np.unique(c["leg"]).tolist()}


def _as_arrays(tables: list[pa.Table], texts: dict[str, int]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    whole = pa.concat_tables(tables).unify_dictionaries()
    rows: dict[str, np.ndarray] = {}
    labels: dict[str, np.ndarray] = {}
    for name in whole.column_names:
        column = whole[name]
        if name in _TEXT_COLUMNS:
            column = pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
            codes = [texts.setdefault(t, len(texts)) for t in column.dictionary.to_pylist()]
            labels[name] = np.array([*codes, NOBODY], dtype=np.int64)[
                column.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
            ]
        else:
            rows[name] = column.to_numpy()
    return rows, labels


_MANY_VALUES = ("conversation_id", "uploaded", "downloaded")
"""Columns of which a dictionary would be longer than the values."""
_PRUNED_BY = ("window_start", "started_at", "ended_at", "client_account_id", "client_vpc_id", "client_region")
"""Columns by which readers can skip row groups: those that files are sorted by, and what goes along with them."""


def _write(store: ObjectStore, key: str, row_groups: Iterator[pa.Table]) -> int:
    """Writes tables as the row groups of one Parquet file; there is one at least. Returns its size in bytes."""
    sink = io.BytesIO()
    first = next(row_groups)
    with pq.ParquetWriter(
        sink,
        first.schema,
        compression="zstd",
        compression_level=1,
        version="2.6",
        coerce_timestamps="us",
        use_dictionary=[leaf for field in first.schema if field.name not in _MANY_VALUES for leaf in _leaves(field)],
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        write_statistics=list(_PRUNED_BY),
        # The columns are dictionaries here only; readers are to see the plain types of the contract.
        store_schema=False,
    ) as writer:
        for table in itertools.chain([first], row_groups):
            writer.write_table(table, row_group_size=table.num_rows)
    store.put(key, sink.getvalue())
    return sink.tell()


def _leaves(field: pa.Field) -> list[str]:
    """The columns of a Parquet file that a field becomes."""
    if pa.types.is_map(field.type):
        return [f"{field.name}.key_value.{part}" for part in ("key", "value")]
    return [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name]


def counts(chosen: Chosen, world: World) -> dict[str, dict[str, int]]:
    """Bytes and records by source and fate, with doubts: what coverage and the reconciliation are made of."""
    rows, fate = chosen.rows, chosen.fate
    result: dict[str, dict[str, int]] = {}
    none = HOWS.index("none")
    published = (fate == COUNTED) | (fate == ON_HOP) | (fate == OUTSIDE)
    timeless = published & ((rows["src_how"] == none) | (rows["dst_how"] == none))
    contested = published & ((chosen.doubts & (CONTESTED_SRC | CONTESTED_DST)) > 0)
    doubled = (fate == COUNTED) & ((chosen.doubts & UNSURE) > 0)
    unknown = rows["reporter"] >= len(world.lookup.interfaces)
    for source in np.unique(rows["source"]).tolist():
        mine = rows["source"] == source
        entry = {f"{name}_bytes": int(rows["bytes"][mine & (fate == code)].sum()) for code, name in enumerate(FATES)}
        entry |= {
            f"{name}_records": int(rows["records"][mine & (fate == code)].sum()) for code, name in enumerate(FATES)
        }
        entry |= {
            "unattributed_bytes": int(rows["bytes"][mine & timeless].sum()),
            "contested_bytes": int(rows["bytes"][mine & contested].sum()),
            "possibly_doubled_bytes": int(rows["bytes"][mine & doubled].sum()),
            "unattributed_records": int(
                rows["records"][mine & (unknown | (rows["reporter"] < 0)) & (fate != DUPLICATE)].sum()
            ),
            "handover_pairs": _handover_pairs(chosen, mine),
        }
        result[str(source)] = entry
    return result


def _handover_pairs(chosen: Chosen, mine: np.ndarray) -> int:
    at = chosen.handover & mine
    rows = {f"{end}_{n}": chosen.rows[f"{end}_{n}"][at] for end in ("src", "dst") for n in ("who", "high", "low")}
    return len(np.unique(pair_of_ends(rows, whole_interfaces=True)))


def merge_counts(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[int, dict[str, int]]:
    """Counts by source, added up."""
    merged: dict[int, dict[str, int]] = {}
    for part in parts:
        for source, entry in part.items():
            total = merged.setdefault(int(source), {})
            for name, value in entry.items():
                total[name] = total.get(name, 0) + value
    return merged
