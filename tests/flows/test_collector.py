"""The collector of cyclic garbage is off within, and afterwards as it was before."""

from __future__ import annotations

import gc

import pytest

from flowlake.flows.collector import paused


def test_it_is_off_within_and_on_again_after_an_error() -> None:
    seen = []

    @paused()
    def fails() -> None:
        seen.append(gc.isenabled())
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert (seen, gc.isenabled()) == ([False], True)


def test_one_within_another_leaves_it_off() -> None:
    with paused():
        with paused():
            pass
        assert not gc.isenabled()
