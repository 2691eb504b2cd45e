"""Publishing: readers see one whole run of an hour, the newest, whatever dies and whoever else publishes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flowlake.flows.publish import (
    FINAL,
    PROVISIONAL,
    PUBLISHED,
    ObjectRead,
    PublishError,
    Run,
    Superseded,
    current,
    expire_runs,
    files_written,
    new_run_id,
    objects_digest,
    publish,
    read_manifest,
    repair,
)
from flowlake.lake import places
from flowlake.lake.catalog import Catalog, CatalogConflict, open_catalog
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectStore, open_store

HOUR = Hour.parse("2026-01-01T00")
NOW = datetime(2026, 1, 1, 1, 15, tzinfo=UTC)
CUTOFF = datetime(2026, 1, 1, 1, 10, tzinfo=UTC)
OBJECTS = (ObjectRead("raw/a.log.gz", "e1", 10), ObjectRead("raw/b.log.gz", "e2", 20))


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.fixture
def store(lake: str) -> ObjectStore:
    return open_store(lake)


@pytest.fixture
def catalog(lake: str) -> Catalog:
    return open_catalog(lake)


def written(store: ObjectStore, minutes: int = 0, **changes: Any) -> Run:
    """A run that began so many minutes after NOW and wrote one small file a table, none for rejects."""
    run_id = new_run_id(NOW + timedelta(minutes=minutes))
    for table in PUBLISHED:
        if table != "rejects":
            store.put(f"{places.run_folder(table, HOUR, run_id)}part-0.parquet", f"{table} {run_id}".encode())
    store.put(f"{places.run_folder('conversations', HOUR, run_id)}_SUCCESS", b"")
    store.put(places.manifest(HOUR, run_id).replace("manifest.json", "notes.arrow"), b"beside the manifest")
    known: dict[str, Any] = {
        "hour": HOUR,
        "run_id": run_id,
        "state": PROVISIONAL,
        "objects": OBJECTS,
        "inventory_cutoff": CUTOFF,
        "book_digest": "b1",
        "files": files_written(store, HOUR, run_id),
        "rows": dict.fromkeys(PUBLISHED, 1),
        "settings": {"window_seconds": 300},
        "counts": {"records": 2, "rejects": {"torn": 1}},
    }
    return Run(**(known | changes))


def runs_seen(catalog: Catalog) -> list[str | None]:
    """The run that each table's partition points to, by its location, in the order in which they are moved."""
    found = []
    for table in PUBLISHED:
        partition = catalog.partition(table, (HOUR.dt, HOUR.hh)) if table in catalog.tables() else None
        found.append(partition.location.rstrip("/").rsplit("run=")[-1] if partition else None)
    return found


# ---- one publisher -----------------------------------------------------------------------------------------------


def test_a_first_run_is_published(store: ObjectStore, catalog: Catalog) -> None:
    run = written(store)
    assert current(store, HOUR) is None
    published = publish(store, catalog, run, NOW)
    assert runs_seen(catalog) == [run.run_id] * 4
    pointer = current(store, HOUR)
    assert pointer is not None
    assert published.pointer == pointer
    assert (pointer.run_id, pointer.state, pointer.published_at, pointer.superseded) == (
        run.run_id,
        PROVISIONAL,
        NOW,
        {},
    )
    assert (pointer.objects_digest, pointer.book_digest) == (objects_digest(OBJECTS), "b1")
    manifest = read_manifest(store, pointer)
    assert manifest.run == run
    assert (manifest.created_at, manifest.previous_run) == (NOW, None)


def test_a_partition_says_which_run_it_is_and_where_its_manifest_lies(store: ObjectStore, catalog: Catalog) -> None:
    run = written(store)
    pointer = publish(store, catalog, run, NOW).pointer
    conversations = catalog.partition("conversations", ("2026-01-01", "00"))
    assert conversations is not None
    assert conversations.location == f"{store.root}/tables/conversations/dt=2026-01-01/hour=00/run={run.run_id}/"
    assert conversations.parameters == {
        "flowlake.run_id": run.run_id,
        "flowlake.state": "provisional",
        "flowlake.published_at": "2026-01-01T01:15:00Z",
        "flowlake.manifest": f"{store.root}/hours/2026-01-01/00/runs/{run.run_id}/manifest.json",
        "flowlake.manifest_digest": pointer.manifest_digest,
        "flowlake.rows": "1",
        "flowlake.files": "1",
        "flowlake.bytes": str(len(f"conversations {run.run_id}")),
    }


