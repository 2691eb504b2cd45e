"""The address book of an hour: who held which address, and what it was, from when to when.

Built from the observations around the hour, as a pure function of them. It has three parts: the states of each
interface (with what it serves, tags and groups), the claims (which interface held which address of which VPC, and
which had which public address) and the topology (VPCs, what they can route to, subnets, flow logs, accounts). Times
are epoch milliseconds (UTC).
"""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from flowlake.flows.collector import paused
from flowlake.flows.fold import (
    ADDED,
    ALL,
    OPEN,
    REMOVED,
    Gathered,
    State,
    Timeline,
    Timelines,
    gather,
    millis,
    tag_key,
    timelines_of,
)
from flowlake.flows.intervals import Claim, InterfaceState, ResourceState
from flowlake.flows.observed import Observed
from flowlake.lake.observations import PRESENT, Row
from flowlake.lake.resolve import Entities, resolve

if TYPE_CHECKING:
    import pyarrow as pa

    from flowlake.flows.plain import Plain

HOUR_MS = 3_600_000
MARGIN_MS = 900_000
"""States that ended longer than this before the hour are left out of its book; records may start an interval and a
skew before it.
"""


@dataclass(frozen=True)
class FlowLog:
    """What a flow log covers, as the inventory says it."""

    flow_log_id: str
    traffic_type: str | None
    max_aggregation_seconds: int | None
    resource_id: str | None


@dataclass
class Topology:
    """What lies where: VPC ranges, what each VPC could route to, subnets' zones and ways out, flow logs, accounts; and
    which interfaces had which public address at any time of the book.
    """

    vpc_ranges: dict[str, list[str]] = field(default_factory=dict)
    reachable: dict[str, list[str]] = field(default_factory=dict)
    routes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    flow_logs: dict[str, FlowLog] = field(default_factory=dict)
    vpc_owner: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    public: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Book:
    """The address book of one hour."""

    starts: int
    states: Sequence[InterfaceState]
    claims: Sequence[Claim]
    topology: Topology
    resources: list[ResourceState]
    swept_after: frozenset[tuple[str, str]]
    public: list[Claim] = field(default_factory=list)
    """Which interface had which public IPv4 address; vpc_id is that of the interface, "" where it is not known."""

    @cached_property
    def digest(self) -> str:
        """Of the book's meaning: the same where a run would make the same of it."""
        from flowlake.flows.book_digest import digest_of

        return digest_of(self, self.starts * 1000 + HOUR_MS + MARGIN_MS)

    @cached_property
    def state_columns(self) -> pa.Table:
        """The states as columns, row for row."""
        from flowlake.flows.book_columns import columns_of_states

        return columns_of_states(self.states)

    @cached_property
    def claim_columns(self) -> pa.Table:
        """The claims as columns, row for row, but for the moments at which they were told."""
        from flowlake.flows.book_columns import columns_of_claims

        return columns_of_claims(self.claims)


@paused()
def build(rows: Iterable[Row], hour_starts: int, until: int = OPEN, margin_ms: int = MARGIN_MS) -> Book:
    """The book of the hour that starts at hour_starts (epoch seconds), from the observations up to until (ms).

    Rows may come in any order and repeated; the book is the same. Rows of other hours are ignored where they say
    nothing of this one.
    """
    begins, ends = hour_starts * 1000 - margin_ms, hour_starts * 1000 + HOUR_MS
    gathered, plain = _gathered(rows, until, begins, ends + margin_ms)
    swept = {
        (account_id or "", region or "")
        for (kind, account_id, region), sweeps in gathered.sweeps.items()
        if kind == "interface" and sweeps[-1].started_at >= ends
    }
    timelines = timelines_of(gathered)
    _end_with_instances(timelines)
    claims = sorted(_claims(timelines, begins), key=attrgetter("vpc_id", "addr", "valid_from", "interface_id"))
    topology = _topology(timelines, begins, ends)
    told = _Around(timelines, begins, ends + margin_ms)
    states = _states(told, timelines.get("interface", {}))
    resources, public = list(_resources(timelines, begins)), _public_claims(timelines, begins)
    book = Book(hour_starts, states, claims, topology, resources, frozenset(swept), public)
    return book if plain is None else _with_plain(book, plain, told)


