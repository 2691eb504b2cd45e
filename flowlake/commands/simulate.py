"""flowlake simulate: a simulated organisation on disk, with flow logs, inventory and the truth."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flowlake.commands import CommandFailed

if TYPE_CHECKING:
    from flowlake.sandbox import simulate

_EPILOG = """\
DIR is a lake then: raw/ and inventory/ are what flowlake enrich reads. truth/ says who it really was, and stories.json
in it asks and answers the questions that were planted.

examples:
  flowlake simulate --out ./lake                                        small: two accounts, one hour
  flowlake simulate --out ./lake --accounts 4 --regions 2 --interfaces 2000 --hours 2 --records 10000000
  flowlake simulate --out ./lake --loss 0.1 --delay 15 --sweep-minutes 60
  flowlake simulate --out ./lake --weeks 9 --records 500000             one hour twice a week for nine weeks
  flowlake simulate --out ./lake2 --inventory-only --loss 0.5           another inventory of the same organisation
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to; it must be new or empty")
    size = parser.add_argument_group("sizes")
    size.add_argument("--seed", type=int, default=1, help="the same seed and sizes give the same text (default 1)")
    size.add_argument("--accounts", type=int, default=2, metavar="N", help="accounts (default 2)")
    size.add_argument("--regions", type=int, default=1, metavar="N", help="regions, 1 or 2 (default 1)")
    size.add_argument(
        "--interfaces", type=int, default=60, metavar="N", help="interfaces at a time, about (default 60)"
    )
    size.add_argument("--hour", default="2026-01-01T00", metavar="HOUR", help="first hour (default 2026-01-01T00)")
    size.add_argument("--hours", type=int, default=1, metavar="N", help="hours (default 1)")
    size.add_argument("--weeks", type=int, default=0, metavar="N", help="take the hours twice a week for N weeks")
    size.add_argument("--records", type=int, default=30_000, metavar="N", help="raw records, about (default 30000)")
    logs = parser.add_argument_group("flow logs")
    logs.add_argument(
        "--formats", default="v2,v5,v11,parquet", metavar="LIST",
        help="formats, going round the accounts: v2, v5, v11, v5-console, parquet (default all but v5-console)",
    )  # fmt: skip
    logs.add_argument(
        "--skew", type=int, default=60, metavar="SECONDS", help="start and end are off by up to (default 60)"
    )
    logs.add_argument("--skipdata", type=_share, default=0.0005, metavar="SHARE", help="intervals that lose records")
    logs.add_argument("--late-records", type=_share, default=0.01, metavar="SHARE", help="intervals in a later object")
    logs.add_argument(
        "--late-objects", type=_share, default=0.01, metavar="SHARE", help="objects late by up to 3 hours"
    )
    logs.add_argument("--late-aside", action="store_true", help="put objects late by over an hour under late/ instead")
    logs.add_argument("--repeated-objects", type=_share, default=0.005, metavar="SHARE", help="objects delivered again")
    logs.add_argument("--torn-objects", type=_share, default=0.0, metavar="SHARE", help="objects cut short (default 0)")
    inventory = parser.add_argument_group("inventory")
    inventory.add_argument(
        "--loss", type=_share, default=0.0, metavar="SHARE", help="events that never arrive (default 0)"
    )
    inventory.add_argument(
        "--late-events", type=_share, default=0.05, metavar="SHARE", help="events that are late (0.05)"
    )
    inventory.add_argument("--delay", type=float, default=15.0, metavar="MINUTES", help="how late at most (default 15)")
    inventory.add_argument(
        "--repeated-events", type=_share, default=0.02, metavar="SHARE", help="events that come twice"
    )
    inventory.add_argument(
        "--sweep-minutes", type=int, default=60, metavar="N", help="minutes between sweeps (default 60)"
    )
    only = inventory.add_mutually_exclusive_group()
    only.add_argument("--no-inventory", action="store_true", help="flow logs and truth only")
    only.add_argument(
        "--inventory-only", action="store_true",
        help="inventory only: the same organisation seen through other weather",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a summary as JSON on stdout")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: write 0 to 1")
    return value


def run(options: argparse.Namespace) -> int:
    from flowlake.lake.hours import BadHour
    from flowlake.sandbox import simulate
    from flowlake.sandbox.inventory import Weather
    from flowlake.sandbox.sightings import Habits

    out = Path(options.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CommandFailed(f"{out} is not empty: name a new folder", exit_code=2)
    if options.sweep_minutes < 1:
        raise CommandFailed("--sweep-minutes must be at least 1", exit_code=2)
    for name in ("delay", "skew"):
        if getattr(options, name) < 0:
            raise CommandFailed(f"--{name} must be at least 0", exit_code=2)
    habits = Habits(
        skew_seconds=options.skew,
        late_share=options.late_records,
        skipdata_share=options.skipdata,
        late_object_share=options.late_objects,
        repeated_object_share=options.repeated_objects,
        torn_object_share=options.torn_objects,
        late_aside=options.late_aside,
    )
    settings = simulate.Settings(
        seed=options.seed,
        accounts=options.accounts,
        regions=options.regions,
        zones=2 if options.interfaces < 200 else 3,
        interfaces=options.interfaces,
        first_hour=options.hour,
        hours=options.hours,
        weeks=options.weeks,
        records=options.records,
        formats=tuple(name.strip() for name in options.formats.split(",") if name.strip()),
        habits=habits,
    )
    weather = Weather(
        loss=options.loss,
        late=options.late_events,
        delay_minutes=options.delay,
        repeated=options.repeated_events,
        sweep_minutes=options.sweep_minutes,
    )
    try:
        settings.check()
        if options.inventory_only:
            summary = simulate.inventory_only(out, settings, weather)
        else:
            summary = simulate.simulate(out, settings, None if options.no_inventory else weather, _progress())
    except (simulate.BadSettings, BadHour) as error:
        raise CommandFailed(str(error), exit_code=2) from error
    if options.json:
        print(json.dumps(simulate.summary_of(summary), sort_keys=True))
    else:
        print(_words(out, summary))
    return 0


def _progress() -> simulate.Progress:
    """Says on stderr how far it is, at most once a second."""
    last = 0.0

    def say(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= 1.0:
            last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return say


def _words(out: Path, summary: simulate.Summary) -> str:
    lines = [f"{out}: written in {summary.seconds} s"]
    if summary.objects:
        formats = ", ".join(f"{name} {count:,}" for name, count in sorted(summary.records_by_format.items()))
        lines += [
            f"  {summary.records:,} records ({formats}), {summary.nodata:,} NODATA, {summary.skipdata:,} SKIPDATA",
            f"  {summary.objects:,} objects, {summary.raw_bytes:,} bytes of text, {summary.packed_bytes:,} compressed",
            f"  {summary.connections:,} connections between {summary.interfaces:,} interfaces that came and went",
        ]
    if summary.inventory:
        told = summary.inventory
        lines.append(
            f"  {told['happened']:,} events, {told['lost']:,} of them lost; {told['sweeps']:,} sweeps; "
            f"{told['observations']:,} observations"
        )
    return "\n".join(lines)
