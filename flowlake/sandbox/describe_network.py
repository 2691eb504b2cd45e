"""The network's plan as EC2 describes it: VPCs, subnets, routes, gateways, endpoints, groups, flow logs."""

from __future__ import annotations

from collections.abc import Iterator

from flowlake.sandbox.describe_interfaces import LONG_AGO, Item, tag_list
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.flow_logs import FORMATS
from flowlake.sandbox.model import Account, Interface, Thing


def vpc_items(estate: Estate, account: Account, region: str) -> Iterator[Item]:
    for vpc in estate.vpcs:
        if vpc.account is account and vpc.region == region:
            yield {
                "CidrBlock": vpc.cidr,
                "CidrBlockAssociationSet": [{"CidrBlock": vpc.cidr, "CidrBlockState": {"State": "associated"}}],
                "Ipv6CidrBlockAssociationSet": [
                    {"Ipv6CidrBlock": block, "Ipv6CidrBlockState": {"State": "associated"}}
                    for block in [vpc.cidr6]
                    if block
                ],
                "IsDefault": False,
                "OwnerId": account.id,
                "State": "available",
                "Tags": tag_list({"Name": vpc.name}),
                "VpcId": vpc.id,
            }


def subnet_items(estate: Estate, account: Account, region: str) -> Iterator[Item]:
    for subnet in estate.subnets:
        vpc = subnet.vpc
        if vpc.region == region and account in (vpc.account, subnet.shared_with):
            yield {
                "AvailabilityZone": _zone_name(subnet.zone_name, vpc.account, account),
                "AvailabilityZoneId": subnet.az_id,
                "CidrBlock": subnet.cidr,
                "Ipv6CidrBlockAssociationSet": [
                    {"Ipv6CidrBlock": block, "Ipv6CidrBlockState": {"State": "associated"}}
                    for block in [subnet.cidr6]
                    if block
                ],
                "OwnerId": vpc.account.id,
                "State": "available",
                "SubnetArn": f"arn:aws:ec2:{region}:{vpc.account.id}:subnet/{subnet.id}",
                "SubnetId": subnet.id,
                "Tags": tag_list({"Name": f"{vpc.name}-{subnet.tier}-{subnet.zone_name[-1]}"})
                if account is vpc.account
                else [],
                "VpcId": vpc.id,
            }


def _zone_name(name: str, owner: Account, asked: Account) -> str:
    """Zone names differ between accounts: each sees its own for the same zone."""
    letters = "abc"
    return name[:-1] + letters[(letters.index(name[-1]) - owner.index + asked.index) % 3]


def route_table(thing: Thing) -> Item:
    subnet = thing.attributes["subnet"]
    return {
        "Associations": [
            {
                "Main": False, "RouteTableAssociationId": f"rtbassoc-{thing.id[4:]}", "RouteTableId": thing.id,
                "SubnetId": subnet.id, "AssociationState": {"State": "associated"},
            }
        ],
        "OwnerId": thing.account.id,
        "RouteTableId": thing.id,
        "Routes": [_route(*route.split(" ")) for route in thing.attributes["routes"]],
        "Tags": [],
        "VpcId": thing.attributes["vpc"].id,
    }  # fmt: skip


_TARGET_FIELDS = {"nat": "NatGatewayId", "tgw": "TransitGatewayId", "pcx": "VpcPeeringConnectionId"}


def _route(destination: str, target: str) -> Item:
    field = "DestinationCidrBlock"
    if destination.startswith("pl-"):
        field = "DestinationPrefixListId"
    elif ":" in destination:
        field = "DestinationIpv6CidrBlock"
    via = _TARGET_FIELDS.get(target.split("-")[0], "GatewayId")
    return {field: destination, via: target, "Origin": "CreateRoute", "State": "active"}


def gateways(estate: Estate, account: Account, region: str, kind: str) -> Iterator[Item]:
    for vpc in estate.vpcs:
        if vpc.account is not account or vpc.region != region:
            continue
        if kind == "internet_gateway" and vpc.internet_gateway:
            attached = [{"State": "available", "VpcId": vpc.id}]
            yield {
                "Attachments": attached,
                "InternetGatewayId": vpc.internet_gateway,
                "OwnerId": account.id,
                "Tags": [],
            }
        if kind == "vpn_gateway" and vpc.vpn_gateway:
            yield {
                "State": "available", "Tags": [], "Type": "ipsec.1", "VpnGatewayId": vpc.vpn_gateway,
                "VpcAttachments": [{"State": "attached", "VpcId": vpc.id}],
            }  # fmt: skip


def nat_gateway(thing: Thing) -> Item:
    interface: Interface = thing.attributes["interface"]
    regional = thing.attributes["availability_mode"] == "regional"
    address: Item = {
        "AllocationId": f"eipalloc-{thing.id[4:]}",
        "PublicIp": interface.public_address,
        "Status": "succeeded",
    }
    if not regional:
        address |= {"NetworkInterfaceId": interface.id, "PrivateIp": interface.address, "IsPrimary": True}
    return {
        "AvailabilityMode": thing.attributes["availability_mode"],
        "ConnectivityType": "public",
        "CreateTime": LONG_AGO,
        "NatGatewayAddresses": [address],
        "NatGatewayId": thing.id,
        "State": "available",
        **({} if regional else {"SubnetId": interface.subnet.id}),
        "Tags": tag_list(thing.tags),
        "VpcId": thing.attributes["vpc"].id,
    }


