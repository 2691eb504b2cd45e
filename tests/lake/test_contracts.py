"""Table contracts: what they promise, and that bad ones are said."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flowlake.lake.contracts import BadContract, UnknownTable, contract, lake_data, parse, tables

GOOD: dict[str, Any] = {
    "table": "visits",
    "grain": "One visit.",
    "comment": "Who came.",
    "format": "parquet",
    "columns": [
        {"name": "who", "type": "string", "required": True, "comment": "Who.", "values": ["ann", "bob"]},
        {"name": "tags", "type": "map<string,string>", "comment": "Tags."},
    ],
    "partitions": [{"name": "dt", "type": "string", "comment": "Day."}],
}


def changed(path: str, value: Any = None) -> dict[str, Any]:
    """GOOD with one thing changed: 'columns.0.type' set to value, or taken away where value is None."""
    document: Any = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    at: Any = document
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return dict(document)


def test_a_good_contract_says_what_a_table_needs() -> None:
    visits = parse(GOOD)
    assert visits.column_names == ["who", "tags"]
    assert visits.required == ["who"]
    assert visits.column("who").values == ("ann", "bob")
    assert visits.column("dt").type == "string"
    assert visits.location == "tables/visits/"
    assert visits.parameters == {}


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("grain", None, "visits lacks grain"),
        ("colour", "red", "visits says colour"),
        ("format", "csv", "format is csv"),
        ("columns", [], "no columns"),
        ("location", "tables/visits", "ends with a slash"),
        ("location", "/tables/", "no key prefix"),
        ("columns.0.comment", None, "column who lacks comment"),
        ("columns.0.requird", True, "column who says requird"),
        ("columns.0.name", "Who", "'Who' is no column name"),
        ("columns.0.type", "varchar", "column who has the unknown type varchar"),
        ("columns.0.type", "array<array<string>>", "unknown type"),
        ("columns.1.values", ["a"], "column tags lists values"),
        ("columns.1.name", "who", "names who twice"),
        ("columns.1.name", "dt", "names dt twice"),
    ],
)
def test_a_bad_contract_says_its_table_and_what_is_wrong(path: str, value: Any, says: str) -> None:
    with pytest.raises(BadContract, match=f"contract of visits.*{says}|contract of {says}"):
        parse(changed(path, value))


def test_an_unknown_table_is_said_with_those_there_are() -> None:
    with pytest.raises(UnknownTable, match=r"no table is called 'flows'; there are address_book, conversations, "):
        contract("flows")


def test_an_unknown_column_is_said() -> None:
    with pytest.raises(BadContract, match="conversations has no column colour"):
        contract("conversations").column("colour")


@pytest.mark.parametrize("name", tables())
def test_every_contract_is_whole(name: str) -> None:
    table = contract(name)
    assert table.table == name
    for column in (*table.columns, *table.partitions):
        assert column.comment.endswith((".", "…")), column.name
    for column in table.partitions:
        assert column.type == "string"


@pytest.mark.parametrize("name", tables())
def test_values_that_a_column_lists_are_all_named_in_its_comment(name: str) -> None:
    for column in contract(name).columns:
        for value in column.values:
            assert value in column.comment, f"{column.name}: {value}"


def test_client_and_server_columns_mirror_each_other() -> None:
    conversations = contract("conversations")
    client = [(c.name[7:], c.type, c.values) for c in conversations.columns if c.name.startswith("client_")]
    server = [(c.name[7:], c.type, c.values) for c in conversations.columns if c.name.startswith("server_")]
    assert client == [column for column in server if column[0] != "port"]


def test_states_and_sources_of_observations_are_those_of_the_row_builder() -> None:
    from flowlake.lake import observations as rows

    table = contract("observations")
    assert set(table.column("state").values) == {rows.PRESENT, rows.PARTIAL, rows.ABSENT, rows.COMPLETE}
    assert set(table.column("source").values) == {rows.EVENT, rows.SWEEP}


def test_a_data_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        lake_data("nothing.json")
