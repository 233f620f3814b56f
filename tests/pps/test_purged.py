"""Pipelines over repos from which something was purged: what is gone is no input, what was made of it goes with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import BranchMovedError, PathNotFoundError
from pfs.gc.collect import collect
from pfs.lifecycle.purge import purge
from pfs.lifecycle.retention import apply_retention, set_retention
from pfs.lifecycle.rewrite import Mirror
from pfs.lifecycle.unread import Unread
from pfs.refs.retention import Keep, PathRule, Retention
from pfs.upkeep.check import fsck
from pps.model.catalog import Catalog
from pps.model.records import META_BRANCH, OUT_DIR
from pps.model.state import Counters, JobState
from pps.scheduling.jobdata import JobData
from pps.scheduling.queue import due_jobs
from pps.scheduling.unread import unread
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in

MIRRORS = (Mirror(META_BRANCH, OUT_DIR),)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        made.store.create_repo("images")
        yield made


def held(world: World, text: bytes) -> bool:
    """Say whether live trees of any repo hold a content."""
    world.put("probe", {"/probe": text})
    copies = purge(world.store, "probe", "/probe").copies
    return any(not place.startswith("probe@") for place in copies)


def test_a_purged_input_is_no_datum_and_its_output_goes(world: World) -> None:
    world.put("images", {f"/{name}": b"text " + name.encode() for name in "abc"})
    world.create("upper", pfs_input("images"))
    world.run_one()
    purge(world.store, "images", "/a")
    assert world.run().jobs == ()
    world.put("images", {"/d": b"text d"})
    assert world.run_one().counters == Counters(total=3, processed=1, skipped=2)
    assert world.output("upper") == {f"/{name}": b"TEXT " + name.upper().encode() for name in "bcd"}
    world.code("run.sh", UPPER.replace("a-z A-Z", "t T"))
    assert world.run_one().state == JobState.SUCCESS


def test_a_purged_file_of_a_directory_is_not_there(world: World) -> None:
    world.put("images", {"/x/a": b"a", "/x/b": b"b", "/y/c": b"c"})
    world.code("list.sh", 'for d in "$PFS"/images/*; do ls "$d" > "$PFS_OUT/$(basename "$d")"; done\n')
    world.create("names", pfs_input("images", "/*/"), cmd=["sh", "list.sh"])
    world.run_one()
    assert world.output("names") == {"/x": b"a\nb\n", "/y": b"c\n"}
    purge(world.store, "images", "/x/a")
    world.put("images", {"/z/d": b"d"})
    assert world.run_one().counters == Counters(total=3, processed=2, skipped=1)
    assert world.output("names") == {"/x": b"b\n", "/y": b"c\n", "/z": b"d\n"}


def test_an_output_is_purged_with_what_jobs_keep_of_it(world: World) -> None:
    world.put("images", {"/a": b"secret a", "/b": b"text b"})
    world.create("upper", pfs_input("images"))
    world.run_one()
    assert held(world, b"SECRET A")
    report = purge(world.store, "upper", "/a", mirrors=MIRRORS)
    assert (report.commits, report.contents, report.copies) == (2, 1, ())
    assert not held(world, b"SECRET A")
    world.put("images", {"/c": b"text c"})
    assert world.run_one().counters == Counters(total=3, processed=1, skipped=2)
    view = world.store.repo("upper")["master"]
    assert [(info.path, info.type) for info in view.list()] == [("/a", "removed"), ("/b", "file"), ("/c", "file")]
    assert list(fsck(world.store)) == []
    world.put("images", {"/a": b"new a"})
    world.run_one()
    assert world.output("upper")["/a"] == b"NEW A"


def test_a_job_under_way_does_not_bring_back_what_was_purged(world: World) -> None:
    world.put("images", {"/a": b"secret a"})
    world.create("upper", pfs_input("images"))
    world.run_one()
    world.put("images", {"/b": b"text b"})
    pipeline = Catalog(world.store).get("upper")
    (due,) = due_jobs(world.store, [pipeline], {})["upper"]
    data = JobData(world.store, due, due.cause)
    purge(world.store, "upper", "/a", mirrors=MIRRORS)
    with pytest.raises(BranchMovedError):
        data.look_again()
    data.session.abandon()
    assert world.run_one().state == JobState.SUCCESS
    assert not held(world, b"SECRET A")


def test_retention_lets_jobs_go_with_their_outputs(world: World) -> None:
    world.create("upper", pfs_input("images"))
    made = []
    for number in range(5):
        made.append(world.put("images", {"/a": b"text %d" % number}).id)
        world.run_one()
    store = world.store
    for repo in ("images", "upper"):
        set_retention(store, repo, Retention(keep=Keep(last=2)))
    effects = {effect.repo: effect for effect in apply_retention(store, readers=lambda: unread(store))}
    assert (effects["upper"].removed_of, effects["upper"].kept) == (("master",) * 3, 2)
    assert len(effects["upper"].hidden) >= 3
    assert [info.id for info in store.repo("upper").commits("master")] == made[:2:-1]
    assert [info.id for info in store.repo("images").commits("master")] == made[:2:-1]
    chain = store.history.first_parents("upper", store.repo("upper").inspect(".meta").id)
    assert len([record for record in chain if record.branch == META_BRANCH]) == 2
    assert [job.id for job in world.jobs.jobs("upper")][:5] == made[::-1]
    assert list(fsck(store)) == []
    assert world.run().jobs == ()
    world.put("images", {"/b": b"text b"})
    assert world.run_one().counters == Counters(total=2, processed=1, skipped=1)


def commits(world: World, repo: str) -> list[str]:
    return [info.id for info in world.store.repo(repo).commits("master")]


def keep_last(world: World, number: int, *, told: bool = True) -> None:
    store = world.store
    set_retention(store, "images", Retention(keep=Keep(last=number)))
    if told:
        collect(store, readers=lambda: unread(store))
    else:
        collect(store)


def test_retention_keeps_what_pipelines_have_yet_to_read(world: World) -> None:
    made = [world.put("images", {"/a": b"%d" % number}).id for number in range(2)]
    world.create("upper", pfs_input("images"))
    made += [world.put("images", {"/a": b"%d" % number}).id for number in range(2, 4)]
    keep_last(world, 1)
    assert commits(world, "images") == made[:0:-1]  # the head at which the pipeline was made is due, too
    assert [job.state for job in world.run().jobs] == [JobState.SUCCESS] * 3
    made += [world.put("images", {"/a": b"%d" % number}).id for number in range(4, 7)]
    set_retention(world.store, "upper", Retention(keep=Keep(last=1)))
    keep_last(world, 1)
    assert commits(world, "images") == made[:2:-1]
    assert len(world.run().jobs) == 3
    keep_last(world, 1)
    keep_last(world, 1)  # outputs go first, then what they were made from
    assert commits(world, "images") == made[-1:]
    assert world.run().jobs == ()


def test_collections_beside_running_jobs_take_no_input_of_theirs(world: World) -> None:
    world.put("images", {"/a": b"0"})
    world.create("upper", pfs_input("images"))
    for number in range(1, 4):
        world.put("images", {"/a": b"%d" % number})
    set_retention(world.store, "images", Retention(keep=Keep(last=1)))
    set_retention(world.store, "upper", Retention(keep=Keep(last=1)))
    told = list[object]()

    def collect_too(event: object) -> None:
        told.append(event)
        collect(world.store, readers=lambda: unread(world.store))

    report = world.controller.run_pending(on_event=collect_too)
    assert [job.state for job in report.jobs] == [JobState.SUCCESS] * 4
    assert told
    keep_last(world, 1)
    assert len(commits(world, "images")) == 1
    assert list(fsck(world.store)) == []


def test_retention_keeps_where_a_pipeline_goes_on_after_a_failure(world: World) -> None:
    world.code("run.sh", "exit 1\n")
    world.create("upper", pfs_input("images"))
    made = [world.put("images", {"/a": b"0"}).id]
    assert world.run_one().state == JobState.FAILURE
    made += [world.put("images", {"/a": b"%d" % number}).id for number in range(1, 4)]
    keep_last(world, 1)
    assert commits(world, "images") == made[::-1]
    assert len(world.run().jobs) == 3


def test_retention_keeps_all_of_what_a_pipeline_reads_of_which_it_is_not_told(world: World) -> None:
    made = [world.put("images", {"/a": b"%d" % number}).id for number in range(3)]
    world.create("upper", pfs_input("images"))
    world.run_one()
    keep_last(world, 1, told=False)
    assert commits(world, "images") == made[::-1]
    keep_last(world, 1)
    assert commits(world, "images") == made[:1:-1]


def test_a_commit_that_comes_while_retention_looks_stays(world: World) -> None:
    """Those after where the pipelines stood, as long as that was asked before."""
    world.put("images", {"/a": b"0"})
    world.create("upper", pfs_input("images"))
    world.run_one()
    made = list[str]()

    def told() -> list[Unread]:
        found = unread(world.store)
        made.extend(world.put("images", {"/a": b"%d" % number}).id for number in range(1, 4))
        return found

    set_retention(world.store, "images", Retention(keep=Keep(last=1)))
    apply_retention(world.store, readers=told)
    assert commits(world, "images")[:3] == made[::-1]
    assert len(world.run().jobs) == 3


def test_retention_keeps_what_outputs_were_made_of(world: World) -> None:
    world.create("upper", pfs_input("images"))
    made = []
    for number in range(4):
        made.append(world.put("images", {"/a": b"text %d" % number}).id)
        world.run_one()
    set_retention(world.store, "images", Retention(keep=Keep(last=1)))
    apply_retention(world.store)
    assert [info.id for info in world.store.repo("images").commits("master")] == made[::-1]
    with pytest.raises(PathNotFoundError):
        purge(world.store, "images", "/nothing")


def test_what_jobs_kept_of_an_output_loses_its_bytes_with_it(world: World) -> None:
    world.code("run.sh", 'head -c 300000 /dev/urandom > "$PFS_OUT/x"; cp "$PFS"/images/* "$PFS_OUT"\n')
    world.create("upper", pfs_input("images", "/"))
    for number in range(2):
        world.put("images", {"/a": b"%d" % number})
        world.run()
    store = world.store

    def stored() -> int:
        collect(store, readers=lambda: unread(store))
        return collect(store, readers=lambda: unread(store)).bytes_after

    before = stored()
    set_retention(store, "upper", Retention(paths=(PathRule(glob="/x", seconds=0),)))
    assert 250_000 < before - stored() < 350_000
    assert world.output("upper").keys() == {"/a", "/x"}
    world.put("images", {"/a": b"2"})
    world.run()
    assert before - stored() > 250_000, "nor does what was the head"
    assert list(fsck(store)) == []
