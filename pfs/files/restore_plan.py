"""Whether files can stand on a disk under their names, found out before anything is written.

Trees hold any key that S3 takes: ``..``, ``a//b``, a file and a directory of one name, links to anywhere. A disk does
not, and what left the target directory would be an attack on its owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pfs.errors import FileCollisionError, InvalidPathError
from pfs.files.selection import Item
from pfs.ids import ChunkId
from pfs.packs.objects import Objects
from pfs.paths import from_key, is_disk_name
from pfs.sources.links import stays_inside
from pfs.trees.page import Kind
from pfs.trees.row import Row


class Totals(NamedTuple):
    """How much goes out."""

    files: int
    size: int


def check_items(objects: Objects, items: Iterable[Item]) -> Totals:
    """Return how much ``items`` (in key order) are when all of them can stand on a disk.

    One walk over the rows, and one read a link.

    Raises:
        InvalidPathError: a name no disk holds, a link that may lead out, or bytes that are not in the store; the first.
        FileCollisionError: a path is both a file and a directory.
    """
    files = size = 0
    collisions, checked = _Collisions(), b""
    for item in items:
        if is_marker(item.row):
            continue
        parent, _, name = item.name.rpartition(b"/")
        known, checked = parent == checked, parent
        _check_names(item, [name] if known else item.name.split(b"/"))
        collisions.add(item)
        if not item.row.is_dir:
            _check_content(objects, item)
            files, size = files + 1, size + item.row.size
    return Totals(files, size)


def is_marker(row: Row) -> bool:
    """Say whether a row is nothing on a disk: a purged file, or the empty object ``a/``, a directory of S3 clients."""
    return row.kind is Kind.REMOVED or (
        row.kind is Kind.FILE and row.size == 0 and (not row.key or row.key.endswith(b"/"))
    )


class _Collisions:
    """Finds files that are directories too, in one pass: between ``a`` and ``a/b`` come only keys that begin with a."""

    def __init__(self) -> None:
        self._above: list[bytes] = []

    def add(self, item: Item) -> None:
        while self._above and not item.name.startswith(self._above[-1]):
            self._above.pop()
        place = item.name + b"/" if item.row.is_dir else item.name
        for file in self._above:
            if place.startswith(file + b"/"):
                path = from_key(item.row.key[: len(item.row.key) - len(item.name) + len(file)])
                raise FileCollisionError(path, f"the file {path}")
        if not item.row.is_dir:
            self._above.append(item.name)


def _check_names(item: Item, names: Iterable[bytes]) -> None:
    if not all(map(is_disk_name, names)):
        raise InvalidPathError(from_key(item.row.key), "no disk can hold that name")


def _check_content(objects: Objects, item: Item) -> None:
    if item.row.kind is Kind.SYMLINK:
        _check_link(objects, item)
    elif item.row.kind is Kind.EXTERNAL:
        raise InvalidPathError(from_key(item.row.key), "its bytes are not in the store")


def _check_link(objects: Objects, item: Item) -> None:
    text = objects.chunk(ChunkId(item.row.tid), item.row.size)
    if not stays_inside(text, item.name.count(b"/")):
        raise InvalidPathError(from_key(item.row.key), "it is a link that may lead out of the directory")
