"""What goes into one commit: local files, read unless they show no change since they were put before, and streams."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

from msgspec import Struct

from pfs.chunker import ChunkerParams
from pfs.files.fileref import FileRef, put_link
from pfs.files.ingest_target import LEAST_PART, ToRead
from pfs.files.progress import Progress
from pfs.files.seen import LOOKED_UP, Reading, SeenFiles
from pfs.sources.local import LocalFile, link_text
from pfs.trees.edits import Put, puts_of
from pfs.trees.put_rows import PutRows

if TYPE_CHECKING:
    from pfs.files.ingest_target import Part
    from pfs.files.seen_folders import Note, PidOf, SeenFolders
    from pfs.packs.session import WriteSession
    from pfs.sources.walk import Folder, Run

T = TypeVar("T")
Known = Callable[[Sequence[tuple[LocalFile, FileRef]]], None]


class Skip(Struct, frozen=True):
    """How files are found that need no edit, since the directory of the store has them as they are."""

    folders: SeenFolders
    pid_of: PidOf
    skipped: Callable[[int, int], None]
    """Is told how many files and bytes are passed over."""

    def tell(self, folder: Folder, unseen: Sequence[Run], progress: Progress | None) -> None:
        """Tell of the files of a directory that are not among those given."""
        count = len(folder.listing.modes) // 4 - sum(run.files for run in unseen)
        if count:
            size = folder.size - sum(run.size for run in unseen)
            self.skipped(count, size)
            if progress is not None:
                progress.advance(files=count, size=size)


class Batch(NamedTuple):
    """Edits that put files which are stored: single ones, and of one directory many."""

    single: list[Put]
    rows: PutRows | None

    @property
    def edits(self) -> list[Put | PutRows]:
        """All of them."""
        return [*self.single, *([] if self.rows is None else [self.rows])]

    @property
    def files(self) -> int:
        """Number of files."""
        return len(self.single) + (0 if self.rows is None else len(self.rows.names))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(put.size for put in self.single) + (0 if self.rows is None else self.rows.size)

    def puts(self) -> list[Put]:
        """Return an edit for each file."""
        return self.single + ([] if self.rows is None else puts_of(self.rows))


class LocalIngest:
    """Stores into one session; thread-safe."""

    def __init__(self, session: WriteSession, params: ChunkerParams, seen: SeenFiles) -> None:
        self._session, self._params, self._seen = session, params, seen

    def stream(
        self,
        stream: BinaryIO,
        file: LocalFile | None = None,
        *,
        checksum: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> FileRef:
        """Store one stream, which is that of ``file`` if it is a local file's: that is read only if it has to be."""
        from pfs.files.ingest_stream import put_stream

        ref = None if file is None or checksum else self._seen.recall([file])[0]
        if ref is not None:
            if progress is not None:
                progress.advance(size=ref.size)
            return ref
        at_ns = self._seen.clock_ns()
        ref = put_stream(self._session, self._params, stream, jobs=jobs, progress=progress)
        if file is not None:
            self._seen.note(Reading(file.path, file.status, os.fstat(stream.fileno()), at_ns), ref)
        return ref

    def files(
        self,
        files: Iterable[LocalFile],
        *,
        checksum: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[list[Put]]:
        """Store many files and yield the edits that put them, in groups, about in the order of ``files``.

        ``checksum``: read also those that show no change. Memory as in `put_files`.

        Raises:
            InvalidInputError: a link that cannot be kept. StorageError: a file cannot be read, or not stored.
        """
        for batch in self._store(files, checksum=checksum, jobs=jobs, progress=progress):
            yield batch.puts()

    def _store(
        self, files: Iterable[LocalFile | Part], *, checksum: bool, jobs: int | None, progress: Progress | None
    ) -> Iterator[Batch]:
        from pfs.files.ingest_files import put_groups

        ready: list[Put] = []

        def known(found: Sequence[tuple[LocalFile, FileRef]]) -> None:
            ready.extend(_put(file.key, ref, executable=file.executable) for file, ref in found)
            if progress is not None:
                progress.advance(files=len(found), size=sum(ref.size for _, ref in found))

        unread = self._unread(files, known, checksum=checksum)
        for group in put_groups(self._session, self._params, unread, jobs=jobs, progress=progress, seen=self._seen):
            single = [_put(key, ref, executable=executable) for key, ref, executable in group.stored]
            yield Batch(_drain(ready) + single, group.rows)
        if ready:
            yield Batch(_drain(ready), None)

    def _unread(self, files: Iterable[LocalFile | Part], known: Known, *, checksum: bool) -> Iterator[ToRead | Part]:
        """Yield what must be read: parts of directories at once, single files when there are enough to look up."""
        waiting: list[LocalFile] = []
        for file in files:
            if not isinstance(file, LocalFile):
                yield file
            elif file.is_link:
                known([(file, put_link(self._session, link_text(file)))])
            else:
                waiting.append(file)
            if len(waiting) == LOOKED_UP:
                yield from self._to_read(waiting, known, checksum=checksum)
                waiting = []
        yield from self._to_read(waiting, known, checksum=checksum)

    def _to_read(self, files: Sequence[LocalFile], known: Known, *, checksum: bool) -> Iterator[ToRead]:
        for file in files if checksum else self._seen.unread(files, known):
            yield ToRead(file.key, file.path, file.status.st_size, file.by_folder, file.status.st_ctime_ns)

    def tree(
        self,
        found: Iterable[Folder | LocalFile],
        skip: Skip | None,
        *,
        checksum: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Batch]:
        """Store the files of directories as `files`; with ``skip``, except those whose put would change nothing.

        Directories are remembered if each batch is staged before the next is asked for, up to the end.
        """
        notes: list[Note] = []

        def files() -> Iterator[LocalFile | Part]:
            for one in found:
                if isinstance(one, LocalFile):
                    yield one
                    continue
                runs, note = (one.runs(), None) if skip is None else skip.folders.unseen(one, skip.pid_of)
                if note is not None:
                    notes.append(note)
                if checksum:
                    runs = one.runs()
                elif skip is not None:
                    skip.tell(one, runs, progress)
                if note is not None and sum(run.files for run in runs) >= LEAST_PART:
                    from pfs.files.ingest_columns import parts_of

                    parts, runs = parts_of(one, runs)
                    yield from parts
                for run in runs:
                    yield from one.files(run, noted=note is not None)

        yield from self._store(files(), checksum=checksum, jobs=jobs, progress=progress)
        if skip is not None:
            skip.folders.remember(notes, skip.pid_of)

    def members(
        self,
        items: Iterable[T],
        *,
        opened: Callable[[T], tuple[BinaryIO, int] | None],
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[T, FileRef | None]]:
        """Store the files of an archive; see `put_members`."""
        from pfs.files.ingest_members import put_members

        return put_members(self._session, self._params, items, opened=opened, jobs=jobs, progress=progress)


def _put(key: bytes, ref: FileRef, *, executable: bool) -> Put:
    return Put(key, ref.kind, ref.size, ref.tid, {"x": True} if executable else None)


def _drain(puts: list[Put]) -> list[Put]:
    taken = puts.copy()
    puts.clear()
    return taken
