"""flowlake collect, end to end against AWS as moto plays it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import pytest

from flowlake.cli import main
from flowlake.flows.observed import sweeps_around
from flowlake.inventory import accounts
from flowlake.inventory.describe import KINDS
from flowlake.inventory.permissions import permissions
from flowlake.lake.hours import Hour
from flowlake.lake.observations import Row, from_lines
from flowlake.lake.resolve import Entities, resolve
from flowlake.lake.store import open_store

ACCOUNT = "123456789012"
# What moto does not play: serverless caches, and RAM's lists.
PLAYED = ",".join(kind for kind in KINDS if kind not in ("cache", "shared_subnet"))


@pytest.fixture
def estate(aws: str) -> dict[str, str]:
    """An account with an instance, a load balancer before it, a NAT gateway, a database and a function."""
    session = boto3.session.Session(region_name="us-east-1")
    ec2, elbv2 = session.client("ec2"), session.client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{'ab'[n]}")["Subnet"][
            "SubnetId"
        ]
        for n in range(2)
    ]
    group = ec2.create_security_group(GroupName="db", Description="db", VpcId=vpc)["GroupId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web-1"}, {"Key": "team", "Value": "shop"}]}]
    instance = ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnets[0],
        InstanceType="t3.micro",
        PrivateIpAddress="10.0.0.10",
        TagSpecifications=tags,
    )["Instances"][0]["InstanceId"]
    balancer = elbv2.create_load_balancer(Name="web", Subnets=subnets, Type="application")["LoadBalancers"][0]
    targets = elbv2.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="instance")
    target_group = targets["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(TargetGroupArn=target_group, Targets=[{"Id": instance, "Port": 8080}])
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}],
    )
    nat = ec2.create_nat_gateway(SubnetId=subnets[0], ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    eni = ec2.create_network_interface(
        SubnetId=subnets[1], Description="RDSNetworkInterface", Groups=[group], PrivateIpAddress="10.0.1.20"
    )["NetworkInterface"]["NetworkInterfaceId"]
    rds = session.client("rds")
    rds.create_db_subnet_group(DBSubnetGroupName="db", DBSubnetGroupDescription="db", SubnetIds=subnets)
    rds.create_db_instance(
        DBInstanceIdentifier="orders",
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        DBSubnetGroupName="db",
        VpcSecurityGroupIds=[group],
        MultiAZ=True,
        MasterUsername="admin_user",
        MasterUserPassword="not-a-secret",
        Port=5432,
    )
    return {
        "vpc": vpc,
        "subnet": subnets[0],
        "instance": instance,
        "balancer": balancer["LoadBalancerArn"],
        "nat": nat,
        "eni": eni,
    }


@pytest.fixture
def vpc(aws: str) -> str:
    """A VPC beside the default one."""
    made = boto3.session.Session(region_name="us-east-1").client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    return str(made["Vpc"]["VpcId"])


def rows_of_lake(lake: Path) -> list[Row]:
    folder = lake / "inventory" / "observations" / "origin=sweeps"
    return [row for file in sorted(folder.rglob("*.json.gz")) for row in from_lines(file.read_bytes())]


def collect(lake: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    code = main(["collect", "--lake", str(lake), "--region", "us-east-1", "--no-dns", "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_an_account_is_swept_into_a_lake(
    estate: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = collect(tmp_path, capsys, "--kinds", PLAYED)
    assert (code, said["sweeps"][0]["failures"]) == (0, [])
    assert set(said["sweeps"][0]["complete"]) == set(PLAYED.split(","))
    rows = rows_of_lake(tmp_path)
    entities = {(row["kind"], row["entity_id"]): row for row in rows}
    assert {row["kind"] for row in rows if row["state"] == "complete"} == set(PLAYED.split(",")) - {"tags"}
    assert entities["instance", estate["instance"]]["tags"] == {"Name": "web-1", "team": "shop"}
    assert entities["load_balancer", estate["balancer"]]["ports"] == [80]
    assert entities["nat_gateway", estate["nat"]]["subnet_id"] == estate["subnet"]
    marker = json.loads((tmp_path / said["sweeps"][0]["marker"]).read_text())
    assert all((tmp_path / key).exists() for key in marker["objects"])
    # From the rows alone: what the interfaces serve.
    known = Entities.of(rows)
    (primary,) = [r for r in rows if r["kind"] == "interface" and r.get("instance_id") == estate["instance"]]
    served = resolve(primary, known)
    assert (served.type, served.name, served.listens_on) == ("ec2:instance", "web-1", (8080,))
    database = resolve(entities["interface", estate["eni"]], known)
    assert (database.type, database.name, database.listens_on) == ("rds:instance", "orders", (5432,))
    assert said["interface_types"]["rds"] == 1


def test_a_second_sweep_is_a_second_sight(vpc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert collect(tmp_path, capsys, "--kinds", "vpc")[0] == 0
    assert sum(row["entity_id"] == vpc for row in rows_of_lake(tmp_path)) == 2
    assert len(list((tmp_path / "inventory" / "sweeps" / ACCOUNT / "us-east-1").iterdir())) == 2


def test_what_could_not_be_read_is_named_and_the_rest_is_kept(
    vpc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["collect", "--lake", str(tmp_path), "--region", "us-east-1", "--no-dns", "--kinds", "vpc,shared_subnet"]
    )
    out, err = capsys.readouterr()
    assert code == 1
    assert f"FAILED {ACCOUNT} us-east-1 shared_subnet: 404" in err
    assert "unclassified interfaces: 0" in out
    assert any(row["kind"] == "vpc" for row in rows_of_lake(tmp_path))


def test_an_account_that_can_not_be_entered_stops_no_other_and_is_stale(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first account's role refuses. The second is swept; a book of an hour after it calls the first stale."""
    enter = accounts.aws_of

    def refuses(member: accounts.Member, *rest: Any) -> Any:
        if member.account_id == "111111111111":
            raise accounts.AccountUnreachable("111111111111 can't be entered: AccessDenied")
        return enter(member, *rest)

    monkeypatch.setattr(accounts, "aws_of", refuses)
    roles = [f"arn:aws:iam::{account}:role/flowlake" for account in ("111111111111", "222222222222")]
    arguments = ["--lake", str(tmp_path), "--region", "us-east-1", "--no-dns", "--kinds", "interface"]
    code = main(["collect", *arguments, "--role-arn", roles[0], "--role-arn", roles[1]])
    out, err = capsys.readouterr()
    assert code == 1
    assert "FAILED 111111111111 us-east-1 everything: AccountUnreachable" in err
    assert "222222222222 us-east-1: 0 entities in 1 calls, 0 failures" in err
    assert "unclassified interfaces: 0" in out
    later = Hour.holding(time.time()).plus(1)
    sweeps = sweeps_around(open_store(str(tmp_path)), later, later.plus(1).moment)
    assert sweeps.accounts == {("111111111111", "us-east-1"), ("222222222222", "us-east-1")}
    assert sweeps.stale == {("111111111111", "us-east-1")}


