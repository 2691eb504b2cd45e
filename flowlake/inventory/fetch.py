"""What events lack is fetched: once for many events, by the ids that they name. Effects: calls to AWS.

A fetched row holds from the moment of the answer, never from the event's time. An id that is not found proves absence
at that moment and nothing else; where an event is younger than SETTLED, even that is not believed (EC2's answers are
eventually consistent) and the events that asked are to be handled again.

How each kind is asked for is data, in LOOKUPS: mostly a filter that takes up to 200 ids a call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from flowlake.inventory.accounts import AccountUnreachable
from flowlake.inventory.aws import Aws, Client
from flowlake.inventory.calls import EVERY, Want
from flowlake.inventory.describe import Incomplete, complete, describe, is_gone, resolve_endpoints
from flowlake.inventory.rows import BadItem, Item, Seen, rows_of
from flowlake.lake.arns import entity_id_of, make_arn
from flowlake.lake.observations import ABSENT, EVENT, Row

SETTLED = timedelta(seconds=60)

Clock = Callable[[], datetime]


Accounts = Callable[[str, str], Aws]
"""From an account and region to AWS as that account sees it there: roles are assumed behind it, clients kept."""


@dataclass(frozen=True)
class Asker:
    """An event that wants something, by its id and its own time."""

    event_id: str
    occurred_at: datetime


@dataclass(frozen=True)
class Failure:
    """Why a want was not answered. Transient: the same question may be answered later."""

    reason: str
    why: str
    transient: bool


@dataclass
class Fetched:
    """rows: what was answered. failures: what was not. calls: how many API calls, by operation."""

    rows: list[Row] = field(default_factory=list)
    failures: dict[Want, Failure] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Lookup:
    """How entities of a kind are asked for by what a want holds.

    argument: the filter's name, or the parameter's where takes is 'list' or 'one'. answers: the item's fields that may
    hold what was asked for. always: parameters beside it. entity: a want's entity id, where it can be told.
    """

    service: str
    operation: str
    result: str
    argument: str
    answers: tuple[str, ...]
    takes: str = "filter"
    at_once: int = 200
    filters: str = "Filters"
    always: Mapping[str, Any] = field(default_factory=dict)
    entity: Callable[[Want], str | None] = lambda want: want.value


def _named(service: str, resource: str) -> Callable[[Want], str]:
    """The ARN of what is asked for by name (or by its ARN)."""

    def entity(want: Want) -> str:
        if want.value.startswith("arn:"):
            return entity_id_of(want.value)
        return make_arn(service, want.region, want.account_id, resource + want.value)

    return entity


def _ec2(operation: str, result: str, argument: str, answers: str, **other: Any) -> Lookup:
    return Lookup("ec2", operation, result, argument, (answers,), **other)


def _nobody_knows(want: Want) -> None:
    """The entity id of what isn't found can't be told from what was asked: nothing is absent by name."""


_MANAGED = {"IncludeManagedResources": True}
"""What AWS services manage in an account may be hidden in it: not found would then be no absence."""

LOOKUPS: dict[tuple[str, str], Lookup] = {
    # kind, what it is asked for by -> how
    ("interface", "id"): _ec2(
        "describe_network_interfaces",
        "NetworkInterfaces[]",
        "network-interface-id",
        "NetworkInterfaceId",
        always=_MANAGED,
    ),
    ("interface", "instance"): _ec2(
        "describe_network_interfaces",
        "NetworkInterfaces[]",
        "attachment.instance-id",
        "Attachment.InstanceId",
        always=_MANAGED,
        entity=_nobody_knows,
    ),
    ("instance", "id"): _ec2(
        "describe_instances", "Reservations[].Instances[]", "instance-id", "InstanceId", always=_MANAGED
    ),
    ("vpc", "id"): _ec2("describe_vpcs", "Vpcs[]", "vpc-id", "VpcId"),
    ("subnet", "id"): _ec2("describe_subnets", "Subnets[]", "subnet-id", "SubnetId"),
    ("route_table", "id"): _ec2("describe_route_tables", "RouteTables[]", "route-table-id", "RouteTableId"),
    ("internet_gateway", "id"): _ec2(
        "describe_internet_gateways", "InternetGateways[]", "internet-gateway-id", "InternetGatewayId"
    ),
    ("vpn_gateway", "id"): _ec2("describe_vpn_gateways", "VpnGateways[]", "vpn-gateway-id", "VpnGatewayId"),
    ("nat_gateway", "id"): _ec2(
        "describe_nat_gateways", "NatGateways[]", "nat-gateway-id", "NatGatewayId", filters="Filter"
    ),
    ("vpc_endpoint", "id"): _ec2("describe_vpc_endpoints", "VpcEndpoints[]", "vpc-endpoint-id", "VpcEndpointId"),
    ("peering", "id"): _ec2(
        "describe_vpc_peering_connections",
        "VpcPeeringConnections[]",
        "vpc-peering-connection-id",
        "VpcPeeringConnectionId",
    ),
    ("transit_gateway_attachment", "id"): _ec2(
        "describe_transit_gateway_attachments",
        "TransitGatewayAttachments[]",
        "transit-gateway-attachment-id",
        "TransitGatewayAttachmentId",
    ),
    ("transit_gateway_route_table", "id"): _ec2(
        "describe_transit_gateway_route_tables",
        "TransitGatewayRouteTables[]",
        "transit-gateway-route-table-id",
        "TransitGatewayRouteTableId",
    ),
    ("prefix_list", "id"): _ec2("describe_managed_prefix_lists", "PrefixLists[]", "prefix-list-id", "PrefixListId"),
    ("security_group", "id"): _ec2("describe_security_groups", "SecurityGroups[]", "group-id", "GroupId"),
    ("flow_log", "id"): _ec2("describe_flow_logs", "FlowLogs[]", "FlowLogIds", "FlowLogId", takes="list"),
    ("elastic_ip", "id"): _ec2("describe_addresses", "Addresses[]", "allocation-id", "AllocationId"),
    ("load_balancer", "id"): Lookup(
        "elbv2", "describe_load_balancers", "LoadBalancers[]", "LoadBalancerArns", ("LoadBalancerArn",),
        takes="list", at_once=20,
    ),
    ("load_balancer", "name"): Lookup(
        "elb", "describe_load_balancers", "LoadBalancerDescriptions[]", "LoadBalancerNames", ("LoadBalancerName",),
        takes="list", at_once=20, entity=_named("elasticloadbalancing", "loadbalancer/"),
    ),
    ("target_group", "id"): Lookup(
        "elbv2", "describe_target_groups", "TargetGroups[]", "TargetGroupArns", ("TargetGroupArn",),
        takes="list", at_once=20,
    ),
    ("db_instance", "id"): Lookup(
        "rds", "describe_db_instances", "DBInstances[]", "db-instance-id", ("DBInstanceIdentifier", "DBInstanceArn"),
        entity=_named("rds", "db:"),
    ),
    ("db_cluster", "id"): Lookup(
        "rds", "describe_db_clusters", "DBClusters[]", "db-cluster-id", ("DBClusterIdentifier", "DBClusterArn"),
        entity=_named("rds", "cluster:"),
    ),
    # A proxy's ARN does not hold its name: which one is gone, its name does not tell.
    ("db_proxy", "id"): Lookup(
        "rds", "describe_db_proxies", "DBProxies[]", "DBProxyName", ("DBProxyName",),
        takes="one", entity=_nobody_knows,
    ),
    ("cache", "id"): Lookup(
        "elasticache", "describe_cache_clusters", "CacheClusters[]", "CacheClusterId", ("CacheClusterId",),
        takes="one", always={"ShowCacheNodeInfo": True}, entity=_named("elasticache", "cluster:"),
    ),
    ("function", "id"): Lookup(
        "lambda", "get_function_configuration", "", "FunctionName", ("FunctionName", "FunctionArn"),
        takes="one", entity=_named("lambda", "function:"),
    ),
    ("file_system", "id"): Lookup(
        "efs", "describe_file_systems", "FileSystems[]", "FileSystemId", ("FileSystemId",),
        takes="one",
    ),
    ("ecs_service", "id"): Lookup(
        "ecs", "describe_services", "services[]", "services", ("serviceArn",), takes="services", at_once=10,
        always={"include": ["TAGS"]},
    ),
    ("eks_cluster", "id"): Lookup(
        "eks", "describe_cluster", "cluster", "name", ("name",),
        takes="one", entity=_named("eks", "cluster/"),
    ),
    ("search_domain", "id"): Lookup(
        "opensearch", "describe_domains", "DomainStatusList[]", "DomainNames", ("DomainName",),
        takes="list", at_once=5, entity=_named("es", "domain/"),
    ),
    ("warehouse", "id"): Lookup(
        "redshift", "describe_clusters", "Clusters[]", "ClusterIdentifier", ("ClusterIdentifier",),
        takes="one", entity=_named("redshift", "cluster:"),
    ),
    ("kafka_cluster", "id"): Lookup(
        "kafka", "describe_cluster_v2", "ClusterInfo", "ClusterArn", ("ClusterArn",),
        takes="one",
    ),
    # Tags of what is asked for; not found means none.
    ("tags", "id"): Lookup("ec2", "describe_tags", "Tags[]", "resource-id", ("ResourceId",)),
    ("tags", "arn"): Lookup(
        "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList[]", "ResourceARNList", ("ResourceARN",),
        takes="list", at_once=100,
    ),
}  # fmt: skip

PERMISSIONS = {
    "ec2:DescribeTags": "What tags are left after a DeleteTags that a value decided.",
    "lambda:GetFunctionConfiguration": "A function that was made or changed, by its name.",
    "kafka:DescribeClusterV2": "A streaming cluster that was made or changed, by its ARN.",
}
"""IAM actions (and why) that events need beside those of the sweep, which are in permissions.json."""

_NAMES_INTERFACES = ("nat_gateway", "vpc_endpoint", "file_system")
"""Kinds whose rows name interfaces that their owner's events may not: those are fetched too."""


