"""One reporter chosen for each pair of ends and direction, for the whole hour, so that every byte counts once a leg.

All rows of a pair of addresses, from both reporters and all objects, lie in one bucket. What is decided here: the
receiving interface's records count where its flow log covered the hour, else the sender's, else those of the
nearest hop, which also stand in where both lost some and it lost none; the other reporter's are evidence. What the
sender logs as REJECT never arrived and counts as REJECT; what the sender counts as accepted and the receiver refused is
one attempt, rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowlake.flows.addresses import U64
from flowlake.flows.buckets import ENDS, end_address, end_vpc
from flowlake.flows.evidence import LOSSY, NOT_LOGGED
from flowlake.flows.hashing import distinct
from flowlake.flows.lookup import I64, NAT, NOBODY, Bools, Lookup, each_of, mix, value_at
from flowlake.flows.minutes import minutes_masks
from flowlake.flows.ports import both_ports
from flowlake.flows.summarise import ACCEPT, REJECT
from flowlake.flows.world import BETWEEN, DIRECT, HOP, NAT_INSIDE, NAT_OUTSIDE, RECEIVER, SENDER, UNSURE, World
from flowlake.lake.hours import SECONDS

MARGIN_SECONDS = 660
"""The longest aggregation interval and a minute: how far apart two reporters' records of the same bytes may begin."""

COUNTED, OTHER_REPORTER, ON_HOP, OUTSIDE, DUPLICATE = range(5)
"""What becomes of a row's bytes. Totals take COUNTED; ON_HOP and OUTSIDE are published on legs of their own; the rest
is evidence or set aside.
"""

FATES = ("counted", "other_reporter", "hop", "nat_outside", "duplicate")


@dataclass
class Chosen:
    """Rows with what becomes of them: fate, and leg and action as published."""

    rows: Mapping[str, npt.NDArray]
    fate: npt.NDArray[np.int8]
    leg: npt.NDArray[np.int8]
    action: npt.NDArray[np.int8]
    doubts: npt.NDArray[np.int8]
    handover: Bools


def choose(rows: Mapping[str, npt.NDArray], world: World) -> Chosen:
    """One reporter for each pair of ends and direction, for the whole hour."""
    rows = _with_outside_of_gateways(_by_flow_log_that_holds_most(rows, world), world)
    size = len(rows["bytes"])
    leg, position, action = rows["leg"], rows["position"], rows["action"].copy()
    doubts = rows["doubts"].copy()
    low_src, high_src = _penalties(rows, "src", world)
    low_dst, high_dst = _penalties(rows, "dst", world)
    hidden_src, hidden_dst = _hidden_by_gateways(rows)
    for hidden, penalties in ((hidden_src, (low_src, high_src)), (hidden_dst, (low_dst, high_dst))):
        for penalty in penalties:
            penalty[hidden] = NOT_LOGGED
    doubts[_may_be_of_a_reporter(rows, world, low_src, low_dst)] |= UNSURE
    receiver_first = _receiver_first(rows, world, low_src, high_src, low_dst, high_dst, doubts)
    logged_src, logged_dst = low_src != NOT_LOGGED, low_dst != NOT_LOGGED
    fate = np.full(size, OTHER_REPORTER, dtype=np.int8)
    # An end whose reporter is an end itself is logged, whatever the evidence says.
    is_receiver, is_sender = position == RECEIVER, position == SENDER
    fate[is_receiver & (receiver_first | ~logged_src)] = COUNTED
    fate[is_sender & (~receiver_first | ~logged_dst)] = COUNTED
    fate[is_sender & (action == REJECT)] = COUNTED
    # A gateway that shows its own address for what is behind it is no reporter of the pair's ends.
    behind_src, behind_dst = rows["src_who"] == rows["reporter"], rows["dst_who"] == rows["reporter"]
    between = (position == BETWEEN) & (~logged_src | behind_src) & (~logged_dst | behind_dst)
    for end in ("src", "dst"):
        between[between] = ~_ever_logged(rows, np.flatnonzero(between), end, world)
    hop_leg = leg.copy()
    if bool(between.any()):
        nearest = _nearest(rows, between, pair_of_ends(rows), world)
        fate[nearest] = COUNTED
        hop_leg[nearest & (leg == HOP)] = DIRECT
    instead, replaced = _hop_instead(rows, fate, world, low_src, low_dst, ~(behind_src | behind_dst))
    fate[replaced], fate[instead] = OTHER_REPORTER, COUNTED
    hop_leg[instead & (leg == HOP)] = DIRECT
    fate[~(is_receiver | is_sender | (position == BETWEEN))] = COUNTED
    on_hop = (leg == HOP) & ~((fate == COUNTED) & (position == BETWEEN))
    fate[on_hop] = ON_HOP
    # What a gateway sent on is recorded twice where the end beyond it reports: one of the two is published.
    evidence_of_it = (fate == OTHER_REPORTER) & (is_receiver | is_sender)
    fate[(leg == NAT_OUTSIDE) & ~evidence_of_it] = OUTSIDE
    fate[rows["duplicate"]] = DUPLICATE
    action = _refused_on_arrival(rows, fate, action, world)
    return Chosen(
        rows,
        fate,
        hop_leg,
        action,
        doubts,
        (_handovers(rows, world, receiver_first) & ~hidden_src & ~hidden_dst) | _of_another_flow_log(rows, fate, world),
    )


