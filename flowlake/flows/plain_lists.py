"""Lists of texts as columns, from the bytes that JSON wrote them with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.compiled import njit
from flowlake.flows.observed_lines import ValueCodes, texts_of

I32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

_QUOTE, _SLASH, _COMMA, _OPEN, _CLOSE = 34, 92, 44, 91, 93


@dataclass
class Lists:
    """Lists of texts, a row each. good: which were read; the others are empty here: none is told, it holds anything but
    texts, or a text has an escape.
    """

    good: Bools
    offsets: I32
    texts: pa.StringArray


def lists_of(values: ValueCodes, codes: I32) -> Lists:
    """The lists of codes."""
    ends, written = values.parts()
    held, size = (np.zeros(len(codes) + 1, np.int64) for _ in range(2))
    good = np.zeros(len(codes), np.bool_)
    _measure(codes, ends, written, good, held[1:], size[1:])
    offsets = np.cumsum(held)
    text_ends, texts = np.zeros(offsets[-1] + 1, np.int32), np.empty(size.sum(), np.uint8)
    _read(codes, ends, written, good, text_ends, texts)
    return Lists(good, offsets.astype(np.int32), texts_of(text_ends, texts))


@njit(cache=True, nogil=True)
def _measure(codes, ends, written, good, held, size):  # type: ignore[no-untyped-def]
    """Writes which lists can be read, how many texts they hold and how many bytes these take."""
    for row in range(len(codes)):
        code = codes[row]
        if code == 0:
            continue
        p, end = ends[code - 1], ends[code] - 1
        right = end > p and written[p] == _OPEN and written[end] == _CLOSE
        p += 1
        while right and p < end:
            right = written[p] == _QUOTE
            p += 1
            start = p
            while p < end and written[p] != _QUOTE and written[p] != _SLASH:
                p += 1
            right = right and p < end and written[p] == _QUOTE
            size[row] += p - start
            held[row] += 1
            p += 1
            if p < end:
                right = right and written[p] == _COMMA and p + 1 < end
                p += 1
        good[row] = right
        if not right:
            held[row] = size[row] = 0


@njit(cache=True, nogil=True)
def _read(codes, ends, written, good, text_ends, texts):  # type: ignore[no-untyped-def]
    text, to = 0, 0
    for row in range(len(codes)):
        code = codes[row]
        if not good[row]:
            continue
        p, end = ends[code - 1] + 1, ends[code] - 1
        while p < end:
            p += 1
            while written[p] != _QUOTE:
                texts[to] = written[p]
                to += 1
                p += 1
            p += 2
            text += 1
            text_ends[text] = to
