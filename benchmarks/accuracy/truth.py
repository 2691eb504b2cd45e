"""The truth of one simulated lake in DuckDB: what each raw record showed, and who really was behind it.

world      endpoints, interfaces, objects (with what their format shows), tags: small tables, loaded once
holds      one row a connection, direction and interface that reported any of it in records that can be read; whole: every packet
skip       one row a SKIPDATA line: the interface that lost records, and when
unread     one row an interface and hour of which some records can't be read
record     one row a raw record of an hour that can be read, as its reporter showed it (see RECORD)
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from flowlake.lake.hours import Hour

MEMORY = "1500MB"
OPEN = 1 << 60


class Truth:
    """A lake's truth, opened. db is DuckDB over a file beside the lake, so that memory stays bounded."""

    def __init__(self, lake: Path, work: Path) -> None:
        self.lake, self.folder = lake, lake / "truth"
        work.mkdir(parents=True, exist_ok=True)
        self.db = duckdb.connect(str(work / f"{lake.name}.duckdb"))
        self.db.execute(f"set memory_limit = '{MEMORY}'; set threads = 2; set timezone = 'UTC'")
        self.db.execute(f"set temp_directory = '{work / 'spill'}'; set preserve_insertion_order = false")
        self.hours: set[str] = set()
        self._world()

    def _world(self) -> None:
        folder = self.folder
        self.db.register("shown", _formats(self.lake, folder))
        self.db.register("tagged", tag_states(folder))
        self.db.execute(
            f"""
            create or replace table endpoint as
            select endpoint, interface, interface_id, address,
                address like '%:%' as is_v6,
                case when interface >= 0 then interface_id
                    when outside in ('S3', 'DYNAMODB', 'AMAZON') then 'aws_service:' || aws_service
                    when network_name is not null then 'network:' || network_name
                    else 'public' end as holder
            from '{folder}/endpoints.parquet';
            create or replace table interface as select * from '{folder}/interfaces.parquet';
            create or replace table object as
            select o.*, s.has_packet_addresses, s.has_resource_id, s.has_vpc_id
            from '{folder}/objects.parquet' o join shown s using (flow_log_id);
            create or replace table interface_tags as select * from tagged;
            create or replace table holding as
            select distinct i.vpc_id, a.address, i.interface_id, a.since, a.until
            from (
                select interface, address, since, until from '{folder}/endpoints.parquet' where interface >= 0
                union all
                select interface, address, created, coalesce(deleted, {OPEN}) from interface
            ) a join interface i using (interface);
            create or replace table connection as
            select connection, client_port, server_port, protocol, accepted, packets_up, packets_down
            from read_parquet('{folder}/connections/**/*.parquet', hive_partitioning = false);
            """
        )
        self.db.register("skips", skipped(self.lake, folder))
        self.db.execute("create or replace table skip as select * from skips")
        # Several flow logs may hold the same record: the most complete of them counts.
        self.db.execute(
            f"""
            create or replace table holds as
            select connection, up, reporter,
                packets = case when up then packets_up else packets_down end as whole
            from (
                select connection, up, reporter, max(packets) as packets from (
                    select r.connection, r.up, r.reporter, r.flow_log, sum(r.packets) as packets
                    from read_parquet('{folder}/records/**/*.parquet', hive_partitioning = false) r
                    join object o using (object)
                    where r.line < o.readable_lines and r.point <> 'nat_outside'
                    group by all
                ) group by all
            ) join connection using (connection);
            create or replace table unread as
            select distinct r.reporter, r.start // 3600 * 3600 as hour
            from read_parquet('{folder}/records/**/*.parquet', hive_partitioning = false) r
            join object o using (object) where r.line >= o.readable_lines;
            create or replace table torn as
            select flow_log_id, min(r.start) as first, max(r.start) as last
            from read_parquet('{folder}/records/**/*.parquet', hive_partitioning = false) r
            join object o using (object) where o.readable_lines < o.lines group by object, flow_log_id;
            create or replace table reports as
            select distinct i.interface_id, o.flow_log_id
            from read_parquet('{folder}/records/**/*.parquet', hive_partitioning = false) r
            join object o using (object) join interface i on i.interface = r.reporter;
            """
        )

    def record(self, hour: Hour) -> str:
        """The table of the hour's records; made at the first call."""
        name = f"record_{hour.dt.replace('-', '')}_{hour.hh}"
        if name not in self.hours:
            part = self.folder / "records" / f"dt={hour.dt}" / f"hour={hour.hh}" / "*.parquet"
            self.db.execute(f"create or replace table {name} as {RECORD.format(part=part)}")
            self.hours.add(name)
        return name

    def close(self) -> None:
        self.db.close()


