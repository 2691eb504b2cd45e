"""Which flow logs the estate has: one for each VPC, and what real estates have beside that.

Formats go round the accounts. Some VPCs have none (their traffic is seen at the other end only), one has a subnet flow
log beside the VPC's, one an ACCEPT-only and a REJECT-only log, and a shared subnet is logged by both accounts.
"""

from __future__ import annotations

from flowlake.lake.contracts import lake_data
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Account, FlowLog, Vpc

_V2 = [f["name"] for f in lake_data("flow_log_fields.json")["vpc"] if f["since"] == 2]
_V5 = [f["name"] for f in lake_data("flow_log_fields.json")["vpc"] if f["since"] <= 5]
_NEW = [
    "interface_type", "resource_id", "reject_reason", "encryption_status", "next_hop_interface_id",
    "next_hop_subnet_id", "next_hop_az_id", "next_hop_vpc_id", "next_hop_interface_type", "instance_tag",
    "instance_tag_2", "interface_tag", "asg_tag",
]  # fmt: skip

FORMATS: dict[str, list[str]] = {
    "v2": _V2,
    "v5": _V5,
    "v11": [name for name in _V5 if not name.startswith("sublocation")] + _NEW,
    # The documentation's own example of a custom format: alphabetical, as the console writes it.
    "v5-console": sorted(_V5, key=lambda name: name.replace("_", "-")),
}
NAMES = ("v2", "v5", "v11", "parquet")


def versions(fields: list[str]) -> int:
    """The version that records of this format carry: the highest among the chosen fields."""
    since = {f["name"]: f["since"] for f in lake_data("flow_log_fields.json")["vpc"]}
    return max(since[name] for name in fields)


def build(estate: Estate, formats: tuple[str, ...]) -> None:
    """Adds flow logs. formats go round the accounts: v2, v5, v11, v5-console, and parquet (v5 in Parquet)."""
    for vpc in estate.vpcs:
        index = vpc.account.index
        format_ = formats[index % len(formats)]
        legacy = vpc.name.endswith("-legacy")
        if legacy and index % 2 == 1:
            continue  # not logged: its ends are known from the other end's records only
        interval = 600 if format_ == "v2" or legacy else 60
        if index % 4 == 3:
            add(estate, vpc, vpc.id, vpc.account, format_, "ACCEPT", interval)
            add(estate, vpc, vpc.id, vpc.account, format_, "REJECT", interval)
        else:
            add(estate, vpc, vpc.id, vpc.account, format_, "ALL", interval)
        if legacy:
            continue
        if index == 1:
            data = next(s for s in vpc.subnets if s.tier == "data")
            add(estate, vpc, data.id, vpc.account, "v5-console", "ALL", 600)
        for subnet in vpc.subnets:
            if subnet.shared_with:
                add(estate, vpc, subnet.id, subnet.shared_with, "v5", "ALL", 60)


def add(estate: Estate, vpc: Vpc, resource: str, account: Account, format_: str, traffic: str, seconds: int) -> FlowLog:
    file_format = "parquet" if format_ == "parquet" else "plain-text"
    log = FlowLog(
        len(estate.flow_logs),
        estate.ids.new("fl"),
        account,
        vpc.region,
        resource,
        "v5" if format_ == "parquet" else format_,
        file_format,
        traffic,
        seconds,
        name_by_end=len(estate.flow_logs) % 2 == 1,
    )
    estate.flow_logs.append(log)
    estate.add_thing("flow_log", log.id, account, vpc.region, log=log)
    return log
