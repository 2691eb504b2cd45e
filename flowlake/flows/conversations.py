"""One row a conversation and window, of rows of which it is decided what becomes of them (reporters.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.addresses import U64, is_public
from flowlake.flows.hashing import distinct
from flowlake.flows.lookup import I64, NOBODY, Bools, mix
from flowlake.flows.ports import has_ports
from flowlake.flows.reporters import DUPLICATE, OTHER_REPORTER, Chosen
from flowlake.flows.routes import Router
from flowlake.flows.summarise import slot_seconds
from flowlake.flows.world import (
    BETWEEN,
    CONTESTED_DST,
    CONTESTED_SRC,
    DIRECT,
    HOP,
    NAT_INSIDE,
    NAT_OUTSIDE,
    NONE,
    UNSURE,
)

# Conversations of a whole file are in memory at once: what needs no 64 bits has fewer.
_NARROW: dict[npt.DTypeLike, tuple[str, ...]] = {
    np.int32: (
        "client",
        "server",
        "protocol",
        "server_port",
        "next_hop",
        "next_hop_type",
        "reject_reason",
        "nat",
        "hop",
    ),
    np.int8: (
        "leg",
        "action",
        "has_flags",
        "roles_by",
        "contested_client",
        "contested_server",
        "unsure",
        "path",
        "encryption",
    ),
}


_TYPES = {name: type_ for type_, names in _NARROW.items() for name in names}


@dataclass
class Grouped:
    """Conversations as integers: one row a conversation; endpoints are rows of endpoints (see Endpoints)."""

    columns: dict[str, npt.NDArray]
    endpoints: Endpoints
    reporters: tuple[I64, npt.NDArray]
    also: tuple[I64, npt.NDArray]

    def __len__(self) -> int:
        return len(self.columns["client"])

    def take(self, rows: I64) -> Grouped:
        """Some of the conversations, with all endpoints."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Grouped(columns, self.endpoints, _taken(self.reporters, rows), _taken(self.also, rows))


def _taken(lists: tuple[I64, npt.NDArray], rows: I64) -> tuple[I64, npt.NDArray]:
    """Lists of some rows, as offsets and flat values."""
    offsets, flat = lists
    begins, lengths = offsets[rows], np.diff(offsets)[rows]
    ends = np.cumsum(lengths)
    at = np.arange(int(lengths.sum())) + np.repeat(begins - (ends - lengths), lengths)
    return np.concatenate([[0], ends]), flat[at]


@dataclass
class Endpoints:
    """Distinct ends: who held which address in which state, or what else is known of the address."""

    who: npt.NDArray
    state: npt.NDArray
    high: U64
    low: U64
    scope: npt.NDArray
    label: npt.NDArray
    how: npt.NDArray
    """How strongly each is known in its pair at best: an end known by its own record in one direction is so in the
    other.
    """


def _with_best_how(ends: Sequence[npt.NDArray], how: npt.NDArray, window: I64) -> tuple[I64, I64, I64]:
    """The number of each row's end; and the first row and number of each distinct end, as strongly known as in any row
    of the same pair and window: how becomes that of each row.

    ends: the client of each row, then the server of each row, and window likewise. Other pairs play no part: which of
    them lie in one bucket is chance. Nor do other windows: an address may have moved.
    """
    _, end = distinct(*ends)
    size = len(end) // 2
    far = np.concatenate([end[size:], end[:size]])
    pairs, pair = distinct(end << 32 | far, window)
    best = np.full(len(pairs), NONE, dtype=how.dtype)
    np.minimum.at(best, pair, how)
    how[:] = best[pair]
    return end, *distinct(end << 8 | how)


