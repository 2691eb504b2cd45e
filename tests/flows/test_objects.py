"""Which raw objects an hour reads: by listing, in every layout AWS has, with slack on both sides; and how they are
shared out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.objects import RawObject, made_at, raw_objects, source_of, tasks
from flowlake.flows.summarise import Source
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectInfo, ObjectStore, open_store

TEN = Hour.parse("2026-01-01T10")
MIDNIGHT = Hour.parse("2026-01-01T00")
ONE, TWO = "111111111111", "222222222222"


def name(time: str, flow_log: str = "fl-0a", account: str = ONE, ending: str = ".log.gz") -> str:
    return f"{account}_vpcflowlogs_us-east-1_{flow_log}_{time}_0a1b{ending}"


PLAIN = f"AWSLogs/{ONE}/vpcflowlogs/us-east-1/2026/01/01/"
ORGANISATION = f"logs/AWSLogs/o-abc123/{TWO}/vpcflowlogs/eu-west-1/2026/01/01/"
HIVE = f"AWSLogs/aws-account-id={ONE}/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=01/day=01/"


@pytest.fixture
def lake(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path))


def listed(store: ObjectStore, keys: list[str], hour: Hour = TEN, prefix: str = "raw/") -> list[str]:
    for key in keys:
        store.put(key, b"x")
    return [item.key for item in raw_objects(store, prefix, hour)]


@pytest.mark.parametrize("folder", [PLAIN, PLAIN + "10/", ORGANISATION, HIVE, HIVE + "hour=10/"])
def test_every_layout_is_listed(lake: ObjectStore, folder: str) -> None:
    key = f"raw/{folder}{name('20260101T1005Z')}"
    assert listed(lake, [key]) == [key]


def test_flow_logs_with_and_without_a_folder_of_the_bucket_are_listed_together(lake: ObjectStore) -> None:
    keys = [f"raw/{folder}{PLAIN}{name('20260101T1005Z', log)}" for folder, log in (("", "fl-0a"), ("team/", "fl-0b"))]
    assert listed(lake, keys) == keys


def test_a_folder_of_the_bucket_may_lie_deep(lake: ObjectStore) -> None:
    """A flow log may be given any folder; folders of days hold no AWSLogs and are not looked into."""
    deep, dated = (
        f"raw/a/b/c/{PLAIN}{name('20260101T1005Z')}",
        f"raw/in/2025/12/{PLAIN}{name('20260101T1005Z', 'fl-0b')}",
    )
    assert listed(lake, [deep, dated]) == [deep]


@pytest.mark.parametrize(
    ("keys", "source"),
    [
        (["2025/12/31/23/s-1.gz", "2026/01/01/00/s-2.gz"], Source(None, "unknown", "unknown")),
        (["raw/2025/12/31/23/s-1.gz", "raw/2026/01/01/00/s-2.gz"], Source("raw", "unknown", "unknown")),
        (["in/dt=2026-01-01/hour=00/a.gz", "in/dt=2026-01-02/b.gz"], Source("in", "unknown", "unknown")),
        (
            [f"raw/{PLAIN}a.gz", f"raw/{PLAIN}10/b.gz"],
            Source(f"raw/AWSLogs/{ONE}/vpcflowlogs/us-east-1", ONE, "us-east-1"),
        ),
        (
            [f"raw/{HIVE}a.gz", f"raw/{HIVE}hour=10/b.gz", f"raw/{HIVE}hour=11/b.gz"],
            Source(f"raw/AWSLogs/aws-account-id={ONE}/aws-service=vpcflowlogs/aws-region=us-east-1", ONE, "us-east-1"),
        ),
    ],
)
def test_objects_of_other_names_are_of_one_flow_log_at_all_times(keys: list[str], source: Source) -> None:
    """Else an interface had another flow log each hour, and of several one is chosen."""
    assert {source_of(key) for key in keys} == {source}


def test_from_just_before_the_hour_to_some_time_after_it(lake: ObjectStore) -> None:
    """15 minutes before its first second and 30 after its last are looked at; two flow logs, the earlier of each
    jumped over."""
    times = ("0900", "0944", "0945", "1000", "1055", "1130", "1131", "2300")
    keys = [f"raw/{PLAIN}{name(f'20260101T{time}Z', log)}" for log in ("fl-0a", "fl-0b") for time in times]
    found = listed(lake, keys)
    assert [(key.split("_")[3], key.split("_")[4][9:13]) for key in found] == [
        (log, time) for log in ("fl-0a", "fl-0b") for time in ("0945", "1000", "1055", "1130")
    ]


def test_an_object_whose_name_holds_no_moment_is_read(lake: ObjectStore) -> None:
    """Digits alone make no time: nothing is known of it, and the hour must not fail for it."""
    odd = [f"raw/{PLAIN}{name('20261399T9999Z')}", "raw/2026/01/01/99/stream-1.gz"]
    assert sorted(listed(lake, odd)) == sorted(odd)
    assert [made_at(key) for key in odd] == [None, None]


def test_the_day_before_and_after_are_looked_at_where_the_hour_reaches_them(lake: ObjectStore) -> None:
    before = f"raw/AWSLogs/{ONE}/vpcflowlogs/us-east-1/2025/12/31/{name('20251231T2355Z')}"
    after = f"raw/AWSLogs/{ONE}/vpcflowlogs/us-east-1/2026/01/02/{name('20260102T0010Z')}"
    assert listed(lake, [before, after], MIDNIGHT) == [before]
    assert listed(lake, [], Hour.parse("2026-01-01T23")) == [after]


def test_parquet_and_other_accounts_are_taken_other_services_are_not(lake: ObjectStore) -> None:
    wanted = [
        f"raw/{PLAIN}{name('20260101T1005Z', ending='.log.parquet')}",
        f"raw/{PLAIN.replace(ONE, TWO)}{name('20260101T1005Z', account=TWO)}",
    ]
    others = [
        f"raw/AWSLogs/{ONE}/CloudTrail/us-east-1/2026/01/01/{ONE}_CloudTrail_us-east-1_20260101T1005Z_x.json.gz",
        f"raw/AWSLogs/{ONE}/vpcflowlogs/us-east-1/2025/01/01/{name('20250101T1005Z')}",
    ]
    assert listed(lake, [*wanted, *others]) == sorted(wanted)


def test_streams_through_firehose_lie_in_folders_of_hours(lake: ObjectStore) -> None:
    """Their names hold no flow log; the folder's hour is the only time there is, so the hours around are read too."""
    keys = [f"raw/2026/01/01/{hour}/stream-1-2026-01-01-{hour}-00-00-uuid" for hour in ("08", "09", "10", "11", "12")]
    assert listed(lake, keys) == keys[1:4]
    assert source_of(keys[2]) == Source("raw", "unknown", "unknown")


