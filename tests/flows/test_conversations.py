"""One reporter for each pair and direction, every byte once a leg; worked cases with the arithmetic in view."""

from __future__ import annotations

import pytest

from flowlake.flows.hints import Reported
from tests.flows.worked import (
    FLAGS,
    PACKETS,
    PLAIN,
    TRANSIT,
    Answer,
    attached,
    eni,
    event,
    flow_log,
    gone,
    lines,
    peering,
    run,
    steady,
    sweep,
    vpc,
)
from tests.flows.worked import HOUR as TEN

VPC = vpc("vpc-1", "10.0.0.0/16")
A, B = eni("eni-a", "10.0.0.1"), eni("eni-b", "10.0.0.2")
BYTES = ("client_interface_id", "server_interface_id", "server_port", "action", "leg", "uploaded", "downloaded")


def told(answer: Answer) -> list[tuple]:
    return answer.show("window_start", *BYTES, "reporter", "flags")


# --- two reporters of one pair ---------------------------------------------------------------------------------------


def test_two_reporters_with_different_intervals_and_skew_count_once_by_the_receiver() -> None:
    """eni-a reports every 60 s, eni-b every 600 s with a clock 60 s ahead; both know all. Truth: 300 up, 3000 down."""
    fast = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6  100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 443 6  200 10:06:00 10:06:59 ACCEPT OK
        eni-a 10.0.0.2 10.0.0.1 443 50000 6 1000 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.2 10.0.0.1 443 50000 6 2000 10:06:00 10:06:59 ACCEPT OK
        """,
    )
    slow = lines(
        PLAIN,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6  300 10:02:00 10:07:59 ACCEPT OK
        eni-b 10.0.0.2 10.0.0.1 443 50000 6 3000 10:02:00 10:07:59 ACCEPT OK
        """,
    )
    answer = run(
        steady(VPC, A, B, flow_log("fl-fast", interval=60), flow_log("fl-slow")), {"fl-fast": fast, "fl-slow": slow}
    )
    # Up goes by its receiver eni-b, whole to the window of 10:02; down by its receiver eni-a: 1000 to 10:00, 2000 to
    # 10:05.
    assert told(answer) == [
        ("10:00:00", "eni-a", "eni-b", 443, "ACCEPT", "direct", 300, 1000, ["eni-a", "eni-b"], []),
        ("10:05:00", "eni-a", "eni-b", 443, "ACCEPT", "direct", 0, 2000, ["eni-a"], []),
    ]
    assert answer.fates == {"counted": 300 + 3000, "other_reporter": 300 + 3000}
    assert answer.show("window_start", "also_reported_by") == [
        ("10:00:00", ["eni-a", "eni-b"]),
        ("10:05:00", ["eni-a"]),
    ]


def test_skipdata_on_the_receiver_makes_the_sender_count_for_the_whole_hour() -> None:
    """The receiver eni-b lost records in one interval only; its other records are not mixed with eni-a's."""
    a = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 200 10:31:00 10:31:59 ACCEPT OK
        """,
    )
    b = lines(
        PLAIN,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 200 10:31:00 10:31:59 ACCEPT OK
        eni-b - - - - - - 10:01:00 10:01:59 - SKIPDATA
        """,
    )
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": a, "fl-b": b})
    assert told(answer) == [
        ("10:00:00", "eni-a", "eni-b", 443, "ACCEPT", "direct", 100, 0, ["eni-a"], []),
        ("10:30:00", "eni-a", "eni-b", 443, "ACCEPT", "direct", 200, 0, ["eni-a"], []),
    ]
    assert answer.fates == {"counted": 300, "other_reporter": 200}
    assert answer.coverage["fl-b"]["skipdata"] == 1
    assert answer.coverage["fl-b"]["records"] == 1


def test_skipdata_that_reaches_into_the_hour_spoils_the_receiver_in_this_hour_too() -> None:
    """The lost interval 09:55 to 10:05 may hide records that begin at 10:01; the line itself is the hour before's to
    count."""
    a = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    b = lines(
        PLAIN,
        """
        eni-b - - - - - - 09:55:00 10:05:00 - SKIPDATA
        eni-b 10.0.0.3 10.0.0.2 50000 443 6 7 10:07:00 10:07:59 ACCEPT OK
        """,
    )
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": a, "fl-b": b})
    assert answer.show("uploaded", "reporter") == [(100, ["eni-a"]), (7, ["eni-b"])]
    assert answer.coverage["fl-b"]["skipdata"] == 0


def test_skipdata_within_the_clocks_errors_of_the_hour_spoils_the_receiver_too() -> None:
    """eni-b lost 09:58:00 to 09:58:59 by its clock, eni-a's record of it begins at 10:00:08 by its own: 69 s apart,
    and each may be off by 60 s.
    """
    a = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:00:08 10:00:09 ACCEPT OK")
    b = lines(
        PLAIN,
        """
        eni-b - - - - - - 09:58:00 09:58:59 - SKIPDATA
        eni-b 10.0.0.3 10.0.0.2 50000 443 6 7 10:07:00 10:07:59 ACCEPT OK
        """,
    )
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": a, "fl-b": b})
    assert answer.show("uploaded", "reporter") == [(100, ["eni-a"]), (7, ["eni-b"])]


