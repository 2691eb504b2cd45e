"""The script that Glue starts every hour: arguments in, one call into flowlake.flows, commit.

The only place that imports awsglue, and only inside Glue: GlueContext and Job need Glue's own jar.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from flowlake.flows.arguments import BadArguments, parse_glue
from flowlake.flows.runner import run


def main(argv: Sequence[str]) -> int:
    """Runs the job. Returns 0, or 2 for arguments that make no sense; a failed hour raises, so that Glue shows the run
    as failed.
    """
    try:
        arguments, glue = parse_glue(argv)
    except BadArguments as error:
        print(f"enrich_flow_logs: {error}", file=sys.stderr)
        return 2
    job = _glue_job(glue) if "JOB_NAME" in glue else None
    run(arguments, log=print, local=job is None)
    if job is not None:
        job.commit()
    return 0


def _glue_job(glue: dict[str, str]) -> Any:
    from awsglue.context import GlueContext
    from awsglue.job import Job

    from flowlake.flows.spark import session

    job = Job(GlueContext(session("flowlake", local=False).sparkContext))
    job.init(glue["JOB_NAME"], glue)
    return job


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if code:
        sys.exit(code)
