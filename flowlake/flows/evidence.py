"""What the records of an hour tell beside their bytes: which interface used which address when, who listens, who
reported all.

Each worker draws evidence from its own summary; the driver merges it (it grows with interfaces and listeners, not
with records) and sends back hints: the attested holders of addresses, the chosen flow log of each interface, and
how complete each reporter was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.addresses import U64, is_none, is_public
from flowlake.flows.book import FlowLog
from flowlake.flows.compiled import njit, steady
from flowlake.flows.handshakes import untold
from flowlake.flows.hashing import distinct, distinct_values
from flowlake.flows.lookup import (
    FORWARDERS,
    NAT,
    NOBODY,
    AddressIndex,
    Lookup,
    Names,
    ever_holds,
    in_vpc,
    scopes,
    within,
)
from flowlake.flows.minutes import MINUTES_BEFORE, WHOLE_HOUR, minutes_masks
from flowlake.flows.summarise import (
    ACCEPT,
    EGRESS,
    EXTRAS,
    FACTS,
    INGRESS,
    NULL,
    REJECT,
    SOURCE_COUNTS,
    UNSAID,
    Source,
    Summary,
)
from flowlake.flows.sums import BEFORE, KEYS, MEASURES

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

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
    here = col["slot"] < BEFORE
    told, masks_here = col, masks
    if not bool(here.all()):
        told, masks_here = {name: values[here] for name, values in col.items()}, masks[here]
    facts = summary.facts
    return {
        "sources": _sources_table(summary),
        "lines": _lines(summary, told, masks_here, names),
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
    """One row an interface of a flow log: its records, their bytes, NODATA and SKIPDATA lines, minutes in which it
    reported, actions.
    """
    keys, row = distinct_values(
        np.concatenate(
            [
                col["source"].astype(np.int64) << 32 | col["interface"],
                np.array([source << 32 | interface for source, interface in summary.no_traffic], dtype=np.int64),
            ]
        )
    )
    silent = np.array(list(summary.no_traffic.values()), dtype=object).reshape(-1, 3)
    lines, quiet = row[: len(masks)], row[len(masks) :]
    mask = np.zeros(len(keys), dtype=np.uint64)
    sums = np.zeros((3, len(keys)), dtype=np.int64)
    added = (steady(col[name], (KEYS | MEASURES)[name]) for name in ("records", "bytes", "action"))
    _add_lines(lines, masks, *added, mask, sums)
    np.bitwise_or.at(mask, quiet, silent[:, 2].astype(np.uint64))
    lacking = np.zeros((2, len(keys)), dtype=np.int64)
    for at in (0, 1):
        np.add.at(lacking[at], quiet, silent[:, at].astype(np.int64))
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
        }
    )


@njit(cache=True, nogil=True)
def _add_lines(line, masks, records, amounts, actions, mask, sums):  # type: ignore[no-untyped-def]
    """Of each line the minutes of its rows, and as sums their records, bytes and actions (1 << action)."""
    for row in range(len(line)):
        at = line[row]
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


# --- what the driver makes of it -------------------------------------------------------------------------------------


@dataclass
class Hints:
    """What all records of the hour together tell each worker.

    Interfaces and VPCs that the book does not know follow those of the book in the code spaces. penalty: what each
    interface's reporting lacks (NOT_LOGGED where it reported nothing). chosen: for interfaces with several flow
    logs the one that counts, by action.
    """

    interfaces: Names
    vpcs: Names
    interface_vpc: I32
    facts: list[dict[str, str]]
    sources: dict[Source, int]
    penalty: npt.NDArray[np.uint8]
    previous_penalty: npt.NDArray[np.uint8] | None
    chosen: dict[int, tuple[int, int]]
    attested: AddressIndex
    attested_interface: I32
    attested_mask: U64
    attested_sure: Bools
    attested_begun_by: I64
    attested_held_until: I64
    listeners: AddressIndex
    untold_ports: npt.NDArray[np.uint32]
    """Keys of ports of connections whose server nothing but a SYN tells (see handshakes.py), in order."""
    source_vpc: I32 = field(default_factory=lambda: np.zeros(0, np.int32))
    """The VPC that each flow log covers; NOBODY where the inventory does not say, or its format has no interface-id."""
    inside_told: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Of each interface whether it is a NAT gateway whose records tell who is behind it, by the packets' addresses,
    and lack none.
    """

    def codes(self, lookup: Lookup, names: Sequence[str | None]) -> I32:
        """Interfaces as codes, first those of the book, then those that only records know."""
        known = lookup.interfaces.codes(names)
        extra = self.interfaces.codes(names)
        return np.where(known >= 0, known, np.where(extra >= 0, extra + len(lookup.interfaces), NOBODY)).astype(
            np.int32
        )

    def vpc_of(self, who: npt.NDArray) -> I32:
        """The VPC of each interface; NOBODY of nobody."""
        known = who >= 0
        if not bool(known.any()):
            return np.full(len(who), NOBODY, dtype=np.int32)
        return np.where(known, self.interface_vpc[np.where(known, who, 0)], NOBODY).astype(np.int32)

    def name(self, lookup: Lookup, code: int) -> str | None:
        if code < 0:
            return None
        return (
            lookup.interfaces.text(code)
            if code < len(lookup.interfaces)
            else self.interfaces.text(code - len(lookup.interfaces))
        )


