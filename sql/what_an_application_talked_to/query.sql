-- What did an application talk to? One row per server, port and protocol, most bytes first.
with flows as (
    select
        coalesce(server_name, server_network_name, server_aws_service, case when server_type = 'public' then 'public internet' else server_addr end) as server,
        server_type, server_port, protocol, action, uploaded + downloaded as bytes, dt
    from conversations
    where dt between ? and ? and client_app = ? and leg in ('direct', 'nat_inside')
)
select server, server_type, server_port, protocol, action, sum(bytes) as bytes, min(dt) as first_day, max(dt) as last_day
from flows
group by server, server_type, server_port, protocol, action
order by bytes desc, server, server_port
limit 15
