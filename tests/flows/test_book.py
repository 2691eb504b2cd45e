"""The address book of an hour: claims, states and topology, as a pure function of the observations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flowlake.flows.book import Book, build
from flowlake.flows.fold import tag_key
from flowlake.flows.states import _Epochs
from flowlake.inventory.rows import Seen, rows_of
from flowlake.lake.observations import Row
from tests.flows.test_fold import _clock
from tests.flows.worked import (
    ACCOUNT,
    HOUR,
    REGION,
    attached,
    eni,
    event,
    flow_log,
    gone,
    ms,
    peering,
    seconds,
    stamp,
    sweep,
    vpc,
)

NODE = {"kind": "interface", "entity_id": "eni-b"}


def claims(rows: list[Row]) -> list[tuple]:
    """(address, interface, from, to, exact end, open) of each claim."""
    book = build(rows, HOUR.starts)
    return [
        (c.addr, c.interface_id, _clock(c.valid_from), _clock(c.valid_to), c.exact_end, c.open) for c in book.claims
    ]


def test_a_primary_address_is_claimed_from_birth_to_deletion() -> None:
    assert claims([event("09:50", eni("eni-b", "10.0.0.2")), gone("10:20", "eni-b")]) == [
        ("10.0.0.2", "eni-b", "09:50", "10:20", True, False)
    ]


def test_without_a_deletion_it_is_claimed_to_the_last_sight_and_stays_open() -> None:
    b = eni("eni-b", "10.0.0.2")
    assert claims([*sweep("09:00", b), *sweep("10:10", b)]) == [("10.0.0.2", "eni-b", "09:00", "10:10", False, True)]
    assert claims([*sweep("09:00", b), *sweep("10:10", b), *sweep("11:00")]) == [
        ("10.0.0.2", "eni-b", "09:00", "10:10", False, False)
    ]


def test_a_secondary_address_is_claimed_from_the_event_that_gave_it_to_the_one_that_took_it() -> None:
    rows = [
        *sweep("09:50", eni("eni-b", "10.0.0.2")),
        event("10:00", NODE, "partial", addresses_added=["10.0.0.20", "10.0.0.21"]),
        event("10:20", NODE, "partial", addresses_removed=["10.0.0.20"]),
        gone("10:40", "eni-b"),
    ]
    # .21 was given at 10:00 and listed by nobody after: the deletion does not say that it was still there.
    assert claims(rows) == [
        ("10.0.0.2", "eni-b", "09:50", "10:40", True, False),
        ("10.0.0.20", "eni-b", "10:00", "10:20", True, False),
        ("10.0.0.21", "eni-b", "10:00", "10:00", False, False),
    ]


def test_what_was_just_added_was_not_there_before() -> None:
    """Seen at 09:50; that it was taken away nobody told, but at 10:20 it is given again."""
    two = eni("eni-b", "10.0.0.2", "10.0.0.20")
    given = event("10:20", NODE, "partial", addresses_added=["10.0.0.20"])
    assert held("10.0.0.20", [*sweep("09:50", two), given]) == [
        ("10.0.0.20", "eni-b", "09:50", "09:50", False, False),
        ("10.0.0.20", "eni-b", "10:20", "10:20", False, True),
    ]
    # Given once, told twice.
    assert held("10.0.0.20", [*sweep("09:50", eni("eni-b", "10.0.0.2")), given, given, *sweep("10:40", two)]) == [
        ("10.0.0.20", "eni-b", "10:20", "10:40", False, True)
    ]


def test_by_what_a_claim_begins_and_ends() -> None:
    b = eni("eni-b", "10.0.0.2")
    (swept,) = build([*sweep("09:50", b), *sweep("10:30")], HOUR.starts).claims
    assert (swept.from_source, swept.to_source, _clock(swept.gone_by)) == ("sweep", "absence", "10:30")
    (told,) = build([event("09:50", b), gone("10:20", "eni-b")], HOUR.starts).claims
    assert (told.from_source, told.to_source, _clock(told.gone_by)) == ("event", "event", "10:20")


def test_an_address_told_by_two_in_one_moment_is_cut_around_it() -> None:
    """eni-b was seen with .20 at 09:50, 10:10 and 10:40; eni-c too at 10:10: before it and after it is eni-b's."""
    two, other = eni("eni-b", "10.0.0.2", "10.0.0.20"), {"kind": "interface", "entity_id": "eni-c"}
    rows = [row for at in ("09:50", "10:00", "10:10", "10:20", "10:40") for row in sweep(at, two, complete=False)]
    rows += [*sweep("09:50", eni("eni-c", "10.0.0.3")), event("10:10", other, "partial", addresses_added=["10.0.0.20"])]
    assert [c for c in held("10.0.0.20", rows) if c[1] == "eni-b"] == [
        ("10.0.0.20", "eni-b", "09:50", "10:00", False, False),
        ("10.0.0.20", "eni-b", "10:20", "10:40", False, True),
    ]


