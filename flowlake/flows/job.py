"""The job of one hour: raw objects and observations in, an audited and published hour out.

Spark distributes the three steps of flowlake.flows.steps; everything else is small and happens on the driver, whose
memory grows with interfaces and listeners and not with records.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.flows import coverage, steps
from flowlake.flows.audit import audit_run, import_spark, prepare
from flowlake.flows.book import Book, build
from flowlake.flows.collector import paused
from flowlake.flows.endpoints import TagSettings, states_table
from flowlake.flows.flow_logs import unread
from flowlake.flows.hints import Evidence, Hints, Reported, hints, merge
from flowlake.flows.lives import lives
from flowlake.flows.lookup import Lookup, compile_book
from flowlake.flows.networks import Ranges, aws_ranges, known_networks
from flowlake.flows.objects import RawObject, listed, tasks, told_apart
from flowlake.flows.observed import Sweeps, observations
from flowlake.flows.parcels import Parcel, pack, unpack
from flowlake.flows.publish import (
    FINAL,
    PROVISIONAL,
    SWEPT_AFTER,
    FileWritten,
    ObjectRead,
    Published,
    Run,
    Superseded,
    current,
    files_written,
    new_run_id,
    publish,
    read_manifest,
    repair,
)
from flowlake.flows.repeats import buckets_for, by_key, events, may_share_events, repeats
from flowlake.flows.schemas import arrow_schema
from flowlake.flows.seats import seats
from flowlake.flows.topology import FlowLog
from flowlake.flows.world import Settings, World
from flowlake.lake import places
from flowlake.lake.catalog import Catalog
from flowlake.lake.contracts import contract
from flowlake.lake.hours import WINDOW_SECONDS_DEFAULT, Hour, as_text, check_window, from_text
from flowlake.lake.observations import from_lines
from flowlake.lake.store import NoSuchObject, ObjectStore, open_store

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame, SparkSession

FINAL_AT_THE_LATEST = timedelta(hours=3)
RECORDS_A_PARTITION = 2_500_000
"""About what becomes one file of conversations, of 16 to 24 MB where a seventh of the records are conversations."""
RECORDS_A_BUCKET = 400_000
"""What the last step has in memory at once as rows, if each record is one: some 200 MB."""
PARTITIONS_AT_A_TIME = 4
PARCELS = "bucket int, kind string, payload binary"
_TASK = "task"

Log = Callable[[str], None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Options:
    """What a user may set. logs: where raw flow logs lie, if not in the lake's raw/ (a folder or s3:// place)."""

    window_seconds: int = WINDOW_SECONDS_DEFAULT
    format: str | None = None
    logs: str | None = None
    owner_tags: tuple[str, ...] = TagSettings.owner
    app_tags: tuple[str, ...] = TagSettings.app
    networks: str | None = None
    clock_slack_seconds: int = Settings.clock_slack_seconds
    audit: bool = True

    def __post_init__(self) -> None:
        check_window(self.window_seconds)


@dataclass
class Result:
    """What became of an hour. published is null where there was nothing to do; unchanged where a rerun would have made
    the same.
    """

    hour: Hour
    published: Published | None
    unchanged: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class _Clock:
    """Seconds by step, for the log line of each."""

    def __init__(self, hour: Hour, log: Log) -> None:
        self.hour, self.log, self.seconds = hour, log, dict[str, float]()
        self._begun = self._since = time.monotonic()

    def since(self, moment: datetime) -> datetime:
        """The moment now, where the clock was started at that moment."""
        return moment + timedelta(seconds=time.monotonic() - self._begun)

    def step(self, name: str, told: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._since, 3)
        self._since = now
        self.log(f"{self.hour} {name}: {told} ({self.seconds[name]:.1f} s)")


