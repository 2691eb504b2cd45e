"""Which observations an hour's book is built from: the last complete sweep before the hour and the first after it, for
each account, region and kind, and the events between; never the whole history.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flowlake.flows.fold import millis
from flowlake.lake import places
from flowlake.lake.hours import Hour, from_text
from flowlake.lake.observations import Row, from_lines, inflated
from flowlake.lake.store import ObjectStore

if TYPE_CHECKING:
    from flowlake.flows.observed_lines import Cut
    from flowlake.flows.swept import Swept

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


def observations(store: ObjectStore, hour: Hour, cutoff: datetime) -> tuple[Sweeps, Observed]:
    """The sweeps that matter, and all rows to build the hour's book from, recorded up to the cutoff."""
    sweeps = sweeps_around(store, hour, cutoff)
    return sweeps, Observed(store, sweeps, cutoff, min(cutoff, hour.plus(1).moment + LATE))


class Observed:
    """All rows to build an hour's book from, read anew each time that they are asked for."""

    MANY = 24
    """Objects of sweeps from which on it pays to look for what all of them say alike: some 100,000 rows."""
    AHEAD = 4
    """Objects that are read while one is looked at."""

    def __init__(self, store: ObjectStore, sweeps: Sweeps, cutoff: datetime, until: datetime) -> None:
        self._store, self._sweeps, self._until = store, sweeps, until
        self.recorded_until = round(cutoff.timestamp() * 1000)

    def __iter__(self) -> Iterator[Row]:
        for key in (*self._of_sweeps(), *self._of_events()):
            yield from self._recorded(from_lines(self._store.get(key)))

    @property
    def are_many(self) -> bool:
        return len(self._of_sweeps()) >= self.MANY

    def but_swept(self, swept: Swept) -> Iterator[Row]:
        """All rows but those that are put into swept: of interfaces that sweeps saw."""
        for found in self._read_ahead():
            yield from swept.take(found)
        for key in self._of_events():
            yield from self._recorded(from_lines(self._store.get(key)))

    def _read_ahead(self) -> Iterator[Cut]:
        """The objects of sweeps, read and cut beside what is done with them."""
        from flowlake.flows.swept import cut_rows

        def read(key: str) -> Cut:
            return cut_rows(inflated(self._store.get(key)))

        with ThreadPoolExecutor(1) as threads:
            ahead: deque[Future[Cut]] = deque()
            for key in self._of_sweeps():
                ahead.append(threads.submit(read, key))
                if len(ahead) > self.AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _recorded(self, rows: Iterable[Row]) -> Iterator[Row]:
        return (row for row in rows if millis(row["recorded_at"]) <= self.recorded_until)

    def _of_sweeps(self) -> list[str]:
        return sorted(set(self._sweeps.objects))

    def _of_events(self) -> Iterator[str]:
        assert self._sweeps.read_events_from is not None
        at, last = Hour.holding(self._sweeps.read_events_from.timestamp()), Hour.holding(self._until.timestamp())
        # A partition's folder of hours: only days that exist are asked for.
        root = f"{places.OBSERVATIONS}origin=events/"
        days = {d.rstrip("/").rsplit("dt=", 1)[1] for d in self._store.folders(root)}
        while at <= last:
            if at.dt in days:
                for info in self._store.list(places.observations("events", at)):
                    yield info.key
            at = at.plus(1)
