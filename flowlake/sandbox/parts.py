"""Parts that applications are made of: load balancers, instances, databases, caches, … each adds its interfaces, the
thing that they serve, and a group of endpoints to the application."""

from __future__ import annotations

from collections.abc import Callable

from flowlake.sandbox.app import SMALL, App
from flowlake.sandbox.model import FOREVER, Interface, Life, Subnet
from flowlake.sandbox.organisation import subnets


def load_balancer(app: App, sort: str, ports: list[int], tier: str, part: str) -> str:
    """An application or network load balancer with an interface in each of up to three zones."""
    estate, short = app.estate, {"application": "app", "network": "net"}[sort]
    name = f"{app.name}-{short}"
    hash_ = estate.ids.digest("lb", 16)
    arn = app.arn("elasticloadbalancing", f"loadbalancer/{short}/{name}/{hash_}")
    group = estate.add_security_group(app.vpc, f"{name}-lb", ports=ports)
    interfaces = []
    for subnet in subnets(app.vpc, tier):
        interface = estate.add_interface(
            subnet, f"elbv2:{sort}", name, arns=[arn], description=f"ELB {short}/{name}/{hash_}",
            interface_type="network_load_balancer" if sort == "network" else "interface",
            requester_id="amazon-elb", requester_managed=True, attachment_owner="amazon-elb",
            attachment_id=estate.ids.new("ela-attach"), groups=(group,), public=tier == "public",
        )  # fmt: skip
        interfaces.append(interface)
        estate.join(app.part(part), interface)
    estate.add_thing(
        "load_balancer", arn, app.vpc.account, app.vpc.region, name=name, vpc=app.vpc, lb_type=sort, ports=ports,
        scheme="internet-facing" if tier == "public" else "internal", subnets=subnets(app.vpc, tier), groups=[group],
        tags=app.tags("load-balancer"),
    )  # fmt: skip
    return arn


def security_group(app: App, role: str, ports: list[int]) -> str:
    return app.estate.add_security_group(app.vpc, f"{app.name}-{role}", ports=ports, tags={"owner": app.team})


def add_instance(
    app: App, subnet: Subnet, role: str, groups: tuple[str, ...], at: int, *, instance_type: str = "m6i.large",
    asg: str | None = None, **columns: object,
) -> Interface:  # fmt: skip
    estate = app.estate
    instance = estate.ids.new("i")
    arn = f"arn:aws:ec2:{app.vpc.region}:{app.account_id}:instance/{instance}"
    tags = app.tags(role, f"{app.name}-{role}")
    if asg:
        tags["aws:autoscaling:groupName"] = asg
    interface = estate.add_interface(
        subnet, "ec2:instance", tags["Name"], at=at, arns=[arn], instance_id=instance, groups=groups,
        attachment_id=estate.ids.new("eni-attach"), attachment_owner=app.account_id,
        nitro=not instance_type.startswith("t2"),
        tags={"owner": app.team} if estate.ids.digest("eni-tagged", 1) in "01234567" else {}, **columns,  # type: ignore[arg-type]
    )  # fmt: skip
    thing = estate.add_thing(
        "instance", instance, app.vpc.account, app.vpc.region, interface=interface, instance_type=instance_type,
        asg=asg, tags=tags, created=at,
    )  # fmt: skip
    app.instances.append(interface)
    estate.served[interface.index] = thing
    return interface


