"""NODATA and SKIPDATA: the lines that say that nothing happened, and that something was lost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flowlake.sandbox.sightings import STEP, Habits, Records, lag_seconds, skips
from flowlake.sandbox.tables import Ints, Tables

NODATA, SKIPDATA = "NODATA", "SKIPDATA"
RING = 16


class Silence:
    """Remembers which interfaces had traffic in which step; `lines` tells of those that had none.

    An interface that was silent for all of its intervals that ended in a step says so once, for the last of them.
    """

    def __init__(self, tables: Tables, habits: Habits, seed: int) -> None:
        self.tables, self.habits, self.seed = tables, habits, seed
        self._seen = np.full((len(tables.interface_window), RING), -1, np.int64)
        self._covered = np.flatnonzero(tables.cover[:, 0] >= 0)

    def hear(self, records: Records) -> None:
        self._seen[records.interface, records.window_step % RING] = records.window_step

    def lines(self, step: int) -> Iterator[tuple[int, int, int, str]]:
        """(interface, start, end, status), start and end in epoch seconds, for intervals that ended in the step.

        step counts from time 0.
        """
        tables, who = self.tables, self._covered
        window, phase = tables.interface_window[who], tables.interface_phase[who]
        last = ((step + 1) * STEP - phase) // window - 1
        ends = (last + 1) * window + phase
        in_step = (ends > step * STEP) & (ends <= (step + 1) * STEP)
        quiet = in_step & self._there(who, ends) & (self._seen[who, step % RING] != step)
        # A regional NAT gateway has no interface that could be silent.
        quiet &= ~tables.interface_regional[who]
        yield from self._say(who[quiet], last[quiet], NODATA)
        for back in range(int(STEP // 60_000)):
            index = last - back
            ends = (index + 1) * window + phase
            lost = (ends > step * STEP) & self._there(who, ends) & skips(self.seed, self.habits, who, index)
            yield from self._say(who[lost], index[lost], SKIPDATA)

    def _there(self, interface: Ints, ends: Ints) -> NDArray[np.bool_]:
        """Whether the interface was there at some time of its interval that ended then."""
        tables = self.tables
        since, until = tables.interface_since[interface], tables.interface_until[interface]
        there: NDArray[np.bool_] = (since < ends) & (until > ends - tables.interface_window[interface])
        return there

    def _say(self, interface: Ints, index: Ints, status: str) -> Iterator[tuple[int, int, int, str]]:
        tables = self.tables
        opens = (tables.zero + tables.interface_phase[interface] + index * tables.interface_window[interface]) // 1000
        opens = opens + lag_seconds(self.seed, self.habits, interface, index)
        closes = opens + tables.interface_window[interface] // 1000 - 1
        for row in zip(interface.tolist(), opens.tolist(), closes.tolist(), strict=True):
            yield (*row, status)
