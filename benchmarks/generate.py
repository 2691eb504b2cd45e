"""Hours of generated flow log objects, as AWS delivers them: any number of records, the same for the same parameters.

    python -m benchmarks.generate --records 1000000 [--format v5|v2] [--book 1000000] [--parts 1]

What is in an hour: connections between interfaces of one VPC and of peered ones, reported at both ends and in both
directions, one record a minute; some last the hour, most a minute or two; who calls whom, and how much, is skewed
as in life (Zipf, log-normal); clients on the internet at public servers; calls to the internet and to AWS services;
about 1 % refused probes; NODATA lines of idle interfaces. Each end has its own phase within the minute, so the two
reports of the same bytes start at different seconds and sometimes in different windows. One object a flow log and
five minutes (--parts cuts each into several). Vectorised with numpy and Arrow; written to a temporary directory
outside the repository and kept there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.estate import HOUR, REGION, SERVERS, VPCS, Estate, estate, write_inventory, write_peer_tables
from benchmarks.estate import ZONES as ESTATE_ZONES

try:
    from isal import isal_zlib as deflater
except ImportError:
    deflater = zlib

VERSION = 5
"""Changed whenever the same parameters would give other content: what is kept of older versions is not used."""

HEADERS = {
    "v2": "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status",
    "v5": "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id subnet-id instance-id "
    "tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path",
}
INGRESS, EGRESS = 0, 1
DIRECTIONS = ("ingress", "egress")
SERVICES = ("-", "S3", "EC2", "DYNAMODB")
PATHS = ("-", "1", "4", "8")
SAME_VPC, PEERING, INTERNET = 1, 2, 3
IDLE_SHARE = 0.04

LONG_SHARE, SHORT_SHARE, INBOUND_SHARE, OUTBOUND_SHARE, REFUSED_SHARE = 0.35, 0.40, 0.14, 0.09, 0.01
"""Of all records. What is left are lone datagrams to the internet, which also fill up each minute to its exact number
of records.
"""

MINUTES_SHORT = np.array([0.60, 0.25, 0.10, 0.05])
"""How many minutes a short connection touches: 1 to 4."""


@dataclass(frozen=True)
class Parameters:
    """What an hour is made from; the same parameters give the same hour. parts: objects a flow log and five minutes."""

    records: int
    format: str = "v5"
    interfaces: int = 2000
    book: int = 0
    book_addresses: int = 1
    parts: int = 1
    seed: int = 1

    @property
    def name(self) -> str:
        digest = hashlib.sha256(json.dumps([VERSION, asdict(self)]).encode()).hexdigest()[:8]
        return f"{self.format}-{self.records}-{digest}"


@dataclass(frozen=True)
class Generated:
    """A generated hour on disk. lake: a folder with raw/ and inventory/; peers: the tables that peers join with."""

    folder: Path
    records: int
    nodata: int
    objects: int
    raw_bytes: int
    gzip_bytes: int
    seconds: float

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def peers(self) -> Path:
        return self.folder / "peers"


def cache() -> Path:
    return Path(os.environ.get("FLOWLAKE_BENCH", Path(tempfile.gettempdir()) / "flowlake-bench"))


def generated(parameters: Parameters, log: Any = None) -> Generated:
    """The hour, made if it is not there yet."""
    folder = cache() / parameters.name
    told = folder / "generated.json"
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if log:
            log(f"generating {parameters.records:,} {parameters.format} records in {folder}")
        began = time.perf_counter()
        place = estate(parameters.interfaces, parameters.book, parameters.book_addresses)
        counts = write_flow_logs(place, parameters, folder / "lake" / "raw")
        write_inventory(place, folder / "lake")
        write_peer_tables(place, folder / "peers")
        told.write_text(json.dumps({**counts, "seconds": round(time.perf_counter() - began, 1)}))
    return Generated(folder, **json.loads(told.read_text()))


# --- connections -----------------------------------------------------------------------------------------------------


@dataclass
class Connections:
    """Connections as parallel arrays. client and server: addresses as rows of the estate's interfaces, then of the
    internet's. since, until: first and last minute. size: bytes a minute from client to server; ratio: how many
    times as much comes back. kind: who reports it.
    """

    client: np.ndarray
    server: np.ndarray
    port: np.ndarray
    protocol: np.ndarray
    ephemeral: np.ndarray
    since: np.ndarray
    until: np.ndarray
    size: np.ndarray
    ratio: np.ndarray

    def __len__(self) -> int:
        return len(self.client)

    def take(self, rows: np.ndarray) -> Connections:
        return Connections(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def and_(self, other: Connections) -> Connections:
        return Connections(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in self.__dataclass_fields__))


class Traffic:
    """Who calls whom, drawn once; connections of each minute drawn from it."""

    def __init__(self, place: Estate, parameters: Parameters) -> None:
        self.place, self.parameters = place, parameters
        rng = np.random.default_rng([parameters.seed, 0])
        first = int(np.count_nonzero(place.born < 0))
        self.first = first
        self.edge_client, self.edge_server, self.edge_chance = _edges(place, first, rng)
        self.fronts = np.flatnonzero(place.public[:first])
        self.front_chance = np.cumsum(_zipf(len(self.fronts), 0.9))
        self.idle = rng.permutation(first)[: int(first * IDLE_SHARE)]
        callers = max(2000, parameters.records // 60)
        self.caller_chance = np.cumsum(_zipf(callers, 0.7))
        self.sites = 3000
        self.site_chance = np.cumsum(_zipf(self.sites, 1.0))
        octets = np.array([3, 13, 18, 34, 44, 52, 54, 73, 81, 92, 104, 128, 151, 185, 203, 212])
        numbers = np.unique(
            octets[rng.integers(0, len(octets), callers + self.sites + 8000)] << 24
            | rng.integers(1 << 8, 1 << 24, callers + self.sites + 8000)
        )
        numbers = rng.permutation(numbers)[: callers + self.sites]
        self.callers_at = len(place)
        self.sites_at = len(place) + callers
        # The first sites, the most called, are AWS services.
        self.service_of_site = np.where(np.arange(self.sites) < 300, rng.integers(1, len(SERVICES), self.sites), 0)
        self.addresses = pa.array(place.address + _dotted(numbers), pa.string())
        self.service = np.concatenate([np.zeros(self.sites_at, np.int8), self.service_of_site.astype(np.int8)])

    def long_lived(self, count: int) -> Connections:
        rng = np.random.default_rng([self.parameters.seed, 1])
        found = self._internal(rng, count, 0)
        found.until[:] = 60
        found.since[:] = -1  # opened before the hour: no handshake is seen
        return found

    def _internal(self, rng: np.random.Generator, count: int, minute: int) -> Connections:
        edge = np.searchsorted(self.edge_chance, rng.random(count) * self.edge_chance[-1])
        client, server = self.edge_client[edge], self.edge_server[edge]
        serves = self.place.serves[server]
        return self._connections(rng, client, server, _PORTS[serves], _PROTOCOLS[serves], minute)

    def _connections(
        self,
        rng: np.random.Generator,
        client: np.ndarray,
        server: np.ndarray,
        port: np.ndarray,
        protocol: np.ndarray,
        minute: int,
    ) -> Connections:
        count = len(client)
        since = np.full(count, minute)
        until = minute + np.searchsorted(np.cumsum(MINUTES_SHORT)[:-1], rng.random(count))
        size = np.maximum(60, rng.lognormal(7.0, 1.8, count)).astype(np.int64)
        ratio = rng.lognormal(0.8, 1.2, count)
        return Connections(client, server, port, protocol, rng.integers(32768, 61000, count), since, until, size, ratio)

    def born(self, minute: int, records: float) -> tuple[Connections, Connections, Connections]:
        """New connections of a minute for so many records a minute: internal, from the internet, to the internet."""
        rng = np.random.default_rng([self.parameters.seed, 2, minute])
        mean = float((MINUTES_SHORT * np.arange(1, 5)).sum())
        internal = self._internal(rng, int(records * SHORT_SHARE / (4 * mean)), minute)
        count = int(records * INBOUND_SHARE / (2 * mean))
        caller = self.callers_at + np.searchsorted(self.caller_chance, rng.random(count) * self.caller_chance[-1])
        front = self.fronts[np.searchsorted(self.front_chance, rng.random(count) * self.front_chance[-1])]
        inbound = self._connections(rng, caller, front, np.full(count, 443), np.full(count, 6), minute)
        count = int(records * OUTBOUND_SHARE / (2 * mean))
        outbound = self._connections(
            rng, self._clients(rng, count), self._sites(rng, count), np.full(count, 443), np.full(count, 6), minute
        )
        return internal, inbound, outbound

    def _clients(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.edge_client[rng.integers(0, len(self.edge_client), count)]

    def _sites(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.sites_at + np.searchsorted(self.site_chance, rng.random(count) * self.site_chance[-1])

    def refused(self, minute: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probes from the internet at public servers: caller, server, port."""
        rng = np.random.default_rng([self.parameters.seed, 3, minute])
        callers = self.callers_at + rng.integers(0, len(self.caller_chance), count)
        return (
            callers,
            self.fronts[rng.integers(0, len(self.fronts), count)],
            rng.choice([22, 23, 3389, 445, 8080, 5900, 1433], count),
        )

    def holder(self, interface: np.ndarray, minute: int) -> np.ndarray:
        """Who has the interface's place in that minute: itself, its successor, or nobody (-1) around the change."""
        place, starts = self.place, minute * 60
        inside = interface < len(place)
        i = np.where(inside, interface, 0)
        after = place.successor[i]
        lives = place.gone[i] >= starts + 130
        follows = (after >= 0) & (place.born[after] <= starts)
        return np.where(~inside | lives, interface, np.where(follows, after, -1))


