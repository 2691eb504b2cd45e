"""Texts that many JSON lists or objects hold, as columns, from the bytes that these were written with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.compiled import njit
from flowlake.flows.observed_lines import ValueCodes, texts_of

I32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

LIST, OBJECT = 1, 2
"""What is read, by how many texts an entry has: a list's one, an object's key and value."""

_QUOTE, _SLASH, _COLON, _COMMA = 34, 92, 58, 44
_AROUND = {LIST: (91, 93), OBJECT: (123, 125)}


@dataclass
class Held:
    """What lists or objects hold, a row each. good: which were read; the others are empty here: there is none, it holds
    anything but texts, a text has an escape, or an object's keys are not in order. texts: of a list's entries; of an
    object's the keys, then the values.
    """

    good: Bools
    offsets: I32
    texts: list[pa.StringArray]


def held_by(values: ValueCodes, codes: I32, kind: int) -> Held:
    """What the values of codes hold that are lists, or objects (kind)."""
    ends, written = values.parts()
    entries, sizes = np.zeros(len(codes) + 1, np.int64), np.zeros((kind, len(codes)), np.int64)
    good = np.zeros(len(codes), np.bool_)
    _measure(codes, ends, written, *_AROUND[kind], good, entries[1:], sizes)
    offsets = np.cumsum(entries)
    bases = np.append(0, np.cumsum(sizes.sum(axis=1)))
    text_ends, content = np.zeros((kind, offsets[-1] + 1), np.int32), np.empty(bases[-1], np.uint8)
    _read(codes, ends, written, good, bases, text_ends, content)
    texts = [texts_of(text_ends[part], content[bases[part] : bases[part + 1]]) for part in range(kind)]
    return Held(good, offsets.astype(np.int32), texts)


@njit(cache=True, nogil=True)
def _measure(codes, ends, written, opens, closes, good, entries, sizes):  # type: ignore[no-untyped-def]
    """Writes which values can be read, how many entries they have and how many bytes the texts of these take."""
    parts = len(sizes)
    for row in range(len(codes)):
        code = codes[row]
        if code == 0:
            continue
        p, end = ends[code - 1], ends[code] - 1
        right = end > p and written[p] == opens and written[end] == closes
        p += 1
        last_key, last_size = np.int64(-1), np.int64(0)
        while right and p < end:
            start = np.int64(0)
            for part in range(parts):
                right = right and p < end and written[p] == _QUOTE
                p += 1
                start = p
                while p < end and written[p] != _QUOTE and written[p] != _SLASH:
                    p += 1
                right = right and p < end and written[p] == _QUOTE
                size = p - start
                sizes[part, row] += size
                p += 1
                if part + 1 < parts:  # a key
                    right = right and p < end and written[p] == _COLON
                    p += 1
                    if right and last_key >= 0:
                        i = np.int64(0)
                        while i < size and i < last_size and written[start + i] == written[last_key + i]:
                            i += 1
                        right = i < size and (i == last_size or written[start + i] > written[last_key + i])
                    last_key, last_size = start, size
            entries[row] += 1
            if p < end:
                right = right and written[p] == _COMMA and p + 1 < end
                p += 1
        good[row] = right
        if not right:
            entries[row] = 0
            sizes[:, row] = 0


@njit(cache=True, nogil=True)
def _read(codes, ends, written, good, bases, text_ends, content):  # type: ignore[no-untyped-def]
    parts = len(text_ends)
    entry, to = 0, bases[:-1].copy()
    for row in range(len(codes)):
        code = codes[row]
        if not good[row]:
            continue
        p, end = ends[code - 1] + 1, ends[code] - 1
        while p < end:
            entry += 1
            for part in range(parts):
                p += 1
                at = to[part]
                while written[p] != _QUOTE:
                    content[at] = written[p]
                    at += 1
                    p += 1
                p += 2  # the quote, and the colon or comma behind it
                to[part] = at
                text_ends[part, entry] = at - bases[part]
