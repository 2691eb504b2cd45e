"""The catalog: which tables there are, and where each partition's rows lie.

AWS has Glue's; a lake in a folder has JSON files under catalog/, with the same face. Readers ask the catalog and never
look into folders, so that what is being written is not seen before its partition points to it.

put_partition is conditional: the caller hands back the version that it saw. The folder catalog keeps this to the
letter. Glue has a conditional create but no conditional update: there the partition is compared just before the update,
and read again after it. What closes the gap between the two is the hour's pointer (moved by If-Match), which every
publisher reads again after it has written a partition: see flowlake.flows.publish.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from flowlake.lake.contracts import Column, Contract
from flowlake.lake.places import CATALOG
from flowlake.lake.store import Conflict, NoSuchObject, ObjectStore, StoreError, open_store

DATABASE = "flowlake"
_GLUE_COMMENT_BYTES = 255
_GLUE_DESCRIPTION_BYTES = 2048
_TRIES = 5
_VALUE = re.compile(r"^[A-Za-z0-9_.-]+$")
_T = TypeVar("_T")


class CatalogError(Exception):
    """The catalog could not do it; the message names what and why."""


class NoSuchTable(CatalogError):
    """The catalog has no such table, or no such database."""


class SchemaConflict(CatalogError):
    """The contract and the table in the catalog can't both be right: schemas grow only by appended nullable columns."""


class CatalogConflict(CatalogError):
    """A conditional write did not hold: the partition is not what the caller saw."""


@dataclass(frozen=True)
class Table:
    """A table as the catalog has it. location is absolute (s3://… or a path) and ends with a slash."""

    name: str
    location: str
    format: str
    columns: tuple[Column, ...]
    partitions: tuple[Column, ...]
    comment: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def projects_partitions(self) -> bool:
        """Whether its partitions are whatever lies at its location: true of tables that are only appended to."""
        return not self.partitions or self.parameters.get("projection.enabled") == "true"


@dataclass(frozen=True)
class Partition:
    """Where one partition's rows lie: a folder (absolute, ends with a slash) and nothing beside it.

    version is opaque: hand it back to put_partition to say what you saw.
    """

    values: tuple[str, ...]
    location: str
    parameters: Mapping[str, str]
    version: str


class Catalog(ABC):
    """What every catalog can do. lake is the store's root; database is the Glue database's name."""

    def __init__(self, lake: str, database: str) -> None:
        self.lake = lake
        self.database = database
        self._known: dict[str, Table] = {}

    @abstractmethod
    def tables(self) -> list[str]:
        """Names of the tables, in alphabetical order; none where nothing was ever published."""

    @abstractmethod
    def table(self, name: str) -> Table:
        """Raises NoSuchTable."""

    @abstractmethod
    def partition(self, table: str, values: Sequence[str]) -> Partition | None:
        """The partition with these values, in the order of the table's partition columns; None where there is none."""

    @abstractmethod
    def partitions(self, table: str, since: str = "", until: str = "") -> list[Partition]:
        """All partitions, by their values; with since and until those whose dt lies from the one to the other, both
        included. Raises NoSuchTable."""

    def ensure_table(self, contract: Contract) -> Table:
        """Makes the table, or grows it to what its contract says. Raises SchemaConflict, naming the columns."""
        wanted = Table(
            contract.table,
            f"{self.lake}/{contract.location}",
            contract.format,
            contract.columns,
            contract.partitions,
            f"{contract.grain} {contract.comment}",
            contract.parameters,
        )
        for _ in range(_TRIES):
            there, version = self._read_table(contract.table)
            if there is not None:
                _check_growth(there, wanted)
            try:
                self._known[contract.table] = self._write_table(wanted, there, version)
            except CatalogConflict:
                continue
            return self._known[contract.table]
        raise CatalogConflict(f"table {contract.table} is being changed by others again and again")

    def put_partition(
        self,
        table: str,
        values: Sequence[str],
        location: str,
        parameters: Mapping[str, str],
        expected: str | None,
    ) -> Partition:
        """Points a partition at a folder, if it still has the version expected (None: if there is none yet).

        Raises CatalogConflict where it has not, NoSuchTable.
        """
        known = self._known_table(table)
        checked = _checked_values(known, values)
        if not location.endswith("/"):
            raise CatalogError(f"partition {'/'.join(checked)} of {table}: '{location}' must end with a slash")
        return self._write_partition(known, checked, location, dict(parameters), expected)

    def _known_table(self, name: str) -> Table:
        """The table as this process last saw it: its partition columns never change."""
        if name not in self._known:
            self._known[name] = self.table(name)
        return self._known[name]

    @abstractmethod
    def _read_table(self, name: str) -> tuple[Table | None, str | None]: ...

    @abstractmethod
    def _write_table(self, wanted: Table, there: Table | None, version: str | None) -> Table: ...

    @abstractmethod
    def _write_partition(
        self, table: Table, values: tuple[str, ...], location: str, parameters: dict[str, str], expected: str | None
    ) -> Partition: ...


