"""Lines of observations cut into their values, without a Python object a line or a value.

A line is a JSON object as observations are written: known columns in alphabetical order, nothing between them. Values
are looked at no closer than it takes to find their ends; one that is as that of the line before is recognised by its
bytes. Any other line is left to the JSON parser, which says what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.compiled import njit
from flowlake.flows.text_codes import TextCodes
from flowlake.flows.words import below, equal, lowest, put_word, word
from flowlake.lake.contracts import contract

I32 = npt.NDArray[np.int32]

ODD, OTHER, WANTED = 0, 1, 2
"""What a line is: none that is cut, one that is cut, one that is cut and says what is wanted."""

NEXT = -1
"""A guess: of what lists tell in the same order each time."""

_PADDING = bytes(80)
_QUOTE, _SLASH, _COMMA, _NEWLINE = 34, 92, 44, 10
_OPEN, _CLOSE, _LIST, _LIST_END = 123, 125, 91, 93


@cache
def columns() -> tuple[str, ...]:
    """The columns of observations, in the order in which lines have them."""
    return tuple(sorted(contract("observations").column_names))


@dataclass
class Cut:
    """The lines of one object. begin, size: of each value, by column and line; the size is 0 where there is none, and
    begin may be that of an equal value of a line before.
    """

    content: npt.NDArray[np.uint8]
    first: I32
    last: I32
    what: npt.NDArray[np.uint8]
    begin: I32
    size: I32

    def texts(self, lines: npt.NDArray) -> list[str]:
        """Some lines as they are, but for blank ones."""
        whole = self.content
        spans = zip(self.first[lines].tolist(), self.last[lines].tolist(), strict=True)
        return [text for a, b in spans if (text := whole[a:b].tobytes().decode()).strip()]


def cut(data: bytes, wanted: dict[str, str]) -> Cut:
    """The lines of an object. wanted: which values the wanted ones have, as JSON writes them.

    Raises UnicodeDecodeError where it is no UTF-8.
    """
    if not data.isascii():
        data.decode("utf-8")
    content = np.frombuffer(data + _PADDING, np.uint8)
    lines, names = data.count(b"\n") + 1, columns()
    keys, key_ends = _laid([f'"{name}":' for name in names])
    values, value_ends = _laid(list(wanted.values()))
    at = np.array([names.index(name) for name in wanted])
    first, last, what = np.zeros(lines, np.int32), np.zeros(lines, np.int32), np.zeros(lines, np.uint8)
    begin, size = np.zeros((len(names), lines), np.int32), np.zeros((len(names), lines), np.int32)
    found = _cut(content, len(data), keys, key_ends, at, values, value_ends, first, last, what, begin, size)
    return Cut(content, first[:found], last[:found], what[:found], begin[:, :found], size[:, :found])


def _laid(texts: list[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Texts behind one another, and where each begins; behind the last one where it ends."""
    ends = np.cumsum([0, *(len(text) for text in texts)])
    return np.frombuffer("".join(texts).encode() + _PADDING, np.uint8), ends.astype(np.int64)


