"""User metadata of repos, branches and commits (docs/compatibility.md, 1.9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfs.changes import metadata
from pfs.changes.metadata import MetadataEdit
from pfs.errors import CommitNotFoundError, ConflictError, InvalidInputError
from pfs.ids import CommitId
from pfs.repo import Repo
from pfs.store import Store
from tests.cli.conftest import Run
from tests.compat.conftest import Put


@pytest.mark.row("1.9 metadata")
def test_repos_branches_and_commits_have_metadata(pfs: Run, put: Put) -> None:
    commit = put("r@master", a="1")
    assert pfs("edit-metadata", "r", "--set", "owner=me", "--set", "k=a=b").out == "k=a=b\nowner=me\n"
    assert pfs("edit-metadata", "r", "--unset", "k", "--set", "owner=you").out == "owner=you\n"
    assert pfs("inspect-repo", "r", "--json").json["metadata"] == {"owner": "you"}
    pfs("edit-metadata", "r@master", "--set", "stage=prod")
    assert pfs("inspect-branch", "r@master", "--json").json["metadata"] == {"stage": "prod"}
    assert pfs("edit-metadata", f"r@{commit}", "--set", "seen=yes", "--json").json == {
        "name": f"r@{commit}",
        "metadata": {"seen": "yes"},
    }
    put("r@master", a="2")
    assert pfs("inspect-commit", "r@master^", "--json").json["metadata"] == {"seen": "yes"}
    assert [one["metadata"] for one in pfs("list-commit", "r@master", "--json").json] == [{}, {"seen": "yes"}]
    assert pfs("inspect-branch", "r@master", "--json").json["metadata"] == {"stage": "prod"}
    assert pfs("edit-metadata", "r@master^", "--clear").out == ""
    assert pfs("edit-metadata", "r").out == "owner=you\n"


@pytest.mark.parametrize("words", [("--set", "noequals"), ("--set", "a b=1"), ("--set", "a=\n"), ("--set", "=1")])
def test_odd_names_and_values_are_refused(pfs: Run, store: Path, words: tuple[str, ...]) -> None:
    pfs("edit-metadata", "r", *words, code=2)
    pfs("edit-metadata", "r:/a", *words, code=2)
    assert pfs("edit-metadata", "r").out == ""


def test_what_is_not_there_has_none(pfs: Run, store: Path) -> None:
    for address in ("none", "r@none"):
        pfs("edit-metadata", address, "--set", "a=1", code=3)


def write(repo: Repo, branch: str = "master") -> CommitId:
    with repo.commit(branch) as commit:
        commit.put_file("/x", branch.encode())
    return commit.id


def test_metadata_goes_and_comes_with_what_it_is_about(world: Store) -> None:
    repo = world.create_repo("a")
    said, commit = MetadataEdit(set={"k": "v"}), write(repo, "dev")
    repo.edit_metadata(said, branch="dev")
    repo.edit_metadata(said, commit=commit)
    repo.delete_branch("dev")
    repo.create_branch("dev")
    assert repo.branch("dev").metadata == {}
    repo.delete_branch("dev")
    repo.create_tag("dev2", commit)
    opened = repo.start_commit("master")
    repo.edit_metadata(said, commit=opened.id)
    repo.finish_commit("master")
    assert repo.inspect("master").metadata == {"k": "v"}
    world.delete_repo("a")
    assert world.create_repo("a").info().metadata == {}
    with pytest.raises(CommitNotFoundError):
        repo.edit_metadata(said, commit=commit)


def test_an_undeleted_branch_has_its_metadata_again(world: Store) -> None:
    repo = world.create_repo("a")
    write(repo)
    repo.edit_metadata(MetadataEdit(set={"k": "v"}), branch="master")
    repo.delete_branch("master")
    repo.undelete("master")
    assert repo.branch("master").metadata == {"k": "v"}


def test_there_is_a_most_of_it(world: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MAX_COMMITS", 1)
    repo = world.create_repo("a")
    said, first = MetadataEdit(set={"k": "v"}), write(repo)
    repo.edit_metadata(said, commit=first)
    second = write(repo)
    with pytest.raises(ConflictError):
        repo.edit_metadata(said, commit=second)
    repo.squash_commit(first)
    repo.edit_metadata(said, commit=second)
    with pytest.raises(InvalidInputError):
        repo.edit_metadata(MetadataEdit(set={"k": "v" * 2_048}))
