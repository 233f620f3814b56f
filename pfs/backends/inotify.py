"""The kernel's notices of names that come and go in directories (Linux inotify), by ctypes: three calls of libc.

A library for them would be a dependency for fewer lines than its adapter: names, cookies and trees of directories,
which they are for, are not needed here. Notices say that something may have moved, never what.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

_CLOSE_WRITE, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x80, 0x100, 0x200
_MASK = _CLOSE_WRITE | _MOVED_TO | _CREATE | _DELETE
_BUFFER = 1 << 16


class _Libc(Protocol):
    def inotify_init1(self, flags: int) -> int: ...

    def inotify_add_watch(self, fd: int, path: bytes, mask: int) -> int: ...


@cache
def _libc() -> _Libc | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
        libc.inotify_init1.argtypes = [ctypes.c_int]
    except (OSError, AttributeError):
        return None
    return libc


class Notices:
    """What happens in some directories from now on; readable through `fileno`. One thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor that can be polled."""
        return self._fd

    def drain(self) -> None:
        """Take all that was told: the next poll waits for what happens after this."""
        with suppress(BlockingIOError):
            while len(os.read(self._fd, _BUFFER)) > _BUFFER // 2:
                pass

    def close(self) -> None:
        """Let go of the descriptor; idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def watch_folders(folders: Iterable[Path]) -> Notices | None:
    """Begin to watch directories, which are made where they are missing; None where the kernel does not offer it.

    That is so on other systems, where a folder cannot be made, and when this user's watches are all in use.
    """
    libc = _libc()
    fd = -1 if libc is None else libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if libc is None or fd < 0:
        return None
    notices = Notices(fd)
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            if libc.inotify_add_watch(fd, os.fsencode(folder), _MASK) < 0:
                notices.close()
                return None
    except OSError:
        notices.close()
        return None
    return notices
