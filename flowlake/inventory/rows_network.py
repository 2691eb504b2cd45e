"""EC2's own entities: AWS items in, observation rows out, one function a kind. Pure.

Tags: EC2 leaves the field out where an instance, subnet, … has none, so absent means none ({}). An interface's TagSet
is always there in describe answers; where it is missing (an instance's own list of its interfaces) tags are not
told (null).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowlake.inventory.seen import BadItem, Item, Seen, ids, moment, said, unique
from flowlake.lake.observations import ABSENT, NOTHING, PARTIAL, PRESENT, Row

_GONE = {"deleted", "terminated", "failed", "rejected", "expired"}
"""States in which an entity no longer exists, though EC2 lists it for a while."""


def _state(said_state: str | None, whole: bool = True) -> str:
    if said_state is not None and said_state.lower() in _GONE:
        return ABSENT
    return PRESENT if whole else PARTIAL


def interface_rows(item: Item, seen: Seen) -> list[Row]:
    """A network interface, from DescribeNetworkInterfaces or CreateNetworkInterface.

    addresses: the primary private IPv4 first. Raises KeyError where the id, VPC or subnet is missing: such an item
    is a cut of an interface and would claim that it lies nowhere.
    """
    owner = seen.owner(item)
    private = sorted(item.get("PrivateIpAddresses") or [], key=lambda entry: not entry.get("Primary"))
    v4 = [entry.get("PrivateIpAddress") for entry in private]
    v6 = [entry.get("Ipv6Address") for entry in item.get("Ipv6Addresses") or []]
    associations = [item.get("Association") or {}, *((entry.get("Association") or {}) for entry in private)]
    attachment = item.get("Attachment") or {}
    if attachment.get("Status") == "detached":
        attachment = {}
    return [
        seen.row(
            "interface",
            item["NetworkInterfaceId"],
            account_id=owner,
            vpc_id=item["VpcId"],
            subnet_id=item["SubnetId"],
            availability_zone=item.get("AvailabilityZone"),
            az_id=item.get("AvailabilityZoneId"),
            addresses=unique([item.get("PrivateIpAddress"), *v4, item.get("Ipv6Address"), *v6]),
            prefixes=unique(
                [entry.get("Ipv4Prefix") for entry in item.get("Ipv4Prefixes") or []]
                + [entry.get("Ipv6Prefix") for entry in item.get("Ipv6Prefixes") or []]
            ),
            public_addresses=unique(
                entry.get(field) for entry in associations for field in ("PublicIp", "CarrierIp", "CustomerOwnedIp")
            ),
            interface_type=item.get("InterfaceType"),
            description=item.get("Description"),
            requester_id=item.get("RequesterId"),
            requester_managed=item.get("RequesterManaged"),
            attachment_id=attachment.get("AttachmentId") if attachment else NOTHING,
            attached_at=moment(attachment.get("AttachTime")),
            instance_id=attachment.get("InstanceId") or NOTHING,
            instance_owner_id=attachment.get("InstanceOwnerId"),
            security_group_ids=ids(item.get("Groups") or [], "GroupId"),
            tags=seen.tags(item.get("TagSet")),
            detail=said(
                status=item.get("Status"),
                source_dest_check=item.get("SourceDestCheck"),
                delete_on_termination=attachment.get("DeleteOnTermination"),
                operator=item.get("Operator"),
                seen_by=seen.seen_by(owner),
            ),
        )
    ]


def instance_rows(item: Item, seen: Seen) -> list[Row]:
    """An instance, from DescribeInstances or RunInstances, with OwnerId of its reservation where that is told.

    A terminated instance is absent. Its interfaces are entities of their own: interfaces_of_instance gives them.
    """
    owner = seen.owner(item)
    placement = item.get("Placement") or {}
    state = (item.get("State") or {}).get("Name")
    interfaces = item.get("NetworkInterfaces") or []
    tags = seen.tags(item.get("Tags") or []) or {}
    all_tags = {tag.get("Key"): tag.get("Value") for tag in item.get("Tags") or []}
    return [
        seen.row(
            "instance",
            item["InstanceId"],
            _state(state),
            account_id=owner,
            arn=seen.arn("ec2", owner, f"instance/{item['InstanceId']}"),
            vpc_id=item.get("VpcId") or None,
            subnet_id=item.get("SubnetId") or None,
            availability_zone=placement.get("AvailabilityZone"),
            az_id=placement.get("AvailabilityZoneId"),
            interface_ids=ids(interfaces, "NetworkInterfaceId"),
            addresses=unique([item.get("PrivateIpAddress")]),
            public_addresses=unique([item.get("PublicIpAddress")]),
            created_at=moment(item.get("LaunchTime")),
            security_group_ids=ids(item.get("SecurityGroups") or item.get("Groups") or [], "GroupId"),
            tags=tags,
            detail=said(
                instance_type=item.get("InstanceType"),
                state=state,
                iam_profile=(item.get("IamInstanceProfile") or {}).get("Arn"),
                auto_scaling_group=all_tags.get("aws:autoscaling:groupName"),
            ),
        )
    ]


def interfaces_of_instance(item: Item, owner_id: str | None = None) -> list[Item]:
    """An instance's own list of its interfaces as interface items, with the attachment completed by the instance's id.

    What only DescribeNetworkInterfaces tells (tags, requester) is missing in them.
    """
    zone = (item.get("Placement") or {}).get("AvailabilityZone")
    completed = []
    for entry in item.get("NetworkInterfaces") or []:
        owner = entry.get("OwnerId") or owner_id
        attachment = {"InstanceId": item["InstanceId"], "InstanceOwnerId": owner, **(entry.get("Attachment") or {})}
        whole = {"VpcId": item.get("VpcId"), "SubnetId": item.get("SubnetId"), "AvailabilityZone": zone, **entry}
        completed.append({**whole, "OwnerId": owner, "Attachment": attachment})
    return completed


def vpc_rows(item: Item, seen: Seen) -> list[Row]:
    """A VPC with its IPv4 and IPv6 ranges."""
    owner = seen.owner(item)
    return [
        seen.row(
            "vpc",
            item["VpcId"],
            account_id=owner,
            arn=seen.arn("ec2", owner, f"vpc/{item['VpcId']}"),
            vpc_id=item["VpcId"],
            cidr_blocks=unique([item.get("CidrBlock"), *_associated(item)]),
            tags=seen.tags(item.get("Tags") or []),
            detail=said(is_default=item.get("IsDefault"), seen_by=seen.seen_by(owner)),
        )
    ]


def _associated(item: Item) -> list[str]:
    """Ranges of a VPC or subnet that are associated now."""
    found = []
    for entry in (item.get("CidrBlockAssociationSet") or []) + (item.get("Ipv6CidrBlockAssociationSet") or []):
        state = (
            entry.get("CidrBlockState") or entry.get("SubnetCidrBlockState") or entry.get("Ipv6CidrBlockState") or {}
        ).get("State")
        if state in (None, "associating", "associated", "disassociating"):
            found.append(entry.get("CidrBlock") or entry.get("Ipv6CidrBlock"))
    return [block for block in found if block]


def subnet_rows(item: Item, seen: Seen) -> list[Row]:
    """A subnet. One shared by RAM is listed in the participant's account too: its owner is the row's account."""
    owner = seen.owner(item)
    return [
        seen.row(
            "subnet",
            item["SubnetId"],
            account_id=owner,
            arn=item.get("SubnetArn") or seen.arn("ec2", owner, f"subnet/{item['SubnetId']}"),
            vpc_id=item["VpcId"],
            subnet_id=item["SubnetId"],
            availability_zone=item.get("AvailabilityZone"),
            az_id=item.get("AvailabilityZoneId"),
            cidr_blocks=unique([item.get("CidrBlock"), *_associated(item)]),
            tags=seen.tags(item.get("Tags") or []),
            detail=said(outpost_arn=item.get("OutpostArn"), shared_from=owner if seen.seen_by(owner) else None),
        )
    ]


_ROUTE_TARGETS = (
    "NetworkInterfaceId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "GatewayId",
    "EgressOnlyInternetGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
    "OdbNetworkArn",
    "InstanceId",
    "IpAddress",
)


def route_table_rows(item: Item, seen: Seen) -> list[Row]:
    """A route table. routes are 'destination target'; the target of a route that leads nowhere is 'blackhole'."""
    owner = seen.owner(item)
    associations = [
        entry
        for entry in item.get("Associations") or []
        if (entry.get("AssociationState") or {}).get("State", "associated") in ("associated", "associating")
    ]
    return [
        seen.row(
            "route_table",
            item["RouteTableId"],
            account_id=owner,
            vpc_id=item["VpcId"],
            subnet_ids=ids(associations, "SubnetId"),
            member_of=[item["VpcId"]],
            routes=[_route(route) for route in item.get("Routes") or []],
            tags=seen.tags(item.get("Tags") or []),
            detail=said(
                main=any(entry.get("Main") for entry in associations),
                gateways=ids(associations, "GatewayId") or None,
            ),
        )
    ]


def _route(route: Mapping[str, Any]) -> str:
    destination = (
        route.get("DestinationCidrBlock")
        or route.get("DestinationIpv6CidrBlock")
        or route.get("DestinationPrefixListId")
    )
    if not destination:
        raise BadItem("a route without a destination")
    if route.get("State") == "blackhole":
        return f"{destination} blackhole"
    target = next((route[field] for field in _ROUTE_TARGETS if route.get(field)), None)
    if not target:
        raise BadItem(f"the route to {destination} has no target")
    return f"{destination} {target}"


def internet_gateway_rows(item: Item, seen: Seen) -> list[Row]:
    """An internet gateway; vpc_id is null while it is attached to none."""
    attached = [entry for entry in item.get("Attachments") or [] if entry.get("State") not in ("detached", "detaching")]
    return [
        seen.row(
            "internet_gateway",
            item["InternetGatewayId"],
            account_id=seen.owner(item),
            vpc_id=next(iter(ids(attached, "VpcId") or []), None),
            member_of=ids(attached, "VpcId"),
            tags=seen.tags(item.get("Tags") or []),
        )
    ]


def vpn_gateway_rows(item: Item, seen: Seen) -> list[Row]:
    """A virtual private gateway."""
    attached = [e for e in item.get("VpcAttachments") or [] if e.get("State") not in ("detached", "detaching")]
    return [
        seen.row(
            "vpn_gateway",
            item["VpnGatewayId"],
            _state(item.get("State")),
            vpc_id=next(iter(ids(attached, "VpcId") or []), None),
            member_of=ids(attached, "VpcId"),
            tags=seen.tags(item.get("Tags") or []),
        )
    ]


def nat_gateway_rows(item: Item, seen: Seen) -> list[Row]:
    """A NAT gateway. A regional one (AvailabilityMode regional) has no subnet and may have no interfaces."""
    given = [entry for entry in item.get("NatGatewayAddresses") or [] if entry.get("Status") not in ("failed",)]
    return [
        seen.row(
            "nat_gateway",
            item["NatGatewayId"],
            _state(item.get("State")),
            arn=seen.arn("ec2", seen.account_id, f"natgateway/{item['NatGatewayId']}"),
            vpc_id=item["VpcId"],
            subnet_id=item.get("SubnetId"),
            interface_ids=ids(given, "NetworkInterfaceId"),
            addresses=ids(given, "PrivateIp"),
            public_addresses=ids(given, "PublicIp"),
            created_at=moment(item.get("CreateTime")),
            tags=seen.tags(item.get("Tags") or []),
            detail=said(connectivity_type=item.get("ConnectivityType"), availability_mode=item.get("AvailabilityMode")),
        )
    ]


def vpc_endpoint_rows(item: Item, seen: Seen) -> list[Row]:
    """A VPC endpoint: member_of holds the route tables of a gateway endpoint."""
    owner = seen.owner(item)
    return [
        seen.row(
            "vpc_endpoint",
            item["VpcEndpointId"],
            ABSENT if (item.get("State") or "").lower() in ("deleted", "failed") else PRESENT,
            account_id=owner,
            arn=seen.arn("ec2", owner, f"vpc-endpoint/{item['VpcEndpointId']}"),
            vpc_id=item["VpcId"],
            subnet_ids=item.get("SubnetIds") or [],
            interface_ids=item.get("NetworkInterfaceIds") or [],
            created_at=moment(item.get("CreationTimestamp")),
            security_group_ids=ids(item.get("Groups") or [], "GroupId"),
            service_name=item.get("ServiceName"),
            dns_names=ids(item.get("DnsEntries") or [], "DnsName"),
            member_of=item.get("RouteTableIds") or [],
            tags=seen.tags(item.get("Tags") or []),
            detail=said(
                endpoint_type=item.get("VpcEndpointType"),
                private_dns=item.get("PrivateDnsEnabled"),
                resource_configuration_arn=item.get("ResourceConfigurationArn"),
                service_network_arn=item.get("ServiceNetworkArn"),
                seen_by=seen.seen_by(owner),
            ),
        )
    ]


def peering_rows(item: Item, seen: Seen) -> list[Row]:
    """A VPC peering: account, region, vpc_id are the requester's, detail has the accepter's; cidr_blocks are both's."""
    requester, accepter = item["RequesterVpcInfo"], item["AccepterVpcInfo"]
    owner = seen.owner(requester)
    status = (item.get("Status") or {}).get("Code")
    return [
        seen.row(
            "peering",
            item["VpcPeeringConnectionId"],
            _state(status),
            account_id=owner,
            region=requester.get("Region") or seen.region,
            vpc_id=requester["VpcId"],
            cidr_blocks=_ranges(requester) + _ranges(accepter),
            tags=seen.tags(item.get("Tags") or []) if owner == seen.account_id else None,
            detail=said(
                accepter_vpc_id=accepter.get("VpcId"),
                accepter_account_id=accepter.get("OwnerId"),
                accepter_region=accepter.get("Region"),
                status=status,
                seen_by=seen.seen_by(owner),
            ),
        )
    ]


