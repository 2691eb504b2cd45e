"""Connections: who opened which to whom, when, and how much went each way.

A batch is some tens of thousands of connections that begin in one five-minute step, as arrays of equal length.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowlake.sandbox.model import Edge
from flowlake.sandbox.tables import NAT_GATEWAY, NO_WAY, TRANSIT_GATEWAY, Ints, Tables, ways_of

ACCEPTED, REFUSED_BY_SERVER, REFUSED_BY_CLIENT = 0, 1, 2
VERDICTS = {"accepted": ACCEPTED, "refused_by_server": REFUSED_BY_SERVER, "refused_by_client": REFUSED_BY_CLIENT}
TCP = 6
GROWING = 12
"""Connections a step of an edge whose volume is set hour by hour."""


@dataclass
class Connections:
    """One row is one connection. Times are milliseconds since time 0; client and server are endpoints."""

    id: Ints
    edge: Ints
    client: Ints
    server: Ints
    client_port: Ints
    server_port: Ints
    protocol: Ints
    starts: Ints
    ends: Ints
    """Time of the last packet."""
    bytes_up: Ints
    bytes_down: Ints
    packets_up: Ints
    packets_down: Ints
    verdict: Ints
    way: Ints
    nat: Ints
    """Interface of the NAT gateway, or -1."""
    nat_port: Ints
    hop_client: Ints
    """Transit gateway interface on the client's side, or -1."""
    hop_server: Ints

    def __len__(self) -> int:
        return len(self.id)

    def take(self, which: NDArray | slice) -> Connections:
        return Connections(*(getattr(self, f.name)[which] for f in fields(self)))

    @staticmethod
    def concatenate(parts: list[Connections]) -> Connections:
        return Connections(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Connections)))


