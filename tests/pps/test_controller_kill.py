"""kill -9 of a controller in the middle of a job: the next one goes on, with the result of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pps.model import events
from pps.model.catalog import Catalog
from pps.model.state import JobState
from tests.pps.pipe_world import World, pfs_input, world_in

# Each datum takes a while, so that a kill meets some done, some under way and some not begun.
CODE = 'sleep 0.1; tr a-z A-Z < "$images" > "$PFS_OUT/$(basename "$images")"; echo done\n'
COUNT = 12
CHILD = """
import sys
import pfs
from pps.model import events
from pps.controller import Controller, local_executors

def tell(event):
    if isinstance(event, events.DatumFinished):
        print(event.counters.processed, flush=True)

with pfs.open(sys.argv[1]) as store:
    Controller(store, local_executors(store, slots=2), checkpoint_s=0.0).run_pending(on_event=tell)
"""


def build(world: World) -> str:
    world.code("run.sh", CODE)
    commit = world.put("images", {f"/f{number:02}": b"text %d" % number for number in range(COUNT)})
    world.create("upper", pfs_input("images"), datum_set_spec={"number": 1})
    return commit.id


def run_and_kill(folder: Path, *, after: int) -> None:
    """Run a controller in a process of its own and kill it once ``after`` datums are saved.

    It saves after each turn, in which it takes the ends of at most four datums (two slots, two units each).
    """
    command = [sys.executable, "-c", CHILD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= after + 4:
                break
        child.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("after", [1, COUNT // 2])
@pytest.mark.row("2.5 crash", "2.5 restart")
def test_a_killed_job_goes_on(tmp_path: Path, after: int) -> None:
    with world_in(tmp_path / "plain") as world:
        build(world)
        assert world.run_one().state == JobState.SUCCESS
        undisturbed = world.store.repo("upper")["master"].info.root.tid
    with world_in(tmp_path / "killed") as world:
        commit = build(world)
    run_and_kill(tmp_path / "killed", after=after)
    with world_in(tmp_path / "killed") as world:
        states = {job.state for job in world.jobs.jobs("upper")}
        assert JobState.SUCCESS not in states
        job = world.run_one()
        assert (job.id, job.state, job.restart) == (commit, JobState.SUCCESS, 1)
        assert (job.data_processed, job.data_skipped) == (COUNT, 0)
        again = [event for event in world.events if isinstance(event, events.DatumFinished)]
        assert len(again) <= COUNT - after
        assert world.store.repo("upper")["master"].info.root.tid == undisturbed
        assert len(list(world.store.repo("upper").commits("master"))) == 1
        assert len(list(world.jobs.logs("upper"))) >= COUNT
        assert world.run().jobs == ()


def test_a_stopped_daemon_saves_what_is_done(tmp_path: Path) -> None:
    with world_in(tmp_path / "home") as world:
        build(world)
        stop, told = threading.Event(), list[events.RunEvent]()

        def tell(event: events.RunEvent) -> None:
            told.append(event)
            if isinstance(event, events.DatumFinished):
                stop.set()

        world.make_controller().serve(stop, on_event=tell)
        saved = sum(isinstance(event, events.DatumFinished) for event in told)
        job = world.run_one()
        assert (job.state, job.restart, job.data_processed) == (JobState.SUCCESS, 1, COUNT)
        assert sum(isinstance(event, events.DatumFinished) for event in world.events) == COUNT - saved


PLAIN = """
import sys
import pfs
from pps.controller import Controller, local_executors

with pfs.open(sys.argv[1]) as store:
    Controller(store, local_executors(store, slots=2), checkpoint_s=1e6).run_pending()
"""


def test_a_job_that_is_killed_before_anything_is_done_keeps_its_start(tmp_path: Path) -> None:
    with TemporaryDirectory(dir="/var/tmp") as place, world_in(tmp_path / "home") as world:
        world.code("run.sh", f"while [ ! -e {place}/go ]; do sleep 0.05; done\n")
        commit = world.put("images", {"/a": b"x"}).id
        world.create("upper", pfs_input("images"))
        records = []
        for restart in range(2):
            command = [sys.executable, "-c", PLAIN, str(tmp_path / "home")]
            with subprocess.Popen(command, cwd=Path.cwd()) as child:
                while (left := Catalog(world.store).get("upper").unfinished) is None or left.restart != restart:
                    assert child.poll() is None
                child.send_signal(signal.SIGKILL)
            records.append(world.jobs.job("upper", commit))
        assert [record.restart for record in records] == [0, 1]
        assert "no controller here runs it" in records[0].reason
        (Path(place) / "go").touch()
        job = world.run_one()
        assert (job.id, job.state, job.restart) == (commit, JobState.SUCCESS, 2)
        assert job.started_ns == records[0].started_ns


def test_a_job_that_is_killed_before_it_is_recorded_is_due_as_if_it_had_not_begun(tmp_path: Path) -> None:
    """The record comes after a second: until then nothing is known of a job, and nothing is lost with it."""
    with TemporaryDirectory(dir="/var/tmp") as place, world_in(tmp_path / "home") as world:
        begun, go = Path(place) / "begun", Path(place) / "go"
        os.mkfifo(begun)
        world.code(
            "run.sh",
            f'[ -e {go} ] || {{ echo >{begun}; sleep 1000; }}; echo said; cp "${{images:-$upper}}" "$PFS_OUT/"\n',
        )
        commit = world.put("images", {"/a": b"x", "/b": b"y"}).id
        world.create("upper", pfs_input("images"), datum_set_spec={"number": 2})
        world.create("after", pfs_input("upper"))
        with subprocess.Popen([sys.executable, "-c", PLAIN, str(tmp_path / "home")], cwd=Path.cwd()) as child:
            with begun.open() as pipe:
                pipe.read()
            child.send_signal(signal.SIGKILL)
        # On a slow machine it was recorded by then: it is interrupted, and counts the start.
        left = list(world.jobs.jobs("upper"))
        assert [(job.id, job.state.is_final, job.data_processed) for job in left] in ([], [(commit, False, 0)])
        assert world.pipelines.inspect("upper").state in {"pending", "running"}
        go.touch()
        jobs = world.run().jobs
        assert [(job.pipeline, job.id, job.state) for job in jobs] == [
            ("upper", commit, JobState.SUCCESS),
            ("after", commit, JobState.SUCCESS),
        ]
        assert (jobs[0].restart, jobs[0].data_processed) == (len(left), 2)
        assert [job.id for job in world.jobs.jobs("upper")] == [commit]
        assert world.output("after") == {"/a": b"x", "/b": b"y"}
        assert [line.message for line in world.jobs.logs("upper", job=commit)].count("said") == 2
        assert not any((world.store.path / "run" / "jobs" / "upper").iterdir())
        assert world.run().jobs == ()
