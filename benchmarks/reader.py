"""How fast the reader is on one core, beside gzip, inflating alone, splitting alone and DuckDB, in one run.

    python -m benchmarks.reader --records 1000000

The steps take turns, several rounds, and each one's best round counts, so that a busy machine troubles all alike.
Figures are microseconds of processor time a record, and records a second and core.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from flowlake.flows.read import read_blocks
from flowlake.flows.read.formats import FIELD_TYPES, VPC_FIELDS, Format
from flowlake.flows.read.inflate import Inflated
from flowlake.flows.read.objects import whole_lines
from flowlake.flows.read.split import kinds_of, split
from flowlake.flows.read.text import LONGEST_LINE, SPACE

FIELDS = {2: tuple(VPC_FIELDS)[:14], 5: tuple(VPC_FIELDS)[:29]}
# What the enrichment reads of a record.
NEEDED = (
    "interface_id",
    "account_id",
    "vpc_id",
    "subnet_id",
    "srcaddr",
    "dstaddr",
    "pkt_srcaddr",
    "pkt_dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log_status",
    "tcp_flags",
    "flow_direction",
    "traffic_path",
    "pkt_src_aws_service",
    "pkt_dst_aws_service",
)
HOUR_STARTS = 1767225600
INTERFACES = 3000
OUTSIDE = 20_000


def make_log(path: Path, records: int, version: int, seed: int = 1) -> None:
    """A gzip log of one hour: 3,000 interfaces that talk to one another and to 20,000 addresses outside; 1 % NODATA."""
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as log:
        log.write(" ".join(FIELDS[version]).replace("_", "-").encode() + b"\n")
        for begin in range(0, records, 500_000):
            table = _records(min(500_000, records - begin), np.random.default_rng((seed, begin)))
            pacsv.write_csv(
                table.select(FIELDS[version]),
                log,
                pacsv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none"),
            )


def _records(count: int, chance: np.random.Generator) -> pa.Table:
    ids = np.random.default_rng(7)
    codes = [f"{number:017x}" for number in ids.integers(0, 1 << 62, INTERFACES)]
    inside = np.array([f"10.{place >> 8 & 7}.{place & 255}.{place % 250 + 4}" for place in range(INTERFACES)])
    outside = np.array([".".join(map(str, row)) for row in ids.integers(1, 250, (OUTSIDE, 4))])
    interface = chance.integers(0, INTERFACES, count)
    other = np.where(
        chance.random(count) < 0.3,
        outside[chance.integers(0, OUTSIDE, count)],
        inside[chance.integers(0, INTERFACES, count)],
    )
    egress = chance.random(count) < 0.5
    own = inside[interface]
    source, destination = np.where(egress, own, other), np.where(egress, other, own)
    service = chance.choice([443, 80, 5432, 6379, 53, 22], count)
    ephemeral = chance.integers(32768, 61000, count)
    to_service = chance.random(count) < 0.5
    packets = chance.integers(1, 200, count)
    starts = HOUR_STARTS + chance.integers(0, 3540, count)
    services = chance.choice(["-", "-", "-", "-", "S3", "EC2", "AMAZON"], count)
    kinds = {
        "version": np.full(count, "5"),
        "account_id": np.array(["123456789010", "123456789011"])[interface % 2],
        "interface_id": np.array([f"eni-{code}" for code in codes])[interface],
        "vpc_id": np.array([f"vpc-{code}" for code in codes[:12]])[interface % 12],
        "subnet_id": np.array([f"subnet-{code}" for code in codes[:60]])[interface % 60],
        "instance_id": np.array([f"i-{code}" for code in codes])[interface],
        "type": np.full(count, "IPv4"),
        "region": np.full(count, "eu-west-1"),
        "az_id": np.array(["euw1-az1", "euw1-az2", "euw1-az3"])[interface % 3],
        "start": starts.astype(str),
        "end": (starts + chance.integers(1, 60, count)).astype(str),
        "log_status": np.full(count, "OK"),
        "sublocation_type": np.full(count, "-"),
        "sublocation_id": np.full(count, "-"),
    }
    traffic = {
        "srcaddr": source,
        "dstaddr": destination,
        "pkt_srcaddr": source,
        "pkt_dstaddr": destination,
        "srcport": np.where(to_service, ephemeral, service).astype(str),
        "dstport": np.where(to_service, service, ephemeral).astype(str),
        "protocol": chance.choice(["6", "6", "6", "17"], count),
        "packets": packets.astype(str),
        "bytes": (packets * chance.integers(40, 1500, count)).astype(str),
        "action": chance.choice(["ACCEPT"] * 19 + ["REJECT"], count),
        "tcp_flags": chance.choice(["0", "2", "18", "3", "19"], count),
        "pkt_src_aws_service": np.where(egress, "-", services),
        "pkt_dst_aws_service": np.where(egress, services, "-"),
        "flow_direction": np.where(egress, "egress", "ingress"),
        "traffic_path": np.where(egress, chance.choice(["1", "8"], count), "-"),
    }
    silent = chance.random(count) < 0.01
    kinds["log_status"] = np.where(silent, "NODATA", "OK")
    return pa.table({**kinds, **{name: np.where(silent, "-", values) for name, values in traffic.items()}})


def with_gzip(path: Path) -> None:
    subprocess.run(["gzip", "-dc", str(path)], stdout=subprocess.DEVNULL, check=True)


def inflating(path: Path) -> None:
    with path.open("rb") as file:
        content = Inflated(file)
        while content.read(1 << 20):
            pass


def splitting(fields: tuple[str, ...], columns: tuple[str, ...]) -> Callable[[Path], None]:
    """Inflating and splitting into typed columns alone: no checks, no rejects."""
    kinds = kinds_of(Format(fields).column_names, {name: FIELD_TYPES[name] for name in columns})

    def step(path: Path) -> None:
        with path.open("rb") as file:
            content = Inflated(file)
            while content.read(1) not in (b"\n", b""):
                pass
            for block in whole_lines(content, 16 << 20):
                split(block, SPACE, kinds, LONGEST_LINE, tidied=False)

    return step


def reading(columns: tuple[str, ...] | None) -> Callable[[Path], None]:
    def step(path: Path) -> None:
        with path.open("rb") as file:
            for block in read_blocks(file, path.name, columns=columns):
                assert block.rejects.num_rows == 0

    return step


def with_duckdb(fields: tuple[str, ...], columns: tuple[str, ...]) -> Callable[[Path], None]:
    """The same columns with the same types by DuckDB's CSV reader on one thread, handed over as Arrow."""
    import duckdb

    types = {"int": "INTEGER", "bigint": "BIGINT", "string": "VARCHAR"}
    given = ", ".join(f"'{name}': '{types[FIELD_TYPES[name]]}'" for name in fields)
    wanted = ", ".join(f'"{name}"' for name in columns)

    def step(path: Path) -> None:
        with duckdb.connect(config={"threads": 1}) as connection:
            query = (
                f"select {wanted} from read_csv('{path}', delim=' ', header=true, auto_detect=false, quote='', "
                f"escape='', nullstr='-', compression='gzip', columns={{{given}}})"
            )
            for _ in connection.sql(query).to_arrow_reader(65_536):
                pass

    return step


