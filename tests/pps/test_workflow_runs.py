"""Workflows compiled to pipelines and run, with the real store and executor."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import ConflictError, InvalidInputError, NotFoundError, PfsError, StorageError
from pfs.ids import CommitId
from pps.model import events
from pps.model.infos import JobInfo
from pps.model.state import JobState
from pps.spec.parse import parse_specs
from pps.spec.shellquote import render_shell, settle_shell
from pps.spec.template import parse_template
from pps.spec.types import Reprocess
from pps.spec.write import spec_json
from pps.workflows.before import before
from pps.workflows.compile import compile_task, used_params
from pps.workflows.folder import Folder
from pps.workflows.infos import file_of_run, inspect_run, list_runs, list_workflows
from pps.workflows.parse import parse_workflow
from pps.workflows.plan import Asked, RunPlan
from pps.workflows.runs import check_run, delete_workflow, start_run
from pps.workflows.schedule import TickerThread, begin_tick
from tests.pps.pipe_world import World, world_in
from tests.pps.standing_world import serving

CHAIN = """\
params: {who: world, more: x, loud: false}
tasks:
- name: gen
  command: sh gen.sh {{params.who}}
  outputs: [{name: data, path: /tmp/data.txt}]
- name: use
  command: cat {{tasks.gen.outputs.data.path}} > out.txt; echo {{params.more}} >> out.txt
  outputs: [{name: res, path: out.txt}]
- name: shout
  command: tr a-z A-Z < out.txt > loud.txt
  when: params.loud
  inputs: [{name: res}]
  outputs: [{name: loud, path: loud.txt}]
