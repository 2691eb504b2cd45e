"""The same seed gives the same names and contents, on every machine; another seed gives others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flowlake.sandbox.inventory import Weather
from flowlake.sandbox.simulate import Settings, inventory_only, simulate
from tests.sandbox.content import content, digest, files

TINY = Settings(seed=11, accounts=3, regions=1, zones=2, interfaces=70, hours=1, records=1_500)

PINNED = "26d647b558b385a8d8bd19a5142b775dcc44e2821ec7827ced0b7d6fca758be1"
"""Changes whenever the estate changes. Look at what changed, then pin the new one."""


def test_the_content_of_a_tiny_estate_is_pinned(tmp_path: Path) -> None:
    simulate(tmp_path, TINY)
    assert digest(tmp_path) == PINNED


def test_the_inventory_is_the_same_each_time(tmp_path: Path) -> None:
    for time in ("one", "two"):
        inventory_only(tmp_path / time, TINY, Weather(loss=0.1, sweep_minutes=30))
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_another_seed_makes_another_estate(tmp_path: Path) -> None:
    names = []
    for seed in (1, 2):
        simulate(tmp_path / str(seed), replace(TINY, seed=seed, records=200))
        names.append({p.name for p in files(tmp_path / str(seed) / "raw")})
    assert not names[0] & names[1]


def test_weather_changes_the_inventory_and_nothing_else(tmp_path: Path) -> None:
    settings = replace(TINY, records=300)
    simulate(tmp_path / "calm", settings, Weather())
    simulate(tmp_path / "storm", settings, Weather(loss=0.5))
    inventory_only(tmp_path / "again", settings, Weather(loss=0.5))

    def of(lake: str, part: str) -> dict[str, bytes]:
        return {str(p.relative_to(tmp_path / lake)): content(p) for p in files(tmp_path / lake / part)}

    assert of("calm", "raw") == of("storm", "raw")
    assert of("calm", "inventory") != of("storm", "inventory")
    assert of("storm", "inventory") == of("again", "inventory")
