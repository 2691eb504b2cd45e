"""The estate that generated hours are of: a few accounts and VPCs with some thousand interfaces, and what the
inventory knows of them.

One tenth of the interfaces that call others are replaced within the hour by another that gets the same address
three minutes later, so a record can't be attributed without its time. Written as observations (two sweeps around
the hour, events within it) for flowlake, and as two ready-made tables for peers: who held which address from when
to when, and what each interface was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.inventory.sweep import ROWS_AN_OBJECT
from flowlake.lake import places
from flowlake.lake.hours import Hour, as_text
from flowlake.lake.observations import EVENT, SWEEP, Row, observation, to_lines

HOUR = Hour.parse("2026-01-01T10")
REGION = "us-east-1"
ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"), ("us-east-1c", "use1-az4"))
TEAMS = (
    "payments",
    "search",
    "orders",
    "catalog",
    "identity",
    "reporting",
    "platform",
    "mobile",
    "fulfilment",
    "growth",
)


@dataclass(frozen=True)
class Vpc:
    """One VPC with one flow log over all of it. Two of them share a range, as in estates that grew; neighbours are
    peered.
    """

    number: int
    vpc_id: str
    account_id: str
    second_octet: int
    neighbours: tuple[int, ...]

    @property
    def flow_log_id(self) -> str:
        return f"fl-{_hex('flow log', self.number)}"


@dataclass(frozen=True)
class Server:
    """What a serving interface listens on; weight says how many call it."""

    port: int
    protocol: int
    weight: int


SERVERS = (Server(443, 6, 30), Server(5432, 6, 20), Server(6379, 6, 15), Server(8080, 6, 15), Server(3306, 6, 10), Server(9092, 6, 7), Server(53, 17, 3))  # fmt: skip

VPCS = tuple(
    Vpc(number, f"vpc-{hashlib.sha256(f'vpc {number}'.encode()).hexdigest()[:17]}", account, octet, neighbours)
    for number, (account, octet, neighbours) in enumerate(
        [
            ("111111111111", 0, (1, 2)),
            ("111111111111", 16, (0,)),
            ("222222222222", 32, (0, 3)),
            ("222222222222", 48, (2,)),
            ("333333333333", 0, (5,)),
            ("333333333333", 64, (4,)),
        ]
    )
)


def _hex(what: str, number: int) -> str:
    return hashlib.sha256(f"{what} {number}".encode()).hexdigest()[:17]


@dataclass
class Estate:
    """Interfaces as parallel arrays. An interface that takes another's address over comes behind all first ones.

    born, gone: seconds of the hour (before 0 and after 3600 for those that lived through it).
    """

    vpc: np.ndarray
    zone: np.ndarray
    address: list[str]
    serves: np.ndarray
    public: np.ndarray
    born: np.ndarray
    gone: np.ndarray
    successor: np.ndarray
    book: int
    book_addresses: int

    def __len__(self) -> int:
        return len(self.vpc)

    def interface_id(self, i: int) -> str:
        return f"eni-{_hex('interface', i)}"

    def instance_id(self, i: int) -> str:
        return f"i-{_hex('instance', i)}"

    def subnet_id(self, i: int) -> str:
        return f"subnet-{_hex('subnet', int(self.vpc[i]) * 3 + int(self.zone[i]))}"

    def tags(self, i: int) -> dict[str, str]:
        team = TEAMS[i % len(TEAMS)]
        return {"Name": f"{team}-{i}", "team": team, "app": f"{team}-{i % 7}", "env": "prod" if i % 3 else "test"}


BEFORE, AFTER = -(10**6), 10**6


def estate(interfaces: int = 2000, book: int = 0, book_addresses: int = 1) -> Estate:
    """interfaces: how many first ones. book: how many further addresses the inventory is padded with, so many to an
    interface, which never talk.
    """
    rng = np.random.default_rng(20260101)
    i = np.arange(interfaces)
    vpc, zone = i % len(VPCS), rng.integers(0, 3, interfaces)
    address = []
    for k in i.tolist():
        host = k // len(VPCS)
        octet = VPCS[vpc[k]].second_octet
        address.append(f"10.{octet}.{int(zone[k]) * 16 + host // 250 % 16}.{host % 250 + 4}")
    kind = np.arange(interfaces) // len(VPCS) % 20
    public = kind == 0
    weights = np.array([s.weight for s in SERVERS]) / sum(s.weight for s in SERVERS)
    serves = np.where(kind < 5, rng.choice(len(SERVERS), interfaces, p=weights), -1)
    serves = np.where(public, 0, serves)
    replaced = np.flatnonzero((serves < 0) & (rng.random(interfaces) < 0.1))
    born, gone = np.full(interfaces, BEFORE), np.full(interfaces, AFTER)
    gone[replaced] = rng.integers(600, 3000, len(replaced))
    successor = np.full(interfaces + len(replaced), -1)
    successor[replaced] = interfaces + np.arange(len(replaced))
    return Estate(
        np.concatenate([vpc, vpc[replaced]]),
        np.concatenate([zone, zone[replaced]]),
        address + [address[k] for k in replaced],
        np.concatenate([serves, serves[replaced]]),
        np.concatenate([public, public[replaced]]),
        np.concatenate([born, gone[replaced] + 180]),
        np.concatenate([gone, np.full(len(replaced), AFTER)]),
        successor,
        book,
        book_addresses,
    )


# --- observations ----------------------------------------------------------------------------------------------------


def write_inventory(place: Estate, lake: Path) -> None:
    """Two complete sweeps of every account, half an hour before the hour and ten minutes behind it, and the events
    between.
    """
    for number, at in enumerate((timedelta(minutes=-30), timedelta(minutes=70))):
        started = HOUR.moment + at
        seconds = at.total_seconds()
        alive = np.flatnonzero((place.born <= seconds) & (place.gone > seconds))
        for account in sorted({v.account_id for v in VPCS}):
            mine = [i for i in alive.tolist() if VPCS[place.vpc[i]].account_id == account]
            _write_sweep(
                lake, account, f"sweep-{number}-{account}", started, _sweep_rows(place, account, mine, number, started)
            )
    recorded: dict[Hour, list[Row]] = {}
    for row in _event_rows(place):
        recorded.setdefault(HOUR, []).append(row)
    for hour, rows in recorded.items():
        _put(lake, places.observations("events", hour) + "events.json.gz", to_lines(rows))


def _write_sweep(lake: Path, account: str, sweep_id: str, started: datetime, rows: Iterator[Row]) -> None:
    finished = started + timedelta(seconds=30)
    keys: list[str] = []
    waiting: list[Row] = []
    kinds: set[str] = set()

    def flush() -> None:
        key = places.observations("sweeps", Hour.holding(started.timestamp())) + f"{sweep_id}-{len(keys):04d}.json.gz"
        _put(lake, key, to_lines(waiting))
        keys.append(key)
        waiting.clear()

    said = {
        "observed_at": finished,
        "recorded_at": finished,
        "source": SWEEP,
        "source_name": "Describe",
        "source_id": sweep_id,
    }
    for row in rows:
        kinds.add(row["kind"])
        waiting.append(row)
        if len(waiting) >= ROWS_AN_OBJECT:
            flush()
    for kind in sorted(kinds):
        waiting.append(
            observation(
                **said,
                state="complete",
                kind=kind,
                account_id=account,
                region=REGION,
                entity_id="*",
                sweep_started_at=started,
            )
        )
    flush()
    times = {"started_at": as_text(started), "finished_at": as_text(finished)}
    marker = {
        "sweep_id": sweep_id, "account_id": account, "region": REGION, **times, "kinds": {kind: {**times, "items": 1} for kind in sorted(kinds)},
        "failures": [], "not_offered": [], "objects": keys,
    }  # fmt: skip
    name = started.strftime("%Y%m%dT%H%M%SZ")
    _put(lake, places.sweep_marker(account, REGION, name, sweep_id), json.dumps(marker).encode())


def _put(lake: Path, key: str, data: bytes) -> None:
    path = lake / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _sweep_rows(place: Estate, account: str, interfaces: list[int], number: int, started: datetime) -> Iterator[Row]:
    seen = started + timedelta(seconds=30)
    said = {
        "observed_at": seen, "recorded_at": seen, "source": SWEEP, "source_name": "Describe", "source_id": f"sweep-{number}-{account}",
        "state": "present", "account_id": account, "region": REGION, "sweep_started_at": started,
    }  # fmt: skip
    yield observation(**said, kind="account", entity_id=account, name=f"account {account[:3]}")
    for vpc in VPCS:
        if vpc.account_id != account:
            continue
        yield observation(**said, kind="vpc", entity_id=vpc.vpc_id, cidr_blocks=[f"10.{vpc.second_octet}.0.0/16"])
        detail = {"resource_id": vpc.vpc_id, "traffic_type": "ALL", "max_aggregation_seconds": 60}
        yield observation(**said, kind="flow_log", entity_id=vpc.flow_log_id, detail=detail)
        routes = [f"10.{vpc.second_octet}.0.0/16 local", f"0.0.0.0/0 igw-{_hex('gateway', vpc.number)}"]
        for other in vpc.neighbours:
            peering = f"pcx-{_hex('peering', min(vpc.number, other) * 10 + max(vpc.number, other))}"
            routes.append(f"10.{VPCS[other].second_octet}.0.0/16 {peering}")
            if vpc.number < other:
                detail = {"accepter_vpc_id": VPCS[other].vpc_id, "status": "active"}
                yield observation(**said, kind="peering", entity_id=peering, vpc_id=vpc.vpc_id, detail=detail)
        yield observation(
            **said,
            kind="route_table",
            entity_id=f"rtb-{_hex('routes', vpc.number)}",
            vpc_id=vpc.vpc_id,
            routes=routes,
            detail={"main": True},
        )
        for zone, (name, az_id) in enumerate(ZONES):
            yield observation(
                **said, kind="subnet", entity_id=f"subnet-{_hex('subnet', vpc.number * 3 + zone)}", vpc_id=vpc.vpc_id, availability_zone=name, az_id=az_id,
                cidr_blocks=[f"10.{vpc.second_octet}.{zone * 16}.0/20"],
            )  # fmt: skip
    for i in interfaces:
        yield observation(**said, **_interface(place, i))
        yield observation(**said, **_instance(place, i))
    share = [vpc for vpc in VPCS if vpc.account_id == account]
    for n in range(place.book // place.book_addresses * len(share) // len(VPCS)):
        vpc, (zone, az_id) = share[n % len(share)], ZONES[n % len(ZONES)]
        yield {
            **{name: as_text(value) if isinstance(value, datetime) else value for name, value in said.items()},
            "kind": "interface", "entity_id": f"eni-{vpc.number:05x}{n:012x}", "vpc_id": vpc.vpc_id, "subnet_id": f"subnet-{_hex('padding', vpc.number * 3 + n % len(ZONES))}",
            "availability_zone": zone, "az_id": az_id, "addresses": padding(n, place.book_addresses), "interface_type": "interface", "attachment_id": f"eni-attach-{n:017x}",
            "instance_id": f"i-{vpc.number:05x}{n:012x}", "instance_owner_id": account, "security_group_ids": [f"sg-{_hex('group', n % 50)}"],
            "tags": {"team": TEAMS[n % len(TEAMS)], "app": f"app-{n % 300}"},
        }  # fmt: skip


def padding(n: int, each: int) -> list[str]:
    """The addresses of a VPC's n-th interface that never talks."""
    return [f"100.{64 + (k >> 16)}.{k >> 8 & 255}.{k & 255}" for k in range(n * each, n * each + each)]