def fetch(
    wants: Mapping[Want, Sequence[Asker]],
    accounts: Accounts,
    clock: Clock,
    *,
    keep_tags: frozenset[str] | None = None,
    deadline: datetime | None = None,
) -> Fetched:
    """Answers to all wants, in as few calls as their kinds allow.

    What one account or service does not answer fails its own wants only. After the deadline nothing more is asked: the
    wants left are transient failures. recorded_at of the rows is the moment of their answer; the writer sets its own.
    """
    fetched = Fetched()
    _ask_all(wants, accounts, clock, keep_tags, deadline, fetched)
    named = _interfaces_named(wants, fetched)
    if named:
        _ask_all(named, accounts, clock, keep_tags, deadline, fetched)
        fetched.failures = {want: failure for want, failure in fetched.failures.items() if want in wants}
    return fetched


def _interfaces_named(wants: Mapping[Want, Sequence[Asker]], fetched: Fetched) -> dict[Want, list[Asker]]:
    """Wants of the interfaces that fetched entities name, with those entities' askers; without what was asked for."""
    askers = {want: list(asking) for want, asking in wants.items() if want.kind in _NAMES_INTERFACES}
    named: dict[Want, list[Asker]] = {}
    for row in fetched.rows:
        entity = Want(row["account_id"], row.get("region", ""), row["kind"], row["entity_id"])
        asking = askers.get(entity, []) + askers.get(replace(entity, value=EVERY), [])
        for interface in row.get("interface_ids", ()) if asking else ():
            want = Want(row["account_id"], row["region"], "interface", interface)
            if asking and want not in wants:
                named.setdefault(want, []).extend(asking)
    return named


