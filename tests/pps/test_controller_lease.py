"""One controller a store: the next one waits, takes over from one that is dead or silent, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pfs.backends.local import LocalBackend
from pfs.errors import StorageError
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.upkeep.check import fsck
from pps.controller import Controller, local_executors
from pps.model import events
from pps.model.state import JobState
from pps.scheduling.lease import NAME, ControllerLease, HolderLocks, LeaseLostError
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in

EVER_S = 1e6
CHILD = """
import os, signal, sys
import pfs
from pps.controller import Controller, local_executors
from pps.model import events
from pps.scheduling.lease import ControllerLease

if sys.argv[2] == "blind":  # as if it was stopped between its last look at the lease and its swap
    ControllerLease.check = lambda self: None

def tell(event):
    if isinstance(event, events.DatumFinished):
        print("datum", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)

with pfs.open(sys.argv[1]) as store:
    try:
        Controller(store, local_executors(store, slots=1)).run_pending(on_event=tell)
    except pfs.errors.PfsError as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        yield made


def test_one_has_it_until_it_is_given_back(world: World) -> None:
    first, second = (ControllerLease(world.store, silence_s=EVER_S) for _ in range(2))
    locks = HolderLocks(world.store.path / "run")
    assert not locks.any_alive()
    assert first.acquire()
    assert not second.acquire()
    assert f"process {os.getpid()}" in second.holder()
    first.check()
    assert locks.any_alive()
    first.release()
    first.release()
    assert (second.holder(), locks.any_alive()) == ("", False)
    assert second.acquire()
    assert not second.after_crash
    with pytest.raises(LeaseLostError, match="taken over"):
        first.check()
    second.release()


def test_who_was_silent_for_too_long_has_lost_it(world: World) -> None:
    first, second = ControllerLease(world.store, silence_s=EVER_S), ControllerLease(world.store, silence_s=0.05)
    assert first.acquire()
    while not second.acquire():
        pass
    assert second.after_crash
    with pytest.raises(LeaseLostError):
        first.check()
    first.release()
    second.check()
    second.release()


def test_signs_of_life_keep_it(world: World) -> None:
    first, second = ControllerLease(world.store, silence_s=0.03), ControllerLease(world.store, silence_s=EVER_S)
    assert first.acquire()
    etags = set()
    while len(etags) < 4:
        assert not second.acquire()
        found = world.store.backend.read(NAME)
        assert found is not None
        etags.add(found[1])
    first.check()
    first.release()


def test_a_beat_that_finds_it_gone_tells(world: World) -> None:
    first, second = ControllerLease(world.store, silence_s=3.0), ControllerLease(world.store, silence_s=0.0)
    told = threading.Event()
    first.on_lost = told.set
    assert first.acquire()
    while not second.acquire():
        pass
    assert told.wait(60)
    assert first.is_lost
    for lease in (first, second):
        lease.release()


@pytest.mark.parametrize(("how", "dead"), [(How.BEFORE, False), (How.AFTER, True)])
def test_a_write_that_fails_leaves_it_to_the_next(world: World, how: How, dead: bool) -> None:
    backend = FaultyBackend(LocalBackend(world.store.path / "objects"), fail_at=1, how=how, dead_after=dead)
    with Store(world.store.path, backend=backend) as store, pytest.raises(StorageError):
        ControllerLease(store).acquire()
    lease = ControllerLease(world.store, silence_s=EVER_S)
    assert bool(lease.holder()) == (how == How.AFTER)
    assert lease.acquire()
    lease.check()
    lease.release()


def test_a_lost_reply_is_no_failure(world: World) -> None:
    backend = FaultyBackend(LocalBackend(world.store.path / "objects"), fail_at=1, how=How.AFTER)
    with Store(world.store.path, backend=backend) as store:
        lease = ControllerLease(store, silence_s=EVER_S)
        assert lease.acquire()
        lease.check()
        assert not ControllerLease(world.store, silence_s=EVER_S).acquire()
        lease.release()