def test_a_table_without_rows_has_a_partition_without_files(store: ObjectStore, catalog: Catalog) -> None:
    run = written(store, rows={**dict.fromkeys(PUBLISHED, 1), "rejects": 0})
    rejects = publish(store, catalog, run, NOW).partitions["rejects"]
    assert (rejects.parameters["flowlake.files"], rejects.parameters["flowlake.rows"]) == ("0", "0")


def test_a_newer_run_takes_over_and_says_whom_it_superseded(store: ObjectStore, catalog: Catalog) -> None:
    first, second = (
        written(store),
        written(store, minutes=60, inventory_cutoff=CUTOFF + timedelta(hours=1), state=FINAL),
    )
    publish(store, catalog, first, NOW)
    pointer = publish(store, catalog, second, NOW + timedelta(hours=1)).pointer
    assert runs_seen(catalog) == [second.run_id] * 4
    assert pointer.superseded == {first.run_id: NOW + timedelta(hours=1)}
    assert read_manifest(store, pointer).previous_run == first.run_id


def test_publishing_a_run_again_changes_nothing(store: ObjectStore, catalog: Catalog) -> None:
    run = written(store)
    first = publish(store, catalog, run, NOW)
    assert publish(store, catalog, run, NOW + timedelta(minutes=5)) == first


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"minutes": 60, "inventory_cutoff": CUTOFF - timedelta(seconds=1)},
            "its inventory ends at 2026-01-01T01:09:59Z",
        ),
        ({"minutes": 60, "objects": OBJECTS[:1]}, "has not read 1 objects, such as raw/b.log.gz"),
        ({"minutes": 60, "state": PROVISIONAL}, "the hour is final already"),
        ({"minutes": -1}, "it began earlier and knows no more"),
    ],
)
def test_a_run_that_would_go_backwards_is_stopped(
    store: ObjectStore, catalog: Catalog, changes: dict[str, Any], says: str
) -> None:
    there = written(store, state=FINAL)
    publish(store, catalog, there, NOW)
    older = written(store, **({"state": FINAL} | changes))
    with pytest.raises(Superseded, match=f"run {older.run_id} would replace {there.run_id}, but .*{says}"):
        publish(store, catalog, older, NOW)
    assert runs_seen(catalog) == [there.run_id] * 4
    publish(store, catalog, older, NOW, force=True)
    assert runs_seen(catalog) == [older.run_id] * 4


def test_a_superseded_run_does_not_come_back(store: ObjectStore, catalog: Catalog) -> None:
    first, second = written(store), written(store, minutes=1)
    publish(store, catalog, first, NOW)
    publish(store, catalog, second, NOW)
    with pytest.raises(Superseded, match="was published and superseded before"):
        publish(store, catalog, replace(first), NOW)
    back = publish(store, catalog, first, NOW, force=True).pointer
    assert list(back.superseded) == [second.run_id]


@pytest.mark.parametrize(
    "changes",
    [
        {"minutes": -1, "inventory_cutoff": CUTOFF + timedelta(seconds=1)},  # knows more, though it began earlier
        {"minutes": -1, "objects": (*OBJECTS, ObjectRead("raw/late.log.gz", "e3", 5))},
        {"minutes": -1, "state": FINAL},
        {"minutes": 1, "objects": (ObjectRead("raw/a.log.gz", "changed", 11), OBJECTS[1])},
        {"minutes": 1},
    ],
)
def test_a_run_that_knows_more_is_published(store: ObjectStore, catalog: Catalog, changes: dict[str, Any]) -> None:
    publish(store, catalog, written(store), NOW)
    newer = written(store, **changes)
    publish(store, catalog, newer, NOW)
    assert runs_seen(catalog) == [newer.run_id] * 4


