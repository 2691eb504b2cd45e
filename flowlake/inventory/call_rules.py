"""The rules for API calls: a call's name, what it says by itself, what is gone by it, what it lacks. Pure.

TABLE is the rules as data; docs/events.md shows the same to readers. What a call says holds at the call's own time;
what it lacks is fetched later, once for many calls, and holds from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from flowlake.inventory import cloudtrail
from flowlake.inventory.calls import (
    Call,
    Ignored,
    Rejected,
    Rule,
    Say,
    Want,
    all_of,
    anywhere,
    arns,
    asked,
    is_id,
    names,
    of_kind,
    owned,
    owned_arn,
    told,
    topmost,
    under,
)
from flowlake.inventory.cloudtrail import Tree, Unreadable, boto3_shape, listed
from flowlake.inventory.rows import interfaces_of_instance, rows_of
from flowlake.inventory.seen import Seen
from flowlake.lake.arns import make_arn
from flowlake.lake.observations import ABSENT, PARTIAL, PRESENT, Row

# ---- what calls say themselves -----------------------------------------------------------------------------------


def _one(values: Iterable[Any], what: str) -> Any:
    found = list(values)
    if len(found) != 1:
        raise Rejected("names_nothing" if not found else "names_several", f"{len(found)} × {what}")
    return found[0]


def _part(call: Call, key: str) -> Mapping[str, Tree]:
    part = call.response.get(key)
    if not isinstance(part, Mapping) or not part:
        raise Rejected("lacks_response", f"{call.name} without responseElements.{key}")
    return part


def _interface_id(call: Call) -> str:
    return str(_one(dict.fromkeys(asked("interface", "networkInterfaceId")[1](call)), "networkInterfaceId"))


def _interface_created(call: Call) -> list[Row]:
    """The interface whole, as it was created: attached to nothing yet, without a public address."""
    item = boto3_shape(_part(call, "networkInterface"), "NetworkInterface")
    owned(call.account_id, item.get("OwnerId"), str(item.get("NetworkInterfaceId")))
    return [{**row, "created_at": row["observed_at"]} for row in rows_of("interface", item, call.seen)]


def _instances_run(call: Call) -> list[Row]:
    """Instances and their first interfaces, which no CreateNetworkInterface tells of. Partial: public addresses and
    the interfaces' tags come later and are in no event."""
    owner = call.response.get("ownerId")
    owned(call.account_id, owner, "the reservation")
    rows: list[Row] = []
    for tree in listed(call.response.get("instancesSet")):
        item = {**boto3_shape(tree, "Instance"), "OwnerId": call.account_id}
        rows += [_without(row, "public_addresses") for row in rows_of("instance", item, call.seen)]
        for interface in interfaces_of_instance(item, call.account_id):
            owned(call.account_id, interface.get("OwnerId"), str(interface.get("NetworkInterfaceId")))
            if not interface.get("TagSet"):
                interface.pop("TagSet", None)
            # One that was there before stays when the instance ends; one that goes with it was made with it.
            made = interface["Attachment"].get("DeleteOnTermination") is True
            for row in rows_of("interface", interface, call.seen):
                born = {"created_at": row["observed_at"]} if made else {}
                rows.append({**_without(row, "public_addresses"), **born})
    if not rows:
        raise Rejected("lacks_response", "RunInstances without instances")
    return rows


def _without(row: Row, *columns: str) -> Row:
    """The row as partial, silent about these columns. What is absent by it stays absent."""
    silent = {name: value for name, value in row.items() if name not in columns}
    return {**silent, "state": PARTIAL if row["state"] == PRESENT else row["state"]}


INSTANCE_STATES: dict[str, tuple[tuple[str, str], ...]] = {
    # state: what is to be fetched when it is reached, and by what
    "pending": (),
    "running": (("instance", "id"), ("interface", "instance")),
    "stopping": (),
    "stopped": (("interface", "instance"),),
    "shutting-down": (),
    "terminated": (),
}


def instance_row(instance: str, state: str, seen: Seen) -> Row:
    """An instance's state as an event tells it: terminated is absence, all else leaves it there."""
    gone = state == "terminated"
    arn = seen.arn("ec2", seen.account_id, f"instance/{instance}")
    return seen.row("instance", instance, ABSENT if gone else PARTIAL, arn=arn, detail={"state": state})


