"""AWS items in, observation rows out: the register of all kinds. Pure; what calls AWS is describe.py.

    rows_of("interface", item, seen)  ->  [row, …]

Each function takes one item as its describe call gives it (PascalCase of boto3, camelCase where the API speaks it: ECS,
EKS, RAM) and a Seen. Events bring their items into the same shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flowlake.inventory import rows_network as network
from flowlake.inventory import rows_services as services
from flowlake.inventory.rows_network import interfaces_of_instance
from flowlake.inventory.seen import BadItem, Item, Seen, moment
from flowlake.lake.arns import BadArn
from flowlake.lake.observations import BadObservation, Row

__all__ = ["ROWS", "BadItem", "Item", "Seen", "interfaces_of_instance", "moment", "rows_of"]

ROWS: dict[str, Callable[[Item, Seen], list[Row]]] = {
    "interface": network.interface_rows,
    "instance": network.instance_rows,
    "vpc": network.vpc_rows,
    "subnet": network.subnet_rows,
    "route_table": network.route_table_rows,
    "internet_gateway": network.internet_gateway_rows,
    "vpn_gateway": network.vpn_gateway_rows,
    "nat_gateway": network.nat_gateway_rows,
    "vpc_endpoint": network.vpc_endpoint_rows,
    "peering": network.peering_rows,
    "transit_gateway_attachment": network.transit_gateway_attachment_rows,
    "transit_gateway_route_table": network.transit_gateway_route_table_rows,
    "prefix_list": network.prefix_list_rows,
    "security_group": network.security_group_rows,
    "flow_log": network.flow_log_rows,
    "elastic_ip": network.elastic_ip_rows,
    "load_balancer": lambda item, seen: (
        services.load_balancer_rows(item, seen)
        if "LoadBalancerArn" in item
        else services.classic_load_balancer_rows(item, seen)
    ),
    "target_group": services.target_group_rows,
    "db_instance": services.db_instance_rows,
    "db_cluster": services.db_cluster_rows,
    "db_proxy": services.db_proxy_rows,
    "cache": lambda item, seen: (
        services.serverless_cache_rows(item, seen) if "ServerlessCacheName" in item else services.cache_rows(item, seen)
    ),
    "function": services.function_rows,
    "ecs_service": services.ecs_service_rows,
    "ecs_task": services.ecs_task_rows,
    "eks_cluster": services.eks_cluster_rows,
    "file_system": services.file_system_rows,
    "search_domain": services.search_domain_rows,
    "warehouse": services.warehouse_rows,
    "kafka_cluster": services.kafka_cluster_rows,
    "shared_subnet": services.shared_subnet_rows,
    "account": services.account_rows,
    "tags": services.tags_rows,
}
"""kind -> function from one item to its rows; the kinds are those of lake/kinds.json."""


def rows_of(kind: str, item: Item, seen: Seen) -> list[Row]:
    """One item's rows. Raises BadItem, naming kind and item and what is wrong with it."""
    try:
        return ROWS[kind](item, seen)
    except KeyError as error:
        raise BadItem(f"{kind} {_named(item)} lacks {error}") from error
    except (TypeError, AttributeError, ValueError, BadArn, BadObservation) as error:
        raise BadItem(f"{kind} {_named(item)}: {error}") from error


_IDENTIFIES = re.compile(r"(?<!Owner)(?<!Ami)(Id|Identifier|Arn|ARN|arn|Name|^name)$")
_SOMEBODY_ELSES = ("User", "Kms", "Role", "Vpc", "Subnet", "Master", "Parameter", "Option", "Domain", "DNS", "Image")


def _named(item: Item) -> str:
    """Something to find the item by: the first field of it that looks like its own id, name or ARN."""
    if not isinstance(item, dict):
        return f"of type {type(item).__name__}"
    own = (
        value
        for field, value in item.items()
        if isinstance(value, str)
        and _IDENTIFIES.search(field)
        and not (any(word in field for word in _SOMEBODY_ELSES) and field not in ("VpcId", "SubnetId", "DomainName"))
    )
    return next(own, "without an id")
