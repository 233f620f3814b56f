"""Look-ups in the index: rows in LMDB, and the same rows frozen into runs; bytes a row of both."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pfs.ids import PackId
from pfs.packs.index import Index
from pfs.packs.pack import ENTRY, SealedPack

Row = dict[str, object]
_PACK = 262_144
"""Rows of a pack: the most that it has."""
_BATCH = 4096
_ROUNDS = 7


def run(*, quick: bool) -> list[Row]:
    """Return rows of look-ups a second and of bytes a row."""
    count = (200_000 if quick else 5_000_000) // _PACK * _PACK or _PACK
    ids = np.random.default_rng(1).bytes(32 * count)
    with tempfile.TemporaryDirectory(prefix="pfs-bench-") as name:
        folder = Path(name)
        both = {"LMDB": _filled(folder / "lmdb", ids), "runs": _filled(folder / "runs", ids)}
        begun = time.perf_counter()
        both["runs"].compact(at=1)
        froze_s = time.perf_counter() - begun
        rows = _sizes(folder, count, froze_s)
        rows += _lookups(both, ids, count)
        for index in both.values():
            index.close()
    return rows


def _filled(folder: Path, ids: bytes) -> Index:
    index = Index.open(folder, store_uuid="bench")
    every = np.frombuffer(ids, "V32")
    for number, start in enumerate(range(0, len(every), _PACK)):
        entries = np.zeros(len(every[start : start + _PACK]), ENTRY)
        entries["id"], entries["off"] = np.sort(every[start : start + _PACK]), 32
        entries["type"] = 1
        index.add([SealedPack(PackId(number.to_bytes(16, "big")), "d", 1 << 26, 0, entries.tobytes())])
    return index


def _sizes(folder: Path, count: int, froze_s: float) -> list[Row]:
    lmdb = (folder / "lmdb" / "data.mdb").stat().st_blocks * 512 / count
    run = sum(file.stat().st_size for file in (folder / "runs" / "frozen").iterdir()) / count
    print(f"bytes a row: LMDB {lmdb:.1f}, runs {run:.1f}; freezing {froze_s / count * 1e6:.2f} us a row", flush=True)
    case = f"{count:,} rows"
    return [
        {"suite": "index_rows", "case": case, "variant": f"LMDB, {lmdb:.1f} bytes a row"},
        {"suite": "index_rows", "case": case, "variant": f"runs, {run:.1f} bytes a row, freezing", "seconds": froze_s},
    ]


def _lookups(both: dict[str, Index], ids: bytes, count: int) -> list[Row]:
    chance = np.random.default_rng(2)
    rows: list[Row] = []
    for size in (_BATCH, 1):
        for what in ("hits", "misses"):
            taken: dict[str, list[float]] = {name: [] for name in both}
            for _ in range(_ROUNDS):
                batches = [
                    _batch(chance, ids, count, size if what == "hits" else -size)
                    for _ in range(16 if size > 1 else 3000)
                ]
                for name, index in both.items():
                    taken[name].append(_timed(index.find, batches) / len(batches) / size)
            for name, times in taken.items():
                ratio = statistics.median(a / b for a, b in zip(taken["LMDB"], times, strict=True))
                seconds = statistics.median(times)
                case = f"{what}, {size:,} ids at once"
                row: Row = {"suite": "index_rows", "case": case, "variant": name, "seconds": seconds}
                rows.append(row | {"ratio": ratio, "baseline": "LMDB"})
                print(
                    f"{case}: {name} {seconds * 1e6:.2f} us each, {1 / seconds:,.0f} a second, {ratio:.2f}", flush=True
                )
    return rows


def _batch(chance: np.random.Generator, ids: bytes, count: int, size: int) -> list[bytes]:
    """Return ids that there are, or for a negative size ids that there are not."""
    if size < 0:
        strange = chance.bytes(32 * -size)
        return [strange[at : at + 32] for at in range(0, len(strange), 32)]
    return [ids[32 * at : 32 * at + 32] for at in chance.integers(0, count, size).tolist()]


def _timed(find: Callable[[list[bytes]], object], batches: list[list[bytes]]) -> float:
    begun = time.perf_counter()
    for batch in batches:
        find(batch)
    return time.perf_counter() - begun
