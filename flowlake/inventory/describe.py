"""Asks AWS what there is: one kind of entity at a time, page by page. AWS calls and nothing else.

    for page in describe("interface", aws):
        rows = [row for item in page.items for row in rows_of("interface", item, seen)]

How a kind is listed is data (LISTINGS). Where a listing does not tell enough (a load balancer's listeners), complete()
adds what further calls say, under the names that rows_services.py lists. What is gone by the time it is asked for is
left out. A page's next is the token from which describe() goes on in another process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flowlake.inventory.aws import Aws
from flowlake.inventory.seen import Item
from flowlake.lake.arns import Arn, BadArn

_AT_ONCE_TASKS = 100
_AT_ONCE_SERVICES = 10
_AT_ONCE_DOMAINS = 5
_FEW_GROUPS = 3
_SHORT = 25
"""Entities a page where each takes a call of its own: a page is what a sweep can't stop within."""


class Incomplete(Exception):
    """AWS would not tell all of it; what was told is true, but nothing may be concluded from absence."""


class Asks(Protocol):
    """A client that gives the pages of an operation (inventory.aws.Client)."""

    def pages(self, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]: ...


@dataclass(frozen=True)
class Page:
    """Items of one answer. api: the operation's name. next: from where to go on after it, None where none can."""

    api: str
    items: list[Item]
    next: str | None


@dataclass(frozen=True)
class Listing:
    """How entities of a kind are listed: the operation, the field of its answer, its tokens' names, what it is asked.

    tokens is None where it has no pages. picks turns an answer's entries into items. optional: arguments left out where
    botocore is too old to know them.
    """

    service: str
    operation: str
    result: str
    tokens: tuple[str, str] | None = ("NextToken", "NextToken")
    arguments: Mapping[str, Any] = field(default_factory=dict)
    picks: Callable[[list[Any]], Iterable[Item]] = lambda entries: entries


_MANAGED = {"IncludeManagedResources": True}
"""Accounts may hide what AWS services manage in them. An inventory that takes absence for deletion has to see it."""


def _instances(reservations: list[Any]) -> Iterator[Item]:
    """Instances with the account of their reservation."""
    for reservation in reservations:
        for instance in reservation.get("Instances") or []:
            yield {"OwnerId": reservation.get("OwnerId"), **instance}


def _in_a_vpc(functions: list[Any]) -> Iterator[Item]:
    return (function for function in functions if (function.get("VpcConfig") or {}).get("SubnetIds"))


_TAGS_TOLD_BY_EC2 = {
    "elastic-ip", "instance", "internet-gateway", "natgateway", "network-interface", "prefix-list", "route-table",
    "security-group", "subnet", "transit-gateway-attachment", "transit-gateway-route-table", "vpc", "vpc-endpoint",
    "vpc-flow-log", "vpc-peering-connection", "vpn-gateway",
}  # fmt: skip
"""EC2 resources whose own descriptions tell their tags: fresher than the tagging API, which is left out for them."""


def _not_told_elsewhere(mappings: list[Any]) -> Iterator[Item]:
    for mapping in mappings:
        try:
            arn = Arn.parse(mapping["ResourceARN"])
        except BadArn:
            yield mapping
            continue
        if arn.service != "ec2" or arn.resource.split("/", 1)[0] not in _TAGS_TOLD_BY_EC2:
            yield mapping


def _ec2(operation: str, result: str, size: int, **arguments: Any) -> Listing:
    return Listing("ec2", operation, result, arguments={"MaxResults": size, **arguments})


def _marked(service: str, operation: str, result: str, size_name: str, size: int, answer: str = "Marker") -> Listing:
    """A listing of the older kind, with markers."""
    return Listing(service, operation, result, ("Marker", answer), {size_name: size})


_CAMEL = ("nextToken", "nextToken")

