"""Noticing that refs moved, without a daemon: a token of the objects that say what is live, compared again and again.

When to compare is told by the kernel where the objects are local files, else by a clock that slows down while nothing
moves. Transactions count too: the swap of their object commits them, before any refs object is changed.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, runtime_checkable

from pfs.backends.base import Backend
from pfs.model import ChangeToken
from pfs.refs import transactions
from pfs.refs.read import PREFIX

if TYPE_CHECKING:
    from pfs.backends.inotify import Notices

WATCHED: Final = (PREFIX, transactions.PREFIX)
POLLS_S: Final = (0.02, 1.0)
"""The shortest and longest time between two looks where the kernel tells nothing."""
FAR_POLLS_S: Final = (0.25, 5.0)
"""The same where a look is two requests that cost money."""
CHECK_S: Final = 5.0
"""How often to look although the kernel told nothing: it does not see what other machines do to a shared disk."""
SETTLED_NS = 100_000_000
"""What was not changed for this long has the etag that was read, whatever the grain of the file system's clock."""


@runtime_checkable
class InFolders(Protocol):
    """A backend whose objects are files of a local disk."""

    def folder(self, prefix: str) -> Path:
        """Return the directory with the objects whose names start with ``prefix``, which ends in a slash."""
        ...


def change_token(backend: Backend, clock_ns: int, *, last: ChangeToken | None = None) -> ChangeToken:
    """Return the present state of all these objects; bodies are read only where ``last`` does not settle them."""
    known = {} if last is None else {name: (modified, size, etag) for name, modified, size, etag in last.refs}
    found = []
    for entry in (entry for prefix in WATCHED for entry in backend.entries(prefix)):
        modified, size, etag = known.get(entry.name, (0, 0, ""))
        settled = clock_ns - entry.modified_ns > SETTLED_NS
        if entry.etag:
            etag = entry.etag
        elif (modified, size) != (entry.modified_ns, entry.size) or not settled:
            state = backend.read(entry.name)
            etag = "" if state is None else state[1]
        found.append((entry.name, entry.modified_ns, entry.size, etag))
    return ChangeToken(tuple(found))


def moved(old: ChangeToken, new: ChangeToken) -> bool:
    """Say whether any of the objects is another than it was."""
    return [(ref[0], ref[3]) for ref in old.refs] != [(ref[0], ref[3]) for ref in new.refs]


class Watch:
    """A place to wait until refs may have moved, or until somebody wakes who waits.

    Begin to watch, look at the store, then `wait`: what moves after the beginning is not missed. One thread waits;
    `wake` may be called from any, and from signal handlers. ``folders``: further directories that count.
    """

    def __init__(self, backend: Backend, clock_ns: Callable[[], int], *, folders: Iterable[Path] = ()) -> None:
        self._backend, self._clock_ns = backend, clock_ns
        self._lock = threading.RLock()  # a signal handler may wake within `close`
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._notices = _notices(backend, folders)
        self._token: ChangeToken | None = None
        self._polls_s = POLLS_S if backend.parallel == 1 else FAR_POLLS_S
        self._poll_s = self._polls_s[0]

    @property
    def is_told(self) -> bool:
        """Whether the kernel tells all there is; else waiting means to look again and again."""
        return self._notices is not None and isinstance(self._backend, InFolders)

    def wake(self) -> None:
        """End the present `wait`, or the next one; does nothing after `close`."""
        with self._lock, suppress(OSError):
            os.write(self._write, b"\0")

    def wait(self, timeout_s: float) -> bool:
        """Return once something may have moved since the last return or somebody called `wake`; False: time is over."""
        end = time.monotonic() + max(timeout_s, 0.0)
        if self.is_told:
            return self._pause(timeout_s)
        while not self._pause(min(self._poll_s, end - time.monotonic())):
            token = change_token(self._backend, self._clock_ns(), last=self._token)
            before, self._token = self._token, token
            if before is None or moved(before, token):
                self._poll_s = self._polls_s[0]
                return True
            self._poll_s = min(2 * self._poll_s, self._polls_s[1])
            if time.monotonic() >= end:
                return False
        return True

    def _pause(self, timeout_s: float) -> bool:
        """Sleep; True if something ended it."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if self._notices is not None:
            poll.register(self._notices, select.POLLIN)
        woken = poll.poll(max(timeout_s, 0.0) * 1000)
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass
        if self._notices is not None:
            self._notices.drain()
        return bool(woken)

    def close(self) -> None:
        """Let go of the descriptors; idempotent."""
        with self._lock:
            for fd in (self._read, self._write):
                if fd >= 0:
                    os.close(fd)
            self._read = self._write = -1
        if self._notices is not None:
            self._notices.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _notices(backend: Backend, folders: Iterable[Path]) -> Notices | None:
    from pfs.backends.inotify import watch_folders  # ctypes, for who waits alone

    if isinstance(backend, InFolders):
        return watch_folders([*(backend.folder(prefix) for prefix in WATCHED), *folders])
    here = list(folders)
    return watch_folders(here) if here else None
