"""A file that is open: it stays the file of the commit in which it was opened, whatever its branch does."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from pfs.files.reader import FileReader, iter_range
from pfs.ids import TreeId
from pfs.lru import Lru
from pfs.mount.attributes import Attributes
from pfs.mount.window import Window
from pfs.packs.objects import Objects
from pfs.trees.row import Row

_WHOLE_BYTES: Final = 1 << 20
"""Files up to this are read whole at the first read."""
_CACHE_BYTES: Final = 64 << 20
_WINDOWS: Final = 8
_STEPS: Final = 2
"""Reads in a row after which a reader is taken for one that reads on."""
_NEAR_BYTES: Final = 1 << 20
_JOBS: Final = 2


class Reading:
    """What open files share: small contents, and how many of them read ahead; thread-safe.

    Memory: 64 MiB of small files, and 8 windows of up to 18 MiB.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.small: Lru[TreeId, bytes] = Lru(_CACHE_BYTES)
        self._ahead: OrderedDict[OpenFile, None] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, file: OpenFile) -> OpenFile | None:
        """Count a file among those that read ahead, as the last used; return one that has to stop for it."""
        with self._lock:
            self._ahead[file] = None
            self._ahead.move_to_end(file)
            return self._ahead.popitem(last=False)[0] if len(self._ahead) > _WINDOWS else None

    def leave(self, file: OpenFile) -> None:
        """Count a file no more."""
        with self._lock:
            self._ahead.pop(file, None)


class OpenFile:
    """One file handle; thread-safe."""

    def __init__(self, reading: Reading, row: Row, attributes: Attributes, *, fixed: bool) -> None:
        self.row, self.attributes = row, attributes
        self.fixed = fixed
        """Whether the same path will show the same bytes for ever."""
        self._reading = reading
        self._reader = FileReader(reading.objects, row)
        self._window: Window | None = None
        self._next = self._steps = 0
        self._lock = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer only at the end of the file.

        Raises:
            CorruptionError, MissingObjectError, StorageError: they cannot be read.
        """
        stop = min(offset + size, self.row.size)
        if offset >= stop:
            return b""
        if self.row.size <= _WHOLE_BYTES:
            return self._whole()[offset:stop]
        with self._lock:
            reads_on = self._reads_on(offset, stop)
        other = self._reading.admit(self) if reads_on else None
        if other is not None:
            other.rest()
        with self._lock:
            return self._ahead(offset, stop) if reads_on else self._at(offset, stop)

    def rest(self) -> None:
        """Stop reading ahead, until the file is read on again."""
        with self._lock:
            self._close_window()

    def close(self) -> None:
        """Give everything back."""
        self._reading.leave(self)
        self.rest()

    def _whole(self) -> bytes:
        data = self._reading.small.get(self.row.tid)
        if data is None:
            data = self._reader.read_range(0, self.row.size)
            self._reading.small.put(self.row.tid, data, weight=len(data))
        return data

    def _reads_on(self, offset: int, stop: int) -> bool:
        near = abs(offset - self._next) <= _NEAR_BYTES
        self._steps = self._steps + 1 if near else 0
        self._next = stop
        return self._steps > _STEPS

    def _ahead(self, offset: int, stop: int) -> bytes:
        if self._window is not None:
            data = self._window.read(offset, stop)
            if data is not None:
                return data
            self._close_window()
        self._window = Window(iter_range(self._reading.objects, self.row, start=offset, jobs=_JOBS), offset)
        return self._window.read(offset, stop) or b""

    def _at(self, offset: int, stop: int) -> bytes:
        self._reader.seek(offset)
        pieces, left = [], stop - offset
        while left and (piece := self._reader.read(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None
