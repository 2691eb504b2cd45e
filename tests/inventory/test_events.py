"""What events say: own small events in CloudTrail's spelling, and the real ones of the samples."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from flowlake.inventory.calls import Ignored, Rejected, Want
from flowlake.inventory.events import read
from flowlake.sandbox.trail import api_call, envelope, instance_state, tag_change
from tests.samples import sample

ACCOUNT, REGION = "111122223333", "eu-central-1"
AT = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)
NOW = AT + timedelta(minutes=1)
ENI, OTHER_ENI = "eni-0aaaaaaaaaaaaaaa1", "eni-0aaaaaaaaaaaaaaa2"
INSTANCE = "i-0bbbbbbbbbbbbbbb1"
BESIDE = {"observed_at", "recorded_at", "source", "source_name", "source_id", "account_id", "region"}


def call(name, request=None, response=None, service="ec2", **detail):
    """An API call's event with these trees, as they stand in CloudTrail."""
    record = {
        "eventVersion": "1.08",
        "userIdentity": {"type": "IAMUser", "accountId": ACCOUNT},
        "eventTime": "2026-01-01T10:00:00Z",
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "requestParameters": request,
        "responseElements": response,
        "eventID": f"id-of-{name}",
        "recipientAccountId": ACCOUNT,
        **detail,
    }
    return envelope(record)


def reading(event):
    return read(event, NOW)


def said(event):
    """The rows without what all rows of an event have in common."""
    return [{name: value for name, value in row.items() if name not in BESIDE} for row in reading(event).rows]


def wanted(event):
    return [(want.kind, want.value) for want in reading(event).wants]


def reason(event, kind=Rejected):
    with pytest.raises(kind) as caught:
        reading(event)
    return caught.value.reason


# ---- interfaces ----

CREATED = {
    "requestId": "r",
    "networkInterface": {
        "networkInterfaceId": ENI,
        "subnetId": "subnet-1",
        "vpcId": "vpc-1",
        "availabilityZone": "eu-central-1a",
        "description": "mine",
        "ownerId": ACCOUNT,
        "requesterManaged": "false",
        "status": "pending",
        "privateIpAddress": "10.0.0.5",
        "groupSet": {"items": [{"groupId": "sg-1", "groupName": "web"}]},
        "privateIpAddressesSet": {
            "item": [
                {"privateIpAddress": "10.0.0.6", "primary": False},
                {"privateIpAddress": "10.0.0.5", "primary": True},
            ]
        },
        "ipv6AddressesSet": {},
        "ipv4PrefixSet": {"items": [{"ipv4Prefix": "10.0.0.16/28"}]},
        "tagSet": {"items": [{"key": "owner", "value": "data"}]},
    },
}


def test_a_created_interface_is_whole_at_the_calls_own_time():
    event = call("CreateNetworkInterface", {"subnetId": "subnet-1"}, CREATED)
    row = reading(event).rows[0]
    assert (row["observed_at"], row["recorded_at"]) == ("2026-01-01 10:00:00.000", "2026-01-01 10:01:00.000")
    assert (row["source"], row["source_name"], row["source_id"]) == (
        "event",
        "CreateNetworkInterface",
        "id-of-CreateNetworkInterface",
    )
    assert said(event) == [
        {
            "kind": "interface",
            "state": "present",
            "entity_id": ENI,
            "vpc_id": "vpc-1",
            "subnet_id": "subnet-1",
            "availability_zone": "eu-central-1a",
            "created_at": "2026-01-01 10:00:00.000",
            "addresses": ["10.0.0.5", "10.0.0.6"],
            "prefixes": ["10.0.0.16/28"],
            "public_addresses": [],
            "description": "mine",
            "requester_managed": False,
            "attachment_id": "",
            "instance_id": "",
            "security_group_ids": ["sg-1"],
            "tags": {"owner": "data"},
            "detail": '{"status":"pending"}',
        }
    ]
    assert wanted(event) == []


def test_an_attached_interface_is_fetched_because_attaching_tells_no_address():
    event = call(
        "AttachNetworkInterface",
        {"networkInterfaceId": ENI, "instanceId": INSTANCE, "deviceIndex": 1},
        {"requestId": "r", "attachmentId": "eni-attach-0ccccccccccccccc1"},
    )
    assert said(event) == [
        {
            "kind": "interface",
            "state": "partial",
            "entity_id": ENI,
            "instance_id": INSTANCE,
            "attachment_id": "eni-attach-0ccccccccccccccc1",
        }
    ]
    assert reading(event).wants == (Want(ACCOUNT, REGION, "interface", ENI),)


def test_detaching_names_the_attachment_only():
    event = call(
        "DetachNetworkInterface",
        {"attachmentId": "eni-attach-0ccccccccccccccc1", "force": False},
        {"requestId": "r", "_return": True},
    )
    assert said(event) == [{"kind": "attachment", "state": "absent", "entity_id": "eni-attach-0ccccccccccccccc1"}]


def test_a_deleted_interface_is_absent_from_the_call_on():
    event = call("DeleteNetworkInterface", {"networkInterfaceId": ENI}, {"requestId": "r", "_return": True})
    assert said(event) == [{"kind": "interface", "state": "absent", "entity_id": ENI}]


