"""The rows of an address book: stretches of time in which something held. Times are epoch milliseconds (UTC)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class InterfaceState:
    """One interface in one state over [valid_from, valid_to); a null attribute is not known."""

    interface_id: str
    valid_from: int
    valid_to: int
    last_seen: int
    from_source: str
    to_source: str | None
    account_id: str | None = None
    account_name: str | None = None
    region: str | None = None
    vpc_id: str | None = None
    subnet_id: str | None = None
    availability_zone: str | None = None
    az_id: str | None = None
    type: str | None = None
    name: str | None = None
    arns: tuple[str, ...] = ()
    shared: bool = False
    security_group_ids: tuple[str, ...] | None = None
    listens_on: tuple[int, ...] = ()
    tags: Mapping[str, str] | None = None
    interface_tags: Mapping[str, str] | None = None
    description: str | None = None
    primary: str | None = None
    interface_type: str | None = None


@dataclass(slots=True)
class Claim:
    """One interface held one address (or prefix) of one VPC, surely over [valid_from, valid_to).

    exact_end: the end is that of an event, not the last sight. open: no end is known (the last sight is valid_to).
    gone_by: when it is known to have ended; between valid_to and then it may have ended unseen. Null where it may
    still hold. told_at: of what is no primary address the moments at which it was told to be held, in order. Between
    two of them it may have gone and come back, where every event of it was lost; a primary address can't.
    """

    vpc_id: str
    addr: str
    interface_id: str
    valid_from: int
    valid_to: int
    exact_end: bool
    open: bool
    is_primary: bool
    from_source: str
    to_source: str | None = None
    gone_by: int | None = None
    told_at: Sequence[int] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class ResourceState:
    """One resource (an instance, load balancer, database, function, …) with one tag set over [valid_from, valid_to);
    null where it is not known.
    """

    resource_id: str
    kind: str | None
    account_id: str | None
    region: str | None
    valid_from: int
    valid_to: int
    last_seen: int
    from_source: str
    to_source: str | None
    tags: Mapping[str, str] | None
