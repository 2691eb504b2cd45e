"""Who held an address: every interval of the book around a moment, what the interface was and how that is known."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from flowlake.flows.book import Book, build
from flowlake.flows.fold import OPEN
from flowlake.flows.intervals import Claim, InterfaceState
from flowlake.flows.observed import observations
from flowlake.lake.hours import Hour, as_text, utc
from flowlake.lake.store import ObjectStore


class BadAddress(ValueError):
    """The text is no address."""


class MissingInventory(LookupError):
    """Nothing was observed around the moment: that nobody is known proves nothing then."""


@dataclass(frozen=True)
class Held:
    """One stretch over which one interface held the address in one state. Moments are epoch milliseconds; until is
    null where no end is known. rivals: claims of other interfaces of the VPC to the same address.
    """

    claim: Claim
    state: InterfaceState | None
    since: int
    until: int | None
    rivals: tuple[Claim, ...] = ()

    def as_row(self, at: int | None) -> dict[str, Any]:
        """For people and machines: times as UTC text, nulls as nulls."""
        state, claim = self.state, self.claim
        return {
            "addr": claim.addr,
            "vpc_id": claim.vpc_id or None,
            "interface_id": claim.interface_id,
            "from": as_text(utc(self.since / 1000)),
            "to": as_text(utc(self.until / 1000)) if self.until is not None else None,
            "known_by": claim.from_source,
            "ended_by": claim.to_source,
            "seen_until": as_text(utc(claim.valid_to / 1000)),
            **_sights_around(claim, at),
            "primary": claim.is_primary,
            "answer": _answer(self, at),
            "type": state.type if state else None,
            "name": state.name if state else None,
            "arns": list(state.arns) if state else [],
            "shared": state.shared if state else False,
            "account_id": state.account_id if state else None,
            "account_name": state.account_name if state else None,
            "subnet_id": state.subnet_id if state else None,
            "az_id": state.az_id if state else None,
            "security_group_ids": list(state.security_group_ids)
            if state and state.security_group_ids is not None
            else None,
            "tags": dict(state.tags) if state and state.tags is not None else None,
            "interface_tags": dict(state.interface_tags) if state and state.interface_tags is not None else None,
            "description": state.description if state else None,
        }


def _answer(held: Held, at: int | None) -> str | None:
    """held: surely, then; presumed: between two moments at which it was told to be held, where an address that is no
    primary one may have been elsewhere, were every event of it lost; contested: another interface of the VPC held it
    at that moment by the same right, so that neither is believed; maybe: after the last sight, with no end known;
    null where another moment is meant.
    """
    if at is None:
        return None
    if held.since <= at and at < held.claim.valid_to and (held.until is None or at < held.until):
        if any(r.valid_from <= at < r.valid_to for r in held.rivals):
            return "contested"
        return "held" if held.claim.is_primary or at in held.claim.told_at else "presumed"
    if (
        held.claim.open
        and at >= held.claim.valid_to
        and held.claim.valid_from <= at
        and (held.until is None or at < held.until)
        and held.since <= at
    ):
        return "maybe"
    return None


def _sights_around(claim: Claim, at: int | None) -> dict[str, str | None]:
    """Of what is no primary address: when it was last told to be held before the moment, and first after it."""
    told = () if at is None else claim.told_at
    before, after = [m for m in told if at is not None and m <= at], [m for m in told if at is not None and m > at]
    return {
        "told_before": as_text(utc(before[-1] / 1000)) if before else None,
        "told_after": as_text(utc(after[0] / 1000)) if after else None,
    }


def whois(store: ObjectStore, address: str, at: datetime, now: datetime, vpc_id: str | None = None) -> list[Held]:
    """All stretches around the moment's hour in which the address was held, oldest first.

    Raises BadAddress, MissingInventory.
    """
    try:
        asked = ipaddress.ip_address(address)
    except ValueError as error:
        raise BadAddress(f"'{address}' is no IPv4 or IPv6 address") from error
    hour = Hour.holding(at.timestamp())
    rows = iter(observations(store, hour, now)[1])
    first = next(rows, None)
    if first is None:
        raise MissingInventory(f"nothing was observed around {at:%Y-%m-%d %H:%M} UTC")
    return sorted(
        _stretches(build(chain([first], rows), hour.starts), asked, vpc_id), key=lambda h: (h.claim.vpc_id, h.since)
    )


def _stretches(book: Book, asked: Any, vpc_id: str | None) -> list[Held]:
    claims = [
        c for c in (*book.claims, *book.public) if (vpc_id is None or c.vpc_id == vpc_id) and _covers(c.addr, asked)
    ]
    found = []
    for claim in claims:
        states = [s for s in book.states if s.interface_id == claim.interface_id]
        rivals = tuple(c for c in claims if c.vpc_id == claim.vpc_id and c.interface_id != claim.interface_id)
        found += [replace(held, rivals=rivals) for held in _with_states(claim, states)]
    return found


def _covers(held: str, asked: Any) -> bool:
    try:
        return asked in ipaddress.ip_network(held)
    except ValueError:
        return False


def _with_states(claim: Claim, states: list[InterfaceState]) -> list[Held]:
    ends = OPEN if claim.open else claim.valid_to
    held = []
    for state in states:
        since, until = max(claim.valid_from, state.valid_from), min(ends, state.valid_to)
        if since < until:
            held.append(Held(claim, state, since, None if until == OPEN else until))
    return held or [Held(claim, None, claim.valid_from, None if claim.open else claim.valid_to)]
