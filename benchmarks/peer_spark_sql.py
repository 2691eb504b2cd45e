"""A peer: the job's work in plain Spark SQL (no Python worker), to zstd Parquet, with the same checks as peers_duckdb.sql.

python -m benchmarks.peer_spark_sql HOUR_FOLDER OUT [--window-seconds 300]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.estate import HOUR
from benchmarks.peers_duckdb import TYPES, V5_ONLY, fields_of, known_ports

SUMS = """
select interface_id, srcaddr, dstaddr, srcport, dstport, protocol, action,
    {hour_starts} + floor((start - {hour_starts}) / {window_seconds}) * {window_seconds} as window_start,
    {direction} as flow_direction, {path} as traffic_path, {src_service} as src_service, {dst_service} as dst_service,
    sum(bytes) as bytes, sum(packets) as packets, count(*) as records, min(start) as first_start, max(end) as last_end,
    count_if({flags} & 18 = 2) as opened, bool_or({flags} & 18 = 18) as answered
from records
where log_status = 'OK' and start >= {hour_starts} and start < {hour_starts} + 3600
group by all
"""

ATTRIBUTED = """
with own as (
    select sums.*, interfaces.vpc_id,
        case when flow_direction is not null then flow_direction when srcaddr = primary_address then 'egress' else 'ingress' end as direction
    from sums join interfaces using (interface_id)
),
sided as (select *, case when direction = 'egress' then dstaddr else srcaddr end as far_addr from own)
select sided.*,
    case when direction = 'egress' then sided.interface_id else addresses.interface_id end as src_interface_id,
    case when direction = 'egress' then addresses.interface_id else sided.interface_id end as dst_interface_id
from sided left join addresses
    on addresses.seen_from_vpc = sided.vpc_id and addresses.addr = sided.far_addr
    and addresses.valid_from <= sided.first_start and sided.first_start < addresses.valid_to
"""

CHOSEN = """
select attributed.*,
    (direction = 'ingress' or action = 'REJECT' or dst_interface_id is null or reporters.interface_id is null) as counts
from attributed left join (select distinct interface_id from sums) reporters on reporters.interface_id = dst_interface_id
"""

ORIENTED = """
with listeners as (
    select distinct coalesce(src_interface_id, srcaddr) as listener, srcport as port from attributed where answered
),
told as (
    select chosen.*, s.port is not null as src_listens, d.port is not null as dst_listens,
        (srcport between 1 and 1023 or (protocol = 6 and srcport in {tcp_ports}) or (protocol = 17 and srcport in {udp_ports})) as src_known,
        (dstport between 1 and 1023 or (protocol = 6 and dstport in {tcp_ports}) or (protocol = 17 and dstport in {udp_ports})) as dst_known
    from chosen
    left join listeners s on s.listener = coalesce(src_interface_id, srcaddr) and s.port = srcport
    left join listeners d on d.listener = coalesce(dst_interface_id, dstaddr) and d.port = dstport
),
ruled as (
    select *, case
        when (opened > 0) <> answered then 'handshake'
        when src_listens <> dst_listens then 'listener'
        when src_known <> dst_known then 'well_known_port'
        else 'unknown' end as roles_by
    from told
)
select *, case roles_by when 'handshake' then opened > 0 when 'listener' then dst_listens when 'well_known_port' then dst_known else true end as up
from ruled
"""

CONVERSATIONS = """
select window_start, protocol, action,
    if(up, srcaddr, dstaddr) as client_addr, if(up, src_interface_id, dst_interface_id) as client_interface_id,
    if(up, src_service, dst_service) as client_service, if(up, dstaddr, srcaddr) as server_addr,
    if(up, dst_interface_id, src_interface_id) as server_interface_id, if(up, dst_service, src_service) as server_service,
    if(up, dstport, srcport) as server_port,
    coalesce(sum(bytes) filter (where counts and up), 0) as uploaded, coalesce(sum(bytes) filter (where counts and not up), 0) as downloaded,
    coalesce(sum(packets) filter (where counts and up), 0) as packets_up, coalesce(sum(packets) filter (where counts and not up), 0) as packets_down,
    coalesce(sum(opened) filter (where counts and up), 0) as connections_opened, coalesce(sum(records) filter (where counts), 0) as records,
    min(first_start) filter (where counts) as started_at, max(last_end) filter (where counts) as ended_at,
    max(traffic_path) filter (where up) as path, min(roles_by) as roles_by,
    collect_set(interface_id) filter (where counts) as reporter, collect_set(interface_id) filter (where not counts) as also_reported_by
from oriented
group by all
having bool_or(counts)
"""

END = """
    {end}_addr, {e}.arn as {end}_arn, {e}.name as {end}_name, coalesce({e}.type, if({end}_service is null, 'public', 'aws_service')) as {end}_type,
    {end}_interface_id, {e}.subnet_id as {end}_subnet_id, {e}.vpc_id as {end}_vpc_id, {e}.account_id as {end}_account_id,
    {e}.account_name as {end}_account_name, {e}.security_group_ids as {end}_security_group_ids, {e}.availability_zone as {end}_availability_zone,
    {e}.az_id as {end}_az_id, {e}.region as {end}_region,
    {end}_addr rlike '^(10|127)\\\\.|^192\\\\.168\\\\.|^169\\\\.254\\\\.|^172\\\\.(1[6-9]|2[0-9]|3[01])\\\\.' as {end}_rfc1918,
    {end}_service as {end}_aws_service, {e}.owner as {end}_owner, {e}.app as {end}_app, {e}.tags as {end}_tags
