"""A store as a transaction sees it: what is really there, and over it what the transaction did so far, in memory.

All that changes repos works on it unchanged, since only refs change. A staged store is used by one thread, for one
run of the operations. A *tentative* one writes nothing: it is for checking operations, and for looking.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import NamedTuple

from pfs.backends.base import Backend
from pfs.errors import BranchMovedError, CorruptionError, InvalidInputError, PfsError
from pfs.history.linked import Found
from pfs.history.records import History
from pfs.ids import CommitId, Etag, new_commit_id
from pfs.packs.commit_record import CommitRecord
from pfs.packs.pack import SealedPack
from pfs.packs.session import WriteSession
from pfs.provenance.pull import spread
from pfs.refs.body import Prepared, RefsBody, encode_body, tombstone
from pfs.refs.level import level
from pfs.refs.prepared import difference, is_empty
from pfs.refs.read import RefsState
from pfs.refs.swap import Refs
from pfs.refs.turn import Turns
from pfs.store import Store


class Change(NamedTuple):
    """What became of one repo: ``base`` is as it was read, None if there was no object."""

    repo: str
    base: RefsState | None
    entry: Prepared
    gc_gen: int


class StagedStore(Store):
    """``tentative``: nothing is written anywhere."""

    replayed = True

    def __init__(self, store: Store, *, tentative: bool) -> None:
        vars(self).update(vars(store))
        self.tentative = tentative
        self.staged_refs = self.refs = StagedRefs(store.refs, store.backend, tentative=tentative)
        self.staged_history = self.history = StagedHistory(store.history, tentative=tentative)
        self.turns = NoTurns(store.path)
        # What is downstream takes part, so that it can be written to inside. Weakly: as in the store itself.
        self.staged_refs.on_moved = partial(_spread, weakref.ref(self))

    def close(self) -> None:
        """Do nothing: the store below is open still."""

    def session(self, *, background: Executor | None = None) -> WriteSession:
        """Return a session; a tentative store's never writes."""
        kind = _TentativeSession if self.tentative else WriteSession
        seen_gen = level(self.backend, self.index).gen
        return kind(
            self.backend,
            self.index,
            self.objects,
            clock=self.clock_ns,
            seen_gen=seen_gen,
            background=self.sealing(background),
        )


def _spread(holder: weakref.ref[StagedStore], old: RefsState, new: RefsState) -> None:
    staged = holder()
    if staged is not None:
        spread(staged, old, new)


class StagedRefs(Refs):
    """Refs of which each object was read once, and swaps stay in memory."""

    def __init__(self, real: Refs, backend: Backend, *, tentative: bool) -> None:
        vars(self).update(vars(real))
        self._log, self._tentative = backend, tentative
        self._base: dict[str, RefsState | None] = {}
        self._now: dict[str, RefsState] = {}
        self._numbers = count(1)

    def is_level(self, repo: str) -> bool:
        """Say whether the refs of a repo are still what was read first."""
        if repo not in self._base:
            return True
        base = self._base[repo]
        return self.raw(repo, last=base) is base

    def changes(self, attempt: str) -> list[Change]:
        """Return what is to be prepared, by repo in the order of names."""
        found = []
        for repo, now in sorted(self._now.items()):
            base = self._base[repo]
            entry = difference(RefsBody(gone=True) if base is None else base.body, now.body, attempt=attempt)
            if not is_empty(entry):
                found.append(Change(repo, base, entry, now.body.gc_gen))
        return found

    def left(self) -> Mapping[str, RefsState]:
        """Return what became of each repo that was changed."""
        return MappingProxyType(self._now)

    def names(self) -> Iterator[str]:
        """Yield the names of all repos, in byte order."""
        yield from sorted({*super().names(), *self._now})

    def snapshot(
        self, names: Iterable[str] | None = None, *, damaged: MutableMapping[str, PfsError] | None = None
    ) -> list[RefsState]:
        """Return the refs of the repos that exist; each as it was read first."""
        found = []
        for name in sorted(self.names() if names is None else names):
            try:
                state = self.find(name)
            except (CorruptionError, InvalidInputError) as error:
                if damaged is None:
                    raise
                damaged[name] = error
            else:
                found += [] if state is None else [state]
        return found

    def settled(self, repo: str) -> RefsState | None:
        """Return the refs of a repo: who is pending there is met when this transaction is prepared."""
        return self._load(repo)

    def bury(self, state: RefsState) -> RefsState:
        """Replace a repo by its tombstone; its last body is kept under a name of its own, unless this is tentative.

        What the transaction changed before is in that body, so the name cannot be made of the write id.
        """
        name = f"log/{state.repo}/{state.body.seq:012d}-{new_commit_id()}"
        if not self._tentative:
            self._log.put_new(name, encode_body(state.body))
        stone = tombstone(state.body, last=name, now_ns=self.transactions.clock_ns())
        return self._swap(state.repo, state.etag, stone)

    def _give_way(self, state: RefsState, body: RefsBody) -> None:
        """Go on: who is pending there is met when this transaction is prepared."""

    def _load(self, repo: str) -> RefsState | None:
        if repo not in self._base:
            self._base[repo] = super()._load(repo)
        return self._now.get(repo, self._base[repo])

    def _swap(self, repo: str, old: Etag | None, body: RefsBody) -> RefsState:
        now = self._load(repo)
        if (None if now is None else now.etag) != old:
            raise BranchMovedError(f"refs/{repo}.json")
        state = self._now[repo] = RefsState(repo, body, Etag(f"staged-{next(self._numbers)}"))
        return state


