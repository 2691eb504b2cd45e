"""Plain interfaces, made as columns: the book is the one that the general way makes, to the last value."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.flows.book import Book, build
from flowlake.flows.book_columns import Laid
from flowlake.flows.book_table import book_table
from flowlake.flows.fold import millis
from flowlake.flows.lookup import compile_book
from flowlake.flows.observed import Observed, Sweeps
from flowlake.lake import places
from flowlake.lake.hours import Hour, as_text
from flowlake.lake.observations import ABSENT, COMPLETE, EVENT, PARTIAL, PRESENT, SWEEP, Row, to_lines
from flowlake.lake.store import ObjectInfo
from tests.test_events_to_book import HOUR, history

ACCOUNTS, REGION = ("111111111111", "222222222222"), "eu-west-1"


@dataclass
class Kept:
    """Objects in memory, as far as reading observations asks for them."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def folders(self, prefix: str) -> list[str]:
        return sorted(
            {prefix + key[len(prefix) :].split("/")[0] + "/" for key in self.objects if key.startswith(prefix)}
        )

    def list(self, prefix: str) -> Iterator[Any]:
        return (
            ObjectInfo(key, len(self.objects[key]), "", HOUR.moment)
            for key in sorted(self.objects)
            if key.startswith(prefix)
        )


def told(rows: list[Row], hour: Hour, cutoff: datetime, an_object: int = 7) -> Observed:
    """The rows as they are found in a lake: those of sweeps a few an object, those of events by the hour."""
    kept, swept = Kept(), [row for row in rows if row["source"] == SWEEP]
    keys = [f"sweeps/{n:04d}" for n in range(0, len(swept), an_object)]
    for n, key in enumerate(keys):
        kept.objects[key] = to_lines(swept[n * an_object : (n + 1) * an_object])
    kept.objects[places.observations("events", hour) + "events"] = to_lines([r for r in rows if r["source"] != SWEEP])
    sweeps = Sweeps(keys, hour.moment)
    return Observed(kept, sweeps, cutoff, hour.moment)  # type: ignore[arg-type]


def both_ways(rows: list[Row], hour: Hour, cutoff: datetime, until: int) -> tuple[Book, Book]:
    """The book in the general way, and with plain interfaces apart."""
    found = told(rows, hour, cutoff)
    general = build(list(found), hour.starts, until)
    found.MANY = 0  # type: ignore[misc]
    return general, build(found, hour.starts, until)


def same(general: Book, apart: Book) -> None:
    """Every value of the one is that of the other, but for the moments of a claim that is made of columns."""
    assert list(apart.states) == list(general.states)
    assert list(apart.claims) == list(general.claims)
    one_by_one = {id(claim) for claim in getattr(apart.claims, "_made", apart.claims)}
    told = [(c.told_at if id(a) in one_by_one else ()) for c, a in zip(general.claims, apart.claims, strict=True)]
    assert [c.told_at for c in apart.claims] == told
    assert (apart.public, apart.resources, apart.topology) == (general.public, general.resources, general.topology)
    assert apart.swept_after == general.swept_after
    assert apart.digest == general.digest
    assert book_table(apart).equals(book_table(general))
    compiled = [_listed(vars(compile_book(book))) for book in (apart, general)]
    assert compiled[0] == compiled[1]


def _listed(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items() if key != "_places"}
    return _listed(vars(value)) if hasattr(value, "__dict__") else value


# ---- histories ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 1_000_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_history_told_by_events_and_sweeps_makes_the_same_book(seed: int, lossy: bool) -> None:
    past = history(seed, steps=40, loss=0.5 if lossy else None)
    until = past.whole_sweep_at - random.Random(seed).choice([-1, 1_500_000])
    same(*both_ways(past.rows, HOUR, datetime(2026, 1, 2, tzinfo=UTC), until))


