"""The plg1 kernel in NumPy: the twin of _cdc.c, for machines without a compiler.

Candidates depend on the 448 bytes before them, not on where a chunk starts. So a block of positions is
hashed at once, in 16-bit lanes, one pass for even and one for odd positions, and its few candidates are
then walked in order.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pfs._plg_plan import P1_ABOVE, Plan

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]
Lanes: TypeAlias = npt.NDArray[np.uint16]

_BLOCK = 1 << 17
"""Positions hashed at once: the lanes of each stage then stay in a core's L2 cache."""
_REACH = 447
"""Bytes before a position that its window hash looks at."""
_LAGS = (30, 64, 128)
"""In lanes of two bytes: 60, 128 and 256 bytes."""


def cuts(data: bytes | bytearray | memoryview, plan: Plan, *, final: bool, limit: int) -> list[int]:
    """Return the end offsets of the chunks of ``data``; ``limit`` 0 means all. See ``pfs.chunker.Kernel``."""
    scan = _Scan(np.frombuffer(data, np.uint8), plan)
    offsets: list[int] = []
    start, size = 0, len(scan.data)
    while start < size and (limit == 0 or len(offsets) < limit):
        length = _first(scan, start, final=final)
        if length == 0:
            break
        start += length
        offsets.append(start)
    return offsets


def _first(scan: _Scan, start: int, *, final: bool) -> int:
    """Return the length of the chunk at ``start``; 0 when that depends on bytes which may still follow."""
    plan, left = scan.plan, len(scan.data) - start
    if left <= plan.min_bytes:
        return left if final else 0
    most = min(left, plan.max_bytes)
    end = scan.boundary(start, start + plan.min_bytes - 1, start + most - 1)
    if end is not None:
        return end + 1 - start
    return most if final or most == plan.max_bytes else 0


class _Scan:
    """Finds boundaries in ``data``, and keeps the candidates of the block that it hashed last."""

    __slots__ = ("_found", "_start", "_stop", "data", "plan")

    def __init__(self, data: Bytes, plan: Plan) -> None:
        self.data, self.plan = data, plan
        self._start = self._stop = 0
        self._found: list[tuple[int, int]] = []

    def boundary(self, start: int, lo: int, hi: int) -> int | None:
        """Return the first last byte in [lo, hi) of a chunk that begins at ``start``."""
        normal = start + self.plan.normal_bytes - 1
        while lo < hi:
            if not self._start <= lo < self._stop:
                self._hash_block(lo)
            stop = min(hi, self._stop)
            for position, strong in self._found:
                limit = self.plan.t1 if position < normal else self.plan.t2
                if strong < limit and lo <= position < stop:
                    return position
            lo = stop
        return None

    def _hash_block(self, start: int) -> None:
        self._start, self._stop = start, min(start + _BLOCK, len(self.data))
        hits = [_candidates(self.data, self.plan.k, range(first, self._stop, 2)) for first in (start, start + 1)]
        positions = np.sort(np.concatenate(hits))
        strong = _strong_hashes(self.data, self.plan, positions)
        self._found = list(zip(positions.tolist(), strong.tolist(), strict=True))


def _candidates(data: Bytes, k: tuple[int, ...], positions: range) -> npt.NDArray[np.int64]:
    """Return those of ``positions`` (every second one) that pass P1."""
    k0, *factors = (np.uint16(factor) for factor in k)
    lanes = np.frombuffer(data, "<u2", len(positions) + _REACH // 2, positions.start - _REACH)
    hashed: Lanes = lanes[1:] * k0
    hashed += lanes[:-1]
    hashed.byteswap(inplace=True)
    for factor, lag in zip(factors, _LAGS, strict=True):
        lagged = hashed
        hashed = lagged[lag:] * factor
        hashed += lagged[:-lag]
    return positions.start + 2 * np.flatnonzero(hashed.view(np.int16) > P1_ABOVE)


def _strong_hashes(data: Bytes, plan: Plan, positions: npt.NDArray[np.int64]) -> Words:
    """Return the P2 hash of the 64 bytes that end at each position."""
    windows = data[positions[:, None] + np.arange(-63, 1)].view("<u8")
    keys, factors = np.array(plan.a, np.uint64), np.array(plan.b, np.uint64)
    total: Words = ((windows ^ keys) * factors).sum(axis=1, dtype=np.uint64)
    total ^= total >> np.uint64(32)
    total *= np.uint64(plan.mf)
    total ^= total >> np.uint64(29)
    return total
