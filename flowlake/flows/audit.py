"""The audit of what a run wrote, before anybody can read it: the suites under expectations/, by Great Expectations.

Spark reads the files back. Every expectation is validated on the digest of its table (audit_digest), which has every
value that can decide: what holds of it holds of all rows. Only where something fails are the rows read once more, to
count those that break it and to show some.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module, resources
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.audit_digest import (
    ANY,
    DISTINCT,
    EXTREMES,
    Bucket,
    Condition,
    Digest,
    broken_rows,
    buckets_for,
    digest_file,
    merged,
    promised,
    repeated,
)
from flowlake.flows.audit_rules import RULES, Scope
from flowlake.flows.publish import PUBLISHED, FileWritten
from flowlake.lake.contracts import contract
from flowlake.lake.hours import WINDOW_SECONDS_DEFAULT, Hour
from flowlake.lake.store import ObjectStore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOT_NULL = "expect_column_values_to_not_be_null"
IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
UNIQUE = "expect_column_values_to_be_unique"
KEEPS = {NOT_NULL: ANY, BETWEEN: EXTREMES, IN_SET: DISTINCT}
"""The expectations that the digest can decide, and what it keeps of a column for each."""

_SAYS = {
    NOT_NULL: {"column"},
    UNIQUE: {"column"},
    IN_SET: {"column", "value_set"},
    BETWEEN: {"column", "min_value", "max_value"},
}
"""All that an expectation may say: a word that counting rows knows nothing of would make the two disagree."""

KEYS = {
    "conversations": ("conversation_id",),
    "coverage": ("account_id", "region", "flow_log_id"),
    "rejects": ("object", "line"),
    "address_book": ("subject", "interface_id", "addr", "valid_from"),
}
"""What tells an example's row from the others."""

EXAMPLES = 5
_EXAMPLE_CHARACTERS = 300


class BadSuite(Exception):
    """An expectation suite says what the audit can't do."""


@dataclass(frozen=True)
class Finding:
    """One expectation that does not hold, of how many rows, with some of them."""

    table: str
    expectation: str
    column: str
    reason: str
    unexpected_rows: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = f"{self.table}: {self.expectation}({self.column}) failed on {self.unexpected_rows} rows. {self.reason}"
        return "\n  for example ".join([told, *self.examples])


class AuditFailed(Exception):
    """What a run wrote must not be published. findings says why."""

    def __init__(self, hour: Hour, run_id: str, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join([f"hour {hour}: run {run_id} failed its audit", *map(str, findings)]))
        self.findings = tuple(findings)


@dataclass(frozen=True)
class Audited:
    """A run that passed: rows and evaluated expectations by table, and bytes by leg, as they were read back."""

    rows: Mapping[str, int]
    expectations: Mapping[str, int]
    bytes_by_leg: Mapping[str, int]


@dataclass(frozen=True)
class Repeats:
    """Values that a column has more than once: how many rows have one, and some of the values."""

    rows: int
    some: list[str]


@dataclass(frozen=True)
class Suite:
    """A table's expectations, as their file says them. parameters are the values that contracts and others share."""

    table: str
    expectations: tuple[dict[str, Any], ...]
    parameters: Mapping[str, Any]

    def value_set(self, expectation: Mapping[str, Any]) -> list[Any]:
        said = expectation["kwargs"]["value_set"]
        return list(self.parameters[said["$PARAMETER"]] if isinstance(said, dict) else said)

    def of(self, *types: str) -> tuple[dict[str, Any], ...]:
        return tuple(e for e in self.expectations if e["type"] in types)

    @property
    def keeps(self) -> dict[str, int]:
        """What the digest must keep of each column: the most that one of its expectations asks for."""
        kept: dict[str, int] = {}
        for expectation in self.of(*KEEPS):
            column = expectation["kwargs"]["column"]
            kept[column] = max(kept.get(column, ANY), KEEPS[expectation["type"]])
        return kept


