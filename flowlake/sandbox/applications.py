"""Applications of five sorts: who is in them, how long they live, and who in them talks to whom."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable

from flowlake.sandbox import parts
from flowlake.sandbox.app import HTTP, OBJECT, PAGE, PING, QUERY, ROWS, SMALL, App
from flowlake.sandbox.model import FOREVER, Holding, Interface, Life, Size
from flowlake.sandbox.organisation import subnets


def _web(app: App, size: int) -> None:
    estate, region = app.estate, app.vpc.region
    public = app.number % 2 == 0
    arn = parts.load_balancer(app, "application", [443], "public" if public else "private", "alb")
    group = parts.security_group(app, "web", [8080])
    parts.autoscaled(app, "web", size, (group,), "private", 38)
    parts.database(app)
    parts.cache(app)
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
    parts.load_balancer(app, "network", [8443], "private", "nlb")
    group = parts.security_group(app, "task", [9000])
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

    parts.churn(app, "task", size, 6, start)
    parts.cache(app)
    estate.talk("back", app.groups["nlb"], app.groups["task"], 9000, 6, up=HTTP, down=ROWS, seconds=15)
    estate.talk("cache", app.groups["task"], app.groups["cache"], 6379, 5, up=SMALL, down=QUERY, seconds=3)
    estate.talk("table", app.groups["task"], f"{app.vpc.region}/dynamodb", 443, 3, up=QUERY, down=ROWS, seconds=5)
    if estate.sizes.interfaces > 200:
        parts.kafka(app)
        estate.talk(
            "stream", app.groups["task"], app.groups["kafka"], 9092, 3, up=Size(25_000), down=SMALL, seconds=240
        )
        estate.talk("replicate", app.groups["kafka"], app.groups["kafka"], 9094, 1, up=OBJECT, down=SMALL, seconds=400)


def _lambda(app: App, size: int) -> None:
    estate = app.estate
    group = parts.security_group(app, "functions", [])
    parts.functions(app, ("receive", "enrich", "send"), "fn", group)
    other = parts.security_group(app, "reporting", [])
    parts.functions(app, ("report",), "report", other)
    parts.database(app, "mysql", 3306)
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
        workers = parts.security_group(app, "worker", [8080])
        parts.autoscaled(app, "web", size, (workers,), "private", 25)
        estate.talk("jobs", fn, app.groups["web"], 8080, 2, up=QUERY, down=ROWS, seconds=8)


def _kube(app: App, size: int) -> None:
    """EKS: every third node's pods have prefixes, others secondary addresses; some pods have branch interfaces."""
    estate, vpc = app.estate, app.vpc
    cluster = app.arn("eks", f"cluster/{app.name}")
    group = parts.security_group(app, "node", [10250, 8080])
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
        node = parts.add_instance(app, subnet, "node", (group,), 0, instance_type="m6i.2xlarge")
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
    branch_group = parts.security_group(app, "branch", [8080])
    app.part("branch")

    def branch(slot: int, at: int) -> Interface:
        return estate.add_interface(
            zones[slot % len(zones)], "eks:pod", f"{app.name}-branch", at=at, interface_type="branch",
            description="aws-k8s-branch-eni", groups=(branch_group,), attachment_id=estate.ids.new("trunk-assoc"),
            tags={"vpcresources.k8s.aws/vlan-id": str(1 + slot), "eks:eni:owner": "eks-vpc-resource-controller"},
        )  # fmt: skip

    parts.churn(app, "branch", max(2, size // 4), 12, branch)
    parts.search_domain(app)
    parts.file_system(app)
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
    group = parts.security_group(app, "batch", [22, 9100])
    private = subnets(vpc, "private")
    app.part("batch")
    for number in range(max(2, size // 2)):
        interface = parts.add_instance(
            app,
            private[number % len(private)],
            "worker",
            (group,),
            0,
            instance_type="t2.large" if number % 3 == 1 else "c6i.xlarge",
        )
        estate.join(app.groups["batch"], interface)
    bastion = parts.add_instance(app, subnets(vpc, "public")[0], "bastion", (group,), 0, public=True, with_ipv6=True)
    estate.join(app.part("bastion"), bastion)
    if bastion.address6:
        estate.join(app.part("bastion6"), bastion, address=bastion.address6)
        estate.talk("sites6", app.groups["bastion6"], "internet/sites6", 443, 0.5, up=HTTP, down=PAGE, seconds=3)
    parts.file_system(app)
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
