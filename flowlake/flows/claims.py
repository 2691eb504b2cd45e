"""The claims of an hour: which interface held which address of which VPC, and which had which public address, from when
to when.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from flowlake.flows.fold import (
    ADDED,
    ALL,
    OPEN,
    REMOVED,
    Timeline,
    Timelines,
)
from flowlake.flows.intervals import Claim

Told = tuple[Claim, list[int]]
"""A claim, and the moments at which its interface was told to have the address."""


def private_claims(timelines: Timelines, begins: int) -> list[Claim]:
    """The claims of all interfaces that reach into the book's time.

    Interfaces that ended before it, and those of which no VPC is known, claim nothing; that they were told to have an
    address counts against whoever else is taken to have had it all the time.
    """
    instances, subnets = timelines.get("instance", {}), timelines.get("subnet", {})
    told: list[Told] = []
    beside: list[tuple[Timeline, str]] = []
    for line in timelines.get("interface", {}).values():
        if not line.states:
            continue
        vpc_id = _vpc_of(line, subnets)
        if vpc_id is None or line.ended_at < begins:
            beside.append((line, vpc_id or _region_of(line)))
        else:
            told += _claims_of(line, vpc_id, first_of(line, instances))
    witnesses: list[Told] = []
    if beside:
        doubtful = {claim.addr for claim, _ in told if claim.open or not claim.is_primary}
        blocks = any("/" in claim.addr for claim, _ in told)
        witnesses = [
            one
            for line, scope in beside
            if blocks or not doubtful.isdisjoint(_addresses_of(line))
            for one in _claims_of(line, scope, first_of(line, instances))
        ]
    lines = timelines.get("interface", {}) if witnesses else {}
    regions = {interface_id: _region_of(line) for interface_id, line in lines.items() if line.states}
    return _cut_secondary(told, witnesses, regions)


def _vpc_of(line: Timeline, subnets: Mapping[str, Timeline]) -> str | None:
    """The VPC of an interface, by its subnet's where only that was told: neither ever changes."""
    vpc_id = next((s.attributes["vpc_id"] for s in line.states if s.attributes.get("vpc_id")), None)
    if vpc_id is None:
        subnet_id = next((s.attributes["subnet_id"] for s in line.states if s.attributes.get("subnet_id")), "")
        subnet = subnets.get(subnet_id)
        vpc_id = subnet.states[-1].attributes.get("vpc_id") if subnet and subnet.states else None
    return vpc_id


def _region_of(line: Timeline) -> str:
    return str(line.states[0].attributes.get("region") or "")


def _addresses_of(line: Timeline) -> set[str]:
    """All addresses and prefixes that the interface was ever told to have."""
    primary = _primary_of(line)
    return {*((primary,) if primary else ()), *(addr for listing in line.listings for addr in listing.addresses)}


def _primary_of(line: Timeline) -> str | None:
    return next((s.attributes["primary"] for s in line.states if s.attributes.get("primary")), None)


def first_of(line: Timeline, instances: Mapping[str, Timeline]) -> Timeline | None:
    """The instance whose first interface this is, which it can't lose while it lives: that with the same primary
    address.
    """
    for state in reversed(line.states):
        instance = instances.get(state.attributes.get("instance_id") or "")
        if instance is not None:
            primary = _primary_of(line)
            told = (s.attributes["addresses"] for s in instance.states if s.attributes.get("addresses"))
            return instance if primary and next(told, [""])[0] == primary else None
    return None


def _claims_of(line: Timeline, vpc_id: str, instance: Timeline | None) -> Iterator[Told]:
    primary = _primary_of(line)
    exact = line.ended_by == "event"
    if primary is not None:
        first, gone_by = line.states[0], None if line.ended_at == OPEN else line.ended_at
        up = [at for at in instance.up if at <= line.ended_at] if instance else ()
        begins = min([first.valid_from, *up[:1]])
        ends = line.ended_at if exact else max([*line.sights[-1:], *up[-1:], begins])
        claim = Claim(vpc_id, primary, line.entity_id, begins, ends, exact, gone_by is None, True, first.from_source)
        claim.from_source = first.from_source if begins == first.valid_from else "event"
        claim.to_source, claim.gone_by = line.ended_by, gone_by
        yield claim, []
    if line.listings:
        yield from _further_claims(line, vpc_id, primary)


