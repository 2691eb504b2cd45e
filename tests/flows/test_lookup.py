"""The compact book against plain Python: addresses, names, several rows an address, states at a moment, prefixes."""

from __future__ import annotations

import ipaddress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.addresses import as_int, is_none, is_public, is_rfc1918, parse, range_of
from flowlake.flows.book import build
from flowlake.flows.lookup import NOBODY, AddressIndex, Names, compile_book, scopes, within
from tests.flows.worked import HOUR, attached, eni, event, ms, steady, vpc

ADDRESS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6), st.ip_addresses(v=4, network="10.0.0.0/29")).map(str)
TEXT = st.one_of(ADDRESS, st.none(), st.sampled_from(["", "-", "10.0.0", "10.0.0.256", "fe80::1%eth0", "1.2.3.4\0"]))


def number(text: str | None) -> int | None:
    """An address as the lookups number it: IPv4 mapped into IPv6; null what is none."""
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    if getattr(address, "scope_id", None):
        return None
    return int(address) + (0xFFFF << 32 if address.version == 4 else 0)


@given(st.lists(TEXT, max_size=20))
def test_addresses_are_numbers_or_none(texts: list[str | None]) -> None:
    high, low = parse(texts)
    found = [
        None if none else (h << 64) | lo
        for none, h, lo in zip(is_none(high).tolist(), high.tolist(), low.tolist(), strict=True)
    ]
    assert found == [number(text) for text in texts]


@given(ADDRESS)
def test_one_address_is_the_same_number(text: str) -> None:
    assert as_int(text) == number(text)


PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
NOT_PUBLIC = [
    ipaddress.ip_network(n) for n in ("100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/3")
]
EDGES = [
    str(edge + step)
    for network in (*PRIVATE, *NOT_PUBLIC, ipaddress.ip_network("2000::/3"))
    for edge in (network.network_address, network.broadcast_address)
    for step in (-1, 0, 1)
    if 0 <= int(edge) + step < 2**edge.max_prefixlen
]


def plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address; one that is IPv4 mapped into IPv6 is that IPv4 address."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def held(text: str, networks: list) -> bool:
    address = plain(text)
    return any(address in network for network in networks if network.version == address.version)


@given(st.lists(st.one_of(ADDRESS, st.sampled_from(EDGES)), min_size=1, max_size=20))
def test_private_and_public_go_by_number(texts: list[str]) -> None:
    high, low = parse(texts)
    assert is_rfc1918(high, low).tolist() == [held(text, PRIVATE) for text in texts]
    global_v6 = ipaddress.ip_network("2000::/3")
    public = [
        plain(t) in global_v6 if plain(t).version == 6 else not held(t, PRIVATE) and not held(t, NOT_PUBLIC)
        for t in texts
    ]
    assert is_public(high, low).tolist() == public


