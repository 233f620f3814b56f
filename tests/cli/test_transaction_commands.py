"""Transactions from the shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from tests.cli.conftest import Result, Run


@pytest.fixture
def home(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store with the repos ``r`` and ``s``, a file each, and files to put."""
    monkeypatch.delenv("PFS_TRANSACTION", raising=False)
    pfs("create-repo", "s")
    for name in ("x", "y"):
        (store / name).write_text(name)
    for repo in ("r", "s"):
        pfs("put-file", f"{repo}@master:/old", "-f", "x")
    return store


def lines(result: Result) -> list[str]:
    return result.out.split()


def names(pfs: Run, address: str) -> list[str]:
    return [cast("str", record["path"]) for record in json.loads(pfs("list-file", address, "--json").out)]


@pytest.mark.row("2.9 requests")
def test_from_start_to_finish(home: Path, pfs: Run) -> None:
    id = pfs("start-transaction", "-m", "both").out.strip()
    put = pfs("put-file", "r@master:/x", "-f", "x")
    assert put.out.strip() == id
    assert put.err == f"note: this is in transaction {id}, and shows once `pfs finish-transaction` is run\n"
    pfs("put-file", "s@master:/y", "-f", "y")
    pfs("create-repo", "new", "-d", "inside")
    pfs("create-branch", "new@dev")
    pfs("put-file", "new@dev", "-f", "x", "-f", "y")
    pfs("create-tag", "r@v1", "master")
    pfs("copy-file", f"r@{id}:/x", "s@master:/copied")
    pfs("delete-file", "s@master:/old")
    assert names(pfs, "r@master") == ["/old"]
    assert names(pfs, f"r@{id}") == names(pfs, f"r@{id[:8]}") == ["/old", "/x"]
    assert pfs("get-file", f"new@{id}:/y").out == "y"
    assert "both" in pfs("inspect-commit", f"s@{id}").out
    pfs("inspect-repo", "new", code=3)
    assert pfs("list-repo").out.count("\n") == 3
    assert pfs("fsck").code == 0
    assert lines(pfs("finish-transaction")) == [f"r@{id}", f"s@{id}", f"new@{id}"]
    assert names(pfs, "r@v1") == ["/old", "/x"]
    assert names(pfs, "s@master") == ["/copied", "/y"]
    assert names(pfs, "new@dev") == ["/x", "/y"]
    assert pfs("list-transaction").out.count("\n") == 1
    assert pfs("put-file", "r@master:/after", "-f", "x").err == ""
    assert pfs("fsck", "--deep").code == 0


@pytest.mark.row("2.9 tried at once")
def test_bad_input_is_refused_at_once_and_the_rest_stays(home: Path, pfs: Run) -> None:
    pfs("start-transaction")
    pfs("put-file", "r@master:/x", "-f", "x")
    pfs("put-file", "nowhere@master:/x", "-f", "x", code=3)
    pfs("create-repo", "r", code=4)
    pfs("delete-branch", "r@nowhere", code=3)
    pfs("delete-file", "r@master:/nowhere", code=3)
    pfs("create-tag", "r@master", "master", code=4)
    assert lines(pfs("finish-transaction"))[0].startswith("r@")
    assert names(pfs, "r@master") == ["/old", "/x"]


@pytest.mark.row("2.9 open parents", "2.9 requests")
def test_what_stays_open(home: Path, pfs: Run) -> None:
    id = pfs("start-transaction").out.strip()
    assert pfs("start-commit", "r@master").out.strip() == pfs("start-commit", "s@master").out.strip() == id
    pfs("put-file", "r@master:/x", "-f", "x")
    pfs("finish-commit", "s@master")
    pfs("start-commit", "r@master", code=4)
    pfs("finish-transaction")
    assert cast("dict[str, str]", pfs("inspect-branch", "s@master", "--json").json)["head"] == id
    assert names(pfs, "r@master") == ["/old"]
    assert pfs("finish-commit", "r@master").out.strip() == id
    assert names(pfs, "r@master") == ["/old", "/x"]