def test_what_an_event_told_twice_took_away_once() -> None:
    taken = event("10:20", NODE, "partial", addresses_removed=["10.0.0.20"])
    rows = [*sweep("09:50", eni("eni-b", "10.0.0.2", "10.0.0.20")), taken, taken]
    assert claims(rows)[1:] == [("10.0.0.20", "eni-b", "09:50", "10:20", True, False)]


def test_an_instances_launch_tells_its_further_addresses_and_prefixes() -> None:
    """In part: two addresses, or a prefix beside the primary one. By what they are known is told of each."""
    two = {**NODE, "vpc_id": "vpc-1", "addresses": ["10.0.0.2", "10.0.0.20"]}
    one = {**NODE, "vpc_id": "vpc-1", "addresses": ["10.0.0.2"], "prefixes": ["10.0.1.16/28"]}
    for said, addr in ((two, "10.0.0.20"), (one, "10.0.1.16/28")):
        rows = [event("10:00", said, "partial", "RunInstances")]
        assert held(addr, rows) == [(addr, "eni-b", "10:00", "10:00", False, True)]
        assert [c.from_source for c in build(rows, HOUR.starts).claims] == ["event", "event"]
        assert [c.from_source for c in build(sweep("10:00", said), HOUR.starts).claims] == ["sweep", "sweep"]


def test_a_secondary_address_that_a_later_list_lacks_is_claimed_to_the_last_list_that_has_it() -> None:
    """An event whose describe call answered with the whole interface: what it lacks went some time before, not then."""
    two, one = eni("eni-b", "10.0.0.2", "10.0.0.20"), eni("eni-b", "10.0.0.2")
    rows = [*sweep("09:50", two), *sweep("10:10", two), event("10:30", one)]
    assert claims(rows)[1] == ("10.0.0.20", "eni-b", "09:50", "10:10", False, False)


def test_another_sight_of_a_secondary_address_cuts_the_claim_between_two_sights() -> None:
    """eni-b was seen with .20 at 09:50 and 10:40; in between, at 10:10, eni-c was given it."""
    two = eni("eni-b", "10.0.0.2", "10.0.0.20")
    other = {"kind": "interface", "entity_id": "eni-c"}
    rows = [
        *sweep("09:50", two, eni("eni-c", "10.0.0.3")),
        event("10:10", other, "partial", addresses_added=["10.0.0.20"]),
        event("10:20", other, "partial", addresses_removed=["10.0.0.20"]),
        *sweep("10:40", two, eni("eni-c", "10.0.0.3")),
    ]
    assert [c for c in claims(rows) if c[0] == "10.0.0.20"] == [
        ("10.0.0.20", "eni-b", "09:50", "09:50", False, False),
        ("10.0.0.20", "eni-c", "10:10", "10:20", True, False),
        ("10.0.0.20", "eni-b", "10:40", "10:40", False, True),
    ]


def test_the_only_address_of_an_interface_without_ipv4_can_be_taken_away_too() -> None:
    a, other = eni("eni-a", "2001:db8::10"), eni("eni-b", "10.0.0.2")
    taken = event("10:05", {"kind": "interface", "entity_id": "eni-a"}, "partial", addresses_removed=["2001:db8::10"])
    given = event("10:07", NODE, "partial", addresses_added=["2001:db8::10"])
    moved = [*sweep("11:10", eni("eni-a", "2001:db8::20"), eni("eni-b", "10.0.0.2", "2001:db8::10"))]
    told = held("2001:db8::10", [*sweep("09:30", a, other), taken, given, *moved])
    assert told == [
        ("2001:db8::10", "eni-a", "09:30", "10:05", True, False),
        ("2001:db8::10", "eni-b", "10:07", "11:10", False, True),
    ]
    # Were both events lost, nothing is known between the two sweeps.
    assert held("2001:db8::10", [*sweep("09:30", a, other), *moved]) == [
        ("2001:db8::10", "eni-a", "09:30", "09:30", False, False),
        ("2001:db8::10", "eni-b", "11:10", "11:10", False, True),
    ]


def held(address: str, rows: list[Row]) -> list[tuple]:
    return [claim for claim in claims(rows) if claim[0] == address]


def test_an_interface_of_unknown_vpc_cuts_too_for_it_may_be_in_this_one() -> None:
    """Nobody tells where eni-c is; it was given .20 in the same region while eni-b was taken to have it."""
    two = eni("eni-b", "10.0.0.2", "10.0.0.20")
    given = event("10:10", {"kind": "interface", "entity_id": "eni-c"}, "partial", addresses_added=["10.0.0.20"])
    cut = [
        ("10.0.0.20", "eni-b", "09:50", "09:50", False, False),
        ("10.0.0.20", "eni-b", "10:40", "10:40", False, True),
    ]
    assert held("10.0.0.20", [*sweep("09:50", two), given, *sweep("10:40", two)]) == cut
    whole = [("10.0.0.20", "eni-b", "09:50", "10:40", False, True)]
    elsewhere = {**given, "region": "eu-west-1"}
    assert held("10.0.0.20", [*sweep("09:50", two), elsewhere, *sweep("10:40", two)]) == whole


