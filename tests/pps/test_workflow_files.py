"""Workflow files: what they say, and what is told of those that say nothing sensible."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pfs.errors import InvalidInputError
from pps.spec.delivery import Levers
from pps.spec.parse import parse_specs
from pps.spec.template import Reference, TemplateError
from pps.spec.types import Egress, Resources
from pps.spec.write import spec_json
from pps.workflows.compile import compile_task
from pps.workflows.known import TABLES
from pps.workflows.names import item_name, name_of_file
from pps.workflows.params import param_values
from pps.workflows.parse import check_workflow, parse_workflow
from pps.workflows.schema import workflow_schema
from pps.workflows.types import ForEach, FromRepo, FromTask, FromUri, Keep, On, Param, Workflow
from pps.workflows.when import parse_condition
from tests.pps.samples import DESIGN_WORKFLOW

FULL = """\
version: 1.0
name: full
description: all of it
params:
  n: 3
  rate: 0.5
  names: [a, b]
  fast: true
  where: {type: string, description: which place}
env: {SHARED: "1", MODE: all}
defaults:
  retries: 2
  env: {MODE: task}
  outputs: {s3: "s3://bucket/{{workflow.name}}/", storage_class: STANDARD_IA, keep: {runs: 5}}
keep: {days: 30, storage_class_after: {days: 7, class: GLACIER_IR}, delivered: delete}
on: {schedule: "@daily", commits: false}
tasks:
  - name: last
    command: ["python", "last.py", "{{tasks.each.outputs.part.path}}", "{{inputs.raw.path}}", 3]
    inputs:
      - {name: part, path: parts}
      - {name: raw, repo: raw, branch: dev, glob: /x, path: in/raw}
      - {name: web, uri: "https://example.org/data.csv", path: web.csv, optional: true}
    outputs:
      - {name: report, path: report.html, content_type: text/html, metadata: {by: "{{params.where}}"}, optional: true}
      - {name: all, path: "out/*.csv", type: glob, s3: "s3://other", key: "{{file.name}}",
         if_missing: warn, keep: {runs: 1}}
    after: [side]
    when: params.fast and params.n >= 3
    cache: false
    timeout: 5m
    resources: {cpu: 2, memory: 1Gi}
    image: python:3.12
    working_dir: sub
    code: [last.py]
  - name: each
    command: echo {{item}} > part
    for_each: "{{params.names}}"
    retries: 0
    outputs: [{name: part, path: part}]
  - {name: side, command: "true"}
