"""Standard streams that end well: closed ones, readers that go away (`… | head`), full disks behind `>`.

A failed write to stdout must not look like a failure of the store, nor be taken for something else by a library in
between (click ends the program with 1 on a broken pipe): so it becomes an error of its own, for cli/exits.py alone.
"""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import BinaryIO

_LOOK_S = 1.0
"""How often a command that waits looks whether its output is still read."""


class OutputClosed(Exception):  # noqa: N818 - how a command ends, not what went wrong with the store
    """Standard output takes no more: ``(reason)``."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason)
        self.reason = reason


class _Output(io.FileIO):
    """File descriptor 1, whose errors cannot be mistaken for others; ``closed_before``: nobody will read it."""

    closed_before = False

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # what BufferedWriter hands over is a buffer
        except OSError as error:
            raise OutputClosed(error) from error


def prepare() -> None:
    """Take over the standard streams of this process; where a test captures stdout, leave it alone.

    A closed stdout or stderr is a null device from now on: else the next file that is opened would get its number, and
    what is printed would go into that.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - lives as long as the process
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
        output = _Output(1, "wb", closefd=False)
        output.closed_before = sys.stdout is None
        raw = io.BufferedWriter(output, buffer_size=1 << 16)
        sys.stdout = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=os.isatty(1))


def flush() -> None:
    """Write out what was printed.

    Raises:
        OutputClosed: it cannot be written.
    """
    sys.stdout.flush()


def content() -> BinaryIO:
    """Return stdout for bytes that are what the command is for, and not only what it says of its work.

    Raises:
        OutputClosed: it was closed from the beginning, so they would be lost unnoticed.
    """
    if getattr(getattr(sys.stdout.buffer, "raw", None), "closed_before", False):
        raise OutputClosed(OSError(errno.EBADF, "standard output is closed"))
    return sys.stdout.buffer


@contextmanager
def watched() -> Iterator[None]:
    """Let a command that waits for something to print end, within a second, once nobody is there to read it.

    Only where stdout is a pipe or a socket. The body is interrupted in the main thread, as by Ctrl-C; elsewhere nothing
    is watched.

    Raises:
        OutputClosed: the reader has gone.
    """
    mode = os.fstat(1).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _end_without_reader)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _end_without_reader(number: int, frame: FrameType | None) -> None:
    output = select.poll()
    output.register(1, 0)  # asks for nothing: what is told always is that the other end is closed
    if output.poll(0):
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise OutputClosed(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))


def announce(line: str) -> None:
    """Print, at once, what a program that runs on has begun; a reader that is gone does not end it."""
    try:
        print(line, flush=True)
    except OutputClosed:
        give_up()


def give_up() -> None:
    """Let what was not written go nowhere, so that the interpreter's last flush does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
