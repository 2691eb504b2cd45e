"""The estate: everything there is, and the small acts that add to it. Topology and services are built on these."""

from __future__ import annotations

import heapq
import ipaddress
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flowlake.sandbox.addressing import Addresses
from flowlake.sandbox.identity import Ids
from flowlake.sandbox.model import (
    ALWAYS,
    FOREVER,
    Account,
    Edge,
    FlowLog,
    Group,
    Holding,
    Interface,
    Life,
    Subnet,
    TagChange,
    Thing,
    Vpc,
)

HOUR = 3_600_000
REGIONS = (("us-east-1", "use1"), ("eu-west-1", "euw1"))
ZONES = (("a", 1), ("b", 2), ("c", 4))

AMAZON_REQUESTERS = {"us-east-1": "602401143452", "eu-west-1": "628676013162"}
"""Numeric requester ids differ by region."""


@dataclass(frozen=True)
class Sizes:
    """How big, and over which hours. spans are epoch milliseconds: the stretches that are simulated."""

    seed: int
    accounts: int
    regions: int
    interfaces: int
    records: int
    spans: tuple[tuple[int, int], ...]
    zones: int = 3

    @property
    def starts(self) -> int:
        return self.spans[0][0]

    @property
    def ends(self) -> int:
        return self.spans[-1][1]

    @property
    def active_milliseconds(self) -> int:
        return sum(end - start for start, end in self.spans)


