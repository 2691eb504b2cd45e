"""Contracts as Arrow and Spark understand them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from flowlake.flows.schemas import UnkeptPromise, arrow_schema, arrow_type, as_promised, spark_ddl
from flowlake.lake.contracts import Column, contract, tables

SMALL = replace(
    contract("rejects"),
    columns=(
        Column("at", "timestamp", "When."),
        Column("count", "int", "How many."),
        Column("by_reason", "map<string,bigint>", "Why."),
        Column("ports", "array<int>", "Where."),
    ),
)


def test_types_keep_their_meaning() -> None:
    assert arrow_schema(SMALL) == pa.schema(
        [
            ("at", pa.timestamp("us", tz="UTC")),
            ("count", pa.int32()),
            ("by_reason", pa.map_(pa.string(), pa.int64())),
            ("ports", pa.list_(pa.int32())),
        ]
    )
    assert spark_ddl(SMALL) == "at timestamp, count int, by_reason map<string,bigint>, ports array<int>"
    assert spark_ddl(SMALL, partitions=True).endswith(", dt string, hour string")


@pytest.mark.parametrize("name", tables())
def test_every_contract_has_a_schema(name: str) -> None:
    table = contract(name)
    assert arrow_schema(table, partitions=True).names == table.column_names + [c.name for c in table.partitions]
    assert len(spark_ddl(table).split(", ")) == len(table.columns)
    with pytest.raises(KeyError):
        arrow_type("varchar")


def test_a_table_is_brought_into_its_promised_form() -> None:
    loose = pa.table(
        {
            "ports": pa.array([[80], None], pa.list_(pa.int64())),
            "count": pa.array([1, 2], pa.int64()),
            "by_reason": pa.array([[("torn", 1)], []], pa.map_(pa.string(), pa.int64())),
            "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("s", tz="UTC")),
        }
    )
    kept = as_promised(loose, SMALL)
    assert kept.schema == arrow_schema(SMALL)
    assert kept.to_pylist()[0] == {
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "count": 1,
        "by_reason": [("torn", 1)],
        "ports": [80],
    }


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"at": [None]}, "lack by_reason, count, ports"),
        ({"at": [None], "count": [1], "by_reason": [None], "ports": [None], "colour": [1]}, "have colour"),
        ({"at": [None], "count": [2**31], "by_reason": [None], "ports": [None]}, "not of the contract's types"),
    ],
)
def test_what_does_not_keep_the_contract_is_said(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(UnkeptPromise, match=f"rows of rejects.*{says}"):
        as_promised(pa.table(columns), SMALL)


@pytest.mark.spark
@pytest.mark.parametrize("name", tables())
def test_spark_understands_every_contract(spark: Any, name: str) -> None:
    fields = spark.createDataFrame([], spark_ddl(contract(name))).schema.fields
    assert [(field.name, field.dataType.simpleString()) for field in fields] == [
        (column.name, column.type) for column in contract(name).columns
    ]
