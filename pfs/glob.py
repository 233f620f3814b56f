"""Globs over trees: which files and directories a pattern names, and what its parentheses captured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from pfs.glob_pattern import Segment, parse
from pfs.trees.page import Kind
from pfs.trees.row import Row, root_row
from pfs.trees.tree import Tree

_REFERENCE = re.compile(r"\$(?:(\$)|(\d+)|\{(\d+)\})")


class Glob:
    """A compiled pattern; immutable, safe to share between threads.

    ``*`` and ``?`` match within a name, ``**`` across slashes, ``[...]`` a class (never a slash), ``{a,b}`` one of
    several; ``(a|b)`` or ``@(a|b)`` one, ``*(...)`` any number, ``+(...)`` one or more, ``?(...)`` one or none,
    ``!(...)`` anything else, and these capture; a backslash takes the next character as it is. A pattern matches
    whole paths; ``/`` and the empty pattern match the root directory alone.

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
    def _regex(self) -> re.Pattern[str]:
        return re.compile("/" + "/".join(segment.regex for segment in self.segments), re.DOTALL)

    def match(self, path: str) -> re.Match[str] | None:
        """Return the match of a whole path (with its leading slash), None if there is none."""
        if not self.segments:
            return re.fullmatch("/", path)
        return None if path == "/" else self._regex.fullmatch(path)

    def groups(self, path: str) -> tuple[str, ...]:
        """Return what the parentheses captured, by the order in which they open; one that took no part gives ``""``.

        A path that does not match gives ``()``.
        """
        match = self.match(path)
        return match.groups("") if match else ()

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
    return (row for row in _expand(tree, glob.segments) if not _is_nameless(row))


def _is_nameless(row: Row) -> bool:
    return not row.key or (row.kind != Kind.DIR and not row.size and row.key.endswith(b"/"))


def _expand(tree: Tree, segments: tuple[Segment, ...]) -> Iterator[Row]:
    """Match names level by level; a stack of our own, since patterns may have thousands of segments."""
    stack = [_matches(tree, b"", segments)]
    while stack:
        row = next(stack[-1], None)
        if row is None:
            stack.pop()
        elif len(stack) == len(segments) or segments[len(stack) - 1].deep:
            yield row
        elif row.kind == Kind.DIR:
            stack.append(_matches(tree, row.order_key, segments[len(stack) :]))


def _matches(tree: Tree, base: bytes, segments: tuple[Segment, ...]) -> Iterator[Row]:
    """Yield what the first segment (if it is deep, the rest of the pattern) matches in directory ``base``."""
    first = segments[0]
    start = base + _bytes(first.literal)
    if first.deep:
        regex = re.compile("/".join(segment.regex for segment in segments), re.DOTALL)
        return (row for row in tree.scan_prefix(start, with_dirs=True) if _matched(regex, row, len(base)))
    if first.special:
        regex = re.compile(first.regex, re.DOTALL)
        return (row for row in tree.list_delimited(start) if _matched(regex, row, len(base)))
    rows = tree.stat(start, want="file"), tree.stat(start, want="dir")
    return (row for row in rows if row is not None)


def _matched(regex: re.Pattern[str], row: Row, start: int) -> bool:
    if len(row.key) < start:  # the directory that is searched, spelled with its slash
        return False
    return regex.fullmatch(row.key[start:].decode(errors="surrogateescape")) is not None


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
