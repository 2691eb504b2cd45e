"""The address book as rows of its table: one row a validity interval."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.book import Book
from flowlake.flows.book_columns import columns_of_claims, columns_of_resources
from flowlake.flows.fold import OPEN
from flowlake.flows.schemas import arrow_schema
from flowlake.lake.contracts import contract

_EARLIEST = -62_135_596_800_000  # year 1: what Parquet's readers all know


def book_table(book: Book) -> pa.Table:
    """Claims as subjects address, prefix and public_address, states as subject interface, resources as they are.

    Left out is what holds at no time that could be asked for: a claim of one sight, gone by the next, and a state
    that ended when it began.
    """
    return pa.concat_tables(
        [
            _table(_of_claims(_lasting(book.claim_columns))),
            _table(_of_public_claims(_lasting(columns_of_claims(book.public)))),
            _table(_of_states(book.state_columns.filter(pc.field("valid_to") > pc.field("valid_from")))),
            _table(_of_resources(columns_of_resources(book.resources))),
        ]
    )


def _lasting(claims: pa.Table) -> pa.Table:
    return claims.filter(pc.field("gone_by").is_null() | (pc.field("gone_by") > pc.field("valid_from")))


Columns = dict[str, Any]
"""Columns of the table by their names; null is what is not named."""


def _table(columns: Columns) -> pa.Table:
    schema = arrow_schema(contract("address_book"))
    rows = len(columns["valid_from"])
    return pa.table(
        [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
            for field in schema
        ],
        schema=schema,
    )


def _moments(milliseconds: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds since 1970."""
    return pc.multiply(pc.max_element_wise(milliseconds, _EARLIEST, skip_nulls=False), 1000)


def _ended(intervals: pa.Table) -> pa.ChunkedArray:
    ends = intervals["valid_to"]
    return _moments(pc.if_else(pc.equal(ends, OPEN), None, ends))


def _of_claims(claims: pa.Table) -> Columns:
    same = ("vpc_id", "addr", "is_primary", "interface_id", "from_source")
    return {name: claims[name] for name in same} | {
        "subject": pc.if_else(pc.match_substring(claims["addr"], "/"), "prefix", "address"),
        "valid_from": _moments(claims["valid_from"]),
        "valid_to": _moments(claims["gone_by"]),
        "last_seen_at": _moments(claims["valid_to"]),
        "to_source": pc.if_else(claims["gone_by"].is_null(), None, claims["to_source"]),
    }


def _of_public_claims(claims: pa.Table) -> Columns:
    columns = _of_claims(claims)
    del columns["is_primary"]
    return columns | {
        "subject": pa.repeat("public_address", len(claims)),
        "vpc_id": pc.if_else(pc.equal(claims["vpc_id"], ""), None, claims["vpc_id"]),
    }


def _of_states(states: pa.Table) -> Columns:
    names = set(arrow_schema(contract("address_book")).names) & set(states.column_names)
    return {name: states[name] for name in names} | {
        "subject": pa.repeat("interface", len(states)),
        "valid_from": _moments(states["valid_from"]),
        "valid_to": _ended(states),
        "last_seen_at": _moments(pc.min_element_wise(states["last_seen"], states["valid_to"])),
    }


def _of_resources(resources: pa.Table) -> Columns:
    same = ("resource_id", "from_source", "to_source", "account_id", "region", "tags")
    return {name: resources[name] for name in same} | {
        "subject": pa.repeat("resource", len(resources)),
        "type": resources["kind"],
        "valid_from": _moments(resources["valid_from"]),
        "valid_to": _ended(resources),
        "last_seen_at": _moments(resources["last_seen"]),
    }