def _gathered(rows: Iterable[Row], until: int, begins: int, ends: int) -> tuple[Gathered, Plain | None]:
    """The rows by entity; and where there are many, the plain interfaces apart, of which no row is gathered then."""
    if not (isinstance(rows, Observed) and rows.are_many):
        return gather(rows, until), None
    import numpy as np

    from flowlake.flows.plain import alone, plain_ones
    from flowlake.flows.swept import Swept

    swept = Swept(millis, rows.recorded_until, until)
    gathered = gather(rows.but_swept(swept), until)
    plain, contents = plain_ones(swept, gathered, begins, ends)
    gathered = gather(swept.rows(~contents), until, gathered)
    if not contents.any():
        return gathered, None
    kept = alone(plain, gathered)
    contents[:] = False
    contents[plain.content[~kept]] = True
    gathered = gather(swept.rows(contents), until, gathered)
    return gathered, plain.take(np.flatnonzero(kept)) if kept.any() else None


def _with_plain(book: Book, plain: Plain, told: _Around) -> Book:
    """The book with the plain interfaces' states and claims."""
    from flowlake.flows.book_columns import Laid, columns_of_claims, columns_of_states
    from flowlake.flows.plain import claims_of, states_of

    columns, others = states_of(plain, told.epochs.of, told.tags, told.accounts)
    states = list(book.states)
    if others:
        states = _in_order([*states, *(one for id_, state in others.items() for one in told.states(id_, [state]))])
    return replace(
        book,
        states=Laid(states, columns_of_states(states), columns, ["interface_id"]),
        claims=Laid(list(book.claims), columns_of_claims(book.claims), claims_of(plain), ["vpc_id", "addr"]),
    )


def _end_with_instances(timelines: Timelines) -> None:
    """Ends first interfaces that go with their instance when it is known to be terminated: no event says so."""
    instances = timelines.get("instance", {})
    for line in timelines.get("interface", {}).values():
        instance = _first_of(line, instances)
        if instance is None or instance.ended_by != "event" or line.ended_by == "event":
            continue
        told = (_detail(s.attributes).get("delete_on_termination") for s in reversed(line.states))
        goes_too = next((goes for goes in told if goes is not None), False)
        # Seen after it: then it stayed, or the instance's end is told wrongly.
        if goes_too and max(line.sights, default=0) <= instance.ended_at <= line.ended_at:
            if len(line.states) > 1 and line.states[-1].valid_from == instance.ended_at:
                line.states.pop()  # it was let go by the same end, and did not outlive it
            line.end(instance.ended_at, "event")


# --- tags ------------------------------------------------------------------------------------------------------------


Tags = Mapping[str, str]
Segment = tuple[int, int, Tags | None]


def _tag_segments(line: Timeline | None, begins: int, ends: int) -> list[Segment]:
    """A tag timeline cut to [begins, ends): each stretch with its tags, null where none are known."""
    segments: list[Segment] = []
    at = begins
    for state in line.states if line else ():
        start, end = max(state.valid_from, begins), min(state.valid_to, ends)
        if end <= start:
            continue
        if start > at:
            segments.append((at, start, None))
        segments.append((start, end, state.attributes.get("tags")))
        at = end
    if at < ends:
        segments.append((at, ends, None))
    return segments


def _common(tag_sets: list[Tags | None]) -> Tags | None:
    """The tags that all have in common; null where nothing is known of any of them."""
    if not tag_sets or any(tags is None for tags in tag_sets):
        return None
    first, *rest = (tags or {} for tags in tag_sets)
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in rest)}


def _resources(timelines: Timelines, begins: int) -> Iterator[ResourceState]:
    """The tag sets of everything but interfaces, as far as they reach into the book's time."""
    kinds = {tag_key(entity_id): kind for kind in _RESOLVER_KINDS for entity_id in timelines.get(kind, {})}
    for entity_id, line in sorted(timelines.get("tags", {}).items()):
        if entity_id.startswith("eni-"):
            continue
        for state in line.states:
            # Two answers of one moment (the listing's tags, then the tagging API's) leave a state that held at no time.
            if state.valid_to >= begins and state.valid_to > state.valid_from:
                said = state.attributes
                yield ResourceState(
                    entity_id,
                    kinds.get(entity_id),
                    said.get("account_id"),
                    said.get("region"),
                    state.valid_from,
                    state.valid_to,
                    state.last_seen,
                    state.from_source,
                    state.to_source,
                    said.get("tags"),
                )


# --- states ----------------------------------------------------------------------------------------------------------

_RESOLVER_KINDS = (
    "instance",
    "load_balancer",
    "target_group",
    "db_instance",
    "db_cluster",
    "db_proxy",
    "cache",
    "function",
    "ecs_service",
    "ecs_task",
    "eks_cluster",
    "file_system",
    "search_domain",
    "warehouse",
    "kafka_cluster",
    "vpc_endpoint",
    "nat_gateway",
    "transit_gateway_attachment",
    "security_group",
)


