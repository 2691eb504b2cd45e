"""Whose address it was: the far end by the book's intervals, by the hour's own records, by what else is known; never
by a guess."""

from __future__ import annotations

import pytest

from tests.flows.worked import (
    PACKETS,
    PLAIN,
    Answer,
    attached,
    eni,
    event,
    flow_log,
    gone,
    lines,
    peering,
    run,
    seen,
    steady,
    sweep,
    vpc,
)

VPC = vpc("vpc-1", "10.0.0.0/16")
VPC2 = vpc("vpc-2", "10.2.0.0/16")
A = eni("eni-a", "10.0.0.1")
SERVER = ("server_interface_id", "server_attribution", "uploaded", "flags")


def to(address: str, *times: str, port: int = 50000) -> str:
    """Records of eni-a that sends 100 bytes at each time ('10:01:00-10:01:59') to the address's port 443, each from a
    new port."""
    rows = []
    for number, span in enumerate(times):
        start, end = span.split("-")
        rows.append(f"eni-a 10.0.0.1 {address} {port + number} 443 6 100 {start} {end} ACCEPT OK")
    return lines(PLAIN, "\n".join(rows))


def server_of(answer: Answer) -> list[tuple]:
    return answer.show("started_at", *SERVER)


# --- by time ---------------------------------------------------------------------------------------------------------

REUSED = [
    *sweep("09:00", VPC, A, flow_log("fl-1")),
    event("09:30", eni("eni-old", "10.0.0.5")),
    gone("10:01:40", "eni-old"),
    event("10:03:30", eni("eni-new", "10.0.0.5")),
    *sweep("12:00", A, eni("eni-new", "10.0.0.5")),
]


def test_address_reused_within_one_window_belongs_to_its_holder_at_that_time() -> None:
    """Window 10:00 to 10:05. eni-old until 10:01:40, eni-new from 10:03:30; between them it was nobody's that we
    know."""
    times = ("10:00:10-10:00:40", "10:02:15-10:02:25", "10:04:30-10:04:50")
    assert server_of(run(REUSED, {"fl-1": to("10.0.0.5", *times)})) == [
        ("10:00:10", "eni-old", "interval", 100, []),
        ("10:02:15", None, "none", 100, []),
        ("10:04:30", "eni-new", "interval", 100, []),
    ]


SWIFT = [
    *sweep("09:00", VPC, A, flow_log("fl-1")),
    event("09:30", eni("eni-old", "10.0.0.5")),
    gone("10:02:00", "eni-old"),
    event("10:02:10", eni("eni-new", "10.0.0.5")),
    *sweep("12:00", A, eni("eni-new", "10.0.0.5")),
]


def test_records_too_near_a_swift_change_belong_to_nobody_and_are_counted() -> None:
    """Ten seconds lie between the two; a record's times may be off by 60 s. 10:00:40 + 60 s ends before eni-new's
    birth, 10:03:10 - 60 s after eni-old's end. The two between them are one row of 200."""
    times = ("10:00:20-10:00:40", "10:01:20-10:01:40", "10:02:20-10:02:40", "10:03:10-10:03:40")
    answer = run(SWIFT, {"fl-1": to("10.0.0.5", *times)})
    assert server_of(answer) == [
        ("10:00:20", "eni-old", "interval", 100, []),
        ("10:01:20", None, "none", 200, ["contested_server"]),
        ("10:03:10", "eni-new", "interval", 100, []),
    ]
    assert answer.coverage["fl-1"]["contested_bytes"] == 200
    assert answer.coverage["fl-1"]["unattributed_bytes"] == 200


@pytest.mark.parametrize(
    ("span", "flags"),
    [
        ("10:00:50-10:01:09", []),  # too near eni-old's end to be surely its; 61 s before eni-new's birth
        ("10:00:50-10:01:10", ["contested_server"]),  # 60 s before it: either's
        ("10:03:00-10:03:30", ["contested_server"]),  # 60 s after eni-old's end, 50 after eni-new's birth
        ("10:03:01-10:03:30", []),  # 61 s after it: never eni-old's, and not surely eni-new's
    ],
)
def test_whoever_held_it_within_60_seconds_contests_it(span: str, flags: list[str]) -> None:
    assert run(SWIFT, {"fl-1": to("10.0.0.5", span)}).show(*SERVER) == [(None, "none", 100, flags)]


def test_the_first_interface_of_the_book_contests_like_any_other() -> None:
    """As in SWIFT, but the book's first interface is the old holder: of an address, and of a prefix."""
    old, new = eni("eni-0", "10.0.0.5"), eni("eni-1", "10.0.0.5")
    node, other = ({"kind": "interface", "entity_id": name} for name in ("eni-0", "eni-1"))
    given = {"addresses_added": ["10.0.4.16/28"], "name": "AssignPrivateIpAddresses"}
    taken = {"addresses_removed": ["10.0.4.16/28"], "name": "UnassignPrivateIpAddresses"}
    address = [event("09:30", old), gone("10:02:00", "eni-0"), event("10:02:10", new), *sweep("12:00", A, new)]
    two = eni("eni-0", "10.0.0.8"), eni("eni-1", "10.0.0.9")
    prefix = [*sweep("09:00", *two), event("09:30", node, "partial", **given), *sweep("12:00", A, *two)]
    prefix += [event("10:02:00", node, "partial", **taken), event("10:02:10", other, "partial", **given)]
    for story, asked in ((address, "10.0.0.5"), (prefix, "10.0.4.20")):
        inventory = [*sweep("09:00", VPC, A, flow_log("fl-1")), *story]
        answer = run(inventory, {"fl-1": to(asked, "10:01:20-10:01:40")})
        assert answer.show(*SERVER) == [(None, "none", 100, ["contested_server"])]