def open_catalog(lake: str, database: str = DATABASE, **client_args: Any) -> Catalog:
    """Glue's catalog for a lake at s3://…, JSON files in the lake for one in a folder.

    client_args go to boto3's clients (region_name, endpoint_url, …) and mean nothing to a folder.
    """
    store = open_store(lake, **client_args)
    if store.root.startswith("s3://"):
        return GlueCatalog(store.root, database, **client_args)
    return FolderCatalog(store, database)


def check_place(there: Table, location: str) -> None:
    """Raises SchemaConflict where the catalog's table is not the one at this location, but another lake's."""
    if there.location.rstrip("/") != location.rstrip("/"):
        raise SchemaConflict(
            f"table {there.name} in the catalog lies at {there.location}, this lake's at {location}: "
            "two lakes need two databases"
        )


def _check_growth(there: Table, wanted: Table) -> None:
    check_place(there, wanted.location)
    where = f"table {wanted.name} in the catalog"
    if there.format != wanted.format:
        raise SchemaConflict(f"{where} is {there.format}, the contract says {wanted.format}")
    if _types(there.partitions) != _types(wanted.partitions):
        raise SchemaConflict(f"{where} has other partition columns than its contract: they can't change")
    old, new = _types(there.columns), _types(wanted.columns)
    dropped = [name for name, _ in old if name not in dict(new)]
    if dropped:
        raise SchemaConflict(f"{where} has {', '.join(dropped)}, which the contract lacks: columns are never dropped")
    retyped = [f"{name} ({type_}, not {dict(new)[name]})" for name, type_ in old if dict(new)[name] != type_]
    if retyped:
        raise SchemaConflict(f"{where} has another type for {', '.join(retyped)}: columns are never retyped")
    if new[: len(old)] != old:
        raise SchemaConflict(f"{where} has its columns in another order: new ones are appended at the end")
    required = [column.name for column in wanted.columns[len(old) :] if column.required]
    if required:
        raise SchemaConflict(f"{where} holds rows without {', '.join(required)}: a new column must be nullable")


def _types(columns: Sequence[Column]) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in columns]


def _checked_values(table: Table, values: Sequence[str]) -> tuple[str, ...]:
    names = [column.name for column in table.partitions]
    if isinstance(values, str) or len(values) != len(names):
        raise CatalogError(f"table {table.name} is partitioned by {', '.join(names)}: got {values!r}")
    for name, value in zip(names, values, strict=True):
        if not _VALUE.match(value):
            raise CatalogError(f"table {table.name}: '{value}' is no value for {name}")
    return tuple(values)


def _dt_wanted(table: Table, values: Sequence[str], since: str, until: str) -> bool:
    names = [column.name for column in table.partitions]
    if "dt" not in names:
        return True
    dt = values[names.index("dt")]
    return (not since or dt >= since) and (not until or dt <= until)


# ---- a folder of JSON files ------------------------------------------------------------------------------------------


