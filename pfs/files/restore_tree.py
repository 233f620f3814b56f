"""A directory out: small files in batches, each batch read in the order of the packs.

Threads read and decompress ahead; one thread makes the files, because threads that make files in one directory wait for
each other in the kernel, spinning (measured on ext4: two are slower than one, at four times the processor time).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pfs.backends.durable import storage_errors, write_all
from pfs.errors import StorageError
from pfs.files.progress import Progress
from pfs.files.reader import chunk_refs
from pfs.files.restore_file import is_executable, place_link, replacing, restore_file
from pfs.files.restore_plan import check_tree, is_marker
from pfs.packs.objects import Objects
from pfs.parallel import in_order
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pfs.trees.tree import Tree

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

    Files and links that stand there are replaced one by one, others are left alone: nothing is written through a link
    below ``target``. Empty objects that S3 clients made as
    directories (``a/``) are passed over. Memory: ``jobs`` + 1 batches of 8 MiB, whatever the number of files.

    Raises:
        PathNotFoundError, InvalidPathError, FileCollisionError: see `check_tree`; nothing was written.
        StorageError, StorageFullError: something cannot be written; every file is the old or the whole new one.
        CorruptionError, MissingObjectError: something cannot be read; likewise.
    """
    jobs = jobs or os.cpu_count() or 1
    top = check_tree(objects, tree, key)
    if progress is not None:
        progress.total(top.count, top.size)
    with storage_errors(f"make the directory {target}"):
        target.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs, "restore") as pool:
        for batch in in_order(pool, partial(_fetch, objects), _batches(_jobs(tree, key, target)), depth=jobs):
            for job, pieces in batch:
                if pieces is None:
                    restore_file(objects, job.row, job.target, jobs=jobs, progress=progress, through_links=False)
                else:
                    _place(job, pieces, progress)


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


def _fetch(objects: Objects, batch: Sequence[_Job]) -> list[tuple[_Job, Sequence[bytes] | None]]:
    """Return each file with its bytes, or with None when it is too large for that."""
    refs = [list(chunk_refs(objects, job.row)) if job.row.size <= _WHOLE_BYTES else None for job in batch]
    data = iter(objects.chunks([(ref.id, ref.size) for chunks in refs if chunks for ref in chunks]))
    return [
        (job, None if chunks is None else [next(data) for _ in chunks]) for job, chunks in zip(batch, refs, strict=True)
    ]


def _place(job: _Job, pieces: Sequence[bytes], progress: Progress | None) -> None:
    if job.row.kind is Kind.SYMLINK:
        place_link(job.target, b"".join(pieces))
    else:
        with replacing(job.target, executable=is_executable(job.row), through_links=False) as fd:
            write_all(fd, pieces)
    if progress is not None:
        progress.advance(files=1, size=job.row.size)
