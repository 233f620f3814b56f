"""Names and identifiers (docs/compatibility.md, 1.1)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pfs.errors import AlreadyExistsError
from pfs.ids import CommitId
from pfs.model import Provenance
from pfs.store import Store
from tests.cli.conftest import Run
from tests.compat.conftest import Put


@pytest.mark.row("1.1 names")
@pytest.mark.parametrize("name", ["a.b", "a~b", "a^b", "a b", "ä", "a:b", ""])
def test_repos_and_branches_take_letters_digits_dash_and_underscore(pfs: Run, store: Path, name: str) -> None:
    pfs("create-repo", name, code=2)
    pfs("create-branch", f"r@{name}", code=2)
    pfs("create-repo", "A-b_9")
    pfs("create-branch", "A-b_9@B-c_0")
    assert pfs("inspect-branch", "A-b_9@B-c_0", "--json").json["name"] == "B-c_0"


@pytest.mark.row("1.1 commit ids")
def test_ids_have_32_hex_digits_and_what_belongs_together_shares_one(pfs: Run, put: Put, world: Store) -> None:
    assert re.fullmatch("[0-9a-f]{32}", put("r@master", a="1"))
    with world.create_repo("a").commit("master") as one:
        one.put_file("/x", b"1")
    source = (Provenance("a", "master", one.id),)
    with world.create_repo("b").commit("master", commit_id=one.id, provenance=source) as two:
        two.put_file("/y", b"2")
    assert [info.repo for info in world.commits_by_id(one.id)] == ["a", "b"]


@pytest.mark.row("1.1 uniqueness")
def test_a_repo_has_one_commit_of_an_id(world: Store) -> None:
    repo = world.create_repo("a")
    with repo.commit("master", commit_id=CommitId("1" * 32)) as one:
        one.put_file("/x", b"1")
    with pytest.raises(AlreadyExistsError):
        repo.start_commit("other", commit_id=one.id)


@pytest.mark.row("1.1 addressing")
def test_an_address_has_repo_branch_or_commit_and_path(pfs: Run, put: Put) -> None:
    commit = put("r@master", d__a="1")
    for address in ("r@master:/d/a", "r@master:d/a", f"r@{commit}:/d/a", "default/r@master:/d/a"):
        assert pfs("get-file", address).out == "1"
