"""The address book as compact arrays, to be sent to every worker: who is this interface, who held this address then.

Interfaces, states, VPCs and subnets travel as integers (their row in the book); names and tags stay behind and are
joined after aggregation. Times are epoch milliseconds. -1 is nobody.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.address_codes import addresses_of
from flowlake.flows.addresses import NONE_HIGH, NONE_LOW, U64, as_int, held, is_public, parse, range_of
from flowlake.flows.book import Book
from flowlake.flows.finding import Places, states_at
from flowlake.flows.fold import OPEN
from flowlake.flows.text_codes import text_parts

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NOBODY = -1

# How an interface handles traffic that is not its own, by InterfaceType as EC2 says it.
FORWARDERS = {
    "nat_gateway": 1,
    "transit_gateway": 2,
    "gateway_load_balancer": 3,
    "gateway_load_balancer_endpoint": 3,
    "network_firewall": 3,
}
NAT, TRANSIT, APPLIANCE = 1, 2, 3
TYPES_THAT_FORWARD = {
    "nat_gateway": NAT,
    "transit_gateway": TRANSIT,
    "elbv2:gateway": APPLIANCE,
    "network_firewall": APPLIANCE,
}

_C1, _C2, _C3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


def mix(scope: npt.NDArray, high: U64, low: U64, salt: int = 0) -> U64:
    """A 64-bit key for (scope, address). Whoever looks up compares the parts too."""
    with np.errstate(over="ignore"):
        key = (scope.astype(np.int64).astype(np.uint64) + np.uint64(salt + 1)) * _C1
        key ^= (high + _C2) * _C3
        key ^= key >> np.uint64(29)
        key = key * _C2 + low * _C1
        key ^= key >> np.uint64(32)
        key *= _C3
        key ^= key >> np.uint64(29)
    return key


@dataclass
class AddressIndex:
    """Rows by (scope, address): several rows an address lie together. Made once, searched often."""

    keys: U64
    first: I64
    scope: I32 | I64
    high: U64
    low: U64
    salt: int
    _places: Places | None = field(default=None, repr=False, compare=False)

    @classmethod
    def build(cls, scope: I32 | I64, high: U64, low: U64) -> tuple[AddressIndex, I64]:
        """The index and the order in which the rows must be laid for it."""
        for salt in range(16):
            keys = mix(scope, high, low, salt)
            order = np.argsort(keys, kind="stable")
            unique, first = np.unique(keys[order], return_index=True)
            s, h, lo = scope[order], high[order], low[order]
            heads = np.repeat(first, np.diff(np.append(first, len(order))))
            if len(order) == 0 or bool(np.all((s == s[heads]) & (h == h[heads]) & (lo == lo[heads]))):
                index = cls(unique, np.append(first, len(order)).astype(np.int64), s[first], h[first], lo[first], salt)
                return index, order
        raise AssertionError("sixteen salts in a row collided")

    def find(self, scope: npt.NDArray, high: U64, low: U64) -> tuple[I64, I64]:
        """For each asked (scope, address) the rows [begin, end); begin == end where there are none."""
        if self._places is None:
            self._places = Places(self.scope, self.high, self.low)
        return self._places.spans(self.first, scope, high, low)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is soon made again."""
        return self.__dict__ | {"_places": None}


