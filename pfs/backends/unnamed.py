"""Files that have no name until they are published, so that a writer that dies leaves nothing.

Linux has O_TMPFILE: the kernel frees the file when its last descriptor closes. Elsewhere a file in ``tmp/`` stands in;
its writer holds a flock on it, so whoever comes later can tell an abandoned one from one that is being written, without
a clock.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

_UNSUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
"""What O_TMPFILE gives where the file system or the kernel does not have it."""
TMP: Final = "tmp"
_SUFFIX: Final = ".new"
"""Of stand-ins; other files in ``tmp/`` are not ours to sweep."""


class UnnamedFile:
    """An open file below ``root``, ``fd``; `link` gives it its name, `close` drops it otherwise. One thread."""

    def __init__(self, root: Path) -> None:
        anonymous = open_unnamed(root)
        self._stand_in: Path | None = None
        if anonymous is None:
            self.fd, self._stand_in = _open_stand_in(root / TMP)
        else:
            self.fd = anonymous

    def link(self, target: Path) -> None:
        """Name the file; raises FileExistsError when the name is taken, and other OSErrors."""
        if self._stand_in is None:
            name_file(self.fd, target)
        else:
            os.link(self._stand_in, target)

    def close(self) -> None:
        """Close the file and remove the stand-in's name; idempotent."""
        if self.fd < 0:
            return
        try:
            if self._stand_in is not None:
                self._stand_in.unlink(missing_ok=True)
        finally:
            os.close(self.fd)
            self.fd = -1


def sweep_stand_ins(directory: Path) -> None:
    """Remove the stand-ins whose writers are gone; those in use, and what cannot be opened, are left alone."""
    for name in (name for name in os.listdir(directory) if name.endswith(_SUFFIX)):
        try:
            fd = os.open(directory / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (directory / name).unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)


def name_file(fd: int, target: Path) -> None:
    """Name a file that `open_unnamed` opened; raises FileExistsError when the name is taken, and other OSErrors."""
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A directory descriptor makes Python call linkat(2) with AT_SYMLINK_FOLLOW; plain link(2) would name the
        # symbolic link in /proc.
        os.link(f"/proc/self/fd/{fd}", target.name, dst_dir_fd=directory, follow_symlinks=True)
    finally:
        os.close(directory)


def open_unnamed(root: Path, mode: int = 0o666) -> int | None:
    """Open a file without a name on the file system of ``root``; None where there are none. Raises OSError."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(root, os.O_RDWR | flag | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _UNSUPPORTED and root.is_dir():
            return None
        raise


def _open_stand_in(directory: Path) -> tuple[int, Path]:
    directory.mkdir(exist_ok=True)
    sweep_stand_ins(directory)
    while True:
        path = directory / (os.urandom(8).hex() + _SUFFIX)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)  # a sweep came between the creation and the lock
