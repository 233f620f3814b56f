"""How much of each pack is live: the footers of all packs, joined with what marking found.

An id that lies in several packs counts in one of them, its home: the place that the index names, since readers go there
and what was found damaged elsewhere was stored again there; else the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pfs.backends.base import Entry
from pfs.errors import ArchivedError, CorruptionError, NotFoundError
from pfs.gc.idset import IdSet, Scratch, prefixes
from pfs.ids import PackId
from pfs.packs.pack import ENTRY_ROW, PackKind, SealedPack, parse_pack_name, read_footer
from pfs.parallel import at_once

if TYPE_CHECKING:
    from pfs.store import Store

_TRAILER: Final = 64
_NONE: Final = np.empty(0, np.uint64)
DOUBLES: Final = 1 << 21
"""Entries whose id lies in several packs that are looked at in one collection; of the others all are kept."""
_DOUBLE: Final = np.dtype([("id", "V32"), ("pack", "<u4"), ("size", "<i8")])


@dataclass(frozen=True, slots=True)
class PackFacts:
    """A pack: its object, and how much of it is live. Sizes in bytes; ``modified_ns`` by the store's clock."""

    pack: PackId
    kind: PackKind
    name: str
    size: int
    modified_ns: int
    entries: int
    live_entries: int
    live_bytes: int
    """Records of live objects with their headers and footer entries; of blocks the live part."""
    shred: bool = False
    """Whether something that was purged lies in it, dead."""
    storage_class: str = ""
    """In which class it is, since ``modified_ns``; empty for the standard one."""

    @property
    def dead_bytes(self) -> int:
        """What of it nothing leads to; headers and trailers of packs are nobody's."""
        return max(self.size - self.live_bytes - _TRAILER - 32, 0)


@dataclass(frozen=True, slots=True)
class Survey:
    """All packs, by name; ``elsewhere``: of some packs the live ids whose home is another.

    ``damaged``: packs whose frame cannot be read; what they hold is not known, and they are to be left alone.
    """

    packs: tuple[PackFacts, ...]
    elsewhere: Mapping[PackId, frozenset[bytes]]
    damaged: tuple[str, ...] = ()

    @property
    def live_bytes(self) -> int:
        """Bytes of everything that is live, each object once."""
        return sum(facts.live_bytes for facts in self.packs)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all packs."""
        return sum(facts.size for facts in self.packs)


def survey(
    store: Store,
    listed: Sequence[Entry],
    live: IdSet,
    *,
    scratch: Scratch,
    alive: Callable[[], None] = lambda: None,
    purged: npt.NDArray[np.uint64] = _NONE,
) -> Survey:
    """Return the facts of the packs in a listing of ``packs/``; those that are gone by now are left out.

    ``purged``: the sorted prefixes of what is not to stay in any pack where it is dead.

    Reads every footer, twice where ids lie in several packs. Memory: 200 bytes a pack, 8 a live id or disk for it.
    Raises StorageError.
    """
    facts, taken, doubles, damaged = list[PackFacts](), IdSet(scratch), IdSet(scratch), list[str]()
    for entry, pack in footers(store, listed, damaged):
        alive()
        ids = prefixes(pack.entries["id"])
        is_live = live.contains(ids)
        mine = ids[is_live]
        again = taken.contains(mine)
        doubles.add(mine[again])
        taken.add(mine[~again])
        size = int(entry_bytes(pack)[is_live].sum())
        facts.append(
            PackFacts(
                pack.pack_id,
                pack.kind,
                entry.name,
                pack.size,
                entry.modified_ns,
                len(ids),
                len(mine),
                size,
                bool(np.isin(ids[~is_live], purged).any()) if len(purged) else False,
                entry.storage_class,
            )
        )
    found = _settle(store, listed, facts, doubles) if len(doubles) else Survey(tuple(facts), {})
    return replace(found, damaged=tuple(damaged))


def footers(store: Store, listed: Sequence[Entry], damaged: list[str]) -> Iterator[tuple[Entry, SealedPack]]:
    """Yield the footer of each pack of a listing that is still there; note the names of the damaged ones."""

    def read(entry: Entry) -> SealedPack | None:
        try:
            return read_footer(store.backend, entry.name, size=entry.size)
        except (NotFoundError, ArchivedError):
            return None  # gone, or archived by another program than pfs: left alone
        except CorruptionError:
            damaged.append(entry.name)
            return None

    packs = [entry for entry in listed if parse_pack_name(entry.name) is not None]
    for entry, pack in zip(packs, at_once(store.backend.parallel, read, packs), strict=True):
        if pack is not None:
            yield entry, pack


def record_spans(pack: SealedPack) -> Iterator[tuple[int, int, npt.NDArray[np.intp]]]:
    """Yield where each record of a pack begins, its length with what lies behind it, and the rows of its entries."""
    if not len(pack.entries):
        return
    starts, where, lengths = _records(pack)
    order = np.argsort(where, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(where[order])) + 1)
    yield from zip(starts.tolist(), lengths.tolist(), rows, strict=True)


def _records(pack: SealedPack) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return where records begin, which of these each entry is in, and their lengths."""
    starts, where = np.unique(pack.entries["off"], return_inverse=True)
    end = pack.size - _TRAILER - len(pack.footer)
    lengths: npt.NDArray[np.int64] = np.append(starts.astype(np.int64)[1:], end) - starts
    return starts, where, lengths