def _interface(place: Estate, i: int) -> Row:
    vpc = VPCS[place.vpc[i]]
    zone, az_id = ZONES[place.zone[i]]
    return {
        "kind": "interface", "entity_id": place.interface_id(i), "vpc_id": vpc.vpc_id, "subnet_id": place.subnet_id(i), "availability_zone": zone, "az_id": az_id,
        "addresses": [place.address[i]], "interface_type": "interface", "attachment_id": f"eni-attach-{_hex('attachment', i)}", "instance_id": place.instance_id(i),
        "instance_owner_id": vpc.account_id, "security_group_ids": [f"sg-{_hex('group', i % 50)}", f"sg-{_hex('group', 50 + i % 7)}"],
    }  # fmt: skip


def _instance(place: Estate, i: int) -> Row:
    arn = f"arn:aws:ec2:{REGION}:{VPCS[place.vpc[i]].account_id}:instance/{place.instance_id(i)}"
    return {
        "kind": "instance",
        "entity_id": place.instance_id(i),
        "arn": arn,
        "vpc_id": VPCS[place.vpc[i]].vpc_id,
        "tags": place.tags(i),
    }


def _event_rows(place: Estate) -> Iterator[Row]:
    """RunInstances and TerminateInstances of the hour."""
    for i in range(len(place)):
        account = VPCS[place.vpc[i]].account_id
        for second, name, state in (
            (place.born[i], "RunInstances", "present"),
            (place.gone[i], "TerminateInstances", "absent"),
        ):
            if not 0 <= second < 3600:
                continue
            at = HOUR.moment + timedelta(seconds=int(second))
            said = {
                "observed_at": at, "recorded_at": at + timedelta(seconds=20), "source": EVENT, "source_name": name, "source_id": f"{name}-{i}",
                "state": state, "account_id": account, "region": REGION,
            }  # fmt: skip
            for columns in (_interface(place, i), _instance(place, i)):
                kept = columns if state == "present" else {n: columns[n] for n in ("kind", "entity_id")}
                yield observation(**said, **kept)


