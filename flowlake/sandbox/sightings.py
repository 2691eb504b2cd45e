"""Records: which interfaces saw which part of a connection, cut by their own aggregation intervals.

A view is one interface seeing one connection; a record is one direction of a view within one interval of that
interface. Every interface has its own phase, and its clock is off as the documentation allows, so two ends of one
connection agree on its bytes in sum only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from flowlake.sandbox.tables import (
    COVER,
    GATEWAY_ENDPOINT,
    INTER_REGION_PEERING,
    INTERNET_GATEWAY,
    PEERING,
    VPN_GATEWAY,
    Ints,
    Tables,
)
from flowlake.sandbox.traffic import (
    ACCEPTED,
    REFUSED_BY_CLIENT,
    REFUSED_BY_SERVER,
    TCP,
    Connections,
    packet_time,
    packets_before,
)

CLIENT, SERVER, NAT_INSIDE, NAT_OUTSIDE, HOP_CLIENT, HOP_SERVER = range(6)
POINTS = ("client", "server", "nat_inside", "nat_outside", "hop_client", "hop_server")
LEGS = ("direct", "nat_inside", "nat_outside", "hop")
LEG_OF_POINT = np.array([0, 0, 1, 2, 3, 3], np.int8)
"""The client's own interface sees the nat_inside leg where a connection goes out by NAT."""

SYN, SYN_ACK, FIN, RST = 2, 18, 1, 4
STEP = 300_000
"""Milliseconds of a step: objects are delivered about every five minutes."""


@dataclass
class Habits:
    """How AWS behaves: seconds of clock skew, shares of windows whose records are late or partly lost."""

    skew_seconds: int = 60
    late_share: float = 0.01
    skipdata_share: float = 0.0005
    window_bounds_share: float = 0.25
    late_object_share: float = 0.01
    repeated_object_share: float = 0.005
    torn_object_share: float = 0.0
    """Only where asked for: what is torn off is lost."""
    late_aside: bool = False
    """Whether objects that are late by more than an hour lie under late/raw/ instead of raw/."""


