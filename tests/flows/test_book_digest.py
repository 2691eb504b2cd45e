"""The digest of a book is the same if and only if all its rows mean the same."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.book import HOUR_MS, MARGIN_MS, Book
from flowlake.flows.fold import OPEN
from flowlake.flows.intervals import Claim, InterfaceState
from flowlake.flows.topology import FlowLog, Topology

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["eni-1", "it's", 'a "b"', "\\n", "é\u200b", ""]
)
MAYBE = st.none() | TEXTS
TAGS = st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3)
MOMENTS = st.integers(-(10**13), 10**13) | st.just(OPEN)
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
STATES = st.builds(
    InterfaceState, TEXTS, MOMENTS, MOMENTS, MOMENTS, TEXTS, MAYBE,
    account_name=MAYBE, vpc_id=MAYBE, subnet_id=MAYBE, az_id=MAYBE, type=MAYBE, name=MAYBE, arns=LISTS,
    shared=st.booleans(), security_group_ids=st.none() | LISTS,
    listens_on=st.lists(st.integers(0, 65535), max_size=3).map(tuple), tags=TAGS, interface_tags=TAGS,
)  # fmt: skip
CLAIMS = st.builds(
    Claim, TEXTS, TEXTS, TEXTS, MOMENTS, MOMENTS, st.booleans(), st.booleans(), st.booleans(), TEXTS
)  # fmt: skip


HOUR_STARTS = 1_767_261_600


def meaning(book: Book) -> tuple[Any, ...]:
    """What the digest is of, row by row."""
    hour_ends = book.starts * 1000 + HOUR_MS + MARGIN_MS
    states = [
        (
            s.interface_id, s.valid_from, min(s.valid_to, hour_ends), s.vpc_id, s.subnet_id, s.account_name, s.type,
            s.name, s.arns, s.shared, s.security_group_ids, s.listens_on, s.tags, s.interface_tags, s.az_id,
        )
        for s in book.states
    ]  # fmt: skip
    claims = [
        [(c.vpc_id, c.addr, c.interface_id, c.valid_from, min(c.valid_to, hour_ends), c.is_primary) for c in of]
        for of in (book.claims, book.public)
    ]
    return states, *claims


def book_of(states: list[InterfaceState], claims: list[Claim], public: list[Claim]) -> Book:
    topology = Topology({"vpc-1": ["10.0.0.0/8"]}, flow_logs={"fl-1": FlowLog("fl-1", None, 60, None)})
    return Book(HOUR_STARTS, states, claims, topology, [], frozenset(), public)


ROWS = st.tuples(st.lists(STATES, max_size=3), st.lists(CLAIMS, max_size=3), st.lists(CLAIMS, max_size=2))


@given(ROWS, ROWS)
@settings(max_examples=200, deadline=None)
def test_it_is_the_same_where_the_meaning_is(one: Any, other: Any) -> None:
    books = book_of(*one), book_of(*other)
    assert (books[0].digest == books[1].digest) == (meaning(books[0]) == meaning(books[1]))


@given(st.tuples(STATES, CLAIMS, CLAIMS), st.tuples(STATES, CLAIMS, CLAIMS), st.integers(0, 2), st.data())
@settings(max_examples=500, deadline=None)
def test_it_is_another_where_one_value_is(one: Any, other: Any, which: int, data: Any) -> None:
    name = data.draw(st.sampled_from([field.name for field in fields(one[which])]))
    changed = list(one)
    changed[which] = replace(one[which], **{name: getattr(other[which], name)})
    books = [book_of(*([row] for row in rows)) for rows in (one, changed)]
    assert (books[0].digest == books[1].digest) == (meaning(books[0]) == meaning(books[1]))


@given(st.lists(STATES, min_size=2, max_size=4), st.lists(CLAIMS, min_size=1, max_size=3), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_it_does_not_hang_on_how_the_columns_lie(
    states: list[InterfaceState], claims: list[Claim], at_a_time: int
) -> None:
    book, apart = book_of(states, claims, []), book_of(states, claims, [])
    for name in ("state_columns", "claim_columns"):
        whole = getattr(book, name)
        more = pa.concat_tables([whole, whole]).combine_chunks().slice(len(whole))
        apart.__dict__[name] = pa.Table.from_batches(more.to_batches(max_chunksize=at_a_time))
    assert apart.digest == book.digest