@pytest.mark.parametrize(
    ("port", "told"), [(50000, ("eni-new", "attested", [])), (50001, (None, "none", ["contested_server"]))]
)
def test_the_other_record_of_the_connection_settles_what_is_contested(port: int, told: tuple) -> None:
    """Both may have had the address; but one connection has one pair of ports, and the own record of it names eni-new.

    A record of another connection settles nothing: eni-old's may have been lost. (What kind of log fl-2 is nobody
    knows, so that eni-a's records count.)"""
    own = lines(PLAIN, f"eni-new 10.0.0.1 10.0.0.5 {port} 443 6 93 10:01:30 10:01:50 ACCEPT OK")
    answer = run(SWIFT, {"fl-1": to("10.0.0.5", "10:01:20-10:01:40"), "fl-2": own})
    name, how, flags = told
    assert answer.show("server_interface_id", "server_attribution", "flags", uploaded=100) == [
        (name, "interface" if name else how, flags)
    ]


def test_both_used_it_in_that_minute_then_it_stays_contested() -> None:
    own = lines(
        PLAIN,
        """
        eni-old 10.0.0.5 93.184.216.34 40000 443 6 7 10:01:30 10:01:50 ACCEPT OK
        eni-new 10.0.0.5 93.184.216.34 40000 443 6 7 10:02:30 10:02:50 ACCEPT OK
        """,
    )
    answer = run(SWIFT, {"fl-1": to("10.0.0.5", "10:01:50-10:02:20"), "fl-2": own})
    assert answer.show(*SERVER, client_interface_id="eni-a") == [(None, "none", 100, ["contested_server"])]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("", "eni-old"),
        ("eni-new - - - - - - 10:30:00 10:30:59 - SKIPDATA", None),  # its own record of that time may be among these
        ("eni-new 10.0.0.5 10.0.0.1 50000 443 6 7 10:02:20 10:02:50 ACCEPT OK", None),  # both are near
    ],
)
def test_both_used_one_port_then_the_time_of_their_records_tells(more: str, named: str | None) -> None:
    """eni-old's record of the connection is over 150 s before eni-new's begins, which is of another by the same ports.
    eni-a's, which counts, lies beside the first."""
    records = f"""
        eni-a   10.0.0.5 10.0.0.1 50000 443 6 100 10:01:20 10:01:50 ACCEPT OK
        eni-old 10.0.0.5 10.0.0.1 50000 443 6 100 10:01:20 10:01:50 ACCEPT OK
        eni-new 10.0.0.5 10.0.0.1 50000 443 6   7 10:04:20 10:04:50 ACCEPT OK
        {more}
        """
    answer = run(SWIFT, {"fl-1": lines(PLAIN, records)})
    assert answer.show("client_interface_id", uploaded=100) == [(named,)]


OLD_THEN = "eni-old 10.0.0.1 10.0.0.5 50000 443 6 100 10:01:20 10:01:40 ACCEPT OK"
NEW_LATER = "eni-new 10.0.0.1 10.0.0.5 50000 443 6   7 10:04:40 10:04:50 ACCEPT OK"


@pytest.mark.parametrize(
    ("known", "told", "counted"),
    [
        ("fl-old", ("eni-old", ["eni-old"]), 100),  # eni-old's log is whole: the receiver's records count
        ("fl-new", (None, ["eni-a"]), 107),  # eni-new's is: of what eni-old received the sender's do
    ],
)
def test_both_ends_recorded_a_connection_of_nobody_known_then_it_counts_once(
    known: str, told: tuple, counted: int
) -> None:
    """Of eni-old and eni-new one is known to log all traffic. As both used these ports, eni-a's record alone can't tell
    whether the other end's count: but eni-old's own of that very connection is there, and holds as much. eni-new's is
    of one three minutes later, of which eni-a has nothing."""
    inventory = [*SWIFT, *sweep("09:00", flow_log(known), complete=False)]
    others = {"fl-old": lines(PLAIN, OLD_THEN), "fl-new": lines(PLAIN, NEW_LATER)}
    answer = run(inventory, {"fl-1": to("10.0.0.5", "10:01:20-10:01:40"), **others})
    assert answer.show("server_interface_id", "reporter", uploaded=100) == [told]
    assert answer.fates == {"counted": counted, "other_reporter": 207 - counted}
    assert all("possibly_doubled" not in flags for (flags,) in answer.show("flags"))


