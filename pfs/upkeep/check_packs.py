"""The first half of a check: every pack by itself, and the index against the packs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pfs.backends.base import Entry, Reads
from pfs.errors import ArchivedError, CorruptionError, IndexDamagedError, NotFoundError, StorageError
from pfs.ids import PackId, chunk_id
from pfs.packs.index_rows import IN_BLOCK, Location
from pfs.packs.pack import Codec, Record, RecordType, SealedPack, pack_name, parse_pack_name, read_footer, scan_records
from pfs.parallel import at_once
from pfs.upkeep.check_segments import SegmentCheck
from pfs.upkeep.damage import Damages, reason

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

_IDS = 16_384
"""Ids looked up in the index at once."""
_SHOWN = 4
"""Ids named in a message."""


@dataclass(slots=True)
class Packs:
    """What is known of the packs: which are whole, and where in them damaged records begin."""

    whole: set[PackId] = field(default_factory=set)
    bad_places: dict[tuple[PackId, int], str] = field(default_factory=dict)
    """(pack, offset of the record) to the name of the damage."""
    bad_entries: dict[tuple[PackId, int], list[_Entry]] = field(default_factory=dict)
    """The same places, with what the records should hold."""
    bad_ids: dict[bytes, str] = field(default_factory=dict)
    """What they should hold, by id, to the name of the damage."""
    broken: list[str] = field(default_factory=list)
    """Packs with a damaged frame."""
    meta: set[PackId] = field(default_factory=set)
    commits: dict[PackId, list[int]] = field(default_factory=dict)
    """Where in each meta pack commit records begin."""
    walked: Counter[PackId] = field(default_factory=Counter)
    """How many commits that refs lead to have their record in each meta pack."""
    wrong_rows: dict[bytes, str] = field(default_factory=dict)
    """Ids whose row in the index is wrong, to the name of the damage."""
    elsewhere: dict[int, dict[bytes, Location]] = field(default_factory=dict)
    """Rows of ids of one pack that name another, by the number of that: both may have it."""


class _Entry(NamedTuple):
    """A footer entry."""

    id: bytes
    offset: int
    clen: int
    ulen: int
    type: int
    codec: int

    @property
    def location(self) -> tuple[int, int, int]:
        """Offset, stored size or place in the block, and type, as the index has them."""
        return self.offset, self.clen, IN_BLOCK if self.codec == Codec.IN_BLOCK else self.type

    def is_in(self, record: Record) -> bool:
        """Say whether a record whose own id was verified holds this object."""
        if self.codec != Codec.IN_BLOCK:
            return record.id == self.id
        return chunk_id(record.payload[self.clen : self.clen + self.ulen]) == self.id


def check_packs(store: Store, damages: Damages, *, deep: bool, progress: Progress | None) -> Packs:
    """Look at every pack: its frame and its index rows; with ``deep`` read and hash every record.

    Packs that the index does not know are added to it: that it lags is no damage. Records without rows are read without
    ``deep`` too: somebody found them damaged, most likely.
    """
    packs, entries = Packs(), list(store.backend.entries("packs/"))
    segments = SegmentCheck(store, damages, deep=deep)
    if progress is not None:
        progress.total(len(entries), sum(entry.size for entry in entries))
    read = partial(_read_footer, store)
    for entry, footer in zip(entries, at_once(store.backend.parallel, read, entries), strict=True):
        if isinstance(footer, str):
            damages.add("pack", entry.name, footer)
        if isinstance(footer, SealedPack):
            packs.whole.add(footer.pack_id)
            packs.meta |= {footer.pack_id} if footer.kind == "m" else set()
            commits = footer.entries["off"][footer.entries["type"] == RecordType.COMMIT].tolist()
            if commits:
                packs.commits[footer.pack_id] = commits
            store.index.add([footer])
            segments.check(footer)
            _check_pack(store, damages, packs, footer, deep=deep)
        elif parse_pack_name(entry.name) is not None:
            packs.broken.append(entry.name)
        if progress is not None:
            progress.advance(files=1, size=entry.size)
    _check_elsewhere(store, damages, packs)
    _report_records(store, damages, packs)
    return packs


def forget_damaged(store: Store, packs: Packs, *, deep: bool) -> None:
    """Take the index rows of damaged records away, so that what they held can be stored again.

    Rows of packs that are gone may stay: writers do not rely on them. Of packs with a damaged frame it takes ``deep``
    to know which records are whole.
    """
    rows: list[tuple[bytes, Location]] = []
    for (pack, offset), entries in packs.bad_entries.items():
        ids = [entry.id for entry in entries]
        for id, place in zip(ids, store.index.find(ids), strict=True):
            if place is not None and place.offset == offset and store.index.pack(place.pack_no)[0] == pack:
                rows.append((id, place))
    if deep and packs.broken:
        whole = {_pack_id(name): {at for at, _ in scan_records(store.backend, name)} for name in packs.broken}
        known = store.index.rows_of(list(whole))
        rows += [row for pack, found in known.items() for row in found if row[1].offset not in whole[pack]]
    with suppress(StorageError):  # a disk that is full or read-only does not make the report wrong
        store.index.drop(rows)


def _pack_id(name: str) -> PackId:
    parsed = parse_pack_name(name)
    assert parsed is not None, "only packs are collected"
    return parsed[0]


def _read_footer(store: Store, entry: Entry) -> SealedPack | str | None:
    """Return the footer of a pack, or what is wrong with it; None for what has no pack's name."""
    if parse_pack_name(entry.name) is None:
        return None
    try:
        footer = read_footer(store.backend, entry.name)
    except (CorruptionError, StorageError) as error:
        return reason(error, where=False)
    if footer.size != entry.size:
        return f"it has {entry.size} bytes, its trailer says {footer.size}"
    return footer


