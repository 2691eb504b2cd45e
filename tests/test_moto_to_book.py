"""moto's AWS, its calls as CloudTrail tells them, one event in five lost, the Lambda's handler, the sweep, the book.

Interfaces are created, attached, tagged, detached and deleted, and addresses are another's within 30 seconds. Before
the next sweep the book is right or silent, after it it says what is so; where no event was lost its intervals are the
truth to the second.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from flowlake.flows.book import Book, build
from flowlake.flows.observed import observations
from flowlake.inventory import handler
from flowlake.inventory.aws import Aws
from flowlake.inventory.sweep import new_task, sweep
from flowlake.lake.hours import Hour
from flowlake.lake.observations import Row
from flowlake.lake.store import ObjectStore, open_store
from flowlake.sandbox.trail import Event, Trail, instance_state, sqs_batch
from tests.held import Truth, claimed, wrong_answers, wrong_claims

ACCOUNT, REGION = "123456789012", "us-east-1"
HOUR = Hour.parse("2026-01-01T10")
BEGAN = HOUR.moment + timedelta(minutes=5)
KINDS = ("vpc", "subnet", "instance", "interface")


@dataclass
class Story:
    """What happened in moto's account, to the second, and the events that tell it. at: seconds since it began."""

    session: Any
    store: ObjectStore
    at: int = 0
    truth: Truth = field(default_factory=Truth)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    attached: dict[str, str] = field(default_factory=dict)
    attached_at: dict[str, datetime] = field(default_factory=dict)
    vpc: str = ""

    @property
    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.at)

    @property
    def ms(self) -> int:
        return round(self.now.timestamp() * 1000)

    def tell(self) -> list[Event]:
        trail = Trail(ACCOUNT, lambda: self.now)
        ec2 = trail.watch(self.session.client("ec2"))
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        image = ec2.describe_images()["Images"][0]["ImageId"]
        self.at = 30
        self.sweep()

        def state(instance: str, name: str) -> None:
            trail.events.append(instance_state(instance, name, account_id=ACCOUNT, region=REGION, at=self.now))

        def run(at: int, address: str) -> tuple[str, str]:
            self.at = at
            first = {"DeviceIndex": 0, "SubnetId": subnet, "PrivateIpAddress": address, "DeleteOnTermination": True}
            made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, NetworkInterfaces=[first])["Instances"][0]
            eni = made["NetworkInterfaces"][0]
            self._born(eni["NetworkInterfaceId"], address, made["InstanceId"], eni["Attachment"]["AttachmentId"])
            state(made["InstanceId"], "running")
            return made["InstanceId"], eni["NetworkInterfaceId"]

        def create(at: int, address: str) -> str:
            self.at = at
            made = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address)["NetworkInterface"]
            self._born(made["NetworkInterfaceId"], address)
            return str(made["NetworkInterfaceId"])

        def attach(at: int, eni: str, instance: str) -> str:
            self.at = at
            told = ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
            self._attached(eni, instance, told["AttachmentId"])
            return str(told["AttachmentId"])

        def tag(at: int, eni: str, **tags: str) -> None:
            self.at = at
            ec2.create_tags(Resources=[eni], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
            self.tags[eni] |= tags

        def detach(at: int, eni: str, attachment: str) -> None:
            self.at = at
            ec2.detach_network_interface(AttachmentId=attachment)
            self._attached(eni, "")

        def delete(at: int, eni: str, address: str) -> None:
            self.at = at
            ec2.delete_network_interface(NetworkInterfaceId=eni)
            self._died(eni, address)

        first, first_eni = run(60, "10.0.0.10")
        extra = create(90, "10.0.0.20")
        attachment = attach(100, extra, first)
        tag(110, extra, owner="data")
        detach(140, extra, attachment)
        delete(150, extra, "10.0.0.20")
        again = create(178, "10.0.0.20")  # 28 s later
        tag(190, again, owner="shop", app="web")
        self.at = 300
        ec2.terminate_instances(InstanceIds=[first])
        state(first, "shutting-down")
        self.at = 320
        state(first, "terminated")
        self._died(first_eni, "10.0.0.10")
        second, _ = run(340, "10.0.0.10")  # another instance's, 20 s later
        attach(380, again, second)
        self.at = 600
        return trail.events

    def _born(self, eni: str, address: str, instance: str = "", attachment: str = "") -> None:
        self.truth.takes(address, eni, self.ms)
        self.tags[eni] = {}
        self._attached(eni, instance, attachment)

    def _attached(self, eni: str, instance: str, attachment: str = "") -> None:
        self.attached[eni] = instance
        self.attached_at[attachment] = self.now

    def _died(self, eni: str, address: str) -> None:
        self.truth.leaves(address, eni, self.ms)
        del self.tags[eni], self.attached[eni]

    def sweep(self) -> None:
        """flowlake's own, of moto's account as it stands."""
        task = new_task(ACCOUNT, REGION, self.now, KINDS)
        result = sweep(task, Aws(self.session, ACCOUNT, REGION), self.store.put, lambda: self.now)
        assert (result.failures, set(result.complete)) == ((), set(KINDS))

    def book(self) -> tuple[Book, list[Row]]:
        rows = list(observations(self.store, HOUR, self.now)[1])
        return build(rows, HOUR.starts), rows


def _as_it_was(story: Story) -> Callable[..., None]:
    """moto attaches by this machine's clock: its answers get the story's."""

    def put_right(parsed: dict[str, Any], **_: Any) -> None:
        reservations = parsed.get("Reservations", ())
        nested = [e for r in reservations for i in r["Instances"] for e in i.get("NetworkInterfaces", ())]
        for eni in [*parsed.get("NetworkInterfaces", ()), *nested]:
            known = story.attached_at.get(eni.get("Attachment", {}).get("AttachmentId"))
            if known:
                eni["Attachment"]["AttachTime"] = known

    return put_right


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    with mock_aws():
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("FLOWLAKE_LAKE", "s3://a-lake")
        kept = (handler._settings, handler._store, handler._session, handler._accounts_of)
        for cached in kept:
            cached.cache_clear()
        session = boto3.session.Session(region_name=REGION)
        session.client("s3").create_bucket(Bucket="a-lake")
        told = Story(session, open_store("s3://a-lake"))
        for operation in ("DescribeNetworkInterfaces", "DescribeInstances"):
            session.events.register(f"after-call.ec2.{operation}", _as_it_was(told))
        monkeypatch.setattr(handler, "_session", lambda: session)
        monkeypatch.setattr(handler, "_now", lambda: told.now)
        yield told
    monkeypatch.undo()
    for cached in kept:
        cached.cache_clear()


def deliver(story: Story, events: list[Event], lose: int, seed: int) -> None:
    """Hands all but so many of the events to the handler: shuffled, twice, in small batches."""
    dice = random.Random(seed)
    left = dice.sample(events, len(events) - lose)
    twice = left * 2
    dice.shuffle(twice)
    for first in range(0, len(twice), 7):
        assert handler.events(sqs_batch(twice[first : first + 7]), None)["batchItemFailures"] == []
    assert list(story.store.list("inventory/rejects/")) == []


def wrong(story: Story) -> list[str]:
    book, rows = story.book()
    moments = range(HOUR.starts * 1000, story.ms, 7_000)
    return wrong_claims(book, story.truth, rows) + wrong_answers(book, story.truth, story.vpc, moments, rows)


@pytest.mark.parametrize("seed", range(6))
def test_one_event_in_five_lost_the_book_is_right_or_silent_and_after_the_sweep_right(story: Story, seed: int) -> None:
    events = story.tell()
    deliver(story, events, lose=len(events) // 5, seed=seed)
    assert wrong(story) == []
    story.at = 900
    story.sweep()
    assert wrong(story) == []
    book, _ = story.book()
    now = {s.interface_id: s for s in book.states if s.valid_from <= story.ms < s.valid_to}
    assert set(now) == set(story.attached)
    for eni, instance in story.attached.items():
        assert now[eni].interface_tags == story.tags[eni]
        assert [arn.rsplit("/", 1)[1] for arn in now[eni].arns if ":instance/" in arn] == (
            [instance] if instance else []
        )
    still = {(address, eni) for (address, eni), held in story.truth.held.items() if held[-1][1] > story.ms}
    assert {(c.addr, c.interface_id) for c in book.claims if c.open} == still


def test_with_every_event_the_intervals_are_the_truth(story: Story) -> None:
    deliver(story, story.tell(), lose=0, seed=0)
    story.at = 900
    story.sweep()
    book, _ = story.book()
    for (address, eni), [(begins, ends)] in story.truth.held.items():
        assert claimed(book, address, eni) == [(begins, min(ends, story.ms))], (address, eni)
    assert len(story.truth.held) == 4
