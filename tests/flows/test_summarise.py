"""The inner loop: sums of records by connection, slot and reporter; the same whatever the blocks and their order."""

from __future__ import annotations

import random
from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flowlake.flows.summarise as summarise
from flowlake.flows.book import build
from flowlake.flows.evidence import examine
from flowlake.flows.lookup import compile_book
from flowlake.flows.read import read_blocks
from flowlake.flows.summarise import Source, Summary, slot_seconds
from flowlake.flows.sums import BEFORE, NO_PROTOCOL
from tests.flows.worked import FLAGS, HOUR, PLAIN, eni, flow_log, lines, run, seconds, steady, vpc

LOG = Source("fl-1", "111111111111", "us-east-1")


def summed(*texts: str, block_bytes: int = 1 << 20, window: int = 300) -> Summary:
    import io

    summary = Summary(HOUR, window)
    for text in texts:
        for block in read_blocks(io.BytesIO(text.encode()), "x", columns=summarise.COLUMNS, block_bytes=block_bytes):
            summary.add(LOG, block.records, block.fields, block.kind == "transit_gateway")
    return summary


def plain(summary: Summary, *names: str) -> list[tuple]:
    """Sums with texts for codes; several rows of one key are added up, as the steps after it do."""
    lookup = compile_book(build([], HOUR.starts))
    worker = examine(summary, lookup)
    sums = worker.sums.to_pylist()
    interfaces = summary.interfaces.list()
    totals: dict[tuple, list[int]] = defaultdict(lambda: [0, 0])
    for row in sums:
        ends = [(int(worker.high[row[end]]), int(worker.low[row[end]])) for end in ("src", "dst", "pkt_src", "pkt_dst")]
        key = (interfaces[row["interface"]], *ends, *(row[name] for name in names))
        totals[key][0] += row["bytes"]
        totals[key][1] += row["records"]
    return sorted((*map(str, key), *values) for key, values in totals.items())


def test_records_of_one_connection_and_slot_are_one_sum() -> None:
    summary = summed(
        lines(
            FLAGS,
            """
            eni-a 10.0.0.1 10.0.0.2 50000 443 6 100 10:01:10 10:01:59 ACCEPT OK 2
            eni-a 10.0.0.1 10.0.0.2 50000 443 6  10 10:04:59 10:05:30 ACCEPT OK 0
            eni-a 10.0.0.1 10.0.0.2 50000 443 6   1 10:05:00 10:05:30 ACCEPT OK 3
            """,
        )
    )
    rows = summary.sums().to_pylist()
    told = sorted(
        (r["slot"], r["bytes"], r["records"], r["opened"], r["first"] - HOUR.starts, r["last"] - HOUR.starts)
        for r in rows
    )
    assert told == [(0, 110, 2, 1, 70, 330), (1, 1, 1, 1, 300, 330)]


@given(st.integers(0, 10_000), st.sampled_from([1, 200, 1 << 20]), st.integers(1, 5), st.sampled_from([60, 300, 3600]))
@settings(max_examples=30, deadline=None)
def test_sums_do_not_depend_on_blocks_or_order(seed: int, block_bytes: int, objects: int, window: int) -> None:
    rng = random.Random(seed)
    records = []
    for _ in range(rng.randint(1, 40)):
        a, b = rng.randint(1, 3), rng.randint(1, 3)
        start = HOUR.starts + rng.randint(-100, 3700)
        ports = f"{rng.choice([1, 65535])} {rng.choice([0, 443])} {rng.choice([1, 6, 255])}"
        line = f"eni-{a} 10.0.0.{a} 10.0.0.{b} {ports} {rng.randint(0, 10**12)}"
        records.append(f"{line} {start} {start + rng.randint(0, 600)} {rng.choice(['ACCEPT', 'REJECT'])} OK")
    whole = summed(lines(PLAIN, "\n".join(records)), window=window)
    shuffled = records[:]
    rng.shuffle(shuffled)
    parts = [lines(PLAIN, "\n".join(part)) for i in range(objects) if (part := shuffled[i::objects])]
    split = summed(*parts, block_bytes=block_bytes, window=window)
    names = ("srcport", "dstport", "protocol", "action", "slot", "direction")
    assert plain(whole, *names) == plain(split, *names)
    inside = [r for r in records if HOUR.starts <= int(r.split()[7]) < HOUR.ends]
    here = [row["bytes"] for row in whole.sums().to_pylist() if row["slot"] < BEFORE]
    assert sum(here) == sum(int(r.split()[6]) for r in inside) == whole.counts[0].bytes
    assert whole.counts[0].stray_records == len(records) - len(inside)


