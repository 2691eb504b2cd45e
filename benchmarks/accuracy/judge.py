"""Published rows of one hour against the truth, to the byte.

A published row has two directions. Of each, the reporter whose records were counted is the receiving end where that is among the row's
reporters, else the sending end, else the hops between. Only where that one lost records in the hour, or may have by a torn object, and
the row names another too, the other may have been counted: then it is the one whose records of that pair and direction come nearest to what was published of it, window by window. A cell is all that was published of one window, reporter, pair of addresses as
shown, protocol and server port; the truth of the cell are the raw records of that window and reporter that show the same. Within a cell

misattributed   is what exceeds, of each claimed holder (interface, service or network), the bytes that the truth gives that holder;
roles           are right for the bytes whose server end and port are the truth's, else wrong (or said to be unknown);
legs and ways   are right for what does not exceed the bytes that the truth gives the leg (the way out);
actions         likewise: REJECT is what an end refused, as its own record says or that of the other end.

Where an address is reused within a window the truth of a cell has several holders, and each is held to its own bytes. An address that
records show in place of the packet's own (a format without pkt-*: the interface's primary address, or that of a gateway or hop) is
judged by who holds what is shown.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from benchmarks.accuracy import baselines, bytes_held, described, tags
from benchmarks.accuracy.told import Told
from benchmarks.accuracy.truth import Truth
from flowlake.lake.hours import Hour

SLACK = 60
"""Seconds by which a record's start and end may be off (AWS)."""

PRIVATE = r"^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|f[cd])"
"""Addresses that mean an interface of a VPC, or a network beyond its gateways, and never the internet."""

_CLAIM = """case when {e}_interface_id is not null then {e}_interface_id
        when {e}_attribution = 'aws_service' then 'aws_service:' || {e}_aws_service
        when {e}_attribution = 'network' then 'network:' || {e}_network_name
        when {e}_attribution = 'public' then 'public' end"""

# An end that no interface holds, as the truth names it.
_OUTSIDE = """case {e}_attribution when 'aws_service' then 'aws_service:' || {e}_aws_service
        when 'network' then 'network:' || {e}_network_name when 'public' then 'public' end || {e}_addr"""

# Reporters that lost records of this hour: SKIPDATA around it, or records of it or of an hour beside it that can't be read.
LOSSY = """
create or replace temp table lossy as
select i.interface as reporter, i.interface_id from skip join interface i using (interface_id)
where skip.starts < {starts} + 3600 + 120 and skip.ends > {starts} - 120
union
select u.reporter, i.interface_id from unread u join interface i on i.interface = u.reporter where u.hour between {starts} - 3600 and {starts} + 3600;
-- Of a torn object nobody but the truth can say whose records it lost: all that report to its flow log are in doubt.
create or replace temp table doubtful as
select interface_id from lossy union
select interface_id from reports join torn using (flow_log_id) where torn.first < {starts} + 7200 and torn.last >= {starts} - 3600
"""

