"""Directories that were put before: runs of files none of which shows a change, in a directory of the store as it was.

Where both are so, putting those files again changes nothing, and they need not be looked at one by one: the row of a
directory says which runs of files (by the hash of their names and stamps) its page in the store (by its pid) has. A
pid is the hash of all that the page says, so whatever was changed there since shows. That the content is whole is made
sure of by the packs that it may lie in: they are looked at as those of any content that is put again, and the row is
void once damage was found in any pack. The rows are in the index, beside those of files. Format: docs/format/index.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from blake3 import blake3

from pfs.ids import NO_PAGE, PackId, PageId
from pfs.packs.index import Index
from pfs.packs.session import WriteSession
from pfs.sources.walk import Folder, Run
from pfs.trees.cutrule import FORMAT

FOLDERS: Final = 16_384
"""Directories noted in one put at most; those beyond are looked at file by file."""
MIN_FILES: Final = FORMAT.inline + 1
"""Smaller directories may have no page of their own."""
_DIGEST: Final = 16
_HEAD: Final = 8 + 32 + _DIGEST
PidOf = Callable[[bytes], PageId]
"""The pid of a directory of the store by its key, NO_PAGE where it has none."""


class _Note(NamedTuple):
    """A directory that was put."""

    row: bytes
    key: bytes
    path: str
    runs: bytes
    packs: frozenset[PackId]
    """Where what was not looked at lies."""


class SeenFolders:
    """What is known of local directories, for the writer of one commit; not thread-safe."""

    def __init__(self, index: Index, session: WriteSession, *, place: str) -> None:
        """``place`` names the branch that is written to: directories of several are remembered apart."""
        self._index, self._session, self._place = index, session, place
        self._notes: dict[bytes, _Note] = {}
        self._packs: dict[bytes, frozenset[PackId]] = {}
        self._damages = index.damages()

    def unseen(self, folder: Folder, pid_of: PidOf) -> tuple[list[Run], bool]:
        """Return the runs of a directory that must be looked at file by file, and whether it is noted."""
        runs = folder.runs()
        if sum(run.stop - run.start for run in runs) < MIN_FILES:
            return runs, False
        row, digests = self._row_key(folder), [_digest(run) for run in runs]
        known, packs = self._known(row, pid_of(folder.key))
        unseen = [run for run, digest in zip(runs, digests, strict=True) if digest not in known]
        noted = bool(unseen) and len(self._notes) < FOLDERS
        if noted:
            self._notes[row] = _Note(row, folder.key, folder.path, b"".join(digests), packs)
        return unseen, noted

    def take(self, pid_of: PidOf, *, unsteady: Iterable[str]) -> dict[bytes, bytes]:
        """Return the rows that are to be written, and forget them; all that was put is in the tree of ``pid_of``.

        ``unsteady`` are the directories of files that could change without showing it.
        """
        notes, self._notes = self._notes, {}
        notes = {row: note for row, note in notes.items() if note.path not in set(unsteady)}
        rows: dict[bytes, bytes] = {}
        own = frozenset(self._session.pack_ids) | self._session.relied_on if notes else frozenset()
        for note in notes.values():
            pid = pid_of(note.key)
            if pid != NO_PAGE:
                packs = b"".join(sorted(own | note.packs))
                name = blake3(b"packs:" + packs).digest(_DIGEST)
                rows[name] = packs
                rows[note.row] = self._damages.to_bytes(8, "little") + pid + name + note.runs
        return rows

    def _row_key(self, folder: Folder) -> bytes:
        place = os.fsencode(f"{folder.listing.device}:{self._place}:{folder.path}") + b"\0" + folder.key
        return blake3(b"folder:" + place).digest(_DIGEST)

    def _known(self, row: bytes, pid: PageId) -> tuple[frozenset[bytes], frozenset[PackId]]:
        """Return the digests of runs that the directory with this pid has, and where their content lies."""
        [value] = self._index.seen([row]) if pid != NO_PAGE else [None]
        if value is None or value[:40] != self._damages.to_bytes(8, "little") + pid:
            return frozenset(), frozenset()
        packs = self._trusted(value[40:_HEAD])
        if packs is None:
            return frozenset(), frozenset()
        return frozenset(value[at : at + _DIGEST] for at in range(_HEAD, len(value), _DIGEST)), packs

    def _trusted(self, name: bytes) -> frozenset[PackId] | None:
        """Return the packs of a row when all of them are there as writers need them."""
        if name not in self._packs:
            [value] = self._index.seen([name])
            packs = [PackId(value[at : at + 16]) for at in range(0, len(value or b""), 16)] if value else []
            if not packs or not self._session.rely_on(packs):
                return None
            self._packs[name] = frozenset(packs)
        return self._packs[name]


def _digest(run: Run) -> bytes:
    return blake3(run.names + run.stamps).digest(_DIGEST)
