"""A load of HTTP requests, cheap for the client: made and signed before, sent over connections that are kept.

One thread, one request under way on each connection. A server that closes its connections is met with new ones.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from benchmarks.servers import Server

_PIECE = 1 << 20
_LAST_CHUNK = b"\r\n0\r\n\r\n"
"""Chunked answers are listings: small, and without this inside."""


def signed(server: Server, method: str, path: str, headers: dict[str, str] | None = None) -> bytes:
    """Return the head of a request with a version 4 signature by botocore; ``path`` with its query, not encoded."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    place, _, query = path.partition("?")
    url = f"{server.url}{quote(place)}" + (f"?{query}" if query else "")
    found = {"Host": f"127.0.0.1:{server.port}", "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", **(headers or {})}
    request = AWSRequest(method=method, url=url, headers=found)

    class Signer(S3SigV4Auth):  # which would sign an empty body, as there is none yet
        def payload(self, request: AWSRequest) -> str:
            return "UNSIGNED-PAYLOAD"

    Signer(Credentials(server.key, server.secret), "s3", "us-east-1").add_auth(request)
    lines = [f"{method} {quote(place)}{'?' + query if query else ''} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class Took:
    """What a load took: wall seconds in all, the server's CPU seconds, and each answer's seconds, ascending."""

    seconds: float
    cpu_s: float
    each_s: tuple[float, ...]
    bytes: int


def load(server: Server, requests: Sequence[bytes], *, connections: int) -> Took:
    """Send all requests, so many at a time; raises RuntimeError when an answer is not 200 or 206."""
    todo, taken, size = iter(requests), [], 0
    cpu, start = server.cpu_s(), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        lines = [_Line(server.port) for _ in range(min(connections, len(requests)))]
        under_way = 0
        for line in lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
            line.send(next(todo))
            under_way += 1
        while under_way:
            for key, _ in selector.select():
                line = key.data
                if not line.read():
                    continue
                under_way -= 1
                taken.append(line.took_s)
                size += line.size
                if line.closing:
                    selector.unregister(line.socket)
                    line.reopen()
                    selector.register(line.socket, selectors.EVENT_READ, line)
                request = next(todo, None)
                if request is not None:
                    line.send(request)
                    under_way += 1
        seconds = time.perf_counter() - start
        for line in lines:
            line.socket.close()
    return Took(seconds, server.cpu_s() - cpu, tuple(sorted(taken)), size)


class _Line:
    """A connection and the answer that comes over it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = memoryview(bytearray(_PIECE))
        self.socket = self._connect()

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def reopen(self) -> None:
        """Connect again."""
        self.socket.close()
        self.socket = self._connect()

    def send(self, request: bytes) -> None:
        """Send a request; `read` is for its answer."""
        self._head, self._left, self.size, self.closing = b"", -1, 0, False
        self._start = time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> bool:
        """Take what has come; say whether the answer is whole."""
        count = self.socket.recv_into(self._buffer)
        if not count:
            raise RuntimeError(f"the connection ended in an answer: {self._head[:200]!r}")
        if self._left < 0:
            self._head += self._buffer[:count].tobytes()
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return False
            count = len(self._head) - end - 4
            self._read_head(self._head[:end])
            if self._chunked and not self._head.endswith(_LAST_CHUNK):
                self._left = -1
                return False
            self.size = self.size or count
        self._left = 0 if self._chunked else self._left - count
        if self._left == 0:
            self.took_s = time.perf_counter() - self._start
        return self._left == 0

    def _read_head(self, head: bytes) -> None:
        if head[9:12] not in (b"200", b"206"):
            raise RuntimeError(f"answered {self._head[:1000]!r}")
        low = head.lower()
        self._chunked = b"\r\ntransfer-encoding: chunked" in low
        at = low.find(b"\r\ncontent-length:")
        if at < 0 and not self._chunked:
            raise RuntimeError(f"an answer without a length: {head!r}")
        self._left = 0 if self._chunked else int(low[at + 17 :].split(b"\r\n", 1)[0])
        self.size = self._left
        self.closing = head.startswith(b"HTTP/1.0") or b"\r\nconnection: close" in low


def turns(servers: Iterable[Server], rounds: int) -> Iterator[tuple[int, Server]]:
    """Yield (round, server), each round with every server in turn, every second one backwards."""
    order = list(servers)
    for number in range(rounds):
        yield from ((number, server) for server in (order if number % 2 == 0 else reversed(order)))
