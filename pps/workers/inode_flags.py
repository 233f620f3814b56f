"""The flags that chattr(1) sets on files and directories: some of them keep even root from removing what has them."""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress
from typing import Final

if sys.platform == "linux":
    import fcntl

_ODD_WAYS: Final = os.uname().machine.startswith(("ppc", "mips", "sparc"))
# FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, which some processors number in a way of their own.
_GET: Final = 0x40086601 if _ODD_WAYS else 0x80086601
_SET: Final = 0x80086602 if _ODD_WAYS else 0x40086602
_LOCKS: Final = 0x10 | 0x20
"""Immutable, append only."""
_BY_USERS: Final = 0xFF | 0x400 | 0x4000 | 0x10000 | 0x800000 | 0x60000000
"""What a command can set; the others are the file system's own affair. `_worker_sweep.h` has the same."""


def flags(path: str) -> int:
    """Return the flags that a command may have set on a directory; 0 where there are none, or it cannot be opened."""
    if sys.platform != "linux":
        return 0
    found = 0
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = _read(fd)
        finally:
            os.close(fd)
    return found & _BY_USERS


def unlock(path: str) -> bool:
    """Take away the flags that keep a file or directory from being changed or removed; say whether there were any.

    Links are not followed. Where it is not allowed, or nothing there has flags, nothing happens.
    """
    if sys.platform != "linux":
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = _read(fd)
        if found & _LOCKS:
            fcntl.ioctl(fd, _SET, struct.pack("l", found & ~_LOCKS))
        return bool(found & _LOCKS)
    except OSError:
        return False
    finally:
        os.close(fd)


def _read(fd: int) -> int:
    # The size in the numbers is that of a long, what the kernel reads and writes is an int.
    return int(struct.unpack_from("I", fcntl.ioctl(fd, _GET, bytes(struct.calcsize("l"))))[0])
