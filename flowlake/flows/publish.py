"""Publishing: how an hour that was written becomes the hour that readers see.

A run writes each table into a folder of its own, which nobody reads yet. Publishing it takes four steps:

1. the run's manifest, written once: what it read, what it knew, what it wrote and counted;
2. the hour's pointer, moved to the run by a conditional write, if the run does not go backwards;
3. the partition of each table pointed at the run's folder, conversations last;
4. all of them read back and compared with the pointer, which is read once more.

The pointer decides. Whoever writes a partition reads the pointer afterwards and writes again if it has moved, so the
partitions end where the pointer ends, in whatever order publishers ran. A publisher that dies leaves each table with
its old run or its new one, whole; the next publish of the hour, or repair, finishes what it began.

Clocks are arguments; times are UTC.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flowlake.lake import places
from flowlake.lake.catalog import Catalog, CatalogConflict, NoSuchTable, Partition
from flowlake.lake.contracts import contract, tables
from flowlake.lake.hours import BadHour, Hour
from flowlake.lake.store import Conflict, NoSuchObject, ObjectStore

PUBLISHED = ("address_book", "rejects", "coverage", "conversations")
"""The tables of an hour, in the order in which their partitions are moved."""

PROVISIONAL, FINAL = "provisional", "final"
KEEP_SUPERSEDED = timedelta(hours=48)
SWEPT_AFTER = "inventory_swept_after"
"""Among a run's counts: whether all of the inventory was swept wholly after the hour."""

_FORMAT = 1
_TRIES = 20
_REMEMBER_SUPERSEDED = timedelta(days=30)
_LOOK_BACK = timedelta(days=7)
_OF_A_RUN = re.compile(r"^hour=(?P<hour>\d\d)/run=(?P<run>[^/]+)/")
_RUN_ID = re.compile(r"^\d{8}T\d{12}-[0-9a-f]{8}$")
_BESIDE_A_MANIFEST = re.compile(r"^runs/(?P<run>[^/]+)/.")
_RUN_ID_TIME = "%Y%m%dT%H%M%S%f"


class PublishError(Exception):
    """A run could not be published; what readers see has not changed, or is one whole run."""


class Superseded(PublishError):
    """The hour's current run knows more than this one: publishing it would go backwards."""


@dataclass(frozen=True, order=True)
class ObjectRead:
    """One raw object that a run read."""

    key: str
    etag: str
    size: int


@dataclass(frozen=True, order=True)
class FileWritten:
    """One file of a table that a run wrote; key is relative to the lake."""

    key: str
    size: int


@dataclass(frozen=True)
class Run:
    """What one run of one hour read, knew, wrote and counted.

    inventory_cutoff is the moment up to which observations were taken into account, by when they were recorded.
    book_digest is of the address book's meaning. settings and counts are the job's own, plain JSON.
    """

    hour: Hour
    run_id: str
    state: str
    objects: tuple[ObjectRead, ...]
    inventory_cutoff: datetime
    book_digest: str
    files: Mapping[str, tuple[FileWritten, ...]]
    rows: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A run as it was recorded. previous_run was current when the manifest was written; None for an hour's first."""

    run: Run
    created_at: datetime
    previous_run: str | None


@dataclass(frozen=True)
class Pointer:
    """Which run of an hour is the published one, and what the next run must know of it to see whether it is newer.

    superseded says of each earlier run when it ceased to be current. etag is that of the pointer's object.
    """

    hour: Hour
    run_id: str
    state: str
    manifest: str
    manifest_digest: str
    objects_digest: str
    book_digest: str
    inventory_cutoff: datetime
    published_at: datetime
    superseded: Mapping[str, datetime]
    etag: str = ""


@dataclass(frozen=True)
class Published:
    """What readers see now: the hour's pointer, its manifest, and the partition of each table."""

    pointer: Pointer
    manifest: Manifest
    partitions: Mapping[str, Partition]


def new_run_id(now: datetime) -> str:
    """A run's name: ids sort by time, and no two runs share one."""
    return f"{now.astimezone(UTC).strftime(_RUN_ID_TIME)}-{secrets.token_hex(4)}"


