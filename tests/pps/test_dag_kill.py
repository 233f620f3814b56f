"""kill -9 of controllers, spawners and commands in a DAG of five pipelines: the outputs are those of a quiet run.

Kills are placed by what the controller has told, never by time, so they meet the same places on a slow machine.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pfs.upkeep.check import fsck
from pps.model.state import JobState
from pps.spec.node import Plain
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in

DAG = ("upper", "pairs", "joined", "served", "final")
COMMITS = 2
FEW, MANY = 10, 100
CHILD = """
import sys
import pfs
from cli.job_gateways import job_gateways
from pps.controller import Controller, local_executors

with pfs.open(sys.argv[1]) as store:
    executors = local_executors(store, slots=2, gateways=job_gateways(store))
    controller = Controller(store, executors, checkpoint_s=0.0)
    controller.run_pending(on_event=lambda event: print(type(event).__name__, flush=True))
"""
SERVED = """
import botocore.session, os
s3 = botocore.session.get_session().create_client("s3", endpoint_url=os.environ["S3_ENDPOINT"])
for one in s3.list_objects_v2(Bucket="upper")["Contents"]:
    body = s3.get_object(Bucket="upper", Key=one["Key"])["Body"].read()
    s3.put_object(Bucket="out", Key="s/" + one["Key"], Body=body[::-1])
"""
PAIRS = 'cat "$images" "$labels" > "$PFS_OUT/$(basename "$images")-$(basename "$labels")"\n'
JOINED = 'cat "$upper" "$images" > "$PFS_OUT/$(basename "$upper")"\n'
FINAL = (
    'cd "$PFS"; for f in $(find pairs joined served -type f | sort); do echo "$f"; cat "$f"; done > "$PFS_OUT/all"\n'
)
Outcome = dict[str, tuple[str, list[str], dict[str, bytes]]]


def build(world: World) -> None:
    """Make the DAG and the commits that are due."""
    for name, code in (("upper", UPPER), ("pairs", PAIRS), ("joined", JOINED), ("final", FINAL)):
        world.code(f"{name}.sh", code)
    world.code("served.py", SERVED)
    for repo in ("images", "labels"):
        world.store.create_repo(repo)
    keyed: dict[str, Plain] = {"join_on": "$1"}
    whole = [pfs_input(name, "/") for name in ("pairs", "joined", "served")]
    inputs: dict[str, dict[str, Plain]] = {
        "upper": pfs_input("images"),
        "pairs": {"cross": [pfs_input("images"), pfs_input("labels")]},
        "joined": {"join": [pfs_input("upper", "/(*)", **keyed), pfs_input("images", "/(*)", **keyed)]},
        "served": {"pfs": {"repo": "upper", "s3": True}},
        "final": {"cross": list[Plain](whole)},
    }
    for name in DAG:
        more: dict[str, Plain] = {"s3_out": True} if name == "served" else {"datum_set_spec": {"number": 1}}
        cmd = [sys.executable, "served.py"] if name == "served" else ["sh", f"{name}.sh"]
        # A kill counts as a try: here no datum may fail of them.
        world.create(name, inputs[name], cmd, datum_tries=1000, **more)
    for round_no in range(COMMITS):
        world.put("labels", {f"/{name}": b"label %d" % round_no for name in "xy"})
        world.put("images", {f"/{number}": b"image %d" % (number * (number < 2) + round_no) for number in range(4)})


def outcome(world: World) -> Outcome:
    """Return the root of each output, the ids of its commits, and its files."""

    def one(name: str) -> tuple[str, list[str], dict[str, bytes]]:
        repo = world.store.repo(name)
        return repo["master"].info.root.tid.hex(), [info.id for info in repo.commits("master")], world.output(name)

    return {name: one(name) for name in DAG}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "home"
    with world_in(path) as world:
        build(world)
    return path


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    path = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(prepared, path)
    with world_in(path) as world:
        assert {job.state for job in world.run().jobs} == {JobState.SUCCESS}
        return outcome(world)


@contextmanager
def controller(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", CHILD, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        try:
            yield process
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """Return the processes that all threads of one have started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def victim(process: subprocess.Popen[str], kind: str) -> int:
    """Return the controller, its spawner, or a process that a command runs in; the next above where there is none."""
    found = process.pid
    for _ in range({"controller": 0, "spawner": 1, "command": 3}[kind]):
        below = children(found)
        if not below:
            break
        found = below[-1]
    return found


def disturb(home: Path, rng: random.Random, *, kills: int) -> dict[str, int]:
    """Run controllers until nothing is due, killing so often at most; return how many of each kind were killed."""
    killed = dict.fromkeys(("controller", "spawner", "command"), 0)
    while True:
        with controller(home) as process:
            assert process.stdout is not None
            left = rng.randint(1, 8)
            for _ in process.stdout:
                left -= 1
                if left <= 0 and sum(killed.values()) < kills:
                    kind = rng.choice(list(killed))
                    with suppress(ProcessLookupError):
                        os.kill(victim(process, kind), signal.SIGKILL)
                        killed[kind] += 1
                    left = rng.randint(1, 8)
            if process.wait() == 0:
                return killed
            assert process.returncode == -signal.SIGKILL, "it ended by itself, and not well"


def check(prepared: Path, home: Path, wanted: Outcome, *, seed: int, kills: int) -> None:
    """Kill so often, in as many runs of the DAG as that takes; each must end as the quiet one."""
    rng, left, kinds = random.Random(seed), kills, set[str]()
    while left > 0:
        shutil.copytree(prepared, home)
        killed = disturb(home, rng, kills=left)
        left -= sum(killed.values())
        kinds |= {kind for kind, count in killed.items() if count}
        with world_in(home) as world:
            assert outcome(world) == wanted, seed
            assert world.run().jobs == ()
            for name in DAG:
                assert {job.state for job in world.jobs.jobs(name)} == {JobState.SUCCESS}, name
            assert list(fsck(world.store, deep=True)) == []
        shutil.rmtree(home)
    assert kills < MANY or kinds == {"controller", "spawner", "command"}


def test_ten_kills_change_nothing(prepared: Path, undisturbed: Outcome, tmp_path: Path) -> None:
    check(prepared, tmp_path / "home", undisturbed, seed=1, kills=FEW)


@pytest.mark.long
def test_a_hundred_kills_change_nothing(prepared: Path, undisturbed: Outcome, tmp_path: Path) -> None:
    check(prepared, tmp_path / "home", undisturbed, seed=random.randrange(1 << 32), kills=MANY)
