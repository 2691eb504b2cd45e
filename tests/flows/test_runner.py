"""From arguments to hours: one that fails keeps no other from being made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowlake.flows import runner
from flowlake.flows.arguments import parse_glue
from flowlake.flows.audit import AuditFailed
from flowlake.flows.job import Result
from flowlake.lake.hours import Hour

FIRST = Hour.parse("2026-01-01T00")


def enrich(
    monkeypatch: pytest.MonkeyPatch, lake: Path, hours: int, failing: set[Hour]
) -> tuple[list[Hour], list[str], Exception | None]:
    """The hours that were made, what was said, and what was raised."""
    made: list[Hour] = []
    said: list[str] = []

    def enrich_hour(spark: Any, store: Any, catalog: Any, hour: Hour, *_: Any) -> Result:
        if hour in failing:
            raise AuditFailed(hour, "run", [])
        made.append(hour)
        return Result(hour, None)

    monkeypatch.setattr(runner, "enrich_hour", enrich_hour)
    arguments, _ = parse_glue(["--lake", str(lake), "--hour", str(FIRST), "--hours", str(hours)])
    try:
        runner.run(arguments, said.append)
    except Exception as error:
        return made, said, error
    return made, said, None


def test_an_hour_that_fails_keeps_no_other_from_being_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, said, raised = enrich(monkeypatch, tmp_path, 3, {FIRST})
    assert made == [FIRST.plus(1), FIRST.plus(2)]
    assert isinstance(raised, runner.HoursFailed)
    assert list(raised.failed) == [FIRST]
    assert "1 of 3 hours failed" in str(raised)
    assert any(line.startswith(f"{FIRST} failed: AuditFailed") for line in said)


def test_a_single_hours_error_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, _, raised = enrich(monkeypatch, tmp_path, 1, {FIRST})
    assert made == []
    assert isinstance(raised, AuditFailed)


def test_objects_that_came_too_late_are_told_with_what_takes_them_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    monkeypatch.setattr(runner.due, "too_late", lambda *_: 3)
    runner.run(parse_glue(["--lake", str(tmp_path), "--catch-up", "2"])[0], said.append)
    assert said == [
        "3 objects came more than 24 hours after their hour: strays, which only --hour takes up",
        "nothing to do: no hour is due",
    ]
