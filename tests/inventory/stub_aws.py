"""AWS as scripted answers: a boto3 session whose clients answer from a table, and know botocore's own models.

answers: (service, operation) -> a list of answers in turn (the last one repeats), one answer, an exception to raise, or
a function of the arguments that gives either.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError


def error(code: str, operation: str = "Describe", message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@cache
def _real(service: str) -> Any:
    session = boto3.session.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
    return session.client(service)


class StubClient:
    """One client: takes the calls of the real one, asserts that its arguments are such as botocore knows."""

    def __init__(self, service: str, answers: dict[tuple[str, str], Any], log: list[tuple[str, str, dict[str, Any]]]):
        self.meta = _real(service).meta
        self._service, self._answers, self._log = service, answers, log
        self._turn: dict[str, int] = {}

    def can_paginate(self, operation: str) -> bool:
        return bool(_real(self._service).can_paginate(operation))

    def get_paginator(self, operation: str) -> Any:
        client = self

        class Paginator:
            def paginate(self, **arguments: Any) -> Any:
                answer = client._answer(operation, arguments)
                yield from answer if isinstance(answer, list) else [answer]

        return Paginator()

    def _answer(self, operation: str, arguments: dict[str, Any]) -> Any:
        model = self.meta.service_model.operation_model(self.meta.method_to_api_mapping[operation])
        unknown = arguments.keys() - (model.input_shape.members.keys() if model.input_shape else set())
        assert not unknown, f"{operation} takes no {unknown}"
        self._log.append((self._service, operation, arguments))
        scripted = self._answers.get((self._service, operation), {})
        if isinstance(scripted, list):
            turn = self._turn.get(operation, 0)
            self._turn[operation] = turn + 1
            scripted = scripted[min(turn, len(scripted) - 1)]
        if isinstance(scripted, Callable):  # type: ignore[arg-type]
            scripted = scripted(arguments)
        if isinstance(scripted, BaseException):
            raise scripted
        return scripted

    def __getattr__(self, operation: str) -> Any:
        return lambda **arguments: self._answer(operation, arguments)


class StubSession:
    """A boto3 session of stub clients. log: every call as (service, operation, arguments)."""

    region_name = "eu-west-1"

    def __init__(self, answers: dict[tuple[str, str], Any] | None = None, missing: frozenset[str] = frozenset()):
        self.answers = answers or {}
        self.missing = missing
        self.log: list[tuple[str, str, dict[str, Any]]] = []
        self._clients: dict[str, StubClient] = {}

    def client(self, service: str, **_: Any) -> StubClient:
        return self._clients.setdefault(service, StubClient(service, self.answers, self.log))

    def get_available_regions(self, service: str, **_: Any) -> list[str]:
        return [] if service in self.missing else ["eu-west-1", "us-east-1"]
