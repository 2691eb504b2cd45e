"""Which raw objects to read for an hour: by listing, from just before the hour with slack behind it.

An object's name says when it was made, not which hours its records are of: the listing takes more objects than the
hour needs, and the reader files records by their own start. Objects are told apart by key and ETag.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flowlake.flows.read import LogGroup
from flowlake.flows.summarise import Source
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectInfo, ObjectStore

BEFORE = timedelta(minutes=15)
BEHIND = timedelta(minutes=30)
"""An object that holds records of an hour is named at most this long before its first second and after its last one.
The longest aggregation interval is 10 minutes and a file spans 5; the horizon for later ones is the job's.
"""

_NAME = re.compile(
    r"(?P<account_id>[^_/]+)_vpcflowlogs_(?P<region>[a-z0-9-]+)_(?P<flow_log_id>fl-[0-9A-Za-z]+)_"
    r"(?P<time>\d{8}T\d{4}Z)_[^/]*\.log(\.gz|\.parquet)?$"
)
_STREAMED_TIME = re.compile(r"(?P<y>\d{4})/(?P<m>\d{2})/(?P<d>\d{2})/(?P<h>\d{2})/[^/]+$")
_DAY_FOLDERS = ("%Y/%m/%d/", "year=%Y/month=%m/day=%d/")
_DATED = re.compile(
    r"(?:^|/)(?:(?:year=)?\d{4}/(?:month=)?\d\d?/(?:day=)?\d\d?|\d{4}-\d\d-\d\d|(?:dt|date|day)=[^/]+)"
    r"(?:/(?:hour=)?\d\d?(?:/(?:minute=)?\d\d?)?)?$"
)
"""Folders that say a time, at the end of a path."""
_PLACED = re.compile(
    r"(?:^|/)(?:aws-account-id=)?(?P<account_id>\d{12})/(?:aws-service=)?vpcflowlogs/(?:aws-region=)?(?P<region>[a-z0-9-]+)$"
)
_DATE = re.compile(r"\d{4}|\d{4}-\d\d-\d\d|[a-z_]+=.*")
_DEEPEST, _MOST_FOLDERS = 6, 1000
"""How far below the place given AWSLogs is looked for: a flow log may have been given a folder of the bucket."""

UNKNOWN = "unknown"


@dataclass(frozen=True)
class RawObject:
    """One object of raw flow logs and what its key says of it."""

    key: str
    etag: str
    size: int
    modified: datetime
    source: Source


def source_of(key: str) -> Source:
    """The flow log, account and region by the object's name; what a key does not say is null or 'unknown'.

    Objects of other names are told apart by their folder, the same at all times: what it says of a time is left out.
    """
    found = _NAME.search(key)
    if found:
        return Source(found["flow_log_id"], found["account_id"], found["region"])
    folder = _DATED.sub("", key.rpartition("/")[0])
    placed = _PLACED.search(folder)
    return Source(folder or None, *(placed.groups() if placed else (UNKNOWN, UNKNOWN)))


def source_in(stream: Source, group: LogGroup | None) -> Source:
    """The flow log of lines that came in an object of a stream: the log group's, where the envelope names one."""
    return stream if group is None else Source(group.name, group.owner or UNKNOWN, stream.region)


def is_named_by_aws(key: str) -> bool:
    """Whether a flow log delivered the object itself: it holds records of that one alone, in no envelope."""
    return _NAME.search(key) is not None


