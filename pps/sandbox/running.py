"""Following one command until it and all that it started is gone."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from pps.sandbox.handover import Ends, close_ends
from pps.sandbox.limits import Exceeded
from pps.sandbox.listening import ENDED, ERR, OUT, WATCHED, Ears
from pps.sandbox.spawner_init import Status

Stream = Literal["out", "err"]
OnOutput = Callable[[Stream, bytes], None]
Watched = tuple[int, Callable[[], None]]
"""A file descriptor, and what to call in the thread that waits when it can be read."""

_STREAMS: Final[tuple[tuple[int, Stream], ...]] = ((OUT, "out"), (ERR, "err"))
_READ_BYTES = 64 * 1024
_ANSWER_S = 5.0
"""How long an init may take to do as it was told."""
_USUAL = b'{"code": 0, "left": []}'
_INIT = re.compile(rb'\{"init": ([0-9]+)\}')


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended: exactly one of ``code``, ``signal`` and ``error`` is set.

    ``error``: it never ran, since its surroundings could not be made. ``timed_out``, ``cancelled``: we ended it;
    ``killed``: why we did, by `Running.kill`, though it may have ended by itself just before. ``left``: names of
    processes that it had left running when it ended by itself, and that were ended then; at most 20.
    ``exceeded``: it used more than its limit of this, at the last in what it left.
    """

    code: int | None = None
    signal: int | None = None
    error: str | None = None
    timed_out: bool = False
    cancelled: bool = False
    killed: str | None = None
    left: tuple[str, ...] = ()
    exceeded: Exceeded | None = None


