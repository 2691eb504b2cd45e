"""What the inventory gets to see of the estate: events, some lost, late, repeated or shuffled, and sweeps.

Both go through flowlake's own code: the batch handler of the events' Lambda and the sweep, which ask a Cloud of the
estate for what they need. The traffic is not touched: one estate can be written with many inventories.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from flowlake.inventory import batch, ranges
from flowlake.inventory.describe import ORGANISATION_KINDS
from flowlake.inventory.sweep import new_task, sweep
from flowlake.lake.observations import ABSENT, SWEEP, Row, from_lines
from flowlake.lake.store import ObjectStore
from flowlake.sandbox import address_ranges
from flowlake.sandbox.announce import Event, events
from flowlake.sandbox.cloud import GLOBAL, Cloud
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.identity import digest

MINUTE = 60_000
LEAD = 20 * MINUTE


@dataclass(frozen=True)
class Weather:
    """How well events get through, and how often sweeps run.

    loss, late, repeated: shares of all events. delay_minutes: how late a late one is at most. The first sweep is
    complete before the first hour, the last one begins after the last hour.
    """

    loss: float = 0.0
    late: float = 0.05
    delay_minutes: float = 15.0
    repeated: float = 0.02
    sweep_minutes: int = 60
    event_minutes: int = 120
    """How long before the first hour events are kept."""


@dataclass
class Sights:
    """How an address of an interface was told, if at all: the earliest moments of recording, as text."""

    by_event: str | None = None
    by_sweep: str | None = None
    ended_by_event: str | None = None


@dataclass
class Delivered:
    """What became of the events, and which sweeps ran."""

    happened: int = 0
    lost: int = 0
    late: int = 0
    repeated: int = 0
    batches: int = 0
    observations: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    sweeps: int = 0
    sights: dict[tuple[str, str], Sights] = field(default_factory=dict)
    """By interface id and address; the address of an interface's end is empty."""


def write(estate: Estate, store: ObjectStore, weather: Weather) -> Delivered:
    """Writes observations, sweep markers and the address ranges to the lake."""
    outcome = Delivered()
    recording = _Recording(store, outcome)
    since = estate.sizes.starts - weather.event_minutes * MINUTE
    _write_events(estate, recording, weather, since, estate.sizes.ends + LEAD, outcome)
    cloud = Cloud(estate, since)
    for at in sweep_times(estate, weather):
        _sweep_all(cloud, recording, at, outcome)
    ranges.keep(store, address_ranges.document())
    return outcome


def sweep_times(estate: Estate, weather: Weather) -> list[int]:
    """When sweeps begin (epoch milliseconds): every so often, from before each span until after it."""
    step = weather.sweep_minutes * MINUTE
    times: list[int] = []
    for start, end in estate.sizes.spans:
        at = start - min(step, LEAD)
        while at < end + 2 * MINUTE:
            times.append(at)
            at += step
        times.append(at if step <= LEAD else end + 2 * MINUTE)
    return sorted(set(times))


# -- events


def deliveries(estate: Estate, weather: Weather, since: int, until: int, outcome: Delivered) -> list[tuple[int, Event]]:
    """(when handled, event) of all events that arrive, in order of arrival."""
    arrivals: list[tuple[int, str, Event]] = []
    for event in events(estate, since, until):
        outcome.happened += 1
        chance = estate.random(f"weather/{event.envelope['id']}")
        if chance.random() < weather.loss:
            outcome.lost += 1
            continue
        wait = 800 + chance.random() * 6_000
        if chance.random() < weather.late:
            outcome.late += 1
            wait += chance.random() * weather.delay_minutes * MINUTE
        arrivals.append((event.at + int(wait), event.envelope["id"], event))
        if chance.random() < weather.repeated:
            outcome.repeated += 1
            again = wait + chance.random() * weather.delay_minutes * MINUTE
            arrivals.append((event.at + int(again), event.envelope["id"], event))
    return [(at, event) for at, _, event in sorted(arrivals, key=lambda a: (a[0], a[1]))]


