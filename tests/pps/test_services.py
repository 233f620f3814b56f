"""Services: a command over the newest data, by the real engine and an HTTP server of the standard library."""

from __future__ import annotations

import fcntl
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pps.model import events
from pps.model.state import JobState
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input, world_in
from tests.pps.standing_world import QUICK, WAIT_S, Pipe, create, free_port, killed_controller, serving, spec

SERVER = """
import functools, http.server, os, sys
port, pipe = int(sys.argv[1]), sys.argv[2]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=os.environ["PFS"] + "/pages")
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
with open(pipe, "w") as said:
    said.write(open(os.environ["PFS"] + "/pages/index.txt").read() + "\\n")
print("serves", flush=True)
server.serve_forever()
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("server.py", SERVER)
        made.put("pages", {"/index.txt": b"one"})
        yield made


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with TemporaryDirectory(dir="/var/tmp") as folder, closing(Pipe(Path(folder))) as made:
        yield made


def fields(port: int, **more: Plain) -> dict[str, Plain]:
    return {"input": pfs_input("pages", "/"), "service": {"internal_port": port, **more}}


def serve(world: World, pipe: Pipe, **more: Plain) -> int:
    port = free_port()
    create(world, "web", [sys.executable, "server.py", str(port), str(pipe.path)], **fields(port, **more))
    return port


def fetch(port: int, path: str = "/index.txt", *, host: str = "127.0.0.1") -> bytes:
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=60) as answer:
        data: bytes = answer.read()
        return data


@pytest.mark.row("2.2 service", "2.2 service.internal_port", "2.7 service", "2.7 service job")
def test_a_service_serves_the_newest_data(world: World, pipe: Pipe) -> None:
    port = serve(world, pipe)
    with serving(world) as told:
        assert pipe.line() == "one"
        assert fetch(port) == b"one"
        info = world.pipelines.inspect("web")
        assert (info.state, info.process and info.process.address) == ("running", f"127.0.0.1:{port}")
        (first,) = world.jobs.jobs("web")
        assert (first.state, first.data_total) == (JobState.RUNNING, 1)
        second = world.put("pages", {"/index.txt": b"two"})
        assert pipe.line() == "two"
        assert fetch(port) == b"two"
        ended = told.ended("web")
        assert (ended.id, ended.state, ended.data_processed) == (first.id, JobState.SUCCESS, 1)
        running = next(world.jobs.jobs("web"))
        assert (running.id, running.state) == (second.id, JobState.RUNNING)
        assert [line.message for line in world.jobs.logs("web", job=first.id) if line.stream == "stdout"] == ["serves"]
        assert world.output("web") == {}
    assert next(world.jobs.jobs("web")).state == JobState.RUNNING
    assert world.pipelines.inspect("web").state == "pending"
    assert not listens(port)


@pytest.mark.row("2.5 state UNRUNNABLE")
def test_data_that_failed_is_recorded_and_the_old_is_served_on(world: World, pipe: Pipe) -> None:
    world.code("copy.sh", 'test ! -e "$PFS"/raw/bad && cp "$PFS"/raw/index.txt "$PFS_OUT"\n')
    world.put("raw", {"/index.txt": b"one"})
    world.store.delete_repo("pages")
    world.create("pages", pfs_input("raw", "/"), cmd=["sh", "copy.sh"], datum_tries=1)
    port = serve(world, pipe)
    with serving(world) as told:
        assert pipe.line() == "one"
        first = next(world.jobs.jobs("web"))
        bad = world.put("raw", {"/bad": b""})
        unrunnable = told.ended("web")
        assert (unrunnable.id, unrunnable.state, unrunnable.data_total) == (bad.id, JobState.UNRUNNABLE, 0)
        assert unrunnable.reason.startswith("input failed: pages@master (")
        assert fetch(port) == b"one"
        found = [(job.id, job.state) for job in world.jobs.jobs("web")]
        assert found == [(first.id, JobState.RUNNING), (bad.id, JobState.UNRUNNABLE)]
        info = world.pipelines.inspect("web")
        assert info.state == "running"
        assert info.alerts == (f"its last job, {bad.id}, ended in unrunnable",)
    with serving(world) as told:
        assert pipe.line() == "one", "the next controller goes on with it"
        assert world.jobs.job("web", first.id).restart == 1
        world.put("raw", {"/bad": None, "/index.txt": b"two"})
        assert pipe.line() == "two"
        assert fetch(port) == b"two"
        assert (ended := told.ended("web")).id == first.id
        assert ended.state == JobState.SUCCESS
        assert world.pipelines.inspect("web").alerts == ()
    states = [job.state for job in world.jobs.jobs("web")]
    assert states == [JobState.RUNNING, JobState.UNRUNNABLE, JobState.SUCCESS]


def test_a_service_becomes_an_ordinary_pipeline_and_one_again(world: World, pipe: Pipe) -> None:
    port = serve(world, pipe)
    service = spec(world, "web", [sys.executable, "server.py", str(port), str(pipe.path)], **fields(port))
    world.code("copy.sh", 'cp "$PFS"/pages/index.txt "$PFS_OUT"\n')
    with serving(world) as told:
        assert pipe.line() == "one"
        first = next(world.jobs.jobs("web"))
        world.pipelines.update(
            spec(world, "web", ["sh", "copy.sh"], input=pfs_input("pages", "/")), base_dir=world.folder
        )
        done = told.wait(
            lambda one: isinstance(one, events.JobFinished) and (one.job.pipeline, one.job.version) == ("web", 2)
        )
        assert isinstance(done, events.JobFinished)
        assert done.job.state == JobState.SUCCESS
        world.pipelines.update(service, base_dir=world.folder)
        assert pipe.line() == "one"
        assert fetch(port) == b"one"
    assert world.output("web") == {"/index.txt": b"one"}
    found = {(job.version, job.state) for job in world.jobs.jobs("web")}
    assert found == {(1, JobState.KILLED), (2, JobState.SUCCESS), (3, JobState.RUNNING)}
    assert world.jobs.job("web", first.id).state == JobState.KILLED
    assert len({job.id for job in world.jobs.jobs("web")}) == 3


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_old_data_is_served_until_the_new_is_in_place(world: World, pipe: Pipe) -> None:
    port = serve(world, pipe)
    with serving(world) as told:
        assert pipe.line() == "one"
        with world.store.repo("pages").commit("master", collisions="allow") as commit:
            commit.put_file("/index.txt/below", b"no disk can hold both")
        trouble = told.wait(lambda one: isinstance(one, events.Trouble))
        assert "is not served yet: its input cannot be staged" in str(trouble)
        assert fetch(port) == b"one"
        world.put("pages", {"/index.txt/below": None, "/index.txt": b"three"})
        assert pipe.line() == "three"
        assert fetch(port) == b"three"
        assert told.ended("web").reason == "newer data took its place"
    assert len(list(world.jobs.jobs("web"))) == 2


@pytest.mark.row("2.8 state CRASHING")
def test_a_command_that_ends_is_started_again(world: World, pipe: Pipe) -> None:
    world.code("run.sh", f"echo began >{pipe.path}; echo last words; exit 3\n")
    create(world, "web", ["sh", "run.sh"], **fields(0))
    with serving(world) as told:
        assert [pipe.line(), pipe.line(), pipe.line()] == ["began"] * 3
        crash = told.state("web", "crashing")
        assert crash.reason == "the command ended with exit code 3"
        assert crash.again_s == QUICK.first_s
        while (process := world.pipelines.inspect("web").process) is None or process.state != "crashing":
            told.state("web", "crashing")
        assert process.restarts > 0
        assert process.log_tail.endswith("last words\n")
        assert process.reason == crash.reason
        stuck = replace(world.pipelines.inspect("web"), state="crashing", process=process)
        assert stuck.alerts == ("its command ends and is started again: the command ended with exit code 3",)
    with serving(world) as told:
        told.wait(lambda one: isinstance(one, events.JobStarted))
        (job,) = world.jobs.jobs("web")
        assert (job.state, job.restart) == (JobState.RUNNING, 1)
        world.jobs.stop_job("web", job.id)
        assert (told.ended("web").state, world.pipelines.inspect("web").state) == (JobState.KILLED, "idle")


def test_one_that_ends_well_is_started_again_too(world: World) -> None:
    create(world, "web", ["true"], **fields(0))
    with serving(world) as told:
        assert told.state("web", "restarting").reason == ""


@pytest.mark.row("2.8 state FAILURE")
def test_what_is_no_single_datum_is_not_served(world: World) -> None:
    world.put("pages", {"/other.txt": b"x"})
    create(world, "web", ["true"], input=pfs_input("pages", "/*"), service={"internal_port": 1})
    with serving(world) as told:
        job = told.ended("web")
        assert (job.state, job.data_total) == (JobState.FAILURE, 0)
        assert "services must have a single datum" in job.reason
    assert world.pipelines.inspect("web").state == "failure"


def test_stopped_started_updated_and_deleted(world: World, pipe: Pipe) -> None:
    port = serve(world, pipe)
    with serving(world) as told:
        assert pipe.line() == "one"
        world.pipelines.stop("web")
        job = told.ended("web")
        assert (job.state, job.reason) == (JobState.KILLED, "the pipeline was stopped")
        assert world.pipelines.inspect("web").state == "stopped"
        assert not listens(port)
        world.pipelines.start("web")
        assert pipe.line() == "one"
        cmd = [sys.executable, "server.py", str(port), str(pipe.path), "more"]
        world.pipelines.update(spec(world, "web", cmd, **fields(port)), base_dir=world.folder)
        assert pipe.line() == "one"
        job = told.ended("web")
        assert (job.state, job.reason) == (JobState.KILLED, "the pipeline was updated")
        told.wait(lambda one: isinstance(one, events.JobStarted) and one.job.version == 2)
        assert fetch(port) == b"one"
        world.pipelines.delete("web")
        world.put("marks", {"/a": b"1"})
        world.code("run.sh", "true\n")
        world.create("after", pfs_input("marks"))
        assert told.ended("after").state == JobState.SUCCESS
    assert not listens(port)


def test_a_port_that_is_taken_is_named(world: World, pipe: Pipe) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        create(world, "web", [sys.executable, "server.py", str(port), str(pipe.path)], **fields(port))
        with serving(world) as told:
            reason = told.state("web", "crashing").reason
            assert reason == f"its internal_port cannot be had: another process listens on 127.0.0.1:{port}"
            other.close()
            assert pipe.line() == "one"


@pytest.mark.row("2.2 service.external_port", "2.2 service.ip")
@pytest.mark.parametrize("ip", ["127.0.0.2", "192.0.2.1", ""])
def test_an_external_port_leads_to_the_command(world: World, pipe: Pipe, ip: str) -> None:
    big = bytes(range(256)) * 20000
    world.put("pages", {"/big": big})
    external = free_port()
    serve(world, pipe, external_port=external, ip=ip)
    host = "127.0.0.2" if ip == "127.0.0.2" else "127.0.0.1"
    with serving(world) as told:
        assert pipe.line() == "one"
        assert told.state("web", "running").address == f"{host}:{external}"
        assert fetch(external, host=host) == b"one"
        assert fetch(external, "/big", host=host) == big
    assert not listens(external)


def test_a_run_that_ends_leaves_it_alone(world: World, pipe: Pipe) -> None:
    serve(world, pipe)
    world.code("run.sh", 'cp "$pages" "$PFS_OUT/"\n')
    world.create("copy", pfs_input("pages"))
    assert [job.pipeline for job in world.run().jobs] == ["copy"]
    assert events.LeftToServe(("web",)) in world.events
    assert world.pipelines.inspect("web").state == "pending"
    with serving(world):
        assert pipe.line() == "one"
        assert world.run().jobs == ()
        assert list(world.jobs.jobs("web", states=[JobState.RUNNING]))
        assert world.jobs.wait_set(next(iter(world.jobs.jobs("web"))).id, timeout_s=WAIT_S)


def test_a_killed_controller_leaves_no_command_and_the_next_goes_on(world: World, pipe: Pipe) -> None:
    held = pipe.path.parent / "held"
    world.code("run.sh", f"exec 9>{held}; flock 9; echo $PACH_JOB_ID >{pipe.path}; sleep 100000 & sleep 100000\n")
    create(world, "web", ["sh", "run.sh"], **fields(0))
    with killed_controller(world):
        job = pipe.line()
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # granted once nothing of the command is left
    assert world.pipelines.inspect("web").state == "pending"
    with serving(world):
        assert pipe.line() == job
        (found,) = world.jobs.jobs("web")
        assert (found.id, found.restart) == (job, 1)
