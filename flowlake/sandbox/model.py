"""What the simulated organisation is made of. Times are epoch milliseconds; FOREVER where no end is known.

An Interface is one life of one network interface: its id, subnet and primary address never change. A Thing is
any other entity the inventory can see; attributes holds what its describe call would say, by our own names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FOREVER = 1 << 60
ALWAYS = 0
"""Start of what was there long before the simulation."""

INTERNET, S3, DYNAMODB, AWS, ON_PREMISES = 1, 2, 3, 4, 5
"""What an endpoint without an interface is."""
OUTSIDE_NAMES = {INTERNET: "public", S3: "S3", DYNAMODB: "DYNAMODB", AWS: "AMAZON", ON_PREMISES: "network"}


@dataclass(slots=True)
class Account:
    index: int
    id: str
    name: str
    team: str


@dataclass(slots=True)
class Vpc:
    index: int
    id: str
    account: Account
    region: str
    name: str
    cidr: str
    cidr6: str | None
    created: int
    subnets: list[Subnet] = field(default_factory=list)
    internet_gateway: str | None = None
    vpn_gateway: str | None = None
    nat: str = "none"
    """none, zonal or regional."""
    s3_endpoint: str | None = None
    dynamodb_endpoint: str | None = None
    attachment: str | None = None
    peerings: dict[int, str] = field(default_factory=dict)
    """Peering id by the index of the VPC on the other side."""


@dataclass(slots=True)
class Subnet:
    index: int
    id: str
    vpc: Vpc
    zone: int
    zone_name: str
    az_id: str
    tier: str
    cidr: str
    cidr6: str | None
    route_table: str
    shared_with: Account | None = None

    @property
    def public(self) -> bool:
        return self.tier == "public"


@dataclass(slots=True)
class Holding:
    """A secondary address or delegated prefix that an interface held over [since, until)."""

    address: str
    since: int
    until: int


@dataclass(slots=True)
class Interface:
    index: int
    id: str
    account: Account
    subnet: Subnet
    address: str
    kind: str
    """What it serves, in the words of the address book: ec2:instance, elbv2:application, …"""
    name: str
    arns: tuple[str, ...]
    interface_type: str
    description: str
    created: int
    deleted: int = FOREVER
    address6: str | None = None
    public_address: str | None = None
    requester_id: str | None = None
    requester_managed: bool = False
    attachment_id: str | None = None
    attachment_owner: str | None = None
    instance_id: str | None = None
    groups: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    holdings: list[Holding] = field(default_factory=list)
    prefixes: list[Holding] = field(default_factory=list)
    nitro: bool = True
    regional_nat: str | None = None
    """The regional NAT gateway that this stands for: it has no interface, and its records no interface id."""


@dataclass(slots=True)
class Thing:
    kind: str
    id: str
    account: Account
    region: str
    attributes: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    created: int = ALWAYS
    deleted: int = FOREVER


@dataclass(slots=True)
class TagChange:
    """From `at` on, the entity has these tags (the whole set)."""

    at: int
    entity: str
    account: Account
    region: str
    before: dict[str, str]
    tags: dict[str, str]


@dataclass(slots=True)
class FlowLog:
    index: int
    id: str
    account: Account
    """Whose flow log it is, and under whose id its objects lie."""
    region: str
    resource_id: str
    format: str
    file_format: str
    traffic: str
    max_aggregation_seconds: int
    name_by_end: bool
    """Whether the timestamp in its objects' names is the end of the span (else its start): AWS documents both."""


@dataclass(slots=True)
class Life:
    """An endpoint: an address held by an interface (or by someone outside: interface is -1) over [since, until)."""

    slot: int
    since: int
    until: int
    interface: int
    address: str
    outside: int = 0


@dataclass(slots=True)
class Group:
    """Interchangeable endpoints. Each slot is held by one endpoint at a time."""

    name: str
    slots: int = 0
    lives: list[Life] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class Size:
    """Bytes of one direction of a connection: log-normal by its median, at most `largest`."""

    median: int
    spread: float = 1.0
    largest: int = 2_000_000_000


@dataclass(slots=True)
class Edge:
    """Who talks to whom: connections from a group to a group's port, so many for every other's weight."""

    name: str
    client: str
    server: str
    port: int
    weight: float
    up: Size
    down: Size
    protocol: int = 6
    seconds: float = 2.0
    """Median duration; long ones span windows and hours."""
    verdict: str = "accepted"
    """accepted; refused_by_server (the receiver logs REJECT); refused_by_client (never left); dropped_both…"""
    spread_ports: int = 0
    """A scan: server ports are drawn from 1 to this."""
    story: str | None = None
    same_slot: bool = False
    hours: tuple[int, ...] | None = None
    """Only in these hours (counted from the first one)."""
    growth: tuple[float, ...] | None = None
    """Factor on bytes for every hour, exact in sum."""