@cache
def suite(table: str) -> Suite:
    """The suite of a table. Raises BadSuite where it has an expectation that the audit can't do, or without reason."""
    file = resources.files("flowlake.flows") / "expectations" / f"{table}.json"
    expectations = tuple(json.loads(file.read_text(encoding="utf-8"))["expectations"])
    parameters: dict[str, Any] = {f"{c.name}_values": list(c.values) for c in contract(table).columns if c.values}
    if table == "rejects":
        reasons = resources.files("flowlake.flows") / "reject_reasons.json"
        parameters["reason_values"] = list(json.loads(reasons.read_text(encoding="utf-8")))
    known = {*contract(table).column_names, *RULES[table]}
    for expectation in expectations:
        named, column = expectation["type"], expectation["kwargs"]["column"]
        if not expectation["kwargs"].keys() <= _SAYS.get(named, set()):
            raise BadSuite(f"expectations/{table}.json: the audit can't do {named} as it is said of {column}")
        if column not in known:
            raise BadSuite(f"expectations/{table}.json: {named} speaks of {column}, which is no column and no rule")
        if not expectation.get("meta", {}).get("reason"):
            raise BadSuite(f"expectations/{table}.json: {named} of {column} has no reason")
    both = {e["kwargs"]["column"] for e in expectations if e["type"] == IN_SET} & {
        e["kwargs"]["column"] for e in expectations if e["type"] == BETWEEN
    }
    if both:  # the digest keeps the distinct values of a column or its limits
        raise BadSuite(f"expectations/{table}.json: {', '.join(sorted(both))} can't have both a set and limits")
    return Suite(table, expectations, parameters)


def import_spark() -> None:
    """Imports what threads that work side by side would else import at the same time: parts of pyspark import one
    another in circles, and a thread that comes upon a half imported one fails.
    """
    for name in ("pandas", "pyspark.sql.functions", "pyspark.sql.pandas.functions"):
        import_module(name)


def prepare() -> None:
    """Begins to import Great Expectations in the background (seconds of work), while Spark starts and does the hour."""
    import_spark()
    threading.Thread(target=_great_expectations, daemon=True).start()


def audit_run(
    spark: SparkSession,
    store: ObjectStore,
    hour: Hour,
    run_id: str,
    written: Mapping[str, Sequence[FileWritten]],
    rows: Mapping[str, int] | None = None,
    window_seconds: int = WINDOW_SECONDS_DEFAULT,
    bytes_by_leg: Mapping[str, int] | None = None,
) -> Audited:
    """Reads back the files that the run wrote, by table, and holds them against the suites, and against the rows and
    bytes by leg that the run says it wrote, where they are given. Raises AuditFailed.
    """
    scope = Scope(hour, window_seconds)
    files = {table: [file.key for file in found] for table, found in written.items()}
    buckets = {table: buckets_for(sum(file.size for file in found)) for table, found in written.items()}
    with ThreadPoolExecutor(1) as aside:  # ids are compared while the digests are made and validated
        repeats = aside.submit(_repeats, spark, store, files, buckets, scope)
        digests = _digests(spark, store, files, scope)
        findings = [*_misshapen(digests), *_miscounted(digests, rows, bytes_by_leg)]
        whole = [table for table in PUBLISHED if digests[table].schemas <= {promised(table)}]
        failing = {table: _failing(suite(table), digests[table]) for table in whole}
        for table, expectations in failing.items():
            unique = suite(table).of(UNIQUE)
            expectations += [e for e in unique if repeats.result()[table][e["kwargs"]["column"]].rows]
    for table, expectations in failing.items():
        if expectations:
            twice = repeats.result()[table]
            findings += _details(spark, store, files[table], suite(table), expectations, twice, scope)
    if findings:
        raise AuditFailed(hour, run_id, findings)
    counted = {table: digest.rows for table, digest in digests.items()}
    evaluated = {table: len(suite(table).expectations) for table in whole}
    return Audited(counted, evaluated, digests["conversations"].bytes_by_leg)


# ---- reading back ----------------------------------------------------------------------------------------------------


