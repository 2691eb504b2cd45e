"""Lives: nobody holds another's address, what AWS says of an interface is what it is, and things come and go."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.lake.interface_kinds import classify
from flowlake.sandbox import describe, small
from flowlake.sandbox.addressing import Addresses
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import FOREVER
from flowlake.sandbox.simulate import BadSettings, Settings, design
from tests.sandbox.conftest import WIDE, Written


@pytest.fixture(scope="module")
def estate() -> Estate:
    return design(WIDE)[0]


def test_no_address_of_a_vpc_is_held_twice_at_one_time(estate: Estate) -> None:
    held: dict[tuple[int, str], list[tuple[int, int, str]]] = defaultdict(list)
    for i in estate.interfaces:
        vpc = i.subnet.vpc.index
        held[vpc, i.address].append((i.created, i.deleted, i.id))
        if i.address6:
            held[vpc, i.address6].append((i.created, i.deleted, i.id))
        for h in i.holdings:
            held[vpc, h.address].append((h.since, min(h.until, i.deleted), i.id))
        for h in i.prefixes:
            for address in ipaddress.IPv4Network(h.address):
                held[vpc, str(address)].append((h.since, min(h.until, i.deleted), i.id))
    for place, times in held.items():
        times.sort()
        for (_, until, a), (since, _, b) in pairwise(times):
            assert until < since, f"{place}: {a} until {until}, {b} since {since}"


def test_every_address_lies_in_its_subnet(estate: Estate) -> None:
    for i in estate.interfaces:
        assert ipaddress.ip_address(i.address) in ipaddress.ip_network(i.subnet.cidr)
        if i.address6:
            assert ipaddress.ip_address(i.address6) in ipaddress.ip_network(i.subnet.cidr6 or "")


def test_several_vpcs_hold_the_same_address_at_one_time(estate: Estate) -> None:
    legacy = {i.address: set() for i in estate.interfaces if i.kind == "ec2:instance"}  # type: dict[str, set[str]]
    for i in estate.interfaces:
        if i.address in legacy and i.deleted == FOREVER:
            legacy[i.address].add(i.subnet.vpc.id)
    assert max(len(vpcs) for vpcs in legacy.values()) >= 4


def test_what_aws_says_of_an_interface_tells_what_it_serves(estate: Estate) -> None:
    """All but databases: their interfaces say RDSNetworkInterface and no more."""
    for i in estate.interfaces:
        if i.regional_nat:
            continue
        item = describe.interface_item(estate, i, i.created + 1)
        attached = item.get("Attachment", {})
        kind = classify(
            item["Description"], item["InterfaceType"], item.get("RequesterId"), attached.get("InstanceOwnerId"),
            attached.get("InstanceId"), {t["Key"]: t["Value"] for t in item["TagSet"]}, item["OwnerId"],
            i.subnet.vpc.region, item["RequesterManaged"],
        )  # fmt: skip
        assert kind.type == ("rds" if i.kind == "rds:instance" else i.kind), item


def test_the_estate_has_all_that_it_promises(estate: Estate) -> None:
    assert {i.kind for i in estate.interfaces} >= {
        "ec2:instance", "elbv2:application", "elbv2:network", "lambda:function", "rds:instance", "rds:proxy",
        "elasticache",
        "vpc_endpoint", "nat_gateway", "transit_gateway", "efs", "ecs:task", "eks:control_plane", "eks:node", "eks:pod",
        "opensearch",
    }  # fmt: skip
    assert any(i.regional_nat for i in estate.interfaces)
    assert any(i.prefixes for i in estate.interfaces)
    assert any(len({h.address for h in i.holdings}) for i in estate.interfaces)
    assert any(i.address6 for i in estate.interfaces)
    assert any(s.shared_with for s in estate.subnets)
    assert {f.format for f in estate.flow_logs} == {"v2", "v5", "v11", "v5-console"}
    assert {f.traffic for f in estate.flow_logs} == {"ALL", "ACCEPT", "REJECT"}
    assert "parquet" in {f.file_format for f in estate.flow_logs}
    assert len({f.account.region if hasattr(f.account, "region") else f.region for f in estate.flow_logs}) == 2
    logged = {f.resource_id for f in estate.flow_logs}
    assert {v.id for v in estate.vpcs} - logged, "some VPC has no flow log"
    assert {s.id for s in estate.subnets} & logged, "some subnet has one of its own"


def test_an_address_that_moves_between_nodes_moves_in_time(estate: Estate) -> None:
    moved: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for i in estate.interfaces:
        for h in i.holdings:
            moved[f"{i.subnet.vpc.index}/{h.address}"].append((h.since, h.until, i.id))
    chains = [sorted(times) for times in moved.values() if len(times) > 1]
    assert chains
    assert all(a[1] < b[0] for times in chains for a, b in pairwise(times))


def test_about_as_many_interfaces_as_asked_are_there_at_a_time() -> None:
    for asked in (60, 300, 1_000):
        estate, _ = design(replace(small.settings(), interfaces=asked, accounts=3))
        at = estate.sizes.starts + 1_800_000
        alive = sum(i.created <= at < i.deleted for i in estate.interfaces)
        assert asked * 0.7 <= alive <= asked * 1.3 + 70


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"accounts": 1}, "at least 2 accounts"),
        ({"regions": 3}, "1 or 2 regions"),
        ({"formats": ("v12",)}, "no format 'v12'"),
        ({"records": 0}, "records must be"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_in_words(change: dict[str, object], words: str) -> None:
    with pytest.raises(BadSettings, match=words):
        design(replace(Settings(), **change))  # type: ignore[arg-type]


def test_the_truth_tells_when_tags_changed(demo_estate: Written) -> None:
    rows = demo_estate.ask(
        "select entity, count(*), max(since) = min(until) from {tags} group by 1 having count(*) > 1"
    )
    assert rows
    assert all(joined for _, _, joined in rows)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4_000)), max_size=120))
@settings(max_examples=50, deadline=None)
def test_a_subnets_addresses_are_given_to_one_at_a_time(acts: list[tuple[bool, int]]) -> None:
    pool, held, now = Addresses("10.0.0.0/25"), [], 0
    for give_back, wait in acts:
        now += wait
        if give_back and held:
            pool.give_back(held.pop(), now)
        elif len(held) < 100:
            address = pool.take(now)
            assert address not in held
            held.append(address)
