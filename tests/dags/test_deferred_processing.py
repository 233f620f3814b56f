"""Deferred processing: branches that are moved by hand, in a transaction or by a trigger say when work is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dags.conftest import Dag


def jobs_of_set(dag: Dag, id: str) -> set[tuple[str, str]]:
    found: Any = dag.pps("inspect-job-set", id, "--json").json
    return {(job["pipeline"], job["state"]) for job in found["jobs"]}


def head(dag: Dag, address: str) -> str:
    found: Any = dag.pfs("inspect-branch", address, "--json").json
    return str(found["head"])


def test_an_output_branch_is_released_by_moving_a_head(dag: Dag) -> None:
    for repo in ("images_dp_1", "images_dp_2"):
        dag.pfs("create-repo", repo)
    dag.create("edges_dp.json", "montage_dp.json")
    dag.put("images_dp_2@master", {"b": "b\n"})
    commit = dag.put("images_dp_1@master", {"liberty": "liberty\n"})
    dag.pps("run")
    assert dag.progress("edges_dp") == ["1 + 0 / 1 success"]
    assert jobs_of_set(dag, commit) == {("edges_dp", "success")}
    assert dag.files("edges_dp@dev") == {"liberty": "LIBERTY\n"}
    assert dag.jobs("montage_dp") == [], "master of edges_dp has no commit"

    dag.pfs("create-branch", "edges_dp@master", "--head", "dev")
    dag.pps("run")
    assert dag.progress("montage_dp") == ["1 + 0 / 1 success"]
    assert dag.files("montage_dp@master") == {"montage": "LIBERTY\nb\n"}
    assert head(dag, "edges_dp@master") == head(dag, "edges_dp@dev") == commit

    dag.put("images_dp_1@master", {"kitten": "kitten\n"})
    dag.put("images_dp_1@master", {"robot": "robot\n"})
    dag.pps("run")
    assert dag.progress("edges_dp")[1:] == ["1 + 1 / 2 success", "1 + 2 / 3 success"]
    assert len(dag.jobs("montage_dp")) == 1
    dag.pfs("create-branch", "edges_dp@master", "--head", "dev")
    dag.pps("run")
    assert dag.progress("montage_dp")[1:] == ["1 + 0 / 1 success"], "one job for both commits"
    assert dag.files("montage_dp@master") == {"montage": "KITTEN\nLIBERTY\nROBOT\nb\n"}


@pytest.mark.row("2.9 heads moved together")
def test_heads_that_move_in_a_transaction_are_one_job(dag: Dag) -> None:
    for repo in ("images_dp_1", "images_dp_2"):
        dag.pfs("create-repo", repo)
    dag.create("edges_dp.json", "montage_dp.json")
    for name in ("liberty", "kitten"):
        dag.put("images_dp_1@master", {name: f"{name}\n"})
        dag.put("images_dp_2@dev", {f"raw-{name}": f"{name}\n"})
    dag.pps("run")
    assert dag.jobs("montage_dp") == []
    id = dag.pfs("start-transaction").out.strip()
    dag.pfs("create-branch", "edges_dp@master", "--head", "dev")
    dag.pfs("create-branch", "images_dp_2@master", "--head", "dev")
    dag.pfs("finish-transaction")
    dag.pps("run")
    assert dag.progress("montage_dp") == ["1 + 0 / 1 success"]
    assert [job["id"] for job in dag.jobs("montage_dp")] == [id]
    assert dag.files("montage_dp@master") == {"montage": "KITTEN\nLIBERTY\nkitten\nliberty\n"}

    for name in ("robot", "whale"):
        dag.put("images_dp_1@master", {name: f"{name}\n"})
        dag.put("images_dp_2@dev", {f"raw-{name}": f"{name}\n"})
    dag.pps("run")
    assert len(dag.jobs("montage_dp")) == 1
    id = dag.pfs("start-transaction").out.strip()
    dag.pfs("create-branch", "edges_dp@master", "--head", "dev")
    dag.pfs("create-branch", "images_dp_2@master", "--head", "dev")
    dag.pfs("finish-transaction")
    dag.pps("run")
    assert dag.progress("montage_dp")[1:] == ["1 + 0 / 1 success"]
    assert dag.jobs("montage_dp")[1]["id"] == id, "the job is that of the transaction"
    assert dag.files("montage_dp@master") == {
        "montage": "KITTEN\nLIBERTY\nROBOT\nWHALE\nkitten\nliberty\nrobot\nwhale\n"
    }


def test_a_job_waits_for_the_data_of_the_transaction_that_moved_a_head(dag: Dag) -> None:
    for repo in ("images_dp_1", "images_dp_2"):
        dag.pfs("create-repo", repo)
    dag.create("edges_dp.json", "montage_dp.json")
    dag.put("images_dp_1@master", {"liberty": "liberty\n"})
    dag.put("images_dp_2@master", {"b": "b\n"})
    dag.pps("run")
    id = dag.pfs("start-transaction").out.strip()
    dag.pfs("create-branch", "edges_dp@master", "--head", "dev")
    dag.pfs("start-commit", "images_dp_2@master")
    dag.pfs("finish-transaction")
    dag.pps("run")
    assert dag.jobs("montage_dp") == []
    dag.put("images_dp_2@master", {"c": "c\n"})
    dag.pfs("finish-commit", "images_dp_2@master")
    dag.pps("run")
    assert dag.progress("montage_dp") == ["1 + 0 / 1 success"]
    assert [job["id"] for job in dag.jobs("montage_dp")] == [id]
    assert dag.files("montage_dp@master") == {"montage": "LIBERTY\nb\nc\n"}


def test_staging_is_released_as_a_whole_and_taken_back(dag: Dag) -> None:
    dag.pfs("create-repo", "data")
    dag.create("staging.yaml")
    for name in ("a", "b", "c"):
        dag.put("data@staging", {name: f"{name}\n"})
    dag.pps("run")
    assert dag.jobs("report") == []
    dag.pfs("create-branch", "data@master", "--head", "staging^")
    dag.pps("run")
    assert dag.files("report@master") == {"a": "a\n", "b": "b\n"}
    dag.pfs("create-branch", "data@master", "--head", "staging")
    dag.pps("run")
    assert dag.files("report@master") == {"a": "a\n", "b": "b\n", "c": "c\n"}
    dag.pfs("create-branch", "data@master", "--head", "staging~2")
    dag.pps("run")
    assert dag.files("report@master") == {"a": "a\n"}
    assert dag.progress("report") == ["2 + 0 / 2 success", "1 + 2 / 3 success", "0 + 1 / 1 success"]


def test_a_trigger_waits_until_enough_has_come(dag: Dag) -> None:
    dag.pfs("create-repo", "housing_data")
    dag.create("regression.json")
    dag.put("housing_data@master", {"1.csv": "x" * 2000})
    dag.pps("run")
    assert dag.jobs("regression") == []
    dag.put("housing_data@master", {"2.csv": "x" * 1500})
    dag.pps("run")
    assert dag.progress("regression") == ["2 + 0 / 2 success"]
    dag.put("housing_data@master", {"3.csv": "x" * 2999})
    dag.pps("run")
    assert len(dag.jobs("regression")) == 1
    dag.put("housing_data@master", {"4.csv": "x" * 100})
    dag.pps("run")
    assert dag.progress("regression")[1:] == ["2 + 2 / 4 success"]
    assert dag.files("regression@master")["3.csv"].strip() == "2999"
