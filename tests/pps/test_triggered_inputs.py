"""Inputs whose commits do not each make a job: triggers, and propagation_spec.never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import BranchNotFoundError, InvalidInputError
from pfs.model import BranchRef, Trigger
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.put("r", {"/a": b"1"})
        yield made


def names(world: World) -> list[str]:
    return sorted(path.strip("/") for path in world.output("p"))


@pytest.mark.row("2.3 pfs.trigger", "2.3 trigger branches", "2.3 trigger.commits")
def test_a_branch_of_its_own_follows(world: World) -> None:
    world.create("p", pfs_input("r", "/", trigger={"commits": "2"}), ["sh", "-c", 'cp "$PFS"/r/* "$PFS_OUT"'])
    branch = world.store.repo("r").branch("p-trigger-1")
    assert branch.trigger == Trigger(branch="master", commits=2)
    assert world.run().jobs == ()
    world.put("r", {"/b": b"2"})
    assert len(world.run().jobs) == 1, "one for both commits"
    assert names(world) == ["a", "b"]
    world.put("r", {"/c": b"3"})
    assert world.run().jobs == ()
    newest = world.put("r", {"/d": b"4"})
    (job,) = world.run().jobs
    assert job.inputs[0].commit == newest.id
    assert names(world) == ["a", "b", "c", "d"]
    world.pipelines.delete("p")
    with pytest.raises(BranchNotFoundError):
        world.store.repo("r").branch("p-trigger-1")


@pytest.mark.row("2.3 pfs.branch", "2.3 trigger.branch")
def test_names_of_trigger_branches(world: World) -> None:
    world.put("s", {"/a": b"1"})
    trigger: Plain = {"branch": "dev", "size": "1KB", "rateSpec": "@daily", "all": True}
    given: Plain = {
        "cross": [
            pfs_input("s", "/", name="z", trigger=trigger),
            pfs_input("r", "/", name="y", trigger=trigger, branch="mine"),
            pfs_input("r", "/", name="x", trigger=trigger, branch="mine"),
        ]
    }
    world.create("p", given, ["true"])
    made = Trigger(branch="dev", size_bytes=1000, rate="@daily", all=True)
    assert world.store.repo("s").branch("p-trigger-1").trigger == made
    assert world.store.repo("r").branch("mine").trigger is not None
    world.pipelines.delete("p")
    assert world.store.repo("r").branch("mine").trigger is not None, "it has a name of its user's"
    spec = world.spec("q", {"union": [pfs_input("r", "/a", trigger=trigger), pfs_input("r", "/b", trigger=trigger)]})
    assert [leaf.branch for leaf in spec.input.children] == ["q-trigger-1", "q-trigger-2"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"trigger": {}}, "has no condition: give size, commits, rate_spec or cron_spec"),
        ({"trigger": {"size": "big"}}, "the field 'trigger' of pfs: 'big' is no size"),
        ({"trigger": {"rate_spec": "often"}}, "the field 'trigger' of pfs: 'often' is no schedule"),
        ({"trigger": {"commits": 1, "cron_spec": "@daily"}}, "takes no other condition"),
        ({"trigger": {"commits": 1}, "branch": "master"}, "the branch 'master' would follow itself"),
        ({"trigger": {"commits": 2, "commit": 1}}, "unknown field 'commit' in trigger: did you mean 'commits'?"),
        ({"trigger": {"commits": 1, "branch": ".meta"}}, "invalid branch name '.meta'"),
    ],
)
def test_triggers_that_cannot_be(world: World, given: dict[str, Plain], what: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        world.spec("p", pfs_input("r", "/", **given))
    assert what in str(caught.value)


@pytest.mark.row("2.3 pfs.propagation_spec", "2.3 propagation_spec.never")
def test_an_input_whose_commits_make_no_jobs(world: World) -> None:
    world.put("model", {"/m": b"1"})
    given: Plain = {"cross": [pfs_input("r", "/"), pfs_input("model", "/", propagation_spec={"never": True})]}
    world.create("p", given, ["sh", "-c", 'cat "$PFS"/model/m "$PFS"/r/a > "$PFS_OUT"/x'])
    world.run_one()
    assert world.output("p") == {"/x": b"11"}
    world.put("model", {"/m": b"2"})
    world.put("model", {"/m": b"3"})
    assert world.pipelines.inspect("p").state == "idle"
    assert world.run().jobs == ()
    cause = world.put("r", {"/a": b"2"})
    newest = world.put("model", {"/m": b"4"})
    job = world.run_one()
    assert job.id == cause.id
    assert world.output("p") == {"/x": b"32"}, "the model of that time, not the one that came after"
    assert newest.id not in {given.commit for given in job.inputs}
    world.put("r", {"/a": b"3"})
    world.run_one()
    assert world.output("p") == {"/x": b"43"}
    world.pipelines.rerun("p")
    world.run_one()
    assert world.run().jobs == ()


def test_never_is_only_for_branches_that_no_other_input_follows(world: World) -> None:
    quiet = pfs_input("r", "/a", name="quiet", propagation_spec={"never": True})
    world.create("p", {"cross": [quiet, pfs_input("r", "/", name="loud")]}, ["true"])
    world.run_one()
    world.put("r", {"/a": b"2"})
    assert len(world.run().jobs) == 1


def test_a_create_that_fails_leaves_no_branch_of_its_own(world: World) -> None:
    world.put("t", {"/a": b"1"})
    world.store.create_repo("s").create_branch("mine", provenance=[BranchRef("t", "master")])
    trigger: Plain = {"commits": 1}
    given: Plain = {"cross": [pfs_input("r", "/", trigger=trigger), pfs_input("s", branch="mine", trigger=trigger)]}
    with pytest.raises(InvalidInputError, match="not both"):
        world.create("p", given, ["true"])
    assert [branch.name for branch in world.store.repo("r").branches()] == ["master"]
    assert [branch.name for branch in world.store.repo("s").branches()] == ["mine"]
    assert [repo.name for repo in world.store.list_repos()] == ["r", "s", "t"]