def objects_digest(objects: Iterable[ObjectRead]) -> str:
    """A digest of the set of objects (key, etag and size), in whatever order they come."""
    return _digest(json.dumps(sorted([o.key, o.etag, o.size] for o in objects)).encode())


def files_written(store: ObjectStore, hour: Hour, run_id: str) -> dict[str, tuple[FileWritten, ...]]:
    """What lies in the run's folders, by table. Names that begin with '_' or '.' are no data, for readers neither."""
    found = {}
    for table in PUBLISHED:
        infos = store.list(places.run_folder(table, hour, run_id))
        data = (info for info in infos if not info.key.rsplit("/", 1)[-1].startswith(("_", ".")))
        found[table] = tuple(FileWritten(info.key, info.size) for info in data)
    return found


# ---- reading what is published ---------------------------------------------------------------------------------------


def current(store: ObjectStore, hour: Hour) -> Pointer | None:
    """The hour's pointer; None where the hour was never published."""
    try:
        data, etag = store.get_with_etag(places.pointer(hour))
    except NoSuchObject:
        return None
    said = _document(data, places.pointer(hour))
    return Pointer(
        hour=Hour.parse(said["hour"]),
        run_id=said["run_id"],
        state=said["state"],
        manifest=said["manifest"],
        manifest_digest=said["manifest_digest"],
        objects_digest=said["objects_digest"],
        book_digest=said["book_digest"],
        inventory_cutoff=_moment(said["inventory_cutoff"]),
        published_at=_moment(said["published_at"]),
        superseded={run: _moment(at) for run, at in said["superseded"].items()},
        etag=etag,
    )


def read_manifest(store: ObjectStore, pointer: Pointer) -> Manifest:
    """The manifest of the pointer's run. Raises PublishError where it is gone, or not what was published."""
    try:
        data = store.get(pointer.manifest)
    except NoSuchObject as error:
        raise PublishError(f"hour {pointer.hour}: {store.place(pointer.manifest)} is gone") from error
    if _digest(data) != pointer.manifest_digest:
        raise PublishError(f"hour {pointer.hour}: {store.place(pointer.manifest)} is not what was published")
    return _manifest(_document(data, pointer.manifest))


# ---- publishing ------------------------------------------------------------------------------------------------------


def publish(store: ObjectStore, catalog: Catalog, run: Run, now: datetime, *, force: bool = False) -> Published:
    """Makes the run the one that readers see. Publishing the same run again finishes what a first try left undone.

    Raises Superseded where the hour's current run knows more (force says that going backwards is meant), PublishError
    where the run's folders don't hold what it says that it wrote.
    """
    _check(store, run)
    _ensure_tables(catalog)
    before = current(store, run.hour)
    manifest_key, data = _record(store, Manifest(run, now, before.run_id if before else None))
    try:
        _move_pointer(store, run, manifest_key, _digest(data), now, force)
    except Superseded:
        repair(store, catalog, run.hour)
        raise
    published = repair(store, catalog, run.hour)
    if published is None:
        raise PublishError(f"hour {run.hour}: the pointer was moved and is gone")
    return published


def repair(store: ObjectStore, catalog: Catalog, hour: Hour) -> Published | None:
    """Points the hour's partitions at the run that its pointer names, if they don't point there already, and checks
    them. None where the hour was never published. Raises PublishError where others keep changing them."""
    for _ in range(_TRIES):
        pointer = current(store, hour)
        if pointer is None:
            return None
        manifest = read_manifest(store, pointer)
        try:
            for table in PUBLISHED:
                _point(catalog, table, manifest.run, _parameters(store, pointer, manifest.run, table), store)
        except CatalogConflict:
            continue
        except NoSuchTable:
            _ensure_tables(catalog)  # another catalog than the one it was published in, or a new one
            continue
        checked = _pointing(store, catalog, pointer)
        after = current(store, hour)
        if after is not None and after.run_id == pointer.run_id and len(checked) == len(PUBLISHED):
            return Published(after, manifest, checked)
    raise PublishError(f"hour {hour}: its partitions could not be brought to its pointer, others keep changing them")


