"""Hours and windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.lake.hours import BadHour, Hour, as_text, check_window, from_text, hours_from

NEW_YEAR = 1_767_225_600  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    "text", ["2026-01-01T00", "2026-01-01 00", "2026-01-01T00Z", "2026-01-01T00:00", "2026-01-01T00:00:00Z"]
)
def test_an_hour_is_read_in_its_usual_spellings(text: str) -> None:
    assert Hour.parse(text) == Hour(NEW_YEAR)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-01-01", "2026-01-01T24", "2026-02-30T00", "2026-01-01T00:30", "2026-1-1T0", "T00"),
        *("2026-01-01T00+02", "0001-01-01T00", "9999-12-31T23"),
    ],
)
def test_what_is_no_hour_is_said(text: str) -> None:
    with pytest.raises(BadHour, match="is no hour"):
        Hour.parse(text)


def test_an_hour_begins_on_the_hour() -> None:
    with pytest.raises(BadHour, match="not the first second"):
        Hour(NEW_YEAR + 1)


def test_an_hour_holds_its_first_second_and_not_its_last() -> None:
    hour = Hour(NEW_YEAR)
    assert (hour.starts, hour.ends) == (NEW_YEAR, NEW_YEAR + 3600)
    assert Hour.holding(NEW_YEAR) == Hour.holding(NEW_YEAR + 3599.999) == hour
    assert Hour.holding(NEW_YEAR - 0.001) == hour.plus(-1)
    assert Hour.holding(hour.ends) == hour.plus(1)


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_partition_values_and_text_lead_back_to_the_hour(moment: int) -> None:
    hour = Hour.holding(moment)
    assert Hour.of_partition(hour.dt, hour.hh) == hour == Hour.parse(str(hour))
    assert hour.starts <= moment < hour.ends


def test_hours_follow_one_another_over_midnight() -> None:
    assert [str(hour) for hour in hours_from(Hour.parse("2025-12-31T23"), 2)] == ["2025-12-31T23", "2026-01-01T00"]
    with pytest.raises(BadHour, match="at least one"):
        hours_from(Hour(NEW_YEAR), 0)


def test_windows_cut_an_hour_evenly() -> None:
    assert [check_window(seconds) for seconds in (60, 300, 3600)] == [60, 300, 3600]
    for seconds in (0, 59, 61, 7, 3601, 7200, -300):
        with pytest.raises(BadHour, match=f"a window of {seconds} s"):
            check_window(seconds)


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 1, 1, 1, 2, 3, 456_789, timezone(timedelta(hours=2)))
    assert as_text(moment) == "2025-12-31 23:02:03.456"


def test_text_without_a_zone_means_utc() -> None:
    expected = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert from_text("2026-01-01 12:00:00.000") == expected
    assert from_text("2026-01-01T12:00:00Z") == expected
    assert from_text("2026-01-01T14:00:00+02:00") == expected
    with pytest.raises(ValueError, match="isoformat"):
        from_text("yesterday")


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_what_as_text_writes_from_text_reads(moment: datetime) -> None:
    whole = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    assert from_text(as_text(whole)) == whole
