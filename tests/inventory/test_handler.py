"""The Lambdas' entries, as AWS calls them: environment, messages in, partial batch responses out. AWS is moto's."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from flowlake.inventory import handler, ranges
from flowlake.inventory.accounts import AccountUnreachable
from flowlake.inventory.fetch import failure_of
from flowlake.inventory.settings import BadSettings, Settings, settings_from
from flowlake.inventory.sweep import new_task
from flowlake.lake.observations import from_lines
from flowlake.lake.store import open_store
from flowlake.sandbox.trail import api_call, sqs_batch

ACCOUNT, REGION = "123456789012", "us-east-1"
ENI = "eni-0aaaaaaaaaaaaaaa1"
MINUTE = 60_000


def context(milliseconds=15 * MINUTE):
    """Lambda's context, with this time left."""
    return SimpleNamespace(
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:flowlake",
        get_remaining_time_in_millis=lambda: milliseconds,
    )


@pytest.fixture
def aws(monkeypatch):
    """An account with a lake and a queue, and the environment of the Lambdas. The address ranges are not at hand."""
    with mock_aws():
        session = boto3.session.Session(region_name=REGION)
        session.client("s3").create_bucket(Bucket="a-lake")
        queue = session.client("sqs").create_queue(QueueName="sweeps")["QueueUrl"]
        for name, value in {
            "AWS_DEFAULT_REGION": REGION,
            "FLOWLAKE_LAKE": "s3://a-lake/here",
            "FLOWLAKE_REGIONS": "us-east-1,eu-west-1",
            "FLOWLAKE_SWEEP_QUEUE_URL": queue,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(ranges, "fetch", lambda: (_ for _ in ()).throw(OSError("no network in tests")))
        forget()
        yield SimpleNamespace(session=session, queue=queue, lake=open_store("s3://a-lake/here"))
        forget()


def forget():
    for kept in (handler._settings, handler._store, handler._session, handler._accounts_of):
        kept.cache_clear()


def ago(**time):
    return datetime.now(UTC) - timedelta(**time)


def deleted(interface, at=None):
    return api_call("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": interface}, {},
                    account_id=ACCOUNT, region=REGION, at=at or ago(minutes=5))  # fmt: skip


def attached(interface, at=None):
    return api_call("ec2", "AttachNetworkInterface",
                    {"NetworkInterfaceId": interface, "InstanceId": "i-0bbbbbbbbbbbbbbb1", "DeviceIndex": 1},
                    {"AttachmentId": "eni-attach-0ccccccccccccccc1"},
                    account_id=ACCOUNT, region=REGION, at=at or ago(minutes=5))  # fmt: skip


def rows(aws, prefix="inventory/observations/"):
    return [row for info in aws.lake.list(prefix) for row in from_lines(aws.lake.get(info.key))]


def sent(aws):
    """The tasks in the sweeps' queue, taken out of it."""
    queue, tasks = aws.session.client("sqs"), []
    while got := queue.receive_message(QueueUrl=aws.queue, MaxNumberOfMessages=10).get("Messages"):
        for message in got:
            tasks.append(message["Body"])
            queue.delete_message(QueueUrl=aws.queue, ReceiptHandle=message["ReceiptHandle"])
    return tasks


def from_queue(*bodies):
    batch = sqs_batch([{}] * len(bodies))
    for record, body in zip(batch["Records"], bodies, strict=True):
        record["body"] = body
    return batch


# ---- events ----