def churn(
    app: App, part: str, slots: int, mean_minutes: float, start: Callable[[int, int], Interface],
    gap: tuple[int, int] = (2_000, 9_000), slots_start: int = 0,
) -> None:  # fmt: skip
    """Slots held by one interface after another; the next starts seconds after the last one ended.

    IPv6 addresses are a group of their own, named after the part with a 6.
    """
    estate, group = app.estate, app.groups[part]
    chance = estate.random(f"churn/{group}")
    members = estate.group(group)
    members.slots = max(members.slots, slots_start + slots)

    def come(slot: int) -> Callable[[int], None]:
        def act(moment: int) -> None:
            interface = start(slot, moment)
            lives = [estate.join(group, interface, slot=slot)]
            if interface.address6:
                lives.append(estate.join(app.part(f"{part}6"), interface, slot=slot, address=interface.address6))
            stays = mean_minutes * 60_000 * (0.35 + chance.expovariate(1 / 0.65))
            ends = estate.after(
                max(moment, estate.sizes.starts), stays * (chance.random() if moment < estate.sizes.starts else 1)
            )
            if ends < FOREVER:
                estate.at(ends, go(slot, interface, lives))

        return act

    def go(slot: int, interface: Interface, lives: list[Life]) -> Callable[[int], None]:
        def act(moment: int) -> None:
            estate.end_interface(interface, moment)
            if interface.index in estate.served:
                estate.served[interface.index].deleted = moment
            for life in lives:
                life.until = moment
            next_ = estate.after(moment, chance.randint(*gap))
            if next_ < FOREVER:
                estate.at(next_, come(slot))

        return act

    for slot in range(slots_start, slots_start + slots):
        age = int(mean_minutes * 60_000 * chance.random()) + 1_000
        estate.at(estate.sizes.starts - age, come(slot))


def autoscaled(app: App, part: str, slots: int, groups: tuple[str, ...], tier: str, mean_minutes: float) -> None:
    app.part(part)
    gossip = app.part(f"{part}6")
    estate = app.estate
    zones = subnets(app.vpc, tier)
    asg = f"{app.name}-asg"
    churn(
        app, part, slots, mean_minutes,
        lambda slot, at: add_instance(app, zones[slot % len(zones)], part, groups, at, asg=asg, with_ipv6=True,
                                   description="" if slot % 2 else "Primary network interface"),
    )  # fmt: skip
    estate.talk("gossip", gossip, gossip, 7946, 0.8, up=SMALL, down=SMALL, seconds=1, protocol=17)


def database(app: App, engine: str = "postgres", port: int = 5432, proxied: bool = True) -> None:
    """A database instance (its interface does not name it), and a proxy before it."""
    estate, vpc = app.estate, app.vpc
    data = subnets(vpc, "data")
    arn = app.arn("rds", f"db:{app.name}-db")
    group = security_group(app, "db", [port])
    interface = estate.add_interface(
        data[0], "rds:instance", f"{app.name}-db", arns=[arn], description="RDSNetworkInterface",
        requester_id="amazon-rds", requester_managed=True, attachment_owner="amazon-rds",
        attachment_id=estate.ids.new("eni-attach"), groups=(group,),
    )  # fmt: skip
    estate.join(app.part("db"), interface)
    estate.add_thing(
        "db_instance", arn, vpc.account, vpc.region, name=f"{app.name}-db", vpc=vpc, engine=engine, port=port,
        subnets=data, groups=[group], interface=interface, tags=app.tags("database"),
    )  # fmt: skip
    if not proxied:
        return
    proxy = app.arn("rds", f"db-proxy:prx-{estate.ids.digest('proxy')}")
    proxy_group = security_group(app, "db-proxy", [port])
    for subnet in data[:2]:
        interface = estate.add_interface(
            subnet, "rds:proxy", f"{app.name}-proxy", arns=[proxy], requester_id="amazon-rds", requester_managed=True,
            description=f"Network interface for DBProxy {app.name}-proxy", attachment_owner="amazon-rds",
            attachment_id=estate.ids.new("eni-attach"), groups=(proxy_group,),
        )  # fmt: skip
        estate.join(app.part("proxy"), interface)
    estate.add_thing(
        "db_proxy", proxy, vpc.account, vpc.region, name=f"{app.name}-proxy", vpc=vpc, engine=engine, port=port,
        subnets=data[:2], groups=[proxy_group], targets=[f"{app.name}-db"], tags=app.tags("database-proxy"),
    )  # fmt: skip