DESCRIPTIONS = (
    "",
    "",
    "somebody's own",
    "aws-K8S-i-00000000000000{n:03x}",
    "ELB app/web-{n}/00{n}",
    "ELB app/web/1",
    "Redshift NetworkInterface",
    "AWS Lambda VPC ENI-fn-{n}-8c7ac78b-e11d-4dea-8a47-000000000{n:03d}",
    "AWS Lambda VPC ENI-fn-8c7ac78b-e11d-4dea-8a47-0123456789ab",
    "RDSNetworkInterface",
    "Network interface for DBProxy p-1",
    "VPC Endpoint Interface vpce-00{n}",
    "arn:aws:ecs:eu-west-1:111111111111:attachment/{n}",
    "EFS mount target for fs-0{n}",
    "Amazon EKS c-1",
    "ES domain-1",
    'with "quotes" \\ and é',
    "Interface for NAT Gateway nat-0{n}",
    "Amazon MSK eni-{n:03d}",
    "Amazon MSK network interface for cluster arn:aws:kafka:eu-west-1:1:cluster/eni-{n:03d}/0",
)
TAGS = (
    {},
    {"Name": "n{n}"},
    {"Name": "n{n}", "team": "a"},
    {"eks:cluster-name": "c"},
    {"z": 'a "b"', "b": "é"},
    {"AmazonFSx.FileSystemId": "fs-01"},
    {"kubernetes.io/cluster/c": "owned"},
)


def estate(rng: random.Random) -> list[Row]:
    """Rows of a few accounts: mostly plain interfaces in all their kinds, and whatever may make them none."""
    often = rng.choice([0.003, 0.02, 0.15])
    beginning = HOUR.moment - timedelta(minutes=90)
    interfaces = [_interface(rng, n, often) for n in range(rng.choice([3, 12, 40]))]
    others = _others(rng, len(interfaces)) if rng.random() < 0.7 else []
    rows: list[Row] = []
    for number in range(rng.choice([1, 2, 2, 3])):
        for account in ACCOUNTS:
            began = beginning + number * timedelta(minutes=rng.choice([70, 95, 130]), seconds=rng.randrange(60))
            whole, page = rng.random() < 0.85, 0
            for content in [*(i for i in interfaces if i["account_id"] == account), *others]:
                if content["account_id"] != account or rng.random() < often / 2:
                    continue
                page += rng.random() < 0.2
                at = began + timedelta(seconds=page)
                if rng.random() < often / 3:
                    content = _otherwise(rng, content)
                rows.append(_row(content, at, f"sweep-{number}-{account}", SWEEP, began))
                if rng.random() < often / 3:
                    rows.append(rows[-1])
            for kind in ("interface", "instance", "function", "load_balancer", "db_instance", "subnet"):
                if whole:
                    done = {"kind": kind, "state": COMPLETE, "entity_id": "*", "account_id": account, "region": REGION}
                    rows.append(
                        _row(done, began + timedelta(seconds=page + 1), f"sweep-{number}-{account}", SWEEP, began)
                    )
    for content in interfaces:
        if rng.random() < often:
            rows.append(_event(rng, content, beginning))
    rng.shuffle(rows)
    return rows


