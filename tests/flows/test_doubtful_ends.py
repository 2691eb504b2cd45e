"""Ends that can't be told, or that another may have been: nobody is named, and no byte is lost or counted twice without
a word.
"""

from __future__ import annotations

import pytest

from flowlake.lake.hours import Hour
from tests.flows.worked import (
    PACKETS,
    PLAIN,
    Answer,
    Entity,
    attached,
    eni,
    event,
    flow_log,
    gone,
    lines,
    peering,
    run,
    stamp,
    steady,
    sweep,
    vpc,
)

VPC = vpc("vpc-1", "10.0.0.0/16")
A = eni("eni-a", "10.0.0.1")
OLD, NEW = eni("eni-old", "10.0.0.5"), eni("eni-new", "10.0.0.5")
V2 = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)


def named(answer: Answer, uploaded: int) -> set[str | None]:
    """The clients of rows with so many bytes up."""
    return {row["client_interface_id"] for row in answer.rows if row["uploaded"] == uploaded}


@pytest.mark.parametrize("new_logs", [True, False])
def test_an_interface_is_not_attested_three_minutes_after_its_deletion_event(new_logs: bool) -> None:
    """eni-old's one record has the bounds of its 600 s interval (10:28 to 10:38); it was deleted at 10:31:00, eni-new
    had the address from 10:31:10 to 10:35:00, all events arrived. eni-a spoke with eni-new at 10:34:10."""
    inventory = [
        *sweep("09:00", VPC, A, OLD, flow_log("fl-a", interval=60), flow_log("fl-o"), flow_log("fl-n", interval=60)),
        gone("10:31:00", "eni-old"),
        event("10:31:10", NEW),
        gone("10:35:00", "eni-new"),
        *sweep("12:00", VPC, A),
    ]
    logs = {
        "fl-o": lines(
            PACKETS, "eni-old 10.0.0.5 10.0.0.9 50000 443 6 70 10:28:00 10:37:59 ACCEPT OK 10.0.0.5 10.0.0.9"
        ),
        "fl-a": lines(PACKETS, "eni-a 10.0.0.5 10.0.0.1 40001 443 6 900 10:34:10 10:34:40 ACCEPT OK 10.0.0.5 10.0.0.1"),
    }
    if new_logs:  # eni-new's own record of the very connection does not help
        logs["fl-n"] = lines(
            PACKETS, "eni-new 10.0.0.5 10.0.0.1 40001 443 6 900 10:34:10 10:34:40 ACCEPT OK 10.0.0.5 10.0.0.1"
        )
    assert named(run(inventory, logs), 900) <= {"eni-new", None}


def test_an_interface_is_not_attested_after_its_deletion_by_an_older_record_of_the_same_ports() -> None:
    """UDP 500 to 500 (as NTP, IKE, SIP have). eni-old was deleted at 10:30:00, by event; nobody is known after it."""
    inventory = [
        *sweep("09:00", VPC, A, OLD, flow_log("fl-a", interval=60), flow_log("fl-o", interval=60)),
        gone("10:30:00", "eni-old"),
        *sweep("12:00", VPC, A),
    ]
    record = "10.0.0.5 10.0.0.1 500 500 17"
    tail = "ACCEPT OK 10.0.0.5 10.0.0.1"
    logs = {
        "fl-o": lines(PACKETS, f"eni-old {record} 70 10:29:20 10:29:40 {tail}"),
        "fl-a": lines(
            PACKETS, f"eni-a {record} 70 10:29:20 10:29:40 {tail}\neni-a {record} 900 10:36:30 10:36:50 {tail}"
        ),
    }
    assert named(run(inventory, logs), 900) <= {"eni-new", None}


def test_bytes_of_the_only_complete_reporter_are_not_set_aside_for_one_who_may_not_have_been_it() -> None:
    """eni-a sent 100 bytes to 10.0.0.5 while eni-old had it, which does not log. eni-new, which logs, came within the
    clocks' errors (and within 11 minutes is enough where the old holder's end is not proved)."""
    inventory = [
        *sweep("09:00", VPC, A, OLD, flow_log("fl-a", interval=60), flow_log("fl-n", interval=60)),
        gone("10:30:00", "eni-old"),
        event("10:30:20", NEW),
        *sweep("12:00", VPC, A, NEW),
    ]
    logs = {
        "fl-a": lines(PACKETS, "eni-a 10.0.0.1 10.0.0.5 40000 443 6 100 10:29:30 10:29:40 ACCEPT OK 10.0.0.1 10.0.0.5"),
        "fl-n": lines(PACKETS, "eni-new 10.0.0.9 10.0.0.5 41000 443 6 7 10:40:00 10:40:10 ACCEPT OK 10.0.0.9 10.0.0.5"),
    }
    answer = run(inventory, logs)
    assert answer.fates == {"counted": 107}


