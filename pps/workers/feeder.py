"""Lazy inputs: a thread for each attempt that fills the named pipes which the command opens."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pfs.errors import ArchivedError, FailedError, NotFoundError, PfsError
from pfs.paths import from_key
from pps.workers.feed_stream import FeedStream
from pps.workers.pipes import Pipes, pipes_below

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.executor import DatumInput, DatumTask
    from pps.workers.scratch import Scratch
    from pps.workers.staging import Staging

PIPES: Final = "pipes"
"""The folder of a scratch directory that is used while pipes are filled."""
_BATCH_BYTES: Final = 4 << 20
"""What is fetched at once for one of few pipes that are read."""
_FEW: Final = 8
_HOLDING: Final = 64
"""Where more pipes than this are read at once, what one of them does not take is fetched again."""


class Feeder:
    """What was fed, and what went wrong."""

    def __init__(self, on_error: Callable[[str], None]) -> None:
        self.bytes = 0
        self.error: str | None = None
        """Why a file could not be given whole: the datum has failed, whatever its command made of it."""
        self.archived: ArchivedError | None = None
        """Set where that is no fault of the datum: a file is in an archive."""
        self._on_error = on_error

    def fail(self, why: PfsError) -> None:
        """Note why, and tell it."""
        if isinstance(why, ArchivedError):
            self.archived = self.archived or why
        self.error = self.error or f"its input cannot be read: {why}"
        self._on_error(self.error)


@contextmanager
def feeding(
    store: Store, staging: Staging, task: DatumTask, scratch: Scratch, *, on_error: Callable[[str], None]
) -> Iterator[Feeder]:
    """Fill the pipes of a datum's lazy inputs while this lasts; nothing of it is left afterwards.

    ``on_error`` is told why a file cannot be given whole, so that the command does not go on, or wait for more.

    Raises:
        OSError: the pipes cannot be found.
    """
    feeder, given = Feeder(on_error), {one.name: one for one in task.inputs if one.lazy}
    if not given:
        yield feeder
        return
    pipes = pipes_below(scratch.pfs, list(given), scratch.top / PIPES)
    stop_r, stop = os.pipe()
    loop = _Loop(store, staging, given, pipes, feeder)
    thread = threading.Thread(target=loop.run, args=(stop_r,), name="pps-feeder")
    thread.start()
    try:
        yield feeder
    finally:
        os.close(stop)
        thread.join()
        os.close(stop_r)


class _Loop:
    def __init__(
        self, store: Store, staging: Staging, given: Mapping[str, DatumInput], pipes: Pipes, feeder: Feeder
    ) -> None:
        self._store, self._staging, self._given = store, staging, given
        self._pipes, self._feeder = pipes, feeder
        self._poller = select.poll()
        self._streams: dict[int, FeedStream] = {}

    def run(self, stop: int) -> None:
        """Serve until ``stop`` is closed at its other end."""
        self._poller.register(stop, select.POLLIN)
        if self._pipes.fd is not None:
            self._poller.register(self._pipes.fd, select.POLLIN)
        try:
            while self._turn(stop):
                pass
        except Exception as error:  # the command must not wait for a thread that is gone, whatever the bug
            self._feeder.fail(FailedError(f"{type(error).__name__}: {error}"))
        finally:
            for stream in self._streams.values():
                stream.close()
            self._pipes.close()

    def _turn(self, stop: int) -> bool:
        delay = self._pipes.delay_s()
        ready = {fd for fd, _ in self._poller.poll(None if delay is None else delay * 1000)}
        if stop in ready:
            return False
        for fd in ready & self._streams.keys():
            self._advance(self._streams[fd])
        if self._pipes.fd is None or self._pipes.fd in ready:
            for path, fd in self._pipes.opened():
                self._begin(path, fd)
        return True

    def _begin(self, path: bytes, fd: int) -> None:
        name, _, key = path.partition(b"/")
        try:
            row = self._staging.tree(self._given[os.fsdecode(name)]).stat(key, want="file")
            if row is None:
                raise NotFoundError(f"{from_key(key)} is not in the input")
        except PfsError as error:
            os.close(fd)
            self._feeder.fail(error)
            return
        self._streams[fd] = FeedStream(self._store.objects, row, fd)
        self._poller.register(fd, select.POLLOUT)

    def _advance(self, stream: FeedStream) -> None:
        try:
            count = stream.advance(_BATCH_BYTES if len(self._streams) <= _FEW else 1)
        except PfsError as error:
            count = None
            self._feeder.fail(error)
        if count is None:
            self._poller.unregister(stream.fd)
            del self._streams[stream.fd]
            stream.close()
            self._pipes.expect()
            return
        self._feeder.bytes += count
        if len(self._streams) > _HOLDING:
            stream.let_go()
