"""Bytes of one object, collected in memory such that they are there once, and all given back when they are dropped."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Final

from pfs.backends.base import Buffer

SMALL_BYTES: Final = 4 << 20
"""Up to so many bytes grow as they come."""
MAPPED_BYTES: Final = 33 << 20
"""What glibc's malloc gives pages of its own, whatever was freed before: its threshold rises up to 32 MiB.

What is smaller lies in the heap of a thread, where growing by eighths leaves holes that nothing as large fits into.
What has pages of its own grows by moving these, with no copy.
"""


class Collected:
    """A buffer that grows at its end; one thread at a time. Memory: what was added, but 33 MiB from 4 MiB on."""

    def __init__(self) -> None:
        self._data = BytesIO()
        self._is_large = False

    def add(self, buffers: Iterable[Buffer]) -> None:
        """Append the buffers in order."""
        for buffer in buffers:
            if not self._is_large and self._data.tell() + len(buffer) > SMALL_BYTES:
                self._enlarge()
            self._data.write(buffer)

    def take(self) -> bytes:
        """Return all that was added, without copying it: ``bytes``, since boto3 copies any other buffer to sign it."""
        self._data.truncate()
        return self._data.getvalue()

    def _enlarge(self) -> None:
        self._is_large = True
        end = self._data.tell()
        self._data.seek(MAPPED_BYTES - 1)
        self._data.write(b"\0")
        self._data.seek(end)
