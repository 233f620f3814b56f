"""Actors in threads that take turns at every call of their backend, in an order that a test picks; some die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from pfs.backends.base import Backend, Buffer, Entry, NewObject
from pfs.ids import Etag


class Killed(BaseException):  # not an error: the end of a process
    """Raised in an actor that died, at the call where it did and at every later one."""


class Actor:
    """One process: it runs until its next call of the backend, and there waits for its turn."""

    def __init__(self, name: str, work: Callable[[Actor], object], *, dies_at: int | None = None) -> None:
        self.name, self._work, self._dies_at = name, work, dies_at
        self._go, self._parked = threading.Semaphore(0), threading.Semaphore(0)
        self.steps = 0
        self.ended = False
        self.dead = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def begin(self) -> None:
        """Run to the first call."""
        self._thread.start()
        self._parked.acquire()

    def step(self) -> None:
        """Let it make its call, and run to the next one, or to its end."""
        self._go.release()
        self._parked.acquire()
        if self.ended:
            self._thread.join()

    def call(self) -> None:
        """Wait for the turn; what the actor's backend does before each call. Raises Killed at the actor's end."""
        if threading.current_thread() is not self._thread:
            return  # what a test does with the actor's backend before it begins
        self._parked.release()
        self._go.acquire()
        self.steps += 1
        if self.dead or self.steps == self._dies_at:
            self.dead = True
            raise Killed(self.name)

    def _run(self) -> None:
        try:
            self._work(self)
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self._parked.release()


def run(actors: Sequence[Actor], bursts: Sequence[tuple[int, int]], *, tick: Callable[[], object]) -> None:
    """Let the actors take turns by (actor, steps); at last one after the other, a few steps each; raise their errors.

    ``tick`` is called after each step.
    """
    for actor in actors:
        actor.begin()
    number = 0
    for which, steps in bursts:
        _burst(actors[which % len(actors)], steps, tick)
    while any(not actor.ended for actor in actors):
        _burst(actors[number % len(actors)], 7, tick)
        number += 1
    for actor in actors:
        if actor.error is not None:
            raise actor.error


def _burst(actor: Actor, steps: int, tick: Callable[[], object]) -> None:
    for _ in range(steps):
        if actor.ended:
            return
        actor.step()
        tick()


class SteppedBackend:
    """The backend of one actor, over what all share."""

    def __init__(self, backend: Backend, actor: Actor) -> None:
        self._backend, self._actor = backend, actor

    parallel = 1

    @property
    def location(self) -> str:
        return self._backend.location

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self._actor.call()
        return self._backend.get(name, offset=offset, length=length)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._actor.call()
        return self._backend.get_ranges(name, ranges)

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        self._actor.call()
        return self._backend.read_into(name, offset, buffer)

    def create(self, name: str) -> NewObject:
        self._actor.call()
        return self._backend.create(name)

    def put_new(self, name: str, data: Buffer) -> bool:
        self._actor.call()
        return self._backend.put_new(name, data)

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        self._actor.call()
        return self._backend.read(name)

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        self._actor.call()
        return self._backend.swap(name, old, new)

    def entries(self, prefix: str) -> Iterator[Entry]:
        self._actor.call()
        return self._backend.entries(prefix)

    def delete_many(self, names: Sequence[str]) -> None:
        self._actor.call()
        self._backend.delete_many(names)

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        self._actor.call()
        return self._backend.set_tier(names, storage_class)

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        self._actor.call()
        return self._backend.thaw(name, days=days, speed=speed)

    def now_ns(self) -> int:
        return self._backend.now_ns()

    def close(self) -> None:
        """Leave the shared one open."""
