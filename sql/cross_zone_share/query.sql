-- How much of the traffic crosses zones, and whose is it? One row per application of the client, most cross-zone bytes first.
with flows as (
    select client_app as app, cross_az, uploaded + downloaded as bytes
    from conversations
    where dt between ? and ? and leg in ('direct', 'nat_inside') and action = 'ACCEPT' and cross_az is not null
)
select
    coalesce(app, '(unknown)') as app,
    sum(case when cross_az then bytes else 0 end) as cross_zone_bytes,
    sum(bytes) as bytes,
    cast(sum(case when cross_az then bytes else 0 end) as double) / sum(bytes) as share
from flows
group by app
order by cross_zone_bytes desc, app
limit 10
