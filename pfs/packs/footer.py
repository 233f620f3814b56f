"""The frame around a pack's records: header, footer, trailer, and its name (docs/format/pack.md)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from xxhash import xxh3_128_digest

from pfs.arrays import Voids, np
from pfs.backends.base import Backend, Reads
from pfs.errors import ArchivedError, CorruptionError, NotFoundError
from pfs.ids import PackId
from pfs.packs.record import HEADER_SIZE, Codec, RecordType

PackKind = Literal["d", "m"]
"""Data packs hold chunks; meta packs hold pages, manifests, commit records, and the chunks of small commits."""

PACK_HEADER: Final = struct.Struct("<4sBcH16sQ")
_CREATED: Final = 24
"""Where in the header the clock's time begins, which readers do not use."""
_MAGIC: Final = b"PPK1"
_TRAILER: Final = struct.Struct("<QII16s16sII8s")
_END: Final = b"PPKEND01"
_VERSION: Final = 1
MAX_PACK: Final = (1 << 32) - 1
"""Largest pack in bytes: offsets have 32 bits."""
_GUESS: Final = 64 * 1024
"""One suffix read of this many bytes has the trailer and 1,364 entries."""
_FEW: Final = 64
"""Entries up to which a loop is as fast as columns."""
_BATCH: Final = 64
_BATCH_ROWS: Final = 1 << 20
_NAME: Final = r"packs/([dm])/([0-9a-f]{2})/([0-9a-f]{32})\.pack"

SHELF: Final = "footers/"
_SHELVED: Final = r"footers/[0-9a-f]{2}/([0-9a-f]{32})\.footer"

ENTRY: Final = [
    ("id", "V32"),
    ("off", "<u4"),
    ("clen", "<u4"),
    ("ulen", "<u4"),
    ("type", "u1"),
    ("codec", "u1"),
    ("pad", "<u2"),
]
"""A footer entry, 48 bytes, as NumPy takes it.

With codec IN_BLOCK, ``off`` is the block's and ``clen`` the offset in its plain bytes.
"""
ENTRY_ROW: Final = struct.Struct("<32sIIIBBH")
"""The same, for one row."""


class SealedPack(NamedTuple):
    """What the footer of a durable pack says."""

    pack_id: PackId
    kind: PackKind
    size: int
    created_ms: int
    footer: bytes
    """Rows of ENTRY_ROW, sorted by id."""

    @property
    def rows(self) -> int:
        """Number of entries."""
        return len(self.footer) // ENTRY_ROW.size

    @property
    def entries(self) -> Voids:
        """The entries, an array of ENTRY over the bytes of the footer."""
        return np.frombuffer(self.footer, ENTRY)

    def ids(self) -> list[bytes]:
        """Return the ids of the entries, in order."""
        footer = self.footer
        return [footer[at : at + 32] for at in range(0, len(footer), ENTRY_ROW.size)]


def in_batches(packs: Iterable[SealedPack]) -> Iterator[list[SealedPack]]:
    """Yield packs in order, so many at once as an index takes well: up to 64, and about a million entries (48 MB)."""
    batch, rows = list[SealedPack](), 0
    for pack in packs:
        batch.append(pack)
        rows += pack.rows
        if len(batch) == _BATCH or rows >= _BATCH_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def pack_name(pack_id: PackId, kind: PackKind) -> str:
    """Return the object name of a pack; the last byte of the id spreads packs over 256 directories."""
    return f"packs/{kind}/{pack_id[-1:].hex()}/{pack_id.hex()}.pack"


def parse_pack_name(name: str) -> tuple[PackId, PackKind] | None:
    """Return id and kind of the pack that an object name means, None when it is no pack's."""
    match = re.fullmatch(_NAME, name)
    if match is None or not match[3].endswith(match[2]):
        return None
    return PackId(bytes.fromhex(match[3])), "d" if match[1] == "d" else "m"


