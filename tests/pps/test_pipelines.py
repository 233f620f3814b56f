"""The face of the service: making, updating and deleting pipelines, and looking at what they did."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pfs.backends.base import Entry, Etag
from pfs.backends.local import LocalBackend
from pfs.errors import (
    AlreadyExistsError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    NotFoundError,
    RepoNotFoundError,
)
from pfs.model import BranchRef
from pfs.provenance.bind import Binding, bind
from pfs.store import Store
from pps.model import events
from pps.model.state import Counters, JobState
from pps.pipelines.pipelines import Pipelines
from pps.spec.parse import parse_specs
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        made.put("images", {"/a": b"a", "/b": b"b"})
        yield made


@pytest.mark.row("2.2 pipeline", "2.2 description", "2.2 transform")
def test_create_makes_a_repo_bound_to_its_inputs(world: World) -> None:
    info = world.create("upper", pfs_input("images"), description="shouts")
    assert (info.name, info.version, info.state, info.description) == ("upper", 1, "pending", "shouts")
    assert (info.input_text, info.output_branch, info.last_job) == ("images:/*", "master", None)
    repo = world.store.repo("upper")
    assert repo.branch("master").provenance == (BranchRef("images", "master"),)
    assert repo.view(".spec").read("/code/run.sh") == UPPER.encode()
    assert [branch.name for branch in repo.branches()] == ["master"]
    assert parse_specs(repo.view(".spec").read("/spec.json").decode())[0].name == "upper"


@pytest.mark.row("2.1 create", "2.2 pipeline.name", "2.8 missing input repo", "2.8 circles", "2.8 dry run")
def test_create_checks_before_it_changes_anything(world: World) -> None:
    world.create("upper", pfs_input("images"))
    before = world.store.list_repos()
    with pytest.raises(AlreadyExistsError, match="pipeline 'upper' already exists"):
        world.create("upper", pfs_input("images"))
    with pytest.raises(AlreadyExistsError, match="repo 'images' already exists"):
        world.create("images", pfs_input("upper"))
    with pytest.raises(RepoNotFoundError, match="nosuch"):
        world.create("other", pfs_input("nosuch"))
    with pytest.raises(InvalidInputError, match="no file or folder 'lib'"):
        world.create("other", pfs_input("images"), transform={"code": ["lib"]})
    with pytest.raises(InvalidInputError, match=r"outside the spec's folder"):
        world.create("other", pfs_input("images"), transform={"code": ["../x"]})
    assert world.pipelines.create(world.spec("other", pfs_input("images")), base_dir=world.folder, dry_run=True).version
    assert world.store.list_repos() == before


def test_an_interrupted_create_can_be_done_again(world: World) -> None:
    world.store.create_repo("upper")
    bind(world.store, "upper", {"master": Binding((BranchRef("images", "master"),), pipeline=True)})
    assert world.create("upper", pfs_input("images")).version == 1
    assert world.run_one().counters == Counters(total=2, processed=2)


def test_a_missing_input_branch_is_made_and_waited_for(world: World) -> None:
    world.create("upper", pfs_input("images", branch="dev"))
    assert world.pipelines.inspect("upper").state == "idle"
    assert world.run().jobs == ()
    world.put("images", {"/x": b"x"}, branch="dev")
    assert world.run_one().counters.total == 1


def test_an_input_cannot_come_from_the_output(world: World) -> None:
    world.create("one", pfs_input("images"))
    world.create("two", pfs_input("one"))
    with pytest.raises(InvalidInputError, match="made from its own output"):
        world.pipelines.update(world.spec("one", pfs_input("two")), base_dir=world.folder)
    with pytest.raises((InvalidInputError, RepoNotFoundError)):
        world.create("self", pfs_input("self"))


@pytest.mark.row("2.4 changed glob", "2.4 reprocess", "2.8 update keeps results")
def test_update_runs_what_changed(world: World) -> None:
    world.create("upper", pfs_input("images"))
    world.run()
    spec = world.spec("upper", pfs_input("images"))
    assert world.pipelines.update(spec, base_dir=world.folder).version == 1
    assert world.run().jobs == ()
    described = world.pipelines.update(replace(spec, description="new"), base_dir=world.folder)
    assert (described.version, described.description) == (2, "new")
    assert world.run_one().counters == Counters(total=2, skipped=2)
    assert world.pipelines.update(spec, base_dir=world.folder, reprocess=True).version == 3
    assert world.run_one().counters == Counters(total=2, processed=2)
    world.code("run.sh", "# as before\n" + UPPER)
    world.pipelines.update(spec, base_dir=world.folder, reprocess=False)
    assert world.run_one().counters == Counters(total=2, skipped=2)
    world.put("images", {"/c": b"c"})
    assert world.run_one().counters == Counters(total=3, processed=1, skipped=2)
    narrowed = world.pipelines.update(world.spec("upper", pfs_input("images", "/[ab]")), base_dir=world.folder)
    assert narrowed.version == 5
    assert world.run_one().counters == Counters(total=2, skipped=2)
    assert set(world.output("upper")) == {"/a", "/b"}


@pytest.mark.row("2.1 update")
def test_update_makes_what_does_not_exist(world: World) -> None:
    assert world.pipelines.update(world.spec("upper", pfs_input("images")), base_dir=world.folder).version == 1


@pytest.mark.row("2.2 output_branch", "2.8 update of the output branch")
def test_another_output_branch_gets_the_whole_output(world: World) -> None:
    world.create("upper", pfs_input("images"))
    world.run()
    world.pipelines.update(world.spec("upper", pfs_input("images"), output_branch="out2"), base_dir=world.folder)
    assert world.run_one().counters == Counters(total=2, skipped=2)
    assert world.output("upper", "out2") == {"/a": b"A", "/b": b"B"}
    assert world.store.repo("upper").branch("master").provenance == ()


def test_only_the_pipeline_writes_to_its_output(world: World) -> None:
    world.create("upper", pfs_input("images"))
    with pytest.raises(ConflictError, match="output of a pipeline"):
        world.put("upper", {"/x": b"x"})


@pytest.mark.row("2.8 delete with dependents", "2.8 delete keep-repo")
def test_delete(world: World) -> None:
    world.create("upper", pfs_input("images"))
    world.create("next", pfs_input("upper"))
    world.run("upper")
    with pytest.raises(ConflictError, match="next"):
        world.pipelines.delete("upper")
    world.pipelines.delete("next")
    world.pipelines.delete("upper", keep_repo=True)
    assert world.output("upper") == {"/a": b"A", "/b": b"B"}
    assert world.pipelines.list() == []
    world.put("upper", {"/c": b"mine"})
    with pytest.raises(AlreadyExistsError, match="repo 'upper'"):
        world.create("upper", pfs_input("images"))
    with pytest.raises(NotFoundError, match="pipeline 'upper' not found"):
        world.pipelines.delete("upper")


def test_listing_is_upstream_first(world: World) -> None:
    world.store.create_repo("labels")
    world.create("zeta", pfs_input("images"))
    world.create("alpha", {"cross": [pfs_input("zeta", "/"), pfs_input("labels", branch="dev")]})
    assert [info.name for info in world.pipelines.list()] == ["zeta", "alpha"]
    assert world.pipelines.inspect("alpha").input_text == "(labels@dev:/* x zeta:/)"
    with pytest.raises(NotFoundError, match="pps list-pipeline"):
        world.pipelines.inspect("nosuch")


@pytest.mark.row("2.6 state SKIPPED", "2.6 state SUCCESS")
def test_looking_at_jobs_and_datums(world: World) -> None:
    world.create("upper", pfs_input("images"))
    first = world.run_one()
    world.put("images", {"/c": b"c"})
    second = world.run_one()
    assert [job.id for job in world.jobs.jobs()] == [second.id, first.id]
    assert world.jobs.job("upper", second.id[:8]) == second
    datums = list(world.jobs.datums("upper", second.id))
    assert [datum.id for datum in datums] == sorted(datum.id for datum in datums)
    assert [(d.inputs[0].path, d.state, d.ran_in) for d in sorted(datums, key=lambda d: d.inputs)] == [
        ("/a", "skipped", first.id),
        ("/b", "skipped", first.id),
        ("/c", "success", second.id),
    ]
    assert world.jobs.datum("upper", second.id, datums[0].id[:10]) == datums[0]
    assert (datums[0].exit_code, datums[0].tries, datums[0].input_bytes) == (0, 1, 1)
    info = world.pipelines.inspect("upper")
    assert (info.state, info.last_job, info.last_job_state) == ("idle", second.id, "success")
    with pytest.raises(NotFoundError, match="pps list-job"):
        world.jobs.job("upper", "ffffff")
    with pytest.raises(NotFoundError, match="pps list-datum"):
        world.jobs.datum("upper", first.id, "f" * 64)
    with pytest.raises(NotFoundError, match="pps list-datum"):
        world.jobs.datum("upper", first.id, "zz")
    with pytest.raises(InvalidInputError, match="ambiguous"):
        world.jobs.job("upper", first.id[:0] + _common(first.id, second.id))


def _common(one: str, two: str) -> str:
    """Return a beginning that both ids have; ids are random, so this may be none, which is no reference."""
    same = [a for a, b in zip(one, two, strict=True) if a == b and one.startswith(a) and two.startswith(b)]
    if not same:
        raise InvalidInputError("ambiguous: the ids have no beginning in common")
    return same[0]


@pytest.mark.row("2.6 logs", "2.10 by datum")
def test_logs_of_a_job(world: World) -> None:
    world.code("run.sh", 'echo out $images; echo err >&2; cp "$images" "$PFS_OUT"\n')
    world.create("upper", pfs_input("images"))
    with pytest.raises(NotFoundError, match="has no jobs"):
        world.jobs.logs("upper")
    job = world.run_one()
    lines = [line for line in world.jobs.logs("upper") if line.stream != "system"]
    assert sorted((line.stream, line.message.split("/")[0].strip()) for line in lines) == [
        ("stderr", "err"),
        ("stderr", "err"),
        ("stdout", "out"),
        ("stdout", "out"),
    ]
    assert len(list(world.jobs.logs("upper", tail=1))) == 1
    world.put("images", {"/c": b"c"})
    second = world.run_one()
    old = next(datum for datum in world.jobs.datums("upper", second.id) if datum.ran_in == job.id)
    skipped = list(world.jobs.logs("upper", job=second.id, datum=old.id))
    assert {line.datum for line in skipped} == {old.id}
    assert [line for line in world.jobs.logs("upper", follow=True) if line.stream == "stderr"]


def test_code_that_is_gone_from_the_disk_stays_in_the_store(world: World) -> None:
    world.create("upper", pfs_input("images"))
    (world.folder / "run.sh").unlink()
    assert world.run_one().counters == Counters(total=2, processed=2)
    world.code("run.sh", UPPER)
    assert world.run().jobs == ()


def test_frozen_refuses_edited_code(world: World) -> None:
    world.create("upper", pfs_input("images"))
    world.run()
    world.code("run.sh", "# edited\n" + UPPER)
    assert world.pipelines.changed_code("upper") == ("run.sh",)
    with pytest.raises(ConflictError, match=r"'upper' was edited: run\.sh;"):
        world.controller.run_pending(frozen=True)
    assert world.pipelines.inspect("upper").version == 1
    assert world.run_one().version == 2
    assert world.controller.run_pending(frozen=True).jobs == ()
    given = world.store.repo("upper").view(".spec").read("/given.json")
    assert json.loads(given)["pipeline"] == {"name": "upper"}


def test_a_damaged_record_is_named(world: World) -> None:
    world.create("upper", pfs_input("images"))
    world.damage("upper", "pipeline.json", b"nonsense")
    with pytest.raises(CorruptionError, match=r"pipeline\.json"):
        world.pipelines.inspect("upper")
    (info,) = world.pipelines.list()
    assert (info.name, info.state) == ("upper", "damaged")
    assert "upper@" in info.description


@pytest.mark.parametrize("file", ["pipeline.json", "spec.json"])
@pytest.mark.parametrize("keep_repo", [True, False])
def test_a_damaged_pipeline_is_deleted_by_force(world: World, file: str, keep_repo: bool) -> None:
    world.create("upper", pfs_input("images"))
    world.create("after", pfs_input("upper"))
    world.run()
    world.damage("upper", file, b"nonsense")
    with pytest.raises(CorruptionError, match="upper@") as caught:
        world.pipelines.delete("upper", keep_repo=keep_repo)
    assert "--force" in caught.value.__notes__[0]
    world.pipelines.delete("upper", keep_repo=keep_repo, force=True)
    assert [(info.name, info.state) for info in world.pipelines.list()] == [("after", "idle")]
    assert [repo.name for repo in world.store.list_repos()] == ["after", "images", *(["upper"] if keep_repo else [])]
    if keep_repo:
        assert world.output("upper") == {"/a": b"A", "/b": b"B"}
        with world.store.repo("upper").commit("master") as commit:
            commit.put_file("/mine", b"m")
        assert world.store.repo("upper").branch("master").provenance == ()
    world.create("upper2", pfs_input("images"))
    assert world.run("upper2").jobs[0].state == JobState.SUCCESS


def test_a_pipeline_with_damaged_refs_is_deleted_by_force(world: World) -> None:
    world.create("upper", pfs_input("images"))
    world.create("after", pfs_input("upper"))
    world.run()
    path = world.store.path / "objects" / "refs" / "upper.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorruptionError, match="refs/upper") as caught:
        world.pipelines.delete("upper")
    assert "--force" in caught.value.__notes__[0]
    with pytest.raises(CorruptionError, match="refs/upper"):
        world.pipelines.delete("upper", keep_repo=True, force=True)
    world.pipelines.delete("upper", force=True)
    assert [(info.name, info.state) for info in world.pipelines.list()] == [("after", "idle")]
    assert [repo.name for repo in world.store.list_repos()] == ["after", "images"]
    world.create("upper", pfs_input("images"))
    assert world.run("upper").jobs[0].state == JobState.SUCCESS


def test_code_that_is_gone_is_told_and_its_copy_runs(world: World) -> None:
    world.put("images", {"/a": b"a"})
    world.create("upper", pfs_input("images"))
    (world.folder / "run.sh").unlink()
    assert world.run_one().state == JobState.SUCCESS
    assert world.events[0] == events.CodeGone("upper", ("run.sh",), str(world.folder))
    assert world.pipelines.inspect("upper").version == 1
    world.code("other.sh", UPPER)
    info = world.pipelines.update(world.spec("upper", pfs_input("images"), description="x"), base_dir=world.folder)
    assert info.notes == (f"code: run.sh gone from {world.folder}: from this version on the command runs without",)
    info = world.pipelines.update(
        world.spec("upper", pfs_input("images"), cmd=["sh", "other.sh"]), base_dir=world.folder
    )
    assert info.notes == ()


class Counting(LocalBackend):
    """Objects on the disk that count what is asked of them."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.listings = 0
        self.asked: set[str] = set()

    def entries(self, prefix: str) -> Iterator[Entry]:
        self.listings += prefix.startswith("refs/")
        return super().entries(prefix)

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        self.asked.add(name)
        return super().read(name)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.asked.add(name)
        return super().get_ranges(name, ranges)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self.asked.add(name)
        return super().get(name, offset=offset, length=length)


def test_a_create_reads_nothing_of_the_pipelines_beside_it(world: World, tmp_path: Path) -> None:
    for number in range(12):
        world.create(f"beside{number:02}", pfs_input("images"))
    backend = Counting(world.store.path / "objects")
    later = time.time_ns() + 10**9  # what was swapped just now is read to see whether it was swapped again
    with Store(world.store.path, backend=backend, clock_ns=lambda: later) as store:
        pipelines = Pipelines(store)
        (first, second) = (world.spec(name, pfs_input("images")) for name in ("one", "two"))
        pipelines.create(first, base_dir=tmp_path)
        backend.listings, backend.asked = 0, set()
        pipelines.create(second, base_dir=tmp_path)
    assert not [name for name in backend.asked if "beside" in name]
    assert backend.listings <= 4, "each looks at all objects of refs"
