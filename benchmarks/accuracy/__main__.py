"""python -m benchmarks.accuracy: how often flowlake is wrong, measured on simulated estates whose truth is known.

Exit code 0 where everything holds that accuracy is held to, 1 where something does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.grid import QUICK, WHOLE, Setting
from benchmarks.accuracy.measure import Disagreement, Outcome, measure
from benchmarks.accuracy.report import faults, tables
from flowlake.sandbox import simulate
from flowlake.sandbox.sightings import Habits

BEGIN, END = "<!-- written by python -m benchmarks.accuracy{what}: begin -->", "<!-- end -->"

EPILOG = """\
examples:
  make accuracy                                          ten settings, three seeds, 10 to 15 minutes
  python -m benchmarks.accuracy --quick                  losses only, one seed
  python -m benchmarks.accuracy --seeds 7,8 --records 1000000
  python -m benchmarks.accuracy --seeds 7 --skipdata 0.02 --torn-objects 0.05
  python -m benchmarks.accuracy --seeds 1 --records 10000000 --interfaces 1000 --settings 0.1:60
"""


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    found.add_argument("--seeds", default="1,2,3", help="estates to try (default 1,2,3)")
    found.add_argument(
        "--records", type=int, default=250_000, help="raw records of each estate, about (default 250000)"
    )
    found.add_argument("--interfaces", type=int, default=300, help="interfaces at a time, about (default 300)")
    found.add_argument("--accounts", type=int, default=4, help="accounts (default 4: v2, v5, v11 and Parquet)")
    found.add_argument("--regions", type=int, default=2, help="1 or 2 (default 2)")
    found.add_argument("--hours", type=int, default=2, help="hours (default 2)")
    found.add_argument("--hour", default="2026-01-01T00", help="the first hour (default 2026-01-01T00)")
    found.add_argument("--quick", action="store_true", help="three settings, one seed, 100000 records: a few minutes")
    found.add_argument(
        "--settings", metavar="LIST",
        help="LOSS:SWEEP_MINUTES[:DELAY_MINUTES[:SHARE_LATE]],… instead of the ten settings",
    )  # fmt: skip
    found.add_argument(
        "--skipdata", type=float, default=None, metavar="SHARE",
        help="share of aggregation intervals that lose records and say so (default: the estate's)",
    )  # fmt: skip
    found.add_argument(
        "--torn-objects", type=float, default=0.0, metavar="SHARE", help="share of objects cut short (default 0)"
    )
    found.add_argument("--work", default="build/accuracy", help="folder for the estates (default build/accuracy)")
    found.add_argument("--keep", action="store_true", help="keep the estates afterwards")
    found.add_argument(
        "--no-spark", action="store_true", help="leave out the run through Spark that must publish the same rows"
    )
    found.add_argument("--write", metavar="FILE", help="also write the tables into this page, between its markers")
    found.add_argument("--part", default="", help="which markers of the page (default: those without a name)")
    return found


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.quick:
        options.seeds, options.records = (
            options.seeds if options.seeds != "1,2,3" else "1",
            min(options.records, 100_000),
        )
    settings = _settings(options.settings) if options.settings else (QUICK if options.quick else WHOLE)
    sizes = simulate.Settings(
        accounts=options.accounts, regions=options.regions, interfaces=options.interfaces, first_hour=options.hour,
        hours=options.hours, records=options.records, zones=2 if options.interfaces < 200 else 3,
        habits=_habits(options.skipdata, options.torn_objects),
    )  # fmt: skip
    work = Path(options.work).resolve()
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    outcomes: list[Outcome] = []
    try:
        for number, seed in enumerate(int(text) for text in options.seeds.split(",")):
            spark_too = number == 0 and not options.no_spark
            for outcome in measure(work, seed, sizes, settings, spark_too, say, options.keep):
                outcomes.append(outcome)
                for fault in faults(outcome):
                    say(f"FAULT  {fault}")
    except (simulate.BadSettings, Disagreement) as error:
        print(error, file=sys.stderr)
        return 1
    told = tables(outcomes)
    print(told)
    if options.write:
        write(Path(options.write), told, options.part)
    found = [fault for outcome in outcomes for fault in faults(outcome)]
    for fault in found:
        print(f"not held: {fault}", file=sys.stderr)
    print(
        f"{len(outcomes)} runs in {time.monotonic() - began:.0f} s: " + ("FAILED" if found else "all held"),
        file=sys.stderr,
    )
    return 1 if found else 0


def _habits(skipdata: float | None, torn_objects: float) -> Habits:
    habits = Habits(torn_object_share=torn_objects)
    return habits if skipdata is None else replace(habits, skipdata_share=skipdata)


def _settings(text: str) -> tuple[Setting, ...]:
    found = []
    for one in text.split(","):
        loss, sweep, *rest = one.split(":")
        late = {"delay_minutes": float(rest[0])} if rest else {}
        late |= {"late": float(rest[1])} if len(rest) > 1 else {}
        found.append(Setting(float(loss), int(sweep), **late))
    return tuple(found)


def write(page: Path, told: str, part: str = "") -> None:
    """Puts the tables between the page's markers. Raises ValueError where it has none."""
    text = page.read_text(encoding="utf-8")
    begin = BEGIN.format(what=f" --part {part}" if part else "")
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{page} has no place for the tables: {begin} … {END}")
    page.write_text(f"{head}{begin}\n\n{told}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
