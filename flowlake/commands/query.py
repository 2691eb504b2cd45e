"""flowlake query: asks what was published in SQL."""

from __future__ import annotations

import argparse
import sys

from flowlake.commands import CommandFailed

EPILOG = """\
Tables: conversations, coverage, rejects, address_book, observations, ip_ranges; the view flow_documents. Partition
columns (dt, hour) are text. flowlake tables --lake … says what there is.

examples:
  flowlake query --lake ./demo --sql 'select client_name, server_name, uploaded from conversations limit 10'
  flowlake query --lake s3://bucket/prefix --since 2026-01-01 --until 2026-01-01 --csv \\
      --sql "select element_at(client_tags, 'team') as team, sum(uploaded) as bytes from conversations group by 1"

exit codes: 0 answered, 1 the lake could not be read (or is empty), 2 the query made no sense.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--lake", required=True, help="folder or s3://bucket/prefix")
    parser.add_argument("--sql", required=True, help="one query; - reads it from stdin")
    parser.add_argument("--since", default="", metavar="DAY", help="look at this day and later ones: 2026-01-01 (UTC)")
    parser.add_argument("--until", default="", metavar="DAY", help="look at this day and earlier ones")
    parser.add_argument("--database", default="flowlake", help="database of the catalog (default flowlake)")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="all rows as JSON lines")
    shape.add_argument("--csv", action="store_true", help="all rows as CSV with a header")


def run(options: argparse.Namespace) -> int:
    from flowlake.commands.duck import BadQuery, NoLake, ask
    from flowlake.commands.showing import as_table, plain, write_csv, write_json_lines
    from flowlake.lake.catalog import CatalogError
    from flowlake.lake.store import StoreError

    for day in (options.since, options.until):
        check_day(day)
    sql = sys.stdin.read() if options.sql == "-" else options.sql
    try:
        answer = ask(options.lake, sql, options.database, options.since, options.until)
    except BadQuery as error:
        raise CommandFailed("\n".join(map(plain, str(error).splitlines())), 2) from error
    except (NoLake, StoreError, CatalogError) as error:
        raise CommandFailed(str(error)) from error
    if options.json:
        write_json_lines(answer, sys.stdout)
    elif options.csv:
        write_csv(answer, sys.stdout, escape=sys.stdout.isatty())
    else:
        print(as_table(answer))
    return 0


def check_day(text: str) -> None:
    """Raises CommandFailed where the text is neither empty nor a day."""
    from datetime import date

    try:
        if text and date.fromisoformat(text).isoformat() != text:
            raise ValueError
    except ValueError as error:
        raise CommandFailed(f"'{text}' is no day: write 2026-01-01", 2) from error
