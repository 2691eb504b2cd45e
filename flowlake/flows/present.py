"""Conversations as integers -> rows of the conversations table: names, tags, zones and ways out joined after
aggregation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.addresses import U64
from flowlake.flows.conversations import Grouped, as_hexadecimal, conversation_digests
from flowlake.flows.endpoints import Shown, TagSettings, Texts, interface_names, show
from flowlake.flows.evidence import GAPS, LOSSY, NOT_LOGGED
from flowlake.flows.roles import ROLES_BY, UNKNOWN
from flowlake.flows.routes import Router
from flowlake.flows.sums import NO_PROTOCOL
from flowlake.flows.ways import ways
from flowlake.flows.world import LEGS, World
from flowlake.lake.contracts import contract

ACTIONS = ("ACCEPT", "REJECT", "UNKNOWN")
ENCRYPTION = {0: "clear", 1: "encrypted:nitro", 2: "encrypted:tls", 3: "encrypted:nitro_and_tls"}


ROWS_A_GROUP = 250_000


# --- the table -------------------------------------------------------------------------------------------------------


def present(
    grouped: Grouped,
    labels: Sequence[str | None],
    states: pa.Table,
    world: World,
    router: Router,
    settings: TagSettings,
) -> Iterator[pa.Table]:
    """Rows of the conversations table, sorted by account and window, a row group at a time, that memory may hold them.

    In the contract's columns; texts are dictionaries of each row group's own.
    """
    ends = show(grouped.endpoints, labels, states, world, settings)
    ids = conversation_digests(grouped, ends.digests)
    order = _order(grouped, ends, ids)
    for begin in range(0, len(order), ROWS_A_GROUP):
        rows = order[begin : begin + ROWS_A_GROUP]
        columns = _columns(grouped.take(rows), ends, labels, world, router)
        columns["conversation_id"] = as_hexadecimal(*(words[rows] for words in ids))
        yield pa.table({c.name: columns[c.name] for c in contract("conversations").columns})


def _order(grouped: Grouped, ends: Shown, ids: tuple[U64, U64]) -> npt.NDArray[np.int64]:
    """By the client's account (none comes last), window and id."""
    account = ends.texts["account_id"]
    names = account.texts.to_pylist()
    rank = np.append(np.argsort(np.argsort(np.array(names, dtype=object))), len(names))
    windows, window = np.unique(grouped.columns["window_start"], return_inverse=True)
    return order_by(rank[account.codes][grouped.columns["client"]] * len(windows) + window, ids)


def order_by(place: npt.NDArray[np.int64], ids: tuple[U64, U64]) -> npt.NDArray[np.int64]:
    """The order of rows by place (0 or more), then by the two words of their ids; few of these begin alike."""
    by_id = np.argsort(ids[0])
    if bool(np.any(ids[0][by_id[1:]] == ids[0][by_id[:-1]])):
        by_id = np.lexsort((ids[1], ids[0]))
    # numpy sorts so short integers by counting.
    kind = np.uint16 if place.max(initial=0) < 1 << 16 else np.int64
    return by_id[np.argsort(place[by_id].astype(kind), kind="stable")]


def _columns(
    grouped: Grouped, ends: Shown, labels: Sequence[str | None], world: World, router: Router
) -> dict[str, pa.Array]:
    c = grouped.columns
    # A record with data has a packet at least: where there are none at all, the format does not tell.
    no_packets = (c["packets_up"] == 0) & (c["packets_down"] == 0)
    columns = {
        "window_start": _moments(c["window_start"]),
        "started_at": _moments(c["started_at"]),
        "ended_at": _moments(c["ended_at"]),
        "protocol": pa.array(c["protocol"], pa.int32(), mask=c["protocol"] == NO_PROTOCOL),
        "server_port": pa.array(c["server_port"], pa.int32(), mask=c["server_port"] < 0),
        "action": Texts.of(c["action"], ACTIONS).array(),
        "leg": Texts.of(c["leg"], LEGS).array(),
        "uploaded": pa.array(c["uploaded"]),
        "downloaded": pa.array(c["downloaded"]),
        "packets_up": pa.array(c["packets_up"], mask=no_packets),
        "packets_down": pa.array(c["packets_down"], mask=no_packets),
        "connections_opened": pa.array(c["opened"], mask=c["has_flags"] == 0),
        "roles_by": Texts.of(np.minimum(c["roles_by"], UNKNOWN), ROLES_BY).array(),
        "records": pa.array(c["records"]),
        "flags": _flags(grouped, labels, ends.shared, world),
        "reporter": _names(grouped.reporters, world),
        "also_reported_by": _names(grouped.also, world),
    }
    columns |= ends.columns("client", c["client"]) | ends.columns("server", c["server"])
    return columns | ways(grouped, ends, labels, world, router) | _crossings(c["client"], c["server"], ends)


def _moments(seconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC"))


def _names(lists: tuple[npt.NDArray, npt.NDArray], world: World) -> pa.Array:
    offsets, flat = lists
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), interface_names(flat, world).array())


def _flags(grouped: Grouped, labels: Sequence[str | None], shared: npt.NDArray, world: World) -> pa.Array:
    """Warnings and remarks by name, in one order. shared: of the endpoints."""
    c = grouped.columns
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
    values = Texts.of(which, [name for name, _ in named])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values.array())


def _lossy_reporters(grouped: Grouped, world: World) -> npt.NDArray:
    offsets, flat = grouped.reporters
    if not len(flat) or not len(world.hints.penalty):
        return np.zeros(len(offsets) - 1, dtype=np.bool_)
    penalty = world.hints.penalty[flat]
    lossy = np.concatenate([[0], np.cumsum((penalty & np.uint8(LOSSY | GAPS) > 0) & (penalty != NOT_LOGGED))])
    result: npt.NDArray = lossy[offsets[1:]] > lossy[offsets[:-1]]
    return result


def _crossings(client: npt.NDArray, server: npt.NDArray, ends: Shown) -> dict[str, pa.Array]:
    """Whether the ends lie in two regions, or in two zones of one."""

    def compared(name: str) -> tuple[npt.NDArray, npt.NDArray]:
        one, two = (ends.texts[name].codes[rows] for rows in (client, server))
        return (one >= 0) & (two >= 0), one != two

    regions_known, regions_differ = compared("region")
    zones_known, zones_differ = compared("az_id")
    names_known, names_differ = compared("availability_zone")
    accounts_known, accounts_differ = compared("account_id")
    # Zone names mean the same only within an account; zone ids everywhere.
    known = zones_known | (names_known & accounts_known & ~accounts_differ)
    differ = np.where(zones_known, zones_differ, names_differ)
    return {
        "cross_region": pa.array(regions_differ, mask=~regions_known),
        "cross_az": pa.array(differ & ~regions_differ, mask=~(regions_known & (known | regions_differ))),
    }


__all__ = ["ROWS_A_GROUP", "present"]