def test_who_ended_long_before_the_hour_still_cuts_what_spans_it() -> None:
    """Swept at 01:00 and 12:00; at 03:00 the address was eni-c's, which ended at 04:00. When it came back nobody
    told. Nor is it assumed to be eni-b's still where a primary address was another's since.
    """
    two = eni("eni-b", "10.0.0.2", "10.0.0.20")
    life = [event("03:00", eni("eni-c", "10.0.0.3", "10.0.0.20")), gone("04:00", "eni-c")]
    assert held("10.0.0.20", [*sweep("01:00", two), *life, *sweep("12:00", two)]) == [
        ("10.0.0.20", "eni-b", "01:00", "01:00", False, False),
        ("10.0.0.20", "eni-b", "12:00", "12:00", False, True),
    ]
    rows = [*sweep("01:00", eni("eni-b", "10.0.0.2")), event("02:00", eni("eni-c", "10.0.0.2")), gone("03:00", "eni-c")]
    assert claims(rows) == [("10.0.0.2", "eni-b", "01:00", "01:00", False, False)]


def test_an_address_given_out_of_a_prefix_cuts_the_prefix() -> None:
    """eni-b is seen with 10.0.1.16/28 at 09:50 and 10:40; at 10:10 eni-c was given 10.0.1.20 of it."""
    with_prefix = {**eni("eni-b", "10.0.0.2"), "prefixes": ["10.0.1.16/28"]}
    c = {"kind": "interface", "entity_id": "eni-c"}
    rows = [
        *sweep("09:50", with_prefix, eni("eni-c", "10.0.0.3")),
        event("10:10", c, "partial", addresses_added=["10.0.1.20"]),
        event("10:20", c, "partial", addresses_removed=["10.0.1.20"]),
        *sweep("10:40", with_prefix, eni("eni-c", "10.0.0.3")),
    ]
    assert held("10.0.1.16/28", rows) == [
        ("10.0.1.16/28", "eni-b", "09:50", "09:50", False, False),
        ("10.0.1.16/28", "eni-b", "10:40", "10:40", False, True),
    ]
    assert held("10.0.1.20", rows) == [("10.0.1.20", "eni-c", "10:10", "10:20", True, False)]


def test_a_prefix_that_another_has_cuts_an_address_in_it() -> None:
    two = eni("eni-b", "10.0.0.2", "10.0.1.20")
    c = {"kind": "interface", "entity_id": "eni-c"}
    rows = [
        *sweep("09:50", two, eni("eni-c", "10.0.0.3")),
        event("10:10", c, "partial", addresses_added=["10.0.1.16/28"]),
        event("10:20", c, "partial", addresses_removed=["10.0.1.16/28"]),
        *sweep("10:40", two, eni("eni-c", "10.0.0.3")),
    ]
    assert held("10.0.1.20", rows) == [
        ("10.0.1.20", "eni-b", "09:50", "09:50", False, False),
        ("10.0.1.20", "eni-b", "10:40", "10:40", False, True),
    ]


# --- first interfaces and their instances -----------------------------------------------------------------------------

INSTANCE = {"kind": "instance", "entity_id": "i-1", "addresses": ["10.0.0.2"]}
TERMINATED = event(
    "10:20", {"kind": "instance", "entity_id": "i-1"}, "absent", "EC2 Instance State-change Notification"
)


def first(goes_too: bool | None = True, **other: Any) -> dict[str, Any]:
    """The first interface of i-1: it has the instance's primary address."""
    detail = {} if goes_too is None else {"detail": {"delete_on_termination": goes_too}}
    return eni("eni-b", "10.0.0.2", attachment_id="eni-attach-1", instance_id="i-1", **detail, **other)


def test_a_first_interface_ends_with_its_instance_where_it_goes_with_it() -> None:
    assert claims([*sweep("09:50", INSTANCE, first()), TERMINATED]) == [
        ("10.0.0.2", "eni-b", "09:50", "10:20", True, False)
    ]
    # It stays, or nobody told: known to the last sight, and open.
    for goes_too in (False, None):
        rows = [*sweep("09:50", INSTANCE, first(goes_too)), TERMINATED]
        assert claims(rows) == [("10.0.0.2", "eni-b", "09:50", "09:50", False, True)]