class _Around:
    """What is told of other entities, and the time of the book, to say what an interface was in [begins, ends)."""

    def __init__(self, timelines: Timelines, begins: int, ends: int) -> None:
        self.begins, self.ends = begins, ends
        self.tags = timelines.get("tags", {})
        self.subnets = {k: line.states[-1].attributes for k, line in timelines.get("subnet", {}).items() if line.states}
        self.accounts = {
            k: line.states[-1].attributes.get("name") for k, line in timelines.get("account", {}).items() if line.states
        }
        self.epochs = _Epochs(timelines, begins, ends)

    def states(self, interface_id: str, states: Iterable[State]) -> Iterator[InterfaceState]:
        """An interface's states as far as they have anything to say of that time, with what it served."""
        for state in states:
            if state.valid_to < self.begins or state.valid_from >= self.ends:
                continue
            place = state.attributes.get("account_id"), state.attributes.get("region")
            for start, end, entities in self.epochs.of(place):
                low, high = max(start, state.valid_from), min(end, state.valid_to)
                if low < high or (low == high == state.valid_from and state.valid_to == state.valid_from):
                    yield from _states_with_tags(
                        interface_id, state, low, high, entities, self.tags, self.subnets, self.accounts
                    )


def _states(told: _Around, interfaces: Mapping[str, Timeline]) -> list[InterfaceState]:
    """Every state of every interface that has anything to say of the book's time."""
    return _in_order(
        state
        for interface_id, line in interfaces.items()
        if line.ended_at >= told.begins
        for state in told.states(interface_id, line.states)
    )


def _in_order(states: Iterable[InterfaceState]) -> list[InterfaceState]:
    return _joined(sorted(states, key=lambda s: (s.interface_id, s.valid_from)))


_MEANING = [
    f.name
    for f in fields(InterfaceState)
    if f.name not in ("valid_from", "valid_to", "last_seen", "from_source", "to_source")
]


def _joined(states: Iterable[InterfaceState]) -> list[InterfaceState]:
    """States in order of interface and time; what follows without a gap and means the same is one state."""
    joined: list[InterfaceState] = []
    for state in states:
        last = joined[-1] if joined else None
        if (
            last
            and last.valid_to == state.valid_from
            and all(getattr(last, name) == getattr(state, name) for name in _MEANING)
        ):
            joined[-1] = replace(
                last, valid_to=state.valid_to, last_seen=max(last.last_seen, state.last_seen), to_source=state.to_source
            )
        else:
            joined.append(state)
    return joined


Epoch = tuple[int, int, Entities]
Place = tuple[str | None, str | None]

_BY_ID = frozenset(
    {
        "instance",
        "ecs_task",
        "nat_gateway",
        "vpc_endpoint",
        "file_system",
        "kafka_cluster",
        "target_group",
        "transit_gateway_attachment",
        "eks_cluster",
        "search_domain",
        "security_group",
    }
)
"""Kinds that name the interfaces they serve by ids that are never reused: whenever they come and go, the answer is the
same. The other kinds are found by subnets, groups and names, so that it matters which of them were there at the
time.
"""


class _Epochs:
    """For each account and region the stretches of time in which no resource that is found by more than an id came,
    changed or went, with the index of its resources.
    """

    MOST = 60

    def __init__(self, timelines: Timelines, begins: int, ends: int) -> None:
        self.begins, self.ends = begins, ends
        self.lines: dict[Place, list[Timeline]] = {}
        for kind in _RESOLVER_KINDS:
            for line in timelines.get(kind, {}).values():
                if line.states and line.ended_at >= begins:
                    said = line.states[-1].attributes
                    self.lines.setdefault((said.get("account_id"), said.get("region")), []).append(line)
        self._made: dict[Place, list[Epoch]] = {}

    def of(self, place: Place) -> list[Epoch]:
        if place not in self._made:
            self._made[place] = self._make(self.lines.get(place, []))
        return self._made[place]

    def _make(self, lines: list[Timeline]) -> list[Epoch]:
        by_id = [_row_of(line, state) for line in lines if line.kind in _BY_ID for state in _told_by(line)]
        others = [line for line in lines if line.kind not in _BY_ID]
        moments = {
            m for line in others for s in line.states for m in (s.valid_from, s.valid_to) if self.begins < m < self.ends
        }
        if len(moments) > self.MOST:
            # A candidate may then be named for up to a minute too long.
            moments = {m - m % 60_000 for m in moments} - {self.begins}
        edges = [-OPEN, *sorted(moments), OPEN]
        epochs: list[Epoch] = []
        for start, end in zip(edges, edges[1:], strict=False):
            alive = [
                _row_of(line, s) for line in others for s in line.states if s.valid_from < end and s.valid_to > start
            ]
            epochs.append((start, end, Entities.of([*by_id, *alive])))
        return epochs