def _may_be_of_a_reporter(
    rows: Mapping[str, npt.NDArray], world: World, low_src: npt.NDArray, low_dst: npt.NDArray
) -> Bools:
    """Rows with an end at an IPv4 address that nobody who reports is known to have had (low: NOT_LOGGED), in a VPC
    where another interface's format shows its primary address whichever it used: it may be that one's, which then
    reports the same bytes under its primary address, and no record joins the two.
    """
    hints = world.hints
    doubtful = np.zeros(len(rows["reporter"]), dtype=np.bool_)
    at_primary = hints.primary_shown_in
    # Of a VPC whose ranges are not known any private address may be, which is no reason for doubt.
    vpcs = [vpc for vpc in world.lookup.ranges if vpc < len(at_primary)]
    for end, low in (("src", low_src), ("dst", low_dst)):
        nobody = (rows[f"{end}_who"] < 0) & (rows[f"{end}_high"] == 0) & (low == NOT_LOGGED)
        asked = np.flatnonzero(nobody & np.isin(rows[f"{end}_scope"], vpcs))
        scope, reporter = rows[f"{end}_scope"][asked], rows["reporter"][asked]
        itself = _marked(hints.shows_primary, reporter) & (hints.vpc_of(reporter) == scope)
        doubtful[asked] |= at_primary[scope] - itself > 0
    return doubtful


def _with_outside_of_gateways(rows: Mapping[str, npt.NDArray], world: World) -> Mapping[str, npt.NDArray]:
    """Rows with the leg nat_outside also for what ends beyond a NAT gateway recorded of it, where the gateway's own
    records tell all of the inside: the same bytes count there, under the names of those behind it. Where they don't,
    the same bytes may count there too: the row says so.
    """
    position = rows["position"]
    far = np.where(position == RECEIVER, rows["src_who"], rows["dst_who"])
    asked = np.flatnonzero(((position == RECEIVER) | (position == SENDER)) & (rows["leg"] == DIRECT) & (far >= 0))
    asked = asked[_is_gateway(world, far[asked])]
    if not len(asked):
        return rows
    told = _tells_inside(world, far[asked])
    leg, doubts = rows["leg"].copy(), rows["doubts"].copy()
    leg[asked[told]] = NAT_OUTSIDE
    doubts[asked[~told]] |= UNSURE
    return {**rows, "leg": leg, "doubts": doubts}


def _tells_inside(world: World, who: npt.NDArray) -> Bools:
    """Whether each interface is a NAT gateway's whose records tell all that is behind it."""
    return _marked(world.hints.inside_told, who)


def _marked(marks: Bools, who: npt.NDArray) -> Bools:
    """Whether each interface has its mark; nobody has. Where there are no marks at all, none has."""
    if not bool(marks.any()):
        return np.zeros(len(who), dtype=np.bool_)
    marked: Bools = (who >= 0) & marks[np.where(who >= 0, who, 0)]
    return marked


