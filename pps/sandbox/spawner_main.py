"""The spawner: a small process with one thread that forks the commands of datums.

The executor has threads, and forking from those is neither safe nor cheap; this process imports little, is started
once, prepares its mount namespace once, and forks an init (spawner_init.py) for each request. It keeps no state about
what runs: status and control of a command are pipes between its init and the executor. Where the extension _plain is
built, that takes the plain requests, and its loop is left for the others alone.

Messages on its socket have 4 bytes of length, then JSON; the file descriptors of a request come with the length. Plain
requests (plain.py) have another form, and a bit in their length.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypedDict

from pps.sandbox import mounts, plain, spawner_init, syscalls

FD_COUNT = 5
Serve = Callable[[int, int], tuple[int, Sequence[int]] | None]
"""The native loop: from socket and flags to length and descriptors of the first request that is not plain."""


class Hello(TypedDict):
    """The first message: what this spawner can do; ``error`` is empty when it does what it was asked for."""

    error: str
    overlay: bool
    overlay_error: str
    own_pids: bool
    own_pids_error: str
    plain: bool


def main() -> None:
    """Serve until the executor closes the socket: ``<its fd> <mount|user|none> <native|pure> <anchor directory>``."""
    fd, mode, build, anchor = sys.argv[-4:]
    connection = socket.socket(fileno=int(fd))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    hello = _prepare(mode, anchor)
    # Without namespaces the command is kept from nothing, and the client of a container engine needs its rights.
    if mode != "none":
        syscalls.guard()
    native = _native(_flags(mode, hello)) if build == "native" and hello["own_pids"] else None
    hello["plain"] = native is not None
    text = json.dumps(hello).encode()
    # The executor may be gone at any point, killed perhaps: then there is nobody to serve, and nothing to say.
    with suppress(ConnectionError):
        connection.sendall(len(text).to_bytes(4, "big") + text)
        if not hello["error"]:
            _serve(connection, native, flags=_flags(mode, hello))


def _native(flags: int) -> Serve | None:
    """Return the native loop if it is built and a command comes to its end by it."""
    try:
        from pps.sandbox._plain import serve
    except ImportError:
        return None
    return serve if _ends_a_command(serve, flags) else None


def _ends_a_command(serve: Serve, flags: int) -> bool:
    request = spawner_init.Request(argv=["/"], env={}, cwd="/", mounts=[["proc"]], limits=None, shares_pids=False)
    message = plain.encode(request)
    assert message is not None
    ours, theirs = socket.socketpair()
    (status, status_w), (control_r, control) = os.pipe(), os.pipe()
    with theirs, open(os.devnull, "r+b", buffering=0) as null:
        with ours:
            fds = [null.fileno(), null.fileno(), null.fileno(), status_w, control_r]
            socket.send_fds(ours, [(len(message) | plain.PLAIN).to_bytes(4, "big"), message], fds)
        with suppress(OSError):
            serve(theirs.fileno(), flags)
    os.close(status_w)
    with open(status, "rb") as file:
        # A directory is no program, whatever else there is.
        ended = b'"code": 126' in file.read()
    os.close(control_r)
    os.close(control)
    return ended


def _flags(mode: str, hello: Hello) -> int:
    if mode == "none":
        return 0
    return syscalls.CLONE_NEWNS | (syscalls.CLONE_NEWPID if hello["own_pids"] else 0)


def _prepare(mode: str, anchor: str) -> Hello:
    hello = Hello(error="", overlay=False, overlay_error="", own_pids=False, own_pids_error="", plain=False)
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


def _serve(connection: socket.socket, native: Serve | None, *, flags: int) -> None:
    while True:
        head = _receive_head(connection) if native is None else native(connection.fileno(), flags)
        if head is None:
            return
        length, fds = head
        request = _receive(connection, length)
        if request is None:
            return
        own = flags & ~syscalls.CLONE_NEWPID if request["shares_pids"] else flags
        pid = syscalls.clone(own) if own else os.fork()
        if pid == 0:
            connection.close()
            spawner_init.run(request, spawner_init.Pipes(*fds), own_pids=bool(own & syscalls.CLONE_NEWPID))
        spawner_init.tell(fds[3], {"init": pid})
        for fd in fds:
            os.close(fd)


def _receive_head(connection: socket.socket) -> tuple[int, Sequence[int]] | None:
    header, fds, _, _ = socket.recv_fds(connection, 4, FD_COUNT)
    if len(header) < 4 or len(fds) != FD_COUNT:
        return None
    for fd in fds:
        os.set_inheritable(fd, False)
    return int.from_bytes(header, "big"), fds


def _receive(connection: socket.socket, length: int) -> spawner_init.Request | None:
    body = bytearray()
    while len(body) < length:
        piece = connection.recv(min(length - len(body), 1 << 20))
        if not piece:
            return None
        body += piece
    request: spawner_init.Request = json.loads(body)
    return request
