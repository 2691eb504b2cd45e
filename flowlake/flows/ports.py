"""What ports mean by themselves: which protocols have any, and which ports are known as servers' (services.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]


@cache
def _services() -> tuple[int, frozenset[int], dict[int, Bools]]:
    document = json.loads((resources.files(__package__) / "services.json").read_text(encoding="utf-8"))
    known: dict[int, Bools] = {}
    for protocol, ports in document["ports"].items():
        listed = np.zeros(65536, dtype=np.bool_)
        listed[ports] = True
        listed[1 : document["below"]] = True
        known[int(protocol)] = listed
    return document["below"], frozenset(document["protocols_with_ports"]), known


def has_ports(protocol: npt.NDArray) -> Bools:
    """Whether the protocol has ports (TCP, UDP, SCTP, …); ICMP has none."""
    return np.isin(protocol, list(_services()[1]))


def both_ports(rows: Mapping[str, npt.NDArray], at: npt.NDArray | slice = slice(None)) -> Bools:
    """Whether each row, or each of those at some places, tells the ports of both ends of a connection."""
    told: Bools = has_ports(rows["protocol"][at]) & (rows["srcport"][at] > 0) & (rows["dstport"][at] > 0)
    return told


def well_known(protocol: npt.NDArray, port: npt.NDArray) -> Bools:
    """Whether the port is a server's by the list, or below where all are."""
    below, _, known = _services()
    result: Bools = (port > 0) & (port < below)
    for number, listed in known.items():
        result |= (protocol == number) & listed[port]
    return result
