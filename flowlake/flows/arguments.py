"""Arguments of the hourly job, from the command line or from Glue; unknown, missing or abbreviated ones are errors.

Glue's own getResolvedOptions takes abbreviations and drops what it does not know; this does neither.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowlake.flows.job import Options
from flowlake.lake.hours import BadHour, Hour, check_window, hours_from
from flowlake.lake.store import FolderStore, NoSuchObject, StoreError, open_store

MOST_HOURS_BACK = 366 * 24
_DATABASE = re.compile(r"[a-z0-9_-]{1,255}")

# What Glue itself adds to a job's arguments; see "Job parameters used by AWS Glue" in its developer guide.
GLUE_OWN = frozenset(
    {
        "--JOB_NAME",
        "--JOB_ID",
        "--JOB_RUN_ID",
        "--SECURITY_CONFIGURATION",
        "--TempDir",
        "--RedshiftTempDir",
        "--encryption-type",
        "--scriptLocation",
        "--job-language",
        "--extra-py-files",
        "--extra-jars",
        "--extra-files",
        "--additional-python-modules",
        "--python-modules-installer-option",
        "--conf",
        "--class",
        "--mode",
        "--user-jars-first",
        "--use-postgres-driver",
        "--datalake-formats",
        "--library-set",
        "--job-bookmark-option",
        "--job-bookmark-from",
        "--job-bookmark-to",
        "--enable-metrics",
        "--enable-observability-metrics",
        "--enable-continuous-cloudwatch-log",
        "--enable-continuous-log-filter",
        "--continuous-log-logGroup",
        "--continuous-log-logStreamPrefix",
        "--continuous-log-conversionPattern",
        "--enable-glue-datacatalog",
        "--enable-spark-ui",
        "--spark-event-logs-path",
        "--enable-job-insights",
        "--enable-auto-scaling",
        "--enable-s3-parquet-optimized-committer",
        "--enable-rename-algorithm-v2",
        "--executor-cores",
        "--write-shuffle-files-to-s3",
        "--write-shuffle-spills-to-s3",
        "--customer-driver-env-vars",
        "--customer-executor-env-vars",
        "--region",
        "--enable-lakeformation-fine-grained-access",
        "--disable-proxy",
        "--disable-proxy-v2",
    }
)


class BadArguments(ValueError):
    """The job was told something that makes no sense; the message says what to write instead."""


@dataclass(frozen=True)
class Arguments:
    """What the job is to do. hours is empty where the newest hour that is due is meant. catch_up: how many hours to
    look back for others.
    """

    lake: str
    hours: tuple[Hour, ...]
    catch_up: int
    force: bool
    options: Options
    database: str


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise BadArguments(message)


class _Once(argparse.Action):
    """Stores a value. Twice is an error, where argparse lets the last one win: which of two lakes is meant?"""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        given = vars(namespace).setdefault("_given", set())
        if self.dest in given:
            parser.error(f"{option_string} is given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options; the same on the command line and in Glue."""
    parser.register("action", None, _Once)
    parser.add_argument("--lake", required=True, help="the lake: a folder, or s3://bucket/prefix")
    parser.add_argument("--hour", help="first hour, UTC: 2026-01-01T00 (default: the newest that ended 15 minutes ago)")
    parser.add_argument("--hours", type=int, default=None, help="how many hours from --hour on (default 1)")
    parser.add_argument(
        "--catch-up", type=int, default=0, metavar="N", help="also the hours of the last N that must be made (again)"
    )
    parser.add_argument(
        "--logs", help="where the raw flow logs lie, a folder or s3:// place above AWSLogs/ (default: raw/ in the lake)"
    )
    parser.add_argument(
        "--window-seconds",
        type=int,
        default=Options.window_seconds,
        help="length of a window, 60 to 3600 (default %(default)s)",
    )
    parser.add_argument("--format", help="format of flow logs without a header: 'version account-id …'")
    parser.add_argument(
        "--owner-tags",
        default=",".join(Options.owner_tags),
        help="tag keys that hold an owner; the first one present, and not empty, wins (%(default)s)",
    )
    parser.add_argument(
        "--app-tags",
        default=",".join(Options.app_tags),
        help="tag keys that hold an app, in the same way (%(default)s)",
    )
    parser.add_argument("--known-networks", help="CSV file of known networks, lines 'cidr,name'")
    parser.add_argument(
        "--clock-slack-seconds",
        type=int,
        default=Options.clock_slack_seconds,
        help="how near another holder of an address makes it contested (%(default)s)",
    )
    parser.add_argument("--database", default="flowlake", help="Glue database (default %(default)s)")
    parser.add_argument(
        "--force", action="store_true", help="make and publish the hours even if nothing changed, or less is known now"
    )