def _told_by(line: Timeline) -> list[State]:
    """Of a kind that names its interfaces the last state; of targets all, since they come and go within a group."""
    return line.states if line.kind == "target_group" else line.states[-1:]


def _row_of(line: Timeline, state: State) -> Row:
    return {**state.attributes, "state": PRESENT, "kind": line.kind, "entity_id": line.entity_id}


def _states_with_tags(
    interface_id: str,
    state: State,
    start: int,
    end: int,
    entities: Entities,
    tags: Mapping[str, Timeline],
    subnets: Mapping[str, Row],
    accounts: Mapping[str, Any],
) -> Iterator[InterfaceState]:
    """One state of the interface within one epoch, cut where the tags of the interface or of what it serves change."""
    said = state.attributes
    own_line = tags.get(interface_id)
    interface_tags: list[Segment] = [(start, end, said.get("tags"))]
    if own_line is not None:
        interface_tags = _tag_segments(own_line, start, end) if start < end else [(start, end, None)]
    for own_from, own_to, own_tags in interface_tags:
        row = {**said, "kind": "interface", "entity_id": interface_id, "tags": dict(own_tags or {})}
        found = resolve(row, entities)
        tag_lines = [tags.get(tag_key(arn)) for arn in found.arns]
        changes = [m for line in tag_lines if line for s in line.states for m in (s.valid_from, s.valid_to)]
        edges = [own_from, *sorted({m for m in changes if own_from < m < own_to}), own_to]
        subnet = subnets.get(said.get("subnet_id", ""), {})
        for low, high in zip(edges, edges[1:], strict=False):
            served = [_tags_at(line, low) for line in tag_lines]
            resource_tags = (
                own_tags if found.arns and all(interface_id in arn for arn in found.arns) else _common(served)
            )
            yield InterfaceState(
                interface_id,
                low,
                high,
                min(max(state.last_seen, low), high),
                state.from_source if low == state.valid_from else "event",
                (state.to_source if high == state.valid_to else "change") if high != OPEN else None,
                said.get("account_id"),
                accounts.get(said.get("account_id", "")),
                said.get("region"),
                said.get("vpc_id") or subnet.get("vpc_id"),
                said.get("subnet_id"),
                said.get("availability_zone") or subnet.get("availability_zone"),
                said.get("az_id") or subnet.get("az_id"),
                found.type,
                (resource_tags or {}).get("Name") or found.name,
                tuple(found.arns),
                bool(found.shared),
                tuple(said["security_group_ids"]) if said.get("security_group_ids") is not None else None,
                tuple(found.listens_on),
                resource_tags,
                own_tags,
                said.get("description"),
                said.get("primary"),
                said.get("interface_type"),
            )


def _tags_at(line: Timeline | None, at: int) -> Tags | None:
    for state in line.states if line else ():
        if state.valid_from <= at < state.valid_to:
            tags: Tags = state.attributes.get("tags", {})
            return tags
    return None


# --- claims ----------------------------------------------------------------------------------------------------------


Told = tuple[Claim, list[int]]
"""A claim, and the moments at which its interface was told to have the address."""