def _check_pack(store: Store, damages: Damages, packs: Packs, pack: SealedPack, *, deep: bool) -> None:
    name, unindexed = pack_name(pack.pack_id, pack.kind), _check_rows(store, damages, packs, pack)
    bad = _damaged_records(store.backend, name, pack) if deep else None
    if bad is None:
        bad = _damaged_places(store, name, unindexed)
    for offset, entries in bad.items():
        packs.bad_entries[pack.pack_id, offset] = entries
    _add_index_damage(damages, packs, [entry.id for entry in unindexed if entry.offset not in bad], name)


def _check_rows(store: Store, damages: Damages, packs: Packs, pack: SealedPack) -> list[_Entry]:
    """Compare the footer with the index rows that point into this pack; return the entries without a row.

    Rows that point elsewhere are noted.
    """
    unindexed, unequal = list[_Entry](), dict[bytes, Location]()
    for start in range(0, len(pack.entries), _IDS):
        entries = _entries(pack, start, start + _IDS)
        for entry, location in zip(entries, store.index.find([entry.id for entry in entries]), strict=True):
            if location is None:
                unindexed.append(entry)
            elif not _names(store, location, pack.pack_id):
                packs.elsewhere.setdefault(location.pack_no, {})[entry.id] = location
            elif location[1:] != entry.location:
                unequal[entry.id] = location
    _add_index_damage(damages, packs, _wrong(pack, unequal), pack_name(pack.pack_id, pack.kind))
    return unindexed


def _names(store: Store, location: Location, pack: PackId) -> bool:
    with suppress(IndexDamagedError):
        return store.index.pack(location.pack_no)[0] == pack
    return False


def _wrong(pack: SealedPack, rows: Mapping[bytes, Location]) -> list[bytes]:
    """Return the ids whose rows are no entries of the pack; an id may be in it twice, the row has one of the places."""
    if not rows:
        return []
    places = {(entry.id, *entry.location) for entry in _entries(pack, 0, len(pack.entries)) if entry.id in rows}
    return [id for id, location in rows.items() if (id, *location[1:]) not in places]