def _interface(rng: random.Random, n: int, often: float) -> Row:
    def rarely(usual: Any, *unusual: Any) -> Any:
        return rng.choice(unusual) if rng.random() < often else usual

    attached = rng.random() < 0.4
    address = rarely(f"10.0.0.{n + 1}", "10.0.0.1", "10.0.0.2", "2600::1", "10.0.0.16/28")
    further = [f"10.0.{n + 1}.{k}" for k in range(rng.choice([0, 0, 1, 3]))]
    moments = [HOUR.moment + timedelta(minutes=m) for m in (-2000, -200, -60, -20, 10, 45, 90)]
    row = {
        "kind": "interface",
        "state": rarely(PRESENT, PARTIAL),
        "entity_id": rarely(
            f"eni-{n:03d}", f"arn:aws:ec2:eu-west-1:111111111111:network-interface/eni-{n:03d}", f'eni-"{n}'
        ),
        "account_id": rng.choice(ACCOUNTS),
        "region": rarely(REGION, None),
        "vpc_id": rarely(rng.choice(["vpc-1", "vpc-2"]), None, ""),
        "subnet_id": rarely(rng.choice(["subnet-1", "subnet-2"]), None, ""),
        "availability_zone": rarely("eu-west-1a", None, ""),
        "az_id": rarely("euw1-az1", None),
        "addresses": rarely([address, *further], [], [address, "10.0.0.9"], [address, "2600::2"], [address] * 2, None),
        "prefixes": rarely([], ["10.0.0.16/28"], ["10.0.0.0/28", "2600::/80"], None),
        "public_addresses": rarely([], ["198.51.100.1"], None),
        "interface_type": rarely("interface", "lambda", "nat_gateway", "natGateway", "vpc_endpoint", None, "branch"),
        "description": rarely(_numbered(rng.choice(DESCRIPTIONS), n), None),
        "requester_id": rarely(rng.choice(["", "amazon-rds", "AROA:x", "x:AWSCodeBuild-1"]), None, "\0"),
        "requester_managed": rarely(not attached, None, attached),
        "attachment_id": rarely(f"eni-attach-{n}", "", None),
        "attached_at": rarely(
            as_text(rng.choice(moments[:2])), as_text(rng.choice(moments)), "2025-12-31T00:00:00Z", None
        ),
        "created_at": rarely(None, as_text(rng.choice(moments))),
        "instance_id": rarely(f"i-{n:03d}" if attached else "", None, "i-001"),
        "instance_owner_id": rarely(rng.choice([ACCOUNTS[0], "amazon-aws", "amazon-elb"]), None, "amazon-rds"),
        "security_group_ids": rarely(rng.choice([["sg-1"], ["sg-1", "sg-2"], []]), None),
        "tags": rarely({k: _numbered(v, n) for k, v in rng.choice(TAGS[:3]).items()}, rng.choice(TAGS), None),
        "detail": rarely('{"delete_on_termination":true}', None, '{"status":"in-use"}'),
        "arn": rarely(None, f"arn:aws:ec2:eu-west-1:1:network-interface/eni-{n:03d}"),
    }
    return {name: value for name, value in row.items() if value is not None}


def _numbered(text: str, n: int) -> str:
    for form in ("{n}", "{n:03x}", "{n:03d}"):
        text = text.replace(form, form.format(n=n))
    return text


def _otherwise(rng: random.Random, content: Row) -> Row:
    name = rng.choice(sorted(content.keys() - {"kind", "state", "entity_id", "account_id"}))
    return {k: v for k, v in content.items() if k != name}


