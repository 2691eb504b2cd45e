"""What was published, in DuckDB: each table a view over just the files of its partitions' current runs.

The catalog says where a partition's rows lie; folders are never searched for published rows, so a run that is being
written, failed its audit or was superseded is not seen. Tables that are only appended to (observations) have no
partitions in the catalog: there, as in Athena, whatever lies at the table's location is the table.

Timestamps are UTC without a zone and an absent map key gives null, as in Athena.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from flowlake.lake.catalog import DATABASE, Catalog, NoSuchTable, Table, open_catalog
from flowlake.lake.contracts import contract, tables
from flowlake.lake.store import FolderStore, ObjectStore, StoreError, open_store

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

VIEWS = ("flow_documents",)
"""Saved views: sql/views/NAME.sql. They read conversations."""

_FETCHES = 8
_DUCK = {"int": "integer", "string": "varchar"}
_AS_ATHENA = (
    "set timezone = 'UTC'",
    "create macro element_at(collection, place) as collection[place]",
    "create macro json_format(document) as cast(document as varchar)",
)
"""DuckDB's own element_at gives a list of a map's values; json_format it does not have."""


class NoLake(Exception):
    """There is no lake there, or nothing in it yet; the message says what to do."""


class BadQuery(Exception):
    """DuckDB did not take the query; the message is its own."""


def ask(lake: str, sql: str, database: str = DATABASE, since: str = "", until: str = "") -> pa.Table:
    """The answer to one query. since and until ('2026-01-01', both included) say which days to look at, all by default.

    Raises NoLake, BadQuery, and what the store and the catalog raise.
    """
    import duckdb

    with connected(lake, database, since, until, _wanted(sql)) as connection:
        try:
            statements = connection.extract_statements(sql)
            answers = [statement.expected_result_type for statement in statements]
            if answers != [[duckdb.ExpectedResultType.QUERY_RESULT]]:
                raise BadQuery("that is no query: write one that answers with rows")
            return connection.sql(statements[0]).to_arrow_table()
        except duckdb.CatalogException as error:
            raise BadQuery(f"{error}\nthere are {', '.join([*tables(), *VIEWS])}") from error
        except duckdb.Error as error:
            raise BadQuery(str(error)) from error


@contextmanager
def connected(
    lake: str, database: str = DATABASE, since: str = "", until: str = "", only: set[str] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which the lake's tables are views; with only, rows are in those named alone. Raises NoLake.

    Files of a bucket are fetched into a temporary folder first, which is gone afterwards.
    """
    import duckdb

    store, catalog = opened(lake, database, observed_is_enough=True)
    config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    wanted = set(tables()) if only is None or only & set(VIEWS) else only
    with tempfile.TemporaryDirectory(prefix="flowlake-query-") as folder, duckdb.connect(config=config) as connection:
        for statement in _AS_ATHENA:
            connection.execute(statement)
        for name in tables():
            found = _files(store, catalog, name, since, until) if name in wanted else []
            files = _local(store, found, Path(folder))
            connection.execute(f"create view {name} as {_select(_table(catalog, name), files)}")
        for name in VIEWS:
            connection.execute(f"create view {name} as {saved_view(name)}")
        yield connection


def opened(lake: str, database: str = DATABASE, observed_is_enough: bool = False) -> tuple[ObjectStore, Catalog]:
    """The lake's store and catalog. Raises NoLake where there is no such folder, or nothing was published there (nor
    collected, where that is enough).
    """
    store = open_store(lake)
    if isinstance(store, FolderStore) and not Path(store.root).is_dir():
        raise NoLake(f"there is no lake at {store.root}: no such folder")
    catalog = open_catalog(lake, database)
    if not catalog.tables() and not (observed_is_enough and _observed(store)):
        raise NoLake(
            f"nothing was published in {store.root} yet (its catalog has no database {database} with tables): "
            f"flowlake enrich --lake {lake} --hour 2026-01-01T00 does it, flowlake demo shows it"
        )
    return store, catalog


def _observed(store: ObjectStore) -> bool:
    """Whether the inventory's tables have anything: they need nobody to publish them."""
    try:
        return any(True for name in ("observations", "ip_ranges") for _ in store.list(contract(name).location))
    except StoreError:
        return False  # no bucket of that name


