"""The numbers of plg1: keys from a seed, thresholds from an average. Shared by the C and the NumPy kernel.

Frozen by the format (docs/format/chunking.md): a change here would cut everybody's data anew.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from msgspec import Struct

P1_ABOVE = 0x7FF7
"""A position is a candidate when its window hash, as a signed 16-bit number, is above this."""

_U64 = (1 << 64) - 1


class Plan(Struct, frozen=True):
    """All that a kernel needs to know: sizes in bytes, thresholds and keys as unsigned numbers."""

    min_bytes: int
    normal_bytes: int
    max_bytes: int
    t1: int
    t2: int
    k: tuple[int, ...]
    a: tuple[int, ...]
    b: tuple[int, ...]
    mf: int

    def words(self) -> bytes:
        """Return the plan as the native-endian 64-bit words of ``cdc_plan`` in _cdc_scan.h."""
        sizes = (self.min_bytes, self.normal_bytes, self.max_bytes, self.t1, self.t2)
        return struct.pack("=26Q", *sizes, *self.k, *self.a, *self.b, self.mf)


@lru_cache(maxsize=64)
def make_plan(avg_bytes: int, seed: int) -> Plan:
    """Return the plan of an average chunk size in bytes and a 64-bit seed."""
    stream = splitmix64(seed)
    k = (next(stream) & 0xFFFF | 1, *(word & 0xFFFD | 1 for word in islice(stream, 3)))
    pairs = [(next(stream), next(stream) | 1) for _ in range(8)]
    return Plan(
        min_bytes=avg_bytes // 2,
        normal_bytes=avg_bytes,
        max_bytes=4 * avg_bytes,
        t1=(1 << 75) // avg_bytes,
        t2=min((1 << 79) // avg_bytes, _U64),
        k=k,
        a=tuple(a for a, _ in pairs),
        b=tuple(b for _, b in pairs),
        mf=next(stream) | 1,
    )


def splitmix64(state: int) -> Iterator[int]:
    """Yield the 64-bit numbers of Vigna's splitmix64 that follow ``state``."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _U64
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & _U64
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _U64
        yield z ^ z >> 31


def hit_by_constant(plan: Plan) -> int | None:
    """Return the least byte whose endless repetition makes every position a candidate; None for a sound seed.

    Such data (zeros, above all) would have each position hashed twice, at a hundredth of the speed.
    """
    return next((byte for byte in range(256) if P1_ABOVE < _hash_of_constant(plan.k, byte) <= 0x7FFF), None)


def _hash_of_constant(k: tuple[int, ...], byte: int) -> int:
    word = byte * 0x101
    mixed = word * (k[0] + 1) & 0xFFFF
    hashed = (mixed << 8 | mixed >> 8) & 0xFFFF
    for factor in k[1:]:
        hashed = hashed * (factor + 1) & 0xFFFF
    return hashed
