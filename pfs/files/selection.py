"""What a path or pattern names in a tree, with the names that it gets outside of the store.

The content of a directory is named from that directory, a file by its base name, and what a pattern matches by its
whole path: the same on a disk and in an archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from pfs.errors import PathNotFoundError
from pfs.paths import from_key
from pfs.trees.row import Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.glob import Glob


class Item(NamedTuple):
    """A file or directory that goes out; ``name`` is relative, without slashes at its ends."""

    name: bytes
    row: Row


class Selection(Struct, frozen=True):
    """Files and directories of one tree, in key order, a directory before what it holds; iterable again and again."""

    rows: Callable[[], Iterator[Row]]
    skip: int
    """Bytes in front of each key that are not part of the name."""

    def __iter__(self) -> Iterator[Item]:
        return (Item(row.key[self.skip :], row) for row in self.rows())


def single(row: Row) -> Selection:
    """Select one file, by its base name."""
    return Selection(lambda: iter((row,)), row.key.rfind(b"/") + 1)


def below(tree: Tree, key: bytes) -> Selection:
    """Select everything below the directory ``key`` (empty: the root).

    Raises:
        PathNotFoundError: there is no directory at ``key``.
    """
    if tree.stat(key, want="dir") is None:
        raise PathNotFoundError(from_key(key))
    return Selection(lambda: tree.walk(key, with_dirs=True), len(key) + 1 if key else 0)


def matching(tree: Tree, glob: Glob) -> Selection:
    """Select what a pattern matches, directories with all that is below them; each file once."""
    from pfs.expand import expand  # few commands match patterns

    return Selection(lambda: with_contents(tree, expand(tree, glob)), 0)


def with_contents(tree: Tree, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows, each directory followed by all below it; ``rows`` come in key order."""
    for row in outermost(rows):
        if row.key:
            yield row
        if row.is_dir:
            yield from tree.walk(row.key, with_dirs=True)


def outermost(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that do not lie in a directory among them; ``rows`` come in key order."""
    inside: bytes | None = None
    for row in rows:
        if inside is not None and row.key.startswith(inside):
            continue
        inside = (row.key + b"/" if row.key else b"") if row.is_dir else inside
        yield row