class FolderCatalog(Catalog):
    """catalog/DATABASE/TABLE/table.json, and one file for each partition beside it.

    Locations within the lake are kept relative to it, so a lake can be moved or copied.
    """

    def __init__(self, store: ObjectStore, database: str = DATABASE) -> None:
        super().__init__(store.root, database)
        self._store = store
        self._home = f"{CATALOG}{database}/"

    def tables(self) -> list[str]:
        folders = self._say(lambda: self._store.folders(self._home))
        names = [folder[len(self._home) : -1] for folder in folders]
        return [name for name in names if self._read_table(name)[0] is not None]

    def table(self, name: str) -> Table:
        there, _ = self._read_table(name)
        if there is None:
            raise NoSuchTable(f"the catalog of {self.lake} has no table {name}")
        return there

    def partition(self, table: str, values: Sequence[str]) -> Partition | None:
        return self._read_partition(self._partition_key(table, _checked_values(self._known_table(table), values)))

    def partitions(self, table: str, since: str = "", until: str = "") -> list[Partition]:
        known = self._known_table(table)
        keys = [info.key for info in self._say(lambda: list(self._store.list(f"{self._home}{table}/partitions/")))]
        found = [p for p in map(self._read_partition, keys) if p and _dt_wanted(known, p.values, since, until)]
        return sorted(found, key=lambda partition: partition.values)

    def _read_table(self, name: str) -> tuple[Table | None, str | None]:
        try:
            data, version = self._say(lambda: self._store.get_with_etag(f"{self._home}{name}/table.json"))
        except NoSuchObject:
            return None, None
        document = self._parsed(data, f"table {name}")
        columns = {part: tuple(_column(entry) for entry in document[part]) for part in ("columns", "partitions")}
        return Table(**(document | columns | {"location": self._absolute(document["location"])})), version

    def _write_table(self, wanted: Table, there: Table | None, version: str | None) -> Table:
        if wanted == there:
            return wanted
        document = asdict(wanted) | {"location": self._relative(wanted.location)}
        key = f"{self._home}{wanted.name}/table.json"
        self._put(key, document, version)
        return wanted

    def _partition_key(self, table: str, values: tuple[str, ...]) -> str:
        return f"{self._home}{table}/partitions/{'/'.join(values)}.json"

    def _read_partition(self, key: str) -> Partition | None:
        try:
            data, version = self._say(lambda: self._store.get_with_etag(key))
        except NoSuchObject:
            return None
        document = self._parsed(data, key)
        location = self._absolute(document["location"])
        return Partition(tuple(document["values"]), location, document["parameters"], version)

    def _write_partition(
        self, table: Table, values: tuple[str, ...], location: str, parameters: dict[str, str], expected: str | None
    ) -> Partition:
        document = {"values": values, "location": self._relative(location), "parameters": parameters}
        version = self._put(self._partition_key(table.name, values), document, expected)
        return Partition(values, location, parameters, version)

    def _put(self, key: str, document: dict[str, Any], expected: str | None) -> str:
        data = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
        try:
            if expected is None:
                return self._say(lambda: self._store.put(key, data, if_none_match=True))
            return self._say(lambda: self._store.put(key, data, if_match=expected))
        except Conflict as conflict:
            raise CatalogConflict(str(conflict)) from conflict

    def _relative(self, location: str) -> str:
        return location.removeprefix(f"{self.lake}/")

    def _absolute(self, location: str) -> str:
        absolute = location.startswith("/") or "://" in location
        return location if absolute else f"{self.lake}/{location}"

    def _parsed(self, data: bytes, what: str) -> dict[str, Any]:
        try:
            return dict(json.loads(data))
        except ValueError as error:
            raise CatalogError(f"the catalog of {self.lake} can't be read: {what} is no JSON document") from error

    def _say(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except (NoSuchObject, Conflict):
            raise
        except StoreError as error:
            raise CatalogError(f"the catalog can't be reached: {error}") from error


def _column(entry: dict[str, Any]) -> Column:
    return Column(**(entry | {"values": tuple(entry.get("values", ()))}))


# ---- Glue's ----------------------------------------------------------------------------------------------------------

_STORAGE = {
    "parquet": {
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            "Parameters": {"serialization.format": "1"},
        },
    },
    # Hive's JSON SerDe, not OpenX's, which turns all keys to lower case: those of the tags, too.
    "json": {
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hive.hcatalog.data.JsonSerDe",
            "Parameters": {"serialization.format": "1"},
        },
    },
}