def test_an_account_by_its_role_and_another_region(
    vpc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    role = "arn:aws:iam::111111111111:role/flowlake"
    code, said = collect(
        tmp_path, capsys, "--kinds", "vpc", "--role-arn", role, "--external-id", "secret", "--region", "eu-west-1"
    )
    assert code == 0
    assert [(s["account_id"], s["region"]) for s in said["sweeps"]] == [
        ("111111111111", "us-east-1"),
        ("111111111111", "eu-west-1"),
    ]
    # The other account has a default VPC of its own; this one is not its.
    seen = {(row["account_id"], row["region"]) for row in rows_of_lake(tmp_path)}
    assert seen == {("111111111111", "us-east-1"), ("111111111111", "eu-west-1")}
    assert all(row["entity_id"] != vpc for row in rows_of_lake(tmp_path))


def test_all_accounts_of_the_organisation(aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    organizations = boto3.session.Session(region_name="us-east-1").client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    root = organizations.list_roots()["Roots"][0]["Id"]
    unit = organizations.create_organizational_unit(ParentId=root, Name="prod")["OrganizationalUnit"]["Id"]
    made = organizations.create_account(AccountName="shop", Email="shop@example.com")["CreateAccountStatus"]
    organizations.move_account(AccountId=made["AccountId"], SourceParentId=root, DestinationParentId=unit)
    code, said = collect(
        tmp_path,
        capsys,
        "--kinds",
        "vpc",
        "--accounts-from-organizations",
        "--role-arn",
        "arn:aws:iam::{account_id}:role/flowlake",
    )
    assert code == 0
    assert {(s["account_id"], s["region"]) for s in said["sweeps"]} == {
        (ACCOUNT, "global"),
        (ACCOUNT, "us-east-1"),
        (made["AccountId"], "us-east-1"),
    }
    (shop,) = [row for row in rows_of_lake(tmp_path) if row["entity_id"] == made["AccountId"]]
    assert (shop["name"], json.loads(shop["detail"])["organizational_units"]) == ("shop", ["prod"])


def test_the_organisations_accounts_alone(aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No account is entered, and of none a sweep is left that says that it was."""
    boto3.session.Session(region_name="us-east-1").client("organizations").create_organization(FeatureSet="ALL")
    alone = ["--kinds", "account", "--accounts-from-organizations", "--role-arn", "arn:aws:iam::{account_id}:role/x"]
    code, said = collect(tmp_path, capsys, *alone)
    assert code == 0
    assert [(s["account_id"], s["region"], s["complete"]) for s in said["sweeps"]] == [(ACCOUNT, "global", ["account"])]
    assert main(["collect", "--print-policy", *alone]) == 0
    actions = json.loads(capsys.readouterr().out)["Statement"][0]["Action"]
    assert {action.split(":")[0] for action in actions} == {"organizations"}


def ranges_file(folder: Path) -> Path:
    entry = {"ip_prefix": "3.0.0.0/8", "service": "EC2", "region": "GLOBAL", "network_border_group": "GLOBAL"}
    document = {"syncToken": "1", "createDate": "2026-01-01-00-00-00", "prefixes": [entry], "ipv6_prefixes": []}
    file = folder / "ranges.json"
    file.write_text(json.dumps(document))
    return file


def test_address_ranges_from_a_file(aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ranges_file(tmp_path)
    code, said = collect(tmp_path / "lake", capsys, "--kinds", "vpc", "--ip-ranges", str(file))
    assert (code, said["ip_ranges"]) == (0, {"began": 1, "ended": 0, "holding": 1, "is_newer": True})


def many(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_policy_allows_every_call_that_a_run_makes(
    estate: dict[str, str],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Recorded below boto3, of a whole run into S3. That the policy allows nothing more is test_describe.py's part: an
    account in which every call has something to answer is more than moto plays.
    """
    made: set[str] = set()
    make = botocore.client.BaseClient._make_api_call

    def recorded(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        made.add(f"{client.meta.service_model.service_name}:{operation}")
        return make(client, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", recorded)
    command = ["collect", "--lake", f"s3://{bucket}/lake", "--kinds", PLAYED, "--ip-ranges", str(ranges_file(tmp_path))]
    assert main([*command, "--no-dns", "--region", "us-east-1"]) == 0
    capsys.readouterr()
    assert main([*command, "--print-policy", "--region", "us-east-1"]) == 0
    statements = json.loads(capsys.readouterr().out)["Statement"]
    actions = {entry.api: entry.action for entry in permissions()}
    asked = {actions[api] for api in made if api in actions}
    # Whose credentials these are everybody may ask.
    assert made - actions.keys() == {"sts:GetCallerIdentity", "s3:GetObject", "s3:PutObject"}
    assert len(asked) > 30
    assert asked <= set(statements[0]["Action"])
    writes = {
        (action, resource)
        for statement in statements[1:]
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    }
    lake = f"arn:aws:s3:::{bucket}/lake/inventory"
    assert writes == {
        ("s3:PutObject", f"{lake}/observations/*"),
        ("s3:PutObject", f"{lake}/sweeps/*"),
        ("s3:GetObject", f"{lake}/ip_ranges/*"),
        ("s3:PutObject", f"{lake}/ip_ranges/*"),
        ("s3:ListBucket", f"arn:aws:s3:::{bucket}"),
    }
    keys = [entry["Key"] for entry in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert {key.split("/")[2] for key in keys} == {"observations", "sweeps", "ip_ranges"}


def test_the_policy_is_printed_without_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert main(["collect", "--print-policy", "--kinds", "interface,instance", "--region", "eu-west-1"]) == 0
    policy = json.loads(capsys.readouterr().out)
    assert policy["Statement"][0]["Action"] == ["ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces"]
    assert main(["collect", "--print-policy", "--role-arn", "arn:aws:iam::{account_id}:role/flowlake"]) == 0
    policy = json.loads(capsys.readouterr().out)
    assert policy["Statement"][1]["Resource"] == ["arn:aws:iam::*:role/flowlake"]
    assert "ec2:DescribeRegions" in policy["Statement"][0]["Action"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--lake"),
        (["--lake", "x", "--kinds", "toaster"], "toaster"),
        (["--lake", "x", "--external-id", "e"], "--role-arn"),
        (["--lake", "x", "--role-arn", "me"], "no role's ARN"),
        (["--lake", "x", "--accounts-from-organizations"], "{account_id}"),
        (["--lake", "x", "--profile", "no-such-profile"], "no-such-profile"),
        (["--lake", "x", "--kinds", "account"], "account needs --accounts-from-organizations"),
        (["--lake", "x", "--kinds", "interface,account"], "account needs --accounts-from-organizations"),
        (["--print-policy", "--kinds", "interface,account"], "account needs --accounts-from-organizations"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    arguments: list[str],
    says: str,
    aws: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["collect", *arguments]) == 2
    assert says in capsys.readouterr().err