# One row is the bytes of one direction of one published row.
DIRECTIONS = f"""
create or replace temp table direction as
with way as (
    select c.*, row_number() over () as row, up, case when up then uploaded else downloaded end as bytes,
        case when up then client_addr else server_addr end as source_addr,
        case when up then server_addr else client_addr end as destination_addr,
        case when up then client_interface_id else server_interface_id end as src,
        case when up then server_interface_id else client_interface_id end as dst
    from published c, (values (true), (false)) as d(up)
), keyed as (
    select *, leg in ('direct', 'nat_inside') and len(reporter) > 1
            and case when list_contains(reporter, dst) then dst else src end in (select interface_id from doubtful) as several,
        coalesce(src, case when up then {{client}} else {{server}} end) as src_key,
        coalesce(dst, case when up then {{server}} else {{client}} end) as dst_key
    from way
), asked as (select distinct src_key, dst_key, unnest(reporter) as named from keyed where several),
said as (
    select src_key, dst_key, epoch(window_start)::bigint as window_start, sum(bytes) as bytes
    from keyed where leg in ('direct', 'nat_inside') group by all
), own as (
    select src_key, dst_key, named, window_start, sum(bytes) as bytes from (
        select src_key, dst_key, named, window_start, accepted, max(bytes) as bytes from (
            select case when up then client else server end as src_key, case when up then server else client end as dst_key,
                named, window_start, accepted, flow_log, sum(bytes) as bytes
            from {{record}} where point <> 'nat_outside' group by all
        ) group by all
    ) group by all
), off as (
    select src_key, dst_key, named, sum(abs(coalesce(o.bytes, 0) - coalesce(s.bytes, 0))) as bytes
    from (select o.* from own o join asked using (src_key, dst_key, named)) o
    full join (select s.*, named from said s join asked using (src_key, dst_key)) s using (src_key, dst_key, named, window_start)
    group by all
), nearest as (
    select src_key, dst_key, arg_min(named, (bytes, named <> dst_key, named <> src_key, named)) as counted_by from off group by all
), lone as (
    -- What names nobody at an end is of one connection mostly: there the reporter is the one that holds nearest to just this row.
    select row, arg_min(named, (abs(held - bytes), named <> dst_key, named <> src_key, named)) as counted_by from (
        select a.row, a.named, a.bytes, a.src_key, a.dst_key, coalesce(sum(r.bytes), 0) as held
        from (select *, unnest(reporter) as named from keyed where several and (src_key is null or dst_key is null)) a
        left join {{record}} r on r.named = a.named and r.up = a.up and r.window_start = epoch(a.window_start)::bigint
            and r.protocol = a.protocol::int and r.server_port = coalesce(a.server_port, -1)::int
            and (r.source = a.src_key or (a.src_key is null and r.source_addr = a.source_addr))
            and (r.destination = a.dst_key or (a.dst_key is null and r.destination_addr = a.destination_addr))
        group by all
    ) group by all
), reported as (
    select k.* exclude (source_addr, destination_addr), coalesce(n.counted_by, l.counted_by) as counted_by,
        case when several and list_contains(reporter, coalesce(n.counted_by, l.counted_by)) then [coalesce(n.counted_by, l.counted_by)]
        when list_contains(reporter, dst) then [dst] when list_contains(reporter, src) then [src]
        when len(reporter) = 0 then [''] else list_sort(reporter) end as reporters
    from keyed k left join nearest n using (src_key, dst_key) left join lone l using (row) where bytes > 0
)
select epoch(window_start)::bigint as window_start, up, bytes, leg, leg in ('direct', 'nat_inside') as counted,
    coalesce(path_via, '') as via, action, roles_by = 'unknown' as no_roles, reporters, protocol::int as protocol,
    coalesce(server_port, -1)::int as port,
    case when list_contains(reporters, src) then '' else case when up then client_addr else server_addr end end as src_addr,
    case when list_contains(reporters, dst) then '' else case when up then server_addr else client_addr end end as dst_addr,
    case when up then {_CLAIM.format(e="client")} else {_CLAIM.format(e="server")} end as src_claim,
    case when up then {_CLAIM.format(e="server")} else {_CLAIM.format(e="client")} end as dst_claim,
    case when up then client_attribution else server_attribution end as src_how,
    case when up then server_attribution else client_attribution end as dst_how,
    list_contains(flags, case when up then 'contested_client' else 'contested_server' end) as src_contested,
    list_contains(flags, case when up then 'contested_server' else 'contested_client' end) as dst_contested
from reported
"""

