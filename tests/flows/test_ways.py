"""Ways out for many conversations at once, held to the rule for one; and routes to the longest prefix."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.addresses import parse
from flowlake.flows.conversations import Endpoints, Grouped
from flowlake.flows.endpoints import Shown, Texts
from flowlake.flows.lookup import TRANSIT, Names
from flowlake.flows.routes import Router, path_rules
from flowlake.flows.ways import ways

Routes = list[tuple[str, str]]
Way = tuple[bool | None, str | None, str | None, str | None]


def router_of(*tables: Routes) -> Router:
    """A router whose subnets, from 0 on, have these routes."""
    subnets = Names.of([f"subnet-{i}" for i in range(len(tables))])
    return Router(SimpleNamespace(subnets=subnets, routes=dict(enumerate(tables)), subnet=np.zeros(0, np.int32)))  # type: ignore[arg-type]


def ways_of(router: Router, packets: list[tuple[int, str]]) -> list[tuple[str, str] | None]:
    high, low = parse([address for _, address in packets])
    found = router.ways(np.array([subnet for subnet, _ in packets], dtype=np.int64), high, low)
    return [router.targets[code] if code >= 0 else None for code in found.tolist()]


def test_packets_go_by_the_longest_prefix_of_their_subnets_table() -> None:
    router = router_of(
        [("0.0.0.0/0", "nat-1"), ("10.2.0.0/16", "tgw-1"), ("::/0", "eigw-1")], [("10.0.0.0/8", "pcx-1")]
    )
    asked = [(0, "10.2.0.7"), (0, "8.8.8.8"), (1, "10.2.0.7"), (1, "8.8.8.8"), (0, "2001:db8::1"), (-1, "8.8.8.8")]
    assert ways_of(router, asked) == [
        ("transit_gateway", "tgw-1"),
        ("nat_gateway", "nat-1"),
        ("peering", "pcx-1"),
        None,
        ("internet_gateway", "eigw-1"),
        None,
    ]


def test_a_target_that_is_none_we_know_hides_the_wider_route() -> None:
    router = router_of([("0.0.0.0/0", "igw-1"), ("8.8.0.0/16", "eni-0f"), ("pl-1", "vpce-1")])
    assert ways_of(router, [(0, "8.8.8.8"), (0, "9.9.9.9")]) == [None, ("internet_gateway", "igw-1")]


# --- the rules for one, to hold those for many to --------------------------------------------------------------------


def way_of_one(routes: Routes, address: str) -> tuple[str, str] | None:
    """Where a packet to the address goes, by the routes of its subnet."""
    to = ipaddress.ip_address(address)
    ranges = [(ipaddress.ip_network(destination), target) for destination, target in routes]
    held = [(net, target) for net, target in ranges if net.version == to.version and to in net]
    if not held:
        return None
    # Of equal prefixes the first by name, as everywhere.
    _, target = min(held, key=lambda route: (-route[0].prefixlen, route[1]))
    return next(((via, target) for p, via in path_rules()["target"].items() if target.startswith(p)), None)


def decided_for_one(
    client: dict[str, Any], server: dict[str, Any], seen: dict[str, Any], route: tuple[str, str] | None
) -> Way:
    """The way of one conversation. seen: next_hop, next_hop_type, nat, hop (names) and path."""
    same_vpc = client["vpc_id"] and client["vpc_id"] == server["vpc_id"] and server["interface_id"]
    via = path_rules()["next_hop_type"].get(seen["next_hop_type"] or "")
    if via and not (via == "interface_endpoint" and not same_vpc):
        return via not in path_rules()["stays"], via, seen["next_hop"], "next_hop"
    if seen["nat"]:
        return True, "nat_gateway", seen["nat"], "nat_interface"
    if seen["hop"] in ("eni-transit", "tgw-attach-1") and not same_vpc:
        return True, "transit_gateway", seen["hop"], "hop_interface"
    if same_vpc and server["type"] == "vpc_endpoint":
        return (
            False,
            "interface_endpoint",
            server["arns"][0].rsplit("/", 1)[-1] if server["arns"] else None,
            "addresses",
        )
    said = path_rules()["traffic_path"].get(str(seen["path"]))
    if said == "internet_gateway_or_gateway_endpoint":
        if route and route[0] in ("internet_gateway", "gateway_endpoint"):
            return True, route[0], route[1], "record"
        return True, None, None, None
    if said and said != "same_vpc":
        by = route[1] if route and route[0] == said.removeprefix("inter_region_") else None
        return True, said, by, "record"
    if same_vpc:
        return False, "same_vpc", None, "record" if said == "same_vpc" else "addresses"
    if route and route[0] == "peering":
        if client["region"] is None or server["region"] is None:
            return True, None, None, None
        one_region = client["region"] == server["region"]
        return True, "peering" if one_region else "inter_region_peering", route[1], "route_table"
    if route and route[0] != "same_vpc":
        return True, route[0], route[1], "route_table"
    if client["vpc_id"] and server["vpc_id"] and client["vpc_id"] != server["vpc_id"] and server["interface_id"]:
        return True, None, None, None
    return None, None, None, None


TARGETS = ("local", "igw-1", "nat-1", "pcx-1", "tgw-1", "vgw-1", "vpce-1", "lgw-1", "eni-0f")
DESTINATIONS = ("0.0.0.0/0", "8.0.0.0/7", "8.8.0.0/16", "8.8.8.8/32", "::/0", "2001:db8::/32", "2001:db8::1/128")
ADDRESSES = ("8.8.8.8", "8.8.1.1", "9.9.9.9", "10.0.0.1", "2001:db8::1", "2001:db8::2", "fd00::1")
TABLES = st.lists(st.tuples(st.sampled_from(DESTINATIONS), st.sampled_from(TARGETS)), max_size=5)


@given(st.lists(TABLES, min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 9), st.sampled_from(ADDRESSES))))
def test_many_packets_go_where_each_would(tables: list[Routes], packets: list[tuple[int, str]]) -> None:
    asked = [(number % len(tables), address) for number, address in packets]
    expected = [way_of_one(tables[subnet], address) for subnet, address in asked]
    assert ways_of(router_of(*tables), asked) == expected


INTERFACES = ("eni-nat", "eni-plain", "eni-transit", "tgw-attach-1")
LABELS = ("eni-hop", *path_rules()["next_hop_type"], "unheard_of")
ARNS = (None, [], ["arn:aws:ec2:us-east-1:1:vpc-endpoint/vpce-7"])


@st.composite
def ends(draw: Any) -> dict[str, Any]:
    return {
        "vpc_id": draw(st.sampled_from((None, "vpc-1", "vpc-2"))),
        "region": draw(st.sampled_from((None, "us-east-1", "eu-west-1"))),
        "interface_id": draw(st.sampled_from((None, "eni-1"))),
        "type": draw(st.sampled_from((None, "vpc_endpoint", "ec2:instance"))),
        "arns": draw(st.sampled_from(ARNS)),
        "addr": draw(st.sampled_from(ADDRESSES)),
    }


@st.composite
def conversations(draw: Any) -> tuple[int, int, dict[str, Any]]:
    """Client and server, as numbers of ends, and what was seen between them."""
    seen = {
        "next_hop": draw(st.sampled_from((None, "eni-hop"))),
        "next_hop_type": draw(st.sampled_from((None, *LABELS[1:]))),
        "nat": draw(st.sampled_from((None, "eni-nat"))),
        "hop": draw(st.sampled_from((None, *INTERFACES[1:]))),
        "path": draw(st.integers(0, 9)),
    }
    return draw(st.integers(0, 9)), draw(st.integers(0, 9)), seen


@given(st.lists(ends(), min_size=1, max_size=4), st.lists(conversations(), max_size=8), TABLES)
def test_ways_of_many_are_those_of_each(
    shown: list[dict[str, Any]], spoken: list[tuple[int, int, dict[str, Any]]], routes: Routes
) -> None:
    """All clients lie in one subnet. The last interface is one that the book does not know: its name alone tells."""
    spoken = [(client % len(shown), server % len(shown), seen) for client, server, seen in spoken]
    expected = [
        decided_for_one(shown[client], shown[server], seen, way_of_one(routes, shown[server]["addr"]))
        for client, server, seen in spoken
    ]
    columns = {
        "client": np.array([client for client, _, _ in spoken], dtype=np.int32),
        "server": np.array([server for _, server, _ in spoken], dtype=np.int32),
        "path": np.array([seen["path"] for _, _, seen in spoken], dtype=np.int8),
    }
    for name, texts in (("next_hop", LABELS), ("next_hop_type", LABELS), ("nat", INTERFACES), ("hop", INTERFACES)):
        codes = [-1 if seen[name] is None else texts.index(seen[name]) for _, _, seen in spoken]
        columns[name] = np.array(codes, dtype=np.int32)
    size = len(shown)
    high, low = parse([end["addr"] for end in shown])
    zeros = np.zeros(size, dtype=np.int64)
    none = np.zeros(len(spoken) + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    grouped = Grouped(columns, Endpoints(zeros, zeros, high, low, zeros, zeros, zeros), none, none)
    rows = np.arange(size)
    texts_of_ends = {
        name: Texts.of(rows, [end[name] for end in shown]) for name in ("vpc_id", "region", "interface_id", "type")
    }
    arns = pa.array([end["arns"] for end in shown], pa.list_(pa.string()))
    looks = Shown(texts_of_ends, {"arns": arns}, rows, pa.nulls(size, pa.bool_()), zeros > 0, zeros.astype(np.uint64))
    lookup = SimpleNamespace(
        subnets=Names.of(["subnet-0"]),
        routes={0: routes},
        subnet=np.zeros(1, np.int32),
        forwards=np.array([1, 0, TRANSIT], dtype=np.int8),
    )
    world = SimpleNamespace(
        lookup=lookup, hints=SimpleNamespace(name=lambda _, code: INTERFACES[code] if code >= 0 else None)
    )
    found = ways(grouped, looks, LABELS, world, Router(lookup))  # type: ignore[arg-type]
    names = ("path_left_vpc", "path_via", "path_by_id", "path_source")
    assert list(zip(*(found[name].to_pylist() for name in names), strict=True)) == expected