"""
GEN = 'echo hello "$1" > /tmp/data.txt\n'


class Flow:
    """A workflow file ``flow.yaml`` in a folder of its own, and runs of it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        folder.mkdir()
        self.code("gen.sh", GEN)

    def code(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def asked(self, **asked: object) -> Asked:
        return Asked(self.folder, self.folder / "flow.yaml", **asked)  # type: ignore[arg-type]

    def begin(self, text: str, **asked: object) -> tuple[CommitId, RunPlan]:
        self.code("flow.yaml", text)
        return start_run(self.world.store, parse_workflow(text, name="flow.yaml"), self.asked(**asked))

    def plan(self, text: str, **asked: object) -> dict[str, tuple[str, str]]:
        plan = check_run(self.world.store, parse_workflow(text, name="flow.yaml"), self.asked(**asked))
        return {one.task.name: (one.plan.outlook, one.plan.why) for one in plan.tasks}

    def run(self, text: str, **asked: object) -> dict[str, JobInfo]:
        """Run to the end; every job must be of the run."""
        run, plan = self.begin(text, **asked)
        report = self.world.run(*(one.plan.pipeline for one in plan.tasks))
        assert {job.id for job in report.jobs} == {run}
        return {job.pipeline.removeprefix("flow-"): job for job in report.jobs}

    def ran(self, text: str, **asked: object) -> dict[str, int]:
        """Run to the end, and return how many datums each task worked on; all must succeed."""
        jobs = self.run(text, **asked)
        bad = {name: job for name, job in jobs.items() if job.state != JobState.SUCCESS}
        assert not bad, [line.message for name in bad for line in self.world.jobs.logs(f"flow-{name}")]
        return {name: job.counters.processed for name, job in jobs.items()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        yield made


@pytest.fixture
def flow(world: World, tmp_path: Path) -> Flow:
    return Flow(world, tmp_path / "flow")


def test_only_what_changed_runs(flow: Flow, world: World) -> None:
    assert flow.plan(CHAIN)["gen"] == ("runs", "it has not run yet")
    assert flow.ran(CHAIN) == {"gen": 1, "use": 1, "shout": 0}
    assert world.output("flow-use") == {"/res/out.txt": b"hello world\nx\n"}
    assert flow.plan(CHAIN)["use"] == ("cached", "nothing changed")
    assert flow.ran(CHAIN) == {"gen": 0, "use": 0, "shout": 0}

    assert flow.plan(CHAIN, params={"more": "y"}) == {
        "gen": ("cached", "nothing changed"),
        "use": ("runs", "param changed: more"),
        "shout": ("skipped", "its condition does not hold"),
    }
    assert flow.ran(CHAIN, params={"more": "y"}) == {"gen": 0, "use": 1, "shout": 0}

    flow.code("gen.sh", GEN.replace("hello", "bye"))
    assert flow.plan(CHAIN, params={"more": "y"})["use"] == ("runs", "code changed: gen.sh")
    assert flow.ran(CHAIN, params={"more": "y"}) == {"gen": 1, "use": 1, "shout": 0}
    assert world.output("flow-use") == {"/res/out.txt": b"bye world\ny\n"}

    assert flow.ran(CHAIN, params={"more": "y", "loud": "true"}) == {"gen": 0, "use": 0, "shout": 1}
    assert world.output("flow-shout") == {"/loud/loud.txt": b"BYE WORLD\nY\n"}
    # A condition that does not hold any more leaves nothing behind.
    assert flow.ran(CHAIN, params={"more": "y"}) == {"gen": 0, "use": 0, "shout": 0}
    assert world.output("flow-shout") == {}


def test_a_change_of_the_file_alone_runs_only_what_it_changes(flow: Flow) -> None:
    flow.ran(CHAIN)
    assert flow.ran(f"# other\n{CHAIN}") == {"gen": 0, "use": 0, "shout": 0}
    assert flow.ran(CHAIN.replace("> out.txt;", ">out.txt;")) == {"gen": 0, "use": 1, "shout": 0}
    assert flow.plan(CHAIN)["use"] == ("runs", "its command changed")
    assert flow.ran(CHAIN.replace("name: use\n", "name: use\n  retries: 3\n  timeout: 5m\n"))["gen"] == 0


def test_a_dry_run_changes_nothing(flow: Flow, world: World) -> None:
    flow.plan(CHAIN)
    assert [info.name for info in world.store.list_repos()] == []
    flow.ran(CHAIN)
    heads = {info.name: world.store.repo(info.name).inspect("master").id for info in world.store.list_repos()}
    flow.code("gen.sh", "other\n")
    flow.plan(CHAIN, params={"who": "me"})
    assert heads == {info.name: world.store.repo(info.name).inspect("master").id for info in world.store.list_repos()}
    assert world.run().jobs == ()


def test_a_new_version_makes_no_job_but_that_of_the_run(flow: Flow, world: World) -> None:
    flow.ran(CHAIN)
    flow.code("gen.sh", GEN.replace("hello", "bye"))
    # `pps run` leaves the code of tasks alone, and has nothing to do.
    assert world.run().jobs == ()
    run, _ = flow.begin(CHAIN)
    jobs = world.run().jobs
    assert [(job.pipeline, job.id) for job in jobs] == [(f"flow-{name}", run) for name in ("gen", "use", "shout")]
    assert world.run().jobs == ()
    # What people ask for has its job at once.
    world.pipelines.rerun("flow-use", reprocess=True)
    assert [job.counters.processed for job in world.run("flow-use").jobs] == [1]


def test_from_a_task_on_all_runs_again_and_what_is_before_is_as_it_was(flow: Flow, world: World) -> None:
    with pytest.raises(ConflictError, match="task 'gen' comes before 'use' and has not succeeded"):
        flow.plan(CHAIN, from_task="use")
    flow.ran(CHAIN)
    flow.code("gen.sh", "exit 1\n")
    assert flow.plan(CHAIN, from_task="use", params={"who": "me"})["gen"] == ("kept", "not asked for")
    assert flow.ran(CHAIN, from_task="use", params={"who": "me"}) == {"gen": 0, "use": 1, "shout": 0}
    assert flow.ran(CHAIN, from_task="use") == {"gen": 0, "use": 1, "shout": 0}
    assert world.output("flow-use") == {"/res/out.txt": b"hello world\nx\n"}
    # The folder is the code of each: that of the first is again what it ran with, that of the second is not.
    flow.code("gen.sh", GEN)
    assert flow.ran(CHAIN) == {"gen": 0, "use": 1, "shout": 0}
    with pytest.raises(InvalidInputError, match=r"has no task 'usee': did you mean 'use'\?"):
        flow.plan(CHAIN, from_task="usee")


FAN = """\
params: {names: [a, b, "c d/e"]}
tasks:
- name: split
  command: mkdir parts; for i in 1 2 3; do echo $i > parts/$i.txt; done
  outputs: [{name: parts, path: parts, type: directory}]
- name: each
  command: printf %s {{params.names}} | cat - {{tasks.split.outputs.parts.path}}/{{item}} > done
  for_each: "{{tasks.split.outputs.parts}}"
  outputs: [{name: done, path: done, as: "{{item}}"}]
- name: named
  command: echo {{item}} > named; test -z "$(cat named | grep x)"
  for_each: "{{params.names}}"
  outputs: [{name: named, path: named}]
- name: join
  command: cat in/* > all; ls named >> all
  inputs: [{name: done, path: in}, {name: named, path: named}]
  outputs: [{name: all, path: all}]
"""


def test_fan_out_and_fan_in(flow: Flow, world: World) -> None:
    assert flow.ran(FAN) == {"split": 1, "each": 3, "named": 3, "join": 1}
    names = '["a","b","c d/e"]'
    assert world.output("flow-each")["/done/2.txt"] == f"{names}2\n".encode()
    assert world.output("flow-named")["/named/c d/e/named"] == b"c d/e\n"
    assert world.output("flow-join")["/all/all"].decode() == f"{names}1\n{names}2\n{names}3\na\nb\nc d\n"
    more = '["a", "b", "c d/e", "g h"]'
    assert flow.plan(FAN, params={"names": more})["named"][1] == "new item: g h"
    more = '["a", "b", "c d/e", "f"]'
    assert flow.plan(FAN, params={"names": more})["named"][1].startswith("new item: f")
    assert flow.ran(FAN, params={"names": more}) == {"split": 0, "each": 3, "named": 1, "join": 1}
    assert flow.ran(FAN.replace("1 2 3", "1 2 4"), params={"names": more}) == {
        "split": 1,
        "each": 1,
        "named": 0,
        "join": 1,
    }


ITEMS = """\
tasks:
- name: gen
  command: mkdir -p d e/x; echo a > d/a.txt; echo b > d/b.txt; echo c > e/c; echo d > e/x/d
  outputs: [{name: g, path: "d/*.txt", type: glob}, {name: e, path: e, type: directory}]
- name: glob
  command: P={{tasks.gen.outputs.g.path}}; cat $P > o; echo "$P" "{{tasks.gen.outputs.g.path}}"/{{item}} >> o
  for_each: "{{tasks.gen.outputs.g}}"
  outputs: [{name: o, path: o, as: "{{item}}"}]
- name: folder
  command: [sh, -c, 'find "$1" -type f | sort > o; echo "$WHERE" "$2" >> o', sh, "{{tasks.gen.outputs.e.path}}",
            "{{tasks.gen.outputs.e.path}}/{{item}}"]
  env: {WHERE: "{{tasks.gen.outputs.e.path}}"}
  for_each: "{{tasks.gen.outputs.e}}"
  outputs: [{name: o, path: o, as: "{{item}}"}]
- name: put
  command: P={{tasks.gen.outputs.g.path}}; cat "$P" > o; echo "$P {{tasks.gen.outputs.g.path}}/{{item}}" >> o
  inputs: [{name: one, from: "{{tasks.gen.outputs.g}}", path: "{{tasks.gen.outputs.g.path}}/in {{task.name}}/"}]
  for_each: {input: one}
  outputs: [{name: o, path: o, as: "{{item}}"}]
"""


def test_the_path_of_what_a_task_runs_for_is_that_of_the_item(flow: Flow, world: World) -> None:
    flow.ran(ITEMS)
    assert world.output("flow-glob")["/o/a.txt"] == b"a\nd/a.txt d/a.txt\n"
    assert world.output("flow-folder") == {"/o/c": b"e/c\ne/c e/c\n", "/o/x": b"e/x/d\ne/x e/x\n"}
    assert world.output("flow-put")["/o/b.txt"] == b"b\nd/in put/b.txt d/in put/b.txt\n"


def test_items_of_a_param_are_apart_when_the_run_begins(flow: Flow, world: World) -> None:
    text = """\
params: {l: [x, x.y, x-y, xy/z]}
tasks:
- {name: t, command: echo 1 > o, for_each: "{{params.l}}", when: item != "", outputs: [{name: o, path: o}]}
"""
    for items in ('["x", "x-y", "x/y"]', '["abs", "/abs"]', '["q", "q/"]', '["x", "../x"]'):
        with pytest.raises(InvalidInputError, match=r"item") as caught:
            flow.begin(text, params={"l": items})
        assert getattr(caught.value, "__notes__", None) == ["flow.yaml:3:4"]
    assert flow.ran(text, params={"l": '["x", "", "x-y", "y/x"]'}) == {"t": 3}
    assert flow.ran(text) == {"t": 2}, "x and x-y are as they were"


MIXED = """\
tasks:
- name: gen
  command: mkdir -p d/one d/two; echo z > d/one/z.txt; echo 1 > d/two/1; echo 2 > d/two/2; echo f > d/file
  outputs: [{name: all, path: d, type: directory}]
- name: auto
  command: cd d && find . -mindepth 1 -printf '%P %y\\n' | sort > ../o
  for_each: "{{tasks.gen.outputs.all}}"
  outputs: [{name: o, path: o, as: "{{item}}"}]
- name: below
  command: cd work && find . -mindepth 1 -printf '%P %y\\n' | sort > ../o
  inputs: [{name: all, path: work/}]
  for_each: {input: all, glob: "{one,file}"}
  outputs: [{name: o, path: o, as: "{{item}}"}]
- name: said
  command: cat z.txt > o
  inputs: [{name: all, path: z.txt, type: file, optional: true}]
  for_each: {input: all, glob: one}
  outputs: [{name: o, path: o}]
"""


def test_each_item_is_put_as_what_it_is(flow: Flow, world: World) -> None:
    assert flow.ran(MIXED) == {"gen": 1, "auto": 3, "below": 2, "said": 1}
    one, two = b"one d\none/z.txt f\n", b"two d\ntwo/1 f\ntwo/2 f\n"
    assert world.output("flow-auto") == {"/o/one": one, "/o/two": two, "/o/file": b"file f\n"}
    assert world.output("flow-below") == {"/o/one": one, "/o/file": b"file f\n"}
    assert world.output("flow-said") == {"/o/one/o": b"z\n"}


def test_items_with_conditions_and_names_of_their_own(flow: Flow, world: World) -> None:
    text = """\
tasks:
- name: t
  command: [sh, -c, 'echo "$1" > o', sh, "{{item.id}}"]
  for_each: [{id: one, on: true}, {id: two, on: false}, {id: three, on: true}]
  when: item.on
  outputs: [{name: o, path: o, as: "{{item.id}}.txt"}]
"""
    assert flow.ran(text) == {"t": 2}
    assert world.output("flow-t") == {"/o/one.txt": b"one\n", "/o/three.txt": b"three\n"}
    with pytest.raises(InvalidInputError, match="give its outputs an 'as'"):
        flow.plan(text.replace(', as: "{{item.id}}.txt"', ""))
    with pytest.raises(InvalidInputError, match=r"has the item .* twice"):
        flow.plan(text.replace("[{id: one, on: true}, ", "[{id: two, on: true}, {id: two, on: true}, "))


def test_a_failed_task_leaves_those_after_it_unrunnable(flow: Flow, world: World) -> None:
    flow.code("gen.sh", "echo broken; exit 3\n")
    jobs = flow.run(CHAIN)
    assert {name: job.state for name, job in jobs.items()} == {
        "gen": JobState.FAILURE,
        "use": JobState.UNRUNNABLE,
        "shout": JobState.UNRUNNABLE,
    }
    flow.code("gen.sh", GEN)
    assert flow.ran(CHAIN) == {"gen": 1, "use": 1, "shout": 0}


def test_repos_are_read_and_make_no_jobs(flow: Flow, world: World) -> None:
    text = """\
tasks:
- name: one
  command: cp in/a out
  inputs: [{name: raw, repo: raw, path: in}]
  outputs: [{name: out, path: out}]
- name: each
  command: cp {{inputs.png.path}} out
  for_each: {input: png, glob: "*"}
  inputs: [{name: png, repo: raw, path: img}]
  outputs: [{name: out, path: out, as: "{{item}}"}]
"""
    with pytest.raises(NotFoundError, match="input 'raw' of task 'one'"):
        flow.plan(text)
    world.put("raw", {"/a": b"1", "/b": b"2"})
    assert flow.ran(text) == {"one": 1, "each": 2}
    assert world.output("flow-each") == {"/out/a": b"1", "/out/b": b"2"}
    world.put("raw", {"/b": b"3"})
    assert world.run().jobs == ()
    assert flow.plan(text) == {"one": ("runs", "input changed: raw"), "each": ("runs", "input changed: png")}
    assert flow.ran(text) == {"one": 1, "each": 1}
    assert world.output("flow-each") == {"/out/a": b"1", "/out/b": b"3"}


def test_after_waits_and_counts_for_nothing(flow: Flow, world: World) -> None:
    text = """\
tasks:
- {name: late, command: "echo late > o", after: [early], outputs: [{name: o, path: o}]}
- {name: early, command: "echo 1 > o", outputs: [{name: o, path: o}]}
"""
    flow.begin(text)
    jobs = world.run().jobs
    assert [job.pipeline for job in jobs] == ["flow-early", "flow-late"]
    assert flow.ran(text.replace("echo 1", "echo 2")) == {"early": 1, "late": 0}
    assert flow.run(text.replace("echo 1", "exit 1"))["late"].state == JobState.UNRUNNABLE


def test_optional_inputs_and_outputs(flow: Flow, world: World) -> None:
    text = """\
params: {make: "yes"}
tasks:
- name: a
  command: if [ {{params.make}} = yes ]; then echo 1 > o; fi
  outputs: [{name: o, path: o, optional: true}]
- name: b
  command: cat o > p 2>/dev/null || echo none > p
  inputs: [{name: o, optional: true}]
  outputs: [{name: p, path: p}]
"""
    assert flow.ran(text) == {"a": 1, "b": 1}
    assert world.output("flow-b") == {"/p/p": b"1\n"}
    assert flow.ran(text, params={"make": "no"}) == {"a": 1, "b": 1}
    assert world.output("flow-b") == {"/p/p": b"none\n"}


def test_a_task_that_is_gone_is_stopped_and_what_it_made_stays(flow: Flow, world: World) -> None:
    flow.ran(CHAIN)
    less = CHAIN[: CHAIN.index("- name: shout")]
    assert flow.ran(less) == {"gen": 0, "use": 0}
    assert world.pipelines.inspect("flow-shout").state == "stopped"
    assert flow.ran(CHAIN, params={"loud": "true"}) == {"gen": 0, "use": 0, "shout": 1}


def test_names_that_are_taken(flow: Flow, world: World) -> None:
    world.store.create_repo("flow")
    with pytest.raises(ConflictError, match="a repo 'flow' that has no runs of a workflow"):
        flow.plan(CHAIN)
    world.store.delete_repo("flow")
    world.put("r", {"/a": b""})
    world.create("flow-use", {"pfs": {"repo": "r", "glob": "/"}}, cmd=["true"])
    with pytest.raises(ConflictError, match="a pipeline 'flow-use' that is no task"):
        flow.plan(CHAIN)


def test_all_pipelines_are_made_or_none(flow: Flow, world: World) -> None:
    bad = CHAIN.replace("name: shout\n", "name: shout\n  secrets: [{name: gone, key: k, env_var: V}]\n")
    with pytest.raises(NotFoundError, match="gone"):
        flow.begin(bad)
    assert [info.name for info in world.store.list_repos()] == []


def test_a_workflow_is_taken_away_with_all_that_it_made(flow: Flow, world: World) -> None:
    flow.ran(CHAIN)
    assert sorted(delete_workflow(world.store, "flow")) == ["flow-gen", "flow-shout", "flow-use"]
    assert [info.name for info in world.store.list_repos()] == []
    with pytest.raises(NotFoundError, match="workflow 'flow' not found"):
        delete_workflow(world.store, "flow")
    assert flow.ran(CHAIN) == {"gen": 1, "use": 1, "shout": 0}


def test_the_record_of_a_run(flow: Flow, world: World) -> None:
    big = CHAIN.replace("params: {", f"params: {{big: {10**30}, rate: 0.1, text: 'ü😀', l: [1, {{a: [true]}}], ")
    odd, _ = flow.begin(big)
    told = inspect_run(world.store, "flow", odd).params
    assert [told[name] for name in ("big", "rate", "text", "l")] == [10**30, 0.1, "ü😀", [1, {"a": [True]}]]
    run, _ = flow.begin(CHAIN, params={"who": "me"})
    assert world.output("flow", run).keys() == {"/run.json", "/tasks/gen/all", "/tasks/use/all", "/workflow.yaml"}
    assert world.output("flow", run)["/tasks/gen/all"] == b'{"params":{"who":"me"}}\n'
    assert world.output("flow", run)["/workflow.yaml"] == CHAIN.encode()


def _files(folder: Folder, *listed: str) -> Mapping[str, Path]:
    return folder.code(listed or None).files


def test_the_code_is_the_folder_but_for_what_is_no_code(tmp_path: Path) -> None:
    for name in (
        *("flow.yaml", "a.py", "lib/b.py", ".git/x", ".pfs/x", "__pycache__/x", "node_modules/x", ".venv/x", "store/x"),
        *("env/pyvenv.cfg", "env/x", "data/big", "logs/x.log", "y.log", "lib/data/keep", "sub/logs/x"),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / ".pfsignore").write_text("# what is no code\n/data\n\n*.log\nlogs/\n")
    folder = Folder(tmp_path, [tmp_path / "flow.yaml", tmp_path / "store"])
    assert list(_files(folder)) == [".pfsignore", "a.py", "lib/b.py", "lib/data/keep"]
    assert list(_files(folder, "lib", "a.py")) == ["a.py", "lib/b.py", "lib/data/keep"]
    assert folder.code([]).files == {}
    with pytest.raises(InvalidInputError, match="no file or folder 'gone'"):
        folder.code(["gone"])
    with pytest.raises(InvalidInputError, match="outside the workflow's folder"):
        folder.code(["../x"])
    (tmp_path / ".pfsignore").write_text("ok\n[\n")
    with pytest.raises(InvalidInputError, match=r"\.pfsignore:2:1: "):
        _files(Folder(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_code_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(StorageError, match="secret"):
        _files(Folder(tmp_path))


def test_other_workflow_files_beside_are_no_code(tmp_path: Path) -> None:
    one = "tasks:\n- {name: a, command: x}\n"
    texts = {
        "other.yaml": one,
        "other.yml": "name: x\n" + one,
        "one.json": '{"name": "x", "tasks": [{"name": "a"}]}',
        "data.json": '{"tasks": [{"id": 1}]}',
        "more.json": '{"tasks": [{"name": "a"}], "hosts": 1}',
        "list.yaml": "- tasks:\n  - {name: a}\n",
        "broken.yaml": "tasks: [\n",
        "none.yaml": "tasks: 3\n",
        "other.txt": one,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/other.yaml").write_text(one)
    left = ["broken.yaml", "data.json", "list.yaml", "more.json", "none.yaml", "other.txt", "sub/other.yaml"]
    assert list(Folder(tmp_path).code(None).files) == left
    assert list(_files(Folder(tmp_path), "other.yaml")) == ["other.yaml"]


def test_code_that_is_no_file_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "a").write_text("x")
    assert list(_files(Folder(tmp_path))) == ["a", "link"]


def test_what_a_task_becomes() -> None:
    found = parse_workflow(
        "name: w\nparams: {p: 1, q: 2}\ntasks:\n"
        "- {name: a, command: [x], outputs: [{name: o, path: 'o {{params.q}}', s3: 's3://b/k/x-{{job.id}}.csv'}]}\n"
        "- name: b\n  command: cat {{tasks.a.outputs.o.path}} '{{params.p}}' \"{{task.name}}\"\n"
        "  retries: 2\n  cache: false\n  timeout: 3s\n"
    )
    spec = compile_task(found, found.task("b"))
    assert spec.transform.cmd == ("sh", "-c", "cat 'o '{{params.q}} '{{params.p}}' \"b\"")
    assert (spec.datum_tries, spec.reprocess, spec.datum_timeout_s) == (3, Reprocess.EVERY_JOB, 3.0)
    assert used_params(spec) == ("p", "q")
    (egress,) = compile_task(found, found.task("a")).egresses
    assert (egress.url, egress.path, egress.levers.key) == ("s3://b/k/", "/o", "x-{{job.id}}.csv")  # type: ignore[union-attr]


def test_what_is_wrong_in_a_run_is_told_before_anything_changes(flow: Flow, world: World) -> None:
    wrong: list[tuple[str, dict[str, object]]] = [
        (CHAIN, {"params": {"nobody": "x"}}),
        (CHAIN, {"params": {"loud": "maybe"}}),
        (CHAIN.replace("when: params.loud", "when: params.more < 3"), {}),
        (CHAIN.replace("- name: use\n", "- name: use\n  code: [gone]\n"), {}),
    ]
    for text, asked in wrong:
        with pytest.raises(PfsError):
            flow.begin(text, **asked)
    assert [info.name for info in world.store.list_repos()] == []


IMPORTS = """\
params: {what: in}
tasks:
- name: use
  command: cat one.txt all/* > out
  inputs:
    - {name: one, uri: "file://%s/{{params.what}}/a.txt", path: one.txt}
    - {name: all, uri: "file://%s/in/", path: all}
    - {name: maybe, uri: "file://%s/none/", path: maybe, optional: true}
  outputs: [{name: out, path: out}]
- name: each
  command: cat {{inputs.all.path}} > out
  for_each: {input: all}
  inputs: [{name: all, uri: "file://%s/in/", path: "x/"}]
  outputs: [{name: out, path: out, as: "{{item}}"}]
"""


def test_what_is_outside_is_imported_before_a_run(flow: Flow, world: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    text = IMPORTS % (outside, outside, outside, outside)
    with pytest.raises(PfsError, match=r"outside/in/a\.txt"):
        flow.begin(text)
    assert world.store.refs.find("flow") is None
    (outside / "in").mkdir(parents=True)
    for name in ("a", "b"):
        (outside / "in" / f"{name}.txt").write_text(f"{name}\n")
    assert flow.ran(text) == {"use": 1, "each": 2}
    assert world.output("flow-use") == {"/out/out": b"a\na\nb\n"}
    assert world.output("flow-each") == {"/out/a.txt": b"a\n", "/out/b.txt": b"b\n"}
    assert flow.plan(text)["use"] == ("depends", "if one or all or maybe is not the same as before")
    assert flow.ran(text) == {"use": 0, "each": 0}
    (outside / "in" / "b.txt").write_text("new\n")
    assert flow.ran(text) == {"use": 1, "each": 1}
    assert flow.ran(text, params={"what": "in/../in"}) == {"use": 0, "each": 0}
    (outside / "none").mkdir()
    (outside / "none" / "x").write_text("x")
    assert flow.ran(text) == {"use": 1, "each": 0}
    # Tasks that are not asked for do not look outside.
    (outside / "in" / "a.txt").unlink()
    assert flow.ran(text, from_task="each")["each"] == 1
    assert world.output("flow-use") == {"/out/out": b"a\na\nnew\n"}


INSTALLED = """\
name: flow
on: {schedule: "@every 1h"}
tasks:
- {name: a, command: cat in/a > o, inputs: [{name: raw, repo: raw, path: in}], outputs: [{name: o, path: o}]}
- {name: b, command: "cp {{tasks.a.outputs.o.path}} p", outputs: [{name: p, path: p}]}
- name: c
  command: cp web p
  inputs: [{name: web, uri: "file://%s/web", path: web}]
  outputs: [{name: p, path: p}]
"""
HOUR_NS = 3600 * 1_000_000_000


def test_an_installed_workflow_runs_with_commits_and_by_its_schedule(flow: Flow, world: World, tmp_path: Path) -> None:
    text = INSTALLED % tmp_path
    world.put("raw", {"/a": b"1"})
    (tmp_path / "web").write_text("one")
    assert flow.ran(text, installed=True) == {"a": 1, "b": 1, "c": 1}
    cause = world.put("raw", {"/a": b"2"})
    jobs = world.run().jobs
    assert [(job.pipeline, job.id, job.counters.processed) for job in jobs] == [
        ("flow-a", cause.id, 1),
        ("flow-b", cause.id, 1),
    ]
    assert world.output("flow-b") == {"/p/p": b"2"}
    # It stays installed when it is run by hand.
    assert flow.ran(text) == {"a": 0, "b": 0, "c": 0}
    assert world.run().jobs == ()
    (tmp_path / "web").write_text("two")
    began = world.store.repo("flow").inspect("master")
    now_ns = world.store.clock_ns
    world.store.clock_ns = lambda: now_ns() + 2 * HOUR_NS
    jobs = world.run().jobs
    run = inspect_run(world.store, "flow")
    assert run.of_schedule == began.started_ns + 2 * HOUR_NS
    assert {job.pipeline: job.counters.processed for job in jobs} == {"flow-a": 0, "flow-b": 0, "flow-c": 1}
    assert {job.id for job in jobs} == {run.id}
    assert world.output("flow-c") == {"/p/p": b"two"}
    assert world.run().jobs == ()

    (tmp_path / "web").unlink()
    world.store.clock_ns = lambda: now_ns() + 4 * HOUR_NS
    assert world.run().jobs == ()
    assert any(isinstance(one, events.Trouble) and "scheduled run cannot begin" in one.message for one in world.events)
    assert inspect_run(world.store, "flow").id == run.id


def test_a_controller_that_serves_takes_runs_up(flow: Flow, world: World) -> None:
    with serving(world) as told:
        run, _ = flow.begin(CHAIN)
        assert told.ended("flow-shout").id == run
        flow.code("gen.sh", GEN.replace("hello", "bye"))
        # Updated versions wait for their run, whatever the controller sees first.
        for text in (CHAIN.replace("echo {{params.more}}", "echo z"), CHAIN):
            run, _ = flow.begin(text)
            assert told.ended("flow-shout").id == run
        report = world.make_controller().run_pending(["flow-shout"])
        assert report.jobs == ()
    runs = [info.id for info in list_runs(world.store, "flow")]
    assert [job.id for job in world.jobs.jobs("flow-use")] == runs
    assert [info.state for info in list_runs(world.store, "flow")] == ["success"] * 3
    assert [one.outcome for one in inspect_run(world.store, "flow", runs[0]).tasks] == ["cached", "ran", "skipped"]


def test_ticks_have_the_params_of_the_installation(flow: Flow, world: World) -> None:
    text = CHAIN + "on: {schedule: '@daily'}\n"
    flow.ran(text, params={"who": "installed"}, installed=True)
    flow.ran(text, params={"who": "hand", "loud": "true"})
    assert world.output("flow-shout") == {"/loud/loud.txt": b"HELLO HAND\nX\n"}
    for _ in range(2):
        tick = begin_tick(world.store, before(world.store, "flow"), world.store.clock_ns())
        assert {job.id for job in world.run().jobs} == {tick}
        assert world.output("flow-use")["/res/out.txt"].startswith(b"hello installed\n")
        info = inspect_run(world.store, "flow")
        assert (info.params["who"], info.tasks[2].why) == ("installed", "its condition does not hold")
    flow.ran(text, params={"who": "anew"}, installed=True)
    begin_tick(world.store, before(world.store, "flow"), world.store.clock_ns())
    assert inspect_run(world.store, "flow").params["who"] == "anew"


def test_workflows_and_runs_are_listed(flow: Flow, world: World) -> None:
    world.store.create_repo("other")
    assert list(list_workflows(world.store)) == []
    flow.ran(CHAIN, params={"who": "me"})
    (info,) = list_workflows(world.store)
    assert (info.name, info.tasks, info.installed) == ("flow", ("gen", "use", "shout"), False)
    assert info.last is not None
    assert (info.last.state, info.last.params) == ("success", {"who": "me", "more": "x", "loud": False})
    gen, use, shout = info.last.tasks
    assert [(one.outcome, one.why) for one in (gen, use, shout)] == [
        ("ran", "it has not run yet"),
        ("ran", "it has not run yet"),
        ("skipped", "its condition does not hold"),
    ]
    assert file_of_run(world.store, "flow") == CHAIN
    with pytest.raises(NotFoundError, match="workflow 'other' not found"):
        inspect_run(world.store, "other")


def test_a_task_that_never_ran_and_is_not_asked_for_is_no_hindrance(flow: Flow, world: World) -> None:
    text = """\
tasks:
- {name: a, command: echo 1 > o, outputs: [{name: o, path: o}]}
- {name: b, command: exit 3}
"""
    run, plan = flow.begin(text, from_task="a")
    assert plan.pipelines == ("flow-a",)
    world.run(*plan.pipelines)
    info = inspect_run(world.store, "flow", run)
    assert [(one.outcome, one.why) for one in info.tasks] == [
        ("ran", "it has not run yet"),
        ("skipped", "not asked for"),
    ]
    assert (info.state, info.finished_ns is not None) == ("success", True)


def test_what_was_made_may_be_kept(flow: Flow, world: World) -> None:
    flow.ran(CHAIN)
    delete_workflow(world.store, "flow", keep_repos=True)
    assert world.output("flow-use") == {"/res/out.txt": b"hello world\nx\n"}
    assert {info.name for info in world.store.list_repos()} == {"flow-gen", "flow-use", "flow-shout"}
    with pytest.raises(ConflictError, match=r"a repo 'flow-gen' .*--keep-repos.*`pfs delete-repo flow-gen`"):
        flow.begin(CHAIN)
    for name in ("gen", "use", "shout"):
        world.store.delete_repo(f"flow-{name}")
    assert flow.ran(CHAIN) == {"gen": 1, "use": 1, "shout": 0}


def test_tasks_may_change_places(flow: Flow) -> None:
    one = "tasks:\n- {name: a, command: echo a > o, outputs: [{name: o, path: o}]}\n"
    one += '- {name: b, command: "cat {{tasks.a.outputs.o.path}} > o2", outputs: [{name: o2, path: o2}]}\n'
    other = "tasks:\n- {name: b, command: echo b > o2, outputs: [{name: o2, path: o2}]}\n"
    other += '- {name: a, command: "cat {{tasks.b.outputs.o2.path}} > o", outputs: [{name: o, path: o}]}\n'
    assert flow.ran(one) == {"a": 1, "b": 1}
    assert flow.ran(other) == {"a": 1, "b": 1}
    assert flow.ran(one) == {"a": 1, "b": 1}


PATHS = ["x.csv", "/tmp/my data/it's.csv", 'a "b"/$c`d`', "sub/{{params.p}} x/y", "-dash", "/data/in {{{{x}}"]
COMMANDS = ["cat {{r}}", 'cat "{{r}}"', "cat '{{r}}' # {{r}}", 'echo "$(cat {{r}}; echo "{{r}}")" && x {{r}}{{r}}']


@given(
    path=st.sampled_from(PATHS),
    command=st.one_of(st.sampled_from(COMMANDS), st.lists(st.sampled_from(["x", "{{r}}", "a{{r}}b"]), min_size=1)),
    kind=st.sampled_from(["file", "directory"]),
    optional=st.booleans(),
    each=st.sampled_from([None, ["a", 1], "{{params.l}}"]),
    after=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_a_spec_is_read_back_as_it_was_compiled(
    path: str, command: str | list[str], kind: str, optional: bool, each: object, after: bool
) -> None:
    named = "{{tasks.a.outputs.o.path}}"
    given_command = [word.replace("{{r}}", named) for word in command] if isinstance(command, list) else command
    if isinstance(given_command, str):
        given_command = given_command.replace("{{r}}", named)
    first = {"name": "a", "command": ["x"], "outputs": [{"name": "o", "path": path, "type": kind}]}
    second = {"name": "b", "command": given_command, "for_each": each, "after": ["z"] if after else []}
    second |= {"inputs": [{"name": "o", "optional": True}]} if optional else {}
    document = {"params": {"p": "v w", "l": [1]}, "tasks": [second, first, {"name": "z", "command": "true"}]}
    found = parse_workflow(json.dumps(document))
    for task in found.tasks:
        for installed in (False, True):
            spec = compile_task(found, task, installed=installed)
            (read,) = parse_specs(spec_json(spec))
            assert read == spec
    assert set(used_params(compile_task(found, found.task("b")))) <= {"p"}


@pytest.mark.parametrize("path", [path.replace("{{params.p}}", "v w").replace("{{{{", "{{") for path in PATHS])
def test_a_path_of_another_task_is_quoted_in_a_command(path: str) -> None:
    quoted = path.replace("{{", "{{{{")
    for command in ("printf %s {{t}}", 'printf %s "{{t}}"', "printf %s '{{t}}'", 'printf %s "$(printf %s {{t}})"'):
        template = parse_template(command)
        settled = settle_shell(template, lambda _: parse_template(quoted))
        done = subprocess.run(["sh", "-c", render_shell(parse_template(settled), str)], capture_output=True, timeout=60)
        assert done.stdout.decode() == path


def test_a_controller_that_serves_begins_runs_at_ticks(flow: Flow, world: World) -> None:
    text = "on: {schedule: '@every 1h'}\ntasks: [{name: a, command: 'true'}]\n"
    first, _ = flow.begin(text, installed=True)
    now_ns, token = world.store.clock_ns, world.store.changes()
    world.store.clock_ns = lambda: now_ns() + HOUR_NS
    with TickerThread(world.store, world.events.append, 0.1):
        assert world.store.wait(token, 120.0)
    run = inspect_run(world.store, "flow")
    assert (run.of_schedule, world.events) == (inspect_run(world.store, "flow", first).started_ns + HOUR_NS, [])


def test_a_run_whose_tasks_were_changed_before_they_ran_is_gone(flow: Flow, world: World) -> None:
    first, _ = flow.begin(CHAIN)
    assert [one.outcome for one in inspect_run(world.store, "flow", first).tasks] == ["waiting"] * 3
    second, _ = flow.begin(CHAIN.replace("sh gen.sh", "sh ./gen.sh"))
    assert inspect_run(world.store, "flow", first).tasks[0].outcome == "gone"
    assert {job.id for job in world.run().jobs} == {second}
    found = inspect_run(world.store, "flow", first)
    assert ([one.outcome for one in found.tasks], found.state) == (["gone"] * 3, "gone")
    assert inspect_run(world.store, "flow", second).state == "success"


def test_an_interrupted_task_is_given_up_by_stopping_it(flow: Flow, world: World) -> None:
    flow.begin(CHAIN, params={"who": "nobody"})
    for name in ("gen", "use", "shout"):
        world.pipelines.stop(f"flow-{name}")
    assert flow.ran(CHAIN) == {"gen": 1, "use": 1, "shout": 0}
    assert world.output("flow-use") == {"/res/out.txt": b"hello world\nx\n"}
