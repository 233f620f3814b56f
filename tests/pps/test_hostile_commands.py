"""User code that misbehaves: its job says so, the jobs beside it are none the worse, and nothing of it is left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pps.model.infos import JobInfo
from pps.model.state import JobState
from pps.sandbox.isolation import probe
from pps.workers.logs import HEAD_BYTES, TAIL_BYTES
from tests.cli.processes import run as run_program
from tests.pps.pipe_world import World, pfs_input, world_in

MIB = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.put("in", {f"/{name}": name.encode() for name in "abc"})
        yield made
        assert list((made.store.path / "run" / "work").iterdir()) == [], "a scratch directory was left behind"


def job_of(world: World, script: str, **fields: object) -> JobInfo:
    """Run a pipeline with a datum for each of the three files; the datum of /b is the one with bad intents."""
    world.code("run.sh", f'case "$in" in */b) :;; *) cp "$in" "$PFS_OUT/"; exit 0;; esac\n{script}\n')
    world.create("p", pfs_input("in"), **{"datum_tries": 1, **fields})  # type: ignore[arg-type]  # fields of a spec
    return world.run_one()


def log(world: World) -> list[str]:
    return [line.message for line in world.jobs.logs("p")]


def processes_with(mark: str) -> list[str]:
    """Return the command lines of living processes that hold ``mark``."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in line:
            found.append(line)
    return found


def mark(number: int) -> str:
    """Return a number of seconds to sleep that no other process has."""
    return f"{900 + number}{os.getpid()}"


def test_daemons_are_told_and_ended(world: World) -> None:
    one = mark(1)
    job = job_of(world, f'cp "$in" "$PFS_OUT/"; setsid sh -c "sleep {one} & sleep {one}" & (sleep {one} &) ; sleep 0.2')
    assert (job.state, job.data_processed) == (JobState.SUCCESS, 3)
    assert processes_with(one) == []
    assert [line for line in log(world) if line.startswith("it left processes running, which were ended: ")]


def test_forks_that_ignore_every_signal(world: World) -> None:
    one = mark(2)
    script = f"""
    trap '' TERM INT HUP QUIT
    spread() {{ [ "$1" = 0 ] || {{ spread $(($1 - 1)) & spread $(($1 - 1)) & }}; sleep {one}; }}
    spread 6
    """
    job = job_of(world, script, datum_timeout="3s")
    assert (job.state, job.data_processed, job.data_failed) == (JobState.FAILURE, 2, 1)
    assert "datum_timeout (3 s)" in job.reason
    assert processes_with(one) == []


def test_a_stopped_job_ends_what_ignores_it(world: World, tmp_path: Path) -> None:
    one = mark(3)
    world.code("run.sh", f"trap '' TERM; echo up; while :; do sleep {one}; done\n")
    world.create("p", pfs_input("in"))
    stop = threading.Event()
    served = threading.Thread(target=world.make_controller().serve, args=(stop,))
    served.start()
    try:
        while not (jobs := list(world.jobs.jobs("p"))):
            world.store.wait(world.store.changes(), 0.1)
        with closing(world.jobs.logs("p", job=jobs[0].id, follow=True)) as lines:
            assert next(lines).message == "up"
        world.jobs.stop_job("p", jobs[0].id)
        assert world.jobs.wait("p", jobs[0].id, timeout_s=240).state == JobState.KILLED
    finally:
        stop.set()
        served.join()
    assert processes_with(one) == []


def test_inputs_that_are_removed_and_replaced(world: World) -> None:
    if not probe(world.folder / "probe").overlay:
        pytest.skip("inputs are read-only without an overlay")
    job = job_of(
        world, 'rm -rf "$PFS/in"/*; mkdir "$PFS/in/b"; echo x > "$PFS/in/b/x"; rm -rf /pfs/in /pfs/.env /tmp/* || :'
    )
    assert (job.state, job.data_processed) == (JobState.SUCCESS, 3)
    assert world.output("p") == {"/a": b"a", "/c": b"c"}
    assert world.output("in") == {"/a": b"a", "/b": b"b", "/c": b"c"}