# What a record shows: without packet addresses an end shows the address of the interface that reports it or passes it on. Then the
# holder of what is shown is that interface, and so it is beyond a NAT gateway. reporter: null for a regional NAT gateway in a format
# without resource-id, whose records name nobody. refused: by the reporter, or by an end that recorded the same connection too.
RECORD = """
with refusals as (
    select distinct r.connection, r.up
    from read_parquet('{part}', hive_partitioning = false) r join object o using (object)
    where r.line < o.readable_lines and not r.accepted
), seen as (
    select r.*, not r.accepted or (refusals.up is not null and r.point in ('client', 'server')) as refused, o.has_packet_addresses, o.has_vpc_id, i.interface_id, i.vpc_id, i.public_address,
        c.client_port, c.server_port, c.protocol,
        case when i.interface_id like 'nat-%' and not o.has_resource_id then '' else i.interface_id end as named,
        r.point = 'nat_outside' or (not o.has_packet_addresses and (
            r.point = 'hop_server' or (r.point = 'client' and not client.is_v6))) as client_hidden,
        not o.has_packet_addresses and (
            r.point = 'hop_client' or (r.point = 'server' and not server.is_v6)
            or (r.point = 'nat_inside' and i.interface_id not like 'nat-%')) as server_hidden,
        client.holder as client, client.address as client_addr, server.holder as server, server.address as server_addr,
        coalesce(at_client.logged, false) or coalesce(at_server.logged, false) as end_is_logged
    from read_parquet('{part}', hive_partitioning = false) r
    join object o using (object)
    join interface i on i.interface = r.reporter
    join endpoint client on client.endpoint = case when r.up then r.source else r.destination end
    join endpoint server on server.endpoint = case when r.up then r.destination else r.source end
    join connection c using (connection)
    left join interface at_client on at_client.interface = client.interface
    left join interface at_server on at_server.interface = server.interface
    left join refusals on refusals.connection = r.connection and refusals.up = r.up
    where r.line < o.readable_lines
), shown as (
    select *,
        case when client_hidden then interface_id else client end as client_holder,
        case when server_hidden then interface_id else server end as server_holder
    from seen
), sides as (
    select *,
        case when client_holder <> interface_id then client_addr when named = '' then public_address else '' end as client_shown,
        case when server_holder = interface_id then '' else server_addr end as server_shown
    from shown
)
select *, case when up then client else server end as source, case when up then server else client end as destination from (
select connection, up, flow_log, reporter, named, end_is_logged,
    not has_packet_addresses and (point like 'hop_%' or (point = 'nat_inside' and interface_id not like 'nat-%')) as hides_an_end,
    point = 'client' and not accepted as refused_at_client, vpc_id, has_vpc_id, point, accepted, refused, leg::varchar as leg, way::varchar as way,
    start, start + (last_packet - first_packet) // 1000 + 1 as ends, bytes, start - start % 300 as window_start,
    protocol, case when protocol in (1, 58) then -1 else client_port end as client_port,
    case when protocol in (1, 58) then -1 else server_port end as server_port,
    client || case when client like 'eni-%' then '' else client_addr end as client,
    server || case when server like 'eni-%' then '' else server_addr end as server,
    case when up then client_addr else server_addr end as source_addr,
    case when up then server_addr else client_addr end as destination_addr,
    case when up then client_shown else server_shown end as src_addr,
    case when up then server_shown else client_shown end as dst_addr,
    case when up then client_holder else server_holder end as src_holder,
    case when up then server_holder else client_holder end as dst_holder
from sides
)
"""


