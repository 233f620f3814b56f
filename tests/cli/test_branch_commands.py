"""Branches with provenance and triggers, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def put(pfs: Run, store: Path) -> Callable[[str], str]:
    """Put a file into a branch and return the commit."""
    texts = count()

    def call(branch: str) -> str:
        Path("f").write_text(str(next(texts)))
        return str(pfs("put-file", f"{branch}:/f", "-f", "f").out.split()[-1])

    return call


@pytest.mark.row("1.4 inspect and list")
def test_a_branch_computed_from_another_from_creation_to_finish(pfs: Run, put: Callable[[str], str]) -> None:
    pfs("create-repo", "out")
    pfs("create-branch", "out@master", "-p", "r@master", "-p", "r2@master", code=3)
    pfs("create-repo", "r2")
    pfs("create-branch", "out@master", "-p", "r@master", "-p", "r2@master:never")
    put("r2@master")
    commit = put("r@master")
    record = pfs("inspect-branch", "out@master", "--json").json
    r, r2 = {"repo": "r", "branch": "master"}, {"repo": "r2", "branch": "master"}
    assert (record["provenance"], record["never"], record["full_provenance"]) == ([r, r2], [r2], [r, r2])
    assert (record["open_commit"], record["head"], record["trigger"]) == (commit, None, None)
    assert pfs("inspect-branch", "r@master", "--json").json["subvenance"] == [{"repo": "out", "branch": "master"}]
    (listed,) = pfs("list-commit", "out", "--json").json
    assert (listed["id"], listed["origin"], listed["finished"]) == (commit, "auto", None)
    put("out@master")
    pfs("finish-commit", "out@master")
    assert pfs("inspect-commit-set", commit, "--json").json["repos"] == ["out", "r"]
    shown = pfs("inspect-branch", "out@master").out
    assert "r@master, r2@master" in shown
    assert "r@master" in pfs("list-branch", "out").out
    pfs("create-branch", "out@master", "--no-provenance")
    assert pfs("list-branch", "out", "--json").json[0]["provenance"] == []


def test_what_provenance_refuses(pfs: Run, store: Path) -> None:
    pfs("create-repo", "out")
    assert "own repo" in pfs("create-branch", "r@x", "-p", "r@master", code=2).err
    pfs("create-branch", "out@master", "-p", "r@master")
    assert "computed from itself" in pfs("create-branch", "r@master", "-p", "out@master", code=4).err
    assert "r@dev and r@master" in pfs("create-branch", "out@master", "-p", "r@master", "-p", "r@dev", code=4).err
    assert "computed from r@master" in pfs("start-commit", "out@master", code=4).err
    pfs("create-branch", "out@master", "-p", "r@master", "--no-provenance", code=2)
    pfs("delete-branch", "r@master", code=4)
    pfs("delete-branch", "r@master", "--force")
    assert pfs("inspect-branch", "out@master", "--json").json["provenance"] == []


def test_a_branch_that_follows_another(pfs: Run, put: Callable[[str], str]) -> None:
    pfs("create-branch", "r@master", "--trigger", "dev", "--trigger-commits", "2", "--trigger-size", "1GB")
    put("r@dev")
    assert pfs("inspect-branch", "r@master", "--json").json["head"] is None
    second = put("r@dev")
    record = pfs("inspect-branch", "r@master", "--json").json
    assert record["head"] == second
    assert record["trigger"] == {
        "branch": "dev", "size_bytes": 10**9, "commits": 2, "rate": "", "cron": "", "all": False,
    }  # fmt: skip
    assert "dev, when 1000000000 bytes were added or when 2 commits came" in pfs("list-branch", "r").out
    pfs("create-branch", "r@master", "--no-trigger")
    assert pfs("inspect-branch", "r@master", "--json").json["trigger"] is None


@pytest.mark.parametrize(
    "options",
    [
        ["--trigger-commits", "2"],
        ["--trigger", "dev", "--no-trigger"],
        ["--trigger", "dev", "--trigger-size", "huge"],
        ["--trigger", "dev", "--trigger-rate", "often"],
        ["--trigger", "dev", "--trigger-cron", "@daily", "--trigger-commits", "1"],
        ["--trigger", "dev", "--trigger-commits", "-1"],
    ],
)
def test_what_triggers_refuse(pfs: Run, store: Path, options: list[str]) -> None:
    pfs("create-branch", "r@master", *options, code=2)
    pfs("inspect-branch", "r@master", code=3)


@pytest.mark.parametrize("order", [1, -1])
def test_a_source_is_never_or_always(pfs: Run, store: Path, order: int) -> None:
    pfs("create-repo", "out")
    words = ["r@master:never", "r@master"][::order]
    said = pfs("create-branch", "out@master", "-p", words[0], "-p", words[1], code=2).err
    assert "r@master is given both with :never and without" in said
    pfs("inspect-branch", "out@master", code=3)


def test_what_follows_a_source_can_only_be_never(pfs: Run, store: Path) -> None:
    pfs("create-repo", "out")
    said = pfs("create-branch", "out@master", "-p", "r@master:bad", code=2).err
    assert "'r@master:bad' is no branch to be computed from: write REPO@BRANCH or REPO@BRANCH:never" in said


@pytest.mark.parametrize("transaction", [False, True])
def test_following_a_branch_that_is_not_there_makes_it_and_says_so(pfs: Run, store: Path, transaction: bool) -> None:
    pfs("create-branch", "r@there")
    if transaction:
        pfs("start-transaction")
    pfs("create-branch", "r@quiet", "--trigger", "there", "--trigger-commits", "1")
    made = pfs("create-branch", "r@loud", "--trigger", "nope", "--trigger-commits", "1")
    again = pfs("create-branch", "r@loud", "--trigger", "nope", "--trigger-commits", "2")
    if transaction:
        pfs("finish-transaction")
    assert "note: there was no branch r@nope, which r@loud follows now: it was made, without a commit\n" in made.err
    assert "nope" not in again.err
    assert pfs("inspect-branch", "r@nope", "--json").json["head"] is None
