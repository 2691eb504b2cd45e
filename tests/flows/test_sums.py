"""Sums as records come: the same as a plain dictionary adds up, whatever the records and however they are cut."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.sums import AFTER, BEFORE, KEYS, MEASURES, NUMBERS, Sums

STARTS, ENDS, SLOT = 1_767_225_600, 1_767_229_200, 300
GREATEST = {
    "start": ENDS + 500,
    "bytes": 2**50,
    "packets": 2**40,
    "srcport": 65535,
    "dstport": 65535,
    "protocol": 255,
    "tcp_flags": 255,
    "interface": 2**19 - 1,
    "extra": 2**19 - 1,
    "action": 2,
    "direction": 2,
} | dict.fromkeys(("src", "dst", "pkt_src", "pkt_dst"), 2**22 - 1)


def slot_of(start: int) -> int:
    return BEFORE if start < STARTS else AFTER if start >= ENDS else (start - STARTS) // SLOT


def by_hand(batches: list[tuple[int, list[dict[str, int]]]]) -> dict[tuple[int, ...], list[int]]:
    found: dict[tuple[int, ...], list[int]] = {}
    for source, records in batches:
        for r in records:
            said = r | {"source": source, "slot": slot_of(r["start"])}
            said |= {"pkt_src": r["pkt_src"] or r["src"], "pkt_dst": r["pkt_dst"] or r["dst"]}
            syn = r["tcp_flags"] & 18
            sums = found.setdefault(tuple(said[name] for name in KEYS), [0, 0, 0, r["start"], r["end"], 0, 0])
            sums[0] += r["bytes"]
            sums[1] += r["packets"]
            sums[2] += 1
            sums[3], sums[4] = min(sums[3], r["start"]), max(sums[4], r["end"])
            sums[5] += syn == 2
            sums[6] |= syn == 18
    return found


def added(sums: Sums, source: int, records: list[dict[str, int]], kept: list[bool] | None = None) -> None:
    columns = {name: np.array([r[name] for r in records], kind) for name, kind in NUMBERS.items()}
    told = sums.add(source, columns, np.array(kept if kept is not None else [True] * len(records)))
    left = [r for i, r in enumerate(records) if kept is None or kept[i]]
    here = [r for r in left if STARTS <= r["start"] < ENDS]
    assert (told.records, told.bytes) == (len(here), sum(r["bytes"] for r in here))
    assert told.longest == max((r["end"] - r["start"] for r in left), default=0)
    assert told.actions == sum(1 << action for action in {r["action"] for r in left})


def found(sums: Sums) -> dict[tuple[int, ...], list[int]]:
    columns = sums.columns()
    keys = zip(*(columns[name].tolist() for name in KEYS), strict=True)
    values = zip(*(columns[name].tolist() for name in MEASURES), strict=True)
    rows = list(zip(keys, map(list, values), strict=True))
    assert len(rows) == len(sums) == len(dict(rows))
    return dict(rows)


@st.composite
def record(draw: st.DrawFn) -> dict[str, int]:
    """Few values of each field, its least and greatest among them, so that records often are of one key."""
    made = {name: draw(st.sampled_from([0, 1, most])) for name, most in GREATEST.items() if name != "start"}
    start = draw(st.sampled_from([STARTS - 1, STARTS, STARTS + 299, STARTS + 300, ENDS - 1, ENDS, ENDS + 500]))
    return made | {"start": start, "end": start + draw(st.integers(0, 600)), "tcp_flags": draw(st.integers(0, 31))}


@given(st.lists(st.tuples(st.integers(0, 1), st.lists(record(), max_size=20)), max_size=4), st.booleans())
@settings(deadline=None)
def test_sums_are_those_of_a_plain_dictionary(batches: list[tuple[int, list[dict[str, int]]]], twice: bool) -> None:
    sums = Sums(STARTS, ENDS, SLOT)
    for source, records in batches * (1 + twice):
        added(sums, source, records)
    assert found(sums) == by_hand(batches * (1 + twice))


@pytest.mark.parametrize(
    "name", ["interface", "src", "dst", "pkt_src", "pkt_dst", "extra", "srcport", "dstport", "protocol"]
)
def test_every_bit_of_a_key_tells_sums_apart(name: str) -> None:
    """Each value of a field that has one bit alone, beside fields that are all nought and all at their greatest."""
    bits = [1 << bit for bit in range(GREATEST[name].bit_length())]
    for others in (dict.fromkeys(NUMBERS, 0), GREATEST):
        records = [
            others | {"start": STARTS, "end": STARTS, "bytes": 1, "src": 5, "dst": 6} | {name: bit} for bit in bits
        ]
        sums = Sums(STARTS, ENDS, SLOT)
        added(sums, 999, records)
        assert found(sums) == by_hand([(999, records)])
        assert len(sums) == len(bits)


def test_tens_of_thousands_of_sums_outgrow_their_table() -> None:
    rng = random.Random(1)
    ranges = {name: min(most, 3) for name, most in GREATEST.items()} | {"srcport": 65535, "src": 2000}
    batches = []
    for source in range(8):
        records = []
        for _ in range(5000):
            made = {name: rng.randint(0, most) for name, most in ranges.items()}
            start = rng.randint(STARTS - 60, ENDS + 60)
            records.append(made | {"start": start, "end": start + 60})
        batches.append((source % 3, records * 2))
    sums = Sums(STARTS, ENDS, SLOT)
    for source, records in batches:
        added(sums, source, records)
    assert found(sums) == by_hand(batches)
    assert len(sums) > 30_000


def test_records_that_are_not_kept_are_in_no_sum() -> None:
    rows = [GREATEST | {"start": STARTS + i, "end": STARTS + i, "srcport": i} for i in range(4)]
    sums = Sums(STARTS, ENDS, SLOT)
    added(sums, 0, rows, [False, True, False, True])
    assert found(sums) == by_hand([(0, [rows[1], rows[3]])])


@pytest.mark.parametrize("together", [True, False])
def test_a_sum_is_from_its_earliest_start_to_its_latest_end(together: bool) -> None:
    """Three records of one connection, neither first nor last in order; a SYN, a SYN-ACK, neither."""
    one = dict.fromkeys(NUMBERS, 1)
    spans = ((100, 160, 2), (40, 290, 18), (70, 90, 16))
    records = [one | {"start": STARTS + a, "end": STARTS + b, "tcp_flags": flags} for a, b, flags in spans]
    sums = Sums(STARTS, ENDS, SLOT)
    for batch in [records] if together else [[record] for record in records]:
        added(sums, 0, batch)
    assert list(found(sums).values()) == [[3, 3, 3, STARTS + 40, STARTS + 290, 1, 1]]