def _ensure_tables(catalog: Catalog) -> None:
    for table in tables():  # those that are only appended to as well: readers look for them in the catalog
        catalog.ensure_table(contract(table))


def is_shown(store: ObjectStore, catalog: Catalog, pointer: Pointer) -> bool:
    """Whether readers see the run that the hour's pointer names."""
    try:
        return len(_pointing(store, catalog, pointer)) == len(PUBLISHED)
    except NoSuchTable:
        return False


def _pointing(store: ObjectStore, catalog: Catalog, pointer: Pointer) -> dict[str, Partition]:
    """The partitions of the pointer's hour, by table, that are at its run. Raises NoSuchTable."""
    hour = pointer.hour
    partitions = {table: catalog.partition(table, (hour.dt, hour.hh)) for table in PUBLISHED}
    return {table: p for table, p in partitions.items() if p and _points(p, pointer, table, store)}


def _check(store: ObjectStore, run: Run) -> None:
    """A partition is its folder, whatever lies in it: so nothing may lie there but what the run says that it wrote."""
    if not _RUN_ID.match(run.run_id):
        raise PublishError(f"'{run.run_id}' is no run id")
    if run.state not in (PROVISIONAL, FINAL):
        raise PublishError(f"run {run.run_id}: its state is {run.state}, neither {PROVISIONAL} nor {FINAL}")
    for part in (run.files, run.rows):
        if set(part) != set(PUBLISHED):
            raise PublishError(f"run {run.run_id} speaks of {', '.join(sorted(part))}, not of {', '.join(PUBLISHED)}")
    for table, found in files_written(store, run.hour, run.run_id).items():
        if sorted(found) != sorted(run.files[table]):
            differ = sorted({file.key for file in set(found) ^ set(run.files[table])})
            raise PublishError(f"run {run.run_id}: {table} is not what was written, see {', '.join(differ[:5])}")


def _record(store: ObjectStore, manifest: Manifest) -> tuple[str, bytes]:
    """Writes the manifest, once: a second try of the same run finds the first one's. Returns its key and bytes."""
    run = manifest.run
    key = places.manifest(run.hour, run.run_id)
    data = _as_json(_manifest_document(manifest))
    try:
        store.put(key, data, if_none_match=True)
        return key, data
    except Conflict:
        data = store.get(key)
        if _run_document(_manifest(_document(data, key)).run) != _run_document(run):
            raise PublishError(f"run {run.run_id} of hour {run.hour} was recorded before, with other content") from None
        return key, data


def _move_pointer(store: ObjectStore, run: Run, manifest_key: str, digest: str, now: datetime, force: bool) -> None:
    for _ in range(_TRIES):
        there = current(store, run.hour)
        if there is not None and there.run_id == run.run_id:
            return
        if there is not None and not force:
            _check_newer(run, there, read_manifest(store, there).run)
        pointer = {
            "format": _FORMAT,
            "hour": str(run.hour),
            "run_id": run.run_id,
            "state": run.state,
            "manifest": manifest_key,
            "manifest_digest": digest,
            "objects_digest": objects_digest(run.objects),
            "book_digest": run.book_digest,
            "inventory_cutoff": _text(run.inventory_cutoff),
            "published_at": _text(now),
            "superseded": _superseded(run.run_id, there, now),
        }
        try:
            if there is None:
                store.put(places.pointer(run.hour), _as_json(pointer), if_none_match=True)
            else:
                store.put(places.pointer(run.hour), _as_json(pointer), if_match=there.etag)
            return
        except Conflict:
            continue
    raise PublishError(f"hour {run.hour}: its pointer could not be moved, others keep moving it")


def _superseded(run_id: str, there: Pointer | None, now: datetime) -> dict[str, str]:
    if there is None:
        return {}
    ended = {**there.superseded, there.run_id: now}
    return {r: _text(at) for r, at in ended.items() if r != run_id and at > now - _REMEMBER_SUPERSEDED}


