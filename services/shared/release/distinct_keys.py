"""How many different keys there were, from their hashes, in 2 KiB: HyperLogLog. Pure.

The estimator is Ertl's (arXiv 1702.01284, algorithm 6): unbiased from one key to billions, without tables. Its
standard error is ERROR. The keys of an arm have hashes that begin alike, so only the low bits, which the routing leaves
even, are used: INDEX_BITS choose a register, the next RANK_BITS make the rank.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

INDEX_BITS = 11
RANK_BITS = 40
REGISTERS = 1 << INDEX_BITS
ERROR = 1.04 / math.sqrt(REGISTERS)  # 2.3 %, the standard deviation of estimate / truth

_INDEX_MASK = REGISTERS - 1
_RANK_MASK = (1 << RANK_BITS) - 1
_RANKS = bytes(range(RANK_BITS + 2))
_LOW_BITS = tuple((1 << min(rank, RANK_BITS)) - 1 for rank in range(RANK_BITS + 2))


@dataclass(frozen=True, slots=True)
class DistinctKeysSnapshot:
    """One byte for each register. Merging is a union: a key that two processes saw counts once."""

    registers: bytes = bytes(REGISTERS)

    def estimate(self) -> float:
        """About how many different keys were added."""
        return _estimate(self.registers)

    def merge(self, other: DistinctKeysSnapshot) -> DistinctKeysSnapshot:
        if other is self or other is NO_KEYS:
            return self
        if self is NO_KEYS:
            return other
        mine, others = (np.frombuffer(snapshot.registers, np.uint8) for snapshot in (self, other))
        return DistinctKeysSnapshot(np.maximum(mine, others).tobytes())

    def to_json(self) -> str:
        return base64.b64encode(self.registers).decode()

    @classmethod
    def from_json(cls, document: str) -> DistinctKeysSnapshot:
        """Raises ValueError for a text that `to_json` did not make."""
        registers = binascii.a2b_base64(document, strict_mode=True)  # a fifth of the time of `base64`'s own check
        if len(registers) != REGISTERS or registers.translate(None, _RANKS):
            raise ValueError(f"distinct keys have {REGISTERS} registers of at most {RANK_BITS + 1}")
        return cls(registers)


NO_KEYS = DistinctKeysSnapshot()


class DistinctKeys:
    """Adds the hashes of keys (64 even bits each). Not locked: one thread adds."""

    __slots__ = ("_registers",)

    def __init__(self) -> None:
        self._registers = bytearray(REGISTERS)

    def add(self, key_hash: int) -> None:
        self.add_all((key_hash,))

    def add_all(self, key_hashes: Sequence[int]) -> None:
        registers = self._registers
        for key_hash in key_hashes:
            register = key_hash & _INDEX_MASK
            rest = key_hash >> INDEX_BITS
            # The rank counts from 1 to the lowest bit that is set: more than the register's where as many are clear.
            if not rest & _LOW_BITS[registers[register]]:
                rest &= _RANK_MASK
                registers[register] = (rest & -rest).bit_length() if rest else RANK_BITS + 1

    def snapshot(self) -> DistinctKeysSnapshot:
        return DistinctKeysSnapshot(bytes(self._registers))


@lru_cache(maxsize=512)  # who checks the split and who tells people of it ask about the same registers
def _estimate(registers: bytes) -> float:
    counts: list[int] = np.bincount(np.frombuffer(registers, np.uint8), minlength=RANK_BITS + 2).tolist()
    z = REGISTERS * _tau(1 - counts[RANK_BITS + 1] / REGISTERS)
    for rank in range(RANK_BITS, 0, -1):
        z = 0.5 * (z + counts[rank])
    z += REGISTERS * _sigma(counts[0] / REGISTERS)
    return REGISTERS**2 / (2 * math.log(2) * z)


def _sigma(x: float) -> float:
    """x + sum over k of x^(2^k) 2^(k-1), the correction for registers that no key reached; infinite for x = 1."""
    if x == 1:
        return math.inf
    y, total, before = 1.0, x, -1.0
    while total != before:
        x *= x
        before = total
        total += x * y
        y += y
    return total


def _tau(x: float) -> float:
    """(1 - x - sum over k of (1 - x^(2^-k))^2 2^-k) / 3, the correction for registers that are full."""
    if x in (0, 1):
        return 0.0
    y, total, before = 1.0, 1 - x, -1.0
    while total != before:
        x = math.sqrt(x)
        before = total
        y *= 0.5
        total -= (1 - x) ** 2 * y
    return total / 3
