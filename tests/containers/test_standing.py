"""Services and spouts in real containers: served, followed, started again, and gone at their end."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.test_containers import IMAGE, image, left
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
