"""The fast way through a block of lines: one pass over its bytes, compiled, that splits, converts and interns at once.

Whatever a line has that is not plain (another number of values, a number that is none or nearly too great) makes it a
doubtful one, to be read by the careful way; a byte that tidying would touch makes the whole block one to be tidied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.compiled import njit
from flowlake.flows.words import equal, lowest, no_plain, ones, word

I64 = npt.NDArray[np.int64]

SKIPPED, NUMBER_32, NUMBER_64, TEXT = range(4)
KINDS = {"int": NUMBER_32, "bigint": NUMBER_64, "string": TEXT}
_PAD = b"." * 64
"""Behind the last line, so that words can be read to its end."""

_MINUS, _COMMA, _QUOTE, _HASH, _END = 45, 44, 34, 35, 10
_MOST_DIGITS, _GREATEST_32 = 18, 2**31 - 1
_FEWEST_PLACES = 256


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
    data: bytes, separator: bytes, kinds: Sequence[tuple[str, int]], longest: int, tidied: bool, begin: int = 0
) -> Columns | None:
    """The columns of whole lines from begin on; None where some byte or line is one that tidying would change.

    kinds: name and kind of every column of the lines, in order; skipped ones are not returned. A line of more than
    longest bytes is to be tidied. tidied: the lines have been: no byte but the separator means anything.
    """
    content = np.frombuffer(data, np.uint8)
    lines = count_lines(data, begin)
    wanted = [(field, name, kind) for field, (name, kind) in enumerate(kinds) if kind != SKIPPED]
    at = {NUMBER_32: 0, NUMBER_64: 0, TEXT: 0}
    plan = np.zeros((len(wanted), 3), np.int64)
    for i, (field, _, kind) in enumerate(wanted):
        plan[i] = field, kind, at[kind]
        at[kind] += 1
    small = np.empty((at[NUMBER_32], lines), np.int32)
    large = np.empty((at[NUMBER_64], lines), np.int64)
    absent = np.empty((len(wanted), lines + 8), np.uint8)
    nulls = np.zeros(len(wanted), np.int64)
    texts = _Interned.empty(at[TEXT], lines, len(data) - begin)
    places, doubtful = np.empty(lines, np.int64), np.empty(lines, np.int64)
    found = np.zeros(3, np.int64)
    # The last lines are read from a copy with room behind it.
    last = data.rfind(b"\n", begin, max(begin, len(data) - len(_PAD))) + 1 or begin
    tail = np.frombuffer(data[last:] + _PAD, np.uint8)
    for piece, start, end in ((content, begin, last), (tail, 0, len(data) - last)):
        plain = _split(
            piece, start, end, separator[0], not tidied, longest, len(kinds), plan, nulls, absent, small, large,
            texts.codes, texts.entries, texts.tables, texts.masks, texts.distinct, texts.written, places, doubtful,
            found,
        )  # fmt: skip
        if not plain:
            return None
    rows, bad = int(found[1]), int(found[2])
    valid = np.empty((len(wanted), (rows + 7) // 8), np.uint8)
    _pack_valid(absent, rows, nulls, valid)
    dictionaries = texts.dictionaries()
    columns: dict[str, pa.Array] = {}
    for i, (_, name, kind) in enumerate(wanted):
        slot, missing = int(plan[i, 2]), int(nulls[i])
        type_, values = (pa.int64(), large) if kind == NUMBER_64 else (pa.int32(), small)
        values = texts.codes if kind == TEXT else values
        buffers = [pa.py_buffer(valid[i]) if missing else None, pa.py_buffer(values[slot, :rows])]
        columns[name] = pa.Array.from_buffers(type_, rows, buffers, missing)
        if kind == TEXT:
            # Not safe is not looked at once more: each code is an entry's.
            columns[name] = pa.DictionaryArray.from_arrays(columns[name], dictionaries[slot], safe=False)
    return Columns(columns, places[:rows], doubtful[:bad], lines)


def count_lines(data: bytes, begin: int = 0) -> int:
    """How many lines end from begin on."""
    whole = len(data) - (len(data) - begin) % len(_PAD)
    lines: int = _count(np.frombuffer(data, np.uint8), begin, whole) + data.count(b"\n", whole)
    return lines


@dataclass(frozen=True)
class _Interned:
    """The distinct texts of each text column, and of each row its text's entry (codes; -1 for null).

    entries: a text's first and second eight bytes, hash, and where it begins in written (less 20 bits, its length).
    tables: hash tables of entries and one (0 is free), of which the masks say how much is in use.
    """

    codes: npt.NDArray[np.int32]
    entries: npt.NDArray[np.uint64]
    tables: npt.NDArray[np.int32]
    masks: I64
    distinct: I64
    written: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, columns: int, lines: int, size: int) -> _Interned:
        tables = np.empty((columns, max(_FEWEST_PLACES, 1 << (2 * lines).bit_length())), np.int32)
        tables[:, :_FEWEST_PLACES] = 0
        return cls(
            np.empty((columns, lines), np.int32),
            np.empty((columns, lines, 4), np.uint64),
            tables,
            np.full(columns, _FEWEST_PLACES - 1, np.int64),
            # Of each column; behind them the bytes written.
            np.zeros(columns + 1, np.int64),
            np.empty(size + len(_PAD), np.uint8),
        )

    def dictionaries(self) -> list[pa.StringArray]:
        """The distinct texts of each column."""
        sizes = self.distinct[:-1]
        offsets = np.empty(int(sizes.sum()) + len(sizes), np.int32)
        text = np.empty(int(self.distinct[-1]), np.uint8)
        begins = np.zeros(len(sizes), np.int64)
        _gather(self.written, self.entries, sizes, offsets, text, begins)
        all_offsets, all_text = pa.py_buffer(offsets), pa.py_buffer(text)
        firsts = np.cumsum(sizes + 1) - (sizes + 1)
        return [
            pa.StringArray.from_buffers(size, all_offsets.slice(4 * first, 4 * (size + 1)), all_text.slice(begin))
            for size, first, begin in zip(sizes.tolist(), firsts.tolist(), begins.tolist(), strict=True)
        ]


_LENGTH_BITS = 20
_LENGTH = (1 << _LENGTH_BITS) - 1


@njit(cache=True, nogil=True)
def _count(content, begin, end):  # type: ignore[no-untyped-def]
    lines = 0
    for at in range(begin, end, 64):
        lines += ones(equal(content, at, np.uint8(_END)))
    return lines


@njit(cache=True, nogil=True)
def _split(  # type: ignore[no-untyped-def]
    content, begin, end, separator, untidied, longest, width, plan, nulls, absent, small, large, codes, entries,
    tables, masks, distinct, written, places, doubtful, found,
):  # fmt: skip
    """Adds the lines to the columns; False where a byte is odd, a line blank or too long, or a space no single one.

    plan: field, kind and row of the kind's arrays of each wanted column. found: lines, rows, doubtful lines so far.
    """
    separator = np.uint8(separator)
    gaps = separator == np.uint8(32)
    quote = np.uint8(_QUOTE) if separator == np.uint8(_COMMA) else np.uint8(_HASH)
    one = np.uint64(1)
    line, rows, bad = found
    # Where the values end, behind the place before the line; those of a line of too many are not kept.
    ends = np.empty(width + 2 + 64, np.int64)
    at = begin
    while at < end:
        ends[0] = at - 1
        count = 1
        before = one
        look = at
        while True:
            line_ends = equal(content, look, np.uint8(_END))
            separators = equal(content, look, separator)
            if untidied:
                odd = no_plain(content, look) | equal(content, look, np.uint8(_HASH)) | equal(content, look, quote)
                if odd & ~(line_ends | separators):
                    return False
            line_end = line_ends & (~line_ends + one)
            separators &= line_end - one
            marks = separators | line_end if gaps else line_end
            if marks & ((marks << one) | before):
                return False
            before = (separators >> np.uint64(63)) if gaps else np.uint64(0)
            inside = ones(separators)
            for i in range(8):
                ends[count + i] = look + lowest(separators)
                separators &= separators - one
            i = 8
            while separators:
                ends[count + i] = look + lowest(separators)
                separators &= separators - one
                i += 1
            count = min(count + inside, width + 1)
            if line_end:
                break
            look += 64
        stop = look + lowest(line_end)
        if stop - at > longest:
            return False
        good = count == width
        ends[count] = stop
        i = 0
        while good and i < len(plan):
            kind, slot = plan[i, 1], plan[i, 2]
            begin = ends[plan[i, 0]] + 1
            size = ends[plan[i, 0] + 1] - begin
            first = word(content, begin)
            is_null = size == 0 or (size == 1 and first & np.uint64(255) == np.uint64(_MINUS))
            absent[i, rows] = is_null
            nulls[i] += is_null
            i += 1
            if kind == TEXT:
                if is_null:
                    codes[slot, rows] = -1
                    continue
                second = word(content, begin + 8)
                first, second, key = _shortened(first, second, size)
                # The last word of a longer text may begin within the one before.
                for behind in range(16, size, 8):
                    key = (key ^ word(content, begin + min(behind, size - 8))) * _ODD_NUMBER
                    key ^= key >> np.uint64(32)
                key *= _OTHER_ODD_NUMBER
                key ^= key >> np.uint64(29)
                mask = np.uint64(masks[slot])
                place = key & mask
                while True:
                    entry = np.int64(tables[slot, place]) - 1
                    if entry < 0:
                        entry = _new_entry(
                            content, begin, size, slot, first, second, key, place, entries, tables, masks, distinct,
                            written,
                        )  # fmt: skip
                        break
                    known = entries[slot, entry, 3]
                    if (
                        entries[slot, entry, 0] == first
                        and entries[slot, entry, 1] == second
                        and known & np.uint64(_LENGTH) == np.uint64(size)
                    ):
                        other = np.int64(known >> np.uint64(_LENGTH_BITS))
                        behind = 16
                        while behind < size:
                            at_word = min(behind, size - 8)
                            if word(content, begin + at_word) != word(written, other + at_word):
                                break
                            behind += 8
                        if behind >= size:
                            break
                    place = (place + np.uint64(1)) & mask
                codes[slot, rows] = entry
                continue
            value = np.int64(0)
            if not is_null:
                minus = first & np.uint64(255) == np.uint64(_MINUS)
                if minus:
                    begin, size = begin + 1, size - 1
                    first = word(content, begin)
                lower = word(content, begin + max(size - 8, 0))
                upper = word(content, begin + max(size - 16, 0))
                value, good = _number(first, upper, lower, size)
                if minus:
                    value = -value
            if kind == NUMBER_32:
                good &= -_GREATEST_32 <= value <= _GREATEST_32
                small[slot, rows] = value
            else:
                large[slot, rows] = value
        if good:
            places[rows] = line
            rows += 1
        else:
            doubtful[bad] = line
            bad += 1
        line += 1
        at = stop + 1
    found[0], found[1], found[2] = line, rows, bad
    return True


@njit(cache=True, nogil=True, forceinline=True)
def _number(first, upper, lower, size):  # type: ignore[no-untyped-def]
    """The number that size digits say, and whether they are digits and few enough.

    Given are the first eight of them, the eight before the last eight, and the last eight; of fewer the first ones.
    """
    if size > _MOST_DIGITS:
        return np.int64(0), False
    # Noughts in front: what lies behind the digits is shifted out.
    if size <= 8:
        lower = (first ^ _NOUGHTS) << np.uint64(64 - 8 * size)
        return np.int64(_eight_digits(lower)), _above_nine(lower) == 0
    lower ^= _NOUGHTS
    if size <= 16:
        upper = (first ^ _NOUGHTS) << np.uint64(128 - 8 * size)
        first = np.uint64(0)
    else:
        upper ^= _NOUGHTS
        first = (first ^ _NOUGHTS) << np.uint64(192 - 8 * size)
    value = _eight_digits(lower) + _eight_digits(upper) * _TO_THE_8 + _eight_digits(first) * _TO_THE_16
    return np.int64(value), (_above_nine(lower) | _above_nine(upper) | _above_nine(first)) == 0


_TO_THE_8, _TO_THE_16 = np.uint64(10**8), np.uint64(10**16)
_NOUGHTS = np.uint64(0x3030303030303030)
_TO_128 = np.uint64(0x7676767676767676)
_TOPS = np.uint64(0x8080808080808080)


@njit(cache=True, nogil=True, forceinline=True)
def _above_nine(digits):  # type: ignore[no-untyped-def]
    """Not zero where some byte is greater than nine."""
    return ((digits + _TO_128) | digits) & _TOPS


@njit(cache=True, nogil=True, forceinline=True)
def _eight_digits(digits):  # type: ignore[no-untyped-def]
    """The number of eight digits, the first one lowest: pairs of digits are added up, then pairs of those."""
    pairs = (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(10_000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF)


_ODD_NUMBER, _OTHER_ODD_NUMBER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


@njit(cache=True, nogil=True, forceinline=True)
def _shortened(first, second, size):  # type: ignore[no-untyped-def]
    """The first and second word without what lies behind the text, and a hash of them."""
    one = np.uint64(1)
    if size < 8:
        first &= (one << np.uint64(8 * size)) - one
    if size < 16:
        second &= (one << np.uint64(max(8 * size - 64, 0))) - one
    key = (first ^ (first >> np.uint64(32)) ^ np.uint64(size)) * _ODD_NUMBER
    key = (key ^ (key >> np.uint64(32)) ^ second) * _ODD_NUMBER
    return first, second, key ^ (key >> np.uint64(32))


@njit(cache=True, nogil=True)
def _new_entry(  # type: ignore[no-untyped-def]
    content, begin, size, slot, first, second, key, place, entries, tables, masks, distinct, written
):  # fmt: skip
    """Writes a text down, and doubles what is in use of its column's table where that is half full."""
    entry, to = distinct[slot], distinct[-1]
    for i in range(size):
        written[to + i] = content[begin + i]
    distinct[-1] += size
    distinct[slot] += 1
    entries[slot, entry, 0], entries[slot, entry, 1], entries[slot, entry, 2] = first, second, key
    entries[slot, entry, 3] = np.uint64(to) << np.uint64(_LENGTH_BITS) | np.uint64(size)
    tables[slot, place] = entry + 1
    if 2 * (entry + 1) > masks[slot]:
        masks[slot] = 2 * masks[slot] + 1
        mask = np.uint64(masks[slot])
        tables[slot, : masks[slot] + 1] = 0
        for known in range(entry + 1):
            place = entries[slot, known, 2] & mask
            while tables[slot, place]:
                place = (place + np.uint64(1)) & mask
            tables[slot, place] = known + 1
    return entry