def _digests(
    spark: SparkSession, store: ObjectStore, files: Mapping[str, list[str]], scope: Scope
) -> dict[str, Digest]:
    keeps = {table: suite(table).keeps for table in files}
    work = [(table, key) for table, keys in files.items() for key in keys]

    def digest(item: tuple[str, str]) -> tuple[str, Digest]:
        table, key = item
        return table, digest_file(store, key, table, keeps[table], scope)

    parts = defaultdict(list)
    if work:
        for table, part in spark.sparkContext.parallelize(work, len(work)).map(digest).collect():
            parts[table].append(part)
    return {table: merged(parts[table], keeps[table]) for table in files}


def _repeats(
    spark: SparkSession, store: ObjectStore, files: Mapping[str, list[str]], buckets: Mapping[str, int], scope: Scope
) -> dict[str, dict[str, Repeats]]:
    """By table and column that should have each value once: what it has more often."""
    found = {table: {e["kwargs"]["column"]: Repeats(0, []) for e in suite(table).of(UNIQUE)} for table in files}
    whole = [(table, name) for table in files for name in found[table] if files[table]]

    def compare(bucket: Bucket) -> tuple[int, list[str]]:
        return repeated(bucket, store, scope)

    work = [Bucket(t, name, files[t], number, buckets[t]) for t, name in whole for number in range(buckets[t])]
    compared = spark.sparkContext.parallelize(work, len(work)).map(compare).collect() if work else []
    for bucket, (rows, some) in zip(work, compared, strict=True):
        before = found[bucket.table][bucket.column]
        found[bucket.table][bucket.column] = Repeats(before.rows + rows, before.some + some)
    return found


def _misshapen(digests: Mapping[str, Digest]) -> Iterator[Finding]:
    for table, digest in digests.items():
        for schema in digest.schemas - {promised(table)}:
            differ = sorted(set(schema) ^ set(promised(table)))
            columns = sorted({name for name, _ in differ}) or ["their order"]
            reason = "Files must have the columns of the contract, in its order and with its types."
            found = tuple(f"{name} {type_}" for name, type_ in differ if (name, type_) in schema)
            yield Finding(table, "columns", ", ".join(columns), reason, digest.rows, found[:EXAMPLES])


def _miscounted(
    digests: Mapping[str, Digest], rows: Mapping[str, int] | None, bytes_by_leg: Mapping[str, int] | None
) -> Iterator[Finding]:
    for table, digest in digests.items():
        if rows is not None and rows[table] != digest.rows:
            reason = f"The run says that it wrote {rows[table]} rows, {digest.rows} were read back."
            yield Finding(table, "rows", "*", reason, abs(digest.rows - rows[table]))
    there = digests["conversations"].bytes_by_leg
    if bytes_by_leg is None:
        return
    for leg in sorted({*there, *bytes_by_leg}):
        said, read = bytes_by_leg.get(leg, 0), there.get(leg, 0)
        if said != read:
            reason = f"The run says that it published {said} bytes on leg {leg}, {read} were read back."
            yield Finding("conversations", "bytes", leg, reason, 0)


# ---- Great Expectations ----------------------------------------------------------------------------------------------


def _great_expectations() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return import_module("great_expectations")


@cache
def _context() -> Any:
    """Great Expectations without files, telemetry and progress bars; one a process, for it makes a folder each time."""
    context = _great_expectations().get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def _hold(frame: Any, about: Suite, expectations: Iterable[dict[str, Any]]) -> list[bool]:
    """Whether each expectation holds of the frame, in their order."""
    gx = _great_expectations()
    wanted = [{key: e[key] for key in ("type", "kwargs", "meta")} for e in expectations]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = _context().data_sources.add_or_update_pandas("digest")
        definition = source.add_dataframe_asset(about.table).add_batch_definition_whole_dataframe("whole")
        batch = definition.get_batch({"dataframe": frame})
        # The identifier keeps two expectations of one column apart, and results in order.
        for number, expectation in enumerate(wanted):
            expectation["meta"] = expectation["meta"] | {"number": number}
        ours = gx.ExpectationSuite(name=about.table, expectations=wanted)
        result = batch.validate(ours, result_format="BOOLEAN_ONLY", expectation_parameters=dict(about.parameters))
    by_number = {r.expectation_config.meta["number"]: r for r in result.results}
    if sorted(by_number) != list(range(len(wanted))):
        # Great Expectations logs an expectation that it doesn't know and goes on without it.
        raise BadSuite(f"{len(wanted)} expectations of {about.table} were asked for, {len(by_number)} evaluated")
    for r in result.results:
        raised = [m for m in _exceptions(r.exception_info) if m]
        if raised:
            raise BadSuite(f"{r.expectation_config.type} of {about.table} could not be evaluated: {raised[0]}")
    return [bool(by_number[number].success) for number in range(len(wanted))]


