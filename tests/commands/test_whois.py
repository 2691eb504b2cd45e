"""flowlake whois: who held an address then, from the observations in a lake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowlake.cli import main
from flowlake.lake import places
from flowlake.lake.hours import Hour, from_text
from flowlake.lake.observations import to_lines
from flowlake.lake.store import open_store
from tests.flows.worked import eni, event, gone

AT = "2026-01-01T10:20:00"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """10.0.0.5 was eni-1's until 10:15:00 and eni-2's from 10:15:20 on; eni-3 has a prefix and an impolite name."""
    rows = [
        event("10:05:00", eni("eni-1", "10.0.0.5"), name="CreateNetworkInterface"),
        gone("10:15:00", "eni-1"),
        event("10:15:20", eni("eni-2", "10.0.0.5"), name="CreateNetworkInterface"),
        event("10:30:00", {"kind": "interface", "entity_id": "eni-2"}, "partial", tags={"owner": "data"}),
        event(
            "10:06:00",
            {**eni("eni-3", "10.0.0.7"), "prefixes": ["10.0.1.16/28"], "tags": {"Name": "evil\x1b[31m"}},
            name="CreateNetworkInterface",
        ),
    ]
    store = open_store(str(tmp_path))
    for number, row in enumerate(rows):
        hour = Hour.holding(from_text(row["recorded_at"]).timestamp())
        store.put(f"{places.observations('events', hour)}{number}.json.gz", to_lines([row]))
    return tmp_path


def test_a_public_address_is_asked_for_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An Elastic IP that was seen at eni-1 at 10:05 and 10:15, and at no interface at 10:30."""
    with_it, without = eni("eni-1", "10.0.0.5", public_addresses=["198.51.100.7"]), eni("eni-1", "10.0.0.5")
    rows = [event("10:05:00", with_it), event("10:15:00", with_it), event("10:30:00", without)]
    store = open_store(str(tmp_path))
    store.put(f"{places.observations('events', Hour.parse('2026-01-01T10'))}0.json.gz", to_lines(rows))
    code, (held,) = ask(capsys, tmp_path, "198.51.100.7", "--at", "2026-01-01T10:10:00")
    assert (code, held["interface_id"], held["vpc_id"], held["answer"]) == (0, "eni-1", "vpc-1", "presumed")
    assert (held["told_before"], held["told_after"]) == ("2026-01-01 10:05:00.000", "2026-01-01 10:15:00.000")
    assert ask(capsys, tmp_path, "198.51.100.7", "--at", "2026-01-01T10:20:00")[0] == 1
    assert main(["whois", "198.51.100.7", "--at", "2026-01-01T10:10:00", "--lake", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "-> 2026-01-01 10:05:00.000 to 2026-01-01 10:15:00.000  vpc-1  eni-1" in said
    assert "presumed: told to have it at 2026-01-01 10:05:00.000 and at 2026-01-01 10:15:00.000" in said
    _, (held,) = ask(capsys, tmp_path, "198.51.100.7", "--at", "2026-01-01T10:05:00")
    assert (held["answer"], held["told_before"]) == ("held", "2026-01-01 10:05:00.000")


def ask(capsys: pytest.CaptureFixture[str], lake: Path, address: str, *more: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["whois", address, "--lake", str(lake), "--json", *more])
    said = capsys.readouterr()
    return code, json.loads(said.out)["intervals"] if said.out else []


@pytest.mark.parametrize(
    ("at", "holder"),
    [
        ("10:04:59", None),
        ("10:05:00", "eni-1"),
        ("10:14:59", "eni-1"),
        ("10:15:00", None),
        ("10:15:19", None),
        ("10:15:20", "eni-2"),
    ],
)
def test_a_reused_address_belongs_to_its_holder_at_that_time(
    lake: Path, capsys: pytest.CaptureFixture[str], at: str, holder: str | None
) -> None:
    code, rows = ask(capsys, lake, "10.0.0.5", "--at", f"2026-01-01T{at}")
    assert [r["interface_id"] for r in rows if r["answer"] == "held"] == ([holder] if holder else [])
    assert code == (0 if holder else 1)


def test_after_the_last_sight_the_answer_is_maybe(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = ask(capsys, lake, "10.0.0.5", "--at", "2026-01-01T10:59:00")
    assert [(r["interface_id"], r["answer"]) for r in rows if r["answer"]] == [("eni-2", "maybe")]
    assert code == 1


@pytest.mark.parametrize(("at", "answer"), [("10:05", "held"), ("10:10", "presumed"), ("10:20", "presumed")])
def test_a_secondary_address_is_presumed_between_the_moments_that_tell_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str, answer: str
) -> None:
    """Seen at 10:05 and 10:15, taken away by the event of 10:25; that it was elsewhere meanwhile would show in events
    alone, and these may be lost.
    """
    seen = {**eni("eni-1", "10.0.0.5"), "addresses": ["10.0.0.5", "10.0.0.9"]}
    taken = {"kind": "interface", "entity_id": "eni-1"}
    rows = [event("10:05:00", seen), event("10:15:00", seen)]
    rows += [event("10:25:00", taken, "partial", addresses_removed=["10.0.0.9"])]
    open_store(str(tmp_path)).put(
        f"{places.observations('events', Hour.parse('2026-01-01T10'))}0.json.gz", to_lines(rows)
    )
    code, (row,) = ask(capsys, tmp_path, "10.0.0.9", "--at", f"2026-01-01T{at}:00")
    assert (code, row["answer"]) == (0, answer)
    (primary,) = ask(capsys, tmp_path, "10.0.0.5", "--at", f"2026-01-01T{at}:00")[1]
    assert primary["answer"] == "held"


def test_where_two_claim_the_address_neither_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """eni-1 from 10:05 to 10:40, eni-2 from 10:15 to 10:50: one of the events is wrong, and nobody knows which."""
    lives = (("eni-1", "10:05", "10:40"), ("eni-2", "10:15", "10:50"))
    store = open_store(str(tmp_path))
    for name, came, went in lives:
        for row in (event(came, eni(name, "10.0.0.5"), name="CreateNetworkInterface"), gone(went, name)):
            hour = Hour.holding(from_text(row["recorded_at"]).timestamp())
            key = f"{places.observations('events', hour)}{name}-{row['state']}.json.gz"
            store.put(key, to_lines([row]))

    def answers(at: str) -> tuple[int, list[tuple[str, str]]]:
        code, rows = ask(capsys, tmp_path, "10.0.0.5", "--at", f"2026-01-01T{at}:00Z")
        return code, [(r["interface_id"], r["answer"]) for r in rows if r["answer"]]

    assert answers("10:10") == (0, [("eni-1", "held")])
    assert answers("10:20") == (1, [("eni-1", "contested"), ("eni-2", "contested")])
    assert answers("10:45") == (0, [("eni-2", "held")])


def test_an_address_of_a_delegated_prefix_is_its_interfaces(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = ask(capsys, lake, "10.0.1.20", "--at", AT)
    assert [(r["addr"], r["interface_id"]) for r in rows] == [("10.0.1.16/28", "eni-3")]


def test_another_vpc_has_other_holders(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, lake, "10.0.0.5", "--at", AT, "--vpc", "vpc-other") == (1, [])


def test_names_are_shown_escaped(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["whois", "10.0.0.7", "--lake", str(lake), "--at", AT])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "evil\\x1b[31m" in said


@pytest.mark.parametrize("wrong", [["10.0.0.300"], ["10.0.0.5", "--at", "noon"]])
def test_what_makes_no_sense_is_said(lake: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert main(["whois", *wrong, "--lake", str(lake)]) == 2
    assert "flowlake whois:" in capsys.readouterr().err


def test_a_lake_without_inventory_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whois", "10.0.0.1", "--lake", str(tmp_path)]) == 1
    assert "no inventory" in capsys.readouterr().err
