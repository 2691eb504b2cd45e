"""Objects as S3 gets them: keys, late ones, ones delivered again, torn ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import duckdb

from flowlake.flows.read import read_blocks
from flowlake.sandbox.sightings import Habits
from flowlake.sandbox.simulate import simulate
from tests.sandbox.conftest import WIDE, Written

KEY = re.compile(
    r"^raw/AWSLogs/(\d{12})/vpcflowlogs/([a-z0-9-]+)/(\d{4})/(\d\d)/(\d\d)/"
    r"\1_vpcflowlogs_\2_fl-[0-9a-f]{17}_\3\4\5T\d{4}Z_[0-9a-f]{8}\.log\.(gz|parquet)$"
)


def test_keys_are_those_of_aws(wide_estate: Written) -> None:
    keys = [key for (key,) in wide_estate.ask("select key from {objects}")]
    assert keys
    assert all(KEY.match(key) for key in keys)
    there = {str(p.relative_to(wide_estate.out)) for p in (wide_estate.out / "raw").rglob("*") if p.is_file()}
    assert there == set(keys)


def test_objects_come_some_minutes_after_their_records_and_some_hours(wide_estate: Written) -> None:
    waits = wide_estate.ask(
        """select o.delivered_at - max(t.last_packet) / 1000 from {records} t join {objects} o using (object)
           group by o.object, o.delivered_at"""
    )
    seconds = [wait for (wait,) in waits]
    assert min(seconds) > 60
    assert max(seconds) > 3_000


def test_late_objects_can_be_kept_aside(tmp_path: Path) -> None:
    settings = replace(WIDE, records=3_000, habits=Habits(late_object_share=0.3, late_aside=True))
    simulate(tmp_path, settings)
    aside = [p for p in (tmp_path / "late" / "raw").rglob("*.log.*") if p.is_file()]
    assert aside
    assert not any((tmp_path / p.relative_to(tmp_path / "late")).exists() for p in aside)


def test_a_torn_object_gives_up_what_is_left_of_it(tmp_path: Path) -> None:
    simulate(tmp_path, replace(WIDE, records=6_000, habits=Habits(torn_object_share=0.4)))
    rows = duckdb.sql(
        f"select key, lines, readable_lines from '{tmp_path}/truth/objects.parquet' where readable_lines < lines"
    ).fetchall()
    assert any(key.endswith(".gz") and readable > 0 for key, _, readable in rows)
    for key, _, readable in rows:
        with open(tmp_path / key, "rb") as stream:
            blocks = list(read_blocks(stream, key))
        assert blocks[-1].torn
        assert sum(block.records.num_rows for block in blocks) == readable, key


def test_lines_of_silence_are_counted_and_real(wide_estate: Written) -> None:
    assert wide_estate.summary.nodata > 50
    assert wide_estate.summary.skipdata == 0  # this estate has none


def test_whoever_loses_records_says_so_also_where_it_is_gone_at_the_steps_end(tmp_path: Path) -> None:
    """Of a covered interface without a SKIPDATA line every packet is in its records."""
    simulate(tmp_path, replace(WIDE, records=30_000, hours=1, habits=Habits(skipdata_share=0.01)))
    told = {
        row["interface_id"]
        for path in (tmp_path / "raw").rglob("*.log.*")
        for block in read_blocks(path.open("rb"), path.name)
        for row in block.records.select(["interface_id", "log_status"]).to_pylist()
        if row["log_status"] == "SKIPDATA"
    }
    truth = f"{tmp_path}/truth"
    rows = duckdb.sql(
        f"""with clients as (
                select c.connection, c.packets_up, i.interface, i.interface_id
                from read_parquet('{truth}/connections/**/*.parquet', hive_partitioning = false) c
                join '{truth}/endpoints.parquet' e on e.endpoint = c.client
                join '{truth}/interfaces.parquet' i on i.interface = e.interface and i.logged
                where c.accepted and c.last_packet < (select max(last_packet) from
                    read_parquet('{truth}/connections/**/*.parquet', hive_partitioning = false)) - 1200000
            ), seen as (
                select connection, reporter, max(packets) as packets from (
                    select connection, reporter, flow_log, sum(packets) as packets
                    from read_parquet('{truth}/records/**/*.parquet', hive_partitioning = false)
                    where up and point = 'client' group by all
                ) group by all
            )
            select distinct c.interface_id from clients c
            left join seen s on s.connection = c.connection and s.reporter = c.interface
            where coalesce(s.packets, 0) < c.packets_up"""
    ).fetchall()
    lost = {interface for (interface,) in rows}
    assert len(lost) > 20
    assert lost <= told
