"""What a conversation shows: the way out, zones and regions crossed, names and tags, remarks; null where it is not
known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.present import order_by
from tests.flows.worked import PACKETS, PLAIN, Answer, attached, eni, flow_log, lines, peering, run, steady, sweep, vpc

VPC, VPC2 = vpc("vpc-1", "10.0.0.0/16"), vpc("vpc-2", "10.2.0.0/16")
A, B = eni("eni-a", "10.0.0.1"), eni("eni-b", "10.0.0.2")
WORLD = "93.184.216.34"
WAY = ("path_left_vpc", "path_via", "path_by_id", "path_source")


def routes(*of_subnet_1: str) -> dict:
    return {
        "kind": "route_table",
        "entity_id": "rtb-1",
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-1"],
        "routes": list(of_subnet_1),
    }


def sent(to: str, path: str = "-", fields: str = "", more: str = "") -> str:
    """eni-a's egress of 100 bytes, with traffic-path and further fields."""
    return lines(
        f"{PLAIN} traffic-path flow-direction {fields}".strip(),
        f"eni-a 10.0.0.1 {to} 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK {path} egress {more}".strip(),
    )


def way(answer: Answer) -> tuple:
    (shown,) = answer.show(*WAY)
    return shown


@pytest.mark.parametrize(
    ("path", "table", "expected"),
    [
        # The record's own word first; the route names the gateway where it says the same.
        ("8", ["0.0.0.0/0 igw-1"], (True, "internet_gateway", "igw-1", "record")),
        ("8", [], (True, "internet_gateway", None, "record")),
        ("2", ["0.0.0.0/0 igw-1"], (True, "internet_gateway", "igw-1", "record")),
        # Code 2 is an internet gateway or a gateway endpoint: without a route it is not known which.
        ("2", [], (True, None, None, None)),
        ("7", ["93.184.0.0/16 vpce-1", "0.0.0.0/0 nat-1"], (True, "gateway_endpoint", "vpce-1", "record")),
        ("3", [], (True, "vpn_gateway", None, "record")),
        ("4", ["93.184.0.0/16 pcx-1"], (True, "peering", "pcx-1", "record")),
        ("5", ["93.184.0.0/16 pcx-1"], (True, "inter_region_peering", "pcx-1", "record")),
        ("6", [], (True, "local_gateway", None, "record")),
        # Without the field: the longest route.
        ("-", ["0.0.0.0/0 igw-1", "93.184.0.0/16 tgw-1"], (True, "transit_gateway", "tgw-1", "route_table")),
        ("-", ["0.0.0.0/0 nat-1"], (True, "nat_gateway", "nat-1", "route_table")),
        # Code 1 says that the next hop lies in the VPC, which a NAT gateway's does too.
        ("1", ["0.0.0.0/0 nat-1"], (True, "nat_gateway", "nat-1", "route_table")),
        # A target that is none we know, or no route at all.
        ("-", ["0.0.0.0/0 eni-0f"], (None, None, None, None)),
        ("-", [], (None, None, None, None)),
        ("-", ["::/0 eigw-1"], (None, None, None, None)),
    ],
)
def test_the_way_to_the_world(path: str, table: list[str], expected: tuple) -> None:
    answer = run(steady(VPC, A, routes(*table), flow_log("fl-1")), {"fl-1": sent(WORLD, path)})
    assert way(answer) == expected


def test_ways_within_and_between_vpcs() -> None:
    """Both ends in one VPC; over a peering, which the route names; over a transit gateway; and into another VPC by a
    way that nothing names."""
    assert way(run(steady(VPC, A, B, flow_log("fl-1")), {"fl-1": sent("10.0.0.2", "1")})) == (
        False,
        "same_vpc",
        None,
        "record",
    )
    assert way(run(steady(VPC, A, B, flow_log("fl-1")), {"fl-1": sent("10.0.0.2")})) == (
        False,
        "same_vpc",
        None,
        "addresses",
    )
    far = eni("eni-far", "10.2.0.7", vpc="vpc-2", subnet="subnet-2")
    peered = steady(VPC, VPC2, A, far, peering("vpc-1", "vpc-2"), routes("10.2.0.0/16 pcx-1"), flow_log("fl-1"))
    assert way(run(peered, {"fl-1": sent("10.2.0.7")})) == (True, "peering", "pcx-1", "route_table")
    hub = steady(VPC, VPC2, A, far, attached("vpc-1"), attached("vpc-2"), flow_log("fl-1"))
    assert way(run(hub, {"fl-1": sent("10.2.0.7")})) == (True, None, None, None)