def _ranges(side: Mapping[str, Any]) -> list[str]:
    """The address ranges of one side of a peering."""
    return unique(
        [
            side.get("CidrBlock"),
            *(entry.get("CidrBlock") for entry in side.get("CidrBlockSet") or []),
            *(entry.get("Ipv6CidrBlock") for entry in side.get("Ipv6CidrBlockSet") or []),
        ]
    )


def transit_gateway_attachment_rows(item: Item, seen: Seen) -> list[Row]:
    """A transit gateway attachment, from DescribeTransitGatewayAttachments with SubnetIds added from
    DescribeTransitGatewayVpcAttachments, or from the latter alone. Without its resource it is partial."""
    kind = item.get("ResourceType") or ("vpc" if item.get("VpcId") else None)
    resource = item.get("ResourceId") or item.get("VpcId")
    owner = seen.owner(item, "ResourceOwnerId" if "ResourceOwnerId" in item else "VpcOwnerId")
    association = item.get("Association") or {}
    associated = association.get("State", "associated") in ("associated", "associating")
    whole = "ResourceId" in item and (kind != "vpc" or "SubnetIds" in item)
    return [
        seen.row(
            "transit_gateway_attachment",
            item["TransitGatewayAttachmentId"],
            _state(item.get("State"), whole),
            account_id=owner,
            arn=seen.arn("ec2", owner, f"transit-gateway-attachment/{item['TransitGatewayAttachmentId']}"),
            vpc_id=resource if kind == "vpc" else None,
            subnet_ids=item.get("SubnetIds"),
            created_at=moment(item.get("CreationTime")),
            member_of=unique([item.get("TransitGatewayId")]),
            tags=seen.tags(item.get("Tags") or []) if owner == seen.account_id else None,
            detail=said(
                resource_type=kind,
                resource_id=resource,
                resource_owner_id=item.get("ResourceOwnerId") or item.get("VpcOwnerId"),
                transit_gateway_owner_id=item.get("TransitGatewayOwnerId"),
                route_table_id=association.get("TransitGatewayRouteTableId") if associated else None,
                status=item.get("State"),
                seen_by=seen.seen_by(owner),
            ),
        )
    ]