# --- what peers are given --------------------------------------------------------------------------------------------


def write_peer_tables(place: Estate, folder: Path) -> None:
    """addresses.parquet: one row is one interface that held one address, as asked from one VPC (its own or a peered
    one), [valid_from, valid_to) in epoch seconds. interfaces.parquet: one row is one interface with all that is
    shown of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen_from, addr, since, until, holder = [], [], [], [], []
    for i in range(len(place)):
        vpc = VPCS[place.vpc[i]]
        for asked in (vpc.number, *vpc.neighbours):
            seen_from.append(VPCS[asked].vpc_id)
            addr.append(place.address[i])
            since.append(HOUR.starts + int(place.born[i]))
            until.append(HOUR.starts + int(place.gone[i]))
            holder.append(place.interface_id(i))
    for n in range(place.book // place.book_addresses):
        vpc = VPCS[n % len(VPCS)]
        for address in padding(n, place.book_addresses):
            seen_from.append(vpc.vpc_id)
            addr.append(address)
            since.append(HOUR.starts + BEFORE)
            until.append(HOUR.starts + AFTER)
            holder.append(f"eni-{vpc.number:05x}{n:012x}")
    table = {"seen_from_vpc": seen_from, "addr": addr, "valid_from": since, "valid_to": until, "interface_id": holder}
    pq.write_table(pa.table(table), folder / "addresses.parquet")
    rows = []
    for i in range(len(place)):
        said, served, tags = _interface(place, i), _instance(place, i), place.tags(i)
        account = VPCS[place.vpc[i]].account_id
        rows.append(
            {
                "interface_id": said["entity_id"], "arn": served["arn"], "name": tags["Name"], "type": "ec2:instance", "subnet_id": said["subnet_id"],
                "vpc_id": said["vpc_id"], "account_id": account, "account_name": f"account {account[:3]}", "security_group_ids": said["security_group_ids"],
                "availability_zone": said["availability_zone"], "az_id": said["az_id"], "region": REGION, "owner": tags["team"], "app": tags["app"],
                "tags": list(tags.items()), "primary_address": place.address[i],
            }
        )  # fmt: skip
    schema = pa.schema(
        [
            (n, pa.string())
            for n in ("interface_id", "arn", "name", "type", "subnet_id", "vpc_id", "account_id", "account_name")
        ]
        + [("security_group_ids", pa.list_(pa.string()))]
        + [(n, pa.string()) for n in ("availability_zone", "az_id", "region", "owner", "app")]
        + [("tags", pa.map_(pa.string(), pa.string())), ("primary_address", pa.string())]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "interfaces.parquet")
