"""Which flow log of an interface counts, where it has several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from flowlake.flows.evidence import GAPS, SKIPPED
from flowlake.flows.flow_logs import NEVER_TOLD, by_what_they_go_through, log_of, unread
from flowlake.flows.hints import Reported
from flowlake.flows.summarise import Source
from flowlake.flows.topology import FlowLog
from tests.flows.worked import HOUR, PACKETS, PLAIN, Answer, Entity, eni, flow_log, lines, run, stamp, steady, vpc

A = eni("eni-a", "10.0.0.1")
LOGS = [flow_log(f"fl-{number}", interval=60) for number in (1, 2, 3)]
INVENTORY = steady(vpc("vpc-1", "10.0.0.0/16"), A, *LOGS)
LOST = "eni-a - - - - - - {} {} - SKIPDATA"


def minutes(first: int, last: int) -> str:
    """A record of 100 bytes for each minute of [first, last)."""
    record = "eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 10:{:02d}:00 10:{:02d}:59 ACCEPT OK"
    return "\n".join(record.format(at, at) for at in range(first, last))


def silent(interface: str = "eni-quiet") -> str:
    """That the flow log tells of silence: a NODATA line of another interface."""
    return f"{interface} - - - - - - 10:01:00 10:02:00 - NODATA"


def counted(answer: Answer) -> dict[str, tuple[int, int]]:
    """Bytes that count and that are set aside as duplicates, by flow log."""
    return {log: (row["counted_bytes"], row["duplicate_bytes"]) for log, row in answer.coverage.items()}


def test_one_that_took_anothers_place_counts_from_there_on() -> None:
    """fl-1 tells of 10:00 to 10:30, fl-2 of 10:30 to 10:59: a flow log's format can't be changed, so it is replaced."""
    logs = {"fl-1": f"{minutes(0, 30)}\n{silent()}", "fl-2": f"{minutes(30, 59)}\n{silent()}"}
    answer = run(INVENTORY, {log: lines(PLAIN, text) for log, text in logs.items()})
    assert counted(answer) == {"fl-1": (3000, 0), "fl-2": (2900, 0)}
    assert sum(row["uploaded"] for row in answer.rows) == 5900
    assert answer.penalties()["eni-a"] == 0


def test_what_both_tell_while_they_run_side_by_side_counts_once() -> None:
    """fl-2 is made at 10:28, fl-1 goes at 10:32. Sums are by five minutes: fl-2's of 10:25 and 10:30 have minutes in
    common with fl-1's, and are set aside whole; what it tells from 10:35 on counts.
    """
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, minutes(0, 32)), "fl-2": lines(PLAIN, minutes(28, 59))})
    assert counted(answer) == {"fl-1": (3200, 0), "fl-2": (2400, 700)}


def test_what_two_tell_of_one_second_counts_once() -> None:
    """The last packet that fl-1 tells of is the first that fl-2 does."""
    record = "eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 {} {} ACCEPT OK"
    one, two = record.format("10:01:00", "10:29:30"), record.format("10:29:30", "10:29:30")
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, one), "fl-2": lines(PLAIN, two)})
    assert counted(answer) == {"fl-1": (100, 0), "fl-2": (0, 100)}


@pytest.mark.parametrize(("first", "last"), [(0, 42), (0, 50), (10, 60), (18, 60)])
def test_a_whole_one_is_not_set_aside_for_one_that_was_there_for_a_part(first: int, last: int) -> None:
    """fl-1, of 600 s and the lower id, tells of some minutes of the hour, fl-2 of all."""
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, flow_log("fl-1"), flow_log("fl-2", interval=60))
    texts = {"fl-1": f"{minutes(first, last)}\n{silent()}", "fl-2": f"{minutes(0, 60)}\n{silent()}"}
    answer = run(inventory, {log: lines(PLAIN, text) for log, text in texts.items()})
    assert sum(row["uploaded"] for row in answer.rows) == 6000


def test_beside_one_of_another_kind_the_two_count_once_though_intervals_were_lost() -> None:
    """fl-1 was replaced by fl-2, each lost an interval; fl-3 logs what was accepted, all the hour."""
    lost = [LOST.format("10:59:00", "10:59:59"), LOST.format("10:00:00", "10:00:01")]
    logs = [flow_log("fl-1", interval=60), flow_log("fl-2", interval=60), flow_log("fl-3", "ACCEPT", interval=60)]
    texts = {
        "fl-1": f"{minutes(0, 30)}\n{lost[0]}",
        "fl-2": f"{minutes(30, 59)}\n{lost[1]}",
        "fl-3": minutes(0, 59),
    }
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, *logs)
    answer = run(inventory, {log: lines(PLAIN, text) for log, text in texts.items()})
    assert sum(row["uploaded"] for row in answer.rows) == 5900


def test_what_a_duplicate_lacks_is_not_lacking() -> None:
    """fl-1 logs all, with the packets' addresses; fl-9 tells of the same time, of what kind is not known, and without.
    eni-a is a NAT gateway: its reporting rests on fl-1 alone.
    """
    gateway = {**A, "interface_type": "nat_gateway"}
    record = "eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 10:10:00 10:10:10 ACCEPT OK"
    texts = {"fl-1": lines(PACKETS, f"{record} 10.0.0.1 93.184.216.34"), "fl-9": lines(PLAIN, record)}
    answer = run(steady(vpc("vpc-1", "10.0.0.0/16"), gateway, LOGS[0]), texts)
    assert answer.penalties() == {"eni-a": 0}
    assert answer.hints.inside_told[answer.hints.codes(answer.world.lookup, ["eni-a"])].tolist() == [True]


def test_a_time_of_which_neither_of_the_two_tells_is_a_gap() -> None:
    """fl-1, of 600 s, ended at 10:30, fl-2 was made at 10:35: shorter than two intervals, and yet nobody told."""
    texts = {"fl-1": f"{minutes(0, 30)}\n{silent()}", "fl-2": f"{minutes(35, 60)}\n{silent()}"}
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, flow_log("fl-1"), flow_log("fl-2"))
    answer = run(inventory, {log: lines(PLAIN, text) for log, text in texts.items()})
    assert answer.penalties()["eni-a"] == GAPS


def test_of_two_that_took_its_place_one_counts() -> None:
    logs = {"fl-1": minutes(0, 30), "fl-2": minutes(30, 59), "fl-3": minutes(30, 59)}
    answer = run(INVENTORY, {log: lines(PLAIN, text) for log, text in logs.items()})
    assert counted(answer) == {"fl-1": (3000, 0), "fl-2": (2900, 0), "fl-3": (0, 2900)}


def test_one_that_tells_a_little_less_of_the_same_time_counts_nothing() -> None:
    """fl-2 tells of the minutes from 10:02 to 10:57 alone."""
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, minutes(1, 58)), "fl-2": lines(PLAIN, minutes(2, 57))})
    assert counted(answer) == {"fl-1": (5700, 0), "fl-2": (0, 5500)}


def test_what_one_of_them_lost_is_lacking_and_what_another_tells_is_not() -> None:
    """fl-1 said nothing after 10:30, fl-2 nothing before, and lost something."""
    lost = LOST.format("10:40:00", "10:41:00")
    logs = {"fl-1": f"{minutes(0, 30)}\n{silent()}", "fl-2": f"{minutes(30, 59)}\n{silent()}\n{lost}"}
    answer = run(INVENTORY, {log: lines(PLAIN, text) for log, text in logs.items()})
    assert counted(answer) == {"fl-1": (3000, 0), "fl-2": (2900, 0)}
    assert answer.penalties()["eni-a"] == SKIPPED
    alone = run(INVENTORY, {"fl-1": lines(PLAIN, logs["fl-1"])})
    assert alone.penalties()["eni-a"] == GAPS


def test_one_of_unknown_kind_stands_in_for_no_action_that_it_never_showed() -> None:
    """fl-1 logs all and lost an interval; fl-2, which the inventory does not know, shows what was accepted and lost
    nothing: what was refused stands in fl-1 alone.
    """
    accepted = "eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 10:10:00 10:10:10 ACCEPT OK"
    refused = "eni-a 10.0.0.1 93.184.216.34 50001 23 6 900 10:12:00 10:12:10 REJECT OK"
    texts = {"fl-1": f"{accepted}\n{refused}\n{LOST.format('10:40:00', '10:41:00')}", "fl-9": accepted}
    answer = run(INVENTORY, {log: lines(PLAIN, text) for log, text in texts.items()})
    assert sorted(answer.show("action", "uploaded")) == [("ACCEPT", 100), ("REJECT", 900)]


def test_one_of_unknown_kind_that_showed_nothing_takes_no_traffic_away() -> None:
    """fl-9 may log refusals only: it says NODATA in every minute; fl-1 lacks some minutes, and holds the traffic."""
    nodata = "eni-a - - - - - - 10:{:02d}:00 10:{:02d}:59 - NODATA"
    quiet = "\n".join(nodata.format(at, at) for at in range(1, 60) if not 40 <= at < 45)
    texts = {"fl-1": f"{minutes(0, 1)}\n{quiet}", "fl-9": "\n".join(nodata.format(at, at) for at in range(60))}
    answer = run(INVENTORY, {log: lines(PLAIN, text) for log, text in texts.items()})
    assert counted(answer) == {"fl-1": (100, 0), "fl-9": (0, 0)}


def packets_log(interval: int, begins: int, packets: list[tuple[int, int]]) -> str:
    """What a flow log tells from 10:00 to 12:00 of packets (second, client port) of 100 bytes: start and end of a
    record are those of its packets; an interval without any says NODATA. begins: the second of its first interval.
    """
    text = []
    for at in range(begins, 7200, interval):
        here = [packet for packet in packets if at <= packet[0] < at + interval]
        for port in {port for _, port in here}:
            times = [second for second, of in here if of == port]
            tail = f"{100 * len(times)} {clock(min(times))} {clock(max(times))} ACCEPT OK"
            text.append(f"eni-a 10.0.0.1 93.184.216.34 {port} 443 6 {tail}")
        if not here:
            text.append(f"eni-a - - - - - - {clock(at)} {clock(at + interval - 1)} - NODATA")
    return lines(PLAIN, "\n".join(text))


def clock(second: int) -> str:
    return f"{10 + second // 3600:02d}:{second % 3600 // 60:02d}:{second % 60:02d}"


@pytest.mark.parametrize("busy", [range(320, 3000, 600), range(3920, 7200, 600), ()])
def test_of_two_whole_ones_the_same_counts_in_a_busy_hour_and_in_a_quiet_one(busy: Iterable[int]) -> None:
    """A connection goes over 11:00, where their intervals end at different times: with another choice in each hour its
    bytes counted twice or not at all.
    """
    packets = [(3510 + 60 * n, 40000) for n in range(5)] + [(second, 41000) for second in busy]
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, flow_log("fl-1"), flow_log("fl-2", interval=60))
    logs = {"fl-1": packets_log(600, -300, packets), "fl-2": packets_log(60, 0, packets)}
    hours = [run(inventory, logs, hour=HOUR.plus(n)) for n in range(2)]
    assert sum(row["uploaded"] for answer in hours for row in answer.rows) == 100 * len(packets)


def made(at: str, log: Entity) -> Entity:
    return {**log, "created_at": stamp(at)}


@pytest.mark.parametrize(("made_at", "pairs"), [("01:00", 0), ("10:25", 1)])
def test_of_two_whole_ones_the_older_counts_so_that_none_takes_its_place(made_at: str, pairs: int) -> None:
    """fl-2, of 600 s, tells of both hours; fl-1 was made at 10:20. From 10:55 to 11:05 lies one interval of fl-2's:
    were fl-2 set aside at eleven, it would count with ten, and its second half by fl-1 once more. So it is where the
    inventory has fl-2 for the newer one, and then it is counted as a handover.
    """
    packets = [(second, 40000) for second in range(10, 7200, 20)]
    logs = [made("10:20", flow_log("fl-1", interval=60)), made(made_at, flow_log("fl-2"))]
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, *logs)
    texts = {
        "fl-1": packets_log(60, 1200, [packet for packet in packets if packet[0] >= 1200]),
        "fl-2": packets_log(600, -300, packets),
    }
    ten = run(inventory, texts)
    eleven = run(inventory, texts, hour=HOUR.plus(1), previous=ten.reported())
    published = sum(row["uploaded"] for answer in (ten, eleven) for row in answer.rows)
    assert published == 36_000 + (1_500 if pairs else 0)
    assert sum(row["handover_pairs"] for row in eleven.coverage.values()) == pairs


def test_where_one_took_anothers_place_within_the_hour_before_it_is_no_handover() -> None:
    texts = {"fl-1": minutes(0, 30), "fl-2": f"{minutes(30, 59)}\n{minutes(30, 59).replace(' 10:', ' 11:')}"}
    logs = {log: lines(PLAIN, text) for log, text in texts.items()}
    before = run(INVENTORY, logs).reported()
    assert before["eni-a"].flow_logs == ("fl-1", "fl-2", "fl-1", "fl-2")
    eleven = run(INVENTORY, logs, hour=HOUR.plus(1), previous=before)
    assert sum(row["handover_pairs"] for row in eleven.coverage.values()) == 0
    assert sum(row["uploaded"] for row in eleven.rows) == 2900


@pytest.mark.parametrize("ended", [30, 48])
def test_of_one_set_aside_for_what_it_told_side_by_side_the_reporting_lacks_something(ended: int) -> None:
    """fl-1, which tells of silence, goes two minutes after fl-2 was made, both of 600 s: fl-2's record of these and of
    eight more is set aside.
    """
    nodata = "eni-a - - - - - - 10:00:00 10:00:30 - NODATA"
    record = "eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 10:{:02d}:00 {} ACCEPT OK"
    one = "\n".join(record.format(at, f"10:{min(at + 9, ended - 1):02d}:59") for at in range(1, ended, 10))
    two = "\n".join(record.format(at, clock(60 * (at + 10) - 1)) for at in range(ended - 2, 60, 10))
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, flow_log("fl-1"), flow_log("fl-2"))
    answer = run(inventory, {"fl-1": lines(PLAIN, f"{nodata}\n{one}"), "fl-2": lines(PLAIN, two)})
    assert answer.penalties() == {"eni-a": GAPS}
    assert {flag for row in answer.rows for flag in row["flags"]} == {"partial_reporter"}
    lost = lines(PLAIN, f"{two}\n{LOST.format('10:59:00', '10:59:59')}")
    answer = run(inventory, {"fl-1": lines(PLAIN, f"{nodata}\n{one}"), "fl-2": lost})
    assert answer.penalties() == {"eni-a": GAPS | SKIPPED}


@pytest.mark.parametrize("lossy", [("fl-1",), ("fl-1", "fl-2", "fl-3"), ("fl-3",)])
def test_of_three_of_which_some_lost_records_what_tells_of_another_time_counts(lossy: Sequence[str]) -> None:
    """Two took the place of fl-1 at 10:30. Nothing that was recorded is lost: the lines with SKIPDATA are of minutes
    without records.
    """
    spans = {"fl-1": (0, 29), "fl-2": (30, 59), "fl-3": (30, 59)}
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, *(flow_log(log, interval=60) for log in spans))
    texts = {
        log: minutes(*span) + ("\n" + LOST.format(f"10:{span[1]}:00", f"10:{span[1]}:59") if log in lossy else "")
        for log, span in spans.items()
    }
    answer = run(inventory, {log: lines(PLAIN, text) for log, text in texts.items()})
    assert sum(row["uploaded"] for row in answer.rows) == 5800


def test_of_more_flow_logs_than_may_come_first_nothing_counts_twice() -> None:
    """Six that tell of the same minutes, all with losses."""
    lost = LOST.format("10:59:00", "10:59:59")
    texts = {f"fl-{n}": f"{minutes(0, 50 - n)}\n{lost}" for n in range(6)}
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, *(flow_log(log, interval=60) for log in texts))
    answer = run(inventory, {log: lines(PLAIN, text) for log, text in texts.items()})
    assert counted(answer)["fl-0"] == (5000, 0)
    assert sum(row["uploaded"] for row in answer.rows) == 5000


def test_an_interface_of_which_one_packet_was_seen_lacks_nothing() -> None:
    """At 10:56:30. The interval of fl-1 that holds it ends at 11:05, and what ends in it is told with that packet."""
    packets = [(3390, 40000)]
    logs = {"fl-1": packets_log(600, -300, packets), "fl-2": packets_log(60, 0, packets)}
    answer = run(steady(vpc("vpc-1", "10.0.0.0/16"), A, flow_log("fl-1"), flow_log("fl-2", interval=60)), logs)
    assert answer.penalties() == {"eni-a": 0}


def test_of_packets_that_formats_name_in_two_ways_one_counts() -> None:
    """eni-a is a NAT gateway. fl-1 shows its own address for who is beyond it, fl-2 the packets'; both lost some."""
    gateway = {**A, "interface_type": "nat_gateway"}
    texts = {
        "fl-1": lines(
            PLAIN,
            "eni-a 10.0.0.9 10.0.0.1 50000 443 6 100 10:10:00 10:10:10 ACCEPT OK\n"
            + LOST.format("10:59:00", "10:59:59"),
        ),
        "fl-2": lines(
            PACKETS,
            "eni-a 10.0.0.9 10.0.0.1 50000 443 6 100 10:10:00 10:10:10 ACCEPT OK 10.0.0.9 8.8.8.8\n"
            + LOST.format("10:59:00", "10:59:59")
            + " - -",
        ),
    }
    answer = run(steady(vpc("vpc-1", "10.0.0.0/16"), gateway, *LOGS[:2]), texts)
    assert sum(row["uploaded"] + row["downloaded"] for row in answer.rows) == 100


