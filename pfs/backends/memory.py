"""An object store in memory: for tests and for trying things out; it ends with the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from pfs.backends.base import Buffer, Entry
from pfs.errors import BranchMovedError, NotFoundError
from pfs.ids import Etag


class MemoryBackend:
    """Objects in a dict; the promises of base.Backend but durability. Thread-safe."""

    parallel = 1

    def __init__(self, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._objects: dict[str, tuple[bytes, Etag, int]] = {}
        self._classes: dict[str, str] = {}
        self._versions = count(1)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """Always ``memory:``."""
        return "memory:"

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the object or a part of it; see base.Backend."""
        body = self._body(name)
        start = max(len(body) + offset, 0) if offset < 0 else offset
        return body[start : None if length is None else start + length]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the (offset, length) ranges in the order given."""
        body = self._body(name)
        return [body[offset : offset + length] for offset, length in ranges]

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill the buffer; see base.Backend."""
        found = self._body(name)[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def create(self, name: str) -> MemoryObject:
        """Begin a new object that is written in pieces."""
        return MemoryObject(self, name)

    def put_new(self, name: str, data: Buffer) -> bool:
        """Create the object atomically; False when the name exists already."""
        with self._lock:
            if name in self._objects:
                return False
            self._store(name, bytes(data))
            return True

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """Return body and etag of a mutable object, or None when there is none."""
        found = self._objects.get(name)
        return found[:2] if found else None

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """Replace a mutable object if its etag is still ``old``; see base.Backend."""
        with self._lock:
            current = self._objects.get(name)
            if (current[1] if current else None) != old:
                raise BranchMovedError(name)
            return self._store(name, bytes(new))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose names start with ``prefix``, in byte order of names."""
        with self._lock:
            found = sorted((name, held) for name, held in self._objects.items() if name.startswith(prefix))
        for name, (body, _, modified_ns) in found:
            yield Entry(name, len(body), modified_ns, storage_class=self._classes.get(name, ""))

    def delete_many(self, names: Sequence[str]) -> None:
        """Delete objects; names that do not exist are no error."""
        with self._lock:
            for name in names:
                self._objects.pop(name, None)
                self._classes.pop(name, None)

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        """Remember the class, which changes nothing else: objects of any class are read alike."""
        with self._lock:
            there = [name for name in names if name in self._objects]
            for name in there:
                body, etag, _ = self._objects[name]
                self._objects[name] = (body, etag, self._clock_ns())
                self._classes[name] = "" if storage_class == "STANDARD" else storage_class
        return there

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        """Return True: nothing is in an archive."""
        self._body(name)
        return True

    def now_ns(self) -> int:
        """Return the time by the clock that it was given."""
        return self._clock_ns()

    def close(self) -> None:
        """Do nothing: the objects live as long as this value."""

    def _body(self, name: str) -> bytes:
        found = self._objects.get(name)
        if found is None:
            raise NotFoundError(f"no object {name} in {self.location}")
        return found[0]

    def _store(self, name: str, body: bytes) -> Etag:
        etag = Etag(str(next(self._versions)))
        self._objects[name] = (body, etag, self._clock_ns())
        return etag


class MemoryObject:
    """An object being collected; see base.NewObject."""

    def __init__(self, backend: MemoryBackend, name: str) -> None:
        self._backend = backend
        self._name = name
        self._written = bytearray()

    def write(self, *buffers: Buffer) -> None:
        """Append the buffers in order."""
        for buffer in buffers:
            self._written += buffer

    def publish(self) -> bool:
        """Make it visible; False when the name was taken first."""
        return self._backend.put_new(self._name, self._written)

    def abandon(self) -> None:
        """Drop what was written."""
        self._written = bytearray()
