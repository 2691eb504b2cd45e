"""flowlake read: what is in these flow log objects."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowlake.commands import CommandFailed

if TYPE_CHECKING:
    import pyarrow as pa

    from flowlake.flows.read import Block

ROWS_AT_ONCE = 1 << 16
COUNTED = ("records", "nodata", "skipdata", "rejects")
EPILOG = """\
Records go to stdout, one JSON object a line: numbers as numbers, account ids as text, null where the log has '-'.
NODATA and SKIPDATA lines are among them, by their log_status. Lines that could not be read go to stderr as JSON lines
with file, line, reason and text; the last line of stderr counts records (with data), NODATA, SKIPDATA and rejects, and
names the fields that the formats lack and `flowlake enrich` would make use of. Files that are no flow logs, of which
something was rejected and no line could be read, are named in a line behind it, or with --json within it.

Text, gzip, Parquet and the JSON of CloudWatch Logs and Firehose are told apart by their content. The fields are those
of the header. Where there is none, name them with --format, as the flow log was made or as
`aws ec2 describe-flow-logs` prints LogFormat; lines that look exactly like the default format need no --format.

exit codes: 0 read (rejects or not), 1 the records could not be written, 2 a file is missing or is no flow log at all
(one of several is enough; the others are read all the same). A header without lines is a flow log.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("files", nargs="+", metavar="FILE", help="flow log object on this machine, or pipe; - is stdin")
    parser.add_argument(
        "--format", metavar="FIELDS", help="fields in order, such as 'version account-id interface-id …'"
    )
    parser.add_argument("--json", action="store_true", help="the last line of stderr is JSON too")


def run(options: argparse.Namespace) -> int:
    from flowlake.flows.read import BadFormat, parse_format

    if options.format is not None:
        try:
            unknown = parse_format(options.format).unknown
        except BadFormat as error:
            raise CommandFailed(str(error), exit_code=2) from error
        if unknown:
            raise CommandFailed(f"no such field: {', '.join(unknown)}", exit_code=2)
    for name in options.files:
        _check_file(name)
    counts: Counter[str] = Counter()
    lacks: dict[str, None] = {}
    strangers = [name for name in options.files if not _read(name, options.format, counts, lacks)]
    _write("", flush=True)
    print(_summary(counts, list(lacks), strangers, options.json), file=sys.stderr)
    if strangers and not options.json:
        raise CommandFailed(f"no flow log, as no line of it could be read: {', '.join(strangers)}", exit_code=2)
    return 2 if strangers else 0


def _check_file(name: str) -> None:
    """A file, or a pipe; what is neither is said before anything is printed."""
    if name == "-":
        if sys.stdin is None:
            raise CommandFailed("stdin is closed: there is nothing to read", exit_code=2)
    elif os.path.isdir(name):
        raise CommandFailed(f"{name} is a folder: name the files in it", exit_code=2)
    elif not os.path.exists(name):
        raise CommandFailed(f"no such file: {name}", exit_code=2)


def _read(name: str, format: str | None, counts: Counter[str], lacks: dict[str, None]) -> bool:
    """Prints what is in one file, and notes what its formats lack; False where it is no flow log: something of it was
    rejected, and no line became a row. A given format makes any line one that may be read.
    """
    from flowlake.flows.read import NotAFlowLog
    from flowlake.flows.summarise import lacking

    rows = rejects = 0
    try:
        for block in _blocks(name, format):
            rows += block.records.num_rows
            rejects += block.rejects.num_rows
            before = counts["records"]
            _print_records(block.records, counts)
            if counts["records"] > before:
                lacks |= dict.fromkeys(lacking(block.fields, block.kind == "transit_gateway"))
            for reject in block.rejects.to_pylist():
                _print_reject({"file": name, **reject}, counts)
    except NotAFlowLog as error:
        _print_reject({"file": name, "line": None, "reason": "not_a_flow_log", "text": str(error)}, counts)
        return False
    return rows > 0 or rejects == 0


def _blocks(name: str, format: str | None) -> Iterator[Block]:
    from flowlake.flows.read import read_blocks

    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as stream:
            yield from read_blocks(stream, name, format=format)
    except OSError as error:
        raise CommandFailed(f"can't read {name}: {error.strerror}", exit_code=2) from error


def _write(text: str, flush: bool = False) -> None:
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What can't be written is still held: it would be tried again, and fail, when the command ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandFailed(f"can't write the records: {error.strerror}") from error


def _print_records(records: pa.Table, counts: Counter[str]) -> None:
    for start in range(0, records.num_rows, ROWS_AT_ONCE):
        rows = records.slice(start, ROWS_AT_ONCE)
        for status, count in _statuses(rows).items():
            counts[status.lower() if status in ("NODATA", "SKIPDATA") else "records"] += count
        _write("\n".join(_as_json(rows)) + "\n")


def _statuses(rows: pa.Table) -> dict[str, int]:
    if "log_status" not in rows.column_names:
        return {"": rows.num_rows}
    found = rows.column("log_status").combine_chunks().dictionary_decode().value_counts()
    return {entry["values"] or "": entry["counts"] for entry in found.to_pylist()}


def _as_json(rows: pa.Table) -> list[str]:
    """Each row as a JSON object, put together column by column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pieces: list[Any] = ["{"]
    for name in rows.column_names:
        column = rows.column(name).combine_chunks()
        if pa.types.is_dictionary(column.type):
            texts = pa.array([json.dumps(value) for value in column.dictionary.to_pylist()], pa.utf8())
            values = texts.take(column.indices)
        else:
            values = column.cast(pa.utf8())
        pieces += [f"{json.dumps(name)}: ", values.fill_null("null"), ", "]
    return pc.binary_join_element_wise(*pieces[:-1], "}", "").to_pylist()


def _print_reject(reject: dict[str, Any], counts: Counter[str]) -> None:
    counts["rejects"] += 1
    print(json.dumps(reject), file=sys.stderr)


def _summary(counts: Counter[str], lacks: list[str], strangers: list[str], as_json: bool) -> str:
    if as_json:
        numbers = {name: counts[name] for name in COUNTED}
        return json.dumps({**numbers, "format_lacks": lacks, "no_flow_logs": strangers})
    records, nodata, skipdata, rejects = (f"{counts[name]:,}" for name in COUNTED)
    named = f"; the format lacks {', '.join(lacks)}" if lacks else ""
    return f"{records} records, {nodata} NODATA, {skipdata} SKIPDATA, {rejects} rejects{named}"
