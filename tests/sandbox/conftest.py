"""Two estates, made once: the small one of the demo, and a wide one with every format, two regions, four accounts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flowlake.sandbox import small
from flowlake.sandbox.inventory import Weather
from flowlake.sandbox.sightings import Habits
from flowlake.sandbox.simulate import Settings, simulate

WIDE = Settings(
    seed=7, accounts=4, regions=2, zones=2, interfaces=150, hours=1, records=40_000,
    habits=Habits(skipdata_share=0.0, late_object_share=0.05),
)  # fmt: skip


@dataclass
class Written:
    """An estate on disk, and a way to ask its truth: {records}, {connections}, … stand for the tables."""

    out: Path
    settings: Settings
    summary: Any

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        connection = duckdb.connect()
        connection.execute("set threads = 1")
        tables = {
            name: f"read_parquet('{self.out}/truth/{name}/**/*.parquet', hive_partitioning = false)"
            for name in ("records", "connections", "conversations")
        } | {
            name: f"read_parquet('{self.out}/truth/{name}.parquet')"
            for name in ("endpoints", "interfaces", "objects", "sights", "tags")
        }
        return connection.execute(sql.format(**tables)).fetchall()


@pytest.fixture(scope="session")
def demo_estate(tmp_path_factory: pytest.TempPathFactory) -> Written:
    out = tmp_path_factory.mktemp("small")
    settings = small.settings(records=8_000)
    return Written(out, settings, simulate(out, settings, Weather()))


@pytest.fixture(scope="session")
def wide_estate(tmp_path_factory: pytest.TempPathFactory) -> Written:
    out = tmp_path_factory.mktemp("wide")
    return Written(out, WIDE, simulate(out, WIDE, Weather(loss=0.1)))
