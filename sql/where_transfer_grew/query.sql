-- Where did transfer grow? One row per owner: bytes of the first half of the days and of the second, and the growth.
with flows as (
    select coalesce(client_owner, '(unknown)') as owner, dt >= ? as later, uploaded + downloaded as bytes
    from conversations
    where dt between ? and ? and leg in ('direct', 'nat_inside') and action = 'ACCEPT'
),
halves as (
    select owner, sum(case when later then 0 else bytes end) as bytes_before, sum(case when later then bytes else 0 end) as bytes_after
    from flows
    group by owner
)
select owner, bytes_before, bytes_after, cast(bytes_after as double) / nullif(bytes_before, 0) - 1 as growth
from halves
order by bytes_after - bytes_before desc, owner
limit 10
