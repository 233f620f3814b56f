"""Who is the controller of a store: one object that is swapped, with a term that goes up with each new holder.

The holder beats: it swaps the object again and again. Who waits takes over when it has seen no beat for a while, by
its own clock alone; so clocks of machines are never compared. On one machine a file that the holder has locked shows
at once that its process is dead. Neither is what keeps the store right: a controller that was only slow, and wakes up
after another took over, finds its lease gone before it commits, and what the other has begun it cannot commit, as that
moved ``.meta`` first (docs/design/controller.md).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from pfs.backends.durable import storage_errors
from pfs.errors import BranchMovedError, ConflictError, CorruptionError, StorageError
from pfs.refs.signed import sign_body, unsign_body
from pfs.structs import ready

if TYPE_CHECKING:
    from pfs.ids import Etag
    from pfs.store import Store

NAME: Final = "pps/controller.json"
SILENCE_S: Final = 15.0
"""How long a holder is silent before another takes over."""
_BEATS: Final = 3
"""Beats in that time; silence is counted in no larger steps than one, so that who waits may have slept too."""


class LeaseBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who has it: an id, empty when it was given back; ``beat`` goes up with each sign of life.

    ``host`` and ``pid`` are for messages, and say whether the lock file of the holder can be asked.
    """

    v: int = 1
    term: int
    holder: str
    host: str
    pid: int
    beat: int = 0


class LeaseLostError(ConflictError):
    """Another controller took over or may have, as this one was silent for too long: ``(location)``."""

    kind = "lease-lost"

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location

    def __str__(self) -> str:
        return (
            f"this controller of {self.location} could write nothing for too long, so another may have taken over:"
            " what was not committed is done by that one, or by `pfs serve` when it is started again"
        )


