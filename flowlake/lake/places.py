"""Where things lie in a lake: path rules, and nothing else.

A lake is a bucket with an optional prefix, or a folder. All keys are relative to it.

    raw/                                        flow logs as AWS delivers them (AWSLogs/…), unless they lie elsewhere
    inventory/observations/origin=…/dt=…/hour=…/  observations, gzip JSON lines
    inventory/sweeps/ACCOUNT/REGION/            markers of complete sweeps, one small JSON object each
    inventory/ip_ranges/                        the address ranges table
    inventory/rejects/                          events that could not be understood, whole
    tables/TABLE/dt=…/hour=…/run=…/             published Parquet, one folder a run
    hours/DT/HH/current.json                    the hour's pointer to its published run
    hours/DT/HH/runs/RUN/manifest.json          what a run read, wrote and counted
    catalog/                                    the catalog of a laptop (JSON files); AWS has Glue's
"""

from __future__ import annotations

from flowlake.lake.hours import Hour

RAW = "raw/"
OBSERVATIONS = "inventory/observations/"
SWEEPS = "inventory/sweeps/"
IP_RANGES = "inventory/ip_ranges/"
INVENTORY_REJECTS = "inventory/rejects/"
TABLES = "tables/"
HOURS = "hours/"
CATALOG = "catalog/"


def observations(origin: str, recorded_in: Hour) -> str:
    """Folder of the observations that events or sweeps recorded in that hour."""
    return f"{OBSERVATIONS}origin={origin}/dt={recorded_in.dt}/hour={recorded_in.hh}/"


def sweep_marker(account_id: str, region: str, started: str, sweep_id: str) -> str:
    """Key of a sweep's marker; started is YYYYMMDDTHHMMSSZ, so that keys sort by time."""
    return f"{SWEEPS}{account_id}/{region}/{started}_{sweep_id}.json"


def run_folder(table: str, hour: Hour, run_id: str) -> str:
    """Folder of what one run wrote of one table's hour."""
    return f"{TABLES}{table}/dt={hour.dt}/hour={hour.hh}/run={run_id}/"


def pointer(hour: Hour) -> str:
    """Key of the hour's pointer, moved by conditional writes only."""
    return f"{HOURS}{hour.dt}/{hour.hh}/current.json"


def manifest(hour: Hour, run_id: str) -> str:
    return f"{HOURS}{hour.dt}/{hour.hh}/runs/{run_id}/manifest.json"
