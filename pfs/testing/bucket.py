"""A bucket in memory: what is a request there is one call here, and a copy of it costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Self

from msgspec.structs import replace

from pfs.backends.base import Entry
from pfs.backends.memory import MemoryBackend


class BucketBackend(MemoryBackend):
    """Objects in a dict; many calls at once, and listings with etags: so stores cache, batch and wait as with a bucket.

    With a `FaultyBackend` over it that counts `REQUESTS`, swaps are atomic and their replies get lost.
    """

    parallel = 16

    @property
    def location(self) -> str:
        """Always ``bucket:``."""
        return "bucket:"

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose names start with ``prefix``, in byte order of names, with their etags."""
        for entry in super().entries(prefix):
            found = self._objects.get(entry.name)
            if found is not None:
                yield replace(entry, etag=found[1])

    def copy(self) -> Self:
        """Return another bucket with the same objects, etags included; bodies are shared, as they never change."""
        made = type(self)(clock_ns=self._clock_ns)
        with self._lock:
            made._objects, made._classes = dict(self._objects), dict(self._classes)
            made._versions = count(next(self._versions) + 1)
        return made
