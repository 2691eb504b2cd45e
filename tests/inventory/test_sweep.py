"""The sweep: complete only where all was listed, one failure stopping nothing else, resumable, named in its marker."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowlake.inventory import sweep as sweeping
from flowlake.inventory.aws import Aws
from flowlake.inventory.describe import KINDS
from flowlake.inventory.sweep import BadTask, SweepResult, Task, new_task, report_unreachable, sweep
from flowlake.lake.observations import Row, from_lines
from tests.inventory.stub_aws import StubSession, error

ACCOUNT, REGION = "123456789012", "eu-west-1"
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class Ticking:
    """A clock that goes on by a second each time it is read."""

    def __init__(self, starts: datetime = NOON, seconds: float = 1.0):
        self.now, self.step = starts, timedelta(seconds=seconds)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


class Written(dict[str, bytes]):
    """A store's objects in memory."""

    def put(self, key: str, data: bytes) -> None:
        assert key not in self or key.endswith(".json"), "observations are append-only"
        self[key] = data

    def rows(self) -> list[Row]:
        return [row for key, data in self.items() if key.endswith(".json.gz") for row in from_lines(data)]

    def of(self, kind: str, state: str = "present") -> list[str]:
        return [row["entity_id"] for row in self.rows() if row["kind"] == kind and row["state"] == state]

    def marker(self) -> dict[str, Any]:
        (key,) = [key for key in self if key.startswith("inventory/sweeps/")]
        found: dict[str, Any] = json.loads(self[key])
        return found


def interfaces(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {"NetworkInterfaceId": f"eni-{n}", "VpcId": "vpc-1", "SubnetId": "subnet-1", "OwnerId": ACCOUNT}
        for n in range(first, last)
    ]


def swept(
    answers: dict[tuple[str, str], Any],
    kinds: tuple[str, ...] = ("interface", "vpc"),
    clock: Callable[[], datetime] | None = None,
    deadline: datetime | None = None,
    written: Written | None = None,
    task: Task | None = None,
    missing: frozenset[str] = frozenset(),
) -> tuple[SweepResult, Written]:
    written = Written() if written is None else written
    aws = Aws(StubSession(answers, missing), ACCOUNT, REGION)
    task = task or new_task(ACCOUNT, REGION, NOON, kinds, sweep_id="s1")
    return sweep(task, aws, written.put, clock or Ticking(), deadline), written


PAGES = [
    {"NetworkInterfaces": interfaces(0, 2), "NextToken": "two"},
    {"NetworkInterfaces": interfaces(2, 3), "NextToken": "three"},
    {"NetworkInterfaces": interfaces(3, 5)},
]
VPCS = {"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16", "OwnerId": ACCOUNT}]}


def by_token(asked: dict[str, Any]) -> dict[str, Any]:
    return PAGES[{None: 0, "two": 1, "three": 2}[asked.get("NextToken")]]


BOTH = {("ec2", "describe_network_interfaces"): by_token, ("ec2", "describe_vpcs"): VPCS}


def test_a_whole_sweep_writes_rows_complete_rows_and_its_marker() -> None:
    result, written = swept(BOTH)
    assert written.of("interface") == ["eni-0", "eni-1", "eni-2", "eni-3", "eni-4"]
    assert written.of("vpc") == ["vpc-1"]
    assert written.of("interface", "complete") == written.of("vpc", "complete") == ["*"]
    assert (result.complete, result.failures, result.continuation) == (("interface", "vpc"), (), None)
    assert result.items == {"interface": 5, "vpc": 1}
    # Nothing told says what these interfaces are: they are counted as such.
    assert result.interface_types == {"unclassified": 5}
    marker = written.marker()
    assert marker["kinds"]["interface"]["items"] == 5
    assert marker["objects"] == [key for key in written if key.endswith(".json.gz")]
    assert result.marker_key == "inventory/sweeps/123456789012/eu-west-1/20260101T120000Z_s1.json"
    (key,) = marker["objects"]
    assert key.startswith("inventory/observations/origin=sweeps/dt=2026-01-01/hour=12/")


