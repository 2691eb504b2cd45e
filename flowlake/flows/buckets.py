"""Before the shuffle: which bucket a row goes to, so that all rows of a pair of addresses meet, and what of it nothing
needs any more.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows.addresses import U64, is_none, is_public
from flowlake.flows.evidence import NOT_LOGGED
from flowlake.flows.hashing import distinct
from flowlake.flows.lookup import I32, I64, NOBODY, Bools, Lookup, mix
from flowlake.flows.world import INTERVAL, World

ENDS = ("who", "high", "low", "scope")
"""What a row says of each of its ends, src_ or dst_ before it."""


def bucket_of(world: World, rows: pa.Table, buckets: int) -> npt.NDArray[np.int64]:
    """In which bucket the sum is merged: one for both reporters of a pair."""
    columns = {f"{end}_{n}": rows[f"{end}_{n}"].to_numpy() for end in ("src", "dst") for n in ENDS}
    return (pair_key(world, columns) % np.uint64(buckets)).astype(np.int64)


def pair_key(world: World, rows: Mapping[str, npt.NDArray]) -> U64:
    """A key of both ends, in either direction, the same to whoever reports: by the addresses that end_address gives,
    with one for all that share secondary addresses.
    """
    size = len(rows["src_who"])
    key = np.zeros(size, dtype=np.uint64)
    for name in ("src", "dst"):
        key ^= mix(np.zeros(size, np.int64), *end_address(world, rows, name, shared=True))
    return key


def end_address(world: World, rows: Mapping[str, npt.NDArray], end: str, shared: bool = False) -> tuple[U64, U64]:
    """The end's address as both reporters can tell it: the primary one of who holds it, else the address itself.

    Of an address whose holder then is not known, it is that of the only one who ever claims it, if there is one.
    shared: that of the one who stands for all that have secondary addresses in turn, where some do.
    """
    lookup = world.lookup
    high, low = rows[f"{end}_high"].copy(), rows[f"{end}_low"].copy()
    who = _only_claimant(lookup, rows[f"{end}_who"], rows[f"{end}_scope"], high, low, shared)
    # Formats without pkt-* show an interface's primary address for another one; an IPv6 address all show as it is.
    known = (who >= 0) & (who < len(lookup.interfaces)) & (high == 0)
    if bool(known.any()):
        mine = lookup.shares[who[known]] if shared else who[known]
        h, lo = lookup.interface_high[mine], lookup.interface_low[mine]
        has = ~is_none(h)
        at = np.flatnonzero(known)[has]
        high[at], low[at] = h[has], lo[has]
    return high, low


def end_vpc(world: World, rows: Mapping[str, npt.NDArray], end: str) -> npt.NDArray:
    """The VPC that the end's address lies in: that of who holds it, else the scope it was looked up in."""
    who = rows[f"{end}_who"]
    return np.where(who >= 0, world.hints.vpc_of(who), rows[f"{end}_scope"])


def _only_claimant(lookup: Lookup, who: I32, scope: I32, high: U64, low: U64, shared: bool) -> I32:
    """who, and for those not known the one interface that the book ever gives the address to, or one for all; NOBODY
    where it is none or several.
    """
    asked = np.flatnonzero((who < 0) & (scope >= 0))
    if not len(asked):
        return who
    result = who.copy()
    begin, stop = lookup.claims.find(scope[asked].astype(np.int64), high[asked], low[asked])
    claimed = np.flatnonzero(stop > begin)
    if len(claimed):
        only = lookup.only_sharer if shared else lookup.only_claimant
        result[asked[claimed]] = only[begin[claimed]]
    in_prefixes = asked[(stop == begin) & np.isin(scope[asked], list(lookup.prefixes))]
    if len(in_prefixes):
        pairs, of = distinct(scope[in_prefixes], high[in_prefixes], low[in_prefixes])
        found = np.full(len(pairs), NOBODY, dtype=np.int32)
        for i, row in enumerate(in_prefixes[pairs].tolist()):
            claims = lookup.prefix_claims(int(scope[row]), (int(high[row]) << 64) | int(low[row]))
            claimants = {claim[0] for claim in claims}
            found[i] = claimants.pop() if len(claimants) == 1 else NOBODY
        result[in_prefixes] = found[of]
    return result