@dataclass
class Estate:
    """One simulated organisation over its hours."""

    sizes: Sizes
    ids: Ids
    accounts: list[Account] = field(default_factory=list)
    vpcs: list[Vpc] = field(default_factory=list)
    subnets: list[Subnet] = field(default_factory=list)
    interfaces: list[Interface] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    tag_changes: list[TagChange] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    flow_logs: list[FlowLog] = field(default_factory=list)
    nat_of_subnet: dict[int, int] = field(default_factory=dict)
    """Index of the NAT gateway's interface by the index of the subnet that goes out by it."""
    hops: dict[tuple[int, int], int] = field(default_factory=dict)
    """Index of the transit gateway's interface by VPC index and zone."""
    served: dict[int, Thing] = field(default_factory=dict)
    """The thing that lives and ends with an interface: its instance, its task."""
    stories: list[dict[str, Any]] = field(default_factory=list)
    known_networks: list[tuple[str, str]] = field(default_factory=list)
    _by_kind: dict[tuple[str, str, str], list[Thing]] = field(default_factory=dict)
    _by_kind_count: int = -1
    _public: int = int(ipaddress.IPv4Address("3.208.17.9"))
    _addresses: dict[int, Addresses] = field(default_factory=dict)
    _acts: list[tuple[int, int, Callable[[int], None]]] = field(default_factory=list)
    _count: Any = field(default_factory=itertools.count)

    def random(self, purpose: str) -> random.Random:
        return random.Random(f"{self.sizes.seed}/{purpose}")

    def things_of(self, kind: str, account: Account, region: str) -> list[Thing]:
        """Things of a kind that an account has in a region, whether they are there now or not."""
        if self._by_kind_count != len(self.things):
            self._by_kind = {}
            for thing in self.things:
                self._by_kind.setdefault((thing.kind, thing.account.id, thing.region), []).append(thing)
            self._by_kind_count = len(self.things)
        return self._by_kind.get((kind, account.id, region), [])

    # -- adding

    def add_subnet(self, vpc: Vpc, zone: int, tier: str, cidr: str, cidr6: str | None = None) -> Subnet:
        region, short = next(r for r in REGIONS if r[0] == vpc.region)
        letter, number = ZONES[zone]
        # Zone names are shuffled between accounts; zone ids are not.
        letter = ZONES[(zone + vpc.account.index) % len(ZONES)][0]
        subnet = Subnet(
            len(self.subnets),
            self.ids.new("subnet"),
            vpc,
            zone,
            region + letter,
            f"{short}-az{number}",
            tier,
            cidr,
            cidr6,
            self.ids.new("rtb"),
        )
        self.subnets.append(subnet)
        vpc.subnets.append(subnet)
        self._addresses[subnet.index] = Addresses(cidr)
        return subnet

    def add_thing(self, kind: str, id_: str, account: Account, region: str, **attributes: Any) -> Thing:
        tags = attributes.pop("tags", {})
        created = attributes.pop("created", ALWAYS)
        thing = Thing(kind, id_, account, region, attributes, tags, created)
        self.things.append(thing)
        return thing

    def add_security_group(self, vpc: Vpc, name: str, account: Account | None = None, **attributes: Any) -> str:
        group = self.ids.new("sg")
        self.add_thing("security_group", group, account or vpc.account, vpc.region, name=name, vpc=vpc, **attributes)
        return group

    def add_interface(
        self,
        subnet: Subnet,
        kind: str,
        name: str,
        *,
        at: int = ALWAYS,
        fresh: bool = False,
        account: Account | None = None,
        with_ipv6: bool = False,
        public: bool = False,
        **columns: Any,
    ) -> Interface:
        """One more interface from `at` on, with an address of the subnet that nobody holds then."""
        index = len(self.interfaces)
        interface = Interface(
            index=index,
            id=columns.pop("id", None) or self.ids.new("eni"),
            account=account or subnet.vpc.account,
            subnet=subnet,
            address=self._addresses[subnet.index].take(at, fresh),
            kind=kind,
            name=name,
            arns=tuple(columns.pop("arns", ())),
            interface_type=columns.pop("interface_type", "interface"),
            description=columns.pop("description", ""),
            created=at,
            **columns,
        )
        if with_ipv6 and subnet.cidr6:
            network = ipaddress.IPv6Network(subnet.cidr6)
            interface.address6 = str(network.network_address + 0x1000_0000_0000 + index * 0x1_0003 + 0x21)
        if public:
            interface.public_address = self.public_address()
        self.interfaces.append(interface)
        return interface

    def public_address(self) -> str:
        """An address of the EC2 ranges that no other interface has."""
        self._public += 7
        return str(ipaddress.IPv4Address(self._public))

    def end_interface(self, interface: Interface, at: int) -> None:
        interface.deleted = at
        self._addresses[interface.subnet.index].give_back(interface.address, at)

    def take_secondary(self, interface: Interface, at: int) -> Holding:
        holding = Holding(self._addresses[interface.subnet.index].take(at), at, FOREVER)
        interface.holdings.append(holding)
        return holding

    def take_prefix(self, interface: Interface, at: int = ALWAYS) -> Holding:
        holding = Holding(self._addresses[interface.subnet.index].take_prefix(), at, FOREVER)
        interface.prefixes.append(holding)
        return holding

    def give_back_secondary(self, interface: Interface, holding: Holding, at: int) -> None:
        holding.until = at
        self._addresses[interface.subnet.index].give_back(holding.address, at)

    # -- groups

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group(name))

    def join(self, group: str, interface: Interface, *, slot: int | None = None, address: str | None = None) -> Life:
        """The interface (or one of its addresses) as an endpoint of the group, for as long as it lives."""
        members = self.group(group)
        if slot is None:
            slot = members.slots
        members.slots = max(members.slots, slot + 1)
        life = Life(slot, interface.created, interface.deleted, interface.index, address or interface.address)
        members.lives.append(life)
        return life

    def join_outside(self, group: str, outside: int, addresses: list[str]) -> None:
        members = self.group(group)
        for address in addresses:
            members.lives.append(Life(members.slots, ALWAYS, FOREVER, -1, address, outside))
            members.slots += 1

    def talk(self, name: str, client: str, server: str, port: int, weight: float, **columns: Any) -> None:
        self.edges.append(Edge(name, client, server, port, weight, **columns))

    # -- time

    def at(self, moment: int, act: Callable[[int], None]) -> None:
        """Has the act done when time comes to it. Acts happen in order of time, so that addresses are given in it."""
        heapq.heappush(self._acts, (moment, next(self._count), act))

    def after(self, moment: int, milliseconds: float) -> int:
        """The moment so many simulated milliseconds later: time between spans does not count."""
        left = int(milliseconds)
        for start, end in self.sizes.spans:
            if moment >= end:
                continue
            begin = max(moment, start)
            if begin + left < end:
                return begin + left
            left -= end - begin
        return FOREVER

    def live(self) -> None:
        """Lets all acts happen."""
        while self._acts:
            moment, _, act = heapq.heappop(self._acts)
            if moment < self.sizes.ends:
                act(moment)
