-- Conversations of one hour of v5 (or v2) flow logs, as a DuckDB user would write them. One row: client, server, server port, protocol, action, window.
-- Settings come as :names and are put in by peers_duckdb.py; the inventory is given as two Parquet files with validity intervals.

create or replace macro window_of(start_second) as :hour_starts + (start_second - :hour_starts) // :window_seconds * :window_seconds;
create or replace macro is_public(addr) as not (
    addr like '10.%' or addr like '192.168.%' or addr like '169.254.%' or addr like '127.%'
    or regexp_matches(addr, '^172\.(1[6-9]|2[0-9]|3[01])\.') or regexp_matches(addr, '^100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.')
);

create temp table addresses as from read_parquet(':peers/addresses.parquet');
create temp table interfaces as from read_parquet(':peers/interfaces.parquet');

-- Equal records add up first: everything below works on connections and windows.
create temp table sums as
select
    interface_id, srcaddr, dstaddr, srcport, dstport, protocol, action, window_of("start") as window_start,
    :direction as flow_direction, :path as traffic_path, :src_service as src_service, :dst_service as dst_service,
    sum(bytes) as bytes, sum(packets) as packets, count(*) as records, min("start") as first_start, max("end") as last_end,
    count(*) filter (:flags & 18 = 2) as opened, bool_or(:flags & 18 = 18) as answered
from :records
where log_status = 'OK' and "start" >= :hour_starts and "start" < :hour_starts + 3600
group by all;

-- Both ends: the own side is the reporter, the far side whoever held the address at that time in a VPC that the reporter's can route to.
create temp table attributed as
with own as (
    select sums.*, interfaces.vpc_id,
        case when sums.flow_direction is not null then sums.flow_direction when srcaddr = primary_address then 'egress' else 'ingress' end as direction
    from sums join interfaces using (interface_id)
),
sided as (
    select *, case when direction = 'egress' then dstaddr else srcaddr end as far_addr from own
)
select
    sided.*,
    case when direction = 'egress' then sided.interface_id else addresses.interface_id end as src_interface_id,
    case when direction = 'egress' then addresses.interface_id else sided.interface_id end as dst_interface_id
from sided left join addresses
    on addresses.seen_from_vpc = sided.vpc_id and addresses.addr = sided.far_addr
    and addresses.valid_from <= sided.first_start and sided.first_start < addresses.valid_to;

-- One reporter for each pair and direction: the receiver where it is logged, else the sender; what the sender refused always counts.
create temp table reporters as select distinct interface_id from sums;
create temp table chosen as
select *,
    (direction = 'ingress' or action = 'REJECT' or dst_interface_id is null or dst_interface_id not in (select interface_id from reporters)) as counts
from attributed;

-- Client and server: by the handshake, by listeners that other handshakes show, by well-known ports.
create temp table listeners as
select distinct coalesce(src_interface_id, srcaddr) as listener, srcport as port from attributed where answered;
create temp table oriented as
with told as (
    select chosen.*, s.port is not null as src_listens, d.port is not null as dst_listens,
        (srcport between 1 and 1023 or (protocol = 6 and srcport in :tcp_ports) or (protocol = 17 and srcport in :udp_ports)) as src_known,
        (dstport between 1 and 1023 or (protocol = 6 and dstport in :tcp_ports) or (protocol = 17 and dstport in :udp_ports)) as dst_known
    from chosen
    left join listeners s on s.listener = coalesce(src_interface_id, srcaddr) and s.port = srcport
    left join listeners d on d.listener = coalesce(dst_interface_id, dstaddr) and d.port = dstport
)
select *,
    case
        when (opened > 0) <> answered then 'handshake'
        when src_listens <> dst_listens then 'listener'
        when src_known <> dst_known then 'well_known_port'
        else 'unknown'
    end as roles_by,
    case roles_by when 'handshake' then opened > 0 when 'listener' then dst_listens when 'well_known_port' then dst_known else true end as up
from told;

