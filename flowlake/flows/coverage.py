"""Coverage and reconciliation: what was read, what became of every byte, and whether it adds up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from flowlake.flows.hints import Evidence
from flowlake.flows.objects import UNKNOWN
from flowlake.flows.observed import Sweeps
from flowlake.flows.reporters import FATES
from flowlake.flows.schemas import arrow_schema
from flowlake.flows.summarise import SOURCE_COUNTS
from flowlake.lake.contracts import contract


class NotReconciled(Exception):
    """Bytes in are not bytes out plus what was set aside by name."""


@dataclass(frozen=True)
class Reconciliation:
    """Bytes and records of the hour: as read, by what became of them, and as published by leg."""

    raw_bytes: int
    raw_records: int
    bytes_by_fate: Mapping[str, int]
    records_by_fate: Mapping[str, int]
    published: Mapping[str, int]

    def totals(self) -> dict[str, Any]:
        return {
            "raw_bytes": self.raw_bytes,
            "raw_records": self.raw_records,
            "bytes": dict(self.bytes_by_fate),
            "records_by_fate": dict(self.records_by_fate),
            "published_by_leg": dict(self.published),
        }

    def check(self) -> None:
        """Raises NotReconciled, with the sums, where they don't add up."""
        faults = []
        if self.raw_bytes != sum(self.bytes_by_fate.values()):
            faults.append(f"{self.raw_bytes} bytes read, {dict(self.bytes_by_fate)} accounted for")
        if self.raw_records != sum(self.records_by_fate.values()):
            faults.append(f"{self.raw_records} records read, {dict(self.records_by_fate)} accounted for")
        legs = {
            "counted": self.published.get("direct", 0) + self.published.get("nat_inside", 0),
            "hop": self.published.get("hop", 0),
            "nat_outside": self.published.get("nat_outside", 0),
        }
        faults += [
            f"{legs[fate]} bytes published on legs of fate {fate}, {self.bytes_by_fate.get(fate, 0)} chosen for them"
            for fate in legs
            if legs[fate] != self.bytes_by_fate.get(fate, 0)
        ]
        if faults:
            raise NotReconciled("the hour does not reconcile: " + "; ".join(faults))


def reconcile(
    evidence: Evidence, counts: Mapping[int, Mapping[str, int]], published: Iterable[Mapping[str, int]]
) -> Reconciliation:
    """What came in beside what came out."""
    legs: dict[str, int] = {}
    for part in published:
        for leg, amount in part.items():
            legs[leg] = legs.get(leg, 0) + amount
    return Reconciliation(
        sum(row["bytes"] for row in evidence.source_rows),
        sum(row["records"] for row in evidence.source_rows),
        {fate: sum(entry.get(f"{fate}_bytes", 0) for entry in counts.values()) for fate in FATES},
        {fate: sum(entry.get(f"{fate}_records", 0) for entry in counts.values()) for fate in FATES},
        legs,
    )


def totals(evidence: Evidence) -> dict[str, Any]:
    """Counts of the whole hour for logs and the manifest."""
    summed: dict[str, Any] = {name: sum(row[name] for row in evidence.source_rows) for name in SOURCE_COUNTS}
    summed["max_aggregation_seconds"] = max((row["longest"] for row in evidence.source_rows), default=0)
    return summed


def table(evidence: Evidence, counts: Mapping[int, Mapping[str, int]], sweeps: Sweeps) -> pa.Table:
    """The coverage table of the hour: one row a flow log."""
    rows = []
    for number, row in enumerate(evidence.source_rows):
        fates = counts.get(number, {})
        rows.append(
            {
                **{
                    name: row[name]
                    for name in (
                        "flow_log_id",
                        "account_id",
                        "region",
                        "objects",
                        "objects_torn",
                        "records",
                        "bytes",
                        "nodata",
                        "skipdata",
                        "rejects",
                    )
                },
                "rejects_by_reason": [(reason, int(n)) for reason, n in (text.split("\t") for text in row["reasons"])],
                "stray_records": row["stray_records"],
                "stray_bytes": row["stray_bytes"],
                "stray_lines": row["stray_lines"],
                **{
                    name: fates.get(name, 0)
                    for name in (
                        "unattributed_records",
                        "unattributed_bytes",
                        "contested_bytes",
                        "possibly_doubled_bytes",
                        "handover_pairs",
                    )
                },
                **{f"{fate}_bytes": fates.get(f"{fate}_bytes", 0) for fate in FATES},
                "format_lacks": row["lacks"],
                "stale_inventory": _is_stale(sweeps, row["account_id"], row["region"]),
                "max_aggregation_seconds": row["longest"] if row["records"] else None,
                "repeated_events": row["repeated_events"],
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(contract("coverage")))


def _is_stale(sweeps: Sweeps, account_id: str, region: str) -> bool:
    """Whether the inventory of an account and region is old; of all that it may be, where one is not known."""
    if UNKNOWN not in (account_id, region):
        return sweeps.is_stale(account_id, region)
    perhaps = [one for one in sweeps.accounts | sweeps.stale if account_id in (one[0], UNKNOWN)]
    return not perhaps or any(sweeps.is_stale(*one) for one in perhaps)


__all__ = ["NotReconciled", "Reconciliation", "reconcile", "table", "totals"]
