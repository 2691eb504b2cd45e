"""Minutes as bits of a mask, counted out by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.minutes import minutes_masks

STARTS = 1_767_225_600


@given(st.lists(st.tuples(st.integers(-9000, 9000), st.integers(-100, 4000)), max_size=5), st.sampled_from([0, STARTS]))
def test_minutes_touched_as_a_mask(spans: list[tuple[int, int]], moved: int) -> None:
    """Bit 2 is the hour's first minute; what lies before and after falls on the outer bits. An end before its start
    adds nothing to the start's minute."""
    begins = np.array([STARTS + start - moved for start, _ in spans], np.int64)
    ends = np.array([STARTS + start + length - moved for start, length in spans], np.int64)
    bits = [
        {min(max((second - STARTS) // 60 + 2, 0), 63) for second in range(begin, max(end, begin) + 1)}
        for begin, end in zip((begins + moved).tolist(), (ends + moved).tolist(), strict=True)
    ]
    masks = minutes_masks(begins, ends, STARTS - moved)
    assert masks.tolist() == [sum(1 << bit for bit in touched) for touched in bits]
