"""Loops that are compiled: numba's njit, kept on disk where there is a place to keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

AT_ONCE = 32
"""Rows whose places in a hash table are fetched before the first of them is looked at: they do not hang on each other,
so that the processor waits for all of them about as long as for one."""


def njit(*, cache: bool = True, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba's njit, to be used as it is.

    numba refuses to keep what it compiled (and with it the import) of a wheel that is imported as it is, as Glue's
    --extra-py-files does, and where neither the installation nor a home can be written to. There each process compiles
    anew.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=cache, **options)(function)
        except RuntimeError:
            if not cache:
                raise
            return numba.njit(**options)(function)

    return decorate


def steady(values: npt.NDArray, kind: type) -> npt.NDArray:
    """The values as a compiled loop knows them: of one type, one behind the other, and not to be written."""
    held: npt.NDArray = np.ascontiguousarray(values, kind).view()
    held.flags.writeable = False
    return held
