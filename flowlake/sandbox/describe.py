"""What AWS would answer at a moment: items in the shape that boto3 gives, one function a kind.

    items(estate, "interface", account, region, at)  ->  [item, …]

at is epoch milliseconds. Items hold what the real calls hold and no more: an interface of a database does not name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flowlake.sandbox import describe_network as network
from flowlake.sandbox import describe_services as services
from flowlake.sandbox.describe_interfaces import Item, instance_item, interface_item, tag_list, tags_at
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Account, Interface, Thing

__all__ = ["KINDS", "Item", "instance_item", "interface_item", "items"]

BY_THING: dict[str, Callable[[Thing], Item]] = {
    "route_table": network.route_table,
    "nat_gateway": network.nat_gateway,
    "vpc_endpoint": network.vpc_endpoint,
    "peering": network.peering,
    "transit_gateway_attachment": network.transit_gateway_attachment,
    "transit_gateway_route_table": network.transit_gateway_route_table,
    "prefix_list": network.prefix_list,
    "security_group": network.security_group,
    "flow_log": network.flow_log,
    "load_balancer": services.load_balancer,
    "db_instance": services.db_instance,
    "db_proxy": services.db_proxy,
    "cache": services.cache,
    "function": services.function,
    "ecs_service": services.ecs_service,
    "ecs_task": services.ecs_task,
    "eks_cluster": services.eks_cluster,
    "file_system": services.file_system,
    "search_domain": services.search_domain,
    "kafka_cluster": services.kafka_cluster,
    "shared_subnet": services.shared_subnet,
}

KINDS = (
    "interface", "instance", "vpc", "subnet", "internet_gateway", "vpn_gateway", "target_group", "elastic_ip", "tags",
    *BY_THING,
)  # fmt: skip
"""Kinds that a sweep of one account and region lists; accounts are listed once for the organisation."""


def items(estate: Estate, kind: str, asked: Account, region: str, at: int) -> Iterator[Item]:
    """Everything of a kind that this account's calls in this region list at that moment."""
    if kind == "interface":
        for interface in estate.interfaces:
            if interface.created <= at < interface.deleted and _lists(asked, region, interface):
                yield interface_item(estate, interface, at)
        return
    if kind in ("vpc", "subnet"):
        yield from (network.vpc_items if kind == "vpc" else network.subnet_items)(estate, asked, region)
        return
    if kind in ("internet_gateway", "vpn_gateway"):
        yield from network.gateways(estate, asked, region, kind)
        return
    if kind == "elastic_ip":
        yield from _elastic_ips(estate, asked, region)
        return
    if kind == "tags":
        yield from _tags(estate, asked, region, at)
        return
    for thing in estate.things_of(kind, asked, region):
        if not thing.created <= at < thing.deleted:
            continue
        if kind == "instance":
            yield instance_item(estate, thing, at)
        elif kind == "target_group":
            yield services.target_group(estate, thing, at)
        else:
            yield BY_THING[kind](thing)


def _lists(asked: Account, region: str, interface: Interface) -> bool:
    """An account lists its own interfaces; a VPC's owner also those of participants in its shared subnets."""
    if interface.subnet.vpc.region != region or interface.regional_nat:
        return False
    return asked in (interface.account, interface.subnet.vpc.account)


def _elastic_ips(estate: Estate, asked: Account, region: str) -> Iterator[Item]:
    for thing in estate.things_of("nat_gateway", asked, region):
        interface: Interface = thing.attributes["interface"]
        at_interface = (
            {}
            if interface.regional_nat
            else {"NetworkInterfaceId": interface.id, "PrivateIpAddress": interface.address}
        )
        yield {
            "AllocationId": f"eipalloc-{thing.id[4:]}",
            "Domain": "vpc",
            "PublicIp": interface.public_address,
            "Tags": [],
            **at_interface,
        }


_TAGGED_BY_API = (
    "load_balancer",
    "db_proxy",
    "cache",
    "function",
    "search_domain",
    "file_system",
    "db_instance",
    "kafka_cluster",
)


def _tags(estate: Estate, asked: Account, region: str, at: int) -> Iterator[Item]:
    """The tagging API: tags of what has some, by ARN."""
    for kind in _TAGGED_BY_API:
        for thing in estate.things_of(kind, asked, region):
            if thing.tags and thing.created <= at < thing.deleted:
                arn = thing.id
                if kind == "file_system":
                    arn = f"arn:aws:elasticfilesystem:{region}:{asked.id}:file-system/{thing.id}"
                yield {"ResourceARN": arn, "Tags": tag_list(thing.tags)}
    for thing in estate.things_of("instance", asked, region):
        if thing.created <= at < thing.deleted:
            arn = f"arn:aws:ec2:{region}:{asked.id}:instance/{thing.id}"
            yield {"ResourceARN": arn, "Tags": tag_list(tags_at(estate, thing, at))}
