"""Squashing where histories branch and merge."""

from __future__ import annotations

import pytest

from pfs.changes.replay import merge
from pfs.errors import ConflictError
from pfs.ids import CommitId
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
