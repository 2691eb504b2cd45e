"""Sums of records by what tells them apart, added up in one compiled pass as the records come.

Sums lie row by row in one table of numbers, a row in one line of the processor's cache, found by a hash table that
holds 32 bits of each key's hash beside the row's number. The hash decides nothing: where two keys meet they are
compared whole, so the sums are exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flowlake.flows.compiled import AT_ONCE, njit, steady

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

NO_PROTOCOL = 256
"""Of records that name no protocol: 0 is one."""
_PROTOCOLS, _ACTIONS = NO_PROTOCOL + 1, 3

_WIDTH = 8
"""Three words of the key, bytes, packets, first, last, and how many records are of it: see _COUNT_BITS."""
_COUNT_BITS = 31
_ONE, _OPENED, _ANSWERED = 1, 1 << _COUNT_BITS, 1 << 2 * _COUNT_BITS
_COUNT = (1 << _COUNT_BITS) - 1
MOST_RECORDS = 1 << 30
"""With so many taken up no count may be far from its greatest."""

# What add takes of each record; codes of texts and addresses are not null, and 0 is what is not said.
NUMBERS = {"start": np.int64, "end": np.int64, "bytes": np.int64, "packets": np.int64} | dict.fromkeys(
    ("srcport", "dstport", "protocol", "tcp_flags", "interface", "src", "dst", "pkt_src", "pkt_dst", "extra", "action",
     "direction"),
    np.int32,
)  # fmt: skip
_ROOM = 1 << 21
"""Rows that there is room for: what is not written to takes no memory, and what does not grow is not moved."""
_FIRST_PLACES = 1 << 13
_LINE = 64


class Sums:
    """One row is one key: see KEYS. bytes, packets, records, opened (SYN without ACK) are sums, first the earliest
    start, last the latest end, answered 1 where SYN-ACK was seen.
    """

    def __init__(self, hour_starts: int, hour_ends: int, slot_seconds: int) -> None:
        self._hour = np.array([hour_starts, hour_ends, slot_seconds])
        # The first row is nobody's: 0 in the table is a free place.
        self._rows = _aligned(_ROOM)
        self._rows[0] = 0
        self.clear()

    def __len__(self) -> int:
        return self._count

    @property
    def taken(self) -> int:
        """How many records were taken up: to be sent on and cleared before they are more than MOST_RECORDS."""
        return self._taken

    def clear(self) -> None:
        """Begins anew, where it lies."""
        self._table = np.zeros(_FIRST_PLACES, np.uint64)
        self._count = self._taken = 0

    def add(self, source: int, records: Mapping[str, npt.NDArray], kept: npt.NDArray[np.bool_]) -> Added:
        """Adds records up, those that are kept. Raises OverflowError where they are more than can be counted."""
        rows = int(np.count_nonzero(kept))
        self._taken += rows
        if self._taken > _COUNT:
            raise OverflowError(f"{self._taken:,} records are more than can be counted at once")
        self._make_room(rows)
        columns = [steady(records[name], kind) for name, kind in NUMBERS.items()]
        told = np.zeros(6, np.int64)
        told[0] = self._count
        _add(source, self._hour, kept, *columns, self._rows, self._table, told)
        self._count = int(told[0])
        return Added(*told[1:5].tolist())

    def columns(self) -> dict[str, npt.NDArray]:
        """The sums by the names of their columns."""
        columns = {name: np.empty(self._count, kind) for name, kind in (KEYS | MEASURES).items()}
        _unpack(self._rows[1 : self._count + 1], *columns.values())
        return columns

    def _make_room(self, rows: int) -> None:
        wanted = self._count + rows
        if wanted >= len(self._rows):
            larger = _aligned(2 * wanted)
            larger[: self._count + 1] = self._rows[: self._count + 1]
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


def _aligned(rows: int) -> I64:
    """Room for rows, each of them in one line of the cache."""
    words = _LINE // 8
    room = np.empty(rows * _WIDTH + words, np.int64)
    skipped = -room.ctypes.data % _LINE // 8
    return room[skipped : skipped + rows * _WIDTH].reshape(rows, _WIDTH)


@njit(cache=True, nogil=True)
def _add(  # type: ignore[no-untyped-def]
    source, hour, kept, start, end, amount, packets, srcport, dstport, protocol, flags, interface, src, dst, pkt_src,
    pkt_dst, extra, action, direction, rows, table, told,
):  # fmt: skip
    mask = np.uint64(len(table) - 1)
    hour_starts, hour_ends, slot_seconds = hour
    count = told[0]
    records = total = longest = actions = 0
    # Of the records at hand their places in the columns, and what tells them apart with its hash.
    of = np.empty(AT_ONCE, np.int64)
    keys = np.empty((AT_ONCE, 4), np.int64)
    touched = np.int64(0)
    i = 0
    while i < len(kept):
        some = 0
        while some < AT_ONCE and i < len(kept):
            if kept[i]:
                of[some] = i
                some += 1
            i += 1
        for n in range(some):
            at = of[n]
            begins = start[at]
            if begins < hour_starts:
                slot = BEFORE
            elif begins < hour_ends:
                slot = (begins - hour_starts) // slot_seconds
                records += 1
                total += amount[at]
            else:
                slot = AFTER
            longest = max(longest, end[at] - begins)
            actions |= 1 << action[at]
            one, other = np.int64(src[at]), np.int64(dst[at])
            inner = np.int64(pkt_src[at]) if pkt_src[at] else one
            outer = np.int64(pkt_dst[at]) if pkt_dst[at] else other
            k1 = np.int64(interface[at]) << 2 * ADDRESS_BITS | one << ADDRESS_BITS | other
            k2 = np.int64(extra[at]) << 2 * ADDRESS_BITS | inner << ADDRESS_BITS | outer
            ports = np.int64(srcport[at]) << 16 | np.int64(dstport[at])
            kind = (np.int64(direction[at]) * _ACTIONS + np.int64(action[at])) * _PROTOCOLS + np.int64(protocol[at])
            k3 = np.int64(source) << 50 | np.int64(slot) << 44 | kind << 32 | ports
            key = np.uint64(k1) * np.uint64(0x9E3779B97F4A7C15)
            key = (key ^ (key >> np.uint64(32)) ^ np.uint64(k2)) * np.uint64(0xBF58476D1CE4E5B9)
            key = (key ^ (key >> np.uint64(32)) ^ np.uint64(k3)) * np.uint64(0x94D049BB133111EB)
            key = (key ^ (key >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
            keys[n, 0], keys[n, 1], keys[n, 2] = k1, k2, k3
            keys[n, 3] = np.int64(key >> np.uint64(32))
        for n in range(some):
            touched ^= rows[np.int64(table[np.uint64(keys[n, 3]) & mask] & np.uint64(0xFFFFFFFF)), 0]
        for n in range(some):
            at = of[n]
            k1, k2, k3, key = keys[n, 0], keys[n, 1], keys[n, 2], np.uint64(keys[n, 3])
            counted = _ONE
            if flags[at] & _SYN_ACK == _SYN:
                counted += _OPENED
            answered = flags[at] & _SYN_ACK == _SYN_ACK
            place = key & mask
            while True:
                held = table[place]
                if held == 0:
                    row = count = count + 1
                    table[place] = key << np.uint64(32) | np.uint64(row)
                    rows[row, 0], rows[row, 1], rows[row, 2] = k1, k2, k3
                    rows[row, 3], rows[row, 4] = amount[at], packets[at]
                    rows[row, 5], rows[row, 6] = start[at], end[at]
                    rows[row, 7] = counted | (_ANSWERED if answered else 0)
                    break
                if held >> np.uint64(32) == key:
                    row = np.int64(held & np.uint64(0xFFFFFFFF))
                    if rows[row, 0] == k1 and rows[row, 1] == k2 and rows[row, 2] == k3:
                        rows[row, 3] += amount[at]
                        rows[row, 4] += packets[at]
                        rows[row, 5] = min(rows[row, 5], start[at])
                        rows[row, 6] = max(rows[row, 6], end[at])
                        rows[row, 7] = (rows[row, 7] + counted) | (_ANSWERED if answered else 0)
                        break
                place = (place + np.uint64(1)) & mask
    # touched says nothing, but what is not used is not fetched.
    told[0], told[1], told[2], told[3], told[4], told[5] = count, records, total, longest, actions, touched


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
        source[row], slot[row], kind = k3 >> 50, k3 >> 44 & 63, k3 >> 32 & 0xFFF
        protocol[row], way = kind % _PROTOCOLS, kind // _PROTOCOLS
        direction[row], action[row] = way // _ACTIONS, way % _ACTIONS
        srcport[row], dstport[row] = k3 >> 16 & 0xFFFF, k3 & 0xFFFF
        amount[row], packets[row] = rows[row, 3], rows[row, 4]
        first[row], last[row] = rows[row, 5], rows[row, 6]
        counts = rows[row, 7]
        records[row], opened[row], answered[row] = counts & _COUNT, counts >> _COUNT_BITS & _COUNT, counts >> 62