def _write_events(
    estate: Estate, recording: _Recording, weather: Weather, since: int, until: int, outcome: Delivered
) -> None:
    """Batches as a queue would give them: what arrives within ten seconds, handled when they are over."""
    cloud = Cloud(estate, since)
    waiting: list[batch.Message] = []
    window = -1

    def handle() -> None:
        if not waiting:
            return
        cloud.now = (window + 1) * 10_000
        done = batch.handle(waiting, recording, cloud.aws, cloud.clock, refresh_ranges=lambda: None)  # type: ignore[arg-type]
        outcome.batches += 1
        outcome.observations += done.observations
        outcome.ignored += done.ignored
        outcome.rejected += done.rejected
        outcome.failed += len(done.failed)
        # What was asked too early is asked again when the queue gives it back.
        again.extend((cloud.now + 90_000, m) for m in waiting if m.id in done.failed)
        waiting.clear()

    again: list[tuple[int, batch.Message]] = []
    queue = [
        (at, batch.Message(f"{n}", e.envelope))
        for n, (at, e) in enumerate(deliveries(estate, weather, since, until, outcome))
    ]
    while queue:
        for at, message in queue:
            if at // 10_000 != window:
                handle()
                window = at // 10_000
            waiting.append(message)
        handle()
        queue, again, window = sorted(again, key=lambda a: (a[0], a[1].id)), [], -1


# -- sweeps


def _sweep_all(cloud: Cloud, recording: _Recording, at: int, outcome: Delivered) -> None:
    """All accounts and regions at once, and the organisation's accounts."""
    home = cloud.estate.accounts[0].id
    tasks: list[tuple[str, str, Any]] = [(home, GLOBAL, ORGANISATION_KINDS)]
    tasks += [(account, region, None) for region in cloud.regions for account in cloud.accounts]
    for account, region, kinds in tasks:
        cloud.now = at
        sweep_id = digest(f"{cloud.estate.sizes.seed}/sweep/{account}/{region}/{at}", 32)
        task = new_task(account, region, cloud.clock(), kinds, sweep_id=sweep_id)
        result = sweep(task, cloud.aws(account, region), recording.put_swept, cloud.clock)
        if result.failures:
            raise RuntimeError(f"the sandbox's sweep of {account} {region} failed: {result.failures[0]}")
        outcome.sweeps += 1
        outcome.observations += result.rows


_PART = re.compile(rb"-[0-9a-f]{8}\.json\.gz")


class _Recording:
    """The lake's store, with names that the seed decides, and a memory of what was told of each interface."""

    def __init__(self, store: ObjectStore, outcome: Delivered) -> None:
        self.store, self.sights = store, outcome.sights

    def put(self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None) -> str:
        if "/origin=" in key:
            for row in from_lines(data):
                self._remember(row)
        return self.store.put(key, data, if_none_match=if_none_match, if_match=if_match)

    def put_swept(self, key: str, data: bytes) -> str:
        """A sweep gives each object a random part of its name, against being run twice; this one is run once."""
        steady = _PART.sub(b".json.gz", key.encode()).decode()
        if key.endswith(".gz"):
            return self.put(steady, data)
        return self.put(key, _PART.sub(b".json.gz", data))

    def _remember(self, row: Row) -> None:
        if row["kind"] != "interface":
            return
        told, swept = row["recorded_at"], row["source"] == SWEEP
        if row["state"] == ABSENT:
            self._sight(row["entity_id"], "").ended_by_event = told
            return
        for address in [*row.get("addresses", ()), *row.get("prefixes", ()), *row.get("addresses_added", ())]:
            sight = self._sight(row["entity_id"], address)
            if swept:
                sight.by_sweep = min(sight.by_sweep or told, told)
            else:
                sight.by_event = min(sight.by_event or told, told)

    def _sight(self, interface: str, address: str) -> Sights:
        return self.sights.setdefault((interface, address), Sights())
