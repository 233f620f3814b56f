"""Error recovery: err_cmd takes the failure of a datum, and the counts of the jobs say so."""

from __future__ import annotations

from tests.dags.conftest import Dag


def states(dag: Dag, job: str) -> dict[str, str]:
    """Return the state of each datum by the path of its input."""
    found = dag.pps("list-datum", f"error_test@{job}", "--json").json
    return {datum["inputs"][0]["path"]: datum["state"] for datum in found}  # type: ignore[attr-defined]


def test_the_counts_of_the_documentation(dag: Dag) -> None:
    dag.pfs("create-repo", "input")
    dag.create("error_test.json", "count.json")
    first = dag.put("input@master", {"file1": "foo\n"})
    dag.pps("run")
    assert dag.progress("error_test") == ["1 + 0 / 1 success"]

    second = dag.put("input@master", {"file2": "bar\n"})
    dag.pps("run")
    assert dag.progress("error_test")[1:] == ["0 + 1 + 1 / 2 success"]
    assert states(dag, second) == {"/file1": "skipped", "/file2": "recovered"}
    assert dag.files("error_test@master") == {"file1": "foo\n"}
    assert dag.progress("count") == ["1 + 0 / 1 success", "0 + 1 / 1 success"], "the output is the same"

    third = dag.put("input@master", {"file3": "baz\n"})
    dag.pps("run", code=1)
    assert dag.progress("error_test")[2:] == ["0 + 1 + 1 / 3 failure"], "what recovered is tried in each job"
    assert states(dag, third) == {"/file1": "skipped", "/file2": "recovered", "/file3": "failed"}
    (failed,) = (job for job in dag.jobs("error_test") if job["id"] == third)
    assert (failed["data_failed"], failed["data_recovered"]) == (1, 1)
    assert [job["state"] for job in dag.jobs("count")] == ["success", "success", "unrunnable"]
    assert dag.files("error_test@master") == {"file1": "foo\n"}
    assert dag.files("count@master")["count"].strip() == "1"
    assert {first, second, third} == {job["id"] for job in dag.jobs("error_test")}


def test_what_failed_and_what_recovered_is_tried_again_in_the_next_job(dag: Dag) -> None:
    dag.pfs("create-repo", "input")
    dag.create("error_test.json")
    dag.put("input@master", {"file1": "foo\n", "file2": "bar\n", "file3": "baz\n"})
    dag.pps("run", code=1)
    assert dag.progress("error_test") == ["1 + 0 + 1 / 3 failure"]
    dag.pfs("delete-file", "input@master:/file3")
    dag.pps("run")
    assert dag.progress("error_test")[1:] == ["0 + 1 + 1 / 2 success"], "file1 is not done again after the failed job"
    job = dag.jobs("error_test")[-1]["id"]
    (datum,) = (one for one in dag.pps("list-datum", f"error_test@{job}", "--json").json if one["state"] == "recovered")  # type: ignore[attr-defined]
    assert "retried" in dag.pps("explain-datum", f"error_test@{job}", datum["id"], "--json").out
    text = dag.folder.joinpath("error_test.json").read_text()
    dag.folder.joinpath("error_test.json").write_text(text.replace("/pfs/input/file1", "/pfs/input/file2"))
    dag.pps("update-pipeline", "-f", "error_test.json")
    dag.pps("run", code=1)
    assert dag.progress("error_test")[2:] == ["1 + 0 / 2 failure"], "another command: all is done again"