def test_both_lost_records_and_hold_alike_of_a_connection_then_the_one_counts_that_holds_more_at_all() -> None:
    """eni-a's 100 are eni-old's or eni-new's, which both used these ports; eni-old has the same 100. Between the
    addresses eni-a holds 160, the others 147."""
    lost = "- - - - - - 10:50:00 10:50:59 - SKIPDATA"
    seen = f"""
        eni-a   10.0.0.1 10.0.0.5 50000 443 6 100 10:01:20 10:01:40 ACCEPT OK
        {OLD_THEN}
        {NEW_LATER}
        eni-a   10.0.0.1 10.0.0.5 50001 443 6  60 10:31:00 10:31:59 ACCEPT OK
        eni-new 10.0.0.1 10.0.0.5 50001 443 6  40 10:31:00 10:31:59 ACCEPT OK
        eni-a   {lost}
        eni-old {lost}
        eni-new {lost}
        """
    answer = run(SWIFT, {"fl-1": lines(PLAIN, seen)})
    assert answer.show("server_interface_id", "reporter", uploaded=100) == [(None, ["eni-a"])]


@pytest.mark.parametrize("names", [("eni-x", "eni-y"), ("eni-0", "eni-1")])
def test_two_claim_one_address_at_one_time_then_it_is_nobodys_and_counted(names: tuple[str, str]) -> None:
    """Two sweeps each saw both interfaces with 10.0.0.5: one of the sights must be wrong, and which is not known."""
    twins = [eni(name, "10.0.0.5") for name in names]
    answer = run(steady(VPC, A, *twins, flow_log("fl-1")), {"fl-1": to("10.0.0.5", "10:30:00-10:30:59")})
    assert server_of(answer) == [("10:30:00", None, "none", 100, ["contested_server"])]
    assert answer.coverage["fl-1"]["contested_bytes"] == 100


def test_a_record_of_the_first_minute_of_a_life_may_be_of_one_before_that_nobody_told_of() -> None:
    """Start may be off by up to 60 s: what is said to begin 50 s after the birth may have begun 10 s before it; 60 s
    is enough."""
    inventory = [*steady(VPC, A, flow_log("fl-1")), event("10:10:00", eni("eni-new", "10.0.0.5"))]
    inventory += sweep("12:00", eni("eni-new", "10.0.0.5"))
    answer = run(inventory, {"fl-1": to("10.0.0.5", "10:10:50-10:12:20", "10:11:00-10:12:20")})
    assert server_of(answer) == [("10:10:50", None, "none", 100, []), ("10:11:00", "eni-new", "interval", 100, [])]


# --- what a last sight is worth --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provisional", "told"), [(True, ("eni-b", "assumed")), (False, (None, "none"))])
def test_after_the_last_sight_a_primary_address_is_assumed_in_provisional_hours_only(
    provisional: bool, told: tuple
) -> None:
    """The last sweep was at 09:00, the next will come; final hours are made with it."""
    inventory = sweep("09:00", VPC, A, eni("eni-b", "10.0.0.2", "10.0.0.20"), flow_log("fl-1"))
    logs = {"fl-1": to("10.0.0.2", "10:05:00-10:05:59")}
    answer = run(inventory, logs, provisional=provisional)
    assert answer.show("server_interface_id", "server_attribution") == [told]
    # A secondary address can move: it is never assumed.
    secondary = run(inventory, {"fl-1": to("10.0.0.20", "10:05:00-10:05:59")}, provisional=provisional)
    assert secondary.show("server_interface_id", "server_attribution") == [(None, "none")]


def test_two_last_sights_of_one_address_are_no_assumption() -> None:
    """Both were last seen with 10.0.0.5, by the same sweep or one after the other; neither is known to be gone."""
    inventory = sweep("09:00", VPC, A, eni("eni-x", "10.0.0.5"), eni("eni-y", "10.0.0.5"), flow_log("fl-1"))
    answer = run(inventory, {"fl-1": to("10.0.0.5", "10:05:00-10:05:59")}, provisional=True)
    assert answer.show("server_interface_id", "server_attribution") == [(None, "none")]


def test_absence_from_a_complete_sweep_ends_an_interface_at_its_last_sight() -> None:
    """eni-b was seen at 09:00 and 10:20; the complete sweep of 10:40 lacks it. Up to 10:20 it held its address; then
    nobody knows."""
    b = eni("eni-b", "10.0.0.2")
    inventory = [
        *sweep("09:00", VPC, A, b, flow_log("fl-1")),
        event("10:20", b),
        *sweep("10:40", A),
        *sweep("12:00", A),
    ]
    logs = {"fl-1": to("10.0.0.2", "10:10:00-10:10:30", "10:30:00-10:30:30", "10:50:00-10:50:30")}
    for provisional in (False, True):
        answer = run(inventory, logs, provisional=provisional)
        assert server_of(answer) == [
            ("10:10:00", "eni-b", "interval", 100, []),
            ("10:30:00", None, "none", 100, []),
            ("10:50:00", None, "none", 100, []),
        ]


def test_absence_from_an_incomplete_sweep_says_nothing() -> None:
    b = eni("eni-b", "10.0.0.2")
    inventory = [*sweep("09:00", VPC, A, b, flow_log("fl-1")), *sweep("10:40", A, complete=False)]
    answer = run(inventory, {"fl-1": to("10.0.0.2", "10:50:00-10:50:30")}, provisional=True)
    assert server_of(answer) == [("10:50:00", "eni-b", "assumed", 100, [])]