"""


def test_the_file_of_the_design() -> None:
    found = parse_workflow(DESIGN_WORKFLOW, name="dir/my data.yaml")
    assert found.name == "my-data"
    first, second = found.tasks
    assert (first.name, first.command, first.shell) == ("generate_data", ("python generate_data.py",), True)
    assert second.sources == ("generate_data",)
    (one,) = second.inputs
    assert (one.source, one.path, one.type) == (
        FromTask("generate_data", "processed_data"),
        "/tmp/processed_data.csv",
        "file",
    )


def test_everything_that_a_file_can_say() -> None:
    found = parse_workflow(FULL)
    assert [task.name for task in found.tasks] == ["each", "side", "last"]
    assert found.params[-1] == Param("where", required=True, description="which place")
    assert [(one.type, one.default) for one in found.params[:4]] == [
        ("integer", 3),
        ("number", 0.5),
        ("list", ["a", "b"]),
        ("boolean", True),
    ]
    assert found.keep == Keep(0, 30, 7, "GLACIER_IR", "delete")
    assert found.on == On("@daily", commits=False)
    each, side, last = found.tasks
    assert (each.retries, side.retries, last.retries) == (0, 2, 2)
    assert last.env == {"SHARED": "1", "MODE": "task"}
    assert each.for_each == ForEach(param="names")
    part, raw, web = last.inputs
    assert (part.source, part.type, part.path) == (FromTask("each", "part"), "directory", "parts")
    assert (raw.source, raw.type) == (FromRepo("raw", "dev", "/x"), "directory")
    assert (web.source, web.type, web.optional) == (FromUri("https://example.org/data.csv"), "file", True)
    report, every = last.outputs
    assert report.s3 == Egress("s3://bucket/full/", path="/report", levers=Levers(storage_class="STANDARD_IA"))
    assert (report.missing, report.content_type, report.keep) == ("ignore", "text/html", Keep(runs=5))
    assert every.s3 == Egress(
        "s3://other", path="/all", levers=Levers(key="{{file.name}}", storage_class="STANDARD_IA")
    )
    assert (every.missing, every.keep) == ("warn", Keep(runs=1))
    assert (last.command, last.shell, last.cache) == (
        ("python", "last.py", "{{tasks.each.outputs.part.path}}", "{{inputs.raw.path}}", "3"),
        False,
        False,
    )
    assert (last.timeout_s, last.resources, last.image) == (300.0, Resources(cpu=2.0, memory=1 << 30), "python:3.12")
    assert (last.working_dir, last.code, each.code) == ("sub", ("last.py",), None)
    assert found.after("each") == ("each", "last")


def test_json_says_the_same() -> None:
    for text in (DESIGN_WORKFLOW, FULL):
        plain = yaml.load(text.replace("\non:", '\n"on":'), Loader=yaml.SafeLoader)
        assert parse_workflow(json.dumps(plain), name="a.json") == parse_workflow(text, name="a.yaml")


def test_an_artifact_that_is_named_alone_is_put_where_it_was() -> None:
    found = parse_workflow(
        "tasks:\n- {name: a, command: x, outputs: [{name: o, path: out/o.csv},"
        " {name: d, path: dir, type: directory}]}\n"
        "- {name: b, command: 'cat {{tasks.a.outputs.o.path}} {{tasks.a.outputs.d.path}}'}\n"
        "- {name: c, command: 'use {{item}}', for_each: '{{tasks.a.outputs.d}}'}\n"
    )
    inputs = [(one.name, one.source, one.path, one.type) for one in found.task("b").inputs]
    assert inputs == [
        ("o", FromTask("a", "o"), "out/o.csv", "file"),
        ("d", FromTask("a", "d"), "dir", "directory"),
    ]
    (one,) = found.task("c").inputs
    assert (one.name, one.path, one.type) == ("d", "dir/{{item}}", "any")
    assert found.task("c").for_each == ForEach(source=FromTask("a", "d"), input="d")


def _file(*tasks: str, top: str = "") -> str:
    return top + "tasks:\n" + "".join(f"- {task}\n" for task in tasks)


A = "{name: a, command: x, outputs: [{name: o, path: p}]}"
_PARAMS = "params: {s: t, n: 1, l: []}\n"
WRONG: list[tuple[str, str]] = [
    ("tasks: []", "1:1: the field 'tasks' of workflow is missing or empty"),
    ("version: 2\n" + _file(A), "1:1: the version of a workflow file is 1.0, not '2'"),
    ("name: a b\n" + _file(A), "1:1: 'a b' cannot name a workflow"),
    ("nmae: x\n" + _file(A), "1:1: unknown field 'nmae' in workflow: did you mean 'name'?"),
    (
        _file("{name: a, command: x, tiemout: 3s}"),
        "2:25: unknown field 'tiemout' in workflow task: did you mean 'timeout'?",
    ),
    (_file("{name: a, command: x, zzz: 3}"), "`pps schema --workflow` shows which there are"),
    (_file("{command: x}"), "2:3: the field 'name' of workflow task is missing"),
    (_file("{name: 1a, command: x}"), "2:4: '1a' cannot name a task"),
    (_file("{name: a}"), "must be a text for the shell or a list of words, not nothing"),
    (_file("{name: a, command: []}"), "2:13: the field 'command' of workflow task must be"),
    (_file("{name: a, command: {x: y}}"), "not a mapping"),
    (_file(A, A), "3:4: two tasks are called 'a'"),
    (
        _file("{name: a, command: 'x {{params.y}}'}", top="params: {z: 1}\n"),
        "3:25: {{params.y}} in the field 'command'",
    ),
    (
        _file("{name: a, command: 'x {{params.y}}'}", top="params: {yy: 1}\n"),
        "is not known there: there is no param 'y': did you mean 'yy'?",
    ),
    (_file("{name: a, command: 'x {{item}}'}"), "2:25: {{item}} in the field 'command' of task 'a' needs a 'for_each'"),
    (_file("{name: a, command: 'x {{y'}"), '"{{" without "}}"'),
    (
        _file("name: a\n  command: |\n    one\n    `{{job.id}}`"),
        "5:6: the field 'command' of task 'a': {{job.id}} stands in `…`",
    ),
    (_file(A, "{name: b, command: 'x {{tasks.a.outputs.q.path}}'}"), "task 'a' has no output 'q': there is o"),
    (_file(A, "{name: b, command: 'x {{tasks.c.outputs.o.path}}'}"), "there is no task 'c': there is a"),
    (_file(A, "{name: b, command: 'x {{tasks.aa}}'}"), "there is no task 'aa': did you mean 'a'?"),
    (_file(A, "{name: b, command: 'x {{params.q}}'}"), "there is no param 'q': the workflow has none"),
    (_file(A, "{name: b, command: 'x {{tasks.a.outputs.o}}'}"), "did you mean 'tasks.a.outputs.o.path'?"),
    (_file(A, "{name: b, command: x, inputs: [{name: o, from: {task: c}}]}"), "there is no task 'c': there is a"),
    (_file(A, "{name: b, command: x, inputs: [{name: o, from: {task: a, output: oo}}]}"), "did you mean 'o'?"),
    (_file(A, "{name: b, command: x, inputs: [{name: q}]}"), "3:35: the input 'q' of task 'b' has no source"),
    (
        _file(A, A.replace("name: a", "name: b"), "{name: c, command: x, inputs: [{name: o}]}"),
        "{task: a} and {task: b}",
    ),
    (_file(A, "{name: b, command: x, inputs: [{name: o, repo: r, uri: 's3://b/k'}]}"), "several sources"),
    (
        _file(A, "{name: b, command: x, inputs: [{name: o, branch: r}]}"),
        "the field 'branch' of task input goes with 'repo'",
    ),
    (
        _file(A, "{name: b, command: x, inputs: [{name: o, secret: r}]}"),
        "the field 'secret' of task input goes with 'uri'",
    ),
    (_file("{name: b, command: x, inputs: [{name: i, uri: 'ftp://x/y'}]}"), "is no place to import from"),
    (_file("{name: b, command: x, inputs: [{name: i, uri: 's3://u:p@x/y'}]}"), "everybody could read"),
    (_file("{name: b, command: x, inputs: [{name: i, repo: r, glob: '/*'}]}"), "run for each with for_each"),
    (_file("{name: b, command: x, inputs: [{name: workflow, repo: r}]}"), "cannot name an input"),
    (_file("{name: b, command: x, inputs: [{name: i, repo: r}, {name: i, repo: s}]}"), "two inputs of task 'b'"),
    (_file("{name: b, command: x, inputs: [{name: i, repo: r, path: /etc/x}]}"), "is in /etc, which is of the system"),
    (_file("{name: b, command: x, outputs: [{name: i, path: ../x}]}"), "leads out of the working directory"),
    (_file("{name: b, command: x, outputs: [{name: i}]}"), "the field 'path' of output is missing"),
    (_file("{name: b, command: x, outputs: [{name: _i, path: x}]}"), "'_i' cannot name an output"),
    (_file("{name: b, command: x, outputs: [{name: i, path: x}, {name: i, path: y}]}"), "two outputs of task 'b'"),
    (_file("{name: b, command: x, outputs: [{name: i, path: x}, {name: j, path: ./x}]}"), "have the same path './x'"),
    (
        _file(
            "{name: b, command: x, outputs: [{name: i, path: x, s3: s3://b/k}, {name: j, path: y, s3: s3://b, key: k}]}"
        ),
        "the outputs 'i' and 'j' are delivered to the same address",
    ),
    (_file("{name: b, command: x, outputs: [{name: i, path: x/}]}"), "write 'type: directory'"),
    (
        _file("{name: b, command: x, outputs: [{name: i, path: x, type: files}]}"),
        "file, directory or glob, not 'files'",
    ),
    (_file("{name: b, command: x, outputs: [{name: i, path: x, if_missing: no}]}"), "is fail or warn, not 'no'"),
    (_file("{name: b, command: x, outputs: [{name: i, path: x, content_type: csv}]}"), "'csv' is no media type"),
    (_file("{name: b, command: x, outputs: [{name: i, path: x, s3: 'http://x'}]}"), "2:54: egress to 'http://x'"),
    (
        _file("{name: b, command: x, outputs: [{name: i, path: x, acl: private}]}"),
        "2:54: the field 'acl' of output goes with",
    ),
    (
        _file("{name: b, command: x, outputs: [{name: i, path: x, s3: 's3://b', acl: x}]}"),
        "the field 'acl' must be one of",
    ),
    (_file("{name: b, command: x, outputs: [{name: i, path: x, keep: {delivered: no}}]}"), "keep or delete, not 'no'"),
    (_file("{name: b, command: x, outputs: [{name: i, path: 'x{{item}}'}]}"), "needs a 'for_each'"),
    (
        _file("{name: a, command: x, after: [b]}", "{name: b, command: x, after: [a]}"),
        "2:4: these tasks wait for each other: a -> b -> a",
    ),
    (_file("{name: a, command: x, after: [a]}"), "2:4: task 'a' comes after itself"),
    (_file("{name: a, command: x, after: [c]}"), "which is no other task: there is none"),
    (_file("{name: a, command: x, when: 'params.x ='}"), "2:31: the field 'when' of task 'a': '=' cannot be read"),
    (
        _file("{name: a, command: x, when: 'params.x == 1'}"),
        "params.x in the field 'when' of task 'a' is not known there",
    ),
    (_file("{name: a, command: x, when: 'workflow.name == prod'}"), "a text is written in quotes"),
    (
        _file("{name: a, command: x, for_each: '{{params.x}}'}", top="params: {x: 1}\n"),
        "needs a list, and param 'x' is of type integer",
    ),
    (_file("{name: a, command: x, for_each: 'a b'}"), "for_each takes one reference"),
    (_file("{name: a, command: x, for_each: []}"), "there is nothing to run for"),
    (_file("{name: a, command: x, for_each: {input: i}}"), "needs an input 'i'"),
    (_file(A, "{name: b, command: x, for_each: '{{tasks.a.outputs.o}}'}"), "is one file: for_each needs a directory"),
    (_file(A, "{name: b, command: x, retries: -1}"), "must be a whole number of 0 or more"),
    (_file(A, "{name: b, command: x, timeout: soon}"), 'must be a duration such as "300s"'),
    (
        _file(A, top="params: {x: {type: integer, default: y}}\n"),
        "1:38: the default of param 'x': it should be a whole number",
    ),
    (_file(A, top="params: {x: {type: text}}\n"), "the type of a param is one of string, integer"),
    (_file(A, top="on: {schedule: often}\n"), "1:6:"),
    (_file(A, top="keep: {storage_class_after: {days: 1}}\n"), "needs a 'class', written in capitals"),
    ("- a", "workflow must be a mapping, not a list"),
    *(
        (_file(f"{{name: a, command: x, for_each: {items}, outputs: [{{name: o, path: x{more}}}]}}"), what)
        for items, more, what in (
            ("[x, x/x]", "", "2:35: of the items of task 'a', 'x/x' has a name below 'x' in output 'o': give the"),
            ("[abs, /abs]", "", "has the same name as"),
            ("[a//b, a/b]", "", "has the same name as"),
            ("[q, r, q/]", "", "has the same name as"),
            ("[x, ..]", "", "the item '..' of task 'a' makes no name: "),
            ("['']", "", "makes no name in output 'o'"),
            ("['1', 1]", "", "the item 1 twice"),
            ("[{n: 1, k: 2}, {n: 1, k: 3}]", ", as: '{{item.n}}.csv'", "has the same name as"),
            ("[{n: 1}]", ", as: '{{item.k}}.csv'", "there is no item.k"),
            ("[[1]]", "", "an item of task 'a' is a list: give its outputs an 'as'"),
        )
    ),
    *(
        (
            _file(f"{{name: a, command: x, for_each: {items}, when: '{when}'}}", top=_PARAMS),
            what,
        )
        for items, when, what in (
            ("[b]", "params.s", "the field 'when' of task 'a': 'params.s' needs true or false, not a string"),
            ("[b, c]", "item > 1", "'>' compares two numbers or two strings, not a string with a number"),
            ("'{{params.l}}'", "item == 1 or task.name <= params.n", "not a string with a number"),
            ("'{{params.l}}'", "item < true", "not a value with true or false"),
            ("[{k: 1}, {k: 2}]", "item.k", "needs true or false, not a number"),
            ("[{k: 1}, {k: 2}]", "item.j > 1", "there is no item.j: no item has it"),
            ("[1]", "not (item in params.s)", "not for a number in a string"),
            ("[1]", "3", "'3' needs true or false, not a number"),
            ("[1]", "1 in params.n", "not in a number"),
            ("[1]", "params.n and true", "'and' needs true or false, not a number"),
        )
    ),
    (_file("{name: a, command: x, outputs: [{name: o, path: p, as: ../../y}]}"), "2:54: '../../y' is no name below"),
    (
        _file("{name: a, command: x, for_each: [b], outputs: [{name: o, path: p, as: 'x/{{item}}/../y'}]}"),
        "is no name below the directory of the output",
    ),
    (_file("{name: a, command: x, code: [y, ../x]}"), "2:25: the code '../x' leads out of the workflow's folder"),
]


@pytest.mark.parametrize(("text", "what"), WRONG)
def test_what_is_wrong_is_told_with_its_place(text: str, what: str) -> None:
    found, errors = check_workflow(text, name="w.yaml")
    assert found is None
    told = [str(error) for error in errors]
    assert any(what in one for one in told), told
    assert all(
        one.startswith("w.yaml:") and one.split(":")[1].isdigit() and one.split(":")[2].isdigit() for one in told
    )


def test_all_that_is_wrong_is_told_at_once_in_order() -> None:
    text = _file("{name: a, command: '{{x.y}}', foo: 1}", "{name: a, command: [], after: [z]}")
    lines = [str(error).split(":")[1] for error in check_workflow(text, name="w.yaml")[1]]
    assert lines == sorted(lines)
    assert len(lines) >= 4
    with pytest.raises(InvalidInputError, match=r"more errors: `pps validate --workflow` shows all"):
        parse_workflow(text, name="w.yaml")


def test_a_delivery_may_name_its_task() -> None:
    output = '{name: i, path: x, s3: "s3://b/{{task.name}}/", key: "{{task.name}}-{{file.name}}"}'
    (task,) = parse_workflow(f"version: 1.0\nname: w\ntasks:\n  - {{name: b, command: x, outputs: [{output}]}}\n").tasks
    egress = task.outputs[0].s3
    assert egress is not None
    assert (egress.url, egress.levers.key) == ("s3://b/b/", "b-{{file.name}}")


@pytest.mark.parametrize(
    ("keep", "what"),
    [
        ("storage_class_after: {days: 0, class: X}", "'days' of storage_class_after must be 1 or more"),
        ("storage_class_after: {class: X}", "'days' of storage_class_after is missing"),
        ("runs: 0", "'runs: 0' says nothing"),
        ("runs: 1, days: 0", "'days: 0' says nothing"),
    ],
)
def test_to_keep_for_nothing_is_refused(keep: str, what: str) -> None:
    text = f"version: 1.0\nname: w\nkeep: {{{keep}}}\ntasks:\n  - {{name: b, command: x}}\n"
    (error,) = check_workflow(text)[1]
    assert what in str(error)


@pytest.mark.parametrize("more", ["after: [a]", "inputs: [{name: o, from: {task: a}}]"])
def test_a_task_that_comes_after_itself_is_told_once(more: str) -> None:
    (error,) = check_workflow(_file(f"{{name: a, command: x, outputs: [{{name: o, path: p}}], {more}}}"))[1]
    assert "after itself" in str(error) or "cannot read its own output 'o'" in str(error)


@pytest.mark.parametrize("value", ["!!python/object:os.system {}", "!mine x", "!!binary YQ==", "!!set {a}"])
def test_a_tag_that_means_nothing_is_told(value: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^workflow:2:34: invalid YAML: the tag '{value.split()[0]}' has no"):
        check_workflow(_file(f"{{name: a, command: x, env: {{V: {value}}}}}"))
    found = parse_workflow(_file("{name: a, command: x, env: {A: !!str x, B: 2001-01-01, C: =, D: ! y}}"))
    assert found.tasks[0].env == {"A": "x", "B": "2001-01-01", "C": "=", "D": "y"}


def test_several_documents_are_no_workflow() -> None:
    with pytest.raises(InvalidInputError, match="one document, not 2"):
        parse_workflow("tasks: []\n---\ntasks: []\n")


def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = workflow_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in (DESIGN_WORKFLOW, FULL):
        validator.validate(yaml.load(text.replace("\non:", '\n"on":'), Loader=yaml.SafeLoader))
    bad: list[Any] = [
        {},
        {"tasks": 3},
        {"tasks": [{"name": "a"}]},
        {"tasks": [{"name": "a", "command": "x", "foo": 1}]},
    ]
    assert not any(validator.is_valid(one) for one in bad)


@pytest.mark.parametrize(
    ("source", "name"),
    [("dir/my data.yaml", "my-data"), ("_x.yml", "x"), ("a.b.json", "a-b"), ("übung.yaml", "bung"), ("...", "")],
)
def test_the_name_of_a_file_is_that_of_its_workflow(source: str, name: str) -> None:
    assert name_of_file(source) == name


def test_items_are_called_as_they_are_where_that_is_a_name() -> None:
    assert [item_name(item) for item in ("a", "x=1.5", 3, 0.5)] == ["a", "x=1.5", "3", "0.5"]
    odd = ["a/b", "a b", "", ".", "..", "é", {"a": 1}, [1], None, "x" * 100]
    names = [item_name(item) for item in odd]
    assert len(set(names)) == len(odd)
    assert all("/" not in name and len(name) < 80 and name not in {"", ".", ".."} for name in names)


PARAMS = (
    Param("s", "string", "x"),
    Param("i", "integer", 1),
    Param("n", "number", 0.5),
    Param("b", "boolean", False),
    Param("l", "list", []),
    Param("r", required=True),
)


def test_values_of_params() -> None:
    told = {"s": "07", "i": "12", "n": "2", "b": "True", "l": '["a", 1]', "r": ""}
    assert param_values(PARAMS, told) == {"s": "07", "i": 12, "n": 2, "b": True, "l": ["a", 1], "r": ""}
    assert param_values(PARAMS, {"r": "y"})["l"] == []


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({}, "the param 'r' has no default: give it with --param r=VALUE"),
        ({"r": "", "x": ""}, "the workflow has no param 'x'"),
        ({"r": "", "i": "1.5"}, "the param 'i' is a whole number, which '1.5' is not"),
        ({"r": "", "b": "yes"}, "is true or false"),
        ({"r": "", "l": "a,b"}, 'write it as JSON, such as ["a", "b"]'),
        ({"r": "", "n": "x"}, "is a number"),
        ({"r": "a\0"}, "NUL"),
        ({"r": "a\udcff"}, "not valid UTF-8"),
    ],
)
def test_wrong_values_of_params(given: dict[str, str], what: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        param_values(PARAMS, given)
    assert what in str(caught.value)


VALUES = {"params.n": 3, "params.s": "abc", "params.l": ["a", 2], "params.b": True, "item": "x", "workflow.name": "w"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("not true", False),
        ("params.b", True),
        ("{{params.n}} == 3", True),
        ("params.n == 3.0", True),
        ("params.n == '3'", False),
        ("params.n != '3'", True),
        ("params.b == 1", False),
        ("params.n < 4 and params.n > 2 and params.n <= 3 and params.n >= 3", True),
        ("params.s < 'b' or false", True),
        ('params.s == "a\\"c" or params.s == \'abc\'', True),
        ("item in ['x', 'y']", True),
        ("item not in params.l", True),
        ("'b' in params.s", True),
        ("not (params.n == 3 and (item == 'y' or false))", True),
        ("true or false and false", True),
        ("[1, 'a'] == [1, 'a']", True),
        ("-1.5e1 < 0", True),
        ("workflow.name == 'w'", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    assert parse_condition(text).holds(lambda reference: VALUES[str(reference)]) is holds


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", 0),
        ("a ==", 4),
        ("a = b", 2),
        ("(a", 2),
        ("a b", 2),
        ("a == 1 == 2", 7),
        ("[1 2]", 3),
        ("a not b", 6),
        ("'x", 0),
    ],
)
def test_what_is_no_condition(text: str, offset: int) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_condition(text)
    assert caught.value.offset == offset


def test_a_condition_is_not_nested_without_end() -> None:
    with pytest.raises(TemplateError, match="too deeply"):
        parse_condition("(" * 1000 + "true" + ")" * 1000)


@pytest.mark.parametrize(
    "text", ["params.n", "params.n < 'a'", "1 in 2", "not 'x'", "params.n and true", "params.l < 1"]
)
def test_a_condition_that_has_no_truth(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_condition(text).holds(lambda reference: VALUES[str(reference)])


@given(st.text(st.sampled_from("ab.('\")[]{},=<>! 01andornotinx-\\"), max_size=30))
def test_any_text_is_a_condition_or_told(text: str) -> None:
    told: TemplateError | None = None
    found: tuple[Reference, ...] = ()
    try:
        found = parse_condition(text).references
    except TemplateError as error:
        told = error
    assert told is None or 0 <= told.offset <= len(text)
    assert all(isinstance(one, Reference) for one in found)


PIECES = st.sampled_from(
    [
        *DESIGN_WORKFLOW.splitlines(),
        *FULL.splitlines(),
        "- x",
        "  a: {{b}}",
        "tasks: 3",
        "  - {name: a, for_each: 3, when: 4}",
    ]
)


@given(st.lists(PIECES, max_size=12).map("\n".join))
def test_any_file_is_a_workflow_or_told(text: str) -> None:
    found: Workflow | None = None
    try:
        found, errors = check_workflow(text, name="w.yaml")
    except InvalidInputError as error:
        errors = [error]
    assert isinstance(found, Workflow) != bool(errors)
    assert all(str(error).startswith("w.yaml:") for error in errors)


def test_every_example_is_valid() -> None:
    validator = jsonschema.Draft202012Validator(workflow_schema())
    for file in (Path(__file__).parents[2] / "examples").glob("**/workflow*.y*ml"):
        validator.validate(yaml.load(file.read_text().replace("\non:", '\n"on":'), Loader=yaml.SafeLoader))
        assert check_workflow(file.read_text(), name=str(file))[1] == []


@pytest.mark.parametrize("source", ["{{tasks.a.outputs.o}}", " {{ tasks.a.outputs.o.path }} "])
def test_the_source_of_an_input_may_be_a_reference(source: str) -> None:
    text = _file(
        "{name: a, command: x, outputs: [{name: o, path: x}]}",
        f'{{name: b, command: x, inputs: [{{name: i, from: "{source}"}}]}}',
    )
    (one,) = parse_workflow(text).task("b").inputs
    assert (one.source, one.path) == (FromTask("a", "o"), "x")


@pytest.mark.parametrize(
    ("items", "when"),
    [
        ("[b, 1]", 'item == "b" or item > 1'),
        ("[{k: 1}, {j: 2}]", "item.k > 0"),
        ("'{{params.l}}'", "item.k and item > params.n"),
        ("[true]", "item and params.s in params.l and params.s == 1"),
    ],
)
def test_conditions_that_may_hold_are_taken(items: str, when: str) -> None:
    text = _file(f"{{name: a, command: x, for_each: {items}, when: '{when}'}}", top=_PARAMS)
    assert check_workflow(text)[1] == []


@pytest.mark.parametrize("source", ["[o]", "3", "o", "{{tasks.a.outputs}}", "{task: [a]}", "{{x"])
def test_a_source_that_is_none_is_one_error(source: str) -> None:
    quoted = f'"{source}"' if "{{" in source else source
    text = _file(A, f"{{name: b, command: x, inputs: [{{name: i, from: {quoted}}}]}}")
    (error,) = check_workflow(text)[1]
    assert str(error).startswith("workflow:3:")


@pytest.mark.parametrize("output", ["workflow", "out", "after_c", "schedule"])
def test_an_output_may_have_the_name_of_an_input_that_tasks_have_by_themselves(output: str) -> None:
    text = _file(
        f"{{name: a, command: x, outputs: [{{name: {output}, path: x}}]}}",
        f"{{name: b, command: 'cat {{{{tasks.a.outputs.{output}.path}}}}', after: [c]}}",
        "{name: c, command: x}",
    )
    found = parse_workflow(text)
    (one,) = found.task("b").inputs
    assert (one.name, one.source) == (f"a-{output}", FromTask("a", output))
    assert parse_specs(spec_json(compile_task(found, found.task("b"))))


_EVERYWHERE: dict[str, Any] = {
    "params": {"n": 3, "p": {"type": "integer"}},
    "defaults": {"outputs": {}, "resources": {}, "secrets": [{"name": "s"}]},
    "keep": {"storage_class_after": {}},
    "on": {},
    "tasks": [
        {"name": "a", "command": "x", "outputs": [{"name": "d", "path": "d", "type": "directory", "keep": {}}]},
        {
            "name": "b",
            "command": "cat {{tasks.a.outputs.d.path}}",
            "inputs": [{"name": "i", "from": {"task": "a", "output": "d"}}, {"name": "u", "uri": "file:///x"}],
            "for_each": {"input": "i"},
            "resource_limits": {"gpu": {}},
            "outputs": [{"name": "o", "path": "x", "s3": "s3://bucket/"}],
        },
    ],
}
_OF_EVERY_KIND: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        2.5,
        10**400,
        "",
        "x",
        "\0",
        "a/../b",
        "..",
        "/",
        "{{",
        "{{params.n}}",
        "{{tasks.a.outputs.d}}",
    ),
    *([], [None], ["x"], [["x"]], [{"name": "x"}], [3], {}, {"x": 1}, {"name": ["x"]}, {"": {}}),
]


def _slots(value: Any, kind: str) -> list[tuple[dict[str, Any], str]]:
    """Return each mapping of a document with each field that it may have, by the table."""
    known = TABLES[kind]
    found = [(value, name) for name in known.read]
    for name, field in known.read.items():
        of = field.of or {"from": "from", "for_each": "for_each"}.get(name, "")
        below = value.get(name)
        for one in below if isinstance(below, list) else [below]:
            found += _slots(one, of) if of and isinstance(one, dict) else []
    for param in value["params"].values() if kind == "workflow" else ():
        found += _slots(param, "param") if isinstance(param, dict) else []
    return found


def _is_workflow_or_told(text: str) -> None:
    """Check that a file compiles, or that all that is wrong with it has a place."""
    try:
        found, errors = check_workflow(text)
    except InvalidInputError as error:
        found, errors = None, [error]
    assert all(re.match(r"workflow:\d+:\d+: ", str(error)) for error in errors), errors
    assert (found is None) == bool(errors)
    assert found is None or [compile_task(found, task) for task in found.tasks]


def test_no_value_of_any_field_is_an_internal_error() -> None:
    document = json.loads(json.dumps(_EVERYWHERE))
    slots = _slots(document, "workflow")
    assert len(slots) > 150
    for value, name in slots:
        had = dict(value)
        for other in _OF_EVERY_KIND:
            value[name] = other
            text = json.dumps(document)
            try:
                _is_workflow_or_told(text)
            except Exception as error:
                raise AssertionError(f"{name}: {other!r}") from error
        value.clear()
        value.update(had)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.integers(min_value=0), _JSON)
def test_any_json_in_any_field_is_a_workflow_or_told(which: int, value: Any) -> None:
    document = json.loads(json.dumps(_EVERYWHERE))
    slots = _slots(document, "workflow")
    mapping, name = slots[which % len(slots)]
    mapping[name] = value
    _is_workflow_or_told(json.dumps(document))
