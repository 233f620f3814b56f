"""Real code of several actors, one backend call at a time: each waits at each call until the test lets it go on.

An actor is a thread with a store of its own (its own machine: index, locks) over one memory backend. Between two calls
of the test exactly one actor runs, so what happens is decided by the order of the test's calls alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, TypeVar

from pfs.backends.base import Buffer, Entry, NewObject
from pfs.backends.memory import MemoryBackend
from pfs.errors import StorageError
from pfs.ids import Etag

T = TypeVar("T")
PATIENCE_S = 60.0


class Crashed(BaseException):
    """The process of an actor is gone; nothing catches it but what cleans up."""


class Then(Enum):
    """What becomes of the call that an actor waits at."""

    GO = "go"
    LOST = "lost"
    """It is done, but the reply is lost: the actor sees an error."""
    FAIL = "fail"
    """It is not done, and the actor sees an error."""
    CRASH = "crash"
    """It is not done, and the actor is dead."""


class Gate:
    """The backend of one actor; as long as no `Actor` runs behind it, calls pass freely."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.backend = backend
        self.actor: Actor | None = None

    parallel = 1

    @property
    def location(self) -> str:
        return "memory:"

    def run(self, call: str, work: Callable[[], T]) -> T:
        return work() if self.actor is None else self.actor.arrive(call, work)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return self.run(f"get {name}", lambda: self.backend.get(name, offset=offset, length=length))

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self.run(f"get_ranges {name}", lambda: self.backend.get_ranges(name, ranges))

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        return self.run(f"read_into {name}", lambda: self.backend.read_into(name, offset, buffer))

    def create(self, name: str) -> GatedObject:
        return GatedObject(self, name, self.backend.create(name))

    def put_new(self, name: str, data: Buffer) -> bool:
        return self.run(f"put_new {name}", lambda: self.backend.put_new(name, data))

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        return self.run(f"read {name}", lambda: self.backend.read(name))

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        return self.run(f"swap {name}", lambda: self.backend.swap(name, old, new))

    def entries(self, prefix: str) -> Iterator[Entry]:
        return iter(self.run(f"entries {prefix}", lambda: list(self.backend.entries(prefix))))

    def delete_many(self, names: Sequence[str]) -> None:
        self.run(f"delete {' '.join(names)}", lambda: self.backend.delete_many(names))

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        return self.run(f"tier {' '.join(names)}", lambda: self.backend.set_tier(names, storage_class))

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        return self.run(f"thaw {name}", lambda: self.backend.thaw(name, days=days, speed=speed))

    def now_ns(self) -> int:
        return self.backend.now_ns()

    def close(self) -> None:
        """The objects stay."""


class GatedObject:
    """An object being written: it is seen when it is published, so that alone is a call to wait at."""

    def __init__(self, gate: Gate, name: str, new: NewObject) -> None:
        self._gate, self._name, self._new = gate, name, new

    def write(self, *buffers: Buffer) -> None:
        self._new.write(*buffers)

    def publish(self) -> bool:
        return self._gate.run(f"publish {self._name}", self._new.publish)

    def abandon(self) -> None:
        self._new.abandon()


class Actor:
    """Does ``work`` in a thread behind a gate; `step` lets it do one backend call and go on to the next."""

    def __init__(self, name: str, gate: Gate, work: Callable[[], Any]) -> None:
        self.name, self._gate, self._work = name, gate, work
        self._lock = threading.Lock()
        self._moved = threading.Condition()
        self._permit: Then | None = None
        self.waiting: str | None = None
        """The call that it waits at."""
        self.over = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.calls: list[str] = []
        self._dead = False
        gate.actor = self
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._settle()

    def step(self, then: Then = Then.GO) -> None:
        """Let the call that it waits at happen, and return when it waits at the next one, or is over."""
        assert not self.over, f"{self.name} is over"
        with self._moved:
            self.waiting, self._permit = None, then
            self._moved.notify_all()
        self._settle()

    def run(self, calls: int | None = None) -> None:
        """Let it do so many calls, or (None) come to its end."""
        while not self.over and calls != 0:
            self.step()
            calls = None if calls is None else calls - 1

    def crash(self) -> None:
        """End it where it is."""
        while not self.over:
            self.step(Then.CRASH)

    def arrive(self, call: str, work: Callable[[], T]) -> T:
        with self._lock:  # of an actor's own threads one at a time
            if self._dead:
                raise Crashed
            with self._moved:
                self.waiting = call
                self._moved.notify_all()
                assert self._moved.wait_for(lambda: self._permit is not None, PATIENCE_S), f"{call} waits for ever"
                then, self._permit = self._permit, None
            self.calls.append(call)
            return self._do(call, work, then)

    def _do(self, call: str, work: Callable[[], T], then: Then | None) -> T:
        if then is Then.CRASH:
            self._dead = True
            raise Crashed
        if then is Then.FAIL:
            raise StorageError(call, "injected fault (fail)")
        result = work()
        if then is Then.LOST:
            raise StorageError(call, "injected fault (lost)")
        return result

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # the test looks at it
            self.error = error
        with self._moved:
            self.over = True
            self._gate.actor = None
            self._moved.notify_all()

    def _settle(self) -> None:
        with self._moved:
            settled = self._moved.wait_for(lambda: self.over or self.waiting is not None, PATIENCE_S)
            assert settled, f"{self.name} neither waits nor ends"
        if self.over:
            self._thread.join(PATIENCE_S)
