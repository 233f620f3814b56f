"""Whose turn upkeep of a bucket is: one machine's at a time, as several would only do the same work again.

A courtesy: whoever takes it from a machine that still works does no harm, since collection has its own ownership. So
what cannot be read counts as free. Times are those of the bucket. Bytes: docs/format/collection.md.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from pfs.backends.base import Backend
from pfs.errors import BranchMovedError, StorageError
from pfs.ids import Etag
from pfs.machine import host_of, is_gone, this_machine
from pfs.packs.lease import PREFIX, LeaseBody
from pfs.structs import ready

NAME: Final = f"{PREFIX}upkeep.json"
TTL_NS: Final = 2 * 3600 * 1_000_000_000
"""How long a machine that does not come back to it keeps others away: twice the time from one upkeep to the next."""
_RENEW_NS: Final = TTL_NS // 8


class Duty:
    """The turn of one process. One thread."""

    def __init__(self, backend: Backend, *, clock_ns: Callable[[], int]) -> None:
        self._backend, self._clock_ns = backend, clock_ns
        self._name = uuid.uuid4().hex
        self._started_ns = clock_ns()
        self._until_ns = 0

    def take(self) -> str | None:
        """Take the turn, or keep it; return None, or the host whose turn it is.

        Raises:
            StorageError: it cannot be read or written.
        """
        body, etag = self._read()
        if body is not None and body.owner != self._name and not self._is_over(body):
            return host_of(body.host)
        try:
            self._write(etag)
        except BranchMovedError:
            return self._other()
        except StorageError:
            other = self._other()
            if other is None:  # the reply was lost
                return None
            raise
        return None

    def keep(self) -> None:
        """Renew it where it is time; called often. Whoever lost it goes on: it is a courtesy."""
        if self._until_ns and self._clock_ns() + TTL_NS - _RENEW_NS >= self._until_ns:
            with suppress(StorageError):
                self.take()

    def end(self) -> None:
        """Give it back, if it is this process's."""
        if self._until_ns:
            self._until_ns = 0
            with suppress(StorageError):
                body, _ = self._read()
                if body is not None and body.owner == self._name:
                    self._backend.delete_many([NAME])

    def _write(self, etag: Etag | None) -> None:
        until_ns = self._clock_ns() + TTL_NS
        body = LeaseBody(
            host=this_machine(), pid=os.getpid(), started=self._started_ns, expires=until_ns, owner=self._name
        )
        self._until_ns = until_ns
        self._backend.swap(NAME, etag, msgspec.json.encode(body))

    def _other(self) -> str | None:
        """Return the host that has it now, None if it is this process."""
        body, _ = self._read()
        if body is not None and body.owner == self._name:
            return None
        self._until_ns = 0
        return "another machine" if body is None else host_of(body.host)

    def _read(self) -> tuple[LeaseBody | None, Etag | None]:
        found = self._backend.read(NAME)
        if found is None:
            return None, None
        try:
            return msgspec.json.decode(found[0], type=ready(LeaseBody)), found[1]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, found[1]

    def _is_over(self, body: LeaseBody) -> bool:
        return body.expires <= self._clock_ns() or is_gone(body.host, body.pid)
