"""Hashing and storing in the background: batches of chunks go in, their ids come out in the order of going in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from pfs.backends.base import Buffer
from pfs.files.fileref import FileRef, RefBuilder
from pfs.ids import ChunkId, chunk_id
from pfs.packs.session import WriteSession
from pfs.parallel import ended

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

BATCH_BYTES: Final = 4 << 20
"""Bytes of one batch, about: enough to make the interpreter's share small, and to stay in the caches."""
_Stored: TypeAlias = list[tuple[int, ChunkId]]
"""The chunks of a batch: size and id."""


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
        self,
        session: WriteSession,
        pool: Executor | None,
        *,
        depth: int,
        lends_at: int | None = None,
        done: Callable[[int], None] | None = None,
    ) -> None:
        """``lends_at``: while so many batches are at work in the pool, the caller's thread does one itself.

        ``done`` is told, in the putting thread, how many bytes have been stored since the last time.
        """
        self._session, self._pool, self._depth, self._done = session, pool, depth, done
        self._lends_at = depth if lends_at is None else lends_at
        self._waiting: deque[_Stored | Future[_Stored]] = deque()
        self._ref = RefBuilder(session)

    def put(self, chunks: Sequence[Buffer]) -> None:
        """Queue the next chunks of the file; returns when fewer than ``depth`` batches are at work.

        So the buffers of a batch are free when ``depth`` more have been put. Raises what storing an earlier one raised.
        """
        if self._pool is None or sum(not _is_done(one) for one in self._waiting) >= self._lends_at:
            self._waiting.append(store_chunks(self._session, chunks))
        else:
            self._waiting.append(self._pool.submit(store_chunks, self._session, chunks))
        while self._waiting and (len(self._waiting) >= self._depth or _is_done(self._waiting[0])):
            self._take()

    def finish(self) -> FileRef:
        """Wait for the rest and return the file."""
        while self._waiting:
            self._take()
        return self._ref.finish()

    def abandon(self) -> None:
        """Wait until nothing is at work any more; the buffers are free then."""
        begun = [one for one in self._waiting if not isinstance(one, list)]
        for future in begun:
            future.cancel()
        ended(begun)
        self._waiting.clear()

    def _take(self) -> None:
        oldest = self._waiting.popleft()
        stored = oldest if isinstance(oldest, list) else oldest.result()
        for size, id in stored:
            self._ref.add(size, id)
        if self._done is not None:
            self._done(sum(size for size, _ in stored))


def _is_done(batch: _Stored | Future[_Stored]) -> bool:
    return isinstance(batch, list) or batch.done()