ODD = ["back\\slash", "sp ace", "-rf", "ünïcode", "star*[a]", "q?", "#hash", "'quote\"", "..."]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lock itself out")
@pytest.mark.parametrize(
    "script",
    [
        "chattr +i /pfs/out",
        'chattr +i "$HOME"',
        "chattr +a /tmp",
        "mkdir -p /tmp/x/y; echo > /tmp/x/y/f; chattr +i /tmp/x/y/f /tmp/x/y",
        'chown 1234:1234 /tmp /pfs/out; touch -d 1999-01-01 "$HOME"',
    ],
)
def test_what_a_command_does_to_its_folders_is_gone_for_the_next_datum(world: World, script: str) -> None:
    seen = "for folder in /tmp /pfs/out $HOME; do echo $(stat -c %u:%g $folder) $(date -r $folder +%C); done"
    world.code(
        "run.sh",
        f'case "$in" in */b) {script}; exit;; esac\n echo > "$HOME/f"; echo > /tmp/f; rm /tmp/f "$HOME/f"\n'
        f'({seen}) > "$PFS_OUT/$(basename "$in")"\n',
    )
    one_worker = {"parallelism_spec": {"constant": 1}, "datum_set_spec": {"number": 100}}
    world.create("p", pfs_input("in"), datum_tries=1, **one_worker)  # type: ignore[arg-type]  # fields of a spec
    job = world.run_one()
    if job.data_failed == 1 and "chattr" in "".join(log(world)):
        pytest.skip("this file system has no flags")
    assert (job.state, job.data_processed) == (JobState.SUCCESS, 3)
    output = world.output("p")
    assert output["/c"] == output["/a"]


def named(world: World, name: bytes) -> JobInfo:
    """Run a job that writes a file of this name."""
    (world.folder / "name").write_bytes(name)
    return job_of(world, 'printf x > "$PFS_OUT/$(cat name)"', transform={"code": ["name"]})


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_kept_as_they_are(world: World, name: str) -> None:
    job = named(world, name.encode())
    assert job.state == JobState.SUCCESS, job.reason
    assert world.output("p") == {"/a": b"a", "/c": b"c", f"/{name}": b"x"}


BAD = [(b"\xff", "UTF-8"), (b"ok\x80", "UTF-8"), (b"\xc0\x80", "UTF-8"), (b"a\nb", "control"), (b"\x01", "control")]


@pytest.mark.parametrize(("name", "why"), BAD)
def test_names_that_the_store_does_not_take_fail_their_datum(world: World, name: bytes, why: str) -> None:
    job = named(world, name)
    assert (job.state, job.data_failed) == (JobState.FAILURE, 1)
    assert "its output cannot be taken" in job.reason
    assert why in job.reason


PEAK = """
import resource, subprocess, sys
command = [sys.executable, "-c", "from cli.pps_main import main; main()", "run"]
subprocess.run(command, cwd=sys.argv[1], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def flood(tmp_path: Path, size: int) -> tuple[int, list[str]]:
    """Let a command write ``size`` bytes to both streams, half of it in lines; return the peak memory and its log."""
    with world_in(tmp_path / "home") as world:
        world.put("in", {"/a": b"a"})
        half = size // 4
        lines, zeros = f"yes 'a line of a flood' | head -c {half}", f"head -c {half} /dev/zero"
        script = f"{lines}; {zeros}; {lines} >&2; {zeros} >&2; echo the end\n"
        world.code("run.sh", script)
        world.create("p", pfs_input("in"))
    # Asked in a process between: what a large one starts counts its memory as its own, from before it was executed.
    asked = subprocess.run([sys.executable, "-c", PEAK, tmp_path / "home"], capture_output=True, text=True, check=True)
    return int(asked.stdout) * 1024, run_program(tmp_path / "home", "pps", "logs", "-p", "p").splitlines()


@pytest.mark.parametrize(
    "size", [256 * MIB, pytest.param(10 << 30, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_a_flood_on_stdout_is_bounded(tmp_path: Path, size: int) -> None:
    peak, lines = flood(tmp_path, size)
    assert peak < 400 * MIB
    assert sum(map(len, lines)) < 2 * (HEAD_BYTES + TAIL_BYTES)
    assert lines[0].endswith("a line of a flood")
    assert any(line.endswith("the end") for line in lines[-10_000:])
    with world_in(tmp_path / "home") as world:
        assert (
            sum(info.size_bytes for info in world.store.repo("p").view(".meta").list("/logs", recursive=True))
            < 16 * MIB
        )


PTRACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, 1, 0, 0) == 0:  # PTRACE_ATTACH
    os._exit(0)
sys.exit("refused")
"""


def test_a_command_cannot_take_hold_of_its_init(world: World) -> None:
    if probe(world.folder / "probe").kind != "namespace":
        pytest.skip("process 1 is none of ours")
    world.code("attach.py", PTRACE)
    job = job_of(
        world, f"{sys.executable} attach.py || cp $in $PFS_OUT/", transform={"code": ["attach.py"]}, datum_timeout="60s"
    )
    assert job.state == JobState.SUCCESS, job.reason
    assert "/b" in world.output("p"), "it was attached to"
    assert "refused" in log(world)


def test_a_command_cannot_change_the_root_of_the_next(world: World) -> None:
    if probe(world.folder / "probe").kind != "namespace":
        pytest.skip("without namespaces there is no root of its own")
    script = (
        'ls /left-behind && exit 1; mount -o remount,rw / || echo refused; touch /left-behind || cp "$in" /pfs/out/'
    )
    job = job_of(world, script)
    assert job.state == JobState.SUCCESS, job.reason
    assert "/b" in world.output("p")
