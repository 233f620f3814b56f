"""What an address shows: the files of a commit, in the words of fsspec."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Final

from pfs.errors import PathNotFoundError
from pfs.files.reader import FileReader, Source
from pfs.ids import CommitId
from pfs.paths import to_key
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pfs.trees.tree import Tree
from pfs.view import file_info

Info = dict[str, object]
"""What fsspec calls info: ``name``, ``size`` and ``type``, and what we add."""
_ODD: Final = re.compile(rb"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]")
"""Keys that only S3 can name: empty, ``.`` and ``..`` elements, control characters."""


class Files:
    """The files of a tree under a name ``repo@ref``; immutable, thread-safe.

    ``pinned`` is the name under which the same files are found for ever, ``at_ns`` the time of the commit.
    """

    commit: tuple[str, CommitId] | None = None
    """The repo and commit that they are of."""

    def __init__(self, name: str, tree: Tree, source: Source, *, pinned: str, at_ns: int) -> None:
        self.name, self.source, self.pinned = name, source, pinned
        self._tree, self._at_ns = tree, at_ns

    @property
    def tree(self) -> Tree:
        """The tree to list."""
        return self._tree

    def find(self, path: str) -> Row | None:
        """Return the file at a path, else the directory, else None; raises InvalidPathError."""
        return self.tree.stat(to_key(path))

    def find_file(self, path: str) -> Row | None:
        """Return the file at a path, else None; raises InvalidPathError."""
        return self.tree.stat(to_key(path), want="file")

    def row(self, path: str) -> Row:
        """Return the file or directory at a path; raises PathNotFoundError, InvalidPathError."""
        found = self.find(path)
        if found is None:
            raise PathNotFoundError(f"{self.name}:{path}")
        return found

    def file(self, path: str) -> Row:
        """Return the file at a path.

        Raises:
            PathNotFoundError: nothing is there. IsADirectoryError: it is a directory.
            OSError: it was purged, or its bytes are not in the store.
        """
        row = self.find_file(path) or self.row(path)
        if row.is_dir:
            raise is_a_directory(f"{self.name}{path}")
        if row.kind == Kind.REMOVED:
            raise OSError(errno.ENODATA, f"{path} was purged: only its size and hash are kept")
        if row.kind == Kind.EXTERNAL:
            raise OSError(errno.ENODATA, f"the bytes of {path} are not in the store")
        return row

    def open(self, row: Row) -> FileReader:
        """Return the bytes of a file as a raw stream."""
        return FileReader(self.source, row)

    def list(self, start: Row, *, max_depth: int | None = 1, with_dirs: bool = True) -> Iterator[Row]:
        """Yield what lies below a directory, down to ``max_depth`` levels (None: all), directories before their files.

        What only S3 can name is left out.
        """
        if max_depth is None:
            rows = self.tree.walk(start.key, with_dirs=with_dirs)
        else:
            rows = (row for row in self._levels(start, max_depth) if with_dirs or not row.is_dir)
        return (row for row in rows if not _ODD.search(row.key))

    def _levels(self, start: Row, max_depth: int) -> Iterator[Row]:
        stack = [self.tree.list(start.key)]
        while stack:
            row = next(stack[-1], None)
            if row is None:
                stack.pop()
                continue
            yield row
            if row.is_dir and row.key and len(stack) < max_depth:
                stack.append(self.tree.list(row.key))

    def info(self, row: Row) -> Info:
        """Return a row as fsspec's info.

        Directories have ``size`` 0, since sizes are added up, and ``total_bytes`` and ``file_count`` of all below.
        ``mtime`` is seconds since the epoch; ``hash`` is of the content, of a directory of all below.
        """
        about = file_info(row)
        at_ns = self._at_ns if about.changed_ns is None else about.changed_ns
        info: Info = {
            "name": f"{self.name}{about.path}".rstrip("/"),
            "size": 0 if row.is_dir else row.size,
            "type": {"symlink": "link", "removed": "other", "external": "other"}.get(about.type, about.type),
            "hash": about.hash,
            "commit": about.commit,
            "mtime": at_ns / 1e9,
        }
        if row.is_dir:
            return info | {"total_bytes": row.size, "file_count": row.count}
        return info | {"mime": about.mime, "metadata": dict(about.metadata), "executable": about.executable}


def is_a_directory(name: str) -> IsADirectoryError:
    """Return the error of an operation on files that is given a directory."""
    return IsADirectoryError(errno.EISDIR, f"{name} is a directory")
