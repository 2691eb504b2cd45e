"""flowlake tables and flowlake query: what was published, through the catalog."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowlake.cli import main
from flowlake.commands.duck import BadQuery, NoLake, _select, ask, opened, saved_view
from flowlake.commands.showing import as_table, plain
from flowlake.flows.publish import PROVISIONAL, PUBLISHED, Run, files_written, publish
from flowlake.flows.schemas import arrow_schema
from flowlake.lake import places
from flowlake.lake.catalog import Column, Table, open_catalog
from flowlake.lake.contracts import contract
from flowlake.lake.hours import Hour
from flowlake.lake.observations import observation, to_lines
from flowlake.lake.store import ObjectStore, open_store

MIDNIGHT = Hour.parse("2026-01-01T00")
NOW = datetime(2026, 1, 1, 2, 15, tzinfo=UTC)


def talk(hour: Hour, **columns: Any) -> dict[str, Any]:
    """A row of conversations."""
    return {
        "window_start": hour.moment,
        "started_at": hour.moment,
        "ended_at": hour.moment,
        "protocol": 6,
        "server_port": 443,
        "action": "ACCEPT",
        "leg": "direct",
        "uploaded": 10,
        "downloaded": 1,
        "client_name": "web",
        "client_tags": [("Team", "Ada"), ("note", "\x1b[31mred")],
        "client_arns": ["arn:1", "arn:2"],
        "server_rfc1918": True,
        "roles_by": "handshake",
        "reporter": ["eni-1"],
        "flags": [],
        "conversation_id": "00",
        "records": 1,
    } | columns


def put_rows(store: ObjectStore, hour: Hour, run_id: str, rows: list[dict[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(contract("conversations"))), sink)
    store.put(f"{places.run_folder('conversations', hour, run_id)}part-0.parquet", sink.getvalue().to_pybytes())


def publish_hour(place: str, hour: Hour, rows: list[dict[str, Any]], number: int = 1) -> str:
    """Publishes these conversations, and no rows of any other table."""
    store, catalog = open_store(place), open_catalog(place)
    run_id = f"20260101T{number:012d}-00000000"
    put_rows(store, hour, run_id, rows)
    counts = {table: len(rows) if table == "conversations" else 0 for table in PUBLISHED}
    files = files_written(store, hour, run_id)
    publish(store, catalog, Run(hour, run_id, PROVISIONAL, (), NOW, "b", files, counts), NOW)
    return run_id


def fill(place: str) -> str:
    """Two hours, the first published twice, and a run beside them that was never published."""
    publish_hour(place, MIDNIGHT, [talk(MIDNIGHT, uploaded=1_000_000)], number=1)
    publish_hour(place, MIDNIGHT, [talk(MIDNIGHT), talk(MIDNIGHT, client_name=None, client_tags=None)], number=2)
    publish_hour(place, MIDNIGHT.plus(24), [talk(MIDNIGHT.plus(24), uploaded=5)])
    put_rows(open_store(place), MIDNIGHT, "20260101T000000000009-00000000", [talk(MIDNIGHT, uploaded=1_000_000)])
    seen = observation(
        observed_at=MIDNIGHT.moment,
        recorded_at=MIDNIGHT.moment,
        source="sweep",
        source_name="DescribeInstances",
        source_id="s1",
        state="present",
        kind="instance",
        account_id="111122223333",
        entity_id="i-1",
        addresses=["10.0.0.1"],
        tags={"Team": "Ada"},
    )
    open_store(place).put(f"{places.observations('sweeps', MIDNIGHT)}a.json.gz", to_lines([seen]))
    return place


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return fill(str(tmp_path / "lake"))


def answer(lake: str, sql: str, **days: str) -> list[dict[str, Any]]:
    return list(ask(lake, sql, **days).to_pylist())


def test_only_the_current_runs_are_seen(lake: str) -> None:
    rows = answer(
        lake, "select dt, hour, count(*) as n, sum(uploaded) as bytes from conversations group by all order by dt"
    )
    assert rows == [
        {"dt": "2026-01-01", "hour": "00", "n": 2, "bytes": 20},
        {"dt": "2026-01-02", "hour": "00", "n": 1, "bytes": 5},
    ]


def test_a_lake_in_a_bucket_reads_the_same(bucket: str) -> None:
    place = fill(f"s3://{bucket}/lake")
    rows = answer(place, "select dt, sum(uploaded) as bytes from conversations group by all order by dt")
    assert rows == [{"dt": "2026-01-01", "bytes": 20}, {"dt": "2026-01-02", "bytes": 5}]
    assert answer(place, "select entity_id, origin, dt from observations", until="2026-01-01") == [
        {"entity_id": "i-1", "origin": "sweeps", "dt": "2026-01-01"}
    ]


def test_columns_have_the_contracts_names_and_types(lake: str) -> None:
    described = answer(lake, "describe conversations")
    table = contract("conversations")
    assert [row["column_name"] for row in described] == [c.name for c in (*table.columns, *table.partitions)]
    types = {row["column_name"]: row["column_type"] for row in described}
    assert types["window_start"] == "TIMESTAMP"
    assert types["client_tags"] == "MAP(VARCHAR, VARCHAR)"
    assert types["reporter"] == "VARCHAR[]"
    assert types["dt"] == types["hour"] == "VARCHAR"


def test_values_read_as_athena_would_read_them(lake: str) -> None:
    sql = """
        select window_start, element_at(client_tags, 'Team') as team, element_at(client_tags, 'team') as other,
            client_arns, server_port
        from conversations where client_name = 'web' and dt = '2026-01-01'
    """
    assert answer(lake, sql) == [
        {
            "window_start": datetime(2026, 1, 1),  # noqa: DTZ001
            "team": "Ada",
            "other": None,
            "client_arns": ["arn:1", "arn:2"],
            "server_port": 443,
        }
    ]


def test_days_bound_what_is_looked_at(lake: str) -> None:
    def days(**bounds: str) -> list[str]:
        return [row["dt"] for row in answer(lake, "select distinct dt from conversations order by dt", **bounds)]

    assert days() == ["2026-01-01", "2026-01-02"]
    assert days(since="2026-01-02") == ["2026-01-02"]
    assert days(until="2026-01-01") == ["2026-01-01"]
    assert days(since="2026-01-03") == []
    assert answer(lake, "select * from observations", since="2026-01-02") == []


def test_a_table_without_rows_is_an_empty_view(lake: str) -> None:
    for table in ("rejects", "coverage", "address_book", "ip_ranges"):
        assert answer(lake, f"select * from {table}") == []


def test_what_is_only_appended_to_is_read_where_it_lies(lake: str) -> None:
    sql = (
        "select origin, dt, hour, entity_id, observed_at, addresses, element_at(tags, 'Team') as team from observations"
    )
    assert answer(lake, sql) == [
        {
            "origin": "sweeps",
            "dt": "2026-01-01",
            "hour": "00",
            "entity_id": "i-1",
            "observed_at": datetime(2026, 1, 1),  # noqa: DTZ001
            "addresses": ["10.0.0.1"],
            "team": "Ada",
        }
    ]


def test_flow_documents_nest_both_ends(lake: str) -> None:
    (row,) = answer(lake, "select * from flow_documents where dt = '2026-01-02'")
    assert (row["dt"], row["hour"], row["conversation_id"]) == ("2026-01-02", "00", "00")
    document = json.loads(row["document"])
    ends = {"Client": document.pop("Client"), "Server": document.pop("Server")}
    assert document == {
        "Protocol": 6,
        "Port": 443,
        "Uploaded": 5,
        "Downloaded": 1,
        "Start": "2026-01-02T00:00:00Z",
        "End": "2026-01-02T00:00:00Z",
        "Action": "ACCEPT",
        "Leg": "direct",
    }
    assert ends["Client"]["Name"] == "web"
    assert ends["Client"]["Tags"] == {"Team": "Ada", "note": "\x1b[31mred"}
    assert ends["Client"]["Arns"] == ["arn:1", "arn:2"]
    assert ends["Server"]["Rfc1918"] is True
    assert ends["Server"]["Tags"] is None
    assert ends["Client"].keys() == ends["Server"].keys()


def test_flow_documents_is_sql_that_athena_parses_and_names_every_column_of_an_end() -> None:
    sqlglot = pytest.importorskip("sqlglot")
    parsed = sqlglot.parse_one(saved_view("flow_documents"), read="trino")
    named = {column.name for column in parsed.find_all(sqlglot.exp.Column)}
    ends = {c.name for c in contract("conversations").columns if c.name.startswith(("client_", "server_"))}
    assert ends <= named


def test_older_files_lack_columns_that_were_appended_since(tmp_path: Path) -> None:
    import duckdb

    file = tmp_path / "dt=2026-01-01" / "old.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"a": [1]}), file)
    columns = (Column("a", "bigint", ""), Column("b", "map<string,bigint>", ""), Column("c", "timestamp", ""))
    table = Table("t", "", "parquet", columns, (Column("dt", "string", ""),))
    found = duckdb.sql(_select(table, [str(file)]))
    assert found.fetchall() == [(1, None, None, "2026-01-01")]
    assert list(map(str, found.types)) == ["BIGINT", "MAP(VARCHAR, BIGINT)", "TIMESTAMP", "VARCHAR"]


def test_all_tables_are_there_also_those_that_the_query_does_not_name(lake: str) -> None:
    named = [row["name"] for row in answer(lake, "show tables")]
    assert named == [
        "address_book",
        "conversations",
        "coverage",
        "flow_documents",
        "ip_ranges",
        "observations",
        "rejects",
    ]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select * from nothing", "there are address_book, conversations, coverage, "),
        ("select colour from conversations", "colour"),
        ("selec 1", "syntax error"),
        ("create table x (a int)", "no query"),
        ("", "no query"),
        ("select 1; select 2", "no query"),
        ("copy conversations to 'x.csv'", "no query"),
    ],
)
def test_a_query_that_makes_no_sense_is_said(folder: str, sql: str, says: str) -> None:
    with pytest.raises(BadQuery, match=says):
        ask(folder, sql)


def test_no_lake_and_an_empty_one_are_said(tmp_path: Path, aws: str) -> None:
    with pytest.raises(NoLake, match=r"there is no lake at .*/none: no such folder"):
        opened(str(tmp_path / "none"))
    with pytest.raises(NoLake, match=r"nothing was published in .* yet .*flowlake enrich --lake"):
        opened(str(tmp_path))
    with pytest.raises(NoLake, match="nothing was published in s3://nowhere yet"):
        opened("s3://nowhere")


def test_a_partition_that_lies_elsewhere_is_not_read(tmp_path: Path) -> None:
    publish_hour(str(tmp_path), MIDNIGHT, [talk(MIDNIGHT)])
    catalog = open_catalog(str(tmp_path))
    there = catalog.partition("conversations", ("2026-01-01", "00"))
    assert there is not None
    catalog.put_partition("conversations", there.values, "/etc/", {}, there.version)
    with pytest.raises(NoLake, match="/etc/, which does not lie in the lake"):
        ask(str(tmp_path), "select * from conversations")


# ---- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> str:
    place = str(tmp_path / "lake")
    publish_hour(place, MIDNIGHT, [talk(MIDNIGHT), talk(MIDNIGHT, client_name="b\u202eab", client_tags=None)])
    return place


def test_query_prints_a_table_with_untrusted_text_escaped(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select client_name, uploaded, client_tags from conversations order by client_name desc"
    assert main(["query", "--lake", folder, "--sql", sql]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "client_name  uploaded  client_tags",
        "-----------  --------  --------------------------",
        "web                10  Team=Ada, note=\\x1b[31mred",
        "b\\u202eab          10",
    ]


def test_a_process_that_asked_ends_without_a_word_beside_its_answer(folder: str) -> None:
    command = [sys.executable, "-m", "flowlake.cli", "query", "--lake", folder, "--sql", "select 1 as one", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == {"one": 1}
    assert ended.stderr == ""


def test_json_is_json_whatever_is_asked(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select 0.0::double / 0 as share, 1 as a, 2 as a, [1.0::double / 0, 1.0::double] as l"
    assert main(["query", "--lake", folder, "--json", "--sql", sql]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found == {"share": None, "a": 1, "a_2": 2, "l": [None, 1.0]}


def test_what_can_not_be_written_is_said(folder: str) -> None:
    command = [sys.executable, "-m", "flowlake.cli", "query", "--lake", folder, "--sql", "select 1 as one"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "flowlake query: [Errno 28] No space left on device\n")


def test_query_gives_json_lines_and_csv(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select client_name, window_start, client_arns, client_tags from conversations where client_tags is not null"
    assert main(["query", "--lake", folder, "--json", "--sql", sql]) == 0
    line = capsys.readouterr().out
    assert "\x1b" not in line
    assert json.loads(line) == {
        "client_name": "web",
        "window_start": "2026-01-01 00:00:00",
        "client_arns": ["arn:1", "arn:2"],
        "client_tags": {"Team": "Ada", "note": "\x1b[31mred"},
    }
    assert main(["query", "--lake", folder, "--csv", "--sql", sql]) == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["client_name", "window_start", "client_arns", "client_tags"]
    assert row[:3] == ["web", "2026-01-01 00:00:00", '["arn:1", "arn:2"]']


def test_query_reads_sql_from_stdin(
    folder: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("select count(*) as n from conversations"))
    assert main(["query", "--lake", folder, "--json", "--sql", "-"]) == 0
    assert capsys.readouterr().out == '{"n": 2}\n'


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--sql", "select * from nothing"], 2, "flowlake query: Catalog Error"),
        (["--sql", "select 1", "--since", "yesterday"], 2, "'yesterday' is no day"),
        (["--sql", "select 1", "--until", "20260101"], 2, "'20260101' is no day"),
        (["--sql", "select 1", "--database", "other"], 1, "has no database other with tables"),
    ],
)
def test_query_exits_with_a_code_that_means_something(
    folder: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert main(["query", "--lake", folder, *arguments]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err


def test_tables_tells_each_partition_with_its_run(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--lake", folder]) == 0
    told = capsys.readouterr().out
    paragraph = next(p for p in told.split("\n\n") if p.startswith("conversations: One conversation on one leg"))
    _, header, row = paragraph.splitlines()
    assert header.split() == ["hour", "state", "rows", "files", "bytes", "run", "published"]
    assert row.split()[:4] == ["2026-01-01T00", "provisional", "2", "1"]
    assert row.split()[5:] == ["20260101T000000000001-00000000", "2026-01-01T02:15:00Z"]
    assert "observations: One entity" in told
    assert "appended to, at" in told


def test_tables_gives_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--lake", folder, "--table", "conversations", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    (partition,) = table["partitions"]
    assert partition.pop("bytes") > 0
    run_id = "20260101T000000000001-00000000"
    assert partition == {
        "dt": "2026-01-01",
        "hour": "00",
        "location": f"{folder}/tables/conversations/dt=2026-01-01/hour=00/run={run_id}/",
        "run_id": run_id,
        "state": "provisional",
        "published_at": "2026-01-01T02:15:00Z",
        "manifest": f"{folder}/hours/2026-01-01/00/runs/{run_id}/manifest.json",
        "rows": 2,
        "files": 1,
    }
    assert table["columns"][-1] == {"name": "hour", "type": "string"}


def test_tables_shows_the_latest_partitions_unless_asked_for_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path)
    for number in range(26):
        publish_hour(place, MIDNIGHT.plus(number), [talk(MIDNIGHT.plus(number))])
    assert main(["tables", "--lake", place, "--table", "conversations"]) == 0
    told = capsys.readouterr().out
    assert "2026-01-01T01" not in told
    assert "the latest of 26 partitions: --all shows every one" in told
    assert main(["tables", "--lake", place, "--table", "conversations", "--all"]) == 0
    assert "2026-01-01T01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--lake", "/none"], 1, "there is no lake at /none"),
        (["--table", "flows"], 2, "has no table flows; there are address_book, conversations"),
    ],
)
def test_tables_says_what_is_not_there(
    folder: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert main(["tables", "--lake", folder, *arguments]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("elsewhere", ["s3://a-lake/other", "s3://a-lake/a", "s3://no-bucket/a/lake"])
@pytest.mark.parametrize("table", [[], ["--table", "conversations"], ["--table", "flows"]])
def test_tables_of_another_lake_in_the_same_database_are_not_shown(
    bucket: str, capsys: pytest.CaptureFixture[str], elsewhere: str, table: list[str]
) -> None:
    place = f"s3://{bucket}/a/lake"
    publish_hour(place, MIDNIGHT, [talk(MIDNIGHT)])
    assert main(["tables", "--lake", place, "--table", "conversations"]) == 0
    assert "2026-01-01T00" in capsys.readouterr().out
    assert main(["tables", "--lake", elsewhere, *table]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"in the catalog lies at {place}/" in told.err
    assert f"this lake's at {elsewhere}/" in told.err


# ---- showing ---------------------------------------------------------------------------------------------------------


def test_text_that_would_act_on_a_terminal_is_written_out() -> None:
    assert plain("Ünï — 漢字 ok") == "Ünï — 漢字 ok"
    assert plain("\x1b]0;x\x07\r\n\t\x7f\x9b") == "\\x1b]0;x\\x07\\r\\n\\t\\x7f\\x9b"
    assert plain("a\u202eb\u2066c\u2028") == "a\\u202eb\\u2066c\\u2028"


def test_long_answers_are_cut_and_say_so() -> None:
    told = as_table(pa.table({"n": list(range(103)), "text": ["x" * 50] * 103}), most_rows=100).splitlines()
    assert told[-1] == "… and 3 more rows: --json or --csv gives them all"
    assert told[2] == " 0  " + "x" * 39 + "…"
    assert len(told) == 103
    assert as_table(pa.table({"n": pa.array([], pa.int64())})).splitlines()[-1] == "(no rows)"


def test_what_was_collected_is_asked_before_anything_is_published(tmp_path: Path) -> None:
    """As after `flowlake collect`: the tables that are only appended to are there, the others are empty."""
    row = observation(
        observed_at="2026-01-01 10:00:00.000",
        recorded_at="2026-01-01 10:00:00.000",
        source="sweep",
        source_name="DescribeVpcs",
        source_id="s1",
        state="present",
        kind="vpc",
        account_id="111111111111",
        region="eu-west-1",
        entity_id="vpc-1",
        cidr_blocks=["10.0.0.0/16"],
        tags={"team": "net"},
    )
    folder = places.observations("sweeps", Hour.parse("2026-01-01T10"))
    open_store(tmp_path).put(f"{folder}one.json.gz", to_lines([row]))
    sql = "select entity_id, element_at(tags, 'team') as team, origin, dt, hour from observations"
    assert ask(str(tmp_path), sql).to_pylist() == [
        {"entity_id": "vpc-1", "team": "net", "origin": "sweeps", "dt": "2026-01-01", "hour": "10"}
    ]
    assert ask(str(tmp_path), "select count(*) as n from conversations").to_pylist() == [{"n": 0}]
