"""The file of the audit log: lines appended by a thread, in order, each in one piece.

Several processes may share the file: it is opened with O_APPEND, and what is written at once are whole lines. It may be
renamed or removed under way; the next line makes a new one. Requests never wait for the disk: they leave their line in
a queue. A disk that cannot take lines costs lines, which are counted, and not answers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from pfs.errors import StorageError
from s3api.audit.note import Record, encode
from s3api.http.times import iso_date

log = logging.getLogger("s3api")

QUEUE: Final = 10_000
"""Lines that wait; beyond that requests wait, then lines are lost."""
PATIENCE_S: Final = 10.0
_LOOK_S = 0.05
_BATCH = 500
_CLOSE_S = 10.0


class Lost(msgspec.Struct, frozen=True):
    """The line that stands for those which could not be written, once lines can be written again."""

    time: str
    lost: int


class AuditLog:
    """A log that is being written; thread-safe. Close it.

    Args:
        target: a file, made with mode 0640 if need be, or a descriptor that is open and stays so (2 for stderr).
        queue: lines that may wait.

    Raises:
        StorageError: the file cannot be opened.
    """

    def __init__(self, target: Path | int, *, queue: int = QUEUE) -> None:
        self.lost = 0
        """Lines that could not be written since the last that could."""
        self._path = target if isinstance(target, Path) else None
        self._fd = -1 if isinstance(target, Path) else target
        self._limit = queue
        self._queue: deque[Record] = deque()
        self._change = threading.Condition()
        self._closing = self._torn = self._failing = False
        if self._path is not None:
            try:
                self._open(self._path)
            except OSError as error:
                raise StorageError(f"open the audit log {self._path}", os.strerror(error.errno or 0).lower()) from error
        self._thread = threading.Thread(target=self._work, name="s3-audit", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Leave a line; returns at once. When the queue is full the line is lost."""
        with self._change:
            if len(self._queue) >= self._limit:
                self.lost += 1
            else:
                self._queue.append(record)
                self._change.notify()

    async def room(self) -> None:
        """Wait until the queue is no longer full, 10 s at most: called before a request is begun."""
        until = time.monotonic() + PATIENCE_S
        while len(self._queue) >= self._limit and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)

    def close(self) -> None:
        """Write what waits, for 10 s at most, and end."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            log.error("the audit log stands still: %d lines were not written", len(self._queue))
        elif self._path is not None:
            os.close(self._fd)

    def _work(self) -> None:
        while batch := self._take():
            try:
                self._write(batch)
            except OSError as error:
                self._fail(error)

    def _take(self) -> Sequence[Record]:
        with self._change:
            while not self._queue and not self._closing:
                self._change.wait()
            return [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]

    def _write(self, batch: Sequence[Record]) -> None:
        """Append lines, after one that says how many are missing; those of a write that fails are counted."""
        with self._change:
            lost = self.lost
        head = encode(Lost(iso_date(time.time_ns()), lost)) if lost else b""
        body = b"".join(map(encode, batch))
        data, written = b"", 0
        try:
            self._follow()
            head = b"\n" * self._torn + head
            data = head + body
            while written < len(data):
                written += os.write(self._fd, data[written:])
        finally:
            if written:
                self._torn = not data[:written].endswith(b"\n")
            missing = body.count(b"\n", max(written - len(head), 0))
            with self._change:
                self.lost += missing - (lost if written >= len(head) else 0)
        if self._failing:
            self._failing = False
            log.warning("the audit log is written again; %d lines are missing", lost)

    def _fail(self, error: OSError) -> None:
        """Say it once, not for each batch."""
        if not self._failing:
            self._failing = True
            place = self._path or f"descriptor {self._fd}"
            log.error("audit log %s: %s; requests go on, their lines are lost", place, error.strerror or error)

    def _follow(self) -> None:
        """Open the file anew if its name now is another one's, or nobody's."""
        if self._path is None:
            return
        try:
            named, ours = os.stat(self._path), os.fstat(self._fd)
            if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino):
                return
        except FileNotFoundError:
            pass
        old = self._fd
        self._open(self._path)
        os.close(old)
        self._torn = False

    def _open(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
