"""Whether a directory of a commit can stand on a disk, found out before anything is written.

Trees hold any key that S3 takes: ``..``, ``a//b``, a file and a directory of one name, links to anywhere. A disk does
not, and what left the target directory would be an attack on its owner.
"""

from __future__ import annotations

from pfs.errors import FileCollisionError, InvalidPathError, PathNotFoundError
from pfs.ids import ChunkId
from pfs.packs.objects import Objects
from pfs.paths import from_key, is_disk_name
from pfs.sources.links import stays_inside
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pfs.trees.tree import Tree


def check_tree(objects: Objects, tree: Tree, key: bytes) -> Row:
    """Return the row of the directory at ``key`` when everything below can stand on a disk.

    One walk over the rows, with one look-up a directory and one read a link.

    Raises:
        PathNotFoundError: there is no directory at ``key``.
        InvalidPathError: a name no disk holds, a link that may lead out, or bytes that are not in the store; the first.
        FileCollisionError: a path is both a file and a directory.
    """
    top = tree.stat(key, want="dir")
    if top is None:
        raise PathNotFoundError(from_key(key))
    skip = len(key) + 1 if key else 0
    for row in tree.walk(key, with_dirs=True):
        if is_marker(row):
            continue
        _check_names(row, skip)
        if row.is_dir and tree.stat(row.key, want="file") is not None:
            raise FileCollisionError(from_key(row.key), f"the file {from_key(row.key)}")
        if row.kind is Kind.SYMLINK:
            _check_link(objects, row, skip)
        elif row.kind in {Kind.REMOVED, Kind.EXTERNAL}:
            raise InvalidPathError(from_key(row.key), "its bytes are not in the store")
    return top


def is_marker(row: Row) -> bool:
    """Say whether the row is the empty object ``a/`` by which S3 clients make directories: no disk needs it."""
    return row.kind is Kind.FILE and row.size == 0 and (not row.key or row.key.endswith(b"/"))


def _check_names(row: Row, skip: int) -> None:
    # Of a row's elements only the last is new: those above were checked with their directory's own row.
    name = row.key[skip:].rpartition(b"/")[2]
    if not is_disk_name(name):
        raise InvalidPathError(from_key(row.key), "no disk can hold that name")


def _check_link(objects: Objects, row: Row, skip: int) -> None:
    text = objects.chunk(ChunkId(row.tid), row.size)
    if not stays_inside(text, row.key[skip:].count(b"/")):
        raise InvalidPathError(from_key(row.key), "it is a link that may lead out of the directory")
