"""Interfaces and instances as DescribeNetworkInterfaces and DescribeInstances give them at a moment (epoch ms)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Interface, Thing

Item = dict[str, Any]

LONG_AGO = datetime(2025, 6, 3, 9, 14, 7, tzinfo=UTC)
"""When what has no start of its own was made."""


def moment(milliseconds: int) -> datetime:
    """The moment to the second, as AWS gives it."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC) if milliseconds > 0 else LONG_AGO


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tags_at(estate: Estate, thing: Thing, at: int) -> dict[str, str]:
    """The thing's tags at that moment."""
    tags = thing.tags
    for change in estate.tag_changes:  # few, and in order
        if change.entity == thing.id and change.at <= at:
            tags = change.tags
    return tags


def interface_item(estate: Estate, interface: Interface, at: int) -> Item:
    """As DescribeNetworkInterfaces gives it."""
    subnet = interface.subnet
    held = [h.address for h in interface.holdings if h.since <= at < h.until]
    association = (
        {"Association": {"PublicIp": interface.public_address, "IpOwnerId": interface.account.id}}
        if interface.public_address
        else {}
    )
    item: Item = {
        **association,
        "AvailabilityZone": subnet.zone_name,
        "AvailabilityZoneId": subnet.az_id,
        "Description": interface.description,
        "Groups": [{"GroupId": group, "GroupName": group} for group in interface.groups],
        "InterfaceType": interface.interface_type,
        "Ipv6Addresses": [{"Ipv6Address": interface.address6}] if interface.address6 else [],
        "MacAddress": mac(interface),
        "NetworkInterfaceId": interface.id,
        "OwnerId": interface.account.id,
        "PrivateIpAddress": interface.address,
        "PrivateIpAddresses": [
            {**association, "Primary": True, "PrivateIpAddress": interface.address},
            *({"Primary": False, "PrivateIpAddress": address} for address in held),
        ],
        "RequesterManaged": interface.requester_managed,
        "SourceDestCheck": interface.interface_type not in ("nat_gateway", "transit_gateway"),
        "Status": "in-use",
        "SubnetId": subnet.id,
        "TagSet": tag_list(interface.tags),
        "VpcId": subnet.vpc.id,
    }
    prefixes = [{"Ipv4Prefix": h.address} for h in interface.prefixes if h.since <= at < h.until]
    if prefixes:
        item["Ipv4Prefixes"] = prefixes
    if interface.requester_id:
        item["RequesterId"] = interface.requester_id
    if interface.attachment_id and interface.interface_type != "branch":
        item["Attachment"] = attachment(interface)
    return item


def attachment(interface: Interface) -> Item:
    said: Item = {
        "AttachmentId": interface.attachment_id,
        "DeleteOnTermination": interface.instance_id is not None,
        "DeviceIndex": 1 if interface.description.startswith("aws-K8S") else 0,
        "InstanceOwnerId": interface.attachment_owner,
        "Status": "attached",
    }
    if interface.instance_id:
        said["InstanceId"] = interface.instance_id
        said["AttachTime"] = moment(interface.created)
    elif interface.created > 0:
        said["AttachTime"] = moment(interface.created + 1000)
    return said


def mac(interface: Interface) -> str:
    d = f"{0x0A0000000000 + interface.index * 0x10001:012x}"
    return f"{d[:2]}:{d[2:4]}:{d[4:6]}:{d[6:8]}:{d[8:10]}:{d[10:]}"


def instance_item(estate: Estate, thing: Thing, at: int) -> Item:
    """As DescribeInstances gives it within its reservation; OwnerId is the reservation's."""
    first: Interface = thing.attributes["interface"]
    interfaces = [first, *thing.attributes.get("more", [])]
    return {
        "InstanceId": thing.id,
        "InstanceType": thing.attributes["instance_type"],
        "LaunchTime": moment(thing.created),
        "NetworkInterfaces": [_own_interface(estate, i, at) for i in interfaces],
        "OwnerId": thing.account.id,
        "Placement": {"AvailabilityZone": first.subnet.zone_name},
        "PrivateIpAddress": first.address,
        **({"PublicIpAddress": first.public_address} if first.public_address else {}),
        "SecurityGroups": [{"GroupId": g, "GroupName": g} for g in first.groups],
        "State": {"Code": 16, "Name": "running"},
        "SubnetId": first.subnet.id,
        "Tags": tag_list(tags_at(estate, thing, at)),
        "VpcId": first.subnet.vpc.id,
    }


def _own_interface(estate: Estate, interface: Interface, at: int) -> Item:
    """An interface within its instance's item: without tags and requester."""
    item = interface_item(estate, interface, at)
    for name in ("TagSet", "RequesterId", "RequesterManaged", "AvailabilityZone", "AvailabilityZoneId"):
        item.pop(name, None)
    item["Attachment"] = {k: v for k, v in attachment(interface).items() if k not in ("InstanceId", "InstanceOwnerId")}
    return item
