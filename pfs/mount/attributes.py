"""What a file system tells of each file: the few fields of ``stat`` that a commit knows."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pfs.files.restore_file import is_executable
from pfs.paths import is_disk_name
from pfs.trees.page import Kind
from pfs.trees.row import Row

_FOLDER: Final = stat.S_IFDIR | 0o555
_LINK: Final = stat.S_IFLNK | 0o777
_FILE: Final = stat.S_IFREG | 0o444
_PROGRAM: Final = stat.S_IFREG | 0o555


@dataclass(frozen=True, slots=True)
class Attributes:
    """Type and permissions as in ``stat``, bytes (0 of a directory), and when it last changed."""

    mode: int
    size: int
    mtime_ns: int


def folder(mtime_ns: int) -> Attributes:
    """Return the attributes of a directory that no commit has: the top, a repo, a branch."""
    return Attributes(_FOLDER, 0, mtime_ns)


def attributes_of(row: Row, *, otherwise_ns: int) -> Attributes:
    """Return the attributes of a file or directory; ``otherwise_ns`` where its row knows no time of change."""
    mtime_ns = otherwise_ns if row.changed is None else row.changed.finished_ns
    if row.is_dir:
        return Attributes(_FOLDER, 0, mtime_ns)
    if row.kind is Kind.SYMLINK:
        return Attributes(_LINK, row.size, mtime_ns)
    return Attributes(_PROGRAM if is_executable(row) else _FILE, row.size, mtime_ns)


def visible(rows: Iterable[Row], base: bytes) -> Iterator[tuple[bytes, Row]]:
    """Yield name and row of the children of the directory ``base`` that a file system can show.

    Left out is what only S3 can name, and a directory that has the name of a file beside it: the file is found first.
    ``rows`` are in key order, in which only names that begin with the file's stand between the two.
    """
    skip = len(base) + 1 if base else 0
    files: list[bytes] = []
    for row in rows:
        name = row.key[skip:]
        if not is_disk_name(name):
            continue
        while files and not name.startswith(files[-1]):
            files.pop()
        if not row.is_dir:
            files.append(name)
        elif name in files:
            continue
        yield name, row
