"""Trying whether an object store keeps the conditions of writes, before anything is entrusted to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from pfs.backends.base import Backend
from pfs.errors import AccessRefusedError, BranchMovedError, ConditionsIgnoredError, StorageError, UnreachableError
from pfs.ids import Etag

T = TypeVar("T")

PREFIX: Final = "probe/"


def probe(backend: Backend) -> None:
    """Create and swap objects under ``probe/`` as writers that meet would, and delete them; some ten requests.

    Raises:
        ConditionsIgnoredError: two writers could overwrite each other there.
        StorageError: it cannot be written or read, for the reason given.
    """
    new, changed = f"{PREFIX}{uuid.uuid4().hex}", f"{PREFIX}{uuid.uuid4().hex}"
    try:
        _check_creation(backend, new)
        _check_swaps(backend, changed)
    finally:
        with suppress(StorageError):
            backend.delete_many([new, changed])


def _check_creation(backend: Backend, name: str) -> None:
    taken = _both(lambda body: backend.put_new(name, body)).count(True)
    if taken != 1 or backend.put_new(name, b"3"):
        raise ConditionsIgnoredError(backend.location, "a new object may replace one that is there (If-None-Match: *)")
    if backend.get(name) not in (b"1", b"2"):
        raise ConditionsIgnoredError(backend.location, "what was written is not what is read")


def _check_swaps(backend: Backend, name: str) -> None:
    def swaps(old: Etag | None, body: bytes) -> bool | None:
        try:
            backend.swap(name, old, body)
        except BranchMovedError:
            return False
        except (UnreachableError, AccessRefusedError):
            raise
        except StorageError:
            return None  # some servers answer so to the one that was second; what is stored will tell
        return True

    first = backend.swap(name, None, b"0")
    taken = dict(zip((b"1", b"2"), _both(lambda body: swaps(first, body)), strict=True))
    stored = backend.get(name)
    if list(taken.values()).count(True) > 1:
        raise ConditionsIgnoredError(backend.location, "of two changes at once both are taken (If-Match)")
    if taken.get(stored, False) is False:
        raise ConditionsIgnoredError(backend.location, "a change that meets its condition is not taken (If-Match)")
    if any(swaps(old, b"3") is not False for old in (first, None)):
        raise ConditionsIgnoredError(backend.location, "a change of what is no longer there is taken (If-Match)")
    if list(backend.entries(name)) == []:
        raise ConditionsIgnoredError(backend.location, "a listing does not show what was just written")


def _both(write: Callable[[bytes], T]) -> list[T]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(write, (b"1", b"2")))
