"""What to simulate: sizes, hours, formats, habits."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowlake.lake.hours import Hour
from flowlake.sandbox import flow_logs
from flowlake.sandbox.estate import Sizes
from flowlake.sandbox.sightings import Habits

SECONDS_AROUND = 600
"""Simulated before the first hour and after the last one."""


class BadSettings(ValueError):
    """Sizes that no estate can have."""


@dataclass(frozen=True)
class Settings:
    """What to simulate. records counts raw records over all hours, about."""

    seed: int = 1
    accounts: int = 3
    regions: int = 2
    zones: int = 3
    interfaces: int = 400
    first_hour: str = "2026-01-01T00"
    hours: int = 1
    records: int = 200_000
    formats: tuple[str, ...] = flow_logs.NAMES
    level: int = 1
    weeks: int = 0
    """Where more than 0: the hours are simulated twice a week for so many weeks, with nothing between them."""
    habits: Habits = field(default_factory=Habits)

    def check(self) -> None:
        """Raises BadSettings, in words for the user."""
        problems = [
            (self.accounts < 2, "an organisation has at least 2 accounts"),
            (self.accounts > 40, "at most 40 accounts have room in the transit gateway's ranges"),
            (self.regions not in (1, 2), "there are 1 or 2 regions"),
            (self.zones not in (2, 3), "there are 2 or 3 zones"),
            (self.interfaces < 1, "interfaces must be at least 1"),
            (self.hours < 1, "hours must be at least 1"),
            (self.hours > 48 and self.weeks > 0, "with weeks, at most 48 hours at a time"),
            (self.records < 1, "records must be at least 1"),
            (not self.formats, "name at least one format"),
            *(
                (name != "parquet" and name not in flow_logs.FORMATS, f"there is no format '{name}'")
                for name in self.formats
            ),
        ]
        for is_one, words in problems:
            if is_one:
                raise BadSettings(words)

    def first_hours(self) -> list[Hour]:
        """The first hour of every stretch."""
        first = Hour.parse(self.first_hour)
        if not self.weeks:
            return [first]
        return [first.plus(24 * day) for week in range(self.weeks) for day in (7 * week, 7 * week + 3)]

    def asked(self) -> list[Hour]:
        """All hours that are simulated whole."""
        return [first.plus(n) for first in self.first_hours() for n in range(self.hours)]

    def sizes(self) -> Sizes:
        around = SECONDS_AROUND * 1000
        spans = tuple(
            (first.starts * 1000 - around, first.plus(self.hours).starts * 1000 + around)
            for first in self.first_hours()
        )
        return Sizes(self.seed, self.accounts, self.regions, self.interfaces, self.records, spans, self.zones)
