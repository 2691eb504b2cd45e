"""What a deployment says of itself: the Lambdas' environment variables, read once and checked.

FLOWLAKE_LAKE             where the lake lies: s3://bucket/prefix
FLOWLAKE_ACCOUNTS         whose inventory: account ids with commas between, or 'organization' for all active accounts
                          of the organisation; not set: the Lambda's own account
FLOWLAKE_ROLE_NAME        name (with its path) of the role to assume in the other accounts
FLOWLAKE_EXTERNAL_ID      external id that those roles ask for; required with a role's name
FLOWLAKE_REGIONS          regions to sweep, commas between; not set: those that each account has enabled
FLOWLAKE_TAGS             tag keys to keep, commas between; not set: all
FLOWLAKE_SWEEP_QUEUE_URL  queue of the sweeps' tasks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ORGANISATION = "organization"

_ACCOUNT = re.compile(r"^[0-9]{12}$")
_REGION = re.compile(r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$")
_ROLE = re.compile(r"^[\w+=,.@/-]{1,512}$")


class BadSettings(ValueError):
    """Environment variables are missing or make no sense; the message names all of them."""


@dataclass(frozen=True)
class Settings:
    """A deployment's settings. accounts: () for the own account alone; regions and tags: None where not set."""

    lake: str
    accounts: tuple[str, ...] = ()
    whole_organisation: bool = False
    role_name: str | None = None
    external_id: str | None = None
    regions: tuple[str, ...] | None = None
    tags: frozenset[str] | None = None
    sweep_queue_url: str | None = None


def settings_from(environment: Mapping[str, str], needs_queue: bool = False) -> Settings:
    """Settings out of environment variables. Raises BadSettings."""
    said = {
        name: value.strip() for name, value in environment.items() if name.startswith("FLOWLAKE_") and value.strip()
    }
    problems: list[str] = []
    accounts = _list(said.get("FLOWLAKE_ACCOUNTS"))
    whole = accounts == (ORGANISATION,)
    regions = _list(said.get("FLOWLAKE_REGIONS"))
    tags = _list(said.get("FLOWLAKE_TAGS"))
    role, external_id = said.get("FLOWLAKE_ROLE_NAME"), said.get("FLOWLAKE_EXTERNAL_ID")
    queue = said.get("FLOWLAKE_SWEEP_QUEUE_URL")
    if "FLOWLAKE_LAKE" not in said:
        problems.append("FLOWLAKE_LAKE is not set: it says where the lake lies, as s3://bucket/prefix")
    if not whole:
        problems += [
            f"FLOWLAKE_ACCOUNTS: '{entry}' is no account id" for entry in accounts or () if not _ACCOUNT.match(entry)
        ]
    problems += [f"FLOWLAKE_REGIONS: '{region}' is no region" for region in regions or () if not _REGION.match(region)]
    if role and not _ROLE.match(role):
        problems.append(f"FLOWLAKE_ROLE_NAME: '{role}' is no role's name")
    if role and not external_id:
        problems.append("FLOWLAKE_EXTERNAL_ID is not set: roles of other accounts are assumed with an external id only")
    if accounts and not role:
        problems.append("FLOWLAKE_ROLE_NAME is not set: other accounts are entered by assuming a role")
    if needs_queue and not queue:
        problems.append("FLOWLAKE_SWEEP_QUEUE_URL is not set: sweeps get their tasks through that queue")
    if problems:
        raise BadSettings("; ".join(problems))
    return Settings(
        lake=said["FLOWLAKE_LAKE"],
        accounts=() if whole or not accounts else accounts,
        whole_organisation=whole,
        role_name=role,
        external_id=external_id,
        regions=regions,
        tags=None if tags is None else frozenset(tags),
        sweep_queue_url=queue,
    )


def _list(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
