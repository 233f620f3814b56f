"""Spouts: commands that run on and commit what they have, with the command line, in Python and over S3."""

from __future__ import annotations

import fcntl
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pfs.errors import ConflictError
from pfs.model import CommitInfo, Provenance
from pfs.spout import Spout
from pps.model.state import JobState
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input, world_in
from tests.pps.standing_world import WAIT_S, Pipe, create, free_port, killed_controller, serving, spec

IN_PYTHON = """
import os, sys, time
import pfs
name = os.environ["PPS_PIPELINE_NAME"]
with pfs.open() as store:
    with store.repo(name).commit("master") as commit:
        commit.put_file("/x", b"by python")
print("written", flush=True)
time.sleep(100000)
"""
BY_BOTO3 = """
import os, time
import boto3
assert os.environ["S3_ENDPOINT"] == os.environ["AWS_ENDPOINT_URL"]
s3 = boto3.client("s3")
s3.put_object(Bucket="out", Key="x", Body=b"by s3")
s3.put_object(Bucket="events", Key="y", Body=s3.get_object(Bucket="out", Key="x")["Body"].read())
print([bucket["Name"] for bucket in s3.list_buckets()["Buckets"]], flush=True)
try:
    s3.put_object(Bucket="images", Key="x", Body=b"no")
except s3.exceptions.ClientError as error:
    print(error.response["Error"]["Code"], flush=True)
time.sleep(100000)
"""
PFS = f'pfs() {{ {sys.executable} -c "from cli.pfs_main import main; main()" "$@"; }}\n'
BY_COMMANDS = f"""{PFS}
echo by hand | pfs put-file $PPS_PIPELINE_NAME@master:/x -f -
pfs start-commit $PPS_PIPELINE_NAME@master
echo one | pfs put-file $PPS_PIPELINE_NAME@master:/a -f -
echo two | pfs put-file $PPS_PIPELINE_NAME@master:/b -f -
pfs finish-commit $PPS_PIPELINE_NAME@master
echo written
exec sleep 100000
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        yield made


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with TemporaryDirectory(dir="/var/tmp") as folder, closing(Pipe(Path(folder))) as made:
        yield made


def downstream(world: World) -> None:
    world.code("run.sh", 'cat "$PFS"/events/* >"$PFS_OUT/all"\n')
    world.create("all", pfs_input("events", "/"))


def spout_of(world: World, name: str = "events") -> Spout:
    commit = world.pipelines.inspect(name).spec_commit
    assert commit is not None
    return Spout(name, commit)


def from_code(world: World, commit: CommitInfo, name: str = "events") -> bool:
    return commit.provenance == (Provenance(name, ".spec", spout_of(world, name).code),)


@pytest.mark.row("2.2 spout", "1.4 spout output branches")
def test_by_commands_and_a_pipeline_downstream(world: World) -> None:
    world.code("spout.sh", BY_COMMANDS)
    create(world, "events", ["sh", "spout.sh"], spout={})
    downstream(world)
    with serving(world) as told:
        first, second = told.ended("all"), told.ended("all")
        assert (first.state, second.state) == (JobState.SUCCESS, JobState.SUCCESS)
        commits = list(world.store.repo("events").commits("master"))
        assert [one.id for one in commits] == [second.id, first.id]
        assert all(from_code(world, one) for one in commits)
        assert world.output("all") == {"/all": b"one\ntwo\nby hand\n"}
        info = world.pipelines.inspect("events")
        assert (info.state, info.input_text, info.last_job) == ("running", "-", None)
    assert world.pipelines.inspect("events").state == "pending"


def test_in_python(world: World) -> None:
    world.code("spout.py", IN_PYTHON)
    create(world, "events", [sys.executable, "spout.py"], spout={})
    downstream(world)
    with serving(world) as told:
        assert told.ended("all").state == JobState.SUCCESS
    assert world.output("events") == {"/x": b"by python"}
    assert from_code(world, world.store.repo("events").inspect("master"))
    assert "written" in [line.message for line in world.jobs.logs("events")]


def test_over_s3_each_write_is_a_commit(world: World) -> None:
    world.put("images", {"/a": b"1"})
    world.code("spout.py", BY_BOTO3)
    create(world, "events", [sys.executable, "spout.py"], spout={})
    downstream(world)
    with serving(world) as told:
        assert [told.ended("all").state, told.ended("all").state] == [JobState.SUCCESS, JobState.SUCCESS]
        assert world.output("events") == {"/x": b"by s3", "/y": b"by s3"}
        commits = list(world.store.repo("events").commits("master"))
        assert len(commits) == 2
        assert all(from_code(world, one) for one in commits)
        lines = islice(world.jobs.logs("events", follow=True), 2)
        assert [line.message for line in lines] == ["['all', 'events', 'images']", "AccessDenied"]


def test_nobody_else_writes_there(world: World) -> None:
    create(world, "events", ["sleep", "100000"], spout={})
    repo = world.store.repo("events")
    with pytest.raises(ConflictError, match="is the output of a pipeline"):
        repo.commit("master")
    with pytest.raises(ConflictError, match="is the output of a pipeline"):
        repo.start_commit("master")
    ours = world.store.as_spout(spout_of(world)).repo("events")
    opened = ours.start_commit("master")
    assert from_code(world, opened)
    for act in (repo.commit, repo.finish_commit):
        with pytest.raises(ConflictError, match="is the output of a pipeline"):
            act("master")
    assert from_code(world, ours.finish_commit("master"))
    with ours.commit("aside") as aside:
        aside.put_file("/x", b"y")
    assert repo.inspect("aside").provenance == ()


def test_what_is_left_of_an_old_version_writes_nothing(world: World) -> None:
    create(world, "events", ["sleep", "100000"], spout={})
    old = world.store.as_spout(spout_of(world)).repo("events")
    begun = old.commit("master")
    begun.put_file("/x", b"late")
    world.pipelines.update(spec(world, "events", ["sleep", "200000"], spout={}), base_dir=world.folder)
    with pytest.raises(ConflictError, match="is the output of a pipeline"):
        begun.finish()
    with pytest.raises(ConflictError, match="is the output of a pipeline"):
        old.commit("master")
    new = world.store.as_spout(spout_of(world)).repo("events")
    world.pipelines.stop("events")
    with pytest.raises(ConflictError, match="is the output of a pipeline"):
        new.commit("master")


def test_the_command_of_a_job_is_no_spout(world: World) -> None:
    world.put("images", {"/a": b"1"})
    world.code("run.sh", "true\n")
    world.create("copy", pfs_input("images"))
    with pytest.raises(ConflictError, match="is the output of a pipeline"):
        world.store.as_spout(spout_of(world, "copy")).repo("copy").commit("master")


@pytest.mark.row("2.7 spout restarts")
def test_a_commit_that_was_left_open_is_dropped(world: World, pipe: Pipe) -> None:
    once = f"{PFS}\npfs start-commit $PPS_PIPELINE_NAME@master && echo begun >{pipe.path}; exit 1\n"
    world.code("spout.sh", once)
    create(world, "events", ["sh", "spout.sh"], spout={})
    with serving(world) as told:
        assert [pipe.line(), pipe.line()] == ["begun", "begun"]
        assert told.state("events", "crashing").reason == "the command ended with exit code 1"
    words = [line.message for line in world.jobs.logs("events") if line.stream == "system"]
    assert any("was left open by the run before: it is dropped" in word for word in words)


def test_stopped_started_updated_and_deleted(world: World, pipe: Pipe) -> None:
    cmd = ["sh", "-c", f"echo $0 >{pipe.path}; exec sleep 100000"]
    create(world, "events", [*cmd, "one"], spout={})
    with serving(world) as told:
        assert pipe.line() == "one"
        world.pipelines.update(spec(world, "events", [*cmd, "two"], spout={}), base_dir=world.folder)
        assert pipe.line() == "two"
        world.pipelines.stop("events")
        assert world.pipelines.inspect("events").state == "stopped"
        world.pipelines.start("events")
        assert pipe.line() == "two"
        assert told.state("events", "running").state == "running"
        world.pipelines.delete("events")
        create(world, "events", [*cmd, "three"], spout={})
        assert pipe.line() == "three"
        assert list(world.jobs.jobs("events")) == []


def test_a_killed_controller_leaves_no_spout_and_the_next_starts_it(world: World, pipe: Pipe) -> None:
    held = pipe.path.parent / "held"
    world.code("run.sh", f"exec 9>{held}; flock 9; echo begun >{pipe.path}; setsid sleep 100000 & sleep 100000\n")
    create(world, "events", ["sh", "run.sh"], spout={})
    with killed_controller(world):
        assert pipe.line() == "begun"
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # granted once nothing of the command is left
    with serving(world):
        assert pipe.line() == "begun"


RECEIVER = """
import http.server, os, sys
import pfs

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with pfs.open() as store, store.repo(os.environ["PPS_PIPELINE_NAME"]).commit("master") as commit:
            commit.put_file(self.path, body)
        self.send_response(204)
        self.end_headers()

server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
with open(sys.argv[2], "w") as said:
    said.write("listens\\n")
server.serve_forever()
"""


@pytest.mark.row("2.2 spout.service", "2.7 spout with a service")
@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_with_a_port_it_takes_what_is_pushed(world: World, pipe: Pipe, isolation: str) -> None:
    internal, external = free_port(), free_port()
    world.code("receiver.py", RECEIVER)
    service: dict[str, Plain] = {"internal_port": internal, "external_port": external}
    create(world, "events", [sys.executable, "receiver.py", str(internal), str(pipe.path)], spout={"service": service})
    downstream(world)
    with serving(world, isolation=isolation) as told:
        assert pipe.line() == "listens"
        push = urllib.request.Request(f"http://127.0.0.1:{external}/x", data=b"pushed", method="POST")
        with urllib.request.urlopen(push, timeout=WAIT_S) as answer:
            assert answer.status == 204
        assert told.ended("all").state == JobState.SUCCESS
        assert world.output("all") == {"/all": b"pushed"}
        process = world.pipelines.inspect("events").process
        assert process is not None
        assert process.address == f"127.0.0.1:{external}"
