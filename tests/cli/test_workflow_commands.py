"""Workflows from the command line: the file of the design as it stands, kill -9, what is shown, what is refused."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from rich.console import Console

from cli.workflow_view import WorkflowView
from pps.model import events
from pps.model.infos import JobInfo
from pps.model.state import Counters, JobState
from pps.workflows.why import TaskPlan
from tests.cli import processes
from tests.cli.conftest import Run
from tests.pps.samples import DESIGN_WORKFLOW

GENERATE = """\
import pandas as pd
pd.DataFrame({"a": [1, 2]}).to_csv("/tmp/processed_data.csv", index=False)
"""


def outcomes(text: str) -> dict[str, str]:
    return {one["task"]: one["outcome"] for one in json.loads(text)["tasks"]}


def run_workflow(store: Path, name: str, *words: object, code: int = 0) -> dict[str, str]:
    return outcomes(processes.run(store, "pps", "run-workflow", "-f", name, "--json", *words, code=code))


def test_the_file_of_the_design_as_it_stands(store: Path) -> None:
    (store / "workflow.yaml").write_text(DESIGN_WORKFLOW)
    (store / "generate_data.py").write_text(GENERATE)
    assert run_workflow(store, "workflow.yaml") == {"generate_data": "ran", "upload_to_s3": "ran"}
    csv = processes.run(store, "pfs", "get-file", "workflow-generate_data@master:/processed_data/processed_data.csv")
    assert csv == "a\n1\n2\n"
    with processes.serving(store) as served:
        keys = {"aws_access_key_id": served.access_key, "aws_secret_access_key": served.secret_key}
        s3 = boto3.client("s3", endpoint_url=served.url, region_name="us-east-1", **keys)
        found = s3.get_object(Bucket="my-workflow-bucket", Key="output/processed_data.csv")
        assert (found["Body"].read(), found["ContentType"]) == (csv.encode(), "text/csv")
        s3.close()
        # Beside a controller that serves, which does the work.
        assert run_workflow(store, "workflow.yaml") == {"generate_data": "cached", "upload_to_s3": "cached"}
    (store / "generate_data.py").write_text(GENERATE.replace("[1, 2]", "[3]"))
    assert run_workflow(store, "workflow.yaml") == {"generate_data": "ran", "upload_to_s3": "ran"}
    assert processes.run(store, "pfs", "get-file", "my-workflow-bucket@master:/output/processed_data.csv") == "a\n3\n"


def test_a_param_of_the_second_task_runs_the_second_alone(store: Path) -> None:
    text = DESIGN_WORKFLOW.replace("tasks:", "params: {name: processed_data.csv}\ntasks:", 1)
    (store / "params.yaml").write_text(text.replace("output/processed_data.csv", "output/{{params.name}}"))
    (store / "generate_data.py").write_text("open('/tmp/processed_data.csv', 'w').write('a\\n1\\n2\\n')\n")
    assert run_workflow(store, "params.yaml") == {"generate_data": "ran", "upload_to_s3": "ran"}
    other = ("--param", "name=other.csv")
    assert run_workflow(store, "params.yaml", *other) == {"generate_data": "cached", "upload_to_s3": "ran"}
    assert processes.run(store, "pfs", "get-file", "my-workflow-bucket@master:/output/other.csv") == "a\n1\n2\n"


@pytest.fixture
def meeting() -> Iterator[Path]:
    """A folder that commands see too; /tmp is their own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        for name in ("began", "hold"):
            os.mkfifo(Path(made) / name)
        yield Path(made)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_a_run_that_is_ended_goes_on_with_the_next(store: Path, meeting: Path, how: signal.Signals) -> None:
    (store / "flow.yaml").write_text(
        f"""\
tasks:
- {{name: a, command: 'echo 1 >> {meeting}/ran; echo one > o', outputs: [{{name: o, path: o}}]}}
- name: b
  command: |
    test -e {meeting}/go || {{ echo now > {meeting}/began; read line < {meeting}/hold; }}
    cat {{{{tasks.a.outputs.o.path}}}} > p
  outputs: [{{name: p, path: p}}]
"""
    )
    process = processes.start(store, "pps", "run-workflow", "-f", "flow.yaml")
    assert (meeting / "began").read_text() == "now\n"
    if how == signal.SIGKILL:
        process.kill()
        process.communicate()
    else:
        process.send_signal(how)
        said = process.communicate()[1].decode()
        assert process.returncode == 128 + signal.SIGINT
        assert "goes on with the next `pps run`" in said
    (meeting / "go").touch()
    assert run_workflow(store, "flow.yaml") == {"a": "cached", "b": "cached"}
    assert (meeting / "ran").read_text() == "1\n"
    runs = json.loads(processes.run(store, "pps", "list-run", "flow", "--json"))
    assert [run["state"] for run in runs] == ["success", "success"]
    assert outcomes(json.dumps(runs[1])) == {"a": "ran", "b": "ran"}
    assert processes.run(store, "pfs", "get-file", "flow-b@master:/p/p") == "one\n"
    assert json.loads(processes.run(store, "pps", "run", "--json")) == []