LISTINGS: dict[str, tuple[Listing, ...]] = {
    "interface": (_ec2("describe_network_interfaces", "NetworkInterfaces", 1000, **_MANAGED),),
    "instance": (
        Listing(
            "ec2", "describe_instances", "Reservations", arguments={"MaxResults": 1000, **_MANAGED}, picks=_instances
        ),
    ),
    "subnet": (_ec2("describe_subnets", "Subnets", 1000),),
    "vpc": (_ec2("describe_vpcs", "Vpcs", 1000),),
    "route_table": (_ec2("describe_route_tables", "RouteTables", 100),),
    "nat_gateway": (_ec2("describe_nat_gateways", "NatGateways", 1000),),
    "vpc_endpoint": (_ec2("describe_vpc_endpoints", "VpcEndpoints", 1000),),
    "peering": (_ec2("describe_vpc_peering_connections", "VpcPeeringConnections", 1000),),
    "transit_gateway_attachment": (
        _ec2("describe_transit_gateway_attachments", "TransitGatewayAttachments", 1000),
    ),
    "transit_gateway_route_table": (
        _ec2("describe_transit_gateway_route_tables", "TransitGatewayRouteTables", _SHORT),
    ),
    "internet_gateway": (_ec2("describe_internet_gateways", "InternetGateways", 1000),),
    "vpn_gateway": (Listing("ec2", "describe_vpn_gateways", "VpnGateways", None),),
    "prefix_list": (_ec2("describe_managed_prefix_lists", "PrefixLists", _SHORT),),
    "security_group": (_ec2("describe_security_groups", "SecurityGroups", 1000),),
    "flow_log": (_ec2("describe_flow_logs", "FlowLogs", 1000),),
    "elastic_ip": (Listing("ec2", "describe_addresses", "Addresses", None),),
    "load_balancer": (
        _marked("elbv2", "describe_load_balancers", "LoadBalancers", "PageSize", _SHORT, "NextMarker"),
        _marked("elb", "describe_load_balancers", "LoadBalancerDescriptions", "PageSize", 400, "NextMarker"),
    ),
    "target_group": (_marked("elbv2", "describe_target_groups", "TargetGroups", "PageSize", _SHORT, "NextMarker"),),
    "db_instance": (_marked("rds", "describe_db_instances", "DBInstances", "MaxRecords", 100),),
    "db_cluster": (_marked("rds", "describe_db_clusters", "DBClusters", "MaxRecords", 100),),
    "db_proxy": (_marked("rds", "describe_db_proxies", "DBProxies", "MaxRecords", _SHORT),),
    "cache": (
        Listing(
            "elasticache",
            "describe_cache_clusters",
            "CacheClusters",
            ("Marker", "Marker"),
            {"MaxRecords": 100, "ShowCacheNodeInfo": True},
        ),
        Listing("elasticache", "describe_serverless_caches", "ServerlessCaches", arguments={"MaxResults": 50}),
    ),
    "function": (
        Listing("lambda", "list_functions", "Functions", ("Marker", "NextMarker"), {"MaxItems": 50}, _in_a_vpc),
    ),
    "eks_cluster": (
        Listing(
            "eks",
            "list_clusters",
            "clusters",
            _CAMEL,
            {"maxResults": _SHORT},
            lambda names: ({"name": name} for name in names),
        ),
    ),
    "file_system": (_marked("efs", "describe_file_systems", "FileSystems", "MaxItems", _SHORT, "NextMarker"),),
    "search_domain": (Listing("opensearch", "list_domain_names", "DomainNames", None),),
    "warehouse": (_marked("redshift", "describe_clusters", "Clusters", "MaxRecords", 100),),
    "kafka_cluster": (
        Listing("kafka", "list_clusters_v2", "ClusterInfoList", arguments={"MaxResults": _SHORT}),
    ),
    "shared_subnet": (
        Listing(
            "ram",
            "list_resources",
            "resources",
            _CAMEL,
            {"resourceOwner": "SELF", "resourceType": "ec2:Subnet", "maxResults": 500},
        ),
    ),
    "tags": (
        Listing(
            "resourcegroupstaggingapi",
            "get_resources",
            "ResourceTagMappingList",
            ("PaginationToken", "PaginationToken"),
            {"ResourcesPerPage": 100},
            _not_told_elsewhere,
        ),
    ),
}  # fmt: skip


def _ecs_services(aws: Aws, token: str | None) -> Iterator[Page]:
    """Services of all clusters, cluster by cluster; the token is the last cluster that is done."""
    ecs = aws.client("ecs")
    for cluster, last in _ecs_clusters(ecs, token):
        for arns in _pages_of(ecs, "list_services", "serviceArns", cluster=cluster, maxResults=100):
            for some in _chunks(arns, _AT_ONCE_SERVICES):
                answer = ecs.call("describe_services", cluster=cluster, services=some, include=["TAGS"])
                yield Page("DescribeServices", answer.get("services") or [], None)
        yield Page("DescribeServices", [], last)