@dataclass
class Evidence:
    """All workers' evidence, merged; tables as in evidence_of, with source as a row of sources."""

    sources: dict[Source, int]
    source_rows: list[dict]
    lines: pa.Table
    attested: pa.Table
    listeners: pa.Table
    untold: pa.Table
    facts: dict[str, dict[str, str]]


def merge(parts: Iterable[Mapping[str, pa.Table]]) -> Evidence:
    """Evidence of several workers as one; counts are added, masks or-ed.

    Memory grows with what there is to tell, not with how many parts tell it: the same of several parts becomes one as
    they come.
    """
    sources: dict[Source, int] = {}
    rows: list[dict] = []
    added = dict.fromkeys(("records", "bytes", "nodata", "skipdata"), np.add)
    lines = _Together({**added, "mask": np.bitwise_or, "actions": np.bitwise_or})
    attested = _Together({"mask": np.bitwise_or, "begun_by": np.minimum, "held_until": np.maximum})
    listeners, untold_ports = _Together({}), _Together({})
    facts: dict[str, dict[str, str]] = {}
    for part in parts:
        local: list[int] = []
        for row in part["sources"].to_pylist():
            source = Source(row["flow_log_id"], row["account_id"], row["region"])
            if source not in sources:
                sources[source] = len(rows)
                rows.append(row)
            else:
                _add_source(rows[sources[source]], row)
            local.append(sources[source])
        table = part["lines"]
        renumbered = (
            np.array(local, dtype=np.int32)[table["source"].to_numpy()] if table.num_rows else np.zeros(0, np.int32)
        )
        lines.add(table.set_column(0, "source", pa.array(renumbered, pa.int32())))
        attested.add(part["attested"])
        listeners.add(part["listeners"])
        untold_ports.add(part["untold"])
        for row in part["facts"].to_pylist():
            known = facts.setdefault(row.pop("interface"), {})
            known.update({name: value for name, value in row.items() if value is not None})
    _spoil_all_of_a_stream(rows)
    return Evidence(sources, rows, lines.table(), attested.table(), listeners.table(), untold_ports.table(), facts)


def _spoil_all_of_a_stream(rows: Sequence[dict]) -> None:
    """Of flow logs that come through one stream of Firehose any may have lost what was lost there."""
    lost = {stream for row in rows for stream in row["lost"]}
    for row in rows:
        row["spoiled"] = row["spoiled"] or not lost.isdisjoint(row["streams"])


