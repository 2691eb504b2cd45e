"""Events of CloudWatch that Firehose delivers again count once, in whichever objects they stand; and each log group is
a flow log of its own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows import repeats as told_apart
from flowlake.flows.objects import RawObject, source_of
from flowlake.flows.read import envelopes
from flowlake.flows.repeats import by_key, events, may_share_events, repeated_events, repeats
from flowlake.flows.summarise import Source, Summary
from tests.flows.worked import (
    ACCOUNT,
    HOUR,
    PLAIN,
    Answer,
    Memory,
    eni,
    flow_log,
    key_of,
    lines,
    run,
    seconds,
    steady,
    vpc,
)

INVENTORY = steady(vpc("vpc-1", "10.0.0.0/16"), eni("eni-a", "10.0.0.1"), flow_log("fl-1"))
TEN, TEN_TOO = (f"cloudwatch/2026/01/01/10/stream-1-{name}" for name in ("a", "b"))
ELEVEN, NINE = "cloudwatch/2026/01/01/11/stream-1-c", "cloudwatch/2026/01/01/09/stream-1-d"
VPC, SUBNET = "/logs/vpc", "/logs/subnet"


def sent(size: int, at: str = "10:01:00", action: str = "ACCEPT") -> str:
    """A record of the default format: eni-a to 93.184.216.34, over so many bytes."""
    return f"2 {ACCOUNT} eni-a 10.0.0.1 93.184.216.34 50000 443 6 1 {size} {seconds(at)} {seconds(at) + 50} {action} OK"


def silent(status: str, at: str = "10:01:00") -> str:
    return f"2 {ACCOUNT} eni-a - - - - - - - {seconds(at)} {seconds(at) + 59} - {status}"


def batch(events: Mapping[str, str], group: str = VPC, owner: str = ACCOUNT) -> str:
    """What a subscription sends at once: messages by id, of one log group."""
    listed = [{"id": name, "timestamp": 0, "message": message} for name, message in events.items()]
    of = {"owner": owner, "logGroup": group, "logStream": "eni-a-all", "subscriptionFilters": ["f"]}
    return json.dumps({"messageType": "DATA_MESSAGE", **of, "logEvents": listed})


def told(answer: Answer, flow_log_id: str, *names: str) -> dict[str, int]:
    """What coverage says of a flow log, without the zeros."""
    return {name: answer.coverage[flow_log_id][name] for name in names if answer.coverage[flow_log_id][name]}


COUNTS = ("objects", "objects_torn", "records", "bytes", "nodata", "skipdata", "rejects", "stray_records")
COUNTS += ("repeated_events", "counted_bytes", "duplicate_bytes")


@pytest.mark.parametrize("together", [True, False], ids=["one task", "two tasks"])
@pytest.mark.parametrize("other", [TEN_TOO, ELEVEN, NINE], ids=["same folder", "next hour's", "hour before's"])
def test_an_event_in_two_objects_counts_once(other: str, together: bool) -> None:
    """Event x stands in both: 100 + 10 + 1 bytes, where x twice would make 211."""
    logs = {TEN: batch({"x": sent(100), "y": sent(10)}), other: batch({"x": sent(100), "z": sent(1)})}
    answer = run(INVENTORY, logs, together=together)
    assert answer.show("uploaded", "records") == [(111, 3)]
    assert told(answer, VPC, *COUNTS) == {
        "objects": 2, "records": 3, "bytes": 111, "repeated_events": 1, "counted_bytes": 111,
    }  # fmt: skip


def test_an_event_counts_in_its_own_hour_whichever_object_keeps_it() -> None:
    """x is of 10:59; the object named first keeps it in both hours, where it is a stray of eleven."""
    logs = {
        TEN: batch({"x": sent(100, "10:59:00")}),
        ELEVEN: batch({"x": sent(100, "10:59:00"), "y": sent(5, "11:00:30")}),
    }
    ten, eleven = run(INVENTORY, logs), run(INVENTORY, logs, hour=HOUR.plus(1))
    assert told(ten, VPC, *COUNTS) == {
        "objects": 2, "records": 1, "bytes": 100, "repeated_events": 1, "counted_bytes": 100, "stray_records": 1,
    }  # fmt: skip
    assert told(eleven, VPC, *COUNTS) == {
        "objects": 2, "records": 1, "bytes": 5, "repeated_events": 1, "counted_bytes": 5, "stray_records": 1,
    }  # fmt: skip


@pytest.mark.parametrize("together", [True, False])
def test_a_whole_object_that_is_delivered_twice_counts_once(together: bool) -> None:
    """100 + 10 bytes of two log groups, and a line that can't be read, which is one reject; three events came again."""
    whole = batch({"x": sent(100), "bad": "2 too few"}) + batch({"x": sent(10)}, SUBNET)
    answer = run(INVENTORY, {TEN: whole, TEN_TOO: whole}, together=together)
    assert answer.reconciliation.raw_bytes == 110
    assert told(answer, VPC, "objects", "rejects", "repeated_events") == {
        "objects": 2,
        "rejects": 1,
        "repeated_events": 2,
    }
    assert told(answer, SUBNET, "objects", "rejects", "repeated_events") == {"repeated_events": 1}
    assert [(row["reason"], row["object"], row["flow_log_id"]) for row in answer.rejects] == [
        ("wrong_field_count", TEN, VPC)
    ]


