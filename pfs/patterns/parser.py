"""The syntax of Pachyderm's globs, segment by segment.

A pattern is a list of segments between slashes. A segment that cannot match a slash is matched against one name,
so that a tree is entered only where it can match; one with ``**`` (or a slash in parentheses) is *deep*: from it
on, whole paths are matched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from pfs.errors import InvalidInputError
from pfs.patterns.nodes import Choice, Group, Node, OneOf, Segment, Sequence, Star, Text
from pfs.shorten import quoted

_MAX_NESTING = 32
_NAME_CHAR = "[^/]"
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7f",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}


def parse(pattern: str) -> list[Segment]:
    """Return the segments of a pattern; slashes in front, at the end and doubled do not count.

    Raises:
        InvalidInputError: a bracket, brace or parenthesis is not closed, a class is empty or unknown, or the
            pattern ends in a backslash, holds a NUL, or nests too deep.
    """
    if "\0" in pattern:
        raise InvalidInputError(f"invalid glob pattern {quoted(pattern)}: NUL is in no path")
    return _Parser(pattern).segments()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.nesting = 0
        self.groups = 0
        self._start_segment()

    def _start_segment(self) -> None:
        self.deep = False
        self.literal = ""
        self.special = False
        self.refuses_whole = 0

    def segments(self) -> list[Segment]:
        found: list[Segment] = []
        while self.at < len(self.pattern):
            self._start_segment()
            nodes = self._sequence("/")
            self.at += 1
            if nodes and not (self.literal == "." and not self.special):
                found.append(Segment(nodes, self.literal, self.special, self.deep, self.refuses_whole))
        return found

    def _fail(self, why: str) -> NoReturn:
        raise InvalidInputError(f"invalid glob pattern {quoted(self.pattern)}: {why}")

    def _take(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _sequence(self, stops: str) -> Sequence:
        """Return what stands up to (not with) one of ``stops`` or the end of the pattern."""
        nodes: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in stops:
            node = self._item()
            last = nodes[-1] if nodes else None
            if isinstance(node, Text) and isinstance(last, Text):
                nodes[-1] = Text(last.text + node.text)
            else:
                nodes.append(node)
        return tuple(nodes)

    def _item(self) -> Node:
        char = self.pattern[self.at]
        opens_group = self.pattern.startswith("(", self.at + 1)
        if char == "(" or (char in "@*+?!" and opens_group):
            return self._group("@" if char == "(" else char)
        plain: dict[str, Callable[[], Node]] = {"*": self._star, "?": self._one, "[": self._class, "{": self._choice}
        return plain.get(char, self._text)()

    def _group(self, sign: str) -> Group:
        self.special = True
        self.at += 1 if self.pattern[self.at] == "(" else 2
        self.groups += 1
        number = self.groups
        alternatives = self._alternatives("|", ")")
        if sign == "!":
            self.refuses_whole = number
        return Group(number, sign, alternatives)

    def _choice(self) -> Choice:
        self.special = True
        self.at += 1
        return Choice(self._alternatives(",", "}"))

    def _alternatives(self, separator: str, close: str) -> tuple[Sequence, ...]:
        self.nesting += 1
        if self.nesting > _MAX_NESTING:
            self._fail(f"parentheses and braces are more than {_MAX_NESTING} deep")
        found = [self._sequence(separator + close)]
        while self._take(separator):
            found.append(self._sequence(separator + close))
        if not self._take(close):
            self._fail(f"{close!r} is missing")
        self.nesting -= 1
        return tuple(found)

    def _star(self) -> Star:
        self.special = True
        self.refuses_whole = 0
        deep = self._take("**")
        self.at += 0 if deep else 1
        self.deep = self.deep or deep
        return Star(deep)

    def _one(self) -> OneOf:
        self.special = True
        self.at += 1
        return OneOf(_NAME_CHAR)

    def _text(self) -> Text:
        char = self._char()
        self.refuses_whole = 0
        self.deep = self.deep or char == "/"
        if not self.special:
            self.literal += char
        return Text(char)

    def _char(self) -> str:
        self._take("\\")
        if self.at == len(self.pattern):
            self._fail("a character is missing at the end")
        self.at += 1
        return self.pattern[self.at - 1]

    def _class(self) -> OneOf:
        self.special = True
        self.at += 1
        sign = "^" if self._take("!") or self._take("^") else ""
        members = ""
        while not self._take("]"):
            if self.at == len(self.pattern):
                self._fail("']' is missing")
            members += self._member()
        if not members:
            self._fail("a class needs at least one character, as in [a-z]")
        return OneOf(f"[{sign}{members}]")

    def _member(self) -> str:
        named = re.compile(r"\[:(\^?)(\w*):\]").match(self.pattern, self.at)
        if named:
            self.at = named.end()
            return self._named(named[1], named[2])
        low = self._char()
        if not self.pattern.startswith("-", self.at) or self.pattern.startswith("-]", self.at):
            return re.escape(low)
        self.at += 1
        high = self._char()
        if high < low:
            self._fail(f"the range {low}-{high} is upside down")
        return f"{re.escape(low)}-{re.escape(high)}"

    def _named(self, sign: str, name: str) -> str:
        if name not in _CLASSES or sign:
            self._fail(f"{sign}{quoted(name)} is no character class; there are {', '.join(_CLASSES)}")
        return _CLASSES[name]
