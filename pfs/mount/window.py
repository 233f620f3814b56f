"""Reading on: the pieces of a file around the place that a reader has come to, fetched ahead.

A kernel reads ahead in several requests at once, which arrive a little out of order; so what was just passed is kept,
and a small step forwards is no jump.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Final

BEHIND_BYTES: Final = 2 << 20
AHEAD_BYTES: Final = 4 << 20


class Window:
    """A part of a file that moves forwards; one thread at a time."""

    def __init__(self, pieces: Generator[memoryview, None, None], start: int) -> None:
        """Begin at ``start``, where the first of ``pieces`` lies."""
        self._source = pieces
        self._pieces: deque[memoryview] = deque()
        self._start = self._end = start

    def read(self, offset: int, stop: int) -> bytes | None:
        """Return the bytes from ``offset`` to ``stop``, both within the file; None where that is out of reach."""
        if offset < self._start or offset > self._end + AHEAD_BYTES:
            return None
        while self._end < stop:
            piece = next(self._source, None)
            if piece is None:
                break
            self._pieces.append(piece)
            self._end += len(piece)
            self._forget(offset - BEHIND_BYTES)
        return self._cut(offset, stop)

    def close(self) -> None:
        """Stop fetching and forget what was fetched."""
        self._source.close()
        self._pieces.clear()

    def _forget(self, before: int) -> None:
        while self._pieces and self._start + len(self._pieces[0]) <= before:
            self._start += len(self._pieces.popleft())

    def _cut(self, offset: int, stop: int) -> bytes:
        at, found = self._start, []
        for piece in self._pieces:
            if at + len(piece) > offset and at < stop:
                found.append(piece[max(offset - at, 0) : stop - at])
            at += len(piece)
        return b"".join(found)
