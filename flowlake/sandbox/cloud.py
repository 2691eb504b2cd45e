"""The estate as AWS would answer for it: clients for flowlake's own inventory code, and a clock.

    cloud = Cloud(estate, at=…)
    sweep(new_task(account, region, cloud.clock()), cloud.aws(account, region), store.put, cloud.clock)
    handle(messages, store, cloud.aws, cloud.clock, …)

A client has the operations that the inventory calls and no others; each answer is that of the cloud's present moment,
and takes a little of its time. Answers have one page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from flowlake.inventory.aws import GLOBAL, Aws
from flowlake.lake.hours import utc
from flowlake.sandbox import describe, describe_services
from flowlake.sandbox.describe import Item
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Account

CALL_MILLISECONDS = 120


class Cloud:
    """One estate at one moment; the moment moves on with every call, and may be set."""

    def __init__(self, estate: Estate, at: int) -> None:
        self.estate, self.now = estate, at
        self.accounts = {account.id: account for account in estate.accounts}
        self.regions = sorted({vpc.region for vpc in estate.vpcs})
        self._interfaces = {i.id: i for i in estate.interfaces if not i.regional_nat}
        self._of_instance: dict[str, list[str]] = {}
        for interface in self._interfaces.values():
            if interface.instance_id:
                self._of_instance.setdefault(interface.instance_id, []).append(interface.id)
        self._instances = {t.id: t for t in estate.things if t.kind == "instance"}
        self._hosts = _hosts(estate)

    def clock(self) -> datetime:
        return utc(self.now / 1000)

    def aws(self, account_id: str, region: str) -> Aws:
        """The account and region, as the inventory asks it."""
        return Aws(Session(self, self.accounts[account_id]), account_id, region, self.resolve)

    def resolve(self, host: str) -> list[str] | None:
        """Addresses of a database's endpoint name."""
        return self._hosts.get(host)

    def items(self, kind: str, account: Account, region: str) -> Iterator[Item]:
        return describe.items(self.estate, kind, account, region, self.now)

    def interfaces(self, account: Account, region: str, by: str, values: list[str]) -> Iterator[Item]:
        """Interfaces that are there now, by their ids or their instances'."""
        ids = values if by == "network-interface-id" else [i for v in values for i in self._of_instance.get(v, [])]
        for id_ in ids:
            interface = self._interfaces.get(id_)
            if interface and interface.created <= self.now < interface.deleted and interface.account is account:
                yield describe.interface_item(self.estate, interface, self.now)

    def instances(self, account: Account, values: list[str]) -> Iterator[Item]:
        """Instances that are there now, by their ids."""
        for id_ in values:
            thing = self._instances.get(id_)
            if thing and thing.created <= self.now < thing.deleted and thing.account is account:
                yield describe.instance_item(self.estate, thing, self.now)


def _hosts(estate: Estate) -> dict[str, list[str]]:
    hosts = {}
    for thing in estate.things:
        if thing.kind == "db_instance":
            hosts[describe_services.db_instance(thing)["Endpoint"]["Address"]] = [thing.attributes["interface"].address]
    return hosts


class Session:
    """What flowlake needs of a boto3 session."""

    def __init__(self, cloud: Cloud, account: Account) -> None:
        self.cloud, self.account = cloud, account
        self.region_name = cloud.regions[0]

    def client(self, service: str, region_name: str | None = None, config: Any = None) -> Client:
        return Client(self.cloud, self.account, region_name or self.region_name, service)

    def get_available_regions(self, service: str, partition_name: str = "aws") -> list[str]:
        return self.cloud.regions


class _Anything:
    """Knows every argument, as the members of an operation's input."""

    members = property(lambda self: self)

    def __contains__(self, name: str) -> bool:
        return True

    @property
    def input_shape(self) -> _Anything:
        return self


class Meta:
    """What flowlake needs of a client's meta."""

    class _Names(dict[str, str]):
        def __missing__(self, operation: str) -> str:
            return "".join(word.capitalize() for word in operation.split("_"))

    def __init__(self) -> None:
        self.method_to_api_mapping: dict[str, str] = self._Names()
        self.service_model = self

    def operation_model(self, name: str) -> _Anything:
        return _Anything()


Answer = Callable[["Client", dict[str, Any]], dict[str, Any]]


class Client:
    """One service of one account in one region."""

    def __init__(self, cloud: Cloud, account: Account, region: str, service: str) -> None:
        self.cloud, self.account, self.region, self.service = cloud, account, region, service
        self.meta = Meta()

    def can_paginate(self, operation: str) -> bool:
        return False

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        answer = ANSWERS.get((self.service, operation))
        if answer is None:
            raise AttributeError(f"the sandbox's {self.service} has no {operation}")

        def call(**arguments: Any) -> dict[str, Any]:
            self.cloud.now += CALL_MILLISECONDS
            return answer(self, arguments)

        return call

    def items(self, kind: str) -> list[Item]:
        return list(self.cloud.items(kind, self.account, self.region))


