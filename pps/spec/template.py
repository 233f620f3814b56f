"""Texts with ``{{references}}``: a formal grammar, and nothing that runs.

    text      = { literal | "{{" space reference space "}}" | "{{{{" } ;      "{{{{" stands for "{{"
    reference = name { "." name } ;
    name      = letter-or-underscore { letter | digit | "_" | "-" } ;         letters and digits of ASCII

What a reference means is its reader's affair (`Template.render`): this knows names only. ``}}`` outside a reference is
text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pfs.errors import InvalidInputError

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_REFERENCE: Final = re.compile(rf"\{{\{{\s*({_NAME}(?:\.{_NAME})*)\s*\}}\}}")
_OPEN: Final = "{{"
_ESCAPED: Final = "{{{{"


class TemplateError(InvalidInputError):
    """A text is no template: ``(message, offset in characters)``."""

    kind = "invalid-template"

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Reference:
    """What stands between the braces: its names, and where the braces begin, in characters of the text."""

    names: tuple[str, ...]
    offset: int

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literal pieces and references, in order."""

    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Return the references, in order."""
        return tuple(part for part in self.parts if isinstance(part, Reference))

    def render(self, value: Callable[[Reference], str]) -> str:
        """Return the text with ``value`` of each reference in its place; whatever that raises goes through."""
        return "".join(part if isinstance(part, str) else value(part) for part in self.parts)

    def settle(self, value: Callable[[Reference], str | None]) -> str:
        """Return the template in which those references that have a ``value`` are text; None leaves one as it is."""
        return "".join(_settled(part, value) for part in self.parts)


def _settled(part: str | Reference, value: Callable[[Reference], str | None]) -> str:
    found = part if isinstance(part, str) else value(part)
    return f"{{{{{part}}}}}" if found is None else found.replace(_OPEN, _ESCAPED)


def parse_template(text: str) -> Template:
    """Return a text as literal pieces and references; linear in its length.

    Raises:
        TemplateError: after ``{{`` comes no reference with its ``}}``.
    """
    parts: list[str | Reference] = []
    literal: list[str] = []
    at = 0
    while (opened := text.find(_OPEN, at)) >= 0:
        literal.append(text[at:opened])
        if text.startswith(_ESCAPED, opened):
            literal.append(_OPEN)
            at = opened + len(_ESCAPED)
            continue
        match = _REFERENCE.match(text, opened)
        if match is None:
            raise TemplateError(_advice(text[opened:]), opened)
        parts += ["".join(literal), Reference(tuple(match[1].split(".")), opened)]
        literal = []
        at = match.end()
    parts.append("".join([*literal, text[at:]]))
    return Template(tuple(part for part in parts if part != ""))


def says_of_files(text: str) -> bool:
    """Say whether a text names something of each file; one that is no template does not."""
    try:
        return any(one.names[0] == "file" for one in parse_template(text).references)
    except TemplateError:
        return False


def _advice(rest: str) -> str:
    end = rest.find("}}")
    if end < 0:
        return '"{{" without "}}" after it; write "{{{{" for two braces'
    return f'{rest[: end + 2]!r} is no reference: names with dots between, such as "{{{{params.x}}}}"'
