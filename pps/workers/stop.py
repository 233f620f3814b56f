"""How what a worker runs is told to end."""

from __future__ import annotations

import threading

from pfs.errors import FailedError
from pps.sandbox.spawner import Running


class CancelledError(FailedError):
    """The unit was cancelled: ``(reason)``."""

    kind = "cancelled"


class Stop:
    """How a unit is told to end, from any thread; the worker puts what it runs under it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grace_s: float | None = None
        self._running: Running | None = None

    @property
    def is_set(self) -> bool:
        """Whether the unit is to end."""
        return self._grace_s is not None

    def set(self, grace_s: float) -> None:
        """End what runs now: SIGTERM, and SIGKILL after ``grace_s``; and begin nothing new."""
        with self._lock:
            self._grace_s = grace_s
            if self._running is not None:
                self._running.stop(grace_s)

    def kill(self, reason: str) -> None:
        """Kill the command that runs now, if one does: its datum has failed for this reason."""
        with self._lock:
            if self._running is not None:
                self._running.kill(reason)

    def cover(self, running: Running | None) -> None:
        """Put a command under this stop; None when it ended."""
        with self._lock:
            self._running = running
            if running is not None and self._grace_s is not None:
                running.stop(self._grace_s)

    def check(self) -> None:
        """Go on only where nobody asked to end.

        Raises:
            CancelledError: it is set.
        """
        if self.is_set:
            raise CancelledError("cancelled")