create temp table conversations as
select
    window_start, protocol, action,
    if(up, srcaddr, dstaddr) as client_addr, if(up, src_interface_id, dst_interface_id) as client_interface_id, if(up, src_service, dst_service) as client_service,
    if(up, dstaddr, srcaddr) as server_addr, if(up, dst_interface_id, src_interface_id) as server_interface_id, if(up, dst_service, src_service) as server_service,
    if(up, dstport, srcport) as server_port,
    coalesce(sum(bytes) filter (counts and up), 0)::bigint as uploaded, coalesce(sum(bytes) filter (counts and not up), 0)::bigint as downloaded,
    coalesce(sum(packets) filter (counts and up), 0)::bigint as packets_up, coalesce(sum(packets) filter (counts and not up), 0)::bigint as packets_down,
    coalesce(sum(opened) filter (counts and up), 0)::bigint as connections_opened, coalesce(sum(records) filter (counts), 0)::bigint as records,
    min(first_start) filter (counts) as started_at, max(last_end) filter (counts) as ended_at, max(traffic_path) filter (up) as path, min(roles_by) as roles_by,
    list(distinct interface_id) filter (counts) as reporter, list(distinct interface_id) filter (not counts) as also_reported_by
from oriented
group by all
having bool_or(counts);

-- The same columns as flowlake's, but for those that take route tables.
create temp table published as
select
    to_timestamp(window_start) as window_start, to_timestamp(started_at) as started_at, to_timestamp(ended_at) as ended_at, protocol, server_port, action,
    'direct' as leg, uploaded, downloaded, packets_up, packets_down, connections_opened, records, roles_by, reporter, also_reported_by,
    md5(concat_ws('|', window_start, client_interface_id, client_addr, server_interface_id, server_addr, server_port, protocol, action)) as conversation_id,
    client_addr, c.arn as client_arn, c.name as client_name, coalesce(c.type, if(client_service is null, 'public', 'aws_service')) as client_type,
    client_interface_id, c.subnet_id as client_subnet_id, c.vpc_id as client_vpc_id, c.account_id as client_account_id, c.account_name as client_account_name,
    c.security_group_ids as client_security_group_ids, c.availability_zone as client_availability_zone, c.az_id as client_az_id, c.region as client_region,
    not is_public(client_addr) as client_rfc1918, client_service as client_aws_service, c.owner as client_owner, c.app as client_app, c.tags as client_tags,
    server_addr, s.arn as server_arn, s.name as server_name, coalesce(s.type, if(server_service is null, 'public', 'aws_service')) as server_type,
    server_interface_id, s.subnet_id as server_subnet_id, s.vpc_id as server_vpc_id, s.account_id as server_account_id, s.account_name as server_account_name,
    s.security_group_ids as server_security_group_ids, s.availability_zone as server_availability_zone, s.az_id as server_az_id, s.region as server_region,
    not is_public(server_addr) as server_rfc1918, server_service as server_aws_service, s.owner as server_owner, s.app as server_app, s.tags as server_tags,
    path, c.az_id <> s.az_id as cross_az, c.region <> s.region as cross_region
from conversations
left join interfaces c on c.interface_id = client_interface_id
left join interfaces s on s.interface_id = server_interface_id;

copy (from published order by client_account_id, window_start) to ':out/conversations.parquet' (format parquet, compression zstd);

-- The audit, on what was written.
create temp table audit as
select
    count(*) as rows,
    count(*) filter (window_start is null or started_at is null or ended_at is null or protocol is null or action is null or uploaded is null or downloaded is null
        or conversation_id is null or reporter is null) as nulls,
    count(*) filter (action not in ('ACCEPT', 'REJECT') or leg not in ('direct', 'nat_inside', 'nat_outside', 'hop')
        or roles_by not in ('inventory', 'handshake', 'listener', 'well_known_port', 'unknown')) as strange_words,
    count(*) filter (uploaded < 0 or downloaded < 0 or packets_up < 0 or packets_down < 0 or server_port not between 0 and 65535 or protocol not between 0 and 255) as out_of_range,
    count(*) filter (ended_at < started_at or epoch(window_start) < :hour_starts or epoch(window_start) >= :hour_starts + 3600) as out_of_time,
    count(*) - count(distinct conversation_id) as repeated,
    (select sum(bytes) from sums) as raw_bytes, sum(uploaded + downloaded) as published_bytes, (select sum(bytes) from chosen where not counts) as other_reporter_bytes
from read_parquet(':out/conversations.parquet');
