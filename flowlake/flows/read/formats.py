"""Formats: which fields a flow log's lines have, in which order.

The field lists are data (lake/flow_log_fields.json, after
https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html). A format comes from a header line or from a
format string as a user types it or DescribeFlowLogs prints it; it is never guessed from the number of values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

FIELDS_FILE = json.loads(files("flowlake.lake").joinpath("flow_log_fields.json").read_text("utf-8"))
VPC_FIELDS = {field["name"]: field["type"] for field in FIELDS_FILE["vpc"]}
TRANSIT_GATEWAY_FIELDS = {field["name"]: field["type"] for field in FIELDS_FILE["transit_gateway"]}
# Name -> 'int', 'bigint' or 'string'. The names both kinds have mean the same in both.
FIELD_TYPES = {**TRANSIT_GATEWAY_FIELDS, **VPC_FIELDS}
TRANSIT_GATEWAY_ONLY = frozenset(TRANSIT_GATEWAY_FIELDS) - frozenset(VPC_FIELDS)

# A field's name in a header: small letters and digits, hyphens or underscores between.
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", re.ASCII)


class BadFormat(ValueError):
    """A format string that names no field of a flow log."""


@dataclass(frozen=True)
class Format:
    """The fields of a flow log in order, by their names with underscores.

    A field that is not in our lists (AWS adds some every year) keeps its place and is not read.
    """

    fields: tuple[str, ...]

    @cached_property
    def kind(self) -> str:
        """'transit_gateway' where a field says so that VPC flow logs do not have, else 'vpc'."""
        return "vpc" if TRANSIT_GATEWAY_ONLY.isdisjoint(self.fields) else "transit_gateway"

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        return tuple(field for field in self.fields if field not in FIELD_TYPES)

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """One name a value of the line: a known field's own at its first place, else '#' and the place."""
        seen: set[str] = set()
        names = []
        for place, field in enumerate(self.fields):
            readable = field in FIELD_TYPES and field not in seen
            names.append(field if readable else f"#{place}")
            seen.add(field)
        return tuple(names)

    def readable(self, wanted: Collection[str] | None = None) -> tuple[str, ...]:
        """The known fields in the format's order, of the wanted ones where some are wanted."""
        known = (name for name in self.column_names if name in FIELD_TYPES)
        return tuple(name for name in known if wanted is None or name in wanted)


V2_DEFAULT = Format(tuple(field["name"] for field in FIELDS_FILE["vpc"] if field["since"] == 2))


def canonical(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def parse_format(text: str) -> Format:
    """The format of a format string: 'version account-id', '${version} ${account-id}', commas or spaces.

    Raises BadFormat where nothing in it is a field of a flow log, or one is named twice.
    """
    names = re.sub(r"\$+\{([^{}]*)\}", r" \1 ", text).replace(",", " ").split()
    fields = tuple(canonical(name) for name in names)
    if not any(field in FIELD_TYPES for field in fields):
        raise BadFormat(f"no field of a flow log in the format {text[:200]!r}")
    twice = sorted({field for field in fields if fields.count(field) > 1})
    if twice:
        raise BadFormat(f"named twice in the format: {', '.join(twice)}")
    return Format(fields)


def header_format(tokens: Sequence[str]) -> Format | None:
    """The format of a header line's tokens; None where the line is no header.

    A header consists of names alone, and at least half of them are fields we know: no line of values looks like
    that (addresses have dots or colons, '-' and numbers are no names).
    """
    if not tokens or not all(NAME.fullmatch(token) for token in tokens):
        return None
    fields = tuple(canonical(token) for token in tokens)
    known = sum(field in FIELD_TYPES for field in fields)
    return Format(fields) if 2 * known >= len(fields) else None