class _Together:
    """Tables of one schema as one. Rows that differ only in the columns of joined (which says how) become one,
    whenever rows have doubled.
    """

    AT_LEAST = 1 << 16

    def __init__(self, joined: Mapping[str, np.ufunc]) -> None:
        self.joined = joined
        self.parts: list[pa.Table] = []
        self.full = self.AT_LEAST

    def add(self, part: pa.Table) -> None:
        if self.parts and not part.num_rows:
            return
        self.parts.append(part)
        if sum(table.num_rows for table in self.parts) > self.full:
            self.parts = [self.table()]
            self.full = max(self.AT_LEAST, 2 * self.parts[0].num_rows)

    def table(self) -> pa.Table:
        """All of it; without columns where nothing was added."""
        if not self.parts:
            return pa.table({})
        whole = pa.concat_tables(self.parts).combine_chunks()
        first, of = distinct(*(_codes(whole[name]) for name in whole.column_names if name not in self.joined))
        result = whole.take(pa.array(first))
        for name, join in self.joined.items():
            values = whole[name].to_numpy()
            joined = np.zeros(len(first), dtype=values.dtype) if join is np.add else values[first]
            join.at(joined, of, values)
            result = result.set_column(result.column_names.index(name), name, pa.array(joined))
        return result


def _codes(column: pa.ChunkedArray) -> npt.NDArray:
    """Numbers that are equal where the values are; a text that is null is -1."""
    if not pa.types.is_string(column.type):
        return column.to_numpy()
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def _add_source(row: dict, other: dict) -> None:
    for name in SOURCE_COUNTS:
        row[name] += other[name]
    row["actions"] |= other["actions"]
    row["longest"] = max(row["longest"], other["longest"])
    row["lacks"] = sorted(set(row["lacks"]) | set(other["lacks"]))
    row["transit"] = row["transit"] or other["transit"]
    row["spoiled"] = row["spoiled"] or other["spoiled"]
    for name in ("streams", "lost"):
        row[name] = sorted(set(row[name]) | set(other[name]))
    reasons: dict[str, int] = {}
    for text in (*row["reasons"], *other["reasons"]):
        reason, number = text.split("\t")
        reasons[reason] = reasons.get(reason, 0) + int(number)
    row["reasons"] = [f"{reason}\t{number}" for reason, number in sorted(reasons.items())]


def hints(
    evidence: Evidence,
    lookup: Lookup,
    flow_logs: Mapping[str, FlowLog],
    lives: Mapping[str, tuple[int, int]],
    previous: Mapping[str, int] | None,
) -> Hints:
    """What the evidence means for every worker.

    flow_logs: what the inventory says of them. lives: first and last moment (ms) at which an interface is known to
    have existed. previous: penalties of the hour before by interface id, for handovers; null where that hour was
    not published.
    """
    ids: set[str] = set()
    if evidence.lines.num_rows:
        ids |= {i for i in evidence.lines["interface"].to_pylist() if i is not None}
    if evidence.attested.num_rows:
        # Also those that recorded something beside the hour only.
        ids |= {i for i in evidence.attested["interface"].to_pylist() if i is not None}
    strangers = Names.of(i for i, code in zip(ids, lookup.interfaces.codes(list(ids)), strict=True) if code < 0)
    vpc_ids = {facts["vpc_id"] for facts in evidence.facts.values() if "vpc_id" in facts}
    new_vpcs = Names.of(v for v, code in zip(vpc_ids, lookup.vpcs.codes(list(vpc_ids)), strict=True) if code < 0)
    facts = [evidence.facts.get(t.decode(), {}) for t in strangers.texts]
    found = Hints(
        strangers,
        new_vpcs,
        np.concatenate([lookup.interface_vpc, _vpc_codes(lookup, new_vpcs, [f.get("vpc_id") for f in facts])]),
        facts,
        evidence.sources,
        np.zeros(0, dtype=np.uint8),
        None,
        {},
        *_no_attestation(),
        AddressIndex.build(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint64))[0],
        np.sort(evidence.untold["ports"].to_numpy()) if evidence.untold.num_rows else np.zeros(0, np.uint32),
    )
    _fill_vpcs_from_facts(found, lookup, evidence)
    _fill_vpcs_from_flow_logs(found, lookup, evidence, flow_logs)
    _choose_flow_logs(found, lookup, evidence, flow_logs, lives)
    if previous is not None:
        found.previous_penalty = np.full(len(found.penalty), NOT_LOGGED, dtype=np.uint8)
        codes = found.codes(lookup, list(previous))
        for code, penalty in zip(codes.tolist(), previous.values(), strict=True):
            if code >= 0:
                found.previous_penalty[code] = penalty
    _attest(found, lookup, evidence)
    _learn_listeners(found, lookup, evidence)
    return found


