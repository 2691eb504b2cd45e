"""The digest of a book, spelled column by column, is that of Python's own spelling row by row."""

from __future__ import annotations

import hashlib
import json
from operator import attrgetter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows import book_digest
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


def row_by_row(book: Book) -> str:
    """What the digest is of, in Python's words."""
    digest = hashlib.sha256()
    hour_ends = book.starts * 1000 + HOUR_MS + MARGIN_MS
    for s in book.states:
        meaning = (
            s.interface_id, s.valid_from, min(s.valid_to, hour_ends), s.vpc_id, s.subnet_id, s.account_name, s.type,
            s.name, s.arns, s.shared, s.security_group_ids, s.listens_on, _pairs(s.tags), _pairs(s.interface_tags),
            s.az_id,
        )  # fmt: skip
        digest.update(repr(meaning).encode())
    claims = [*book.claims, *book.public]
    for of in (attrgetter("vpc_id"), attrgetter("addr"), attrgetter("interface_id")):
        digest.update("\0".join([*map(of, claims), ""]).encode())
    for c in claims:
        digest.update(b"%d %d %d " % (c.valid_from, min(c.valid_to, hour_ends), c.is_primary))
    t = book.topology
    facts = [t.vpc_ranges, t.reachable, t.routes, {k: vars(v) for k, v in t.flow_logs.items()}, t.public, t.born]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def _pairs(tags: Any) -> Any:
    return sorted(tags.items()) if tags else tags


@given(st.lists(STATES, max_size=5), st.lists(CLAIMS, max_size=3), st.lists(CLAIMS, max_size=2), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_it_is_that_of_every_row_in_pythons_spelling(
    states: list[InterfaceState], claims: list[Claim], public: list[Claim], at_a_time: int
) -> None:
    topology = Topology({"vpc-1": ["10.0.0.0/8"]}, flow_logs={"fl-1": FlowLog("fl-1", None, 60, None)})
    book = Book(1_767_261_600, states, claims, topology, [], frozenset(), public)
    before, book_digest.ROWS_AT_A_TIME = book_digest.ROWS_AT_A_TIME, at_a_time
    try:
        assert book.digest == row_by_row(book)
    finally:
        book_digest.ROWS_AT_A_TIME = before
