"""Which jobs are due, derived from commits and past jobs; without running any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import StorageError
from pfs.ids import new_commit_id
from pfs.model import BranchRef
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pps.model.catalog import Catalog, topological, upstream
from pps.scheduling.queue import Due, due_jobs, ready
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        made.store.create_repo("images")
        made.store.create_repo("labels")
        yield made


def due(world: World, name: str) -> list[Due]:
    return due_jobs(world.store, Catalog(world.store).all(), {})[name]


def causes(world: World, name: str) -> list[str]:
    return [one.cause for one in due(world, name)]


def test_a_commit_each_in_order_of_their_end(world: World) -> None:
    world.create("upper", pfs_input("images"))
    assert due(world, "upper") == []
    commits = [world.put("images", {"/a": b"%d" % number}).id for number in range(3)]
    assert causes(world, "upper") == commits
    world.run()
    assert due(world, "upper") == []


@pytest.mark.row("2.5 first job", "2.8 default job")
def test_what_was_there_before_makes_one_job(world: World) -> None:
    commits = [world.put("images", {"/a": b"%d" % number}).id for number in range(3)]
    world.create("upper", pfs_input("images"))
    assert causes(world, "upper") == commits[-1:]
    later = world.put("images", {"/a": b"later"}).id
    assert causes(world, "upper") == [commits[-1], later]


def test_all_inputs_must_have_a_commit(world: World) -> None:
    world.create("both", {"cross": [pfs_input("images"), pfs_input("labels")]})
    first = [world.put("images", {"/a": b"%d" % number}).id for number in range(2)]
    assert due(world, "both") == []
    label = world.put("labels", {"/x": b"x"}).id
    (one,) = due(world, "both")
    assert (one.cause, one.inputs) == (label, {("images", "master"): first[1], ("labels", "master"): label})
    world.run()
    third = world.put("images", {"/a": b"3"}).id
    (one,) = due(world, "both")
    assert one.inputs == {("images", "master"): third, ("labels", "master"): label}


@pytest.mark.row("2.3 inputs of two pipelines")
def test_what_one_transaction_changes_makes_one_job(world: World) -> None:
    world.create("both", {"cross": [pfs_input("images"), pfs_input("labels")]})
    world.create("upper", pfs_input("images"))
    for number in range(2):
        with world.store.transaction() as txn:
            for repo in ("labels", "images"):
                with txn.repo(repo).commit("master") as commit:
                    commit.put_file(f"/{number}", b"%d" % number)
            assert causes(world, "both") == causes(world, "upper") == []
        (one,) = due(world, "both")
        assert (one.cause, set(one.inputs.values())) == (txn.id, {txn.id})
        assert causes(world, "upper") == [txn.id]
        assert {job.id for job in world.run().jobs} == {txn.id}


def test_a_transaction_that_is_committed_and_not_folded_in_makes_one_job(world: World) -> None:
    """Its owner died right after the commit point: who looks sees all of it."""
    world.create("both", {"cross": [pfs_input("images"), pfs_input("labels")]})
    backend = FaultyBackend(world.store.backend, counted=frozenset({"swap"}), fail_at=4, dead_after=True, how=How.AFTER)
    with Store(world.store.path, backend=backend) as dying:
        txn = dying.transaction()
        for repo in ("labels", "images"):
            with txn.repo(repo).commit("master") as commit:
                commit.put_file("/x", b"x")
        with pytest.raises(StorageError):
            txn.finish()
    assert [entry.name for entry in world.store.backend.entries("txn/")] == [f"txn/{txn.id}.json"]
    (one,) = due(world, "both")
    assert set(one.inputs.values()) == {txn.id}
    assert {job.id for job in world.run().jobs} == {txn.id}


def test_an_open_commit_makes_no_job(world: World) -> None:
    world.create("upper", pfs_input("images"))
    repo = world.store.repo("images")
    opened = repo.start_commit("master")
    assert due(world, "upper") == []
    repo.finish_commit("master")
    assert causes(world, "upper") == [opened.id]


def test_a_branch_that_is_moved_makes_one_job_for_its_head(world: World) -> None:
    world.create("upper", pfs_input("images"))
    commits = [world.put("images", {"/a": b"%d" % number}).id for number in range(3)]
    world.run()
    world.store.repo("images").create_branch("master", head=commits[0])
    (cause,) = causes(world, "upper")
    assert due(world, "upper")[0].inputs == {("images", "master"): commits[0]}
    job = world.run_one()
    assert job.id == cause
    assert job.id not in commits
    assert world.output("upper") == {"/a": b"0"}
    assert due(world, "upper") == []
    world.store.repo("images").delete_branch("master", force=True)
    assert due(world, "upper") == []


def test_a_new_version_stands_for_what_waited(world: World) -> None:
    world.create("upper", pfs_input("images"))
    commits = [world.put("images", {"/a": b"%d" % number}).id for number in range(2)]
    world.pipelines.update(world.spec("upper", pfs_input("images"), datum_tries=1), base_dir=world.folder)
    assert causes(world, "upper") == commits[-1:]
    world.run()
    world.pipelines.update(world.spec("upper", pfs_input("images"), datum_tries=2), base_dir=world.folder)
    assert causes(world, "upper") == commits[-1:]
    assert world.run_one().id not in commits


def test_two_inputs_on_one_branch_read_one_commit(world: World) -> None:
    world.create("both", {"cross": [pfs_input("images", name="x"), pfs_input("images", name="y")]})
    commit = world.put("images", {"/a": b"a", "/b": b"b"}).id
    (one,) = due(world, "both")
    assert one.inputs == {("images", "master"): commit}


def test_a_job_waits_for_the_same_cause_upstream(world: World) -> None:
    world.code("copy.sh", 'cp "$PFS"/upper/* "$PFS_OUT"\n')
    world.create("upper", pfs_input("images"))
    world.create("both", {"cross": [pfs_input("images"), pfs_input("upper")]}, cmd=["sh", "copy.sh"])
    old = world.put("images", {"/a": b"a"}).id
    world.run()
    new = world.put("images", {"/a": b"b"}).id
    pipelines = Catalog(world.store).all()
    by_name = {one.name: one for one in pipelines}
    waiting = due_jobs(world.store, pipelines, {})
    assert [one.cause for one in waiting["both"]] == [new]
    assert [one.pipeline.name for one in ready(world.store, waiting, by_name, busy={})] == ["upper"]
    assert ready(world.store, waiting, by_name, busy={"upper": {new}}) == []
    assert [
        one.pipeline.name for one in ready(world.store, waiting | {"upper": []}, by_name, busy={"upper": {old}})
    ] == ["both"]
    assert list(upstream("both", by_name)) == ["upper"]
    assert [one.name for one in topological(pipelines[::-1])] == ["upper", "both"]


def test_an_input_repo_that_was_deleted_makes_an_unrunnable_job(world: World) -> None:
    world.put("images", {"/a": b"a"})
    world.put("labels", {"/x": b"x"})
    world.create("gone", pfs_input("labels"))
    world.create("both", {"cross": [pfs_input("images"), pfs_input("labels")]})
    world.create("fine", pfs_input("images"))
    world.store.delete_repo("labels", force=True)
    states = {job.pipeline: job.state for job in world.run().jobs}
    assert states == {"gone": "unrunnable", "both": "unrunnable", "fine": "success"}
    world.put("images", {"/b": b"b"})
    assert {job.pipeline: job.state for job in world.run().jobs} == {"both": "unrunnable", "fine": "success"}


def test_all_that_read_a_moved_branch_have_jobs_of_one_id(world: World) -> None:
    world.create("one", pfs_input("images"))
    world.create("two", pfs_input("images"))
    world.create("both", {"cross": [pfs_input("one", "/"), pfs_input("two", "/")]}, cmd=["true"])
    commits = [world.put("images", {"/a": b"%d" % number}).id for number in range(2)]
    world.run()
    images = world.store.repo("images")
    images.create_branch("master", head=commits[0])
    jobs = world.run().jobs
    assert sorted(job.pipeline for job in jobs) == ["both", "one", "two"]
    assert len({job.id for job in jobs}) == 1
    assert jobs[0].id not in commits
    images.create_branch("master", head=commits[1])
    again = world.run().jobs
    assert len(again) == 3
    assert len({job.id for job in again}) == 1, "forwards to a commit whose id all have already"
    assert again[0].id not in (*commits, jobs[0].id)


@pytest.mark.row("2.9 open commits of a set")
def test_a_job_waits_for_open_commits_of_its_cause(world: World) -> None:
    world.create("both", {"cross": [pfs_input("images"), pfs_input("labels")]}, cmd=["true"])
    world.put("images", {"/a": b"0"})
    world.put("labels", {"/a": b"0"})
    world.run()
    id = new_commit_id()
    for name in ("images", "labels"):
        world.store.repo(name).start_commit("master", commit_id=id)
    world.store.repo("images").finish_commit("master")
    assert [one.awaited for one in due(world, "both")] == [True]
    assert world.run().jobs == ()
    world.store.repo("labels").finish_commit("master")
    job = world.run_one()
    assert job.id == id
    assert {source.commit for source in world.store.repo("both").inspect("master").provenance} >= {id}


def test_a_job_waits_for_what_somebody_has_to_make_of_its_cause(world: World) -> None:
    """images -> checked, which a person makes; the pipeline reads both."""
    world.store.create_repo("checked").create_branch("master", provenance=[BranchRef("images", "master")])
    world.create("both", {"cross": [pfs_input("images"), pfs_input("checked")]}, cmd=["true"])
    commit = world.put("images", {"/a": b"0"}).id
    assert world.run().jobs == ()
    with world.store.repo("checked").commit("master") as checked:
        checked.put_file("/ok", b"1")
    world.store.repo("checked").finish_commit("master")
    assert world.run_one().id == commit
    assert [info.id for info in world.store.commits_by_id(commit)] == [commit] * 3
    second = world.put("images", {"/a": b"1"}).id
    assert world.run().jobs == ()
    world.store.repo("checked").drop_open(second)
    assert world.run_one().id == second, "what was given up is waited for no more"


def test_the_ways_of_a_diamond_meet_through_what_people_make(world: World) -> None:
    """images -> upper (a pipeline) -> checked (which a person makes) -> both, and images -> both."""
    world.create("upper", pfs_input("images"))
    world.store.create_repo("checked").create_branch("master", provenance=[BranchRef("upper", "master")])
    world.create("both", {"cross": [pfs_input("images"), pfs_input("checked")]}, cmd=["true"])
    for text in (b"0", b"1"):
        commit = world.put("images", {"/a": text}).id
        assert [job.pipeline for job in world.run().jobs] == ["upper"]
        with world.store.repo("checked").commit("master") as checked:
            checked.put_file("/ok", text)
        world.store.repo("checked").finish_commit("master")
        assert world.run_one().id == commit
    assert len(list(world.jobs.jobs("both"))) == 2
