"""One file from a stream that is pulled: the caller's thread reads and cuts, a pool hashes, compresses and writes.

On few processors a thread for reading beside one a processor is one too many: they take the processors, the buffers in
their caches and the interpreter from each other. So there the reader is one of the `jobs` threads: it hands batches
over as long as the others have one each in reserve, and does the next one itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, Final

from pfs.chunker import ChunkerParams, Splitter, cut_points
from pfs.errors import InvalidInputError, StorageError
from pfs.files.fileref import FileRef
from pfs.files.ingest_queue import ChunkQueue
from pfs.files.progress import Progress
from pfs.packs.session import WriteSession

if TYPE_CHECKING:
    from concurrent.futures import Executor

_BUFFER_BYTES: Final = 2 << 20
"""Some six chunks: with less more would be cut twice, with more the bytes would be in no near cache any longer."""
_LENDING_JOBS: Final = 4
"""Up to so many threads the reader lends a hand: of more it would be few, and those in reserve take buffers."""
Tee = Callable[[memoryview], None]
_HEAD_BYTES: Final = 256 * 1024
"""Streams that end within this are stored without threads and large buffers."""


def put_stream(
    session: WriteSession,
    params: ChunkerParams,
    stream: BinaryIO,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    tee: Tee | None = None,
) -> FileRef:
    """Store what ``stream`` yields up to its end as one file; return what a row needs.

    Args:
        session: gets the chunks and the manifest.
        params: of the store.
        stream: read with ``readinto`` where it has that, else with ``read``; it is not closed.
        jobs: threads that hash, compress and write (default: one a processor), of up to 4 the caller's is one.
        progress: told in the caller's thread.
        tee: gets every byte once, in order, in the caller's thread; the view is valid during the call only.

    Memory: ``jobs`` + 2 buffers, of up to 4 jobs twice as many as jobs, of 2 MiB, or of two largest chunks where those
    are larger.

    Raises:
        StorageError: the stream cannot be read, or the session cannot store.
    """
    source = _Source(stream)
    head = bytearray(_HEAD_BYTES)
    filled = source.fill(memoryview(head))
    jobs = jobs or os.cpu_count() or 1
    lends = jobs <= _LENDING_JOBS
    helpers, depth = (jobs - 1, 2 * jobs) if lends else (jobs, jobs + 2)
    short = filled < len(head)
    with _pool(0 if short else helpers) as pool:
        lends_at = 2 * helpers if lends else None
        queue = ChunkQueue(session, pool, depth=depth, lends_at=lends_at, done=_teller(progress))
        try:
            if short:
                view = memoryview(head)[:filled]
                batches: Iterable[list[memoryview]] = [split(view, cut_points(view, params))]
            else:
                source.unread(head)
                batches = _splitter(params, depth if helpers else 1).batches(source)
            for batch in batches:
                _send(batch, tee)
                queue.put(batch)
            return queue.finish()
        except BaseException:
            queue.abandon()
            raise


def split(data: memoryview, cuts: list[int]) -> list[memoryview]:
    """Return the pieces of ``data`` that end at ``cuts``."""
    return [data[start:stop] for start, stop in pairwise([0, *cuts])]


def _splitter(params: ChunkerParams, buffers: int) -> Splitter:
    size = max(_BUFFER_BYTES, 2 * params.max_bytes)
    return Splitter(params, buffer_bytes=size, buffers=buffers)


@contextmanager
def _pool(threads: int) -> Iterator[Executor | None]:
    if not threads:
        yield None
        return
    from concurrent.futures import ThreadPoolExecutor  # several modules, for large files alone

    with ThreadPoolExecutor(threads, "ingest") as pool:
        yield pool


def _send(batch: list[memoryview], tee: Tee | None) -> None:
    if tee is not None:
        for chunk in batch:
            tee(chunk)


def _teller(progress: Progress | None) -> Callable[[int], None] | None:
    return None if progress is None else lambda size: progress.advance(size=size)


class _Source:
    """The stream behind what was read of it already; its errors as ours."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = memoryview(b"")

    def unread(self, data: bytearray) -> None:
        """Put back what was read."""
        self._ahead = memoryview(data)

    def fill(self, buffer: memoryview) -> int:
        """Fill the buffer, less only at the end of the stream; return how much."""
        filled = 0
        while filled < len(buffer) and (got := self.readinto(buffer[filled:])):
            filled += got
        return filled

    def readinto(self, buffer: memoryview) -> int:
        """Read at least one byte, 0 at the end."""
        if self._ahead:
            size = min(len(self._ahead), len(buffer))
            buffer[:size], self._ahead = self._ahead[:size], self._ahead[size:]
            return size
        try:
            return self._read(buffer)
        except OSError as error:
            name = getattr(self._stream, "name", "the stream")
            raise StorageError(f"read {name}", error.strerror or str(error)) from error

    def _read(self, buffer: memoryview) -> int:
        readinto = getattr(self._stream, "readinto", None)
        if readinto is not None:
            got: int | None = readinto(buffer)
        else:
            data = self._stream.read(len(buffer))
            if not isinstance(data, bytes | bytearray | memoryview | None):
                raise InvalidInputError(f"cannot put a stream of {type(data).__name__}: open it in binary mode ('rb')")
            got = None if data is None else len(data)
            buffer[:got] = data or b""
        if got is None:
            raise BlockingIOError("it is not in blocking mode")
        return got
