"""Where a sight comes from, and what all rows have in common: owner, tags, moments.

Items are in the shape in which boto3 gives them (PascalCase for EC2). A required field is item["…"], so that an
item that lacks it is a problem with a name; an optional one is item.get("…").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flowlake.lake.arns import make_arn
from flowlake.lake.hours import from_text, utc
from flowlake.lake.observations import PRESENT, SWEEP, Row, observation

Item = dict[str, Any]

_MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers of this size are milliseconds (CloudTrail's launchTime); as seconds they would lie after year 5000."""


class BadItem(ValueError):
    """An item that lacks what its kind can't do without, or holds what can't be read."""


@dataclass(frozen=True)
class Seen:
    """One sight: when, by whom, in whose account and region.

    account_id is the account that was asked; a row's account is the item's own owner where the API tells it (in a
    shared subnet that is the participant). keep_tags: tag keys to keep, None for all.
    """

    observed_at: datetime
    recorded_at: datetime
    source: str
    source_name: str
    source_id: str
    account_id: str
    region: str
    sweep_started_at: datetime | None = None
    keep_tags: frozenset[str] | None = None

    def row(self, kind: str, entity_id: str, state: str = PRESENT, **columns: Any) -> Row:
        """An observation of this sight; account_id and region are the sight's own unless given."""
        columns.setdefault("account_id", self.account_id)
        columns.setdefault("region", self.region)
        return observation(
            observed_at=self.observed_at,
            recorded_at=self.recorded_at,
            source=self.source,
            source_name=self.source_name,
            source_id=self.source_id,
            sweep_started_at=self.sweep_started_at if self.source == SWEEP else None,
            kind=kind,
            entity_id=entity_id,
            state=state,
            **columns,
        )

    def owner(self, item: Mapping[str, Any], field: str = "OwnerId") -> str:
        """The account that owns the item: what the API says where it names an account, else the one that was asked."""
        said = item.get(field)
        return said if isinstance(said, str) and said.isdigit() else self.account_id

    def arn(self, service: str, account_id: str, resource: str) -> str:
        return make_arn(service, self.region, account_id, resource)

    def seen_by(self, owner: str) -> str | None:
        """The account that was asked, where it isn't the owner: the owner's own sweep may not exist."""
        return self.account_id if owner != self.account_id else None

    def tags(self, tags: Iterable[Mapping[str, Any]] | Mapping[str, str] | None) -> dict[str, str] | None:
        """Tags as a map, from [{Key, Value}], [{key, value}] or a map; None (not told) stays None."""
        if tags is None:
            return None
        pairs: Iterable[tuple[str, str]]
        if isinstance(tags, Mapping):
            pairs = ((str(key), str(value)) for key, value in tags.items())
        else:
            pairs = (
                (tag["Key"], tag.get("Value") or "") if "Key" in tag else (tag["key"], tag.get("value") or "")
                for tag in tags
            )
        return {key: value for key, value in pairs if self.keep_tags is None or key in self.keep_tags}


def moment(value: Any) -> datetime | None:
    """A time as an API or event writes it: datetime, ISO 8601 text, epoch seconds or milliseconds; None stays None.

    Raises BadItem.
    """
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return utc(value / 1000 if value >= _MILLISECONDS_FROM else value)
    try:
        return from_text(str(value))
    except ValueError as error:
        raise BadItem(f"'{value}' is no time") from error


def ids(items: Iterable[Mapping[str, Any]] | None, field: str) -> list[str] | None:
    """The field of each item that has it, in order, each once; None (not told) stays None."""
    if items is None:
        return None
    return unique(item.get(field) for item in items)


def unique(values: Iterable[str | None]) -> list[str]:
    """The values that are there, in order, each once."""
    return list(dict.fromkeys(value for value in values if value))


def said(**parts: Any) -> dict[str, Any] | None:
    """detail: what is known of the parts; None where nothing is."""
    known = {name: value for name, value in parts.items() if value is not None}
    return known or None