def _others(rng: random.Random, count: int) -> list[Row]:
    """Entities that interfaces serve, belong to, or share an address or a tag with."""
    n, arn = rng.randrange(count), "arn:aws:{}:eu-west-1:111111111111:{}"
    base = {"state": PRESENT, "account_id": rng.choice(ACCOUNTS), "region": REGION}
    every = [
        {"kind": "vpc", "entity_id": "vpc-1", "cidr_blocks": ["10.0.0.0/24"]},
        {"kind": "subnet", "entity_id": "subnet-1", "vpc_id": "vpc-1", "az_id": "euw1-az9"},
        {"kind": "account", "entity_id": base["account_id"], "name": "it's one"},
        {
            "kind": "instance",
            "entity_id": f"i-{n:03d}",
            "addresses": [f"10.0.0.{n + 1}"],
            "tags": {"Name": "i"},
            "arn": arn.format("ec2", f"instance/i-{n:03d}"),
        },
        {
            "kind": "load_balancer",
            "entity_id": arn.format("elasticloadbalancing", "loadbalancer/app/web/1"),
            "ports": [443],
            "arn": arn.format("elasticloadbalancing", "loadbalancer/app/web/1"),
            "name": "web",
            "tags": {"Name": "lb"},
        },
        {
            "kind": "target_group",
            "entity_id": "tg",
            "vpc_id": "vpc-1",
            "detail": json.dumps(
                {"targets": _some(rng, [f"10.0.0.{n + 1}:80", f"i-{n:03d}:81", f"10.0.{n + 1}.0:82"])}
            ),
        },
        {
            "kind": "function",
            "entity_id": arn.format("lambda", "function:fn"),
            "arn": arn.format("lambda", "function:fn"),
            "name": "fn",
            "subnet_ids": ["subnet-1"],
            "security_group_ids": ["sg-1"],
            "tags": {"team": "f"},
        },
        {
            "kind": "db_instance",
            "entity_id": arn.format("rds", "db:d"),
            "arn": arn.format("rds", "db:d"),
            "name": "d",
            "subnet_ids": ["subnet-2"],
            "security_group_ids": ["sg-1"],
            "ports": [5432],
        },
        {"kind": "db_proxy", "entity_id": arn.format("rds", "db-proxy:p"), "name": "p-1"},
        {
            "kind": "warehouse",
            "entity_id": arn.format("redshift", "cluster:w"),
            "name": "w",
            "subnet_ids": ["subnet-1"],
            "security_group_ids": ["sg-1"],
        },
        {
            "kind": "vpc_endpoint",
            "entity_id": f"vpce-00{n}",
            "interface_ids": [f"eni-{n:03d}"],
            "service_name": "s3",
            "tags": {"Name": "e"},
        },
        {
            "kind": "nat_gateway",
            "entity_id": f"nat-0{n}",
            "arn": arn.format("ec2", f"natgateway/nat-0{n}"),
            "tags": {"Name": "nat"},
        },
        {"kind": "file_system", "entity_id": f"fs-0{n}", "interface_ids": [], "tags": {"Name": "efs"}},
        {
            "kind": "elastic_ip",
            "entity_id": "eipalloc-1",
            "public_addresses": ["198.51.100.9"],
            "interface_ids": [f"eni-{n:03d}"],
        },
        {
            "kind": "tags",
            "entity_id": rng.choice(
                [
                    f"eni-{n:03d}",
                    f"i-{n:03d}",
                    arn.format("ec2", f"network-interface/eni-{n:03d}"),
                    arn.format("lambda", f"function:fn-{n}"),
                    arn.format("ec2", f"instance/i-{n:03d}"),
                    arn.format("elasticfilesystem", f"file-system/fs-0{n}"),
                ]
            ),
            "tags": {"Name": "told apart"},
        },
        {"kind": "attachment", "entity_id": f"eni-attach-{n}", "state": ABSENT},
    ]
    told = [{**base, **one} for one in every if rng.random() < 0.4]
    return [
        {k: v for k, v in one.items() if k != "tags" or one["kind"] == "tags" or rng.random() < 0.5} for one in told
    ]


def _some(rng: random.Random, of: list[str]) -> list[str]:
    return [one for one in of if rng.random() < 0.5]


def _event(rng: random.Random, content: Row, beginning: datetime) -> Row:
    at = beginning + timedelta(minutes=rng.randrange(200))
    said = {"kind": "interface", "entity_id": content["entity_id"], "account_id": content["account_id"]}
    said |= {"region": REGION} if rng.random() < 0.7 else {}
    said |= rng.choice(
        [
            {"state": ABSENT},
            {"state": PARTIAL, "tags": {"Name": "later"}},
            {"state": PARTIAL, "addresses_added": ["10.0.0.3"]},
            {"state": PARTIAL, "addresses_removed": ["10.0.0.4"]},
            {"state": PARTIAL, "addresses_added": ["10.0.5.1"]},
            {"state": PARTIAL, "addresses_removed": ["10.0.6.0"]},
            {"state": PARTIAL, "addresses_added": ["10.0.7.0/28"]},
            {"state": PARTIAL, "addresses_added": ["10.0.0.0/28"]},
            {"state": PRESENT, "vpc_id": "vpc-1", "addresses": ["10.0.0.5"]},
            {"state": ABSENT, "kind": "instance", "entity_id": content.get("instance_id") or "i-002"},
        ]
    )
    return _row(said, at, f"event-{at:%H%M}", EVENT, None)


