"""What history costs on disk and in calls: a one-file commit O(log n), squash and drop O(1)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.files.fileref import FileRef
from pfs.ids import TreeId, chunk_id
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend
from pfs.trees.page import Kind

LIMIT = 100_000
"""Bytes that a retained one-file commit may add."""


def allocated(directory: Path) -> int:
    found = (Path(folder) / name for folder, _, names in os.walk(directory) for name in names)
    return sum(file.lstat().st_blocks * 512 for file in found)


def filled(place: Path, files: int, per_directory: int) -> Repo:
    pfs.init(place).close()
    repo = pfs.open(place).create_repo("data")
    with repo.commit("master") as commit:
        contents = [b"%09d" % number for number in range(files)]
        commit.session.put_chunks([(chunk_id(data), data) for data in contents])
        for number, data in enumerate(contents):
            ref = FileRef(Kind.FILE, 9, TreeId(chunk_id(data)))
            commit.put_ref(b"d%d/f%07d" % (number // per_directory, number), ref)
    return repo


def growth(place: Path, *, files: int, commits: int, per_directory: int) -> float:
    repo, chance = filled(place, files, per_directory), random.Random(1)
    before = allocated(place)
    for _ in range(commits):
        number = chance.randrange(files)
        with repo.commit("master") as commit:
            commit.put_file(f"/d{number // per_directory}/f{number:07}", chance.randbytes(900))
    repo.store.close()
    assert sum(1 for _ in pfs.open(place).repo("data").commits("master")) == commits + 1
    return (allocated(place) - before) / commits


def calls_of_squash_and_drop(place: Path, *, commits: int) -> list[str]:
    """Return what a squash in the middle and a drop of the head ask of the object store, in a store just opened."""
    repo = filled(place, 50, 50)
    made = []
    for number in range(commits):
        with repo.commit("master") as commit:
            commit.put_file("/file", b"%d" % number)
        made.append(commit.id)
    repo.store.close()
    backend = FaultyBackend(LocalBackend(place / ".pfs/objects"))
    with Store(place / ".pfs", backend=backend) as store:
        backend.log.clear()
        store.repo("data").squash_commit(made[commits // 2])
        store.repo("data").drop_commit(made[-1])
        assert len(list(store.repo("data").commits("master"))) == commits - 1
    return [line.split()[0] for line in backend.log]


def test_squash_and_drop_ask_the_same_of_short_and_long_histories(tmp_path: Path) -> None:
    short = calls_of_squash_and_drop(tmp_path / "short", commits=6)
    assert calls_of_squash_and_drop(tmp_path / "long", commits=60) == short
    assert short.count("swap") == 2


LAYOUTS: Sequence[int] = (4, 1_000, 10**9)


@pytest.mark.parametrize("per_directory", LAYOUTS)
def test_a_one_file_commit_adds_little(tmp_path: Path, per_directory: int) -> None:
    assert growth(tmp_path, files=5_000, commits=15, per_directory=per_directory) < LIMIT


@pytest.mark.long
@pytest.mark.parametrize("per_directory", LAYOUTS)
def test_a_thousand_commits_of_a_hundred_thousand_files(tmp_path: Path, per_directory: int) -> None:
    assert growth(tmp_path, files=100_000, commits=1_000, per_directory=per_directory) < LIMIT
