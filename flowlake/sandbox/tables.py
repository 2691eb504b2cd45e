"""The estate as arrays, so that traffic can be worked out for many connections at a time.

Indices: endpoints are rows of `endpoints_*`, interfaces of `interfaces_*`, addresses of `addresses`. -1 is "none".
Times are milliseconds since the first span's start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import DYNAMODB, FOREVER, ON_PREMISES, S3, Interface, Life

Ints = NDArray[np.int64]

(
    SAME_VPC, PEERING, INTER_REGION_PEERING, TRANSIT_GATEWAY, INTERNET_GATEWAY, NAT_GATEWAY, GATEWAY_ENDPOINT,
    VPN_GATEWAY, INTERFACE_ENDPOINT, NO_WAY,
) = range(10)  # fmt: skip
WAYS = (
    "same_vpc", "peering", "inter_region_peering", "transit_gateway", "internet_gateway", "nat_gateway",
    "gateway_endpoint", "vpn_gateway", "interface_endpoint", "none",
)  # fmt: skip

SERVICES = ("-", "S3", "DYNAMODB", "AMAZON", "EC2")
_SERVICE_OF_OUTSIDE = {S3: 1, DYNAMODB: 2, 4: 3}

BIG = 1 << 40
"""More milliseconds than any simulation lasts."""

COVER = 3
"""Flow logs that can cover one interface."""


@dataclass
class Members:
    """The lives of all groups' slots, in order of slot and start: who held this slot at that time?"""

    first_slot: dict[str, int]
    slots: dict[str, int]
    slot: Ints
    since: Ints
    until: Ints
    keys: Ints

    def holding(self, slot: Ints, at: Ints) -> Ints:
        """Endpoint that held the slot then, or -1. Endpoints are numbered in the order of these rows."""
        found = np.searchsorted(self.keys, slot * BIG + np.maximum(at, 0), side="right") - 1
        found = np.maximum(found, 0)
        held = (self.slot[found] == slot) & (self.since[found] <= at) & (at < self.until[found])
        return np.where(held, found, -1)


@dataclass
class Tables:
    estate: Estate
    zero: int
    """Epoch milliseconds of time 0."""
    addresses: list[str]
    address_is_v6: NDArray[np.bool_]
    address_service: NDArray[np.int8]
    endpoint_interface: Ints
    endpoint_address: Ints
    endpoint_vpc: Ints
    endpoint_zone: Ints
    endpoint_subnet: Ints
    endpoint_outside: Ints
    endpoint_public: NDArray[np.bool_]
    endpoint_service_interface: NDArray[np.bool_]
    interface_address: Ints
    interface_window: Ints
    interface_phase: Ints
    interface_bounds: NDArray[np.bool_]
    interface_since: Ints
    interface_until: Ints
    interface_nitro: NDArray[np.bool_]
    interface_regional: NDArray[np.bool_]
    cover: Ints
    """Indices of the flow logs that cover each interface, COVER columns."""
    log_traffic: Ints
    """0 ALL, 1 ACCEPT, 2 REJECT, by flow log."""
    vpc_way: Ints
    subnet_nat: Ints
    subnet_way_s3: NDArray[np.bool_]
    subnet_way_dynamodb: NDArray[np.bool_]
    vpc_vpn: NDArray[np.bool_]
    hop: Ints
    """Transit gateway interface by VPC and zone."""
    members: Members
    group_of_endpoint: list[str]