@pytest.mark.parametrize("together", [True, False])
def test_what_a_torn_object_lost_counts_where_it_came_again(together: bool) -> None:
    """The first object breaks off within its second document: x of the first counts there, y of the second, which
    is lost with it, in the object delivered again: 100 + 10."""
    first = gzip.compress(batch({"x": sent(100)}).encode(), mtime=0)
    second = gzip.compress((batch({"y": sent(10)}) + " " * 500).encode(), mtime=0)
    again = batch({"x": sent(100)}) + batch({"y": sent(10)})
    answer = run(INVENTORY, {TEN: first + second[:-40], TEN_TOO: again}, together=together)
    assert told(answer, VPC, *COUNTS) == {
        "objects": 2, "objects_torn": 1, "records": 2, "bytes": 110, "rejects": 1, "repeated_events": 1,
        "counted_bytes": 110,
    }  # fmt: skip
    assert list(answer.coverage) == [VPC]


def test_an_event_is_told_by_its_id_and_its_message() -> None:
    """CloudWatch's ids are unique; where one comes again with another message, nothing is lost for it: 100 + 700. Equal
    records with ids of their own are two: 10 + 10."""
    answer = run(INVENTORY, {TEN: batch({"x": sent(100)}), TEN_TOO: batch({"x": sent(700)})})
    assert answer.show("uploaded") == [(800,)]
    answer = run(INVENTORY, {TEN: batch({"x": sent(10)}), TEN_TOO: batch({"y": sent(10)})})
    assert answer.show("uploaded") == [(20,)]


def test_messages_without_ids_are_all_counted() -> None:
    """Flow logs straight to Firehose: equal lines are two records."""
    text = json.dumps({"message": sent(100)})
    answer = run(INVENTORY, {TEN: text, TEN_TOO: text})
    assert told(answer, "cloudwatch", *COUNTS) == {"objects": 2, "records": 2, "bytes": 200, "counted_bytes": 200}


def test_flow_logs_that_deliver_to_s3_themselves_are_not_looked_into() -> None:
    """Nor is an object that is alone: its reader sees what it repeats."""
    moment = HOUR.moment
    named = [
        RawObject(key_of("fl-1", part=part), "e", 1, moment, source_of(key_of("fl-1", part=part))) for part in (0, 1)
    ]
    alone = RawObject(TEN, "e", 1, moment, source_of(TEN))
    assert repeated_events([*named, alone], None) == {}  # type: ignore[arg-type]
    twice = run(INVENTORY, {"fl-1": lines(PLAIN, ""), TEN: batch({"x": sent(100)}) + batch({"x": sent(100)})})
    assert told(twice, VPC, "bytes", "repeated_events") == {"bytes": 100, "repeated_events": 1}


