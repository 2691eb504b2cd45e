"""What the records of an hour tell beside their bytes: how complete each reporter is, which flow log counts, who used
what address."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from flowlake.flows import evidence, hints
from flowlake.flows.evidence import GAPS, NO_ACCEPTS, NOT_ALL, REJECTED, SKIPPED
from tests.flows.worked import FLAGS, PLAIN, eni, event, flow_log, gone, lines, run, steady, sweep, vpc

VPC = vpc("vpc-1", "10.0.0.0/16")
A, B = eni("eni-a", "10.0.0.1"), eni("eni-b", "10.0.0.2")
ONE = "eni-a 10.0.0.1 93.184.216.34 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK"
REFUSED = "eni-a 10.0.0.1 93.184.216.34 50001 23 6 7 10:02:00 10:02:59 REJECT OK"
LOST = "eni-a - - - - - - 10:20:00 10:29:59 - SKIPDATA"


@pytest.mark.parametrize(
    ("known", "logs", "lacks"),
    [
        (["ALL"], [ONE], 0),
        (["ALL"], [f"{ONE}\n{LOST}"], SKIPPED),
        (["ALL"], [f"{ONE}\nhalf a line"], REJECTED),
        (["ACCEPT"], [ONE], NOT_ALL),
        (["REJECT"], [REFUSED], NO_ACCEPTS | NOT_ALL),
        (["ACCEPT", "REJECT"], [ONE, REFUSED], 0),
        (["ACCEPT", "REJECT"], [ONE, f"{REFUSED}\n{LOST}"], SKIPPED),
        # Not in the inventory: one that shows both actions takes all; of one that does not it can't be told.
        ([None], [f"{ONE}\n{REFUSED}"], 0),
        ([None], [ONE], NOT_ALL),
        ([None], [REFUSED], NO_ACCEPTS | NOT_ALL),
        # Of two whole ones the one without losses counts.
        (["ALL", "ALL"], [f"{ONE}\n{LOST}", ONE], 0),
        (["ALL", "ACCEPT"], [f"{ONE}\n{LOST}", ONE], SKIPPED),
    ],
)
def test_what_a_reporter_lacks(known: list, logs: list[str], lacks: int) -> None:
    inventory = steady(VPC, A, *(flow_log(f"fl-{i}", kind) for i, kind in enumerate(known) if kind))
    answer = run(
        inventory, {f"fl-{i}": lines(PLAIN, text) if "half" not in text else _raw(text) for i, text in enumerate(logs)}
    )
    assert answer.penalties() == {"eni-a": lacks}


def _raw(text: str) -> str:
    good, bad = text.split("\n")
    return lines(PLAIN, good) + bad + "\n"


def silence(*minutes: int, interval: int = 60) -> str:
    from tests.flows.worked import seconds

    return "\n".join(
        f"eni-a - - - - - - {seconds('10:00:00') + 60 * m} {seconds('10:00:00') + 60 * m + interval - 1} - NODATA"
        for m in minutes
    )


def test_silence_without_nodata_is_a_gap_where_the_flow_log_speaks_of_silence() -> None:
    """Interval 60 s: more than two minutes about which nothing was said, not even NODATA, are lost records."""
    inventory = steady(VPC, A, flow_log("fl-1", interval=60))
    every = silence(*(m for m in range(60) if m != 1))
    assert run(inventory, {"fl-1": lines(PLAIN, f"{ONE}\n{every}")}).penalties() == {"eni-a": 0}
    two_missing = silence(*(m for m in range(60) if m not in (1, 30, 31)))
    assert run(inventory, {"fl-1": lines(PLAIN, f"{ONE}\n{two_missing}")}).penalties() == {"eni-a": 0}
    three_missing = silence(*(m for m in range(60) if m not in (1, 30, 31, 32)))
    assert run(inventory, {"fl-1": lines(PLAIN, f"{ONE}\n{three_missing}")}).penalties() == {"eni-a": GAPS}
    # A flow log that never writes NODATA says nothing by its silence.
    assert run(inventory, {"fl-1": lines(PLAIN, ONE)}).penalties() == {"eni-a": 0}


def test_an_interface_is_not_missed_before_its_birth() -> None:
    """Born at 10:30: the flow log's silence about it before that is no gap."""
    inventory = [*steady(VPC, flow_log("fl-1", interval=60)), event("10:30", A)]
    assert run(inventory, {"fl-1": lines(PLAIN, silence(*range(30, 60)))}).penalties() == {"eni-a": 0}
    assert run(inventory, {"fl-1": lines(PLAIN, silence(*range(40, 60)))}).penalties() == {"eni-a": GAPS}


