"""What AWS would answer at a moment: items in the shape that boto3 gives, one function a kind.

    items(estate, "interface", account, region, at)  ->  [item, …]

at is epoch milliseconds. Items hold what the real calls hold and no more: an interface of a database does not name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from flowlake.sandbox.estate import Estate
from flowlake.sandbox.flow_logs import FORMATS
from flowlake.sandbox.model import Account, Interface, Thing

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


# -- interfaces and instances


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


# -- the network's plan


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


def _gateways(estate: Estate, account: Account, region: str, kind: str) -> Iterator[Item]:
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


# -- services


def load_balancer(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "AvailabilityZones": [
            {"SubnetId": s.id, "ZoneName": s.zone_name, "LoadBalancerAddresses": []} for s in a["subnets"]
        ],
        "CreatedTime": LONG_AGO,
        "DNSName": f"{a['name']}-{thing.id[-8:]}.{thing.region}.elb.amazonaws.com",
        "Listeners": [{"Port": port} for port in a["ports"]],
        "LoadBalancerArn": thing.id,
        "LoadBalancerName": a["name"],
        "Scheme": a["scheme"],
        "SecurityGroups": a["groups"],
        "Type": a["lb_type"],
        "VpcId": a["vpc"].id,
    }


def target_group(estate: Estate, thing: Thing, at: int) -> Item:
    a = thing.attributes
    alive = [life for life in estate.groups[a["targets"]].lives if life.since <= at < life.until]
    return {
        "LoadBalancerArns": a["load_balancers"],
        "Port": a["port"],
        "Protocol": a["protocol"],
        "TargetGroupArn": thing.id,
        "TargetGroupName": a["name"],
        "TargetHealthDescriptions": [
            {"Target": {"Id": estate.interfaces[life.interface].instance_id or life.address, "Port": a["port"]}}
            for life in alive
        ],
        "TargetType": a["target_type"],
        "VpcId": a["vpc"].id,
    }


def db_instance(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "AvailabilityZone": a["interface"].subnet.zone_name,
        "DBInstanceArn": thing.id,
        "DBInstanceIdentifier": a["name"],
        "DBInstanceStatus": "available",
        "DBSubnetGroup": {
            "DBSubnetGroupName": f"{a['name']}-subnets",
            "Subnets": [{"SubnetIdentifier": s.id} for s in a["subnets"]],
            "VpcId": a["vpc"].id,
        },
        "Endpoint": {"Address": f"{a['name']}.c9akciq32.{thing.region}.rds.amazonaws.com", "Port": a["port"]},
        "Engine": a["engine"],
        "InstanceCreateTime": LONG_AGO,
        "MultiAZ": False,
        "PubliclyAccessible": False,
        "TagList": tag_list(thing.tags),
        "VpcSecurityGroups": [{"Status": "active", "VpcSecurityGroupId": g} for g in a["groups"]],
    }


def db_proxy(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "CreatedDate": LONG_AGO,
        "DBProxyArn": thing.id,
        "DBProxyName": a["name"],
        "Endpoint": f"{a['name']}.proxy-c9akciq32.{thing.region}.rds.amazonaws.com",
        "EngineFamily": {"postgres": "POSTGRESQL", "mysql": "MYSQL"}[a["engine"]],
        "Status": "available",
        "Targets": [{"RdsResourceId": target, "Type": "RDS_INSTANCE"} for target in a["targets"]],
        "VpcId": a["vpc"].id,
        "VpcSecurityGroupIds": a["groups"],
        "VpcSubnetIds": [s.id for s in a["subnets"]],
    }


def cache(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "ARN": thing.id,
        "CacheClusterCreateTime": LONG_AGO,
        "CacheClusterId": a["name"],
        "CacheClusterStatus": "available",
        "CacheSubnetGroupName": f"{a['name']}-subnets",
        "CacheNodes": [
            {"CacheNodeId": "0001", "Endpoint": {"Address": f"{a['name']}.0001.cache.amazonaws.com", "Port": a["port"]}}
        ],
        "Engine": "redis",
        "PreferredAvailabilityZone": a["subnet"].zone_name,
        "ReplicationGroupId": a["name"].rsplit("-", 1)[0],
        "SecurityGroups": [{"SecurityGroupId": g, "Status": "active"} for g in a["groups"]],
        "SubnetGroup": {"Subnets": [{"SubnetIdentifier": a["subnet"].id}], "VpcId": a["vpc"].id},
    }


def function(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "FunctionArn": thing.id,
        "FunctionName": a["name"],
        "PackageType": "Zip",
        "Runtime": a["runtime"],
        "VpcConfig": {
            "SecurityGroupIds": a["groups"], "SubnetIds": [s.id for s in a["subnets"]], "VpcId": a["vpc"].id,
        },
    }  # fmt: skip


def ecs_service(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "clusterArn": a["cluster"],
        "createdAt": LONG_AGO,
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {"securityGroups": a["groups"], "subnets": [s.id for s in a["subnets"]]}
        },
        "serviceArn": thing.id,
        "serviceName": a["name"],
        "status": "ACTIVE",
        "tags": [{"key": k, "value": v} for k, v in sorted(thing.tags.items())],
        "taskDefinition": a["task_definition"],
    }


def ecs_task(thing: Thing) -> Item:
    a = thing.attributes
    interface: Interface = a["interface"]
    return {
        "attachments": [
            {
                "details": [
                    {"name": "subnetId", "value": interface.subnet.id},
                    {"name": "networkInterfaceId", "value": interface.id},
                    {"name": "macAddress", "value": mac(interface)},
                    {"name": "privateIPv4Address", "value": interface.address},
                ],
                "id": a["attachment"],
                "status": "ATTACHED",
                "type": "ElasticNetworkInterface",
            }
        ],
        "availabilityZone": interface.subnet.zone_name,
        "clusterArn": a["cluster"],
        "createdAt": moment(thing.created),
        "group": a["group"],
        "lastStatus": "RUNNING",
        "launchType": a["launch_type"],
        "tags": [{"key": k, "value": v} for k, v in sorted(thing.tags.items())],
        "taskArn": thing.id,
        "taskDefinitionArn": a["task_definition"],
    }


def eks_cluster(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "arn": thing.id,
        "createdAt": LONG_AGO,
        "endpoint": f"https://{thing.id[-8:]}.gr7.{thing.region}.eks.amazonaws.com",
        "name": a["name"],
        "resourcesVpcConfig": {
            "securityGroupIds": a["groups"], "subnetIds": [s.id for s in a["subnets"]], "vpcId": a["vpc"].id,
        },
        "status": "ACTIVE",
        "tags": dict(thing.tags),
        "version": "1.34",
    }  # fmt: skip


def file_system(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "CreationTime": LONG_AGO,
        "FileSystemArn": f"arn:aws:elasticfilesystem:{thing.region}:{thing.account.id}:file-system/{thing.id}",
        "FileSystemId": thing.id,
        "LifeCycleState": "available",
        "MountTargets": [
            {
                "FileSystemId": thing.id, "IpAddress": i.address, "LifeCycleState": "available",
                "MountTargetId": target,
                "NetworkInterfaceId": i.id, "SubnetId": i.subnet.id, "VpcId": a["vpc"].id,
            }
            for target, i in a["targets"]
        ],
        "Name": a["name"],
        "OwnerId": thing.account.id,
        "Tags": tag_list(thing.tags),
    }  # fmt: skip


def search_domain(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "ARN": thing.id,
        "DomainName": a["name"],
        "Endpoints": {"vpc": f"vpc-{a['name']}-abc.{thing.region}.es.amazonaws.com"},
        "EngineVersion": "OpenSearch_2.19",
        "VPCOptions": {
            "SecurityGroupIds": a["groups"],
            "SubnetIds": [s.id for s in a["subnets"]],
            "VPCId": a["vpc"].id,
        },
    }


def kafka_cluster(thing: Thing) -> Item:
    a = thing.attributes
    return {
        "ClusterArn": thing.id,
        "ClusterName": a["name"],
        "ClusterType": "PROVISIONED",
        "CreationTime": LONG_AGO,
        "Nodes": [
            {"BrokerNodeInfo": {"AttachedENIId": b.id, "ClientVpcIpAddress": b.address, "Endpoints": []}}
            for b in a["brokers"]
        ],
        "Provisioned": {
            "BrokerNodeGroupInfo": {"ClientSubnets": [s.id for s in a["subnets"]], "SecurityGroups": a["groups"]},
            "NumberOfBrokerNodes": len(a["brokers"]),
        },
        "Tags": dict(thing.tags),
    }


def shared_subnet(thing: Thing) -> Item:
    return {
        "arn": f"arn:aws:ec2:{thing.region}:{thing.account.id}:subnet/{thing.id}",
        "principals": thing.attributes["principals"],
        "resourceShareArn": thing.attributes["share_arn"],
    }


def account(estate: Estate, which: Account) -> Item:
    return {
        "Arn": f"arn:aws:organizations::{estate.accounts[0].id}:account/o-sandbox/{which.id}",
        "Email": f"{which.name}@example.com",
        "Id": which.id,
        "JoinedTimestamp": LONG_AGO,
        "Name": which.name,
        "Status": "ACTIVE",
        "Units": ["Root", "Workloads" if which.index else "Infrastructure"],
    }


BY_THING: dict[str, Callable[[Thing], Item]] = {
    "route_table": route_table, "nat_gateway": nat_gateway, "vpc_endpoint": vpc_endpoint, "peering": peering,
    "transit_gateway_attachment": transit_gateway_attachment,
    "transit_gateway_route_table": transit_gateway_route_table, "prefix_list": prefix_list,
    "security_group": security_group, "flow_log": flow_log, "load_balancer": load_balancer, "db_instance": db_instance,
    "db_proxy": db_proxy, "cache": cache, "function": function, "ecs_service": ecs_service, "ecs_task": ecs_task,
    "eks_cluster": eks_cluster, "file_system": file_system, "search_domain": search_domain,
    "kafka_cluster": kafka_cluster, "shared_subnet": shared_subnet,
}  # fmt: skip

KINDS = (
    "interface", "instance", "vpc", "subnet", "internet_gateway", "vpn_gateway", "target_group", "elastic_ip", "tags",
    *BY_THING,
)  # fmt: skip
"""Kinds that a sweep of one account and region lists; accounts are listed once for the organisation."""


def items(estate: Estate, kind: str, asked: Account, region: str, at: int) -> Iterator[Item]:
    """Everything of a kind that this account's calls in this region list at that moment."""
    if kind == "interface":
        for interface in estate.interfaces:
            if interface.created <= at < interface.deleted and _lists(asked, region, interface):
                yield interface_item(estate, interface, at)
        return
    if kind in ("vpc", "subnet"):
        yield from (vpc_items if kind == "vpc" else subnet_items)(estate, asked, region)
        return
    if kind in ("internet_gateway", "vpn_gateway"):
        yield from _gateways(estate, asked, region, kind)
        return
    if kind == "elastic_ip":
        yield from _elastic_ips(estate, asked, region)
        return
    if kind == "tags":
        yield from _tags(estate, asked, region, at)
        return
    for thing in estate.things_of(kind, asked, region):
        if not thing.created <= at < thing.deleted:
            continue
        if kind == "instance":
            yield instance_item(estate, thing, at)
        elif kind == "target_group":
            yield target_group(estate, thing, at)
        else:
            yield BY_THING[kind](thing)


