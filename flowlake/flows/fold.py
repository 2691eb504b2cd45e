"""Observations -> timelines: what is known of each entity, and from when to when.

A timeline is the list of an entity's states in order of time. A state is a stretch [valid_from, valid_to) in which
the known attributes do not change. Event time counts, not arrival: the order in which rows come does not matter, and
a row that comes twice changes nothing. Times are epoch milliseconds (UTC).

What ends a state: the entity's deletion (an event), its absence from a complete sweep that began after it was first
seen or from an answer that asked for it, or a change (a new state follows). An interface's VPC, subnet, owner and
primary address never change, so they are known for the whole life of the interface as soon as one observation says
them. Tags, groups and attachments hold from the sight that says them; an attachment's own time sharpens its start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from flowlake.lake.arns import entity_id_of
from flowlake.lake.hours import from_text
from flowlake.lake.observations import ABSENT, COMPLETE, EVENT, NOTHING, PARTIAL, PRESENT, SWEEP, Row

OPEN = 1 << 62
"""valid_to of a state whose end is not known."""

ATTACHED, RELEASED = "attached", "released"
"""Sights of an interface that other rows imply: it was attached so at the attachment's own time; its attachment or its
instance ended.
"""

_ORDER = {PRESENT: 0, PARTIAL: 1, ATTACHED: 2, RELEASED: 3, ABSENT: 4}
"""Creation, change and deletion may carry the same second: then in this order."""

# What a row says about itself and not about the entity.
_ENVELOPE = frozenset(
    {
        "observed_at",
        "recorded_at",
        "source",
        "source_name",
        "source_id",
        "state",
        "kind",
        "entity_id",
        "sweep_started_at",
    }
)

# What a partial row says was added or taken away.
_CHANGES = ("addresses_added", "addresses_removed", "tags_removed")

# Values that many rows have in common: kept once.
_COMMON = (
    "account_id",
    "region",
    "vpc_id",
    "subnet_id",
    "availability_zone",
    "az_id",
    "interface_type",
    "requester_id",
    "instance_owner_id",
    "description",
    "detail",
    "attached_at",
)

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
    "primary",
)

# Of an interface: changes by attaching and detaching; attached_at says since when.
ATTACHMENT = ("attachment_id", "attached_at", "instance_id", "instance_owner_id")


@lru_cache(maxsize=1 << 16)
def millis(text: str) -> int:
    """Text of an observation's timestamp as epoch milliseconds."""
    return round(from_text(text).timestamp() * 1000)


class Sight(NamedTuple):
    """One observation of an entity: when, by what, in which state, and what it says. In the order in which sights of a
    moment count; version is the number of a tag change, which tells those of one second apart (0: not told).
    """

    at: int
    order: int
    version: int
    source_id: str
    source_name: str
    source: str
    state: str
    said: Row


@dataclass(slots=True)
class State:
    """One stretch [valid_from, valid_to) of an entity; last_seen is its last sight, to_source null where no end is
    known.
    """

    valid_from: int
    valid_to: int
    last_seen: int
    from_source: str
    to_source: str | None
    attributes: Row


ALL, SOME, ADDED, REMOVED = "all", "some", "added", "removed"


class Listing(NamedTuple):
    """Addresses and prefixes that one sight tells of an interface: all it has, some it has, or what was just added or
    taken away.
    """

    at: int
    how: str
    addresses: tuple[str, ...]
    source: str


@dataclass(slots=True)
class Timeline:
    """An entity's states, oldest first; sights are all moments at which it was seen to exist.

    Of an interface that ever had more than one address, listings say which it had when; public the same of public
    addresses, if it ever had one. Of an instance, up are the moments at which it surely had its first interface: all
    sights but those while it shut down.
    """

    kind: str
    entity_id: str
    states: list[State] = field(default_factory=list)
    sights: list[int] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    public: list[Listing] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    ended_at: int = OPEN
    ended_by: str | None = None
    first_seen: int = OPEN

    def end(self, at: int, by: str) -> None:
        """Ends the entity and its last state, anew where that had ended later.

        by: event, or absence (the end was at some time before).
        """
        if self.states:
            state = self.states[-1]
            state.valid_to, state.to_source = max(at, state.valid_from), by
            if by == "event":
                state.last_seen = at
        self.ended_at, self.ended_by = at, by

    def begin(self, at: int, by: str, known: Row) -> None:
        """A new state from at on; the one before ends there."""
        if self.states and self.states[-1].valid_to == OPEN:
            self.states[-1].valid_to, self.states[-1].to_source = at, "change"
        self.states.append(State(at, OPEN, at, by, None, known))


