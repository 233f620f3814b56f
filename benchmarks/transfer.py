"""Put and get of one large file and of many small ones, beside copying them and beside only hashing them.

Seconds are wall time on all processors, medians over the rounds; the contestants take turns in each round on files in
the page cache. What is durable when it returns (put) is compared with a copy that is synced, what is not (get) with one
that is not. A ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pfs.backends.local import LocalBackend
from pfs.chunker import ChunkerParams
from pfs.files.ingest import put_files, put_stream
from pfs.files.restore import restore_file, restore_tree
from pfs.ids import chunk_id
from pfs.packs.index import Index
from pfs.packs.objects import Objects
from pfs.packs.session import WriteSession
from pfs.trees.edit import Put, edit
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree

MIB = 1 << 20
SYNCED, PLAIN, HASH = "copy + sync", "copy", "read + blake3"
BASELINES = {"put": SYNCED, "put again": HASH, "get": PLAIN, SYNCED: None, PLAIN: None, HASH: None}
"""What each contestant is compared with."""


@dataclass
class Store:
    """The parts of a store that move bytes; a commit adds one small pack and the swap of the refs."""

    place: Path

    def __post_init__(self) -> None:
        self.backend = LocalBackend(self.place)
        self.index = Index.open(self.place / "index.lmdb", store_uuid="benchmark")
        self.objects = Objects(self.backend, self.index, on_missing=lambda: False)
        self.params = ChunkerParams()

    def put(self, source: Path) -> Root:
        """Store a file, or all files of a directory; durable when it returns."""
        session = WriteSession(self.backend, self.index, self.objects)
        if source.is_dir():
            files = ((os.fsencode(file.name), file) for file in sorted(source.iterdir()))
            edits = [Put(key, ref.kind, ref.size, ref.tid) for key, ref, _ in put_files(session, self.params, files)]
        else:
            with source.open("rb", buffering=0) as stream:
                ref = put_stream(session, self.params, stream)
            edits = [Put(b"file", ref.kind, ref.size, ref.tid)]
        root = edit(session, EMPTY_ROOT, edits, changed=None)
        self.index.add(session.seal())
        return root

    def get(self, root: Root, target: Path) -> None:
        """Restore it below ``target``."""
        tree = Tree(self.objects, root)
        row: Row | None = tree.stat(b"file")
        if row is None:
            restore_tree(self.objects, tree, b"", target)
        else:
            restore_file(self.objects, row, target / "file")


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return a row for each contestant of each case: MB/s, and the ratio of its speed to its baseline's."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="pfs-bench-") as directory:
        place = Path(directory)
        for case, source in _sources(place, quick=quick).items():
            rows += _measure(case, source, place / "work", rounds=2 if quick else 5)
    return rows


def _sources(place: Path, *, quick: bool) -> dict[str, Path]:
    chance = random.Random(1)
    large, count = (64, 2000) if quick else (1024, 20_000)
    noise, text, small = place / "noise", place / "text", place / "small"
    with noise.open("wb") as out:
        for _ in range(large):
            out.write(chance.randbytes(MIB))
    with text.open("wb") as out:
        for _ in range(large // 4):
            out.write(_text(chance, MIB))
    small.mkdir()
    for number in range(count):
        size = chance.randrange(1024, 20_480)
        data = chance.randbytes(size) if number % 2 else _text(chance, size)
        (small / f"{number:05}").write_bytes(data)
    return {
        f"1 file of {large} MiB, random": noise,
        f"1 file of {large // 4} MiB, numbers as text": text,
        f"{count:,} files of 1-20 KiB, half text": small,
    }


def _text(chance: random.Random, size: int) -> bytes:
    row = ",".join(str(chance.randrange(10_000)) for _ in range(20))
    lines = [f"{chance.randrange(1 << 30)},{row[chance.randrange(40) :]}" for _ in range(size // 60 + 1)]
    return "\n".join(lines).encode()[:size]


def _measure(case: str, source: Path, work: Path, *, rounds: int) -> list[dict[str, object]]:
    seconds: dict[str, list[float]] = {name: [] for name in BASELINES}
    for turn in range(rounds + 1):
        for name, taken in _round(source, work).items():
            if turn > 0:  # the first warms up
                seconds[name].append(taken)
    size = sum(file.stat().st_size for file in _files(source))
    return [_row(case, name, size, seconds) for name in BASELINES]


def _round(source: Path, work: Path) -> dict[str, float]:
    taken = {}
    for name in ("store", "out", "plain", "synced"):
        shutil.rmtree(work / name, ignore_errors=True)
        (work / name).mkdir(parents=True)
    taken[SYNCED] = _timed(lambda: _copy(source, work / "synced", sync=True))
    store = Store(work / "store")
    taken["put"] = _timed(lambda: store.put(source))
    taken[HASH] = _timed(lambda: _hash(source))
    taken["put again"] = _timed(lambda: store.put(source))
    root = store.put(source)
    taken[PLAIN] = _timed(lambda: _copy(source, work / "plain", sync=False))
    taken["get"] = _timed(lambda: store.get(root, work / "out"))
    store.index.close()
    return taken


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _files(source: Path) -> list[Path]:
    return sorted(source.iterdir()) if source.is_dir() else [source]


def _copy(source: Path, target: Path, *, sync: bool) -> None:
    """Copy by reading and writing, since a reflink or in-kernel copy moves no bytes on some file systems."""
    buffer = memoryview(bytearray(4 * MIB))
    for file in _files(source):
        with file.open("rb", buffering=0) as stream, (target / file.name).open("wb", buffering=0) as out:
            while size := stream.readinto(buffer):
                out.write(buffer[:size])
            if sync and source.is_file():
                os.fsync(out.fileno())
    if sync and source.is_dir():
        os.sync()  # one sync for all, as a pack has; one a file would take minutes


def _hash(source: Path) -> None:
    buffer = memoryview(bytearray(4 * MIB))
    for file in _files(source):
        with file.open("rb", buffering=0) as stream:
            while size := stream.readinto(buffer):
                chunk_id(buffer[:size])


def _row(case: str, name: str, size: int, seconds: dict[str, list[float]]) -> dict[str, object]:
    own, baseline = median(seconds[name]), BASELINES[name]
    ratio = None
    if baseline is not None:
        ratio = median(theirs / ours for theirs, ours in zip(seconds[baseline], seconds[name], strict=True))
    return {
        "suite": "transfer",
        "case": case,
        "variant": name,
        "bytes": size,
        "seconds": own,
        "mb_s": size / own / 1e6,
        "ratio": ratio,
        "baseline": baseline,
    }
