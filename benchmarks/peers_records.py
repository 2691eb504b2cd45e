"""A peer: the job's work record by record with dictionaries, as a Lambda that enriches flow logs does.

    python -m benchmarks.peers_records HOUR_FOLDER OUT [--limit RECORDS]

One process, zlib, str.split, a dictionary of address intervals, a dictionary of conversations; the same rules as peers_duckdb.sql.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.estate import HOUR
from benchmarks.peers_duckdb import known_ports

Interval = tuple[int, int, str]


def records(folder: Path, limit: int | None) -> Iterator[dict[str, str]]:
    """The hour's records as dictionaries; with a limit, whole objects of each flow log until there are about so many."""
    seen = 0
    for path in sorted((folder / "lake/raw").glob("**/*.log.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            names = next(stream).split()
            for line in stream:
                seen += 1
                yield dict(zip(names, line.split(), strict=True))
        if limit is not None and seen >= limit:
            return


class Book:
    """Who held an address, asked from a VPC, at a second."""

    def __init__(self, folder: Path) -> None:
        self.interfaces = {
            row["interface_id"]: row for row in pq.read_table(folder / "peers/interfaces.parquet").to_pylist()
        }
        self.held: dict[tuple[str, str], list[Interval]] = {}
        for row in pq.read_table(folder / "peers/addresses.parquet").to_pylist():
            key = row["seen_from_vpc"], row["addr"]
            self.held.setdefault(key, []).append((row["valid_from"], row["valid_to"], row["interface_id"]))
        for intervals in self.held.values():
            intervals.sort()

    def holder(self, vpc: str, address: str, second: int) -> str | None:
        intervals = self.held.get((vpc, address))
        if not intervals:
            return None
        at = bisect_right(intervals, (second, 1 << 62, "")) - 1
        if at >= 0 and intervals[at][0] <= second < intervals[at][1]:
            return intervals[at][2]
        return None


def run(folder: Path, out: Path, limit: int | None, window_seconds: int) -> dict[str, Any]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    book = Book(folder)
    ports = {int(protocol): set(listed) for protocol, listed in known_ports().items()}
    kept: list[tuple[Any, ...]] = []
    reporters: set[str] = set()
    listeners: set[tuple[str, int]] = set()
    raw_bytes = count = 0
    for record in records(folder, limit):
        start = int(record["start"]) if record["start"] != "-" else -1
        if record["log-status"] != "OK" or not HOUR.starts <= start < HOUR.ends:
            continue
        count += 1
        own = record["interface-id"]
        said = book.interfaces[own]
        src, dst = record["srcaddr"], record["dstaddr"]
        sends = record.get("flow-direction", "egress" if src == said["primary_address"] else "ingress") == "egress"
        far = book.holder(said["vpc_id"], dst if sends else src, start)
        src_who, dst_who = (own, far) if sends else (far, own)
        flags = int(record.get("tcp-flags", 0)) & 18
        srcport, dstport = int(record["srcport"]), int(record["dstport"])
        reporters.add(own)
        if flags == 18:
            listeners.add((src_who or src, srcport))
        size = int(record["bytes"])
        raw_bytes += size
        kept.append(
            (
                own, sends, src, dst, src_who, dst_who, srcport, dstport, int(record["protocol"]), record["action"], start, int(record["end"]),
                size, int(record["packets"]), flags,
            )
        )  # fmt: skip
    conversations: dict[tuple[Any, ...], list[Any]] = {}
    other = 0
    for (
        own,
        sends,
        src,
        dst,
        src_who,
        dst_who,
        srcport,
        dstport,
        protocol,
        action,
        start,
        end,
        size,
        packets,
        flags,
    ) in kept:
        counts = not sends or action == "REJECT" or dst_who is None or dst_who not in reporters
        up = _up(flags, src_who or src, dst_who or dst, srcport, dstport, protocol, listeners, ports)
        window = start - start % window_seconds
        client, server, port = (
            ((src, src_who), (dst, dst_who), dstport) if up else ((dst, dst_who), (src, src_who), srcport)
        )
        found = conversations.setdefault(
            (window, protocol, action, *client, *server, port), [0, 0, 0, 0, 0, 1 << 62, 0, set(), set()]
        )
        if not counts:
            other += size
            found[8].add(own)
            continue
        found[0 if up else 1] += size
        found[2 if up else 3] += packets
        found[4] += 1
        found[5], found[6] = min(found[5], start), max(found[6], end)
        found[7].add(own)
    rows = []
    shown = (
        "arn",
        "name",
        "type",
        "subnet_id",
        "vpc_id",
        "account_id",
        "account_name",
        "availability_zone",
        "az_id",
        "region",
        "owner",
        "app",
    )
    for (window, protocol, action, client, client_who, server, server_who, port), found in conversations.items():
        if not found[4]:
            continue
        row = {
            "window_start": window, "protocol": protocol, "action": action, "client_addr": client, "client_interface_id": client_who, "server_addr": server,
            "server_interface_id": server_who, "server_port": port, "uploaded": found[0], "downloaded": found[1], "packets_up": found[2],
            "packets_down": found[3], "records": found[4], "started_at": found[5], "ended_at": found[6], "reporter": sorted(found[7]),
            "also_reported_by": sorted(found[8]),
        }  # fmt: skip
        for end, who in (("client", client_who), ("server", server_who)):
            known = book.interfaces.get(who or "", {})
            row |= {f"{end}_{name}": known.get(name) for name in shown}
        rows.append(row)
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, out / "conversations.parquet", compression="zstd")
    published = sum(row["uploaded"] + row["downloaded"] for row in rows)
    if raw_bytes != published + other:
        raise SystemExit(f"{raw_bytes} bytes read, {published} published, {other} of other reporters")
    return {"records": count, "rows": len(rows), "published_bytes": published}


def _up(
    flags: int,
    src: str,
    dst: str,
    srcport: int,
    dstport: int,
    protocol: int,
    listeners: set[tuple[str, int]],
    ports: dict[int, set[int]],
) -> bool:
    """Whether the source is the client; also where nothing tells."""
    if flags in (2, 18):
        return flags == 2
    src_listens, dst_listens = (src, srcport) in listeners, (dst, dstport) in listeners
    if src_listens == dst_listens:
        known = ports.get(protocol, set())
        src_listens, dst_listens = (0 < port < 1024 or port in known for port in (srcport, dstport))
    return dst_listens or not src_listens


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers_records")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--window-seconds", type=int, default=300)
    options = parser.parse_args()
    print(json.dumps(run(options.folder, options.out, options.limit, options.window_seconds)))


if __name__ == "__main__":
    main()
