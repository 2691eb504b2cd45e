"""Sums of records by what tells them apart, added up in one compiled pass as the records come.

Sums lie row by row in one table of numbers, found by a hash table that holds 32 bits of each key's hash beside the
row's number. The hash decides nothing: where two keys meet they are compared whole, so the sums are exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flowlake.flows.compiled import njit

I64 = npt.NDArray[np.int64]

ADDRESS_BITS, INTERFACE_BITS, EXTRA_BITS, SOURCE_BITS = 22, 19, 19, 10
_ADDRESS = (1 << ADDRESS_BITS) - 1

BEFORE, AFTER = 62, 63
"""Slots of what begins beside the hour, as near as two clocks may be off: it tells whose a connection was, uncounted.
"""
_SYN, _SYN_ACK = 2, 18

# What tells sums apart, packed into three numbers.
KEYS = {
    "source": np.int32,
    "interface": np.int32,
    "src": np.int32,
    "dst": np.int32,
    "pkt_src": np.int32,
    "pkt_dst": np.int32,
    "extra": np.int32,
    "srcport": np.int32,
    "dstport": np.int32,
    "protocol": np.int16,
    "action": np.int8,
    "direction": np.int8,
    "slot": np.int16,
}
# What is added up.
MEASURES = dict.fromkeys(("bytes", "packets", "records", "first", "last", "opened"), np.int64) | {"answered": np.int8}
_WIDTH = 3 + len(MEASURES)

# What add takes of each record; codes of texts and addresses are not null, and 0 is what is not said.
NUMBERS = {"start": np.int64, "end": np.int64, "bytes": np.int64, "packets": np.int64} | dict.fromkeys(
    ("srcport", "dstport", "protocol", "tcp_flags", "interface", "src", "dst", "pkt_src", "pkt_dst", "extra", "action",
     "direction"),
    np.int32,
)  # fmt: skip
_FIRST_ROWS = 1 << 12


class Sums:
    """One row is one key: see KEYS. bytes, packets, records, opened (SYN without ACK) are sums, first the earliest
    start, last the latest end, answered 1 where SYN-ACK was seen.
    """

    def __init__(self, hour_starts: int, hour_ends: int, slot_seconds: int) -> None:
        self._hour = np.array([hour_starts, hour_ends, slot_seconds])
        self._rows = np.empty((_FIRST_ROWS, _WIDTH), np.int64)
        self._table = np.zeros(2 * _FIRST_ROWS, np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, source: int, records: Mapping[str, npt.NDArray], kept: npt.NDArray[np.bool_]) -> Added:
        """Adds records up, those that are kept."""
        self._make_room(int(np.count_nonzero(kept)))
        columns = [_steady(records[name], kind) for name, kind in NUMBERS.items()]
        told = np.zeros(5, np.int64)
        told[0] = self._count
        _add(source, self._hour, kept, *columns, self._rows, self._table, told)
        self._count = int(told[0])
        return Added(*told[1:].tolist())

    def columns(self) -> dict[str, npt.NDArray]:
        """The sums by the names of their columns."""
        columns = {name: np.empty(self._count, kind) for name, kind in (KEYS | MEASURES).items()}
        _unpack(self._rows[: self._count], *columns.values())
        return columns

    def _make_room(self, rows: int) -> None:
        wanted = self._count + rows
        if wanted > len(self._rows):
            # Four times as many: what is not written to takes no memory, and little is moved.
            larger = np.empty((max(wanted, 4 * len(self._rows)), _WIDTH), np.int64)
            larger[: self._count] = self._rows[: self._count]
            self._rows = larger
        if 2 * wanted > len(self._table):
            table = np.zeros(1 << (2 * wanted - 1).bit_length(), np.uint64)
            _move(self._table, table)
            self._table = table


class Added:
    """What records told beside their sums: how many begin in the hour and their bytes, the longest one's seconds, and
    the actions seen (1 << action).
    """

    def __init__(self, records: int, amount: int, longest: int, actions: int) -> None:
        self.records, self.bytes, self.longest, self.actions = records, amount, longest, actions


def _steady(values: npt.NDArray, kind: type) -> npt.NDArray:
    """The values as the compiled loop knows them: of one type, one behind the other, and not to be written."""
    held: npt.NDArray = np.ascontiguousarray(values, kind).view()
    held.flags.writeable = False
    return held


@njit(cache=True, nogil=True)
def _add(  # type: ignore[no-untyped-def]
    source, hour, kept, start, end, amount, packets, srcport, dstport, protocol, flags, interface, src, dst, pkt_src,
    pkt_dst, extra, action, direction, rows, table, told,
):  # fmt: skip
    mask = np.uint64(len(table) - 1)
    hour_starts, hour_ends, slot_seconds = hour
    count = told[0]
    records = total = longest = actions = 0
    for i in range(len(kept)):
        if not kept[i]:
            continue
        begins = start[i]
        if begins < hour_starts:
            slot = BEFORE
        elif begins < hour_ends:
            slot = (begins - hour_starts) // slot_seconds
            records += 1
            total += amount[i]
        else:
            slot = AFTER
        longest = max(longest, end[i] - begins)
        actions |= 1 << action[i]
        one, other = np.int64(src[i]), np.int64(dst[i])
        inner = np.int64(pkt_src[i]) if pkt_src[i] else one
        outer = np.int64(pkt_dst[i]) if pkt_dst[i] else other
        k1 = np.int64(interface[i]) << 2 * ADDRESS_BITS | one << ADDRESS_BITS | other
        k2 = np.int64(extra[i]) << 2 * ADDRESS_BITS | inner << ADDRESS_BITS | outer
        ports = np.int64(srcport[i]) << 16 | np.int64(dstport[i])
        k3 = np.int64(source) << 50 | np.int64(slot) << 44 | np.int64(direction[i]) << 42
        k3 |= np.int64(action[i]) << 40 | np.int64(protocol[i]) << 32 | ports
        key = np.uint64(k1) * np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(32)) ^ np.uint64(k2)) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(32)) ^ np.uint64(k3)) * np.uint64(0x94D049BB133111EB)
        key = (key ^ (key >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
        key >>= np.uint64(32)
        place = key & mask
        while True:
            held = table[place]
            if held == 0:
                row = count
                count += 1
                table[place] = key << np.uint64(32) | np.uint64(count)
                rows[row, 0], rows[row, 1], rows[row, 2] = k1, k2, k3
                rows[row, 3], rows[row, 4], rows[row, 5] = amount[i], packets[i], 1
                rows[row, 6], rows[row, 7] = begins, end[i]
                rows[row, 8], rows[row, 9] = flags[i] & _SYN_ACK == _SYN, flags[i] & _SYN_ACK == _SYN_ACK
                break
            if held >> np.uint64(32) == key:
                row = np.int64(held & np.uint64(0xFFFFFFFF)) - 1
                if rows[row, 0] == k1 and rows[row, 1] == k2 and rows[row, 2] == k3:
                    rows[row, 3] += amount[i]
                    rows[row, 4] += packets[i]
                    rows[row, 5] += 1
                    rows[row, 6] = min(rows[row, 6], begins)
                    rows[row, 7] = max(rows[row, 7], end[i])
                    rows[row, 8] += flags[i] & _SYN_ACK == _SYN
                    rows[row, 9] |= flags[i] & _SYN_ACK == _SYN_ACK
                    break
            place = (place + np.uint64(1)) & mask
    told[0], told[1], told[2], told[3], told[4] = count, records, total, longest, actions


@njit(cache=True, nogil=True)
def _move(table, larger):  # type: ignore[no-untyped-def]
    """Fills a larger table with what one held."""
    mask = np.uint64(len(larger) - 1)
    for held in table:
        if held:
            place = (held >> np.uint64(32)) & mask
            while larger[place]:
                place = (place + np.uint64(1)) & mask
            larger[place] = held


@njit(cache=True, nogil=True)
def _unpack(  # type: ignore[no-untyped-def]
    rows, source, interface, src, dst, pkt_src, pkt_dst, extra, srcport, dstport, protocol, action, direction, slot,
    amount, packets, records, first, last, opened, answered,
):  # fmt: skip
    for row in range(len(rows)):
        k1, k2, k3 = rows[row, 0], rows[row, 1], rows[row, 2]
        interface[row], extra[row] = k1 >> 2 * ADDRESS_BITS, k2 >> 2 * ADDRESS_BITS
        src[row], dst[row] = k1 >> ADDRESS_BITS & _ADDRESS, k1 & _ADDRESS
        pkt_src[row], pkt_dst[row] = k2 >> ADDRESS_BITS & _ADDRESS, k2 & _ADDRESS
        source[row], slot[row], direction[row] = k3 >> 50, k3 >> 44 & 63, k3 >> 42 & 3
        action[row], protocol[row] = k3 >> 40 & 3, k3 >> 32 & 0xFF
        srcport[row], dstport[row] = k3 >> 16 & 0xFFFF, k3 & 0xFFFF
        amount[row], packets[row], records[row] = rows[row, 3], rows[row, 4], rows[row, 5]
        first[row], last[row] = rows[row, 6], rows[row, 7]
        opened[row], answered[row] = rows[row, 8], rows[row, 9]