@pytest.mark.parametrize(
    ("request_parameters", "columns"),
    [
        ({"groupSet": {"items": [{"groupId": "sg-0aaaaaaaa"}, {"groupId": "sg-0bbbbbbbb"}]}},
         {"security_group_ids": ["sg-0aaaaaaaa", "sg-0bbbbbbbb"]}),
        ({"description": {"value": "new"}}, {"description": "new"}),
        ({"description": "new"}, {"description": "new"}),
        ({"sourceDestCheck": {"value": False}}, {"detail": '{"source_dest_check":false}'}),
        ({"attachment": {"attachmentId": "eni-attach-1", "deleteOnTermination": True}},
         {"detail": '{"delete_on_termination":true}'}),
    ],
)  # fmt: skip
def test_modifying_an_interface_says_only_what_it_set(request_parameters, columns):
    event = call(
        "ModifyNetworkInterfaceAttribute", {"networkInterfaceId": ENI, **request_parameters}, {"_return": True}
    )
    assert said(event) == [{"kind": "interface", "state": "partial", "entity_id": ENI, **columns}]


@pytest.mark.parametrize(
    ("name", "request_parameters", "response", "columns"),
    [
        ("AssignPrivateIpAddresses", {"secondaryPrivateIpAddressCount": 1},
         {"assignedPrivateIpAddressesSet": {"assignedPrivateIpAddressSetType": [{"privateIpAddress": "10.0.0.9"}]}},
         {"addresses_added": ["10.0.0.9"]}),
        ("AssignPrivateIpAddresses", {"ipv4PrefixCount": 1},
         {"assignedIpv4PrefixSet": {"items": [{"ipv4Prefix": "10.0.0.32/28"}]}}, {"addresses_added": ["10.0.0.32/28"]}),
        ("AssignPrivateIpAddresses", {"privateIpAddressesSet": {"items": [{"privateIpAddress": "10.0.0.9"}]}},
         {"_return": True}, {"addresses_added": ["10.0.0.9"]}),
        ("UnassignPrivateIpAddresses", {"privateIpAddressesSet": {"items": [{"privateIpAddress": "10.0.0.9"}]}},
         {"_return": True}, {"addresses_removed": ["10.0.0.9"]}),
        ("UnassignPrivateIpAddresses", {"ipv4PrefixSet": {"items": ["10.0.0.32/28"]}},
         {"_return": True}, {"addresses_removed": ["10.0.0.32/28"]}),
        ("AssignIpv6Addresses", {"ipv6AddressCount": 1},
         {"AssignIpv6AddressesResponse": {"networkInterfaceId": ENI, "assignedIpv6Addresses": {"item": "2001:db8::5"}}},
         {"addresses_added": ["2001:db8::5"]}),
        ("UnassignIpv6Addresses", {"ipv6Addresses": {"items": ["2001:DB8:0:0::5"]}},
         {"unassignedIpv6Addresses": {"items": ["2001:db8::5"]}}, {"addresses_removed": ["2001:db8::5"]}),
    ],
)  # fmt: skip
def test_addresses_come_and_go_as_deltas(name, request_parameters, response, columns):
    event = call(name, {"networkInterfaceId": ENI, **request_parameters}, response)
    assert said(event) == [{"kind": "interface", "state": "partial", "entity_id": ENI, **columns}]
    assert wanted(event) == []


def test_a_count_without_the_addresses_has_to_be_fetched():
    event = call(
        "AssignPrivateIpAddresses", {"networkInterfaceId": ENI, "secondaryPrivateIpAddressCount": 1}, {"_return": True}
    )
    assert (said(event), wanted(event)) == ([], [("interface", ENI)])


def test_elastic_addresses():
    by_interface = call(
        "AssociateAddress",
        {"allocationId": "eipalloc-0dddddddddddddddd", "networkInterfaceId": ENI},
        {"associationId": "eipassoc-1"},
    )
    by_instance = call("AssociateAddress", {"publicIp": "198.51.100.7", "instanceId": INSTANCE}, {"_return": True})
    gone = call("DisassociateAddress", {"associationId": "eipassoc-1"}, {"_return": True})
    released = call("ReleaseAddress", {"allocationId": "eipalloc-0dddddddddddddddd"}, {"_return": True})
    assert wanted(by_interface) == [("interface", ENI), ("elastic_ip", "eipalloc-0dddddddddddddddd")]
    assert reading(by_instance).wants == (Want(ACCOUNT, REGION, "interface", INSTANCE, by="instance"),)
    assert wanted(gone) == [("elastic_ip", "*")]
    assert said(released) == [{"kind": "elastic_ip", "state": "absent", "entity_id": "eipalloc-0dddddddddddddddd"}]


# ---- instances ----


def run(interface=None, **instance):
    item = {
        "instanceId": INSTANCE,
        "instanceState": {"code": 0, "name": "pending"},
        "instanceType": "t3.micro",
        "launchTime": 1767261600000,  # 2026-01-01T10:00:00Z
        "placement": {"availabilityZone": "eu-central-1a"},
        "subnetId": "subnet-1",
        "vpcId": "vpc-1",
        "privateIpAddress": "10.0.0.5",
        "groupSet": {"items": [{"groupId": "sg-1"}]},
        "tagSet": {"items": [{"key": "Name", "value": "web"}]},
        "networkInterfaceSet": {
            "items": [
                {
                    "networkInterfaceId": ENI,
                    "subnetId": "subnet-1",
                    "vpcId": "vpc-1",
                    "ownerId": ACCOUNT,
                    "status": "in-use",
                    "privateIpAddress": "10.0.0.5",
                    "interfaceType": "interface",
                    "groupSet": {"items": [{"groupId": "sg-1"}]},
                    "attachment": {
                        "attachmentId": "eni-attach-1",
                        "attachTime": 1767261600000,
                        "deleteOnTermination": True,
                    },
                    "privateIpAddressesSet": {"item": [{"privateIpAddress": "10.0.0.5", "primary": True}]},
                    "ipv6AddressesSet": {},
                    "tagSet": {},
                    **(interface or {}),
                }
            ]
        },
        **instance,
    }
    return call("RunInstances", {}, {"ownerId": ACCOUNT, "groupSet": {}, "instancesSet": {"items": [item]}})


