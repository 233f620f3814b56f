"""The tables of the index of versions: a file of SQLite beside the store's index, made anew whenever it is missing.

Not in the store's LMDB, whose keys end at 511 bytes: S3's have 1024, and their order is what pages go by.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from pfs.backends.durable import storage_errors
from pfs.errors import StorageError, StorageFullError

SCHEMA: Final = 1
_TABLES: Final = """
CREATE TABLE space (id INTEGER PRIMARY KEY AUTOINCREMENT, repo TEXT UNIQUE NOT NULL, mark BLOB NOT NULL);
CREATE TABLE segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT, space INTEGER NOT NULL, parent INTEGER, fork INTEGER NOT NULL
);
CREATE TABLE step (
    space INTEGER, commit_id BLOB, segment INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (space, commit_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX step_number ON step (segment, number);
CREATE TABLE large (
    segment INTEGER, number INTEGER, commit_id BLOB NOT NULL, parent_id BLOB, PRIMARY KEY (segment, number)
) WITHOUT ROWID;
CREATE TABLE event (
    segment INTEGER, key BLOB, age INTEGER, own INTEGER NOT NULL, version BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (segment, key, age)
) WITHOUT ROWID;
"""
_WAIT_S: Final = 60.0
"""For another writer; nobody writes for so long but one very large commit, and those writers queue at the lock file."""


class Table:
    """The file; a connection for each piece of work, so that threads and forks share nothing."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = file.with_suffix(".lock")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection on which everything is as it was at one moment; None: nothing was written yet.

        Raises:
            StorageError: it cannot be read. A damaged file is removed, so the next one finds nothing.
        """
        if not self._file.exists():
            yield None
            return
        with self._connected() as connection:
            connection.execute("BEGIN")
            yield connection if _schema_of(connection) == SCHEMA else None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to the only writer, among all processes; `transaction` makes changes on it.

        Raises:
            StorageError: it cannot be written; as `reading`.
        """
        with self._alone():
            self._make()
            with self._connected() as connection:
                connection.execute("PRAGMA synchronous=NORMAL")
                yield connection

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with storage_errors(f"lock {self._lock}"):
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._file, timeout=_WAIT_S, isolation_level=None)) as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                self._remove()
            kind = StorageFullError if error.sqlite_errorcode == sqlite3.SQLITE_FULL else StorageError
            raise kind(f"use {self._file}", str(error)) from error

    def _make(self) -> None:
        """Make the tables if they are not there, in place of those of another release."""
        with self._connected() as connection:
            schema = _schema_of(connection)
        if schema == SCHEMA:
            return
        if schema:
            self._remove()
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            with transaction(connection):
                for statement in _TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA}")

    def _remove(self) -> None:
        """Remove the file: it is made anew by whoever needs it; who has it open keeps what it was."""
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make all changes inside, or none. Once it ends they outlive the process; a power cut may take the last ones."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _schema_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
