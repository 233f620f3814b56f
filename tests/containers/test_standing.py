"""Services and spouts in real containers: served, followed, started again, and gone at their end."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.test_containers import ENGINE, IMAGE, image, left, rootfs
from tests.pps.pipe_world import World, pfs_input, world_in
from tests.pps.standing_world import create, free_port, serving

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
__all__ = ["image"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.put("pages", {"/index.txt": b"one"})
        yield made
    assert left() == []


def fetch(port: int, wanted: bytes) -> None:
    """Ask until the answer is the wanted one: the command has begun before it listens."""
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.txt", timeout=60) as answer:
                if answer.read() == wanted:
                    return
        except (urllib.error.URLError, ConnectionError):
            continue


@pytest.mark.parametrize("isolation", ["auto", "container"])
def test_a_service_serves_the_newest_data(world: World, isolation: str) -> None:
    inside, outside = free_port(), free_port()
    command = ["httpd", "-f", "-p", f"127.0.0.1:{inside}", "-h", "/pfs/pages"]
    ports = {"internal_port": inside, "external_port": outside}
    world.create("web", pfs_input("pages", "/"), command, transform={"image": IMAGE}, service=ports)
    with serving(world, isolation=isolation) as told:
        told.state("web", "running")
        for port in inside, outside:
            fetch(port, b"one")
        assert len(left()) == 1
        first = world.put("pages", {"/index.txt": b"two"})
        assert told.ended("web").state == "success"
        fetch(inside, b"two")
        assert next(world.jobs.jobs("web")).id == first.id
        assert len(left()) == 1
        world.pipelines.stop("web")
        assert told.ended("web").state == "killed"


def test_a_spout_runs_in_a_container_and_again_when_it_ends(world: World) -> None:
    say = "echo of $PPS_PIPELINE_NAME in $(wc -l </etc/passwd) lines; exit 3"
    create(world, "events", ["sh"], transform={"cmd": ["sh"], "image": IMAGE, "stdin": [say]}, spout={})
    with serving(world) as told:
        for _ in range(2):
            assert told.state("events", "crashing").reason == "the command ended with exit code 3"
        said = [line.message for line in world.jobs.logs("events") if line.stream == "stdout"]
        assert said[:2] == ["of events in 2 lines"] * 2


PUT = """
import datetime, hashlib, hmac, os, socket, time
host = os.environ["AWS_ENDPOINT_URL"].partition("://")[2].rstrip("/")
stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
signed = {"host": host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": stamp}
names = ";".join(signed)
lines = ["PUT", "/out/x", "", *(f"{name}:{value}" for name, value in signed.items()), "", names, "UNSIGNED-PAYLOAD"]
text = "\\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256("\\n".join(lines).encode()).hexdigest()])
key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
for part in (*scope.split("/"), text):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
credential = f"Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
signed["authorization"] = f"AWS4-HMAC-SHA256 {credential},SignedHeaders={names},Signature={key.hex()}"
body = b"from a container"
lines = ["PUT /out/x HTTP/1.1", *(f"{name}: {value}" for name, value in signed.items()), f"content-length: {len(body)}"]
with socket.create_connection(host.split(":")) as connection:
    connection.sendall("\\r\\n".join([*lines, "", ""]).encode() + body)
    print(connection.recv(4096).split()[1].decode(), flush=True)
time.sleep(100000)
"""


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    """Make an image with this Python, without its packages; return the path of the program in it."""
    program, library = os.path.realpath(sys.executable), sysconfig.get_path("stdlib")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.split()
    name, buffer = "localhost/pps-test-python:1", io.BytesIO(rootfs())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for file in {program, *(word for word in linked if word.startswith("/"))}:
            tar.add(os.path.realpath(file), file.lstrip("/"))
        skipped = {"site-packages", "test", "tests", "idlelib", "__pycache__"}
        tar.add(library, library.lstrip("/"), filter=lambda one: None if Path(one.name).name in skipped else one)
    assert ENGINE is not None
    subprocess.run([ENGINE, "import", "-", name], input=buffer.getvalue(), capture_output=True, check=True)
    yield program
    subprocess.run([ENGINE, "rmi", "--force", name], capture_output=True, check=False)


def test_a_spout_in_a_container_commits_over_s3(world: World, python: str) -> None:
    world.code("run.sh", 'cat "$PFS"/events/* >"$PFS_OUT/all"\n')
    command = {"cmd": [python, "-c", PUT], "image": "localhost/pps-test-python:1"}
    create(world, "events", [], transform=command, spout={})
    world.create("all", pfs_input("events", "/"))
    with serving(world) as told:
        assert told.ended("all").state == "success"
        assert world.output("all") == {"/all": b"from a container"}
        assert next(world.jobs.logs("events", follow=True)).message == "200"
