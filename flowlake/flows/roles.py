"""Client and server, decided after the reporter's side is known: what the inventory says listens, handshakes of the
connection, listeners learned from the hour's other handshakes, well-known ports; else unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlake.flows.addresses import is_public
from flowlake.flows.handshakes import DST_SERVES, SRC_SERVES, TCP, port_keys
from flowlake.flows.hints import Hints, listener_scope
from flowlake.flows.lookup import Lookup
from flowlake.flows.ports import has_ports, well_known

ROLES_BY = ("inventory", "handshake", "listener", "well_known_port", "unknown")
INVENTORY, HANDSHAKE, LISTENER, WELL_KNOWN, UNKNOWN = range(5)

Bools = npt.NDArray[np.bool_]


@dataclass
class Decided:
    """Of each sum: client_is_src 1 where the source is the client, 0 where the destination is, -1 unknown; roles_by
    the rule that said so; and whether what another worker saw of the connection may say otherwise (see
    handshakes.py): then the rows keep both ports.
    """

    client_is_src: npt.NDArray[np.int8]
    roles_by: npt.NDArray[np.int8]
    open: Bools


def decide(
    lookup: Lookup,
    hints: Hints,
    sums: Mapping[str, npt.NDArray],
    ends: Mapping[str, Any],
    lies_in: Mapping[str, npt.NDArray],
) -> Decided:
    """Client and server of each sum.

    sums: with handshake, as handshakes.seen has it. lies_in: for each end the VPC its address lies in.
    """
    protocol, said = sums["protocol"], sums["handshake"]
    ports = {end: sums[f"{end}port"] for end in ("src", "dst")}
    listens = {end: _listens(lookup, ends[f"{end}_state"], port) for end, port in ports.items()}
    learned = {end: _learned(hints, ends, end, port, lies_in[end]) for end, port in ports.items()}
    known = {end: well_known(protocol, port) for end, port in ports.items()}
    by_rule = {
        INVENTORY: _client_is_src(listens["src"], listens["dst"]),
        HANDSHAKE: _client_is_src(said & SRC_SERVES > 0, said & DST_SERVES > 0),
        LISTENER: _client_is_src(learned["src"], learned["dst"]),
        WELL_KNOWN: _client_is_src(known["src"], known["dst"]),
    }
    client_is_src = np.full(len(protocol), UNSETTLED, dtype=np.int8)
    roles_by = np.full(len(protocol), UNKNOWN, dtype=np.int8)
    with_ports = has_ports(protocol)
    for rule, answer in by_rule.items():
        sure = with_ports & (roles_by == UNKNOWN) & (answer != UNSETTLED)
        client_is_src[sure] = answer[sure]
        roles_by[sure] = rule
    # What rows of the connection say that no handshake was seen with; and where the rules below it differ, those.
    by_learned, by_port = by_rule[LISTENER], by_rule[WELL_KNOWN]
    without = np.where(by_learned != UNSETTLED, by_learned, by_port)
    both_learned = learned["src"] & learned["dst"] & (by_port != UNSETTLED)
    differ = both_learned | ((by_learned != UNSETTLED) & (by_port != UNSETTLED) & (by_learned != by_port))
    by_handshake = roles_by == HANDSHAKE
    open_ = np.where(by_handshake, without != client_is_src, differ | (said == SRC_SERVES | DST_SERVES))
    if len(hints.untold_ports):
        keys = port_keys(ports["src"], ports["dst"])
        at = np.minimum(np.searchsorted(hints.untold_ports, keys), len(hints.untold_ports) - 1)
        open_ |= hints.untold_ports[at] == keys
    return Decided(client_is_src, roles_by, open_ & (protocol == TCP) & (roles_by != INVENTORY))


UNSETTLED = -1


def _client_is_src(src_serves: Bools, dst_serves: Bools) -> npt.NDArray[np.int8]:
    """1 or 0 where exactly one end serves; else UNSETTLED."""
    return np.where(src_serves != dst_serves, dst_serves, UNSETTLED).astype(np.int8)


def _listens(lookup: Lookup, state: npt.NDArray, port: npt.NDArray) -> Bools:
    """Whether the inventory says that the end, in its state then, listens on the port."""
    if not lookup.listens:
        return np.zeros(len(state), dtype=np.bool_)
    keys = np.array(sorted(s * 65536 + p for s, ports in lookup.listens.items() for p in ports), dtype=np.int64)
    asked = state.astype(np.int64) * 65536 + port
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return (keys[at] == asked) & (state >= 0)


def _learned(hints: Hints, ends: Mapping[str, Any], end: str, port: npt.NDArray, vpc: npt.NDArray) -> Bools:
    """Whether the hour's other handshakes show the end answering on the port."""
    if not len(hints.listeners.keys):
        return np.zeros(len(port), dtype=np.bool_)
    high, low = ends[f"{end}_high"], ends[f"{end}_low"]
    scope = listener_scope(vpc, is_public(high, low), port)
    begin, stop = hints.listeners.find(scope, high, low)
    return stop > begin
