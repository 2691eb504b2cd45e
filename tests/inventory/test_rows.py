"""Items of AWS as rows: each kind in small, and every real item as rows or as a problem with a name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from flowlake.inventory.rows import ROWS, BadItem, Seen, interfaces_of_instance, rows_of
from flowlake.inventory.seen import moment
from flowlake.inventory.sweep import interface_type_of
from flowlake.lake.contracts import contract, lake_data
from flowlake.lake.observations import from_lines, kinds, to_lines
from tests.samples import sample

AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
ACCOUNT, REGION = "123456789012", "eu-west-1"
SEEN = Seen(AT, AT, "sweep", "Describe", "sweep-1", ACCOUNT, REGION, sweep_started_at=AT)


def one(kind: str, item: dict[str, Any], seen: Seen = SEEN) -> dict[str, Any]:
    (row,) = rows_of(kind, item, seen)
    return row


def detail(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row.get("detail", "{}"))
    return found


INTERFACE: dict[str, Any] = {
    "NetworkInterfaceId": "eni-1",
    "VpcId": "vpc-1",
    "SubnetId": "subnet-1",
    "OwnerId": ACCOUNT,
    "AvailabilityZone": "eu-west-1a",
    "PrivateIpAddress": "10.0.0.5",
    # The primary address is not always the first.
    "PrivateIpAddresses": [
        {"Primary": False, "PrivateIpAddress": "10.0.0.4", "Association": {"PublicIp": "3.3.3.4"}},
        {"Primary": True, "PrivateIpAddress": "10.0.0.5", "Association": {"PublicIp": "3.3.3.3"}},
    ],
    "Association": {"PublicIp": "3.3.3.3"},
    "Ipv6Addresses": [{"Ipv6Address": "2001:db8::5"}],
    "Ipv4Prefixes": [{"Ipv4Prefix": "10.0.0.16/28"}],
    "Ipv6Prefixes": [{"Ipv6Prefix": "2001:db8:0:1::/80"}],
    "Attachment": {
        "AttachmentId": "eni-attach-1",
        "AttachTime": AT,
        "InstanceId": "i-1",
        "InstanceOwnerId": ACCOUNT,
        "Status": "attached",
    },
    "Groups": [{"GroupId": "sg-1", "GroupName": "web"}],
    "InterfaceType": "interface",
    "Description": "",
    "RequesterManaged": False,
    "Status": "in-use",
    "TagSet": [{"Key": "team", "Value": "data"}],
}


def test_an_interface_is_a_row_with_its_primary_address_first() -> None:
    row = one("interface", INTERFACE)
    assert row["addresses"] == ["10.0.0.5", "10.0.0.4", "2001:db8::5"]
    assert row["prefixes"] == ["10.0.0.16/28", "2001:db8:0:1::/80"]
    assert row["public_addresses"] == ["3.3.3.3", "3.3.3.4"]
    assert row["attached_at"] == "2026-01-01 12:00:00.000"
    assert (row["attachment_id"], row["instance_id"]) == ("eni-attach-1", "i-1")
    assert row["security_group_ids"] == ["sg-1"]
    assert row["tags"] == {"team": "data"}
    assert (row["state"], row["sweep_started_at"]) == ("present", "2026-01-01 12:00:00.000")


def test_an_interface_that_is_attached_to_nothing_says_so() -> None:
    loose = {key: value for key, value in INTERFACE.items() if key != "Attachment"}
    for item in (loose, {**loose, "Attachment": {"Status": "detached", "InstanceId": "i-1", "AttachmentId": "a"}}):
        row = one("interface", item)
        assert (row["attachment_id"], row["instance_id"]) == ("", "")
        assert "attached_at" not in row


def test_tags_that_are_not_told_are_not_none() -> None:
    untold = {key: value for key, value in INTERFACE.items() if key != "TagSet"}
    assert "tags" not in one("interface", untold)
    assert one("interface", {**INTERFACE, "TagSet": []})["tags"] == {}
    assert one("instance", {"InstanceId": "i-1"})["tags"] == {}  # EC2 leaves the field out where there are none


def test_an_interface_in_a_shared_subnet_is_its_owners() -> None:
    row = one("interface", {**INTERFACE, "OwnerId": "999999999999"})
    assert row["account_id"] == "999999999999"
    assert detail(row)["seen_by"] == ACCOUNT


def test_a_setting_names_the_tags_to_keep() -> None:
    kept = replace(SEEN, keep_tags=frozenset({"owner"}))
    item = {**INTERFACE, "TagSet": [{"Key": "owner", "Value": "a"}, {"Key": "secret", "Value": "b"}]}
    assert one("interface", item, kept)["tags"] == {"owner": "a"}


def test_a_cut_of_an_interface_is_a_problem_with_a_name() -> None:
    with pytest.raises(BadItem, match="interface eni-1 lacks 'VpcId'"):
        rows_of("interface", {"NetworkInterfaceId": "eni-1", "TagSet": []}, SEEN)
    with pytest.raises(BadItem, match="is no time"):
        rows_of("instance", {"InstanceId": "i-1", "LaunchTime": "soon"}, SEEN)
    with pytest.raises(BadItem, match="vpc of type list"):
        rows_of("vpc", [], SEEN)  # type: ignore[arg-type]


def test_a_terminated_instance_is_absent() -> None:
    row = one("instance", {"InstanceId": "i-1", "State": {"Name": "terminated"}})
    assert row["state"] == "absent"
    assert one("instance", {"InstanceId": "i-1", "State": {"Name": "stopped"}})["state"] == "present"


def test_an_instances_list_of_its_interfaces_completes_them() -> None:
    (item,) = interfaces_of_instance(
        {
            "InstanceId": "i-1",
            "VpcId": "vpc-1",
            "SubnetId": "subnet-1",
            "Placement": {"AvailabilityZone": "eu-west-1a"},
            "NetworkInterfaces": [
                {
                    "NetworkInterfaceId": "eni-1",
                    "VpcId": "vpc-1",
                    "SubnetId": "subnet-1",
                    "PrivateIpAddress": "10.0.0.5",
                    "Attachment": {"AttachmentId": "eni-attach-1", "Status": "attaching"},
                }
            ],
        },
        ACCOUNT,
    )
    row = one("interface", item)
    assert (row["instance_id"], row["instance_owner_id"], row["availability_zone"]) == ("i-1", ACCOUNT, "eu-west-1a")
    assert "tags" not in row


def test_routes_are_pairs_of_destination_and_target() -> None:
    row = one(
        "route_table",
        {
            "RouteTableId": "rtb-1",
            "VpcId": "vpc-1",
            "Associations": [{"Main": True}, {"SubnetId": "subnet-1", "AssociationState": {"State": "associated"}}],
            "Routes": [
                {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
                {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"},
                {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1"},
                {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1"},
                {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1", "State": "blackhole"},
                {"DestinationCidrBlock": "10.8.0.0/16", "InstanceId": "i-1", "NetworkInterfaceId": "eni-1"},
            ],
        },
    )
    assert row["routes"] == [
        "10.0.0.0/16 local",
        "0.0.0.0/0 nat-1",
        "::/0 eigw-1",
        "pl-1 vpce-1",
        "10.9.0.0/16 blackhole",
        "10.8.0.0/16 eni-1",
    ]
    assert row["subnet_ids"] == ["subnet-1"]
    assert detail(row)["main"] is True


def test_a_peering_is_the_requesters_with_both_sides_ranges() -> None:
    row = one(
        "peering",
        {
            "VpcPeeringConnectionId": "pcx-1",
            "Status": {"Code": "active"},
            "RequesterVpcInfo": {
                "OwnerId": "999999999999",
                "VpcId": "vpc-r",
                "Region": "us-east-1",
                "CidrBlock": "10.1.0.0/16",
                "CidrBlockSet": [{"CidrBlock": "10.1.0.0/16"}, {"CidrBlock": "10.3.0.0/16"}],
            },
            "AccepterVpcInfo": {
                "OwnerId": ACCOUNT,
                "VpcId": "vpc-a",
                "Region": REGION,
                "CidrBlock": "10.2.0.0/16",
            },
        },
    )
    assert (row["account_id"], row["region"], row["vpc_id"]) == ("999999999999", "us-east-1", "vpc-r")
    assert row["cidr_blocks"] == ["10.1.0.0/16", "10.3.0.0/16", "10.2.0.0/16"]
    assert detail(row)["accepter_vpc_id"] == "vpc-a"
    assert "tags" not in row  # the requester's tags are not told to the accepter


def test_transit_gateway_routes_name_every_attachment() -> None:
    row = one(
        "transit_gateway_route_table",
        {
            "TransitGatewayRouteTableId": "tgw-rtb-1",
            "TransitGatewayId": "tgw-1",
            "Routes": [
                {
                    "DestinationCidrBlock": "10.1.0.0/16",
                    "State": "active",
                    "TransitGatewayAttachments": [
                        {"TransitGatewayAttachmentId": "tgw-attach-1"},
                        {"TransitGatewayAttachmentId": "tgw-attach-2"},
                    ],
                },
                {"DestinationCidrBlock": "10.9.0.0/16", "State": "blackhole"},
            ],
            "Propagations": [{"TransitGatewayAttachmentId": "tgw-attach-1", "State": "enabled"}],
        },
    )
    assert row["routes"] == ["10.1.0.0/16 tgw-attach-1", "10.1.0.0/16 tgw-attach-2", "10.9.0.0/16 blackhole"]
    assert detail(row)["propagations"] == ["tgw-attach-1"]
    alone = one("transit_gateway_route_table", {"TransitGatewayRouteTableId": "tgw-rtb-1"})
    assert (alone["state"], "routes" in alone) == ("partial", False)


def test_a_load_balancer_without_its_listeners_is_partial() -> None:
    arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/web/0a1b"
    item = {"LoadBalancerArn": arn, "LoadBalancerName": "web", "Type": "application"}
    assert one("load_balancer", item)["state"] == "partial"
    whole = one("load_balancer", {**item, "Listeners": [{"Port": 443}, {"Port": 80}]})
    assert (whole["state"], whole["ports"]) == ("present", [80, 443])
    gateway = one("load_balancer", {**item, "Type": "gateway", "Listeners": [{}]})
    assert gateway["ports"] == [6081]  # GENEVE, which its listeners do not say


def test_targets_keep_their_ports() -> None:
    row = one(
        "target_group",
        {
            "TargetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/web/0a1b",
            "TargetGroupName": "web",
            "VpcId": "vpc-1",
            "LoadBalancerArns": ["lb"],
            "TargetHealthDescriptions": [{"Target": {"Id": "i-1", "Port": 8080}}, {"Target": {"Id": "fn-arn"}}],
        },
    )
    assert detail(row)["targets"] == ["i-1:8080", "fn-arn"]


def test_tags_go_by_the_id_that_observations_use() -> None:
    def tagged(arn: str) -> dict[str, Any]:
        return one("tags", {"ResourceARN": arn, "Tags": [{"Key": "a", "Value": "b"}]})

    assert tagged(f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1")["entity_id"] == "i-1"
    assert tagged(f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/fs-1")["entity_id"] == "fs-1"
    queue = tagged(f"arn:aws:sqs:{REGION}:999999999999:q")
    assert (queue["entity_id"], queue["account_id"]) == (f"arn:aws:sqs:{REGION}:999999999999:q", "999999999999")
    assert tagged("arn:aws:s3:::bucket")["account_id"] == ACCOUNT  # an ARN without an account: who was asked


def test_an_accounts_mail_is_kept_by_its_domain_only() -> None:
    row = one(
        "account",
        {"Id": "999999999999", "Name": "data", "Email": "jane.doe@example.com", "Units": ["prod", "eu"]},
    )
    assert detail(row) == {"email_domain": "example.com", "organizational_units": ["prod", "eu"]}
    assert "jane" not in json.dumps(row)
    assert "region" not in row


def test_moments_come_in_every_form_of_aws() -> None:
    noon = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    epoch = int(noon.timestamp())
    for said in (
        noon,
        "2026-01-01T12:00:00Z",
        "2026-01-01T13:00:00+01:00",
        epoch,
        epoch * 1000,
        "2026-01-01T12:00:00.000+0000",
    ):
        assert moment(said) == noon
    assert moment(None) is None
    assert moment("") is None


def test_every_kind_that_there_is_has_rows() -> None:
    assert set(ROWS) == kinds() - {"attachment"}  # told by events alone


# Which files of the samples hold items of which kind, and where in them.
SAMPLES = [
    ("custodian/describe-network-interfaces.json", "interface", "NetworkInterfaces"),
    ("custodian/create-network-interface.json", "interface", "NetworkInterfaces"),
    ("custodian/ram-producer-view-consumer-eni.json", "interface", "NetworkInterfaces"),
    ("web-examples/describe-network-interfaces.json", "interface", "NetworkInterfaces"),
    ("cartography/ec2-network_interfaces.json", "interface", "DESCRIBE_NETWORK_INTERFACES"),
    ("pybatfish-us-east-2/NetworkInterfaces.json", "interface", "NetworkInterfaces"),
    ("custodian/describe-instances.json", "instance", "Reservations[].Instances"),
    ("pybatfish-us-east-2/Reservations.json", "instance", "Reservations[].Instances"),
    ("cartography/ec2-instances.json", "instance", "DESCRIBE_INSTANCES.Reservations[].Instances"),
    (
        "cartography/ec2-instances_missing_private_ip.json",
        "instance",
        "DESCRIBE_INSTANCES_MISSING_PRIVATE_IP.Reservations[].Instances",
    ),
    ("custodian/describe-vpcs.json", "vpc", "Vpcs"),
    ("pybatfish-us-east-2/Vpcs.json", "vpc", "Vpcs"),
    ("cartography/ec2-vpcs.json", "vpc", "TEST_VPCS"),
    ("custodian/describe-subnets.json", "subnet", "Subnets"),
    ("pybatfish-us-east-2/Subnets.json", "subnet", "Subnets"),
    ("cartography/ec2-subnets.json", "subnet", "DESCRIBE_SUBNETS"),
    ("cartography/ec2-subnets.json", "vpc", "DESCRIBE_VPCS.Vpcs"),
    ("custodian/describe-route-tables.json", "route_table", "RouteTables"),
    ("pybatfish-us-east-2/RouteTables.json", "route_table", "RouteTables"),
    ("cartography/ec2-route_tables.json", "route_table", "DESCRIBE_ROUTE_TABLES.RouteTables"),
    ("pybatfish-us-east-2/InternetGateways.json", "internet_gateway", "InternetGateways"),
    ("cartography/ec2-internet_gateways.json", "internet_gateway", "TEST_INTERNET_GATEWAYS"),
    ("custodian/describe-nat-gateways.json", "nat_gateway", "NatGateways"),
    ("custodian/describe-vpc-endpoints.json", "vpc_endpoint", "VpcEndpoints"),
    ("cartography/ec2-vpc_endpoints.json", "vpc_endpoint", "DESCRIBE_VPC_ENDPOINTS"),
    ("custodian/describe-vpc-peering-connections.json", "peering", "VpcPeeringConnections"),
    ("cartography/ec2-vpc_peerings.json", "peering", "DESCRIBE_VPC_PEERINGS"),
    (
        "custodian/describe-transit-gateway-attachments.json",
        "transit_gateway_attachment",
        "TransitGatewayAttachments",
    ),
    (
        "pybatfish-us-east-2/TransitGatewayAttachments.json",
        "transit_gateway_attachment",
        "TransitGatewayAttachments",
    ),
    (
        "pybatfish-us-east-2/TransitGatewayVpcAttachments.json",
        "transit_gateway_attachment",
        "TransitGatewayVpcAttachments",
    ),
    ("cartography/ec2-tgw.json", "transit_gateway_attachment", "TRANSIT_GATEWAY_ATTACHMENTS"),
    (
        "pybatfish-us-east-2/TransitGatewayRouteTables.json",
        "transit_gateway_route_table",
        "TransitGatewayRouteTables",
    ),
    ("custodian/describe-managed-prefix-lists.json", "prefix_list", "PrefixLists"),
    ("custodian/describe-prefix-lists.json", "prefix_list", "PrefixLists"),
    ("pybatfish-us-east-2/PrefixLists.json", "prefix_list", "PrefixLists"),
    ("custodian/describe-security-groups.json", "security_group", "SecurityGroups"),
    ("custodian/describe-flow-logs.json", "flow_log", "FlowLogs"),
    ("custodian/describe-addresses.json", "elastic_ip", "Addresses"),
    ("cartography/ec2-elastic_ip_addresses.json", "elastic_ip", "GET_ELASTIC_IP_ADDRESSES"),
    ("custodian/elbv2-describe-load-balancers.json", "load_balancer", "LoadBalancers"),
    ("custodian/elb-describe-load-balancers.json", "load_balancer", "LoadBalancerDescriptions"),
    ("cartography/ec2-load_balancer_v2s.json", "load_balancer", "GET_LOAD_BALANCER_V2_DATA"),
    ("cartography/ec2-load_balancers.json", "load_balancer", "DESCRIBE_LOAD_BALANCERS.LoadBalancerDescriptions"),
    ("cartography/ec2-load_balancers.json", "load_balancer", "LOAD_BALANCER_DATA"),
    ("cartography/ec2-load_balancers.json", "target_group", "TARGET_GROUPS"),
    ("custodian/rds-describe-db-instances.json", "db_instance", "DBInstances"),
    ("custodian/rds-describe-db-clusters.json", "db_cluster", "DBClusters"),
    ("custodian/rds-describe-db-proxies.json", "db_proxy", "DBProxies"),
    ("cartography/rds.json", "db_cluster", "DESCRIBE_DBCLUSTERS_RESPONSE.DBClusters"),
    ("custodian/elasticache-describe-cache-clusters.json", "cache", "CacheClusters"),
    ("cartography/elasticache.json", "cache", "DESCRIBE_CACHE_CLUSTERS.CacheClusters"),
    ("custodian/lambda-list-functions.json", "function", "Functions"),
    ("cartography/lambda_function.json", "function", "LIST_LAMBDA_FUNCTIONS"),
    ("custodian/ecs-describe-tasks.json", "ecs_task", "tasks"),
    ("cartography/ecs.json", "ecs_task", "GET_ECS_TASKS"),
    ("cartography/ecs.json", "ecs_task", "GET_ECS_TASKS_LIVE_REDACTED"),
    ("cartography/ecs.json", "ecs_service", "GET_ECS_SERVICES"),
    ("custodian/eks-describe-cluster.json", "eks_cluster", "clusters"),
    ("cartography/eks.json", "eks_cluster", "DESCRIBE_CLUSTERS"),
    ("cartography/efs.json", "file_system", "GET_EFS_FILE_SYSTEMS"),
    ("custodian/es-describe-elasticsearch-domains.json", "search_domain", "DomainStatusList"),
    ("cartography/elasticsearch.json", "search_domain", "GET_ES_DOMAINS"),
    ("custodian/redshift-describe-clusters.json", "warehouse", "Clusters"),
    ("cartography/redshift.json", "warehouse", "CLUSTERS"),
    ("custodian/kafka-list-clusters-v2.json", "kafka_cluster", "ClusterInfoList"),
    ("custodian/tagging-get-resources.json", "tags", "ResourceTagMappingList"),
    ("cartography/resourcegroupstaggingapi.json", "tags", "GET_RESOURCES_RESPONSE"),
]


def items_at(document: Any, path: str) -> Iterator[Any]:
    """The items at 'a.b[].c' in a document."""
    found = [document]
    for step in path.split("."):
        name = step.removesuffix("[]")
        found = [entry[name] for entry in found]
        if step.endswith("[]"):
            found = [entry for entries in found for entry in entries]
    return (item for entries in found for item in entries)


# Every real item that does not become rows, by what is wrong with it, and how many there are.
PROBLEMS = {
    ("custodian/describe-network-interfaces.json", "interface eni-0e78f79b7b27d86ec lacks 'VpcId'"): 1,
    ("cartography/ec2-load_balancers.json", "load_balancer myawesomeloadbalancer: '10-27-2019 12:35AM' is no time"): 1,
    ("custodian/rds-describe-db-instances.json", "db_instance test lacks 'DBInstanceArn'"): 1,
    ("custodian/rds-describe-db-instances.json", "db_instance database-2: '{}' is no time"): 1,
    ("custodian/rds-describe-db-instances.json", "db_instance database-3-instance-1: '{}' is no time"): 1,
    ("custodian/rds-describe-db-clusters.json", "db_cluster aaa lacks 'DBClusterArn'"): 1,
    ("custodian/rds-describe-db-clusters.json", "db_cluster abc-restore: 'string' is no ARN"): 1,
}


def test_every_real_item_ends_as_rows_or_as_a_named_problem() -> None:
    allowed = {column.name for column in contract("observations").columns}
    details = lake_data("kinds.json")["kinds"]
    rows, problems = Counter[str](), Counter[tuple[str, str]]()
    for name, kind, path in SAMPLES:
        document = json.loads(sample(f"inventory/{name}").read_text(encoding="utf-8"))
        for item in items_at(document, path):
            try:
                made = rows_of(kind, item, SEEN)
            except BadItem as error:
                problems[(name, str(error))] += 1
                continue
            assert all(set(row) <= allowed for row in made)
            assert all(set(detail(row)) <= set(details[kind]["detail"]) for row in made), kind
            assert list(from_lines(to_lines(made))) == made
            rows[kind] += len(made)
    assert sum(rows.values()) > 900
    assert problems == PROBLEMS


# Files without items of a kind of ours, and why.
LEFT_OUT = {
    "custodian/dax-describe-clusters.json": "not described: interfaces name their cluster",
    "custodian/dms-describe-replication-instances.json": "not described: interfaces tell the service",
    "custodian/ds-describe-directories.json": "not described: interfaces name their directory",
    "custodian/efs-describe-mount-targets.json": "parts of file systems: see the test of its own",
    "custodian/elasticache-describe-replication-groups.json": "groups of cache clusters, which name theirs",
    "custodian/fsx-describe-file-systems.json": "not described",
    "custodian/get-managed-prefix-list-entries.json": "part of a prefix list",
    "custodian/mq-describe-broker.json": "not described: interfaces name their broker",
    "custodian/network-firewall-describe-firewall.json": "not described: its endpoints are VPC endpoints",
    "custodian/describe-transit-gateways.json": "told by attachments and route tables",
    "pybatfish-us-east-2/TransitGateways.json": "told by attachments and route tables",
    "pybatfish-us-east-2/TransitGatewayPropagations.json": "part of a transit gateway route table",
    "pybatfish-us-east-2/TransitGatewayStaticRoutes.json": "part of a transit gateway route table",
    "pybatfish-us-east-2/AvailabilityZones.json": "told by subnets",
    "pybatfish-us-east-2/Addresses.json": "empty",
    "pybatfish-us-east-2/NatGateways.json": "empty",
    "pybatfish-us-east-2/RdsInstances.json": "empty",
    "pybatfish-us-east-2/VpcEndpoints.json": "empty",
    "pybatfish-us-east-2/VpcPeeringConnections.json": "empty",
    "pybatfish-us-east-2/VpnGateways.json": "empty",
    "custodian/workspaces-describe-workspaces.json": "not described",
    "terraform-state/eks-msk-tgw-eu-west-2.json": "another shape: see the test of its own",
    "terraform-state/govcloud-snapshot-2023-04-20.json": "another shape: see the test of its own",
    "terraform-state/govcloud-snapshot-2023-04-22.json": "another shape: see the test of its own",
}


def test_no_real_file_is_forgotten() -> None:
    folder = sample("inventory")
    files = {str(file.relative_to(folder)) for file in folder.rglob("*.json")}
    assert files == {name for name, _, _ in SAMPLES} | set(LEFT_OUT)


def test_real_mount_targets_make_file_systems() -> None:
    targets = json.loads(sample("inventory/custodian/efs-describe-mount-targets.json").read_text())["MountTargets"]
    for target in targets:
        item = {"FileSystemId": target["FileSystemId"], "OwnerId": target["OwnerId"], "MountTargets": [target]}
        row = one("file_system", item)
        assert row["state"] == "present"
        assert row["interface_ids"] == [target["NetworkInterfaceId"]]
        assert row["addresses"] == [target["IpAddress"]]


@pytest.mark.parametrize(
    "name", ["eks-msk-tgw-eu-west-2", "govcloud-snapshot-2023-04-20", "govcloud-snapshot-2023-04-22"]
)
def test_no_interface_of_a_real_account_is_unclassified(name: str) -> None:
    """Terraform's own keys, brought into the shape of EC2's answer; it exports neither requester nor owner."""
    for state in json.loads(sample(f"inventory/terraform-state/{name}.json").read_text()):
        instance = next((entry.get("instance") for entry in state["attachment"] or []), None)
        item = {
            "NetworkInterfaceId": state["id"],
            "VpcId": "vpc-0",
            "SubnetId": state["subnet_id"],
            "OwnerId": state["owner_id"],
            "PrivateIpAddress": state["private_ip"],
            "PrivateIpAddresses": [
                {"PrivateIpAddress": address, "Primary": address == state["private_ip"]}
                for address in state["private_ips"]
            ],
            "InterfaceType": state["interface_type"],
            "Description": state["description"],
            "TagSet": [{"Key": key, "Value": value} for key, value in (state["tags"] or {}).items()],
            **({"Attachment": {"InstanceId": instance, "AttachmentId": "eni-attach-0"}} if instance else {}),
        }
        row = one("interface", item)
        assert row["addresses"][0] == state["private_ip"]
        assert interface_type_of(row) != "unclassified", state["description"]
        if instance:
            assert interface_type_of(row) in ("ec2:instance", "eks:node")