def cache(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    group = security_group(app, "cache", [6379])
    for number, subnet in enumerate(subnets(vpc, "data")[:2], start=1):
        name = f"{app.name}-00{number}"
        arn = app.arn("elasticache", f"cluster:{name}")
        interface = estate.add_interface(
            subnet, "elasticache", name, arns=[arn], description=f"ElastiCache {name}",
            requester_id="amazon-elasticache",
            requester_managed=True, attachment_owner="amazon-elasticache", attachment_id=estate.ids.new("eni-attach"),
            groups=(group,),
        )  # fmt: skip
        estate.join(app.part("cache"), interface)
        estate.add_thing(
            "cache", arn, vpc.account, vpc.region, name=name, vpc=vpc, port=6379, groups=[group], subnet=subnet,
            interface=interface, tags=app.tags("cache"),
        )  # fmt: skip


def file_system(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    fs = f"fs-0{estate.ids.digest('fs', 16)}"
    group = security_group(app, "efs", [2049])
    interfaces = []
    for subnet in subnets(vpc, "private")[:2]:
        target = f"fsmt-0{estate.ids.digest('fsmt', 16)}"
        interface = estate.add_interface(
            subnet, "efs", fs, arns=[app.arn("elasticfilesystem", f"file-system/{fs}")], interface_type="efs",
            description=f"EFS mount target for {fs} ({target})", requester_id=app.account_id, requester_managed=True,
            attachment_owner="amazon-aws", attachment_id=estate.ids.new("ela-attach"), groups=(group,),
        )  # fmt: skip
        interfaces.append((target, interface))
        estate.join(app.part("files"), interface)
    estate.add_thing(
        "file_system", fs, vpc.account, vpc.region, vpc=vpc, name=f"{app.name}-files", targets=interfaces,
        tags=app.tags("files"),
    )  # fmt: skip


def search_domain(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    name = f"{app.name}-es"
    arn = app.arn("es", f"domain/{name}")
    group = security_group(app, "es", [443])
    for subnet in subnets(vpc, "data")[:2]:
        interface = estate.add_interface(
            subnet, "opensearch", name, arns=[arn], description=f"ES {name}", requester_id="amazon-elasticsearch",
            requester_managed=True, attachment_owner="amazon-aws", attachment_id=estate.ids.new("eni-attach"),
            groups=(group,),
        )  # fmt: skip
        estate.join(app.part("index"), interface)
    estate.add_thing(
        "search_domain", arn, vpc.account, vpc.region, name=name, vpc=vpc, subnets=subnets(vpc, "data")[:2],
        groups=[group], tags=app.tags("index"),
    )  # fmt: skip


def kafka(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    name = f"{app.name}-kafka"
    arn = app.arn("kafka", f"cluster/{name}/{estate.ids.uuid('kafka')}-2")
    group = security_group(app, "kafka", [9092, 9094])
    brokers = []
    for subnet in subnets(vpc, "data"):
        interface = estate.add_interface(
            subnet, "msk", name, arns=[arn], requester_id="AROA5KVYMSK3X2EXAMPL:msk", requester_managed=False,
            description=f"DO NOT DELETE - Amazon MSK network interface for cluster {arn}.", groups=(group,),
            attachment_owner="amazon-aws", attachment_id=estate.ids.new("eni-attach"),
        )  # fmt: skip
        brokers.append(interface)
        estate.join(app.part("kafka"), interface)
    estate.add_thing(
        "kafka_cluster", arn, vpc.account, vpc.region, name=name, vpc=vpc, brokers=brokers, groups=[group],
        subnets=subnets(vpc, "data"), tags=app.tags("stream"),
    )  # fmt: skip


def functions(app: App, names: tuple[str, ...], part: str, group: str) -> None:
    """Functions with the same subnets and groups share one interface in each subnet."""
    estate, vpc = app.estate, app.vpc
    private = subnets(vpc, "private")[:2]
    arns = [app.arn("lambda", f"function:{app.name}-{name}") for name in names]
    for subnet in private:
        interface = estate.add_interface(
            subnet, "lambda:function", f"{app.name}-{names[0]}", arns=arns, interface_type="lambda",
            description=f"AWS Lambda VPC ENI-{app.name}-{names[0]}-{estate.ids.uuid('lambda')}",
            requester_id=f"AROAZL6XWCR2C7JFOQ5SJ:{app.account_id}", requester_managed=False, groups=(group,),
            attachment_owner="amazon-aws", attachment_id=estate.ids.new("ela-attach"),
        )  # fmt: skip
        estate.join(app.part(part), interface)
    for name, arn in zip(names, arns, strict=True):
        estate.add_thing(
            "function", arn, vpc.account, vpc.region, name=f"{app.name}-{name}", vpc=vpc, subnets=private,
            groups=[group], runtime="python3.13", tags=app.tags("function"),
        )  # fmt: skip