def _instance_states(call: Call) -> list[Row]:
    """StartInstances, StopInstances, TerminateInstances: the state that the call answered with. Terminating is no
    release: shutting-down is said as such, and only terminated (at once, of a stopped instance) as absence."""
    rows = []
    for tree in listed(call.response.get("instancesSet")):
        if not isinstance(tree, Mapping):
            raise Unreadable("instancesSet holds no instances")
        instance, current = str(tree.get("instanceId")), tree.get("currentState")
        state = str(current.get("name") if isinstance(current, Mapping) else None)
        if not is_id("instance", instance) or state not in INSTANCE_STATES:
            raise Rejected("unknown_state", f"{instance} is {state}")
        rows.append(instance_row(instance, state, call.seen))
    return rows


def _interface_attached(call: Call) -> list[Row]:
    instance = _one(dict.fromkeys(asked("instance", "instanceId")[1](call)), "instanceId")
    attachment = _one(dict.fromkeys(told("attachment", "attachmentId")[1](call)), "attachmentId")
    return [call.seen.row("interface", _interface_id(call), PARTIAL, instance_id=instance, attachment_id=attachment)]


def _interface_modified(call: Call) -> list[Row]:
    """Only what the request set. Its values are bare or {"value": …}."""
    asked = {name[:1].lower() + name[1:]: value for name, value in call.request.items()}
    groups = asked.get("groupSet", asked.get("securityGroupId"))
    description, check = _bare(asked.get("description")), _bare(asked.get("sourceDestCheck"))
    kept = asked.get("attachment")
    on_termination = kept.get("deleteOnTermination") if isinstance(kept, Mapping) else None
    detail = {
        "source_dest_check": None if check is None else cloudtrail.truth(check, "sourceDestCheck"),
        "delete_on_termination": None
        if on_termination is None
        else cloudtrail.truth(on_termination, "deleteOnTermination"),
    }
    said = {name: value for name, value in detail.items() if value is not None}
    columns = {
        "security_group_ids": None if groups in (None, {}, "") else of_kind("security_group", cloudtrail.texts(groups)),
        "description": None if description is None else cloudtrail.text(description, "description"),
        "detail": said or None,
    }
    if all(value is None for value in columns.values()):
        raise Ignored("not_needed")
    return [call.seen.row("interface", _interface_id(call), PARTIAL, **columns)]


def _bare(tree: Tree) -> Tree:
    return tree.get("value") if isinstance(tree, Mapping) else tree


def _addresses_assigned(call: Call) -> list[Row]:
    """What the response says was assigned, else what the request named; a mere count says nothing (fetched then)."""
    added = cloudtrail.addresses(call.response) or cloudtrail.addresses(call.request)
    return [call.seen.row("interface", _interface_id(call), PARTIAL, addresses_added=added)] if added else []


def _addresses_unassigned(call: Call) -> list[Row]:
    removed = cloudtrail.addresses([call.request, call.response])
    if not removed:
        raise Rejected("names_nothing", f"{call.name} without an address")
    return [call.seen.row("interface", _interface_id(call), PARTIAL, addresses_removed=removed)]


def _unless_told_addresses(call: Call) -> list[str]:
    told = cloudtrail.addresses(call.response) or cloudtrail.addresses(call.request)
    return [] if told else [_interface_id(call)]


def _tags_of_call(call: Call) -> Iterator[tuple[str, str | None]]:
    """Key and value (None where the request gives none) of the request's tags."""
    for tree in listed(call.request.get("tagSet")):
        if not isinstance(tree, Mapping) or "key" not in tree:
            raise Unreadable(f"a tag is {tree!r:.60}")
        value = tree.get("value")
        yield cloudtrail.text(tree["key"], "key"), None if value is None else cloudtrail.text(value, "value")


def _tagged(call: Call) -> list[str]:
    """Ids of the resources that an EC2 tag call names: of any kind."""
    return [cloudtrail.text(value, "resourceId") for value in under(call.request.get("resourcesSet"), "resourceId")]


