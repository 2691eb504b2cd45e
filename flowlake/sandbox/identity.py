"""Ids as AWS makes them, from a seed: the same seed gives the same ids."""

from __future__ import annotations

import hashlib
import uuid


class Ids:
    """Makes ids. Each kind counts for itself, so that more of one kind changes no id of another."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._counts: dict[str, int] = {}

    def digest(self, kind: str, length: int = 17) -> str:
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        return hashlib.blake2b(f"{self._seed}/{kind}/{count}".encode(), digest_size=32).hexdigest()[:length]

    def new(self, prefix: str) -> str:
        """'eni' gives eni-0 and 16 hex digits."""
        return f"{prefix}-0{self.digest(prefix, 16)}"

    def uuid(self, kind: str) -> str:
        return str(uuid.UUID(self.digest(kind, 32)))

    def account(self) -> str:
        return str(int(self.digest("account", 12), 16) % 900_000_000_000 + 10_000_000_000).zfill(12)


def digest(text: str, length: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()[:length]