def storage_descriptor(format_: str, columns: Sequence[Column], location: str) -> dict[str, Any]:
    """What Glue is told of where and how the rows lie. Comments are cut to the 255 bytes that Glue keeps."""
    described = [{"Name": c.name, "Type": c.type, "Comment": _cut(c.comment, _GLUE_COMMENT_BYTES)} for c in columns]
    return {"Columns": described, "Location": location, "Compressed": True, **_STORAGE[format_]}


def table_input(table: Table) -> dict[str, Any]:
    """The table as Glue's CreateTable and UpdateTable take it."""
    return {
        "Name": table.name,
        "Description": _cut(table.comment, _GLUE_DESCRIPTION_BYTES),
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": table.format, **table.parameters},
        "StorageDescriptor": storage_descriptor(table.format, table.columns, table.location),
        "PartitionKeys": [
            {"Name": c.name, "Type": c.type, "Comment": _cut(c.comment, _GLUE_COMMENT_BYTES)} for c in table.partitions
        ],
    }


def _cut(text: str, most_bytes: int) -> str:
    data = text.encode()
    if len(data) <= most_bytes:
        return text
    return data[: most_bytes - 3].decode(errors="ignore") + "…"


class GlueCatalog(Catalog):
    """A database of AWS Glue's catalog, which Athena, Redshift Spectrum, EMR and QuickSight read."""

    def __init__(self, lake: str, database: str = DATABASE, **client_args: Any) -> None:
        super().__init__(lake, database)
        self._client_args = client_args
        self._client: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_client": None}

    def tables(self) -> list[str]:
        try:
            pages = self._pages("get_tables", "TableList")
        except _Missing:
            return []
        return sorted(entry["Name"] for entry in pages)

    def table(self, name: str) -> Table:
        there, _ = self._read_table(name)
        if there is None:
            raise NoSuchTable(f"Glue's database {self.database} has no table {name}")
        return there

    def partition(self, table: str, values: Sequence[str]) -> Partition | None:
        return self._read_partition(table, _checked_values(self._known_table(table), values))

    def partitions(self, table: str, since: str = "", until: str = "") -> list[Partition]:
        known = self._known_table(table)
        bounds = [f"dt >= '{since}'"] * bool(since) + [f"dt <= '{until}'"] * bool(until)
        has_dt = any(column.name == "dt" for column in known.partitions)
        asked = {"Expression": " AND ".join(bounds)} if bounds and has_dt else {}
        entries = self._pages("get_partitions", "Partitions", TableName=table, ExcludeColumnSchema=True, **asked)
        return sorted((_partition(entry) for entry in entries), key=lambda partition: partition.values)

    def _read_table(self, name: str) -> tuple[Table | None, str | None]:
        try:
            entry = self._ask("get_table", Name=name)["Table"]
        except _Missing:
            return None, None
        return _table(entry), entry.get("VersionId")

    def _write_table(self, wanted: Table, there: Table | None, version: str | None) -> Table:
        if there is None:
            self._ensure_database()
            self._ask("create_table", TableInput=table_input(wanted))
            return wanted
        described = table_input(replace(wanted, parameters={**there.parameters, **wanted.parameters}))
        if table_input(there) != described:
            at = {"VersionId": version} if version else {}
            self._ask("update_table", TableInput=described, **at)
        return wanted

    def _read_partition(self, table: str, values: tuple[str, ...]) -> Partition | None:
        try:
            return _partition(self._ask("get_partition", TableName=table, PartitionValues=list(values))["Partition"])
        except _Missing:
            return None

    def _write_partition(
        self, table: Table, values: tuple[str, ...], location: str, parameters: dict[str, str], expected: str | None
    ) -> Partition:
        described = {
            "Values": list(values),
            "StorageDescriptor": storage_descriptor(table.format, table.columns, location),
            "Parameters": parameters,
        }
        where = f"partition {'/'.join(values)} of {table.name}"
        if expected is None:
            self._ask("create_partition", TableName=table.name, PartitionInput=described)
        else:
            there = self._read_partition(table.name, values)
            if there is None or there.version != expected:
                raise CatalogConflict(f"{where} has changed since it was read")
            self._ask(
                "update_partition", TableName=table.name, PartitionValueList=list(values), PartitionInput=described
            )
        written = self._read_partition(table.name, values)
        if written is None or (written.location, dict(written.parameters)) != (location, parameters):
            raise CatalogConflict(f"{where} was changed by another at the same time")
        return written

    def _ensure_database(self) -> None:
        client = self._glue
        described = {"Name": self.database, "Description": "Who talked to whom: made by flowlake."}
        try:
            self._said(partial(client.get_database, Name=self.database))
        except _Missing:
            try:
                self._said(partial(client.create_database, DatabaseInput=described))
            except CatalogConflict:
                return  # another has just made it

    @property
    def _glue(self) -> Any:
        if self._client is None:
            import boto3
            from botocore.config import Config

            config = Config(retries={"mode": "standard", "max_attempts": 8})
            make = partial(boto3.session.Session().client, "glue", config=config, **self._client_args)
            self._client = self._said(make)
        return self._client

    def _ask(self, operation: str, **arguments: Any) -> Any:
        return self._said(partial(getattr(self._glue, operation), DatabaseName=self.database, **arguments))

    def _pages(self, operation: str, of: str, **arguments: Any) -> list[dict[str, Any]]:
        paginator = self._glue.get_paginator(operation)
        asked = partial(paginator.paginate, DatabaseName=self.database, **arguments)
        return self._said(lambda: [entry for page in asked() for entry in page[of]])

    def _said(self, call: Callable[[], _T]) -> _T:
        """Makes the call and says its errors in the catalog's own words."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "EntityNotFoundException":
                raise _Missing(f"Glue's database {self.database}: {error}") from error
            if code in ("AlreadyExistsException", "ConcurrentModificationException", "VersionMismatchException"):
                raise CatalogConflict(f"Glue's database {self.database}: {error}") from error
            raise CatalogError(f"Glue's database {self.database}: {error}") from error
        except BotoCoreError as error:
            raise CatalogError(f"Glue's database {self.database}: {error}") from error


class _Missing(NoSuchTable):
    """Glue's EntityNotFoundException: a database, table or partition that isn't there."""


def _table(entry: dict[str, Any]) -> Table:
    storage = entry["StorageDescriptor"]
    serde = storage.get("SerdeInfo", {}).get("SerializationLibrary", "")
    ours = {"EXTERNAL", "classification"}
    parameters = {k: v for k, v in entry.get("Parameters", {}).items() if k not in ours}
    return Table(
        entry["Name"],
        storage["Location"],
        "parquet" if "parquet" in serde.lower() else "json",
        tuple(Column(c["Name"], c["Type"], c.get("Comment", "")) for c in storage["Columns"]),
        tuple(Column(c["Name"], c["Type"], c.get("Comment", "")) for c in entry.get("PartitionKeys", ())),
        entry.get("Description", ""),
        parameters,
    )


def _partition(entry: dict[str, Any]) -> Partition:
    values, parameters = tuple(entry["Values"]), dict(entry.get("Parameters", {}))
    location = entry["StorageDescriptor"]["Location"]
    meaning = json.dumps([values, location, parameters], sort_keys=True)
    return Partition(values, location, parameters, hashlib.sha256(meaning.encode()).hexdigest())
