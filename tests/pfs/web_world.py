"""Servers on loopback that do to transfers what the web does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What is at a path, and how it is served."""

    data: bytes = b""
    type: str | None = "text/plain"
    etag: str | None = '"1"'
    status: int = 200
    location: str | None = None
    headers: int | None = None
    """After how many bytes of its headers the first answer breaks."""
    cuts: list[int] = field(default_factory=list)
    """Of each answer in turn: after how many bytes of it the connection breaks."""
    failures: list[int] = field(default_factory=list)
    """Status codes of the first answers."""
    ranges: bool = True
    changed: Callable[[], None] | None = None
    """Called after each cut."""


@dataclass
class World:
    """The pages by path, and what was asked for."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def web() -> Iterator[World]:
    """Serve a world of pages."""
    world = World("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            world.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            page = world.pages.get(path, Page(status=404))
            if page.failures:
                self._answer(page.failures.pop(0), b"try again", {"Retry-After": "0"})
            elif page.location:
                self._answer(page.status, b"", {"Location": page.location})
            elif page.status != 200:
                self._answer(page.status, b"an error page", {})
            else:
                self._file(page)

        def _file(self, page: Page) -> None:
            data, status, headers = page.data, 200, {}
            asked = self.headers.get("Range")
            if asked and page.ranges and self.headers.get("If-Range") == page.etag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                status, headers = 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
                data = data[start:]
            if page.etag:
                headers["ETag"] = page.etag
            if page.type:
                headers["Content-Type"] = page.type
            self._answer(status, data, headers, cut=page.cuts.pop(0) if page.cuts else None, changed=page.changed)

        def _answer(
            self,
            status: int,
            data: bytes,
            headers: dict[str, str],
            *,
            cut: int | None = None,
            changed: Callable[[], None] | None = None,
        ) -> None:
            if (page := world.pages.get(self.path)) and page.headers is not None:
                limit, page.headers = page.headers, None
                text = f"HTTP/1.1 {status} OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                self.wfile.write(f"{text}Content-Length: {len(data)}\r\n\r\n".encode()[:limit])
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[:cut])
            if cut is not None and cut < len(data):
                self.close_connection = True
                if changed:
                    changed()

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Be silent about clients that go away."""

    server = Server(("127.0.0.1", 0), Handler)
    world.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def cutting(target: tuple[str, int], cuts: list[int]) -> Iterator[str]:
    """Forward TCP connections to ``target``; the answer on each of the first ones breaks after so many bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    clients: list[socket.socket] = []

    def forward(client: socket.socket, limit: int | None) -> None:
        with client, socket.create_connection(target) as server:
            upward = threading.Thread(target=copy, args=(client, server, None))
            upward.start()
            copy(server, client, limit)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            upward.join()

    def copy(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        with suppress(OSError):
            while (limit is None or limit > 0) and (data := source.recv(65_536 if limit is None else limit)):
                sink.sendall(data)
                limit = None if limit is None else limit - len(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                clients.append(client)
                threads.append(threading.Thread(target=forward, args=(client, cuts.pop(0) if cuts else None)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
