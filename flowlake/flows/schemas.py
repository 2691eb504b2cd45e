"""Table contracts as Arrow and Spark understand them.

Every column may be null here, also a required one: what is required is checked by the audit, on what was written.
Timestamps are microseconds in UTC.
"""

from __future__ import annotations

import re

import pyarrow as pa

from flowlake.lake.contracts import Contract

_SCALARS = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_ARRAY = re.compile(r"^array<(?P<of>\w+)>$")
_MAP = re.compile(r"^map<(?P<key>\w+),(?P<of>\w+)>$")


class UnkeptPromise(ValueError):
    """A table does not have just the columns that its contract promises."""


def arrow_type(hive: str) -> pa.DataType:
    """A contract's type as Arrow has it: 'map<string,bigint>' is pa.map_(string, int64)."""
    if found := _ARRAY.match(hive):
        return pa.list_(_SCALARS[found["of"]])
    if found := _MAP.match(hive):
        return pa.map_(_SCALARS[found["key"]], _SCALARS[found["of"]])
    return _SCALARS[hive]


def hive_type(type_: pa.DataType) -> str:
    """An Arrow type in the contract's words, whatever its encoding; Arrow's own name where a contract has none."""
    if pa.types.is_dictionary(type_):
        return hive_type(type_.value_type)
    if pa.types.is_list(type_):
        return f"array<{hive_type(type_.value_type)}>"
    if pa.types.is_map(type_):
        return f"map<{hive_type(type_.key_type)},{hive_type(type_.item_type)}>"
    return next((name for name, known in _SCALARS.items() if known == type_), str(type_))


def arrow_schema(contract: Contract, partitions: bool = False) -> pa.Schema:
    """Columns as files hold them; with partitions the partition columns follow."""
    columns = contract.columns + (contract.partitions if partitions else ())
    return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in columns])


def spark_ddl(contract: Contract, partitions: bool = False) -> str:
    """The same as a Spark schema in DDL form: 'a string, b map<string,string>'."""
    columns = contract.columns + (contract.partitions if partitions else ())
    return ", ".join(f"{column.name} {column.type}" for column in columns)


def as_promised(table: pa.Table, contract: Contract) -> pa.Table:
    """The table with its contract's columns, in their order and types. Raises UnkeptPromise where it lacks some, has
    others besides, or holds values that the type can't."""
    names, promised = set(table.column_names), set(contract.column_names)
    if missing := promised - names:
        raise UnkeptPromise(f"rows of {contract.table} lack {', '.join(sorted(missing))}")
    if others := names - promised:
        raise UnkeptPromise(
            f"rows of {contract.table} have {', '.join(sorted(others))}, which the contract does not know"
        )
    try:
        return table.select(contract.column_names).cast(arrow_schema(contract))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnkeptPromise(f"rows of {contract.table} are not of the contract's types: {error}") from error
