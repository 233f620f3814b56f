"""Records: what a pack consists of (docs/format/pack.md). Bytes to values and back, no I/O.

A record is checked by xxh3 whenever it is read; that finds accidents. Only the full id (`verify`) proves that the bytes
are those that were asked for.
"""

from __future__ import annotations

import struct
import threading
from enum import IntEnum
from typing import Final, NamedTuple

import zstandard
from blake3 import blake3
from msgspec import Struct
from xxhash import xxh3_64_intdigest

from pfs.backends.base import Buffer
from pfs.errors import CorruptionError
from pfs.ids import chunk_id, manifest_id, page_id, record_id

RECORD_MAGIC: Final = b"PKR1"
_HEADER: Final = struct.Struct("<4sBBHIIQ32s")
HEADER_SIZE: Final = _HEADER.size
"""56 bytes in front of each payload."""
MAX_PAYLOAD: Final = (1 << 28) - 1
"""Largest payload in bytes, stored or plain: the index has 28 bits for it."""


class RecordType(IntEnum):
    """What a record holds; the numbers are part of the format."""

    CHUNK = 1
    PAGE = 2
    MANIFEST = 3
    COMMIT = 4
    BLOCK = 5
    """Small chunks, one after the other, compressed as one; the footer says where each lies in it."""


class Codec(IntEnum):
    """How a payload is stored; the numbers are part of the format."""

    RAW = 0
    ZSTD = 1
    IN_BLOCK = 2
    """In footers only: the entry lies in a block."""


_TYPES: Final = {int(one): one for one in RecordType}
_CODECS: Final = tuple(Codec)
"""By number; a look-up costs a tenth of a call of the class."""


class Header(NamedTuple):
    """The 56 bytes in front of a payload; ``clen`` stored and ``ulen`` plain size of it in bytes."""

    type: RecordType
    codec: Codec
    clen: int
    ulen: int
    checksum: int
    id: bytes


class Record(Struct, frozen=True):
    """A checked record; ``payload`` is plain, ``stored`` counts the bytes in the pack, header included."""

    type: RecordType
    codec: Codec
    id: bytes
    payload: bytes
    stored: int


class _Tools(threading.local):
    """A zstd context is not thread-safe: one a thread."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()


_tools = _Tools()


def block_id(payload: Buffer) -> bytes:
    """Return the id of a block: BLAKE3 ``pfs block v1`` of its payload as stored (so it needs no decompression)."""
    return blake3(payload, derive_key_context="pfs block v1").digest()


def encode_header(type: RecordType, id: bytes, payload: Buffer, *, codec: Codec, ulen: int) -> bytes:
    """Return the header of a record with the stored ``payload`` and ``ulen`` plain bytes."""
    checksum = xxh3_64_intdigest(payload)
    return _HEADER.pack(RECORD_MAGIC, type, codec, 0, len(payload), ulen, checksum, id)


def decode_header(data: Buffer, *, where: str) -> Header:
    """Decode and check the first 56 bytes of ``data``; the payload is not looked at.

    Raises:
        CorruptionError: it is no record header, naming ``where``.
    """
    if len(data) < HEADER_SIZE:
        raise CorruptionError(where, "the record is cut short")
    magic, kind, codec, flags, clen, ulen, checksum, id = _HEADER.unpack_from(data)
    if magic != RECORD_MAGIC or not 1 <= kind <= RecordType.BLOCK or flags:
        raise CorruptionError(where, "no record begins here")
    if codec > Codec.ZSTD or max(clen, ulen) > MAX_PAYLOAD or (codec == Codec.RAW and clen != ulen):
        raise CorruptionError(where, "the record's header contradicts itself")
    return Header(_TYPES[kind], _CODECS[codec], clen, ulen, checksum, id)


def parse_record(data: Buffer, *, where: str, verify: bool = False) -> Record:
    """Check and decompress the record at the start of ``data``; bytes behind it do not matter.

    Args:
        data: at least the whole record.
        where: names the place in errors.
        verify: also compute the full id (2 GB/s) and compare it with the header's.

    Raises:
        CorruptionError: it is cut short, or not the bytes that were written.
    """
    header = decode_header(data, where=where)
    return check_record(header, memoryview(data)[HEADER_SIZE : HEADER_SIZE + header.clen], where=where, verify=verify)


def check_record(header: Header, stored: bytes | memoryview, *, where: str, verify: bool = False) -> Record:
    """Check and decompress the ``stored`` payload of ``header``; as `parse_record`, without a copy of raw bytes."""
    if len(stored) != header.clen:
        raise CorruptionError(where, "the record is cut short")
    if xxh3_64_intdigest(stored) != header.checksum:
        raise CorruptionError(where, "the checksum does not match")
    payload = bytes(stored) if header.codec is Codec.RAW else _decompress(stored, header.ulen, where=where)
    if verify and _id_of(header.type, stored, payload) != header.id:
        raise CorruptionError(where, f"the bytes are not those of {header.type.name.lower()} {header.id.hex()[:12]}")
    return Record(header.type, header.codec, header.id, payload, HEADER_SIZE + header.clen)


def _decompress(stored: bytes | memoryview, ulen: int, *, where: str) -> bytes:
    try:
        # Asked first, because decompress() would allocate whatever size the frame claims.
        claimed = zstandard.frame_content_size(stored)
        if claimed not in (-1, ulen):
            raise CorruptionError(where, "the compressed size does not match")
        payload = _tools.decompressor.decompress(stored, max_output_size=ulen)
    except zstandard.ZstdError as error:
        raise CorruptionError(where, f"it cannot be decompressed ({error})") from error
    if len(payload) != ulen:
        raise CorruptionError(where, "the decompressed size does not match")
    return payload


def _id_of(type: RecordType, stored: bytes | memoryview, payload: bytes) -> bytes:
    match type:
        case RecordType.CHUNK:
            return chunk_id(payload)
        case RecordType.PAGE:
            return page_id(payload)
        case RecordType.MANIFEST:
            return manifest_id(payload)
        case RecordType.COMMIT:
            return record_id(payload)
        case RecordType.BLOCK:
            return block_id(stored)
