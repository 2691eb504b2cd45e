"""The address book of an hour: who held which address, and what it was, from when to when.

Built from the observations around the hour, as a pure function of them. It has three parts: the states of each
interface (with what it serves, tags and groups), the claims (which interface held which address of which VPC, and
which had which public address) and the topology (VPCs, what they can route to, subnets, flow logs, accounts). Times
are epoch milliseconds (UTC).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING

from flowlake.flows.collector import paused
from flowlake.flows.fold import (
    OPEN,
    Gathered,
    Timelines,
    gather,
    millis,
    timelines_of,
)
from flowlake.flows.intervals import Claim, InterfaceState, ResourceState
from flowlake.flows.observed import Observed
from flowlake.lake.observations import Row

if TYPE_CHECKING:
    import pyarrow as pa

    from flowlake.flows.plain import Plain
from flowlake.flows.claims import first_of, private_claims, public_claims
from flowlake.flows.states import Around, in_order, interface_states, resource_states
from flowlake.flows.topology import Topology, detail_of, topology_of

HOUR_MS = 3_600_000
MARGIN_MS = 900_000
"""States that ended longer than this before the hour are left out of its book; records may start an interval and a
skew before it.
"""


@dataclass
class Book:
    """The address book of one hour."""

    starts: int
    states: Sequence[InterfaceState]
    claims: Sequence[Claim]
    topology: Topology
    resources: list[ResourceState]
    swept_after: frozenset[tuple[str, str]]
    public: list[Claim] = field(default_factory=list)
    """Which interface had which public IPv4 address; vpc_id is that of the interface, "" where it is not known."""

    @cached_property
    def digest(self) -> str:
        """Of the book's meaning: the same where a run would make the same of it."""
        from flowlake.flows.book_digest import digest_of

        return digest_of(self, self.starts * 1000 + HOUR_MS + MARGIN_MS)

    @cached_property
    def state_columns(self) -> pa.Table:
        """The states as columns, row for row."""
        from flowlake.flows.book_columns import columns_of_states

        return columns_of_states(self.states)

    @cached_property
    def claim_columns(self) -> pa.Table:
        """The claims as columns, row for row, but for the moments at which they were told."""
        from flowlake.flows.book_columns import columns_of_claims

        return columns_of_claims(self.claims)


@paused()
def build(rows: Iterable[Row], hour_starts: int, until: int = OPEN, margin_ms: int = MARGIN_MS) -> Book:
    """The book of the hour that starts at hour_starts (epoch seconds), from the observations up to until (ms).

    Rows may come in any order and repeated; the book is the same. Rows of other hours are ignored where they say
    nothing of this one.
    """
    begins, ends = hour_starts * 1000 - margin_ms, hour_starts * 1000 + HOUR_MS
    gathered, plain = _gathered(rows, until, begins, ends + margin_ms)
    swept = {
        (account_id or "", region or "")
        for (kind, account_id, region), sweeps in gathered.sweeps.items()
        if kind == "interface" and sweeps[-1].started_at >= ends
    }
    timelines = timelines_of(gathered)
    _end_with_instances(timelines)
    claims = sorted(private_claims(timelines, begins), key=attrgetter("vpc_id", "addr", "valid_from", "interface_id"))
    topology = topology_of(timelines, begins, ends)
    told = Around(timelines, begins, ends + margin_ms)
    states = interface_states(told, timelines.get("interface", {}))
    resources, public = list(resource_states(timelines, begins)), public_claims(timelines, begins)
    book = Book(hour_starts, states, claims, topology, resources, frozenset(swept), public)
    return book if plain is None else _with_plain(book, plain, told)


def _gathered(rows: Iterable[Row], until: int, begins: int, ends: int) -> tuple[Gathered, Plain | None]:
    """The rows by entity; and where there are many, the plain interfaces apart, of which no row is gathered then."""
    if not (isinstance(rows, Observed) and rows.are_many):
        return gather(rows, until), None
    import numpy as np

    from flowlake.flows.plain import alone, plain_ones
    from flowlake.flows.swept import Swept

    swept = Swept(millis, rows.recorded_until, until)
    gathered = gather(rows.but_swept(swept), until)
    plain, contents = plain_ones(swept, gathered, begins, ends)
    gathered = gather(swept.rows(~contents), until, gathered)
    if not contents.any():
        return gathered, None
    kept = alone(plain, gathered)
    contents[:] = False
    contents[plain.content[~kept]] = True
    gathered = gather(swept.rows(contents), until, gathered)
    return gathered, plain.take(np.flatnonzero(kept)) if kept.any() else None


def _with_plain(book: Book, plain: Plain, told: Around) -> Book:
    """The book with the plain interfaces' states and claims."""
    from flowlake.flows.book_columns import Laid, columns_of_claims, columns_of_states
    from flowlake.flows.plain import claims_of, states_of

    def lay_claims() -> Laid[Claim]:
        return Laid(list(book.claims), columns_of_claims(book.claims), claims_of(plain), ["vpc_id", "addr"])

    with ThreadPoolExecutor(1) as aside:
        claims = aside.submit(lay_claims)
        columns, others = states_of(plain, told.epochs.of, told.tags, told.accounts)
        states = list(book.states)
        if others:
            states = in_order([*states, *(one for id_, state in others.items() for one in told.states(id_, [state]))])
        return replace(
            book,
            states=Laid(states, columns_of_states(states), columns, ["interface_id"]),
            claims=claims.result(),
        )


def _end_with_instances(timelines: Timelines) -> None:
    """Ends first interfaces that go with their instance when it is known to be terminated: no event says so."""
    instances = timelines.get("instance", {})
    for line in timelines.get("interface", {}).values():
        instance = first_of(line, instances)
        if instance is None or instance.ended_by != "event" or line.ended_by == "event":
            continue
        told = (detail_of(s.attributes).get("delete_on_termination") for s in reversed(line.states))
        goes_too = next((goes for goes in told if goes is not None), False)
        # Seen after it: then it stayed, or the instance's end is told wrongly.
        if goes_too and max(line.sights, default=0) <= instance.ended_at <= line.ended_at:
            if len(line.states) > 1 and line.states[-1].valid_from == instance.ended_at:
                line.states.pop()  # it was let go by the same end, and did not outlive it
            line.end(instance.ended_at, "event")
