"""Reading ahead for every GET of a gateway together: one pool of threads, one budget of bytes.

A GET always gets its next piece, a small one when memory is short; what it reads beyond that, while the piece before is
on its way to the client, comes out of the budget. So a thousand clients that take nothing hold little, and one that is
fast is read ahead of in large batches.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from pfs.files.fileref import Content
from pfs.files.reader import chunk_refs
from pfs.packs.manifest import ChunkRef
from pfs.packs.objects import Objects
from pfs.packs.read_into import Room
from s3api.http.outlet import Outlet

BUDGET_BYTES: Final = 96 << 20
FIRST_BYTES: Final = 1 << 20
LEAST_BYTES: Final = 256 << 10
"""A piece when the budget is used up, and the most that is handed to a connection at once."""
MOST_BYTES: Final = 4 << 20
TURN_BYTES: Final = 16 << 20
"""What a thread writes of one GET before others have their turn."""
THREADS: Final = 8
PATIENCE_S: Final = 120.0
"""For a client that takes nothing."""
HURRY_S: Final = 30.0
"""For one that holds memory which others wait for."""
_DEPTH: Final = 2
"""Batches under way for one GET, beside the one that is being sent."""
_KNOWN_BYTES: Final = 16 << 20
"""Chunks that are looked up ahead: more than all batches of a GET have."""
_HEADERS_BYTES: Final = 64 << 10
"""Of the records of FIRST_BYTES of chunks."""
TICK_S: Final = 1.0


class Extent:
    """A range of an object, read in order in batches.

    The event loop says what is fetched next (`take`), threads fetch, several at once. Which chunks there are is looked
    up ahead in those threads, since that may read the disk.
    """

    def __init__(self, objects: Objects, content: Content, *, start: int, stop: int) -> None:
        self._objects, self._start, self._stop = objects, start, stop
        self._refs: Iterator[ChunkRef] = iter(chunk_refs(objects, content, start=start, stop=stop))
        self.raw = False
        """Whether the first 16 MiB behind what was read first are stored as they are, not compressed."""
        self._known = deque[ChunkRef]()
        self._looking = threading.Lock()
        self._looked = self._taken = 0
        """Bytes of the chunks that were looked up, which threads count, and of those taken, which the loop does."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take: at the end, or until a fetch under way has looked further ahead."""
        return not self._known

    def take(self, size: int) -> list[ChunkRef]:
        """Return the next chunks, of ``size`` bytes or less but one at least; none at the end, and before `read`."""
        batch = list[ChunkRef]()
        held = 0
        while self._known and (not batch or held + self._known[0].size <= size):
            batch.append(self._known.popleft())
            held += batch[-1].size
        self._taken += held
        return batch

    def fetch(self, refs: Sequence[ChunkRef], *, passing: bool = True) -> list[memoryview]:
        """Return the bytes of chunks, as far as they lie in the range; raises as `Objects.chunks`."""
        data = self._objects.chunks([(ref.id, ref.size) for ref in refs], passing=passing)
        self._look_ahead()
        return self._cut(refs, map(memoryview, data))

    def fetch_into(self, refs: Sequence[ChunkRef], buffer: memoryview) -> list[memoryview]:
        """Return the bytes as `fetch` does, maybe as views of ``buffer``; raises as `Objects.chunks`."""
        data = self._objects.chunks_into([(ref.id, ref.size) for ref in refs], Room(buffer))
        self._look_ahead()
        return self._cut(refs, data)

    def _cut(self, refs: Sequence[ChunkRef], data: Iterable[memoryview]) -> list[memoryview]:
        """Return of each chunk what lies in the range."""
        start, stop = self._start, self._stop
        return [piece[max(start - ref.offset, 0) : stop - ref.offset] for ref, piece in zip(refs, data, strict=True)]

    def read(self, size: int) -> list[memoryview]:
        """Take and fetch in one go, in a thread; this comes first."""
        self._look_ahead()
        first = self.fetch(self.take(size), passing=False)
        self.raw = bool(self._known) and self._objects.are_raw([(ref.id, ref.size) for ref in self._known])
        return first

    def _look_ahead(self) -> None:
        """Look up chunks ahead. The last fetch to end has done so: with none under way, none known means the end."""
        with self._looking:
            while self._looked - self._taken < _KNOWN_BYTES and (ref := next(self._refs, None)) is not None:
                self._looked += ref.size
                self._known.append(ref)


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

    def pieces(
        self, extent: Extent, first: Sequence[memoryview], outlet: Outlet | None = None
    ) -> AsyncGenerator[memoryview, None]:
        """Yield ``first``, which was read already, and the rest of an extent, in pieces of 256 KiB at most.

        With an ``outlet``, who takes a piece lets the outlet drain before the next one; bytes that are stored as they
        are go there straight, past the caller, who gets what the connection did not take at once, and empty pieces.

        Raises:
            CorruptionError, MissingObjectError, StorageError: as `Extent.read`; what was yielded before is right.
        """
        if outlet is not None and extent.raw:
            return self._straight(_Run(extent), first, outlet)
        return self._ahead(_Run(extent), first)

    async def _straight(
        self, run: _Run, first: Sequence[memoryview], outlet: Outlet
    ) -> AsyncGenerator[memoryview, None]:
        """Let threads read and write in turns."""
        turn: asyncio.Future[list[memoryview]] | None = None
        rest, step = first, FIRST_BYTES
        outlet.open()
        try:
            while not outlet.broken:
                self._hold(run, sum(map(len, rest)))
                for piece in _small(rest) if rest else [memoryview(b"")]:
                    yield piece
                if run.extent.empty:
                    return
                step = FIRST_BYTES if self.budget.allows(FIRST_BYTES) else LEAST_BYTES
                self._hold(run, step)
                turn = asyncio.get_running_loop().run_in_executor(self._pool, _take_turn, run.extent, outlet, step)
                rest = await asyncio.shield(turn)
        finally:
            if turn is not None and not turn.done():
                await asyncio.wait([turn])
            outlet.close()
            self._drop(run)

    async def _ahead(self, run: _Run, first: Sequence[memoryview]) -> AsyncGenerator[memoryview, None]:
        """Read ahead in batches, which takes the work of decompressing to several threads."""
        parts = first
        self._hold(run, sum(map(len, parts)))
        try:
            while parts:
                self._go_ahead(run)
                for piece in _small(parts):
                    yield piece
                self._hold(run, 0)
                parts = await self._next(run)
        finally:
            self._drop(run)

    def _go_ahead(self, run: _Run) -> None:
        """Begin batches as far as the budget goes."""
        while len(run.batches) < _DEPTH and not run.extent.empty and self.budget.allows(LEAST_BYTES):
            self._begin(run)

    async def _next(self, run: _Run) -> Sequence[memoryview]:
        """Return the next batch, with or without room for it; nothing at the end."""
        if not run.batches:
            if run.extent.empty:
                return ()
            self._begin(run)
        parts = await run.batches[0].coming
        self.budget.used -= run.batches.popleft().size
        self._hold(run, sum(map(len, parts)))
        return parts

    def _begin(self, run: _Run) -> None:
        """Begin to read one more batch."""
        refs = run.extent.take(self.budget.next_size(run.last))
        coming = asyncio.get_running_loop().run_in_executor(self._pool, run.extent.fetch, refs)
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


