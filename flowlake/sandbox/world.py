"""What the numbers in the truth stand for, and the files that a user would bring."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.sandbox import inventory, tables
from flowlake.sandbox.emission import Emission
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import FOREVER, OUTSIDE_NAMES, TagChange, Thing
from flowlake.sandbox.tables import SERVICES, Tables


def write_world(out: Path, emission: Emission) -> None:
    """What the numbers in the truth stand for, and the files a user would bring."""
    estate, table = emission.estate, emission.tables
    truth = out / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    names = {_arn(thing): thing.attributes["name"] for thing in estate.things if thing.attributes.get("name")}
    rows = [
        {
            **tables.describe_interface(i),
            "names": sorted({i.name, *(names[arn] for arn in i.arns if arn in names)}),
            "interface": i.index,
            "created": i.created,
            "deleted": None if i.deleted >= 1 << 60 else i.deleted,
            "public_address": i.public_address,
            "logged": bool(table.cover[i.index, 0] >= 0),
            "window_seconds": int(table.interface_window[i.index] // 1000),
        }
        for i in estate.interfaces
    ]
    pq.write_table(pa.Table.from_pylist(rows), truth / "interfaces.parquet", compression="zstd")
    pq.write_table(_endpoints(table), truth / "endpoints.parquet", compression="zstd")
    objects = [
        {
            "object": o.number, "key": f"raw/{o.key}", "flow_log_id": o.log.id, "account_id": o.log.account.id,
            "lines": o.lines, "readable_lines": o.lines if o.readable_lines is None else o.readable_lines,
            "delivered_at": o.delivered_at, "delivered_again_at": o.delivered_again_at,
            "path": str(o.path.relative_to(out)),
        }
        for o in sorted(emission.deliveries.done, key=lambda o: o.number)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(objects), truth / "objects.parquet", compression="zstd")
    pq.write_table(pa.Table.from_pylist(_tags(estate), TAGS), truth / "tags.parquet", compression="zstd")
    networks = "".join(f"{cidr},{name}\n" for cidr, name in estate.known_networks)
    (out / "known_networks.csv").write_text("cidr,name\n" + networks, encoding="utf-8")
    edges = [
        {"edge": n, "name": e.name, "client": e.client, "server": e.server, "port": e.port, "story": e.story}
        for n, e in enumerate(estate.edges)
    ]
    (truth / "edges.json").write_text(json.dumps(edges, indent=1), encoding="utf-8")


TAGS = pa.schema(
    [("entity", pa.string()), ("since", pa.int64()), ("until", pa.int64()), ("tags", pa.map_(pa.string(), pa.string()))]
)


def _tags(estate: Estate) -> list[dict[str, Any]]:
    """One row a thing (by the ARN that an interface's arns name) and stretch of time in which it had these tags."""
    changes: dict[str, list[TagChange]] = {}
    for change in sorted(estate.tag_changes, key=lambda change: change.at):
        changes.setdefault(change.entity, []).append(change)
    rows = []
    for thing in estate.things:
        since, tags = thing.created, thing.tags
        for change in changes.get(thing.id, []):
            rows.append(_tag_row(thing, since, change.at, tags))
            since, tags = change.at, change.tags
        if tags:
            rows.append(_tag_row(thing, since, min(thing.deleted, FOREVER), tags))
    return rows


_IDS_AS_ARNS = {
    "instance": ("ec2", "instance/"), "nat_gateway": ("ec2", "natgateway/"),
    "transit_gateway_attachment": ("ec2", "transit-gateway-attachment/"), "vpc_endpoint": ("ec2", "vpc-endpoint/"),
    "file_system": ("elasticfilesystem", "file-system/"),
}  # fmt: skip


def _arn(thing: Thing) -> str:
    if thing.kind not in _IDS_AS_ARNS:
        return thing.id
    service, path = _IDS_AS_ARNS[thing.kind]
    return f"arn:aws:{service}:{thing.region}:{thing.account.id}:{path}{thing.id}"


def _tag_row(thing: Thing, since: int, until: int, tags: dict[str, str]) -> dict[str, Any]:
    return {
        "entity": _arn(thing),
        "since": since,
        "until": None if until >= FOREVER else until,
        "tags": sorted(tags.items()),
    }


def _endpoints(table: Tables) -> pa.Table:
    estate = table.estate
    interface = table.endpoint_interface
    outside = table.endpoint_outside.tolist()
    address = [table.addresses[a] for a in table.endpoint_address.tolist()]
    ids = [
        (estate.interfaces[i].regional_nat or estate.interfaces[i].id) if i >= 0 else None for i in interface.tolist()
    ]
    columns: dict[str, Any] = {
        "endpoint": np.arange(len(interface), dtype=np.int32),
        "group": table.group_of_endpoint,
        "interface": interface.astype(np.int32),
        "interface_id": ids,
        "address": address,
        "account_id": [estate.interfaces[i].account.id if i >= 0 else None for i in interface.tolist()],
        "outside": [OUTSIDE_NAMES.get(o) for o in outside],
        "network_name": [_network(estate, a) if o else None for a, o in zip(address, outside, strict=True)],
        "aws_service": [
            SERVICES[table.address_service[a]] if table.address_service[a] and i < 0 else None
            for a, i in zip(table.endpoint_address.tolist(), interface.tolist(), strict=True)
        ],
        "since": table.members.since + table.zero,
        "until": table.members.until + table.zero,
    }
    return pa.table(columns)


def write_sights(out: Path, delivered: inventory.Delivered) -> None:
    """truth/sights.parquet: one row an interface and address that the inventory was told of, and how.

    What is not in it was told by no event that arrived and seen by no sweep. Times are of recording.
    """
    rows = [
        {"interface_id": interface, "address": address or None, **asdict(sight)}
        for (interface, address), sight in sorted(delivered.sights.items())
    ]
    text = pa.string()
    columns = ("interface_id", "address", "by_event", "by_sweep", "ended_by_event")
    schema = pa.schema([(name, text) for name in columns])
    (out / "truth").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), out / "truth" / "sights.parquet", compression="zstd")


def _network(estate: Estate, address: str) -> str | None:
    found = [
        name for cidr, name in estate.known_networks if ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    ]
    return found[0] if found else None