def _check_elsewhere(store: Store, damages: Damages, packs: Packs) -> None:
    """Compare the rows of ids that lie in several packs with the footers of those that they name."""
    broken = {_pack_id(name) for name in packs.broken}
    for number, rows in packs.elsewhere.items():
        name, wrong = f"pack {number}", list(rows)
        with suppress(CorruptionError, NotFoundError, StorageError):
            pack, kind = store.index.pack(number)
            if pack in broken:
                continue  # where things lie in it only its footer said
            name = pack_name(pack, kind)
            wrong = _wrong(read_footer(store.backend, name), rows)
        now = store.index.find(wrong)  # a collection may have moved them meanwhile
        _add_index_damage(damages, packs, [id for id, place in zip(wrong, now, strict=True) if place == rows[id]], name)


def _add_index_damage(damages: Damages, packs: Packs, ids: Iterable[bytes], name: str) -> None:
    for id in ids:
        detail = f"it differs from the footer of {name}: run `pfs recover`"
        packs.wrong_rows[id] = damages.add("index", f"index row {id.hex()[:12]}", detail)


def is_whole(backend: Reads, name: str, *, size: int) -> bool:
    """Say whether a pack of so many bytes is whole: its frame, and each record by its full id; reads it once."""
    try:
        pack = read_footer(backend, name, size=size)
    except CorruptionError:
        return False
    return _damaged_records(backend, name, pack) == {}


def _damaged_records(backend: Reads, name: str, pack: SealedPack) -> dict[int, list[_Entry]] | None:
    """Read every record of the pack; return by offset those that do not hold what the footer says.

    None: it is in an archive, or gone by now, and cannot be read. Then its footer has to do.
    """
    wanted = _by_offset(_entries(pack, 0, len(pack.entries)))
    try:
        for found in scan_records(backend, name, footer=pack):
            if all(entry.is_in(found.record) for entry in wanted.get(found.offset, [])):
                wanted.pop(found.offset, None)
    except (ArchivedError, NotFoundError):
        return None
    return wanted


def _damaged_places(store: Store, name: str, entries: Sequence[_Entry]) -> dict[int, list[_Entry]]:
    """Do the same for the records of these entries alone."""
    wanted = _by_offset(entries)
    for offset in list(wanted):
        with suppress(CorruptionError, NotFoundError):
            record = store.objects.record_at(name, offset)
            if all(entry.is_in(record) for entry in wanted[offset]):
                del wanted[offset]
    return wanted


def _by_offset(entries: Sequence[_Entry]) -> dict[int, list[_Entry]]:
    wanted: dict[int, list[_Entry]] = {}
    for entry in entries:
        wanted.setdefault(entry.offset, []).append(entry)
    return wanted


def _report_records(store: Store, damages: Damages, packs: Packs) -> None:
    """Report the damaged records, and say which of them were replaced: all that they held lies whole elsewhere."""
    for (pack, offset), entries in packs.bad_entries.items():
        name = pack_name(pack, "m" if pack in packs.meta else "d")
        ids = ", ".join(entry.id.hex()[:12] for entry in entries[:_SHOWN])
        detail = f"the record is damaged: it should hold {ids}{' ...' if len(entries) > _SHOWN else ''}; "
        if all(_is_elsewhere(store, packs, place) for place in store.index.find([entry.id for entry in entries])):
            detail += "nothing is lost: all of it was stored again in another pack"
        else:
            detail += "put the files that it affects again, or bring the pack back from a copy"
        bad = packs.bad_places[pack, offset] = damages.add("record", f"{name} at {offset}", detail)
        packs.bad_ids.update((entry.id, bad) for entry in entries)


def _is_elsewhere(store: Store, packs: Packs, place: Location | None) -> bool:
    if place is None:
        return False
    pack = store.index.pack(place.pack_no)[0]
    return pack in packs.whole and (pack, place.offset) not in packs.bad_entries


def _entries(pack: SealedPack, start: int, stop: int) -> list[_Entry]:
    part = pack.entries[start:stop]
    columns = (part[column].tolist() for column in ("id", "off", "clen", "ulen", "type", "codec"))
    return [_Entry(*row) for row in zip(*columns, strict=True)]