def _further_claims(line: Timeline, vpc_id: str, primary: str | None) -> Iterator[Told]:
    """Secondary addresses and prefixes: from the sight that first tells of each to the last that does, or to the event
    that takes it away.

    Neither the interface's deletion nor a sight that tells no addresses says that it still held them; and one that
    was just added was not there before.
    """
    first, ended = line.listings[0], None if line.ended_at == OPEN else line.ended_at
    if all(listing[1:3] == (ALL, first.addresses) for listing in line.listings):  # as most do, and all is said at once
        sights = [listing.at for listing in line.listings]
        began, seen, still = sights[0], sights[-1], ended is None
        for addr in dict.fromkeys(first.addresses):
            if addr != primary:
                claim = Claim(vpc_id, addr, line.entity_id, began, seen, False, still, False, first.source)
                claim.to_source, claim.gone_by, claim.told_at = line.ended_by, ended, sights
                yield claim, sights
        return
    held: dict[str, tuple[str, list[int]]] = {}

    def let_go(addr: str, gone_by: int | None, why: str | None, exact: bool = False) -> Told:
        source, moments = held.pop(addr)
        end = gone_by if exact and gone_by is not None else moments[-1]
        still = gone_by is None
        claim = Claim(vpc_id, addr, line.entity_id, moments[0], end, exact, still, False, source, why, gone_by, moments)
        return claim, moments

    for at, how, addresses, source in line.listings:
        if how == REMOVED:
            for addr in addresses:
                if addr != primary:
                    held.setdefault(addr, (source, [at]))  # what was taken away had been there
                    yield let_go(addr, at, "event", exact=True)
            continue
        if how == ALL:
            for addr in [a for a in held if a not in addresses]:
                yield let_go(addr, at, "absence")
        for addr in addresses:
            if addr == primary:
                continue
            if how == ADDED and addr in held and held[addr][1][0] < at:
                held[addr] = held[addr][0], [m for m in held[addr][1] if m < at]
                yield let_go(addr, at, "change")
            held.setdefault(addr, (source, []))[1].append(at)
    for addr in list(held):
        yield let_go(addr, ended, line.ended_by)


def _cut_secondary(told: list[Told], witnesses: list[Told], regions: Mapping[str, str]) -> list[Claim]:
    """Between two sights of a secondary address's holder another was seen with it: then nothing is known between the
    nearest sights.

    A primary address is its interface's for life: the other's sight does not cut it (both claim it, and neither is
    believed). An open claim also ends where another is seen to hold the address afterwards. Witnesses are told only to
    be held against the others; one whose VPC is not known, under its region: it may have been in any VPC of it. An
    address counts against the prefix that it lies in, and the prefix against the address.
    """
    by_address: dict[tuple[str, str], list[Told]] = {}
    asked = told
    if not witnesses and not any("/" in claim.addr for claim, _ in told):
        times = Counter((claim.vpc_id, claim.addr) for claim, _ in told)
        asked = [one for one in told if times[one[0].vpc_id, one[0].addr] > 1]
    for one in (*asked, *witnesses):
        by_address.setdefault((one[0].vpc_id, one[0].addr), []).append(one)
    blocks, within = _by_blocks(by_address)
    result: list[Claim] = []
    for claim, moments in told:
        rivals = by_address.get((claim.vpc_id, claim.addr), [])
        if witnesses or blocks:
            scopes = (claim.vpc_id, regions[claim.interface_id]) if witnesses else (claim.vpc_id,)
            rivals = [other for scope in scopes for other in by_address.get((scope, claim.addr), ())]
            if blocks:
                rivals += [other for scope in scopes for other in within.get((scope, claim.addr), ())]
                rivals += [other for scope in scopes for other in blocks.get((scope, _block_of(claim.addr)), ())]
        if len(rivals) <= 1:  # nobody but itself
            result.append(claim)
            continue
        others = {m for other in rivals if other[0].interface_id != claim.interface_id for m in _told_at(other)}
        result += _cut(claim, sorted(others), moments)
    return result


def _by_blocks(
    by_address: Mapping[tuple[str, str], list[Told]],
) -> tuple[dict[tuple[str, str], list[Told]], dict[tuple[str, str], list[Told]]]:
    """By scope and prefix: who was told to have the prefix, and who an address in it."""
    blocks = {place: told for place, told in by_address.items() if "/" in place[1]}
    within: dict[tuple[str, str], list[Told]] = {}
    if blocks:
        for (scope, addr), told in by_address.items():
            within.setdefault((scope, _block_of(addr)), []).extend(told)
    return blocks, within


def _block_of(addr: str) -> str:
    """The prefix that EC2 would delegate an address in: a /28, or of IPv6 a /80; of a prefix none ("")."""
    if "/" in addr:
        return ""
    return str(ipaddress.ip_network(f"{addr}/{80 if ':' in addr else 28}", strict=False))


