"""Listings of directories, begun by threads before the walk comes to them: looking at 100,000 files is system calls."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from threading import Condition, Thread
from typing import Final

from pfs.sources.batch import Listing, scan

THREADS: Final = 3
"""At most; one for each processor."""
HELD: Final = 1 << 16
"""Files of listings that wait to be taken; beyond, none is begun. Some 4 MB."""


class Scans:
    """What `scan` says of directories; for one thread. Threads begin with the second directory of a level.

    They are threads of its own, not a pool: that would import logging, in 4 ms, as long as 2,500 files take. They only
    look, so a process whose walk was left behind unclosed does not wait for them.
    """

    def __init__(self) -> None:
        self._threads: list[Thread] = []
        self._changed = Condition()
        self._wanted: deque[str] = deque()
        self._begun: set[str] = set()
        self._ended: dict[str, Listing | Exception] = {}
        self._held = 0
        self._closed = False

    def begin(self, directories: Sequence[str]) -> None:
        """List directories that are going to be wanted, in this order, and before those of earlier calls."""
        if len(directories) < 2:
            return
        with self._changed:
            self._wanted.extendleft(reversed(directories))
            self._changed.notify_all()
        while len(self._threads) < min(THREADS, os.cpu_count() or 1):
            self._threads.append(Thread(target=self._work, name="scan", daemon=True))
            self._threads[-1].start()

    def take(self, directory: str) -> Listing:
        """Return the listing of a directory, and forget it.

        Raises:
            OSError: it cannot be read.
        """
        with self._changed:
            self._changed.wait_for(lambda: directory not in self._begun)
            found = self._ended.pop(directory, None)
            if found is None and self._wanted and self._wanted[0] == directory:
                self._wanted.popleft()
            self._held -= _files(found)
            self._changed.notify_all()
        if isinstance(found, Exception):
            raise found
        return scan(os.fsencode(directory)) if found is None else found

    def close(self) -> None:
        """Wait for what is under way; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (directory := self._next()) is not None:
            try:
                found: Listing | Exception = scan(os.fsencode(directory))
            except Exception as error:  # who takes it is told
                found = error
            with self._changed:
                self._begun.remove(directory)
                self._ended[directory] = found
                self._held += _files(found)
                self._changed.notify_all()

    def _next(self) -> str | None:
        """Return the next directory to list, once there is one and room for it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._wanted and self._held < HELD))
            if self._closed:
                return None
            directory = self._wanted.popleft()
            self._begun.add(directory)
            return directory


def _files(found: Listing | Exception | None) -> int:
    return len(found.modes) // 4 if isinstance(found, Listing) else 0
