"""Hours and windows, in UTC.

An hour is the unit of work and of publishing. A window is a part of an hour (300 s by default) to which
the bytes of a record go whole, by the record's start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

SECONDS = 3600
WINDOW_SECONDS_MIN = 60
WINDOW_SECONDS_MAX = 3600
WINDOW_SECONDS_DEFAULT = 300
FIRST_YEAR, LAST_YEAR = 1970, 9998  # hours and days around an hour are moments too

_ENDS = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())

_TEXT = re.compile(r"^(\d{4})-(\d{2})-(\d{2})[T ](\d{2})(:00(:00)?)?Z?$")


class BadHour(ValueError):
    """The text names no hour, or the window does not divide one."""


@dataclass(frozen=True, order=True)
class Hour:
    """One UTC hour, [starts, ends) in epoch seconds."""

    starts: int

    def __post_init__(self) -> None:
        if self.starts % SECONDS:
            raise BadHour(f"{self.starts} is not the first second of an hour")

    @classmethod
    def parse(cls, text: str) -> Hour:
        """'2026-01-01T00' (also with :00 and Z) as an hour. Raises BadHour."""
        found = _TEXT.match(text)
        if not found:
            raise BadHour(f"'{text}' is no hour: write 2026-01-01T00 (UTC)")
        try:
            moment = datetime(*(int(part) for part in found.groups()[:4]), tzinfo=UTC)  # type: ignore[misc, arg-type]
        except ValueError as error:
            raise BadHour(f"'{text}' is no hour: {error}") from error
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise BadHour(f"'{text}' is no hour: the year must be in {FIRST_YEAR}..{LAST_YEAR}")
        return cls(int(moment.timestamp()))

    @classmethod
    def holding(cls, epoch_seconds: float) -> Hour:
        """The hour that holds this moment."""
        return cls(int(epoch_seconds // SECONDS) * SECONDS)

    @classmethod
    def of_partition(cls, dt: str, hour: str) -> Hour:
        return cls.parse(f"{dt}T{hour}")

    @property
    def ends(self) -> int:
        return self.starts + SECONDS

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.starts, UTC)

    @property
    def dt(self) -> str:
        """Partition value: YYYY-MM-DD."""
        return self.moment.strftime("%Y-%m-%d")

    @property
    def hh(self) -> str:
        """Partition value: HH."""
        return self.moment.strftime("%H")

    def plus(self, hours: int) -> Hour:
        return Hour(self.starts + hours * SECONDS)

    def __str__(self) -> str:
        return f"{self.dt}T{self.hh}"


def hours_from(first: Hour, count: int) -> Iterator[Hour]:
    """first and the count - 1 hours after it."""
    if count < 1:
        raise BadHour(f"{count} hours: ask for at least one")
    if (_ENDS - first.starts) // SECONDS < count:
        raise BadHour(f"{count} hours from {first} on: the year must be in {FIRST_YEAR}..{LAST_YEAR}")
    return (first.plus(i) for i in range(count))


def check_window(seconds: int) -> int:
    """The window's length if it is one that an hour can be cut into. Raises BadHour."""
    if not WINDOW_SECONDS_MIN <= seconds <= WINDOW_SECONDS_MAX or SECONDS % seconds:
        raise BadHour(
            f"a window of {seconds} s: it must be {WINDOW_SECONDS_MIN} to {WINDOW_SECONDS_MAX} s and divide an hour"
        )
    return seconds


def utc(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, UTC)


def as_text(moment: datetime) -> str:
    """A moment as observations write it: 'YYYY-MM-DD HH:MM:SS.mmm', UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def from_text(text: str) -> datetime:
    """Reads what as_text writes, and ISO 8601 (with or without a zone: UTC is meant). Raises ValueError."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