def test_a_torn_object_makes_the_other_end_count() -> None:
    a = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    b = lines(
        PLAIN,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 60 10:01:00 10:01:29 ACCEPT OK
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 40 10:01:30 10:01:59 ACCEPT OK
        """,
    )
    import gzip

    whole = gzip.compress(b.encode())
    torn = whole[:-20]  # the checksum and the last records
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": a, "fl-b": torn})
    assert answer.show("uploaded", "reporter") == [(100, ["eni-a"])]
    assert answer.coverage["fl-b"]["objects_torn"] == 1
    assert answer.coverage["fl-b"]["rejects_by_reason"] == [("torn_gzip", 1)]


def test_a_line_that_could_not_be_read_spoils_its_flow_log() -> None:
    """One reject on the receiver's side: whatever it said, it may have been of this pair."""
    a = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    b = lines(
        PLAIN,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 70 10:01:00 10:01:59 ACCEPT OK
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 30 10:01:00 10:01:59 PERHAPS OK
        """,
    )
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": a, "fl-b": b})
    assert answer.show("uploaded", "reporter") == [(100, ["eni-a"])]
    assert answer.coverage["fl-b"]["rejects_by_reason"] == [("bad_action", 1)]
    assert [(r["flow_log_id"], r["line"], r["reason"]) for r in answer.rejects] == [("fl-b", 3, "bad_action")]


def test_both_lost_records_the_one_that_holds_more_bytes_counts_alone() -> None:
    lost = "- - - - - - 10:20:00 10:29:59 - SKIPDATA"
    a = lines(PLAIN, f"eni-a 10.0.0.1 10.0.0.2 50000 443 6 90 10:11:00 10:11:59 ACCEPT OK\neni-a {lost}")
    b = lines(PLAIN, f"eni-b 10.0.0.1 10.0.0.2 50000 443 6 50 10:11:00 10:11:59 ACCEPT OK\neni-b {lost}")
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": a, "fl-b": b})
    assert answer.show("uploaded", "reporter", "flags") == [(90, ["eni-a"], ["partial_reporter"])]
    assert answer.fates == {"counted": 90, "other_reporter": 50}


@pytest.mark.parametrize(
    ("time", "doubt"),
    [
        ("10:01:59 10:02:58", ["possibly_doubled"]),
        ("10:02:00 10:57:59", []),
        ("10:57:01 10:58:00", ["possibly_doubled"]),
    ],
)
def test_both_lost_records_and_the_hour_beside_may_choose_the_other_then_it_is_said(
    time: str, doubt: list[str]
) -> None:
    """Within two minutes of the full hour eni-b's record of the same packets may lie in the hour beside, where it may
    hold more than eni-a."""
    lost = "- - - - - - 10:20:00 10:29:59 - SKIPDATA"
    a = lines(PLAIN, f"eni-a 10.0.0.1 10.0.0.2 50000 443 6 90 {time} ACCEPT OK\neni-a {lost}")
    inventory = steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b"))
    answer = run(inventory, {"fl-a": a, "fl-b": lines(PLAIN, f"eni-b {lost}")})
    assert answer.show("uploaded", "flags") == [(90, [*doubt, "partial_reporter"])]


def test_both_lost_records_each_pair_is_decided_by_itself() -> None:
    """eni-a and eni-b: 90 > 50, the sender. eni-a and eni-c: 10 < 40, the receiver, though eni-a holds more of all
    (100 > 90)."""
    lost = "- - - - - - 10:20:00 10:29:59 - SKIPDATA"

    def sent(by: str, to: int, size: int) -> str:
        return f"{by} 10.0.0.1 10.0.0.{to} 50000 443 6 {size} 10:01:00 10:01:59 ACCEPT OK\n"

    a = lines(PLAIN, f"{sent('eni-a', 2, 90)}{sent('eni-a', 3, 10)}eni-a {lost}")
    b, c = (lines(PLAIN, f"{sent(by, to, size)}{by} {lost}") for by, to, size in (("eni-b", 2, 50), ("eni-c", 3, 40)))
    inventory = steady(VPC, A, B, eni("eni-c", "10.0.0.3"), *(flow_log(f"fl-{x}") for x in "abc"))
    answer = run(inventory, {"fl-a": a, "fl-b": b, "fl-c": c})
    assert answer.show("server_interface_id", "uploaded", "reporter") == [
        ("eni-b", 90, ["eni-a"]),
        ("eni-c", 40, ["eni-c"]),
    ]
    assert answer.fates == {"counted": 130, "other_reporter": 60}


def test_both_lost_records_and_each_holder_of_an_address_is_decided_by_itself() -> None:
    """10.0.0.1 was eni-a's until 10:20, then eni-n's. Of eni-a's 500 eni-b recorded nothing: the sender counts. Of
    eni-n's it holds 80 > 40: the receiver, though between the two addresses the senders hold more (540 > 80)."""
    n, lost = eni("eni-n", "10.0.0.1"), "- - - - - - 10:50:00 10:50:59 - SKIPDATA"
    inventory = [
        *sweep("09:00", VPC, A, B, flow_log("fl-1")),
        gone("10:20:00", "eni-a"),
        event("10:25:00", n),
        *sweep("12:00", VPC, B, n),
    ]
    seen = f"""
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 500 10:01:00 10:01:59 ACCEPT OK
        eni-n 10.0.0.1 10.0.0.2 50000 443 6  40 10:31:00 10:31:59 ACCEPT OK
        eni-b 10.0.0.1 10.0.0.2 50000 443 6  80 10:31:00 10:31:59 ACCEPT OK
        eni-a {lost}
        eni-n {lost}
        eni-b {lost}
        """
    answer = run(inventory, {"fl-1": lines(PLAIN, seen)})
    assert answer.show("client_interface_id", "uploaded", "reporter") == [
        ("eni-a", 500, ["eni-a"]),
        ("eni-n", 80, ["eni-b"]),
    ]


def test_both_lost_records_and_a_connection_of_nobody_known_is_decided_by_itself() -> None:
    """10.0.0.5 changed hands at 10:02: whose eni-a's 70 bytes to it at that time were is not known, and nobody else has
    them. That eni-new holds more of all (150 > 130) has no part in it."""
    new, lost = eni("eni-new", "10.0.0.5"), "- - - - - - 10:50:00 10:50:59 - SKIPDATA"
    inventory = [
        *sweep("09:00", VPC, A, flow_log("fl-1")),
        event("09:30", eni("eni-old", "10.0.0.5")),
        gone("10:02:00", "eni-old"),
        event("10:02:10", new),
        *sweep("12:00", A, new),
    ]
    seen = f"""
        eni-a   10.0.0.1 10.0.0.5 50000 443 6 70 10:01:50 10:02:20 ACCEPT OK
        eni-a   10.0.0.1 10.0.0.5 50001 443 6 60 10:31:00 10:31:59 ACCEPT OK
        eni-new 10.0.0.1 10.0.0.5 50001 443 6 150 10:31:00 10:31:59 ACCEPT OK
        eni-a   {lost}
        eni-new {lost}
        """
    answer = run(inventory, {"fl-1": lines(PLAIN, seen)})
    assert answer.show("server_interface_id", "uploaded", "reporter") == [
        (None, 70, ["eni-a"]),
        ("eni-new", 150, ["eni-new"]),
    ]


def test_both_lost_records_duplicates_do_not_sway_the_choice() -> None:
    """eni-b's 50 bytes came by two flow logs; 2 * 50 > 90, but it holds 50."""
    lost = "- - - - - - 10:20:00 10:29:59 - SKIPDATA"
    a = lines(PLAIN, f"eni-a 10.0.0.1 10.0.0.2 50000 443 6 90 10:01:00 10:01:59 ACCEPT OK\neni-a {lost}")
    b = lines(PLAIN, f"eni-b 10.0.0.1 10.0.0.2 50000 443 6 50 10:01:00 10:01:59 ACCEPT OK\neni-b {lost}")
    inventory = steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b"), flow_log("fl-subnet"))
    answer = run(inventory, {"fl-a": a, "fl-b": b, "fl-subnet": b})
    assert answer.show("uploaded", "reporter") == [(90, ["eni-a"])]
    assert answer.fates == {"counted": 90, "other_reporter": 50, "duplicate": 50}


def test_both_lost_records_in_different_ways_the_one_that_holds_more_counts_all_the_same() -> None:
    """eni-a had SKIPDATA, a line of eni-b's flow log could not be read: neither loss is the lesser."""
    a = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 90 10:01:00 10:01:59 ACCEPT OK
        eni-a - - - - - - 10:20:00 10:29:59 - SKIPDATA
        """,
    )
    b = lines(
        PLAIN,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 50 10:01:00 10:01:59 ACCEPT OK
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 40 10:01:00 10:01:59 PERHAPS OK
        """,
    )
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": a, "fl-b": b})
    assert answer.show("uploaded", "reporter") == [(90, ["eni-a"])]
    assert answer.fates == {"counted": 90, "other_reporter": 50}


def test_the_one_record_that_is_left_counts_though_who_else_lost_it_is_not_known() -> None:
    """10.0.0.20 went from eni-b to eni-c at 10:20. eni-a, which lost records elsewhere, asked whoever had it at
    10:19:30; that it was eni-c, with losses too, can't be excluded: eni-a's record counts, and says so."""
    b, c, other = eni("eni-b", "10.0.0.2"), eni("eni-c", "10.0.0.3"), "10.0.0.20"
    inventory = [
        *sweep("09:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}, c, flow_log("fl-a"), flow_log("fl-b")),
        event("10:20:00", b),
        event("10:20:10", {**c, "addresses": ["10.0.0.3", other]}),
        *sweep("12:00", VPC, A, b, {**c, "addresses": ["10.0.0.3", other]}),
    ]
    a = lines(
        PLAIN,
        f"""
        eni-a 10.0.0.1 {other} 50000 443 6 100 10:19:30 10:19:59 ACCEPT OK
        eni-a - - - - - - 10:40:00 10:40:59 - SKIPDATA
        """,
    )
    others = lines(
        PLAIN,
        """
        eni-b 10.0.0.2 93.184.216.34 50000 443 6 7 10:40:00 10:40:59 ACCEPT OK
        eni-c - - - - - - 10:19:30 10:20:29 - SKIPDATA
        """,
    )
    answer = run(inventory, {"fl-a": a, "fl-b": others})
    flags = ["possibly_doubled", "partial_reporter"]
    assert answer.show("server_interface_id", "uploaded", "flags", server_addr=other) == [(None, 100, flags)]


@pytest.mark.parametrize("client", [False, True])
def test_an_address_that_two_have_in_turn_is_told_by_the_record_of_the_one_that_had_it(client: bool) -> None:
    """10.0.0.20 went from eni-b to eni-c at 10:20:10. eni-b's own record of the connection shows its primary address
    (v2): the book gives 10.0.0.20 to eni-b too, and only eni-b recorded these ports."""
    b, c, other = eni("eni-b", "10.0.0.2"), eni("eni-c", "10.0.0.3"), "10.0.0.20"
    inventory = [
        *sweep("09:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}, c, flow_log("fl-a"), flow_log("fl-b")),
        event("10:20:00", b),
        event("10:20:10", {**c, "addresses": ["10.0.0.3", other]}),
        *sweep("12:00", VPC, A, b, {**c, "addresses": ["10.0.0.3", other]}),
    ]

    def record(reporter: str, address: str) -> str:
        ends = f"{address} 10.0.0.1" if client else f"10.0.0.1 {address}"
        return f"{reporter} {ends} 50000 443 6 100 10:19:00 10:20:30 ACCEPT OK 3"

    a, own = lines(FLAGS, record("eni-a", other)), lines(FLAGS, record("eni-b", "10.0.0.2"))
    answer = run(inventory, {"fl-a": a, "fl-b": own})
    assert answer.fates == {"counted": 100, "other_reporter": 100}
    ends = ("eni-b", "eni-a") if client else ("eni-a", "eni-b")
    assert answer.show("client_interface_id", "server_interface_id", "uploaded", "flags") == [(*ends, 100, [])]
    # A third one's record with the same ports proves nothing: the book never gives it the address.
    stranger = lines(FLAGS, record("eni-d", "10.0.0.4"))
    answer = run([*inventory, *sweep("09:00", eni("eni-d", "10.0.0.4"))], {"fl-a": a, "fl-b": stranger})
    end = "client" if client else "server"
    assert answer.show(f"{end}_interface_id", "uploaded", **{f"{end}_addr": other}) == [(None, 100)]


def test_an_address_that_went_and_came_back_untold_is_of_the_one_that_recorded_the_connection() -> None:
    """The book gives 10.0.0.20 to eni-b until 10:40 and to eni-c after that. All events of a turn of eni-c's at
    10:20 were lost; but eni-c recorded the connection, and eni-b did not."""
    b, c, other = eni("eni-b", "10.0.0.2"), eni("eni-c", "10.0.0.3"), "10.0.0.20"
    inventory = [
        *sweep("09:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}, c, flow_log("fl-a"), flow_log("fl-b")),
        *sweep("09:59", VPC, A, {**b, "addresses": ["10.0.0.2", other]}, c, flow_log("fl-a"), flow_log("fl-b")),
        event("10:40:00", {**b, "addresses": [], "addresses_removed": [other]}, "partial"),
        event("10:40:10", {**c, "addresses": ["10.0.0.3", other]}),
        *sweep("12:00", VPC, A, b, {**c, "addresses": ["10.0.0.3", other]}),
    ]
    a = lines(FLAGS, f"eni-a {other} 10.0.0.1 50000 443 6 100 10:20:00 10:20:30 ACCEPT OK 3")
    own = lines(FLAGS, "eni-c 10.0.0.3 10.0.0.1 50000 443 6 100 10:20:00 10:20:30 ACCEPT OK 3")
    answer = run(inventory, {"fl-a": a, "fl-b": own})
    assert answer.show("client_interface_id", "client_attribution", "uploaded") == [("eni-c", "attested", 100)]
    assert answer.fates == {"counted": 100, "other_reporter": 100}
    # With nothing that speaks against it the book is believed.
    answer = run(inventory, {"fl-a": a})
    assert answer.show("client_interface_id", "client_attribution") == [("eni-b", "interval")]


def test_sum_over_two_hours_is_the_truth_though_records_straddle_them() -> None:
    """The sender's clock is 30 s behind and its interval 60 s; the receiver's is 600 s. Truth: 100 + 200 + 400.

    By the receiver, the hour's last record begins at 10:55 and holds all that was sent until 11:04. The sender's
    records of it lie in both hours.
    """
    a = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:54:30 10:55:29 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 200 10:59:40 11:00:39 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 400 11:03:30 11:04:29 ACCEPT OK
        """,
    )
    b = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50000 443 6 700 10:55:00 11:04:59 ACCEPT OK")
    inventory = steady(VPC, A, B, flow_log("fl-a", interval=60), flow_log("fl-b"))
    # fl-b says in the next hour that eni-b had no traffic, so that it is known to report then.
    quiet = lines(PLAIN, "\n".join(f"eni-b - - - - - - 11:{m}5:00 11:{m}9:59 - NODATA" for m in range(6)))
    logs = {"fl-a": a, "fl-b": [b, quiet]}
    ten = run(inventory, logs)
    eleven = run(inventory, logs, hour=TEN.plus(1), previous=ten.reported())
    assert ten.show("uploaded", "reporter") == [(700, ["eni-b"])]
    assert eleven.rows == []
    # Each hour names what it set aside (100 + 200, then 400) and what was not its own.
    assert (ten.fates, eleven.fates) == ({"counted": 700, "other_reporter": 300}, {"other_reporter": 400})
    assert [answer.coverage["fl-a"]["stray_bytes"] for answer in (ten, eleven)] == [400, 300]
    assert eleven.coverage["fl-a"]["handover_pairs"] == 0


def test_the_other_record_beside_the_hour_tells_an_end_and_adds_no_bytes() -> None:
    """The inventory lacks eni-new. eni-a's record of the connection begins at 10:00:10, eni-new's own at 09:59:50 by
    its clock: that one is of the hour before, where the receiver's record counts. So eni-a's is evidence here, and
    its end has a name.
    """
    logs = {
        "fl-1": lines(PLAIN, "eni-a 10.0.0.1 10.0.0.50 50000 443 6 100 10:00:10 10:00:12 ACCEPT OK"),
        "fl-2": lines(NEW_LOG, "eni-new 10.0.0.1 10.0.0.50 50000 443 6 100 09:59:50 09:59:52 ACCEPT OK ingress vpc-1"),
    }
    inventory = steady(VPC, A, flow_log("fl-1"), flow_log("fl-2"))
    answer = run(inventory, logs)
    assert [row["uploaded"] for row in answer.rows] == [100]
    assert answer.show("client_interface_id", "server_interface_id", "server_attribution") == [
        ("eni-a", "eni-new", "attested")
    ]
    assert answer.coverage["fl-2"]["records"] == 0
    assert answer.coverage["fl-2"]["stray_records"] == 1


def test_a_changed_choice_between_hours_is_counted_as_a_handover() -> None:
    a = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    b = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    inventory = steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b"))
    # In the hour before eni-b had SKIPDATA (8): then the sender was chosen, now the receiver is.
    answer = run(inventory, {"fl-a": a, "fl-b": b}, previous={"eni-a": Reported(0), "eni-b": Reported(8)})
    assert answer.coverage["fl-b"]["handover_pairs"] == 1
    steady_answer = run(inventory, {"fl-a": a, "fl-b": b}, previous={"eni-a": Reported(8), "eni-b": Reported(0)})
    assert steady_answer.coverage["fl-b"]["handover_pairs"] == 0


def test_a_pair_is_told_by_interface_though_one_reporter_cannot_see_the_secondary_address() -> None:
    """eni-b answers on its secondary 10.0.0.20. Its own v2 records show the primary; eni-a's show what it spoke to."""
    b = eni("eni-b", "10.0.0.2", "10.0.0.20")
    logs_a = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.20 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.20 10.0.0.1 443 50000 6 900 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    logs_b = lines(
        PLAIN,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-b 10.0.0.2 10.0.0.1 443 50000 6 900 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    inventory = steady(VPC, A, b, flow_log("fl-a"), flow_log("fl-b"))
    answer = run(inventory, {"fl-a": logs_a, "fl-b": logs_b})
    assert answer.fates == {"counted": 1000, "other_reporter": 1000}
    assert sum(row["uploaded"] for row in answer.rows) == 100
    assert sum(row["downloaded"] for row in answer.rows) == 900
    # With packet addresses both see the secondary one: one row.
    logs_b = lines(
        PACKETS,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.0.0.20
        eni-b 10.0.0.2 10.0.0.1 443 50000 6 900 10:01:00 10:01:59 ACCEPT OK 10.0.0.20 10.0.0.1
        """,
    )
    answer = run(inventory, {"fl-a": logs_a, "fl-b": logs_b})
    assert answer.show("server_addr", *BYTES) == [("10.0.0.20", "eni-a", "eni-b", 443, "ACCEPT", "direct", 100, 900)]


def test_a_secondary_address_given_back_to_its_holder_is_told_by_the_connection_and_counted_once() -> None:
    """eni-b held 10.0.0.20 until 10:20:00 and from 10:20:10 on: who held it between, nobody says. A record of eni-a
    over that time is of the connection that eni-b's own v2 record shows, with its primary address."""
    b, other = eni("eni-b", "10.0.0.2"), "10.0.0.20"
    inventory = [
        *sweep("09:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}, flow_log("fl-a"), flow_log("fl-b")),
        event("10:20:00", b),
        event("10:20:10", {**b, "addresses": ["10.0.0.2", other]}),
        *sweep("12:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}),
    ]
    a = lines(PLAIN, f"eni-a 10.0.0.1 {other} 50000 443 6 100 10:19:00 10:20:59 ACCEPT OK")
    at_b = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:19:00 10:20:59 ACCEPT OK")
    answer = run(inventory, {"fl-a": a, "fl-b": at_b})
    assert answer.fates == {"counted": 100, "other_reporter": 100}
    assert told(answer) == [("10:15:00", "eni-a", "eni-b", 443, "ACCEPT", "direct", 100, 0, ["eni-b"], [])]


def test_a_client_at_a_secondary_address_that_it_gave_back_for_seconds_is_told_by_its_own_port() -> None:
    """The other way round: eni-b asks from 10.0.0.20. Its port is not forgotten before eni-a's record is told by it,
    though the book alone tells for the whole hour who has the primary address that eni-b's record shows."""
    b, other = eni("eni-b", "10.0.0.2"), "10.0.0.20"
    inventory = [
        *sweep("09:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}, flow_log("fl-a"), flow_log("fl-b")),
        event("10:20:00", b),
        event("10:20:10", {**b, "addresses": ["10.0.0.2", other]}),
        *sweep("12:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}),
    ]
    a = lines(FLAGS, f"eni-a {other} 10.0.0.1 50000 443 6 100 10:19:00 10:20:59 ACCEPT OK 3")
    at_b = lines(FLAGS, "eni-b 10.0.0.2 10.0.0.1 50000 443 6 100 10:19:00 10:20:59 ACCEPT OK 3")
    answer = run(inventory, {"fl-a": a, "fl-b": at_b})
    assert answer.fates == {"counted": 100, "other_reporter": 100}
    assert told(answer) == [("10:15:00", "eni-b", "eni-a", 443, "ACCEPT", "direct", 100, 0, ["eni-a"], [])]


def test_an_end_that_two_may_have_held_is_counted_once_where_both_would_have_reported_it() -> None:
    """10.0.0.20 went from eni-b to eni-c at 10:20: a record around that time names neither. But either would have
    recorded those bytes, and eni-b did, under its primary address: 100 bytes, once."""
    b, c, other = eni("eni-b", "10.0.0.2"), eni("eni-c", "10.0.0.3"), "10.0.0.20"
    inventory = [
        *sweep("09:00", VPC, A, {**b, "addresses": ["10.0.0.2", other]}, c, flow_log("fl-a"), flow_log("fl-b")),
        event("10:20:00", b),
        event("10:20:10", {**c, "addresses": ["10.0.0.3", other]}),
        *sweep("12:00", VPC, A, b, {**c, "addresses": ["10.0.0.3", other]}),
    ]
    a = lines(PLAIN, f"eni-a 10.0.0.1 {other} 50000 443 6 100 10:19:30 10:19:59 ACCEPT OK")
    own = lines(
        PLAIN,
        """
        eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:19:30 10:19:59 ACCEPT OK
        eni-c 10.0.0.3 93.184.216.34 50000 443 6 7 10:40:00 10:40:59 ACCEPT OK
        """,
    )
    answer = run(inventory, {"fl-a": a, "fl-b": own})
    assert answer.fates == {"counted": 107, "other_reporter": 100}
    assert answer.show("server_interface_id", "reporter", "uploaded", client_addr="10.0.0.1") == [
        ("eni-b", ["eni-b"], 100)
    ]


@pytest.mark.parametrize("together", [True, False])
def test_it_does_not_matter_which_worker_read_what(together: bool) -> None:
    a = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    b = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    inventory = steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b"))
    answer = run(inventory, {"fl-a": a, "fl-b": b}, together=together)
    assert told(answer) == [("10:00:00", "eni-a", "eni-b", 443, "ACCEPT", "direct", 100, 0, ["eni-b"], [])]
    assert answer.show("also_reported_by") == [(["eni-a"],)]


# --- NAT -------------------------------------------------------------------------------------------------------------

NAT = eni("eni-nat", "10.0.9.9", subnet="subnet-9", interface_type="nat_gateway")
NEW_LOG = PLAIN + " flow-direction vpc-id"
WORLD = "93.184.216.34"


def test_nat_seen_by_client_inside_and_outside_counts_once_and_keeps_outside_apart() -> None:
    """One download of 5000 bytes by 300: the client, the gateway's inside and its outside (with packet addresses) all
    report it."""
    client = lines(
        PACKETS,
        f"""
        eni-a 10.0.0.1 {WORLD} 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD}
        eni-a {WORLD} 10.0.0.1 443 50000 6 5000 10:01:00 10:01:59 ACCEPT OK {WORLD} 10.0.0.1
        """,
    )
    gateway = lines(
        PACKETS,
        f"""
        eni-nat 10.0.0.1 10.0.9.9 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD}
        eni-nat 10.0.9.9 {WORLD} 61000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.9.9 {WORLD}
        eni-nat {WORLD} 10.0.9.9 443 61000 6 5000 10:01:00 10:01:59 ACCEPT OK {WORLD} 10.0.9.9
        eni-nat 10.0.9.9 10.0.0.1 443 50000 6 5000 10:01:00 10:01:59 ACCEPT OK {WORLD} 10.0.0.1
        """,
    )
    inventory = steady(VPC, A, NAT, flow_log("fl-1"))
    answer = run(inventory, {"fl-1": [client, gateway]})
    shown = answer.show(
        "client_interface_id",
        "server_addr",
        "leg",
        "uploaded",
        "downloaded",
        "reporter",
        "path_via",
        "path_by_id",
        "path_source",
    )
    assert shown == [
        ("eni-a", WORLD, "nat_inside", 300, 5000, ["eni-a"], "nat_gateway", "eni-nat", "nat_interface"),
        ("eni-nat", WORLD, "nat_outside", 300, 5000, ["eni-nat"], None, None, None),
    ]
    assert answer.fates == {"counted": 5300, "other_reporter": 5300, "nat_outside": 5300}


def test_nat_without_a_logged_client_counts_the_gateways_inside() -> None:
    gateway = lines(
        PACKETS,
        f"""
        eni-nat 10.0.0.1 10.0.9.9 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD}
        eni-nat 10.0.9.9 {WORLD} 61000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.9.9 {WORLD}
        eni-nat {WORLD} 10.0.9.9 443 61000 6 5000 10:01:00 10:01:59 ACCEPT OK {WORLD} 10.0.9.9
        eni-nat 10.0.9.9 10.0.0.1 443 50000 6 5000 10:01:00 10:01:59 ACCEPT OK {WORLD} 10.0.0.1
        """,
    )
    answer = run(steady(VPC, A, NAT, flow_log("fl-1")), {"fl-1": gateway})
    assert answer.show("client_interface_id", "client_attribution", "leg", "uploaded", "downloaded", "reporter") == [
        ("eni-a", "interval", "nat_inside", 300, 5000, ["eni-nat"]),
        ("eni-nat", "interface", "nat_outside", 300, 5000, ["eni-nat"]),
    ]
    assert answer.fates == {"counted": 5300, "nat_outside": 5300}


def test_nat_in_the_default_format_shows_only_that_the_client_used_it() -> None:
    """v2 hides the far end on the inside: what is counted is the client's own record, or, unlogged, the client with
    the gateway."""
    client = lines(
        PLAIN,
        f"""
        eni-a 10.0.0.1 {WORLD} 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK
        eni-a {WORLD} 10.0.0.1 443 50000 6 5000 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    gateway = lines(
        PLAIN,
        f"""
        eni-nat 10.0.0.1 10.0.9.9 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK
        eni-nat 10.0.9.9 {WORLD} 61000 443 6  300 10:01:00 10:01:59 ACCEPT OK
        eni-nat {WORLD} 10.0.9.9 443 61000 6 5000 10:01:00 10:01:59 ACCEPT OK
        eni-nat 10.0.9.9 10.0.0.1 443 50000 6 5000 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    inventory = steady(VPC, A, NAT, flow_log("fl-1"))
    both = run(inventory, {"fl-1": [client, gateway]})
    assert both.fates == {"counted": 5300, "other_reporter": 5300, "nat_outside": 5300}
    assert both.show("client_interface_id", "server_addr", "uploaded", "downloaded", leg="direct") == [
        ("eni-a", WORLD, 300, 5000)
    ]
    alone = run(inventory, {"fl-1": gateway})
    assert alone.fates == {"counted": 5300, "nat_outside": 5300}
    assert alone.show("client_interface_id", "server_addr", "uploaded", "downloaded", leg="nat_inside") == [
        ("eni-a", "10.0.9.9", 300, 5000)
    ]


def test_regional_nat_gateway_reports_under_its_resource_id() -> None:
    """interface-id is '-', resource-id holds the gateway: its inside counts where the client is not logged."""
    format_ = PACKETS + " resource-id"
    gateway = lines(
        format_,
        f"""
        - 10.0.0.1 10.0.9.9 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD} nat-0abc
        - 10.0.9.9 {WORLD} 61000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.9.9 {WORLD} nat-0abc
        """,
    )
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": gateway})
    assert answer.show("client_addr", "server_addr", "leg", "uploaded", "reporter") == [
        ("10.0.0.1", WORLD, "nat_inside", 300, ["nat-0abc"]),
        ("10.0.9.9", WORLD, "nat_outside", 300, ["nat-0abc"]),
    ]


def test_regional_nat_gateway_that_shows_the_far_end_inside_is_still_between_the_ends() -> None:
    """It has no address in the VPC: inside, its records show client and world, as if the world's address were its
    own."""
    format_ = PLAIN + " flow-direction vpc-id pkt-srcaddr pkt-dstaddr resource-id"
    gateway = lines(
        format_,
        f"""
        - 10.0.0.1 {WORLD} 50000 443 6 300 10:01:00 10:01:59 ACCEPT OK ingress vpc-1 10.0.0.1 {WORLD} nat-0abc
        - 52.0.0.9 {WORLD} 61000 443 6 300 10:01:00 10:01:59 ACCEPT OK egress  vpc-1 52.0.0.9 {WORLD} nat-0abc
        - {WORLD} 52.0.0.9 443 61000 6 700 10:01:00 10:01:59 ACCEPT OK ingress vpc-1 {WORLD} 52.0.0.9 nat-0abc
        - {WORLD} 10.0.0.1 443 50000 6 700 10:01:00 10:01:59 ACCEPT OK egress  vpc-1 {WORLD} 10.0.0.1 nat-0abc
        """,
    )
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": gateway})
    columns = ("client_addr", "client_interface_id", "server_interface_id", "leg", "uploaded", "downloaded")
    assert answer.show(*columns) == [
        ("10.0.0.1", "eni-a", None, "nat_inside", 300, 700),
        ("52.0.0.9", "nat-0abc", None, "nat_outside", 300, 700),
    ]


def test_regional_nat_gateway_without_a_name_is_still_between_the_ends() -> None:
    """Without resource-id nothing names it. It lies in the VPC of its flow log; between two public addresses is its
    outside. 300 + 700 bytes three times: the client's own count, the inside is the other reporter's."""
    client = lines(
        NEW_LOG,
        f"""
        eni-a 10.0.0.1 {WORLD} 50000 443 6 300 10:01:00 10:01:59 ACCEPT OK egress  vpc-1
        eni-a {WORLD} 10.0.0.1 443 50000 6 700 10:01:00 10:01:59 ACCEPT OK ingress vpc-1
        """,
    )
    gateway = lines(
        NEW_LOG,
        f"""
        - 10.0.0.1 {WORLD} 50000 443 6 300 10:01:00 10:01:59 ACCEPT OK ingress vpc-1
        - 52.0.0.9 {WORLD} 61000 443 6 300 10:01:00 10:01:59 ACCEPT OK egress  vpc-1
        - {WORLD} 52.0.0.9 443 61000 6 700 10:01:00 10:01:59 ACCEPT OK ingress vpc-1
        - {WORLD} 10.0.0.1 443 50000 6 700 10:01:00 10:01:59 ACCEPT OK egress  vpc-1
        """,
    )
    covers = {**flow_log("fl-1"), "detail": {"traffic_type": "ALL", "resource_id": "vpc-1"}}
    answer = run(steady(VPC, A, covers), {"fl-1": [client, gateway]})
    columns = ("client_addr", "client_interface_id", "leg", "uploaded", "downloaded", "flags")
    assert answer.show(*columns) == [
        ("10.0.0.1", "eni-a", "nat_inside", 300, 700, []),
        ("52.0.0.9", None, "nat_outside", 300, 700, []),
    ]
    assert answer.fates == {"counted": 1000, "other_reporter": 1000, "nat_outside": 1000}
    alone = run(steady(VPC, A, covers), {"fl-1": gateway})
    assert alone.fates == {"counted": 1000, "nat_outside": 1000}


PRIVATE = [vpc("vpc-2", "10.1.0.0/16"), attached("vpc-1"), attached("vpc-2")]
BEHIND = eni("eni-s", "10.1.0.7", vpc="vpc-2", subnet="subnet-2")
PAST_THE_GATEWAY = {
    "fl-c": """
        eni-a 10.0.0.1 10.1.0.7 50000 443 6 300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.1.0.7
        eni-a 10.1.0.7 10.0.0.1 443 50000 6 700 10:01:00 10:01:59 ACCEPT OK 10.1.0.7 10.0.0.1
        """,
    "fl-n": """
        eni-nat 10.0.0.1 10.0.9.9 50000 443 6 300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.1.0.7
        eni-nat 10.0.9.9 10.1.0.7 61000 443 6 300 10:01:00 10:01:59 ACCEPT OK 10.0.9.9 10.1.0.7
        eni-nat 10.1.0.7 10.0.9.9 443 61000 6 700 10:01:00 10:01:59 ACCEPT OK 10.1.0.7 10.0.9.9
        eni-nat 10.0.9.9 10.0.0.1 443 50000 6 700 10:01:00 10:01:59 ACCEPT OK 10.1.0.7 10.0.0.1
        """,
    "fl-s": """
        eni-s 10.0.9.9 10.1.0.7 61000 443 6 300 10:01:00 10:01:59 ACCEPT OK 10.0.9.9 10.1.0.7
        eni-s 10.1.0.7 10.0.9.9 443 61000 6 700 10:01:00 10:01:59 ACCEPT OK 10.1.0.7 10.0.9.9
        """,
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("logged", [("fl-c", "fl-n", "fl-s"), ("fl-c", "fl-n"), ("fl-n", "fl-s"), ("fl-n",)])
def test_a_private_gateway_hides_the_ends_from_each_other_and_each_byte_counts_once_inside(
    logged: tuple[str, ...], together: bool
) -> None:
    """300 up and 700 down. The server's records name the gateway for its client: the same bytes, on nat_outside."""
    inventory = steady(VPC, *PRIVATE, A, NAT, BEHIND, *(flow_log(name) for name in logged))
    answer = run(inventory, {name: lines(PACKETS, PAST_THE_GATEWAY[name]) for name in logged}, together=together)
    assert answer.show("client_interface_id", "server_interface_id", "leg", "uploaded", "downloaded", "flags") == [
        ("eni-a", "eni-s", "nat_inside", 300, 700, []),
        ("eni-nat", "eni-s", "nat_outside", 300, 700, []),
    ]
    assert (answer.fates["counted"], answer.fates["nat_outside"]) == (1000, 1000)


def test_what_a_server_recorded_of_a_gateway_that_does_not_report_may_count_twice_and_says_so() -> None:
    """Nothing tells that eni-a's 700 bytes down are among those that the server sent to the gateway."""
    logs = {name: lines(PACKETS, PAST_THE_GATEWAY[name]) for name in ("fl-c", "fl-s")}
    answer = run(steady(VPC, *PRIVATE, A, NAT, BEHIND, *map(flow_log, logs)), logs)
    assert answer.show("client_interface_id", "uploaded", "downloaded", "flags") == [
        ("eni-a", 0, 700, []),
        ("eni-nat", 300, 700, ["possibly_doubled"]),
    ]
    assert answer.coverage["fl-s"]["possibly_doubled_bytes"] == 1000


def test_a_gateway_without_packet_addresses_tells_inside_from_outside_by_who_opens_the_connection() -> None:
    """To private ends both look alike; nobody opens a connection to a gateway but from inside."""
    body = "\n".join(" ".join(line.split()[:11]) for line in PAST_THE_GATEWAY["fl-n"].strip().splitlines())
    answer = run(steady(VPC, *PRIVATE, A, NAT, BEHIND, flow_log("fl-n")), {"fl-n": lines(PLAIN, body)})
    assert answer.show("client_interface_id", "server_interface_id", "leg", "uploaded", "downloaded") == [
        ("eni-a", "eni-nat", "nat_inside", 300, 700),
        ("eni-nat", "eni-s", "nat_outside", 300, 700),
    ]


def test_a_gateway_that_lost_nothing_stands_in_for_a_client_that_did() -> None:
    """eni-a lost one of two records: 300 of 800. The gateway's inside holds 800, and counts alone."""
    client = lines(
        PACKETS,
        f"""
        eni-a 10.0.0.1 {WORLD} 50000 443 6 300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD}
        eni-a - - - - - - 10:02:00 10:02:59 - SKIPDATA - -
        """,
    )
    gateway = lines(
        PACKETS,
        f"""
        eni-nat 10.0.0.1 10.0.9.9 50000 443 6 300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD}
        eni-nat 10.0.0.1 10.0.9.9 50000 443 6 500 10:02:00 10:02:59 ACCEPT OK 10.0.0.1 {WORLD}
        """,
    )
    answer = run(steady(VPC, A, NAT, flow_log("fl-1"), flow_log("fl-2")), {"fl-1": client, "fl-2": gateway})
    assert answer.fates == {"counted": 800, "other_reporter": 300}
    assert answer.show("client_interface_id", "server_addr", "leg", "uploaded", "reporter") == [
        ("eni-a", WORLD, "nat_inside", 800, ["eni-nat"])
    ]


def test_a_gateway_that_hides_the_far_end_does_not_count_for_a_client_that_the_book_knows_at_other_times() -> None:
    """eni-b is known to have had 10.0.0.20 until 10:05 only, and asks from it at 10:31: its own v2 record shows its
    primary address, the gateway's shows 10.0.0.20. The bytes are eni-b's, once."""
    b, other = eni("eni-b", "10.0.0.2"), "10.0.0.20"
    inventory = [
        *sweep("09:00", VPC, NAT, {**b, "addresses": ["10.0.0.2", other]}, flow_log("fl-1"), flow_log("fl-2")),
        event("10:05:00", b),
        *sweep("12:00", VPC, NAT, b),
    ]
    client = lines(PLAIN, f"eni-b 10.0.0.2 {WORLD} 50000 443 6 100 10:31:00 10:31:59 ACCEPT OK")
    gateway = lines(PLAIN, f"eni-nat {other} 10.0.9.9 50000 443 6 100 10:31:00 10:31:59 ACCEPT OK")
    answer = run(inventory, {"fl-1": client, "fl-2": gateway})
    assert answer.fates == {"counted": 100, "other_reporter": 100}
    assert answer.show("client_interface_id", "server_addr", "uploaded") == [("eni-b", WORLD, 100)]


# --- transit gateway and appliances ----------------------------------------------------------------------------------

VPC2 = vpc("vpc-2", "10.2.0.0/16")
FAR = eni("eni-far", "10.2.0.7", vpc="vpc-2", subnet="subnet-2")
HOP1 = eni("eni-tgw1", "10.0.8.8", subnet="subnet-8", interface_type="transit_gateway")
HOP2 = eni("eni-tgw2", "10.2.8.8", vpc="vpc-2", subnet="subnet-28", interface_type="transit_gateway")
ESTATE = (
    VPC,
    VPC2,
    A,
    FAR,
    HOP1,
    HOP2,
    attached("vpc-1"),
    attached("vpc-2"),
    flow_log("fl-1"),
    flow_log("fl-2"),
    flow_log("fl-hop"),
)
FROM_A = lines(PACKETS, "eni-a 10.0.0.1 10.2.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7")
AT_FAR = lines(PACKETS, "eni-far 10.0.0.1 10.2.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7")
AT_HOPS = lines(
    PACKETS,
    """
    eni-tgw1 10.0.0.1 10.0.8.8 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7
    eni-tgw2 10.2.8.8 10.2.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7
    """,
)
LEGS = ("leg", "client_interface_id", "server_interface_id", "uploaded", "reporter", "path_via")


def test_transit_gateway_hops_are_published_apart_where_an_end_is_logged() -> None:
    both = run(steady(*ESTATE), {"fl-1": FROM_A, "fl-2": AT_FAR, "fl-hop": AT_HOPS})
    # 100 by the receiver, 100 set aside from the sender, 100 at each of two hops.
    assert both.fates == {"counted": 100, "other_reporter": 100, "hop": 200}
    assert both.show(*LEGS) == [
        ("direct", "eni-a", "eni-far", 100, ["eni-far"], "transit_gateway"),
        ("hop", "eni-a", "eni-far", 200, ["eni-tgw1", "eni-tgw2"], "transit_gateway"),
    ]
    one = run(steady(*ESTATE), {"fl-1": FROM_A, "fl-hop": AT_HOPS})
    assert one.fates == {"counted": 100, "hop": 200}
    assert one.show(*LEGS, leg="direct") == [("direct", "eni-a", "eni-far", 100, ["eni-a"], "transit_gateway")]


def test_where_no_end_is_logged_the_hop_nearest_to_the_receiver_counts() -> None:
    answer = run(steady(*ESTATE), {"fl-hop": AT_HOPS})
    assert answer.fates == {"counted": 100, "hop": 100}
    assert answer.show(*LEGS) == [
        ("direct", "eni-a", "eni-far", 100, ["eni-tgw2"], "transit_gateway"),
        ("hop", "eni-a", "eni-far", 100, ["eni-tgw1"], "transit_gateway"),
    ]


def test_where_all_lost_records_the_hop_that_holds_more_than_the_ends_counts() -> None:
    """Both ends and both hops lost some. eni-tgw2, nearest to the receiver, holds 60; eni-tgw1 holds 80; eni-a 70."""
    lost = "- - - - - - 10:40:00 10:40:59 - SKIPDATA - -"
    from_a = lines(PACKETS, f"eni-a 10.0.0.1 10.2.0.7 50000 443 6 70 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7\n"
                            f"eni-a {lost}")  # fmt: skip
    hops = lines(
        PACKETS,
        f"""
        eni-tgw1 10.0.0.1 10.0.8.8 50000 443 6 80 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7
        eni-tgw2 10.2.8.8 10.2.0.7 50000 443 6 60 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7
        eni-tgw1 {lost}
        eni-tgw2 {lost}
        """,
    )
    answer = run(steady(*ESTATE), {"fl-1": from_a, "fl-2": lines(PACKETS, f"eni-far {lost}"), "fl-hop": hops})
    assert answer.show("leg", "uploaded", "reporter") == [
        ("direct", 80, ["eni-tgw1"]),
        ("hop", 60, ["eni-tgw2"]),
    ]
    assert answer.fates == {"counted": 80, "other_reporter": 70, "hop": 60}


def test_hops_of_two_vpcs_that_know_neither_end_are_of_one_pair_all_the_same() -> None:
    """Nothing is known to join the VPCs: each hop knows where one of the two addresses would lie, and not the other."""
    answer = run(steady(VPC, VPC2, HOP1, HOP2, flow_log("fl-hop")), {"fl-hop": AT_HOPS})
    assert answer.fates == {"counted": 100, "hop": 100}


def test_a_hop_does_not_count_beside_an_ends_own_record_that_does_not_know_the_other() -> None:
    """10.0.0.1 went from eni-a to eni-n at 10:02. eni-far, which lost records, tells 60 of a connection at that time
    whose client it can't name; eni-tgw2, with losses too, 100 of eni-n's right after. Both may hold the same bytes."""
    n, lost = eni("eni-n", "10.0.0.1"), "- - - - - - 10:50:00 10:50:59 - SKIPDATA - -"
    rest = (VPC, VPC2, FAR, HOP1, HOP2, attached("vpc-1"), attached("vpc-2"), flow_log("fl-1"))
    inventory = [
        *sweep("09:00", A, *rest),
        gone("10:02:00", "eni-a"),
        event("10:02:10", n),
        *sweep("12:00", n, *rest),
    ]
    seen = f"""
        eni-far  10.0.0.1  10.2.0.7 50000 443 6  60 10:01:50 10:02:20 ACCEPT OK 10.0.0.1 10.2.0.7
        eni-tgw2 10.2.8.8  10.2.0.7 50000 443 6 100 10:03:20 10:04:20 ACCEPT OK 10.0.0.1 10.2.0.7
        eni-n    {lost}
        eni-far  {lost}
        eni-tgw2 {lost}
        """
    answer = run(inventory, {"fl-1": lines(PACKETS, seen)})
    assert answer.show("client_interface_id", "uploaded", leg="direct") == [(None, 60)]


def test_a_hop_that_counts_does_so_for_all_addresses_of_its_ends() -> None:
    """All lost some. eni-a has 10.0.0.1 and 10.0.0.3: of the first's 100 eni-far has all and of the second's 30 none,
    and eni-tgw2 has 130 of both: it alone counts, also where eni-far would do."""
    lost = "- - - - - - 10:40:00 10:40:59 - SKIPDATA - -"
    far = f"""
        eni-far  10.0.0.1  10.2.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7
        eni-far  {lost}
        """
    hops = f"""
        eni-tgw2 10.2.8.8  10.2.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.2.0.7
        eni-tgw2 10.2.8.8  10.2.0.7 50001 443 6  30 10:01:00 10:01:59 ACCEPT OK 10.0.0.3 10.2.0.7
        eni-tgw2 {lost}
        """
    estate = [eni("eni-a", "10.0.0.1", "10.0.0.3") if entity is A else entity for entity in ESTATE]
    answer = run(
        steady(*estate),
        {"fl-1": lines(PACKETS, f"eni-a {lost}"), "fl-2": lines(PACKETS, far), "fl-hop": lines(PACKETS, hops)},
    )
    assert answer.show("client_addr", "uploaded", "reporter") == [
        ("10.0.0.1", 100, ["eni-tgw2"]),
        ("10.0.0.3", 30, ["eni-tgw2"]),
    ]
    assert answer.fates == {"counted": 130, "other_reporter": 100}


def test_transit_gateway_flow_logs_are_hops_too() -> None:
    """v6: one record at each attachment. They count where nothing else saw the traffic, once."""
    at_gateway = lines(
        TRANSIT,
        """
        TransitGateway tgw-attach-vpc-1 vpc-1 vpc-2 10.0.0.1 10.2.0.7 50000 443 6 100 10:01:00 10:01:59 OK ingress
        TransitGateway tgw-attach-vpc-2 vpc-1 vpc-2 10.0.0.1 10.2.0.7 50000 443 6 100 10:01:00 10:01:59 OK egress
        """,
    )
    alone = run(steady(*ESTATE), {"fl-hop": at_gateway})
    assert alone.fates == {"counted": 100, "hop": 100}
    assert alone.show("client_interface_id", "server_interface_id", "uploaded", leg="direct") == [
        ("eni-a", "eni-far", 100)
    ]
    beside = run(steady(*ESTATE), {"fl-1": FROM_A, "fl-hop": at_gateway})
    assert beside.fates == {"counted": 100, "hop": 200}


def test_an_appliance_that_sees_the_same_packets_in_and_out_counts_them_once() -> None:
    """A firewall endpoint takes packets in and gives them back by the same interface; no end is logged: 100 bytes,
    not 200."""
    wall = eni("eni-wall", "10.0.7.7", subnet="subnet-7", interface_type="gateway_load_balancer_endpoint")
    seen = lines(
        PACKETS + " flow-direction",
        """
        eni-wall 10.0.0.1 10.0.7.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.0.0.2 ingress
        eni-wall 10.0.7.7 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.0.0.2 egress
        """,
    )
    answer = run(steady(VPC, A, B, wall, flow_log("fl-1")), {"fl-1": seen})
    assert answer.fates == {"counted": 100, "hop": 100}
    assert answer.show("leg", "uploaded") == [("direct", 100), ("hop", 100)]


def test_geneve_is_a_hop_whoever_reports_it() -> None:
    balancer = eni("eni-gwlb", "10.0.6.6", subnet="subnet-6", interface_type="gateway_load_balancer")
    appliance = eni("eni-fw", "10.0.6.7", subnet="subnet-6")
    seen = lines(
        PLAIN,
        """
        eni-gwlb 10.0.6.6 10.0.6.7 60123 6081 17 1100 10:01:00 10:01:59 ACCEPT OK
        eni-fw   10.0.6.6 10.0.6.7 60123 6081 17 1100 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    answer = run(steady(VPC, balancer, appliance, flow_log("fl-1")), {"fl-1": seen})
    assert answer.fates == {"hop": 2200}
    assert {row["leg"] for row in answer.rows} == {"hop"}


# --- several flow logs of one interface ------------------------------------------------------------------------------


def test_vpc_and_subnet_flow_logs_at_once_count_once_and_the_rest_is_named() -> None:
    """Both logs are whole; one is chosen for the interface (the one with more records), the other's 1000 bytes are
    duplicates."""
    same = """
        eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 93.184.216.34 10.0.0.1 443 50000 6 900 10:01:00 10:01:59 ACCEPT OK
        """
    split = """
        eni-a 10.0.0.1 93.184.216.34 50000 443 6 60 10:01:00 10:01:29 ACCEPT OK
        eni-a 10.0.0.1 93.184.216.34 50000 443 6 40 10:01:30 10:01:59 ACCEPT OK
        eni-a 93.184.216.34 10.0.0.1 443 50000 6 900 10:01:00 10:01:59 ACCEPT OK
        """
    inventory = steady(VPC, A, flow_log("fl-vpc"), flow_log("fl-subnet", interval=60))
    answer = run(inventory, {"fl-vpc": lines(PLAIN, same), "fl-subnet": lines(PLAIN, split)})
    assert told(answer) == [("10:00:00", "eni-a", None, 443, "ACCEPT", "direct", 100, 900, ["eni-a"], [])]
    assert answer.show("records") == [(3,)]
    assert (answer.coverage["fl-vpc"]["duplicate_bytes"], answer.coverage["fl-subnet"]["duplicate_bytes"]) == (1000, 0)
    assert (answer.coverage["fl-vpc"]["counted_bytes"], answer.coverage["fl-subnet"]["counted_bytes"]) == (0, 1000)


def test_of_several_flow_logs_the_one_without_losses_is_chosen() -> None:
    record = "eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK"
    lost = "eni-a - - - - - - 10:20:00 10:29:59 - SKIPDATA"
    more = f"eni-a 10.0.0.1 93.184.216.34 50001 443 6 10 10:02:00 10:02:59 ACCEPT OK\n{lost}"
    inventory = steady(VPC, A, flow_log("fl-vpc"), flow_log("fl-subnet"))
    answer = run(inventory, {"fl-vpc": lines(PLAIN, record), "fl-subnet": lines(PLAIN, f"{record}\n{more}")})
    # Of 10:02, of which fl-vpc tells nothing, what fl-subnet tells counts.
    assert answer.show("uploaded", "flags") == [(110, [])]
    assert answer.fates == {"counted": 110, "duplicate": 100}


def test_where_all_flow_logs_of_an_interface_lost_records_each_pair_takes_the_one_that_holds_most_of_it() -> None:
    """Of eni-a's traffic with 93.184.216.34 fl-vpc holds 100 and fl-subnet 60, of that with .35 the other way round."""
    lost = "eni-a - - - - - - 10:20:00 10:29:59 - SKIPDATA"

    def log(first: int, second: int) -> str:
        record = "eni-a 10.0.0.1 93.184.216.{} 50000 443 6 {} 10:01:00 10:01:59 ACCEPT OK"
        return lines(PLAIN, "\n".join([record.format(34, first), record.format(35, second), lost]))

    inventory = steady(VPC, A, flow_log("fl-vpc"), flow_log("fl-subnet"))
    answer = run(inventory, {"fl-vpc": log(100, 30), "fl-subnet": log(60, 50)})
    assert answer.show("server_addr", "uploaded") == [("93.184.216.34", 100), ("93.184.216.35", 50)]
    assert answer.fates == {"counted": 150, "duplicate": 90}


def test_accept_only_and_reject_only_logs_of_one_interface_are_one_whole_reporter() -> None:
    """eni-b by two logs is as good as one of all traffic: as the receiver it is chosen before eni-a."""
    accepts = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    rejects = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50001 23 6 40 10:01:00 10:01:59 REJECT OK")
    sender = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50001 23 6 40 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    inventory = steady(VPC, A, B, flow_log("fl-all"), flow_log("fl-acc", "ACCEPT"), flow_log("fl-rej", "REJECT"))
    answer = run(inventory, {"fl-all": sender, "fl-acc": accepts, "fl-rej": rejects})
    assert told(answer) == [
        ("10:00:00", "eni-a", "eni-b", 23, "REJECT", "direct", 40, 0, ["eni-b"], []),
        ("10:00:00", "eni-a", "eni-b", 443, "ACCEPT", "direct", 100, 0, ["eni-b"], []),
    ]
    assert answer.fates == {"counted": 140, "other_reporter": 140}


def test_accept_only_at_the_receiver_and_all_at_the_sender_counts_the_sender() -> None:
    sender = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50001 23 6 40 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    receiver = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    answer = run(
        steady(VPC, A, B, flow_log("fl-all"), flow_log("fl-acc", "ACCEPT")), {"fl-all": sender, "fl-acc": receiver}
    )
    # That port 23 was refused nobody saw who logs refusals: it left eni-a, and that is all that is known.
    assert answer.show("server_port", "action", "uploaded", "reporter") == [
        (23, "ACCEPT", 40, ["eni-a"]),
        (443, "ACCEPT", 100, ["eni-a"]),
    ]


# --- refused ---------------------------------------------------------------------------------------------------------


def test_what_the_sender_logs_as_reject_never_arrived_and_counts() -> None:
    sender = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 REJECT OK")
    receiver = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50001 443 6 70 10:01:00 10:01:59 ACCEPT OK")
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": sender, "fl-b": receiver})
    assert answer.show("action", "uploaded", "reporter") == [("ACCEPT", 70, ["eni-b"]), ("REJECT", 100, ["eni-a"])]


def test_accepted_by_the_sender_and_rejected_by_the_receiver_is_one_attempt_rejected() -> None:
    sender = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    receiver = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 REJECT OK")
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": sender, "fl-b": receiver})
    assert answer.show("action", "uploaded", "reporter") == [("REJECT", 100, ["eni-b"])]
    assert answer.fates == {"counted": 100, "other_reporter": 100}


@pytest.mark.parametrize("sender_type", ["ALL", "ACCEPT"])
@pytest.mark.parametrize("together", [True, False])
def test_reject_only_log_at_the_receiver_turns_the_senders_accept_into_one_rejected_attempt(
    sender_type: str, together: bool
) -> None:
    """eni-b logs only refusals: it can't say what arrived. The sender's records count, those refused on arrival as
    REJECT."""
    sender = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 50001 443 6  40 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    receiver = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 50001 443 6 40 10:01:00 10:01:59 REJECT OK")
    inventory = steady(VPC, A, B, flow_log("fl-a", sender_type), flow_log("fl-rej", "REJECT"))
    answer = run(inventory, {"fl-a": sender, "fl-rej": receiver}, together=together)
    assert answer.show("action", "uploaded", "reporter", "also_reported_by") == [
        ("ACCEPT", 100, ["eni-a"], []),
        ("REJECT", 40, ["eni-a"], ["eni-b"]),
    ]
    assert answer.fates == {"counted": 140, "other_reporter": 40}


def test_without_inventory_of_flow_logs_one_that_showed_only_rejects_does_not_outweigh_one_that_showed_accepts() -> (
    None
):
    sender = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    receiver = lines(PLAIN, "eni-b 10.0.0.9 10.0.0.2 50001 22 6 40 10:01:00 10:01:59 REJECT OK")
    answer = run(steady(VPC, A, B), {"fl-a": sender, "fl-rej": receiver})
    assert answer.show("action", "uploaded", "reporter", server_interface_id="eni-b") == [
        ("ACCEPT", 100, ["eni-a"]),
        ("REJECT", 40, ["eni-b"]),
    ]


def test_reject_reason_is_remarked() -> None:
    seen = lines(
        PLAIN + " reject-reason", "eni-a 93.184.216.34 10.0.0.1 50000 443 6 60 10:01:00 10:01:59 REJECT OK BPA"
    )
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": seen})
    assert answer.show("action", "uploaded", "flags") == [("REJECT", 60, ["reject_reason:BPA"])]


# --- what only one side or nobody knows ------------------------------------------------------------------------------


def test_one_sided_records_are_conversations_of_one_direction() -> None:
    """Only what arrived at eni-a from the world is there: nothing is made up for the way back."""
    seen = lines(PLAIN, "eni-a 93.184.216.34 10.0.0.1 50000 443 6 60 10:01:00 10:01:59 ACCEPT OK")
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": seen})
    assert answer.show("client_addr", "server_interface_id", "uploaded", "downloaded", "records") == [
        ("93.184.216.34", "eni-a", 60, 0, 1)
    ]


def test_a_stranger_with_direction_counts_like_any_other_reporter() -> None:
    """eni-new is not in the inventory; its records say their VPC and direction, and attest its address for eni-a's
    records."""
    format_ = PACKETS + " flow-direction account-id vpc-id subnet-id az-id"
    known = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.50 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    new = lines(
        format_,
        "eni-new 10.0.0.1 10.0.0.50 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.0.0.50 "
        "ingress 222222222222 vpc-1 subnet-5 use1-az5",
    )
    answer = run(steady(VPC, A, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": known, "fl-b": new})
    columns = (
        "server_interface_id",
        "server_account_id",
        "server_vpc_id",
        "server_subnet_id",
        "server_az_id",
        "server_attribution",
    )
    assert answer.show(*columns, "uploaded", "reporter", "also_reported_by") == [
        ("eni-new", "222222222222", "vpc-1", "subnet-5", "use1-az5", "interface", 100, ["eni-new"], ["eni-a"])
    ]
    assert answer.coverage["fl-b"]["unattributed_records"] == 1
    assert answer.coverage["fl-b"]["possibly_doubled_bytes"] == 0


def test_a_stranger_in_the_default_format_lies_in_the_vpc_of_its_flow_log() -> None:
    """The inventory lacks eni-new and its records name no VPC; but fl-2 covers vpc-1. So both records are of one pair,
    and count once.
    """
    exchange = """
        {0} 10.0.0.1 10.0.0.50 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        {0} 10.0.0.50 10.0.0.1 443 50000 6 300 10:01:00 10:01:59 ACCEPT OK
        """
    other = "eni-new 10.0.0.9 10.0.0.50 50000 443 6 5 10:01:00 10:01:59 ACCEPT OK"
    logs = {"fl-1": lines(PLAIN, exchange.format("eni-a")), "fl-2": lines(PLAIN, exchange.format("eni-new") + other)}
    covers = {
        **flow_log("fl-2"),
        "detail": {"traffic_type": "ALL", "max_aggregation_seconds": 60, "resource_id": "vpc-1"},
    }
    answer = run(steady(VPC, A, flow_log("fl-1"), covers), logs)
    columns = ("client_interface_id", "server_interface_id", "server_vpc_id", "uploaded", "downloaded", "flags")
    assert answer.show(*columns, client_interface_id="eni-a") == [("eni-a", "eni-new", "vpc-1", 100, 300, [])]


def test_a_stranger_in_the_default_format_is_placed_by_the_address_all_its_records_share() -> None:
    """v2 says no direction. 10.0.0.50 is in both records, the others in one: it is eni-new's own."""
    new = lines(
        PLAIN,
        """
        eni-new 10.0.0.1 10.0.0.50 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-new 10.0.0.50 93.184.216.34 50001 443 6 70 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    answer = run(steady(VPC, flow_log("fl-b")), {"fl-b": new})
    assert answer.show("client_interface_id", "client_addr", "server_interface_id", "server_addr", "uploaded") == [
        (None, "10.0.0.1", "eni-new", "10.0.0.50", 100),
        ("eni-new", "10.0.0.50", None, "93.184.216.34", 70),
    ]


@pytest.mark.parametrize("both", [True, False])
def test_whom_a_stranger_with_two_ipv6_addresses_speaks_to_is_not_taken_for_itself(both: bool) -> None:
    """2600:1f18::9 is in all of eni-new's records, and eni-db's by the book."""
    network = vpc("vpc-1", "10.0.0.0/16", "2600:1f18::/56")
    db = eni("eni-db", "10.0.0.9", "2600:1f18::9")
    told = """
        {0} 2600:1f18::a1 2600:1f18::9  40000  5432 6  100 10:01:00 10:01:59 ACCEPT OK
        {0} 2600:1f18::9  2600:1f18::a1  5432 40000 6 1000 10:01:00 10:01:59 ACCEPT OK
        {0} 2600:1f18::a2 2600:1f18::9  40001  5432 6  200 10:01:00 10:01:59 ACCEPT OK
        {0} 2600:1f18::9  2600:1f18::a2  5432 40001 6 2000 10:01:00 10:01:59 ACCEPT OK
        """
    log = flow_log("fl-1")
    log["detail"] = {**log["detail"], "resource_id": "vpc-1"}
    written = told.format("eni-new") + (told.format("eni-db") if both else "")
    answer = run(steady(network, A, db, log), {"fl-1": lines(PLAIN, written)})
    assert answer.show("client_addr", "server_interface_id", "uploaded", "downloaded", "flags") == [
        ("2600:1f18::a1", "eni-db", 100, 1000, []),
        ("2600:1f18::a2", "eni-db", 200, 2000, []),
    ]


def test_a_refusal_is_of_its_own_time() -> None:
    """The group was opened at 10:20: of one key (UDP with fixed ports) what came before was refused, and no more."""
    sent = lines(
        PLAIN,
        """
        eni-a 10.0.0.1 10.0.0.2 5514 514 17    100 10:01:00 10:01:59 ACCEPT OK
        eni-a 10.0.0.1 10.0.0.2 5514 514 17 100000 10:41:00 10:41:59 ACCEPT OK
        """,
    )
    refused = lines(PLAIN, "eni-b 10.0.0.1 10.0.0.2 5514 514 17 100 10:01:00 10:01:59 REJECT OK")
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b", "REJECT")), {"fl-a": sent, "fl-b": refused})
    assert answer.show("action", "uploaded") == [("ACCEPT", 100_000), ("REJECT", 100)]
    received = """
        eni-b 10.0.0.1 10.0.0.2 5514 514 17    100 10:01:00 10:01:59 REJECT OK
        eni-b 10.0.0.1 10.0.0.2 5514 514 17 100000 10:41:00 10:41:59 ACCEPT OK
        eni-b        -        -    -   -  -      - 10:50:00 10:50:59      - SKIPDATA
        """
    answer = run(steady(VPC, A, B, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": sent, "fl-b": lines(PLAIN, received)})
    assert answer.show("action", "uploaded") == [("ACCEPT", 100_000), ("REJECT", 100)]


def test_what_a_regional_nat_gateway_lost_makes_its_flow_log_the_lesser_one() -> None:
    """fl-1 says that it lost records; fl-2 holds all of the same traffic in one record."""
    format_ = PACKETS + " resource-id"
    seen = f"- 10.0.0.1 10.0.9.9 50000 443 6 {{}} {{}} {{}} ACCEPT OK 10.0.0.1 {WORLD} nat-0abc\n"
    short = "".join(seen.format(100, f"10:0{m}:00", f"10:0{m}:59") for m in (1, 2, 3))
    lossy = lines(format_, short + "- - - - - - - 10:04:00 10:04:59 - SKIPDATA - - nat-0abc")
    whole = lines(format_, seen.format(900, "10:01:00", "10:10:59"))
    answer = run(steady(VPC, A, flow_log("fl-1", interval=60), flow_log("fl-2")), {"fl-1": lossy, "fl-2": whole})
    assert answer.show("uploaded") == [(900,)]


def test_an_address_is_the_vpcs_own_though_its_range_went_after_the_hour_and_another_vpc_has_it_too() -> None:
    b = eni("eni-b", "100.64.0.5")
    other = eni("eni-x", "100.64.0.5", vpc="vpc-2", subnet="subnet-2")
    there = (vpc("vpc-2", "10.2.0.0/16", "100.64.0.0/16"), A, other, attached("vpc-1"), attached("vpc-2"))
    rows = [
        *sweep("09:00", vpc("vpc-1", "10.0.0.0/16", "100.64.0.0/16"), b, flow_log("fl-1"), *there),
        gone("11:00", "eni-b"),
        *sweep("12:00", VPC, flow_log("fl-1"), *there),
    ]
    log = """
        eni-a 10.0.0.1 100.64.0.5 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-b 10.0.0.1 100.64.0.5 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        """
    assert run(rows, {"fl-1": lines(PLAIN, log)}).show("server_interface_id", "uploaded") == [("eni-b", 100)]


@pytest.mark.parametrize(("accepted", "server"), [("09:30", "eni-far"), ("11:30", None)])
def test_a_peering_that_was_made_after_the_hour_led_nowhere_in_it(accepted: str, server: str | None) -> None:
    far = eni("eni-far", "10.2.0.7", vpc="vpc-2", subnet="subnet-2")
    rows = [*steady(VPC, VPC2, A, far, flow_log("fl-1")), event(accepted, peering("vpc-1", "vpc-2"))]
    log = lines(PLAIN, "eni-a 10.0.0.1 10.2.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    answer = run(rows, {"fl-1": log}, networks="cidr,name\n10.2.0.0/16,office\n")
    assert answer.show("server_interface_id", "server_network_name") == [(server, None if server else "office")]


@pytest.mark.parametrize("in_vpc", [True, False])
def test_a_stranger_with_ipv4_and_ipv6_is_placed_by_the_address_shared_in_each_family(in_vpc: bool) -> None:
    """Of IPv6 only where it may be an interface's at all."""
    network = vpc("vpc-1", "10.0.0.0/16", "2600::/56") if in_vpc else VPC
    mine = "eni-new" if in_vpc else None
    new = """
        eni-new 10.0.0.50 10.0.0.1      443 50000 6 10 10:01:00 10:01:59 ACCEPT OK
        eni-new 10.0.0.50 10.0.0.2      443 50001 6 20 10:01:00 10:01:59 ACCEPT OK
        eni-new 2600::50  2600::1       443 50000 6 30 10:01:00 10:01:59 ACCEPT OK
        eni-new 2600::2   2600::50    50002   443 6 40 10:01:00 10:01:59 ACCEPT OK
        """
    answer = run(steady(network, flow_log("fl-1")), {"fl-1": lines(PLAIN, new)})
    assert answer.show("server_addr", "server_interface_id", "uploaded", "downloaded") == [
        ("10.0.0.50", "eni-new", 0, 10),
        ("10.0.0.50", "eni-new", 0, 20),
        ("2600::50", mine, 0, 30),
        ("2600::50", mine, 40, 0),
    ]


def test_a_stranger_that_spoke_with_one_other_only_is_not_at_the_end_that_the_other_holds() -> None:
    """Of 10.0.0.1 and 10.0.0.50 either could be eni-new's; but eni-a holds the first. fd00::1 nobody is known to hold:
    there eni-b's own record of the same connection says that it is not eni-new.
    """
    covers = {
        **flow_log("fl-1"),
        "detail": {"traffic_type": "ALL", "max_aggregation_seconds": 60, "resource_id": "vpc-1"},
    }
    both = {**VPC, "cidr_blocks": ["10.0.0.0/16", "fd00::/64"]}
    b = eni("eni-b", "10.0.0.2")
    new = """
        eni-new 10.0.0.1 10.0.0.50 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-new fd00::1 fd00::50 50000 443 6 200 10:01:00 10:01:59 ACCEPT OK
        """
    old = """
        eni-a 10.0.0.1 10.0.0.50 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-b fd00::1 fd00::50 50000 443 6 200 10:01:00 10:01:59 ACCEPT OK
        eni-b fd00::1 fd00::51 50000 443 6 7 10:01:00 10:01:59 ACCEPT OK
        """
    inventory = steady(both, A, {**b, "addresses": ["10.0.0.2", "fd00::1"]}, covers)
    answer = run(inventory, {"fl-1": lines(PLAIN, new + old)})
    columns = ("client_interface_id", "server_interface_id", "server_attribution", "uploaded", "flags")
    assert answer.show(*columns, server_interface_id="eni-new") == [
        ("eni-a", "eni-new", "interface", 100, []),
        ("eni-b", "eni-new", "interface", 200, []),
    ]
    assert sum(row["uploaded"] for row in answer.rows) == 100 + 200 + 7


def test_a_stranger_that_spoke_with_a_known_network_only_is_at_the_end_that_lies_in_its_vpc() -> None:
    """192.168.0.7 lies outside vpc-1, which fl-1 covers: it can't be eni-new's own address."""
    covers = {**flow_log("fl-1"), "detail": {"traffic_type": "ALL", "resource_id": "vpc-1"}}
    new = lines(PLAIN, "eni-new 10.0.0.50 192.168.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    answer = run(steady(VPC, covers), {"fl-1": new}, networks="192.168.0.0/16,office")
    assert answer.show("client_interface_id", "server_network_name", "uploaded", "flags") == [
        ("eni-new", "office", 100, [])
    ]


def test_a_stranger_whose_own_side_cannot_be_told_says_that_it_may_be_counted_twice() -> None:
    """One pair of addresses only: either may be eni-new's own. Nobody is named, the bytes are there, and the doubt
    with them."""
    new = lines(PLAIN, "eni-new 10.0.0.50 10.0.0.51 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    answer = run(steady(VPC, flow_log("fl-b")), {"fl-b": new})
    assert answer.show("client_interface_id", "server_interface_id", "uploaded", "flags") == [
        (None, None, 100, ["possibly_doubled"])
    ]
    assert answer.coverage["fl-b"]["possibly_doubled_bytes"] == 100


def test_records_without_an_interface_name_nobody_and_say_so() -> None:
    """interface-id is '-' and there is no resource-id: direction is known, but not whose records they are."""
    format_ = PLAIN + " flow-direction"
    seen = lines(format_, "- 10.0.0.50 93.184.216.34 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK egress")
    answer = run(steady(VPC, flow_log("fl-b")), {"fl-b": seen})
    assert answer.show("client_attribution", "server_attribution", "uploaded", "flags") == [
        ("none", "public", 100, ["possibly_doubled"])
    ]
    assert answer.coverage["fl-b"]["unattributed_records"] == 1


@pytest.mark.parametrize("logged", [True, False])
def test_own_interfaces_that_speak_by_public_addresses_may_be_counted_twice_and_say_so(logged: bool) -> None:
    """eni-a reaches eni-b by its public address, as eni-b sees eni-a by its: no record shows both private ones."""
    a, b = ({**one, "public_addresses": [public]} for one, public in ((A, "203.0.113.21"), (B, "203.0.113.41")))
    at_a = lines(PLAIN, "eni-a 10.0.0.1 203.0.113.41 50000 443 6 100 10:11:00 10:11:59 ACCEPT OK")
    at_b = lines(PLAIN, "eni-b 203.0.113.21 10.0.0.2 50000 443 6 100 10:11:00 10:11:59 ACCEPT OK")
    logs = {"fl-a": at_a, "fl-b": at_b} if logged else {"fl-a": at_a}
    answer = run(steady(VPC, a, b, flow_log("fl-a"), flow_log("fl-b")), logs)
    flags = ["possibly_doubled"] if logged else []
    assert answer.show("uploaded", "flags") == [(100, flags)] * len(logs)


def test_contested_ipv6_end_is_still_counted_once() -> None:
    """2600:1f18::5 belonged to eni-x until 10:01:30 and to eni-y from then on. The receiver's record and the sender's
    are the same 100 bytes, though the sender's can't tell whom it reached."""
    from tests.flows.worked import event, gone

    six = vpc("vpc-1", "10.0.0.0/16", "2600:1f18::/56")
    sender = eni("eni-a", "10.0.0.1", "2600:1f18::1")
    old, new = eni("eni-x", "10.0.0.8", "2600:1f18::5"), eni("eni-y", "10.0.0.9", "2600:1f18::5")
    inventory = [
        *steady(six, sender, flow_log("fl-1")),
        event("09:10", old),
        gone("10:01:30", "eni-x"),
        event("10:01:31", new),
    ]
    seen = lines(
        PLAIN,
        """
        eni-a 2600:1f18::1 2600:1f18::5 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-x 2600:1f18::1 2600:1f18::5 50000 443 6  60 10:01:00 10:01:29 ACCEPT OK
        eni-y 2600:1f18::1 2600:1f18::5 50000 443 6  40 10:01:31 10:01:59 ACCEPT OK
        """,
    )
    answer = run(inventory, {"fl-1": seen})
    assert answer.fates == {"counted": 100, "other_reporter": 100}
    assert answer.show("server_interface_id", "uploaded", "reporter") == [
        ("eni-x", 60, ["eni-x"]),
        ("eni-y", 40, ["eni-y"]),
    ]


def test_peered_ends_are_one_pair() -> None:
    inventory = steady(VPC, VPC2, A, FAR, peering("vpc-1", "vpc-2"), flow_log("fl-1"), flow_log("fl-2"))
    answer = run(inventory, {"fl-1": FROM_A, "fl-2": AT_FAR})
    assert answer.show("client_interface_id", "server_interface_id", "uploaded", "reporter", "path_left_vpc") == [
        ("eni-a", "eni-far", 100, ["eni-far"], True)
    ]


@pytest.mark.parametrize(("region", "via"), [("us-east-1", "peering"), ("eu-west-1", "inter_region_peering")])
def test_a_route_to_a_peering_is_named_by_the_regions_of_both_ends(region: str, via: str) -> None:
    """The default format has no traffic-path, and a route says pcx- for both kinds."""
    table = {
        "kind": "route_table",
        "entity_id": "rtb-1",
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-1"],
        "routes": ["10.2.0.0/16 pcx-1"],
    }
    far = {**FAR, "region": region}
    inventory = steady(VPC, VPC2, A, far, table, peering("vpc-1", "vpc-2"), flow_log("fl-1"))
    answer = run(
        inventory, {"fl-1": lines(PLAIN, "eni-a 10.0.0.1 10.2.0.7 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")}
    )
    assert answer.show("path_left_vpc", "path_via", "path_by_id", "path_source") == [
        (True, via, "pcx-1", "route_table")
    ]


def test_connections_opened_are_those_of_the_client() -> None:
    seen = lines(
        FLAGS,
        """
        eni-a 93.184.216.34 10.0.0.1 50000 443 6 60 10:01:00 10:01:59 ACCEPT OK 2
        eni-a 93.184.216.34 10.0.0.1 50001 443 6 60 10:01:00 10:01:59 ACCEPT OK 3
        eni-a 10.0.0.1 93.184.216.34 443 50000 6 90 10:01:00 10:01:59 ACCEPT OK 18
        eni-a 93.184.216.34 10.0.0.1 50000 443 6 60 10:02:00 10:02:59 ACCEPT OK 0
        """,
    )
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": seen})
    # SYN (2) and SYN with FIN (3) open; SYN-ACK (18) answers; 0 goes on.
    assert answer.show("uploaded", "downloaded", "connections_opened", "roles_by") == [(180, 90, 2, "handshake")]


def test_an_unknown_interface_that_shows_a_second_address_is_one_reporter_of_its_pair() -> None:
    """eni-new answers on 10.0.0.51, its records show 10.0.0.50 beside it. It is not named for eni-a's sake (it might
    pass on others' traffic), but the two records are the same 100 bytes."""
    known = lines(PLAIN, "eni-a 10.0.0.1 10.0.0.51 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK")
    new = lines(
        PACKETS + " flow-direction vpc-id",
        "eni-new 10.0.0.1 10.0.0.50 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 10.0.0.51 ingress vpc-1",
    )
    answer = run(steady(VPC, A, flow_log("fl-a"), flow_log("fl-b")), {"fl-a": known, "fl-b": new})
    assert answer.fates == {"counted": 100, "other_reporter": 100}
    assert answer.show("uploaded", "reporter") == [(100, ["eni-new"])]


@pytest.mark.parametrize("known", [True, False])
def test_an_instance_that_passes_on_the_packets_of_others_is_not_their_end(known: bool) -> None:
    """A NAT instance: its records show the world's address beside its own, which it can't hold. The client's own
    record counts; the way back too."""
    router = [eni("eni-router", "10.0.9.9")] if known else []
    client = lines(
        PACKETS,
        f"""
        eni-a 10.0.0.1 {WORLD} 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD}
        eni-a {WORLD} 10.0.0.1 443 50000 6 5000 10:01:00 10:01:59 ACCEPT OK {WORLD} 10.0.0.1
        """,
    )
    passed_on = lines(
        PACKETS + " flow-direction vpc-id",
        f"""
        eni-router 10.0.0.1 10.0.9.9 50000 443 6  300 10:01:00 10:01:59 ACCEPT OK 10.0.0.1 {WORLD} ingress vpc-1
        eni-router 10.0.9.9 10.0.0.1 443 50000 6 5000 10:01:00 10:01:59 ACCEPT OK {WORLD} 10.0.0.1 egress vpc-1
        """,
    )
    inventory = steady(VPC, A, *router, flow_log("fl-a"), flow_log("fl-b"))
    both = run(inventory, {"fl-a": client, "fl-b": passed_on})
    assert both.show(
        "client_interface_id", "server_addr", "server_interface_id", "uploaded", "downloaded", "reporter"
    ) == [("eni-a", WORLD, None, 300, 5000, ["eni-a"])]
    assert both.fates == {"counted": 5300, "other_reporter": 5300}
    # Where the client is not logged, what the router saw is all there is.
    alone = run(inventory, {"fl-b": passed_on})
    assert alone.show("client_interface_id", "server_addr", "uploaded", "downloaded") == [("eni-a", WORLD, 300, 5000)]
