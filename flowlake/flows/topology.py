"""What lay where in an hour: the ranges of VPCs, what they can route to, subnets' zones and ways out, flow logs,
accounts.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowlake.flows.fold import (
    OPEN,
    Timelines,
    millis,
)
from flowlake.lake.observations import Row


@dataclass(frozen=True)
class FlowLog:
    """What a flow log covers and where it is delivered, as the inventory says it.

    destination: the ARN of a bucket or stream of Firehose, or the name or ARN of a log group. created: epoch ms; null
    where it was not told.
    """

    flow_log_id: str
    traffic_type: str | None
    max_aggregation_seconds: int | None
    resource_id: str | None
    destination: str | None = None
    destination_type: str | None = None
    created: int | None = None


@dataclass
class Topology:
    """What lies where: VPC ranges, what each VPC could route to, subnets' zones and ways out, flow logs, accounts; and
    which interfaces had which public address at any time of the book. born: when (epoch ms) interfaces were made, of
    those that were after its begin, as far as it was told.
    """

    vpc_ranges: dict[str, list[str]] = field(default_factory=dict)
    reachable: dict[str, list[str]] = field(default_factory=dict)
    routes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    flow_logs: dict[str, FlowLog] = field(default_factory=dict)
    vpc_owner: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    public: dict[str, list[str]] = field(default_factory=dict)
    born: dict[str, int] = field(default_factory=dict)


def _alive(timelines: Timelines, kind: str, begins: int, ends: int) -> Iterator[tuple[str, Row]]:
    """Entities of a kind in each state that they were in at some time of [begins, ends], in order. What was first seen
    afterwards, and not by the event that made it, is taken to have been there.
    """
    for entity_id, line in timelines.get(kind, {}).items():
        if not line.states or line.ended_at < begins:
            continue
        there = [state for state in line.states if state.valid_from <= ends and state.valid_to >= begins]
        if not there and line.states[0].from_source != "event":
            there = line.states[:1]
        for state in there:
            yield entity_id, state.attributes


def detail_of(row: Row) -> dict[str, Any]:
    detail = row.get("detail")
    return json.loads(detail) if isinstance(detail, str) else dict(detail or {})


def topology_of(timelines: Timelines, begins: int, ends: int) -> Topology:
    """What lay where in [begins, ends]. A VPC has every range that it had then or is told to have later: an address of
    its own is not to be taken for another VPC's.
    """
    topology = Topology()
    for vpc_id, row in _alive(timelines, "vpc", begins, OPEN):
        ranges = {*topology.vpc_ranges.get(vpc_id, ()), *(row.get("cidr_blocks") or ())}
        topology.vpc_ranges[vpc_id] = sorted(ranges)
        topology.vpc_owner[vpc_id] = (row.get("account_id"), row.get("region"))
    edges: dict[str, set[str]] = {}
    for _, row in _alive(timelines, "peering", begins, ends):
        detail = detail_of(row)
        accepter = detail.get("accepter_vpc_id")
        if row.get("vpc_id") and accepter and detail.get("status", "active") == "active":
            edges.setdefault(row["vpc_id"], set()).add(accepter)
            edges.setdefault(accepter, set()).add(row["vpc_id"])
    hubs: dict[str, set[str]] = {}
    for _, row in _alive(timelines, "transit_gateway_attachment", begins, ends):
        detail = detail_of(row)
        attached = row.get("vpc_id") or (detail.get("resource_id") if detail.get("resource_type") == "vpc" else None)
        for hub in row.get("member_of") or ():
            if attached and hub.startswith("tgw-") and not hub.startswith("tgw-rtb-"):
                hubs.setdefault(hub, set()).add(str(attached))
    for members in hubs.values():
        for vpc_id in members:
            edges.setdefault(vpc_id, set()).update(members - {vpc_id})
    topology.reachable = {vpc_id: sorted(others) for vpc_id, others in sorted(edges.items())}
    lists = {
        entity_id: row.get("cidr_blocks") or () for entity_id, row in _alive(timelines, "prefix_list", begins, ends)
    }
    main: dict[str, list[tuple[str, str]]] = {}
    for _, row in _alive(timelines, "route_table", begins, ends):
        routes = sorted({pair for text in row.get("routes") or () for pair in _routes(text, lists)})
        for subnet_id in row.get("subnet_ids") or ():
            topology.routes[subnet_id] = routes
        if detail_of(row).get("main") and row.get("vpc_id"):
            main[row["vpc_id"]] = routes
    for subnet_id, row in _alive(timelines, "subnet", begins, ends):
        if subnet_id not in topology.routes and row.get("vpc_id") in main:
            topology.routes[subnet_id] = main[row["vpc_id"]]
    for flow_log_id, row in _alive(timelines, "flow_log", begins, ends):
        detail = detail_of(row)
        topology.flow_logs[flow_log_id] = FlowLog(
            flow_log_id,
            detail.get("traffic_type"),
            detail.get("max_aggregation_seconds"),
            detail.get("resource_id"),
            detail.get("destination"),
            detail.get("destination_type"),
            millis(row["created_at"]) if row.get("created_at") else None,
        )
    public: dict[str, set[str]] = {}
    for interface_id, line in timelines.get("interface", {}).items():
        # A call that is tried again tells a later time.
        created = [told for state in line.states if (told := state.attributes.get("created_at"))]
        if created and (born := min(map(millis, created))) >= begins:
            topology.born[interface_id] = born
        for state in line.states:
            if state.valid_to >= begins:
                for address in state.attributes.get("public_addresses") or ():
                    public.setdefault(address, set()).add(interface_id)
    topology.public = {address: sorted(had) for address, had in sorted(public.items())}
    return topology


def _routes(text: str, lists: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    """(CIDR, target) pairs of one route; a prefix list is a route for each of its ranges."""
    destination, _, target = text.partition(" ")
    for cidr in lists.get(destination, (destination,)):
        try:
            ipaddress.ip_network(cidr)
        except ValueError:
            continue
        if target:
            yield cidr, target
