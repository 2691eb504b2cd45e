"""One application: its name and team, its groups of endpoints by their part, and how much it usually sends."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowlake.sandbox.estate import Estate
from flowlake.sandbox.model import Interface, Size, Vpc

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
