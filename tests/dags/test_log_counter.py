"""Batched datums: one process counts the warnings and errors of many logs."""

from __future__ import annotations

from tests.dags.conftest import Dag


def log(warnings: int, errors: int) -> str:
    return "INFO all is well\n" + "WARNING disk\n" * warnings + "ERROR disk\n" * errors


def test_one_process_counts_many_logs(dag: Dag) -> None:
    dag.pfs("create-repo", "logs")
    dag.put("logs@master", {f"log{number}.txt": log(number, 2 * number) for number in range(8)})
    dag.create("count.json", "shell.yaml")
    dag.pps("run")
    assert dag.progress("count") == dag.progress("shell") == ["8 + 0 / 8 success"]
    counts = {f"log{number}.txt": f"WARNING {number}\nERROR {2 * number}\n" for number in range(8)}
    assert dag.files("count@master") == counts
    assert dag.files("shell@master") == {name: text.replace("\n", " ").strip() + "\n" for name, text in counts.items()}
    starts = [line for line in dag.pps("logs", "-p", "count").out.splitlines() if "starts" in line]
    assert len(starts) == 2, "units of four datums: two processes"

    dag.put("logs@master", {"log8.txt": log(8, 16), "log9.txt": ""})
    dag.pps("run", code=1)
    assert dag.progress("count")[1:] == ["1 + 8 / 10 failure"], "the log that is empty fails alone"
    dag.put("logs@master", {"log9.txt": log(9, 18)})
    dag.pps("run")
    assert dag.progress("count")[2:] == ["1 + 9 / 10 success"]
    assert dag.files("count@master")["log9.txt"] == "WARNING 9\nERROR 18\n"
