"""Spec files: what is taken, what is noted, what is refused, and where the message points."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import InvalidInputError
from pfs.model import Trigger
from pps.pipelines.defaults import Defaults
from pps.spec import (
    CrossInput,
    GroupInput,
    JoinInput,
    PfsInput,
    Reprocess,
    SecretUse,
    Service,
    Spec,
    Transform,
    UnionInput,
    parse_specs,
)
from pps.spec.delivery import Levers
from pps.spec.egress import place_of
from pps.spec.fields import duration_s, snake
from pps.spec.input import leaves
from pps.spec.known import (
    INPUT,
    INPUT_KINDS_GONE,
    PFS,
    PFS_REFUSED,
    PIPELINE_NOTED,
    PIPELINE_REFUSED,
    TRANSFORM_NOTED,
    TRANSFORM_REFUSED,
)
from pps.spec.node import Node
from pps.spec.parse import check_specs
from pps.spec.task import ArtifactIn, ArtifactOut, Task
from pps.spec.types import Egress, Resources, SqlEgress
from pps.spec.write import spec_json

EDGES = """{
  "pipeline": {"name": "edges"},
  "description": "edge detection",
  "transform": {"cmd": ["python3", "/edges.py"], "image": "pachyderm/opencv"},
  "input": {"pfs": {"repo": "images", "glob": "/*"}}
}
"""


def one(text: str, source: str = "p.json") -> Spec:
    (spec,) = parse_specs(text, name=source)
    return spec


def refused(text: str, source: str = "p.json") -> str:
    with pytest.raises(InvalidInputError) as error:
        parse_specs(text, name=source)
    message = str(error.value)
    assert "\n" not in message
    return message


def with_field(extra: str) -> str:
    return EDGES.replace('"description": "edge detection",', extra)


def test_the_spec_of_pachyderms_documentation_is_taken() -> None:
    spec = one(EDGES)
    assert spec.name == "edges"
    assert spec.transform.cmd == ("python3", "/edges.py")
    assert spec.input == PfsInput("images", "images", "master", "/*")
    assert (spec.output_branch, spec.datum_tries, spec.reprocess) == ("master", 3, Reprocess.UNTIL_SUCCESS)
    assert json.loads(spec.source) == json.loads(EDGES)
    assert len(spec.notes) == 1
    assert "pachyderm/opencv" in spec.notes[0]


@pytest.mark.row("2.1 spellings", "2.1 numbers as texts", "2.2 parallelism_spec")
def test_camel_case_and_yaml_mean_the_same() -> None:
    text = """
pipeline: {name: edges}
description: edge detection
transform:
  cmd: [python3, /edges.py]
  image: pachyderm/opencv
  acceptReturnCode: [3]
