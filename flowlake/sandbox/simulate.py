"""One simulated organisation, written to disk: flow logs, what the inventory sees, and the truth aside.

OUT/raw/AWSLogs/…        flow logs as AWS delivers them
OUT/inventory/…          observations and sweep markers
OUT/known_networks.csv   networks by name
OUT/truth/…              who it really was (see truth.py), stories.json, summary.json
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.lake.hours import Hour
from flowlake.lake.store import open_store
from flowlake.sandbox import flow_logs, inventory, organisation, services, stories, tables
from flowlake.sandbox.delivery import Deliveries
from flowlake.sandbox.estate import Estate, Sizes
from flowlake.sandbox.identity import Ids
from flowlake.sandbox.inventory import Weather
from flowlake.sandbox.lines import Writer
from flowlake.sandbox.model import FOREVER, OUTSIDE_NAMES, TagChange, Thing
from flowlake.sandbox.sightings import STEP, Habits, Records, covered, look
from flowlake.sandbox.silence import Silence
from flowlake.sandbox.stories import Story
from flowlake.sandbox.tables import SERVICES, Ints, Tables
from flowlake.sandbox.traffic import Connections, Source
from flowlake.sandbox.truth import Truth

BATCH = 20_000
"""Connections worked out at a time."""
SHORT = 600_000
"""Connections shorter than this (ms) are written at once; longer ones step by step."""
SECONDS_AROUND = 600
"""Simulated before the first hour and after the last one."""


class BadSettings(ValueError):
    """Sizes that no estate can have."""


@dataclass(frozen=True)
class Settings:
    """What to simulate. records counts raw records over all hours, about."""

    seed: int = 1
    accounts: int = 3
    regions: int = 2
    zones: int = 3
    interfaces: int = 400
    first_hour: str = "2026-01-01T00"
    hours: int = 1
    records: int = 200_000
    formats: tuple[str, ...] = flow_logs.NAMES
    level: int = 1
    weeks: int = 0
    """Where more than 0: the hours are simulated twice a week for so many weeks, with nothing between them."""
    habits: Habits = field(default_factory=Habits)

    def check(self) -> None:
        """Raises BadSettings, in words for the user."""
        problems = [
            (self.accounts < 2, "an organisation has at least 2 accounts"),
            (self.accounts > 40, "at most 40 accounts have room in the transit gateway's ranges"),
            (self.regions not in (1, 2), "there are 1 or 2 regions"),
            (self.zones not in (2, 3), "there are 2 or 3 zones"),
            (self.interfaces < 1, "interfaces must be at least 1"),
            (self.hours < 1, "hours must be at least 1"),
            (self.hours > 48 and self.weeks > 0, "with weeks, at most 48 hours at a time"),
            (self.records < 1, "records must be at least 1"),
            (not self.formats, "name at least one format"),
            *(
                (name != "parquet" and name not in flow_logs.FORMATS, f"there is no format '{name}'")
                for name in self.formats
            ),
        ]
        for is_one, words in problems:
            if is_one:
                raise BadSettings(words)

    def first_hours(self) -> list[Hour]:
        """The first hour of every stretch."""
        first = Hour.parse(self.first_hour)
        if not self.weeks:
            return [first]
        return [first.plus(24 * day) for week in range(self.weeks) for day in (7 * week, 7 * week + 3)]

    def asked(self) -> list[Hour]:
        """All hours that are simulated whole."""
        return [first.plus(n) for first in self.first_hours() for n in range(self.hours)]

    def sizes(self) -> Sizes:
        around = SECONDS_AROUND * 1000
        spans = tuple(
            (first.starts * 1000 - around, first.plus(self.hours).starts * 1000 + around)
            for first in self.first_hours()
        )
        return Sizes(self.seed, self.accounts, self.regions, self.interfaces, self.records, spans, self.zones)


Progress = Callable[[str], None]


def design(settings: Settings) -> tuple[Estate, list[Story]]:
    """The organisation, all its lives and what is planted in it, without traffic. Raises BadSettings."""
    settings.check()
    sizes = settings.sizes()
    estate = Estate(sizes, Ids(settings.seed))
    organisation.build(estate)
    apps = services.populate(estate)
    planted = stories.plant(estate, apps, len(settings.asked()), settings.weeks)
    flow_logs.build(estate, settings.formats)
    return estate, planted


@dataclass
class Summary:
    """What was written."""

    records: int = 0
    nodata: int = 0
    skipdata: int = 0
    connections: int = 0
    objects: int = 0
    raw_bytes: int = 0
    packed_bytes: int = 0
    interfaces: int = 0
    lives: int = 0
    seconds: float = 0.0
    inventory: dict[str, Any] = field(default_factory=dict)
    records_by_format: dict[str, int] = field(default_factory=dict)


class Emission:
    """Traffic to objects and truth, step by step."""

    def __init__(self, estate: Estate, settings: Settings, out: Path) -> None:
        self.estate, self.settings = estate, settings
        self.tables = tables.build(estate, settings.habits.window_bounds_share)
        self.source = Source(self.tables, estate.edges, settings.seed)
        writers = {name: Writer(self.tables, name) for name in flow_logs.FORMATS}
        self.deliveries = Deliveries(out, writers, settings.seed, settings.habits, settings.level)
        self.truth = Truth(out / "truth", self.tables)
        self.silence = Silence(self.tables, settings.habits, settings.seed)
        self.summary = Summary()
        self._of_format = {
            name: np.array([log.format == name for log in estate.flow_logs]) for name in flow_logs.FORMATS
        }
        self._first_step = self.tables.zero // STEP

    def run(self, progress: Progress) -> None:
        spans = [((a - self.tables.zero) // STEP, (b - self.tables.zero) // STEP) for a, b in self.estate.sizes.spans]
        shares = np.concatenate([[_busy(self.tables.zero, s) for s in range(a, b)] for a, b in spans])
        shares = shares / shares.sum()
        yield_ = self._records_per_connection(spans[0])
        done = 0
        hours_each = self.settings.hours
        for number, (first, last) in enumerate(spans):
            long: list[Connections] = []
            for step in range(first, last):
                want = (self.settings.records - self.summary.records) * shares[done] / shares[done:].sum()
                if done >= 6:
                    yield_ = max(self.summary.records / max(self.summary.connections, 1), 0.1)
                clock = (step - first) * STEP // 1000 - SECONDS_AROUND
                hour = number * hours_each + clock // 3600 if 0 <= clock < 3600 * hours_each else -1
                long = self._step(step, int(want / yield_), last * STEP, hour, clock, long)
                done += 1
                progress(f"{done}/{len(shares)} steps, {self.summary.records:,} records")
            self._drain(last, long)
        self.deliveries.close()
        self.truth.close()

    def _records_per_connection(self, span: tuple[int, int]) -> float:
        middle = (span[0] + span[1]) // 2
        sample = self.source.draw(4_000, middle, 255, middle * STEP, (middle + 1) * STEP, span[1] * STEP, 0)
        records = look(self.tables, sample, self.settings.habits, self.settings.seed)
        return len(covered(self.tables, records)[0]) / 4_000

    def _step(
        self, step: int, count: int, span_ends: int, hour: int, clock: int, long: list[Connections]
    ) -> list[Connections]:
        """One step of traffic; returns the connections that last beyond it. clock: seconds since the first hour."""
        # Volumes that are set by the hour keep away from its edges, which records see to a minute or two only.
        growing = hour >= 0 and 300 <= clock % 3600 < 3000
        within = (step * STEP, (step + 1) * STEP)
        kept = []
        for connections in long:
            self._emit(connections, within)
            alive = connections.ends + 700_000 > within[1]
            if alive.any():
                kept.append(connections.take(alive))
        for batch in range(max(math.ceil(count / BATCH), 1)):
            part = max(min(BATCH, count - batch * BATCH), 0)
            drawn = self.source.draw(part, step, batch, *within, span_ends, hour, growing and batch == 0)
            self.summary.connections += len(drawn)
            self.truth.add_connections(drawn)
            self.truth.add_conversations(drawn)
            short = drawn.ends - drawn.starts < SHORT
            self._emit(drawn.take(short), None)
            lasting = drawn.take(~short)
            if len(lasting):
                self._emit(lasting, (-(1 << 60), within[1]))
                kept.append(lasting)
        self._silences(step)
        self.deliveries.close_before(self._first_step + step + 1)
        self.truth.close_before((self.tables.zero + step * STEP) // 1000 - 3600)
        return [Connections.concatenate(kept)] if kept else []

    def _drain(self, step: int, long: list[Connections]) -> None:
        """The intervals that end after the span."""
        for connections in long:
            self._emit(connections, (step * STEP, 1 << 60))
        for after in range(step, step + 3):
            self._silences(after)

    def _emit(self, batch: Connections, within: tuple[int, int] | None) -> None:
        if not len(batch):
            return
        records = look(self.tables, batch, self.settings.habits, self.settings.seed, within)
        if not len(records):
            return
        self.silence.hear(records)
        rows, logs = covered(self.tables, records)
        written = []
        for name in flow_logs.FORMATS:
            chosen = self._of_format[name][logs]
            if chosen.any():
                written.append(self._write(name, batch, records, rows[chosen], logs[chosen]))
        self.summary.records += len(rows)
        self.truth.add_records(batch, records, *(np.concatenate(columns) for columns in zip(*written, strict=True)))

    def _write(
        self, format_: str, batch: Connections, records: Records, rows: Ints, logs: Ints
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Lines to their objects. Returns rows, flow logs, object and line numbers, in the order of writing."""
        steps = records.step[rows]
        first = int(steps.min())
        place = (logs * 4096 + steps - first).astype(np.int64)
        order = np.argsort(place, kind="stable")
        rows, logs, steps, place = rows[order], logs[order], steps[order], place[order]
        picked = records.take(rows)
        lines = self.deliveries.writers[format_].lines(picked, batch.protocol[picked.connection])
        offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
        text = memoryview(lines.buffers()[2])
        borders = np.flatnonzero(np.diff(place)) + 1
        starts, ends = [0, *borders.tolist()], [*borders.tolist(), len(place)]
        numbers, line = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        for start, end in zip(starts, ends, strict=True):
            log = self.estate.flow_logs[logs[start]]
            piece = text[offsets[start] : offsets[end]]
            number, at = self.deliveries.append(log, self._first_step + int(steps[start]), piece, end - start)
            numbers[start:end] = number
            line[start:end] = np.arange(at, at + end - start)
            name = "parquet" if log.file_format == "parquet" else format_
            counts = self.summary.records_by_format
            counts[name] = counts.get(name, 0) + end - start
        return rows, logs, numbers, line

    def _silences(self, step: int) -> None:
        for interface, start, end, status in self.silence.lines(step):
            for index in self.tables.cover[interface]:
                if index < 0:
                    continue
                log = self.estate.flow_logs[index]
                line = self.deliveries.writers[log.format].silence(
                    self.estate.interfaces[interface], start, end, status
                )
                self.deliveries.append(log, self._first_step + step, line, 1)
                if status == "NODATA":
                    self.summary.nodata += 1
                else:
                    self.summary.skipdata += 1


