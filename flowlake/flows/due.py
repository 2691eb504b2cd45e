"""Which hours are due: the newest that ended long enough ago, and earlier ones that must be made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from flowlake.flows.objects import raw_objects
from flowlake.flows.observed import sweeps_around
from flowlake.flows.publish import PROVISIONAL, SWEPT_AFTER, current, is_shown, read_manifest
from flowlake.lake.catalog import Catalog
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectStore

FIRST_RUN_AFTER = timedelta(minutes=15)
HORIZON = timedelta(hours=24)
"""How long after its end a final hour is still made again for raw objects that arrive late (later ones stay out, and
are told), or for the sweep that it was made without.
"""


@dataclass(frozen=True)
class Due:
    """An hour to be made, and why."""

    hour: Hour
    why: str


def newest(now: datetime) -> Hour:
    """The newest hour whose first run is due."""
    return Hour.holding((now - FIRST_RUN_AFTER).timestamp()).plus(-1)


def due(
    store: ObjectStore, catalog: Catalog, raw_store: ObjectStore, raw_prefix: str, now: datetime, back: int
) -> Iterator[Due]:
    """Of the last hours, oldest first, those never made that have objects, those still provisional, those with objects
    their run did not read or made without a sweep that has come since, and those whose run readers do not see, as its
    publisher died.
    """
    last = newest(now)
    for hour in (last.plus(i - back + 1) for i in range(back)):
        pointer = current(store, hour)
        objects = raw_objects(raw_store, raw_prefix, hour)
        if pointer is None:
            if objects:
                yield Due(hour, f"never published, {len(objects)} objects")
            continue
        if pointer.state == PROVISIONAL:
            yield Due(hour, "provisional")
            continue
        run = read_manifest(store, pointer).run
        read = {(o.key, o.etag) for o in run.objects}
        limit = hour.plus(1).moment + HORIZON
        late = [o for o in objects if (o.key, o.etag) not in read and o.modified <= limit]
        if late:
            yield Due(hour, f"final, but {len(late)} objects came late")
        elif run.counts.get(SWEPT_AFTER) is False and now <= limit and sweeps_around(store, hour, now).all_after():
            yield Due(hour, "final without a sweep after it, which has come since")
        elif not is_shown(store, catalog, pointer):
            yield Due(hour, "published, but its partitions are not at its run")


def too_late(store: ObjectStore, raw_store: ObjectStore, raw_prefix: str, now: datetime, back: int) -> int:
    """How many objects of the last hours came after the horizon and were read by no run: strays."""
    strays = 0
    for hour in (newest(now).plus(i - back + 1) for i in range(back)):
        pointer = current(store, hour)
        if pointer is not None and pointer.state != PROVISIONAL:
            read = {(o.key, o.etag) for o in read_manifest(store, pointer).run.objects}
            limit = hour.plus(1).moment + HORIZON
            strays += sum(
                (o.key, o.etag) not in read and o.modified > limit for o in raw_objects(raw_store, raw_prefix, hour)
            )
    return strays
