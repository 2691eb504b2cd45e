"""flowlake demo: a simulated estate, the job that Glue runs, and first answers; no credentials, nothing leaves this machine."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from flowlake.commands import CommandFailed

MARK = ".flowlake-demo"

EPILOG = """\
Writes a lake to --out (default ./demo): two accounts, one region, a few dozen interfaces of different kinds, an hour of flow logs laid out as AWS
delivers them to S3, and what the inventory saw of them. Then runs the hourly job and asks what was published.

Afterwards look around:
  flowlake tables --lake ./demo
  flowlake query --lake ./demo --sql 'select client_name, server_name, uploaded from conversations limit 10'
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--out", default="demo", help="folder to write (default ./demo; a demo's folder is written anew)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another estate (default 1)")
    parser.add_argument("--hour", default="2026-01-01T00", help="the hour to simulate, UTC (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="the outcome and the answers as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    from flowlake.flows.arguments import Arguments
    from flowlake.flows.job import Options
    from flowlake.flows.runner import run as run_job
    from flowlake.lake.hours import BadHour, Hour
    from flowlake.sandbox import small

    try:
        hour = Hour.parse(options.hour)
    except BadHour as error:
        raise CommandFailed(str(error), 2) from error
    out = _fresh(Path(options.out))
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {line}", file=sys.stderr, flush=True)

    say(f"simulating two accounts, one region, one hour: {out}/")
    small.write(out, seed=options.seed, hour=str(hour), progress=say)
    networks = out / "known_networks.csv"
    settings = Options(networks=networks.read_text(encoding="utf-8") if networks.exists() else None)
    result = run_job(Arguments(str(out), (hour,), 0, False, settings, "flowlake"), log=say)[0]
    if result.published is None:
        raise CommandFailed("the simulated hour was not published")
    _tell(result, out, options.json)
    return 0


def _fresh(out: Path) -> Path:
    """The folder, emptied if it is an earlier demo's. Anything else is left alone."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise CommandFailed(f"{out} is not empty and no demo's folder: choose another with --out", 2)
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("flowlake demo writes this folder anew each time.\n", encoding="utf-8")
    return out.resolve()


TOP_TEN = """
select
    coalesce(client_name, client_addr) as client, client_type, client_owner, client_app,
    coalesce(server_name, server_addr) as server, server_type, server_owner, server_app,
    server_port as port, path_via, sum(uploaded) as uploaded, sum(downloaded) as downloaded
from conversations
where leg in ('direct', 'nat_inside') and action = 'ACCEPT'
group by all
order by sum(uploaded + downloaded) desc
limit 10
"""


def _tell(result: Any, out: Path, as_json: bool) -> None:
    from flowlake.flows.query import as_table, ask

    answer = ask(str(out), TOP_TEN)
    pointer = result.published.pointer
    if as_json:
        import json

        document = {"lake": str(out), "hour": str(result.hour), "run_id": pointer.run_id, "state": pointer.state, "rows": dict(result.rows)}
        document |= {"counts": dict(result.counts), "top_ten": answer.to_pylist()}
        print(json.dumps(document, indent=1, default=str))
        return
    print(f"\npublished hour {result.hour} ({pointer.state}), run {pointer.run_id}")
    for table, partition in result.published.partitions.items():
        print(f"  {table:<14} {result.rows[table]:>7} rows  {partition.location}")
    fates = result.counts["bytes"]
    print(f"\nevery byte of {result.counts['raw_bytes']:,} read is accounted for:")
    print("  " + ", ".join(f"{name.replace('_', ' ')} {amount:,}" for name, amount in fates.items()))
    print("\nwho talked to whom most (legs that count, accepted):\n")
    print(as_table(answer))
    print(f"\nmore: flowlake tables --lake {out}\n      flowlake query --lake {out} --sql 'select * from coverage'")