@njit(cache=True, nogil=True)
def _cut(content, length, keys, key_ends, want_at, wants, want_ends, first, last, what, begin, size):  # type: ignore[no-untyped-def]
    """Writes where values lie, line by line; gives how many lines there are."""
    columns = len(key_ends) - 1
    order = np.zeros(columns, np.int64)  # the columns of the line before
    known = 0
    before = -1
    line = 0
    p = np.int64(0)
    while p < length:
        start = p
        good = content[p] == _OPEN
        p += 1
        at, j = np.int64(-1), 0
        while good:
            # Most often the column that followed in the line before.
            guessed = j < known and order[j] > at
            k = order[j] if guessed else at + 1
            column = np.int64(-1)
            while k < columns and column < 0:
                q, n, i = key_ends[k], key_ends[k + 1] - key_ends[k], np.int64(0)
                while i + 8 <= n and word(content, p + i) == word(keys, q + i):
                    i += 8
                if n - i < 8:
                    mask = (np.uint64(1) << np.uint64(8 * (n - i))) - np.uint64(1)
                    if (word(content, p + i) ^ word(keys, q + i)) & mask == np.uint64(0):
                        column = k
                        p += n
                k = at + 1 if guessed else k + 1
                guessed = False
            if column < 0:
                good = False
                break
            # As the value of the line before?
            value = p
            as_before = False
            if before >= 0:
                q, n, i = np.int64(begin[column, before]), np.int64(size[column, before]), np.int64(0)
                if n > 0:
                    while i + 8 <= n and word(content, p + i) == word(content, q + i):
                        i += 8
                    if n - i < 8:
                        mask = (np.uint64(1) << np.uint64(8 * (n - i))) - np.uint64(1)
                        as_before = (word(content, p + i) ^ word(content, q + i)) & mask == np.uint64(0)
                        as_before &= content[p + n] == _COMMA or content[p + n] == _CLOSE
                    if as_before:
                        p += n
                        begin[column, line], size[column, line] = q, n
            if not as_before:
                depth = 0
                while True:
                    byte = content[p]
                    if byte == _QUOTE:
                        p += 1
                        while True:
                            stops = (
                                equal(content, p, np.uint8(_QUOTE))
                                | equal(content, p, np.uint8(_SLASH))
                                | below(content, p, np.uint8(32))
                            )
                            if stops == np.uint64(0):
                                p += 64
                                continue
                            p += lowest(stops)
                            if content[p] == _QUOTE:
                                p += 1
                                break
                            if content[p] != _SLASH or content[p + 1] < 32:
                                good = False
                                break
                            p += 2
                        if not good:
                            break
                    elif byte in (_LIST, _OPEN):
                        depth += 1
                        p += 1
                    elif byte in (_LIST_END, _CLOSE):
                        if depth == 0:
                            break
                        depth -= 1
                        p += 1
                    elif byte <= 32:
                        good = False
                        break
                    elif byte == _COMMA and depth == 0:
                        break
                    else:
                        p += 1
                if not good or p == value:
                    good = False
                    break
                begin[column, line], size[column, line] = value, p - value
            at = column
            order[j] = column
            j += 1
            byte = content[p]
            p += 1
            if byte == _CLOSE:
                good = p == length or content[p] == _NEWLINE
                break
            good = byte == _COMMA
        if good:
            wanted = True
            for w in range(len(want_at)):
                q, n = want_ends[w], want_ends[w + 1] - want_ends[w]
                wanted &= size[want_at[w], line] == n
                if wanted:
                    for nth in range(n):
                        wanted &= content[begin[want_at[w], line] + nth] == wants[q + nth]
            what[line] = WANTED if wanted else OTHER
            known = j
            before = line
        else:
            p = start
            while p < length and content[p] != _NEWLINE:
                p += 1
            known = 0
            before = -1
            size[:, line] = 0
        first[line], last[line] = start, p
        p += 1
        line += 1
    return line


