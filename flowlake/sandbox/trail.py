"""Events as AWS would send them for what happens in a sandbox: CloudTrail's, EC2's and the tagging service's.

    trail = Trail(account_id, clock)
    ec2 = trail.watch(boto3.client("ec2"))      # moto's, or any
    ec2.create_network_interface(...)           # trail.events now holds the EventBridge event of this call

api_call makes the same event without a client, from a call's parameters and its answer in boto3's shape. CloudTrail's
own spelling is imitated with its oddities, because readers must cope with them: sets under items and item, newer calls
wrapped in one key, times as epoch milliseconds in the older calls and as text in the newer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

Event = dict[str, Any]

_READS = ("Describe", "Get", "List", "Search", "Lookup")

_WRAPPED = re.compile(
    r"^(Create|Delete|Modify|Associate|Disassociate|Enable|Disable|Accept|Reject|Replace)"
    r"(NatGateway(Address)?|VpcEndpoints?|FlowLogs|TransitGateway\w*|ManagedPrefixList|SecurityGroupRules)$"
)
"""EC2's newer calls: CloudTrail has them as {"CreateNatGatewayRequest": {...}}."""

_REQUEST_SETS = {
    # boto3's parameter: CloudTrail's name for it, and the key in which each text lies
    "Groups": ("groupSet", "groupId"),
    "SecurityGroupIds": ("groupSet", "groupId"),
    "InstanceIds": ("instancesSet", "instanceId"),
    "PrivateIpAddresses": ("privateIpAddressesSet", "privateIpAddress"),
    "Resources": ("resourcesSet", "resourceId"),
    "Tags": ("tagSet", None),
    "TagSpecifications": ("tagSpecificationSet", None),
}
_ENVELOPES = {
    "privateIpAddressesSet": "item",
    "assignedPrivateIpAddressesSet": "assignedPrivateIpAddressSetType",
}


