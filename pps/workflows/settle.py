"""References of a task that are known before it runs, put into its texts: paths of artifacts, its name.

What stays is for the worker, which knows the datum: ``params``, ``item``, ``job.id`` and ``commit.id``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pps.spec.artifact_path import fixed_folder
from pps.spec.shellquote import settle_shell
from pps.spec.template import Reference, Template, parse_template
from pps.workflows.types import FromTask, InputArtifact, TaskDef, Workflow

_Find = Callable[[Reference], str]
_ITEM = "/{{item}}"


def _written(piece: str | Reference) -> str:
    return piece.replace("{{", "{{{{") if isinstance(piece, str) else f"{{{{{piece}}}}}"


class Settled:
    """The texts of one task of a workflow."""

    def __init__(self, workflow: Workflow, task: TaskDef) -> None:
        self._workflow, self._task = workflow, task

    def text(self, text: str) -> str:
        """Return a template in which what is known is put in."""
        return self._settled(text, self._here)

    def path(self, text: str) -> str:
        """Return where an input is put as a template: there, artifacts of other tasks are where they were made."""
        return self._settled(text, self._made)

    def shell(self, text: str) -> str:
        """Return a template of a text for the shell in which what is known is put in, quoted as its place needs it."""
        template = parse_template(text)
        return settle_shell(template, lambda one: self._value(one, self._looked_up(template, self._here)))

    def _settled(self, text: str, find: _Find) -> str:
        made: list[str] = []
        template = parse_template(text)
        for part in template.parts:
            found = None if isinstance(part, str) else self._value(part, self._looked_up(template, find))
            made += map(_written, (part,) if found is None else found.parts)
        return "".join(made)

    def _looked_up(self, template: Template, find: _Find) -> _Find:
        """Return how references of a template to other tasks are found: of the items, the folder where one follows."""
        folders = set(_before_item(template))
        return lambda one: self._folder(one) if one.offset in folders else find(one)

    def _value(self, reference: Reference, find: _Find) -> Template | None:
        path = self._known(reference, find)
        return None if path is None else parse_template(path)

    def _known(self, reference: Reference, find: _Find) -> str | None:
        """Return what a reference is as a template, None where only the worker knows."""
        match reference.names:
            case ("tasks", _, "outputs", _, "path"):
                return find(reference)
            case ("inputs", name, "path"):
                found = self._task.input(name)
                assert found is not None, "references are checked"
                return self.path(found.path)
            case ("outputs", name, "path"):
                made = self._task.output(name)
                assert made is not None, "references are checked"
                return self.path(made.path)
            case ("task", "name"):
                return self._task.name
            case ("workflow", "name"):
                return self._workflow.name
        return None

    def _here(self, reference: Reference) -> str:
        """Return where this task has an artifact of another: of what it runs for, where it has the item."""
        own = self._own(reference)
        return self._made(reference) if own is None else self.path(own.path)

    def _made(self, reference: Reference) -> str:
        """Return where an artifact was made; of a pattern, the folder of all that it matches."""
        _, task, _, name, _ = reference.names
        maker = self._workflow.task(task)
        made = maker.output(name)
        assert made is not None, "references are checked"
        path = fixed_folder(made.path) or "." if made.type == "glob" else made.path
        return Settled(self._workflow, maker).path(path)

    def _folder(self, reference: Reference) -> str:
        """Return the folder that this task has the items of an artifact in."""
        own = self._own(reference)
        path = "" if own is None else self.path(own.path)
        return path.removesuffix(_ITEM) if path.endswith(_ITEM) else self._made(reference)

    def _own(self, reference: Reference) -> InputArtifact | None:
        source = FromTask(reference.names[1], reference.names[3])
        return next((one for one in self._task.inputs if one.source == source and one.path), None)


def _before_item(template: Template) -> Iterator[int]:
    """Yield the offsets of references to artifacts that a slash and the item follow: ``{{tasks.…}}/{{item}}``."""
    for one, between, item in zip(template.parts, template.parts[1:], template.parts[2:], strict=False):
        match one, between, item:
            case Reference(("tasks", *_)), str(), Reference(("item",)) if between.strip("\"'") == "/":
                yield one.offset
