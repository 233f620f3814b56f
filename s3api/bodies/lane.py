"""Calls in order, one at a time, in a thread of a pool; the thread stays while there is something to do."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

_TURN: Final = 8
"""Calls after which a thread goes back to the pool, so that more lanes than threads all move."""


class Lane:
    """One lane; `submit` from any thread. After an error nothing more is called, but every ``done`` is."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._calls: deque[tuple[Callable[[], object], Callable[[], object]]] = deque()
        self._running = False
        self.error: BaseException | None = None
        """What the first call that failed raised; look at it when all is done."""

    def submit(self, call: Callable[[], object], *, done: Callable[[], object]) -> None:
        """Queue a call; ``done`` is called in the thread when it has ended, or was passed over."""
        with self._lock:
            self._calls.append((call, done))
            start = not self._running
            self._running = True
        if start:
            self._pool.submit(self._work)

    def _work(self) -> None:
        for _ in range(_TURN):
            with self._lock:
                if not self._calls:
                    self._running = False
                    return
                call, done = self._calls.popleft()
            try:
                if self.error is None:
                    call()
            except BaseException as error:  # whatever it was, who waits for the lane must be told
                self.error = error
            finally:
                del call
                done()
        self._pool.submit(self._work)
