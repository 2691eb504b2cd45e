"""Answers as people and machines read them. Text from outside (tags, names) is untrusted: terminals get it escaped."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pyarrow as pa

WIDEST = 40
MOST_ROWS = 100
_INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
"""Categories of characters that a terminal acts upon or hides: controls, direction marks, line separators."""


def plain(text: str) -> str:
    """The text with control and direction characters written out (\\x1b, \\u202e): it does nothing to a terminal."""
    if text.isprintable():
        return text
    return "".join(c if unicodedata.category(c) not in _INVISIBLE else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or character.encode("unicode_escape").decode()


def cell(value: Any) -> str:
    """One value as text. A null is empty, lists have commas, maps are key=value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list):
        return ", ".join(f"{cell(v[0])}={cell(v[1])}" if isinstance(v, tuple) else cell(v) for v in value)
    return plain(str(value))


def as_table(answer: pa.Table, most_rows: int = MOST_ROWS) -> str:
    """A table for the terminal: numbers to the right, long text cut, a note where rows are left out."""
    shown = answer.slice(0, most_rows)
    names = [plain(name) for name in answer.column_names]
    columns = [[cell(value) for value in column.to_pylist()] for column in shown.columns]
    right = [_is_number(field.type) for field in answer.schema]
    lines = aligned([names, *map(list, zip(*columns, strict=True))], right)
    lines.insert(1, "  ".join("-" * min(WIDEST, max(map(len, [n, *c]))) for n, c in zip(names, columns, strict=True)))
    left_out = answer.num_rows - shown.num_rows
    if left_out:
        lines.append(f"… and {left_out:,} more rows: --json or --csv gives them all")
    elif not answer.num_rows:
        lines.append("(no rows)")
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Rows of texts as lines with columns of one width each."""
    cut = [[text if len(text) <= WIDEST else text[: WIDEST - 1] + "…" for text in row] for row in rows]
    widths = [max(len(row[i]) for row in cut) for i in range(len(right))]
    lines = [
        "  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True)) for row in cut
    ]
    return [line.rstrip() for line in lines]


def _is_number(type_: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def as_json(value: Any) -> Any:
    """What JSON has no form of, for json.dumps(default=…): sums of bigint are decimals in DuckDB, and are numbers."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def write_json_lines(answer: pa.Table, out: TextIO) -> None:
    """One JSON object a row. What is not ASCII is escaped, so nothing in it reaches a terminal; what JSON has no number
    for (infinity, NaN) is null. Of columns of one name the second is NAME_2.
    """
    answer = answer.rename_columns(_told_apart(answer.column_names))
    for batch in answer.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist(maps_as_pydicts="lossy"):
            out.write(json.dumps(_finite(row), default=as_json, allow_nan=False) + "\n")


def _told_apart(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, apart = 1, name
        while apart in found:
            number += 1
            apart = f"{name}_{number}"
        found.append(apart)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    return [_finite(member) for member in value] if isinstance(value, list) else value


def write_csv(answer: pa.Table, out: TextIO, escape: bool) -> None:
    """RFC 4180 with a header. Lists and maps are JSON in their cell; escape writes control characters out."""
    writer = csv.writer(out)
    writer.writerow(answer.column_names)
    for batch in answer.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist(maps_as_pydicts="lossy"):
            texts = [_csv_cell(value) for value in row.values()]
            writer.writerow([plain(text) for text in texts] if escape else texts)


def _csv_cell(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, default=as_json)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
