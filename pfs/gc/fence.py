"""The fence: every refs object is written anew, so that no swap lands that was prepared before.

A writer whose swap fails against it reads the state of collection again, and stores what was condemned once more. On
the way, what refs say of places of records is put right for packs that are to go.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.errors import BranchMovedError, MissingObjectError
from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import id_of
from pfs.packs.condemned import Condemned
from pfs.refs.back_off import back_off
from pfs.refs.body import BranchEntry, OpenEntry, RefsBody, encode_body
from pfs.refs.buried import buried
from pfs.refs.edges import record_homes, with_records
from pfs.refs.prepared import possible
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store

Find = Callable[[CommitId, PackId], PackId | None]
"""Returns where the record of a commit is that a condemned pack has; None where it is nowhere else."""


def fence(store: Store, gen: int, condemned: Condemned, *, alive: Callable[[], None]) -> list[RefsState]:
    """Write every refs object anew, tombstones too, as having seen ``gen``; return them as they were written.

    Raises:
        CorruptionError: one is damaged. Those before it are fenced; doing it again does no harm.
        StorageError: one could not be written.
    """
    homes = _Homes(store, condemned)
    fenced = []
    for repo in list(store.refs.names()):
        move = partial(moved, condemned=condemned, find=homes.of(repo))
        state = _fence_one(store, repo, gen=gen, move=move)
        fenced += [] if state is None else [state]
        alive()
    return fenced


def _fence_one(store: Store, repo: str, *, gen: int, move: Callable[[RefsBody], RefsBody]) -> RefsState | None:
    """Write one refs object; writers of the repo wait for their turn, so that this ends."""
    lost = 0
    with store.turns.turn(repo):
        while True:
            state = store.refs.load(repo)
            if state is None:
                return None
            try:
                body = _moved_last(store, repo, move(state.body), move)
                return store.refs.swap(state, replace(body, gc_gen=max(body.gc_gen, gen)))
            except BranchMovedError:
                lost += 1
                back_off(lost)


def _moved_last(store: Store, repo: str, body: RefsBody, move: Callable[[RefsBody], RefsBody]) -> RefsBody:
    """Return a body with the deleted states that it names put right; as it is where there is nothing to do."""
    names = {state.last for state in buried(body, store.clock_ns())}
    new = {name: _moved_log(store, repo, name, move) for name in names}
    earlier = tuple(replace(state, last=new.get(state.last, state.last)) for state in body.earlier)
    return replace(body, last=new.get(body.last or "", body.last), earlier=earlier) if names else body


def _moved_log(store: Store, repo: str, name: str, move: Callable[[RefsBody], RefsBody]) -> str:
    """Return the object with a deleted state put right: it is never changed, so that is another one then."""
    last = store.refs.decode(store.backend.get(name), where=name)
    new = move(last)
    if new == last:
        return name
    moved_to = f"log/{repo}/{last.seq:012d}-{uuid.uuid4().hex}"
    store.backend.put_new(moved_to, encode_body(new))
    return moved_to


def moved(body: RefsBody, condemned: Condemned, find: Find) -> RefsBody:
    """Return the body with places in condemned packs put right where ``find`` knows a new one.

    What open commits hint at as theirs is left out of the hints.
    """

    def place(entry: BranchEntry) -> BranchEntry:
        pack = None if entry.pack is None else PackId(bytes.fromhex(entry.pack))
        new = None if entry.head is None or pack not in condemned else find(entry.head, pack)
        return entry if new is None else replace(entry, pack=new.hex())

    def opened(entry: OpenEntry) -> OpenEntry:
        return replace(entry, packs=tuple(p for p in entry.packs if PackId(bytes.fromhex(p)) not in condemned))

    homes = {commit: find(commit, pack) for commit, pack in record_homes(body).items() if pack in condemned}
    body = with_records(body, {commit: pack for commit, pack in homes.items() if pack is not None}) if homes else body
    return replace(
        body,
        branches={name: place(entry) for name, entry in body.branches.items()},
        tags={name: place(entry) for name, entry in body.tags.items()},
        trash={name: replace(entry, branch=place(entry.branch)) for name, entry in body.trash.items()},
        open={commit: opened(entry) for commit, entry in body.open.items()},
    )


def named_packs(body: RefsBody) -> set[PackId]:
    """Return the packs that a body, or what transactions may make of it, names as places of records."""
    return {pack for one in possible(body) for pack in (*one.heads().values(), *record_homes(one).values())}


class _Homes:
    """Where records of condemned packs are elsewhere, each looked up once."""

    def __init__(self, store: Store, condemned: Condemned) -> None:
        self._store, self._condemned = store, condemned
        self._known: dict[tuple[str, CommitId, PackId], PackId | None] = {}

    def of(self, repo: str) -> Find:
        """Return the look-up for the commits of one repo: several repos have commits of one id."""

        def find(commit: CommitId, pack: PackId) -> PackId | None:
            key = (repo, commit, pack)
            if key not in self._known:
                self._known[key] = self._find(*key)
            return self._known[key]

        return find

    def _find(self, repo: str, commit: CommitId, pack: PackId) -> PackId | None:
        try:
            record = self._store.objects.record(pack, repo, commit)
        except MissingObjectError:  # a place that was wrong before: readers get along by the record's id
            return None
        place = self._store.index.find([id_of(record)], to_keep=True)[0]
        home = None if place is None else self._store.index.pack(place.pack_no)[0]
        return None if home in self._condemned else home
