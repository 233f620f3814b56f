"""Many files out: small ones in batches, each batch read in the order of the packs.

Threads read and decompress ahead; one thread makes the files, many in one call, because threads that make files in one
directory wait for each other in the kernel, spinning (on ext4 two are slower than one, at four times the cost).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby, takewhile
from pathlib import Path
from typing import Final, TypeAlias

from pfs.backends.durable import storage_errors
from pfs.errors import StorageError
from pfs.files.contents import contents
from pfs.files.create import NewFile, create_files
from pfs.files.progress import Progress
from pfs.files.restore_file import is_executable, place_link, restore_file
from pfs.files.restore_plan import check_items, is_marker
from pfs.files.selection import Item, Selection, below
from pfs.packs.objects import Objects
from pfs.trees.page import Kind
from pfs.trees.tree import Tree

_AT_ONCE: Final = 256
"""Files written in one call, between two reports of progress."""
_AT_ONCE_BYTES: Final = 4 << 20
_Fetched: TypeAlias = tuple[Item, Sequence[bytes] | None]


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
        for folder, group in groupby(found, key=lambda one: one[0].name.rpartition(b"/")[0]):
            while some := _some(group):
                _write_files(_place(target, folder), some, progress)
                for item, pieces in some:
                    if pieces is None:
                        place = _place(target, item.name)
                        restore_file(objects, item.row, place, jobs=jobs, progress=progress, through_links=False)


def _some(found: Iterator[_Fetched]) -> list[_Fetched]:
    """Return the next files up to a number and size."""
    some: list[_Fetched] = []
    size = 0
    for item, pieces in found:
        some.append((item, pieces))
        size += item.row.size if pieces is not None else 0
        if len(some) == _AT_ONCE or size >= _AT_ONCE_BYTES:
            break
    return some


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


def _write_files(folder: Path, group: Sequence[_Fetched], progress: Progress | None) -> None:
    """Write the links and files of one directory that were fetched."""
    files: list[NewFile] = []
    fetched = [(item, pieces) for item, pieces in group if pieces is not None]
    for item, pieces in fetched:
        name, data = item.name.rpartition(b"/")[2], pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if item.row.kind is Kind.SYMLINK:
            place_link(folder / os.fsdecode(name), data)
        else:
            files.append((name, data, is_executable(item.row)))
    create_files(folder, files)
    if progress is not None:
        progress.advance(files=len(fetched), size=sum(item.row.size for item, _ in fetched))