def test_what_was_told_last_decides_whether_it_goes_too() -> None:
    """Nothing is told by the change of groups at 10:10."""
    said = [
        event("10:00", NODE, "partial", detail={"delete_on_termination": True}),
        event("10:10", NODE, "partial", security_group_ids=["sg-1"]),
    ]
    rows = [*sweep("09:50", INSTANCE, first(False)), *said, TERMINATED]
    assert claims(rows) == [("10.0.0.2", "eni-b", "09:50", "10:20", True, False)]
    # Nor by an answer that does not speak of it.
    rows = [*sweep("09:50", INSTANCE, first(True)), event("10:10", first(None)), TERMINATED]
    assert claims(rows) == [("10.0.0.2", "eni-b", "09:50", "10:20", True, False)]
    rows = [
        *sweep("09:50", INSTANCE, first(True)),
        event("10:00", NODE, "partial", detail={"delete_on_termination": False}),
    ]
    assert claims([*rows, TERMINATED]) == [("10.0.0.2", "eni-b", "09:50", "10:00", False, True)]


def test_a_first_interface_that_was_seen_later_did_not_go_with_its_instance() -> None:
    """Seen in the second of the end it may have gone then; seen after it, it stayed."""
    rows = [*sweep("09:50", INSTANCE, first()), TERMINATED]
    assert claims([*rows, event("10:20", NODE, "partial", name="x")])[0][3:] == ("10:20", True, False)
    assert claims([*rows, event("10:21", NODE, "partial", name="x")])[0][3:] == ("10:21", False, True)


def test_an_instance_that_a_sweep_lacks_ends_its_first_interface_at_no_certain_moment() -> None:
    rows = [*sweep("09:50", INSTANCE, first()), *sweep("10:20", kinds=("instance",))]
    assert claims(rows) == [("10.0.0.2", "eni-b", "09:50", "09:50", False, True)]


def test_the_instances_end_is_surer_than_the_interfaces_absence_after_it_and_not_before() -> None:
    rows = [*sweep("09:50", INSTANCE, first()), TERMINATED]
    assert claims([*rows, *sweep("10:40")]) == [("10.0.0.2", "eni-b", "09:50", "10:20", True, False)]
    missed = event("10:10", NODE, "absent", "DescribeNetworkInterfaces")
    assert claims([*rows, missed]) == [("10.0.0.2", "eni-b", "09:50", "09:50", False, False)]
    # Missed in the very moment of the end, it may have gone with it.
    missed = event("10:20", NODE, "absent", "DescribeNetworkInterfaces")
    assert claims([*rows, missed]) == [("10.0.0.2", "eni-b", "09:50", "10:20", True, False)]
    # Its own deletion is surest.
    assert claims([*rows, gone("10:25", "eni-b")]) == [("10.0.0.2", "eni-b", "09:50", "10:25", True, False)]


def test_what_went_with_its_instance_was_never_without_it() -> None:
    book = build([*sweep("09:50", INSTANCE, first()), TERMINATED], HOUR.starts)
    assert states(book, "to_source") == [("eni-b", "09:50", "10:20", "event")]
    free = {**first(), "attachment_id": "", "instance_id": ""}
    before = build([*sweep("09:50", INSTANCE, first()), *sweep("10:10", free), TERMINATED], HOUR.starts)
    assert states(before, "to_source") == [("eni-b", "09:50", "10:10", "change"), ("eni-b", "10:10", "10:20", "event")]
    stays = build([*sweep("09:50", INSTANCE, first(False)), TERMINATED], HOUR.starts)
    assert states(stays, "to_source") == [("eni-b", "09:50", "10:20", "change"), ("eni-b", "10:20", "open", None)]


def test_a_first_interface_is_held_while_its_instance_is_seen_to_be_up() -> None:
    """From the call that made the instance to the one that told it to terminate, and no longer than the interface."""
    up = [
        event("09:40", {"kind": "instance", "entity_id": "i-1"}, "partial", "RunInstances"),
        *sweep("09:50", INSTANCE, first()),
        event("10:20", {"kind": "instance", "entity_id": "i-1"}, "partial", "TerminateInstances",
              detail={"state": "shutting-down"}),
        event("10:30", {"kind": "instance", "entity_id": "i-1"}, "partial", "EC2 Instance State-change Notification",
              detail={"state": "shutting-down"}),
    ]  # fmt: skip
    assert claims(up) == [("10.0.0.2", "eni-b", "09:40", "10:20", False, True)]
    missed = event("10:10", NODE, "absent", "DescribeNetworkInterfaces")
    assert claims([*up, missed]) == [("10.0.0.2", "eni-b", "09:40", "09:50", False, False)]
    (claim,) = build(up, HOUR.starts).claims
    assert (claim.from_source, claim.to_source) == ("event", None)
    # Another address than the instance's own: it may have been attached at any time.
    second = {**first(), "addresses": ["10.0.0.7"]}
    assert claims([up[0], *sweep("09:50", INSTANCE, second), *up[-2:]]) == [
        ("10.0.0.7", "eni-b", "09:50", "09:50", False, True)
    ]


