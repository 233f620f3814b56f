"""Work in threads with its results in order, and a bound on how much is under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from pfs.backends.forks import forget_in_children

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future, ThreadPoolExecutor

    from pfs.backends.base import Reads

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

UPLOADS: Final = 4
"""Packs under way at once to a bucket, 64 MiB of memory each. One that a session is filling is among them."""

SEALS: Final = 2
"""Packs that are synced to a disk at once: one would leave it idle while the index is told."""


def at_once(threads: int, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``work(item)`` of each item, in their order, by so many threads; with 1 in the caller's, as it is asked.

    For calls that wait for a network: `Backend.parallel` says how many pay. When one fails the rest is dropped.
    """
    if threads == 1:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(pool, work, items, depth=2 * threads)


def ended(futures: Collection[Future[R]]) -> None:
    """Wait until all of them have ended, well or not."""
    if futures:
        from concurrent.futures import wait

        wait(futures)


def in_order(pool: Executor, work: Callable[[T], R], items: Iterable[T], *, depth: int) -> Iterator[R]:
    """Yield ``work(item)`` of each item, in their order, with up to ``depth`` of them begun ahead.

    ``items`` is read in the caller's thread. When the caller stops early, or an item fails, what is under way is waited
    for, and what has not begun is dropped.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        ended(waiting)


class Uploads:
    """Threads whose `submit` waits while ``limit`` calls are under way; thread-safe; begins anew after a fork.

    What it runs waits for the network or disk alone, so whoever waits for a place gets one.
    """

    def __init__(self, limit: int = UPLOADS, *, in_memory: bool = True) -> None:
        """``in_memory``: what is given to them is there until they are done with it; see `wait_to_begin`."""
        self.limit, self.in_memory = limit, in_memory
        self._begin()
        forget_in_children(self)

    def _begin(self) -> None:
        self._lock, self._places = Lock(), BoundedSemaphore(self.limit)
        self._pool: ThreadPoolExecutor | None = None

    def forget_parent(self) -> None:
        """Begin other threads when they are needed; see `Forgetful`."""
        self._begin()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin a call once there is a place for it."""
        places = self._places
        places.acquire()
        try:
            with self._lock:
                if self._pool is None:
                    from concurrent.futures import ThreadPoolExecutor

                    self._pool = ThreadPoolExecutor(self.limit, thread_name_prefix="pfs-upload")
                future = self._pool.submit(fn, *args, **kwargs)
        except BaseException:
            places.release()
            raise
        future.add_done_callback(lambda _: places.release())
        return future

    def wait_to_begin(self) -> None:
        """Wait for a place before anything is made that is going to take memory until it has one.

        The place is not kept, as what is begun may stay as it is for long: others may take it first.
        """
        with self._places:
            pass

    def close(self) -> None:
        """Wait for what is under way and end the threads; idempotent. A later call begins others."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def uploads_to(backend: Reads) -> Uploads:
    """Return threads for full packs: more of them where writing waits for a network than where it waits for a disk."""
    return Uploads() if backend.parallel > 1 else Uploads(SEALS, in_memory=False)
