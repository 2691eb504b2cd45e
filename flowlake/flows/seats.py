"""Numbers that Spark's hash partitioning spreads evenly, where those from 0 on would leave one partition with twice
what another has.

Only the evenness rests on how Spark hashes: with another hash the same rows come out.
"""

from __future__ import annotations

_WORD = 0xFFFFFFFF
_SEED = 42


def seats(partitions: int, each: int) -> list[int]:
    """Numbers of which repartition(partitions, number) sends each partition as many, the partitions taking turns."""
    held: list[list[int]] = [[] for _ in range(partitions)]
    number = 0
    while any(len(numbers) < each for numbers in held):
        numbers = held[partition_of(number, partitions)]
        if len(numbers) < each:
            numbers.append(number)
        number += 1
    return [numbers[turn] for turn in range(each) for numbers in held]


def partition_of(number: int, partitions: int) -> int:
    """Where Spark puts an int: pmod(hash(number), partitions), which is MurmurHash3 (x86, 32 bits, seed 42)."""
    word = number * 0xCC9E2D51 & _WORD
    word = _turned(word, 15) * 0x1B873593 & _WORD
    hashed = _turned(_SEED ^ word, 13) * 5 + 0xE6546B64 & _WORD
    hashed ^= 4  # bytes that were hashed
    hashed = (hashed ^ hashed >> 16) * 0x85EBCA6B & _WORD
    hashed = (hashed ^ hashed >> 13) * 0xC2B2AE35 & _WORD
    hashed ^= hashed >> 16
    signed = hashed - (1 << 32) if hashed >> 31 else hashed
    return signed % partitions


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _WORD