def _tags_created(call: Call) -> list[Row]:
    """A delta: these keys were set, nothing is said of others. An empty value is left out of the request."""
    tags = {key: value or "" for key, value in _tags_of_call(call)}
    if not tags:
        raise Rejected("lacks_tags", "CreateTags without tags")
    kept = call.seen.tags(tags)
    if not kept:
        raise Ignored("tags_not_kept")
    return [call.seen.row("tags", entity, PARTIAL, tags=kept) for entity in _tagged(call)]


def _tags_deleted(call: Call) -> list[Row]:
    """A delta of the keys that came without a value. With one, a key goes only if its value is the same, and without
    any keys all user tags go: what is left then is fetched."""
    removed = [key for key, value in _tags_of_call(call) if value is None]
    return [call.seen.row("tags", entity, PARTIAL, tags_removed=removed) for entity in _tagged(call)] if removed else []


def _tags_in_doubt(call: Call) -> list[str]:
    tags = list(_tags_of_call(call))
    return _tagged(call) if not tags or any(value is not None for _, value in tags) else []


def _entity(kind: str, key: str, shape: str) -> Say:
    """An entity that the response holds whole."""

    def say(call: Call) -> list[Row]:
        item = boto3_shape(_part(call, key), shape)
        owned(call.account_id, item.get("OwnerId"), key)
        return rows_of(kind, item, call.seen)

    return say


def _mount_target_created(call: Call) -> list[Row]:
    """CreateMountTarget names its interface with its one address."""
    said = call.response
    owned(call.account_id, said.get("ownerId"), "the mount target")
    interface, address = str(said.get("networkInterfaceId")), said.get("ipAddress")
    if not is_id("interface", interface) or not address:
        return []
    return [
        call.seen.row(
            "interface",
            interface,
            PARTIAL,
            vpc_id=said.get("vpcId"),
            subnet_id=said.get("subnetId"),
            availability_zone=said.get("availabilityZoneName"),
            az_id=said.get("availabilityZoneId"),
            addresses=cloudtrail.addresses([address]),
        )
    ]


def _flow_logs_created(call: Call) -> list[str]:
    return of_kind("flow_log", cloudtrail.texts(call.response))


def _flow_logs_deleted(call: Call) -> list[str]:
    kept = set(cloudtrail.texts(call.response.get("unsuccessful")))
    return [log for log in asked("flow_log", "flowLogId")[1](call) if log not in kept]


_LOAD_BALANCER = re.compile(r"^(arn:[^:]+:elasticloadbalancing:[^:]*:[^:]*:)(?:listener|listener-rule|loadbalancer)/")


def _load_balancers(call: Call) -> list[str]:
    """ARNs of load balancers, also out of their listeners' and rules' ARNs; names of classic ones."""
    found = []
    for value in cloudtrail.texts([call.request, call.response]):
        match = _LOAD_BALANCER.match(value)
        if match:
            owned_arn(call.account_id, value)
            kind_name_id = value[match.end() :].split("/")[:3]
            found.append(match.group(1) + "loadbalancer/" + "/".join(kind_name_id))
    if not found and isinstance(call.request.get("loadBalancerName"), str):
        found.append(call.request["loadBalancerName"])
    return found


def _load_balancers_gone(call: Call) -> list[str]:
    return [
        value
        if value.startswith("arn:")
        else make_arn("elasticloadbalancing", call.region, call.account_id, f"loadbalancer/{value}")
        for value in _load_balancers(call)
    ]


_FUNCTION = re.compile(
    r"^(?:arn:[^:]+:lambda:)?(?:(?P<region>[a-z]{2,}(?:-[a-z]+)+-[0-9]+):)?(?:(?P<account>[0-9]{12}):)?(?:function:)?"
    r"(?P<name>[A-Za-z0-9_.-]+)(?::(?P<qualifier>[^:]+))?\Z"
)
"""What Lambda takes for a function's name: its name, its ARN, or that ARN's end from the account on, each also with a
version or alias behind it."""


def _function_named(call: Call, given: str) -> tuple[str, bool]:
    """The ARN of the function so named, and whether the name is of the whole function, not of a version of it."""
    match = _FUNCTION.match(given)
    if match is None:
        raise Rejected("names_nothing", f"{call.name} of {given:.140}")
    owned(call.account_id, match["account"], given)
    arn = make_arn("lambda", match["region"] or call.region, call.account_id, f"function:{match['name']}")
    return arn, match["qualifier"] is None