def test_where_only_the_subnet_is_told_it_tells_the_vpc() -> None:
    """As a mount target's or a task's event does."""
    told = {key: value for key, value in eni("eni-b", "10.0.0.2").items() if key != "vpc_id"}
    subnet = {"kind": "subnet", "entity_id": "subnet-1", "vpc_id": "vpc-1"}
    book = build([*sweep("09:50", subnet), event("10:00", told), gone("10:20", "eni-b")], HOUR.starts)
    assert [(c.vpc_id, c.addr) for c in book.claims] == [("vpc-1", "10.0.0.2")]
    assert {s.vpc_id for s in book.states} == {"vpc-1"}


def test_an_open_claim_ends_where_another_is_seen_with_the_address_afterwards() -> None:
    rows = [*sweep("09:50", eni("eni-b", "10.0.0.2")), event("10:10", eni("eni-c", "10.0.0.2"))]
    assert claims(rows) == [
        ("10.0.0.2", "eni-b", "09:50", "09:50", False, False),
        ("10.0.0.2", "eni-c", "10:10", "10:10", False, True),
    ]
    # It had ended by then; one that was seen to have ended before ended by that.
    before, _ = build(rows, HOUR.starts).claims
    assert (before.to_source, _clock(before.gone_by or 0)) == ("reuse", "10:10")
    gone_first = [*rows, event("10:00", NODE, "absent", "DescribeNetworkInterfaces")]
    before, _ = build(gone_first, HOUR.starts).claims
    assert (before.to_source, _clock(before.gone_by or 0)) == ("absence", "10:00")


def test_what_ended_long_before_the_hour_is_left_out() -> None:
    rows = [event("07:00", eni("eni-x", "10.0.0.9")), gone("08:00", "eni-x"), *sweep("09:00", eni("eni-b", "10.0.0.2"))]
    book = build(rows, HOUR.starts)
    assert {c.interface_id for c in book.claims} == {s.interface_id for s in book.states} == {"eni-b"}


# --- states ----------------------------------------------------------------------------------------------------------


def states(book: Book, *names: str) -> list[tuple]:
    return [
        (s.interface_id, _clock(s.valid_from), _clock(s.valid_to), *(getattr(s, name) for name in names))
        for s in book.states
    ]


def test_states_are_cut_where_what_they_mean_changes_and_nowhere_else() -> None:
    one, two = (eni("eni-b", "10.0.0.2", security_group_ids=[g], tags={"a": "1"}) for g in ("sg-1", "sg-2"))
    rows = [*sweep("09:50", one), event("10:05", one), *sweep("10:10", one), event("10:20", two)]
    assert states(build(rows, HOUR.starts), "security_group_ids", "tags") in (
        [("eni-b", "09:50", "10:20", ("sg-1",), None), ("eni-b", "10:20", "open", ("sg-2",), None)],
        [("eni-b", "09:50", "10:20", ("sg-1",), {"a": "1"}), ("eni-b", "10:20", "open", ("sg-2",), {"a": "1"})],
    )


def test_tags_of_what_an_interface_serves_are_those_of_the_time() -> None:
    """The instance's tags change at 10:20, the interface's own at 10:30; the tag event names the instance by its
    ARN."""
    arn = "arn:aws:ec2:us-east-1:111111111111:instance/i-1"
    b = eni(
        "eni-b",
        "10.0.0.2",
        attachment_id="eni-attach-1",
        instance_id="i-1",
        instance_owner_id="111111111111",
        tags={"own": "1"},
    )
    instance = {"kind": "instance", "entity_id": "i-1", "arn": arn, "tags": {"Name": "old", "team": "x"}}
    rows = [
        *sweep("09:50", b, instance),
        event("10:20", {"kind": "tags", "entity_id": arn}, tags={"Name": "new"}),
        event("10:30", {"kind": "tags", "entity_id": "eni-b"}, "partial", tags={"own": "2"}),
    ]
    assert states(build(rows, HOUR.starts), "name", "tags", "interface_tags") == [
        ("eni-b", "09:50", "10:20", "old", {"Name": "old", "team": "x"}, {"own": "1"}),
        ("eni-b", "10:20", "10:30", "new", {"Name": "new"}, {"own": "1"}),
        ("eni-b", "10:30", "open", "new", {"Name": "new"}, {"own": "2"}),
    ]
    # By what each begins and ends, and when it was last seen: the interface itself at 09:50 only.
    assert states(build(rows, HOUR.starts), "from_source", "to_source") == [
        ("eni-b", "09:50", "10:20", "sweep", "change"),
        ("eni-b", "10:20", "10:30", "event", "change"),
        ("eni-b", "10:30", "open", "event", None),
    ]
    assert [_clock(s.last_seen) for s in build(rows, HOUR.starts).states] == ["09:50", "10:20", "10:30"]


