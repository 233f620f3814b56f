"""Who opened which file of some directories, as Linux tells it (inotify). Elsewhere, `Openings.make` returns None."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import Self

_IN_OPEN = 0x20
_IN_Q_OVERFLOW = 0x4000
_HEAD = struct.Struct("iIII")
_READ_BYTES = 64 * 1024


class Openings:
    """Tells of each open of a file in ``folders`` by the name it was opened by, in whichever mount namespace.

    A pipe counts as opened once its other end is there. One thread; ``fd`` is readable when there is news.
    """

    def __init__(self, fd: int, watched: dict[int, int]) -> None:
        self.fd, self._watched = fd, watched

    @classmethod
    def make(cls, folders: Sequence[str]) -> Self | None:
        """Begin to watch; None where this is not to be had, or the user's share of it is used up."""
        if sys.platform != "linux":
            return None
        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if fd < 0:
            return None
        watched: dict[int, int] = {}
        for number, folder in enumerate(folders):
            watch = int(libc.inotify_add_watch(fd, os.fsencode(folder), _IN_OPEN))
            if watch < 0:
                os.close(fd)
                return None
            watched[watch] = number
        return cls(fd, watched)

    def read(self) -> Iterator[tuple[int, bytes] | None]:
        """Yield folder (by its number) and name of what was opened; None when so much came that some was dropped."""
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            name = data[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0")
            at += _HEAD.size + length
            if mask & _IN_Q_OVERFLOW:
                yield None
            elif name and watch in self._watched:
                yield self._watched[watch], name

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)