@pytest.mark.row("2.9 all or nothing")
def test_a_conflict_leaves_the_transaction_open(home: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    id = pfs("start-transaction").out.strip()
    pfs("put-file", "s@master:/fine", "-f", "x")
    pfs("put-file", "r@master:/x", "-f", "x")
    monkeypatch.setenv("PFS_TRANSACTION", "none")
    pfs("put-file", "r@master:/x", "-f", "y")
    monkeypatch.delenv("PFS_TRANSACTION")
    for _ in range(2):
        said = pfs("finish-transaction", code=4).err
        assert said == (
            "pfs: /x was changed on r@master by another writer in the meantime: nothing was published"
            " and the transaction stays; to go by what is there now,"
            " `pfs delete-transaction` and do it again in a new one\n"
        )
    assert names(pfs, "s@master") == ["/old"]
    (record,) = json.loads(pfs("list-transaction", "--json").out)
    assert (record["id"], record["state"], record["active"]) == (id, "open", True)
    pfs("delete-transaction")
    assert json.loads(pfs("list-transaction", "--json").out) == []
    pfs("finish-transaction", code=2)


def test_what_cannot_be_in_a_transaction(home: Path, pfs: Run) -> None:
    id = pfs("start-transaction").out.strip()
    for words in (
        ("merge", "r@master", "r@dev"),
        ("revert", "r@master"),
        ("cherry-pick", "r@master", "r@master"),
        ("rebase", "r@master", "r@master"),
        ("squash-commit", "r@master"),
        ("drop-commit", "r@master"),
        ("undelete", "r@master"),
        ("clear-commit", "r@master"),
        ("update-repo", "r", "-d", "x"),
        ("set-retention", "r", "--keep-last", "2"),
        ("purge", "r:/old", "--yes"),
    ):
        said = pfs(*words, code=4).err
        assert said.startswith(f"pfs: {words[0]} cannot be part of a transaction: finish or delete {id} first")
    pfs("start-transaction", code=4)


@pytest.mark.row("2.9 transaction commands")
def test_which_one_is_active(home: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pfs("start-transaction").out.strip()
    pfs("stop-transaction")
    assert pfs("put-file", "r@master:/now", "-f", "x").err == ""
    second = pfs("start-transaction").out.strip()
    monkeypatch.setenv("PFS_TRANSACTION", first[:10])
    assert first in pfs("put-file", "r@master:/first", "-f", "x").err
    assert names(pfs, f"r@{first}") == ["/first", "/now", "/old"]
    third = pfs("start-transaction").out.strip()
    monkeypatch.setenv("PFS_TRANSACTION", "none")
    pfs("put-file", "r@master:/outside", "-f", "x")
    monkeypatch.delenv("PFS_TRANSACTION")
    assert second in pfs("put-file", "r@master:/second", "-f", "x").err
    shown = json.loads(pfs("list-transaction", "--json").out)
    assert [(one["id"], one["active"]) for one in shown] == [(first, False), (second, True), (third, False)]
    assert "active" in pfs("list-transaction").out
    assert pfs("resume-transaction", first[:8]).out.strip() == first
    record = cast("dict[str, list[str]]", pfs("inspect-transaction", "--json").json)
    assert record["operations"][0] == f"start-commit r@master as {first}"
    assert lines(pfs("finish-transaction")) == [f"r@{first}"]
    assert names(pfs, "r@master") == ["/first", "/now", "/old", "/outside"]
    pfs("delete-transaction", third)
    (commit,) = json.loads(pfs("finish-transaction", second, "--json").out)
    assert commit["id"] == second
    pfs("inspect-transaction", second, code=3)
    monkeypatch.setenv("PFS_TRANSACTION", second)
    pfs("put-file", "r@master:/never", "-f", "x", code=3)


def test_a_transaction_that_ended_elsewhere_is_told_once(home: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    id = pfs("start-transaction").out.strip()
    kept = (home / ".pfs" / "run").glob("transaction-*")
    (file,) = list(kept)
    text = file.read_text()
    pfs("delete-transaction")
    file.write_text(text)
    said = pfs("put-file", "r@master:/x", "-f", "x", code=4).err
    assert said.startswith(f"pfs: transaction {id} was finished or deleted elsewhere, nothing was changed")
    pfs("put-file", "r@master:/x", "-f", "x")
    assert names(pfs, "r@master") == ["/old", "/x"]


@pytest.mark.row("2.9 inputs changed together")
def test_two_inputs_changed_together_make_one_job(home: Path, pfs: Run, pps: Run) -> None:
    script = "cat /pfs/r/* /pfs/s/* > /pfs/out/all"
    inputs = [{"pfs": {"repo": repo, "glob": "/"}} for repo in ("r", "s")]
    spec = {"pipeline": {"name": "both"}, "input": {"cross": inputs}, "transform": {"cmd": ["sh"], "stdin": [script]}}
    (home / "both.json").write_text(json.dumps(spec))
    pps("create-pipeline", "-f", "both.json")
    pps("run")
    before = json.loads(pps("list-job", "-p", "both", "--json").out)
    id = pfs("start-transaction").out.strip()
    pfs("put-file", "r@master:/x", "-f", "x")
    pfs("put-file", "s@master:/y", "-f", "y")
    pps("run")
    assert json.loads(pps("list-job", "-p", "both", "--json").out) == before
    pfs("finish-transaction")
    pps("run")
    after = json.loads(pps("list-job", "-p", "both", "--json").out)
    (job,) = [one for one in after if one not in before]
    assert job["id"] == id
    assert {item["commit"] for item in job["inputs"]} == {id}
    assert pfs("get-file", "both@master:/all").out == "xxxy"


def test_inspecting_shows_tables(home: Path, pfs: Run) -> None:
    id = pfs("start-transaction", "-m", "both").out.strip()
    pfs("put-file", "r@master:/x", "-f", "x")
    pfs("create-branch", "s@m", "-p", "r@master")
    pfs("put-file", "s@m:/y", "-f", "y")
    shown = pfs("inspect-transaction").out.splitlines()
    assert "{" not in "".join(shown)
    assert ["REPO", "BRANCH", "COMMIT"] in [line.split() for line in shown]
    assert [["r", "master", id], ["s", "m", id]] == [line.split() for line in shown if line.split()[2:] == [id]]
    assert "create-branch s@m" in shown
    pfs("finish-transaction")
    shown = pfs("inspect-commit-set", id).out.splitlines()
    assert "{" not in "".join(shown)
    rows = [line.split() for line in shown]
    assert ["REPO", "BRANCH", "COMMIT", "STATE", "FILES", "SIZE"] in rows
    assert ["r", "master", id, "finished", "2", "2", "B"] in rows
    assert ["s", "m", id, "open", "1", "1", "B"] in rows