def parse_glue(argv: Sequence[str]) -> tuple[Arguments, dict[str, str]]:
    """Arguments of a Glue run (without the script's name), and those that are Glue's own. Raises BadArguments."""
    ours: list[str] = []
    glue: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name not in GLUE_OWN:
            ours.append(word)
            continue
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else ""
        glue[name.removeprefix("--")] = value
    parser = _Parser(prog="enrich_flow_logs", allow_abbrev=False, add_help=False)
    add_arguments(parser)
    return from_options(parser.parse_args(ours)), glue


def from_options(options: argparse.Namespace) -> Arguments:
    """Checks what was parsed. Raises BadArguments."""
    for name in ("lake", "hour", "logs", "format", "known_networks", "database"):
        if getattr(options, name) is not None and not getattr(options, name).strip():
            raise BadArguments(f"--{name.replace('_', '-')} is empty")
    try:
        hours: tuple[Hour, ...] = ()
        if options.hour:
            hours = tuple(hours_from(Hour.parse(options.hour), 1 if options.hours is None else options.hours))
        elif options.hours is not None:
            raise BadArguments("--hours needs --hour")
        check_window(options.window_seconds)
    except BadHour as error:
        raise BadArguments(str(error)) from error
    if not 0 <= options.catch_up <= MOST_HOURS_BACK:
        raise BadArguments(f"--catch-up {options.catch_up}: a number of hours, at most {MOST_HOURS_BACK} (a year)")
    if not _DATABASE.fullmatch(options.database):
        raise BadArguments(f"--database {options.database}: lower-case letters, digits, _ and - make a name")
    if options.logs and options.logs.rstrip("/").rsplit("/", 1)[-1] == "AWSLogs":
        raise BadArguments(f"--logs {options.logs}: name the place that holds AWSLogs, not AWSLogs itself")
    if options.clock_slack_seconds < 0:
        raise BadArguments(f"--clock-slack-seconds {options.clock_slack_seconds}: 0 or more")
    _check_place("--logs" if options.logs else "--lake", options.logs or options.lake, must_exist=True)
    _check_place("--lake", options.lake, must_exist=False)
    _check_format(options.format)
    settings = Options(
        window_seconds=options.window_seconds,
        format=options.format,
        logs=options.logs,
        owner_tags=_keys("--owner-tags", options.owner_tags),
        app_tags=_keys("--app-tags", options.app_tags),
        networks=_networks(options.known_networks),
        clock_slack_seconds=options.clock_slack_seconds,
    )
    return Arguments(options.lake, hours, options.catch_up, options.force, settings, options.database)


def _check_place(name: str, place: str, must_exist: bool) -> None:
    """Raises BadArguments where the text is no place, or no folder. A bucket is not asked for here."""
    try:
        store = open_store(place)
    except StoreError as error:
        raise BadArguments(f"{name}: {error}") from error
    if isinstance(store, FolderStore):
        folder = Path(store.root)
        if folder.exists() and not folder.is_dir():
            raise BadArguments(f"{name} {place}: this is no folder")
        if must_exist and not folder.exists():
            raise BadArguments(f"{name} {place}: there is no such folder")


def _check_format(text: str | None) -> None:
    from flowlake.flows.read import BadFormat, parse_format

    try:
        unknown = parse_format(text).unknown if text is not None else ()
    except BadFormat as error:
        raise BadArguments(f"--format: {error}") from error
    if unknown:
        raise BadArguments(f"--format: no such field: {', '.join(unknown)}")


def _keys(name: str, text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if not keys:
        raise BadArguments(f"{name}: name at least one tag key")
    return keys


def _networks(place: str | None) -> str | None:
    """The known networks file's text, checked, without a byte order mark in front. It may lie in S3."""
    if place is None:
        return None
    from flowlake.flows.networks import BadNetworks, known_networks

    folder, _, name = place.rpartition("/")
    try:
        text = (
            open_store(folder).get(name).decode("utf-8-sig")
            if place.startswith("s3://")
            else Path(place).read_text(encoding="utf-8-sig")
        )
        known_networks(text)
    except (OSError, NoSuchObject, UnicodeDecodeError) as error:
        raise BadArguments(f"--known-networks {place}: {error}") from error
    except BadNetworks as error:
        raise BadArguments(str(error)) from error
    return text
