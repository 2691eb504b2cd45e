"""Attribution: whose address it was at the time, for both ends of every sum.

A sum's own side is its interface id. The far side is found by the first rule that holds: the book's interval, the
records of the hour (attested), the last sight (assumed, provisional hours only), an AWS service, a known network, a
public address; else none. Two claimants at one time: none, and said so. What can't be told here may be told by the
other reporter of the connection (connections.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows import handshakes, roles
from flowlake.flows.addresses import U64, is_none, is_public, is_rfc1918
from flowlake.flows.evidence import GAPS, LOSSY, NOT_LOGGED, Hints
from flowlake.flows.fold import OPEN
from flowlake.flows.hashing import distinct
from flowlake.flows.lookup import I32, I64, NAT, NOBODY, Bools, Lookup, in_several, mix, scopes
from flowlake.flows.minutes import minutes_masks
from flowlake.flows.networks import Ranges
from flowlake.flows.summarise import (
    EGRESS,
    EXTRAS,
    INGRESS,
    REJECT,
    UNKNOWN_ACTION,
    Source,
)
from flowlake.lake.hours import SECONDS

# How an end is known; the order is that of strength.
HOWS = ("interface", "interval", "attested", "assumed", "aws_service", "network", "public", "none")
INTERFACE, INTERVAL, ATTESTED, ASSUMED, AWS_SERVICE, NETWORK, PUBLIC, NONE = range(8)

LEGS = ("direct", "nat_inside", "nat_outside", "hop")
DIRECT, NAT_INSIDE, NAT_OUTSIDE, HOP = range(4)

# Where the reporter stands to the bytes: the order in which it is believed where all are complete.
RECEIVER, SENDER, BETWEEN, UNSAID_POSITION = range(4)

CONTESTED_SRC, CONTESTED_DST, UNSURE = 1, 2, 4
"""Bits of a row's doubts: two claimed the end's address; it can't be excluded that another reporter's record of these
bytes is counted too.
"""

GENEVE_PORT, UDP = 6081, 17


@dataclass(frozen=True)
class Settings:
    """What attribution is told from outside."""

    provisional: bool = False
    clock_slack_seconds: int = 60
    """Start and end of a record may be off by up to 60 s (AWS): only who held the address all that time is believed."""

    @property
    def two_clocks_seconds(self) -> int:
        """How far apart two reporters' records of the same packets may seem to lie."""
        return 2 * self.clock_slack_seconds


@dataclass
class World:
    """Everything attribution looks things up in: the book, the hints of all records, the ranges."""

    lookup: Lookup
    hints: Hints
    aws: Ranges
    networks: Ranges
    settings: Settings


@dataclass
class Holder:
    """Answer for each asked (address, span): who, how, in which VPC the address lies, whether contested, and whether
    it may lie in several VPCs (then in none) and be that of somebody who reports.
    """

    who: I32
    how: npt.NDArray[np.int8]
    scope: I32
    contested: Bools
    in_several: Bools