def test_a_batch_is_handled_and_its_young_miss_comes_again_alone(aws, capsys):
    batch = sqs_batch([deleted(ENI), attached("eni-0aaaaaaaaaaaaaaa2", at=ago(seconds=2)), {"not": "an event"}])
    answer = handler.events(batch, context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert {(row["entity_id"], row["state"]) for row in rows(aws)} == {
        (ENI, "absent"),
        ("eni-0aaaaaaaaaaaaaaa2", "partial"),
    }
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    told = {name: value for metric in metrics for name, value in metric.items() if name.startswith(("Ev", "Ob", "Api"))}
    assert told == {
        "Observations": [2.0],
        "EventsIgnored": [0.0],
        "EventsRejected": [1.0],
        "EventsFailed": [1.0],
        "ApiCalls": [1.0],
        "EventsRejectedFor": [1.0],
    }
    assert [metric["reason"] for metric in metrics if "reason" in metric] == ["lacks_source"]


def test_an_event_may_come_directly(aws):
    assert handler.events(deleted(ENI), context()) == {}
    assert [row["state"] for row in rows(aws)] == ["absent"]
    with pytest.raises(handler.HandleAgain, match="not_there_yet"):
        handler.events(attached(ENI, at=ago(seconds=1)), context())


def test_all_messages_come_again_where_the_lake_does_not_answer(aws, monkeypatch):
    monkeypatch.setenv("FLOWLAKE_LAKE", "s3://no-such-bucket")
    forget()
    answer = handler.events(sqs_batch([deleted(ENI), deleted("eni-0aaaaaaaaaaaaaaa2")]), context())
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["message-0", "message-1"]


def test_a_batch_that_has_no_time_left_writes_what_events_say_and_asks_nothing(aws):
    answer = handler.events(sqs_batch([deleted(ENI), attached("eni-0aaaaaaaaaaaaaaa2")]), context(milliseconds=9_000))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert len(rows(aws)) == 2


def test_a_notice_of_new_ranges_fetches_the_published_file(aws, monkeypatch):
    published = {
        "syncToken": "1767261600", "createDate": "2026-01-01-10-00-00", "ipv6_prefixes": [],
        "prefixes": [{"ip_prefix": "192.0.2.0/24", "region": "us-east-1", "service": "S3",
                      "network_border_group": "us-east-1"}],
    }  # fmt: skip
    notice = {"synctoken": "1767261600", "url": "https://evil.example/", "md5": "", "create-time": ""}
    assert handler.events(from_queue(json.dumps(notice)), context())["batchItemFailures"]  # no network: again
    monkeypatch.setattr(ranges, "fetch", lambda: json.dumps(published).encode())
    assert handler.events(from_queue(json.dumps(notice)), context()) == {"batchItemFailures": []}
    assert [row["prefix"] for row in ranges.read(aws.lake)] == ["192.0.2.0/24"]


# ---- sweeps ----


def test_the_plan_is_one_message_for_each_account_and_region(aws):
    assert handler.plan({}, context()) == {"tasks": 2}
    tasks = [json.loads(body) for body in sent(aws)]
    assert sorted((task["account_id"], task["region"]) for task in tasks) == [
        (ACCOUNT, "eu-west-1"),
        (ACCOUNT, "us-east-1"),
    ]


def test_the_sweeping_lambda_plans_when_a_schedule_wakes_it(aws):
    woken = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    assert handler.sweep(woken, context()) == {"tasks": 2}
    assert len(sent(aws)) == 2


def test_the_plan_of_an_organisation_has_all_its_active_accounts(aws, monkeypatch):
    organizations = aws.session.client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    organizations.create_account(AccountName="data", Email="data@example.com")
    monkeypatch.setenv("FLOWLAKE_ACCOUNTS", "organization")
    monkeypatch.setenv("FLOWLAKE_ROLE_NAME", "flowlake-reader")
    monkeypatch.setenv("FLOWLAKE_EXTERNAL_ID", "secret")
    monkeypatch.setenv("FLOWLAKE_REGIONS", REGION)
    forget()
    handler.plan({}, context())
    accounts = sorted(a["Id"] for a in organizations.list_accounts()["Accounts"])
    tasks = [json.loads(body) for body in sent(aws)]
    assert len(accounts) == 2
    assert sorted(task["account_id"] for task in tasks if task["region"] == REGION) == accounts
    assert [(task["region"], task["kinds"]) for task in tasks if task["region"] != REGION] == [("global", ["account"])]


def test_regions_that_are_not_set_are_those_that_the_account_has(aws, monkeypatch):
    monkeypatch.delenv("FLOWLAKE_REGIONS")
    forget()
    handler.plan({}, context())
    regions = {json.loads(body)["region"] for body in sent(aws)}
    assert regions == {r["RegionName"] for r in aws.session.client("ec2").describe_regions()["Regions"]}


KINDS = ["interface", "subnet", "vpc", "security_group", "route_table"]


def marker_keys(aws):
    return [info.key for info in aws.lake.list("inventory/sweeps/")]


def test_a_sweep_writes_its_rows_and_its_marker(aws):
    task = new_task(ACCOUNT, REGION, ago(seconds=1), KINDS)
    assert handler.sweep(from_queue(task.to_json()), context()) == {"batchItemFailures": []}
    assert len(marker_keys(aws)) == 1
    complete = [row["kind"] for row in rows(aws) if row["state"] == "complete"]
    assert sorted(complete) == sorted(KINDS)
    assert sent(aws) == []


def test_a_sweep_goes_on_in_a_continuation_before_its_time_is_up(aws, monkeypatch):
    task = new_task(ACCOUNT, REGION, ago(seconds=1), KINDS)
    start, asked = datetime.now(UTC), []

    def clock():  # half a minute passes each time someone looks
        asked.append(1)
        return start + timedelta(seconds=30 * len(asked))

    monkeypatch.setattr(handler, "_now", clock)
    bodies, runs = [task.to_json()], 0
    while bodies and runs < 50:
        answer = handler.sweep(from_queue(bodies.pop()), context(milliseconds=5 * MINUTE))
        assert answer == {"batchItemFailures": []}
        bodies += sent(aws)
        runs += 1
    assert runs > 1
    assert len(marker_keys(aws)) == 1
    complete = [row["kind"] for row in rows(aws) if row["state"] == "complete"]
    assert sorted(complete) == sorted(KINDS)


def test_a_sweep_with_no_time_to_begin_and_one_that_makes_no_sense_come_again(aws):
    task = new_task(ACCOUNT, REGION, ago(seconds=1), KINDS).to_json()
    again = {"batchItemFailures": [{"itemIdentifier": "message-0"}]}
    assert handler.sweep(from_queue(task), context(milliseconds=30_000)) == again
    assert handler.sweep(from_queue('{"account_id": 1}'), context()) == again
    assert marker_keys(aws) == []


def test_an_account_that_cannot_be_entered_leaves_a_marker_that_says_so(aws):
    task = new_task("999988887777", REGION, ago(seconds=1), KINDS)
    assert handler.sweep(from_queue(task.to_json()), context()) == {"batchItemFailures": []}
    [key] = marker_keys(aws)
    marker = json.loads(aws.lake.get(key))
    assert (marker["kinds"], marker["failures"][0]["kind"]) == ({}, "*")


# ---- whose AWS ----


def test_other_accounts_are_entered_by_their_role_with_the_external_id(aws, monkeypatch):
    asked = []
    settings = Settings("s3://x", ("999988887777",), role_name="ops/flowlake-reader", external_id="secret")
    session = boto3.session.Session(region_name=REGION)
    original = session.client

    def client(service, **arguments):
        made = original(service, **arguments)
        if service == "sts":
            made.meta.events.register(
                "provide-client-params.sts.AssumeRole", lambda params, **_: asked.append(dict(params))
            )
        return made

    monkeypatch.setattr(session, "client", client)
    now = [0.0]
    accounts = handler.Accounts(settings, session, ACCOUNT, REGION, clock=lambda: now[0])
    first = accounts("999988887777", REGION)
    assert accounts("999988887777", REGION) is first
    assert accounts(ACCOUNT, REGION).session is session
    assert [(a["RoleArn"], a["ExternalId"]) for a in asked] == [
        ("arn:aws:iam::999988887777:role/ops/flowlake-reader", "secret")
    ]
    now[0] = 46 * 60.0  # credentials are about to run out
    assert accounts("999988887777", REGION) is not first
    assert len(asked) == 2


def test_a_role_that_may_not_be_assumed_is_a_denial_and_no_reason_to_try_again():
    from botocore.exceptions import ClientError

    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")
    unreachable = AccountUnreachable("no role")
    unreachable.__cause__ = denied
    assert (failure_of(unreachable).reason, failure_of(unreachable).transient) == ("fetch_denied", False)


# ---- settings and size ----


def test_settings_that_make_no_sense_are_all_named_at_once():
    with pytest.raises(BadSettings) as caught:
        settings_from({"FLOWLAKE_ACCOUNTS": "12, 111122223333", "FLOWLAKE_REGIONS": "mars"}, needs_queue=True)
    for part in ("FLOWLAKE_LAKE", "'12' is no account", "'mars'", "FLOWLAKE_ROLE_NAME", "FLOWLAKE_SWEEP_QUEUE_URL"):
        assert part in str(caught.value)
    with pytest.raises(BadSettings, match="FLOWLAKE_EXTERNAL_ID"):
        settings_from({"FLOWLAKE_LAKE": "s3://x", "FLOWLAKE_ROLE_NAME": "reader"})


def test_settings_are_lists_with_commas():
    said = settings_from(
        {
            "FLOWLAKE_LAKE": "s3://x/y",
            "FLOWLAKE_ACCOUNTS": "111122223333, 444455556666",
            "FLOWLAKE_ROLE_NAME": "reader",
            "FLOWLAKE_EXTERNAL_ID": "secret",
            "FLOWLAKE_TAGS": "owner,app",
        }
    )
    assert (said.accounts, said.regions, said.tags) == (
        ("111122223333", "444455556666"),
        None,
        frozenset({"owner", "app"}),
    )


def test_a_cold_start_imports_nothing_heavy():
    code = (
        "import sys, flowlake.inventory.handler; "
        "print([m for m in ('pandas', 'pyarrow', 'numpy', 'pyspark', 'pydantic', 'boto3', 'moto') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
