"""Client and server: by the inventory, by handshakes, by listeners learned, by well-known ports; else unknown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows import attribute
from tests.flows.worked import FLAGS, PLAIN, eni, event, flow_log, gone, lines, run, steady, sweep, vpc

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


# --- what another worker saw -----------------------------------------------------------------------------------------

LOGGED_TWICE = [*INVENTORY, *steady(flow_log("fl-2"))]


def record(interface: str, src: str, dst: str, size: int, tcp_flags: int | None, start: str = "10:01:00") -> str:
    """A record between 'address:port' and another as FLAGS or, without flags, as PLAIN has it."""
    ends = src.split(":") + dst.split(":")
    said = f"{interface} {ends[0]} {ends[2]} {ends[1]} {ends[3]} 6 {size} {start} {start[:-2]}59 ACCEPT OK"
    return said if tcp_flags is None else f"{said} {tcp_flags}"


@pytest.mark.parametrize("together", [True, False])
def test_a_syn_without_an_answer_tells_the_other_end_too_whoever_reads_its_records(together: bool) -> None:
    """eni-a opens 10.0.0.2:40000 from port 8080, which is a server's by the list; the SYN-ACK's record is lost. eni-b's
    format has no tcp-flags, and another worker reads it: 100 up by the receiver eni-b, 900 down by the receiver eni-a.
    """
    one, two = "10.0.0.1:8080", "10.0.0.2:40000"
    saw = [record("eni-a", one, two, 100, 2), record("eni-a", two, one, 900, 0)]
    blind = [record("eni-b", one, two, 100, None), record("eni-b", two, one, 900, None)]
    logs = {"fl-1": lines(FLAGS, "\n".join(saw)), "fl-2": lines(PLAIN, "\n".join(blind))}
    answer = run(LOGGED_TWICE, logs, together=together)
    assert answer.show(*SIDES) == [("10.0.0.1", "10.0.0.2", 40000, 100, 900, "handshake")]


@pytest.mark.parametrize("together", [True, False])
def test_a_syn_tells_of_its_connection_alone(together: bool) -> None:
    """The same two ports between others, in records without flags: there 8080 is the server's."""
    other = eni("eni-c", "10.0.0.3")
    saw = record("eni-a", "10.0.0.1:8080", "10.0.0.2:40000", 100, 2)
    blind = record("eni-c", "10.0.0.3:40000", "10.0.0.9:8080", 7, None)
    logs = {"fl-1": lines(FLAGS, saw), "fl-2": lines(PLAIN, blind)}
    answer = run([*LOGGED_TWICE, *steady(other)], logs, together=together)
    assert answer.show(*SIDES, client_addr="10.0.0.3") == [("10.0.0.3", "10.0.0.9", 8080, 7, 0, "well_known_port")]


@pytest.mark.parametrize("together", [True, False])
def test_handshakes_of_two_workers_that_contradict_each_other_tell_nothing(together: bool) -> None:
    """Each end opened the connection, says a SYN in another object: the well-known port decides, for both."""
    one, two = "10.0.0.1:41000", "10.0.0.2:8080"
    saw = [[record("eni-a", one, two, 100, 2)], [record("eni-a", two, one, 900, 2, "10:02:00")]]
    logs = {"fl-1": [lines(FLAGS, "\n".join(part)) for part in saw]}
    answer = run(INVENTORY, logs, together=together)
    assert answer.show(*SIDES) == [("10.0.0.1", "10.0.0.2", 8080, 100, 900, "well_known_port")]


def test_an_end_that_its_own_record_tells_listens_as_the_inventory_says() -> None:
    """At 10:01:30 10.0.0.3 came from eni-old to a load balancer's interface, which listens on 55000. A record around
    then could be of either; the other end's record of the same connection is the load balancer's own. Both say who is
    the client, though 8080 is a server's port by the list.
    """
    arn = "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/front/0123456789abcdef"
    old, new = (
        eni("eni-old", "10.0.0.3"),
        eni("eni-lb", "10.0.0.3", description="ELB app/front/0123456789abcdef", requester_id="amazon-elb"),
    )
    listens = {"kind": "load_balancer", "entity_id": arn, "arn": arn, "name": "front", "vpc_id": "vpc-1"}
    inventory = [
        *steady(VPC, A, {**listens, "ports": [55000]}, flow_log("fl-1"), flow_log("fl-2")),
        *sweep("09:00", old, kinds=()),
        gone("10:01:30", "eni-old"),
        event("10:01:30", new, name="CreateNetworkInterface"),
        *sweep("12:00", A, new),
    ]
    ends = ("10.0.0.3:55000", "10.0.0.1:8080")
    logs = {"fl-1": record("eni-a", *ends, 900, None), "fl-2": record("eni-lb", *ends[::-1], 100, None)}
    logs = {name: lines(PLAIN, line.replace("10:01:00 10:01:59", "10:01:40 10:01:50")) for name, line in logs.items()}
    answer = run(inventory, logs)
    assert answer.show(*SIDES) == [("10.0.0.1", "10.0.0.3", 55000, 100, 900, "inventory")]


PORTS = st.sampled_from([443, 8080, 40000, 40001, 50000])
SAW = st.sampled_from([None, 0, 2, 18])
CONNECTION = st.tuples(PORTS, PORTS, st.booleans(), st.lists(SAW, min_size=4, max_size=4))


PEERS = [eni(f"eni-{n}", f"10.0.1.{n}") for n in range(4)]


@given(st.lists(CONNECTION, min_size=1, max_size=len(PEERS)), st.booleans())
def test_no_connection_has_its_client_at_both_ends(connections: Sequence[tuple], flagged: bool) -> None:
    """Connections of eni-a with others, one each, recorded at both ends; who saw which flags, and where, is chance.
    However workers share the objects each is published one way round, the same: 100 bytes up and 900 down.
    """
    parts: dict[tuple[str, str], list[str]] = {(log, way): [] for log in ("fl-1", "fl-2") for way in ("up", "down")}
    for peer, (port, other, a_opens, saw) in enumerate(connections):
        a, b = f"10.0.0.1:{port}", f"10.0.1.{peer}:{other}"
        client, server = (a, b) if a_opens else (b, a)
        for (log, way), tcp_flags in zip(parts, saw, strict=True):
            ends, size, may_be = ((client, server), 100, 2) if way == "up" else ((server, client), 900, 18)
            said = tcp_flags if tcp_flags == may_be else 0
            with_flags = flagged or log == "fl-1"
            line = record("eni-a" if log == "fl-1" else f"eni-{peer}", *ends, size, said if with_flags else None)
            parts[log, way].append(line)
    logs: dict[str, list[str]] = {"fl-1": [], "fl-2": []}
    for (log, _), body in parts.items():
        logs[log].append(lines(FLAGS if flagged or log == "fl-1" else PLAIN, "\n".join(body)))
    inventory = [*LOGGED_TWICE, *steady(*PEERS)]
    alone, at_once = (run(inventory, logs, window=3600, together=together) for together in (False, True))
    assert alone.show(*SIDES) == at_once.show(*SIDES)
    sizes = {(row["uploaded"], row["downloaded"]) for row in alone.rows if row["roles_by"] != "unknown"}
    assert sizes <= {(100, 900), (900, 100)}, alone.show(*SIDES)