def build(estate: Estate, window_bounds_share: float) -> Tables:
    zero = estate.sizes.starts
    addresses: dict[str, int] = {}
    services: list[int] = []

    def address(text: str, service: int = 0) -> int:
        index = addresses.setdefault(text, len(addresses))
        if index == len(services):
            services.append(service)
        return index

    rng = np.random.default_rng([estate.sizes.seed, 11])
    interfaces = estate.interfaces
    # A regional NAT gateway has no private address of its own to show: its public one stands in the records.
    primary = [
        address(i.public_address if i.regional_nat and i.public_address else i.address, 4 if i.regional_nat else 0)
        for i in interfaces
    ]
    rows: list[tuple[int, int, int, int, int, int, bool, bool]] = []
    groups_of: list[str] = []
    slots: list[int] = []
    first_slot: dict[str, int] = {}
    lives: list[Life] = []
    count = 0
    for name in sorted(estate.groups):
        group = estate.groups[name]
        first_slot[name] = count
        for life in sorted(group.lives, key=lambda life: (life.slot, life.since)):
            lives.append(life)
            groups_of.append(name)
            slots.append(count + life.slot)
            if life.interface < 0:
                service = _SERVICE_OF_OUTSIDE.get(life.outside, 0)
                rows.append((-1, address(life.address, service), -1, -1, -1, life.outside, False, False))
                continue
            interface = interfaces[life.interface]
            reachable = interface.public_address is not None or ":" in life.address
            place = (interface.subnet.vpc.index, interface.subnet.zone, interface.subnet.index)
            rows.append((life.interface, address(life.address), *place, 0, reachable, interface.kind == "vpc_endpoint"))
        count += group.slots
    slot = np.array(slots, np.int64)
    since = np.maximum(np.array([life.since - zero for life in lives], np.int64), 0)
    until = np.array([min(life.until, FOREVER) - zero for life in lives], np.int64)
    members = Members(
        first_slot, {g: estate.groups[g].slots for g in estate.groups}, slot, since, until, slot * BIG + since
    )
    columns = np.array([r[:6] for r in rows], np.int64).reshape(-1, 6).T
    windows = np.array([_window(estate, i) for i in interfaces], np.int64)
    vpcs, subnets = estate.vpcs, estate.subnets
    hop = np.full((len(vpcs), 3), -1, np.int64)
    for (vpc, zone), index in estate.hops.items():
        hop[vpc, zone] = index
    for vpc in range(len(vpcs)):  # a zone without an attachment's interface goes by the first that has one
        have = hop[vpc][hop[vpc] >= 0]
        if len(have):
            hop[vpc][hop[vpc] < 0] = have[0]
    return Tables(
        estate=estate,
        zero=zero,
        addresses=list(addresses),
        address_is_v6=np.array([":" in a for a in addresses]),
        address_service=np.array(services, np.int8),
        endpoint_interface=columns[0],
        endpoint_address=columns[1],
        endpoint_vpc=columns[2],
        endpoint_zone=columns[3],
        endpoint_subnet=columns[4],
        endpoint_outside=columns[5],
        endpoint_public=np.array([r[6] for r in rows]),
        endpoint_service_interface=np.array([r[7] for r in rows]),
        interface_address=np.array(primary, np.int64),
        interface_window=windows,
        interface_phase=(rng.random(len(interfaces)) * windows).astype(np.int64) // 1000 * 1000,
        interface_bounds=(rng.random(len(interfaces)) < window_bounds_share) & (windows <= 60_000),
        interface_since=np.array([i.created - zero for i in interfaces], np.int64),
        interface_until=np.array([min(i.deleted, FOREVER) - zero for i in interfaces], np.int64),
        interface_nitro=np.array([i.nitro for i in interfaces]),
        interface_regional=np.array([i.regional_nat is not None for i in interfaces]),
        cover=_cover(estate),
        log_traffic=np.array([("ALL", "ACCEPT", "REJECT").index(f.traffic) for f in estate.flow_logs], np.int64),
        vpc_way=_ways(estate),
        subnet_nat=np.array([estate.nat_of_subnet.get(s.index, -1) for s in subnets], np.int64),
        subnet_way_s3=np.array([s.vpc.s3_endpoint is not None for s in subnets]),
        subnet_way_dynamodb=np.array([s.vpc.dynamodb_endpoint is not None for s in subnets]),
        vpc_vpn=np.array([v.vpn_gateway is not None for v in vpcs]),
        hop=hop,
        members=members,
        group_of_endpoint=groups_of,
    )


def _window(estate: Estate, interface: Interface) -> int:
    """Milliseconds of the interface's aggregation interval: a minute on Nitro, else what its flow logs say."""
    if interface.nitro:
        return 60_000
    longest = [
        f.max_aggregation_seconds
        for f in estate.flow_logs
        if f.resource_id in (interface.subnet.vpc.id, interface.subnet.id)
    ]
    return 1000 * max(longest, default=600)


