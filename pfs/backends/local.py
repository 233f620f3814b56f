"""A directory on a local disk as an object store.

An object is a file. It is written without a name, synced, then linked to its name, which fails when the name is taken:
readers see all of it or nothing, and a writer that dies leaves nothing. Mutable objects are replaced by rename under
one lock of the store.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from blake3 import blake3

from pfs.backends.base import Buffer, Entry, check_object_name
from pfs.backends.durable import (
    Directories,
    read_at,
    reserve_blocks,
    storage_errors,
    sync_directory,
    sync_file,
    write_all,
)
from pfs.backends.unnamed import TMP, UnnamedFile
from pfs.errors import BranchMovedError, InvalidInputError, NotFoundError, StorageError, StoreNotFoundError
from pfs.ids import Etag

_LOCK: Final = "lock"
_PRIVATE: Final = frozenset({TMP, _LOCK, "index.lmdb"})
"""Names at the top of the directory that are no objects."""
_SMALL: Final = 64 << 10
_TOGETHER: Final = 256 << 10
"""The most that is read together for several ranges."""
_GAP: Final = 4 << 10
_SMALL_OBJECT: Final = 4 << 20
"""Bytes of an object that is written without finding blocks ahead."""
_AHEAD: Final = 16 << 20
"""Bytes for which a larger one has blocks found at a time: as few as make the price of finding them small."""

_swap_locks: dict[tuple[int, int], threading.Lock] = {}
"""One lock per store directory and process: flock may exclude processes only (NFS maps it to record locks)."""


class LocalBackend:
    """Objects as files below a directory; see base.Backend for the promises. Threads and processes may share it."""

    parallel = 1

    def __init__(self, directory: Path) -> None:
        """Use an existing directory.

        Raises:
            StoreNotFoundError: there is none.
        """
        if not directory.is_dir():
            raise StoreNotFoundError(str(directory))
        self._root = directory.absolute()
        self._directories = Directories(self._root)
        status = self._root.stat()
        self._swapping = _swap_locks.setdefault((status.st_dev, status.st_ino), threading.Lock())
        self._unsure: set[str] = set()
        """Names whose last swap happened, but may not outlive a loss of power: their directory could not be synced."""

    @property
    def location(self) -> str:
        """Path of the directory."""
        return str(self._root)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the object or a part of it; see base.Backend."""
        with self._opened(name) as fd:
            if offset == 0 and length is None:
                return _whole(fd)
            size = os.fstat(fd).st_size
            start = max(size + offset, 0) if offset < 0 else offset
            rest = max(size - start, 0)
            return read_at(fd, start, rest if length is None else min(length, rest))

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the ranges; small ones that follow each other by one read: a call costs more than a copy."""
        with self._opened(name) as fd:
            return [piece for run in _runs(ranges) for piece in _read_run(fd, run)]

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill the buffer; see base.Backend."""
        done = 0
        with self._opened(name) as fd:
            while done < len(buffer) and (count := os.preadv(fd, [buffer[done:]], offset + done)):
                done += count
        return done

    def create(self, name: str) -> LocalObject:
        """Begin a new object; see base.Backend."""
        path = self._path(name)
        with storage_errors(f"write {path}"):
            return LocalObject(path, UnnamedFile(self._root), self._directories)

    def put_new(self, name: str, data: Buffer) -> bool:
        """Create the object atomically; False when the name exists already."""
        new = self.create(name)
        try:
            new.write(data)
            return new.publish()
        finally:
            new.abandon()

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """Return body and etag (BLAKE3 of the body), or None.

        What a swap left unsure is made durable first, so that who looks whether it landed gets no promise too much.
        """
        if name in self._unsure:
            self._make_sure(name)
        return self._read(name)

    def _make_sure(self, name: str) -> None:
        """Put an object in its own place again: once a sync failed, a second one of the same change says nothing."""
        path = self._path(name)
        with self._locked(), storage_errors(f"write {path}"):
            found = self._read(name)
            if found is not None:
                self._replace(name, found[0])
            self._unsure.discard(name)

    def _read(self, name: str) -> tuple[bytes, Etag] | None:
        try:
            body = self.get(name)
        except NotFoundError:
            return None
        return body, _etag(body)

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """Replace a mutable object if its etag is still ``old``; two syncs under the store's lock."""
        path = self._path(name)
        with self._locked():
            current = self._read(name)
            if (current[1] if current else None) != old:
                raise BranchMovedError(name)
            with storage_errors(f"write {path}"):
                self._replace(name, new)
        return _etag(new)

    def _replace(self, name: str, body: bytes) -> None:
        path = self._path(name)
        # Under the lock there is one writer, so one name will do, and what a dead one left is overwritten.
        pending = self._root / TMP / "swap"
        self._directories.ensure(pending.parent)
        self._directories.ensure(path.parent)
        fd = os.open(pending, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            write_all(fd, [body])
            sync_file(fd)
        finally:
            os.close(fd)
        os.replace(pending, path)
        try:
            sync_directory(path.parent)
        except OSError:
            self._unsure.add(name)
            raise
        self._unsure.discard(name)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose names start with ``prefix``, in byte order; holds one directory a level."""
        above, slash, _ = prefix.rpartition("/")
        with storage_errors(f"list {self._root / above}"):
            yield from self._walk(above + slash, prefix)

    def _walk(self, above: str, prefix: str) -> Iterator[Entry]:
        root = str(self._root)  # a Path for each of thousands of objects would take longer than asking for them
        for name in self._names(above):
            if not (name.startswith(prefix) or prefix.startswith(name)):
                continue
            if name.endswith("/"):
                yield from self._walk(name, prefix)
                continue
            try:
                status = os.stat(f"{root}/{name}")
            except FileNotFoundError:
                continue  # deleted since the directory was read
            yield Entry(name, status.st_size, status.st_mtime_ns)

    def _names(self, above: str) -> list[str]:
        try:
            with os.scandir(self._root / above) as found:
                names = [above + entry.name + ("/" if entry.is_dir() else "") for entry in found]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if name.rstrip("/") not in _PRIVATE)

    def delete_many(self, names: Sequence[str]) -> None:
        """Delete objects, durably; names that do not exist are no error."""
        paths = [self._path(name) for name in names]
        for path in paths:
            with storage_errors(f"delete {path}"):
                path.unlink(missing_ok=True)
        for directory in {path.parent for path in paths}:
            with storage_errors(f"delete objects in {directory}"):
                if directory.is_dir():
                    sync_directory(directory)

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        """Refuse: a disk has no classes of storage."""
        raise InvalidInputError(
            f"{self._root} is on a disk, which has one storage class: only a bucket can hold packs in another"
        )

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        """Return True: nothing is in an archive."""
        with self._opened(name):
            return True

    def now_ns(self) -> int:
        """Return the time by this machine's clock, which dates its files."""
        return time.time_ns()

    def folder(self, prefix: str) -> Path:
        """Return the directory with the objects whose names start with ``prefix``, which ends in a slash."""
        return self._path(prefix.rstrip("/"))

    def close(self) -> None:
        """Do nothing: no handle outlives a call."""

    def _path(self, name: str) -> Path:
        return Path(_place(str(self._root), name))

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        path = _place(str(self._root), name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"no object {name} in {self._root}") from error
        except OSError as error:
            raise StorageError(f"read {path}", error.strerror or str(error)) from error
        try:
            with storage_errors(f"read {path}"):
                yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._root / _LOCK
        with self._swapping:
            with storage_errors(f"lock {path}"):
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                with storage_errors(f"lock {path}"):
                    fcntl.flock(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)


class LocalObject:
    """A file being written; see base.NewObject."""

    def __init__(self, path: Path, file: UnnamedFile, directories: Directories) -> None:
        self._path = path
        self._file = file
        self._directories = directories
        self._size, self._reserved = 0, _SMALL_OBJECT

    def write(self, *buffers: Buffer) -> None:
        """Append the buffers in order, in one system call."""
        self._size += sum(memoryview(buffer).nbytes for buffer in buffers)
        if self._size > self._reserved:
            self._reserved = self._size + _AHEAD
            reserve_blocks(self._file.fd, self._reserved)
        with storage_errors(f"write {self._path}"):
            write_all(self._file.fd, buffers)

    def publish(self) -> bool:
        """Sync the bytes, then link the name, then sync the directory; False when the name was taken.

        When the last sync fails the name is taken back, so that no reader meets what a power loss would undo.
        """
        try:
            with storage_errors(f"write {self._path}"):
                if self._reserved > _SMALL_OBJECT:
                    os.ftruncate(self._file.fd, os.fstat(self._file.fd).st_size)  # frees blocks found in vain
                sync_file(self._file.fd)
                self._directories.ensure(self._path.parent)
                linked = self._link()
                self._sync_name(linked)
                return linked
        finally:
            self.abandon()

    def _link(self) -> bool:
        try:
            self._file.link(self._path)
        except FileExistsError:
            return False
        return True

    def _sync_name(self, linked: bool) -> None:
        try:
            sync_directory(self._path.parent)
        except OSError:
            if linked:
                self._path.unlink(missing_ok=True)
            raise

    def abandon(self) -> None:
        """Drop what was written; idempotent."""
        with storage_errors(f"close {self._path}"):
            self._file.close()


def _whole(fd: int) -> bytes:
    """Return all of a file, a small one in one call: each call lets other threads in, which takes longer than it."""
    first = os.pread(fd, _SMALL, 0)
    rest = b"" if len(first) < _SMALL else read_at(fd, _SMALL, os.fstat(fd).st_size - _SMALL)
    return first + rest


_Run = list[tuple[int, int]]


def _runs(ranges: Sequence[tuple[int, int]]) -> Iterator[_Run]:
    """Yield ranges that are read together: small ones, each a little behind the one before."""
    run: _Run = []
    size = 0
    for offset, length in ranges:
        end = sum(run[-1]) if run else 0
        if run and (size + length > _TOGETHER or not end <= offset <= end + _GAP):
            yield run
            run, size = [], 0
        run.append((offset, length))
        size += length
    if run:
        yield run


def _read_run(fd: int, run: _Run) -> list[bytes]:
    first, end = run[0][0], sum(run[-1])
    whole = read_at(fd, first, end - first)
    return [whole] if len(run) == 1 else [whole[at - first : at - first + length] for at, length in run]


@lru_cache(maxsize=1024)
def _place(root: str, name: str) -> str:
    """Return the path of an object; raises InvalidInputError. Kept, since checking a name takes as long as a read."""
    if check_object_name(name).partition("/")[0] in _PRIVATE:
        raise InvalidInputError(f"{name!r} cannot name an object")
    return f"{root}/{name}"


def _etag(body: bytes) -> Etag:
    return Etag(blake3(body).hexdigest())
