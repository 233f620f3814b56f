"""Reading known records out of one pack: in order of place, each block decompressed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from pfs.backends.base import Reads
from pfs.errors import CorruptionError
from pfs.ids import chunk_id
from pfs.lru import Lru
from pfs.packs.index_rows import IN_BLOCK, Location
from pfs.packs.record import HEADER_SIZE, Header, Record, RecordType, check_record, decode_header

_GUESS: Final = 64 * 1024
"""Bytes read of a record whose size is not known: most blocks are not larger once compressed."""
_BATCH: Final = 8 << 20
"""Bytes asked for at once, so that small chunks out of many blocks do not hold all those blocks in memory."""


class Wanted(Struct, frozen=True):
    """An object and where the index says it is; ``size`` is that of a chunk in bytes, None where it is not known."""

    id: bytes
    size: int | None
    place: Location


class _Spot(Struct, frozen=True):
    """One record, ``length`` bytes of its payload, and what is wanted of it: several things only from a block."""

    offset: int
    length: int
    wanted: list[Wanted]


_Stored = tuple[Header, bytes | memoryview]


class PackReader:
    """Reads records of any pack of a backend and keeps the blocks used last; thread-safe."""

    def __init__(self, backend: Reads, *, block_bytes: int) -> None:
        """Keep up to ``block_bytes`` of decompressed blocks."""
        self._backend = backend
        self._blocks: Lru[tuple[str, int], bytes] = Lru(block_bytes)

    def read(
        self, name: str, wanted: Sequence[Wanted], *, kind: RecordType, verify: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (id, plain bytes) of each object wanted from the pack ``name``, in order of place.

        Raises:
            NotFoundError: the pack is not there.
            CorruptionError: damaged bytes, or another object at the place.
        """
        for batch in _batches(_spots(wanted)):
            held = {spot.offset: self._blocks.get((name, spot.offset)) for spot in batch}
            cold = [spot for spot in batch if held[spot.offset] is None]
            records = dict(zip((spot.offset for spot in cold), self._stored(name, cold), strict=True))
            for spot in batch:
                where = f"{name} at {spot.offset}"
                if spot.wanted[0].place.type == IN_BLOCK:
                    block = held[spot.offset]
                    if block is None:
                        block = self._block(name, spot.offset, records[spot.offset])
                    yield from ((one.id, _cut(block, one, where=where)) for one in spot.wanted)
                else:
                    header, stored = records[spot.offset]
                    record = check_record(header, stored, where=where, verify=verify)
                    yield _expect(record, spot.wanted[0].id, kind=kind, where=where)

    def record(self, name: str, offset: int) -> Record:
        """Return the record at ``offset`` of the pack, whatever it holds, with its full id verified."""
        header, stored = self._stored(name, [_Spot(offset, _GUESS, [])])[0]
        return check_record(header, stored, where=f"{name} at {offset}", verify=True)

    def _block(self, name: str, offset: int, found: _Stored) -> bytes:
        where = f"{name} at {offset}"
        record = check_record(*found, where=where)
        if record.type is not RecordType.BLOCK:
            raise CorruptionError(where, "it is no block of chunks")
        self._blocks.put((name, offset), record.payload, weight=len(record.payload))
        return record.payload

    def _stored(self, name: str, spots: Sequence[_Spot]) -> list[_Stored]:
        """Return header and payload of each; a second read gets the ends of those that were larger than guessed."""
        if not spots:
            return []
        ranges: list[tuple[int, int]] = []
        for spot in spots:
            ranges += (spot.offset, HEADER_SIZE), (spot.offset + HEADER_SIZE, spot.length)
        pieces = self._backend.get_ranges(name, ranges)
        headers = [
            decode_header(piece, where=f"{name} at {spot.offset}")
            for spot, piece in zip(spots, pieces[::2], strict=True)
        ]
        payloads = pieces[1::2]
        rests = _rests(spots, headers, payloads)
        if rests:
            for number, rest in zip(rests, self._backend.get_ranges(name, list(rests.values())), strict=True):
                payloads[number] += rest
        return [(header, _cut_to(payload, header.clen)) for header, payload in zip(headers, payloads, strict=True)]


def _rests(spots: Sequence[_Spot], headers: Sequence[Header], payloads: Sequence[bytes]) -> dict[int, tuple[int, int]]:
    """Return what is still to be read, by the number of the spot; none of a pack that ends too early."""
    rests: dict[int, tuple[int, int]] = {}
    for number, (spot, header, payload) in enumerate(zip(spots, headers, payloads, strict=True)):
        if header.clen > len(payload) == spot.length:
            rests[number] = (spot.offset + HEADER_SIZE + len(payload), header.clen - len(payload))
    return rests


def _cut_to(payload: bytes, size: int) -> bytes | memoryview:
    return payload if len(payload) <= size else memoryview(payload)[:size]


def _spots(wanted: Sequence[Wanted]) -> Iterator[_Spot]:
    ordered = sorted(wanted, key=_offset)
    for offset, group in groupby(ordered, key=_offset):
        ones = list(group)
        place = ones[0].place
        yield _Spot(offset, _GUESS if place.type == IN_BLOCK else place.clen, ones)


def _offset(wanted: Wanted) -> int:
    return wanted.place.offset


def _batches(spots: Iterator[_Spot]) -> Iterator[list[_Spot]]:
    batch: list[_Spot] = []
    size = 0
    for spot in spots:
        if batch and size + spot.length > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(spot)
        size += spot.length
    if batch:
        yield batch


def _cut(block: bytes, wanted: Wanted, *, where: str) -> bytes:
    # A block names no chunk, so nothing but the full id tells that the index was right; such chunks are small.
    start = wanted.place.clen
    size = wanted.size or 0
    chunk = block[start : start + size]
    if chunk_id(chunk) != wanted.id:
        raise CorruptionError(where, f"chunk {wanted.id.hex()[:12]} of {size} bytes is not in this block")
    return chunk


def _expect(record: Record, id: bytes, *, kind: RecordType, where: str) -> tuple[bytes, bytes]:
    if record.id != id or record.type is not kind:
        found = f"{record.type.name.lower()} {record.id.hex()[:12]}"
        raise CorruptionError(where, f"it holds {found}, not {kind.name.lower()} {id.hex()[:12]}")
    return id, record.payload
