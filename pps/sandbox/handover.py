"""Handing a request to the spawner, with the pipes of its command: by the extension _worker where it is built."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

try:
    from pps.sandbox import _worker as _native
except ImportError:
    _native = None  # type: ignore[assignment]  # optional


class Ends(NamedTuple):
    """Our ends of the pipes of a command: three to read from, ``control`` to write to."""

    out: int
    err: int
    status: int
    control: int


def hand_over(connection: socket.socket, message: bytes, *, stdin: int, native: bool = True) -> Ends:
    """Make the pipes of a command and send its request with theirs; ``stdin`` stays the caller's.

    Raises:
        OSError: there are no more descriptors, or the spawner is gone; no pipe is left.
    """
    if native and _native is not None:
        return Ends(*_native.hand_over(connection.fileno(), message, stdin))
    return _hand_over(connection, message, stdin)


def close_ends(fds: Sequence[int], *, native: bool = True) -> None:
    """Close up to five descriptors."""
    if native and _native is not None:
        _native.close(*fds)
        return
    for fd in fds:
        os.close(fd)


def _hand_over(connection: socket.socket, message: bytes, stdin: int) -> Ends:
    pairs: list[tuple[int, int]] = []
    ours: list[int] = []
    try:
        pairs += (os.pipe() for _ in range(4))
        (out, out_w), (err, err_w), (status, status_w), (control_r, control) = pairs
        sent = socket.send_fds(connection, [message], [stdin, out_w, err_w, status_w, control_r])
        connection.sendall(memoryview(message)[sent:])
        ours = [out, err, status, control]
        return Ends(*ours)
    finally:
        for fd in {fd for pair in pairs for fd in pair}.difference(ours):
            os.close(fd)
