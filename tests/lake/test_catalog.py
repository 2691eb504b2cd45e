"""The catalog: Glue's and the folder's keep the same promises, so one suite asks both."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowlake.lake.catalog import (
    Catalog,
    CatalogConflict,
    CatalogError,
    GlueCatalog,
    NoSuchTable,
    SchemaConflict,
    open_catalog,
    storage_descriptor,
)
from flowlake.lake.contracts import Column, Contract, contract, tables

REJECTS = contract("rejects")
AT = ("2026-01-01", "00")


@pytest.fixture(params=["folder", "glue"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    if request.param == "folder":
        return open_catalog(str(tmp_path / "lake"))
    request.getfixturevalue("aws")
    return open_catalog("s3://a-lake/prefix")


def folder_of(catalog: Catalog, run: str) -> str:
    return f"{catalog.lake}/tables/rejects/dt=2026-01-01/hour=00/run={run}/"


def grown(by: Column) -> Contract:
    return replace(REJECTS, columns=(*REJECTS.columns, by))


def test_nothing_published_is_no_tables(catalog: Catalog) -> None:
    assert catalog.tables() == []
    with pytest.raises(NoSuchTable, match="no table rejects"):
        catalog.table("rejects")
    with pytest.raises(NoSuchTable, match="rejects"):
        catalog.partitions("rejects")
    with pytest.raises(NoSuchTable, match="rejects"):
        catalog.put_partition("rejects", AT, folder_of(catalog, "a"), {}, None)


def test_every_contract_makes_a_table_that_reads_back(catalog: Catalog) -> None:
    for name in tables():
        catalog.ensure_table(contract(name))
    assert catalog.tables() == list(tables())
    for name in tables():
        table = catalog.table(name)
        assert [(c.name, c.type) for c in table.columns] == [(c.name, c.type) for c in contract(name).columns]
        assert [c.name for c in table.partitions] == [c.name for c in contract(name).partitions]
        assert table.location == f"{catalog.lake}/{contract(name).location}"
        assert table.format == contract(name).format
        assert table.projects_partitions == (name in ("observations", "ip_ranges"))


def test_a_partition_is_made_once_and_moved_by_who_saw_it(catalog: Catalog) -> None:
    catalog.ensure_table(REJECTS)
    assert catalog.partition("rejects", AT) is None
    first = catalog.put_partition("rejects", AT, folder_of(catalog, "a"), {"run": "a"}, None)
    assert catalog.partition("rejects", AT) == first
    assert (first.values, first.location, dict(first.parameters)) == (AT, folder_of(catalog, "a"), {"run": "a"})
    with pytest.raises(CatalogConflict):
        catalog.put_partition("rejects", AT, folder_of(catalog, "b"), {}, None)
    second = catalog.put_partition("rejects", AT, folder_of(catalog, "b"), {"run": "b"}, first.version)
    with pytest.raises(CatalogConflict):
        catalog.put_partition("rejects", AT, folder_of(catalog, "c"), {"run": "c"}, first.version)
    assert catalog.partition("rejects", AT) == second
    assert second.location == folder_of(catalog, "b")


def test_partitions_come_in_order_and_by_day(catalog: Catalog) -> None:
    catalog.ensure_table(REJECTS)
    for dt, hour in (("2026-01-02", "00"), ("2026-01-01", "23"), ("2026-01-01", "01")):
        catalog.put_partition("rejects", (dt, hour), folder_of(catalog, "a"), {}, None)

    def values(**days: str) -> list[tuple[str, ...]]:
        return [partition.values for partition in catalog.partitions("rejects", **days)]

    assert values() == [("2026-01-01", "01"), ("2026-01-01", "23"), ("2026-01-02", "00")]
    assert values(since="2026-01-02") == [("2026-01-02", "00")]
    assert values(until="2026-01-01") == [("2026-01-01", "01"), ("2026-01-01", "23")]
    assert values(since="2026-01-01", until="2026-01-01") == [("2026-01-01", "01"), ("2026-01-01", "23")]


@pytest.mark.parametrize("values", [("2026-01-01",), "2026-01-01", ("2026-01-01", "../x"), ("2026-01-01", "")])
def test_values_that_are_none_are_refused(catalog: Catalog, values: Any) -> None:
    catalog.ensure_table(REJECTS)
    with pytest.raises(CatalogError, match=r"partitioned by dt, hour|no value for hour"):
        catalog.put_partition("rejects", values, folder_of(catalog, "a"), {}, None)


def test_a_table_grows_by_nullable_columns(catalog: Catalog) -> None:
    catalog.ensure_table(REJECTS)
    added = Column("extra", "bigint", "New.")
    catalog.ensure_table(grown(added))
    assert [c.name for c in catalog.table("rejects").columns] == [*REJECTS.column_names, "extra"]
    catalog.ensure_table(grown(added))  # again: nothing to do
    with pytest.raises(SchemaConflict, match="has extra, which the contract lacks"):
        catalog.ensure_table(REJECTS)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (grown(Column("extra", "bigint", "New.", required=True)), "rows without extra: a new column must be nullable"),
        (replace(REJECTS, columns=REJECTS.columns[1:]), "account_id, which the contract lacks"),
        (
            replace(REJECTS, columns=(replace(REJECTS.columns[0], type="int"), *REJECTS.columns[1:])),
            "account_id.*string",
        ),
        (replace(REJECTS, columns=REJECTS.columns[::-1]), "another order"),
        (replace(REJECTS, format="json"), "is parquet, the contract says json"),
        (replace(REJECTS, partitions=REJECTS.partitions[:1]), "other partition columns"),
        (replace(REJECTS, location="elsewhere/"), "two lakes need two databases"),
    ],
)
def test_a_contract_that_does_not_fit_the_table_is_refused(catalog: Catalog, changed: Contract, says: str) -> None:
    catalog.ensure_table(REJECTS)
    before = catalog.table("rejects")
    with pytest.raises(SchemaConflict, match=f"rejects.*{says}"):
        catalog.ensure_table(changed)
    assert catalog.table("rejects") == before


def test_only_one_of_many_moves_a_partition_in_the_folder(tmp_path: Path) -> None:
    catalog = open_catalog(str(tmp_path))
    catalog.ensure_table(REJECTS)
    seen = catalog.put_partition("rejects", AT, folder_of(catalog, "start"), {}, None)
    won: list[int] = []

    def move(number: int) -> None:
        try:
            catalog.put_partition("rejects", AT, folder_of(catalog, str(number)), {}, seen.version)
            won.append(number)
        except CatalogConflict:
            pass

    threads = [threading.Thread(target=move, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = catalog.partition("rejects", AT)
    assert len(won) == 1
    assert there is not None
    assert there.location == folder_of(catalog, str(won[0]))


def test_a_lake_in_a_folder_can_be_moved(tmp_path: Path) -> None:
    catalog = open_catalog(str(tmp_path / "here"))
    catalog.ensure_table(REJECTS)
    catalog.put_partition("rejects", AT, folder_of(catalog, "a"), {}, None)
    catalog.put_partition("rejects", ("2026-01-01", "01"), "/elsewhere/x/", {}, None)
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = open_catalog(str(tmp_path / "there"))
    assert [p.location for p in moved.partitions("rejects")] == [folder_of(moved, "a"), "/elsewhere/x/"]
    assert moved.table("rejects").location == f"{tmp_path}/there/tables/rejects/"


def test_a_torn_catalog_file_is_said(tmp_path: Path) -> None:
    catalog = open_catalog(str(tmp_path))
    catalog.ensure_table(REJECTS)
    (tmp_path / "catalog/flowlake/rejects/table.json").write_text("{")
    with pytest.raises(CatalogError, match="table rejects is no JSON document"):
        catalog.table("rejects")


# ---- Glue alone ------------------------------------------------------------------------------------------------------


def test_what_glue_is_told_of_a_table(aws: str) -> None:
    catalog = GlueCatalog("s3://lake")
    catalog.ensure_table(contract("observations"))
    told = catalog._glue.get_table(DatabaseName="flowlake", Name="observations")["Table"]
    assert told["TableType"] == "EXTERNAL_TABLE"
    assert told["Parameters"]["EXTERNAL"] == "TRUE"
    assert told["Parameters"]["classification"] == "json"
    assert told["Parameters"]["projection.enabled"] == "true"
    assert [key["Name"] for key in told["PartitionKeys"]] == ["origin", "dt", "hour"]
    storage = told["StorageDescriptor"]
    assert storage["Location"] == "s3://lake/inventory/observations/"
    assert storage["SerdeInfo"]["SerializationLibrary"] == "org.apache.hive.hcatalog.data.JsonSerDe"
    assert {"Name": "observed_at", "Type": "timestamp"}.items() <= storage["Columns"][0].items()


@pytest.mark.parametrize("name", tables())
def test_descriptions_keep_glues_limits(name: str) -> None:
    described = storage_descriptor(contract(name).format, contract(name).columns, "s3://x/")
    assert all(len(column["Comment"].encode()) <= 255 for column in described["Columns"])
    assert json.dumps(described)


def test_a_table_changed_by_another_is_read_again(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    catalog = GlueCatalog("s3://lake")
    catalog.ensure_table(REJECTS)
    update, asked = catalog._glue.update_table, []

    def refused_once(**arguments: Any) -> Any:
        asked.append(arguments["VersionId"])
        if len(asked) == 1:
            raise ClientError({"Error": {"Code": "ConcurrentModificationException"}}, "UpdateTable")
        return update(**arguments)

    monkeypatch.setattr(catalog._glue, "update_table", refused_once)
    catalog.ensure_table(grown(Column("extra", "bigint", "New.")))
    assert asked == ["1", "1"]
    assert catalog.table("rejects").columns[-1].name == "extra"


def test_parameters_that_others_gave_a_glue_table_stay(aws: str) -> None:
    catalog = GlueCatalog("s3://lake")
    catalog.ensure_table(REJECTS)
    there = catalog._glue.get_table(DatabaseName="flowlake", Name="rejects")["Table"]
    described = {key: there[key] for key in ("Name", "StorageDescriptor", "PartitionKeys", "TableType")}
    described["Parameters"] = there["Parameters"] | {"owner": "someone"}
    catalog._glue.update_table(DatabaseName="flowlake", TableInput=described)
    catalog.ensure_table(grown(Column("extra", "bigint", "New.")))
    after = catalog._glue.get_table(DatabaseName="flowlake", Name="rejects")["Table"]
    assert after["Parameters"]["owner"] == "someone"
    assert after["TableType"] == "EXTERNAL_TABLE"


def test_a_glue_partition_overwritten_in_between_is_noticed(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = GlueCatalog("s3://lake")
    catalog.ensure_table(REJECTS)
    seen = catalog.put_partition("rejects", AT, folder_of(catalog, "a"), {}, None)
    update = catalog._glue.update_partition

    def then_another(**arguments: Any) -> None:
        update(**arguments)
        arguments["PartitionInput"]["StorageDescriptor"]["Location"] = folder_of(catalog, "other")
        update(**arguments)

    monkeypatch.setattr(catalog._glue, "update_partition", then_another)
    with pytest.raises(CatalogConflict, match="changed by another at the same time"):
        catalog.put_partition("rejects", AT, folder_of(catalog, "b"), {}, seen.version)


def test_what_glue_refuses_is_said_in_our_words(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    catalog = GlueCatalog("s3://lake")

    def denied(**arguments: Any) -> None:
        raise ClientError(
            {"Error": {"Code": "AccessDeniedException", "Message": "not allowed to glue:GetTable"}}, "GetTable"
        )

    monkeypatch.setattr(catalog._glue, "get_table", denied)
    with pytest.raises(CatalogError, match=r"database flowlake.*not allowed to glue:GetTable"):
        catalog.table("rejects")
