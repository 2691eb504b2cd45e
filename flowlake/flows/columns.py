"""Arrow columns as numpy arrays, null or not: one compiled pass where Arrow and numpy would each make several."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.compiled import njit

_NO_BITS = np.zeros(0, np.uint8)


def entries(column: pa.Array) -> pa.DictionaryArray:
    """The column with each of its texts or numbers once in a dictionary."""
    return column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)


def numbers(column: pa.Array, of_null: int = 0) -> npt.NDArray:
    """The numbers of a column, and what is given for null; of the column's own type."""
    values, bits = _parts(column)
    if not len(bits):
        return values
    filled = np.empty(len(values), values.dtype)
    _fill(values, bits, column.offset, of_null, filled)
    return filled


def extremes(column: pa.Array) -> tuple[int, int] | None:
    """The least and the greatest number of a column of integers; None where it has none."""
    values, bits = _parts(column)
    least, greatest = _extremes(values, bits, column.offset)
    return (least, greatest) if least <= greatest else None


def taken(column: pa.DictionaryArray, of_entries: npt.NDArray, of_null: int) -> npt.NDArray[np.int32]:
    """For each row of a column what is given for its entry of the dictionary."""
    indices = column.indices
    places, bits = _parts(indices)
    found = np.empty(len(places), np.int32)
    _take(places, bits, indices.offset, of_entries.astype(np.int32), of_null, found)
    return found


def _parts(column: pa.Array) -> tuple[npt.NDArray, npt.NDArray[np.uint8]]:
    """The values, whatever they are where they are null, and the bits that say of which rows they are (from the
    column's offset on); none where no row is null.
    """
    valid, values = column.buffers()
    dtype = column.type.to_pandas_dtype()
    at = column.offset
    held = np.frombuffer(values, dtype)[at : at + len(column)] if values is not None else np.zeros(0, dtype)
    return held, np.frombuffer(valid, np.uint8) if column.null_count else _NO_BITS


@njit(cache=True, nogil=True)
def _fill(values, bits, offset, of_null, filled):  # type: ignore[no-untyped-def]
    for row in range(len(values)):
        at = offset + row
        filled[row] = values[row] if bits[at >> 3] >> (at & 7) & 1 else of_null


@njit(cache=True, nogil=True)
def _extremes(values, bits, offset):  # type: ignore[no-untyped-def]
    least, greatest = np.int64(np.iinfo(np.int64).max), np.int64(np.iinfo(np.int64).min)
    if len(bits):
        for row in range(len(values)):
            at = offset + row
            if bits[at >> 3] >> (at & 7) & 1:
                least, greatest = min(least, values[row]), max(greatest, values[row])
    else:
        for row in range(len(values)):
            least, greatest = min(least, values[row]), max(greatest, values[row])
    return least, greatest


@njit(cache=True, nogil=True)
def _take(places, bits, offset, of_entries, of_null, found):  # type: ignore[no-untyped-def]
    if len(bits):
        for row in range(len(places)):
            at = offset + row
            found[row] = of_entries[places[row]] if bits[at >> 3] >> (at & 7) & 1 else of_null
    else:
        for row in range(len(places)):
            found[row] = of_entries[places[row]]
