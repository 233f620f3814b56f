"""A backend that fails on demand, so that a test can break every step of a protocol in turn.

Run the work once over a `FaultyBackend` without a fault to learn `calls`, then once for each call and each `How`; what
is stored must then be the old state or the new one, never a third.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Final, TypeVar

from pfs.backends.base import Backend, Buffer, Entry, NewObject
from pfs.errors import StorageError, StorageFullError
from pfs.ids import Etag

T = TypeVar("T")

WRITES: Final = frozenset({"create", "write", "publish", "put_new", "swap", "delete_many", "set_tier", "thaw"})
"""Calls that change something; counted by default."""
READS: Final = frozenset({"get", "get_ranges", "read_into", "read", "entries"})


class How(Enum):
    """What goes wrong with the chosen call."""

    BEFORE = "before"
    """It fails and did nothing."""
    AFTER = "after"
    """It did its work, but the reply is lost: the caller sees an error."""
    MIDDLE = "middle"
    """A `write` leaves the first half, `delete_many` and `set_tier` do half; all else is atomic: as BEFORE."""
    FULL = "full"
    """No space left: as MIDDLE, with StorageFullError."""


class FaultyBackend:
    """Passes calls on to ``backend``; the ``fail_at``-th counted one (from 1) fails as ``how`` says. Thread-safe.

    With ``dead_after`` every later call fails too, as in a process that was killed; else only that one.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        fail_at: int | None = None,
        how: How = How.BEFORE,
        counted: frozenset[str] = WRITES,
        dead_after: bool = False,
    ) -> None:
        self._backend = backend
        self._fail_at = fail_at
        self._how = how
        self._counted = counted
        self._dead_after = dead_after
        self._lock = threading.Lock()
        self.calls = 0
        """Counted calls so far."""
        self.log: list[str] = []
        """Every call so far, counted or not: method and name."""

    @property
    def fired(self) -> bool:
        """Whether the fault has happened."""
        return self._fail_at is not None and self.calls >= self._fail_at

    @property
    def location(self) -> str:
        """Of the backend below."""
        return self._backend.location

    @property
    def parallel(self) -> int:
        """Of the backend below."""
        return self._backend.parallel

    def run(self, method: str, name: str, *, whole: Callable[[], T], half: Callable[[], object]) -> T:
        """Do ``whole``, or fail; ``half`` is what a torn call does."""
        how = self._next(method, name)
        if how is None:
            return whole()
        if how is How.AFTER:
            whole()
        elif how is not How.BEFORE:
            half()
        kind = StorageFullError if how is How.FULL else StorageError
        raise kind(f"{method} {name}", f"injected fault ({how.value})")

    def _next(self, method: str, name: str) -> How | None:
        with self._lock:
            dead = self._dead_after and self.fired
            self.log.append(f"{method} {name}")
            if method in self._counted:
                self.calls += 1
                if self.calls == self._fail_at:
                    return self._how
            return How.BEFORE if dead else None

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

    def create(self, name: str) -> FaultyObject:
        """See base.Backend."""
        new = self.run("create", name, whole=lambda: self._backend.create(name), half=_nothing)
        return FaultyObject(self, name, new)

    def put_new(self, name: str, data: Buffer) -> bool:
        """See base.Backend."""
        return self.run("put_new", name, whole=lambda: self._backend.put_new(name, data), half=_nothing)

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """See base.Backend."""
        return self.run("read", name, whole=lambda: self._backend.read(name), half=_nothing)

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """See base.Backend; AFTER is the lost reply that hides a success."""
        return self.run("swap", name, whole=lambda: self._backend.swap(name, old, new), half=_nothing)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See base.Backend."""
        return self.run("entries", prefix, whole=lambda: self._backend.entries(prefix), half=_nothing)

    def delete_many(self, names: Sequence[str]) -> None:
        """See base.Backend."""
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
        """Close the backend below; never fails."""
        self._backend.close()


class FaultyObject:
    """An object being written through a FaultyBackend; see base.NewObject."""

    def __init__(self, backend: FaultyBackend, name: str, new: NewObject) -> None:
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
        """See base.NewObject; never fails."""
        self._new.abandon()


def _nothing() -> None:
    """Do what a torn atomic call does."""