"""

PUBLISHED = f"""
select timestamp_seconds(window_start) as window_start, timestamp_seconds(started_at) as started_at, timestamp_seconds(ended_at) as ended_at,
    protocol, server_port, action, 'direct' as leg, uploaded, downloaded, packets_up, packets_down, connections_opened, records, roles_by,
    reporter, also_reported_by,
    md5(concat_ws('|', window_start, client_interface_id, client_addr, server_interface_id, server_addr, server_port, protocol, action)) as conversation_id,
    {END.format(end="client", e="c")}, {END.format(end="server", e="s")},
    path, c.az_id <> s.az_id as cross_az, c.region <> s.region as cross_region
from conversations
left join interfaces c on c.interface_id = client_interface_id
left join interfaces s on s.interface_id = server_interface_id
order by client_account_id, window_start
"""

AUDIT = """
select count(*) as rows,
    count_if(window_start is null or started_at is null or ended_at is null or protocol is null or action is null or uploaded is null
        or downloaded is null or conversation_id is null or reporter is null) as nulls,
    count_if(action not in ('ACCEPT', 'REJECT') or leg not in ('direct', 'nat_inside', 'nat_outside', 'hop')
        or roles_by not in ('inventory', 'handshake', 'listener', 'well_known_port', 'unknown')) as strange_words,
    count_if(uploaded < 0 or downloaded < 0 or packets_up < 0 or packets_down < 0 or server_port not between 0 and 65535
        or protocol not between 0 and 255) as out_of_range,
    count_if(ended_at < started_at or unix_timestamp(window_start) < {hour_starts} or unix_timestamp(window_start) >= {hour_starts} + 3600)
        as out_of_time,
    count(*) - count(distinct conversation_id) as repeated, sum(uploaded + downloaded) as published_bytes
from published
"""


def run(folder: Path, out: Path, window_seconds: int) -> dict[str, Any]:
    from flowlake.flows.spark import session

    spark = session("plain Spark SQL", driver_memory="4g", java_options="")
    paths = sorted(str(p) for p in (folder / "lake/raw").glob("**/*.log.gz"))
    names = fields_of(paths[0])
    v5 = "tcp-flags" in names
    ports = known_ports()
    settings = {
        "hour_starts": str(HOUR.starts),
        "window_seconds": str(window_seconds),
        "tcp_ports": str(tuple(ports["6"])),
        "udp_ports": str(tuple(ports["17"])),
        **{
            name: column if v5 else {"flags": "0", "path": "0"}.get(name, "cast(null as string)")
            for name, column in V5_ONLY.items()
        },
    }
    schema = ", ".join(
        f"`{name.replace('-', '_')}` {TYPES.get(name, 'string').replace('varchar', 'string')}" for name in names
    )
    spark.read.csv(paths, schema=schema, sep=" ", header=True, nullValue="-", quote="").createOrReplaceTempView(
        "records"
    )
    for name in ("addresses", "interfaces"):
        spark.read.parquet(str(folder / f"peers/{name}.parquet")).createOrReplaceTempView(name)
    for name, text in (
        ("sums", SUMS),
        ("attributed", ATTRIBUTED),
        ("chosen", CHOSEN),
        ("oriented", ORIENTED),
        ("conversations", CONVERSATIONS),
    ):
        frame = spark.sql(text.format(**settings))
        if name in ("sums", "attributed"):
            frame = frame.persist()  # used more than once
        frame.createOrReplaceTempView(name)
    spark.sql(PUBLISHED).write.mode("overwrite").option("compression", "zstd").parquet(str(out))
    spark.read.parquet(str(out)).createOrReplaceTempView("published")
    audit: dict[str, int] = spark.sql(AUDIT.format(**settings)).collect()[0].asDict()
    audit["raw_bytes"] = spark.sql("select sum(bytes) as bytes from sums").collect()[0].bytes
    audit["other_reporter_bytes"] = (
        spark.sql("select sum(bytes) as bytes from chosen where not counts").collect()[0].bytes
    )
    spark.stop()
    faults = {
        name: audit[name]
        for name in ("nulls", "strange_words", "out_of_range", "out_of_time", "repeated")
        if audit[name]
    }
    if faults or audit["raw_bytes"] != audit["published_bytes"] + audit["other_reporter_bytes"]:
        raise SystemExit(f"the audit failed: {audit}")
    return audit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_spark_sql")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--window-seconds", type=int, default=300)
    options = parser.parse_args()
    print(json.dumps(run(options.folder, options.out, options.window_seconds)))


if __name__ == "__main__":
    main()