def test_first_interfaces_are_only_in_run_instances():
    instance, interface = said(run())
    assert instance == {
        "kind": "instance",
        "state": "partial",
        "entity_id": INSTANCE,
        "arn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{INSTANCE}",
        "vpc_id": "vpc-1",
        "subnet_id": "subnet-1",
        "availability_zone": "eu-central-1a",
        "interface_ids": [ENI],
        "addresses": ["10.0.0.5"],
        "created_at": "2026-01-01 10:00:00.000",
        "security_group_ids": ["sg-1"],
        "tags": {"Name": "web"},
        "detail": '{"instance_type":"t3.micro","state":"pending"}',
    }
    assert interface == {
        "kind": "interface",
        "state": "partial",  # its public address and tags are not in the event, and may be there
        "entity_id": ENI,
        "vpc_id": "vpc-1",
        "subnet_id": "subnet-1",
        "availability_zone": "eu-central-1a",
        "addresses": ["10.0.0.5"],
        "prefixes": [],
        "interface_type": "interface",
        "attachment_id": "eni-attach-1",
        "attached_at": "2026-01-01 10:00:00.000",
        "created_at": "2026-01-01 10:00:00.000",
        "instance_id": INSTANCE,
        "instance_owner_id": ACCOUNT,
        "security_group_ids": ["sg-1"],
        "detail": '{"delete_on_termination":true,"status":"in-use"}',
    }
    assert wanted(run()) == [("interface", ENI)]


def test_an_interface_that_outlives_its_instance_may_have_been_there_before_it():
    kept = {"attachment": {"attachmentId": "eni-attach-1", "deleteOnTermination": False}}
    _, interface = said(run(interface=kept))
    assert "created_at" not in interface


def test_someone_elses_interface_is_not_believed():
    assert reason(run(interface={"ownerId": "999988887777"})) == "foreign_account"
    foreign = {**CREATED, "networkInterface": {**CREATED["networkInterface"], "ownerId": "999988887777"}}
    assert reason(call("CreateNetworkInterface", {}, foreign)) == "foreign_account"
    deleted = call("DeleteNetworkInterface", {"networkInterfaceId": ENI}, {"_return": True})
    deleted["detail"]["recipientAccountId"] = "999988887777"
    assert reason(deleted) == "foreign_account"


@pytest.mark.parametrize(
    ("state", "row_state"), [("shutting-down", "partial"), ("stopping", "partial"), ("terminated", "absent")]
)
def test_terminating_is_no_release_terminated_is(state, row_state):
    response = {"instancesSet": {"items": [{"instanceId": INSTANCE, "currentState": {"code": 1, "name": state}}]}}
    rows = said(call("TerminateInstances", {"instancesSet": {"items": [{"instanceId": INSTANCE}]}}, response))
    assert [(row["kind"], row["state"], row["detail"]) for row in rows] == [
        ("instance", row_state, json.dumps({"state": state}, separators=(",", ":")))
    ]


@pytest.mark.parametrize(
    ("state", "row_state", "wants"),
    [
        ("pending", "partial", ()),
        ("running", "partial", (("instance", "id"), ("interface", "instance"))),
        ("stopped", "partial", (("interface", "instance"),)),
        ("shutting-down", "partial", ()),
        ("terminated", "absent", ()),
    ],
)
def test_state_changes(state, row_state, wants):
    read_ = reading(instance_state(INSTANCE, state, account_id=ACCOUNT, region=REGION, at=AT))
    assert [(row["entity_id"], row["state"]) for row in read_.rows] == [(INSTANCE, row_state)]
    assert [(want.kind, want.by) for want in read_.wants] == list(wants)


# ---- tags ----


@pytest.mark.parametrize("version", [3, 3.0, "3.0", "3"])
def test_a_tag_change_is_the_whole_set(version):
    event = tag_change(
        f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{INSTANCE}",
        {"Name": "web", "empty": ""},
        ["Name", "gone"],
        version=3,
        account_id=ACCOUNT,
        region=REGION,
        at=AT + timedelta(milliseconds=640),
    )
    event["detail"]["version"] = version
    assert said(event) == [
        {
            "kind": "tags",
            "state": "present",
            "entity_id": INSTANCE,
            "arn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{INSTANCE}",
            "tags": {"Name": "web", "empty": ""},
            "detail": '{"version":3}',
        }
    ]
    assert event["time"] == "2026-01-01T10:00:00Z"
    assert reading(event).rows[0]["observed_at"] == "2026-01-01 10:00:00.640"  # by version-timestamp


def tags_call(name, tags):
    request = {"resourcesSet": {"items": [{"resourceId": ENI}, {"resourceId": INSTANCE}]}}
    return call(name, {**request, **({"tagSet": {"items": tags}} if tags else {})}, {"_return": True})


def test_created_tags_are_a_delta():
    event = tags_call("CreateTags", [{"key": "owner", "value": "data"}, {"key": "empty"}])
    delta = {"kind": "tags", "state": "partial", "tags": {"owner": "data", "empty": ""}}
    assert said(event) == [{**delta, "entity_id": ENI}, {**delta, "entity_id": INSTANCE}]


