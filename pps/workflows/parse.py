"""From the text of a workflow file to a `Workflow`, with all that is wrong with it at once, by line and column."""

from __future__ import annotations

from dataclasses import replace

from pfs.errors import InvalidInputError
from pfs.provenance.cron import parse_schedule
from pps.spec.fields import Fields
from pps.spec.findings import Findings, first_of
from pps.spec.node import Node
from pps.spec.parse import parse_nodes
from pps.workflows.fill import fill
from pps.workflows.keep import read_keep
from pps.workflows.known import TASK, WORKFLOW
from pps.workflows.names import check_identifier, name_of_file
from pps.workflows.params import read_params
from pps.workflows.parse_task import Around, read_task
from pps.workflows.reading import Reading
from pps.workflows.resolve import resolve
from pps.workflows.types import On, TaskDef, Workflow

_VERSIONS = ("", "1", "1.0")


def parse_workflow(text: str, *, name: str = "workflow", stored: bool = False) -> Workflow:
    """Return the workflow of a file; ``name``: the file, for messages and for the name that it does not give itself.

    ``stored``: it was run once; what is refused only since is let pass.

    Raises:
        InvalidInputError: what `check_workflow` finds: the first of it, and how much more there is.
    """
    workflow, errors = check_workflow(text, name=name, stored=stored)
    if workflow is None:
        raise first_of(errors, shown_by="pps validate --workflow")
    return workflow


def check_workflow(
    text: str, *, name: str = "workflow", stored: bool = False
) -> tuple[Workflow | None, list[InvalidInputError]]:
    """Return the workflow of a file if it is sound, and all that is wrong with it in the order of the text.

    Raises:
        InvalidInputError: it is not JSON or YAML, or has no document or several.
    """
    text = text.removeprefix("\ufeff")
    documents = parse_nodes(text, name)
    if len(documents) != 1:
        raise InvalidInputError(f"{name}: a workflow file has one document, not {len(documents)}")
    own = _given_name(documents[0]) or name_of_file(name)
    reading = Reading(text, Findings(is_stored=stored))
    top = reading.fields(fill(documents[0], {"workflow.name": own}), WORKFLOW)
    found = None if top is None else _workflow(top, reading, name=own)
    if found is None or reading.findings.errors:
        return None, reading.findings.errors
    return replace(found, text=text, is_json=text.lstrip().startswith("{")), []


def _given_name(document: Node) -> str:
    given = document.value.get("name") if isinstance(document.value, dict) else None
    return given.value if given is not None and isinstance(given.value, str) else ""


def _workflow(top: Fields, reading: Reading, *, name: str) -> Workflow:
    if top.text("version") not in _VERSIONS:
        top.bad("version", f"the version of a workflow file is 1.0, not {top.text('version')!r}")
    _check_name(top, name)
    params = read_params(top, reading)
    around = Around(top, top.child("defaults"))
    found = Workflow(
        name=name,
        tasks=tuple(_tasks(top, reading, around)),
        description=top.text("description"),
        params=params,
        keep=read_keep(top),
        on=_on(top),
    )
    return resolve(found, reading)


def _check_name(top: Fields, name: str) -> None:
    try:
        check_identifier("a workflow", name)
    except InvalidInputError as error:
        top.bad("name", str(error) if name else "give the workflow a 'name': that of the file makes none")


def _tasks(top: Fields, reading: Reading, around: Around) -> list[TaskDef]:
    found: dict[str, TaskDef] = {}
    nodes = top.children("tasks")
    if not nodes and not top.is_bad("tasks"):
        top.bad("tasks", "the field 'tasks' of workflow is missing or empty: it lists what is to be done")
    for fields in reading.each(nodes, TASK):
        task = read_task(fields, reading, around)
        if task.name in found:
            fields.bad("name", f"two tasks are called {task.name!r}: give each a name of its own")
        found.setdefault(task.name, task)
    return list(found.values())


def _on(top: Fields) -> On:
    fields = top.child("on")
    if fields is None:
        return On()
    schedule = fields.text("schedule")
    try:
        if schedule:
            parse_schedule(schedule)
    except InvalidInputError as error:
        fields.bad("schedule", str(error))
    return On(schedule, fields.get("commits") is None or fields.flag("commits"))
