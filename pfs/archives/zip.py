"""zip, written front to back: it can go into a pipe, and needs no memory that grows with the number of files.

Files that are in memory whole have their sizes in front; larger ones are streamed, with sizes and checksum behind. The
central directory, which has a record for each file and stands at the end, waits in a temporary file when it is large.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO, Final

from pfs.archives.entry import Entry
from pfs.archives.zip_records import (
    DEFLATED,
    LIMIT,
    STORED,
    STREAMED,
    Member,
    central_header,
    descriptor,
    end_of_directory,
    local_header,
)
from pfs.backends.durable import storage_errors

_LEVEL: Final = 6
_DIRECTORY_MEMORY: Final = 8 << 20
_READ: Final = 1 << 20
_KEEPING: Final = "keep the list of a zip's files"


def zipped(entries: Iterable[Entry], *, limit: int = LIMIT) -> Iterator[bytes]:
    """Yield the bytes of a zip with ``entries`` in their order.

    Args:
        entries: files, directories and links.
        limit: from which sizes and offsets on zip64 is used; a lower one shows that it works.

    Raises:
        StorageError, StorageFullError: the temporary file cannot be written.
    """
    with tempfile.SpooledTemporaryFile(_DIRECTORY_MEMORY) as directory:
        writer = _Writer(directory, limit)
        for entry in entries:
            yield from writer.add(entry)
        yield from writer.end()


class _Writer:
    """The state of one zip: where it is, and its directory so far."""

    def __init__(self, directory: IO[bytes], limit: int) -> None:
        self._directory, self._limit = directory, limit
        self._offset = self._count = 0

    def add(self, entry: Entry) -> Iterator[bytes]:
        """Yield the bytes of one member."""
        name = entry.name + b"/" if entry.is_directory else entry.name
        member = Member(name, entry.mode, entry.mtime_s, STORED, 0, 0, 0, entry.size, self._offset)
        if entry.whole is None:
            yield from self._streamed(member, entry.pieces)
        else:
            yield from self._whole(member, entry.whole)

    def _whole(self, member: Member, data: bytes) -> Iterator[bytes]:
        packed = _deflated(data)
        if len(packed) < len(data):
            member, payload = replace(member, method=DEFLATED), packed
        else:
            payload = data
        member = replace(member, crc=zlib.crc32(data), packed=len(payload), size=len(data))
        yield from self._counted([local_header(member, zip64=member.size >= self._limit), payload])
        self._list(member)

    def _streamed(self, member: Member, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
        # Deflate makes bytes that it cannot compress longer, by less than a 1,024th.
        zip64 = member.size + (member.size >> 10) >= self._limit
        member = replace(member, method=DEFLATED, flags=STREAMED)
        yield from self._counted([local_header(replace(member, size=0), zip64=zip64)])
        begin, crc = self._offset, 0
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            yield from self._counted([packer.compress(piece)])
        yield from self._counted([packer.flush()])
        member = replace(member, crc=crc, packed=self._offset - begin)
        yield from self._counted([descriptor(member, zip64=zip64)])
        self._list(member)

    def end(self) -> Iterator[bytes]:
        """Yield the central directory and what ends the zip."""
        begin = self._offset
        with storage_errors(_KEEPING):
            self._directory.seek(0)
        while piece := self._directory.read(_READ):
            yield from self._counted([piece])
        yield end_of_directory(self._count, self._offset - begin, begin, limit=self._limit)

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._offset += len(piece)
            yield piece

    def _list(self, member: Member) -> None:
        with storage_errors(_KEEPING):
            self._directory.write(central_header(member, limit=self._limit))
        self._count += 1


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()