@njit(cache=True, nogil=True)
def _gather(written, entries, sizes, offsets, text, begins):  # type: ignore[no-untyped-def]
    """The texts of each column one behind the other, and where each begins among its column's."""
    at, first = np.int64(0), 0
    for slot in range(len(sizes)):
        begins[slot] = at
        offsets[first] = 0
        for entry in range(sizes[slot]):
            known = entries[slot, entry, 3]
            begin, size = np.int64(known >> np.uint64(_LENGTH_BITS)), np.int64(known & np.uint64(_LENGTH))
            for i in range(size):
                text[at + i] = written[begin + i]
            at += size
            offsets[first + entry + 1] = at - begins[slot]
        first += sizes[slot] + 1


@njit(cache=True, nogil=True)
def _pack_valid(absent, rows, nulls, valid):  # type: ignore[no-untyped-def]
    """Arrow's bits of the rows that are not absent, and how many are absent, where nulls says that some may be."""
    for i in range(len(nulls)):
        if nulls[i]:
            nulls[i] = 0
            for place in range(valid.shape[1]):
                flags = word(absent, i * absent.shape[1] + 8 * place) & _LOWEST
                if rows - 8 * place < 8:
                    flags &= (np.uint64(1) << np.uint64(8 * (rows - 8 * place))) - np.uint64(1)
                nulls[i] += ones(flags)
                # Each byte's bit goes to its place in the highest byte.
                valid[i, place] = ~((flags * np.uint64(0x0102040810204080)) >> np.uint64(56))


_LOWEST = np.uint64(0x0101010101010101)


def kinds_of(columns: Sequence[str], wanted: Mapping[str, str]) -> list[tuple[str, int]]:
    """For split: each column of a line with its kind; those not wanted are skipped."""
    return [(name, KINDS[wanted[name]] if name in wanted else SKIPPED) for name in columns]