def made_at(key: str) -> datetime | None:
    """The moment in an object's name (or, streamed through Firehose, in its folder); null where there is none."""
    found = _NAME.search(key)
    streamed = _STREAMED_TIME.search(key)
    try:
        if found:
            return datetime.strptime(found["time"], "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
        if streamed:
            return datetime(int(streamed["y"]), int(streamed["m"]), int(streamed["d"]), int(streamed["h"]), tzinfo=UTC)
    except ValueError:  # digits that are no moment: nothing is known of it, so it is read
        return None
    return None


def raw_objects(store: ObjectStore, prefix: str, hour: Hour, behind: timedelta = BEHIND) -> list[RawObject]:
    """The objects that may hold records of the hour, each key once, in key order."""
    return told_apart(listed(store, prefix, hour, behind))


def listed(store: ObjectStore, prefix: str, hour: Hour, behind: timedelta = BEHIND) -> list[ObjectInfo]:
    """What the store says of these objects."""
    low, high = hour.moment - BEFORE, hour.moment + timedelta(hours=1) + behind
    found = {i.key: i for folder in _day_folders(store, prefix, low, high) for i in _between(store, folder, low, high)}
    return [found[key] for key in sorted(found)]


def told_apart(infos: Sequence[ObjectInfo]) -> list[RawObject]:
    """The objects with their etags. Those of a folder are of the whole content: several are read at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        etags = list(readers.map(lambda info: info.etag, infos))
    named = zip(infos, etags, strict=True)
    return [RawObject(info.key, etag, info.size, info.modified, source_of(info.key)) for info, etag in named]


def _days(low: datetime, high: datetime) -> Iterator[datetime]:
    day = low.replace(hour=0, minute=0, second=0)
    while day <= high:
        yield day
        day += timedelta(days=1)


def _day_folders(store: ObjectStore, prefix: str, low: datetime, high: datetime) -> Iterator[str]:
    """Folders of the days in question: under each account and region as AWS lays them out (plain or Hive keys, with an
    organisation's id or without), else dated folders at the prefix itself, as Firehose makes them.
    """
    regions = list(_region_folders(store, prefix))
    for region in regions:
        hive = "aws-region=" in region
        for day in _days(low, high):
            yield region + day.strftime(_DAY_FOLDERS[hive])
    for day in _days(low, high):
        yield from (prefix + day.strftime(form) for form in _DAY_FOLDERS)


def _region_folders(store: ObjectStore, prefix: str) -> Iterator[str]:
    for root in _roots(store, prefix):
        accounts = store.folders(root)
        for organisation in [f for f in accounts if f.removeprefix(root).startswith("o-")]:
            accounts += store.folders(organisation)
        for account in accounts:
            for service in store.folders(account):
                if service.rstrip("/").endswith("vpcflowlogs"):
                    yield from store.folders(service)


def _roots(store: ObjectStore, prefix: str) -> Iterator[str]:
    """Every AWSLogs folder at the prefix and in folders of it, the highest first. Further down, folders
    that say a time are not looked into, and of very many not all: a bucket may hold anything else too.
    """
    level, looked = [prefix], 0
    for depth in range(_DEEPEST):
        below: list[str] = []
        for folder in level:
            # What lies directly in the place given, and in folders of it, is always found.
            if depth > 1 and looked >= _MOST_FOLDERS:
                return
            looked += 1
            for inner in store.folders(folder):
                if _is_root(inner):
                    yield inner
                elif depth == 0 or not _DATE.fullmatch(inner.rstrip("/").rpartition("/")[2]):
                    below.append(inner)
        level = below


def _is_root(folder: str) -> bool:
    return folder.rsplit("/", 2)[-2] == "AWSLogs"


def _between(store: ObjectStore, folder: str, low: datetime, high: datetime) -> Iterator[ObjectInfo]:
    """Objects of a day's folder made between two moments. Keys sort by flow log and then by time, so that what lies
    outside is jumped over.
    """
    after = ""
    while True:
        jump = None
        for info in store.list(folder, start_after=after):
            when = made_at(info.key)
            found = _NAME.search(info.key)
            if when is None or (found is None and low - timedelta(hours=1) <= when <= high) or low <= when <= high:
                yield info
            elif found is not None:
                base = info.key[: found.start("time")]
                jump = base + low.strftime("%Y%m%dT%H%MZ") if when < low else base + "~"
                break
        if jump is None or jump <= after:
            return
        after = jump


def tasks(
    objects: Iterable[RawObject], cores: int, small: int = 4 << 20, large: int = 96 << 20
) -> list[list[RawObject]]:
    """Objects packed so that each task has about as much to inflate: small ones together, several tasks a core and as
    many for each, so that no core waits for another's last one.
    """
    ordered = sorted(objects, key=lambda o: (o.source.account_id, o.source.region, o.source.flow_log_id or "", o.key))
    total = sum(o.size for o in ordered)
    # Several objects of one flow log in one task: their connections add up before anything is shuffled.
    wanted = max(min(2 * cores, total // small), math.ceil(total / large), 1)
    number = wanted if wanted < cores else math.ceil(wanted / cores) * cores
    packed: list[list[RawObject]] = [[] for _ in range(number)]
    before = 0
    for item in ordered:
        packed[min((before + item.size // 2) * number // max(total, 1), number - 1)].append(item)
        before += item.size
    return [items for items in packed if items]
