"""Small worked cases: a few observations and a few flow log lines in, conversations out, without Spark.

The three steps of flowlake.flows.steps run in this process, over a store in memory. Times in log lines and
observations are clock times of the day of the hour ('10:04:30'; '+' before it: of the next day), so that a case can
be read at a glance.

Every run is held to the reconciliation: raw bytes = counted + hop + nat_outside + other_reporter + duplicate, and
what was chosen for a leg is what that leg publishes.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from flowlake.flows import coverage, steps
from flowlake.flows.book import Book, build
from flowlake.flows.endpoints import TagSettings, states_table
from flowlake.flows.hints import Evidence, Hints, Reported, hints, merge
from flowlake.flows.lives import lives
from flowlake.flows.lookup import compile_book
from flowlake.flows.networks import Ranges, aws_ranges, known_networks
from flowlake.flows.objects import RawObject, source_of
from flowlake.flows.observed import Sweeps
from flowlake.flows.parcels import unpack
from flowlake.flows.repeats import repeated_events
from flowlake.flows.world import Settings, World
from flowlake.lake.contracts import contract
from flowlake.lake.hours import Hour
from flowlake.lake.observations import Row, observation

HOUR = Hour.parse("2026-01-01T10")
REASONS = json.loads(files("flowlake.flows").joinpath("reject_reasons.json").read_text("utf-8"))
MIDNIGHT = HOUR.starts - 10 * 3600
ACCOUNT, REGION = "111111111111", "us-east-1"

# Formats, by what they tell. PLAIN is v2 without what the cases don't need.
PLAIN = "interface-id srcaddr dstaddr srcport dstport protocol bytes start end action log-status"
PACKETS = PLAIN + " pkt-srcaddr pkt-dstaddr"
FLAGS = PLAIN + " tcp-flags"
TRANSIT = (
    "resource-type tgw-attachment-id tgw-src-vpc-id tgw-dst-vpc-id srcaddr dstaddr srcport dstport protocol bytes "
    "start end log-status flow-direction"
)

_CLOCK = re.compile(r"(?<![\w:.])(\+?)(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{3}))?)?(?![\w:.])")


def seconds(clock: str) -> int:
    """A clock time of the hour's day as epoch seconds."""
    found = _CLOCK.fullmatch(clock)
    assert found, f"'{clock}' is no clock time"
    plus, hours, minutes, secs = found.group(1), int(found[2]), int(found[3]), int(found[4] or 0)
    return MIDNIGHT + (86400 if plus else 0) + hours * 3600 + minutes * 60 + secs


def ms(clock: str) -> int:
    return seconds(clock) * 1000


def stamp(clock: str) -> str:
    """A clock time as an observation writes it."""
    return (datetime.fromtimestamp(seconds(clock), UTC)).strftime("%Y-%m-%d %H:%M:%S.000")


def lines(format_: str, text: str) -> str:
    """A flow log object: the format as its header line, then the lines with clock times as epoch seconds."""
    body = [
        _CLOCK.sub(lambda m: str(seconds(m[0])), line.strip()) for line in text.strip().splitlines() if line.strip()
    ]
    width = len(format_.split())
    for line in body:
        assert len(line.split()) == width, f"{len(line.split())} values for {width} fields: {line}"
    return "\n".join([format_, *body]) + "\n"


# --- observations ----------------------------------------------------------------------------------------------------

Entity = dict[str, Any]


def eni(
    interface_id: str, address: str, *more: str, vpc: str = "vpc-1", subnet: str = "subnet-1", **other: Any
) -> Entity:
    """An interface with its primary and further addresses."""
    return {
        "kind": "interface",
        "entity_id": interface_id,
        "vpc_id": vpc,
        "subnet_id": subnet,
        "addresses": [address, *more],
        "interface_type": "interface",
        **other,
    }


def vpc(vpc_id: str, *ranges: str) -> Entity:
    return {"kind": "vpc", "entity_id": vpc_id, "cidr_blocks": list(ranges)}


def peering(vpc_id: str, accepter: str) -> Entity:
    detail = {"accepter_vpc_id": accepter, "status": "active"}
    return {"kind": "peering", "entity_id": f"pcx-{vpc_id}-{accepter}", "vpc_id": vpc_id, "detail": detail}