WITHOUT_ACTION = PLAIN.replace(" action", "")


def without_action(text: str) -> str:
    return lines(WITHOUT_ACTION, text.replace(" ACCEPT", "").replace(" - SKIPDATA", " SKIPDATA"))


def test_what_one_tells_without_an_action_and_another_with_it_counts_once() -> None:
    """Both lost some."""
    lost = LOST.format("10:59:00", "10:59:59")
    texts = {"fl-1": lines(PLAIN, f"{minutes(0, 50)}\n{lost}"), "fl-2": without_action(f"{minutes(0, 59)}\n{lost}")}
    answer = run(INVENTORY, texts)
    assert sum(row["uploaded"] for row in answer.rows) == 5900


def test_one_without_actions_that_the_inventory_does_not_know_counts_where_it_took_anothers_place() -> None:
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, minutes(0, 30)), "fl-9": without_action(minutes(30, 59))})
    assert counted(answer) == {"fl-1": (3000, 0), "fl-9": (2900, 0)}


def test_one_that_told_of_lost_records_alone_is_no_part_of_the_reporting() -> None:
    lost = lines(PLAIN, LOST.format("10:59:00", "10:59:59"))
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, minutes(0, 60)), "fl-2": lost})
    assert answer.penalties() == {"eni-a": 0}
    alone = run(INVENTORY, {"fl-2": lost})
    assert alone.penalties() == {"eni-a": SKIPPED}


