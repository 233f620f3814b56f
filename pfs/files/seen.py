"""Files that were put before: what their status said when they were read, and what content that was.

A file whose status is the same to the nanosecond and the inode is not read again, provided that the store still has all
of its content. Writers cannot set the time of change (ctime), so an edit shows there even if size and time of
modification are put back. Not remembered is a file that could change without its status showing it:

- one that changed less than `RACY_NS` before it was read: the next change may fall into the same tick of the clock;
- one whose time of change is a whole second: a file system of coarse times, or an image whose times are constants;
- one whose status changed while it was read, or says another size than was read (/proc).

The rows are in the index, and like it they may be lost at any time. Format: docs/format/index.md.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from blake3 import blake3
from msgspec import Struct

from pfs.arrays import np, npt
from pfs.errors import CorruptionError, PfsError
from pfs.files.fileref import EMPTY_FILE, FileRef
from pfs.ids import TreeId
from pfs.packs.index import Index
from pfs.packs.session import WriteSession
from pfs.sources.batch import ODD, WHOLE, Rows
from pfs.sources.local import AnyStatus, LocalFile
from pfs.trees.page import Kind

RACY_NS: Final = 100_000_000
"""Ten times the longest tick by which kernels stamp files; file systems of coarser times stamp whole seconds."""
NOTES: Final = 32_768
"""Notes in memory at most; a put of fewer files writes them with its commit."""
LOOKED_UP: Final = 4096
"""Files looked up in one transaction."""
_SECOND: Final = 1_000_000_000
_STAMP: Final = struct.Struct("<QqqQ")
_KINDS: Final = {int(kind): kind for kind in (Kind.FILE, Kind.CHUNKED)}


class Reading(Struct, frozen=True):
    """A file that was read: its status right before and right after, and the time before, in ns since 1970."""

    path: str
    before: AnyStatus
    after: AnyStatus
    at_ns: int


class SeenFiles:
    """What is known of local files, for the writer of one commit; thread-safe."""

    def __init__(self, index: Index, session: WriteSession, *, clock_ns: Callable[[], int]) -> None:
        self._index, self._session = index, session
        self._lock = threading.Lock()
        self._notes: dict[bytes, bytes] = {}
        self.clock_ns = clock_ns
        self.unsteady: set[str] = set()
        """Directories of files that were read and are not remembered."""

    def unread(
        self, files: Iterable[LocalFile], known: Callable[[Sequence[tuple[LocalFile, FileRef]]], None]
    ) -> Iterator[LocalFile]:
        """Yield the files that must be read; the others go to ``known`` with their content, in batches."""
        source = iter(files)
        while batch := list(islice(source, LOOKED_UP)):
            asked = [file for file in batch if not file.by_folder]
            refs = self.recall(asked) if asked else []
            known([(file, ref) for file, ref in zip(asked, refs, strict=True) if ref is not None])
            yield from (file for file in batch if file.by_folder)
            yield from (file for file, ref in zip(asked, refs, strict=True) if ref is None)

    def recall(self, files: Sequence[LocalFile]) -> list[FileRef | None]:
        """Return the content of each file as far as that needs no reading; two transactions, some 5 us a file.

        The packs that hold it count as touched by the session, as those of chunks that are put again.
        """
        rows = self._index.seen([_key(file.path, file.status) for file in files])
        refs = [None if row is None else _match(row, file.status) for row, file in zip(rows, files, strict=True)]
        tids = [ref.tid for ref in refs if ref is not None and ref.size]
        held = {tid for tid, is_held in zip(tids, self._session.holds(tids), strict=True) if is_held}
        held.add(EMPTY_FILE.tid)
        return [ref if ref is not None and ref.tid in held and self._is_whole(ref) else None for ref in refs]

    def _is_whole(self, ref: FileRef) -> bool:
        """Say whether what the manifest of a file lists is there too."""
        if ref.kind != Kind.CHUNKED:
            return True
        with suppress(CorruptionError):
            return all(all(self._session.holds(ids)) for ids in self._session.manifest(ref.tid).ids())
        return False

    def note(self, reading: Reading, ref: FileRef) -> None:
        """Remember what was read, unless it could change unnoticed."""
        row = _row(reading, ref)
        self._remember({} if row is None else {_key(reading.path, reading.before): row})
        if row is None:
            self.unsteady.add(os.path.dirname(reading.path))

    def _remember(self, noted: dict[bytes, bytes]) -> None:
        with self._lock:
            self._notes |= noted
            full = self._take() if len(self._notes) >= NOTES else {}
        if full:
            # Before the commit: a row whose content never comes into the store is not believed.
            with suppress(PfsError):
                self._index.add([], seen=full)

    def note_rows(self, paths: Sequence[str], rows: Rows, refs: Sequence[FileRef | None], *, at_ns: int) -> None:
        """Remember files that were read together, from ``at_ns`` on, as `note` does; None: it needs no row.

        The directories of those that could change unnoticed are ``unsteady``, whether or not they need a row.
        """
        steady = are_steady(rows, at_ns)
        packed, devices = rows["stamp"].tobytes(), rows["device"].tolist()
        noted = {}
        for row in np.flatnonzero(steady).tolist():
            ref = refs[row]
            if ref is not None:
                stamp = packed[row * _STAMP.size : (row + 1) * _STAMP.size]
                noted[_key_of(paths[row], devices[row])] = stamp + bytes((ref.kind,)) + ref.tid
        self._remember(noted)
        unsteady = ~steady & (rows["state"] != ODD)  # what is odd is read by itself, and noted then
        self.unsteady.update(os.path.dirname(paths[row]) for row in np.flatnonzero(unsteady).tolist())

    def take(self) -> dict[bytes, bytes]:
        """Return the rows that wait to be written, and forget them."""
        with self._lock:
            return self._take()

    def _take(self) -> dict[bytes, bytes]:
        taken, self._notes = self._notes, {}
        return taken


def are_steady(rows: Rows, at_ns: int) -> npt.NDArray[np.bool_]:
    """Say of files that were read from ``at_ns`` on whether none of them could change unnoticed."""
    stamps = rows["stamp"]
    newest = np.maximum(stamps["mtime"], stamps["ctime"])
    steady: npt.NDArray[np.bool_] = (
        (rows["state"] == WHOLE) & (newest <= at_ns - RACY_NS) & (stamps["ctime"] % _SECOND != 0)
    )
    return steady


def _key(path: str, status: AnyStatus) -> bytes:
    return _key_of(path, status.st_dev)


def _key_of(path: str, device: int) -> bytes:
    return blake3(b"%d:%b" % (device, os.fsencode(path))).digest(16)


def _stamp(status: AnyStatus) -> bytes:
    """Return what must be equal for the file to be the same; empty for times that no row holds."""
    try:
        return _STAMP.pack(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    except struct.error:
        return b""


def _match(row: bytes, status: AnyStatus) -> FileRef | None:
    kind = _KINDS.get(row[_STAMP.size])
    if kind is None or row[: _STAMP.size] != _stamp(status):
        return None
    return FileRef(kind, status.st_size, TreeId(row[_STAMP.size + 1 :]))


def _row(reading: Reading, ref: FileRef) -> bytes | None:
    status = reading.before
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    if (
        newest > reading.at_ns - RACY_NS
        or status.st_ctime_ns % _SECOND == 0
        or status.st_size != ref.size
        or not stat.S_ISREG(status.st_mode)
    ):
        return None
    stamp = _stamp(status)
    return stamp + bytes((ref.kind,)) + ref.tid if stamp and stamp == _stamp(reading.after) else None
