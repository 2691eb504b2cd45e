"""The steps on objects as they come: late, repeated, torn, of two hours, and what is no flow log; every byte
accounted for."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows import coverage, present, steps
from flowlake.flows.endpoints import TagSettings, states_table
from flowlake.flows.objects import RawObject, source_of
from flowlake.flows.observed import Sweeps
from flowlake.flows.parcels import pack, unpack
from flowlake.flows.schemas import arrow_schema
from flowlake.lake.contracts import contract
from tests.flows.worked import ACCOUNT, HOUR, PLAIN, REGION, Memory, eni, flow_log, key_of, lines, run, steady, vpc

VPC, A = vpc("vpc-1", "10.0.0.0/16"), eni("eni-a", "10.0.0.1")
INVENTORY = steady(VPC, A, flow_log("fl-1"))
BYTES = (
    "objects",
    "records",
    "bytes",
    "nodata",
    "skipdata",
    "rejects",
    "stray_records",
    "stray_bytes",
    "counted_bytes",
)


def sent(size: int, at: str) -> str:
    return f"eni-a 10.0.0.1 93.184.216.34 50000 443 6 {size} {at} {at} ACCEPT OK"


def told(answer: object, flow_log_id: str = "fl-1") -> dict:
    row = answer.coverage[flow_log_id]  # type: ignore[attr-defined]
    return {name: row[name] for name in BYTES if row[name]}


def test_an_object_with_records_of_two_hours_gives_each_its_own() -> None:
    """1 byte before the hour, 10 in its first second, 100 in its last, 1000 after it."""
    text = lines(
        PLAIN, "\n".join([sent(1, "09:59:59"), sent(10, "10:00:00"), sent(100, "10:59:59"), sent(1000, "11:00:00")])
    )
    ten, eleven, nine = (run(INVENTORY, {"fl-1": text}, hour=HOUR.plus(n)) for n in (0, 1, -1))
    assert told(ten) == {
        "objects": 1,
        "records": 2,
        "bytes": 110,
        "stray_records": 2,
        "stray_bytes": 1001,
        "counted_bytes": 110,
    }
    assert (told(nine)["bytes"], told(eleven)["bytes"]) == (1, 1000)


def test_a_late_object_adds_to_its_hour() -> None:
    """The same hour made twice, the second time with an object that came late: the rows are those of both."""
    early, late = lines(PLAIN, sent(10, "10:01:00")), lines(PLAIN, sent(5, "10:01:30"))
    first, again = run(INVENTORY, {"fl-1": early}), run(INVENTORY, {"fl-1": [early, late]})
    assert first.show("uploaded") == [(10,)]
    assert again.show("uploaded", "records") == [(15, 2)]
    ids = first.show("conversation_id"), again.show("conversation_id")
    assert ids[0] == ids[1]


def test_equal_records_are_legitimate_and_never_dropped() -> None:
    same = lines(PLAIN, "\n".join([sent(10, "10:01:00")] * 3))
    assert run(INVENTORY, {"fl-1": same}).show("uploaded", "records") == [(30, 3)]


def test_a_torn_object_gives_up_its_good_part_and_one_reject() -> None:
    whole = gzip.compress(lines(PLAIN, "\n".join(sent(1, "10:01:00") for _ in range(5000))).encode(), mtime=0)
    answer = run(INVENTORY, {"fl-1": whole[: len(whole) // 2]})
    covered = answer.coverage["fl-1"]
    assert covered["objects_torn"] == 1
    assert covered["rejects_by_reason"] == [("torn_gzip", 1)]
    assert 0 < covered["records"] < 5000
    assert covered["counted_bytes"] == covered["records"] == answer.rows[0]["uploaded"]


def test_what_is_no_flow_log_is_named_and_spoils_what_it_should_have_been() -> None:
    answer = run(INVENTORY, {"fl-1": [lines(PLAIN, sent(10, "10:01:00")), b"\x00\x01 this is something else\n"]})
    assert answer.coverage["fl-1"]["rejects"] == 1
    assert [(r["reason"], r["account_id"], r["region"], r["flow_log_id"], r["line"]) for r in answer.rejects] == [
        (answer.rejects[0]["reason"], ACCOUNT, REGION, "fl-1", None)
    ]
    assert answer.penalties()["eni-a"] == 4
    assert answer.show("uploaded", "flags") == [(10, ["partial_reporter"])]


def test_rejects_are_listed_in_the_hour_of_the_objects_name_only() -> None:
    """An object of 11:25 lies in reach of the hour 10 too: it is read, its reject is the hour 11's to list."""
    key = key_of("fl-1", HOUR.plus(1), 4)
    logs = {key: lines(PLAIN, sent(10, "10:59:00")) + "half a line\n"}
    ten, eleven = run(INVENTORY, logs), run(INVENTORY, logs, hour=HOUR.plus(1))
    assert (ten.coverage["fl-1"]["rejects"], len(ten.rejects)) == (0, 0)
    assert (eleven.coverage["fl-1"]["rejects"], len(eleven.rejects)) == (1, 1)