def test_what_was_first_seen_after_a_sweep_began_is_not_deleted_by_it() -> None:
    """The sweep listed interfaces from 10:00 to 10:04; eni-b was made at 10:01, on a page that had been read
    already."""
    b = eni("eni-b", "10.0.0.2")
    inventory = [*sweep("09:00", VPC, A, flow_log("fl-1")), event("10:01", b), *sweep("10:04", A, began="10:00")]
    answer = run(inventory, {"fl-1": to("10.0.0.2", "10:50:00-10:50:30")}, provisional=True)
    assert server_of(answer) == [("10:50:00", "eni-b", "assumed", 100, [])]


# --- by the hour's own records ---------------------------------------------------------------------------------------

NEW = PACKETS + " flow-direction vpc-id"


def own(interface: str, address: str, start: str, end: str, vpc_id: str = "vpc-1") -> str:
    ends = f"{address} 93.184.216.34"
    return f"{interface} {ends} 40000 443 6 7 {start} {end} ACCEPT OK {ends} egress {vpc_id}"


def test_far_end_unknown_to_the_inventory_is_attested_by_its_own_records() -> None:
    """Of the hour's first minutes another's records may lie in the hour before; at 10:40 nothing shows eni-new any
    more."""
    uses = ("10:05:10", "10:05:50"), ("10:20:10", "10:20:50")
    answer = run(
        steady(VPC, A, flow_log("fl-1")),
        {
            "fl-1": to("10.0.0.77", "10:05:00-10:05:30", "10:20:00-10:20:30", "10:40:00-10:40:30"),
            "fl-2": lines(NEW, "\n".join(own("eni-new", "10.0.0.77", *use) for use in uses)),
        },
    )
    assert [row for row in server_of(answer) if row[3] == 100] == [
        ("10:05:00", None, "none", 100, []),
        ("10:20:00", "eni-new", "attested", 100, []),
        ("10:40:00", None, "none", 100, []),
    ]


def test_far_end_that_used_its_address_before_and_after_held_it_between() -> None:
    """Records of others may have been lost: fl-3 says so. Between its own records of 10:02 and 10:20 it was eni-new
    all the same."""
    uses = ("10:02:10", "10:02:50"), ("10:20:10", "10:20:50")
    logs = {
        "fl-1": to("10.0.0.77", "10:09:00-10:09:30", "10:21:00-10:21:30"),
        "fl-2": lines(NEW, "\n".join(own("eni-new", "10.0.0.77", *use) for use in uses)),
        "fl-3": lines(NEW, "eni-lossy - - - - - - 10:30:00 10:30:59 - SKIPDATA - - - vpc-1"),
    }
    answer = run(steady(VPC, A, eni("eni-lossy", "10.0.0.9"), flow_log("fl-1")), logs)
    assert answer.show("started_at", *SERVER[:2], uploaded=100) == [
        ("10:09:00", "eni-new", "attested"),
        ("10:21:00", None, "none"),
    ]


def test_far_end_attested_by_two_interfaces_is_nobodys() -> None:
    two = lines(
        NEW,
        own("eni-new", "10.0.0.77", "10:05:10", "10:05:50")
        + "\n"
        + own("eni-other", "10.0.0.77", "10:05:10", "10:05:50"),
    )
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": to("10.0.0.77", "10:05:00-10:05:30"), "fl-2": two})
    assert answer.show(*SERVER, client_interface_id="eni-a") == [(None, "none", 100, ["contested_server"])]


@pytest.mark.parametrize(("known", "named"), [(True, "eni-new"), (False, None)])
def test_an_unknown_interface_that_shows_two_addresses_attests_neither(known: bool, named: str | None) -> None:
    """Its records show 10.0.0.50 and the packet's own 10.0.0.77: a secondary address, or another's whose packets it
    passes on. Where the inventory knows it as one that does not pass on, it is its own."""
    inventory = steady(VPC, A, flow_log("fl-1"), *([eni("eni-new", "10.0.0.50")] if known else []))
    ends = "10.0.0.50 93.184.216.34", "10.0.0.77 93.184.216.34"
    shows = "\n".join(
        f"eni-new {ends[0]} 4000{n} 443 6 7 {start} {end} ACCEPT OK {ends[1]} egress vpc-1"
        for n, (start, end) in enumerate([("10:20:10", "10:20:50"), ("10:30:10", "10:30:50")])
    )
    answer = run(inventory, {"fl-1": to("10.0.0.77", "10:25:00-10:25:30"), "fl-2": lines(NEW, shows)})
    assert answer.show("server_interface_id", client_interface_id="eni-a") == [(named,)]


