"""The few calls by which bytes become durable on a local file system, and the errors they give.

Power loss keeps what was synced and nothing more: a file's bytes by `sync_file`, its name by `sync_directory` of the
directory that holds it, and that directory's own name by the same for its parent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pfs.backends.base import Buffer
from pfs.errors import StorageError, StorageFullError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that mean that there is no more room."""
_IOV_MAX: Final = 1024
"""Buffers that one writev takes on Linux and macOS."""
_READ_MAX: Final = 1 << 30
"""One read returns at most 2 GiB less a page."""


@contextmanager
def storage_errors(action: str) -> Iterator[None]:
    """Turn an OSError inside into StorageFullError or StorageError: ``cannot <action>: <reason>``."""
    try:
        yield
    except OSError as error:
        kind = StorageFullError if error.errno in FULL else StorageError
        raise kind(action, error.strerror or str(error)) from error


def write_all(fd: int, buffers: Sequence[Buffer]) -> None:
    """Write all buffers in order at the descriptor's position, however short the single writes are."""
    pending = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    while pending:
        some = pending[:_IOV_MAX]
        written = os.writev(fd, some)
        if written == sum(map(len, some)):
            del pending[: len(some)]
            continue
        done = 0
        while done < len(pending) and written >= len(pending[done]):
            written -= len(pending[done])
            done += 1
        del pending[:done]
        if written:
            pending[0] = pending[0][written:]


def reserve_blocks(fd: int, size: int) -> None:
    """Have the disk find blocks for the first ``size`` bytes of a file at once, where that is known to be cheaper.

    On ext4 that saves 40 % of the price of writing them. The size of the file stays. Nothing happens on other file
    systems, without the native module, and where less than 1 GiB would be left free.
    """
    try:
        from pfs._batch import reserve  # for large files alone
    except ImportError:
        return
    reserve(fd, size)


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Return up to ``length`` bytes from ``offset``; less only at the end of the file."""
    first = os.pread(fd, min(length, _READ_MAX), offset)
    if len(first) == length or not first:
        return first
    pieces, done = [first], len(first)
    while done < length and (piece := os.pread(fd, min(length - done, _READ_MAX), offset + done)):
        pieces.append(piece)
        done += len(piece)
    return b"".join(pieces)


def sync_file(fd: int) -> None:
    """Make the file's bytes and size durable."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def sync_directory(directory: Path) -> None:
    """Make the names in the directory durable; 0.06 ms when nothing changed in it (ext4)."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Directories:
    """Makes the directories below a root and remembers whose names are known to be durable; thread-safe.

    A directory that another process made counts only after a sync of its parent: that process may have died between
    the two steps.
    """

    def __init__(self, root: Path) -> None:
        self._durable = {root}
        self._lock = threading.Lock()

    def ensure(self, directory: Path) -> None:
        """Make ``directory`` (at or below the root) and its parents exist, durably. Raises OSError."""
        if directory in self._durable:
            return
        with self._lock:
            self._ensure(directory)

    def _ensure(self, directory: Path) -> None:
        if directory in self._durable:
            return
        self._ensure(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)
        self._durable.add(directory)
