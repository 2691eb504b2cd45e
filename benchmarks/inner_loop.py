"""The inner loop alone: raw objects to pre-aggregated sums on one core, in this process, without Spark; and what it is compared with.

    python -m benchmarks.inner_loop {flowlake|read|split|python|inflate|duckdb|gzip} LAKE

    inflate   inflating only (ISA-L where it is installed, else zlib)
    split     the floor: inflating, and Arrow's CSV reader splitting lines into values
    python    the same as the standard library does it: gzip and bytes.split
    read      flowlake's reader: typed records, every rule checked
    flowlake  the inner loop: reading, summing up by connection, window and reporter, packing for the shuffle
    duckdb    the same in DuckDB on one thread: read_csv, group by the same keys
    gzip      gzip -dc | wc -l

Objects are listed and the hour's book is built before the clock starts, as the job does once for all its workers; and
each contestant has done its work on one object once, so that what a process loads once is loaded. Counting what was
made is off the clock too. Prints JSON: seconds, records, groups, and peak memory of the process in MB.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from benchmarks import floor
from benchmarks.estate import HOUR

Told = dict[str, int]


def objects(lake: str, limit: int | None = None) -> list[str]:
    return sorted(str(path) for path in Path(lake).glob("raw/**/*.log.gz"))[:limit]


class Clock:
    """Wall and processor seconds of this process and of its ended children, but for what is done while it stands."""

    def __init__(self) -> None:
        self._off = [0.0, 0.0]
        self._began = self._now()

    @staticmethod
    def _now() -> list[float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return [time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime]

    @contextmanager
    def stopped(self) -> Iterator[None]:
        before = self._now()
        yield
        self._off = [off + now - then for off, now, then in zip(self._off, self._now(), before, strict=True)]

    def seconds(self) -> list[float]:
        return [now - then - off for now, then, off in zip(self._now(), self._began, self._off, strict=True)]


def inflate(paths: list[str]) -> Told:
    from flowlake.flows.read.inflate import Inflated

    size = 0
    for path in paths:
        with open(path, "rb") as stream:
            source = Inflated(stream)
            while piece := source.read(1 << 18):
                size += len(piece)
    return {"raw_bytes": size}


def split(paths: list[str]) -> Told:
    return {"records": sum(floor.fastest(path) for path in paths)}


def split_python(paths: list[str]) -> Told:
    return {"records": sum(floor.python(path) for path in paths)}


def read(paths: list[str]) -> Told:
    from flowlake.flows.read import read_blocks
    from flowlake.flows.summarise import COLUMNS

    records = 0
    for path in paths:
        with open(path, "rb") as stream:
            records += sum(block.records.num_rows for block in read_blocks(stream, path, columns=COLUMNS))
    return {"records": records}


def flowlake(lake: str) -> Callable[[int | None, Clock], Told]:
    from flowlake.flows import steps
    from flowlake.flows.book import build
    from flowlake.flows.lookup import compile_book
    from flowlake.flows.objects import raw_objects
    from flowlake.flows.observed import observations
    from flowlake.flows.parcels import unpack
    from flowlake.lake.store import open_store

    store = open_store(lake)
    _, rows = observations(store, HOUR, HOUR.moment + timedelta(days=1))
    lookup = compile_book(build(rows, HOUR.starts))
    listed = raw_objects(store, "raw/", HOUR)

    def work(limit: int | None, clock: Clock) -> Told:
        records = groups = size = 0
        for _, kind, payload in steps.gather(listed[:limit], store, lookup, steps.Task(HOUR, 300)):
            with clock.stopped():
                size += len(payload)
                if kind == steps.EVIDENCE:
                    records += sum(unpack(payload)["sources"]["records"].to_pylist())
                elif kind == steps.SUMS:
                    groups += unpack(payload)["sums"].num_rows
        return {"records": records, "groups": groups, "packed_bytes": size}

    return work


def duckdb(paths: list[str]) -> Told:
    from benchmarks.peers_duckdb import connect, read_objects

    db = connect(threads=1)
    source = read_objects(paths, paths[0])
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


def gzip(paths: list[str]) -> Told:
    told = subprocess.run(
        "xargs -0 gzip -dc | wc -l",
        shell=True,
        input="\0".join(paths).encode(),
        capture_output=True,
        check=True,
    )
    return {"lines": int(told.stdout)}


def over(step: Callable[[list[str]], Told]) -> Callable[[str], Callable[[int | None, Clock], Told]]:
    """The step over the lake's objects, listed beforehand."""

    def prepared(lake: str) -> Callable[[int | None, Clock], Told]:
        paths = objects(lake)
        return lambda limit, clock: step(paths[:limit])

    return prepared


CONTESTANTS: dict[str, Callable[[str], Callable[[int | None, Clock], Told]]] = {
    "inflate": over(inflate),
    "split": over(split),
    "python": over(split_python),
    "read": over(read),
    "flowlake": flowlake,
    "duckdb": over(duckdb),
    "gzip": over(gzip),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inner_loop")
    parser.add_argument("contestant", choices=list(CONTESTANTS))
    parser.add_argument("lake")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--objects", type=int, help="no more than so many objects")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    work = CONTESTANTS[options.contestant](options.lake)
    work(1, Clock())
    clock = Clock()
    if options.profile:
        import cProfile
        import pstats

        profile = cProfile.Profile(time.process_time)
        told = profile.runcall(work, options.objects, clock)
        out = io.StringIO()
        pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(35)
        print(out.getvalue())
    else:
        told = work(options.objects, clock)
    seconds, cpu = clock.seconds()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "peak_mb": peak, **told}))


if __name__ == "__main__":
    main()
