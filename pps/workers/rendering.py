"""The templates of a task, with what one datum puts in: params, its item, the ids of its job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pfs.errors import FailedError, InvalidInputError
from pfs.files.reader import iter_range
from pfs.shorten import quoted
from pps.executor import DatumInput, WorkUnit
from pps.spec.artifact_path import check_artifact_path, escaped
from pps.spec.node import Plain
from pps.spec.shellquote import render_shell
from pps.spec.task import RUN_INPUT, ArtifactIn, ArtifactOut, Task
from pps.spec.template import Reference, Template, parse_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfs.store import Store

_MOST_BYTES: Final = 64 << 20
_parsed = lru_cache(maxsize=1024)(parse_template)


@dataclass(frozen=True, slots=True)
class Values:
    """What references mean for one datum. ``job``: the id of the job, which its output commit has too."""

    params: Mapping[str, Plain]
    item: Plain
    job: str

    def text(self, reference: Reference) -> str:
        """Return what stands in the place of a reference: a text as it is, anything else as JSON in one line.

        Raises:
            FailedError: there is no such value.
        """
        found = self._find(reference)
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, separators=(",", ":"))

    def _find(self, reference: Reference) -> Plain:
        match reference.names:
            case ("job" | "commit", "id"):
                return self.job
            case ("item", *rest):
                return _below(self.item, rest, reference)
            case ("params", name, *rest) if name in self.params:
                return _below(self.params[name], rest, reference)
        raise FailedError(f"{{{{{reference}}}}} cannot be rendered: the run gives no such value")


def _below(value: Plain, names: Sequence[str], reference: Reference) -> Plain:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise FailedError(f"{{{{{reference}}}}} cannot be rendered: its value has no {quoted(name)}")
        value = value[name]
    return value


def values_of(store: Store, task: Task, given: Mapping[str, DatumInput], *, job: str) -> Values:
    """Return what a datum's inputs say of params and item; reads the task's file of the run.

    Raises:
        FailedError: the file is none that a run makes, or the match is not where the item is said to be.
        PfsError: it cannot be read.
    """
    params, item = _run_file(store, given[RUN_INPUT])
    if task.each:
        item = _item(given[task.each].path, task.below)
    return Values(params, item, job)


def _run_file(store: Store, given: DatumInput) -> tuple[Mapping[str, Plain], Plain]:
    row = given.rows[0]
    if len(given.rows) != 1 or row.is_dir or row.size > _MOST_BYTES:
        raise FailedError(f"{given.path} of input {given.name!r} is no file with the params of a run")
    try:
        found = json.loads(b"".join(iter_range(store.objects, row, jobs=1)))
    except (ValueError, RecursionError):
        found = None
    params = found.get("params", {}) if isinstance(found, dict) else None
    if not isinstance(params, dict):
        raise FailedError(f"{given.path} of input {given.name!r} has no params of a run: it should be a JSON object")
    return params, found.get("item")


def _item(path: str, below: str) -> str:
    folder = f"{below.rstrip('/')}/"
    if not path.startswith(folder) or path == folder:
        raise FailedError(f"the match {path} is no item: it is not below {folder}")
    return path[len(folder) :]


def rendered(unit: WorkUnit, task: Task, values: Values) -> tuple[WorkUnit, Task]:
    """Return a unit and its task with their templates rendered.

    Raises:
        FailedError: a value is missing. InvalidInputError: a value cannot stand in its place, or makes a path that no
            artifact can have.
    """
    transform = unit.transform
    words = [_plain(word, values) for word in transform.cmd[:-1]]
    last = transform.cmd[-1]
    words.append(render_shell(_parsed(last), values.text) if task.shell else _plain(last, values))
    env = {name: _plain(text, values) for name, text in transform.env.items()}
    made = replace(
        task,
        inputs=tuple(_input(one, values) for one in task.inputs),
        outputs=tuple(_output(one, values) for one in task.outputs),
    )
    return replace(unit, transform=replace(transform, cmd=tuple(words), env=env, task=made)), made


def _plain(text: str, values: Values) -> str:
    made = _parsed(text).render(values.text)
    if "\0" in made:
        raise InvalidInputError("a value has a NUL byte, which no command can be given")
    return made


def _input(one: ArtifactIn, values: Values) -> ArtifactIn:
    return replace(one, path=_path(one.path, one.type, values))


def _output(one: ArtifactOut, values: Values) -> ArtifactOut:
    return replace(
        one,
        path=_path(one.path, one.type, values),
        to=_plain(one.to, values),
        content_type=_plain(one.content_type, values),
        metadata={name: _plain(text, values) for name, text in one.metadata.items()},
    )


def _path(text: str, kind: str, values: Values) -> str:
    """Return a path; what a value has of a pattern's signs stands for itself."""
    template: Template = _parsed(text)

    def literal(reference: Reference) -> str:
        return escaped(values.text(reference))

    return check_artifact_path(template.render(literal if kind == "glob" else values.text), kind)