def _busy(zero: int, step: int) -> float:
    """How busy the organisation is at that time of day: twice as busy at its peak as at night."""
    hour = (zero + step * STEP) / 3_600_000 % 24
    return 1.0 + 0.33 * math.sin((hour - 8) / 24 * 2 * math.pi)


def simulate(
    out: Path, settings: Settings, weather: Weather | None = None, progress: Progress = lambda _: None
) -> Summary:
    """Writes the estate, its flow logs and the truth under out, and with weather what its inventory sees.

    The same settings give the same text.
    """
    began = time.monotonic()
    estate, planted = design(settings)
    progress(f"{len(estate.interfaces):,} interfaces in {len(estate.vpcs)} VPCs")
    out.mkdir(parents=True, exist_ok=True)
    emission = Emission(estate, settings, out)
    emission.run(progress)
    write_world(out, emission)
    stories.tell(estate, planted, out / "truth", [str(hour) for hour in settings.asked()])
    summary = emission.summary
    summary.objects = len(emission.deliveries.done)
    summary.raw_bytes = sum(o.raw_bytes for o in emission.deliveries.done)
    summary.packed_bytes = sum(o.packed_bytes for o in emission.deliveries.done)
    summary.interfaces = len(estate.interfaces)
    summary.lives = len(emission.tables.endpoint_interface)
    if weather is not None:
        progress("events and sweeps")
        _see(estate, out, weather, summary)
    summary.seconds = round(time.monotonic() - began, 1)
    (out / "truth" / "summary.json").write_text(json.dumps(_told(settings, summary), indent=1) + "\n", encoding="utf-8")
    return summary


