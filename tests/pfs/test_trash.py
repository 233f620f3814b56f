"""The trash: nothing that was acknowledged gets lost when something is put back."""

from __future__ import annotations

import shutil

import pytest

import pfs
from pfs.errors import CommitNotFoundError
from pfs.ids import CommitId
from pfs.repo import Repo


def write(repo: Repo, data: bytes, *, parent: str | None = None) -> CommitId:
    with repo.commit("master", parent=parent) as commit:
        commit.put_file("/a", data)
    return commit.id


def test_a_head_that_gives_way_to_an_undeleted_one_is_kept(repo: Repo) -> None:
    first, second = write(repo, b"1"), write(repo, b"2")
    other = write(repo, b"3", parent=first)
    assert repo.undelete("master") == second
    repo.store.close()
    shutil.rmtree(repo.store.path / "index.lmdb")
    with pfs.open(repo.store.path) as store:
        assert store.repo("data")[other].read("/a") == b"3"
        assert {info.id for info in store.repo("data").commits()} == {first, second, other}


def test_undeleting_again_goes_on_to_what_was_taken_away_before(repo: Repo) -> None:
    first, second = write(repo, b"1"), write(repo, b"2")
    repo.create_branch("master", head=first)
    third = write(repo, b"3")
    repo.create_branch("master", head=second)
    assert repo.undelete("master") == third
    repo.create_branch("master", head=first)
    assert repo.undelete("master") == third
    assert repo[second].read("/a") == b"2"


def test_the_head_of_an_undeleted_branch_is_found_by_its_id(repo: Repo) -> None:
    write(repo, b"1")
    repo.create_branch("dev", head="master")
    head = write(repo, b"2")
    repo.create_branch("dev", head=head)
    repo.delete_branch("dev")
    repo.drop_commit(head)
    with pytest.raises(CommitNotFoundError):
        repo.inspect(head)
    repo.undelete("dev")
    assert repo.inspect(head).id == repo.inspect("dev").id == head
