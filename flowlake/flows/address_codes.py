"""Addresses as small integers, for whole Arrow columns: each distinct text of a column is read as a number, without a
Python object a text.

IPv4, nearly all there is, is read by numpy from the bytes of the texts; what is not is read one by one. Two
spellings of an address are one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.addresses import NONE_HIGH, NONE_LOW, U64, V4, parse

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NULL = 0
_DOT, _ZERO = 46, 48
_WEIGHTS = np.array([1 << 24, 1 << 16, 1 << 8, 1], dtype=np.int64)


def ipv4_numbers(texts: pa.StringArray) -> tuple[I64, Bools]:
    """IPv4 addresses as numbers, and which texts are such: four decimals up to 255 without leading zeros. The number
    of any other text means nothing.
    """
    size = len(texts)
    if not size or texts.null_count:
        return np.zeros(size, np.int64), np.zeros(size, np.bool_)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + size + 1].astype(np.int64)
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[: offsets[-1]]
    dots = np.flatnonzero(content[offsets[0] :] == _DOT) + offsets[0]
    before = np.searchsorted(dots, offsets)
    three = np.flatnonzero(np.diff(before) == 3)
    inner = dots[before[:-1][three, None] + np.arange(3)]
    begins = np.column_stack([offsets[:-1][three], inner + 1])
    ends = np.column_stack([inner, offsets[1:][three]])
    lengths = ends - begins
    # Digits from the right; those before the number's first one are read and not used. A letter is no digit:
    # greater than 9.
    digits = [content[np.maximum(ends - n, 0)] - np.uint8(_ZERO) for n in (1, 2, 3)]
    used = [lengths >= n for n in (1, 2, 3)]
    values = sum(np.where(u, d, 0).astype(np.int64) * f for u, d, f in zip(used, digits, (1, 10, 100), strict=True))
    good = (lengths >= 1) & (lengths <= 3) & (values <= 255)
    for u, d in zip(used, digits, strict=True):
        good &= ~u | (d <= 9)
    good &= (lengths == 1) | (values >= np.where(lengths == 2, 10, 100))
    numbers, right = np.zeros(size, np.int64), np.zeros(size, np.bool_)
    numbers[three] = values @ _WEIGHTS
    right[three] = good.all(axis=1)
    return numbers, right


class AddressCodes:
    """Distinct addresses as integers, counted up; null and what is no address is 0. high, low: the address of each
    code.
    """

    def __init__(self) -> None:
        self._numbers = np.zeros(0, dtype=np.int64)
        self._codes = np.zeros(0, dtype=np.int64)
        self._others: dict[tuple[int, int], int] = {(int(NONE_HIGH), int(NONE_LOW)): NULL}
        self._parts = [(np.array([NONE_HIGH]), np.array([NONE_LOW]))]
        self._count = 1

    def __len__(self) -> int:
        return self._count

    @property
    def high(self) -> U64:
        return self._joined()[0]

    @property
    def low(self) -> U64:
        return self._joined()[1]

    def of_column(self, column: pa.Array) -> I64:
        """Codes of a dictionary (or plain) array."""
        if not pa.types.is_dictionary(column.type):
            column = pc.dictionary_encode(column)
        translated = np.append(self._of_texts(column.dictionary), NULL)
        indices = column.indices
        if indices.null_count:
            indices = indices.fill_null(len(translated) - 1)
        return translated[indices.to_numpy(zero_copy_only=False)]

    def _of_texts(self, texts: pa.StringArray) -> I64:
        numbers, is_ipv4 = ipv4_numbers(texts)
        if bool(is_ipv4.all()):
            return self._of_numbers(numbers)
        codes = np.zeros(len(texts), dtype=np.int64)
        codes[is_ipv4] = self._of_numbers(numbers[is_ipv4])
        rest = np.flatnonzero(~is_ipv4)
        high, low = parse(texts.take(pa.array(rest)).to_pylist())
        for row, pair in zip(rest.tolist(), zip(high.tolist(), low.tolist(), strict=True), strict=True):
            codes[row] = self._other(pair)
        return codes

    def _other(self, pair: tuple[int, int]) -> int:
        if pair[0] == 0 and pair[1] >> 32 == V4 >> 32:
            return int(self._of_numbers(np.array([pair[1] & 0xFFFFFFFF]))[0])
        code = self._others.get(pair)
        if code is None:
            code = self._others[pair] = self._count
            self._add(np.array([pair[0]], np.uint64), np.array([pair[1]], np.uint64))
        return code

    def _of_numbers(self, numbers: I64) -> I64:
        at = np.searchsorted(self._numbers, numbers)
        known = at < len(self._numbers)
        known[known] = self._numbers[at[known]] == numbers[known]
        if not bool(known.all()):
            new = np.unique(numbers[~known])
            where = np.searchsorted(self._numbers, new)
            self._numbers = np.insert(self._numbers, where, new)
            self._codes = np.insert(self._codes, where, np.arange(self._count, self._count + len(new)))
            self._add(np.zeros(len(new), np.uint64), new.astype(np.uint64) | np.uint64(V4))
            at = np.searchsorted(self._numbers, numbers)
        return self._codes[at]

    def _add(self, high: U64, low: U64) -> None:
        self._parts.append((high, low))
        self._count += len(high)

    def _joined(self) -> tuple[U64, U64]:
        if len(self._parts) > 1:
            high, low = zip(*self._parts, strict=True)
            self._parts = [(np.concatenate(high), np.concatenate(low))]
        return self._parts[0]