def test_the_edges_of_private_space() -> None:
    high, low = parse(["172.2.0.1", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", None])
    assert is_rfc1918(high, low).tolist() == [False, False, True, True, False, False]
    assert is_public(high, low).tolist() == [True, True, False, False, True, False]


@given(st.sampled_from(["10.0.0.0/28", "0.0.0.0/0", "2600:1f18::/56", "::/0", "10.0.0.7/32"]))
def test_a_range_is_its_first_and_last_address(cidr: str) -> None:
    network = ipaddress.ip_network(cidr)
    assert range_of(cidr) == (number(str(network.network_address)), number(str(network.broadcast_address)))


@given(
    st.lists(st.tuples(st.integers(-2, 5), st.integers(0, 6)), max_size=40),
    st.lists(st.tuples(st.integers(-2, 5), st.integers(0, 6)), min_size=1, max_size=20),
)
def test_rows_by_scope_and_address(rows: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    """Against a dict of lists; address n stands for (n * 2**61, n)."""

    def arrays(pairs: list[tuple[int, int]]) -> tuple:
        scope = np.array([s for s, _ in pairs], dtype=np.int64)
        return (
            scope,
            np.array([a << 61 for _, a in pairs], dtype=np.uint64),
            np.array([a for _, a in pairs], dtype=np.uint64),
        )

    index, order = AddressIndex.build(*arrays(rows))
    begin, end = index.find(*arrays(asked))
    for pair, low, high in zip(asked, begin.tolist(), end.tolist(), strict=True):
        assert sorted(order[low:high].tolist()) == [i for i, row in enumerate(rows) if row == pair]


@given(
    st.sets(st.text("ab-0", min_size=1, max_size=5)),
    st.lists(st.one_of(st.none(), st.text("ab-0", max_size=6)), max_size=20),
)
def test_names_are_their_places(texts: set[str], asked: list[str | None]) -> None:
    names = Names.of(texts)
    listed = sorted(texts)
    assert names.codes(asked).tolist() == [listed.index(t) if t in texts else NOBODY for t in asked]
    assert [names.text(i) for i in range(len(names))] == listed


def test_state_at_a_moment() -> None:
    """eni-b has the states [09:00, 10:10), [10:10, 10:20), [10:20, open). Before the first the first holds, after the
    last the last."""
    rows = [
        event(at, eni("eni-b", "10.0.0.2", security_group_ids=[group]))
        for at, group in (("09:00", "a"), ("10:10", "b"), ("10:20", "c"))
    ]
    book = build([*rows, event("09:00", eni("eni-a", "10.0.0.1"))], HOUR.starts)
    lookup = compile_book(book)
    moments = np.array([ms(at) for at in ("08:00", "10:09", "10:10", "10:19", "10:20", "23:00")], dtype=np.int64)
    code = np.full(len(moments), lookup.interfaces.codes(["eni-b"])[0], dtype=np.int32)
    states = lookup.own_state(code, moments).tolist()
    assert [book.states[s].security_group_ids for s in states] == [("a",), ("a",), ("b",), ("b",), ("c",), ("c",)]
    nobody = lookup.own_state(np.array([NOBODY], dtype=np.int32), moments[:1])
    assert nobody.tolist() == [NOBODY]


def test_an_empty_book_knows_nobody() -> None:
    lookup = compile_book(build([], HOUR.starts))
    high, low = parse(["10.0.0.1"])
    assert lookup.own_state(np.array([NOBODY], np.int32), np.array([0])).tolist() == [NOBODY]
    assert scopes(lookup, np.array([NOBODY], np.int32), high, low).tolist() == [NOBODY]


def test_scope_is_the_own_vpc_or_the_one_neighbour_that_fits() -> None:
    inventory = steady(
        vpc("vpc-1", "10.0.0.0/16"), vpc("vpc-2", "10.2.0.0/16"),
        vpc("vpc-3", "10.3.0.0/16", "10.2.128.0/17"), vpc("vpc-4"),
        *(attached(f"vpc-{n}") for n in (1, 2, 3)),
    )  # fmt: skip
    lookup = compile_book(build(inventory, HOUR.starts))
    asked = [
        ("vpc-1", "10.0.0.7", "vpc-1"),
        ("vpc-1", "10.2.0.7", "vpc-2"),
        ("vpc-1", "10.2.200.7", None),  # two neighbours could hold it
        ("vpc-1", "10.9.0.7", None),
        ("vpc-1", "8.8.8.8", None),
        ("vpc-4", "10.9.0.7", "vpc-4"),  # ranges not known: what it speaks to in private space
        ("vpc-4", "8.8.8.8", None),
        (None, "10.0.0.7", None),
    ]
    high, low = parse([address for _, address, _ in asked])
    found = scopes(lookup, lookup.vpcs.codes([v for v, _, _ in asked]), high, low)
    assert [lookup.vpcs.text(code) for code in found.tolist()] == [expected for _, _, expected in asked]
    may = within(lookup, lookup.vpcs.codes([v for v, _, _ in asked]), high, low)
    assert may.tolist() == [True, False, False, False, False, True, False, True]


def test_prefixes_of_a_vpc_that_hold_an_address() -> None:
    rows = [event("09:00", eni(f"eni-{n}", f"10.0.0.{n}", prefixes=[f"10.0.4.{16 * n}/28"])) for n in (1, 2)]
    lookup = compile_book(build(rows, HOUR.starts))
    vpc_code = int(lookup.vpcs.codes(["vpc-1"])[0])
    held_by = {
        address: [lookup.interfaces.text(c[0]) for c in lookup.prefix_claims(vpc_code, as_int(address))]
        for address in ("10.0.4.15", "10.0.4.16", "10.0.4.31", "10.0.4.32", "10.0.4.48")
    }
    assert held_by == {
        "10.0.4.15": [],
        "10.0.4.16": ["eni-1"],
        "10.0.4.31": ["eni-1"],
        "10.0.4.32": ["eni-2"],
        "10.0.4.48": [],
    }
