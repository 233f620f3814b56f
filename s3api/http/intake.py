"""Large bodies straight from the socket into the pieces that are handed on: past the parser, without copies.

The parser reads a body in small pieces, each copied four times until it is whole again: as much work as hashing it.
Where a head announces a large Content-Length, the connection is switched to this protocol until so many bytes are here.
Nothing is read before somebody asks for it, so a body that has to wait stays with its sender.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from s3api.http.protocol import BoundedProtocol

LARGE_BYTES: Final = 256 << 10
"""Smaller bodies go through the parser."""
EXTENSION: Final = "pfs.intake"
"""Under this name the ASGI scope's extensions have the intake of a large body."""
_SCRATCH_BYTES: Final = 64 << 10


class Intake(asyncio.BufferedProtocol):
    """The body of one request; used from the event loop. At its end the connection is the parser's again."""

    def __init__(self, http: BoundedProtocol, length: int) -> None:
        self._http, self._cycle, self._transport = http, http.cycle, http.transport
        self._left = length
        """Bytes that the socket has still to give."""
        self._begun = self._ended = self._gone = False
        self._buffer: memoryview | None = None
        self._filled = 0
        self._wake = asyncio.Event()
        self.received = 0
        """Bytes handed on or on their way to be, for whoever watches the progress."""

    # for the parser's side

    def passed(self, size: int) -> None:
        """Count what came through the parser together with the head; it waits in the cycle's body."""
        self._left -= size

    def begin(self) -> None:
        """Take over the connection, and read nothing yet."""
        if self._begun or not self._left or self._transport.is_closing():
            return
        self._begun = True
        self._http.flow.read_paused = False  # from here on it is this object that pauses
        self._transport.pause_reading()
        self._transport.set_protocol(self)

    def discard(self) -> None:
        """The answer is complete: pass over what comes, and hand back the connection at the end of it."""
        self._ended = True
        if self._begun and self._left:
            self._arm(memoryview(bytearray(_SCRATCH_BYTES)))

    # for the application

    @property
    def more(self) -> bool:
        """Whether there is more of the body than was taken."""
        return bool(self._left or self._cycle.body or self._buffer)

    async def piece(self, limit: int) -> memoryview | None:
        """Return the next ``limit`` bytes or what is left; None when the connection was closed.

        Cancelled, it keeps what it has, and the next call goes on with it.
        """
        self._continue()
        if self._buffer is None:
            self._buffer = memoryview(bytearray(min(limit, len(self._cycle.body) + self._left)))
            self._take_early()
        while self._filled < len(self._buffer) and not self._gone:
            self._wake.clear()
            self._transport.resume_reading()
            await self._wake.wait()
        if self._gone and self._filled < len(self._buffer):
            return None
        taken, self._buffer, self._filled = self._buffer, None, 0
        return taken

    def _continue(self) -> None:
        if self._cycle.waiting_for_100_continue and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._cycle.waiting_for_100_continue = False

    def _take_early(self) -> None:
        """Copy what came with the head."""
        assert self._buffer is not None
        early = self._cycle.body
        self._filled = min(len(early), len(self._buffer))
        self._buffer[: self._filled] = early[: self._filled]
        self.received += self._filled
        del early[: self._filled]

    def _arm(self, buffer: memoryview) -> None:
        self._buffer, self._filled = buffer, 0
        self._transport.resume_reading()

    # asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: never more than is left of the body."""
        assert self._buffer is not None, "reading is paused while nobody asked"
        return self._buffer[self._filled : self._filled + self._left]

    def buffer_updated(self, nbytes: int) -> None:
        """Count; wake who waits when the piece is whole."""
        self._filled += nbytes
        self.received += nbytes
        self._left -= nbytes
        assert self._buffer is not None
        if self._ended:
            self._filled = 0
        elif self._filled == len(self._buffer) or not self._left:
            self._transport.pause_reading()
            self._wake.set()
        if not self._left:
            self._end()

    def _end(self) -> None:
        self._http.take_back()

    def eof_received(self) -> None:
        """Let the transport close: the body is incomplete."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the server, and whoever waits."""
        self._gone = True
        self._wake.set()
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on: an answer may be on its way already."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._http.resume_writing()
