"""One pipe that somebody reads: the bytes of a stored file go in as they are taken out."""

from __future__ import annotations

import fcntl
import os
from collections import deque
from contextlib import suppress
from typing import Final

from pfs.files.reader import Source, batches, chunk_refs
from pfs.trees.row import Row

_MOST_PIPE_BYTES: Final = 1 << 20
_SET_PIPE_SIZE: Final = getattr(fcntl, "F_SETPIPE_SZ", None)


def resize(fd: int, size: int) -> None:
    """Ask for a pipe of ``size`` bytes; the system may give another size, and a user who has many pipes none at all."""
    if _SET_PIPE_SIZE is not None:
        with suppress(OSError):
            fcntl.fcntl(fd, _SET_PIPE_SIZE, min(size, _MOST_PIPE_BYTES))


class FeedStream:
    """Feeds ``row`` into the non-blocking ``fd``, which it owns. One thread. Holds about ``batch_bytes`` at most."""

    def __init__(self, objects: Source, row: Row, fd: int) -> None:
        self.fd = fd
        self._objects, self._row = objects, row
        self._position = 0
        self._held: deque[memoryview] = deque()
        resize(fd, max(row.size, 4096))

    def advance(self, batch_bytes: int) -> int | None:
        """Write what the pipe takes now; return how many bytes that were, None once all is in or nobody reads.

        Raises:
            PfsError: the store does not give the bytes.
        """
        if not self._held and not self._fetch(batch_bytes):
            return None
        piece = self._held[0]
        try:
            count = os.write(self.fd, piece)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            return None
        self._position += count
        self._held.popleft()
        if count < len(piece):
            self._held.appendleft(piece[count:])
        return count

    def let_go(self) -> None:
        """Drop what is held; it is fetched again when the pipe takes more."""
        self._held.clear()

    def close(self) -> None:
        """Close the pipe: who reads it finds the end of the file after what is in it."""
        os.close(self.fd)

    def _fetch(self, batch_bytes: int) -> bool:
        """Fetch what comes next; False at the end of the file."""
        refs = chunk_refs(self._objects, self._row, start=self._position, stop=self._row.size)
        group = next(batches(refs, batch_bytes), None)
        if group is None:
            return False
        for ref, data in zip(group, self._objects.chunks([(ref.id, ref.size) for ref in group]), strict=True):
            self._held.append(memoryview(data)[max(self._position - ref.offset, 0) :])
        return True
