"""The one place that knows FUSE: its operations, in the words of mfusepy, over a `MountTree`.

What stands under a branch can change under a path, so its files are read without the kernel's page cache (direct I/O):
else a reader of the old file could be given pages of the new one. What stands under a full commit id never changes, so
the kernel may keep all of it.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import mfusepy

from pfs.errors import CorruptionError, FailedError, PfsError, StorageError
from pfs.fs.errors import os_error
from pfs.mount.attributes import Attributes
from pfs.mount.open_file import OpenFile
from pfs.mount.tree import MountTree
from pfs.paths import MAX_NAME_BYTES

_PREFIX: Final = "user.pfs."
_BLOCK: Final = 512
_THREADS: Final = 10
_HAS_MAX_THREADS: Final = (3, 12)
_ENDED_BY_SIGNAL: Final = 8
"""What libfuse's main function returns when its loop was ended by a signal."""


def run(
    tree: MountTree, place: Path, *, name: str, on_mounted: Callable[[], None], on_error: Callable[[str], None]
) -> None:
    """Mount ``tree`` at the directory ``place`` and serve it until it is unmounted, or SIGINT, SIGTERM or SIGHUP comes.

    Must be called by the main thread. libfuse writes why it failed to file descriptor 2.

    Args:
        tree: what is shown.
        place: an empty directory.
        name: what `mount` and `df` show as the device.
        on_mounted: called once when the files are there.
        on_error: told of each read that failed, in one line.

    Raises:
        FailedError: it cannot be mounted.
    """
    operations = _Operations(tree, on_mounted, on_error)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # libfuse takes a signal that nobody has taken
    options: dict[str, object] = {"max_threads": _THREADS} if _version() >= _HAS_MAX_THREADS else {}
    try:
        mfusepy.FUSE(
            operations,
            str(place),
            raw_fi=True,
            foreground=True,
            ro=True,
            fsname=name.replace(",", "\\,"),
            subtype="pfs",
            **options,
        )
    except RuntimeError as error:
        if not (operations.mounted and error.args == (_ENDED_BY_SIGNAL,)):
            raise FailedError(f"cannot mount at {place}: libfuse failed with code {error}") from error
    finally:
        signal.signal(signal.SIGTERM, before)
        operations.close()


def _version() -> tuple[int, int]:
    return mfusepy.fuse_version_major, mfusepy.fuse_version_minor


class _Operations(mfusepy.Operations):  # type: ignore[misc]  # mfusepy has no types
    """Called by libfuse from several threads."""

    use_ns = True

    def __init__(self, tree: MountTree, on_mounted: Callable[[], None], on_error: Callable[[str], None]) -> None:
        self.mounted = False
        self._tree, self._on_mounted, self._on_error = tree, on_mounted, on_error
        self._files: dict[int, OpenFile] = {}
        self._numbers = itertools.count(1)
        self._owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}

    def close(self) -> None:
        """Give back what was open when the end came."""
        while self._files:
            self._files.popitem()[1].close()

    def init_with_config(self, _connection: object, _config: object) -> None:
        self.mounted = True
        self._on_mounted()

    def getattr(self, path: str, fh: _FileInfo | None = None) -> dict[str, int]:
        file = None if fh is None else self._files.get(fh.fh)
        with self._answering(path):
            return self._stat(self._tree.attributes(path) if file is None else file.attributes)

    def readdir(self, path: str, _fh: object) -> Iterator[tuple[str, int, int]]:
        with self._answering(path):
            yield from ((name, stat.S_IFDIR, 0) for name in (".", ".."))
            yield from ((name, mode, 0) for name, mode in self._tree.children(path))

    def readlink(self, path: str) -> str:
        with self._answering(path):
            return self._tree.link(path)

    def open(self, path: str, info: _FileInfo) -> int:
        with self._answering(path):
            if info.flags & (os.O_WRONLY | os.O_RDWR | os.O_APPEND):
                raise OSError(errno.EROFS, path)
            file = self._tree.open(path)
            info.fh = next(self._numbers)
            info.direct_io, info.keep_cache = not file.fixed, file.fixed
            self._files[info.fh] = file
        return 0

    def read(self, path: str, size: int, offset: int, info: _FileInfo) -> bytes:
        with self._answering(path):
            return self._files[info.fh].read(offset, size)

    def release(self, _path: str, info: _FileInfo) -> int:
        file = self._files.pop(info.fh, None)
        if file is not None:
            file.close()
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        with self._answering(path):
            disk = self._tree.disk()
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail")
        return {name: getattr(disk, name) for name in names} | {"f_namemax": MAX_NAME_BYTES}

    def listxattr(self, path: str) -> list[str]:
        with self._answering(path):
            return [_PREFIX + name for name in self._tree.facts(path)]

    def getxattr(self, path: str, name: str, _position: int = 0) -> bytes:
        value = None
        if name.startswith(_PREFIX):  # the kernel asks for others all the time
            with self._answering(path):
                value = self._tree.facts(path).get(name.removeprefix(_PREFIX))
        if value is None:
            raise OSError(mfusepy.ENOATTR, name)
        return value.encode()

    def _stat(self, attributes: Attributes) -> dict[str, int]:
        times = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), attributes.mtime_ns)
        return {
            "st_mode": attributes.mode,
            "st_nlink": 1,
            "st_size": attributes.size,
            "st_blocks": -(-attributes.size // _BLOCK),
            **times,
            **self._owner,
        }

    @contextmanager
    def _answering(self, path: str) -> Iterator[None]:
        """Answer an error of the library by its number, and tell those that the user has to know of."""
        try:
            yield
        except PfsError as error:
            if isinstance(error, CorruptionError | StorageError):
                self._on_error(f"cannot read {path}: {error}")
            raise os_error(error) from error


class _FileInfo(Protocol):
    """The fields of libfuse's ``fuse_file_info`` that are used here."""

    flags: int
    fh: int
    direct_io: bool
    keep_cache: bool