def transit_gateway_route_table_rows(item: Item, seen: Seen) -> list[Row]:
    """A transit gateway route table, with Routes (SearchTransitGatewayRoutes) and Propagations added; partial without.

    routes are 'destination attachment'; several attachments share a destination in several entries.
    """
    routes: list[str] | None = None
    if "Routes" in item:
        routes = unique(entry for route in item["Routes"] for entry in _tgw_route(route))
    return [
        seen.row(
            "transit_gateway_route_table",
            item["TransitGatewayRouteTableId"],
            _state(item.get("State"), whole=routes is not None and "Propagations" in item),
            member_of=unique([item.get("TransitGatewayId")]),
            created_at=moment(item.get("CreationTime")),
            routes=routes,
            tags=seen.tags(item.get("Tags") or []),
            detail=said(
                propagations=ids(
                    [e for e in item["Propagations"] if e.get("State") in (None, "enabled", "enabling")],
                    "TransitGatewayAttachmentId",
                )
                if "Propagations" in item
                else None,
                default_association=item.get("DefaultAssociationRouteTable"),
            ),
        )
    ]


def _tgw_route(route: Mapping[str, Any]) -> Iterable[str]:
    destination = route.get("DestinationCidrBlock") or route.get("PrefixListId")
    if not destination:
        raise BadItem("a transit gateway route without a destination")
    if route.get("State") == "blackhole":
        return [f"{destination} blackhole"]
    if route.get("State") in ("deleting", "deleted"):
        return []
    return [f"{destination} {e['TransitGatewayAttachmentId']}" for e in route.get("TransitGatewayAttachments") or []]


