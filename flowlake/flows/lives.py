"""From when to when interfaces are known to have existed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.book import Book
from flowlake.flows.fold import OPEN


@dataclass(frozen=True)
class Lives:
    """ids: of interfaces, one row each. born, gone: from when to when (epoch ms) each is known to have existed."""

    ids: pa.Array
    born: npt.NDArray[np.int64]
    gone: npt.NDArray[np.int64]

    def of(self, interface_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """The lives of these interfaces, of those that are known."""
        asked = pa.array(interface_ids, pa.string())
        found = pc.index_in(asked, self.ids)
        at = found.drop_null().to_numpy()
        known = asked.filter(found.is_valid()).to_pylist()
        return dict(zip(known, zip(self.born[at].tolist(), self.gone[at].tolist(), strict=True), strict=True))


NO_LIVES = Lives(pa.array([], pa.string()), np.zeros(0, np.int64), np.zeros(0, np.int64))


def lives(book: Book) -> Lives:
    """The lives of all interfaces of the book; to the end where no event or absence told of it."""
    states = book.state_columns
    if not len(states):
        return NO_LIVES
    ids = states["interface_id"].combine_chunks()
    ended = pc.is_in(states["to_source"], pa.array(["event", "absence"])).to_numpy()
    gone = np.where(ended, states["valid_to"].to_numpy(), OPEN)
    # States of an interface lie together, the last one at the end.
    first = np.flatnonzero(np.append(True, pc.not_equal(ids[1:], ids[:-1]).to_numpy(False)))
    born, gone = np.minimum.reduceat(states["valid_from"].to_numpy(), first), gone[np.append(first[1:], len(gone)) - 1]
    return Lives(ids.take(pa.array(first)), born, np.maximum(gone, 0))
