"""The fast way through a block of lines: one pass over its bytes, compiled, that splits, converts and interns at once.

Whatever a line has that is not plain (another number of values, a number that is none or nearly too great) makes it a
doubtful one, to be read by the careful way; a byte that tidying would touch makes the whole block one to be tidied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.compiled import njit

I64 = npt.NDArray[np.int64]

SKIPPED, NUMBER_32, NUMBER_64, TEXT = range(4)
KINDS = {"int": NUMBER_32, "bigint": NUMBER_64, "string": TEXT}
_VALUE, _SEPARATOR, _END, _ODD = range(4)
_MINUS, _ZERO, _MOST_DIGITS, _GREATEST_32 = 45, 48, 18, 2**31 - 1


@dataclass(frozen=True)
class Columns:
    """The lines that have the right number of values, as typed columns by name.

    places: the line (from 0) of each row. doubtful: the lines that are none of the rows. lines: how many there are.
    """

    columns: dict[str, pa.Array]
    places: I64
    doubtful: I64
    lines: int


def split(
    data: bytes, separator: bytes, kinds: Sequence[tuple[str, int]], longest: int, tidied: bool
) -> Columns | None:
    """The columns of whole lines; None where some byte or line is one that tidying would change.

    kinds: name and kind of every column of the lines, in order; skipped ones are not returned. A line of more than
    longest bytes is to be tidied. tidied: the lines have been: no byte but the separator means anything.
    """
    lines = data.count(b"\n")
    content = np.frombuffer(data, np.uint8)
    at = {SKIPPED: 0, NUMBER_32: 0, NUMBER_64: 0, TEXT: 0}
    slots = np.zeros(len(kinds) + 1, np.int64)
    for i, (_, kind) in enumerate(kinds):
        slots[i] = at[kind]
        at[kind] += 1
    small = np.empty((at[NUMBER_32], lines), np.int32)
    large = np.empty((at[NUMBER_64], lines), np.int64)
    no_small = np.empty((at[NUMBER_32], lines), np.bool_)
    no_large = np.empty((at[NUMBER_64], lines), np.bool_)
    texts = _Interned.empty(at[TEXT], lines)
    places, doubtful = np.empty(lines, np.int64), np.empty(lines, np.int64)
    rows, bad = _split(
        content, _classes(separator, tidied), np.array([kind for _, kind in kinds] + [SKIPPED], np.int64), slots,
        longest, small, large, no_small, no_large, texts.codes, texts.begins, texts.lengths, texts.hashes, texts.table,
        texts.distinct, places, doubtful,
    )  # fmt: skip
    if rows < 0:
        return None
    columns: dict[str, pa.Array] = {}
    for i, (name, kind) in enumerate(kinds):
        slot = int(slots[i])
        if kind == NUMBER_32:
            columns[name] = _numbers(pa.int32(), small[slot, :rows], no_small[slot, :rows])
        elif kind == NUMBER_64:
            columns[name] = _numbers(pa.int64(), large[slot, :rows], no_large[slot, :rows])
        elif kind == TEXT:
            columns[name] = texts.column(slot, rows, content)
    return Columns(columns, places[:rows], doubtful[:bad], lines)


@dataclass(frozen=True)
class _Interned:
    """The distinct texts of each text column: where each begins in the block, how long it is, and a hash table of
    them (entry and one; 0 is free). codes: of each row its text's entry, -1 for null.
    """

    codes: npt.NDArray[np.int32]
    begins: I64
    lengths: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    table: npt.NDArray[np.int32]
    distinct: I64

    @classmethod
    def empty(cls, columns: int, lines: int) -> _Interned:
        size = 1 << max(4, (2 * lines).bit_length())
        return cls(
            np.empty((columns, lines), np.int32),
            np.empty((columns, lines), np.int64),
            np.empty((columns, lines), np.int32),
            np.empty((columns, lines), np.uint64),
            np.zeros((columns, size), np.int32),
            np.zeros(columns, np.int64),
        )

    def column(self, slot: int, rows: int, content: npt.NDArray[np.uint8]) -> pa.Array:
        size = int(self.distinct[slot])
        offsets = np.zeros(size + 1, np.int32)
        np.cumsum(self.lengths[slot, :size], out=offsets[1:])
        text = np.empty(int(offsets[-1]), np.uint8)
        _gather(content, self.begins[slot, :size], offsets, text)
        dictionary = pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(text))
        codes = self.codes[slot, :rows]
        return pa.DictionaryArray.from_arrays(_numbers(pa.int32(), codes, codes < 0), dictionary)


def _numbers(kind: pa.DataType, values: npt.NDArray, is_null: npt.NDArray[np.bool_]) -> pa.Array:
    nulls = int(np.count_nonzero(is_null))
    valid = pa.py_buffer(np.packbits(~is_null, bitorder="little")) if nulls else None
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(values)], nulls)


@cache
def _classes(separator: bytes, tidied: bool) -> npt.NDArray[np.uint8]:
    """What each byte is: of a value, the separator, the line's end, or one that tidying looks at."""
    classes = np.full(256, _VALUE, np.uint8)
    if not tidied:
        classes[:33] = classes[128:] = _ODD
        classes[ord("#")] = _ODD
        if separator == b",":
            classes[ord('"')] = _ODD
    classes[separator[0]] = _SEPARATOR
    classes[10] = _END
    return classes


