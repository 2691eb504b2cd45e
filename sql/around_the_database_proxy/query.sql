-- Which function goes to a database without its proxy? One row per client and database. Databases that have a proxy are those that a proxy talked to.
with flows as (
    select
        client_interface_id, client_name, client_type, client_account_id, server_interface_id, server_name, server_type, server_port,
        uploaded + downloaded as bytes
    from conversations
    where dt between ? and ? and leg = 'direct' and action = 'ACCEPT' and server_interface_id is not null
),
behind_a_proxy as (
    select distinct server_interface_id as interface_id, server_port as port
    from flows
    where client_type = 'rds:proxy' and server_type in ('rds:instance', 'rds:cluster')
)
select f.client_name, f.client_type, f.server_name, f.server_port, sum(f.bytes) as bytes
from flows f
join behind_a_proxy b on b.interface_id = f.server_interface_id and b.port = f.server_port
where f.client_type = 'lambda:function'
group by f.client_name, f.client_type, f.server_name, f.server_port
order by bytes desc, f.client_name
limit 10
