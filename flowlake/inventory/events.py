"""What an event says: rows at the event's own time, and wants (what it names and lacks, to be fetched). Pure.

    read(envelope, recorded_at)  ->  Reading(rows, wants), or raises Ignored or Rejected

The envelope is EventBridge's. What is believed of it: only sources of AWS itself, and only what the envelope's account
owns. The rules for API calls are in call_rules.py; docs/events.md is the same table for readers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from flowlake.inventory import cloudtrail
from flowlake.inventory.call_rules import INSTANCE_STATES, RULES, instance_row
from flowlake.inventory.calls import Call, Ignored, Reading, Rejected, Rule, Want, is_id, owned, owned_arn
from flowlake.inventory.cloudtrail import Tree, Unreadable, listed, unwrapped
from flowlake.inventory.rows import BadItem, rows_of
from flowlake.inventory.seen import Seen
from flowlake.lake.arns import BadArn, entity_id_of
from flowlake.lake.observations import ABSENT, EVENT, BadObservation

# ---- the envelope ------------------------------------------------------------------------------------------------

_REQUIRED = ("source", "id", "account", "region", "time", "detail-type", "detail")
_AWS_ITSELF = re.compile(r"^aws\.[a-z0-9-]+\Z")
"""Nobody else can send events with such a source. (Partners send theirs as aws.partner/their.name/…)"""
_TWELVE_DIGITS = re.compile(r"^[0-9]{12}\Z")
_REGION = re.compile(r"^[a-z]{2,}(-[a-z]+)+-[0-9]+\Z")
_FUTURE = timedelta(hours=1)


def read(envelope: Tree, recorded_at: datetime, keep_tags: frozenset[str] | None = None) -> Reading:
    """One event, understood. Raises Ignored, Rejected."""
    if not isinstance(envelope, Mapping):
        raise Rejected("not_an_event", "the body is no JSON object")
    for field in _REQUIRED:
        if envelope.get(field) in (None, ""):
            raise Rejected(f"lacks_{field.replace('-', '_')}")
    if not _AWS_ITSELF.match(str(envelope["source"])):
        raise Rejected("not_from_aws", f"source {envelope['source']}")
    reader = _DETAIL_TYPES.get(str(envelope["detail-type"]))
    if reader is None:
        raise Ignored("not_needed")
    if not isinstance(envelope["detail"], Mapping):
        raise Rejected("bad_detail", "detail is no JSON object")
    try:
        return reader(envelope, _seen(envelope, recorded_at, keep_tags))
    except (Unreadable, BadItem, BadObservation) as error:
        raise Rejected("unreadable", str(error)) from error
    except BadArn as error:
        raise Rejected("bad_arn", str(error)) from error


def _seen(envelope: Mapping[str, Tree], recorded_at: datetime, keep_tags: frozenset[str] | None) -> Seen:
    """The event as a sight, its account, region and time checked."""
    account = envelope["account"]
    if not isinstance(account, str) or not account.isdigit() or not account.strip("0"):
        raise Rejected("placeholder_account", f"account {account}")
    if not _TWELVE_DIGITS.match(account):
        raise Rejected("account_not_twelve_digits", f"account {account}")
    region = str(envelope["region"])
    if not _REGION.match(region):
        raise Rejected("bad_region", f"region {region}")
    return Seen(
        observed_at=_time(envelope["time"], recorded_at),
        recorded_at=recorded_at,
        source=EVENT,
        source_name=str(envelope["detail-type"]),
        source_id=str(envelope["id"]),
        account_id=account,
        region=region,
        keep_tags=keep_tags,
    )


def _time(value: Tree, recorded_at: datetime) -> datetime:
    try:
        time = cloudtrail.moment(value, "time")
    except Unreadable as error:
        raise Rejected("bad_time", str(error)) from error
    if time > recorded_at + _FUTURE:
        raise Rejected("from_the_future", f"{value}, handled at {recorded_at.isoformat()}")
    return time


# ---- events that services send themselves ------------------------------------------------------------------------


def _tag_change(envelope: Mapping[str, Tree], seen: Seen) -> Reading:
    """Tag Change on Resource: the resource's whole tag set after the change.

    Keys taken away are in changed-tag-keys only; they are not in tags, so the set needs no delta. detail.version counts
    a resource's changes (it comes as 3, 3.0 and "3.0"); it orders changes of one second, as does version-timestamp.
    """
    detail = envelope["detail"]
    tags = detail.get("tags")
    if not isinstance(tags, Mapping) or not all(isinstance(value, str) for value in tags.values()):
        raise Rejected("lacks_tags", "detail.tags is no map of texts")
    version = None if detail.get("version") is None else cloudtrail.number(detail["version"], "detail.version")
    seen = replace(seen, observed_at=_to_the_millisecond(seen.observed_at, detail.get("version-timestamp")))
    rows = []
    for arn in listed(envelope.get("resources")):
        parsed = owned_arn(seen.account_id, cloudtrail.text(arn, "resources"))
        rows.append(
            seen.row(
                "tags",
                entity_id_of(str(parsed)),
                region=parsed.region or seen.region,
                arn=str(parsed),
                tags=seen.tags(tags),
                detail=None if version is None else {"version": version},
            )
        )
    if not rows:
        raise Rejected("lacks_resources")
    return Reading(seen.source_id, seen.source_name, seen.observed_at, tuple(rows), ())


def _to_the_millisecond(time: datetime, stamp: Tree) -> datetime:
    """The event's time, sharpened by a stamp in epoch milliseconds that lies in the same second."""
    if stamp in (None, ""):
        return time
    sharper = cloudtrail.moment(stamp, "detail.version-timestamp")
    return sharper if abs(sharper - time) < timedelta(seconds=1) else time