def _no_attestation() -> tuple[AddressIndex, I32, U64, Bools, I64, I64]:
    nothing, no_times = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    none = AddressIndex.build(np.zeros(0, np.int64), nothing, nothing)[0]
    return none, np.zeros(0, np.int32), nothing, np.zeros(0, np.bool_), no_times, no_times


def _vpc_codes(lookup: Lookup, new: Names, vpc_ids: Sequence[str | None]) -> I32:
    known, extra = lookup.vpcs.codes(vpc_ids), new.codes(vpc_ids)
    return np.where(known >= 0, known, np.where(extra >= 0, extra + len(lookup.vpcs), NOBODY)).astype(np.int32)


def _fill_vpcs_from_facts(found: Hints, lookup: Lookup, evidence: Evidence) -> None:
    """An interface whose VPC the book does not know has the one its records name: it never changes."""
    lacking = [i for i in evidence.facts if "vpc_id" in evidence.facts[i]]
    codes = found.codes(lookup, lacking)
    vpcs = _vpc_codes(lookup, found.vpcs, [evidence.facts[i]["vpc_id"] for i in lacking])
    for code, vpc in zip(codes.tolist(), vpcs.tolist(), strict=True):
        if code >= 0 and found.interface_vpc[code] == NOBODY:
            found.interface_vpc[code] = vpc


def _fill_vpcs_from_flow_logs(
    found: Hints, lookup: Lookup, evidence: Evidence, flow_logs: Mapping[str, FlowLog]
) -> None:
    """An interface whose VPC neither the book nor its records tell lies in that of the flow log that covers it."""
    table = evidence.lines
    vpc_of = {text.decode(): code for code, text in enumerate(lookup.vpcs.texts)}
    with_subnet = np.flatnonzero((lookup.subnet >= 0) & (lookup.interface_vpc >= 0))
    subnets = lookup.subnets.texts[lookup.subnet[with_subnet]].tolist()
    vpc_of |= {s.decode(): v for s, v in zip(subnets, lookup.interface_vpc[with_subnet].tolist(), strict=True)}
    covered = [
        vpc_of.get((log.resource_id or "") if (log := flow_logs.get(s.flow_log_id or "")) else "")
        for s in evidence.sources
    ]
    nameless = ["interface_id" in row["lacks"] for row in evidence.source_rows]
    found.source_vpc = np.array(
        [NOBODY if vpc is None or lacks else vpc for vpc, lacks in zip(covered, nameless, strict=True)], dtype=np.int32
    )
    if not table.num_rows or not len(found.interface_vpc):
        return
    codes = found.codes(lookup, table["interface"].to_pylist())
    lacking = np.flatnonzero((codes >= 0) & (found.vpc_of(codes) == NOBODY))
    if not len(lacking):
        return
    sources = table["source"].to_numpy()
    for row in lacking.tolist():
        vpc = covered[sources[row]]
        if vpc is not None:
            code = int(codes[row])
            found.interface_vpc[code] = vpc
            if code >= len(lookup.interfaces):
                stranger = code - len(lookup.interfaces)
                found.facts[stranger] = {**found.facts[stranger], "vpc_id": str(lookup.vpcs.text(vpc))}


def _traffic_type(source: Source, row: dict, flow_logs: Mapping[str, FlowLog]) -> str | None:
    """ALL, ACCEPT or REJECT: as the inventory says; ALL where both were seen; else not known."""
    said = flow_logs.get(source.flow_log_id or "")
    if said and said.traffic_type:
        return said.traffic_type.upper()
    both = 1 << ACCEPT | 1 << REJECT
    return "ALL" if row["actions"] & both == both else None


