"""Minutes of an hour and around it as bits of a mask: bit 2 is the hour's first minute, bits 0 and 1 what was before,
62 and 63 what comes after.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowlake.flows.compiled import njit
from flowlake.lake.hours import SECONDS

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

MINUTES_BEFORE = 2
_MINUTES = SECONDS // 60
_LAST = 63


def minutes_masks(start: I64, end: I64, hour_starts: int) -> U64:
    """The minutes touched by each [start, end]."""
    masks = np.empty(len(start), np.uint64)
    _touched(np.ascontiguousarray(start), np.ascontiguousarray(end), hour_starts - 60 * MINUTES_BEFORE, masks)
    return masks


@njit(cache=True, nogil=True)
def _touched(start, end, zero, masks):  # type: ignore[no-untyped-def]
    for i in range(len(masks)):
        first = min(max(start[i] - zero, 0), 60 * _LAST) // 60
        last = max(min(max(end[i] - zero, 0), 60 * _LAST) // 60, first)
        masks[i] = (~np.uint64(0) >> np.uint64(_LAST - (last - first))) << np.uint64(first)


WHOLE_HOUR = ((1 << _MINUTES) - 1) << MINUTES_BEFORE
