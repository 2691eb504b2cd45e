"""One hour without Spark: the same three steps in one process, for tests and for measuring.

The hour has to fit in memory.

The rows are those that the job publishes; nothing is written, audited or published.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.flows import coverage, steps
from flowlake.flows.book import Book, build
from flowlake.flows.endpoints import TagSettings, states_table
from flowlake.flows.hints import Reported, hints, merge
from flowlake.flows.job import Options, aws_ranges_at, hour_state, raw_place
from flowlake.flows.lives import lives
from flowlake.flows.lookup import compile_book
from flowlake.flows.networks import known_networks
from flowlake.flows.objects import raw_objects
from flowlake.flows.observed import observations
from flowlake.flows.parcels import unpack
from flowlake.flows.publish import PROVISIONAL
from flowlake.flows.repeats import repeated_events
from flowlake.flows.schemas import arrow_schema
from flowlake.flows.world import Settings, World
from flowlake.lake.contracts import contract
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectStore

BUCKETS = 8


@dataclass
class Made:
    """An hour as it would be published.

    reporters: how each interface reported, which the next hour wants to know.
    """

    hour: Hour
    state: str
    book: Book
    conversations: pa.Table
    totals: Mapping[str, Any]
    reporters: dict[str, Reported]


def enrich_in_process(
    store: ObjectStore, hour: Hour, options: Options, now: datetime, previous: Mapping[str, Reported] | None = None
) -> Made:
    """The hour's conversations. previous: reporters of the hour before; null where it was not made.

    Raises StoreError; NotReconciled where bytes in are not bytes out.
    """
    raw_store, prefix = raw_place(store, options)
    objects = raw_objects(raw_store, prefix, hour)
    sweeps, rows = observations(store, hour, now)
    book = build(rows, hour.starts)
    state = hour_state(hour, sweeps, now)
    lookup = compile_book(book)
    task = steps.Task(hour, options.window_seconds, options.format)
    repeats = repeated_events(objects, raw_store)
    parcels = list(steps.gather(objects, raw_store, lookup, task, repeats))
    evidence = merge(unpack(payload) for _, kind, payload in parcels if kind == steps.EVIDENCE)
    found = hints(evidence, lookup, book.topology.flow_logs, lives(book), previous)
    settings = Settings(state == PROVISIONAL, options.clock_slack_seconds)
    world = World(lookup, found, aws_ranges_at(store, hour), known_networks(options.networks or ""), settings)
    sums = [payload for _, kind, payload in parcels if kind == steps.SUMS]
    del parcels
    bucketed: dict[int, list[bytes]] = {}
    for bucket, _, payload in steps.attribute(sums, world, BUCKETS):
        bucketed.setdefault(bucket, []).append(payload)
    del sums
    states, tags = states_table(book), TagSettings(options.owner_tags, options.app_tags)
    kept = _Kept()
    written: list[dict[str, Any]] = []
    for bucket in sorted(bucketed):
        parcels_of_bucket = [(bucket, payload) for payload in bucketed.pop(bucket)]
        for _, _, told in steps.converse(parcels_of_bucket, world, states, tags, task, kept, "", bucket):  # type: ignore[arg-type]
            written.append(_document(told))
    counts = steps.merge_counts(part["counts"] for part in written)
    reconciliation = coverage.reconcile(evidence, counts, [part.get("published", {}) for part in written])
    reconciliation.check()
    return Made(
        hour, state, book, kept.table(), coverage.totals(evidence) | reconciliation.totals(), found.reported(lookup)
    )


def _document(told: bytes) -> dict[str, Any]:
    import json

    document: dict[str, Any] = json.loads(told)
    return document


class _Kept:
    """Stands for the store that the last step writes to: keeps the tables instead."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []

    def put(self, key: str, data: bytes) -> None:
        self.tables.append(pq.read_table(io.BytesIO(data)))

    def table(self) -> pa.Table:
        empty = arrow_schema(contract("conversations")).empty_table()
        return pa.concat_tables([empty, *self.tables])


__all__ = ["Made", "enrich_in_process"]
