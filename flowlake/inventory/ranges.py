"""The AWS address ranges (ip-ranges.json) as a table with its history: one row is one (prefix, service, region) over
one stretch of time, as the contract ip_ranges says.

The file comes from its one published address, or from a file of the user's. A notice that it has changed is a reason to
fetch it from there, and nothing that the notice says is believed.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flowlake.lake.contracts import contract
from flowlake.lake.hours import as_text, from_text
from flowlake.lake.observations import Row, from_lines, to_lines
from flowlake.lake.places import IP_RANGES
from flowlake.lake.store import Conflict, NoSuchObject, ObjectStore

PUBLISHED_AT = "https://ip-ranges.amazonaws.com/ip-ranges.json"
KEY = IP_RANGES + "ip_ranges.json.gz"

_LARGEST_BYTES = 64 * 1024 * 1024
_TIMEOUT_SECONDS = 30
_TRIES = 3

Range = tuple[str, str, str, str]
"""prefix, service, region, network_border_group."""


class BadRanges(ValueError):
    """This is no ip-ranges.json."""


@dataclass(frozen=True)
class Ranges:
    """One version of the file. created_at: its createDate."""

    sync_token: int
    created_at: datetime
    ranges: frozenset[Range]


@dataclass(frozen=True)
class Change:
    """What a version changed in the table: rows that began, ended, and hold now. is_newer: whether it was taken."""

    began: int
    ended: int
    holding: int
    is_newer: bool


def fetch() -> bytes:
    """The file as AWS publishes it. Raises OSError."""
    from urllib.request import urlopen

    with urlopen(PUBLISHED_AT, timeout=_TIMEOUT_SECONDS) as answer:
        data: bytes = answer.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise BadRanges(f"{PUBLISHED_AT} gave more than {_LARGEST_BYTES} bytes")
    return data


def parse(data: bytes) -> Ranges:
    """The file's content. Raises BadRanges where it is not whole: half a file would end half of all ranges."""
    try:
        document = json.loads(data)
        created = datetime.strptime(document["createDate"], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)
        ranges = frozenset(
            (_cidr(entry[field]), entry["service"], entry["region"], entry["network_border_group"])
            for part, field in (("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix"))
            for entry in document[part]
        )
        token = int(document["syncToken"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadRanges(f"this is no ip-ranges.json: {type(error).__name__} {error}") from error
    if not ranges:
        raise BadRanges("this ip-ranges.json is empty")
    return Ranges(token, created, ranges)


def _cidr(prefix: Any) -> str:
    return str(ipaddress.ip_network(prefix))


def with_version(rows: list[Row], version: Ranges) -> tuple[list[Row], Change]:
    """The table with one more version in it: what it lacks ends at its createDate, what it adds begins there.

    sync_token of a row is that of the last version that held it. A version that is not newer than the table changes
    nothing: history is not rewritten.
    """
    if rows and version.sync_token <= max(row["sync_token"] for row in rows):
        holding = sum(1 for row in rows if "valid_to" not in row)
        return rows, Change(0, 0, holding, is_newer=False)
    created = as_text(version.created_at)
    kept: list[Row] = []
    held: set[Range] = set()
    ended = 0
    for row in rows:
        key = _key(row)
        if "valid_to" in row:
            kept.append(row)
        elif key in version.ranges:
            held.add(key)
            kept.append({**row, "sync_token": version.sync_token})
        else:
            ended += 1
            kept.append({**row, "valid_to": created})
    began = [_row(version, created, key) for key in version.ranges - held]
    table = sorted(kept + began, key=lambda row: (*_key(row), row["valid_from"]))
    return table, Change(len(began), ended, len(held) + len(began), is_newer=True)


def _key(row: Row) -> Range:
    return row["prefix"], row["service"], row["region"], row["network_border_group"]


def _row(version: Ranges, created: str, key: Range) -> Row:
    prefix, service, region, group = key
    row = {
        "sync_token": version.sync_token,
        "valid_from": created,
        "prefix": prefix,
        "service": service,
        "region": region,
        "network_border_group": group,
    }
    assert set(contract("ip_ranges").required) <= row.keys()
    return row


def at(rows: list[Row], moment: datetime) -> list[Row]:
    """The rows that held at a moment. Before the first version: that version's, the nearest that is known."""
    if not rows:
        return []
    when = max(moment, min(from_text(row["valid_from"]) for row in rows))
    text = as_text(when)
    return [row for row in rows if row["valid_from"] <= text and text < row.get("valid_to", "9999")]


def read(store: ObjectStore) -> list[Row]:
    """The kept table; empty where none was kept yet."""
    try:
        return list(from_lines(store.get(KEY)))
    except NoSuchObject:
        return []


def keep(store: ObjectStore, data: bytes) -> Change:
    """Takes one version into the kept table. Two at once: the second sees what the first did.

    Raises BadRanges; Conflict where others keep writing.
    """
    version = parse(data)
    for attempt in range(_TRIES):
        try:
            kept, etag = store.get_with_etag(KEY)
            rows = list(from_lines(kept))
        except NoSuchObject:
            etag, rows = None, []
        table, change = with_version(rows, version)
        if not change.is_newer:
            return change
        try:
            store.put(KEY, to_lines(table), if_match=etag, if_none_match=etag is None)
        except Conflict:
            if attempt == _TRIES - 1:
                raise
            continue
        return change
    raise AssertionError("every try returns or raises")
