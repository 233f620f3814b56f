"""How long work tells what it has done."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told about transfers; calls come from one thread at a time."""

    def total(self, files: int, size: int) -> None:
        """Say how many files and bytes there will be, where that is known beforehand."""

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        """Say how many more files and bytes are done."""