def holders(world: World, vpc: I32, high: U64, low: U64, start: I64, end: I64) -> Holder:
    """Who held each address, asked from a VPC, by what was recorded over [start, end] in epoch seconds.

    The services, networks and public rules follow in _label_far.
    """
    pairs, inverse = distinct(vpc, high, low)
    p_vpc, p_high, p_low = vpc[pairs], high[pairs], low[pairs]
    p_scope = scopes(world.lookup, p_vpc, p_high, p_low)
    scope = p_scope[inverse]
    several_vpcs = p_scope < 0
    at = np.flatnonzero(several_vpcs)
    several_vpcs[at] = in_several(world.lookup, p_vpc[at], p_high[at], p_low[at], _that_report(world.hints))
    slack = world.settings.clock_slack_seconds
    asked = _Asked(p_scope, p_high, p_low, inverse, start, end, slack)
    who, near, assumed, contested, secondary = _by_claims(world, asked)
    how = np.where(who >= 0, INTERVAL, NONE).astype(np.int8)
    _by_prefixes(world, asked, who, how, contested, secondary)
    seen = _by_attestation(world, asked)
    # A secondary address may have moved and come back between two sights: the records of another holder outweigh
    # the book, in those very minutes, or around them where its own are lacking.
    moved = secondary & (who >= 0) & (seen.then >= 0) & (seen.then != who)
    moved |= secondary & (who >= 0) & (seen.near >= 0) & (seen.near != who) & ~seen.several
    contested |= moved | (secondary & (who >= 0) & seen.several_then)
    who[contested], how[contested] = NOBODY, NONE
    open_ = who < 0
    # Who alone used it around that time held it, where nothing that another recorded can be lacking.
    alone = (seen.near >= 0) & ~seen.several & seen.complete & ((near < 0) | (near == seen.near)) & ~contested
    told = np.where(seen.sure >= 0, seen.sure, np.where(alone, seen.near, NOBODY))
    attested = open_ & (told >= 0)
    who[attested], how[attested] = told[attested], ATTESTED
    contested[attested] = False
    contested |= open_ & ~attested & seen.several
    if world.settings.provisional:
        tail = (who < 0) & (assumed >= 0) & ~contested
        who[tail], how[tail] = assumed[tail], ASSUMED
    return Holder(who, how, scope, contested & (who < 0), several_vpcs[inverse])


@dataclass
class _Asked:
    """What is asked: rows over distinct (scope, address) pairs; start and end as recorded (epoch s), off by up to
    slack.
    """

    scope: I32
    high: U64
    low: U64
    pair: I64
    start: I64
    end: I64
    slack: int

    def surely_within(self, rows: I64, since: I64, until: I64) -> Bools:
        """Whether whoever held the address over [since, until] (epoch ms) is the one recorded, however wrong the
        clock is.

        Start and end may be those of the aggregation interval: when between them packets went is not known.
        """
        slack = self.slack * 1000
        result: Bools = (since <= self.start[rows] * 1000 - slack) & (self.end[rows] * 1000 + slack <= until)
        return result

    def near(self, rows: I64, since: I64, until: I64) -> Bools:
        """Whether whoever held the address over [since, until] (ms) may be the one recorded."""
        slack = self.slack * 1000
        result: Bools = (since <= self.end[rows] * 1000 + slack) & (until >= self.start[rows] * 1000 - slack)
        return result


def _by_claims(world: World, asked: _Asked) -> tuple[I32, I32, I32, Bools, Bools]:
    """The holder by the book's claims; who claims the address around then; who it would be if its last sight still
    held;
    contested; and whether the claim is of a secondary address.

    Contested: two surely held it, or none surely and two may have.
    """
    lookup = world.lookup
    rows = len(asked.pair)
    who, near, assumed = (np.full(rows, NOBODY, np.int32) for _ in range(3))
    contested, several, secondary = (np.zeros(rows, np.bool_) for _ in range(3))
    begin, stop = lookup.claims.find(asked.scope.astype(np.int64), asked.high, asked.low)
    first, last = begin[asked.pair], stop[asked.pair]
    for k in range(int((stop - begin).max(initial=0))):
        r = np.flatnonzero(first + k < last)
        c = first[r] + k
        holder, since, until = lookup.claim_interface[c], lookup.claim_from[c], lookup.claim_to[c]
        is_near = asked.near(r, since, until)
        several[r] |= is_near & (near[r] >= 0) & (near[r] != holder)
        near[r] = np.where(is_near & (near[r] < 0), holder, near[r])
        sure = asked.surely_within(r, since, until)
        contested[r] |= sure & (who[r] >= 0) & (who[r] != holder)
        who[r] = np.where(sure, holder, who[r])
        secondary[r] = np.where(sure, ~lookup.claim_primary[c], secondary[r])
        after = asked.start[r] * 1000 >= np.maximum(until - asked.slack * 1000, since)
        assumed[r] = np.where(lookup.claim_open[c] & lookup.claim_primary[c] & after, holder, assumed[r])
    return who, near, assumed, contested | (several & (who < 0)), secondary


