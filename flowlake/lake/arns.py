"""ARNs: taking them apart, making them, and the entity id that observations use for what an ARN names.

Entities that have an id of their own (eni-…, i-…, fs-…) go by it; all others go by their ARN (kinds.json).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_PARTITIONS = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
)


class BadArn(ValueError):
    """The text is no ARN."""


@dataclass(frozen=True)
class Arn:
    """The six parts of an ARN; region and account_id are empty for global resources."""

    partition: str
    service: str
    region: str
    account_id: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """'arn:partition:service:region:account:resource'. Raises BadArn."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not parts[1] or not parts[2] or not parts[5]:
            raise BadArn(f"'{text}' is no ARN")
        return cls(*parts[1:])

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account_id}:{self.resource}"


@lru_cache(maxsize=1 << 10)
def partition_of(region: str | None) -> str:
    """The partition that a region lies in: aws, aws-cn, aws-us-gov, …; aws where no region is given."""
    for prefix, partition in _PARTITIONS:
        if region and region.startswith(prefix):
            return partition
    return "aws"


def make_arn(service: str, region: str | None, account_id: str, resource: str) -> str:
    return f"arn:{partition_of(region)}:{service}:{region or ''}:{account_id}:{resource}"


def entity_id_of(arn: str) -> str:
    """The entity id that observations use for what this ARN names: i-… for an instance, fs-… for a file system,
    the unqualified ARN for a function, the ARN itself for the rest. What is no ARN is an id already."""
    try:
        parsed = Arn.parse(arn)
    except BadArn:
        return arn
    if parsed.service == "ec2" and "/" in parsed.resource:
        return parsed.resource.rsplit("/", 1)[1]
    if parsed.service == "elasticfilesystem" and parsed.resource.startswith("file-system/"):
        return parsed.resource.split("/", 1)[1]
    if parsed.service == "lambda" and parsed.resource.startswith("function:"):
        return unqualified(arn)
    return arn


def unqualified(function_arn: str) -> str:
    """A function's ARN without its version or alias."""
    return ":".join(function_arn.split(":")[:7])
