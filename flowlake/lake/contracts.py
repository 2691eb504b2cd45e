"""Table contracts: each table's grain, columns, comments and partitions, as data.

The JSON files under contracts/ are the one place where a schema is written. Spark, the Glue Catalog,
Terraform, expectations and tests read them. A schema grows by appending nullable columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from flowlake.lake.places import TABLES

SCALARS = {"string", "boolean", "int", "bigint", "double", "timestamp"}
_NESTED = re.compile(r"^(array<(string|int|bigint)>|map<string,(string|bigint)>)$")
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_FORMATS = {"parquet", "json"}
_KEYS = {"table", "grain", "comment", "format", "columns", "partitions", "location", "parameters"}


class BadContract(ValueError):
    """A contract does not say what a table needs, or says it wrongly."""


class UnknownTable(KeyError):
    """No contract has this name."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Column:
    """One column: its Hive type, whether it may be null, what it means, and all its values, where these are few.

    values is empty where any value of the type will do.
    """

    name: str
    type: str
    comment: str
    required: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """One table. columns do not include partitions, as Hive has it.

    location is where its rows lie in the lake, a key prefix. parameters are those of the table in the catalog: a table
    that is only appended to projects its partitions, and so has none in the catalog.
    """

    table: str
    grain: str
    comment: str
    format: str
    columns: tuple[Column, ...]
    partitions: tuple[Column, ...]
    location: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def required(self) -> list[str]:
        return [column.name for column in self.columns if column.required]

    def column(self, name: str) -> Column:
        for column in self.columns + self.partitions:
            if column.name == name:
                return column
        raise BadContract(f"table {self.table} has no column {name}")


def parse(document: dict[str, Any]) -> Contract:
    """A contract from its JSON document. Raises BadContract, naming the table and what is wrong."""
    table = document.get("table", "?")
    missing = {"table", "grain", "comment", "format", "columns", "partitions"} - document.keys()
    if missing:
        raise BadContract(f"contract of {table} lacks {', '.join(sorted(missing))}")
    unknown = document.keys() - _KEYS
    if unknown:
        raise BadContract(f"contract of {table} says {', '.join(sorted(unknown))}")
    if document["format"] not in _FORMATS:
        raise BadContract(f"contract of {table}: format is {document['format']}, not one of {sorted(_FORMATS)}")
    columns = tuple(_column(table, entry) for entry in document["columns"])
    partitions = tuple(_column(table, entry) for entry in document["partitions"])
    names = [column.name for column in columns + partitions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadContract(f"contract of {table} names {', '.join(twice)} twice")
    if not columns:
        raise BadContract(f"contract of {table} has no columns")
    location = document.get("location", f"{TABLES}{table}/")
    if not location.endswith("/") or location.startswith("/"):
        raise BadContract(f"contract of {table}: location '{location}' is no key prefix: it ends with a slash")
    return Contract(
        table,
        document["grain"],
        document["comment"],
        document["format"],
        columns,
        partitions,
        location,
        document.get("parameters", {}),
    )


def _column(table: str, entry: dict[str, Any]) -> Column:
    missing = {"name", "type", "comment"} - entry.keys()
    if missing:
        raise BadContract(f"contract of {table}: column {entry.get('name', '?')} lacks {', '.join(sorted(missing))}")
    unknown = entry.keys() - {"name", "type", "comment", "required", "values"}
    if unknown:
        raise BadContract(f"contract of {table}: column {entry['name']} says {', '.join(sorted(unknown))}")
    if not _NAME.match(entry["name"]):
        raise BadContract(f"contract of {table}: '{entry['name']}' is no column name")
    if entry["type"] not in SCALARS and not _NESTED.match(entry["type"]):
        raise BadContract(f"contract of {table}: column {entry['name']} has the unknown type {entry['type']}")
    if "values" in entry and entry["type"] != "string":
        raise BadContract(f"contract of {table}: column {entry['name']} lists values, which only a string can")
    values = tuple(entry.get("values", ()))
    return Column(entry["name"], entry["type"], entry["comment"], bool(entry.get("required", False)), values)


@cache
def tables() -> tuple[str, ...]:
    """Names of all tables that have a contract, in alphabetical order."""
    folder = resources.files(__package__) / "contracts"
    return tuple(sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")))


@cache
def contract(table: str) -> Contract:
    """The contract of a table. Raises UnknownTable, BadContract."""
    if table not in tables():
        raise UnknownTable(f"no table is called '{table}'; there are {', '.join(tables())}")
    return parse(lake_data(f"contracts/{table}.json"))


@cache
def lake_data(name: str) -> Any:
    """A JSON data file of this package (flow_log_fields.json, kinds.json, …), parsed."""
    return json.loads((resources.files(__package__) / name).read_text(encoding="utf-8"))
