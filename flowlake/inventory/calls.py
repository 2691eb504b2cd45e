"""One API call out of CloudTrail: what it is, and how what it names is found in it. Pure.

Ids of EC2 tell their kind by their prefix, so they are found by key and prefix wherever CloudTrail put them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from flowlake.inventory import cloudtrail
from flowlake.inventory.cloudtrail import Tree, listed
from flowlake.inventory.seen import Seen
from flowlake.lake.arns import Arn
from flowlake.lake.observations import Row

EVERY = "*"
"""A want of all entities of a kind: the event names none of those it changed."""


class Ignored(Exception):
    """The event changed nothing that we keep; the reason is a short name for counting."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Rejected(Exception):
    """The event can't be believed or understood; reason is a short name for counting, why says more."""

    def __init__(self, reason: str, why: str = ""):
        super().__init__(f"{reason}: {why}" if why else reason)
        self.reason = reason
        self.why = why


@dataclass(frozen=True, order=True)
class Want:
    """One thing to ask AWS for. value is an id, ARN or name by which its describe call finds it, or EVERY.

    by: what value is, where it isn't the entity's own id (an interface by its instance).
    """

    account_id: str
    region: str
    kind: str
    value: str
    by: str = "id"


@dataclass(frozen=True)
class Reading:
    """What one event gave. occurred_at is the event's own time; rows and wants are in the event's order."""

    event_id: str
    name: str
    occurred_at: datetime
    rows: tuple[Row, ...]
    wants: tuple[Want, ...]


@dataclass(frozen=True)
class Call:
    """One successful API call out of CloudTrail."""

    name: str
    account_id: str
    region: str
    request: dict[str, Tree]
    response: dict[str, Tree]
    seen: Seen

    def want(self, kind: str, value: str, by: str = "id") -> Want:
        return Want(self.account_id, self.region, kind, value, by)


Find = Callable[[Call], Iterable[str]]
Say = Callable[[Call], list[Row]]


@dataclass(frozen=True)
class Rule:
    """What a call means: what it says itself, what is gone by it, what is to be fetched (by its own id, or else)."""

    says: Say | None = None
    gone: tuple[str, Find] | None = None
    fetch: tuple[tuple[str, Find], ...] = ()
    fetch_else: Callable[[Call], list[Want]] | None = None


def owned(account_id: str, owner: Tree, of: str) -> None:
    """Raises Rejected where the event says that someone else owns what it speaks of; not said is no objection."""
    if owner not in (None, "", account_id):
        raise Rejected("foreign_account", f"account {account_id}, but {of} belongs to {owner}")


def owned_arn(account_id: str, arn: str) -> Arn:
    parsed = Arn.parse(arn)
    owned(account_id, parsed.account_id, arn)
    return parsed


# ---- finding what a call names -----------------------------------------------------------------------------------

_PREFIXES = {
    "interface": "eni",
    "instance": "i",
    "vpc": "vpc",
    "subnet": "subnet",
    "route_table": "rtb",
    "internet_gateway": "igw",
    "vpn_gateway": "vgw",
    "nat_gateway": "nat",
    "vpc_endpoint": "vpce",
    "peering": "pcx",
    "transit_gateway_attachment": "tgw-attach",
    "transit_gateway_route_table": "tgw-rtb",
    "prefix_list": "pl",
    "security_group": "sg",
    "flow_log": "fl",
    "elastic_ip": "eipalloc",
    "attachment": "eni-attach",
    "file_system": "fs",
}
_IDS = {kind: re.compile(rf"^{prefix}-[0-9a-f]{{8,17}}\Z") for kind, prefix in _PREFIXES.items()}


def under(tree: Tree, key: str) -> Iterator[str]:
    """All texts under this key, wherever it is in the tree; its first letter may be of either case."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            if name[:1].lower() + name[1:] == key:
                yield from cloudtrail.texts(listed(value))
            else:
                yield from under(value, key)
    elif isinstance(tree, list):
        for member in tree:
            yield from under(member, key)


def is_id(kind: str, value: Tree) -> bool:
    """Whether this is an id of EC2 (or EFS) of that kind."""
    return isinstance(value, str) and bool(_IDS[kind].match(value))


def of_kind(kind: str, values: Iterable[str]) -> list[str]:
    return [value for value in values if _IDS[kind].match(value)]


def asked(kind: str, key: str) -> tuple[str, Find]:
    """The ids of this kind that the request names under a key."""
    return kind, lambda call: of_kind(kind, under(call.request, key))


def told(kind: str, key: str) -> tuple[str, Find]:
    """The ids of this kind that the response or the request names under a key."""
    return kind, lambda call: of_kind(kind, [*under(call.response, key), *under(call.request, key)])


def topmost(kind: str, key: str) -> tuple[str, Find]:
    """As told, but not inside of anything: a rule's peers are security groups too, and may be someone else's."""

    def find(call: Call) -> list[str]:
        tops = [
            value
            for tree in (call.response, call.request)
            for name, value in tree.items()
            if name[:1].lower() + name[1:] == key
        ]
        return of_kind(kind, cloudtrail.texts(tops))

    return kind, find


def anywhere(kind: str) -> tuple[str, Find]:
    """The ids of this kind that the call names under whatever key."""
    return kind, lambda call: of_kind(kind, cloudtrail.texts([call.response, call.request]))


def all_of(kind: str) -> tuple[str, Find]:
    return kind, lambda call: [EVERY]


def arns(kind: str, pattern: str) -> tuple[str, Find]:
    """ARNs anywhere in the call; the first group of the pattern is the ARN's service, account and resource checked."""
    matches = re.compile(pattern)

    def find(call: Call) -> list[str]:
        found = []
        for value in cloudtrail.texts([call.request, call.response]):
            if matches.match(value):
                owned_arn(call.account_id, value)
                found.append(value)
        return found

    return kind, find


def names(kind: str, *keys: str) -> tuple[str, Find]:
    """Identifiers or ARNs of databases that the call gives under these keys. AWS keeps identifiers in small letters."""

    def find(call: Call) -> list[str]:
        found = [value for key in keys for tree in (call.request, call.response) for value in under(tree, key)]
        for value in found:
            if value.startswith("arn:"):
                owned_arn(call.account_id, value)
        return [value if value.startswith("arn:") else value.lower() for value in found]

    return kind, find
