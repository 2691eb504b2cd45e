"""Which observations an hour's book is built from: the last complete sweep before the hour and the first after it, for
each account, region and kind, and the events between; never the whole history.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flowlake.flows.fold import millis
from flowlake.lake import places
from flowlake.lake.hours import Hour, from_text
from flowlake.lake.observations import Row, from_lines
from flowlake.lake.store import ObjectStore

HORIZON = timedelta(days=8)
"""How far back a sweep is looked for; an account and region without one within it is read from its events of that time.
"""

INTERVAL, CLOCKS = timedelta(minutes=10), timedelta(minutes=2)
"""Records of the hour last up to an aggregation interval beyond it, and clocks are off: a sweep nearer to the hour than
that may be no sight around the last (or first) of them, so that the next one is read too."""

LATE = timedelta(hours=24)
"""How long after a sweep events of before it are still waited for."""


@dataclass
class Sweeps:
    """The sweeps that matter to an hour. objects: keys to read. read_events_from: when events begin to matter.
    complete_after: (account, region) of which a complete sweep of interfaces began after the hour; stale: those of
    which no sweep completed within the limit before it.
    """

    objects: list[str] = field(default_factory=list)
    read_events_from: datetime | None = None
    accounts: set[tuple[str, str]] = field(default_factory=set)
    complete_after: set[tuple[str, str]] = field(default_factory=set)
    stale: set[tuple[str, str]] = field(default_factory=set)

    def all_after(self) -> bool:
        """Whether there is an inventory, and every account and region of it was swept wholly after the hour."""
        return bool(self.accounts) and self.complete_after >= self.accounts

    def is_stale(self, account_id: str, region: str) -> bool:
        """Whether the inventory of this account and region is old, or there is none."""
        return (account_id, region) in self.stale or (account_id, region) not in self.accounts


STALE_AFTER = timedelta(hours=26)


def sweeps_around(store: ObjectStore, hour: Hour, cutoff: datetime) -> Sweeps:
    """The sweeps from the last complete one before the hour to the first complete one after, by account and region."""
    found = Sweeps()
    begins, ends = hour.moment, hour.plus(1).moment
    for account in store.folders(places.SWEEPS):
        for region in store.folders(account):
            names = account.rstrip("/").rsplit("/", 1)[1], region.rstrip("/").rsplit("/", 1)[1]
            markers = list(_markers(store, region, begins - HORIZON, cutoff))
            if not markers:
                continue
            found.accounts.add(names)
            chosen = _chosen(markers, begins, ends)
            for marker in chosen:
                found.objects += marker["objects"]
            before = [m for m in markers if "interface" in m["kinds"] and from_text(m["finished_at"]) <= begins]
            if not before or from_text(before[-1]["finished_at"]) < begins - STALE_AFTER:
                found.stale.add(names)
            if any("interface" in m["kinds"] and from_text(m["started_at"]) >= ends for m in markers):
                found.complete_after.add(names)
            first = min((from_text(m["started_at"]) for m in chosen), default=begins - HORIZON)
            found.read_events_from = min(found.read_events_from or first, first)
    if found.read_events_from is None:
        found.read_events_from = begins - HORIZON
    return found


def _markers(store: ObjectStore, folder: str, since: datetime, cutoff: datetime) -> Iterator[dict]:
    for info in store.list(folder, start_after=folder + since.strftime("%Y%m%dT%H%M%SZ")):
        marker = json.loads(store.get(info.key))
        if from_text(marker["finished_at"]) <= cutoff:
            yield marker


def _chosen(markers: list[dict], begins: datetime, ends: datetime) -> list[dict]:
    """Markers in time order: for each kind from its last complete sweep before the hour to its first after it, and all
    between.
    """
    kinds = sorted({kind for marker in markers for kind in marker["kinds"]})
    wanted: set[int] = set()
    for kind in kinds:
        complete = [(i, m) for i, m in enumerate(markers) if kind in m["kinds"]]
        before = [i for i, m in complete if from_text(m["finished_at"]) <= begins - CLOCKS]
        after = [i for i, m in complete if from_text(m["started_at"]) >= ends + INTERVAL + CLOCKS]
        low = before[-1] if before else complete[0][0]
        high = after[0] if after else len(markers) - 1
        wanted.update(range(low, high + 1))
    return [markers[i] for i in sorted(wanted)] if wanted else markers


def observations(store: ObjectStore, hour: Hour, cutoff: datetime) -> tuple[Sweeps, Iterator[Row]]:
    """The sweeps that matter, and a stream of all rows to build the hour's book from, recorded up to the cutoff."""
    sweeps = sweeps_around(store, hour, cutoff)
    return sweeps, _rows(store, sweeps, cutoff, min(cutoff, hour.plus(1).moment + LATE))


def _rows(store: ObjectStore, sweeps: Sweeps, cutoff: datetime, until: datetime) -> Iterator[Row]:
    for key in sorted(set(sweeps.objects)):
        yield from _recorded(store, key, cutoff)
    assert sweeps.read_events_from is not None
    at, last = Hour.holding(sweeps.read_events_from.timestamp()), Hour.holding(until.timestamp())
    # A partition's folder of hours: only days that exist are asked for.
    root = f"{places.OBSERVATIONS}origin=events/"
    days = {d.rstrip("/").rsplit("dt=", 1)[1] for d in store.folders(root)}
    while at <= last:
        if at.dt in days:
            for info in store.list(places.observations("events", at)):
                yield from _recorded(store, info.key, cutoff)
        at = at.plus(1)


def _recorded(store: ObjectStore, key: str, cutoff: datetime) -> Iterator[Row]:
    limit = round(cutoff.timestamp() * 1000)
    for row in from_lines(store.get(key)):
        if millis(row["recorded_at"]) <= limit:
            yield row
