"""One archive out of what is selected: checked first, then written front to back in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, Literal, get_args

from pfs.archives.compress import gzipped, zstd
from pfs.archives.entry import Entry, entries
from pfs.archives.tar import tar
from pfs.archives.zip import zipped
from pfs.errors import InvalidInputError, InvalidPathError
from pfs.files.progress import Progress
from pfs.files.restore_plan import check_items
from pfs.files.selection import Selection
from pfs.packs.objects import Objects
from pfs.paths import from_key

ArchiveFormat = Literal["tar", "tar.gz", "tar.zst", "zip"]
FORMATS: Final[tuple[ArchiveFormat, ...]] = get_args(ArchiveFormat)
_PIECE_BYTES: Final = 256 << 10


def archive(
    objects: Objects,
    selection: Selection,
    format: ArchiveFormat,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    level: int | None = None,
    mtime_s: int | None = None,
) -> Iterator[bytes | memoryview]:
    """Return the pieces of an archive of what is selected, in key order; most have 256 KiB or more.

    Times of files are those of the commits that changed them last, owners are none: the same files of the same commits
    give the same bytes. What `restore_items` would not write to a disk, it does not put into an archive either, so that
    nobody unpacks what leaves the directory. ``level``: how hard tar.gz (1 to 9) and tar.zst (1 to 19) compress;
    ``mtime_s``: the time of all files, so that the commits do not count. Memory: as `contents`; 8 MiB more for the list
    of a zip's files.

    Raises:
        InvalidPathError, FileCollisionError: see `check_items`; of zip, also a name that is no UTF-8. At once.
        InvalidInputError: there is no such format. At once.
        CorruptionError, MissingObjectError, StorageError: something cannot be read; what was yielded is no archive.
    """
    if format not in FORMATS:
        raise InvalidInputError(f"there is no archive format {format!r}: use {', '.join(FORMATS)}")
    totals = check_items(objects, selection)
    if format == "zip":
        _check_utf8(selection)
    if progress is not None:
        progress.total(*totals)
    jobs = jobs or os.cpu_count() or 1
    found: Iterable[Entry] = entries(objects, selection, jobs=jobs, progress=progress)
    if mtime_s is not None:
        found = (replace(entry, mtime_s=mtime_s) for entry in found)
    return _gathered(_packed(found, format, jobs, level=level))


def _packed(
    found: Iterable[Entry], format: ArchiveFormat, jobs: int, *, level: int | None
) -> Iterator[bytes | memoryview]:
    match format:
        case "tar":
            return tar(found)
        case "tar.gz":
            return gzipped(tar(found), level=level)
        case "tar.zst":
            return zstd(tar(found), jobs=jobs, level=level)
        case "zip":
            return zipped(found)


def _check_utf8(selection: Selection) -> None:
    for item in selection:
        try:
            item.name.decode()
        except UnicodeDecodeError as error:
            raise InvalidPathError(from_key(item.row.key), "names in a zip are UTF-8: use tar") from error


def _gathered(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Join small pieces, so that writing a header costs no system call."""
    waiting: list[bytes | memoryview] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += len(piece)
        if held >= _PIECE_BYTES:
            yield waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting, held = [], 0
    if held:
        yield b"".join(waiting)
