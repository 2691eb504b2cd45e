"""The states of an hour's interfaces, with what each served, tags and groups; and the tags of everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from flowlake.flows.fold import (
    OPEN,
    State,
    Timeline,
    Timelines,
    tag_key,
)
from flowlake.flows.intervals import InterfaceState, ResourceState
from flowlake.lake.observations import PRESENT, Row
from flowlake.lake.resolve import Entities, resolve

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


def resource_states(timelines: Timelines, begins: int) -> Iterator[ResourceState]:
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


class Around:
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


def interface_states(told: Around, interfaces: Mapping[str, Timeline]) -> list[InterfaceState]:
    """Every state of every interface that has anything to say of the book's time."""
    return in_order(
        state
        for interface_id, line in interfaces.items()
        if line.ended_at >= told.begins
        for state in told.states(interface_id, line.states)
    )


def in_order(states: Iterable[InterfaceState]) -> list[InterfaceState]:
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
