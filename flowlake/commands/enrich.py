"""flowlake enrich: the hourly job, on this machine."""

from __future__ import annotations

import argparse
import json
import sys

from flowlake.commands import CommandFailed

EPILOG = """\
The job reads raw flow logs from raw/ in the lake (or --logs), joins them with the inventory in the
lake, writes, audits and publishes.
An hour that was made from the same objects, the same inventory and with the same options is left as it is:
options are given each time. Nothing to do is no error.
An hour that fails keeps no other from being made; the command ends with 1 and names it.

examples:
  flowlake enrich --lake ./lake --hour 2026-01-01T00
  flowlake enrich --lake ./lake --hour 2026-01-01T00 --hours 24
  flowlake enrich --lake s3://my-lake/flowlake --catch-up 27
"""


def add(parser: argparse.ArgumentParser) -> None:
    from flowlake.flows.arguments import add_arguments

    parser.epilog = EPILOG
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="the outcome as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    from flowlake.flows.arguments import BadArguments, from_options
    from flowlake.flows.audit import AuditFailed
    from flowlake.flows.coverage import NotReconciled
    from flowlake.flows.publish import PublishError
    from flowlake.flows.runner import HoursFailed
    from flowlake.flows.runner import run as run_job
    from flowlake.lake.catalog import CatalogError
    from flowlake.lake.store import StoreError

    try:
        arguments = from_options(options)
    except BadArguments as error:
        raise CommandFailed(str(error), 2) from error
    try:
        results = run_job(arguments, log=lambda line: print(line, file=sys.stderr, flush=True))
    except (AuditFailed, NotReconciled) as error:
        raise CommandFailed(f"{error}\nnothing was published; the last good run stays") from error
    except (PublishError, StoreError, CatalogError, HoursFailed) as error:
        raise CommandFailed(str(error)) from error
    if options.json:
        print(json.dumps([outcome(result) for result in results], indent=1))
    else:
        for result in results:
            print(_line(outcome(result)))
    return 0


def outcome(result: object) -> dict[str, object]:
    """What became of an hour, for machines."""
    from flowlake.flows.job import Result

    assert isinstance(result, Result)
    if result.published is None:
        return {"hour": str(result.hour), "outcome": "unchanged" if result.unchanged else "nothing to do"}
    pointer = result.published.pointer
    return {
        "hour": str(result.hour),
        "outcome": "published",
        "run_id": pointer.run_id,
        "state": pointer.state,
        "rows": dict(result.rows),
        "counts": dict(result.counts),
        "seconds": dict(result.seconds),
    }


def _line(told: dict[str, object]) -> str:
    if told["outcome"] != "published":
        return f"{told['hour']}  {told['outcome']}"
    rows = told["rows"]
    assert isinstance(rows, dict)
    return f"{told['hour']}  published {rows['conversations']} conversations, run {told['run_id']}, {told['state']}"
