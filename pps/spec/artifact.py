"""The field ``transform.task``: what is put in place for a command, and what is taken afterwards."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from pfs.errors import InvalidInputError
from pfs.paths import clean_path
from pps.spec.artifact_path import check_artifact_path, check_name_below
from pps.spec.fields import Fields
from pps.spec.input import leaves
from pps.spec.task import RUN_INPUT, ArtifactIn, ArtifactOut, ArtifactType, InputType, Missing, Task
from pps.spec.template import TemplateError, parse_template
from pps.spec.types import Spec

_OUTPUT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_EXCLUDED: Final = {
    "datum_batching": "a process that is started once cannot be given other paths",
    "s3_out": "what a task writes over S3 is committed to the buckets that it names",
    "service": "a task has an end, after which its artifacts are taken",
    "spout": "a task has an end, after which its artifacts are taken",
}
_RULE: Final = "only params, item, job.id and commit.id are known when it runs"


def read_task(transform: Fields, *, words: Iterable[str]) -> Task | None:
    """Return the task of a transform, None for an ordinary one; ``words``: its other texts that are templates.

    What is wrong with it goes to its findings.
    """
    fields = transform.child("task")
    if fields is None:
        return None
    for text in words:
        _check_template(transform, "task", text)
    task = Task(
        fields.text("workflow"),
        fields.text("name"),
        fields.flag("shell"),
        fields.text("each"),
        _folder(fields, "below"),
        tuple(_input(one) for one in fields.mappings("inputs")),
        tuple(_output(one) for one in fields.mappings("outputs")),
    )
    for name in ("workflow", "name"):
        if not fields.text(name):
            fields.bad(name, f"the field {name!r} of task is missing: `pps run-workflow` writes it")
    _check_twice(fields, "outputs", [one.name for one in task.outputs])
    return task


def check_task(fields: Fields, spec: Spec) -> None:
    """Tell what does not go together with a task; ``fields``: of the pipeline."""
    task = spec.transform.task
    if task is None:
        return
    has = {
        "datum_batching": spec.transform.datum_batching,
        "s3_out": spec.s3_out,
        "service": spec.service is not None,
        "spout": spec.spout,
    }
    for name, why in _EXCLUDED.items():
        if has[name]:
            fields.bad("transform", f"{name!r} cannot be used with the task of a workflow: {why}")
    staged = {leaf.name for leaf in leaves(spec.input) if not (leaf.s3 or leaf.lazy or leaf.empty_files)}
    for name in (one.name for one in task.inputs):
        _check_given(fields, name, staged, what="the artifact")
    for name in filter(None, (task.each, RUN_INPUT)):
        _check_given(fields, name, staged, what="the task's")


def _check_given(fields: Fields, name: str, staged: Collection[str], *, what: str) -> None:
    if name not in staged:
        fields.bad("transform", f"{what} input {name!r} is none of the pipeline's inputs that are staged")


def _input(fields: Fields) -> ArtifactIn:
    kind = _input_type(fields)
    path = _path(fields, "directory" if kind == "directory" else "file")
    return ArtifactIn(fields.text("name"), path, kind, fields.flag("optional"), _folder(fields, "part"))


def _input_type(fields: Fields) -> InputType:
    match fields.text("type") or "file":
        case "file" | "directory" | "any" as kind:
            return kind
        case "glob":
            fields.bad("type", "an artifact that is put in place is a file or a directory: globs are for outputs")
        case other:
            fields.bad("type", f"the type {other!r} of an artifact is none: use file, directory or any")
    return "file"


def _output(fields: Fields) -> ArtifactOut:
    kind = _chosen_type(fields)
    name = fields.text("name")
    if not _OUTPUT_NAME.fullmatch(name):
        fields.bad("name", f"{name!r} cannot name an output: use letters, digits, - and _, a letter first")
    path = _path(fields, kind)
    if kind == "file" and path.endswith("/"):
        fields.bad("path", f"the path {path!r} of a file ends in '/': an output of several files is a directory")
    metadata = fields.variables("metadata")
    for text in (fields.text("content_type"), fields.text("to"), *metadata.values()):
        _check_template(fields, "to", text)
    if not fields.is_bad("to"):
        _check_to(fields)
    missing = _missing(fields)
    return ArtifactOut(name, path, kind, fields.text("to"), missing, fields.text("content_type"), metadata)


def _check_to(fields: Fields) -> None:
    try:
        check_name_below(fields.text("to"))
    except InvalidInputError as error:
        fields.bad("to", str(error))


def _chosen_type(fields: Fields) -> ArtifactType:
    match fields.text("type") or "file":
        case "file":
            return "file"
        case "directory":
            return "directory"
        case "glob":
            return "glob"
        case other:
            fields.bad("type", f"the type {other!r} of an artifact is none: use file, directory or glob")
            return "file"


def _missing(fields: Fields) -> Missing:
    match fields.text("missing") or "fail":
        case "fail":
            return "fail"
        case "warn":
            return "warn"
        case "ignore":
            return "ignore"
        case other:
            fields.bad("missing", f"{other!r} is nothing that can be done about a missing output: fail, warn or ignore")
            return "fail"


def _path(fields: Fields, kind: str) -> str:
    """Return the path of an artifact; one with references is checked when they are known."""
    path = fields.text("path")
    if _check_template(fields, "path", path):
        try:
            check_artifact_path(parse_template(path).render(lambda _: ""), kind)
        except InvalidInputError as error:
            fields.bad("path", str(error))
    return path


def _folder(fields: Fields, name: str) -> str:
    text = fields.text(name)
    try:
        return text and clean_path(text)
    except InvalidInputError as error:
        fields.bad(name, str(error))
        return ""


def _check_template(fields: Fields, name: str, text: str) -> bool:
    """Tell what is wrong with a template; say whether it is a plain text."""
    try:
        found = parse_template(text).references
    except TemplateError as error:
        fields.bad(name, str(error))
        return False
    for reference in found:
        known = str(reference) in {"job.id", "commit.id"} or reference.names[0] in {"params", "item"}
        if not known or reference.names == ("params",):
            fields.bad(name, f"{{{{{reference}}}}} cannot be rendered: {_RULE}")
    return not found


def _check_twice(fields: Fields, name: str, given: list[str]) -> None:
    for one in sorted({one for one in given if given.count(one) > 1}):
        fields.bad(name, f"the output {one!r} is given twice")
