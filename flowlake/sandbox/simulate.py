"""One simulated organisation, written to disk: flow logs, what the inventory sees, and the truth aside.

OUT/raw/AWSLogs/…        flow logs as AWS delivers them
OUT/inventory/…          observations and sweep markers
OUT/known_networks.csv   networks by name
OUT/truth/…              who it really was (see truth.py), stories.json, summary.json
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flowlake.lake.store import open_store
from flowlake.sandbox import flow_logs, inventory, organisation, services, stories
from flowlake.sandbox.emission import Emission, Progress, Summary
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.identity import Ids
from flowlake.sandbox.inventory import Weather
from flowlake.sandbox.settings import BadSettings, Settings
from flowlake.sandbox.sightings import Habits
from flowlake.sandbox.stories import Story
from flowlake.sandbox.world import write_sights, write_world

__all__ = [
    "BadSettings",
    "Habits",
    "Progress",
    "Settings",
    "Summary",
    "Weather",
    "design",
    "inventory_only",
    "simulate",
]


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