def skipped(lake: Path, folder: Path) -> pa.Table:
    """SKIPDATA lines: interface, start and end (epoch seconds)."""
    found: set[tuple[str, int, int]] = set()
    for row in pq.read_table(folder / "objects.parquet", columns=["path"]).to_pylist():
        path = lake / row["path"]
        if path.suffix == ".parquet":
            try:
                table = pq.read_table(
                    path, columns=["interface_id", "start", "end"], filters=[("log_status", "=", "SKIPDATA")]
                )
            except pa.ArrowInvalid:
                continue
            found |= {(r["interface_id"], r["start"], r["end"]) for r in table.to_pylist()}
            continue
        text = _inflated(path)
        if b"SKIPDATA" not in text:
            continue
        lines = text.split(b"\n")
        fields = lines[0].decode().replace("-", "_").split()
        at = [fields.index(name) for name in ("interface_id", "start", "end")]
        for line in lines[:-1]:
            if b"SKIPDATA" in line:
                values = line.decode().split()
                found.add((values[at[0]], int(values[at[1]]), int(values[at[2]])))
    rows = sorted(found)
    return pa.table(
        {
            "interface_id": pa.array([r[0] for r in rows], pa.string()),
            "starts": pa.array([r[1] for r in rows], pa.int64()),
            "ends": pa.array([r[2] for r in rows], pa.int64()),
        }
    )


def _inflated(path: Path) -> bytes:
    """The text of a gzip object, as far as it can be read."""
    return zlib.decompressobj(31).decompress(path.read_bytes())


def tag_states(folder: Path) -> pa.Table:
    """One row an interface and stretch of time (ms): the tags of what it serves, as one text; of several things those they have in common."""
    states: dict[str, list[tuple[int, int, dict[str, str]]]] = {}
    for row in pq.read_table(folder / "tags.parquet").to_pylist():
        until = OPEN if row["until"] is None else row["until"]
        states.setdefault(row["entity"], []).append((row["since"], until, dict(row["tags"])))
    found = []
    for row in pq.read_table(folder / "interfaces.parquet").to_pylist():
        begins, ends = row["created"], OPEN if row["deleted"] is None else row["deleted"]
        lines = [states.get(arn, []) for arn in row["arns"]]
        cuts = {m for line in lines for since, until, _ in line for m in (since, until) if begins < m < ends}
        edges = [begins, *sorted(cuts), ends]
        for since, until in zip(edges, edges[1:], strict=False):
            sets = [next((tags for a, b, tags in line if a <= since < b), {}) for line in lines]
            first = sets[0] if sets else {}
            common = {k: v for k, v in first.items() if all(other.get(k) == v for other in sets)}
            text = "\x1f".join(f"{k}={common[k]}" for k in sorted(common))
            found.append((row["interface_id"], since, until, text))
    columns = list(zip(*found, strict=True))
    names = ("interface_id", "since", "until", "tags")
    types = (pa.string(), pa.int64(), pa.int64(), pa.string())
    return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})


def _formats(lake: Path, folder: Path) -> pa.Table:
    """What the records of each flow log show, by the fields of its format."""
    objects = pq.read_table(folder / "objects.parquet", columns=["flow_log_id", "path"]).to_pylist()
    shown: dict[str, set[str]] = {}
    for row in objects:
        if not shown.get(row["flow_log_id"]):
            shown[row["flow_log_id"]] = _fields(lake / row["path"])
    rows: list[dict[str, Any]] = []
    for flow_log, fields in shown.items():
        rows.append(
            {
                "flow_log_id": flow_log,
                "has_packet_addresses": "pkt_srcaddr" in fields,
                "has_resource_id": "resource_id" in fields,
                "has_vpc_id": "vpc_id" in fields,
            }
        )
    return pa.Table.from_pylist(rows)


def _fields(path: Path) -> set[str]:
    """The fields of an object, none where it is torn before it names them."""
    if path.suffix == ".parquet":
        try:
            return set(pq.read_schema(path).names)
        except pa.ArrowInvalid:
            return set()
    header, ended, _ = _inflated(path).partition(b"\n")
    return set(header.decode().replace("-", "_").split()) if ended else set()
