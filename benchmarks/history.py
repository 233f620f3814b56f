"""What history costs in large repos: merges and one-file commits beside the same in a small one, and growth on disk.

Files are a few bytes long: pages, records and refs are what is at work. The small and the large repo take
turns; a ratio is the median of the rounds' own ratios (the large one's seconds to the small one's).
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import pfs
from pfs.changes import replay
from pfs.changes.writer import CommitWriter
from pfs.files.fileref import FileRef
from pfs.ids import TreeId, chunk_id
from pfs.repo import Repo
from pfs.trees.page import Kind

EDITS = 1_000
LAYOUTS = {"one directory": 10**9, "directories of 1,000": 1_000, "directories of 4": 4}


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return rows for merge, one-file commit and growth."""
    small, large, rounds, commits = (2_500, 20_000, 2, 20) if quick else (10_000, 1_000_000, 7, 1_000)
    with tempfile.TemporaryDirectory(prefix="pfs-bench-") as directory:
        rows = _compare(Path(directory), (small, large), rounds=rounds)
        files = 5_000 if quick else 100_000
        return rows + [_growth(Path(directory), layout, files, commits) for layout in LAYOUTS]


def _repo(place: Path, files: int, per_directory: int) -> Repo:
    pfs.init(place).close()
    repo = pfs.open(place).create_repo("data")
    with repo.commit("master") as commit:
        for number in range(files):
            _put(commit, _key(number, per_directory), b"%d" % number)
    return repo


def _key(number: int, per_directory: int) -> bytes:
    return b"d%06d/f%08d" % (number // per_directory, number)


def _put(commit: CommitWriter, key: bytes, data: bytes) -> None:
    id = chunk_id(data)
    commit.session.put_chunks([(id, data)])
    commit.put_ref(key, FileRef(Kind.FILE, len(data), TreeId(id)))


def _compare(place: Path, sizes: tuple[int, int], *, rounds: int) -> list[dict[str, object]]:
    for size in sizes:
        repo = _repo(place / str(size), size, 1_000)
        _fork(repo, size)
        repo.store.close()
    taken: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds):
        for size in sizes:
            for case, seconds in _round(place / str(size), turn).items():
                taken.setdefault((case, size), []).append(seconds)
    return [_row(case, sizes, taken) for case in dict.fromkeys(case for case, _ in taken)]


def _fork(repo: Repo, size: int) -> None:
    """Change EDITS other files on each of two branches."""
    picks = random.Random(1).sample(range(size), 2 * EDITS)
    for branch, some in (("left", picks[:EDITS]), ("right", picks[EDITS:])):
        repo.create_branch(branch, head="master")
        with repo.commit(branch) as commit:
            for number in some:
                _put(commit, _key(number, 1_000), b"%d again" % number)


def _round(place: Path, turn: int) -> dict[str, float]:
    """Return the seconds of a merge and of a one-file commit, in a store that was just opened."""
    with pfs.open(place) as store:
        repo = store.repo("data")
        repo.create_branch(f"merged-{turn}", head="left")
        begun = time.perf_counter()
        replay.merge(store, "data", "right", f"merged-{turn}")
        merged = time.perf_counter()
        with repo.commit("master") as commit:
            commit.put_file("/d000000/f00000000", b"%d" % turn)
        return {f"merge of 2 x {EDITS:,} changes": merged - begun, "one-file commit": time.perf_counter() - merged}


def _row(case: str, sizes: tuple[int, int], taken: dict[tuple[str, int], list[float]]) -> dict[str, object]:
    small, large = (taken[case, size] for size in sizes)
    ratio = median(b / a for a, b in zip(small, large, strict=True))
    return {
        "suite": "history",
        "case": case,
        "variant": f"{sizes[1]:,} files",
        "seconds": median(large),
        "ratio": ratio,
        "baseline": f"{sizes[0]:,} files",
    }


def _growth(place: Path, layout: str, files: int, commits: int) -> dict[str, object]:
    """Return the bytes on disk that a retained one-file commit adds, index included; the ratio is to 100 KB."""
    repo = _repo(place / layout, files, LAYOUTS[layout])
    before, chance = allocated(place / layout), random.Random(2)
    for turn in range(commits):
        number = chance.randrange(files)
        with repo.commit("master") as commit:
            commit.put_file("/" + _key(number, LAYOUTS[layout]).decode(), b"%d" % turn)
    repo.store.close()
    grown = (allocated(place / layout) - before) / commits
    return {
        "suite": "history",
        "case": f"growth a commit, {files:,} files in {layout}",
        "variant": f"{grown / 1000:.1f} KB",
        "ratio": grown / 100_000,
        "baseline": "100 KB",
    }


def allocated(directory: Path) -> int:
    """Return the bytes that the files below a directory take up on disk, in whole blocks."""
    found = (Path(folder) / name for folder, _, names in os.walk(directory) for name in names)
    return sum(file.lstat().st_blocks * 512 for file in found)
