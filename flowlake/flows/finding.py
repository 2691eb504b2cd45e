"""Many rows found at once, in one compiled pass over those asked: by (scope, address), by moment, by range.

Where numpy would search sorted keys or mask all rows once a range, each row is looked at once here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowlake.flows.compiled import njit

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_FREE = -1
_FEW = 250_000
"""For fewer rows numba need not make itself ready, which takes it a second: the driver seldom has more."""


class Places:
    """Distinct (scope, address) keys laid by their hash, to be found again. The hash decides nothing: the parts of a
    key are compared.
    """

    def __init__(self, scope: npt.NDArray, high: U64, low: U64) -> None:
        self._keys = _plain(scope, np.int64), _plain(high, np.uint64), _plain(low, np.uint64)
        self._table = np.full(1 << max(2 * len(high) - 1, 1).bit_length(), _FREE, dtype=np.int32)
        _lay(self._table, *self._keys)

    def spans(self, first: I64, scope: npt.NDArray, high: U64, low: U64) -> tuple[I64, I64]:
        """For each asked key [first[row], first[row + 1]) of its row; (0, 0) where it is none of the keys."""
        begin, stop = np.empty(len(high), np.int64), np.empty(len(high), np.int64)
        asked = _plain(scope, np.int64), _plain(high, np.uint64), _plain(low, np.uint64)
        _spans(self._table, *self._keys, _plain(first, np.int64), *asked, begin, stop)
        return begin, stop


def states_at(first: I64, since: I64, owner: npt.NDArray, at: I64) -> I64:
    """For each owner the last of its states [first[owner], first[owner + 1]) that began at or before the moment, else
    its first; -1 where it has none or is -1.
    """
    found = np.empty(len(owner), dtype=np.int64)
    _states_at(_plain(first, np.int64), _plain(since, np.int64), _plain(owner, np.int64), _plain(at, np.int64), found)
    return found


def in_ranges(firsts: U64, lasts: U64, high: U64, low: U64) -> Bools:
    """Whether high is 0 and low lies in one of the ranges, ends included."""
    found = np.zeros(len(high), dtype=np.bool_)
    if len(high) < _FEW:
        for first, last in zip(firsts, lasts, strict=True):
            found |= (high == 0) & (low >= first) & (low <= last)
        return found
    _in_ranges(firsts, lasts, _plain(high, np.uint64), _plain(low, np.uint64), found)
    return found


def _plain(values: npt.NDArray, dtype: type) -> npt.NDArray:
    """Of one type, in one piece and writable: kernels are compiled once."""
    return np.require(values, dtype=dtype, requirements=["C", "W"])


@njit(cache=True, nogil=True)
def _place(scope, high, low):  # type: ignore[no-untyped-def]
    """Where a key belongs: its words folded, then stirred as splitmix64 does."""
    stirred = np.uint64(scope) * np.uint64(0x9E3779B97F4A7C15)
    stirred = (stirred ^ (stirred >> np.uint64(32)) ^ high) * np.uint64(0x9E3779B97F4A7C15)
    stirred = (stirred ^ (stirred >> np.uint64(32)) ^ low) * np.uint64(0xBF58476D1CE4E5B9)
    stirred = (stirred ^ (stirred >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return stirred ^ (stirred >> np.uint64(31))


@njit(cache=True, nogil=True)
def _lay(table, scope, high, low):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    for row in range(len(high)):
        place = _place(scope[row], high[row], low[row]) & mask
        while table[place] != _FREE:
            place = (place + np.uint64(1)) & mask
        table[place] = row


@njit(cache=True, nogil=True)
def _spans(table, scope, high, low, first, of_scope, of_high, of_low, begin, stop):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    for asked in range(len(of_high)):
        begin[asked] = stop[asked] = 0
        place = _place(of_scope[asked], of_high[asked], of_low[asked]) & mask
        while table[place] != _FREE:
            row = table[place]
            if low[row] == of_low[asked] and high[row] == of_high[asked] and scope[row] == of_scope[asked]:
                begin[asked], stop[asked] = first[row], first[row + 1]
                break
            place = (place + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def _states_at(first, since, owner, at, found):  # type: ignore[no-untyped-def]
    for row in range(len(owner)):
        found[row] = -1
        if owner[row] < 0 or first[owner[row]] == first[owner[row] + 1]:
            continue
        low, high = first[owner[row]], first[owner[row] + 1] - 1
        while low < high:
            middle = (low + high + 1) // 2
            if since[middle] <= at[row]:
                low = middle
            else:
                high = middle - 1
        found[row] = low


@njit(cache=True, nogil=True)
def _in_ranges(firsts, lasts, high, low, found):  # type: ignore[no-untyped-def]
    for row in range(len(high)):
        found[row] = False
        if high[row] == 0:
            for i in range(len(firsts)):
                found[row] |= (low[row] >= firsts[i]) & (low[row] <= lasts[i])