def test_an_interface_is_not_missed_after_its_end() -> None:
    """Deleted at 10:30: the flow log's silence about it from then on is no gap."""
    inventory = [*sweep("09:00", VPC, A, flow_log("fl-1", interval=60)), gone("10:30", "eni-a"), *sweep("12:00", VPC)]
    assert run(inventory, {"fl-1": lines(PLAIN, silence(*range(30)))}).penalties() == {"eni-a": 0}
    assert run(inventory, {"fl-1": lines(PLAIN, silence(*range(20)))}).penalties() == {"eni-a": GAPS}


def test_how_long_silence_may_last_goes_by_the_longest_interval_that_was_said_or_seen() -> None:
    """The inventory says 60 s, but a record lasts 10:01:00 to 10:10:59: 9 whole minutes. Silence of 10 minutes is no
    gap then, silence of 20 is: 2 * 9 = 18."""
    inventory = steady(VPC, A, flow_log("fl-1", interval=60))
    long = ONE.replace("10:01:59", "10:10:59")
    for missing, lacks in (({30}, 0), ({30, 40}, GAPS)):
        quiet = silence(*sorted({0, 10, 20, 30, 40, 50} - missing), interval=600)
        assert run(inventory, {"fl-1": lines(PLAIN, f"{long}\n{quiet}")}).penalties() == {"eni-a": lacks}


def test_penalties_rank_what_is_worse_to_lack() -> None:
    """One that logs no accepted traffic is behind one that lost some; one that lost some behind one that does not log
    refusals."""
    assert NO_ACCEPTS > SKIPPED + REJECTED + NOT_ALL + GAPS
    assert SKIPPED > REJECTED + NOT_ALL + GAPS
    assert REJECTED > NOT_ALL + GAPS
    assert NOT_ALL > GAPS


@pytest.mark.parametrize("together", [True, False])
def test_evidence_of_several_workers_adds_up(together: bool) -> None:
    """SKIPDATA in one object, records in another, read by different workers: one reporter."""
    parts = [lines(PLAIN, ONE), lines(PLAIN, LOST), lines(PLAIN, REFUSED)]
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": parts}, together=together)
    assert answer.penalties() == {"eni-a": SKIPPED}
    covered = answer.coverage["fl-1"]
    assert (covered["objects"], covered["records"], covered["skipdata"], covered["bytes"]) == (3, 2, 1, 107)


def attested(columns: dict, begun_by: int, held_until: int) -> pa.Table:
    """Rows of one worker's own records, with the same moments in each."""
    size = len(columns["interface"])
    return pa.table({**columns, "begun_by": [begun_by] * size, "held_until": [held_until] * size})


def test_what_many_workers_tell_alike_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand parts of two interfaces each: what the driver holds does not grow with them."""
    held: list[hints._Together] = []

    class Watched(hints._Together):
        AT_LEAST = 10

        def __init__(self, joined: Mapping[str, np.ufunc]) -> None:
            super().__init__(joined)
            held.append(self)

    monkeypatch.setattr(hints, "_Together", Watched)
    counted = ("source", "records", "bytes", "nodata", "skipdata", "mask", "actions", "first", "last")
    part = {
        "sources": pa.table({name: [] for name in evidence.SOURCES.names}, schema=evidence.SOURCES),
        "facts": pa.table({"interface": pa.array([], pa.string())}),
        "lines": pa.table({name: pa.array([], pa.int64()) for name in counted}),
        "attested": attested({"interface": ["eni-a", None], "low": [1, 2], "mask": [1, 2]}, 60, 120),
        "listeners": pa.table({"interface": ["eni-a", "eni-b"], "port": [443, 443]}),
        "untold": pa.table({"ports": np.array([7, 9], np.uint32)}),
    }
    other = {**part, "attested": attested({"interface": ["eni-a"], "low": [1], "mask": [4]}, 30, 90)}
    most = 0

    def parts():  # type: ignore[no-untyped-def]
        nonlocal most
        for _ in range(1000):
            yield part
            most = max(most, sum(len(t.parts) for t in held))
        yield other

    found = hints.merge(parts())
    assert sorted(found.attested.to_pylist(), key=str) == [
        {"interface": "eni-a", "low": 1, "mask": 1 | 4, "begun_by": 30, "held_until": 120},
        {"interface": None, "low": 2, "mask": 2, "begun_by": 60, "held_until": 120},
    ]
    assert found.listeners.to_pylist() == part["listeners"].to_pylist()
    assert found.untold.to_pylist() == part["untold"].to_pylist()
    assert 0 < most < 30


def test_rejects_of_several_workers_add_up_and_spoil_the_flow_log() -> None:
    """Two workers met one bad line each, the third none: two rejects, and a flow log that lost lines."""
    parts = [_raw(f"{ONE}\nhalf a line"), _raw(f"{REFUSED}\nhalf a line"), lines(PLAIN, REFUSED)]
    answer = run(steady(VPC, A, flow_log("fl-1")), {"fl-1": parts}, together=False)
    assert answer.penalties() == {"eni-a": REJECTED}
    assert answer.coverage["fl-1"]["rejects_by_reason"] == [("wrong_field_count", 2)]


def test_direction_of_the_default_format_by_any_address_of_the_interface() -> None:
    """v2 shows IPv6 addresses as they are: the book knows them as eni-b's, though the primary is another."""
    six = eni("eni-b", "10.0.0.2", "2600:1f18::2", prefixes=["2600:1f18:0:0:8000::/80"])
    inventory = steady(vpc("vpc-1", "10.0.0.0/16", "2600:1f18::/56"), six, flow_log("fl-1"))
    log = lines(
        PLAIN,
        """
        eni-b 2600:1f18::2 2600:1f18::9 50000 443 6 100 10:01:00 10:01:59 ACCEPT OK
        eni-b 2600:1f18:0:0:8000::5 2600:1f18::9 50001 443 6 10 10:01:00 10:01:59 ACCEPT OK
        """,
    )
    answer = run(inventory, {"fl-1": log})
    assert answer.show("client_addr", "client_interface_id", "client_attribution", "flags") == [
        ("2600:1f18::2", "eni-b", "interface", []),
        ("2600:1f18::8000:0:0:5", "eni-b", "interface", []),
    ]