class Sweep(NamedTuple):
    """A complete listing of one kind in one account and region."""

    started_at: int
    finished_at: int
    sweep_id: str


Timelines = dict[str, dict[str, Timeline]]
Sights = dict[str, dict[str, list[Sight]]]
Place = tuple[str | None, str | None]


@dataclass
class Gathered:
    """Sights by kind and entity id, and the complete sweeps by kind, account and region."""

    sights: Sights = field(default_factory=dict)
    sweeps: dict[tuple[str, str | None, str | None], list[Sweep]] = field(default_factory=dict)


def fold(rows: Iterable[Row], until: int = OPEN) -> Timelines:
    """Timelines by kind and entity id, from observations seen up to until (by their own time).

    Whatever says tags also gives a timeline of kind tags, under the key of what is tagged (tag_key), so that one
    timeline holds all that is known of them.
    """
    return timelines_of(gather(rows, until))


def gather(rows: Iterable[Row], until: int = OPEN, before: Gathered | None = None) -> Gathered:
    """The rows by entity, with those that were gathered before. Of rows that say the same of an entity, one after
    another, the content is kept once.
    """
    gathered = before or Gathered()
    once: dict[Any, Any] = {}

    def shared(text: str) -> str:
        return str(once.setdefault(text, text))

    for row in rows:
        at, state, kind = millis(row["observed_at"]), row["state"], row["kind"]
        if at > until:
            continue
        if state == COMPLETE:
            sweep = Sweep(millis(row.get("sweep_started_at") or row["observed_at"]), at, row["source_id"])
            gathered.sweeps.setdefault((kind, row["account_id"], row.get("region")), []).append(sweep)
            continue
        said = {name: value for name, value in row.items() if name not in _ENVELOPE}
        if kind == "interface" and said.get("addresses") and ":" not in said["addresses"][0]:
            said["primary"] = said["addresses"][0]  # an IPv6 address can be taken away, even the only one
        if kind == "tags" and state == PRESENT:
            said.setdefault("tags", {})
        entity_id = tag_key(row["entity_id"]) if kind == "tags" else row["entity_id"]
        seen = gathered.sights.setdefault(kind, {}).setdefault(entity_id, [])
        if seen and seen[-1].said == said:
            said = seen[-1].said
        else:
            for name in _COMMON:
                if name in said:
                    said[name] = once.setdefault(said[name], said[name])
        source_id, name = shared(row["source_id"]), row["source_name"]
        seen.append(
            Sight(
                at,
                _ORDER[state],
                _version(row) if kind == "tags" and "detail" in row else 0,
                source_id,
                shared(name),
                shared(row["source"]),
                shared(state),
                said,
            )
        )
    for sweeps in gathered.sweeps.values():
        sweeps.sort()
    return gathered


def _version(row: Row) -> int:
    """Which change of the resource's tags an event tells of."""
    detail = row["detail"]
    return int((json.loads(detail) if isinstance(detail, str) else detail).get("version") or 0)


def timelines_of(gathered: Gathered) -> Timelines:
    """The timelines of all that was gathered."""
    _add_tag_sights(gathered.sights)
    _add_released(gathered.sights)
    timelines: Timelines = {}
    for kind, entities in gathered.sights.items():
        lines = timelines[kind] = {}
        for entity_id, seen in entities.items():
            seen.sort(key=_IN_ORDER)
            said = seen[-1].said
            sweeps = gathered.sweeps.get((kind, said["account_id"], said.get("region")), ())
            lines[entity_id] = _timeline(kind, entity_id, seen, sweeps)
    return timelines


