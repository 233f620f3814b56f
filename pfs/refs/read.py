"""Reading refs objects: each time from the store, parsed once, with transactions that are decided folded in.

Safe for threads, processes and machines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import InvalidInputError, PfsError, RepoNotFoundError
from pfs.ids import Etag
from pfs.lru import Lru
from pfs.refs.back_off import back_off
from pfs.refs.body import RefsBody, decode_body
from pfs.refs.facts import Shelf
from pfs.refs.snapshot import decide, take
from pfs.refs.transactions import Transactions
from pfs.refs.window import Windows

PREFIX = "refs/"
_KEPT_BYTES = 4 << 20
"""Stored bytes of bodies that are kept parsed."""


class RefsState(Struct, frozen=True):
    """A body as read, with the etag that a swap of it must name."""

    repo: str
    body: RefsBody
    etag: Etag


def refs_name(repo: str) -> str:
    """Return the object name of a repo's refs."""
    return f"{PREFIX}{repo}.json"


class RefsReader:
    """The refs objects of a store, to be read.

    What is read has committed transactions folded in, and aborted ones gone.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._backend = backend
        self._shelf = Shelf(backend)
        self._latest: Lru[str, RefsState] = Lru(_KEPT_BYTES)
        self._windows = Windows()
        self.on_read: Callable[[RefsState], object] = lambda state: None
        """Called with each body that is read of a repo that exists, before anybody gets it."""
        self._closed = False
        self.transactions = Transactions(backend, clock_ns=clock_ns, pause=pause)

    @property
    def parallel(self) -> int:
        """How many reads at once pay; 1 where the caller's thread does best."""
        return self._backend.parallel

    def close(self) -> None:
        """Refuse everything from now on with InvalidInputError; idempotent."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInputError("the store is closed")

    def read_once(self) -> AbstractContextManager[None]:
        """Begin a piece of work in which this thread reads the refs of each repo once, where reading is a request.

        Ended by a swap of the repo, lost or not, and by `look_again`. Costs nothing where objects are local.
        """
        return self._windows.open() if self._backend.parallel > 1 else nullcontext()

    def look_again(self, repo: str) -> None:
        """Let the refs of a repo be read anew within `read_once`."""
        self._windows.drop(repo)

    def repos(self) -> Iterator[RefsState]:
        """Yield the refs of every repo that exists, by name in byte order: those of one `snapshot`."""
        yield from self.snapshot()

    def snapshot(
        self, names: Iterable[str] | None = None, *, damaged: MutableMapping[str, PfsError] | None = None
    ) -> list[RefsState]:
        """Return the refs of all repos that exist (or of those named that do) by name, as they were together.

        Of a transaction over several repos, all is seen or nothing. Two reads each; the second one decodes nothing.
        ``damaged`` gets the repos that cannot be read; without it the first of them is raised.
        """
        self._check_open()
        wanted = None if names is None else tuple(names)
        found = take(self, self.names if wanted is None else lambda: wanted, damaged, back_off=back_off)
        return [state for state in found if not state.body.gone]

    def names(self) -> Iterator[str]:
        """Yield the names of all repos, deleted ones included, in byte order."""
        self._check_open()
        for entry in self._backend.entries(PREFIX):
            if entry.name.endswith(".json"):
                yield entry.name.removeprefix(PREFIX).removesuffix(".json")

    def find(self, repo: str) -> RefsState | None:
        """Return the refs of a repo, or None when there is no such repo."""
        state = self._load(repo)
        return None if state is None or state.body.gone else state

    def load(self, repo: str) -> RefsState | None:
        """Return the refs object of a repo, a tombstone too, or None when there never was one."""
        return self._load(repo)

    def read(self, repo: str) -> RefsState:
        """Return the refs of a repo.

        Raises:
            RepoNotFoundError: there is none, or it was deleted.
        """
        state = self.find(repo)
        if state is None:
            raise RepoNotFoundError(repo)
        return state

    def settled(self, repo: str) -> RefsState | None:
        """Return the refs of a repo, a tombstone too, once no transaction is pending there; None: no object."""
        while True:
            state = self._load(repo)
            if state is None or not state.body.prepared:
                return state
            for entry in state.body.prepared:
                self.transactions.wait(entry.txn)

    def raw(self, repo: str, *, last: RefsState | None = None) -> RefsState | None:
        """Return the object as it is stored, tombstones and undecided entries too; ``last`` itself if it still is.

        It is read each time and compared by its etag, so what another process swapped is seen at once; what was parsed
        lately is not parsed again, and is the same object then.
        """
        self._check_open()
        name = refs_name(repo)
        held = self._windows.find(repo) if last is None else None
        if held is not None:
            return held
        found = self._backend.read(name)
        if found is None:
            return None
        data, etag = found
        last = last or self._latest.get(repo)
        if last is None or last.etag != etag:
            last = RefsState(repo, self.decode(data, where=name), etag)
            self._latest.put(repo, last, weight=len(data))
        self._windows.keep(last)
        return last

    def decode(self, data: bytes, *, where: str) -> RefsBody:
        """Parse a stored body of this store, one in ``log/`` too; raises as `decode_body`."""
        body = decode_body(data, where=where)
        return replace(body, shelf=self._shelf) if body.older else body

    def _load(self, repo: str) -> RefsState | None:
        while True:
            stored = self.raw(repo)
            state = None if stored is None else self._decided(stored)
            if stored is None or state is not None:
                return state

    def _decided(self, stored: RefsState) -> RefsState | None:
        """Return a stored state with what is decided; None: it changed meanwhile, look again."""
        if not stored.body.prepared:
            return self.noted(stored)
        verdicts = {entry.txn: self.transactions.verdict(entry.txn) for entry in stored.body.prepared}
        if "missing" in verdicts.values() and self.raw(stored.repo, last=stored) is not stored:
            return None  # it was committed, folded in and cleared away; what is still there was aborted
        body = decide(stored.body, verdicts)
        return self.noted(stored if body is stored.body else RefsState(stored.repo, body, stored.etag))

    def noted(self, state: RefsState) -> RefsState:
        """Return a state, with what is decided, once `on_read` has seen it."""
        if not state.body.gone:
            self.on_read(state)
        return state
