"""Sending a part of a tree to a target: what changed since the last time, and what is not there as it was left."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pfs.files.reader import iter_range
from pfs.trees.page import Kind
from pps.egress.collisions import check_distinct
from pps.egress.delivered import Note, Notes, content_id
from pps.egress.naming import Naming
from pps.transfers.errors import check_going
from pps.transfers.place import Sending, Target, There

if TYPE_CHECKING:
    from pfs.ids import CommitId
    from pfs.packs.objects import Objects
    from pfs.trees.row import Row
    from pfs.trees.tree import Tree

PARALLEL: Final = 16
_AHEAD: Final = 4 * PARALLEL
_FEW: Final = 64
"""Up to so many files are looked up one by one; more are listed."""


class Sent(NamedTuple):
    """How much was sent, and how many files were there already."""

    files: int
    size: int
    there: int


@dataclass(frozen=True, slots=True)
class Part:
    """What of a tree is sent: a file, or all below a directory."""

    objects: Objects
    tree: Tree
    key: bytes = b""

    @property
    def row(self) -> Row | None:
        """The row of the file or directory, None if it is not there."""
        return self.tree.stat(self.key)

    def files(self) -> Iterator[tuple[bytes, Row]]:
        """Yield the files with their paths below the part, in the order of these; of a file, its name."""
        row = self.row
        if row is None:
            return
        if not row.is_dir:
            yield row.key.rpartition(b"/")[2], row
            return
        skip = len(self.key) + 1 if self.key else 0
        for one in self.tree.walk(self.key):
            if one.kind != Kind.REMOVED:
                yield one.key[skip:], one


class Found(NamedTuple):
    """One file, and what is known of it: the note of the last time, and what a listing says; None for nothing."""

    path: bytes
    row: Row
    note: Note | None
    listed: There | None


class Delivery:
    """Sends a part to a target, and notes what arrived. One thread calls it."""

    def __init__(self, part: Part, target: Target, naming: Naming, notes: Notes, *, job: CommitId) -> None:
        self._part, self._target, self._naming, self._notes, self._job = part, target, naming, notes, job

    def send(self, stop: threading.Event) -> Sent:
        """Send all files; those that are noted, and there as they were left, are left alone.

        So are those that are there without a note and turn out to be the same. Nothing is deleted. Several files at a
        time; memory: that of the target, and a row for each of those that wait. May be done again after any failure:
        what arrived is noted.

        Raises:
            Stopped: ``stop`` was set.
            PlaceRefusedError: two files would have one name: nothing was sent.
            StorageError, PlaceRefusedError: of the target; others may have been sent. CorruptionError: a file cannot be
            read.
        """
        if not self._naming.is_distinct:
            check_distinct(lambda: (path for path, _ in self._part.files()), self._naming.name, stop)
        row = self._part.row
        is_listed = self._naming.is_plain and self._target.lists and row is not None and row.count > _FEW
        files = size = there = 0
        waiting: deque[Future[tuple[Found, Note | None]]] = deque()
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="egress") as pool:

            def land() -> None:
                nonlocal files, size, there
                found, note = waiting.popleft().result()
                if note is None:
                    there += 1
                    return
                self._notes.add(found.path, note)
                files, size = files + 1, size + note.size

            try:
                for found in self._listed() if is_listed else self._noted():
                    check_going(stop)
                    if is_listed and self._is_left(found, found.listed):
                        there += 1
                        continue
                    waiting.append(pool.submit(self._one, found, stop, is_listed=is_listed))
                    if len(waiting) >= _AHEAD:
                        land()
                while waiting:
                    land()
            except BaseException:
                self._keep(waiting)
                raise
        return Sent(files, size, there)

    def _keep(self, waiting: deque[Future[tuple[Found, Note | None]]]) -> None:
        """Note also what arrives after a failure."""
        for one in waiting:
            one.cancel()
        for one in waiting:
            if not one.cancelled() and one.exception() is None:
                found, note = one.result()
                if note is not None:
                    self._notes.add(found.path, note)

    def _noted(self) -> Iterator[Found]:
        """Yield the files with their notes; both are in the order of paths."""
        notes = self._notes.walk()
        at = next(notes, None)
        for path, row in self._part.files():
            while at is not None and at[0] < path:
                at = next(notes, None)
            yield Found(path, row, at[1] if at is not None and at[0] == path else None, None)

    def _listed(self) -> Iterator[Found]:
        """Go through files and a listing side by side: both are in byte order, and a name is a path."""
        listed = self._target.listed()
        at = next(listed, None)
        for found in self._noted():
            while at is not None and at[0] < found.path:
                at = next(listed, None)
            yield found._replace(listed=at[1] if at is not None and at[0] == found.path else None)

    def _is_left(self, found: Found, there: There | None) -> bool:
        """Say whether what is there is what was left of this very file."""
        note = found.note
        if note is None or there is None or note.content != content_id(found.row):
            return False
        return (note.size, note.etag) == there

    def _one(self, found: Found, stop: threading.Event, *, is_listed: bool) -> tuple[Found, Note | None]:
        check_going(stop)
        target, note = self._target, found.note
        content = content_id(found.row)
        name = self._naming.name(found.path)
        if note is not None and note.content == content and self._is_left(found, target.find_url(note.url)):
            return found, None
        sending = Sending(
            name,
            found.row.size,
            partial(iter_range, self._part.objects, found.row, jobs=1),
            self._naming.said(found.path, found.row),
        )
        there = found.listed if is_listed else target.find(name)
        arrived = None if there is None else target.holds(sending, there)
        arrived = arrived or target.put(sending)
        return found, Note(arrived.url, arrived.etag, arrived.version, arrived.size, content, self._job)