class ValueCodes(TextCodes):
    """Distinct values as integers, in order of first sight, as JSON writes them; 0 where there is none."""

    def of_values(self, of: Cut, lines: npt.NDArray, column: int, guesses: I32) -> I32:
        """The codes of some lines' values. guesses: what each may well be, or 0; NEXT for the one behind that of the
        line before.
        """
        codes = np.zeros(len(lines), np.int32)
        total = int(of.size[column].sum())
        if total:
            self._make_room(len(lines), total + len(_PADDING))
            parts = self._ends, self._keys, self._written, self._table, self._count
            self._count = _value_codes(of.content, of.begin[column], of.size[column], lines, guesses, *parts, codes)
        return codes

    def json(self, code: int) -> bytes:
        """The value of a code as it was written."""
        return self._written[self._ends[code - 1] : self._ends[code]].tobytes()

    def texts(self, codes: I32) -> pa.StringArray:
        """The values of codes as they were written, null where there is none."""
        sizes = np.where(codes > 0, self._ends[codes] - self._ends[codes - 1], 0)
        offsets = np.append(0, np.cumsum(sizes)).astype(np.int32)
        content = np.empty(int(offsets[-1]), np.uint8)
        _take(codes, self._ends, self._written, offsets, content)
        return texts_of(offsets, content, codes == 0)

    def unquoted(self, codes: I32) -> tuple[pa.StringArray, npt.NDArray[np.bool_]]:
        """The texts of codes, null where there is none; and which of them are texts without an escape."""
        sizes = np.where(codes > 0, np.maximum(self._ends[codes] - self._ends[codes - 1] - 2, 0), 0)
        offsets = np.append(0, np.cumsum(sizes)).astype(np.int32)
        content, right = np.zeros(int(offsets[-1]), np.uint8), np.zeros(len(codes), np.bool_)
        _unquote(codes, self._ends, self._written, offsets, content, right)
        return texts_of(offsets, content, codes == 0), right

    def parts(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Where the value of each code ends, and the bytes of all."""
        return self._ends, self._written


def texts_of(offsets: I32, content: npt.NDArray[np.uint8], null: npt.NDArray[np.bool_] | None = None) -> pa.StringArray:
    """Texts of their bytes, null where it says so."""
    bits = None if null is None else pa.py_buffer(np.packbits(~null, bitorder="little"))
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(content), bits)


@njit(cache=True, nogil=True)
def _take(codes, ends, written, offsets, content):  # type: ignore[no-untyped-def]
    for row in range(len(codes)):
        begin = ends[codes[row] - 1]
        for nth in range(offsets[row + 1] - offsets[row]):
            content[offsets[row] + nth] = written[begin + nth]


@njit(cache=True, nogil=True)
def _unquote(codes, ends, written, offsets, content, right):  # type: ignore[no-untyped-def]
    for row in range(len(codes)):
        code = codes[row]
        if code == 0:
            continue
        begin, end = ends[code - 1] + 1, ends[code] - 1
        good = begin <= end and written[begin - 1] == _QUOTE and written[end] == _QUOTE
        to = offsets[row]
        if good:
            for at in range(begin, end):
                good &= written[at] != _SLASH and written[at] != _QUOTE
                content[to] = written[at]
                to += 1
        right[row] = good


@njit(cache=True, nogil=True)
def _value_codes(content, begin, size, lines, guesses, ends, keys, written, table, count, codes):  # type: ignore[no-untyped-def]
    """Writes the codes of values, and down the new ones; gives how many there are then."""
    mask = np.uint64(len(table) - 1)
    last_begin, last_code = np.int64(-1), np.int64(0)
    for row in range(len(lines)):
        n, p = np.int64(size[lines[row]]), np.int64(begin[lines[row]])
        if n == 0:
            codes[row] = 0
            continue
        if p == last_begin:
            codes[row] = last_code
            continue
        ragged = (np.uint64(1) << np.uint64(8 * (n & 7))) - np.uint64(1)  # of the last bytes, fewer than eight
        key, place = np.uint64(0), np.uint64(0)
        code = np.int64(guesses[row]) if guesses[row] != NEXT else last_code + 1
        guessed = 0 < code < count
        while True:
            if not guessed:
                if key == np.uint64(0):
                    key = np.uint64(n)
                    i = np.int64(0)
                    while i < n:
                        part = word(content, p + i)
                        part = part if i + 8 <= n else part & ragged
                        key = (key ^ part) * np.uint64(0x9E3779B97F4A7C15)
                        key ^= key >> np.uint64(29)
                        i += 8
                    key |= np.uint64(1) << np.uint64(63)
                    place = key & mask
                else:
                    place = (place + np.uint64(1)) & mask
                code = np.int64(table[place])
            if code == 0:
                code = count
                count += 1
                table[place] = code
                keys[code] = key
                q = ends[code - 1]
                ends[code] = q + n
                for at in range(0, n, 8):  # behind the last byte there is room
                    put_word(written, q + at, word(content, p + at))
                break
            q = ends[code - 1]
            if (guessed or keys[code] == key) and ends[code] - q == n:
                i = np.int64(0)
                while i + 8 <= n and word(content, p + i) == word(written, q + i):
                    i += 8
                if i + 8 > n and (word(content, p + i) ^ word(written, q + i)) & ragged == np.uint64(0):
                    break
            guessed = False
        codes[row] = code
        last_begin, last_code = p, code
    return count
