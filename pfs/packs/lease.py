"""Leases: which packs a long-running writer is counting on, so that a collection leaves them alone for now.

They only spare writers the work of beginning again: safety never rests on them, or on the clocks in them. So a lease
that cannot be written or read is passed over. Bytes: docs/format/collection.md.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Final

import msgspec

from pfs.backends.base import Backend
from pfs.errors import BranchMovedError, PfsError, StorageError
from pfs.ids import Etag, PackId
from pfs.machine import is_gone, this_machine
from pfs.structs import ready

PREFIX: Final = "leases/"
TTL_NS: Final = 3600 * 1_000_000_000
RENEW_NS: Final = 900 * 1_000_000_000
PATIENCE_NS: Final = 60 * 1_000_000_000
"""A writer that is younger needs no lease, unless it has sealed packs."""


class LeaseBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes, until when the lease counts (ns since the epoch), and the hex ids of the packs.

    ``owner``: of the lease of upkeep, which of several processes of one number has it (`pfs.upkeep.duty`).
    """

    v: int = 1
    host: str
    pid: int
    started: int
    expires: int
    packs: tuple[str, ...] = ()
    seen_gen: int = 0
    owner: str = ""


class Lease:
    """The lease of one writer, which it has from its first `write` on; thread-safe."""

    def __init__(self, backend: Backend, *, clock_ns: Callable[[], int]) -> None:
        self._backend, self._clock_ns = backend, clock_ns
        self._name = f"{PREFIX}{uuid.uuid4().hex}.json"
        self._lock = threading.Lock()
        self._etag: Etag | None = None
        self._started_ns = clock_ns()
        self._due_ns = self._started_ns + PATIENCE_NS

    @property
    def is_due(self) -> bool:
        """Whether it is time to write it, or to write it again."""
        return self._clock_ns() >= self._due_ns

    @property
    def is_held(self) -> bool:
        """Whether it is written and was not taken back."""
        return self._etag is not None

    def write(self, packs: Collection[PackId], *, seen_gen: int) -> None:
        """Write it anew with these packs."""
        now_ns = self._clock_ns()
        body = LeaseBody(
            host=this_machine(),
            pid=os.getpid(),
            started=self._started_ns,
            expires=now_ns + TTL_NS,
            packs=tuple(pack.hex() for pack in packs),
            seen_gen=seen_gen,
        )
        with self._lock:
            self._due_ns = now_ns + RENEW_NS
            with suppress(StorageError, BranchMovedError):
                self._etag = self._backend.swap(self._name, self._etag, msgspec.json.encode(body))

    def end(self) -> None:
        """Take it back; idempotent, and `write` begins another."""
        with self._lock:
            etag, self._etag = self._etag, None
            self._due_ns = self._clock_ns() + PATIENCE_NS
            if etag is not None:
                with suppress(StorageError):
                    self._backend.delete_many([self._name])
                    self._name = f"{PREFIX}{uuid.uuid4().hex}.json"


def leased_packs(backend: Backend, *, now_ns: int, tidy: bool = True) -> frozenset[PackId]:
    """Return the packs of all leases that count; ``tidy``: those that do not are removed.

    A lease counts until it runs out, or its process is seen to be dead, which the machine can tell that it ran on.
    """
    found, old = set[PackId](), list[str]()
    for name, body in _all(backend):
        if body.expires <= now_ns or is_gone(body.host, body.pid):
            old.append(name)
        else:
            found.update(PackId(bytes.fromhex(pack)) for pack in body.packs)
    if old and tidy:
        with suppress(StorageError):
            backend.delete_many(old)
    return frozenset(found)


def _all(backend: Backend) -> Iterator[tuple[str, LeaseBody]]:
    for entry in backend.entries(PREFIX):
        with suppress(PfsError, msgspec.DecodeError, ValueError):
            found = backend.read(entry.name)
            if found is not None:
                yield entry.name, msgspec.json.decode(found[0], type=ready(LeaseBody))
