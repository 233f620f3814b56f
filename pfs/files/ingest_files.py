"""Many files at once: small ones in batches, so that their cost is that of opening, reading and hashing them.

A thread of the pool reads a group of files into one buffer in few calls, and hashes them together; so the interpreter
is needed for little, and threads do not wait for it. What is unusual about a file is found out by reading it alone.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from pfs.backends.base import Buffer
from pfs.chunker import ChunkerParams, cut_points
from pfs.errors import StorageError
from pfs.files.fileref import EMPTY_FILE, FileRef, RefBuilder
from pfs.files.ingest_queue import BATCH_BYTES, store_chunks
from pfs.files.ingest_stream import put_stream, split
from pfs.files.ingest_target import WHOLE_BYTES, Part, Target, ToRead
from pfs.files.progress import Progress
from pfs.files.seen import Reading, SeenFiles
from pfs.ids import ChunkId, TreeId, chunk_id
from pfs.packs.session import WriteSession
from pfs.sources.batch import ODD, Rows, read_files
from pfs.sources.local import is_executable, open_regular
from pfs.spans import hash_spans
from pfs.trees.page import Kind

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from pfs.trees.put_rows import PutRows

Stored: TypeAlias = tuple[bytes, FileRef, bool]
"""Key, content, whether the file is executable."""
_GROUP_FILES: Final = 512
_FEW: Final = 128
"""Files up to which each is read by itself, if there are no others."""
_Group: TypeAlias = list[ToRead]
StrPath: TypeAlias = str | os.PathLike[str]


class Grouped(NamedTuple):
    """Files that were stored together: of a directory as columns, if any, and single ones."""

    rows: PutRows | None
    stored: list[Stored]


class _Done(NamedTuple):
    """What a thread of the pool did; None: a file that is to be streamed."""

    rows: PutRows | None
    group: _Group
    results: list[Stored | None]


def put_files(
    session: WriteSession,
    params: ChunkerParams,
    files: Iterable[tuple[bytes, StrPath]],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    seen: SeenFiles | None = None,
) -> Iterator[Stored]:
    """Store files, given as (key, file), and yield (key, content, executable) in the same order.

    Links are followed. What was read is stored of a file that changes meanwhile. ``seen`` is told what was read, for
    the next time; its paths are those given here. Memory: ``jobs`` buffers of
    some 4 MiB, whatever the number of files; ``files`` is read as the results are asked for.

    Raises:
        StorageError: a file cannot be read (it is named), or the session cannot store.
    """
    found = (ToRead(key, os.fspath(file)) for key, file in files)
    for group in put_groups(session, params, found, jobs=jobs, progress=progress, seen=seen):
        yield from group.stored


def put_groups(
    session: WriteSession,
    params: ChunkerParams,
    files: Iterable[ToRead | Part],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    seen: SeenFiles | None = None,
) -> Iterator[Grouped]:
    """Store files as `put_files` does, and parts of directories, and yield them in groups; single ones in order."""
    # One thread more than processors: some wait for the interpreter or the pack, which would leave one idle (a tenth).
    groups = _Groups(Target(session, params, seen), jobs=jobs or (os.cpu_count() or 1) + 1, progress=progress)
    try:
        yield from groups.run(files)
    finally:
        groups.stop()


class _Groups:
    """The files under way, in order."""

    def __init__(self, target: Target, *, jobs: int, progress: Progress | None) -> None:
        self._target, self._jobs, self._progress = target, jobs, progress
        self._waiting: deque[Future[_Done]] = deque()

    def run(self, files: Iterable[ToRead | Part]) -> Iterator[Grouped]:
        groups = _grouped(files)
        first, second = next(groups, None), next(groups, None)
        if first is not None and second is None:
            # All there is: starting a thread would cost more than storing a few small files, and of very few columns
            # and the buffer to read to would.
            yield self._told(_store_few(self._target, first))
            return
        for group in (first, second):
            self._send(group)
        for group in groups:
            self._send(group)
            while len(self._waiting) > self._jobs + 1:
                yield self._told(self._waiting.popleft().result())
        while self._waiting:
            yield self._told(self._waiting.popleft().result())

    def stop(self) -> None:
        """End the threads; what they have not begun is left."""
        if "_pool" in self.__dict__:
            self._pool.shutdown(cancel_futures=True)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor  # several modules, for puts of many files alone

        return ThreadPoolExecutor(self._jobs, "ingest")

    def _send(self, group: _Group | Part | None) -> None:
        if group:
            self._waiting.append(self._pool.submit(_store, self._target, group))

    def _told(self, done: _Done) -> Grouped:
        results = zip(done.group, done.results, strict=True)
        stored = [self._stream(file) if found is None else found for file, found in results]
        if self._progress is not None:
            count, size = (0, 0) if done.rows is None else (len(done.rows.names), done.rows.size)
            size += sum(found[1].size for found in done.results if found is not None)  # streams told their bytes
            self._progress.advance(files=count + len(stored), size=size)
        return Grouped(done.rows, stored)

    def _stream(self, file: ToRead) -> Stored:
        session, params = self._target.session, self._target.params
        try:
            with open(open_regular(file.path), "rb", buffering=0) as stream:
                before, at_ns = os.fstat(stream.fileno()), self._target.clock_ns()
                ref = put_stream(session, params, stream, jobs=self._jobs, progress=self._progress)
                self._target.note(file, Reading(file.path, before, os.fstat(stream.fileno()), at_ns), ref)
                return file.key, ref, is_executable(before.st_mode)
        except OSError as error:
            raise _unreadable(file.path, error) from error


def _grouped(files: Iterable[ToRead | Part]) -> Iterator[_Group | Part]:
    group: _Group = []
    held = 0
    for file in files:
        if isinstance(file, Part):
            yield file
            continue
        group.append(file)
        held += file.size
        if held >= BATCH_BYTES or len(group) == _GROUP_FILES:
            yield group
            group, held = [], 0
    if group:
        yield group


def _store(target: Target, group: _Group | Part) -> _Done:
    if not isinstance(group, Part):
        return _Done(None, group, _store_group(target, group))
    from pfs.files.ingest_columns import store_part  # for who puts directories alone

    rows, rest = store_part(target, group)
    return _Done(rows, rest, _store_group(target, rest) if rest else [])


def _store_few(target: Target, group: _Group | Part) -> _Done:
    if isinstance(group, Part) or len(group) > _FEW:
        return _store(target, group)
    return _Done(None, group, [_store_alone(target, file) for file in group])


def _store_group(target: Target, group: _Group) -> list[Stored | None]:
    """Read and store files; None: one that is to be streamed."""
    paths = [os.fsencode(file.path) for file in group]
    buffer, results = target.take_buffer(), list[Stored | None]()
    try:
        while len(results) < len(group):
            start, at_ns = len(results), target.clock_ns()
            rows = read_files(paths[start:], buffer, limit=WHOLE_BYTES)
            files = group[start : start + len(rows)]
            refs = _store_rows(target, rows, buffer)
            target.note_rows(files, rows, refs, at_ns)
            modes = rows["mode"].tolist()
            for file, ref, mode in zip(files, refs, modes, strict=True):
                results.append(_store_alone(target, file) if ref is None else (file.key, ref, is_executable(mode)))
    finally:
        target.give_buffer(buffer)
    return results


def _store_rows(target: Target, rows: Rows, buffer: memoryview) -> list[FileRef | None]:
    """Store what was read to the buffer; None: that file is odd."""
    least = target.params.min_bytes
    short = (rows["state"] != ODD) & (rows["length"] <= least)
    ids = hash_spans(buffer, rows["offset"][short], rows["length"][short])
    batch: list[tuple[ChunkId, Buffer]] = []
    refs: list[FileRef | list[tuple[ChunkId, Buffer]] | None] = []
    at = 0
    for state, start, size in zip(*(rows[name].tolist() for name in ("state", "offset", "length")), strict=True):
        if state == ODD:
            refs.append(None)
            continue
        data = buffer[start : start + size]
        if size > least:
            pieces = split(data, cut_points(data, target.params))
            chunks: list[tuple[ChunkId, Buffer]] = [(chunk_id(piece), piece) for piece in pieces]
            batch += chunks
            refs.append(chunks)
            continue
        id = ChunkId(ids[at : at + 32])
        at += 32
        if size:
            batch.append((id, data))
        refs.append(FileRef(Kind.FILE, size, TreeId(id)) if size else EMPTY_FILE)
    target.session.put_chunks(batch)
    return [_ref_of(target, ref) if isinstance(ref, list) else ref for ref in refs]


def _ref_of(target: Target, chunks: Sequence[tuple[ChunkId, Buffer]]) -> FileRef:
    builder = RefBuilder(target.session)
    for id, chunk in chunks:
        builder.add(len(chunk), id)
    return builder.finish()


def _store_alone(target: Target, file: ToRead) -> Stored | None:
    """Store a file by itself; None when it is too large to be read whole, or grew while it was read."""
    at_ns = target.clock_ns()
    try:
        fd = open_regular(file.path)
        try:
            before = os.fstat(fd)
            if before.st_size > WHOLE_BYTES:
                return None
            # One byte more than the file should have tells that it ends there, in one call.
            data = os.read(fd, before.st_size + 1)
            after = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable(file.path, error) from error
    if len(data) != before.st_size:
        return None
    view = memoryview(data)
    builder = RefBuilder(target.session)
    for size, id in store_chunks(target.session, split(view, cut_points(view, target.params))):
        builder.add(size, id)
    ref = builder.finish()
    target.note(file, Reading(file.path, before, after, at_ns), ref)
    return file.key, ref, is_executable(before.st_mode)


def _unreadable(file: StrPath, error: OSError) -> StorageError:
    return StorageError(f"read {os.fspath(file)}", error.strerror or str(error))
