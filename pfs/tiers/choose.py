"""Which data packs are cold: what lives in them only old commits have.

A commit is a whole snapshot, so a file that nobody changed for years is young as long as a young commit has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pfs.backends.base import Entry
from pfs.backends.classes import ARCHIVES, STANDARD, is_settled
from pfs.gc.collector import load_all
from pfs.gc.condemn import DEAD_SHARE
from pfs.gc.idset import IdSet, Scratch, prefixes
from pfs.gc.mark import Marker
from pfs.gc.roots import add_roots
from pfs.gc.survey import entry_bytes, footers
from pfs.ids import CommitId
from pfs.packs.commit_record import CommitRecord
from pfs.packs.lease import leased_packs
from pfs.packs.pack import parse_pack_name
from pfs.refs.body import RefsBody
from pfs.refs.level import level
from pfs.refs.tiering import Rule

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

DATA: Final = "packs/d/"
SMALLEST: Final = 128 << 10
"""Cold classes bill smaller objects as if they had this size."""


@dataclass(frozen=True, slots=True)
class Choice:
    """``move``: the packs that are to go; of the others how many young commits need, or are left for other reasons."""

    move: tuple[Entry, ...]
    needed: int = 0
    there: int = 0
    left: int = 0


def choose(
    store: Store,
    rule: Rule,
    *,
    scratch: Scratch,
    progress: Progress | None = None,
    alive: Callable[[], None] = lambda: None,
) -> Choice:
    """Return what is to be moved; one read of every page, and of footers of data packs at most two.

    Left where they are: packs that collection may delete or write again, leased ones, those under 128 KiB, archived
    ones, and those that were not in their present class for the time that it bills at least. Memory: as `Marker`.

    Raises:
        CorruptionError: something live is damaged, so what it leads to is not known.
        StorageError: a pack cannot be read.
    """
    level(store.backend, store.index)
    listed = list(store.backend.entries(DATA))  # before the roots: what comes later is not looked at
    there = [entry for entry in listed if (entry.storage_class or STANDARD) == rule.storage_class]
    free = _free(store, [entry for entry in listed if (entry.storage_class or STANDARD) != rule.storage_class])
    marker, states = Marker(store.objects, scratch, progress=progress, alive=alive), load_all(store)
    add_roots(store, marker, states, wanted=_young(store, rule))
    marker.walk()
    cold = _without(store, free, marker.live)
    add_roots(store, marker, states)
    marker.walk()
    full = _full(store, cold, marker.live)
    move = tuple(entry for entry in cold if entry.name in full)
    left = len(listed) - len(there) - len(free) + len(cold) - len(move)
    return Choice(move, needed=len(free) - len(cold), there=len(there), left=left)


def _free(store: Store, entries: Sequence[Entry]) -> list[Entry]:
    now_ns = store.clock_ns()
    kept = store.index.condemned_since(0) | leased_packs(store.backend, now_ns=now_ns, tidy=False)

    def is_free(entry: Entry) -> bool:
        parsed = parse_pack_name(entry.name)
        settled = is_settled(entry.storage_class, entry.modified_ns, now_ns)
        movable = settled and entry.storage_class not in ARCHIVES
        return parsed is not None and parsed[0] not in kept and movable and entry.size >= SMALLEST

    return [entry for entry in entries if is_free(entry)]


def _young(store: Store, rule: Rule) -> Callable[[RefsBody, CommitRecord], bool]:
    """Return what says whether a commit keeps its data where it is; heads do as to archives, unless the rule says."""
    since_ns = store.clock_ns() - rule.older_ns
    heads_stay = rule.storage_class in ARCHIVES and not rule.heads
    heads: dict[int, tuple[RefsBody, frozenset[CommitId]]] = {}  # with the body, so that no other gets its number

    def is_young(body: RefsBody, record: CommitRecord) -> bool:
        if record.finished_ns > since_ns or not heads_stay:
            return record.finished_ns > since_ns
        if id(body) not in heads:
            named = (entry.head for entry in body.branches.values())
            heads[id(body)] = (body, frozenset(head for head in named if head is not None))
        return record.id in heads[id(body)][1]

    return is_young


def _without(store: Store, entries: Sequence[Entry], live: IdSet) -> list[Entry]:
    """Return the packs in which nothing of a set lies."""
    found = ((entry, live.contains(prefixes(pack.entries["id"]))) for entry, pack in footers(store, entries, []))
    return [entry for entry, is_live in found if not is_live.any()]


def _full(store: Store, entries: Sequence[Entry], live: IdSet) -> set[str]:
    """Return the names of the packs that collection would leave as they are."""
    found = set[str]()
    for entry, pack in footers(store, entries, []):
        size = int(entry_bytes(pack)[live.contains(prefixes(pack.entries["id"]))].sum())
        if size and pack.size - size < DEAD_SHARE * pack.size:
            found.add(entry.name)
    return found
