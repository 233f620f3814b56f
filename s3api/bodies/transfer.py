"""A long body on its way into the store: received, unframed, digested and stored at the same time.

Each of these is at work on a piece of its own, in a lane of its own, so that MD5, the slowest by far, never waits for
another. At most WINDOW pieces are under way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from pfs.backends.base import Buffer
from s3api.bodies.body import Body
from s3api.bodies.lane import Lane
from s3api.bodies.room import PIECE_BYTES, WINDOW

Take = Callable[[Sequence[Buffer]], object]


class Transfer:
    """One transfer, used from the event loop; ``takes`` get every piece, unframed and in order, each in its lane."""

    def __init__(self, body: Body, takes: Sequence[Take], *, pool: Executor) -> None:
        self._body = body
        self._unframing = Lane(pool)
        self._lanes = [(Lane(pool), take) for take in takes]
        self._loop = asyncio.get_running_loop()
        self._flying = 0
        self._landed = asyncio.Event()

    async def run(self, first: Buffer) -> None:
        """Pass on ``first``, which was received already, and the rest.

        Raises:
            S3Error, ClientGoneError, and what a lane raises; no thread is at work on it any more then.
        """
        try:
            self._hand_on(first)
            while not self._body.ended and self._error() is None:
                await self._until_below(WINDOW)
                self._hand_on(await self._body.receive_piece(PIECE_BYTES))
        finally:
            await self._settle()
        error = self._error()
        if error is not None:
            raise error

    def _error(self) -> BaseException | None:
        lanes = (self._unframing, *(lane for lane, _ in self._lanes))
        return next((lane.error for lane in lanes if lane.error is not None), None)

    def _hand_on(self, piece: Buffer) -> None:
        self._flying += 1
        flight = _Flight(self._land)
        if self._body.framed:
            self._unframing.submit(partial(self._unframe, piece, flight), done=flight.end_one)
        else:
            self._spread([piece], flight)
            flight.end_one()

    def _unframe(self, piece: Buffer, flight: _Flight) -> None:
        self._spread(self._body.decode(piece), flight)

    def _spread(self, pieces: Sequence[Buffer], flight: _Flight) -> None:
        flight.begin(len(self._lanes))
        for lane, take in self._lanes:
            lane.submit(partial(take, pieces), done=flight.end_one)

    def _land(self) -> None:
        """Note, from any thread, that a piece is through."""
        self._loop.call_soon_threadsafe(self._note_landed)

    def _note_landed(self) -> None:
        self._flying -= 1
        self._landed.set()

    async def _until_below(self, number: int) -> None:
        while self._flying >= number:
            self._landed.clear()
            await self._landed.wait()

    async def _settle(self) -> None:
        """Wait until no lane is at work, whatever happens meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        while self._flying:
            try:
                await self._until_below(1)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


class _Flight:
    """One piece in several lanes; calls ``land`` when it is through all. Begins as one, that of its sender."""

    def __init__(self, land: Callable[[], object]) -> None:
        self._land = land
        self._lock = threading.Lock()
        self._left = 1

    def begin(self, number: int) -> None:
        with self._lock:
            self._left += number

    def end_one(self) -> None:
        with self._lock:
            self._left -= 1
            landed = not self._left
        if landed:
            self._land()