FLOW = """\
params: {who: me}
tasks:
- {name: a, command: "echo {{params.who}} > o", outputs: [{name: o, path: o}]}
- {name: b, command: "cat {{tasks.a.outputs.o.path}}; echo sad >&2; exit 4"}
- {name: c, command: "true", after: [b]}
"""


FAILING = """\
tasks:
- name: none
  command: echo hello
  outputs:
  - {name: o, path: o}
- name: each
  command: head -c 5000 /dev/zero | tr '\\0' x; test {{item}} = good
  for_each: [good, evil, worse]
"""


def test_what_is_said_of_tasks_that_fail(store: Path, pps: Run) -> None:
    (store / "flow.yaml").write_text(FAILING)
    lines = pps("run-workflow", "-f", "flow.yaml", code=1).err.splitlines()
    (none,) = [line for line in lines if "was not made" in line]
    assert none.startswith("flow.yaml:5:6: task none failed: output 'o' was not made")
    (each,) = [line for line in lines if "task each failed" in line]
    assert each.startswith("flow.yaml:6:3: task each failed: 2 of 3 items failed: item '")
    assert "item 'evil'" in each or "item 'worse'" in each
    assert f"  {'x' * 2000}... and 3000 more characters" in lines
    assert not any("attempt 1 of 1" in line for line in lines)


SURPRISING = """\
params: {make: "yes"}
tasks:
- {name: a, command: "test {{params.make}} = no || echo 1 > o", outputs: [{name: o, path: o, optional: true}]}
- {name: opt, command: "cat o > p || echo none > p", inputs: [{name: o, optional: true}], outputs: [{name: p, path: p}]}
- {name: need, command: "cat {{tasks.a.outputs.o.path}}"}
"""


def test_the_live_view_and_inspect_workflow_say_the_same_of_why(store: Path, pps: Run) -> None:
    (store / "flow.yaml").write_text(SURPRISING)
    for param in ("make=yes", "make=no", "make=no", "make=yes"):
        err = pps("run-workflow", "-f", "flow.yaml", "--param", param).err
        shown = dict(re.findall(r"^(\w+): (?:ran|cached|skipped)[^(]*\((.*)\)$", err, re.MULTILINE))
        tasks: Any = pps("inspect-workflow", "flow", "--json").json
        assert shown == {task["task"]: task["why"] for task in tasks["tasks"]}
        if param == "make=no":
            assert shown["need"] == "there is nothing to run for"


