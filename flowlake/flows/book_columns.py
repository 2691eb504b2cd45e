"""States and claims of a book as columns, which is how all read them who want the whole book: a column is a few
passes over arrays, where a row is a Python object to be made, kept and asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import pyarrow as pa

from flowlake.flows.intervals import Claim, InterfaceState, ResourceState
from flowlake.flows.schemas import arrow_schema
from flowlake.lake.contracts import contract


@cache
def states_schema() -> pa.Schema:
    """A state as columns; tags are sorted by their keys."""
    shown = arrow_schema(contract("address_book"))
    texts = (
        "account_id",
        "account_name",
        "region",
        "vpc_id",
        "subnet_id",
        "availability_zone",
        "az_id",
        "type",
        "name",
    )
    return pa.schema(
        [
            ("interface_id", pa.string()),
            ("valid_from", pa.int64()),
            ("valid_to", pa.int64()),
            ("last_seen", pa.int64()),
            ("from_source", pa.string()),
            ("to_source", pa.string()),
            *((name, pa.string()) for name in texts),
            *((name, shown.field(name).type) for name in ("arns", "shared", "security_group_ids", "listens_on")),
            *((name, shown.field(name).type) for name in ("tags", "interface_tags")),
            *((name, pa.string()) for name in ("description", "primary", "interface_type")),
        ]
    )


CLAIMS = pa.schema(
    [
        ("vpc_id", pa.string()),
        ("addr", pa.string()),
        ("interface_id", pa.string()),
        ("valid_from", pa.int64()),
        ("valid_to", pa.int64()),
        ("exact_end", pa.bool_()),
        ("open", pa.bool_()),
        ("is_primary", pa.bool_()),
        ("from_source", pa.string()),
        ("to_source", pa.string()),
        ("gone_by", pa.int64()),
    ]
)
"""A claim as columns, but for the moments at which it was told."""


RESOURCES = pa.schema(
    [
        *((name, pa.string()) for name in ("resource_id", "kind", "account_id", "region")),
        *((name, pa.int64()) for name in ("valid_from", "valid_to", "last_seen")),
        *((name, pa.string()) for name in ("from_source", "to_source")),
        ("tags", pa.map_(pa.string(), pa.string())),
    ]
)


def columns_of_states(states: Sequence[InterfaceState]) -> pa.Table:
    """The states, row for row."""
    return _columns(states, states_schema())


def columns_of_claims(claims: Sequence[Claim]) -> pa.Table:
    """The claims, row for row."""
    return _columns(claims, CLAIMS)


def columns_of_resources(resources: Sequence[ResourceState]) -> pa.Table:
    """The resources' tag sets, row for row."""
    return _columns(resources, RESOURCES)


def _columns(things: Sequence[Any], schema: pa.Schema) -> pa.Table:
    return pa.table([_column(things, field) for field in schema], schema=schema)


def _column(things: Sequence[Any], field: pa.Field) -> pa.Array:
    values = list(map(attrgetter(field.name), things))
    if pa.types.is_map(field.type):
        values = [None if tags is None else sorted(tags.items()) for tags in values]
    return pa.array(values, field.type)