def test_a_handover_between_flow_logs_is_told_by_action() -> None:
    """At ten fl-1 tells what was accepted, as fl-2, which logs all, lost an interval; at eleven fl-2 tells all."""
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), A, flow_log("fl-1", "ACCEPT", 60), flow_log("fl-2", interval=60))
    eleven = minutes(0, 59).replace(" 10:", " 11:")
    lost = LOST.format("10:20:00", "10:20:59")
    logs = {
        "fl-1": lines(PLAIN, f"{minutes(0, 59)}\n{eleven}"),
        "fl-2": lines(PLAIN, f"{minutes(0, 59)}\n{lost}\n{eleven}"),
    }
    before = run(inventory, logs).reported()
    assert before["eni-a"].flow_logs == ("fl-1", "fl-1", "fl-2", "fl-2")
    answer = run(inventory, logs, hour=HOUR.plus(1), previous=before)
    assert sum(row["handover_pairs"] for row in answer.coverage.values()) == 1


def test_pairs_of_changed_flow_logs_count_once_each_wherever_they_are_merged() -> None:
    """Thirty addresses outside, whose rows lie in several buckets."""
    record = "eni-a 10.0.0.1 93.184.216.{} 50000 443 6 100 10:10:00 10:10:10 ACCEPT OK"
    text = "\n".join(record.format(n) for n in range(30))
    before = {"eni-a": Reported(0, ("fl-7", "fl-7", "fl-7", "fl-7"))}
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, text)}, previous=before)
    assert answer.coverage["fl-1"]["handover_pairs"] == 30


