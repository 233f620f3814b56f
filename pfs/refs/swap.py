"""Refs objects by compare-and-swap: the only thing in a store that changes, and the commit point of everything.

Each swap carries a fresh write id. When the reply to a swap is lost, the body is read again: if our write id is
the current one or among the recent, the swap landed (docs/design/commit-protocol.md). Safe for threads,
processes and machines.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    NotFoundError,
    RepoNotFoundError,
    StorageError,
    StorageFullError,
)
from pfs.ids import Etag
from pfs.refs.body import RECENT, RefsBody, decode_body, encode_body, tombstone
from pfs.refs.edges import trimmed
from pfs.refs.facts import Shelf

PREFIX = "refs/"
GC_STATE = "gc/state.json"
ROUNDS = 50
"""Attempts of a pure edit of refs before giving up; each lost round means that another writer got through."""
RESENDS = 3


@dataclass(frozen=True, slots=True)
class RefsState:
    """A body as read, with the etag that a swap of it must name."""

    repo: str
    body: RefsBody
    etag: Etag


class Refs:
    """The refs objects of a store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._shelf = Shelf(backend)
        self._closed = False

    def close(self) -> None:
        """Refuse everything from now on with InvalidInputError; idempotent."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInputError("the store is closed")

    def repos(self) -> Iterator[RefsState]:
        """Yield the refs of every repo that exists, by name in byte order; one read each."""
        for name in self.names():
            state = self.find(name)
            if state is not None:
                yield state

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

    def read(self, repo: str) -> RefsState:
        """Return the refs of a repo.

        Raises:
            RepoNotFoundError: there is none, or it was deleted.
        """
        state = self.find(repo)
        if state is None:
            raise RepoNotFoundError(repo)
        return state

    def create(self, repo: str, *, description: str, now_ns: int) -> RefsState:
        """Create an empty repo, over the tombstone of an earlier one of that name.

        Raises:
            AlreadyExistsError: it exists, or another writer was first.
        """
        old = self._load(repo)
        if old is not None and not old.body.gone:
            raise AlreadyExistsError("repo", repo)
        self.refuse_collected()
        body = RefsBody(description=description, created=now_ns)
        if old is not None:
            body = replace(body, seq=old.body.seq, gc_gen=old.body.gc_gen, wid=old.body.wid, recent=old.body.recent)
        try:
            return self._swap(repo, old.etag if old else None, body)
        except BranchMovedError as error:
            raise AlreadyExistsError("repo", repo) from error

    def bury(self, state: RefsState) -> RefsState:
        """Replace a repo by its tombstone; its last body stays readable in ``log/``.

        Raises:
            BranchMovedError: the repo changed since ``state`` was read.
        """
        name = f"log/{state.repo}/{state.body.seq:012d}-{state.body.wid}"
        self._backend.put_new(name, encode_body(state.body))
        return self._swap(state.repo, state.etag, tombstone(state.body, last=name))

    def unbury(self, repo: str) -> RefsState | None:
        """Put the last body of a deleted repo back in place of its tombstone; None if there is no tombstone.

        Raises:
            BranchMovedError: a new repo of that name was made meanwhile.
            CorruptionError: the last body cannot be read.
        """
        state = self._load(repo)
        if state is None or state.body.last is None:
            return None
        try:
            body = self.decode(self._backend.get(state.body.last), where=state.body.last)
        except NotFoundError as error:
            raise CorruptionError(state.body.last, "the last state of the repo is missing") from error
        stone = state.body
        return self.swap(state, replace(body, seq=stone.seq, gc_gen=stone.gc_gen, wid=stone.wid, recent=stone.recent))

    def swap(self, state: RefsState, body: RefsBody) -> RefsState:
        """Replace ``state`` by ``body`` (seq, write ids are set here); returns once it is durable.

        Raises:
            BranchMovedError: another writer was first; nothing changed.
            StorageError: it did not land.
        """
        self.refuse_collected()
        return self._swap(state.repo, state.etag, body)

    def update(self, repo: str, edit: Callable[[RefsBody], RefsBody]) -> RefsBody:
        """Apply a pure edit to whatever the body is by then; ``edit`` may raise to abort, and may run several times."""
        for round_no in range(ROUNDS):
            state = self.read(repo)
            edited = edit(state.body)
            if edited is state.body:
                return edited
            try:
                return self.swap(state, edited).body
            except BranchMovedError:
                back_off(round_no)
        raise ConflictError(f"repo {repo!r} is being changed too often: try again")

    def refuse_collected(self) -> None:
        """Refuse to write to a store that a collector of a later release has worked on.

        Collection moves what packs hold; a writer that does not know how must not swap (commit protocol, step 5).
        """
        if self._backend.read(GC_STATE) is not None:
            raise ConflictError("the store was collected by a newer pfs: write to it with that version")

    def _load(self, repo: str) -> RefsState | None:
        self._check_open()
        name = refs_name(repo)
        found = self._backend.read(name)
        if found is None:
            return None
        data, etag = found
        return RefsState(repo, self.decode(data, where=name), etag)

    def decode(self, data: bytes, *, where: str) -> RefsBody:
        """Parse a stored body of this store, one in ``log/`` too; raises as `decode_body`."""
        body = decode_body(data, where=where)
        return replace(body, shelf=self._shelf) if body.older else body

    def _swap(self, repo: str, old: Etag | None, body: RefsBody) -> RefsState:
        wid = uuid.uuid4().hex
        recent = (*body.recent, body.wid)[-RECENT:] if body.wid else body.recent
        body = trimmed(replace(body, seq=body.seq + 1, wid=wid, recent=recent), repo, self._shelf)
        data = encode_body(body)
        attempt = 0
        while True:
            try:
                return RefsState(repo, body, self._backend.swap(refs_name(repo), old, data))
            except (BranchMovedError, StorageError) as error:
                landed = self._find_landed(repo, wid)
                if landed is not None:
                    return landed
                attempt += 1
                if isinstance(error, BranchMovedError | StorageFullError) or attempt == RESENDS:
                    raise
                back_off(attempt)

    def _find_landed(self, repo: str, wid: str) -> RefsState | None:
        """Return the present state if the write ``wid`` is in it or in its recent past."""
        state = self._load(repo)
        if state is None or (state.body.wid != wid and wid not in state.body.recent):
            return None
        return state


def refs_name(repo: str) -> str:
    """Return the object name of a repo's refs."""
    return f"{PREFIX}{repo}.json"


def back_off(round_no: int) -> None:
    """Wait a random moment that grows with the rounds lost, at most 0.1 s; the first retry is at once."""
    if round_no:
        time.sleep(random.uniform(0, min(0.1, 0.002 * 2**round_no)))
