"""Chunker kernels beside FastCDC from PyPI, BLAKE3, xxh3 and plainly reading the memory.

All contestants of a case take turns on one buffer of random bytes, one thread; seconds are the thread's CPU time,
medians over the rounds, and a ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from statistics import median

from benchmarks.install_peers import add_libraries
from pfs.chunker import ChunkerParams, Kernel, kernels

Work = Callable[[bytes], object]

READ, RIVAL = "memory read", "pyfastcdc"
KIB = 1024


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return a row for each contestant and baseline: MB/s, and the ratio of its speed to the baseline's."""
    source = random.Random(1)
    data = b"".join(source.randbytes(16 << 20) for _ in range(2 if quick else 16))
    rows: list[dict[str, object]] = []
    for avg in (64 * KIB, 256 * KIB, 1024 * KIB, 2048 * KIB):
        works = {**_readers(), **_rivals(avg), **_ours(avg)}
        seconds = _take_turns(works, data, rounds=3 if quick else 9)
        case = f"avg {avg // KIB} KiB"
        rows += [_row(case, name, len(data), seconds, READ) for name in works]
        rows += [_row(case, name, len(data), seconds, RIVAL) for name in _ours(avg) if RIVAL in works]
    return rows


def _take_turns(works: dict[str, Work], data: bytes, *, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            begun = time.thread_time()
            work(data)
            if turn > 0:  # the first warms up
                seconds[name].append(time.thread_time() - begun)
    return seconds


def _row(case: str, name: str, size: int, seconds: dict[str, list[float]], baseline: str) -> dict[str, object]:
    own = median(seconds[name])
    ratio = None
    if baseline in seconds:
        ratio = median(theirs / ours for theirs, ours in zip(seconds[baseline], seconds[name], strict=True))
    return {
        "suite": "chunker",
        "case": case,
        "variant": name,
        "bytes": size,
        "seconds": own,
        "mb_s": size / own / 1e6,
        "ratio": ratio,
        "baseline": baseline,
    }


def _ours(avg: int) -> dict[str, Work]:
    params = ChunkerParams(avg)

    def cut(kernel: Kernel, data: bytes) -> list[int]:
        return kernel.cuts(data, params, final=True)

    return {kernel.name: partial(cut, kernel) for kernel in kernels()}


def _readers() -> dict[str, Work]:
    from blake3 import blake3
    from xxhash import xxh3_128

    hashes: dict[str, Work] = {
        "blake3": lambda data: blake3(data).digest(),
        "xxh3_128": lambda data: xxh3_128(data).digest(),
    }
    try:
        from pfs import _cdc
    except ImportError:
        return hashes
    return {READ: _cdc.read_sum, **hashes}


def _rivals(avg: int) -> dict[str, Work]:
    """FastCDC with its packages' own limits, and pyfastcdc also with our minimum of half the average."""
    works: dict[str, Work] = {}
    add_libraries()
    try:
        from pyfastcdc import FastCDC

        rival = FastCDC(avg, normalized_chunking=2)
        same_minimum = FastCDC(avg, min_size=avg // 2, normalized_chunking=2)
        works[RIVAL] = lambda data: deque(rival.cut_buf(data), 0)
        works[f"{RIVAL}, min avg/2"] = lambda data: deque(same_minimum.cut_buf(data), 0)
    except ImportError:
        pass
    try:
        from fastcdc import fastcdc

        works["fastcdc"] = lambda data: deque(fastcdc(data, avg // 4, avg, 4 * avg), 0)
    except ImportError:
        pass
    return works
