"""Conversations as integers -> rows of the conversations table: names, tags, zones and ways out joined after
aggregation.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.addresses import is_rfc1918
from flowlake.flows.attribute import AWS_SERVICE, HOWS, LEGS, NETWORK, PUBLIC, World
from flowlake.flows.book import Book, InterfaceState
from flowlake.flows.conversations import LOSSY, Endpoints, Grouped, conversation_ids, endpoint_digests
from flowlake.flows.evidence import GAPS, NOT_LOGGED
from flowlake.flows.roles import ROLES_BY, UNKNOWN
from flowlake.flows.routes import Router, path_rules
from flowlake.flows.schemas import arrow_schema
from flowlake.lake.contracts import contract

ACTIONS = ("ACCEPT", "REJECT", "UNKNOWN")
ENCRYPTION = {0: "clear", 1: "encrypted:nitro", 2: "encrypted:tls", 3: "encrypted:nitro_and_tls"}


@dataclass(frozen=True)
class TagSettings:
    """Which tag keys hold an owner and an app; the first present wins."""

    owner: tuple[str, ...] = ("owner", "Owner", "team", "Team")
    app: tuple[str, ...] = ("app", "App", "application", "Application", "service", "Service")


# --- what travels to the last step -----------------------------------------------------------------------------------

_STATE_FIELDS = [
    ("interface_id", pa.string()),
    ("valid_from", pa.int64()),
    ("account_id", pa.string()),
    ("account_name", pa.string()),
    ("region", pa.string()),
    ("vpc_id", pa.string()),
    ("subnet_id", pa.string()),
    ("availability_zone", pa.string()),
    ("az_id", pa.string()),
    ("type", pa.string()),
    ("name", pa.string()),
    ("arns", pa.list_(pa.string())),
    ("shared", pa.bool_()),
    ("security_group_ids", pa.list_(pa.string())),
    ("tags", pa.map_(pa.string(), pa.string())),
    ("interface_tags", pa.map_(pa.string(), pa.string())),
]
STATES = pa.schema(_STATE_FIELDS)


def states_table(book: Book) -> pa.Table:
    """The book's states with what conversations show of them, row for row."""
    columns = []
    for name, type_ in _STATE_FIELDS:
        values = [_plain(getattr(state, name)) for state in book.states]
        columns.append(pa.array(values, type_))
    return pa.table(columns, schema=STATES)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return sorted(value.items())
    return value


# --- endpoints -------------------------------------------------------------------------------------------------------


def _endpoint_rows(
    endpoints: Endpoints, labels: Sequence[str | None], states: pa.Table, world: World, settings: TagSettings
) -> tuple[pa.Table, npt.NDArray]:
    """One row an endpoint with the columns that follow client_ and server_, and its digest."""
    lookup, hints = world.lookup, world.hints
    known = len(lookup.interfaces)
    size = len(endpoints.who)
    has_state = endpoints.state >= 0
    taken = (
        states.take(pa.array(np.where(has_state, endpoints.state, 0), mask=~has_state))
        if states.num_rows
        else _nulls(STATES, size)
    )
    found = {name: taken[name].to_pylist() for name in STATES.names}
    who, how = endpoints.who.tolist(), endpoints.how.tolist()
    texts = [_text(h, low) for h, low in zip(endpoints.high.tolist(), endpoints.low.tolist(), strict=True)]
    private = is_rfc1918(endpoints.high, endpoints.low).tolist()
    rows = []
    names = []
    for i in range(size):
        row: dict[str, Any] = {
            name: values[i] for name, values in found.items() if name not in ("valid_from", "shared")
        }
        label = labels[int(endpoints.label[i])] if endpoints.label[i] >= 0 else None
        if who[i] >= known:
            facts = hints.facts[who[i] - known]
            row.update({name: facts.get(name) for name in ("account_id", "vpc_id", "subnet_id", "az_id")})
        elif who[i] < 0 and endpoints.scope[i] >= 0:
            row["vpc_id"] = _vpc_text(world, int(endpoints.scope[i]))
        row["interface_id"] = hints.name(lookup, who[i])
        row["addr"] = texts[i]
        row["rfc1918"] = private[i] if texts[i] is not None else None
        row["aws_service"] = label if how[i] == AWS_SERVICE else None
        row["network_name"] = label if how[i] == NETWORK else None
        row["attribution"] = HOWS[how[i]]
        if how[i] in (AWS_SERVICE, NETWORK, PUBLIC):
            row["type"] = HOWS[how[i]]
            row["name"] = label
        for name, keys in (("owner", settings.owner), ("app", settings.app)):
            row[name] = _first_tag(keys, row["tags"], row["interface_tags"])
        row["shared"] = found["shared"][i]
        rows.append(row)
        names.append((row["interface_id"], row["addr"], row["vpc_id"], label, found["valid_from"][i]))
    fields = [(n, contract("conversations").column(f"client_{n}").type) for n in ENDPOINT_COLUMNS]
    schema = pa.schema(
        [(n, arrow_schema(contract("conversations")).field(f"client_{n}").type) for n, _ in fields]
        + [("shared", pa.bool_())]
    )
    return pa.Table.from_pylist(rows, schema=schema), endpoint_digests(endpoints, names)


