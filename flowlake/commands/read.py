"""flowlake read: what is in these flow log objects."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from flowlake.commands import CommandFailed

if TYPE_CHECKING:
    from flowlake.flows.read import Block

ROWS_AT_ONCE = 4096
COUNTED = ("records", "nodata", "skipdata", "rejects")
EPILOG = """\
Records go to stdout, one JSON object a line: numbers as numbers, account ids as text, null where the log has '-'.
NODATA and SKIPDATA lines are among them, by their log_status. Lines that could not be read go to stderr as JSON lines
with file, line, reason and text; the last line of stderr counts records (with data), NODATA, SKIPDATA and rejects.

Text, gzip, Parquet and the JSON of CloudWatch Logs and Firehose are told apart by their content. The fields are those
of the header. Where there is none, name them with --format, as the flow log was made or as
`aws ec2 describe-flow-logs` prints LogFormat; lines that look exactly like the default format need no --format.

exit codes: 0 read (rejects or not), 2 a file is missing or is no flow log at all.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("files", nargs="+", metavar="FILE", help="flow log object on this machine; - is stdin")
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
        if name != "-" and not os.path.isfile(name):
            raise CommandFailed(f"no such file: {name}", exit_code=2)
    counts: Counter[str] = Counter()
    strangers = sum(not _read(name, options.format, counts) for name in options.files)
    sys.stdout.flush()
    print(_summary(counts, options.json), file=sys.stderr)
    return 2 if strangers else 0


def _read(name: str, format: str | None, counts: Counter[str]) -> bool:
    """Prints what is in one file; False where it is no flow log."""
    from flowlake.flows.read import NotAFlowLog, read_blocks

    try:
        with _opened(name) as stream:
            for block in read_blocks(stream, name, format=format):
                _print_records(block, counts)
                for reject in block.rejects.to_pylist():
                    _print_reject({"file": name, **reject}, counts)
    except NotAFlowLog as error:
        _print_reject({"file": name, "line": None, "reason": "not_a_flow_log", "text": str(error)}, counts)
        return False
    return True


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(name, "rb")
    except OSError as error:
        raise CommandFailed(f"can't open {name}: {error.strerror}", exit_code=2) from error
    with stream:
        yield stream


def _print_records(block: Block, counts: Counter[str]) -> None:
    names = block.records.column_names
    for batch in block.records.to_batches(max_chunksize=ROWS_AT_ONCE):
        columns = [batch.column(name).to_pylist() for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        for row in rows:
            status = row.get("log_status")
            counts[status.lower() if status in ("NODATA", "SKIPDATA") else "records"] += 1
        sys.stdout.write("".join(json.dumps(row) + "\n" for row in rows))


def _print_reject(reject: dict[str, Any], counts: Counter[str]) -> None:
    counts["rejects"] += 1
    print(json.dumps(reject), file=sys.stderr)


def _summary(counts: Counter[str], as_json: bool) -> str:
    if as_json:
        return json.dumps({name: counts[name] for name in COUNTED})
    records, nodata, skipdata, rejects = (f"{counts[name]:,}" for name in COUNTED)
    return f"{records} records, {nodata} NODATA, {skipdata} SKIPDATA, {rejects} rejects"
