"""What published rows say of a named interface beside its id, against what is true of it: where it lies, and what it serves.

places      account, VPC, subnet, zone id and region
resources   kind, ARNs and name. The name is its own or any that its Name tag gave it; of several things that share an interface, theirs.

An end is unknown where a column is null (or names no ARN of what has one), and wrong where any of them is another's. Of an interface that nobody has, its id is wrong already.
"""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.truth import Truth

PLACE = ("account_id", "vpc_id", "subnet_id", "az_id", "region")
RESOURCE = ("type", "arns", "name")

DESCRIBED = f"""
create or replace temp table described as
with said as (
    select client_interface_id as interface_id, {", ".join(f"client_{n} as said_{n}" for n in PLACE + RESOURCE)},
        uploaded + downloaded as bytes
    from published where client_interface_id is not null
    union all
    select server_interface_id, {", ".join(f"server_{n}" for n in PLACE + RESOURCE)}, uploaded + downloaded
    from published where server_interface_id is not null
), grouped as (select * replace (list_sort(said_arns) as said_arns, sum(bytes) as bytes) from said group by all)
select g.*, i.* exclude (interface_id, arns), list_sort(i.arns) as arns,
        list_has_all(i.names, string_split(said_name, ', ')) or exists (
            select 1 from interface_tags t where t.interface_id = g.interface_id
                and list_contains(string_split(t.tags, chr(31)), 'Name=' || said_name)
        ) as named
from grouped g join interface i using (interface_id)
"""


def _sums(unknown: str, wrong: str) -> str:
    return f"""
    select sum(case when {wrong} then bytes else 0 end)::bigint as wrong,
        sum(case when not ({wrong}) and ({unknown}) then bytes else 0 end)::bigint as "unknown",
        sum(case when not ({wrong}) and not ({unknown}) then bytes else 0 end)::bigint as "right"
    from described
    """


def _any_null(names: tuple[str, ...]) -> str:
    return " or ".join(f"said_{name} is null" for name in names)


def _any_other(names: tuple[str, ...]) -> str:
    return " or ".join(f"coalesce(said_{name} <> {name}, false)" for name in names)


_NO_ARN, _OTHER_ARN = (
    "coalesce(said_arns = [] and arns <> [], false)",
    "coalesce(said_arns <> [] and said_arns <> arns, false)",
)
PLACES = _sums(_any_null(PLACE), _any_other(PLACE))
RESOURCES = _sums(
    f"{_any_null(RESOURCE)} or {_NO_ARN}", f"{_any_other(('type',))} or {_OTHER_ARN} or not coalesce(named, true)"
)


def compare(truth: Truth) -> dict[str, dict[str, Any]]:
    """Bytes at ends with an interface, on all legs, by how right its place and its resource are."""
    from benchmarks.accuracy.judge import rows

    truth.db.execute(DESCRIBED)
    return {"places": rows(truth, PLACES)[0], "resources": rows(truth, RESOURCES)[0]}