def test_attested_in_another_vpc_is_no_proof() -> None:
    """The same address, used in vpc-2, which vpc-1 does not route to: uniqueness in the organisation proves nothing."""
    elsewhere = lines(NEW, own("eni-new", "10.0.0.77", "10:05:10", "10:05:50", vpc_id="vpc-2"))
    inventory = steady(VPC, vpc("vpc-2", "10.0.0.0/16"), A, flow_log("fl-1"))
    answer = run(inventory, {"fl-1": to("10.0.0.77", "10:05:00-10:05:30"), "fl-2": elsewhere})
    assert answer.show(*SERVER, client_interface_id="eni-a") == [(None, "none", 100, [])]


def test_a_secondary_address_that_another_uses_by_its_own_records_is_contested() -> None:
    """Between two sights of eni-b with 10.0.0.20, eni-c's own records show it there: it had moved and come back."""
    b = eni("eni-b", "10.0.0.2", "10.0.0.20")
    moved = lines(NEW, own("eni-c", "10.0.0.20", "10:25:10", "10:25:50"))
    inventory = steady(VPC, A, b, eni("eni-c", "10.0.0.3"), flow_log("fl-1"))
    answer = run(inventory, {"fl-1": to("10.0.0.20", "10:25:00-10:25:30", "10:45:00-10:45:30"), "fl-2": moved})
    assert answer.show("started_at", *SERVER[:2], client_interface_id="eni-a") == [
        ("10:25:00", None, "none"),
        ("10:45:00", "eni-b", "interval"),
    ]


@pytest.mark.parametrize("prefix", [False, True])
def test_where_only_another_is_seen_to_use_a_secondary_address_or_prefix_it_is_not_its_holders(prefix: bool) -> None:
    """eni-b used 10.0.0.20 at 10:05 and 10:45 by its own records, and by the book (as an address, or by a prefix) it
    had it all the time. But at 10:25:50 eni-c's own record of another connection shows it there: of what eni-a sent at
    10:24:50 nobody knows whose it was."""
    held = "10.0.0.16/28" if prefix else "10.0.0.20"
    b = eni("eni-b", "10.0.0.2", prefixes=[held]) if prefix else eni("eni-b", "10.0.0.2", held)
    uses = [("eni-b", "10:05:00", "10:05:30"), ("eni-c", "10:25:50", "10:25:55"), ("eni-b", "10:45:00", "10:45:30")]
    shows = lines(NEW, "\n".join(own(by, "10.0.0.20", start, end) for by, start, end in uses))
    inventory = steady(VPC, A, b, eni("eni-c", "10.0.0.3"), flow_log("fl-1"))
    asked = to("10.0.0.20", "10:24:40-10:24:50", "10:45:00-10:45:30")
    assert run(inventory, {"fl-1": asked, "fl-2": shows}).show(
        "started_at", *SERVER[:2], client_interface_id="eni-a"
    ) == [
        ("10:24:40", None, "none"),
        ("10:45:00", "eni-b", "interval"),
    ]


def test_a_primary_address_stays_its_interfaces_whoever_shows_it() -> None:
    """It never changes: what eni-c's own records show (it passes on others' packets, perhaps) moves nothing."""
    inventory = steady(VPC, A, eni("eni-b", "10.0.0.2"), eni("eni-c", "10.0.0.3"), flow_log("fl-1"))
    shown = lines(NEW, own("eni-c", "10.0.0.2", "10:25:10", "10:25:50"))
    answer = run(inventory, {"fl-1": to("10.0.0.2", "10:25:00-10:25:30"), "fl-2": shown})
    assert answer.show(*SERVER, client_interface_id="eni-a") == [("eni-b", "interval", 100, [])]


def test_own_records_of_a_secondary_address_prove_nothing_where_the_book_gives_it_to_another_between() -> None:
    """eni-b used 10.0.0.20 at 10:05 and 10:45 by its own records; but an event at 10:10 saw it with eni-c. So at 10:15
    it need not be eni-b's."""
    b, c = eni("eni-b", "10.0.0.2"), eni("eni-c", "10.0.0.3")
    with_it = [{**b, "addresses": ["10.0.0.2", "10.0.0.20"]}, {**c, "addresses": ["10.0.0.3", "10.0.0.20"]}]
    inventory = [
        *sweep("09:00", VPC, A, with_it[0], c, flow_log("fl-1")),
        *(event("10:10:00", b), event("10:10:10", with_it[1]), event("10:20:00", c), event("10:20:10", with_it[0])),
        *sweep("12:00", VPC, A, with_it[0], c),
    ]
    ends = "10.0.0.2 93.184.216.34", "10.0.0.20 93.184.216.34"
    uses = [("10:05:00", "10:05:30"), ("10:45:00", "10:45:30")]
    shows = "\n".join(
        f"eni-b {ends[0]} 4000{n} 443 6 7 {use[0]} {use[1]} ACCEPT OK {ends[1]} egress vpc-1"
        for n, use in enumerate(uses)
    )
    logs = {"fl-1": to("10.0.0.20", "10:15:00-10:15:30", "10:40:00-10:40:30"), "fl-2": lines(NEW, shows)}
    assert run(inventory, logs).show("started_at", *SERVER[:2], client_interface_id="eni-a") == [
        ("10:15:00", None, "none"),
        ("10:40:00", "eni-b", "interval"),
    ]


# --- in which VPC ----------------------------------------------------------------------------------------------------

