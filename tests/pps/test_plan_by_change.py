"""The plan of a job out of what changed since the last one, against that which a listing gives."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from pfs.expand import expand
from pfs.glob import Glob
from pfs.ids import CommitId, TreeId, chunk_id
from pfs.lifecycle.purge import purge
from pfs.trees.edit import Edit, Put, edit
from pfs.trees.page import Kind
from pfs.trees.row import EMPTY_ROOT, MemoryPages
from pfs.trees.tree import Tree
from pps.controller import Controller
from pps.datums.rematch import rematched
from pps.executor import DatumInput
from pps.model.catalog import Catalog
from pps.model.state import Counters, JobState
from pps.scheduling.jobdata import JobData
from pps.scheduling.jobplan import CommitMatches, JobPlan, make_plan, tasks_to_run
from pps.scheduling.planchange import plan_by_change
from pps.scheduling.queue import Due, due_jobs
from pps.spec.node import Plain
from pps.spec.types import Reprocess
from pps.testing.instant import InstantExecutor
from tests.pps.pipe_world import World, pfs_input, world_in

GLOBS = ("/", "/*", "/*/*", "/a/*", "/a*", "/**", "/a/**", "/**/b", "/{a,b}", "/a/b", "/*(a|b)/*", "/!(a)", "/b/")
_paths = st.sampled_from(["a", "b", "c", "a/a", "a/b", "a/c/a", "a/c/b", "b/a", "b/b/b/b"])
_files = st.dictionaries(_paths, st.sampled_from("xyz"), max_size=6).map(
    lambda files: {path: text for path, text in files.items() if not any(one.startswith(path + "/") for one in files)}
)


def tree_of(pages: MemoryPages, files: dict[str, str], removed: Sequence[str] = ()) -> Tree:
    puts: list[Edit] = [
        Put(path.encode(), Kind.REMOVED if path in removed else Kind.FILE, len(text), TreeId(chunk_id(text.encode())))
        for path, text in files.items()
    ]
    return Tree(pages, edit(pages, EMPTY_ROOT, puts, changed=None))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(GLOBS), _files, _files, st.sets(_paths, max_size=2))
def test_the_difference_is_that_of_two_listings(
    pattern: str, old: dict[str, str], new: dict[str, str], removed: set[str]
) -> None:
    pages = MemoryPages()
    before, after = tree_of(pages, old), tree_of(pages, new, tuple(removed))
    found = rematched(Glob(pattern), before, after, most=100)
    assert found is not None
    listed = [{row.key: row for row in expand(tree, pattern) if row.kind != Kind.REMOVED} for tree in (before, after)]
    expected = {
        key: (listed[0].get(key), listed[1].get(key))
        for key in listed[0].keys() | listed[1].keys()
        if [rows[key].tid if key in rows else None for rows in listed].count(None) == 1
        or listed[0][key].tid != listed[1][key].tid
    }
    assert {(one.old or one.new).key: tuple(one) for one in found if one.old or one.new} == expected  # type: ignore[union-attr]
    assert [one for one in found if one == (None, None)] == []


def test_too_many_changes_and_keys_that_only_s3_has_take_a_listing() -> None:
    pages = MemoryPages()
    old, many = tree_of(pages, {"a": "x"}), tree_of(pages, {str(number): "x" for number in range(4)})
    assert rematched(Glob("/*"), old, many, most=4) is None
    assert len(rematched(Glob("/*"), old, many, most=5) or []) == 5
    assert rematched(Glob("/**"), old, tree_of(pages, {"a": "x", "b//c": "y"}), most=5) is None
    assert rematched(Glob("/**"), old, tree_of(pages, {"a": "x", "/c": "y"}), most=5) is None
    both = Tree(
        pages,
        edit(
            pages,
            old.root,
            [Put(b"a/b", Kind.FILE, 1, TreeId(chunk_id(b"z")))],
            changed=None,
            collisions="allow",
        ),
    )
    assert rematched(Glob("/*"), old, both, most=5) is None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        made.put("one", {"/a/x": b"1", "/a/y": b"2", "/b": b"3"})
        made.put("two", {"/a/x": b"4", "/c": b"5"})
        yield made


def next_job(world: World) -> Due:
    (due,) = due_jobs(world.store, Catalog(world.store).all(), {})["p"]
    return due


def both_plans(world: World) -> tuple[JobPlan, JobPlan | None]:
    """The plans of the job that is due, by a listing and by change."""
    due = next_job(world)
    data = JobData(world.store, due, CommitId("f" * 32))
    listed = make_plan(due.pipeline, data.matches, data.results, job=CommitId("f" * 32))
    return listed, plan_by_change(world.store, due.pipeline, data.matches, data.results)


def tasks(world: World, plan: JobPlan) -> dict[str, tuple[DatumInput, ...]]:
    due = next_job(world)
    found = list(tasks_to_run(due.pipeline, CommitMatches(world.store, due.inputs), plan))
    assert [plan.table["id"][int(plan.row_of[task.index])].as_py().hex() for task in found] == [one.id for one in found]
    return {task.id: task.inputs for task in found}


def same_plan(world: World) -> JobPlan:
    listed, changed = both_plans(world)
    assert changed is not None
    assert changed.table.combine_chunks().equals(listed.table)
    for name in ("run", "skipped", "done", "source"):
        assert getattr(changed, name).tolist() == getattr(listed, name).tolist(), name
    assert tasks(world, changed) == tasks(world, listed)
    return changed


def run(world: World) -> list[str]:
    """Do what is due, and return the ids of the datums that ran."""
    executor = InstantExecutor(world.store)
    report = Controller(world.store, lambda _isolation: executor).run_pending()
    assert [job.state.value for job in report.jobs] == ["success"]
    return executor.ran


UNION: Plain = {"union": [pfs_input("one", "/**", name="same"), pfs_input("two", "/*", name="same")]}
CROSS: Plain = {"cross": [pfs_input("one", "/*"), pfs_input("two", "/a/*")]}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "given", [pfs_input("one", "/**"), pfs_input("one", "/*"), UNION], ids=["files", "tops", "union"]
)
def test_a_plan_by_change_is_that_of_a_listing(world: World, given: Plain, seed: int) -> None:
    chance = random.Random(seed)
    world.create("p", given, ["true"])
    assert both_plans(world)[1] is None
    run(world)
    there = {"/a/x", "/a/y", "/b"}
    for number in range(4):
        changes: dict[str, bytes | None] = {f"/a/{chance.randrange(9)}": b"%d" % chance.randrange(3) for _ in range(3)}
        there |= changes.keys()
        changes |= {gone: None for gone in chance.sample(sorted(there), number) if gone not in changes}
        there -= {path for path, data in changes.items() if data is None}
        world.put("one", changes)
        plan = same_plan(world)
        assert len(run(world)) == plan.run.sum()
        assert set(world.output("p")) == {f"/{id.hex()[:2]}/{id.hex()}" for id in plan.table["id"].to_pylist()}


def test_inputs_that_are_put_together_are_taken_over_whole_or_listed(world: World) -> None:
    world.create("p", CROSS, ["true"])
    run(world)
    world.put("two", {"/c": b"not in the glob"})
    assert not same_plan(world).run.any()
    assert run(world) == []
    world.put("two", {"/a/z": b"in the glob"})
    assert both_plans(world)[1] is None
    assert len(run(world)) == 2


def test_what_is_not_the_last_job_takes_a_listing(world: World) -> None:
    world.create("p", pfs_input("one", "/**"), ["true"])
    run(world)
    world.put("one", {"/new": b"1"})
    due = next_job(world)
    last = due.pipeline.jobs[-1]
    data = JobData(world.store, due, CommitId("f" * 32))
    others = [
        replace(due.pipeline, jobs=()),
        replace(due.pipeline, meta=CommitId("e" * 32)),
        replace(due.pipeline, spec_commit=CommitId("e" * 32)),
        replace(due.pipeline, jobs=(structs.replace(last, pages=()),)),
        replace(due.pipeline, jobs=(structs.replace(last, pages=("00" * 32,)),)),
        replace(due.pipeline, jobs=(structs.replace(last, state=JobState.FAILURE),)),
        replace(due.pipeline, jobs=(structs.replace(last, counters=Counters(9)),)),
        replace(due.pipeline, spec=replace(due.pipeline.spec, reprocess=Reprocess.EVERY_JOB)),
    ]
    assert plan_by_change(world.store, due.pipeline, data.matches, data.results) is not None
    for other in others:
        assert plan_by_change(world.store, other, data.matches, data.results) is None


def test_a_purged_file_is_no_datum_any_more(world: World) -> None:
    world.create("p", pfs_input("one", "/**"), ["true"])
    run(world)
    world.put("one", {"/new": b"1"})
    assert same_plan(world).total == 5
    purge(world.store, "one", "/b")
    listed, changed = both_plans(world)
    assert (listed.total, changed) == (4, None)
    run(world)
    assert len(world.output("p")) == 4
