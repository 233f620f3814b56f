"""One file out: written beside its target and renamed, so that the target is the old file or the whole new one."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from mmap import mmap
from pathlib import Path
from typing import Final

from pfs.backends.durable import reserve_blocks, storage_errors, write_all
from pfs.backends.unnamed import name_file, open_unnamed
from pfs.errors import StorageError
from pfs.files.progress import Progress
from pfs.files.reader import BATCH_BYTES, batches, chunk_refs, iter_range
from pfs.ids import ChunkId
from pfs.packs.manifest import ChunkRef
from pfs.packs.objects import Objects
from pfs.packs.read_into import Room
from pfs.parallel import in_order
from pfs.trees.page import Kind
from pfs.trees.row import Row

_IOV_MAX: Final = 1024
"""Buffers that one write takes."""
_ROOM_BYTES: Final = BATCH_BYTES + (1 << 20)
"""A batch of usual chunks: the last may begin just before its end."""


def restore_file(
    objects: Objects,
    row: Row,
    target: Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    through_links: bool = True,
) -> None:
    """Write a stored file to ``target``, replacing a file there; its directory must exist.

    A link to a file stays, and the file that it leads to is replaced; a device or named pipe is written into. Without
    ``through_links`` whatever stands there is replaced.
    Executable if the row says so; a symbolic link if the row is one, wherever it points. Nothing is synced to the disk.
    Memory: ``jobs`` + 1 batches of 4 MiB.

    Raises:
        StorageError, StorageFullError: it cannot be written; what stood at ``target`` is untouched.
        CorruptionError, MissingObjectError: it cannot be read; likewise.
    """
    jobs = jobs or os.cpu_count() or 1
    if through_links and is_stream(target):
        write_pieces(iter_range(objects, row, jobs=jobs), target)
    elif row.kind is Kind.SYMLINK:
        place_link(target, objects.chunk(ChunkId(row.tid), row.size))
    else:
        with (
            replacing(target, executable=is_executable(row), through_links=through_links, size=row.size) as fd,
            closing(_copied(objects, row, fd, jobs=jobs)) as copied,  # its threads end before the file is closed
        ):
            total = 0
            for size in copied:
                total += size
                if progress is not None:
                    progress.advance(size=size)
            if total != row.size:
                raise StorageError(f"write {target}", f"its chunks have {total} bytes, its row says {row.size}")
    if progress is not None:
        progress.advance(files=1)


def is_executable(row: Row) -> bool:
    """Say whether the row has the executable bit."""
    return bool(row.aux and row.aux.get("x"))


def is_stream(target: Path) -> bool:
    """Say whether ``target`` is a device, named pipe or socket: something to write into, never to replace."""
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_pieces(pieces: Iterable[bytes | memoryview], target: Path) -> None:
    """Write pieces in order to ``target``: all of them take the place of a file there, or go into a device or pipe.

    Raises:
        StorageError, StorageFullError: it cannot be written; a file that stood there is untouched.
    """
    if is_stream(target):
        with storage_errors(f"write {target}"), target.open("wb", buffering=0) as stream:
            for piece in pieces:
                write_all(stream.fileno(), [piece])
        return
    with replacing(target, executable=False) as fd:
        for piece in pieces:
            write_all(fd, [piece])


@contextmanager
def replacing(target: Path, *, executable: bool, through_links: bool = True, size: int = 0) -> Iterator[int]:
    """Yield the descriptor of a new file that takes the place of ``target`` at the end, or vanishes on an error.

    ``through_links``: where a link to a file stands, that file is replaced, else the link. ``size``: bytes that are
    going to be written, if known.
    """
    with storage_errors(f"write {target}"):
        target = target.resolve() if through_links and target.is_symlink() and target.exists() else target
        pending, mode = Path(_beside(target)), 0o777 if executable else 0o666
        unnamed = open_unnamed(target.parent, mode)
        named = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(pending, named, mode) if unnamed is None else unnamed
        try:
            try:
                # Not where it replaces a file: ext4 brings it to the disk before the rename then, so that a loss of
                # power leaves one of the two, but does so only if its blocks are still to be found.
                if size > BATCH_BYTES and not os.path.lexists(target):
                    reserve_blocks(fd, size)
                yield fd
                if unnamed is not None:
                    name_file(fd, pending)
            finally:
                os.close(fd)
            os.replace(pending, target)
        except BaseException:
            pending.unlink(missing_ok=True)  # it is gone where an interrupt came behind its renaming
            raise


def place_link(target: Path, text: bytes) -> None:
    """Make ``target`` a symbolic link to ``text``, replacing a file there."""
    with storage_errors(f"write {target}"):
        pending = Path(_beside(target))
        try:
            os.symlink(text, os.fsencode(pending))
            os.replace(pending, target)
        except BaseException:
            pending.unlink(missing_ok=True)
            raise


def write_at(fd: int, pieces: Sequence[memoryview], offset: int) -> None:
    """Write pieces one behind the other from ``offset`` on, however short the single writes are."""
    pending = list(pieces)
    while pending:
        written = os.pwritev(fd, pending[:_IOV_MAX], offset)
        offset += written
        while pending and written >= len(pending[0]):
            written -= len(pending.pop(0))
        if written:
            pending[0] = pending[0][written:]


def _beside(target: Path) -> str:
    return str(target.parent / f".pfs-{os.urandom(8).hex()}")


def _copied(objects: Objects, row: Row, fd: int, *, jobs: int) -> Generator[int, None, None]:
    """Write the chunks of a file to their places, and yield how many bytes that were each time."""
    groups, work = batches(chunk_refs(objects, row)), _Copies(objects, fd).copy
    if row.size <= BATCH_BYTES or jobs == 1:
        yield from map(work, groups)
        return
    from concurrent.futures import ThreadPoolExecutor  # several modules, for much to do alone

    with ThreadPoolExecutor(jobs, "restore") as pool:
        yield from in_order(pool, work, groups, depth=jobs)


class _Copies:
    """Writes chunks to their places in a file, through room that is used again; any number of threads."""

    def __init__(self, objects: Objects, fd: int) -> None:
        self._objects, self._fd = objects, fd
        self._rooms: deque[Room] = deque()

    def copy(self, refs: Sequence[ChunkRef]) -> int:
        """Write chunks that follow each other; return how many bytes that were."""
        size = sum(ref.size for ref in refs)
        room = self._take(size)
        try:
            pieces = self._objects.chunks_into([(ref.id, ref.size) for ref in refs], room)
            write_at(self._fd, pieces, refs[0].offset)
        finally:
            self._rooms.append(room)
        return size

    def _take(self, size: int) -> Room:
        """Return room that nobody uses, for so many bytes of a batch and what is stored with them."""
        needed = size + (size >> 4)
        room = self._rooms.pop() if self._rooms else None
        if room is None or len(room.plain) < needed:
            room = Room(
                *(memoryview(mmap(-1, max(needed, _ROOM_BYTES))) for _ in Room._fields)
            )  # touched as it is used
        return room