def test_deleted_tags_are_a_delta_unless_a_value_decides():
    without_value = tags_call("DeleteTags", [{"key": "owner"}])
    with_value = tags_call("DeleteTags", [{"key": "owner", "value": "data"}])
    all_tags = tags_call("DeleteTags", [])
    assert [row["tags_removed"] for row in said(without_value)] == [["owner"], ["owner"]]
    assert wanted(without_value) == []
    for event in (with_value, all_tags):
        assert (said(event), wanted(event)) == ([], [("tags", ENI), ("tags", INSTANCE)])


def test_only_the_tags_that_a_setting_names_are_kept():
    event = tags_call("CreateTags", [{"key": "owner", "value": "data"}, {"key": "secret", "value": "x"}])
    assert [row["tags"] for row in read(event, NOW, frozenset({"owner"})).rows] == [{"owner": "data"}] * 2
    with pytest.raises(Ignored, match="tags_not_kept"):
        read(tags_call("CreateTags", [{"key": "secret", "value": "x"}]), NOW, frozenset({"owner"}))


# ---- the network's plan and what is built on it ----

LB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/web/0123456789abcdef"
TG = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/web/fedcba9876543210"
RTB, NAT, VPCE, PCX = "rtb-0aaaaaaaa", "nat-0aaaaaaaaaaaaaaaa", "vpce-0aaaaaaaaaaaaaaaa", "pcx-0aaaaaaaaaaaaaaaa"
TGW, TGW_RTB = "tgw-attach-0aaaaaaaaaaaaaaaa", "tgw-rtb-0aaaaaaaaaaaaaaaa"
XMLNS = "http://ec2.amazonaws.com/doc/2016-11-15/"


