"""The IAM policy that the inventory needs, from permissions.json: every API it calls, why, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from flowlake.lake import places


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


def policy(
    kinds: Iterable[str],
    role_arns: Iterable[str] = (),
    lake: str | None = None,
    ranges: bool = False,
    partition: str = "aws",
) -> dict[str, Any]:
    """A policy for sweeps of these kinds; with role_arns also to assume those roles, with a lake in S3 also to write
    what was seen there, and with ranges to keep the address ranges there.

    None of the calls of a sweep can be limited to a resource: they are lists.
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
    if lake is not None and lake.startswith("s3://"):
        statements += _writing(f"arn:{partition}:s3:::{lake.removeprefix('s3://').strip('/')}", ranges)
    return {"Version": "2012-10-17", "Statement": statements}


def _writing(place: str, ranges: bool) -> list[dict[str, Any]]:
    """Statements for the lake at this ARN. The address ranges' table is read before it is written, and S3 says that an
    object is not there only to those who may list.
    """
    keys = [f"{place}/{folder}*" for folder in (places.OBSERVATIONS, places.SWEEPS)]
    table, (bucket, _, prefix) = f"{place}/{places.IP_RANGES}*", place.partition("/")
    written = {"Sid": "FlowlakeWriteSights", "Effect": "Allow", "Action": "s3:PutObject", "Resource": keys}
    if not ranges:
        return [written]
    below = {"StringLike": {"s3:prefix": f"{prefix}/{places.IP_RANGES}*".lstrip("/")}}
    return [
        written,
        {
            "Sid": "FlowlakeKeepAddressRanges",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": table,
        },
        {
            "Sid": "FlowlakeTellThatThereAreNone",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket,
            "Condition": below,
        },
    ]
