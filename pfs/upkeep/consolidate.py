"""Making index segments: the footers of many packs as few objects, so that another machine needs few requests for them.

New packs make segments of level 0; eight small ones of a level become one of the next, and one of which a quarter is
dead is written again without that. All of it is a cache, put in place by one swap of the list: whatever fails before
leaves objects that nothing names, which a later run removes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from pfs.backends.base import Entry
from pfs.errors import CorruptionError, MissingObjectError, NotFoundError, StorageError
from pfs.history.segments import read_head
from pfs.ids import PackId, new_pack_id
from pfs.packs.footer import SealedPack, parse_pack_name, read_footer
from pfs.packs.record import RecordType
from pfs.packs.segment import (
    SEGMENT_BYTES,
    Head,
    decode_head,
    encode_segment,
    footers_in,
    records_in,
    records_match,
    segment_name,
)
from pfs.parallel import at_once
from pfs.refs.segments import MANIFEST, SEGMENTS, SegmentRow, read_manifest, swap_manifest

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

ENOUGH: Final = 64
"""New packs that are worth a segment when nobody asked for one."""
FAN: Final = 8
"""Small segments of a level that become one of the next."""
_DEAD: Final = 4
"""A segment is written again when more than one in so many of its rows are of packs that are gone."""
_ORPHAN_NS: Final = 24 * 3600 * 1_000_000_000
"""An object that the list does not name is removed at this age: before, another machine may be about to name it."""

Content = tuple[SealedPack, list[bytes]]
"""The footer of a pack, and the commit records in it."""


@dataclass(frozen=True, slots=True)
class Consolidated:
    """What was done; ``covered``: packs in segments now, ``packs``: all. ``lost``: another machine was first."""

    segments: int
    written: int
    replaced: int
    covered: int
    packs: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made.

    ``fresh``: packs that no segment covers. ``rewrite``: segments to be written again, alone or with others, by the
    level that comes of them. ``drop``: those that are gone or damaged, or of which nothing is left.
    """

    fresh: tuple[PackId, ...]
    rewrite: Mapping[int, tuple[SegmentRow, ...]]
    drop: tuple[SegmentRow, ...]

    @property
    def replaced(self) -> set[str]:
        """The ids of the segments that go."""
        return {row.id for rows in (*self.rewrite.values(), self.drop) for row in rows}


def plan(heads: Sequence[tuple[SegmentRow, Head | None]], packs: Iterable[PackId]) -> Plan:
    """Decide which segments to make of the ``packs`` that there are; pure."""
    there, rewrite, drop, small = set(packs), dict[int, list[SegmentRow]](), list[SegmentRow](), list[SegmentRow]()
    covered = set[PackId]()
    for row, head in heads:
        if head is None:
            drop.append(row)
            continue
        rows = [int(count) for count in head.table["entries"]]
        live = {pack: count for pack, count in zip(head.packs(), rows, strict=True) if pack in there - covered}
        covered |= live.keys()
        if not live:
            drop.append(row)
        elif _DEAD * (sum(rows) - sum(live.values())) > sum(rows) or _DEAD * (len(rows) - len(live)) > len(rows):
            rewrite.setdefault(row.level, []).append(row)
        elif 2 * row.size < SEGMENT_BYTES:
            small.append(row)
    for level, count in Counter(row.level for row in small).items():
        if count >= FAN:
            rewrite.setdefault(level + 1, []).extend(row for row in small if row.level == level)
    fresh = tuple(sorted(there - covered))
    return Plan(fresh, {level: tuple(rows) for level, rows in rewrite.items()}, tuple(drop))


def consolidate(store: Store, *, enough: int = 1, anew: bool = False, progress: Progress | None = None) -> Consolidated:
    """Put the footers of packs that no segment has into segments; nothing for fewer than ``enough`` packs.

    ``anew``: leave all segments that there are, and make others from the packs' own footers. Costs a read of each
    segment's table, of each new footer, and of what is written again. Memory: 100 MiB, and 1 KiB a pack. Beside any
    number of writers, readers and others that do the same: of those one wins.

    Raises:
        StorageError: something cannot be read or written; nothing that counts has changed.
    """
    backend = store.backend
    manifest, etag = read_manifest(backend)
    listed = _listed(store)
    heads = at_once(backend.parallel, partial(read_head, backend), () if anew else manifest.segments)
    todo = plan(list(zip(() if anew else manifest.segments, heads, strict=True)), listed)
    replaced = {row.id for row in manifest.segments} if anew else todo.replaced
    if not replaced and len(todo.fresh) < enough:
        covered = len(listed) - len(todo.fresh)
        return Consolidated(len(manifest.segments), 0, 0, covered, len(listed))
    written = _write(store, todo, listed, enough=enough, progress=progress)
    kept = tuple(row for row in manifest.segments if row.id not in replaced)
    if not swap_manifest(backend, etag, (*kept, *written), old=manifest):
        backend.delete_many([row.name for row in written])
        now = read_manifest(backend)[0].segments
        return Consolidated(len(now), 0, 0, sum(row.packs for row in now), len(listed), lost=True)
    now = (*kept, *written)
    _tidy(store, {row.name for row in now})
    return Consolidated(len(now), len(written), len(replaced), sum(row.packs for row in now), len(listed))


