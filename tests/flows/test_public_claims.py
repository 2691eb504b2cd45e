"""Which interface had which public address: from sight to sight of it there, and no longer than it is known."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.book import build
from flowlake.flows.book_table import book_table
from flowlake.flows.intervals import Claim
from flowlake.lake.observations import Row
from tests.flows.test_fold import _clock
from tests.flows.worked import HOUR, eni, event, gone, sweep, vpc

IP = "198.51.100.7"
VPC = vpc("vpc-1", "10.0.0.0/16")


def public(rows: list[Row]) -> list[tuple[Any, ...]]:
    """(address, interface, from, until, exact, open) of each claim."""
    return [
        (c.addr, c.interface_id, _clock(c.valid_from), _clock(c.valid_to), c.exact_end, c.open)
        for c in build([*sweep("08:00", VPC, kinds=("vpc",)), *rows], HOUR.starts).public
    ]


def has(interface_id: str, *addresses: str) -> dict[str, Any]:
    """An interface with these public addresses; its private one by its name."""
    return eni(interface_id, f"10.0.0.{ord(interface_id[-1])}", public_addresses=list(addresses))


def elastic(*interface_ids: str) -> dict[str, Any]:
    """The Elastic IP, associated with this interface or none."""
    said = {"public_addresses": [IP], "interface_ids": list(interface_ids)}
    return {"kind": "elastic_ip", "entity_id": "eipalloc-1", **said}


def test_from_the_first_sight_to_the_last() -> None:
    assert public([*sweep("09:00", has("eni-a", IP)), *sweep("10:30", has("eni-a", IP))]) == [
        (IP, "eni-a", "09:00", "10:30", False, True)
    ]


def test_it_ended_at_some_time_between_the_last_sight_and_one_that_lacks_it() -> None:
    rows = [*sweep("09:50", has("eni-a", IP)), *sweep("10:30", has("eni-a"))]
    assert public(rows) == [(IP, "eni-a", "09:50", "09:50", False, False)]
    (claim,) = build(rows, HOUR.starts).public
    assert (_clock(claim.gone_by or 0), claim.to_source) == ("10:30", "absence")


def test_a_change_that_tells_no_addresses_is_no_sight_of_one() -> None:
    """Its groups were changed at 10:10: nothing was said of its public address then."""
    changed = event("10:10", {"kind": "interface", "entity_id": "eni-a"}, "partial", security_group_ids=["sg-9"])
    assert public([*sweep("09:50", has("eni-a", IP)), changed]) == [(IP, "eni-a", "09:50", "09:50", False, True)]


def test_it_goes_with_its_interface() -> None:
    rows = [*sweep("09:50", has("eni-a", IP)), gone("10:20", "eni-a")]
    assert public(rows) == [(IP, "eni-a", "09:50", "10:20", True, False)]


def test_an_address_that_moves_has_one_holder_at_a_time() -> None:
    """Seen at eni-a until 10:00, at eni-b from 10:20 on: nobody's in between; it is never two interfaces'."""
    rows = [event("09:55", has("eni-a", IP)), event("10:00", has("eni-a", IP)), event("10:20", has("eni-b", IP))]
    assert public([*rows, *sweep("12:00", has("eni-a"), has("eni-b", IP))]) == [
        (IP, "eni-a", "09:55", "10:00", False, False),
        (IP, "eni-b", "10:20", "12:00", False, True),
    ]


def test_an_elastic_ip_tells_of_its_interface() -> None:
    """The address itself was listed: with eni-a from 09:50 to 10:10, with none at 10:30, with eni-b at 10:40."""
    rows = [event(at, elastic("eni-a")) for at in ("09:50", "10:10")]
    rows += [event("10:30", elastic()), event("10:40", elastic("eni-b"))]
    assert public([*rows, *sweep("08:30", has("eni-a"), has("eni-b"))]) == [
        (IP, "eni-a", "09:50", "10:10", False, False),
        (IP, "eni-b", "10:40", "10:40", False, True),
    ]


def test_rows_of_the_book_name_it_and_its_vpc() -> None:
    book = build([*sweep("08:00", VPC, kinds=("vpc",)), *sweep("09:50", has("eni-a", IP))], HOUR.starts)
    (row,) = [row for row in book_table(book).to_pylist() if row["subject"] == "public_address"]
    assert (row["addr"], row["interface_id"], row["vpc_id"], row["valid_to"]) == (IP, "eni-a", "vpc-1", None)


def test_what_tells_one_more_address_takes_none_away() -> None:
    """A second address is told at 10:10, by a change that says nothing of the first; both go at 10:20."""
    more = event("10:10", {"kind": "interface", "entity_id": "eni-a"}, "partial", public_addresses=["198.51.100.8"])
    assert public([*sweep("09:50", has("eni-a", IP)), more, gone("10:20", "eni-a")]) == [
        (IP, "eni-a", "09:50", "10:20", True, False),
        ("198.51.100.8", "eni-a", "10:10", "10:20", True, False),
    ]


def test_the_book_means_something_else_where_the_address_came_later() -> None:
    """The Elastic IP is eni-a's from 10:10 or from 10:15 on, which only the address itself tells."""

    def digest(*moments: str) -> str:
        rows = [event(at, elastic("eni-a")) for at in moments]
        return build([*sweep("09:50", has("eni-a")), *rows], HOUR.starts).digest

    assert digest("10:10") != digest("10:15")
    assert digest("10:10", "11:30") == digest("10:10", "11:40")


SIGHTS = st.lists(st.tuples(st.integers(0, 59), st.sampled_from("abc")), min_size=1, max_size=12)
MOVES = st.lists(st.tuples(st.integers(0, 59), st.sampled_from("abc-")), max_size=5)


@given(MOVES, SIGHTS, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_every_sight_agrees_with_the_claims_and_nobody_has_it_beside_another(
    moves: list[tuple[int, str]], sights: list[tuple[int, str]], chance: Any
) -> None:
    """The address moves between three interfaces (or to none); each sight asks one of them what it has then."""

    def holder(minute: int) -> str:
        return ([who for at, who in sorted(moves, key=lambda m: m[0]) if at <= minute] or ["-"])[-1]

    rows = [event(f"10:{at:02}:30", has(f"eni-{who}", *([IP] if holder(at) == who else []))) for at, who in set(sights)]
    chance.shuffle(rows)
    claims: list[Claim] = build([*rows, *rows[:2]], HOUR.starts).public

    def moment(minute: int) -> int:
        return (HOUR.starts + minute * 60 + 30) * 1000

    for at, who in sights:
        told = [c.interface_id for c in claims if c.valid_from <= moment(at) <= c.valid_to]
        # Where it is not at the one asked it is at nobody's, or at another's who was seen with it before and after.
        assert (told == [f"eni-{who}"]) if holder(at) == who else (f"eni-{who}" not in told and len(told) <= 1)
    spans = sorted((c.valid_from, c.gone_by or c.valid_to) for c in claims)
    assert all(first[1] <= then[0] for first, then in zip(spans, spans[1:], strict=False))
