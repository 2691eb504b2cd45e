"""What the inventory sees: through flowlake's own reading of events and its own sweep, in fair and foul weather."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from flowlake.inventory.describe import KINDS
from flowlake.lake import places
from flowlake.lake.observations import COMPLETE, from_lines
from flowlake.lake.store import open_store
from flowlake.sandbox import small
from flowlake.sandbox.announce import events
from flowlake.sandbox.inventory import Delivered, Weather, deliveries, sweep_times, write
from flowlake.sandbox.simulate import design
from tests.sandbox.conftest import Written

MINUTE = 60_000


def test_every_sweep_is_complete_and_says_so(demo_estate: Written) -> None:
    store = open_store(str(demo_estate.out))
    markers = [json.loads(store.get(info.key)) for info in store.list(places.SWEEPS)]
    regional = [m for m in markers if m["region"] != "global"]
    assert len(regional) == 6  # two accounts, before the hour, in it and after it
    for marker in markers:
        assert marker["failures"] == []
        assert set(marker["kinds"]) == ({"account"} if marker["region"] == "global" else set(KINDS))
        rows = [row for key in marker["objects"] for row in from_lines(store.get(key))]
        complete = {row["kind"] for row in rows if row["state"] == COMPLETE}
        assert set(marker["kinds"]) - complete <= {"tags"}  # of tags alone, absence says nothing


def test_all_events_are_understood(demo_estate: Written) -> None:
    told = demo_estate.summary.inventory
    assert told["rejected"] == {}
    assert told["ignored"] == {}
    assert told["failed"] == 0
    assert told["happened"] > 100


def test_in_fair_weather_every_interface_is_told(demo_estate: Written) -> None:
    untold = demo_estate.ask(
        """select i.interface_id, i.type, i.created, i.deleted from {interfaces} i
            left join {sights} s on s.interface_id = i.interface_id and s.address = i.address
            where s.interface_id is null and i.interface_id not like 'nat-%'
              and (i.deleted is null or i.deleted > 1767225600000)"""
    )
    assert untold == []


def test_lost_events_leave_interfaces_that_nobody_was_told_of(tmp_path: Path) -> None:
    estate, _ = design(small.settings())
    delivered = write(estate, open_store(str(tmp_path)), Weather(loss=1.0))
    told = {interface for interface, _ in delivered.sights}
    assert delivered.lost == delivered.happened > 0
    brief = [i for i in estate.interfaces if i.deleted - i.created < 20 * MINUTE]
    assert any(i.id not in told for i in brief)
    # A sweep finds what stays.
    assert all(i.id in told for i in estate.interfaces if i.created == 0 and not i.regional_nat)


def test_deliveries_are_late_repeated_and_shuffled_but_never_early() -> None:
    estate, _ = design(small.settings())
    outcome = Delivered()
    arrived = deliveries(estate, Weather(late=0.5, repeated=0.3), 0, estate.sizes.ends, outcome)
    assert all(at > event.at for at, event in arrived)
    assert max(at - event.at for at, event in arrived) > 5 * MINUTE
    assert [event.at for _, event in arrived] != sorted(event.at for _, event in arrived)
    assert len(arrived) == outcome.happened + outcome.repeated


def test_events_come_in_order_and_tell_each_end_before_the_next_beginning() -> None:
    estate, _ = design(small.settings())
    found = events(estate, 0, estate.sizes.ends)
    assert [e.at for e in found] == sorted(e.at for e in found)
    ids = [e.envelope["id"] for e in found]
    assert len(ids) == len(set(ids))


def test_sweeps_run_before_within_and_after_the_hours() -> None:
    estate, _ = design(replace(small.settings(), hours=2))
    for minutes in (5, 15, 60):
        times = sweep_times(estate, Weather(sweep_minutes=minutes))
        start, end = estate.sizes.spans[0]
        assert times[0] < start
        assert times[-1] > end
        assert all(b - a <= minutes * MINUTE for a, b in pairwise(times))