def prefix_list_rows(item: Item, seen: Seen) -> list[Row]:
    """A prefix list with Entries (GetManagedPrefixListEntries) or Cidrs (DescribePrefixLists); without them partial."""
    entries = item.get("Entries")
    blocks = ids(entries, "Cidr") if entries is not None else item.get("Cidrs")
    return [
        seen.row(
            "prefix_list",
            item["PrefixListId"],
            ABSENT if item.get("State") == "delete-complete" else _state(None, whole=blocks is not None),
            account_id=seen.owner(item),
            arn=item.get("PrefixListArn"),
            name=item.get("PrefixListName"),
            cidr_blocks=blocks,
            tags=seen.tags(item.get("Tags") or []),
            detail=said(managed_by="AWS" if item.get("OwnerId", "AWS") == "AWS" else None),
        )
    ]


def security_group_rows(item: Item, seen: Seen) -> list[Row]:
    """A security group with its rules: detail.ingress and egress are lists of {protocol, from, to, peers}."""
    owner = seen.owner(item)
    return [
        seen.row(
            "security_group",
            item["GroupId"],
            _state(None, whole="IpPermissions" in item),
            account_id=owner,
            arn=item.get("SecurityGroupArn") or seen.arn("ec2", owner, f"security-group/{item['GroupId']}"),
            name=item.get("GroupName"),
            vpc_id=item.get("VpcId"),
            description=item.get("Description"),
            tags=seen.tags(item.get("Tags") or []),
            detail=said(
                ingress=[_rule(rule) for rule in item["IpPermissions"]] if "IpPermissions" in item else None,
                egress=[_rule(rule) for rule in item["IpPermissionsEgress"]] if "IpPermissionsEgress" in item else None,
            ),
        )
    ]


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """One rule; from and to are ports (ICMP: type and code), absent where all are meant; peers: ranges, groups, …"""
    peers = unique(
        [entry.get("CidrIp") for entry in rule.get("IpRanges") or []]
        + [entry.get("CidrIpv6") for entry in rule.get("Ipv6Ranges") or []]
        + [entry.get("GroupId") for entry in rule.get("UserIdGroupPairs") or []]
        + [entry.get("PrefixListId") for entry in rule.get("PrefixListIds") or []]
    )
    return (
        said(protocol=rule.get("IpProtocol"), **{"from": rule.get("FromPort"), "to": rule.get("ToPort")}, peers=peers)
        or {}
    )