def test_null_and_lacking_fields_are_not_mistaken_for_values() -> None:
    """'-' as an address, ports and action; then a format without them. The extremes of every key field stay apart."""
    summary = summed(
        lines(
            PLAIN,
            """
            eni-a - - - - - 5 10:01:00 10:01:59 - OK
            eni-a 10.0.0.1 10.0.0.2 65535 65535 255 7 10:59:59 10:59:59 REJECT OK
            eni-a 10.0.0.1 10.0.0.2 65535 65534 255 9 10:59:59 10:59:59 ACCEPT OK
            """,
        ),
        lines("bytes start", "11 10:02:00"),
    )
    rows = [
        (r["srcport"], r["dstport"], r["protocol"], r["action"], r["slot"], r["bytes"])
        for r in summary.sums().to_pylist()
    ]
    assert sorted(rows, key=lambda r: r[-1]) == [
        (0, 0, NO_PROTOCOL, summarise.UNKNOWN_ACTION, 0, 5),
        (65535, 65535, 255, summarise.REJECT, 11, 7),
        (65535, 65534, 255, summarise.ACCEPT, 11, 9),
        (0, 0, NO_PROTOCOL, summarise.UNKNOWN_ACTION, 0, 11),
    ]


@pytest.mark.parametrize(
    "window",
    [60, 72, 75, 80, 90, 100, 120, 144, 150, 180, 200, 225, 240, 300, 360, 400, 450, 600, 720, 900, 1200, 1800, 3600],
)
def test_slots_cut_every_window_evenly(window: int) -> None:
    slot = slot_seconds(window)
    assert window % slot == 0
    assert 60 <= slot <= 300
    assert 3600 // slot <= 60


def test_a_summary_that_is_full_is_sent_on_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for few addresses the worker sends many summaries; the hour's bytes are the same."""
    a = eni("eni-a", "10.0.0.1")
    inventory = steady(vpc("vpc-1", "10.0.0.0/16"), a, flow_log("fl-1"))
    texts = [
        lines(
            PLAIN,
            "\n".join(
                f"eni-a 10.0.0.1 93.184.{part}.{n} 50000 443 6 10 10:01:00 10:01:59 ACCEPT OK" for n in range(100)
            ),
        )
        for part in range(5)
    ]
    whole = run(inventory, {"fl-1": texts})
    monkeypatch.setattr(Summary, "is_full", lambda self: len(self.addresses) > 50)
    split = run(inventory, {"fl-1": texts})
    columns = ("server_addr", "uploaded", "reporter")
    assert whole.show(*columns) == split.show(*columns)
    assert whole.coverage == split.coverage
    assert sum(row["uploaded"] for row in split.rows) == 5 * 100 * 10


def test_nodata_and_skipdata_are_counted_in_the_hour_they_begin_in() -> None:
    summary = summed(
        lines(
            PLAIN,
            """
            eni-a - - - - - - 09:59:00 10:00:30 - NODATA
            eni-a - - - - - - 10:00:00 10:00:59 - NODATA
            eni-a - - - - - - 10:59:59 11:00:59 - SKIPDATA
            eni-a 10.0.0.1 10.0.0.2 1 2 6 99 10:01:00 10:01:59 ACCEPT SKIPDATA
            eni-a - - - - - - 11:00:00 11:00:59 - SKIPDATA
            """,
        )
    )
    counts = summary.counts[0]
    # A SKIPDATA line that carries values is lost coverage all the same: its 99 bytes are no traffic.
    assert (counts.nodata, counts.skipdata, counts.records, counts.bytes, counts.stray_records) == (1, 2, 0, 0, 0)
    assert counts.stray_lines == 2
    assert pa.types.is_int64(summary.sums().schema.field("bytes").type)


def test_what_can_not_be_added_up_is_said() -> None:
    """4,097 records of a pebibyte, the most that one may have: more than 62 bits hold, in one block or in several."""
    pebibyte = "eni-a 10.0.0.1 10.0.0.2 1 2 6 1125899906842624 10:01:00 10:01:59 ACCEPT OK"
    with pytest.raises(OverflowError, match="flow log fl-1 sum up to more than"):
        summed(lines(PLAIN, "\n".join([pebibyte] * 4097)))
    half = lines(PLAIN, "\n".join([pebibyte] * 2048))
    assert summed(half, half).counts[0].bytes == 1 << 62
    with pytest.raises(OverflowError, match="damaged or forged"):
        summed(half, half, half)


def test_the_longest_record_is_known() -> None:
    summary = summed(lines(PLAIN, "eni-a 10.0.0.1 10.0.0.2 1 2 6 9 10:01:00 10:10:59 ACCEPT OK"))
    assert summary.counts[0].longest == seconds("10:10:59") - seconds("10:01:00") == 599
