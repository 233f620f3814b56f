"""Work in threads with its results in order, and a bound on how much is under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

T = TypeVar("T")
R = TypeVar("R")


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


def in_order(pool: Executor, work: Callable[[T], R], items: Iterable[T], *, depth: int) -> Iterator[R]:
    """Yield ``work(item)`` of each item, in their order, with up to ``depth`` of them begun ahead.

    ``items`` is read in the caller's thread. When the caller stops early, or an item fails, what is under way is waited
    for, and what has not begun is dropped.
    """
    from concurrent.futures import wait

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
