"""Which values a flow log's fields may have: one statement of each rule, for one value and for a column.

The careful reading of a line (one value at a time) and the fast reading of a block (columns) both go by these
tables, so they can't disagree on a rule. Null, '-' in the log, is allowed everywhere.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.columns import extremes
from flowlake.flows.ipv4 import ipv4_numbers
from flowlake.flows.read.formats import FIELD_TYPES

WITHOUT_DATA = frozenset({"NODATA", "SKIPDATA"})
LAST_SECOND = 253402300799  # of the year 9999
INTEGER_LIMITS = {"int": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1)}
ARROW_TYPES = {"int": pa.int32(), "bigint": pa.int64(), "string": pa.dictionary(pa.int32(), pa.utf8())}
GREATEST_AMOUNT = 2**50
"""Bytes or packets of one record: a petabyte within minutes. What is more was never sent, and would spoil sums."""
INTEGER = re.compile(r"-?[0-9]+", re.ASCII)


def are_ipv4(texts: pa.StringArray) -> np.ndarray:
    return ipv4_numbers(texts)[1]


@dataclass(frozen=True)
class Range:
    """A number field's least and greatest value; only_data: NODATA and SKIPDATA lines are not held to it."""

    field: str
    least: int
    greatest: int
    reason: str
    only_data: bool = False


@dataclass(frozen=True)
class Words:
    """A text field's test of one value; quick tells most good values of a whole column of distinct ones."""

    field: str
    allows: Callable[[str], bool]
    reason: str
    quick: Callable[[pa.StringArray], np.ndarray] | None = None


@lru_cache(maxsize=1 << 17)
def is_address(text: str) -> bool:
    """Whether text is an IPv4 address (four decimals, no leading zeros) or an IPv6 address without a zone."""
    if "\0" in text:
        return False
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, UnicodeError):
            continue
        return True
    return False


_OWN_RANGE = {
    "srcport": (0, 65535, "bad_port"),
    "dstport": (0, 65535, "bad_port"),
    "protocol": (0, 255, "bad_protocol"),
    "start": (0, LAST_SECOND, "bad_time"),
    "end": (0, LAST_SECOND, "bad_time"),
}
RANGES = tuple(
    Range(field, *_OWN_RANGE.get(field, (0, INTEGER_LIMITS[kind][1], "negative_number")), only_data=field == "protocol")
    for field, kind in FIELD_TYPES.items()
    if kind != "string"
)
RANGES += tuple(
    Range(field, INTEGER_LIMITS["bigint"][0], GREATEST_AMOUNT, "impossible_amount") for field in ("bytes", "packets")
)
WORDS = (
    *(
        Words(field, is_address, "bad_address", are_ipv4)
        for field in ("srcaddr", "dstaddr", "pkt_srcaddr", "pkt_dstaddr")
    ),
    Words("action", frozenset({"ACCEPT", "REJECT"}).__contains__, "bad_action"),
    Words("log_status", frozenset({"OK", *WITHOUT_DATA}).__contains__, "bad_log_status"),
)


def parse_integer(text: str, kind: str) -> int | None:
    """The whole number a text says in decimal, None where it is none or too great for the kind (int, bigint)."""
    if not INTEGER.fullmatch(text) or len(text) > 100:
        return None
    number = int(text)
    least, greatest = INTEGER_LIMITS[kind]
    return number if least <= number <= greatest else None


def broken_rule(values: Mapping[str, int | str | None]) -> str | None:
    """The reason of the first rule that a line's values break; None where they keep all."""
    has_data = values.get("log_status") not in WITHOUT_DATA
    for word in WORDS:
        text = values.get(word.field)
        if text is not None and not word.allows(str(text)):
            return word.reason
    for rule in RANGES:
        number = values.get(rule.field)
        if number is None or (rule.only_data and not has_data):
            continue
        if not rule.least <= int(number) <= rule.greatest:
            return rule.reason
    start, end = values.get("start"), values.get("end")
    if start is not None and end is not None and int(end) < int(start):
        return "ends_before_start"
    return None


def broken_rows(columns: Mapping[str, pa.Array]) -> np.ndarray | None:
    """Of columns of one length, which rows break a rule (a mask); None where none does."""
    broken: list[np.ndarray] = []
    for word in WORDS:
        if word.field in columns:
            broken += _wrong_words(word, columns[word.field])
    for rule in RANGES:
        if rule.field in columns:
            broken += _out_of_range(rule, columns)
    if "start" in columns and "end" in columns:
        early = pc.less(columns["end"], columns["start"])
        if pc.any(early).as_py():
            broken.append(as_mask(early))
    return np.logical_or.reduce(broken) if broken else None


def _wrong_words(word: Words, column: pa.DictionaryArray) -> list[np.ndarray]:
    values = column.dictionary
    doubtful = np.arange(len(values)) if word.quick is None else np.flatnonzero(~word.quick(values))
    wrong = [place for place in doubtful.tolist() if not word.allows(values[place].as_py())]
    if not wrong:
        return []
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    mask = np.isin(codes, np.array(wrong))
    return [mask] if mask.any() else []


def _out_of_range(rule: Range, columns: Mapping[str, pa.Array]) -> list[np.ndarray]:
    column = columns[rule.field]
    held = extremes(column)
    if held is None or (rule.least <= held[0] and held[1] <= rule.greatest):
        return []
    out = pc.or_(pc.less(column, rule.least), pc.greater(column, rule.greatest))
    mask = as_mask(out)
    if rule.only_data and "log_status" in columns:
        mask &= ~without_data(columns["log_status"])
    return [mask] if mask.any() else []


def without_data(log_status: pa.DictionaryArray) -> np.ndarray:
    """Mask of the NODATA and SKIPDATA lines."""
    codes = [place for place, value in enumerate(log_status.dictionary.to_pylist()) if value in WITHOUT_DATA]
    return np.isin(log_status.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.array(codes, dtype=np.int32))


def as_mask(flags: pa.Array) -> np.ndarray:
    return flags.fill_null(False).to_numpy(zero_copy_only=False)
