"""What the driver makes of all workers' evidence (evidence.py): merged, and turned into hints for every worker: the
attested holders of addresses, the chosen flow log of each interface, and how complete each reporter was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.addresses import U64, is_none, is_public
from flowlake.flows.evidence import LOSSY, NOT_LOGGED, PUBLIC_SCOPE
from flowlake.flows.flow_logs import Reporting, Told, by_what_they_go_through, log_of, sent_through
from flowlake.flows.hashing import distinct
from flowlake.flows.lives import Lives
from flowlake.flows.lookup import (
    I32,
    I64,
    NAT,
    NOBODY,
    AddressIndex,
    Bools,
    Lookup,
    Names,
    scopes,
)
from flowlake.flows.several import Orders, Several
from flowlake.flows.summarise import (
    SOURCE_COUNTS,
    Source,
)
from flowlake.flows.topology import FlowLog


class Reported(NamedTuple):
    """How an interface reported an hour, for the hour behind it: what was lacking (see Hints.penalty), and the ids of
    the flow logs that counted where the hour began and where it ended, for what was accepted and for what was refused;
    null where none did. flow_logs is null where it was not kept.
    """

    penalty: int
    flow_logs: tuple[str | None, ...] | None = None


@dataclass
class Hints:
    """What all records of the hour together tell each worker.

    Interfaces and VPCs that the book does not know follow those of the book in the code spaces. penalty: what each
    interface's reporting lacks (NOT_LOGGED where it reported nothing). several: of interfaces with several flow logs
    which of them (rows of sources) count. at_the_edges: by interface its flow logs, as in Reported; workers are not
    told.
    """

    interfaces: Names
    vpcs: Names
    interface_vpc: I32
    facts: list[dict[str, str]]
    sources: dict[Source, int]
    penalty: npt.NDArray[np.uint8]
    previous_penalty: npt.NDArray[np.uint8] | None
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
    several: Several = field(default_factory=lambda: Several.of({}, {}))
    at_the_edges: dict[int, tuple[str | None, ...]] = field(default_factory=dict)
    changed: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Of each interface whether another flow log counts where the hour begins than where the one before ended."""
    shows_primary: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Of each interface whether a format that it is told in shows its primary address, whichever it used."""
    in_one: dict[int, I32] = field(default_factory=dict)
    """By source that may hold the records of several flow logs, which nothing tells apart: the interfaces that several
    of them cover, whose bytes may count as often.
    """

    @cached_property
    def primary_shown_in(self) -> I64:
        """For each VPC, up to the last that has one, how many of its interfaces are told in a format that shows the
        primary address (shows_primary).
        """
        vpc = self.interface_vpc[self.shows_primary]
        return np.bincount(vpc[vpc >= 0])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "primary_shown_in"} | {"at_the_edges": {}}

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

    def reported(self, lookup: Lookup) -> dict[str, Reported]:
        """How each interface that reported did, by its id."""
        logged = np.flatnonzero(self.penalty != NOT_LOGGED).tolist()
        named = ((self.name(lookup, code), code) for code in logged)
        return {n: Reported(int(self.penalty[code]), self.at_the_edges.get(code)) for n, code in named if n is not None}

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
    reach = {"first": np.minimum, "last": np.maximum}
    lines = _Together({**added, "mask": np.bitwise_or, "actions": np.bitwise_or, **reach})
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
    lives: Lives,
    previous: Mapping[str, Reported] | None,
) -> Hints:
    """What the evidence means for every worker.

    flow_logs: what the inventory says of them. lives: of all interfaces of the book. previous: how the interfaces
    reported the hour before, by their ids, for handovers; null where that hour was not published.
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
        *_no_attestation(),
        AddressIndex.build(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint64))[0],
        np.sort(evidence.untold["ports"].to_numpy()) if evidence.untold.num_rows else np.zeros(0, np.uint32),
    )
    _fill_vpcs_from_facts(found, lookup, evidence)
    _fill_vpcs_from_flow_logs(found, lookup, evidence, flow_logs)
    through = by_what_they_go_through(flow_logs.values())
    _choose_flow_logs(found, lookup, evidence, flow_logs, through, lives.of(ids))
    _note_several_in_one(found, lookup, evidence, through)
    if previous is not None:
        _note_previous(found, lookup, previous)
    _attest(found, lookup, evidence)
    _learn_listeners(found, lookup, evidence)
    return found


