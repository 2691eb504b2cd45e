"""The address book as rows of its table: one row a validity interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from flowlake.flows.book import Book, Claim, InterfaceState, ResourceState
from flowlake.flows.fold import OPEN
from flowlake.flows.schemas import arrow_schema
from flowlake.lake.contracts import contract

_EARLIEST = -62_135_596_800_000  # year 1: what Parquet's readers all know


def book_table(book: Book) -> pa.Table:
    """Claims as subjects address, prefix and public_address, states as subject interface, resources as they are.

    Left out is what holds at no time that could be asked for: a claim of one sight, gone by the next, and a state
    that ended when it began.
    """
    claims, public = _lasting(book.claims), _lasting(book.public)
    states = [s for s in book.states if s.valid_to > s.valid_from]
    return pa.concat_tables(
        [
            _table(claims, _OF_CLAIMS),
            _table(public, _OF_PUBLIC_CLAIMS),
            _table(states, _OF_STATES),
            _table(book.resources, _OF_RESOURCES),
        ]
    )


def _lasting(claims: Sequence[Claim]) -> list[Claim]:
    return [c for c in claims if c.gone_by is None or c.gone_by > c.valid_from]


def _table(things: Sequence[Any], columns: Mapping[str, Callable[[Any], Any]]) -> pa.Table:
    """A row a thing, column by column; null where a column says nothing of such things."""
    schema = arrow_schema(contract("address_book"))
    return pa.table(
        [
            pa.array(list(map(columns[field.name], things)), field.type)
            if field.name in columns
            else pa.nulls(len(things), field.type)
            for field in schema
        ],
        schema=schema,
    )


def _moment(milliseconds: int) -> int:
    """Microseconds since 1970."""
    return max(milliseconds, _EARLIEST) * 1000


def _began(interval: Claim | InterfaceState | ResourceState) -> int:
    return _moment(interval.valid_from)


def _ended(state: InterfaceState | ResourceState) -> int | None:
    return _moment(state.valid_to) if state.valid_to != OPEN else None


def _pairs(tags: Mapping[str, str] | None) -> list[tuple[str, str]] | None:
    return None if tags is None else sorted(tags.items())


def _same(*names: str) -> dict[str, Callable[[Any], Any]]:
    return {name: attrgetter(name) for name in names}


_OF_CLAIMS: dict[str, Callable[[Claim], Any]] = {
    **_same("vpc_id", "addr", "is_primary", "interface_id", "from_source"),
    "subject": lambda c: "prefix" if "/" in c.addr else "address",
    "valid_from": _began,
    "valid_to": lambda c: None if c.gone_by is None else _moment(c.gone_by),
    "last_seen_at": lambda c: _moment(c.valid_to),
    "to_source": lambda c: None if c.gone_by is None else c.to_source,
}
_OF_PUBLIC_CLAIMS: dict[str, Callable[[Claim], Any]] = {
    **{name: of for name, of in _OF_CLAIMS.items() if name != "is_primary"},
    "subject": lambda c: "public_address",
    "vpc_id": lambda c: c.vpc_id or None,
}
_OF_STATES: dict[str, Callable[[InterfaceState], Any]] = {
    **_same("vpc_id", "interface_id", "from_source", "to_source", "account_id", "account_name", "region", "subnet_id"),
    **_same("availability_zone", "az_id", "type", "name", "arns", "shared", "security_group_ids", "listens_on"),
    **_same("description"),
    "subject": lambda s: "interface",
    "valid_from": _began,
    "valid_to": _ended,
    "last_seen_at": lambda s: _moment(min(s.last_seen, s.valid_to)),
    "tags": lambda s: _pairs(s.tags),
    "interface_tags": lambda s: _pairs(s.interface_tags),
}
_OF_RESOURCES: dict[str, Callable[[ResourceState], Any]] = {
    **_same("resource_id", "from_source", "to_source", "account_id", "region"),
    "subject": lambda r: "resource",
    "type": lambda r: r.kind,
    "valid_from": _began,
    "valid_to": _ended,
    "last_seen_at": lambda r: _moment(r.last_seen),
    "tags": lambda r: _pairs(r.tags),
}
