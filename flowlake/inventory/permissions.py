"""The IAM policy that the inventory needs, from permissions.json: every API it calls, why, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Permission:
    """One API call: service:Operation as botocore names it, its IAM action, the kinds that need it, and why."""

    api: str
    action: str
    kinds: tuple[str, ...]
    why: str


@cache
def permissions() -> tuple[Permission, ...]:
    """All API calls of sweeps and of what events lack, in the order of the file."""
    text = (resources.files(__package__) / "permissions.json").read_text(encoding="utf-8")
    return tuple(
        Permission(entry["api"], entry["action"], tuple(entry["kinds"]), entry["why"])
        for entry in json.loads(text)["permissions"]
    )


def policy(kinds: Iterable[str], role_arns: Iterable[str] = ()) -> dict[str, Any]:
    """A read-only policy for sweeps of these kinds; with role_arns also to assume those roles.

    None of the calls can be limited to a resource: they are lists.
    """
    wanted = set(kinds)
    actions = sorted({entry.action for entry in permissions() if wanted & set(entry.kinds)})
    statements: list[dict[str, Any]] = [
        {"Sid": "FlowlakeReadInventory", "Effect": "Allow", "Action": actions, "Resource": "*"}
    ]
    roles = sorted(role_arns)
    if roles:
        statements.append(
            {"Sid": "FlowlakeAssumeMemberRoles", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles}
        )
    return {"Version": "2012-10-17", "Statement": statements}
