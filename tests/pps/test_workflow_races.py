"""Runs of one workflow that begin at the same time: each is a commit in line with its own inputs, or is refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from pfs.backends.local import LocalBackend
from pfs.errors import ConflictError, PfsError
from pfs.ids import CommitId
from pfs.store import Store
from pfs.testing.faults import FaultyBackend
from pps.workflows.before import before
from pps.workflows.infos import inspect_run, list_runs
from pps.workflows.parse import parse_workflow
from pps.workflows.plan import Asked
from pps.workflows.runs import start_run
from pps.workflows.schedule import begin_tick
from tests.pps.pipe_world import World, world_in

T = TypeVar("T")
FLOW = """\
name: w
params: {p: none}
tasks:
- {name: one, command: "echo {{params.p}} > x", outputs: [{name: o, path: x}]}
- {name: two, command: "cat {{tasks.one.outputs.o.path}} > y", outputs: [{name: o, path: y}]}
- {name: last, command: "echo {{params.p}} > z", after: [one], outputs: [{name: o, path: z}]}
"""
OTHER = FLOW.replace("> y", "> y; true")


def begin(store: Store, code: Path, p: str, *, text: str = FLOW, stay: ExitStack | None = None) -> CommitId:
    return start_run(store, parse_workflow(text), Asked(code, params={"p": p}), stay=stay)[0]


def files(world: World, run: CommitId) -> list[bytes]:
    paths = {"w-one": "/o/x", "w-two": "/o/y", "w-last": "/o/z"}
    return [world.store.repo(repo).view(run).read(path) for repo, path in paths.items()]


def settle(world: World, runs: dict[CommitId, str]) -> None:
    """Do what is due: all runs are listed, were successful, and made what their own params say."""
    world.run()
    assert {info.id for info in list_runs(world.store, "w")} == set(runs)
    for run, p in runs.items():
        assert inspect_run(world.store, "w", run).state == "success"
        assert files(world, run) == [f"{p}\n".encode()] * 3


class Meeting(FaultyBackend):
    """Does something in the middle: right before the write of a number."""

    def __init__(self, backend: LocalBackend, at: int, then: Callable[[], object]) -> None:
        super().__init__(backend)
        self._at, self._then = at, then

    def run(self, method: str, name: str, *, whole: Callable[[], T], half: Callable[[], object]) -> T:
        done = super().run(method, name, whole=lambda: None, half=half)
        assert done is None
        if method in self._counted and self.calls == self._at:
            self._then()
        return whole()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def test_runs_that_begin_together_are_in_line(tmp_path: Path, code: Path) -> None:
    with world_in(tmp_path / "home") as world:
        gate, names = threading.Barrier(4), [f"p{number}" for number in range(4)]

        def one(p: str) -> CommitId:
            with Store(world.store.path) as store:
                gate.wait()
                return begin(store, code, p)

        runs = dict[CommitId, str]()
        for text in ("a", "b"):
            given = [text + name for name in names]
            with ThreadPoolExecutor(4) as pool:
                runs |= dict(zip(pool.map(one, given), given, strict=True))
        settle(world, runs)


@pytest.mark.parametrize("ran_before", [False, True])
def test_a_run_of_another_machine_in_the_middle_is_seen(tmp_path: Path, code: Path, *, ran_before: bool) -> None:
    """The other machine shares the objects and no turn, and begins its run right before writes of all kinds."""
    at, calls = 1, 1
    while at <= calls:
        home = tmp_path / f"home{at}"
        with world_in(home) as world:
            runs = {begin(world.store, code, "first"): "first"} if ran_before else {}
            objects = LocalBackend(home / ".pfs/objects")
            elsewhere = tmp_path / f"other{at}"
            elsewhere.mkdir()
            shutil.copy(home / ".pfs/config.json", elsewhere)
            with Store(elsewhere, backend=objects) as other:

                def theirs(other: Store = other, runs: dict[CommitId, str] = runs) -> None:
                    # Pipelines that are half made are another's.
                    with nullcontext() if ran_before else suppress(PfsError):
                        runs[begin(other, code, "theirs")] = "theirs"

                backend = Meeting(objects, at, theirs)
                with Store(home / ".pfs", backend=backend) as store:
                    runs[begin(store, code, "ours")] = "ours"
                calls = max(calls, backend.calls) if at == 1 else calls
            settle(world, runs)
        at += 1 if at > calls - 3 else min(5, calls - 2 - at) or 1
    assert at > 5


def test_a_tick_is_no_run_if_another_began_since_it_was_due(tmp_path: Path, code: Path) -> None:
    with world_in(tmp_path / "home") as world:
        runs = {begin(world.store, code, "a"): "a"}
        found = before(world.store, "w")
        runs[begin(world.store, code, "b")] = "b"
        assert begin_tick(world.store, found, 1) is None
        settle(world, runs)


def test_a_task_that_a_run_has_yet_to_do_is_not_changed(tmp_path: Path, code: Path) -> None:
    with world_in(tmp_path / "home") as world:
        with ExitStack() as stay:
            run = begin(world.store, code, "a", stay=stay)
            for text in (OTHER, FLOW[: FLOW.index("- {name: last")]):
                with pytest.raises(ConflictError, match=f"run w@{run} has yet to do task '(two|last)'"):
                    begin(world.store, code, "b", text=text)
            settle(world, {run: "a"})
            second = begin(world.store, code, "b", text=OTHER)
        settle(world, {run: "a", second: "b"})
        # What nobody waits for, and no controller does, is given up.
        begin(world.store, code, "c")
        begin(world.store, code, "d", text=FLOW.replace("> y", "> y; :"))