def _by_prefixes(
    world: World, asked: _Asked, who: I32, how: npt.NDArray[np.int8], contested: Bools, secondary: Bools
) -> None:
    """Delegated prefixes, for addresses that no claim names; only VPCs that have any are looked at. They move as
    secondary addresses do.
    """
    with_prefixes = np.isin(asked.scope, list(world.lookup.prefixes))
    for pair in np.flatnonzero(with_prefixes).tolist():
        address = (int(asked.high[pair]) << 64) | int(asked.low[pair])
        claims = world.lookup.prefix_claims(int(asked.scope[pair]), address)
        if not claims:
            continue
        rows = np.flatnonzero((asked.pair == pair) & (who < 0))
        near, found = np.full(len(rows), NOBODY, np.int32), np.full(len(rows), NOBODY, np.int32)
        several, twice = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
        for holder, since, until, _ in claims:
            span = np.full(len(rows), since), np.full(len(rows), until)
            is_near, sure = asked.near(rows, *span), asked.surely_within(rows, *span)
            several |= is_near & (near >= 0) & (near != holder)
            near = np.where(is_near & (near < 0), holder, near).astype(np.int32)
            twice |= sure & (found >= 0) & (found != holder)
            found = np.where(sure, holder, found).astype(np.int32)
        doubtful = twice | (several & (found < 0))
        who[rows] = np.where(doubtful, NOBODY, found)
        how[rows] = np.where(~doubtful & (found >= 0), INTERVAL, NONE)
        contested[rows] |= doubtful
        secondary[rows] = True


@dataclass
class _Seen:
    """Who used the asked address by its own records.

    sure: who held it then, with what the book knows of its life. near: who used it around that time; several where
    not alone, complete where nothing can be lacking to say so. then: who used it in those very minutes.
    """

    sure: I32
    near: I32
    several: Bools
    complete: Bools
    then: I32
    several_then: Bools


LONGEST_INTERVAL_SECONDS = 600


def _by_attestation(world: World, asked: _Asked) -> _Seen:
    """What the hour's own records tell of the address."""
    hints, starts, slack = world.hints, world.lookup.starts, asked.slack
    rows = len(asked.pair)
    sure, near, then = (np.full(rows, NOBODY, np.int32) for _ in range(3))
    twice, movable, several, several_then, complete = (np.zeros(rows, np.bool_) for _ in range(5))
    begin, stop = hints.attested.find(asked.scope.astype(np.int64), asked.high, asked.low)
    most = int((stop - begin).max(initial=0))
    if most == 0:
        return _Seen(sure, near, several, complete, then, several_then)
    since, until, primary = _attested_lives(world, asked, begin, stop)
    flat = np.concatenate([[0], np.cumsum(stop - begin)])[:-1][asked.pair]
    first, last = begin[asked.pair], stop[asked.pair]
    # The other's record of the same packets is off by as much, in its own direction.
    wide = minutes_masks(asked.start - 2 * slack, asked.end + 2 * slack, starts)
    tight = minutes_masks(asked.start, asked.end, starts)
    for k in range(most):
        r = np.flatnonzero(first + k < last)
        a = first[r] + k
        holder, known = hints.attested_interface[a], hints.attested_sure[a]
        mask = hints.attested_mask[a] & _alive(world, holder)
        for found, more, span in ((near, several, wide), (then, several_then, tight)):
            used = (mask & span[r] != 0) & known
            more[r] |= used & (found[r] >= 0) & (found[r] != holder)
            found[r] = np.where(used & (found[r] < 0), holder, found[r])
        at = flat[r] + k
        held = known & asked.surely_within(r, since[at], until[at])
        twice[r] |= held & (sure[r] >= 0) & (sure[r] != holder)
        # A secondary address may move away and back: then no other's records may be near.
        movable[r] |= held & ~primary[at]
        sure[r] = np.where(held, holder, sure[r])
    sure[twice | (movable & (several | ((near >= 0) & (near != sure))))] = NOBODY
    # What another recorded may lie in the hour before, where its record began; and where records were lost, in none.
    begins, ends = asked.start - 2 * slack - LONGEST_INTERVAL_SECONDS, asked.end + 2 * slack
    inside = (begins >= starts) & (ends <= starts + SECONDS)
    complete = inside & ~np.isin(asked.scope, _with_losses(hints))[asked.pair]
    return _Seen(sure, near, several, complete, then, several_then)


