"""Objects as AWS delivers them to S3: keys, five-minute objects, gzip.

An object stays open while records for it can still come; each piece of text is compressed as it arrives, so memory
does not grow with records.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from flowlake.sandbox.identity import digest
from flowlake.sandbox.lines import Writer, to_parquet
from flowlake.sandbox.model import FlowLog
from flowlake.sandbox.sightings import STEP, Habits

LARGEST_OBJECT = 75_000_000
"""Compressed bytes of an object at most."""


def key(log: FlowLog, step: int, seed: int, part: int = 0) -> str:
    """The object's key. step counts five minutes since the epoch."""
    moment = datetime.fromtimestamp((step + log.name_by_end) * STEP // 1000, UTC)
    hash_ = digest(f"{seed}/{log.id}/{step}/{part}", 8)
    suffix = "log.parquet" if log.file_format == "parquet" else "log.gz"
    return (
        f"AWSLogs/{log.account.id}/vpcflowlogs/{log.region}/{moment:%Y/%m/%d}/"
        f"{log.account.id}_vpcflowlogs_{log.region}_{log.id}_{moment:%Y%m%dT%H%MZ}_{hash_}.{suffix}"
    )


def compressor(level: int) -> Any:
    """gzip by ISA-L where it is installed, else by zlib: the same text, compressed to other bytes."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(max(level, 1), zlib.DEFLATED, 31)
    return isal_zlib.compressobj(level, isal_zlib.DEFLATED, 31)


def tear(object_: Object, where: float) -> None:
    """Cuts the object's file short, somewhere in its last two thirds, and counts the lines that can still be read."""
    data = object_.path.read_bytes()
    kept = data[: int(len(data) * (0.33 + 0.6 * where))]
    object_.path.write_bytes(kept)
    if object_.log.file_format == "parquet":
        object_.readable_lines = 0  # its footer is gone
        return
    text = zlib.decompressobj(31).decompress(kept)
    object_.readable_lines = max(text.count(b"\n") - 1, 0)


@dataclass
class Object:
    """One object being written. lines counts what stands in it after the header."""

    number: int
    key: str
    log: FlowLog
    step: int
    path: Path
    lines: int = 0
    raw_bytes: int = 0
    packed_bytes: int = 0
    delivered_at: int = 0
    """Epoch seconds; also the file's time of modification, unless it was delivered again."""
    delivered_again_at: int | None = None
    readable_lines: int | None = None
    """Lines that can still be read of a torn object; None where it is whole."""


class Deliveries:
    """The open objects of all flow logs; closed ones are listed in `done`."""

    def __init__(self, lake: Path, writers: dict[str, Writer], seed: int, habits: Habits, level: int = 1) -> None:
        self.raw, self.writers, self.seed, self.level = lake / "raw", writers, seed, level
        self.aside, self.habits = lake / "late" / "raw", habits
        self.done: list[Object] = []
        self.number = 0
        self._open: dict[tuple[int, int], tuple[Object, BinaryIO, Any]] = {}
        self._parts: dict[tuple[int, int], int] = {}

    def append(self, log: FlowLog, step: int, text: memoryview | bytes, lines: int) -> tuple[int, int]:
        """Adds lines to the flow log's object of that step. Returns (object number, number of the first line)."""
        place = (log.index, step)
        if place not in self._open:
            self._begin(log, step)
        object_, file, pack = self._open[place]
        first = object_.lines
        object_.lines += lines
        object_.raw_bytes += len(text)
        if pack is None:
            file.write(text)
        else:
            object_.packed_bytes += file.write(pack.compress(text))
            if object_.packed_bytes > LARGEST_OBJECT:
                self._end(place)
                self._parts[place] = self._parts.get(place, 0) + 1
        return object_.number, first

    def _begin(self, log: FlowLog, step: int) -> None:
        part = self._parts.get((log.index, step), 0)
        key_ = key(log, step, self.seed, part)
        path = self.raw / key_
        path.parent.mkdir(parents=True, exist_ok=True)
        object_ = Object(self.number, key_, log, step, path)
        self.number += 1
        header = self.writers[log.format].header
        if log.file_format == "parquet":
            file, pack = open(path.with_suffix(".part"), "wb"), None  # noqa: SIM115 (open until its step is over)
        else:
            file, pack = open(path, "wb"), compressor(self.level)  # noqa: SIM115
            file.write(pack.compress(header))
        self._open[log.index, step] = (object_, file, pack)

    def _end(self, place: tuple[int, int]) -> None:
        object_, file, pack = self._open.pop(place)
        if pack is not None:
            file.write(pack.flush())
        file.close()
        if pack is None:
            self._to_parquet(object_)
        if self._chance(object_, "torn") < self.habits.torn_object_share:
            tear(object_, self._chance(object_, "torn at"))
        object_.packed_bytes = object_.path.stat().st_size
        self._deliver(object_)
        self.done.append(object_)

    def _chance(self, object_: Object, purpose: str) -> float:
        return int(digest(f"{self.seed}/{object_.key}/{purpose}", 12), 16) / 16.0**12

    def _deliver(self, object_: Object) -> None:
        """Usually two to nine minutes after the step's end; some hours later; some once more, unchanged."""
        wait = 120 + self._chance(object_, "delay") * 400
        late = self._chance(object_, "late")
        if late < self.habits.late_object_share:
            wait += 900 + 10_800 * late / self.habits.late_object_share
        object_.delivered_at = (object_.step + 1) * STEP // 1000 + int(wait)
        modified = object_.delivered_at
        if self._chance(object_, "again") < self.habits.repeated_object_share:
            modified = object_.delivered_again_at = (
                object_.delivered_at + 60 + int(self._chance(object_, "when") * 3600)
            )
        os.utime(object_.path, (modified, modified))
        if self.habits.late_aside and wait > 3_600:
            moved = self.aside / object_.key
            moved.parent.mkdir(parents=True, exist_ok=True)
            object_.path = object_.path.rename(moved)

    def _to_parquet(self, object_: Object) -> None:
        text = object_.path.with_suffix(".part")
        to_parquet(self.writers[object_.log.format].fields, text, object_.path)
        text.unlink()

    def close_before(self, step: int) -> None:
        """Ends the objects of earlier steps: nothing can come for them any more."""
        for place in sorted(place for place in self._open if place[1] < step):
            self._end(place)

    def close(self) -> None:
        self.close_before(1 << 60)
