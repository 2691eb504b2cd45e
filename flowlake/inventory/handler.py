"""The two Lambdas of one zip. Effects at their edge: environment, clock, clients, queue.

    handler.events   EventBridge events, through a queue in batches (ReportBatchItemFailures) or directly
    handler.sweep    on a schedule it plans: one message for each account and region into its own queue;
                     by such a message it sweeps, and sends itself a continuation before its time is up
    handler.plan     the planning alone, for those who want it in a Lambda of its own

Events and sweeps are Lambdas of their own, so that a sweep never keeps events waiting. settings.py lists the
environment variables.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from flowlake.inventory import batch, ranges
from flowlake.inventory.accounts import (
    ACCOUNT_PLACE,
    AccountUnreachable,
    Member,
    members_of_organisation,
    organisation_of,
    own_account_id,
    regions_of,
    session_for,
)
from flowlake.inventory.aws import GLOBAL, Aws, resolve_host
from flowlake.inventory.batch import Message, Outcome
from flowlake.inventory.describe import ORGANISATION_KINDS
from flowlake.inventory.settings import Settings, settings_from
from flowlake.inventory.sweep import SweepResult, Task, new_task, report_unreachable
from flowlake.inventory.sweep import sweep as sweep_account
from flowlake.lake.arns import partition_of
from flowlake.lake.store import ObjectStore, StoreError, open_store

logger = Logger(service="flowlake-inventory")
metrics = Metrics(namespace="flowlake", service="inventory")

_CREDENTIALS_LAST_SECONDS = 45 * 60
_EVENTS_NEED = timedelta(seconds=10)
"""Time that a batch of events keeps for writing what it has."""
_SWEEPS_NEED = timedelta(seconds=90)
"""Time that a sweep keeps for the page that it is waiting for, for writing and for its continuation."""
_AT_ONCE = 10


class HandleAgain(Exception):
    """A message that is to come again: AWS or the store did not answer."""


# ---- events ------------------------------------------------------------------------------------------------------


def events(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """EventBridge events: a batch from a queue, or one directly. Answers which messages must come again."""
    if "Records" not in event:
        outcome = _handle([Message("direct", event)], context)
        if outcome.failed:
            raise HandleAgain(outcome.failed["direct"])
        return {}
    outcome = _handle([Message(record["messageId"], record["body"]) for record in event["Records"]], context)

    def report(record: Any) -> None:
        if record.message_id in outcome.failed:
            raise HandleAgain(outcome.failed[record.message_id])

    return _partial(event, report, context)


def _handle(messages: list[Message], context: Any) -> Outcome:
    settings = _settings(needs_queue=False)
    store = _store(settings.lake)
    try:
        outcome = batch.handle(
            messages,
            store,
            _accounts(settings, context),
            _now,
            refresh_ranges=lambda: _refresh_ranges(store),
            keep_tags=settings.tags,
            deadline=_deadline(context, _EVENTS_NEED),
        )
    except StoreError as error:
        logger.exception("the lake can't be written to")
        outcome = Outcome(failed={message.id: f"store: {error}" for message in messages})
    _tell(outcome, len(messages))
    return outcome


def _tell(outcome: Outcome, messages: int) -> None:
    """One log line a batch, and its counts as metrics."""
    logger.info(
        "batch handled",
        extra={
            "messages": messages,
            "observations": outcome.observations,
            "ignored": dict(outcome.ignored),
            "rejected": dict(outcome.rejected),
            "failed": len(outcome.failed),
            "first_failure": next(iter(outcome.failed.values()), None),
            "api_calls": dict(outcome.calls),
            "objects": outcome.objects,
        },
    )
    metrics.add_metric("Observations", MetricUnit.Count, outcome.observations)
    metrics.add_metric("EventsIgnored", MetricUnit.Count, outcome.ignored.total())
    metrics.add_metric("EventsRejected", MetricUnit.Count, outcome.rejected.total())
    metrics.add_metric("EventsFailed", MetricUnit.Count, len(outcome.failed))
    metrics.add_metric("ApiCalls", MetricUnit.Count, outcome.calls.total())
    metrics.flush_metrics()
    for reason, count in sorted(outcome.rejected.items()):
        with single_metric("EventsRejectedFor", MetricUnit.Count, count, namespace="flowlake") as metric:
            metric.add_dimension("service", "inventory")
            metric.add_dimension("reason", reason)


def _refresh_ranges(store: ObjectStore) -> None:
    change = ranges.keep(store, ranges.fetch())
    logger.info("address ranges fetched", extra=vars(change))


# ---- sweeps ------------------------------------------------------------------------------------------------------


def plan(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Sends one task for each account and region, and the organisation's accounts as one more. Answers how many."""
    settings = _settings(needs_queue=True)
    accounts = _accounts(settings, context)
    started_at = _now()
    tasks = [
        new_task(account_id, region, started_at, kinds, settings.tags)
        for account_id, region, kinds in _planned(settings, accounts, context)
    ]
    _send(settings, tasks)
    try:
        _refresh_ranges(_store(settings.lake))  # a lost notice must not leave them old
    except (OSError, ValueError, StoreError) as error:
        logger.warning("address ranges could not be fetched", extra={"why": str(error)})
    logger.info("sweeps planned", extra={"tasks": len(tasks), "accounts": len({task.account_id for task in tasks})})
    metrics.add_metric("SweepsPlanned", MetricUnit.Count, len(tasks))
    metrics.flush_metrics()
    return {"tasks": len(tasks)}