def test_the_next_hop_of_newer_formats_comes_first() -> None:
    fields = "next-hop-interface-id next-hop-interface-type"
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": sent(WORLD, "8", fields, "eni-nat nat_gateway")})
    assert way(answer) == (True, "nat_gateway", "eni-nat", "next_hop")


def test_an_interface_endpoint_is_within_the_vpc() -> None:
    endpoint = eni(
        "eni-e",
        "10.0.0.40",
        interface_type="vpc_endpoint",
        description="VPC Endpoint Interface vpce-0abc",
        requester_managed=True,
    )
    service = {
        "kind": "vpc_endpoint",
        "entity_id": "vpce-0abc",
        "arn": "arn:aws:ec2:us-east-1:111111111111:vpc-endpoint/vpce-0abc",
        "service_name": "com.amazonaws.us-east-1.s3",
        "vpc_id": "vpc-1",
        "interface_ids": ["eni-e"],
    }
    answer = run(steady(VPC, A, endpoint, service, flow_log("fl-1")), {"fl-1": sent("10.0.0.40")})
    assert way(answer) == (False, "interface_endpoint", "vpce-0abc", "addresses")
    assert answer.show("server_type", "server_name") == [("vpc_endpoint", "com.amazonaws.us-east-1.s3")]


def test_routes_to_a_nat_gateway_make_the_leg_nat_inside_though_the_gateway_is_not_logged() -> None:
    answer = run(steady(VPC, A, routes("0.0.0.0/0 nat-1"), flow_log("fl-1")), {"fl-1": sent(WORLD)})
    assert answer.show("leg", "uploaded") == [("nat_inside", 100)]
    # The record knows better where it says that it went by the internet gateway.
    answer = run(steady(VPC, A, routes("0.0.0.0/0 nat-1"), flow_log("fl-1")), {"fl-1": sent(WORLD, "8")})
    assert answer.show("leg", "uploaded") == [("direct", 100)]


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ({"az_id": "use1-az1"}, {"az_id": "use1-az2"}, (True, False)),
        ({"az_id": "use1-az1"}, {"az_id": "use1-az1"}, (False, False)),
        ({"az_id": "use1-az1"}, {}, (None, False)),
        # Names of zones mean the same only within an account.
        ({"availability_zone": "us-east-1a"}, {"availability_zone": "us-east-1b"}, (True, False)),
        (
            {"availability_zone": "us-east-1a"},
            {"availability_zone": "us-east-1b", "account_id": "222222222222"},
            (None, False),
        ),
        # Other regions are crossed, and then no zones of one region.
        ({"az_id": "use1-az1"}, {"az_id": "euw1-az1", "region": "eu-west-1"}, (False, True)),
    ],
)
def test_zones_and_regions_crossed(one: dict, two: dict, expected: tuple) -> None:
    a, b = eni("eni-a", "10.0.0.1", **one), eni("eni-b", "10.0.0.2", **two)
    answer = run(steady(VPC, a, b, flow_log("fl-1")), {"fl-1": sent("10.0.0.2")})
    assert answer.show("cross_az", "cross_region") == [expected]


def test_the_world_lies_in_no_zone_or_region() -> None:
    answer = run(steady(VPC, eni("eni-a", "10.0.0.1", az_id="use1-az1"), flow_log("fl-1")), {"fl-1": sent(WORLD)})
    assert answer.show("cross_az", "cross_region") == [(None, None)]