@paused()
def enrich_hour(
    spark: SparkSession | Callable[[], SparkSession],
    store: ObjectStore,
    catalog: Catalog,
    hour: Hour,
    options: Options,
    now: datetime,
    log: Log = lambda line: None,
    force: bool = False,
) -> Result:
    """One hour, from listing to publishing. Raises AuditFailed, Superseded, PublishError, StoreError; nothing is
    published then. An hour that another run published meanwhile, knowing more, is left to it.

    spark may be a function that starts it, called only where there is work, in a thread of its own while the book is
    built. now is the inventory's cutoff and the run's time.
    """
    clock = _Clock(hour, log)
    raw_store, raw_prefix = raw_place(store, options)
    infos = listed(raw_store, raw_prefix, hour)
    found = f"{len(infos)} objects, {sum(info.size for info in infos) / 1e6:.1f} MB"
    before = current(store, hour)
    if not infos and before is None:
        clock.step("list", found)
        log(f"{hour} nothing to do: no flow log object of this hour lies under {raw_store.place(raw_prefix)}")
        return Result(hour, None)
    if callable(spark) and (force or before is None):
        import_spark()
        spark = _in_the_background(spark)  # there is work, whatever the book says
    objects = told_apart(infos)
    clock.step("list", found)
    sweeps, rows = observations(store, hour, now)
    book = build(rows, hour.starts)
    state = hour_state(hour, sweeps, now)
    clock.step(
        "book",
        f"{len(book.states)} states, {len(book.claims)} claims, {len(sweeps.accounts)} regions swept, {state}",
    )
    if not sweeps.accounts:
        log(f"{hour} warning: no inventory was swept around it: few ends get a name (flowlake collect makes one)")
    read = tuple(ObjectRead(o.key, o.etag, o.size) for o in objects)
    settings = _settings_document(options)
    if before is not None and not force:
        there = read_manifest(store, before).run
        changed = _changed(there, read, book, state, settings)
        if not changed:
            log(f"{hour} nothing to do: run {before.run_id} was made from the same objects, inventory and options")
            repair(store, catalog, hour)  # a publisher may have died after it moved the pointer
            return Result(hour, None, unchanged=True)
        _check_still_there(there, read)
        log(f"{hour} is made again: {'; '.join(changed)}")
    if options.audit:
        prepare()
    session = spark() if callable(spark) else spark
    run_id = new_run_id(now)
    made = _Hour(session, store, raw_store, hour, options, run_id, clock)
    written = made.run(objects, book, sweeps, state)
    files = files_written(store, hour, run_id)
    if options.audit:
        made.audit(written, files)
    run = Run(hour, run_id, state, read, now, book.digest, files, written.rows, settings, written.totals)
    try:
        published = publish(store, catalog, run, clock.since(now), force=force)
    except Superseded as error:
        shown = current(store, hour)
        if shown is None or (before is not None and shown.run_id == before.run_id):
            raise
        log(f"{hour} left to run {shown.run_id}, which was published meanwhile: {error}")
        return Result(hour, None, unchanged=True)
    clock.step("publish", f"run {run_id}, {state}")
    return Result(hour, published, rows=written.rows, counts=written.totals, seconds=clock.seconds)


def _check_still_there(before: Run, read: Iterable[ObjectRead]) -> None:
    """Raises Superseded where objects that the published run read are gone: it knows more than any run could now."""
    gone = {o.key for o in before.objects} - {o.key for o in read}
    if gone:
        raise Superseded(
            f"hour {before.hour}: {len(gone)} objects that its run {before.run_id} read are gone, such as {min(gone)}; "
            "it stays as it is, unless --force says that it is to be made without them"
        )


def _in_the_background(start: Callable[[], _T]) -> Callable[[], _T]:
    """Calls it at once in a thread of its own; what is returned waits for it, and raises what it raises."""
    threads = ThreadPoolExecutor(1)
    started = threads.submit(start)
    threads.shutdown(wait=False)
    return started.result


def raw_place(store: ObjectStore, options: Options) -> tuple[ObjectStore, str]:
    """The store and prefix under which raw flow logs lie."""
    return (open_store(options.logs), "") if options.logs else (store, places.RAW)


