"""Many files at once: small ones in batches, so that their cost is that of opening, reading and hashing them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from pfs.chunker import ChunkerParams, cut_points
from pfs.errors import StorageError
from pfs.fileref import FileRef, RefBuilder
from pfs.ingest_queue import BATCH_BYTES, store_chunks
from pfs.ingest_stream import put_stream, split
from pfs.progress import Progress
from pfs.session import WriteSession

Stored: TypeAlias = tuple[bytes, FileRef, bool]
"""Key, content, whether the file is executable."""
_BATCH_FILES: Final = 256
_WHOLE_BYTES: Final = 1 << 20
"""Files up to this are read whole; larger ones are streamed."""
_EXECUTABLE: Final = 0o111


class _Read(NamedTuple):
    """A file in memory."""

    key: bytes
    data: bytes
    executable: bool


def put_files(
    session: WriteSession,
    params: ChunkerParams,
    files: Iterable[tuple[bytes, Path]],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Stored]:
    """Store files, given as (key, file), and yield (key, content, executable) in the same order.

    Links are followed. What was read is stored of a file that changes meanwhile. Memory: ``jobs`` + 2 batches of
    some 4 MiB, whatever the number of files; ``files`` is read as the results are asked for.

    Raises:
        StorageError: a file cannot be read (it is named), or the session cannot store.
    """
    jobs = jobs or os.cpu_count() or 1
    with ThreadPoolExecutor(jobs, "ingest") as pool:
        batches = _Batches(session, params, pool, depth=jobs + 1)
        try:
            for stored in batches.run(files, jobs):
                yield _told(stored, progress)
        finally:
            batches.stop()


def _told(stored: Stored, progress: Progress | None) -> Stored:
    if progress is not None:
        progress.advance(files=1, size=stored[1].size)
    return stored


class _Batches:
    """The files under way, in order."""

    def __init__(self, session: WriteSession, params: ChunkerParams, pool: ThreadPoolExecutor, *, depth: int) -> None:
        self._session, self._params, self._pool, self._depth = session, params, pool, depth
        self._waiting: deque[Future[list[Stored]]] = deque()
        self._batch: list[_Read] = []
        self._batch_bytes = 0

    def run(self, files: Iterable[tuple[bytes, Path]], jobs: int) -> Iterator[Stored]:
        for key, file in files:
            read = _read(key, file)
            if read is None:
                self._send()
                yield from self._finished(0)
                yield self._stream(key, file, jobs)
                continue
            self._batch.append(read)
            self._batch_bytes += len(read.data)
            if self._batch_bytes >= BATCH_BYTES or len(self._batch) == _BATCH_FILES:
                self._send()
                yield from self._finished(self._depth)
        self._send()
        yield from self._finished(0)

    def stop(self) -> None:
        for future in self._waiting:
            future.cancel()
        wait(self._waiting)

    def _send(self) -> None:
        if self._batch:
            self._waiting.append(self._pool.submit(_store_batch, self._session, self._params, self._batch))
            self._batch, self._batch_bytes = [], 0

    def _finished(self, leave: int) -> Iterator[Stored]:
        while len(self._waiting) > leave:
            yield from self._waiting.popleft().result()

    def _stream(self, key: bytes, file: Path, jobs: int) -> Stored:
        try:
            with file.open("rb", buffering=0) as stream:
                executable = bool(os.fstat(stream.fileno()).st_mode & _EXECUTABLE)
                return key, put_stream(self._session, self._params, stream, jobs=jobs), executable
        except OSError as error:
            raise _unreadable(file, error) from error


def _store_batch(session: WriteSession, params: ChunkerParams, batch: list[_Read]) -> list[Stored]:
    pieces = [_cut(file.data, params) for file in batch]
    stored = iter(store_chunks(session, [chunk for chunks in pieces for chunk in chunks]))
    results = []
    for file, chunks in zip(batch, pieces, strict=True):
        ref = RefBuilder(session)
        for _ in chunks:
            ref.add(*next(stored))
        results.append((file.key, ref.finish(), file.executable))
    return results


def _cut(data: bytes, params: ChunkerParams) -> list[bytes] | list[memoryview]:
    if len(data) <= params.min_bytes:
        return [data] if data else []
    return split(memoryview(data), cut_points(data, params))


def _read(key: bytes, file: Path) -> _Read | None:
    """Return the file, or None when it is too large to be read whole, or grew while it was read."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if status.st_size > _WHOLE_BYTES:
                return None
            # One byte more than the file should have tells that it ends there, in one call.
            data = os.read(fd, status.st_size + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable(file, error) from error
    return _Read(key, data, bool(status.st_mode & _EXECUTABLE)) if len(data) == status.st_size else None


def _unreadable(file: Path, error: OSError) -> StorageError:
    return StorageError(f"read {file}", error.strerror or str(error))
