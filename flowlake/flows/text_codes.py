"""Texts as small integers, for whole Arrow columns: each distinct text of a column is looked at once, as bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.columns import entries, taken
from flowlake.flows.compiled import njit

NULL = 0
_FIRST_TEXTS, _FIRST_BYTES = 1 << 10, 1 << 15


class TextCodes:
    """Distinct texts as integers, in order of first sight; null is 0."""

    def __init__(self) -> None:
        self._count = 1
        # Where the text of each code ends; code 0 has none.
        self._ends = np.zeros(_FIRST_TEXTS, np.int64)
        self._keys = np.zeros(_FIRST_TEXTS, np.uint64)
        self._written = np.empty(_FIRST_BYTES, np.uint8)
        self._table = np.zeros(2 * _FIRST_TEXTS, np.int32)

    def __len__(self) -> int:
        return self._count

    def of_column(self, column: pa.Array) -> npt.NDArray[np.int32]:
        """Codes of a dictionary (or plain) column of texts."""
        column = entries(column)
        return taken(column, self.of_texts(column.dictionary), NULL)

    def of_texts(self, texts: pa.StringArray) -> npt.NDArray[np.int32]:
        """Codes of texts, none of them null."""
        offsets, content = text_parts(texts)
        self._make_room(len(texts), int(offsets[-1] - offsets[0]))
        codes = np.empty(len(texts), np.int32)
        self._count = _codes(offsets, content, self._ends, self._keys, self._written, self._table, self._count, codes)
        return codes

    def list(self) -> list[str | None]:
        """The texts by their codes."""
        ends = self._ends[: self._count].tolist()
        written = self._written[: ends[-1]].tobytes()
        return [None, *(written[a:b].decode() for a, b in zip(ends, ends[1:], strict=False))]

    def _make_room(self, texts: int, size: int) -> None:
        self._written = grown(self._written, int(self._ends[self._count - 1]) + size)
        self._ends = grown(self._ends, self._count + texts)
        self._keys = grown(self._keys, self._count + texts)
        if len(self._table) < 2 * len(self._ends):
            self._table = np.zeros(2 * len(self._ends), np.int32)
            _fill_table(self._keys, self._count, self._table)


def grown(values: npt.NDArray, size: int, new: object = None) -> npt.NDArray:
    """The values in an array of at least that many places, a power of two of them; the new ones hold what is given."""
    if size <= len(values):
        return values
    larger = np.empty(1 << (size - 1).bit_length(), values.dtype)
    larger[: len(values)] = values
    if new is not None:
        larger[len(values) :] = new
    return larger


def text_parts(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Where each text begins, and behind the last one where it ends; and the bytes of all."""
    _, offsets, content = texts.buffers()
    if offsets is None or not len(texts):
        return np.frombuffer(bytes(4), np.int32), np.frombuffer(b"", np.uint8)
    held = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return held, np.frombuffer(content if content is not None else b"", np.uint8)


@njit(cache=True, nogil=True)
def _codes(offsets, content, ends, keys, written, table, count, codes):  # type: ignore[no-untyped-def]
    """Writes the codes of texts, and down the new texts; gives how many there are then."""
    mask = np.uint64(len(table) - 1)
    for i in range(len(codes)):
        begin, size = offsets[i], offsets[i + 1] - offsets[i]
        key = np.uint64(size)
        for at in range(size):
            key = (key ^ np.uint64(content[begin + at])) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        place = key & mask
        while True:
            code = np.int64(table[place])
            if code == 0:
                code = count
                count += 1
                table[place] = code
                keys[code] = key
                start = ends[code - 1]
                ends[code] = start + size
                for at in range(size):
                    written[start + at] = content[begin + at]
                break
            start = ends[code - 1]
            if keys[code] == key and ends[code] - start == size:
                at = 0
                while at < size and written[start + at] == content[begin + at]:
                    at += 1
                if at == size:
                    break
            place = (place + np.uint64(1)) & mask
        codes[i] = code
    return count


@njit(cache=True, nogil=True)
def _fill_table(keys, count, table):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    for code in range(1, count):
        place = keys[code] & mask
        while table[place]:
            place = (place + np.uint64(1)) & mask
        table[place] = code