def _ecs_tasks(aws: Aws, token: str | None) -> Iterator[Page]:
    """Tasks that run or are about to, of all clusters; the token is the last cluster that is done."""
    ecs = aws.client("ecs")
    for cluster, last in _ecs_clusters(ecs, token):
        for arns in _pages_of(ecs, "list_tasks", "taskArns", cluster=cluster, maxResults=100):
            for some in _chunks(arns, _AT_ONCE_TASKS):
                answer = ecs.call("describe_tasks", cluster=cluster, tasks=some, include=["TAGS"])
                yield Page("DescribeTasks", answer.get("tasks") or [], None)
        yield Page("DescribeTasks", [], last)


def _ecs_clusters(ecs: Any, after: str | None) -> Iterator[tuple[str, str]]:
    """Clusters in the order of their ARNs, each with its token, from behind the one that is done."""
    clusters = sorted(arn for arns in _pages_of(ecs, "list_clusters", "clusterArns", maxResults=100) for arn in arns)
    return ((cluster, cluster) for cluster in clusters if after is None or cluster > after)


def _accounts(aws: Aws, token: str | None) -> Iterator[Page]:
    """The organisation's accounts with the names of their units, unit by unit. One walk, never resumed."""
    organizations = aws.client("organizations")
    ahead: list[tuple[str, tuple[str, ...]]] = []
    for roots in _pages_of(organizations, "list_roots", "Roots"):
        ahead += [(root["Id"], ()) for root in roots]
    while ahead:
        parent, units = ahead.pop()
        for accounts in _pages_of(organizations, "list_accounts_for_parent", "Accounts", ParentId=parent):
            yield Page("ListAccountsForParent", [{**account, "Units": list(units)} for account in accounts], None)
        for children in _pages_of(
            organizations, "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent
        ):
            ahead += [(child["Id"], (*units, child["Name"])) for child in children]


WALKS: dict[str, tuple[str, Callable[[Aws, str | None], Iterator[Page]]]] = {
    "ecs_service": ("ecs", _ecs_services),
    "ecs_task": ("ecs", _ecs_tasks),
    "account": ("organizations", _accounts),
}
"""Kinds that take more than a listing: their service, and the walk."""

ORGANISATION_KINDS = ("account",)
KINDS = (*(kind for kind in LISTINGS if kind != "tags"), "ecs_service", "ecs_task", "tags")
"""All kinds of an account and region, interfaces first: what tells most comes before what takes long."""


def services_of(kind: str) -> tuple[str, ...]:
    """The services that are asked for this kind."""
    if kind in WALKS:
        return (WALKS[kind][0],)
    return tuple(listing.service for listing in LISTINGS[kind])


def describe(kind: str, aws: Aws, token: str | None = None) -> Iterator[Page]:
    """All entities of a kind in this account and region, page by page; with a token, from behind the page that gave it.

    Raises botocore's errors, and Incomplete where AWS does not tell all.
    """
    if kind in WALKS:
        yield from WALKS[kind][1](aws, token)
        return
    first, _, inner = (token or "0|").partition("|")
    for number, listing in enumerate(LISTINGS[kind]):
        if number < int(first) or not aws.offers(listing.service):
            continue
        yield from _listed(kind, aws, listing, number, inner if number == int(first) else "")


def _listed(kind: str, aws: Aws, listing: Listing, number: int, token: str) -> Iterator[Page]:
    client = aws.client(listing.service)
    more: str | None = token or None
    api = client.name(listing.operation).split(":", 1)[1]
    while True:
        asked = {listing.tokens[0]: more} if listing.tokens and more else {}
        answer = client.call(listing.operation, **listing.arguments, **asked)
        items = list(listing.picks(answer.get(listing.result) or []))
        complete(kind, items, client)
        resolve_endpoints(kind, items, aws)
        more = answer.get(listing.tokens[1]) if listing.tokens else None
        yield Page(api, items, f"{number}|{more}" if more else f"{number + 1}|")
        if not more:
            return


