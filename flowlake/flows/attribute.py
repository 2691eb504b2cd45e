"""Attribution: whose address it was at the time, for both ends of every sum.

A sum's own side is its interface id. The far side is found by the first rule that holds: who held the address
(holders.py), an AWS service, a known network, a public address; else none. What can't be told here may be told by the
other reporter of the connection (connections.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowlake.flows import handshakes, roles
from flowlake.flows.addresses import U64, is_none, is_public, is_rfc1918
from flowlake.flows.evidence import NOT_LOGGED
from flowlake.flows.hashing import distinct
from flowlake.flows.hints import Hints
from flowlake.flows.holders import Holder, holders
from flowlake.flows.lookup import I32, I64, NAT, NOBODY, Bools
from flowlake.flows.summarise import (
    EGRESS,
    EXTRAS,
    INGRESS,
    Source,
)
from flowlake.flows.world import (
    AWS_SERVICE,
    BETWEEN,
    CONTESTED_DST,
    CONTESTED_SRC,
    DIRECT,
    HOP,
    INTERFACE,
    NAT_INSIDE,
    NAT_OUTSIDE,
    NETWORK,
    NONE,
    PUBLIC,
    RECEIVER,
    SENDER,
    UNSAID_POSITION,
    UNSURE,
    World,
)

GENEVE_PORT, UDP = 6081, 17


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
    to_inside = _place_gateways(gateway & ~transit, leg, position, columns)
    unsaid = position == UNSAID_POSITION
    stranger = ~own & (reporter >= len(lookup.interfaces)) & (forwards == 0)
    # Of an interface whose VPC nobody knows, the other end's own records can't be found.
    nowhere = (vpc < 0) & ~transit & _unheld_private(columns)
    doubts[unsaid | stranger | nowhere | _several_in_one(hints, source, reporter)] |= UNSURE
    columns |= {
        "source": source,
        "reporter": reporter,
        "position": position,
        "outward": (position == BETWEEN) & (sends | to_inside),
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
) -> Bools:
    """Leg and position of IPv4 records that name no interface though their format would: a regional NAT gateway's.

    Between an address of the VPC and a public one it is the gateway's inside, between two public ones its outside.
    Returns which of those inside went in, from the gateway.
    """
    ipv4 = gateway & (ends["src_high"] == 0) & (ends["dst_high"] == 0)
    src_public, dst_public = (
        is_public(ends[f"{e}_high"], ends[f"{e}_low"]) & (ends[f"{e}_scope"] < 0) & (ends[f"{e}_who"] < 0)
        for e in ("src", "dst")
    )
    inside, outside = ipv4 & (src_public != dst_public), ipv4 & src_public & dst_public
    leg[inside], leg[outside] = NAT_INSIDE, NAT_OUTSIDE
    position[inside | outside] = BETWEEN
    went_in: Bools = inside & src_public
    return went_in


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
    """Whether another flow log was chosen for the interface and action, and told of that time."""
    duplicate = np.zeros(len(reporter), dtype=np.bool_)
    at = hints.several.rows(reporter)
    if len(at):
        source = _global(col["source"], sources, hints.sources)
        orders = hints.several.orders(reporter[at], col["action"][at])
        duplicate[at] = ~hints.several.counts(orders, source[at], col["first"][at], col["last"][at])
    return duplicate


def _several_in_one(hints: Hints, source: I32, reporter: I32) -> Bools:
    """Whether a row came through what may hold it once for each of several flow logs."""
    perhaps = np.zeros(len(reporter), dtype=np.bool_)
    for number, interfaces in hints.in_one.items():
        perhaps |= (source == number) & np.isin(reporter, interfaces)
    return perhaps


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
