"""Who held an address over a span of time, asked from a VPC: by the book's claims, by its prefixes, by the hour's own
records (attested), by the last sight (assumed, provisional hours only). Two claimants at one time: nobody, and said so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowlake.flows.addresses import U64
from flowlake.flows.evidence import GAPS, LOSSY, NOT_LOGGED
from flowlake.flows.fold import OPEN
from flowlake.flows.hashing import distinct
from flowlake.flows.hints import Hints
from flowlake.flows.lookup import I32, I64, NOBODY, Bools, each_of, in_several, note, scopes, value_at
from flowlake.flows.minutes import minutes_masks
from flowlake.flows.world import ASSUMED, ATTESTED, INTERVAL, NONE, World
from flowlake.lake.hours import SECONDS


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
    several, reported = (np.zeros(len(pairs), dtype=np.bool_) for _ in range(2))
    at = np.flatnonzero(p_scope < 0)
    several[at], reported[at] = in_several(world.lookup, p_vpc[at], p_high[at], p_low[at], _that_report(world.hints))
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
    contested |= _claimed_in_several(world, asked, np.flatnonzero(several[inverse]), vpc)
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
    return Holder(who, how, scope, contested & (who < 0), reported[inverse])


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


def _claimed_in_several(world: World, asked: _Asked, several: I64, vpc: I32) -> Bools:
    """Rows, of these whose address may lie in several VPCs, in more than one of which the book gives it to somebody
    around then. vpc: from which each row is seen.
    """
    lookup = world.lookup
    claimed = np.zeros(len(vpc), dtype=np.bool_)
    for one in np.unique(vpc[several]).tolist():
        rows = several[vpc[several] == one]
        pair = asked.pair[rows]
        found, twice = np.full(len(rows), NOBODY, dtype=np.int32), np.zeros(len(rows), dtype=np.bool_)
        for neighbour in lookup.reachable.get(one, ()):
            begin, stop = lookup.claims.find(np.full(len(rows), neighbour, np.int64), asked.high[pair], asked.low[pair])
            for r, claim in each_of(begin, stop):
                near = asked.near(rows[r], lookup.claim_from[claim], lookup.claim_to[claim])
                note(found, twice, r, near, lookup.claim_interface[claim])
        claimed[rows] = twice
    return claimed


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
        note(near, several, r, asked.near(r, since, until), holder)
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
        born = world.lookup.born_by(holder, asked.end[r] + slack)
        for found, more, span in ((near, several, wide), (then, several_then, tight)):
            note(found, more, r, (mask & span[r] != 0) & known & born, holder)
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
    ended = value_at(lookup.ended, holder, OPEN)
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
