"""Stories planted with known answers, for the questions that saved queries ask.

plant() adds who and what a story needs; tell() works out the answers from the true conversations, never from what was
meant to happen. Numbers count true bytes once a leg, of ends that at least one flow log covers, in the hours asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowlake.sandbox.app import App
from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Interface, Size, Thing
from flowlake.sandbox.organisation import subnets
from flowlake.sandbox.parts import add_instance

GROWTH = 0.23
GROWING_TEAM = "Analytics"


@dataclass
class Story:
    """One planted story. facts holds ids and names; answer is filled by tell()."""

    id: str
    question: str
    facts: dict[str, Any]
    tolerance: float = 0.0
    """Relative, of numbers in the answer: what records can't tell better by (bytes at the edges of hours)."""
    answer: dict[str, Any] = field(default_factory=dict)


def plant(estate: Estate, apps: list[App], hours: int, weeks: int) -> list[Story]:
    """Adds the stories that this estate has room for. hours is how many are simulated, over all weeks."""
    found = [
        cross_zone_chatter(estate, apps),
        dependencies(estate, apps, hours),
        around_the_load_balancer(estate, apps),
        without_the_proxy(estate, apps),
        transfer_growth(estate, apps, hours, weeks),
        s3_through_nat(estate, apps),
        unused_security_group(estate, apps),
        rejected_scan(estate, apps),
    ]
    return [story for story in found if story]


def _part(estate: Estate, share: float) -> float:
    """The weight that gives an edge about this share of all connections."""
    return share * sum(edge.weight for edge in estate.edges if edge.story is None)


def _first(apps: list[App], *parts: str, where: Callable[[App], bool] = lambda app: True) -> App | None:
    return next((app for app in apps if all(part in app.groups for part in parts) and where(app)), None)


def _team_app(estate: Estate, apps: list[App], number: int, name: str, team: str) -> App:
    """A new application, in the VPC of an application that there is."""
    vpc = apps[-1].vpc if number % 2 else apps[0].vpc
    return App(number, name, team, "story", vpc, estate)


def cross_zone_chatter(estate: Estate, apps: list[App]) -> Story:
    app = _team_app(estate, apps, 81, "telemetry", "Platform")
    group = estate.add_security_group(app.vpc, "telemetry", ports=[4317])
    zones = subnets(app.vpc, "private")
    agents, far, near = app.part("agent"), app.part("far"), app.part("near")
    for part, zone, count in ((agents, 0, 3), (far, 1, 2), (near, 0, 1)):
        for _ in range(count):
            estate.join(part, add_instance(app, zones[zone], part.rsplit("/", 1)[1], (group,), 0))
    up, down = Size(1_400_000, 0.5), Size(900, 0.3)
    estate.talk(
        "chatter", agents, far, 4317, _part(estate, 0.03), up=up, down=down, seconds=9, story="cross_zone_chatter"
    )
    estate.talk(
        "chatter", agents, near, 4317, _part(estate, 0.007), up=up, down=down, seconds=9, story="cross_zone_chatter"
    )
    return Story(
        "cross_zone_chatter",
        "Which application sends most between availability zones, and how much of its traffic is that?",
        {"app": app.name, "owner": app.team, "vpc_id": app.vpc.id, "zones": [zones[0].az_id, zones[1].az_id]},
        tolerance=0.03,
    )


def dependencies(estate: Estate, apps: list[App], hours: int) -> Story | None:
    app = _first(apps, "task", "cache") or _first(apps, "web", "cache")
    if app is None:
        return None
    caller = app.groups.get("task") or app.groups["web"]
    once = hours // 2
    estate.talk(
        "monthly", caller, "on-premises", 9443, _part(estate, 0.01), up=Size(20_000), down=Size(4_000), seconds=4,
        hours=(once,), story="dependencies",
    )  # fmt: skip
    return Story(
        "dependencies",
        "Which servers, ports and protocols did an application talk to over the whole time?",
        {"app": app.name, "vpc_id": app.vpc.id, "group": caller, "rare_in_hour": once, "rare_port": 9443},
    )