def _function_gone(call: Call) -> list[str]:
    """A function deleted whole; the deletion of one of its versions leaves it."""
    given = call.request.get("functionName")
    if not isinstance(given, str) or not given:
        raise Rejected("names_nothing", "DeleteFunction without functionName")
    arn, whole = _function_named(call, given)
    if call.request.get("qualifier") or not whole:
        raise Ignored("not_needed")
    return [arn]


_NAMES_WHAT_IS_TAGGED = {
    "resourceArns",  # elbv2
    "loadBalancerNames",  # elb
    "resourceName",  # rds, elasticache, redshift
    "resourceArn",  # ecs, eks, kafka
    "resource",  # lambda
    "aRN",  # es
    "resourceId",  # efs
    "fileSystemId",  # efs, its older calls
}
"""The keys under which tag calls of other services name what they tag. Beside them are tags, whose keys and values are
anybody's text and may be ARNs themselves."""


def _tags_of_named(call: Call) -> list[Want]:
    """The tags of what a tag call of another service names, asked for where its ARN says that it is."""
    wants = []
    for key, tree in call.request.items():
        key = key[:1].lower() + key[1:]
        for value in cloudtrail.texts(listed(tree)) if key in _NAMES_WHAT_IS_TAGGED else ():
            arn = _tagged_arn(call, key, value)
            wants.append(replace(call.want("tags", arn), region=owned_arn(call.account_id, arn).region or call.region))
    return wants


def _tagged_arn(call: Call, key: str, value: str) -> str:
    """The ARN of what a tag call names so. What stands in a URL's path CloudTrail may have as it stood there."""
    if value.lower().startswith("arn%3a"):
        return unquote(value)
    if value.startswith("arn:"):
        return value
    if key == "loadBalancerNames":
        return make_arn("elasticloadbalancing", call.region, call.account_id, f"loadbalancer/{value}")
    if value.startswith("fsap-"):
        return make_arn("elasticfilesystem", call.region, call.account_id, f"access-point/{value}")
    if is_id("file_system", value):
        return make_arn("elasticfilesystem", call.region, call.account_id, f"file-system/{value}")
    raise Rejected("names_nothing", f"{call.name} of {value:.140}")


# ---- the rules ---------------------------------------------------------------------------------------------------


def _interfaces_of(call: Call) -> list[Want]:
    """The interfaces of the instances that the request names."""
    return [call.want("interface", value, "instance") for value in asked("instance", "instanceId")[1](call)]


def _interfaces_of_regrouped(call: Call) -> list[Want]:
    if "groupSet" not in call.request:
        raise Ignored("not_needed")
    return _interfaces_of(call)


def _functions(call: Call) -> list[str]:
    """A function's ARN out of the response, else out of the request. The answer to a call that also publishes names the
    version: the function is asked for."""
    name = call.request.get("functionName")
    named = list(under(call.response, "functionArn")) or ([name] if isinstance(name, str) else [])
    return [_function_named(call, value)[0] for value in named]


def _cluster_names(call: Call) -> list[str]:
    """EKS: the cluster's name is the request's name, and the response's."""
    name = call.request.get("name") or next(under(call.response.get("cluster"), "name"), None)
    return [name] if isinstance(name, str) else []


_ROUTES = told("route_table", "routeTableId")
_TGW_ROUTES = told("transit_gateway_route_table", "transitGatewayRouteTableId")
_TGW_ATTACHMENT = told("transit_gateway_attachment", "transitGatewayAttachmentId")
_TARGET_GROUPS = arns("target_group", r"^arn:[^:]+:elasticloadbalancing:[^:]*:[^:]*:targetgroup/")
_BALANCERS = ("load_balancer", _load_balancers)
_DB = names("db_instance", "dBInstanceIdentifier", "newDBInstanceIdentifier")
_DB_CLUSTER = names("db_cluster", "dBClusterIdentifier", "newDBClusterIdentifier")
_DB_PROXY = names("db_proxy", "dBProxyName", "newDBProxyName")
_CACHE = names("cache", "cacheClusterId", "memberClusters")

