"""What attribution and all that follows share: the book, the hints and the ranges of an hour, and the codes of how an
end is known, of legs, of where a reporter stands and of doubts.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowlake.flows.hints import Hints
from flowlake.flows.lookup import Lookup
from flowlake.flows.networks import Ranges

# How an end is known; the order is that of strength.
HOWS = ("interface", "interval", "attested", "assumed", "aws_service", "network", "public", "none")
INTERFACE, INTERVAL, ATTESTED, ASSUMED, AWS_SERVICE, NETWORK, PUBLIC, NONE = range(8)

LEGS = ("direct", "nat_inside", "nat_outside", "hop")
DIRECT, NAT_INSIDE, NAT_OUTSIDE, HOP = range(4)

# Where the reporter stands to the bytes: the order in which it is believed where all are complete.
RECEIVER, SENDER, BETWEEN, UNSAID_POSITION = range(4)

CONTESTED_SRC, CONTESTED_DST, UNSURE = 1, 2, 4
"""Bits of a row's doubts: two claimed the end's address; it can't be excluded that another reporter's record of these
bytes is counted too.
"""


@dataclass(frozen=True)
class Settings:
    """What attribution is told from outside."""

    provisional: bool = False
    clock_slack_seconds: int = 60
    """Start and end of a record may be off by up to 60 s (AWS): only who held the address all that time is believed."""

    @property
    def two_clocks_seconds(self) -> int:
        """How far apart two reporters' records of the same packets may seem to lie."""
        return 2 * self.clock_slack_seconds


@dataclass
class World:
    """Everything attribution looks things up in: the book, the hints of all records, the ranges."""

    lookup: Lookup
    hints: Hints
    aws: Ranges
    networks: Ranges
    settings: Settings
