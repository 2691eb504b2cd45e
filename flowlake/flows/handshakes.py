"""Handshakes: which end of a connection serves, by its SYN and SYN-ACK.

A worker sees those in its own objects; the same connection may be recorded in others', by the other end or later in
the hour. Most need not be told there: who answered is a listener that all learn of, or a well-known port says the
same. Of what neither tells, the ports are told to all, in a few bits, so that it does not grow with who tried to reach
whom. Rows of such ports keep both of them, and are decided anew where all rows of a pair of addresses meet
(connections.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flowlake.flows.hashing import distinct
from flowlake.flows.ports import well_known

TCP = 6

SRC_SERVES, DST_SERVES = 1, 2
"""Bits of what handshakes say of a connection, as one of its rows has its ends."""

KEY_BITS = 22
"""Ports of two ends as so many bits. Where others have the same bits, rows keep ports that nothing needs."""

Bools = npt.NDArray[np.bool_]
U32 = npt.NDArray[np.uint32]


def seen(sums: Mapping[str, npt.NDArray]) -> npt.NDArray[np.int8]:
    """What SYN and SYN-ACK of its very connection say of each sum's ends, in whichever of its sums they were seen."""
    opened, answered = sums["opened"] > 0, sums["answered"] == 1
    src, dst = sums["pkt_src"].astype(np.int64), sums["pkt_dst"].astype(np.int64)
    srcport, dstport = sums["srcport"].astype(np.int64), sums["dstport"].astype(np.int64)
    swap = (src > dst) | ((src == dst) & (srcport > dstport))
    a, b = np.where(swap, dst, src), np.where(swap, src, dst)
    ports = np.where(swap, dstport << 16 | srcport, srcport << 16 | dstport)
    # A SYN says that the destination serves, a SYN-ACK that the source does.
    said = np.where(opened, DST_SERVES, 0) | np.where(answered, SRC_SERVES, 0)
    _, connection = distinct(a << 32 | b, ports << 9 | sums["protocol"].astype(np.int64))
    return of_connections(connection, swap, said)


def of_connections(connection: npt.NDArray[np.int64], swap: Bools, said: npt.NDArray) -> npt.NDArray[np.int8]:
    """What the rows of each connection say together, as each of them has its ends. swap: which have them the other way
    round than the rest.
    """
    told = np.zeros(int(connection.max(initial=-1)) + 1, dtype=np.int8)
    np.bitwise_or.at(told, connection, turned(said.astype(np.int8), swap))
    return turned(told[connection], swap)


def turned(said: npt.NDArray[np.int8], where: Bools) -> npt.NDArray[np.int8]:
    """The same of a connection whose ends are named the other way round."""
    return np.where(where, (said & SRC_SERVES) << 1 | (said & DST_SERVES) >> 1, said).astype(np.int8)


def port_keys(srcport: npt.NDArray, dstport: npt.NDArray) -> U32:
    """A number of the two ports, whichever is whose."""
    low, high = np.minimum(srcport, dstport).astype(np.uint64), np.maximum(srcport, dstport).astype(np.uint64)
    mixed = (low << np.uint64(16) | high) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(64 - KEY_BITS)).astype(np.uint32)


def untold(sums: Mapping[str, npt.NDArray]) -> U32:
    """Keys of the ports of opened connections whose server nothing but the SYN tells: its port is not the well-known
    one of the two, and nobody was seen answering there.
    """
    opened, answered = np.flatnonzero(sums["opened"] > 0), np.flatnonzero(sums["answered"] == 1)
    srcport, dstport, protocol = (sums[name][opened] for name in ("srcport", "dstport", "protocol"))
    by_port = well_known(protocol, dstport) & ~well_known(protocol, srcport)
    opened = opened[~by_port]
    asked, known = _servers(sums, opened, "dst"), _servers(sums, answered, "src")
    left = opened[~np.isin(asked, known)]
    return np.unique(port_keys(sums["srcport"][left], sums["dstport"][left]))


def _servers(sums: Mapping[str, npt.NDArray], at: npt.NDArray[np.int64], end: str) -> npt.NDArray[np.int64]:
    """A key of the end's address and port, and of the interface that saw it."""
    interface, address, port = (sums[name][at].astype(np.int64) for name in ("interface", f"pkt_{end}", f"{end}port"))
    return interface << 38 | address << 16 | port