FAR = eni("eni-far", "10.2.0.7", vpc="vpc-2", subnet="subnet-2")


@pytest.mark.parametrize(
    ("links", "told"),
    [
        ([peering("vpc-1", "vpc-2")], ("eni-far", "vpc-2", "interval")),
        ([peering("vpc-2", "vpc-1")], ("eni-far", "vpc-2", "interval")),
        ([attached("vpc-1"), attached("vpc-2")], ("eni-far", "vpc-2", "interval")),
        ([attached("vpc-1"), attached("vpc-2", "tgw-other")], (None, None, "none")),
        ([], (None, None, "none")),
    ],
)
def test_far_end_is_looked_for_where_the_vpc_can_route_to(links: list, told: tuple) -> None:
    answer = run(steady(VPC, VPC2, A, FAR, *links, flow_log("fl-1")), {"fl-1": to("10.2.0.7", "10:05:00-10:05:30")})
    assert answer.show("server_interface_id", "server_vpc_id", "server_attribution") == [told]


def test_one_address_in_two_vpcs_is_the_reporters_own_vpcs() -> None:
    """10.0.0.5 exists in vpc-1 and, unconnected, in vpc-2 with the same ranges."""
    inventory = steady(
        VPC,
        vpc("vpc-2", "10.0.0.0/16"),
        A,
        eni("eni-here", "10.0.0.5"),
        eni("eni-there", "10.0.0.5", vpc="vpc-2"),
        flow_log("fl-1"),
    )
    answer = run(inventory, {"fl-1": to("10.0.0.5", "10:05:00-10:05:30")})
    assert answer.show(*SERVER) == [("eni-here", "interval", 100, [])]


def test_an_address_that_two_reachable_vpcs_could_hold_is_nobodys() -> None:
    """vpc-2 and vpc-3 both have 10.2.0.0/16 and hang on the same transit gateway; only one of them has 10.2.0.7,
    which proves nothing."""
    inventory = steady(
        VPC,
        VPC2,
        vpc("vpc-3", "10.2.0.0/16"),
        A,
        FAR,
        attached("vpc-1"),
        attached("vpc-2"),
        attached("vpc-3"),
        flow_log("fl-1"),
    )
    answer = run(inventory, {"fl-1": to("10.2.0.7", "10:05:00-10:05:30")})
    assert answer.show(*SERVER) == [(None, "none", 100, [])]
    assert answer.coverage["fl-1"]["contested_bytes"] == 0


def test_an_address_that_somebody_has_in_each_of_two_reachable_vpcs_is_contested() -> None:
    """eni-far has 10.2.0.7 in vpc-2, eni-too the same in vpc-3: two claimants at one time."""
    too = eni("eni-too", "10.2.0.7", vpc="vpc-3", subnet="subnet-3")
    hub = [attached(name) for name in ("vpc-1", "vpc-2", "vpc-3")]
    inventory = steady(VPC, VPC2, vpc("vpc-3", "10.2.0.0/16"), A, FAR, too, *hub, flow_log("fl-1"))
    answer = run(inventory, {"fl-1": to("10.2.0.7", "10:05:00-10:05:30")})
    assert answer.show("server_interface_id", "server_attribution") == [(None, "none")]
    assert answer.coverage["fl-1"]["contested_bytes"] == 100


# --- several addresses -----------------------------------------------------------------------------------------------


def test_secondary_addresses_and_delegated_prefixes_are_their_interfaces() -> None:
    """10.0.4.16/28 holds .16 to .31: .20 is within, .33 is not."""
    b = eni("eni-b", "10.0.0.2", "10.0.0.20", "2600:1f18::20", prefixes=["10.0.4.16/28"])
    inventory = steady(vpc("vpc-1", "10.0.0.0/16", "2600:1f18::/56"), A, b, flow_log("fl-1"))
    parts = [to(address, "10:05:00-10:05:30") for address in ("10.0.0.20", "2600:1f18::20", "10.0.4.20", "10.0.4.33")]
    answer = run(inventory, {"fl-1": parts})
    assert answer.show("server_addr", "server_interface_id", "server_attribution") == [
        ("10.0.0.20", "eni-b", "interval"),
        ("10.0.4.20", "eni-b", "interval"),
        ("10.0.4.33", None, "none"),
        ("2600:1f18::20", "eni-b", "interval"),
    ]


def test_a_prefix_given_up_and_given_anew_belongs_to_each_in_its_time() -> None:
    node = {"kind": "interface", "entity_id": "eni-x"}
    other = {"kind": "interface", "entity_id": "eni-y"}
    inventory = [
        *sweep("09:00", VPC, A, eni("eni-x", "10.0.0.8"), eni("eni-y", "10.0.0.9"), flow_log("fl-1")),
        event("09:30", node, "partial", "AssignPrivateIpAddresses", addresses_added=["10.0.4.16/28"]),
        event("10:20", node, "partial", "UnassignPrivateIpAddresses", addresses_removed=["10.0.4.16/28"]),
        event("10:30", other, "partial", "AssignPrivateIpAddresses", addresses_added=["10.0.4.16/28"]),
        *sweep("12:00", A, eni("eni-x", "10.0.0.8", prefixes=[]), eni("eni-y", "10.0.0.9", prefixes=["10.0.4.16/28"])),
    ]
    logs = {"fl-1": to("10.0.4.20", "10:10:00-10:10:30", "10:25:00-10:25:30", "10:40:00-10:40:30")}
    assert server_of(run(inventory, logs)) == [
        ("10:10:00", "eni-x", "interval", 100, []),
        ("10:25:00", None, "none", 100, []),
        ("10:40:00", "eni-y", "interval", 100, []),
    ]


