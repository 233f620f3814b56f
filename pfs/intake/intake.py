"""The sources of one put, one after the other, into the writer of a commit."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec.structs import replace

from pfs.changes.writer import CommitWriter, file_key
from pfs.errors import InvalidInputError
from pfs.files.described import described
from pfs.intake.how import Intaken, PutHow
from pfs.paths import clean_path, from_key
from pfs.sources.local import LocalFile, find_file, open_source
from pfs.sources.passed import PassedOver
from pfs.trees.edit import Put
from pfs.trees.page import Kind

if TYPE_CHECKING:
    from pfs.intake.incoming import Incoming
    from pfs.sources.remote import RemoteFile

Named = tuple[str, Path]
"""Where a local file goes, and where it is."""


class Intake:
    """Takes sources in and stages them at `finish`, or, of a put of one source (``alone``), as they come.

    Of sources that land at one path the second is refused, unless it has the same content. Not thread-safe; what is
    taken in is stored by ``how.jobs`` threads. Memory does not grow with the number or size of files.
    """

    def __init__(self, writer: CommitWriter, how: PutHow, *, alone: bool = False) -> None:
        self._writer, self._how = writer, how
        self._incoming = None if how.append or (alone and how.mirror is None) else _incoming(writer)
        self._said = described(how.mime, how.metadata)
        self._files = self._size = 0
        self._notes: list[str] = []
        self._passed = PassedOver()

    def files(self, named: Iterable[Named]) -> None:
        """Take in local files; in batches, however many there are.

        Raises:
            NotFoundError, InvalidInputError, StorageError: one is not there, is no file, or cannot be read.
            FileCollisionError: its path is a directory or lies below a file.
        """
        if self._how.append:
            for path, local in named:
                self._append(path, local)
            return
        found = (find_file(local, file_key(path), symlinks=self._how.symlinks) for path, local in named)
        there = (one for one in found if one is not None)
        for is_pipe, group in groupby(there, key=lambda one: not (one.is_link or stat.S_ISREG(one.status.st_mode))):
            if is_pipe:
                self._pipes(group)
            else:
                self._take(self._ingest(group), checked=True)

    def _pipes(self, files: Iterable[LocalFile]) -> None:
        """Take in what can be read once only: named pipes, as shells make of ``<(command)``, and terminals."""
        for file in files:
            with open_source(file.path, file.key) as (stream, _):
                self.stream(from_key(file.key), stream)

    def stream(self, path: str, stream: BinaryIO) -> None:
        """Take in one file from a stream."""
        if self._how.append:
            self._append(path, stream)
            return
        ref = self._writer.local.stream(stream, jobs=self._how.jobs, progress=self._how.progress)
        self._take([Put(file_key(path), ref.kind, ref.size, ref.tid)], checked=True)

    def tree(self, path: str, directory: Path) -> None:
        """Take in everything below a directory; see `CommitWriter.put_tree`."""
        if self._how.append:
            raise InvalidInputError("only single files can be appended to, not directories")
        from pfs.sources.walk import walk_folders

        how, store = self._how, self._writer.store_path
        found = walk_folders(
            directory.absolute(), clean_path(path), leave_out=store, symlinks=how.symlinks, passed_over=self._passed
        )
        # Only what is staged as it comes, and says nothing of its own, is in the end what the commit has.
        skip = None if self._incoming is not None or self._said else self._writer.skip_unchanged(self._count_all)
        local = self._writer.local
        batches = local.tree(found, skip, checksum=how.checksum, jobs=how.jobs, progress=how.progress)
        with closing(found):
            if self._incoming is not None or self._said:
                self._take(put for batch in batches for put in batch.puts())
                return
            for batch in batches:
                self._writer.edit(batch.edits)
                self._count_all(batch.files, batch.size)

    def archive(self, path: str, stream: BinaryIO, *, name: str) -> None:
        """Take in the files of an archive; see `unpack`. Nothing of one that is refused is staged."""
        if self._how.append:
            raise InvalidInputError("only single files can be appended to, not what archives hold")
        from pfs.intake.unpack import unpack

        incoming, notes = unpack(self._writer, self._how, path, stream, name=name)
        self._notes += notes
        self._take(incoming.puts())

    def remote(self, named: Iterable[tuple[str, RemoteFile]]) -> None:
        """Take in files behind URLs, given with their paths; see `fetch`."""
        from pfs.intake.fetch import fetch

        if self._how.append:
            for path, file in named:
                with file.open(threading.Event()) as fetched:
                    self._append(path, fetched.stream)
            return
        with closing(fetch(self._writer, self._how, named)) as puts:
            self._take(puts, checked=True)

    def finish(self) -> Intaken:
        """Stage what waits, and of a mirror what is to be deleted; the caller finishes or drops the writer."""
        deleted, changed = 0, True
        if self._incoming is not None and self._how.mirror is not None:
            deleted, put = self._incoming.mirror(self._how.mirror)
            changed = deleted + put > 0
        elif self._incoming is not None:
            self._incoming.put_all()
        return Intaken(self._files, self._size, deleted, changed, (*self._notes, *self._passed.notes()))

    def _ingest(self, files: Iterable[LocalFile]) -> Iterator[Put]:
        how = self._how
        local = self._writer.local
        return chain.from_iterable(local.files(files, checksum=how.checksum, jobs=how.jobs, progress=how.progress))

    def _append(self, path: str, source: Path | BinaryIO) -> None:
        how = self._how
        ref = self._writer.put_file(
            path,
            source,
            append=True,
            mime=how.mime,
            metadata=how.metadata,
            checksum=how.checksum,
            jobs=how.jobs,
            progress=how.progress,
        )
        self._count(ref.size)

    def _take(self, puts: Iterable[Put], *, checked: bool = False) -> None:
        """Stage files; ``checked``: refuse a collision of each at once, where they are few enough for that."""
        put = self._sink(checked=checked)
        for one in puts:
            put(self._described(one))
            self._count(one.size)

    def _described(self, put: Put) -> Put:
        """Return the edit with the metadata that were asked for; links have none."""
        if not self._said or put.kind == Kind.SYMLINK:
            return put
        return replace(put, aux={**(put.aux or {}), **self._said})

    def _sink(self, *, checked: bool) -> Callable[[Put], None]:
        if self._incoming is not None:
            return self._add
        return self._writer.stage_file if checked else lambda put: self._writer.edit([put])

    def _add(self, put: Put) -> None:
        assert self._incoming is not None
        there = self._incoming.find(put.key)
        if there is not None and (there.kind, there.size, there.tid) != (put.kind, put.size, put.tid):
            raise InvalidInputError(f"two sources put {from_key(put.key)}: give them different paths")
        self._incoming.add(put)

    def _count(self, size: int) -> None:
        self._count_all(1, size)

    def _count_all(self, files: int, size: int) -> None:
        self._files += files
        self._size += size


def _incoming(writer: CommitWriter) -> Incoming:
    from pfs.intake.incoming import Incoming

    return Incoming(writer)
