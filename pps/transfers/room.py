"""Room for so many bytes, shared by threads: what is in memory of all transfers together stays below a limit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """``size`` bytes; thread-safe. More than all of it at once is taken as all of it."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = threading.Condition()

    def take(self, size: int) -> int:
        """Wait for so many bytes; return how many have to be given back."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        return size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        with self._changed:
            self._free += size
            self._changed.notify_all()

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Hold so many bytes while the block runs."""
        taken = self.take(size)
        try:
            yield
        finally:
            self.give(taken)