def _is_gateway(world: World, who: npt.NDArray) -> Bools:
    """Whether each interface is a NAT gateway's, by the book."""
    is_gateway: Bools = value_at(world.lookup.forwards, who, 0) == NAT
    return is_gateway


def _hidden_by_gateways(rows: Mapping[str, npt.NDArray]) -> tuple[Bools, Bools]:
    """Rows whose source, or destination, lies beyond a NAT gateway that saw the inside of this pair: it recorded the
    gateway's address for the other end, and nothing under this pair.
    """
    nobody = np.zeros(len(rows["reporter"]), dtype=np.bool_)
    inside = (rows["position"] == BETWEEN) & (rows["leg"] == NAT_INSIDE) & ~rows["shows_own"] & ~rows["duplicate"]
    if not bool(inside.any()):
        return nobody, nobody
    unknown = inside & _some_end_unknown(rows)
    hidden_src, hidden_dst = nobody, nobody.copy()
    # An end that the gateway's record does not tell may have a name in the other's: there the addresses tell.
    for saw, (src, dst) in ((inside, _ends(rows)), (unknown, _addresses(rows))):
        # What comes in to a gateway is from who is behind it, and what leaves it inside is for them.
        outward = rows["outward"][saw]
        behind, beyond = np.where(outward, dst[saw], src[saw]), np.where(outward, src[saw], dst[saw])
        pairs = np.unique(behind << 32 | beyond)
        hidden_src |= np.isin(dst << 32 | src, pairs)
        hidden_dst |= np.isin(src << 32 | dst, pairs)
    return hidden_src, hidden_dst


def _ends(rows: Mapping[str, npt.NDArray]) -> tuple[I64, I64]:
    """Numbers of the source and the destination of each row: by the interface, else by the address."""
    columns = []
    for name in ("who", "high", "low"):
        both = np.concatenate([rows[f"src_{name}"], rows[f"dst_{name}"]])
        known = np.concatenate([rows["src_who"], rows["dst_who"]]) >= 0
        columns.append(both if name == "who" else np.where(known, np.uint64(0), both))
    number = distinct(*columns)[1]
    return number[: len(rows["src_who"])], number[len(rows["src_who"]) :]


def _addresses(rows: Mapping[str, npt.NDArray]) -> tuple[I64, I64]:
    """Numbers of the addresses of the source and the destination of each row."""
    number = distinct(*(np.concatenate([rows[f"src_{name}"], rows[f"dst_{name}"]]) for name in ("high", "low")))[1]
    return number[: len(rows["src_who"])], number[len(rows["src_who"]) :]


def _penalties(rows: Mapping[str, npt.NDArray], end: str, world: World) -> tuple[npt.NDArray, npt.NDArray]:
    """Least and greatest penalty of who may be at the end: the same where it is known, NOT_LOGGED where nobody there
    reports.

    Where the end could not be told, all interfaces that used its address around that time, by their own records, and
    all that claim it around then in the book may be it.
    """
    hints = world.hints
    who = rows[f"{end}_who"]
    if not len(hints.penalty):
        none = np.full(len(who), NOT_LOGGED, dtype=np.uint8)
        return none, none.copy()
    known = who >= 0
    low = np.where(known, hints.penalty[np.where(known, who, 0)], NOT_LOGGED).astype(np.uint8)
    high = low.copy()
    scope = rows[f"{end}_scope"]
    asked = np.flatnonzero(~known & (scope >= 0))
    if not len(asked):
        return low, high
    address = scope[asked].astype(np.int64), rows[f"{end}_high"][asked], rows[f"{end}_low"][asked]
    first, last = rows["first"][asked] - MARGIN_SECONDS, rows["last"][asked] + MARGIN_SECONDS
    span = minutes_masks(first, last, world.lookup.starts)
    least = np.full(len(asked), NOT_LOGGED, dtype=np.uint8)
    most = np.zeros(len(asked), dtype=np.uint8)

    reporter = rows["reporter"][asked]

    def may_be(r: I64, interface: npt.NDArray, there: Bools) -> None:
        penalty = hints.penalty[interface]
        # Nobody reports what it sends to itself.
        there = there & (interface != reporter[r])
        least[r] = np.where(there, np.minimum(least[r], penalty), least[r])
        most[r] = np.where(there, np.maximum(most[r], penalty), most[r])

    begin, stop = hints.attested.find(*address)
    for r, at in each_of(begin, stop):
        may_be(r, hints.attested_interface[at], (hints.attested_mask[at] & span[r]) != 0)
    # A format without pkt-* shows nobody using a secondary address: there the book alone tells who may have.
    claims = world.lookup.claims
    begin, stop = claims.find(*address)
    for r, at in each_of(begin, stop):
        near = (world.lookup.claim_from[at] <= last[r] * 1000) & (world.lookup.claim_to[at] >= first[r] * 1000)
        # A secondary address goes and comes back untold.
        may_be(r, world.lookup.claim_interface[at], near | ~world.lookup.claim_primary[at])
    for r, interface in _by_prefixes(world.lookup, *address):
        may_be(r, interface, np.ones(len(r), dtype=np.bool_))
    low[asked] = least
    high[asked] = np.where(least == NOT_LOGGED, NOT_LOGGED, most)
    return low, high


