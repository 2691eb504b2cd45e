"""What the reader hands on: blocks of typed records, with the lines that could not be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

REJECT_TEXT_LENGTH = 1000
REJECTS = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])


class NotAFlowLog(ValueError):
    """Nothing in the object could be recognised as a flow log."""


class LogGroup(NamedTuple):
    """A log group of CloudWatch Logs: the account that owns it ('' where that is not said), and its name."""

    owner: str
    name: str


@dataclass(frozen=True)
class Reject:
    """One line that could not be read; line None stands for the object as a whole."""

    line: int | None
    reason: str
    text: str


@dataclass(frozen=True)
class Block:
    """Part of a flow log object: the lines read together, all of one format and one log group.

    records: one row a line that could be read, in the order of the lines, NODATA and SKIPDATA lines included.
      Columns are the format's known fields (the wanted ones of them): int32, int64 or dictionary<int32, utf8>; null
      is '-' in the log. Every column has one chunk.
    rejects: line (number in the inflated object from 1, row number for Parquet; null for the object as a whole),
      reason (of reject_reasons.json), text (at most 1,000 characters).
    lines: data lines seen, without headers, blank lines and comments: each is a row of records or a row of rejects that
      has a line. What stands for the object as a whole (torn_gzip, torn_parquet) is not counted here.
    fields: all fields of the format in its order, by names with underscores, also those we do not know or that were
      not wanted. Empty where the object was torn before its format was seen.
    kind: 'vpc' or 'transit_gateway'.
    torn: the object ended early; in its last block only.
    repeated: CloudWatch events left out because they stood before, in this object or another.
    group: the log group that the envelope names; null where none is named, and for what is lost of the object itself.
    """

    records: pa.Table
    rejects: pa.Table
    lines: int
    fields: tuple[str, ...]
    kind: str
    torn: bool = False
    repeated: int = 0
    group: LogGroup | None = None


def rejects_table(rejects: Iterable[Reject]) -> pa.Table:
    rows = list(rejects)
    columns = [[row.line for row in rows], [row.reason for row in rows], [row.text for row in rows]]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, REJECTS, strict=True)], schema=REJECTS
    )


def reject_text(raw: bytes) -> str:
    """At most 1,000 characters of a line as valid UTF-8."""
    return raw[: 4 * REJECT_TEXT_LENGTH].decode("utf-8", "replace")[:REJECT_TEXT_LENGTH]


def torn_gzip(words: str, unended: str) -> Reject:
    """The reject that stands for what a torn object lost; unended is the begin of the line it broke off in."""
    return Reject(None, "torn_gzip", f"{words}; {unended}"[:REJECT_TEXT_LENGTH] if unended else words)
