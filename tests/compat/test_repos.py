"""Repos (docs/compatibility.md, 1.3)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pfs.model import BranchRef
from pfs.store import Store
from pfs.store import open as open_store
from tests.cli.conftest import Run
from tests.compat.conftest import Put


@pytest.mark.row("1.3 create", "1.3 inspect", "1.3 list")
def test_repos_are_created_with_a_description_inspected_and_listed(pfs: Run, store: Path, put: Put) -> None:
    pfs("create-repo", "images", "-d", "what the cameras saw")
    pfs("create-repo", "images", code=4)
    put("images@master", a="12345")
    put("images@dev", b="1")
    info = pfs("inspect-repo", "images", "--json").json
    assert (info["name"], info["description"]) == ("images", "what the cameras saw")
    assert (info["size_bytes"], info["branches"]) == (5, ["dev", "master"])
    assert info["created"].startswith("20")
    assert [repo["name"] for repo in pfs("list-repo", "--json").json] == ["images", "r"]
    assert "what the cameras saw" in pfs("list-repo").out


@pytest.mark.row("1.3 delete")
def test_a_deleted_repo_is_gone_and_can_be_had_back(pfs: Run, put: Put) -> None:
    put("r@master", a="1")
    pfs("delete-repo", "r")
    pfs("inspect-repo", "r", code=3)
    assert pfs("list-repo", "--json").json == []
    pfs("undelete", "r")
    assert pfs("get-file", "r@master:/a").out == "1"


@pytest.mark.row("1.3 delete with dependents")
def test_a_repo_that_others_depend_on_stays_unless_forced(pfs: Run, store: Path) -> None:
    pfs("create-repo", "out")
    with open_store(store) as opened:
        _depend(opened)
    pfs("delete-repo", "r", code=4)
    pfs("delete-repo", "r", "--force")


@pytest.mark.row("1.3 delete output repo")
def test_the_output_repo_of_a_pipeline_stays_unless_forced(pfs: Run, pps: Run, store: Path, put: Put) -> None:
    put("r@master", a="1")
    spec = store / "spec.json"
    transform = {"cmd": ["true"]}
    spec.write_text(
        json.dumps({"pipeline": {"name": "out"}, "input": {"pfs": {"repo": "r", "glob": "/"}}, "transform": transform})
    )
    pps("create-pipeline", "-f", spec)
    assert "pps delete-pipeline out" in pfs("delete-repo", "out", code=4).err
    pfs("delete-repo", "out", "--force")
    assert pps("list-pipeline", "--json").json == []
    pfs("undelete", "out")
    pps("delete-pipeline", "out")
    assert [repo["name"] for repo in pfs("list-repo", "--json").json] == ["r"]


def test_the_description_of_a_repo_can_be_changed(pfs: Run, store: Path) -> None:
    pfs("update-repo", "r", "-d", "new")
    assert pfs("inspect-repo", "r", "--json").json["description"] == "new"
    pfs("update-repo", "none", "-d", "new", code=3)
    pfs("update-repo", "r", code=2)


def _depend(store: Store) -> None:
    store.repo("r").create_branch("master")
    store.repo("out").create_branch("master", provenance=[BranchRef("r", "master")])


@pytest.mark.row("1.3 size")
def test_the_size_is_exact(pfs: Run, put: Put) -> None:
    put("r@master", a="123", b="4567")
    put("r@master", a="1")
    info = pfs("inspect-repo", "r", "--json").json
    assert (info["size_bytes"], info["file_count"]) == (5, 2)
