"""The inner loop alone: raw objects to pre-aggregated sums on one core, in this process, without Spark; and what it is compared with.

    python -m benchmarks.inner_loop {flowlake|read|split|inflate|duckdb|gzip} LAKE

    inflate   inflating only (ISA-L where it is installed, else zlib)
    split     the floor: inflating, and Arrow's CSV reader splitting lines into values
    read      flowlake's reader: typed records, every rule checked
    flowlake  the inner loop: reading, summing up by connection, window and reporter, packing for the shuffle
    duckdb    the same in DuckDB on one thread: read_csv, group by the same keys
    gzip      gzip -dc | wc -l

Prints JSON: seconds, records, groups, and peak memory of the process in MB.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.estate import HOUR


def objects(lake: str) -> list[str]:
    return sorted(str(path) for path in Path(lake).glob("raw/**/*.log.gz"))


def inflate(lake: str) -> dict[str, int]:
    from flowlake.flows.read.inflate import Inflated

    size = 0
    for path in objects(lake):
        with open(path, "rb") as stream:
            source = Inflated(stream)
            while piece := source.read(1 << 18):
                size += len(piece)
    return {"raw_bytes": size}


def split(lake: str) -> dict[str, int]:
    """Values as Arrow splits them: every column is looked for, none is converted but the first."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    from flowlake.flows.read.inflate import Inflated
    from flowlake.flows.read.objects import whole_lines

    records = 0
    for path in objects(lake):
        with open(path, "rb") as stream:
            names: list[str] | None = None
            for data in whole_lines(Inflated(stream), 16 << 20):
                if names is None:
                    header, _, data = data.partition(b"\n")
                    names = header.decode().split(" ")
                table = pacsv.read_csv(
                    pa.BufferReader(data),
                    read_options=pacsv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                    parse_options=pacsv.ParseOptions(
                        delimiter=" ", quote_char=False, double_quote=False, newlines_in_values=False
                    ),
                    convert_options=pacsv.ConvertOptions(include_columns=names[:1]),
                )
                records += table.num_rows
    return {"records": records}


def read(lake: str) -> dict[str, int]:
    from flowlake.flows.read import read_blocks
    from flowlake.flows.summarise import COLUMNS

    records = 0
    for path in objects(lake):
        with open(path, "rb") as stream:
            records += sum(block.records.num_rows for block in read_blocks(stream, path, columns=COLUMNS))
    return {"records": records}


def flowlake(lake: str, limit: int | None = None) -> dict[str, int]:
    from flowlake.flows import steps
    from flowlake.flows.book import build
    from flowlake.flows.lookup import compile_book
    from flowlake.flows.objects import raw_objects
    from flowlake.flows.parcels import unpack
    from flowlake.lake.store import open_store

    store = open_store(lake)
    lookup = compile_book(build([], HOUR.starts))
    listed = raw_objects(store, "raw/", HOUR)[:limit]
    records = groups = size = 0
    for _, kind, payload in steps.gather(listed, store, lookup, steps.Task(HOUR, 300)):
        size += len(payload)
        if kind == steps.EVIDENCE:
            records += sum(unpack(payload)["sources"]["records"].to_pylist())
        elif kind == steps.SUMS:
            groups += unpack(payload)["sums"].num_rows
    return {"records": records, "groups": groups, "packed_bytes": size}


def duckdb(lake: str) -> dict[str, int]:
    from benchmarks.peers_duckdb import connect, read_objects

    db = connect(threads=1)
    first = objects(lake)[0]
    source = read_objects(objects(lake), first)
    db.execute(
        f"""
        create temp table sums as
        select interface_id, srcaddr, dstaddr, srcport, dstport, protocol, action, pkt_srcaddr, pkt_dstaddr, flow_direction, traffic_path,
            pkt_src_aws_service, pkt_dst_aws_service, ("start" - {HOUR.starts}) // 300 as window_number,
            sum(bytes) as bytes, sum(packets) as packets, count(*) as records, min("start") as first_start, max("end") as last_end,
            count(*) filter (tcp_flags & 18 = 2) as opened, max(case when tcp_flags & 18 = 18 then 1 else 0 end) as answered
        from {source}
        where log_status = 'OK' and "start" >= {HOUR.starts} and "start" < {HOUR.ends}
        group by all
        """
    )
    ((groups, records),) = db.execute("select count(*), sum(records) from sums").fetchall()
    return {"records": int(records), "groups": int(groups)}


def gzip(lake: str) -> dict[str, int]:
    told = subprocess.run(
        "xargs -0 gzip -dc | wc -l",
        shell=True,
        input="\0".join(objects(lake)).encode(),
        capture_output=True,
        check=True,
    )
    return {"lines": int(told.stdout)}


MODULES = ("pyarrow.csv", "pyarrow.acero", "flowlake.flows.steps", "benchmarks.peers_duckdb")
"""Imported before the clock starts: the inner loop is measured without the start of the process."""

CONTESTANTS: dict[str, Callable[[str], dict[str, int]]] = {
    "inflate": inflate,
    "split": split,
    "read": read,
    "flowlake": flowlake,
    "duckdb": duckdb,
    "gzip": gzip,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inner_loop")
    parser.add_argument("contestant", choices=list(CONTESTANTS))
    parser.add_argument("lake")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--objects", type=int, help="flowlake only: read no more than so many objects")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for module in MODULES:
        importlib.import_module(module)
    began, cpu = time.perf_counter(), time.process_time()
    if options.profile:
        import cProfile
        import pstats

        profile = cProfile.Profile()
        told = profile.runcall(CONTESTANTS[options.contestant], options.lake)
        out = io.StringIO()
        pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(35)
        print(out.getvalue())
    else:
        told = (
            flowlake(options.lake, options.objects)
            if options.objects
            else CONTESTANTS[options.contestant](options.lake)
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() - cpu + children.ru_utime + children.ru_stime
    print(
        json.dumps(
            {"seconds": round(time.perf_counter() - began, 3), "cpu_seconds": round(cpu, 3), "peak_mb": peak, **told}
        )
    )


if __name__ == "__main__":
    main()