def _by_prefixes(lookup: Lookup, scope: I64, high: U64, low: U64) -> Iterator[tuple[I64, npt.NDArray[np.int32]]]:
    """Of these addresses of VPCs those in delegated prefixes, with one of the interfaces that have had it at a time."""
    in_vpcs = np.flatnonzero(np.isin(scope, list(lookup.prefixes)))
    if not len(in_vpcs):
        return
    first, of = distinct(scope[in_vpcs], high[in_vpcs], low[in_vpcs])
    for number, row in enumerate(in_vpcs[first].tolist()):
        address = (int(high[row]) << 64) | int(low[row])
        at = in_vpcs[of == number]
        for interface in {claim[0] for claim in lookup.prefix_claims(int(scope[row]), address)}:
            yield at, np.full(len(at), interface, dtype=np.int32)


def _ever_logged(rows: Mapping[str, npt.NDArray], at: I64, end: str, world: World) -> Bools:
    """Whether the end is not known, but its address is in the book, though not around then, as that of an interface
    that reports. It may have had it then too: events are lost.
    """
    lookup, penalty = world.lookup, world.hints.penalty
    result = np.zeros(len(at), dtype=np.bool_)
    asked = np.flatnonzero((rows[f"{end}_who"][at] < 0) & (rows[f"{end}_scope"][at] >= 0))
    row = at[asked]
    scope = rows[f"{end}_scope"][row].astype(np.int64)
    begin, stop = lookup.claims.find(scope, rows[f"{end}_high"][row], rows[f"{end}_low"][row])
    for r, claim in each_of(begin, stop):
        result[asked[r]] |= penalty[lookup.claim_interface[claim]] != NOT_LOGGED
    return result


def _receiver_first(
    rows: Mapping[str, npt.NDArray],
    world: World,
    low_src: npt.NDArray,
    high_src: npt.NDArray,
    low_dst: npt.NDArray,
    high_dst: npt.NDArray,
    doubts: npt.NDArray[np.int8],
) -> Bools:
    """Whether the receiver's records count: it lacks no more than the sender's. Where both lost records, the one that
    holds more bytes.

    Where an end could be one of several and they differ, it can't be told by them: of a connection that both recorded
    then the one that holds more of it, else the row counts and says so.
    """
    receiver = high_dst <= low_src
    sender = low_dst > high_src
    unclear = ~receiver & ~sender
    position = rows["position"]
    receiver = receiver | (unclear & (position == RECEIVER))
    of_end = (position == RECEIVER) | (position == SENDER)
    # Of an end that may be one of several it is enough that one of them lost records: those may be the ones lacking.
    ends_report = of_end.copy()
    for penalty in (high_src, high_dst):
        ends_report &= (penalty != NOT_LOGGED) & (penalty & LOSSY > 0)
    one_of_several = (low_src != high_src) | (low_dst != high_dst)
    settled = _settle_connections(rows, world, of_end, unclear | (ends_report & one_of_several), receiver)
    doubts[unclear & of_end & ~settled] |= UNSURE
    ends_report &= ~settled
    # Whether the one whose records are lacking is that very end can't be told where an end is unknown; and which holds
    # more may be another in the hour beside, where the other end's records of the same packets may lie.
    doubts[ends_report & ((rows["src_who"] < 0) | (rows["dst_who"] < 0) | _at_the_edge(rows, world))] |= UNSURE
    rivals = np.flatnonzero(ends_report & ~rows["duplicate"])
    if len(rivals):
        addresses = _pair_of_addresses(rows, rivals, world)
        pairs, at_all = _pairs(rows, rivals, addresses, world), distinct(addresses)[1]
        more, more_at_all = (_receiver_less_sender(rows, rivals, of) for of in (pairs, at_all))
        # Of what both hold alike the one that holds more between these addresses.
        receiver[rivals] = (more > 0) | ((more == 0) & (more_at_all >= 0))
    return receiver


