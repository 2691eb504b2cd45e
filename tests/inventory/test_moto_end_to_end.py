"""moto's AWS, its calls as CloudTrail would tell them, the Lambda's handler, and what the observations then say.

Interfaces and instances come and go, and an address is used again within 30 seconds. The events arrive twice and
shuffled, in small batches; what is known by them is put in order here by event time alone.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from flowlake.inventory import handler
from flowlake.lake.observations import from_lines
from flowlake.lake.store import open_store
from flowlake.sandbox.trail import Trail, instance_state, sqs_batch, tag_change

ACCOUNT, REGION = "123456789012", "us-east-1"


@pytest.fixture(scope="module")
def day():
    """One story, told by events in order; at is seconds after its start."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("FLOWLAKE_LAKE", "s3://a-lake")
        for kept in (handler._settings, handler._store, handler._session, handler._accounts_of):
            kept.cache_clear()
        told = story()
        patch.setattr(handler, "_now", lambda: told.start + timedelta(minutes=10))
        session = boto3.session.Session(region_name=REGION)
        session.client("s3").create_bucket(Bucket="a-lake")
        dice = random.Random(3)
        twice = told.events * 2
        dice.shuffle(twice)
        answers = [handler.events(sqs_batch(twice[i : i + 7]), None) for i in range(0, len(twice), 7)]
        lake = open_store("s3://a-lake")
        told.failures = [failure for answer in answers for failure in answer["batchItemFailures"]]
        told.rejects = [info.key for info in lake.list("inventory/rejects/")]
        told.rows = [row for info in lake.list("inventory/observations/") for row in from_lines(lake.get(info.key))]
        yield told
        for kept in (handler._settings, handler._store, handler._session, handler._accounts_of):
            kept.cache_clear()


def story():
    start = datetime.now(UTC).replace(microsecond=0)
    passed = [0]
    trail = Trail(ACCOUNT, lambda: start + timedelta(seconds=passed[0]))
    ec2 = trail.watch(boto3.session.Session(region_name=REGION).client("ec2"))

    def at(seconds):
        passed[0] = seconds
        return ec2

    def state(instance, name):
        trail.events.append(
            instance_state(instance, name, account_id=ACCOUNT, region=REGION, at=start + timedelta(seconds=passed[0]))
        )

    vpc = at(0).create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = at(1).create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]

    def run(address):
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "PrivateIpAddress": address, "DeleteOnTermination": True}
        asked = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": [interface]}
        return ec2.run_instances(**asked)["Instances"][0]

    at(10)
    first = run("10.0.0.10")
    state(first["InstanceId"], "running")
    extra = at(20).create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.0.20")["NetworkInterface"]
    attachment = at(25).attach_network_interface(
        NetworkInterfaceId=extra["NetworkInterfaceId"], InstanceId=first["InstanceId"], DeviceIndex=1
    )["AttachmentId"]
    at(30).create_tags(Resources=[extra["NetworkInterfaceId"]], Tags=[{"Key": "owner", "Value": "data"}])
    at(31).delete_tags(Resources=[extra["NetworkInterfaceId"]], Tags=[{"Key": "owner"}])
    trail.events.append(
        tag_change(
            f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/{extra['NetworkInterfaceId']}", {"app": "etl"}, ["app"],
            version=3, account_id=ACCOUNT, region=REGION, at=start + timedelta(seconds=32),
        )
    )  # fmt: skip
    at(35).assign_private_ip_addresses(NetworkInterfaceId=extra["NetworkInterfaceId"], PrivateIpAddresses=["10.0.0.21"])
    at(36).unassign_private_ip_addresses(
        NetworkInterfaceId=extra["NetworkInterfaceId"], PrivateIpAddresses=["10.0.0.21"]
    )
    at(40).detach_network_interface(AttachmentId=attachment)
    at(60).delete_network_interface(NetworkInterfaceId=extra["NetworkInterfaceId"])
    with pytest.raises(ec2.exceptions.ClientError):
        at(61).delete_network_interface(NetworkInterfaceId=extra["NetworkInterfaceId"])
    # The address is used again 28 seconds after its interface was deleted.
    again = at(88).create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.0.20")["NetworkInterface"]
    # And an instance's address by another instance, 20 seconds after the first had ended.
    at(100).terminate_instances(InstanceIds=[first["InstanceId"]])
    state(first["InstanceId"], "shutting-down")
    passed[0] = 120
    state(first["InstanceId"], "terminated")
    at(140)
    second = run("10.0.0.10")
    state(second["InstanceId"], "running")
    return SimpleNamespace(
        start=start, events=trail.events, vpc=vpc, subnet=subnet, first=first, extra=extra, again=again, second=second,
        attachment=attachment,
    )  # fmt: skip