def test_own_side_is_the_interface_whatever_address_it_shows() -> None:
    """Without pkt-* a secondary address shows as the primary; with them as itself."""
    b = eni("eni-b", "10.0.0.2", "10.0.0.20")
    inventory = steady(VPC, b, flow_log("fl-1"), flow_log("fl-2"))
    plain = lines(PLAIN, "eni-b 10.0.0.2 93.184.216.34 50000 443 6 5 10:01:00 10:01:59 ACCEPT OK")
    packets = lines(
        PACKETS, "eni-b 10.0.0.2 93.184.216.34 50001 443 6 6 10:01:00 10:01:59 ACCEPT OK 10.0.0.20 93.184.216.34"
    )
    answer = run(inventory, {"fl-1": plain})
    assert answer.show("client_addr", "client_interface_id", "client_attribution") == [
        ("10.0.0.2", "eni-b", "interface")
    ]
    answer = run(inventory, {"fl-2": packets})
    assert answer.show("client_addr", "client_interface_id", "client_attribution") == [
        ("10.0.0.20", "eni-b", "interface")
    ]


# --- what else is known of an address --------------------------------------------------------------------------------


def test_services_networks_and_public_addresses_are_told_in_this_order() -> None:
    """Of the file's ranges the longest prefix wins; a known network may lie in private space too; the record's own
    word comes first."""
    format_ = PACKETS + " pkt-dst-aws-service"
    text = "\n".join(
        f"eni-a 10.0.0.1 {addr} 50000 443 6 100 10:05:00 10:05:30 ACCEPT OK 10.0.0.1 {addr} {service}"
        for addr, service in (
            ("52.216.1.1", "-"),
            ("52.1.1.1", "-"),
            ("52.1.1.2", "DYNAMODB"),
            ("198.51.100.7", "-"),
            ("192.168.7.7", "-"),
            ("93.184.216.34", "-"),
            ("172.16.0.1", "-"),
            ("172.2.0.1", "-"),
        )
    )
    ranges = [("52.0.0.0/8", "AMAZON"), ("52.216.0.0/15", "AMAZON"), ("52.216.0.0/15", "S3"), ("52.216.0.0/15", "EC2")]
    known = "cidr,name\n198.51.100.0/24,partner\n192.168.0.0/16,office\n52.0.0.0/8,never\n"
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": lines(format_, text)}, aws=ranges, networks=known)
    columns = (
        "server_addr",
        "server_attribution",
        "server_aws_service",
        "server_network_name",
        "server_type",
        "server_rfc1918",
    )
    assert answer.show(*columns) == [
        ("172.16.0.1", "none", None, None, None, True),
        ("172.2.0.1", "public", None, None, "public", False),
        ("192.168.7.7", "network", None, "office", "network", True),
        ("198.51.100.7", "network", None, "partner", "network", False),
        ("52.1.1.1", "aws_service", "AMAZON", None, "aws_service", False),
        ("52.1.1.2", "aws_service", "DYNAMODB", None, "aws_service", False),
        ("52.216.1.1", "aws_service", "S3", None, "aws_service", False),
        ("93.184.216.34", "public", None, None, "public", False),
    ]


# --- tags and what an interface serves, at the time ------------------------------------------------------------------


def test_tags_that_change_within_the_hour_hold_from_the_event_on() -> None:
    b = eni("eni-b", "10.0.0.2", tags={"owner": "red"})
    inventory = [
        *steady(VPC, A, flow_log("fl-1")),
        *sweep("09:01", b, complete=False),
        event("10:30", {"kind": "tags", "entity_id": "eni-b"}, name="Tag Change on Resource", tags={"owner": "blue"}),
        *sweep("12:01", {**b, "tags": {"owner": "blue"}}, complete=False),
    ]
    answer = run(inventory, {"fl-1": to("10.0.0.2", "10:10:00-10:10:30", "10:40:00-10:40:30")})
    assert answer.show("started_at", "server_owner", "server_interface_tags") == [
        ("10:10:00", "red", {"owner": "red"}),
        ("10:40:00", "blue", {"owner": "blue"}),
    ]


def test_new_tags_found_by_a_sweep_hold_from_that_sight_on() -> None:
    """When between 09:00 and 10:30 they changed nobody saw; before the sight the old ones stand."""
    red, blue = (eni("eni-b", "10.0.0.2", tags={"owner": owner}) for owner in ("red", "blue"))
    inventory = [*sweep("09:00", VPC, A, red, flow_log("fl-1")), *sweep("10:30", A, blue), *sweep("12:00", A, blue)]
    answer = run(inventory, {"fl-1": to("10.0.0.2", "10:29:00-10:29:30", "10:40:00-10:40:30")})
    assert answer.show("started_at", "server_owner") == [("10:29:00", "red"), ("10:40:00", "blue")]


