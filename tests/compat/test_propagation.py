"""Branches computed from others (docs/compatibility.md, 1.4): provenance and its propagation."""

from __future__ import annotations

import pytest

from pfs.errors import ConflictError, InvalidInputError
from pfs.ids import CommitId
from pfs.model import BranchRef, CommitInfo, Trigger
from pfs.repo import Repo
from pfs.store import Store

SOURCE = BranchRef("a", "master")


def write(repo: Repo, branch: str = "master") -> CommitId:
    with repo.commit(branch) as commit:
        commit.put_file("/x", b"1")
    return commit.id


def opened(repo: Repo, branch: str = "master") -> CommitInfo:
    """Return the open commit of a branch."""
    commit = repo.branch(branch).open_commit
    assert commit is not None
    return repo.inspect(commit)


@pytest.fixture
def repos(world: Store) -> list[Repo]:
    return [world.create_repo(name) for name in ("a", "b", "c", "d")]


@pytest.mark.row("1.4 missing provenance branches")
def test_source_branches_are_made(repos: list[Repo]) -> None:
    repos[1].create_branch("master", provenance=[SOURCE])
    assert repos[0].branch("master").head is None
    assert repos[1].branch("master").provenance == (SOURCE,)


@pytest.mark.row("1.4 provenance change")
def test_other_sources_open_a_commit_on_the_old_head(repos: list[Repo]) -> None:
    source, head = write(repos[0]), write(repos[1])
    repos[1].create_branch("master", provenance=[SOURCE])
    found = opened(repos[1])
    assert found.parents == (head,)
    assert [one.commit for one in found.provenance] == [source]
    repos[1].drop_open("master")
    repos[1].create_branch("master", provenance=[])
    assert repos[1].branch("master").open_commit is None


@pytest.mark.row("1.4 setting head")
def test_moving_a_head_back_opens_commits_made_from_the_old_one(repos: list[Repo]) -> None:
    repos[1].create_branch("master", provenance=[SOURCE])
    first = write(repos[0])
    repos[1].finish_commit("master")
    write(repos[0])
    repos[1].finish_commit("master")
    repos[0].create_branch("master", head=first)
    assert [one.commit for one in opened(repos[1]).provenance] == [first]


@pytest.mark.row("1.4 DAG rule")
def test_one_branch_of_a_repo_takes_part(repos: list[Repo]) -> None:
    repos[1].create_branch("master", provenance=[SOURCE])
    with pytest.raises(ConflictError):
        repos[1].create_branch("master", provenance=[SOURCE, BranchRef("a", "dev")])
    with pytest.raises(ConflictError):
        repos[2].create_branch("master", provenance=[BranchRef("b", "master"), BranchRef("a", "dev")])


@pytest.mark.row("1.4 trigger or provenance")
def test_a_branch_has_a_trigger_or_provenance(repos: list[Repo]) -> None:
    repos[1].create_branch("dev")
    with pytest.raises(InvalidInputError):
        repos[1].create_branch("master", provenance=[SOURCE], trigger=Trigger(branch="dev", commits=1))


@pytest.mark.row("1.4 never propagation")
def test_moves_of_a_source_that_is_never_followed_open_nothing(repos: list[Repo]) -> None:
    write(repos[0])
    repos[1].create_branch("master", provenance=[SOURCE], never=[SOURCE])
    before = repos[1].branch("master").open_commit
    write(repos[0])
    assert repos[1].branch("master").open_commit == before


@pytest.mark.row("1.4 propagation")
def test_all_downstream_get_one_open_commit_of_one_id(repos: list[Repo]) -> None:
    for repo, sources in ((repos[1], ["a"]), (repos[2], ["a"]), (repos[3], ["b", "c"])):
        repo.create_branch("master", provenance=[BranchRef(name, "master") for name in sources])
    commit = write(repos[0])
    found = [opened(repo) for repo in repos[1:]]
    assert [info.id for info in found] == [commit] * 3
    assert [info.origin for info in found] == ["auto"] * 3
    assert {(one.repo, one.commit) for one in found[2].provenance} == {("b", commit), ("c", commit)}
