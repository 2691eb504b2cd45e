"""Addresses as codes: the same addresses as the careful reading gives, whatever the texts."""

from __future__ import annotations

import ipaddress

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.address_codes import AddressCodes
from flowlake.flows.addresses import parse
from flowlake.flows.ipv4 import ipv4_numbers

ADDRESSES = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
ODD = st.sampled_from(
    [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.04",
        "1..2.3",
        ".1.2.3",
        "1.2.3.",
        "a.b.c.d",
        "1.2.3.4 ",
        "::ffff:1.2.3.4",
        "0.0.0.0",
        "999.9.9.9",
        "1.2.3.1000",
    ]
)
TEXTS = st.lists(st.one_of(ADDRESSES, ODD, st.none(), st.text("0123456789.:", max_size=16)), max_size=40)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_every_code_stands_for_the_address_that_the_text_says(columns: list[list[str | None]]) -> None:
    codes = AddressCodes()
    found = [codes.of_column(pa.array(texts, pa.string()).dictionary_encode()) for texts in columns]
    for texts, rows in zip(columns, found, strict=True):
        high, low = parse(texts)
        assert codes.high[rows].tolist() == high.tolist()
        assert codes.low[rows].tolist() == low.tolist()
    assert len(codes) == len(codes.high) == len(set(zip(codes.high.tolist(), codes.low.tolist(), strict=True)))


@settings(deadline=None)
@given(st.lists(st.one_of(ADDRESSES, ODD, st.text("0123456789.", max_size=16)), max_size=40), st.integers(0, 5))
def test_ipv4_is_told_and_read_as_the_library_does(texts: list[str], offset: int) -> None:
    numbers, right = ipv4_numbers(pa.array([*["10.0.0.1"] * offset, *texts], pa.string())[offset:])
    for text, number, is_ipv4 in zip(texts, numbers.tolist(), right.tolist(), strict=True):
        try:
            assert number == int(ipaddress.IPv4Address(text))
            assert is_ipv4
        except ipaddress.AddressValueError:
            assert not is_ipv4


def test_two_spellings_are_one_address_and_null_is_none() -> None:
    codes = AddressCodes()
    rows = codes.of_column(pa.array(["10.0.0.1", "::ffff:10.0.0.1", None, "2001:db8::1", "2001:DB8:0::1"]))
    assert rows.tolist() == [1, 1, 0, 2, 2]
    assert codes.high[0] == np.uint64(0xFFFFFFFFFFFFFFFF)