def flow_log_rows(item: Item, seen: Seen) -> list[Row]:
    """A flow log: what it covers (detail.resource_id), its format and interval."""
    interval = item.get("MaxAggregationInterval")
    return [
        seen.row(
            "flow_log",
            item["FlowLogId"],
            arn=seen.arn("ec2", seen.account_id, f"vpc-flow-log/{item['FlowLogId']}"),
            created_at=moment(item.get("CreationTime")),
            tags=seen.tags(item.get("Tags") or []),
            detail=said(
                resource_id=item["ResourceId"],
                traffic_type=item.get("TrafficType"),
                log_format=item.get("LogFormat"),
                max_aggregation_seconds=int(interval) if interval is not None else None,
                destination=item.get("LogDestination") or item.get("LogGroupName"),
                destination_type=item.get("LogDestinationType"),
                file_format=(item.get("DestinationOptions") or {}).get("FileFormat"),
                status=item.get("FlowLogStatus"),
                delivery_status=item.get("DeliverLogsStatus"),
            ),
        )
    ]


def elastic_ip_rows(item: Item, seen: Seen) -> list[Row]:
    """An Elastic IP; interface_ids and addresses are empty while it is associated with nothing.

    EC2-Classic addresses have no allocation id: their entity id is the address.
    """
    return [
        seen.row(
            "elastic_ip",
            item.get("AllocationId") or item["PublicIp"],
            interface_ids=unique([item.get("NetworkInterfaceId")]),
            addresses=unique([item.get("PrivateIpAddress")]),
            public_addresses=unique([item.get("PublicIp"), item.get("CarrierIp"), item.get("CustomerOwnedIp")]),
            instance_id=item.get("InstanceId") or NOTHING,
            tags=seen.tags(item.get("Tags") or []),
        )
    ]
