"""fsck: is everything that commits need there, and whole?

Packs first (frames and index rows; with ``deep`` every byte), then from refs through commit records and tree
pages to every chunk. Reads only, but for telling the index of packs it did not know. Damage to shared things
names the commits and paths that need them. What nothing refers to may be damaged without harm, and is reported
all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.check_packs import check_packs
from pfs.check_tree import TreeCheck
from pfs.damage import Damage, DamageKind, Damages, Taint
from pfs.edges import effective
from pfs.errors import CorruptionError, InvalidInputError, StorageError
from pfs.ids import CommitId, PackId
from pfs.refs import RefsState, refs_name
from pfs.refs_body import OpenEntry

if TYPE_CHECKING:
    from pfs.progress import Progress
    from pfs.store import Store

__all__ = ["Damage", "DamageKind", "fsck"]


def fsck(store: Store, *, deep: bool = False, progress: Progress | None = None) -> Iterator[Damage]:
    """Yield every damage found, once the check is over.

    Without ``deep``: O(objects) of index look-ups and all tree pages; with it, every byte of every pack is read and
    hashed too. Works beside writers: what they add meanwhile is not looked at, or found whole.
    """
    damages = Damages()
    states = list(_states(store, damages))  # before the packs: whatever these need is in a pack by now
    packs = check_packs(store, damages, deep=deep, progress=progress)
    trees = TreeCheck(store, packs, damages)
    for state in states:
        for commit, entry in state.body.open.items():
            _check_open(trees, damages, f"{state.repo}@{commit}", entry)
        _check_history(store, trees, damages, state)
    yield from damages


def _states(store: Store, damages: Damages) -> Iterator[RefsState]:
    for name in list(store.refs.names()):
        try:
            state = store.refs.find(name)
        except (CorruptionError, InvalidInputError, StorageError) as error:
            damages.add("refs", refs_name(name), str(error))
            continue
        if state is not None:
            yield state


def _check_open(trees: TreeCheck, damages: Damages, place: str, entry: OpenEntry) -> None:
    damages.affect(trees.check(entry.tree_root()), place)


def _check_history(store: Store, trees: TreeCheck, damages: Damages, state: RefsState) -> None:
    """Check every commit that the refs lead to, by all parents."""
    todo, seen = list(state.body.heads().items()), set[CommitId]()
    while todo:
        commit, pack = todo.pop()
        if commit in seen:
            continue
        seen.add(commit)
        place = f"{state.repo}@{commit}"
        try:
            record = store.objects.record(pack, commit)
        except (CorruptionError, StorageError) as error:
            _lost_record(damages, place, str(error))
            continue
        todo += effective(state.body, record).parents_in(PackId(pack))
        damages.affect(trees.check(record.tree_root()), place)


def _lost_record(damages: Damages, place: str, reason: str) -> None:
    damages.affect([Taint(damages.add("commit", f"commit {place}", reason), b"")], place)
