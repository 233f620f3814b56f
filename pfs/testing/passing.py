"""A backend that passes every call on, through one place where a test's backend may step in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from pfs.backends.base import Backend, Buffer, Entry, NewObject
from pfs.ids import Etag

T = TypeVar("T")

WRITES: Final = frozenset({"create", "write", "publish", "put_new", "swap", "delete_many", "set_tier", "thaw"})
"""Calls that change something."""
REQUESTS: Final = WRITES - {"create", "write"}
"""Those of them that are a request where the store is a bucket: objects are collected in memory and put whole."""
READS: Final = frozenset({"get", "get_ranges", "read_into", "read", "entries"})


class PassingBackend:
    """Passes calls on to ``backend``; a subclass overrides `run`, or single calls. Thread-safe."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def location(self) -> str:
        """Of the backend below."""
        return self._backend.location

    @property
    def parallel(self) -> int:
        """Of the backend below."""
        return self._backend.parallel

    def run(self, method: str, name: str, *, whole: Callable[[], T], half: Callable[[], object]) -> T:
        """Do ``whole``, the call of ``method``; ``half`` is what a torn call does: nothing, where calls are atomic."""
        return whole()

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """See base.Backend."""
        return self.run("get", name, whole=lambda: self._backend.get(name, offset=offset, length=length), half=_nothing)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """See base.Backend."""
        return self.run("get_ranges", name, whole=lambda: self._backend.get_ranges(name, ranges), half=_nothing)

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """See base.Backend; torn, it fills half of the buffer."""
        return self.run(
            "read_into",
            name,
            whole=lambda: self._backend.read_into(name, offset, buffer),
            half=lambda: self._backend.read_into(name, offset, buffer[: len(buffer) // 2]),
        )

    def create(self, name: str) -> PassingObject:
        """See base.Backend."""
        new = self.run("create", name, whole=lambda: self._backend.create(name), half=_nothing)
        return PassingObject(self, name, new)

    def put_new(self, name: str, data: Buffer) -> bool:
        """See base.Backend."""
        return self.run("put_new", name, whole=lambda: self._backend.put_new(name, data), half=_nothing)

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """See base.Backend."""
        return self.run("read", name, whole=lambda: self._backend.read(name), half=_nothing)

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """See base.Backend."""
        return self.run("swap", name, whole=lambda: self._backend.swap(name, old, new), half=_nothing)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See base.Backend."""
        return self.run("entries", prefix, whole=lambda: self._backend.entries(prefix), half=_nothing)

    def delete_many(self, names: Sequence[str]) -> None:
        """See base.Backend; torn, it deletes the first half."""
        self.run(
            "delete_many",
            ",".join(names),
            whole=lambda: self._backend.delete_many(names),
            half=lambda: self._backend.delete_many(names[: len(names) // 2]),
        )

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        """See base.Backend; torn, it moves the first half."""
        return self.run(
            "set_tier",
            ",".join(names),
            whole=lambda: self._backend.set_tier(names, storage_class),
            half=lambda: self._backend.set_tier(names[: len(names) // 2], storage_class),
        )

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        """See base.Backend."""
        return self.run("thaw", name, whole=lambda: self._backend.thaw(name, days=days, speed=speed), half=_nothing)

    def now_ns(self) -> int:
        """Of the backend below; never fails."""
        return self._backend.now_ns()

    def close(self) -> None:
        """Close the backend below; passes by `run`, as the end of a process does."""
        self._backend.close()


class PassingObject:
    """An object being written through a PassingBackend; see base.NewObject."""

    def __init__(self, backend: PassingBackend, name: str, new: NewObject) -> None:
        self._backend = backend
        self._name = name
        self._new = new

    def write(self, *buffers: Buffer) -> None:
        """See base.NewObject; torn, it writes the first half of the bytes."""
        joined = b"".join(buffers)
        self._backend.run(
            "write",
            self._name,
            whole=lambda: self._new.write(*buffers),
            half=lambda: self._new.write(joined[: len(joined) // 2]),
        )

    def publish(self) -> bool:
        """See base.NewObject."""
        return self._backend.run("publish", self._name, whole=self._new.publish, half=_nothing)

    def abandon(self) -> None:
        """See base.NewObject; passes by `run`, as the end of a process does."""
        self._new.abandon()


def _nothing() -> None:
    """Do what a torn atomic call does."""
