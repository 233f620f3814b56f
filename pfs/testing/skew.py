"""A backend whose clock is off: what listings say of times is days too early or too late.

The clock of a machine is an argument of `Store`; this is that of the server which dates objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from pfs.backends.base import Backend, Entry
from pfs.testing.passing import PassingBackend


class SkewedBackend(PassingBackend):
    """Passes calls on; ``skew_ns`` says by how much an object's time is off, by its name, in ns (negative: early)."""

    def __init__(self, backend: Backend, skew_ns: Callable[[str], int]) -> None:
        super().__init__(backend)
        self._skew_ns = skew_ns

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See base.Backend; with other times."""
        for entry in self._backend.entries(prefix):
            yield replace(entry, modified_ns=max(1, entry.modified_ns + self._skew_ns(entry.name)))

    def now_ns(self) -> int:
        """See base.Backend; off as much as an object without a name is."""
        return self._backend.now_ns() + self._skew_ns("")
