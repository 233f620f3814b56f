"""Squashing where histories branch and merge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pfs.changes.metadata import MetadataEdit
from pfs.changes.replay import merge
from pfs.changes.squash import drop_set, squash_set
from pfs.errors import ConflictError
from pfs.ids import CommitId, new_commit_id
from pfs.repo import Repo


def write(repo: Repo, branch: str, path: str) -> CommitId:
    with repo.commit(branch) as commit:
        commit.put_file(path, b"1")
    return commit.id


def test_what_was_merged_stays_also_when_the_first_parent_was_squashed_away(repo: Repo) -> None:
    first, below, merged = write(repo, "master", "/a"), write(repo, "dev", "/b"), write(repo, "dev", "/c")
    head = merge(repo.store, "data", "dev", "master")
    repo.create_branch("dev", head=below)
    repo.squash_commit(first)
    with pytest.raises(ConflictError, match="was merged into"):
        repo.squash_commit(merged)
    assert repo.inspect(head.id).parents == (merged,)


def test_a_commit_is_taken_over_by_a_child_that_is_there(repo: Repo) -> None:
    write(repo, "master", "/a")
    middle = write(repo, "master", "/b")
    repo.create_branch("dev", head=middle)
    own, other = write(repo, "master", "/c"), write(repo, "dev", "/d")
    repo.drop_commit(own)
    repo.create_branch("master", head=other)
    repo.squash_commit(middle)
    assert repo.inspect(middle).id == other


@pytest.fixture
def squashed(repo: Repo) -> tuple[CommitId, CommitId]:
    """A squashed commit, and the head that took it over."""
    write(repo, "master", "/a")
    gone, head = write(repo, "master", "/b"), write(repo, "master", "/c")
    repo.squash_commit(gone)
    return gone, head


@pytest.mark.parametrize("digits", [32, 12])
def test_what_takes_away_or_changes_refuses_the_id_of_a_squashed_commit(
    repo: Repo, squashed: tuple[CommitId, CommitId], digits: int
) -> None:
    (gone, head), store = squashed, repo.store
    before, name = store.refs.read("data").body, gone[:digits]
    note = MetadataEdit(set={"a": "b"})
    acts: list[Callable[[], object]] = [
        lambda: repo.drop_commit(name),
        lambda: repo.squash_commit(name),
        lambda: repo.squash_commit(f"{name}^"),
        lambda: repo.undelete(name),
        lambda: repo.edit_metadata(note, commit=name),
        lambda: drop_set(store, gone),
        lambda: squash_set(store, gone),
    ]
    for act in acts:
        with pytest.raises(ConflictError, match=f"data@{gone} was squashed into data@{head}: name that"):
            act()
    assert store.refs.read("data").body == before


def test_the_id_of_a_squashed_commit_still_reads_and_names(repo: Repo, squashed: tuple[CommitId, CommitId]) -> None:
    gone, head = squashed
    assert repo.inspect(gone).id == head
    assert repo.create_tag("v", gone).commit == head
    assert repo.create_branch("dev", head=gone).head == head


def test_a_branch_with_the_looks_of_a_squashed_prefix_is_the_branch(
    repo: Repo, squashed: tuple[CommitId, CommitId]
) -> None:
    gone, head = squashed
    repo.create_branch(gone[:8], head=head)
    own = write(repo, gone[:8], "/d")
    assert repo.drop_commit(gone[:8]).id == own


def test_squashing_a_set_goes_on_where_one_repo_has_squashed_it(repo: Repo) -> None:
    store, id = repo.store, new_commit_id()
    repos = [repo, store.create_repo("other")]
    for place in repos:
        with place.commit("master", commit_id=id) as commit:
            commit.put_file("/a", b"1")
        write(place, "master", "/b")
    repo.squash_commit(id)
    assert [info.repo for info in squash_set(store, id)] == ["other"]
