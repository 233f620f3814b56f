"""Small parts on their own: the compression gate, hashing of small files, look-ups in trees and the index, planning.

Each beside the plainest thing that does as much: compressing at once, one call of BLAKE3 a file, a bare LMDB, a
dictionary, a loop over the datums. They take turns; seconds are the thread's CPU time for all of the case's items.
"""

from __future__ import annotations

import random
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import lmdb
import numpy as np

import pfs
from benchmarks import data
from benchmarks.history import _put
from benchmarks.tree_runs import path_of
from pfs.ids import chunk_id
from pfs.packs.compress import compress, is_compressible
from pps.datums.plan import Columns, Digests, compare, digests

Works = dict[str, Callable[[], object]]
KIB = 1024


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return a row for each contestant: seconds of all items, and the ratio of its speed to the baseline's."""
    rounds = 3 if quick else 9
    rows = list[dict[str, object]]()
    for case, works in [*_gate(), *_hashing(), *_planning(20_000 if quick else 1_000_000)]:
        rows += _rows(case, works, rounds)
    with tempfile.TemporaryDirectory(prefix="pfs-bench-") as folder:
        for case, works in _looking_up(Path(folder), 5_000 if quick else 200_000):
            rows += _rows(case, works, rounds)
    return rows


def _rows(case: str, works: Works, rounds: int) -> list[dict[str, object]]:
    """Let them take turns; the last one is the baseline."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            begun = time.thread_time()
            work()
            if turn > 0:  # the first warms up
                taken[name].append(time.thread_time() - begun)
    *ours, baseline = works
    rows: list[dict[str, object]] = [
        {
            "suite": "micro",
            "case": case,
            "variant": name,
            "seconds": median(taken[name]),
            "ratio": median(b / a for a, b in zip(taken[name], taken[baseline], strict=True)),
            "baseline": baseline,
        }
        for name in ours
    ]
    return [*rows, {"suite": "micro", "case": case, "variant": baseline, "seconds": median(taken[baseline])}]


def _gate() -> Iterator[tuple[str, Works]]:
    chance = random.Random(1)
    with _text() as text:
        for size in (8 * KIB, 256 * KIB):
            starts = [chance.randrange(len(text) - size) for _ in range(16)]
            for what, chunks in (
                ("random", [chance.randbytes(size) for _ in range(16)]),
                ("text", [text[start : start + size] for start in starts]),
            ):
                gate, pack = partial(_all, is_compressible, chunks), partial(_all, compress, chunks)
                yield f"gate, 16 chunks of {size // KIB} KiB, {what}", {"gate": gate, "compress at once": pack}


@contextmanager
def _text() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="pfs-bench-") as folder:
        data.csv_file(Path(folder) / "text", 4 * data.MIB, seed=1)
        yield (Path(folder) / "text").read_bytes()


def _hashing() -> Iterator[tuple[str, Works]]:
    from blake3 import blake3

    chance = random.Random(2)
    for size in (1 * KIB, 10 * KIB, 256 * KIB):
        chunks = [chance.randbytes(size) for _ in range(1000 if size < 100 * KIB else 100)]
        works: Works = {"chunk_id": partial(_all, chunk_id, chunks)}
        works["blake3"] = partial(_all, lambda chunk: blake3(chunk).digest(), chunks)
        yield f"hash {len(chunks):,} chunks of {size // KIB} KiB", works


def _planning(count: int) -> Iterator[tuple[str, Works]]:
    chance = np.random.default_rng(3)
    ids = np.sort(digests(chance.bytes(32 * count)))
    hashes = digests(chance.bytes(32 * count))
    columns = Columns(ids, hashes)

    def loop(ids: Digests, hashes: Digests) -> int:
        known = dict(zip(ids.tolist(), hashes.tolist(), strict=True))
        return sum(known.get(one) != two for one, two in zip(ids.tolist(), hashes.tolist(), strict=True))

    works: Works = {"columns": lambda: compare(columns, columns), "loop": lambda: loop(ids, hashes)}
    yield f"plan {count:,} unchanged datums", works


def _looking_up(place: Path, count: int) -> Iterator[tuple[str, Works]]:
    chance = random.Random(4)
    names = [path_of(number).encode() for number in range(count)]
    chunks = [chunk_id(b"%d" % number) for number in range(count)]
    with lmdb.open(str(place / "bare"), map_size=1 << 30) as bare, bare.begin(write=True) as txn:
        txn.cursor().putmulti((id, id) for id in sorted(chunks))
    pfs.init(place / "store").close()
    with pfs.open(place / "store") as store:
        repo = store.create_repo("data")
        with repo.commit("master") as commit:
            for number, name in enumerate(names):
                _put(commit, name, b"%d" % number)
        tree, some = repo["master"].tree, chance.sample(names, 1000)
        yield (
            f"1,000 look-ups in a tree of {count:,} files",
            {"tree": partial(_all, tree.stat, some), "bisect a list": partial(_all, partial(bisect_left, names), some)},
        )
        wanted = chance.sample(chunks, 1000)
        with lmdb.open(str(place / "bare"), map_size=1 << 30, readonly=True) as bare:
            works: Works = {"index": lambda: store.index.find(wanted), "bare LMDB": lambda: _getmulti(bare, wanted)}
            yield f"1,000 look-ups in an index of {count:,} chunks", works


def _getmulti(bare: lmdb.Environment, wanted: list[bytes]) -> int:
    with bare.begin() as txn:
        return len(txn.cursor().getmulti(sorted(wanted)))


def _all(work: Callable[[bytes], object], items: list[bytes]) -> None:
    for item in items:
        work(item)
