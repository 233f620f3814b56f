"""Commit records by id, and keeping the index level with what refs and packs say.

The index may lag: a process died between its commit point and its index update, another machine wrote, or the
index was removed. Whoever meets an unknown head follows it: refs name the pack of a head's record, a record
names the packs of its parents' records and those it added. What is still missing after that is looked for in a
listing of all packs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from pfs.backends.base import Backend, Entry, Reads
from pfs.errors import (
    ArchivedError,
    CommitNotFoundError,
    CorruptionError,
    IndexDamagedError,
    InvalidInputError,
    MissingObjectError,
    NotFoundError,
    StorageError,
)
from pfs.history.generations import Generations
from pfs.history.linked import Found, Linked
from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import CommitRecord, RecordLink, decode_record, id_of
from pfs.packs.footer import in_batches
from pfs.packs.index import Index
from pfs.packs.objects import Objects
from pfs.packs.pack import PackKind, SealedPack, pack_name, parse_pack_name, read_footer
from pfs.parallel import at_once
from pfs.refs.body import RefsBody
from pfs.refs.edges import effective, record_home
from pfs.refs.level import level
from pfs.refs.read import RefsState
from pfs.refs.swap import Refs

if TYPE_CHECKING:
    from pfs.history.segments import Segments

_ROUNDS = 8
_FAR = 8
"""Commits that are followed one by one, each a request, before all packs that are not known are read together."""


class History:
    """The commits of a store; thread-safe."""

    def __init__(
        self,
        backend: Backend,
        index: Index,
        refs: Refs,
        *,
        reading: Reads | None = None,
        on_damaged: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``reading``: what packs are read through, and what to do about damaged ones; else the backend itself."""
        self._backend, self._index, self._refs = backend, index, refs
        self.reading = reading or backend
        self._on_damaged = on_damaged
        self._lock, self._salvaging = threading.RLock(), threading.Lock()
        self._segments: Segments | None = None
        self.objects = Objects(
            self.reading,
            index,
            on_missing=self.catch_up,
            on_gone=self.note_gone,
            on_damaged=on_damaged,
            records=self._spooled,
            on_archived=self._ask_for,
        )
        """Pages, chunks and records by id; a missing one makes the index catch up once."""
        self._generations = Generations(self.objects, index)
        refs.on_read = self._generations.follow

    @property
    def segments(self) -> Segments:
        """Footers and records of many packs at once."""
        if self._segments is None:
            from pfs.history.segments import Segments  # needed on a fresh machine alone

            self._segments = Segments(self._backend)
        return self._segments

    def _spooled(self, pack: PackId) -> list[bytes] | None:
        return None if self._segments is None else self._segments.records.find(pack)

    def find(self, repo: str, commit: CommitId) -> CommitRecord | None:
        """Return the record of a finished commit of the repo, or None."""
        found = self.locate(repo, commit)
        return None if found is None else found.record

    def locate(self, repo: str, commit: CommitId) -> Found | None:
        """Return the record of a finished commit and where it is, or None.

        Raises:
            CorruptionError, MissingObjectError: refs name the commit, but its record cannot be read.
        """
        tried: PackId | None = None
        while True:
            data = self._index.commit(repo, commit)
            state = None if data is not None else self._follow_repo(repo)
            if state is not None:
                data = self._index.commit(repo, commit)  # it may be there by now through another thread or process
            if data is not None:
                return _parse_row(repo, commit, data)
            home = None if state is None else state.body.heads().get(commit)
            if home is None or state is None:
                return None
            try:
                return self.linked(repo).read(state.body, RecordLink(commit, home))
            except MissingObjectError:
                if home == tried:
                    raise
                tried = home  # collection moves it on, in refs first: once more, unless they still name this pack

    def known(self, repo: str, commit: CommitId) -> Found | None:
        """Return what the index has of a commit, without looking further."""
        data = self._index.commit(repo, commit)
        return None if data is None else _parse_row(repo, commit, data)

    def refuse_lost(self, state: RefsState) -> None:
        """Raise what reading the first lost commit among those that refs name raises; O(heads) of index look-ups."""
        for commit in state.body.heads():
            self.locate(state.repo, commit)

    def get(self, repo: str, commit: CommitId) -> CommitRecord:
        """Return the record of a finished commit of the repo.

        Raises:
            CommitNotFoundError: there is none.
        """
        record = self.find(repo, commit)
        if record is None:
            raise CommitNotFoundError(repo, commit)
        return record

    def home_of(self, state: RefsState, commit: CommitId) -> PackId:
        """Return the meta pack with the record of a commit: what refs say counts, else one that is on no list.

        The index knows the commit afterwards: what is put on top of it may be indexed.

        Raises:
            CommitNotFoundError: it is no commit of the repo.
        """
        found = self.locate(state.repo, commit)
        if found is None:
            raise CommitNotFoundError(state.repo, commit)
        named = state.body.heads().get(commit) or record_home(state.body, commit)
        return self._lasting(found) if named is None else named

    def _lasting(self, found: Found) -> PackId:
        """Return the pack that has a record and is not condemned; where it was found, if there is no such pack."""
        level(self._backend, self._index)
        id = id_of(found.record)
        place = self._index.find([id], to_keep=True)[0]
        if place is None and self.catch_up():
            place = self._index.find([id], to_keep=True)[0]
        return found.pack if place is None else self._index.pack(place.pack_no)[0]

    def records(self, repo: str) -> Iterator[CommitRecord]:
        """Yield every known commit of the repo, in no order, hidden branches and failed ones included."""
        self._follow_repo(repo)
        for commit, data in self._index.commits(repo):
            yield _parse_row(repo, commit, data).record

    def mentioning(self, repo: str, commit: CommitId) -> Iterator[CommitRecord]:
        """Yield the known commits of the repo whose records name ``commit``, itself too; 0.2 us for any other."""
        self._follow_repo(repo)
        text = commit.encode()
        for id, data in self._index.commits(repo):
            if text in data:
                yield _parse_row(repo, id, data).record

    def first_parents(self, repo: str, commit: CommitId) -> Iterator[CommitRecord]:
        """Yield the commit, its first parent, that one's, and so on; squashed ones are passed over.

        Raises:
            CommitNotFoundError: the first is none of the repo.
            MissingObjectError: the record of an ancestor is lost.
        """
        state = self._refs.find(repo)
        body = RefsBody() if state is None else state.body
        record = effective(body, self.get(repo, commit))
        yield record
        while record.parents:
            parent = self.find(repo, record.parents[0])
            if parent is None:
                raise MissingObjectError(f"commit {repo}@{record.parents[0]}", "its record is in no pack")
            record = effective(body, parent)
            yield record

    def learn(
        self,
        packs: Sequence[SealedPack],
        commits: Sequence[Found],
        *,
        state: RefsState | None = None,
        seen: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> bool:
        """Index what was published; ``seen`` as `Index.add` takes it.

        ``state``: refs by which the commits are as given; without it they are read. False: the repo was made anew, or
        its records were rewritten since, and the commits are left to the next reader.
        """
        if state is not None or not commits:
            guard = None if state is None else self._generations.guard(state)
            return self._index.add(packs, [found.row() for found in commits], seen=seen, guard=guard)
        self._index.add(packs, seen=seen)
        done = [self._learn_of(repo, commits) for repo in {found.record.repo for found in commits}]
        return all(done)

    def _learn_of(self, repo: str, commits: Sequence[Found]) -> bool:
        state = self._refs.find(repo)
        if state is None:
            return False
        own = (found for found in commits if found.record.repo == repo)
        rows = [found.row() for found in own if record_home(state.body, found.record.id) in (None, found.pack)]
        return self._index.add([], rows, guard=self._generations.guard(state))

    def forget(self, repo: str) -> None:
        """Forget the commits of a repo that was deleted, or is made anew."""
        self._index.forget_repo(repo)

    def catch_up(self) -> bool:
        """Learn what refs lead to, else what a listing of all packs has; say whether there was anything new."""
        with self._lock:
            before = self._index.stats().packs
            self._follow_all()
            if self._index.stats().packs == before:
                self.learn_packs(self._listed())
            if self._index.stats().packs == before and self._index.take_stale():
                self._refill()
                return True
            return self._index.stats().packs != before or self._mend_salvaged()

    def _mend_salvaged(self) -> bool:
        """Index packs anew whose footer was damaged and is whole by now; say whether there were any."""
        mended = list[SealedPack]()
        doubtful = self._index.salvaged()
        for name in sorted(doubtful):
            with suppress(CorruptionError, ArchivedError, NotFoundError):
                mended.append(read_footer(self._backend, name))
        if mended:
            self._index.refill(mended)
            self._index.note_salvaged(doubtful - {pack_name(pack.pack_id, pack.kind) for pack in mended})
        return bool(mended)

    def _ask_for(self, name: str) -> bool:
        """Have an archived pack restored; say whether it can be read now."""
        from pfs.refs.tiering import ask_for

        return ask_for(self._backend, name)

    def note_gone(self, pack: PackId) -> bool:
        """Take a pack that is not there out of the index if it was collected; say whether it was."""
        level(self._backend, self._index)
        return self._index.mark_gone(pack)

    def forget_gone(self) -> int:
        """Take all packs that were collected out of the index, whoever did it; return the generation of collection.

        One listing, and once after packs went all footers.
        """
        with self._lock:
            known = self._index.packs()
            gen = level(self._backend, self._index).gen
            there = {parsed[0] for name in self._names() if (parsed := parse_pack_name(name)) is not None}
            with suppress(StorageError):  # the index may be on a disk that is read-only
                for pack in set(known) - there:
                    self._index.mark_gone(pack)
                if self._index.take_stale():
                    self._refill()
            return gen

    def _refill(self) -> None:
        """Find the objects of collected packs in packs that are known, and have them too."""
        names = sorted(self._names(), key=lambda name: name.rpartition("/")[2])
        footers = (pack for pack in at_once(self.reading.parallel, self._footer, names) if pack is not None)
        for batch in in_batches(footers):
            self._index.refill(batch)

    def rebuild(self) -> None:
        """Fill an empty index: every pack, then every commit that refs lead to; lists of condemned packs first."""
        with self._lock:
            from pfs.history.reading import forget_unlisted

            level(self._backend, self._index)
            listed = list(self._listed())
            forget_unlisted(self.reading, [entry.name for entry in listed])
            self.learn_packs(listed)
            self._follow_all()

    def _listed(self) -> Iterator[Entry]:
        return self._backend.entries("packs/")

    def _names(self) -> Iterator[str]:
        return (entry.name for entry in self._listed() if parse_pack_name(entry.name) is not None)

    def _follow_all(self) -> None:
        """Follow every repo; one whose refs are damaged does not hurt the others."""
        for name in list(self._refs.names()):
            with suppress(CorruptionError, InvalidInputError):
                self._follow_repo(name)

    def _follow_repo(self, repo: str) -> RefsState | None:
        state = self._refs.find(repo)
        if state is not None:
            with self._lock:
                self._follow(state)
        return state

    def _follow(self, state: RefsState) -> None:
        """Bring the index level with a refs body; raises IndexDamagedError."""
        for _ in range(_ROUNDS):
            if self._followed(state):
                return
            self._refs.look_again(state.repo)
            again = self._refs.find(state.repo)
            if again is None:
                return
            self._generations.follow(again, again=True)
            state = again
        detail = f"it has seen a later state of repo {state.repo!r} than the store has: run `pfs recover`"
        raise IndexDamagedError(self._backend.location, detail)

    def _followed(self, state: RefsState) -> bool:
        """Learn what a refs body leads to; False: the index has seen a later one."""
        open_packs = {PackId(bytes.fromhex(pack)) for entry in state.body.open.values() for pack in entry.packs}
        unknown = {c: p for c, p in state.body.heads().items() if self._index.commit(state.repo, c) is None}
        trail = self._trail(state, unknown)
        named = {pack for found in trail for pack in (found.pack, *found.record.pack_ids())} | open_packs
        missing = [pack for pack in named if not self._index.has_pack(pack)]
        self._learn(self._footers(missing))
        return self.learn([], trail, state=state)

    def _trail(self, state: RefsState, heads: dict[CommitId, PackId]) -> list[Found]:
        """Read records from ``heads`` back to what the index knows; damaged ones are left out (fsck names them)."""
        trail: dict[CommitId, Found] = {}
        todo, linked = [RecordLink(commit, pack) for commit, pack in heads.items()], self.linked(state.repo)
        while todo:
            if len(trail) == _FAR and self.reading.parallel > 1:
                self.learn_packs(self._listed())  # far behind: all at once, not one record after the other
            link = todo.pop()
            if link.commit in trail or self._index.commit(state.repo, link.commit) is not None:
                continue
            with suppress(CorruptionError, NotFoundError):
                found = linked.read(state.body, link)
                trail[link.commit] = found
                todo += effective(state.body, found.record).parents_in(found.pack)
        return list(trail.values())

    def linked(self, repo: str) -> Linked:
        """Return a reader of a repo's records by what their children say of them."""
        return Linked(self.objects, self._index, repo, learn=lambda: self.learn_packs(self._listed()))

    def learn_packs(self, listed: Iterable[Entry]) -> int:
        """Index the packs of a listing that are unknown yet; return how many. Many come out of index segments.

        Of a pack whose frame is damaged its whole records are indexed. Older ones come first: what was stored again,
        since a record of it was damaged, is found in the new place.
        """
        cold = list[Entry]()

        def named(entry: Entry) -> tuple[tuple[PackId, PackKind] | None, int]:
            if entry.storage_class:
                cold.append(entry)
            return parse_pack_name(entry.name), entry.size

        unknown = self._unknown(map(named, listed))
        learned = 0
        if unknown and self._backend.parallel > 1:
            learned = self._learn(self.segments.footers({pack: size for (pack, _), size in unknown.items()}))
            unknown = self._unknown(unknown.items())
        names = (pack_name(*pack) for pack in sorted(unknown))
        learned += self._learn(at_once(self.reading.parallel, self._footer, names))
        if learned and cold:
            from pfs.packs.tiers import note_tiers

            note_tiers(self._index, cold)
        return learned

    def _unknown(
        self, packs: Iterable[tuple[tuple[PackId, PackKind] | None, int]]
    ) -> dict[tuple[PackId, PackKind], int]:
        return {pack: size for pack, size in packs if pack is not None and not self._index.has_pack(pack[0])}

    def _footers(self, packs: Iterable[PackId]) -> Iterator[SealedPack | None]:
        """Yield the footers of packs whose kind is not known; None where there is no readable one."""
        kinds: Sequence[PackKind] = ("m", "d")

        def find(pack: PackId) -> SealedPack | None:
            found = (self._footer(pack_name(pack, kind)) for kind in kinds)
            return next((footer for footer in found if footer is not None), None)

        return at_once(self.reading.parallel, find, packs)

    def _footer(self, name: str) -> SealedPack | None:
        try:
            with suppress(CorruptionError):
                return read_footer(self.reading, name)
            self._on_damaged(name)
            try:
                return read_footer(self._backend, name)
            except CorruptionError:
                return self._salvaged(name)
        except (NotFoundError, ArchivedError):
            return None

    def _salvaged(self, name: str) -> SealedPack:
        """Return what is whole of a pack, and remember that it is one to be looked at again."""
        from pfs.packs.salvage import salvage

        pack = salvage(self._backend, name)
        with suppress(StorageError), self._salvaging:
            self._index.note_salvaged(self._index.salvaged() | {name})
        return pack

    def _learn(self, footers: Iterable[SealedPack | None]) -> int:
        learned = 0
        for batch in in_batches(pack for pack in footers if pack is not None):
            self._index.add(batch)
            learned += len(batch)
        return learned


def _parse_row(repo: str, commit: CommitId, data: bytes) -> Found:
    record = decode_record(data[16:], where=f"index row of commit {repo}@{commit}")
    return Found(record, PackId(data[:16]))
