"""Listings of directories, begun by threads before the walk comes to them: looking at 100,000 files is system calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pfs.sources.batch import Listing, scan

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

AHEAD: Final = 3
"""Directories of one level that are listed ahead, the one that is wanted next among them."""
_HELD: Final = 8
"""Listings under way or waiting at most; beyond, a directory is listed when it is wanted."""


class Scans:
    """What `scan` says of directories; for one thread. Threads begin with the second directory of a level."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._begun: dict[str, Future[Listing]] = {}

    def begin(self, directories: Sequence[str]) -> None:
        """List directories that are going to be wanted, in this order, as far as there is room."""
        if len(directories) < 2:
            return
        for directory in directories:
            if len(self._begun) < _HELD and directory not in self._begun:
                self._begun[directory] = self._threads().submit(scan, os.fsencode(directory))

    def take(self, directory: str) -> Listing:
        """Return the listing of a directory, and forget it.

        Raises:
            OSError: it cannot be read.
        """
        begun = self._begun.pop(directory, None)
        return scan(os.fsencode(directory)) if begun is None else begun.result()

    def close(self) -> None:
        """Wait for what is under way; idempotent."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(min(AHEAD, os.cpu_count() or 1), "scan")
        return self._pool
