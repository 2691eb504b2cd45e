"""The address ranges as a table with its history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.inventory.ranges import KEY, BadRanges, Change, Ranges, at, keep, parse, read, with_version
from flowlake.lake.contracts import contract
from flowlake.lake.store import Conflict, open_store
from tests.samples import sample


def document(token: int, day: int, *prefixes: str, service: str = "EC2") -> bytes:
    entries = [
        {"ip_prefix": prefix, "service": service, "region": "eu-west-1", "network_border_group": "eu-west-1"}
        for prefix in prefixes
    ]
    created = f"2026-01-{day:02d}-00-00-00"
    return json.dumps(
        {"syncToken": str(token), "createDate": created, "prefixes": entries, "ipv6_prefixes": []}
    ).encode()


def held(rows: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(row["prefix"], row["valid_from"][8:10], (row.get("valid_to") or "")[8:10] or None) for row in rows]


def test_what_a_version_lacks_ends_and_what_it_adds_begins(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert keep(store, document(1, 1, "3.0.0.0/8", "4.0.0.0/8")) == Change(2, 0, 2, True)
    assert keep(store, document(2, 5, "4.0.0.0/8", "5.0.0.0/8")) == Change(1, 1, 2, True)
    assert keep(store, document(3, 9, "3.0.0.0/8", "4.0.0.0/8", "5.0.0.0/8")) == Change(1, 0, 3, True)
    rows = read(store)
    assert held(rows) == [
        ("3.0.0.0/8", "01", "05"),
        ("3.0.0.0/8", "09", None),
        ("4.0.0.0/8", "01", None),
        ("5.0.0.0/8", "05", None),
    ]
    # sync_token: the last version that held the row.
    assert [row["sync_token"] for row in rows] == [1, 3, 3, 3]
    assert all(set(row) <= set(contract("ip_ranges").column_names) for row in rows)


def test_a_version_that_is_not_newer_changes_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    keep(store, document(5, 5, "3.0.0.0/8"))
    for older in (document(5, 5, "9.0.0.0/8"), document(4, 4, "9.0.0.0/8")):
        assert keep(store, older) == Change(0, 0, 1, False)
    assert held(read(store)) == [("3.0.0.0/8", "05", None)]


def test_the_ranges_of_a_moment(tmp_path: Path) -> None:
    rows, _ = with_version([], parse(document(1, 1, "3.0.0.0/8")))
    rows, _ = with_version(rows, parse(document(2, 5, "4.0.0.0/8")))

    def prefixes(day: int) -> list[str]:
        return [row["prefix"] for row in at(rows, datetime(2026, 1, day, tzinfo=UTC))]

    assert (prefixes(1), prefixes(4), prefixes(5), prefixes(6)) == (
        ["3.0.0.0/8"],
        ["3.0.0.0/8"],
        ["4.0.0.0/8"],
        ["4.0.0.0/8"],
    )
    # Before the first version that was kept: the nearest that is known.
    assert [row["prefix"] for row in at(rows, datetime(2020, 1, 1, tzinfo=UTC))] == ["3.0.0.0/8"]
    assert at([], datetime(2020, 1, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"{}",
        b'{"syncToken": "1", "createDate": "2026-01-01-00-00-00", "prefixes": []}',
        b'{"syncToken": "1", "createDate": "2026-01-01-00-00-00", "prefixes": [], "ipv6_prefixes": []}',
        document(1, 1, "3.0.0.1/8"),
        document(1, 1, "nowhere"),
    ],
)
def test_half_a_file_is_refused_and_ends_nothing(data: bytes, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    keep(store, document(1, 1, "3.0.0.0/8"))
    before = store.get(KEY)
    with pytest.raises(BadRanges):
        keep(store, data)
    assert store.get(KEY) == before


def test_a_write_that_came_between_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    keep(store, document(1, 1, "3.0.0.0/8"))
    put, between = type(store).put, [document(2, 2, "4.0.0.0/8")]

    def slow_put(self: Any, key: str, data: bytes, **conditions: Any) -> str:
        if between:
            keep(open_store(str(tmp_path)), between.pop())
        return put(self, key, data, **conditions)

    monkeypatch.setattr(type(store), "put", slow_put)
    assert keep(store, document(3, 3, "5.0.0.0/8")) == Change(1, 1, 1, True)
    assert held(read(store)) == [
        ("3.0.0.0/8", "01", "02"),
        ("4.0.0.0/8", "02", "03"),
        ("5.0.0.0/8", "03", None),
    ]


def test_others_that_keep_writing_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))

    def never(*_: Any, **__: Any) -> str:
        raise Conflict("changed")

    monkeypatch.setattr(type(store), "put", never)
    with pytest.raises(Conflict):
        keep(store, document(1, 1, "3.0.0.0/8"))


def test_two_real_versions_half_a_year_apart(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    first = keep(store, sample("ip-ranges/ip-ranges-2026-01-30.json").read_bytes())
    second = keep(store, sample("ip-ranges/ip-ranges-2026-08-22.json").read_bytes())
    # 9,807 + 4,956 entries, then 10,666 + 6,160; IPv4 alone: 180 (prefix, service) gone, 1,039 new.
    assert (first.began, second.holding) == (14_763, 16_826)
    assert first.began - second.ended + second.began == second.holding
    rows = read(store)
    v4 = [row for row in rows if ":" not in row["prefix"]]
    gone = {(row["prefix"], row["service"]) for row in v4 if "valid_to" in row}
    new = {(row["prefix"], row["service"]) for row in v4 if row["valid_from"].startswith("2026-08")}
    # Some stay, in another region or border group: their row ends and another begins.
    moved = gone & new
    assert (len(gone - moved), len(new - moved), len(moved)) == (180, 1_039, 8)


SETS = st.frozensets(
    st.tuples(st.sampled_from(["3.0.0.0/8", "4.0.0.0/8", "5.0.0.0/8"]), st.just("EC2"), st.just("r"), st.just("g"))
)


@given(st.lists(SETS, min_size=1, max_size=8))
def test_at_each_versions_time_the_table_is_that_version(versions: list[frozenset[Any]]) -> None:
    rows: list[dict[str, Any]] = []
    for number, ranges in enumerate(versions):
        rows, _ = with_version(rows, Ranges(number, datetime(2026, 1, 1 + number, tzinfo=UTC), ranges))
    first = next((number for number, ranges in enumerate(versions) if ranges), len(versions))
    for number, ranges in enumerate(versions[first:], start=first):
        then = at(rows, datetime(2026, 1, 1 + number, 12, tzinfo=UTC))
        assert sorted((r["prefix"], r["service"], r["region"], r["network_border_group"]) for r in then) == sorted(
            ranges
        )
