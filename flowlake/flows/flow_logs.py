"""Which flow log of an interface counts, where it has several (of its VPC, its subnet and its own; or one that took
another's place within the hour), and what its reporting lacks.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flowlake.flows.evidence import GAPS, LOSSY, NO_ACCEPTS, NOT_ALL, REJECTED, SKIPPED
from flowlake.flows.minutes import MINUTES_BEFORE, WHOLE_HOUR, minutes_masks
from flowlake.flows.summarise import ACCEPT, CLOCK_SECONDS, REJECT, UNKNOWN_ACTION, Source
from flowlake.flows.topology import FlowLog
from flowlake.lake.hours import SECONDS


@dataclass(frozen=True)
class Log:
    """A flow log as its records and the inventory tell of it.

    traffic_type: ALL, ACCEPT or REJECT; null where it is not known. interval: the longest aggregation, in minutes.
    spoiled: lines of it could not be read. created: epoch ms; NEVER_TOLD where the inventory does not say.
    """

    flow_log_id: str
    traffic_type: str | None
    interval: int
    spoiled: bool
    tells_packets: bool
    tells_silence: bool
    created: int


NEVER_TOLD = 1 << 62


def log_of(
    source: Source, row: Mapping[str, Any], said: FlowLog | None, through: Mapping[str, Sequence[FlowLog]]
) -> Log:
    """The flow log by the counts of its records, and by what the inventory says of it, if anything. through: the flow
    logs that go to each log group (by its name) or, by "", to a stream of Firehose: of those the oldest counts for it.
    """
    created = [log.created for log in ([said] if said else sent_through(source, through)) if log.created is not None]
    both = 1 << ACCEPT | 1 << REJECT
    seen = "ALL" if row["actions"] & both == both else None
    seconds = (said.max_aggregation_seconds if said else None) or 600
    return Log(
        source.flow_log_id or "",
        said.traffic_type.upper() if said and said.traffic_type else seen,
        max(1, max(seconds, min(row["longest"], 900)) // 60),
        row["spoiled"],
        not {"pkt_srcaddr", "pkt_dstaddr"} & set(row["lacks"]),
        row["nodata"] > 0,
        min(created, default=NEVER_TOLD),
    )


def unread(known: Iterable[FlowLog], read: Collection[str | None]) -> list[str]:
    """The flow logs that go to S3, as the inventory knows, and of which nothing was read: by their ids, in order. Where
    others go to, their ids are not told.
    """
    return sorted(log.flow_log_id for log in known if log.destination_type == "s3" and log.flow_log_id not in read)


def by_what_they_go_through(flow_logs: Iterable[FlowLog]) -> dict[str, list[FlowLog]]:
    """The flow logs that go to each log group, by its name; by "" those that go straight to a stream of Firehose."""
    through: dict[str, list[FlowLog]] = {}
    for log in flow_logs:
        kind, destination = log.destination_type or "", log.destination or ""
        if kind == "kinesis-data-firehose":
            through.setdefault("", []).append(log)
        elif kind == "cloud-watch-logs":
            through.setdefault(destination.split(":log-group:")[-1].removesuffix(":*"), []).append(log)
    return through


def sent_through(source: Source, through: Mapping[str, Sequence[FlowLog]]) -> Sequence[FlowLog]:
    """The flow logs whose records a log group or a stream may hold; none for what a flow log delivered itself. Of a
    stream the folder is known and not its name: any that goes to one may be there.
    """
    if (source.flow_log_id or "").startswith("fl-"):
        return ()
    return through.get(source.flow_log_id or "", through.get("", ()))


@dataclass(frozen=True, slots=True)
class Told:
    """What one flow log told of one interface in the hour: see the lines of evidence_of."""

    skipdata: int
    bytes: int
    mask: int
    actions: int
    first: int
    last: int


class Reporting:
    """What the flow logs of one interface told in an hour. told: by the number of the flow log in logs. life: from when
    to when (epoch ms) the interface was there.
    """

    def __init__(self, told: Mapping[int, Told], logs: Sequence[Log], life: tuple[int, int], hour_starts: int) -> None:
        self.told, self.logs, self.life, self.hour_starts = told, logs, life, hour_starts
        self.lacks = {s: self._lacks(s) for s in told}

    @cached_property
    def accepts(self) -> tuple[int, ...]:
        """The flow logs that tell of what was accepted, the best one first. What another tells counts where it tells of
        a time before or after all that the better ones tell: they can't have told of the same packets.
        """
        of_kind = self._of_kind("ACCEPT", ACCEPT)
        # What tells no action may tell what was accepted: after all that surely do.
        silent_of_it = [s for s in self._unknown() if self.told[s].actions == 1 << UNKNOWN_ACTION]
        rest = silent_of_it if of_kind else self._unknown(but=1 << REJECT)
        return (*sorted(of_kind, key=self._rank), *sorted(rest, key=self._rank))

    @cached_property
    def rejects(self) -> tuple[int, ...]:
        """The flow logs that tell of what was rejected, in the same way."""
        return tuple(sorted(self._of_kind("REJECT", REJECT) or self._unknown(), key=self._rank))

    @cached_property
    def rests_on(self) -> tuple[list[int], list[int]]:
        """Those that the reporting rests on, of the flow logs that tell of what was accepted, and of the rejected."""
        return self._one_after_the_other(self.accepts), self._one_after_the_other(self.rejects)

    def _one_after_the_other(self, order: Sequence[int]) -> list[int]:
        """Of these, in order, the best, and each that told of another time than those before it. Two that tell of one
        time may differ by two aggregation intervals at its ends: only what reaches further, or lies wholly beside, is
        another time.
        """
        count: list[int] = []
        for s in self._timed(order) or order[:1]:
            first, last = self.told[s].first, self.told[s].last
            others = [self.told[b] for b in count]
            further = 2 * 60 * max(self.logs[b].interval for b in (*count, s))
            if all(first > other.last or last < other.first for other in others) or (
                first < min(other.first for other in others) - further
                or last > max(other.last for other in others) + further
            ):
                count.append(s)
        return count

    def _of_kind(self, traffic_type: str, action: int) -> list[int]:
        """Those that are known to log an action, or have shown that they do."""
        kinds = {s: self.logs[s].traffic_type for s in self.told}
        return [
            s
            for s, told in self.told.items()
            if kinds[s] in ("ALL", traffic_type) or (kinds[s] is None and told.actions >> action & 1)
        ]

    def _unknown(self, but: int = -1) -> list[int]:
        """Those of which nothing tells what they log, but for those that showed just these actions."""
        return [s for s, told in self.told.items() if self.logs[s].traffic_type is None and told.actions != but]

    def _timed(self, order: Sequence[int]) -> list[int]:
        """Of these those of which it is known when they told: not those that told of lost records alone."""
        return [s for s in order if self.told[s].first <= self.told[s].last]

    def at_the_edges(self) -> tuple[int | None, ...]:
        """The flow logs that count where the hour begins and where it ends: of what was accepted, then of what was
        rejected.
        """
        return tuple(s for rests_on in self.rests_on for s in self._at_the_edges(rests_on))

    def _at_the_edges(self, rests_on: Sequence[int]) -> tuple[int | None, int | None]:
        if not rests_on:
            return None, None
        earliest, latest = min(self.told[s].first for s in rests_on), max(self.told[s].last for s in rests_on)
        near = {s: self._near(s) for s in rests_on}
        first = next(s for s in rests_on if self.told[s].first <= earliest + near[s])
        return first, next(s for s in rests_on if self.told[s].last >= latest - near[s])

    def _near(self, s: int) -> int:
        """How far apart, in seconds, two moments that it told of may seem: an interval, and what clocks are off by."""
        return 60 * self.logs[s].interval + 2 * CLOCK_SECONDS

    def penalty(self) -> int:
        """What those that the reporting rests on lack together."""
        cut = {*self._cut_short(self.accepts), *self._cut_short(self.rejects)}
        accepts, rejects = self.rests_on
        penalty = self._lacking(accepts) if accepts else NO_ACCEPTS
        for s in cut:
            penalty |= GAPS | self.lacks[s] & LOSSY
        if rejects and rejects != accepts:
            penalty |= self._lacking(rejects)
        proved = (
            bool(accepts and rejects)
            and all(self.logs[s].traffic_type in ("ALL", "ACCEPT") for s in accepts)
            and all(self.logs[s].traffic_type in ("ALL", "REJECT") for s in rejects)
        )
        return penalty | (0 if proved else NOT_ALL)

    def _lacks(self, s: int) -> int:
        log, told = self.logs[s], self.told[s]
        return (
            (SKIPPED if told.skipdata else 0)
            | (REJECTED if log.spoiled else 0)
            | (GAPS if log.tells_silence and self._has_gap(told.mask, log.interval) else 0)
        )

    def _lacking(self, order: Sequence[int]) -> int:
        """What several lack that told one after the other: what none of them tells, and what any of them lost."""
        if len(order) == 1:
            return self.lacks[order[0]]
        first = self.logs[order[0]]
        lost = 0
        for s in order:
            lost |= self.lacks[s] & LOSSY
        has_gap = self._has_gap(self._minutes(order), first.interval) or self._has_hole(order)
        return lost | (GAPS if first.tells_silence and has_gap else 0)

    def _rank(self, s: int) -> tuple:
        # Of whole ones the same in every hour: their intervals begin at different minutes, so that by what lies at
        # the hour's edges each would have its turn, and what lies there counted twice or not at all. So it is the
        # oldest one: where another is made, none takes its place.
        log, lacks, held = self.logs[s], self.lacks[s], self.told[s].bytes
        proved = not lacks and self._spans_all(s) and not self._has_gap(self.told[s].mask, log.interval)
        unproved = (False, 0) if proved else (not self._whole[s], -held)
        most_first = -held if lacks & LOSSY else 0
        return lacks, log.traffic_type != "ALL", most_first, not proved, *unproved, log.created, log.flow_log_id, s

    def _spans_all(self, s: int) -> bool:
        """Whether it told of all the time that any told of, but for an interval and what clocks are off by."""
        near = self._near(s)
        first, last = min(told.first for told in self.told.values()), max(told.last for told in self.told.values())
        return self.told[s].first <= first + near and self.told[s].last >= last - near

    @cached_property
    def _whole(self) -> dict[int, bool]:
        """Whether each told of as many minutes as any, but for an interval."""
        covered = {s: (told.mask & WHOLE_HOUR).bit_count() for s, told in self.told.items()}
        return {s: covered[s] + self.logs[s].interval >= max(covered.values()) for s in self.told}

    def _has_hole(self, order: Sequence[int]) -> bool:
        """Whether for more than a minute between two of these no one told anything, not even NODATA."""
        spans = sorted((self.told[s].first, self.told[s].last) for s in order)
        reached = spans[0][1]
        for first, last in spans[1:]:
            if first > reached + 60:
                return True
            reached = max(reached, last)
        return False

    def _cut_short(self, order: Sequence[int]) -> Iterator[int]:
        """Those of these that ran side by side with better ones before they came or after they went: what such a one
        told from before their end to behind it is set aside whole.
        """
        timed = self._timed(order)
        if len(timed) < 2:
            return
        born, gone = self.life[0] // 1000, self.life[1] // 1000
        begins = max(self.hour_starts, born) + 2 * CLOCK_SECONDS
        ends = min(self.hour_starts + SECONDS, gone) - 2 * CLOCK_SECONDS
        first, last = self.told[timed[0]].first, self.told[timed[0]].last
        for better, s in itertools.pairwise(timed):
            told = self.told[s]
            # A flow log that goes on has told of all but its last interval. Where it tells of no silence, the other's
            # record may end an interval behind the last packet.
            silence = 0 if self.logs[better].tells_silence else self.logs[s].interval
            near = 2 * CLOCK_SECONDS + 60 * max(self.logs[better].interval, silence)
            earlier = told.first < first - near and first > begins
            later = min(told.last, gone) > last + near and last < ends
            if told.first <= last and first <= told.last and (earlier or later):
                yield s
            first, last = min(first, told.first), max(last, told.last)

    def _minutes(self, order: Sequence[int]) -> int:
        """The minutes told by several, of each those beside the time of the ones before it."""
        mask = taken = 0
        for s in order:
            span = np.array([[self.told[s].first], [self.told[s].last]], dtype=np.int64)
            mask |= self.told[s].mask & ~taken
            taken |= int(minutes_masks(span[0], span[1], self.hour_starts)[0])
        return mask

    def _has_gap(self, mask: int, interval: int) -> bool:
        """Whether the interface said nothing, not even NODATA, for over two intervals of the hour it lived through."""
        born = max(0, (self.life[0] // 1000 - self.hour_starts) // 60 + 1)
        gone = min(60, (self.life[1] // 1000 - self.hour_starts) // 60)
        run = 0
        for minute in range(born, gone):
            run = 0 if mask >> (minute + MINUTES_BEFORE) & 1 else run + 1
            if run > 2 * interval:
                return True
        return False
