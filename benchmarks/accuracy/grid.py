"""Which settings are tried: the inventory's weather, one thing changed at a time from an hourly sweep and one event in ten lost."""

from __future__ import annotations

from dataclasses import dataclass

from flowlake.sandbox.inventory import Weather


@dataclass(frozen=True)
class Setting:
    """loss: share of events that never arrive. delay_minutes: how late a late event is at most; late: the share of events that are late."""

    loss: float = 0.1
    sweep_minutes: int = 60
    delay_minutes: float = 15.0
    late: float = 0.05

    @property
    def name(self) -> str:
        return f"loss-{self.loss:g}-sweep-{self.sweep_minutes}-delay-{self.delay_minutes:g}-late-{self.late:g}"

    @property
    def words(self) -> str:
        late = "all" if self.late == 1 else f"{self.late:.0%}"
        return f"{self.loss:.0%} lost, {late} late by up to {self.delay_minutes:g} min, sweep every {self.sweep_minutes} min"

    def weather(self) -> Weather:
        return Weather(
            loss=self.loss, late=self.late, delay_minutes=self.delay_minutes, sweep_minutes=self.sweep_minutes
        )


WHOLE = (
    Setting(loss=0.0),
    Setting(loss=0.01),
    Setting(),
    Setting(loss=0.5),
    Setting(sweep_minutes=5),
    Setting(sweep_minutes=15),
    Setting(sweep_minutes=30),
    Setting(delay_minutes=5.0, late=1.0),
    Setting(delay_minutes=15.0, late=1.0),
    Setting(loss=0.5, sweep_minutes=5, late=1.0),
)
QUICK = (Setting(loss=0.0), Setting(), Setting(loss=0.5))
"""Losses alone, for a first look."""
