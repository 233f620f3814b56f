"""Threads that put full packs where that takes a while: a few for all sessions of a store, as packs are in memory."""

from __future__ import annotations

from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from pfs.backends.base import Reads
from pfs.backends.forks import forget_in_children

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

P = ParamSpec("P")
T = TypeVar("T")

UPLOADS: Final = 4
"""Packs under way at once. With the one that is being filled, 64 MiB each, they stay below 512 MiB."""


class Uploads:
    """Threads whose `submit` waits while ``limit`` calls are under way; thread-safe; begins anew after a fork.

    What it runs waits for the network alone, so whoever waits for a place gets one.
    """

    def __init__(self, limit: int = UPLOADS) -> None:
        self.limit = limit
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

    def close(self) -> None:
        """Wait for what is under way and end the threads; idempotent. A later call begins others."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def uploads_to(backend: Reads) -> Uploads | None:
    """Return threads for a backend where writing waits for a network, else None."""
    return Uploads() if backend.parallel > 1 else None
