"""How long work tells what it has done."""

from __future__ import annotations

import threading
from typing import Protocol


class Progress(Protocol):
    """Is told about transfers; calls come from one thread at a time."""

    def total(self, files: int, size: int) -> None:
        """Say how many files and bytes there will be, where that is known beforehand."""

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        """Say how many more files and bytes are done."""


class SharedProgress:
    """Lets several threads tell one progress, one at a time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()

    def total(self, files: int, size: int) -> None:
        """Pass it on."""
        with self._lock:
            self._progress.total(files, size)

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        """Pass it on."""
        with self._lock:
            self._progress.advance(files=files, size=size)