def _at_the_edge(rows: Mapping[str, npt.NDArray], world: World) -> Bools:
    """Whether a row begins or ends so near to the hour's begin or end that by another clock it may lie beside it."""
    begins, ends = world.lookup.starts, world.lookup.starts + SECONDS
    near = world.settings.two_clocks_seconds
    edge: Bools = (rows["first"] < begins + near) | (rows["last"] >= ends - near)
    return edge


def _settle_connections(
    rows: Mapping[str, npt.NDArray], world: World, of_end: Bools, unclear: Bools, receiver: Bools
) -> Bools:
    """Rows of connections of which some are unclear and both ends recorded any. Sets receiver to one for all of each.

    It is the one that holds more; of those alike the one that their rows that are not unclear have chosen.
    """
    settled = np.zeros(len(of_end), dtype=np.bool_)
    asked = np.flatnonzero(unclear & of_end)
    asked = asked[both_ports(rows, asked)]
    if not len(asked):
        return settled
    at = np.flatnonzero(of_end & ~rows["duplicate"])
    at = at[both_ports(rows, at)]
    addresses = _pair_of_addresses(rows, at, world)
    near = np.isin(addresses, addresses[unclear[at]])
    at = at[near]
    if not len(at):
        return settled
    group = _connections(rows, at, addresses[near], world)
    both = np.ones(int(group.max()) + 1, dtype=np.bool_)
    for which in (unclear[at], rows["position"][at] == RECEIVER, rows["position"][at] == SENDER):
        both &= np.bincount(group[which], minlength=len(both)) > 0
    at, group = at[both[group]], group[both[group]]
    if not len(at):
        return settled
    more = _receiver_less_sender(rows, at, group)
    sender_elsewhere = np.zeros(len(both), dtype=np.bool_)
    sender_elsewhere[group[~unclear[at] & ~receiver[at]]] = True
    receiver[at] = (more > 0) | ((more == 0) & ~sender_elsewhere[group])
    settled[at] = True
    return settled


def _receiver_less_sender(rows: Mapping[str, npt.NDArray], at: I64, group: I64) -> I64:
    """Bytes that receivers hold in the group of each of these rows, less those that senders hold."""
    more = np.zeros(int(group.max()) + 1, dtype=np.int64)
    held = rows["bytes"][at]
    np.add.at(more, group, np.where(rows["position"][at] == RECEIVER, held, -held))
    return more[group]


def _pairs(rows: Mapping[str, npt.NDArray], at: I64, addresses: U64, world: World) -> I64:
    """Numbers of the pairs of ends, in this direction, of some rows (with the keys of their addresses): by who holds
    them.

    A connection of which some row does not know an end is a pair of its own: the other reporter may know it, and whom
    the address belongs to at other times has no part in it.
    """
    src, dst = (rows[name][at].astype(np.int64) for name in ("src_who", "dst_who"))
    unknown = _some_end_unknown({name: rows[name][at] for name in ("src_who", "dst_who", "src_scope", "dst_scope")})
    if not bool(unknown.any()):
        return distinct(addresses, src, dst)[1]
    connection = _connections(rows, at, addresses, world)
    alone = np.isin(connection, connection[unknown])
    _, number = distinct(
        np.where(alone, connection.astype(np.uint64), addresses),
        np.where(alone, NOBODY, src),
        np.where(alone, NOBODY, dst),
    )
    return number


