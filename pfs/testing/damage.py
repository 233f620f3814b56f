"""A backend of which single objects are cut off, or have a wrong bit, be they on a disk or in a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from pfs.backends.base import Backend, Entry
from pfs.ids import Etag
from pfs.testing.passing import PassingBackend


class DamagedBackend(PassingBackend):
    """Passes calls on; damaged objects read as if these bytes were stored. Nothing is changed below.

    Writing to a damaged object heals it, and so does deleting it.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._bodies: dict[str, bytes] = {}

    def cut(self, name: str, size: int) -> None:
        """Let the object end after ``size`` bytes."""
        self._bodies[name] = self._whole(name)[:size]

    def flip(self, name: str, bit: int) -> None:
        """Turn a bit around, counted from the start of the object."""
        body = bytearray(self._whole(name))
        body[bit // 8] ^= 1 << bit % 8
        self._bodies[name] = bytes(body)

    def heal(self, name: str) -> None:
        """Give back what is stored."""
        self._bodies.pop(name, None)

    def _whole(self, name: str) -> bytes:
        return self._bodies[name] if name in self._bodies else self._backend.get(name)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """See base.Backend."""
        body = self._bodies.get(name)
        if body is None:
            return self._backend.get(name, offset=offset, length=length)
        start = max(len(body) + offset, 0) if offset < 0 else offset
        return body[start : None if length is None else start + length]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """See base.Backend."""
        if name not in self._bodies:
            return self._backend.get_ranges(name, ranges)
        return [self.get(name, offset=offset, length=length) for offset, length in ranges]

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """See base.Backend."""
        if name not in self._bodies:
            return self._backend.read_into(name, offset, buffer)
        found = self._bodies[name][offset : offset + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """See base.Backend; the etag is that of what was written, as a server says it that does not look."""
        found = self._backend.read(name)
        return found if found is None else (self._bodies.get(name, found[0]), found[1])

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """See base.Backend."""
        done = self._backend.swap(name, old, new)
        self.heal(name)
        return done

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See base.Backend; sizes are those that are read."""
        for entry in self._backend.entries(prefix):
            body = self._bodies.get(entry.name)
            yield entry if body is None else replace(entry, size=len(body))

    def delete_many(self, names: Sequence[str]) -> None:
        """See base.Backend."""
        self._backend.delete_many(names)
        for name in names:
            self.heal(name)
