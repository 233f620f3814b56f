"""How much a command uses of memory and disk, as its init looks at it from time to time. Standard library only.

Memory is what its processes have in RAM together: the sum of their resident sets, and where that is too much, of their
proportional shares, so that pages which several have count once. Disk is what its folders have grown by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Literal, TypedDict

_MEMORY_EVERY_S = 0.05
_DISK_EVERY_S = 0.25
_DISK_SHARE = 0.05
_PAGE = os.sysconf("SC_PAGESIZE")
_BLOCK = 512

Exceeded = Literal["memory", "disk"]


class Limits(TypedDict):
    """``memory`` and ``disk`` in bytes, 0 for none; ``folders`` count as disk. ``cpus``: where it may run, if given."""

    memory: int
    disk: int
    folders: Sequence[str]
    cpus: Sequence[int]


class Watch:
    """Looks at one command. One thread; made before the command's mounts, which may hide the folders."""

    def __init__(self, limits: Limits, processes: Callable[[], Iterable[int]]) -> None:
        self._limits, self._processes = limits, processes
        folders = limits["folders"] if limits["disk"] else ()
        self._folders = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
        self._before = self._disk()
        self._memory_at = time.monotonic()
        self._disk_at = self._memory_at + _DISK_EVERY_S

    @property
    def next_at(self) -> float | None:
        """When to look again (monotonic seconds), None if there is nothing to look at."""
        times = [self._memory_at] if self._limits["memory"] else []
        times += [self._disk_at] if self._limits["disk"] else []
        return min(times, default=None)

    def look(self) -> Exceeded | None:
        """Return what is used beyond its limit, of what is due to be looked at."""
        now = time.monotonic()
        if self._limits["memory"] and now >= self._memory_at:
            self._memory_at = now + _MEMORY_EVERY_S
            if self._memory() > self._limits["memory"]:
                return "memory"
        if self._limits["disk"] and now >= self._disk_at:
            exceeded = self.at_end()
            spent = time.monotonic() - now
            self._disk_at = now + max(_DISK_EVERY_S, spent / _DISK_SHARE)
            return exceeded
        return None

    def at_end(self) -> Exceeded | None:
        """Return what the command leaves beyond its limit."""
        over = self._limits["disk"] and self._disk() - self._before > self._limits["disk"]
        return "disk" if over else None

    def _memory(self) -> int:
        found = list(self._processes())
        total = sum(map(_resident, found))
        return total if total <= self._limits["memory"] else sum(map(_proportional, found))

    def _disk(self) -> int:
        return sum(map(_used, self._folders))


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return _resident(pid)
    return 0


def _used(folder: int) -> int:
    """Return the bytes on disk below a directory; what goes away meanwhile does not count."""
    total = 0
    waiting = [os.dup(folder)]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    with suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                        if entry.is_dir(follow_symlinks=False):
                            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                            waiting.append(os.open(entry.name, flags, dir_fd=here))
        except OSError:
            continue
        finally:
            os.close(here)
    return total
