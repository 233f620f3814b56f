"""The HTTP server: uvicorn with uvloop and httptools, set up for S3 clients."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pfs.errors import InvalidInputError, PfsError, StorageError
from s3api.app import create_app
from s3api.gateway import Gateway
from s3api.http.protocol import BoundedProtocol

log = logging.getLogger("s3api")

KEEP_ALIVE_S = 90
"""boto3 keeps idle connections for longer than uvicorn's 5 s and fails on ones that were closed under it."""
DRAIN_S = 30
"""Requests under way have this long to end after a stop; then their connections are cut."""
FAREWELL_S = 10
"""What was cut has this long to give back what it holds."""
LINGER_S = 1.0
"""A closed TLS connection waits for the client's farewell, which one idle in a pool never sends: cut it then."""
UPKEEP_S = 3600.0
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 takes a free one. With a certificate, HTTPS."""

    host: str = "127.0.0.1"
    port: int = 30600
    tls_cert: Path | None = None
    tls_key: Path | None = None


def serve(
    gateway: Gateway, listen: Listen, *, stop: threading.Event, on_bound: Callable[[str, int], None] | None = None
) -> None:
    """Serve until ``stop`` is set, then let the requests under way end; runs in the calling thread, takes no signals.

    ``on_bound`` gets host and port once connections are accepted. The gateway is closed at the end, the store is not.

    Raises:
        StorageError: the address cannot be bound.
        InvalidInputError: certificate or key cannot be read.
    """
    with bound(listen) as listener:
        serve_on(listener, gateway, listen, stop=stop, on_started=lambda: _report(listener, on_bound))


def serve_on(
    listener: socket.socket,
    gateway: Gateway,
    listen: Listen,
    *,
    stop: threading.Event,
    on_started: Callable[[], None],
    upkeep: bool = True,
    drain_s: float | None = None,
) -> None:
    """Serve as `serve`, on a socket that is bound, perhaps one that other processes accept from as well.

    ``upkeep``: expire uploads; of several processes on a store one does. ``drain_s``: how long requests under
    way have to end after a stop.
    """
    try:
        drain_s = DRAIN_S if drain_s is None else drain_s
        _Server(_config(gateway, listen), gateway, stop, on_started, upkeep=upkeep, drain_s=drain_s).run(
            sockets=[listener]
        )
    finally:
        gateway.close()


def check_certificate(listen: Listen) -> None:
    """Raise InvalidInputError when certificate or key cannot be read."""
    if listen.tls_cert is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listen.tls_cert, listen.tls_key)
    except OSError as error:
        raise InvalidInputError(
            f"cannot use TLS certificate {listen.tls_cert} with key {listen.tls_key}: {error}"
        ) from error


def _report(listener: socket.socket, on_bound: Callable[[str, int], None] | None) -> None:
    if on_bound is not None:
        host, port = listener.getsockname()[:2]
        on_bound(str(host), int(port))


@contextmanager
def bound(listen: Listen) -> Iterator[socket.socket]:
    """Bind the address and accept nothing yet; raises StorageError when that does not go."""
    place = f"{listen.host}:{listen.port}"
    try:
        family = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)
    except OSError as error:
        # Python's text repeats the address; a failed look-up of the host has no number that the system has words for.
        if error.errno is None or isinstance(error, socket.gaierror):
            reason = error.strerror or str(error)
        else:
            reason = os.strerror(error.errno)
        raise StorageError(f"listen on {place}", f"{reason.lower()}; choose another host or port") from error
    with listener:
        yield listener


def _config(gateway: Gateway, listen: Listen) -> uvicorn.Config:
    config = uvicorn.Config(
        create_app(gateway),
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,  # uvicorn's is of the time when the request began
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S + FAREWELL_S,
        backlog=BACKLOG,
        ssl_certfile=listen.tls_cert,
        ssl_keyfile=listen.tls_key,
    )
    check_certificate(listen)
    config.load()
    return config


class _Server(uvicorn.Server):
    """A server that ends by an event, leaves signals to the program, and does the gateway's upkeep."""

    def __init__(
        self,
        config: uvicorn.Config,
        gateway: Gateway,
        stop: threading.Event,
        on_started: Callable[[], None],
        *,
        upkeep: bool,
        drain_s: float,
    ) -> None:
        super().__init__(config)
        self._gateway, self._stop, self._on_started, self._does_upkeep = gateway, stop, on_started, upkeep
        self._drain_s = drain_s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the program sets the stop event."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, then say so."""
        await super().startup(sockets=sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether to stop."""
        return self._stop.is_set() or await super().on_tick(counter)

    async def main_loop(self) -> None:
        """Serve, with upkeep beside it."""
        upkeep = asyncio.create_task(self._upkeep() if self._does_upkeep else asyncio.sleep(0))
        try:
            await super().main_loop()
        finally:
            upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await upkeep

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the requests under way end, cut what is idle, and in the end what is not."""
        cutting = asyncio.create_task(self._cut_idle())
        ending = asyncio.get_running_loop().call_later(self._drain_s, self._cut_all)
        try:
            await super().shutdown(sockets=sockets)
        finally:
            ending.cancel()
            cutting.cancel()
            with suppress(asyncio.CancelledError):
                await cutting

    async def _cut_idle(self) -> None:
        while True:
            await asyncio.sleep(LINGER_S)
            for connection in self._connections():
                if not _is_busy(connection) and not connection.transport.get_write_buffer_size():
                    connection.transport.abort()

    def _cut_all(self) -> None:
        """End the connections that are left: to a request it is as if its client had gone, so it cleans up as ever."""
        left = self._connections()
        busy = sum(_is_busy(connection) for connection in left)
        if busy:
            log.warning("%d requests had not ended %g s after the stop and were cut", busy, self._drain_s)
        for connection in left:
            connection.transport.abort()

    def _connections(self) -> list[HttpToolsProtocol]:
        return [one for one in self.server_state.connections if isinstance(one, HttpToolsProtocol)]

    async def _upkeep(self) -> None:
        """Drop uploads that were given up, at the start and every hour."""
        while True:
            try:
                await self._gateway.run(self._gateway.uploads.expire, self._gateway.store.clock_ns())
            except PfsError as error:
                log.warning("expiring uploads: %s", error)
            await asyncio.sleep(UPKEEP_S)


def _is_busy(connection: HttpToolsProtocol) -> bool:
    """Say whether a request is under way."""
    return connection.cycle is not None and not connection.cycle.response_complete