def _connections(rows: Mapping[str, npt.NDArray], at: I64, addresses: U64, world: World) -> I64:
    """Numbers of the connections of some rows: addresses (as keys), ports and protocol, in one stretch of time.

    Where no row covers more than two clocks may be apart another begins: the next holder may use the same port.
    """
    ports = rows["srcport"][at].astype(np.int64) << 25 | rows["dstport"][at].astype(np.int64) << 9
    _, tuple_ = distinct(addresses, ports | rows["protocol"][at].astype(np.int64))
    order = np.lexsort((rows["first"][at], tuple_))
    of, first, last = tuple_[order], rows["first"][at][order], rows["last"][at][order]
    begins = np.ones(len(at), dtype=np.bool_)
    # The last moment covered so far, of each tuple for itself; 32 bits are seconds enough for an hour's records.
    since = first.min()
    reached = np.minimum(last - since + world.settings.two_clocks_seconds, (1 << 32) - 1)
    begins[1:] = (of << 32 | first - since)[1:] > np.maximum.accumulate(of << 32 | reached)[:-1]
    number = np.empty(len(at), dtype=np.int64)
    number[order] = np.cumsum(begins) - 1
    return number


def _some_end_unknown(rows: Mapping[str, npt.NDArray]) -> Bools:
    """Whether nobody is known for an address of a VPC that the row shows."""
    src, dst = ((rows[f"{end}_who"] < 0) & (rows[f"{end}_scope"] >= 0) for end in ("src", "dst"))
    unknown: Bools = src | dst
    return unknown


def _pair_of_addresses(rows: Mapping[str, npt.NDArray], at: I64, world: World) -> U64:
    """A key of both ends' addresses, in this direction: the same to both reporters, though one can't tell an end."""
    keys = []
    for end in ("src", "dst"):
        of = {f"{end}_{n}": rows[f"{end}_{n}"][at] for n in ENDS}
        keys.append(mix(end_vpc(world, of, end), *end_address(world, of, end)))
    key: U64 = keys[0] ^ keys[1] * np.uint64(3)
    return key


def _by_flow_log_that_holds_most(rows: Mapping[str, npt.NDArray], world: World) -> Mapping[str, npt.NDArray]:
    """Rows with duplicate set anew where an interface has several flow logs and lost records: for each pair and
    direction that one comes first with which most of it counts. As ranked, or in what turn ever: nothing counts twice.
    """
    penalty, reporter, several = world.hints.penalty, rows["reporter"], world.hints.several
    if not bool(rows["duplicate"].any()):
        return rows
    at = several.rows(reporter)
    at = at[(penalty[reporter[at]] & LOSSY > 0) & several.may_take_turns(reporter[at])]
    if not len(at):
        return rows
    # Of the same packets all rows are to be in one group.
    orders = several.orders(reporter[at], rows["action"][at])
    _, group = distinct(_pair_of_addresses(rows, at, world), orders)
    source, first, last = (rows[name][at] for name in ("source", "first", "last"))

    def held(counts: Bools) -> I64:
        total = np.zeros(int(group.max()) + 1, dtype=np.int64)
        np.add.at(total, group[counts], rows["bytes"][at[counts]])
        return total

    duplicate = rows["duplicate"].copy()
    most = held(~duplicate[at])
    for turn in several.turns():
        counts = several.counts(orders, source, first, last, turn)
        holds = held(counts)
        duplicate[at] = np.where((holds > most)[group], ~counts, duplicate[at])
        most = np.maximum(most, holds)
    return {**rows, "duplicate": duplicate}


