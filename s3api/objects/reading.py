"""Reading ahead for every GET of a gateway together: one pool of threads, one budget of bytes.

A GET always gets its next piece, a small one when memory is short; what it reads beyond that, while the piece before is
on its way to the client, comes out of the budget. So a thousand clients that take nothing hold little, and one that is
fast is read ahead of in large batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from pfs.files.fileref import Content
from pfs.files.reader import chunk_refs
from pfs.packs.manifest import ChunkRef
from pfs.packs.objects import Objects

BUDGET_BYTES: Final = 96 << 20
FIRST_BYTES: Final = 1 << 20
LEAST_BYTES: Final = 256 << 10
"""A piece when the budget is used up, and the most that is handed to a connection at once."""
MOST_BYTES: Final = 4 << 20
THREADS: Final = 8
PATIENCE_S: Final = 120.0
"""For a client that takes nothing."""
HURRY_S: Final = 30.0
"""For one that holds memory which others wait for."""
_DEPTH: Final = 2
"""Batches under way for one GET, beside the one that is being sent."""


class Extent:
    """A range of an object, read in order in batches; one thread at a time takes, any number fetch."""

    def __init__(self, objects: Objects, content: Content, *, start: int, stop: int) -> None:
        self._objects, self._start, self._stop = objects, start, stop
        self._refs: Iterator[ChunkRef] = iter(chunk_refs(objects, content, start=start, stop=stop))
        self._taken = start

    @property
    def ended(self) -> bool:
        """Whether all chunks were taken."""
        return self._taken >= self._stop

    def take(self, size: int) -> list[ChunkRef]:
        """Return the next chunks, of ``size`` bytes or a little more; none at the end."""
        batch = list[ChunkRef]()
        held = 0
        while held < size and (ref := next(self._refs, None)) is not None:
            batch.append(ref)
            held += ref.size
            self._taken = ref.offset + ref.size
        return batch

    def fetch(self, refs: Sequence[ChunkRef]) -> list[memoryview]:
        """Return the bytes of chunks, as far as they lie in the range; raises as `Objects.chunks`."""
        data = self._objects.chunks([(ref.id, ref.size) for ref in refs])
        return [
            memoryview(piece)[max(self._start - ref.offset, 0) : self._stop - ref.offset]
            for ref, piece in zip(refs, data, strict=True)
        ]

    def read(self, size: int) -> list[memoryview]:
        """Take and fetch in one go."""
        return self.fetch(self.take(size))


@dataclass(slots=True)
class Budget:
    """Bytes that GETs hold; only the event loop counts. What a GET must have is counted, but never refused."""

    total: int = BUDGET_BYTES
    used: int = 0

    @property
    def exceeded(self) -> bool:
        """Whether GETs hold more than the budget: even without reading ahead there is not enough for all."""
        return self.used > self.total

    def allows(self, size: int) -> bool:
        """Say whether so much more may be held."""
        return self.used + size <= self.total

    def next_size(self, last: int) -> int:
        """Return how large the next batch may be: twice the last one, the least when there is no room."""
        size = min(2 * last, MOST_BYTES)
        return size if self.allows(size) else LEAST_BYTES


@dataclass(slots=True)
class _Batch:
    """Bytes on their way or here, and what is counted for them."""

    coming: asyncio.Future[list[memoryview]]
    size: int


@dataclass(slots=True)
class _Run:
    """What one GET has: the size of its last batch, what is counted for the batch that is sent, what is under way."""

    extent: Extent
    last: int = FIRST_BYTES
    sending: int = 0
    batches: deque[_Batch] = field(default_factory=deque)


class Reading:
    """The read-ahead of a gateway; used from one event loop, closed at the end."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="s3-read")

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()

    def first_size(self) -> int:
        """Return how many bytes of an object may be read before its answer begins."""
        return FIRST_BYTES if self.budget.allows(FIRST_BYTES) else LEAST_BYTES

    async def pieces(self, extent: Extent, first: Sequence[memoryview]) -> AsyncGenerator[memoryview, None]:
        """Yield ``first``, which was read already, and the rest of an extent, in pieces of 256 KiB at most.

        Raises:
            CorruptionError, MissingObjectError, StorageError: as `Extent.read`; what was yielded before is right.
        """
        run = _Run(extent)
        parts = deque(first)
        self._hold(run, sum(map(len, parts)))
        try:
            while parts:
                await self._go_ahead(run)
                while parts:
                    part = parts.popleft()
                    for at in range(0, len(part), LEAST_BYTES):
                        yield part[at : at + LEAST_BYTES]
                self._hold(run, 0)
                parts = deque(await self._next(run))
        finally:
            self._drop(run)

    async def _go_ahead(self, run: _Run) -> None:
        """Begin batches as far as the budget goes."""
        while len(run.batches) < _DEPTH and not run.extent.ended and self.budget.allows(LEAST_BYTES):
            await self._begin(run)

    async def _next(self, run: _Run) -> Sequence[memoryview]:
        """Return the next batch, with or without room for it; nothing at the end."""
        if not run.batches:
            if run.extent.ended:
                return ()
            await self._begin(run)
        parts = await run.batches[0].coming
        self.budget.used -= run.batches.popleft().size
        self._hold(run, sum(map(len, parts)))
        return parts

    async def _begin(self, run: _Run) -> None:
        """Begin to read one more batch."""
        loop = asyncio.get_running_loop()
        refs = await loop.run_in_executor(self._pool, run.extent.take, self.budget.next_size(run.last))
        coming = loop.run_in_executor(self._pool, run.extent.fetch, refs)
        coming.add_done_callback(_see)
        run.last = size = sum(ref.size for ref in refs)
        self.budget.used += size
        run.batches.append(_Batch(coming, size))

    def _hold(self, run: _Run, size: int) -> None:
        """Count what is being sent."""
        self.budget.used += size - run.sending
        run.sending = size

    def _drop(self, run: _Run) -> None:
        """Give everything back, also in the middle; a thread that still reads does so for nobody."""
        self._hold(run, 0)
        for batch in run.batches:
            batch.coming.cancel()
            self.budget.used -= batch.size
        run.batches.clear()


def _see(future: asyncio.Future[list[memoryview]]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


@asynccontextmanager
async def patience(budget: Budget) -> AsyncIterator[None]:
    """End what is done inside after 120 s, and after 30 s already when memory is short.

    Raises:
        TimeoutError: it took too long.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_S) as limit:
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            if budget.exceeded:
                limit.reschedule(loop.time())
            else:
                timer = loop.call_later(HURRY_S, look)

        timer = loop.call_later(HURRY_S, look)
        try:
            yield
        finally:
            timer.cancel()
