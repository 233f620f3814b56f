"""A part of a tree as one archive that is made while it is sent."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from pfs.archives.archive import ArchiveFormat, archive
from pfs.files.selection import below, single
from pps.egress.delivered import Note, Notes
from pps.egress.naming import Naming
from pps.egress.send import Part, Sent
from pps.spec.delivery import Levers
from pps.transfers.errors import check_going
from pps.transfers.place import Pieces, Sending, Target

if TYPE_CHECKING:
    from pfs.ids import CommitId
    from pfs.trees.row import Row

_TYPES: Final = {
    "tar": "application/x-tar",
    "tar.gz": "application/gzip",
    "tar.zst": "application/zstd",
    "zip": "application/zip",
}
_JOBS: Final = 2
_ABOUT_FILE: Final = 4096
"""More than any archive says of one file with its padding."""


class PackedDelivery:
    """Sends a part as an archive. One thread calls it.

    The same files give the same bytes: times are left out. So what of a large one arrived before is found again.
    """

    def __init__(self, part: Part, target: Target, naming: Naming, notes: Notes, *, job: CommitId) -> None:
        self._part, self._target, self._naming, self._notes, self._job = part, target, naming, notes, job

    def send(self, stop: threading.Event, levers: Levers, *, called: str) -> Sent:
        """Send the archive, unless it is there as it was left; ``called``: its name where the spec gives no key.

        Raises:
            As `Delivery.send`; InvalidPathError, FileCollisionError: a file that archives do not take.
        """
        row = self._part.row
        if row is None or (row.is_dir and not row.count):
            return Sent(0, 0, 0)
        path = f"{called}.{levers.archive}".encode()
        content = _content(self._part, stop)
        note = next((note for name, note in self._notes.walk() if name == path), None)
        if note is not None and note.content == content:
            there = self._target.find_url(note.url)
            if there == (note.size, note.etag):
                return Sent(0, 0, 1)
        name, said = self._naming.name(path), self._naming.said(path, None)
        if not levers.content_type:
            said = said.with_type(_TYPES[levers.archive])
        sending = Sending(name, _most(row), self._pieces(row, levers), said, exact=False)
        at = self._target.find(name)
        arrived = None if at is None else self._target.holds(sending, at)
        arrived = arrived or self._target.put(sending)
        self._notes.add(path, Note(arrived.url, arrived.etag, arrived.version, arrived.size, content, self._job))
        return Sent(1, arrived.size, 0)

    def _pieces(self, row: Row, levers: Levers) -> Callable[[], Pieces]:
        part = self._part
        selection = below(part.tree, part.key) if row.is_dir else single(row)

        def pieces() -> Pieces:
            return archive(
                part.objects,
                selection,
                cast("ArchiveFormat", levers.archive),
                jobs=_JOBS,
                level=levers.archive_level or None,
                mtime_s=0,
            )

        return pieces


def _most(row: Row) -> int:
    """Return more bytes than the archive can have; what cannot be compressed grows by less than a 1,024th."""
    return row.size + (row.size >> 10) + (row.count + 1) * _ABOUT_FILE


def _content(part: Part, stop: threading.Event) -> str:
    """Return what tells these files, with their names and modes, from others; costs a walk over them."""
    digest = hashlib.blake2b(digest_size=32)
    for path, row in part.files():
        check_going(stop)
        is_program = bool((row.aux or {}).get("x"))
        digest.update(b"%d %d %d %d " % (len(path), row.kind, is_program, row.size))
        digest.update(path)
        digest.update(row.tid)
    return digest.hexdigest()