def saved_view(name: str) -> str:
    return (resources.files("flowlake.commands") / "sql" / "views" / f"{name}.sql").read_text(encoding="utf-8")


def _wanted(sql: str) -> set[str] | None:
    """The tables and views that the query names; None, which stands for all, where DuckDB can't tell."""
    import duckdb

    try:
        with duckdb.connect() as connection:
            named = {name.lower().split(".")[-1].strip('"') for name in connection.get_table_names(sql)}
    except duckdb.Error:
        return None
    return named & {*tables(), *VIEWS}


def _table(catalog: Catalog, name: str) -> Table:
    """The table as the catalog has it; as its contract has it where it was never made."""
    try:
        return catalog.table(name)
    except NoSuchTable:
        known = contract(name)
        location = f"{catalog.lake}/{known.location}"
        return Table(name, location, known.format, known.columns, known.partitions, parameters=known.parameters)


def _files(store: ObjectStore, catalog: Catalog, name: str, since: str, until: str) -> list[str]:
    """Keys of the files that hold the table's rows of these days."""
    table = _table(catalog, name)
    if table.projects_partitions:
        folders = _days(store, _key(store, table.location), table, since, until)
    elif name in catalog.tables():
        folders = [_key(store, partition.location) for partition in catalog.partitions(name, since, until)]
    else:
        folders = []
    with ThreadPoolExecutor(_FETCHES) as pool:
        listed = pool.map(lambda folder: [info.key for info in store.list(folder)], folders)
        return [key for keys in listed for key in keys if not key.rsplit("/", 1)[-1].startswith(("_", "."))]


def _days(store: ObjectStore, location: str, table: Table, since: str, until: str) -> list[str]:
    """The folders of a table that is only appended to, by its partitions down to the day."""
    folders = [location]
    for column in table.partitions:
        folders = [found for folder in folders for found in store.folders(folder)]
        if column.name == "dt":
            days = [(folder, folder.rstrip("/").rpartition("dt=")[2]) for folder in folders]
            return [folder for folder, dt in days if (not since or dt >= since) and (not until or dt <= until)]
    return folders


def _key(store: ObjectStore, location: str) -> str:
    if not location.startswith(f"{store.root}/"):
        raise NoLake(f"the catalog speaks of {location}, which does not lie in the lake at {store.root}")
    return location.removeprefix(f"{store.root}/")


def _local(store: ObjectStore, keys: Sequence[str], folder: Path) -> list[str]:
    """Paths of the files: where they lie, or where they were fetched to, under names that end alike."""
    if isinstance(store, FolderStore):
        return [f"{store.root}/{key}" for key in keys]

    def fetch(key: str) -> str:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(key))
        return str(path)

    with ThreadPoolExecutor(_FETCHES) as pool:
        return list(pool.map(fetch, keys))


def _select(table: Table, files: Sequence[str]) -> str:
    """The table's rows with the contract's columns and types, partition columns as text. A column that older files
    lack is null there."""
    columns = [(column.name, column.type) for column in (*table.columns, *table.partitions)]
    empty = ", ".join(f"cast(null as {_duck_type(type_)}) as {name}" for name, type_ in columns)
    if not files:
        return f"select {empty} where false"
    listed = "[" + ", ".join(_quoted(file) for file in files) + "]"
    partitions = ", ".join(f"{column.name}: varchar" for column in table.partitions)
    hive = f"hive_partitioning = true, hive_types = {{{partitions}}}" if partitions else "hive_partitioning = false"
    if table.format == "parquet":
        rows = f"read_parquet({listed}, union_by_name = true, {hive})"
    else:
        types = ", ".join(f"{column.name}: {_quoted(_duck_type(column.type))}" for column in table.columns)
        rows = f"read_json({listed}, format = 'newline_delimited', columns = {{{types}}}, {hive})"
    typed = ", ".join(f"cast({name} as {_duck_type(type_)}) as {name}" for name, type_ in columns)
    return f"select {typed} from (select {empty} where false union all by name select * from {rows})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _duck_type(hive: str) -> str:
    if hive.startswith("array<"):
        return f"{_duck_type(hive[6:-1])}[]"
    if hive.startswith("map<"):
        return f"map({', '.join(map(_duck_type, hive[4:-1].split(',')))})"
    return _DUCK.get(hive, hive)
