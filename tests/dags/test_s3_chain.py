"""Five pipelines in a row that know only S3, each adds a line."""

from __future__ import annotations

from tests.dags.conftest import Dag

LINES = "".join(f"line {number}\n" for number in range(1, 6))


def test_each_of_five_pipelines_adds_a_line(dag: Dag) -> None:
    dag.pfs("create-repo", "start")
    dag.pps("create-pipeline", "--jsonnet", "chain.jsonnet", "--arg", "source=start")
    commit = dag.put("start@master", {"a.txt": "a\n", "deep/b.txt": "b\n"})
    dag.pps("run")
    assert dag.files("step-5@master") == {"a.txt": f"a\n{LINES}", "deep/b.txt": f"b\n{LINES}"}
    found = dag.pps("inspect-job-set", commit, "--json").json["jobs"]  # type: ignore[call-overload, index]
    assert sorted(job["pipeline"] for job in found) == [f"step-{number}" for number in range(1, 6)]
    second = dag.put("start@master", {"a.txt": "A\n"})
    dag.pps("run")
    assert dag.files("step-5@master") == {"a.txt": f"A\n{LINES}", "deep/b.txt": f"b\n{LINES}"}
    assert dag.files(f"step-3@{second}")["a.txt"] == "A\nline 1\nline 2\nline 3\n"
    assert dag.files(f"step-3@{commit}")["a.txt"] == "a\nline 1\nline 2\nline 3\n"
    assert [dag.progress(f"step-{number}") for number in (1, 5)] == [["1 + 0 / 1 success"] * 2] * 2