_PORTS = np.array([s.port for s in SERVERS])
_PROTOCOLS = np.array([s.protocol for s in SERVERS])


def _zipf(count: int, exponent: float) -> np.ndarray:
    return np.arange(1, count + 1) ** -exponent


def _dotted(numbers: np.ndarray) -> list[str]:
    return [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in numbers.tolist()]


def _edges(place: Estate, first: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twenty services that each interface calls, most of them in its own VPC; cumulated chances by edge."""
    clients = np.repeat(np.arange(first), 20)
    servers = np.zeros(len(clients), dtype=np.int64)
    for vpc in VPCS:
        mine = np.flatnonzero(place.vpc[clients] == vpc.number)
        target = np.where(rng.random(len(mine)) < 0.75, vpc.number, rng.choice(vpc.neighbours, len(mine)))
        for number in (vpc.number, *vpc.neighbours):
            there = mine[target == number]
            serving = rng.permutation(np.flatnonzero((place.serves[:first] >= 0) & (place.vpc[:first] == number)))
            weights = np.cumsum(_zipf(len(serving), 0.8))
            servers[there] = serving[np.searchsorted(weights, rng.random(len(there)) * weights[-1])]
    keep = servers != clients
    clients, servers = clients[keep], servers[keep]
    return clients, servers, np.cumsum(rng.permutation(_zipf(len(clients), 0.6)))


# --- records ---------------------------------------------------------------------------------------------------------


@dataclass
class Records:
    """Records of one minute as parallel arrays; src, dst: rows of addresses; reporter: row of the estate."""

    reporter: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    srcport: np.ndarray
    dstport: np.ndarray
    protocol: np.ndarray
    packets: np.ndarray
    bytes: np.ndarray
    flags: np.ndarray
    direction: np.ndarray
    refused: np.ndarray

    @classmethod
    def joined(cls, parts: list[Records]) -> Records:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def take(self, rows: np.ndarray) -> Records:
        return Records(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def _reported(
    traffic: Traffic, found: Connections, minute: int, rng: np.random.Generator, at_client: bool, at_server: bool
) -> Records:
    client, server = traffic.holder(found.client, minute), traffic.holder(found.server, minute)
    alive = (client >= 0) & (server >= 0)
    if not alive.all():
        found, client, server = found.take(alive), client[alive], server[alive]
    size = len(found)
    up = np.maximum(40, found.size * rng.lognormal(0, 0.3, size)).astype(np.int64)
    down = np.maximum(40, up * found.ratio).astype(np.int64)
    tcp = found.protocol == 6
    opens, closes = tcp & (found.since == minute), tcp & (found.until == minute)
    up_flags, down_flags = np.where(opens, 2, 0) | closes, np.where(opens, 18, 0) | closes
    no = np.zeros(size, np.bool_)
    parts = []
    for goes_up, ingress in ((True, False), (True, True), (False, False), (False, True)):
        # Traffic goes in at the server when it goes up, at the client when it comes down.
        reporter_is_server = goes_up == ingress
        if not (at_server if reporter_is_server else at_client):
            continue
        src, dst = (client, server) if goes_up else (server, client)
        ports = (found.ephemeral, found.port) if goes_up else (found.port, found.ephemeral)
        amount = up if goes_up else down
        parts.append(
            Records(
                server if reporter_is_server else client, src, dst, *ports, found.protocol, amount // 900 + 1, amount,
                up_flags if goes_up else down_flags, np.full(size, INGRESS if ingress else EGRESS), no,
            )
        )  # fmt: skip
    return Records.joined(parts)


def _one_way(
    reporter: np.ndarray,
    src: np.ndarray,
    dst: np.ndarray,
    sport: np.ndarray,
    dport: np.ndarray,
    protocol: int,
    flags: int,
    direction: int,
    refused: bool,
) -> Records:
    size = len(src)
    packets = 1 + np.arange(size) % 3
    return Records(
        reporter, src, dst, sport, dport, np.full(size, protocol), packets, packets * 60, np.full(size, flags), np.full(size, direction),
        np.full(size, refused),
    )  # fmt: skip


def minutes(place: Estate, parameters: Parameters, traffic: Traffic) -> Iterator[tuple[int, Records]]:
    """The records of each minute of the hour, in the order of their lines; together exactly as many as the
    parameters say.
    """
    budgets = np.diff(np.round(np.linspace(0, parameters.records, 61)).astype(np.int64))
    a_minute = parameters.records / 60
    long_lived = traffic.long_lived(int(a_minute * LONG_SHARE / (4 * 0.85)))
    alive: list[Connections] | None = None
    for minute in range(60):
        budget = int(budgets[minute])
        rng = np.random.default_rng([parameters.seed, 4, minute])
        born = traffic.born(minute, a_minute * 0.99)
        alive = (
            list(born)
            if alive is None
            else [old.take(old.until >= minute).and_(new) for old, new in zip(alive, born, strict=True)]
        )
        internal, inbound, outbound = alive
        speaking = long_lived.take(np.flatnonzero(rng.random(len(long_lived)) < 0.85))
        parts = [
            _reported(traffic, speaking, minute, rng, True, True),
            _reported(traffic, internal, minute, rng, True, True),
            _reported(traffic, inbound, minute, rng, False, True),
            _reported(traffic, outbound, minute, rng, True, False),
        ]
        caller, front, port = traffic.refused(minute, int(a_minute * REFUSED_SHARE))
        parts.append(_one_way(front, caller, front, rng.integers(32768, 61000, len(front)), port, 6, 2, INGRESS, True))
        lacking = budget - sum(len(part.src) for part in parts)
        if lacking < 0:
            # Too many: calls to the internet go, which only one end reports.
            parts[3] = parts[3].take(np.arange(max(0, len(parts[3].src) + lacking)))
            lacking = budget - sum(len(part.src) for part in parts)
        client = traffic.holder(traffic._clients(rng, 2 * max(lacking, 0)), minute)
        client = client[client >= 0][: max(lacking, 0)]
        parts.append(
            _one_way(
                client,
                client,
                traffic._sites(rng, len(client)),
                rng.integers(32768, 61000, len(client)),
                np.full(len(client), 123),
                17,
                0,
                EGRESS,
                False,
            )
        )
        records = Records.joined(parts)
        if len(records.src) > budget:
            raise AssertionError(f"minute {minute} has {len(records.src)} records, {budget} fit")
        yield minute, records.take(rng.permutation(len(records.src)))


# --- lines -----------------------------------------------------------------------------------------------------------


class Lines:
    """Records as lines: texts that are the same for many records are made once and taken by their number."""

    def __init__(self, place: Estate, traffic: Traffic, format: str) -> None:
        self.place, self.traffic, self.format = place, traffic, format
        version = format.removeprefix("v")
        self.heads = pa.array(
            [f"{version} {VPCS[place.vpc[i]].account_id} {place.interface_id(i)}" for i in range(len(place))]
        )
        placed = [
            f" {VPCS[place.vpc[i]].vpc_id} {place.subnet_id(i)} {place.instance_id(i)}" if format == "v5" else "\n"
            for i in range(len(place))
        ]
        self.actions = pa.array([f"{action} OK{tail}" for action in ("ACCEPT", "REJECT") for tail in placed])
        self.ports = pa.array([str(port) for port in range(65536)])
        self.flags = pa.array([f"{flags} IPv4" for flags in range(32)])
        self.tails = pa.array(
            [
                f"{REGION} {az} - - {src} {dst} {direction} {path}\n"
                for _, az in ESTATE_ZONES
                for src in SERVICES
                for dst in SERVICES
                for direction in DIRECTIONS
                for path in PATHS
            ]
        )
        self._spans_of, self._spans = -1, None
        self.phase = (np.arange(len(place)) * 37) % 60
        self.late = np.where(np.arange(len(place)) % 10 == 0, 10, 0)

    def of(self, r: Records, minute: int, rng: np.random.Generator) -> pa.Buffer:
        """The lines of some records of one minute, as bytes."""
        place = self.place
        starts = minute * 60 + np.minimum(self.phase[r.reporter] + self.late[r.reporter], 59 if minute == 59 else 99)
        lengths = rng.integers(20, 60, len(starts))
        if minute != self._spans_of:
            first = HOUR.starts + minute * 60
            self._spans = pa.array([f"{first + s} {first + s + d}" for s in range(100) for d in range(20, 60)])
            self._spans_of = minute
        take = pc.take
        texts = [
            take(self.heads, pa.array(r.reporter)),
            take(self.traffic.addresses, pa.array(r.src)),
            take(self.traffic.addresses, pa.array(r.dst)),
            take(self.ports, pa.array(r.srcport)),
            take(self.ports, pa.array(r.dstport)),
            take(self.ports, pa.array(r.protocol)),
            pc.cast(pa.array(r.packets), pa.string()),
            pc.cast(pa.array(r.bytes), pa.string()),
            take(self._spans, pa.array((starts - minute * 60) * 40 + lengths - 20)),
            take(self.actions, pa.array(r.refused * len(place) + r.reporter)),
        ]
        if self.format == "v5":
            service = self.traffic.service
            inside_src, inside_dst = r.src < len(place), r.dst < len(place)
            same = place.vpc[np.where(inside_src, r.src, 0)] == place.vpc[np.where(inside_dst, r.dst, 0)]
            path = np.where(
                r.direction == INGRESS,
                0,
                np.where(inside_src & inside_dst, np.where(same, SAME_VPC, PEERING), INTERNET),
            )
            tail = (((place.zone[r.reporter] * 4 + service[r.src]) * 4 + service[r.dst]) * 2 + r.direction) * 4 + path
            texts += [take(self.flags, pa.array(r.flags)), texts[1], texts[2], take(self.tails, pa.array(tail))]
        joined = pc.binary_join_element_wise(*texts, " ")
        return _content(joined)

    def nodata(self, interfaces: np.ndarray, minute: int) -> bytes:
        place, lines = self.place, []
        for i in interfaces.tolist():
            vpc = VPCS[place.vpc[i]]
            start = HOUR.starts + minute * 60 + int(self.phase[i])
            line = f"{self.format.removeprefix('v')} {vpc.account_id} {place.interface_id(i)} - - - - - - - {start} {start + 59} - NODATA"
            if self.format == "v5":
                line += f" {vpc.vpc_id} {place.subnet_id(i)} {place.instance_id(i)} - - - - {REGION} {ESTATE_ZONES[place.zone[i]][1]} - - - - - -"
            lines.append(line + "\n")
        return "".join(lines).encode()


def _content(texts: pa.Array) -> pa.Buffer:
    """The bytes of all texts behind one another."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return texts.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def write_flow_logs(place: Estate, parameters: Parameters, raw: Path) -> dict[str, int]:
    """Writes the hour's objects under raw/AWSLogs/; returns what was written."""
    traffic = Traffic(place, parameters)
    lines = Lines(place, traffic, parameters.format)
    counts = {"records": 0, "nodata": 0, "objects": 0, "raw_bytes": 0, "gzip_bytes": 0}
    objects: dict[tuple[int, int], _Object] = {}
    for minute, records in minutes(place, parameters, traffic):
        if minute % 5 == 0:
            _close(objects, counts)
            objects = {
                (vpc.number, part): _Object(raw, vpc.number, minute, part, parameters)
                for vpc in VPCS
                for part in range(parameters.parts)
            }
        rng = np.random.default_rng([parameters.seed, 5, minute])
        where = place.vpc[records.reporter] * parameters.parts + np.arange(len(records.src)) % parameters.parts
        order = np.argsort(where.astype(np.int16), kind="stable")
        edges = np.searchsorted(where[order], np.arange(len(VPCS) * parameters.parts + 1))
        for number, (begin, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            if end > begin:
                objects[divmod(number, parameters.parts)].write(lines.of(records.take(order[begin:end]), minute, rng))
        idle = traffic.idle
        for vpc in VPCS:
            silent = idle[place.vpc[idle] == vpc.number]
            objects[vpc.number, 0].write(lines.nodata(silent, minute))
            counts["nodata"] += len(silent)
        counts["records"] += len(records.src)
    _close(objects, counts)
    return counts


class _Object:
    """One object under way."""

    def __init__(self, raw: Path, vpc: int, minute: int, part: int, parameters: Parameters) -> None:
        said = VPCS[vpc]
        made = HOUR.moment + timedelta(minutes=minute + 5)
        unique = hashlib.sha256(f"{parameters.name} {vpc} {minute} {part}".encode()).hexdigest()[:8]
        folder = raw / f"AWSLogs/{said.account_id}/vpcflowlogs/{REGION}/{HOUR.moment:%Y/%m/%d}"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (
            folder / f"{said.account_id}_vpcflowlogs_{REGION}_{said.flow_log_id}_{made:%Y%m%dT%H%MZ}_{unique}.log.gz"
        ).open("wb")
        self._gzip = (
            deflater.compressobj(1, wbits=31) if deflater is not zlib else zlib.compressobj(1, zlib.DEFLATED, 31)
        )
        self.raw = self.size = 0
        self.write((HEADERS[parameters.format] + "\n").encode())

    def write(self, data: bytes | pa.Buffer) -> None:
        self.raw += len(data)
        self.size += self._file.write(self._gzip.compress(data))

    def close(self) -> None:
        self.size += self._file.write(self._gzip.flush())
        self._file.close()


def _close(objects: dict[tuple[int, int], _Object], counts: dict[str, int]) -> None:
    for item in objects.values():
        item.close()
        counts["objects"] += 1
        counts["raw_bytes"] += item.raw
        counts["gzip_bytes"] += item.size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--format", choices=list(HEADERS), default="v5")
    parser.add_argument("--interfaces", type=int, default=2000)
    parser.add_argument("--book", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    made = generated(Parameters(**vars(options)), print)
    print(made)
    print(f"{made.records / made.seconds:,.0f} records/s, {made.raw_bytes / made.gzip_bytes:.1f} to 1")


if __name__ == "__main__":
    main()
