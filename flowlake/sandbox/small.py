"""A small estate, for the demo and for tests: two accounts, one region, some dozens of interfaces, one hour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowlake.lake.hours import Hour
from flowlake.sandbox import simulate
from flowlake.sandbox.inventory import Weather

FORMATS = ("v2", "v5")
"""The first account's flow logs have the default format, the second's that of version 5."""


def settings(seed: int = 1, hour: str = "2026-01-01T00", hours: int = 1, records: int = 30_000) -> simulate.Settings:
    Hour.parse(hour)
    return simulate.Settings(
        seed=seed, accounts=2, regions=1, zones=2, interfaces=60, first_hour=hour, hours=hours, records=records,
        formats=FORMATS,
    )  # fmt: skip


def write(
    out: Path, seed: int = 1, hour: str = "2026-01-01T00", hours: int = 1, records: int = 30_000,
    progress: Callable[[str], None] = lambda _: None,
) -> Path:  # fmt: skip
    """Writes the small estate under out and returns it: a lake with raw/ and inventory/, and truth/ beside them."""
    simulate.simulate(out, settings(seed, hour, hours, records), weather=Weather(), progress=progress)
    return out