def _alive(world: World, holder: I32) -> U64:
    """The minutes of the hour in which each interface was not known to have ended."""
    lookup = world.lookup
    ended = np.append(lookup.ended, OPEN)[np.where(holder < len(lookup.ended), holder, -1)]
    alive = np.full(len(holder), ~np.uint64(0))
    at = np.flatnonzero(ended < OPEN)
    begins = np.full(len(at), lookup.starts - SECONDS)
    alive[at] = minutes_masks(begins, ended[at] // 1000 + world.settings.clock_slack_seconds, lookup.starts)
    return alive


def _attested_lives(world: World, asked: _Asked, begin: I64, stop: I64) -> tuple[I64, I64, Bools]:
    """From when to when (ms) each attested interface of the asked pairs surely held the address, by its own records
    and, of a primary address, by the book too; and whether it is its primary one. Rows: the pairs' attestations,
    one after the other.
    """
    lookup, hints = world.lookup, world.hints
    count = stop - begin
    pair = np.repeat(np.arange(len(count)), count)
    row = np.repeat(begin, count) + np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    holder = hints.attested_interface[row]
    since = (hints.attested_begun_by[row] + asked.slack) * 1000
    until = (hints.attested_held_until[row] - asked.slack) * 1000
    # By its own records alone it held the address between the first and the last of them, if there is anything between.
    primary = _is_primary(world, holder, asked.high[pair], asked.low[pair])
    first, last = lookup.claims.find(asked.scope.astype(np.int64), asked.high, asked.low)
    another = np.zeros(len(row), dtype=np.bool_)
    for k in range(int((last - first).max(initial=0))):
        r = np.flatnonzero(first[pair] + k < last[pair])
        c = first[pair[r]] + k
        same = (lookup.claim_interface[c] == holder[r]) & lookup.claim_primary[c]
        since[r] = np.where(same, np.minimum(since[r], lookup.claim_from[c]), since[r])
        until[r] = np.where(same, np.maximum(until[r], lookup.claim_to[c]), until[r])
        between = (lookup.claim_from[c] <= until[r]) & (lookup.claim_to[c] >= since[r])
        another[r] |= between & (lookup.claim_interface[c] != holder[r])
    # A secondary address moves away and back. Where the book gives it to another in between, nothing lies between.
    until[another & ~primary] = since[another & ~primary]
    return since, until, primary


def _is_primary(world: World, who: I32, high: U64, low: U64) -> Bools:
    """Whether the address is the interface's primary one, as far as the book knows."""
    lookup = world.lookup
    known = (who >= 0) & (who < len(lookup.interface_high))
    if not len(lookup.interface_high):
        return known
    at = np.where(known, who, 0)
    result: Bools = known & (lookup.interface_high[at] == high) & (lookup.interface_low[at] == low)
    return result


def _that_report(hints: Hints) -> I32:
    """VPCs of which some interface reported this hour."""
    return np.unique(hints.interface_vpc[: len(hints.penalty)][hints.penalty != NOT_LOGGED])


def _with_losses(hints: Hints) -> I32:
    """VPCs in which some interface's reporting lacks records of this hour."""
    lossy = (hints.penalty != NOT_LOGGED) & (hints.penalty & (LOSSY | GAPS) > 0)
    return np.unique(hints.interface_vpc[: len(lossy)][lossy])


# --- both ends of every sum ------------------------------------------------------------------------------------------


class Summed(Protocol):
    """A worker's sums with the lists that their codes are rows of, as steps.unpack_sums hands them on."""

    sums: pa.Table
    high: U64
    low: U64
    own: Bools
    forwards: npt.NDArray[np.int8]
    interfaces: list[str | None]
    extras: list[tuple | None]
    sources: list[Source]
    transit: list[bool]


SUMS_AT_ONCE = 1 << 19
"""Attributed at a time: what is made of each sum on the way takes many times its room."""


def attribute(worker: Summed, world: World) -> Iterator[pa.Table]:
    """Sums with both ends attributed, leg, position, roles and evidence; one row is still one sum. In parts.

    Columns: source, reporter, position, outward (between the ends: what left the interface), shows_own (one end is
    the reporter's own), leg, action, protocol, slot, srcport, dstport, the measures, for src_ and dst_: who, state,
    high, low, how, scope, label (service or network); client_is_src (1, 0, or -1 unknown), roles_by, doubts,
    duplicate (another flow log was chosen), path (traffic-path on egress, else 0), next_hop, next_hop_type,
    reject_reason, encryption.
    """
    whole = {name: worker.sums[name].to_numpy() for name in worker.sums.column_names}
    who_of = world.hints.codes(world.lookup, worker.interfaces)
    # The handshake of a connection may be in another part than this sum of it.
    whole["handshake"] = handshakes.seen(whole)
    for begin in range(0, worker.sums.num_rows, SUMS_AT_ONCE):
        part = slice(begin, begin + SUMS_AT_ONCE)
        col = {name: values[part] for name, values in whole.items()}
        yield _attribute_part(worker, world, col, who_of[col["interface"]], worker.own[part])


def _attribute_part(
    worker: Summed, world: World, col: Mapping[str, npt.NDArray], reporter: I32, own_side: Bools
) -> pa.Table:
    lookup, hints = world.lookup, world.hints
    rows = len(reporter)
    safe = np.where(reporter >= 0, reporter, 0)
    vpc = np.where(reporter >= 0, hints.interface_vpc[safe] if len(hints.interface_vpc) else NOBODY, NOBODY).astype(
        np.int32
    )
    source = _global(col["source"], worker.sources, hints.sources)
    # Where the format has no resource-id either, nothing names a regional NAT gateway: it lies where its flow log is.
    gateway = (reporter < 0) & (hints.source_vpc[source] >= 0)
    vpc = np.where(gateway, hints.source_vpc[source], vpc).astype(np.int32)
    extras = _Extras(worker.extras, col["extra"])
    forwards = worker.forwards[col["interface"]]
    sends, receives = col["direction"] == EGRESS, col["direction"] == INGRESS
    transit = np.array(worker.transit or [False])[col["source"]]
    own = own_side & ~transit
    packet_addresses = extras.is_true("has_packet_addresses")
    # Records without an interface id tell a direction, but not whose they are.
    named = own & (reporter >= 0)

    high, low = worker.high, worker.low
    side = {
        "src": (
            high[col["pkt_src"]],
            low[col["pkt_src"]],
            named & sends,
            _vpc_of(world, vpc, transit, extras, "tgw_src_vpc_id"),
        ),
        "dst": (
            high[col["pkt_dst"]],
            low[col["pkt_dst"]],
            named & receives,
            _vpc_of(world, vpc, transit, extras, "tgw_dst_vpc_id"),
        ),
    }
    first, last = col["first"], col["last"]
    columns: dict[str, object] = {}
    doubts = np.zeros(rows, dtype=np.int8)
    lies_in: dict[str, I32] = {}
    # An own interface that is spoken to by its public address reports the same bytes by its private one.
    logged = hints.penalty[lookup.public_interface] != NOT_LOGGED if len(hints.penalty) else np.zeros(0, np.bool_)
    reported_at_home = np.unique(lookup.public_low[logged]) if len(logged) else lookup.public_low[:0]
    for name, bit, service in (
        ("src", CONTESTED_SRC, "pkt_src_aws_service"),
        ("dst", CONTESTED_DST, "pkt_dst_aws_service"),
    ):
        h, lo, mine, seen_from = side[name]
        who = np.where(mine, reporter, NOBODY).astype(np.int32)
        how = np.where(mine, INTERFACE, NONE).astype(np.int8)
        scope = np.where(mine, vpc, NOBODY).astype(np.int32)
        label = np.full(rows, -1, dtype=np.int32)
        ask = np.flatnonzero(~mine & ~is_none(h))
        labels: list[str] = []
        if len(ask):
            found = holders(world, seen_from[ask], h[ask], lo[ask], first[ask], last[ask])
            # What an interface sends to itself it does not report: it had the address before, or will have it.
            itself = named[ask] & (found.who == reporter[ask])
            found.who[itself], found.how[itself] = NOBODY, NONE
            who[ask], how[ask], scope[ask] = found.who, found.how, found.scope
            doubts[ask] |= np.where(found.contested, bit, 0).astype(np.int8)
            # Who reports there can't be told, and may count the same bytes.
            doubts[ask[found.in_several]] |= UNSURE
            labels = _label_far(world, extras, service, ask, found, h, lo, how, label)
            doubts[(how == PUBLIC) & (h == 0) & np.isin(lo, reported_at_home)] |= UNSURE
        lies_in[name] = np.where(mine, vpc, NOBODY).astype(np.int32)
        if len(ask):
            lies_in[name][ask] = found.scope
        safe_who = np.where((who >= 0) & (who < len(lookup.interfaces)), who, NOBODY).astype(np.int32)
        columns |= {
            f"{name}_who": who,
            f"{name}_state": lookup.own_state(safe_who, first * 1000).astype(np.int32),
            f"{name}_high": h,
            f"{name}_low": lo,
            f"{name}_how": how,
            f"{name}_scope": np.where(who >= 0, NOBODY, scope).astype(np.int32),
            f"{name}_label": pa.DictionaryArray.from_arrays(
                pa.array(label, mask=label < 0), pa.array(labels, pa.string())
            ),
        }
    decided = roles.decide(world.lookup, world.hints, col, columns, lies_in)
    is_client = decided.client_is_src == np.where(sends, 1, 0)
    leg, position = _leg_and_position(
        col, own, sends, receives, forwards, transit, packet_addresses, columns, is_client
    )
    position[(reporter < 0) & (forwards == 0)] = UNSAID_POSITION
    _place_gateways(gateway & ~transit, leg, position, columns)
    unsaid = position == UNSAID_POSITION
    stranger = ~own & (reporter >= len(lookup.interfaces)) & (forwards == 0)
    # Of an interface whose VPC nobody knows, the other end's own records can't be found.
    nowhere = (vpc < 0) & own & _unheld_private(columns)
    doubts[unsaid | stranger | nowhere] |= UNSURE
    columns |= {
        "source": source,
        "reporter": reporter,
        "position": position,
        "outward": (position == BETWEEN) & sends,
        "shows_own": ~packet_addresses & ~transit,
        "leg": leg,
        "duplicate": _duplicate(hints, reporter, col, worker.sources),
        "client_is_src": decided.client_is_src,
        "roles_by": decided.roles_by,
        "open": decided.open,
        "handshake": col["handshake"],
        "doubts": doubts,
        "path": np.where(sends, extras.number("traffic_path"), 0).astype(np.int8),
        "next_hop": extras.text("next_hop_interface_id", sends),
        "next_hop_type": extras.text("next_hop_interface_type", sends),
        "reject_reason": extras.text("reject_reason"),
        "encryption": extras.number("encryption_status", otherwise=-1).astype(np.int8),
        "has_flags": extras.is_true("has_flags"),
    }
    kept = (
        "action",
        "protocol",
        "slot",
        "srcport",
        "dstport",
        "bytes",
        "packets",
        "records",
        "first",
        "last",
        "opened",
    )
    columns |= {name: col[name] for name in kept}
    return pa.table(columns)


def _place_gateways(
    gateway: Bools, leg: npt.NDArray[np.int8], position: npt.NDArray[np.int8], ends: Mapping[str, Any]
) -> None:
    """Leg and position of IPv4 records that name no interface though their format would: a regional NAT gateway's.

    Between an address of the VPC and a public one it is the gateway's inside, between two public ones its outside.
    """
    ipv4 = gateway & (ends["src_high"] == 0) & (ends["dst_high"] == 0)
    src_public, dst_public = (
        is_public(ends[f"{e}_high"], ends[f"{e}_low"]) & (ends[f"{e}_scope"] < 0) & (ends[f"{e}_who"] < 0)
        for e in ("src", "dst")
    )
    inside, outside = ipv4 & (src_public != dst_public), ipv4 & src_public & dst_public
    leg[inside], leg[outside] = NAT_INSIDE, NAT_OUTSIDE
    position[inside | outside] = BETWEEN


def _unheld_private(ends: Mapping[str, Any]) -> Bools:
    """Whether an end is a private address that nobody is known to have held."""
    unheld = [(ends[f"{e}_who"] < 0) & is_rfc1918(ends[f"{e}_high"], ends[f"{e}_low"]) for e in ("src", "dst")]
    return unheld[0] | unheld[1]


def _vpc_of(world: World, vpc: I32, transit: Bools, extras: _Extras, field: str) -> I32:
    """From which VPC an end is looked up: the reporter's; for transit gateway flow logs the one the record names."""
    if not bool(transit.any()):
        return vpc
    named = np.array([_vpc_code(world, key) for key in extras.values(field)], dtype=np.int32)
    return np.where(transit, named[extras.of_row], vpc).astype(np.int32)


def _vpc_code(world: World, vpc_id: str | None) -> int:
    code = int(world.lookup.vpcs.codes([vpc_id])[0])
    if code >= 0:
        return code
    extra = int(world.hints.vpcs.codes([vpc_id])[0])
    return extra + len(world.lookup.vpcs) if extra >= 0 else NOBODY


def _global(local: npt.NDArray, sources: Sequence[Source], known: Mapping[Source, int]) -> I32:
    return np.array([known[s] for s in sources] or [0], dtype=np.int32)[local]


def _duplicate(hints: Hints, reporter: I32, col: Mapping[str, npt.NDArray], sources: Sequence[Source]) -> Bools:
    """Whether another flow log was chosen for the interface and action."""
    duplicate = np.zeros(len(reporter), dtype=np.bool_)
    if not hints.chosen:
        return duplicate
    source = _global(col["source"], sources, hints.sources)
    several = np.isin(reporter, list(hints.chosen))
    for row in np.flatnonzero(several).tolist():
        accept, reject = hints.chosen[int(reporter[row])]
        action = col["action"][row]
        chosen = reject if action == REJECT else accept
        if action == UNKNOWN_ACTION and accept == NOBODY:
            chosen = reject
        duplicate[row] = chosen != source[row]
    return duplicate


def _leg_and_position(
    col: Mapping[str, npt.NDArray],
    own: Bools,
    sends: Bools,
    receives: Bools,
    forwards: npt.NDArray[np.int8],
    transit: Bools,
    packet_addresses: Bools,
    ends: Mapping[str, object],
    is_client: Bools,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    position = np.where(
        own & sends,
        SENDER,
        np.where(own & receives, RECEIVER, np.where(sends | receives | transit, BETWEEN, UNSAID_POSITION)),
    )
    leg = np.full(len(own), DIRECT, dtype=np.int8)
    nat = forwards == NAT
    leg[nat & ~own] = NAT_INSIDE
    src_public = is_public(ends["src_high"], ends["src_low"])  # type: ignore[arg-type]
    dst_public = is_public(ends["dst_high"], ends["dst_low"])  # type: ignore[arg-type]
    to_the_world = np.where(sends, dst_public, src_public)
    # Without packet addresses the gateway's inside traffic looks like its own; the other end tells, and that nobody
    # opens a connection to it but from inside. What is behind it can't be known.
    inside_unsaid = nat & own & ~packet_addresses & ~to_the_world & ~is_client
    leg[nat & own] = NAT_OUTSIDE
    leg[inside_unsaid] = NAT_INSIDE
    position[inside_unsaid] = BETWEEN
    geneve = (col["protocol"] == UDP) & ((col["dstport"] == GENEVE_PORT) | (col["srcport"] == GENEVE_PORT))
    # Transit gateway and appliance interfaces have no traffic of their own.
    leg[transit | geneve | ((forwards > 0) & ~nat)] = HOP
    return leg, position.astype(np.int8)


class _Extras:
    """The evidence fields of the sums, by row."""

    def __init__(self, keys: list, of_row: npt.NDArray) -> None:
        self.keys = keys
        self.of_row = of_row

    def values(self, name: str) -> list:
        at = EXTRAS.index(name)
        return [key[at] if key else None for key in self.keys]

    def number(self, name: str, otherwise: int = 0) -> I64:
        return np.array([otherwise if v is None else int(v) for v in self.values(name)], dtype=np.int64)[self.of_row]

    def is_true(self, name: str) -> Bools:
        return np.array([bool(v) for v in self.values(name)], dtype=np.bool_)[self.of_row]

    def text(self, name: str, where: Bools | None = None) -> pa.DictionaryArray:
        values = self.values(name)
        distinct = sorted({v for v in values if v is not None})
        code = {v: i for i, v in enumerate(distinct)}
        codes = np.array([code.get(v, -1) for v in values], dtype=np.int32)[self.of_row]
        if where is not None:
            codes = np.where(where, codes, -1).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(distinct, pa.string()))


def _label_far(
    world: World,
    extras: _Extras,
    service_field: str,
    ask: I64,
    found: Holder,
    high: U64,
    low: U64,
    how: npt.NDArray[np.int8],
    label: I32,
) -> list[str]:
    """AWS service, known network and public address, for the ends that nobody is known to have held. Returns the
    labels' texts.

    An address of a VPC's own (its IPv6 ones are public) is somebody's there, though it is not known whose: no
    service, and not just public.
    """
    rest = ask[(found.who < 0) & ~found.contested]
    if not len(rest):
        return []
    texts: dict[str, int] = {}
    said = [None if v is None else texts.setdefault(str(v), len(texts)) for v in extras.values(service_field)]
    by_record = np.array([-1 if v is None else v for v in said], dtype=np.int32)[extras.of_row[rest]]
    pairs, inverse = distinct(high[rest], low[rest])
    h, lo = high[rest][pairs], low[rest][pairs]
    public = is_public(h, lo)
    aws = world.aws.find(h, lo)
    aws_codes = np.array([texts.setdefault(t, len(texts)) for t in world.aws.labels] + [-1], dtype=np.int32)[aws]
    network = world.networks.find(h, lo)
    network_codes = np.array([texts.setdefault(t, len(texts)) for t in world.networks.labels] + [-1], dtype=np.int32)[
        network
    ]
    in_vpc = np.isin(found.scope, list(world.lookup.ranges))[(found.who < 0) & ~found.contested]
    service = np.where(by_record >= 0, by_record, np.where(public, aws_codes, -1)[inverse])
    service[in_vpc] = -1
    named = network_codes[inverse]
    label[rest] = np.where(service >= 0, service, named)
    just_public = public[inverse] & ~in_vpc
    how[rest] = np.where(service >= 0, AWS_SERVICE, np.where(named >= 0, NETWORK, np.where(just_public, PUBLIC, NONE)))
    return list(texts)


# --- before the shuffle ----------------------------------------------------------------------------------------------


def bucket_of(world: World, rows: pa.Table, buckets: int) -> npt.NDArray[np.int64]:
    """In which bucket the sum is merged: one for both reporters of a pair."""
    columns = {f"{end}_{n}": rows[f"{end}_{n}"].to_numpy() for end in ("src", "dst") for n in ENDS}
    return (pair_key(world, columns) % np.uint64(buckets)).astype(np.int64)


ENDS = ("who", "high", "low", "scope")


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
    shared = np.bincount(lookup.shares, minlength=len(lookup.interfaces)) > 1
    mine = who[at]
    primary = (lookup.interface_high[mine] == high[at]) & (lookup.interface_low[mine] == low[at])
    result[at] = shared[lookup.shares[mine]] & ~primary
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
