"""Many files at once: small ones in batches, so that their cost is that of opening, reading and hashing them."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, NamedTuple, TypeAlias

from pfs.chunker import ChunkerParams, cut_points
from pfs.errors import StorageError
from pfs.files.fileref import FileRef, RefBuilder
from pfs.files.ingest_queue import BATCH_BYTES, store_chunks
from pfs.files.ingest_stream import put_stream, split
from pfs.files.progress import Progress
from pfs.files.seen import Reading, SeenFiles
from pfs.packs.session import WriteSession
from pfs.sources.local import is_executable

Stored: TypeAlias = tuple[bytes, FileRef, bool]
"""Key, content, whether the file is executable."""
_BATCH_FILES: Final = 256
_WHOLE_BYTES: Final = 1 << 20
"""Files up to this are read whole; larger ones are streamed."""
StrPath: TypeAlias = str | os.PathLike[str]


class _Read(NamedTuple):
    """A file in memory."""

    key: bytes
    data: bytes
    reading: Reading


def put_files(
    session: WriteSession,
    params: ChunkerParams,
    files: Iterable[tuple[bytes, StrPath]],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    seen: SeenFiles | None = None,
) -> Iterator[Stored]:
    """Store files, given as (key, file), and yield (key, content, executable) in the same order.

    Links are followed. What was read is stored of a file that changes meanwhile. ``seen`` is told what was read, for
    the next time; its paths are those given here. Memory: ``jobs`` + 2 batches of
    some 4 MiB, whatever the number of files; ``files`` is read as the results are asked for.

    Raises:
        StorageError: a file cannot be read (it is named), or the session cannot store.
    """
    jobs = jobs or os.cpu_count() or 1
    with ThreadPoolExecutor(jobs, "ingest") as pool:
        batches = _Batches(_Target(session, params, seen), pool, jobs=jobs, progress=progress)
        try:
            yield from batches.run(files)
        finally:
            batches.stop()


class _Target(NamedTuple):
    """Where files go."""

    session: WriteSession
    params: ChunkerParams
    seen: SeenFiles | None

    def clock_ns(self) -> int:
        return time.time_ns() if self.seen is None else self.seen.clock_ns()

    def note(self, reading: Reading, ref: FileRef) -> None:
        if self.seen is not None:
            self.seen.note(reading, ref)


class _Batches:
    """The files under way, in order."""

    def __init__(self, target: _Target, pool: ThreadPoolExecutor, *, jobs: int, progress: Progress | None) -> None:
        self._target, self._pool, self._jobs, self._progress = target, pool, jobs, progress
        self._waiting: deque[Future[list[Stored]]] = deque()
        self._batch: list[_Read] = []
        self._batch_bytes = 0

    def run(self, files: Iterable[tuple[bytes, StrPath]]) -> Iterator[Stored]:
        for key, file in files:
            read = _read(key, file, self._target.clock_ns())
            if read is None:
                self._send()
                yield from self._finished(0)
                yield self._stream(key, file)
                continue
            self._batch.append(read)
            self._batch_bytes += len(read.data)
            if self._batch_bytes >= BATCH_BYTES or len(self._batch) == _BATCH_FILES:
                self._send()
                yield from self._finished(self._jobs + 1)
        if self._waiting:
            self._send()
            yield from self._finished(0)
        elif self._batch:
            # All there is: starting a thread would cost more than storing a few small files.
            yield from self._told(_store_batch(self._target, self._batch))

    def stop(self) -> None:
        for future in self._waiting:
            future.cancel()
        wait(self._waiting)

    def _send(self) -> None:
        if self._batch:
            self._waiting.append(self._pool.submit(_store_batch, self._target, self._batch))
            self._batch, self._batch_bytes = [], 0

    def _finished(self, leave: int) -> Iterator[Stored]:
        while len(self._waiting) > leave:
            yield from self._told(self._waiting.popleft().result())

    def _told(self, stored: list[Stored]) -> list[Stored]:
        if self._progress is not None:
            self._progress.advance(files=len(stored), size=sum(ref.size for _, ref, _ in stored))
        return stored

    def _stream(self, key: bytes, file: StrPath) -> Stored:
        session, params, _ = self._target
        try:
            with open(file, "rb", buffering=0) as stream:
                before, at_ns = os.fstat(stream.fileno()), self._target.clock_ns()
                ref = put_stream(session, params, stream, jobs=self._jobs, progress=self._progress)
                self._target.note(Reading(os.fspath(file), before, os.fstat(stream.fileno()), at_ns), ref)
                if self._progress is not None:
                    self._progress.advance(files=1)
                return key, ref, is_executable(before)
        except OSError as error:
            raise _unreadable(file, error) from error


def _store_batch(target: _Target, batch: list[_Read]) -> list[Stored]:
    pieces = [_cut(file.data, target.params) for file in batch]
    stored = iter(store_chunks(target.session, [chunk for chunks in pieces for chunk in chunks]))
    results = []
    for file, chunks in zip(batch, pieces, strict=True):
        builder = RefBuilder(target.session)
        for _ in chunks:
            builder.add(*next(stored))
        ref = builder.finish()
        target.note(file.reading, ref)
        results.append((file.key, ref, is_executable(file.reading.before)))
    return results


def _cut(data: bytes, params: ChunkerParams) -> list[bytes] | list[memoryview]:
    if len(data) <= params.min_bytes:
        return [data] if data else []
    return split(memoryview(data), cut_points(data, params))


def _read(key: bytes, file: StrPath, at_ns: int) -> _Read | None:
    """Return the file, or None when it is too large to be read whole, or grew while it was read."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            before = os.fstat(fd)
            if before.st_size > _WHOLE_BYTES:
                return None
            # One byte more than the file should have tells that it ends there, in one call.
            data = os.read(fd, before.st_size + 1)
            after = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable(file, error) from error
    return _Read(key, data, Reading(os.fspath(file), before, after, at_ns)) if len(data) == before.st_size else None


def _unreadable(file: StrPath, error: OSError) -> StorageError:
    return StorageError(f"read {os.fspath(file)}", error.strerror or str(error))
