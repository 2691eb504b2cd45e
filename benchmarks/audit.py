"""What the audit costs beside a plain aggregate: python -m benchmarks.audit [--rows 1000000] [--rounds 3].

Writes so many conversations (random, all good) as a run of four files, then by turns audits it as the job does and asks
Spark SQL for the same: one pass that counts the rows that break each expectation, and one that counts distinct ids.
Prints seconds of each round; the import of Great Expectations, which the job does aside, is told apart.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.flows import audit
from flowlake.flows.audit_rules import PORTED_PROTOCOLS
from flowlake.flows.publish import files_written, new_run_id
from flowlake.flows.schemas import arrow_schema
from flowlake.flows.spark import session
from flowlake.lake import places
from flowlake.lake.contracts import Column, contract
from flowlake.lake.hours import Hour, utc
from flowlake.lake.store import ObjectStore, open_store

HOUR = Hour.parse("2026-01-01T00")
FILES = 4

RULES = {
    "window_is_of_the_hour": f"(unix_timestamp(window_start) - {HOUR.starts}) between 0 and 3599 "
    f"and (unix_timestamp(window_start) - {HOUR.starts}) % 300 = 0",
    "starts_in_its_window": "started_at >= window_start and started_at < window_start + interval 300 seconds",
    "ends_after_it_starts": "ended_at >= started_at",
    "unknown_client_has_no_interface": "client_attribution <> 'none' or client_interface_id is null",
    "unknown_server_has_no_interface": "server_attribution <> 'none' or server_interface_id is null",
    "held_client_has_an_interface": "client_attribution not in ('interval', 'attested', 'assumed') "
    "or client_interface_id is not null",
    "held_server_has_an_interface": "server_attribution not in ('interval', 'attested', 'assumed') "
    "or server_interface_id is not null",
    "path_says_what_it_rests_on": "(path_via is null) = (path_source is null)",
    "port_belongs_to_the_protocol": f"server_port is null or protocol in {PORTED_PROTOCOLS}",
    "zones_compared_were_known": "cross_az is null or coalesce(cross_region, false) or "
    "(coalesce(client_az_id, client_availability_zone) is not null "
    "and coalesce(server_az_id, server_availability_zone) is not null)",
}


def conversations(rows: int, seed: int) -> pa.Table:
    """Random conversations that break nothing, with columns as wide and as repetitive as real ones."""
    random = np.random.default_rng(seed)
    window = HOUR.starts + random.integers(0, 12, rows) * 300
    started = window + random.integers(0, 300, rows)
    given: dict[str, Any] = {
        "window_start": pa.array(window * 1_000_000),
        "started_at": pa.array(started * 1_000_000),
        "ended_at": pa.array((started + random.integers(0, 600, rows)) * 1_000_000),
        "protocol": pa.array(random.choice([6, 17], rows)),
        "conversation_id": pa.array([random.bytes(16).hex() for _ in range(rows)]),
    }
    schema = arrow_schema(contract("conversations"))
    columns = [
        given[column.name].cast(field.type) if column.name in given else _filled(column, field.type, rows, random)
        for column, field in zip(contract("conversations").columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _filled(column: Column, type_: pa.DataType, rows: int, random: np.random.Generator) -> pa.Array:
    texts = [value for value in column.values if value != "none"] or [f"{column.name}-{i}" for i in range(50)]
    if column.name.endswith(("_interface_id", "_addr")):
        texts = [f"{column.name}-{i:017x}" for i in range(5000)]
    if pa.types.is_list(type_):
        flat, offsets = _picked(texts, rows, random), pa.array(np.arange(rows + 1, dtype=np.int32))
        return pa.ListArray.from_arrays(offsets, flat)
    if pa.types.is_map(type_):
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * 3)
        keys = pa.array(["Name", "owner", "app"] * rows)
        return pa.MapArray.from_arrays(offsets, keys, _picked(texts, rows * 3, random))
    if pa.types.is_boolean(type_):
        return pa.array(random.random(rows) > 0.5)
    if pa.types.is_integer(type_):
        return pa.array(random.integers(1, 65_536, rows)).cast(type_)
    return _picked(texts, rows, random)


def _picked(texts: list[str], count: int, random: np.random.Generator) -> pa.Array:
    codes = pa.array(random.integers(0, len(texts), count).astype(np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array(texts)).cast(pa.string())


def write(store: ObjectStore, run_id: str, rows: int) -> str:
    folder = places.run_folder("conversations", HOUR, run_id)
    for number in range(FILES):
        sink = io.BytesIO()
        pq.write_table(conversations(rows // FILES, number), sink, compression="zstd")
        store.put(f"{folder}part-{number}.parquet", sink.getvalue())
    return store.place(folder)


def plain_aggregate(spark: Any, place: str) -> int:
    """Rows that break something, and ids too many, by Spark SQL."""
    about = audit.suite("conversations")
    broken = []
    for expectation in about.of(*audit.KEEPS):
        said, named = expectation["kwargs"], expectation["type"]
        column = said["column"]
        if column in RULES:
            broken.append(f"not ({RULES[column]})")
        elif named == audit.NOT_NULL:
            broken.append(f"{column} is null")
        elif named == audit.IN_SET:
            broken.append(f"{column} not in ({', '.join(map(repr, about.value_set(expectation)))})")
        else:
            broken.append(f"not ({column} between {said['min_value']} and {said.get('max_value', 2**63 - 1)})")
    rows = spark.read.parquet(place)
    sums = rows.selectExpr(*(f"sum(cast({one} as int)) as n{i}" for i, one in enumerate(broken))).first()
    ids = rows.selectExpr("count(*) - count(distinct conversation_id)").first()[0]
    return sum(count or 0 for count in sums) + ids


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    seconds, _ = timed(audit._great_expectations)
    print(f"import of Great Expectations: {seconds:.1f} s")
    spark = session("audit benchmark", cores=2)
    with tempfile.TemporaryDirectory() as folder:
        store, run_id = open_store(folder), new_run_id(utc(HOUR.ends))
        place = write(store, run_id, options.rows)
        for number in range(options.rounds):
            ours, audited = timed(
                partial(audit.audit_run, spark, store, HOUR, run_id, files_written(store, HOUR, run_id))
            )
            theirs, broken = timed(lambda: plain_aggregate(spark, place))
            assert audited.rows["conversations"] == options.rows // FILES * FILES
            assert broken == 0
            print(f"round {number + 1}: audit {ours:.2f} s, plain Spark aggregate {theirs:.2f} s, {ours / theirs:.2f}")
    spark.stop()


if __name__ == "__main__":
    main()
