"""Branches (docs/compatibility.md, 1.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfs.errors import ConflictError, InvalidInputError
from pfs.model import BranchRef
from pfs.store import Store
from tests.cli.conftest import Run
from tests.compat.conftest import Put


@pytest.mark.row("1.4 create")
def test_one_command_makes_a_branch_and_moves_it(pfs: Run, put: Put) -> None:
    first, second = put("r@master", a="1"), put("r@master", a="2")
    pfs("create-branch", "r@stable", "--head", "master^")
    assert pfs("inspect-branch", "r@stable", "--json").json["head"] == first
    pfs("create-branch", "r@stable", "--head", second)
    assert pfs("inspect-branch", "r@stable", "--json").json["head"] == second
    pfs("create-branch", "r@stable", "--head", first)
    assert pfs("get-file", "r@stable:/a").out == "1"


@pytest.mark.row("1.4 own-repo provenance")
def test_a_branch_cannot_be_computed_from_its_own_repo(world: Store) -> None:
    repo = world.create_repo("a")
    repo.create_branch("dev")
    with pytest.raises(InvalidInputError):
        repo.create_branch("master", provenance=[BranchRef("a", "dev")])


@pytest.mark.row("1.4 delete")
def test_a_branch_goes_unless_others_depend_on_it_and_its_commits_stay(pfs: Run, put: Put, world: Store) -> None:
    commit = put("r@dev", a="1")
    pfs("delete-branch", "r@dev")
    pfs("inspect-branch", "r@dev", code=3)
    assert pfs("get-file", f"r@{commit}:/a").out == "1"
    source, out = world.create_repo("a"), world.create_repo("b")
    source.create_branch("master")
    out.create_branch("master", provenance=[BranchRef("a", "master")])
    with pytest.raises(ConflictError):
        source.delete_branch("master")
    source.delete_branch("master", force=True)
    assert source.branches() == []


@pytest.mark.row("1.4 delete missing")
def test_deleting_a_branch_that_is_not_there_is_not_found(pfs: Run, store: Path) -> None:
    pfs("delete-branch", "r@none", code=3)
