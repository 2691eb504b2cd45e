"""What the inventory was told: from when to when each interface and address is known at all, by any observation that arrived.

This reads the observations of a lake without flowlake's address book, so that what could be known is judged apart from what the book
makes of it.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from flowlake.lake import places
from flowlake.lake.hours import from_text
from flowlake.lake.observations import ABSENT, EVENT, Row, from_lines
from flowlake.lake.store import open_store


def interface_rows(lake: Path) -> Iterator[Row]:
    """All observations of interfaces in the lake."""
    store = open_store(str(lake))
    for info in store.list(places.OBSERVATIONS):
        for row in from_lines(store.get(info.key)):
            if row["kind"] == "interface" and row["state"] != "complete":
                yield row


def _ms(text: str) -> int:
    return round(from_text(text).timestamp() * 1000)


def _named(row: Row) -> list[str]:
    return [*(row.get("addresses") or ()), *(row.get("prefixes") or ()), *(row.get("addresses_added") or ())]


class Told:
    """Everything the lake was told of its interfaces."""

    def __init__(self, lake: Path) -> None:
        self.rows = list(interface_rows(lake))

    def spans(self, held: Iterable[tuple[str, str]]) -> pa.Table:
        """For each (interface, address) that was told: the first and last moment (ms) that its observations speak of.

        A primary address is its interface's for life; others are known from the first to the last observation that names them.
        """
        lives: dict[str, list[int]] = {}
        first_address: dict[str, str] = {}
        names: dict[tuple[str, str], list[int]] = {}
        for row in self.rows:
            entity = row["entity_id"]
            moments = [_ms(row[n]) for n in ("observed_at", "attached_at", "created_at") if row.get(n)]
            life = lives.setdefault(entity, [moments[0], moments[0]])
            life[0], life[1] = min(life[0], *moments), max(life[1], moments[0])
            if row["state"] == ABSENT:
                continue
            if row.get("addresses"):
                first_address.setdefault(entity, row["addresses"][0])
            for name in (*_named(row), *(row.get("addresses_removed") or ())):
                span = names.setdefault((entity, name), [moments[0], moments[0]])
                span[0], span[1] = min(span[0], moments[0]), max(span[1], moments[0])
        prefixes: dict[str, list[str]] = defaultdict(list)
        for entity, name in names:
            if "/" in name:
                prefixes[entity].append(name)
        found = []
        for entity, address in held:
            span = lives[entity] if first_address.get(entity) == address else names.get((entity, address))
            if span is None:
                here = ipaddress.ip_address(address)
                within = [p for p in prefixes.get(entity, ()) if here in ipaddress.ip_network(p)]
                span = names[entity, within[0]] if within else None
            if span is not None:
                found.append((entity, address, span[0], span[1]))
        columns = list(zip(*found, strict=True)) or [(), (), (), ()]
        return pa.table(
            {
                "interface_id": pa.array(columns[0], pa.string()),
                "address": pa.array(columns[1], pa.string()),
                "first": pa.array(columns[2], pa.int64()),
                "last": pa.array(columns[3], pa.int64()),
            }
        )

    def interfaces(self) -> pa.Table:
        """The interfaces of which anything was told."""
        return pa.table({"interface_id": pa.array(sorted({row["entity_id"] for row in self.rows}), pa.string())})

    def snapshot(self, at: int) -> pa.Table:
        """What the last sweep of each account and region that was over by then (ms) listed: interface, VPC, address."""
        sweeps: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for row in self.rows:
            if row["source"] != EVENT and row["state"] != ABSENT and _ms(row["recorded_at"]) <= at:
                place = row["account_id"], row.get("region", "")
                told = sweeps[place]
                told[row["source_id"]] = max(told.get(row["source_id"], 0), _ms(row["observed_at"]))
        last = {place: max(told, key=lambda s, told=told: told[s]) for place, told in sweeps.items()}
        found = [
            (row["entity_id"], row.get("vpc_id"), address)
            for row in self.rows
            if row["source_id"] == last.get((row["account_id"], row.get("region", "")))
            for address in row.get("addresses") or ()
        ]
        return _holders(found)

    def by_events(self) -> pa.Table:
        """Who held each (VPC, address) from when (ms) on, by events alone after one first sweep: until an event says otherwise."""
        first: dict[tuple[str, str], tuple[int, str]] = {}
        for row in self.rows:
            if row["source"] != EVENT:
                place = row["account_id"], row.get("region", "")
                mine = _ms(row["observed_at"]), row["source_id"]
                first[place] = min(first.get(place, mine), mine)
        begun = {source for _, source in first.values()}
        changes: list[tuple[str | None, str, int, str | None]] = []
        held: dict[str, set[tuple[str | None, str]]] = defaultdict(set)
        vpc_of = {row["entity_id"]: row["vpc_id"] for row in self.rows if row.get("vpc_id")}
        for row in sorted(self.rows, key=lambda r: _ms(r["observed_at"])):
            entity = row["entity_id"]
            if row["source"] != EVENT and row["source_id"] not in begun:
                continue
            at = _ms(row["observed_at"]) if row["source"] == EVENT else 0
            if row["state"] == ABSENT:
                changes += [(vpc, address, at, None) for vpc, address in held.pop(entity, ())]
                continue
            for address in [a for a in _named(row) if "/" not in a]:
                key = vpc_of.get(entity), address
                if key not in held[entity]:
                    held[entity].add(key)
                    changes.append((*key, at, entity))
            for address in row.get("addresses_removed") or ():
                held[entity].discard((vpc_of.get(entity), address))
                changes.append((vpc_of.get(entity), address, at, None))
        rows = [c for c in changes if c[0] is not None]
        return pa.table(
            {
                "vpc_id": pa.array([r[0] for r in rows], pa.string()),
                "address": pa.array([r[1] for r in rows], pa.string()),
                "since": pa.array([r[2] for r in rows], pa.int64()),
                "interface_id": pa.array([r[3] for r in rows], pa.string()),
            }
        )


def _holders(found: list[tuple[str, str | None, str]]) -> pa.Table:
    return pa.table(
        {
            "interface_id": pa.array([f[0] for f in found], pa.string()),
            "vpc_id": pa.array([f[1] for f in found], pa.string()),
            "address": pa.array([f[2] for f in found], pa.string()),
        }
    )