def _claims(timelines: Timelines, begins: int) -> list[Claim]:
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
            told += _claims_of(line, vpc_id, _first_of(line, instances))
    witnesses: list[Told] = []
    if beside:
        doubtful = {claim.addr for claim, _ in told if claim.open or not claim.is_primary}
        blocks = any("/" in claim.addr for claim, _ in told)
        witnesses = [
            one
            for line, scope in beside
            if blocks or not doubtful.isdisjoint(_addresses_of(line))
            for one in _claims_of(line, scope, _first_of(line, instances))
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


def _first_of(line: Timeline, instances: Mapping[str, Timeline]) -> Timeline | None:
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


def _public_claims(timelines: Timelines, begins: int) -> list[Claim]:
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


_Told = tuple[int, bool, set[tuple[str, str]], str]
"""A moment, whether all is told that there is then, the (address, interface) pairs that are told, and by what."""


def _told_by_interface(line: Timeline) -> Iterator[_Told]:
    for at, how, addresses, source in line.public:
        yield at, how == ALL, {(addr, line.entity_id) for addr in addresses}, source


def _told_by_elastic_ip(line: Timeline) -> Iterator[_Told]:
    for state in line.states:
        said = state.attributes
        pairs = {(addr, i) for addr in said.get("public_addresses") or () for i in said.get("interface_ids") or ()}
        for at in (state.valid_from, state.last_seen):
            yield at, True, pairs, state.from_source


def _note(line: Timeline, sights: Iterable[_Told], told: dict[str, list[_Had]]) -> None:
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


# --- topology --------------------------------------------------------------------------------------------------------


def _alive(timelines: Timelines, kind: str, begins: int, ends: int) -> Iterator[tuple[str, Row]]:
    """Entities of a kind in each state that they were in at some time of [begins, ends], in order. What was first seen
    afterwards, and not by the event that made it, is taken to have been there.
    """
    for entity_id, line in timelines.get(kind, {}).items():
        if not line.states or line.ended_at < begins:
            continue
        there = [state for state in line.states if state.valid_from <= ends and state.valid_to >= begins]
        if not there and line.states[0].from_source != "event":
            there = line.states[:1]
        for state in there:
            yield entity_id, state.attributes


def _detail(row: Row) -> dict[str, Any]:
    detail = row.get("detail")
    return json.loads(detail) if isinstance(detail, str) else dict(detail or {})


def _topology(timelines: Timelines, begins: int, ends: int) -> Topology:
    """What lay where in [begins, ends]. A VPC has every range that it had then or is told to have later: an address of
    its own is not to be taken for another VPC's.
    """
    topology = Topology()
    for vpc_id, row in _alive(timelines, "vpc", begins, OPEN):
        ranges = {*topology.vpc_ranges.get(vpc_id, ()), *(row.get("cidr_blocks") or ())}
        topology.vpc_ranges[vpc_id] = sorted(ranges)
        topology.vpc_owner[vpc_id] = (row.get("account_id"), row.get("region"))
    edges: dict[str, set[str]] = {}
    for _, row in _alive(timelines, "peering", begins, ends):
        detail = _detail(row)
        accepter = detail.get("accepter_vpc_id")
        if row.get("vpc_id") and accepter and detail.get("status", "active") == "active":
            edges.setdefault(row["vpc_id"], set()).add(accepter)
            edges.setdefault(accepter, set()).add(row["vpc_id"])
    hubs: dict[str, set[str]] = {}
    for _, row in _alive(timelines, "transit_gateway_attachment", begins, ends):
        detail = _detail(row)
        attached = row.get("vpc_id") or (detail.get("resource_id") if detail.get("resource_type") == "vpc" else None)
        for hub in row.get("member_of") or ():
            if attached and hub.startswith("tgw-") and not hub.startswith("tgw-rtb-"):
                hubs.setdefault(hub, set()).add(str(attached))
    for members in hubs.values():
        for vpc_id in members:
            edges.setdefault(vpc_id, set()).update(members - {vpc_id})
    topology.reachable = {vpc_id: sorted(others) for vpc_id, others in sorted(edges.items())}
    lists = {
        entity_id: row.get("cidr_blocks") or () for entity_id, row in _alive(timelines, "prefix_list", begins, ends)
    }
    main: dict[str, list[tuple[str, str]]] = {}
    for _, row in _alive(timelines, "route_table", begins, ends):
        routes = sorted({pair for text in row.get("routes") or () for pair in _routes(text, lists)})
        for subnet_id in row.get("subnet_ids") or ():
            topology.routes[subnet_id] = routes
        if _detail(row).get("main") and row.get("vpc_id"):
            main[row["vpc_id"]] = routes
    for subnet_id, row in _alive(timelines, "subnet", begins, ends):
        if subnet_id not in topology.routes and row.get("vpc_id") in main:
            topology.routes[subnet_id] = main[row["vpc_id"]]
    for flow_log_id, row in _alive(timelines, "flow_log", begins, ends):
        detail = _detail(row)
        topology.flow_logs[flow_log_id] = FlowLog(
            flow_log_id, detail.get("traffic_type"), detail.get("max_aggregation_seconds"), detail.get("resource_id")
        )
    public: dict[str, set[str]] = {}
    for interface_id, line in timelines.get("interface", {}).items():
        for state in line.states:
            if state.valid_to >= begins:
                for address in state.attributes.get("public_addresses") or ():
                    public.setdefault(address, set()).add(interface_id)
    topology.public = {address: sorted(had) for address, had in sorted(public.items())}
    return topology


def _routes(text: str, lists: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    """(CIDR, target) pairs of one route; a prefix list is a route for each of its ranges."""
    destination, _, target = text.partition(" ")
    for cidr in lists.get(destination, (destination,)):
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            continue
        if target:
            yield cidr, target