def processor_seconds(step: Callable[[Path], None], path: Path) -> float:
    """Processor time of a step, of this process and of those it started."""

    def used() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))

    before = used()
    step(path)
    return used() - before


def steps(version: int) -> dict[str, Callable[[Path], None]]:
    fields = FIELDS[version]
    needed = tuple(name for name in fields if name in NEEDED)
    return {
        "gzip -dc": with_gzip,
        "inflating": inflating,
        "inflating and splitting, one column": splitting(fields, ("version",)),
        f"flowlake, {len(needed)} needed columns": reading(needed),
        f"flowlake, all {len(fields)} columns": reading(None),
        f"DuckDB, {len(needed)} needed columns": with_duckdb(fields, needed),
        f"DuckDB, all {len(fields)} columns": with_duckdb(fields, fields),
    }


def measure(path: Path, version: int, rounds: int) -> dict[str, float]:
    """Step -> processor seconds, the best of the rounds."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, step in steps(version).items():
            best[name] = min(best.get(name, float("inf")), processor_seconds(step, path))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        for version in FIELDS:
            path = folder / f"v{version}.log.gz"
            make_log(path, options.records, version)
            best = measure(path, version, options.rounds)
            if options.json:
                print(json.dumps({"version": version, "records": options.records, "seconds": best}))
                continue
            print(f"version {version}, {options.records:,} records, {path.stat().st_size / 1e6:.0f} MB gzip")
            for name, seconds in best.items():
                micros = seconds / options.records * 1e6
                print(f"  {name:40} {micros:6.2f} µs a record  {1 / micros:6.2f} million a second and core")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
