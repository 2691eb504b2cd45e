"""Traffic between applications, VPCs and the data centre, what is refused, and who changes hands."""

from __future__ import annotations

from typing import Any

from flowlake.sandbox import parts
from flowlake.sandbox.app import HTTP, OBJECT, PAGE, PING, QUERY, ROWS, SMALL, App
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Size, TagChange
from flowlake.sandbox.organisation import legacy_vpc


def legacy(estate: Estate) -> None:
    """Every legacy VPC has the same range, and the same addresses are held in several at one time."""
    for account in estate.accounts:
        for vpc in [v for v in estate.vpcs if v.account is account and v.name.endswith("-legacy")]:
            app = App(90, f"ledger-{account.index}", account.team, "legacy", vpc, estate)
            group = parts.security_group(app, "ledger", [1433, 445])
            app.part("ledger")
            for number in range(3):
                subnet = vpc.subnets[number % len(vpc.subnets)]
                estate.join(
                    app.groups["ledger"],
                    parts.add_instance(app, subnet, "ledger", (group,), 0, instance_type="t2.medium"),
                )
            estate.talk("copy", app.groups["ledger"], app.groups["ledger"], 445, 0.8, up=OBJECT, down=SMALL, seconds=60)
            if vpc.vpn_gateway:
                estate.talk("home", app.groups["ledger"], "on-premises", 1521, 0.8, up=QUERY, down=ROWS, seconds=40)


def shared(estate: Estate) -> None:
    """Account 1 has instances in the subnet that account 0 shares with it."""
    for subnet in [s for s in estate.subnets if s.shared_with]:
        account = subnet.shared_with
        assert account
        app = App(91, "guest", account.team, "shared", subnet.vpc, estate)
        group = estate.add_security_group(subnet.vpc, "guest", account=account, ports=[8080])
        app.part("guest")
        for _ in range(2):
            instance = estate.ids.new("i")
            interface = estate.add_interface(
                subnet, "ec2:instance", "guest", account=account, instance_id=instance, groups=(group,),
                arns=[f"arn:aws:ec2:{subnet.vpc.region}:{account.id}:instance/{instance}"],
                attachment_id=estate.ids.new("eni-attach"), attachment_owner=account.id,
            )  # fmt: skip
            estate.add_thing(
                "instance", instance, account, subnet.vpc.region, interface=interface, instance_type="m6i.large",
                asg=None,
                tags={"owner": account.team, "app": "guest", "Name": "guest"},
            )  # fmt: skip
            estate.join(app.groups["guest"], interface)
        endpoint = f"{subnet.vpc.index}/endpoint/sqs"
        estate.talk("queue", app.groups["guest"], endpoint, 443, 1, up=HTTP, down=SMALL, seconds=3)
        estate.talk("peers", app.groups["guest"], app.groups["guest"], 8080, 1, up=HTTP, down=PAGE, seconds=30)


def between(estate: Estate, apps: list[App]) -> None:
    """Traffic between applications and VPCs: over the transit gateway, peerings, and from the data centre."""
    chance = estate.random("between")
    door: str
    doors = {"alb": 443, "nlb": 8443, "pod": 8080, "web": 8080}
    for app in apps:
        caller = next((app.groups[p] for p in ("web", "task", "fn", "batch", "pod") if p in app.groups), None)
        if caller is None:
            continue
        same_region = [a for a in apps if a is not app and a.vpc.region == app.vpc.region]
        others = [(a, d) for a in same_region for d in ("alb", "nlb") if d in a.groups]
        for callee, door in chance.sample(others, min(2, len(others))):
            if door == "alb" and callee.number % 2 == 0:
                continue  # internet-facing: callers inside use internal ones
            estate.talk("call", caller, callee.groups[door], doors[door], 2, up=HTTP, down=ROWS, seconds=12)
    for vpc in [v for v in estate.vpcs if v.name.endswith("-main")]:
        local = [a for a in apps if a.vpc is vpc]
        web = next((a for a in local if "web" in a.groups), None)
        batch = next((a for a in local if "batch" in a.groups), None)
        ledger = f"{legacy_vpc(estate, vpc.account, vpc.region).index}/ledger-{vpc.account.index}/ledger"
        parts = (web or batch or local[0]).groups
        source = next(parts[p] for p in ("web", "batch", "task", "pod", "fn") if p in parts)
        estate.talk("ledger", source, ledger, 1433, 1.5, up=QUERY, down=ROWS, seconds=25)
        if batch:
            estate.talk("home", batch.groups["batch"], "on-premises", 1521, 1.5, up=QUERY, down=ROWS, seconds=60)
        if web:
            inside = next((a for a in local if "nlb" in a.groups or ("alb" in a.groups and a.number % 2)), None)
            if inside:
                door = "nlb" if "nlb" in inside.groups else "alb"
                offices = inside.groups[door]
                estate.talk("branch-office", "on-premises", offices, doors[door], 1, up=HTTP, down=PAGE, seconds=30)
            estate.talk("ping", "on-premises", web.groups["web"], 0, 0.2, up=PING, down=PING, seconds=20, protocol=1)
        _refused(estate, local)
        if vpc.peerings:
            for other in [estate.vpcs[i] for i in vpc.peerings if estate.vpcs[i].region > vpc.region]:
                far = next(
                    (
                        a
                        for a in apps
                        if a.vpc is other and ("alb" in a.groups or "nlb" in a.groups or "pod" in a.groups)
                    ),
                    None,
                )
                if far:
                    door = next(d for d in ("nlb", "pod", "alb") if d in far.groups)
                    estate.talk("replica", source, far.groups[door], doors[door], 1, up=OBJECT, down=SMALL, seconds=200)


def change_tags(estate: Estate) -> None:
    """In every main VPC an instance changes hands in the middle of the first stretch."""
    start, end = estate.sizes.spans[0]
    for number, vpc in enumerate(v for v in estate.vpcs if v.name.endswith("-main")):
        instances = estate.things_of("instance", vpc.account, vpc.region)
        lasting = [t for t in instances if t.created == 0 and t.attributes["interface"].subnet.vpc is vpc]
        if lasting:
            thing, moment = lasting[0], (start + end) // 2 + number * 61_000
            after = dict(thing.tags, owner="Research", app=f"{thing.tags['app']}-v2")
            estate.tag_changes.append(TagChange(moment, thing.id, vpc.account, vpc.region, dict(thing.tags), after))


def _refused(estate: Estate, local: list[App]) -> None:
    """What security groups and network ACLs refuse, at the receiver's end and at the sender's."""
    database = next((a for a in local if "db" in a.groups), None)
    stranger = next((a for a in local if ("pod" in a.groups or "batch" in a.groups or "task" in a.groups)), None)
    if stranger is None:
        return
    caller = next(stranger.groups[part] for part in ("pod", "batch", "task") if part in stranger.groups)
    nothing: dict[str, Any] = {"up": Size(44, 0.0), "down": Size(0, 0.0), "seconds": 1.0}
    if database:
        estate.talk("blocked", caller, database.groups["db"], 22, 0.3, verdict="refused_by_server", **nothing)
    estate.talk("mail", caller, "internet/sites", 25, 0.3, verdict="refused_by_client", **nothing)
