"""The stories' answers hold in the truth, and are what was planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowlake.sandbox.simulate import Settings, simulate
from tests.sandbox.conftest import Written


def _stories(out: Path) -> dict[str, Any]:
    return {story["id"]: story for story in json.loads((out / "truth" / "stories.json").read_text())}


def test_all_stories_of_one_hour_are_told(wide_estate: Written) -> None:
    assert set(_stories(wide_estate.out)) == {
        "cross_zone_chatter", "dependencies", "around_the_load_balancer", "without_the_proxy", "s3_through_nat",
        "unused_security_group", "rejected_scan",
    }  # fmt: skip


def test_the_chattering_application_leads_between_zones(wide_estate: Written) -> None:
    answer = _stories(wide_estate.out)["cross_zone_chatter"]["answer"]
    assert answer["app"] == "telemetry"
    assert (
        answer["ranking"][0]["cross_az_bytes"] >= answer["cross_az_bytes"] > 2 * answer["ranking"][1]["cross_az_bytes"]
    )
    assert 0.7 < answer["share"] < 0.95  # planted: three connections in 3.7 parts cross


def test_only_the_planted_client_goes_around_the_load_balancer(wide_estate: Written) -> None:
    story = _stories(wide_estate.out)["around_the_load_balancer"]
    rows = wide_estate.ask(
        f"""select distinct c.type, c.interface_id
            from {{connections}} t join {{endpoints}} a on a.endpoint = t.client
            join {{interfaces}} c on c.interface = a.interface
            join {{endpoints}} b on b.endpoint = t.server join {{interfaces}} s on s.interface = b.interface
            where t.accepted and t.server_port = 8080 and b."group" like '%/{story["facts"]["server_app"]}/web'"""
    )
    around = {interface for type_, interface in rows if not type_.startswith("elbv2")}
    assert around == {story["facts"]["client_interface_id"]}
    assert story["answer"]["connections"] > 0


def test_only_one_function_goes_to_the_database_without_its_proxy(wide_estate: Written) -> None:
    story = _stories(wide_estate.out)["without_the_proxy"]
    rows = wide_estate.ask(
        f"""select distinct c.type, c.arns
            from {{connections}} t join {{endpoints}} a on a.endpoint = t.client
            join {{interfaces}} c on c.interface = a.interface
            join {{endpoints}} b on b.endpoint = t.server join {{interfaces}} s on s.interface = b.interface
            where t.accepted and s.name = '{story["facts"]["database"]}' and c.type <> 'rds:proxy'"""
    )
    assert {arn for _, arns in rows for arn in arns} == {story["facts"]["function"]}


def test_an_applications_rare_dependency_is_among_its_servers(wide_estate: Written) -> None:
    story = _stories(wide_estate.out)["dependencies"]
    rare = [s for s in story["answer"]["servers"] if s["port"] == story["facts"]["rare_port"]]
    assert rare == [{"type": "network", "name": "frankfurt-datacentre", "port": 9443, "protocol": 6}]


def test_the_unused_security_group_is_on_no_interface(wide_estate: Written) -> None:
    story = _stories(wide_estate.out)["unused_security_group"]
    assert story["facts"]["planted"] in story["answer"]["security_group_ids"]


def test_the_scan_was_refused_on_every_port(wide_estate: Written) -> None:
    answer = _stories(wide_estate.out)["rejected_scan"]["answer"]
    assert answer["ports"] > 20
    ((accepted,),) = wide_estate.ask(
        """select count(*) from {records} t join {endpoints} e on e.endpoint = t.source
           where e.address = '193.163.125.77' and accepted"""
    )
    assert accepted == 0


def test_a_teams_transfer_grew_by_23_percent(tmp_path: Path) -> None:
    """Nine weeks, one hour twice a week: as many bytes in each of the first nine hours, 1.23 times that after."""
    settings = Settings(seed=4, accounts=2, regions=1, zones=2, interfaces=60, weeks=9, records=6_000)
    simulate(tmp_path, settings)
    story = _stories(tmp_path)["transfer_growth"]
    assert story["answer"]["growth"] == pytest.approx(0.23, abs=story["tolerance"])
    assert (story["facts"]["hours_before"], story["facts"]["hours_after"]) == (9, 9)
