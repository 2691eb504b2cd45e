"""Observations -> timelines: what is known of each entity, and from when to when.

A timeline is the list of an entity's states in order of time. A state is a stretch [valid_from, valid_to) in which
the known attributes do not change. Event time counts, not arrival: the order in which rows come does not matter, and
a row that comes twice changes nothing. Times are epoch milliseconds (UTC).

What ends a state: the entity's deletion (an event), its absence from a complete sweep that began after it was
first seen or from an answer that asked for it, or a change (a new state follows). An interface's VPC, subnet, owner and
primary address never change, so they are known for the whole life of the interface as soon as one observation says them. Tags, groups and attachments hold from the sight that
says them; an attachment's own time sharpens its start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from flowlake.lake.hours import from_text
from flowlake.lake.observations import ABSENT, COMPLETE, EVENT, PARTIAL, Row

OPEN = 1 << 62
"""valid_to of a state whose end is not known."""

TIME_COLUMNS = ("observed_at", "recorded_at", "attached_at", "created_at", "sweep_started_at")

# What a row says about itself and not about the entity.
_ENVELOPE = frozenset(
    {
        "observed_at", "recorded_at", "source", "source_name", "source_id", "state", "kind", "entity_id", "sweep_started_at",
        "addresses_added", "addresses_removed", "tags_removed",
    }
)  # fmt: skip

# Of an interface: true for its whole life.
LIFELONG = (
    "account_id",
    "region",
    "vpc_id",
    "subnet_id",
    "availability_zone",
    "az_id",
    "interface_type",
    "arn",
    "created_at",
)

# Of an interface: changes by attaching and detaching; attached_at says since when.
ATTACHMENT = ("attachment_id", "attached_at", "instance_id", "instance_owner_id")


@lru_cache(maxsize=1 << 16)
def millis(text: str) -> int:
    """Text of an observation's timestamp as epoch milliseconds."""
    return round(from_text(text).timestamp() * 1000)


@dataclass
class State:
    """One stretch [valid_from, valid_to) of an entity; last_seen is its last sight, to_source null where no end is known."""

    valid_from: int
    valid_to: int
    last_seen: int
    from_source: str
    to_source: str | None
    attributes: Row


@dataclass
class Timeline:
    """An entity's states, oldest first; sights are all moments at which it was seen to exist.

    Of an interface: listed are the sights that told all its addresses, given_up what events took away from it, and when.
    """

    kind: str
    entity_id: str
    states: list[State] = field(default_factory=list)
    sights: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    given_up: dict[str, list[int]] = field(default_factory=dict)
    ended_at: int = OPEN
    ended_by: str | None = None
    first_seen: int = OPEN

    def end(self, at: int, by: str) -> None:
        """Ends the entity and its last state, anew where that had ended later.

        by: event, or absence (the end was at some time before).
        """
        if self.states and self.states[-1].valid_to >= min(at, self.ended_at):
            state = self.states[-1]
            state.valid_to, state.to_source = max(at, state.valid_from), by
            if by == "event":
                state.last_seen = max(state.last_seen, at)
        self.ended_at, self.ended_by = at, by


@dataclass(frozen=True)
class Sweep:
    """A complete listing of one kind in one account and region."""

    sweep_id: str
    started_at: int
    finished_at: int


Timelines = dict[str, dict[str, Timeline]]


def fold(rows: Iterable[Row], until: int = OPEN) -> Timelines:
    """Timelines by kind and entity id, from observations seen up to until (by their own time).

    Rows of kind 'tags' are folded into kind 'tags' timelines under the id or ARN of what is tagged.
    """
    entities: dict[tuple[str, str], list[tuple[int, int, Row]]] = {}
    sweeps: dict[tuple[str, str, str | None], list[Sweep]] = {}
    for row in rows:
        seen_at = millis(row["observed_at"])
        if seen_at > until:
            continue
        if row["state"] == COMPLETE:
            started = millis(row.get("sweep_started_at") or row["observed_at"])
            sweep = Sweep(row["source_id"], started, seen_at)
            sweeps.setdefault((row["kind"], row["account_id"], row.get("region")), []).append(sweep)
            continue
        order = {ABSENT: 2, PARTIAL: 1}.get(row["state"], 0)
        entities.setdefault((row["kind"], row["entity_id"]), []).append((seen_at, order, row))
    timelines: Timelines = {}
    for (kind, entity_id), seen in entities.items():
        seen.sort(key=_in_order)
        last = seen[-1][2]
        complete = sweeps.get((kind, last["account_id"], last.get("region")), ())
        timelines.setdefault(kind, {})[entity_id] = _timeline(kind, entity_id, seen, complete)
    return timelines


def _in_order(seen: tuple[int, int, Row]) -> tuple[int, int, str, str]:
    # Creation, change and deletion may carry the same second: then in this order; the rest only makes it the same each time.
    return seen[0], seen[1], seen[2]["source_id"], seen[2]["source_name"]


