"""Servers in processes of their own: the gateway, a bare uvicorn, moto, and radosgw (see radosgw.py).

Each is a context manager that gives a `Server`; at its end the processes are gone. What a server costs is the CPU time
of its processes with all their threads, out of /proc.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WAIT_S = 60
_TICKS = os.sysconf("SC_CLK_TCK")

GATEWAY = """
import sys, threading, pfs
from pfs.keys import Keys
from s3api.gateway import Gateway
from s3api.http.server import Listen, serve
stop = threading.Event()
with pfs.open(sys.argv[1]) as store:
    serve(Gateway(store, Keys(store)), Listen(port=0), stop=stop, on_bound=lambda h, p: print(p, flush=True))
"""
BARE = """
import sys, socket, uvicorn
piece, size = bytes(1 << 20), int(sys.argv[1])
async def app(scope, receive, send):
    headers = [(b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for left in range(size - len(piece), -1, -len(piece)):
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
    if size < len(piece):
        await send({"type": "http.response.body", "body": piece[:size], "more_body": False})
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", log_config=None, access_log=False)
uvicorn.Server(config).run(sockets=[listener])
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens on the loopback address; ``pids`` are all processes that work for it."""

    name: str
    port: int
    pids: tuple[int, ...]
    key: str = "bench"
    secret: str = "benchbench"

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """Return the CPU seconds that the processes have used, threads that have ended included."""
        return sum(map(_cpu_s, self.pids))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def gateway(folder: Path | str) -> Iterator[Server]:
    """Serve the store in a folder with its root key."""
    import pfs
    from pfs.keys import Keys

    with pfs.open(folder) as store:
        key, secret = Keys(store).root()
    with _program(GATEWAY, str(folder)) as (pid, port):
        yield Server("pfs", port, (pid,), key.access_key, secret)


@contextmanager
def bare(size: int) -> Iterator[Server]:
    """Answer every request with ``size`` bytes out of memory: a multiple of 1 MiB, or less than that."""
    with _program(BARE, str(size)) as (pid, port):
        yield Server("bare uvicorn", port, (pid,))


@contextmanager
def moto() -> Iterator[Server | None]:
    """Start moto's server; None if it is not installed."""
    if importlib.util.find_spec("moto") is None:
        print("moto is not installed (pip install 'moto[server]'): going on without it", file=sys.stderr)
        yield None
        return
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield Server("moto", port, (process.pid,))
        finally:
            process.kill()


@contextmanager
def _program(code: str, argument: str) -> Iterator[tuple[int, int]]:
    """Run a server that prints its port; give its process and that."""
    with subprocess.Popen([sys.executable, "-c", code, argument], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes] | None = None, *, timeout_s: float = WAIT_S) -> None:
    """Wait until a port takes connections; raises RuntimeError after a minute, or when its process ended."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and (process is None or process.poll() is None):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}")