TABLE: tuple[tuple[str, str, Rule], ...] = (
    # service, call names, what they mean. Interfaces:
    (
        "ec2",
        "CreateNetworkInterface",
        Rule(says=_interface_created),
    ),
    ("ec2", "DeleteNetworkInterface", Rule(gone=asked("interface", "networkInterfaceId"))),
    (
        "ec2",
        "AttachNetworkInterface",
        Rule(says=_interface_attached, fetch=(asked("interface", "networkInterfaceId"),)),
    ),
    ("ec2", "DetachNetworkInterface", Rule(gone=asked("attachment", "attachmentId"))),
    ("ec2", "ModifyNetworkInterfaceAttribute", Rule(says=_interface_modified)),
    ("ec2", "ResetNetworkInterfaceAttribute", Rule(fetch=(asked("interface", "networkInterfaceId"),))),
    (
        "ec2",
        "AssignPrivateIpAddresses AssignIpv6Addresses",
        Rule(says=_addresses_assigned, fetch=(("interface", _unless_told_addresses),)),
    ),
    ("ec2", "UnassignPrivateIpAddresses UnassignIpv6Addresses", Rule(says=_addresses_unassigned)),
    (
        "ec2",
        "AssociateAddress",
        Rule(
            fetch=(asked("interface", "networkInterfaceId"), asked("elastic_ip", "allocationId")),
            fetch_else=_interfaces_of,
        ),
    ),
    # Only the association (or the public address) is named: all addresses are listed (one call).
    ("ec2", "DisassociateAddress AcceptAddressTransfer", Rule(fetch=(all_of("elastic_ip"),))),
    ("ec2", "AllocateAddress", Rule(fetch=(told("elastic_ip", "allocationId"),))),
    ("ec2", "ReleaseAddress", Rule(gone=asked("elastic_ip", "allocationId"))),
    # Instances:
    ("ec2", "RunInstances", Rule(says=_instances_run, fetch=(told("interface", "networkInterfaceId"),))),
    ("ec2", "StartInstances", Rule(says=_instance_states, fetch_else=_interfaces_of)),
    ("ec2", "StopInstances TerminateInstances", Rule(says=_instance_states)),
    ("ec2", "ModifyInstanceAttribute", Rule(fetch_else=_interfaces_of_regrouped)),
    # Tags:
    ("ec2", "CreateTags", Rule(says=_tags_created)),
    ("ec2", "DeleteTags", Rule(says=_tags_deleted, fetch=(("tags", _tags_in_doubt),))),
    # The network's plan:
    ("ec2", "CreateSubnet CreateDefaultSubnet", Rule(says=_entity("subnet", "subnet", "Subnet"))),
    ("ec2", "DeleteSubnet", Rule(gone=asked("subnet", "subnetId"))),
    (
        "ec2",
        "AssociateSubnetCidrBlock DisassociateSubnetCidrBlock ModifySubnetAttribute",
        Rule(fetch=(told("subnet", "subnetId"),)),
    ),
    ("ec2", "CreateVpc", Rule(says=_entity("vpc", "vpc", "Vpc"), fetch=(all_of("route_table"),))),
    (
        "ec2",
        "CreateDefaultVpc",
        Rule(
            says=_entity("vpc", "vpc", "Vpc"),
            fetch=(all_of("route_table"), all_of("subnet"), all_of("internet_gateway")),
        ),
    ),
    ("ec2", "DeleteVpc", Rule(gone=asked("vpc", "vpcId"))),
    (
        "ec2",
        "AssociateVpcCidrBlock DisassociateVpcCidrBlock ModifyVpcAttribute ModifyVpcTenancy",
        Rule(fetch=(told("vpc", "vpcId"),)),
    ),
    (
        "ec2",
        "CreateRouteTable CreateRoute ReplaceRoute DeleteRoute AssociateRouteTable "
        "EnableVgwRoutePropagation DisableVgwRoutePropagation "
        "EnableRouteServerPropagation DisableRouteServerPropagation",
        Rule(fetch=(_ROUTES,)),
    ),
    # The table that loses the association is not named.
    ("ec2", "DisassociateRouteTable ReplaceRouteTableAssociation", Rule(fetch=(all_of("route_table"),))),
    ("ec2", "DeleteRouteTable", Rule(gone=asked("route_table", "routeTableId"))),
    (
        "ec2",
        "CreateInternetGateway AttachInternetGateway DetachInternetGateway",
        Rule(fetch=(told("internet_gateway", "internetGatewayId"),)),
    ),
    ("ec2", "DeleteInternetGateway", Rule(gone=asked("internet_gateway", "internetGatewayId"))),
    (
        "ec2",
        "CreateVpnGateway AttachVpnGateway DetachVpnGateway",
        Rule(fetch=(told("vpn_gateway", "vpnGatewayId"),)),
    ),
    ("ec2", "DeleteVpnGateway", Rule(gone=asked("vpn_gateway", "vpnGatewayId"))),
    # Ways out and across. Deleting these takes a while: what is left is fetched.
    (
        "ec2",
        "CreateNatGateway DeleteNatGateway AssociateNatGatewayAddress DisassociateNatGatewayAddress "
        "AssignPrivateNatGatewayAddress UnassignPrivateNatGatewayAddress",
        Rule(fetch=(told("nat_gateway", "natGatewayId"),)),
    ),
    # A gateway endpoint is a route in each of its tables, which only its deletion does not name.
    (
        "ec2",
        "CreateVpcEndpoint ModifyVpcEndpoint",
        Rule(fetch=(told("vpc_endpoint", "vpcEndpointId"), anywhere("route_table"))),
    ),
    ("ec2", "DeleteVpcEndpoints", Rule(fetch=(told("vpc_endpoint", "vpcEndpointId"), all_of("route_table")))),
    (
        "ec2",
        "CreateVpcPeeringConnection AcceptVpcPeeringConnection RejectVpcPeeringConnection DeleteVpcPeeringConnection "
        "ModifyVpcPeeringConnectionOptions",
        Rule(fetch=(told("peering", "vpcPeeringConnectionId"),)),
    ),
    (
        "ec2",
        "CreateTransitGatewayVpcAttachment AcceptTransitGatewayVpcAttachment RejectTransitGatewayVpcAttachment "
        "ModifyTransitGatewayVpcAttachment DeleteTransitGatewayVpcAttachment "
        "CreateTransitGatewayPeeringAttachment AcceptTransitGatewayPeeringAttachment "
        "RejectTransitGatewayPeeringAttachment ModifyTransitGatewayPeeringAttachment "
        "DeleteTransitGatewayPeeringAttachment CreateTransitGatewayConnect DeleteTransitGatewayConnect "
        "AcceptTransitGatewayClientVpnAttachment RejectTransitGatewayClientVpnAttachment "
        "DeleteTransitGatewayClientVpnAttachment CreateTransitGatewayNetworkFunctionAttachment "
        "ModifyTransitGatewayNetworkFunctionAttachment DeleteTransitGatewayNetworkFunctionAttachment",
        Rule(fetch=(_TGW_ATTACHMENT,)),
    ),
    # A VPN on a transit gateway is an attachment of it, which these calls do not name.
    (
        "ec2",
        "CreateVpnConnection ModifyVpnConnection DeleteVpnConnection",
        Rule(fetch=(all_of("transit_gateway_attachment"),)),
    ),
    # Its static routes reach the tables that its virtual private gateway propagates to.
    (
        "ec2",
        "CreateVpnConnectionRoute DeleteVpnConnectionRoute",
        Rule(fetch=(all_of("route_table"),)),
    ),
    # A Direct Connect gateway on a transit gateway is an attachment of it; on a virtual private one it brings routes.
    (
        "directconnect",
        "CreateDirectConnectGatewayAssociation AcceptDirectConnectGatewayAssociationProposal "
        "UpdateDirectConnectGatewayAssociation DeleteDirectConnectGatewayAssociation",
        Rule(fetch=(all_of("transit_gateway_attachment"), all_of("route_table"))),
    ),
    (
        "ec2",
        "AssociateTransitGatewayRouteTable DisassociateTransitGatewayRouteTable "
        "EnableTransitGatewayRouteTablePropagation DisableTransitGatewayRouteTablePropagation",
        Rule(fetch=(_TGW_ATTACHMENT, _TGW_ROUTES)),
    ),
    (
        "ec2",
        "CreateTransitGatewayRouteTable DeleteTransitGatewayRouteTable CreateTransitGatewayRoute "
        "ReplaceTransitGatewayRoute DeleteTransitGatewayRoute CreateTransitGatewayPrefixListReference "
        "ModifyTransitGatewayPrefixListReference DeleteTransitGatewayPrefixListReference",
        Rule(fetch=(_TGW_ROUTES,)),
    ),
    (
        "ec2",
        "CreateManagedPrefixList ModifyManagedPrefixList RestoreManagedPrefixListVersion DeleteManagedPrefixList",
        Rule(fetch=(told("prefix_list", "prefixListId"),)),
    ),
    (
        "ec2",
        "CreateSecurityGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress "
        "RevokeSecurityGroupIngress RevokeSecurityGroupEgress ModifySecurityGroupRules "
        "UpdateSecurityGroupRuleDescriptionsIngress UpdateSecurityGroupRuleDescriptionsEgress "
        "AssociateSecurityGroupVpc DisassociateSecurityGroupVpc",
        Rule(fetch=(topmost("security_group", "groupId"),)),
    ),
    ("ec2", "DeleteSecurityGroup", Rule(gone=topmost("security_group", "groupId"))),
    ("ec2", "CreateFlowLogs", Rule(fetch=(("flow_log", _flow_logs_created),))),
    ("ec2", "DeleteFlowLogs", Rule(gone=("flow_log", _flow_logs_deleted))),
    # Load balancers, of both APIs:
    (
        "elasticloadbalancing",
        "CreateLoadBalancer ModifyLoadBalancerAttributes SetSubnets SetSecurityGroups SetIpAddressType CreateListener "
        "ModifyListener DeleteListener CreateRule ModifyRule DeleteRule SetRulePriorities CreateTargetGroup "
        "ModifyTargetGroup ModifyTargetGroupAttributes RegisterTargets DeregisterTargets "
        "CreateLoadBalancerListeners DeleteLoadBalancerListeners "
        "EnableAvailabilityZonesForLoadBalancer DisableAvailabilityZonesForLoadBalancer "
        "RegisterInstancesWithLoadBalancer DeregisterInstancesFromLoadBalancer AttachLoadBalancerToSubnets "
        "DetachLoadBalancerFromSubnets ApplySecurityGroupsToLoadBalancer",
        Rule(fetch=(_BALANCERS, _TARGET_GROUPS)),
    ),
    ("elasticloadbalancing", "DeleteLoadBalancer", Rule(gone=("load_balancer", _load_balancers_gone))),
    ("elasticloadbalancing", "DeleteTargetGroup", Rule(gone=_TARGET_GROUPS)),
    # Databases and caches. Deleting takes minutes: what is left is fetched.
    (
        "rds",
        "CreateDBInstance CreateDBInstanceReadReplica RestoreDBInstanceFromDBSnapshot "
        "RestoreDBInstanceToPointInTime RestoreDBInstanceFromS3 ModifyDBInstance DeleteDBInstance "
        "StartDBInstance StopDBInstance RebootDBInstance PromoteReadReplica SwitchoverReadReplica",
        Rule(fetch=(_DB,)),
    ),
    (
        "rds",
        "CreateDBCluster RestoreDBClusterFromSnapshot RestoreDBClusterToPointInTime RestoreDBClusterFromS3 "
        "ModifyDBCluster DeleteDBCluster FailoverDBCluster StartDBCluster StopDBCluster RebootDBCluster "
        "PromoteReadReplicaDBCluster",
        Rule(fetch=(_DB_CLUSTER,)),
    ),
    # What these move, rename or put elsewhere they do not name.
    (
        "rds",
        "SwitchoverBlueGreenDeployment DeleteBlueGreenDeployment ModifyDBSubnetGroup FailoverGlobalCluster "
        "SwitchoverGlobalCluster RemoveFromGlobalCluster",
        Rule(fetch=(all_of("db_instance"), all_of("db_cluster"))),
    ),
    (
        "rds",
        "CreateDBProxy ModifyDBProxy DeleteDBProxy RegisterDBProxyTargets DeregisterDBProxyTargets",
        Rule(fetch=(_DB_PROXY,)),
    ),
    ("elasticache", "CreateCacheCluster ModifyCacheCluster DeleteCacheCluster", Rule(fetch=(_CACHE,))),
    # A replication group's members are caches of their own, made after the call; serverless ones have no such id.
    (
        "elasticache",
        "CreateReplicationGroup ModifyReplicationGroup DeleteReplicationGroup IncreaseReplicaCount "
        "DecreaseReplicaCount ModifyReplicationGroupShardConfiguration ModifyCacheSubnetGroup "
        "CreateServerlessCache ModifyServerlessCache DeleteServerlessCache "
        "CreateGlobalReplicationGroup ModifyGlobalReplicationGroup DeleteGlobalReplicationGroup "
        "DisassociateGlobalReplicationGroup FailoverGlobalReplicationGroup "
        "IncreaseNodeGroupsInGlobalReplicationGroup DecreaseNodeGroupsInGlobalReplicationGroup "
        "RebalanceSlotsInGlobalReplicationGroup",
        Rule(fetch=(all_of("cache"),)),
    ),
    # Functions and file systems:
    (
        "lambda",
        "CreateFunction UpdateFunctionConfiguration UpdateFunctionCode",
        Rule(fetch=(("function", _functions),)),
    ),
    ("lambda", "DeleteFunction", Rule(gone=("function", _function_gone))),
    (
        "elasticfilesystem",
        "CreateMountTarget",
        Rule(
            says=_mount_target_created,
            fetch=(told("interface", "networkInterfaceId"), told("file_system", "fileSystemId")),
        ),
    ),
    # These name neither interface nor file system.
    (
        "elasticfilesystem",
        "DeleteMountTarget ModifyMountTargetSecurityGroups",
        Rule(fetch=(all_of("file_system"),)),
    ),
    ("elasticfilesystem", "CreateFileSystem", Rule(fetch=(told("file_system", "fileSystemId"),))),
    ("elasticfilesystem", "DeleteFileSystem", Rule(gone=asked("file_system", "fileSystemId"))),
    # Containers, search, warehouses, streams:
    (
        "ecs",
        "CreateService UpdateService DeleteService",
        Rule(fetch=(arns("ecs_service", r"^arn:[^:]+:ecs:[^:]*:[^:]*:service/"),)),
    ),
    (
        "eks",
        "CreateCluster UpdateClusterConfig DeleteCluster",
        Rule(fetch=(("eks_cluster", _cluster_names),)),
    ),
    (
        "es",
        "CreateDomain UpdateDomainConfig DeleteDomain CreateElasticsearchDomain UpdateElasticsearchDomainConfig "
        "DeleteElasticsearchDomain",
        Rule(fetch=(("search_domain", lambda call: list(under(call.request, "domainName"))),)),
    ),
    (
        "redshift",
        "CreateCluster ModifyCluster DeleteCluster RestoreFromClusterSnapshot ResizeCluster PauseCluster ResumeCluster "
        "FailoverPrimaryCompute",
        Rule(
            fetch=(("warehouse", lambda call: [value.lower() for value in under(call.request, "clusterIdentifier")]),)
        ),
    ),
    (
        "kafka",
        "CreateCluster CreateClusterV2 UpdateBrokerCount UpdateBrokerType UpdateConnectivity UpdateSecurity "
        "DeleteCluster",
        Rule(fetch=(arns("kafka_cluster", r"^arn:[^:]+:kafka:[^:]*:[^:]*:cluster/"),)),
    ),
    *(
        (service, calls, Rule(fetch_else=_tags_of_named))
        for service, calls in (
            ("elasticloadbalancing", "AddTags RemoveTags"),
            ("rds", "AddTagsToResource RemoveTagsFromResource"),
            ("elasticache", "AddTagsToResource RemoveTagsFromResource"),
            ("lambda", "TagResource UntagResource"),
            ("elasticfilesystem", "CreateTags DeleteTags TagResource UntagResource"),
            ("ecs", "TagResource UntagResource"),
            ("eks", "TagResource UntagResource"),
            ("es", "AddTags RemoveTags"),
            ("redshift", "CreateTags DeleteTags"),
            ("kafka", "TagResource UntagResource"),
        )
    ),
)


RULES: dict[tuple[str, str], Rule] = {(service, name): rule for service, calls, rule in TABLE for name in calls.split()}
"""(service, call) -> rule. What is not here is not needed."""