@pytest.mark.parametrize("kind", ["secondary, ICMP", "prefix, UDP"])
def test_a_movable_address_whose_holder_is_not_told_is_not_counted_at_both_ends(kind: str) -> None:
    """eni-b had 10.0.2.18 (last told at 09:00) until it was deleted at 10:30; then eni-c had it. eni-b logs without
    pkt-*. No loss, no event lost."""

    def holder(name: str, primary: str) -> Entity:
        if "prefix" in kind:
            return eni(name, primary, prefixes=["10.0.2.16/28"])
        return eni(name, primary, "10.0.2.18")

    b, c = holder("eni-b", "10.0.0.2"), holder("eni-c", "10.0.0.3")
    inventory = [
        *sweep("09:00", VPC, A, b, flow_log("fl-a"), flow_log("fl-b")),
        gone("10:30", "eni-b"),
        event("10:30:20", c),
        *sweep("12:00", VPC, A, c),
    ]
    ports = "443 40000 17" if "UDP" in kind else "0 0 1"
    a_line = f"eni-a 10.0.0.1 10.0.2.18 {ports} 100 10:13:00 10:13:10 ACCEPT OK 10.0.0.1 10.0.2.18"
    b_line = f"eni-b 10.0.0.1 10.0.0.2 {ports} 100 10:13:00 10:13:10 ACCEPT OK"
    answer = run(inventory, {"fl-a": lines(PACKETS, a_line), "fl-b": lines(PLAIN, b_line)})
    doubted = any("possibly_doubled" in row["flags"] for row in answer.rows)
    assert doubted or answer.fates["counted"] == 100


@pytest.mark.parametrize("how", ["peering", "transit gateway"])
def test_an_address_in_two_reachable_vpcs_of_one_range_is_not_counted_at_both_ends(how: str) -> None:
    """vpc-a and vpc-c have the same range; vpc-b reaches both. All log, nothing is lost. 100 bytes from b to a."""
    edges = (
        [peering("vpc-b", "vpc-a"), peering("vpc-b", "vpc-c")]
        if how == "peering"
        else [attached(v) for v in ("vpc-a", "vpc-b", "vpc-c")]
    )
    ranges = [vpc("vpc-a", "10.0.0.0/16"), vpc("vpc-b", "10.1.0.0/16"), vpc("vpc-c", "10.0.0.0/16")]
    ends = [eni("eni-a", "10.0.0.1", vpc="vpc-a"), eni("eni-b", "10.1.0.1", vpc="vpc-b", subnet="subnet-b")]
    sent = "10.1.0.1 10.0.0.1 40000 443 6 100 10:10:00 10:10:10 ACCEPT OK 10.1.0.1 10.0.0.1"
    logs = {"fl-a": lines(PACKETS, f"eni-a {sent}"), "fl-b": lines(PACKETS, f"eni-b {sent}")}
    answer = run(steady(*ranges, *ends, *edges, flow_log("fl-a"), flow_log("fl-b")), logs)
    doubted = any("possibly_doubled" in row["flags"] for row in answer.rows)
    assert doubted or answer.fates["counted"] == 100


def test_the_order_of_objects_does_not_matter_to_what_is_known_of_an_interface_that_the_inventory_lacks() -> None:
    """eni-x is in no inventory. One of its flow logs has vpc-id and subnet-id, the other account-id only."""
    pairs = [("10.0.0.7 10.0.0.1", 100), ("10.0.0.7 10.0.0.8", 1)]

    def body(head: str, tail: str) -> str:
        return "\n".join(
            f"{head}eni-x {pair} 40000 443 6 {size} 10:10:00 10:10:10 ACCEPT OK{tail and tail + ' ' + pair}"
            for pair, size in pairs
        )

    texts = {
        "fl-x": lines("account-id " + PLAIN, body("111111111111 ", "")),
        "fl-y": lines(PLAIN + " vpc-id subnet-id pkt-srcaddr pkt-dstaddr", body("", " vpc-1 subnet-1")),
        "fl-a": lines(PACKETS, "eni-a 10.0.0.7 10.0.0.1 40000 443 6 100 10:10:00 10:10:10 ACCEPT OK 10.0.0.7 10.0.0.1"),
    }
    inventory = steady(VPC, A, *map(flow_log, texts))
    told = [
        sorted(map(str, run(inventory, {k: texts[k] for k in order}, together=together).rows))
        for order, together in (
            (("fl-y", "fl-x", "fl-a"), True),
            (("fl-x", "fl-y", "fl-a"), False),
            (("fl-x", "fl-y", "fl-a"), True),
        )
    ]
    assert told[0] == told[1]
    assert told[0] == told[2]


