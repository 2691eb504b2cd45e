"""The Spark session: what an interrupt leaves behind."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from flowlake.flows.spark import interruptible, running_tasks


def test_an_interrupt_goes_on_when_nothing_runs_any_more(spark: Any) -> None:
    """A task that would sleep for a minute is ended first: what ends later complains of a session that is gone."""
    context = spark.sparkContext

    def work() -> None:
        with suppress(Exception):
            context.parallelize([0], 1).foreach(lambda _: time.sleep(60))

    job = threading.Thread(target=work)
    job.start()
    until = time.monotonic() + 30
    while not running_tasks(context):
        assert time.monotonic() < until
        time.sleep(0.05)
    with pytest.raises(KeyboardInterrupt), interruptible():
        raise KeyboardInterrupt
    assert running_tasks(context) == 0
    job.join(10)
    assert not job.is_alive()


def test_what_py4j_logs_of_an_interrupt_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with interruptible():
        logging.error("KeyboardInterrupt while sending command.")
        logging.error("the disk is full")
    assert [record.message for record in caplog.records] == ["the disk is full"]
