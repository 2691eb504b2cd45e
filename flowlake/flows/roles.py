"""Client and server, decided after the reporter's side is known: what the inventory says listens, handshakes of the
connection, listeners learned from the hour's other handshakes, well-known ports; else unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlake.flows.addresses import is_public
from flowlake.flows.evidence import Hints, listener_scope
from flowlake.flows.hashing import distinct
from flowlake.flows.lookup import Lookup

ROLES_BY = ("inventory", "handshake", "listener", "well_known_port", "unknown")
INVENTORY, HANDSHAKE, LISTENER, WELL_KNOWN, UNKNOWN = range(5)

Bools = npt.NDArray[np.bool_]


@cache
def _services() -> tuple[int, frozenset[int], dict[int, npt.NDArray[np.bool_]]]:
    document = json.loads((resources.files(__package__) / "services.json").read_text(encoding="utf-8"))
    known: dict[int, npt.NDArray[np.bool_]] = {}
    for protocol, ports in document["ports"].items():
        listed = np.zeros(65536, dtype=np.bool_)
        listed[ports] = True
        listed[1 : document["below"]] = True
        known[int(protocol)] = listed
    return document["below"], frozenset(document["protocols_with_ports"]), known


def has_ports(protocol: npt.NDArray) -> Bools:
    """Whether the protocol has ports (TCP, UDP, SCTP, …); ICMP has none."""
    return np.isin(protocol, list(_services()[1]))


def decide(
    lookup: Lookup,
    hints: Hints,
    sums: Mapping[str, npt.NDArray],
    ends: Mapping[str, Any],
    lies_in: Mapping[str, npt.NDArray],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """For each sum: 1 where the source is the client, 0 where the destination is, -1 unknown; and the rule that
    said so.

    sums: with src_answers and dst_answers, as handshakes has them. lies_in: for each end the VPC its address lies in.
    """
    rows = len(sums["protocol"])
    with_ports = has_ports(sums["protocol"])
    client_is_src = np.full(rows, -1, dtype=np.int8)
    roles_by = np.full(rows, UNKNOWN, dtype=np.int8)

    def settle(src_serves: Bools, dst_serves: Bools, rule: int) -> None:
        sure = with_ports & (roles_by == UNKNOWN) & (src_serves != dst_serves)
        client_is_src[sure] = dst_serves[sure]
        roles_by[sure] = rule

    def both(serves: Callable[[str], Bools], rule: int) -> None:
        settle(serves("src"), serves("dst"), rule)

    both(lambda end: _listens(lookup, ends[f"{end}_state"], sums[f"{end}port"]), INVENTORY)
    settle(sums["src_answers"], sums["dst_answers"], HANDSHAKE)
    both(lambda end: _learned(hints, ends, end, sums[f"{end}port"], lies_in[end]), LISTENER)
    both(lambda end: _well_known(sums["protocol"], sums[f"{end}port"]), WELL_KNOWN)
    return client_is_src, roles_by


def _listens(lookup: Lookup, state: npt.NDArray, port: npt.NDArray) -> Bools:
    """Whether the inventory says that the end, in its state then, listens on the port."""
    if not lookup.listens:
        return np.zeros(len(state), dtype=np.bool_)
    keys = np.array(sorted(s * 65536 + p for s, ports in lookup.listens.items() for p in ports), dtype=np.int64)
    asked = state.astype(np.int64) * 65536 + port
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return (keys[at] == asked) & (state >= 0)


def handshakes(sums: Mapping[str, npt.NDArray]) -> tuple[Bools, Bools]:
    """Which end serves, the source or the destination, by SYN and SYN-ACK of this very connection, in whichever of its
    sums they were seen.
    """
    opened, answered = sums["opened"] > 0, sums["answered"] == 1
    src, dst = sums["pkt_src"].astype(np.int64), sums["pkt_dst"].astype(np.int64)
    srcport, dstport = sums["srcport"].astype(np.int64), sums["dstport"].astype(np.int64)
    swap = (src > dst) | ((src == dst) & (srcport > dstport))
    a, b = np.where(swap, dst, src), np.where(swap, src, dst)
    ports = np.where(swap, dstport << 16 | srcport, srcport << 16 | dstport)
    connections, connection = distinct(a << 32 | b, ports << 8 | sums["protocol"].astype(np.int64))
    count = len(connections)
    a_serves, b_serves = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    # A SYN says that the destination serves, a SYN-ACK that the source does.
    b_serves[connection[(opened & ~swap) | (answered & swap)]] = True
    a_serves[connection[(opened & swap) | (answered & ~swap)]] = True
    a_of, b_of = a_serves[connection], b_serves[connection]
    return np.where(swap, b_of, a_of), np.where(swap, a_of, b_of)


def _learned(hints: Hints, ends: Mapping[str, Any], end: str, port: npt.NDArray, vpc: npt.NDArray) -> Bools:
    """Whether the hour's other handshakes show the end answering on the port."""
    if not len(hints.listeners.keys):
        return np.zeros(len(port), dtype=np.bool_)
    high, low = ends[f"{end}_high"], ends[f"{end}_low"]
    scope = listener_scope(vpc, is_public(high, low), port)
    begin, stop = hints.listeners.find(scope, high, low)
    return stop > begin


def _well_known(protocol: npt.NDArray, port: npt.NDArray) -> Bools:
    below, _, known = _services()
    result = (port > 0) & (port < below)
    for number, listed in known.items():
        result |= (protocol == number) & listed[port]
    return result