def attached(vpc_id: str, hub: str = "tgw-1") -> Entity:
    """A VPC's attachment to a transit gateway."""
    detail = {"resource_type": "vpc", "resource_id": vpc_id}
    return {
        "kind": "transit_gateway_attachment",
        "entity_id": f"tgw-attach-{vpc_id}",
        "vpc_id": vpc_id,
        "member_of": [hub],
        "detail": detail,
    }


def flow_log(flow_log_id: str, traffic_type: str = "ALL", interval: int = 600) -> Entity:
    detail = {"traffic_type": traffic_type, "max_aggregation_seconds": interval}
    return {"kind": "flow_log", "entity_id": flow_log_id, "detail": detail}


def seen(
    at: str, source: str, entity: Entity, state: str = "present", name: str = "DescribeNetworkInterfaces", **more: Any
) -> Row:
    """One observation of an entity."""
    said = {"account_id": ACCOUNT, "region": REGION, **entity, **more}
    known = source if source in ("event", "sweep") else "sweep"
    return observation(
        observed_at=stamp(at),
        recorded_at=stamp(at),
        source=known,
        source_name=name,
        source_id=f"{source}-{at}",
        state=state,
        **said,
    )


def sweep(
    at: str, *entities: Entity, complete: bool = True, kinds: Sequence[str] = ("interface",), began: str | None = None
) -> list[Row]:
    """What one sweep saw, with the markers of the kinds it listed wholly. It begins and is seen at one moment, unless
    told."""
    rows = [seen(at, "sweep", entity, sweep_started_at=stamp(began or at)) for entity in entities]
    if complete:
        rows += [
            seen(at, "sweep", {"kind": kind, "entity_id": "*"}, "complete", sweep_started_at=stamp(began or at))
            for kind in kinds
        ]
    return rows


def event(at: str, entity: Entity, state: str = "present", name: str = "SomeCall", **more: Any) -> Row:
    return seen(at, "event", entity, state, name, **more)


def gone(at: str, interface_id: str) -> Row:
    """DeleteNetworkInterface."""
    return event(at, {"kind": "interface", "entity_id": interface_id}, "absent", "DeleteNetworkInterface")


def steady(*entities: Entity) -> list[Row]:
    """Entities that two complete sweeps saw, one before the hour and one after it."""
    return [*sweep("09:00", *entities), *sweep("12:00", *entities)]


# --- running a case --------------------------------------------------------------------------------------------------


@dataclass
class Memory:
    """A store in memory: as much of it as the steps use."""

    held: dict[str, bytes] = field(default_factory=dict)

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.held[key])

    def put(self, key: str, data: bytes) -> str:
        self.held[key] = data
        return "etag"


@dataclass
class Answer:
    """What a run gave: conversations (rows), coverage by flow log id, rejects, and what lay behind."""

    rows: list[dict[str, Any]]
    coverage: dict[str, dict[str, Any]]
    rejects: list[dict[str, Any]]
    reconciliation: coverage.Reconciliation
    book: Book
    world: World
    hints: Hints
    evidence: Evidence

    def show(self, *columns: str, **where: Any) -> list[tuple]:
        """These columns of the conversations for which the named columns have the given values, in order of their
        text."""
        wanted = [row for row in self.rows if all(row[name] == value for name, value in where.items())]
        shown = [tuple(row[name] for name in columns) for row in wanted]
        return sorted(shown, key=lambda values: tuple(str(v) for v in values))

    @property
    def fates(self) -> dict[str, int]:
        """Bytes by what became of them, without the zeros."""
        return {fate: amount for fate, amount in self.reconciliation.bytes_by_fate.items() if amount}

    def penalties(self) -> dict[str, int]:
        """What the reporting of each interface lacks."""
        return {name: reported.penalty for name, reported in self.reported().items()}

    def reported(self) -> dict[str, Reported]:
        """How each interface reported: this hour's, to be handed to the next."""
        return self.hints.reported(self.world.lookup)


def key_of(flow_log_id: str, hour: Hour = HOUR, part: int = 0) -> str:
    """The key of an object as AWS names it."""
    made = hour.moment + timedelta(minutes=5 * (part + 1))
    folder = f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{made:%Y/%m/%d}/"
    return f"{folder}{ACCOUNT}_vpcflowlogs_{REGION}_{flow_log_id}_{made:%Y%m%dT%H%MZ}_{part:08x}.log.gz"


