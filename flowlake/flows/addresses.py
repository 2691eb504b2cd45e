"""Addresses as numbers, many at a time.

An address is a pair of unsigned 64-bit integers (high, low) of its 128 bits; IPv4 stands at ::ffff:0:0/96, as RFC
4291 maps it. A text that is no address is the pair NONE.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowlake.flows.finding import in_ranges

U64 = npt.NDArray[np.uint64]

V4 = 0xFFFF << 32
V4_LENGTH = 96
"""Length of the prefix under which all IPv4 addresses stand."""
NONE_HIGH = np.uint64(0xFFFFFFFFFFFFFFFF)
NONE_LOW = np.uint64(0)
_LOW = 0xFFFFFFFFFFFFFFFF


def parse(texts: Sequence[str | None]) -> tuple[U64, U64]:
    """Texts as (high, low); null and what is no address become NONE."""
    with suppress(OSError, TypeError, ValueError):  # all of them IPv4, as most often
        octets = b"".join([socket.inet_pton(socket.AF_INET, text) for text in texts])  # type: ignore[arg-type]
        return np.zeros(len(texts), np.uint64), np.frombuffer(octets, dtype=">u4").astype(np.uint64) | np.uint64(V4)
    packed = bytearray()
    for text in texts:
        packed += _packed(text)
    pairs = np.frombuffer(bytes(packed), dtype=">u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


_NO_ADDRESS = b"\xff" * 8 + b"\0" * 8
_V4_PREFIX = b"\0" * 10 + b"\xff\xff"


def _packed(text: str | None) -> bytes:
    if text is None:
        return _NO_ADDRESS
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text)
        return _V4_PREFIX + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return _NO_ADDRESS


def as_int(text: str) -> int:
    """One address as a 128-bit integer, IPv4 mapped. Raises ValueError."""
    packed = _packed(text)
    if packed == _NO_ADDRESS:
        raise ValueError(f"'{text}' is no address")
    return int.from_bytes(packed, "big")


def range_of(cidr: str) -> tuple[int, int]:
    """First and last address of a range, as 128-bit integers. Raises ValueError."""
    network = ipaddress.ip_network(cidr, strict=False)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4:
        return first + V4, last + V4
    return first, last


def is_none(high: U64) -> npt.NDArray[np.bool_]:
    return high == NONE_HIGH


def is_v4(high: U64, low: U64) -> npt.NDArray[np.bool_]:
    """IPv4 addresses, among all."""
    return (high == 0) & ((low >> np.uint64(32)) == np.uint64(0xFFFF))


def held(first: int, last: int, high: U64, low: U64) -> npt.NDArray[np.bool_]:
    """Whether addresses lie between these two, as range_of has them, both included."""
    fh, fl, lh, ll = (np.uint64(v) for v in (first >> 64, first & _LOW, last >> 64, last & _LOW))
    after = (high > fh) | ((high == fh) & (low >= fl))
    before = (high < lh) | ((high == lh) & (low <= ll))
    return after & before


def _ends(cidrs: Sequence[str]) -> tuple[U64, U64]:
    """First and last addresses of IPv4 ranges."""
    firsts, lasts = zip(*map(range_of, cidrs), strict=True)
    return np.array(firsts, dtype=np.uint64), np.array(lasts, dtype=np.uint64)


PRIVATE_V4 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
NOT_PUBLIC_V4 = (*PRIVATE_V4, "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/3")
_PRIVATE, _NOT_PUBLIC = _ends(PRIVATE_V4), _ends(NOT_PUBLIC_V4)


def is_rfc1918(high: U64, low: U64) -> npt.NDArray[np.bool_]:
    """RFC 1918 for IPv4 (by number, so 172.2.0.1 is not), RFC 4193 (fc00::/7) for IPv6."""
    return in_ranges(*_PRIVATE, high, low) | ((high >> np.uint64(57)) == np.uint64(0xFC >> 1))


def is_public(high: U64, low: U64) -> npt.NDArray[np.bool_]:
    """Neither private nor shared, link-local, loopback, multicast or reserved; IPv6: 2000::/3."""
    public = is_v4(high, low) & ~in_ranges(*_NOT_PUBLIC, high, low)
    return public | ((high >> np.uint64(61)) == np.uint64(1))


_OCTETS = pa.array([str(i) for i in range(256)])


def to_texts(high: U64, low: U64) -> pa.StringArray:
    """Addresses as texts, IPv4 dotted and IPv6 as RFC 5952 writes it; null for NONE."""
    v4 = is_v4(high, low)
    octets = [_OCTETS.take(pa.array((low[v4] >> np.uint64(shift)).astype(np.uint8))) for shift in (24, 16, 8, 0)]
    dotted = pc.binary_join_element_wise(*octets, ".")
    others = np.flatnonzero(~v4)
    longer = [
        None if h == NONE_HIGH and lo == NONE_LOW else str(ipaddress.IPv6Address((h << 64) | lo))
        for h, lo in zip(high[others].tolist(), low[others].tolist(), strict=True)
    ]
    place = np.empty(len(high), dtype=np.int64)
    place[v4] = np.arange(len(dotted))
    place[others] = len(dotted) + np.arange(len(others))
    return pa.concat_arrays([dotted, pa.array(longer, pa.string())]).take(pa.array(place))