@dataclass
class Names:
    """Texts as integers: the sorted distinct texts; a text that is not there is NOBODY."""

    texts: npt.NDArray[np.bytes_]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Names:
        return cls(np.array([t.encode() for t in sorted(set(texts))], dtype=np.bytes_))

    @classmethod
    def of_column(cls, column: pa.ChunkedArray) -> tuple[Names, I32]:
        """Those of a column of texts, none of them null, and the code of each row."""
        coded = column.combine_chunks().dictionary_encode()
        if not len(coded):
            return cls.of(()), np.zeros(0, np.int32)
        order = pc.sort_indices(coded.dictionary)
        code = np.empty(len(order), np.int32)
        code[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
        return cls(_fixed(coded.dictionary.take(order))), code[coded.indices.to_numpy()]

    def codes(self, texts: Sequence[str | None]) -> I32:
        if len(self.texts) == 0 or len(texts) == 0:
            return np.full(len(texts), NOBODY, dtype=np.int32)
        asked = np.array([(t or "").encode() for t in texts], dtype=np.bytes_)
        at = np.minimum(np.searchsorted(self.texts, asked), len(self.texts) - 1)
        return np.where(self.texts[at] == asked, at, NOBODY).astype(np.int32)

    def by_text(self) -> dict[str, int]:
        """Every text's code."""
        return {text.decode(): code for code, text in enumerate(self.texts.tolist())}

    def text(self, code: int) -> str | None:
        return self.texts[code].decode() if code >= 0 else None

    def __len__(self) -> int:
        return len(self.texts)


def _fixed(texts: pa.StringArray) -> npt.NDArray[np.bytes_]:
    """Texts as numpy has them: all as long as the longest, with zeros behind."""
    offsets, content = text_parts(texts)
    sizes = np.diff(offsets)
    longest = max(1, int(sizes.max()))
    filled = np.zeros((len(texts), longest), np.uint8)
    filled[np.arange(longest) < sizes[:, None]] = content[offsets[0] : offsets[-1]]
    return filled.view(f"S{longest}").ravel()


@dataclass
class Lookup:
    """The book for the workers. interfaces and vpcs are the code spaces; states are rows of the book's states."""

    starts: int
    interfaces: Names
    vpcs: Names
    state_first: I64
    state_from: I64
    state_to: I64
    interface_vpc: I32
    interface_high: U64
    interface_low: U64
    forwards: npt.NDArray[np.int8]
    subnet: I32
    subnets: Names
    routes: Mapping[int, Sequence[tuple[str, str]]]
    claims: AddressIndex
    claim_interface: I32
    claim_from: I64
    claim_to: I64
    claim_exact: Bools
    claim_open: Bools
    claim_primary: Bools
    shares: I32
    """For each interface the one that stands for all with which it shared secondary addresses; itself where none."""
    prefixes: Mapping[int, tuple[Sequence[int], Sequence[tuple[int, int, int, int, bool]]]]
    ranges: Mapping[int, Sequence[tuple[int, int]]]
    reachable: Mapping[int, Sequence[int]]
    listens: Mapping[int, frozenset[int]] = field(default_factory=dict)
    public_low: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Public IPv4 addresses that interfaces had at some time of the book; public_interface: which one, row by row."""
    public_interface: I32 = field(default_factory=lambda: np.zeros(0, np.int32))
    born: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """When (ms) each interface was made, of those of which it is told and that were made in the book's time; else long
    before.
    """

    def own_state(self, interface: I32, at: I64) -> I64:
        """The state of an interface at a moment: before its first the first, after its last the last; NOBODY where it
        has none.
        """
        return states_at(self.state_first, self.state_from, interface, at)

    def born_by(self, interface: I32, moment: I64) -> Bools:
        """Whether each interface, of the book or not, was there by a moment (epoch s), as far as is told."""
        there: Bools = value_at(self.born, interface, -OPEN) <= moment * 1000
        return there

    @cached_property
    def only_claimant(self) -> I32:
        """For each claim the one interface that ever claims its address; NOBODY where there are several."""
        return self._only(self.claim_interface)

    @cached_property
    def only_sharer(self) -> I32:
        """For each claim the one interface that stands for all that ever claim its address; NOBODY where several do."""
        return self._only(self.shares[self.claim_interface])

    def _only(self, claimants: I32) -> I32:
        starts = self.claims.first[:-1]
        if not len(starts):
            return np.zeros(0, dtype=np.int32)
        least, most = np.minimum.reduceat(claimants, starts), np.maximum.reduceat(claimants, starts)
        return np.repeat(np.where(least == most, least, NOBODY).astype(np.int32), np.diff(self.claims.first))

    @cached_property
    def shares_with_others(self) -> Bools:
        """For each interface whether it shared secondary addresses with another one."""
        shared: Bools = np.bincount(self.shares, minlength=len(self.interfaces)) > 1
        return shared[self.shares]

    @cached_property
    def whole_span(self) -> tuple[I64, I64]:
        """For each interface, and once more for those that the book does not know, from when to when (ms) it held all
        addresses that it has at any time; ends before it begins where there is no such time or the book does not say.
        """
        since, until = np.full(len(self.interfaces) + 1, OPEN), np.full(len(self.interfaces) + 1, -1)
        primary, of = self.claim_primary, self.claim_interface
        since[of[primary]], until[of[primary]] = self.claim_from[primary], self.claim_to[primary]
        np.maximum.at(since, of[~primary], self.claim_from[~primary])
        np.minimum.at(until, of[~primary], self.claim_to[~primary])
        for _, prefixes in self.prefixes.values():
            for _, interface, begins, ends, _ in prefixes:
                since[interface], until[interface] = max(since[interface], begins), min(until[interface], ends)
        return since, until

    @cached_property
    def ended(self) -> I64:
        """When (ms) an event ended each interface; OPEN where none did."""
        ended = np.full(len(self.interfaces), OPEN)
        exact = self.claim_primary & self.claim_exact
        np.minimum.at(ended, self.claim_interface[exact], self.claim_to[exact])
        return ended

    def __getstate__(self) -> dict[str, Any]:
        """Without what is soon made again."""
        made = ("only_claimant", "only_sharer", "shares_with_others", "whole_span", "ended")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def known_ranges(self, vpc: int) -> Sequence[tuple[int, int]]:
        return self.ranges.get(vpc, ())

    def prefix_claims(self, vpc: int, address: int) -> list[tuple[int, int, int, bool]]:
        """Claims (interface, from, to, exact) of prefixes of the VPC that hold the address."""
        if vpc not in self.prefixes:
            return []
        firsts, rows = self.prefixes[vpc]
        found = []
        # Delegated prefixes are /28 or /80 and never overlap but for reuse in time: those that begin at or before
        # the address are looked at backwards.
        for i in range(bisect.bisect_right(firsts, address) - 1, -1, -1):
            last, interface, since, until, exact = rows[i]
            if last < address:
                break
            found.append((interface, since, until, exact))
        return found


def value_at(values: npt.NDArray, interface: npt.NDArray, otherwise: int) -> npt.NDArray:
    """For each interface its value of those of the book's interfaces; otherwise for nobody and for others."""
    in_book = (interface >= 0) & (interface < len(values))
    found = np.full(len(interface), otherwise, dtype=values.dtype)
    found[in_book] = values[interface[in_book]]
    return found


def each_of(begin: I64, stop: I64) -> Iterator[tuple[I64, I64]]:
    """What find gave, a step at a time: those asked that have a first row, with it; then a second, and so on."""
    for k in range(int((stop - begin).max(initial=0))):
        asked = np.flatnonzero(begin + k < stop)
        yield asked, begin[asked] + k


def note(who: I32, several: Bools, r: I64, where: Bools, holder: I32) -> None:
    """Writes down, of the rows r that have it, a holder; and that there are several where another one stood."""
    several[r] |= where & (who[r] >= 0) & (who[r] != holder)
    who[r] = np.where(where & (who[r] < 0), holder, who[r])


def ever_holds(lookup: Lookup, interface: I32, high: U64, low: U64) -> Bools:
    """Whether the book ever gives the address, or a prefix that holds it, to the interface."""
    vpc = lookup.interface_vpc[interface]
    begin, end = lookup.claims.find(vpc.astype(np.int64), high, low)
    result = np.zeros(len(interface), dtype=np.bool_)
    for row, claim in each_of(begin, end):
        result[row] |= lookup.claim_interface[claim] == interface[row]
    asked = np.flatnonzero(~result & np.isin(vpc, list(lookup.prefixes)))
    wanted = zip(vpc[asked].tolist(), high[asked].tolist(), low[asked].tolist(), interface[asked].tolist(), strict=True)
    answers: dict[tuple[int, int, int, int], bool] = {}
    for at, key in zip(asked.tolist(), wanted, strict=True):
        if key not in answers:
            answers[key] = any(claim[0] == key[3] for claim in lookup.prefix_claims(key[0], key[1] << 64 | key[2]))
        result[at] = answers[key]
    return result


def scopes(lookup: Lookup, vpc: I32, high: U64, low: U64) -> I32:
    """The VPC each address lies in, seen from a VPC: itself, or the one VPC it can route to whose ranges hold the
    address.

    NOBODY where none or several fit. A VPC whose ranges are not known is taken to hold the private addresses it
    speaks to, but for those that another's ranges hold: these may be either's. An address that an interface of the VPC
    ever held lies in it, whatever its ranges.
    """
    scope = np.full(len(vpc), NOBODY, dtype=np.int32)
    for one in np.unique(vpc[vpc >= 0]).tolist():
        rows = np.flatnonzero(vpc == one)
        h, lo = high[rows], low[rows]
        ranges = lookup.known_ranges(one)
        mine = _held(ranges, h, lo)
        fits = np.zeros(len(rows), dtype=np.int32)
        other = np.full(len(rows), NOBODY, dtype=np.int32)
        for neighbour in lookup.reachable.get(one, ()):
            there = in_vpc(lookup, neighbour, h, lo)
            fits += there
            other[there] = neighbour
        if ranges:
            elsewhere = np.where(fits == 1, other, NOBODY)
        else:
            elsewhere = np.where((fits == 0) & ~is_public(h, lo), one, NOBODY)
        begin, stop = lookup.claims.find(np.full(len(rows), one, np.int64), h, lo)
        scope[rows] = np.where(mine | (stop > begin), one, elsewhere)
    return scope


def in_several(lookup: Lookup, vpc: I32, high: U64, low: U64, one_of: I32) -> tuple[Bools, Bools]:
    """Whether each address lies in the ranges of several VPCs that can be reached from the one it is seen from; and
    whether it does and some of them is one of these.
    """
    fits = np.zeros(len(vpc), dtype=np.int32)
    some = np.zeros(len(vpc), dtype=np.bool_)
    for one in np.unique(vpc[vpc >= 0]).tolist():
        rows = np.flatnonzero(vpc == one)
        for neighbour in lookup.reachable.get(one, ()):
            there = in_vpc(lookup, neighbour, high[rows], low[rows])
            fits[rows] += there
            some[rows] |= there & (neighbour in one_of)
    several: Bools = fits > 1
    return several, several & some


def in_vpc(lookup: Lookup, vpc: int, high: U64, low: U64) -> Bools:
    """Whether each address lies in the known ranges of a VPC."""
    return _held(lookup.known_ranges(vpc), high, low)


def within(lookup: Lookup, vpc: I32, high: U64, low: U64) -> Bools:
    """Whether each address may lie in the VPC: in one of its ranges, or where these are not known in private space."""
    result = ~is_public(high, low)
    for one in np.unique(vpc[vpc >= 0]).tolist():
        ranges = lookup.known_ranges(one)
        if ranges:
            rows = np.flatnonzero(vpc == one)
            result[rows] = _held(ranges, high[rows], low[rows])
    return result


def _held(ranges: Sequence[tuple[int, int]], high: U64, low: U64) -> Bools:
    result = np.zeros(len(high), dtype=np.bool_)
    for first, last in ranges:
        result |= held(first, last, high, low)
    return result


def compile_book(book: Book) -> Lookup:
    """The compact arrays of a book."""
    states, told = book.state_columns, book.claim_columns
    interfaces, interface = Names.of_column(_both(states, told, "interface_id"))
    state_interface, told_interface = interface[: len(states)], interface[len(states) :]
    vpcs = Names.of(
        {*book.topology.vpc_ranges, *filter(None, pc.unique(states["vpc_id"]).to_pylist())}
        | set(pc.unique(told["vpc_id"]).to_pylist())
    )
    subnets = Names.of(filter(None, pc.unique(states["subnet_id"]).to_pylist()))
    count = len(interfaces)
    state_first = np.searchsorted(state_interface, np.arange(count + 1)).astype(np.int64)
    vpc_code, subnet_code = vpcs.by_text(), subnets.by_text()
    interface_vpc = _last_told(_codes_of(states["vpc_id"], vpc_code), state_interface, count)
    subnet = _last_told(_codes_of(states["subnet_id"], subnet_code), state_interface, count)
    forwards = np.zeros(count, dtype=np.int8)
    for name, ways in (("interface_type", FORWARDERS), ("type", TYPES_THAT_FORWARD)):
        np.maximum.at(forwards, state_interface, np.maximum(_codes_of(states[name], ways), 0).astype(np.int8))
    ports = states["listens_on"]
    listens = {
        row: frozenset(ports[row].as_py()) for row in np.flatnonzero(_numbers(pc.list_value_length(ports)) > 0).tolist()
    }
    delegated = pc.match_substring(told["addr"], "/")
    held, is_held = told.filter(pc.invert(delegated)), ~_flags(delegated)
    claim_interface = told_interface[is_held]
    claim_vpc = _codes_of(held["vpc_id"], vpc_code, also_empty=True)
    interface_vpc[claim_interface] = claim_vpc
    claim_primary, claim_high, claim_low = _flags(held["is_primary"]), *addresses_of(held["addr"].combine_chunks())
    high, low = _primaries(
        states["primary"], state_interface, claim_interface, claim_primary, claim_high, claim_low, count
    )
    claims, order = AddressIndex.build(claim_vpc, claim_high, claim_low)
    claim_interface, claim_primary = claim_interface[order], claim_primary[order]
    return Lookup(
        book.starts,
        interfaces,
        vpcs,
        state_first,
        _numbers(states["valid_from"]),
        _numbers(states["valid_to"]),
        interface_vpc,
        high,
        low,
        forwards,
        subnet,
        subnets,
        {subnet_code[s]: routes for s, routes in book.topology.routes.items() if s in subnet_code},
        claims,
        claim_interface,
        _numbers(held["valid_from"])[order],
        _numbers(held["valid_to"])[order],
        _flags(held["exact_end"])[order],
        _flags(held["open"])[order],
        claim_primary,
        _sharers(claims, claim_interface, claim_primary, count),
        _prefixes(told.filter(delegated), told_interface[~is_held], vpc_code),
        {vpc_code[v]: [range_of(c) for c in cidrs] for v, cidrs in book.topology.vpc_ranges.items() if v in vpc_code},
        {
            vpc_code[v]: [vpc_code[o] for o in others if o in vpc_code]
            for v, others in book.topology.reachable.items()
            if v in vpc_code
        },
        listens,
        *_public(book, interfaces),
        _born(book, interfaces),
    )


def _born(book: Book, interfaces: Names) -> I64:
    born = np.full(len(interfaces), -OPEN)
    made = book.topology.born
    codes = interfaces.codes(list(made))
    born[codes[codes >= 0]] = np.array(list(made.values()), dtype=np.int64)[codes >= 0]
    return born


def _both(states: pa.Table, claims: pa.Table, name: str) -> pa.ChunkedArray:
    """A column of the states, then that of the claims."""
    return pa.chunked_array([*states[name].chunks, *claims[name].chunks], pa.string())


def _numbers(column: pa.ChunkedArray) -> I64:
    return np.array(column.to_numpy(), dtype=np.int64)


def _flags(column: pa.ChunkedArray) -> Bools:
    return np.array(column.to_numpy(), dtype=np.bool_)


def _codes_of(column: pa.ChunkedArray, code_of: Mapping[str, int], also_empty: bool = False) -> I32:
    """What is given for each text; NOBODY for null and where nothing is; and for the empty one, unless also_empty."""
    coded = column.combine_chunks().dictionary_encode()
    texts = coded.dictionary.to_pylist()
    codes = [code_of.get(text, NOBODY) if text or also_empty else NOBODY for text in texts]
    return np.array([*codes, NOBODY], dtype=np.int32)[coded.indices.fill_null(len(codes)).to_numpy()]


def _last_told(codes: I32, state_interface: I32, count: int) -> I32:
    """For each interface what the last of its states says that says anything."""
    told, known = np.full(count, NOBODY, dtype=np.int32), codes >= 0
    told[state_interface[known]] = codes[known]
    return told


def _primaries(
    of_states: pa.ChunkedArray,
    state_interface: I32,
    claim_interface: I32,
    claim_primary: Bools,
    claim_high: U64,
    claim_low: U64,
    count: int,
) -> tuple[U64, U64]:
    """The primary address of each interface: what the last state says that says one, else its first claim to one."""
    high, low = np.full(count, NONE_HIGH), np.full(count, NONE_LOW)
    rows = np.flatnonzero(claim_primary)[::-1]
    high[claim_interface[rows]], low[claim_interface[rows]] = claim_high[rows], claim_low[rows]
    says = pc.greater(pc.binary_length(of_states), 0).fill_null(False)
    of = state_interface[_flags(says)]
    high[of], low[of] = addresses_of(of_states.filter(says).combine_chunks())
    return high, low


def _public(book: Book, interfaces: Names) -> tuple[U64, I32]:
    had = [(address, interface) for address, held_by in book.topology.public.items() for interface in held_by]
    codes = interfaces.codes([interface for _, interface in had])
    high, low = parse([address for address, _ in had])
    known = (codes >= 0) & (high == 0)
    return low[known], codes[known]


MOST_SHARERS = 16


def _sharers(claims: AddressIndex, interface: I32, primary: Bools, count: int) -> I32:
    """The least of the interfaces between which secondary addresses went to and fro, for each of them.

    Of more than MOST_SHARERS none stands for all: what is laid together by it would be too much.
    """
    result = np.arange(count, dtype=np.int32)
    starts = claims.first[:-1]
    if not len(starts):
        return result
    size = np.diff(claims.first)
    several = np.minimum.reduceat(interface, starts) != np.maximum.reduceat(interface, starts)
    several &= ~np.logical_and.reduceat(primary, starts)
    rows = np.flatnonzero(np.repeat(several, size))
    if not len(rows):
        return result
    who, edges = interface[rows], np.cumsum(size[several]) - size[several]
    for _ in range(MOST_SHARERS):
        before = result.copy()
        least = np.repeat(np.minimum.reduceat(result[who], edges), size[several])
        np.minimum.at(result, who, least)
        if np.array_equal(before, result):
            break
    many = np.bincount(result, minlength=count) > MOST_SHARERS
    alone: I32 = np.where(many[result], np.arange(count), result).astype(np.int32)
    return alone


def _prefixes(
    delegated: pa.Table, interface: I32, vpc_code: Mapping[str, int]
) -> dict[int, tuple[list[int], list[tuple[int, int, int, int, bool]]]]:
    by_vpc: dict[int, list[tuple[int, int, int, int, int, bool]]] = {}
    said = (delegated[name].to_pylist() for name in ("vpc_id", "addr", "valid_from", "valid_to", "exact_end"))
    for code, vpc_id, addr, since, until, exact in zip(interface.tolist(), *said, strict=True):
        by_vpc.setdefault(vpc_code[vpc_id], []).append((*range_of(addr), code, since, until, exact))
    return {v: ([r[0] for r in sorted(rows)], [r[1:] for r in sorted(rows)]) for v, rows in by_vpc.items()}


__all__ = ["NOBODY", "OPEN", "AddressIndex", "Lookup", "Names", "as_int", "compile_book", "mix", "scopes"]
