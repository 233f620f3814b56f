"""fsck: is everything that commits need there, and whole?

Packs first (frames and index rows; with ``deep`` every byte), then from refs through commit records and tree
pages to every chunk, and from the packs back: commits whose repo has no refs at all mean that these were lost. Rows of
the index are compared with what packs and refs say. Changes nothing but the index: packs that it did not know are
added, and rows of damaged records go, so that what they held can be put again. Damage to shared things names the
commits and paths that need them. What nothing refers to may be damaged without harm, and is reported all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.errors import CorruptionError, InvalidInputError, StorageError
from pfs.ids import CommitId
from pfs.packs.commit_record import RecordLink
from pfs.refs.body import OpenEntry
from pfs.refs.collection import GC_STATE
from pfs.refs.edges import effective, record_homes
from pfs.refs.read import RefsState, refs_name
from pfs.refs.renew import lost_detail
from pfs.refs.transactions import object_name
from pfs.transactions.roots import StagedRoot, roots_in
from pfs.upkeep.check_lost import check_lost_refs
from pfs.upkeep.check_packs import Packs, check_packs, forget_damaged
from pfs.upkeep.check_provenance import check_provenance
from pfs.upkeep.check_rows import CommitRows
from pfs.upkeep.check_tree import TreeCheck
from pfs.upkeep.damage import Damage, DamageKind, Damages, Taint, reason

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

__all__ = ["Damage", "DamageKind", "fsck"]


_ROUNDS = 3
"""Checks beside collections that move what is looked at."""


def fsck(store: Store, *, deep: bool = False, progress: Progress | None = None) -> Iterator[Damage]:
    """Yield every damage found, once the check is over.

    Without ``deep``: O(objects) of index look-ups and all tree pages; with it, every byte of every pack is read and
    hashed too. Works beside writers: what they add meanwhile is not looked at, or found whole. When something was
    missing and a collection moved things meanwhile, the check is made again.
    """
    for _ in range(_ROUNDS):
        damages = Damages()
        seen_gen = _level(store, damages)
        _check_all(store, damages, deep=deep, progress=progress)
        if not damages or _level(store, damages) == seen_gen:
            break
    yield from damages


def _level(store: Store, damages: Damages) -> int | None:
    """Take collected packs out of the index, lest they are missed; return the generation of collection."""
    try:
        lost = lost_detail(store.backend, store.refs)
        if lost is None:
            return store.history.forget_gone()
        damages.add("collection", GC_STATE, f"{lost}: nothing can be put until you run `pfs recover`")
    except CorruptionError as error:
        damages.add("collection", GC_STATE, f"{reason(error)}: run `pfs recover`")
    return None


def _check_all(store: Store, damages: Damages, *, deep: bool, progress: Progress | None) -> None:
    states = list(_states(store, damages))  # before the packs: whatever these need is in a pack by now
    staged = list(_staged(store, damages))
    packs = check_packs(store, damages, deep=deep, progress=progress)
    trees = TreeCheck(store, packs, damages)
    for state in states:
        for commit, entry in state.body.open.items():
            _check_open(trees, damages, f"{state.repo}@{commit}", entry)
        _check_history(store, trees, packs, state)
    for one in staged:
        damages.affect(trees.check(one.root), f"{one.repo}@{one.commit}, in transaction {one.transaction}")
    check_lost_refs(store, packs, states, damages)
    check_provenance(store, damages)
    forget_damaged(store, packs, deep=deep)


def _states(store: Store, damages: Damages) -> Iterator[RefsState]:
    for name in list(store.refs.names()):
        try:
            state = store.refs.find(name)
            if state is not None:
                record_homes(state.body)  # reads every object with facts that refs name
        except (CorruptionError, InvalidInputError, StorageError) as error:
            damages.add("refs", refs_name(name), reason(error, where=False))
            continue
        if state is not None:
            yield state


def _staged(store: Store, damages: Damages) -> Iterator[StagedRoot]:
    """Yield the trees that transactions hold which are not finished."""
    for id in list(store.refs.transactions.ids()):
        try:
            yield from roots_in(store.refs.transactions.find(id))
        except (CorruptionError, InvalidInputError, StorageError) as error:
            damages.add("transaction", object_name(id), reason(error, where=False))


def _check_open(trees: TreeCheck, damages: Damages, place: str, entry: OpenEntry) -> None:
    damages.affect(trees.check(entry.tree_root()), place)


def _check_history(store: Store, trees: TreeCheck, packs: Packs, state: RefsState) -> None:
    """Check every commit that the refs lead to, by all parents, and note it as walked."""
    damages, rows = trees.damages, CommitRows(store, state, trees.damages)
    todo, seen = _named(store, damages, state), set[CommitId]()
    linked = store.history.linked(state.repo)
    while todo:
        link = todo.pop()
        if link.commit in seen:
            continue
        seen.add(link.commit)
        place = f"{state.repo}@{link.commit}"
        try:
            found = linked.read(state.body, link)
        except (CorruptionError, StorageError) as error:
            _lost_record(damages, place, reason(error))
            continue
        packs.walked[found.pack] += 1
        rows.check(found)
        todo += effective(state.body, found.record).parents_in(found.pack)
        damages.affect(trees.check(found.record.tree_root()), place)


def _named(store: Store, damages: Damages, state: RefsState) -> list[RecordLink]:
    """Return what the refs name, with the packs of the records; what they name without a pack must be known."""
    body = state.body
    named = record_homes(body) | body.heads()
    branches = [*body.branches.values(), *body.tags.values(), *(entry.branch for entry in body.trash.values())]
    bare = {entry.head for entry in branches}
    bare |= {commit for entry in body.open.values() for commit in (entry.parent, entry.onto)}
    for commit in sorted(id for id in bare if id is not None and id not in named):
        if not _is_known(store, state.repo, commit):
            _lost_record(damages, f"{state.repo}@{commit}", "refs name it, and its record is in no pack")
    return [RecordLink(commit, pack) for commit, pack in named.items()]


def _is_known(store: Store, repo: str, commit: CommitId) -> bool:
    try:
        return store.history.find(repo, commit) is not None
    except CorruptionError:
        return False


def _lost_record(damages: Damages, place: str, reason: str) -> None:
    damages.affect([Taint(damages.add("commit", f"commit {place}", reason), None)], place)
