"""flowlake's whole job on a generated hour, as one process: what `flowlake enrich` does, with the audit left out on
request.

    python -m benchmarks.job LAKE [--no-audit] [--window-seconds 300]

The last line of stdout is JSON: seconds by step, rows and totals.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from functools import cache

from benchmarks.estate import HOUR


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lake")
    parser.add_argument("--no-audit", action="store_true")
    parser.add_argument("--window-seconds", type=int, default=300)
    options = parser.parse_args()
    from flowlake.flows.job import Options, enrich_hour
    from flowlake.flows.spark import session
    from flowlake.lake.catalog import open_catalog
    from flowlake.lake.store import open_store

    started = cache(lambda: session("flowlake"))
    settings = Options(window_seconds=options.window_seconds, audit=not options.no_audit)
    result = enrich_hour(
        started, open_store(options.lake), open_catalog(options.lake), HOUR, settings, datetime.now(UTC),
        lambda line: print(line, file=sys.stderr, flush=True), force=True,
    )  # fmt: skip
    print(json.dumps({"seconds": dict(result.seconds), "rows": dict(result.rows), "totals": dict(result.counts)}))


if __name__ == "__main__":
    main()