def test_a_damaged_lease_is_replaced(world: World) -> None:
    world.store.backend.swap(NAME, None, b"nonsense")
    lease = ControllerLease(world.store, silence_s=0.0)
    while not lease.acquire():
        pass
    lease.release()


@contextmanager
def child(world: World, how: str) -> Iterator[subprocess.Popen[str]]:
    """A controller in a process of its own that stops itself (SIGSTOP) between its only datum and the job's end."""
    command = [sys.executable, "-c", CHILD, str(world.folder), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            yield process
        finally:
            process.kill()


def stand_by(
    world: World, *, silence_s: float, until: type[events.RunEvent] = events.JobFinished
) -> list[events.RunEvent]:
    """Run a controller that stands by, takes over, and is stopped when it tells something of a kind."""
    told, stop = list[events.RunEvent](), threading.Event()

    def tell(event: events.RunEvent) -> None:
        told.append(event)
        if isinstance(event, until | events.Trouble):
            stop.set()

    executors = local_executors(world.store, slots=1)
    Controller(world.store, executors, silence_s=silence_s).serve(stop, standby=True, on_event=tell)
    return told


@pytest.mark.parametrize(
    ("how", "until", "error"),
    [
        ("seeing", events.JobFinished, "LeaseLostError"),
        ("blind", events.JobStarted, "BranchMovedError"),
        ("blind", events.JobFinished, "AlreadyExistsError"),
    ],
)
def test_a_paused_controller_that_wakes_up_commits_nothing(
    world: World, how: str, until: type[events.RunEvent], error: str
) -> None:
    commit = world.put("images", {"/a": b"x"})
    world.create("upper", pfs_input("images"))
    with child(world, how) as process:
        told = stand_by(world, silence_s=0.3, until=until)
        assert events.TookOver() in told
        before = world.store.changes()
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        said = process.stdout.read().split()
    assert said == ["datum", error]
    assert world.store.changes() == before
    world.run()
    (job,) = world.jobs.jobs("upper")
    assert (job.id, job.state, world.output("upper")) == (commit.id, JobState.SUCCESS, {"/a": b"X"})
    assert len(list(world.store.repo("upper").commits("master"))) == 1
    assert list(fsck(world.store, deep=True)) == []


def test_a_controller_that_was_killed_is_replaced_at_once(world: World) -> None:
    commit = world.put("images", {"/a": b"x"})
    world.create("upper", pfs_input("images"))
    with child(world, "seeing") as process:
        process.kill()
    told = stand_by(world, silence_s=EVER_S)
    assert events.TookOver() in told
    (job,) = world.jobs.jobs("upper")
    assert (job.id, job.state) == (commit.id, JobState.SUCCESS)


@pytest.mark.parametrize("standby", [True, False])
def test_the_first_that_lost_it_stands_by_and_goes_on_in_its_turn(world: World, standby: bool) -> None:
    world.store.create_repo("images")
    world.create("upper", pfs_input("images"))
    done = threading.Event()
    stop, told = threading.Event(), list[events.RunEvent]()
    waiting = threading.Event()

    def tell(event: events.RunEvent) -> None:
        told.append(event)
        if isinstance(event, events.StandingBy):
            waiting.set()
        if isinstance(event, events.JobFinished):
            done.set()

    first = world.make_controller()
    first._lease = ControllerLease(world.store, silence_s=EVER_S)
    thread = threading.Thread(target=lambda: first.serve(stop, standby=standby, on_event=tell))
    thread.start()
    while not first._lease.holder():
        pass
    other = ControllerLease(world.store, silence_s=0.0)
    while not other.acquire():
        pass
    world.put("images", {"/a": b"x"})
    assert waiting.wait(60)
    assert not done.is_set()
    other.release()
    assert done.wait(60)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert any(isinstance(event, events.Trouble) and "taken over" in event.message for event in told)
    assert world.output("upper") == {"/a": b"X"}
