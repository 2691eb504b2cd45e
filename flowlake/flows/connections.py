"""What one record of a connection does not tell, told by another record of it: whose an end was, and who is the client.

Around a change of hands the clock decides nothing: a record's times may be off by a minute. But where both ends
log, each connection is recorded twice, and the other record names its own interface. Addresses, ports and protocol
of both records are the same; but where a format shows an interface's primary address for another one, that stands for
the other if the book ever gives it to that interface.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flowlake.flows import roles
from flowlake.flows.addresses import is_public
from flowlake.flows.buckets import ENDS, end_address, end_vpc, in_turn
from flowlake.flows.evidence import NOT_LOGGED
from flowlake.flows.fold import OPEN
from flowlake.flows.handshakes import TCP, of_connections
from flowlake.flows.hashing import distinct
from flowlake.flows.lookup import NOBODY, each_of, ever_holds, mix, note, value_at
from flowlake.flows.ports import both_ports
from flowlake.flows.world import (
    ATTESTED,
    CONTESTED_DST,
    CONTESTED_SRC,
    INTERFACE,
    NONE,
    RECEIVER,
    SENDER,
    UNSAID_POSITION,
    UNSURE,
    World,
)

GAP_SECONDS = 720
"""How far apart two reporters' records of one connection may lie: the longest aggregation interval, and two clocks."""

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Rows = Mapping[str, npt.NDArray]


def tell_by_connections(rows: Rows, world: World) -> Rows:
    """Rows with the ends filled in that another interface's own record of the same connection names.

    It must be one interface only, in the VPC that the address lies in. All rows of a pair of addresses are here.
    An end told so is ATTESTED. A secondary address that interfaces have in turn is asked for though the book names its
    holder: it may have gone and come back with nobody telling.
    """
    rows = _settle_own_ends(rows, world)
    asked = {end: np.flatnonzero(_untold(rows, end) | _in_turn(rows, end, world)) for end in ("src", "dst")}
    if not any(len(at) for at in asked.values()):
        return rows
    own = _OwnRecords(rows, world)
    filled = dict(rows)
    for end, bit in (("src", CONTESTED_SRC), ("dst", CONTESTED_DST)):
        at = asked[end]
        who = own.of(end, at)
        told = (who >= 0) & (who != rows[f"{end}_who"][at])
        if bool(told.any()):
            _fill(filled, world, end, at[told], who[told], ATTESTED, bit)
    return filled


def decide_again(rows: Rows, before: Rows, world: World) -> Rows:
    """Rows with client and server decided by all handshakes that anybody saw of their connection, and by whom it was
    found out to be with since.

    All rows of a pair of addresses are here; before: as they came, with ends that were not told yet. Those that another
    record may say otherwise of have both ports.
    """
    ported = both_ports(rows)
    news = (rows["src_state"] != before["src_state"]) | (rows["dst_state"] != before["dst_state"])
    heard = _heard(rows, ported, world)
    at = np.flatnonzero(ported & (news | (heard != rows["handshake"])))
    if not len(at):
        return rows
    of = {name: rows[name][at] for name in _DECIDES} | {"handshake": heard[at]}
    decided = roles.decide(world.lookup, world.hints, of, of, {end: end_vpc(world, of, end) for end in ("src", "dst")})
    told = dict(rows)
    for name, values in (("client_is_src", decided.client_is_src), ("roles_by", decided.roles_by)):
        told[name] = rows[name].copy()
        told[name][at] = values
    return told


def _heard(rows: Rows, ported: Bools, world: World) -> npt.NDArray[np.int8]:
    """What handshakes say of each row's connection, in whichever of its rows they were seen."""
    heard: npt.NDArray[np.int8] = rows["handshake"]
    if not bool(heard.any()):
        return heard
    at = np.flatnonzero(ported & (rows["protocol"] == TCP))
    of = {name: rows[name][at] for name in _DECIDES}
    src, dst = (
        mix(of[f"{end}port"].astype(np.int64), *end_address(world, of, end, shared=True)) for end in ("src", "dst")
    )
    swap = src > dst
    _, connection = distinct(np.where(swap, dst, src), np.where(swap, src, dst))
    heard = heard.copy()
    heard[at] = of_connections(connection, swap, heard[at])
    return heard


_DECIDES = ("protocol", "srcport", "dstport", *(f"{end}_{n}" for end in ("src", "dst") for n in (*ENDS, "state")))