def _cover(estate: Estate) -> Ints:
    by_resource: dict[str, list[int]] = {}
    for log in estate.flow_logs:
        by_resource.setdefault(log.resource_id, []).append(log.index)
    cover = np.full((len(estate.interfaces), COVER), -1, np.int64)
    for interface in estate.interfaces:
        logs = by_resource.get(interface.subnet.vpc.id, [])
        # A participant's flow log covers the participant's interfaces in the shared subnet; a regional NAT gateway
        # lies in no subnet.
        logs = logs + [
            index
            for index in by_resource.get(interface.subnet.id, [])
            if not interface.regional_nat
            and estate.flow_logs[index].account.id in (interface.account.id, interface.subnet.vpc.account.id)
        ]
        cover[interface.index, : len(logs)] = logs[:COVER]
    return cover


def _ways(estate: Estate) -> Ints:
    vpcs = estate.vpcs
    ways = np.full((len(vpcs), len(vpcs)), NO_WAY, np.int64)
    for a in vpcs:
        for b in vpcs:
            if a is b:
                ways[a.index, b.index] = SAME_VPC
            elif b.index in a.peerings:
                ways[a.index, b.index] = PEERING if a.region == b.region else INTER_REGION_PEERING
            elif a.attachment and b.attachment and a.region == b.region:
                ways[a.index, b.index] = TRANSIT_GATEWAY
    return ways


def ways_of(tables: Tables, client: Ints, server: Ints) -> Ints:
    """Way from client to server endpoint, by index of WAYS; NO_WAY where no route leads there."""
    vpc_a, vpc_b = tables.endpoint_vpc[client], tables.endpoint_vpc[server]
    way = tables.vpc_way[vpc_a, vpc_b].copy()
    way[tables.endpoint_service_interface[server] & (way == SAME_VPC)] = INTERFACE_ENDPOINT
    out = (vpc_b < 0) & (vpc_a >= 0)
    if out.any():
        way[out] = _way_out(tables, client[out], tables.endpoint_outside[server[out]])
    inward = (vpc_a < 0) & (vpc_b >= 0)
    if inward.any():
        home = tables.endpoint_outside[client[inward]] == ON_PREMISES
        vpn = tables.vpc_vpn[vpc_b[inward]]
        way[inward] = np.where(home, np.where(vpn, VPN_GATEWAY, TRANSIT_GATEWAY), INTERNET_GATEWAY)
    way[(vpc_a < 0) & (vpc_b < 0)] = NO_WAY
    return way


def _way_out(tables: Tables, client: Ints, outside: Ints) -> Ints:
    subnet, vpc = tables.endpoint_subnet[client], tables.endpoint_vpc[client]
    home = np.where(tables.vpc_vpn[vpc], VPN_GATEWAY, np.where(tables.hop[vpc, 0] >= 0, TRANSIT_GATEWAY, NO_WAY))
    world = np.where(
        tables.endpoint_public[client], INTERNET_GATEWAY, np.where(tables.subnet_nat[subnet] >= 0, NAT_GATEWAY, NO_WAY)
    )
    by_endpoint = ((outside == S3) & tables.subnet_way_s3[subnet]) | (
        (outside == DYNAMODB) & tables.subnet_way_dynamodb[subnet]
    )
    return np.where(outside == ON_PREMISES, home, np.where(by_endpoint, GATEWAY_ENDPOINT, world))


def describe_interface(interface: Interface) -> dict[str, Any]:
    """What the truth tells of an interface."""
    return {
        "interface_id": interface.regional_nat or interface.id,
        "account_id": interface.account.id,
        "region": interface.subnet.vpc.region,
        "vpc_id": interface.subnet.vpc.id,
        "subnet_id": interface.subnet.id,
        "az_id": interface.subnet.az_id,
        "address": interface.address,
        "type": interface.kind,
        "name": interface.name,
        "arns": list(interface.arns),
    }