def _instance_state(envelope: Mapping[str, Tree], seen: Seen) -> Reading:
    """EC2 Instance State-change Notification.

    terminated is the proof that an instance is gone; before it (shutting-down) it may still hold its addresses.
    running and stopped change public addresses, which the event does not tell: its interfaces are fetched.
    """
    detail = envelope["detail"]
    instance, state = detail.get("instance-id"), detail.get("state")
    if not is_id("instance", instance):
        raise Rejected("bad_instance_id", f"instance-id {instance}")
    if not isinstance(state, str) or state not in INSTANCE_STATES:
        raise Rejected("unknown_state", f"state {state}")
    for arn in listed(envelope.get("resources")):
        owned_arn(seen.account_id, cloudtrail.text(arn, "resources"))
    wants = tuple(Want(seen.account_id, seen.region, kind, instance, by) for kind, by in INSTANCE_STATES[state])
    return Reading(seen.source_id, seen.source_name, seen.observed_at, (instance_row(instance, state, seen),), wants)


def _task_state(envelope: Mapping[str, Tree], seen: Seen) -> Reading:
    """ECS Task State Change: the task as DescribeTasks tells it (service schedulers' tasks are in no CloudTrail)."""
    detail = envelope["detail"]
    owned_arn(seen.account_id, cloudtrail.text(detail.get("taskArn"), "taskArn"))
    attachments = [
        {**attachment, "type": "ElasticNetworkInterface"} if attachment.get("type") == "eni" else attachment
        for attachment in listed(detail.get("attachments"))
        if isinstance(attachment, Mapping)
    ]
    rows = rows_of("ecs_task", {**detail, "attachments": attachments}, seen)
    return Reading(seen.source_id, seen.source_name, seen.observed_at, tuple(rows), ())


# ---- CloudTrail --------------------------------------------------------------------------------------------------


def _api_call(envelope: Mapping[str, Tree], seen: Seen) -> Reading:
    """AWS API Call via CloudTrail. The call's own time is eventTime, its id eventID: delivered twice, they stay."""
    detail = envelope["detail"]
    name, source = detail.get("eventName"), detail.get("eventSource")
    if not isinstance(name, str) or not isinstance(source, str):
        raise Rejected("lacks_event_name", f"eventName {name}, eventSource {source}")
    rule = RULES.get((source.removesuffix(".amazonaws.com"), _VERSIONED.sub("", name)))
    if rule is None:
        raise Ignored("not_needed")
    if detail.get("readOnly") is True:
        raise Ignored("read_only")
    request, response = unwrapped(detail.get("requestParameters")), unwrapped(detail.get("responseElements"))
    if _dry_run(detail, request):
        raise Ignored("dry_run")
    if detail.get("errorCode") or detail.get("errorMessage"):
        raise Ignored("failed_call")
    owned(seen.account_id, detail.get("recipientAccountId"), "the call")
    if request.get("omitted") is True or response.get("omitted") is True:
        raise Rejected("omitted_by_cloudtrail", "requestParameters or responseElements were too large")
    if response.get("_return") is False or response.get("return") is False:
        raise Ignored("failed_call")
    region = str(detail.get("awsRegion") or seen.region)
    if not _REGION.match(region):
        raise Rejected("bad_region", f"awsRegion {region}")
    seen = replace(
        seen,
        observed_at=_time(detail.get("eventTime") or envelope["time"], seen.recorded_at),
        source_name=name,
        source_id=str(detail.get("eventID") or seen.source_id),
        region=region,
    )
    return _apply(rule, Call(name, seen.account_id, region, request, response, seen))


_VERSIONED = re.compile(r"[0-9]{8}(v[0-9]+)?$")
"""Lambda's calls carry their API's date: CreateFunction20150331, UpdateFunctionConfiguration20150331v2."""


def _dry_run(detail: Mapping[str, Tree], request: Mapping[str, Tree]) -> bool:
    asked = next((request[key] for key in ("dryRun", "DryRun") if key in request), False)
    return "DryRunOperation" in str(detail.get("errorCode") or "") or str(asked).lower() == "true"


def _apply(rule: Rule, call: Call) -> Reading:
    rows = rule.says(call) if rule.says else []
    if rule.gone:
        kind, find = rule.gone
        rows += [
            call.seen.row(kind, entity, ABSENT, arn=entity if entity.startswith("arn:") else None)
            for entity in dict.fromkeys(find(call))
        ]
    wants = [call.want(kind, value) for kind, find in rule.fetch for value in find(call)]
    wants += rule.fetch_else(call) if rule.fetch_else else []
    if not rows and not wants:
        raise Rejected("names_nothing", f"{call.name} without the ids that it should have")
    return Reading(call.seen.source_id, call.name, call.seen.observed_at, tuple(rows), tuple(dict.fromkeys(wants)))


_DETAIL_TYPES: dict[str, Callable[[Mapping[str, Tree], Seen], Reading]] = {
    "AWS API Call via CloudTrail": _api_call,
    "Tag Change on Resource": _tag_change,
    "EC2 Instance State-change Notification": _instance_state,
    "ECS Task State Change": _task_state,
}
