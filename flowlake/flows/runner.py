"""From arguments to published hours: what the Glue script and the command line both call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from flowlake.flows import due
from flowlake.flows.arguments import Arguments
from flowlake.flows.job import Log, Result, enrich_hour, raw_place
from flowlake.flows.publish import expire_runs
from flowlake.flows.spark import interruptible, session
from flowlake.lake.catalog import Catalog, open_catalog
from flowlake.lake.hours import Hour
from flowlake.lake.store import ObjectStore, open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Clock = Callable[[], datetime]


class HoursFailed(Exception):
    """Some of the hours failed; the others were made. failed: what each raised."""

    def __init__(self, failed: Mapping[Hour, Exception], of: int) -> None:
        told = "\n".join(f"  {hour}: {type(error).__name__}: {error}" for hour, error in failed.items())
        super().__init__(f"{len(failed)} of {of} hours failed, the others were made:\n{told}")
        self.failed = failed


def run(arguments: Arguments, log: Log, local: bool = True, clock: Clock = lambda: datetime.now(UTC)) -> list[Result]:
    """Makes every hour that the arguments name or that is due, oldest first, and lets superseded runs go that nobody
    reads any more.

    Spark is started at the first hour that has work. An hour that fails keeps no other from being made: at the end a
    single hour's error is raised as it is, HoursFailed where there were several.
    """
    store, catalog = open_store(arguments.lake), open_catalog(arguments.lake, arguments.database)
    started = clock()

    @cache
    def spark() -> SparkSession:
        log("starting Spark")
        return session("flowlake", local=local)

    results, failed = [], dict[Hour, Exception]()
    hours = _hours(arguments, store, catalog, started, log)
    for hour in hours:
        try:
            with interruptible():
                result = enrich_hour(spark, store, catalog, hour, arguments.options, clock(), log, arguments.force)
            results.append(result)
        except Exception as error:
            failed[hour] = error
            log(f"{hour} failed: {type(error).__name__}: {error}")
    expired = expire_runs(store, catalog, clock())
    if expired:
        log(f"{len(expired)} superseded runs were deleted")
    if failed:
        raise next(iter(failed.values())) if len(hours) == 1 else HoursFailed(failed, len(hours))
    return results


def _hours(arguments: Arguments, store: ObjectStore, catalog: Catalog, now: datetime, log: Log) -> list[Hour]:
    hours = set(arguments.hours)
    if not hours and not arguments.catch_up:
        hours = {due.newest(now)}
    if arguments.catch_up:
        raw_store, prefix = raw_place(store, arguments.options)
        for one in due.due(store, catalog, raw_store, prefix, now, arguments.catch_up):
            log(f"{one.hour} is due: {one.why}")
            hours.add(one.hour)
        strays = due.too_late(store, raw_store, prefix, now, arguments.catch_up)
        if strays:
            log(f"{strays} objects came more than 24 hours after their hour: strays, which only --hour takes up")
        if not hours:
            log("nothing to do: no hour is due")
    return sorted(hours)