def _row(content: Row, at: datetime, source_id: str, source: str, began: datetime | None) -> Row:
    name = "DescribeThings" if source == SWEEP else "Told"
    row = {
        **content,
        "observed_at": as_text(at),
        "recorded_at": as_text(at + timedelta(seconds=3 if at.second % 5 else 7200)),
        "source": source,
        "source_id": source_id,
        "source_name": name,
    }
    return row | ({"sweep_started_at": as_text(began)} if began else {})


@given(st.integers(0, 10_000_000))
@settings(max_examples=250, deadline=None)
def test_an_estate_makes_the_same_book(seed: int) -> None:
    rng = random.Random(seed)
    rows = estate(rng)
    cutoff = HOUR.moment + timedelta(minutes=rng.choice([30, 100, 6000]))
    until = millis(as_text(cutoff)) - rng.choice([0, 0, 1_800_000])
    same(*both_ways(rows, HOUR, cutoff, until))


def _usual(n: int, **said: Any) -> Row:
    usual = {"entity_id": f"eni-{n:03d}", "account_id": ACCOUNTS[0], "addresses": [f"10.0.0.{n + 1}"]}
    return _interface(random.Random(n), n, 0) | usual | said


def _complete(began: datetime, finished: datetime, source_id: str) -> Row:
    done = {"kind": "interface", "state": COMPLETE, "entity_id": "*", "account_id": ACCOUNTS[0], "region": REGION}
    return _row(done, finished, source_id, SWEEP, began)


def test_what_is_first_seen_after_the_hour_has_a_claim_and_no_state() -> None:
    """The book's time ends a quarter of an hour after the hour."""
    at = HOUR.moment + timedelta(minutes=80)
    content = _usual(1)
    del content["attached_at"]
    general, apart = both_ways([_row(content, at, "s", SWEEP, at)], HOUR, at + timedelta(days=1), 1 << 62)
    same(general, apart)
    assert (len(apart.states), len(apart.claims)) == (0, 1)


def test_a_sweep_that_began_before_the_first_sight_proves_no_absence() -> None:
    """Of two at a time the one that saw it first is not held against by the other, which may have looked before."""
    first, other = HOUR.moment - timedelta(minutes=5), HOUR.moment
    seen_at, finished = HOUR.moment + timedelta(minutes=5), HOUR.moment + timedelta(minutes=15)
    rows = [_row(_usual(1), seen_at, "one", SWEEP, first), _complete(other, finished, "other")]
    general, apart = both_ways(rows, HOUR, HOUR.moment + timedelta(days=1), 1 << 62)
    same(general, apart)
    assert [c.open for c in apart.claims] == [True]
    rows[1] = _complete(seen_at + timedelta(seconds=1), finished, "other")
    general, apart = both_ways(rows, HOUR, HOUR.moment + timedelta(days=1), 1 << 62)
    same(general, apart)
    assert [c.gone_by for c in apart.claims] == [millis(as_text(finished))]


def test_one_with_several_addresses_is_made_as_columns_too() -> None:
    """It held the second and the third surely between the two sights of them."""
    sights = [HOUR.moment - timedelta(minutes=30), HOUR.moment + timedelta(minutes=70)]
    content = _usual(1, addresses=["10.0.0.1", "10.0.1.1", "10.0.1.2"])
    rows = [_row(content, at, f"sweep-{at:%H%M}", SWEEP, at) for at in sights]
    general, apart = both_ways([*rows, rows[0]], HOUR, sights[1] + timedelta(days=1), 1 << 62)
    same(general, apart)
    assert isinstance(apart.claims, Laid)
    assert not apart.claims._made
    moments = [millis(as_text(at)) for at in sights]
    told = [(c.addr, c.is_primary, c.valid_from, c.valid_to) for c in apart.claims]
    assert [one for one in told if not one[1]] == [(f"10.0.1.{n}", False, *moments) for n in (1, 2)]


