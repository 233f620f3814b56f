"""All files below a directory, a directory at a time: its regular files as columns, all else one by one."""

from __future__ import annotations

import os
import re
import stat
import struct
import sys
from array import array
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from pfs.arrays import np, npt
from pfs.errors import InvalidInputError, NotFoundError, StorageError
from pfs.paths import MAX_PATH_BYTES, to_key
from pfs.sources.batch import STAMP, Listing
from pfs.sources.links import Symlinks
from pfs.sources.local import LocalFile, Status, refuse_link, unusable
from pfs.sources.passed import PassedOver
from pfs.sources.scans import Scans

SMALL_FILE: Final = 64 << 10
"""Files up to this many bytes are read as fast as they are looked up."""
_LONGEST_NAME: Final = 255
_PLAIN_NAME: Final = re.compile(r"[ -~]{1,255}")
"""What any path takes as the name of an entry of a directory."""
_STAMP: Final = struct.Struct("<QqqQ")
_RUN: Final = struct.Struct("<QQ")
"""Rows of STAMP, the size first in them, and rows of RUN: NumPy would take longer to load than many puts take."""


class Run(NamedTuple):
    """Some files of a directory, in a row: from one place in its columns to another."""

    start: int
    stop: int
    names: bytes
    stamps: bytes
    only: tuple[int, ...] | None = None
    """The numbers in the run of those that are meant, ascending; None: all."""

    @property
    def files(self) -> int:
        """Number of files."""
        return self.stop - self.start if self.only is None else len(self.only)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        if self.only is None:
            return _size_of(self.stamps)
        return sum(_STAMP.unpack_from(self.stamps, row * _STAMP.size)[0] for row in self.only)


class Folder(Struct, frozen=True):
    """The regular files of one directory that are to be put at keys below ``key``."""

    key: bytes
    """Of the directory."""
    under: str
    """The path that the key is of."""
    path: str
    listing: Listing

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return _size_of(self.listing.stamps)

    @property
    def is_small(self) -> npt.NDArray[np.bool_]:
        """Of each file, whether it is read as fast as it is looked up."""
        small: npt.NDArray[np.bool_] = np.frombuffer(self.listing.stamps, STAMP)["size"] <= SMALL_FILE
        return small

    @property
    def has_plain_names(self) -> bool:
        """Whether any path takes the names of all files, and the paths are not too long with them."""
        return self.listing.plain and len(self.key) + 1 + _LONGEST_NAME < MAX_PATH_BYTES

    def runs(self) -> list[Run]:
        """Return the files in runs."""
        found, listing = [], self.listing
        start = at = 0
        for stop, end in _RUN.iter_unpack(listing.runs):
            stamps = listing.stamps[start * _STAMP.size : stop * _STAMP.size]
            found.append(Run(start, stop, listing.names[at:end], stamps))
            start, at = stop, end
        return found

    def files(self, run: Run, *, noted: bool = False) -> Iterator[LocalFile]:
        """Yield those files of a run that are meant, by name; ``noted``: the directory is remembered as a whole.

        Raises:
            InvalidPathError: a name that paths do not take.
        """
        base, checked = self.key + b"/" if self.key else b"", self.has_plain_names
        modes = struct.unpack_from(f"<{run.stop - run.start}I", self.listing.modes, 4 * run.start)
        stamps = _STAMP.iter_unpack(run.stamps)
        names, above, device = run.names.split(b"\0"), f"{self.path}/", self.listing.device
        rows = zip(names[:-1], modes, stamps, strict=True)
        chosen = rows if run.only is None else map(list(rows).__getitem__, run.only)
        for name, mode, (size, mtime, ctime, inode) in chosen:
            text = os.fsdecode(name)
            key = base + name if checked else _key(base, self.under, text)
            status = Status(mode, size, mtime, ctime, inode, device)
            yield LocalFile(key, above + text, status, noted and size <= SMALL_FILE)


