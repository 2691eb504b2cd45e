"""Batches: what is fetched once for many events, what is written where, what fails alone. AWS is moto's."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from benchmarks import events as bench
from flowlake.inventory.accounts import AccountUnreachable
from flowlake.inventory.aws import Aws
from flowlake.inventory.batch import Message, handle
from flowlake.lake.observations import from_lines
from flowlake.lake.store import FolderStore, StoreError
from flowlake.sandbox.trail import Trail, api_call, instance_state, tag_change

ACCOUNT, REGION = "123456789012", "us-east-1"
AT = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)
ENIS = [f"eni-0{i:016x}" for i in range(20)]


class Clock:
    """A clock that goes on by a millisecond each time it is asked."""

    def __init__(self, now=AT + timedelta(minutes=5)):
        self.now = now

    def __call__(self):
        self.now += timedelta(milliseconds=1)
        return self.now


def no_ranges():
    raise AssertionError("nobody gave notice")


def messages(events):
    return [Message(f"m{i}", json.dumps(event)) for i, event in enumerate(events)]


def nobody(account_id, region):
    raise AssertionError("nothing is to be fetched")


def run(events, store, accounts=nobody, clock=None, **other):
    return handle(messages(events), store, accounts, clock or Clock(), refresh_ranges=no_ranges, **other)


def rows_in(store, prefix="inventory/observations/"):
    return [row for info in store.list(prefix) for row in from_lines(store.get(info.key))]


def rejects_in(store):
    keys = [info.key for info in store.list("inventory/rejects/")]
    return [json.loads(line) for key in keys for line in gzip.decompress(store.get(key)).splitlines()]


def but_for_recorded_at(rows):
    return sorted(json.dumps({k: v for k, v in row.items() if k != "recorded_at"}, sort_keys=True) for row in rows)


def deleted(interface, **change):
    event = api_call("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": interface}, {},
                     account_id=ACCOUNT, region=REGION, at=AT)  # fmt: skip
    return {**event, **change}


def attached(interface, at=AT):
    return api_call(
        "ec2",
        "AttachNetworkInterface",
        {"NetworkInterfaceId": interface, "InstanceId": "i-0bbbbbbbbbbbbbbb1", "DeviceIndex": 1},
        {"AttachmentId": "eni-attach-0ccccccccccccccc1"},
        account_id=ACCOUNT,
        region=REGION,
        at=at,
    )


def tagged(interface, number=1):
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/{interface}"
    return tag_change(arn, {"owner": f"team-{number}"}, ["owner"], version=number, account_id=ACCOUNT,
                      region=REGION, at=AT + timedelta(seconds=number))  # fmt: skip


# ---- what is written ----


def test_a_batch_is_one_object_under_the_hour_in_which_it_was_recorded(tmp_path):
    store = FolderStore(str(tmp_path))
    outcome = run([deleted(eni) for eni in ENIS], store)
    [key] = [info.key for info in store.list("inventory/")]
    assert key.startswith("inventory/observations/origin=events/dt=2026-01-01/hour=10/")
    assert outcome.objects == [key]
    assert outcome.observations == len(rows_in(store)) == 20
    assert {row["recorded_at"] for row in rows_in(store)} == {"2026-01-01 10:05:00.002"}


def test_handled_twice_a_batch_finds_its_object_and_leaves_it(tmp_path):
    store, clock = FolderStore(str(tmp_path)), Clock()
    first = run([deleted(eni) for eni in ENIS], store, clock=clock)
    before = rows_in(store)
    second = run([deleted(eni) for eni in reversed(ENIS)] + [deleted(ENIS[0])], store, clock=clock)
    assert first.objects == second.objects
    assert rows_in(store) == before


def test_what_is_not_understood_goes_whole_to_the_rejects_and_blocks_nothing(tmp_path):
    store = FolderStore(str(tmp_path))
    odd = '{"detail": NaN}'
    surrogate = json.dumps({**tagged(ENIS[0]), "id": "s"}).replace("team-1", "\\ud800")
    bodies = [
        json.dumps(deleted(ENIS[0])),
        "not json",
        odd,
        json.dumps(deleted(ENIS[1], source="my.app")),
        surrogate,
        "[" * 100_000,
    ]
    outcome = handle(
        [Message(str(i), body) for i, body in enumerate(bodies)], store, nobody, Clock(), refresh_ranges=no_ranges
    )
    assert outcome.failed == {}
    assert outcome.rejected == {"not_json": 2, "not_from_aws": 1, "bad_text": 1, "not_understood": 1}
    assert [row["entity_id"] for row in rows_in(store)] == [ENIS[0]]
    assert sorted((reject["reason"], reject["body"]) for reject in rejects_in(store)) == sorted(
        [
            ("not_json", "not json"),
            ("not_json", odd),
            ("not_from_aws", bodies[3]),
            ("bad_text", surrogate),
            ("not_understood", bodies[5]),
        ]
    )


def test_columns_keep_their_types_whatever_an_event_holds(tmp_path):
    store = FolderStore(str(tmp_path))
    task = {"taskArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/abc", "availabilityZone": ["not", "a", "text"]}
    event = {"id": "e", "source": "aws.ecs", "account": ACCOUNT, "region": REGION, "time": "2026-01-01T10:00:00Z",
             "detail-type": "ECS Task State Change", "detail": task}  # fmt: skip
    assert run([event], store).rejected == {"unreadable": 1}


def test_ignored_events_are_counted_and_written_nowhere(tmp_path):
    store = FolderStore(str(tmp_path))
    other = deleted(ENIS[0])
    other["detail"] = {**other["detail"], "eventName": "CreateSnapshot"}
    failed = deleted(ENIS[0])
    failed["detail"] = {**failed["detail"], "errorCode": "Client.Unauthorized"}
    outcome = run([other, failed, {**other, "detail-type": "Something Else"}], store)
    assert outcome.ignored == {"not_needed": 2, "failed_call": 1}
    assert list(store.list("")) == []


def test_a_store_that_does_not_answer_is_an_error_of_the_whole_batch(tmp_path):
    class Broken(FolderStore):
        def put(self, *args, **kwargs):
            raise StoreError("no")

    with pytest.raises(StoreError):
        run([deleted(ENIS[0])], Broken(str(tmp_path)))


events_ = st.lists(
    st.one_of(
        st.sampled_from(ENIS).map(deleted),
        st.tuples(st.sampled_from(ENIS), st.integers(1, 5)).map(lambda pair: tagged(*pair)),
        st.sampled_from(["pending", "stopping", "shutting-down", "terminated"]).map(
            lambda state: instance_state("i-0bbbbbbbbbbbbbbb1", state, account_id=ACCOUNT, region=REGION, at=AT)
        ),
        st.sampled_from(ENIS).map(lambda eni: deleted(eni, source="my.app")),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=events_, seed=st.integers(0, 1000), cut=st.integers(1, 12))
def test_shuffled_repeated_and_cut_otherwise_events_give_the_same_observations(tmp_path_factory, events, seed, cut):
    straight, wild = (FolderStore(str(tmp_path_factory.mktemp("lake"))) for _ in range(2))
    run(events, straight)
    dice = random.Random(seed)
    again = events + dice.choices(events, k=len(events))
    dice.shuffle(again)
    for i in range(0, len(again), cut):
        run(again[i : i + cut], wild)
    assert set(but_for_recorded_at(rows_in(wild))) == set(but_for_recorded_at(rows_in(straight)))


junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.builds(list)
    | st.builds(dict)
    | st.builds(lambda: [{"x": 1}])
)


def paths(tree, here=()):
    """All places in a tree."""
    members = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, member in members:
        yield (*here, name)
        yield from paths(member, (*here, name))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), number=st.integers(0, 60))
def test_whatever_stands_in_an_event_it_ends_by_name_and_blocks_nothing(tmp_path_factory, data, number):
    event = bench.events(61)[number]
    for path in data.draw(st.lists(st.sampled_from(list(paths(event))), min_size=1, max_size=3)):
        *parents, last = path
        at = event
        try:
            for name in parents:
                at = at[name]
            at[last] = data.draw(junk)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away

    def unreachable(account_id, region):
        raise AccountUnreachable("not in this test")

    store = FolderStore(str(tmp_path_factory.mktemp("lake")))
    outcome = run([event, deleted(ENIS[0])], store, unreachable)
    assert outcome.failed == {}
    assert "not_understood" not in outcome.rejected
    assert ENIS[0] in {row["entity_id"] for row in rows_in(store)}


# ---- what is fetched ----


@pytest.fixture
def ec2():
    with mock_aws():
        yield boto3.session.Session(region_name=REGION).client("ec2")


class Asked:
    """Gives AWS as moto plays it, one for each account and region."""

    def __init__(self):
        self.aws = {}

    def __call__(self, account_id, region):
        if (account_id, region) not in self.aws:
            self.aws[account_id, region] = Aws(boto3.session.Session(region_name=region), account_id, region)
        return self.aws[account_id, region]


def interfaces(ec2, count):
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    return [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"] for _ in range(count)]


def test_one_call_answers_many_events_and_its_rows_hold_from_the_answer_on(ec2, tmp_path):
    store = FolderStore(str(tmp_path))
    made = interfaces(ec2, 30)
    events = [attached(one["NetworkInterfaceId"]) for one in made for _ in range(2)]
    outcome = run(events, store, Asked())
    assert outcome.calls == {"ec2:DescribeNetworkInterfaces": 1}
    fetched = [row for row in rows_in(store) if row["source_name"] == "DescribeNetworkInterfaces"]
    assert {(row["entity_id"], row["addresses"][0]) for row in fetched} == {
        (one["NetworkInterfaceId"], one["PrivateIpAddress"]) for one in made
    }
    assert {(row["state"], row["source"], row["observed_at"][:16]) for row in fetched} == {
        ("present", "event", "2026-01-01 10:05")  # handled five minutes after the events
    }
    told = [row for row in rows_in(store) if row["source_name"] == "AttachNetworkInterface"]
    assert {row["observed_at"] for row in told} == {"2026-01-01 10:00:00.000"}


def test_not_found_is_absence_at_that_moment(ec2, tmp_path):
    store = FolderStore(str(tmp_path))
    outcome = run([attached(ENIS[3])], store, Asked())
    assert outcome.failed == {}
    absent = [row for row in rows_in(store) if row["state"] == "absent"]
    assert [(row["entity_id"], row["source_name"], row["observed_at"][:16]) for row in absent] == [
        (ENIS[3], "DescribeNetworkInterfaces", "2026-01-01 10:05")
    ]


def test_not_found_right_after_the_event_is_asked_again(ec2, tmp_path):
    store = FolderStore(str(tmp_path))
    young = Clock(AT + timedelta(seconds=5))
    outcome = run([attached(ENIS[3]), deleted(ENIS[4])], store, Asked(), young)
    assert outcome.failed.keys() == {"m0"}
    assert [(row["entity_id"], row["state"]) for row in rows_in(store)] == [(ENIS[3], "partial"), (ENIS[4], "absent")]


def failing(error):
    def accounts(account_id, region):
        if account_id == "999988887777":
            raise error
        return Asked()(account_id, region)

    return accounts


def of(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "X")


@pytest.mark.parametrize(
    ("error", "failed", "rejected"),
    [
        (of("RequestLimitExceeded"), {"m1"}, {}),
        (EndpointConnectionError(endpoint_url="https://x"), {"m1"}, {}),
        (of("UnauthorizedOperation"), set(), {"fetch_denied": 1}),
        (of("InvalidParameterValue"), set(), {"fetch_failed": 1}),
        (ValueError("ours"), set(), {"fetch_failed": 1}),
        (AccountUnreachable("no role"), set(), {"fetch_failed": 1}),
    ],
)
def test_what_one_account_does_not_answer_fails_its_own_events_only(ec2, tmp_path, error, failed, rejected):
    store = FolderStore(str(tmp_path))
    [made] = interfaces(ec2, 1)
    foreign = attached(ENIS[7])
    foreign["account"] = foreign["detail"]["recipientAccountId"] = "999988887777"
    outcome = run([attached(made["NetworkInterfaceId"]), foreign], store, failing(error))
    assert (outcome.failed.keys(), dict(outcome.rejected)) == (failed, rejected)
    # What the event itself says is kept either way.
    assert {row["entity_id"] for row in rows_in(store)} == {made["NetworkInterfaceId"], ENIS[7]}


def test_after_the_deadline_nothing_is_asked_and_the_events_come_again(ec2, tmp_path):
    outcome = run([attached(ENIS[3]), deleted(ENIS[4])], FolderStore(str(tmp_path)), nobody, deadline=AT)
    assert {name: why.split(":")[0] for name, why in outcome.failed.items()} == {"m0": "out_of_time"}


def test_interfaces_that_a_fetched_entity_names_are_fetched_too(ec2, tmp_path):
    store = FolderStore(str(tmp_path))
    trail = Trail(ACCOUNT, lambda: AT)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = trail.watch(ec2).create_nat_gateway(SubnetId=subnet, AllocationId=allocation)["NatGateway"]
    outcome = run(trail.events, store, Asked())
    assert outcome.failed == {}
    kinds = {row["kind"]: row for row in rows_in(store)}
    assert kinds["nat_gateway"]["entity_id"] == nat["NatGatewayId"]
    assert kinds["nat_gateway"]["interface_ids"] == [kinds["interface"]["entity_id"]]


def test_other_groups_of_a_mount_target_are_seen_at_its_interface(ec2, tmp_path):
    store = FolderStore(str(tmp_path))
    efs = boto3.session.Session(region_name=REGION).client("efs")
    subnet = ec2.describe_subnets()["Subnets"][0]
    file_system = efs.create_file_system(CreationToken="shared")["FileSystemId"]
    target = efs.create_mount_target(FileSystemId=file_system, SubnetId=subnet["SubnetId"])
    group = ec2.create_security_group(GroupName="nfs", Description="nfs", VpcId=subnet["VpcId"])["GroupId"]
    trail = Trail(ACCOUNT, lambda: AT)
    trail.watch(efs).modify_mount_target_security_groups(MountTargetId=target["MountTargetId"], SecurityGroups=[group])
    # In AWS they are the interface's from then on; moto leaves it alone.
    ec2.modify_network_interface_attribute(NetworkInterfaceId=target["NetworkInterfaceId"], Groups=[group])
    outcome = run(trail.events, store, Asked())
    assert outcome.failed == {}
    kinds = {row["kind"]: row for row in rows_in(store)}
    assert kinds["file_system"]["entity_id"] == file_system
    assert kinds["interface"]["entity_id"] == target["NetworkInterfaceId"]
    assert kinds["interface"]["security_group_ids"] == [group]


def test_tags_in_doubt_are_fetched_whole(ec2, tmp_path):
    store = FolderStore(str(tmp_path))
    [made] = interfaces(ec2, 1)
    interface = made["NetworkInterfaceId"]
    ec2.create_tags(Resources=[interface], Tags=[{"Key": "owner", "Value": "data"}, {"Key": "app", "Value": "etl"}])
    trail = Trail(ACCOUNT, lambda: AT)
    trail.watch(ec2).delete_tags(Resources=[interface], Tags=[{"Key": "app", "Value": "etl"}])
    outcome = run(trail.events, store, Asked())
    assert outcome.calls == {"ec2:DescribeTags": 1}
    [row] = rows_in(store)
    assert (row["kind"], row["state"], row["entity_id"], row["tags"]) == (
        "tags",
        "present",
        interface,
        {"owner": "data"},
    )


def test_load_balancers_come_with_their_listeners_and_the_missing_one_is_gone(ec2, tmp_path):
    store = FolderStore(str(tmp_path))
    elb = boto3.session.Session(region_name=REGION).client("elbv2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    trail = Trail(ACCOUNT, lambda: AT)
    trail.watch(elb)
    first, second = (
        elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        for name in ("web", "old")
    )
    group = elb.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"], TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=first, Protocol="HTTP", Port=8080, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}]
    )
    events = list(trail.events)
    elb.delete_load_balancer(LoadBalancerArn=second)
    outcome = run(events, store, Asked())
    assert (outcome.failed, dict(outcome.rejected)) == ({}, {})
    balancers = {row["entity_id"]: row for row in rows_in(store) if row["kind"] == "load_balancer"}
    assert balancers[first]["ports"] == [8080]
    assert balancers[second]["state"] == "absent"
    assert {row["entity_id"] for row in rows_in(store) if row["kind"] == "target_group"} == {group}


def test_five_hundred_events_are_one_object_and_a_handful_of_calls():
    figures = bench.once(bench.events(500))
    assert (figures["objects_written"], figures["rejected"], figures["failed"]) == (1, 0, 0)
    # One call for each kind and 200 ids, and one for each load balancer's listeners.
    by_name = figures["api_calls_by_name"]
    assert by_name["ec2:DescribeNetworkInterfaces"] <= 3
    assert sum(by_name.values()) - by_name["elbv2:DescribeListeners"] <= 8


# ---- notices of new address ranges ----

NOTICE = {"create-time": "2026-01-01T10:00:00", "synctoken": "1", "md5": "x", "url": "https://evil.example/ranges.json"}


def wrapped(topic="arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged"):
    return {"Type": "Notification", "TopicArn": topic, "Message": json.dumps(NOTICE)}


def test_notices_of_new_ranges_are_one_fetch_of_the_published_address(tmp_path):
    fetches = []
    outcome = handle(
        messages([wrapped(), NOTICE, deleted(ENIS[0])]),
        FolderStore(str(tmp_path)),
        nobody,
        Clock(),
        refresh_ranges=lambda: fetches.append("published"),
    )
    assert (fetches, outcome.failed, outcome.observations) == (["published"], {}, 1)


def test_a_fetch_of_ranges_that_fails_brings_back_its_notices_only(tmp_path):
    def broken():
        raise OSError("no network")

    outcome = handle(
        messages([wrapped(), deleted(ENIS[0])]), FolderStore(str(tmp_path)), nobody, Clock(), refresh_ranges=broken
    )
    assert (outcome.failed.keys(), outcome.observations) == ({"m0"}, 1)


def test_another_topic_is_no_notice(tmp_path):
    assert run([wrapped("arn:aws:sns:us-east-1:123456789012:mine")], FolderStore(str(tmp_path))).rejected == {
        "lacks_source": 1
    }
