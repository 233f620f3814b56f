"""The HTTP protocol: uvicorn's, with limits on heads, large bodies past the parser, and refusals in S3's own form.

A request that cannot be parsed gets a 400 in XML and ends the connection; one that was received whole before the
garbage is answered first. `Upgrade` is passed over, as RFC 9110 allows: Java's clients ask for h2c or TLS by default.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from s3api.errors import S3Error
from s3api.http import outlet
from s3api.http.intake import EXTENSION, LARGE_BYTES, Intake
from s3api.http.joined import Joined
from s3api.http.outlet import Outlet
from s3api.http.response import error_response
from s3api.http.times import http_date

MAX_HEAD_BYTES: Final = 64 << 10
"""Beyond this the connection ends with a plain 400; up to MAX_HEADERS_BYTES a request gets an answer of S3's."""
HEAD_TIMEOUT_S: Final = 60.0
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class BoundedProtocol(HttpToolsProtocol):
    """httptools behind uvicorn; a head that is too long or too slow ends the connection."""

    _size = 0
    _timer: asyncio.TimerHandle | None = None
    _intake: Intake | None = None
    _resuming = False
    _broken = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if self.scheme == "http":  # drained means empty, which threads need that write themselves
            transport.set_write_buffer_limits(high=0)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; what is left of a large body afterwards is read past the parser."""
        self._unset_keepalive_if_required()
        if self._broken:
            return
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(error)
        if self._intake is not None:
            self._intake.begin()
        elif self._timer is None and self._is_idle():
            self._arm()  # blank lines before a request are nothing that a client may live on

    def _feed(self, data: bytes) -> bytes:
        """Parse; return what the parser left, behind the head of a request that asks for an upgrade."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._resume()
            return data[int(upgrade.args[0]) :]
        return b""

    def _resume(self) -> None:
        """Go on with the body of a request that asks for an upgrade: the parser takes what follows its head for that.

        So a new parser gets a head that announces the same body, of which nobody else hears.
        """
        framing = [(name, value) for name, value in self.headers if name in _FRAMING]
        lines = b"".join(b"%b: %b\r\n" % pair for pair in framing) or b"content-length: 0\r\n"
        self.parser = new_parser(self)
        self._resuming = True
        self.parser.feed_data(b"PUT / HTTP/1.1\r\n" + lines + b"\r\n")
        self._resuming = False

    def _refuse(self, error: httptools.HttpParserError) -> None:
        """Answer 400, unless a request before the garbage is still to be answered: then end after that."""
        self._broken = True
        self._disarm()
        if not self._is_idle() and (self.cycle.response_started or not self.cycle.more_body):
            self.cycle.keep_alive = False
            if self.cycle.more_body:
                self.transport.close()
            return
        reason = S3Error("BadRequest", f"the request cannot be parsed: {error}")
        answer = error_response(reason, resource="", request_id="", host_id="")
        lines = (("date", http_date(time.time_ns())), *answer.headers, ("connection", "close"))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines).encode()
        assert isinstance(answer.body, bytes)
        length = b"content-length: %d\r\n\r\n" % len(answer.body)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + length + answer.body)
        self.transport.close()

    def _is_idle(self) -> bool:
        """Say whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def on_message_begin(self) -> None:
        """Count from here."""
        if self._resuming:
            return
        self._size = 0
        self._intake = None
        self._arm()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        if self._resuming:
            return
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._resuming:
            return
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        if self._resuming:
            return
        self._disarm()
        self._settle_host()
        waits = self.cycle is not None and not self.cycle.response_complete
        super().on_headers_complete()
        self._join()
        length = _large_length(self.headers)
        if length and not waits:  # one that waits for the answer before it is pipelined: rare, and never large
            self._intake = Intake(self, length)
            self.scope["extensions"] = {EXTENSION: {"intake": self._intake}}
        elif self.scheme == "http":
            self.scope["extensions"] = {outlet.EXTENSION: {"outlet": Outlet(self)}}

    def _join(self) -> None:
        """Let the head of the answer wait for its body; the request is not handled before the loop's next turn."""
        joined, ended = Joined(self.transport), self.cycle.on_response

        def on_response() -> None:
            joined.flush()
            ended()

        self.cycle.transport = joined  # type: ignore[assignment]  # it has all that a cycle calls
        self.cycle.on_response = on_response

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._intake is not None:
            self._intake.passed(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a body, once: a request that asks for an upgrade ends twice to parsers."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

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
        self.parser = new_parser(self)
        self.transport.set_protocol(self)
        self.transport.resume_reading()

    def _settle_host(self) -> None:
        """Make a full address one of a path, and its host the one that counts (RFC 9112, 3.2)."""
        target = _ABSOLUTE.match(self.url)
        if target is not None:
            self.url = (b"" if target[2].startswith(b"/") else b"/") + target[2]
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", target[1].rpartition(b"@")[2]))
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and self.parser.get_http_version() != "1.0":
            raise ValueError("a request has one Host")

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


def new_parser(protocol: HttpToolsProtocol) -> httptools.HttpRequestParser:
    """Return a parser as uvicorn sets it up."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _large_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length of a body that is worth it; 0 for others, and for those that have no length."""
    found = dict(headers)
    text = found.get(b"content-length", b"")
    if b"transfer-encoding" in found or not text.isdigit() or len(text) > 19:
        return 0
    length = int(text)
    return length if length >= LARGE_BYTES else 0
