"""CloudTrail's trees of EC2 calls, as boto3 would have answered.

CloudTrail writes what EC2 says on the wire (networkInterfaceId, groupSet), boto3 says it in its own names
(NetworkInterfaceId, Groups); the rows are made from boto3's. SHAPES is the part of EC2's model that we read, wire name
first. How CloudTrail writes one and the same value differs by call and age:

- a list is {"items": [...]}, {"item": [...]}, {"item": one}, {"assignedPrivateIpAddressSetType": [...]}, [...], and
  empty {}, "" or absent; a request's list of newer calls is {"tag": 1, "content": "fl-0abc"}, or a list of those;
- newer calls wrap all in one key: {"CreateNatGatewayResponse": {...}};
- times are epoch milliseconds (number or text) or ISO 8601; numbers and booleans are sometimes text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

Tree = Any
"""A JSON value out of an event: nothing about its shape is certain."""

TEXT, NUMBER, TRUTH, TIME = "text", "number", "truth", "time"

_GROUP = {"groupId": ("GroupId", TEXT), "groupName": ("GroupName", TEXT)}
_ASSOCIATION = {
    "allocationId": ("AllocationId", TEXT),
    "associationId": ("AssociationId", TEXT),
    "ipOwnerId": ("IpOwnerId", TEXT),
    "publicIp": ("PublicIp", TEXT),
}

SHAPES: dict[str, dict[str, tuple[str, Any]]] = {
    # shape of EC2's model: wire name -> boto3 name, type. A type in a list is a list of it; another text is a shape.
    "Tag": {"key": ("Key", TEXT), "value": ("Value", TEXT)},
    "GroupIdentifier": _GROUP,
    "NetworkInterfaceAssociation": _ASSOCIATION,
    "NetworkInterfaceAttachment": {
        "attachTime": ("AttachTime", TIME),
        "attachmentId": ("AttachmentId", TEXT),
        "deleteOnTermination": ("DeleteOnTermination", TRUTH),
        "deviceIndex": ("DeviceIndex", NUMBER),
        "networkCardIndex": ("NetworkCardIndex", NUMBER),
        "instanceId": ("InstanceId", TEXT),
        "instanceOwnerId": ("InstanceOwnerId", TEXT),
        "status": ("Status", TEXT),
    },
    "NetworkInterfacePrivateIpAddress": {
        "association": ("Association", "NetworkInterfaceAssociation"),
        "primary": ("Primary", TRUTH),
        "privateIpAddress": ("PrivateIpAddress", TEXT),
    },
    "NetworkInterfaceIpv6Address": {
        "ipv6Address": ("Ipv6Address", TEXT),
        "isPrimaryIpv6": ("IsPrimaryIpv6", TRUTH),
    },
    "Ipv4PrefixSpecification": {"ipv4Prefix": ("Ipv4Prefix", TEXT)},
    "Ipv6PrefixSpecification": {"ipv6Prefix": ("Ipv6Prefix", TEXT)},
    "OperatorResponse": {"managed": ("Managed", TRUTH), "principal": ("Principal", TEXT)},
    "NetworkInterface": {
        "association": ("Association", "NetworkInterfaceAssociation"),
        "attachment": ("Attachment", "NetworkInterfaceAttachment"),
        "availabilityZone": ("AvailabilityZone", TEXT),
        "availabilityZoneId": ("AvailabilityZoneId", TEXT),
        "description": ("Description", TEXT),
        "groupSet": ("Groups", ["GroupIdentifier"]),
        "interfaceType": ("InterfaceType", TEXT),
        "ipv4PrefixSet": ("Ipv4Prefixes", ["Ipv4PrefixSpecification"]),
        "ipv6AddressesSet": ("Ipv6Addresses", ["NetworkInterfaceIpv6Address"]),
        "ipv6PrefixSet": ("Ipv6Prefixes", ["Ipv6PrefixSpecification"]),
        "macAddress": ("MacAddress", TEXT),
        "networkInterfaceId": ("NetworkInterfaceId", TEXT),
        "operator": ("Operator", "OperatorResponse"),
        "ownerId": ("OwnerId", TEXT),
        "privateDnsName": ("PrivateDnsName", TEXT),
        "privateIpAddress": ("PrivateIpAddress", TEXT),
        "privateIpAddressesSet": ("PrivateIpAddresses", ["NetworkInterfacePrivateIpAddress"]),
        "requesterId": ("RequesterId", TEXT),
        "requesterManaged": ("RequesterManaged", TRUTH),
        "sourceDestCheck": ("SourceDestCheck", TRUTH),
        "status": ("Status", TEXT),
        "subnetId": ("SubnetId", TEXT),
        "tagSet": ("TagSet", ["Tag"]),
        "vpcId": ("VpcId", TEXT),
    },
    "Placement": {
        "availabilityZone": ("AvailabilityZone", TEXT),
        "availabilityZoneId": ("AvailabilityZoneId", TEXT),
        "tenancy": ("Tenancy", TEXT),
    },
    "InstanceState": {"code": ("Code", NUMBER), "name": ("Name", TEXT)},
    "IamInstanceProfile": {"arn": ("Arn", TEXT), "id": ("Id", TEXT)},
    "Instance": {
        "groupSet": ("SecurityGroups", ["GroupIdentifier"]),
        "iamInstanceProfile": ("IamInstanceProfile", "IamInstanceProfile"),
        "imageId": ("ImageId", TEXT),
        "instanceId": ("InstanceId", TEXT),
        "instanceState": ("State", "InstanceState"),
        "instanceType": ("InstanceType", TEXT),
        "ipAddress": ("PublicIpAddress", TEXT),
        "ipv6Address": ("Ipv6Address", TEXT),
        "launchTime": ("LaunchTime", TIME),
        # RunInstances says here what DescribeNetworkInterfaces says, under the same names.
        "networkInterfaceSet": ("NetworkInterfaces", ["NetworkInterface"]),
        "outpostArn": ("OutpostArn", TEXT),
        "placement": ("Placement", "Placement"),
        "platform": ("Platform", TEXT),
        "privateDnsName": ("PrivateDnsName", TEXT),
        "privateIpAddress": ("PrivateIpAddress", TEXT),
        "sourceDestCheck": ("SourceDestCheck", TRUTH),
        "subnetId": ("SubnetId", TEXT),
        "tagSet": ("Tags", ["Tag"]),
        "vpcId": ("VpcId", TEXT),
    },
    "SubnetCidrBlockState": {"state": ("State", TEXT)},
    "SubnetIpv6CidrBlockAssociation": {
        "associationId": ("AssociationId", TEXT),
        "ipv6CidrBlock": ("Ipv6CidrBlock", TEXT),
        "ipv6CidrBlockState": ("Ipv6CidrBlockState", "SubnetCidrBlockState"),
    },
    "Subnet": {
        "availabilityZone": ("AvailabilityZone", TEXT),
        "availabilityZoneId": ("AvailabilityZoneId", TEXT),
        "cidrBlock": ("CidrBlock", TEXT),
        "defaultForAz": ("DefaultForAz", TRUTH),
        "ipv6CidrBlockAssociationSet": ("Ipv6CidrBlockAssociationSet", ["SubnetIpv6CidrBlockAssociation"]),
        "mapPublicIpOnLaunch": ("MapPublicIpOnLaunch", TRUTH),
        "outpostArn": ("OutpostArn", TEXT),
        "ownerId": ("OwnerId", TEXT),
        "state": ("State", TEXT),
        "subnetArn": ("SubnetArn", TEXT),
        "subnetId": ("SubnetId", TEXT),
        "tagSet": ("Tags", ["Tag"]),
        "vpcId": ("VpcId", TEXT),
    },
    "VpcCidrBlockState": {"state": ("State", TEXT)},
    "VpcCidrBlockAssociation": {
        "associationId": ("AssociationId", TEXT),
        "cidrBlock": ("CidrBlock", TEXT),
        "cidrBlockState": ("CidrBlockState", "VpcCidrBlockState"),
    },
    "VpcIpv6CidrBlockAssociation": {
        "associationId": ("AssociationId", TEXT),
        "ipv6CidrBlock": ("Ipv6CidrBlock", TEXT),
        "ipv6CidrBlockState": ("Ipv6CidrBlockState", "VpcCidrBlockState"),
    },
    "Vpc": {
        "cidrBlock": ("CidrBlock", TEXT),
        "cidrBlockAssociationSet": ("CidrBlockAssociationSet", ["VpcCidrBlockAssociation"]),
        "ipv6CidrBlockAssociationSet": ("Ipv6CidrBlockAssociationSet", ["VpcIpv6CidrBlockAssociation"]),
        "isDefault": ("IsDefault", TRUTH),
        "ownerId": ("OwnerId", TEXT),
        "state": ("State", TEXT),
        "tagSet": ("Tags", ["Tag"]),
        "vpcId": ("VpcId", TEXT),
    },
}

_WRAPPED = re.compile(r"^[A-Z][A-Za-z0-9]+(Request|Response|Result)$")
_ENVELOPE = {"item", "items", "member", "assignedPrivateIpAddressSetType"}


class Unreadable(ValueError):
    """A value is not what its name promises: the message says which and what it is."""


def unwrapped(tree: Tree) -> dict[str, Tree]:
    """Request or response without the one key that newer calls wrap it in; {} where the event has none."""
    if not isinstance(tree, Mapping):
        return {}
    keys = list(tree)
    if len(keys) == 1 and _WRAPPED.match(keys[0]) and isinstance(tree[keys[0]], Mapping):
        return dict(tree[keys[0]])
    return dict(tree)


def listed(tree: Tree) -> list[Tree]:
    """The members of a set, however it is written; [] for {}, "", None."""
    if tree is None or tree in ("", {}):
        return []
    if isinstance(tree, list):
        return [_content(member) for member in tree]
    if isinstance(tree, Mapping):
        keys = list(tree)
        if len(keys) == 1 and keys[0] in _ENVELOPE:
            return listed(tree[keys[0]])
    return [_content(tree)]


def _content(member: Tree) -> Tree:
    """{"tag": 1, "content": x} is x."""
    if isinstance(member, Mapping) and "content" in member and member.keys() <= {"content", "tag"}:
        return member["content"]
    return member


def boto3_shape(tree: Tree, shape: str) -> dict[str, Any]:
    """An entity of an event as boto3 names it, without what SHAPES does not list. What is absent stays absent.

    Raises Unreadable.
    """
    if not isinstance(tree, Mapping):
        raise Unreadable(f"{shape} is {_short(tree)}")
    names = SHAPES[shape]
    return {
        boto3_name: _value(tree[wire_name], type_, wire_name)
        for wire_name, (boto3_name, type_) in names.items()
        if tree.get(wire_name) is not None
    }


def _value(tree: Tree, type_: Any, name: str) -> Any:
    if isinstance(type_, list):
        return [_value(member, type_[0], name) for member in listed(tree)]
    if type_ == TEXT:
        return text(tree, name)
    if type_ == NUMBER:
        return number(tree, name)
    if type_ == TRUTH:
        return truth(tree, name)
    if type_ == TIME:
        return moment(tree, name)
    return boto3_shape({} if tree == "" else tree, type_)


def text(tree: Tree, name: str) -> str:
    """A text. Numbers are written as text; anything else is Unreadable."""
    if isinstance(tree, str):
        return tree
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return str(tree)
    raise Unreadable(f"{name} is {_short(tree)}")


def number(tree: Tree, name: str) -> int:
    """A whole number, also from '3', 3.0 and '3.0'. Raises Unreadable."""
    if isinstance(tree, str | int | float) and not isinstance(tree, bool):
        try:
            as_float = float(tree)
            if as_float.is_integer():
                return int(tree) if isinstance(tree, int) else int(as_float)
        except (ValueError, OverflowError):
            pass
    raise Unreadable(f"{name} is {_short(tree)}")


def truth(tree: Tree, name: str) -> bool:
    """true and 'true'. Raises Unreadable."""
    if isinstance(tree, bool):
        return tree
    if isinstance(tree, str) and tree.lower() in ("true", "false"):
        return tree.lower() == "true"
    raise Unreadable(f"{name} is {_short(tree)}")


def moment(tree: Tree, name: str) -> datetime:
    """Epoch milliseconds (number or text) or ISO 8601, where a missing zone means UTC. Raises Unreadable."""
    try:
        if isinstance(tree, str) and not tree.strip().lstrip("-").isdigit():
            read = datetime.fromisoformat(tree.strip().replace("Z", "+00:00"))
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        if isinstance(tree, str | int | float) and not isinstance(tree, bool):
            milliseconds = int(tree)
            whole = datetime.fromtimestamp(milliseconds // 1000, UTC)
            return whole.replace(microsecond=milliseconds % 1000 * 1000)
    except (ValueError, OverflowError, OSError):
        pass
    raise Unreadable(f"{name} is {_short(tree)}")


_OF_TAGS = re.compile(r"tags?(Set|List|Specification(Set)?s?)?\Z", re.IGNORECASE)


def texts(tree: Tree) -> Iterator[str]:
    """All texts anywhere in a tree, in its order (keys are not texts), but those of tags: an ARN or address that
    somebody wrote into a tag names nothing.
    """
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for key, member in tree.items():
            if not _OF_TAGS.match(key):
                yield from texts(member)
    elif isinstance(tree, list):
        for member in tree:
            yield from texts(member)


def addresses(tree: Tree) -> list[str]:
    """All addresses and prefixes (with a slash) anywhere in a tree, each once, in its order and in canonical form."""
    found = [_address(value) for value in texts(tree)]
    return list(dict.fromkeys(value for value in found if value))


def _address(value: str) -> str | None:
    try:
        return str(ipaddress.ip_network(value)) if "/" in value else str(ipaddress.ip_address(value))
    except ValueError:
        return None


def _short(tree: Tree) -> str:
    shown = repr(tree)
    return shown if len(shown) <= 80 else shown[:77] + "..."