class Running:
    """A command that was handed to the spawner. `wait` belongs to one thread, `stop` may come from any."""

    def __init__(self, ends: Ends, *, own_pids: bool, native: bool = True) -> None:
        self._ends = ends
        self._ears = Ears(ends.out, ends.err, ends.status, native=native)
        self._control: int | None = ends.control
        self._own_pids, self._native = own_pids, native
        self._lock = threading.Lock()
        self._stopped = False
        self._killed: str | None = None
        self._deadline: float | None = None
        self._broken: BaseException | None = None
        self._timers: list[threading.Timer] = []

    def stop(self, grace_s: float) -> None:
        """Ask for SIGTERM now and SIGKILL after ``grace_s`` seconds; returns at once, idempotent."""
        self._stopped = True
        self._order(b"T %d\n" % math.ceil(grace_s * 1000) if grace_s > 0 else b"K\n")
        self._insist(grace_s)

    def kill(self, reason: str) -> None:
        """Ask for SIGKILL now, for a reason that its `Exit` tells; returns at once, the first reason counts."""
        self._killed = self._killed or reason
        self._order(b"K\n")
        self._insist(0.0)

    def limit(self, timeout_s: float | None) -> None:
        """Kill it once this much time has gone by from now, instead of what was said before; None: never.

        For the thread that waits, from what it calls.
        """
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s

    def take_output(self, on_output: OnOutput) -> None:
        """Hand over what it has written by now, without waiting for more; for the thread that waits."""
        for bit, stream in _STREAMS:
            fd = self._ends[bit == ERR]
            # No more than is there at this moment: a command that goes on writing would keep us for ever.
            if size := _waiting_bytes(fd):
                on_output(stream, os.read(fd, size))

    def wait(self, on_output: OnOutput, *, timeout_s: float | None, watched: Watched | None = None) -> Exit | None:
        """Return how it ended, when nothing of it is left; ``on_output`` gets its output in pieces as it comes.

        After ``timeout_s`` it is killed (see also `limit`). ``watched``: called between; what it raises is raised when
        nothing of the command is left either. None: it never began, as the spawner was gone.
        """
        self.limit(timeout_s)
        timed_out = False
        try:
            if watched is not None:
                self._ears.watched = watched[0]
            while self._turn(on_output, watched):
                if self._deadline is not None and time.monotonic() >= self._deadline:
                    timed_out = True
                    self._end_watching()
            if self._broken is not None:
                raise self._broken
            return self._exit(timed_out=timed_out)
        finally:
            self._close()

    def _turn(self, on_output: OnOutput, watched: Watched | None) -> bool:
        """Handle what is ready next; False when the status pipe ended."""
        ears = self._ears
        ready = ears.listen(_left(self._deadline))
        for bit, stream in _STREAMS:
            if ready & ENDED and ready & bit:
                _drain(ears.streams[bit], stream, on_output)
            elif ready & bit:
                piece = os.read(ears.streams[bit], _READ_BYTES)
                if piece:
                    on_output(stream, piece)
                else:
                    ears.streams[bit] = -1
        if ready & ENDED:
            return False
        if watched is not None and ready & WATCHED:
            # Last, as it may take output that was told to be there.
            self._call(watched)
        return True

    def _call(self, watched: Watched) -> None:
        try:
            watched[1]()
        except BaseException as error:
            self._broken = error
            self._end_watching()

    def _end_watching(self) -> None:
        """Kill it, and listen to nothing but its end."""
        self._ears.watched = -1
        self._deadline = None
        self._order(b"K\n")
        self._insist(0.0)

    def _exit(self, *, timed_out: bool) -> Exit | None:
        lines = [line for line in self._ears.text.splitlines() if _INIT.match(line) is None]
        if not lines:
            return None
        if lines[-1] == _USUAL:
            last: Status = {"code": 0}
        else:
            # Names of processes and files may be any bytes.
            last = cast("Status", json.loads(lines[-1].decode(errors="replace")))
        if "error" in last:
            return Exit(error=last["error"])
        if "pid" in last or "begun" in last:
            # The init was killed (out of memory, say): with a PID namespace the kernel has ended the rest.
            if not self._own_pids and "pid" in last:
                _kill_group(last["pid"])
            last = {"signal": signal.SIGKILL}
        cancelled = self._stopped and not timed_out
        return Exit(
            last.get("code"),
            last.get("signal"),
            timed_out=timed_out,
            cancelled=cancelled,
            killed=self._killed,
            left=tuple(last.get("left", ())),
            exceeded=last.get("exceeded"),
        )

    def _order(self, message: bytes) -> None:
        with self._lock:
            if self._control is not None:
                try:
                    os.write(self._control, message)
                except BrokenPipeError:
                    # It has just ended.
                    return

    def _insist(self, grace_s: float) -> None:
        """Let the init be killed from outside if it does not answer in time: a command may have stopped it."""
        with self._lock:
            if self._control is not None:
                timer = threading.Timer(grace_s + _ANSWER_S, self._kill_init)
                timer.daemon = True
                timer.start()
                self._timers.append(timer)

    def _kill_init(self) -> None:
        with self._lock:
            found = _INIT.search(self._ears.text)
            # While its pipe is open it is alive, stopped or about to end, and its number is its own.
            if self._control is not None and found is not None:
                # It may have been stopped before it could say what it started; stopped, it collects no child.
                children = [] if self._own_pids else _children(int(found[1]))
                with suppress(ProcessLookupError):
                    os.kill(int(found[1]), signal.SIGKILL)
                for child in children:
                    _kill_group(child)

    def _close(self) -> None:
        with self._lock:
            for timer in self._timers:
                timer.cancel()
            fds = self._ends if self._control is not None else self._ends[:-1]
            self._control = None
        close_ends(fds, native=self._native)


def _drain(fd: int, stream: Stream, on_output: OnOutput) -> None:
    """Take what is still in a pipe, without waiting for a process that got away and holds it open."""
    if fd < 0:
        return
    os.set_blocking(fd, False)
    with suppress(BlockingIOError):
        while piece := os.read(fd, _READ_BYTES):
            on_output(stream, piece)


def _waiting_bytes(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it is gone, or there is no /proc
        return []


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
