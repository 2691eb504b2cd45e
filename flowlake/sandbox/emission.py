"""Traffic to objects and truth, five minutes at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flowlake.sandbox import flow_logs, tables
from flowlake.sandbox.delivery import Deliveries
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.lines import Writer
from flowlake.sandbox.settings import SECONDS_AROUND, Settings
from flowlake.sandbox.sightings import STEP, Records, covered, look
from flowlake.sandbox.silence import Silence
from flowlake.sandbox.tables import Ints
from flowlake.sandbox.traffic import Connections, Source
from flowlake.sandbox.truth import Truth

BATCH = 20_000
"""Connections worked out at a time."""
LASTING_BATCH = 4_000
"""Of lasting connections, which have more records in a step."""
SHORT = 600_000
"""Connections shorter than this (ms) are written at once; longer ones step by step."""

Progress = Callable[[str], None]


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
            self._emit_lasting(connections, within)
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
            self._emit_lasting(connections, (step * STEP, 1 << 60))
        for after in range(step, step + 3):
            self._silences(after)

    def _emit_lasting(self, connections: Connections, within: tuple[int, int]) -> None:
        for first in range(0, len(connections), LASTING_BATCH):
            self._emit(connections.take(np.s_[first : first + LASTING_BATCH]), within)

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
