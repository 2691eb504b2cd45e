"""Distinct combinations by hashing, in one pass over the rows, where numpy would sort them.

The hash decides nothing: where two rows meet in the table their whole keys are compared, so the answer is exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowlake.flows.compiled import AT_ONCE, njit

I64 = npt.NDArray[np.int64]

_FREE = -1
_ROOM = 2
"""Places in the table for each row at least: with half of them free a chain of occupied ones is short."""


def distinct(*columns: npt.NDArray) -> tuple[I64, I64]:
    """First row of each distinct combination of the columns' values, in order of first sight; and for each row the
    number of its combination.

    Columns are integers or booleans, of one length. Raises ValueError, TypeError where they are not.
    """
    if not columns or any(column.shape != (len(columns[0]),) for column in columns):
        raise ValueError("distinct needs columns of one length")
    # Keys lie row by row: a comparison then touches one place in memory and not one a column.
    keys = np.empty((len(columns[0]), len(columns)), dtype=np.uint64)
    for i, column in enumerate(columns):
        keys[:, i] = _words(column)
    table = np.full(1 << max(_ROOM * len(keys) - 1, 1).bit_length(), _FREE, dtype=np.int32)
    first, inverse = np.empty(len(keys), dtype=np.int64), np.empty(len(keys), dtype=np.int64)
    count = _distinct(keys, table, first, inverse, np.zeros(1, np.uint64))
    return first[:count].copy(), inverse


def distinct_values(values: npt.NDArray) -> tuple[npt.NDArray, I64]:
    """The distinct values in order of first sight, and for each row the place of its value. Raises as distinct does."""
    first, inverse = distinct(values)
    return values[first], inverse


def _words(column: npt.NDArray) -> npt.NDArray[np.uint64]:
    """The values as 64-bit words, equal where the values are."""
    if column.dtype.kind not in "biu":
        raise TypeError(f"distinct is of integers and booleans, not of {column.dtype}")
    return column.astype(np.int64).view(np.uint64) if column.dtype.kind != "u" else column.astype(np.uint64)


@njit(cache=True, nogil=True)
def _distinct(keys, table, first, inverse, touched):  # type: ignore[no-untyped-def]
    """How many distinct rows of keys there are.

    table (a power of two long, of _FREE), first and inverse are written to; and keys, whose first rows become the
    distinct ones: lying close together, they are compared with in the processor's caches. touched says nothing, but
    what is not used is not fetched.
    """
    rows, width = keys.shape
    mask = np.uint64(len(table) - 1)
    count = 0
    places = np.empty(AT_ONCE, np.uint64)
    for begin in range(0, rows, AT_ONCE):
        some = min(AT_ONCE, rows - begin)
        for n in range(some):
            # Multiply and fold each word in, then stir as splitmix64 does, so that every bit sways the place.
            stirred = np.uint64(0)
            for i in range(width):
                stirred = (stirred ^ keys[begin + n, i]) * np.uint64(0x9E3779B97F4A7C15)
                stirred ^= stirred >> np.uint64(32)
            stirred = (stirred ^ (stirred >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            stirred = (stirred ^ (stirred >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            places[n] = (stirred ^ (stirred >> np.uint64(31))) & mask
        for n in range(some):
            touched[0] ^= keys[max(table[places[n]], 0), 0]
        for n in range(some):
            row, place = begin + n, places[n]
            while True:
                number = table[place]
                if number == _FREE:
                    table[place] = count
                    first[count] = row
                    inverse[row] = count
                    for i in range(width):
                        keys[count, i] = keys[row, i]
                    count += 1
                    break
                same = True
                for i in range(width):
                    if keys[number, i] != keys[row, i]:
                        same = False
                        break
                if same:
                    inverse[row] = number
                    break
                place = (place + np.uint64(1)) & mask
    return count
