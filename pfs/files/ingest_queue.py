"""Hashing and storing in the background: batches of chunks go in, their ids come out in the order of going in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pfs.backends.base import Buffer
from pfs.files.fileref import FileRef, RefBuilder
from pfs.ids import ChunkId, chunk_id
from pfs.packs.session import WriteSession
from pfs.parallel import ended

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

BATCH_BYTES: Final = 4 << 20
"""Bytes of one batch, about: enough to make the interpreter's share small, and to stay in the caches."""


def store_chunks(session: WriteSession, chunks: Sequence[Buffer]) -> list[tuple[int, ChunkId]]:
    """Hash the chunks, store those that are new, return (size, id) of each."""
    hashed = [(chunk_id(chunk), chunk) for chunk in chunks]
    session.put_chunks(hashed)
    return [(len(chunk), id) for id, chunk in hashed]


class ChunkQueue:
    """Builds one file from batches of its chunks, at most ``depth`` of them at work; one thread puts.

    Without a pool all is done in the caller's thread.
    """

    def __init__(
        self, session: WriteSession, pool: Executor | None, *, depth: int, done: Callable[[int], None] | None = None
    ) -> None:
        """``done`` is told, in the putting thread, how many bytes have been stored since the last time."""
        self._session, self._pool, self._depth, self._done = session, pool, depth, done
        self._waiting: deque[Future[list[tuple[int, ChunkId]]]] = deque()
        self._ref = RefBuilder(session)

    def put(self, chunks: Sequence[Buffer]) -> None:
        """Queue the next chunks of the file; returns when fewer than ``depth`` batches are at work.

        So the buffers of a batch are free when ``depth`` more have been put. Raises what storing an earlier one raised.
        """
        if self._pool is None:
            self._take(store_chunks(self._session, chunks))
            return
        self._waiting.append(self._pool.submit(store_chunks, self._session, chunks))
        while len(self._waiting) >= self._depth:
            self._take(self._waiting.popleft().result())

    def finish(self) -> FileRef:
        """Wait for the rest and return the file."""
        while self._waiting:
            self._take(self._waiting.popleft().result())
        return self._ref.finish()

    def abandon(self) -> None:
        """Wait until nothing is at work any more; the buffers are free then."""
        for future in self._waiting:
            future.cancel()
        ended(self._waiting)
        self._waiting.clear()

    def _take(self, stored: list[tuple[int, ChunkId]]) -> None:
        for size, id in stored:
            self._ref.add(size, id)
        if self._done is not None:
            self._done(sum(size for size, _ in stored))