def _note_previous(found: Hints, lookup: Lookup, previous: Mapping[str, Reported]) -> None:
    found.previous_penalty = np.full(len(found.penalty), NOT_LOGGED, dtype=np.uint8)
    found.changed = np.zeros(len(found.penalty), dtype=np.bool_)
    codes = found.codes(lookup, list(previous))
    for code, before in zip(codes.tolist(), previous.values(), strict=True):
        if code < 0:
            continue
        found.previous_penalty[code] = before.penalty
        if before.flow_logs is not None and code in found.at_the_edges:
            now = found.at_the_edges[code]
            found.changed[code] = any(
                then is not None and first is not None and then != first
                for then, first in zip(before.flow_logs[1::2], now[::2], strict=True)
            )


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
    subnets, one_in = np.unique(lookup.subnet[with_subnet], return_index=True)
    vpcs = lookup.interface_vpc[with_subnet[one_in]].tolist()
    vpc_of |= {s.decode(): v for s, v in zip(lookup.subnets.texts[subnets].tolist(), vpcs, strict=True)}
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


def _choose_flow_logs(
    found: Hints,
    lookup: Lookup,
    evidence: Evidence,
    flow_logs: Mapping[str, FlowLog],
    through: Mapping[str, Sequence[FlowLog]],
    lives: Mapping[str, tuple[int, int]],
) -> None:
    """For each interface the flow logs that count, by action, and what its reporting lacks."""
    count = len(lookup.interfaces) + len(found.interfaces)
    found.penalty = np.full(count, NOT_LOGGED, dtype=np.uint8)
    found.inside_told, found.shows_primary = (np.zeros(count, dtype=np.bool_) for _ in range(2))
    table = evidence.lines
    if not table.num_rows:
        return
    logs = [
        log_of(source, row, flow_logs.get(source.flow_log_id or ""), through)
        for source, row in zip(evidence.sources, evidence.source_rows, strict=True)
    ]
    codes = found.codes(lookup, table["interface"].to_pylist())
    by_interface: dict[int, dict[int, Told]] = {}
    chosen, spans, apart = dict[int, Orders](), dict[int, dict[int, tuple[int, int]]](), list[int]()
    ids: dict[tuple[str | None, ...], tuple[str | None, ...]] = {}
    columns = [table[field.name].to_pylist() for field in fields(Told)]
    for code, source, *values in zip(codes.tolist(), table["source"].to_pylist(), *columns, strict=True):
        if code >= 0 and not evidence.source_rows[source]["transit"]:
            by_interface.setdefault(code, {})[source] = Told(*values)
    for code, told in by_interface.items():
        life = lives.get(found.name(lookup, code) or "", (0, 1 << 62))
        one = Reporting(told, logs, life, lookup.starts)
        found.penalty[code] = one.penalty()
        is_gateway = code < len(lookup.forwards) and lookup.forwards[code] == NAT
        accepts, rejects = ([logs[s].tells_packets for s in rests_on] for rests_on in one.rests_on)
        tells_inside = bool(accepts) and all(accepts)
        found.inside_told[code] = is_gateway and tells_inside and not found.penalty[code] & LOSSY
        found.shows_primary[code] = not all(accepts + rejects)
        if len(told) > 1:
            chosen[code] = one.accepts, one.rejects
            spans[code] = {s: (of.first, of.last) for s, of in told.items()}
            # What it passes on, and what it does by an address that nobody told of, they show between other ends.
            if len({logs[s].tells_packets for s in told}) > 1:
                apart.append(code)
        named = tuple(None if s is None else logs[s].flow_log_id for s in one.at_the_edges())
        found.at_the_edges[code] = ids.setdefault(named, named)
    found.several = Several.of(chosen, spans, apart)


def _note_several_in_one(
    found: Hints, lookup: Lookup, evidence: Evidence, through: Mapping[str, Sequence[FlowLog]]
) -> None:
    """A log group, and a stream of Firehose that flow logs go to straight, do not say of which flow log a record is.

    Of a stream the folder is known and not its name: any flow log that goes to one may be there.
    """
    if not any(len(logs) > 1 for logs in through.values()):
        return
    table = evidence.lines
    codes = found.codes(lookup, table["interface"].to_pylist()) if table.num_rows else np.zeros(0, np.int32)
    of = table["source"].to_numpy() if table.num_rows else codes
    for number, source in enumerate(evidence.sources):
        logs = sent_through(source, through)
        if not logs:
            continue
        mine = np.unique(codes[(of == number) & (codes >= 0)])
        several = [code for code in mine.tolist() if _covering(found, lookup, code, logs) > 1]
        if several:
            found.in_one[number] = np.array(several, dtype=np.int32)


def _covering(found: Hints, lookup: Lookup, code: int, logs: Sequence[FlowLog]) -> int:
    """How many of these flow logs cover an interface: by its id, its subnet or its VPC."""
    named = {found.name(lookup, code)}
    vpc = int(found.interface_vpc[code])
    named.add(lookup.vpcs.text(vpc) if 0 <= vpc < len(lookup.vpcs) else None)
    if code < len(lookup.subnet) and lookup.subnet[code] >= 0:
        named.add(lookup.subnets.text(int(lookup.subnet[code])))
    return sum(log.resource_id in named for log in logs if log.resource_id)


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
