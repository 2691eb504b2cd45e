"""CloudTrail's spelling of EC2's answers: against botocore's model of EC2, and back through the sandbox's spelling."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlake.inventory import cloudtrail
from flowlake.inventory.cloudtrail import (
    SHAPES,
    Unreadable,
    addresses,
    boto3_shape,
    listed,
    moment,
    number,
    truth,
    unwrapped,
)
from flowlake.sandbox.trail import _response

EC2 = botocore.session.get_session().get_service_model("ec2")
TYPES = {
    "string": cloudtrail.TEXT,
    "integer": cloudtrail.NUMBER,
    "boolean": cloudtrail.TRUTH,
    "timestamp": cloudtrail.TIME,
}


def test_names_and_types_are_those_of_ec2s_model():
    for shape, names in SHAPES.items():
        members = EC2.shape_for(shape).members
        for wire_name, (boto3_name, type_) in names.items():
            member = members[boto3_name]
            assert member.serialization["name"] == wire_name, (shape, boto3_name)
            if isinstance(type_, list):
                assert member.type_name == "list"
                told = type_[0]
                # RunInstances lists its interfaces in a shape of their own with the same names.
                assert told == member.member.name or told == member.member.name.removeprefix("Instance")
            elif member.type_name == "structure":
                assert type_ in SHAPES
            else:
                assert TYPES[member.type_name] == type_, (shape, boto3_name)


@pytest.mark.parametrize(
    ("tree", "members"),
    [
        ({"items": [{"groupId": "sg-1"}]}, [{"groupId": "sg-1"}]),
        ({"item": [{"groupId": "sg-1"}]}, [{"groupId": "sg-1"}]),
        ({"item": {"groupId": "sg-1"}}, [{"groupId": "sg-1"}]),
        ({"assignedPrivateIpAddressSetType": [{"privateIpAddress": "10.0.0.5"}]}, [{"privateIpAddress": "10.0.0.5"}]),
        ([{"groupId": "sg-1"}], [{"groupId": "sg-1"}]),
        ({"tag": 1, "content": "fl-1"}, ["fl-1"]),
        ([{"tag": 1, "content": "fl-1"}, {"tag": 2, "content": "fl-2"}], ["fl-1", "fl-2"]),
        ({}, []),
        ("", []),
        (None, []),
    ],
)
def test_sets_are_read_however_they_are_written(tree, members):
    assert listed(tree) == members


def test_newer_calls_are_unwrapped():
    assert unwrapped({"CreateNatGatewayResponse": {"natGateway": {}}}) == {"natGateway": {}}
    assert unwrapped({"networkInterface": {"x": 1}}) == {"networkInterface": {"x": 1}}
    assert unwrapped(None) == {}


@pytest.mark.parametrize(
    "value", [1667336588000, "1667336588000", "2022-11-01T21:03:08Z", "2022-11-01T21:03:08.000+00:00"]
)
def test_times_are_milliseconds_or_iso(value):
    assert moment(value, "attachTime") == datetime(2022, 11, 1, 21, 3, 8, tzinfo=UTC)


@pytest.mark.parametrize("value", ["soon", True, None, {}, [], 10**20])
def test_what_is_no_time_is_said_by_name(value):
    with pytest.raises(Unreadable, match="attachTime"):
        moment(value, "attachTime")


def test_numbers_and_truth_come_as_text_too():
    assert [number(value, "n") for value in (3, 3.0, "3", "3.0")] == [3, 3, 3, 3]
    assert [truth(value, "t") for value in (True, "true", "FALSE")] == [True, True, False]
    for value in (3.5, "x", None, True, float("inf")):
        with pytest.raises(Unreadable):
            number(value, "n")


def test_addresses_are_found_anywhere_and_ids_are_none():
    tree = {"a": {"items": [{"privateIpAddress": "10.0.0.5"}]}, "b": ["2001:DB8::1", "10.0.0.16/28"], "c": "eni-0abc"}
    assert addresses(tree) == ["10.0.0.5", "2001:db8::1", "10.0.0.16/28"]


texts = st.text(alphabet="abcdef0123456789-", min_size=1, max_size=12)
INTERFACE = st.fixed_dictionaries(
    {"NetworkInterfaceId": texts, "VpcId": texts, "SubnetId": texts},
    optional={
        "Description": st.text(max_size=20),
        "RequesterManaged": st.booleans(),
        "Groups": st.lists(st.fixed_dictionaries({"GroupId": texts}), max_size=3),
        "PrivateIpAddresses": st.lists(
            st.fixed_dictionaries({"Primary": st.booleans(), "PrivateIpAddress": texts}), max_size=3
        ),
        "TagSet": st.lists(
            st.fixed_dictionaries({"Key": st.text(max_size=5), "Value": st.text(max_size=5)}), max_size=3
        ),
        "Attachment": st.fixed_dictionaries(
            {"AttachmentId": texts, "DeleteOnTermination": st.booleans(), "DeviceIndex": st.integers(0, 15)},
            optional={"AttachTime": st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))},
        ),
    },
)


@given(INTERFACE, st.booleans())
def test_what_boto3_says_survives_cloudtrails_spelling(interface, newer):
    written = _response(interface, EC2.shape_for("NetworkInterface"), wrapped=newer)
    assert boto3_shape(written, "NetworkInterface") == interface


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["item", "items", "tag", "content", "groupSet", "attachment", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(SHAPES["NetworkInterface"])), junk, max_size=5))
def test_junk_is_read_or_unreadable_and_nothing_else(tree):
    with suppress(Unreadable):
        boto3_shape(tree, "NetworkInterface")
