"""Commits (docs/compatibility.md, 1.5)."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path

import pytest

from pfs.changes.squash import drop_set, squash_set
from pfs.changes.waiting import subscribe, wait_commit, wait_set
from pfs.errors import CommitClosedError, ConflictError
from pfs.ids import CommitId
from pfs.model import BranchRef, CommitInfo, Provenance
from pfs.repo import Repo
from pfs.store import Store
from tests.cli.conftest import Run
from tests.compat.conftest import Put


def write(repo: Repo, branch: str = "master", **files: str) -> CommitId:
    """Commit some files, by name and content."""
    with repo.commit(branch) as commit:
        for name, content in files.items():
            commit.put_file(f"/{name}", content.encode())
    return commit.id


def names(repo: Repo, ref: str) -> list[str]:
    """Return the paths of all files of a commit."""
    return [info.path for info in repo[ref].list(recursive=True)]


@pytest.mark.row("1.5 start", "1.5 parent finished")
def test_a_commit_starts_on_the_head_or_on_a_finished_parent(pfs: Run, put: Put) -> None:
    first = put("r@master", a="1")
    opened = pfs("start-commit", "r@fresh", "-m", "why").out.strip()
    assert pfs("inspect-branch", "r@fresh", "--json").json["head"] is None
    pfs("start-commit", "r@other", "-p", opened, code=4)
    second = pfs("start-commit", "r@master").out.strip()
    assert pfs("inspect-commit", f"r@{second}", "--json").json["parents"] == [first]
    assert pfs("inspect-commit", f"r@{opened}", "--json").json["message"] == "why"


@pytest.mark.row("1.5 start on output branch")
def test_no_commit_starts_on_a_branch_with_provenance(world: Store) -> None:
    world.create_repo("in")
    world.create_repo("out").create_branch("master", provenance=[BranchRef("in", "master")])
    with pytest.raises(ConflictError):
        world.repo("out").start_commit("master")


@pytest.mark.row("1.5 start with parent")
def test_a_commit_with_a_parent_of_its_own_becomes_the_head(pfs: Run, put: Put) -> None:
    first, second = put("r@master", a="1"), put("r@master", a="2", b="2")
    pfs("start-commit", "r@master", "-p", first)
    put("r@master", c="3")
    pfs("finish-commit", "r@master")
    assert [file["path"] for file in pfs("list-file", "r@master", "--json").json] == ["/a", "/c"]
    assert pfs("inspect-commit", "r@master^", "--json").json["id"] == first
    assert pfs("get-file", f"r@{second}:/b").out == "2"


@pytest.mark.row("1.5 concurrent open commits")
def test_a_branch_has_one_open_commit(pfs: Run, store: Path) -> None:
    pfs("start-commit", "r@master")
    pfs("start-commit", "r@master", code=4)


@pytest.mark.row("1.5 finish")
def test_finishing_sets_the_message_and_is_done_once(pfs: Run, store: Path) -> None:
    commit = pfs("start-commit", "r@master", "-m", "draft").out.strip()
    assert pfs("finish-commit", "r@master", "-m", "done").out.strip() == commit
    assert pfs("inspect-commit", "r@master", "--json").json["message"] == "done"
    pfs("finish-commit", "r@master", code=4)
    pfs("finish-commit", f"r@{commit}", code=4)


@pytest.mark.row("1.5 clear")
def test_clearing_takes_all_changes_out_of_an_open_commit(pfs: Run, put: Put) -> None:
    put("r@master", a="1")
    opened = pfs("start-commit", "r@master").out.strip()
    put("r@master", a="2", b="2")
    assert pfs("clear-commit", "r@master").out.strip() == opened
    assert [file["path"] for file in pfs("list-file", f"r@{opened}", "--json").json] == ["/a"]
    put("r@master", c="3")
    pfs("finish-commit", "r@master")
    assert pfs("get-file", "r@master:/a").out == "1"
    assert [file["path"] for file in pfs("list-file", "r@master", "--json").json] == ["/a", "/c"]
    pfs("clear-commit", "r@master", code=4)
    pfs("clear-commit", "r@none", code=3)


@pytest.mark.row("1.5 finish with error")
def test_a_commit_may_be_finished_with_an_error(pfs: Run, put: Put) -> None:
    head = put("r@master", a="1")
    opened = pfs("start-commit", "r@master").out.strip()
    put("r@master", a="2")
    pfs("finish-commit", "r@master", "--error", " ", code=2)
    assert pfs("finish-commit", "r@master", "--error", "the camera was off").out.strip() == opened
    assert pfs("inspect-commit", f"r@{opened}", "--json").json["error"] == "the camera was off"
    assert pfs("inspect-branch", "r@master", "--json").json["head"] == head
    assert pfs("get-file", f"r@{opened}:/a").out == "2"


@pytest.mark.row("1.5 errored commits")
def test_descendants_of_a_failed_commit_stand_on_the_one_before(world: Store) -> None:
    repo = world.create_repo("a")
    write(repo, f1="1")
    failed = repo.start_commit("master")
    write(repo, f2="2")
    repo.finish_commit("master", error="it went wrong")
    write(repo, f3="3")
    assert names(repo, "master") == ["/f1", "/f3"]
    assert names(repo, failed.id) == ["/f1", "/f2"]
    assert repo.inspect(failed.id).error == "it went wrong"


@pytest.mark.row("1.5 errored commits")
def test_what_starts_from_a_failed_commit_starts_from_the_one_before(pfs: Run, put: Put) -> None:
    first = put("r@master", a="1")
    failed = pfs("start-commit", "r@master").out.strip()
    put("r@master", b="2")
    pfs("finish-commit", "r@master", "--error", "it went wrong")
    started = pfs("start-commit", "r@master", "-p", failed)
    assert started.err == f"note: r@{failed} ended with an error: this starts from {first}, the last without one\n"
    put("r@master", c="3")
    pfs("finish-commit", "r@master")
    assert [file["path"] for file in pfs("list-file", "r@master", "--json").json] == ["/a", "/c"]
    assert pfs("inspect-commit", "r@master", "--json").json["parents"] == [first]
    pfs("drop-commit", f"r@{failed}")


@pytest.mark.row("1.5 errored commits")
def test_what_is_written_with_a_failed_parent_has_the_files_of_the_one_before(world: Store) -> None:
    repo = world.create_repo("a")
    nothing = repo.start_commit("master")
    repo.finish_commit("master", error="it went wrong")
    with pytest.raises(ConflictError, match="and so did all before it"):
        repo.commit("master", parent=nothing.id)
    first = write(repo, f1="1")
    failed = repo.start_commit("master")
    write(repo, f2="2")
    repo.finish_commit("master", error="it went wrong")
    with repo.commit("dev", parent=failed.id) as commit:
        commit.put_file("/f3", b"3")
    assert (repo.inspect("dev").parents, names(repo, "dev")) == ((first,), ["/f1", "/f3"])
    with world.transaction() as changes:
        opened = changes.repo("a").start_commit("more", parent=failed.id)
    assert repo.inspect(opened.id).parents == (first,)
    repo.drop_commit(failed.id)


@pytest.mark.row("1.5 read an open commit")
def test_an_open_commit_is_read_by_its_id(pfs: Run, put: Put) -> None:
    put("r@master", a="1")
    commit = pfs("start-commit", "r@master").out.strip()
    put("r@master", b="2")
    assert [file["path"] for file in pfs("list-file", f"r@{commit}", "--json").json] == ["/a", "/b"]
    assert [file["path"] for file in pfs("list-file", "r@master", "--json").json] == ["/a"]


@pytest.mark.row("1.5 inspect and wait", "1.5 wait")
def test_waiting_ends_when_the_commit_is_finished(world: Store) -> None:
    repo = world.create_repo("a")
    opened = repo.start_commit("master")
    seen: list[CommitInfo] = []
    waiter = threading.Thread(target=lambda: seen.append(wait_commit(world, "a", "master")))
    waiter.start()
    repo.finish_commit("master")
    waiter.join(60)
    assert [info.id for info in seen] == [opened.id]
    assert not seen[0].open
    assert wait_set(world, opened.id).finished_ns is not None


@pytest.mark.row("1.5 subscribe")
def test_subscribing_gives_each_commit_once(world: Store) -> None:
    repo = world.create_repo("a")
    old = [write(repo, f1="1"), write(repo, f2="2")]
    stream = subscribe(world, "a", "master")
    assert [info.id for info in islice(stream, 2)] == old
    new = write(repo, f3="3")
    assert next(stream).id == new


@pytest.mark.row("1.5 find commits")
def test_find_commit_gives_those_whose_changes_touch_the_path(pfs: Run, put: Put) -> None:
    first, second = put("r@master", a="1"), put("r@master", a="2")
    put("r@master", b="3")
    gone = pfs("delete-file", "r@master:/a").out.strip()
    found = pfs("find-commit", "r@master:/a", "--json").json
    assert [commit["id"] for commit in found] == [gone, second, first]
    assert [commit["change"] for commit in found] == ["deleted", "modified", "added"]
    assert len(pfs("find-commit", "r@master:/a", "-n", "1", "--json").json) == 1


@pytest.mark.row("1.5 squash")
def test_what_a_squashed_commit_did_stays_with_its_child(pfs: Run, put: Put) -> None:
    first, second, third = put("r@master", a="1"), put("r@master", b="2"), put("r@master", c="3")
    pfs("squash-commit", f"r@{second}")
    assert [commit["id"] for commit in pfs("list-commit", "r@master", "--json").json] == [third, first]
    assert pfs("get-file", "r@master:/b").out == "2"
    assert pfs("inspect-commit", f"r@{second}", "--json").json["id"] == third


@pytest.mark.row("1.5 squash refusals")
def test_a_commit_is_not_squashed_without_a_finished_child_or_while_depended_on(world: Store) -> None:
    repo, out = world.create_repo("a"), world.create_repo("b")
    first, head = write(repo, f1="1"), write(repo, f2="2")
    with pytest.raises(ConflictError):
        repo.squash_commit(head)
    repo.start_commit("dev", parent=head)
    repo.create_branch("master", head=first)
    with pytest.raises(ConflictError):
        repo.squash_commit(head)
    repo.drop_open("dev")
    repo.create_branch("master", head=head)
    with out.commit("master", provenance=(Provenance("a", "master", first),)) as made:
        made.put_file("/x", b"1")
    with pytest.raises(ConflictError):
        repo.squash_commit(first)


@pytest.mark.row("1.5 drop")
def test_dropping_a_head_moves_the_branch_to_its_parent(pfs: Run, put: Put) -> None:
    first, second = put("r@master", a="1"), put("r@master", a="2")
    pfs("drop-commit", f"r@{second}")
    assert pfs("inspect-branch", "r@master", "--json").json["head"] == first
    pfs("inspect-commit", f"r@{second}", code=3)
    pfs("undelete", f"r@{second}")
    assert pfs("get-file", "r@master:/a").out == "2"


@pytest.mark.row("1.5 drop refusals")
def test_a_commit_is_not_dropped_while_it_has_children_or_is_depended_on(world: Store) -> None:
    repo, out = world.create_repo("a"), world.create_repo("b")
    first, head = write(repo, f1="1"), write(repo, f2="2")
    with pytest.raises(ConflictError):
        repo.drop_commit(first)
    with out.commit("master", provenance=(Provenance("a", "master", head),)) as made:
        made.put_file("/x", b"1")
    with pytest.raises(ConflictError):
        repo.drop_commit(head)


@pytest.mark.row("1.5 squash and drop sets", "1.5 commit sets")
def test_the_commits_of_one_id_go_together(world: Store) -> None:
    repo, out = world.create_repo("a"), world.create_repo("b")
    ids = []
    for name in ("f1", "f2", "f3"):
        ids.append(write(repo, **{name: name}))
        with out.commit("master", commit_id=ids[-1], provenance=(Provenance("a", "master", ids[-1]),)) as made:
            made.put_file(f"/{name}", b"1")
    assert [info.repo for info in world.commits_by_id(ids[0])] == ["a", "b"]
    assert [info.repo for info in squash_set(world, ids[1])] == ["b", "a"]
    assert [info.repo for info in drop_set(world, ids[2])] == ["b", "a"]
    assert [repo.inspect("master").id, out.inspect("master").id] == [ids[0], ids[0]]


@pytest.mark.row("1.5 ancestry errors")
@pytest.mark.parametrize(
    "ref", ["master^4", "master~4", "master^^^^", "master.5", "master.99999999999999999", "master.0"]
)
def test_more_steps_than_commits_are_echoed_and_said(pfs: Run, put: Put, ref: str) -> None:
    ids = [put("r@master", a=str(number)) for number in range(4)]
    said = pfs("inspect-commit", f"r@{ref}", code=3).err
    why = "master has only 4 commits, counted from 1" if "." in ref else f"{ids[3][:12]} has only 3 commits before it"
    assert said == f"pfs: commit or branch '{ref}' not found in repo 'r': {why}\n"
    before = pfs("inspect-commit", f"r@{ids[0]}^", code=3).err
    assert before.endswith(f"{ids[0][:12]} has no commit before it\n")


@pytest.mark.row("1.5 ancestry", "1.5 ancestry of ids", "1.5 count from root", "1.5 ancestry errors")
def test_ancestry_expressions(pfs: Run, put: Put) -> None:
    ids = [put("r@master", a=str(number)) for number in range(4)]

    def means(ref: str, *, code: int = 0) -> object:
        found = pfs("inspect-commit", f"r@{ref}", "--json", code=code)
        return found.json["id"] if code == 0 else None

    assert [means(ref) for ref in ("master^", "master~", "master^^", "master^2", "master~2")] == [
        ids[2],
        ids[2],
        ids[1],
        ids[1],
        ids[1],
    ]
    assert means(f"{ids[3]}^2") == ids[1]
    assert [means(f"master.{number}") for number in range(1, 5)] == ids
    for wrong in ("master^~", f"{ids[3]}.1"):
        means(wrong, code=2)
    for missing in ("master^4", "master.5", "master.0"):
        means(missing, code=3)


@pytest.mark.row("1.5 set id resolution")
def test_the_id_of_a_set_names_what_it_was_made_from(world: Store) -> None:
    repo, middle, out = (world.create_repo(name) for name in ("a", "b", "c"))
    source = write(repo, f1="1")
    write(repo, f2="2")
    with middle.commit("master", provenance=(Provenance("a", "master", source),)) as made:
        made.put_file("/x", b"1")
    with out.commit("master", provenance=(Provenance("b", "master", made.id),)) as last:
        last.put_file("/y", b"1")
    assert repo.inspect(last.id).id == source


def test_a_finished_commit_takes_no_writes(world: Store) -> None:
    repo = world.create_repo("a")
    with pytest.raises(CommitClosedError):
        repo.commit(write(repo, f1="1"))


@pytest.mark.row("1.5 list")
def test_listings_may_begin_and_end_anywhere_and_go_either_way(pfs: Run, put: Put) -> None:
    ids = [put("r@master", a=str(number)) for number in range(5)]

    def listed(*words: str) -> list[str]:
        return [commit["id"] for commit in pfs("list-commit", "r@master", *words, "--json").json]

    assert listed() == ids[::-1]
    assert listed("--from", ids[1], "--to", ids[3]) == [ids[3], ids[2]]
    assert listed("--to", "master^3") == [ids[1], ids[0]]
    assert listed("--reverse", "-n", "2") == ids[:2]
    assert listed("--from", ids[2], "--reverse") == ids[3:]
    pfs("create-repo", "out")
    pfs("create-branch", "out@master", "-p", "r@master")
    pfs("finish-commit", "out@master")
    assert [one["id"] for one in pfs("list-commit", "out", "--origin", "auto", "--json").json] == ids[-1:]
    assert listed("--origin", "auto") == []