def test_a_shared_interface_has_all_candidates_and_the_tags_they_have_in_common() -> None:
    """One Hyperplane interface serves both functions: same subnet, same groups. They share team, not stage."""
    shared = eni(
        "eni-f",
        "10.0.0.30",
        interface_type="lambda",
        description="AWS Lambda VPC ENI-one-0f1e2d3c-4b5a-6978-8899-aabbccddeeff",
        security_group_ids=["sg-1"],
    )
    arn = "arn:aws:lambda:us-east-1:111111111111:function:"

    def function(name: str, **tags: str) -> dict:
        return {
            "kind": "function",
            "entity_id": arn + name,
            "arn": arn + name,
            "name": name,
            "subnet_ids": ["subnet-1"],
            "security_group_ids": ["sg-1"],
            "tags": tags,
        }

    inventory = steady(
        VPC, shared, function("one", team="x", stage="a"), function("two", team="x", stage="b"), flow_log("fl-1")
    )
    log = lines(PLAIN, "eni-f 10.0.0.30 93.184.216.34 50000 443 6 5 10:01:00 10:01:59 ACCEPT OK")
    answer = run(inventory, {"fl-1": log})
    assert answer.show("client_type", "client_arns", "client_tags", "client_owner", "flags") == [
        ("lambda:function", [f"{arn}one", f"{arn}two"], {"team": "x"}, "x", ["shared_client"])
    ]


def test_state_of_the_own_side_is_that_of_the_records_time() -> None:
    """eni-b served i-1 until 10:20 and i-2 from 10:30 on."""
    one = eni("eni-b", "10.0.0.2", attachment_id="eni-attach-1", instance_id="i-1", instance_owner_id="111111111111")
    two = eni("eni-b", "10.0.0.2", attachment_id="eni-attach-2", instance_id="i-2", instance_owner_id="111111111111")
    none = eni("eni-b", "10.0.0.2", attachment_id="", instance_id="")
    inventory = [*steady(VPC, flow_log("fl-1")), event("09:00", one), event("10:20", none), event("10:30", two)]
    log = lines(
        PLAIN,
        """
        eni-b 10.0.0.2 93.184.216.34 50000 443 6 5 10:10:00 10:10:59 ACCEPT OK
        eni-b 10.0.0.2 93.184.216.34 50001 443 6 5 10:25:00 10:25:59 ACCEPT OK
        eni-b 10.0.0.2 93.184.216.34 50002 443 6 5 10:40:00 10:40:59 ACCEPT OK
        """,
    )
    instance = "arn:aws:ec2:us-east-1:111111111111:instance/"
    assert run(inventory, {"fl-1": log}).show("started_at", "client_arns") == [
        ("10:10:00", [f"{instance}i-1"]),
        ("10:25:00", []),
        ("10:40:00", [f"{instance}i-2"]),
    ]


def test_a_window_of_an_hour_does_not_stretch_attribution() -> None:
    """One connection (the same ports), reported at 10:10 and 10:40; its server was last seen at 10:20, and is gone by
    the next sweep.

    With windows of an hour the two records are one row's worth of time apart: the second is still nobody's."""
    b = eni("eni-b", "10.0.0.2")
    inventory = [*sweep("09:00", VPC, A, b, flow_log("fl-1")), event("10:20", b), *sweep("12:00", A)]
    log = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:10:00 10:10:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:40:00 10:40:59 ACCEPT OK
        """,
    )
    answer = run(inventory, {"fl-1": log}, window=3600)
    assert answer.show("window_start", *SERVER) == [
        ("10:00:00", None, "none", 100, []),
        ("10:00:00", "eni-b", "interval", 100, []),
    ]


def test_a_late_event_of_another_hour_changes_nothing() -> None:
    """Deleted at 11:30: in this hour it lived."""
    inventory = [*sweep("09:00", VPC, A, eni("eni-b", "10.0.0.2"), flow_log("fl-1")), gone("11:30", "eni-b")]
    answer = run(inventory, {"fl-1": to("10.0.0.2", "10:59:00-10:59:30")})
    assert server_of(answer) == [("10:59:00", "eni-b", "interval", 100, [])]


def test_a_partial_sight_alone_is_enough_to_know_the_holder() -> None:
    """All events lost but one that adds an address; vpc and primary come with the sweep after the hour."""
    one = seen("10:05", "event", {"kind": "interface", "entity_id": "eni-b"}, "partial", addresses_added=["10.0.0.20"])
    inventory = [*steady(VPC, A, flow_log("fl-1")), one, *sweep("12:00", A, eni("eni-b", "10.0.0.2", "10.0.0.20"))]
    answer = run(inventory, {"fl-1": [to("10.0.0.20", "10:10:00-10:10:30"), to("10.0.0.2", "10:10:00-10:10:30")]})
    assert answer.show("server_addr", *SERVER[:2]) == [
        ("10.0.0.2", "eni-b", "interval"),
        ("10.0.0.20", "eni-b", "interval"),
    ]
