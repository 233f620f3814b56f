"""A directory out: small files in batches, each batch read in the order of the packs."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pfs.backends.durable import storage_errors, write_all
from pfs.errors import StorageError
from pfs.objects import Objects
from pfs.page import Kind
from pfs.parallel import in_order
from pfs.progress import Progress
from pfs.reader import chunk_refs
from pfs.restore_file import is_executable, place_link, replacing, restore_file
from pfs.restore_plan import check_tree, is_marker
from pfs.tree import Tree
from pfs.tree_row import Row

_BATCH_BYTES: Final = 8 << 20
_BATCH_FILES: Final = 1024
_WHOLE_BYTES: Final = 4 << 20
"""Files up to this are restored in batches, larger ones by themselves."""


class _Job(NamedTuple):
    """A file and where it goes."""

    row: Row
    target: Path


def restore_tree(
    objects: Objects,
    tree: Tree,
    key: bytes,
    target: Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write all files below the directory ``key`` (empty: the root) to the directory ``target``, made if need be.

    Files that stand there are replaced one by one, others are left alone. Empty objects that S3 clients made as
    directories (``a/``) are passed over. Memory: ``jobs`` + 1 batches of 8 MiB, whatever the number of files.

    Raises:
        PathNotFoundError, InvalidPathError, FileCollisionError: see `check_tree`; nothing was written.
        StorageError, StorageFullError: something cannot be written; every file is the old or the whole new one.
        CorruptionError, MissingObjectError: something cannot be read; likewise.
    """
    jobs = jobs or os.cpu_count() or 1
    top = check_tree(objects, tree, key)
    told = _Told(progress)
    told.total(top.count, top.size)
    with storage_errors(f"make the directory {target}"):
        target.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs, "restore") as pool:
        work = partial(_restore_batch, objects, told)
        deque(in_order(pool, work, _batches(_jobs(tree, key, target)), depth=jobs), maxlen=0)


class _Told:
    """Hands progress on from several threads, one at a time."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._lock = threading.Lock()

    def total(self, files: int, size: int) -> None:
        if self._progress is not None:
            self._progress.total(files, size)

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        if self._progress is not None:
            with self._lock:
                self._progress.advance(files=files, size=size)


def _jobs(tree: Tree, key: bytes, target: Path) -> Iterator[_Job]:
    """Yield the files in key order, having made the directories they lie in."""
    skip = len(key) + 1 if key else 0
    base = os.fsencode(target)
    for row in tree.walk(key, with_dirs=True):
        place = Path(os.fsdecode(base + b"/" + row.key[skip:]))
        if row.is_dir:
            _make_directory(place)
        elif not is_marker(row):
            yield _Job(row, place)


def _make_directory(place: Path) -> None:
    # A link that stands there already could lead anywhere, so it is not followed.
    with storage_errors(f"make the directory {place}"):
        if place.is_symlink():
            raise StorageError(f"make the directory {place}", "a symbolic link is there: remove it first")
        place.mkdir(exist_ok=True)


def _batches(files: Iterable[_Job]) -> Iterator[list[_Job]]:
    batch: list[_Job] = []
    held = 0
    for job in files:
        batch.append(job)
        held += job.row.size
        if held >= _BATCH_BYTES or len(batch) == _BATCH_FILES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _restore_batch(objects: Objects, told: _Told, batch: Sequence[_Job]) -> None:
    whole = [job for job in batch if job.row.size <= _WHOLE_BYTES]
    refs = [list(chunk_refs(objects, job.row)) for job in whole]
    data = iter(objects.chunks([(ref.id, ref.size) for chunks in refs for ref in chunks]))
    for job, chunks in zip(whole, refs, strict=True):
        _place(job, [next(data) for _ in chunks])
        told.advance(files=1, size=job.row.size)
    for job in batch:
        if job.row.size > _WHOLE_BYTES:
            restore_file(objects, job.row, job.target, jobs=1, progress=told)


def _place(job: _Job, pieces: Sequence[bytes]) -> None:
    if job.row.kind is Kind.SYMLINK:
        place_link(job.target, b"".join(pieces))
        return
    with replacing(job.target, executable=is_executable(job.row)) as fd:
        write_all(fd, pieces)
