"""A batch of messages: read, fetch what is lacking, write. Effects through its store, accounts and clock only.

However many events a batch has, it writes one object of observations and at most one of rejects. Their keys are
digests of their content (without the time of writing), so that a batch handled twice finds its object there.

What becomes of a message: its rows are observed; or it is ignored, counted by reason; or it goes whole to the rejects
with its reason; or, where AWS or the store did not answer, it fails alone and is handled again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from flowlake.inventory import fetch as fetching
from flowlake.inventory.calls import Ignored, Reading, Rejected, Want
from flowlake.inventory.events import read
from flowlake.inventory.fetch import Accounts, Asker, Clock, Fetched
from flowlake.lake import places
from flowlake.lake.contracts import contract
from flowlake.lake.hours import Hour, as_text
from flowlake.lake.observations import Row, to_lines
from flowlake.lake.store import Conflict, ObjectStore

RANGES_TOPIC = "AmazonIpSpaceChanged"
"""Name of the SNS topic on which AWS tells that its address ranges changed."""


@dataclass(frozen=True)
class Message:
    """One message of a queue: its id there, and its body (JSON text, or the parsed event of a direct invocation)."""

    id: str
    body: str | Mapping[str, Any]


@dataclass
class Outcome:
    """What a batch came to. failed: message id -> why it must be handled again. objects: keys written or found."""

    observations: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    objects: list[str] = field(default_factory=list)


@dataclass
class _Work:
    """A batch under way."""

    readings: dict[str, Reading] = field(default_factory=dict)
    rejects: list[tuple[Message, Rejected]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    notices: list[Message] = field(default_factory=list)


def handle(
    messages: Iterable[Message],
    store: ObjectStore,
    accounts: Accounts,
    clock: Clock,
    *,
    refresh_ranges: Callable[[], None],
    keep_tags: frozenset[str] | None = None,
    deadline: datetime | None = None,
) -> Outcome:
    """Handles a batch. Raises StoreError where the store can't be written to: then all messages must come again."""
    by_id = {message.id: message for message in messages}
    work = _read(by_id.values(), clock(), keep_tags)
    outcome = Outcome(ignored=work.ignored)
    if work.notices:
        _refresh(work.notices, refresh_ranges, outcome)
    fetched = fetching.fetch(_wants(work.readings.values()), accounts, clock, keep_tags=keep_tags, deadline=deadline)
    outcome.calls = fetched.calls
    _judge(work, fetched, by_id, outcome)
    rows = [row for reading in work.readings.values() for row in reading.rows] + fetched.rows
    written_at = clock()
    if rows:
        outcome.objects.append(_write_rows(rows, store, written_at))
        outcome.observations = len(rows)
    if work.rejects:
        outcome.objects.append(_write_rejects(work.rejects, store, written_at))
    return outcome


def _read(messages: Iterable[Message], now: datetime, keep_tags: frozenset[str] | None) -> _Work:
    work = _Work()
    for message in messages:
        try:
            event = parsed(message.body)
            if is_ranges_notice(event):
                work.notices.append(message)
                continue
            reading = read(event, now, keep_tags)
            for row in reading.rows:
                _check(row)
            work.readings[message.id] = reading
        except Ignored as ignored:
            work.ignored[ignored.reason] += 1
        except Rejected as rejected:
            work.rejects.append((message, rejected))
        except Exception as error:
            # An event may be anything: whatever it breaks, it breaks alone, and is kept.
            work.rejects.append((message, Rejected("not_understood", f"{type(error).__name__}: {error}")))
    return work


def parsed(body: str | Mapping[str, Any]) -> Any:
    """The event in a message's body; what SNS wrapped is unwrapped. Raises Rejected."""
    if not isinstance(body, str):
        return body
    try:
        event = json.loads(body, parse_constant=_refused)
        if isinstance(event, dict) and event.get("Type") == "Notification" and isinstance(event.get("Message"), str):
            inside = json.loads(event["Message"], parse_constant=_refused)
            return {**inside, "TopicArn": event.get("TopicArn")} if isinstance(inside, dict) else inside
        return event
    except ValueError as error:
        raise Rejected("not_json", str(error)) from error


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def is_ranges_notice(event: Any) -> bool:
    """AWS's notice that its address ranges changed. Only that it came is used: the address it names is not."""
    if not isinstance(event, dict) or "detail-type" in event:
        return False
    topic = event.get("TopicArn")
    named = "synctoken" in event and "url" in event
    return named and (topic is None or str(topic).endswith(f":{RANGES_TOPIC}"))


