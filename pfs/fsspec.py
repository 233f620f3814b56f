"""``pfs://repo@ref/path`` for pandas, polars, Dask, zarr, pyarrow and whatever else takes fsspec; design/fsspec.md.

Needs the extra ``pfs[fsspec]``; found by the entry point ``fsspec.specs``, nobody has to import it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from glob import has_magic
from typing import Any, cast

from fsspec.compression import compr
from fsspec.core import get_compression

from pfs.changes.apply import apply
from pfs.errors import AlreadyExistsError, InvalidInputError
from pfs.files.fileref import FileRef
from pfs.files.stream_ingest import StreamIngest
from pfs.fs.address import Place, parse
from pfs.fs.draft import Draft, Mode, put_edit, target_of
from pfs.fs.errors import os_errors
from pfs.fs.file import CompressedFile, ReadFile, TextFile, WriteFile
from pfs.fs.files import is_a_directory
from pfs.fs.reading import ReadingFileSystem
from pfs.packs.session import WriteSession
from pfs.trees.edit import Edit, Put
from pfs.trees.tree import Tree


class PfsFileSystem(ReadingFileSystem):
    """The files of all repos of one store; thread-safe.

    Options: ``store`` as for `pfs.open` (default: what `pfs.locate` finds), ``message`` for the commits made.

    Every method raises OSErrors (pfs/fs/errors.py): FileNotFoundError where nothing is, PermissionError for a write
    to a finished commit. A write outside of a transaction is one commit, durable when the call, or `close`, returns.
    """

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """Open a file: binary, or as text when ``mode`` has no b; ``compression`` as fsspec says.

        A file to write ends in a commit when it is closed; a ``with`` block that raises drops it.
        """
        if "r" in mode:
            return super().open(path, mode, **options)
        if "b" not in mode:
            text = {name: options.pop(name) for name in ("encoding", "errors", "newline") if name in options}
            return TextFile(self.open(path, mode.replace("t", "") + "b", **options), **text)
        codec = get_compression(self._strip_protocol(path), options.pop("compression", None))
        file = super().open(path, mode, **options)
        return file if codec is None else CompressedFile(compr[codec](file, mode=mode[0]), file)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> None:
        """Set the bytes of a file; ``mode="create"``: only where none is."""
        with self.open(path, "xb" if mode == "create" else "wb") as file:
            file.write(value)

    def pipe(self, path: str | dict[str, bytes], value: bytes | None = None, **options: object) -> None:
        """Set the bytes of a file, or of many by name in one commit."""
        if isinstance(path, dict):
            with self._one_commit():
                super().pipe(path, value, **options)
        else:
            super().pipe(path, value, **options)

    def put(self, *args: Any, **options: Any) -> None:
        """Copy local files or directories here, as fsspec says, in one commit."""
        with self._one_commit():
            super().put(*args, **options)

    def copy(
        self,
        path1: str | list[str],
        path2: str | list[str],
        recursive: bool = False,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy files or directories within the store, as fsspec says, in one commit; no bytes move.

        A whole directory to a new place costs O(log n), whatever is in it; else it is file by file.
        """
        with os_errors(), self._one_commit() as draft:
            whole = recursive and maxdepth is None and isinstance(path1, str) and isinstance(path2, str)
            if not (whole and self._copy_directory(draft, str(path1), str(path2))):
                super().copy(path1, path2, recursive=recursive, maxdepth=maxdepth, **options)

    def _copy_directory(self, draft: Draft, source: str, target: str) -> bool:
        """Copy a whole directory if it is one and can be; a target that exists is copied into, as fsspec says."""
        name = self._strip_protocol(source)
        if not name or has_magic(name) or not self.isdir(name):
            return False
        if not source.endswith("/") and (target.endswith("/") or self.isdir(target)):
            target = f"{target}/{name.rpartition('/')[2]}"
        return draft.copy_dir(*self._row(name), parse(self._strip_protocol(target)))

    def mv(self, path1: str | list[str], path2: str | list[str], *args: Any, **options: Any) -> None:
        """Move files or directories, as fsspec says; within a branch in one commit. No bytes move.

        Raises:
            OSError: a directory would be moved into itself, also as `copy` and `rm`.
        """
        if isinstance(path1, str) and isinstance(path2, str):
            source, target = self._strip_protocol(path1), self._strip_protocol(path2)
            if source == target:
                return
            if source in _parents(target) and self.isdir(source):
                raise OSError(errno.EINVAL, f"{source} cannot be moved into itself, to {target}")
        with self._one_commit():
            super().mv(path1, path2, *args, **options)

    def cp_file(self, path1: str, path2: str, **options: object) -> None:
        """Copy one file; no bytes move. A directory is there with its files, so alone it is nothing to copy."""
        with os_errors(), self._one_commit() as draft:
            files, row = self._row(self._strip_protocol(path1))
            if not row.is_dir:
                draft.copy(files, row, self._target(path2))

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, with ``recursive`` directories too, in one commit; O(log n) a name, however much is below.

        Raises:
            FileNotFoundError: one of the names is not there; nothing is removed.
            IsADirectoryError: one is a directory, and ``recursive`` is not set.
        """
        partly = recursive and maxdepth is not None
        names = self.expand_path(path, recursive=partly, maxdepth=maxdepth if partly else None)
        with os_errors(), self._one_commit() as draft:
            rows = {name: self._row(name)[1] for name in names}
            wholes = {name for name, row in rows.items() if row.is_dir and not partly}
            if wholes and not recursive:
                raise is_a_directory(min(wholes))
            for name, row in rows.items():
                if (name in wholes or not row.is_dir) and wholes.isdisjoint(_parents(name)):
                    place = parse(name)
                    draft.writer(place).delete(place.path, recursive=recursive)

    def _rm(self, path: str) -> None:
        self.rm(path)

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, autocommit: bool = True, **options: object
    ) -> ReadFile | WriteFile:
        if mode == "rb":
            return self._open_read(path)
        if mode not in {"wb", "ab", "xb"}:
            raise ValueError(f"mode {mode!r}: files are opened with rb, wb, ab or xb")
        with os_errors():
            return self._open_write(self._target(path), cast("Mode", mode), autocommit=autocommit)

    def _open_write(self, place: Place, mode: Mode, *, autocommit: bool) -> WriteFile:
        if mode == "xb" and self.exists(f"{place.top}{place.path}"):
            raise AlreadyExistsError("file", f"{place.top}{place.path}")
        draft = self._draft(joining=not autocommit)
        if draft is not None:
            session = draft.writer(place).session
            publish, abandon = partial(_stage, draft, place, mode), _nothing
        else:
            target_of(self.store, place)  # raises before anything is written
            session = self.store.session()
            publish, abandon = partial(self._commit, place, mode, session), session.abandon
        return WriteFile(
            f"{place.top}{place.path}",
            StreamIngest(session, self.store.params, self._pool),
            mode=mode,
            publish=publish,
            abandon=abandon,
            autocommit=autocommit or draft is not None,
        )

    def _commit(self, place: Place, mode: Mode, session: WriteSession, ref: FileRef) -> None:
        """Put one file on its branch as that is now."""
        put = Put(place.key, ref.kind, ref.size, ref.tid)

        def change(tree: Tree) -> Sequence[Edit]:
            return [put_edit(session, self.store, put, tree=tree, mode=mode)]

        try:
            branch = target_of(self.store, place).branch
            apply(self.store.repo(place.repo), branch, change, session=session, message=self.message)
        except BaseException:
            session.abandon()
            raise

    @contextmanager
    def _one_commit(self) -> Iterator[Draft]:
        """Collect all changes of the block, in this thread, for one commit; within a transaction for its own."""
        current = self._draft(joining=self._intrans)
        if current is not None:
            yield current
            return
        draft = self._of_thread.draft = Draft(self.store, message=self.message)
        try:
            yield draft
            with os_errors():
                draft.finish()
        finally:
            del self._of_thread.draft
            draft.drop()

    def _target(self, path: str) -> Place:
        place = parse(self._strip_protocol(path))
        if not place.key:
            raise InvalidInputError(f"{place.top} is a branch: name a file in it")
        return place


def _stage(draft: Draft, place: Place, mode: Mode, ref: FileRef) -> None:
    draft.writer(place).put(Put(place.key, ref.kind, ref.size, ref.tid), mode=mode)


def _nothing() -> None:
    """The draft that a file was written for drops what it has when it is dropped itself."""


def _parents(name: str) -> set[str]:
    parts = name.split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}
