"""Bytes counted against bytes held: of each true pair of ends and direction, in one hour.

A direction is from source to destination: what one of them sent the other as a client and what it answered as a server are one, as the
design chooses one reporter for all of it.

A reporter is complete for a pair in an hour if of each connection of the pair that anyone recorded in the hour it holds every packet
(over all hours, in records that can be read), or some and lost nothing in this hour: no SKIPDATA around it, no record that can't be read.
Where a pair has a complete reporter, what is published of the pair on the legs that count must be the bytes of exactly one
complete reporter's records of that hour: less is missing, more is doubled. Clocks and aggregation intervals differ, so two complete
reporters agree over all hours and not within each: one may have its records of a short connection in the next hour.

A gateway or hop whose format lacks pkt-* shows itself in place of one of the ends: where an end has a flow log of its own, it is no reporter
of the pair, and what it alone holds is listed with the pairs that have no complete one.

A connection of which an end could not be named is a pair of its own to the job, which may take it from another reporter than the rest: of
a pair with such bytes the sum alone must be that of a complete reporter.

What the sender refused never left: only the sender can hold it, and it is a pair of its own here.
"""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.truth import Truth
from flowlake.lake.hours import Hour

_PAIR = "source, destination, refused_at_client"

# What was published of each true pair, by the reporter whose records were counted. Where a cell's records are of several pairs, those
# that its rows name come first, then one whose bytes are just those of the rows that do not name both ends.
PUBLISHED = f"""
create or replace temp table published_pair as
with claims as (select distinct cell, src_claim as src_holder, dst_claim as dst_holder, true as named from in_cell where counted),
unnamed as (
    select cell, sum(bytes) as unnamed from in_cell where counted and (src_claim is null or dst_claim is null) group by all
),
truth as (
    select cell, reporter, {_PAIR}, coalesce(named, false) as named, sum(bytes) as bytes
    from true_cell left join claims using (cell, src_holder, dst_holder) group by all
), laid as (
    select t.*, c.counted_bytes, coalesce(sum(t.bytes) over (
        partition by cell order by named desc, (t.bytes = coalesce(unnamed, 0)) desc, {_PAIR}, reporter
        rows between unbounded preceding and 1 preceding
    ), 0) as before
    from truth t join cell c using (cell) left join unnamed using (cell) where c.counted_bytes > 0
)
select {_PAIR}, reporter, sum(published)::bigint as published, coalesce(bool_or(not named) filter (published > 0), false) as unnamed
from (select *, greatest(least(bytes, counted_bytes - before), 0) as published from laid) group by all
"""

HELD = f"""
create or replace temp table held_pair as
select {_PAIR}, reporter, sum(bytes)::bigint as held from (
    select {_PAIR}, reporter, accepted, max(bytes) as bytes from (
        select {_PAIR}, reporter, accepted, flow_log, sum(bytes) as bytes
        from {{record}} where point <> 'nat_outside' group by all
    ) group by all
) group by all
"""

COMPLETE = f"""
create or replace temp table complete_pair as
with links as (
    select distinct {_PAIR}, connection, up from {{record}} where point <> 'nat_outside'
), wanted as (select {_PAIR}, count(*) as links from links group by all),
had as (
    select {_PAIR}, h.reporter, count(*) as links
    from links l join holds h on h.connection = l.connection and h.up = l.up left join lossy o on o.reporter = h.reporter
    where h.whole or o.reporter is null group by all
), hides as (select distinct {_PAIR}, reporter from {{record}} where hides_an_end and end_is_logged)
select {_PAIR}, reporter from had join wanted using ({_PAIR}, links) anti join hides using ({_PAIR}, reporter);
-- One that lost records, but holds in this hour no less of the pair, is as good.
insert into complete_pair
with least as (select {_PAIR}, min(held) as held from complete_pair join held_pair using ({_PAIR}, reporter) group by all)
select {_PAIR}, h.reporter from held_pair h join least l using ({_PAIR})
anti join complete_pair using ({_PAIR}, reporter) where h.held >= l.held
"""

COMPARE = f"""
with by_reporter as (
    select {_PAIR}, reporter, coalesce(held, 0) as held, coalesce(published, 0) as published, c.reporter is not null as complete,
        coalesce(unnamed, false) as unnamed
    from held_pair full join complete_pair c using ({_PAIR}, reporter) left join published_pair using ({_PAIR}, reporter)
), by_pair as (select {_PAIR}, bool_or(complete) as has_complete, sum(published) as published, max(held) as most,
    bool_or(unnamed) as unnamed from by_reporter group by all),
nearest as (
    select {_PAIR}, arg_min(r.held, (off, -r.held)) as held, min(off) as off from (
        select r.*, abs(p.published - r.held) + p.published - r.published as off
        from by_reporter r join by_pair p using ({_PAIR}) where r.complete
    ) r group by all
)
select count(*) filter (has_complete) as pairs, count(*) filter (off > 0 and not (unnamed and published = held)) as inexact_pairs,
    sum(held)::bigint as held, sum(published) filter (has_complete)::bigint as published,
    sum(greatest(held - published, 0))::bigint as missing, sum(greatest(published - held, 0))::bigint as doubled,
    sum(off)::bigint as off,
    sum(most) filter (not has_complete)::bigint as lossy_held, sum(published) filter (not has_complete)::bigint as lossy_published
from by_pair left join nearest using ({_PAIR})
"""

# Bytes of cells beyond all the truth's records of the same reporter, window and addresses: nobody recorded them.
INVENTED = """
with truth as (select cell, sum(bytes) as bytes from true_cell group by all)
select coalesce(sum(greatest(c.bytes - coalesce(t.bytes, 0), 0)), 0)::bigint as invented from cell c left join truth t using (cell)
"""


def compare(truth: Truth, hour: Hour) -> dict[str, Any]:
    """Bytes held by complete reporters, and published; missing, doubled and invented; and those of pairs without a complete one (lossy)."""
    from benchmarks.accuracy.judge import rows

    truth.db.execute(PUBLISHED)
    record = truth.record(hour)
    truth.db.execute(HELD.format(record=record))
    truth.db.execute(COMPLETE.format(record=record))
    return rows(truth, COMPARE)[0] | rows(truth, INVENTED)[0]