# Cells, and the truth's records that belong to each: with the server's end as it is, and (roles_right false) with the ends swapped.
CELLS = """
create or replace temp table cell as
select row_number() over () as cell, * from (
    select window_start, reporters, src_addr, dst_addr, protocol, up, port, sum(bytes)::bigint as bytes,
        coalesce(sum(bytes) filter (counted), 0)::bigint as counted_bytes
    from direction group by all
);
create or replace temp table in_cell as
select c.cell, d.* from direction d join cell c using (window_start, reporters, src_addr, dst_addr, protocol, up, port);
create or replace temp table matched as
with asked as (select cell, window_start, unnest(reporters) as named, src_addr, dst_addr, protocol, up, port from cell),
variants as (
    select * exclude (up), up, server_port as port, true as roles_right from {record}
    union all
    select * exclude (up), not up as up, client_port as port, false as roles_right from {record}
    where point <> 'nat_outside'
)
select a.cell, v.* from asked a join variants v using (window_start, named, src_addr, dst_addr, protocol, up, port)
"""

# Whether anything that reached the inventory, or any record of its own, could tell who held the address then.
KNOWABLE = """
create or replace temp table speaks as select distinct named as interface_id from {record} where named <> '';
create or replace temp table unknowable as
with ends as (
    select src_addr as address, src_holder as holder, start, ends, named, has_vpc_id from matched where src_addr <> ''
    union
    select dst_addr, dst_holder, start, ends, named, has_vpc_id from matched where dst_addr <> ''
)
select e.*,
    case
        when not has_vpc_id and named not in (select interface_id from told_of) then 'untold'
        when holder not in (select interface_id from speaks)
            and (t.first is null or start * 1000 < t.first - {slack} * 1000 or start * 1000 >= t.last) then 'untold'
        when exists (
            select 1 from holding h join interface i on i.interface_id = e.holder
            where h.vpc_id = i.vpc_id and h.address = e.address and h.interface_id <> e.holder
                and h.since < (e.ends + {slack}) * 1000 and h.until > (e.start - {slack}) * 1000
        ) then 'reused'
    end as why
from ends e left join told t on t.interface_id = e.holder and t.address = e.address
where holder like 'eni-%' or holder like 'nat-%'
"""

# The truth of each cell. Several flow logs may hold the same records of an interface: they count once.
TRUE_CELLS = """
create or replace temp table true_cell as
with seen as (
    select m.cell, m.reporter, m.flow_log, m.accepted, m.refused, m.src_holder, m.dst_holder, m.roles_right, m.leg, m.way, m.end_is_logged,
        m.source, m.destination, m.refused_at_client, s.why as src_why, d.why as dst_why, sum(m.bytes)::bigint as bytes
    from matched m
    left join unknowable s on s.address = m.src_addr and s.holder = m.src_holder and s.start = m.start and s.ends = m.ends
        and s.named = m.named and s.has_vpc_id = m.has_vpc_id
    left join unknowable d on d.address = m.dst_addr and d.holder = m.dst_holder and d.start = m.start and d.ends = m.ends
        and d.named = m.named and d.has_vpc_id = m.has_vpc_id
    group by all
)
select * exclude (flow_log, bytes), max(bytes) as bytes from seen group by all
"""