_IN_ORDER = itemgetter(0, 1, 2, 3, 4)
"""By time; source id and name only make the order the same each time."""


# --- what rows imply for other entities ------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 16)
def tag_key(entity_id: str) -> str:
    """Under which name an entity's tags are kept: the id that observations use for what an ARN names, else the ARN or
    id as it is.
    """
    return entity_id_of(entity_id) if entity_id.startswith("arn:") else entity_id


def _add_tag_sights(sights: Sights) -> None:
    """Beside each sight that says tags one of kind tags.

    Interfaces of which every row is a whole sight with its tags, and nothing else speaks of their tags, need none:
    their own states say it.
    """
    of_tags = sights.setdefault("tags", {})
    for kind, entities in sights.items():
        if kind == "tags":
            continue
        for entity_id, seen in entities.items():
            key = tag_key(entity_id)
            own = kind == "interface" and key not in of_tags
            if own and all(s.state == ABSENT or (s.state == PRESENT and "tags" in s.said) for s in seen):
                continue
            twins = [
                _of_its_tags(s) for s in seen if s.state != ABSENT and ("tags" in s.said or "tags_removed" in s.said)
            ]
            if twins:
                of_tags.setdefault(key, []).extend(twins)


_CREATION = "RunInstances"
"""The call that tells in part of what it makes, and all tags that it makes it with."""

_WITH_TAGS = ("account_id", "region", "tags", "tags_removed")


def _of_its_tags(sight: Sight) -> Sight:
    said = {name: sight.said[name] for name in _WITH_TAGS if name in sight.said}
    if "tags" in said and (_is_answer(sight) or sight.source_name == _CREATION):
        return sight._replace(order=_ORDER[PRESENT], state=PRESENT, said=said)  # all tags, though not all else
    return sight._replace(said=said)


def _add_released(sights: Sights) -> None:
    """Beside the end of an attachment or an instance a sight of each interface that was ever said to have it: no
    longer.
    """
    ended: dict[str, list[Sight]] = {}
    for kind in ("attachment", "instance"):
        for entity_id, seen in sights.get(kind, {}).items():
            gone = [s for s in seen if s.state == ABSENT]
            if gone:
                ended[entity_id] = gone
    if not ended:
        return
    for seen in sights.get("interface", {}).values():
        had = {s.said.get(name) for s in seen for name in ("attachment_id", "instance_id")}
        gone_with = sorted(str(entity) for entity in had & ended.keys())
        first = min(seen, key=_IN_ORDER).said if gone_with else {}
        for entity_id in gone_with:
            said = {"account_id": first["account_id"], "region": first.get("region"), "of": entity_id}
            seen += [
                s._replace(order=_ORDER[RELEASED], source_id=entity_id, state=RELEASED, said=said)
                for s in ended[entity_id]
            ]


def _with_attachments(seen: list[Sight]) -> list[Sight]:
    """An interface's sights with one for each attachment time that an answer tells: it was attached so from then on."""
    told: dict[tuple[Any, Any], Sight] = {}
    for s in seen:
        since = s.said.get("attached_at") if s.state == PRESENT else None
        if since and s.said.get("attachment_id") and _is_answer(s) and millis(since) < s.at:
            told.setdefault((s.said["attachment_id"], since), s)
    if not told:
        return seen
    implied = [_attached(s) for s in told.values()]
    return sorted([*seen, *implied], key=_IN_ORDER)


def _attached(sight: Sight) -> Sight:
    kept = (*LIFELONG, *ATTACHMENT, "description", "requester_id")
    said = {name: sight.said[name] for name in kept if name in sight.said}
    return sight._replace(at=millis(sight.said["attached_at"]), order=_ORDER[ATTACHED], state=ATTACHED, said=said)


def _is_answer(sight: Sight) -> bool:
    """Whether AWS answered so when asked, and did not tell it by itself."""
    return sight.source == SWEEP or sight.source_name.startswith(("Describe", "List", "Get"))


