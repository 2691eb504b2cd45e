"""What others would have said of the same ends: the naive join with the latest snapshot, and an inventory of events only.

Both are asked for the ends that records know by address only and that an interface truly holds, on the legs that count.

latest_snapshot   the last sweep that was over when the job ran, joined on the address: in the reporter's own VPC if it is there, else anywhere
events_only       one first sweep, then what each event said at its time, until an event says otherwise; looked up at the record's start
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from benchmarks.accuracy.truth import Truth

# Far ends: one row a reporter's VPC, address, true holder and start.
FAR = """
create or replace temp table far as
with ends as (
    select m.cell, m.vpc_id, m.reporter, m.accepted, m.flow_log, m.start, m.src_addr as address, m.src_holder as holder, m.bytes
    from matched m where src_addr <> '' and roles_right
    union all
    select m.cell, m.vpc_id, m.reporter, m.accepted, m.flow_log, m.start, m.dst_addr, m.dst_holder, m.bytes
    from matched m where dst_addr <> '' and roles_right
), logged as (
    select cell, vpc_id, reporter, accepted, start, address, holder, flow_log, sum(bytes) as bytes
    from ends where holder like 'eni-%' group by all
), once as (select * exclude (flow_log, bytes), max(bytes) as bytes from logged group by all)
select vpc_id, address, holder, start, sum(o.bytes)::bigint as bytes
from once o join cell c using (cell) where c.counted_bytes > 0 group by all
"""

_SUMS = """
select sum(case when said = holder then bytes else 0 end)::bigint as "right",
    sum(case when said is null then bytes else 0 end)::bigint as unattributed,
    sum(case when said <> holder then bytes else 0 end)::bigint as wrong
"""

SNAPSHOT = f"""
with here as (select vpc_id, address, min(interface_id) as said from snapshot group by all),
anywhere as (select address, min(interface_id) as said from snapshot group by all),
named as (
    select f.*, coalesce(h.said, a.said) as said from far f left join here h using (vpc_id, address) left join anywhere a using (address)
)
{_SUMS} from named
"""

EVENTS = f"""
with changes as (select address, vpc_id, since, coalesce(interface_id, '') as said from events),
here as (
    select f.*, c.said from far f asof left join changes c
    on f.vpc_id = c.vpc_id and f.address = c.address and c.since <= f.start * 1000
), elsewhere as (
    select h.* exclude (said), coalesce(h.said, c.said) as said from here h asof left join changes c
    on h.address = c.address and c.since <= h.start * 1000
), named as (select * replace (nullif(said, '') as said) from elsewhere)
{_SUMS} from named
"""


def latest_snapshot(truth: Truth, snapshot: pa.Table) -> dict[str, Any]:
    from benchmarks.accuracy.judge import rows

    truth.db.execute(FAR)
    truth.db.register("snapshot", snapshot)
    return rows(truth, SNAPSHOT)[0]


def events_only(truth: Truth, events: pa.Table) -> dict[str, Any]:
    """After latest_snapshot, which lays out the far ends."""
    from benchmarks.accuracy.judge import rows

    truth.db.register("events", events)
    return rows(truth, EVENTS)[0]