def group(
    chosen: Chosen, labels: Mapping[str, npt.NDArray], router: Router, hour_starts: int, window_seconds: int
) -> Grouped | None:
    """Adds rows up to conversations. Evidence rows give paths, flags and strength of attribution, never bytes.

    Conversations of which no row counts (or is published on a leg of its own) are left out; None where nothing is left.
    """
    rows, fate = chosen.rows, chosen.fate
    use = np.flatnonzero(fate != DUPLICATE)
    if not len(use):
        return None
    r, lab, leg, action, doubts = rows, labels, chosen.leg, chosen.action, chosen.doubts
    if len(use) < len(fate):
        r = {name: values[use] for name, values in rows.items()}
        lab = {name: values[use] for name, values in labels.items()}
        fate, leg, action, doubts = fate[use], leg[use], action[use], doubts[use]
    evidence = fate == OTHER_REPORTER
    up = r["client_is_src"] != 0
    ends = {}
    for end, flipped in (("client", "dst"), ("server", "src")):
        straight = "src" if end == "client" else "dst"
        ends[end] = [
            np.where(up, r[f"{straight}_{f}"], r[f"{flipped}_{f}"]) for f in ("who", "state", "high", "low", "scope")
        ]
        ends[end].append(np.where(up, lab[f"{straight}_label"], lab[f"{flipped}_label"]))
    both = [np.concatenate([c, s]) for c, s in zip(ends["client"], ends["server"], strict=True)]
    how = np.concatenate([np.where(up, r["src_how"], r["dst_how"]), np.where(up, r["dst_how"], r["src_how"])])
    window = r["slot"].astype(np.int64) * slot_seconds(window_seconds) // window_seconds
    plain, first_end, end_of = _with_best_how(both, how, np.concatenate([window, window]))
    size = len(use)
    client, server = end_of[:size], end_of[size:]
    pair = plain[:size] << 32 | plain[size:]  # however strongly the ends are known
    who, state, high, low, scope, label = (part[first_end] for part in both)
    endpoints = Endpoints(who, state, high, low, scope, label, how[first_end].astype(np.int8))
    ports = has_ports(r["protocol"])
    port = np.where(up, r["dstport"], r["srcport"])
    server_port = np.where(ports & (port > 0), port, -1).astype(np.int64)
    # Evidence tells of the leg that counts: what a hop or a gateway's inside saw belongs to the client's own
    # conversation.
    key_leg = np.where(evidence & (leg != NAT_OUTSIDE), DIRECT, leg)
    natted = _behind_nat(pair, leg, r["position"]) | (
        _routed_to_nat(client, server, endpoints, router) & ~_path_recorded(pair, r["path"], up)
    )
    key_leg = np.where(natted & (key_leg == DIRECT), NAT_INSIDE, key_leg)
    packed = (
        window << 40
        | key_leg.astype(np.int64) << 32
        | action.astype(np.int64) << 28
        | r["protocol"].astype(np.int64) << 17
        | (server_port + 1)
    )
    first, of = distinct(packed, client << 32 | server)
    count = len(first)
    published = ~evidence
    kept = np.zeros(count, dtype=np.bool_)
    kept[of[published]] = True
    if not bool(kept.any()):
        return None
    new_number = np.cumsum(kept) - 1

    def of_these(where: Bools) -> tuple[I64, I64]:
        """Rows and the conversations that they belong to."""
        at = np.flatnonzero(where)
        return at, of[at]

    def added(values: npt.NDArray, these: tuple[I64, I64]) -> I64:
        total = np.zeros(count, dtype=np.int64)
        np.add.at(total, these[1], values[these[0]])
        return total[kept]

    def largest(values: npt.NDArray, these: tuple[I64, I64], start: int = -1) -> I64:
        top = np.full(count, start, dtype=np.int64)
        np.maximum.at(top, these[1], values[these[0]].astype(np.int64))
        return top[kept]

    def smallest(values: npt.NDArray, these: tuple[I64, I64], start: int) -> I64:
        return -largest(-values.astype(np.int64), these, -start)

    everything, counted, sent = of_these(np.ones(size, dtype=np.bool_)), of_these(published), of_these(up)
    went_up, went_down = of_these(published & up), of_these(published & ~up)
    columns = {
        "client": client[first][kept],
        "server": server[first][kept],
        "leg": key_leg[first][kept],
        "action": action[first][kept],
        "protocol": r["protocol"][first][kept].astype(np.int64),
        "server_port": server_port[first][kept],
        "window_start": hour_starts + window[first][kept] * window_seconds,
        "uploaded": added(r["bytes"], went_up),
        "downloaded": added(r["bytes"], went_down),
        "packets_up": added(r["packets"], went_up),
        "packets_down": added(r["packets"], went_down),
        "records": added(r["records"], counted),
        "opened": added(r["opened"], went_up),
        "has_flags": largest(r["has_flags"], counted, 0),
        "started_at": smallest(r["first"], counted, 1 << 62),
        "ended_at": largest(r["last"], counted),
        "roles_by": smallest(r["roles_by"], everything, 99),
        "contested_client": largest((doubts & np.where(up, CONTESTED_SRC, CONTESTED_DST)) > 0, counted, 0),
        "contested_server": largest((doubts & np.where(up, CONTESTED_DST, CONTESTED_SRC)) > 0, counted, 0),
        "unsure": largest((doubts & UNSURE) > 0, counted, 0),
        "path": largest(r["path"], sent, 0),
        "next_hop": largest(lab["next_hop"], sent),
        "next_hop_type": largest(lab["next_hop_type"], sent),
        "reject_reason": largest(lab["reject_reason"], everything),
        "encryption": smallest(np.where(r["encryption"] < 0, 99, r["encryption"]), everything, 99),
    }
    published_pair = pair[first][kept]
    for name, kind in (("nat", NAT_INSIDE), ("hop", HOP)):
        seen = (r["position"] == BETWEEN) & (r["leg"] == kind) & (r["reporter"] >= 0)
        columns[name] = _by_pair(pair[seen], r["reporter"][seen], published_pair)
    reporters = _lists(new_number[of[published]], r["reporter"][published], int(kept.sum()))
    seen_too = evidence & kept[of]
    also = _lists(new_number[of[seen_too]], r["reporter"][seen_too], int(kept.sum()))
    return Grouped({n: v.astype(_TYPES.get(n, np.int64)) for n, v in columns.items()}, endpoints, reporters, also)


