"""The inner loop: typed records -> sums by connection, window and reporter; object by object, in Arrow.

Addresses, interfaces and other texts become integers at once (each distinct text is looked at once a batch), so that
grouping is on three 64-bit keys. A summary holds what one worker made of its objects:

sums        one row is one connection (both ports) in one direction, slot (see slot_seconds) and action, as one
            interface reported it to one flow log:
            source (row of sources), interface, src, dst, pkt_src, pkt_dst (rows of addresses), extra (row of
            extras), srcport, dstport,
            protocol, action, direction, slot, bytes, packets, records, first (earliest start, s), last (latest end, s),
            opened (records with SYN and without ACK), answered (1 where SYN-ACK was seen)
lines       one row is one interface of one flow log: NODATA and SKIPDATA lines, minutes (bit mask of minutes in
            which it reported), begin of the first NODATA line and end of the last (epoch s)
sources     one row is one flow log (or other source) with its counts; see SOURCE_COUNTS

Null texts are row 0 of their list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.address_codes import AddressCodes
from flowlake.flows.columns import entries, numbers, taken
from flowlake.flows.hashing import distinct
from flowlake.flows.minutes import minutes_masks
from flowlake.flows.sums import (
    ADDRESS_BITS,
    EXTRA_BITS,
    INTERFACE_BITS,
    KEYS,
    MEASURES,
    MOST_RECORDS,
    NO_PROTOCOL,
    SOURCE_BITS,
    Sums,
)
from flowlake.flows.text_codes import TextCodes, grown
from flowlake.lake.hours import Hour

I64 = npt.NDArray[np.int64]

# Fields of a record that the enrichment reads; a format that lacks some is read, and the lack is named.
NEEDED = (
    "interface_id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log_status",
)
WANTED = (
    "account_id",
    "vpc_id",
    "subnet_id",
    "az_id",
    "instance_id",
    "pkt_srcaddr",
    "pkt_dstaddr",
    "tcp_flags",
    "flow_direction",
    "traffic_path",
    "pkt_src_aws_service",
    "pkt_dst_aws_service",
    "reject_reason",
    "resource_id",
    "encryption_status",
    "interface_type",
    "next_hop_interface_id",
    "next_hop_interface_type",
)
TRANSIT_FIELDS = ("tgw_id", "tgw_attachment_id", "tgw_src_vpc_id", "tgw_dst_vpc_id", "tgw_src_eni", "tgw_dst_eni")
FACTS = ("account_id", "vpc_id", "subnet_id", "az_id", "instance_id")
COLUMNS = (frozenset(NEEDED) | frozenset(WANTED) | frozenset(TRANSIT_FIELDS)) - frozenset(FACTS)
"""What is read of every record. FACTS are the same for all records of an interface: they are read apart, and only of
objects with interfaces that the book can't place.
"""
ENRICHING = ("vpc_id", "pkt_srcaddr", "pkt_dstaddr", "tcp_flags", "flow_direction", "traffic_path")
"""Of the wanted fields those whose lack costs an enrichment: named in coverage."""


def lacking(fields: Sequence[str], transit: bool) -> list[str]:
    """The fields that the enrichment makes use of and a format lacks; that of a transit gateway has others: none."""
    return [] if transit else [name for name in (*NEEDED, *ENRICHING) if name not in fields]


EXTRAS = (
    "pkt_src_aws_service",
    "pkt_dst_aws_service",
    "traffic_path",
    "reject_reason",
    "encryption_status",
    "interface_type",
    "next_hop_interface_id",
    "next_hop_interface_type",
    "resource_id",
    "tgw_src_vpc_id",
    "tgw_dst_vpc_id",
    "tgw_attachment_id",
    "has_packet_addresses",
    "has_flags",
)

ACCEPT, REJECT, UNKNOWN_ACTION = 0, 1, 2
UNSAID, INGRESS, EGRESS = 0, 1, 2
NULL = 0

SOURCE_COUNTS = (
    "objects",
    "objects_torn",
    "lines",
    "records",
    "bytes",
    "nodata",
    "skipdata",
    "rejects",
    "stray_records",
    "stray_bytes",
    "stray_lines",
    "repeated_events",
)


@dataclass(frozen=True)
class Source:
    """Where records come from: a flow log, as the object's name says it; or its log group, as CloudWatch's envelope
    does; else the folder that it lies in.
    """

    flow_log_id: str | None
    account_id: str
    region: str


def slot_seconds(window_seconds: int) -> int:
    """The length of the slots that sums are kept by: a window, or the longest part of it, evenly cut, of at most five
    minutes.

    A sum is attributed as a whole, so it may not stretch over much more time than a record does.
    """
    return next(window_seconds // n for n in range(1, 61) if window_seconds % n == 0 and window_seconds // n <= 300)


@dataclass
class _Counts:
    objects: int = 0
    objects_torn: int = 0
    lines: int = 0
    records: int = 0
    bytes: int = 0
    nodata: int = 0
    skipdata: int = 0
    rejects: int = 0
    stray_records: int = 0
    stray_bytes: int = 0
    stray_lines: int = 0
    repeated_events: int = 0
    actions: int = 0
    longest: int = 0
    lacks: frozenset[str] = frozenset()
    reasons: dict[str, int] = field(default_factory=dict)
    transit: bool = False
    spoiled: bool = False
    streams: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


class Summary:
    """What one worker made of its objects: filled batch by batch, its memory grows with distinct connections and not
    with records.
    """

    FULL_AT = 1_500_000

    def __init__(self, hour: Hour, window_seconds: int) -> None:
        self.hour, self.slot_seconds = hour, slot_seconds(window_seconds)
        self.told: dict[str, dict[str, str | None]] = {}
        self._sums = Sums(hour.starts, hour.ends, self.slot_seconds)
        self.clear()

    def clear(self) -> None:
        """Begins anew; what was held has been sent on."""
        self.addresses, self.interfaces = AddressCodes(), TextCodes()
        self._placed = np.zeros(0, dtype=np.bool_)
        self._most = 0
        self.extras: dict[tuple | None, int] = {None: NULL}
        self.sources: dict[Source, int] = {}
        self.counts: list[_Counts] = []
        self.no_traffic: dict[tuple[int, int], list[int]] = {}
        self._sums.clear()

    def is_full(self) -> bool:
        """Whether it holds as much as it should: then it is to be sent on and cleared."""
        nearly = 0.9
        return (
            len(self.addresses) > nearly * (1 << ADDRESS_BITS)
            or len(self.interfaces) > nearly * (1 << INTERFACE_BITS)
            or len(self.extras) > nearly * (1 << EXTRA_BITS)
            or len(self.sources) > nearly * (1 << SOURCE_BITS)
            or len(self._sums) > self.FULL_AT
            or self._sums.taken > MOST_RECORDS
        )

    def source(self, source: Source) -> int:
        """The source's number. Raises OverflowError where there are more than can be told apart."""
        if source not in self.sources:
            if len(self.sources) >> SOURCE_BITS:
                raise OverflowError(f"more than {len(self.sources):,} flow logs at once")
            self.sources[source] = len(self.sources)
            self.counts.append(_Counts())
        return self.sources[source]

    def add(self, source: Source, records: pa.Table, fields: Sequence[str], transit: bool = False) -> None:
        """Takes up the records of one block. fields are those of the format, by which lacks are named; NODATA and
        SKIPDATA lines don't tell of lacks, as they say no more than who is silent.
        """
        at = self.source(source)
        counts = self.counts[at]
        lacks = frozenset(lacking(fields, transit))
        if not records.num_rows:
            counts.lacks |= lacks
        counts.transit |= transit
        for batch in records.to_batches(max_chunksize=1 << 20):
            if batch.num_rows:
                self._add_batch(at, counts, batch, transit, lacks)

    def _add_batch(self, at: int, counts: _Counts, batch: pa.RecordBatch, transit: bool, lacks: frozenset[str]) -> None:
        names = set(batch.schema.names)
        size = batch.num_rows
        starts = _numbers(batch, "start", names, size)
        ends = _numbers(batch, "end", names, size)
        here = (starts >= self.hour.starts) & (starts < self.hour.ends)
        status = _status(batch, names, size)
        data = status == _OK
        if bool(data.any()):
            counts.lacks |= lacks
        amounts = _numbers(batch, "bytes", names, size)
        if not bool(here.all()):
            stray = data & ~here
            counts.stray_records += int(np.count_nonzero(stray))
            counts.stray_bytes += int(amounts[stray].sum())
        own = self._reporters(batch, names, transit)
        if not bool(data.all()):
            silent = np.flatnonzero(~data)
            self._no_traffic(at, counts, own[silent], here[silent], status[silent], starts[silent], ends[silent])
        # Packets that this clock puts beside the hour the other reporter's may put into it: such records tell ends,
        # never bytes.
        beside = (ends >= self.hour.starts - 2 * CLOCK_SECONDS) & (starts < self.hour.ends + 2 * CLOCK_SECONDS)
        kept = (here | beside) & data
        if not bool(kept.any()):
            return
        packets = _numbers(batch, "packets", names, size)
        self._most += max(_total(amounts), _total(packets))
        if self._most > MOST_BYTES:
            raise OverflowError(
                f"records of flow log {list(self.sources)[at].flow_log_id} sum up to more than {MOST_BYTES:,} bytes or "
                "packets, which no network carries in an hour: the objects are damaged or forged"
            )
        records = self._keys(batch, names, own, transit) | {
            "start": starts,
            "end": ends,
            "bytes": amounts,
            "packets": packets,
        }
        told = self._sums.add(at, records, kept)
        counts.records += told.records
        counts.bytes += told.bytes
        counts.longest = max(counts.longest, told.longest)
        counts.actions |= told.actions

    def _keys(
        self, batch: pa.RecordBatch, names: set[str], own: npt.NDArray[np.int32], transit: bool
    ) -> dict[str, npt.NDArray]:
        """What records are told apart by, and their flags. own: the codes of who reports them."""
        size = batch.num_rows
        nothing = np.zeros(size, dtype=np.int32)

        def addresses(name: str) -> npt.NDArray[np.int32]:
            return self.addresses.of_column(batch[name]) if name in names else nothing

        if "action" in names:
            action = _codes(batch["action"], {"ACCEPT": ACCEPT, "REJECT": REJECT}, UNKNOWN_ACTION)
        else:
            action = np.full(size, ACCEPT if transit else UNKNOWN_ACTION, dtype=np.int32)
        direction = nothing
        if "flow_direction" in names:
            direction = _codes(batch["flow_direction"], {"ingress": INGRESS, "egress": EGRESS}, UNSAID)
        return {
            "interface": own,
            "src": addresses("srcaddr"),
            "dst": addresses("dstaddr"),
            "pkt_src": addresses("pkt_srcaddr"),
            "pkt_dst": addresses("pkt_dstaddr"),
            "extra": self._extra(batch, names),
            "action": action,
            "direction": direction,
            "protocol": _numbers(batch, "protocol", names, size, NO_PROTOCOL),
            **{name: _numbers(batch, name, names, size) for name in ("srcport", "dstport", "tcp_flags")},
        }

    def _reporters(self, batch: pa.RecordBatch, names: set[str], transit: bool) -> npt.NDArray[np.int32]:
        """Who reports each line, of traffic or of none: the interface, the transit gateway's attachment, or what stands
        for interfaces of its own (a regional NAT gateway).
        """
        named_by = "tgw_attachment_id" if transit else "interface_id"
        if named_by not in names and "resource_id" in names:
            named_by = "resource_id"
        if named_by not in names:
            return np.zeros(batch.num_rows, dtype=np.int32)
        own = self.interfaces.of_column(batch[named_by])
        if named_by == "interface_id" and "resource_id" in names and bool((own == NULL).any()):
            return np.where(own == NULL, self.interfaces.of_column(batch["resource_id"]), own)
        return own

    def _extra(self, batch: pa.RecordBatch, names: set[str]) -> npt.NDArray[np.int32]:
        """Code of the batch's rows for all fields that are evidence only, together: there are few distinct ones."""
        columns: dict[str, npt.NDArray] = {}
        texts: dict[str, list] = {}
        for name in EXTRAS:
            if name in names and pa.types.is_integer(batch[name].type):
                columns[name] = numbers(batch[name], -1)
            elif name in names:
                column = entries(batch[name])
                texts[name] = [*column.dictionary.to_pylist(), None]
                columns[name] = taken(column, np.arange(len(texts[name]) - 1), len(texts[name]) - 1)
        first, inverse = (
            distinct(*columns.values()) if columns else (np.zeros(1, np.int64), np.zeros(batch.num_rows, np.int64))
        )
        flags = "pkt_srcaddr" in names and "pkt_dstaddr" in names, "tcp_flags" in names
        codes = np.empty(len(first), dtype=np.int32)
        for i, row in enumerate(first.tolist()):
            key = tuple(_said(columns[name][row], texts.get(name)) if name in columns else None for name in EXTRAS[:-2])
            codes[i] = self.extras.setdefault(key + flags, len(self.extras))
        return codes[inverse]

    def not_placed(self, names: pa.StringArray) -> list[str]:
        """Of distinct names of interfaces those that were not said to be placed."""
        codes = self.interfaces.of_texts(names)
        self._placed = grown(self._placed, len(self.interfaces), False)
        return names.filter(pa.array(~self._placed[codes])).to_pylist()

    def place(self, names: list[str]) -> None:
        """Says that it is known where interfaces are."""
        self._placed[self.interfaces.of_texts(pa.array(names, pa.string()))] = True

    @property
    def facts(self) -> dict[int, dict[str, str | None]]:
        """What the records say of their own interfaces, by the interface's code."""
        return {code: self.told[name] for code, name in enumerate(self.interfaces.list()) if name in self.told}

    def note_facts(self, records: pa.Table) -> None:
        """What records say of their own interface, where the inventory may not know it: each fact once, and kept when
        the sums are sent on.
        """
        owners = [records[n].combine_chunks() for n in ("interface_id", "resource_id") if n in records.column_names]
        if not owners or not records.num_rows:
            return
        owner = owners[0]
        if owner.null_count and len(owners) > 1:
            owner = pc.coalesce(*(column.cast(pa.string()) for column in owners)).dictionary_encode()
        size = len(owner.dictionary)
        first = np.full(size + 1, -1, dtype=np.int64)
        codes = taken(owner, np.arange(size), size)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        offered = [name for name in FACTS if name in records.column_names]
        new = [
            (name, row)
            for name, row in zip(owner.dictionary.to_pylist(), first.tolist(), strict=False)
            if row >= 0 and not self.has_told(name, offered)
        ]
        rows = pa.array([row for _, row in new], pa.int64())
        said = {name: records[name].take(rows).to_pylist() for name in offered}
        for i, (name, _) in enumerate(new):
            told = self.told.setdefault(name, dict.fromkeys(offered))
            told.update({fact: values[i] for fact, values in said.items() if told.get(fact) is None})

    def has_told(self, interface: str, facts: Collection[str] = FACTS) -> bool:
        """Whether these facts of an interface were noted: other formats may offer more of them."""
        return self.told.get(interface, {}).keys() >= set(facts)

    def _no_traffic(
        self, at: int, counts: _Counts, own: npt.NDArray, here: npt.NDArray, status: npt.NDArray, starts: I64, ends: I64
    ) -> None:
        """Counts NODATA and SKIPDATA lines."""
        counts.nodata += int(np.count_nonzero(here & (status == _NODATA)))
        counts.skipdata += int(np.count_nonzero(here & (status == _SKIPDATA)))
        counts.stray_lines += int(np.count_nonzero(~here))
        # What was lost in an interval that reaches into the hour, by this clock or by the other reporter's, may
        # have begun in it.
        off = np.where(status == _SKIPDATA, 2 * CLOCK_SECONDS, 0)
        reaching = (starts < self.hour.ends + off) & (ends > self.hour.starts - off)
        told = here | reaching
        masks = minutes_masks(starts, ends, self.hour.starts)
        columns = (column[told].tolist() for column in (own, status, masks, starts, ends))
        for interface, kind, mask, start, end in zip(*columns, strict=True):
            seen = self.no_traffic.setdefault((at, interface), [0, 0, 0, *NEVER])
            if kind == _NODATA:
                seen[0] += 1
                seen[2] |= mask
                seen[3:] = min(seen[3], start), max(seen[4], end)
            else:
                seen[1] += 1

    def note_lines(
        self,
        source: Source,
        lines: int,
        rejects: Mapping[str, int],
        repeated: int = 0,
        listed_here: bool = True,
        stream: Source | None = None,
    ) -> None:
        """Counts lines that were read. Rejects spoil the flow log's hour; they are listed in one hour only.

        stream: the folder through which the records of several flow logs come. What was lost there without a word of
        whose it was spoils all of them.
        """
        counts = self.counts[self.source(source)]
        counts.lines += lines
        counts.repeated_events += repeated
        counts.spoiled = counts.spoiled or bool(rejects)
        for reason, number in rejects.items() if listed_here else ():
            counts.rejects += number
            counts.reasons[reason] = counts.reasons.get(reason, 0) + number
        if stream is not None and source != stream:
            counts.streams.add(stream.flow_log_id or "")
        elif stream is not None and rejects:
            counts.lost.add(stream.flow_log_id or "")

    def note_object(self, source: Source, torn: bool = False, stream: Source | None = None) -> None:
        """Counts one object that was read to its end, with the first flow log that was found in it."""
        counts = self.counts[self.source(source)]
        counts.objects += 1
        counts.objects_torn += torn
        counts.spoiled = counts.spoiled or torn
        if stream is not None and torn:
            counts.lost.add(stream.flow_log_id or "")

    def sums(self) -> pa.Table:
        """The sums with their keys as columns."""
        columns = self._sums.columns()
        return pa.table([columns[name] for name in SUMS.names], schema=SUMS)


