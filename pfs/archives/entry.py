"""What stands in an archive: one file, directory or link, with what an archive keeps of it."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pfs.errors import CorruptionError
from pfs.files.contents import contents
from pfs.files.progress import Progress
from pfs.files.reader import iter_range
from pfs.files.restore_file import is_executable
from pfs.files.restore_plan import is_marker
from pfs.files.selection import Item, Selection
from pfs.packs.objects import Objects
from pfs.paths import from_key
from pfs.trees.page import Kind

_DIRECTORY: Final = stat.S_IFDIR | 0o755
_LINK: Final = stat.S_IFLNK | 0o777
_FILE: Final = stat.S_IFREG | 0o644
_PROGRAM: Final = stat.S_IFREG | 0o755


@dataclass(frozen=True, slots=True)
class Entry:
    """One member; ``name`` has no slash at its ends, ``mode`` is type and permissions as in ``stat``."""

    name: bytes
    mode: int
    size: int
    mtime_s: int
    """When the file last changed: the time of that commit, in seconds since the epoch."""
    whole: bytes | None
    """The bytes of the file, or the target of the link; None: they come from ``pieces``, once."""
    pieces: Iterable[bytes | memoryview] = ()

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def entries(objects: Objects, selection: Selection, *, jobs: int, progress: Progress | None = None) -> Iterator[Entry]:
    """Yield what is selected, in order, read ahead in threads; memory as `contents` and `iter_range`.

    The pieces of an entry have to be used up before the next is taken.

    Raises:
        CorruptionError, MissingObjectError, StorageError: something cannot be read.
    """
    wanted = (item for item in selection if not is_marker(item.row))
    for item, data in contents(objects, wanted, jobs=jobs):
        yield _entry(objects, item, data, jobs)
        if progress is not None and not item.row.is_dir:
            progress.advance(files=1, size=item.row.size)


def _entry(objects: Objects, item: Item, data: Sequence[bytes] | None, jobs: int) -> Entry:
    row = item.row
    size = 0 if row.is_dir else row.size
    mtime_s = 0 if row.changed is None else row.changed.finished_ns // 1_000_000_000
    if data is not None:
        return Entry(item.name, _mode(item), size, mtime_s, b"".join(data))
    return Entry(item.name, _mode(item), size, mtime_s, None, _checked(item, iter_range(objects, row, jobs=jobs)))


def _mode(item: Item) -> int:
    if item.row.is_dir:
        return _DIRECTORY
    if item.row.kind is Kind.SYMLINK:
        return _LINK
    return _PROGRAM if is_executable(item.row) else _FILE


def _checked(item: Item, pieces: Iterable[memoryview]) -> Iterator[memoryview]:
    """Yield ``pieces``, which must be as many bytes as the row says: the archive has promised them by then."""
    left = item.row.size
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise CorruptionError(from_key(item.row.key), "its chunks do not have the size that its row says")