# One row a cell, end and claim, with what of it is wrong, and what kind of holder the end truly has.
ENDS = """
create or replace temp table true_end as
select cell, 'src' as which, src_holder as holder, src_why as why, sum(bytes)::bigint as bytes from true_cell group by all
union all
select cell, 'dst', dst_holder, dst_why, sum(bytes)::bigint from true_cell group by all;
create or replace temp table judged as
with claimed as (
    select cell, 'src' as which, src_claim as holder, src_how as how, src_contested as contested, counted, sum(bytes)::bigint as bytes
    from in_cell group by all
    union all
    select cell, 'dst', dst_claim, dst_how, dst_contested, counted, sum(bytes)::bigint from in_cell group by all
), mine as (
    select *, coalesce(sum(bytes) over (
        partition by cell, which, holder order by how, contested, counted rows between unbounded preceding and 1 preceding
    ), 0) as before, holder not like 'eni-%' and holder not like 'nat-%' as says_where,
        regexp_matches(case which when 'src' then src_addr else dst_addr end, '{private}') as private
    from claimed join (select cell, src_addr, dst_addr from cell) using (cell)
), given as (select cell, which, holder, sum(bytes) as bytes from true_end group by all),
whole as (
    select cell, which, sum(bytes) filter (not held) as outside, arg_max(held, bytes) as held,
        coalesce(sum(bytes) filter (why = 'untold'), 0) as untold, coalesce(sum(bytes) filter (why = 'reused'), 0) as reused
    from (select *, holder like 'eni-%' or holder like 'nat-%' as held from true_end) group by all
)
select m.*, coalesce(w.held, false) as held, m.holder is null or (says_where and w.held and not private) as nobody,
    least(m.bytes, w.untold)::bigint as untold, least(m.bytes - least(m.bytes, w.untold), w.reused)::bigint as reused,
    -- What a public address is (public, of a service, of a known network) can be said of one that an interface holds: that names nobody. Of
    -- a private one it is wrong. Of one outside it must be the true one; that it is public is true of all of them, and too little of a
    -- service's and a network's.
    case when nobody then 0
        else greatest(least(m.bytes, before + m.bytes - coalesce(case when m.holder = 'public' then w.outside else g.bytes end, 0)), 0)
    end::bigint as wrong,
    case when m.holder = 'public' and not held then greatest(least(m.bytes, before + m.bytes - coalesce(g.bytes, 0)), 0) - wrong
        else 0 end::bigint as only_public
from mine m left join given g using (cell, which, holder) left join whole w using (cell, which)
"""

ATTRIBUTION = """
select how, counted, held, sum(bytes)::bigint as bytes, sum(wrong)::bigint as wrong, sum(only_public)::bigint as only_public,
    sum(case when how = 'none' and contested then bytes else 0 end)::bigint as contested,
    sum(case when nobody then bytes else 0 end)::bigint as nameless,
    sum(case when nobody then untold else 0 end)::bigint as untold,
    sum(case when nobody then reused else 0 end)::bigint as reused
from judged group by all
"""

ROLES = """
with known as (
    select cell, coalesce(sum(bytes) filter (not no_roles), 0) as bytes, coalesce(sum(bytes) filter (no_roles), 0) as unknown
    from in_cell where counted group by all
), truth as (select cell, sum(bytes) as bytes from true_cell where roles_right group by all)
select sum(least(k.bytes, coalesce(t.bytes, 0)))::bigint as "right", sum(unknown)::bigint as "unknown",
    sum(k.bytes - least(k.bytes, coalesce(t.bytes, 0)))::bigint as wrong
from known k left join truth t using (cell)
"""

# Where only hops report a pair, one of them stands for it: then its leg is direct.
LEGS = """
with mine as (select cell, leg, sum(bytes) as bytes from in_cell group by all),
truth as (
    select cell, leg, sum(bytes) as bytes from (
        select cell, unnest(case when leg = 'hop' and not end_is_logged then ['hop', 'direct'] else [leg] end) as leg, bytes from true_cell
    ) group by all
)
select sum(least(m.bytes, coalesce(t.bytes, 0)))::bigint as "right", 0::bigint as "unknown",
    sum(m.bytes - least(m.bytes, coalesce(t.bytes, 0)))::bigint as wrong
from mine m left join truth t using (cell, leg)
"""

WAYS = """
with mine as (select cell, via, sum(bytes) as bytes from in_cell where counted group by all),
truth as (select cell, way as via, sum(bytes) as bytes from true_cell group by all)
select sum(case when via <> '' then least(m.bytes, coalesce(t.bytes, 0)) else 0 end)::bigint as "right",
    sum(case when via = '' then m.bytes else 0 end)::bigint as "unknown",
    sum(case when via <> '' then m.bytes - least(m.bytes, coalesce(t.bytes, 0)) else 0 end)::bigint as wrong
from mine m left join truth t using (cell, via)
"""

