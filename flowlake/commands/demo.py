"""flowlake demo: a simulated estate, the job that Glue runs, and first answers; nothing leaves this machine."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowlake.commands import CommandFailed

if TYPE_CHECKING:
    import pyarrow as pa

    from flowlake.flows.job import Result
    from flowlake.lake.hours import Hour

MARK = ".flowlake-demo"
WEEKS = 2

EPILOG = """\
Writes a lake to --out (default ./demo): two accounts, one region, some dozens of interfaces of different
kinds at a time, four hours of flow logs half a week apart, laid out as AWS delivers them to S3. What happened to the
interfaces goes as events through the Lambda's handler, and sweeps see the rest. Then the hourly job runs,
and five questions are asked.

Afterwards look around:
  flowlake tables --lake ./demo
  flowlake whois 10.0.0.4 --at 2026-01-01T00:30 --lake ./demo
  flowlake query --lake ./demo --sql 'select client_name, server_name, uploaded from conversations limit 10'
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--out", default="demo", help="folder to write (default ./demo; a demo's folder is made anew)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another estate (default 1)")
    parser.add_argument("--hour", default="2026-01-01T00", help="the first hour to simulate, UTC (default %(default)s)")
    parser.add_argument("--records", type=int, default=40_000, help="about how many records (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="the outcome and the answers as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    from flowlake.flows.arguments import Arguments
    from flowlake.flows.job import Options
    from flowlake.flows.runner import run as run_job
    from flowlake.lake.hours import BadHour, Hour
    from flowlake.sandbox import simulate, small

    try:
        first = Hour.parse(options.hour)
    except BadHour as error:
        raise CommandFailed(str(error), 2) from error
    settings = replace(small.settings(options.seed, str(first), records=options.records), weeks=WEEKS)
    try:
        settings.check()
    except simulate.BadSettings as error:
        raise CommandFailed(str(error), 2) from error
    out = _fresh(Path(options.out))
    say = _teller()
    hours = tuple(settings.asked())
    say(f"simulating two accounts, {len(hours)} hours, in {out}/")
    simulate.simulate(out, settings, weather=simulate.Weather(), progress=say)
    networks = out / "known_networks.csv"
    how = Options(networks=networks.read_text(encoding="utf-8") if networks.exists() else None)
    results = run_job(Arguments(str(out), hours, 0, False, how, "flowlake"), log=say)
    if any(result.published is None for result in results):
        raise CommandFailed("a simulated hour was not published")
    say("asking")
    answers = ask_all(str(out), hours, _an_application(out))
    (_as_json if options.json else _as_text)(results, answers, out)
    return 0


def _teller() -> Callable[[str], None]:
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {line}", file=sys.stderr, flush=True)

    return say


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


def _an_application(out: Path) -> str:
    """The application whose dependencies the estate tells a story of."""
    for story in json.loads((out / "truth" / "stories.json").read_text(encoding="utf-8")):
        if story["id"] == "dependencies":
            return str(story["facts"]["app"])
    return "checkout"


def ask_all(lake: str, hours: Sequence[Hour], app: str) -> list[tuple[str, pa.Table]]:
    """Questions with their answers, by the saved queries under sql/."""
    from flowlake.commands.duck import connected

    days = sorted({hour.dt for hour in hours})
    span = [days[0], days[-1]]
    asked: list[tuple[str, str, list[str]]] = [
        ("How much of my traffic crosses zones, and whose is it?", "cross_zone_share", span),
        (f"What did {app} talk to?", "what_an_application_talked_to", [*span, app]),
        ("Who goes around a load balancer?", "around_the_load_balancer", span),
        ("Which function goes to the database without its proxy?", "around_the_database_proxy", span),
        ("Where did transfer grow?", "where_transfer_grew", [days[len(days) // 2], *span]),
    ]
    with connected(lake, only={"conversations"}) as connection:
        answers = [("Who talked to whom most?", connection.sql(TOP_TEN).to_arrow_table())]
        for question, query, parameters in asked:
            answers.append((question, connection.sql(_saved(query), params=parameters).to_arrow_table()))
    return answers


def _saved(query: str) -> str:
    return (resources.files("flowlake.commands") / "sql" / query / "query.sql").read_text(encoding="utf-8")


def _as_text(results: Sequence[Result], answers: Sequence[tuple[str, pa.Table]], out: Path) -> None:
    from flowlake.commands.showing import as_table

    for result in results:
        assert result.published is not None
        pointer = result.published.pointer
        print(f"\npublished hour {result.hour} ({pointer.state}), run {pointer.run_id}")
        for table, partition in result.published.partitions.items():
            print(f"  {table:<14} {result.rows[table]:>7} rows  {partition.location}")
        fates = ", ".join(f"{name.replace('_', ' ')} {amount:,}" for name, amount in result.counts["bytes"].items())
        print(f"  every byte of {result.counts['raw_bytes']:,} read is accounted for: {fates}")
    for question, answer in answers:
        print(f"\n{question}\n")
        print(as_table(answer))
    print(f"\nmore: flowlake tables --lake {out}\n      flowlake query --lake {out} --sql 'select * from coverage'")


def _as_json(results: Sequence[Result], answers: Sequence[tuple[str, pa.Table]], out: Path) -> None:
    from flowlake.commands.enrich import outcome
    from flowlake.commands.showing import as_json

    document: dict[str, Any] = {"lake": str(out), "hours": [outcome(result) for result in results]}
    document["answers"] = [{"question": question, "rows": answer.to_pylist()} for question, answer in answers]
    print(json.dumps(document, indent=1, default=as_json))
