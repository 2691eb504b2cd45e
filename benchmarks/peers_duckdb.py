"""A peer: the job's work in DuckDB SQL (peers_duckdb.sql), on all cores, to zstd Parquet, with the same checks.

python -m benchmarks.peers_duckdb HOUR_FOLDER OUT [--window-seconds 300] [--threads N]
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import time
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.estate import HOUR

TYPES = {
    "version": "int", "srcport": "int", "dstport": "int", "protocol": "int", "packets": "bigint", "bytes": "bigint", "start": "bigint", "end": "bigint",
    "tcp-flags": "int", "traffic-path": "int",
}  # fmt: skip
V5_ONLY = {
    "direction": "flow_direction",
    "path": "traffic_path",
    "src_service": "pkt_src_aws_service",
    "dst_service": "pkt_dst_aws_service",
    "flags": "tcp_flags",
}


def connect(threads: int | None = None) -> Any:
    db = duckdb.connect()
    db.execute("set enable_progress_bar = false; set preserve_insertion_order = false; set timezone = 'UTC'")
    if threads:
        db.execute(f"set threads = {threads}")
    return db


def fields_of(path: str) -> list[str]:
    with gzip.open(path, "rt") as stream:
        return stream.readline().split()


def read_objects(paths: list[str], first: str) -> str:
    """A table function over the objects: typed by the first one's header, only the columns that a query names are
    converted.
    """
    columns = ", ".join(f"'{name.replace('-', '_')}': '{TYPES.get(name, 'varchar')}'" for name in fields_of(first))
    listed = ", ".join(f"'{path}'" for path in paths)
    return (
        f"read_csv([{listed}], delim = ' ', header = true, quote = '', escape = '', nullstr = '-', auto_detect = false, compression = 'gzip', "
        f"columns = {{{columns}}}, parallel = true)"
    )


def known_ports() -> dict[str, list[int]]:
    """The same list of well-known ports that flowlake goes by."""
    text = (resources.files("flowlake.flows") / "services.json").read_text(encoding="utf-8")
    found: dict[str, list[int]] = json.loads(text)["ports"]
    return found


def run(folder: Path, out: Path, window_seconds: int, threads: int | None) -> dict[str, Any]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    paths = sorted(str(p) for p in (folder / "lake/raw").glob("**/*.log.gz"))
    v5 = "tcp-flags" in fields_of(paths[0])
    ports = known_ports()
    settings = {
        "hour_starts": str(HOUR.starts), "window_seconds": str(window_seconds), "peers": str(folder / "peers"), "out": str(out),
        "records": read_objects(paths, paths[0]), "tcp_ports": str(tuple(ports["6"])), "udp_ports": str(tuple(ports["17"])),
        **{name: column if v5 else {"flags": "0", "path": "0"}.get(name, "null::varchar") for name, column in V5_ONLY.items()},
    }  # fmt: skip
    text = (Path(__file__).parent / "peers_duckdb.sql").read_text(encoding="utf-8")
    for name in sorted(settings, key=len, reverse=True):
        text = text.replace(f":{name}", settings[name])
    db = connect(threads)
    seconds = {}
    for statement in db.extract_statements(text):
        began = time.perf_counter()
        db.execute(statement)
        name = " ".join(statement.query.split("--")[-1].split("\n", 1)[-1].split()[:5])
        seconds[name] = round(time.perf_counter() - began, 3)
    found = db.execute("from audit")
    audit = dict(zip([column[0] for column in found.description], [int(v) for v in found.fetchall()[0]], strict=True))
    faults = {
        name: audit[name]
        for name in ("nulls", "strange_words", "out_of_range", "out_of_time", "repeated")
        if audit[name]
    }
    if faults or audit["raw_bytes"] != audit["published_bytes"] + audit["other_reporter_bytes"]:
        raise SystemExit(f"the audit failed: {audit}")
    return {"seconds": seconds, **audit}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers_duckdb")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--window-seconds", type=int, default=300)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print(json.dumps(run(options.folder, options.out, options.window_seconds, options.threads)))


if __name__ == "__main__":
    main()