def _ask_all(
    wants: Mapping[Want, Sequence[Asker]],
    accounts: Accounts,
    clock: Clock,
    keep_tags: frozenset[str] | None,
    deadline: datetime | None,
    fetched: Fetched,
) -> None:
    for (account_id, region, kind, how), group in groupby(sorted(wants, key=_together), key=_together):
        asked = list(group)
        if any(want.value == EVERY for want in asked):
            chunks, every = [asked], True
        else:
            lookup = LOOKUPS[kind, how]
            chunks, every = list(_chunks(asked, 1 if lookup.takes == "one" else lookup.at_once)), False
        for chunk in chunks:
            if deadline and clock() >= deadline:
                _fail(chunk, Failure("out_of_time", "the batch ran out of time", transient=True), fetched)
                continue
            try:
                with _counting(accounts(account_id, region), fetched.calls) as aws:
                    answer = _all(kind, aws, clock) if every else _some(kind, LOOKUPS[kind, how], aws, chunk, clock)
            except Exception as error:
                # One account, service or answer that is not as it should be must not stop the others.
                _fail(chunk, failure_of(error), fetched)
                continue
            _take(answer, chunk, wants, keep_tags, fetched)


@contextmanager
def _counting(aws: Aws, calls: Counter[str]) -> Iterator[Aws]:
    """Adds to calls what is asked of AWS meanwhile, whether it answers or not."""
    before = Counter(aws.calls)
    try:
        yield aws
    finally:
        calls.update(aws.calls - before)


