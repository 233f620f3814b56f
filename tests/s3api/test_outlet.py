"""Large objects that threads send straight to the connection: whole, in range, to slow clients and ones that leave."""

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import pytest

from pfs.packs.pack import parse_pack_name
from pfs.store import Store
from s3api.http.outlet import Outlet
from tests.s3api.conftest import Server, running

MIB = 1 << 20
SIZE = 48 * MIB
DATA = os.urandom(SIZE)


@pytest.fixture
def server(home: Store) -> Iterator[Server]:
    with home.create_repo("big").commit("master") as commit:
        commit.put_file("/raw", DATA)
        commit.put_file("/mixed", DATA[: 20 * MIB] + bytes(20 * MIB) + DATA[:MIB])
        commit.put_file("/zeros", bytes(20 * MIB))
    with running(home) as live:
        yield live


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that went straight to connections, turn by turn."""
    sizes = list[int]()
    settle = Outlet.settle

    def counted(self: Outlet) -> int:
        sizes.append(settle(self))
        return sizes[-1]

    monkeypatch.setattr(Outlet, "settle", counted)
    return sizes


@contextmanager
def asked(server: Server, path: str) -> Iterator[socket.socket]:
    """Send a request and read nothing of the answer."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in server.sign("GET", path, {}).items())]
    with closing(socket.create_connection(server.address, timeout=60)) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        yield connection


def test_the_bulk_of_a_large_object_goes_straight(server: Server, straight: list[int]) -> None:
    assert server.request("GET", "/big/raw").body == DATA
    assert sum(straight) > SIZE // 2


def test_compressed_objects_are_read_ahead(server: Server, straight: list[int]) -> None:
    assert server.request("GET", "/big/zeros").body == bytes(20 * MIB)
    assert not any(straight)


def test_an_object_that_is_compressed_further_on_comes_whole(server: Server, straight: list[int]) -> None:
    assert server.request("GET", "/big/mixed").body == DATA[: 20 * MIB] + bytes(20 * MIB) + DATA[:MIB]
    assert any(straight)


@pytest.mark.parametrize(("start", "stop"), [(1, SIZE - 1), (3 * MIB + 7, 30 * MIB), (SIZE - 5 * MIB, SIZE), (5, 6)])
def test_ranges(server: Server, start: int, stop: int) -> None:
    reply = server.request("GET", "/big/raw", headers={"Range": f"bytes={start}-{stop - 1}"})
    assert (reply.status, reply.body) == (206, DATA[start:stop])


def test_one_connection_is_used_on(server: Server) -> None:
    with closing(http.client.HTTPConnection(*server.address, timeout=60)) as connection:
        for _ in range(3):
            connection.request("GET", "/big/raw", headers=server.sign("GET", "/big/raw", {}))
            assert connection.getresponse().read() == DATA


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with asked(server, "/big/raw") as connection:
        path = "/big/zeros"
        head = [f"GET {path} HTTP/1.1", *(f"{n}: {v}" for n, v in server.sign("GET", path, {}).items())]
        connection.sendall(("\r\n".join([*head, "Connection: close"]) + "\r\n\r\n").encode())
        with closing(connection.makefile("rb")) as stream:
            for wanted in (DATA, bytes(20 * MIB)):
                while stream.readline() != b"\r\n":
                    pass
                assert stream.read(len(wanted)) == wanted
            assert stream.read() == b""


def test_a_client_that_reads_in_sips_gets_it_all(server: Server) -> None:
    with asked(server, "/big/raw") as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        received = bytearray()
        while len(received) < SIZE:
            received += connection.recv(24 << 10)
        head = received.find(b"\r\n\r\n") + 4
        while len(received) < head + SIZE:
            received += connection.recv(MIB)
        assert received[head:] == DATA


def test_many_at_once(server: Server) -> None:
    with ThreadPoolExecutor(12) as pool:
        assert all(body == DATA for body in pool.map(lambda _: server.request("GET", "/big/raw").body, range(12)))


def test_clients_that_leave_cost_nothing_that_stays(server: Server) -> None:
    for _ in range(20):
        with asked(server, "/big/raw") as connection:
            connection.recv(100_000)
    assert server.request("GET", "/big/raw").body == DATA
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with asked(server, "/big/raw") as connection:
            connection.recv(100_000)
    assert server.request("GET", "/big/raw").body == DATA
    assert len(os.listdir("/proc/self/fd")) <= open_files + 5


def test_damage_ends_the_answer_early(home: Store) -> None:
    with home.create_repo("r").commit("master") as commit:
        commit.put_file("/raw", DATA)
    names = [entry.name for entry in home.backend.entries("packs/")]
    packs = [home.path / "objects" / name for name in names if parse_pack_name(name) is not None]
    largest = max(packs, key=lambda file: file.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size * 3 // 4)
        file.write(b"damaged")
    with running(home) as server, pytest.raises(http.client.IncompleteRead) as cut:
        server.request("GET", "/r/raw")
    assert DATA.startswith(cut.value.partial)
    assert len(cut.value.partial) < SIZE


def test_a_stop_lets_the_answer_end(home: Store) -> None:
    with home.create_repo("r").commit("master") as commit:
        commit.put_file("/raw", DATA)
    reading = threading.Event()

    def read(connection: socket.socket) -> int:
        size = 0
        while data := connection.recv(MIB):
            size += len(data)
            reading.set()
        return size

    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        server = stack.enter_context(running(home))
        with asked(server, "/r/raw") as connection:
            done = pool.submit(read, connection)
            assert reading.wait(30)
            stack.close()
            assert done.result() > SIZE
