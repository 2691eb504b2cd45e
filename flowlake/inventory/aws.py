"""One account and region of AWS, as the inventory asks it: clients that retry patiently, and a count of every call."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from flowlake.lake.arns import partition_of

GLOBAL = "global"
"""The region of what has none: the organisation's accounts."""

_HOMES = {"aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}
_FRUITLESS_LOOKUPS = 3

Resolver = Callable[[str], list[str] | None]


def config() -> Any:
    """Retries that slow down as AWS throttles, and time-outs that a Lambda can live with."""
    from botocore.config import Config

    return Config(
        retries={"mode": "adaptive", "max_attempts": 10},
        connect_timeout=5,
        read_timeout=60,
        user_agent_extra="flowlake",
    )


class Client:
    """A boto3 client that counts its calls by API name, and says of each answer the pages in their order."""

    def __init__(self, client: Any, service: str, calls: Counter[str]):
        self._client, self.service, self.calls = client, service, calls

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One call. Arguments that this botocore does not know yet are left out."""
        self.calls[self.name(operation)] += 1
        answer: dict[str, Any] = getattr(self._client, operation)(**self._known(operation, arguments))
        return answer

    def pages(self, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All pages of an operation, or its one answer where it has no pages."""
        if not self._client.can_paginate(operation):
            yield self.call(operation, **arguments)
            return
        for page in self._client.get_paginator(operation).paginate(**self._known(operation, arguments)):
            self.calls[self.name(operation)] += 1
            yield page

    def name(self, operation: str) -> str:
        """service:Operation, as CloudTrail and IAM would have it."""
        return f"{self.service}:{self._client.meta.method_to_api_mapping[operation]}"

    def _known(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        model = self._client.meta.service_model.operation_model(self._client.meta.method_to_api_mapping[operation])
        members = model.input_shape.members if model.input_shape else {}
        return {name: value for name, value in arguments.items() if name in members}


class Aws:
    """One account and region, by the credentials of a boto3 session. account_id is the account those belong to.

    resolve turns a host name into its addresses (None: it can't be told); None instead of it asks nobody.
    """

    def __init__(self, session: Any, account_id: str, region: str, resolve: Resolver | None = None):
        self.session, self.account_id, self.region = session, account_id, region
        self.calls: Counter[str] = Counter()
        self._resolve = resolve
        self._fruitless = 0
        self._clients: dict[str, Client] = {}

    def client(self, service: str) -> Client:
        if service not in self._clients:
            region = self.region if self.region != GLOBAL else home_region(self.session.region_name)
            made = self.session.client(service, region_name=region, config=config())
            self._clients[service] = Client(made, service, self.calls)
        return self._clients[service]

    def offers(self, service: str) -> bool:
        """Whether the service is there in this region, by botocore's own list; regions newer than it are believed."""
        if self.region == GLOBAL:
            return True
        partition = partition_of(self.region)
        if self.region not in self.session.get_available_regions("ec2", partition_name=partition):
            return True
        return self.region in self.session.get_available_regions(service, partition_name=partition)

    def addresses_of(self, host: str) -> list[str] | None:
        """What the host name resolves to now; None where that isn't known. Gives up after three that did not answer."""
        if self._resolve is None or self._fruitless >= _FRUITLESS_LOOKUPS:
            return None
        found = self._resolve(host)
        self._fruitless = 0 if found else self._fruitless + 1
        return found


def home_region(region: str | None) -> str:
    """Where a partition answers for what has no region."""
    return _HOMES.get(partition_of(region), "us-east-1")


def resolve_host(host: str) -> list[str] | None:
    """Addresses of a host name by this machine's resolver; None where it has no answer."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return None
    return sorted({str(entry[4][0]) for entry in found})