def test_of_two_complete_flow_logs_the_same_one_is_chosen_in_each_hour() -> None:
    """Both ALL, 600 s, their intervals begin at different minutes; NODATA where nothing was; no loss. The 100 bytes
    begin at 10:59 by one (its interval's bounds) and at 11:03 by the other."""

    def text(second: int, begins: str, ends: str, silent: tuple) -> str:
        quiet = "\n".join(f"eni-a - - - - - - {at} - NODATA" for at in silent)
        return lines(PLAIN, f"eni-a 10.0.0.1 8.8.8.8 40000 443 6 100 {begins} {ends} ACCEPT OK\n{quiet}")

    def spans(minute: int, but: tuple) -> tuple:
        return tuple(
            f"{10 + at // 60}:{at % 60:02d}:00 {10 + (at + 9) // 60}:{(at + 9) % 60:02d}:59"
            for at in range(minute - 10, 120, 10)
            if at >= 0 and at not in but
        )

    logs = {
        "fl-1": text(0, "10:59:00", "11:08:59", spans(9, (59,))),
        "fl-2": text(0, "11:03:00", "11:12:59", spans(13, (63,))),
    }
    inventory = steady(VPC, A, flow_log("fl-1"), flow_log("fl-2"))
    answers = [run(inventory, logs, hour=Hour.parse(f"2026-01-01T{hour}")) for hour in (10, 11)]
    assert sum(row["uploaded"] for answer in answers for row in answer.rows) == 100


def test_a_transit_gateways_interface_is_no_end_of_ipv6_traffic_in_the_default_format() -> None:
    """The server is not in the inventory. Both flow logs have the default format: an IPv6 address shows itself."""
    one, two = "2600:1f18:0:a00::1", "2600:1f18:0:b00::1"
    ends = [
        eni("eni-a", "10.0.0.1", one, vpc="vpc-a"),
        eni("eni-tgw", "10.1.8.8", vpc="vpc-b", subnet="subnet-t", interface_type="transit_gateway"),
    ]
    ranges = [vpc("vpc-a", "10.0.0.0/16", "2600:1f18:0:a00::/56"), vpc("vpc-b", "10.1.0.0/16", "2600:1f18:0:b00::/56")]

    def both(name: str) -> str:
        return lines(
            V2,
            f"""2 1 {name} {one} {two} 40000 443 6 1 100 10:10:00 10:10:10 ACCEPT OK
            2 1 {name} {two} {one} 443 40000 6 1 9000 10:10:00 10:10:10 ACCEPT OK""",
        )

    inventory = steady(*ranges, *ends, attached("vpc-a"), attached("vpc-b"), flow_log("fl-a"), flow_log("fl-t"))
    answer = run(inventory, {"fl-a": both("eni-a"), "fl-t": both("eni-tgw")})
    direct = answer.show("server_interface_id", "uploaded", "downloaded", leg="direct")
    assert direct == [(None, 100, 9000)]


def test_the_far_end_of_a_record_is_never_its_own_reporter() -> None:
    """10.0.2.18 went from eni-b, which does not log, to eni-a at 10:20:00 (one event: AssignPrivateIpAddresses with
    reassignment). eni-a spoke with it at 10:19:20, and from it at 10:21:00."""
    b = eni("eni-b", "10.0.0.2", "10.0.2.18")
    node = {"kind": "interface", "entity_id": "eni-a"}
    inventory = [
        *sweep("09:00", VPC, A, b, flow_log("fl-a", interval=60)),
        event("10:20:00", node, "partial", "AssignPrivateIpAddresses", addresses_added=["10.0.2.18"]),
        *sweep("12:00", VPC, eni("eni-a", "10.0.0.1", "10.0.2.18"), eni("eni-b", "10.0.0.2")),
    ]
    log = lines(
        PACKETS,
        """eni-a 10.0.0.1 10.0.2.18 40000 443 6 100 10:19:20 10:19:40 ACCEPT OK 10.0.0.1 10.0.2.18
        eni-a 10.0.0.1 10.0.0.9 40001 443 6 7 10:21:00 10:21:10 ACCEPT OK 10.0.2.18 10.0.0.9""",
    )
    answer = run(inventory, {"fl-a": log})
    assert answer.fates == {"counted": 107}
    assert answer.show("server_interface_id", uploaded=100) in ([(None,)], [("eni-b",)])


W, EIP = "93.184.216.34", "52.0.0.9"


