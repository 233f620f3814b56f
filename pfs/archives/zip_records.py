"""The records of a zip file, by PKWARE's APPNOTE 6.3.9: local header, data descriptor, central directory and its end.

Names are UTF-8 and flagged so. Times stand twice: as local time of MS-DOS, which knows no zone (here: UTC), and as
seconds since the epoch in the extended timestamp, which every unzip of today prefers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

LIMIT: Final = 0xFFFF_FFFF
"""From here on, sizes and offsets need zip64."""
COUNT_LIMIT: Final = 0xFFFF
STORED: Final = 0
DEFLATED: Final = 8
STREAMED: Final = 0x0008
"""Sizes and checksum follow the data."""
_UTF8: Final = 0x0800
_UNIX: Final = 3 << 8
_VERSION: Final = 20
_VERSION_64: Final = 45
_DIRECTORY_BIT: Final = 0x10
_DOS_YEARS: Final = range(1980, 2108)
_EARLIEST: Final = (0, 1 << 5 | 1)
_LATEST: Final = (23 << 11 | 59 << 5 | 29, 127 << 9 | 12 << 5 | 31)


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the central directory lists it."""

    name: bytes
    mode: int
    mtime_s: int
    method: int
    flags: int
    crc: int
    packed: int
    """Bytes of its data in the zip."""
    size: int
    offset: int
    """Where its local header begins."""


def local_header(member: Member, *, zip64: bool) -> bytes:
    """Return what stands in front of the data; ``zip64``: its sizes, here or behind, have eight bytes."""
    extra = _timestamp(member.mtime_s)
    packed, size = member.packed, member.size
    if zip64:
        extra = struct.pack("<HHQQ", 1, 16, size, packed) + extra
        packed = size = LIMIT
    return (
        struct.pack(
            "<4s5H3L2H",
            b"PK\3\4",
            _VERSION_64 if zip64 else _VERSION,
            member.flags | _UTF8,
            member.method,
            *_dos_time(member.mtime_s),
            member.crc,
            packed,
            size,
            len(member.name),
            len(extra),
        )
        + member.name
        + extra
    )


def descriptor(member: Member, *, zip64: bool) -> bytes:
    """Return what follows the data of a streamed member."""
    return struct.pack("<4sLQQ" if zip64 else "<4sLLL", b"PK\7\x08", member.crc, member.packed, member.size)


def central_header(member: Member, *, limit: int = LIMIT) -> bytes:
    """Return the member's record of the central directory."""
    large = [value for value in (member.size, member.packed, member.offset) if value >= limit]
    size, packed, offset = (min(value, LIMIT) if value < limit else LIMIT for value in _sizes(member))
    extra = _timestamp(member.mtime_s)
    if large:
        extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) + extra
    directory = _DIRECTORY_BIT if member.name.endswith(b"/") else 0
    version = _VERSION_64 if large else _VERSION
    return (
        struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            _UNIX | version,
            version,
            member.flags | _UTF8,
            member.method,
            *_dos_time(member.mtime_s),
            member.crc,
            packed,
            size,
            len(member.name),
            len(extra),
            0,
            0,
            0,
            member.mode << 16 | directory,
            offset,
        )
        + member.name
        + extra
    )


def end_of_directory(count: int, size: int, offset: int, *, limit: int = LIMIT) -> bytes:
    """Return what ends a zip whose central directory has ``count`` records in ``size`` bytes from ``offset``."""
    large = count >= COUNT_LIMIT or size >= limit or offset >= limit
    records = b""
    if large:
        records = struct.pack(
            "<4sQ2H2L4Q", b"PK\6\6", 44, _UNIX | _VERSION_64, _VERSION_64, 0, 0, count, count, size, offset
        ) + struct.pack("<4sLQL", b"PK\6\7", 0, offset + size, 1)
        count, size, offset = COUNT_LIMIT, LIMIT, LIMIT
    return records + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, offset, 0)


def _sizes(member: Member) -> tuple[int, int, int]:
    return member.size, member.packed, member.offset


def _timestamp(mtime_s: int) -> bytes:
    return struct.pack("<HHBl", 0x5455, 5, 1, max(min(mtime_s, 0x7FFF_FFFF), -0x8000_0000))


def _dos_time(mtime_s: int) -> tuple[int, int]:
    """Return time and date as MS-DOS writes them, to two seconds, between 1980 and 2107."""
    moment = datetime.fromtimestamp(mtime_s, UTC)
    if moment.year not in _DOS_YEARS:
        return _EARLIEST if moment.year < _DOS_YEARS.start else _LATEST
    return (
        moment.hour << 11 | moment.minute << 5 | moment.second // 2,
        (moment.year - _DOS_YEARS.start) << 9 | moment.month << 5 | moment.day,
    )