def _exceptions(info: Any) -> list[str | None]:
    """Messages of what went wrong inside an expectation: the result has one entry, or one for each metric."""
    if not info:
        return []
    entries = [info] if "raised_exception" in info else list(info.values())
    return [str(e.get("exception_message")) for e in entries if e.get("raised_exception")]


def _failing(about: Suite, digest: Digest) -> list[dict[str, Any]]:
    """The expectations that don't hold of the digest, but for uniqueness."""
    if not digest.rows:
        return []
    expectations = about.of(*KEEPS)
    held = _hold(_as_frame(digest), about, expectations)
    return [expectation for expectation, holds in zip(expectations, held, strict=True) if not holds]


def _as_frame(digest: Digest) -> Any:
    """The digest as a pandas frame of Python values. Shorter columns are filled with what they hold already."""
    import pandas as pd

    columns = {name: values.to_pylist() for name, values in digest.kept.items()}
    longest = max(map(len, columns.values()))
    filled = {name: values + values[-1:] * (longest - len(values)) for name, values in columns.items()}
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in filled.items()})


def _details(
    spark: SparkSession,
    store: ObjectStore,
    keys: list[str],
    about: Suite,
    failing: Sequence[dict[str, Any]],
    twice: Mapping[str, Repeats],
    scope: Scope,
) -> Iterator[Finding]:
    """How many rows break each failing expectation, and which."""
    conditions = [_condition(about, expectation, twice) for expectation in failing]
    table = about.table

    def broken(key: str) -> list[tuple[int, list[dict[str, Any]]]]:
        return broken_rows(store, key, table, conditions, scope, EXAMPLES)

    files = spark.sparkContext.parallelize(keys, len(keys)).map(broken).collect()
    for number, expectation in enumerate(failing):
        named, column = expectation["type"], expectation["kwargs"]["column"]
        count = twice[column].rows if named == UNIQUE else sum(file[number][0] for file in files)
        if not count:
            raise BadSuite(f"{named} of {column} failed on the digest of {table}, but not on its rows")
        rows = [row for file in files for row in file[number][1]][:EXAMPLES]
        yield Finding(table, named, column, expectation["meta"]["reason"], count, tuple(map(_told, rows)))


def _condition(about: Suite, expectation: Mapping[str, Any], twice: Mapping[str, Repeats]) -> Condition:
    """What it means for a row to break the expectation. A null breaks none but the one that forbids it."""
    named, said = expectation["type"], expectation["kwargs"]
    column = said["column"]
    broken: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    if named == NOT_NULL:
        broken = pc.is_null
    elif named == IN_SET:
        broken = partial(_outside, about.value_set(expectation))
    elif named == BETWEEN:
        broken = partial(_beyond, said.get("min_value"), said.get("max_value"))
    else:
        broken = partial(_among, twice[column].some)
    beside = RULES[about.table][column].columns if column in RULES[about.table] else (column,)
    return Condition(column, broken, tuple(dict.fromkeys([*KEYS[about.table], *beside])))


def _outside(allowed: Sequence[Any], values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.and_(pc.is_valid(values), pc.invert(_among(allowed, values)))


def _beyond(least: Any, most: Any, values: pa.ChunkedArray) -> pa.ChunkedArray:
    nothing = pa.scalar(False)
    below = nothing if least is None else pc.less(values, least)
    above = nothing if most is None else pc.greater(values, most)
    return pc.fill_null(pc.or_(below, above), False)


def _among(some: Sequence[Any], values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=pa.array(some, values.type))


def _told(row: Mapping[str, Any]) -> str:
    """A row as JSON: what untrusted text does to a terminal, it does not do escaped."""
    text = json.dumps(row, default=str)
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[:_EXAMPLE_CHARACTERS] + "…"
