"""Several columns of few values as few words: what is told apart by many narrow columns has a short key."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_BITS = 64


def packed(columns: Iterable[npt.NDArray]) -> list[npt.NDArray[np.uint64]]:
    """Words that are equal in two rows if and only if all columns are. Columns are integers or booleans.

    Each column takes the bits that its span of values needs; one that is the same in all rows takes none.
    """
    words: list[npt.NDArray[np.uint64]] = []
    room: list[int] = []
    for column in columns:
        size = len(column)
        if not words:
            words, room = [np.zeros(size, dtype=np.uint64)], [_BITS]
        if not size:
            continue
        least, most = int(column.min()), int(column.max())
        needs = (most - least).bit_length()
        at = next((i for i, left in enumerate(room) if left >= needs), len(words))
        if at == len(words):
            words.append(np.zeros(size, dtype=np.uint64))
            room.append(_BITS)
        if needs:
            # Two's complement: what wraps around here wraps back.
            above = column.astype(np.uint64) if column.dtype.kind == "u" else column.astype(np.int64).view(np.uint64)
            above = above - np.uint64(least & 0xFFFFFFFFFFFFFFFF)
            room[at] -= needs
            words[at] |= above << np.uint64(room[at])
    return words
