"""What a write session relies on, its lease, and whether it failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy

from pfs.arrays import U8, np
from pfs.backends.base import Backend
from pfs.errors import PfsError, StorageError
from pfs.ids import CommitId, PackId, new_pack_id
from pfs.packs.index import Index
from pfs.packs.index_columns import NOWHERE, Places
from pfs.packs.lease import Lease
from pfs.packs.trust import TrustedIndex


class SessionState:
    """The packs of a session and those that hold what it does not write again; thread-safe.

    After the first error every method that checks raises that one.
    """

    def __init__(self, backend: Backend, index: Index, *, clock: Callable[[], int], seen_gen: int) -> None:
        self.seen_gen = seen_gen
        """No list of a generation up to this one has a pack that this session, or one adopted, wrote or relies on."""
        self._backend, self._index = backend, index
        self._stored = TrustedIndex(backend, index)
        self._clock = clock
        self._lock, self._leasing = threading.RLock(), threading.Lock()
        self._lease = Lease(backend, clock_ns=clock)
        self._start()

    def _start(self) -> None:
        self.touched: set[int] = set()
        """Numbers of the packs that hold what was not written again."""
        self.borrowed: set[tuple[str, CommitId] | None] = set()
        """Where content was taken over from without looking it up; see `borrow`."""
        self._packs: list[PackId] = []
        self._meta_pack = new_pack_id()
        self._failure: PfsError | None = None

    def places(self, ids: U8) -> Places:
        """Return where the store has each object (32 columns), to rely on it as if it were put again."""
        found = self._stored.find_columns(ids)
        with self._lock:
            self._check_usable()
            self.touched.update(set(np.unique(found.pack_no).tolist()) - {NOWHERE})
        return found

    def rely_on(self, packs: Sequence[PackId]) -> bool:
        """Say whether all these packs are there for writers, which touches them: content in them is not put again."""
        numbers = self._stored.trusts(packs)
        with self._lock:
            self._check_usable()
            self.touched.update(numbers or ())
        return numbers is not None

    @property
    def relied_on(self) -> frozenset[PackId]:
        """The packs that hold what was not written again."""
        with self._lock:
            numbers = list(self.touched)
        return frozenset(self._index.pack(number)[0] for number in numbers)

    def borrow(self, source: tuple[str, CommitId] | None) -> None:
        """Note that content was taken over by reference: from a commit (repo, id), None: from anywhere.

        Whoever publishes it makes sure that it stays: at once if the commit is live there, else by looking it up.
        """
        with self._lock:
            self.borrowed.add(source)

    def keep_lease(self) -> None:
        """Write the lease again if it is time: for who writes nothing for long and will; any thread."""
        if self._lease.is_held and self._lease.is_due:
            with self._lock:
                self._write_lease()

    def _write_lease(self) -> None:
        with self._leasing:  # of two that write it the later one says more
            relied_on = (self._index.pack(number)[0] for number in sorted(self.touched.copy()))
            self._lease.write([*self._packs, self._meta_pack, *relied_on], seen_gen=self.seen_gen)

    def release(self) -> None:
        """Take the lease back: what was written is live by other means, or not needed; idempotent."""
        self._lease.end()

    @contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException | None) -> None:
        """End the session; the first cause stays, as the later ones follow from it."""
        with self._lock:
            if self._failure is None:
                ended = StorageError("go on with a commit", "it was dropped, or storing an earlier part of it failed")
                self._failure = error if isinstance(error, PfsError) else ended

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise copy(self._failure) from self._failure
