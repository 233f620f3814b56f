"""Work in threads with its results in order, and a bound on how much is under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


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
        wait(waiting)