def walk_folders(
    directory: Path,
    under: str,
    *,
    leave_out: Path,
    symlinks: Symlinks = "follow",
    passed_over: PassedOver | None = None,
) -> Generator[Folder | LocalFile, None, None]:
    """Yield every regular file below: of each directory first its plain files, then links and all else by name.

    Close it where it is not read to its end: threads list ahead.

    ``under`` is the target path. Sockets, pipes and devices are passed over and counted in ``passed_over``; so is
    ``leave_out`` (the store itself), without a count. ``directory`` itself may be a link, whatever ``symlinks`` says of
    those below.

    Raises:
        NotFoundError, InvalidInputError: ``directory`` is none, or a link leads nowhere, in circles, or is refused.
        InvalidPathError: a name that paths do not take.
        StorageError: a directory cannot be read.
    """
    try:
        top = directory.stat()
    except OSError as error:
        raise NotFoundError(f"no directory at {directory}") from error
    if not stat.S_ISDIR(top.st_mode):
        raise InvalidInputError(f"{directory} is not a directory")
    with closing(Scans()) as scans:
        walk = _Walk(str(leave_out), symlinks, scans, passed_over or PassedOver())
        yield from walk.run(str(directory), under.rstrip("/"), ((top.st_dev, top.st_ino),))


class _Walk(Struct, frozen=True):
    """One walk over a directory and all below."""

    leave_out: str
    symlinks: Symlinks
    scans: Scans
    passed_over: PassedOver

    def run(self, directory: str, under: str, above: tuple[tuple[int, int], ...]) -> Iterator[Folder | LocalFile]:
        try:
            listing = self.scans.take(directory)
        except OSError as error:
            raise StorageError(f"read {directory}", error.strerror or str(error)) from error
        others = self._others(directory, listing.others)
        folders = [other for other in others if stat.S_ISDIR(other[2].st_mode)]
        key = to_key(under) if under and (listing.names or len(others) > len(folders)) else b""
        if listing.names:
            yield Folder(key, under, directory, listing)
        for name, entry, status in others:
            if not stat.S_ISDIR(status.st_mode):
                yield LocalFile(_key(key + b"/" if key else b"", under, name), entry, status)
        self.scans.begin([entry for _, entry, _ in folders if entry != self.leave_out])
        for name, entry, status in folders:
            here = (status.st_dev, status.st_ino)
            if here in above:
                raise InvalidInputError(f"{entry} links to a directory that it lies in")
            if entry != self.leave_out:
                yield from self.run(entry, f"{under}/{name}", (*above, here))

    def _others(self, directory: str, names: bytes) -> list[tuple[str, str, Status]]:
        """Return what is no plain file and is put: directories, links, files of other devices; in the order of keys."""
        found = []
        for name in sorted(filter(None, names.split(b"\0"))):
            text = os.fsdecode(name)
            entry = f"{directory}/{text}"
            status = self._status(entry)
            if status is None:
                continue
            if stat.S_IFMT(status.st_mode) in {stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR}:
                found.append((text, entry, status))
            else:
                self.passed_over.add(entry)
        return found

    def _status(self, entry: str) -> Status | None:
        """Return what is to be put there; None for a link that is skipped, or what went away since it was listed."""
        try:
            status = os.lstat(entry)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(entry, error, is_link=False) from error
        if not stat.S_ISLNK(status.st_mode):
            return Status.of(status)
        if self.symlinks != "follow":
            refuse_link(entry, self.symlinks)
            return None if self.symlinks == "skip" else Status.of(status)
        try:
            return Status.of(os.stat(entry))
        except OSError as error:
            raise unusable(entry, error, is_link=True) from error


def _size_of(stamps: bytes) -> int:
    numbers = array("Q", stamps)  # a loop over unpacked rows takes seven times as long
    if sys.byteorder == "big":
        numbers.byteswap()
    return sum(numbers[:: _STAMP.size // numbers.itemsize])


def _key(base: bytes, under: str, name: str) -> bytes:
    """Return the key of a file in the directory ``under``, whose key is ``base``; usual names need no full check."""
    if _PLAIN_NAME.fullmatch(name) and len(base) + len(name) < MAX_PATH_BYTES:
        return base + name.encode()
    return to_key(f"{under}/{name}")