def _planned(settings: Settings, accounts: Accounts, context: Any) -> Iterator[tuple[str, str, tuple[str, ...] | None]]:
    """(account, region, kinds) of every sweep; kinds None for all.

    An account whose regions can't be told is swept in the Lambda's own region: that sweep then reports why.
    """
    if settings.whole_organisation:
        yield accounts.own_account_id, GLOBAL, ORGANISATION_KINDS
    for account_id in accounts.ids():
        regions = settings.regions
        if regions is None:
            try:
                regions = tuple(regions_of(accounts(account_id, accounts.home)))
            except Exception as error:
                logger.warning("regions can't be told", extra={"account_id": account_id, "why": str(error)})
                regions = (accounts.home,)
        for region in regions:
            yield account_id, region, None


def sweep(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Messages of the sweeps' queue, each a task: answers which must come again. Whatever else (a schedule) plans."""
    if "Records" not in event:
        return plan(event, context)
    return _partial(event, lambda record: _sweep_one(Task.from_json(record.body), context), context)


def _sweep_one(task: Task, context: Any) -> None:
    settings = _settings(needs_queue=True)
    store = _store(settings.lake)
    deadline = _deadline(context, _SWEEPS_NEED)
    if deadline is not None and _now() >= deadline:
        raise HandleAgain("too little time is left to begin")
    try:
        aws = _accounts(settings, context).fresh(task.account_id, task.region)
    except AccountUnreachable as error:
        result = report_unreachable(task, error, store.put, _now)
    else:
        result = sweep_account(task, aws, store.put, _now, deadline)
    if result.continuation:
        _send(settings, [result.continuation])
    _tell_sweep(result)


def _tell_sweep(result: SweepResult) -> None:
    task = result.task
    logger.info(
        "swept" if result.marker_key else "swept in part",
        extra={
            "account_id": task.account_id,
            "region": task.region,
            "sweep_id": task.sweep_id,
            "items": result.items,
            "rows": result.rows,
            "objects": result.objects,
            "api_calls": result.calls,
            "failures": [vars(failure) for failure in result.failures],
        },
    )
    metrics.add_metric("SweepRows", MetricUnit.Count, result.rows)
    metrics.add_metric("SweepFailures", MetricUnit.Count, len(result.failures) if result.marker_key else 0)
    metrics.add_metric("SweepsFinished", MetricUnit.Count, 1 if result.marker_key else 0)
    metrics.add_metric("UnclassifiedInterfaces", MetricUnit.Count, result.interface_types.get("unclassified", 0))
    metrics.add_metric("ApiCalls", MetricUnit.Count, sum(result.calls.values()))
    metrics.flush_metrics()


def _send(settings: Settings, tasks: list[Task]) -> None:
    """Sends tasks to the sweeps' queue. Raises HandleAgain where the queue did not take all of them."""
    queue = _session().client("sqs")
    for i in range(0, len(tasks), _AT_ONCE):
        entries = [{"Id": str(n), "MessageBody": task.to_json()} for n, task in enumerate(tasks[i : i + _AT_ONCE])]
        answer = queue.send_message_batch(QueueUrl=settings.sweep_queue_url, Entries=entries)
        if answer.get("Failed"):
            raise HandleAgain(
                f"the queue did not take {len(answer['Failed'])} tasks: {answer['Failed'][0].get('Message')}"
            )


# ---- whose AWS ---------------------------------------------------------------------------------------------------


class Accounts:
    """From an account and region to AWS as that account sees it there. Credentials are kept for 45 minutes.

    own_account_id and home are the Lambda's own account and region.
    """

    def __init__(
        self, settings: Settings, session: Any, own: str, home: str, clock: Callable[[], float] = time.monotonic
    ):
        self.settings, self.session, self.own_account_id, self.home = settings, session, own, home
        self._clock = clock
        self._sessions: dict[str, tuple[float, Any]] = {}
        self._aws: dict[tuple[str, str], tuple[Any, Aws]] = {}

    def __call__(self, account_id: str, region: str) -> Aws:
        """Raises AccountUnreachable."""
        session = self._session(account_id)
        kept = self._aws.get((account_id, region))
        if kept is None or kept[0] is not session:
            kept = session, Aws(session, account_id, region, resolve_host)
            self._aws[account_id, region] = kept
        return kept[1]

    def fresh(self, account_id: str, region: str) -> Aws:
        """As above, with credentials that last as long as a Lambda may, and with calls counted from zero."""
        session = session_for(self._member(account_id), self.session)
        return Aws(session, account_id, region, resolve_host)

    def ids(self) -> list[str]:
        """Accounts whose inventory is taken: the organisation's, those of the list, or the own one alone."""
        if not self.settings.whole_organisation:
            return list(self.settings.accounts) or [self.own_account_id]
        organisation = organisation_of(self.session, self.own_account_id)
        role, external_id = self._role_arn(ACCOUNT_PLACE, self.home), self.settings.external_id
        members = members_of_organisation(organisation, role, external_id, self.own_account_id)
        return sorted(member.account_id for member in members)

    def _session(self, account_id: str) -> Any:
        made_at, session = self._sessions.get(account_id, (0.0, None))
        if session is None or self._clock() - made_at > _CREDENTIALS_LAST_SECONDS:
            session = session_for(self._member(account_id), self.session)
            self._sessions[account_id] = self._clock(), session
        return session

    def _member(self, account_id: str) -> Member:
        if account_id == self.own_account_id:
            return Member(account_id)
        if self.settings.role_name is None:
            raise AccountUnreachable(f"account {account_id} is not the Lambda's own, and FLOWLAKE_ROLE_NAME is not set")
        return Member(account_id, self._role_arn(account_id, self.home), self.settings.external_id)

    def _role_arn(self, account_id: str, region: str) -> str:
        return f"arn:{partition_of(region)}:iam::{account_id}:role/{self.settings.role_name}"


# ---- what is made once and kept ----------------------------------------------------------------------------------


@cache
def _settings(needs_queue: bool) -> Settings:
    return settings_from(os.environ, needs_queue)


@cache
def _store(lake: str) -> ObjectStore:
    return open_store(lake)


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()


@cache
def _accounts_of(settings: Settings, function_arn: str) -> Accounts:
    session = _session()
    parts = function_arn.split(":")
    if len(parts) > 4 and parts[4].isdigit():
        return Accounts(settings, session, own=parts[4], home=parts[3])
    return Accounts(settings, session, own_account_id(session), session.region_name or "us-east-1")


def _accounts(settings: Settings, context: Any) -> Accounts:
    return _accounts_of(settings, str(getattr(context, "invoked_function_arn", "")))


def _now() -> datetime:
    return datetime.now(UTC)


def _deadline(context: Any, kept: timedelta) -> datetime | None:
    """When to stop asking, so that what is left of the Lambda's time is enough to write; None outside of Lambda."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return None if remaining is None else _now() + timedelta(milliseconds=remaining()) - kept


def _partial(event: dict[str, Any], handle_record: Callable[[Any], None], context: Any) -> dict[str, Any]:
    """Powertools' partial batch response: the messages whose handling raised must come again."""
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    answer = process_partial_response(
        event=event,
        record_handler=handle_record,
        processor=processor,
        context=context,
    )
    return dict(answer)
