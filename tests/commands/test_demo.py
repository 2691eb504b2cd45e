"""flowlake demo: what it publishes, and that its answers to the five questions are those of the estate's truth."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowlake.cli import main

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, spark: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the demo says as JSON, and the stories of its estate by id."""
    out = tmp_path_factory.mktemp("demo") / "lake"
    # Standard output is read from a file: the fixture lives longer than one test's capture.
    said = _said(["demo", "--out", str(out), "--records", "12000", "--json"], out.parent / "said.json")
    stories = {story["id"]: story for story in json.loads((out / "truth" / "stories.json").read_text("utf-8"))}
    return said, stories


def _said(arguments: list[str], file: Path) -> Any:
    from contextlib import redirect_stdout

    with file.open("w") as stream, redirect_stdout(stream):
        assert main(arguments) == 0
    return json.loads(file.read_text("utf-8"))


def answers(said: dict[str, Any]) -> list[Rows]:
    return [answer["rows"] for answer in said["answers"]]


def near(amount: float, truth: float, tolerance: float) -> bool:
    return abs(amount - truth) <= tolerance * truth


def wrong(answered: list[Rows], stories: dict[str, Any]) -> list[str]:
    """The questions whose answer is not that of the truth."""
    _, zones, dependencies, balancer, proxy, growth = answered
    found = []
    story = stories["cross_zone_chatter"]
    first = zones[0]
    if first["app"] != story["answer"]["app"] or not near(
        first["cross_zone_bytes"], story["answer"]["cross_az_bytes"], story["tolerance"]
    ):
        found.append("cross zone share")
    story = stories["dependencies"]
    told = {(r["server"].replace("public internet", "public"), r["server_port"], r["protocol"]) for r in dependencies}
    true = {(s["name"], s["port"], s["protocol"]) for part in ("servers", "refused") for s in story["answer"][part]}
    # The application's own load balancer talks to its tasks: that is within the application.
    if not true <= told or {name for name, *_ in told - true} - {f"{story['facts']['app']}-svc"}:
        found.append("dependencies")
    story = stories["around_the_load_balancer"]
    size = story["answer"]["bytes_up"] + story["answer"]["bytes_down"]
    # A target that no load balancer talked to in so small an estate is not seen to be one: never more, and most of it.
    if {r["client_app"] for r in balancer} != {story["facts"]["client_app"]} or not (
        0.8 * size <= sum(r["bytes"] for r in balancer) <= size
    ):
        found.append("around the load balancer")
    story = stories["without_the_proxy"]
    size = story["answer"]["bytes_up"] + story["answer"]["bytes_down"]
    who = {(r["client_name"], r["server_name"], r["server_port"]) for r in proxy}
    facts = story["facts"]
    if who != {(facts["function_name"], facts["database"], facts["server_port"])} or not near(
        proxy[0]["bytes"], size, 0.15
    ):
        found.append("without the proxy")
    story = stories["transfer_growth"]
    team = {r["owner"]: r for r in growth}.get(story["answer"]["owner"])
    if team is None or abs(team["growth"] - story["answer"]["growth"]) > story["tolerance"]:
        found.append("where transfer grew")
    return found


def test_every_hour_is_published_and_every_question_answered(demo: tuple[dict[str, Any], Any]) -> None:
    said, _ = demo
    assert [hour["outcome"] for hour in said["hours"]] == ["published"] * 4
    top, *five = answers(said)
    assert len(top) == 10
    assert all(row["client"] and row["server"] for row in top)
    assert {"client_owner", "client_app", "server_owner", "server_app"} <= top[0].keys()
    assert len(five) == 5
    assert all(five)


def test_the_answers_are_those_of_the_truth(demo: tuple[dict[str, Any], dict[str, Any]]) -> None:
    said, stories = demo
    assert wrong(answers(said), stories) == []


def _shifted(rows: Rows, column: str, by: float) -> None:
    rows[0][column] = rows[0][column] * by


@pytest.mark.parametrize(
    ("question", "change"),
    [
        ("cross zone share", lambda a: _shifted(a[1], "cross_zone_bytes", 1.1)),
        ("cross zone share", lambda a: a[1].reverse()),
        ("dependencies", lambda a: a[2].pop(0) if a[2][0]["server"][-4:] != "-svc" else a[2].pop(1)),
        ("dependencies", lambda a: a[2].append({"server": "nobody", "server_port": 1, "protocol": 6})),
        ("around the load balancer", lambda a: a[3].clear()),
        ("around the load balancer", lambda a: _shifted(a[3], "bytes", 2)),
        ("without the proxy", lambda a: a[4][0].update(client_name="another")),
        ("without the proxy", lambda a: _shifted(a[4], "bytes", 2)),
        ("where transfer grew", lambda a: [r.update(growth=r["growth"] + 0.02) for r in a[5]]),
        ("where transfer grew", lambda a: a[5].clear()),
    ],
)
def test_a_wrong_answer_would_be_noticed(
    demo: tuple[dict[str, Any], dict[str, Any]], question: str, change: Callable[[list[Rows]], object]
) -> None:
    said, stories = demo
    changed = copy.deepcopy(answers(said))
    change(changed)
    assert wrong(changed, stories) == [question]


def test_a_folder_that_is_no_demos_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "is not empty and no demo's folder" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "precious"