def test_one_that_is_a_target_by_another_of_its_addresses_listens_there() -> None:
    at = HOUR.moment - timedelta(minutes=30)
    content = _usual(1, addresses=["10.0.0.1", "10.0.1.1"], vpc_id="vpc-1", region=REGION)
    said = {"kind": "target_group", "state": PRESENT, "entity_id": "tg", "vpc_id": "vpc-1", "region": REGION}
    group = said | {"account_id": ACCOUNTS[0], "detail": json.dumps({"targets": ["10.0.1.1:8443"]})}
    rows = [_row(one, at, "s", SWEEP, at) for one in (content, group)]
    general, apart = both_ways(rows, HOUR, HOUR.moment + timedelta(days=1), 1 << 62)
    same(general, apart)
    assert {state.listens_on for state in apart.states} == {(8443,)}


def test_lines_that_are_not_as_they_are_written_are_read_all_the_same() -> None:
    """Spaces, escapes, another order of keys, blank lines, a key that is not known or comes twice, and none at the end
    of the file.
    """
    at = HOUR.moment - timedelta(minutes=30)
    rows = [_row(_usual(n), at, "s", SWEEP, at) for n in range(6)]
    usual = [json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for row in rows]
    usual[1] = json.dumps(rows[1], sort_keys=True)
    usual[2] = json.dumps(rows[2] | {"description": 'é\u2028 "x"'}, sort_keys=True, separators=(",", ":"))
    usual[3] = json.dumps(dict(reversed(rows[3].items())), separators=(",", ":"))
    usual[4] = json.dumps(rows[4] | {"zzz": {"a": [1, None]}}, sort_keys=True, separators=(",", ":"))
    for n, tags in ((0, '{"b":"2","a":"1"}'), (5, '{"a":"1","a":"2"}')):
        written = json.dumps(rows[n] | {"tags": {"a": "1", "b": "2"}}, sort_keys=True, separators=(",", ":"))
        usual[n] = written.replace('{"a":"1","b":"2"}', tags)
    found = told(rows, HOUR, HOUR.moment + timedelta(days=1), len(rows))
    found._store.objects["sweeps/0000"] = "\n \n".join(usual).encode()  # type: ignore[attr-defined]
    general = build(list(found), HOUR.starts)
    found.MANY = 0  # type: ignore[misc]
    same(general, build(found, HOUR.starts))
    assert len(general.claims) == 6


@pytest.mark.parametrize("bad", ['{"a":1}x', '{"kind":"interface"', "[1]", '{"kind":"interface","state":"\t"}', "{"])
def test_a_line_that_is_no_json_is_an_error_either_way(bad: str) -> None:
    found = told([], HOUR, HOUR.moment)
    found._sweeps.objects.append("sweeps/0000")
    found._store.objects["sweeps/0000"] = bad.encode()  # type: ignore[attr-defined]
    with pytest.raises((ValueError, TypeError, KeyError)):
        build(list(found), HOUR.starts)
    found.MANY = 0  # type: ignore[misc]
    with pytest.raises((ValueError, TypeError, KeyError)):
        build(found, HOUR.starts)


def test_most_interfaces_of_an_estate_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing would be proven: a third at the least is made as columns, and some with epochs."""
    from flowlake.flows import plain as plain_module

    made, all_of_them = 0, 0
    states_of = plain_module.states_of

    def counted(*args: Any) -> Any:
        nonlocal made
        table, others = states_of(*args)
        made += len(table)
        return table, others

    monkeypatch.setattr(plain_module, "states_of", counted)
    for seed in range(60):
        rows = estate(random.Random(seed))
        _, apart = both_ways(rows, HOUR, HOUR.moment + timedelta(days=1), 1 << 62)
        all_of_them += len({s.interface_id for s in apart.states})
    assert made > all_of_them / 3, (made, all_of_them)