def test_records_without_a_start_belong_to_no_hour_and_are_rejects() -> None:
    answer = run(
        INVENTORY,
        {"fl-1": "interface-id srcaddr dstaddr bytes\neni-a 10.0.0.1 10.0.0.2 5\neni-a 10.0.0.1 10.0.0.2 6\n"},
    )
    assert answer.rows == []
    assert answer.coverage["fl-1"]["rejects_by_reason"] == [("no_start", 2)]
    assert {"start", "end", "action"} <= set(answer.coverage["fl-1"]["format_lacks"])


def test_a_record_that_says_no_start_is_a_reject_and_one_that_says_no_end_ends_as_it_begins() -> None:
    text = """
    eni-a 10.0.0.1 10.0.0.2 40000 443 6 5 10:01:00 10:01:59 ACCEPT OK
    eni-a 10.0.0.1 10.0.0.2 40000 443 6 70 - 10:01:59 ACCEPT OK
    eni-a 10.0.0.1 10.0.0.2 40000 443 6 900 10:02:30 - ACCEPT OK
    eni-a - - - - - - - - - NODATA
    """
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, text) + "half a line\n"})
    assert answer.show("started_at", "ended_at", "uploaded") == [("10:01:00", "10:02:30", 905)]
    covered = answer.coverage["fl-1"]
    assert covered["rejects_by_reason"] == [("no_start", 2), ("wrong_field_count", 1)]
    assert (covered["records"], covered["stray_records"], covered["max_aggregation_seconds"]) == (2, 0, 59)


def test_a_protocol_or_port_that_is_not_told_is_null() -> None:
    """'-' is null, never zero: protocol 0 is one, and port 0 none. In a line, and where the format lacks both."""
    dashes = "eni-a 10.0.0.1 93.184.216.34 - - - 5 10:01:00 10:01:30 ACCEPT OK"
    hop_by_hop = "eni-a 10.0.0.1 93.184.216.34 0 0 0 6 10:01:00 10:01:30 ACCEPT OK"
    no_port = "eni-a 10.0.0.1 93.184.216.34 - - 6 7 10:01:00 10:01:30 ACCEPT OK"
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, "\n".join([dashes, hop_by_hop, no_port]))})
    assert answer.show("uploaded", "protocol", "server_port") == [(5, None, None), (6, 0, None), (7, 6, None)]
    lacking = "interface-id srcaddr dstaddr bytes start end action"
    answer = run(INVENTORY, {"fl-1": lines(lacking, "eni-a 10.0.0.1 93.184.216.34 5 10:01:00 10:01:30 ACCEPT")})
    assert answer.show("uploaded", "protocol", "server_port") == [(5, None, None)]
    assert {"protocol", "srcport", "dstport"} <= set(answer.coverage["fl-1"]["format_lacks"])


def test_a_format_without_end_is_read_and_the_lack_is_named() -> None:
    text = "interface-id srcaddr dstaddr srcport dstport protocol packets bytes start action log-status"
    log = lines(text, "eni-a 10.0.0.1 10.0.0.2 40000 443 6 1 5 10:01:00 ACCEPT OK")
    answer = run(INVENTORY, {"fl-1": log})
    assert answer.show("started_at", "ended_at", "uploaded") == [("10:01:00", "10:01:00", 5)]
    assert "end" in answer.coverage["fl-1"]["format_lacks"]


def test_an_hour_without_traffic_has_coverage_and_no_conversations() -> None:
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, "eni-a - - - - - - 10:00:00 10:00:59 - NODATA")})
    assert answer.rows == []
    assert told(answer) == {"objects": 1, "nodata": 1}
    assert answer.coverage["fl-1"]["max_aggregation_seconds"] is None


def test_nothing_at_all_is_no_error() -> None:
    answer = run(INVENTORY, {})
    assert (answer.rows, answer.coverage) == ([], {})


def test_the_inventory_of_an_unknown_region_is_stale_where_any_that_it_may_be_is() -> None:
    """Account 1 was swept in two regions, one of them long ago; account 2 in one, lately."""
    old, new, other = ("1", "eu-west-1"), ("1", "us-east-1"), ("2", "us-east-1")
    sweeps = Sweeps(accounts={old, new, other}, stale={old})
    asked = [new, old, ("1", "unknown"), ("2", "unknown"), ("3", "unknown"), ("unknown", "unknown")]
    assert [coverage._is_stale(sweeps, *one) for one in asked] == [False, True, True, False, True, True]
    assert not coverage._is_stale(Sweeps(accounts={other}), "unknown", "unknown")


