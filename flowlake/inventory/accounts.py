"""Whose inventory is taken: accounts from a list or from Organizations, and the credentials for each by AssumeRole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flowlake.inventory.aws import GLOBAL, Aws, Resolver, config
from flowlake.inventory.describe import describe

ACCOUNT_PLACE = "{account_id}"
"""In a role's ARN: the place of the member account's id."""

_SESSION_NAME = "flowlake-inventory"
_ROLE = re.compile(r"^arn:[a-z-]+:iam::(?P<account_id>\d{12}):role/[\w+=,.@/-]+$")


class AccountUnreachable(Exception):
    """No credentials for an account: the role is missing, does not trust us, or wants another external id."""


class BadRole(ValueError):
    """The text is no role's ARN."""


@dataclass(frozen=True)
class Member:
    """An account to take the inventory of. role_arn: the role to assume there, None for the credentials at hand."""

    account_id: str
    role_arn: str | None = None
    external_id: str | None = None
    name: str | None = None


def member_of(role_arn: str, external_id: str | None = None) -> Member:
    """The account that a role's ARN names. Raises BadRole."""
    found = _ROLE.match(role_arn)
    if not found:
        raise BadRole(f"'{role_arn}' is no role's ARN: arn:aws:iam::123456789012:role/name")
    return Member(found["account_id"], role_arn, external_id)


def members_of_organisation(
    aws: Aws, role_arn: str, external_id: str | None = None, own_account_id: str | None = None
) -> Iterator[Member]:
    """All active accounts of the organisation, in no certain order. role_arn holds {account_id}; the account whose
    credentials these are needs no role. Raises BadRole, and botocore's errors where Organizations does not answer."""
    if ACCOUNT_PLACE not in role_arn:
        raise BadRole(
            f"'{role_arn}' is one account's: for an organisation write arn:aws:iam::{ACCOUNT_PLACE}:role/name"
        )
    for page in describe("account", aws):
        for item in page.items:
            if item.get("Status", "ACTIVE") != "ACTIVE":
                continue
            if item["Id"] == own_account_id:
                yield Member(item["Id"], name=item.get("Name"))
            else:
                named = member_of(role_arn.replace(ACCOUNT_PLACE, item["Id"]), external_id)
                yield Member(named.account_id, named.role_arn, external_id, item.get("Name"))


def session_for(member: Member, session: Any) -> Any:
    """A boto3 session in the member's account; session itself where it needs no role. Raises AccountUnreachable.

    The credentials last an hour: make one for each account and sweep.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    if member.role_arn is None:
        return session
    asked = {"RoleArn": member.role_arn, "RoleSessionName": _SESSION_NAME}
    if member.external_id:
        asked["ExternalId"] = member.external_id
    try:
        given = session.client("sts", config=config()).assume_role(**asked)["Credentials"]
    except (ClientError, BotoCoreError) as error:
        raise AccountUnreachable(f"{member.role_arn} can't be assumed: {error}") from error
    return boto3.session.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=session.region_name,
    )


def aws_of(member: Member, region: str, session: Any, resolve: Resolver | None = None) -> Aws:
    """The member's account in one region. Raises AccountUnreachable."""
    return Aws(session_for(member, session), member.account_id, region, resolve)


def own_account_id(session: Any) -> str:
    """The account whose credentials a session has. Raises AccountUnreachable where they are none or not valid, or AWS
    can't be asked.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, NoCredentialsError

    try:
        return str(session.client("sts", config=config()).get_caller_identity()["Account"])
    except NoCredentialsError as error:
        raise AccountUnreachable("there are no credentials: name a --profile, or run aws configure") from error
    except (ConnectionError, HTTPClientError) as error:
        raise AccountUnreachable(f"AWS can't be reached: {error}") from error
    except (ClientError, BotoCoreError) as error:
        raise AccountUnreachable(f"these credentials are not accepted: {error}") from error


def regions_of(aws: Aws) -> list[str]:
    """Regions that the account has enabled, in alphabetical order."""
    answer = aws.client("ec2").call("describe_regions")
    return sorted(region["RegionName"] for region in answer["Regions"])


def organisation_of(session: Any, account_id: str) -> Aws:
    """The organisation as this account may see it."""
    return Aws(session, account_id, GLOBAL)