def _tells_the_end(sight: Sight) -> bool:
    """Whether the sight is of the event that ended the entity; an answer that missed it came some time after."""
    return not _is_answer(sight)


# --- one entity ------------------------------------------------------------------------------------------------------


def _timeline(kind: str, entity_id: str, seen: list[Sight], sweeps: Sequence[Sweep]) -> Timeline:
    line = Timeline(kind, entity_id, first_seen=next(s.at for s in seen if s.state != RELEASED))
    born = line.first_seen
    interface, named = kind == "interface", entity_id.startswith("arn:")
    lifelong = _lifelong(seen) if interface else {}
    missed: list[int] = []
    known: Row = {}
    whole: Row | None = None  # what a present row said, where nothing was said since
    previous: Sight | None = None
    for sight in _with_attachments(seen) if interface else seen:
        if sight == previous:
            continue  # the same row once more
        previous = sight
        at, state, said = sight.at, sight.state, sight.said
        if state == ABSENT:
            if interface and not _tells_the_end(sight):
                missed.append(at)
            elif line.ended_at == OPEN or (line.ended_at == at and _tells_the_end(sight)):
                # Of an answer and an event of one moment the event counts: it tells the end itself.
                line.end(at, "event" if _tells_the_end(sight) else "absence")
            continue
        if named and line.ended_at == OPEN:
            lacked = _lacked(line, born, seen, sweeps, before=at)
            if lacked is not None:
                line.end(lacked, "absence")  # its name was used again
        if line.ended_at != OPEN:
            if interface:
                continue  # ids of interfaces are never reused: a sight after the deletion is a late answer
            line.ended_at, line.ended_by, known, whole, born = OPEN, None, {}, None, at
        if state == RELEASED:
            if said["of"] in (known.get("attachment_id"), known.get("instance_id")):
                known = _released(known, said["of"])
                whole = None
                line.begin(at, "event", known)
            continue
        _note(line.sights, at)
        if interface:
            _list(line, sight)
        elif kind == "instance" and _is_up(sight):
            _note(line.up, at)
        if said is whole and state == PRESENT:
            line.states[-1].last_seen = at
            continue
        if state == ATTACHED:
            if _attachment(known) != _attachment(said):
                tags = {"tags": known["tags"]} if "tags" in known else {}
                known, whole = {**lifelong, **tags, **said}, None
                line.begin(at, "attachment", known)
            continue
        before, known = known, _merged(known, said, lifelong, state, kind)
        whole = said if state == PRESENT else None
        if line.states and before == known and line.states[-1].valid_to == OPEN:
            line.states[-1].last_seen = at
        else:
            line.begin(at, "event" if sight.source == EVENT else "sweep", known)
    _absences(line, born, seen, sweeps, missed)
    if interface and line.states:
        _begin_with_creation(line, lifelong)
    return line


def _note(moments: list[int], at: int) -> None:
    """Adds a moment; rows come in order of time, and one that comes twice adds nothing."""
    if not moments or moments[-1] != at:
        moments.append(at)


def _lifelong(seen: list[Sight]) -> Row:
    """What never changes in an interface's life, from whichever observation says it first."""
    found: Row = {}
    previous: Row | None = None
    for sight in seen:
        said = sight.said
        if said is previous or sight.state == RELEASED:
            continue
        previous = said
        for name in LIFELONG:
            if name not in found and said.get(name) not in (None, ""):
                found[name] = said[name]
    return found


