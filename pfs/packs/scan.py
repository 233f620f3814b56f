"""Salvage: the whole records of a pack, whether or not its footer can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pfs.backends.base import Lenient, Reads
from pfs.errors import CorruptionError
from pfs.packs.footer import PACK_HEADER, SealedPack, read_footer
from pfs.packs.record import HEADER_SIZE, RECORD_MAGIC, Record, decode_header, parse_record

_WINDOW: Final = 4 << 20
"""Bytes read at once; a larger record is read whole."""
_TRAILER_SIZE: Final = 64


class ScannedRecord(NamedTuple):
    """A whole record and where in the pack it begins."""

    offset: int
    record: Record


def scan_records(backend: Reads, name: str, *, footer: SealedPack | None = None) -> Iterator[ScannedRecord]:
    """Yield the whole records of a pack, in the order of writing, each with its full id verified.

    After a damaged place the scan goes on at the next record that checks out. A pack that was stored as a file and lies
    in a damaged record may then show its own records: they are true to their ids, but no more. A block is yielded as
    one record: which chunks it holds only the footer says. ``footer``: that of the pack, if it was read already.
    Memory: a window of 4 MiB, or one record.

    Raises:
        NotFoundError: no such pack.
    """
    reads = backend.leniently() if isinstance(backend, Lenient) else backend
    window = _Window(reads, name, stop=_records_end(backend, name) if footer is None else _end_in(footer))
    offset = PACK_HEADER.size
    while (found := _next_record(window, offset)) is not None:
        yield found
        offset = found.offset + found.record.stored


def _records_end(backend: Reads, name: str) -> int | None:
    try:
        return _end_in(read_footer(backend, name))
    except CorruptionError:
        return None


def _end_in(pack: SealedPack) -> int:
    return pack.size - _TRAILER_SIZE - len(pack.footer)


def _next_record(window: _Window, offset: int) -> ScannedRecord | None:
    while True:
        try:
            return ScannedRecord(offset, _parse_at(window, offset))
        except CorruptionError:
            found = window.find(RECORD_MAGIC, offset + 1)
            if found is None:
                return None
            offset = found


def _parse_at(window: _Window, offset: int) -> Record:
    where = f"{window.name} at {offset}"
    header = decode_header(window.read(offset, HEADER_SIZE), where=where)
    return parse_record(window.read(offset, HEADER_SIZE + header.clen), where=where, verify=True)


class _Window:
    """Reads an object forwards through a window; short at its end, or at ``stop``."""

    def __init__(self, backend: Reads, name: str, *, stop: int | None) -> None:
        self.name = name
        self._backend = backend
        self._stop = stop
        self._start = 0
        self._held = b""

    def read(self, offset: int, length: int) -> memoryview:
        """Return up to ``length`` bytes from ``offset``."""
        if self._stop is not None:
            length = max(min(length, self._stop - offset), 0)
        if not self._start <= offset <= offset + length <= self._start + len(self._held):
            self._start, self._held = offset, self._backend.get(self.name, offset=offset, length=max(length, _WINDOW))
        at = offset - self._start
        return memoryview(self._held)[at : at + length]

    def find(self, wanted: bytes, offset: int) -> int | None:
        """Return where ``wanted`` next begins at or after ``offset``."""
        while len(piece := self.read(offset, _WINDOW)) >= len(wanted):
            found = bytes(piece).find(wanted)
            if found >= 0:
                return offset + found
            offset += len(piece) - len(wanted) + 1
        return None
