"""Processes that move stores, killed while they do it: the next one goes on, and nothing is seen before it is whole."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

import pfs
from pfs.config import FOLDER, LOCAL_CONFIG
from pfs.errors import StoreNotFoundError
from pfs.moving.clone import clone
from pfs.moving.push import send
from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.pfs.gc_world import put, visible

MOVER = """
import sys
import pfs, pfs.packs.session_data
from pfs.moving.clone import clone
from pfs.moving.push import send

class Told:
    def total(self, files, size): pass
    def advance(self, *, files=0, size=0): print("moved", flush=True)

pfs.packs.session_data.PACK_BYTES = 4 << 20
what, source, target = sys.argv[1:]
if what == "clone":
    clone(source, target, progress=Told())
else:
    with pfs.open(source) as one, pfs.open(target) as two:
        send(one, two, progress=Told())
print("done", flush=True)
"""


@pytest.fixture
def full(store: Store) -> Store:
    rng = random.Random(1)
    for name in ("data", "more"):
        repo = store.create_repo(name)
        for _ in range(3):
            put(repo, "master", rng)
        with repo.commit("master") as commit:
            for number in range(4):
                commit.put_file(f"/large/{number}", rng.randbytes(5 << 20))
    return store


def kill_after(lines: int, *args: object) -> bool:
    """Run the mover and kill it once it has said so much; say whether it was through before that."""
    command = [sys.executable, "-c", MOVER, *map(str, args)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    return "done\n" in said


def test_a_clone_that_is_killed(full: Store, tmp_path: Path) -> None:
    two = tmp_path / "two"
    objects = two / FOLDER / "objects" / "packs"
    before = 0
    for lines in (1, 3, 5):
        if kill_after(lines, "clone", full.path, two):
            break
        if not (two / FOLDER / LOCAL_CONFIG).exists():
            with pytest.raises(StoreNotFoundError):
                pfs.open(two)
        there = sum(1 for _ in objects.rglob("*.pack"))
        assert there >= max(before, lines)
        before = there
    if not (two / FOLDER / LOCAL_CONFIG).exists():
        report = clone(full.path, two)
        assert report.sent_packs <= report.packs - before
    with pfs.open(two) as made:
        assert visible(made) == visible(full)
        assert list(fsck(made, deep=True)) == []


def test_a_push_that_is_killed(full: Store, tmp_path: Path) -> None:
    pfs.init(tmp_path / "two").close()
    whole = visible(full)
    for lines in (1, 3, 6, 9):
        kill_after(lines, "push", full.path, tmp_path / "two")
        with pfs.open(tmp_path / "two") as made:
            found = visible(made)
            for repo in ("data", "more"):
                ours = {name: value for name, value in found.items() if name.startswith(repo)}
                theirs = {name: value for name, value in whole.items() if name.startswith(repo)}
                assert ours in ({}, {f"{repo} tags": []}, theirs)
            assert list(fsck(made)) == []
    with pfs.open(tmp_path / "two") as made:
        sent = send(full, made)
        assert sum(one.bytes for one in sent) < 40 << 20
        assert visible(made) == whole
        assert list(fsck(made, deep=True)) == []