def resolve_endpoints(kind: str, items: list[Item], aws: Aws) -> None:
    """Adds to databases and proxies what their endpoint's name resolves to: it tells their interface."""
    if kind not in ("db_instance", "db_proxy"):
        return
    for item in items:
        endpoint = item.get("Endpoint")
        host = endpoint.get("Address") if isinstance(endpoint, dict) else endpoint
        found = aws.addresses_of(host) if host else None
        if found:
            item["EndpointAddresses"] = found


# What a listing does not tell, kind by kind.


def complete(kind: str, items: list[Item], client: Asks) -> None:
    """Adds to the items, in place, what further calls say of them; drops those that are gone by then.

    client belongs to the service that listed them. Raises botocore's errors and Incomplete.
    """
    if kind in _COMPLETIONS and items:
        _COMPLETIONS[kind](items, client)


def _each(items: list[Item], add: Callable[[Item], Any]) -> None:
    """Runs add for each item; an item that AWS does not find any more is dropped."""
    from botocore.exceptions import ClientError

    kept = []
    for item in items:
        try:
            add(item)
        except ClientError as error:
            if not is_gone(error):
                raise
            continue
        kept.append(item)
    items[:] = kept


def is_gone(error: Any) -> bool:
    """Whether AWS says that what was asked for isn't there: LoadBalancerNotFound, …NotFoundFault, InvalidX.NotFound."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return "NotFound" in code or code == "ResourceNotFoundException"


def _pages_of(client: Asks, operation: str, result: str, **arguments: Any) -> Iterator[list[Any]]:
    return (page.get(result) or [] for page in client.pages(operation, **arguments))


def _all_of(client: Asks, operation: str, result: str, **arguments: Any) -> list[Any]:
    return [entry for page in _pages_of(client, operation, result, **arguments) for entry in page]


def _chunks(values: list[Any], at_once: int) -> Iterator[list[Any]]:
    return (values[i : i + at_once] for i in range(0, len(values), at_once))


def _load_balancers(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        if "LoadBalancerArn" in item:
            item["Listeners"] = _all_of(
                client, "describe_listeners", "Listeners", LoadBalancerArn=item["LoadBalancerArn"]
            )

    _each(items, add)


def _target_groups(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        item["TargetHealthDescriptions"] = _all_of(
            client, "describe_target_health", "TargetHealthDescriptions", TargetGroupArn=item["TargetGroupArn"]
        )

    _each(items, add)


def _prefix_lists(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        item["Entries"] = _all_of(
            client, "get_managed_prefix_list_entries", "Entries", PrefixListId=item["PrefixListId"]
        )

    _each(items, add)


def _attachments(items: list[Item], client: Asks) -> None:
    """Subnets of VPC attachments: of each attachment where few are asked for, else of all in one listing."""
    ids = [item["TransitGatewayAttachmentId"] for item in items if item.get("ResourceType", "vpc") == "vpc"]
    if not ids:
        return
    some = {"TransitGatewayAttachmentIds": ids} if len(ids) <= _FEW_GROUPS else {"MaxResults": 1000}
    told = _all_of(client, "describe_transit_gateway_vpc_attachments", "TransitGatewayVpcAttachments", **some)
    subnets = {entry["TransitGatewayAttachmentId"]: entry.get("SubnetIds") or [] for entry in told}
    for item in items:
        if item["TransitGatewayAttachmentId"] in subnets:
            item["SubnetIds"] = subnets[item["TransitGatewayAttachmentId"]]


def _transit_route_tables(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        table = {"TransitGatewayRouteTableId": item["TransitGatewayRouteTableId"]}
        known = [{"Name": "state", "Values": ["active", "blackhole"]}]
        routes: list[Any] = []
        more = False
        for page in client.pages("search_transit_gateway_routes", Filters=known, MaxResults=1000, **table):
            routes += page.get("Routes") or []
            more = bool(page.get("AdditionalRoutesAvailable")) and not page.get("NextToken")
        if more:
            raise Incomplete(f"{table['TransitGatewayRouteTableId']} has more routes than one answer tells")
        item["Routes"] = routes
        item["Propagations"] = _all_of(
            client,
            "get_transit_gateway_route_table_propagations",
            "TransitGatewayRouteTablePropagations",
            **table,
        )

    _each(items, add)


def _grouped(
    items: list[Item], client: Asks, asks: tuple[str, str], names: tuple[str, str], add: Callable[[Item, Item], None]
) -> None:
    """Adds to each item what its subnet group says. asks: operation, result; names: the group's in item and group."""
    wanted = sorted({item[names[0]] for item in items if item.get(names[0])})
    if len(wanted) > _FEW_GROUPS:
        found = _all_of(client, *asks)
    else:
        found = []
        for group in wanted:
            one: list[Item] = [{"name": group}]
            _each(one, lambda ask: found.extend(_all_of(client, *asks, **{names[1]: ask["name"]})))
    groups = {group[names[1]]: group for group in found}
    for item in items:
        if item.get(names[0]) in groups:
            add(item, groups[item[names[0]]])


