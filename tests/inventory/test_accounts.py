"""Whose inventory: accounts from a list or the organisation, roles with an external id."""

from __future__ import annotations

from typing import Any

import pytest

from flowlake.inventory.accounts import (
    AccountUnreachable,
    BadRole,
    Member,
    member_of,
    members_of_organisation,
    own_account_id,
    session_for,
)
from flowlake.inventory.aws import GLOBAL, Aws
from tests.inventory.stub_aws import StubSession, error

ROLE = "arn:aws:iam::111111111111:role/flowlake"


def test_a_role_names_its_account() -> None:
    assert member_of(ROLE, "secret") == Member("111111111111", ROLE, "secret")
    with pytest.raises(BadRole):
        member_of("arn:aws:iam::111111111111:user/jane")


def test_a_role_is_assumed_with_its_external_id() -> None:
    credentials = {"AccessKeyId": "AKIA", "SecretAccessKey": "s", "SessionToken": "t"}
    session = StubSession({("sts", "assume_role"): {"Credentials": credentials}})
    assumed = session_for(member_of(ROLE, "secret"), session)
    assert assumed.get_credentials().token == "t"
    assert session.log == [
        ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "flowlake-inventory", "ExternalId": "secret"})
    ]
    assert session_for(Member("222222222222"), session) is session


def test_a_role_that_can_not_be_assumed_names_its_account() -> None:
    session = StubSession({("sts", "assume_role"): error("AccessDenied", "AssumeRole")})
    with pytest.raises(AccountUnreachable, match=r"111111111111.*AccessDenied"):
        session_for(member_of(ROLE), session)
    with pytest.raises(AccountUnreachable):
        own_account_id(StubSession({("sts", "get_caller_identity"): error("InvalidClientTokenId")}))


def test_the_organisations_active_accounts_each_by_its_role() -> None:
    accounts: list[dict[str, Any]] = [
        {"Id": "111111111111", "Name": "data", "Status": "ACTIVE"},
        {"Id": "222222222222", "Name": "closed", "Status": "SUSPENDED"},
        {"Id": "333333333333", "Name": "hub", "Status": "ACTIVE"},
    ]
    session = StubSession(
        {
            ("organizations", "list_roots"): {"Roots": [{"Id": "r-1"}]},
            ("organizations", "list_accounts_for_parent"): {"Accounts": accounts},
        }
    )
    hub = Aws(session, "333333333333", GLOBAL)
    found = list(members_of_organisation(hub, "arn:aws:iam::{account_id}:role/flowlake", "secret", "333333333333"))
    assert found == [Member("111111111111", ROLE, "secret", "data"), Member("333333333333", name="hub")]
    with pytest.raises(BadRole, match="account_id"):
        list(members_of_organisation(hub, ROLE))