def around_the_load_balancer(estate: Estate, apps: list[App]) -> Story | None:
    app = _first(apps, "web", "alb")
    if app is None:
        return None
    guest = App(83, "shortcut", "Research", "story", app.vpc, estate)
    group = estate.add_security_group(app.vpc, "shortcut", ports=[])
    interface = add_instance(guest, subnets(app.vpc, "private")[0], "poller", (group,), 0)
    estate.join(guest.part("poller"), interface)
    estate.talk(
        "shortcut", guest.groups["poller"], app.groups["web"], 8080, _part(estate, 0.01), up=Size(1_100),
        down=Size(7_000), seconds=3,
        story="around_the_load_balancer",
    )  # fmt: skip
    if app.number % 2:  # an internal load balancer: it does use that too
        front = app.groups["alb"]
        estate.talk(
            "poll",
            guest.groups["poller"],
            front,
            443,
            _part(estate, 0.003),
            up=Size(1_100),
            down=Size(7_000),
            seconds=3,
        )
    return Story(
        "around_the_load_balancer",
        "Who talks to a load balancer's targets directly, and not through it?",
        {
            "client_interface_id": interface.id, "client_instance_id": interface.instance_id, "client_app": "shortcut",
            "server_app": app.name, "server_port": 8080,
        },
        tolerance=0.03,
    )  # fmt: skip


def without_the_proxy(estate: Estate, apps: list[App]) -> Story | None:
    app = _first(apps, "report", "db", "proxy")
    if app is None:
        return None
    estate.talk(
        "direct", app.groups["report"], app.groups["db"], 3306, _part(estate, 0.01), up=Size(1_500),
        down=Size(60_000), seconds=12,
        story="without_the_proxy",
    )  # fmt: skip
    function = next(t for t in estate.things if t.kind == "function" and t.attributes["name"] == f"{app.name}-report")
    return Story(
        "without_the_proxy",
        "Which function goes to the database without its proxy?",
        {
            "function": function.id, "function_name": function.attributes["name"], "database": f"{app.name}-db",
            "proxy": f"{app.name}-proxy", "server_port": 3306,
        },
        tolerance=0.03,
    )  # fmt: skip


def transfer_growth(estate: Estate, apps: list[App], hours: int, weeks: int) -> Story | None:
    """Needs weeks: the second half's hours carry exactly 1.23 times the bytes of the first half's."""
    if weeks < 2:
        return None
    app = _team_app(estate, apps, 82, "forecast", GROWING_TEAM)
    group = estate.add_security_group(app.vpc, "forecast", ports=[])
    for subnet in subnets(app.vpc, "private")[:2]:
        estate.join(app.part("model"), add_instance(app, subnet, "model", (group,), 0))
    half = hours // 2
    estate.talk(
        "features", app.groups["model"], f"{app.vpc.region}/dynamodb", 443, 1.0, up=Size(40_000), down=Size(900_000),
        seconds=20, growth=tuple([1.0] * half + [1.0 + GROWTH] * (hours - half)), story="transfer_growth",
    )  # fmt: skip
    return Story(
        "transfer_growth",
        "By how much did a team's transfer grow from the first half of the time to the second?",
        {"owner": GROWING_TEAM, "hours_before": half, "hours_after": hours - half},
        tolerance=0.005,
    )


def s3_through_nat(estate: Estate, apps: list[App]) -> Story | None:
    vpcs = [v for v in estate.vpcs if v.name.endswith("-main") and v.s3_endpoint is None and v.nat != "none"]
    if not vpcs:
        return None
    vpc = vpcs[0]
    app = App(84, "export", vpc.account.team, "story", vpc, estate)
    group = estate.add_security_group(vpc, "export", ports=[])
    interface = add_instance(app, subnets(vpc, "private")[0], "exporter", (group,), 0)
    estate.join(app.part("exporter"), interface)
    estate.talk(
        "export", app.groups["exporter"], f"{vpc.region}/s3", 443, _part(estate, 0.005), up=Size(2_500_000, 0.5),
        down=Size(3_000, 0.4),
        seconds=30, story="s3_through_nat",
    )  # fmt: skip
    return Story(
        "s3_through_nat",
        "How much S3 traffic goes through NAT gateways, where a gateway endpoint would be free, and by whom?",
        {"vpc_ids": [v.id for v in vpcs], "client_app": "export", "client_interface_id": interface.id},
        tolerance=0.03,
    )