def aws_ranges_at(store: ObjectStore, hour: Hour) -> Ranges:
    """AWS's published address ranges as they held when the hour began."""
    moment = hour.moment
    rows = []
    for info in store.list(places.IP_RANGES):
        for row in from_lines(store.get(info.key)):
            until = row.get("valid_to")
            if from_text(row["valid_from"]) <= moment and (until is None or from_text(until) > moment):
                rows.append(row)
    return aws_ranges(rows)


def _settings_document(options: Options) -> dict[str, Any]:
    kept = ("window_seconds", "format", "owner_tags", "app_tags", "clock_slack_seconds")
    document = {name: value for name, value in asdict(options).items() if name in kept}
    as_json: dict[str, Any] = json.loads(json.dumps(document | {"networks": _digest_of_networks(options)}))
    return as_json


def _digest_of_networks(options: Options) -> str | None:
    import hashlib

    return hashlib.sha256(options.networks.encode()).hexdigest() if options.networks else None


def hour_state(hour: Hour, sweeps: Sweeps, now: datetime) -> str:
    """final once every region that was swept at all was swept wholly after the hour, at the latest three hours after
    its end.
    """
    if now >= hour.plus(1).moment + FINAL_AT_THE_LATEST:
        return FINAL
    return FINAL if sweeps.all_after() else PROVISIONAL


def _changed(run: Run, read: tuple[ObjectRead, ...], book: Book, state: str, settings: Mapping[str, Any]) -> list[str]:
    """What a run made now would be made from that the published one was not; empty where they would be the same."""
    new = {(o.key, o.etag) for o in read} - {(o.key, o.etag) for o in run.objects}
    options = sorted(name for name in {*settings, *run.settings} if settings.get(name) != run.settings.get(name))
    said = [f"{len(new)} objects are new"] if new else []
    said += ["the inventory says otherwise"] if run.book_digest != book.digest else []
    said += [f"it was {run.state} and is {state}"] if run.state != state else []
    return said + ([f"other options: {', '.join(options).replace('_', '-')}"] if options else [])


@dataclass
class Written:
    """What a run wrote: rows by table, totals for the manifest, and the evidence behind coverage."""

    rows: dict[str, int]
    totals: dict[str, Any]
    reconciliation: coverage.Reconciliation