def _listed(store: Store) -> dict[PackId, Entry]:
    """Return the packs that there are and that no collection is about to delete."""
    found = ((parse_pack_name(entry.name), entry) for entry in store.backend.entries("packs/"))
    listed = {parsed[0]: entry for parsed, entry in found if parsed is not None}
    return {pack: entry for pack, entry in listed.items() if not store.index.is_condemned(pack)}


def _write(
    store: Store, todo: Plan, listed: Mapping[PackId, Entry], *, enough: int, progress: Progress | None
) -> list[SegmentRow]:
    """Write the new segments; return their rows."""
    fresh = [listed[pack] for pack in todo.fresh] if len(todo.fresh) >= enough else []
    if progress is not None:
        progress.total(len(fresh), sum(entry.size for entry in fresh))
    written, taken = list[SegmentRow](), set[PackId]()
    try:
        for level, rows in todo.rewrite.items():
            old = (one for row in rows for one in _contents(store, row) if one[0].pack_id in listed)
            written += _segments(store, level, _once(old, taken))
        written += _segments(store, 0, _fresh_contents(store, fresh, progress))
    except BaseException:
        with suppress(StorageError):
            store.backend.delete_many([row.name for row in written])
        raise
    return written


def _once(contents: Iterable[Content], taken: set[PackId]) -> Iterator[Content]:
    for one in contents:
        if one[0].pack_id not in taken:
            taken.add(one[0].pack_id)
            yield one


def _segments(store: Store, level: int, contents: Iterable[Content]) -> Iterator[SegmentRow]:
    """Write segments of a level, each as soon as it is full; yield their rows."""
    packs, records, size = list[SealedPack](), dict[PackId, list[bytes]](), 0
    for pack, found in contents:
        packs.append(pack)
        records[pack.pack_id] = found
        size += pack.entries.nbytes + sum(map(len, found))
        if size >= SEGMENT_BYTES:
            yield _segment(store, level, packs, records)
            packs, records, size = [], {}, 0
    if packs:
        yield _segment(store, level, packs, records)


def _segment(
    store: Store, level: int, packs: Sequence[SealedPack], records: Mapping[PackId, Sequence[bytes]]
) -> SegmentRow:
    id = new_pack_id()  # a UUIDv7 as any
    data = encode_segment(id, level, packs, records)
    if not store.backend.put_new(segment_name(id, level), data):
        raise StorageError(f"write {segment_name(id, level)}", "a segment of this id exists already")
    entries = sum(len(pack.entries) for pack in packs)
    newest = max(pack.pack_id for pack in packs).hex()
    return SegmentRow(id=id.hex(), level=level, packs=len(packs), entries=entries, size=len(data), newest=newest)


def _contents(store: Store, row: SegmentRow) -> Iterator[Content]:
    """Yield what a segment has; nothing of what is damaged, which counts as not covered the next time."""
    records: dict[PackId, list[bytes]] = {}
    try:
        data = store.backend.get(row.name, offset=0, length=row.size)
        head = decode_head(data, bytes.fromhex(row.id), where=row.name)
        for pack, record in records_in(data, head):
            records.setdefault(pack, []).append(record)
    except (CorruptionError, NotFoundError):
        return
    for footer in footers_in(data, head):
        if footer is not None and records_match(footer, records.get(footer.pack_id, [])):
            yield footer, records.get(footer.pack_id, [])


def _fresh_contents(store: Store, entries: Sequence[Entry], progress: Progress | None) -> Iterator[Content]:
    """Yield what packs say themselves; those are left out that cannot be read, or went meanwhile."""

    def read(entry: Entry) -> Content | None:
        with suppress(CorruptionError, NotFoundError, MissingObjectError):
            pack = read_footer(store.history.reading, entry.name, size=entry.size)
            offsets = pack.entries["off"][pack.entries["type"] == RecordType.COMMIT]
            records = [store.objects.record_at(entry.name, at).payload for at in np.sort(offsets).tolist()]
            if records_match(pack, records):
                return pack, records
        return None

    for entry, content in zip(entries, at_once(store.backend.parallel, read, entries), strict=True):
        if content is not None:
            yield content
        if progress is not None:
            progress.advance(files=1, size=entry.size)


def _tidy(store: Store, named: set[str]) -> None:
    """Delete what the list has not named for long: what it replaced, and what others left on the way to a swap."""
    backend = store.backend
    with suppress(StorageError):
        found = list(backend.entries(SEGMENTS))
        now_ns = max((entry.modified_ns for entry in found if entry.name == MANIFEST), default=0)
        others = [entry for entry in found if entry.name not in named and entry.name != MANIFEST]
        backend.delete_many([entry.name for entry in others if now_ns - entry.modified_ns > _ORPHAN_NS])
