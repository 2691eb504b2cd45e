"""Where a packet goes by the routes of its subnet, and the names of the ways out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlake.flows.addresses import U64, held, is_v4, range_of
from flowlake.flows.lookup import NOBODY, Lookup

_ALL_V4 = 1 << 32


@cache
def path_rules() -> dict[str, Any]:
    """paths.json, parsed."""
    document: dict[str, Any] = json.loads((resources.files(__package__) / "paths.json").read_text(encoding="utf-8"))
    return document


class Router:
    """Routes of the subnets: where a packet from a subnet to an address goes, by the longest prefix.

    targets: (via, id) of the ways that were found so far.
    """

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.targets: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        # Many subnets share a route table: each distinct one is looked at once.
        tables: dict[tuple[tuple[str, str], ...], int] = {}
        self._table_of = np.full(len(lookup.subnets) + 1, NOBODY, dtype=np.int64)
        for subnet, routes in lookup.routes.items():
            self._table_of[subnet] = tables.setdefault(tuple(routes), len(tables))
        self._tables = list(tables)

    def subnet_of(self, who: npt.NDArray) -> npt.NDArray[np.int64]:
        """The subnets of interfaces; -1 for those that the book does not know."""
        known = (who >= 0) & (who < len(self.lookup.subnet))
        if not len(self.lookup.subnet):
            return np.full(len(who), -1, dtype=np.int64)
        return np.where(known, self.lookup.subnet[np.where(known, who, 0)], -1).astype(np.int64)

    def ways(self, subnet: npt.NDArray[np.int64], high: U64, low: U64) -> npt.NDArray[np.int64]:
        """Rows of targets for packets from these subnets to these addresses; -1 where no route is known, or its target
        is none that is known. subnet -1 is not known.
        """
        found = np.full(len(subnet), NOBODY, dtype=np.int64)
        table_of = self._table_of[subnet]
        for number in np.unique(table_of[table_of >= 0]).tolist():
            packets = np.flatnonzero(table_of == number)
            h, lo = high[packets], low[packets]
            v4, routed = is_v4(h, lo), np.zeros(len(packets), dtype=np.bool_)
            for width, first, last, target in _narrowest_first(self._tables[number]):
                goes = ~routed & held(first, last, h, lo)
                # ::/0 is no route for IPv4, which stands among IPv6 as numbers.
                goes &= ~v4 | (width < _ALL_V4)
                found[packets[goes]] = self._number(target)
                routed |= goes
        return found

    def _number(self, target: str) -> int:
        via = next((v for p, v in path_rules()["target"].items() if target.startswith(p)), None)
        if via is None:
            return NOBODY
        number = self._numbers.setdefault((via, target), len(self.targets))
        if number == len(self.targets):
            self.targets.append((via, target))
        return number


def _narrowest_first(routes: Sequence[tuple[str, str]]) -> list[tuple[int, int, int, str]]:
    """(width, first, last, target) of a table's routes to ranges of addresses."""
    ranges = [(*range_of(destination), target) for destination, target in routes if "/" in destination]
    return sorted((last - first, first, last, target) for first, last, target in ranges)
