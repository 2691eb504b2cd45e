"""Services with lives of their own, and who talks to whom.

Each main VPC has applications of five sorts in turn: web (ALB, autoscaled instances, database behind a proxy, cache),
tasks (NLB, ECS tasks that live minutes, Kafka), functions (Lambda functions that share interfaces), kube (EKS nodes
with secondary addresses, delegated prefixes and branch interfaces; OpenSearch, EFS) and batch (long-lived instances).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import FOREVER, Holding, Interface, Life, Size, Subnet, TagChange, Vpc
from flowlake.sandbox.organisation import legacy_vpc, subnets

APPS = ("checkout", "orders", "notify", "search", "reports", "catalog", "media", "identity", "billing", "audit")
SORTS = ("web", "tasks", "functions", "kube", "batch")

HTTP = Size(1_400, 0.8)
PAGE = Size(18_000, 1.2)
QUERY = Size(900, 0.9)
ROWS = Size(6_500, 1.4)
OBJECT = Size(220_000, 1.8)
SMALL = Size(420, 0.5)
PING = Size(84, 0.0)


@dataclass
class App:
    """One application in one VPC: names of its groups of endpoints by their part."""

    number: int
    name: str
    team: str
    sort: str
    vpc: Vpc
    estate: Estate
    groups: dict[str, str] = field(default_factory=dict)
    instances: list[Interface] = field(default_factory=list)

    @property
    def chance(self) -> random.Random:
        return self.estate.random(f"app/{self.vpc.index}/{self.number}")

    @property
    def account_id(self) -> str:
        return self.vpc.account.id

    def part(self, part: str) -> str:
        """The group's name; it exists from now on."""
        name = self.groups[part] = f"{self.vpc.index}/{self.name}/{part}"
        self.estate.group(name)
        return name

    def tags(self, role: str, name: str | None = None) -> dict[str, str]:
        tags = {"owner": self.team, "app": self.name, "role": role, "env": "prod"}
        if name:
            tags["Name"] = name
        return tags

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.vpc.region}:{self.account_id}:{rest}"


