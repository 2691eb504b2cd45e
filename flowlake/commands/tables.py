"""flowlake tables: what was published."""

from __future__ import annotations

import argparse
import json
from typing import Any

from flowlake.commands import CommandFailed

MOST_PARTITIONS = 24

EPILOG = """\
A partition is an hour of a table. Its run is the one that readers see; provisional hours are made again once the
inventory after them is complete. Tables that are only appended to (observations, ip_ranges) have no partitions here.

exit codes: 0 told, 1 the lake could not be read (or is empty, or the database is another lake's), 2 the command line
made no sense.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--lake", required=True, help="folder or s3://bucket/prefix")
    parser.add_argument("--table", help="this table alone")
    parser.add_argument("--since", default="", metavar="DAY", help="partitions of this day and later: 2026-01-01 (UTC)")
    parser.add_argument("--until", default="", metavar="DAY", help="partitions of this day and earlier")
    parser.add_argument(
        "--all", action="store_true", help=f"all partitions, not the latest {MOST_PARTITIONS} of a table"
    )
    parser.add_argument("--database", default="flowlake", help="database of the catalog (default flowlake)")
    parser.add_argument("--json", action="store_true", help="everything as one JSON document")


def run(options: argparse.Namespace) -> int:
    from flowlake.commands.duck import NoLake
    from flowlake.commands.query import check_day
    from flowlake.lake.catalog import CatalogError, NoSuchTable
    from flowlake.lake.store import StoreError

    for day in (options.since, options.until):
        check_day(day)
    try:
        try:
            found = described(options.lake, options.database, options.table, options.since, options.until)
        except NoSuchTable as error:
            there = ", ".join(table["table"] for table in described(options.lake, options.database))
            raise CommandFailed(f"{error}; there are {there or 'none yet'}", 2) from error
    except (NoLake, StoreError, CatalogError) as error:
        raise CommandFailed(str(error)) from error
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n\n".join(_told(table, options.all) for table in found))
    return 0


def described(
    lake: str, database: str, only: str | None = None, since: str = "", until: str = ""
) -> list[dict[str, Any]]:
    """Tables with their partitions, oldest first. Raises NoLake, NoSuchTable, and SchemaConflict where the catalog's
    database is that of another lake.
    """
    from flowlake.commands.duck import opened
    from flowlake.lake.catalog import check_place
    from flowlake.lake.contracts import contract, tables

    _, catalog = opened(lake, database)
    found = []
    for name in [catalog.table(only).name] if only else catalog.tables():
        table = catalog.table(name)
        known = contract(name) if name in tables() else None
        if known:
            check_place(table, f"{catalog.lake}/{known.location}")
        partitions = [] if table.projects_partitions else catalog.partitions(name, since, until)
        found.append(
            {
                "table": name,
                "grain": known.grain if known else table.comment,
                "location": table.location,
                "appended": table.projects_partitions,
                "columns": [{"name": c.name, "type": c.type} for c in (*table.columns, *table.partitions)],
                "partitions": [
                    _partition(
                        dict(zip([c.name for c in table.partitions], p.values, strict=True)), p.location, p.parameters
                    )
                    for p in partitions
                ],
            }
        )
    return found


def _partition(values: dict[str, str], location: str, parameters: Any) -> dict[str, Any]:
    """A partition; what another than flowlake put into the catalog has no run, and numbers that are null."""
    said = {name: parameters.get(f"flowlake.{name}") for name in ("run_id", "state", "published_at", "manifest")}
    counts = {name: parameters.get(f"flowlake.{name}") for name in ("rows", "files", "bytes")}
    numbers = {name: int(text) if text and text.isdecimal() else None for name, text in counts.items()}
    return {**values, "location": location, **said, **numbers}


def _told(table: dict[str, Any], everything: bool) -> str:
    from flowlake.commands.showing import aligned, cell, plain

    lines = [f"{plain(table['table'])}: {plain(table['grain'])}"]
    if table["appended"]:
        return "\n".join([*lines, f"  appended to, at {plain(table['location'])}"])
    partitions = table["partitions"]
    shown = partitions if everything else partitions[-MOST_PARTITIONS:]
    if not shown:
        return "\n".join([*lines, "  (no partitions)"])
    names = ["hour", "state", "rows", "files", "bytes", "run", "published"]
    rows = [
        [f"{p['dt']}T{p['hour']}", *(cell(p[n]) for n in ("state", "rows", "files", "bytes", "run_id", "published_at"))]
        for p in shown
    ]
    right = [name in ("rows", "files", "bytes") for name in names]
    lines += [f"  {line}" for line in aligned([names, *rows], right)]
    if len(shown) < len(partitions):
        lines.append(f"  … the latest of {len(partitions)} partitions: --all shows every one")
    return "\n".join(lines)
