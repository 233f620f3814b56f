"""A pipeline with very many datums, job after job: what runs, what is taken over, and what the output is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pfs
from pfs.store import Store
from pps.controller import Controller, local_executors
from pps.model.infos import JobInfo
from pps.model.state import Counters
from pps.spec.node import Plain
from pps.testing.instant import InstantExecutor
from pps.testing.many import make_store


def run(store: Store) -> tuple[JobInfo, list[str]]:
    """Do the job that is due; return it and the ids of the datums that ran."""
    executor = InstantExecutor(store)
    (job,) = Controller(store, lambda _isolation: executor).run_pending().jobs
    assert job.state == "success"
    return job, executor.ran


def outputs(store: Store) -> int:
    return store.repo("p")["master"].tree.root.count


@pytest.mark.parametrize("count", [3_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_only_what_changed_runs_again(tmp_path: Path, count: int) -> None:
    make_store(tmp_path / "store", count)
    with pfs.open(tmp_path / "store") as store:
        first, ran = run(store)
        assert first.counters == Counters(total=count, processed=count)
        assert (len(set(ran)), outputs(store)) == (count, count)
        repo = store.repo("data")
        with repo.commit("master") as commit:
            commit.put_file("/beside", b"no datum")
        job, again = run(store)
        assert (job.counters, again) == (Counters(total=count, skipped=count), [])
        root = store.repo("p")["master"].tree.root
        with repo.commit("master") as commit:
            commit.put_file("/d000001/f00001007", b"changed")
        job, again = run(store)
        assert job.counters == Counters(total=count, processed=1, skipped=count - 1)
        assert store.repo("p")["master"].tree.root.tid == root.tid
        with repo.commit("master") as commit:
            commit.delete_file("/d000001/f00001007")
            commit.put_file("/d000001/new", b"new")
        job, fresh = run(store)
        assert job.counters == Counters(total=count, processed=1, skipped=count - 1)
        assert (outputs(store), len(fresh), fresh != again) == (count, 1, True)
        view = store.repo("p")["master"]
        assert view.read(f"/{fresh[0][:2]}/{fresh[0]}") == b"output of " + fresh[0].encode()
        assert view.tree.stat(f"{again[0][:2]}/{again[0]}".encode()) is None


COPY = """
import os, shutil
from pps.batching import next_datum
top = os.environ["PFS"]
while next_datum():
    for folder, _, names in os.walk(top + "/data"):
        for name in names:
            shutil.copy(os.path.join(folder, name), f"{top}/out/{name}")
"""


@pytest.mark.parametrize(
    "count", [400, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3 * 3600)])]
)
def test_the_same_with_a_first_job_of_real_commands_in_batches(tmp_path: Path, count: int) -> None:
    root = str(Path(__file__).parents[2])
    transform: dict[str, Plain] = {"cmd": [sys.executable, "-c", COPY], "datum_batching": True}
    make_store(tmp_path / "store", count, transform={**transform, "env": {"PYTHONPATH": root}})
    with pfs.open(tmp_path / "store") as store:
        repo, controller = store.repo("data"), Controller(store, local_executors(store))
        (first,) = controller.run_pending().jobs
        assert (first.state, first.counters) == ("success", Counters(total=count, processed=count))
        assert outputs(store) == count
        with repo.commit("master") as commit:
            commit.put_file("/beside", b"no datum")
        (job,) = controller.run_pending().jobs
        assert job.counters == Counters(total=count, skipped=count)
        with repo.commit("master") as commit:
            commit.put_file("/d000000/f00000007", b"changed")
        (job,) = controller.run_pending().jobs
        assert job.counters == Counters(total=count, processed=1, skipped=count - 1)
        assert store.repo("p")["master"].read("/f00000007") == b"changed"
        assert store.repo("p")["master"].read("/f00000008") == b"8"
