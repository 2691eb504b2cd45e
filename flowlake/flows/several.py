"""What of the rows of interfaces that have several flow logs counts: of no moment what two of them tell.

Which of them are better than others is settled by flow_logs.py; here it is looked up, for all rows at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowlake.flows.lookup import I32, I64, NOBODY, Bools
from flowlake.flows.summarise import ACCEPT, REJECT

Orders = tuple[Sequence[int], Sequence[int]]
"""The flow logs (rows of sources) that tell of what was accepted and of what was rejected, the best one first."""

MOST_IN_TURN = 4
"""Of how many flow logs of one interface each may come first, where records were lost."""


@dataclass(frozen=True)
class Several:
    """The flow logs of the interfaces that have several, and from when to when (epoch s) each told of its interface.

    codes: the interfaces, in order. order, since, until: by interface, accepts (0) or rejects (1), and rank; NOBODY
    where there are no more flow logs. in_turn: whether each pair of ends of the interface may take a turn of its own:
    not where its flow logs show other ends of the same packets.
    """

    codes: I32
    order: I32
    since: I64
    until: I64
    in_turn: Bools

    @classmethod
    def of(
        cls,
        chosen: Mapping[int, Orders],
        spans: Mapping[int, Mapping[int, tuple[int, int]]],
        apart: Sequence[int] = (),
    ) -> Several:
        """Of the interfaces by code: their flow logs, and from when to when each of these told of it. apart: those
        whose flow logs may show other ends of the same packets.
        """
        codes = np.array(sorted(chosen), dtype=np.int32)
        most = max((len(order) for orders in chosen.values() for order in orders), default=0) or 1
        table = np.full((len(codes), 2, most), NOBODY, dtype=np.int32)
        since, until = (np.zeros(table.shape, dtype=np.int64) for _ in range(2))
        for row, code in enumerate(codes.tolist()):
            for action, order in enumerate(chosen[code]):
                for rank, source in enumerate(order):
                    table[row, action, rank] = source
                    since[row, action, rank], until[row, action, rank] = spans[code][source]
        return cls(codes, table, since, until, ~np.isin(codes, apart))

    def rows(self, reporter: npt.NDArray) -> I64:
        """The rows whose reporter has several flow logs."""
        return np.flatnonzero(np.isin(reporter, self.codes)) if len(self.codes) else np.zeros(0, dtype=np.int64)

    def may_take_turns(self, reporter: npt.NDArray) -> Bools:
        """Whether for these rows (of reporters that have several) the turn may be another for each pair of ends."""
        may: Bools = self.in_turn[np.searchsorted(self.codes, reporter)]
        return may

    def turns(self) -> Iterator[tuple[int, ...]]:
        """The orders in which their flow logs may be looked at: first as they are ranked, then with others first."""
        most = self.order.shape[2]
        turn = min(most, MOST_IN_TURN)
        for first in itertools.permutations(range(turn)):
            yield *first, *range(turn, most)

    def orders(self, reporter: npt.NDArray, action: npt.NDArray) -> I64:
        """The number of the order that each of these rows (of reporters that have several) is looked up in: of accepts
        or of rejects. Where nothing tells of what was accepted, what tells no action is looked up with what was
        rejected.
        """
        at = np.searchsorted(self.codes, reporter)
        no_accepts = self.order[at, 0, 0] == NOBODY
        orders: I64 = 2 * at + ((action == REJECT) | ((action != ACCEPT) & no_accepts))
        return orders

    def counts(
        self,
        orders: I64,
        source: npt.NDArray,
        first: npt.NDArray,
        last: npt.NDArray,
        turn: Sequence[int] | None = None,
    ) -> Bools:
        """Whether each row, of its order, counts: its flow log tells of its action, and none that comes before it told
        of any of its time.

        turn: the ranks, in the order in which they are looked at; null for as they are.
        """
        most = self.order.shape[2]
        order, since, until = (table.reshape(-1, most)[orders] for table in (self.order, self.since, self.until))
        counts, told = (np.zeros(len(orders), dtype=np.bool_) for _ in range(2))
        for rank in range(most) if turn is None else turn:
            of = order[:, rank]
            counts |= (of == source) & ~told
            # Seconds are told whole: in the one that both tell they may tell of the same packets.
            told |= (of >= 0) & (first <= until[:, rank]) & (since[:, rank] <= last)
        return counts