def test_tags_are_unknown_before_they_are_told() -> None:
    """The launch tells no tags; an event at 10:20 tells the interface's, in another state than the first."""
    launched = {**NODE, "vpc_id": "vpc-1", "addresses": ["10.0.0.2"], "security_group_ids": ["sg-1"]}
    rows = [
        event("10:00", launched, "partial", "RunInstances"),
        event("10:10", NODE, "partial", security_group_ids=["sg-2"]),
        event("10:20", {"kind": "tags", "entity_id": "eni-b"}, tags={"own": "1"}),
        gone("10:30", "eni-b"),
    ]
    assert states(build(rows, HOUR.starts), "interface_tags", "from_source", "to_source") == [
        ("eni-b", "10:00", "10:10", None, "event", "change"),
        ("eni-b", "10:10", "10:20", None, "event", "change"),
        ("eni-b", "10:20", "10:30", {"own": "1"}, "event", "event"),
    ]


def test_tags_hold_while_others_that_see_it_tell_none() -> None:
    """The answer of 10:10 holds the interface whole, but for its tags (null: not told)."""
    rows = [
        *sweep("09:50", eni("eni-b", "10.0.0.2", tags={"own": "1"})),
        event("10:10", eni("eni-b", "10.0.0.2", security_group_ids=["sg-2"])),
    ]
    assert states(build(rows, HOUR.starts), "interface_tags", "security_group_ids") == [
        ("eni-b", "09:50", "10:10", {"own": "1"}, None),
        ("eni-b", "10:10", "open", {"own": "1"}, ("sg-2",)),
    ]


F = "arn:aws:lambda:us-east-1:111111111111:function:"
HYPERPLANE = eni("eni-f", "10.0.0.5", security_group_ids=["sg-1"], interface_type="lambda",
                 description="AWS Lambda VPC ENI-one-8c7ac78b-e11d-4dea-8a47-ab2bdeba9bf5")  # fmt: skip


def function(name: str, **tags: str) -> dict[str, Any]:
    return {"kind": "function", "entity_id": F + name, "arn": F + name, "name": name, "vpc_id": "vpc-1",
            "subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"], "tags": tags}  # fmt: skip


def test_an_interface_serves_those_that_were_there_at_the_time() -> None:
    """The function one all the time, two from 10:20 to 10:40. Of both the common tags, and none while one's are
    unknown.
    """
    two = function("two", team="x", stage="b")
    untold = {key: value for key, value in two.items() if key != "tags"}
    rows = [
        *sweep("09:50", HYPERPLANE, function("one", team="x", stage="a")),
        event("10:20", untold),
        event("10:30", {"kind": "tags", "entity_id": F + "two"}, tags=two["tags"]),
        event("10:40", untold, "absent", "DeleteFunction20150331"),
    ]
    assert states(build(rows, HOUR.starts), "arns", "shared", "tags", "name") == [
        ("eni-f", "09:50", "10:20", (F + "one",), False, {"team": "x", "stage": "a"}, "one"),
        ("eni-f", "10:20", "10:30", (F + "one", F + "two"), True, None, "one, two"),
        ("eni-f", "10:30", "10:40", (F + "one", F + "two"), True, {"team": "x"}, "one, two"),
        ("eni-f", "10:40", "open", (F + "one",), False, {"team": "x", "stage": "a"}, "one"),
    ]


