"""How what a worker runs is told to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pfs.errors import FailedError
from pps.sandbox.running import Running


class CancelledError(FailedError):
    """The unit was cancelled: ``(reason)``."""

    kind = "cancelled"


class Stop:
    """How a unit is told to end, from any thread; the worker puts what it runs under it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grace_s: float | None = None
        self._running: list[Running] = []

    @property
    def is_set(self) -> bool:
        """Whether the unit is to end."""
        return self._grace_s is not None

    def set(self, grace_s: float) -> None:
        """End what runs now: SIGTERM, and SIGKILL after ``grace_s``; and begin nothing new."""
        with self._lock:
            self._grace_s = grace_s
            for running in self._running:
                running.stop(grace_s)

    def kill(self, reason: str) -> None:
        """Kill the command that runs now, if one does: its datum has failed for this reason."""
        with self._lock:
            for running in self._running:
                running.kill(reason)

    @contextmanager
    def over(self, running: Running) -> Iterator[None]:
        """Put a command under this stop until it ended."""
        with self._lock:
            self._running.append(running)
            if self._grace_s is not None:
                running.stop(self._grace_s)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(running)

    def check(self) -> None:
        """Go on only where nobody asked to end.

        Raises:
            CancelledError: it is set.
        """
        if self.is_set:
            raise CancelledError("cancelled")
