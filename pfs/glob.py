"""Globs over trees: which files and directories a pattern names, and what its parentheses captured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from pfs.patterns.matcher import Matcher
from pfs.patterns.nodes import Segment
from pfs.patterns.parser import parse
from pfs.trees.page import Kind
from pfs.trees.row import Row, root_row
from pfs.trees.tree import Tree

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
    def levels(self) -> tuple[Matcher, ...]:
        """What matches the names from the root down; the last matches all that is left of a path if it may be deep."""
        names = next((n for n, segment in enumerate(self.segments) if segment.deep), len(self.segments))
        rest = self.segments[names:]
        return (*(Matcher((segment,)) for segment in self.segments[:names]), *((Matcher(rest),) if rest else ()))

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


def expand(tree: Tree, pattern: str | Glob) -> Iterator[Row]:
    """Yield the files and directories that match, in key order, opening only directories that can hold a match.

    The root directory matches ``/`` alone. Directory markers of S3 (files without a name and without bytes) and
    a top directory without a name are left out.

    Raises:
        InvalidInputError: the pattern is malformed.
    """
    glob = pattern if isinstance(pattern, Glob) else Glob(pattern)
    if not glob.segments:
        return iter((root_row(tree.pages, tree.root),))
    return (row for row in _expand(tree, glob) if not _is_nameless(row))


def _is_below_root(path: str) -> bool:
    return len(path) > 1 and path[0] == "/"


def _is_nameless(row: Row) -> bool:
    return not row.key or (row.kind != Kind.DIR and not row.size and row.key.endswith(b"/"))


def _expand(tree: Tree, glob: Glob) -> Iterator[Row]:
    """Match names level by level; a stack of our own, since patterns may have thousands of segments."""
    levels = tuple(zip(glob.segments, glob.levels, strict=False))
    stack = [_matches(tree, b"", *levels[0])]
    while stack:
        row = next(stack[-1], None)
        if row is None:
            stack.pop()
        elif len(stack) == len(levels):
            yield row
        elif row.kind == Kind.DIR:
            stack.append(_matches(tree, row.order_key, *levels[len(stack)]))


def _matches(tree: Tree, base: bytes, segment: Segment, matcher: Matcher) -> Iterator[Row]:
    """Yield what the segment (if it is deep, it and the rest of the pattern) matches in directory ``base``."""
    start = base + _bytes(segment.literal)
    if segment.deep:
        return (row for row in tree.scan_prefix(start, with_dirs=True) if _matched(matcher, row, len(base)))
    if segment.special:
        return (row for row in tree.list_delimited(start) if _matched(matcher, row, len(base)))
    rows = tree.stat(start, want="file"), tree.stat(start, want="dir")
    return (row for row in rows if row is not None)


def _matched(matcher: Matcher, row: Row, start: int) -> bool:
    if len(row.key) < start:  # the directory that is searched, spelled with its slash
        return False
    return matcher.matches(row.key[start:].decode(errors="surrogateescape"))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
