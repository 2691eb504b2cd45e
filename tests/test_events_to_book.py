"""Random histories of an account, told by its real events (some lost) and by sweeps (some broken off): what the book
says of addresses, tags and attachments is right or unknown, and after a whole sweep it is right.

Events are CloudTrail's, EC2's and the tagging service's as AWS writes them, read by the inventory's own rules; describe
answers go through the inventory's rows. No address is ever given to two, and none to a wrong one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowlake.flows.book import MARGIN_MS, Book, build
from flowlake.flows.fold import millis
from flowlake.inventory.calls import Ignored
from flowlake.inventory.events import read
from flowlake.inventory.rows import Seen, rows_of
from flowlake.lake.hours import Hour
from flowlake.lake.observations import ABSENT, COMPLETE, EVENT, SWEEP, Row
from flowlake.sandbox.trail import Event, api_call, instance_state, tag_change
from tests.held import Truth, claimed, wrong_answers, wrong_claims

ACCOUNT, REGION, VPC, SUBNET = "123456789012", "us-east-1", "vpc-0a0a0a0a0a0a0a0a0", "subnet-0a0a0a0a0a0a0a0a0"
HOUR = Hour.parse("2026-01-01T10")
KINDS = ("interface", "instance", "vpc")
SETTLED = 60
"""Seconds after which an answer that lacks an id proves that it is gone (fetch.SETTLED)."""


@dataclass
class Interface:
    id: str
    addresses: list[str]
    tags: dict[str, str] = field(default_factory=dict)
    instance: str = ""
    attachment: str = ""
    attached_at: int = 0
    goes_too: bool = False
    first: bool = False


@dataclass
class Instance:
    id: str
    address: str
    tags: dict[str, str]
    state: str = "running"
    ends_at: int | None = None


@dataclass
class Account:
    """One account as it lives; at is its clock (epoch ms). Every change is told by an event at its own second."""

    rng: random.Random
    at: int
    truth: Truth = field(default_factory=Truth)
    interfaces: dict[str, Interface] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    attached: dict[str, str] = field(default_factory=dict)
    """Attachment id -> interface id."""
    quietly: set[str] = field(default_factory=set)
    """Interfaces that went with an instance whose first interface they weren't: no event proves when."""
    events: list[tuple[int, Event]] = field(default_factory=list)
    made: int = 0

    # -- time

    @property
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at)

    @property
    def ms(self) -> int:
        return int(self.now.timestamp()) * 1000

    def passes(self, seconds: int) -> None:
        """Time goes on; instances that were told to end do."""
        until = self.at + seconds
        for instance in sorted(self.instances.values(), key=lambda i: i.ends_at or 0):
            if instance.ends_at is not None and instance.ends_at <= until:
                self.at = instance.ends_at
                self._terminated(instance)
        self.at = until

    def call(self, operation: str, request: dict[str, Any], answer: dict[str, Any]) -> None:
        told = api_call(
            "ec2", operation, request, answer, account_id=ACCOUNT, region=REGION, at=self.now, number=len(self.events)
        )
        self.events.append((self.at, told))

    def state(self, instance: Instance, name: str) -> None:
        self.events.append((self.at, instance_state(instance.id, name, account_id=ACCOUNT, region=REGION, at=self.now)))

    # -- what AWS answers

    def interface_item(self, eni: Interface) -> dict[str, Any]:
        attachment = {
            "AttachmentId": eni.attachment, "InstanceId": eni.instance, "InstanceOwnerId": ACCOUNT,
            "Status": "attached",
            "AttachTime": datetime.fromtimestamp(eni.attached_at / 1000, UTC), "DeleteOnTermination": eni.goes_too,
        }  # fmt: skip
        return {
            "NetworkInterfaceId": eni.id, "SubnetId": SUBNET, "VpcId": VPC, "AvailabilityZone": "us-east-1a",
            "OwnerId": ACCOUNT, "Description": "", "InterfaceType": "interface", "RequesterManaged": False,
            "Status": "in-use" if eni.instance else "available",
            "PrivateIpAddress": eni.addresses[0], "Groups": [], "TagSet": _pairs(eni.tags), "Ipv6Addresses": [],
            "PrivateIpAddresses": [{"PrivateIpAddress": a, "Primary": i == 0} for i, a in enumerate(eni.addresses)],
            **({"Attachment": attachment} if eni.instance else {}),
        }  # fmt: skip

    def instance_item(self, instance: Instance) -> dict[str, Any]:
        mine = [eni for eni in self.interfaces.values() if eni.instance == instance.id]
        return {
            "InstanceId": instance.id, "State": {"Code": 16, "Name": instance.state}, "SubnetId": SUBNET, "VpcId": VPC,
            "OwnerId": ACCOUNT,
            "PrivateIpAddress": instance.address, "Tags": _pairs(instance.tags), "LaunchTime": self.now,
            "Placement": {"AvailabilityZone": "us-east-1a"},
            "NetworkInterfaces": [self.interface_item(eni) for eni in mine if instance.state == "running"],
        }  # fmt: skip

    # -- what may happen

    def free(self, secondary: bool = False) -> list[str]:
        used = {address for eni in self.interfaces.values() for address in eni.addresses}
        pool = [f"10.0.1.{n}" for n in range(1, 4)] if secondary else [f"10.0.0.{n}" for n in range(1, 6)]
        return [address for address in pool if address not in used]

    def _born(self, address: str, **more: Any) -> Interface:
        self.made += 1
        eni = Interface(f"eni-{self.made:017x}", [address], **more)
        self.interfaces[eni.id] = eni
        self.truth.takes(address, eni.id, self.ms)
        self.truth.says(eni.id, "tags", self.ms, dict(eni.tags))
        self.truth.says(eni.id, "instance", self.ms, eni.instance)
        return eni

    def _dies(self, eni: Interface) -> None:
        del self.interfaces[eni.id]
        self.gone.add(eni.id)
        for address in eni.addresses:
            self.truth.leaves(address, eni.id, self.ms)

    def create(self) -> None:
        if self.free():
            eni = self._born(self.rng.choice(self.free()), tags=self.some_tags())
            item = {**self.interface_item(eni), "Status": "pending"}
            self.call("CreateNetworkInterface", {"SubnetId": SUBNET}, {"NetworkInterface": item})

    def delete(self) -> None:
        if eni := self.any_interface(lambda eni: not eni.instance):
            self._dies(eni)
            self.call("DeleteNetworkInterface", {"NetworkInterfaceId": eni.id}, {})

    def run(self) -> None:
        if not self.free():
            return
        self.made += 1
        instance = Instance(f"i-{self.made:017x}", self.rng.choice(self.free()), self.some_tags())
        self.instances[instance.id] = instance
        eni = self._born(
            instance.address, instance=instance.id, attachment=f"eni-attach-{self.made:017x}", attached_at=self.ms,
            goes_too=self.rng.random() < 0.8, first=True,
        )  # fmt: skip
        self.truth.says(instance.id, "tags", self.ms, dict(instance.tags))
        item = {**self.instance_item(instance), "State": {"Code": 0, "Name": "pending"}}
        item["NetworkInterfaces"] = [{k: v for k, v in self.interface_item(eni).items() if k != "TagSet"}]
        self.call("RunInstances", {"MinCount": 1, "MaxCount": 1}, {"OwnerId": ACCOUNT, "Instances": [item]})
        self.state(instance, "running")

    def terminate(self) -> None:
        running = [i for i in self.instances.values() if i.state == "running"]
        if not running:
            return
        instance = self.rng.choice(running)
        instance.state, instance.ends_at = "shutting-down", self.at + self.rng.randint(2, 40)
        changed = {"CurrentState": {"Code": 32, "Name": "shutting-down"}, "InstanceId": instance.id}
        self.call("TerminateInstances", {"InstanceIds": [instance.id]}, {"TerminatingInstances": [changed]})
        self.state(instance, "shutting-down")

    def _terminated(self, instance: Instance) -> None:
        instance.ends_at = None
        del self.instances[instance.id]
        self.gone.add(instance.id)
        for eni in [eni for eni in self.interfaces.values() if eni.instance == instance.id]:
            if eni.goes_too:
                self._dies(eni)
                self.quietly |= set() if eni.first else {eni.id}
            else:
                eni.instance = eni.attachment = ""
                self.truth.says(eni.id, "instance", self.ms, "")
        self.state(instance, "terminated")

    def attach(self) -> None:
        running = [i.id for i in self.instances.values() if i.state == "running"]
        eni = self.any_interface(lambda eni: not eni.instance)
        if running and eni:
            self.made += 1
            eni.instance, eni.attachment = self.rng.choice(running), f"eni-attach-{self.made:017x}"
            eni.attached_at, eni.goes_too, eni.first = self.ms, self.rng.random() < 0.5, False
            self.truth.says(eni.id, "instance", self.ms, eni.instance)
            self.call(
                "AttachNetworkInterface", {"NetworkInterfaceId": eni.id, "InstanceId": eni.instance, "DeviceIndex": 1},
                {"AttachmentId": eni.attachment},
            )  # fmt: skip

    def detach(self) -> None:
        if eni := self.any_interface(lambda eni: bool(eni.instance) and not eni.first):
            attachment, eni.instance, eni.attachment = eni.attachment, "", ""
            self.attached[attachment] = eni.id
            self.truth.says(eni.id, "instance", self.ms, "")
            self.call("DetachNetworkInterface", {"AttachmentId": attachment}, {})

    def assign(self) -> None:
        eni = self.any_interface(lambda _: True)
        if eni and self.free(secondary=True):
            address = self.rng.choice(self.free(secondary=True))
            self._assigned(eni, address)

    def _assigned(self, eni: Interface, address: str) -> None:
        eni.addresses.append(address)
        self.truth.takes(address, eni.id, self.ms)
        answer = {"NetworkInterfaceId": eni.id, "AssignedPrivateIpAddresses": [{"PrivateIpAddress": address}]}
        self.call("AssignPrivateIpAddresses", {"NetworkInterfaceId": eni.id, "PrivateIpAddresses": [address]}, answer)

    def unassign(self) -> None:
        if eni := self.any_interface(lambda eni: len(eni.addresses) > 1):
            address = eni.addresses.pop(self.rng.randrange(1, len(eni.addresses)))
            self.truth.leaves(address, eni.id, self.ms)
            self.call("UnassignPrivateIpAddresses", {"NetworkInterfaceId": eni.id, "PrivateIpAddresses": [address]}, {})

    def move(self) -> None:
        """A secondary address taken over with AllowReassignment: it leaves the other without an event of its own."""
        eni, to = self.any_interface(lambda eni: len(eni.addresses) > 1), self.any_interface(lambda _: True)
        if eni and to and eni is not to:
            address = eni.addresses.pop()
            self.truth.leaves(address, eni.id, self.ms)
            self._assigned(to, address)

    def tag(self) -> None:
        """Sets or takes away one key of an interface or instance; values are never used again."""
        things: list[Interface | Instance] = [*self.interfaces.values(), *self.instances.values()]
        if not things:
            return
        thing, key = self.rng.choice(things), self.rng.choice(["app", "owner"])
        kind = "instance" if isinstance(thing, Instance) else "network-interface"
        if key in thing.tags and self.rng.random() < 0.3:
            del thing.tags[key]
            self.call("DeleteTags", {"Resources": [thing.id], "Tags": [{"Key": key}]}, {})
        else:
            self.made += 1
            thing.tags[key] = f"value-{self.made}"
            self.call("CreateTags", {"Resources": [thing.id], "Tags": _pairs({key: thing.tags[key]})}, {})
        self.truth.says(thing.id, "tags", self.ms, dict(thing.tags))
        self.events.append(
            (self.at, tag_change(
                f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/{thing.id}", thing.tags, [key], version=len(self.events),
                account_id=ACCOUNT, region=REGION, at=self.now,
            ))
        )  # fmt: skip

    def some_tags(self) -> dict[str, str]:
        self.made += 1
        return {"app": f"value-{self.made}"} if self.rng.random() < 0.7 else {}

    def any_interface(self, fits: Callable[[Interface], bool]) -> Interface | None:
        fitting = [eni for eni in self.interfaces.values() if fits(eni) and self._is_running(eni)]
        return self.rng.choice(fitting) if fitting else None

    def _is_running(self, eni: Interface) -> bool:
        return not eni.instance or self.instances[eni.instance].state == "running"

    def something(self) -> None:
        """One thing happens."""
        doings = {
            self.create: 3, self.delete: 3, self.run: 4, self.terminate: 3, self.attach: 3, self.detach: 2,
            self.assign: 3, self.unassign: 2, self.move: 2, self.tag: 4,
        }  # fmt: skip
        self.rng.choices(list(doings), list(doings.values()))[0]()


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@dataclass
class History:
    """An account's day as its inventory was told it: rows in no order, some twice; lost: events that never came."""

    account: Account
    rows: list[Row]
    lost: list[Event]
    whole_sweep_at: int


