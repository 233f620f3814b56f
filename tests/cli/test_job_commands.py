"""Commands on jobs: filters of list-job, and job sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def spec(name: str, repo: str, command: str = 'cp -r "$PFS"/in/. "$PFS_OUT"') -> dict[str, object]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": ["sh", "-c", command]},
        "input": {"pfs": {"repo": repo, "glob": "/", "name": "in"}},
    }


@pytest.fixture
def chain(store: Path, pfs: Run, pps: Run) -> list[str]:
    """Two pipelines in a row, and a third that fails when there is a file ``bad``; the ids of two commits."""
    Path("p.json").write_text(json.dumps([spec("a", "r"), spec("b", "a"), spec("c", "r", '! test -e "$PFS/in/bad"')]))
    Path("x").write_text("1")
    pps("create-pipeline", "-f", "p.json")
    ids = []
    for name in ("good", "bad"):
        pfs("put-file", f"r@master:/{name}", "-f", "x")
        pps("run", code=name == "bad")
        ids.append(pfs("inspect-commit", "r@master", "--json").json["id"])
    return ids


def listed(pps: Run, *words: str) -> set[tuple[str, str]]:
    return {(job["pipeline"], job["id"]) for job in pps("list-job", *words, "--json").json}


@pytest.mark.row("2.8 job history", "4 list job")
def test_filters_of_list_job(chain: list[str], pfs: Run, pps: Run) -> None:
    good, bad = chain
    assert listed(pps, "--state", "failure") == {("c", bad)}
    assert listed(pps, "--state", "failure", "--state", "success", "-p", "c") == {("c", good), ("c", bad)}
    assert listed(pps, "-i", "r@master") == {("a", bad), ("c", bad)}
    assert listed(pps, "-i", "r@master^") == {("a", good), ("c", good)}
    assert listed(pps, "-i", "r@master", "-i", "a@master") == set()
    assert listed(pps, "-i", f"a@{good}") == {("b", good)}
    assert len(listed(pps)) == 6
    Path("b.json").write_text(json.dumps({**spec("b", "a"), "description": "new"}))
    pps("update-pipeline", "-f", "b.json")
    pps("run")
    assert len(listed(pps, "-p", "b")) == len(listed(pps, "-p", "b", "--history", "1")) == 3
    assert len(listed(pps, "-p", "b", "--history", "none")) == len(listed(pps, "-p", "b", "--history", "0")) == 1
    assert "not 'x'" in pps("list-job", "--history", "x", code=2).err
    pps("list-job", "--state", "happy", code=2)
    assert "nosuch" in pps("list-job", "-i", "nosuch@master", code=3).err


@pytest.mark.row("2.8 job sets", "4 inspect job set", "4 wait job")
def test_job_sets(chain: list[str], pps: Run) -> None:
    good, bad = chain
    newer, older = pps("list-job-set", "--json").json
    assert (newer["id"], newer["state"], newer["states"]) == (bad, "failure", {"failure": 1, "success": 2})
    assert (older["id"], older["state"], older["data_processed"], older["data_total"]) == (good, "success", 3, 3)
    assert set(older["pipelines"]) == {"a", "b", "c"}
    assert older["pipelines"].index("a") < older["pipelines"].index("b")
    assert len(pps("list-job-set", "-n", "1", "--json").json) == 1
    shown = pps("inspect-job-set", bad[:8], "--json").json
    assert {job["pipeline"]: job["state"] for job in shown["jobs"]} == {"a": "success", "b": "success", "c": "failure"}
    assert "1 failure, 2 success" in pps("list-job-set").out
    assert "PIPELINE" in pps("inspect-job-set", bad).out
    assert "job set 'f0f0' not found" in pps("inspect-job-set", "f0f0", code=3).err
    assert pps("wait-job-set", good, "--json").json["state"] == "success"
    assert pps("wait-job-set", bad, "--json", code=1).json["state"] == "failure"


def test_what_is_due_is_waited_for(chain: list[str], pfs: Run, pps: Run) -> None:
    pfs("put-file", "r@master:/more", "-f", "x")
    newest = pfs("inspect-commit", "r@master", "--json").json["id"]
    assert "have not ended" in pps("wait-job-set", newest, "--timeout", "0s", code=4).err
    pps("run", "a")
    assert "have not ended" in pps("wait-job-set", newest, "--timeout", "0s", code=4).err
    pps("run", code=1)
    pps("wait-job-set", newest, "--timeout", "0s", code=1)
