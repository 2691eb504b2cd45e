"""Addresses as small integers, for whole Arrow columns: each distinct text of a column is read as a number, without a
Python object a text.

IPv4, nearly all there is, is read from the bytes of the texts; what is not is read one by one. Two spellings of an
address are one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.addresses import NONE_HIGH, NONE_LOW, U64, V4, parse
from flowlake.flows.columns import entries, taken
from flowlake.flows.compiled import njit
from flowlake.flows.ipv4 import ipv4_numbers
from flowlake.flows.text_codes import grown

NULL = 0
_FIRST_ADDRESSES = 1 << 12


class AddressCodes:
    """Distinct addresses as integers, counted up; null and what is no address is 0. high, low: the address of each
    code.
    """

    def __init__(self) -> None:
        self._count = 1
        self._high = np.full(_FIRST_ADDRESSES, NONE_HIGH)
        self._low = np.full(_FIRST_ADDRESSES, NONE_LOW)
        self._table = np.zeros(2 * _FIRST_ADDRESSES, np.int32)

    def __len__(self) -> int:
        return self._count

    @property
    def high(self) -> U64:
        return self._high[: self._count]

    @property
    def low(self) -> U64:
        return self._low[: self._count]

    def of_column(self, column: pa.Array) -> npt.NDArray[np.int32]:
        """Codes of a dictionary (or plain) column of texts."""
        column = entries(column)
        return taken(column, self._of_texts(column.dictionary), NULL)

    def _of_texts(self, texts: pa.StringArray) -> npt.NDArray[np.int32]:
        high, low = addresses_of(texts)
        self._make_room(len(texts))
        codes = np.empty(len(texts), np.int32)
        self._count = _codes(high, low, self._high, self._low, self._table, self._count, codes)
        return codes

    def _make_room(self, addresses: int) -> None:
        self._high = grown(self._high, self._count + addresses)
        self._low = grown(self._low, self._count + addresses)
        if len(self._table) < 2 * len(self._high):
            self._table = np.zeros(2 * len(self._high), np.int32)
            # Each is new to the table, in the order of their codes.
            high, low = self._high[1 : self._count].copy(), self._low[1 : self._count].copy()
            _codes(high, low, self._high, self._low, self._table, 1, np.empty(self._count - 1, np.int32))


def addresses_of(texts: pa.StringArray) -> tuple[U64, U64]:
    """Texts, none of them null, as (high, low); what is no address becomes NONE."""
    numbers, is_ipv4 = ipv4_numbers(texts)
    high, low = np.zeros(len(texts), np.uint64), numbers.view(np.uint64) | np.uint64(V4)
    if not bool(is_ipv4.all()):
        rest = np.flatnonzero(~is_ipv4)
        high[rest], low[rest] = parse(texts.take(pa.array(rest)).to_pylist())
    return high, low


@njit(cache=True, nogil=True)
def _codes(high, low, known_high, known_low, table, count, codes):  # type: ignore[no-untyped-def]
    """Writes the codes of addresses, and down the new ones; gives how many there are then."""
    mask = np.uint64(len(table) - 1)
    for i in range(len(codes)):
        if high[i] == known_high[0] and low[i] == known_low[0]:
            codes[i] = NULL
            continue
        key = (high[i] * np.uint64(0x9E3779B97F4A7C15) ^ low[i]) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
        place = (key ^ (key >> np.uint64(29))) & mask
        while True:
            code = np.int64(table[place])
            if code == NULL:
                code = count
                count += 1
                table[place] = code
                known_high[code], known_low[code] = high[i], low[i]
                break
            if known_high[code] == high[i] and known_low[code] == low[i]:
                break
            place = (place + np.uint64(1)) & mask
        codes[i] = code
    return count
