"""Client and server: by the inventory, by handshakes, by listeners learned, by well-known ports; else unknown."""

from __future__ import annotations

import pytest

from flowlake.flows import attribute
from tests.flows.worked import FLAGS, PLAIN, eni, flow_log, lines, run, steady, vpc

VPC = vpc("vpc-1", "10.0.0.0/16", "2600:1f18::/56")
A, B = eni("eni-a", "10.0.0.1", "2600:1f18::1"), eni("eni-b", "10.0.0.2", "2600:1f18::2")
SIDES = ("client_addr", "server_addr", "server_port", "uploaded", "downloaded", "roles_by")
INVENTORY = steady(VPC, A, B, flow_log("fl-1"))


def flags(*records: str) -> str:
    """Records of eni-a with ports, bytes and tcp-flags: 'src dst srcport dstport bytes flags start'."""
    body = []
    for record in records:
        src, dst, srcport, dstport, size, tcp_flags, start = record.split()
        body.append(f"eni-a {src} {dst} {srcport} {dstport} 6 {size} {start} {start[:-2]}59 ACCEPT OK {tcp_flags}")
    return lines(FLAGS, "\n".join(body))


@pytest.mark.parametrize(
    ("up", "down"),
    [
        (2, 18),  # SYN from the client, SYN-ACK from the server
        (2, 0),  # the SYN alone
        (0, 18),  # the SYN-ACK alone
        (3, 19),  # with FIN, in one interval
    ],
)
def test_handshakes_tell_the_sides_though_the_ports_say_nothing(up: int, down: int) -> None:
    log = flags(
        f"10.0.0.1 10.0.0.9 40001 40000 100 {up} 10:01:00", f"10.0.0.9 10.0.0.1 40000 40001 900 {down} 10:01:00"
    )
    assert run(INVENTORY, {"fl-1": log}).show(*SIDES) == [("10.0.0.1", "10.0.0.9", 40000, 100, 900, "handshake")]


def test_a_handshake_tells_of_the_whole_connection_however_its_sums_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SYN at 10:01; both ways at 10:40 it still tells who is the client, though each sum is worked on alone."""
    monkeypatch.setattr(attribute, "SUMS_AT_ONCE", 1)
    log = flags(
        "10.0.0.1 10.0.0.9 40001 40000 1 2 10:01:00",
        "10.0.0.9 10.0.0.1 40000 40001 900 0 10:40:00",
        "10.0.0.1 10.0.0.9 40001 40000 100 0 10:40:00",
    )
    answer = run(INVENTORY, {"fl-1": log})
    assert answer.show(*SIDES, window_start="10:40:00") == [("10.0.0.1", "10.0.0.9", 40000, 100, 900, "handshake")]


def test_a_handshake_outweighs_well_known_ports() -> None:
    """Port 8080 as the client's, by chance: the SYN goes from it."""
    log = flags("10.0.0.1 10.0.0.9 8080 40000 100 2 10:01:00")
    assert run(INVENTORY, {"fl-1": log}).show(*SIDES) == [("10.0.0.1", "10.0.0.9", 40000, 100, 0, "handshake")]


@pytest.mark.parametrize("together", [True, False])
def test_long_connection_without_a_handshake_in_its_window_goes_by_the_listener_learned(together: bool) -> None:
    """10.0.0.9 answered a SYN on port 40000 at 10:01; the connection of 10:40 shows flags 0 only, in another object."""
    first = flags("10.0.0.1 10.0.0.9 41000 40000 1 2 10:01:00", "10.0.0.9 10.0.0.1 40000 41000 1 18 10:01:00")
    later = flags("10.0.0.1 10.0.0.9 50123 40000 100 0 10:40:00", "10.0.0.9 10.0.0.1 40000 50123 900 0 10:40:00")
    answer = run(INVENTORY, {"fl-1": [first, later]}, together=together)
    assert answer.show(*SIDES, window_start="10:40:00") == [("10.0.0.1", "10.0.0.9", 40000, 100, 900, "listener")]


def test_a_listener_in_another_vpc_is_not_this_ones() -> None:
    """The same address and port in vpc-2, not connected: it teaches nothing about vpc-1's."""
    other = eni("eni-z", "10.0.0.77", vpc="vpc-2")
    inventory = steady(VPC, vpc("vpc-2", "10.0.0.0/16"), A, other, flow_log("fl-1"), flow_log("fl-2"))
    taught = lines(FLAGS, "eni-z 10.0.0.9 10.0.0.77 40000 41000 6 1 10:01:00 10:01:59 ACCEPT OK 18")
    log = flags("10.0.0.1 10.0.0.9 50123 40000 100 0 10:40:00")
    answer = run(inventory, {"fl-1": log, "fl-2": taught})
    assert answer.show("roles_by", window_start="10:40:00") == [("unknown",)]


