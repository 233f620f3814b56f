"""How a service is reached: its port is looked at before the command gets it, and another port may lead there."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pfs.errors import FailedError
from pps.spec import Service

LOOPBACK: Final = "127.0.0.1"
_PIECE: Final = 64 * 1024
_BACKLOG: Final = 128


class PortTakenError(FailedError):
    """Another process has a port of the service: ``(address, field)``."""

    kind = "port-taken"

    def __init__(self, address: str, field: str) -> None:
        super().__init__(address, field)
        self.address, self.field = address, field

    def __str__(self) -> str:
        return f"its {self.field} cannot be had: another process listens on {self.address}"


@contextmanager
def reachable(service: Service | None, *, note: Callable[[str], object]) -> Iterator[None]:
    """Make sure that the command can have its port, and let the external port lead there meanwhile.

    Raises:
        PortTakenError: another process listens on one of them. OSError: one cannot be listened on for other reasons.
    """
    if service is None or not service.internal_port:
        yield
        return
    _listener(LOOPBACK, service.internal_port, "internal_port").close()
    if not service.forwards:
        yield
        return
    with _external(service, note) as listener, _forwarding(listener, service.internal_port):
        yield


def address_of(service: Service | None) -> str:
    """Return host and port under which a service is reached; empty without a port."""
    if service is None or not service.internal_port:
        return ""
    if not service.forwards:
        return f"{LOOPBACK}:{service.internal_port}"
    return f"{_host(service)}:{service.external_port}"


def _host(service: Service) -> str:
    """Return the address with the external port: the loopback, if what the service names is none of this machine."""
    if not service.ip:
        return LOOPBACK
    try:
        _listener(service.ip, 0, "external_port").close()
    except OSError:
        return LOOPBACK
    return service.ip


def _external(service: Service, note: Callable[[str], object]) -> socket.socket:
    host = _host(service)
    if service.ip and host != service.ip:
        note(f"{service.ip} is no address of this machine: the service is reached on {host}")
    return _listener(host, service.external_port, "external_port")


def _listener(host: str, port: int, field: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(f"{host}:{port}", field) from error
        raise
    return listener


@contextmanager
def _forwarding(listener: socket.socket, port: int) -> Iterator[None]:
    """Carry what comes in on ``listener`` to a port of the loopback, in a thread, until the block ends."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(listener, port, stop),), name="pps-forward")
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _serve(listener: socket.socket, port: int, stop: asyncio.Event) -> None:
    """Serve until ``stop``; connections that are open then are cut, as the command behind them is gone."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "callbacks of a server are tasks"
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await _carry(reader, writer, port)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, sock=listener)
    await stop.wait()
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    from_command, to_command = await asyncio.open_connection(LOOPBACK, port)
    try:
        await asyncio.gather(_copy(reader, to_command), _copy(from_command, writer))
    finally:
        to_command.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the end of the source, and pass that on; memory: a piece, and what the buffers of sockets hold."""
    while piece := await source.read(_PIECE):
        target.write(piece)
        await target.drain()
    with suppress(OSError):
        target.write_eof()
