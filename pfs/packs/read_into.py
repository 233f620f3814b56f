"""Reading chunks in large runs and into a buffer that is used again, so that no new memory is touched.

Chunks of a file mostly lie one behind the other in a pack: a run of them is one read. What is returned was checked like
any other record; whatever is unusual is left to `pfs.packs.read`, which can retry, and say what is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeGuard

import zstandard
from xxhash import xxh3_64_intdigest

from pfs.backends.base import Reads
from pfs.ids import ChunkId
from pfs.packs.index import Index
from pfs.packs.index_rows import Location
from pfs.packs.pack import pack_name
from pfs.packs.record import HEADER_SIZE, Codec, RecordType, decode_header


class Room(NamedTuple):
    """Where chunks are read to: ``plain`` is what they are returned in, ``packed`` takes compressed ones before that.

    Without ``packed`` only chunks that are stored as they are can be read.
    """

    plain: memoryview
    packed: memoryview = memoryview(b"")


class _Run(NamedTuple):
    """Bytes of a pack from ``start`` to ``stop``: whole records, one behind the other, all compressed or none."""

    pack_no: int
    start: int
    stop: int
    packed: bool
    chunks: list[tuple[ChunkId, int]]


class _Tools(threading.local):
    """A zstd context is not thread-safe: one a thread."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()


_tools = _Tools()


def is_raw(place: Location | None, size: int) -> TypeGuard[Location]:
    """Say whether a chunk of ``size`` bytes is a record of its own, stored as it is."""
    return _is_alone(place) and place.clen == size


def read_into(
    backend: Reads, index: Index, wanted: Iterable[tuple[tuple[ChunkId, int], Location | None]], room: Room
) -> list[memoryview] | None:
    """Return (id, size) chunks in the order given, as views of ``room.plain``.

    None: one shares a block, is not there, damaged, or too much for the room.

    Raises:
        NotFoundError: the pack is not there.
        CorruptionError: it is damaged.
        StorageError: it cannot be read.
    """
    found: list[memoryview] = []
    plain = room.plain
    for run in _runs(wanted):
        size = run.stop - run.start
        stored = (room.packed if run.packed else plain)[:size]
        if not size or len(stored) < size:
            return None
        name = pack_name(*index.pack(run.pack_no))
        if backend.read_into(name, run.start, stored) < size:
            return None
        if not run.packed:
            plain = plain[size:]
        for id, length in run.chunks:
            header = decode_header(stored, where=name)
            payload, stored = stored[HEADER_SIZE:][: header.clen], stored[HEADER_SIZE + header.clen :]
            codec = Codec.ZSTD if run.packed else Codec.RAW
            if header[:4] != (RecordType.CHUNK, codec, len(payload), length) or header.id != id:
                return None
            if xxh3_64_intdigest(payload) != header.checksum:
                return None
            if run.packed:
                packed, payload, plain = payload, plain[:length], plain[length:]
                if not _unpacked(packed, payload):
                    return None
            found.append(payload)
    return found


def _unpacked(payload: memoryview, plain: memoryview) -> bool:
    """Decompress to ``plain``, and say whether that is all and fills it; in one pass, without memory of its own."""
    try:
        if zstandard.frame_content_size(payload) != len(plain):
            return False
        reader = _tools.decompressor.stream_reader(payload, read_size=len(payload))
        return reader.readinto(plain) == len(plain)
    except zstandard.ZstdError:
        return False


def _runs(wanted: Iterable[tuple[tuple[ChunkId, int], Location | None]]) -> Iterator[_Run]:
    """Yield runs as long as they get; an empty one where there is a chunk that is no record of its own."""
    run: _Run | None = None
    for (id, size), place in wanted:
        if not _is_alone(place):
            yield _Run(0, 0, 0, False, [])
            return
        stop, packed = place.offset + HEADER_SIZE + place.clen, place.clen != size
        if run is not None and (run.pack_no, run.stop, run.packed) == (place.pack_no, place.offset, packed):
            run.chunks.append((id, size))
            run = run._replace(stop=stop)
            continue
        if run is not None:
            yield run
        run = _Run(place.pack_no, place.offset, stop, packed, [(id, size)])
    if run is not None:
        yield run


def _is_alone(place: Location | None) -> TypeGuard[Location]:
    return place is not None and place.type == RecordType.CHUNK