# --- log groups ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("mixed", [True, False], ids=["in one object", "in two"])
def test_two_log_groups_over_one_interface_count_once(mixed: bool, together: bool) -> None:
    """A VPC's flow log and a subnet's, subscribed to one stream, both report 100 + 10 bytes of eni-a: 110, not 220."""
    records = {"x": sent(100), "y": sent(10, "10:02:00")}
    parts = batch(records), batch(records, SUBNET)
    logs = {TEN: "".join(parts)} if mixed else {TEN: parts[0], TEN_TOO: parts[1]}
    answer = run(INVENTORY, logs, together=together)
    assert answer.show("uploaded", "records") == [(110, 2)]
    assert answer.fates == {"counted": 110, "duplicate": 110}
    # Equal in all else: the first by name counts.
    assert told(answer, SUBNET, "records", "counted_bytes") == {"records": 2, "counted_bytes": 110}
    assert told(answer, VPC, "records", "duplicate_bytes") == {"records": 2, "duplicate_bytes": 110}
    assert {row["account_id"] for row in answer.coverage.values()} == {ACCOUNT}
    assert sum(row["objects"] for row in answer.coverage.values()) == len(logs)


def test_the_log_group_that_lost_nothing_counts() -> None:
    """The subnet's says SKIPDATA, so the VPC's counts: 100 + 10 bytes, of which the subnet's has 100."""
    logs = {
        TEN: batch({"x": sent(100), "s": silent("SKIPDATA")}, SUBNET),
        TEN_TOO: batch({"x": sent(100), "y": sent(10), "n": silent("NODATA", "10:30:00")}),
    }
    answer = run(INVENTORY, logs)
    assert answer.fates == {"counted": 110, "duplicate": 100}
    assert told(answer, VPC, *COUNTS) == {"objects": 1, "records": 2, "bytes": 110, "nodata": 1, "counted_bytes": 110}
    assert told(answer, SUBNET, *COUNTS) == {
        "objects": 1, "records": 1, "bytes": 100, "skipdata": 1, "duplicate_bytes": 100,
    }  # fmt: skip


def test_groups_of_one_name_in_two_accounts_are_two_flow_logs() -> None:
    """A shared subnet's owner and its participant both log eni-a."""
    logs = {TEN: batch({"x": sent(100)}), TEN_TOO: batch({"x": sent(100)}, owner="222222222222")}
    answer = run(INVENTORY, logs)
    assert answer.fates == {"counted": 100, "duplicate": 100}
    assert set(answer.evidence.sources) == {
        Source(VPC, ACCOUNT, "unknown"),
        Source(VPC, "222222222222", "unknown"),
    }


def test_what_is_lost_of_a_stream_spoils_all_its_log_groups() -> None:
    """A document that can't be opened may have been anybody's, so neither group is taken for whole; a line of the
    subnet's that can't be read is the subnet's loss alone, so the VPC's counts."""
    both = {TEN: batch({"x": sent(100)}), TEN_TOO: batch({"x": sent(100)}, SUBNET)}

    def spoiled(logs: Mapping[str, str | bytes]) -> set[str | None]:
        evidence = run(INVENTORY, logs).evidence
        rows = zip(evidence.sources, evidence.source_rows, strict=True)
        return {source.flow_log_id for source, row in rows if row["spoiled"]}

    assert spoiled(both) == set()
    assert spoiled(both | {TEN_TOO: both[TEN_TOO] + batch({"bad": "2 too few"}, SUBNET)}) == {SUBNET}
    assert spoiled(both | {ELEVEN: '{"a": 1}' + json.dumps({"message": sent(1)})}) == {VPC, SUBNET, "cloudwatch"}
    torn = gzip.compress(both[TEN_TOO].encode() * 9)[:-9]
    assert spoiled(both | {TEN_TOO: torn}) == {VPC, SUBNET}
    elsewhere = "direct/2026/01/01/10/stream-2"
    assert spoiled(both | {elsewhere: '{"a": 1}' + json.dumps({"message": sent(1)})}) == {"direct"}


