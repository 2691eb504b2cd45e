"""Which observations an hour's book is built from: the sweeps around the hour, the events between them, nothing
recorded after the cutoff."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flowlake.flows.book import build
from flowlake.flows.observed import observations, sweeps_around
from flowlake.lake import places
from flowlake.lake.hours import Hour, from_text
from flowlake.lake.observations import Row, to_lines
from flowlake.lake.store import ObjectStore, open_store
from tests.flows.worked import ACCOUNT, REGION, eni, event, stamp, sweep

TEN = Hour.parse("2026-01-01T10")
LATER = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path))


def put_sweep(
    store: ObjectStore, at: str, rows: list[Row], region: str = REGION, kinds: tuple[str, ...] = ("interface",)
) -> str:
    """A sweep's object of rows and its marker; it began and ended at one moment. Returns the object's key."""
    moment = from_text(stamp(at))
    key = f"{places.observations('sweeps', Hour.holding(moment.timestamp()))}{region}-{at.replace(':', '')}.json.gz"
    store.put(key, to_lines(rows))
    marker = {
        "started_at": stamp(at),
        "finished_at": stamp(at),
        "kinds": {kind: {} for kind in kinds},
        "objects": [key],
    }
    store.put(places.sweep_marker(ACCOUNT, region, moment.strftime("%Y%m%dT%H%M%SZ"), at), json.dumps(marker).encode())
    return key


def put_event(store: ObjectStore, row: Row) -> None:
    recorded = from_text(row["recorded_at"])
    folder = places.observations("events", Hour.holding(recorded.timestamp()))
    store.put(f"{folder}{row['source_id']}-{recorded:%H%M%S}.json.gz", to_lines([row]))


def found(store: ObjectStore, cutoff: datetime = LATER) -> list[str]:
    _, rows = observations(store, TEN, cutoff)
    return sorted(f"{row['observed_at'][11:16]} {row['entity_id']}" for row in rows if row["state"] != "complete")


def test_from_the_last_sweep_before_the_hour_to_the_first_after_it(lake: ObjectStore) -> None:
    for at in ("07:00", "09:00", "10:30", "12:00", "13:00"):
        put_sweep(lake, at, sweep(at, eni("eni-a", "10.0.0.1")))
    assert found(lake) == ["09:00 eni-a", "10:30 eni-a", "12:00 eni-a"]


def test_a_sweep_that_runs_into_the_hour_is_not_one_before_it(lake: ObjectStore) -> None:
    """Finished at 09:58:00 it is before the hour, whatever two clocks say; at 09:58:01 it is not: the one before it is
    read too.
    """
    put_sweep(lake, "08:00", sweep("08:00", eni("eni-a", "10.0.0.1")))
    put_sweep(lake, "09:58", sweep("09:58", eni("eni-a", "10.0.0.1")))
    assert found(lake) == ["09:58 eni-a"]
    put_sweep(lake, "09:58:01", sweep("09:58:01", eni("eni-b", "10.0.0.2")))
    assert found(lake) == ["09:58 eni-a", "09:58 eni-b"]


def test_a_sweep_at_the_hours_end_does_not_see_its_last_records_to_their_end(lake: ObjectStore) -> None:
    """What begins at 10:59 may last to 11:09 and be off by a minute or two: the sweep of 11:00 is no sight after it,
    that of 11:12 is.
    """
    for at in ("09:00", "11:00", "11:12", "11:24"):
        put_sweep(lake, at, sweep(at, eni("eni-a", "10.0.0.1")))
    assert found(lake) == ["09:00 eni-a", "11:00 eni-a", "11:12 eni-a"]


def test_each_kind_has_its_own_last_and_first(lake: ObjectStore) -> None:
    """The sweep of 09:00 failed to list interfaces: for them the one of 08:00 counts."""
    put_sweep(lake, "08:00", sweep("08:00", eni("eni-a", "10.0.0.1")), kinds=("interface", "vpc"))
    put_sweep(lake, "09:00", [], kinds=("vpc",))
    put_sweep(lake, "11:30", sweep("11:30", eni("eni-b", "10.0.0.2")), kinds=("interface", "vpc"))
    assert found(lake) == ["08:00 eni-a", "11:30 eni-b"]


def test_events_from_the_first_sweep_on_and_late_ones_too(lake: ObjectStore) -> None:
    put_sweep(lake, "09:00", [])
    put_event(lake, event("07:30", eni("eni-early", "10.0.0.1")))
    put_event(lake, event("09:30", eni("eni-b", "10.0.0.2")))
    put_event(lake, {**event("09:40", eni("eni-late", "10.0.0.3")), "recorded_at": stamp("21:00")})
    assert found(lake) == ["09:30 eni-b", "09:40 eni-late"]
    # What was recorded after the cutoff does not exist yet: a rerun with the same cutoff gives the same rows.
    assert found(lake, cutoff=from_text(stamp("20:00"))) == ["09:30 eni-b"]


def test_the_cutoff_hides_sweeps_that_were_not_finished(lake: ObjectStore) -> None:
    put_sweep(lake, "09:00", sweep("09:00", eni("eni-a", "10.0.0.1")))
    put_sweep(lake, "12:00", sweep("12:00", eni("eni-b", "10.0.0.2")))
    provisional, final = from_text(stamp("11:15")), from_text(stamp("12:00"))
    assert found(lake, cutoff=provisional) == ["09:00 eni-a"]
    assert sweeps_around(lake, TEN, provisional).complete_after == set()
    assert sweeps_around(lake, TEN, final).complete_after == {(ACCOUNT, REGION)}


def test_final_needs_every_region_swept_after_the_hour(lake: ObjectStore) -> None:
    put_sweep(lake, "09:00", [])
    put_sweep(lake, "09:00", [], region="eu-west-1")
    put_sweep(lake, "11:05", [])
    sweeps = sweeps_around(lake, TEN, LATER)
    assert sweeps.accounts == {(ACCOUNT, REGION), (ACCOUNT, "eu-west-1")}
    assert sweeps.complete_after == {(ACCOUNT, REGION)}
    # One that began before the hour's end says nothing of its end.
    put_sweep(lake, "10:59", [], region="eu-west-1")
    assert sweeps_around(lake, TEN, LATER).complete_after == {(ACCOUNT, REGION)}
    put_sweep(lake, "11:00", [], region="eu-west-1")
    assert sweeps_around(lake, TEN, LATER).complete_after == {(ACCOUNT, REGION), (ACCOUNT, "eu-west-1")}


def test_a_region_that_was_not_swept_for_long_is_stale(lake: ObjectStore) -> None:
    put_sweep(lake, "09:00", [])
    two_days_before = TEN.plus(-48).moment
    marker = {
        "started_at": two_days_before.isoformat(),
        "finished_at": two_days_before.isoformat(),
        "kinds": ["interface"],
        "objects": [],
    }
    lake.put(
        places.sweep_marker(ACCOUNT, "eu-west-1", two_days_before.strftime("%Y%m%dT%H%M%SZ"), "s"),
        json.dumps(marker).encode(),
    )
    assert sweeps_around(lake, TEN, LATER).stale == {(ACCOUNT, "eu-west-1")}


def test_without_any_sweep_events_of_the_last_days_are_read(lake: ObjectStore) -> None:
    put_event(lake, event("09:30", eni("eni-b", "10.0.0.2")))
    old = event("09:30", eni("eni-old", "10.0.0.3"))
    moment = (TEN.moment - timedelta(days=9)).strftime("%Y-%m-%d %H:%M:%S.000")
    put_event(lake, {**old, "recorded_at": moment, "observed_at": moment})
    assert found(lake) == ["09:30 eni-b"]


def test_the_book_of_the_chosen_rows_is_that_of_all_rows(lake: ObjectStore) -> None:
    """What was left out says nothing of the hour: sweeps long before and after, with the interface as it is."""
    a, b = eni("eni-a", "10.0.0.1"), eni("eni-b", "10.0.0.2")
    everything: list[Row] = []
    for at, there in (("06:00", [a]), ("09:00", [a]), ("12:00", [a, b]), ("15:00", [b])):
        rows = sweep(at, *there)
        everything += rows
        put_sweep(lake, at, rows)
    made = event("10:20", b)
    put_event(lake, made)
    _, rows = observations(lake, TEN, LATER)
    one, all_ = build(rows, TEN.starts), build([*everything, made], TEN.starts)
    held = [(c.interface_id, max(c.valid_from, TEN.starts * 1000)) for c in one.claims]
    assert held == [(c.interface_id, max(c.valid_from, TEN.starts * 1000)) for c in all_.claims]
