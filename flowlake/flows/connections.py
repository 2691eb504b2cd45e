"""An end that could not be told by its address, told by the other reporter of the same connection.

Around a change of hands the clock decides nothing: a record's times may be off by a minute. But where both ends
log, each connection is recorded twice, and the other record names its own interface. Addresses, ports and protocol
of both records are the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flowlake.flows.attribute import ATTESTED, CONTESTED_DST, CONTESTED_SRC, NONE, RECEIVER, SENDER, World, pair_key
from flowlake.flows.lookup import NOBODY, mix
from flowlake.flows.roles import has_ports

GAP_SECONDS = 720
"""How far apart two reporters' records of one connection may lie: the longest aggregation interval, and two clocks."""

I64 = npt.NDArray[np.int64]
Rows = Mapping[str, npt.NDArray]


def tell_by_connections(rows: Rows, world: World) -> Rows:
    """Rows with the ends filled in that another interface's own record of the same connection names: exactly one, in
    the VPC asked for.

    All rows of a pair of addresses are here. An end told so is ATTESTED.
    """
    ports = has_ports(rows["protocol"]) & (rows["srcport"] > 0) & (rows["dstport"] > 0)
    asked = {
        end: np.flatnonzero(
            ports & (rows[f"{end}_who"] < 0) & (rows[f"{end}_scope"] >= 0) & (rows[f"{end}_how"] == NONE)
        )
        for end in ("src", "dst")
    }
    if not any(len(at) for at in asked.values()):
        return rows
    own = {
        end: np.flatnonzero(ports & (rows["position"] == place) & (rows[f"{end}_who"] >= 0))
        for end, place in (("src", SENDER), ("dst", RECEIVER))
    }
    known = np.concatenate([_key(rows, world, end, at) for end, at in own.items()])
    order = np.argsort(known, kind="stable")
    known = known[order]
    row = np.concatenate(list(own.values()))[order]
    holder = np.concatenate([rows[f"{end}_who"][at] for end, at in own.items()])[order]
    filled = dict(rows)
    for end, bit in (("src", CONTESTED_SRC), ("dst", CONTESTED_DST)):
        at = asked[end]
        who = _named(rows, world, end, at, known, row, holder)
        told = who >= 0
        if not bool(told.any()):
            continue
        at, who = at[told], who[told]
        in_book = np.where(who < len(world.lookup.interfaces), who, NOBODY).astype(np.int32)
        for name, values in (
            (f"{end}_who", who),
            (f"{end}_how", ATTESTED),
            (f"{end}_scope", NOBODY),
            (f"{end}_state", world.lookup.own_state(in_book, rows["first"][at] * 1000)),
            ("doubts", filled["doubts"][at] & ~bit),
        ):
            filled[name] = filled[name].copy()
            filled[name][at] = values
    return filled


def _key(rows: Rows, world: World, end: str, at: I64) -> npt.NDArray[np.uint64]:
    """A key of the connection as seen from one of its ends.

    The pair's own key is part of it: records that lie in different buckets would meet by chance or not at all.
    """
    far = "dst" if end == "src" else "src"
    ports = rows[f"{end}port"][at].astype(np.int64) << 24 | rows[f"{far}port"][at].astype(np.int64) << 8
    near = mix(ports | rows["protocol"][at].astype(np.int64), rows[f"{end}_high"][at], rows[f"{end}_low"][at])
    pair = pair_key(world, {f"{e}_{n}": rows[f"{e}_{n}"][at] for e in ("src", "dst") for n in ("who", "high", "low")})
    return mix(
        near.astype(np.int64), pair, mix(np.zeros(len(at), np.int64), rows[f"{far}_high"][at], rows[f"{far}_low"][at])
    )


def _named(
    rows: Rows, world: World, end: str, at: I64, known: npt.NDArray, row: I64, holder: npt.NDArray
) -> npt.NDArray[np.int32]:
    """For each asked row the one interface whose own record of the connection lies near it in time; NOBODY where none
    or several do.
    """
    keys = _key(rows, world, end, at)
    begin, stop = np.searchsorted(known, keys, "left"), np.searchsorted(known, keys, "right")
    who = np.full(len(at), NOBODY, dtype=np.int32)
    several = np.zeros(len(at), dtype=np.bool_)
    first, last, scope = rows["first"], rows["last"], rows[f"{end}_scope"][at]
    for k in range(int((stop - begin).max(initial=0))):
        r = np.flatnonzero(begin + k < stop)
        c = begin[r] + k
        one, other = at[r], row[c]
        near = (first[other] <= last[one] + GAP_SECONDS) & (last[other] >= first[one] - GAP_SECONDS)
        near &= world.hints.interface_vpc[holder[c]] == scope[r]
        several[r] |= near & (who[r] >= 0) & (who[r] != holder[c])
        who[r] = np.where(near & (who[r] < 0), holder[c], who[r])
    who[several] = NOBODY
    return who