def test_the_inventory_comes_first() -> None:
    """The load balancer listens on 55000, says the inventory, at that time; the port of its client is a well-known
    one."""
    arn = "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/front/0123456789abcdef"
    balancer = eni(
        "eni-lb",
        "10.0.0.3",
        description="ELB app/front/0123456789abcdef",
        requester_id="amazon-elb",
        instance_owner_id="amazon-elb",
    )
    listens = {
        "kind": "load_balancer",
        "entity_id": arn,
        "arn": arn,
        "name": "front",
        "vpc_id": "vpc-1",
        "ports": [55000],
    }
    log = lines(PLAIN, "eni-a 10.0.0.3 10.0.0.1 55000 8080 6 100 10:01:00 10:01:59 ACCEPT OK")
    answer = run(steady(VPC, A, balancer, listens, flow_log("fl-1")), {"fl-1": log})
    assert answer.show(*SIDES) == [("10.0.0.1", "10.0.0.3", 55000, 0, 100, "inventory")]
    # At 10.0.0.9 nobody is known to listen: the well-known port decides.
    log = lines(PLAIN, "eni-a 10.0.0.9 10.0.0.1 55000 8080 6 100 10:01:00 10:01:59 ACCEPT OK")
    answer = run(steady(VPC, A, balancer, listens, flow_log("fl-1")), {"fl-1": log})
    assert answer.show(*SIDES) == [("10.0.0.9", "10.0.0.1", 8080, 100, 0, "well_known_port")]


@pytest.mark.parametrize(
    ("protocol", "srcport", "dstport", "expected"),
    [
        (6, 50000, 443, ("10.0.0.1", "10.0.0.9", 443, "well_known_port")),
        (6, 443, 50000, ("10.0.0.9", "10.0.0.1", 443, "well_known_port")),
        (6, 50000, 5432, ("10.0.0.1", "10.0.0.9", 5432, "well_known_port")),
        (17, 50000, 53, ("10.0.0.1", "10.0.0.9", 53, "well_known_port")),
        # Both or neither well known: not told, and the reporter's direction kept.
        (6, 50000, 40000, ("10.0.0.1", "10.0.0.9", 40000, "unknown")),
        (17, 123, 123, ("10.0.0.1", "10.0.0.9", 123, "unknown")),
        # 5432 is known for TCP, not for UDP.
        (17, 50000, 5432, ("10.0.0.1", "10.0.0.9", 5432, "unknown")),
        # ICMP has no ports, whatever the record shows.
        (1, 0, 0, ("10.0.0.1", "10.0.0.9", None, "unknown")),
        (1, 50000, 443, ("10.0.0.1", "10.0.0.9", None, "unknown")),
        (58, 0, 0, ("10.0.0.1", "10.0.0.9", None, "unknown")),
        (47, 0, 0, ("10.0.0.1", "10.0.0.9", None, "unknown")),
    ],
)
def test_ports_tell_where_exactly_one_is_well_known(protocol: int, srcport: int, dstport: int, expected: tuple) -> None:
    log = lines(PLAIN, f"eni-a 10.0.0.1 10.0.0.9 {srcport} {dstport} {protocol} 100 10:01:00 10:01:59 ACCEPT OK")
    assert run(INVENTORY, {"fl-1": log}).show("client_addr", "server_addr", "server_port", "roles_by") == [expected]


def test_unknown_roles_keep_each_direction_as_a_row_of_its_own() -> None:
    log = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.9 0 0 1 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.9 10.0.0.1 0 0 1 100 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    assert run(INVENTORY, {"fl-1": log}).show(*SIDES) == [
        ("10.0.0.1", "10.0.0.9", None, 100, 0, "unknown"),
        ("10.0.0.9", "10.0.0.1", None, 100, 0, "unknown"),
    ]


def test_ipv6_ends_have_sides_too() -> None:
    log = lines(
        FLAGS,
        """
        eni-a 2600:1f18::1 2600:1f18::2 41000 40000 6 100 10:01:00 10:01:59 ACCEPT OK 2
        eni-a 2600:1f18::2 2600:1f18::1 40000 41000 6 900 10:01:00 10:01:59 ACCEPT OK 18
        """,
    )
    answer = run(INVENTORY, {"fl-1": log})
    assert answer.show(*SIDES, "client_interface_id", "server_interface_id") == [
        ("2600:1f18::1", "2600:1f18::2", 40000, 100, 900, "handshake", "eni-a", "eni-b")
    ]


def test_both_ends_answering_is_no_answer() -> None:
    """Records that contradict each other (a port taken over within the interval): the ports decide, or nothing does."""
    log = flags("10.0.0.1 10.0.0.9 41000 40000 100 18 10:01:00", "10.0.0.9 10.0.0.1 40000 41000 900 18 10:01:00")
    assert {row["roles_by"] for row in run(INVENTORY, {"fl-1": log}).rows} == {"unknown"}
