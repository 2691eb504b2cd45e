"""Where a packet goes by the routes of its subnet, and the names of the ways out."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlake.flows.addresses import range_of
from flowlake.flows.lookup import Lookup

_ALL_V4 = 1 << 32


@cache
def path_rules() -> dict[str, Any]:
    """paths.json, parsed."""
    document: dict[str, Any] = json.loads((resources.files(__package__) / "paths.json").read_text(encoding="utf-8"))
    return document


class Router:
    """Routes of the subnets: where a packet from a subnet to an address goes, by the longest prefix."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.ranges: dict[int, list[tuple[int, int, int, str]]] = {}
        self.answers: dict[tuple[int, int], tuple[str, str] | None] = {}

    def subnet_of(self, who: npt.NDArray) -> npt.NDArray[np.int64]:
        """The subnets of interfaces; -1 for those that the book does not know."""
        known = (who >= 0) & (who < len(self.lookup.subnet))
        if not len(self.lookup.subnet):
            return np.full(len(who), -1, dtype=np.int64)
        return np.where(known, self.lookup.subnet[np.where(known, who, 0)], -1).astype(np.int64)

    def way(self, subnet: int, address: int) -> tuple[str, str] | None:
        """(via, id) by the subnet's routes; null where no route is known or the target is none that is known."""
        key = subnet, address
        if key not in self.answers:
            if subnet not in self.ranges:
                routes = self.lookup.routes.get(subnet, ())
                parsed = [(*range_of(d), t) for d, t in routes if "/" in d]
                self.ranges[subnet] = sorted((last - first, first, last, target) for first, last, target in parsed)
            # ::/0 is no route for IPv4, which stands among IPv6 as numbers.
            widest = _ALL_V4 if address >> 32 == 0xFFFF else 1 << 128
            target = next((t for w, f, last, t in self.ranges[subnet] if f <= address <= last and w < widest), None)
            via = next((v for p, v in path_rules()["target"].items() if target and target.startswith(p)), None)
            self.answers[key] = (via, target or "") if via else None
        return self.answers[key]