def populate(estate: Estate) -> list[App]:
    """Adds applications to every main VPC until there are about as many interfaces as asked, then lets them live."""
    mains = [vpc for vpc in estate.vpcs if vpc.name.endswith("-main")]
    budget = max(0, estate.sizes.interfaces - len(estate.interfaces)) // len(mains)
    apps: list[App] = []
    for vpc in mains:
        left, number = budget, 0
        while left > 0 or number < 2:
            sort = SORTS[(number + 2 * vpc.account.index) % len(SORTS)]
            name = APPS[(number + 3 * vpc.account.index) % len(APPS)]
            if number >= len(APPS):
                name += f"-{number // len(APPS)}"
            team = vpc.account.team if number % 3 else ("Platform", "DataProcessor", "Storefront")[vpc.index % 3]
            app = App(number, name, team, sort, vpc, estate)
            size = max(3, min(40, left * 2 // 5 if left < 60 else 24))
            before = len(estate.interfaces)
            BUILDERS[sort](app, size)
            apps.append(app)
            left -= max(1, len(estate.interfaces) - before + _pending(estate, app))
            number += 1
    _legacy(estate)
    _shared(estate)
    estate.live()
    _close_lives(estate)
    _between(estate, apps)
    _change_tags(estate)
    return apps


def _pending(estate: Estate, app: App) -> int:
    """Interfaces that come up when time starts: churning slots that have no life yet."""
    return sum(estate.groups[g].slots for g in app.groups.values() if not estate.groups[g].lives)


def _close_lives(estate: Estate) -> None:
    for group in estate.groups.values():
        for life in group.lives:
            if life.interface >= 0:
                life.until = min(life.until, estate.interfaces[life.interface].deleted)


# -- parts


def _load_balancer(app: App, sort: str, ports: list[int], tier: str, part: str) -> str:
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


def _security_group(app: App, role: str, ports: list[int]) -> str:
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


def _autoscaled(app: App, part: str, slots: int, groups: tuple[str, ...], tier: str, mean_minutes: float) -> None:
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


def _database(app: App, engine: str = "postgres", port: int = 5432, proxied: bool = True) -> None:
    """A database instance (its interface does not name it), and a proxy before it."""
    estate, vpc = app.estate, app.vpc
    data = subnets(vpc, "data")
    arn = app.arn("rds", f"db:{app.name}-db")
    group = _security_group(app, "db", [port])
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
    proxy_group = _security_group(app, "db-proxy", [port])
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


def _cache(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    group = _security_group(app, "cache", [6379])
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


def _file_system(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    fs = f"fs-0{estate.ids.digest('fs', 16)}"
    group = _security_group(app, "efs", [2049])
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


def _search_domain(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    name = f"{app.name}-es"
    arn = app.arn("es", f"domain/{name}")
    group = _security_group(app, "es", [443])
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


def _kafka(app: App) -> None:
    estate, vpc = app.estate, app.vpc
    name = f"{app.name}-kafka"
    arn = app.arn("kafka", f"cluster/{name}/{estate.ids.uuid('kafka')}-2")
    group = _security_group(app, "kafka", [9092, 9094])
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


def _functions(app: App, names: tuple[str, ...], part: str, group: str) -> None:
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


# -- applications


def _web(app: App, size: int) -> None:
    estate, region = app.estate, app.vpc.region
    public = app.number % 2 == 0
    arn = _load_balancer(app, "application", [443], "public" if public else "private", "alb")
    group = _security_group(app, "web", [8080])
    _autoscaled(app, "web", size, (group,), "private", 38)
    _database(app)
    _cache(app)
    estate.add_thing(
        "target_group", app.arn("elasticloadbalancing", f"targetgroup/{app.name}/{estate.ids.digest('tg', 16)}"),
        app.vpc.account, region, name=app.name, vpc=app.vpc, port=8080, protocol="HTTP", target_type="instance",
        load_balancers=[arn], targets=app.groups["web"],
    )  # fmt: skip
    web = app.groups["web"]
    if public:
        estate.talk("front", "internet/clients", app.groups["alb"], 443, 10, up=HTTP, down=PAGE, seconds=6)
    estate.talk("back", app.groups["alb"], web, 8080, 10, up=HTTP, down=PAGE, seconds=20)
    estate.talk("proxy", web, app.groups["proxy"], 5432, 5, up=QUERY, down=ROWS, seconds=90)
    estate.talk(
        "pool", app.groups["proxy"], app.groups["db"], 5432, 1.5, up=Size(40_000), down=Size(400_000), seconds=1500
    )
    estate.talk("cache", web, app.groups["cache"], 6379, 6, up=SMALL, down=QUERY, seconds=4)
    estate.talk("queue", web, f"{app.vpc.index}/endpoint/sqs", 443, 1.5, up=HTTP, down=SMALL, seconds=8)
    estate.talk("objects", web, f"{region}/s3", 443, 1.2, up=Size(30_000), down=OBJECT, seconds=4)
    estate.talk("sites", web, "internet/sites", 443, 0.6, up=HTTP, down=PAGE, seconds=3)


def _tasks(app: App, size: int) -> None:
    estate = app.estate
    _load_balancer(app, "network", [8443], "private", "nlb")
    group = _security_group(app, "task", [9000])
    cluster = app.arn("ecs", f"cluster/{app.name}")
    service = app.arn("ecs", f"service/{app.name}/{app.name}-svc")
    estate.add_thing(
        "ecs_service", service, app.vpc.account, app.vpc.region, name=f"{app.name}-svc", cluster=cluster,
        task_definition=app.arn("ecs", f"task-definition/{app.name}:7"), subnets=subnets(app.vpc, "private"),
        vpc=app.vpc, groups=[group], tags=app.tags("service"),
    )  # fmt: skip
    private = subnets(app.vpc, "private")
    app.part("task")

    def start(slot: int, at: int) -> Interface:
        task = app.arn("ecs", f"task/{app.name}/{estate.ids.digest('task', 32)}")
        attachment = estate.ids.uuid("ecs-attachment")
        interface = estate.add_interface(
            private[slot % len(private)], "ecs:task", f"{app.name}-svc", at=at, arns=[task],
            description=app.arn("ecs", f"attachment/{attachment}"), requester_id="628676013162", requester_managed=True,
            attachment_owner="843547988961", attachment_id=estate.ids.new("eni-attach"), groups=(group,),
        )  # fmt: skip
        thing = estate.add_thing(
            "ecs_task", task, app.vpc.account, app.vpc.region, interface=interface, cluster=cluster, service=service,
            task_definition=app.arn("ecs", f"task-definition/{app.name}:7"), group=f"service:{app.name}-svc",
            launch_type="FARGATE", attachment=attachment, vpc=app.vpc, tags=app.tags("task"), created=at,
        )  # fmt: skip
        estate.served[interface.index] = thing
        return interface

    churn(app, "task", size, 6, start)
    _cache(app)
    estate.talk("back", app.groups["nlb"], app.groups["task"], 9000, 6, up=HTTP, down=ROWS, seconds=15)
    estate.talk("cache", app.groups["task"], app.groups["cache"], 6379, 5, up=SMALL, down=QUERY, seconds=3)
    estate.talk("table", app.groups["task"], f"{app.vpc.region}/dynamodb", 443, 3, up=QUERY, down=ROWS, seconds=5)
    if estate.sizes.interfaces > 200:
        _kafka(app)
        estate.talk(
            "stream", app.groups["task"], app.groups["kafka"], 9092, 3, up=Size(25_000), down=SMALL, seconds=240
        )
        estate.talk("replicate", app.groups["kafka"], app.groups["kafka"], 9094, 1, up=OBJECT, down=SMALL, seconds=400)


def _lambda(app: App, size: int) -> None:
    estate = app.estate
    group = _security_group(app, "functions", [])
    _functions(app, ("receive", "enrich", "send"), "fn", group)
    other = _security_group(app, "reporting", [])
    _functions(app, ("report",), "report", other)
    _database(app, "mysql", 3306)
    fn = app.groups["fn"]
    estate.talk("proxy", fn, app.groups["proxy"], 3306, 5, up=QUERY, down=ROWS, seconds=3)
    estate.talk("proxy", app.groups["report"], app.groups["proxy"], 3306, 1, up=QUERY, down=OBJECT, seconds=10)
    estate.talk(
        "pool", app.groups["proxy"], app.groups["db"], 3306, 1.5, up=Size(30_000), down=Size(300_000), seconds=1200
    )
    estate.talk("table", fn, f"{app.vpc.region}/dynamodb", 443, 4, up=QUERY, down=ROWS, seconds=2)
    estate.talk("sites", fn, "internet/sites", 443, 2, up=HTTP, down=ROWS, seconds=2)
    estate.talk("queue", fn, f"{app.vpc.index}/endpoint/sqs", 443, 2, up=HTTP, down=SMALL, seconds=3)
    if size > 8:
        workers = _security_group(app, "worker", [8080])
        _autoscaled(app, "web", size, (workers,), "private", 25)
        estate.talk("jobs", fn, app.groups["web"], 8080, 2, up=QUERY, down=ROWS, seconds=8)


def _kube(app: App, size: int) -> None:
    """EKS: every third node's pods have prefixes, others secondary addresses; some pods have branch interfaces."""
    estate, vpc = app.estate, app.vpc
    cluster = app.arn("eks", f"cluster/{app.name}")
    group = _security_group(app, "node", [10250, 8080])
    for subnet in subnets(vpc, "private")[:2]:
        control = estate.add_interface(
            subnet, "eks:control_plane", app.name, arns=[cluster], description=f"Amazon EKS {app.name}",
            groups=(group,),
            requester_id="AROAIORXPPLFOF7XU4KUQ:AmazonEKS", requester_managed=False, attachment_owner="843547988961",
            attachment_id=estate.ids.new("eni-attach"),
        )  # fmt: skip
        estate.join(app.part("control"), control)
    estate.add_thing(
        "eks_cluster", cluster, vpc.account, vpc.region, name=app.name, vpc=vpc, subnets=subnets(vpc, "private")[:2],
        groups=[group], tags=app.tags("cluster"),
    )  # fmt: skip
    pods = app.part("pod")
    app.part("node")
    zones = subnets(vpc, "pods")
    nodes: list[Interface] = []
    chance = estate.random(f"kube/{pods}")
    for number in range(max(2, size // 3)):
        subnet = zones[number % len(zones)]
        node = add_instance(app, subnet, "node", (group,), 0, instance_type="m6i.2xlarge")
        estate.join(app.groups["node"], node)
        second = estate.add_interface(
            subnet, "eks:node", node.name, arns=node.arns, instance_id=node.instance_id, groups=(group,),
            description=f"aws-K8S-{node.instance_id}", attachment_id=estate.ids.new("eni-attach"),
            attachment_owner=app.account_id,
            tags={
                "node.k8s.amazonaws.com/instance_id": node.instance_id or "",
                "cluster.k8s.amazonaws.com/name": app.name,
            },
        )  # fmt: skip
        node_thing = estate.served[node.index]
        node_thing.attributes["more"] = [second]
        nodes.append(second)
        if number % 3 == 0:
            prefix = estate.take_prefix(second)
            addresses = [str(a) for a in ipaddress.IPv4Network(prefix.address)]
            for address in addresses[:10]:
                estate.join(pods, second, address=address)
        else:
            for place in range(6):
                holding = estate.take_secondary(second, 0)
                life = estate.join(pods, second, address=holding.address)
                if place == 0:
                    _wander(app, nodes, second, holding, life, chance)
    branch_group = _security_group(app, "branch", [8080])
    app.part("branch")

    def branch(slot: int, at: int) -> Interface:
        return estate.add_interface(
            zones[slot % len(zones)], "eks:pod", f"{app.name}-branch", at=at, interface_type="branch",
            description="aws-k8s-branch-eni", groups=(branch_group,), attachment_id=estate.ids.new("trunk-assoc"),
            tags={"vpcresources.k8s.aws/vlan-id": str(1 + slot), "eks:eni:owner": "eks-vpc-resource-controller"},
        )  # fmt: skip

    churn(app, "branch", max(2, size // 4), 12, branch)
    _search_domain(app)
    _file_system(app)
    branches = app.groups["branch"]
    estate.talk("mesh", pods, pods, 8080, 4, up=HTTP, down=ROWS, seconds=30)
    estate.talk("mesh", branches, pods, 8080, 2, up=HTTP, down=ROWS, seconds=10)
    estate.talk("mesh", pods, branches, 8080, 2, up=HTTP, down=ROWS, seconds=10)
    estate.talk("kubelet", app.groups["control"], app.groups["node"], 10250, 0.6, up=SMALL, down=ROWS, seconds=60)
    estate.talk("api", app.groups["node"], app.groups["control"], 443, 1, up=ROWS, down=PAGE, seconds=700)
    estate.talk("index", pods, app.groups["index"], 443, 3, up=ROWS, down=PAGE, seconds=5)
    estate.talk("files", pods, app.groups["files"], 2049, 1.2, up=Size(90_000), down=OBJECT, seconds=900)
    estate.talk("sites", pods, "internet/sites", 443, 0.8, up=HTTP, down=PAGE, seconds=3)


def _wander(
    app: App, nodes: list[Interface], node: Interface, holding: Holding, life: Life, chance: random.Random
) -> None:
    """An address that is unassigned from one node and, seconds later, assigned to another of the same subnet."""
    estate = app.estate

    def leave(moment: int) -> None:
        holding.until = life.until = moment
        others = [n for n in nodes if n.subnet is node.subnet and n is not node]
        if not others:
            others = [node]
        other = chance.choice(others)
        arrival = estate.after(moment, chance.randint(3_000, 20_000))
        if arrival >= FOREVER:
            return

        def arrive(later: int) -> None:
            fresh = Holding(holding.address, later, FOREVER)
            other.holdings.append(fresh)
            new = Life(life.slot, later, FOREVER, other.index, holding.address)
            estate.group(app.groups["pod"]).lives.append(new)
            _wander(app, nodes, other, fresh, new, chance)

        estate.at(arrival, arrive)

    moment = estate.after(max(holding.since, estate.sizes.starts), chance.expovariate(1 / (14 * 60_000)) + 30_000)
    if moment < FOREVER:
        estate.at(moment, leave)


def _batch(app: App, size: int) -> None:
    """Long-lived instances: some of an older, not Nitro sort; one with a public address; tags that change."""
    estate, vpc = app.estate, app.vpc
    group = _security_group(app, "batch", [22, 9100])
    private = subnets(vpc, "private")
    app.part("batch")
    for number in range(max(2, size // 2)):
        interface = add_instance(
            app,
            private[number % len(private)],
            "worker",
            (group,),
            0,
            instance_type="t2.large" if number % 3 == 1 else "c6i.xlarge",
        )
        estate.join(app.groups["batch"], interface)
    bastion = add_instance(app, subnets(vpc, "public")[0], "bastion", (group,), 0, public=True, with_ipv6=True)
    estate.join(app.part("bastion"), bastion)
    if bastion.address6:
        estate.join(app.part("bastion6"), bastion, address=bastion.address6)
        estate.talk("sites6", app.groups["bastion6"], "internet/sites6", 443, 0.5, up=HTTP, down=PAGE, seconds=3)
    _file_system(app)
    batch = app.groups["batch"]
    estate.talk("files", batch, app.groups["files"], 2049, 2, up=Size(120_000), down=OBJECT, seconds=1500)
    estate.talk("objects", batch, f"{vpc.region}/s3", 443, 2, up=OBJECT, down=OBJECT, seconds=20)
    estate.talk("ssh", app.groups["bastion"], batch, 22, 0.4, up=Size(9_000), down=Size(22_000), seconds=240)
    estate.talk(
        "ssh-in", "internet/clients", app.groups["bastion"], 22, 0.2, up=Size(9_000), down=Size(22_000), seconds=120
    )
    estate.talk("sites", app.groups["bastion"], "internet/sites", 443, 0.3, up=HTTP, down=PAGE, seconds=3)
    estate.talk("metrics", app.groups["bastion"], batch, 9100, 2, up=SMALL, down=PAGE, seconds=2)
    estate.talk("ping", app.groups["bastion"], batch, 0, 0.4, up=PING, down=PING, seconds=30, protocol=1)
    estate.talk("clocks", batch, app.groups["bastion"], 8125, 1, up=SMALL, down=Size(0, 0.0), seconds=1, protocol=17)


BUILDERS: dict[str, Callable[[App, int], None]] = {
    "web": _web, "tasks": _tasks, "functions": _lambda, "kube": _kube, "batch": _batch,
}  # fmt: skip


# -- between applications


def _legacy(estate: Estate) -> None:
    """Every legacy VPC has the same range, and the same addresses are held in several at one time."""
    for account in estate.accounts:
        for vpc in [v for v in estate.vpcs if v.account is account and v.name.endswith("-legacy")]:
            app = App(90, f"ledger-{account.index}", account.team, "legacy", vpc, estate)
            group = _security_group(app, "ledger", [1433, 445])
            app.part("ledger")
            for number in range(3):
                subnet = vpc.subnets[number % len(vpc.subnets)]
                estate.join(
                    app.groups["ledger"], add_instance(app, subnet, "ledger", (group,), 0, instance_type="t2.medium")
                )
            estate.talk("copy", app.groups["ledger"], app.groups["ledger"], 445, 0.8, up=OBJECT, down=SMALL, seconds=60)
            if vpc.vpn_gateway:
                estate.talk("home", app.groups["ledger"], "on-premises", 1521, 0.8, up=QUERY, down=ROWS, seconds=40)


def _shared(estate: Estate) -> None:
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


def _between(estate: Estate, apps: list[App]) -> None:
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


def _change_tags(estate: Estate) -> None:
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


__all__ = ["App", "add_instance", "populate"]
