"""Refs objects by compare-and-swap: the only thing in a store that changes, and the commit point of everything.

Each swap carries a fresh write id. When the reply to a swap is lost, the body is read again: if our write id is
the current one or among the recent, the swap landed (docs/design/commit-protocol.md). Safe for threads,
processes and machines.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    CollectionLostError,
    ConflictError,
    CorruptionError,
    NotFoundError,
    StorageError,
    StorageFullError,
)
from pfs.ids import Etag
from pfs.refs import collection
from pfs.refs.back_off import back_off
from pfs.refs.body import RECENT, Prepared, RefsBody, encode_body, tombstone
from pfs.refs.buried import buried, under
from pfs.refs.edges import trimmed
from pfs.refs.prepared import clash, named, touched
from pfs.refs.read import RefsReader, RefsState, refs_name

ROUNDS = 50
"""Attempts of a pure edit of refs before giving up; each lost round means that another writer got through."""
RESENDS = 3


class Refs(RefsReader):
    """The refs objects of a store.

    Swapping what was read makes what transactions decided so. While one is pending, who would change what it changes
    waits until it is decided.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(backend, clock_ns=clock_ns, pause=pause)
        self.on_landed: Callable[[], object] = lambda: None
        """Called after each swap, in the thread of the writer."""
        self.on_moved: Callable[[RefsState, RefsState], None] | None = None
        """Called with the old state and the new one after each swap that landed, in the thread of the writer."""

    def create(self, repo: str, *, description: str, now_ns: int) -> RefsState:
        """Create an empty repo, over the tombstone of an earlier one of that name.

        Raises:
            AlreadyExistsError: it exists, or another writer was first.
        """
        old = self.settled(repo)
        if old is not None and not old.body.gone:
            raise AlreadyExistsError("repo", repo)
        body = RefsBody(description=description, created=now_ns)
        if old is not None:
            body = replace(body, seq=old.body.seq, gc_gen=old.body.gc_gen, wid=old.body.wid, recent=old.body.recent)
            body = replace(body, earlier=under(old.body), born=_later(old.body, now_ns))
        try:
            return self._swap(repo, old.etag if old else None, body)
        except BranchMovedError as error:
            raise AlreadyExistsError("repo", repo) from error

    def bury(self, state: RefsState) -> RefsState:
        """Replace a repo by its tombstone; its last body stays readable in ``log/``.

        Raises:
            BranchMovedError: the repo changed since ``state`` was read.
        """
        stone = tombstone(state.body, last="", now_ns=self.transactions.clock_ns())
        self._give_way(state, stone)
        name = f"log/{state.repo}/{state.body.seq:012d}-{state.body.wid}"
        self._backend.put_new(name, encode_body(state.body))
        return self._swap(state.repo, state.etag, replace(stone, last=name))

    def bury_damaged(self, repo: str) -> bool:
        """Put a tombstone in place of an object that cannot be read; nothing that it said can be had back.

        False: there is none, or it can be read.

        Raises:
            BranchMovedError: it changed at this moment.
        """
        self._check_open()
        name = refs_name(repo)
        found = self._backend.read(name)
        if found is None:
            return False
        data, etag = found
        try:
            self.decode(data, where=name)
        except CorruptionError:
            # Which collection it has seen is lost with the rest: not a later one than there was.
            gen, now_ns = collection.read(self._backend)[0].gen, self.transactions.clock_ns()
            self._swap(repo, etag, RefsBody(gc_gen=gen, gone=True, deleted=now_ns, born=now_ns))
            return True
        return False

    def unbury(self, repo: str, *, before: int = 0) -> RefsState | None:
        """Put the last body of a deleted repo back in place of its tombstone, or one that was deleted ``before`` it.

        The others stay to be had back. None if there is no tombstone with so many.

        Raises:
            BranchMovedError: a new repo of that name was made meanwhile.
            CorruptionError: the body cannot be read.
        """
        state = self.settled(repo)
        found = [] if state is None or not state.body.gone else buried(state.body, self.transactions.clock_ns())
        if state is None or not 0 <= before < len(found):
            return None
        name = found[before].last
        try:
            body = self.decode(self._backend.get(name), where=name)
        except NotFoundError as error:
            raise CorruptionError(name, "the last state of the repo is missing") from error
        stone = state.body
        others = tuple(one for one in under(stone) if one.last != name)
        body = replace(body, seq=stone.seq, gc_gen=stone.gc_gen, wid=stone.wid, recent=stone.recent, earlier=others)
        body = replace(body, born=_later(stone, self.transactions.clock_ns()))
        return self.swap(state, body)

    def swap(
        self, state: RefsState, body: RefsBody, *, seen_gen: int | None = None, announce: bool = True
    ) -> RefsState:
        """Replace ``state`` by ``body`` (seq, write ids are set here); returns once it is durable.

        ``seen_gen``: the generation of collection against which all was checked that ``body`` makes live; None for a
        body that makes nothing live that ``state`` does not.
        ``announce``: call `on_moved`; propagation itself does not.

        Raises:
            BranchMovedError: another writer was first, a pending transaction too, or collection is further than
                ``seen_gen``; nothing changed.
            CollectionLostError: the state of collection is behind what the refs have seen.
            StorageError: it did not land.
        """
        if seen_gen is not None:
            if state.body.gc_gen > seen_gen:
                self._refuse_lost(state)
                raise BranchMovedError(refs_name(state.repo))
            body = replace(body, gc_gen=seen_gen)
        self._give_way(state, body)
        new = self._swap(state.repo, state.etag, body)
        if announce and self.on_moved is not None:
            self.on_moved(state, new)
        return new

    def _refuse_lost(self, state: RefsState) -> None:
        """Tell a collection that is further than a writer, who looks again, from a state of collection that is lost."""
        now, _ = collection.read(self._backend)
        if now.gen < state.body.gc_gen:
            detail = f"repo {state.repo!r} has seen collection {state.body.gc_gen}, it is at {now.gen}"
            raise CollectionLostError(collection.GC_STATE, detail)

    def prepare(self, repo: str, state: RefsState | None, entry: Prepared, *, gc_gen: int) -> RefsState:
        """Put what a transaction will change beside the present values; None: there is no object of the repo.

        ``gc_gen``: the collection that what it brings was checked against. Raises as `swap`.
        """
        old = RefsState(repo, RefsBody(gone=True), Etag("")) if state is None else state
        body = replace(old.body, prepared=(*old.body.prepared, entry), gc_gen=max(old.body.gc_gen, gc_gen))
        self._give_way(old, body)
        return self._swap(repo, None if state is None else state.etag, body)

    def settle(self, repo: str) -> RefsState | None:
        """Make it so what is decided: fold committed entries in, take aborted ones away; None: there is no object."""
        while True:
            stored = self.raw(repo)
            state = None if stored is None else self._decided(stored)
            if stored is None or state is stored:
                return stored
            try:
                if state is not None:
                    return self._swap(repo, stored.etag, state.body)
            except BranchMovedError:
                back_off(1)

    def _give_way(self, state: RefsState, body: RefsBody) -> None:
        """Let a pending transaction be decided before what it changes is changed; then the caller must look again."""
        if not state.body.prepared:
            return
        kept = {entry.txn for entry in body.prepared}
        names = touched(state.body, body)
        for entry in body.prepared:
            if entry not in state.body.prepared:
                names |= named(state.body, entry)
        for entry in state.body.prepared:
            if entry.txn not in kept or clash(names, named(state.body, entry)):
                self.transactions.wait(entry.txn)
                raise BranchMovedError(refs_name(state.repo))

    def update(self, repo: str, edit: Callable[[RefsBody], RefsBody], *, announce: bool = True) -> RefsBody:
        """Apply a pure edit to whatever the body is by then; ``edit`` may raise to abort, and may run several times.

        ``announce`` as in `swap`.
        """
        for round_no in range(ROUNDS):
            state = self.read(repo)
            edited = edit(state.body)
            if edited is state.body:
                return edited
            try:
                return self.swap(state, edited, announce=announce).body
            except BranchMovedError:
                back_off(round_no, far=self.parallel > 1)
        raise ConflictError(f"repo {repo!r} is being changed too often: try again")

    def _swap(self, repo: str, old: Etag | None, body: RefsBody) -> RefsState:
        self._windows.drop(repo)
        wid = uuid.uuid4().hex
        recent = (*body.recent, body.wid)[-RECENT:] if body.wid else body.recent
        body = trimmed(replace(body, seq=body.seq + 1, wid=wid, recent=recent), repo, self._shelf)
        data = encode_body(body)
        attempt = 0
        while True:
            try:
                done = RefsState(repo, body, self._backend.swap(refs_name(repo), old, data))
                self.on_landed()
                return done
            except (BranchMovedError, StorageError) as error:
                self._windows.drop(repo)
                landed = self._find_landed(repo, wid)
                if landed is not None:
                    self.on_landed()
                    return landed
                attempt += 1
                if isinstance(error, BranchMovedError | StorageFullError):
                    raise
                self._windows.drop(repo)
                now = self.raw(repo)
                if (None if now is None else now.etag) != old:  # the lost reply was that another was first
                    raise BranchMovedError(refs_name(repo)) from error
                if attempt == RESENDS:
                    raise
                back_off(attempt, far=self.parallel > 1)

    def _find_landed(self, repo: str, wid: str) -> RefsState | None:
        """Return the present state if the write ``wid`` is in it or in its recent past."""
        state = self.raw(repo)
        if state is None or (state.body.wid != wid and wid not in state.body.recent):
            return None
        return state


def _later(stone: RefsBody, now_ns: int) -> int:
    """Return the generation of the repo that takes the place of a tombstone, whatever the clock says."""
    return max(now_ns, stone.generation() + 1)