def entry_bytes(pack: SealedPack) -> npt.NDArray[np.int64]:
    """Return what each entry takes in its pack, footer included; of a block each chunk's part by plain size."""
    entries = pack.entries
    starts, where, lengths = _records(pack)
    plain = np.bincount(where, weights=entries["ulen"], minlength=len(starts))
    shares = entries["ulen"] / np.maximum(plain[where], 1)
    sizes: npt.NDArray[np.int64] = np.ceil(shares * lengths[where]).astype(np.int64) + ENTRY_ROW.size
    return sizes


def _settle(store: Store, listed: Sequence[Entry], facts: list[PackFacts], doubles: IdSet) -> Survey:
    """Give each id that lies in several packs one home."""
    numbers = {known.pack: number for number, known in enumerate(facts)}
    rows = _double_rows(store, listed, numbers, doubles)
    homes = _homes(store, rows, facts)
    away = rows[homes != rows["pack"]]
    elsewhere: dict[PackId, set[bytes]] = {}
    lost = np.zeros((len(facts), 2), np.int64)
    for id, number, size in away.tolist():
        elsewhere.setdefault(facts[number].pack, set()).add(id)
        lost[number] += 1, size
    changed = [
        replace(known, live_entries=known.live_entries - count, live_bytes=known.live_bytes - size)
        for known, (count, size) in zip(facts, lost.tolist(), strict=True)
    ]
    return Survey(tuple(changed), {pack: frozenset(ids) for pack, ids in elsewhere.items()})


def _double_rows(
    store: Store, listed: Sequence[Entry], numbers: Mapping[PackId, int], doubles: IdSet
) -> npt.NDArray[np.void]:
    """Return the entries whose prefix lies in several packs, sorted by id; some are left out beyond `DOUBLES`."""
    found, room = [np.empty(0, _DOUBLE)], DOUBLES
    for _, pack in footers(store, listed, []):
        if pack.pack_id not in numbers:
            continue
        twice = doubles.contains(prefixes(pack.entries["id"]))
        ids, first = np.unique(pack.entries["id"][twice], return_index=True)
        rows = np.empty(len(ids), _DOUBLE)
        rows["id"], rows["pack"], rows["size"] = ids, numbers[pack.pack_id], entry_bytes(pack)[twice][first]
        found.append(rows[:room])
        room -= len(found[-1])
    joined = np.concatenate(found)
    return joined[np.argsort(joined["id"], kind="stable")]


def _homes(store: Store, rows: npt.NDArray[np.void], facts: Sequence[PackFacts]) -> npt.NDArray[np.int64]:
    """Return for each row the number of the pack that is the home of its id."""
    ids, starts, counts = np.unique(rows["id"], return_index=True, return_counts=True)
    newest = [
        max(rows["pack"][start : start + count].tolist(), key=lambda number: facts[number].pack)
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True)
    ]
    numbers = {known.pack: number for number, known in enumerate(facts)}
    for at, place in enumerate(store.index.find(ids.tolist())):
        named = None if place is None else numbers.get(store.index.pack(place.pack_no)[0])
        if named is not None and named in rows["pack"][starts[at] : starts[at] + counts[at]]:
            newest[at] = named
    return np.repeat(np.array(newest, np.int64), counts)
