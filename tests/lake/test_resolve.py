"""What an interface serves, given the entities of the same time: certain, one of several, or not known."""

from __future__ import annotations

import json
import time
from typing import Any

from flowlake.lake.resolve import Entities, Resolved, resolve

ACCOUNT, REGION = "123456789012", "eu-west-1"
RDS = f"arn:aws:rds:{REGION}:{ACCOUNT}"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"


def entity(kind: str, entity_id: str, **columns: Any) -> dict[str, Any]:
    detail = columns.pop("detail", None)
    return {
        "kind": kind,
        "entity_id": entity_id,
        "state": "present",
        "account_id": ACCOUNT,
        "region": REGION,
        **({"detail": json.dumps(detail)} if detail else {}),
        **columns,
    }


def interface(description: str = "", **columns: Any) -> dict[str, Any]:
    return {
        "kind": "interface",
        "entity_id": "eni-1",
        "state": "present",
        "account_id": ACCOUNT,
        "region": REGION,
        "vpc_id": "vpc-1",
        "subnet_id": "subnet-a",
        "availability_zone": f"{REGION}a",
        "addresses": ["10.0.0.5"],
        "security_group_ids": ["sg-db"],
        "description": description,
        **columns,
    }


def database(name: str, **columns: Any) -> dict[str, Any]:
    return entity(
        "db_instance",
        f"{RDS}:db:{name}",
        **{
            "name": name,
            "subnet_ids": ["subnet-a", "subnet-b"],
            "security_group_ids": ["sg-db"],
            "ports": [5432],
            **columns,
        },
    )


def test_the_only_database_with_the_subnet_and_groups_it_is() -> None:
    entities = Entities.of([database("orders"), database("other", security_group_ids=["sg-other"])])
    assert resolve(interface("RDSNetworkInterface"), entities) == Resolved(
        "rds:instance", "orders", (f"{RDS}:db:orders",), False, (5432,)
    )


def test_several_databases_that_fit_are_all_candidates() -> None:
    entities = Entities.of([database("orders"), database("billing", ports=[3306])])
    assert resolve(interface("RDSNetworkInterface"), entities) == Resolved(
        "rds:instance", "billing, orders", (f"{RDS}:db:billing", f"{RDS}:db:orders"), True, (3306, 5432)
    )


def test_the_endpoints_address_picks_among_those_that_fit() -> None:
    entities = Entities.of([database("orders", addresses=["10.0.0.5"]), database("billing", addresses=["10.0.0.6"])])
    found = resolve(interface("RDSNetworkInterface"), entities)
    assert (found.arns, found.shared) == ((f"{RDS}:db:orders",), False)
    public = Entities.of([database("orders", public_addresses=["3.3.3.3"]), database("billing")])
    found = resolve(interface("RDSNetworkInterface", public_addresses=["3.3.3.3"]), public)
    assert (found.arns, found.shared) == ((f"{RDS}:db:orders",), False)


def test_a_database_whose_one_address_is_known_has_no_interface_at_another() -> None:
    """The interface is of a database that nobody told of yet, or of the one whose address is not known."""
    single = {"detail": {"multi_az": False}}
    elsewhere = database("orders", addresses=["10.0.0.6"], **single)
    assert resolve(interface("RDSNetworkInterface"), Entities.of([elsewhere])) == Resolved("rds")
    found = resolve(interface("RDSNetworkInterface"), Entities.of([elsewhere, database("billing", **single)]))
    assert (found.arns, found.shared) == ((f"{RDS}:db:billing",), False)
    standby = database("orders", addresses=["10.0.0.6"], detail={"multi_az": True})
    assert resolve(interface("RDSNetworkInterface"), Entities.of([standby])).name == "orders"


def test_an_address_alone_proves_nothing_it_may_be_an_old_one() -> None:
    entities = Entities.of([database("orders", addresses=["10.0.0.5"], security_group_ids=["sg-other"])])
    assert resolve(interface("RDSNetworkInterface"), entities) == Resolved("rds")


def test_a_database_of_one_zone_has_no_interface_in_another() -> None:
    single = {"detail": {"multi_az": False}}
    entities = Entities.of(
        [
            database("here", availability_zone=f"{REGION}a", **single),
            database("there", availability_zone=f"{REGION}b", **single),
        ]
    )
    assert resolve(interface("RDSNetworkInterface"), entities).arns == (f"{RDS}:db:here",)
    both = Entities.of([database("d", availability_zone=f"{REGION}b", detail={"multi_az": True})])
    assert resolve(interface("RDSNetworkInterface"), both).arns == (f"{RDS}:db:d",)