ACTIONS = """
with mine as (select cell, action, sum(bytes) as bytes from in_cell group by all),
truth as (select cell, case when refused then 'REJECT' else 'ACCEPT' end as action, sum(bytes) as bytes from true_cell group by all),
found as (
    select cell, action, coalesce(m.bytes, 0) as mine, coalesce(t.bytes, 0) as truth from mine m full join truth t using (cell, action)
)
select sum(case when action <> 'UNKNOWN' then least(mine, truth) else 0 end)::bigint as "right",
    sum(case when action = 'UNKNOWN' then mine else 0 end)::bigint as "unknown",
    sum(case when action <> 'UNKNOWN' then mine - least(mine, truth) else 0 end)::bigint as wrong,
    sum(case when action = 'REJECT' then mine else 0 end)::bigint as rejected,
    sum(case when action = 'REJECT' then truth else 0 end)::bigint as refused
from found
"""

# What hops and the outsides of NAT gateways recorded, and what of it is published nowhere: beside the legs that count (a hop's, where it
# counts for a pair). Of several flow logs one is published.
PASSING = """
with held as (
    select window_start, named, src_addr, dst_addr, protocol, accepted, min(bytes) as bytes from (
        select window_start, named, src_addr, dst_addr, protocol, accepted, flow_log, sum(bytes) as bytes
        from {record} where leg in ('hop', 'nat_outside') group by all
    ) group by all
), due as (select window_start, named, src_addr, dst_addr, protocol, sum(bytes) as bytes from held group by all),
mine as (
    select window_start, named, src_addr, dst_addr, protocol, sum(bytes) as bytes
    from (select *, unnest(reporters) as named from direction) group by all
)
select sum(d.bytes)::bigint as held, sum(greatest(d.bytes - coalesce(m.bytes, 0), 0))::bigint as missing
from due d left join mine m using (window_start, named, src_addr, dst_addr, protocol)
"""


def judge(truth: Truth, hour: Hour, conversations: pa.Table | str, told: Told, job_at: int) -> dict[str, Any]:
    """What is right, wrong and unknown in one hour, in bytes. conversations: the rows, or a glob of their Parquet files.

    job_at: when (ms) the naive job would have run.
    """
    db, record = truth.db, truth.record(hour)
    db.execute("drop view if exists published")
    if isinstance(conversations, str):
        source = f"read_parquet('{conversations}', hive_partitioning = false)"
        db.execute(f"create or replace temp view published as select * from {source}")
    else:
        db.register("published", conversations)
    held = db.execute("select distinct interface_id, address from holding").fetchall()
    db.register("told", told.spans(held))
    db.register("told_of", told.interfaces())
    db.execute(LOSSY.format(starts=hour.starts))
    db.execute(DIRECTIONS.format(record=record, **{end: _OUTSIDE.format(e=end) for end in ("client", "server")}))
    db.execute(CELLS.format(record=record))
    db.execute(KNOWABLE.format(record=record, slack=SLACK))
    db.execute(TRUE_CELLS)
    db.execute(ENDS.format(private=PRIVATE))
    return {
        "ends": rows(truth, ATTRIBUTION),
        "roles": rows(truth, ROLES)[0],
        "legs": rows(truth, LEGS)[0],
        "ways": rows(truth, WAYS)[0],
        "actions": rows(truth, ACTIONS)[0],
        "passing": rows(truth, PASSING.format(record=record))[0],
        "bytes": bytes_held.compare(truth, hour),
        "tags": tags.compare(truth),
        **described.compare(truth),
        "naive": baselines.latest_snapshot(truth, told.snapshot(job_at)),
        "events_only": baselines.events_only(truth, told.by_events()),
    }


def rows(truth: Truth, sql: str) -> list[dict[str, Any]]:
    """The answer as rows by column name; a sum over nothing is 0."""
    answer = truth.db.sql(sql).to_arrow_table().to_pylist()
    return [{name: 0 if value is None else value for name, value in row.items()} for row in answer]