def _settle_own_ends(rows: Rows, world: World) -> Rows:
    """Rows of reporters whose own side could not be told, placed where the other end is surely another's.

    A stranger to the inventory that spoke with one other only, in a format without directions: both addresses could be
    its own. One of the two is, where the format shows the interface's address; and not the one that another holds, that
    another's own record of the same connection shows, or that lies outside the reporter's VPC.
    """
    open_ = (rows["position"] == UNSAID_POSITION) & rows["shows_own"] & (rows["reporter"] >= 0)
    at = np.flatnonzero(open_)
    at = at[~_forwards(world, rows["reporter"][at])]
    if not len(at):
        return rows
    own = _OwnRecords(rows, world)
    reporter = rows["reporter"][at]
    vpc = world.hints.interface_vpc[reporter]
    others = {}
    for end in ("src", "dst"):
        holder = rows[f"{end}_who"][at].astype(np.int32)
        asked = np.flatnonzero(_untold(rows, end)[at])
        holder[asked] = own.of(end, at[asked])
        # An interface shows no public IPv4 address for its own, and none that lies outside its VPC's ranges.
        scope, public = rows[f"{end}_scope"][at], is_public(rows[f"{end}_high"][at], rows[f"{end}_low"][at])
        outside = np.where(np.isin(vpc, list(world.lookup.ranges)), scope != vpc, (scope < 0) & public)
        others[end] = np.where(holder >= 0, holder != reporter, outside)
    ported = both_ports(rows, at)
    filled = dict(rows)
    filled["position"] = rows["position"].copy()
    for end, far, place, bit in (("src", "dst", SENDER, CONTESTED_SRC), ("dst", "src", RECEIVER, CONTESTED_DST)):
        untold = (rows[f"{end}_who"][at] < 0) & (rows[f"{end}_scope"][at] == vpc) & (vpc >= 0)
        mine = others[far] & ~others[end] & untold
        # Whether the far end recorded the same can be told by ports, or where it records nothing.
        penalty, who = world.hints.penalty, rows[f"{far}_who"][at]
        silent = (who >= 0) & (penalty[np.where(who >= 0, who, 0)] == NOT_LOGGED)
        for some, bits in ((mine & (ported | silent), bit | UNSURE), (mine & ~(ported | silent), bit)):
            if bool(some.any()):
                _fill(filled, world, end, at[some], reporter[some], INTERFACE, bits)
                filled["position"][at[some]] = place
    return filled


def _forwards(world: World, who: npt.NDArray) -> Bools:
    """Whether each interface passes on what others send, by the book: neither address need be its own."""
    forwards: Bools = value_at(world.lookup.forwards, who, 0) > 0
    return forwards


def _untold(rows: Rows, end: str) -> Bools:
    """Whether an end of a connection (something with ports) names nobody, though its address lies in a VPC."""
    untold: Bools = (
        both_ports(rows) & (rows[f"{end}_who"] < 0) & (rows[f"{end}_scope"] >= 0) & (rows[f"{end}_how"] == NONE)
    )
    return untold


def _in_turn(rows: Rows, end: str, world: World) -> Bools:
    """Whether the book alone names the end of a connection, by a secondary address of one that shares such."""
    result: Bools = both_ports(rows) & in_turn(world, *(rows[f"{end}_{n}"] for n in ("who", "how", "high", "low")))
    return result


def _fill(
    filled: dict[str, npt.NDArray], world: World, end: str, at: I64, who: npt.NDArray, how: int, settled: int
) -> None:
    """Writes who held the end of these rows; settled are the doubts that this ends. Arrays are copied, not changed."""
    in_book = np.where(who < len(world.lookup.interfaces), who, NOBODY).astype(np.int32)
    for name, values in (
        (f"{end}_who", who),
        (f"{end}_how", how),
        (f"{end}_scope", NOBODY),
        (f"{end}_state", world.lookup.own_state(in_book, filled["first"][at] * 1000)),
        ("doubts", filled["doubts"][at] & ~settled),
    ):
        filled[name] = filled[name].copy()
        filled[name][at] = values


