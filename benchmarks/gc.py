"""What collection costs beside reading and hashing all metadata once, and what memory it takes.

Files are a few bytes each, so the work is all in pages, records and footers. Each figure is taken in a process of
its own on files in the page cache, in turns with its baseline; a ratio is the median of the rounds' own ratios. Memory
is the peak beyond that of a process that only opens the store.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pfs
from pfs.files.fileref import FileRef
from pfs.ids import TreeId, chunk_id
from pfs.repo import Repo
from pfs.trees.page import Kind

MIB = 1 << 20
CHANGES = 100
LAYOUTS = {"directories of 1,000": 1_000, "directories of 4": 4}
READ = """
from blake3 import blake3
for entry in store.backend.entries("packs/m/"):
    blake3(store.backend.get(entry.name)).digest()
"""
MARK = "from pfs.gc.collect import measure; measure(store)"
COLLECT = "from pfs.gc.collect import collect; assert collect(store).repacked"
CHILD = """
import sys, time
import pfs, pfs.gc.collect
with pfs.open(sys.argv[1]) as store:
    begun = time.perf_counter()
    exec(sys.argv[2])
    seconds = time.perf_counter() - begun
# Not ru_maxrss: that begins with the peak of the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")).split()[1]
print(seconds, peak)
"""


class Taken(NamedTuple):
    """Of one run: wall seconds, and the peak of memory in KiB."""

    seconds: float
    peak_kib: int


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return a row for marking and one for a whole collection of each layout."""
    files, commits, rounds = (20_000, 10, 1) if quick else (1_000_000, 100, 3)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="pfs-bench-") as directory:
        for layout, per_directory in LAYOUTS.items():
            place = Path(directory) / layout
            _make(place, files, per_directory, commits)
            rows += _measure(place, f"{files:,} files in {layout}, {commits} commits", rounds)
    return rows


def _make(place: Path, files: int, per_directory: int, commits: int) -> None:
    pfs.init(place).close()
    with pfs.open(place) as store:
        repo, chance = store.create_repo("data"), random.Random(1)
        _commit(repo, range(files), per_directory, 0)
        for turn in range(commits):
            _commit(repo, chance.sample(range(files), CHANGES), per_directory, turn + 1)
        for back in range(commits // 2):  # every other one is dead
            repo.squash_commit(f"master~{back + 1}")


def _commit(repo: Repo, numbers: Sequence[int], per_directory: int, version: int) -> None:
    with repo.commit("master") as commit:
        for batch in batched(numbers):
            contents = [b"%d.%d" % (number, version) for number in batch]
            ids = [chunk_id(content) for content in contents]
            commit.session.put_chunks(list(zip(ids, contents, strict=True)))
            for number, content, id in zip(batch, contents, ids, strict=True):
                key = b"d%06d/f%08d" % (number // per_directory, number)
                commit.put_ref(key, FileRef(Kind.FILE, len(content), TreeId(id)))


def batched(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the numbers, some thousands at a time."""
    yield from (numbers[at : at + 4096] for at in range(0, len(numbers), 4096))


def _measure(place: Path, case: str, rounds: int) -> list[dict[str, object]]:
    taken: dict[str, list[Taken]] = {"": [], READ: [], MARK: [], COLLECT: []}
    for turn in range(rounds):
        for work, found in taken.items():
            home = place
            if work is COLLECT:
                home = place.with_name(f"copy-{turn}")
                shutil.copytree(place, home)
            found.append(_child(home, work))
            if home is not place:
                shutil.rmtree(home)
    return [_row(case, name, taken, work) for name, work in (("mark", MARK), ("collect", COLLECT))]


def _child(place: Path, work: str) -> Taken:
    done = subprocess.run([sys.executable, "-c", CHILD, str(place), work], check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.split()
    return Taken(float(seconds), int(peak))


def _row(case: str, name: str, taken: dict[str, list[Taken]], work: str) -> dict[str, object]:
    ratio = median(one.seconds / base.seconds for one, base in zip(taken[work], taken[READ], strict=True))
    memory = median(one.peak_kib - empty.peak_kib for one, empty in zip(taken[work], taken[""], strict=True))
    return {
        "suite": "gc",
        "case": case,
        "variant": f"{name}, {memory / 1024:.0f} MiB",
        "seconds": median(one.seconds for one in taken[work]),
        "ratio": ratio,
        "baseline": "read + blake3",
    }
