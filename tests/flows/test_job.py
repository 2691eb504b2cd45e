"""The whole job on real Spark: from a lake with raw flow logs and observations to published tables, in a folder and
in S3.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flowlake.flows import job, steps
from flowlake.flows.audit import AuditFailed
from flowlake.flows.due import due
from flowlake.flows.job import Options, enrich_hour
from flowlake.flows.objects import raw_objects
from flowlake.flows.publish import Superseded, current, read_manifest, repair
from flowlake.lake import places
from flowlake.lake.catalog import open_catalog
from flowlake.lake.contracts import contract, tables
from flowlake.lake.hours import Hour, as_text, utc
from flowlake.lake.observations import observation, to_lines
from flowlake.lake.store import open_store

HOUR = Hour.parse("2026-01-01T00")
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
ACCOUNT, REGION = "111122223333", "us-east-1"
FOLDER = f"raw/AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/2026/01/01/"
FORMAT = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)


def line(interface: str, src: str, dst: str, ports: str, size: int, minute: int) -> str:
    start = HOUR.starts + 60 * minute
    return f"2 {ACCOUNT} {interface} {src} {dst} {ports} 6 1 {size} {start} {start + 50} ACCEPT OK"


def put(lake: Path, name: str, *lines: str) -> None:
    path = lake / FOLDER / f"{ACCOUNT}_vpcflowlogs_{REGION}_fl-0a_{name}_hash.log.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join([FORMAT, *lines]).encode()))


def observe(lake: Path) -> None:
    """Both interfaces as a sweep before the hour and one after it saw them."""
    for began in (HOUR.starts - 600, HOUR.ends + 600):
        at = utc(began)
        seen = {"observed_at": at, "recorded_at": at, "source": "sweep", "source_name": "DescribeNetworkInterfaces"}
        seen |= {
            "source_id": f"sweep-{began}",
            "kind": "interface",
            "account_id": ACCOUNT,
            "region": REGION,
            "sweep_started_at": at,
        }
        rows = [
            observation(
                **seen,
                state="present",
                entity_id=f"eni-{name}",
                vpc_id="vpc-1",
                addresses=[address],
                interface_type="interface",
            )
            for name, address in (("a", "10.0.0.1"), ("b", "10.0.0.2"))
        ]
        rows.append(observation(**seen, state="complete", entity_id="*"))
        key = f"{places.observations('sweeps', Hour.holding(began))}{began}.json.gz"
        store = open_store(str(lake))
        store.put(key, to_lines(rows))
        marker = {
            "sweep_id": f"sweep-{began}",
            "account_id": ACCOUNT,
            "region": REGION,
            "started_at": as_text(at),
            "finished_at": as_text(at),
        }
        marker |= {"kinds": {"interface": {"rows": 2}}, "failures": [], "objects": [key]}
        store.put(
            places.sweep_marker(ACCOUNT, REGION, at.strftime("%Y%m%dT%H%M%SZ"), f"sweep-{began}"),
            json.dumps(marker).encode(),
        )


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    observe(tmp_path)
    # Two interfaces, 10.0.0.1 asks 10.0.0.2 on port 443; both report both directions: 100 up, 900 down, in two objects.
    put(
        tmp_path, "20260101T0005Z",
        line("eni-a", "10.0.0.1", "10.0.0.2", "40000 443", 60, 1),
        line("eni-b", "10.0.0.1", "10.0.0.2", "40000 443", 60, 1),
    )  # fmt: skip
    put(
        tmp_path, "20260101T0010Z",
        line("eni-a", "10.0.0.1", "10.0.0.2", "40000 443", 40, 2),
        line("eni-b", "10.0.0.1", "10.0.0.2", "40000 443", 40, 2),
        line("eni-a", "10.0.0.2", "10.0.0.1", "443 40000", 900, 2),
        line("eni-b", "10.0.0.2", "10.0.0.1", "443 40000", 900, 2),
        line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 7, 3),
        line("eni-b", "10.0.0.2", "8.8.4.4", "40001 443", 5, 3),
    )  # fmt: skip
    return tmp_path


def run(spark: Any, lake: Path | str, now: datetime = NOW, **arguments: Any) -> Any:
    said: list[str] = []
    store = open_store(str(lake))
    result = enrich_hour(
        spark, store, open_catalog(str(lake)), HOUR, arguments.pop("options", Options()), now, said.append, **arguments
    )
    return store, result, said


def published(store: Any) -> list[dict[str, Any]]:
    pointer = current(store, HOUR)
    assert pointer is not None
    files = read_manifest(store, pointer).run.files["conversations"]
    return [row for file in files for row in pq.read_table(store.open(file.key)).to_pylist()]


def test_an_hour_is_published_and_made_once(spark: Any, lake: Path) -> None:
    store, result, said = run(spark, lake)
    assert result.published.pointer.state == "final"
    # Published when its pointer was moved, after all other steps (which are rounded); known is what was at the begin.
    worked = sum(seconds for step, seconds in result.seconds.items() if step != "publish")
    assert result.published.pointer.published_at >= NOW + timedelta(seconds=worked - 0.1)
    assert result.published.pointer.inventory_cutoff == NOW
    rows = {(r["client_addr"], r["server_addr"]): (r["uploaded"], r["downloaded"], r["leg"]) for r in published(store)}
    assert rows == {
        ("10.0.0.1", "10.0.0.2"): (100, 900, "direct"),
        ("10.0.0.1", "8.8.8.8"): (7, 0, "direct"),
        ("10.0.0.2", "8.8.4.4"): (5, 0, "direct"),
    }
    assert result.counts["bytes"] == {
        "counted": 1012,
        "other_reporter": 1000,
        "hop": 0,
        "nat_outside": 0,
        "duplicate": 0,
    }
    assert sum(s.startswith("2026-01-01T00 ") for s in said) >= 6  # one line a step, with the hour
    _, again, said = run(spark, lake, NOW + timedelta(hours=1))
    assert again.unchanged
    assert again.published is None
    assert "nothing to do" in said[-1]


def test_a_late_object_makes_a_final_hour_again(spark: Any, lake: Path) -> None:
    store, first, _ = run(spark, lake)
    catalog = open_catalog(str(lake))
    assert list(due(store, catalog, store, places.RAW, HOUR.moment + timedelta(hours=3), 2)) == []
    put(lake, "20260101T0015Z", line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 1000, 20))
    late = next(o for o in raw_objects(store, places.RAW, HOUR) if "T0015Z" in o.key)
    ages = HOUR.plus(1).moment.timestamp() + 3600
    os.utime(Path(store.root) / late.key, (ages, ages))
    assert [d.why for d in due(store, catalog, store, places.RAW, HOUR.moment + timedelta(hours=3), 2)] == [
        "final, but 1 objects came late"
    ]
    _, second, _ = run(spark, lake, NOW + timedelta(hours=1))
    assert second.published.pointer.run_id != first.published.pointer.run_id
    assert sum(r["uploaded"] for r in published(store)) == 100 + 7 + 5 + 1000


def test_an_hour_whose_publisher_died_behind_the_pointer_is_due_until_readers_see_it(spark: Any, lake: Path) -> None:
    """In a catalog that has none of the tables yet, and in one that has them without the hour."""
    store, first, _ = run(spark, lake)
    anew = open_catalog(str(lake), "other")
    for of in ((), tables()):
        for table in of:
            anew.ensure_table(contract(table))
        assert [d.why for d in due(store, anew, store, places.RAW, HOUR.moment + timedelta(hours=3), 2)] == [
            "published, but its partitions are not at its run"
        ]
    repair(store, anew, HOUR)
    assert list(due(store, anew, store, places.RAW, HOUR.moment + timedelta(hours=3), 2)) == []
    assert anew.partition("conversations", (HOUR.dt, HOUR.hh)).parameters["flowlake.run_id"] == (
        first.published.pointer.run_id
    )


def test_an_hour_whose_objects_are_gone_stays_as_it_is(spark: Any, lake: Path) -> None:
    """Said before any work is done: Spark is not asked for."""
    store, first, _ = run(spark, lake)
    (gone, *_) = raw_objects(store, places.RAW, HOUR)
    store.delete([gone.key])
    _, unchanged, _ = run(None, lake, NOW + timedelta(hours=1))
    assert unchanged.unchanged
    put(lake, "20260101T0020Z", line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 1, 16))
    with pytest.raises(Superseded, match=f"1 objects .* are gone, such as {gone.key}; .*--force"):
        run(None, lake, NOW + timedelta(hours=1))
    assert current(store, HOUR).run_id == first.published.pointer.run_id


def test_an_hour_made_without_an_inventory_says_so_and_is_due_once_there_is_one(spark: Any, lake: Path) -> None:
    shutil.move(lake / "inventory", lake / "aside")
    late = HOUR.plus(1).moment + timedelta(hours=4)
    store, _, said = run(spark, lake, late)
    assert current(store, HOUR).state == "final"
    assert any("warning: no inventory was swept around it" in line for line in said)
    (covered,) = read_manifest(store, current(store, HOUR)).run.files["coverage"]
    assert pq.read_table(store.open(covered.key))["stale_inventory"].to_pylist() == [True]

    def why(now: datetime) -> list[str]:
        return [d.why for d in due(store, open_catalog(str(lake)), store, places.RAW, now, 8) if d.hour == HOUR]

    assert why(late) == []
    shutil.move(lake / "aside", lake / "inventory")
    assert why(late) == ["final without a sweep after it, which has come since"]
    _, again, said = run(spark, lake, late + timedelta(hours=1))
    assert again.published is not None
    assert f"{HOUR} is made again: the inventory says otherwise" in said
    assert why(late + timedelta(hours=1)) == []


def test_other_options_make_an_hour_again_and_say_so(spark: Any, lake: Path) -> None:
    run(spark, lake)
    _, _, said = run(spark, lake, NOW + timedelta(hours=1), options=Options(networks="cidr,name\n8.8.0.0/16,dns\n"))
    assert f"{HOUR} is made again: other options: networks" in said


def test_a_failed_audit_leaves_the_last_good_run(spark: Any, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, first, _ = run(spark, lake)
    put(lake, "20260101T0020Z", line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 1, 16))
    expected = job.audit_run

    def miscounted(*arguments: Any, **named: Any) -> Any:
        rows = dict(arguments[5]) | {"conversations": 99}
        return expected(*arguments[:5], rows, *arguments[6:], **named)

    monkeypatch.setattr(job, "audit_run", miscounted)
    with pytest.raises(AuditFailed, match="99"):
        run(spark, lake, NOW + timedelta(hours=1))
    assert current(store, HOUR).run_id == first.published.pointer.run_id


class Killed(BaseException):
    """Stands for a process that is gone."""


@pytest.mark.parametrize("dies_at", ["compile_book", "merge", "audit_run", "publish"])
def test_a_run_killed_at_any_step_changes_nothing_and_the_next_repairs(
    spark: Any, lake: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    store, first, _ = run(spark, lake)
    put(lake, "20260101T0020Z", line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 1, 16))

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(job, dies_at, die)
        with pytest.raises(Killed):
            run(spark, lake, NOW + timedelta(hours=1))
    assert current(store, HOUR).run_id == first.published.pointer.run_id
    _, after, _ = run(spark, lake, NOW + timedelta(hours=2))
    assert sum(r["uploaded"] for r in published(store)) == 113
    assert after.published.pointer.run_id == current(store, HOUR).run_id


def test_without_an_inventory_what_may_be_doubled_is_said(spark: Any, lake: Path) -> None:
    shutil.rmtree(lake / "inventory")
    store, result, _ = run(spark, lake)
    # Nobody knows the VPC of either: both reporters' records of the pair count, 2 x 1000, and say so.
    assert result.counts["bytes"]["counted"] == 2012
    doubled = [r for r in published(store) if "possibly_doubled" in r["flags"]]
    assert sum(r["uploaded"] + r["downloaded"] for r in doubled) == 2000


def test_nothing_to_do_is_said_and_starts_no_spark(tmp_path: Path) -> None:
    def spark() -> Any:
        raise AssertionError("Spark was started for nothing")

    _, result, said = run(spark, tmp_path)
    assert result.published is None
    assert not result.unchanged
    assert "nothing to do" in said[-1]


def test_rejects_and_torn_objects_are_listed_and_counted(spark: Any, lake: Path) -> None:
    put(lake, "20260101T0025Z", "2 not a record", line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 3, 26))
    whole = gzip.compress(
        "\n".join([FORMAT, *[line("eni-a", "10.0.0.1", "8.8.8.8", f"{p} 443", 1, 30) for p in range(2000)]]).encode()
    )
    torn = lake / FOLDER / f"{ACCOUNT}_vpcflowlogs_{REGION}_fl-0a_20260101T0035Z_torn.log.gz"
    torn.write_bytes(whole[: len(whole) // 2])
    store, result, _ = run(spark, lake)
    assert result.rows["rejects"] == 2
    files = read_manifest(store, current(store, HOUR)).run.files
    rejects = [r for f in files["rejects"] for r in pq.read_table(store.open(f.key)).to_pylist()]
    assert sorted((r["reason"], r["line"]) for r in rejects) == [("torn_gzip", None), ("wrong_field_count", 2)]
    coverage = pq.read_table(store.open(files["coverage"][0].key)).to_pylist()[0]
    assert (coverage["objects"], coverage["objects_torn"], coverage["rejects"]) == (4, 1, 2)
    assert (
        coverage["bytes"] == result.counts["raw_bytes"] == coverage["counted_bytes"] + coverage["other_reporter_bytes"]
    )


def test_a_lake_in_s3_is_read_and_published(spark: Any, lake: Path, aws: str, bucket: str, tmp_path: Path) -> None:
    how = {
        "endpoint_url": aws,
        "aws_access_key_id": "testing",
        "aws_secret_access_key": "testing",
        "region_name": "us-east-1",
    }
    store = open_store(f"s3://{bucket}/flows", **how)
    for path in sorted([*(lake / "raw").rglob("*.gz"), *(lake / "inventory").rglob("*.*")]):
        store.put(str(path.relative_to(lake)), path.read_bytes())
    catalog = open_catalog(f"s3://{bucket}/flows")
    result = enrich_hour(spark, store, catalog, HOUR, Options(), NOW)
    assert result.rows["conversations"] == 3
    partition = catalog.partition("conversations", (HOUR.dt, HOUR.hh))
    assert partition is not None
    assert partition.location.startswith(f"s3://{bucket}/flows/tables/conversations/")
    assert sorted(r["uploaded"] for r in published(store)) == [5, 7, 100]


def test_the_same_input_gives_the_same_rows(spark: Any, lake: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for part in ("raw", "inventory"):
        shutil.copytree(lake / part, other / part)
    one, _, _ = run(spark, lake)
    two, _, _ = run(spark, other, NOW + timedelta(minutes=5))
    assert published(one) == published(two)


def subscribed(lake: Path, name: str, group: str, *lines: str) -> None:
    """An object of events of CloudWatch as Firehose stores it; the id of each is its line."""
    listed = [{"id": text, "timestamp": 0, "message": text} for text in lines]
    document = {"messageType": "DATA_MESSAGE", "owner": ACCOUNT, "logGroup": group, "logStream": "s"}
    path = lake / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(document | {"logEvents": listed}).encode()))


def test_events_that_cloudwatch_delivers_again_count_once_whoever_reads_them(
    spark: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of three objects has a task of its own, as has that of a flow log; two buckets of events. Event x (100
    bytes) stands in all, y (30) in two, one of them in the next hour's folder, and z (7) is another log group's x over
    the same interface, which counts with it or not at all.
    """
    x, y = (line("eni-c", "10.0.0.9", "8.8.8.8", "40001 443", size, 7) for size in (100, 30))
    z = line("eni-c", "10.0.0.9", "8.8.8.8", "40001 443", 7, 7)
    subscribed(lake, "2026/01/01/00/a", "/vpc", x, y)
    subscribed(lake, "2026/01/01/00/b", "/vpc", x)
    subscribed(lake, "2026/01/01/01/c", "/vpc", y, x)
    subscribed(lake, "2026/01/01/00/d", "/subnet", z)
    monkeypatch.setattr(job, "tasks", lambda objects, cores: [[item] for item in objects])
    monkeypatch.setattr(job, "buckets_for", lambda objects: 2)
    store, result, said = run(spark, lake)
    assert result.counts["repeated_events"] == 3
    assert result.counts["raw_bytes"] == 2012 + 130 + 7
    assert result.counts["bytes"]["duplicate"] == 7
    assert any(", 3 repeated events (" in text for text in said)
    shown = {
        r["client_addr"]: (r["uploaded"], r["records"]) for r in published(store) if r["client_addr"] == "10.0.0.9"
    }
    assert shown == {"10.0.0.9": (130, 2)}
    files = read_manifest(store, current(store, HOUR)).run.files["coverage"]  # type: ignore[arg-type]
    told = [row for file in files for row in pq.read_table(store.open(file.key)).to_pylist()]
    assert {row["flow_log_id"]: (row["objects"], row["bytes"], row["repeated_events"]) for row in told} == {
        "fl-0a": (2, 2012, 0),
        "/vpc": (3, 130, 3),
        "/subnet": (1, 7, 0),
    }