class _Hour:
    """One run of one hour on Spark."""

    def __init__(
        self,
        spark: SparkSession,
        store: ObjectStore,
        raw_store: ObjectStore,
        hour: Hour,
        options: Options,
        run_id: str,
        clock: _Clock,
    ) -> None:
        self.spark, self.store, self.raw_store, self.hour, self.options, self.run_id, self.clock = (
            spark,
            store,
            raw_store,
            hour,
            options,
            run_id,
            clock,
        )
        self.task = steps.Task(hour, options.window_seconds, options.format)
        self.cores = spark.sparkContext.defaultParallelism

    def run(self, objects: list[RawObject], book: Book, sweeps: Sweeps, state: str) -> Written:
        with ThreadPoolExecutor(1) as aside:
            book_rows = aside.submit(self._write_book, book)
            return self._run(objects, book, compile_book(book), sweeps, state, book_rows)

    def _run(
        self,
        objects: list[RawObject],
        book: Book,
        lookup: Lookup,
        sweeps: Sweeps,
        state: str,
        book_rows: Future[int],
    ) -> Written:
        packed = tasks(objects, self.cores) or [[]]
        known = self.spark.sparkContext.broadcast(lookup)
        gathered = self._gather(packed, known, may_share_events(objects)).persist()
        try:
            evidence = merge(self._collect(gathered, steps.EVIDENCE, math.ceil(len(packed) / PARTITIONS_AT_A_TIME)))
            found = hints(evidence, lookup, book.topology.flow_logs, lives(book), _previous(self.store, self.hour))
            totals = coverage.totals(evidence) | {SWEPT_AFTER: sweeps.all_after()}
            self.clock.step(
                "read",
                f"{totals['records']} records, {totals['nodata']} NODATA, {totals['skipdata']} SKIPDATA, "
                f"{totals['rejects']} rejects"
                + (f", {totals['repeated_events']} repeated events" if totals["repeated_events"] else ""),
            )
            self._warn(totals)
            self._warn_of_unread(book.topology.flow_logs.values(), {s.flow_log_id for s in evidence.sources})
            world = World(
                lookup,
                found,
                aws_ranges_at(self.store, self.hour),
                known_networks(self.options.networks or ""),
                Settings(state == PROVISIONAL, self.options.clock_slack_seconds),
            )
            written = list(self._converse(gathered, known, world, book, evidence))
            rejected = self._write_rejects(gathered, totals["rejects"])
        finally:
            gathered.unpersist()
        counts = steps.merge_counts(part["counts"] for part in written)
        table = coverage.table(evidence, counts, sweeps)
        rows = {
            "conversations": sum(part["rows"] for part in written),
            "coverage": self._write("coverage", table),
            "rejects": rejected,
            "address_book": book_rows.result(),
        }
        if not any("key" in part for part in written):
            self._write("conversations", arrow_schema(contract("conversations")).empty_table())
        self._remember_reporters(found, lookup)
        reconciliation = coverage.reconcile(evidence, counts, [part.get("published", {}) for part in written])
        self.clock.step("write", f"{rows['conversations']} conversations")
        return Written(rows, totals | reconciliation.totals(), reconciliation)

    def _warn(self, totals: Mapping[str, Any]) -> None:
        longest = totals["max_aggregation_seconds"]
        if longest and self.options.window_seconds < longest:
            self.clock.log(
                f"{self.hour} warning: windows of {self.options.window_seconds} s are shorter than "
                f"the longest aggregation interval seen ({longest} s): "
                "bytes go whole to the window of their record's start"
            )

    def _warn_of_unread(self, known: Iterable[FlowLog], read: Collection[str | None]) -> None:
        ids = unread(known, read)
        if ids:
            shown = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
            self.clock.log(
                f"{self.hour} warning: nothing was read of {len(ids)} flow logs that the inventory knows ({shown}): "
                "they lie elsewhere, are late, or their interfaces are gone"
            )

    def _parallel(self, count: int) -> DataFrame:
        return self.spark.range(0, count, 1, count)

    def _gather(self, packed: list[list[RawObject]], known: Broadcast[Lookup], sharing: list[RawObject]) -> DataFrame:
        """sharing: objects that may have events in common, of which each is to count once."""
        objects = self.spark.sparkContext.broadcast(packed)
        store, task = self.raw_store, self.task
        if sharing:
            return self._gather_once(packed, objects, known, sharing)

        def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in _numbers(batches):
                yield from _as_batches(steps.gather(objects.value[number], store, known.value, task))

        return self._parallel(len(packed)).mapInArrow(work, PARCELS)

    def _gather_once(
        self,
        packed: list[list[RawObject]],
        objects: Broadcast[list[list[RawObject]]],
        known: Broadcast[Lookup],
        sharing: list[RawObject],
    ) -> DataFrame:
        """The same, with what is repeated told to each task before: it comes to where the task's number comes to."""
        store, task = self.raw_store, self.task
        number_of = {item.key: number for number, item in enumerate(sharing)}
        task_of = {item.key: number for number, items in enumerate(packed) for item in items}
        shares = [[(number_of[item.key], item) for item in share] for share in tasks(sharing, self.cores)]
        listed = self.spark.sparkContext.broadcast((shares, sharing, [task_of[item.key] for item in sharing]))
        cut = buckets_for(sharing)
        buckets, seat_of = seats(cut, 1), seats(len(packed), 1)
        task_at = {seat: number for number, seat in enumerate(seat_of)}

        def list_events(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in _numbers(batches):
                found = events(listed.value[0][number], store, cut)
                yield from _as_batches((buckets[bucket], kind, payload) for bucket, kind, payload in found)

        def find_repeats(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            found = repeats(_payloads(batches), listed.value[2])
            yield from _as_batches((seat_of[number], kind, payload) for number, kind, payload in found)

        def seated(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from _as_batches((seat_of[number], _TASK, b"") for number in _numbers(batches))

        def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            numbers: list[int] = []
            told: list[bytes] = []
            for bucket, kind, payload in _parcels(batches):
                if kind == _TASK:
                    numbers.append(task_at[bucket])
                else:
                    told.append(payload)
            repeated = by_key(told, listed.value[1])
            for number in numbers:
                yield from _as_batches(steps.gather(objects.value[number], store, known.value, task, repeated))

        found = self._parallel(len(shares)).mapInArrow(list_events, PARCELS).repartition(cut, "bucket")
        told = found.mapInArrow(find_repeats, PARCELS)
        all_tasks = self.spark.range(0, len(packed), 1, 1).mapInArrow(seated, PARCELS)
        return told.union(all_tasks).repartition(len(packed), "bucket").mapInArrow(work, PARCELS)

    def _collect(self, parcels: DataFrame, kind: str, times: int) -> Iterator[dict[str, pa.Table]]:
        """The tables of all parcels of a kind, in so many goes: while those of one are merged, the next are read."""
        wanted = parcels.where(parcels.kind == kind).select("payload").coalesce(times)
        for row in wanted.toLocalIterator(prefetchPartitions=True):
            yield unpack(bytes(row.payload))

    def _converse(
        self, gathered: DataFrame, known: Broadcast[Lookup], world: World, book: Book, evidence: Evidence
    ) -> Iterator[dict[str, Any]]:
        context = self.spark.sparkContext
        sums = gathered.where(gathered.kind == steps.SUMS).select("bucket", "kind", "payload")
        partitions, each = _cut(sum(int(row["records"]) for row in evidence.source_rows), self.cores)
        # The book's arrays are there already, and large.
        beside = context.broadcast((world.hints, world.aws, world.networks, world.settings))
        states = context.broadcast(pack({"states": states_table(book)}))
        buckets = seats(partitions, each)
        settings = TagSettings(self.options.owner_tags, self.options.app_tags)
        store, task, folder = self.store, self.task, places.run_folder("conversations", self.hour, self.run_id)

        def attribute(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            parcels = steps.attribute(_payloads(batches), World(known.value, *beside.value), len(buckets))
            yield from _as_batches((buckets[bucket], kind, payload) for bucket, kind, payload in parcels)

        def converse(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            from pyspark import TaskContext

            running = TaskContext.get()
            number = running.partitionId() if running else 0
            book_states = unpack(states.value)["states"]
            world = World(known.value, *beside.value)
            yield from _as_batches(
                steps.converse(_by_bucket(batches), world, book_states, settings, task, store, folder, number)
            )

        bucketed = sums.mapInArrow(attribute, PARCELS).repartition(partitions, "bucket")
        for row in bucketed.mapInArrow(converse, PARCELS).collect():
            yield json.loads(bytes(row.payload))

    def _write_rejects(self, gathered: DataFrame, count: int) -> int:
        schema = arrow_schema(contract("rejects"))
        if not count:
            return self._write("rejects", schema.empty_table())
        store, folder = self.store, places.run_folder("rejects", self.hour, self.run_id)

        def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            from pyspark import TaskContext

            running = TaskContext.get()
            number = running.partitionId() if running else 0
            tables = [unpack(payload)["rejects"] for payload in _payloads(batches)]
            if tables:
                table = pa.concat_tables(tables).select(schema.names).cast(schema)
                store.put(f"{folder}part-{number:05d}.zstd.parquet", _parquet(table))
                yield from _as_batches([(0, steps.WRITTEN, json.dumps(table.num_rows).encode())])

        rejects = gathered.where(gathered.kind == steps.REJECTS).select("bucket", "kind", "payload")
        files = max(1, min(self.cores, count // 500_000))
        written = rejects.coalesce(files).mapInArrow(write, PARCELS).collect()
        return sum(json.loads(bytes(row.payload)) for row in written)

    def _write_book(self, book: Book) -> int:
        """Writes the book while it is compiled and workers read; and has its digest ready, which the manifest tells."""
        rows = self._write("address_book", _book_table(book))
        _ = book.digest
        return rows

    def _write(self, table: str, rows: pa.Table) -> int:
        key = f"{places.run_folder(table, self.hour, self.run_id)}part-00000.zstd.parquet"
        self.store.put(
            key, _parquet(rows.select(arrow_schema(contract(table)).names).cast(arrow_schema(contract(table))))
        )
        return rows.num_rows

    def _remember_reporters(self, found: Hints, lookup: Lookup) -> None:
        reported = found.reported(lookup)
        columns = list(zip(*reported.values(), strict=True)) or [(), ()]
        table = pa.table([list(reported), *columns], schema=_REPORTED)
        self.store.put(_reporters_key(self.hour, self.run_id), _ipc(table))

    def audit(self, written: Written, files: Mapping[str, Sequence[FileWritten]]) -> None:
        written.reconciliation.check()
        published = {leg: amount for leg, amount in written.reconciliation.published.items() if amount}
        audited = audit_run(
            self.spark, self.store, self.hour, self.run_id, files, written.rows, self.options.window_seconds, published
        )
        self.clock.step("audit", f"{sum(audited.expectations.values())} expectations hold")


def _cut(records: int, cores: int) -> tuple[int, int]:
    """Into how many partitions the rows of so many records are cut, and each into how many buckets: for large hours as
    many partitions as keep all cores busy to the end.
    """
    wanted = records / RECORDS_A_PARTITION
    partitions = max(1, math.ceil(wanted)) if wanted <= cores else cores * round(wanted / cores)
    return partitions, max(1, math.ceil(records / partitions / RECORDS_A_BUCKET))


def _reporters_key(hour: Hour, run_id: str) -> str:
    return places.manifest(hour, run_id).replace("manifest.json", "reporters.arrow")


_REPORTED = pa.schema([("interface_id", pa.string()), ("penalty", pa.uint8()), ("flow_logs", pa.list_(pa.string()))])


def _previous(store: ObjectStore, hour: Hour) -> dict[str, Reported] | None:
    """How each interface reported the hour before, where it was published."""
    pointer = current(store, hour.plus(-1))
    if pointer is None:
        return None
    try:
        table = pa.ipc.open_stream(store.get(_reporters_key(hour.plus(-1), pointer.run_id))).read_all()
    except NoSuchObject:
        return None
    kept = (table[name].to_pylist() for name in ("interface_id", "penalty"))
    logs = table["flow_logs"].to_pylist() if "flow_logs" in table.column_names else [None] * table.num_rows
    return {name: Reported(penalty, of and tuple(of)) for name, penalty, of in zip(*kept, logs, strict=True)}


def _book_table(book: Book) -> pa.Table:
    from flowlake.flows.book_table import book_table

    return book_table(book)


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", coerce_timestamps="us")
    return sink.getvalue()


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _numbers(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _parcels(batches: Iterable[pa.RecordBatch]) -> Iterator[Parcel]:
    for batch in batches:
        for bucket, kind, payload in zip(*(batch.column(name) for name in _PARCEL_SCHEMA.names), strict=True):
            yield bucket.as_py(), kind.as_py(), payload.as_py()


def _payloads(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    for batch in batches:
        column = batch.column(batch.schema.get_field_index("payload"))
        for value in column:
            yield value.as_py()


def _by_bucket(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, bytes]]:
    for batch in batches:
        for bucket, payload in zip(batch.column("bucket"), batch.column("payload"), strict=True):
            yield bucket.as_py(), payload.as_py()


_PARCEL_SCHEMA = pa.schema([("bucket", pa.int32()), ("kind", pa.string()), ("payload", pa.binary())])


def _as_batches(parcels: Iterable[Parcel]) -> Iterator[pa.RecordBatch]:
    for bucket, kind, payload in parcels:
        yield pa.RecordBatch.from_arrays(
            [pa.array([bucket], pa.int32()), pa.array([kind]), pa.array([payload], pa.binary())], schema=_PARCEL_SCHEMA
        )


__all__ = ["Options", "Result", "as_text", "enrich_hour"]