def test_owner_and_app_are_the_first_key_present_the_resources_tags_before_the_interfaces() -> None:
    a = eni(
        "eni-a",
        "10.0.0.1",
        attachment_id="eni-attach-1",
        instance_id="i-1",
        instance_owner_id="111111111111",
        tags={"owner": "net", "app": "x"},
    )
    instance = {
        "kind": "instance",
        "entity_id": "i-1",
        "arn": "arn:aws:ec2:us-east-1:111111111111:instance/i-1",
        "tags": {"Name": "web", "team": "blue", "Owner": "red"},
    }
    answer = run(steady(VPC, a, instance, flow_log("fl-1")), {"fl-1": sent(WORLD)})
    columns = ("client_name", "client_type", "client_owner", "client_app", "client_tags", "client_interface_tags")
    assert answer.show(*columns) == [
        (
            "web",
            "ec2:instance",
            "red",
            "x",
            {"Name": "web", "team": "blue", "Owner": "red"},
            {"owner": "net", "app": "x"},
        )
    ]


def test_a_tag_whose_value_is_empty_is_passed_over() -> None:
    """It is still among the tags."""
    tags = {"owner": "", "team": "blue", "app": ""}
    answer = run(steady(VPC, eni("eni-a", "10.0.0.1", tags=tags), flow_log("fl-1")), {"fl-1": sent(WORLD)})
    assert answer.show("client_owner", "client_app", "client_interface_tags") == [("blue", None, tags)]


def test_encryption_is_remarked_by_its_weakest_record() -> None:
    clear, nitro = (sent("10.0.0.2", fields="encryption-status", more=code) for code in ("0", "1"))
    inventory = steady(VPC, A, B, flow_log("fl-1"))
    assert run(inventory, {"fl-1": nitro}).show("flags") == [(["encrypted:nitro"],)]
    assert run(inventory, {"fl-1": [nitro, clear]}).show("flags") == [(["clear"],)]
    assert run(inventory, {"fl-1": sent("10.0.0.2", fields="encryption-status", more="-")}).show("flags") == [([],)]


def test_ids_are_the_same_whatever_the_order_and_differ_by_what_makes_a_row() -> None:
    two = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 444 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:06:00 10:06:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50001 443 6 100 10:01:00 10:01:59 REJECT OK
        """,
    )
    head, *body = two.splitlines()
    turned = "\n".join([head, *reversed(body)]) + "\n"
    inventory = steady(VPC, A, B, flow_log("fl-1"))
    one, other = (run(inventory, {"fl-1": text}).show("conversation_id", "uploaded") for text in (two, turned))
    assert one == other
    assert len({id_ for id_, _ in one}) == 4


def test_rows_lie_by_account_and_window() -> None:
    other = eni("eni-z", "10.0.0.9", account_id="000000000009")
    log = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:06:00 10:06:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-z 10.0.0.9 10.0.0.2 50000 443 6 100 10:11:00 10:11:59 ACCEPT OK
        """,
    )
    rows = run([*steady(VPC, A, other, flow_log("fl-1")), *sweep("09:00", complete=False)], {"fl-1": log}).rows
    # One file a bucket of pairs: each is in order.
    by_pair: dict[str, list[tuple]] = {}
    for row in rows:
        by_pair.setdefault(row["client_interface_id"], []).append((row["client_account_id"], row["window_start"]))
    assert by_pair["eni-a"] == [("111111111111", "10:00:00"), ("111111111111", "10:05:00")]


def test_packets_are_null_where_no_record_tells_them() -> None:
    assert run(steady(VPC, A, flow_log("fl-1")), {"fl-1": sent(WORLD)}).show("packets_up", "packets_down") == [
        (None, None)
    ]
    told = lines(
        PACKETS + " packets", f"eni-a 10.0.0.1 {WORLD} 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD} 3"
    )
    assert run(steady(VPC, A, flow_log("fl-1")), {"fl-1": told}).show("packets_up", "packets_down") == [(3, 0)]


@given(st.lists(st.tuples(st.integers(0, 2) | st.sampled_from([65535, 65536]), st.integers(0, 3), st.integers(0, 9))))
def test_rows_are_in_order_of_their_place_and_then_of_their_ids(rows: list[tuple[int, int, int]]) -> None:
    place, high, low = (np.array([row[n] for row in rows], dtype=np.int64) for n in range(3))
    order = order_by(place, (high.astype(np.uint64), low.astype(np.uint64)))
    assert [rows[n] for n in order.tolist()] == sorted(rows)
