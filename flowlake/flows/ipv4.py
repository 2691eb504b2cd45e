"""IPv4 addresses of whole Arrow columns as numbers, read from the bytes of their texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.compiled import njit
from flowlake.flows.text_codes import text_parts

_DOT, _ZERO = 46, 48


def ipv4_numbers(texts: pa.StringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """IPv4 addresses as numbers, and which texts are such: four decimals up to 255 without leading zeros. The number
    of any other text is 0.
    """
    numbers, right = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    if len(texts) and not texts.null_count:
        _read(*text_parts(texts), numbers, right)
    return numbers, right


@njit(cache=True, nogil=True)
def _read(offsets, content, numbers, right):  # type: ignore[no-untyped-def]
    for i in range(len(numbers)):
        number = value = 0
        digits = dots = 0
        good = True
        for at in range(offsets[i], offsets[i + 1]):
            digit: Any = np.int64(content[at]) - _ZERO
            if 0 <= digit <= 9:
                good &= digits == 0 or value > 0
                value = 10 * value + digit
                digits += 1
                good &= value <= 255
            else:
                good &= digit == _DOT - _ZERO and digits > 0
                number = number << 8 | value
                value = digits = 0
                dots += 1
            if not good:
                break
        if good and dots == 3 and digits > 0:
            numbers[i] = number << 8 | value
            right[i] = True
