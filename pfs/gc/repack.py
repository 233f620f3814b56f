"""Repacking: what is live of some packs goes to new ones, each record compared with its full id on the way.

Records go as they are stored. Of a block of chunks that is live in part the live chunks go into new blocks. Chunks go
to data packs, all else to meta packs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pfs.errors import CorruptionError
from pfs.gc.idset import IdSet, prefixes
from pfs.gc.survey import record_spans
from pfs.ids import ChunkId, PackId, chunk_id, new_pack_id
from pfs.packs.chunk_records import BLOCK_BYTES
from pfs.packs.compress import compress_block
from pfs.packs.pack import PackKind, PackWriter, RecordType, SealedPack, pack_name
from pfs.packs.record import HEADER_SIZE, Header, check_record, decode_header
from pfs.packs.session_data import PACK_BYTES, PACK_ENTRIES

if TYPE_CHECKING:
    from pfs.store import Store

_BATCH: Final = 8 << 20
"""Bytes read at once."""


class _Span(NamedTuple):
    """A record and the live entries in it, as (id, clen, ulen, type)."""

    offset: int
    length: int
    live: list[tuple[bytes, int, int, int]]
    whole: bool
    """Whether all that lies in it is live."""


class Repacker:
    """Copies live records. One thread; memory: some 20 MiB, and 81 bytes an entry of the packs in the making.

    After an error it is only good for `abandon`: packs that were sealed stay, as copies of what lives elsewhere too.
    """

    def __init__(self, store: Store, live: IdSet, *, elsewhere: Mapping[PackId, frozenset[bytes]]) -> None:
        """``elsewhere``: of some packs the live ids that need no copy."""
        self._store, self._live, self._elsewhere = store, live, elsewhere
        self._writers: dict[PackKind, PackWriter] = {}
        self._block: list[tuple[ChunkId, bytes]] = []
        self._block_bytes = 0
        self.sealed: list[SealedPack] = []
        """The new packs, durable, not in the index yet."""

    def copy(self, pack: SealedPack, *, alive: Callable[[], None]) -> None:
        """Copy what is live in a pack; durable after `finish`.

        Raises:
            CorruptionError: a live record is damaged.
            StorageError: a new pack cannot be written, or the old one not read.
        """
        name = pack_name(pack.pack_id, pack.kind)
        for batch in _batches(self._spans(pack)):
            pieces = self._store.backend.get_ranges(name, [(span.offset, span.length) for span in batch])
            for span, piece in zip(batch, pieces, strict=True):
                self._copy_record(span, piece, where=f"{name} at {span.offset}")
            alive()

    def finish(self) -> list[SealedPack]:
        """Make all copies durable; return the new packs. Raises StorageError."""
        self._end_block()
        for kind in list(self._writers):
            self._seal(kind)
        return self.sealed

    def abandon(self) -> None:
        """Drop what is in no sealed pack; idempotent."""
        for writer in self._writers.values():
            writer.abandon()
        self._writers.clear()
        self._block.clear()

    def _spans(self, pack: SealedPack) -> Iterator[_Span]:
        """Yield the records with something live in them, in order of place."""
        away = self._elsewhere.get(pack.pack_id, frozenset())
        wanted = self._live.contains(prefixes(pack.entries["id"]))
        done = set[bytes]()
        for offset, length, rows in record_spans(pack):
            live = []
            for row in rows[wanted[rows]].tolist():
                id, _, clen, ulen, type, _, _ = pack.entries[row].item()
                if id not in away and id not in done:
                    live.append((id, clen, ulen, type))
                    done.add(id)
            if live:
                yield _Span(offset, length, live, whole=len(live) == len(rows))

    def _copy_record(self, span: _Span, piece: bytes, *, where: str) -> None:
        header = decode_header(piece, where=where)
        stored = memoryview(piece)[HEADER_SIZE : HEADER_SIZE + header.clen]
        record = check_record(header, stored, where=where, verify=True)
        if record.type is RecordType.BLOCK:
            self._copy_block(span, header, (stored, record.payload), where=where)
            return
        (id, _, _, type), *more = span.live
        if record.id != id or record.type != type or more:
            raise CorruptionError(where, f"it holds {record.type.name.lower()} {record.id.hex()[:12]}")
        writer = self._writer("d" if record.type is RecordType.CHUNK else "m")
        writer.add(record.type, id, stored, codec=header.codec, ulen=header.ulen)

    def _copy_block(self, span: _Span, header: Header, content: tuple[memoryview, bytes], *, where: str) -> None:
        stored, plain = content
        members = sorted((start, ChunkId(id), size) for id, start, size, _ in span.live)
        chunks = [(id, plain[start : start + size]) for start, id, size in members]
        for id, chunk in chunks:
            if chunk_id(chunk) != id:
                raise CorruptionError(where, f"chunk {id.hex()[:12]} is not in this block")
        if span.whole and sum(len(chunk) for _, chunk in chunks) == header.ulen:
            sizes = [(id, len(chunk)) for id, chunk in chunks]
            self._writer("d").add_block(sizes, stored, ulen=header.ulen)
            return
        for id, chunk in chunks:
            if self._block_bytes + len(chunk) > BLOCK_BYTES:
                self._end_block()
            self._block.append((id, chunk))
            self._block_bytes += len(chunk)

    def _end_block(self) -> None:
        if self._block:
            sizes = [(id, len(chunk)) for id, chunk in self._block]
            packed = compress_block(b"".join(chunk for _, chunk in self._block))
            self._writer("d").add_block(sizes, packed, ulen=self._block_bytes)
            self._block, self._block_bytes = [], 0

    def _writer(self, kind: PackKind) -> PackWriter:
        """Return the pack of a kind that is being written, with room for one more record."""
        writer = self._writers.get(kind)
        if writer is not None and (writer.size >= PACK_BYTES or len(writer) >= PACK_ENTRIES):
            self._seal(kind)
            writer = None
        if writer is None:
            created_ms = self._store.clock_ns() // 1_000_000
            writer = PackWriter(self._store.backend, kind, pack_id=new_pack_id(), created_ms=created_ms)
            self._writers[kind] = writer
        return writer

    def _seal(self, kind: PackKind) -> None:
        self.sealed.append(self._writers[kind].seal())
        del self._writers[kind]


def _batches(spans: Iterator[_Span]) -> Iterator[Sequence[_Span]]:
    batch, size = list[_Span](), 0
    for span in spans:
        if batch and size + span.length > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += span.length
    if batch:
        yield batch
