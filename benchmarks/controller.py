"""How soon work starts after a commit, what `pfs serve` costs while nothing happens, and what one look costs.

The first: from the end of a commit in another process to the first line of the command of its first datum, by the
clock of the machine that both run on; waits between commits let the daemon fall asleep again. Idle CPU is that of the
daemon's process, out of /proc. A look is what one commit costs a controller that knows all pipelines of a store,
beside the same in a store with ten.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pfs
from pfs.provenance import bind
from pfs.store import Store
from pps.executor import Executor
from pps.model.events import ignore
from pps.pipelines import versions
from pps.pipelines.pipelines import Pipelines
from pps.scheduling.scheduler import Scheduler
from pps.spec.parse import parse_specs

MAIN = "from cli.pfs_main import main; main()"
STAMP = 'for f in /pfs/data/*; do date +%s%N > "/pfs/out/$(basename "$f")"; done'


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return the rows."""
    commits, idle_s, pipelines = (5, 2.0, 50) if quick else (50, 60.0, 2_000)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="pfs-bench-") as directory:
        rows += _latency(Path(directory) / "latency", commits=commits, idle_s=idle_s)
        rows += _looks(Path(directory), pipelines=pipelines)
    return rows


def _row(case: str, variant: str, seconds: float, **more: object) -> dict[str, object]:
    return {"suite": "controller", "case": case, "variant": variant, "seconds": seconds, **more}


def _create(store: Store, name: str, repo: str, command: str) -> None:
    spec = {"pipeline": {"name": name}, "input": {"pfs": {"repo": repo, "glob": "/*"}}}
    document = json.dumps({**spec, "transform": {"cmd": ["sh", "-c", command]}})
    (parsed,) = parse_specs(document, name=name)
    Pipelines(store).create(parsed, base_dir=store.path)


def _put(store: Store, repo: str, number: int) -> None:
    with store.repo(repo).commit("master") as commit:
        commit.put_file("/file", b"%d" % number)


@contextmanager
def _serving(home: Path) -> Iterator[int]:
    command = [sys.executable, "-c", MAIN, "--store", str(home), "serve", "--no-s3", "--no-upkeep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline(), "the daemon did not start"
        try:
            yield server.pid
        finally:
            server.terminate()
            server.stdout.read()


def _latency(home: Path, *, commits: int, idle_s: float) -> list[dict[str, object]]:
    with pfs.init(home) as store:
        store.create_repo("data")
        _create(store, "stamp", "data", STAMP)
        with _serving(home) as pid:
            times = sorted(_one_commit(store, number) for number in range(commits + 1))[:-1]
            before = _cpu_s(pid)
            time.sleep(idle_s)
            idle = (_cpu_s(pid) - before) / idle_s
    case = "commit to the first datum's command"
    return [
        _row(case, "p50", median(times)),
        _row(case, "p95", times[int(0.95 * len(times))]),
        _row("CPU of an idle daemon, of one core", f"over {idle_s:g} s", idle, ratio=idle),
    ]


def _one_commit(store: Store, number: int) -> float:
    _put(store, "data", number)
    end_ns = time.time_ns()
    while True:
        token = store.changes()
        head = store.repo("stamp").branch("master").head
        if head is not None and head == store.repo("data").branch("master").head:
            break
        store.wait(token, 60)
    started_ns = int(store.repo("stamp")["master"].read("/file"))
    time.sleep(0.3)
    return (started_ns - end_ns) / 1e9


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _looks(directory: Path, *, pipelines: int) -> list[dict[str, object]]:
    few, many = (_look(directory / str(count), count) for count in (10, pipelines))
    case = "look after one commit"
    return [
        _row(case, "10 pipelines", few),
        _row(case, f"{pipelines} pipelines", many, ratio=many / few, baseline="10 pipelines"),
    ]


def _look(home: Path, count: int) -> float:
    """Return the median time of looks after one commit each, which makes no job as its pipeline is stopped."""
    with pfs.init(home) as store:
        for number in range(count):
            store.create_repo(f"in{number}")
            with _unchecked():
                _create(store, f"p{number}", f"in{number}", "true")
        Pipelines(store).stop("p0")
        scheduler = Scheduler(store, _no_executor, run_dir=store.path / "run", on_event=ignore, checkpoint_s=30.0)
        scheduler.start_due()
        times = []
        for number in range(5):
            _put(store, "in0", number)
            time.sleep(1.2)
            begun = time.perf_counter()
            scheduler.start_due()
            times.append(time.perf_counter() - begun)
        return median(times)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Bind without a look at all other repos: making thousands of pipelines is not what is measured."""
    before = versions.check, bind.check
    versions.check = bind.check = lambda *_: None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        versions.check, bind.check = before  # type: ignore[attr-defined]


def _no_executor() -> Executor:
    raise AssertionError("nothing is due")
