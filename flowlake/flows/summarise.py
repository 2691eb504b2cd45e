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
            which it reported)
sources     one row is one flow log (or other source) with its counts; see SOURCE_COUNTS

Null texts are row 0 of their list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.address_codes import AddressCodes
from flowlake.flows.hashing import distinct_values
from flowlake.lake.hours import SECONDS, Hour

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
BEFORE, AFTER = 62, 63
"""Slots of what begins beside the hour, as near as two clocks may be off: it tells whose a connection was, uncounted.
"""
UNSAID, INGRESS, EGRESS = 0, 1, 2
NULL = 0

_ADDRESS_BITS, _INTERFACE_BITS, _EXTRA_BITS = 22, 19, 19
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
)


@dataclass(frozen=True)
class Source:
    """Where records come from: a flow log, as the object's name says it."""

    flow_log_id: str | None
    account_id: str
    region: str


def slot_seconds(window_seconds: int) -> int:
    """The length of the slots that sums are kept by: a window, or the longest part of it, evenly cut, of at most five
    minutes.

    A sum is attributed as a whole, so it may not stretch over much more time than a record does.
    """
    return next(window_seconds // n for n in range(1, 61) if window_seconds % n == 0 and window_seconds // n <= 300)


class Texts:
    """Distinct texts as integers, in order of first sight; null is 0."""

    def __init__(self) -> None:
        self.codes: dict[object, int] = {None: NULL}

    def __len__(self) -> int:
        return len(self.codes)

    def code(self, text: object) -> int:
        return self.codes.setdefault(text, len(self.codes))

    def of_column(self, column: pa.Array) -> I64:
        """Codes of a dictionary (or plain) array, looking at each distinct text once."""
        if not pa.types.is_dictionary(column.type):
            column = pc.dictionary_encode(column)
        codes = self.codes
        translated = np.fromiter(
            (codes.setdefault(text, len(codes)) for text in column.dictionary.to_pylist()),
            dtype=np.int64,
            count=len(column.dictionary),
        )
        translated = np.append(translated, NULL)
        indices = column.indices
        if indices.null_count:
            indices = indices.fill_null(len(translated) - 1)
        return translated[indices.to_numpy(zero_copy_only=False)]

    def list(self) -> list:
        return list(self.codes)


_MEASURES = [
    ("bytes", "sum"),
    ("packets", "sum"),
    ("records", "sum"),
    ("first", "min"),
    ("last", "max"),
    ("opened", "sum"),
    ("answered", "max"),
]
_GROUPED = {
    "bytes_sum": "bytes",
    "packets_sum": "packets",
    "records_sum": "records",
    "first_min": "first",
    "last_max": "last",
}
_GROUPED |= {"opened_sum": "opened", "answered_max": "answered"}


def _group(table: pa.Table) -> pa.Table:
    grouped = table.group_by(["k1", "k2", "k3"], use_threads=False).aggregate(_MEASURES)
    return grouped.rename_columns([_GROUPED.get(name, name) for name in grouped.column_names])


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
    actions: int = 0
    longest: int = 0
    lacks: frozenset[str] = frozenset()
    reasons: dict[str, int] = field(default_factory=dict)
    transit: bool = False
    spoiled: bool = False


class Summary:
    """What one worker made of its objects: filled batch by batch, its memory grows with distinct connections and not
    with records.
    """

    GROUP_AT = 500_000
    FULL_AT = 1_500_000

    def __init__(self, hour: Hour, window_seconds: int) -> None:
        self.hour, self.slot_seconds = hour, slot_seconds(window_seconds)
        self.told: dict[str, dict[str, str]] = {}
        self.clear()

    def clear(self) -> None:
        """Begins anew; what was held has been sent on."""
        self.addresses, self.interfaces, self.extras = AddressCodes(), Texts(), Texts()
        self.sources: dict[Source, int] = {}
        self.counts: list[_Counts] = []
        self.no_traffic: dict[tuple[int, int], list[int]] = {}
        self._parts: list[pa.Table] = []
        self._rows = 0
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def is_full(self) -> bool:
        """Whether it holds as much as it should: then it is to be sent on and cleared."""
        nearly = 0.9
        return (
            len(self.addresses) > nearly * (1 << _ADDRESS_BITS)
            or len(self.interfaces) > nearly * (1 << _INTERFACE_BITS)
            or len(self.extras) > nearly * (1 << _EXTRA_BITS)
            or len(self.sources) >= 1000
            or self._rows > self.FULL_AT
        )

    def source(self, source: Source) -> int:
        if source not in self.sources:
            self.sources[source] = len(self.sources)
            self.counts.append(_Counts())
        return self.sources[source]

    def add(self, source: Source, records: pa.Table, fields: Sequence[str], transit: bool = False) -> None:
        """Takes up the records of one block. fields are those of the format, by which lacks are named."""
        at = self.source(source)
        counts = self.counts[at]
        counts.lacks |= frozenset(f for f in (*NEEDED, *ENRICHING) if f not in fields and not transit)
        counts.transit |= transit
        for batch in records.to_batches(max_chunksize=1 << 20):
            if batch.num_rows:
                self._add_batch(at, counts, batch, transit)

    def _add_batch(self, at: int, counts: _Counts, batch: pa.RecordBatch, transit: bool) -> None:
        names = set(batch.schema.names)
        size = batch.num_rows
        starts = _numbers(batch, "start", names, size)
        ends = _numbers(batch, "end", names, size)
        here = (starts >= self.hour.starts) & (starts < self.hour.ends)
        status = _status(batch, names, size)
        data = status == _OK
        amounts = _numbers(batch, "bytes", names, size)
        if not bool(here.all()):
            stray = data & ~here
            counts.stray_records += int(np.count_nonzero(stray))
            counts.stray_bytes += int(amounts[stray].sum())
        if not bool(data.all()):
            # What was lost in an interval that reaches into the hour, by this clock or by the other reporter's, may
            # have begun in it.
            off = np.where(status == _SKIPDATA, 2 * CLOCK_SECONDS, 0)
            reaching = (starts < self.hour.ends + off) & (ends > self.hour.starts - off)
            self._no_traffic(at, counts, batch, names, here & ~data, reaching & ~data, status, starts, ends)
        # Packets that this clock puts beside the hour the other reporter's may put into it: such records tell ends,
        # never bytes.
        beside = (ends >= self.hour.starts - 2 * CLOCK_SECONDS) & (starts < self.hour.ends + 2 * CLOCK_SECONDS)
        keep = np.flatnonzero((here | beside) & data)
        if not len(keep):
            return
        if len(keep) < size // 2:
            batch = batch.take(pa.array(keep))
            keep, size = np.arange(len(keep)), len(keep)
        keys = self._keys(at, batch, names, transit)
        columns = keys | {
            "bytes": _numbers(batch, "bytes", names, size),
            "packets": _numbers(batch, "packets", names, size),
            "first": _numbers(batch, "start", names, size),
            "last": _numbers(batch, "end", names, size),
        }
        if len(keep) < size:
            # Few lines are left out: cheaper so than taking them out of every column of the batch.
            columns = {name: values[keep] for name, values in columns.items()}
        self._wait(counts, columns)

    def _keys(self, at: int, batch: pa.RecordBatch, names: set[str], transit: bool) -> dict[str, npt.NDArray]:
        """What records are told apart by, and the handshakes seen in them."""
        size = batch.num_rows
        nothing = np.zeros(size, dtype=np.int64)
        interface_column = "tgw_attachment_id" if transit else "interface_id"
        if interface_column not in names and "resource_id" in names:
            interface_column = "resource_id"
        interface = self.interfaces.of_column(batch[interface_column]) if interface_column in names else nothing
        if interface_column == "interface_id" and "resource_id" in names and bool((interface == NULL).any()):
            interface = np.where(interface == NULL, self.interfaces.of_column(batch["resource_id"]), interface)
        src = self.addresses.of_column(batch["srcaddr"]) if "srcaddr" in names else nothing
        dst = self.addresses.of_column(batch["dstaddr"]) if "dstaddr" in names else nothing
        pkt_src = self.addresses.of_column(batch["pkt_srcaddr"]) if "pkt_srcaddr" in names else src
        pkt_dst = self.addresses.of_column(batch["pkt_dstaddr"]) if "pkt_dstaddr" in names else dst
        if pkt_src is not src:
            pkt_src = np.where(pkt_src == NULL, src, pkt_src)
        if pkt_dst is not dst:
            pkt_dst = np.where(pkt_dst == NULL, dst, pkt_dst)
        action = (
            _codes(batch["action"], {"ACCEPT": ACCEPT, "REJECT": REJECT}, UNKNOWN_ACTION) if "action" in names else None
        )
        if action is None:
            action = np.full(size, ACCEPT if transit else UNKNOWN_ACTION, dtype=np.int64)
        direction = (
            _codes(batch["flow_direction"], {"ingress": INGRESS, "egress": EGRESS}, UNSAID)
            if "flow_direction" in names
            else nothing
        )
        starts = _numbers(batch, "start", names, size)
        slot = (starts - self.hour.starts) // self.slot_seconds
        slot = np.where(starts < self.hour.starts, BEFORE, np.where(starts < self.hour.ends, slot, AFTER))
        flags = _numbers(batch, "tcp_flags", names, size) & 18 if "tcp_flags" in names else nothing
        extra = self._extra(batch, names)
        ports = _numbers(batch, "srcport", names, size) << 16 | _numbers(batch, "dstport", names, size)
        protocol = _numbers(batch, "protocol", names, size)
        return {
            "k1": interface << 2 * _ADDRESS_BITS | src << _ADDRESS_BITS | dst,
            "k2": extra << 2 * _ADDRESS_BITS | pkt_src << _ADDRESS_BITS | pkt_dst,
            "k3": at << 50 | slot << 44 | direction << 42 | action << 40 | protocol << 32 | ports,
            "opened": (flags == 2).astype(np.int64),
            "answered": (flags == 18).astype(np.int8),
        }

    def _wait(self, counts: _Counts, columns: dict[str, npt.NDArray]) -> None:
        """Counts records and keeps them until they are added up."""
        size = len(columns["k1"])
        here = (columns["k3"] >> 44 & 63) < BEFORE
        counts.records += int(np.count_nonzero(here))
        counts.bytes += int(columns["bytes"][here].sum())
        counts.longest = max(counts.longest, int((columns["last"] - columns["first"]).max(initial=0)))
        for action in (ACCEPT, REJECT, UNKNOWN_ACTION):
            if not counts.actions >> action & 1 and bool(((columns["k3"] >> 40 & 3) == action).any()):
                counts.actions |= 1 << action
        table = pa.table(columns | {"records": np.ones(size, dtype=np.int64)})
        self._waiting.append(table)
        self._waiting_rows += size
        if self._waiting_rows > self.GROUP_AT:
            self._group_waiting()

    def _group_waiting(self) -> None:
        """Adds up what came since the last time. Objects of other five minutes hold other slots: adding up all once
        more would bring little.
        """
        if self._waiting:
            part = _group(pa.concat_tables(self._waiting))
            self._parts.append(part)
            self._rows += part.num_rows
            self._waiting, self._waiting_rows = [], 0

    def _extra(self, batch: pa.RecordBatch, names: set[str]) -> I64:
        """Code of the batch's rows for all fields that are evidence only, together: there are few distinct ones."""
        size = batch.num_rows
        combined = np.zeros(size, dtype=np.int64)
        present: list[tuple[str, list, int]] = []
        for name in EXTRAS:
            if name not in names:
                continue
            column = batch[name]
            if not pa.types.is_dictionary(column.type):
                if name == "traffic_path" or name == "encryption_status":
                    # Small numbers: no dictionary needed.
                    values = column.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
                    present.append(
                        (name, [None, *range(int(values.max(initial=0)) + 1)], 1 + int(values.max(initial=0)))
                    )
                    combined = combined * (1 + int(values.max(initial=0))) + values
                    continue
                column = pc.dictionary_encode(column)
            texts = [*column.dictionary.to_pylist(), None]
            indices = column.indices
            if indices.null_count:
                indices = indices.fill_null(len(texts) - 1)
            present.append((name, texts, len(texts)))
            combined = combined * len(texts) + indices.to_numpy(zero_copy_only=False)
        packet_addresses = "pkt_srcaddr" in names and "pkt_dstaddr" in names
        distinct, inverse = distinct_values(combined)
        codes = np.empty(len(distinct), dtype=np.int64)
        for i, value in enumerate(distinct.tolist()):
            row: dict[str, object] = {}
            for name, texts, base in reversed(present):
                value, digit = divmod(value, base)
                row[name] = texts[digit]
            key = tuple(row.get(name) for name in EXTRAS[:-2]) + (packet_addresses, "tcp_flags" in names)
            codes[i] = self.extras.code(key)
        return codes[inverse]

    @property
    def facts(self) -> dict[int, dict[str, str]]:
        """What the records say of their own interfaces, by the interface's code."""
        return {code: self.told[name] for name, code in self.interfaces.codes.items() if name in self.told}

    def note_facts(self, records: pa.Table) -> None:
        """What records say of their own interface, where the inventory may not know it: once an interface, and kept
        when the sums are sent on.
        """
        owners = [records[n].cast(pa.string()) for n in ("interface_id", "resource_id") if n in records.column_names]
        if not owners or not records.num_rows:
            return
        owner = pc.coalesce(*owners).combine_chunks().dictionary_encode()
        first = np.full(len(owner.dictionary) + 1, -1, dtype=np.int64)
        codes = owner.indices.fill_null(len(owner.dictionary)).to_numpy(zero_copy_only=False)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        said = [name for name in FACTS if name in records.column_names]
        for name, row in zip(owner.dictionary.to_pylist(), first.tolist(), strict=False):
            if name not in self.told:
                self.told[name] = {f: value for f in said if (value := records[f][row].as_py()) is not None}

    def _no_traffic(
        self,
        at: int,
        counts: _Counts,
        batch: pa.RecordBatch,
        names: set[str],
        here: npt.NDArray,
        reaching: npt.NDArray,
        status: I64,
        starts: I64,
        ends: I64,
    ) -> None:
        counts.nodata += int(np.count_nonzero(here & (status == _NODATA)))
        counts.skipdata += int(np.count_nonzero(here & (status == _SKIPDATA)))
        rows = np.flatnonzero(here | reaching)
        if not len(rows):
            return
        interfaces = (
            self.interfaces.of_column(batch["interface_id"])
            if "interface_id" in names
            else np.zeros(len(status), dtype=np.int64)
        )
        for row in rows.tolist():
            seen = self.no_traffic.setdefault((at, int(interfaces[row])), [0, 0, 0])
            seen[0 if status[row] == _NODATA else 1] += 1
            if status[row] == _NODATA:
                seen[2] |= minutes_mask(int(starts[row]), int(ends[row]), self.hour.starts)

    def note_object(
        self, source: Source, lines: int, torn: bool, rejects: dict[str, int], listed_here: bool = True
    ) -> None:
        """Counts one object that was read to its end. Rejects spoil the flow log's hour; they are listed in one
        hour only.
        """
        counts = self.counts[self.source(source)]
        counts.objects += 1
        counts.lines += lines
        counts.objects_torn += torn
        counts.spoiled = counts.spoiled or bool(rejects) or torn
        for reason, number in rejects.items() if listed_here else ():
            counts.rejects += number
            counts.reasons[reason] = counts.reasons.get(reason, 0) + number

    def sums(self) -> pa.Table:
        """The sums with their keys as columns. A connection that came in several parts may have several rows."""
        self._group_waiting()
        if not self._parts:
            return SUMS.empty_table()
        table = pa.concat_tables(self._parts)
        k1, k2, k3 = (table[k].to_numpy() for k in ("k1", "k2", "k3"))
        mask = (1 << _ADDRESS_BITS) - 1
        columns = {
            "source": (k3 >> 50).astype(np.int32),
            "interface": (k1 >> 2 * _ADDRESS_BITS).astype(np.int32),
            "src": (k1 >> _ADDRESS_BITS & mask).astype(np.int32),
            "dst": (k1 & mask).astype(np.int32),
            "pkt_src": (k2 >> _ADDRESS_BITS & mask).astype(np.int32),
            "pkt_dst": (k2 & mask).astype(np.int32),
            "extra": (k2 >> 2 * _ADDRESS_BITS).astype(np.int32),
            "srcport": (k3 >> 16 & 0xFFFF).astype(np.int32),
            "dstport": (k3 & 0xFFFF).astype(np.int32),
            "protocol": (k3 >> 32 & 0xFF).astype(np.int16),
            "action": (k3 >> 40 & 3).astype(np.int8),
            "direction": (k3 >> 42 & 3).astype(np.int8),
            "slot": (k3 >> 44 & 63).astype(np.int16),
        }
        columns |= {name: table[name].to_numpy() for name, _ in _MEASURES}
        return pa.table(columns).cast(SUMS)


SUMS = pa.schema(
    [
        ("source", pa.int32()),
        ("interface", pa.int32()),
        ("src", pa.int32()),
        ("dst", pa.int32()),
        ("pkt_src", pa.int32()),
        ("pkt_dst", pa.int32()),
        ("extra", pa.int32()),
        ("srcport", pa.int32()),
        ("dstport", pa.int32()),
        ("protocol", pa.int16()),
        ("action", pa.int8()),
        ("direction", pa.int8()),
        ("slot", pa.int16()),
        ("bytes", pa.int64()),
        ("packets", pa.int64()),
        ("records", pa.int64()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("opened", pa.int64()),
        ("answered", pa.int8()),
    ]
)

_OK, _NODATA, _SKIPDATA = 0, 1, 2

CLOCK_SECONDS = 60
"""How much a record's start and end may be off (AWS)."""


def _status(batch: pa.RecordBatch, names: set[str], size: int) -> I64:
    if "log_status" not in names:
        return np.zeros(size, dtype=np.int64)
    return _codes(batch["log_status"], {"NODATA": _NODATA, "SKIPDATA": _SKIPDATA}, _OK)


def _codes(column: pa.Array, codes: dict[str, int], otherwise: int) -> I64:
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    translated = np.array(
        [codes.get(text, otherwise) for text in column.dictionary.to_pylist()] + [otherwise], dtype=np.int64
    )
    indices = column.indices
    if indices.null_count:
        indices = indices.fill_null(len(translated) - 1)
    return translated[indices.to_numpy(zero_copy_only=False)]


def _numbers(batch: pa.RecordBatch, name: str, names: set[str], size: int) -> I64:
    if name not in names:
        return np.zeros(size, dtype=np.int64)
    column = batch[name]
    if column.null_count:
        column = column.fill_null(0)
    values: I64 = column.to_numpy(zero_copy_only=False)
    return values if values.dtype == np.int64 else values.astype(np.int64)


MINUTES_BEFORE = 2
_MINUTES = SECONDS // 60


def minutes_mask(start: int, end: int, hour_starts: int) -> int:
    """Minutes touched by [start, end] as a bit mask: bit 2 is the hour's first minute, bits 0 and 1 what was before,
    62 and 63 what comes after.
    """
    first = min(max((start - hour_starts) // 60 + MINUTES_BEFORE, 0), 63)
    last = min(max((end - hour_starts) // 60 + MINUTES_BEFORE, 0), 63)
    return ((1 << (last - first + 1)) - 1) << first


def minutes_masks(start: I64, end: I64, hour_starts: int) -> npt.NDArray[np.uint64]:
    """minutes_mask for many spans."""
    first = np.clip((start - hour_starts) // 60 + MINUTES_BEFORE, 0, 63).astype(np.uint64)
    last = np.clip((end - hour_starts) // 60 + MINUTES_BEFORE, 0, 63).astype(np.uint64)
    ones = np.uint64(0xFFFFFFFFFFFFFFFF)
    length = np.maximum(last, first) - first
    return (ones >> (np.uint64(63) - length)) << first


def first_and_last_minute(masks: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
    """The first and the last minute in each mask, counted from the hour's first (0); -2 is all before -1, 61 all
    after 60.
    """
    lowest = masks & (~masks + np.uint64(1))
    highest = masks.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        highest |= highest >> np.uint64(shift)
    highest ^= highest >> np.uint64(1)
    # Powers of two are exact as floats.
    bits = [np.log2(np.maximum(one, np.uint64(1)).astype(np.float64)).astype(np.int64) for one in (lowest, highest)]
    return bits[0] - MINUTES_BEFORE, bits[1] - MINUTES_BEFORE


WHOLE_HOUR = ((1 << _MINUTES) - 1) << MINUTES_BEFORE
