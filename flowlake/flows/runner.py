"""From arguments to published hours: what the Glue script and the command line both call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from flowlake.flows import due
from flowlake.flows.arguments import Arguments
from flowlake.flows.job import Log, Result, enrich_hour, raw_place
from flowlake.flows.publish import expire_runs
from flowlake.flows.spark import session
from flowlake.lake.catalog import open_catalog
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectStore, open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Clock = Callable[[], datetime]


def run(arguments: Arguments, log: Log, local: bool = True, clock: Clock = lambda: datetime.now(UTC)) -> list[Result]:
    """Makes every hour that the arguments name or that is due, oldest first, and lets superseded runs go that nobody
    reads any more.

    Spark is started at the first hour that has work. Raises what enrich_hour raises, at the first hour that fails:
    those before it are published.
    """
    store, catalog = open_store(arguments.lake), open_catalog(arguments.lake, arguments.database)
    started = clock()

    @cache
    def spark() -> SparkSession:
        log("starting Spark")
        return session("flowlake", local=local)

    results = []
    for hour in _hours(arguments, store, started, log):
        results.append(enrich_hour(spark, store, catalog, hour, arguments.options, clock(), log, arguments.force))
    expired = expire_runs(store, catalog, clock())
    if expired:
        log(f"{len(expired)} superseded runs were deleted")
    return results


def _hours(arguments: Arguments, store: ObjectStore, now: datetime, log: Log) -> list[Hour]:
    hours = set(arguments.hours)
    if not hours and not arguments.catch_up:
        hours = {due.newest(now)}
    if arguments.catch_up:
        raw_store, prefix = raw_place(store, arguments.options)
        for one in due.due(store, raw_store, prefix, now, arguments.catch_up):
            log(f"{one.hour} is due: {one.why}")
            hours.add(one.hour)
        strays = due.too_late(store, raw_store, prefix, now, arguments.catch_up)
        if strays:
            log(
                f"{strays} objects came more than 24 hours after their hour: strays, which only --force --hour takes up"
            )
        if not hours:
            log("nothing to do: no hour is due")
    return sorted(hours)