def test_fields_a_format_lacks_are_named() -> None:
    bare = lines("interface-id srcaddr dstaddr bytes start", "eni-a 10.0.0.1 93.184.216.34 100 10:01:00")
    answer = run(steady(VPC, A, flow_log("fl-1"), flow_log("fl-2")), {"fl-1": bare, "fl-2": lines(FLAGS, f"{ONE} 2")})
    assert answer.coverage["fl-1"]["format_lacks"] == [
        "action", "dstport", "end", "flow_direction", "log_status", "packets", "pkt_dstaddr", "pkt_srcaddr", "protocol",
        "srcport", "tcp_flags", "traffic_path", "vpc_id",
    ]  # fmt: skip
    assert "tcp_flags" not in answer.coverage["fl-2"]["format_lacks"]
    # What a bare record does not say is not made up: no port, no role, no action, no packets.
    columns = (
        "client_addr",
        "server_addr",
        "server_port",
        "action",
        "uploaded",
        "roles_by",
        "packets_up",
        "connections_opened",
    )
    assert answer.show(*columns, uploaded=100, action="UNKNOWN") == [
        ("10.0.0.1", "93.184.216.34", None, "UNKNOWN", 100, "unknown", None, None)
    ]


def test_an_interface_that_changed_before_it_was_deleted_lacks_nothing_after_its_end() -> None:
    """eni-b told of each minute until its deletion at 10:20; its tags had changed at 10:05."""
    quiet = "\n".join(f"eni-b - - - - - - 10:{at:02d}:00 10:{at:02d}:59 - NODATA" for at in range(20))
    known = [VPC, flow_log("fl-b", interval=60)]
    changed = event("10:05:00", {"kind": "tags", "entity_id": "eni-b"}, tags={"a": "2"})
    inventory = [*sweep("09:00", *known, B), changed, gone("10:20:00", "eni-b"), *sweep("12:00", *known)]
    assert run(inventory, {"fl-b": lines(PLAIN, quiet)}).penalties() == {"eni-b": 0}


def test_nodata_lines_do_not_tell_what_a_format_lacks() -> None:
    """Records as objects of a writer that leaves out what is null: eni-b is silent, and so has no addresses."""
    data = dict(zip(FLAGS.split(), lines(FLAGS, f"{ONE} 2").splitlines()[1].split(), strict=True))
    silent = {"interface-id": "eni-b", "start": data["start"], "end": data["end"], "log-status": "NODATA"}
    answer = run(steady(VPC, A, B, flow_log("fl-1")), {"fl-1": f"{json.dumps(data)}\n{json.dumps(silent)}"})
    coverage = answer.coverage["fl-1"]
    assert (coverage["records"], coverage["nodata"]) == (1, 1)
    assert coverage["format_lacks"] == [
        "flow_direction", "packets", "pkt_dstaddr", "pkt_srcaddr", "traffic_path", "vpc_id",
    ]  # fmt: skip