@pytest.mark.parametrize("known", [True, False])
def test_what_passes_a_transit_gateway_by_ipv6_is_not_its_interfaces_own(known: bool) -> None:
    """IPv6 shows its own addresses on the gateway's interface too; the ends do not log, so its records count. What it
    is the inventory tells, or the record's own interface-type.
    """
    one, two = "2600:1f18:0:a00::1", "2600:1f18:0:b00::1"
    ranges = [vpc("vpc-a", "10.0.0.0/16", "2600:1f18:0:a00::/56"), vpc("vpc-b", "10.1.0.0/16", "2600:1f18:0:b00::/56")]
    gateway = eni("eni-t", "10.1.8.8", vpc="vpc-b", subnet="subnet-t", interface_type="transit_gateway")
    ends = [eni("eni-a", "10.0.0.1", one, vpc="vpc-a"), eni("eni-b", "10.1.0.1", two, vpc="vpc-b", subnet="subnet-b")]
    time = "10:10:00 10:10:10 ACCEPT OK"
    log = f"""
    eni-t {one} {two} 40000 443 6 100 {time} {one} {two} egress transit_gateway vpc-b
    eni-t {two} {one} 443 40000 6 9000 {time} {two} {one} ingress transit_gateway vpc-b
    """
    inventory = steady(
        *ranges, *([gateway] if known else []), *ends, attached("vpc-a"), attached("vpc-b"), flow_log("fl-t")
    )
    answer = run(inventory, {"fl-t": lines(PACKETS + " flow-direction interface-type vpc-id", log)})
    ways = ("client_interface_id", "server_interface_id", "leg", "uploaded", "downloaded")
    assert answer.show(*ways) == [("eni-a", "eni-b", "direct", 100, 9000)]


def test_what_a_nameless_gateway_sent_in_counts_once_without_directions() -> None:
    """A regional NAT gateway in a format without resource-id and flow-direction: 300 bytes up, 700 down."""
    records = [
        ("eni-a", "10.0.0.1", W, 50000, 443, 300), ("eni-a", W, "10.0.0.1", 443, 50000, 700),
        ("-", "10.0.0.1", W, 50000, 443, 300), ("-", EIP, W, 61000, 443, 300),
        ("-", W, EIP, 443, 61000, 700), ("-", W, "10.0.0.1", 443, 50000, 700),
    ]  # fmt: skip
    text = "\n".join(
        f"{who} {s} {d} {sp} {dp} 6 {n} 10:01:00 10:01:59 ACCEPT OK {s} {d}" for who, s, d, sp, dp, n in records
    )
    covers = {**flow_log("fl-1"), "detail": {"traffic_type": "ALL", "resource_id": "vpc-1"}}
    answer = run(steady(VPC, A, covers), {"fl-1": lines(PACKETS, text)})
    assert answer.fates == {"counted": 1000, "other_reporter": 1000, "nat_outside": 1000}


def test_a_gateway_whose_vpc_nobody_tells_may_double_and_says_so() -> None:
    """v11's interface-type tells that eni-n is a NAT gateway, and nothing tells in which VPC."""
    tail = "10:01:00 10:01:59 ACCEPT OK"
    log = f"""
    eni-a 10.0.0.1 {W} 50000 443 6 300 {tail} 10.0.0.1 {W} egress interface
    eni-n 10.0.0.1 10.0.9.9 50000 443 6 300 {tail} 10.0.0.1 {W} ingress nat_gateway
    """
    answer = run(steady(VPC, A, flow_log("fl-a")), {"fl-a": lines(f"{PACKETS} flow-direction interface-type", log)})
    assert answer.show("leg", "flags") == [("direct", []), ("nat_inside", ["possibly_doubled"])]


def test_a_stranger_that_pinged_one_other_may_double_and_says_so() -> None:
    """eni-x is in no inventory and shows two addresses; without ports the other's record can't be told as the same."""
    covers = {**flow_log("fl-x"), "detail": {"traffic_type": "ALL", "resource_id": "vpc-1"}}
    record = """
    {0} 10.0.0.7 10.0.0.1 {1} 100 10:10:00 10:10:10 ACCEPT OK
    {0} 10.0.0.1 10.0.0.7 {2} 30 10:10:00 10:10:10 ACCEPT OK
    """
    for there, back, total in (("40000 443 6", "443 40000 6", 130), ("0 0 1", "0 0 1", 160)):
        logs = {f"fl-{x}": lines(PLAIN, record.format(f"eni-{x}", there, back)) for x in "xa"}
        answer = run(steady(VPC, A, covers, flow_log("fl-a")), logs)
        assert answer.fates["counted"] == total
        assert any("possibly_doubled" in row["flags"] for row in answer.rows) == (total > 130)


