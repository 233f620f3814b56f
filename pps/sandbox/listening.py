"""Waiting for what a command says, or for its end: by the extension _worker where it is built."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from typing import Final

try:
    from pps.sandbox import _worker as _native
except ImportError:
    _native = None  # type: ignore[assignment]  # optional

OUT: Final = 1
ERR: Final = 2
ENDED: Final = 4
"""The status pipe is at its end."""
WATCHED: Final = 8
STATUS_BYTES: Final = 1024
_LONGEST_MS: Final = 1 << 30


class Ears:
    """The pipes of one command; ``watched``: one more that somebody wants to know of, -1 for none. One thread.

    What came over the status pipe is in `text`, for any thread.
    """

    def __init__(self, out: int, err: int, status: int, *, native: bool = True) -> None:
        self.streams = {OUT: out, ERR: err}
        """Those that are open at the other end, as far as known; a closed one is -1."""
        self.watched = -1
        self._status, self._native = status, native and _native is not None
        self._before = b""
        self._buffer, self._filled = bytearray(STATUS_BYTES), 0

    @property
    def text(self) -> bytes:
        """What came over the status pipe by now."""
        # While the extension waits it fills the buffer, whose rest is zero.
        return self._before + bytes(self._buffer).rstrip(b"\0")

    def listen(self, timeout_s: float | None) -> int:
        """Wait for output, the end, or what is watched; return which, as bits; 0 for none in this time, or a signal."""
        ms = -1 if timeout_s is None else min(int(timeout_s * 1000) + 1, _LONGEST_MS)
        fds = (self.streams[OUT], self.streams[ERR], self._status, self.watched)
        if self._filled == STATUS_BYTES:
            self._before, self._buffer, self._filled = self.text, bytearray(STATUS_BYTES), 0
        if self._native:
            found, self._filled = _native.listen(*fds, ms, self._buffer, self._filled)
            return found
        return self._listen(fds, ms)

    def _listen(self, fds: Sequence[int], ms: int) -> int:
        poller = select.poll()
        for fd in fds:
            if fd >= 0:
                poller.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poller.poll(ms)}
        found = sum(bit for bit, fd in zip((OUT, ERR, 0, WATCHED), fds, strict=True) if bit and fd in ready)
        if self._status in ready:
            piece = os.read(self._status, STATUS_BYTES - self._filled)
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            # Of what came last in the streams nobody knows, so they are looked into.
            found |= 0 if piece else ENDED | OUT | ERR
        return found