Logs = Mapping[str, str | bytes | Sequence[str | bytes]]


def run(
    observations: Iterable[Row],
    logs: Logs,
    *,
    hour: Hour = HOUR,
    window: int = 300,
    provisional: bool = False,
    previous: Mapping[str, Reported] | None = None,
    aws: Sequence[tuple[str, str]] = (),
    networks: str = "",
    together: bool = True,
    slack: int = 60,
) -> Answer:
    """The three steps over these logs (by flow log id: one object's text, or several; bytes are taken as they are).

    together: one worker reads all objects; else each has its own. aws: (prefix, service) pairs.
    """
    store = Memory()
    objects: list[RawObject] = []
    for flow_log_id, held in logs.items():
        parts = [held] if isinstance(held, str | bytes) else held
        for number, part in enumerate(parts):
            key = flow_log_id if "/" in flow_log_id else key_of(flow_log_id, hour, number)
            store.held[key] = part if isinstance(part, bytes) else gzip.compress(part.encode())
            objects.append(RawObject(key, "etag", len(store.held[key]), hour.moment, source_of(key)))
    book = build(list(observations), hour.starts)
    lookup = compile_book(book)
    task = steps.Task(hour, window)
    shares = [objects] if together else [[item] for item in objects]
    repeats = repeated_events(objects, store)  # type: ignore[arg-type]
    parcels = [parcel for share in shares for parcel in steps.gather(share, store, lookup, task, repeats)]  # type: ignore[arg-type]
    evidence = merge(unpack(payload) for _, kind, payload in parcels if kind == steps.EVIDENCE)
    found = hints(evidence, lookup, book.topology.flow_logs, lives(book), previous)
    ranges = aws_ranges({"prefix": prefix, "service": service} for prefix, service in aws) if aws else Ranges()
    world = World(lookup, found, ranges, known_networks(networks), Settings(provisional, slack))
    sums = [payload for _, kind, payload in parcels if kind == steps.SUMS]
    buckets: dict[int, list[bytes]] = {}
    for bucket, _, payload in steps.attribute(sums, world, 4):
        buckets.setdefault(bucket, []).append(payload)
    written = []
    for bucket, payloads in sorted(buckets.items()):
        parcels_of_bucket = [(bucket, payload) for payload in payloads]
        told = steps.converse(parcels_of_bucket, world, states_table(book), TagSettings(), task, store, "out/", bucket)  # type: ignore[arg-type]
        written += [json.loads(payload) for _, _, payload in told]
    counts = steps.merge_counts(part["counts"] for part in written)
    rows = [row for part in written if "key" in part for row in _published(store.held[part["key"]])]
    reconciliation = coverage.reconcile(evidence, counts, [part.get("published", {}) for part in written])
    reconciliation.check()
    _check_rows(rows)
    covered = coverage.table(evidence, counts, Sweeps()).to_pylist()
    rejects = [row for _, kind, p in parcels if kind == steps.REJECTS for row in unpack(p)["rejects"].to_pylist()]
    assert {row["reason"] for row in rejects} <= set(REASONS)  # others the audit would refuse
    by_log = {row["flow_log_id"]: row for row in covered}
    return Answer(rows, by_log, rejects, reconciliation, book, world, found, evidence)


def _published(data: bytes) -> list[dict[str, Any]]:
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    for row in rows:
        for name in ("window_start", "started_at", "ended_at"):
            row[name] = f"{row[name]:%H:%M:%S}"
        for name, value in row.items():
            if isinstance(value, list) and value and isinstance(value[0], tuple):
                row[name] = dict(value)
    return rows


def _check_rows(rows: list[dict[str, Any]]) -> None:
    """What holds for all published rows: one id a row, required columns filled, listed values kept."""
    ids = [row["conversation_id"] for row in rows]
    assert len(set(ids)) == len(ids)
    for column in contract("conversations").columns:
        for row in rows:
            assert not column.required or row[column.name] is not None, f"{column.name} is null"
            if column.values and row[column.name] is not None:
                assert row[column.name] in column.values, f"{column.name} is {row[column.name]}"
