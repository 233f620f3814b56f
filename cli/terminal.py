"""A terminal for a program that runs elsewhere: what is typed here goes there, and what it shows is shown here."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_END_OF_FILE = b"\x04"
_PIECE = 64 * 1024


def on_terminal(run: Callable[[str], int]) -> int:
    """Call ``run`` in a thread with the path of a new terminal that is joined to stdin and stdout; return its result.

    Where stdin is no terminal, its bytes are typed, and at its end the end of the file.

    Raises:
        OSError: there are no terminals to be had. What ``run`` raises is raised here.
    """
    ours, theirs = os.openpty()
    result: list[int | BaseException] = []
    done_r, done = os.pipe()

    def work() -> None:
        try:
            result.append(run(os.ttyname(theirs)))
        except BaseException as error:  # raised below, in the thread that called
            result.append(error)
        finally:
            os.close(done)

    thread = threading.Thread(target=work, name="pps-shell")
    try:
        with _raw(ours):
            thread.start()
            _copy(ours, done_r)
            thread.join()
            _show_rest(ours)
    finally:
        for fd in (ours, theirs, done_r):
            os.close(fd)
    (ended,) = result
    if isinstance(ended, BaseException):
        raise ended
    return ended


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Let each key of our own terminal through as it is, and give the other one the same size."""
    if not os.isatty(0):
        yield
        return
    import fcntl
    import termios
    import tty

    with suppress(OSError):
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _copy(terminal: int, done: int) -> None:
    poller = select.poll()
    for fd in (0, terminal, done):
        poller.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poller.poll()}
        if terminal in ready:
            _show(os.read(terminal, _PIECE))
        elif done in ready:
            return
        if 0 in ready:
            typed = os.read(0, _PIECE)
            os.write(terminal, typed or _END_OF_FILE)
            if not typed:
                poller.unregister(0)


def _show_rest(terminal: int) -> None:
    os.set_blocking(terminal, False)
    with suppress(OSError):
        while piece := os.read(terminal, _PIECE):
            _show(piece)


def _show(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
