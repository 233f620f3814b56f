"""Learning many packs from index segments, where each footer would be a request (docs/design/index-segments.md)."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO, Final

from pfs.backends.base import Backend
from pfs.errors import CorruptionError, InvalidInputError, NotFoundError
from pfs.ids import PackId
from pfs.packs.footer import SealedPack
from pfs.packs.segment import HEAD_GUESS, Head, decode_head, footers_in, head_size, records_in, records_match
from pfs.parallel import at_once
from pfs.refs.segments import SegmentRow, read_manifest

FEW: Final = 32
"""Packs up to which their footers are read without a look at segments."""
_WORTH: Final = 8
"""Wanted packs in a segment for which it is worth its bytes."""


class Spool:
    """Commit records by pack, in a file without a name. Threads may read while one adds. Memory: 300 bytes a pack."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._places: dict[PackId, tuple[int, list[int]]] = {}
        self._end = 0

    def add(self, pack: PackId, records: list[bytes]) -> None:
        """Keep the records of a pack; where the disk is full they are not kept."""
        import tempfile  # costs a start-up more than the rest of this module

        with suppress(OSError):
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            os.pwrite(self._file.fileno(), b"".join(records), self._end)
            self._places[pack] = self._end, [len(record) for record in records]
            self._end += sum(map(len, records))

    def find(self, pack: PackId) -> list[bytes] | None:
        """Return the records of a pack, None when they are not here."""
        if pack not in self._places or self._file is None:
            return None
        at, sizes = self._places[pack]
        data, found = os.pread(self._file.fileno(), sum(sizes), at), list[bytes]()
        for size in sizes:
            found.append(data[:size])
            data = data[size:]
        return found


class Segments:
    """Reads the segments of a store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.records = Spool()
        """Commit records of the packs that `footers` gave."""

    def footers(self, wanted: Mapping[PackId, int]) -> Iterator[SealedPack]:
        """Yield the footers of packs, given with their sizes in bytes, as far as whole segments have them.

        What is missing, damaged, or differs in size is left out: its own footer says more. Nothing is read for a few.
        One segment is in memory, 32 MiB and more. Raises StorageError.
        """
        if len(wanted) <= FEW or self._backend.parallel == 1:
            return
        try:
            manifest, _ = read_manifest(self._backend)
        except InvalidInputError:
            return
        rows = [row for row in manifest.segments if bytes.fromhex(row.newest) >= min(wanted)]
        if 2 * len(wanted) < sum(row.packs for row in rows):
            heads = at_once(self._backend.parallel, lambda row: read_head(self._backend, row), rows)
            rows = [row for row, head in zip(rows, heads, strict=True) if head is not None and _is_worth(head, wanted)]
        for row in rows:
            yield from self._read(row, wanted)

    def _read(self, row: SegmentRow, wanted: Mapping[PackId, int]) -> Iterator[SealedPack]:
        records: dict[PackId, list[bytes]] = {}
        try:
            data = self._backend.get(row.name, offset=0, length=row.size)
            head = decode_head(data, bytes.fromhex(row.id), where=row.name)
            for pack, record in records_in(data, head):
                records.setdefault(pack, []).append(record)
        except (NotFoundError, CorruptionError):
            return
        for footer in footers_in(data, head):
            if footer is None or wanted.get(footer.pack_id) != footer.size:
                continue
            known = records.get(footer.pack_id, [])
            if records_match(footer, known):
                if known:
                    self.records.add(footer.pack_id, known)
                yield footer


def _is_worth(head: Head, wanted: Mapping[PackId, int]) -> bool:
    return sum(pack in wanted for pack in head.packs()) >= _WORTH


def read_head(backend: Backend, row: SegmentRow) -> Head | None:
    """Return what a segment covers; one read, or two of a large one. None: it is missing or damaged."""
    try:
        data = backend.get(row.name, offset=0, length=HEAD_GUESS)
        needed = head_size(data, where=row.name)
        if needed > len(data):
            data = backend.get(row.name, offset=0, length=min(needed, row.size))
        return decode_head(data, bytes.fromhex(row.id), where=row.name)
    except (NotFoundError, CorruptionError):
        return None
