"""One task of a workflow file; what it does not say is that of the file's ``defaults``."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from pfs.errors import InvalidInputError
from pps.spec.fields import Fields
from pps.spec.node import Node, kind_of
from pps.spec.resources import read_resources
from pps.spec.secret import read_secrets
from pps.spec.template import TemplateError
from pps.workflows.known import FOR_EACH
from pps.workflows.names import check_identifier
from pps.workflows.parse_input import read_inputs
from pps.workflows.parse_output import read_outputs
from pps.workflows.reading import Reading, Use
from pps.workflows.types import ForEach, FromTask, TaskDef
from pps.workflows.when import Condition, parse_condition


@dataclass(frozen=True, slots=True)
class Around:
    """What a file says for all its tasks."""

    top: Fields
    defaults: Fields | None

    def of(self, task: Fields, name: str) -> Fields:
        """Return who says what a field is: the task, the defaults, or the task where neither does."""
        own = task.get(name) is not None or self.defaults is None or self.defaults.get(name) is None
        return task if own or self.defaults is None else self.defaults


def read_task(fields: Fields, reading: Reading, around: Around) -> TaskDef:
    """Return a task whose references are not looked up yet; what is wrong with it goes to the findings."""
    name = _name(fields)
    command, shell = _command(fields, reading, task=name)
    outputs = None if around.defaults is None else around.defaults.child("outputs")
    return TaskDef(
        name=name,
        command=command,
        shell=shell,
        description=fields.text("description"),
        env=_env(fields, reading, around=around),
        working_dir=_working_dir(around.of(fields, "working_dir")),
        inputs=read_inputs(fields, reading, task=name),
        outputs=read_outputs(fields, reading, task=name, defaults=outputs),
        retries=around.of(fields, "retries").count("retries"),
        timeout_s=around.of(fields, "timeout").seconds("timeout"),
        resources=read_resources(around.of(fields, "resources"), "resources"),
        limits=read_resources(around.of(fields, "resource_limits"), "resource_limits"),
        secrets=read_secrets(around.of(fields, "secrets")),
        image=around.of(fields, "image").text("image"),
        when=_when(fields, reading, task=name),
        for_each=_for_each(fields, reading, task=name),
        after=fields.texts("after"),
        cache=_flag(around.of(fields, "cache"), "cache"),
        code=_code(around.of(fields, "code")),
        place=fields.place("name"),
    )


def _name(fields: Fields) -> str:
    name = fields.text("name")
    try:
        return check_identifier("a task", name)
    except InvalidInputError as error:
        fields.bad("name", str(error) if name else "the field 'name' of workflow task is missing")
        return name


def _command(fields: Fields, reading: Reading, *, task: str) -> tuple[tuple[str, ...], bool]:
    node = fields.get("command")
    match None if node is None else node.value:
        case str() as text if node is not None and text.strip() and "\0" not in text:
            reading.template(node, task=task, field="command", shell=True)
            return (text,), True
        case list() as items if items and all(_is_word(one) for one in items) and _text(items[0]):
            for one in items:
                reading.template(one, task=task, field="command")
            return tuple(_text(one) for one in items), False
        case _:
            found = "nothing" if node is None or node.value in ("", []) else kind_of(node)
            what = "the field 'command' of workflow task must be a text for the shell or a list of words"
            fields.bad("command", f"{what}, not {found}")
            return (), False


def _is_word(node: Node) -> bool:
    return isinstance(node.value, str | int | float) and "\0" not in _text(node)


def _text(node: Node) -> str:
    return node.value if isinstance(node.value, str) else node.text


def _env(fields: Fields, reading: Reading, *, around: Around) -> dict[str, str]:
    task = fields.text("name")
    shared = {} if around.defaults is None else around.defaults.variables("env")
    own = fields.variables("env")
    for owner in (fields, around.defaults, around.top):
        node = None if owner is None else owner.get("env")
        values = node.value if node is not None and isinstance(node.value, dict) else {}
        for name, value in values.items():
            if isinstance(value.value, str):
                reading.template(value, task=task, field=f"env.{name}")
    return {**around.top.variables("env"), **shared, **own}


def _working_dir(fields: Fields) -> str:
    given = fields.text("working_dir")
    if given and posixpath.normpath(given).split("/")[0] == "..":
        fields.bad("working_dir", f"the working_dir {given!r} leads out of the workflow's folder")
    return given


def _flag(fields: Fields, name: str) -> bool:
    return fields.get(name) is None or fields.flag(name)


def _code(fields: Fields) -> tuple[str, ...] | None:
    if fields.get("code") is None:
        return None
    found = fields.texts("code")
    for one in found:
        if posixpath.normpath(one).split("/")[0] == "..":
            fields.bad("code", f"the code {one!r} leads out of the workflow's folder")
    return found


def _when(fields: Fields, reading: Reading, *, task: str) -> Condition | None:
    node, text = fields.get("when"), fields.text("when")
    if node is None or not text:
        return None
    try:
        condition = parse_condition(text)
    except TemplateError as error:
        reading.wrong(node.place, f"the field 'when' of task {task!r}: {error} (character {error.offset + 1})")
        return None
    reading.uses.append(Use(task, "when", node, condition.references, settled=False))
    return condition


def _for_each(fields: Fields, reading: Reading, *, task: str) -> ForEach | None:
    node = fields.get("for_each")
    match None if node is None else node.value:
        case None:
            return None
        case list() as items if node is not None:
            if not items:
                fields.bad("for_each", "the list of for_each is empty: there is nothing to run for")
            return ForEach(items=tuple(item.plain() for item in items), place=node.place)
        case dict() if node is not None:
            return _for_each_of_input(node, reading)
        case str() if node is not None:
            return _for_each_of(fields, node, reading, task=task)
        case _:
            fields.bad("for_each", "for_each takes a list, {{params.x}}, {{tasks.T.outputs.O}} or {input: NAME}")
            return None


def _for_each_of_input(node: Node, reading: Reading) -> ForEach | None:
    fields = reading.fields(node, FOR_EACH)
    if fields is None:
        return None
    if not fields.text("input"):
        fields.bad("input", "for_each needs an 'input': the one whose files the task runs for")
    return ForEach(input=fields.text("input"), glob=fields.text("glob") or "*", place=node.place)


def _for_each_of(fields: Fields, node: Node, reading: Reading, *, task: str) -> ForEach | None:
    template = reading.template(node, task=task, field="for_each", settled=False)
    if len(template.parts) != 1 or not template.references:
        if not fields.is_bad("for_each"):
            fields.bad("for_each", "for_each takes one reference: {{params.x}} or {{tasks.T.outputs.O}}")
        return None
    match template.references[0].names:
        case ("params", name):
            return ForEach(param=name, place=node.place)
        case ("tasks", source, "outputs", output):
            return ForEach(source=FromTask(source, output), place=node.place)
        case _:
            return None