def _hop_instead(
    rows: Mapping[str, npt.NDArray],
    fate: npt.NDArray[np.int8],
    world: World,
    low_src: npt.NDArray,
    low_dst: npt.NDArray,
    shows_ends: Bools,
) -> tuple[Bools, Bools]:
    """Rows of hops that count instead of the ends' own, and the ends' rows that they replace.

    Where every end that reports at all lost records, the best hop between counts for the pair and direction, if it
    holds more: one that lost none, else the one that holds most. Not where an end refused any of it, which the hop
    does not see; and not where an end is not known, or an end's own record that counts does not know the other.
    """
    nothing = np.zeros(len(fate), dtype=np.bool_)
    penalty, position = world.hints.penalty, rows["position"]
    logged_src, logged_dst = low_src != NOT_LOGGED, low_dst != NOT_LOGGED
    lossy = (logged_src | logged_dst) & (~logged_src | (low_src & LOSSY > 0)) & (~logged_dst | (low_dst & LOSSY > 0))
    unknown = _some_end_unknown(rows)
    lossy &= ~unknown
    hop = lossy & (position == BETWEEN) & (rows["leg"] != NAT_OUTSIDE) & ~rows["duplicate"] & shows_ends
    hop &= rows["reporter"] >= 0
    # What went on from a gateway counts inside, if it tells that.
    hop &= ~(_tells_inside(world, rows["src_who"]) | _tells_inside(world, rows["dst_who"]))
    if not bool(hop.any()):
        return nothing, nothing
    pair = pair_of_ends(rows, whole_interfaces=True)
    lost = penalty[np.where(hop, rows["reporter"], 0)] & LOSSY > 0
    best = _nearest(rows, hop & _holds_most(rows, hop, pair, lost), pair, world)
    of_end = ((position == RECEIVER) | (position == SENDER)) & ~rows["duplicate"]
    counted = of_end & lossy & (fate == COUNTED)
    more = np.zeros(int(pair.max()) + 1, dtype=np.int64)
    np.add.at(more, pair[best], rows["bytes"][best])
    np.subtract.at(more, pair[counted], rows["bytes"][counted])
    more[pair[of_end & lossy & (rows["action"] == REJECT)]] = 0
    of_nobody = np.flatnonzero(of_end & unknown & (fate == COUNTED))
    if len(of_nobody):
        at = np.flatnonzero(best)
        same = np.isin(_pair_of_addresses(rows, at, world), _pair_of_addresses(rows, of_nobody, world))
        more[pair[at[same]]] = 0
    instead = more[pair] > 0
    return best & instead, counted & instead


def _holds_most(rows: Mapping[str, npt.NDArray], hop: Bools, pair: npt.NDArray, lost: Bools) -> Bools:
    """Of each pair's hops those that lost none, and where all did, those that hold most of it."""
    at = np.flatnonzero(hop)
    whole = np.zeros(int(pair.max()) + 1, dtype=np.bool_)
    whole[pair[at[~lost[at]]]] = True
    seat = (rows["reporter"][at].astype(np.int64) << 1) | rows["outward"][at]
    first, of = distinct(pair[at], seat)
    held = np.zeros(len(first), dtype=np.int64)
    np.add.at(held, of, rows["bytes"][at])
    most = np.zeros(len(whole), dtype=np.int64)
    np.maximum.at(most, pair[at[first]], held)
    found = np.zeros(len(hop), dtype=np.bool_)
    found[at] = np.where(whole[pair[at]], ~lost[at], held[of] == most[pair[at]])
    return found


def pair_of_ends(rows: Mapping[str, npt.NDArray], whole_interfaces: bool = False) -> I64:
    """Numbers of the pairs of ends, in this direction: by who holds which address, or of whole interfaces by who."""
    columns = []
    for end in ("src", "dst"):
        who, *address = (rows[f"{end}_{n}"] for n in ("who", "high", "low"))
        if whole_interfaces:
            address = [np.where(who >= 0, np.uint64(0), part) for part in address]
        columns += [who, *address]
    return distinct(*columns)[1]


