"""The first half of a check: every pack by itself, and the index against the packs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pfs.damage import Damages
from pfs.errors import CorruptionError, StorageError
from pfs.ids import PackId, chunk_id
from pfs.index_rows import IN_BLOCK
from pfs.pack import Codec, Record, RecordType, SealedPack, pack_name, parse_pack_name, read_footer, scan_records

if TYPE_CHECKING:
    from pfs.progress import Progress
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
    commits: dict[PackId, list[int]] = field(default_factory=dict)
    """Where in each meta pack commit records begin."""
    walked: set[PackId] = field(default_factory=set)
    """Meta packs with records that refs lead to."""


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

    Packs that the index does not know are added to it: that it lags is no damage.
    """
    packs, entries = Packs(), list(store.backend.entries("packs/"))
    if progress is not None:
        progress.total(len(entries), sum(entry.size for entry in entries))
    for entry in entries:
        footer = _read_footer(store, damages, entry.name, entry.size)
        if footer is not None:
            packs.whole.add(footer.pack_id)
            commits = footer.entries["off"][footer.entries["type"] == RecordType.COMMIT].tolist()
            if commits:
                packs.commits[footer.pack_id] = commits
            store.index.add([footer])
            _check_rows(store, damages, footer)
            if deep:
                _check_records(store, damages, packs, footer)
        if progress is not None:
            progress.advance(files=1, size=entry.size)
    return packs


def _read_footer(store: Store, damages: Damages, name: str, size: int) -> SealedPack | None:
    if parse_pack_name(name) is None:
        return None
    try:
        footer = read_footer(store.backend, name)
    except (CorruptionError, StorageError) as error:
        damages.add("pack", name, _reason(error))
        return None
    if footer.size != size:
        damages.add("pack", name, f"it has {size} bytes, its trailer says {footer.size}")
        return None
    return footer


def _check_rows(store: Store, damages: Damages, pack: SealedPack) -> None:
    """Compare the footer with the index rows that point into this pack."""
    name = pack_name(pack.pack_id, pack.kind)
    for start in range(0, len(pack.entries), _IDS):
        entries = _entries(pack, start, start + _IDS)
        for entry, location in zip(entries, store.index.find([entry.id for entry in entries]), strict=True):
            elsewhere = location is not None and store.index.pack(location.pack_no)[0] != pack.pack_id
            if not elsewhere and (location is None or location[1:] != entry.location):
                detail = f"it differs from the footer of {name}: run `pfs recover`"
                damages.add("index", f"index row {entry.id.hex()[:12]}", detail)


def _check_records(store: Store, damages: Damages, packs: Packs, pack: SealedPack) -> None:
    """Read every record of the pack and compare what it holds with the ids in the footer."""
    name = pack_name(pack.pack_id, pack.kind)
    wanted: defaultdict[int, list[_Entry]] = defaultdict(list)
    for entry in _entries(pack, 0, len(pack.entries)):
        wanted[entry.offset].append(entry)
    for found in scan_records(store.backend, name):
        if all(entry.is_in(found.record) for entry in wanted.get(found.offset, [])):
            wanted.pop(found.offset, None)
    for offset, entries in wanted.items():
        ids = ", ".join(entry.id.hex()[:12] for entry in entries[:_SHOWN])
        detail = f"the record is damaged: it should hold {ids}{' ...' if len(entries) > _SHOWN else ''}"
        packs.bad_places[pack.pack_id, offset] = damages.add("record", f"{name} at {offset}", detail)


def _entries(pack: SealedPack, start: int, stop: int) -> list[_Entry]:
    part = pack.entries[start:stop]
    columns = (part[column].tolist() for column in ("id", "off", "clen", "ulen", "type", "codec"))
    return [_Entry(*row) for row in zip(*columns, strict=True)]


def _reason(error: CorruptionError | StorageError) -> str:
    return error.detail if isinstance(error, CorruptionError) else error.reason