def test_bytes_that_do_not_add_up_are_told() -> None:
    answer = run(INVENTORY, {"fl-1": lines(PLAIN, sent(10, "10:01:00"))})
    good = answer.reconciliation
    for wrong in (
        coverage.Reconciliation(11, good.raw_records, good.bytes_by_fate, good.records_by_fate, good.published),
        coverage.Reconciliation(good.raw_bytes, 2, good.bytes_by_fate, good.records_by_fate, good.published),
        coverage.Reconciliation(
            good.raw_bytes, good.raw_records, good.bytes_by_fate, good.records_by_fate, {"direct": 9}
        ),
        coverage.Reconciliation(
            good.raw_bytes, good.raw_records, good.bytes_by_fate, good.records_by_fate, {**good.published, "hop": 1}
        ),
    ):
        with pytest.raises(coverage.NotReconciled, match="does not reconcile"):
            wrong.check()


def test_counts_are_added_by_source() -> None:
    parts = [{"0": {"counted_bytes": 1}}, {"0": {"counted_bytes": 2, "hop_bytes": 5}, "1": {"counted_bytes": 7}}]
    assert steps.merge_counts(parts) == {0: {"counted_bytes": 3, "hop_bytes": 5}, 1: {"counted_bytes": 7}}


@given(
    st.dictionaries(
        st.text("ab", min_size=1, max_size=3),
        st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=5),
        max_size=3,
    )
)
def test_parcels_are_unpacked_as_they_were_packed(tables: dict[str, list]) -> None:
    packed = {
        name: pa.table({"x": pa.array(values, pa.string()), "n": pa.array(range(len(values)), pa.int64())})
        for name, values in tables.items()
    }
    assert unpack(pack(packed)) == packed


def test_rows_that_differ_in_their_measures_alone_are_added_up() -> None:
    """Nulls and texts in the keys stay as they are."""
    rows = pa.table(
        {
            "who": pa.array([1, 1, 2], pa.int32()),
            "label": pa.array(["x", "x", None]).dictionary_encode(),
            "bytes": [1, 2, 4],
            "packets": [1, 1, 1],
            "records": [1, 1, 1],
            "opened": [0, 1, 0],
            "first": [10, 5, 7],
            "last": [11, 6, 8],
        }
    )
    added = sorted(steps.add_up(rows).to_pylist(), key=lambda row: row["who"])
    assert added == [
        {"who": 1, "label": "x", "bytes": 3, "packets": 2, "records": 2, "opened": 1, "first": 5, "last": 11},
        {"who": 2, "label": None, "bytes": 4, "packets": 1, "records": 1, "opened": 0, "first": 7, "last": 8},
    ]


def test_conversations_fill_files_of_plain_columns_that_are_each_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three windows of one pair: a row group each, in one file. And both pairs, each in a bucket of its own: a file
    each where one conversation fills it."""
    pair = [f"eni-a 10.0.0.1 93.184.216.34 50000 443 6 10 10:{m}:00 10:{m}:09 ACCEPT OK" for m in ("11", "01", "06")]
    other = "eni-a 10.0.0.1 8.8.8.8 50000 53 17 10 10:01:00 10:01:09 ACCEPT OK"
    monkeypatch.setattr(present, "ROWS_A_GROUP", 1)
    monkeypatch.setattr(steps, "CONVERSATIONS_A_FILE", 1)
    text, store, task, key = lines(PLAIN, "\n".join([*pair, other])), Memory(), steps.Task(HOUR, 300), key_of("fl-1")
    answer = run(INVENTORY, {"fl-1": text})
    store.put(key, gzip.compress(text.encode()))
    read = RawObject(key, "etag", 1, HOUR.moment, source_of(key))
    gathered = steps.gather([read], store, answer.world.lookup, task)  # type: ignore[arg-type]
    sums = [payload for _, kind, payload in gathered if kind == steps.SUMS]
    parcels = [(bucket, payload) for bucket, _, payload in steps.attribute(sums, answer.world, 8)]
    assert len({bucket for bucket, _ in parcels}) == 2
    states = states_table(answer.book)
    told = [
        json.loads(payload)
        for _, _, payload in steps.converse(
            parcels,
            answer.world,
            states,
            TagSettings(),
            task,
            store,
            "out/",
            7,  # type: ignore[arg-type]
        )
    ]
    assert [part["key"] for part in told] == ["out/part-00007-00.zstd.parquet", "out/part-00007-01.zstd.parquet"]
    files = [pq.ParquetFile(pa.BufferReader(store.held[part["key"]])) for part in told]
    assert sorted(file.metadata.num_row_groups for file in files) == [part["rows"] for part in told] == [1, 3]
    for file in files:
        assert file.schema_arrow.equals(arrow_schema(contract("conversations")))
        windows = file.read(["window_start"])["window_start"].to_pylist()
        assert windows == sorted(windows)
    assert sum(part["published"]["direct"] for part in told) == 40
