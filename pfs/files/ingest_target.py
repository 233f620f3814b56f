"""Where small files that are read go: the session, the buffers that they are read to, and who is told what was read."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from pfs.arrays import I64, np
from pfs.chunker import ChunkerParams
from pfs.files.fileref import FileRef
from pfs.files.ingest_queue import BATCH_BYTES
from pfs.files.seen import Reading, SeenFiles, are_steady
from pfs.packs.session import WriteSession
from pfs.sources.batch import Rows

_UNKNOWN_BYTES: Final = 16 << 10
"""What a file counts for in a group when its size is not known."""
LEAST_PART: Final = 33
"""Fewer files of a directory are put one by one: it is edited row by row, or has no page of its own."""
WHOLE_BYTES: Final = 1 << 20
"""Files up to this are read whole; larger ones are streamed."""


class ToRead(NamedTuple):
    """A file that is to be read; ``size`` is what it should have."""

    key: bytes
    path: str
    size: int = _UNKNOWN_BYTES
    by_folder: bool = False
    """Whether it needs no row of its own, since its directory is remembered."""
    ctime_ns: int | None = None
    """When it last changed, by the listing of its directory."""


class Part(NamedTuple):
    """Small files of one directory that are read together; the directory is going to be remembered as a whole."""

    key: bytes
    """Of the directory."""
    path: str
    names: bytes
    """Each with a NUL behind it, ascending; any path takes them."""
    ctimes: I64
    """When each file last changed, by the listing."""


class Target:
    """Where files go, and the buffers that they are read to."""

    def __init__(self, session: WriteSession, params: ChunkerParams, seen: SeenFiles | None) -> None:
        self.session, self.params, self._seen = session, params, seen
        self._buffers: deque[memoryview] = deque()

    def take_buffer(self) -> memoryview:
        """Return a buffer that nobody uses; there come to be as many as threads."""
        try:
            return self._buffers.pop()
        except IndexError:
            return memoryview(bytearray(BATCH_BYTES + WHOLE_BYTES + 1))

    def give_buffer(self, buffer: memoryview) -> None:
        """Give a buffer back."""
        self._buffers.append(buffer)

    def clock_ns(self) -> int:
        """Return the time by which files count as just changed."""
        return time.time_ns() if self._seen is None else self._seen.clock_ns()

    def note(self, file: ToRead, reading: Reading, ref: FileRef) -> None:
        """Tell of a file that was read alone."""
        if self._seen is not None:
            self._compare(file, reading.before.st_ctime_ns)
            self._seen.note(reading, ref)

    def _compare(self, file: ToRead, ctime_ns: int) -> None:
        """Take care that a listing is not remembered of a directory in which a file changed before it was read."""
        if self._seen is not None and file.ctime_ns not in {None, ctime_ns}:
            self._seen.unsteady.add(os.path.dirname(file.path))

    def note_rows(self, files: Sequence[ToRead], rows: Rows, refs: Sequence[FileRef | None], at_ns: int) -> None:
        """Tell of files that were read together; None: one that is read alone."""
        if self._seen is not None:
            for file, ref, ctime_ns in zip(files, refs, rows["stamp"]["ctime"].tolist(), strict=True):
                if ref is not None:
                    self._compare(file, ctime_ns)
            asked = [None if file.by_folder else ref for file, ref in zip(files, refs, strict=True)]
            self._seen.note_rows([file.path for file in files], rows, asked, at_ns=at_ns)

    def note_listed(self, directory: str, rows: Rows, ctimes: I64, *, at_ns: int) -> None:
        """Tell of files that were read together of a directory that is remembered; ``ctimes`` are by its listing."""
        if self._seen is not None and not (
            np.array_equal(rows["stamp"]["ctime"], ctimes) and are_steady(rows, at_ns).all()
        ):
            self._seen.unsteady.add(directory)
