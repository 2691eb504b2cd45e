"""What the inventory gets to see of the estate: events, some lost, late, repeated or shuffled, and sweeps.

Events go through flowlake's own reading of events, describe items through its own rows; what an event lacks is answered
from the estate as of the moment of its handling. The traffic is not touched: the same estate can be written with
many inventories.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flowlake.inventory.calls import Ignored, Reading, Rejected, Want
from flowlake.inventory.events import read
from flowlake.inventory.rows import rows_of
from flowlake.inventory.seen import Seen
from flowlake.lake import places
from flowlake.lake.hours import Hour, as_text, utc
from flowlake.lake.observations import ABSENT, COMPLETE, EVENT, SWEEP, Row, to_lines
from flowlake.lake.store import ObjectStore
from flowlake.sandbox import describe
from flowlake.sandbox.announce import Event, events
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.identity import digest
from flowlake.sandbox.model import Account

MINUTE = 60_000
SETTLED = 60_000
ROWS_AT_ONCE = 5_000


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
class Delivered:
    """What became of the events, and which sweeps ran."""

    happened: int = 0
    lost: int = 0
    handled: int = 0
    repeated: int = 0
    late: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    observations: int = 0
    sweeps: int = 0
    lost_ids: list[str] = field(default_factory=list)


def write(estate: Estate, store: ObjectStore, weather: Weather) -> Delivered:
    """Writes observations and sweep markers under the lake's places."""
    outcome = Delivered()
    first = estate.sizes.starts - weather.event_minutes * MINUTE
    last = estate.sizes.ends + 20 * MINUTE
    _write_events(estate, store, weather, first, last, outcome)
    for number, at in enumerate(sweep_times(estate, weather)):
        _sweep(estate, store, at, number, outcome)
    return outcome


def sweep_times(estate: Estate, weather: Weather) -> list[int]:
    """When sweeps begin (epoch milliseconds): every so often, from before the first span until after the last."""
    step = weather.sweep_minutes * MINUTE
    times: list[int] = []
    for start, end in estate.sizes.spans:
        begin = start - 5 * MINUTE - (min(step, 20 * MINUTE) - 5 * MINUTE if step > 5 * MINUTE else 0)
        at = begin
        while at < end:
            times.append(at)
            at += step
        times.append(max(at, end + 2 * MINUTE) if step > 20 * MINUTE else end + 2 * MINUTE)
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
            outcome.lost_ids.append(event.envelope["id"])
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
    estate: Estate, store: ObjectStore, weather: Weather, since: int, until: int, outcome: Delivered
) -> None:
    """One object of observations a minute, as batches of a queue would give them."""
    minute, rows = -1, list[Row]()
    lookup = Lookup(estate)

    def put() -> None:
        if rows:
            folder = places.observations("events", Hour.holding(minute * 60))
            content = to_lines(rows)
            store.put(f"{folder}{digest(json.dumps(rows, sort_keys=True), 32)}.json.gz", content)
            outcome.observations += len(rows)
            rows.clear()

    for at, event in deliveries(estate, weather, since, until, outcome):
        if at // MINUTE != minute:
            put()
            minute = at // MINUTE
        rows += _handled(lookup, event, at, outcome)
    put()


def _handled(lookup: Lookup, event: Event, at: int, outcome: Delivered) -> list[Row]:
    recorded = utc(at / 1000)
    try:
        reading: Reading = read(event.envelope, recorded)
    except Ignored as ignored:
        outcome.ignored[ignored.reason] += 1
        return []
    except Rejected as rejected:
        outcome.rejected[rejected.reason] += 1
        return []
    outcome.handled += 1
    rows = list(reading.rows)
    for want in reading.wants:
        rows += lookup.answer(want, reading, at)
    return [{**row, "recorded_at": as_text(recorded)} for row in rows]