def fold_client_ports(world: World, rows: pa.Table) -> pa.Table:
    """Forgets the client's port where roles are known and nothing needs it any more, and adds up what has become equal.

    It is needed where an end could not be told, or may not have been told to the other reporter (the records of the
    same connection tell it), where another worker may know better who is the client, and where a receiver that logged
    only in part may have refused what its sender counts as accepted. Where it is forgotten, so is the handshake.
    """
    hints = world.hints
    client_is_src = rows["client_is_src"].to_numpy()
    srcport, dstport = rows["srcport"].to_numpy().copy(), rows["dstport"].to_numpy().copy()
    keep = (client_is_src < 0) | rows["open"].to_numpy(zero_copy_only=False)
    for name in ("src", "dst"):
        high, low = rows[f"{name}_high"].to_numpy(), rows[f"{name}_low"].to_numpy()
        in_vpc = rows[f"{name}_scope"].to_numpy() >= 0
        keep |= (rows[f"{name}_who"].to_numpy() < 0) & (in_vpc | ~is_public(high, low))
        if len(hints.attested.keys):
            scope = rows[f"{name}_scope"].to_numpy().astype(np.int64)
            who = rows[f"{name}_who"].to_numpy()
            begin, end = hints.attested.find(np.where(who >= 0, hints.vpc_of(who), scope), high, low)
            keep |= end - begin > 1
            keep |= ~_told_from_outside(world, who, rows["first"].to_numpy(), rows["last"].to_numpy())
            keep |= in_turn(world, who, rows[f"{name}_how"].to_numpy(), high, low)
    src, dst = rows["src_who"].to_numpy(), rows["dst_who"].to_numpy()
    both = (src >= 0) & (dst >= 0)
    dst_penalty = hints.penalty[np.where(dst >= 0, dst, 0)] if len(hints.penalty) else np.zeros(len(dst), np.uint8)
    keep |= both & (dst_penalty > 0) & (dst_penalty != NOT_LOGGED)
    srcport[~keep & (client_is_src == 1)] = 0
    dstport[~keep & (client_is_src == 0)] = 0
    handshake = np.where(keep, rows["handshake"].to_numpy(), 0).astype(np.int8)
    for column, values in (("srcport", srcport), ("dstport", dstport), ("handshake", handshake)):
        rows = rows.set_column(rows.schema.get_field_index(column), column, pa.array(values))
    return rows.drop_columns(["open"])


def in_turn(world: World, who: I32, how: npt.NDArray, high: U64, low: U64) -> Bools:
    """Whether the book alone names the holder, of a secondary address, and one that shares such with others: it may
    have gone and come back with nobody telling.
    """
    lookup = world.lookup
    result: Bools = (how == INTERVAL) & (who >= 0) & (who < len(lookup.interfaces))
    at = np.flatnonzero(result)
    if not len(at):
        return result
    mine = who[at]
    primary = (lookup.interface_high[mine] == high[at]) & (lookup.interface_low[mine] == low[at])
    result[at] = lookup.shares_with_others[mine] & ~primary
    return result


def _told_from_outside(world: World, who: I32, first: I64, last: I64) -> Bools:
    """Whether the book alone tells who the interface was, by any of its addresses, to whoever recorded it around that
    time.

    A format may show the primary address where the other end saw another one: all that the interface ever had count.
    True where there is nobody to tell.
    """
    lookup = world.lookup
    code = np.where(who < len(lookup.interfaces), who, len(lookup.interfaces))
    code = np.where(who >= 0, code, 0)
    # Twice the slack to be sure at the other's clock, and as much again for its clock against this one's.
    slack = 4 * world.settings.clock_slack_seconds
    since, until = (ends[code] for ends in lookup.whole_span)
    covered = (since <= (first - slack) * 1000) & ((last + slack) * 1000 <= until)
    return covered | (who < 0)
