"""Commands on tags, squash, drop, undelete and commit sets."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def commits(store: Path, pfs: Run) -> list[str]:
    """Three commits on r@master, oldest first."""
    made = []
    for number in range(3):
        (store / "f").write_text(str(number))
        made.append(pfs("put-file", f"r@master:/{number}", "-f", "f").out.strip())
    return made


def listed(pfs: Run, *words: str) -> list[str]:
    found = pfs(*words, "--json").json
    assert isinstance(found, list)
    return [record.get("id") or record["name"] for record in found]


def test_tags(pfs: Run, commits: list[str]) -> None:
    pfs("create-tag", "r@v1", f"r@{commits[0]}")
    pfs("create-tag", "r@v1", commits[0][:8])
    assert pfs("get-file", "r@v1:/0").out == "0"
    record = pfs("list-tags", "r", "--json").json
    assert isinstance(record, list)
    assert (record[0]["name"], record[0]["commit"]) == ("v1", commits[0])
    pfs("create-tag", "r@v1", "master", code=4)
    pfs("put-file", "r@v1:/x", "-f", "f", code=4)
    pfs("create-tag", "r@v2", "nothing", code=3)
    pfs("create-tag", "r@.v2", "master", code=2)
    pfs("squash-commit", f"r@{commits[0]}", code=4)
    pfs("delete-tag", "r@v1")
    pfs("delete-tag", "r@v1", code=3)
    pfs("undelete", "r@v1")
    assert listed(pfs, "list-tag", "r") == ["v1"]


def test_squash_drop_undelete(pfs: Run, commits: list[str]) -> None:
    assert pfs("squash-commit", f"r@{commits[1]}").out == f"r@{commits[1]}\n"
    assert listed(pfs, "list-commit", "r@master") == [commits[2], commits[0]]
    assert listed(pfs, "list-commit", "r") == [commits[2], commits[0]]
    pfs("squash-commit", "r@master", code=4)
    pfs("squash-commit", "r@nothing", code=3)
    pfs("squash-commit", "master", code=2)
    assert pfs("drop-commit", commits[2][:10]).out == f"r@{commits[2]}\n"
    assert listed(pfs, "list-commit", "r@master") == [commits[0]]
    pfs("inspect-commit", f"r@{commits[2]}", code=3)
    pfs("drop-commit", commits[2], code=3)
    pfs("undelete", "r@master")
    assert listed(pfs, "list-commit", "r@master") == [commits[2], commits[0]]
    pfs("undelete", "r@master", code=3)
    pfs("delete-repo", "r")
    pfs("undelete", "r")
    assert listed(pfs, "list-commit", "r@master") == [commits[2], commits[0]]
    pfs("undelete", "r", code=4)
    pfs("undelete", "never", code=3)


def test_commit_sets(pfs: Run, commits: list[str]) -> None:
    assert listed(pfs, "list-commit-set") == commits[::-1]
    assert commits[0] in pfs("list-commit-set").out
    record = pfs("inspect-commit-set", commits[0], "--json").json
    assert isinstance(record, dict)
    assert (record["id"], record["repos"], record["errors"]) == (commits[0], ["r"], 0)
    assert [commit["id"] for commit in record["commits"]] == [commits[0]]
    pfs("inspect-commit-set", "0" * 32, code=3)
    pfs("inspect-commit-set", "r@master", code=2)


def test_a_deleted_repo_whose_name_is_used_again(pfs: Run, commits: list[str]) -> None:
    pfs("delete-repo", "r")
    pfs("create-repo", "r")
    said = pfs("undelete", "r", code=4).err
    assert "`pfs delete-repo r`, then `pfs undelete r --before 1` gets back the one" in said
    pfs("undelete", "r@master", "--before", "1", code=2)
    pfs("delete-repo", "r")
    pfs("undelete", "r", "--before", "2", code=3)
    pfs("undelete", "r", "--before", "1")
    assert listed(pfs, "list-commit", "r@master") == commits[::-1]
