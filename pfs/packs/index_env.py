"""The LMDB environment under the index: one a file and process, shared by all who open it.

LMDB allows a file to be open once in a process, wants no transaction open while the map is resized, and an environment
is unusable after fork. All three are settled here: a registry with a count of users, a lock that transactions hold
shared, and hooks around fork that wait for running transactions and let the child open the file anew.

LMDB 0.9's format, plain key tables only: the format that every release of the binding reads.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import lmdb

from pfs.backends.durable import FULL, storage_errors, sync_file, write_all
from pfs.errors import IndexDamagedError, PfsError, StorageError, StorageFullError
from pfs.shared_lock import SharedLock

T = TypeVar("T")

TABLES: Final = ("meta", "pack", "packid", "chunk", "repo", "commit", "seen", "condemned", "chunk2", "dropped")
_MAP_SIZES: Final = (64 << 30, 8 << 30, 1 << 30, 128 << 20)
"""Address space asked for, the file itself stays small; the smaller ones where limits forbid the first."""
_MAX_READERS: Final = 1024
_LOCK_BYTES: Final = 72 << 10
"""At least what LMDB makes the lock file for so many readers: 64 bytes each, and 192."""
_PROBE: Final = 256 << 10
"""Bytes that a disk that is not full takes."""
_CHECK_EVERY: Final = 64
"""Writes between two checks for readers that died: they keep old pages from being used again."""
_DAMAGED: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.PageNotFoundError,
    lmdb.IncompatibleError,
)
_NO_WRITING: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_FULL_TEXTS: Final = tuple(os.strerror(code) for code in FULL)


class Cursor(Protocol):
    """What is used of lmdb.Cursor."""

    def set_range(self, key: bytes) -> bool: ...  # noqa: D102
    def last(self) -> bool: ...  # noqa: D102
    def key(self) -> bytes: ...  # noqa: D102
    def iternext(self) -> Iterator[tuple[bytes, bytes]]: ...  # noqa: D102
    def getmulti(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]: ...  # noqa: D102
    def putmulti(self, items: Sequence[tuple[bytes, bytes]]) -> tuple[int, int]: ...  # noqa: D102


class Txn:
    """A transaction with its tables by name; valid inside the `work` it is handed to."""

    def __init__(self, raw: Any, tables: Mapping[str, Any]) -> None:
        self._raw = raw
        self._tables = tables

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        value: bytes | None = self._raw.get(key, db=self._tables[table])
        return value

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        self._raw.put(key, value, db=self._tables[table])

    def delete(self, table: str, key: bytes) -> None:
        """Remove a key if it is there."""
        self._raw.delete(key, db=self._tables[table])

    def cursor(self, table: str) -> Cursor:
        """Return a cursor over a table."""
        cursor: Cursor = self._raw.cursor(db=self._tables[table])
        return cursor

    def clear(self, table: str) -> None:
        """Remove all rows of a table."""
        self._raw.drop(self._tables[table], delete=False)

    def rows(self, table: str) -> int:
        """Return the number of rows, O(1)."""
        return int(self._raw.stat(self._tables[table])["entries"])


class SharedEnv:
    """One open index file of this process; thread-safe. Made by `acquire` alone."""

    def __init__(self, directory: Path, *, map_sizes: Sequence[int] = _MAP_SIZES) -> None:
        self.directory = directory
        self.users = 0
        self.lock = SharedLock()
        self._map_sizes = map_sizes
        self._writing = threading.Lock()
        self._writes = 0
        self._env: Any = None
        self._readonly = False
        self._tables: dict[str, Any] = {}
        self._open()
        status = os.stat(directory / "data.mdb")
        self.identity = (status.st_dev, status.st_ino)

    def read(self, work: Callable[[Txn], T]) -> T:
        """Run ``work`` in a read transaction; keep it short, since old pages cannot be reused meanwhile."""
        return self._run(work, write=False)

    def write(self, work: Callable[[Txn], T]) -> T:
        """Run ``work`` in the one write transaction of all processes and commit, durably; it may run more than once.

        Raises:
            StorageFullError, StorageError, IndexDamagedError: nothing was changed.
        """
        with self._writing:
            self._writes += 1
            if self._writes % _CHECK_EVERY == 0:
                self._check_readers()
            return self._run(work, write=True)

    def _check_readers(self) -> None:
        self._reopen()
        if not self._readonly:
            with self.lock.shared():
                self._env.reader_check()

    def size_bytes(self) -> int:
        """Bytes of the file that are in use, free pages included."""
        self._reopen()
        with self.lock.shared():
            return int((self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"])

    def close(self) -> None:
        """Close the file, after running transactions."""
        with self.lock.alone():
            self._close()

    def forget(self) -> None:
        """Make this usable in a forked child: the inherited environment goes, the next use opens the file anew."""
        self._close()
        self.lock = SharedLock()
        self._writing = threading.Lock()

    def _close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _run(self, work: Callable[[Txn], T], *, write: bool) -> T:
        while True:
            map_size = 0
            try:
                self._reopen()
                with self.lock.shared():
                    map_size = self._env.info()["map_size"]
                    return self._transact(work, write=write)
            except lmdb.MapResizedError:  # another process made it larger
                self._resize(0, seen=map_size)
            except lmdb.MapFullError:
                self._resize(2 * map_size, seen=map_size)
            except lmdb.Error as error:
                raise translate(error, self.directory) from error

    def _transact(self, work: Callable[[Txn], T], *, write: bool) -> T:
        raw = self._env.begin(write=write)
        try:
            result = work(Txn(raw, self._tables))
        except BaseException:
            # The binding aborts a writer at a moment without any operation of the environment: busy readers would
            # keep it waiting for minutes.
            with self.lock.held_back():
                raw.abort()
            raise
        raw.commit()
        return result

    def _reopen(self) -> None:
        if self._env is None:
            with self.lock.alone():
                if self._env is None:
                    self._open()

    def _resize(self, size: int, *, seen: int) -> None:
        with self.lock.alone():
            try:
                if self._env.info()["map_size"] == seen:
                    self._env.set_mapsize(size)
            except lmdb.Error as error:
                raise translate(error, self.directory) from error

    def _open(self) -> None:
        self._readonly = not self._reserve()
        try:
            self._env = self._map()
            if not self._readonly:
                self._lengthen()
                self._env.reader_check()
            self._tables = self._open_tables()
        except lmdb.Error as error:
            self._close()
            raise translate(error, self.directory) from error

    def _reserve(self) -> bool:
        """Give the lock file its blocks, and see that there is room for a new index; False where nobody may write.

        LMDB makes the lock file sparse and writes to it through a mapping: on a full disk that would kill the process
        (SIGBUS). Nobody in this process has the file open: closing it would end LMDB's locks.
        """
        with storage_errors(f"make the index in {self.directory}"):
            if not (self.directory / "data.mdb").exists() and _is_full(self.directory):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            try:
                fd = os.open(self.directory / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                if error.errno in _NO_WRITING and (self.directory / "data.mdb").exists():
                    return False
                raise
            try:
                status = os.fstat(fd)
                size = status.st_size or _LOCK_BYTES
                if status.st_blocks * 512 < size:
                    os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
        return True

    def _open_tables(self) -> dict[str, Any]:
        if self._readonly:
            return dict(self._tables_there())
        # In a write transaction also when they exist: handles that a read transaction opened end with it. It writes
        # nothing then.
        with self._env.begin(write=True) as raw:
            return {name: self._env.open_db(name.encode(), txn=raw) for name in TABLES}

    def _tables_there(self) -> Iterator[tuple[str, Any]]:
        """Yield the tables of an index that cannot be written to; an older release may have made it with fewer."""
        for name in TABLES:
            try:
                yield name, self._env.open_db(name.encode(), create=False)
            except lmdb.NotFoundError:
                if name != TABLES[-1]:
                    raise

    def _map(self) -> Any:
        for size in self._map_sizes:
            try:
                # No spare transactions: a forked child that closes its copy would take their reader slots away.
                return lmdb.open(
                    os.fsencode(self.directory),  # as str it would have to be UTF-8, which folders need not be
                    map_size=size,
                    max_dbs=16,
                    max_readers=_MAX_READERS,
                    max_spare_txns=0,
                    readahead=False,
                    # Writers do not see a reader without the lock file, and may use its pages again: it then finds
                    # wrong rows, which every use of a row notices. On a read-only disk there are no writers.
                    readonly=self._readonly,
                    lock=not self._readonly,
                )
            except lmdb.Error as error:
                if size == self._map_sizes[-1] or os.strerror(errno.ENOMEM) not in str(error):
                    raise
        raise AssertionError("the last size returns or raises")

    def _lengthen(self) -> None:
        # Reading a page behind the end of a file that lost its end would kill the process (SIGBUS); a page of zeros
        # gives an error. Under the write lock, since other processes may be growing the file.
        if self._missing() <= 0:
            return
        with self._env.begin(write=True):
            missing = self._missing()
            if missing > 0:
                path = self.directory / "data.mdb"
                os.truncate(path, path.stat().st_size + missing)

    def _missing(self) -> int:
        used: int = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        return used - (self.directory / "data.mdb").stat().st_size


def translate(error: lmdb.Error, directory: Path) -> PfsError:
    """Return our error for one of LMDB's."""
    text = str(error)
    if isinstance(error, lmdb.ReadonlyError):
        return StorageError(f"write the index in {directory}", "the disk or its permissions allow reading only")
    if isinstance(error, _DAMAGED):
        return IndexDamagedError(str(directory), text)
    # LMDB reports a short write, which is how a disk gets full, as an input/output error.
    unclear = os.strerror(errno.EIO) in text
    if (
        isinstance(error, lmdb.DiskError)
        or any(full in text for full in _FULL_TEXTS)
        or (unclear and _is_full(directory))
    ):
        return StorageFullError(f"write the index in {directory}", text)
    return StorageError(f"use the index in {directory}", text)


