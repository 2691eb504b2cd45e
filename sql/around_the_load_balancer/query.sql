-- Who talks to a load balancer's targets directly, and not through it? One row per client and application behind the balancer. Targets are servers that a load balancer talked to on that port.
with flows as (
    select
        client_interface_id, client_name, client_app, client_type, server_interface_id, server_name, server_app, server_type, server_port,
        uploaded + downloaded as bytes
    from conversations
    where dt between ? and ? and leg = 'direct' and action = 'ACCEPT' and server_interface_id is not null
        and client_interface_id is not null
),
targets as (
    select distinct server_interface_id as interface_id, server_port as port
    from flows
    where client_type in ('elbv2:application', 'elbv2:network', 'elb:classic') and server_type not in ('elbv2:application', 'elbv2:network')
)
select f.client_name, f.client_app, f.client_type, f.server_name, f.server_app, f.server_port, sum(f.bytes) as bytes
from flows f
join targets t on t.interface_id = f.server_interface_id and t.port = f.server_port
where f.client_type not in ('elbv2:application', 'elbv2:network', 'elb:classic')
group by f.client_name, f.client_app, f.client_type, f.server_name, f.server_app, f.server_port
order by bytes desc, f.client_name
limit 10
