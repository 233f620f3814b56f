"""References in a workflow file, looked up: each must mean something where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pfs.errors import InvalidInputError
from pps.spec.template import Reference
from pps.workflows.reading import Reading, Use, listed, nearest
from pps.workflows.types import FromTask, TaskDef, Workflow
from pps.workflows.when_kinds import check_kinds

_RUN = ("job.id", "commit.id")
_FILE = ("workflow.name", "task.name")


def check_references(workflow: Workflow, reading: Reading) -> None:
    """Tell of every reference that means nothing where it stands, with the nearest one that does."""
    by_name = {task.name: task for task in workflow.tasks}
    for use in reading.uses:
        task = by_name.get(use.task)
        if task is None:
            continue
        known = set(_known(use, task, workflow))
        unknown = [reference for reference in use.references if not _means(reference, use, known)]
        for reference in unknown:
            _tell(reference, use, _Around(workflow, known), reading)
        if use.field == "when" and not unknown:
            _check_condition(workflow, task, use, reading)
    for task in workflow.tasks:
        _check_param_of(task, workflow, reading)


def _check_condition(workflow: Workflow, task: TaskDef, use: Use, reading: Reading) -> None:
    try:
        assert task.when is not None, "it was read"
        check_kinds(workflow, task, task.when)
    except InvalidInputError as error:
        reading.wrong(use.node.place, f"the field 'when' of task {task.name!r}: {error}")


def _means(reference: Reference, use: Use, known: set[str]) -> bool:
    names = reference.names
    if names[0] == "item" and "item" in known:
        return True
    return str(reference) in known


def _known(use: Use, task: TaskDef, workflow: Workflow) -> Iterator[str]:
    """Yield what may be named at a place."""
    yield from (f"params.{param.name}" for param in workflow.params)
    others = [other for other in workflow.tasks if other.name != task.name]
    if use.field == "uri":
        return
    if use.field == "for_each":
        yield from (f"tasks.{other.name}.outputs.{one.name}" for other in others for one in other.outputs)
        return
    if task.for_each is not None:
        yield "item"
    if use.field == "when":
        yield from _FILE
        return
    yield from (*_RUN, "task.name")
    if use.settled:
        yield from (f"tasks.{other.name}.outputs.{one.name}.path" for other in others for one in other.outputs)
    if use.settled and use.field != "path":
        yield from (f"inputs.{one.name}.path" for one in task.inputs if one.path or isinstance(one.source, FromTask))
        yield from (f"outputs.{one.name}.path" for one in task.outputs)


@dataclass(frozen=True, slots=True)
class _Around:
    """What there is to be named at a place."""

    workflow: Workflow
    known: set[str]


def _tell(reference: Reference, use: Use, around: _Around, reading: Reading) -> None:
    place = use.node.place if use.field == "when" else reading.place(use.node, reference.offset)
    shown = str(reference) if use.field == "when" else f"{{{{{reference}}}}}"
    what = f"{shown} in the field {use.field!r} of task {use.task!r} is not known there"
    if reference.names[0] == "item":
        reading.wrong(place, f"{shown} in the field {use.field!r} of task {use.task!r} needs a 'for_each'")
        return
    if len(reference.names) == 1 and use.field == "when":
        reading.wrong(place, f"{what}: a text is written in quotes, a param as params.{reference}")
        return
    advice = nearest(
        str(reference), around.known, otherwise="there are params, item, and paths of outputs of other tasks"
    )
    reading.wrong(place, f"{what}: {_missing(reference, use, around.workflow) or advice}")


def _missing(reference: Reference, use: Use, workflow: Workflow) -> str:
    """Return which param, task or output that is named is not there; empty if that is not what is wrong."""
    match reference.names:
        case ("params", name, *_):
            params = [one.name for one in workflow.params]
            advice = nearest(name, params, otherwise=listed(params, none="the workflow has none"))
            return "" if name in params else f"there is no param {name!r}: {advice}"
        case ("tasks", task, "outputs", output, *_):
            return missing_output(FromTask(task, output), {one.name: one for one in workflow.tasks}, of=use.task)
        case ("tasks", task, *_) if task not in {one.name for one in workflow.tasks}:
            return missing_output(FromTask(task, ""), {one.name: one for one in workflow.tasks}, of=use.task)
        case _:
            return ""


def _check_param_of(task: TaskDef, workflow: Workflow, reading: Reading) -> None:
    """Tell of a for_each over a param that is no list."""
    if task.for_each is None or not task.for_each.param:
        return
    param = next((one for one in workflow.params if one.name == task.for_each.param), None)
    if param is not None and param.type != "list":
        what = f"for_each of task {task.name!r} needs a list, and param {param.name!r} is of type {param.type}"
        reading.wrong(task.for_each.place, what)


def missing_output(source: FromTask, tasks: Mapping[str, TaskDef], *, of: str) -> str:
    """Return why there is no such output of another task; empty if there is."""
    if source.task == of:
        return f"a task cannot read its own output {source.output!r}"
    task = tasks.get(source.task)
    if task is None:
        others = [name for name in tasks if name != of]
        advice = nearest(source.task, others, otherwise=listed(others, none="it is the only one"))
        return f"there is no task {source.task!r}: {advice}"
    if task.output(source.output) is None:
        names = [one.name for one in task.outputs]
        advice = nearest(source.output, names, otherwise=listed(names, none="it has none"))
        return f"task {source.task!r} has no output {source.output!r}: {advice}"
    return ""
