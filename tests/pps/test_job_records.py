"""Jobs as .meta keeps them: found from the newest on, the oldest forgotten, and trees of older releases read on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import NotFoundError
from pfs.ids import new_commit_id
from pfs.model import NewCommit
from pfs.trees.edit import DeleteTree, edit
from pfs.trees.tree import Tree
from pfs.upkeep.check import fsck
from pps.model.catalog import Catalog, Pipeline
from pps.model.job_records import JobRecords
from pps.model.records import JOBS_DIR, ORDER_DIR
from pps.model.state import JobState
from pps.scheduling import forget
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        yield made


def run(world: World, count: int) -> list[str]:
    """Make so many commits and do what is due; return the ids of the jobs, oldest first."""
    commits = [world.put("images", {"/a": b"x%d" % number}).id for number in range(count)]
    world.run()
    return commits


def pipeline(world: World) -> Pipeline:
    return Catalog(world.store).get("upper")


def kept(world: World) -> tuple[list[str], set[str], set[str]]:
    """Return the jobs in /order, and the names below /jobs and /logs."""
    tree = Tree(world.store.objects, pipeline(world).meta_root)
    order = [row.key.rpartition(b".")[2].decode() for row in tree.list(ORDER_DIR)]
    jobs, logs = ({row.key.rpartition(b"/")[2].decode() for row in tree.list(one)} for one in (JOBS_DIR, b"logs"))
    return order, jobs, logs


def without_order(world: World) -> None:
    """Make .meta what a release without /order wrote."""
    repo, session, old = world.store.repo("upper"), world.store.session(), pipeline(world)
    root = edit(session, old.meta_root, [DeleteTree(ORDER_DIR)], changed=None)
    parents = () if old.meta is None else (old.meta,)
    repo.publish([NewCommit(branch=".meta", root=root, id=new_commit_id(), started_ns=1, parents=parents)], session)


def test_the_newest_are_found_without_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.store.create_repo("images")
    world.create("upper", pfs_input("images"))
    ids = run(world, 4)
    jobs = pipeline(world).jobs
    read: list[str] = []
    plain = JobRecords._read

    def counted(self: JobRecords, job: object) -> object:
        read.append(str(job))
        return plain(self, job)  # type: ignore[arg-type]

    monkeypatch.setattr(JobRecords, "_read", counted)
    assert jobs.newest is not None
    assert (jobs.newest.id, jobs[-1].id, jobs.next_number) == (ids[-1], ids[-1], 5)
    assert set(read) == {ids[-1]}
    assert [job.id for job in jobs] == ids == [job.id for job in reversed(jobs)][::-1]
    assert [job.id for job in jobs[1:3]] == ids[1:3]
    assert (len(jobs), bool(jobs)) == (4, True)
    assert [job.id for job in jobs.beginning(ids[0][:10])] == [ids[0]]
    assert jobs.find(new_commit_id()) is None
    assert list(jobs.of_version(2)) == []


def test_old_jobs_are_forgotten_with_their_logs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "KEPT_JOBS", 2)
    world.code("run.sh", "echo hello\n" + UPPER)
    world.store.create_repo("images")
    world.create("upper", pfs_input("images"))
    ids = run(world, 6)
    order, jobs, logs = kept(world)
    assert order == ids[-3:], "as many as are kept, and the last that ended"
    assert (jobs, logs) == (set(order), set(order))
    assert [job.id for job in world.jobs.jobs("upper")] == ids[:-4:-1]
    with pytest.raises(NotFoundError):
        world.jobs.job("upper", ids[0])
    assert world.output("upper") == {"/a": b"X5"}
    assert len(list(world.store.repo("upper").commits("master"))) == 6
    assert world.run().jobs == ()
    assert list(fsck(world.store, deep=True)) == []


def test_the_job_of_the_head_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "KEPT_JOBS", 1)
    world.store.create_repo("images")
    world.create(
        "upper", pfs_input("images"), ["sh", "-c", f'grep -q x0 "$PFS"/images/a || exit 1\n{UPPER}'], datum_tries=1
    )
    ids = run(world, 5)
    order, _, _ = kept(world)
    assert order[0] == ids[0]
    assert ids[1] not in order
    assert world.jobs.job("upper", ids[0]).state == JobState.SUCCESS


def test_a_tree_of_an_older_release_is_read_and_completed(world: World) -> None:
    world.store.create_repo("images")
    world.create("upper", pfs_input("images"))
    ids = run(world, 3)
    without_order(world)
    jobs = pipeline(world).jobs
    assert not jobs.is_ordered
    assert [job.id for job in jobs] == ids == [job.id for job in reversed(jobs)][::-1]
    assert jobs.next_number == 4
    assert world.run().jobs == ()
    more = [*ids, world.put("images", {"/a": b"new"}).id]
    world.run_one()
    assert kept(world)[0] == more
