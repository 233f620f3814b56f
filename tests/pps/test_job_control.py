"""Stopping, starting, waiting, and saying why: on jobs of the real engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pfs.errors import ConflictError, NotFoundError
from pfs.upkeep.check import fsck
from pps.model import events
from pps.model.infos import DatumInfo
from pps.model.state import DatumState, JobState
from pps.spec.node import Plain
from pps.workers.logs import AGAIN
from tests.pps.pipe_world import World, pfs_input, world_in

COPY = 'cp "$images" "$PFS_OUT/"\n'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", COPY)
        made.put("images", {"/a": b"1", "/b": b"2"})
        yield made


@contextmanager
def serving(world: World) -> Iterator[threading.Event]:
    """Run a controller beside; the event is set with the first job that ended."""
    stop, ended = threading.Event(), threading.Event()

    def tell(event: events.RunEvent) -> None:
        if isinstance(event, events.JobFinished):
            ended.set()

    thread = threading.Thread(target=world.make_controller().serve, args=(stop,), kwargs={"on_event": tell})
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


class Gate:
    """A command that says on one pipe that it runs, and waits on another; both outside its private /tmp."""

    def __init__(self, world: World, folder: Path) -> None:
        begun, go = folder / "begun", folder / "go"
        os.mkfifo(begun)
        os.mkfifo(go)
        self._begun, self._go = os.open(begun, os.O_RDWR), os.open(go, os.O_RDWR)
        world.code("run.sh", f"echo try; echo >{begun}; read line <{go}; {COPY}")

    def wait_for_command(self) -> None:
        os.read(self._begun, 1)

    def open(self, times: int = 100) -> None:
        os.write(self._go, b"\n" * times)

    def close(self) -> None:
        self.open()
        os.close(self._begun)
        os.close(self._go)


@pytest.fixture
def gate(world: World) -> Iterator[Gate]:
    with TemporaryDirectory(dir="/var/tmp") as folder, closing(Gate(world, Path(folder))) as made:
        yield made


def create(world: World, **fields: Plain) -> None:
    world.create("copy", pfs_input("images"), **fields)


def why(world: World, job: str, path: str) -> tuple[str, str | None]:
    (datum,) = [one for one in world.jobs.datums("copy", job) if one.inputs[0].path == path]
    found = world.jobs.explain("copy", job, datum.id)
    return found.why, found.against


@pytest.mark.row("2.8 stop", "2.8 start", "2.8 state PAUSED")
def test_a_stopped_pipeline_has_no_jobs_and_started_one_for_all_that_came(world: World) -> None:
    create(world)
    world.run_one()
    world.pipelines.stop("copy")
    world.pipelines.stop("copy")
    assert world.pipelines.inspect("copy").state == "stopped"
    world.put("images", {"/c": b"3"})
    world.put("images", {"/d": b"4"})
    assert world.run().jobs == ()
    world.pipelines.start("copy")
    job = world.run_one()
    assert (job.data_processed, job.data_skipped) == (2, 2)
    assert world.run().jobs == ()


@pytest.mark.row("2.8 update of a stopped one")
def test_an_update_leaves_a_stopped_pipeline_stopped(world: World) -> None:
    create(world)
    world.pipelines.stop("copy")
    world.pipelines.update(world.spec("copy", pfs_input("images"), description="new"), base_dir=world.folder)
    assert world.pipelines.inspect("copy").state == "stopped"
    assert world.run().jobs == ()


@pytest.mark.row("2.8 rerun", "2.8 rerun --reprocess")
def test_a_rerun_takes_over_what_succeeded_and_with_reprocess_nothing(world: World) -> None:
    create(world)
    first = world.run_one()
    world.pipelines.rerun("copy")
    job = world.run_one()
    assert (job.data_processed, job.data_skipped, job.version) == (0, 2, first.version)
    world.pipelines.rerun("copy", reprocess=True)
    job = world.run_one()
    assert (job.data_processed, job.data_skipped) == (2, 0)
    assert why(world, job.id, "/a")[0] == "reprocess"
    world.pipelines.stop("copy")
    with pytest.raises(ConflictError, match="is stopped"):
        world.pipelines.rerun("copy")


def test_why_a_datum_ran_or_was_skipped(world: World) -> None:
    world.code("run.sh", '[ -e /nowhere ] || ! grep -q bad "$images" || exit 3\n' + COPY)
    create(world)
    first = world.run_one()
    assert why(world, first.id, "/a") == ("new", None)
    world.put("images", {"/a": b"bad", "/c": b"x"})
    second = world.run_one()
    assert second.state == JobState.FAILURE
    assert why(world, second.id, "/b") == ("skipped", first.id)
    assert why(world, second.id, "/a") == ("input", first.id)
    world.put("images", {"/d": b"y"})
    third = world.run_one()
    assert why(world, third.id, "/a") == ("retried", second.id)
    assert why(world, third.id, "/c") == ("skipped", second.id)
    world.code("run.sh", COPY)
    fourth = world.run_one()
    assert why(world, fourth.id, "/b") == ("command", third.id)
    (datum,) = [one for one in world.jobs.datums("copy", fourth.id) if one.inputs[0].path == "/b"]
    text = world.jobs.explain("copy", fourth.id, datum.id[:12]).text
    assert "run.sh" in text
    assert "between version 1 and 2" in text
    with pytest.raises(NotFoundError):
        world.jobs.explain("copy", fourth.id, "ff" * 32)


def test_what_runs_every_time_says_so(world: World) -> None:
    create(world, reprocess_spec="every_job")
    first = world.run_one()
    world.put("images", {"/c": b"3"})
    assert why(world, world.run_one().id, "/a") == ("every-job", first.id)


@pytest.mark.row("2.5 killed by stop-job", "2.8 stop-job")
def test_a_job_that_runs_is_stopped(world: World, gate: Gate) -> None:
    create(world)
    with serving(world):
        gate.wait_for_command()
        (running,) = world.jobs.jobs("copy")
        world.jobs.stop_job("copy", running.id)
        job = world.jobs.wait("copy", running.id, timeout_s=60)
    assert (job.state, job.reason) == (JobState.KILLED, "it was stopped")
    with pytest.raises(ConflictError, match="has ended"):
        world.jobs.stop_job("copy", job.id)
    assert world.run().jobs == ()


@pytest.mark.row("2.8 restart-datum")
def test_a_datum_that_runs_begins_again(world: World, gate: Gate) -> None:
    world.put("images", {"/b": None})
    create(world, datum_tries=1)
    with serving(world) as ended:
        gate.wait_for_command()
        (running,) = world.jobs.jobs("copy")
        world.jobs.restart_datum("copy", running.id)
        gate.wait_for_command()
        gate.open(times=1)
        assert ended.wait(60)
        job = world.jobs.wait("copy", running.id, timeout_s=60)
    assert (job.state, job.data_processed) == (JobState.SUCCESS, 1)
    texts = [line.message for line in world.jobs.logs("copy", job=running.id)]
    assert texts.count("try") == 2, "what each run wrote is kept"
    between = texts[texts.index("try") + 1 : len(texts) - texts[::-1].index("try") - 1]
    assert AGAIN in between


@pytest.mark.row("2.8 delete-job")
def test_a_job_is_deleted_with_its_logs_and_nothing_runs_again(world: World) -> None:
    world.code("run.sh", f"echo said; {COPY}")
    create(world)
    first = world.run_one()
    for number in range(3):
        world.put("images", {f"/n{number}": b"x"})
        world.run_one()
    *_, second, _ = jobs = [job.id for job in reversed(list(world.jobs.jobs("copy")))]
    assert world.jobs.delete("copy", first.id[:12]) == first
    assert [job.id for job in world.jobs.jobs("copy")] == jobs[:0:-1]
    for gone in (lambda: world.jobs.job("copy", first.id), lambda: world.jobs.delete("copy", first.id)):
        with pytest.raises(NotFoundError, match="list-job"):
            gone()
    kept = [info.path for info in world.store.repo("copy").view(".meta").list("/", recursive=True)]
    assert not [path for path in kept if first.id in path]
    assert world.store.repo("copy")[first.id].read("/a") == b"1", "its output commit stays"
    assert list(fsck(world.store)) == []

    newest = world.jobs.delete("copy", jobs[-1])
    assert world.pipelines.inspect("copy").last_job == second
    with pytest.raises(NotFoundError, match="list-job"):
        list(world.jobs.logs("copy", job=newest.id))
    assert not [one for one in world.store.repo("copy").view(".meta").list("/logs") if newest.id in one.path]
    assert world.run().jobs == ()
    world.put("images", {"/late": b"y"})
    last = world.run_one()
    assert (last.state, last.counters.processed, last.counters.skipped) == (JobState.SUCCESS, 1, 5)
    assert [job.id for job in world.jobs.jobs("copy")] == [last.id, *jobs[-2:0:-1]]
    assert set(world.output("copy")) == {"/a", "/b", "/n0", "/n1", "/n2", "/late"}
    for left in list(world.jobs.jobs("copy")):
        world.jobs.delete("copy", left.id)
    with pytest.raises(NotFoundError, match=f"job copy@{last.id} not found"):
        world.jobs.logs("copy", job=last.id)
    with pytest.raises(NotFoundError, match="has no jobs: "):
        world.jobs.logs("copy")


@pytest.mark.row("2.8 delete-job")
def test_a_job_that_runs_is_not_deleted_nor_others_beside_it(world: World, gate: Gate) -> None:
    create(world)
    with serving(world) as ended:
        gate.open(times=2)
        assert ended.wait(60)
        (over,) = world.jobs.jobs("copy")
        world.put("images", {"/c": b"3"})
        for _ in range(3):
            gate.wait_for_command()
        running = next(world.jobs.jobs("copy"))
        with pytest.raises(ConflictError, match=f"{running.id} has not ended: `pps stop-job"):
            world.jobs.delete("copy", running.id)
        with pytest.raises(ConflictError, match="cannot be deleted while"):
            world.jobs.delete("copy", over.id)
        gate.open(times=1)
        world.jobs.wait("copy", running.id, timeout_s=60)
    world.jobs.delete("copy", over.id)
    assert [job.id for job in world.jobs.jobs("copy")] == [running.id]


def shown(world: World, job: str) -> list[DatumInfo]:
    """Return the datums of a job that runs, once they are shown."""
    while True:
        found = list(world.jobs.datums("copy", job))
        if any(one.tries for one in found):
            return found


def test_the_datums_of_a_job_that_runs_are_shown_and_begun_again_by_their_ids(world: World, gate: Gate) -> None:
    world.put("images", {f"/{name}": b"x" for name in "cdefgh"})
    create(world, datum_set_spec={"number": 1}, parallelism_spec={"constant": 1}, datum_tries=1)
    with serving(world) as ended:
        gate.wait_for_command()
        (running,) = world.jobs.jobs("copy")
        found = shown(world, running.id)
        assert len(found) == 8
        assert {one.state for one in found} == {DatumState.STARTING}
        (under_way,) = [one for one in found if one.tries]
        (*_, waiting) = [one for one in found if not one.tries]
        assert under_way.reason == "it runs now"
        assert world.jobs.explain("copy", running.id, under_way.id).text.startswith("it runs now because")
        assert world.jobs.explain("copy", running.id, waiting.id).why == "waiting"
        with pytest.raises(NotFoundError, match="bogus"):
            world.jobs.restart_datum("copy", running.id, "bogus")
        with pytest.raises(NotFoundError, match="/nowhere"):
            world.jobs.restart_datum("copy", running.id, "/nowhere")
        world.jobs.restart_datum("copy", running.id, under_way.id[:12])
        gate.wait_for_command()
        while world.jobs.datum("copy", running.id, under_way.id).tries != 2:
            pass
        gate.open(times=1)
        gate.wait_for_command()
        while not (over := list(world.jobs.datums("copy", running.id, states=[DatumState.SUCCESS]))):
            pass
        assert (over[0].id, over[0].tries, over[0].ran_in) == (under_way.id, 2, running.id)
        with pytest.raises(NotFoundError, match="has ended"):
            world.jobs.restart_datum("copy", running.id, under_way.id)
        gate.open(times=7)
        assert ended.wait(60)
    assert world.jobs.datum("copy", running.id, under_way.id).tries == 2
    left = world.store.path / "run" / "jobs" / "copy"
    assert not any(left.iterdir())
    world.put("images", {"/new": b"y"})
    with serving(world) as ended:
        while (running := next(world.jobs.jobs("copy"))).state != JobState.RUNNING:
            pass
        states = sorted(one.state for one in shown(world, running.id))
        assert states == [*[DatumState.SKIPPED] * 8, DatumState.STARTING]
        gate.open()
        assert ended.wait(60)


def test_only_what_a_controller_runs_is_stopped(world: World) -> None:
    create(world)
    with pytest.raises(NotFoundError):
        world.jobs.stop_job("copy", "ab")
    due = world.store.repo("images").branch("master").head
    assert due is not None
    with pytest.raises(ConflictError, match="has not ended"):
        world.jobs.wait("copy", due, timeout_s=0)
    with pytest.raises(NotFoundError):
        world.jobs.wait("copy", "00" * 16, timeout_s=0)
    world.run_one()
    assert world.jobs.wait("copy", due).state == JobState.SUCCESS
