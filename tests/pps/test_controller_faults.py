"""Every write of a job fails once: the output is there whole or not at all, and the next run completes it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import PfsError, StorageFullError
from pfs.store import Store
from pfs.testing.faults import WRITES, FaultyBackend, How
from pfs.upkeep.check import fsck
from pps.controller import Controller, local_executors
from pps.jobs.jobs import Jobs
from pps.model import events
from pps.model.state import JobState
from tests.pps.pipe_world import World, pfs_input, world_in

WANTED = {"/a": b"a\n", "/b": b"b\n"}


class FullDisk(FaultyBackend):
    """Has room for small objects, and none for packs while it is ``full``."""

    full = False

    def _next(self, method: str, name: str) -> How | None:
        return How.FULL if self.full and method in WRITES and name.endswith(".pack") else None


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "home"
    with world_in(path) as world:
        world.code("run.sh", 'cp "$PFS"/images/* "$PFS_OUT"\n')
        world.put("images", {"/a": b"a\n", "/b": b"b\n"})
        world.create("copy", pfs_input("images"), datum_set_spec={"number": 1}, datum_tries=2)
    return path


def run(path: Path, *, fail_at: int | None = None, how: How = How.BEFORE, dead_after: bool = False) -> int:
    """Run what is due over a faulty backend with checkpoints at every turn; return how many writes it made."""
    backend = FaultyBackend(LocalBackend(path / ".pfs/objects"), fail_at=fail_at, how=how, dead_after=dead_after)
    with Store(path / ".pfs", backend=backend) as store:
        controller = Controller(store, local_executors(store, slots=1), isolation="none", checkpoint_s=0.0)
        try:
            controller.run_pending()
        except PfsError:
            assert fail_at is not None
    return backend.calls


@pytest.mark.parametrize(
    ("how", "dead"), [(How.BEFORE, True), (How.AFTER, False), (How.FULL, False)], ids=["killed", "lost-reply", "full"]
)
def test_whole_or_not_at_all_whatever_write_fails(tmp_path: Path, prepared: Path, how: How, dead: bool) -> None:
    shutil.copytree(prepared, tmp_path / "whole")
    calls = run(tmp_path / "whole")
    assert calls > 3
    for number in range(1, calls + 1):
        place = tmp_path / str(number)
        shutil.copytree(prepared, place)
        run(place, fail_at=number, how=how, dead_after=dead)
        with pfs.open(place) as store:
            world = World(place, store)
            if store.repo("copy").branch("master").head is not None:
                assert world.output("copy") == WANTED
            world.controller = Controller(store, local_executors(store, slots=1), isolation="none")
            world.run()
            assert world.output("copy") == WANTED, f"write {number} of {calls}"
            assert len(list(store.repo("copy").commits("master"))) == 1
            assert [job.state for job in world.jobs.jobs("copy")] == [JobState.SUCCESS]
            assert list(fsck(store, deep=True)) == []
        shutil.rmtree(place)


def test_a_job_that_meets_a_full_disk_stays_due(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "home") as store:
        world = World(tmp_path / "home", store)
        world.put("images", {f"/{name}": b"x" for name in "abcd"})
        world.code("run.sh", 'head -c 9000000 /dev/urandom > "$PFS_OUT/$(basename "$images")"\n')
        world.create("large", pfs_input("images"), datum_tries=1, datum_set_spec={"number": 1})
    backend = FullDisk(LocalBackend(tmp_path / "home/.pfs/objects"))
    with Store(tmp_path / "home/.pfs", backend=backend) as store:
        backend.full = True
        controller = Controller(store, local_executors(store, slots=1), isolation="none")
        with pytest.raises(StorageFullError, match=r"datums of pipeline large in .*/home/\.pfs: no space left"):
            controller.run_pending()
        backend.full = False
        (job,) = controller.run_pending().jobs
        assert (job.state, job.data_processed) == (JobState.SUCCESS, 4)
        assert list(fsck(store, deep=True)) == []


def test_a_daemon_tells_of_a_full_disk_and_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pps.controller._RETRY_S", 0.01)
    with pfs.init(tmp_path / "home") as store:
        world = World(tmp_path / "home", store)
        world.put("images", {"/a": b"x"})
        world.code("run.sh", 'head -c 9000000 /dev/urandom > "$PFS_OUT/x"\n')
        world.create("large", pfs_input("images"), datum_tries=1)
    backend = FullDisk(LocalBackend(tmp_path / "home/.pfs/objects"))
    stop, told = threading.Event(), list[events.RunEvent]()

    def tell(event: events.RunEvent) -> None:
        told.append(event)
        if isinstance(event, events.Trouble):
            backend.full = False
        if isinstance(event, events.JobStarted):
            backend.full = not any(isinstance(one, events.Trouble) for one in told)
        if isinstance(event, events.JobFinished):
            stop.set()

    with Store(tmp_path / "home/.pfs", backend=backend) as store:
        Controller(store, local_executors(store, slots=1), isolation="none").serve(stop, on_event=tell)
    assert [event.pipeline for event in told if isinstance(event, events.Trouble)] == ["large"]
    (ended,) = (event.job for event in told if isinstance(event, events.JobFinished))
    assert (ended.state, ended.data_processed) == (JobState.SUCCESS, 1)


def test_a_job_that_waits_for_room_says_so(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "home") as store:
        world = World(tmp_path / "home", store)
        world.put("images", {"/a": b"x"})
        world.code("run.sh", 'head -c 9000000 /dev/urandom > "$PFS_OUT/x"\n')
        world.create("large", pfs_input("images"), datum_tries=1)
    backend = FullDisk(LocalBackend(tmp_path / "home/.pfs/objects"))
    stop, met = threading.Event(), threading.Event()

    def tell(event: events.RunEvent) -> None:
        if not met.is_set():
            backend.full = backend.full or isinstance(event, events.JobPlanned)
        if isinstance(event, events.Trouble):
            met.set()

    with Store(tmp_path / "home/.pfs", backend=backend) as store:
        controller = Controller(store, local_executors(store, slots=1), isolation="none")
        served = threading.Thread(target=controller.serve, args=(stop,), kwargs={"on_event": tell})
        served.start()
        try:
            assert met.wait(240)
            while not (seen := [job for job in Jobs(store).jobs("large") if "no space left" in job.reason]):
                assert not stop.wait(0.02)
            assert (seen[0].state.is_final, "no controller" in seen[0].reason) == (False, False)
            backend.full = False
            Jobs(store).stop_job("large", seen[0].id)
            assert Jobs(store).wait("large", seen[0].id, timeout_s=240).state == JobState.KILLED
        finally:
            stop.set()
            served.join()
        assert [job.reason for job in Jobs(store).jobs("large")] == ["it was stopped"]


def test_a_full_disk_without_a_file_is_told_with_the_place(tmp_path: Path) -> None:
    def tell(_: events.RunEvent) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pfs.init(tmp_path / "home") as store:
        world = World(tmp_path / "home", store)
        world.put("images", {"/a": b"x"})
        world.code("run.sh", "true\n")
        world.create("small", pfs_input("images"))
        controller = Controller(store, local_executors(store, slots=1), isolation="none")
        with pytest.raises(StorageFullError, match=r"write in .*/home/\.pfs/run: no space left"):
            controller.run_pending(on_event=tell)
        assert [job.state for job in controller.run_pending().jobs] == [JobState.SUCCESS]