def test_rows_of_a_kind_hold_when_its_listing_began() -> None:
    _, written = swept(BOTH)
    rows = [row for row in written.rows() if row["kind"] == "interface"]
    (started,) = {row["sweep_started_at"] for row in rows}
    assert all(row["observed_at"] > started for row in rows)
    complete = [row for row in rows if row["state"] == "complete"]
    assert [(row["entity_id"], row["source_name"], row["source_id"]) for row in complete] == [("*", "Sweep", "s1")]


def test_one_kinds_failure_stops_no_other_and_is_named() -> None:
    denied = {**BOTH, ("ec2", "describe_network_interfaces"): [PAGES[0], error("UnauthorizedOperation")]}
    result, written = swept(denied)
    assert written.of("interface") == ["eni-0", "eni-1"]  # what was told is true
    assert written.of("interface", "complete") == []  # and nothing may be concluded from the rest
    assert written.of("vpc", "complete") == ["*"]
    assert [(failure.kind, failure.error) for failure in result.failures] == [("interface", "UnauthorizedOperation")]
    marker = written.marker()
    assert list(marker["kinds"]) == ["vpc"]
    assert marker["failures"][0]["kind"] == "interface"


def test_an_answer_that_breaks_its_kind_breaks_it_alone() -> None:
    """Here an answer whose items are no items at all; a store that fails is no kind's failure and stops the sweep."""
    broken = {**BOTH, ("ec2", "describe_network_interfaces"): {"NetworkInterfaces": 3}}
    result, written = swept(broken)
    assert [(failure.kind, failure.error) for failure in result.failures] == [("interface", "TypeError")]
    assert (result.complete, written.of("interface", "complete")) == (("vpc",), [])

    def full(key: str, data: bytes) -> None:
        raise OSError("no space is left")

    with pytest.raises(OSError, match="no space"):
        sweep(new_task(ACCOUNT, REGION, NOON, ("vpc",)), Aws(StubSession(BOTH), ACCOUNT, REGION), full, Ticking())


def test_an_item_that_can_not_be_read_takes_the_kinds_completeness() -> None:
    cut = {**BOTH, ("ec2", "describe_network_interfaces"): {"NetworkInterfaces": [*interfaces(0, 1), {"TagSet": []}]}}
    result, written = swept(cut)
    assert written.of("interface") == ["eni-0"]
    assert written.of("interface", "complete") == []
    assert [failure.error for failure in result.failures] == ["BadItem"]
    assert result.problems == ("interface without an id lacks 'NetworkInterfaceId'",)


def test_a_service_that_the_region_lacks_is_neither_complete_nor_failed() -> None:
    result, written = swept(BOTH, ("vpc", "kafka_cluster"), missing=frozenset({"kafka"}))
    assert (result.complete, result.failures, result.task.not_offered) == (("vpc",), (), ("kafka_cluster",))
    assert written.marker()["not_offered"] == ["kafka_cluster"]


def parts(
    answers: dict[tuple[str, str], Any], kinds: tuple[str, ...], seconds: float, at_most: int = 20
) -> tuple[list[SweepResult], Written]:
    """The sweep in parts of so many seconds, each going on from the last one's continuation as JSON."""
    clock, written = Ticking(), Written()
    task: Task | None = new_task(ACCOUNT, REGION, NOON, kinds, sweep_id="s1")
    results: list[SweepResult] = []
    while task is not None and len(results) < at_most:
        deadline = clock.now + timedelta(seconds=seconds)
        result, _ = swept(answers, clock=clock, deadline=deadline, written=written, task=task)
        results.append(result)
        task = Task.from_json(result.continuation.to_json()) if result.continuation else None
    return results, written


@pytest.mark.parametrize("seconds", [3, 4, 5, 7, 100])
def test_a_sweep_in_parts_sees_the_same_as_one_in_a_run(seconds: float) -> None:
    results, written = parts(BOTH, ("interface", "vpc"), seconds)
    assert len(results) > 1 or seconds == 100
    assert written.of("interface") == ["eni-0", "eni-1", "eni-2", "eni-3", "eni-4"]
    assert written.of("interface", "complete") == written.of("vpc", "complete") == ["*"]
    # It is one listing: absence deletes what was seen before its first page was asked for.
    assert len({row["sweep_started_at"] for row in written.rows() if row["kind"] == "interface"}) == 1
    marker = written.marker()
    assert marker["kinds"]["interface"]["items"] == 5
    assert sorted(marker["objects"]) == sorted(key for key in written if key.endswith(".json.gz"))
    assert [result.marker_key is not None for result in results] == [False] * (len(results) - 1) + [True]


