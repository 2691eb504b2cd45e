"""What truly was, and whether a book built of observations says anything else. Moments are epoch milliseconds.

A book is judged by its claims, which say over which stretch an interface surely held an address, and by attribution's
own answers. Both must be right or silent. One thing cannot be known and is left out by name: a secondary address that
left its interface and came back, when no observation that survived tells of either (Truth.untold).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from flowlake.flows.addresses import parse
from flowlake.flows.book import Book
from flowlake.flows.fold import OPEN, millis
from flowlake.flows.hints import hints, merge
from flowlake.flows.holders import holders
from flowlake.flows.lives import NO_LIVES
from flowlake.flows.lookup import compile_book
from flowlake.flows.networks import Ranges
from flowlake.flows.world import Settings, World
from flowlake.lake.observations import Row

Stretch = tuple[int, int]


@dataclass
class Truth:
    """held: (address, interface) -> stretches, the last perhaps OPEN.

    said: of a resource or interface, under the name of an attribute, what held from each moment on: tags (a map),
    instance (an id, or '' for none).
    """

    held: dict[tuple[str, str], list[Stretch]] = field(default_factory=lambda: defaultdict(list))
    said: dict[tuple[str, str], list[tuple[int, object]]] = field(default_factory=lambda: defaultdict(list))

    def takes(self, address: str, interface: str, at: int) -> None:
        self.held[address, interface].append((at, OPEN))

    def leaves(self, address: str, interface: str, at: int) -> None:
        (begins, _) = self.held[address, interface].pop()
        self.held[address, interface].append((begins, at))

    def says(self, entity: str, attribute: str, at: int, value: object) -> None:
        self.said[entity, attribute].append((at, value))

    def at(self, entity: str, attribute: str, at: int) -> object:
        """What held then; None before the first."""
        return next((value for since, value in reversed(self.said[entity, attribute]) if since <= at), None)

    def until(self, entity: str, attribute: str, at: int) -> list[object]:
        """All that ever held up to then."""
        return [value for since, value in self.said[entity, attribute] if since <= at]

    def addresses(self) -> list[str]:
        return sorted({address for address, _ in self.held})

    def holder(self, address: str, at: int) -> str | None:
        return next(
            (i for (a, i), held in self.held.items() if a == address and any(b <= at < e for b, e in held)), None
        )

    def holder_of(self, interface: str, at: int) -> bool:
        """Whether the interface was there then."""
        return any(b <= at < e for (_, i), held in self.held.items() if i == interface for b, e in held)

    def untold(self, address: str, interface: str, gap: Stretch, rows: Iterable[Row]) -> bool:
        """Whether an interface lost a secondary address and got it back over this gap, and no row tells of it."""
        begins, ends = gap
        held = self.held[address, interface]
        if not (any(e == begins for _, e in held) and any(b == ends for b, _ in held)):
            return False
        return not any(_tells(row, address, interface, begins, ends) for row in rows)


def _tells(row: Row, address: str, interface: str, begins: int, ends: int) -> bool:
    """Whether the row shows that the interface did not have the address all the time from begins to ends."""
    if row["kind"] != "interface" or not begins <= millis(row["observed_at"]) <= ends:
        return False
    changed = [*row.get("addresses_added", ()), *row.get("addresses_removed", ())]
    if row["entity_id"] != interface:
        return address in changed or address in row.get("addresses", ())
    lists_all = row["state"] == "present" and address not in row.get("addresses", ())
    return address in changed or lists_all


def wrong_claims(book: Book, truth: Truth, rows: list[Row]) -> list[str]:
    """Claims that reach beyond what was, in words; and any two that overlap."""
    wrong = []
    for claim in book.claims:
        at = claim.valid_from
        while at < claim.valid_to:
            stretch = next((s for s in truth.held[claim.addr, claim.interface_id] if s[0] <= at < s[1]), None)
            if stretch is not None:
                at = stretch[1]
                continue
            begins = [b for b, _ in truth.held[claim.addr, claim.interface_id] if b > at]
            gap = at, min([claim.valid_to, *begins])
            if not truth.untold(claim.addr, claim.interface_id, gap, rows):
                wrong.append(f"{claim.interface_id} did not hold {claim.addr} over {gap}, as {claim} has it")
            at = gap[1]
    return wrong


def wrong_answers(book: Book, truth: Truth, vpc_id: str, moments: Iterable[int], rows: list[Row]) -> list[str]:
    """What attribution answers for each address at each moment and was not so."""
    lookup = compile_book(book)
    if not len(lookup.interfaces):
        return []
    world = World(lookup, hints(merge([]), lookup, {}, NO_LIVES, None), Ranges(), Ranges(), Settings())
    asked = [(address, at) for address in truth.addresses() for at in moments]
    high, low = parse([address for address, _ in asked])
    vpc = np.full(len(asked), lookup.vpcs.codes([vpc_id])[0], dtype=np.int32)
    at = np.array([at // 1000 for _, at in asked], dtype=np.int64)
    names = [lookup.interfaces.text(who) if who >= 0 else None for who in holders(world, vpc, high, low, at, at).who]
    wrong = []
    for (address, moment), name in zip(asked, names, strict=True):
        if name is not None and name != truth.holder(address, moment):
            stretches = truth.held[address, name]
            before, after = [e for _, e in stretches if e <= moment], [b for b, _ in stretches if b > moment]
            newborn = bool(after) and min(after) - moment <= 0
            away = bool(before and after) and truth.untold(address, name, (max(before), min(after)), rows)
            if not newborn and not away:
                wrong.append(f"{address} at {moment}: {name}, not {truth.holder(address, moment)}")
    return wrong


def claimed(book: Book, address: str, interface: str) -> list[Stretch]:
    """The stretches over which the book is sure of it, in order."""
    found = (c for c in book.claims if (c.addr, c.interface_id) == (address, interface))
    return sorted((c.valid_from, c.valid_to) for c in found)
