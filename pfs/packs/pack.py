"""Packs: immutable files of records, the only place where bytes of users, trees and commits live.

A pack exists when its trailer is there; the backend publishes it whole. The footer, sorted by id, makes the index
rebuildable from one short read a pack. Format: docs/format/pack.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pfs.backends.base import Backend, Buffer
from pfs.errors import StorageError
from pfs.ids import ChunkId, PackId
from pfs.packs.footer import (
    ENTRY,
    ENTRY_ROW,
    MAX_PACK,
    PACK_HEADER,
    PackKind,
    SealedPack,
    check_pack_header,
    encode_footer,
    encode_pack_header,
    pack_name,
    pack_time_ms,
    parse_pack_name,
    read_footer,
)
from pfs.packs.record import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    Codec,
    Record,
    RecordType,
    block_id,
    encode_header,
    parse_record,
)
from pfs.packs.scan import ScannedRecord, scan_records

if TYPE_CHECKING:
    from pfs.packs.raws import Raws

__all__ = [
    "ENTRY",
    "ENTRY_ROW",
    "HEADER_BYTES",
    "HEADER_SIZE",
    "MAX_PACK",
    "Codec",
    "PackKind",
    "PackWriter",
    "Record",
    "RecordType",
    "ScannedRecord",
    "SealedPack",
    "check_pack_header",
    "pack_name",
    "parse_pack_name",
    "parse_record",
    "read_footer",
    "scan_records",
]

HEADER_BYTES = PACK_HEADER.size
"""What `check_pack_header` looks at."""
_TRAILER_SIZE = 64


class PackWriter:
    """Streams records to a new pack; one thread at a time. Memory: 81 bytes an entry, no payloads.

    Nothing is visible before `seal` returns, and nothing is left after `abandon`. Whether an id is in the pack
    already is the caller's business.
    """

    def __init__(self, backend: Backend, kind: PackKind, *, pack_id: PackId, created_ms: int) -> None:
        """Begin the pack; ``created_ms`` (since the epoch) is for people who look at its header."""
        self.pack_id = pack_id
        self.kind: PackKind = kind
        self._name = pack_name(pack_id, kind)
        self._rows: list[bytes] = []
        self._count = 0
        header = encode_pack_header(pack_id, kind, created_ms=created_ms)
        self.size = len(header)
        """Bytes so far, without footer and trailer."""
        self._object = backend.create(self._name)
        self._waiting: list[Buffer] | None = None
        self._write(header)

    def __len__(self) -> int:
        return self._count

    def add(
        self, type: RecordType, id: bytes, payload: Buffer, *, codec: Codec = Codec.RAW, ulen: int | None = None
    ) -> None:
        """Append one record; ``payload`` is as stored, of ``ulen`` plain bytes (default: its length).

        Raises:
            StorageError: it cannot be written, or does not fit: a pack has at most 4 GiB, a payload 256 MiB.
        """
        stored = len(payload)
        plain = stored if ulen is None else ulen
        self._check_room(stored, entries=1)
        row = ENTRY_ROW.pack(id, self.size, stored, plain, type, codec, 0)
        self._append(encode_header(type, id, payload, codec=codec, ulen=plain), payload, [row])

    def add_block(self, chunks: Sequence[tuple[ChunkId, int]], payload: Buffer, *, ulen: int) -> None:
        """Append a block: ``chunks`` are (id, size) in their order in it, ``payload`` their bytes as one zstd frame.

        Raises:
            StorageError: as `add`.
        """
        self._check_room(len(payload), entries=len(chunks))
        rows, start = [], 0
        for chunk, size in chunks:
            rows.append(ENTRY_ROW.pack(chunk, self.size, start, size, RecordType.CHUNK, Codec.IN_BLOCK, 0))
            start += size
        assert start == ulen, "the sizes of a block's chunks add up to the block"
        id = block_id(payload)
        self._append(encode_header(RecordType.BLOCK, id, payload, codec=Codec.ZSTD, ulen=ulen), payload, rows)

    def add_raws(self, raws: Raws) -> None:
        """Append the records of many chunks, together.

        Raises:
            StorageError: as `add`.
        """
        stored = raws.chunks.size + HEADER_SIZE * (raws.chunks.count - 1)
        self._check_room(stored, entries=raws.chunks.count)
        self._write(*raws.buffers())
        self._rows.append(raws.entries(self.size))
        self.size += HEADER_SIZE + stored
        self._count += raws.chunks.count

    def _check_room(self, stored: int, *, entries: int) -> None:
        sealed = self.size + (self._count + entries) * ENTRY_ROW.size + _TRAILER_SIZE
        if stored > MAX_PAYLOAD or sealed + HEADER_SIZE + stored > MAX_PACK:
            raise StorageError(f"write {self._name}", "a pack holds at most 4 GiB, and a record at most 256 MiB")

    def _append(self, header: bytes, payload: Buffer, rows: list[bytes]) -> None:
        self._write(header, payload)
        self.size += HEADER_SIZE + len(payload)
        self._rows += rows
        self._count += len(rows)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all records that are added inside at once, at the end; their payloads stay as they are until then."""
        self._waiting = []
        try:
            yield
            self._object.write(*self._waiting)
        finally:
            self._waiting = None

    def _write(self, *buffers: Buffer) -> None:
        if self._waiting is None:
            self._object.write(*buffers)
        else:
            self._waiting += buffers

    def seal(self) -> SealedPack:
        """Write footer and trailer and publish: when this returns the pack is durable and visible.

        Raises:
            StorageError: nothing is visible; `abandon` it.
        """
        rows = b"".join(self._rows)
        ordered = sorted(rows[at : at + ENTRY_ROW.size] for at in range(0, len(rows), ENTRY_ROW.size))
        footer, trailer = encode_footer(ordered, self.pack_id, footer_off=self.size)
        self._write(footer, trailer)
        if not self._object.publish():
            raise StorageError(f"write {self._name}", "a pack of this id exists already")
        size = self.size + len(footer) + len(trailer)
        return SealedPack(self.pack_id, self.kind, size, pack_time_ms(self.pack_id), footer)

    def abandon(self) -> None:
        """Drop the pack; idempotent; after `seal` it does nothing."""
        self._object.abandon()