def test_a_token_that_is_refused_starts_the_kind_again() -> None:
    refused = iter([error("InvalidNextToken")])

    def answer(asked: dict[str, Any]) -> Any:
        return next(refused, by_token(asked)) if asked.get("NextToken") == "two" else by_token(asked)

    results, written = parts({**BOTH, ("ec2", "describe_network_interfaces"): answer}, ("interface",), 3)
    assert results[-1].complete == ("interface",)
    assert set(written.of("interface")) == {"eni-0", "eni-1", "eni-2", "eni-3", "eni-4"}
    assert written.of("interface", "complete") == ["*"]
    # The complete row's listing is the second one, in which all were seen.
    starts = [row["sweep_started_at"] for row in written.rows() if row["state"] == "complete"]
    seen_again = {row["entity_id"] for row in written.rows() if row["sweep_started_at"] == starts[0]}
    assert seen_again == {"eni-0", "eni-1", "eni-2", "eni-3", "eni-4", "*"}


def test_a_kind_without_tokens_that_outlasts_every_run_fails_instead_of_going_on_for_ever() -> None:
    cluster = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/c"
    endless = {
        ("ecs", "list_clusters"): {"clusterArns": [cluster]},
        ("ecs", "list_tasks"): {"taskArns": [f"{cluster}/{n}" for n in range(1000)]},
        ("ecs", "describe_tasks"): {"tasks": []},
        ("ec2", "describe_vpcs"): VPCS,
    }
    results, written = parts(endless, ("ecs_task", "vpc"), 4)
    assert [(failure.kind, failure.error) for failure in results[-1].failures] == [("ecs_task", "Incomplete")]
    assert written.of("vpc", "complete") == ["*"]


CLUSTERS = [f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}" for name in "abc"]


def tasks_of(sizes: dict[str, int], listed: list[str]) -> dict[tuple[str, str], Any]:
    """ECS with so many tasks in each cluster, 100 an answer; listed takes the clusters whose tasks are asked for."""

    def list_tasks(asked: dict[str, Any]) -> Any:
        cluster = asked["cluster"]
        listed.append(cluster[-1])
        return {"taskArns": [f"{cluster.replace(':cluster/', ':task/')}/{n}" for n in range(sizes[cluster[-1]])]}

    def describe_tasks(asked: dict[str, Any]) -> Any:
        return {"tasks": [{"taskArn": arn, "lastStatus": "RUNNING"} for arn in asked["tasks"]]}

    return {
        ("ecs", "list_clusters"): {"clusterArns": CLUSTERS},
        ("ecs", "list_tasks"): list_tasks,
        ("ecs", "describe_tasks"): describe_tasks,
        ("ec2", "describe_vpcs"): VPCS,
    }


@pytest.mark.parametrize("seconds", [8, 10, 15, 17, 100])
def test_ecs_goes_on_cluster_by_cluster_wherever_the_time_is_up(seconds: float) -> None:
    """A cluster takes six seconds. Of one that was half done the tasks are seen again and counted once."""
    listed: list[str] = []
    results, written = parts(tasks_of({"a": 200, "b": 200, "c": 200}, listed), ("ecs_task",), seconds)
    assert (results[-1].complete, results[-1].failures) == (("ecs_task",), ())
    assert len(set(written.of("ecs_task"))) == written.marker()["kinds"]["ecs_task"]["items"] == 600
    assert len({row["sweep_started_at"] for row in written.rows()}) == 1
    assert listed == sorted(listed)  # what is done is not asked for again
    assert (len(written.of("ecs_task")) > 600) == (seconds != 100)


def test_a_cluster_that_outlasts_every_run_fails_its_kind_and_those_before_it_are_asked_for_once() -> None:
    listed: list[str] = []
    results, written = parts(tasks_of({"a": 100, "b": 100, "c": 1000}, listed), ("ecs_task", "vpc"), 10)
    assert [(failure.kind, failure.error) for failure in results[-1].failures] == [("ecs_task", "Incomplete")]
    assert listed == ["a", "b", "c", "c", "c"]
    assert results[-1].complete == ("vpc",)
    assert written.of("ecs_task", "complete") == []