def history(seed: int, steps: int = 60, loss: float | None = None) -> History:
    """A day from 09:30 to about 11:30, ended by a whole sweep."""
    rng = random.Random(seed)
    loss = rng.choice([0.0, 0.1, 0.2, 0.5, 0.8]) if loss is None else loss
    account = Account(rng, 9 * 3600 + 1800)
    rows: list[Row] = [*_sweep(account, 0, whole=True)]
    lost: list[Event] = []
    told = 0
    for step in range(1, steps):
        account.passes(rng.choice([1, 5, 20, 60, 200]))
        account.something()
        if rng.random() < 0.08:
            rows += _sweep(account, step, whole=rng.random() < 0.7)
        if rng.random() < 0.5:  # what was told up to now arrives
            rows += _arrive(account, told, loss, lost)
            told = len(account.events)
    account.passes(120)
    rows += _arrive(account, told, loss, lost)
    rows += _sweep(account, steps, whole=True, quiet=True)
    rows += rng.sample(rows, len(rows) // 3)
    rng.shuffle(rows)
    return History(account, rows, lost, account.ms)


def _arrive(account: Account, since: int, loss: float, lost: list[Event]) -> list[Row]:
    """The events from since on are handled now; what they lack is fetched now."""
    rows: list[Row] = []
    for _, event in account.events[since:]:
        if account.rng.random() < loss:
            lost.append(event)
            continue
        try:
            reading = read(event, account.now)
        except Ignored:
            continue
        rows += reading.rows
        for want in reading.wants:
            rows += _fetched(account, want.kind, want.value, want.by, reading.occurred_at, reading.event_id)
    return rows


def _fetched(account: Account, kind: str, value: str, by: str, occurred_at: datetime, event_id: str) -> list[Row]:
    api = {"interface": "DescribeNetworkInterfaces", "instance": "DescribeInstances"}.get(kind)
    if api is None:
        return []
    seen = Seen(account.now, account.now, EVENT, api, event_id, ACCOUNT, REGION)
    if by == "instance":
        return [
            row
            for eni in account.interfaces.values()
            if eni.instance == value
            for row in rows_of(kind, account.interface_item(eni), seen)
        ]
    if value in account.interfaces:
        return rows_of(kind, account.interface_item(account.interfaces[value]), seen)
    if value in account.instances:
        return rows_of(kind, account.instance_item(account.instances[value]), seen)
    settled = account.now - occurred_at >= timedelta(seconds=SETTLED)
    return [seen.row(kind, value, ABSENT)] if value in account.gone and settled else []


def _sweep(account: Account, number: int, whole: bool, quiet: bool = False) -> list[Row]:
    """A sweep that takes some seconds, in which things go on happening (unless quiet). Not whole: it breaks off."""
    began = account.now
    rows: list[Row] = []
    for kind in KINDS:
        if not quiet:
            account.passes(1)
            account.something()
        seen = Seen(account.now, account.now, SWEEP, f"Describe{kind}", f"sweep-{number}", ACCOUNT, REGION, began)
        items: list[dict[str, Any]] = [{"VpcId": VPC, "CidrBlock": "10.0.0.0/16", "OwnerId": ACCOUNT}]
        if kind == "interface":
            items = [account.interface_item(eni) for eni in account.interfaces.values()]
        if kind == "instance":
            items = [account.instance_item(instance) for instance in account.instances.values()]
        if kind == "interface" and not whole:
            items = items[: len(items) // 2]
        rows += [row for item in items for row in rows_of(kind, item, seen)]
        if not quiet:
            account.passes(1)
            account.something()
        if whole or kind != "interface":
            done = Seen(account.now, account.now, SWEEP, "Sweep", f"sweep-{number}", ACCOUNT, REGION, began)
            rows.append(done.row(kind, "*", COMPLETE))
    return rows


def moments(past: History) -> range:
    """Every so often through the day."""
    return range(HOUR.starts * 1000 - 1_800_000, past.whole_sweep_at, 47_000)


def known_at(past: History, until: int | None) -> list[Row]:
    """The rows that had been recorded by then."""
    return past.rows if until is None else [row for row in past.rows if millis(row["recorded_at"]) <= until]


THE_WHOLE_DAY = 3 * 3_600_000
"""A margin with which nothing of a history ended too long before the hour to be in its book."""


def book_of(past: History, until: int | None = None, margin_ms: int = THE_WHOLE_DAY) -> Book:
    return build(known_at(past, until), HOUR.starts, margin_ms=margin_ms)


# ---- addresses ---------------------------------------------------------------------------------------------------


@example(23_160)
@given(st.integers(0, 1_000_000))
@settings(max_examples=60, deadline=None)
def test_no_address_is_ever_given_to_two_or_to_a_wrong_one(seed: int) -> None:
    """With all that ever arrived, and with what had arrived at some moment before; in the book of the whole day and
    in that of the hour, which leaves out what ended before it.
    """
    past = history(seed)
    for until in (None, past.whole_sweep_at - 1, past.whole_sweep_at - 1_500_000):
        rows = known_at(past, until)
        for margin_ms in (THE_WHOLE_DAY, MARGIN_MS):
            book = book_of(past, until, margin_ms)
            assert wrong_claims(book, past.account.truth, rows) == []
            assert wrong_answers(book, past.account.truth, VPC, moments(past), rows) == []


@given(st.integers(0, 1_000_000))
@example(1_143)
@example(2_261)
@settings(max_examples=5, deadline=None)
def test_nor_is_one_in_a_long_history(seed: int) -> None:
    """Five hours, in which interfaces come and go of which nobody ever tells the VPC."""
    past = history(1_000_000 + seed, steps=300)
    book = book_of(past)
    assert wrong_claims(book, past.account.truth, past.rows) == []
    assert wrong_answers(book, past.account.truth, VPC, moments(past), past.rows) == []


@given(st.integers(0, 1_000_000))
@example(1_050)
@settings(max_examples=15, deadline=None)
def test_with_every_event_the_book_is_the_truth(seed: int) -> None:
    """But for ends that no event proves: of interfaces that go with an instance whose first they aren't, and of
    secondary addresses whose interface ends or that another takes over.
    """
    past = history(seed, loss=0.0)
    book, truth = book_of(past), past.account.truth
    for (address, interface), held in truth.held.items():
        for begins, ends in held:
            known = [s for s in claimed(book, address, interface) if begins <= s[0] < ends]
            assert known, (address, interface, begins)
            assert known[0][0] == begins
            if address.startswith("10.0.0.") and interface not in past.account.quietly:
                assert known == [(begins, min(ends, past.whole_sweep_at))]


def test_the_histories_are_told_well_enough_to_mean_something() -> None:
    """Of the time for which addresses were held, two thirds are sure where one event in five is lost."""
    sure = true = 0
    for seed in range(15):
        past = history(seed, loss=0.2)
        book = book_of(past)
        for (address, interface), held in past.account.truth.held.items():
            true += sum(min(e, past.whole_sweep_at) - b for b, e in held)
            sure += sum(e - b for b, e in claimed(book, address, interface))
    assert sure > true * 2 / 3, (sure, true)


# ---- tags and attachments ----------------------------------------------------------------------------------------


@given(st.integers(0, 1_000_000))
@settings(max_examples=40, deadline=None)
def test_tags_are_right_or_unknown_and_late_where_an_event_was_lost(seed: int) -> None:
    """Key by key. Where events were lost, a key may be missing, or shown with an older value, until the next sight of
    all tags; never too early, and never another's. Where none was, all tags are right at all times.
    """
    past = history(seed)
    truth, book = past.account.truth, book_of(past)
    untold = {past.account.attached.get(name, name) for event in past.lost for name in _named(event)}
    for state in book.states:
        for at in (state.valid_from, (state.valid_from + min(state.valid_to, past.whole_sweep_at)) // 2):
            if state.valid_from <= at < state.valid_to and at <= past.whole_sweep_at:
                _check_tags(truth, state.interface_id, state.interface_tags, at, state.interface_id in untold)
                if len(state.arns) == 1 and ":instance/" in state.arns[0]:
                    instance = state.arns[0].rsplit("/", 1)[1]
                    _check_tags(truth, instance, state.tags, at, instance in untold)
                    _check_attached(
                        truth, state.interface_id, instance, at, state.interface_id in untold or instance in untold
                    )


def _check_tags(truth: Truth, entity: str, shown: Any, at: int, untold: bool) -> None:
    if shown is None:
        return
    true = truth.at(entity, "tags", at)
    if not untold:
        assert shown == true, (entity, at)
        return
    ever = truth.until(entity, "tags", at)
    for key, value in shown.items():
        assert value in {tags.get(key) for tags in ever}, (entity, key, at)  # type: ignore[attr-defined]


def _check_attached(truth: Truth, interface: str, instance: str, at: int, untold: bool) -> None:
    if untold:
        assert instance in truth.until(interface, "instance", at), (interface, at)
    elif truth.holder_of(interface, at):
        assert instance == truth.at(interface, "instance", at), (interface, at)


def _named(event: Event) -> set[str]:
    """Ids of interfaces, instances and attachments that an event speaks of."""
    import json
    import re

    return set(re.findall(r"\b(?:eni|i|eni-attach)-[0-9a-f]{17}\b", json.dumps(event)))


@given(st.integers(0, 1_000_000))
@settings(max_examples=20, deadline=None)
def test_after_a_whole_sweep_tags_attachments_and_addresses_are_right(seed: int) -> None:
    past = history(seed)
    account, book = past.account, book_of(past)
    at = past.whole_sweep_at
    now = {s.interface_id: s for s in book.states if s.valid_from <= at < s.valid_to}
    assert sorted(now) == sorted(account.interfaces)
    for eni in account.interfaces.values():
        state = now[eni.id]
        assert state.interface_tags == eni.tags
        assert [arn.rsplit("/", 1)[1] for arn in state.arns if ":instance/" in arn] == (
            [eni.instance] if eni.instance else []
        )
        if eni.instance:
            assert state.tags == account.instances[eni.instance].tags
        for address in eni.addresses:
            assert [c.open for c in book.claims if (c.addr, c.interface_id) == (address, eni.id)][-1]
    alive = {c.interface_id for c in book.claims if c.open}
    assert alive == set(account.interfaces)