def inventory_only(out: Path, settings: Settings, weather: Weather) -> Summary:
    """Writes what the inventory of the same organisation sees through other weather; its flow logs are as they are."""
    began = time.monotonic()
    estate, _ = design(settings)
    out.mkdir(parents=True, exist_ok=True)
    summary = Summary(interfaces=len(estate.interfaces))
    _see(estate, out, weather, summary)
    summary.seconds = round(time.monotonic() - began, 1)
    return summary


def _see(estate: Estate, out: Path, weather: Weather, summary: Summary) -> None:
    delivered = inventory.write(estate, open_store(str(out)), weather)
    write_sights(out, delivered)
    summary.inventory = asdict(replace(delivered, sights={}))
    summary.inventory.pop("sights")


def summary_of(summary: Summary) -> dict[str, Any]:
    """The summary as JSON takes it."""
    return asdict(summary)


def _told(settings: Settings, summary: Summary) -> dict[str, Any]:
    """What was asked and what came of it, without what differs from run to run."""
    told = summary_of(summary)
    for name in ("seconds", "packed_bytes"):
        told.pop(name)
    return {"settings": asdict(settings), "summary": told, "hours": [str(hour) for hour in settings.asked()]}


def write_world(out: Path, emission: Emission) -> None:
    """What the numbers in the truth stand for, and the files a user would bring."""
    estate, table = emission.estate, emission.tables
    truth = out / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            **tables.describe_interface(i),
            "interface": i.index,
            "created": i.created,
            "deleted": None if i.deleted >= 1 << 60 else i.deleted,
            "public_address": i.public_address,
            "logged": bool(table.cover[i.index, 0] >= 0),
            "window_seconds": int(table.interface_window[i.index] // 1000),
        }
        for i in estate.interfaces
    ]
    pq.write_table(pa.Table.from_pylist(rows), truth / "interfaces.parquet", compression="zstd")
    pq.write_table(_endpoints(table), truth / "endpoints.parquet", compression="zstd")
    objects = [
        {
            "object": o.number, "key": f"raw/{o.key}", "flow_log_id": o.log.id, "account_id": o.log.account.id,
            "lines": o.lines, "readable_lines": o.lines if o.readable_lines is None else o.readable_lines,
            "delivered_at": o.delivered_at, "delivered_again_at": o.delivered_again_at,
            "path": str(o.path.relative_to(out)),
        }
        for o in sorted(emission.deliveries.done, key=lambda o: o.number)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(objects), truth / "objects.parquet", compression="zstd")
    pq.write_table(pa.Table.from_pylist(_tags(estate), TAGS), truth / "tags.parquet", compression="zstd")
    networks = "".join(f"{cidr},{name}\n" for cidr, name in estate.known_networks)
    (out / "known_networks.csv").write_text("cidr,name\n" + networks, encoding="utf-8")
    edges = [
        {"edge": n, "name": e.name, "client": e.client, "server": e.server, "port": e.port, "story": e.story}
        for n, e in enumerate(estate.edges)
    ]
    (truth / "edges.json").write_text(json.dumps(edges, indent=1), encoding="utf-8")