@dataclass(frozen=True)
class _Answer:
    """What AWS answered to a chunk of wants, by which API, and when. lookup is None where all of a kind were listed."""

    kind: str
    api: str
    items: list[Item]
    at: datetime
    lookup: Lookup | None = None


def _all(kind: str, aws: Aws, clock: Clock) -> _Answer:
    """All entities of a kind, as the sweep lists them."""
    pages = list(describe(kind, aws))
    api = pages[0].api if pages else kind
    return _Answer(kind, api, [item for page in pages for item in page.items], clock())


def _some(kind: str, lookup: Lookup, aws: Aws, chunk: list[Want], clock: Clock) -> _Answer:
    """The entities that a chunk of wants names."""
    client = aws.client(lookup.service)
    items = _items(client, lookup, chunk)
    answered_at = clock()
    complete(kind, items, client)
    resolve_endpoints(kind, items, aws)
    return _Answer(kind, client.name(lookup.operation).split(":", 1)[1], items, answered_at, lookup)


def _together(want: Want) -> tuple[str, str, str, str]:
    """Wants that one call can answer."""
    how = want.by
    if want.kind == "tags" and want.value.startswith("arn:"):
        how = "arn"
    if want.kind == "load_balancer" and not want.value.startswith("arn:"):
        how = "name"
    return want.account_id, want.region, want.kind, how


def _chunks(wants: list[Want], at_once: int) -> Iterator[list[Want]]:
    """Lists of at most at_once wants, in the order of their values. Wants for ECS services stay within one cluster."""
    in_order = sorted(wants, key=lambda want: want.value)
    for _, cluster in groupby(in_order, key=_cluster):
        members = list(cluster)
        yield from (members[i : i + at_once] for i in range(0, len(members), at_once))


def _cluster(want: Want) -> str:
    """The cluster that an ECS service's ARN names (default, in ARNs of the old form); '' for other kinds."""
    if want.kind != "ecs_service":
        return ""
    parts = want.value.split("/")
    return parts[1] if len(parts) > 2 else "default"


def _items(client: Client, lookup: Lookup, chunk: list[Want]) -> list[Item]:
    """What AWS answers for a chunk. A call that fails because one id isn't there is asked again in halves."""
    from botocore.exceptions import ClientError

    try:
        return [
            item
            for page in client.pages(lookup.operation, **_arguments(lookup, chunk))
            for item in _at(page, lookup.result)
        ]
    except ClientError as error:
        if not is_gone(error):
            raise
        if len(chunk) == 1:
            return []
        half = len(chunk) // 2
        return _items(client, lookup, chunk[:half]) + _items(client, lookup, chunk[half:])


def _arguments(lookup: Lookup, chunk: list[Want]) -> dict[str, Any]:
    arguments = dict(lookup.always)
    values = [want.value for want in chunk]
    if lookup.takes == "filter":
        arguments[lookup.filters] = [{"Name": lookup.argument, "Values": values}]
    elif lookup.takes == "services":
        arguments |= {"services": values, "cluster": _cluster(chunk[0])}
    else:
        arguments[lookup.argument] = values[0] if lookup.takes == "one" else values
    return arguments


def _at(page: dict[str, Any], path: str) -> list[Item]:
    """The items of a page: 'Reservations[].Instances[]', 'cluster' (one item), '' (the page itself is the item)."""
    items: list[Any] = [page]
    for step in path.split(".") if path else ():
        name = step.removesuffix("[]")
        found = [item[name] for item in items if item.get(name) is not None]
        items = [member for members in found for member in members] if step.endswith("[]") else found
    return items