def unused_security_group(estate: Estate, apps: list[App]) -> Story:
    group = estate.add_security_group(
        apps[0].vpc, "old-bastion", ports=[22], from_cidr="0.0.0.0/0", tags={"owner": "nobody"}
    )
    return Story(
        "unused_security_group",
        "Which security groups are on no interface?",
        {"planted": group},
    )


def rejected_scan(estate: Estate, apps: list[App]) -> Story | None:
    """From one address on the internet, to many ports of everything with a public address; all of it refused."""
    public: list[Interface] = [
        i for i in estate.interfaces if i.public_address and i.kind in ("ec2:instance", "elbv2:application")
    ]
    if not public:
        return None
    for interface in public[:12]:
        estate.join("scanned", interface)
    estate.talk(
        "scan", "internet/scanner", "scanned", 0, _part(estate, 0.02), up=Size(44, 0.0), down=Size(0, 0.0), seconds=1,
        verdict="refused_by_server", spread_ports=10_000, story="rejected_scan",
    )  # fmt: skip
    return Story(
        "rejected_scan",
        "Who was rejected on most ports?",
        {"client_addr": "193.163.125.77", "targets": sorted(i.id for i in public[:12])},
        tolerance=0.02,
    )


# -- answers


def tell(estate: Estate, stories: list[Story], truth: Path, hours: list[str]) -> None:
    """Fills the answers from the true conversations of these hours, and writes stories.json."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads = 1")
    connection.execute("set memory_limit = '300MB'")
    connection.execute("set preserve_insertion_order = false")
    connection.execute(f"set temp_directory = '{truth}/.spilled'")
    places = ", ".join(f"'{truth}/conversations/dt={h[:10]}/hour={h[11:13]}/*.parquet'" for h in hours)
    connection.execute(f"""
        create view seen as
        select c.*, strftime(make_timestamp(window_start * 1000000), '%Y-%m-%dT%H') as hour_text,
               e.story, e.name as edge_name
        from read_parquet([{places}], hive_partitioning = false) c
        join read_json('{truth}/edges.json') e using (edge)
        where client_logged or server_logged or nat_logged""")
    connection.execute(f"create view ends as select * from read_parquet('{truth}/endpoints.parquet')")
    connection.execute(f"create view interfaces as select * from read_parquet('{truth}/interfaces.parquet')")
    connection.execute(f"create view tags as select * from read_parquet('{truth}/tags.parquet')")
    for story in stories:
        story.answer = _TELLERS[story.id](estate, story, connection, hours)
    connection.close()
    shutil.rmtree(truth / ".spilled", ignore_errors=True)
    document = [
        {
            "id": s.id, "question": s.question, "facts": s.facts, "answer": s.answer, "tolerance": s.tolerance,
            "hours": [hours[0], hours[-1]],
        }
        for s in stories
    ]  # fmt: skip
    (truth / "stories.json").write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")


def _bytes(connection: Any, story: str) -> dict[str, Any]:
    up, down, opened = connection.execute(
        """select coalesce(sum(bytes_up), 0), coalesce(sum(bytes_down), 0), coalesce(sum(connections), 0)
           from seen where story = ?""",
        [story],
    ).fetchone()
    return {"bytes_up": int(up), "bytes_down": int(down), "connections": int(opened)}


def _cross_zone(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    crossing, total = connection.execute(
        """select sum(bytes_up + bytes_down) filter (a.az_id <> b.az_id), sum(bytes_up + bytes_down)
           from seen join ends c on c.endpoint = client join interfaces a on a.interface = c.interface
                     join ends s on s.endpoint = server join interfaces b on b.interface = s.interface
           where story = ?""",
        [story.id],
    ).fetchone()
    ranking = connection.execute(
        """select element_at(t.tags, 'app')[1] as app, sum(bytes_up + bytes_down) as bytes
           from seen join ends c on c.endpoint = client join interfaces a on a.interface = c.interface
                     join ends s on s.endpoint = server join interfaces b on b.interface = s.interface
                     join tags t on t.entity = a.arns[1]
                          and window_start * 1000 >= t.since and (t.until is null or window_start * 1000 < t.until)
           where a.az_id <> b.az_id and a.region = b.region and accepted and len(a.arns) = 1
           group by 1 order by 2 desc, 1 limit 3"""
    ).fetchall()
    return {
        "app": ranking[0][0] if ranking else None, "cross_az_bytes": int(crossing or 0),
        "share": round(int(crossing or 0) / int(total), 4) if total else None,
        "ranking": [{"app": app, "cross_az_bytes": int(size)} for app, size in ranking],
    }  # fmt: skip


def _dependencies(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    rows = connection.execute(
        """select distinct coalesce(b.type, s.outside) as type,
                  coalesce(b.name, s.network_name, s.aws_service, 'public') as name, server_port, protocol, accepted
           from seen join ends c on c.endpoint = client join ends s on s.endpoint = server
                left join interfaces b on b.interface = s.interface
           where c."group" = ? order by all""",
        [story.facts["group"]],
    ).fetchall()
    servers = [({"type": t, "name": n, "port": p, "protocol": q}, ok) for t, n, p, q, ok in rows]
    return {"servers": [s for s, ok in servers if ok], "refused": [s for s, ok in servers if not ok]}


def _around(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    return {"client_interface_id": story.facts["client_interface_id"], **_bytes(connection, story.id)}


def _proxyless(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    return {"function": story.facts["function"], **_bytes(connection, story.id)}


def _growth(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    half = story.facts["hours_before"]
    rows = dict(
        connection.execute(
            "select hour_text, sum(bytes_up + bytes_down) from seen where story = ? group by 1", [story.id]
        ).fetchall()
    )
    before = sum(int(rows.get(h, 0)) for h in hours[:half])
    after = sum(int(rows.get(h, 0)) for h in hours[half:])
    per_hour = (after / max(len(hours) - half, 1)) / (before / max(half, 1)) if before else float("nan")
    return {
        "owner": story.facts["owner"],
        "bytes_before": before,
        "bytes_after": after,
        "growth": round(per_hour - 1, 4),
    }


def _s3(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    total, exported = connection.execute(
        """select sum(bytes_up + bytes_down), sum(bytes_up + bytes_down) filter (story = 's3_through_nat')
           from seen join ends s on s.endpoint = server
           where s.aws_service = 'S3' and way = 'nat_gateway'"""
    ).fetchone()
    return {"bytes": int(total or 0), "client_app": story.facts["client_app"], "client_bytes": int(exported or 0)}


def _unused(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    groups: list[Thing] = [t for t in estate.things if t.kind == "security_group"]
    used = {group for interface in estate.interfaces for group in interface.groups}
    return {"security_group_ids": sorted(t.id for t in groups if t.id not in used)}


def _scan(estate: Estate, story: Story, connection: Any, hours: list[str]) -> dict[str, Any]:
    ports, targets, attempts = connection.execute(
        """select count(distinct server_port), count(distinct s.interface), sum(connections)
           from seen join ends s on s.endpoint = server where story = ? and not accepted""",
        [story.id],
    ).fetchone()
    return {
        "client_addr": story.facts["client_addr"], "ports": int(ports), "targets": int(targets),
        "attempts": int(attempts or 0),
    }  # fmt: skip


_TELLERS: dict[str, Callable[[Estate, Story, Any, list[str]], dict[str, Any]]] = {
    "cross_zone_chatter": _cross_zone,
    "dependencies": _dependencies,
    "around_the_load_balancer": _around,
    "without_the_proxy": _proxyless,
    "transfer_growth": _growth,
    "s3_through_nat": _s3,
    "unused_security_group": _unused,
    "rejected_scan": _scan,
}
