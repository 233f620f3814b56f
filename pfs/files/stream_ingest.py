"""One file from a stream that is pushed: for servers, whose bodies arrive in pieces of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfs.backends.base import Buffer
from pfs.chunker import ChunkerParams, cut_points
from pfs.files.fileref import FileRef
from pfs.files.ingest_queue import BATCH_BYTES, ChunkQueue
from pfs.files.ingest_stream import split
from pfs.packs.session import WriteSession

if TYPE_CHECKING:
    from concurrent.futures import Executor

_INLINE_BYTES: Final = 256 * 1024
"""Bodies up to this are stored in the caller's thread: handing over would cost more than it hides."""


class StreamIngest:
    """Cuts, hashes and stores what is written to it; the same bytes give the same FileRef as `put_stream`.

    One thread at a time calls it, and none of ``pool``: `write` waits for work in the pool when ``depth`` batches are
    under way; without a pool it does all itself. Memory: ``depth`` + 1 batches (one without a pool), each of
    ``batch_bytes`` or of two largest chunks where those are larger.
    """

    def __init__(
        self,
        session: WriteSession,
        params: ChunkerParams,
        pool: Executor | None,
        *,
        depth: int = 3,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self._params = params
        self._queue = ChunkQueue(session, pool, depth=depth)
        self._inline = ChunkQueue(session, None, depth=1)
        self._batch_bytes = max(batch_bytes, 2 * params.max_bytes)
        self._pending = bytearray()
        self.size = 0
        """Bytes written so far."""

    def write(self, data: Buffer) -> None:
        """Append ``data``, which may be reused when this returns; blocks while too much is under way.

        Raises:
            StorageError: storing this or an earlier piece failed; `abandon` it.
        """
        view = memoryview(data)
        self.size += len(view)
        while view:
            room = self._batch_bytes - len(self._pending)
            self._pending += view[:room]
            view = view[room:]
            if len(self._pending) == self._batch_bytes:
                self._send_batch()

    def finish(self) -> FileRef:
        """Store the rest and return the file; call nothing afterwards.

        Raises:
            StorageError: storing failed; `abandon` it.
        """
        # A new queue has given out nothing yet, so a short body can as well go through the one without threads.
        queue = self._inline if self.size <= _INLINE_BYTES else self._queue
        if self._pending:
            view = memoryview(self._pending)
            queue.put(split(view, cut_points(view, self._params)))
        return queue.finish()

    def abandon(self) -> None:
        """Wait for what is under way and drop the rest; idempotent."""
        self._queue.abandon()
        self._pending = bytearray()

    def _send_batch(self) -> None:
        view = memoryview(self._pending)
        cuts = cut_points(view, self._params, final=False)
        self._pending = bytearray(view[cuts[-1] :])
        self._queue.put(split(view, cuts))
