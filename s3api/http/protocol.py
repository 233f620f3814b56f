"""The HTTP protocol: uvicorn's, with limits on the length and time of a head, and large bodies past the parser."""

from __future__ import annotations

import asyncio
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from s3api.http.intake import EXTENSION, LARGE_BYTES, Intake

MAX_HEAD_BYTES: Final = 64 << 10
"""Beyond this the connection ends with a plain 400; up to MAX_HEADERS_BYTES a request gets an answer of S3's."""
HEAD_TIMEOUT_S: Final = 60.0


class BoundedProtocol(HttpToolsProtocol):
    """httptools behind uvicorn; a head that is too long or too slow ends the connection."""

    _size = 0
    _timer: asyncio.TimerHandle | None = None
    _intake: Intake | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; what is left of a large body afterwards is read past the parser."""
        super().data_received(data)
        if self._intake is not None:
            self._intake.begin()

    def on_message_begin(self) -> None:
        """Count from here."""
        self._size = 0
        self._intake = None
        self._arm()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        self._disarm()
        waits = self.cycle is not None and not self.cycle.response_complete
        super().on_headers_complete()
        length = _large_length(self.headers)
        if length and not waits:  # one that waits for the answer before it is pipelined: rare, and never large
            self._intake = Intake(self, length)
            self.scope["extensions"] = {EXTENSION: {"intake": self._intake}}

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._intake is not None:
            self._intake.passed(len(body))
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with the next request; pass over what is left of this one."""
        super().on_response_complete()
        if self._intake is not None:
            self._intake.discard()

    def take_back(self) -> None:
        """Go on parsing: the large body is here. The parser waits for it, so there is a new one."""
        self._intake = None
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.transport.set_protocol(self)
        self.transport.resume_reading()

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MAX_HEAD_BYTES:
            raise ValueError("the head of the request is too long")

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self.timeout_keep_alive_handler)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _large_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length of a body that is worth it; 0 for others, and for those that have no length."""
    found = dict(headers)
    text = found.get(b"content-length", b"")
    if b"transfer-encoding" in found or not text.isdigit() or len(text) > 19:
        return 0
    length = int(text)
    return length if length >= LARGE_BYTES else 0
