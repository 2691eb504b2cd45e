"""The sweep: all entities of one account and region, as observations. It repairs what events lost.

    result = sweep(task, aws, write, clock, deadline)
    if result.continuation: …send it to go on from there

Rows go out in objects of some thousand, as pages come in; memory does not grow with the account. A kind that was listed
to its end gets a row of state complete, which lets the address book take absence for deletion. A kind that failed gets
none (nor do tags, whose absence proves nothing), and is named in the result and in the sweep's marker, so that coverage
can show a stale inventory.

The marker (places.sweep_marker) is one small JSON object, written when all kinds have been tried:

    sweep_id, account_id, region, started_at, finished_at     who, where, when (times as observations write them)
    kinds      kind -> {started_at, finished_at, items}       the kinds that are complete
    failures   [{kind, error, message}]                       the kinds that are not, and why; kind * for all
    not_offered  [kind]                                       services that this region does not have
    objects    [key]                                          the objects that hold its rows
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from flowlake.inventory.aws import GLOBAL, Aws
from flowlake.inventory.describe import KINDS, LISTINGS, WALKS, Incomplete, Page, describe, services_of
from flowlake.inventory.rows import BadItem, Seen, rows_of
from flowlake.lake import places
from flowlake.lake.hours import Hour, as_text, from_text
from flowlake.lake.observations import COMPLETE, SWEEP, Row, to_lines

ROWS_AN_OBJECT = 5_000
EVERYTHING = "*"

ABSENCE_SAYS_NOTHING = {"tags"}
"""Kinds without a row of state complete: the tagging API lags behind what events told meanwhile, leaves out what was
never tagged, and lists what lost its last tag with an empty set. It gives sights, and no proof of absence."""

_MESSAGE_CHARACTERS = 300
_RESTARTS = 2
_STALLS = 2
_STALE_TOKENS = ("Token", "InvalidParameter", "Validation", "BadRequest", "Marker")
"""Parts of the codes by which services refuse a token that is too old, or another process's."""
_NAMED_PROBLEMS = 5

Write = Callable[[str, bytes], object]
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Failure:
    """A kind that could not be listed whole (kind * for an account that could not be entered), and why."""

    kind: str
    error: str
    message: str


@dataclass(frozen=True)
class Finished:
    """A kind that was listed to its end."""

    started_at: str
    finished_at: str
    items: int