class Lookup:
    """Answers what events lack, from the estate as it is at the moment of asking."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self._interfaces = {i.id: i for i in estate.interfaces if not i.regional_nat}
        self._by_instance: dict[str, list[str]] = {}
        for interface in estate.interfaces:
            if interface.instance_id:
                self._by_instance.setdefault(interface.instance_id, []).append(interface.id)
        self._things = {(t.kind, t.id): t for t in estate.things}

    def answer(self, want: Want, reading: Reading, at: int) -> list[Row]:
        api, ids = "DescribeNetworkInterfaces", [want.value]
        seen = Seen(
            observed_at=utc(at / 1000), recorded_at=utc(at / 1000), source=EVENT, source_name=api,
            source_id=reading.event_id, account_id=want.account_id, region=want.region,
        )  # fmt: skip
        if want.kind == "interface":
            if want.by == "instance":
                ids = self._by_instance.get(want.value, [])
            there = [self._interfaces[i] for i in ids if i in self._interfaces]
            alive = [i for i in there if i.created <= at < i.deleted]
            rows = [r for i in alive for r in rows_of("interface", describe.interface_item(self.estate, i, at), seen)]
            if not rows and want.by == "id" and at - reading.occurred_at.timestamp() * 1000 > SETTLED:
                return [seen.row("interface", want.value, ABSENT)]
            return rows
        if want.kind == "instance":
            thing = self._things.get(("instance", want.value))
            if thing is None or not thing.created <= at < thing.deleted:
                return []
            return rows_of("instance", describe.instance_item(self.estate, thing, at), seen)
        raise KeyError(f"an event asks for {want.kind}, which the estate's events never lack")


# -- sweeps


def sweep_rows(
    estate: Estate, account: Account, region: str, at: int, sweep_id: str
) -> Iterator[tuple[str, list[Row]]]:
    """(kind, rows) of a sweep that begins at that moment; a second goes by from kind to kind."""
    began = at
    for kind in describe.KINDS:
        at += 1_000
        seen = Seen(
            observed_at=utc(at / 1000), recorded_at=utc(at / 1000), source=SWEEP, source_name=_api(kind),
            source_id=sweep_id, account_id=account.id, region=region, sweep_started_at=utc(began / 1000),
        )  # fmt: skip
        rows = [row for item in describe.items(estate, kind, account, region, at) for row in rows_of(kind, item, seen)]
        yield kind, [*rows, seen.row(kind, "*", COMPLETE)]
    if account.index == 0 and region == estate.vpcs[0].region:
        seen = Seen(
            observed_at=utc(at / 1000), recorded_at=utc(at / 1000), source=SWEEP, source_name="ListAccountsForParent",
            source_id=sweep_id, account_id=account.id, region="global", sweep_started_at=utc(began / 1000),
        )  # fmt: skip
        rows = [r for a in estate.accounts for r in rows_of("account", describe.account(estate, a), seen)]
        yield "account", [*rows, seen.row("account", "*", COMPLETE, region=None)]


def _api(kind: str) -> str:
    return "Describe" + "".join(word.capitalize() for word in kind.split("_")) + "s"


def _sweep(estate: Estate, store: ObjectStore, at: int, number: int, outcome: Delivered) -> None:
    for region in sorted({vpc.region for vpc in estate.vpcs}):
        for account in estate.accounts:
            sweep_id = digest(f"{estate.sizes.seed}/sweep/{account.id}/{region}/{at}", 16)
            counts: dict[str, int] = {}
            objects: list[str] = []
            rows: list[Row] = []
            for kind, found in sweep_rows(estate, account, region, at, sweep_id):
                counts[kind] = len(found) - 1
                rows += found
                while len(rows) >= ROWS_AT_ONCE:
                    objects.append(_put_sweep(store, rows[:ROWS_AT_ONCE], at, sweep_id, len(objects)))
                    rows = rows[ROWS_AT_ONCE:]
            if rows:
                objects.append(_put_sweep(store, rows, at, sweep_id, len(objects)))
            outcome.observations += sum(counts.values())
            outcome.sweeps += 1
            ended = at + 1_000 * (len(counts) + 1)
            marker: dict[str, Any] = {
                "sweep_id": sweep_id, "account_id": account.id, "region": region, "started_at": as_text(utc(at / 1000)),
                "finished_at": as_text(utc(ended / 1000)), "kinds": counts, "failures": [], "objects": objects,
            }  # fmt: skip
            key = places.sweep_marker(account.id, region, utc(at / 1000).strftime("%Y%m%dT%H%M%SZ"), sweep_id)
            store.put(key, json.dumps(marker, sort_keys=True).encode())


def _put_sweep(store: ObjectStore, rows: Iterable[Row], at: int, sweep_id: str, number: int) -> str:
    key = f"{places.observations('sweeps', Hour.holding(at / 1000))}{sweep_id}-{number:04d}.json.gz"
    store.put(key, to_lines(rows))
    return key
