"""What can still be had of a pack whose frame is damaged: an index of its whole records."""

from __future__ import annotations

from collections.abc import Iterable

from pfs.backends.base import Reads
from pfs.errors import CorruptionError
from pfs.ids import chunk_id
from pfs.packs.footer import ENTRY_ROW, PACK_HEADER, SealedPack, pack_time_ms, parse_pack_name
from pfs.packs.index_rows import IN_BLOCK, KEY_SIZE, Location
from pfs.packs.record import HEADER_SIZE, Codec, RecordType
from pfs.packs.scan import scan_records


def salvage(backend: Reads, name: str, *, known: Iterable[tuple[bytes, Location]] = ()) -> SealedPack:
    """Return the pack as its whole records show it; it reads all of the pack, and compares every full id.

    Which chunks a block holds only the footer says, unless it is a single one, and the rows of an older index: those of
    ``known``, as (key, place), that lie in a whole block are among the entries, with their key filled up with zeros as
    id. Nothing rests on their being right: a reader compares what it finds there with the id that it wants.

    Raises:
        NotFoundError: no such pack.
        CorruptionError: it has no pack's name.
    """
    identity = parse_pack_name(name)
    if identity is None:
        raise CorruptionError(name, "it has no pack's name")
    rows, blocks, end = [], set[int](), PACK_HEADER.size
    for offset, record in scan_records(backend, name):
        end = offset + record.stored
        if record.type is RecordType.BLOCK:
            blocks.add(offset)
            single = chunk_id(record.payload), offset, 0, len(record.payload), RecordType.CHUNK, Codec.IN_BLOCK, 0
            rows.append(ENTRY_ROW.pack(*single))
            continue
        clen, ulen = record.stored - HEADER_SIZE, len(record.payload)
        rows.append(ENTRY_ROW.pack(record.id, offset, clen, ulen, record.type, record.codec, 0))
    for key, place in known:
        if place.type == IN_BLOCK and place.offset in blocks:
            id = key[:KEY_SIZE] + bytes(32 - KEY_SIZE)
            rows.append(ENTRY_ROW.pack(id, place.offset, place.clen, 0, RecordType.CHUNK, Codec.IN_BLOCK, 0))
    pack_id, kind = identity
    return SealedPack(pack_id, kind, end, pack_time_ms(pack_id), b"".join(sorted(rows)))