input:
  pfs: {repo: images, glob: /*, emptyFiles: true}
datumTries: "5"
jobTimeout: 1h30m
datumSetSpec: {number: 4}
parallelismSpec: {constant: 2}
"""
    snaked = one(text.replace("emptyFiles", "empty_files").replace("datumTries", "datum_tries"), "p.yaml")
    spec = one(text, "p.yaml")
    assert spec == snaked
    assert (spec.datum_tries, spec.job_timeout_s, spec.datum_set.number, spec.parallelism) == (5, 5400.0, 4, 2)
    assert spec.transform.accept_return_code == (3,)
    assert isinstance(spec.input, PfsInput)
    assert spec.input.empty_files


def test_a_return_code_that_no_command_has_is_noted() -> None:
    text = 'pipeline: {name: p}\ntransform: {cmd: ["true"], accept_return_code: [255, 300]}\n'
    text += "input: {pfs: {repo: a, glob: /}}\n"
    assert one(text, "p.yaml").notes == ("transform.accept_return_code: no command ends with 300: 255 is the last",)


@pytest.mark.parametrize("between", ["\n", "\n---\n", "\r\n---\r\n\r\n"])
@pytest.mark.row("2.1 documents")
def test_several_json_documents(between: str) -> None:
    second = EDGES.replace('"name": "edges"', '"name": "montage"')
    assert [spec.name for spec in parse_specs(EDGES + between + second, name="p.json")] == ["edges", "montage"]


@pytest.mark.row("2.1 documents")
def test_lists_and_yaml_documents() -> None:
    item = "- pipeline: {name: %s}\n  transform: {cmd: [ls]}\n  input: {pfs: {repo: a, glob: /}}\n"
    text = "---\n" + item % "a1" + item % "b1" + "---\n" + item % "c1" + "---\n"
    assert [spec.name for spec in parse_specs(text, name="p.yml")] == ["a1", "b1", "c1"]


@pytest.mark.row("2.1 last commas")
def test_json_may_have_a_comma_behind_the_last_item() -> None:
    assert one(EDGES.replace("]", ", ]").replace("}", "\n,\n}")).source == one(EDGES).source


def test_json_may_be_indented_with_tabs() -> None:
    assert one(EDGES.replace("  ", "\t")).name == "edges"


@pytest.mark.row("2.3 order")
def test_cross_is_in_the_order_of_names() -> None:
    one_leaf = '{{"pfs": {{"repo": "{}", "glob": "/"}}}}'
    zebra, b, a = (one_leaf.format(name) for name in ("zebra", "b", "a"))
    text = with_field("").replace(
        '{"pfs": {"repo": "images", "glob": "/*"}}',
        f'{{"cross": [{zebra}, {{"cross": [{b}, {a}]}}]}}',
    )
    spec = one(text)
    assert isinstance(spec.input, CrossInput)
    inner, last = spec.input.children
    assert isinstance(inner, CrossInput)
    assert [child.name for child in (*inner.children, last) if isinstance(child, PfsInput)] == ["a", "b", "zebra"]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{"pipeline": {"name": "a"},\n  "transform": }', "p.json:2:16", "invalid JSON: expected a value"),
        ('{"pipeline": {"name": "a"}', "p.json:1:27", "',' or '}'"),
        ('{"pipeline": {"name": "a"},,}', "p.json:1:28", "a key in double quotes"),
        ('{"pipeline": {,}}', "p.json:1:15", "a key in double quotes"),
        ('{"pipeline": [,]}', "p.json:1:15", "expected a value"),
        ('{"pipeline": {"name": "a\n"}}', "p.json:1:", "invalid control character"),
        ("", "p.json", "no pipeline"),
        ("nonsense", "p.json:1:1", "expected a value"),
        ("[" * 1000, "p.json:1:201", "nested too deeply"),
    ],
)
def test_bad_json_says_line_and_column(text: str, where: str, what: str) -> None:
    message = refused(text)
    assert message.startswith(where)
    assert what in message


def test_bad_yaml_says_line_and_column() -> None:
    assert refused("pipeline: {name: a\ntransform: b", "p.yaml").startswith("p.yaml:2:")
    assert "contains itself" in refused("a: &x [*x]\n", "p.yaml")
    assert "given twice" in refused("a: 1\na: 2\n", "p.yaml")


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        (
            '"description": "a", "trasform": {},',
            "p.json:3:23: unknown field 'trasform' in pipeline spec: did you mean 'transform'?",
        ),
        ('"datumTrys": 4,', "p.json:3:3: unknown field 'datumTrys' in pipeline spec: did you mean 'datumTries'?"),
        ('"egress": {"URL": "gs://x"},', "p.json:3:14: egress to 'gs://x' is not supported: give s3://bucket/path"),
        ('"egress": {},', "egress needs a URL"),
        ('"egress": [{"url": "s3://b"}, {"url": "s3://"}],', "p.json:3:34: 's3://' should name a bucket"),
        ('"egress": ["x"],', "egress must be a mapping, not a string"),
        ('"egress": {"url": "s3://b/{{x.y}}"},', "p.json:3:14: {{x.y}} in the field 'url' is not known here"),
        ('"egress": {"url": "s3://b/{{file.name}}"},', "{{file.name}} in the field 'url' is not known here"),
        ('"egress": {"url": "s3://b", "key": "{{file.size}}"},', "{{file.size}} in the field 'key' is not known here"),
        ('"egress": {"url": "s3://b", "key": "{{"},', "without"),
        ('"egress": {"url": "s3://b", "key": "a\\nb{{file.path}}"},', "the field 'key' has control characters"),
        ('"egress": {"url": "s3://b/\\u007f"},', "the field 'url' has control characters"),
        (
            '"egress": [{"url": "s3://b", "key": "{{job.id}}", "path": "a"}, {"url": "s3://b", "key": "/{{job.id}}"}],',
            "p.json:3:68: another egress sends to the same names there",
        ),
        ('"egress": [{"url": "s3://b"}, {"url": "s3://b/", "acl": "private"}],', "p.json:3:34: another egress sends"),
        ('"egress": {"url": "s3://b", "content_type": "x"},', "'x' is no media type"),
        ('"egress": {"url": "s3://b", "metadata": {"a b": "c"}},', "invalid metadata name 'a b'"),
        ('"egress": {"url": "s3://b", "acl": "x"},', "the field 'acl' must be one of private"),
        ('"egress": {"url": "s3://b", "endpoint": "http://a:b@c"},', "an endpoint is written as in"),
        ('"egress": {"url": "s3://b", "archive": "tar.gz", "archive_level": 10},', "1 to 9, not 10"),
        ('"egress": {"url": "s3://b", "storage_class": "glacier"},', "written in capitals"),
        ('"egress": {"url": "s3://b", "path": "/../x"},', "invalid path"),
        ('"egress": {"sql_database": {"url": "sqlite://"}, "tags": {"a": "b"}},', "'tags' is for files"),
        ('"egress": {"sql_database": {"url": "x"}},', "sql_database needs a url: postgresql://user@host"),
        ('"egress": {"sql_database": {"url": "mysql://u:p@h/d"}},', "has a password, which everybody could read"),
        ('"egress": {"sql_database": {"url": "mysql://u@h/d"}},', "sql_database needs a secret"),
        (
            '"egress": {"sql_database": {"url": "sqlite://", "secret": {"name": "s"}}},',
            "'key' of sql secret is missing",
        ),
        ('"egress": {"sql_database": {"url": "sqlite://", "file_format": {"type": "xml"}}},', "CSV"),
        ('"egress": {"URL": "s3://x", "object_storage": {"url": "s3://x"}},', "egress goes to one place"),
        ('"egress": {"object_storage": {"url": "s3://x", "secret": {"name": "/"}}},', "invalid secret name '/'"),
        ('"datum_tries": -1,', "p.json:3:18: the field 'datum_tries' of pipeline spec must be a whole number"),
        ('"datum_tries": true,', "not true or false"),
        ('"job_timeout": "5 minutes",', 'must be a duration such as "300s"'),
        ('"reprocess_spec": "never",', "must be until_success or every_job, not 'never'"),
        ('"output_branch": "a/b",', "p.json:3:3: invalid branch name 'a/b'"),
        ('"datum_set_spec": {"nmber": 3},', "did you mean 'number'?"),
        ('"description": [],', "must be a string, not a list"),
        ('"description": "a", "description": "b",', "p.json:3:23: the field 'description' is given twice"),
        ('"job_timeout": "3s", "jobTimeout": "3s",', "p.json:3:24: the field 'job_timeout' of pipeline spec is given"),
    ],
)
def test_bad_fields_say_where_and_what(extra: str, what: str) -> None:
    assert what in refused(with_field(extra))


@pytest.mark.parametrize(
    "egress", ['[{"url": "s3://b", "key": "k"}, {"url": "s3://b", "key": "k"}]', '{"url": "s3://b", "key": "a\\nb"}']
)
def test_what_was_stored_before_it_was_refused_can_be_read(egress: str) -> None:
    text = with_field(f'"egress": {egress},')
    with pytest.raises(InvalidInputError):
        parse_specs(text)
    assert len(parse_specs(text, stored=True)) == 1


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("{}", "the input has no kind: use one of pfs, cron, cross, union, join, group"),
        ('{"union": []}', "p.json:5:13: the field 'union' of input is empty: list the inputs to combine"),
        ('{"cron": {"name": "tick"}}', "the field 'spec' of cron: '' is no schedule"),
        (
            '{"cron": {"name": "tick", "spec": "@every 1m30x"}}',
            "the field 'spec' of cron: '@every 1m30x' is no schedule",
        ),
        ('{"cron": {"name": "tick", "spec": "0 5 10 * * *"}}', "is no schedule (it has 6 fields): write five"),
        ('{"cron": {"spec": "@daily"}}', "the field 'name' of cron is missing"),
        ('{"cron": {"name": "t", "spec": "@daily", "start": "now"}}', "must be like 2026-01-31T00:00:00Z, not 'now'"),
        ('{"join": [{"cron": {"name": "t", "spec": "@daily"}}]}', "a cron input cannot be in a join"),
        ('{"atom": {}}', "does not exist any more: use pfs"),
        ('{"pfs": {"repo": "a", "glob": "/"}, "cross": [{}]}', "several kinds, pfs and cross"),
        ('{"pfs": {"repo": "a"}}', "the field 'glob' of pfs is missing"),
        ('{"pfs": {"glob": "/"}}', "the field 'repo' of pfs is missing"),
        ('{"pfs": {"repo": "a/b", "glob": "/"}}', "invalid repo name 'a/b'"),
        ('{"pfs": {"repo": "out", "glob": "/"}}', "an input cannot be called 'out'"),
        ('{"pfs": {"repo": "a", "glob": "/[a"}}', "p.json:5:34"),
        (
            '{"pfs": {"repo": "a", "glob": "/", "lazy": true, "empty_files": true}}',
            "an input cannot be lazy and empty_files",
        ),
        ('{"pfs": {"repo": "a", "glob": "/", "commit": "ab"}}', "a pipeline follows a branch"),
        ('{"pfs": {"repo": "a", "glob": "/", "repo_type": "meta"}}', "cannot be read, only 'user'"),
        (
            '{"cross": [{"pfs": {"repo": "a", "glob": "/"}}, {"pfs": {"repo": "a", "glob": "/*"}}]}',
            "two inputs have the name 'a'",
        ),
        (
            '{"cross": [{"union": [%s, %s]}, %s]}' % (('{"pfs": {"repo": "a", "glob": "/"}}',) * 3),
            "two inputs have the name 'a'",
        ),
        ('{"join": [{"pfs": {"repo": "a", "glob": "/(*)"}}]}', "the field 'join_on' of pfs is missing"),
        ('{"join": [{"pfs": {"repo": "a", "glob": "/*", "join_on": ""}}]}', "the field 'join_on' of pfs is missing"),
        ('{"join": [{"pfs": {"repo": "a", "glob": "/(*)", "join_on": "$2"}}]}', "names $2, but the glob '/(*)'"),
        ('{"join": [{"pfs": {"repo": "a", "glob": "/(*)", "join_on": "1"}}]}', "all are joined with all: write"),
        ('{"join": [{"pfs": {"repo": "a", "glob": "/(*)", "join_on": "$$"}}]}', "is '$$' for every file"),
        ('{"group": [{"pfs": {"repo": "a", "glob": "/(*)", "join_on": "$1"}}]}', "the field 'group_by' of pfs is"),
        (
            '{"group": [{"join": [{"pfs": {"repo": "a", "glob": "/(*)", "group_by": "$1"}}]}]}',
            "the field 'join_on' of pfs is missing",
        ),
    ],
)
@pytest.mark.row(
    "2.3 one kind",
    "2.3 reserved names",
    "2.3 repo called out",
    "2.3 unique names",
    "2.3 names in a union",
    "2.3 pfs.repo",
    "2.3 pfs.glob",
    "2.3 pfs.commit",
    "2.3 cron.name",
)
def test_bad_inputs_say_where_and_what(given: str, what: str) -> None:
    assert what in refused(EDGES.replace('{"pfs": {"repo": "images", "glob": "/*"}}', given))


@pytest.mark.row("2.3 cron.spec")
def test_a_schedule_that_never_ticks_is_noted() -> None:
    def notes(spec: str) -> tuple[str, ...]:
        given = json.dumps({"cron": {"name": "c", "spec": spec}})
        return one(document().replace('{"pfs": {"repo": "a", "glob": "/"}}', given)).notes

    assert notes("0 0 30 2 *") == ("cron.spec: '0 0 30 2 *' never ticks, as there is no such day",)
    assert notes("@never") == notes("CRON_TZ=Asia/Tokyo 0 6 * * *") == notes("@every 1.5h") == ()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (', "DatumTries": 4', "unknown field 'DatumTries' in pipeline spec: did you mean 'datumTries'?"),
        (', "Datum_tries": 4', "unknown field 'Datum_tries' in pipeline spec: did you mean 'datum_tries'?"),
        (', "SALT": "4"', "unknown field 'SALT' in pipeline spec: did you mean 'salt'?"),
        (', "x": 4', "unknown field 'x' in pipeline spec: `pps schema` shows which there are"),
        (', "pod_patch": "[{"', "the field 'pod_patch' of pipeline spec must be JSON, though it has no effect here"),
        (', "egress": {"URL": "s3:///x"}', "should name a bucket: s3://bucket/path"),
        (', "egress": {"URL": "s3://AK:pw@b/x"}', "should name a bucket: s3://bucket/path"),
        (
            ', "egress": {"sql_database": {"url": "sqlite:///x", "columns": ["a"], "file_format": {"columns": ["a"]}}}',
            "sql_database has columns twice",
        ),
    ],
)
@pytest.mark.row("2.1 unknown fields", "2.1 spellings")
def test_what_is_refused_beside_the_rest(more: str, what: str) -> None:
    for base in (None, Defaults().base()):
        with pytest.raises(InvalidInputError) as error:
            parse_specs(document(more=more), name="p.json", base=base)
        assert what in str(error.value)


def test_unknown_fields_are_called_as_they_are_written() -> None:
    text = document().replace('"glob"', '"emtpyFiles": true, "glob"')
    for base in (None, Defaults().base()):
        with pytest.raises(InvalidInputError, match=r"unknown field 'emtpyFiles' in pfs: did you mean 'emptyFiles'\?"):
            parse_specs(text, base=base)


@pytest.mark.row("2.3 unique names")
def test_the_second_input_of_a_name_is_shown() -> None:
    text = """\
pipeline: {name: p}
transform: {cmd: [x]}
input:
  cross:
    - pfs: {repo: a, glob: /}
    - union:
        - pfs: {repo: b, glob: /, name: a}
        - pfs: {repo: c, glob: /}
"""
    assert refused(text, "p.yaml").startswith("p.yaml:7:35: two inputs have the name 'a'")


def test_all_bad_variables_are_told() -> None:
    text = document('"cmd": ["x"], "env": {"": "x", "A=": "y", "B": [], "C": "c"}, "secrets": []')
    errors = check_specs(text, name="p.json")[1]
    assert [str(error).split(":")[2] for error in errors] == ["65", "74", "90"]


@pytest.mark.parametrize("folder", ["../../etc", "..", "a/../../b"])
def test_a_working_dir_stays_in_the_code(folder: str) -> None:
    assert "leads out of the code" in refused(document(f'"cmd": ["x"], "working_dir": "{folder}"'))
    assert one(document('"cmd": ["x"], "working_dir": "a/../b"')).transform.working_dir == "a/../b"


def test_columns_beside_the_format_are_those_of_the_format() -> None:
    database = '{"url": "sqlite:///x", "columns": ["a", "b"]}'
    spec = one(document(more=f', "egress": {{"sql_database": {database}}}'))
    (egress,) = spec.egresses
    assert isinstance(egress, SqlEgress)
    assert egress.columns == ("a", "b")
    assert spec.notes == ("sql_database.columns: taken as those of file_format, where they belong",)


def test_a_group_of_everything_is_noted() -> None:
    given = '{"group": [{"pfs": {"repo": "a", "glob": "/(*)", "group_by": "1"}}]}'
    spec = one(document().replace('{"pfs": {"repo": "a", "glob": "/"}}', given))
    assert spec.notes == ("pfs.group_by: '1' is the same for every file: all are in one group",)


def test_a_misspelt_field_is_unknown_before_another_is_missing() -> None:
    message = refused(EDGES.replace('"transform"', '"trasform"'))
    assert message == "p.json:4:3: unknown field 'trasform' in pipeline spec: did you mean 'transform'?"


@pytest.mark.row("2.2 input")
def test_missing_parts_are_named() -> None:
    assert "'pipeline' is missing" in refused("{}")
    assert "'transform' is missing" in refused('{"pipeline": {"name": "a"}}')
    assert "'cmd' of transform is missing" in refused('{"pipeline": {"name": "a"}, "transform": {}, "input": 1}')
    assert "'input' is missing" in refused('{"pipeline": {"name": "a"}, "transform": {"cmd": ["ls"]}}')
    assert "given twice" in refused(EDGES + EDGES)


def test_fields_of_kubernetes_are_noted() -> None:
    spec = one(with_field('"podSpec": "{}", "autoscaling": true, "tolerations": [{"key": "a"}], "standby": false,'))
    assert [note.split(":")[0] for note in spec.notes] == [
        "pipeline spec.pod_spec",
        "pipeline spec.autoscaling",
        "pipeline spec.tolerations",
        "transform.image",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300s", 300), ("1.5s", 1.5), ("5m", 300), ("1h30m", 5400), ("2h", 7200), ("1h1m1s", 3661)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m5", "1s1m", "-1s", "1d", "1h 30m"])
def test_no_durations(text: str) -> None:
    assert duration_s(text) is None


def test_names_become_snake_case() -> None:
    names = ["s3Out", "URL", "datumSetSpec", "job_timeout", "repoType"]
    assert [snake(name) for name in names] == ["s3_out", "url", "datum_set_spec", "job_timeout", "repo_type"]


def test_every_known_field_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs/pipeline-spec.md").read_text()
    known = {**PIPELINE_NOTED, **PIPELINE_REFUSED, **TRANSFORM_NOTED, **TRANSFORM_REFUSED, **PFS_REFUSED}
    names = (*known, *PFS.read, *INPUT.read, *INPUT_KINDS_GONE)
    assert [name for name in names if f"`{name}" not in text] == []


TASK = '"task": {"workflow": "w", "name": "t", %s}'


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('"outputs": [{"name": "_o", "path": "x"}]', "'_o' cannot name an output"),
        ('"outputs": [{"name": "o", "path": "x"}, {"name": "o", "path": "y"}]', "the output 'o' is given twice"),
        ('"outputs": [{"name": "o", "path": "../x"}]', "leads out of the working directory"),
        ('"outputs": [{"name": "o", "path": "/etc/x"}]', "is in /etc, which is of the system"),
        ('"outputs": [{"name": "o", "path": "/x"}]', "has no folder but the root"),
        ('"outputs": [{"name": "o", "path": "a/"}]', "ends in '/'"),
        ('"outputs": [{"name": "o", "path": "/tmp", "type": "directory"}]', "the folder of all temporary files"),
        ('"outputs": [{"name": "o", "path": "[", "type": "glob"}]', "invalid glob pattern"),
        ('"outputs": [{"name": "o", "path": "x", "type": "files"}]', "the type 'files' of an artifact is none"),
        ('"outputs": [{"name": "o", "path": "x", "missing": "no"}]', "fail, warn or ignore"),
        ('"outputs": [{"name": "o", "path": "{{secrets.x}}"}]', "{{secrets.x}} cannot be rendered"),
        ('"outputs": [{"name": "o", "path": "x", "to": "{{params}}"}]', "{{params}} cannot be rendered"),
        ('"outputs": [{"name": "o", "path": "{{x"}]', '"{{" without "}}"'),
        ('"inputs": [{"name": "b", "path": "x"}]', "the artifact input 'b' is none of the pipeline's inputs"),
        ('"each": "b"', "the task's input 'b' is none of the pipeline's inputs"),
        ('"inputs": 3', "must be a list"),
    ],
)
def test_what_is_wrong_with_a_task(more: str, what: str) -> None:
    given = '"input": {"pfs": {"repo": "w", "name": "workflow", "glob": "/tasks/t/*"}}'
    transform = '{"cmd": ["x"], ' + TASK % more + "}"
    told = refused('{"pipeline": {"name": "p"}, "transform": ' + transform + ", " + given + "}")
    assert what in told


def _text(*, min_size: int = 0, max_size: int) -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(characters, min_size=min_size, max_size=max_size)


_keys = _text(min_size=1, max_size=5).filter(lambda key: "=" not in key)
_names = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True).filter(lambda name: name != "out")
_texts = st.lists(_text(max_size=8), max_size=3).map(tuple)
_leaves = st.builds(PfsInput, _names, _names, _names, st.just("/*"), st.booleans(), st.booleans())
_s3_leaves = st.builds(PfsInput, _names, _names, _names, reference=st.booleans(), s3=st.just(True))


def _called_x(leaf: PfsInput) -> PfsInput:
    return replace(leaf, name="x")


def _keyed(name: str) -> st.SearchStrategy[PfsInput]:
    """A leaf as it is inside a join inside a group."""
    texts = {"join_on": st.just("$1"), "outer_join": st.booleans(), "group_by": st.sampled_from(["$1", "x$1"])}
    return st.builds(PfsInput, st.just(name), _names, glob=st.just("/(*)"), lazy=st.booleans(), **texts)


_triggers = st.builds(
    Trigger,
    branch=_names,
    size_bytes=st.none() | st.integers(1, 9),
    commits=st.integers(1, 3),
    rate=st.sampled_from(["", "@daily"]),
    all=st.booleans(),
)
_triggered = st.builds(
    lambda leaf, never, trigger: replace(leaf, never=never, branch=f"{trigger.branch}x", trigger=trigger),
    _leaves,
    st.booleans(),
    _triggers,
)
_joins = st.builds(lambda *sides: GroupInput((JoinInput(sides),)), _keyed("a"), _keyed("b"))
_inputs = (
    _leaves
    | _triggered
    | _joins
    | _s3_leaves
    | st.builds(CrossInput, st.tuples(_s3_leaves.filter(lambda leaf: leaf.name < "x"), _s3_leaves.map(_called_x)))
    | st.builds(lambda one, two: UnionInput((one, two)), _leaves, _leaves).filter(
        lambda node: [leaf.name for leaf in leaves(node)] == sorted(leaf.name for leaf in leaves(node))
    )
)
_secrets = st.builds(SecretUse, _names, st.just("k"), st.sampled_from(["v1", "v2"]), st.just("")) | st.builds(
    SecretUse, _names, st.sampled_from(["", "k"]), st.just(""), st.sampled_from(["/a", "/b/c"])
)
_resources = st.builds(
    Resources,
    st.floats(0, 64),
    st.integers(0, 1 << 50),
    st.integers(0, 1 << 50),
    st.integers(0, 8),
    st.sampled_from(["", "nvidia.com/gpu"]),
)


def _batched(spec: Spec, batched: bool) -> Spec:
    over_s3 = spec.s3_out or any(leaf.s3 for leaf in leaves(spec.input))
    return replace(spec, transform=replace(spec.transform, datum_batching=batched and not over_s3))


_headers = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=5)
_meta = st.dictionaries(st.sampled_from(["a", "Run-id", "x_1"]), st.sampled_from(["v", "{{job.id}} {{file.stem}}"]))
_levers = st.builds(
    Levers,
    key=st.sampled_from(["", "{{params.x}}/{{run.date}}/{{file.path}}"]),
    archive=st.sampled_from(["none", "tar", "zip"]),
    content_type=st.sampled_from(["", "text/csv", "text/{{file.suffix}}"]),
    content_encoding=st.sampled_from(["", "gzip"]),
    cache_control=_headers.filter(lambda text: "{{" not in text),
    metadata=_meta,
    tags=_meta,
    storage_class=st.sampled_from(["", "STANDARD_IA"]),
    acl=st.sampled_from(["", "private"]),
    encryption=st.sampled_from(["", "AES256", "aws:kms"]),
    endpoint=st.sampled_from(["", "https://x:9000"]),
    region=_headers,
    profile=_headers,
    addressing=st.sampled_from(["", "path", "virtual"]),
)


def _place(one: Egress | SqlEgress) -> object:
    return place_of(one) if isinstance(one, Egress) else id(one)


_egresses = (
    st.builds(Egress, st.sampled_from(["s3://b", "s3://b/c d/", "file:///x"]), _names | st.just(""))
    | st.builds(Egress, st.just("s3://b/{{job.id}}"), path=st.sampled_from(["", "/a/b"]), levers=_levers)
    | st.builds(
        SqlEgress,
        st.sampled_from(["mysql://u@h/d", "sqlite:////x"]),
        st.sampled_from(["csv", "json", "parquet"]),
        st.sampled_from([(), ("a", "b c")]),
        _names,
        st.just("k"),
    )
)
_unbatched = st.builds(
    Spec,
    name=_names.filter(lambda name: name[0] not in "-_"),
    transform=st.builds(
        Transform,
        cmd=st.tuples(_text(min_size=1, max_size=8), _text(max_size=8)),
        stdin=_texts,
        err_cmd=_texts,
        env=st.dictionaries(_keys, _text(max_size=5), max_size=3),
        accept_return_code=st.lists(st.integers(1, 255), max_size=3).map(tuple),
        working_dir=st.none() | _text(min_size=1, max_size=5),
        secrets=st.lists(_secrets, max_size=2, unique_by=lambda use: use.env_var or use.mount_path).map(tuple),
    ),
    input=_inputs,
    description=_text(max_size=10),
    output_branch=_names,
    datum_tries=st.integers(1, 9),
    datum_timeout_s=st.none() | st.floats(0.5, 1e6),
    parallelism=st.integers(0, 9),
    reprocess=st.sampled_from(Reprocess),
    salt=_text(max_size=5),
    s3_out=st.booleans(),
    egresses=st.lists(_egresses, max_size=3, unique_by=_place).map(tuple),
    requests=_resources,
    limits=_resources,
)
specs = st.builds(_batched, _unbatched, st.booleans())


_services = st.builds(
    Service,
    internal_port=st.integers(1, 65535),
    external_port=st.integers(0, 65535),
    ip=st.sampled_from(["", "127.0.0.2"]),
    type=st.sampled_from(["NodePort", "ClusterIP", "LoadBalancer"]),
)
run_on = st.builds(
    lambda spec, service, spout: replace(
        spec,
        parallelism=spec.parallelism % 2,
        s3_out=False,
        service=service,
        spout=spout,
        input=UnionInput(()) if spout else spec.input,
    ),
    specs,
    st.none() | _services,
    st.booleans(),
)


_artifacts_in = st.builds(
    ArtifactIn,
    st.sampled_from(["a", "workflow"]),
    st.sampled_from(["x", "x/y/", "/tmp/{{params.p}}", "/data/x.csv"]),
    st.sampled_from(["file", "directory", "any"]),
    st.booleans(),
    st.sampled_from(["", "/out"]),
)
_artifacts_out = st.builds(
    ArtifactOut,
    st.sampled_from(["o", "p-2"]),
    st.sampled_from(["x", "/tmp/y", "{{item}}"]),
    st.sampled_from(["file", "directory", "glob"]),
    st.sampled_from(["", "{{item}}/"]),
    st.sampled_from(["fail", "warn", "ignore"]),
    st.sampled_from(["", "text/csv"]),
    st.dictionaries(_keys.filter(lambda key: "{" not in key), st.sampled_from(["v", "{{job.id}}"]), max_size=2),
)
_tasks = st.builds(
    Task,
    _names,
    _names,
    st.booleans(),
    st.sampled_from(["", "a"]),
    st.sampled_from(["", "/out"]),
    st.lists(_artifacts_in, max_size=2).map(tuple),
    st.lists(_artifacts_out, max_size=2, unique_by=lambda one: one.name).map(tuple),
)
tasked = st.builds(
    lambda spec, task: replace(
        spec,
        s3_out=False,
        input=CrossInput((PfsInput("a", "r", glob="/*"), PfsInput("workflow", "w", glob="/tasks/t/*"))),
        transform=replace(
            spec.transform,
            cmd=("sh", "-c", "x {{ params.y }} {{{{"),
            env={"A": "{{item.b}}"},
            datum_batching=False,
            task=task,
        ),
    ),
    specs,
    _tasks,
)


@settings(max_examples=100, deadline=None)
@given(specs | run_on | tasked)
def test_what_is_written_is_read_back(spec: Spec) -> None:
    assert one(spec_json(spec)) == spec


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ('{"cross": []}', "1:68"),
        ('{"cross": [{"pfs": {"repo": "a", "glob": "/"}}, {"cross": []}]}', "1:116"),
    ],
)
def test_an_empty_cross_is_refused(given: str, place: str) -> None:
    text = '{"pipeline": {"name": "p"}, "transform": {"cmd": ["x"]}, "input": ' + given + "}"
    with pytest.raises(InvalidInputError) as caught:
        parse_specs(text, name="p.json")
    assert str(caught.value) == f"p.json:{place}: the field 'cross' of input is empty: list the inputs to combine"


def document(transform: str = '"cmd": ["x"]', more: str = "", name: str = "p") -> str:
    given = '"input": {"pfs": {"repo": "a", "glob": "/"}}'
    return '{"pipeline": {"name": "' + name + '"}, "transform": {' + transform + "}, " + given + more + "}"


def test_deeply_nested_yaml_is_refused() -> None:
    flow = "a: " + "[" * 5000 + "]" * 5000
    assert refused(flow, "p.yaml") == "p.yaml:1:203: invalid YAML: nested too deeply"
    block = "\n".join(" " * depth + "a:" for depth in range(1000))
    assert refused(block, "p.yaml") == "p.yaml:201:201: invalid YAML: nested too deeply"
    by_aliases = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 300))
    assert refused(by_aliases, "p.yaml").endswith(": invalid YAML: nested too deeply")
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    assert refused(laughs, "p.yaml").endswith(": invalid YAML: too much by aliases")


@pytest.mark.parametrize("name", ["p.json", "p.yaml"])
def test_half_a_surrogate_pair_is_no_text(name: str) -> None:
    for text in (document('"cmd": ["\\ud800"]'), document('"cmd": ["x"], "env": {"\\udc00": "x"}')):
        assert re.match(rf"{name}:1:\d+: the string has half of a surrogate pair", refused(text, name))
    (spec,) = parse_specs(document('"cmd": ["\\ud83d\\ude00"]'), name="p.json")
    assert spec.transform.cmd == ("\U0001f600",)


@pytest.mark.parametrize(
    ("transform", "error"),
    [
        ('"cmd": ["x", "a\\u0000b"]', "1:56: the field 'cmd' of transform must not hold a NUL byte"),
        ('"cmd": ["x"], "stdin": "a\\u0000"', "1:66: the field 'stdin' of transform must not hold a NUL byte"),
        ('"cmd": ["x"], "env": {"A": "\\u0000"}', "1:70: the field 'env.A' of transform must not hold a NUL byte"),
        ('"cmd": ["x"], "env": {"": "x"}', "1:65: '' in the field 'env' of transform cannot be the name of a variable"),
        ('"cmd": ["x"], "env": {"A=": "x"}', "1:65: 'A=' in the field 'env' of transform cannot"),
        ('"cmd": ["x"], "env": {"\\u0000": "x"}', "1:65: '\\x00' in the field 'env' of transform cannot"),
        (
            '"cmd": "sh -c true"',
            "1:50: the field 'cmd' of transform must be a list of strings (one string is not split), not a string",
        ),
    ],
)
def test_commands_that_no_system_takes(transform: str, error: str) -> None:
    assert refused(document(transform)).startswith(f"p.json:{error}")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (', "datum_timeout": "100000000h"', "must be at most 315360000s, which is ten years"),
        (', "datum_timeout": 1e999', "must be at most 315360000s, which is ten years"),
        (', "datum_tries": 9223372036854775808', "must be at most 9223372036854775807"),
        (', "datum_tries": "9223372036854775808"', "must be at most 9223372036854775807"),
        (f', "datum_tries": {"9" * 5000}', "a number of 5000 digits is out of range"),
    ],
)
def test_what_is_out_of_range_says_so(more: str, error: str) -> None:
    assert refused(document(more=more)).endswith(error)
    assert error in refused(document(more=more), "p.yaml")


def test_a_command_of_one_word_may_stand_alone() -> None:
    (spec,) = parse_specs(document('"cmd": "true"'))
    assert spec.transform.cmd == ("true",)


def test_a_byte_order_mark_is_skipped() -> None:
    for name in ("p.json", "p.yaml", "-"):
        (spec,) = parse_specs("\ufeff" + document(), name=name)
        assert spec.name == "p"


@pytest.mark.parametrize("name", ["-p", "_p"])
def test_a_pipeline_is_not_called_like_an_option(name: str) -> None:
    assert refused(document(name=name)).endswith(
        f"invalid pipeline name {name!r}: it must begin with a letter or a digit"
    )
    assert parse_specs(document(name="1-p_"))[0].name == "1-p_"


WRONG = """\
pipeline: {name: a/b, nmae: x}
trasform: {cmd: [ls]}
input:
  cross:
    - pfs: {repo: a, glob: "/[x", emptyFiles: 1}
    - join:
        - pfs: {glob: /*, join_on: $1}
        - atom: {}
    - 3
datum_tries: -1
datumTimeout: 5 minutes
datum_set_spec: {number: x, nubmer: 3}
reprocess_spec: never
egress: {URL: gs://x}
---
- pipeline: {name: good}
  transform: {cmd: [ls], env: {A: [1]}}
  input: {pfs: {repo: a, glob: /}}
- pipeline: {name: fine}
  transform: {cmd: [ls]}
  input: {pfs: {repo: a, glob: /}}
- pipeline: {name: fine}
  transform: {cmd: [ls]}
  input: {pfs: {repo: a, glob: /}}
"""
FOUND = """\
1:12: invalid pipeline name 'a/b'
1:23: unknown field 'nmae' in pipeline: did you mean 'name'?
2:1: unknown field 'trasform' in pipeline spec: did you mean 'transform'?
5:22: invalid glob
5:47: the field 'empty_files' of pfs must be true or false, not a number
7:16: the field 'repo' of pfs is missing
7:27: 'join_on' names $1
8:11: the field 'atom' of input does not exist any more
9:7: input must be a mapping, not a number
10:14: the field 'datum_tries' of pipeline spec must be a whole number of 0 or more, not -1
11:15: the field 'datum_timeout' of pipeline spec must be a duration such as "300s", "5m" or "1h30m", not '5 minutes'
12:26: the field 'number' of datum_set_spec must be a whole number
12:29: unknown field 'nubmer' in datum_set_spec: did you mean 'number'?
13:1: reprocess_spec must be until_success or every_job
14:10: egress to 'gs://x' is not supported
17:35: the field 'env.A' of transform must be a string, not a list
22:3: the pipeline 'fine' is given twice
"""


def test_all_errors_of_all_documents_are_found() -> None:
    specs, errors = check_specs(WRONG, name="p.yaml")
    for error, line in zip(errors, FOUND.splitlines(), strict=True):
        assert str(error).startswith(f"p.yaml:{line}"), f"{error} is not {line}"
    assert [spec.name for spec in specs] == ["fine"]
    assert refused(WRONG, "p.yaml").endswith(" (and 16 more errors: `pps validate` shows all)")


@pytest.mark.row("2.1 YAML")
def test_anchors_and_merge_keys() -> None:
    text = """
- &first
  pipeline: {name: a}
  transform: &command
    cmd: [ls]
    env: {A: "1", B: "2"}
  input: {pfs: {repo: a, glob: /}}
- <<: *first
  pipeline: {name: b}
  transform:
    env: {C: "3"}
    <<: [*command, {image: x}]
"""
    one, two = parse_specs(text, name="p.yaml")
    assert (one.name, two.name, two.input) == ("a", "b", one.input)
    assert two.transform == Transform(("ls",), env={"C": "3"}, image="x")
    assert refused("a: 1\n<<: 3\n", "p.yaml") == "p.yaml:2:5: invalid YAML: << takes in mappings, not a number"
    misspelt = text.replace("cmd:", "cmmd:")
    _, errors = check_specs(misspelt, name="p.yaml")
    assert {str(error).split(": ")[0] for error in errors} == {"p.yaml:5:5"}, (
        "where it is written, not where it is used"
    )
    assert "the field '<<'" not in refused(text.replace("<<: *first", '"<<": 1'), "p.yaml")


NUMBERS = ("1.10", "1.50", "1e5", "0.10", "-0", "1e400", "100", "1E+2", "true")


@pytest.mark.row("2.1 numbers in texts")
@pytest.mark.parametrize("name", ["p.json", "p.yaml"])
def test_numbers_in_texts_stay_as_they_are_written(name: str) -> None:
    more = () if name == "p.json" else ("007", "010", "+5", "0x1F", "0o17", ".5", "5.", "True")
    numbers = NUMBERS + more
    env = ", ".join(f'"V{n}": {number}' for n, number in enumerate(numbers))
    text = document(f'"cmd": ["x", {", ".join(numbers)}], "env": {{{env}}}')
    spec = one(("" if name == "p.json" else "---\n") + text.replace('"glob": "/"', '"glob": 1.10'), name)
    assert spec.transform.cmd == ("x", *numbers)
    assert tuple(spec.transform.env.values()) == numbers
    assert isinstance(spec.input, PfsInput)
    assert spec.input.glob == "1.10"
    for shown in (spec.source, spec.effective, spec_json(spec)):
        again = one(shown)
        assert (again.transform, again.input) == (spec.transform, spec.input)
        json.loads(shown, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_numbers_out_of_range_of_json_are_shown_as_they_are_written() -> None:
    spec = one(document(more=', "pod_patch": "", "metadata": {"labels": {"a": 1e400, "b": 1.5}}'))
    assert json.loads(spec.source)["metadata"] == {"labels": {"a": "1e400", "b": 1.5}}


@pytest.mark.parametrize("base", [None, Defaults().base()])
def test_null_is_absent_with_defaults_and_without(base: Node | None) -> None:
    (spec,) = parse_specs(
        document('"cmd": ["x"], "env": {"A": null, "B": "x"}', ', "metadata": null'), name="p.json", base=base
    )
    assert spec.transform.env == {"B": "x"}
    with pytest.raises(InvalidInputError, match=r"the field 'cmd' of transform must be a string, not null"):
        parse_specs(document('"cmd": ["x", null]'), name="p.json", base=base)
    with pytest.raises(InvalidInputError, match=r"unknown field 'datum_trys' in pipeline spec"):
        parse_specs(document(more=', "datum_trys": null'), name="p.json", base=base)
    assert "null" not in spec.effective


def test_whole_numbers_may_have_a_point() -> None:
    (spec,) = parse_specs(document(more=', "datum_tries": 4.0'))
    assert spec.datum_tries == 4
    assert "must be a whole number" in refused(document(more=', "datum_tries": 4.5'))


def runs_on(field: str, more: str = "", given: str = '"input": {"pfs": {"repo": "a", "glob": "/"}}, ') -> str:
    return '{"pipeline": {"name": "p"}, "transform": {"cmd": ["x"]}, ' + given + more + field + "}"


SERVICE = '"service": {"internal_port": "80", "external_port": 31000, "type": "ClusterIP"}'


def test_a_service_and_a_spout() -> None:
    service = Service(80, 31000, "", "ClusterIP")
    spec = one(runs_on(SERVICE))
    assert (spec.service, spec.spout, spec.runs_on, spec.notes) == (service, False, True, ())
    spec = one(runs_on('"spout": {}', given=""))
    assert (spec.service, spec.spout, spec.runs_on, leaves_of(spec)) == (None, True, True, [])
    spec = one(runs_on('"spout": {' + SERVICE + "}"))
    assert (spec.service, spec.spout, leaves_of(spec)) == (service, True, [])
    assert spec.notes == ("pipeline spec.input: has no effect: a spout is given no data",)


def leaves_of(spec: Spec) -> list[PfsInput]:
    return list(leaves(spec.input))


def test_what_says_something_about_datums_has_no_effect_on_a_command_that_runs_on() -> None:
    fields = '"datum_timeout": "3s", "job_timeout": "3s", "datum_set_spec": {"number": 2}, "datum_tries": 5, '
    notes = one(runs_on(SERVICE, fields)).notes
    assert [note.partition(":")[0].rpartition(".")[2] for note in notes] == [
        "datum_tries",
        "datum_timeout",
        "job_timeout",
        "datum_set_spec",
    ]
    assert one(runs_on(SERVICE, '"datum_tries": 3, "reprocess_spec": "until_success", ')).notes == ()


@pytest.mark.row("2.7 old spouts")
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (runs_on('"spout": {}'), "a spout without a service has no input"),
        (runs_on('"spout": {}', '"autoscaling": true, ', ""), "'autoscaling' cannot be used with a spout"),
        (runs_on('"spout": {}', '"s3_out": true, ', ""), "'spout' cannot be used with s3_out"),
        (runs_on(SERVICE, '"s3_out": true, '), "'service' cannot be used with s3_out"),
        (runs_on(SERVICE, '"parallelism_spec": {"constant": 2}, '), "the command of a service runs once"),
        (runs_on('"spout": {}', '"parallelism_spec": {"constant": 2}, ', ""), "the command of a spout runs once"),
        (runs_on('"spout": {}', SERVICE + ", ", ""), "a spout has its service in the field 'spout'"),
        (runs_on('"spout": {"overwrite": true}', given=""), "is of Pachyderm 1.x"),
        (runs_on('"service": {"internal_port": 65536}'), "internal_port must be a port, at most 65535"),
        (runs_on('"service": {"external_port": 80}'), "external_port needs an internal_port"),
        (runs_on('"service": {"internal_port": 80, "type": "Node"}'), "must be one of NodePort, ClusterIP, LoadB"),
        (runs_on('"datum_tries": 3', given=""), "the field 'input' is missing"),
    ],
)
def test_what_does_not_go_with_a_service_or_a_spout(text: str, what: str) -> None:
    assert what in refused(text)