def vpc_endpoint(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "CreationTimestamp": LONG_AGO,
        "Groups": [{"GroupId": g, "GroupName": g} for g in a["groups"]],
        "NetworkInterfaceIds": [i.id for i in a["interfaces"]],
        "OwnerId": thing.account.id,
        "PrivateDnsEnabled": a["endpoint_type"] == "Interface",
        "RouteTableIds": [s.route_table for s in a["vpc"].subnets] if a["endpoint_type"] == "Gateway" else [],
        "ServiceName": a["service_name"],
        "State": "available",
        "SubnetIds": [i.subnet.id for i in a["interfaces"]],
        "Tags": tag_list(thing.tags),
        "VpcEndpointId": thing.id,
        "VpcEndpointType": a["endpoint_type"],
        "VpcId": a["vpc"].id,
    }


def peering(thing: Thing) -> Item:
    sides = {}
    for side, vpc in (
        ("RequesterVpcInfo", thing.attributes["requester"]),
        ("AccepterVpcInfo", thing.attributes["accepter"]),
    ):
        sides[side] = {
            "CidrBlock": vpc.cidr, "CidrBlockSet": [{"CidrBlock": vpc.cidr}], "OwnerId": vpc.account.id,
            "Region": vpc.region, "VpcId": vpc.id,
        }  # fmt: skip
    return {
        **sides,
        "Status": {"Code": "active", "Message": "Active"},
        "Tags": tag_list(thing.tags),
        "VpcPeeringConnectionId": thing.id,
    }


def transit_gateway_attachment(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "Association": {"State": "associated", "TransitGatewayRouteTableId": a["table"]},
        "CreationTime": LONG_AGO,
        "ResourceId": a["resource_id"],
        "ResourceOwnerId": thing.account.id,
        "ResourceType": a["resource_type"],
        "State": "available",
        "SubnetIds": [s.id for s in a["subnets"]],
        "Tags": tag_list(thing.tags),
        "TransitGatewayAttachmentId": thing.id,
        "TransitGatewayId": a["gateway"],
        "TransitGatewayOwnerId": a["owner"].id,
    }


def transit_gateway_route_table(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "CreationTime": LONG_AGO,
        "DefaultAssociationRouteTable": True,
        "Propagations": [{"State": "enabled", "TransitGatewayAttachmentId": p} for p in a["propagations"]],
        "Routes": [
            {
                "DestinationCidrBlock": route.split(" ")[0], "State": "active",
                "TransitGatewayAttachments": [{"TransitGatewayAttachmentId": route.split(" ")[1]}],
            }
            for route in a["routes"]
        ],
        "State": "available",
        "Tags": [],
        "TransitGatewayId": a["gateway"],
        "TransitGatewayRouteTableId": thing.id,
    }  # fmt: skip


def prefix_list(thing: Thing) -> Item:
    return {
        "Entries": [{"Cidr": cidr} for cidr in thing.attributes["cidrs"]],
        "OwnerId": "AWS",
        "PrefixListArn": f"arn:aws:ec2:{thing.region}:aws:prefix-list/{thing.id}",
        "PrefixListId": thing.id,
        "PrefixListName": thing.attributes["name"],
        "State": "create-complete",
        "Tags": [],
    }


def security_group(thing: Thing) -> Item:
    a = thing.attributes
    ranges = {
        "IpRanges": [{"CidrIp": a.get("from_cidr", "10.0.0.0/8")}],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
    }
    return {
        "Description": a.get("description", a["name"]),
        "GroupId": thing.id,
        "GroupName": a["name"],
        "IpPermissions": [{"FromPort": p, "IpProtocol": "tcp", "ToPort": p, **ranges} for p in a.get("ports", ())],
        "IpPermissionsEgress": [{"IpProtocol": "-1", **ranges, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        "OwnerId": thing.account.id,
        "Tags": tag_list(thing.tags),
        "VpcId": a["vpc"].id,
    }


def flow_log(thing: Thing) -> Item:
    log = thing.attributes["log"]
    return {
        "CreationTime": LONG_AGO,
        "DeliverLogsStatus": "SUCCESS",
        "DestinationOptions": {
            "FileFormat": log.file_format, "HiveCompatiblePartitions": False, "PerHourPartition": False,
        },
        "FlowLogId": log.id,
        "FlowLogStatus": "ACTIVE",
        "LogDestination": "arn:aws:s3:::flowlake-sandbox/raw",
        "LogDestinationType": "s3",
        "LogFormat": " ".join("${" + name.replace("_", "-") + "}" for name in FORMATS[log.format]),
        "MaxAggregationInterval": log.max_aggregation_seconds,
        "ResourceId": log.resource_id,
        "Tags": [],
        "TrafficType": log.traffic,
    }  # fmt: skip
