"""What AWS announces of the estate's lives: EventBridge envelopes, in order of time.

Instances come by RunInstances (which carries their first interfaces) and go by TerminateInstances, their state
changes are notified; tasks' and pods' interfaces come and go by CreateNetworkInterface and DeleteNetworkInterface of
the service that made them; addresses are assigned and unassigned; tags change. What was there long before is
announced by nothing: the sweep has to find it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flowlake.sandbox.describe_interfaces import interface_item, mac, moment, tags_at
from flowlake.sandbox.describe_services import ecs_task
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.identity import digest
from flowlake.sandbox.model import FOREVER, Account, Interface, Thing

Envelope = dict[str, Any]

SHUTTING_DOWN = 25_000
"""Milliseconds from TerminateInstances to the end of the instance's interface."""


@dataclass(frozen=True)
class Event:
    """An envelope, when it happened (epoch milliseconds), and what of the estate it tells of."""

    at: int
    about: str
    envelope: Envelope


def events(estate: Estate, since: int, until: int) -> list[Event]:
    """All events of [since, until), in order."""
    found = [event for event in _all(estate) if since <= event.at < until]
    return sorted(found, key=lambda event: (event.at, event.envelope["id"]))


def _all(estate: Estate) -> Iterator[Event]:
    starts = estate.sizes.starts - 6 * 3_600_000
    for interface in estate.interfaces:
        thing = estate.served.get(interface.index)
        if interface.created > starts:
            yield from _came(estate, interface, thing)
        if interface.deleted < FOREVER:
            yield from _went(estate, interface, thing)
        for holding in interface.holdings:
            if holding.since > starts:
                yield _assigned(estate, interface, holding.address, holding.since, "AssignPrivateIpAddresses")
            if holding.until < FOREVER:
                yield _assigned(estate, interface, holding.address, holding.until, "UnassignPrivateIpAddresses")
    for change in estate.tag_changes:
        yield from _tagged(estate, change.entity, change.account, change.region, change.at, change.before, change.tags)


# -- envelopes


def _envelope(
    estate: Estate, account: Account, region: str, at: int, source: str, type_: str, about: str, detail: Any
) -> Envelope:
    seed = f"{estate.sizes.seed}/{type_}/{about}/{at}"
    return {
        "version": "0",
        "id": str(uuid.UUID(digest(seed, 32))),
        "detail-type": type_,
        "source": source,
        "account": account.id,
        "time": _text(at),
        "region": region,
        "resources": [],
        "detail": detail,
    }


def _call(
    estate: Estate, account: Account, region: str, at: int, service: str, name: str, about: str, request: Any,
    response: Any, by: str,
) -> Event:  # fmt: skip
    detail = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "AWSService", "invokedBy": by, "accountId": account.id},
        "eventTime": _text(at),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": by,
        "userAgent": by,
        "requestParameters": request,
        "responseElements": response,
        "requestID": str(uuid.UUID(digest(f"request/{name}/{about}/{at}", 32))),
        "eventID": str(uuid.UUID(digest(f"{estate.sizes.seed}/{name}/{about}/{at}", 32))),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account.id,
        "eventCategory": "Management",
    }
    envelope = _envelope(
        estate, account, region, at, f"aws.{service}", "AWS API Call via CloudTrail", name + about, detail
    )
    return Event(at, about, envelope)


def _text(at: int) -> str:
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- interfaces


