"""States and claims of a book as columns, which is how all read them who want the whole book: a column is a few
passes over arrays, where a row is a Python object to be made, kept and asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.intervals import Claim, InterfaceState, ResourceState
from flowlake.flows.schemas import arrow_schema
from flowlake.lake.contracts import contract

_Row = TypeVar("_Row", Claim, InterfaceState)


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
    if isinstance(states, Laid):
        return states.columns
    return _columns(states, states_schema())


def columns_of_claims(claims: Sequence[Claim]) -> pa.Table:
    """The claims, row for row."""
    if isinstance(claims, Laid):
        return claims.columns
    return _columns(claims, CLAIMS)


def columns_of_resources(resources: Sequence[ResourceState]) -> pa.Table:
    """The resources' tag sets, row for row."""
    return _columns(resources, RESOURCES)


class Laid(Sequence[_Row]):
    """Rows of a book in their order, of which some were made one by one and most are columns alone; a row that is
    asked for is made then, a claim without the moments at which it was told.
    """

    def __init__(self, made: list[_Row], columns_of_made: pa.Table, others: pa.Table, by: Sequence[str]) -> None:
        """made and others are in the order of the columns by, in which no row of the one is as one of the other."""
        self._made: list[_Row] = made
        self._order = np.arange(len(made) + len(others))
        self.columns = others
        if made:
            both = pa.concat_tables([columns_of_made, others]).combine_chunks()
            order = pc.sort_indices(both, [(name, "ascending") for name in by])
            self.columns, self._order = both.take(order), order.to_numpy()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[_Row]:
        for first in range(0, len(self), _AT_A_TIME):
            rows = self.columns.slice(first, _AT_A_TIME).to_pylist()
            yield from map(self._row, range(first, first + len(rows)), rows)

    def __getitem__(self, at: Any) -> Any:
        places = range(len(self))[at]
        if isinstance(places, int):
            return self._row(places, self.columns.slice(places, 1).to_pylist()[0])
        return [self[place] for place in places]

    def _row(self, place: int, said: dict[str, Any]) -> Any:
        made = self._order[place]
        return self._made[made] if made < len(self._made) else _row_of(said)


_AT_A_TIME = 1 << 14


def _row_of(said: dict[str, Any]) -> Claim | InterfaceState:
    """A row of its columns."""
    if "addr" in said:
        return Claim(**said)
    for name in ("arns", "listens_on", "security_group_ids"):
        said[name] = None if said[name] is None else tuple(said[name])
    for name in ("tags", "interface_tags"):
        said[name] = None if said[name] is None else dict(said[name])
    return InterfaceState(**said)


def _columns(things: Sequence[Any], schema: pa.Schema) -> pa.Table:
    return pa.table([_column(things, field) for field in schema], schema=schema)


def _column(things: Sequence[Any], field: pa.Field) -> pa.Array:
    values = list(map(attrgetter(field.name), things))
    if pa.types.is_map(field.type):
        values = [None if tags is None else sorted(tags.items()) for tags in values]
    return pa.array(values, field.type)