SUMS = pa.schema([(name, pa.from_numpy_dtype(kind)) for name, kind in (KEYS | MEASURES).items()])

_OK, _NODATA, _SKIPDATA = 0, 1, 2

MOST_BYTES = 1 << 62
"""More can't be added up in 64 bits."""
NEVER = (1 << 62, -(1 << 62))
"""The span from the first to the last of nothing."""

CLOCK_SECONDS = 60
"""How much a record's start and end may be off (AWS)."""


def _status(batch: pa.RecordBatch, names: set[str], size: int) -> npt.NDArray[np.int32]:
    if "log_status" not in names:
        return np.zeros(size, dtype=np.int32)
    return _codes(batch["log_status"], {"NODATA": _NODATA, "SKIPDATA": _SKIPDATA}, _OK)


def _codes(column: pa.Array, codes: dict[str, int], otherwise: int) -> npt.NDArray[np.int32]:
    column = entries(column)
    of_texts = np.array([codes.get(text, otherwise) for text in column.dictionary.to_pylist()], dtype=np.int32)
    return taken(column, of_texts, otherwise)


def _numbers(batch: pa.RecordBatch, name: str, names: set[str], size: int, of_null: int = 0) -> npt.NDArray:
    return numbers(batch[name], of_null) if name in names else np.full(size, of_null, dtype=np.int64)


def _total(values: I64) -> int:
    """The sum, however large it is."""
    safe = len(values) * int(values.max(initial=0)) < MOST_BYTES
    return int(values.sum()) if safe else sum(values.tolist())


def _said(number: int, texts: list | None) -> object:
    if texts is not None:
        return texts[number]
    return None if number < 0 else int(number)
