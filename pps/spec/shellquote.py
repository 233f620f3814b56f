"""Values put into a text for the shell, so that they are never code: quoted as the place where they stand needs it.

The text is read as POSIX says that ``sh`` reads it: bare words, single and double quotes, comments, ``$(…)`` and here
documents. Where shells do not agree, or what stands there is evaluated once more (``${…}``, ``$((…))``, backquotes,
``$'…'``, a here document with a quoted delimiter), a reference is refused, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from pfs.errors import InvalidInputError
from pps.spec.template import Reference, Template, TemplateError

_HOLE: Final = "\0"
"""Stands for a reference while the text is read; no text holds one."""
_BLANK: Final = frozenset(" \t\n;&|()<>")
_BRACES: Final = re.compile(r"\$\{(?:[^'\"`\\{}()$\0\n]|\$[A-Za-z0-9_@*#?!])*\}")
_BACKQUOTES: Final = re.compile(r"`[^`\\\0]*`")
_HERE: Final = re.compile(r"<<(-?)[ \t]*(?:'([^'\n\0]+)'|\"([^\"\n\0$`\\]+)\"|\\?([A-Za-z0-9_.+-]+))(?=[\s;&|<>()]|$)")
_COPY: Final = re.compile(r"[<>]&(?:[0-9]+|-)(?=[\s;&|<>()]|$)")
_CASE: Final = re.compile(r"case(?=\s)")
_HARMLESS: Final = re.compile(r"[^A-Za-z0-9._/-]")
_IN_DOUBLE: Final = re.compile(r'([$`"\\])')
_IN_HERE: Final = re.compile(r"([$`\\])")
_NOTHING: Final = "${0+}"
"""Expands to nothing, and keeps a line of a value from being the end of its here document."""
_IN_BODY: Final = "comes after an expansion in a here document"


class Where(Enum):
    """Where a reference stands."""

    BARE = auto()
    SINGLE = auto()
    DOUBLE = auto()
    COMMENT = auto()
    HERE = auto()


def shell_places(template: Template) -> tuple[Where, ...]:
    """Return where each reference of a text for the shell stands, in order; linear in its length.

    Raises:
        TemplateError: one stands where no value is safe; with its offset.
    """
    if not template.references:
        return ()
    return tuple(_Reader(template).read())


def render_shell(template: Template, value: Callable[[Reference], str]) -> str:
    """Return the text with the values of its references in place, each as text of one piece.

    In a bare place a value is one word, also an empty one. What a program makes of its words is its own affair: one
    that begins with a dash may be an option, and ``eval`` and ``sh -c`` run them.

    Raises:
        TemplateError: as `shell_places`. InvalidInputError: a value has a NUL byte, which no command can be given.
    """
    places = iter(shell_places(template))
    return template.render(lambda reference: _quoted(value(reference), next(places), reference))


def settle_shell(template: Template, value: Callable[[Reference], Template | None]) -> str:
    """Return the template in which references that have a ``value`` are that, its text quoted as its place needs it.

    Raises:
        TemplateError: as `shell_places`.
    """
    places, made = iter(shell_places(template)), []
    for part in template.parts:
        where = None if isinstance(part, str) else next(places)
        found = None if isinstance(part, str) else value(part)
        for piece in (part,) if found is None else found.parts:
            if isinstance(piece, Reference):
                made.append(f"{{{{{piece}}}}}")
            else:
                text = piece if where is None or isinstance(part, str) else _quoted(piece, where, part)
                made.append(text.replace("{{", "{{{{"))
    return "".join(made)


def _quoted(value: str, where: Where, reference: Reference) -> str:
    if "\0" in value:
        raise InvalidInputError(f"the value of {{{{{reference}}}}} has a NUL byte, which no command can be given")
    match where:
        case Where.BARE:
            return "'" + value.replace("'", "'\\''") + "'"
        case Where.SINGLE:
            return value.replace("'", "'\\''")
        case Where.DOUBLE:
            return _IN_DOUBLE.sub(r"\\\1", value)
        case Where.HERE:
            return _NOTHING + _IN_HERE.sub(r"\\\1", value).replace("\n", "\n" + _NOTHING)
        case Where.COMMENT:
            return _HARMLESS.sub("_", value)


class _Reader:
    """Reads a text once; ``_open`` has what encloses the place, the innermost last.

    ``(`` is a subshell, ``$`` a command substitution, ``#`` something that may be arithmetic, ``"`` double quotes.
    ``_doubt`` is why no reference is safe from here on.
    """

    def __init__(self, template: Template) -> None:
        self._text = "".join(part if isinstance(part, str) else _HOLE for part in template.parts)
        self._references = iter(template.references)
        self._found: list[Where] = []
        self._open: list[str] = []
        self._pending: list[tuple[str, bool, bool]] = []
        self._doubt = ""
        self._at = 0
        self._fresh = True

    def read(self) -> list[Where]:
        while self._at < len(self._text):
            if self._open and self._open[-1] == '"':
                self._in_double(self._text[self._at])
            else:
                self._in_bare(self._text[self._at])
        return self._found

    def _hole(self, where: Where, why_not: str = "") -> None:
        reference = next(self._references)
        reason = self._doubt or why_not
        if not reason and "#" in self._open:
            reason = "stands in what may be arithmetic, which is evaluated"
        if reason:
            advice = 'give it by `env` and write "$NAME"'
            raise TemplateError(f"{{{{{reference}}}}} {reason}, where no value is safe: {advice}", reference.offset)
        self._found.append(where)

    def _doubts(self, why: str) -> None:
        self._doubt = self._doubt or why

    def _in_bare(self, char: str) -> None:
        fresh, self._fresh = self._fresh, char in _BLANK
        self._at += 1
        match char:
            case "\0":
                self._hole(Where.BARE)
            case "\\":
                self._escape(fresh)
            case "'":
                self._single()
            case '"':
                self._open.append('"')
            case "$" | "`":
                self._expansion(char)
            case "#" if fresh:
                self._comment()
            case "(" | ")":
                self._paren(char)
            case "<" if self._text.startswith("<", self._at):
                self._here()
            case "&" if self._text[self._at - 2 : self._at - 1] in {"<", ">"}:
                # bash expands the word of one without a number twice.
                if not _COPY.match(self._text, self._at - 2):
                    self._doubts("comes after a >& without a number")
            case "\n" if self._pending:
                self._bodies()
            case "c" if fresh and "$" in self._open and _CASE.match(self._text, self._at - 1):
                self._doubts("comes after a `case` in $(…), whose end shells do not agree about")
            case _:
                pass

    def _in_double(self, char: str) -> None:
        self._at += 1
        match char:
            case "\0":
                self._hole(Where.DOUBLE)
            case '"':
                self._open.pop()
                self._fresh = False
            case "\\":
                self._escape(fresh=False)
            case "$" | "`":
                self._expansion(char)
            case "\n" if self._pending:
                self._doubts("comes after quotes over the beginning of a here document")
            case _:
                pass

    def _escape(self, fresh: bool) -> None:
        following = self._text[self._at : self._at + 1]
        if following == _HOLE:
            self._hole(Where.BARE, "comes after a backslash")
        if following == "\n":
            self._fresh = fresh
        self._at += 1

    def _single(self) -> None:
        end = self._text.find("'", self._at)
        end = len(self._text) if end < 0 else end
        inside = self._text[self._at : end]
        for _ in range(inside.count(_HOLE)):
            self._hole(Where.SINGLE)
        if self._pending and "\n" in inside:
            self._doubts("comes after quotes over the beginning of a here document")
        self._at = end + 1

    def _comment(self) -> None:
        if "#" in self._open:
            self._doubts("comes after what may be a comment or arithmetic")
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        for _ in range(self._text.count(_HOLE, self._at, end)):
            self._hole(Where.COMMENT)
        self._at = end
        self._fresh = True

    def _paren(self, char: str) -> None:
        if char == "(":
            if self._pending:
                self._doubts("comes after a parenthesis on the line of a here document")
            before = self._text[self._at - 2 : self._at - 1]
            self._open.append("#" if before == "(" else "(")
            return
        if self._open and self._open.pop() == "$":
            self._fresh = False
            if self._pending:
                self._doubts("comes after a here document that does not end in its $(…)")

    def _expansion(self, char: str) -> None:
        """Pass over what a dollar sign or a backquote, just read, begins; of ``$(`` only that."""
        start, following = self._at - 1, self._text[self._at : self._at + 1]
        whole = (_BACKQUOTES if char == "`" else _BRACES).match(self._text, start)
        if char == "`" or following == "{":
            if whole is None:
                what = "`…`" if char == "`" else "${…}"
                self._doubts(f"stands in {what}, or after one with quotes or others in it")
            else:
                self._at = whole.end()
        elif following == _HOLE:
            self._hole(Where.BARE, "comes after a dollar sign")
        elif following == "'" and not (self._open and self._open[-1] == '"'):
            self._doubts("comes after $'…', which shells read in different ways")
        elif following == "(":
            if self._pending:
                self._doubts("comes after a $(…) on the line of a here document")
            self._open.append("$")
            self._at += 1
            self._fresh = True
        elif following and following in "#?!@*-$":
            self._at += 1

    def _here(self) -> None:
        start = self._at - 1
        if self._text.startswith("<<<", start):
            self._at = start + 3
            return
        match = _HERE.match(self._text, start)
        if match is None or "#" in self._open:
            self._doubts("comes after a << that may be a here document")
            return
        plain = match[4] is not None and not match[0].endswith("\\" + match[4])
        self._pending.append((match[2] or match[3] or match[4], plain, bool(match[1])))
        self._at, self._fresh = match.end(), False

    def _bodies(self) -> None:
        """Pass over the here documents whose lines begin here."""
        pending, self._pending = self._pending, []
        for delimiter, plain, tabs in pending:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._at = end + 1
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
                self._here_line(line, plain=plain)
            self._doubt = self._doubt.removeprefix(_IN_BODY)
        self._fresh = True

    def _here_line(self, line: str, *, plain: bool) -> None:
        if plain and (len(line) - len(line.rstrip("\\"))) % 2:
            self._doubts("comes after a line of a here document that ends in a backslash")
        at = 0
        while at < len(line):
            char, following = line[at], line[at + 1 : at + 2]
            if char == _HOLE:
                reason = "" if plain else "stands in a here document with a quoted delimiter"
                self._hole(Where.HERE, reason)
            elif plain and char in "\\$" and following == _HOLE:
                self._hole(Where.HERE, "comes after a backslash or a dollar sign")
            elif plain and (char == "`" or (char == "$" and following in {"(", "{"})):
                self._doubts(_IN_BODY)
            at += 2 if plain and char == "\\" else 1
