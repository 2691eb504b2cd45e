"""Tag sets as columns, from the bytes that JSON wrote them with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.compiled import njit
from flowlake.flows.observed_lines import ValueCodes, texts_of

I32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

_QUOTE, _SLASH, _COLON, _COMMA, _OPEN, _CLOSE = 34, 92, 58, 44, 123, 125


@dataclass
class Tags:
    """Tag sets, a row each. good: which were read; the others are empty here: none are told, a text has an escape, or
    the keys are not in order.
    """

    good: Bools
    offsets: I32
    keys: pa.StringArray
    values: pa.StringArray

    def maps(self, kind: pa.DataType) -> pa.MapArray:
        """As an Arrow column."""
        return pa.MapArray.from_arrays(pa.array(self.offsets), self.keys, self.values).cast(kind)

    def any_key(self, of_keys: Bools) -> Bools:
        """Which sets have a key of which that is so."""
        before = np.append(0, np.cumsum(of_keys))
        found: Bools = before[self.offsets[1:]] > before[self.offsets[:-1]]
        return found


def tags_of(values: ValueCodes, codes: I32) -> Tags:
    """The tag sets of codes."""
    ends, written = values.parts()
    pairs, key_bytes, value_bytes = (np.zeros(len(codes) + 1, np.int64) for _ in range(3))
    good = np.zeros(len(codes), np.bool_)
    _measure(codes, ends, written, good, pairs[1:], key_bytes[1:], value_bytes[1:])
    offsets = np.cumsum(pairs)
    key_ends, value_ends = np.zeros(offsets[-1] + 1, np.int32), np.zeros(offsets[-1] + 1, np.int32)
    keys, texts = np.empty(key_bytes.sum(), np.uint8), np.empty(value_bytes.sum(), np.uint8)
    _read(codes, ends, written, good, key_ends, value_ends, keys, texts)
    return Tags(good, offsets.astype(np.int32), texts_of(key_ends, keys), texts_of(value_ends, texts))


@njit(cache=True, nogil=True)
def _measure(codes, ends, written, good, pairs, key_bytes, value_bytes):  # type: ignore[no-untyped-def]
    """Writes which sets can be read, how many pairs they have and how many bytes these take."""
    for row in range(len(codes)):
        code = codes[row]
        if code == 0:
            continue
        p, end = ends[code - 1], ends[code] - 1
        right = end > p and written[p] == _OPEN and written[end] == _CLOSE
        p += 1
        last_key, last_size = np.int64(-1), np.int64(0)
        while right and p < end:
            # "key":"value", with both texts plain
            start = np.int64(0)
            for part in range(2):
                right = right and p < end and written[p] == _QUOTE
                p += 1
                start = p
                while p < end and written[p] != _QUOTE and written[p] != _SLASH:
                    p += 1
                right = right and p < end and written[p] == _QUOTE
                size = p - start
                p += 1
                if part == 0:
                    right = right and p < end and written[p] == _COLON
                    p += 1
                    key_bytes[row] += size
                    if right and last_key >= 0:
                        i = np.int64(0)
                        while i < size and i < last_size and written[start + i] == written[last_key + i]:
                            i += 1
                        right = i < size and (i == last_size or written[start + i] > written[last_key + i])
                    last_key, last_size = start, size
                else:
                    value_bytes[row] += size
            pairs[row] += 1
            if p < end:
                right = right and written[p] == _COMMA and p + 1 < end
                p += 1
        good[row] = right
        if not right:
            pairs[row] = key_bytes[row] = value_bytes[row] = 0


@njit(cache=True, nogil=True)
def _read(codes, ends, written, good, key_ends, value_ends, keys, values):  # type: ignore[no-untyped-def]
    pair, to_key, to_value = 0, 0, 0
    for row in range(len(codes)):
        code = codes[row]
        if not good[row]:
            continue
        p, end = ends[code - 1] + 1, ends[code] - 1
        while p < end:
            p += 1
            while written[p] != _QUOTE:
                keys[to_key] = written[p]
                to_key += 1
                p += 1
            p += 3
            while written[p] != _QUOTE:
                values[to_value] = written[p]
                to_value += 1
                p += 1
            p += 2
            pair += 1
            key_ends[pair], value_ends[pair] = to_key, to_value
