"""Observations as rows: the table contract through which inventory and enrichment meet.

An observation is one entity as seen at one moment by one source; the columns and what they mean are those of
contracts/observations.json. Rows are plain dicts without their nulls; on disk they are gzip JSON lines.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from flowlake.lake.contracts import contract, lake_data
from flowlake.lake.hours import as_text

PRESENT, PARTIAL, ABSENT, COMPLETE = "present", "partial", "absent", "complete"
EVENT, SWEEP = "event", "sweep"
NOTHING = ""
"""Attachment and instance id of an interface that is known to be attached to nothing."""

Row = dict[str, Any]


class BadObservation(ValueError):
    """A row does not keep the contract."""


@cache
def _columns() -> dict[str, str]:
    return {column.name: column.type for column in contract("observations").columns}


@cache
def kinds() -> frozenset[str]:
    return frozenset(lake_data("kinds.json")["kinds"])


def observation(**columns: Any) -> Row:
    """One row, checked against the contract; nulls are left out, datetimes become text, detail becomes JSON.

    Raises BadObservation where a column is unknown, a required one is missing, or state or kind is none that there is.
    """
    row: Row = {}
    for name, value in columns.items():
        type_ = _columns().get(name)
        if type_ is None:
            raise BadObservation(f"observations have no column {name}")
        if value is None:
            continue
        if type_ == "timestamp" and isinstance(value, datetime):
            value = as_text(value)
        elif name == "detail" and not isinstance(value, str):
            value = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
        elif type_.startswith("array"):
            value = list(value)
        row[name] = value
    missing = [name for name in contract("observations").required if name not in row]
    if missing:
        raise BadObservation(f"observation of {row.get('entity_id', '?')} lacks {', '.join(missing)}")
    if row["state"] not in (PRESENT, PARTIAL, ABSENT, COMPLETE):
        raise BadObservation(f"observation of {row['entity_id']} has the unknown state {row['state']}")
    if row["kind"] not in kinds():
        raise BadObservation(f"observation of {row['entity_id']} has the unknown kind {row['kind']}")
    return row


def to_lines(rows: Iterable[Row]) -> bytes:
    """Rows as gzip JSON lines; the same rows give the same bytes."""
    text = "".join(json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    return gzip.compress(text.encode("utf-8"), mtime=0)


def from_lines(data: bytes) -> Iterator[Row]:
    """Reads what to_lines wrote, plain or gzip."""
    yield from from_texts([line for line in inflated(data).decode("utf-8").split("\n") if line.strip()])


def inflated(data: bytes) -> bytes:
    """The lines of an object, plain or gzip."""
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def from_texts(lines: Iterable[str]) -> list[Row]:
    """Rows of lines that are not blank."""
    rows: list[Row] = json.loads(f"[{','.join(lines)}]")  # all at once, in half the time
    return rows