def _came(estate: Estate, interface: Interface, thing: Thing | None) -> Iterator[Event]:
    account, region, at = interface.account, interface.subnet.vpc.region, interface.created
    if thing is not None and thing.kind == "instance":
        yield _call(
            estate, account, region, at, "ec2", "RunInstances", thing.id,
            {"instancesSet": {"items": [{"imageId": "ami-09d3b3274b6c5d4aa", "minCount": 1, "maxCount": 1}]}},
            {"reservationId": f"r-{thing.id[2:]}", "ownerId": account.id, "groupSet": {},
             "instancesSet": {"items": [_instance_tree(estate, thing, interface, at)]}},
            "autoscaling.amazonaws.com",
        )  # fmt: skip
        yield _state(estate, thing, region, at + 1_000, "pending")
        yield _state(estate, thing, region, at + 14_000, "running")
        return
    by = "ecs.amazonaws.com" if interface.kind == "ecs:task" else "eks.amazonaws.com"
    tree = _interface_tree(interface_item(estate, interface, at))
    request = {"subnetId": interface.subnet.id, "description": interface.description}
    yield _call(
        estate,
        account,
        region,
        at,
        "ec2",
        "CreateNetworkInterface",
        interface.id,
        request,
        {"networkInterface": tree},
        by,
    )
    if thing is not None and thing.kind == "ecs_task":
        yield _task(estate, thing, region, at + 6_000, "RUNNING")


def _went(estate: Estate, interface: Interface, thing: Thing | None) -> Iterator[Event]:
    account, region, at = interface.account, interface.subnet.vpc.region, interface.deleted
    if thing is not None and thing.kind == "instance":
        state = {
            "instanceId": thing.id,
            "currentState": {"code": 32, "name": "shutting-down"},
            "previousState": {"code": 16, "name": "running"},
        }
        asked = max(at - SHUTTING_DOWN, interface.created + 15_000)
        yield _call(
            estate, account, region, asked, "ec2", "TerminateInstances", thing.id,
            {"instancesSet": {"items": [{"instanceId": thing.id}]}}, {"instancesSet": {"items": [state]}},
            "autoscaling.amazonaws.com",
        )  # fmt: skip
        yield _state(estate, thing, region, asked + 500, "shutting-down")
        yield _state(estate, thing, region, at, "terminated")
        return
    by = "ecs.amazonaws.com" if interface.kind == "ecs:task" else "eks.amazonaws.com"
    request = {"networkInterfaceId": interface.id}
    yield _call(
        estate, account, region, at, "ec2", "DeleteNetworkInterface", interface.id, request, {"_return": True}, by
    )
    if thing is not None and thing.kind == "ecs_task":
        yield _task(estate, thing, region, at, "STOPPED")


def _state(estate: Estate, thing: Thing, region: str, at: int, state: str) -> Event:
    envelope = _envelope(
        estate, thing.account, region, at, "aws.ec2", "EC2 Instance State-change Notification", thing.id + state,
        {"instance-id": thing.id, "state": state},
    )  # fmt: skip
    envelope["resources"] = [f"arn:aws:ec2:{region}:{thing.account.id}:instance/{thing.id}"]
    return Event(at, thing.id, envelope)


def _task(estate: Estate, thing: Thing, region: str, at: int, status: str) -> Event:
    detail = ecs_task(thing)
    detail["createdAt"] = _text(thing.created)
    detail["lastStatus"] = detail["desiredStatus"] = status
    for attachment in detail["attachments"]:
        attachment["type"] = "eni"
        attachment["status"] = "ATTACHED" if status == "RUNNING" else "DELETED"
    envelope = _envelope(
        estate, thing.account, region, at, "aws.ecs", "ECS Task State Change", thing.id + status, detail
    )
    envelope["resources"] = [thing.id]
    return Event(at, thing.id, envelope)


def _assigned(estate: Estate, interface: Interface, address: str, at: int, name: str) -> Event:
    request: Any = {
        "networkInterfaceId": interface.id,
        "privateIpAddressesSet": {"item": [{"privateIpAddress": address}]},
    }
    if name.startswith("Assign"):
        request["allowReassignment"] = False
        response: Any = {
            "networkInterfaceId": interface.id,
            "assignedPrivateIpAddressesSet": {"assignedPrivateIpAddressSetType": [{"privateIpAddress": address}]},
            "_return": True,
        }
    else:
        response = {"_return": True}
    return _call(
        estate, interface.account, interface.subnet.vpc.region, at, "ec2", name, f"{interface.id}/{address}", request,
        response, "eks.amazonaws.com",
    )  # fmt: skip


