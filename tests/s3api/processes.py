"""A gateway as a process of its own: it can be killed, its log read, and its memory looked at."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pfs
from pfs.keys import Key, Keys

_PROGRAM = """
import faulthandler, logging, sys, threading
import pfs
from pfs.keys import Keys
from s3api.gateway import Gateway
from s3api.http.server import Listen, serve
faulthandler.enable()
logging.basicConfig(level=logging.INFO)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
with pfs.open(sys.argv[1]) as store:
    gateway = Gateway(store, Keys(store), domains=["s3.test"], anonymous_read=["public"])
    serve(gateway, Listen(port=0), stop=stop, on_bound=lambda host, port: print(port, flush=True))
"""


@dataclass(frozen=True)
class Process:
    """A gateway that runs; `log` is what it writes."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_bytes(self) -> int:
        """Return what the process holds in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def gateway_process(home: Path, log: Path) -> Iterator[Process]:
    """Serve a store until the block ends; it is let end in order, unless it was killed in it."""
    with log.open("a") as out:
        command = [sys.executable, "-c", _PROGRAM, str(home)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=out, text=True) as process:
            assert process.stdout is not None
            try:
                yield Process(process, int(process.stdout.readline()), log)
                process.communicate(timeout=60)
            finally:
                process.kill()


def root_key(home: Path) -> tuple[Key, str]:
    """Return the root key of a store and its secret."""
    with pfs.open(home) as store:
        return Keys(store).root()