@dataclass(frozen=True)
class Task:
    """A sweep to do or to go on with; goes through a queue as JSON.

    kinds: what is still to do, in order; the first may be under way: token is from where it goes on, kind_started_at
    when it began, kind_items how many there were up to the token. restarts: how often it began again because its token
    was refused; stalls: how many runs in a row came no token further. keep_tags: tag keys to keep, None for all.
    """

    account_id: str
    region: str
    sweep_id: str
    started_at: str
    kinds: tuple[str, ...]
    keep_tags: tuple[str, ...] | None = None
    token: str | None = None
    kind_started_at: str | None = None
    kind_items: int = 0
    kind_problems: tuple[str, ...] = ()
    restarts: int = 0
    stalls: int = 0
    finished: dict[str, Finished] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    not_offered: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(
            {
                **{name: value for name, value in self.__dict__.items() if value is not None},
                "finished": {kind: vars(done) for kind, done in self.finished.items()},
                "failures": [vars(failure) for failure in self.failures],
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Task:
        """What to_json wrote. Raises BadTask."""
        try:
            said = json.loads(text)
            said["finished"] = {kind: Finished(**done) for kind, done in said.get("finished", {}).items()}
            said["failures"] = tuple(Failure(**failure) for failure in said.get("failures", ()))
            fields: dict[str, Any] = {
                k: tuple(value) if isinstance(value, list) else value for k, value in said.items()
            }
            task = cls(**fields)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadTask(f"this is no sweep task: {error}") from error
        return _checked(task)


class BadTask(ValueError):
    """A task that names kinds that there are not, or is no task at all."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep (or the part of it until its deadline) saw.

    items: entities by kind, in this part. interface_types: interfaces by what they are (unclassified among them), in
    this part. failures, complete: of the sweep so far. continuation: the task that goes on, None where it is over;
    marker_key is set then. calls: API calls by service:Operation, in this part.
    """

    task: Task
    items: dict[str, int]
    interface_types: dict[str, int]
    complete: tuple[str, ...]
    failures: tuple[Failure, ...]
    problems: tuple[str, ...]
    objects: int
    rows: int
    calls: dict[str, int]
    continuation: Task | None
    marker_key: str | None


def new_task(
    account_id: str,
    region: str,
    started_at: datetime,
    kinds: Iterable[str] | None = None,
    keep_tags: Iterable[str] | None = None,
    sweep_id: str | None = None,
) -> Task:
    """A sweep of an account and region; kinds None: all that a region has. Raises BadTask."""
    wanted = tuple(KINDS if kinds is None else kinds)
    kept = None if keep_tags is None else tuple(sorted(set(keep_tags)))
    return _checked(Task(account_id, region, sweep_id or uuid.uuid4().hex, as_text(started_at), wanted, keep_tags=kept))


def _checked(task: Task) -> Task:
    known = {*LISTINGS, *WALKS}
    unknown = sorted({*task.kinds} - known)
    if unknown:
        raise BadTask(f"no kind is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return task


def sweep(task: Task, aws: Aws, write: Write, clock: Clock, deadline: datetime | None = None) -> SweepResult:
    """Does the task until the deadline, and writes rows, complete rows and, at the end, the marker.

    One kind's failure does not stop the others. The deadline is looked at between pages: leave some time behind it.
    """
    run = _Run(task, aws, write, clock, deadline)
    return run.to_the_end()


def report_unreachable(task: Task, error: Exception, write: Write, clock: Clock) -> SweepResult:
    """The result and marker of a sweep of an account that could not be entered: everything failed."""
    failed = replace(task, kinds=(), failures=(*task.failures, _failure(EVERYTHING, error)))
    key = _write_marker(failed, write, clock())
    return SweepResult(failed, {}, {}, (), failed.failures, (), 0, 0, {}, None, key)


class _Run:
    """One part of a sweep under way: rows not yet written, and the task as it stands."""

    def __init__(self, task: Task, aws: Aws, write: Write, clock: Clock, deadline: datetime | None):
        self.task, self.aws, self.write, self.clock, self.deadline = task, aws, write, clock, deadline
        self.rows: list[Row] = []
        self.recorded_in: Hour | None = None
        self.items: dict[str, int] = {}
        self.interface_types: dict[str, int] = {}
        self.problems: list[str] = []
        self.rows_written = 0
        self.objects_written = 0
        self.part = uuid.uuid4().hex[:8]  # a task may be handed out twice: neither may write over the other's objects

    def to_the_end(self) -> SweepResult:
        while self.task.kinds:
            kind = self.task.kinds[0]
            if not any(self.aws.offers(service) for service in services_of(kind)):
                self._next_kind(not_offered=(*self.task.not_offered, kind))
                continue
            if self._out_of_time() or not self._list(kind):
                break
        return self._result()

    def _out_of_time(self) -> bool:
        return self.deadline is not None and self.clock() >= self.deadline

    def _list(self, kind: str) -> bool:
        """Lists one kind. False: the time was up before its end."""
        from botocore.exceptions import ClientError

        if self.task.kind_started_at is None:
            self.task = replace(self.task, kind_started_at=as_text(self.clock()))
        pages = describe(kind, self.aws, self.task.token)
        reached = self.task  # as it stood where another run can last go on
        while True:
            try:
                page = next(pages, None)
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code"))
                if self.task.token and any(part in code for part in _STALE_TOKENS):
                    return self._restart(kind, error)
                self._fail(kind, error)
                return True
            except Exception as error:
                # An answer may be anything: whatever it breaks, it breaks its own kind, by name.
                self._fail(kind, error)
                return True
            if page is None:
                self._finish(kind)
                return True
            self._take(kind, page)
            if page.next is not None:
                reached = replace(self.task, token=page.next)
            if self._out_of_time():
                return self._pause(kind, reached)

    def _take(self, kind: str, page: Page) -> None:
        answered = self.clock()
        seen = Seen(
            observed_at=answered,
            recorded_at=answered,
            source=SWEEP,
            source_name=page.api,
            source_id=self.task.sweep_id,
            account_id=self.task.account_id,
            region=self.task.region,
            sweep_started_at=from_text(self.task.kind_started_at or ""),
            keep_tags=None if self.task.keep_tags is None else frozenset(self.task.keep_tags),
        )
        problems = []
        for item in page.items:
            try:
                rows = rows_of(kind, item, seen)
            except BadItem as error:
                problems.append(str(error)[:_MESSAGE_CHARACTERS])
                continue
            for row in rows:
                self._count_type(row)
                self._put(row, answered)
        self.items[kind] = self.items.get(kind, 0) + len(page.items)
        self.problems += problems
        known = self.task.kind_problems
        self.task = replace(
            self.task,
            kind_items=self.task.kind_items + len(page.items),
            kind_problems=(*known, *problems[: max(0, _NAMED_PROBLEMS - len(known))]),
        )

    def _count_type(self, row: Row) -> None:
        if row["kind"] == "interface":
            type_ = interface_type_of(row)
            self.interface_types[type_] = self.interface_types.get(type_, 0) + 1

    def _put(self, row: Row, recorded_at: datetime) -> None:
        """Takes a row for writing. An object holds rows that were recorded in one hour."""
        hour = Hour.holding(recorded_at.timestamp())
        if self.rows and (hour != self.recorded_in or len(self.rows) >= ROWS_AN_OBJECT):
            self._flush()
        self.recorded_in = hour
        self.rows.append(row)

    def _flush(self) -> None:
        if not self.rows or self.recorded_in is None:
            return
        task = self.task
        folder = places.observations("sweeps", self.recorded_in)
        key = f"{folder}{task.account_id}_{task.region}_{task.sweep_id}_{len(task.objects):05d}-{self.part}.json.gz"
        self.write(key, to_lines(self.rows))
        self.rows_written += len(self.rows)
        self.objects_written += 1
        self.rows = []
        self.task = replace(task, objects=(*task.objects, key))

    def _next_kind(self, **changes: Any) -> None:
        self.task = replace(
            self.task,
            kinds=self.task.kinds[1:],
            token=None,
            kind_started_at=None,
            kind_items=0,
            kind_problems=(),
            restarts=0,
            stalls=0,
            **changes,
        )

    def _finish(self, kind: str) -> None:
        """A kind was listed to its end: its complete row, unless some of its items could not be read."""
        problems = self.task.kind_problems
        if problems:
            failure = Failure(kind, "BadItem", f"items that can't be read, such as: {'; '.join(problems)}")
            self._next_kind(failures=(*self.task.failures, failure))
            return
        now = self.clock()
        started = self.task.kind_started_at or as_text(now)
        if kind not in ABSENCE_SAYS_NOTHING:
            self._put(self._complete_row(kind, now, started), now)
        done = Finished(started, as_text(now), self.task.kind_items)
        self._next_kind(finished={**self.task.finished, kind: done})

    def _complete_row(self, kind: str, now: datetime, started: str) -> Row:
        task = self.task
        seen = Seen(now, now, SWEEP, "Sweep", task.sweep_id, task.account_id, task.region, from_text(started))
        return seen.row(kind, EVERYTHING, COMPLETE, region=None if task.region == GLOBAL else task.region)

    def _fail(self, kind: str, error: Exception) -> None:
        self._next_kind(failures=(*self.task.failures, _failure(kind, error)))

    def _pause(self, kind: str, reached: Task) -> bool:
        """The time is up within a kind. It goes on from where it last could, which may be where this run began, but not
        for ever. What was seen behind that is seen again."""
        stalls = 0 if reached.token != self.task.token else self.task.stalls + 1
        if stalls > _STALLS:
            self._fail(kind, Incomplete(f"it takes longer than one run ({_STALLS + 1} were tried)"))
            return not self._out_of_time()
        self.task = replace(
            self.task,
            token=reached.token,
            kind_started_at=None if reached.token is None else self.task.kind_started_at,
            kind_items=reached.kind_items,
            kind_problems=reached.kind_problems,
            stalls=stalls,
        )
        return False

    def _restart(self, kind: str, error: Exception) -> bool:
        """The token is refused: from the start, but not for ever, however far each time comes."""
        if self.task.restarts >= _RESTARTS:
            self._fail(kind, error)
            return not self._out_of_time()
        self.task = replace(
            self.task,
            token=None,
            kind_started_at=None,
            kind_items=0,
            kind_problems=(),
            restarts=self.task.restarts + 1,
            stalls=0,
        )
        return not self._out_of_time()

    def _result(self) -> SweepResult:
        self._flush()
        go_on = bool(self.task.kinds)
        key = None if go_on else _write_marker(self.task, self.write, self.clock())
        return SweepResult(
            task=self.task,
            items=self.items,
            interface_types=self.interface_types,
            complete=tuple(self.task.finished),
            failures=self.task.failures,
            problems=tuple(self.problems),
            objects=self.objects_written,
            rows=self.rows_written,
            calls=dict(self.aws.calls),
            continuation=self.task if go_on else None,
            marker_key=key,
        )


def interface_type_of(row: Row) -> str:
    """What an interface is, from its row alone."""
    from flowlake.lake.interface_kinds import classify

    return classify(
        row.get("description"),
        row.get("interface_type"),
        row.get("requester_id"),
        row.get("instance_owner_id"),
        row.get("instance_id"),
        row.get("tags"),
        row.get("account_id"),
        row.get("region"),
        row.get("requester_managed"),
    ).type


def _failure(kind: str, error: Exception) -> Failure:
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return Failure(kind, str(code or type(error).__name__), " ".join(str(error).split())[:_MESSAGE_CHARACTERS])


def _write_marker(task: Task, write: Write, finished_at: datetime) -> str:
    marker = {
        "sweep_id": task.sweep_id,
        "account_id": task.account_id,
        "region": task.region,
        "started_at": task.started_at,
        "finished_at": as_text(finished_at),
        "kinds": {kind: vars(done) for kind, done in task.finished.items()},
        "failures": [vars(failure) for failure in task.failures],
        "not_offered": list(task.not_offered),
        "objects": list(task.objects),
    }
    started = from_text(task.started_at).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    key = places.sweep_marker(task.account_id, task.region, started, task.sweep_id)
    write(key, json.dumps(marker, sort_keys=True, indent=1).encode())
    return key
