"""Tag sets as columns, from the bytes that JSON wrote them with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.observed_lines import ValueCodes
from flowlake.flows.plain_texts import OBJECT, held_by

I32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass
class Tags:
    """Tag sets, a row each. good: which were read; the others are empty here: none are told, a text has an escape, or
    the keys are not in order.
    """

    good: Bools
    offsets: I32
    keys: pa.StringArray
    values: pa.StringArray

    def maps(self, kind: pa.DataType) -> pa.MapArray:
        """As an Arrow column."""
        return pa.MapArray.from_arrays(pa.array(self.offsets), self.keys, self.values).cast(kind)

    def any_key(self, of_keys: Bools) -> Bools:
        """Which sets have a key of which that is so."""
        before = np.append(0, np.cumsum(of_keys))
        found: Bools = before[self.offsets[1:]] > before[self.offsets[:-1]]
        return found


def tags_of(values: ValueCodes, codes: I32) -> Tags:
    """The tag sets of codes."""
    held = held_by(values, codes, OBJECT)
    return Tags(held.good, held.offsets, *held.texts)
