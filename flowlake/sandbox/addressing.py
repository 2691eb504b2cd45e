"""Addresses of subnets over time: taken, given back, taken again within seconds."""

from __future__ import annotations

import ipaddress
from collections import deque

REST_MILLISECONDS = 1_500
"""How long an address rests after its holder went, before it can be given to another."""


class SubnetFull(RuntimeError):
    """No address is left in the subnet: the estate's sizes do not fit its ranges."""


class Addresses:
    """One subnet's addresses. Ask in order of time. The one freed last is given first."""

    def __init__(self, cidr: str) -> None:
        network = ipaddress.IPv4Network(cidr)
        self._first = int(network.network_address)
        self._next = self._first + 4  # AWS keeps the first four
        self._end = self._first + network.num_addresses - 1  # and the last
        self._prefix_end = self._end + 1
        self._freed: deque[tuple[int, int]] = deque()

    def take(self, at: int, fresh: bool = False) -> str:
        """An address that nobody holds at this time; a never used one if fresh."""
        if not fresh:
            for place in range(1, min(4, len(self._freed)) + 1):
                free_from, address = self._freed[-place]
                if free_from <= at:
                    del self._freed[-place]
                    return str(ipaddress.IPv4Address(address))
        if self._next < min(self._end, self._prefix_end):
            self._next += 1
            return str(ipaddress.IPv4Address(self._next - 1))
        for place, (free_from, address) in enumerate(self._freed):
            if free_from <= at:
                del self._freed[place]
                return str(ipaddress.IPv4Address(address))
        raise SubnetFull(f"no address left at {ipaddress.IPv4Address(self._first)}")

    def take_prefix(self) -> str:
        """A /28 from the far end of the subnet."""
        self._prefix_end -= 16
        if self._prefix_end <= self._next:
            raise SubnetFull(f"no prefix left at {ipaddress.IPv4Address(self._first)}")
        return f"{ipaddress.IPv4Address(self._prefix_end)}/28"

    def give_back(self, address: str, at: int) -> None:
        self._freed.append((at + REST_MILLISECONDS, int(ipaddress.IPv4Address(address))))