def _nulls(schema: pa.Schema, size: int) -> pa.Table:
    return pa.table([pa.nulls(size, field.type) for field in schema], schema=schema)


@cache
def _endpoint_columns() -> tuple[str, ...]:
    return tuple(
        c.name.removeprefix("client_") for c in contract("conversations").columns if c.name.startswith("client_")
    )


ENDPOINT_COLUMNS = _endpoint_columns()


def _text(high: int, low: int) -> str | None:
    if high == 0 and low >> 32 == 0xFFFF:
        return socket.inet_ntoa((low & 0xFFFFFFFF).to_bytes(4, "big"))
    if high == 0xFFFFFFFFFFFFFFFF and low == 0:
        return None
    return str(ipaddress.IPv6Address((high << 64) | low))


def _vpc_text(world: World, code: int) -> str | None:
    known = len(world.lookup.vpcs)
    return world.lookup.vpcs.text(code) if code < known else world.hints.vpcs.text(code - known)


def _first_tag(keys: Sequence[str], *tag_sets: Any) -> str | None:
    for tags in tag_sets:
        held = dict(tags or ())
        for key in keys:
            if held.get(key):
                return str(held[key])
    return None


# --- ways out --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How the client's traffic went out: left its VPC or not, by what, by which, and what that rests on."""

    left_vpc: bool | None = None
    via: str | None = None
    by_id: str | None = None
    source: str | None = None


def _way(
    router: Router,
    world: World,
    client: Mapping[str, Any],
    server: Mapping[str, Any],
    codes: Mapping[str, Any],
    texts: Sequence[str | None],
) -> Way:
    """The way out of the client's traffic, by the first that tells: the record's next hop, a NAT gateway's or hop's
    own records, the record's traffic-path, the server's own interface, the subnet's routes, both ends in one VPC.
    """
    stays = path_rules()["stays"]
    same_vpc = (
        client["vpc_id"] is not None and client["vpc_id"] == server["vpc_id"] and server["interface_id"] is not None
    )
    next_type = texts[codes["next_hop_type"]] if codes["next_hop_type"] >= 0 else None
    via = path_rules()["next_hop_type"].get(next_type or "")
    if via and not (via == "interface_endpoint" and not same_vpc):
        return Way(via not in stays, via, texts[codes["next_hop"]] if codes["next_hop"] >= 0 else None, "next_hop")
    if codes["nat"] >= 0:
        return Way(True, "nat_gateway", _served_id(world, codes["nat"]), "nat_interface")
    if codes["hop"] >= 0 and not same_vpc:
        forwards = world.lookup.forwards
        name = world.hints.name(world.lookup, codes["hop"])
        transit = (codes["hop"] < len(forwards) and forwards[codes["hop"]] == 2) or (name or "").startswith("tgw-")
        if transit:
            return Way(True, "transit_gateway", _served_id(world, codes["hop"]), "hop_interface")
    if same_vpc and server["type"] == "vpc_endpoint":
        return Way(False, "interface_endpoint", _arn_id(server["arns"]), "addresses")
    said = path_rules()["traffic_path"].get(str(codes["path"]))
    route = (
        router.way(codes["subnet"], codes["address"]) if codes["subnet"] >= 0 and codes["address"] is not None else None
    )
    if said == "internet_gateway_or_gateway_endpoint":
        if route and route[0] in ("internet_gateway", "gateway_endpoint"):
            return Way(True, route[0], route[1], "record")
        return Way(True)
    if said and said != "same_vpc":
        by_id = route[1] if route and route[0] == said.removeprefix("inter_region_") else None
        return Way(True, said, by_id, "record")
    if said == "same_vpc" and same_vpc:
        return Way(False, "same_vpc", None, "record")
    if same_vpc:
        return Way(False, "same_vpc", None, "addresses")
    if route and route[0] == "peering":
        via = _peering(client["region"], server["region"])
        return Way(True, via, route[1], "route_table") if via else Way(True)
    if route and route[0] != "same_vpc":
        return Way(True, route[0], route[1], "route_table")
    if client["vpc_id"] and server["vpc_id"] and client["vpc_id"] != server["vpc_id"] and server["interface_id"]:
        return Way(True)
    return Way()


