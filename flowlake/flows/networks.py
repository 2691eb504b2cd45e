"""Address ranges with labels: the AWS address ranges and the user's known networks, longest prefix first.

The address ranges file lists one address under several services: the longest prefix wins, then the specific service
before EC2 before AMAZON.
"""

from __future__ import annotations

import csv
import io
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flowlake.flows.addresses import U64, V4_LENGTH, is_v4, range_of

LAST_RESORT = {"AMAZON": 2, "EC2": 1}
"""Services that stand behind others at the same prefix; all others come first, among themselves by name."""


class BadNetworks(ValueError):
    """The known networks file can't be read: which line, and why."""


@dataclass
class Ranges:
    """Labels by longest prefix. lengths: for each prefix length (of 128) its network addresses, sorted, and their
    labels.
    """

    lengths: list[tuple[int, U64, U64, npt.NDArray[np.int32]]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Ranges:
        """From (CIDR, label) pairs; of two equal CIDRs the first counts."""
        by_length: dict[int, dict[int, int]] = {}
        labels: dict[str, int] = {}
        for cidr, label in pairs:
            first, last = range_of(cidr)
            length = 128 - (last - first + 1).bit_length() + 1
            by_length.setdefault(length, {}).setdefault(first, labels.setdefault(label, len(labels)))
        result = cls(labels=list(labels))
        for length in sorted(by_length, reverse=True):
            entries = sorted(by_length[length].items())
            high = np.array([first >> 64 for first, _ in entries], dtype=np.uint64)
            low = np.array([first & 0xFFFFFFFFFFFFFFFF for first, _ in entries], dtype=np.uint64)
            result.lengths.append((length, high, low, np.array([code for _, code in entries], dtype=np.int32)))
        return result

    def find(self, high: U64, low: U64) -> npt.NDArray[np.int32]:
        """For each address the row of its label, -1 where no range holds it."""
        found = np.full(len(high), -1, dtype=np.int32)
        open_ = np.arange(len(high))
        for length, firsts_high, firsts_low, codes in self.lengths:
            if not len(open_):
                break
            mask_high, mask_low = _masks(length)
            h, lo = high[open_] & mask_high, low[open_] & mask_low
            at = np.zeros(len(open_), dtype=np.int64)
            if length > 64:
                # IPv4 (high is 0) and long IPv6 prefixes: compare both halves as one key.
                keys = firsts_high.astype(object) if bool((firsts_high != 0).any()) else None
                if keys is None:
                    at = np.minimum(np.searchsorted(firsts_low, lo), len(firsts_low) - 1)
                else:
                    whole = np.array(
                        [(int(a) << 64) | int(b) for a, b in zip(firsts_high, firsts_low, strict=True)], dtype=object
                    )
                    asked = np.array([(int(a) << 64) | int(b) for a, b in zip(h, lo, strict=True)], dtype=object)
                    at = np.minimum(np.searchsorted(whole, asked), len(whole) - 1)
            else:
                at = np.minimum(np.searchsorted(firsts_high, h), len(firsts_high) - 1)
            same = (firsts_high[at] == h) & (firsts_low[at] == lo)
            if length < V4_LENGTH:
                # ::/0 holds the whole of IPv6; IPv4, which stands among it as numbers, is another space.
                same &= ~is_v4(high[open_], low[open_])
            found[open_[same]] = codes[at[same]]
            open_ = open_[~same]
        return found


def _masks(length: int) -> tuple[np.uint64, np.uint64]:
    mask = ((1 << length) - 1) << (128 - length)
    return np.uint64(mask >> 64), np.uint64(mask & 0xFFFFFFFFFFFFFFFF)


def aws_ranges(rows: Iterable[Mapping[str, object]]) -> Ranges:
    """The AWS ranges from rows of the ip_ranges table that hold at one moment; labels are service codes."""
    listed = sorted((LAST_RESORT.get(str(r["service"]), 0), str(r["service"]), str(r["prefix"])) for r in rows)
    return Ranges.of((prefix, service) for _, service, prefix in listed)


def known_networks(text: str) -> Ranges:
    """Known networks from CSV lines 'cidr,name' (a header line and # comments are passed over). Raises BadNetworks."""
    pairs: list[tuple[str, str]] = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not row or row[0].strip().startswith("#") or (number == 1 and row[0].strip().lower() == "cidr"):
            continue
        if len(row) < 2 or not row[1].strip():
            raise BadNetworks(f"known networks, line {number}: write cidr,name")
        try:
            ipaddress.ip_network(row[0].strip(), strict=False)
        except ValueError as error:
            raise BadNetworks(f"known networks, line {number}: {error}") from error
        pairs.append((row[0].strip(), row[1].strip()))
    return Ranges.of(pairs)
