"""Processes that are killed with -9 while they finish a transaction: all of it or nothing, and nothing to repair."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pfs
from pfs.refs.transactions import LEASE_NS
from pfs.store import Store
from pfs.transactions.transaction import begin, list_transactions, resume
from pfs.upkeep.check import fsck

REPOS = ("a", "b", "c")

FINISHER = """
import os, signal, sys
from pathlib import Path
from pfs.backends.local import LocalBackend
from pfs.store import Store
from pfs.transactions.transaction import resume

class Fatal(LocalBackend):
    swaps = 0
    def swap(self, name, old, new):
        self.swaps += 1
        if self.swaps == abs(at) and at < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        etag = super().swap(name, old, new)
        if self.swaps == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return etag

folder, id, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with Store(folder, backend=Fatal(folder / "objects")) as store:
    for info in resume(store, id).finish():
        print(info.repo, flush=True)
"""

COMMITTER = """
import sys, random
import pfs
store, rng = pfs.open(sys.argv[1]), random.Random(sys.argv[2])
print("ready", flush=True)
for number in range(1_000_000):
    name = f"{sys.argv[2]}-{number}"
    with store.transaction() as transaction:
        for repo in rng.sample(["a", "b", "c"], 3):
            with transaction.repo(repo).commit("master") as commit:
                commit.put_file(f"/{name}", rng.randbytes(rng.choice([10, 200_000])))
            transaction.repo(repo).create_tag(name, "master")
    print(name, transaction.id, flush=True)
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a transaction that is ready to be finished."""
    folder = tmp_path_factory.mktemp("staged")
    with pfs.init(folder) as store:
        for name in REPOS:
            store.create_repo(name)
        transaction = begin(store)
        for name in REPOS:
            with transaction.repo(name).commit("master") as commit:
                commit.put_file("/x", name.encode())
        return folder, transaction.id


def files(store: Store) -> list[bytes | None]:
    """Return /x of each repo; None where there is no commit yet."""
    with_master = {state.repo for state in store.refs.snapshot() if "master" in state.body.branches}
    return [store.repo(repo)["master"].read("/x") if repo in with_master else None for repo in REPOS]


NOTHING, ALL = [None, None, None], [b"a", b"b", b"c"]


_OTHERS = sorted({*range(-9, 0), *range(1, 10)} - {-5, 2, 4, 5, 7})


@pytest.mark.parametrize("at", [-5, 2, 4, 5, 7, *(pytest.param(at, marks=pytest.mark.long) for at in _OTHERS)])
def test_killed_at_each_swap_of_finishing(staged: tuple[Path, str], tmp_path: Path, at: int) -> None:
    shutil.copytree(staged[0], tmp_path / "home")
    folder = tmp_path / "home" / ".pfs"
    line = [sys.executable, "-c", FINISHER, str(folder), staged[1], str(at)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    # 1 makes it pending, 2 to 4 prepare, 5 commits, 6 to 8 fold in
    assert done.returncode == (-signal.SIGKILL if abs(at) <= 8 else 0), done.stderr
    with pfs.open(folder) as store:
        found = files(store)
        assert found == (ALL if at < -5 or at >= 5 else NOTHING)
        with store.repo("a").commit("other") as commit:
            commit.put_file("/y", b"")  # nobody is in the way of those who do something else
        assert files(store) == found
    with Store(folder, clock_ns=lambda: time.time_ns() + 2 * LEASE_NS) as store:
        with store.repo("a").commit("master") as commit:
            commit.put_file("/late", b"")
        for left in list_transactions(store):
            resume(store, left.id).finish()
        assert files(store) == ALL
        assert len(list(store.repo("b").commits())) == 1
        assert list(store.backend.entries("txn/")) == []
        assert list(fsck(store, deep=True)) == []


def kill_committers(folder: Path, kills: int) -> None:
    """Kill processes that publish transactions one after the other, two at a time, at random moments."""
    chance = random.Random(kills)
    with pfs.init(folder) as store:
        for name in REPOS:
            store.create_repo(name)
    acknowledged: dict[str, str] = {}
    for number in range(kills):
        processes = [start(folder, f"{number}{which}") for which in "xy"]
        for process in processes:
            acknowledged |= killed(process, chance.randrange(4), chance.uniform(0.0, 0.5))
        check(folder, acknowledged)
    assert acknowledged


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", COMMITTER, str(folder), name], stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], after: int, delay_s: float) -> dict[str, str]:
    """Kill a committer ``delay_s`` after its commit number ``after``; return what it had acknowledged."""
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        first = [process.stdout.readline() for _ in range(after)]
        select.select([], [], [], delay_s)
        os.kill(process.pid, signal.SIGKILL)
        lines = [line.split() for line in [*first, *process.stdout] if line.endswith("\n")]
    return dict(lines)


def check(folder: Path, acknowledged: dict[str, str]) -> None:
    with pfs.open(folder) as store:
        tags = [set(state.body.tags) for state in store.refs.snapshot(REPOS)]
        assert tags[0] == tags[1] == tags[2]
        assert acknowledged.keys() <= tags[0]
    with Store(folder / ".pfs", clock_ns=lambda: time.time_ns() + 2 * LEASE_NS) as store:
        assert list_transactions(store) == []
        assert list(store.backend.entries("txn/")) == []
        for repo in map(store.repo, REPOS):
            chain = [info.id for info in repo.commits("master")] if repo.branches() else []
            assert set(acknowledged.values()) <= set(chain)
            assert len(chain) == len(set(chain)) == len(tags[0])
        assert list(fsck(store)) == []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_killed_while_they_publish(home: Path) -> None:
    kill_committers(home, 2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_while_they_publish_at_length(home: Path) -> None:
    kill_committers(home, 60)