def test_what_a_run_says(store: Path, pps: Run) -> None:
    (store / "flow.yaml").write_text(FLOW)
    plan = pps("run-workflow", "-f", "flow.yaml", "--dry-run").out.splitlines()
    assert [line.split()[0] for line in plan] == ["TASK", "a", "b", "c"]
    assert plan[1].endswith("it has not run yet")
    assert pps("list-workflow", "--json").json == []

    ran = pps("run-workflow", "-f", "flow.yaml", "--param", "who=you", code=1)
    assert ran.out.startswith("flow@")
    assert ran.out.endswith(": failure\n")
    lines = ran.err.splitlines()
    assert "a: started" in lines
    assert any(line.startswith("a: ran, ") and line.endswith("(it has not run yet)") for line in lines)
    assert [line for line in lines if "exit code 4" in line] == [
        "flow.yaml:4:4: task b failed: the command ended with exit code 4"
    ]
    assert {"  you", "  sad", "task c could not run: b failed"} <= set(lines)

    told: Any = pps("run-workflow", "-f", "flow.yaml", "--dry-run", "--param", "who=you", "--json").json
    assert [(one["task"], one["outlook"], one["why"]) for one in told] == [
        ("a", "cached", "nothing changed"),
        ("b", "runs", "it did not succeed the last time"),
        ("c", "runs", "it did not succeed the last time"),
    ]
    (store / "flow.yaml").write_text(FLOW.replace("exit 4", "true"))
    done = pps("run-workflow", "-f", "flow.yaml", "--param", "who=you")
    assert "a: cached (nothing changed)" in done.err.splitlines()
    assert any(line.startswith("b: ran, ") and line.endswith("(its command changed)") for line in done.err.splitlines())

    run = done.out.partition("@")[2].partition(":")[0]
    record: Any = pps("inspect-workflow", f"flow@{run}", "--json").json
    assert (record["state"], record["params"], record["outcomes"]) == (
        "success",
        {"who": "you"},
        {"cached": 1, "ran": 2},
    )
    assert record["tasks"][1]["job"]["id"] == run
    assert pps("inspect-workflow", "flow").out.splitlines()[-1].startswith("c ")
    assert pps("inspect-workflow", f"flow@{run}", "--file").out == FLOW.replace("exit 4", "true")
    runs = pps("list-run", "flow").out.splitlines()
    assert [line.split()[1] for line in runs[1:]] == ["success", "failure"]
    assert len(pps("list-run", "flow", "-n", "1", "--json").json) == 1  # type: ignore[arg-type]
    (listed,) = pps("list-workflow", "--json").json  # type: ignore[misc]
    assert (listed["name"], listed["tasks"], listed["last_run"]["id"]) == ("flow", ["a", "b", "c"], run)
    pps("delete-workflow", "flow")
    assert pps("list-workflow", "--json").json == []


def test_what_is_refused(store: Path, pps: Run) -> None:
    (store / "bad.yaml").write_text("tasks:\n- {name: a, command: 'x {{params.y}}'}\n- {name: b}\n")
    told = pps("run-workflow", "-f", "bad.yaml", code=2)
    assert told.err.startswith("pps: bad.yaml:2:25: {{params.y}} in the field 'command' of task 'a' is not known there")
    assert told.err.endswith("(and 1 more error: `pps validate --workflow` shows all)\n")
    checked = pps("validate", "--workflow", "-f", "bad.yaml", code=2).out.splitlines()
    assert [line.split(": ")[0] for line in checked] == ["bad.yaml:2:25", "bad.yaml:3:3"]
    (store / "bad.yaml").write_text("tasks:\n- {name: a, command: x, code: [bad.yaml, gone]}\n")
    checked = pps("validate", "--workflow", "-f", "bad.yaml", code=2).out
    assert checked.startswith("bad.yaml:2:4: code: there is no file or folder 'gone' in ")
    assert checked.count("\n") == 1
    (store / "flow.yaml").write_text(FLOW)
    assert pps("validate", "--workflow", "-f", "flow.yaml").out == "flow: valid, 3 tasks\n"
    for words, code, what in (
        (("run-workflow", "-f", "gone.yaml"), 3, "no spec file 'gone.yaml'"),
        (("run-workflow", "-f", "flow.yaml", "--param", "x=1"), 2, "the workflow has no param 'x': there is who"),
        (("run-workflow", "-f", "flow.yaml", "--param", "who"), 2, "--param 'who' has no value"),
        (("run-workflow", "-f", "flow.yaml", "--from", "b"), 4, "task 'a' comes before 'b' and has not succeeded"),
        (("run-workflow", "-f", "flow.yaml", "--from", "z"), 2, "has no task 'z'"),
        (("inspect-workflow", "flow"), 3, "workflow 'flow' not found"),
        (("inspect-workflow", "r"), 3, "workflow 'r' not found"),
        (("list-run", "flow"), 3, "workflow 'flow' not found"),
        (("delete-workflow", "flow"), 3, "workflow 'flow' not found"),
    ):
        assert what in pps(*words, code=code).err
    gone = "- name: a\n  command: 'true'\n  inputs:\n    - {name: x, %s, path: x}\n"
    for source, code, where in (
        ("repo: gone", 3, "gone.yaml:5:8: input 'x' of task 'a': "),
        (f"uri: 'file://{store}/nothing'", 3, "gone.yaml:5:8: "),
    ):
        (store / "gone.yaml").write_text("tasks:\n" + gone % source)
        assert pps("run-workflow", "-f", "gone.yaml", code=code).err.startswith(f"pps: {where}")
    (store / "gone.yaml").write_text("tasks:\n- {name: a, command: x, secrets: [{name: s, key: k, env_var: V}]}\n")
    assert pps("run-workflow", "-f", "gone.yaml", code=3).err.startswith("pps: gone.yaml:2:4: ")
    (store / "gone.yaml").write_text("tasks:\n- {name: a, command: x, for_each: [1, b], when: 'item < 2'}\n")
    assert pps("run-workflow", "-f", "gone.yaml", code=2).err.startswith("pps: gone.yaml:2:4: the condition of task")
    (store / "r.yaml").write_text(FLOW)
    assert "a repo 'r' that has no runs of a workflow" in pps("run-workflow", "-f", "r.yaml", code=4).err


