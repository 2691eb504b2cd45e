"""The address book as rows of its table: one row a validity interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from flowlake.flows.book import Book
from flowlake.flows.fold import OPEN
from flowlake.flows.schemas import arrow_schema
from flowlake.lake.contracts import contract

_EARLIEST = -62_135_596_800_000  # year 1: what Parquet's readers all know


def book_table(book: Book) -> pa.Table:
    """Claims as subjects address and prefix, states as subject interface, resources as they are."""
    return pa.Table.from_pylist(list(_rows(book)), schema=arrow_schema(contract("address_book")))


def _rows(book: Book) -> Iterator[dict[str, Any]]:
    for claim in book.claims:
        if claim.gone_by is not None and claim.gone_by <= claim.valid_from:
            continue  # one sight, gone by the next: it holds at no time that could be asked for
        yield {
            "subject": "prefix" if "/" in claim.addr else "address",
            "vpc_id": claim.vpc_id,
            "addr": claim.addr,
            "is_primary": claim.is_primary,
            "interface_id": claim.interface_id,
            "valid_from": _moment(claim.valid_from),
            "valid_to": None if claim.gone_by is None else _moment(claim.gone_by),
            "last_seen_at": _moment(claim.valid_to),
            "from_source": claim.from_source,
            "to_source": None if claim.gone_by is None else claim.to_source,
        }
    for state in book.states:
        if state.valid_to <= state.valid_from:
            continue
        yield {
            "subject": "interface",
            "vpc_id": state.vpc_id,
            "interface_id": state.interface_id,
            "valid_from": _moment(state.valid_from),
            "valid_to": _moment(state.valid_to) if state.valid_to != OPEN else None,
            "last_seen_at": _moment(min(state.last_seen, state.valid_to)),
            "from_source": state.from_source,
            "to_source": state.to_source,
            "account_id": state.account_id,
            "account_name": state.account_name,
            "region": state.region,
            "subnet_id": state.subnet_id,
            "availability_zone": state.availability_zone,
            "az_id": state.az_id,
            "type": state.type,
            "name": state.name,
            "arns": list(state.arns),
            "shared": state.shared,
            "security_group_ids": list(state.security_group_ids) if state.security_group_ids is not None else None,
            "listens_on": list(state.listens_on),
            "tags": _pairs(state.tags),
            "interface_tags": _pairs(state.interface_tags),
            "description": state.description,
        }
    for resource in book.resources:
        yield {
            "subject": "resource",
            "resource_id": resource.resource_id,
            "valid_from": _moment(resource.valid_from),
            "valid_to": _moment(resource.valid_to) if resource.valid_to != OPEN else None,
            "last_seen_at": _moment(resource.last_seen),
            "from_source": resource.from_source,
            "to_source": resource.to_source,
            "account_id": resource.account_id,
            "region": resource.region,
            "type": resource.kind,
            "tags": _pairs(resource.tags),
        }


def _moment(milliseconds: int) -> int:
    """Microseconds since 1970."""
    return max(milliseconds, _EARLIEST) * 1000


def _pairs(tags: Any) -> list[tuple[str, str]] | None:
    return None if tags is None else sorted(tags.items())