def test_more_log_groups_than_a_summary_tells_apart_are_sent_on_in_time() -> None:
    """1,100 groups with one record of 1 byte each in one object, of which one counts, as all cover eni-a."""
    count = 1100
    logs = {TEN: "".join(batch({"x": sent(1)}, f"/logs/{number:04}") for number in range(count))}
    answer = run(INVENTORY, logs)
    assert answer.fates == {"counted": 1, "duplicate": count - 1}
    assert len(answer.coverage) == count
    assert sum(row["objects"] for row in answer.coverage.values()) == 1
    summary = Summary(HOUR, 300)
    for number in range(1024):
        summary.source(Source(f"fl-{number}", ACCOUNT, "r"))
    with pytest.raises(OverflowError, match="flow logs at once"):
        summary.source(Source("fl-1024", ACCOUNT, "r"))


# --- the two steps ---------------------------------------------------------------------------------------------------


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=2, max_size=5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 6),
)
def test_each_event_is_kept_once_however_the_work_is_cut(
    delivered: list[list[int]], buckets: int, tasks: int, at_once: int
) -> None:
    """Objects of events by number: what is left is each number once, where it stood first; whatever the buckets, the
    tasks and how many digests are held at once."""
    store, objects = Memory(), []
    for place, numbers in enumerate(delivered):
        key = f"cloudwatch/2026/01/01/10/{place}"
        store.held[key] = "".join(batch({str(number): sent(number)}) for number in numbers).encode()
        objects.append(RawObject(key, "e", 1, HOUR.moment, source_of(key)))
    sharing = may_share_events(reversed(objects))
    assert sharing == objects
    of_buckets: dict[int, list[bytes]] = {}
    with patch.object(told_apart, "AT_ONCE", at_once), patch.object(envelopes, "EVENTS_AT_ONCE", 1):
        for task in range(tasks):
            share = [(number, item) for number, item in enumerate(sharing) if number % tasks == task]
            for bucket, _, payload in events(share, store, buckets):  # type: ignore[arg-type]
                of_buckets.setdefault(bucket, []).append(payload)
    task_of = [number % tasks for number in range(len(sharing))]
    found = [parcel for payloads in of_buckets.values() for parcel in repeats(reversed(payloads), task_of)]
    left_out = {
        key: places
        for task in range(tasks)
        for key, places in by_key((payload for to, _, payload in found if to == task), sharing).items()
    }
    seen: set[int] = set()
    expected: dict[str, list[int]] = {}
    for item, numbers in zip(sharing, delivered, strict=True):
        for place, number in enumerate(numbers):  # an object without events is not told of
            stood_before = expected.setdefault(item.key, [])
            if number in seen:
                stood_before.append(place)
            seen.add(number)
    assert {key: places.tolist() for key, places in left_out.items()} == expected
    here = repeated_events(objects, store)  # type: ignore[arg-type]
    assert {key: places.tolist() for key, places in here.items()} == expected


def delivered(flow_log_id: str, resource_id: str, kind: str, destination: str) -> dict:
    detail = {"resource_id": resource_id, "destination_type": kind, "destination": destination}
    return {**flow_log(flow_log_id), "detail": detail}


STREAM = ("kinesis-data-firehose", "arn:aws:firehose:us-east-1:111111111111:deliverystream/s")
GROUP = ("cloud-watch-logs", f"arn:aws:logs:us-east-1:111111111111:log-group:{VPC}:*")


@pytest.mark.parametrize("covers", [("vpc-1", "subnet-1"), ("vpc-1", "subnet-2"), ("vpc-1",)])
@pytest.mark.parametrize("through", [STREAM, GROUP])
def test_what_two_flow_logs_send_through_one_may_count_twice_and_says_so(
    covers: tuple[str, ...], through: tuple[str, str]
) -> None:
    """Nothing tells their records apart. eni-a lies in subnet-1 of vpc-1: one flow log of each covers it twice."""
    logs = [delivered(f"fl-{number}", resource, *through) for number, resource in enumerate(covers)]
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), eni("eni-a", "10.0.0.1"), *logs)
    if through is STREAM:
        texts = {TEN: "\n".join(json.dumps({"message": sent(500)}) for _ in covers)}
    else:
        texts = {TEN: batch({str(number): sent(500) for number, _ in enumerate(covers)})}
    answer = run(inventory, texts)
    flags = [row["flags"] for row in answer.rows]
    assert flags == [["possibly_doubled"] if covers == ("vpc-1", "subnet-1") else []]