def test_an_interface_is_not_attested_before_it_was_made() -> None:
    """Nobody had 10.0.0.5 from 10:27 to 10:31, all was told. What eni-a recorded of it at 10:28:40 is not eni-new's,
    who used it at 10:31:30, by another port.
    """
    known = [VPC, A, flow_log("fl-a", interval=60), flow_log("fl-n", interval=60)]
    inventory = [
        *sweep("09:00", *known, OLD),
        gone("10:27:00", "eni-old"),
        event("10:31:00", {**NEW, "created_at": stamp("10:31:00")}),
        *sweep("12:00", *known, NEW),
    ]
    record = "{} {} {} 443 6 {} {} ACCEPT OK {}"
    logs = {
        "fl-a": record.format("eni-a", "10.0.0.5 10.0.0.1", 40001, 900, "10:28:40 10:29:40", "10.0.0.5 10.0.0.1"),
        "fl-n": record.format("eni-new", "10.0.0.5 10.0.0.9", 50000, 70, "10:31:30 10:31:50", "10.0.0.5 10.0.0.9"),
    }
    answer = run(inventory, {log: lines(PACKETS, text) for log, text in logs.items()})
    assert named(answer, 900) == {None}


@pytest.mark.parametrize("ports", [["0 0 1"] * 4, ["50000 443 6", "443 50000 6", "61000 443 6", "443 61000 6"]])
def test_what_a_client_sent_through_a_private_gateway_that_can_not_name_it_counts(ports: list[str]) -> None:
    """eni-a was deleted 30 s after its ping: the gateway's record, which has but the address, is nobody's."""
    there, back, beyond, from_beyond = ports
    gateway = eni("eni-nat", "10.0.9.9", interface_type="nat_gateway")
    server = eni("eni-s", "10.1.0.7", vpc="vpc-2", subnet="subnet-2")
    time = "10:10:00 10:10:20 ACCEPT OK"
    c, s, n = "10.0.0.1", "10.1.0.7", "10.0.9.9"
    logs = {
        "fl-c": f"eni-a {c} {s} {there} 300 {time} {c} {s}\neni-a {s} {c} {back} 700 {time} {s} {c}",
        "fl-n": f"""
            eni-nat {c} {n} {there} 300 {time} {c} {s}
            eni-nat {n} {s} {beyond} 300 {time} {n} {s}
            eni-nat {s} {n} {from_beyond} 700 {time} {s} {n}
            eni-nat {n} {c} {back} 700 {time} {s} {c}""",
        "fl-s": f"eni-s {n} {s} {beyond} 300 {time} {n} {s}\neni-s {s} {n} {from_beyond} 700 {time} {s} {n}",
    }
    ranges = [VPC, vpc("vpc-2", "10.1.0.0/16"), attached("vpc-1"), attached("vpc-2")]
    rest = [*ranges, gateway, server, *map(flow_log, logs)]
    inventory = [*sweep("09:00", A, *rest), gone("10:10:50", "eni-a"), *sweep("12:00", *rest)]
    answer = run(inventory, {log: lines(PACKETS, text) for log, text in logs.items()})
    assert answer.fates["counted"] == 1000


@pytest.mark.parametrize(("format_", "flags"), [(PLAIN, ["possibly_doubled"]), (PACKETS, [])])
def test_where_formats_show_primary_addresses_an_address_of_nobody_may_be_a_reporters(
    format_: str, flags: list[str]
) -> None:
    """eni-b had 10.0.0.77 for a while, which no event told. Its own record shows it where the format has the packets'
    addresses; else the primary one, and both records count.
    """
    sent = "eni-a 10.0.0.1 10.0.0.77 40000 443 6 100 10:10:00 10:10:10 ACCEPT OK"
    got = "eni-b 10.0.0.1 10.0.0.2 40000 443 6 100 10:10:00 10:10:10 ACCEPT OK"
    packets = " 10.0.0.1 10.0.0.77" if format_ == PACKETS else ""
    inventory = steady(VPC, eni("eni-a", "10.0.0.1"), eni("eni-b", "10.0.0.2"), flow_log("fl-a"), flow_log("fl-b"))
    answer = run(inventory, {"fl-a": lines(format_, sent + packets), "fl-b": lines(format_, got + packets)})
    assert {row["server_interface_id"]: row["flags"] for row in answer.rows} == (
        {None: flags, "eni-b": []} if format_ == PLAIN else {"eni-b": []}
    )
    assert sum(row["uploaded"] for row in answer.rows if not row["flags"]) == 100
