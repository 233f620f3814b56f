"""Beginning a run: whatever write of it fails, nothing is due but whole runs, and the next try begins one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pfs.backends.local import LocalBackend
from pfs.errors import PfsError
from pfs.ids import CommitId
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.upkeep.check import fsck
from pps.model.catalog import Catalog
from pps.scheduling.queue import due_jobs
from pps.workflows.infos import list_runs
from pps.workflows.parse import parse_workflow
from pps.workflows.plan import Asked
from pps.workflows.runs import start_run
from tests.pps.pipe_world import world_in

OLD = """\
name: w
params: {p: 1}
tasks:
- {name: a, command: "echo {{params.p}} > o", outputs: [{name: o, path: o}]}
- {name: b, command: "true"}
"""
NEW = """\
name: w
params: {p: 2}
tasks:
- {name: a, command: "echo new {{params.p}} > o", outputs: [{name: o, path: o}]}
- {name: c, command: "cat {{tasks.a.outputs.o.path}}"}
"""
OBJECTS = Path(".pfs/objects")
CODE = "code of the tasks\n"


def begin(store: Store, folder: Path, text: str) -> CommitId:
    return start_run(store, parse_workflow(text), Asked(folder))[0]


def due(store: Store) -> dict[str, list[str]]:
    found = due_jobs(store, Catalog(store).all(), {})
    return {name: [one.cause for one in jobs] for name, jobs in found.items() if jobs}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    (folder / "x.py").write_text(CODE)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, code: Path) -> Path:
    """Make a store with a run that is done."""
    path = tmp_path_factory.mktemp("prepared") / "home"
    with world_in(path) as world:
        begin(world.store, code, OLD)
        assert all(job.state == "success" for job in world.run().jobs)
        assert due(world.store) == {}
    return path


def attempt(place: Path, code: Path, **fault: object) -> tuple[int, CommitId | None]:
    """Begin the run over a backend that may fail; return how many writes it made, and the run if it began."""
    backend = FaultyBackend(LocalBackend(place / OBJECTS), **fault)  # type: ignore[arg-type]
    with Store(place / ".pfs", backend=backend) as store:
        try:
            return backend.calls, begin(store, code, NEW)
        except PfsError:
            return backend.calls, None


def check(place: Path, code: Path, what: str) -> None:
    with Store(place / ".pfs") as store:
        before = [run.id for run in list_runs(store, "w")]
        # Either the run began, with all that is of it, or nothing is due.
        if len(before) == 2:
            assert due(store)["w-a"] == [before[0]], what
        else:
            assert due(store) == {}, what
        run = begin(store, code, NEW)
        assert due(store)["w-a"][-1] == run, what
        assert set(due(store)["w-a"]) <= {run, *before}, what
        assert sorted(one.name for one in Catalog(store).all()) == ["w-a", "w-b", "w-c"], what
        assert Catalog(store).get("w-b").record.stopped, what
        assert list(fsck(store, deep=True)) == [], what


HOWS = [
    (How.BEFORE, True, 7),
    pytest.param(How.BEFORE, True, 1, marks=pytest.mark.long),
    pytest.param(How.AFTER, True, 1, marks=pytest.mark.long),
    pytest.param(How.AFTER, False, 1, marks=pytest.mark.long),
    pytest.param(How.BEFORE, False, 1, marks=pytest.mark.long),
    pytest.param(How.FULL, False, 1, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("how", "dead", "step"), HOWS)
def test_a_run_begins_as_a_whole_whatever_write_fails(
    tmp_path: Path, prepared: Path, code: Path, how: How, dead: bool, step: int
) -> None:
    shutil.copytree(prepared, tmp_path / "whole")
    backend = FaultyBackend(LocalBackend(tmp_path / "whole" / OBJECTS))
    with Store(tmp_path / "whole" / ".pfs", backend=backend) as store:
        begin(store, code, NEW)
    check(tmp_path / "whole", code, "no fault")
    assert backend.calls > 10
    for number in range(1, backend.calls + 1, step):
        place = tmp_path / str(number)
        shutil.copytree(prepared, place)
        attempt(place, code, fail_at=number, how=how, dead_after=dead)
        check(place, code, f"write {number} of {backend.calls}: {backend.log[-1]}")
        shutil.rmtree(place)