def _small(parts: Sequence[memoryview]) -> Iterator[memoryview]:
    return (part[at : at + LEAST_BYTES] for part in parts for at in range(0, len(part), LEAST_BYTES))


class _Buffers(threading.local):
    """One buffer a thread; its bytes stay in the cache of the core that reads, checks and sends them."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(FIRST_BYTES + _HEADERS_BYTES))


_buffers = _Buffers()


def _take_turn(extent: Extent, outlet: Outlet, step: int) -> list[memoryview]:
    """Read and write as long as the connection takes it, some MiB at most; return what it did not take. In a thread."""
    taken = 0
    while taken < TURN_BYTES and (refs := extent.take(step)):
        pieces = extent.fetch_into(refs, _buffers.view)
        rest = outlet.write(pieces, taken=taken)
        if rest:
            return [memoryview(bytes(piece)) for piece in rest]
        taken += sum(map(len, pieces))
    return []


def _see(future: asyncio.Future[list[memoryview]]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


class Patience:
    """A time limit on each piece that a client is sent, for little work a piece; a context around all of them.

    `waiting` before a piece, `done` behind it. When it takes 120 s, or 30 s while memory is short, what runs in the
    context is cancelled, and the context raises TimeoutError.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._limit = asyncio.timeout(None)
        self._since: float | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._limit.__aenter__()
        self._timer = self._loop.call_later(TICK_S, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def waiting(self) -> None:
        """Begin to count."""
        self._since = self._loop.time()

    def done(self) -> None:
        """Count no more: what is waited for now is not the client."""
        self._since = None

    def _look(self) -> None:
        now = self._loop.time()
        if self._since is not None and now - self._since >= (HURRY_S if self._budget.exceeded else PATIENCE_S):
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_later(TICK_S, self._look)