def _nearest(rows: Mapping[str, npt.NDArray], between: Bools, pair: I64, world: World) -> Bools:
    """Of each pair's hops the one nearest to the receiver: in its VPC, then in the sender's; for the whole hour."""
    hints = world.hints
    at = np.flatnonzero(between & ~rows["duplicate"])
    chosen = np.zeros(len(between), dtype=np.bool_)
    if not len(at):
        return chosen
    reporter = rows["reporter"][at]
    vpc = hints.vpc_of(reporter)
    ends = {f"{end}_{name}": rows[f"{end}_{name}"][at] for end in ("src", "dst") for name in ("who", "scope")}
    near_src, near_dst = ((vpc >= 0) & (vpc == end_vpc(world, ends, end)) for end in ("src", "dst"))
    penalty = np.where(reporter >= 0, hints.penalty[np.where(reporter >= 0, reporter, 0)], NOT_LOGGED).astype(np.int64)
    nat = rows["leg"][at] == NAT_INSIDE
    distance = np.where(near_dst, 0, np.where(nat, 1, np.where(near_src, 2, 3))).astype(np.int64)
    # Of an appliance that takes packets in and gives them back by one interface, what it gave back.
    rank = distance << 48 | penalty << 40 | (reporter.astype(np.int64) + 1) << 1 | ~rows["outward"][at]
    best = np.full(int(pair.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(best, pair[at], rank)
    chosen[at] = rank == best[pair[at]]
    return chosen


def _refused_on_arrival(
    rows: Mapping[str, npt.NDArray], fate: npt.NDArray, action: npt.NDArray, world: World
) -> npt.NDArray:
    """Sender's accepted rows count as REJECT where the receiver, whose records are only evidence, refused that very
    connection around that time and did not accept it as well.
    """
    refused = np.flatnonzero((fate == OTHER_REPORTER) & (rows["position"] == RECEIVER) & (action == REJECT))
    if not len(refused):
        return action
    counted = np.flatnonzero((fate == COUNTED) & (rows["position"] == SENDER) & (action == ACCEPT))
    accepted = np.flatnonzero((rows["position"] == RECEIVER) & (action == ACCEPT))
    connection = _connection(rows)
    counted = counted[np.isin(connection[counted], connection[refused])]
    near = world.settings.two_clocks_seconds
    was_refused = _around(rows, connection, counted, refused, near)
    was_refused[was_refused] = ~_around(rows, connection, counted[was_refused], accepted, near)
    action[counted[was_refused]] = REJECT
    return action


def _around(rows: Mapping[str, npt.NDArray], connection: U64, at: I64, others: I64, near: int) -> Bools:
    """Whether some other row of the same connection lies no more than near seconds from the row."""
    others = others[np.argsort(connection[others], kind="stable")]
    found = np.zeros(len(at), dtype=np.bool_)
    begin, stop = (np.searchsorted(connection[others], connection[at], side) for side in ("left", "right"))
    for r, k in each_of(begin, stop):
        one, other = at[r], others[k]
        found[r] |= (rows["first"][other] <= rows["last"][one] + near) & (
            rows["last"][other] >= rows["first"][one] - near
        )
    return found


def _connection(rows: Mapping[str, npt.NDArray]) -> U64:
    """A key of both ends with ports and protocol."""
    ports = (
        rows["srcport"].astype(np.int64) << 25
        | rows["dstport"].astype(np.int64) << 9
        | rows["protocol"].astype(np.int64)
    )
    src = np.where(rows["src_who"] >= 0, rows["src_who"], NOBODY)
    dst = np.where(rows["dst_who"] >= 0, rows["dst_who"], NOBODY)
    return mix(ports, src.astype(np.uint64), dst.astype(np.uint64))


def _of_another_flow_log(rows: Mapping[str, npt.NDArray], fate: npt.NDArray, world: World) -> Bools:
    """Rows that count, of reporters of which another flow log counts than where the hour before ended."""
    told: Bools = (fate == COUNTED) & _marked(world.hints.changed, rows["reporter"])
    return told


def _handovers(rows: Mapping[str, npt.NDArray], world: World, receiver_first: Bools) -> Bools:
    """Rows of pairs for which the other end would have been chosen by what was known of both in the hour before."""
    before = world.hints.previous_penalty
    src, dst = rows["src_who"], rows["dst_who"]
    both = (src >= 0) & (dst >= 0)
    if before is None or not bool(both.any()):
        return np.zeros(len(src), dtype=np.bool_)
    p_src, p_dst = before[np.where(both, src, 0)], before[np.where(both, dst, 0)]
    logged = both & (p_src != NOT_LOGGED) & (p_dst != NOT_LOGGED)
    now = world.hints.penalty
    logged &= (now[np.where(both, src, 0)] != NOT_LOGGED) & (now[np.where(both, dst, 0)] != NOT_LOGGED)
    return logged & ((p_dst <= p_src) != receiver_first)
