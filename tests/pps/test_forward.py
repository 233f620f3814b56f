"""The external port of a service: what goes through, and what is told when a port is taken."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest

from pps.spec import Service
from pps.workers.forward import PortTakenError, address_of, reachable
from tests.pps.standing_world import WAIT_S, free_port

DATA = bytes(range(256)) * 40_000


def echo(listener: socket.socket) -> None:
    """Take one connection, send back what comes only once its end has come, and end."""
    connection, _ = listener.accept()
    with connection:
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        connection.sendall(received)


def listening(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def test_bytes_and_the_end_of_one_side_go_through() -> None:
    service = Service(free_port(), free_port())
    with (
        reachable(service, note=lambda _text: None),
        closing(listening(service.internal_port)) as listener,
        closing(socket.create_connection(("127.0.0.1", service.external_port), timeout=WAIT_S)) as client,
    ):
        thread = threading.Thread(target=echo, args=(listener,))
        thread.start()
        client.sendall(DATA)
        client.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: client.recv(1 << 16), b"")) == DATA
        thread.join()
    with closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", service.external_port)) != 0


def test_without_a_command_behind_it_a_connection_just_ends() -> None:
    service = Service(free_port(), free_port())
    address = ("127.0.0.1", service.external_port)
    with (
        reachable(service, note=lambda _text: None),
        closing(socket.create_connection(address, timeout=WAIT_S)) as client,
    ):
        assert client.recv(1) == b""


@pytest.mark.parametrize("field", ["internal_port", "external_port"])
def test_a_port_that_is_taken_is_named(field: str) -> None:
    with closing(listening(0)) as other:
        taken, free = other.getsockname()[1], free_port()
        service = Service(taken, free) if field == "internal_port" else Service(free, taken)
        with pytest.raises(PortTakenError, match=f"its {field} cannot be had: .* 127.0.0.1:{taken}"):
            reachable(service, note=lambda _text: None).__enter__()


def test_addresses() -> None:
    assert address_of(None) == address_of(Service()) == ""
    assert address_of(Service(80)) == address_of(Service(80, 80, "127.0.0.2")) == "127.0.0.1:80"
    assert address_of(Service(80, 81, "127.0.0.2")) == "127.0.0.2:81"
    assert address_of(Service(80, 81, "192.0.2.1")) == "127.0.0.1:81"