class Source:
    """Draws connections from the estate's edges."""

    def __init__(self, tables: Tables, edges: list[Edge], seed: int) -> None:
        self.tables, self.edges, self.seed = tables, edges, seed
        members = tables.members

        def column(values: list[Any], kind: type = np.int64) -> NDArray:
            return np.array(values, kind)

        self.weight = column([e.weight for e in edges], np.float64)
        self.client_first = column([members.first_slot[e.client] for e in edges])
        self.client_slots = column([members.slots[e.client] for e in edges])
        self.server_first = column([members.first_slot[e.server] for e in edges])
        self.server_slots = column([members.slots[e.server] for e in edges])
        self.weight[(self.client_slots == 0) | (self.server_slots == 0)] = 0
        self.port = column([e.port for e in edges])
        self.protocol = column([e.protocol for e in edges])
        self.seconds = column([e.seconds for e in edges], np.float64)
        self.verdict = column([VERDICTS[e.verdict] for e in edges])
        self.spread_ports = column([e.spread_ports for e in edges])
        self.up = column([(e.up.median, e.up.spread, e.up.largest) for e in edges], np.float64).T
        self.down = column([(e.down.median, e.down.spread, e.down.largest) for e in edges], np.float64).T
        self.weight[[n for n, e in enumerate(edges) if e.growth is not None]] = 0
        self._last_hour: int | None = None
        self._share = self.weight / self.weight.sum()

    def _shares(self, hour: int) -> NDArray:
        """Each edge's share of the connections of this hour (counted from the first; -1 is none of those asked for)."""
        if hour != self._last_hour:
            weight = self.weight.copy()
            for index, edge in enumerate(self.edges):
                if edge.hours is not None and hour not in edge.hours:
                    weight[index] = 0
            self._share, self._last_hour = weight / weight.sum(), hour
        return self._share

    def _growing(self, hour: int) -> dict[int, float]:
        """Factor on the mean size of the edges whose volume is set, for this hour."""
        return {n: e.growth[hour] for n, e in enumerate(self.edges) if e.growth is not None and hour >= 0}

    def draw(
        self,
        count: int,
        step: int,
        batch: int,
        starts: int,
        ends: int,
        span_ends: int,
        hour: int,
        growing: bool = False,
    ) -> Connections:
        """About `count` connections that begin in [starts, ends); those that can't be are left out.

        growing: with the edges whose volume is set hour by hour, beside the count.
        """
        assert count < 1 << 17, "ids have room for 262,144 connections a batch"
        assert batch < 1 << 8, "ids have room for 256 batches a step"
        rng = np.random.default_rng([self.seed, 21, step, batch])
        tables, members = self.tables, self.tables.members
        edge = np.repeat(np.arange(len(self.edges)), rng.multinomial(count, self._shares(hour)))
        volumes = self._growing(hour) if growing else {}
        edge = np.concatenate([edge, np.repeat(np.array(list(volumes), np.int64), GROWING)])
        n = len(edge)
        begin = rng.integers(starts, ends, n)
        client_slot = self.client_first[edge] + (rng.random(n) * self.client_slots[edge]).astype(np.int64)
        server_slot = self.server_first[edge] + (rng.random(n) * self.server_slots[edge]).astype(np.int64)
        client, server = members.holding(client_slot, begin), members.holding(server_slot, begin)
        way = ways_of(tables, client, server)
        number = np.arange(n)
        real = (client >= 0) & (server >= 0) & (client != server) & (way != NO_WAY)
        real &= tables.endpoint_interface[client] != tables.endpoint_interface[server]
        # Of two address families none talks to the other.
        v6 = tables.address_is_v6[tables.endpoint_address]
        real &= v6[client] == v6[server]
        seconds = self.seconds[edge] * np.exp(rng.standard_normal(n))
        finish = begin + (seconds * 1000).astype(np.int64)
        alive = np.minimum(members.until[client], members.until[server])
        finish = np.maximum(np.minimum(np.minimum(finish, alive - 1), span_ends - 1), begin)
        protocol, verdict = self.protocol[edge], self.verdict[edge]
        bytes_up = _sizes(rng, self.up, edge)
        bytes_down = _sizes(rng, self.down, edge)
        for which, factor in volumes.items():
            _scale(bytes_up, edge == which, self.up[0][which] * factor)
            _scale(bytes_down, edge == which, self.down[0][which] * factor)
        packets_up, packets_down = 1 + bytes_up // 1350, 1 + bytes_down // 1350
        tcp = protocol == TCP
        packets_up = np.where(tcp, packets_up + 3 + packets_down // 3, packets_up)
        packets_down = np.where(tcp, packets_down + 2 + packets_up // 4, packets_down)
        silent = self.down[0][edge] == 0
        packets_down[silent] = 0
        refused = verdict != ACCEPTED
        tries = 1 + rng.integers(0, 3, n)
        packets_up, packets_down = np.where(refused, tries, packets_up), np.where(refused, 0, packets_down)
        bytes_up = np.where(refused, tries * np.where(tcp, 44, 60), bytes_up + packets_up * np.where(tcp, 52, 28))
        bytes_down = np.where(packets_down == 0, 0, bytes_down + packets_down * np.where(tcp, 52, 28))
        finish = np.where(refused, np.minimum(finish, begin + 3_000), finish)
        spread = self.spread_ports[edge]
        server_port = np.where(
            spread > 0, 1 + (rng.random(n) * np.maximum(spread, 1)).astype(np.int64), self.port[edge]
        )
        client_port = 32_768 + (rng.integers(0, 28_232) + number * 7_919) % 28_232
        client_port[protocol == 1] = 0
        nat_port = np.where(protocol == 1, 0, 1_024 + (client_port * 31 + number * 17) % 64_000)
        nat = np.where(way == NAT_GATEWAY, tables.subnet_nat[tables.endpoint_subnet[client]], -1)
        over = way == TRANSIT_GATEWAY
        hop_client = np.where(over, _hop(tables, client), -1)
        hop_server = np.where(over, _hop(tables, server), -1)
        drawn = Connections(
            (step << 26) + (batch << 18) + number,
            edge, client, server, client_port, server_port, protocol, begin, finish, bytes_up, bytes_down, packets_up,
            packets_down, verdict, way, nat, nat_port, hop_client, hop_server,
        )  # fmt: skip
        return drawn.take(real)


def _scale(sizes: Ints, which: NDArray[np.bool_], mean: float) -> None:
    """Makes the mean of these sizes what it shall be."""
    sizes[which] = (sizes[which] * (mean * GROWING / max(int(sizes[which].sum()), 1))).astype(np.int64)


def _sizes(rng: np.random.Generator, size: NDArray, edge: Ints) -> Ints:
    median, spread, largest = size[0][edge], size[1][edge], size[2][edge]
    drawn: Ints = np.minimum(median * np.exp(spread * rng.standard_normal(len(edge))), largest).astype(np.int64)
    return drawn


def _hop(tables: Tables, endpoint: Ints) -> Ints:
    vpc = tables.endpoint_vpc[endpoint]
    zone = np.maximum(tables.endpoint_zone[endpoint], 0)
    hop: Ints = np.where(vpc >= 0, tables.hop[np.maximum(vpc, 0), zone], -1)
    return hop


def packets_before(total: Ints, starts: Ints, ends: Ints, moment: Ints) -> Ints:
    """How many of a direction's packets passed before the moment: they are evenly spaced over [starts, ends]."""
    length = np.maximum(ends - starts, 1)
    gaps = np.maximum(total - 1, 1)
    inside = -(-(moment - starts) * gaps // length)
    inside = np.where((ends == starts) | (total == 1), 1, inside)
    count: Ints = np.where(moment <= starts, 0, np.where(moment > ends, total, np.clip(inside, 1, total)))
    return count


def packet_time(total: Ints, starts: Ints, ends: Ints, packet: Ints) -> Ints:
    """When the packet with this number (from 0) passed."""
    moment: Ints = starts + packet * (ends - starts) // np.maximum(total - 1, 1)
    return moment