class ControllerLease:
    """The lease as one process wants it or has it. `acquire` and `release` by one thread, the others by any."""

    def __init__(self, store: Store, *, silence_s: float = SILENCE_S) -> None:
        self._store, self._silence_s = store, silence_s
        self._backend = store.backend
        self._locks = HolderLocks(store.path / "run")
        self._body: LeaseBody | None = None
        self._etag: Etag | None = None
        self._watched: tuple[Etag | None, float, float] = (None, 0.0, 0.0)
        self._end = threading.Event()
        self._beating: threading.Thread | None = None
        self._lost = False
        self.after_crash = False
        """Whether the one before, if any, did not give it back: what it had begun may still want to be committed."""
        self.on_lost: Callable[[], object] = lambda: None
        """Called in another thread when a beat finds the lease gone."""

    def acquire(self) -> bool:
        """Take the lease if it is free or its holder is gone; else False: call it again and again.

        Raises:
            StorageError: it cannot be read or written.
        """
        body, etag = self._read()
        if body is not None and body.holder and not self._is_gone(body, etag):
            return False
        holder = uuid.uuid4().hex
        self._locks.take(holder)
        term = 1 if body is None else body.term + 1
        mine = LeaseBody(term=term, holder=holder, host=os.uname().nodename, pid=os.getpid())
        try:
            self._etag = self._swap_in(etag, mine)
        except BranchMovedError:
            self._locks.drop(holder)
            return False
        except BaseException:
            # It may have landed: the file that nobody locks tells the next one that nobody has the lease.
            self._locks.unlock(holder)
            raise
        self.after_crash = body is not None and bool(body.holder)
        if body is not None and body.holder:
            self._locks.forget(body.holder)
        self._body, self._lost = mine, False
        self._end.clear()
        self._beating = threading.Thread(target=self._beat, name="controller-lease", daemon=True)
        self._beating.start()
        return True

    def holder(self) -> str:
        """Say who has it, for a message; empty if nobody has."""
        body, _ = self._read()
        return "" if body is None or not body.holder else f"process {body.pid} on {body.host}"

    def _read(self) -> tuple[LeaseBody | None, Etag | None]:
        found = self._backend.read(NAME)
        if found is None:
            return None, None
        try:
            return _decode(found[0]), found[1]
        except CorruptionError:
            # Whose it was is not known: like a holder of another machine, it is waited for, and then replaced.
            return LeaseBody(term=0, holder="?", host="", pid=0), found[1]

    def _is_gone(self, body: LeaseBody, etag: Etag | None) -> bool:
        """Say whether the holder's process is dead, or silent for as long as I looked."""
        if body.host == os.uname().nodename and self._locks.is_dead(body.holder):
            return True
        seen, looked_s, silent_s = self._watched
        now_s = time.monotonic()
        if seen != etag:
            self._watched = (etag, now_s, 0.0)
            return False
        silent_s += min(now_s - looked_s, self._silence_s / _BEATS)
        self._watched = (etag, now_s, silent_s)
        return silent_s >= self._silence_s

    def _swap_in(self, etag: Etag | None, mine: LeaseBody) -> Etag:
        try:
            return self._backend.swap(NAME, etag, _encode(mine))
        except StorageError:
            present, now = self._read()
            if present != mine or now is None:
                raise
            return now  # the reply was lost: it had landed

    def _beat(self) -> None:
        heard_s = time.monotonic()
        while not self._end.wait(self._silence_s / _BEATS):
            try:
                self._swap_beat()
                heard_s = time.monotonic()
            except BranchMovedError:
                self._lost = True
            except StorageError:
                self._lost = time.monotonic() - heard_s > self._silence_s
            if self._lost:
                self.on_lost()
                return

    def _swap_beat(self) -> None:
        assert self._body is not None, "only a holder beats"
        body = replace(self._body, beat=self._body.beat + 1)
        try:
            self._etag = self._backend.swap(NAME, self._etag, _encode(body))
        except BranchMovedError:
            present, etag = self._read()
            if not self._is_mine(present):
                raise
            # The reply to an earlier swap was lost: it had landed.
            self._etag = etag
            return
        self._body = body

    def _is_mine(self, body: LeaseBody | None) -> bool:
        mine = self._body
        return body is not None and mine is not None and (body.holder, body.term) == (mine.holder, mine.term)

    @property
    def is_lost(self) -> bool:
        """Whether a beat or `check` found it gone."""
        return self._lost

    def check(self) -> None:
        """Go on if this is the controller; one read.

        Raises:
            LeaseLostError: another took over. StorageError: that cannot be told.
        """
        self._lost = self._lost or not self._is_mine(self._read()[0])
        if self._lost:
            raise LeaseLostError(str(self._store.path))

    def release(self) -> None:
        """Give the lease back, if it is still had; idempotent. A failure to write that is none."""
        self._end.set()
        if self._beating is not None:
            self._beating.join()
            self._beating = None
        body, self._body = self._body, None
        if body is None:
            return
        try:
            if not self._lost:
                self._backend.swap(NAME, self._etag, _encode(replace(body, holder="")))
        except (StorageError, BranchMovedError):
            self._locks.unlock(body.holder)
        else:
            self._locks.drop(body.holder)


class HolderLocks:
    """A locked file for each controller of this machine; the kernel unlocks it when its process dies."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "controllers"
        self._fds: dict[str, int] = {}

    def take(self, holder: str) -> None:
        """Make the file of a holder and lock it; raises StorageError."""
        path = self._folder / holder
        with storage_errors(f"open {path}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._fds[holder] = fd

    def drop(self, holder: str) -> None:
        """Unlock the file of a holder and remove it."""
        self.forget(holder)
        self.unlock(holder)

    def unlock(self, holder: str) -> None:
        """Unlock the file of a holder, as if its process had died."""
        fd = self._fds.pop(holder, None)
        if fd is not None:
            os.close(fd)

    def forget(self, holder: str) -> None:
        """Remove the file of a holder that is dead, or has lost the lease."""
        with suppress(OSError):
            (self._folder / holder).unlink()

    def is_dead(self, holder: str) -> bool:
        """Say whether the process of a holder that ran here is gone; False where there is no file to tell by."""
        try:
            fd = os.open(self._folder / holder, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def any_alive(self) -> bool:
        """Say whether a controller runs on this machine."""
        names = sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []
        return any((self._folder / name).exists() and not self.is_dead(name) for name in names)


def _encode(body: LeaseBody) -> bytes:
    return sign_body(msgspec.json.encode(body))


def _decode(data: bytes) -> LeaseBody:
    try:
        return msgspec.json.decode(unsign_body(data, where=NAME), type=ready(LeaseBody))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError(NAME, f"no lease ({error})") from error