@dataclass
class Records:
    """One row is one record of one interface, before flow logs pick it. Addresses are indices of Tables.addresses."""

    connection: Ints
    """Row of the connection in the batch."""
    point: Ints
    up: NDArray[np.bool_]
    interface: Ints
    egress: NDArray[np.bool_]
    source: Ints
    destination: Ints
    packet_source: Ints
    packet_destination: Ints
    source_port: Ints
    destination_port: Ints
    packets: Ints
    bytes: Ints
    start: Ints
    """Seconds since the epoch, as the record says."""
    end: Ints
    accepted: NDArray[np.bool_]
    flags: Ints
    traffic_path: Ints
    next_hop: Ints
    """Interface of the next hop, or -1."""
    first_packet: Ints
    last_packet: Ints
    window: Ints
    step: Ints
    """Five-minute step in which it is delivered."""
    window_step: Ints

    def take(self, which: NDArray) -> Records:
        return Records(*(getattr(self, f.name)[which] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.connection)


def mix(*numbers: Ints | int) -> NDArray[np.uint64]:
    """A hash of the numbers, row by row: the same in every run."""
    state = np.full(1, 0x9E3779B97F4A7C15, np.uint64)
    with np.errstate(over="ignore"):
        for number in numbers:
            state = (state ^ np.asarray(number).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
            state = state ^ (state >> np.uint64(29))
            state = state * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(32))
    return state


def share(seed: int, purpose: int, *numbers: Ints) -> NDArray:
    """A number in [0, 1) for each row, by hash."""
    return (mix(seed, purpose, *numbers) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def lag_seconds(seed: int, habits: Habits, interface: Ints, window: Ints) -> Ints:
    lag: Ints = (share(seed, 1, interface, window) * (habits.skew_seconds + 1)).astype(np.int64)
    return lag


def skips(seed: int, habits: Habits, interface: Ints, window: Ints) -> NDArray[np.bool_]:
    """Whether the interface lost records in this interval: its log says SKIPDATA."""
    lost: NDArray[np.bool_] = share(seed, 2, interface, window) < habits.skipdata_share
    return lost


def look(
    tables: Tables, batch: Connections, habits: Habits, seed: int, within: tuple[int, int] | None = None
) -> Records:
    """All records of the batch; with `within`, only those of intervals that end in (within[0], within[1]]."""
    rows, point, interface = _views(tables, batch)
    seen = tables.cover[interface, 0] >= 0
    rows, point, interface = rows[seen], point[seen], interface[seen]
    window, phase = tables.interface_window[interface], tables.interface_phase[interface]
    first = (batch.starts[rows] - phase) // window
    last = (batch.ends[rows] - phase) // window
    if within is not None:
        first = np.maximum(first, (within[0] - phase) // window)
        last = np.minimum(last, (within[1] - phase) // window - 1)
    count = np.maximum(last - first + 1, 0)
    view = np.repeat(np.arange(len(rows)), count)
    index = np.repeat(first, count) + np.arange(len(view)) - np.repeat(np.cumsum(count) - count, count)
    both = np.concatenate([view, view]), np.concatenate([index, index])
    up = np.arange(2 * len(view)) < len(view)
    return _cut(tables, batch, habits, seed, rows, point, interface, *both, up)


def _views(tables: Tables, batch: Connections) -> tuple[Ints, Ints, Ints]:
    client, server = tables.endpoint_interface[batch.client], tables.endpoint_interface[batch.server]
    left = batch.verdict != REFUSED_BY_CLIENT
    parts = []
    for point, interface, which in (
        (CLIENT, client, client >= 0),
        (SERVER, server, (server >= 0) & left),
        (NAT_INSIDE, batch.nat, (batch.nat >= 0) & left),
        (NAT_OUTSIDE, batch.nat, (batch.nat >= 0) & left),
        (HOP_CLIENT, batch.hop_client, (batch.hop_client >= 0) & left),
        (HOP_SERVER, batch.hop_server, (batch.hop_server >= 0) & left),
    ):
        rows = np.flatnonzero(which)
        parts.append((rows, np.full(len(rows), point), interface[rows]))
    rows, points, interfaces = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return rows, points, interfaces


def _cut(
    tables: Tables, batch: Connections, habits: Habits, seed: int, view_rows: Ints, view_point: Ints,
    view_interface: Ints, view: Ints, index: Ints, up: NDArray[np.bool_],
) -> Records:  # fmt: skip
    rows = view_rows[view]
    total = np.where(up, batch.packets_up[rows], batch.packets_down[rows])
    interface = view_interface[view]
    window, phase = tables.interface_window[interface], tables.interface_phase[interface]
    opens = phase + index * window
    starts, ends = batch.starts[rows], batch.ends[rows]
    before = packets_before(total, starts, ends, opens)
    after = packets_before(total, starts, ends, opens + window)
    kept = (after > before) & (total > 0)
    if habits.skipdata_share:
        lost = skips(seed, habits, interface, index)
        kept &= ~(lost & (share(seed, 3, interface, batch.id[rows], up.astype(np.int64)) < 0.7))
    where = np.flatnonzero(kept)
    rows, total, interface, index, up = rows[where], total[where], interface[where], index[where], up[where]
    before, after, opens, starts, ends = before[where], after[where], opens[where], starts[where], ends[where]
    window, point = window[where], view_point[view[where]]
    size = np.where(up, batch.bytes_up[rows], batch.bytes_down[rows])
    packets = after - before
    volume = size * after // total - size * before // total
    first = packet_time(total, starts, ends, before)
    last = packet_time(total, starts, ends, after - 1)
    lag = lag_seconds(seed, habits, interface, index)
    bounds = tables.interface_bounds[interface]
    start = (tables.zero + np.where(bounds, opens, first)) // 1000 + lag
    end = np.maximum((tables.zero + np.where(bounds, opens + window - 1000, last)) // 1000 + lag, start)
    verdict = batch.verdict[rows]
    refused = ((verdict == REFUSED_BY_SERVER) & (point == SERVER)) | (verdict == REFUSED_BY_CLIENT)
    tcp = batch.protocol[rows] == TCP
    closing = np.where(batch.id[rows] % 11 == 0, RST, FIN)
    flags = np.where(before == 0, np.where(up, SYN, SYN_ACK), 0)
    flags = np.where((after == total) & (verdict == ACCEPTED), flags | closing, flags)
    flags = np.where(tcp, flags, 0)
    source, destination, packet_source, packet_destination, source_port, destination_port = _addresses(
        tables, batch, rows, point, interface, up
    )
    # Up is egress where the traffic leaves by this interface: at the client, and beyond NAT and the far hop.
    egress = np.isin(point, (CLIENT, NAT_OUTSIDE, HOP_SERVER)) == up
    path = _traffic_path(tables, batch, rows, point, interface, up, egress)
    closes = opens + window
    late = share(seed, 4, interface, index)
    delay = np.where(late < habits.late_share, 300_000 + (late / max(habits.late_share, 1e-9) * 600_000), late * 90_000)
    return Records(
        rows, point, up, interface, egress, source, destination, packet_source, packet_destination, source_port,
        destination_port, packets, volume, start, end, ~refused, flags, path,
        _next_hop(tables, batch, rows, point, up, egress), tables.zero + first, tables.zero + last, index,
        (closes + delay.astype(np.int64)) // STEP, (closes - 1) // STEP,
    )  # fmt: skip


def _addresses(
    tables: Tables, batch: Connections, rows: Ints, point: Ints, interface: Ints, up: NDArray[np.bool_]
) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints]:
    """src, dst, pkt-src, pkt-dst, srcport, dstport: srcaddr and dstaddr show the own interface's primary address."""
    client, server = tables.endpoint_address[batch.client[rows]], tables.endpoint_address[batch.server[rows]]
    own = tables.interface_address[interface]
    # An IPv6 address is shown as it is.
    shown_client = np.where(tables.address_is_v6[client], client, own)
    shown_server = np.where(tables.address_is_v6[server], server, own)
    near = np.select([point == CLIENT, point == NAT_OUTSIDE, point == HOP_SERVER], [shown_client, own, own], client)
    # A regional NAT gateway has no address in the VPC: its inside shows the far end where a zonal one shows itself.
    inside = np.where(tables.interface_regional[interface], server, own)
    far = np.select([point == SERVER, point == NAT_INSIDE, point == HOP_CLIENT], [shown_server, inside, own], server)
    packet_near = np.where(point == NAT_OUTSIDE, own, client)
    packet_far = server
    client_port, server_port = batch.client_port[rows], batch.server_port[rows]
    near_port = np.where(point == NAT_OUTSIDE, batch.nat_port[rows], client_port)
    return (
        np.where(up, near, far), np.where(up, far, near),
        np.where(up, packet_near, packet_far), np.where(up, packet_far, packet_near),
        np.where(up, near_port, server_port), np.where(up, server_port, near_port),
    )  # fmt: skip


def _traffic_path(
    tables: Tables, batch: Connections, rows: Ints, point: Ints, interface: Ints, up: NDArray[np.bool_],
    egress: NDArray[np.bool_],
) -> Ints:  # fmt: skip
    """traffic-path of egress records, 0 for none. NAT and transit gateways have no code: they are in the VPC (1)."""
    nitro = tables.interface_nitro[interface]
    way = batch.way[rows]
    at_end = np.isin(point, (CLIENT, SERVER))
    path = np.select(
        [
            way == PEERING,
            way == INTER_REGION_PEERING,
            way == VPN_GATEWAY,
            way == INTERNET_GATEWAY,
            way == GATEWAY_ENDPOINT,
        ],
        [4, 5, 3, np.where(nitro, 8, 2), np.where(nitro, 7, 2)],
        1,
    )
    path = np.where(at_end, path, np.where((point == NAT_OUTSIDE) & up, np.where(nitro, 8, 2), 1))
    return np.where(egress, path, 0)


def _next_hop(
    tables: Tables, batch: Connections, rows: Ints, point: Ints, up: NDArray[np.bool_], egress: NDArray[np.bool_]
) -> Ints:
    """The interface that the packets go to next, for egress records within the VPC or over its own hops."""
    client, server = tables.endpoint_interface[batch.client[rows]], tables.endpoint_interface[batch.server[rows]]
    nat, hop_c, hop_s = batch.nat[rows], batch.hop_client[rows], batch.hop_server[rows]
    within = tables.endpoint_vpc[batch.client[rows]] == tables.endpoint_vpc[batch.server[rows]]
    from_client = np.where(nat >= 0, nat, np.where(hop_c >= 0, hop_c, np.where(within, server, -1)))
    from_server = np.where(hop_s >= 0, hop_s, np.where(within, client, -1))
    hop = np.select(
        [(point == CLIENT) & up, (point == SERVER) & ~up, (point == HOP_SERVER) & up, (point == HOP_CLIENT) & ~up,
         (point == NAT_INSIDE) & ~up],
        [from_client, from_server, server, client, client], -1,
    )  # fmt: skip
    return np.where(egress, hop, -1)


def covered(tables: Tables, records: Records) -> tuple[Ints, Ints]:
    """(row, flow log) for every flow log that takes a record: its interface is covered, and its action wanted."""
    rows, logs = [], []
    for column in range(COVER):
        log = tables.cover[records.interface, column]
        traffic = tables.log_traffic[log]
        wanted = (log >= 0) & ((traffic == 0) | ((traffic == 1) == records.accepted))
        where = np.flatnonzero(wanted)
        rows.append(where)
        logs.append(log[where])
    return np.concatenate(rows), np.concatenate(logs)