def test_instances_of_one_cluster_are_told_as_the_clusters() -> None:
    cluster = entity(
        "db_cluster",
        f"{RDS}:cluster:shop",
        name="shop",
        subnet_ids=["subnet-a"],
        security_group_ids=["sg-db"],
        ports=[3306],
    )
    members = [database(name, member_of=["shop"], ports=[3306]) for name in ("shop-1", "shop-2")]
    # The cluster has no interface of its own where its instances are known: they are the candidates.
    assert resolve(interface("RDSNetworkInterface"), Entities.of([cluster, *members])) == Resolved(
        "rds:cluster", "shop", (f"{RDS}:db:shop-1", f"{RDS}:db:shop-2"), True, (3306,)
    )
    # A serverless cluster has none that are known.
    assert resolve(interface("RDSNetworkInterface"), Entities.of([cluster])) == Resolved(
        "rds:cluster", "shop", (f"{RDS}:cluster:shop",), False, (3306,)
    )


def test_a_proxy_that_fits_is_a_candidate_too() -> None:
    proxy = entity(
        "db_proxy",
        f"{RDS}:db-proxy:prx-1",
        name="orders-proxy",
        subnet_ids=["subnet-a"],
        security_group_ids=["sg-db"],
        ports=[5432],
    )
    found = resolve(interface("RDSNetworkInterface"), Entities.of([database("orders"), proxy]))
    assert (found.type, found.shared, len(found.arns)) == ("rds", True, 2)
    named = resolve(
        interface("Network interface for DBProxy orders-proxy", security_group_ids=["sg-x"]), Entities.of([proxy])
    )
    assert named == Resolved("rds:proxy", "orders-proxy", (f"{RDS}:db-proxy:prx-1",), False, (5432,))


def test_other_accounts_and_absent_databases_do_not_count() -> None:
    gone = {**database("gone"), "state": "absent"}
    entities = Entities.of([gone, {**database("theirs"), "account_id": "999999999999"}])
    assert resolve(interface("RDSNetworkInterface"), entities) == Resolved("rds")


def function(name: str, subnets: list[str], groups: list[str]) -> dict[str, Any]:
    return entity("function", f"{LAMBDA}:{name}", name=name, subnet_ids=subnets, security_group_ids=groups)


HYPERPLANE = "AWS Lambda VPC ENI-first-8c7ac78b-e11d-4dea-8a47-ab2bdeba9bf5"


def test_a_hyperplane_interface_is_all_functions_with_its_subnet_and_groups() -> None:
    entities = Entities.of(
        [
            function("first", ["subnet-a", "subnet-b"], ["sg-1", "sg-2"]),
            function("second", ["subnet-a"], ["sg-2", "sg-1"]),
            function("other-groups", ["subnet-a"], ["sg-1"]),
            function("other-subnet", ["subnet-c"], ["sg-1", "sg-2"]),
        ]
    )
    found = resolve(interface(HYPERPLANE, security_group_ids=["sg-2", "sg-1"]), entities)
    assert found == Resolved("lambda:function", "first, second", (f"{LAMBDA}:first", f"{LAMBDA}:second"), True)


def test_the_function_in_the_description_is_a_candidate_only_while_nothing_is_known_of_it() -> None:
    unknown = resolve(interface(HYPERPLANE), Entities.of([]))
    assert unknown == Resolved("lambda:function", "first", (f"{LAMBDA}:first",), True)
    moved = resolve(interface(HYPERPLANE), Entities.of([function("first", ["subnet-z"], ["sg-db"])]))
    assert moved == Resolved("lambda:function", None, (), True)


def test_many_names_are_cut() -> None:
    entities = Entities.of([function(f"f{n}", ["subnet-a"], ["sg-db"]) for n in range(5)])
    found = resolve(interface(HYPERPLANE), entities)
    assert found.name == "f0, f1, f2 and 2 more"
    assert len(found.arns) == 5


