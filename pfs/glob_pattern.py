"""Glob patterns as regular expressions: the syntax of Pachyderm's globs, segment by segment.

A pattern is a list of segments between slashes. A segment that cannot match a slash is matched against one name,
so that a tree is entered only where it can match; one with ``**`` (or a slash in parentheses) is *deep*: from it
on, whole paths are matched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from pfs.errors import InvalidInputError
from pfs.shorten import quoted

_MAX_NESTING = 32
_NAME_CHAR = "[^/]"
_NOT_END = "\0not-end"
"""Stands where the text that ``!(...)`` refuses ends, until it is known what follows in the segment."""
_TEXT_END = "\0text-end"
"""Stands behind text and stars: when some follows a ``!(...)``, that refuses all that only starts as it says."""
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
_QUANTIFIED: dict[str, tuple[str, str]] = {
    "@": ("((?:", "))"),
    "*": ("((?:", ")*)"),
    "+": ("((?:", ")+)"),
    "?": ("((?:", ")?)"),
    "!": ("((?:(?!(?:", f"){_NOT_END}){_NAME_CHAR}*))"),
}


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes of a pattern."""

    regex: str
    literal: str
    """The text before the first special character; all of it if there is none."""
    special: bool
    """Whether it has special characters."""
    deep: bool
    """Whether it may match a slash."""


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
        self.deep = False
        self.literal = ""
        self.special = False
        self.nesting = 0

    def segments(self) -> list[Segment]:
        found: list[Segment] = []
        while self.at < len(self.pattern):
            self.deep, self.literal, self.special = False, "", False
            regex = self._sequence("/")
            self.at += 1
            if regex and not (self.literal == "." and not self.special):
                found.append(Segment(_finish(regex), self.literal, self.special, self.deep))
        return found

    def _fail(self, why: str) -> NoReturn:
        raise InvalidInputError(f"invalid glob pattern {quoted(self.pattern)}: {why}")

    def _take(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _sequence(self, stops: str) -> str:
        """Return the regex up to (not with) one of ``stops`` or the end of the pattern."""
        parts: list[str] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in stops:
            parts.append(self._item())
        regex = "".join(parts)
        # Only the last refusal of a sequence may reach to its end.
        return regex.replace(_NOT_END, "", max(regex.count(_NOT_END) - 1, 0))

    def _item(self) -> str:
        char = self.pattern[self.at]
        opens_group = self.pattern.startswith("(", self.at + 1)
        if char == "(" or (char in "@*+?!" and opens_group):
            return self._group("@" if char == "(" else char)
        plain: dict[str, Callable[[], str]] = {"*": self._star, "?": self._one, "[": self._class, "{": self._choice}
        return plain.get(char, self._text)()

    def _group(self, quantifier: str) -> str:
        self.special = True
        self.at += 1 if self.pattern[self.at] == "(" else 2
        before, behind = _QUANTIFIED[quantifier]
        return before + "|".join(self._alternatives("|", ")")) + behind

    def _choice(self) -> str:
        self.special = True
        self.at += 1
        return "(?:" + "|".join(self._alternatives(",", "}")) + ")"

    def _alternatives(self, separator: str, close: str) -> list[str]:
        self.nesting += 1
        if self.nesting > _MAX_NESTING:
            self._fail(f"parentheses and braces are more than {_MAX_NESTING} deep")
        found = [self._sequence(separator + close)]
        while self._take(separator):
            found.append(self._sequence(separator + close))
        if not self._take(close):
            self._fail(f"{close!r} is missing")
        self.nesting -= 1
        return found

    def _star(self) -> str:
        self.special = True
        if self._take("**"):
            self.deep = True
            return ".*" + _TEXT_END
        self.at += 1
        return _NAME_CHAR + "*" + _TEXT_END

    def _one(self) -> str:
        self.special = True
        self.at += 1
        return _NAME_CHAR

    def _text(self) -> str:
        char = self._char()
        self.deep = self.deep or char == "/"
        if not self.special:
            self.literal += char
        return re.escape(char) + _TEXT_END

    def _char(self) -> str:
        self._take("\\")
        if self.at == len(self.pattern):
            self._fail("a character is missing at the end")
        self.at += 1
        return self.pattern[self.at - 1]

    def _class(self) -> str:
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
        return f"(?!/)[{sign}{members}]"

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


def _finish(regex: str) -> str:
    """Settle how far the refusals of a segment reach: to its end, unless text or a star comes behind the first."""
    first, found, behind = regex.partition(_NOT_END)
    reach = "" if _TEXT_END in behind else r"(?=/|\Z)"
    return (first + found + behind).replace(_NOT_END, reach).replace(_TEXT_END, "")
