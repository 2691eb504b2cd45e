"""What the records of an hour tell beside their bytes: which interface used which address when, who listens, who
reported all.

Each worker draws evidence from its own summary; the driver merges it (it grows with interfaces and listeners, not
with records) and sends back hints (hints.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.addresses import U64, is_none, is_public
from flowlake.flows.compiled import njit, steady
from flowlake.flows.handshakes import untold
from flowlake.flows.hashing import distinct_values
from flowlake.flows.lookup import (
    FORWARDERS,
    I32,
    I64,
    NAT,
    NOBODY,
    Bools,
    Lookup,
    ever_holds,
    in_vpc,
    within,
)
from flowlake.flows.minutes import minutes_masks
from flowlake.flows.summarise import (
    EGRESS,
    EXTRAS,
    FACTS,
    INGRESS,
    NEVER,
    NULL,
    SOURCE_COUNTS,
    UNSAID,
    Summary,
)
from flowlake.flows.sums import BEFORE, KEYS, MEASURES

PUBLIC_SCOPE = -2
"""Scope of addresses that mean the same from every VPC."""

NO_ACCEPTS, SKIPPED, REJECTED, NOT_ALL, GAPS = 16, 8, 4, 2, 1
"""What a reporter lacks for 'its flow log covered the hour'; added up, the least is the most complete. Zero is
complete.
NO_ACCEPTS: it logs refusals only, so its silence says nothing of accepted traffic.
"""


LOSSY = SKIPPED | REJECTED
"""What says that records are lost, and not only that some may be."""


NOT_LOGGED = 255


@dataclass
class Worker:
    """A summary with what the book says of its addresses and interfaces, as parallel arrays by their codes."""

    summary: Summary
    sums: pa.Table
    high: U64
    low: U64
    interface: I32
    forwards: npt.NDArray[np.int8]
    local: I64
    local_pkt: I64
    own: Bools


def examine(summary: Summary, lookup: Lookup) -> Worker:
    """Settles each sum's direction, and whether its own side is the interface itself or traffic it forwards.

    direction is the record's flow-direction; else by the interface's primary address in the book; else by its other
    addresses there (IPv6 shows itself, where IPv4 shows the primary); else, where it is no appliance, by the one
    address that all its sums of the family have in common: of IPv4 if no primary one is known, of IPv6 if the book
    gives the address to nobody else and it lies in a VPC; else it stays unsaid.
    """
    sums = summary.sums()
    high, low = summary.addresses.high, summary.addresses.low
    names = summary.interfaces.list()
    interface = lookup.interfaces.codes(names)
    col = {
        name: sums[name].to_numpy() for name in ("interface", "src", "dst", "pkt_src", "pkt_dst", "direction", "extra")
    }
    direction = col["direction"].copy()
    forwards = _forwards(summary, lookup, names, interface, col)
    unsaid = direction == UNSAID
    if bool(unsaid.any()):
        code = interface[col["interface"]]
        known = unsaid & (code >= 0)
        safe = np.where(code >= 0, code, 0)
        if len(lookup.interfaces):
            p_high, p_low = lookup.interface_high[safe], lookup.interface_low[safe]
            has = known & ~is_none(p_high)
            sends = has & (high[col["src"]] == p_high) & (low[col["src"]] == p_low)
            receives = has & (high[col["dst"]] == p_high) & (low[col["dst"]] == p_low)
            direction = np.where(sends, EGRESS, np.where(receives, INGRESS, direction)).astype(np.int8)
            rest = np.flatnonzero(known & (direction == UNSAID))
            if len(rest):
                sends, receives = (
                    ever_holds(lookup, code[rest], high[at], low[at]) for at in (col["src"][rest], col["dst"][rest])
                )
                said = np.where(sends, EGRESS, np.where(receives, INGRESS, UNSAID))
                direction[rest] = np.where(sends & receives, UNSAID, said)
        still = (direction == UNSAID) & (col["interface"] != NULL) & np.isin(forwards[col["interface"]], (0, NAT))
        v6 = high[col["src"]] != 0
        if len(lookup.interfaces):
            still &= v6 | ~has
        for rest in (np.flatnonzero(still & ~v6), np.flatnonzero(still & v6)):
            if len(rest):
                src, dst = col["src"][rest], col["dst"][rest]
                mine = _common_address(col["interface"][rest], src, dst)
                # Of IPv6 it may show many addresses, and have in common whom it speaks to with them.
                asked = np.flatnonzero((mine >= 0) & v6[rest])
                addresses, of = np.unique(mine[asked], return_inverse=True)
                mine[asked[~_may_be_a_strangers(lookup, high[addresses], low[addresses])[of]]] = -1
                direction[rest] = np.where(mine == src, EGRESS, np.where(mine == dst, INGRESS, UNSAID))
    sums = sums.set_column(sums.schema.get_field_index("direction"), "direction", pa.array(direction, pa.int8()))
    sends = direction == EGRESS
    local = np.where(sends, col["src"], col["dst"]).astype(np.int64)
    local_pkt = np.where(sends, col["pkt_src"], col["pkt_dst"]).astype(np.int64)
    own = _own(summary, lookup, interface, forwards, high, low, col["interface"], local, local_pkt)
    far_pkt = np.where(sends, col["pkt_dst"], col["pkt_src"])
    own &= ~_inside_of_regional(names, high, low, col["interface"], far_pkt)
    return Worker(summary, sums, high, low, interface, forwards, local, local_pkt, own & (direction != UNSAID))


def _may_be_a_strangers(lookup: Lookup, high: U64, low: U64) -> Bools:
    """Whether each address lies in the ranges of some VPC and the book gives it to nobody there."""
    result = np.zeros(len(high), dtype=np.bool_)
    for vpc in range(len(lookup.vpcs) if len(high) else 0):
        inside = np.flatnonzero(in_vpc(lookup, vpc, high, low))
        begin, stop = lookup.claims.find(np.full(len(inside), vpc, np.int64), high[inside], low[inside])
        numbers = zip(high[inside].tolist(), low[inside].tolist(), strict=True)
        by_prefix = [vpc in lookup.prefixes and bool(lookup.prefix_claims(vpc, h << 64 | lo)) for h, lo in numbers]
        result[inside] = (begin == stop) & ~np.array(by_prefix, dtype=np.bool_)
    return result


def _common_address(interface: npt.NDArray, src: npt.NDArray, dst: npt.NDArray) -> I64:
    """Of each sum the address that is in every sum of its interface, where there is just one such; else -1."""
    table = pa.table({"i": np.concatenate([interface, interface]), "a": np.concatenate([src, dst])})
    # A sum between an address and itself counts it once.
    once = pa.array(np.concatenate([np.ones(len(src), np.int64), (src != dst).astype(np.int64)]))
    counts = table.append_column("n", once).group_by(["i", "a"]).aggregate([("n", "sum")])
    sums_of = np.bincount(interface)
    ci, ca, cn = (counts[name].to_numpy() for name in ("i", "a", "n_sum"))
    common = cn == sums_of[ci]
    candidates = np.bincount(ci[common], minlength=len(sums_of))
    chosen = np.full(len(sums_of), -1, dtype=np.int64)
    chosen[ci[common]] = ca[common]
    mine: I64 = np.where(candidates[interface] == 1, chosen[interface], -1)
    return mine


def _forwards(
    summary: Summary, lookup: Lookup, names: Sequence[str | None], interface: I32, col: Mapping[str, npt.NDArray]
) -> npt.NDArray[np.int8]:
    """How each interface (by the summary's code) forwards: by the book, by its name (a regional NAT gateway), by v11's
    interface-type.
    """
    result = np.zeros(len(names), dtype=np.int8)
    known = interface >= 0
    if len(lookup.forwards):
        result[known] = lookup.forwards[interface[known]]
    for code, name in enumerate(names):
        if name is not None and name.startswith("nat-"):
            result[code] = NAT
    column = EXTRAS.index("interface_type")
    kinds = [FORWARDERS.get(key[column] or "", 0) if key else 0 for key in summary.extras]
    if any(kinds):
        of_row = np.array(kinds, dtype=np.int8)[col["extra"]]
        np.maximum.at(result, col["interface"], of_row)
    return result


def _own(
    summary: Summary,
    lookup: Lookup,
    interface: I32,
    forwards: npt.NDArray[np.int8],
    high: U64,
    low: U64,
    code: npt.NDArray,
    local: I64,
    local_pkt: I64,
) -> Bools:
    """Whether the sum's own side is the interface itself (its primary or a secondary address) and not traffic it
    passes on.

    Where the packet's address differs from the interface's, it is a secondary address unless the interface
    forwards, as its kind says; or the address can't be the interface's, as it lies in none of its VPC's ranges (a
    NAT instance, a router, an overlay's pods).
    """
    own = (local == local_pkt) | (forwards[code] == 0)
    # Of IPv6 what passes shows its own addresses throughout: only what the book gives to the interface is its own.
    passing = np.flatnonzero((forwards[code] > 0) & (high[local_pkt] != 0))
    own[passing] = False
    known = passing[interface[code[passing]] >= 0]
    own[known] = ever_holds(lookup, interface[code[known]], high[local_pkt[known]], low[local_pkt[known]])
    asked = np.flatnonzero(own & (local != local_pkt))
    if not len(asked):
        return own
    interface_vpc = _vpcs_of(summary, lookup, interface)
    # A VPC whose ranges are not known may hold any private address, and no public one.
    own[asked] = within(lookup, interface_vpc[code[asked]], high[local_pkt[asked]], low[local_pkt[asked]])
    rest = asked[~own[asked] & (interface[code[asked]] >= 0)]
    own[rest] = ever_holds(lookup, interface[code[rest]], high[local_pkt[rest]], low[local_pkt[rest]])
    return own


def _vpcs_of(summary: Summary, lookup: Lookup, interface: I32) -> I32:
    """The VPC of each interface (by the summary's code), by the book, else by its records; else NOBODY."""
    vpc = np.full(len(interface), NOBODY, dtype=np.int32)
    known = interface >= 0
    vpc[known] = lookup.interface_vpc[interface[known]]
    facts = summary.facts
    said = [facts[c].get("vpc_id") if c in facts else None for c in range(len(interface))]
    return np.where(vpc >= 0, vpc, lookup.vpcs.codes(said)).astype(np.int32)


def _inside_of_regional(
    names: Sequence[str | None], high: U64, low: U64, code: npt.NDArray, far_pkt: npt.NDArray
) -> Bools:
    """Whether a regional NAT gateway saw it inside: what comes from or goes to a private address is never its own.

    It has no address in the VPC to show there, so that its records of the inside may show the true far end as a
    zonal one's pkt-* do.
    """
    regional = np.array([name is not None and name.startswith("nat-") for name in names], dtype=np.bool_)
    inside = regional[code]
    if bool(inside.any()):
        inside &= ~is_public(high[far_pkt], low[far_pkt])
    return inside


# --- what a worker tells ---------------------------------------------------------------------------------------------


def evidence_of(worker: Worker, lookup: Lookup) -> dict[str, pa.Table]:
    """Tables sources, lines, attested, listeners, untold and facts of one worker, with texts instead of codes."""
    summary, sums = worker.summary, worker.sums
    names = pa.array(summary.interfaces.list(), pa.string())
    used = ("source", "interface", "action", "records", "bytes", "first", "last", "slot")
    col = {name: sums[name].to_numpy() for name in used}
    masks = minutes_masks(col["first"], col["last"], summary.hour.starts)
    # Where the inventory does not know an interface that shows two addresses, which of them is its own is not known
    # either.
    interface = col["interface"]
    sure = (worker.local == worker.local_pkt) | (worker.interface[interface] >= 0)
    own = worker.own & (interface != NULL)
    facts = summary.facts
    return {
        "sources": _sources_table(summary),
        "lines": _lines(summary, col, masks, names),
        "facts": pa.table(
            {
                "interface": names.take(pa.array(list(facts), pa.int64())),
                **{name: pa.array([told.get(name) for told in facts.values()], pa.string()) for name in FACTS},
            }
        ),
        "attested": _attested(worker, own, masks, sure, names),
        "listeners": _listeners(worker, lookup),
        "untold": pa.table({"ports": untold(_of_handshakes(sums))}),
    }


def _of_handshakes(sums: pa.Table) -> dict[str, npt.NDArray]:
    """The columns of the sums with a SYN."""
    used = ("interface", "pkt_src", "pkt_dst", "srcport", "dstport", "protocol", "opened", "answered")
    columns = {name: sums[name].to_numpy() for name in used}
    at = np.flatnonzero((columns["opened"] > 0) | (columns["answered"] == 1))
    return {name: values[at] for name, values in columns.items()}


def _lines(summary: Summary, col: Mapping[str, npt.NDArray], masks: U64, names: pa.Array) -> pa.Table:
    """One row an interface of a flow log: its records of the hour, their bytes, NODATA and SKIPDATA lines, minutes in
    which it reported, actions; and from when to when (epoch s) it did, what it recorded right beside the hour
    included.
    """
    keys, line = distinct_values(
        np.concatenate(
            [
                col["source"].astype(np.int64) << 32 | col["interface"],
                np.array([source << 32 | interface for source, interface in summary.no_traffic], dtype=np.int64),
            ]
        )
    )
    silent = np.array(list(summary.no_traffic.values()), dtype=object).reshape(-1, 5)
    rows, quiet = line[: len(masks)], line[len(masks) :]
    here = col["slot"] < BEFORE
    mask = np.zeros(len(keys), dtype=np.uint64)
    sums = np.zeros((3, len(keys)), dtype=np.int64)
    span = np.repeat(np.array(NEVER, dtype=np.int64)[:, None], len(keys), axis=1)
    columns = (steady(col[n], (KEYS | MEASURES)[n]) for n in ("records", "bytes", "action", "first", "last"))
    _add_lines(rows, here, masks, *columns, mask, sums, span)
    np.bitwise_or.at(mask, quiet, silent[:, 2].astype(np.uint64))
    lacking = np.zeros((2, len(keys)), dtype=np.int64)
    for at in (0, 1):
        np.add.at(lacking[at], quiet, silent[:, at].astype(np.int64))
    for at, reach in enumerate((np.minimum, np.maximum)):
        reach.at(span[at], quiet, silent[:, 3 + at].astype(np.int64))
    # What reported beside the hour alone is left out.
    told = np.zeros(len(keys), dtype=np.bool_)
    told[rows[here]] = told[quiet] = True
    return pa.table(
        {
            "source": pa.array((keys >> 32).astype(np.int32)),
            "interface": names.take(pa.array(keys & 0xFFFFFFFF)),
            "records": sums[0],
            "bytes": sums[1],
            "nodata": lacking[0],
            "skipdata": lacking[1],
            "mask": mask,
            "actions": sums[2],
            "first": span[0],
            "last": span[1],
        }
    ).filter(pa.array(told))


@njit(cache=True, nogil=True)
def _add_lines(line, here, masks, records, amounts, actions, first, last, mask, sums, span):  # type: ignore[no-untyped-def]
    """Of each line from when to when its rows reach; and of those of the hour the minutes, and as sums their records,
    bytes and actions (1 << action).
    """
    for row in range(len(line)):
        at = line[row]
        span[0, at] = min(span[0, at], first[row])
        span[1, at] = max(span[1, at], last[row])
        if here[row]:
            mask[at] |= masks[row]
            sums[0, at] += records[row]
            sums[1, at] += amounts[row]
            sums[2, at] |= np.int64(1) << np.int64(actions[row])


def _sources_table(summary: Summary) -> pa.Table:
    rows = [
        {
            "flow_log_id": source.flow_log_id,
            "account_id": source.account_id,
            "region": source.region,
            **{name: getattr(counts, name) for name in SOURCE_COUNTS},
            "actions": counts.actions,
            "longest": counts.longest,
            "lacks": sorted(counts.lacks),
            "reasons": [f"{reason}\t{number}" for reason, number in sorted(counts.reasons.items())],
            "transit": counts.transit,
            "spoiled": counts.spoiled,
            "streams": sorted(counts.streams),
            "lost": sorted(counts.lost),
        }
        for source, counts in zip(summary.sources, summary.counts, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=SOURCES)


SOURCES = pa.schema(
    [("flow_log_id", pa.string()), ("account_id", pa.string()), ("region", pa.string())]
    + [(name, pa.int64()) for name in (*SOURCE_COUNTS, "actions", "longest")]
    + [
        ("lacks", pa.list_(pa.string())),
        ("reasons", pa.list_(pa.string())),
        ("transit", pa.bool_()),
        ("spoiled", pa.bool_()),
        ("streams", pa.list_(pa.string())),
        ("lost", pa.list_(pa.string())),
    ]
)


def _attested(worker: Worker, own: Bools, masks: U64, sure: Bools, names: pa.Array) -> pa.Table:
    """Which interface used which address, by its own records, in which minutes; whether that is sure; and the moments
    (epoch s) by which it surely had begun to and until which it surely had not ended: a record tells of some moment
    between its start and its end, and not of all of them.
    """
    interface, first, last = (
        worker.sums[name].to_numpy()[own].astype(np.int64) for name in ("interface", "first", "last")
    )
    keys, row = distinct_values(interface << 32 | sure[own].astype(np.int64) << 31 | worker.local_pkt[own])
    mask = np.zeros(len(keys), dtype=np.uint64)
    begun_by, held_until = np.full(len(keys), np.iinfo(np.int64).max), np.full(len(keys), np.iinfo(np.int64).min)
    np.bitwise_or.at(mask, row, masks[own])
    np.minimum.at(begun_by, row, last)
    np.maximum.at(held_until, row, first)
    at = keys & 0x7FFFFFFF
    return pa.table(
        {
            "interface": names.take(pa.array(keys >> 32)),
            "high": worker.high[at],
            "low": worker.low[at],
            "mask": mask,
            "sure": (keys >> 31 & 1) == 1,
            "begun_by": begun_by,
            "held_until": held_until,
        }
    )


def _listeners(worker: Worker, lookup: Lookup) -> pa.Table:
    """Who answered a SYN: by the interface that saw it, address, port and protocol. Public addresses stand for
    themselves.

    What counts of the interface is its VPC: of those whose VPC the book knows one stands for all in it, so that this
    grows with listeners and not with who spoke to them.
    """
    sums = worker.sums
    answered = np.flatnonzero(sums["answered"].to_numpy() == 1)
    interface, server, port = (
        sums[name].to_numpy()[answered].astype(np.int64) for name in ("interface", "pkt_src", "srcport")
    )
    names = worker.summary.interfaces.list()
    code = worker.interface[interface]
    vpc = (
        np.where(code >= 0, lookup.interface_vpc[np.where(code >= 0, code, 0)], NOBODY)
        if len(lookup.interfaces)
        else code
    )
    saw = np.where(vpc >= 0, vpc + len(names), interface)
    _, first = np.unique(lookup.interface_vpc, return_index=True)
    stands_for = {int(lookup.interface_vpc[one]): lookup.interfaces.text(one) for one in first.tolist()}
    texts = pa.array([*names, *(stands_for.get(vpc) for vpc in range(len(lookup.vpcs)))], pa.string())
    ends, end = distinct_values(saw << 32 | server)
    keys, _ = distinct_values(end.astype(np.int64) << 16 | port)
    listener = ends[keys >> 16]
    at = listener & 0xFFFFFFFF
    return pa.table(
        {
            "interface": texts.take(pa.array(listener >> 32)),
            "high": worker.high[at],
            "low": worker.low[at],
            "port": pa.array((keys & 0xFFFF).astype(np.int32)),
        }
    )


__all__ = ["Worker", "evidence_of", "examine"]
