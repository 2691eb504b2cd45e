"""Tags of published ends against the tags that what they serve truly had at the time.

right: the tags at some moment of the row's span (and the clock's slack around it). late: tags that the thing had earlier; how late is the
time since they ceased to hold. unknown: null. wrong: all else.
"""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.truth import Truth

_TEXT = "list_aggregate(list_transform(list_sort(map_keys({m})), lambda k: k || '=' || {m}[k]), 'string_agg', chr(31))"

TAGS = f"""
with shown as (
    select client_interface_id as interface_id, client_tags is null as untold, coalesce({_TEXT.format(m="client_tags")}, '') as tags,
        epoch_ms(started_at) as starts, epoch_ms(ended_at) as ends, uploaded + downloaded as bytes
    from published where client_interface_id is not null and leg in ('direct', 'nat_inside')
    union all
    select server_interface_id, server_tags is null, coalesce({_TEXT.format(m="server_tags")}, ''),
        epoch_ms(started_at), epoch_ms(ended_at), uploaded + downloaded
    from published where server_interface_id is not null and leg in ('direct', 'nat_inside')
), grouped as (select interface_id, untold, tags, starts, ends, sum(bytes) as bytes from shown group by all),
judged as (
    select g.*,
        exists (select 1 from interface_tags t where t.interface_id = g.interface_id and t.tags = g.tags
            and t.since <= g.ends + 60000 and t.until >= g.starts - 60000) as now,
        (select max(t.until) from interface_tags t where t.interface_id = g.interface_id and t.tags = g.tags and t.until < g.starts) as ceased
    from grouped g where interface_id in (select interface_id from interface_tags)
)
select sum(case when now then bytes else 0 end)::bigint as "right",
    sum(case when not now and untold then bytes else 0 end)::bigint as "unknown",
    sum(case when not now and not untold and ceased is not null then bytes else 0 end)::bigint as late,
    sum(case when not now and not untold and ceased is null then bytes else 0 end)::bigint as wrong,
    max(case when not now and not untold then starts - ceased end) // 1000 as latest_seconds
from judged
"""


def compare(truth: Truth) -> dict[str, Any]:
    """Bytes at ends with an interface, by how right their tags are; and how late the latest are."""
    from benchmarks.accuracy.judge import rows

    return rows(truth, TAGS)[0]