def test_a_lake_without_events_is_not_looked_through_for_them(
    spark: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("looked for events")

    monkeypatch.setattr(job._Hour, "_gather_once", never)
    _, result, _ = run(spark, lake)
    assert result.counts["raw_bytes"] == 2012


def test_windows_shorter_than_the_aggregation_interval_are_warned_of(spark: Any, lake: Path) -> None:
    put(
        lake,
        "20260101T0030Z",
        line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 3, 26).replace(
            f"{HOUR.starts + 26 * 60 + 50}", f"{HOUR.starts + 36 * 60}"
        ),
    )
    _, _, said = run(spark, lake, options=Options(window_seconds=60))
    assert any(
        "warning: windows of 60 s are shorter than the longest aggregation interval seen (600 s)" in s for s in said
    )


def test_memory_of_a_summary_does_not_grow_with_the_number_of_objects(lake: Path) -> None:
    """A hundred equal objects sum up to as many rows as one."""
    for minute in range(100):
        put(
            lake,
            f"20260101T02{minute // 60}{minute % 60:02d}Z",
            *[line("eni-a", "10.0.0.1", "8.8.8.8", "40001 443", 1, 5)] * 10,
        )
    from flowlake.flows.book import build
    from flowlake.flows.lookup import compile_book
    from flowlake.flows.parcels import unpack

    store = open_store(str(lake))
    objects = [o for o in raw_objects(store, places.RAW, HOUR, timedelta(hours=3)) if "T02" in o.key]
    parcels = steps.gather(objects, store, compile_book(build([], HOUR.starts)), steps.Task(HOUR, 300))
    sums = [unpack(payload)["sums"] for _, kind, payload in parcels if kind == steps.SUMS]
    assert [(t.num_rows, t["records"].to_pylist()) for t in sums] == [(1, [len(objects) * 10])]


@pytest.mark.parametrize(
    ("records", "cores", "expected"),
    [
        (0, 2, (1, 1)),
        (1_000_000, 2, (1, 3)),
        (4_000_000, 2, (2, 5)),  # 1.6 partitions
        (12_000_000, 2, (4, 8)),  # 4.8 partitions: both cores twice, with 3 million each
        (48_000_000, 2, (20, 6)),  # 19.2 partitions, with 2.4 million each
        (48_000_000, 40, (20, 6)),  # files are to be few, though cores stand idle
    ],
)
def test_an_hour_is_cut_into_partitions_and_their_buckets(records: int, cores: int, expected: tuple[int, int]) -> None:
    assert job._cut(records, cores) == expected
