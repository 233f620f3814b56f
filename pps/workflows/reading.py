"""What the readers of one workflow file share: its text, what is wrong with it, and the templates that it has."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pfs.errors import InvalidInputError, PfsError
from pps.spec.fields import Fields
from pps.spec.findings import Findings
from pps.spec.node import Node, Place
from pps.spec.shellquote import shell_places
from pps.spec.template import Reference, Template, TemplateError, parse_template
from pps.spec.vocabulary import Known
from pps.workflows.known import TABLES


@dataclass(frozen=True, slots=True)
class Use:
    """References that a task makes at one place. ``node``: the text with them; ``field``: for messages.

    ``settled``: whether what is known before the run may stand there, such as the path of another task's output.
    """

    task: str
    field: str
    node: Node
    references: tuple[Reference, ...]
    settled: bool


@dataclass(slots=True)
class Reading:
    """One file while it is read; everything that is wrong goes to ``findings``."""

    text: str
    findings: Findings = field(default_factory=Findings)
    uses: list[Use] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    def fields(self, node: Node, known: Known) -> Fields | None:
        """Return the fields of a mapping; None, which is told, where it is none."""
        try:
            return Fields(node, known, self.findings, TABLES)
        except InvalidInputError as error:
            self.findings.add(node.place, error)
            return None

    def each(self, nodes: Iterable[Node], known: Known) -> Iterator[Fields]:
        """Yield the fields of those nodes that are mappings."""
        for node in nodes:
            fields = self.fields(node, known)
            if fields is not None:
                yield fields

    def wrong(self, place: Place, message: str) -> None:
        """Tell that something is wrong at a place."""
        self.findings.add(place, place.error(message))

    def template(self, node: Node, *, task: str, field: str, settled: bool = True, shell: bool = False) -> Template:
        """Return the template that a text is, of which the references are looked at when all names are known."""
        text = node.value if isinstance(node.value, str) else node.text
        template = Template(())
        try:
            template = parse_template(text)
            if template.references:
                self.uses.append(Use(task, field, node, template.references, settled))
            if shell:
                shell_places(template)
        except TemplateError as error:
            self.wrong(self.place(node, error.offset), f"the field {field!r} of task {task!r}: {error}")
        return template

    def place(self, node: Node, offset: int) -> Place:
        """Return where in the file an offset of a node's text is: where its braces begin there, else the node."""
        text = node.value if isinstance(node.value, str) else node.text
        raw = text[offset : text.find("}}", offset) + 2] if text.startswith("{{", offset) else ""
        start = self._offset(node.place)
        at = start - 1
        for _ in range(1 + text.count(raw, 0, offset) if raw else 0):
            at = self.text.find(raw, at + 1)
            if at < 0:
                return node.place
        if not raw:
            return node.place
        line = self.text.count("\n", 0, at) + 1
        return Place(node.place.source, line, at - self.text.rfind("\n", 0, at))

    def _offset(self, place: Place) -> int:
        if not self._starts:
            at = 0
            for line in self.text.split("\n"):
                self._starts.append(at)
                at += len(line) + 1
        return self._starts[min(place.line, len(self._starts)) - 1] + place.column - 1


def is_template(text: str) -> bool:
    """Say whether a text is a template: what is none was told where it was read."""
    try:
        parse_template(text)
    except TemplateError:
        return False
    return True


@contextmanager
def told_at(place: Place) -> Iterator[None]:
    """Let the line of an error from the body begin with a place of the file; it stays the error that it is."""
    try:
        yield
    except PfsError as error:
        if not getattr(error, "__notes__", ()):
            error.add_note(f"{place.source}:{place.line}:{place.column}")
        raise


def nearest(name: str, known: Collection[str], *, otherwise: str) -> str:
    """Return what was probably meant instead of a name that is none, in words."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else otherwise


def listed(names: Sequence[str], *, none: str) -> str:
    """Return names as a list for messages."""
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else none
