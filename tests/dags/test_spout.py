"""A spout: a command that runs on commits messages from outside, and two pipelines work on each."""

from __future__ import annotations

import json

from tests.cli.processes import ids, run, serving
from tests.dags.conftest import Dag


def test_messages_are_committed_sorted_and_put_together(dag: Dag) -> None:
    dag.create("spout.json", "processor.json", "reducer.json")
    assert "spout" in dag.pps("run").err, "spouts are kept by `pfs serve` alone"
    with serving(dag.folder):
        done = run(dag.folder, "pfs", "subscribe-commit", "reducer@master", "-n", "3").split()
        assert json.loads(run(dag.folder, "pps", "inspect-pipeline", "spout", "--json"))["state"] == "running"
    assert done == list(reversed(ids(dag.folder, "spout@master"))), "one id for a message and all that it brings about"
    assert [len(data) for data in dag.bytes_of("spout@master").values()].count(2048) == 1
    assert dag.files("reducer@master") == {"1K.txt": "a" * 1024 + "c" * 1024, "2K.txt": "b" * 2048}
    assert dag.files(f"reducer@{done[0]}") == {"1K.txt": "a" * 1024}
    assert dag.progress("processor") == ["1 + 0 / 1 success", "1 + 1 / 2 success", "1 + 2 / 3 success"]
    assert dag.progress("reducer") == ["1 + 0 / 1 success", "1 + 1 / 2 success", "1 + 1 / 2 success"]
    assert dag.pps("logs", "-p", "spout").out.splitlines()[-1].endswith("message 2 is there")
    assert dag.jobs("spout") == [], "a spout has no jobs"
