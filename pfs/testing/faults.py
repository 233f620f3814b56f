"""A backend that fails on demand, so that a test can break every step of a protocol in turn.

Run the work once over a `FaultyBackend` without a fault to learn `calls`, then once for each call and each `How`; what
is stored must then be the old state or the new one, never a third.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from pfs.backends.base import Backend
from pfs.errors import StorageError, StorageFullError
from pfs.testing.passing import READS, WRITES, PassingBackend, PassingObject

__all__ = ["READS", "WRITES", "FaultyBackend", "FaultyObject", "How"]

T = TypeVar("T")
FaultyObject = PassingObject


class How(Enum):
    """What goes wrong with the chosen call."""

    BEFORE = "before"
    """It fails and did nothing."""
    AFTER = "after"
    """It did its work, but the reply is lost: the caller sees an error."""
    MIDDLE = "middle"
    """A `write` leaves the first half, `delete_many` and `set_tier` do half; all else is atomic: as BEFORE."""
    FULL = "full"
    """No space left: as MIDDLE, with StorageFullError."""
    READ_ONLY = "read-only"
    """As BEFORE: the store may be read, and nothing else."""


_REASONS: Final = {How.FULL: "no space left on device", How.READ_ONLY: "read-only file system"}


class FaultyBackend(PassingBackend):
    """Passes calls on to ``backend``; the ``fail_at``-th counted one (from 1) fails as ``how`` says. Thread-safe.

    Only that one fails, unless ``dead_after``: then every later call does, as in a process that was killed; or
    ``stays``: then every later write does in the same way, as on a disk that is full (deleting goes on) or read-only.
    A store that is read-only from the first is ``FaultyBackend(b, fail_at=1, how=How.READ_ONLY, stays=True)``.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        fail_at: int | None = None,
        how: How = How.BEFORE,
        counted: frozenset[str] = WRITES,
        dead_after: bool = False,
        stays: bool = False,
    ) -> None:
        super().__init__(backend)
        self._fail_at = fail_at
        self._how = how
        self._counted = counted
        self._dead_after = dead_after
        self._stays = stays
        self._lock = threading.Lock()
        self.calls = 0
        """Counted calls so far."""
        self.log: list[str] = []
        """Every call so far, counted or not: method and name."""

    @property
    def fired(self) -> bool:
        """Whether the fault has happened."""
        return self._fail_at is not None and self.calls >= self._fail_at

    def run(self, method: str, name: str, *, whole: Callable[[], T], half: Callable[[], object]) -> T:
        """Do ``whole``, or fail; ``half`` is what a torn call does."""
        how = self._next(method, name)
        if how is None:
            return whole()
        if how is How.AFTER:
            whole()
        elif how in (How.MIDDLE, How.FULL):
            half()
        kind = StorageFullError if how is How.FULL else StorageError
        raise kind(f"{method} {name}", f"{_REASONS.get(how, 'injected fault')} ({how.value})")

    def _next(self, method: str, name: str) -> How | None:
        with self._lock:
            fired = self.fired
            self.log.append(f"{method} {name}")
            if method in self._counted:
                self.calls += 1
                if self.calls == self._fail_at:
                    return self._how
            if fired and self._dead_after:
                return How.BEFORE
            return self._how if fired and self._stays and self._hits(method) else None

    def _hits(self, method: str) -> bool:
        return method in WRITES and not (self._how is How.FULL and method == "delete_many")
