"""Many files out: small ones in batches, each batch read in the order of the packs.

Threads read and decompress ahead; one thread makes the files, because threads that make files in one directory wait for
each other in the kernel, spinning (measured on ext4: two are slower than one, at four times the processor time).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path

from pfs.backends.durable import storage_errors, write_all
from pfs.errors import StorageError
from pfs.files.contents import contents
from pfs.files.progress import Progress
from pfs.files.restore_file import is_executable, place_link, replacing, restore_file
from pfs.files.restore_plan import check_items, is_marker
from pfs.files.selection import Item, Selection, below
from pfs.packs.objects import Objects
from pfs.trees.page import Kind
from pfs.trees.tree import Tree


def restore_tree(
    objects: Objects,
    tree: Tree,
    key: bytes,
    target: Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write all files below the directory ``key`` (empty: the root) to the directory ``target``: `restore_items`.

    Raises:
        PathNotFoundError: there is no directory at ``key``.
    """
    restore_items(objects, below(tree, key), target, jobs=jobs, progress=progress)


def restore_items(
    objects: Objects,
    selection: Selection,
    target: Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write what is selected to the directory ``target``, made if need be.

    Files and links that stand there are replaced one by one, others are left alone: nothing is written through a link
    below ``target``. Empty objects that S3 clients made as directories (``a/``) are passed over. Memory: ``jobs`` + 1
    batches of 8 MiB, whatever the number of files.

    Raises:
        InvalidPathError, FileCollisionError: see `check_items`; nothing was written.
        StorageError, StorageFullError: something cannot be written; every file is the old or the whole new one.
        CorruptionError, MissingObjectError: something cannot be read; likewise.
    """
    jobs = jobs or os.cpu_count() or 1
    totals = check_items(objects, selection)
    if progress is not None:
        progress.total(*totals)
    with storage_errors(f"make the directory {target}"):
        target.mkdir(parents=True, exist_ok=True)
    with closing(contents(objects, _files(selection, _Folders(target)), jobs=jobs)) as found:
        for item, pieces in found:
            place = _place(target, item.name)
            if pieces is None:
                restore_file(objects, item.row, place, jobs=jobs, progress=progress, through_links=False)
            else:
                _write(item, place, pieces, progress)


def _files(selection: Selection, folders: _Folders) -> Iterator[Item]:
    """Yield the files in key order, having made the directories they lie in."""
    for item in selection:
        if item.row.is_dir:
            folders.make(item.name)
        elif not is_marker(item.row):
            folders.make(item.name.rpartition(b"/")[0])
            yield item


def _place(target: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(target) + b"/" + name))


class _Folders:
    """Makes directories below ``target``; remembers the last, since names come in order."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._made: list[bytes] = []
        self._last = b""

    def make(self, name: bytes) -> None:
        if name == self._last:
            return
        steps, self._last = name.split(b"/") if name else [], name
        known = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(steps, self._made, strict=False)))
        for depth in range(known, len(steps)):
            _make_directory(_place(self._target, b"/".join(steps[: depth + 1])))
        self._made = steps


def _make_directory(place: Path) -> None:
    # A link that stands there already could lead anywhere, so it is not followed.
    with storage_errors(f"make the directory {place}"):
        if place.is_symlink():
            raise StorageError(f"make the directory {place}", "a symbolic link is there: remove it first")
        place.mkdir(exist_ok=True)


def _write(item: Item, place: Path, pieces: Sequence[bytes], progress: Progress | None) -> None:
    if item.row.kind is Kind.SYMLINK:
        place_link(place, b"".join(pieces))
    else:
        with replacing(place, executable=is_executable(item.row), through_links=False) as fd:
            write_all(fd, pieces)
    if progress is not None:
        progress.advance(files=1, size=item.row.size)