def _choose_flow_logs(
    found: Hints,
    lookup: Lookup,
    evidence: Evidence,
    flow_logs: Mapping[str, FlowLog],
    lives: Mapping[str, tuple[int, int]],
) -> None:
    """For each interface the flow log that counts, by action, and what its reporting lacks."""
    count = len(lookup.interfaces) + len(found.interfaces)
    found.penalty = np.full(count, NOT_LOGGED, dtype=np.uint8)
    found.inside_told = np.zeros(count, dtype=np.bool_)
    listed = list(evidence.sources)
    kinds = [_traffic_type(s, r, flow_logs) for s, r in zip(listed, evidence.source_rows, strict=True)]
    spoiled = [r["spoiled"] for r in evidence.source_rows]
    tells_packets = [not {"pkt_srcaddr", "pkt_dstaddr"} & set(r["lacks"]) for r in evidence.source_rows]
    tells_silence = [r["nodata"] > 0 for r in evidence.source_rows]
    interval = [_interval_minutes(s, r, flow_logs) for s, r in zip(listed, evidence.source_rows, strict=True)]
    merged: dict[tuple[int, int], list[int]] = {}
    table = evidence.lines
    if not table.num_rows:
        return
    names = table["interface"].to_pylist()
    codes = found.codes(lookup, names)
    columns = [table[n].to_pylist() for n in ("source", "records", "nodata", "skipdata", "bytes", "mask", "actions")]
    for code, source, records, nodata, skipdata, held, mask, actions in zip(codes.tolist(), *columns, strict=True):
        if code < 0:
            continue
        entry = merged.setdefault((code, source), [0, 0, 0, 0, 0, 0])
        for at, value in enumerate((records, nodata, skipdata, held)):
            entry[at] += value
        entry[4] |= mask
        entry[5] |= actions
    by_interface: dict[int, list[int]] = {}
    for code, source in merged:
        if not evidence.source_rows[source]["transit"]:
            by_interface.setdefault(code, []).append(source)
    hour_starts = lookup.starts
    for code, candidates in by_interface.items():
        life = lives.get(found.name(lookup, code) or "", (0, 1 << 62))
        lacks = {
            s: (SKIPPED if merged[code, s][2] else 0)
            | (REJECTED if spoiled[s] else 0)
            | (GAPS if tells_silence[s] and _has_gap(merged[code, s][4], interval[s], life, hour_starts) else 0)
            for s in candidates
        }

        covered = {s: (merged[code, s][4] & WHOLE_HOUR).bit_count() for s in candidates}
        whole = {s: covered[s] + interval[s] >= max(covered.values()) for s in candidates}
        # Where NODATA tells of silence, minutes tell which of them is whole; else what they hold.
        told = all(tells_silence[s] for s in candidates)
        held = {s: 0 if told and not lacks[s] & LOSSY else merged[code, s][3] for s in candidates}

        def rank(
            s: int, lacks: dict[int, int] = lacks, whole: dict[int, bool] = whole, held: dict[int, int] = held
        ) -> tuple:
            # Of whole ones the same in every hour: their intervals begin at different minutes, so that by what lies at
            # the hour's edges each would have its turn, and what lies there counted twice or not at all.
            most_first = -held[s] if lacks[s] & LOSSY else 0
            return lacks[s], kinds[s] != "ALL", most_first, not whole[s], -held[s], listed[s].flow_log_id or "", s

        accepts = [
            s
            for s in candidates
            if kinds[s] in ("ALL", "ACCEPT") or (kinds[s] is None and merged[code, s][5] != 1 << REJECT)
        ]
        rejects = [s for s in candidates if kinds[s] in ("ALL", "REJECT") or kinds[s] is None]
        accept, reject = (min(some, key=rank) if some else NOBODY for some in (accepts, rejects))
        penalty = lacks.get(accept, NO_ACCEPTS) | (lacks.get(reject, 0) if reject != accept else 0)
        proved = (
            kinds[accept] in ("ALL", "ACCEPT") and kinds[reject] in ("ALL", "REJECT")
            if NOBODY not in (accept, reject)
            else False
        )
        found.penalty[code] = penalty | (0 if proved else NOT_ALL)
        is_gateway = code < len(lookup.forwards) and lookup.forwards[code] == NAT
        found.inside_told[code] = is_gateway and accept != NOBODY and tells_packets[accept] and not penalty & LOSSY
        if len(candidates) > 1:
            found.chosen[code] = accept, reject


