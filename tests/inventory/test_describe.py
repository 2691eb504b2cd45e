"""What is asked of AWS: the right calls, all pages, what further calls tell; and no call that the policy lacks."""

from __future__ import annotations

import re
from typing import Any

import boto3
import pytest

from flowlake.inventory.aws import GLOBAL, Aws, config
from flowlake.inventory.describe import KINDS, LISTINGS, ORGANISATION_KINDS, WALKS, Incomplete, Page, describe
from flowlake.inventory.permissions import permissions, policy
from flowlake.inventory.rows import ROWS
from tests.inventory.stub_aws import StubSession, error
from tests.samples import REPOSITORY

ACCOUNT, REGION = "123456789012", "eu-west-1"
LB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app"


def aws(answers: dict[tuple[str, str], Any], region: str = REGION, **other: Any) -> Aws:
    return Aws(StubSession(answers), ACCOUNT, region, **other)


def items_of(kind: str, answers: dict[tuple[str, str], Any], **other: Any) -> list[dict[str, Any]]:
    return [item for page in describe(kind, aws(answers, **other)) for item in page.items]


def test_all_pages_of_interfaces_with_hidden_managed_ones() -> None:
    here = aws(
        {
            ("ec2", "describe_network_interfaces"): [
                {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1"}], "NextToken": "two"},
                {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-2"}]},
            ]
        }
    )
    pages = list(describe("interface", here))
    assert pages == [
        Page("DescribeNetworkInterfaces", [{"NetworkInterfaceId": "eni-1"}], "0|two"),
        Page("DescribeNetworkInterfaces", [{"NetworkInterfaceId": "eni-2"}], "1|"),
    ]
    # What a service manages and the account hides would else look deleted.
    asked = [arguments for _, _, arguments in here.session.log]
    assert asked == [
        {"MaxResults": 1000, "IncludeManagedResources": True},
        {"MaxResults": 1000, "IncludeManagedResources": True, "NextToken": "two"},
    ]
    assert dict(here.calls) == {"ec2:DescribeNetworkInterfaces": 2}


def test_a_token_goes_on_behind_its_page_and_into_the_next_listing() -> None:
    answers = {
        ("elbv2", "describe_load_balancers"): {"LoadBalancers": []},
        ("elb", "describe_load_balancers"): {"LoadBalancerDescriptions": [{"LoadBalancerName": "old"}]},
    }
    here = aws(answers)
    assert [page.next for page in describe("load_balancer", here, "0|more")] == ["1|", "2|"]
    assert here.session.log[0][2]["Marker"] == "more"
    later = aws(answers)
    assert [page.items for page in describe("load_balancer", later, "1|")] == [[{"LoadBalancerName": "old"}]]
    assert list(describe("load_balancer", later, "2|")) == []


def test_load_balancers_get_their_listeners_and_those_gone_meanwhile_are_left_out() -> None:
    def listeners(asked: dict[str, Any]) -> Any:
        if asked["LoadBalancerArn"].endswith("gone"):
            return error("LoadBalancerNotFound")
        return {"Listeners": [{"Port": 443}]}

    found = items_of(
        "load_balancer",
        {
            ("elbv2", "describe_load_balancers"): {
                "LoadBalancers": [{"LoadBalancerArn": f"{LB}/web"}, {"LoadBalancerArn": f"{LB}/gone"}]
            },
            ("elbv2", "describe_listeners"): listeners,
        },
    )
    assert found == [{"LoadBalancerArn": f"{LB}/web", "Listeners": [{"Port": 443}]}]


def test_what_may_not_be_asked_stops_the_kind() -> None:
    answers = {
        ("elbv2", "describe_load_balancers"): {"LoadBalancers": [{"LoadBalancerArn": f"{LB}/web"}]},
        ("elbv2", "describe_listeners"): error("AccessDenied"),
    }
    with pytest.raises(Exception, match="AccessDenied"):
        items_of("load_balancer", answers)


def test_instances_carry_the_account_of_their_reservation() -> None:
    found = items_of(
        "instance",
        {
            ("ec2", "describe_instances"): {
                "Reservations": [{"OwnerId": ACCOUNT, "Instances": [{"InstanceId": "i-1"}, {"InstanceId": "i-2"}]}]
            }
        },
    )
    assert found == [{"OwnerId": ACCOUNT, "InstanceId": "i-1"}, {"OwnerId": ACCOUNT, "InstanceId": "i-2"}]


def test_transit_gateway_routes_are_whole_or_the_kind_is_not() -> None:
    tables = {"TransitGatewayRouteTables": [{"TransitGatewayRouteTableId": "tgw-rtb-1"}]}
    found = items_of(
        "transit_gateway_route_table",
        {
            ("ec2", "describe_transit_gateway_route_tables"): tables,
            ("ec2", "search_transit_gateway_routes"): [
                [
                    {"Routes": [{"DestinationCidrBlock": "10.1.0.0/16"}], "NextToken": "t"},
                    {"Routes": [{"DestinationCidrBlock": "10.2.0.0/16"}]},
                ]
            ],
        },
    )
    assert [route["DestinationCidrBlock"] for route in found[0]["Routes"]] == ["10.1.0.0/16", "10.2.0.0/16"]
    with pytest.raises(Incomplete):
        items_of(
            "transit_gateway_route_table",
            {
                ("ec2", "describe_transit_gateway_route_tables"): tables,
                ("ec2", "search_transit_gateway_routes"): {"Routes": [], "AdditionalRoutesAvailable": True},
            },
        )


def test_attachments_get_their_subnets() -> None:
    found = items_of(
        "transit_gateway_attachment",
        {
            ("ec2", "describe_transit_gateway_attachments"): {
                "TransitGatewayAttachments": [
                    {"TransitGatewayAttachmentId": "tgw-attach-1", "ResourceType": "vpc"},
                    {"TransitGatewayAttachmentId": "tgw-attach-2", "ResourceType": "vpn"},
                ]
            },
            ("ec2", "describe_transit_gateway_vpc_attachments"): {
                "TransitGatewayVpcAttachments": [
                    {"TransitGatewayAttachmentId": "tgw-attach-1", "SubnetIds": ["subnet-1"]}
                ]
            },
        },
    )
    assert [item.get("SubnetIds") for item in found] == [["subnet-1"], None]


def test_clusters_get_their_subnet_groups_subnets() -> None:
    answers = {
        ("rds", "describe_db_clusters"): {"DBClusters": [{"DBClusterArn": "c", "DBSubnetGroup": "private"}]},
        ("rds", "describe_db_subnet_groups"): {
            "DBSubnetGroups": [
                {"DBSubnetGroupName": "private", "VpcId": "vpc-1", "Subnets": [{"SubnetIdentifier": "subnet-1"}]}
            ]
        },
    }
    (cluster,) = items_of("db_cluster", answers)
    assert (cluster["VpcId"], cluster["Subnets"]) == ("vpc-1", [{"SubnetIdentifier": "subnet-1"}])


def test_databases_are_told_with_what_their_endpoint_resolves_to() -> None:
    answers = {
        ("rds", "describe_db_instances"): {
            "DBInstances": [{"Endpoint": {"Address": f"{name}.rds.example"}} for name in ("a", "b", "c", "d", "e")]
        }
    }
    asked: list[str] = []

    def resolve(host: str) -> list[str] | None:
        asked.append(host)
        return ["10.0.0.5"] if host.startswith("a.") else None

    found = items_of("db_instance", answers, resolve=resolve)
    assert [item.get("EndpointAddresses") for item in found] == [["10.0.0.5"], None, None, None, None]
    assert len(asked) == 4  # a resolver that has no answer three times running is left alone
    unasked = items_of(
        "db_instance", {("rds", "describe_db_instances"): {"DBInstances": [{"Endpoint": {"Address": "a"}}]}}
    )
    assert "EndpointAddresses" not in unasked[0]


def test_only_functions_in_a_vpc_are_told() -> None:
    functions = [{"FunctionName": "out"}, {"FunctionName": "in", "VpcConfig": {"SubnetIds": ["subnet-1"]}}]
    found = items_of("function", {("lambda", "list_functions"): {"Functions": functions}})
    assert [item["FunctionName"] for item in found] == ["in"]


def test_tags_that_ec2_tells_itself_are_left_out() -> None:
    mappings = [
        {"ResourceARN": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"},
        {"ResourceARN": f"arn:aws:ec2:{REGION}:{ACCOUNT}:client-vpn-endpoint/cvpn-endpoint-1"},
        {"ResourceARN": "arn:aws:s3:::bucket"},
    ]
    answers = {
        ("resourcegroupstaggingapi", "get_resources"): {"ResourceTagMappingList": mappings, "PaginationToken": ""}
    }
    assert items_of("tags", answers) == mappings[1:]


def test_tasks_go_cluster_by_cluster_and_on_from_the_last_that_is_done() -> None:
    clusters = [f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}" for name in ("b", "a")]

    def tasks(asked: dict[str, Any]) -> dict[str, Any]:
        return {"taskArns": [f"{asked['cluster']}/{n}" for n in range(150)]}

    answers = {
        ("ecs", "list_clusters"): {"clusterArns": clusters},
        ("ecs", "list_tasks"): tasks,
        ("ecs", "describe_tasks"): lambda asked: {"tasks": [{"taskArn": arn} for arn in asked["tasks"]]},
    }
    pages = list(describe("ecs_task", aws(answers)))
    assert [(len(page.items), page.next) for page in pages] == [
        (100, None),
        (50, None),
        (0, clusters[1]),
        (100, None),
        (50, None),
        (0, clusters[0]),
    ]
    assert sum(len(page.items) for page in describe("ecs_task", aws(answers), clusters[1])) == 150


def test_the_organisation_is_walked_with_its_units() -> None:
    def children(asked: dict[str, Any]) -> dict[str, Any]:
        units = {"r-1": [("ou-1", "prod")], "ou-1": [("ou-2", "eu")]}.get(asked["ParentId"], [])
        return {"OrganizationalUnits": [{"Id": id_, "Name": name} for id_, name in units]}

    def accounts(asked: dict[str, Any]) -> dict[str, Any]:
        return {"Accounts": [{"Id": {"r-1": "1", "ou-1": "2", "ou-2": "3"}[asked["ParentId"]]}]}

    found = items_of(
        "account",
        {
            ("organizations", "list_roots"): {"Roots": [{"Id": "r-1"}]},
            ("organizations", "list_accounts_for_parent"): accounts,
            ("organizations", "list_organizational_units_for_parent"): children,
        },
        region=GLOBAL,
    )
    assert {item["Id"]: item["Units"] for item in found} == {"1": [], "2": ["prod"], "3": ["prod", "eu"]}


def test_what_a_region_does_not_offer_is_not_asked() -> None:
    session = StubSession({("elbv2", "describe_load_balancers"): {}}, missing=frozenset({"elb"}))
    list(describe("load_balancer", Aws(session, ACCOUNT, REGION)))
    assert [service for service, _, _ in session.log] == ["elbv2"]


def test_every_kind_is_described_and_has_rows() -> None:
    assert {*LISTINGS, *WALKS} == set(ROWS)
    assert {*KINDS, *ORGANISATION_KINDS} == set(ROWS)


def test_pages_are_as_large_as_the_apis_allow_and_no_larger() -> None:
    session = boto3.session.Session(region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    for listing in (listing for listings in LISTINGS.values() for listing in listings):
        meta = session.client(listing.service).meta
        model = meta.service_model.operation_model(meta.method_to_api_mapping[listing.operation])
        assert listing.result in model.output_shape.members, listing.operation
        for name, value in listing.arguments.items():
            limits = model.input_shape.members[name].metadata
            if "max" in limits and isinstance(value, int):
                assert limits.get("min", 1) <= value <= limits["max"], listing.operation
        if listing.tokens:
            assert listing.tokens[0] in model.input_shape.members, listing.operation
            assert listing.tokens[1] in model.output_shape.members, listing.operation


def test_no_answer_in_pages_is_taken_for_a_whole() -> None:
    """Every call whose answer may name a further page is a listing that follows its tokens, or has a paginator."""
    session = boto3.session.Session(region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    listed = {(listing.service, listing.operation): listing for listings in LISTINGS.values() for listing in listings}
    for entry in permissions():
        service, api = entry.api.split(":")
        client = session.client(service)
        operation = {name: method for method, name in client.meta.method_to_api_mapping.items()}[api]
        answer = client.meta.service_model.operation_model(api).output_shape.members
        in_pages = [name for name in answer if re.search("token|marker", name, re.IGNORECASE)]
        follows = (
            listed[service, operation].tokens if (service, operation) in listed else client.can_paginate(operation)
        )
        assert bool(follows) == bool(in_pages), entry.api


def test_kinds_that_take_a_call_for_each_entity_have_short_pages() -> None:
    """A sweep can only pause between pages: a page of these is some dozen calls."""
    one_by_one = {"load_balancer", "target_group", "prefix_list", "transit_gateway_route_table", "db_proxy",
                  "file_system", "kafka_cluster", "eks_cluster"}  # fmt: skip
    for kind in one_by_one:
        sizes = [value for value in LISTINGS[kind][0].arguments.values() if type(value) is int]
        assert sizes == [25], kind


def test_clients_slow_down_as_aws_throttles() -> None:
    assert config().retries == {"mode": "adaptive", "max_attempts": 10}


# Answers that lead describe.py into each of its calls.
BUSY: dict[tuple[str, str], Any] = {
    ("elbv2", "describe_load_balancers"): {"LoadBalancers": [{"LoadBalancerArn": f"{LB}/web"}]},
    ("elbv2", "describe_target_groups"): {"TargetGroups": [{"TargetGroupArn": "tg"}]},
    ("ec2", "describe_managed_prefix_lists"): {"PrefixLists": [{"PrefixListId": "pl-1"}]},
    ("ec2", "describe_transit_gateway_attachments"): {
        "TransitGatewayAttachments": [{"TransitGatewayAttachmentId": "tgw-attach-1", "ResourceType": "vpc"}]
    },
    ("ec2", "describe_transit_gateway_route_tables"): {
        "TransitGatewayRouteTables": [{"TransitGatewayRouteTableId": "tgw-rtb-1"}]
    },
    ("rds", "describe_db_clusters"): {"DBClusters": [{"DBSubnetGroup": "g"}]},
    ("rds", "describe_db_proxies"): {"DBProxies": [{"DBProxyName": "p"}]},
    ("elasticache", "describe_cache_clusters"): {"CacheClusters": [{"CacheSubnetGroupName": "g"}]},
    ("redshift", "describe_clusters"): {"Clusters": [{"ClusterSubnetGroupName": "g"}]},
    ("efs", "describe_file_systems"): {"FileSystems": [{"FileSystemId": "fs-1"}]},
    ("kafka", "list_clusters_v2"): {"ClusterInfoList": [{"ClusterArn": "k", "ClusterType": "PROVISIONED"}]},
    ("eks", "list_clusters"): {"clusters": ["c"]},
    ("eks", "describe_cluster"): {"cluster": {"arn": "a"}},
    ("opensearch", "list_domain_names"): {"DomainNames": [{"DomainName": "d"}]},
    ("opensearch", "describe_domains"): {"DomainStatusList": [{"DomainName": "d", "ARN": "a"}]},
    ("ram", "list_resources"): {"resources": [{"arn": "a", "resourceShareArn": "s"}]},
    ("ram", "list_principals"): {"principals": [{"resourceShareArn": "s", "id": "1"}]},
    ("ecs", "list_clusters"): {"clusterArns": ["c"]},
    ("ecs", "list_services"): {"serviceArns": ["s"]},
    ("ecs", "list_tasks"): {"taskArns": ["t"]},
    ("organizations", "list_roots"): {"Roots": [{"Id": "r-1"}]},
}


def test_the_policy_holds_every_call_of_every_kind_and_no_other() -> None:
    called: dict[str, set[str]] = {}
    for kind in (*KINDS, *ORGANISATION_KINDS):
        here = aws(BUSY, region=GLOBAL if kind in ORGANISATION_KINDS else REGION)
        list(describe(kind, here))
        called[kind] = set(here.calls)
    from flowlake.inventory.accounts import regions_of

    regions = aws({("ec2", "describe_regions"): {"Regions": [{"RegionName": "b"}, {"RegionName": "a"}]}})
    assert regions_of(regions) == ["a", "b"]
    called["regions"] = set(regions.calls)
    allowed = {kind: {entry.api for entry in permissions() if kind in entry.kinds} for kind in called}
    assert called == allowed
    assert {kind for entry in permissions() for kind in entry.kinds} == {*called, "events"}


def test_what_events_lack_is_asked_for_by_permitted_calls() -> None:
    from flowlake.inventory.fetch import LOOKUPS

    session = boto3.session.Session(region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    asked = {
        f"{lookup.service}:{session.client(lookup.service).meta.method_to_api_mapping[lookup.operation]}"
        for lookup in LOOKUPS.values()
    }
    swept = {entry.api for entry in permissions() if set(entry.kinds) != {"events"}}
    assert asked - swept == {entry.api for entry in permissions() if entry.kinds == ("events",)}


def test_the_policy_is_read_only_and_says_why() -> None:
    actions = policy([*KINDS, *ORGANISATION_KINDS])["Statement"][0]["Action"]
    assert actions == sorted(set(actions))
    assert all(action.split(":")[1].startswith(("Describe", "List", "Get", "Search")) for action in actions)
    assert all(entry.why.endswith(".") for entry in permissions())
    only = policy(["interface"], ["arn:aws:iam::*:role/flowlake"])
    assert only["Statement"][0]["Action"] == ["ec2:DescribeNetworkInterfaces"]
    assert only["Statement"][1]["Resource"] == ["arn:aws:iam::*:role/flowlake"]


def test_the_page_names_every_permission_with_its_reason() -> None:
    page = (REPOSITORY / "docs" / "inventory.md").read_text(encoding="utf-8")
    for entry in permissions():
        assert f"| `{entry.action}` | {', '.join(entry.kinds)} | {entry.why} |" in page