def test_a_token_that_is_refused_in_every_run_fails_its_kind_however_far_each_run_comes() -> None:
    def answer(asked: dict[str, Any]) -> Any:
        return error("InvalidNextToken") if asked.get("NextToken") == "two" else by_token(asked)

    results, _ = parts({**BOTH, ("ec2", "describe_network_interfaces"): answer}, ("interface", "vpc"), 3)
    assert [(failure.kind, failure.error) for failure in results[-1].failures] == [("interface", "InvalidNextToken")]
    assert results[-1].complete == ("vpc",)


def test_an_account_that_can_not_be_entered_leaves_a_marker_that_says_so() -> None:
    written = Written()
    task = new_task(ACCOUNT, REGION, NOON, sweep_id="s1")
    result = report_unreachable(task, error("AccessDenied", "AssumeRole"), written.put, Ticking())
    assert written.marker()["kinds"] == {}
    assert [(failure.kind, failure.error) for failure in result.failures] == [("*", "AccessDenied")]


def test_objects_hold_some_thousand_rows_of_one_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "ROWS_AN_OBJECT", 2)
    clock = Ticking(datetime(2026, 1, 1, 12, 59, 57, tzinfo=UTC))
    _, written = swept(BOTH, clock=clock)
    by_object = {
        key.split("hour=")[1].split("/")[0]: [] for key in written if key.endswith(".json.gz")
    }  # hour -> sizes, in the order of writing
    for key, data in written.items():
        if key.endswith(".json.gz"):
            by_object[key.split("hour=")[1].split("/")[0]].append(len(list(from_lines(data))))
    assert set(by_object) == {"12", "13"}
    assert all(size <= 2 for sizes in by_object.values() for size in sizes)
    for key, data in written.items():
        if key.endswith(".json.gz"):
            hours = {row["recorded_at"][11:13] for row in from_lines(data)}
            assert hours == {key.split("hour=")[1][:2]}


def test_two_runs_of_one_task_write_over_nothing_of_each_others() -> None:
    written = Written()
    task = new_task(ACCOUNT, REGION, NOON, ("vpc",), sweep_id="s1")
    swept(BOTH, task=task, written=written)
    swept(BOTH, task=task, written=written)
    assert written.of("vpc") == ["vpc-1", "vpc-1"]


def test_only_the_tags_to_keep_are_kept() -> None:
    tagged = {"Vpcs": [{**VPCS["Vpcs"][0], "Tags": [{"Key": "owner", "Value": "a"}, {"Key": "x", "Value": "y"}]}]}
    task = new_task(ACCOUNT, REGION, NOON, ("vpc",), keep_tags=["owner"])
    _, written = swept({("ec2", "describe_vpcs"): tagged}, task=task)
    assert [row["tags"] for row in written.rows() if row["state"] == "present"] == [{"owner": "a"}]


def test_tags_are_sights_and_their_absence_proves_nothing() -> None:
    mappings = [{"ResourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", "Tags": []}]
    answers = {("resourcegroupstaggingapi", "get_resources"): {"ResourceTagMappingList": mappings}}
    result, written = swept(answers, ("tags",))
    assert [(row["state"], row["tags"]) for row in written.rows()] == [("present", {})]
    assert result.complete == ("tags",)
    assert "tags" in written.marker()["kinds"]


def test_a_task_names_kinds_that_there_are() -> None:
    assert new_task(ACCOUNT, REGION, NOON).kinds == KINDS
    with pytest.raises(BadTask, match="no kind is called toaster"):
        new_task(ACCOUNT, REGION, NOON, ["toaster"])
    for text in ("[]", "{", '{"account_id": 1}', '{"what": 1}'):
        with pytest.raises(BadTask):
            Task.from_json(text)


def test_a_task_comes_back_from_json_as_it_was() -> None:
    results, _ = parts({**BOTH, ("ec2", "describe_vpcs"): error("Throttling")}, ("vpc", "interface"), 4, at_most=1)
    task = results[0].continuation
    assert task is not None
    assert task.failures
    assert Task.from_json(task.to_json()) == task
