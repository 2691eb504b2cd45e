"""The accuracy command on a small estate, held to its limits; and that it notices what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.accuracy.__main__ import main, write
from benchmarks.accuracy.grid import Setting
from benchmarks.accuracy.judge import judge
from benchmarks.accuracy.measure import Outcome
from benchmarks.accuracy.report import faults, tables
from benchmarks.accuracy.told import Told
from benchmarks.accuracy.truth import Truth
from flowlake.flows.inprocess import enrich_in_process
from flowlake.flows.job import Options
from flowlake.lake.hours import Hour
from flowlake.lake.store import open_store
from flowlake.sandbox import small

HOUR = Hour.parse("2026-01-01T00")
JOB_AT = (HOUR.ends + 900) * 1000

Judge = Callable[[pa.Table], Outcome]
Tampered = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp("accuracy") / "small", records=12_000)


@pytest.fixture(scope="module")
def rows(lake: Path) -> pa.Table:
    options = Options(networks=(lake / "known_networks.csv").read_text(encoding="utf-8"))
    return enrich_in_process(open_store(str(lake)), HOUR, options, HOUR.plus(5).moment).conversations


@pytest.fixture(scope="module")
def outcome_of(lake: Path) -> Iterator[Judge]:
    truth, told = Truth(lake, lake.parent / "duckdb"), Told(lake)

    def outcome(conversations: pa.Table) -> Outcome:
        found = Outcome(Setting(loss=0.0), seed=1)
        found.add(judge(truth, HOUR, conversations, told, JOB_AT))
        return found

    yield outcome
    truth.close()


def test_the_small_estate_is_right_to_the_byte(rows: pa.Table, outcome_of: Judge) -> None:
    outcome = outcome_of(rows)
    assert faults(outcome) == []
    held = outcome.sums["bytes"]
    counted = rows.filter(pc.is_in(rows["leg"], pa.array(["direct", "nat_inside"])))
    published = pc.sum(counted["uploaded"]).as_py() + pc.sum(counted["downloaded"]).as_py()
    # All that is published lies in cells of the truth, and most of it has a complete reporter.
    assert held["published"] + held["lossy_published"] == published
    assert held["pairs"] > 100
    assert outcome.sums["roles"].total() == published
    assert "| 0% lost" in tables([outcome])


def replaced(rows: pa.Table, where: pa.Array, **columns: Any) -> pa.Table:
    """The rows with these columns' values where the condition holds."""
    for name, value in columns.items():
        at = rows.schema.get_field_index(name)
        new = value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.scalar(value, rows.schema.field(at).type)
        rows = rows.set_column(at, rows.schema.field(at), pc.if_else(where, new, rows[name]))
    return rows


def first(rows: pa.Table, **wanted: str | bool) -> pa.Array:
    """A mask of the first row with these values and bytes both ways."""
    match = pc.and_(pc.greater(rows["uploaded"], 0), pc.greater(rows["downloaded"], 0))
    for name, value in wanted.items():
        match = pc.and_(match, pc.equal(rows[name], value))
    at = pc.index(match, True).as_py()
    assert at >= 0
    return pa.array([i == at for i in range(rows.num_rows)])


def test_one_wrong_name_is_found_with_its_bytes(rows: pa.Table, outcome_of: Judge) -> None:
    """A server at 'public' addresses named as an interface that never spoke."""
    one = first(rows, server_attribution="public")
    amount = sum(rows.filter(one)[name][0].as_py() for name in ("uploaded", "downloaded"))
    changed = replaced(rows, one, server_interface_id="eni-other", server_attribution="interval")
    assert f"{amount:,} bytes are misattributed (interval {amount:,})" in faults(outcome_of(changed))[0]


def test_a_row_too_many_and_a_row_too_few_are_found(rows: pa.Table, outcome_of: Judge) -> None:
    one = first(rows, leg="direct")
    amount = sum(rows.filter(one)[name][0].as_py() for name in ("uploaded", "downloaded"))
    assert outcome_of(pa.concat_tables([rows, rows.filter(one)])).sums["bytes"]["invented"] == amount
    assert outcome_of(rows.filter(pc.invert(one))).sums["bytes"]["missing"] == amount


def test_swapped_ends_are_found(rows: pa.Table, outcome_of: Judge) -> None:
    """Client and server exchanged everywhere: all is wrong but pairs that truly serve each other on one port."""
    other = {"uploaded": "downloaded", "downloaded": "uploaded"}
    for name in rows.column_names:
        if name.startswith("client_"):
            twin = name.replace("client_", "server_")
            other |= {name: twin, twin: name}
    exchanged = rows.rename_columns([other.get(name, name) for name in rows.column_names]).select(rows.column_names)
    right = outcome_of(rows).sums["roles"]["right"]
    assert 0.999 * right < outcome_of(exchanged).sums["roles"]["wrong"] <= right


def test_wrong_legs_ways_and_tags_are_found(rows: pa.Table, outcome_of: Judge) -> None:
    before = outcome_of(rows)
    one = first(rows, leg="nat_inside", path_via="nat_gateway")
    amount = sum(rows.filter(one)[name][0].as_py() for name in ("uploaded", "downloaded"))
    changed = outcome_of(replaced(rows, one, leg="direct", path_via="peering", client_tags=[("Name", "nobody")]))
    assert changed.sums["legs"]["wrong"] - before.sums["legs"]["wrong"] == amount
    assert changed.sums["ways"]["wrong"] - before.sums["ways"]["wrong"] == amount
    assert changed.sums["tags"]["wrong"] - before.sums["tags"]["wrong"] == amount