def _is_full(directory: Path) -> bool:
    import tempfile  # costs a start-up more than the rest of this module, and is needed on a full disk alone

    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as probe:
            write_all(probe.fileno(), [bytes(_PROBE)])
            sync_file(probe.fileno())
    except OSError as error:
        return error.errno in FULL
    return False


_open_envs: dict[tuple[int, int], SharedEnv] = {}
_registry = threading.RLock()
"""Reentrant: an index that nobody holds any more may be closed by the garbage collector, at any instruction."""


def acquire(directory: Path) -> SharedEnv:
    """Return this process's environment of the directory (made if need be) and count one more user.

    Raises:
        IndexDamagedError: the file is no index that can be read.
        StorageFullError, StorageError: it cannot be made or opened.
    """
    with _registry:
        while True:
            shared = _open_envs.get(_identity(directory))
            if shared is None:
                shared = SharedEnv(directory)
                _open_envs[shared.identity] = shared
            shared.users += 1
            if _open_envs.get(shared.identity) is shared:  # else its last user was closed in between
                return shared


def release(shared: SharedEnv) -> None:
    """Count one user less; the last one closes the file."""
    with _registry:
        shared.users -= 1
        if not shared.users:
            del _open_envs[shared.identity]
            shared.close()


def _identity(directory: Path) -> tuple[int, int]:
    # The file's, not the directory's: while it is open its number cannot be given to another.
    try:
        status = os.stat(directory / "data.mdb")
    except FileNotFoundError:
        return (0, 0)
    return status.st_dev, status.st_ino


def _before_fork() -> None:
    _registry.acquire()
    for shared in _open_envs.values():
        shared.lock.take()


def _after_fork_in_parent() -> None:
    for shared in _open_envs.values():
        shared.lock.give_back()
    _registry.release()


def _after_fork_in_child() -> None:
    for shared in _open_envs.values():
        shared.forget()
    _registry.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
