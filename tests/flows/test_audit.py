"""The audit: each expectation can fail, and says of how many rows and with which examples."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flowlake.flows import audit as audit_module
from flowlake.flows.audit import (
    BETWEEN,
    IN_SET,
    KEEPS,
    NOT_NULL,
    UNIQUE,
    AuditFailed,
    BadSuite,
    Suite,
    _as_frame,
    _condition,
    _failing,
    _hold,
    _miscounted,
    _misshapen,
    audit_run,
    suite,
)
from flowlake.flows.audit_digest import Bucket, Digest, digest_file, digest_rows, merged, repeated
from flowlake.flows.audit_rules import RULES, Scope, computed
from flowlake.flows.publish import PUBLISHED, files_written
from flowlake.flows.schemas import arrow_schema, hive_type
from flowlake.lake import places
from flowlake.lake.contracts import contract, tables
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectStore, open_store

HOUR = Hour.parse("2026-01-01T00")
SCOPE = Scope(HOUR, 300)
RUN = "20260101T011500000000-0123abcd"


def at(minute: float) -> datetime:
    return HOUR.moment + timedelta(minutes=minute)


GOOD: dict[str, dict[str, Any]] = {
    "conversations": {
        "window_start": at(5),
        "started_at": at(6),
        "ended_at": at(7),
        "protocol": 6,
        "server_port": 443,
        "action": "ACCEPT",
        "leg": "direct",
        "uploaded": 100,
        "downloaded": 20,
        "client_attribution": "interface",
        "client_interface_id": "eni-1",
        "server_attribution": "none",
        "roles_by": "handshake",
        "reporter": ["eni-1"],
        "flags": [],
        "conversation_id": "00",
        "records": 1,
    },
    "coverage": {
        "flow_log_id": "fl-1",
        "account_id": "111122223333",
        "region": "us-east-1",
        "format_lacks": [],
        "stale_inventory": False,
        **{c.name: 0 for c in contract("coverage").columns if c.type == "bigint" and c.required},
    },
    "rejects": {"object": "raw/a.log.gz", "line": 1, "reason": "bad_action", "text": "x"},
    "address_book": {
        "subject": "address",
        "addr": "10.0.0.1",
        "interface_id": "eni-1",
        "valid_from": at(0),
        "valid_to": at(30),
        "last_seen_at": at(30),
        "from_source": "event",
        "to_source": "event",
    },
}

BREAKS: dict[tuple[str, str, str], dict[str, Any]] = {
    ("conversations", NOT_NULL, "protocol"): {"protocol": None, "server_port": None},
    ("conversations", BETWEEN, "protocol"): {"protocol": 256, "server_port": None},
    ("conversations", BETWEEN, "server_port"): {"server_port": 65_536},
    ("conversations", BETWEEN, "records"): {"records": 0},
    ("conversations", IN_SET, "path_via"): {"path_via": "carrier_pigeon", "path_source": "record"},
    ("conversations", IN_SET, "path_source"): {"path_via": "peering", "path_source": "guess"},
    ("conversations", IN_SET, "window_is_of_the_hour"): {
        "window_start": at(60),
        "started_at": at(61),
        "ended_at": at(62),
    },
    ("conversations", IN_SET, "starts_in_its_window"): {"started_at": at(10), "ended_at": at(11)},
    ("conversations", IN_SET, "ends_after_it_starts"): {"ended_at": at(5)},
    ("conversations", IN_SET, "unknown_client_has_no_interface"): {"client_attribution": "none"},
    ("conversations", IN_SET, "unknown_server_has_no_interface"): {"server_interface_id": "eni-2"},
    ("conversations", IN_SET, "held_client_has_an_interface"): {
        "client_attribution": "interval",
        "client_interface_id": None,
    },
    ("conversations", IN_SET, "held_server_has_an_interface"): {"server_attribution": "attested"},
    ("conversations", IN_SET, "path_says_what_it_rests_on"): {"path_via": "peering"},
    ("conversations", IN_SET, "port_belongs_to_the_protocol"): {"protocol": 1, "server_port": 0},
    ("conversations", IN_SET, "zones_compared_were_known"): {"cross_az": False, "client_az_id": "use1-az1"},
    ("coverage", BETWEEN, "objects_torn"): {"objects_torn": -1},
    ("coverage", IN_SET, "torn_objects_were_read"): {"objects_torn": 1},
    ("rejects", BETWEEN, "line"): {"line": 0},
    ("rejects", IN_SET, "text_is_cut"): {"text": "x" * 1001},
    ("address_book", IN_SET, "begins_before_it_ends"): {"valid_to": at(0), "last_seen_at": at(0)},
    ("address_book", IN_SET, "seen_while_it_held"): {"last_seen_at": at(31)},
    ("address_book", IN_SET, "names_its_subject"): {"addr": None},
}
"""How a good row is changed to break one expectation and no other, where nothing simpler does."""

EACH = [(t, e["type"], e["kwargs"]["column"]) for t in PUBLISHED for e in suite(t).expectations if e["type"] != UNIQUE]


def breaking(table: str, expectation: str, column: str) -> dict[str, Any]:
    """A row that breaks just this expectation."""
    plain = {NOT_NULL: None, IN_SET: "something else", BETWEEN: -1}[expectation]
    row = GOOD[table] | BREAKS.get((table, expectation, column), {column: plain})
    assert row != GOOD[table]
    return row


def rows_of(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=arrow_schema(contract(table)))


def write(store: ObjectStore, table: str, *files: pa.Table) -> None:
    for number, rows in enumerate(files):
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        store.put(f"{places.run_folder(table, HOUR, RUN)}part-{number}.parquet", sink.getvalue().to_pybytes())


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """A lake with a run that passes: two files of conversations, no file of rejects."""
    store = open_store(tmp_path)
    first = [GOOD["conversations"] | {"conversation_id": f"{i:032x}"} for i in range(50)]
    second = [GOOD["conversations"] | {"conversation_id": f"{i:032x}", "leg": "hop"} for i in range(50, 80)]
    write(store, "conversations", rows_of("conversations", first), rows_of("conversations", second))
    write(store, "coverage", rows_of("coverage", [GOOD["coverage"], GOOD["coverage"] | {"flow_log_id": None}]))
    write(store, "address_book", rows_of("address_book", [GOOD["address_book"]]))
    return store


# ---- a whole run -----------------------------------------------------------------------------------------------------


@pytest.mark.spark
def test_a_good_run_passes_and_says_what_was_read_back(spark: Any, store: ObjectStore) -> None:
    rows = {"conversations": 80, "coverage": 2, "rejects": 0, "address_book": 1}
    legs = {"direct": 50 * 120, "hop": 30 * 120}
    audited = audit_run(spark, store, HOUR, RUN, files_written(store, HOUR, RUN), rows, 300, legs)
    assert audited.rows == rows
    assert audited.bytes_by_leg == legs
    assert audited.expectations == {table: len(suite(table).expectations) for table in PUBLISHED}


@pytest.mark.spark
def test_a_failure_says_which_expectations_of_how_many_rows_with_examples(
    spark: Any, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "buckets_for", lambda size: 3)  # as of a large hour
    good = GOOD["conversations"]
    sideways = [good | {"conversation_id": f"f{i}", "leg": "sideways\x1b[31m"} for i in range(7)]
    again = [good | {"conversation_id": f"{i:032x}"} for i in (1, 60, 99)]  # 1 and 60 lie in the other files
    ruled = [good | {"conversation_id": "e0", "path_via": "peering"}]
    folder = places.run_folder("conversations", HOUR, RUN)
    store.put(f"{folder}part-9.parquet", _parquet(rows_of("conversations", sideways + again + ruled)))
    write(store, "coverage", rows_of("coverage", [GOOD["coverage"]] * 2))
    write(store, "rejects", rows_of("rejects", [GOOD["rejects"] | {"reason": "boredom"}]))
    with pytest.raises(AuditFailed) as caught:
        audit_run(spark, store, HOUR, RUN, files_written(store, HOUR, RUN))
    told = {(f.table, f.expectation, f.column): f for f in caught.value.findings}
    assert {key: f.unexpected_rows for key, f in told.items()} == {
        ("rejects", IN_SET, "reason"): 1,
        ("coverage", UNIQUE, "flow_log_key"): 2,
        ("conversations", IN_SET, "leg"): 7,
        ("conversations", IN_SET, "path_says_what_it_rests_on"): 1,
        ("conversations", UNIQUE, "conversation_id"): 4,  # two ids, each on two rows
    }
    examples = {key[2]: [json.loads(e) for e in f.examples] for key, f in told.items()}
    assert len(examples["leg"]) == 5
    assert examples["leg"][0]["leg"] == "sideways\x1b[31m"
    assert {e["conversation_id"] for e in examples["conversation_id"]} == {f"{i:032x}" for i in (1, 60)}
    assert examples["path_says_what_it_rests_on"] == [
        {"conversation_id": "e0", "path_via": "peering", "path_source": None}
    ]
    text = str(caught.value)
    assert f"hour 2026-01-01T00: run {RUN} failed its audit" in text
    assert "conversations: expect_column_values_to_be_in_set(leg) failed on 7 rows. Totals name the legs" in text
    assert "\x1b" not in text, "what is untrusted is escaped"


# ---- what the run says, and how its files look -----------------------------------------------------------------------


def digests_of(store: ObjectStore) -> dict[str, Digest]:
    found = {table: [f.key for f in files] for table, files in files_written(store, HOUR, RUN).items()}
    keeps = {table: suite(table).keeps for table in PUBLISHED}
    return {t: merged([digest_file(store, k, t, keeps[t], SCOPE) for k in keys], keeps[t]) for t, keys in found.items()}


def test_what_was_read_back_must_be_what_was_said(store: ObjectStore) -> None:
    digests, rows = digests_of(store), {"conversations": 80, "coverage": 2, "rejects": 0, "address_book": 1}
    assert list(_miscounted(digests, None, None)) == []
    assert list(_miscounted(digests, rows, {"direct": 6000, "hop": 3600})) == []
    assert [str(f) for f in _miscounted(digests, rows | {"conversations": 81}, {"direct": 6000, "hop": 3601})] == [
        "conversations: rows(*) failed on 1 rows. The run says that it wrote 81 rows, 80 were read back.",
        "conversations: bytes(hop) failed on 0 rows. "
        "The run says that it published 3601 bytes on leg hop, 3600 were read back.",
    ]


def test_files_must_have_the_contracts_columns(store: ObjectStore) -> None:
    assert list(_misshapen(digests_of(store))) == []
    rows = rows_of("conversations", [GOOD["conversations"]])
    odd = rows.set_column(3, "protocol", rows["protocol"].cast(pa.int64())).drop_columns(["records"])
    folder = places.run_folder("conversations", HOUR, RUN)
    store.put(f"{folder}part-9.parquet", _parquet(odd))
    bucket = Bucket("conversations", "conversation_id", [f"{folder}part-9.parquet"], 0, 1)
    assert list(bucket.values(store, SCOPE)) == []
    (finding,) = _misshapen(digests_of(store))
    assert (finding.expectation, finding.column) == ("columns", "protocol, records")
    assert finding.examples == ("protocol bigint",)


@pytest.mark.parametrize(
    ("seconds", "broken"),
    [(300, set()), (60, {"starts_in_its_window"}), (3600, {"window_is_of_the_hour"})],
)
def test_a_window_of_another_length_is_another_grid(seconds: int, broken: set[str]) -> None:
    rows = rows_of("conversations", [GOOD["conversations"]])  # window from minute 5, begun in minute 6
    digest = digest_rows(rows, "conversations", suite("conversations").keeps, Scope(HOUR, seconds))
    assert {e["kwargs"]["column"] for e in _failing(suite("conversations"), digest)} == broken


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return bytes(sink.getvalue().to_pybytes())


# ---- the suites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", PUBLISHED)
def test_a_suite_asks_for_all_that_its_contract_requires(table: str) -> None:
    columns = contract(table).columns
    asked = {(e["type"], e["kwargs"]["column"]) for e in suite(table).expectations}
    assert {(NOT_NULL, column.name) for column in columns if column.required} <= asked
    assert {(IN_SET, column.name) for column in columns if column.values} <= asked
    assert len(asked) == len(suite(table).expectations), "no expectation is there twice"
    rules = {column for _, column in asked} - set(contract(table).column_names)
    assert rules == set(RULES[table]), "every rule is asked for"


def failing_of(table: str, rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    digest = digest_rows(rows_of(table, rows), table, suite(table).keeps, SCOPE)
    return {(e["type"], e["kwargs"]["column"]) for e in _failing(suite(table), digest)}


@pytest.mark.parametrize("table", PUBLISHED)
def test_good_rows_pass(table: str) -> None:
    assert failing_of(table, [GOOD[table]]) == set()
    assert failing_of(table, []) == set()


@pytest.mark.parametrize("table", PUBLISHED)
def test_every_expectation_can_fail(table: str) -> None:
    every = {(expectation, column) for t, expectation, column in EACH if t == table}
    assert failing_of(table, [GOOD[table], *(breaking(table, *one) for one in sorted(every))]) == every


@pytest.mark.parametrize(("table", "expectation", "column"), EACH)
def test_every_expectation_fails_alone(table: str, expectation: str, column: str) -> None:
    rows = computed(rows_of(table, [breaking(table, expectation, column)]), table, list(RULES[table]), SCOPE)
    conditions = {(e["type"], e["kwargs"]["column"]): _condition(suite(table), e, {}) for e in suite(table).of(*KEEPS)}
    broken = {key for key, condition in conditions.items() if condition.broken(rows[condition.column])[0].as_py()}
    if (table, column, expectation) == ("coverage", "objects", BETWEEN):
        broken.remove((IN_SET, "torn_objects_were_read"))  # no number of torn ones is at most -1 and at least 0
    assert broken == {(expectation, column)}


def test_zones_of_two_regions_need_not_be_known() -> None:
    row = GOOD["conversations"] | {"cross_region": True, "cross_az": False}
    assert failing_of("conversations", [row]) == set()


def test_a_suite_that_asks_for_what_the_audit_can_not_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(expectation: dict[str, Any]) -> None:
        monkeypatch.setattr(json, "loads", lambda text: {"expectations": [expectation]})
        suite.__wrapped__("address_book")

    good = {"type": NOT_NULL, "kwargs": {"column": "addr"}, "meta": {"reason": "Why."}}
    of(good)
    for change, says in (
        ({"type": "expect_column_values_to_be_nice"}, "can't do expect_column_values_to_be_nice as it is said of addr"),
        ({"kwargs": {"column": "addr", "mostly": 0.9}}, "can't do expect_column_values_to_not_be_null"),
        ({"kwargs": {"column": "adr"}}, "speaks of adr, which is no column and no rule"),
        ({"meta": {}}, "has no reason"),
    ):
        with pytest.raises(BadSuite, match=says):
            of(good | change)


def test_an_expectation_that_great_expectations_drops_is_noticed() -> None:
    frame = _as_frame(Digest(1, kept={"leg": pa.array(["hop"])}))
    unknown = {"type": "expect_column_values_to_be_nice", "kwargs": {"column": "leg"}, "meta": {"reason": "x"}}
    with pytest.raises(BadSuite, match="1 expectations of conversations were asked for, 0 evaluated"):
        _hold(frame, suite("conversations"), [unknown])


def test_an_expectation_that_can_not_be_evaluated_is_no_failure_of_the_rows() -> None:
    frame = _as_frame(Digest(1, kept={"leg": pa.array(["hop"])}))
    limits = {"type": BETWEEN, "kwargs": {"column": "uploaded", "min_value": 0}, "meta": {"reason": "x"}}
    with pytest.raises(BadSuite, match="could not be evaluated"):
        _hold(frame, suite("conversations"), [limits])


# ---- the digest ------------------------------------------------------------------------------------------------------

SMALL = Suite(
    "rejects",
    tuple(
        {"type": type_, "kwargs": {"column": column} | more, "meta": {"reason": "x"}}
        for type_, column, more in (
            (NOT_NULL, "object", {}),
            (NOT_NULL, "line", {}),
            (NOT_NULL, "reason", {}),
            (BETWEEN, "line", {"min_value": 1, "max_value": 9}),
            (IN_SET, "reason", {"value_set": {"$PARAMETER": "reason_values"}}),
            (IN_SET, "text_is_cut", {"value_set": [True]}),
        )
    ),
    {"reason_values": ["a", "b"]},
)
ROW = st.fixed_dictionaries(
    {
        "object": st.sampled_from(["o", "o", "o", None]),
        "line": st.sampled_from([1, 5, 9, 1, 5, 9, 0, 10, None, 2**60]),
        "reason": st.sampled_from(["a", "b", "a", "b", "c", None]),
        "text": st.sampled_from(["", "x" * 1000, "x" * 1001, None]),
    }
)


@given(files=st.lists(st.lists(ROW, max_size=4), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_holds_of_the_digest_holds_of_the_rows_and_the_other_way_round(files: list[list[dict[str, Any]]]) -> None:
    digests = [digest_rows(rows_of("rejects", rows), "rejects", SMALL.keeps, SCOPE) for rows in files]
    digest = merged(digests, SMALL.keeps)
    rows = [row | {"text_is_cut": len(row["text"] or "") <= 1000} for rows in files for row in rows]
    on_digest = {(e["type"], e["kwargs"]["column"]) for e in _failing(SMALL, digest)}
    counted = {}
    for e in SMALL.of(*KEEPS):
        condition = _condition(SMALL, e, {})
        broken = [
            condition.broken(computed(rows_of("rejects", f), "rejects", ["text_is_cut"], SCOPE)[condition.column])
            for f in files
        ]
        counted[e["type"], e["kwargs"]["column"]] = sum(mask.to_pylist().count(True) for mask in broken)
    assert {key for key, count in counted.items() if count} == on_digest, "what fails is what has rows to show"
    if rows:
        import pandas as pd

        frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
        held = zip(SMALL.of(*KEEPS), _hold(frame, SMALL, SMALL.of(*KEEPS)), strict=True)
        on_rows = {(e["type"], e["kwargs"]["column"]) for e, holds in held if not holds}
        assert on_digest == on_rows
    else:
        assert on_digest == set()


def test_a_column_of_many_values_still_breaks_its_set() -> None:
    rows = [GOOD["rejects"] | {"reason": f"made up {i}"} for i in range(5000)]
    digest = digest_rows(rows_of("rejects", [*rows, GOOD["rejects"] | {"reason": None}]), "rejects", SMALL.keeps, SCOPE)
    assert len(digest.kept["reason"]) == 1000
    assert digest.kept["reason"].null_count == 1
    assert {(e["type"], e["kwargs"]["column"]) for e in _failing(SMALL, digest)} == {
        (NOT_NULL, "reason"),
        (IN_SET, "reason"),
    }


IDS = st.integers(0, 40).map(lambda n: f"{n:02x}" * 16)  # as conversations have them


@given(st.lists(IDS, max_size=30) | st.lists(IDS | st.text("ab01", max_size=3), max_size=30), st.integers(1, 4))
@example(["00" * 16, "01" * 16, "00" * 16], 1)
@example(["0G" * 16, "0G" * 16], 1)
@example(["ab" * 16, "AB" * 16], 1)
@settings(max_examples=30, deadline=None)
def test_equal_values_meet_in_one_bucket(values: list[str], buckets: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        rows = rows_of("rejects", [GOOD["rejects"] | {"text": value} for value in [*values, None]])
        names = ["a", "b"]
        for name, part in zip(names, (rows.slice(0, 7), rows.slice(7)), strict=True):
            store.put(name, _parquet(part))
        every = [Bucket("rejects", "text", names, number, buckets) for number in range(buckets)]
        met = [[v for array in bucket.values(store, SCOPE) for v in array.to_pylist()] for bucket in every]
        found = [repeated(bucket, store, SCOPE) for bucket in every]
    assert sorted(value for values_of_one in met for value in values_of_one) == sorted(values)
    several = {value for value in values if values.count(value) > 1}
    assert sum(rows for rows, _ in found) == sum(values.count(value) for value in several)
    assert sorted(value for _, some in found for value in some) == sorted(several)


@pytest.mark.parametrize("table", tables())
def test_types_come_back_from_arrow_as_the_contract_says_them(table: str) -> None:
    for column in contract(table).columns:
        assert hive_type(arrow_schema(contract(table)).field(column.name).type) == column.type
    assert hive_type(pa.dictionary(pa.int32(), pa.string())) == "string"
    assert hive_type(pa.float32()) == "float"


def test_telemetry_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    audit_module._great_expectations()
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