def moment(day, row):
    """Whole seconds since the start at which the row holds."""
    return round((datetime.fromisoformat(row["observed_at"] + "+00:00") - day.start).total_seconds())


def of(day, entity, *columns):
    """(second, state, columns…) of an entity by its events alone, each once, in order of time."""
    found = {
        (moment(day, row), row["state"], *(str(row.get(column)) for column in columns))
        for row in day.rows
        if row["entity_id"] == entity and not row["source_name"].startswith("Describe")
    }
    return sorted(found)


def eni_of(instance):
    return instance["NetworkInterfaces"][0]["NetworkInterfaceId"]


def test_no_event_fails_and_none_is_rejected(day):
    assert (day.failures, day.rejects) == ([], [])


def test_an_interfaces_life(day):
    instance = day.first["InstanceId"]
    assert of(day, day.extra["NetworkInterfaceId"], "addresses", "instance_id")[:1] == [
        (20, "present", "['10.0.0.20']", "")
    ]
    lives = of(day, day.extra["NetworkInterfaceId"], "instance_id", "addresses_added", "addresses_removed", "tags")
    assert lives == [
        (20, "present", "", "None", "None", "{}"),
        (25, "partial", instance, "None", "None", "None"),
        (30, "partial", "None", "None", "None", "{'owner': 'data'}"),
        (31, "partial", "None", "None", "None", "None"),
        (32, "present", "None", "None", "None", "{'app': 'etl'}"),
        (35, "partial", "None", "['10.0.0.20', '10.0.0.21']", "None", "None"),  # moto answers with all it holds
        (36, "partial", "None", "None", "['10.0.0.21']", "None"),
        (60, "absent", "None", "None", "None", "None"),
    ]
    assert of(day, day.attachment) == [(40, "absent")]


def test_an_address_used_again_belongs_to_each_in_its_time(day):
    first, again = day.extra["NetworkInterfaceId"], day.again["NetworkInterfaceId"]
    ended = of(day, first)[-1]
    begun = of(day, again, "addresses")[0]
    assert (ended, begun) == ((60, "absent"), (88, "present", "['10.0.0.20']"))


def test_an_instance_holds_its_address_until_terminated_and_not_only_until_shutting_down(day):
    assert of(day, day.first["InstanceId"], "detail")[-2:] == [
        (100, "partial", '{"state":"shutting-down"}'),
        (120, "absent", '{"state":"terminated"}'),
    ]
    assert of(day, eni_of(day.first), "addresses", "instance_id") == [
        (10, "partial", "['10.0.0.10']", day.first["InstanceId"])
    ]
    assert of(day, eni_of(day.second), "addresses", "instance_id") == [
        (140, "partial", "['10.0.0.10']", day.second["InstanceId"])
    ]


def test_what_is_gone_when_it_is_fetched_is_absent_then_and_not_before(day):
    fetched = [
        (moment(day, row), row["entity_id"], row["state"])
        for row in day.rows
        if row["source_name"] == "DescribeNetworkInterfaces"
    ]
    assert {at for at, _, _ in fetched} == {600}  # ten minutes after the start, where the handler's clock stands
    states = {entity: state for _, entity, state in fetched}
    assert states[day.extra["NetworkInterfaceId"]] == "absent"
    assert states[eni_of(day.second)] == "present"


def test_the_plan_of_the_network_is_known_from_its_calls(day):
    assert of(day, day.vpc, "cidr_blocks")[0] == (0, "present", "['10.0.0.0/16']")
    assert of(day, day.subnet, "vpc_id", "cidr_blocks")[0] == (1, "present", day.vpc, "['10.0.0.0/24']")