def test_what_a_key_says() -> None:
    key = f"raw/{PLAIN}{name('20260101T1005Z')}"
    assert source_of(key) == Source("fl-0a", ONE, "us-east-1")
    assert made_at(key) == datetime(2026, 1, 1, 10, 5, tzinfo=UTC)
    assert made_at("raw/somewhere/else.gz") is None
    assert source_of("somewhere/else.gz") == Source("somewhere", "unknown", "unknown")


class Listed:
    """A listing in memory, as S3 orders it; counts the pages of one key that are asked for."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = sorted(keys, key=lambda k: k.encode())
        self.asked = 0

    def list(self, prefix: str = "", start_after: str = "") -> list[ObjectInfo]:
        self.asked += 1
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            ObjectInfo(k, 1, "e", moment)
            for k in self.keys
            if k.startswith(prefix) and k.encode() > start_after.encode()
        ]

    def folders(self, prefix: str = "") -> list[str]:
        found = {
            prefix + k[len(prefix) :].split("/")[0] + "/"
            for k in self.keys
            if k.startswith(prefix) and "/" in k[len(prefix) :]
        }
        return sorted(found)


TIMES = st.integers(0, 24 * 12 - 1).map(lambda n: f"20260101T{n // 12:02d}{n % 12 * 5:02d}Z")


@given(
    st.sets(
        st.tuples(st.sampled_from(["fl-00", "fl-0a", "fl-0a0", "fl-ff"]), TIMES, st.sampled_from(["", "10/", "09/"])),
        max_size=40,
    )
)
def test_jumping_over_the_day_finds_what_looking_at_all_of_it_finds(held: set[tuple[str, str, str]]) -> None:
    keys = [f"raw/{PLAIN}{folder}{name(time, log)}" for log, time, folder in held]
    found = [item.key for item in raw_objects(Listed(keys), "raw/", TEN)]  # type: ignore[arg-type]
    wanted = [k for k in keys if "20260101T0945Z" <= k.split("_")[4] <= "20260101T1130Z"]
    assert found == sorted(wanted)


@given(st.lists(st.integers(0, 300), max_size=30), st.integers(1, 8))
def test_each_object_is_in_one_task_and_no_task_holds_much_more_than_the_others(sizes: list[int], cores: int) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    objects = [
        RawObject(f"k{i}", "e", size << 20, moment, Source(f"fl-{i % 3}", ONE, "us-east-1"))
        for i, size in enumerate(sizes)
    ]
    packed = tasks(objects, cores)
    assert sorted(o.key for task in packed for o in task) == sorted(o.key for o in objects)
    assert all(packed)
    share = min(max(sum(o.size for o in objects) / (2 * cores), 8 << 20), 96 << 20)
    assert all(sum(o.size for o in task) <= share + max(o.size for o in task) for task in packed)


@pytest.mark.parametrize(("megabytes", "number"), [(3, 1), (9, 2), (36, 4), (300, 4), (400, 6), (2400, 26)])
def test_every_core_gets_as_many_tasks(megabytes: int, number: int) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    objects = [RawObject(f"k{i:04}", "e", 1 << 20, moment, Source("fl-1", ONE, "us-east-1")) for i in range(megabytes)]
    sizes = [len(task) for task in tasks(objects, 2)]
    assert len(sizes) == number
    assert max(sizes) - min(sizes) <= 1