def _check_newer(run: Run, there: Pointer, there_run: Run) -> None:
    """A run is newer if it knows at least as much: no earlier inventory, no fewer objects, no state taken back. Of two
    that know the same, the one that began later."""
    backwards = None
    unread = {o.key for o in there_run.objects} - {o.key for o in run.objects}
    if run.run_id in there.superseded:
        backwards = "it was published and superseded before"
    elif run.inventory_cutoff < there.inventory_cutoff:
        backwards = f"its inventory ends at {_text(run.inventory_cutoff)}, not {_text(there.inventory_cutoff)}"
    elif unread:
        backwards = f"it has not read {len(unread)} objects, such as {min(unread)}"
    elif (run.state, there.state) == (PROVISIONAL, FINAL):
        backwards = "the hour is final already"
    elif _knows(run) == _knows(there_run) and run.run_id < there_run.run_id:
        backwards = "it began earlier and knows no more"
    if backwards:
        raise Superseded(f"hour {run.hour}: run {run.run_id} would replace {there.run_id}, but {backwards}")


def _knows(run: Run) -> tuple[Any, ...]:
    return run.inventory_cutoff, objects_digest(run.objects), run.state


def _point(catalog: Catalog, table: str, run: Run, parameters: dict[str, str], store: ObjectStore) -> None:
    values = (run.hour.dt, run.hour.hh)
    location = _location(store, table, run.hour, run.run_id)
    there = catalog.partition(table, values)
    if there is None or (there.location, dict(there.parameters)) != (location, parameters):
        catalog.put_partition(table, values, location, parameters, there.version if there else None)


def _points(partition: Partition, pointer: Pointer, table: str, store: ObjectStore) -> bool:
    here = partition.location == _location(store, table, pointer.hour, pointer.run_id)
    return here and partition.parameters.get("flowlake.manifest_digest") == pointer.manifest_digest


def _location(store: ObjectStore, table: str, hour: Hour, run_id: str) -> str:
    return store.place(places.run_folder(table, hour, run_id))


def _parameters(store: ObjectStore, pointer: Pointer, run: Run, table: str) -> dict[str, str]:
    return {
        "flowlake.run_id": run.run_id,
        "flowlake.state": pointer.state,
        "flowlake.published_at": _text(pointer.published_at),
        "flowlake.manifest": store.place(pointer.manifest),
        "flowlake.manifest_digest": pointer.manifest_digest,
        "flowlake.rows": str(run.rows[table]),
        "flowlake.files": str(len(run.files[table])),
        "flowlake.bytes": str(sum(file.size for file in run.files[table])),
    }


# ---- expiring --------------------------------------------------------------------------------------------------------


def expire_runs(
    store: ObjectStore, catalog: Catalog, now: datetime, keep: timedelta = KEEP_SUPERSEDED
) -> list[tuple[Hour, str]]:
    """Deletes what runs wrote that were superseded more than keep ago, and what was never published and is as old.

    Never the current run, and nothing that a partition still points to: the hour is repaired first. Looks at all hours
    by what lies beside their pointers, and at the folders of the last days for runs that left nothing there. Returns
    the (hour, run) pairs deleted.
    """
    runs, published = _runs_by_hour(store, now - keep - _LOOK_BACK)
    expired = []
    for hour, ids in sorted(runs.items()):
        if hour in published and len(ids) == 1:
            continue  # the current one
        pointer = current(store, hour)
        old = [run_id for run_id in sorted(ids) if _ended(run_id, pointer, now) <= now - keep]
        if old:
            repair(store, catalog, hour)
        for run_id in old:
            _delete_run(store, hour, run_id)
            expired.append((hour, run_id))
    return expired


def _ended(run_id: str, pointer: Pointer | None, now: datetime) -> datetime:
    """When the run ceased to be current: now for the one that is, and when it began for one that never was."""
    if pointer is None:
        return _began(run_id)
    return now if run_id == pointer.run_id else pointer.superseded.get(run_id, _began(run_id))