def _clusters(items: list[Item], client: Asks) -> None:
    def add(item: Item, group: Item) -> None:
        item["Subnets"], item["VpcId"] = group.get("Subnets") or [], group.get("VpcId")

    asks = ("describe_db_subnet_groups", "DBSubnetGroups")
    _grouped(items, client, asks, ("DBSubnetGroup", "DBSubnetGroupName"), add)


def _caches(items: list[Item], client: Asks) -> None:
    def add(item: Item, group: Item) -> None:
        item["SubnetGroup"] = group

    asks = ("describe_cache_subnet_groups", "CacheSubnetGroups")
    _grouped(items, client, asks, ("CacheSubnetGroupName", "CacheSubnetGroupName"), add)


def _warehouses(items: list[Item], client: Asks) -> None:
    def add(item: Item, group: Item) -> None:
        item["SubnetGroup"] = group

    asks = ("describe_cluster_subnet_groups", "ClusterSubnetGroups")
    _grouped(items, client, asks, ("ClusterSubnetGroupName", "ClusterSubnetGroupName"), add)


def _proxies(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        item["Targets"] = _all_of(client, "describe_db_proxy_targets", "Targets", DBProxyName=item["DBProxyName"])

    _each(items, add)


def _file_systems(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        item["MountTargets"] = _all_of(
            client, "describe_mount_targets", "MountTargets", FileSystemId=item["FileSystemId"]
        )

    _each(items, add)


def _kafka_clusters(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        if item.get("ClusterType", "PROVISIONED") == "PROVISIONED" and item.get("State") != "CREATING":
            item["Nodes"] = _all_of(client, "list_nodes", "NodeInfoList", ClusterArn=item["ClusterArn"])

    _each(items, add)


def _eks_clusters(items: list[Item], client: Asks) -> None:
    def add(item: Item) -> None:
        if "arn" not in item:
            for page in client.pages("describe_cluster", name=item["name"]):
                item.update(page["cluster"])

    _each(items, add)


def _search_domains(items: list[Item], client: Asks) -> None:
    names = [item["DomainName"] for item in items if "ARN" not in item]
    told = {}
    for some in _chunks(names, _AT_ONCE_DOMAINS):
        for domain in _all_of(client, "describe_domains", "DomainStatusList", DomainNames=some):
            told[domain["DomainName"]] = domain
    items[:] = [
        item if "ARN" in item else told[item["DomainName"]]
        for item in items
        if "ARN" in item or item["DomainName"] in told
    ]


def _shared_subnets(items: list[Item], client: Asks) -> None:
    shares: dict[str, list[str]] = {}
    asked = {"resourceOwner": "SELF", "resourceType": "ec2:Subnet", "maxResults": 500}
    for principal in _all_of(client, "list_principals", "principals", **asked):
        shares.setdefault(principal["resourceShareArn"], []).append(principal["id"])
    for item in items:
        item["principals"] = sorted(shares.get(item.get("resourceShareArn") or "", []))


_COMPLETIONS: dict[str, Callable[[list[Item], Asks], None]] = {
    "load_balancer": _load_balancers,
    "target_group": _target_groups,
    "prefix_list": _prefix_lists,
    "transit_gateway_attachment": _attachments,
    "transit_gateway_route_table": _transit_route_tables,
    "db_cluster": _clusters,
    "db_proxy": _proxies,
    "cache": _caches,
    "warehouse": _warehouses,
    "file_system": _file_systems,
    "kafka_cluster": _kafka_clusters,
    "eks_cluster": _eks_clusters,
    "search_domain": _search_domains,
    "shared_subnet": _shared_subnets,
}
