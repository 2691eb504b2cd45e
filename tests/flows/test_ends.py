"""When an interface's life ends: by its own event, with its instance, or some time before an answer that lacks it."""

from __future__ import annotations

import pytest

from flowlake.flows.book import build
from flowlake.flows.intervals import Claim
from flowlake.lake.observations import Row
from tests.flows.worked import HOUR, eni, event, gone, ms, seen, sweep, vpc

VPC = vpc("vpc-1", "10.0.0.0/16")


def of_instance(goes_with_it: bool) -> dict:
    return eni("eni-i", "10.0.0.5", instance_id="i-1", detail={"delete_on_termination": goes_with_it})


def instance_with(address: str) -> Row:
    """What RunInstances says of the instance: the address of its first interface."""
    return event("10:10", {"kind": "instance", "entity_id": "i-1", "addresses": [address]}, "partial", "RunInstances")


def terminated(at: str, source_name: str = "EC2 Instance State-change Notification") -> Row:
    return event(at, {"kind": "instance", "entity_id": "i-1"}, "absent", source_name)


def claim(rows: list[Row]) -> Claim:
    (found,) = build(rows, HOUR.starts).claims
    return found


@pytest.mark.parametrize(("goes_with_it", "until"), [(True, "10:20:00"), (False, "10:10:00")])
def test_an_interface_that_goes_with_its_instance_ends_when_that_is_terminated(goes_with_it: bool, until: str) -> None:
    """Seen at 10:10, its instance terminated at 10:20, missed by the sweep of 12:00."""
    rows = [
        event("10:10", of_instance(goes_with_it)),
        instance_with("10.0.0.5"),
        terminated("10:20"),
        *sweep("12:00", VPC),
    ]
    found = claim(rows)
    assert (found.valid_to, found.exact_end) == (ms(f"{until}"), goes_with_it)


@pytest.mark.parametrize("known", [[], [instance_with("10.0.0.9")]])
def test_a_further_interface_may_have_gone_before_its_instance(known: list[Row]) -> None:
    """Only the first interface can't be detached: of another, or where it isn't known which it is, the last sight
    counts.
    """
    rows = [event("10:10", of_instance(True)), *known, terminated("10:20"), *sweep("12:00", VPC)]
    found = claim(rows)
    assert (found.valid_to, found.exact_end, found.gone_by) == (ms("10:10:00"), False, ms("12:00:00"))


def test_while_its_instance_is_up_the_first_interface_holds_its_address() -> None:
    """Creation and deletion were lost; the instance was seen pending at 10:05 and told to terminate at 10:30. When it
    had shut down, nobody knows.
    """
    instance = {"kind": "instance", "entity_id": "i-1"}
    rows = [
        event("10:05", instance, "partial", detail={"state": "pending"}),
        event("10:10", of_instance(True)),
        instance_with("10.0.0.5"),
        event("10:30", instance, "partial", "TerminateInstances", detail={"state": "shutting-down"}),
        event("10:31", instance, "partial", detail={"state": "shutting-down"}),
        *sweep("12:00", VPC),
    ]
    found = claim(rows)
    assert (found.valid_from, found.valid_to, found.exact_end) == (ms("10:05:00"), ms("10:30:00"), False)


def test_an_answer_without_the_instance_does_not_say_when_it_ended() -> None:
    rows = [event("10:10", of_instance(True)), terminated("10:20", "DescribeInstances"), *sweep("12:00", VPC)]
    assert claim(rows).valid_to == ms("10:10:00")


def test_an_interface_seen_after_its_instances_end_did_not_go_with_it() -> None:
    rows = [event("10:10", of_instance(True)), terminated("10:20"), *sweep("12:00", VPC, of_instance(True))]
    assert claim(rows).valid_to == ms("12:00:00")


def test_an_answer_that_does_not_find_an_interface_came_at_some_time_after_its_end() -> None:
    """Asked for at 10:30 and not found; at 10:10 it was there. When it went between them nobody knows."""
    eni_b = eni("eni-b", "10.0.0.5")
    missing = event("10:30", eni_b, "absent", "DescribeNetworkInterfaces")
    found = claim([event("10:10", eni_b), missing])
    assert (found.valid_to, found.exact_end, found.open) == (ms("10:10:00"), False, False)
    # The event itself, come late, says when.
    assert claim([event("10:10", eni_b), missing, gone("10:25", "eni-b")]).valid_to == ms("10:25:00")


def test_a_terminated_instance_in_a_sweep_is_gone_at_some_time_before() -> None:
    listed = seen("12:00", "sweep", {"kind": "instance", "entity_id": "i-1"}, "absent", "DescribeInstances")
    assert claim([event("10:10", of_instance(True)), listed, *sweep("12:00", VPC)]).valid_to == ms("10:10:00")


def test_tags_of_a_file_system_are_those_of_its_interfaces() -> None:
    """Tags are kept under the id that observations use (fs-…); the interface names the file system by its ARN."""
    arn = "arn:aws:elasticfilesystem:us-east-1:111111111111:file-system/fs-0a1"
    description = "EFS mount target for fs-0a1 (fsmt-0b2)"
    mount = eni("eni-m", "10.0.0.6", description=description, interface_type="efs")
    tagged = {"kind": "tags", "entity_id": "fs-0a1", "arn": arn, "tags": {"team": "data"}}
    (state,) = build([*sweep("09:00", mount, tagged), *sweep("12:00", mount, tagged)], HOUR.starts).states
    assert (state.arns, state.tags) == ((arn,), {"team": "data"})


def test_two_answers_of_one_moment_leave_no_interval_that_held_at_no_time() -> None:
    listed = {"kind": "instance", "entity_id": "i-1", "tags": {"Name": "a"}}
    told = {"kind": "tags", "entity_id": "i-1", "tags": {"Name": "a", "team": "data"}}
    resources = build([*sweep("09:00", listed, told), *sweep("12:00", listed, told)], HOUR.starts).resources
    assert all(r.valid_from < r.valid_to for r in resources)
    assert len([r for r in resources if r.valid_from <= ms("10:00") < r.valid_to]) == 1