def _tagged(
    estate: Estate, entity: str, account: Account, region: str, at: int, before: dict[str, str], after: dict[str, str]
) -> Iterator[Event]:
    changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
    request = {
        "resourcesSet": {"items": [{"resourceId": entity}]},
        "tagSet": {"items": [{"key": k, "value": after[k]} for k in changed if k in after]},
    }
    yield _call(
        estate, account, region, at, "ec2", "CreateTags", entity, request, {"_return": True}, "console.amazonaws.com"
    )
    detail = {
        "changed-tag-keys": changed, "service": "ec2", "resource-type": "instance", "version": 2, "tags": after,
        "version-timestamp": at,
    }  # fmt: skip
    envelope = _envelope(estate, account, region, at, "aws.tag", "Tag Change on Resource", entity, detail)
    envelope["resources"] = [f"arn:aws:ec2:{region}:{account.id}:instance/{entity}"]
    yield Event(at, entity, envelope)


# -- trees as CloudTrail writes them


def _interface_tree(item: dict[str, Any]) -> dict[str, Any]:
    tree = {
        "networkInterfaceId": item["NetworkInterfaceId"],
        "subnetId": item["SubnetId"],
        "vpcId": item["VpcId"],
        "availabilityZone": item["AvailabilityZone"],
        "description": item["Description"],
        "ownerId": item["OwnerId"],
        "requesterManaged": item["RequesterManaged"],
        "status": "pending",
        "macAddress": item["MacAddress"],
        "privateIpAddress": item["PrivateIpAddress"],
        "sourceDestCheck": item["SourceDestCheck"],
        "interfaceType": item["InterfaceType"],
        "groupSet": _set(item["Groups"], "GroupId", "GroupName"),
        "privateIpAddressesSet": {
            "item": [
                {"privateIpAddress": a["PrivateIpAddress"], "primary": a["Primary"]} for a in item["PrivateIpAddresses"]
            ]
        },
        "ipv6AddressesSet": {},
        "tagSet": _set(item["TagSet"], "Key", "Value"),
    }
    if "RequesterId" in item:
        tree["requesterId"] = item["RequesterId"]
    return tree


def _set(members: list[dict[str, str]], *names: str) -> dict[str, Any]:
    if not members:
        return {}
    return {"items": [{name[0].lower() + name[1:]: m[name] for name in names} for m in members]}


def _instance_tree(estate: Estate, thing: Thing, interface: Interface, at: int) -> dict[str, Any]:
    subnet = interface.subnet
    tags = [{"key": k, "value": v} for k, v in sorted(tags_at(estate, thing, at).items())]
    groups = {"items": [{"groupId": g, "groupName": g} for g in interface.groups]}
    started = int(moment(at).timestamp() * 1000)
    own = {
        "networkInterfaceId": interface.id,
        "subnetId": subnet.id,
        "vpcId": subnet.vpc.id,
        "ownerId": interface.account.id,
        "description": interface.description,
        "status": "in-use",
        "macAddress": mac(interface),
        "privateIpAddress": interface.address,
        "sourceDestCheck": True,
        "interfaceType": "interface",
        "groupSet": groups,
        "attachment": {
            "attachmentId": interface.attachment_id, "deviceIndex": 0, "networkCardIndex": 0, "status": "attaching",
            "attachTime": started, "deleteOnTermination": True,
        },
        "privateIpAddressesSet": {"item": [{"privateIpAddress": interface.address, "primary": True}]},
        "ipv6AddressesSet": {"item": [{"ipv6Address": interface.address6}]} if interface.address6 else {},
        "tagSet": {},
    }  # fmt: skip
    return {
        "instanceId": thing.id,
        "imageId": "ami-09d3b3274b6c5d4aa",
        "instanceState": {"code": 0, "name": "pending"},
        "instanceType": thing.attributes["instance_type"],
        "launchTime": started,
        "placement": {"availabilityZone": subnet.zone_name, "tenancy": "default"},
        "subnetId": subnet.id,
        "vpcId": subnet.vpc.id,
        "privateIpAddress": interface.address,
        "tagSet": {"items": tags},
        "groupSet": groups,
        "sourceDestCheck": True,
        "networkInterfaceSet": {"items": [own]},
    }