class _OwnRecords:
    """What interfaces recorded of their own connections, to be found from the other end."""

    def __init__(self, rows: Rows, world: World) -> None:
        self.rows, self.world = rows, world
        ports = both_ports(rows)
        own = {
            end: np.flatnonzero(ports & (rows["position"] == place) & (rows[f"{end}_who"] >= 0))
            for end, place in (("src", SENDER), ("dst", RECEIVER))
        }
        keys = np.concatenate([_key(rows, world, end, at) for end, at in own.items()])
        order = np.argsort(keys, kind="stable")
        self.keys = keys[order]
        self.row = np.concatenate(list(own.values()))[order]
        self.holder = np.concatenate([rows[f"{end}_who"][at] for end, at in own.items()])[order]
        # Nobody reports what it sends to itself.
        at_end = (rows["position"] == SENDER) | (rows["position"] == RECEIVER)
        self._far_reporter = np.where(at_end, rows["reporter"], NOBODY)

    def of(self, end: str, at: I64) -> npt.NDArray[np.int32]:
        """For each of these rows the one interface whose own record of the connection lies near it; else NOBODY."""
        rows = self.rows
        keys = _key(rows, self.world, end, at)
        begin, stop = np.searchsorted(self.keys, keys, "left"), np.searchsorted(self.keys, keys, "right")
        who, near_by = (np.full(len(at), NOBODY, dtype=np.int32) for _ in range(2))
        several, several_near_by = (np.zeros(len(at), dtype=np.bool_) for _ in range(2))
        asked = {name: rows[name][at] for name in (f"{end}_who", f"{end}_scope")}
        first, last, scope = rows["first"], rows["last"], end_vpc(self.world, asked, end)
        lossless = self.world.hints.penalty[self.holder] == 0
        all_whole = np.ones(len(at), dtype=np.bool_)
        for r, c in each_of(begin, stop):
            one, other = at[r], self.row[c]
            apart = np.maximum(first[other] - last[one], first[one] - last[other])
            near = apart <= GAP_SECONDS
            near &= self.world.hints.interface_vpc[self.holder[c]] == scope[r]
            near &= ~self._ended_before(one, self.holder[c]) & (self.holder[c] != self._far_reporter[one])
            near &= self.world.lookup.born_by(self.holder[c], last[one] + self.world.settings.clock_slack_seconds)
            near &= self._may_have_held(end, one, other, c)
            note(who, several, r, near, self.holder[c])
            note(near_by, several_near_by, r, near & (apart <= self.world.settings.two_clocks_seconds), self.holder[c])
            all_whole[r] &= lossless[c] | ~near
        # An address that came to another, who took the same port. Where all of them lack nothing, whose packets these
        # are shows in whose record covers them.
        by_time = several & all_whole & ~several_near_by
        who = np.where(by_time, near_by, np.where(several, NOBODY, who)).astype(np.int32)
        # Records of the same packets lie no further apart than two clocks; another of the connection, before or after
        # them, tells only where nobody else may have come between.
        told = np.flatnonzero((who >= 0) & (who != near_by))
        who[told[self._may_be_another(end, at[told], scope[told], who[told])]] = NOBODY
        return who

    def _ended_before(self, at: I64, holder: npt.NDArray[np.int32]) -> Bools:
        """Whether an event had ended the holder before the row surely begins."""
        begins = (self.rows["first"][at] - self.world.settings.clock_slack_seconds) * 1000
        before: Bools = value_at(self.world.lookup.ended, holder, OPEN) < begins
        return before

    def _may_be_another(self, end: str, at: I64, scope: npt.NDArray, who: npt.NDArray[np.int32]) -> Bools:
        """Whether the book gives the address around that time to another one, whose own record need not be there: it
        does not report, or lacks some.
        """
        rows, lookup, slack = self.rows, self.world.lookup, self.world.settings.clock_slack_seconds
        begin, stop = lookup.claims.find(scope.astype(np.int64), rows[f"{end}_high"][at], rows[f"{end}_low"][at])
        another = np.zeros(len(at), dtype=np.bool_)
        for r, c in each_of(begin, stop):
            there = lookup.claim_from[c] <= (rows["last"][at[r]] + slack) * 1000
            there &= lookup.claim_to[c] >= (rows["first"][at[r]] - slack) * 1000
            claimant = lookup.claim_interface[c]
            another[r] |= there & (claimant != who[r]) & (self.world.hints.penalty[claimant] != 0)
        return another

    def _may_have_held(self, end: str, one: I64, other: I64, c: I64) -> Bools:
        """Whether the other record shows the very address, or the book ever gives it to that record's interface."""
        rows, lookup, holder = self.rows, self.world.lookup, self.holder[c]
        high, low = rows[f"{end}_high"][one], rows[f"{end}_low"][one]
        shown: Bools = (rows[f"{end}_high"][other] == high) & (rows[f"{end}_low"][other] == low)
        in_book = np.flatnonzero(~shown & (holder < len(lookup.interfaces)))
        shown[in_book] = ever_holds(lookup, holder[in_book], high[in_book], low[in_book])
        return shown


def _key(rows: Rows, world: World, end: str, at: I64) -> npt.NDArray[np.uint64]:
    """A key of the connection as seen from one of its ends. All rows of one key lie in one bucket."""
    far = "dst" if end == "src" else "src"
    ends = {f"{e}_{n}": rows[f"{e}_{n}"][at] for e in ("src", "dst") for n in ENDS}
    ports = rows[f"{end}port"][at].astype(np.int64) << 24 | rows[f"{far}port"][at].astype(np.int64) << 8
    near = mix(ports | rows["protocol"][at].astype(np.int64), *end_address(world, ends, end, shared=True))
    return mix(near.astype(np.int64), *end_address(world, ends, far, shared=True))
