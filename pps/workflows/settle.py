"""References of a task that are known before it runs, put into its texts: paths of artifacts, its name.

What stays is for the worker, which knows the datum: ``params``, ``item``, ``job.id`` and ``commit.id``.
"""

from __future__ import annotations

from pps.spec.shellquote import settle_shell
from pps.spec.template import Reference, Template, parse_template
from pps.workflows.types import FromTask, TaskDef, Workflow


def _written(piece: str | Reference) -> str:
    return piece.replace("{{", "{{{{") if isinstance(piece, str) else f"{{{{{piece}}}}}"


class Settled:
    """The texts of one task of a workflow."""

    def __init__(self, workflow: Workflow, task: TaskDef) -> None:
        self._workflow, self._task = workflow, task

    def text(self, text: str) -> str:
        """Return a template in which what is known is put in."""
        made: list[str] = []
        for part in parse_template(text).parts:
            found = None if isinstance(part, str) else self._value(part)
            made += map(_written, (part,) if found is None else found.parts)
        return "".join(made)

    def shell(self, text: str) -> str:
        """Return a template of a text for the shell in which what is known is put in, quoted as its place needs it."""
        return settle_shell(parse_template(text), self._value)

    def _value(self, reference: Reference) -> Template | None:
        path = self._path(reference)
        return None if path is None else parse_template(path)

    def _path(self, reference: Reference) -> str | None:
        """Return what a reference is as a template, None where only the worker knows."""
        match reference.names:
            case ("tasks", task, "outputs", output, "path"):
                return self._artifact(FromTask(task, output))
            case ("inputs", name, "path"):
                found = self._task.input(name)
                assert found is not None, "references are checked"
                return found.path
            case ("outputs", name, "path"):
                made = self._task.output(name)
                assert made is not None, "references are checked"
                return made.path
            case ("task", "name"):
                return self._task.name
            case ("workflow", "name"):
                return self._workflow.name
        return None

    def _artifact(self, source: FromTask) -> str:
        """Return where an artifact of another task is: where this one has it, else where it was made."""
        own = next((one for one in self._task.inputs if one.source == source and one.path), None)
        if own is not None and not self._is_each(own.name):
            return own.path
        made = self._workflow.task(source.task).output(source.output)
        assert made is not None, "references are checked"
        return made.path

    def _is_each(self, name: str) -> bool:
        each = self._task.for_each
        return each is not None and each.is_of_files and each.input == name