def _merged(known: Row, said: Row, lifelong: Row, state: str, kind: str) -> Row:
    """What is known after this row: a present row replaces, a partial one adds, changes and takes away.

    Of tags alone it tells what was set and taken away: of a set that nobody told, that leaves the rest unknown.
    """
    if state != PARTIAL:
        return said if lifelong.keys() <= said.keys() else {**lifelong, **said}
    merged = {**lifelong, **known, **said}
    if "tags" in said or said.get("tags_removed"):
        merged.pop("tags", None)
        if "tags" in known or kind != "tags":
            merged["tags"] = {**known.get("tags", {}), **said.get("tags", {})}
            for key in said.get("tags_removed", ()):
                merged["tags"].pop(key, None)
    added, removed = said.get("addresses_added", ()), set(said.get("addresses_removed", ()))
    if added or removed:
        for name, slash in (("addresses", False), ("prefixes", True)):
            held = list(known.get(name, ()))
            held += [a for a in added if ("/" in a) == slash and a not in held]
            left = [a for a in held if a not in removed]
            if left or name in known:
                merged[name] = left
    for name in _CHANGES:
        merged.pop(name, None)
    return merged


def _attachment(known: Row) -> tuple[Any, ...]:
    return known.get("attachment_id"), known.get("instance_id")


def _released(known: Row, of: str) -> Row:
    """Attached to nothing any more."""
    kept = {name: value for name, value in known.items() if name not in ATTACHMENT}
    return {**kept, "attachment_id": NOTHING, "instance_id": NOTHING}


def _is_up(sight: Sight) -> bool:
    """While it shuts down an instance may give up its interfaces; when it was told to, it still had them."""
    return sight.source_name == "TerminateInstances" or "shutting-down" not in sight.said.get("detail", "")


def _list(line: Timeline, sight: Sight) -> None:
    """Notes which addresses the sight tells of. An interface with its one IPv4 address for ever needs no list."""
    said, source = sight.said, "event" if sight.source == EVENT else "sweep"
    if "public_addresses" in said or (line.public and sight.state == PRESENT):
        how = ALL if sight.state == PRESENT else SOME
        line.public.append(Listing(sight.at, how, tuple(said.get("public_addresses", ())), source))
    if sight.state == PRESENT:
        addresses = (*said.get("addresses", ()), *said.get("prefixes", ()))
        if line.listings or not _at_most_a_primary(addresses):
            line.listings.append(Listing(sight.at, ALL, addresses, source))
    elif sight.state == PARTIAL:
        for how, name in (
            (SOME, "addresses"),
            (SOME, "prefixes"),
            (ADDED, "addresses_added"),
            (REMOVED, "addresses_removed"),
        ):
            if said.get(name) and (how != SOME or not _at_most_a_primary(said[name])):
                line.listings.append(Listing(sight.at, how, tuple(said[name]), source))


def _at_most_a_primary(addresses: Sequence[str]) -> bool:
    return not addresses or (len(addresses) == 1 and ":" not in addresses[0] and "/" not in addresses[0])


def _absences(line: Timeline, born: int, seen: list[Sight], sweeps: Sequence[Sweep], missed: list[int]) -> None:
    """Ends what a complete sweep, or an answer that asked for it, did not find, if it was not seen since."""
    if line.ended_at != OPEN or not line.sights:
        return
    last = line.sights[-1]
    lacked = _lacked(line, born, seen, sweeps)
    ends = [at for at in (*missed, lacked) if at is not None and at >= last]
    if ends:
        line.end(min(ends), "absence")


def _lacked(line: Timeline, born: int, seen: list[Sight], sweeps: Sequence[Sweep], before: int = OPEN) -> int | None:
    """The end of the first complete sweep after the last sight, and before a moment, that did not list what was first
    seen (born) before it began: it was listed at some time until then.
    """
    for sweep in sweeps:
        if (
            line.sights
            and line.sights[-1] <= sweep.finished_at < before
            and born < sweep.started_at
            and all(s.source_id != sweep.sweep_id for s in seen)
        ):
            return sweep.finished_at
    return None


def _begin_with_creation(line: Timeline, lifelong: Row) -> None:
    """An interface's creation time, where it was told, opens its timeline with what never changes."""
    created = lifelong.get("created_at")
    if created and millis(created) < line.states[0].valid_from:
        first = line.states[0]
        early = {name: lifelong[name] for name in LIFELONG if name in lifelong}
        line.states.insert(0, State(millis(created), first.valid_from, first.valid_from, "creation", "change", early))