TAGS = pa.schema(
    [("entity", pa.string()), ("since", pa.int64()), ("until", pa.int64()), ("tags", pa.map_(pa.string(), pa.string()))]
)


def _tags(estate: Estate) -> list[dict[str, Any]]:
    """One row a thing (by the ARN that an interface's arns name) and stretch of time in which it had these tags."""
    changes: dict[str, list[TagChange]] = {}
    for change in sorted(estate.tag_changes, key=lambda change: change.at):
        changes.setdefault(change.entity, []).append(change)
    rows = []
    for thing in estate.things:
        since, tags = thing.created, thing.tags
        for change in changes.get(thing.id, []):
            rows.append(_tag_row(thing, since, change.at, tags))
            since, tags = change.at, change.tags
        if tags:
            rows.append(_tag_row(thing, since, min(thing.deleted, FOREVER), tags))
    return rows


_IDS_AS_ARNS = {
    "instance": ("ec2", "instance/"), "nat_gateway": ("ec2", "natgateway/"),
    "transit_gateway_attachment": ("ec2", "transit-gateway-attachment/"), "vpc_endpoint": ("ec2", "vpc-endpoint/"),
    "file_system": ("elasticfilesystem", "file-system/"),
}  # fmt: skip


def _tag_row(thing: Thing, since: int, until: int, tags: dict[str, str]) -> dict[str, Any]:
    entity = thing.id
    if thing.kind in _IDS_AS_ARNS:
        service, path = _IDS_AS_ARNS[thing.kind]
        entity = f"arn:aws:{service}:{thing.region}:{thing.account.id}:{path}{thing.id}"
    return {
        "entity": entity,
        "since": since,
        "until": None if until >= FOREVER else until,
        "tags": sorted(tags.items()),
    }