def test_where_much_changes_candidates_are_told_to_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Epochs, "MOST", 0)
    rows = [*sweep("09:50", HYPERPLANE, function("one")), event("10:20:30", function("two"))]
    shared = [s.valid_from // 1000 - HOUR.starts for s in build(rows, HOUR.starts).states if s.shared]
    assert shared[0] == 20 * 60  # and not 30 s later


def test_targets_come_and_go_in_their_group() -> None:
    """Registered at the first sight only: the instance listened on 8080, whenever it was."""
    group = {"kind": "target_group", "entity_id": "arn:tg", "arn": "arn:tg", "vpc_id": "vpc-1"}
    rows = [
        *sweep("09:50", first(), INSTANCE, {**group, "detail": {"target_type": "instance", "targets": ["i-1:8080"]}}),
        event("10:20", {**group, "detail": {"target_type": "instance", "targets": []}}),
    ]
    assert {s.listens_on for s in build(rows, HOUR.starts).states} == {(8080,)}


def test_a_task_that_stopped_had_its_interface_until_then() -> None:
    """The events in which it stops say that its attachment is deleted, while the task itself is still there."""
    task = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/c/1"
    description = f"arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/c8773f8d-1317-457a-ba3c-b57775ac6a04"

    def told(clock: str, status: str, attachment: str) -> Row:
        moment = datetime.fromtimestamp(seconds(clock), UTC)
        details = [{"name": "networkInterfaceId", "value": "eni-b"}]
        attachments = [{"type": "ElasticNetworkInterface", "status": attachment, "details": details}]
        item = {"taskArn": task, "lastStatus": status, "group": "service:web", "attachments": attachments}
        seen = Seen(moment, moment, "event", "ECS Task State Change", f"at-{clock}", ACCOUNT, REGION)
        return rows_of("ecs_task", item, seen)[0]

    rows = [
        *sweep("09:50", eni("eni-b", "10.0.0.2", description=description)),
        told("09:51", "RUNNING", "ATTACHED"),
        told("10:29", "DEPROVISIONING", "DELETED"),
        told("10:30", "STOPPED", "DELETED"),
        gone("10:28", "eni-b"),
    ]
    assert states(build(rows, HOUR.starts), "type", "name", "arns") == [
        ("eni-b", "09:50", "10:28", "ecs:task", "web", (task,))
    ]


def test_only_states_that_reach_into_the_books_time_are_in_it() -> None:
    """The hour is 10:00 to 11:00, with a quarter of an hour on both sides."""
    groups = {at: eni("eni-b", "10.0.0.2", security_group_ids=[f"sg-{at}"]) for at in ("09:00", "09:30", "11:20")}
    book = build([event(at, said) for at, said in groups.items()], HOUR.starts)
    assert states(book, "security_group_ids") == [("eni-b", "09:30", "11:20", ("sg-09:30",))]


def test_what_changes_no_meaning_cuts_no_state() -> None:
    one, two = (eni("eni-b", "10.0.0.2", public_addresses=[address]) for address in ("203.0.113.1", "203.0.113.2"))
    book = build([*sweep("09:50", one), *sweep("10:10", two), gone("10:30", "eni-b")], HOUR.starts)
    assert states(book, "to_source") == [("eni-b", "09:50", "10:30", "event")]
    assert [_clock(s.last_seen) for s in book.states] == ["10:30"]


def test_tags_of_resources_are_a_part_of_the_book() -> None:
    """Not interfaces' tags, which are in their states, nor what held at no time or ended long before the hour."""
    tags = [event(at, {"kind": "tags", "entity_id": "i-1"}, tags={"n": at}) for at in ("08:00", "08:30", "10:10")]
    listed = [event("10:10", {"kind": "tags", "entity_id": "i-1"}, tags={"n": "last"}) | {"source_id": "z"}]
    own = event("10:00", {"kind": "tags", "entity_id": "eni-b"}, tags={"own": "1"})
    book = build([*sweep("09:00", INSTANCE), *tags, *listed, own], HOUR.starts)
    assert [(r.resource_id, r.kind, _clock(r.valid_from), _clock(r.valid_to), r.tags) for r in book.resources] == [
        ("i-1", "instance", "08:30", "10:10", {"n": "08:30"}),
        ("i-1", "instance", "10:10", "open", {"n": "last"}),
    ]


def test_tags_that_were_set_are_not_taken_for_all_there_are() -> None:
    """Nobody told the instance's tags before a key of them was set."""
    tagged = event("10:10", {"kind": "tags", "entity_id": "i-1"}, "partial", "CreateTags", tags={"patched": "yes"})
    swept = sweep("11:00", {**INSTANCE, "tags": {"owner": "data", "patched": "yes"}})
    book = build([*sweep("09:00", INSTANCE), tagged, *swept], HOUR.starts)
    assert [(_clock(r.valid_from), r.tags) for r in book.resources] == [
        ("10:10", None),
        ("11:00", {"owner": "data", "patched": "yes"}),
    ]


def test_an_account_and_region_is_swept_after_the_hour_by_a_sweep_that_began_after_it() -> None:
    """At its very end at the earliest, and of interfaces."""
    here = ("111111111111", "us-east-1")
    for rows, found in (
        (sweep("11:00"), {here}),
        (sweep("11:05", began="10:59"), set()),
        (sweep("11:05", kinds=("instance",)), set()),
        ([*sweep("10:30"), *sweep("11:05")], {here}),
    ):
        assert build(rows, HOUR.starts).swept_after == found


def test_tags_are_kept_under_ec2s_own_id() -> None:
    assert tag_key("arn:aws:ec2:us-east-1:1:network-interface/eni-1") == tag_key("eni-1") == "eni-1"
    assert tag_key("arn:aws:rds:us-east-1:1:db:x") == "arn:aws:rds:us-east-1:1:db:x"


def test_a_subnet_tells_the_zone_that_the_interface_does_not() -> None:
    subnet = {
        "kind": "subnet",
        "entity_id": "subnet-1",
        "vpc_id": "vpc-1",
        "availability_zone": "us-east-1a",
        "az_id": "use1-az4",
    }
    account = {"kind": "account", "entity_id": "111111111111", "name": "prod"}
    book = build(sweep("09:50", eni("eni-b", "10.0.0.2"), subnet, account), HOUR.starts)
    assert states(book, "availability_zone", "az_id", "account_name") == [
        ("eni-b", "09:50", "open", "us-east-1a", "use1-az4", "prod")
    ]
    own = eni("eni-b", "10.0.0.2", availability_zone="us-east-1b", az_id="use1-az6")
    book = build(sweep("09:50", own, subnet), HOUR.starts)
    assert states(book, "availability_zone", "az_id") == [("eni-b", "09:50", "open", "us-east-1b", "use1-az6")]


def test_the_digest_is_of_the_meaning() -> None:
    """A further sweep that saw the same changes nothing of an hour that is sure; another group or holder does."""
    b, c = eni("eni-b", "10.0.0.2", security_group_ids=["sg-1"]), eni("eni-b", "10.0.0.2", security_group_ids=["sg-2"])
    before = [*sweep("09:00", b), *sweep("12:00", b)]
    assert (
        build(before, HOUR.starts).digest
        == build([*before, *sweep("13:00", b), *sweep("14:00", b)], HOUR.starts).digest
    )
    assert build(before, HOUR.starts).digest != build([*before, event("10:30", c)], HOUR.starts).digest
    assert (
        build(before, HOUR.starts).digest
        != build([*before, event("10:30", eni("eni-c", "10.0.0.3"))], HOUR.starts).digest
    )
    assert (
        build(before, HOUR.starts).digest
        != build([*before, *sweep("12:00", flow_log("fl-1"), complete=False)], HOUR.starts).digest
    )
    # Which addresses it has is in no state, but in the claims.
    more = {**b, "addresses": ["10.0.0.2", "10.0.0.20"]}
    assert build(before, HOUR.starts).digest != build([*before, *sweep("10:30", more)], HOUR.starts).digest
    # What changed long after the hour is another hour's meaning.
    assert build(before, HOUR.starts).digest == build([*before, event("15:00", c)], HOUR.starts).digest


# --- topology --------------------------------------------------------------------------------------------------------


def test_what_a_vpc_can_route_to() -> None:
    rejected = peering("vpc-1", "vpc-9")
    rejected["detail"] = {**rejected["detail"], "status": "rejected"}
    hubs = [attached("vpc-1"), attached("vpc-3"), attached("vpc-4", "tgw-2")]
    topology = build(
        sweep("09:50", vpc("vpc-1", "10.0.0.0/16"), peering("vpc-1", "vpc-2"), rejected, *hubs), HOUR.starts
    ).topology
    assert topology.vpc_ranges == {"vpc-1": ["10.0.0.0/16"]}
    assert topology.reachable["vpc-1"] == ["vpc-2", "vpc-3"]
    assert topology.reachable["vpc-2"] == ["vpc-1"]
    assert topology.reachable.get("vpc-4", []) == []


def test_routes_of_a_subnet_are_its_own_tables_or_the_main_ones() -> None:
    """A prefix list stands for its ranges; the main table serves subnets without one of their own."""
    tables = [
        {
            "kind": "route_table",
            "entity_id": "rtb-main",
            "vpc_id": "vpc-1",
            "routes": ["10.0.0.0/16 local"],
            "detail": {"main": True},
        },
        {
            "kind": "route_table",
            "entity_id": "rtb-1",
            "vpc_id": "vpc-1",
            "subnet_ids": ["subnet-1"],
            "routes": ["10.0.0.0/16 local", "0.0.0.0/0 nat-0abc", "pl-1 vpce-0abc"],
        },
        {"kind": "prefix_list", "entity_id": "pl-1", "cidr_blocks": ["52.216.0.0/15"]},
        {"kind": "subnet", "entity_id": "subnet-1", "vpc_id": "vpc-1"},
        {"kind": "subnet", "entity_id": "subnet-2", "vpc_id": "vpc-1"},
    ]
    routes = build(sweep("09:50", *tables), HOUR.starts).topology.routes
    assert sorted(routes["subnet-1"]) == [
        ("0.0.0.0/0", "nat-0abc"),
        ("10.0.0.0/16", "local"),
        ("52.216.0.0/15", "vpce-0abc"),
    ]
    assert routes["subnet-2"] == [("10.0.0.0/16", "local")]


def test_flow_logs_as_the_inventory_says_them() -> None:
    topology = build(sweep("09:50", flow_log("fl-1", "REJECT", 60)), HOUR.starts).topology
    said = topology.flow_logs["fl-1"]
    assert (said.traffic_type, said.max_aggregation_seconds) == ("REJECT", 60)


def test_an_interface_is_born_when_it_is_first_told_to_be() -> None:
    """A call that is tried again tells it once more, at a later time."""
    b = {**eni("eni-b", "10.0.0.2"), "vpc_id": "vpc-1"}
    told = [event(at, b, "partial", "RunInstances", created_at=stamp(at)) for at in ("10:10", "10:12")]
    assert build(told, HOUR.starts).topology.born == {"eni-b": ms("10:10")}