class Trail:
    """The events of an account's calls, in their order; clock tells each call's time."""

    def __init__(self, account_id: str, clock: Callable[[], datetime]):
        self.account_id = account_id
        self.clock = clock
        self.events: list[Event] = []

    def watch(self, client: Any) -> Any:
        """Records each call of a boto3 client from now on, failed ones too; reading calls leave no event."""
        client.meta.events.register_first("before-parameter-build", _keep_parameters)
        region = client.meta.region_name

        def record(model: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            if model.name.startswith(_READS):
                return
            parameters = context.get("flowlake-parameters") or {}
            self.events.append(
                api_call(
                    model.service_model.service_name,
                    model.name,
                    parameters,
                    parsed,
                    account_id=self.account_id,
                    region=region,
                    at=self.clock(),
                    number=len(self.events),
                )
            )

        client.meta.events.register_last("after-call", record)
        return client


def _keep_parameters(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["flowlake-parameters"] = json.loads(json.dumps(params, default=str))


def api_call(
    service: str,
    operation: str,
    parameters: Mapping[str, Any],
    answer: Mapping[str, Any],
    *,
    account_id: str,
    region: str,
    at: datetime,
    number: int = 0,
) -> Event:
    """The event of one API call. answer is in boto3's shape; with an Error in it the call failed.

    number tells apart calls that are otherwise the same: ids of events are made from all of it.
    """
    model = _service(service)
    shape = model.operation_model(operation)
    date = re.match(r"/(\d{4})-(\d{2})-(\d{2})/", shape.http.get("requestUri", "")) if service == "lambda" else None
    error = answer.get("Error")
    ec2 = service == "ec2"
    wrapped = ec2 and bool(_WRAPPED.match(operation))
    request_id = _id("request", operation, parameters, at, number)
    request: Any = _request(parameters, shape.input_shape, wrapped) if ec2 else _plain(parameters)
    response: Any = None
    if not error and ec2:
        response = {"requestId": request_id, **_response(answer, shape.output_shape, wrapped)}
        if not shape.output_shape or not shape.output_shape.members:
            response["_return"] = True
    elif not error:
        response = _plain({name: value for name, value in answer.items() if name != "ResponseMetadata"}) or None
    if wrapped:
        request = {f"{operation}Request": request}
        response = response and {
            f"{operation}Response": {"xmlns": "http://ec2.amazonaws.com/doc/2016-11-15/", **response}
        }
    detail = {
        "eventVersion": "1.09",
        "userIdentity": {
            "type": "AssumedRole",
            "accountId": account_id,
            "arn": f"arn:aws:sts::{account_id}:assumed-role/ops/s",
        },
        "eventTime": _seconds(at),
        "eventSource": f"{model.endpoint_prefix}.amazonaws.com",
        "eventName": operation + ("".join(date.groups()) if date else ""),
        "awsRegion": region,
        "sourceIPAddress": "192.0.2.10",
        "userAgent": "aws-cli/2",
        "requestParameters": request or None,
        "responseElements": response,
        "requestID": request_id,
        "eventID": _id("event", operation, parameters, at, number),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "apiVersion": model.api_version,
        "managementEvent": True,
        "recipientAccountId": account_id,
        "eventCategory": "Management",
    }
    if error:
        detail["errorCode"] = f"Client.{error.get('Code')}"
        detail["errorMessage"] = str(error.get("Message"))
    return envelope(detail)


def envelope(record: Mapping[str, Any]) -> Event:
    """A CloudTrail record as EventBridge delivers it."""
    account_id = record.get("recipientAccountId") or record["userIdentity"]["accountId"]
    return {
        "version": "0",
        "id": _id("envelope", str(record.get("eventID")), {}, datetime(1970, 1, 1, tzinfo=UTC), 0),
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws." + record["eventSource"].removesuffix(".amazonaws.com"),
        "account": account_id,
        "time": record["eventTime"],
        "region": record["awsRegion"],
        "resources": [],
        "detail": dict(record),
    }


def instance_state(instance_id: str, state: str, *, account_id: str, region: str, at: datetime) -> Event:
    """EC2 Instance State-change Notification."""
    return {
        "version": "0",
        "id": _id("state", instance_id, {"state": state}, at, 0),
        "detail-type": "EC2 Instance State-change Notification",
        "source": "aws.ec2",
        "account": account_id,
        "time": _seconds(at),
        "region": region,
        "resources": [f"arn:aws:ec2:{region}:{account_id}:instance/{instance_id}"],
        "detail": {"instance-id": instance_id, "state": state},
    }


def tag_change(
    arn: str,
    tags: Mapping[str, str],
    changed: Iterable[str],
    *,
    version: int,
    account_id: str,
    region: str,
    at: datetime,
) -> Event:
    """Tag Change on Resource: tags is the whole set after the change, changed the keys that came, changed or went."""
    service, resource = arn.split(":", 5)[2], arn.split(":", 5)[5]
    return {
        "version": "0",
        "id": _id("tags", arn, {"version": version}, at, 0),
        "detail-type": "Tag Change on Resource",
        "source": "aws.tag",
        "account": account_id,
        "time": _seconds(at),
        "region": region,
        "resources": [arn],
        "detail": {
            "changed-tag-keys": sorted(changed),
            "service": service,
            "resource-type": re.split(r"[/:]", resource)[0],
            "version": version,
            "version-timestamp": str(round(at.timestamp() * 1000)),
            "tags": dict(tags),
        },
    }


def sqs_batch(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Events as a Lambda gets them from a queue. A message's id is its place in the batch."""
    return {
        "Records": [
            {
                "messageId": f"message-{i}",
                "receiptHandle": f"receipt-{i}",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:events",
                "awsRegion": "us-east-1",
            }
            for i, event in enumerate(events)
        ]
    }


# ---- CloudTrail's spelling ---------------------------------------------------------------------------------------


@cache
def _service(service: str) -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model(service)


def _id(kind: str, name: str, parameters: Mapping[str, Any], at: datetime, number: int) -> str:
    told = json.dumps([kind, name, parameters, at.isoformat(), number], sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def _seconds(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _request(parameters: Mapping[str, Any], shape: Any, wrapped: bool) -> dict[str, Any]:
    """EC2 parameters: {"items": [...]} in older calls, query names with numbered members in newer ones."""
    request: dict[str, Any] = {}
    for name, value in parameters.items():
        if wrapped:
            member = shape.members[name]
            spelled = member.serialization.get("queryName") or _upper(member.serialization.get("name") or name)
            request[spelled] = _numbered(value) if isinstance(value, list) else value
        elif isinstance(value, list):
            spelled, key = _REQUEST_SETS.get(name, (_lower(name), None))
            items = [{key: member} if key and isinstance(member, str) else _plain(member) for member in value]
            request[spelled] = {"items": items} if items else {}
        elif isinstance(value, dict) and value.keys() == {"Value"}:
            request[_lower(name)] = {"value": value["Value"]}
        else:
            request[_lower(name)] = _plain(value)
    return request


def _upper(name: str) -> str:
    return name[:1].upper() + name[1:]


def _numbered(values: list[Any]) -> Any:
    """[a, b] as newer calls write it: each with its number, and one alone without a list."""
    members = [
        {**value, "tag": i} if isinstance(value, dict) else {"content": value, "tag": i}
        for i, value in enumerate(values, 1)
    ]
    return members[0] if len(members) == 1 else members


def _response(answer: Any, shape: Any, wrapped: bool) -> dict[str, Any]:
    """An EC2 answer under the names that EC2 has on the wire."""
    spelled: dict[str, Any] = {}
    for name, member in shape.members.items() if shape else ():
        if name in answer:
            wire = member.serialization.get("name", _lower(name))
            spelled[wire] = _wire(answer[name], member, wire, wrapped)
    return spelled


def _wire(value: Any, shape: Any, wire: str, wrapped: bool) -> Any:
    if shape.type_name == "list":
        members = [_wire(member, shape.member, "", wrapped) for member in value]
        if wrapped:
            return {"item": members[0] if len(members) == 1 else members} if members else ""
        return {_ENVELOPES.get(wire, "items"): members} if members else {}
    if shape.type_name == "structure":
        return _response(value, shape, wrapped)
    if shape.type_name == "timestamp" and isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if wrapped else round(value.timestamp() * 1000)
    return value


def _plain(value: Any) -> Any:
    """Names with a small first letter, lists as they are, times as text: the services other than EC2."""
    if isinstance(value, Mapping):
        return {_lower(str(name)): _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value
