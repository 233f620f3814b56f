"""The memory of uploads: the budget, the lanes, bodies that wait in a file, and clients that never end theirs."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfs
from pfs.errors import StorageError
from pfs.keys import Keys
from pfs.store import Store
from s3api.bodies.lane import Lane
from s3api.bodies.room import MOST_BYTES, SMALL_BYTES, Hold, Room, need_of
from s3api.bodies.spool import Spool
from tests.s3api.conftest import Server, running
from tests.s3api.test_server import PROGRAM

# the budget


def test_what_is_taken_is_free_again() -> None:
    room = Room(total=10 * MOST_BYTES)
    holds = [room.take(MOST_BYTES) for _ in range(6)]
    assert all(holds)
    assert room.take(MOST_BYTES) is None
    assert room.take(SMALL_BYTES), "small bodies are always taken in"
    assert holds[0] is not None
    holds[0].release()
    holds[0].release()
    assert room.take(MOST_BYTES)
    assert room.take(MOST_BYTES) is None


def test_each_of_many_processes_can_still_work() -> None:
    room = Room(processes=64)
    assert room.take(need_of(None))
    assert asyncio.run(room.turn(need_of(None)))


def test_turns_come_in_order_and_survive_those_who_left() -> None:
    async def play() -> list[int]:
        room, order = Room(total=10 * MOST_BYTES), list[int]()

        async def work(number: int) -> None:
            hold = await room.turn(MOST_BYTES)
            order.append(number)
            await asyncio.sleep(0)
            hold.release()

        held = [await room.turn(MOST_BYTES) for _ in range(4)]
        tasks = [asyncio.create_task(work(number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[3].cancel()
        for hold in held:
            hold.release()
        tasks[1].cancel()  # it has its turn already, and does not know yet
        await asyncio.wait(tasks)
        assert [await room.turn(MOST_BYTES) for _ in range(4)]
        return order

    assert asyncio.run(play()) == [2, 4, 5]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * MOST_BYTES)), max_size=30))
def test_no_more_is_held_than_there_is(steps: list[tuple[bool, int]]) -> None:
    room, held = Room(total=8 * MOST_BYTES), list[tuple[Hold, int]]()
    for take, size in steps:
        if take or not held:
            hold = room.take(size)
            if hold is not None and size > 2 * SMALL_BYTES:
                held.append((hold, size))
        else:
            held.pop(size % len(held))[0].release()
        assert sum(size for _, size in held) <= 4 * MOST_BYTES


# lanes


def test_a_lane_keeps_the_order_and_stops_at_an_error() -> None:
    seen, ended = list[int](), list[int]()

    def call(number: int) -> None:
        if number == 70:
            raise ValueError("70")
        seen.append(number)

    with ThreadPoolExecutor(2) as pool:
        lanes = [Lane(pool), Lane(pool), Lane(pool)]
        done = threading.Semaphore(0)
        for number in range(100):
            lanes[0].submit(lambda n=number: call(n), done=lambda n=number: (ended.append(n), done.release()))  # type: ignore[misc]
            for lane in lanes[1:]:
                lane.submit(lambda: None, done=done.release)
        for _ in range(300):
            done.acquire()
    assert seen == list(range(70))
    assert ended == list(range(100))
    assert isinstance(lanes[0].error, ValueError)
    assert lanes[1].error is None


# files


def test_a_spool_gives_back_what_it_took(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "tmp")
    data = os.urandom(3 << 18)
    for start in range(0, len(data), 50_000):
        spool.write([data[start : start + 20_000], memoryview(data)[start + 20_000 : start + 50_000]])
    assert b"".join(bytes(piece) for piece in spool.pieces(1 << 17)) == data
    assert list((tmp_path / "tmp").iterdir()) == []
    spool.close()


def test_a_spool_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_bytes(b"")
    with pytest.raises(StorageError, match="tmp"):
        Spool(tmp_path / "tmp")


# servers


@pytest.fixture
def crowded(home: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server without room for any but small bodies."""
    monkeypatch.setattr("s3api.bodies.room.Room.take", lambda self, size: Hold(self._coming, 0) if size < 100 else None)
    home.create_repo("r")
    with running(home) as server:
        yield server


def test_bodies_that_find_no_memory(crowded: Server, home: Store) -> None:
    bodies = [os.urandom(size) for size in (51, 70_000, 1 << 20, 9_000_001)]

    def put(number: int) -> None:
        headers = {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
        path = f"/r/{number}"
        assert crowded.request("PUT", path, body=bodies[number], headers=headers).code == "BadDigest"
        reply = crowded.request("PUT", path, body=bodies[number])
        assert reply.headers["etag"] == f'"{hashlib.md5(bodies[number]).hexdigest()}"'

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(len(bodies))))
    head = home.repo("r")["master"]
    assert [head.read(f"/{number}") for number in range(len(bodies))] == bodies
    assert list((home.path / "tmp").iterdir()) == []


def test_lists_of_keys_that_find_no_memory_are_put_off(crowded: Server) -> None:
    body = b"<Delete>" + b"<Object><Key>k</Key></Object>" * 10 + b"</Delete>"
    reply = crowded.request("POST", "/r?delete", body=body)
    assert (reply.status, reply.code) == (503, "SlowDown")


@contextmanager
def a_process(home: Path) -> Iterator[tuple[subprocess.Popen[str], Server]]:
    """Serve a store, made if there is none yet, in a process of its own; it is killed at the end."""
    if not (home / ".pfs").exists():
        with pfs.init(home) as store:
            store.create_repo("r")
    with pfs.open(home) as store:
        keys = Keys(store)
        with subprocess.Popen([sys.executable, "-c", PROGRAM, str(home)], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = f"http://127.0.0.1:{int(process.stdout.readline())}"
                yield process, Server(store, keys, url, *keys.root())
            finally:
                process.kill()


def resident(process: subprocess.Popen[str]) -> int:
    """Return the bytes of anonymous memory that a process has."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def test_hundreds_of_uploads_that_stall(tmp_path: Path) -> None:
    sent = os.urandom(600 << 10)
    with a_process(tmp_path) as (process, server), ExitStack() as stack:
        assert server.request("PUT", "/r/before", body=sent).status == 200
        start = resident(process)
        for number in range(300):
            path = f"/r/{number}"
            headers = server.sign("PUT", path, {}) | {"Content-Length": str(64 << 20)}
            sock = stack.enter_context(socket.create_connection(server.address, timeout=60))
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            sock.sendall(f"PUT {path} HTTP/1.1\r\n{head}\r\n".encode())
            sock.sendall(sent)
        body = os.urandom(5 << 20)
        assert server.request("PUT", "/r/after", body=body).status == 200
        assert server.request("GET", "/r/after").body == body
        assert resident(process) - start < 120 << 20
        stack.close()
        assert server.request("PUT", "/r/last", body=body).status == 200
        assert server.request("GET", "/r").body.count(b"<Key>") == 3
        assert process.poll() is None
