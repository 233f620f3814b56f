"""The inputs of a task: what is put in place before its command, and where from."""

from __future__ import annotations

from typing import Literal

from pfs.errors import InvalidInputError
from pfs.paths import check_name
from pps.spec.artifact_path import check_artifact_path
from pps.spec.fields import Fields
from pps.spec.node import Node, kind_of
from pps.spec.template import parse_template
from pps.spec.types import DEFAULT_BRANCH
from pps.workflows.known import CREDENTIALS, INPUT, SOURCE
from pps.workflows.names import check_input_name
from pps.workflows.reading import Reading, is_template
from pps.workflows.types import FromRepo, FromTask, FromUri, InputArtifact, Source

URI_SCHEMES = ("s3", "https", "http", "file")
BY_NAME = ""
"""The task of a `FromTask` that is found by the name of its output."""
NONE = FromTask(BY_NAME, "")
"""The source of an input of which it is told that it has none."""


def read_inputs(parent: Fields, reading: Reading, *, task: str) -> tuple[InputArtifact, ...]:
    """Return the inputs of a task; of those that name no source, the task is `BY_NAME`."""
    found: dict[str, InputArtifact] = {}
    for fields in reading.each(parent.children("inputs"), INPUT):
        made = _input(fields, reading, task=task)
        if made.name in found:
            fields.bad("name", f"two inputs of task {task!r} are called {made.name!r}: give each a name of its own")
        found.setdefault(made.name, made)
    return tuple(found.values())


def _input(fields: Fields, reading: Reading, *, task: str) -> InputArtifact:
    name, kind = _name(fields), fields.text("type")
    if kind not in {"", "file", "directory"}:
        fields.bad("type", f"the type of an input is file or directory, not {kind!r}")
    typed: Literal["", "file", "directory"] = "directory" if kind == "directory" else "file" if kind else ""
    return InputArtifact(
        name=name,
        source=_source(fields, reading, name=name, task=task),
        path=_path(fields, reading, task=task, kind=typed or "file"),
        type=typed,
        optional=fields.flag("optional"),
        place=fields.place("name"),
    )


def _name(fields: Fields) -> str:
    name = fields.text("name")
    try:
        return check_input_name(name)
    except InvalidInputError as error:
        fields.bad("name", str(error) if name else "the field 'name' of task input is missing")
        return name


def _path(fields: Fields, reading: Reading, *, task: str, kind: str) -> str:
    node = fields.get("path")
    path = fields.text("path")
    if node is None or not path:
        return ""
    if not reading.template(node, task=task, field="path").references:
        try:
            check_artifact_path(parse_template(path).render(str), kind)
        except InvalidInputError as error:
            fields.bad("path", str(error))
    return path if is_template(path) else ""


def _source(fields: Fields, reading: Reading, *, name: str, task: str) -> Source:
    given = [kind for kind in ("from", "repo", "uri") if fields.has(kind)]
    if len(given) > 1:
        fields.bad(given[1], f"the input {name!r} has several sources, {' and '.join(given)}: use one")
    for other in ("branch", "glob"):
        if fields.has(other) and not fields.has("repo"):
            fields.bad(other, f"the field {other!r} of task input goes with 'repo'")
    for other in CREDENTIALS:
        if fields.has(other) and not fields.has("uri"):
            fields.bad(other, f"the field {other!r} of task input goes with 'uri'")
    if fields.has("repo"):
        return _repo(fields)
    if fields.has("uri"):
        return _uri(fields, reading, task=task)
    node = fields.get("from")
    return FromTask(BY_NAME, name) if node is None else _from(fields, node, reading, name=name)


def _from(fields: Fields, node: Node, reading: Reading, *, name: str) -> Source:
    if isinstance(node.value, dict):
        source = reading.fields(node, SOURCE)
        if source is None:
            return NONE
        if not source.text("task"):
            source.bad("task", "the field 'task' of from is missing: the task that makes it")
            return NONE
        return FromTask(source.text("task"), source.text("output") or name)
    written = "a source is written as {task: T, output: O}, or as {{tasks.T.outputs.O}}"
    if not isinstance(node.value, str):
        fields.bad("from", f"{written}, not as {kind_of(node)}")
        return NONE
    try:
        template = parse_template(node.value.strip())
    except InvalidInputError as error:
        fields.bad("from", str(error))
        return NONE
    names = template.references[0].names if len(template.parts) == 1 and template.references else ()
    match names:
        case ("tasks", task, "outputs", output) | ("tasks", task, "outputs", output, "path"):
            return FromTask(task, output)
        case _:
            fields.bad("from", written)
            return NONE


def _repo(fields: Fields) -> Source:
    found = {"repo": fields.text("repo"), "branch": fields.text("branch") or DEFAULT_BRANCH}
    for what, name in found.items():
        try:
            check_name(what, name)
        except InvalidInputError as error:
            fields.bad(what, str(error))
    glob = fields.text("glob") or "/"
    return FromRepo(found["repo"], found["branch"], glob if glob.startswith("/") else f"/{glob}")


def _uri(fields: Fields, reading: Reading, *, task: str) -> Source:
    uri = fields.text("uri")
    scheme, colon, rest = uri.partition("://")
    if not colon or scheme.lower() not in URI_SCHEMES or not rest.strip("/"):
        fields.bad("uri", f"{uri!r} is no place to import from: write s3://bucket/key, https://… or file:///path")
    node = fields.get("uri")
    if node is not None:
        reading.template(node, task=task, field="uri", settled=False)
    if "@" in rest.partition("/")[0]:
        fields.bad("uri", "the uri has a user or password, which everybody could read: give them by 'secret'")
    return FromUri(uri, fields.text("secret"), fields.text("endpoint"), fields.text("region"), fields.text("profile"))
