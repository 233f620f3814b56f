"""Pipelines of a store in a bucket: a machine dies or sleeps at any write, another goes on; nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pfs.ids import TreeId
from pfs.store import Store
from pfs.upkeep.check import fsck
from pps.controller import Controller, local_executors
from pps.model.state import JobState
from tests.pfs.bucket_world import World as Bucket
from tests.pfs.machines import Machine, machines
from tests.pps.pipe_world import UPPER, World, pfs_input

COUNT = 4
CHILD = """
import os, signal, sys
import pfs
from pfs.backends import s3_client
from pps.controller import Controller, local_executors

folder, number, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sent, make = 0, s3_client._make

def count(model, **_):
    global sent
    if not model.name.startswith(("Get", "Head", "List")):
        sent += 1
        if sent == number and how != "kill after":
            os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)

def answered(**_):
    if sent >= number and how == "kill after":
        os.kill(os.getpid(), signal.SIGKILL)

def hooked(options):
    session, client = make(options)
    client.meta.events.register("before-call.s3", count)
    client.meta.events.register("after-call.s3", answered)
    return session, client

s3_client._make = hooked
with pfs.open(folder) as store:
    try:
        Controller(store, local_executors(store, slots=1), checkpoint_s=0.0).run_pending()
    except pfs.errors.PfsError as error:
        print(type(error).__name__, flush=True)
    else:
        print(sent, flush=True)
"""


def prepare(folder: Path, store: Store) -> str:
    """Make two pipelines, of which one reads the other; return the id of the job that is due."""
    world = World(folder, store)
    world.code("run.sh", UPPER)
    world.code("all.sh", 'cat "$upper"/* > "$PFS_OUT/all"\n')
    commit = world.put("images", {f"/f{number}": b"text %d" % number for number in range(COUNT)})
    world.create("upper", pfs_input("images"), datum_set_spec={"number": 1})
    world.create("all", pfs_input("upper", "/"), ("sh", "all.sh"))
    return commit.id


def roots(store: Store) -> list[TreeId]:
    return [store.repo(name)["master"].info.root.tid for name in ("upper", "all")]


@contextmanager
def child(folder: Path, number: int, how: str) -> Iterator[subprocess.Popen[str]]:
    """Run a controller that ends or sleeps at a write; yields once it did, or has nothing more to do."""
    command = [sys.executable, "-c", CHILD, str(folder), str(number), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def undisturbed(bucket_served: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TreeId]]:
    from pfs.store import init

    with init(tmp_path_factory.mktemp("undisturbed") / "home") as store:
        prepare(store.path.parent, store)
        Controller(store, local_executors(store, slots=1)).run_pending()
        yield roots(store)


def disturb(machine: Machine, place: Path, number: int, how: str) -> str:
    """Let machine one fail at a write and two go on; return what one said at its end, having checked what is there."""
    commit = prepare(place / "one", machine("one"))
    with child(place / "one", number, how) as process:
        two = machine("two")
        report = Controller(two, local_executors(two, slots=1), silence_s=0.1).run_pending()
        jobs = World(place / "two", two).jobs
        (job,) = jobs.jobs("upper")
        assert (job.id, job.state, job.data_processed) == (commit, JobState.SUCCESS, COUNT)
        assert job.restart <= 1
        (last,) = jobs.jobs("all")
        assert (last.id, last.state) == (commit, JobState.SUCCESS)
        assert all(done.state == JobState.SUCCESS for done in report.jobs)
        before = two.changes()
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        said = process.stdout.read().strip()
    assert two.changes() == before
    for name in ("upper", "all"):
        assert [info.id for info in two.repo(name).commits("master")] == [commit]
    assert list(fsck(two, deep=True)) == []
    return said


@pytest.mark.s3
@pytest.mark.parametrize(("number", "how"), [(3, "stop"), (5, "kill after"), (9, "kill before")])
def test_another_machine_goes_on(
    bucket: Bucket, tmp_path: Path, undisturbed: list[TreeId], number: int, how: str
) -> None:
    with machines(bucket, tmp_path) as machine:
        disturb(machine, tmp_path, number, how)
        assert roots(machine("two")) == undisturbed
        assert roots(machine("three")) == undisturbed


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", ["kill before", "kill after", "stop"])
def test_another_machine_goes_on_whatever_write_it_was(
    bucket: Bucket, tmp_path: Path, undisturbed: list[TreeId], how: str
) -> None:
    for number in range(1, 100):
        place = tmp_path / str(number)
        with machines(bucket, place) as machine:
            said = disturb(machine, place, number, how)
            assert roots(machine("two")) == undisturbed
        if said.isdigit() and int(said) < number:  # so many writes it has not
            assert number > 8  # checkpoints are not always as many
            return
    raise AssertionError("it never came to its end")