def test_an_installed_workflow_waits_for_a_controller(store: Path, pps: Run, pfs: Run) -> None:
    (store / "flow.yaml").write_text(
        "on: {schedule: '@daily'}\ntasks:\n"
        "- {name: a, command: cat in/x > o, inputs: [{name: r, repo: r, path: in}], outputs: [{name: o, path: o}]}\n"
    )
    (store / "x").write_text("1")
    pfs("put-file", "r@master:/x", "-f", "x")
    pps("install-workflow", "-f", "flow.yaml")
    listed: Any = pps("list-workflow", "--json").json
    assert (listed[0]["installed"], listed[0]["schedule"]) == (True, "@daily")
    assert listed[0]["last_run"]["state"] == "waiting"
    assert len(pps("run", "--json").json) == 1  # type: ignore[arg-type]
    (store / "x").write_text("2")
    pfs("put-file", "r@master:/x", "-f", "x")
    assert len(pps("run", "--json").json) == 1  # type: ignore[arg-type]
    assert pfs("get-file", "flow-a@master:/o/o").out == "2"
    pps("install-workflow", "-f", "flow.yaml", "--undo")
    listed = pps("list-workflow", "--json").json
    assert (listed[0]["installed"], listed[0]["schedule"]) == (False, "")
    assert len(pps("run", "--json").json) == 1  # type: ignore[arg-type]
    pfs("put-file", "r@master:/y", "-f", "x")
    assert pps("run", "--json").json == []


def test_the_schema_of_workflow_files(pps: Run) -> None:
    schema: Any = pps("schema", "--workflow").json
    assert "workflow_task" in schema["$defs"]
    assert "pipeline_spec" not in schema["$defs"]


def job(pipeline: str, state: JobState, counters: Counters, *, seconds: float = 0.0, reason: str = "") -> JobInfo:
    return JobInfo(
        id="run",  # type: ignore[arg-type]
        pipeline=pipeline,
        state=state,
        started_ns=0,
        finished_ns=int(seconds * 1e9),
        counters=counters,
        reason=reason,
        output_commit=None,
        inputs=(),
        spec_commit="s",  # type: ignore[arg-type]
        version=1,
        isolation="",
        restart=0,
    )


def test_a_terminal_shows_a_table_of_tasks() -> None:
    plans = [
        TaskPlan("a", "w-a", "cached", "nothing changed"),
        TaskPlan("b", "w-b", "depends", "if a is not the same as before"),
        TaskPlan("c", "w-c", "runs", "code changed: x.py", 10),
        TaskPlan("d", "w-d", "runs", "it has not run yet"),
    ]
    view = WorkflowView(plans, "run")
    running = job("w-c", JobState.RUNNING, Counters(total=10, skipped=2))
    bad = f"datum {'0' * 64} failed: the command ended with exit code 3"
    for event in (
        events.JobFinished(job("w-a", JobState.SUCCESS, Counters(total=1, skipped=1))),
        events.JobStarted(running),
        events.DatumFinished("w-c", "run", "x", "success", Counters(total=10, skipped=2, processed=3), ""),  # type: ignore[arg-type]
        events.JobFinished(job("w-b", JobState.FAILURE, Counters(total=1, failed=1), seconds=1.5, reason=bad)),
        events.JobFinished(job("w-d", JobState.SUCCESS, Counters())),
    ):
        view(event)
    shown = io.StringIO()
    Console(file=shown, width=120).print(view._table())
    rows = [line.split(maxsplit=1) for line in shown.getvalue().splitlines()]
    assert [name for name, _ in rows] == ["TASK", "a", "b", "c", "d"]
    assert rows[1][1].split() == ["cached", "1/1", "0.0", "s", "nothing", "changed"]
    assert rows[2][1].startswith("failed   1/1          1.5 s  datum 000000000000 failed: the command")
    assert rows[3][1].startswith("running  5/10, 3 ran  ")
    assert rows[4][1].startswith("skipped  -")