def pack_time_ms(pack_id: PackId) -> int:
    """Return when the pack was begun, in ms since the epoch, as its UUIDv7 says."""
    return int.from_bytes(pack_id[:6], "big")


def encode_pack_header(pack_id: PackId, kind: PackKind, *, created_ms: int) -> bytes:
    """Return the first 32 bytes of a pack."""
    return PACK_HEADER.pack(_MAGIC, _VERSION, kind.encode(), 0, pack_id, created_ms)


def check_pack_header(data: bytes, pack_id: PackId, kind: PackKind, *, where: str) -> None:
    """Check the first 32 bytes of a pack; raises CorruptionError, naming ``where``."""
    wanted = encode_pack_header(pack_id, kind, created_ms=0)[:_CREATED]
    if len(data) < PACK_HEADER.size or data[:4] != _MAGIC:
        raise CorruptionError(where, "it does not begin as a pack")
    if data[4] != _VERSION:
        raise CorruptionError(where, f"its format version is {data[4]}, this release reads {_VERSION}")
    if data[:_CREATED] != wanted:
        raise CorruptionError(where, "it begins as another pack")


def encode_footer(rows: Sequence[bytes], pack_id: PackId, *, footer_off: int) -> tuple[bytes, bytes]:
    """Return footer and trailer for sorted 48-byte ``rows``; the footer begins at ``footer_off``."""
    footer = b"".join(rows)
    trailer = _TRAILER.pack(footer_off, len(rows), len(footer), xxh3_128_digest(footer), pack_id, _VERSION, 0, _END)
    return footer, trailer


def read_footer(backend: Reads, name: str, *, size: int | None = None) -> SealedPack:
    """Read the footer of the pack and check its header: one suffix read of 64 KiB, a second one when it is longer.

    A pack of more than 64 KiB takes one more short read, of the header. Of one in an archive the copy is read that was
    made before it went there (`shelve`).

    Args:
        backend: where the pack is.
        name: its object name.
        size: its size in bytes if the caller knows it from a listing; then it is checked too.

    Raises:
        NotFoundError: no such pack.
        CorruptionError: it has no valid header or footer; `scan_records` may still find its records.
        ArchivedError: it is in an archive, and there is no copy.
    """
    identity = parse_pack_name(name)
    if identity is None:
        raise CorruptionError(name, "it has no pack's name")
    pack_id, kind = identity
    try:
        tail = backend.get(name, offset=-_GUESS)
    except ArchivedError:
        return _read_shelved(backend, name, size=size)
    footer_off, footer_len, checksum = _decode_trailer(tail, pack_id, name)
    if footer_len + _TRAILER.size > len(tail) == _GUESS:
        tail = backend.get(name, offset=-(footer_len + _TRAILER.size))
    footer = tail[-_TRAILER.size - footer_len : -_TRAILER.size]
    if len(footer) != footer_len or xxh3_128_digest(footer) != checksum:
        raise CorruptionError(name, "the footer's checksum does not match")
    end = footer_off + footer_len + _TRAILER.size
    if (size is not None and end != size) or (len(tail) < _GUESS and end != len(tail)):
        raise CorruptionError(name, f"it is not {end} bytes long as its trailer says")
    header = tail if len(tail) == end else backend.get(name, length=PACK_HEADER.size)
    check_pack_header(header[: PACK_HEADER.size], pack_id, kind, where=name)
    pack = SealedPack(pack_id, kind, end, pack_time_ms(pack_id), footer)
    if not entries_fit(pack, footer_off):
        raise CorruptionError(name, "its footer has an entry that no record can have")
    return pack


def shelf_name(pack_id: PackId) -> str:
    """Return the object name of the copy of a data pack's header, footer and trailer."""
    return f"{SHELF}{pack_id[-1:].hex()}/{pack_id.hex()}.footer"


def shelved_pack(name: str) -> PackId | None:
    """Return the pack whose copy an object name means; None where it is no such name."""
    match = re.fullmatch(_SHELVED, name)
    return None if match is None else PackId(bytes.fromhex(match[1]))