def test_what_lies_in_the_folders_must_be_what_was_written(store: ObjectStore, catalog: Catalog) -> None:
    run = written(store)
    left_over = f"{places.run_folder('conversations', HOUR, run.run_id)}part-1.parquet"
    store.put(left_over, b"of a task that failed")
    with pytest.raises(PublishError, match=f"conversations is not what was written, see {left_over}"):
        publish(store, catalog, run, NOW)
    store.delete([left_over, run.files["coverage"][0].key])
    with pytest.raises(PublishError, match="coverage is not what was written"):
        publish(store, catalog, run, NOW)
    assert current(store, HOUR) is None
    assert runs_seen(catalog) == [None] * 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": "done"}, "its state is done"),
        ({"run_id": "../x"}, "no run id"),
        ({"rows": {"conversations": 1}}, "speaks of conversations, not of"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(
    store: ObjectStore, catalog: Catalog, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(PublishError, match=says):
        publish(store, catalog, replace(written(store), **changes), NOW)


def test_a_run_id_is_not_used_for_two_runs(store: ObjectStore, catalog: Catalog) -> None:
    run = written(store)
    publish(store, catalog, run, NOW)
    with pytest.raises(PublishError, match="was recorded before, with other content"):
        publish(store, catalog, replace(run, counts={"records": 3}), NOW)


def test_a_manifest_that_was_touched_is_noticed(store: ObjectStore, catalog: Catalog) -> None:
    pointer = publish(store, catalog, written(store), NOW).pointer
    store.put(pointer.manifest, store.get(pointer.manifest) + b" ")
    with pytest.raises(PublishError, match="is not what was published"):
        read_manifest(store, pointer)
    store.delete([pointer.manifest])
    with pytest.raises(PublishError, match="is gone"):
        read_manifest(store, pointer)


def test_a_pointer_of_another_format_is_not_guessed_at(store: ObjectStore, catalog: Catalog) -> None:
    publish(store, catalog, written(store), NOW)
    key = places.pointer(HOUR)
    store.put(key, json.dumps(json.loads(store.get(key)) | {"format": 2}).encode())
    with pytest.raises(PublishError, match=r"current.json has format 2, this flowlake reads 1"):
        current(store, HOUR)


def test_run_ids_sort_by_time_and_the_objects_digest_does_not_care_for_order() -> None:
    ids = [new_run_id(NOW + timedelta(milliseconds=i)) for i in range(20)]
    assert ids == sorted(ids)
    assert len({new_run_id(NOW) for _ in range(100)}) == 100
    assert objects_digest(OBJECTS) == objects_digest(OBJECTS[::-1]) != objects_digest(OBJECTS[:1])


# ---- publishers that die, and publishers that race -----------------------------------------------------------------


class Killed(BaseException):
    """As a process ends that is killed: nothing catches it."""


class Watched:
    """A store or catalog that calls back before and after each of its calls."""

    def __init__(self, real: Any, at: Callable[[str], None]) -> None:
        self._real, self._at = real, at

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            self._at(name)
            result = value(*arguments, **named)
            self._at(name)
            return result

        return call


class Counter:
    """Counts moments and acts at one of them."""

    def __init__(self, moment: int, act: Callable[[], None]) -> None:
        self.passed, self.moment, self.act = 0, moment, act

    def __call__(self, name: str) -> None:
        self.passed += 1
        if self.passed == self.moment:
            self.act()


def kill() -> None:
    raise Killed


def moments_of(store: ObjectStore, catalog: Catalog, run: Run) -> int:
    counter = Counter(0, kill)
    publish(Watched(store, counter), Watched(catalog, counter), run, NOW)  # type: ignore[arg-type]
    return counter.passed


def test_a_publisher_killed_at_any_moment_leaves_whole_runs_and_the_next_one_repairs(tmp_path: Path) -> None:
    trial = str(tmp_path / "trial")
    store, catalog = open_store(trial), open_catalog(trial)
    publish(store, catalog, written(store), NOW)
    moments = moments_of(store, catalog, written(store, minutes=1))
    assert moments > 40  # before and after each call: files, manifest, pointer, four partitions, reading back
    pointers = set()
    for moment in range(1, moments + 1):
        place = str(tmp_path / str(moment))
        store, catalog = open_store(place), open_catalog(place)
        old, new = written(store), written(store, minutes=1)
        publish(store, catalog, old, NOW)
        counter = Counter(moment, kill)
        with pytest.raises(Killed):
            publish(Watched(store, counter), Watched(catalog, counter), new, NOW)  # type: ignore[arg-type]
        # Readers: each table has the old run or the new; conversations is never ahead of the others.
        seen = runs_seen(catalog)
        assert set(seen) <= {old.run_id, new.run_id}
        assert seen == sorted(seen, reverse=True), "moved in order, conversations last"
        pointer = current(store, HOUR)
        assert pointer is not None
        pointers.add(pointer.run_id == new.run_id)
        if new.run_id in seen:
            assert pointer.run_id == new.run_id
        # What comes next repairs: by turns the same run again, a newer run, or a run that has nothing to do.
        if moment % 3 == 0:
            publish(store, catalog, new, NOW)
            expected = new.run_id
        elif moment % 3 == 1:
            newer = written(store, minutes=2)
            publish(store, catalog, newer, NOW)
            expected = newer.run_id
        else:
            repair(store, catalog, HOUR)
            expected = pointer.run_id
        assert runs_seen(catalog) == [expected] * 4
    assert pointers == {False, True}


def race_at_each_moment(lakes: Callable[[int], tuple[ObjectStore, Catalog]], step: int = 1) -> None:
    """Publishes a second run, whole, at each moment of a first one's publishing; the second knows more, or less."""
    store, catalog = lakes(0)
    publish(store, catalog, written(store), NOW)
    moments = moments_of(store, catalog, written(store, minutes=1))
    for moment in range(1, moments + 1, step):
        store, catalog = lakes(moment)
        publish(store, catalog, written(store), NOW)
        interrupted = written(store, minutes=1 + moment % 2)
        other = written(store, minutes=2 - moment % 2)
        stopped: list[str] = []

        def publish_other(store: ObjectStore = store, catalog: Catalog = catalog, run: Run = other) -> None:
            try:
                publish(store, catalog, run, NOW)
            except Superseded:
                stopped.append(run.run_id)  # noqa: B023

        counter = Counter(moment, publish_other)
        try:
            publish(Watched(store, counter), Watched(catalog, counter), interrupted, NOW)  # type: ignore[arg-type]
        except Superseded:
            stopped.append(interrupted.run_id)
        winner = max(interrupted, other, key=lambda run: run.run_id)
        pointer = current(store, HOUR)
        assert pointer is not None
        assert pointer.run_id == winner.run_id, f"moment {moment}"
        assert winner.run_id not in stopped
        assert runs_seen(catalog) == [winner.run_id] * 4, f"moment {moment}"


def test_another_publishes_at_any_moment(tmp_path: Path) -> None:
    def lake(number: int) -> tuple[ObjectStore, Catalog]:
        return open_store(tmp_path / str(number)), open_catalog(str(tmp_path / str(number)))

    race_at_each_moment(lake)


def test_another_publishes_at_any_moment_on_s3_and_glue(aws: str) -> None:
    import boto3

    def lake(number: int) -> tuple[ObjectStore, Catalog]:
        boto3.session.Session().client("s3").create_bucket(Bucket=f"lake-{number}")
        return open_store(f"s3://lake-{number}"), open_catalog(f"s3://lake-{number}", f"lake_{number}")

    race_at_each_moment(lake, step=40)


def test_a_glue_partition_written_late_by_an_older_publisher_is_put_right(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Glue has no conditional update: another publishes between the older one's look at a partition and its update."""
    store, catalog, other = open_store(f"s3://{bucket}"), open_catalog(f"s3://{bucket}"), open_catalog(f"s3://{bucket}")
    publish(store, catalog, written(store), NOW)
    older, newer = written(store, minutes=1), written(store, minutes=2)
    update = catalog._glue.update_partition  # type: ignore[attr-defined]
    moved: list[str] = []

    def late(**arguments: Any) -> Any:
        if not moved:
            publish(store, other, newer, NOW)
            moved.append("all")
        return update(**arguments)

    monkeypatch.setattr(catalog._glue, "update_partition", late)  # type: ignore[attr-defined]
    seen = publish(store, catalog, older, NOW)
    assert seen.pointer.run_id == newer.run_id
    assert runs_seen(catalog) == [newer.run_id] * 4


def test_many_publish_at_once(lake: str, store: ObjectStore, catalog: Catalog) -> None:
    runs = [written(store, minutes=i) for i in range(6)]
    begin = threading.Barrier(len(runs))
    outcomes: dict[str, str] = {}

    def work(run: Run) -> None:
        begin.wait()
        try:
            publish(open_store(lake), open_catalog(lake), run, NOW)
            outcomes[run.run_id] = "published"
        except Superseded:
            outcomes[run.run_id] = "superseded"

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = runs[-1].run_id
    pointer = current(store, HOUR)
    assert pointer is not None
    assert len(outcomes) == len(runs)
    assert outcomes[newest] == "published"
    assert pointer.run_id == newest
    assert runs_seen(catalog) == [newest] * 4
    assert set(pointer.superseded) == {run for run, outcome in outcomes.items() if outcome == "published"} - {newest}


def test_a_partition_that_others_keep_changing_is_given_up_on(store: ObjectStore, catalog: Catalog) -> None:
    publish(store, catalog, written(store), NOW)

    class Contested(Watched):
        def put_partition(self, *arguments: Any) -> None:
            raise CatalogConflict("again")

    with pytest.raises(PublishError, match="others keep changing them"):
        publish(store, Contested(catalog, lambda name: None), written(store, minutes=1), NOW)  # type: ignore[arg-type]


# ---- expiring --------------------------------------------------------------------------------------------------------


def runs_lying(store: ObjectStore) -> set[str]:
    keys = [info.key for info in store.list("tables/")] + [info.key for info in store.list("hours/")]
    ids = {part.removeprefix("run=") for key in keys for part in key.split("/") if part.startswith("run=")}
    return ids | {key.split("/")[4] for key in keys if "/runs/" in key}


def test_superseded_runs_stay_48_hours_for_queries_already_planned(store: ObjectStore, catalog: Catalog) -> None:
    first, second = written(store), written(store, minutes=1)
    publish(store, catalog, first, NOW)
    publish(store, catalog, second, NOW + timedelta(hours=10))
    assert expire_runs(store, catalog, NOW + timedelta(hours=57, minutes=59)) == []
    assert expire_runs(store, catalog, NOW + timedelta(hours=58)) == [(HOUR, first.run_id)]
    assert runs_lying(store) == {second.run_id}
    assert runs_seen(catalog) == [second.run_id] * 4
    assert expire_runs(store, catalog, NOW + timedelta(days=1000)) == []
    assert read_manifest(store, current(store, HOUR)).run == second  # type: ignore[arg-type]


def test_what_was_never_published_expires_too(store: ObjectStore, catalog: Catalog) -> None:
    failed = written(store)
    assert expire_runs(store, catalog, NOW + timedelta(hours=47)) == []
    assert expire_runs(store, catalog, NOW + timedelta(hours=48)) == [(HOUR, failed.run_id)]
    assert runs_lying(store) == set()


def test_a_run_that_a_partition_still_points_to_is_not_deleted_from_under_its_readers(
    store: ObjectStore, catalog: Catalog
) -> None:
    first, second = written(store), written(store, minutes=1)
    publish(store, catalog, first, NOW)

    class Dying(Watched):
        def put_partition(self, *arguments: Any) -> None:
            raise Killed

    with pytest.raises(Killed):  # the pointer has moved, no partition has
        publish(store, Dying(catalog, lambda name: None), second, NOW)  # type: ignore[arg-type]
    assert runs_seen(catalog) == [first.run_id] * 4
    assert expire_runs(store, catalog, NOW + timedelta(hours=49)) == [(HOUR, first.run_id)]
    assert runs_seen(catalog) == [second.run_id] * 4


def test_folders_of_others_are_left_alone(store: ObjectStore, catalog: Catalog) -> None:
    failed = written(store)
    store.put("tables/conversations/dt=2026-01-01/hour=00/run=mine/x.parquet", b"")
    assert expire_runs(store, catalog, NOW + timedelta(days=3)) == [(HOUR, failed.run_id)]
    assert runs_lying(store) == {"mine"}


def test_what_was_never_published_and_left_nothing_by_its_pointer_is_looked_for_in_the_last_days(
    store: ObjectStore, catalog: Catalog
) -> None:
    torn = written(store)
    store.delete([places.manifest(HOUR, torn.run_id).replace("manifest.json", "notes.arrow")])
    assert expire_runs(store, catalog, NOW + timedelta(days=30)) == []
    assert expire_runs(store, catalog, NOW + timedelta(days=8)) == [(HOUR, torn.run_id)]


def test_hours_with_nothing_but_their_current_run_are_not_opened(store: ObjectStore, catalog: Catalog) -> None:
    publish(store, catalog, written(store), NOW)
    asked: list[str] = []
    watched: Any = Watched(store, asked.append)
    assert expire_runs(watched, catalog, NOW + timedelta(days=3)) == []
    assert "get_with_etag" not in asked
