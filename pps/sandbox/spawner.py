"""Starting commands through the spawner process.

`Spawner` owns the process; when it died it is started again with the next command. `running.Running` is one command.
Nothing here knows what a datum is.
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from pfs.errors import FailedError
from pps.sandbox.handover import hand_over
from pps.sandbox.limits import Limits
from pps.sandbox.plain import PLAIN, encode
from pps.sandbox.running import Running
from pps.sandbox.spawner_init import Request
from pps.sandbox.spawner_main import Hello

Mode = Literal["mount", "user", "none"]
"""``mount``: a mount namespace (takes root); ``user``: with a user namespace around it; ``none``: plain processes."""

_START_TIMEOUT_S = 30.0
# The package's __init__ imports what the spawner does not need; an empty package in its place keeps forks cheap.
_BOOT = (
    "import sys, types; package = types.ModuleType('pps'); package.__path__ = [sys.argv[1]]; "
    "sys.modules['pps'] = package; from pps.sandbox.spawner_main import main; main()"
)


class SpawnerLostError(FailedError):
    """The spawner is gone and cannot be started again: ``(message)``."""

    kind = "spawner-lost"


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: ``mounts`` are the steps of sandbox_mounts.py, done first; ``cwd`` is seen after them.

    Variables and steps may hold secrets, so they are not shown. ``shares_pids``: it is put in no PID namespace of its
    own.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: str
    mounts: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    limits: Limits | None = None
    shares_pids: bool = False


class Spawner:
    """The spawner process. Thread-safe; started by the first use and again whenever it is found dead.

    ``native``: let the extension start what it can, where it is built.
    """

    def __init__(self, mode: Mode, anchor: Path, *, native: bool = True) -> None:
        self.mode: Mode = mode
        self._native = native
        self._anchor = anchor
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._closed = False
        self._hello: Hello | None = None

    def hello(self) -> Hello:
        """Start the process if it does not run, and return what it can do.

        Raises:
            SpawnerLostError: it cannot be started.
        """
        with self._lock:
            return self._ensure()

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return self._process.pid if self._process else None

    def start(self, command: Command, *, stdin: int) -> Running:
        """Hand ``command`` over; ``stdin`` stays the caller's.

        Raises:
            OSError: there are no more descriptors.
            SpawnerLostError: the spawner is gone and cannot be started.
        """
        with self._lock:
            for last in (False, True):
                hello = self._ensure()
                assert self._socket is not None
                message = _message(command, plain=hello["plain"])
                try:
                    ends = hand_over(self._socket, message, stdin=stdin, native=self._native)
                except OSError as error:
                    if error.errno in {errno.EMFILE, errno.ENFILE}:
                        raise
                    self._end()
                    if last:
                        raise SpawnerLostError(f"the process that starts commands is gone: {error}") from error
                else:
                    own_pids = hello["own_pids"] and not command.shares_pids
                    return Running(ends, own_pids=own_pids, native=self._native)
        raise AssertionError

    def close(self) -> None:
        """End the process; commands that run go on and belong to their `Running`. Idempotent."""
        with self._lock:
            self._closed = True
            self._end()

    def _ensure(self) -> Hello:
        if self._closed:
            raise SpawnerLostError("the executor is closed")
        if self._hello is not None and self._process is not None and self._process.poll() is None:
            return self._hello
        self._end()
        self._anchor.joinpath("root").mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _launch(self.mode, self._anchor, theirs.fileno(), native=self._native)
        self._socket = ours
        self._hello = _hear(ours)
        return self._hello

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket, self._process, self._hello = None, None, None


def _message(command: Command, *, plain: bool) -> bytes:
    """Return the request with its length, in the form for the native loop where that takes it."""
    request = Request(
        argv=command.argv,
        env=command.env,
        cwd=command.cwd,
        mounts=command.mounts,
        limits=command.limits,
        shares_pids=command.shares_pids,
    )
    text = encode(request) if plain else None
    if text is not None:
        return (len(text) | PLAIN).to_bytes(4, "big") + text
    text = json.dumps(request).encode()
    return len(text).to_bytes(4, "big") + text


def _launch(mode: Mode, anchor: Path, fd: int, *, native: bool) -> subprocess.Popen[bytes]:
    # Isolated, no site-packages: only the standard library is imported, and no json.py of the working directory.
    package = str(Path(__file__).parent.parent)
    build = "native" if native else "pure"
    argv = [sys.executable, "-I", "-S", "-c", _BOOT, package, str(fd), mode, build, str(anchor)]
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(fd,), start_new_session=True
    )


def _hear(connection: socket.socket) -> Hello:
    connection.settimeout(_START_TIMEOUT_S)
    try:
        length = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
        text = connection.recv(length, socket.MSG_WAITALL)
        hello = cast("Hello", json.loads(text))
    except (OSError, ValueError) as error:
        raise SpawnerLostError("the process that starts commands cannot be started") from error
    connection.settimeout(None)
    return hello