def test_a_log_group_is_as_old_as_the_oldest_flow_log_that_goes_there() -> None:
    """Of several that may, as records do not say which."""
    kinds = {"fl-1": "cloud-watch-logs", "fl-2": "cloud-watch-logs", "fl-3": "kinesis-data-firehose", "fl-4": "s3"}
    known = [
        FlowLog(id_, "ALL", 60, "vpc-1", "arn:aws:logs:us-east-1:1:log-group:flows:*", kind, created)
        for created, (id_, kind) in enumerate(kinds.items(), 5)
    ]
    through = by_what_they_go_through(known)
    row = {"actions": 1, "longest": 60, "spoiled": False, "lacks": [], "nodata": 0}
    by_id = {log.flow_log_id: log for log in known}
    created = {
        name: log_of(Source(name, "1", "us-east-1"), row, by_id.get(name), through).created
        for name in ("flows", "some/folder", "fl-4", "fl-9")
    }
    assert created == {"flows": 5, "some/folder": 7, "fl-4": 8, "fl-9": NEVER_TOLD}


def test_flow_logs_of_which_nothing_was_read_are_named() -> None:
    """Those that go to S3: records of the others do not name theirs."""
    kinds = {"fl-1": "s3", "fl-2": "s3", "fl-3": "cloud-watch-logs", "fl-4": None}
    known = [FlowLog(id_, "ALL", 60, "vpc-1", "somewhere", kind) for id_, kind in kinds.items()]
    assert unread(known, {"fl-2", None}) == ["fl-1"]