def _refresh(notices: list[Message], refresh_ranges: Callable[[], None], outcome: Outcome) -> None:
    """One fetch for all notices of the batch; where it fails they are handled again."""
    try:
        refresh_ranges()
        outcome.calls["ip-ranges"] += 1
    except Exception as error:
        outcome.failed |= {notice.id: f"ranges_not_fetched: {type(error).__name__}: {error}" for notice in notices}


def _wants(readings: Iterable[Reading]) -> dict[Want, list[Asker]]:
    wants: dict[Want, list[Asker]] = {}
    for reading in readings:
        for want in reading.wants:
            wants.setdefault(want, []).append(Asker(reading.event_id, reading.occurred_at))
    return wants


def _judge(work: _Work, fetched: Fetched, by_id: Mapping[str, Message], outcome: Outcome) -> None:
    """Events whose wants were not answered: for a reason that may pass they fail, for one that stays they are rejects.

    Their own rows hold all the same, and are written either way.
    """
    for message_id, reading in work.readings.items():
        failures = [fetched.failures[want] for want in reading.wants if want in fetched.failures]
        passing = [failure for failure in failures if failure.transient]
        if passing:
            outcome.failed[message_id] = f"{passing[0].reason}: {passing[0].why}"
        elif failures:
            work.rejects.append((by_id[message_id], Rejected(failures[0].reason, failures[0].why)))
    outcome.rejected.update(rejected.reason for _, rejected in work.rejects)


# ---- writing -----------------------------------------------------------------------------------------------------


def _write_rows(rows: list[Row], store: ObjectStore, written_at: datetime) -> str:
    """One object for all rows, each once, in an order that does not depend on that of the messages."""
    unique = {_canonical(row): row for row in rows}
    in_order = sorted(unique)
    stamped = [{**unique[text], "recorded_at": as_text(written_at)} for text in in_order]
    hour = Hour.holding(written_at.timestamp())
    key = f"{places.observations('events', hour)}{_digest(in_order)}.json.gz"
    _put(store, key, to_lines(stamped))
    return key


def _canonical(row: Row) -> str:
    """The row but for recorded_at, as text."""
    told = {name: value for name, value in row.items() if name != "recorded_at"}
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def _write_rejects(rejects: list[tuple[Message, Rejected]], store: ObjectStore, written_at: datetime) -> str:
    """One object of JSON lines: reason, why, when, and the message's body whole."""
    lines = sorted(
        json.dumps({"reason": rejected.reason, "why": rejected.why, "body": message.body}, sort_keys=True, default=str)
        for message, rejected in rejects
    )
    stamp = as_text(written_at)
    text = "".join(json.dumps({**json.loads(line), "rejected_at": stamp}) + "\n" for line in lines)
    hour = Hour.holding(written_at.timestamp())
    key = f"{places.INVENTORY_REJECTS}dt={hour.dt}/hour={hour.hh}/{_digest(lines)}.json.gz"
    _put(store, key, gzip.compress(text.encode("utf-8"), mtime=0))
    return key


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8")).hexdigest()[:32]


def _put(store: ObjectStore, key: str, data: bytes) -> None:
    """Writes an object unless it is there: its name is its content, and what was recorded first stays."""
    try:
        store.put(key, data, if_none_match=True)
    except Conflict:
        return


# ---- rows keep their contract ------------------------------------------------------------------------------------

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "timestamp": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "array<string>": lambda value: isinstance(value, list) and all(isinstance(member, str) for member in value),
    "array<int>": lambda value: isinstance(value, list) and all(type(member) is int for member in value),
    "map<string,string>": lambda value: (
        isinstance(value, dict)
        and all(isinstance(key, str) and isinstance(member, str) for key, member in value.items())
    ),
}


@cache
def _checks() -> dict[str, Callable[[Any], bool]]:
    return {column.name: _TYPES[column.type] for column in contract("observations").columns}


def _check(row: Row) -> None:
    """Raises Rejected where an event put something of another type into a column, or text that is no Unicode."""
    for name, value in row.items():
        if not _checks()[name](value):
            raise Rejected("unreadable", f"{name} is {value!r:.80}")
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Rejected("bad_text", str(error)) from error
