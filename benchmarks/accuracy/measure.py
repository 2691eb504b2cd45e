"""One estate, many inventories: simulate, enrich and judge. The same raw flow logs are joined with each setting's inventory."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.accuracy.grid import Setting
from benchmarks.accuracy.judge import judge
from benchmarks.accuracy.told import Told
from benchmarks.accuracy.truth import Truth
from flowlake.flows.arguments import Arguments
from flowlake.flows.hints import Reported
from flowlake.flows.inprocess import enrich_in_process
from flowlake.flows.job import Options
from flowlake.flows.runner import run as run_job
from flowlake.lake.catalog import open_catalog
from flowlake.lake.hours import Hour
from flowlake.lake.store import open_store
from flowlake.sandbox import simulate

IN_MEMORY = 1_500_000
"""Records of an hour up to which it is enriched in this process; beyond, by the job on Spark, whose memory does not grow with records."""
FINAL_AFTER_HOURS = 4
NAIVE_JOB_AFTER_SECONDS = 900

Say = Callable[[str], None]


class Disagreement(AssertionError):
    """The steps in this process and the job on Spark published different rows."""


@dataclass
class Outcome:
    """Sums of one setting and seed over its hours, by name; see judge. records are raw records read."""

    setting: Setting
    seed: int
    hours: int = 0
    records: int = 0
    rows: int = 0
    on_spark: bool = False
    ends: Counter[tuple[str, bool, bool, str]] = field(default_factory=Counter)
    sums: dict[str, Counter[str]] = field(default_factory=dict)
    latest_tags_seconds: int = 0

    def add(self, told: dict[str, Any]) -> None:
        for row in told["ends"]:
            for measure in ("bytes", "wrong", "only_public", "contested", "nameless", "untold", "reused"):
                self.ends[row["how"], row["counted"], row["held"], measure] += row[measure]
        for name, sums in told.items():
            if name != "ends":
                self.sums.setdefault(name, Counter()).update({k: v for k, v in sums.items() if k != "latest_seconds"})
        self.latest_tags_seconds = max(self.latest_tags_seconds, told["tags"]["latest_seconds"])

    def total(self, measure: str, hows: tuple[str, ...] | None = None, **where: bool) -> int:
        """Bytes at ends: of these ways of attribution, on legs that count (counted), truly held by an interface (held)."""
        return sum(
            amount
            for (how, counted, held, name), amount in self.ends.items()
            if name == measure
            and (hows is None or how in hows)
            and where.get("counted", counted) == counted
            and where.get("held", held) == held
        )


def measure(
    work: Path,
    seed: int,
    sizes: simulate.Settings,
    settings: tuple[Setting, ...],
    spark_too: bool,
    say: Say,
    keep: bool = False,
) -> Iterator[Outcome]:
    """The outcomes of one seed's estate. spark_too: its first setting goes through the job as well, and both must publish the same rows."""
    sizes = replace(sizes, seed=seed)
    lake = work / f"estate-{seed}"
    shutil.rmtree(lake, ignore_errors=True)
    summary = simulate.simulate(lake, sizes)
    say(
        f"seed {seed}: {summary.records:,} records of {summary.interfaces:,} interfaces simulated in {summary.seconds:.0f} s"
    )
    truth = Truth(lake, work / "duckdb")
    big = summary.records / max(len(sizes.asked()), 1) > IN_MEMORY
    try:
        for number, setting in enumerate(settings):
            inventory = work / f"inventory-{seed}-{setting.name}"
            shutil.rmtree(inventory, ignore_errors=True)
            simulate.inventory_only(inventory, sizes, setting.weather())
            outcome = Outcome(setting, seed, on_spark=big)
            told = Told(inventory)
            options = Options(
                logs=str(lake / "raw"), networks=(lake / "known_networks.csv").read_text(encoding="utf-8")
            )
            now = sizes.asked()[-1].plus(1 + FINAL_AFTER_HOURS).moment
            published = _on_spark(inventory, sizes.asked(), options, now) if big or (spark_too and number == 0) else {}
            previous: dict[str, Reported] | None = None
            for hour in sizes.asked():
                rows: pa.Table | str
                if big:
                    rows, count, records = published[hour]
                else:
                    made = enrich_in_process(open_store(str(inventory)), hour, options, now, previous)
                    rows, count, records = made.conversations, made.conversations.num_rows, made.totals["records"]
                    previous = made.reporters
                    if hour in published:
                        _same(hour, rows, published[hour][0])
                job_at = (hour.ends + NAIVE_JOB_AFTER_SECONDS) * 1000
                outcome.add(judge(truth, hour, rows, told, job_at))
                outcome.hours += 1
                outcome.records += records
                outcome.rows += count
            agreed = "; the job on Spark published the same rows" if published and not big else ""
            say(f"seed {seed}: {setting.words}: {outcome.rows:,} rows judged{agreed}")
            yield outcome
            if not keep:
                shutil.rmtree(inventory)
    finally:
        truth.close()
        if not keep:
            shutil.rmtree(lake)
            shutil.rmtree(work / "duckdb", ignore_errors=True)


def _on_spark(lake: Path, hours: list[Hour], options: Options, now: datetime) -> dict[Hour, tuple[str, int, int]]:
    """Runs the job on the hours. Gives, by hour, where the catalog says its conversations lie, their rows, and the records read."""
    arguments = Arguments(str(lake), tuple(hours), 0, False, options, "flowlake")
    results = run_job(arguments, log=lambda line: None, clock=lambda: now.astimezone(UTC))
    catalog = open_catalog(str(lake))
    found = {}
    for result in results:
        hour = result.hour
        partition = catalog.partition("conversations", (hour.dt, hour.hh))
        if partition is None or result.published is None:
            raise RuntimeError(f"the job published nothing for {hour}")
        found[hour] = (
            f"{partition.location.rstrip('/')}/*.parquet",
            result.rows["conversations"],
            result.counts["records"],
        )
    return found


def _same(hour: Hour, mine: pa.Table, place: str) -> None:
    """Raises Disagreement where the two ways to the rows differ in any column of any row."""
    folder = Path(place).parent
    theirs = pa.concat_tables([pq.read_table(path, partitioning=None) for path in sorted(folder.glob("*.parquet"))])
    one, two = ({row["conversation_id"]: _plain(row) for row in table.to_pylist()} for table in (mine, theirs))
    if one != two:
        differing = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
        left, right = one.get(differing[0], {}), two.get(differing[0], {})
        columns = {n: [left.get(n), right.get(n)] for n in left | right if left.get(n) != right.get(n)}
        raise Disagreement(
            f"{hour}: {len(differing)} rows differ between the steps in this process and the job on Spark; row {differing[0]} in "
            f"{json.dumps(columns, default=str)}"
        )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row for comparing. A worker that saw a connection's handshake says so in all its windows; where another read the later objects it
    has learned of the listener: the roles are the same, what they rest on depends on how objects were packed."""
    plain = {name: sorted(value) if isinstance(value, list) else value for name, value in row.items()}
    if plain["roles_by"] == "handshake":
        plain["roles_by"] = "listener"
    return plain
