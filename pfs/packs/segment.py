"""Index segments: footers of many packs, and the commit records in them, as one object (docs/format/index-segment.md).

A machine that builds its index reads some of these in place of a footer of each pack. They say nothing of their own:
each footer has the checksum that it has in its pack, so what does not match is read there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import zstandard
from xxhash import xxh3_128_digest

from pfs.errors import CorruptionError
from pfs.ids import PackId, record_id
from pfs.packs.footer import ENTRY_ROW, SealedPack, pack_time_ms
from pfs.packs.record import RecordType

SEGMENT_BYTES: Final = 32 << 20
"""A segment has no more bytes of footers than this, and one pack's: it is made, and read, in memory."""
HEAD_GUESS: Final = 64 << 10
"""Bytes of a first read: the table of 1,364 packs is in them."""

_HEADER: Final = struct.Struct("<4sBBHIIIQ16s16s4x")
_MAGIC: Final = b"PIX1"
_VERSION: Final = 1
_TABLE: Final = np.dtype(
    [("pack", "V16"), ("footer", "V16"), ("size", "<u8"), ("entries", "<u4"), ("kind", "S1"), ("pad", "V3")]
)
_RECORD: Final = struct.Struct("<II")
_MAX_RECORDS: Final = 1 << 30
"""Plain bytes of records beyond which a segment is not believed."""

Table = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Head:
    """What a segment covers.

    ``table``: a row a pack in the order of their ids, with ``pack``, ``footer`` (its checksum), ``size`` in bytes,
    ``entries`` and ``kind``; ``records_at``, ``entries_at``: where these begin.
    """

    segment: bytes
    level: int
    table: Table
    records_at: int
    records_plain: int
    entries_at: int

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.entries_at + int(self.table["entries"].sum(dtype=np.uint64)) * ENTRY_ROW.size

    def packs(self) -> list[PackId]:
        """Return the packs that are covered."""
        return [PackId(pack) for pack in self.table["pack"].tolist()]


def segment_name(segment: bytes, level: int) -> str:
    """Return the object name of a segment."""
    return f"idx/{level}/{segment.hex()}.idx"


def encode_segment(
    segment: bytes, level: int, packs: Sequence[SealedPack], records: Mapping[PackId, Sequence[bytes]]
) -> bytes:
    """Return a segment of whole ``packs``, with the encoded commit ``records`` of those that have any; pure.

    Takes as many bytes again while it works.
    """
    ordered = sorted(packs, key=lambda pack: pack.pack_id)
    footers = [pack.footer for pack in ordered]
    rows = [
        (pack.pack_id, xxh3_128_digest(footer), pack.size, pack.rows, pack.kind.encode(), b"")
        for pack, footer in zip(ordered, footers, strict=True)
    ]
    table = np.array(rows, dtype=_TABLE).tobytes()
    plain = b"".join(
        _RECORD.pack(number, len(record)) + record
        for number, pack in enumerate(ordered)
        for record in records.get(pack.pack_id, ())
    )
    stored = zstandard.ZstdCompressor(3).compress(plain) if plain else b""
    header = _HEADER.pack(
        _MAGIC, _VERSION, level, 0, len(rows), len(stored), len(plain), 0, segment, xxh3_128_digest(table + stored)
    )
    return b"".join([header, table, stored, *footers])


def head_size(data: bytes, *, where: str) -> int:
    """Return how many bytes of the object `decode_head` needs, from its first 64; raises CorruptionError."""
    fields = _fields(data, where)
    return _HEADER.size + fields[4] * _TABLE.itemsize + fields[5]


def decode_head(data: bytes, segment: bytes, *, where: str) -> Head:
    """Return what a segment covers, from at least its first `head_size` bytes.

    Raises:
        CorruptionError: it is another's, or damaged. A newer version counts as damaged: footers say the same.
    """
    _, _, level, _, count, stored, plain, _, own, checksum = _fields(data, where)
    records_at = _HEADER.size + count * _TABLE.itemsize
    covered = data[_HEADER.size : records_at + stored]
    if own != segment or len(covered) != count * _TABLE.itemsize + stored or plain > _MAX_RECORDS:
        raise CorruptionError(where, "it does not begin as this segment should")
    if xxh3_128_digest(covered) != checksum:
        raise CorruptionError(where, "the checksum of its table does not match")
    table = np.frombuffer(covered, _TABLE, count)
    return Head(segment, level, table, records_at, plain, records_at + stored)


def _fields(data: bytes, where: str) -> tuple[bytes, int, int, int, int, int, int, int, bytes, bytes]:
    if len(data) < _HEADER.size or data[:4] != _MAGIC or data[4] != _VERSION:
        raise CorruptionError(where, "it is no index segment of this version")
    fields: tuple[bytes, int, int, int, int, int, int, int, bytes, bytes] = _HEADER.unpack_from(data)
    return fields


def footers_in(data: bytes, head: Head) -> Iterator[SealedPack | None]:
    """Yield the footer of each pack of the whole object ``data``, in the order of the table; None: it is damaged."""
    at = head.entries_at
    for pack, checksum, size, count, kind, _ in head.table.tolist():
        part = data[at : at + count * ENTRY_ROW.size]
        at += count * ENTRY_ROW.size
        if xxh3_128_digest(part) != checksum:
            yield None
            continue
        yield SealedPack(PackId(pack), "d" if kind == b"d" else "m", size, pack_time_ms(PackId(pack)), part)


def records_in(data: bytes, head: Head) -> Iterator[tuple[PackId, bytes]]:
    """Yield (pack, encoded record) of each commit record; raises CorruptionError."""
    where = segment_name(head.segment, head.level)
    stored = data[head.records_at : head.entries_at]
    try:
        plain = zstandard.ZstdDecompressor().decompress(stored, max_output_size=head.records_plain) if stored else b""
    except zstandard.ZstdError as error:
        raise CorruptionError(where, f"its records do not decompress ({error})") from error
    packs, at = head.packs(), 0
    while at < len(plain):
        number, size = _RECORD.unpack_from(plain, at)
        at += _RECORD.size + size
        if number >= len(packs) or at > len(plain):
            raise CorruptionError(where, "its records contradict themselves")
        yield packs[number], plain[at - size : at]


def records_match(pack: SealedPack, records: Sequence[bytes]) -> bool:
    """Say whether these are all the commit records of a pack, by their full ids."""
    wanted = {bytes(id) for id in pack.entries["id"][pack.entries["type"] == RecordType.COMMIT].tolist()}
    return {record_id(record) for record in records} == wanted
