"""Sweeping: which condemned packs may go after all, and taking them away.

A condemned pack stays when something in it came to life before the fence and lies nowhere else, or when refs name it.
It stays on its list all the same: no writer relies on it while the list is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pfs.backends.base import Entry
from pfs.errors import ArchivedError, CorruptionError, NotFoundError
from pfs.gc.idset import IdSet, prefixes
from pfs.gc.survey import footers
from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import decode_record
from pfs.packs.condemned import Condemned
from pfs.packs.footer import SHELF, shelved_pack
from pfs.packs.pack import PackKind, RecordType, SealedPack, pack_name, parse_pack_name, read_footer
from pfs.parallel import at_once

if TYPE_CHECKING:
    from pfs.store import Store

WANTED: Final = 1 << 21
"""Live ids of condemned packs that are looked for elsewhere in one reading of all footers."""
_DELETED: Final = 1000
"""Packs deleted in one call: as many as a request to S3 takes."""
_FORGOTTEN: Final = 1 << 21
"""Ids of packs that go in one call, of 32 bytes each, unless it is one pack that has more."""

Alive = Callable[[], None]


def kept_packs(
    store: Store, condemned: Condemned, live: IdSet, *, named: AbstractSet[PackId], alive: Alive
) -> set[PackId]:
    """Return the condemned packs that must stay.

    Whatever lives on elsewhere is found there by the index of this machine afterwards. A pack whose frame is damaged by
    now stays: what it holds is not known. Memory: 40 bytes a live id of condemned packs, 80 MiB at most. Raises
    StorageError.
    """
    listed = list(store.backend.entries("packs/"))
    others = [entry for entry in listed if _pack_of(entry) not in condemned]
    there, readable = {_pack_of(entry) for entry in listed}, {pack.pack_id for pack in _footers(store, condemned)}
    kept = {pack for pack in condemned if pack in named or (pack in there and pack not in readable)}
    for group in _groups(_live_in(store, condemned, live)):
        kept |= _without_home(store, others, group)
        alive()
    return kept


def move_commits(store: Store, condemned: Condemned) -> None:
    """Let the index say where commit records of condemned packs are now, as far as they are elsewhere.

    To be done before the fence: whoever changes refs after it takes places of records from the index.
    """
    moves: list[tuple[str, CommitId, PackId, PackId]] = []
    for pack in _footers(store, condemned):
        name = pack_name(pack.pack_id, pack.kind)
        for entry in pack.entries[pack.entries["type"] == RecordType.COMMIT]:
            place = store.index.find([entry["id"].tobytes()], to_keep=True)[0]
            if place is not None:
                home = store.index.pack(place.pack_no)[0]
                record = decode_record(store.objects.record_at(name, int(entry["off"])).payload, where=name)
                moves.append((record.repo, record.id, pack.pack_id, home))
    store.index.move_commits(moves)


def sweep(store: Store, condemned: Condemned, kept: AbstractSet[PackId], *, alive: Alive) -> list[PackId]:
    """Delete the condemned packs but those that are kept; return them. ``alive`` is called before each deletion."""
    doomed = [(pack, kind) for pack, kind in sorted(condemned.items()) if pack not in kept]
    for batch, ids in _batches(store, doomed):
        alive()
        store.backend.delete_many([pack_name(pack, kind) for pack, kind in batch])
        _forget(store, {pack for pack, _ in batch}, ids)
    return [pack for pack, _ in doomed]


_Doomed = list[tuple[PackId, PackKind]]


def _batches(store: Store, doomed: _Doomed) -> Iterator[tuple[_Doomed, list[npt.NDArray[np.void]]]]:
    """Yield packs to be deleted in one call, and the ids that each has as far as it can be read."""
    batch: _Doomed = []
    ids, size = list[npt.NDArray[np.void]](), 0
    for at in range(0, len(doomed), store.backend.parallel):
        few = doomed[at : at + store.backend.parallel]
        found = {pack.pack_id: pack.entries["id"] for pack in _footers(store, dict(few))}
        for pack, kind in few:
            batch.append((pack, kind))
            if pack in found:
                ids.append(found[pack])
                size += len(found[pack])
            if len(batch) == _DELETED or size >= _FORGOTTEN:
                yield batch, ids
                batch, ids, size = [], [], 0
    if batch:
        yield batch, ids


def remove_shelved(store: Store) -> None:
    """Delete copies of footers whose packs are gone."""
    shelved = {entry.name: shelved_pack(entry.name) for entry in store.backend.entries(SHELF)}
    if shelved:
        there = {_pack_of(entry) for entry in store.backend.entries("packs/d/")}
        store.backend.delete_many([name for name, pack in shelved.items() if pack not in there])


def _forget(store: Store, gone: AbstractSet[PackId], columns: Sequence[npt.NDArray[np.void]]) -> None:
    """Take the rows of deleted packs out of the index, as far as they have no other place by now."""
    for pack in gone:
        store.index.mark_gone(pack)
    for column in columns:
        store.index.forget(column.tolist(), gone)


def _footers(store: Store, condemned: Mapping[PackId, str]) -> Iterator[SealedPack]:
    """Yield the footers of the condemned packs that are still there, and whole."""

    def read(name: str) -> SealedPack | None:
        try:
            return read_footer(store.backend, name)
        except (NotFoundError, CorruptionError, ArchivedError):
            return None

    names = [pack_name(pack, "d" if kind == "d" else "m") for pack, kind in sorted(condemned.items())]
    yield from (pack for pack in at_once(store.backend.parallel, read, names) if pack is not None)


def _live_in(store: Store, condemned: Condemned, live: IdSet) -> Iterator[tuple[PackId, npt.NDArray[np.void]]]:
    for pack in _footers(store, condemned):
        ids = pack.entries["id"]
        found = ids[live.contains(prefixes(ids))]
        if len(found):
            yield pack.pack_id, found


_Group = list[tuple[PackId, npt.NDArray[np.void]]]


def _groups(packs: Iterator[tuple[PackId, npt.NDArray[np.void]]]) -> Iterator[_Group]:
    group, size = list[tuple[PackId, npt.NDArray[np.void]]](), 0
    for pack, ids in packs:
        group.append((pack, ids))
        size += len(ids)
        if size >= WANTED:
            yield group
            group, size = [], 0
    if group:
        yield group


def _without_home(store: Store, others: Sequence[Entry], group: _Group) -> set[PackId]:
    """Return the packs of the group with an id that is in none of the others."""
    wanted = np.unique(np.concatenate([ids for _, ids in group]))
    found = np.zeros(len(wanted), np.bool_)
    for _, pack in footers(store, others, []):
        ids = pack.entries["id"]
        places = np.searchsorted(wanted, ids)
        places[places == len(wanted)] = 0
        here = wanted[places] == ids
        if here.any():
            found[places[here]] = True
            store.index.refill([pack._replace(footer=pack.entries[here].tobytes())])
    return {pack for pack, ids in group if not found[np.searchsorted(wanted, ids)].all()}


def _pack_of(entry: Entry) -> PackId | None:
    parsed = parse_pack_name(entry.name)
    return None if parsed is None else parsed[0]