@njit(cache=True, nogil=True)
def _split(  # type: ignore[no-untyped-def]
    data, classes, kinds, slots, longest, small, large, no_small, no_large, codes, begins, lengths, hashes, table,
    distinct, places, doubtful,
):  # fmt: skip
    """Rows and doubtful lines; -1 rows where a byte is odd, a line blank or too long, or a space no single one."""
    width = len(kinds) - 1
    mask = np.uint64(table.shape[1] - 1)
    gaps = classes[32] == _SEPARATOR
    i = line = rows = bad = 0
    while i < len(data):
        begins_at, field, good = i, 0, True
        while True:
            kind, slot, begin = kinds[field], slots[field], i
            if kind == TEXT:
                key = np.uint64(0)
                while classes[data[i]] == _VALUE:
                    key = key * np.uint64(0x9E3779B1) + np.uint64(data[i])
                    i += 1
                size = i - begin
                if size == 0 or (size == 1 and data[begin] == _MINUS):
                    codes[slot, rows] = -1
                else:
                    key = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
                    place = (key >> np.uint64(32)) & mask
                    while True:
                        entry = table[slot, place]
                        if entry == 0:
                            entry = distinct[slot]
                            distinct[slot] += 1
                            begins[slot, entry], lengths[slot, entry], hashes[slot, entry] = begin, size, key
                            table[slot, place] = entry + 1
                            break
                        entry -= 1
                        if hashes[slot, entry] == key and lengths[slot, entry] == size:
                            other = begins[slot, entry]
                            same = 0
                            while same < size and data[begin + same] == data[other + same]:
                                same += 1
                            if same == size:
                                break
                        place = (place + np.uint64(1)) & mask
                    codes[slot, rows] = entry
            elif kind == SKIPPED:
                while classes[data[i]] == _VALUE:
                    i += 1
            else:
                minus = data[i] == _MINUS
                if minus:
                    i += 1
                first = i
                value = np.int64(0)
                while True:
                    digit = data[i] - np.uint8(_ZERO)
                    if digit > np.uint8(9):
                        break
                    value = value * 10 + np.int64(digit)
                    i += 1
                digits = i - first
                if classes[data[i]] == _VALUE or digits > _MOST_DIGITS:
                    good = False
                    while classes[data[i]] == _VALUE:
                        i += 1
                elif kind == NUMBER_32 and value > _GREATEST_32:
                    good = False
                if minus:
                    value = -value
                # '-' alone is null, and so is nothing between two commas.
                if kind == NUMBER_32:
                    small[slot, rows] = value
                    no_small[slot, rows] = digits == 0
                else:
                    large[slot, rows] = value
                    no_large[slot, rows] = digits == 0
            what = classes[data[i]]
            if what == _ODD or (i == begin and (gaps or (what == _END and field == 0))):
                return -1, 0
            i += 1
            field += 1
            if what == _END:
                break
            if field == width + 1:
                field = width
                good = False
        if i - 1 - begins_at > longest:
            return -1, 0
        if good and field == width:
            places[rows] = line
            rows += 1
        else:
            doubtful[bad] = line
            bad += 1
        line += 1
    return rows, bad


@njit(cache=True, nogil=True)
def _gather(data, begins, offsets, out):  # type: ignore[no-untyped-def]
    """The bytes of each text, one behind the other."""
    for entry in range(len(begins)):
        begin, to = begins[entry], offsets[entry]
        for i in range(offsets[entry + 1] - to):
            out[to + i] = data[begin + i]


def kinds_of(columns: Sequence[str], wanted: Mapping[str, str]) -> list[tuple[str, int]]:
    """For split: each column of a line with its kind; those not wanted are skipped."""
    return [(name, KINDS[wanted[name]] if name in wanted else SKIPPED) for name in columns]