def _peering(client_region: str | None, server_region: str | None) -> str | None:
    """Which kind of peering a route's pcx- is, by the regions of both ends; null where one is not known."""
    if client_region is None or server_region is None:
        return None
    return "peering" if client_region == server_region else "inter_region_peering"


def _served_id(world: World, interface: int) -> str | None:
    return world.hints.name(world.lookup, interface)


def _arn_id(arns: Sequence[str] | None) -> str | None:
    return arns[0].rsplit("/", 1)[-1] if arns else None


# --- the table -------------------------------------------------------------------------------------------------------


def present(
    grouped: Grouped,
    labels: Sequence[str | None],
    states: pa.Table,
    world: World,
    router: Router,
    settings: TagSettings,
) -> pa.Table:
    """Rows of the conversations table, in the contract's columns, sorted by account and window."""
    c = grouped.columns
    endpoints, digests = _endpoint_rows(grouped.endpoints, labels, states, world, settings)
    client, server = pa.array(c["client"]), pa.array(c["server"])
    # A record with data has a packet at least: where there are none at all, the format does not tell.
    no_packets = (c["packets_up"] == 0) & (c["packets_down"] == 0)
    columns: dict[str, Any] = {
        "window_start": _moments(c["window_start"]),
        "started_at": _moments(c["started_at"]),
        "ended_at": _moments(c["ended_at"]),
        "protocol": pa.array(c["protocol"], pa.int32()),
        "server_port": pa.array(c["server_port"], pa.int32(), mask=c["server_port"] < 0),
        "action": _coded(c["action"], ACTIONS),
        "leg": _coded(c["leg"], LEGS),
        "uploaded": c["uploaded"],
        "downloaded": c["downloaded"],
        "packets_up": pa.array(c["packets_up"], mask=no_packets),
        "packets_down": pa.array(c["packets_down"], mask=no_packets),
        "connections_opened": pa.array(c["opened"], mask=c["has_flags"] == 0),
        "roles_by": _coded(np.minimum(c["roles_by"], UNKNOWN), ROLES_BY),
        "conversation_id": conversation_ids(grouped, digests),
        "records": c["records"],
        "flags": _flags(grouped, labels, endpoints, world),
        "reporter": _names(grouped.reporters, world),
        "also_reported_by": _names(grouped.also, world),
    }
    for end, rows in (("client", client), ("server", server)):
        taken = endpoints.take(rows)
        columns |= {f"{end}_{name}": taken[name] for name in ENDPOINT_COLUMNS}
    columns |= _ways(grouped, endpoints, labels, world, router)
    columns |= _crossings(columns)
    schema = arrow_schema(contract("conversations"))
    arrays = [
        columns[f.name] if isinstance(columns[f.name], pa.ChunkedArray | pa.Array) else pa.array(columns[f.name])
        for f in schema
    ]
    table = pa.table([a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema)
    order = [("client_account_id", "ascending"), ("window_start", "ascending"), ("conversation_id", "ascending")]
    return table.sort_by(order)


def _moments(seconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC"))


def _coded(codes: npt.NDArray, texts: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(list(texts))).cast(pa.string())


def _names(lists: tuple[npt.NDArray, npt.NDArray], world: World) -> pa.Array:
    offsets, flat = lists
    distinct, of = np.unique(flat, return_inverse=True)
    names = pa.array([world.hints.name(world.lookup, int(code)) for code in distinct], pa.string())
    values = names.take(pa.array(of)) if len(flat) else pa.array([], pa.string())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _flags(grouped: Grouped, labels: Sequence[str | None], endpoints: pa.Table, world: World) -> pa.Array:
    """Warnings and remarks by name, in one order."""
    c = grouped.columns
    shared = endpoints["shared"].fill_null(False).to_numpy()
    lossy = _lossy_reporters(grouped, world)
    named: list[tuple[str, npt.NDArray]] = [
        ("shared_client", shared[c["client"]]),
        ("shared_server", shared[c["server"]]),
        ("contested_client", c["contested_client"] > 0),
        ("contested_server", c["contested_server"] > 0),
        ("possibly_doubled", c["unsure"] > 0),
        ("partial_reporter", lossy),
    ]
    named += [(name, c["encryption"] == code) for code, name in ENCRYPTION.items()]
    for code in np.unique(c["reject_reason"]).tolist():
        if code >= 0:
            named.append((f"reject_reason:{labels[code]}", c["reject_reason"] == code))
    grid = np.stack([mask for _, mask in named], axis=1)
    _, which = np.nonzero(grid)
    offsets = np.concatenate([[0], np.cumsum(grid.sum(axis=1))])
    values = pa.array([name for name, _ in named], pa.string()).take(pa.array(which))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _lossy_reporters(grouped: Grouped, world: World) -> npt.NDArray:
    offsets, flat = grouped.reporters
    if not len(flat) or not len(world.hints.penalty):
        return np.zeros(len(offsets) - 1, dtype=np.bool_)
    penalty = world.hints.penalty[flat]
    lossy = np.concatenate([[0], np.cumsum((penalty & np.uint8(LOSSY | GAPS) > 0) & (penalty != NOT_LOGGED))])
    result: npt.NDArray = lossy[offsets[1:]] > lossy[offsets[:-1]]
    return result


def _ways(
    grouped: Grouped, endpoints: pa.Table, labels: Sequence[str | None], world: World, router: Router
) -> dict[str, pa.Array]:
    """The four path columns; each distinct combination of ends and evidence is looked at once."""
    c = grouped.columns
    keys = np.stack(
        [c[n].astype(np.int64) for n in ("client", "server", "path", "next_hop", "next_hop_type", "nat", "hop")], axis=1
    )
    distinct, of = np.unique(keys, axis=0, return_inverse=True)
    ends = endpoints.select(["vpc_id", "region", "interface_id", "type", "arns"]).to_pylist()
    who, high, low = grouped.endpoints.who, grouped.endpoints.high.tolist(), grouped.endpoints.low.tolist()
    subnets = router.subnet_of(who)
    ways = []
    for client, server, path, next_hop, next_hop_type, nat, hop in distinct.tolist():
        codes = {
            "path": path,
            "next_hop": next_hop,
            "next_hop_type": next_hop_type,
            "nat": nat,
            "hop": hop,
            "subnet": int(subnets[client]),
            "address": (high[server] << 64) | low[server],
        }
        ways.append(_way(router, world, ends[client], ends[server], codes, labels))
    of = of.reshape(-1)
    result = {}
    for name, type_ in (
        ("left_vpc", pa.bool_()),
        ("via", pa.string()),
        ("by_id", pa.string()),
        ("source", pa.string()),
    ):
        result[f"path_{name}"] = pa.array([getattr(way, name) for way in ways], type_).take(pa.array(of))
    return result


def _crossings(columns: Mapping[str, Any]) -> dict[str, pa.Array]:
    import pyarrow.compute as pc

    cross_region = pc.not_equal(columns["client_region"], columns["server_region"])
    zones = pc.not_equal(columns["client_az_id"], columns["server_az_id"])
    names = pc.not_equal(columns["client_availability_zone"], columns["server_availability_zone"])
    one_account = pc.equal(columns["client_account_id"], columns["server_account_id"])
    # Zone names mean the same only within an account; zone ids everywhere.
    by_name = pc.if_else(one_account, names, None)
    cross_az = pc.coalesce(zones, by_name)
    return {"cross_region": cross_region, "cross_az": pc.if_else(cross_region, False, cross_az)}


__all__ = ["ENDPOINT_COLUMNS", "STATES", "InterfaceState", "TagSettings", "present", "states_table"]