def shelve(backend: Backend, name: str) -> None:
    """Keep a copy of what `read_footer` reads of a pack, for when that is in an archive; idempotent, durable.

    Raises as `read_footer`, and StorageError.
    """
    pack = read_footer(backend, name)
    length = len(pack.footer) + _TRAILER.size
    tail = backend.get(name, offset=-length)
    backend.put_new(shelf_name(pack.pack_id), backend.get(name, length=PACK_HEADER.size) + tail)


def _read_shelved(backend: Reads, name: str, *, size: int | None) -> SealedPack:
    identity = parse_pack_name(name)
    assert identity is not None, "the caller knows it"
    pack_id, kind = identity
    try:
        data = backend.get(shelf_name(pack_id))
    except NotFoundError as error:
        raise ArchivedError(f"read {name}, of which no footer was kept,", "another program's doing") from error
    footer_off, footer_len, checksum = _decode_trailer(data, pack_id, name)
    footer, end = data[PACK_HEADER.size : -_TRAILER.size], footer_off + footer_len + _TRAILER.size
    if len(footer) != footer_len or xxh3_128_digest(footer) != checksum or size not in (None, end):
        raise CorruptionError(shelf_name(pack_id), "it is not the footer of its pack")
    check_pack_header(data[: PACK_HEADER.size], pack_id, kind, where=name)
    pack = SealedPack(pack_id, kind, end, pack_time_ms(pack_id), footer)
    if not entries_fit(pack, footer_off):
        raise CorruptionError(name, "its footer has an entry that no record can have")
    return pack


def _decode_trailer(tail: bytes, pack_id: PackId, name: str) -> tuple[int, int, bytes]:
    if len(tail) < _TRAILER.size + PACK_HEADER.size:
        raise CorruptionError(name, "it is too short to be a pack")
    fields: tuple[Any, ...] = _TRAILER.unpack_from(tail, len(tail) - _TRAILER.size)
    footer_off, rows, footer_len, checksum, own_id, version, zero, end = fields
    if end != _END or own_id != pack_id or zero:
        raise CorruptionError(name, "it does not end as this pack should")
    if version != _VERSION:
        raise CorruptionError(name, f"its format version is {version}, this release reads {_VERSION}")
    whole = footer_off + footer_len + _TRAILER.size
    if footer_len != rows * ENTRY_ROW.size or footer_off < PACK_HEADER.size or whole > MAX_PACK:
        raise CorruptionError(name, "its trailer contradicts itself")
    return footer_off, footer_len, checksum


def entries_fit(pack: SealedPack, footer_off: int, *, few: int = _FEW) -> bool:
    """Say whether every entry is one that a record before the footer can have; up to ``few`` one by one."""
    return _columns_fit(pack, footer_off) if pack.rows > few else _rows_fit(pack, footer_off)


def _rows_fit(pack: SealedPack, footer_off: int) -> bool:
    for _, start, length, _, kind, codec, _ in ENTRY_ROW.iter_unpack(pack.footer):
        end = start + HEADER_SIZE + (0 if codec == Codec.IN_BLOCK else length)
        if not RecordType.CHUNK <= kind < RecordType.BLOCK or codec > Codec.IN_BLOCK:
            return False
        if start < PACK_HEADER.size or end > footer_off:
            return False
    return True


def _columns_fit(pack: SealedPack, footer_off: int) -> bool:
    entries = pack.entries
    kinds, codecs = entries["type"], entries["codec"]
    starts = entries["off"].astype(np.uint64)
    in_block = codecs == Codec.IN_BLOCK
    ends = starts + HEADER_SIZE + np.where(in_block, 0, entries["clen"]).astype(np.uint64)
    good = (kinds >= RecordType.CHUNK) & (kinds < RecordType.BLOCK) & (codecs <= Codec.IN_BLOCK)
    good &= (starts >= PACK_HEADER.size) & (ends <= footer_off)
    return bool(good.all())