def _endpoints(table: Tables) -> pa.Table:
    estate = table.estate
    interface = table.endpoint_interface
    outside = table.endpoint_outside.tolist()
    address = [table.addresses[a] for a in table.endpoint_address.tolist()]
    ids = [
        (estate.interfaces[i].regional_nat or estate.interfaces[i].id) if i >= 0 else None for i in interface.tolist()
    ]
    columns: dict[str, Any] = {
        "endpoint": np.arange(len(interface), dtype=np.int32),
        "group": table.group_of_endpoint,
        "interface": interface.astype(np.int32),
        "interface_id": ids,
        "address": address,
        "account_id": [estate.interfaces[i].account.id if i >= 0 else None for i in interface.tolist()],
        "outside": [OUTSIDE_NAMES.get(o) for o in outside],
        "network_name": [_network(estate, a) if o else None for a, o in zip(address, outside, strict=True)],
        "aws_service": [
            SERVICES[table.address_service[a]] if table.address_service[a] and i < 0 else None
            for a, i in zip(table.endpoint_address.tolist(), interface.tolist(), strict=True)
        ],
        "since": table.members.since + table.zero,
        "until": table.members.until + table.zero,
    }
    return pa.table(columns)


def write_sights(out: Path, delivered: inventory.Delivered) -> None:
    """truth/sights.parquet: one row an interface and address that the inventory was told of, and how.

    What is not in it was told by no event that arrived and seen by no sweep. Times are of recording.
    """
    rows = [
        {"interface_id": interface, "address": address or None, **asdict(sight)}
        for (interface, address), sight in sorted(delivered.sights.items())
    ]
    text = pa.string()
    columns = ("interface_id", "address", "by_event", "by_sweep", "ended_by_event")
    schema = pa.schema([(name, text) for name in columns])
    (out / "truth").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), out / "truth" / "sights.parquet", compression="zstd")


def _network(estate: Estate, address: str) -> str | None:
    import ipaddress

    found = [
        name for cidr, name in estate.known_networks if ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    ]
    return found[0] if found else None