@pytest.mark.parametrize(
    ("event", "wants"),
    [
        (call("CreateRoute", {"routeTableId": RTB, "destinationCidrBlock": "0.0.0.0/0", "natGatewayId": NAT},
              {"_return": True}), [("route_table", RTB)]),
        (call("DisassociateRouteTable", {"associationId": "rtbassoc-1"}, {"_return": True}), [("route_table", "*")]),
        (call("AssociateVpcCidrBlock", {"vpcId": "vpc-0aaaaaaaa", "cidrBlock": "10.1.0.0/16"},
              {"vpcId": "vpc-0aaaaaaaa"}), [("vpc", "vpc-0aaaaaaaa")]),
        (call("CreateNatGateway", {"CreateNatGatewayRequest": {"SubnetId": "subnet-0aaaaaaaa"}},
              {"CreateNatGatewayResponse": {"xmlns": XMLNS, "natGateway": {
                  "natGatewayId": NAT, "subnetId": "subnet-0aaaaaaaa",
                  "natGatewayAddressSet": {"item": {"allocationId": "eipalloc-1"}}}}}), [("nat_gateway", NAT)]),
        (call("DeleteVpcEndpoints", {"DeleteVpcEndpointsRequest": {"VpcEndpointId": {"tag": 1, "content": VPCE}}},
              {"DeleteVpcEndpointsResponse": {"unsuccessful": ""}}), [("vpc_endpoint", VPCE), ("route_table", "*")]),
        # A gateway endpoint is a route in its tables: those change with it.
        (call("CreateVpcEndpoint",
              {"CreateVpcEndpointRequest": {"VpcId": "vpc-0aaaaaaaa", "RouteTableId": {"tag": 1, "content": RTB}}},
              {"CreateVpcEndpointResponse": {"vpcEndpoint": {
                  "vpcEndpointId": VPCE, "vpcEndpointType": "Gateway", "routeTableIdSet": {"item": RTB}}}}),
         [("vpc_endpoint", VPCE), ("route_table", RTB)]),
        (call("ModifyVpcEndpoint",
              {"ModifyVpcEndpointRequest": {"VpcEndpointId": VPCE, "RemoveRouteTableId": {"tag": 1, "content": RTB}}},
              {"ModifyVpcEndpointResponse": {"return": True}}), [("vpc_endpoint", VPCE), ("route_table", RTB)]),
        (call("ModifySubnetAttribute", {"subnetId": "subnet-0aaaaaaaa", "mapPublicIpOnLaunch": {"value": True}},
              {"_return": True}), [("subnet", "subnet-0aaaaaaaa")]),
        (call("ReplaceRouteTableAssociation", {"associationId": "rtbassoc-1", "routeTableId": RTB},
              {"newAssociationId": "rtbassoc-2"}), [("route_table", "*")]),
        (call("CreateVpnConnection",
              {"CreateVpnConnectionRequest": {"CustomerGatewayId": "cgw-1", "TransitGatewayId": "tgw-1"}},
              {"CreateVpnConnectionResponse": {"vpnConnection": {"vpnConnectionId": "vpn-1"}}}),
         [("transit_gateway_attachment", "*")]),
        (call("CreateVpnConnectionRoute", {"destinationCidrBlock": "172.31.0.0/16", "vpnConnectionId": "vpn-1"},
              {"_return": True}), [("route_table", "*")]),
        (call("DeleteDirectConnectGatewayAssociation", {"associationId": "1-2-3"},
              {"directConnectGatewayAssociation": {"associationState": "disassociating"}}, "directconnect"),
         [("transit_gateway_attachment", "*"), ("route_table", "*")]),
        (call("ModifySecurityGroupRules",
              {"ModifySecurityGroupRulesRequest": {"GroupId": "sg-0aaaaaaaa", "SecurityGroupRule": {
                  "tag": 1, "SecurityGroupRuleId": "sgr-1"}}}, {"ModifySecurityGroupRulesResponse": {"return": True}}),
         [("security_group", "sg-0aaaaaaaa")]),
        (call("AcceptVpcPeeringConnection", {"vpcPeeringConnectionId": PCX},
              {"vpcPeeringConnection": {
                  "vpcPeeringConnectionId": PCX, "requesterVpcInfo": {"ownerId": "999988887777"}}}),
         [("peering", PCX)]),
        (call("AssociateTransitGatewayRouteTable",
              {"AssociateTransitGatewayRouteTableRequest": {
                  "TransitGatewayAttachmentId": TGW, "TransitGatewayRouteTableId": TGW_RTB}}, {}),
         [("transit_gateway_attachment", TGW), ("transit_gateway_route_table", TGW_RTB)]),
        (call("AuthorizeSecurityGroupIngress",
              {"groupId": "sg-0aaaaaaaa", "ipPermissions": {"items": [
                  {"groups": {"items": [{"groupId": "sg-0bbbbbbbb", "userId": "999988887777"}]}}]}}, {"_return": True}),
         [("security_group", "sg-0aaaaaaaa")]),
        (call("CreateFlowLogs", {"CreateFlowLogsRequest": {"ResourceId": {"tag": 1, "content": "vpc-0aaaaaaaa"}}},
              {"CreateFlowLogsResponse": {"flowLogIdSet": {"item": "fl-0aaaaaaaa"}, "unsuccessful": ""}}),
         [("flow_log", "fl-0aaaaaaaa")]),
        (call("CreateLoadBalancer", {"name": "web"}, {"loadBalancers": [{"loadBalancerArn": LB}]},
              "elasticloadbalancing"), [("load_balancer", LB)]),
        (call("DeleteListener", {"listenerArn": LB.replace("loadbalancer/", "listener/") + "/1122334455667788"},
              None, "elasticloadbalancing"), [("load_balancer", LB)]),
        (call("RegisterTargets", {"targetGroupArn": TG, "targets": [{"id": INSTANCE}]}, None,
              "elasticloadbalancing"), [("target_group", TG)]),
        (call("CreateLoadBalancerListeners", {"loadBalancerName": "old", "listeners": [{"loadBalancerPort": 443}]},
              None, "elasticloadbalancing"), [("load_balancer", "old")]),
        (call("DeleteDBInstance", {"dBInstanceIdentifier": "Orders"}, {"dBInstanceIdentifier": "orders"}, "rds"),
         [("db_instance", "orders")]),
        (call("RebootDBInstance", {"dBInstanceIdentifier": "orders", "forceFailover": True},
              {"dBInstanceIdentifier": "orders"}, "rds"), [("db_instance", "orders")]),
        (call("CreateDBProxy", {"dBProxyName": "front"}, {"dBProxy": {"dBProxyName": "front"}}, "rds"),
         [("db_proxy", "front")]),
        (call("SwitchoverBlueGreenDeployment", {"blueGreenDeploymentIdentifier": "bgd-1"}, {}, "rds"),
         [("db_instance", "*"), ("db_cluster", "*")]),
        (call("CreateServerlessCache", {"serverlessCacheName": "sessions"},
              {"serverlessCache": {"serverlessCacheName": "sessions", "status": "creating"}}, "elasticache"),
         [("cache", "*")]),
        (call("UpdateFunctionConfiguration20150331v2", {"functionName": "resize"},
              {"functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resize"}, "lambda"),
         [("function", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resize")]),
        (call("CreateCluster", {"name": "prod"}, {"cluster": {"name": "prod", "status": "CREATING"}}, "eks"),
         [("eks_cluster", "prod")]),
        (call("AddTagsToResource", {"resourceName": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders",
                                    "tags": [{"key": "owner", "value": "x"}]}, None, "rds"),
         [("tags", f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders")]),
        (call("CreateService", {"cluster": "c", "serviceName": "web",
              "tags": [{"key": "by", "value": "arn:aws:ecs:eu-central-1:999988887777:service/c/ci"}]},
              {"service": {"serviceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/c/web"}}, "ecs"),
         [("ecs_service", f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/c/web")]),
        (call("DeleteMountTarget", {"mountTargetId": "fsmt-1"}, None, "elasticfilesystem"), [("file_system", "*")]),
        (call("ModifyMountTargetSecurityGroups", {"mountTargetId": "fsmt-1", "securityGroups": ["sg-0aaaaaaaa"]}, None,
              "elasticfilesystem"), [("file_system", "*")]),
    ],
    ids=lambda value: value["detail"]["eventName"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_a_call_changed_is_fetched(event, wants):
    assert (said(event), wanted(event)) == ([], wants)


@pytest.mark.parametrize(
    ("event", "gone"),
    [
        (call("DeleteSubnet", {"subnetId": "subnet-0aaaaaaaa"}, {"_return": True}), ("subnet", "subnet-0aaaaaaaa")),
        (call("DeleteVpc", {"vpcId": "vpc-0aaaaaaaa"}, {"_return": True}), ("vpc", "vpc-0aaaaaaaa")),
        (call("DeleteRouteTable", {"routeTableId": RTB}, {"_return": True}), ("route_table", RTB)),
        (call("DeleteSecurityGroup", {"groupId": "sg-0aaaaaaaa"}, {"_return": True}),
         ("security_group", "sg-0aaaaaaaa")),
        (call("DeleteFlowLogs", {"DeleteFlowLogsRequest": {"FlowLogId": [
            {"tag": 1, "content": "fl-0aaaaaaaa"}, {"tag": 2, "content": "fl-0bbbbbbbb"}]}},
              {"DeleteFlowLogsResponse": {"unsuccessful": {"item": {"resourceId": "fl-0bbbbbbbb"}}}}),
         ("flow_log", "fl-0aaaaaaaa")),
        (call("DeleteLoadBalancer", {"loadBalancerArn": LB}, None, "elasticloadbalancing"), ("load_balancer", LB)),
        (call("DeleteLoadBalancer", {"loadBalancerName": "old"}, None, "elasticloadbalancing"),
         ("load_balancer", f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/old")),
        (call("DeleteFunction20150331", {"functionName": "resize"}, None, "lambda"),
         ("function", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resize")),
        (call("DeleteFileSystem", {"fileSystemId": "fs-0aaaaaaaa"}, None, "elasticfilesystem"),
         ("file_system", "fs-0aaaaaaaa")),
    ],
    ids=lambda value: value["detail"]["eventName"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_a_call_deletes_at_once_is_absent(event, gone):
    assert [(row["kind"], row["entity_id"], row["state"]) for row in said(event)] == [(*gone, "absent")]
    assert wanted(event) == []


FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders"
"""Lambda takes its name, it whole, or its end from the account on."""


@pytest.mark.parametrize("version", ["3", "blue", "$LATEST"])
@pytest.mark.parametrize("given", ["orders", f"{ACCOUNT}:function:orders", FUNCTION])
def test_a_version_of_a_function_is_not_the_function(given, version):
    behind = call("DeleteFunction20150331", {"functionName": f"{given}:{version}"}, None, "lambda")
    beside = call("DeleteFunction20150331", {"functionName": given, "qualifier": version}, None, "lambda")
    assert [reason(event, Ignored) for event in (behind, beside)] == ["not_needed"] * 2
    whole = call("DeleteFunction20150331", {"functionName": given}, None, "lambda")
    assert [(row["entity_id"], row["arn"], row["state"]) for row in said(whole)] == [(FUNCTION, FUNCTION, "absent")]


@pytest.mark.parametrize("given", ["999988887777:function:orders", FUNCTION.replace(ACCOUNT, "999988887777")])
def test_a_function_of_another_account_is_not_believed(given):
    assert reason(call("DeleteFunction20150331", {"functionName": given}, None, "lambda")) == "foreign_account"


@pytest.mark.parametrize("answer", [{"functionArn": f"{FUNCTION}:4", "version": "4"}, {"functionArn": FUNCTION}, None])
@pytest.mark.parametrize("given", ["orders", f"{ACCOUNT}:function:orders", FUNCTION])
def test_a_function_that_was_changed_is_asked_for_and_no_version_of_it(given, answer):
    event = call("UpdateFunctionCode20150331v2", {"functionName": given, "publish": True}, answer, "lambda")
    assert wanted(event) == [("function", FUNCTION)]


DB = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders"
KAFKA = f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/bus/6411a16c-75d7-48b0-afdb-8ed466fe2072-2"
EFS = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:"


@pytest.mark.parametrize(
    "text", ["arn:aws:iam::999988887777:role/ci", "arn:see-wiki", DB.replace(REGION, "us-east-1"), "fs-0bbbbbbbb"]
)
@pytest.mark.parametrize(
    ("service", "name", "request_parameters", "arn"),
    [
        ("elasticloadbalancing", "AddTags", {"resourceArns": [LB]}, LB),
        ("elasticloadbalancing", "AddTags", {"loadBalancerNames": ["old"]},
         f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/old"),
        ("rds", "AddTagsToResource", {"resourceName": DB}, DB),
        ("lambda", "TagResource20170331v2", {"resource": FUNCTION}, FUNCTION),
        ("es", "AddTags", {"aRN": f"arn:aws:es:{REGION}:{ACCOUNT}:domain/logs"},
         f"arn:aws:es:{REGION}:{ACCOUNT}:domain/logs"),
        ("kafka", "TagResource", {"resourceArn": KAFKA.replace(":", "%3A").replace("/", "%2F")}, KAFKA),
        ("elasticfilesystem", "TagResource", {"resourceId": "fs-0aaaaaaaa"}, f"{EFS}file-system/fs-0aaaaaaaa"),
        ("elasticfilesystem", "TagResource", {"resourceId": "fsap-0aaaaaaaa"}, f"{EFS}access-point/fsap-0aaaaaaaa"),
        ("elasticfilesystem", "CreateTags", {"fileSystemId": "fs-0aaaaaaaa"}, f"{EFS}file-system/fs-0aaaaaaaa"),
    ],
)  # fmt: skip
def test_a_tag_call_names_what_it_tags_and_its_tags_may_be_any_text(service, name, request_parameters, arn, text):
    listed, mapped = [{"key": text, "value": text}], {text: text}
    for tags in ({"tags": listed}, {"tags": mapped}, {"tagList": listed}, {"tagKeys": [text]}):
        assert wanted(call(name, {**request_parameters, **tags}, None, service)) == [("tags", arn)]


def test_tags_are_asked_for_where_their_resource_is():
    """A global cluster is in no region: where the call was made it is known."""
    elsewhere, nowhere = DB.replace(REGION, "us-east-1"), f"arn:aws:rds::{ACCOUNT}:global-cluster:orders"
    events = [call("AddTagsToResource", {"resourceName": arn, "tags": []}, None, "rds") for arn in (elsewhere, nowhere)]
    assert [reading(event).wants for event in events] == [
        (Want(ACCOUNT, "us-east-1", "tags", elsewhere),),
        (Want(ACCOUNT, REGION, "tags", nowhere),),
    ]


@pytest.mark.parametrize(
    ("resource", "why"),
    [(DB.replace(ACCOUNT, "999988887777"), "foreign_account"), ("arn:see-wiki", "bad_arn"), ("db-1", "names_nothing")],
)
def test_a_tag_call_that_names_what_can_not_be_is_rejected(resource, why):
    assert reason(call("AddTagsToResource", {"resourceName": resource, "tags": []}, None, "rds")) == why


def test_a_load_balancer_of_another_account_is_not_believed():
    foreign = LB.replace(ACCOUNT, "999988887777")
    assert reason(call("SetSubnets", {"loadBalancerArn": foreign}, None, "elasticloadbalancing")) == "foreign_account"


def test_a_created_subnet_is_whole():
    subnet = {"subnetId": "subnet-0aaaaaaaa", "vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24", "ownerId": ACCOUNT,
              "availabilityZone": "eu-central-1a", "availabilityZoneId": "euc1-az2", "tagSet": {}}  # fmt: skip
    row = said(call("CreateSubnet", {"vpcId": "vpc-1"}, {"subnet": subnet}))[0]
    assert (row["kind"], row["state"], row["entity_id"], row["cidr_blocks"], row["az_id"]) == (
        "subnet", "present", "subnet-0aaaaaaaa", ["10.0.0.0/24"], "euc1-az2",
    )  # fmt: skip


def test_a_mount_target_names_its_interface_and_address():
    response = {"ownerId": ACCOUNT, "fileSystemId": "fs-0aaaaaaaa", "networkInterfaceId": ENI, "ipAddress": "10.0.0.7",
                "subnetId": "subnet-1", "vpcId": "vpc-1", "availabilityZoneName": "eu-central-1a"}  # fmt: skip
    event = call("CreateMountTarget", {"fileSystemId": "fs-0aaaaaaaa"}, response, "elasticfilesystem")
    row = said(event)[0]
    assert (row["kind"], row["state"], row["entity_id"], row["addresses"]) == (
        "interface",
        "partial",
        ENI,
        ["10.0.0.7"],
    )
    assert wanted(event) == [("interface", ENI), ("file_system", "fs-0aaaaaaaa")]


def test_an_ecs_task_tells_its_interface_and_ends_when_it_stopped():
    detail = {
        "taskArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/abc",
        "clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod",
        "lastStatus": "RUNNING",
        "group": "service:web",
        "createdAt": "2026-01-01T09:59:30Z",
        "attachments": [{"type": "eni", "status": "ATTACHED", "details": [
            {"name": "networkInterfaceId", "value": ENI}, {"name": "privateIPv4Address", "value": "10.0.0.5"}]}],
    }  # fmt: skip
    event = {"id": "e", "source": "aws.ecs", "account": ACCOUNT, "region": REGION, "time": "2026-01-01T10:00:00Z",
             "detail-type": "ECS Task State Change", "detail": detail}  # fmt: skip
    row = said(event)[0]
    assert (row["kind"], row["state"], row["name"], row["interface_ids"], row["addresses"]) == (
        "ecs_task", "present", "web", [ENI], ["10.0.0.5"],
    )  # fmt: skip
    # As it stops its interface goes first: the task still tells which it was, and no address any more.
    detail["lastStatus"], detail["attachments"][0]["status"] = "DEPROVISIONING", "DELETED"
    row = said(event)[0]
    assert (row["state"], row["interface_ids"], row["addresses"]) == ("present", [ENI], [])
    detail["lastStatus"] = "STOPPED"
    assert said(event)[0]["state"] == "absent"


# ---- what changed nothing, and what is not believed ----


@pytest.mark.parametrize(
    ("detail", "why"),
    [
        ({"errorCode": "Client.UnauthorizedOperation", "errorMessage": "no"}, "failed_call"),
        ({"errorMessage": "no"}, "failed_call"),
        ({"errorCode": "Client.DryRunOperation"}, "dry_run"),
        ({"requestParameters": {"dryRun": True, "networkInterfaceId": ENI}}, "dry_run"),
        ({"responseElements": {"_return": False}}, "failed_call"),
        ({"readOnly": True}, "read_only"),
        ({"eventName": "CreateSnapshot"}, "not_needed"),
        ({"eventSource": "s3.amazonaws.com"}, "not_needed"),
    ],
)
def test_calls_that_changed_nothing_are_ignored_by_name(detail, why):
    event = call("DeleteNetworkInterface", {"networkInterfaceId": ENI}, {"_return": True})
    event["detail"].update(detail)
    assert reason(event, Ignored) == why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"source": "my.app"}, "not_from_aws"),
        ({"source": "awsome"}, "not_from_aws"),
        ({"source": "aws.partner/example.com/ec2"}, "not_from_aws"),
        ({"source": None}, "lacks_source"),
        ({"id": None}, "lacks_id"),
        ({"time": None}, "lacks_time"),
        ({"account": None}, "lacks_account"),
        ({"detail": "text"}, "bad_detail"),
        ({"account": "1111111111"}, "account_not_twelve_digits"),
        ({"account": "account_id"}, "placeholder_account"),
        ({"account": "000000000000"}, "placeholder_account"),
        ({"account": "999988887777"}, "foreign_account"),
        ({"region": "nowhere"}, "bad_region"),
        ({"time": "soon"}, "bad_time"),
        ({"time": "2027-01-01T00:00:00Z"}, "from_the_future"),
    ],
)
def test_envelopes_that_are_not_believed_are_rejected_by_name(change, why):
    event = call("DeleteNetworkInterface", {"networkInterfaceId": ENI}, {"_return": True})
    assert reason({**event, **change}) == why


def test_answers_that_cloudtrail_left_out_are_rejected_by_name():
    omitted = {"omitted": True, "originalSize": 120000, "reason": "responseElements too large"}
    assert reason(call("RunInstances", {}, omitted)) == "omitted_by_cloudtrail"
    assert reason(call("CreateNetworkInterface", {}, None)) == "lacks_response"
    assert reason(call("DeleteNetworkInterface", {}, {"_return": True})) == "names_nothing"
    assert reason([]) == "not_an_event"


# ---- the real ones ----

REAL = {
    # file: for each event in it, the rows' states by kind, or the reject's name
    "cloudtrail-create-network-interface-efs.json": ["foreign_account"],
    "cloudtrail-instance-lifecycles.json": [
        "instance:absent",  # TerminateInstances of a stopped instance: at once terminated
        "instance:partial",  # StopInstances
        "instance:partial interface:partial",  # RunInstances
        "instance:absent instance:partial",  # TerminateInstances of one stopped and one running instance
        "interface:partial",  # AttachNetworkInterface
        "instance:partial",  # StartInstances
        "instance:partial",  # StopInstances
        "instance:partial interface:partial",  # RunInstances
    ],
    "custodian-event-cloud-trail-create-efs-mount-target.json": ["interface:partial"],
    "custodian-event-cloud-trail-run-instances.json": [
        "instance:partial interface:partial instance:partial interface:partial"
    ],
    "ec2-instance-state-change.json": ["instance:partial", "instance:partial"],
    "eventbridge-cloudtrail-create-tags.json": ["tags:partial"],
    "tag-change-on-resource.json": [
        "account_not_twelve_digits",
        "account_not_twelve_digits",
        "account_not_twelve_digits",
        "account_not_twelve_digits",
        "placeholder_account",
        "lacks_source",
        "tags:present",
        "placeholder_account",
    ],
}


def real_events(name):
    """The events of a sample file, CloudTrail records in an envelope."""
    document = json.loads(sample(f"events/{name}").read_text())
    events = document if isinstance(document, list) else document.get("Records", [document])
    return [envelope(event) if "eventName" in event else event for event in events]


def outcome(event):
    try:
        return " ".join(f"{row['kind']}:{row['state']}" for row in reading(event).rows)
    except Rejected as rejected:
        return rejected.reason


@pytest.mark.parametrize("name", REAL)
def test_every_real_event_ends_as_observations_or_a_named_reject(name):
    assert [outcome(event) for event in real_events(name)] == REAL[name]


def test_no_sample_is_left_out():
    assert {path.name for path in sample("events").glob("*.json")} == set(REAL)


def test_a_real_run_instances_gives_its_interface_its_address():
    run_instances = real_events("cloudtrail-instance-lifecycles.json")[2]
    interface = said(run_instances)[1]
    assert {name: interface[name] for name in ("entity_id", "vpc_id", "addresses", "instance_id", "attached_at")} == {
        "entity_id": "eni-010f4efd9c1e25645",
        "vpc_id": "vpc-e9e14694",
        "addresses": ["172.31.23.124"],
        "instance_id": "i-052b067f18ed43dc6",
        "attached_at": "2022-11-01 21:03:08.000",
    }


# ---- the sandbox's own spelling is read too ----


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "answer", "wants"),
    [
        ("ec2", "DeleteNatGateway", {"NatGatewayId": NAT}, {"NatGatewayId": NAT}, [("nat_gateway", NAT)]),
        ("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": [VPCE]}, {"Unsuccessful": []},
         [("vpc_endpoint", VPCE), ("route_table", "*")]),
        ("ec2", "CreateFlowLogs", {"ResourceIds": ["vpc-0aaaaaaaa"], "ResourceType": "VPC"},
         {"FlowLogIds": ["fl-0aaaaaaaa", "fl-0bbbbbbbb"]},
         [("flow_log", "fl-0aaaaaaaa"), ("flow_log", "fl-0bbbbbbbb")]),
        ("lambda", "CreateFunction", {"FunctionName": "resize"},
         {"FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resize"},
         [("function", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resize")]),
        ("elbv2", "RegisterTargets", {"TargetGroupArn": TG, "Targets": [{"Id": INSTANCE}]}, {}, [("target_group", TG)]),
        ("efs", "CreateFileSystem", {"CreationToken": "x"}, {"FileSystemId": "fs-0aaaaaaaa"},
         [("file_system", "fs-0aaaaaaaa")]),
        ("kafka", "DeleteCluster", {"ClusterArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/bus/1"},
         {"ClusterArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/bus/1"},
         [("kafka_cluster", f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/bus/1")]),
    ],
)  # fmt: skip
def test_calls_as_the_sandbox_writes_them(service, operation, parameters, answer, wants):
    event = api_call(service, operation, parameters, answer, account_id=ACCOUNT, region=REGION, at=AT)
    assert wanted(event) == wants
