"""Sends the bytes of requests and takes exactly the answers that are due, however broken the bytes are."""

import contextlib
import socket
from dataclasses import dataclass, field

import httptools

HANG_S = 20.0


class Due:
    """What a parser of the server's own kind makes of the bytes: so many whole requests, and whether they break."""

    def __init__(self, data: bytes) -> None:
        self.methods = list[bytes]()
        self.whole = 0
        self.broken = False
        self._framing = b""
        self._resuming = False
        self._parser = httptools.HttpRequestParser(self)
        try:
            while data:
                data = self._parse(data)
        except httptools.HttpParserError:
            self.broken = True

    def _parse(self, data: bytes) -> bytes:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # the parser takes the body for another protocol
            self._parser, self._resuming = httptools.HttpRequestParser(self), True
            self._parser.feed_data(b"PUT / HTTP/1.1\r\n" + (self._framing or b"content-length: 0\r\n") + b"\r\n")
            self._resuming = False
            return data[upgrade.args[0] :]
        return b""

    def on_message_begin(self) -> None:
        """Forget the request before."""
        if not self._resuming:
            self._framing = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note it: it may announce a body."""
        if not self._resuming and name.lower() in {b"content-length", b"transfer-encoding"}:
            self._framing += b"%b: %b\r\n" % (name, value)

    def on_headers_complete(self) -> None:
        """Note the method: an answer to HEAD has no body."""
        if not self._resuming:
            self.methods.append(self._parser.get_method())

    def on_message_complete(self) -> None:
        """Count it."""
        if not self._parser.should_upgrade():
            self.whole += 1


@dataclass
class Connection:
    """A connection to a port on loopback, opened when it is needed; close it."""

    port: int
    _sock: socket.socket | None = field(default=None)

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def exchange(self, data: bytes) -> list[bytes]:
        """Send bytes and return the answers; none where the request is not whole, or the server had enough.

        Raises:
            TimeoutError: an answer was due and did not come.
        """
        due = Due(data)
        try:
            return self._exchange(data, due)
        except TimeoutError:
            self.close()
            raise
        except OSError:
            self.close()
            return []

    def _exchange(self, data: bytes, due: Due) -> list[bytes]:
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self.port), timeout=HANG_S)
        with contextlib.suppress(ConnectionError):  # it may answer and close before all was sent
            self._sock.sendall(data)
        if not due.whole and not due.broken:
            self.close()  # as a client that gives up
            return []
        answers = self._receive(self._sock, due)
        if due.broken or len(answers) < due.whole or any(b"connection: close" in one.lower() for one in answers):
            self.close()
        elif len(due.methods) > due.whole:
            self.close()  # the beginning of another request was sent
        return answers

    def _receive(self, sock: socket.socket, due: Due) -> list[bytes]:
        """Receive an answer for each whole request, and behind a broken one until the end of the connection."""
        buffer, answers = b"", list[bytes]()
        while len(answers) < due.whole or due.broken:
            head = len(answers) < due.whole and due.methods[len(answers)] == b"HEAD"
            size = _size(buffer, head=head)
            if size is not None and len(buffer) >= size:
                if not buffer.startswith(b"HTTP/1.1 100"):
                    answers.append(buffer[:size])
                buffer = buffer[size:]
                continue
            more = sock.recv(1 << 18)
            if not more:
                return [*answers, buffer] if buffer else answers
            buffer += more
        return answers


def _size(buffer: bytes, *, head: bool) -> int | None:
    """Return the size of the first answer; None while its head is not whole, or it lasts as long as the connection."""
    top, end, _ = buffer.partition(b"\r\n\r\n")
    if not end:
        return None
    lower = top.lower()
    bare = head and b"connection: close" not in lower  # what ends the connection may have a body that HEAD has not
    if bare or top[9:12] in {b"100", b"204", b"304"}:
        return len(top) + 4
    _, found, after = lower.partition(b"content-length: ")
    return len(top) + 4 + int(after.partition(b"\r\n")[0]) if found else None
