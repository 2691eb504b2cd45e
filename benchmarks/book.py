"""The address book of one hour: time to build and compile it, its size as workers get it, look-ups a second, memory.

    python -m benchmarks.book [--intervals 1000000] [--shape one_address|sixteen_addresses|churn] [--seed 1]

Each shape is a lake of its own with so many intervals of addresses, and a process of its own:

    one_address        an interface for each address, seen unchanged by a sweep before the hour and one after it
    sixteen_addresses  16 addresses an interface (EKS nodes with secondary addresses), seen likewise
    churn              interfaces that live for minutes, told by events alone (creation, deletion), addresses used again

The observations are written by the rows that sweeps and events write, and read as the job reads them. A look-up
asks for one random (VPC, address, moment), as attribution does for the far end of a sum; the answers are checked.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from benchmarks.sweep import ACCOUNT, MIX, REGION
from flowlake.inventory.rows import Seen, rows_of
from flowlake.inventory.sweep import ROWS_AN_OBJECT
from flowlake.lake import places
from flowlake.lake.hours import Hour, as_text
from flowlake.lake.observations import ABSENT, COMPLETE, EVENT, SWEEP, Row, to_lines
from flowlake.lake.store import ObjectStore, open_store

HOUR = Hour.parse("2026-01-01T10")
SHAPES = ("one_address", "sixteen_addresses", "churn")
VPCS, SUBNETS, GROUPS, TEAMS = 40, 2000, 300, 40
LOOKUPS = 1_000_000


def address(n: int) -> str:
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def item(n: int, addresses: list[str], where: int) -> dict[str, Any]:
    """Interface n as DescribeNetworkInterfaces tells it, in the VPC of that number."""
    description, type_, requester, owner, attached = MIX[n % len(MIX)]
    attachment = {
        "AttachmentId": f"eni-attach-{n:017x}",
        "InstanceOwnerId": owner,
        "AttachTime": "2025-12-31T00:00:00Z",
    }
    return {
        "NetworkInterfaceId": f"eni-{n:017x}",
        "SubnetId": f"subnet-{where * 50 + n % 50:017x}",
        "VpcId": f"vpc-{where:017x}",
        "AvailabilityZone": f"{REGION}a",
        "AvailabilityZoneId": "euw1-az1",
        "Description": description.format(n=n),
        "OwnerId": ACCOUNT,
        "RequesterId": requester,
        "RequesterManaged": not attached,
        "Status": "in-use",
        "InterfaceType": type_,
        "Groups": [{"GroupId": f"sg-{n % GROUPS:017x}"}],
        "Attachment": {**attachment, **({"InstanceId": f"i-{n:017x}"} if attached else {})},
        "PrivateIpAddresses": [{"PrivateIpAddress": a, "Primary": i == 0} for i, a in enumerate(addresses)],
        "TagSet": [{"Key": "Name", "Value": f"interface-{n}"}, {"Key": "team", "Value": f"team-{n % TEAMS}"}],
    }


def seen(at: datetime, source: str, name: str, began: datetime | None = None, source_id: str | None = None) -> Seen:
    return Seen(at, at, source, name, source_id or f"{name}-{at:%H%M%S}", ACCOUNT, REGION, began)


def write_sweep(store: ObjectStore, items: Iterator[tuple[str, dict[str, Any]]], began: datetime) -> None:
    """Rows, complete rows and marker of one sweep."""
    by = seen(began, SWEEP, "DescribeNetworkInterfaces", began)
    rows = (row for kind, one in items for row in rows_of(kind, one, by))
    keys = write_rows(store, "sweeps", rows, began, f"sweep-{began:%H}")
    done = [by.row(kind, "*", COMPLETE) for kind in ("interface", "vpc")]
    keys += write_rows(store, "sweeps", iter(done), began, f"sweep-{began:%H}-done")
    marker = {
        "started_at": as_text(began),
        "finished_at": as_text(began),
        "kinds": {kind: {"items": 0} for kind in ("interface", "vpc")},
        "objects": keys,
    }
    key = places.sweep_marker(ACCOUNT, REGION, f"{began:%Y%m%dT%H%M%SZ}", "0")
    store.put(key, json.dumps(marker).encode())


def write_rows(store: ObjectStore, origin: str, rows: Iterator[Row], at: datetime, name: str) -> list[str]:
    keys = []
    folder = places.observations(origin, Hour.holding(at.timestamp()))
    while chunk := list(islice(rows, ROWS_AN_OBJECT)):
        keys.append(f"{folder}{name}-{len(keys):05d}.json.gz")
        store.put(keys[-1], to_lines(chunk))
    return keys


def vpcs() -> Iterator[tuple[str, dict[str, Any]]]:
    for where in range(VPCS):
        yield "vpc", {"VpcId": f"vpc-{where:017x}", "OwnerId": ACCOUNT, "CidrBlock": "10.0.0.0/8"}


def held(shape: str, intervals: int) -> Iterator[tuple[int, list[str], int]]:
    """(number, addresses, VPC's number) of each interface that sweeps see."""
    each = 16 if shape == "sixteen_addresses" else 1
    for n in range(intervals // each):
        yield n, [address(n * each + i) for i in range(each)], n % VPCS


def lives(intervals: int) -> Iterator[tuple[int, str, int, int, int]]:
    """(number, address, VPC's number, born, gone) of short lives: seconds of the hour; each address has four holders,
    one after another.
    """
    for n in range(intervals):
        born = (n % 4) * 880 + n % 60
        yield n, address(n // 4), n // 4 % VPCS, born, born + 700 + n % 100


def event_rows(intervals: int) -> Iterator[Row]:
    """CreateNetworkInterface and DeleteNetworkInterface of each life."""
    for n, addr, where, born, gone in lives(intervals):
        came, went = (HOUR.moment + timedelta(seconds=s) for s in (born, gone))
        told = item(n, [addr], where)
        told["Attachment"] = {}
        for row in rows_of("interface", told, seen(came, EVENT, "CreateNetworkInterface", source_id=f"came-{n}")):
            yield {**row, "created_at": row["observed_at"]}
        by = seen(went, EVENT, "DeleteNetworkInterface", source_id=f"went-{n}")
        yield by.row("interface", f"eni-{n:017x}", ABSENT)


def write(store: ObjectStore, shape: str, intervals: int) -> None:
    for began in (HOUR.plus(-1).moment, HOUR.plus(1).moment + timedelta(minutes=30)):
        seen_by_sweep = () if shape == "churn" else (("interface", item(*one)) for one in held(shape, intervals))
        write_sweep(
            store, iter([*vpcs(), *seen_by_sweep] if shape == "churn" else _after(vpcs(), seen_by_sweep)), began
        )
    if shape == "churn":
        write_rows(store, "events", event_rows(intervals), HOUR.moment, "events")


def _after(first: Iterator[Any], then: Any) -> Iterator[Any]:
    yield from first
    yield from then


def questions(shape: str, intervals: int, seed: int, vpc_code: Any) -> tuple[Any, Any, Any, Any, list[int]]:
    """Random (VPC, address, moment) with their true holder's number."""
    import numpy as np

    from flowlake.flows.addresses import parse

    rng = random.Random(seed)
    each = 16 if shape == "sixteen_addresses" else 1
    asked, where, at, truth = [], [], [], []
    for _ in range(LOOKUPS):
        n = rng.randrange(intervals // each)
        if shape == "churn":
            born = (n % 4) * 880 + n % 60
            asked.append(address(n // 4))
            where.append(n // 4 % VPCS)
            at.append(HOUR.starts + born + rng.randrange(61, 600))
        else:
            asked.append(address(n * each + rng.randrange(each)))
            where.append(n % VPCS)
            at.append(HOUR.starts + rng.randrange(3600))
        truth.append(n)
    high, low = parse(asked)
    codes = vpc_code([f"vpc-{n:017x}" for n in range(VPCS)])
    return codes[np.array(where)], high, low, np.array(at, dtype=np.int64), truth


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure(folder: str, shape: str, intervals: int, seed: int) -> dict[str, Any]:
    """The whole way from observations to answers, in this process."""
    from datetime import UTC

    from flowlake.flows.book import build
    from flowlake.flows.hints import hints, merge
    from flowlake.flows.holders import holders
    from flowlake.flows.lives import NO_LIVES
    from flowlake.flows.lookup import compile_book
    from flowlake.flows.networks import Ranges
    from flowlake.flows.observed import observations
    from flowlake.flows.world import Settings, World

    store, now = open_store(folder), datetime(2026, 1, 2, tzinfo=UTC)
    began = peak_mb()
    clock = time.perf_counter()
    rows = sum(1 for _ in observations(store, HOUR, now)[1])
    reading = time.perf_counter() - clock
    clock, cpu = time.perf_counter(), time.process_time()
    book = build(observations(store, HOUR, now)[1], HOUR.starts)
    building, building_cpu = time.perf_counter() - clock, time.process_time() - cpu
    built_mb = peak_mb()
    clock, cpu = time.perf_counter(), time.process_time()
    lookup = compile_book(book)
    compiling, compiling_cpu = time.perf_counter() - clock, time.process_time() - cpu
    broadcast = len(pickle.dumps(lookup, protocol=5))
    world = World(lookup, hints(merge([]), lookup, {}, NO_LIVES, None), Ranges(), Ranges(), Settings())
    vpc, high, low, at, truth = questions(shape, intervals, seed, lookup.vpcs.codes)
    # What is compiled or loaded once a process is before the clock starts.
    holders(world, vpc[:1], high[:1], low[:1], at[:1], at[:1] + 1)
    clock, cpu = time.perf_counter(), time.process_time()
    answer = holders(world, vpc, high, low, at, at + 1)
    looking, looking_cpu = time.perf_counter() - clock, time.process_time() - cpu
    right = sum(
        lookup.interfaces.text(who) == f"eni-{n:017x}" for who, n in zip(answer.who.tolist(), truth, strict=True)
    )
    interfaces = len(lookup.interfaces)
    return {
        "shape": shape,
        "intervals": len(book.claims),
        "interfaces": interfaces,
        "rows": rows,
        "read_seconds": round(reading, 2),
        "read_and_build_seconds": round(building, 2),
        "read_and_build_cpu_seconds": round(building_cpu, 2),
        "read_and_build_us_an_interface": round(building * 1e6 / interfaces, 1),
        "compile_seconds": round(compiling, 2),
        "compile_cpu_seconds": round(compiling_cpu, 2),
        "broadcast_mb": round(broadcast / 1e6, 1),
        "lookups_a_second": round(LOOKUPS / looking),
        "lookups_a_cpu_second": round(LOOKUPS / looking_cpu),
        "answered_rightly": round(right / LOOKUPS, 6),
        "memory_before_mb": began,
        "memory_peak_build_mb": built_mb,
        "memory_kb_an_interface": round((built_mb - began) * 1024 / interfaces, 2),
        "digest": book.digest[:16],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--intervals", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=SHAPES, action="append", help="repeat it; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--in", dest="folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder, options.shape[0], options.intervals, options.seed), indent=2))
        return
    for shape in options.shape or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            write(open_store(folder), shape, options.intervals)
            again = [sys.executable, "-m", "benchmarks.book", "--in", folder, "--shape", shape]
            again += ["--intervals", str(options.intervals), "--seed", str(options.seed)]
            subprocess.run(again, check=True)


if __name__ == "__main__":
    main()
