"""Services with lives of their own, and who talks to whom.

Each main VPC has applications of five sorts in turn: web (ALB, autoscaled instances, database behind a proxy, cache),
tasks (NLB, ECS tasks that live minutes, Kafka), functions (Lambda functions that share interfaces), kube (EKS nodes
with secondary addresses, delegated prefixes and branch interfaces; OpenSearch, EFS) and batch (long-lived instances).
"""

from __future__ import annotations

from flowlake.sandbox import relations
from flowlake.sandbox.app import App
from flowlake.sandbox.applications import BUILDERS
from flowlake.sandbox.estate import Estate

APPS = ("checkout", "orders", "notify", "search", "reports", "catalog", "media", "identity", "billing", "audit")
SORTS = ("web", "tasks", "functions", "kube", "batch")


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
    relations.legacy(estate)
    relations.shared(estate)
    estate.live()
    _close_lives(estate)
    relations.between(estate, apps)
    relations.change_tags(estate)
    return apps


def _pending(estate: Estate, app: App) -> int:
    """Interfaces that come up when time starts: churning slots that have no life yet."""
    return sum(estate.groups[g].slots for g in app.groups.values() if not estate.groups[g].lives)


def _close_lives(estate: Estate) -> None:
    for group in estate.groups.values():
        for life in group.lives:
            if life.interface >= 0:
                life.until = min(life.until, estate.interfaces[life.interface].deleted)
