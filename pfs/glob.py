"""Globs: which paths a pattern names, and what its parentheses captured; `expand` takes them to trees."""

from __future__ import annotations

import re
from functools import cached_property

from pfs.patterns.matcher import Matcher
from pfs.patterns.names import Level
from pfs.patterns.parser import parse

_REFERENCE = re.compile(r"\$(?:(\$)|(\d+)|\{(\d+)\})")


class Glob:
    """A compiled pattern; immutable, safe to share between threads.

    ``*`` and ``?`` match within a name, ``**`` across slashes, ``[...]`` a class (never a slash), ``{a,b}`` one of
    several; ``(a|b)`` or ``@(a|b)`` one, ``*(...)`` any number, ``+(...)`` one or more, ``?(...)`` one or none,
    ``!(...)`` anything else, and these capture; a backslash takes the next character as it is. A pattern matches
    whole paths; ``/`` and the empty pattern match the root directory alone. Every pattern takes a time that is
    polynomial in the length of the path.

    Raises:
        InvalidInputError: the pattern is malformed.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.segments = tuple(parse(pattern))

    def __repr__(self) -> str:
        return f"Glob({self.pattern!r})"

    @property
    def literal_prefix(self) -> str:
        """The path text before the first special character, which every match starts with."""
        prefix = ""
        for segment in self.segments:
            prefix += "/" + segment.literal
            if segment.special:
                break
        return prefix or "/"

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """What matches the names from the root down; the last matches all that is left of a path if it may be deep."""
        names = next((n for n, segment in enumerate(self.segments) if segment.deep), len(self.segments))
        rest = self.segments[names:]
        return (*(Level((segment,)) for segment in self.segments[:names]), *((Level(rest),) if rest else ()))

    @cached_property
    def _whole(self) -> Matcher:
        return Matcher(self.segments)

    def match(self, path: str) -> bool:
        """Say whether a whole path (with its leading slash) matches."""
        if not self.segments:
            return path == "/"
        return _is_below_root(path) and self._whole.matches(path[1:])

    def unknown_groups(self, template: str) -> tuple[int, ...]:
        """Return the numbers that a template of `replace` names and the pattern has no parentheses for."""
        numbers = [int(found[2] or found[3]) for found in _REFERENCE.finditer(template) if not found[1]]
        return tuple(number for number in numbers if number > self._whole.group_count)

    @staticmethod
    def has_references(template: str) -> bool:
        """Say whether a template of `replace` has a ``$n``: without one it gives the same for every path."""
        return any(not found[1] for found in _REFERENCE.finditer(template))

    @staticmethod
    def bare(template: str) -> str:
        """Return what `replace` makes of a template when all that it refers to is empty."""
        return _REFERENCE.sub(lambda found: "$" if found[1] else "", template)

    def groups(self, path: str) -> tuple[str, ...]:
        """Return what the parentheses captured, by the order in which they open; one that took no part gives ``""``.

        A path that does not match gives ``()``.
        """
        return (self._whole.groups(path[1:]) or ()) if _is_below_root(path) else ()

    def replace(self, template: str, path: str) -> str:
        """Return ``template`` with ``$n`` and ``${n}`` as captured from ``path``.

        ``$0`` is the whole path and ``$$`` a dollar; a group that does not exist gives ``""``.
        """
        found = (path, *self.groups(path))

        def value(reference: re.Match[str]) -> str:
            if reference[1]:
                return "$"
            number = int(reference[2] or reference[3])
            return found[number] if number < len(found) else ""

        return _REFERENCE.sub(value, template)


def _is_below_root(path: str) -> bool:
    return len(path) > 1 and path[0] == "/"