def _path_recorded(pair: I64, path: npt.NDArray, up: Bools) -> Bools:
    """Whether some record of the pair names the way out itself: all codes but 1, which a NAT gateway in the VPC has
    too.
    """
    return np.isin(pair, np.unique(pair[up & (path > 1)]))


def _routed_to_nat(client: I64, server: I64, endpoints: Endpoints, router: Router) -> Bools:
    """Whether the routes of the client's subnet lead to a NAT gateway for the server's address. Looks at each pair of
    ends once.
    """
    outside = (endpoints.who < 0) & is_public(endpoints.high, endpoints.low)
    asked = np.flatnonzero(outside[server] & (endpoints.who[client] >= 0))
    answer = np.zeros(len(client), dtype=np.bool_)
    if not len(asked):
        return answer
    subnets = router.subnet_of(endpoints.who[client[asked]])
    first, of = distinct(subnets << 32 | server[asked])
    end = server[asked[first]]
    target = router.ways(subnets[first], endpoints.high[end], endpoints.low[end])
    to_nat = np.array([via == "nat_gateway" for via, _ in router.targets] + [False], dtype=np.bool_)
    answer[asked] = to_nat[target][of]
    return answer


def _behind_nat(pair: I64, leg: npt.NDArray, position: npt.NDArray) -> Bools:
    """Whether a NAT gateway's inside saw the same pair of ends in this hour: then the pair's own records are
    nat_inside too.
    """
    seen = np.unique(pair[(leg == NAT_INSIDE) & (position == BETWEEN)])
    return np.isin(pair, seen)


def _by_pair(pair: I64, reporter: npt.NDArray, asked: I64) -> I64:
    """For each asked pair of ends the interface between them that saw it (one of them, always the same); -1 where none
    did.
    """
    if not len(pair):
        return np.full(len(asked), NOBODY, dtype=np.int64)
    distinct, of = np.unique(pair, return_inverse=True)
    saw = np.full(len(distinct), NOBODY, dtype=np.int64)
    np.maximum.at(saw, of, reporter.astype(np.int64))
    at = np.minimum(np.searchsorted(distinct, asked), len(distinct) - 1)
    return np.where(distinct[at] == asked, saw[at], NOBODY)


def _lists(row: I64, values: npt.NDArray, count: int) -> tuple[I64, npt.NDArray]:
    """Distinct values by row, as offsets and flat values; nobody (-1) is left out."""
    real = values >= 0
    keys = np.unique(row[real].astype(np.int64) << 32 | values[real].astype(np.int64))
    rows = keys >> 32
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.add.at(offsets, rows + 1, 1)
    return np.cumsum(offsets), (keys & 0xFFFFFFFF).astype(np.int32)


# --- several buckets as one ------------------------------------------------------------------------------------------


def together(parts: Sequence[Grouped]) -> Grouped:
    """Conversations of several buckets as one; ends that several have in common stand once."""
    ends = [np.concatenate([getattr(part.endpoints, field.name) for part in parts]) for field in fields(Endpoints)]
    first, number = distinct(*ends)
    begins = np.cumsum([0, *(len(part.endpoints.who) for part in parts[:-1])])
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    for end in ("client", "server"):
        renumbered = [number[begin + part.columns[end]] for begin, part in zip(begins, parts, strict=True)]
        columns[end] = np.concatenate(renumbered).astype(columns[end].dtype)
    return Grouped(
        columns,
        Endpoints(*(column[first] for column in ends)),
        _one_list([p.reporters for p in parts]),
        _one_list([p.also for p in parts]),
    )


def _one_list(parts: Sequence[tuple[I64, npt.NDArray]]) -> tuple[I64, npt.NDArray]:
    lengths = np.concatenate([np.diff(offsets) for offsets, _ in parts])
    return np.concatenate([[0], np.cumsum(lengths)]), np.concatenate([flat for _, flat in parts])


# --- identity --------------------------------------------------------------------------------------------------------


def conversation_digests(grouped: Grouped, digests: U64) -> tuple[U64, U64]:
    """128 bits of what makes each conversation itself. digests: of its endpoints."""
    c = grouped.columns
    rest = (
        c["window_start"] << 24
        ^ c["leg"].astype(np.int64) << 60
        ^ c["action"].astype(np.int64) << 56
        ^ c["protocol"].astype(np.int64) << 17
        ^ (c["server_port"].astype(np.int64) + 1)
    )
    one = mix(rest, digests[c["client"]], digests[c["server"]])
    two = mix(rest, digests[c["server"]], digests[c["client"]], salt=5)
    return one, two


_HEX = np.frombuffer(b"".join(b"%02x" % i for i in range(256)), dtype="S2")


def as_hexadecimal(one: U64, two: U64) -> pa.Array:
    """32 hexadecimal digits for each pair of words."""
    octets = np.stack([one, two], axis=1).astype(">u8").view(np.uint8)
    texts = _HEX[octets.reshape(-1)].view("S32")
    return pc.cast(pa.array(texts, type=pa.binary(32)), pa.binary()).cast(pa.string())