class StagedHistory(History):
    """The commits of a store, and those of the transaction, which no index may know yet."""

    def __init__(self, real: History, *, tentative: bool) -> None:
        vars(self).update(vars(real))
        self._tentative = tentative
        self._made: dict[tuple[str, CommitId], Found] = {}
        self._anew: set[str] = set()

    def locate(self, repo: str, commit: CommitId) -> Found | None:
        """Return where a commit is, one of the transaction first."""
        made = self._made.get((repo, commit))
        return made if made is not None or repo in self._anew else super().locate(repo, commit)

    def records(self, repo: str) -> Iterator[CommitRecord]:
        """Yield every commit of the repo."""
        if repo not in self._anew:
            yield from super().records(repo)
        yield from (found.record for (of, _), found in self._made.items() if of == repo)

    def mentioning(self, repo: str, commit: CommitId) -> Iterator[CommitRecord]:
        """Yield the commits whose records may name ``commit``, all of the transaction's among them."""
        if repo not in self._anew:
            yield from super().mentioning(repo, commit)
        yield from (found.record for (of, _), found in self._made.items() if of == repo)

    def learn(
        self,
        packs: Sequence[SealedPack],
        commits: Sequence[Found],
        *,
        state: RefsState | None = None,
        seen: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> bool:
        """Remember commits; packs are there, so the index may know them."""
        self._made |= {(found.record.repo, found.record.id): found for found in commits}
        if not self._tentative:
            super().learn(packs, (), seen=seen)
        return True

    def forget(self, repo: str) -> None:
        """Pass over the commits of a repo so far; what the index knows is true until the transaction is committed."""
        self._made = {key: found for key, found in self._made.items() if key[0] != repo}
        self._anew.add(repo)

    def made_known(self, real: History, left: Mapping[str, RefsState]) -> None:
        """Tell the index, now that the transaction is committed; a failure is none of the transaction's.

        ``left``: what became of each repo: in one that was made anew since, the commits are none.
        """
        with suppress(PfsError):
            for repo in self._anew:
                real.forget(repo)
            for repo, state in left.items():
                found = [found for (of, _), found in self._made.items() if of == repo]
                if found and not state.body.gone:
                    self._generations.follow(state)
                    real.learn((), found, state=state)


class _TentativeSession(WriteSession):
    keeps = False

    def seal(self) -> list[SealedPack]:
        """Write nothing."""
        return []


class NoTurns(Turns):
    """Turns that nobody waits for: nobody else sees a staged store."""

    @contextmanager
    def turn(self, repo: str) -> Iterator[None]:
        """Go on at once."""
        yield
