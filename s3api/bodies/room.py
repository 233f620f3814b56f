"""The memory for bodies that are received: one budget for all uploads of a gateway.

Who depends on a client never keeps others waiting: a body that finds room is stored while it comes; one that finds none
is written to an unnamed file first, a small piece at a time, and waits for its turn only when it is whole. Turns are
held by whole bodies alone, so they end without any client's doing, and nobody can hold up anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

BUDGET_BYTES: Final = 160 << 20
PIECE_BYTES: Final = 1 << 20
SMALL_BYTES: Final = 64 << 10
"""A piece of a body without room; bodies up to this are always taken in: the number of connections bounds them."""
WINDOW: Final = 4
"""Pieces under way for one upload."""
BATCH_BYTES: Final = 2 << 20
MOST_BYTES: Final = WINDOW * PIECE_BYTES + BATCH_BYTES + (4 << 20)
"""What a long upload needs: pieces, what is cut, and new chunks that wait for their pack."""
_TURNS_BYTES: Final = 4 * MOST_BYTES
"""For whole bodies; half of it where processes share."""
_LEAST_BYTES: Final = 4 * MOST_BYTES


def need_of(length: int | None) -> int:
    """Return the memory that a body of so many bytes takes (None: not known)."""
    return MOST_BYTES if length is None else min(MOST_BYTES, 2 * length)


class Hold:
    """A part of the memory, until it is given back; of size 0 too."""

    def __init__(self, pool: _Pool, size: int) -> None:
        self._pool, self._size = pool, size

    def release(self) -> None:
        """Give it back; idempotent."""
        self._pool.give(self._size)
        self._size = 0


class _Pool:
    """Bytes to hold, first come, first served."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take(self, size: int) -> Hold | None:
        if self._waiting or size > self._free:
            return None
        self._free -= size
        return Hold(self, size)

    async def wait(self, size: int) -> Hold:
        hold = self.take(size)
        if hold is not None:
            return hold
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((size, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give(size)
            self.give(0)
            raise
        return Hold(self, size)

    def give(self, size: int) -> None:
        self._free += size
        while self._waiting:
            wanted, future = self._waiting[0]
            if future.cancelled():
                self._waiting.popleft()
            elif wanted <= self._free:
                self._waiting.popleft()
                self._free -= wanted
                future.set_result(None)
            else:
                return


class Room:
    """The budget of one gateway, used from its event loop; ``processes`` share what there is."""

    def __init__(self, *, total: int = BUDGET_BYTES, processes: int = 1) -> None:
        total = max(total // processes, _LEAST_BYTES)
        turns = _TURNS_BYTES if processes == 1 else _TURNS_BYTES // 2
        self._coming = _Pool(total - turns)
        self._whole = _Pool(turns)

    def take(self, size: int) -> Hold | None:
        """Return room for a body that is yet to come, None if there is none; up to SMALL_BYTES there always is."""
        if size <= 2 * SMALL_BYTES:
            return Hold(self._coming, 0)
        return self._coming.take(size)

    async def turn(self, size: int) -> Hold:
        """Wait for room for a body that is here as a whole, at most MOST_BYTES; in the order of calls."""
        return await self._whole.wait(size)