def _runs_by_hour(store: ObjectStore, since: datetime) -> tuple[dict[Hour, set[str]], set[Hour]]:
    """Runs of which something lies in the lake, and the hours that have a pointer. Names that are no runs' are left
    alone. One listing tells all that was ever recorded; tables are looked at from since on."""
    runs: dict[Hour, set[str]] = defaultdict(set)
    published = set()
    for info in store.list(places.HOURS):
        dt, _, rest = info.key.removeprefix(places.HOURS).partition("/")
        hh, _, rest = rest.partition("/")
        hour = _hour(dt, hh)
        if hour and rest == "current.json":
            published.add(hour)
        elif hour and (found := _BESIDE_A_MANIFEST.match(rest)) and _RUN_ID.match(found["run"]):
            runs[hour].add(found["run"])
    for table in PUBLISHED:
        root = f"{places.TABLES}{table}/"
        for day in store.folders(root):
            dt = day.removeprefix(f"{root}dt=")[:-1]
            for info in store.list(day) if dt >= since.astimezone(UTC).strftime("%Y-%m-%d") else ():
                found = _OF_A_RUN.match(info.key.removeprefix(day))
                hour = _hour(dt, found["hour"]) if found else None
                if found and hour and _RUN_ID.match(found["run"]):
                    runs[hour].add(found["run"])
    return runs, published


def _hour(dt: str, hh: str) -> Hour | None:
    try:
        return Hour.of_partition(dt, hh)
    except BadHour:
        return None


def _delete_run(store: ObjectStore, hour: Hour, run_id: str) -> None:
    """The tables first and what lies by the manifest last: a deletion that stops half-way is taken up again."""
    manifest = places.manifest(hour, run_id)
    for folder in [places.run_folder(table, hour, run_id) for table in reversed(PUBLISHED)] + [
        manifest[: manifest.rfind("/") + 1]
    ]:
        store.delete([info.key for info in store.list(folder)])


def _began(run_id: str) -> datetime:
    return datetime.strptime(run_id.split("-")[0], _RUN_ID_TIME).replace(tzinfo=UTC)


# ---- as JSON ---------------------------------------------------------------------------------------------------------


def _run_document(run: Run) -> dict[str, Any]:
    return {
        "hour": str(run.hour),
        "run_id": run.run_id,
        "state": run.state,
        "inventory_cutoff": _text(run.inventory_cutoff),
        "book_digest": run.book_digest,
        "objects_digest": objects_digest(run.objects),
        "settings": dict(run.settings),
        "counts": dict(run.counts),
        "rows": dict(run.rows),
        "files": {table: [[f.key, f.size] for f in sorted(files)] for table, files in run.files.items()},
        "objects": [[o.key, o.etag, o.size] for o in sorted(run.objects)],
    }


def _manifest_document(manifest: Manifest) -> dict[str, Any]:
    return _run_document(manifest.run) | {
        "format": _FORMAT,
        "created_at": _text(manifest.created_at),
        "previous_run": manifest.previous_run,
    }


def _manifest(said: dict[str, Any]) -> Manifest:
    run = Run(
        hour=Hour.parse(said["hour"]),
        run_id=said["run_id"],
        state=said["state"],
        objects=tuple(ObjectRead(*entry) for entry in said["objects"]),
        inventory_cutoff=_moment(said["inventory_cutoff"]),
        book_digest=said["book_digest"],
        files={table: tuple(FileWritten(*entry) for entry in files) for table, files in said["files"].items()},
        rows=said["rows"],
        settings=said["settings"],
        counts=said["counts"],
    )
    return Manifest(run, _moment(said["created_at"]), said["previous_run"])


def _document(data: bytes, key: str) -> dict[str, Any]:
    try:
        said = dict(json.loads(data))
    except (ValueError, TypeError) as error:
        raise PublishError(f"{key} is no JSON document") from error
    if said.get("format") != _FORMAT:
        raise PublishError(f"{key} has format {said.get('format')}, this flowlake reads {_FORMAT}")
    return said


def _as_json(document: Mapping[str, Any]) -> bytes:
    """One member a line, so that a manifest of thousands of objects can be looked at and compared."""
    members = (f"{json.dumps(k)}: {_lines(v)}" for k, v in sorted(document.items()))
    return ("{\n" + ",\n".join(members) + "\n}\n").encode()


def _lines(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return "[\n " + ",\n ".join(json.dumps(entry, sort_keys=True) for entry in value) + "\n]"
    return json.dumps(value, sort_keys=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
