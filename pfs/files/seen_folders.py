"""Directories that were put before: runs of files none of which shows a change, in a directory of the store as it was.

Where both are so, putting those files again changes nothing, and they need not be looked at one by one: the row of a
directory says which runs of files (by the hash of their names and stamps) its page in the store (by its pid) has, and a
row of each run which files it was of, so that of a run with a change only the changed files are looked at. A pid is the
hash of all that the page says, so whatever was changed there since shows. That the content is whole is made sure of by
the packs that it may lie in: they are looked at as those of any content that is put again, and the row is void once
damage was found in any pack. The rows are in the index, beside those of files. Format: docs/format/index.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from blake3 import blake3
from msgspec import Struct

from pfs.ids import NO_PAGE, PackId, PageId
from pfs.packs.index import Index
from pfs.packs.session import WriteSession
from pfs.sources.batch import digest_files
from pfs.sources.walk import Folder, Run
from pfs.trees.cutrule import FORMAT

FOLDERS: Final = 16_384
"""Directories noted in one put at most; those beyond are looked at file by file."""
RUN_ROWS: Final = 2048
"""Rows of runs noted in one put at most, some 4 KB each; runs beyond are read whole when a file of theirs changed."""
MIN_FILES: Final = FORMAT.inline + 1
"""Smaller directories may have no page of their own."""
_DIGEST: Final = 16
_HEAD: Final = 8 + 32 + _DIGEST
PidOf = Callable[[bytes], PageId]
"""The pid of a directory of the store by its key, NO_PAGE where it has none."""


class Note(Struct, frozen=True):
    """A directory that is remembered once it was put."""

    row: bytes
    key: bytes
    path: str
    runs: bytes
    packs: frozenset[PackId]
    """Where what was not looked at lies."""
    rows: dict[bytes, bytes]
    """Those of runs."""


class SeenFolders:
    """What is known of local directories, for the writer of one commit; not thread-safe."""

    def __init__(self, index: Index, session: WriteSession, *, place: str) -> None:
        """``place`` names the branch that is written to: directories of several are remembered apart."""
        self._index, self._session, self._place = index, session, place
        self._notes: dict[bytes, tuple[Note, PageId]] = {}
        self._noted = 0
        self._packs: dict[bytes, frozenset[PackId]] = {}
        self._damages = index.damages()
        self._run_rows = 0

    def unseen(self, folder: Folder, pid_of: PidOf) -> tuple[list[Run], Note | None]:
        """Return the files of a directory that must be looked at, by run, and what to remember then."""
        runs = folder.runs()
        if sum(run.stop - run.start for run in runs) < MIN_FILES:
            return runs, None
        row, digests = self._row_key(folder), [_digest(run) for run in runs]
        known, packs = self._known(row, pid_of(folder.key))
        places = [number for number, digest in enumerate(digests) if digest not in known]
        keys = _run_keys(row, runs, places)
        values = self._index.seen(keys) if known else [None] * len(keys)
        files = [digest_files(runs[place].names, runs[place].stamps) for place in places]
        unseen = [
            _changed(runs[place], own, value if value is not None and value[:_DIGEST] in known else b"")
            for place, own, value in zip(places, files, values, strict=True)
        ]
        note = None
        if unseen and self._noted < FOLDERS:
            self._noted += 1
            kept = max(RUN_ROWS - self._run_rows, 0)
            own_rows = zip(keys[:kept], places, files, strict=False)
            rows = {key: digests[place] + own for key, place, own in own_rows}
            self._run_rows += len(rows)
            note = Note(row, folder.key, folder.path, b"".join(digests), packs, rows)
        return [run for run in unseen if run.files], note

    def remember(self, notes: Iterable[Note], pid_of: PidOf) -> None:
        """Take notes of directories; every file of theirs that had to be looked at is in the tree of ``pid_of``.

        What changes there afterwards, in the same commit, voids them.
        """
        self._notes |= {note.row: (note, pid_of(note.key)) for note in notes}

    def take(self, pid_of: PidOf, *, unsteady: Iterable[str]) -> dict[bytes, bytes]:
        """Return the rows that are to be written, and forget them; all that was staged is in the tree of ``pid_of``.

        ``unsteady`` are the directories of files that could change without showing it.
        """
        held, self._notes = self._notes, {}
        odd = set(unsteady)
        # As it is told and as of a file in it: what lies in the root directory is in one of two slashes.
        steady = [one for one in held.values() if odd.isdisjoint((one[0].path, os.path.dirname(f"{one[0].path}/-")))]
        notes = [(note, pid) for note, pid in steady if pid == pid_of(note.key)]
        rows: dict[bytes, bytes] = {}
        own = frozenset(self._session.pack_ids) | self._session.relied_on if notes else frozenset()
        for note, pid in notes:
            if pid != NO_PAGE:
                packs = b"".join(sorted(own | note.packs))
                name = blake3(b"packs:" + packs).digest(_DIGEST)
                rows[name] = packs
                rows |= note.rows
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


def _run_keys(folder: bytes, runs: Sequence[Run], places: Iterable[int]) -> list[bytes]:
    """Return the keys of the rows of some runs: by the file that each comes behind, so that it may change."""
    ends = [b"", *(run.names[run.names.rfind(b"\0", 0, -1) + 1 : -1] for run in runs)]
    return [blake3(b"run:" + folder + ends[place]).digest(_DIGEST) for place in places]


def _changed(run: Run, files: bytes, row: bytes) -> Run:
    """Return the run with those of its files that its row does not have."""
    if not row:
        return run
    known = set(_each(row[_DIGEST:]))
    return run._replace(only=tuple(number for number, file in enumerate(_each(files)) if file not in known))


def _each(files: bytes) -> Iterator[bytes]:
    return (files[at : at + 8] for at in range(0, len(files), 8))