def _interval_minutes(source: Source, row: dict, flow_logs: Mapping[str, FlowLog]) -> int:
    said = flow_logs.get(source.flow_log_id or "")
    seconds = (said.max_aggregation_seconds if said else None) or 600
    return max(1, max(seconds, min(row["longest"], 900)) // 60)


def _has_gap(mask: int, interval: int, life: tuple[int, int], hour_starts: int) -> bool:
    """Whether the interface said nothing, not even NODATA, for over two intervals of the hour it lived through."""
    born = max(0, (life[0] // 1000 - hour_starts) // 60 + 1)
    gone = min(60, (life[1] // 1000 - hour_starts) // 60)
    run = 0
    for minute in range(born, gone):
        run = 0 if mask >> (minute + MINUTES_BEFORE) & 1 else run + 1
        if run > 2 * interval:
            return True
    return False


def _attest(found: Hints, lookup: Lookup, evidence: Evidence) -> None:
    """The index of (VPC, address) -> interfaces whose own records show them using it, with the minutes."""
    table = evidence.attested
    if not table.num_rows:
        return
    interface = found.codes(lookup, table["interface"].to_pylist())
    high, low = table["high"].to_numpy(), table["low"].to_numpy()
    vpc = found.vpc_of(interface)
    usable = (vpc >= 0) & ~is_none(high)
    interface, high, low, vpc = interface[usable], high[usable], low[usable], vpc[usable]
    mask, sure = table["mask"].to_numpy()[usable], table["sure"].to_numpy()[usable]
    begun_by, held_until = (table[name].to_numpy()[usable] for name in ("begun_by", "held_until"))
    # One row for each (VPC, address, interface, sureness), however many workers saw it.
    first, of = distinct(vpc, high, low, interface, sure)
    if not len(first):
        return
    minutes, earliest, latest = np.zeros(len(first), np.uint64), begun_by[first], held_until[first]
    np.bitwise_or.at(minutes, of, mask)
    np.minimum.at(earliest, of, begun_by)
    np.maximum.at(latest, of, held_until)
    index, order = AddressIndex.build(vpc[first].astype(np.int64), high[first], low[first])
    found.attested = index
    found.attested_interface = interface[first][order]
    found.attested_mask = minutes[order]
    found.attested_sure = sure[first][order]
    found.attested_begun_by, found.attested_held_until = earliest[order], latest[order]


def listener_scope(vpc: npt.NDArray, public: Bools, port: npt.NDArray) -> I64:
    """The scope under which a listener is kept: the VPC its address lies in (or all, for public addresses) with the
    port.
    """
    return np.where(public, PUBLIC_SCOPE, vpc).astype(np.int64) * 65536 + port.astype(np.int64)


def _learn_listeners(found: Hints, lookup: Lookup, evidence: Evidence) -> None:
    table = evidence.listeners
    if not table.num_rows:
        return
    interface = found.codes(lookup, table["interface"].to_pylist())
    vpc = found.vpc_of(interface)
    high, low = table["high"].to_numpy(), table["low"].to_numpy()
    vpc = scopes(lookup, vpc, high, low)
    scope = listener_scope(vpc, is_public(high, low), table["port"].to_numpy())
    found.listeners, _ = AddressIndex.build(scope, high, low)


__all__ = ["WHOLE_HOUR", "Evidence", "Hints", "Worker", "evidence_of", "examine", "hints", "listener_scope", "merge"]