# -- answers


def _listing(kind: str, result: str) -> Answer:
    return lambda client, asked: {result: client.items(kind)}


def _nothing(result: str) -> Answer:
    """A service that the estate has nothing of."""
    return lambda client, asked: {result: []}


def _part(kind: str, key: str, result: str, field: str) -> Answer:
    """A field of one entity, by an operation of its own."""

    def answer(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
        return {result: next((i[field] for i in client.items(kind) if i[key] == asked[key]), [])}

    return answer


def _interfaces(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    for filter_ in asked.get("Filters", ()):
        found = client.cloud.interfaces(client.account, client.region, filter_["Name"], filter_["Values"])
        return {"NetworkInterfaces": list(found)}
    return {"NetworkInterfaces": client.items("interface")}


def _instances(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    filters = asked.get("Filters", [])
    items = (
        client.items("instance") if not filters else list(client.cloud.instances(client.account, filters[0]["Values"]))
    )
    return {"Reservations": [{"OwnerId": item.pop("OwnerId"), "Instances": [item]} for item in items]}


def _attachments(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    """Without subnets: those are told by the VPC attachments."""
    items = [{k: v for k, v in i.items() if k != "SubnetIds"} for i in client.items("transit_gateway_attachment")]
    return {"TransitGatewayAttachments": items}


def _vpc_attachments(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    items = [i for i in client.items("transit_gateway_attachment") if i["ResourceType"] == "vpc"]
    return {"TransitGatewayVpcAttachments": items}


def _subnet_groups(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    groups = {i["CacheSubnetGroupName"]: i["SubnetGroup"] for i in client.items("cache")}
    wanted = asked.get("CacheSubnetGroupName")
    return {
        "CacheSubnetGroups": [
            {"CacheSubnetGroupName": name, **group} for name, group in sorted(groups.items()) if wanted in (None, name)
        ]
    }


def _names_of(kind: str, field: str, result: str) -> Answer:
    return lambda client, asked: {result: [item[field] for item in client.items(kind)]}


def _one(kind: str, key: str, asked_by: str, result: str) -> Answer:
    def answer(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
        return {result: next(i for i in client.items(kind) if i[key] == asked[asked_by])}

    return answer


def _some(kind: str, key: str, asked_by: str, result: str) -> Answer:
    def answer(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
        return {result: [i for i in client.items(kind) if i[key] in asked[asked_by]]}

    return answer


def _of_cluster(kind: str, key: str, result: str) -> Answer:
    def answer(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
        return {result: [i[key] for i in client.items(kind) if i["clusterArn"] == asked["cluster"]]}

    return answer


def _clusters(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    found = {i["clusterArn"] for kind in ("ecs_service", "ecs_task") for i in client.items(kind)}
    return {"clusterArns": sorted(found)}


def _principals(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "principals": [
            {"id": principal, "resourceShareArn": item["resourceShareArn"]}
            for item in client.items("shared_subnet")
            for principal in item["principals"]
        ]
    }


def _accounts_of(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    items = [describe_services.account(client.cloud.estate, account) for account in client.cloud.estate.accounts]
    return {
        "Accounts": [{k: v for k, v in i.items() if k != "Units"} for i in items if i["Units"][-1] == asked["ParentId"]]
    }


def _units(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    if asked["ParentId"] != "Root":
        return {"OrganizationalUnits": []}
    units = sorted(
        {describe_services.account(client.cloud.estate, a)["Units"][-1] for a in client.cloud.estate.accounts}
    )
    return {"OrganizationalUnits": [{"Id": unit, "Name": unit} for unit in units]}


ANSWERS: dict[tuple[str, str], Answer] = {
    ("ec2", "describe_network_interfaces"): _interfaces,
    ("ec2", "describe_instances"): _instances,
    ("ec2", "describe_vpcs"): _listing("vpc", "Vpcs"),
    ("ec2", "describe_subnets"): _listing("subnet", "Subnets"),
    ("ec2", "describe_route_tables"): _listing("route_table", "RouteTables"),
    ("ec2", "describe_nat_gateways"): _listing("nat_gateway", "NatGateways"),
    ("ec2", "describe_vpc_endpoints"): _listing("vpc_endpoint", "VpcEndpoints"),
    ("ec2", "describe_vpc_peering_connections"): _listing("peering", "VpcPeeringConnections"),
    ("ec2", "describe_transit_gateway_attachments"): _attachments,
    ("ec2", "describe_transit_gateway_vpc_attachments"): _vpc_attachments,
    ("ec2", "describe_transit_gateway_route_tables"): _listing(
        "transit_gateway_route_table", "TransitGatewayRouteTables"
    ),
    ("ec2", "search_transit_gateway_routes"): _part(
        "transit_gateway_route_table", "TransitGatewayRouteTableId", "Routes", "Routes"
    ),
    ("ec2", "get_transit_gateway_route_table_propagations"): _part(
        "transit_gateway_route_table",
        "TransitGatewayRouteTableId",
        "TransitGatewayRouteTablePropagations",
        "Propagations",
    ),
    ("ec2", "describe_internet_gateways"): _listing("internet_gateway", "InternetGateways"),
    ("ec2", "describe_vpn_gateways"): _listing("vpn_gateway", "VpnGateways"),
    ("ec2", "describe_managed_prefix_lists"): _listing("prefix_list", "PrefixLists"),
    ("ec2", "get_managed_prefix_list_entries"): _part("prefix_list", "PrefixListId", "Entries", "Entries"),
    ("ec2", "describe_security_groups"): _listing("security_group", "SecurityGroups"),
    ("ec2", "describe_flow_logs"): _listing("flow_log", "FlowLogs"),
    ("ec2", "describe_addresses"): _listing("elastic_ip", "Addresses"),
    ("elbv2", "describe_load_balancers"): _listing("load_balancer", "LoadBalancers"),
    ("elbv2", "describe_listeners"): _part("load_balancer", "LoadBalancerArn", "Listeners", "Listeners"),
    ("elbv2", "describe_target_groups"): _listing("target_group", "TargetGroups"),
    ("elbv2", "describe_target_health"): _part(
        "target_group", "TargetGroupArn", "TargetHealthDescriptions", "TargetHealthDescriptions"
    ),
    ("elb", "describe_load_balancers"): _nothing("LoadBalancerDescriptions"),
    ("rds", "describe_db_instances"): _listing("db_instance", "DBInstances"),
    ("rds", "describe_db_clusters"): _nothing("DBClusters"),
    ("rds", "describe_db_proxies"): _listing("db_proxy", "DBProxies"),
    ("rds", "describe_db_proxy_targets"): _part("db_proxy", "DBProxyName", "Targets", "Targets"),
    ("elasticache", "describe_cache_clusters"): _listing("cache", "CacheClusters"),
    ("elasticache", "describe_cache_subnet_groups"): _subnet_groups,
    ("elasticache", "describe_serverless_caches"): _nothing("ServerlessCaches"),
    ("lambda", "list_functions"): _listing("function", "Functions"),
    ("eks", "list_clusters"): _names_of("eks_cluster", "name", "clusters"),
    ("eks", "describe_cluster"): _one("eks_cluster", "name", "name", "cluster"),
    ("efs", "describe_file_systems"): _listing("file_system", "FileSystems"),
    ("efs", "describe_mount_targets"): _part("file_system", "FileSystemId", "MountTargets", "MountTargets"),
    ("opensearch", "list_domain_names"): lambda client, asked: {
        "DomainNames": [{"DomainName": item["DomainName"]} for item in client.items("search_domain")]
    },
    ("opensearch", "describe_domains"): _some("search_domain", "DomainName", "DomainNames", "DomainStatusList"),
    ("redshift", "describe_clusters"): _nothing("Clusters"),
    ("kafka", "list_clusters_v2"): _listing("kafka_cluster", "ClusterInfoList"),
    ("kafka", "list_nodes"): _part("kafka_cluster", "ClusterArn", "NodeInfoList", "Nodes"),
    ("ram", "list_resources"): _listing("shared_subnet", "resources"),
    ("ram", "list_principals"): _principals,
    ("resourcegroupstaggingapi", "get_resources"): _listing("tags", "ResourceTagMappingList"),
    ("ecs", "list_clusters"): _clusters,
    ("ecs", "list_services"): _of_cluster("ecs_service", "serviceArn", "serviceArns"),
    ("ecs", "describe_services"): _some("ecs_service", "serviceArn", "services", "services"),
    ("ecs", "list_tasks"): _of_cluster("ecs_task", "taskArn", "taskArns"),
    ("ecs", "describe_tasks"): _some("ecs_task", "taskArn", "tasks", "tasks"),
    ("organizations", "list_roots"): lambda client, asked: {"Roots": [{"Id": "Root"}]},
    ("organizations", "list_accounts_for_parent"): _accounts_of,
    ("organizations", "list_organizational_units_for_parent"): _units,
}

__all__ = ["GLOBAL", "Cloud"]
