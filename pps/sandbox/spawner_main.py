"""The spawner: a small process with one thread that forks the commands of datums.

The executor has threads, and forking from those is neither safe nor cheap; this process imports little, is started
once, prepares its mount namespace once, and forks an init (spawner_init.py) for each request. It keeps no state about
what runs: status and control of a command are pipes between its init and the executor.

Messages on its socket have 4 bytes of length, then JSON; the file descriptors of a request come with the length.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TypedDict

from pps.sandbox import mounts, spawner_init, syscalls

FD_COUNT = 5


class Hello(TypedDict):
    """The first message: what this spawner can do; ``error`` is empty when it does what it was asked for."""

    error: str
    overlay: bool
    overlay_error: str
    own_pids: bool
    own_pids_error: str


def main() -> None:
    """Serve until the executor closes the socket: ``<fd of the socket> <mount|user|none> <anchor directory>``."""
    fd, mode, anchor = sys.argv[-3:]
    connection = socket.socket(fileno=int(fd))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    hello = _prepare(mode, anchor)
    text = json.dumps(hello).encode()
    # The executor may be gone at any point, killed perhaps: then there is nobody to serve, and nothing to say.
    with suppress(ConnectionError):
        connection.sendall(len(text).to_bytes(4, "big") + text)
        if not hello["error"]:
            _serve(connection, flags=_flags(mode, hello))


def _flags(mode: str, hello: Hello) -> int:
    if mode == "none":
        return 0
    return syscalls.CLONE_NEWNS | (syscalls.CLONE_NEWPID if hello["own_pids"] else 0)


def _prepare(mode: str, anchor: str) -> Hello:
    hello = Hello(error="", overlay=False, overlay_error="", own_pids=False, own_pids_error="")
    if mode == "none":
        return hello
    try:
        mounts.unshare_mounts(user=mode == "user")
        # Tried on the host's root, where the scratch directories of the probe are.
        hello["overlay_error"] = _try([_overlay_step(anchor)], flags=syscalls.CLONE_NEWNS)
        mounts.build_root(f"{anchor}/root")
        hello["own_pids_error"] = _try([["proc"]], flags=syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
        # The one thing without which nothing else counts: a bind mount inside the new root.
        hello["error"] = _try([["bind", anchor, mounts.PFS]], flags=syscalls.CLONE_NEWNS)
    except OSError as error:
        hello["error"] = f"{error.strerror}" + (f" ({error.filename})" if error.filename else "")
    hello["overlay"], hello["own_pids"] = not hello["overlay_error"], not hello["own_pids_error"]
    return hello


def _overlay_step(anchor: str) -> list[str]:
    lower, upper, work, target = (f"{anchor}/overlay-{part}" for part in ("lower", "upper", "work", "target"))
    for path in (lower, upper, work, target):
        os.makedirs(path, exist_ok=True)
    return ["overlay", lower, upper, work, target]


def _try(steps: list[list[str]], *, flags: int) -> str:
    """Return what keeps a child with ``flags`` from doing ``steps``, or an empty string."""
    reader, writer = os.pipe()
    try:
        pid = syscalls.clone(flags)
    except OSError as error:
        os.close(reader)
        os.close(writer)
        return str(error.strerror)
    if pid == 0:
        try:
            mounts.apply(steps)
        except OSError as error:
            os.write(writer, str(error.strerror).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        return file.read().decode()


def _serve(connection: socket.socket, *, flags: int) -> None:
    while True:
        received = _receive(connection)
        if received is None:
            return
        request, fds = received
        own = flags & ~syscalls.CLONE_NEWPID if request["shares_pids"] else flags
        pid = syscalls.clone(own) if own else os.fork()
        if pid == 0:
            connection.close()
            spawner_init.run(request, spawner_init.Pipes(*fds), own_pids=bool(own & syscalls.CLONE_NEWPID))
        for fd in fds:
            os.close(fd)


def _receive(connection: socket.socket) -> tuple[spawner_init.Request, list[int]] | None:
    header, fds, _, _ = socket.recv_fds(connection, 4, FD_COUNT)
    if len(header) < 4 or len(fds) != FD_COUNT:
        return None
    for fd in fds:
        os.set_inheritable(fd, False)
    body = bytearray()
    length = int.from_bytes(header, "big")
    while len(body) < length:
        piece = connection.recv(min(length - len(body), 1 << 20))
        if not piece:
            return None
        body += piece
    request: spawner_init.Request = json.loads(body)
    return request, fds
