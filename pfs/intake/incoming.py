"""What one put brings, as a tree of its own, until all of it is there: then it is compared with what the commit holds.

So archives may refer to what they brought before, two sources cannot put one path unnoticed, a source that fails
half-way leaves nothing behind, and a mirror knows what is extra; in the memory of a tree, whatever the number of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from pfs.changes.writer import CommitWriter
from pfs.errors import FileCollisionError, InvalidInputError
from pfs.paths import to_key
from pfs.trees.edit import Delete, Edit, Put
from pfs.trees.row import Root, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.trees.diff import Change

_BATCH = 1024


class Incoming:
    """Files that are put, by key; not thread-safe."""

    def __init__(self, writer: CommitWriter, *, archive: str | None = None) -> None:
        """``archive``: the name of the one that all files come from."""
        self._writer, self._archive = writer, archive
        self._staging = writer.blank_staging()

    def add(self, put: Put) -> None:
        """Add a file; the last one counts.

        Raises:
            InvalidInputError: a path would be both a file and a directory; at the latest when the tree is read.
        """
        with self._own_collisions():
            self._staging.add([put])

    def find(self, key: bytes) -> Row | None:
        """Return the file at a key."""
        with self._own_collisions():
            return self._staging.stat(key, want="file")

    def edit(self, edits: Iterable[Edit]) -> None:
        """Change what is there."""
        for one in edits:
            with self._own_collisions():
                self._staging.add([one])

    def tree(self) -> Tree:
        """Return all files as they are now."""
        return Tree(self._writer.session, self._root())

    def puts(self) -> Iterator[Put]:
        """Yield all files in key order, as edits."""
        return (_put(row) for row in self.tree().walk())

    def put_all(self) -> None:
        """Stage all files."""
        _stage(self._writer, self.puts())

    def mirror(self, path: str) -> tuple[int, int]:
        """Stage what makes the files below ``path`` the ones here; return how many are deleted, and put anew."""
        # Deletions come first: a file may take the place of a directory that is gone.
        deleted = _stage(self._writer, (Delete(one.key) for one in self._changes(path) if one.new is None))
        rows = (one.new for one in self._changes(path) if one.new is not None and not _holds(one.old, one.new))
        return deleted, _stage(self._writer, map(_put, rows))

    def _changes(self, path: str) -> Iterator[Change]:
        from pfs.trees.diff import diff

        key, session = to_key(path), self._writer.session
        base = key + b"/" if key else b""
        return diff(session, self._writer.begun_with, session, self._root(), prefix=base)

    def _root(self) -> Root:
        with self._own_collisions():
            return self._staging.changes().ours

    @contextmanager
    def _own_collisions(self) -> Iterator[None]:
        """Turn a collision into wrong input: here nothing is but what is put, whatever the commit holds."""
        try:
            yield
        except FileCollisionError as error:
            both = f"both {error.path} and {error.existing}, and a path is either a file or a directory"
            if self._archive is None:
                raise InvalidInputError(f"the sources put {both}: give them different paths") from error
            from pfs.sources.members import refused

            raise refused(self._archive, f"it puts {both}") from error


def _put(row: Row) -> Put:
    return Put(row.key, row.kind, row.size, row.tid, row.aux)


def _holds(old: Row | None, new: Row) -> bool:
    """Say whether a file is as the source has it: what is known beside that, as an S3 ETag, is no difference."""
    if old is None or (old.kind, old.size, old.tid) != (new.kind, new.size, new.tid):
        return False
    there, wanted = old.aux or {}, {"x": False, **(new.aux or {})}
    return all(there.get(name, False) == value for name, value in wanted.items())


def _stage(writer: CommitWriter, edits: Iterable[Edit]) -> int:
    source, count = iter(edits), 0
    while batch := list(islice(source, _BATCH)):
        writer.edit(batch)
        count += len(batch)
    return count
