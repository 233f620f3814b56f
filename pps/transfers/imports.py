"""Files from outside into a commit: what changed there is fetched, what vanished is removed, and nothing else moves."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pfs.changes.writer import CommitWriter, file_key
from pfs.errors import InvalidInputError
from pfs.files.described import is_media_type, kept_metadata
from pfs.ids import CommitId
from pfs.paths import clean_path, to_key
from pfs.shorten import quoted
from pfs.sources.names import shown
from pfs.trees.edit import Delete, Edit, Put
from pfs.trees.row import Row
from pfs.trees.tree import Tree
from pps.transfers.origins import ImportHow, Mark, RemoteFile, origin
from pps.transfers.room import Room

if TYPE_CHECKING:
    from pfs.store import Store

FIELD: Final = "o"
"""Where the metadata of a file have its `Mark` (docs/format/tree.md)."""
_BATCH: Final = 1024
_LARGE: Final = 32 << 20
"""From here on one file is cut, hashed and packed by several threads."""
_ROOM: Final = 112 << 20
"""Bytes in memory of all that is fetched at a time."""
_SHORT: Final = 256 << 10
_HEAVY_THREADS: Final = 3
"""So many threads have larger files in hand: what a thread once held, the allocator may keep for it."""
_BUFFERS: Final = 16 << 20
"""What cutting and packing a file that is no short one holds."""


class Imported(NamedTuple):
    """What an import did. ``commit``: the new one, None where nothing was to be changed; sizes in bytes.

    ``left_out``: how many could not be taken, such as keys that are no paths; ``why``: the first of them.
    """

    commit: CommitId | None
    fetched: int
    size: int
    unchanged: int
    removed: int
    left_out: int = 0
    why: str = ""


def import_uri(
    store: Store,
    repo: str,
    path: str,
    uri: str,
    how: ImportHow | None = None,
    *,
    branch: str = "master",
    stop: threading.Event | None = None,
) -> Imported:
    """Make what is below ``path`` of a branch what is at a URI, in one commit, or in none if it is that already.

    ``uri``: ``s3://bucket/key``; ``s3://bucket/prefix/``, all below it; a pattern, ``s3://bucket/logs/*.gz``; the
    same of ``file:///``; ``https://…`` and ``http://…``, a file each. Each file keeps what tells its version from
    others (URL, ETag, version, size, time), and is not fetched again while that is the same; files of ``path`` that
    are not there are deleted. What cannot be taken, keys that are no paths (``a//b``, ``./a``) and what is no file
    or leads out of a folder, is counted and left out. The repo and branch are made if they are not there. Several
    files at a time, large ones in ranges; what is in memory of them shares 112 MiB. A transfer that breaks goes on
    where it was. When it fails nothing was changed; what was stored is found by the next try, as it has the same
    chunks.

    Raises:
        InvalidInputError: no such URI, or names that are no paths. NotFoundError: nothing is there.
        StorageError: it cannot be read now. PlaceRefusedError: it may not be read. Stopped: ``stop`` was set.
        PathConflictError: somebody else changed the same files meanwhile.
    """
    how, stop = how or ImportHow(), stop or threading.Event()
    store.create_repo(repo, exist_ok=True)
    with origin(uri, how, stop) as files:
        writer = store.repo(repo).commit(branch, message=f"import {shown(uri)}")
        try:
            done = _Import(writer, path, stop).run(files, jobs=how.jobs)
            if done.fetched or done.removed:
                return done._replace(commit=writer.finish().id)
            writer.drop()
            return done
        except BaseException:
            stop.set()
            writer.drop()
            raise


class _Import:
    """One import; one thread calls it."""

    def __init__(self, writer: CommitWriter, path: str, stop: threading.Event) -> None:
        self._writer, self._stop = writer, stop
        self._top, self._key = clean_path(path).rstrip("/"), to_key(path)
        self._edits: list[Edit] = []
        self._room = Room(_ROOM)
        self._fetched = self._size = self._unchanged = self._removed = self._left_out = 0
        self._why = ""

    def run(self, files: Iterator[RemoteFile], *, jobs: int) -> Imported:
        waiting: deque[Future[Put | None]] = deque()
        with (
            ThreadPoolExecutor(jobs, thread_name_prefix="import") as pool,
            ThreadPoolExecutor(_HEAVY_THREADS, thread_name_prefix="heavy") as heavy,
        ):
            try:
                for file, row in self._pairs(files):
                    if file is None:
                        assert row is not None, "one of both is there"
                        self._removed += 1
                        self._stage(Delete(row.key))
                        continue
                    known = None if row is None else _mark(row)
                    if known is not None and file.mark is not None and file.mark.same(known):
                        self._unchanged += 1
                        continue
                    is_short = file.mark is not None and file.mark.size <= _SHORT
                    waiting.append((pool if is_short else heavy).submit(self._fetch, file, known))
                    if len(waiting) > 2 * jobs:
                        self._land(waiting)
                while waiting:
                    self._land(waiting)
            except BaseException:
                self._stop.set()
                for one in waiting:
                    one.cancel()
                raise
        self._writer.edit(self._edits)
        counts = (self._fetched, self._size, self._unchanged, self._removed)
        return Imported(None, *counts, self._left_out, self._why)

    def _pairs(self, files: Iterator[RemoteFile]) -> Iterator[tuple[RemoteFile | None, Row | None]]:
        """Go through files and what there is of them side by side: both are in byte order."""
        rows = Tree(self._writer.session, self._writer.begun_with).walk(self._key)
        row = next(rows, None)
        for file, key in self._taking(files):
            while row is not None and row.key < key:
                yield None, row
                row = next(rows, None)
            if row is not None and row.key == key:
                yield file, row
                row = next(rows, None)
            else:
                yield file, None
        while row is not None:
            yield None, row
            row = next(rows, None)

    def _taking(self, files: Iterator[RemoteFile]) -> Iterator[tuple[RemoteFile, bytes]]:
        """Yield what can be taken with its key; the rest is counted, unless it is all that there is."""
        is_any, refusal = False, None
        for file in files:
            try:
                key = self._key_of(file)
            except InvalidInputError as error:
                refusal = refusal or error
                self._left_out += 1
                self._why = self._why or str(error)
                continue
            is_any = True
            yield file, key
        if refusal is not None and not is_any:
            raise refusal

    def _key_of(self, file: RemoteFile) -> bytes:
        path = f"{self._top}/{file.name.decode(errors='surrogateescape')}"
        if file.no_file:
            raise InvalidInputError(f"{quoted(path)} is not imported: {file.no_file}")
        if b"" in file.name.split(b"/"):  # cleaned, it would be another key's path, and out of order
            raise InvalidInputError(f"{quoted(path)} is not imported: an element of it is empty")
        return file_key(path)

    def _land(self, waiting: deque[Future[Put | None]]) -> None:
        put = waiting.popleft().result()
        if put is None:
            self._unchanged += 1
            return
        self._fetched, self._size = self._fetched + 1, self._size + put.size
        self._stage(put)

    def _stage(self, one: Edit) -> None:
        self._edits.append(one)
        if len(self._edits) >= _BATCH:
            self._writer.edit(self._edits)
            self._edits = []

    def _fetch(self, file: RemoteFile, known: Mark | None) -> Put | None:
        size = file.mark.size if file.mark is not None else _LARGE
        with self._room.held(2 * size if size <= _SHORT else min(size, _LARGE) + _BUFFERS):
            return self._taken(file, known)

    def _taken(self, file: RemoteFile, known: Mark | None) -> Put | None:
        with file.open(known, self._stop) as opened:
            if opened.stream is None:
                return None
            jobs = None if opened.mark.size > _LARGE else 1
            ref = self._writer.local.stream(opened.stream, jobs=jobs)
            mark = opened.mark._replace(size=ref.size)
        aux: dict[str, object] = {FIELD: list(mark)}
        if opened.mime is not None and is_media_type(opened.mime):
            aux["m"] = opened.mime
        metadata = kept_metadata(opened.metadata)
        if metadata:
            aux["u"] = metadata
        return Put(self._key_of(file), ref.kind, ref.size, ref.tid, aux)


def _mark(row: Row) -> Mark | None:
    try:
        return msgspec.convert((row.aux or {}).get(FIELD), Mark)
    except msgspec.ValidationError:
        return None