def _timeline(kind: str, entity_id: str, seen: list[tuple[int, int, Row]], sweeps: Iterable[Sweep]) -> Timeline:
    line = Timeline(kind, entity_id)
    line.first_seen = seen[0][0]
    lifelong = _lifelong(seen) if kind == "interface" else {}
    known: Row = {}
    for at, _, row in seen:
        if row["state"] == ABSENT:
            if line.ended_at == OPEN:
                line.end(at, "event" if _tells_the_end(row) else "absence")
            continue
        if line.ended_at != OPEN:
            if kind == "interface":
                continue  # ids of interfaces are never reused: a sight after the deletion is a late answer
            line.ended_at, line.ended_by = OPEN, None
            known = {}
        _note(line.sights, at)
        if row["state"] != PARTIAL and row.get("addresses"):
            _note(line.listed, at)
        for address in row.get("addresses_removed", ()):
            _note(line.given_up.setdefault(address, []), at)
        before, known = known, _merged(known, row, lifelong)
        _extend(line, at, before, known, row)
    _absences(line, {row["source_id"] for _, _, row in seen}, sweeps)
    if kind == "interface" and line.states:
        _begin_with_creation(line, lifelong)
    return line


def _tells_the_end(row: Row) -> bool:
    """Whether the row is of the event that ended the entity; an answer that did not find it came at some time after."""
    return row["source"] == EVENT and not row["source_name"].startswith(("Describe", "List", "Get"))


def _note(moments: list[int], at: int) -> None:
    """Adds a moment; rows come in order of time, and one that comes twice adds nothing."""
    if not moments or moments[-1] != at:
        moments.append(at)


def _lifelong(seen: list[tuple[int, int, Row]]) -> Row:
    """What never changes in an interface's life, from whichever observation says it first."""
    found: Row = {}
    for _, _, row in seen:
        for name in LIFELONG:
            if name not in found and row.get(name) not in (None, ""):
                found[name] = row[name]
        if "primary" not in found and row.get("addresses"):
            found["primary"] = row["addresses"][0]
    return found


def _merged(known: Row, row: Row, lifelong: Row) -> Row:
    """What is known after this row: a present row replaces, a partial one adds, changes and takes away."""
    said = {name: value for name, value in row.items() if name not in _ENVELOPE}
    if row["state"] != PARTIAL:
        return {**lifelong, **said}
    merged = {**lifelong, **known, **said}
    if "tags" in said or row.get("tags_removed"):
        tags = {**known.get("tags", {}), **said.get("tags", {})}
        for key in row.get("tags_removed", ()):
            tags.pop(key, None)
        merged["tags"] = tags
    added, removed = row.get("addresses_added", ()), set(row.get("addresses_removed", ()))
    if added or removed:
        for name, slash in (("addresses", False), ("prefixes", True)):
            held = list(known.get(name, ()))
            held += [a for a in added if ("/" in a) == slash and a not in held]
            merged[name] = [a for a in held if a not in removed]
    return merged


def _extend(line: Timeline, at: int, before: Row, known: Row, row: Row) -> None:
    """Adds a sight to the timeline: the same state goes on, or a new one begins."""
    source = "event" if row["source"] == EVENT else "sweep"
    if line.states and before == known and line.ended_at == OPEN and line.states[-1].valid_to == OPEN:
        line.states[-1].last_seen = max(line.states[-1].last_seen, at)
        return
    begins, attached = at, known.get("attached_at")
    if line.kind == "interface" and attached and source == "sweep":
        since = millis(attached)
        previous = line.states[-1] if line.states and line.states[-1].valid_to == OPEN else None
        if (
            since < at
            and (previous is None or previous.last_seen < since)
            and _attachment(before) != _attachment(known)
        ):
            # Attached before this sight: the attachment holds from then, the rest (tags, groups) only from now.
            if previous is not None:
                previous.valid_to, previous.to_source = since, "change"
            early = {
                n: known[n] for n in (*LIFELONG, *ATTACHMENT, "description", "requester_id", "primary") if n in known
            }
            if known.get("addresses"):
                early["primary"] = known["addresses"][0]
            line.states.append(State(since, at, at, "attachment", "change", early))
    if line.states and line.states[-1].valid_to == OPEN:
        line.states[-1].valid_to, line.states[-1].to_source = begins, "change"
    line.states.append(State(begins, OPEN, at, source, None, known))


def _attachment(known: Row) -> tuple[Any, ...]:
    return known.get("attachment_id"), known.get("instance_id")


def _absences(line: Timeline, seen_by: set[str], sweeps: Iterable[Sweep]) -> None:
    """Ends what a complete sweep did not find, if it was first seen before that sweep began and not seen since."""
    if line.ended_at != OPEN or not line.sights:
        return
    last = line.sights[-1]
    for sweep in sorted(sweeps, key=lambda s: s.started_at):
        if sweep.sweep_id not in seen_by and line.first_seen < sweep.started_at and last <= sweep.finished_at:
            line.end(max(sweep.started_at, last), "absence")
            return


def _begin_with_creation(line: Timeline, lifelong: Row) -> None:
    """An interface's creation time, where a describe call told it, opens its timeline with what never changes."""
    created = lifelong.get("created_at")
    if created and millis(created) < line.states[0].valid_from:
        first = line.states[0]
        early = {name: lifelong[name] for name in (*LIFELONG, "primary") if name in lifelong}
        line.states.insert(0, State(millis(created), first.valid_from, first.valid_from, "creation", "change", early))
