"""Moving cold packs to another storage class, and back: what `pfs tier` does, and upkeep where there is a rule.

A pack keeps its name and bytes, so nobody has to be told. What is cut off is done by the next one: each pack is moved
by one request that does all or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pfs.backends.base import Entry
from pfs.backends.classes import ARCHIVES, STANDARD
from pfs.errors import InvalidInputError, NotFoundError
from pfs.gc.idset import Scratch
from pfs.packs.footer import shelve
from pfs.packs.tiers import note_tiers
from pfs.parallel import at_once
from pfs.refs.tiering import Rule
from pfs.tiers.choose import DATA, Choice, choose

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

_BATCH: Final = 64
_SCRATCH: Final = "tmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiered:
    """What was moved, or would be; ``needed``: packs that young commits need; ``left``: for other reasons."""

    storage_class: str
    packs: int
    bytes: int
    needed: int
    there: int
    left: int
    dry_run: bool = False


def tier(
    store: Store,
    rule: Rule,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    alive: Callable[[], None] = lambda: None,
) -> Tiered:
    """Move data packs to the class of the rule, beside writers, readers and collectors; return what was done.

    To STANDARD: all packs come back that are in no archive. Else those go that only commits older than ``older_ns``
    need. Before a pack goes to an archive a copy of its footer is made, by which collection and recovery know it.
    ``alive`` is called now and then, and may raise to end it early. Two requests a pack, three reads more for archives.

    Raises:
        InvalidInputError: the objects are on a disk.
        CorruptionError: something live is damaged.
        StorageError: the bucket cannot do it; what was moved stays so.
    """
    if store.backend.parallel == 1:
        raise InvalidInputError("this store is on a disk, which has one storage class: only buckets have others")
    note_tiers(store.index, list(store.backend.entries(DATA)))
    choice = _choose(store, rule, progress=progress, alive=alive)
    moved = choice.move if dry_run else tuple(_move(store, rule.storage_class, choice.move, progress, alive))
    return Tiered(
        storage_class=rule.storage_class,
        packs=len(moved),
        bytes=sum(entry.size for entry in moved),
        needed=choice.needed,
        there=choice.there,
        left=choice.left,
        dry_run=dry_run,
    )


def _choose(store: Store, rule: Rule, *, progress: Progress | None, alive: Callable[[], None]) -> Choice:
    if rule.storage_class != STANDARD:
        with Scratch(store.path / _SCRATCH) as scratch:
            return choose(store, rule, scratch=scratch, progress=progress, alive=alive)
    listed = list(store.backend.entries(DATA))
    away = [entry for entry in listed if entry.storage_class]
    move = tuple(entry for entry in away if entry.storage_class not in ARCHIVES)
    return Choice(move, there=len(listed) - len(away), left=len(away) - len(move))


def _move(
    store: Store,
    storage_class: str,
    entries: tuple[Entry, ...],
    progress: Progress | None,
    alive: Callable[[], None],
) -> list[Entry]:
    moved = list[Entry]()
    if progress is not None:
        progress.total(len(entries), sum(entry.size for entry in entries))
    for at in range(0, len(entries), _BATCH):
        alive()
        batch = {entry.name: entry for entry in entries[at : at + _BATCH]}
        names = list(batch)
        if storage_class in ARCHIVES:
            kept = at_once(store.backend.parallel, partial(_shelve, store), names)
            names = [name for name, is_kept in zip(names, kept, strict=True) if is_kept]
        done = [batch[name] for name in store.backend.set_tier(names, storage_class)]
        note_tiers(store.index, [Entry(one.name, one.size, one.modified_ns, "", storage_class) for one in done])
        moved += done
        if progress is not None:
            progress.advance(files=len(done), size=sum(one.size for one in done))
    return moved


def _shelve(store: Store, name: str) -> bool:
    try:
        shelve(store.backend, name)
    except NotFoundError:
        return False  # collected meanwhile
    return True
