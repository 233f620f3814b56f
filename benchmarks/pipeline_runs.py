"""What `pipelines` measures, each in a process of its own: ``python -m benchmarks.pipeline_runs WHAT PLACE COUNT``.

Prints one line of JSON: wall seconds, CPU seconds of all processes (null where they cannot be counted) and the peak of
memory of the process that controls, in KiB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pfs
from benchmarks.cpu import CpuCount
from pfs.repo import Repo
from pps.controller import Controller, ExecutorFactory, local_executors
from pps.sandbox.isolation import choose
from pps.sandbox.running import Exit
from pps.sandbox.spawner import Command, Spawner
from pps.testing.instant import InstantExecutor
from pps.testing.many import file_path, make_store

SLOTS = os.cpu_count() or 1


def bare(place: Path, count: int) -> None:
    """Run `true` through the spawner with the mounts of a datum: no datums, no files, no log, no commit."""
    _isolation, spawner = choose("namespace", place)
    try:
        _in_slots(count, lambda slot, share: _commands(spawner, place / str(slot), share))
    finally:
        spawner.close()


def _commands(spawner: Spawner, place: Path, count: int) -> None:
    for name in ("pfs/data", "pfs/out", "tmp/home", "code"):
        (place / name).mkdir(parents=True)
    pfs_dir, tmp, code = (str(place / name) for name in ("pfs", "tmp", "code"))
    steps = (("bind", pfs_dir, "/pfs"), ("bind", tmp, tmp), ("bind", code, code), ("tree", tmp, "/tmp"), ("proc",))
    command = Command(("true",), {"PATH": os.environ["PATH"]}, code, steps)
    with open(os.devnull, "rb") as stdin:
        for _ in range(count):
            ended = spawner.start(command, stdin=stdin.fileno()).wait(lambda _stream, _data: None, timeout_s=None)
            assert ended == Exit(code=0), ended


def unshare(place: Path, count: int) -> None:
    """Run `true` by the program of util-linux, from a loop of the shell: nothing of ours."""
    one = "unshare --user --map-root-user --mount --pid --fork true"
    loop = f'i=0; while [ $i -lt "$1" ]; do {one} || exit 1; i=$((i+1)); done'
    _in_slots(count, lambda _slot, share: subprocess.run(["sh", "-c", loop, "sh", str(share)], check=True))


def _in_slots(count: int, work: Callable[[int, int], object]) -> None:
    with ThreadPoolExecutor(SLOTS) as pool:
        for done in [pool.submit(work, slot, count // SLOTS) for slot in range(SLOTS)]:
            done.result()


def job(place: Path, executors: Callable[[pfs.Store], ExecutorFactory], count: int) -> None:
    """Do what is due, which is one job with so many datums."""
    with pfs.open(place) as store:
        report = Controller(store, executors(store)).run_pending()
        (one,) = report.jobs
        assert (one.state, one.counters.total) == ("success", count), one


def change(repo: Repo, what: str) -> None:
    """Commit something beside the datums, or the content of one."""
    with repo.commit("master") as commit:
        path = "/beside" if what == "unchanged" else file_path(7)
        commit.put_file(path, b"%d" % time.time_ns())


def one_file_jobs(place: Path, count: int) -> list[float]:
    """Commit one file, again and again, beside a controller; return the seconds from each commit to its output."""
    stop, taken = threading.Event(), list[float]()
    with pfs.open(place) as store, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(Controller(store, local_executors(store, slots=SLOTS)).serve, stop)
        try:
            for number in range(count):
                with store.repo("data").commit("master") as commit:
                    commit.put_file(file_path(0), b"%d of one" % number)
                taken.append(_until_output(store, serving))
        finally:
            stop.set()
        serving.result()
    return taken


def _until_output(store: pfs.Store, serving: Future[None]) -> float:
    begun = time.perf_counter()
    wanted = store.repo("data").inspect("master").id
    while not serving.done():
        token = store.changes()
        head = store.history.find("p", wanted)
        if head is not None:
            return time.perf_counter() - begun
        store.wait(token, 0.1)
    raise RuntimeError("the controller ended") from serving.exception()


def _work(what: str, place: Path, count: int) -> Callable[[], None]:
    """Prepare what is not measured, and return what is."""
    if what == "bare":
        place.mkdir(exist_ok=True)
        return lambda: bare(place, count)
    if what == "unshare":
        return lambda: unshare(place, count)
    if what == "datums":
        make_store(place, count)
        return lambda: job(place, lambda store: local_executors(store, slots=SLOTS), count)
    if what == "first":
        make_store(place, count)
    else:
        with pfs.open(place) as store:
            change(store.repo("data"), what)
    return lambda: job(place, lambda store: lambda _isolation: InstantExecutor(store), count)


def _peak_kib() -> int:
    # Not ru_maxrss: that begins with the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Run what the command line names."""
    what, place, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if what == "latency":
        make_store(place, 1)
        print(json.dumps({"seconds": median(one_file_jobs(place, count)), "cpu_s": None, "peak_kib": _peak_kib()}))
        return
    work, cpu = _work(what, place, count), CpuCount()
    _reset_peak()
    cpu.start()
    try:
        cpu_before, begun = cpu.seconds, time.perf_counter()
        work()
        seconds, cpu_after = time.perf_counter() - begun, cpu.seconds
    finally:
        cpu.close()
    used = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    print(json.dumps({"seconds": seconds, "cpu_s": used, "peak_kib": _peak_kib()}))


if __name__ == "__main__":
    main()
