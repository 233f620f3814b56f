"""A thousand idle and a hundred busy connections at once, to all processes of one server: nothing lost, little held."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from cli.limits import raise_file_limit
from pfs.store import init
from tests.cli.processes import Served, serving
from tests.cli.test_workers import children, client

MIB = 1 << 20
IDLE_S = 20
"""Longer than this nobody is idle without a request in between: the server bears with 60 s before a first one."""
SIZES = [
    pytest.param(100, 20, 2, 1),
    pytest.param(1000, 100, 20, 1, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    pytest.param(1000, 100, 20, 3, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
]


@pytest.mark.parametrize(("idle", "busy", "turns", "workers"), SIZES)
def test_many_connections(tmp_path: Path, idle: int, busy: int, turns: int, workers: int) -> None:
    raise_file_limit()
    with init(tmp_path) as made:
        made.create_repo("r")
    with ExitStack() as stack, serving(tmp_path, "--no-pipelines", "--workers", str(workers)) as served:
        host, port = served.url.removeprefix("http://").split(":")
        quiet = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(idle)]
        watch = stack.enter_context(Watch(served))
        with ThreadPoolExecutor(busy) as pool:
            busily = [pool.submit(work, served, number, turns) for number in range(busy)]
            while wait(busily, timeout=IDLE_S).not_done:
                ask(quiet)
        for future in busily:
            future.result()
        ask(quiet)
        assert watch.peak < 600 * MIB, watch.peak / MIB


def ask(socks: Sequence[socket.socket]) -> None:
    """Ask for something on connections that were idle, and take the answers."""
    for sock in socks:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for sock in socks:
        answer = b""
        while b"</Error>" not in answer:
            more = sock.recv(65536)
            assert more, "the connection was lost"
            answer += more


def work(served: Served, number: int, turns: int) -> None:
    """Write and read objects of all sizes, over one connection, each request once."""
    chance = Random(number)
    with closing(client(served)) as s3:
        for turn in range(turns):
            body = chance.randbytes(chance.choice([10, 50_000, MIB, 6 * MIB]))
            s3.put_object(Bucket="r", Key=f"{number}/{turn}", Body=body)
            assert s3.get_object(Bucket="r", Key=f"{number}/{turn}")["Body"].read() == body
        assert s3.list_objects_v2(Bucket="r", Prefix=f"{number}/")["KeyCount"] == turns


class Watch:
    """Looks at the memory of a server's processes ten times a second; ``peak`` is the most of all, in bytes."""

    def __init__(self, served: Served) -> None:
        self._pid, self.peak = served.process.pid, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.1):
            self.peak = max(self.peak, sum(map(anonymous, {self._pid, *children(self._pid)})))


def anonymous(pid: int) -> int:
    """Return the bytes of memory that are a process's own."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
