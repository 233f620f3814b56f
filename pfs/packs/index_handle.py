"""A handle on the environment of an index: reading, writing, the frozen rows beside it, and small values by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from pfs.errors import IndexDamagedError, InvalidInputError, StorageError
from pfs.packs.index_chunks import RunGoneError, layout_of
from pfs.packs.index_env import SharedEnv, Txn, release

if TYPE_CHECKING:
    from pfs.packs.frozen import Frozen, Run

T = TypeVar("T")
_ROUNDS: Final = 8
FREEZE_AT: Final = 100_000_000
"""Rows in LMDB from which on they are kept in runs."""


class Guard(Struct, frozen=True):
    """A value of `Index.get_meta` must be one of ``values`` at the moment of a change, and is ``mark`` after it."""

    key: str
    values: frozenset[bytes | None]
    mark: bytes


class IndexHandle:
    """What the tables of an index are read and written through; thread-safe."""

    def __init__(self, shared: SharedEnv, *, freeze_at: int | None = None) -> None:
        self._shared = shared
        self._frozen: Frozen | None = None
        self._freeze_at = freeze_at or FREEZE_AT
        self._closed = False

    @property
    def _env(self) -> SharedEnv:
        if self._closed:
            raise InvalidInputError("the store is closed")
        return self._shared

    def _read_chunks(self, work: Callable[[Txn], T]) -> T:
        """Read; again where a run that was named has been merged meanwhile."""
        for _ in range(_ROUNDS):
            with suppress(RunGoneError):
                return self._env.read(work)
        raise IndexDamagedError(str(self._shared.directory), "a file of frozen rows is missing")

    def _write_chunks(self, work: Callable[[Txn], T]) -> T:
        """Write; then freeze rows if they are so many."""
        try:
            done = self._env.write(work)
        except RunGoneError as error:
            detail = "a file of frozen rows is missing"
            raise IndexDamagedError(str(self._shared.directory), detail) from error
        if self._env.read(lambda txn: txn.rows(layout_of(txn).active)) >= self._freeze_at:
            with suppress(StorageError):  # the rows are in, if not where they shall be: the next one tries again
                self.compact(at=self._freeze_at)
        return done

    def compact(self, *, at: int | None = None) -> bool:
        """Freeze rows if there are ``at`` of them in LMDB, merge runs, leave rows of deleted packs; see `freeze`."""
        from pfs.packs.freeze import freeze

        return freeze(self._env, self._files(), at=self._freeze_at if at is None else at)

    def _files(self) -> Frozen:
        if self._frozen is None:
            from pfs.packs.frozen import Frozen  # few indexes have so many rows

            self._frozen = Frozen(self._shared.directory / "frozen")
        return self._frozen

    def _runs(self, names: tuple[str, ...]) -> list[Run]:
        return self._files().runs(names)

    def get_meta(self, key: str) -> bytes | None:
        """Return a value that `set_meta` stored, or None."""
        return self._env.read(lambda txn: txn.get("meta", key.encode()))

    def set_meta(self, key: str, value: bytes) -> None:
        """Store a small value by name, durably."""
        self._env.write(lambda txn: put_meta(txn, {key: value}))

    def close(self) -> None:
        """Let go of the environment; the last handle closes the file. Idempotent."""
        if not self._closed:
            self._closed = True
            release(self._shared)


def put_mark(txn: Txn, guard: Guard) -> None:
    """Put the mark of a guard."""
    if txn.get("meta", guard.key.encode()) != guard.mark:
        put_meta(txn, {guard.key: guard.mark})


def put_meta(txn: Txn, values: Mapping[str, bytes]) -> None:
    """Set values by name."""
    for key, value in values.items():
        txn.put("meta", key.encode(), value)