def _told_at(one: Told) -> tuple[int, ...]:
    """The moments at which the claim's interface had the address, whatever becomes of the time between."""
    claim, moments = one
    ends = (claim.valid_to,) if claim.exact_end or not moments else ()
    return claim.valid_from, *moments, *ends


def _cut(claim: Claim, others: list[int], moments: list[int]) -> Iterator[Claim]:
    low = claim.valid_from
    if not claim.is_primary:
        for other in others:
            if low < other < claim.valid_to:
                before = max((s for s in moments if low <= s < other), default=low)
                after = min((s for s in moments if s > other), default=claim.valid_to)
                yield replace(
                    claim,
                    valid_from=low,
                    valid_to=before,
                    exact_end=False,
                    open=False,
                    to_source="reuse",
                    gone_by=other,
                )
                low = min(after, claim.valid_to)
    rest = replace(claim, valid_from=low)
    if claim.open and others and others[-1] >= claim.valid_to:
        rest.open, rest.to_source = False, "reuse"
        rest.gone_by = next(other for other in others if other >= claim.valid_to)
    yield rest


# --- public addresses ------------------------------------------------------------------------------------------------


class _Had(NamedTuple):
    """That an interface was told to have a public address at a moment, or to have it no longer; by: event, sweep or
    absence.
    """

    at: int
    has: bool
    interface_id: str
    by: str


def public_claims(timelines: Timelines, begins: int) -> list[Claim]:
    """The claims to public addresses that reach into the book's time, by address and time.

    Each lasts from the first sight of its interface with the address to the last before it is told to have it no
    longer, or another is told to have it: what it was between these two is not known.
    """
    told: dict[str, list[_Had]] = {}
    interfaces, subnets = timelines.get("interface", {}), timelines.get("subnet", {})
    for line in interfaces.values():
        _note(line, _told_by_interface(line), told)
    for line in timelines.get("elastic_ip", {}).values():
        _note(line, _told_by_elastic_ip(line), told)
    vpcs: dict[str, str] = {}
    claims: list[Claim] = []
    for addr, had in sorted(told.items()):
        for interface_id in {h.interface_id for h in had} - vpcs.keys():
            known = interfaces.get(interface_id)
            vpcs[interface_id] = (_vpc_of(known, subnets) if known else None) or ""
        claims += [c for c in _runs(addr, sorted(had), vpcs) if c.gone_by is None or c.gone_by >= begins]
    return claims


_PublicTold = tuple[int, bool, set[tuple[str, str]], str]
"""A moment, whether all is told that there is then, the (address, interface) pairs that are told, and by what."""


def _told_by_interface(line: Timeline) -> Iterator[_PublicTold]:
    for at, how, addresses, source in line.public:
        yield at, how == ALL, {(addr, line.entity_id) for addr in addresses}, source


def _told_by_elastic_ip(line: Timeline) -> Iterator[_PublicTold]:
    for state in line.states:
        said = state.attributes
        pairs = {(addr, i) for addr in said.get("public_addresses") or () for i in said.get("interface_ids") or ()}
        for at in (state.valid_from, state.last_seen):
            yield at, True, pairs, state.from_source


def _note(line: Timeline, sights: Iterable[_PublicTold], told: dict[str, list[_Had]]) -> None:
    """Adds by address what an entity told, and that it had no more what it does not tell or had when it ended."""
    had: set[tuple[str, str]] = set()
    for at, whole, pairs, by in sights:
        for addr, interface_id in had - pairs if whole else ():
            told[addr].append(_Had(at, False, interface_id, "absence"))
        for addr, interface_id in pairs:
            told.setdefault(addr, []).append(_Had(at, True, interface_id, by))
        had = pairs if whole else had | pairs
    for addr, interface_id in had if line.ended_at != OPEN else ():
        told[addr].append(_Had(line.ended_at, False, interface_id, line.ended_by or "absence"))


def _runs(addr: str, told: list[_Had], vpcs: Mapping[str, str]) -> Iterator[Claim]:
    claim: Claim | None = None
    for at, has, interface_id, by in told:
        its_own = claim is not None and claim.interface_id == interface_id
        if claim is not None and has and its_own:
            claim.valid_to, claim.told_at = at, (*claim.told_at, at)
        elif claim is not None and (has or its_own):
            claim.open, claim.gone_by, claim.to_source = False, at, "reuse" if has else by
            if by == "event" and not has:
                claim.valid_to, claim.exact_end = at, True
            yield claim
            claim = None
        if has and not its_own:
            claim = Claim(vpcs[interface_id], addr, interface_id, at, at, False, True, False, by, told_at=(at,))
    if claim is not None:
        yield claim