def _lists(asked: Account, region: str, interface: Interface) -> bool:
    """An account lists its own interfaces; a VPC's owner also those of participants in its shared subnets."""
    if interface.subnet.vpc.region != region or interface.regional_nat:
        return False
    return asked in (interface.account, interface.subnet.vpc.account)


def _elastic_ips(estate: Estate, asked: Account, region: str) -> Iterator[Item]:
    for thing in estate.things_of("nat_gateway", asked, region):
        interface: Interface = thing.attributes["interface"]
        at_interface = (
            {}
            if interface.regional_nat
            else {"NetworkInterfaceId": interface.id, "PrivateIpAddress": interface.address}
        )
        yield {
            "AllocationId": f"eipalloc-{thing.id[4:]}",
            "Domain": "vpc",
            "PublicIp": interface.public_address,
            "Tags": [],
            **at_interface,
        }


_TAGGED_BY_API = (
    "load_balancer",
    "db_proxy",
    "cache",
    "function",
    "search_domain",
    "file_system",
    "db_instance",
    "kafka_cluster",
)


def _tags(estate: Estate, asked: Account, region: str, at: int) -> Iterator[Item]:
    """The tagging API: tags of what has some, by ARN."""
    for kind in _TAGGED_BY_API:
        for thing in estate.things_of(kind, asked, region):
            if thing.tags and thing.created <= at < thing.deleted:
                arn = thing.id
                if kind == "file_system":
                    arn = f"arn:aws:elasticfilesystem:{region}:{asked.id}:file-system/{thing.id}"
                yield {"ResourceARN": arn, "Tags": tag_list(thing.tags)}
    for thing in estate.things_of("instance", asked, region):
        if thing.created <= at < thing.deleted:
            arn = f"arn:aws:ec2:{region}:{asked.id}:instance/{thing.id}"
            yield {"ResourceARN": arn, "Tags": tag_list(tags_at(estate, thing, at))}
