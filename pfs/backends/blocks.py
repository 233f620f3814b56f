"""Blocks of packs on the local disk: a cache with a limit, which any number of processes may share.

A block is a file: a checksum over its name and bytes, then the bytes. It is written aside and renamed, so that a
process that dies leaves at most a file that nobody reads; what a power loss tears is found by the checksum. Nothing
here is needed: what cannot be read or written is as if it was not there.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

from xxhash import xxh3_128

from pfs.backends.durable import write_all
from pfs.backends.forks import forget_in_children

_HEADER: Final = struct.Struct("<4sI16s")
_MAGIC: Final = b"PFB1"
SHARDS: Final = 16
"""Folders, by the last hex digit of a pack's id; each has its share of the limit."""
_RECOUNT: Final = 64
"""Blocks that one process adds to a folder before it looks again what others added."""
_TOUCH_S: Final = 60
_DRAFT: Final = ".new"
_DRAFT_S: Final = 3600


class _Found(NamedTuple):
    used_s: float
    size: int
    path: str


class BlockCache:
    """Blocks by object name and number; thread-safe. A folder over its share loses those that were not used longest."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self._share = limit_bytes // SHARDS
        self._lock = threading.Lock()
        self._sizes: dict[str, tuple[int, int]] = {}
        forget_in_children(self)

    def forget_parent(self) -> None:
        """Look again how much there is; see `Forgetful`."""
        self._lock, self._sizes = threading.Lock(), {}

    def get(self, name: str, number: int) -> bytes | None:
        """Return a block, or None; one that is damaged is removed."""
        place = self._place(name, number)
        try:
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        with suppress(OSError):
            try:
                status = os.fstat(fd)
                data = os.read(fd, status.st_size)
            finally:
                os.close(fd)
            if _is_whole(data, os.path.basename(place)):
                if time.time() - status.st_mtime > _TOUCH_S:
                    os.utime(place)
                return data[_HEADER.size :]
            os.unlink(place)
        return None

    def put(self, name: str, number: int, data: bytes | memoryview) -> None:
        """Keep a block, if there is room on the disk; one that is larger than a folder's share is not kept."""
        size = _HEADER.size + len(data)
        if size > self._share:
            return
        place = self._place(name, number)
        folder, file = os.path.split(place)
        draft = f"{folder}/{uuid4().hex}{_DRAFT}"
        try:
            os.makedirs(folder, exist_ok=True)
            self._make_room(folder, size)
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                write_all(fd, [_HEADER.pack(_MAGIC, len(data), _checksum(file, data)), data])
            finally:
                os.close(fd)
            os.rename(draft, place)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)

    def forget(self, name: str) -> bool:
        """Remove all blocks of an object; say whether there were any."""
        folder, file = os.path.split(self._place(name, 0))
        stem, gone = file.rpartition(".")[0] + ".", False
        with suppress(OSError):
            for entry in list(os.scandir(folder)):
                if entry.name.startswith(stem):
                    with suppress(OSError):
                        os.unlink(entry.path)
                        gone = True
        return gone

    def keep_only(self, names: Iterable[str]) -> None:
        """Remove the blocks of all objects but these."""
        kept = {_stem(name) for name in names}
        with suppress(OSError):
            for folder in list(os.scandir(self._folder)):
                for found in _files(folder.path):
                    if _stem(found.path) not in kept:
                        with suppress(OSError):
                            os.unlink(found.path)

    def _place(self, name: str, number: int) -> str:
        stem = _stem(name)
        return f"{self._folder}/{stem[-1]}/{stem}.{number}"

    def _make_room(self, folder: str, size: int) -> None:
        with self._lock:
            used, added = self._sizes.get(folder, (0, _RECOUNT))
            if added >= _RECOUNT or used + size > self._share:
                used, added = self._swept(folder, size), 0
            self._sizes[folder] = used + size, added + 1

    def _swept(self, folder: str, size: int) -> int:
        """Remove what was not used longest until there is room, and drafts of the dead; return the bytes that stay."""
        found = sorted(_files(folder))
        used = sum(one.size for one in found)
        # A tenth more than is needed goes at once, so that it is not looked at again for each block.
        room = self._share - size - (self._share // 10 if used + size > self._share else 0)
        for one in found:
            if used <= max(room, 0):
                break
            with suppress(OSError):
                os.unlink(one.path)
            used -= one.size
        return used


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


def _files(folder: str) -> Iterator[_Found]:
    now_s = time.time()
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if entry.name.endswith(_DRAFT) and now_s - status.st_mtime > _DRAFT_S:
                    os.unlink(entry.path)
                else:
                    yield _Found(status.st_mtime, status.st_size, entry.path)


def _is_whole(data: bytes, file: str) -> bool:
    if len(data) < _HEADER.size:
        return False
    magic, length, checksum = _HEADER.unpack_from(data)
    payload = memoryview(data)[_HEADER.size :]
    return bool(magic == _MAGIC and length == len(payload) and checksum == _checksum(file, payload))


def _checksum(file: str, data: bytes | memoryview) -> bytes:
    state = xxh3_128(file.encode())
    state.update(data)
    return state.digest()