def test_entities_that_name_their_interfaces_decide() -> None:
    endpoint = entity(
        "vpc_endpoint",
        "vpce-0a1",
        arn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc-endpoint/vpce-0a1",
        service_name=f"com.amazonaws.{REGION}.sqs",
        interface_ids=["eni-1"],
        tags={"Name": "queue endpoint"},
    )
    found = resolve(
        interface("VPC Endpoint Interface vpce-0a1", interface_type="vpc_endpoint"), Entities.of([endpoint])
    )
    assert found == Resolved(
        "vpc_endpoint", f"com.amazonaws.{REGION}.sqs", (f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc-endpoint/vpce-0a1",)
    )
    task = entity(
        "ecs_task", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/c/1", name="web", interface_ids=["eni-1"], vpc_id="vpc-1"
    )
    web = entity(
        "target_group", "tg", vpc_id="vpc-1", detail={"targets": ["10.0.0.5:8080", "10.0.0.9:9999", "i-0abc:80"]}
    )
    attachment = f"arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/1-2"
    assert resolve(interface(attachment), Entities.of([task, web])) == Resolved(
        "ecs:task", "web", (f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/c/1",), False, (8080,)
    )
    assert resolve(interface("never seen before", requester_managed=True), Entities.of([task])).type == "ecs:task"


def test_load_balancers_listen_where_their_listeners_do_and_instances_where_they_are_targets() -> None:
    arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/web/0a1b"
    balancer = entity("load_balancer", arn, arn=arn, name="web", ports=[443, 80])
    entities = Entities.of(
        [
            balancer,
            entity("target_group", "tg", vpc_id="vpc-1", detail={"targets": ["i-0abc:8080"]}),
            entity(
                "instance",
                "i-0abc",
                arn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0abc",
                tags={"Name": "web-7"},
            ),
        ]
    )
    assert resolve(interface("ELB app/web/0a1b"), entities) == Resolved(
        "elbv2:application", "web", (arn,), False, (80, 443)
    )
    attached = interface("ELB app/web/0a1b", instance_id="i-0abc", instance_owner_id=ACCOUNT)
    assert resolve(attached, entities) == Resolved(
        "ec2:instance", "web-7", (f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0abc",), False, (8080,)
    )


def test_an_instance_of_a_kubernetes_cluster_is_a_node() -> None:
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0abc"
    node = entity("instance", "i-0abc", arn=arn, tags={"kubernetes.io/cluster/prod": "owned", "Name": "node"})
    found = resolve(interface(instance_id="i-0abc", instance_owner_id=ACCOUNT), Entities.of([node]))
    assert found == Resolved("eks:node", "node", (arn,))


def test_redshift_is_found_by_a_nodes_address() -> None:
    def warehouse(name: str, address: str) -> dict[str, Any]:
        arn = f"arn:aws:redshift:{REGION}:{ACCOUNT}:cluster:{name}"
        columns: dict[str, Any] = {"subnet_ids": ["subnet-a"], "security_group_ids": ["sg-db"], "ports": [5439]}
        return entity("warehouse", arn, arn=arn, name=name, addresses=[address], **columns)

    entities = Entities.of([warehouse("a", "10.0.0.5"), warehouse("b", "10.0.0.6")])
    assert resolve(interface("RedshiftNetworkInterface"), entities).name == "a"
    alone = Entities.of([warehouse("b", "10.0.0.6")])
    assert resolve(interface("RedshiftNetworkInterface"), alone) == Resolved("redshift")


def test_without_entities_the_interface_says_what_it_can() -> None:
    nothing = Entities.of([])
    assert resolve(interface("RDSNetworkInterface"), nothing) == Resolved("rds")
    assert resolve(interface("EFS mount target for fs-0a1 (fsmt-1)"), nothing).listens_on == (2049,)
    assert resolve(interface("x", requester_managed=True), nothing) == Resolved("unclassified")


def test_candidates_of_one_place_are_worked_out_once() -> None:
    entities = Entities.of(
        [database(f"db{n}", subnet_ids=[f"subnet-{n % 50}"]) for n in range(2_000)]
        + [function(f"f{n}", [f"subnet-{n % 50}"], ["sg-1"]) for n in range(5_000)]
    )
    texts = ["RDSNetworkInterface", HYPERPLANE, "", "ELB app/web/0a1b"]
    rows = [interface(texts[n % 4], subnet_id=f"subnet-{n % 50}", entity_id=f"eni-{n}") for n in range(20_000)]
    started = time.perf_counter()
    for row in rows:
        resolve(row, entities)
    # 40 databases and 100 functions share each subnet: the candidates of one place are worked out once.
    assert (time.perf_counter() - started) / len(rows) < 100e-6
