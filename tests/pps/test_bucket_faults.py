"""The end of a job that writes to buckets: whatever write of it fails, output and buckets are all old or all new."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pfs.backends.local import LocalBackend
from pfs.errors import PfsError
from pfs.refs.transactions import LEASE_NS
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.transactions.transaction import list_transactions
from pfs.upkeep.check import fsck
from pps.controller import Controller, local_executors
from pps.model.state import JobState
from tests.pps.pipe_world import World, world_in
from tests.pps.task_world import QUICK_S3, Tasks

CODE = """
for bucket in ("b", "c"):
    write(bucket, "n" + sys.argv[1], b"x")
"""
OLD = ({"/_s3/b/n0", "/_s3/b/n1", "/_s3/c/n0", "/_s3/c/n1"}, {"/n1"}, {"/n1"})
NEW = ({"/_s3/b/n0", "/_s3/c/n0"}, {"/n0", "/n1"}, {"/n0", "/n1"})
OBJECTS = Path(".pfs/objects")


def late() -> int:
    """Return a time at which whoever owned something is long dead."""
    return time.time_ns() + 2 * LEASE_NS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with a job due that runs nothing, but has two buckets to put something back into."""
    path = tmp_path_factory.mktemp("prepared") / "home"
    with world_in(path) as world:
        tasks = Tasks(world)
        tasks.start("t", {"0": 0, "1": 1})
        world.code("t.py", QUICK_S3 + CODE)
        tasks.create("t", [sys.executable, "t.py", "{{item}}"])
        tasks.well("t")
        for bucket in ("b", "c"):
            world.put(bucket, {"/n0": None})
        tasks.start("t", {"0": 0})
        assert shown(world) == OLD
    return path


def shown(world: World) -> tuple[set[str], set[str], set[str]]:
    return set(world.output("w-t")), set(world.output("b")), set(world.output("c"))


def run(path: Path, *, fail_at: int | None = None, how: How = How.BEFORE, dead_after: bool = False) -> int:
    """Run what is due over a faulty backend; return how many writes it made."""
    backend = FaultyBackend(LocalBackend(path / OBJECTS), fail_at=fail_at, how=how, dead_after=dead_after)
    with Store(path / ".pfs", backend=backend) as store:
        try:
            Controller(store, local_executors(store, slots=1)).run_pending()
        except PfsError:
            assert fail_at is not None
    return backend.calls


def check(place: Path, what: str) -> None:
    """Find all old or all new, and all new after the next run, by which time whoever died is known to be dead."""
    with Store(place / ".pfs", clock_ns=late) as store:
        world = World(place, store)
        assert shown(world) in (OLD, NEW), what
        world.run()
        assert shown(world) == NEW, what
        states = [job.state for job in world.jobs.jobs("w-t")]
        assert states == [JobState.SUCCESS, JobState.SUCCESS], what
        for repo in ("w-t", "b", "c"):
            (newest,) = list(store.repo(repo).commits("master"))[:1]
            assert newest.id == store.repo("w").inspect("master").id, f"{what}: {repo}"
        assert list_transactions(store) == [], what
        assert list(fsck(store, deep=True)) == [], what


@pytest.mark.parametrize(
    ("how", "dead"),
    [
        (How.BEFORE, True),
        pytest.param(How.AFTER, True, marks=pytest.mark.long),
        pytest.param(How.AFTER, False, marks=pytest.mark.long),
        pytest.param(How.BEFORE, False, marks=pytest.mark.long),
        pytest.param(How.FULL, False, marks=pytest.mark.long),
    ],
    ids=["killed before", "killed after", "lost-reply", "failed", "full"],
)
def test_all_old_or_all_new_whatever_write_fails(tmp_path: Path, prepared: Path, how: How, dead: bool) -> None:
    shutil.copytree(prepared, tmp_path / "whole")
    calls = run(tmp_path / "whole")
    check(tmp_path / "whole", "no fault")
    assert calls > 10
    for number in range(1, calls + 1):
        place = tmp_path / str(number)
        shutil.copytree(prepared, place)
        run(place, fail_at=number, how=how, dead_after=dead)
        check(place, f"write {number} of {calls}")
        shutil.rmtree(place)


KILLED = """
import os, signal, sys
from pfs.backends.local import LocalBackend
from pfs.store import Store
from pfs.testing.faults import FaultyBackend
from pathlib import Path
from pps.controller import Controller, local_executors

class Deadly(FaultyBackend):
    def run(self, method, name, *, whole, half):
        made = super().run(method, name, whole=whole, half=half)
        if self.calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return made

folder = Path(sys.argv[1])
with Store(folder / ".pfs", backend=Deadly(LocalBackend(folder / ".pfs/objects"))) as store:
    Controller(store, local_executors(store, slots=1)).run_pending()
"""


@pytest.mark.long
def test_all_old_or_all_new_whenever_the_controller_is_killed(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared, tmp_path / "whole")
    for number in range(1, run(tmp_path / "whole") + 1):
        place = tmp_path / str(number)
        shutil.copytree(prepared, place)
        command = [sys.executable, "-c", KILLED, str(place), str(number)]
        ended = subprocess.run(command, cwd=Path(__file__).parents[2], env=dict(os.environ), check=False)
        assert ended.returncode == -signal.SIGKILL
        check(place, f"killed at write {number}")
        shutil.rmtree(place)