def _take(
    answer: _Answer,
    chunk: list[Want],
    wants: Mapping[Want, Sequence[Asker]],
    keep_tags: frozenset[str] | None,
    fetched: Fetched,
) -> None:
    """Rows of what was answered, absence of what was not."""
    kind, lookup = answer.kind, answer.lookup
    asked = {want.value: want for want in chunk}
    answered: set[str] = set()

    def seen(asking: Iterable[Want]) -> Seen:
        # Many events may have asked: the row names one of them, the same whatever their order.
        event_id = min(asker.event_id for want in asking for asker in wants[want])
        return Seen(
            observed_at=answer.at,
            recorded_at=answer.at,
            source=EVENT,
            source_name=answer.api,
            source_id=event_id,
            account_id=chunk[0].account_id,
            region=chunk[0].region,
            keep_tags=keep_tags,
        )

    if kind == "tags":
        fetched.rows += _tag_rows(chunk, answer.items, seen)
        return
    for item in answer.items:
        values = [value for path in (lookup.answers if lookup else ()) for value in _texts_at(item, path)]
        asking = [asked[value] for value in values if value in asked] or chunk
        answered.update(want.value for want in asking)
        try:
            fetched.rows += rows_of(kind, item, seen(asking))
        except BadItem as error:
            _fail(asking, Failure("unreadable_answer", str(error), transient=False), fetched)
    for want in chunk if lookup else ():
        entity = lookup.entity(want) if lookup and want.value not in answered else None
        if entity is None:
            continue
        if answer.at - max(asker.occurred_at for asker in wants[want]) < SETTLED:
            _fail([want], Failure("not_there_yet", f"{want.value} is not found, the event is young", True), fetched)
            continue
        arn = entity if entity.startswith("arn:") else None
        fetched.rows.append(seen([want]).row(kind, entity, ABSENT, arn=arn))


def _texts_at(item: Item, path: str) -> list[str]:
    found: list[Any] = _at(item, path)
    return [value for value in found if isinstance(value, str)]


def _tag_rows(chunk: list[Want], items: list[Item], seen: Callable[[Iterable[Want]], Seen]) -> list[Row]:
    """One row of kind tags for each thing asked for; what has no tags is not in the answer."""
    tags: dict[str, list[dict[str, str]]] = {want.value: [] for want in chunk}
    for item in items:
        if "ResourceARN" in item:
            tags.setdefault(item["ResourceARN"], []).extend(item.get("Tags") or [])
        else:
            tags.setdefault(item["ResourceId"], []).append({"Key": item["Key"], "Value": item.get("Value") or ""})
    rows: list[Row] = []
    for want in chunk:
        by = seen([want])
        if want.value.startswith("arn:"):
            rows += rows_of("tags", {"ResourceARN": want.value, "Tags": tags[want.value]}, by)
        else:
            rows.append(by.row("tags", want.value, tags=by.tags(tags[want.value])))
    return rows


# ---- what a failed call means ------------------------------------------------------------------------------------

_DENIED = re.compile(
    r"^(AccessDenied.*|Unauthorized.*|AuthFailure|AuthorizationError.*|NotAuthorized.*|OptInRequired|"
    r"SubscriptionRequired.*|InvalidClientTokenId|UnrecognizedClient.*|SignatureDoesNotMatch)$"
)
_TRANSIENT = re.compile(
    r"^(.*Thrott.*|TooManyRequests.*|RequestLimitExceeded|SlowDown|PriorRequestNotComplete|RequestTimeout.*|"
    r"Internal.*|ServiceUnavailable.*|Unavailable|ServerException|ExpiredToken.*|RequestExpired)$"
)


def failure_of(error: BaseException | None) -> Failure:
    """What an error means for those who asked: whether the same question may be answered later."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    why = f"{type(error).__name__}: {error}"
    if isinstance(error, AccountUnreachable) and error.__cause__ is not None:
        return failure_of(error.__cause__)
    if isinstance(error, Incomplete):
        return Failure("incomplete_answer", why, transient=False)
    if isinstance(error, BotoCoreError) and not isinstance(error, ParamValidationError):
        return Failure("no_answer", why, transient=True)
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = (error.response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0
        if _DENIED.match(code):
            return Failure("fetch_denied", why, transient=False)
        if _TRANSIENT.match(code) or status >= 500 or status == 429:
            return Failure("no_answer", why, transient=True)
    return Failure("fetch_failed", why, transient=False)


def _fail(wants: Iterable[Want], failure: Failure, fetched: Fetched) -> None:
    for want in wants:
        fetched.failures[want] = failure