def test_naming_nobody_is_found_where_something_told(rows: pa.Table, outcome_of: Judge) -> None:
    known = pc.is_in(rows["server_attribution"], pa.array(["interval", "attested"]))
    assert pc.any(known).as_py()
    nameless = replaced(rows, known, server_interface_id=None, server_attribution="none")
    assert any("name nobody though something told" in fault for fault in faults(outcome_of(nameless)))


def every(rows: pa.Table, name: str, *values: str) -> pa.Array:
    """A mask of the rows with one of these values."""
    found = pc.is_in(rows[name], pa.array(values))
    assert pc.any(found).as_py()
    return found


def opposite_actions(rows: pa.Table) -> pa.Table:
    return replaced(
        replaced(rows, every(rows, "action", "REJECT"), action="ACCEPT"),
        every(rows, "action", "ACCEPT"),
        action="REJECT",
    )


def refusals_as_accepted(rows: pa.Table) -> pa.Table:
    return replaced(rows, every(rows, "action", "REJECT"), action="ACCEPT")


def nobody_outside(rows: pa.Table) -> pa.Table:
    outside = every(rows, "server_attribution", "aws_service", "network", "public")
    return replaced(rows, outside, server_attribution="none")


def nothing_but_public(rows: pa.Table) -> pa.Table:
    return replaced(rows, every(rows, "server_attribution", "aws_service", "network"), server_attribution="public")


def held_by(kind: str, **columns: str) -> Tampered:
    """One far end with a private address that an interface holds is said to be no interface's."""

    def changed(rows: pa.Table) -> pa.Table:
        one = first(rows, server_attribution="interval", server_rfc1918=True)
        return replaced(rows, one, server_attribution=kind, server_interface_id=None, **columns)

    return changed


def another(column: str, value: Any, end: str = "interface_id") -> Tampered:
    """The first row with such an end says something else of it."""

    def changed(rows: pa.Table) -> pa.Table:
        named = pc.is_valid(rows[f"{column.partition('_')[0]}_{end}"])
        assert pc.any(named).as_py()
        return replaced(
            rows, pa.array([i == pc.index(named, True).as_py() for i in range(rows.num_rows)]), **{column: value}
        )

    return changed


def everywhere(**columns: Any) -> Tampered:
    return lambda rows: replaced(rows, pa.array([True] * rows.num_rows), **columns)


def without(leg: str) -> Tampered:
    return lambda rows: rows.filter(pc.invert(every(rows, "leg", leg)))


@pytest.mark.parametrize(
    ("tampered", "fault"),
    [
        (opposite_actions, "action is wrong in"),
        (refusals_as_accepted, "action is wrong in"),
        (everywhere(action="UNKNOWN"), "unknown in"),
        (nobody_outside, "bytes at ends outside are said to be nobody's"),
        (nothing_but_public, "of services and known networks only public"),
        (held_by("aws_service", server_aws_service="S3"), "are misattributed (aws_service"),
        (held_by("network", server_network_name="office"), "are misattributed (network"),
        (held_by("public"), "are misattributed (public"),
        (another("client_account_id", "123456789012"), "account, VPC, subnet or zone of a named end are wrong"),
        (another("client_vpc_id", "vpc-another"), "account, VPC, subnet or zone of a named end are wrong"),
        (another("server_subnet_id", "subnet-another"), "account, VPC, subnet or zone of a named end are wrong"),
        (another("server_az_id", "use1-az9"), "account, VPC, subnet or zone of a named end are wrong"),
        (another("client_arns", ["arn:aws:ec2:::instance/i-1"], "name"), "kind, ARNs or name of a named end are wrong"),
        (another("server_name", "another"), "kind, ARNs or name of a named end are wrong"),
        (everywhere(client_vpc_id=None), "accounts, VPCs, subnets or zones are unknown in"),
        (everywhere(server_arns=[]), "kinds, ARNs or names are unknown in"),
        (everywhere(client_tags=[("Name", "nobody")]), "tags are wrong in"),
        (everywhere(server_tags=None), "tags are unknown in"),
        (everywhere(leg="direct"), "legs are wrong in"),
        (everywhere(path_via="peering"), "ways out are wrong in"),
        (everywhere(path_via=None), "ways out are unknown in"),
        (everywhere(roles_by="unknown"), "client and server are unknown in"),
        (without("hop"), "bytes are missing on the legs hop and nat_outside"),
        (without("nat_outside"), "bytes are missing on the legs hop and nat_outside"),
    ],
)
def test_what_is_changed_in_one_way_is_a_fault(
    rows: pa.Table, outcome_of: Judge, tampered: Tampered, fault: str
) -> None:
    found = faults(outcome_of(tampered(rows)))
    assert any(fault in one for one in found), found


def test_the_command_writes_its_tables_between_the_markers_and_says_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by python -m benchmarks.accuracy: begin -->\nold\n<!-- end -->\nafter\n")
    sizes = ["--records", "4000", "--interfaces", "60", "--accounts", "2", "--regions", "1", "--hours", "1"]
    work = ["--work", str(tmp_path / "work"), "--write", str(page), "--no-spark"]
    assert main([*sizes, *work, "--seeds", "1", "--settings", "0.1:60"]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "\nold\n" not in text
    assert "10% lost, 5% late by up to 15 min, sweep every 60 min" in text
    assert "all held" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no place"):
        write(page, "tables", "another")
