"""Taking turns at a repo: a courtesy that keeps writers of one repo from losing rounds to each other.

Correctness comes from compare-and-swap alone. Who cannot get the turn in time, as its holder hangs, goes on without.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 5.0
_POLL_S = 0.001


class Turns:
    """The turns of all repos of one store, among the threads and processes of one machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @contextmanager
    def turn(self, repo: str) -> Iterator[None]:
        """Hold the repo's turn; not reentrant."""
        lock = self._locks[repo]
        held = lock.acquire(timeout=PATIENCE_S)
        try:
            with self._among_processes(repo):
                yield
        finally:
            if held:
                lock.release()

    @contextmanager
    def _among_processes(self, repo: str) -> Iterator[None]:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._directory / repo, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:  # a full or read-only disk: whether the write itself works is for the write to say
            yield
            return
        try:
            _wait_for(fd)
            yield
        finally:
            os.close(fd)


def _wait_for(fd: int) -> None:
    """Lock the file, unless that takes longer than PATIENCE_S; blocking calls cannot be given up."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(_POLL_S)
