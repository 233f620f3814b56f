"""A commit, read-only: what file commands and the S3 front read through. Thread-safe; costs nothing to make."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from msgspec.structs import replace

from pfs.errors import InvalidInputError, PathNotFoundError, PurgedError
from pfs.ids import CommitId
from pfs.model import CommitInfo, FileChange, FileInfo, FileType
from pfs.paths import clean_path, from_key, to_key
from pfs.trees.page import Kind
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.archives.archive import ArchiveFormat
    from pfs.files.progress import Progress
    from pfs.files.selection import Selection
    from pfs.rows.compare import TableDiff
    from pfs.rows.select import OnError
    from pfs.store import Store

_TYPES: Mapping[Kind, FileType] = {
    Kind.DIR: "directory",
    Kind.SYMLINK: "symlink",
    Kind.REMOVED: "removed",
    Kind.EXTERNAL: "external",
}


class View:
    """The files of one commit."""

    def __init__(self, store: Store, info: CommitInfo) -> None:
        self._store = store
        self.info = info
        self.tree = Tree(store.objects, info.root)

    def row(self, path: str) -> Row:
        """Return the tree's row at a path; a trailing slash asks for the directory.

        Raises:
            PathNotFoundError: nothing is there.
        """
        found = self._find(path)
        if found is None:
            raise self._nothing_at(path)
        return found

    def _find(self, path: str) -> Row | None:
        return self.tree.stat(to_key(path), want="dir" if path.endswith("/") else None)

    def _nothing_at(self, path: str) -> PathNotFoundError:
        return PathNotFoundError(f"{self.info.repo}@{self.info.id}:{clean_path(path)}")

    def stat(self, path: str) -> FileInfo:
        """Return what is at a path; O(depth), also for the size, count and hash of a directory."""
        return file_info(self.row(path))

    def list(
        self, path: str = "/", *, recursive: bool = False, after: str | None = None, reverse: bool = False
    ) -> Iterator[FileInfo]:
        """Yield the children of a directory in byte order, or all below it with ``recursive``; a file yields itself.

        Args:
            path: the directory or file.
            recursive: everything below, directories before what they hold.
            after: go on behind this path, as listings show it (directories with a slash at the end); found by one
                look-up. Without a slash in front it is relative to ``path``.
            reverse: the last first, and ``after`` means what comes before it; not with ``recursive``.

        Raises:
            PathNotFoundError: at once, when nothing is there.
        """
        start = self.row(path)
        if not start.is_dir:
            return iter([file_info(start)])
        if recursive and reverse:
            raise InvalidInputError("a listing in reverse is of one directory: it is not recursive")
        marker = _marker(start.key, after)
        if reverse:
            return map(file_info, self.tree.list_back(start.key, before=marker))
        if recursive:
            return map(file_info, self.tree.walk(start.key, start_after=marker, with_dirs=True))
        return map(file_info, self.tree.list(start.key, start_after=marker))

    def find(self, path: str) -> FileInfo | None:
        """Return what is at a path, None if nothing is."""
        row = self._find(path)
        return None if row is None else file_info(row)

    def match(self, path: str) -> Iterator[FileInfo]:
        """Yield what is at a path; where nothing is, what the path matches as a glob pattern, in byte order.

        So a file whose name has glob characters is found by its name, and a backslash takes their meaning away.

        Raises:
            PathNotFoundError: at once, when nothing is there and nothing matches.
            InvalidInputError: at once, when nothing is there and it is a malformed pattern.
        """
        exact = self.find(path)
        found = iter((exact,)) if exact is not None else self.glob(path)
        first = next(found, None)
        if first is None:
            raise self._nothing_at(path)
        return chain((first,), found)

    def glob(self, pattern: str, *, recursive: bool = False) -> Iterator[FileInfo]:
        """Yield files and directories that a glob pattern matches, in byte order; only fitting directories are read.

        ``recursive``: also all below the directories, each file once.

        Raises:
            InvalidInputError: the pattern is malformed.
        """
        from pfs.expand import expand
        from pfs.files.selection import with_contents

        rows = expand(self.tree, pattern)
        return map(file_info, with_contents(self.tree, rows) if recursive else rows)

    def diff(
        self, old: View | None = None, path: str = "/", *, old_path: str | None = None, shallow: bool = False
    ) -> Iterator[FileChange]:
        """Yield the files that differ from ``old`` (default: the parent), in byte order; O(changes).

        ``path`` keeps to one file or directory. ``old_path`` is what it is compared with in ``old``, where that is
        another: file with file, or directory with directory by relative path; paths are given as those below ``path``.
        ``shallow``: only what stands right in the directory; a directory below which something differs is one change.

        Raises:
            PathNotFoundError: at once, when neither side has its path.
        """
        key, old_key = to_key(path), to_key(path if old_path is None else old_path)
        before = Tree(self._store.objects, self._parent_root() if old is None else old.info.root)
        if self.tree.stat(key) is None and before.stat(old_key) is None:
            raise self._nothing_at(path)
        if key == old_key and not shallow:
            return self._changes(before, key)
        return self._changes_of_two(before, key, old_key, shallow=shallow)

    def _changes(self, before: Tree, key: bytes) -> Iterator[FileChange]:
        from pfs.trees.diff import diff

        for change in diff(self._store.objects, before.root, self._store.objects, self.tree.root, prefix=key):
            if not key or change.key == key or change.key.startswith(key + b"/"):
                yield _file_change(change.old, change.new)

    def _changes_of_two(self, before: Tree, key: bytes, old_key: bytes, *, shallow: bool) -> Iterator[FileChange]:
        from pfs.trees.diff import diff

        old, new = before.stat(old_key, want="file"), self.tree.stat(key, want="file")
        if old is not None:
            old = replace(old, key=key)
        if (old and (old.kind, old.size, old.tid, old.aux)) != (new and (new.kind, new.size, new.tid, new.aux)):
            yield _file_change(old, new)
        base, old_base = (name + b"/" if name else b"" for name in (key, old_key))
        pages = self._store.objects
        for change in diff(pages, before.root, pages, self.tree.root, prefix=base, old_base=old_base, shallow=shallow):
            yield _file_change(change.old, change.new)

    def diff_rows(
        self, old: View | None = None, path: str = "/", *, old_path: str | None = None, key: str | Sequence[str] = ()
    ) -> TableDiff:
        """Compare the rows of one table with those of ``old`` (default: the parent): an iterable of record batches.

        CSV, TSV, JSON Lines and Parquet, in bounded memory. Rows are paired by ``key``, the names of one or several
        columns, or by position. A file that only one side has counts as empty on the other. See `TableDiff`.

        Args:
            old: the commit to compare with.
            path: the file.
            old_path: the file in ``old``, where it is another; it may have another format too.
            key: the columns that identify a row.

        Raises:
            PathNotFoundError: neither commit has the file.
            InvalidInputError: it is not a table, or has no such key column.
        """
        from pfs.rows.select import table_diff

        before = path if old_path is None else old_path
        older = self._parent() if old is None else old
        return table_diff(self._store.path / "tmp", self, path, old=older, old_path=before, key=_as_tuple(key))

    def diff_tables(
        self,
        old: View | None = None,
        path: str = "/",
        *,
        key: str | Sequence[str] = (),
        on_error: OnError | None = None,
    ) -> Iterator[TableDiff]:
        """Yield the comparison of a file as `diff_rows` does, or those of all tables below a directory that changed.

        Tables come in byte order of paths; other files are passed over. A table below a directory that cannot be read
        or has no such key ends it with InvalidInputError; with ``on_error`` that is called with the path and the error
        instead, and the next table follows.
        """
        from pfs.rows.select import table_diffs

        older = self._parent() if old is None else old
        return table_diffs(self._store.path / "tmp", self, path, old=older, key=_as_tuple(key), on_error=on_error)

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading: binary, buffered, seekable.

        Raises:
            PathNotFoundError: nothing is there.
            InvalidInputError: it is a directory. PurgedError: its content was purged.
        """
        from pfs.files.reader import FileReader

        reader = FileReader(self._store.objects, self._file(path))
        return cast("BinaryIO", io.BufferedReader(reader, buffer_size=1 << 20))  # it reads as a BinaryIO does

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the bytes of a file, or of a range of it, cut short at its end; memory is what is asked for.

        Raises:
            InvalidInputError: a negative ``offset`` or ``length``.
        """
        _check_range(offset, length)
        with self.open(path) as stream:
            stream.seek(offset)
            return stream.read(-1 if length is None else length)

    def iter(
        self, path: str, *, offset: int = 0, length: int | None = None, jobs: int | None = None
    ) -> Iterator[bytes | memoryview]:
        """Yield a file, or a range of it, in pieces of up to a few MiB, read ahead in threads; for streaming it on."""
        from pfs.files.reader import iter_range

        _check_range(offset, length)
        row = self._file(path)
        start = min(offset, row.size)
        stop = row.size if length is None else min(start + length, row.size)
        return iter_range(self._store.objects, row, start=start, stop=stop, jobs=jobs or self._store.objects.threads)

    def restore(
        self, path: str, target: Path | str, *, jobs: int | None = None, progress: Progress | None = None
    ) -> None:
        """Write a file to ``target``, or the content of a directory into the directory ``target``."""
        from pfs.files.restore import restore_file, restore_tree

        row, workers = self.row(path), jobs or self._store.objects.threads
        if row.is_dir:
            restore_tree(self._store.objects, self.tree, row.key, Path(target), jobs=workers, progress=progress)
        else:
            restore_file(self._store.objects, self._file(path), Path(target), jobs=workers, progress=progress)

    def restore_glob(
        self, pattern: str, target: Path | str, *, jobs: int | None = None, progress: Progress | None = None
    ) -> None:
        """Write what a glob pattern matches, directories with all below, into the directory ``target``, by whole paths.

        Raises:
            PathNotFoundError: nothing matches. InvalidInputError: the pattern is malformed.
        """
        from pfs.files.restore import restore_items

        objects, workers = self._store.objects, jobs or self._store.objects.threads
        restore_items(objects, self._matching(pattern), Path(target), jobs=workers, progress=progress)

    def archive(
        self, path: str, format: ArchiveFormat, *, jobs: int | None = None, progress: Progress | None = None
    ) -> Iterator[bytes | memoryview]:
        """Return the pieces of an archive (``tar``, ``tar.gz``, ``tar.zst``, ``zip``) of what `match` finds.

        The content of a directory is named from there, a file by its base name, what a pattern matches by whole paths.
        Raises as `match`, and as `pfs.archives.archive.archive`.
        """
        from pfs.archives.archive import archive

        return archive(self._store.objects, self._selected(path), format, jobs=jobs, progress=progress)

    def _selected(self, path: str) -> Selection:
        from pfs.files.selection import below, single

        row = self._find(path)
        if row is None:
            return self._matching(path)
        return below(self.tree, row.key) if row.is_dir else single(row)

    def _matching(self, pattern: str) -> Selection:
        from pfs.files.selection import matching
        from pfs.glob import Glob

        selection = matching(self.tree, Glob(pattern))
        if next(selection.rows(), None) is None:
            raise self._nothing_at(pattern)
        return selection

    def to_arrow(self, path: str = "/") -> pa.Table:
        """Return all files below a path as an Arrow table, one row a file in byte order (pfs/arrow.py)."""
        from pfs.arrow import files_table

        return files_table(self.tree, self.row(path))

    def glob_to_arrow(self, pattern: str) -> pa.Table:
        """Return what a glob pattern matches, directories too, as an Arrow table (pfs/arrow.py); errors as `glob`."""
        from pfs.arrow import infos_table

        return infos_table(self.glob(pattern))

    def diff_to_arrow(self, old: View | None = None, path: str = "/") -> pa.Table:
        """Return the files that differ from ``old`` (default: the parent) as an Arrow table (pfs/arrow.py)."""
        from pfs.arrow import changes_table

        return changes_table(self.diff(old, path))

    def _file(self, path: str) -> Row:
        row = self.row(path)
        if row.is_dir:
            raise InvalidInputError(f"{clean_path(path)} is a directory: name a file, or read it with -r")
        if row.kind == Kind.REMOVED:
            raise PurgedError(clean_path(path))
        return row

    def _parent(self) -> View | None:
        return self._store.repo(self.info.repo).view(self.info.parents[0]) if self.info.parents else None

    def _parent_root(self) -> Root:
        if not self.info.parents:
            return EMPTY_ROOT
        return self._store.history.get(self.info.repo, self.info.parents[0]).tree_root()


def _marker(key: bytes, after: str | None) -> bytes:
    """Return the full key that a listing of the directory ``key`` goes on behind."""
    if not after:
        return b""
    text = after.encode(errors="surrogateescape")
    return text[1:] if text.startswith(b"/") else key + b"/" * bool(key) + text


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_range(offset: int, length: int | None) -> None:
    if offset < 0 or (length is not None and length < 0):
        raise InvalidInputError(f"cannot read {length} bytes from {offset}: neither may be negative")


def file_info(row: Row) -> FileInfo:
    """Return the public value of a tree's row; 1 us."""
    key, aux, changed, digest = row.key, row.aux, row.changed, row.tid.hex()
    mime = etag = metadata = None
    if aux is not None:
        mime, metadata, etag = aux.get("m"), aux.get("u"), aux.get("e")
    return FileInfo(
        from_key(key) + "/" if row.kind is Kind.DIR and key else from_key(key),
        _TYPES.get(row.kind, "file"),
        row.size,
        digest,
        row.count,
        None if changed is None else CommitId(changed.commit.hex()),
        None if changed is None else changed.finished_ns,
        mime if isinstance(mime, str) else None,
        {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, Mapping) else {},
        etag if isinstance(etag, str) else digest[:32] + "-1",
        aux is not None and bool(aux.get("x")),
    )


def _file_change(old: Row | None, new: Row | None) -> FileChange:
    before = None if old is None else file_info(old)
    after = None if new is None else file_info(new)
    if before is None or after is None:
        there = after or before
        assert there is not None, "a change has at least one side"
        return FileChange(there.path, "added" if before is None else "deleted", before, after)
    return FileChange(after.path, "modified", before, after, before.hash == after.hash)
