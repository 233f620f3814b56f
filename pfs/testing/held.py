"""A backend of which one call waits until the test lets it go on, so that another writer comes in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from pfs.backends.base import Backend
from pfs.testing.passing import WRITES, PassingBackend

T = TypeVar("T")
_PATIENCE_S: Final = 240.0
"""How long each side waits for the other before the test is given up."""


class HeldBackend(PassingBackend):
    """Passes calls on; the ``at``-th counted one (from 1) waits for `release`, before its work or ``after`` it.

    ``after``: what it did can be seen by others, and the caller does not know yet. Other threads' calls pass meanwhile.
    """

    def __init__(self, backend: Backend, at: int = 1, *, counted: frozenset[str] = WRITES, after: bool = False) -> None:
        super().__init__(backend)
        self._at, self._counted, self._after = at, counted, after
        self._lock = threading.Lock()
        self._reached, self._released = threading.Event(), threading.Event()
        self.calls = 0
        """Counted calls so far."""

    def run(self, method: str, name: str, *, whole: Callable[[], T], half: Callable[[], object]) -> T:
        """Do ``whole``, and hold it if it is the chosen call."""
        if not self._is_chosen(method):
            return whole()
        if not self._after:
            self._hold(method, name)
            return whole()
        done = whole()
        self._hold(method, name)
        return done

    def _is_chosen(self, method: str) -> bool:
        with self._lock:
            self.calls += method in self._counted
            return method in self._counted and self.calls == self._at

    def _hold(self, method: str, name: str) -> None:
        self._reached.set()
        if not self._released.wait(_PATIENCE_S):
            raise TimeoutError(f"nobody let {method} {name} go on")

    def wait(self) -> None:
        """Return once the call is being held; raises TimeoutError if it never comes."""
        if not self._reached.wait(_PATIENCE_S):
            raise TimeoutError(f"call {self._at} never came")

    def release(self) -> None:
        """Let it go on, or, before it came, pass."""
        self._released.set()
