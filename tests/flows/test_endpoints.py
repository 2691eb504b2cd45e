"""Texts as codes, and addresses as texts."""

from __future__ import annotations

import hashlib
import ipaddress

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from flowlake.flows.addresses import parse, to_texts
from flowlake.flows.endpoints import Texts, _coded_within, _digests, _spelled


def test_texts_stand_once_and_only_those_that_are_used() -> None:
    column = Texts.of(np.array([3, 0, -1, 1, 2]), ["a", "b", None, "a", "never"])
    assert column.texts.to_pylist() == ["a", "b"]
    assert column.codes.tolist() == [0, 0, -1, 1, -1]
    assert column.array().to_pylist() == ["a", "a", None, "b", None]


def test_texts_of_some_rows_have_a_dictionary_of_their_own() -> None:
    taken = Texts.of(np.array([0, 1, 2]), ["a", "b", "c"]).take(np.array([2, 2, 0]))
    assert taken.to_pylist() == ["c", "c", "a"]
    assert taken.dictionary.to_pylist() == ["a", "c"]


def test_one_column_overrides_another_with_nulls_too() -> None:
    book = Texts.of(np.array([0, 1, 1]), ["a", "b"])
    told = Texts.of(np.array([0, 1, -1]), ["b", "c"])
    merged = book.but(np.array([False, True, True]), told)
    assert merged.array().to_pylist() == ["a", "c", None]
    assert merged.among("a", "c").tolist() == [True, True, False]


def test_lists_and_tags_are_the_same_with_their_texts_as_codes() -> None:
    groups = pa.array([["sg-1", "sg-2"], None, [], ["sg-1"]], pa.list_(pa.string()))
    tags = pa.array([[("a", "1"), ("b", None)], None, [], [("a", "1")]], pa.map_(pa.string(), pa.string()))
    for column in (groups, tags, groups.slice(1), tags.slice(1)):
        assert _coded_within(column.take(pa.array(range(len(column))))).to_pylist() == column.to_pylist()


def test_the_digest_of_an_end_is_that_of_its_tuple_as_python_spells_it() -> None:
    names = [("eni-1", "10.0.0.1", None, "a \"quoted\" 'label'", 1), (None, None, "vpc-1", None, None)]
    columns = [Texts.of(np.arange(2), list(column)) for column in list(zip(*names, strict=True))[:4]]
    expected = [hashlib.blake2b(repr(name).encode(), digest_size=8).hexdigest() for name in names]
    found = _digests([_spelled(column) for column in columns], pa.array([1, None], pa.int64()))
    assert [f"{digest:016x}" for digest in found.tolist()] == expected


ADDRESSES = st.one_of(st.none(), st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))


@given(st.lists(ADDRESSES))
def test_addresses_are_read_as_they_were_written(texts: list[str | None]) -> None:
    plain = [None if text is None else _plain(text) for text in texts]
    assert to_texts(*parse(texts)).to_pylist() == plain


def _plain(text: str) -> str:
    """IPv4 that is written as mapped into IPv6 is IPv4."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
