"""The named pipes of one attempt's lazy inputs, and how to find those that somebody has opened.

An open of a pipe for reading waits until somebody has it open for writing, and the system tells of it (inotify) only
then. So there are two ways, both without a thread for each pipe:

- `ArmedPipes`, for some hundred: each is held open at both ends, so an open succeeds at once and is told.
- `ScannedPipes`, for any number: an open for writing that does not wait fails until there is a reader. So all are tried
  in turn, first those that come after what was read last, for a bounded share of the time.

A pipe that has a reader is taken out and another put in its place, so that who opens the file again reads it again.
"""

from __future__ import annotations

import os
import select
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from pps.workers.feed_stream import resize
from pps.workers.openings import Openings

ARMED_PIPES: Final = 512
"""Up to so many pipes of one attempt are held open."""
_SMALL_PIPE: Final = 4096
_FIRST_SCAN: Final = 32
_SOON_SCAN: Final = 256
_MOST_SCAN: Final = 1024
_BUSY_SHARE: Final = 0.5
_IDLE_SHARE: Final = 0.05
_BUSY_S: Final = 1.0
_LEAST_DELAY_S: Final = 0.001
_PIPE_MODE: Final = 0o644
_WRITE: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
_BOTH: Final = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC

Opened = tuple[bytes, int]
"""A pipe that has a reader: its path below the folder of all inputs, and a descriptor to write to it."""


class Pipes(Protocol):
    """Where to look for pipes that were opened. One thread."""

    @property
    def fd(self) -> int | None:
        """What is readable when there is news; None if only looking tells."""
        ...

    def delay_s(self) -> float | None:
        """Return after how many seconds to look again, None if only news count."""
        ...

    def opened(self) -> Iterator[Opened]:
        """Yield the pipes that have a reader now; the caller owns the descriptors."""
        ...

    def expect(self) -> None:
        """Note that a reader was given all of its file."""
        ...

    def close(self) -> None:
        """Let go of all of them."""
        ...


def pipes_below(base: Path, names: Sequence[str], spare: Path) -> Pipes:
    """Return the pipes of the inputs ``names`` in ``base``; ``spare`` is a folder beside it for new ones.

    Raises:
        OSError: the folders cannot be read.
    """
    spare.mkdir()
    paths = _find(os.fsencode(base), [os.fsencode(name) for name in names])
    armed = ArmedPipes.make(base, paths, spare) if len(paths) <= ARMED_PIPES else None
    return ScannedPipes(base, paths, spare) if armed is None else armed


def _find(base: bytes, names: Sequence[bytes]) -> list[bytes]:
    """List the pipes below some folders of ``base``, in the order in which commands would list them."""
    found: list[bytes] = []
    waiting = list(reversed(names))
    while waiting:
        folder = waiting.pop()
        for entry in os.scandir(os.path.join(base, folder)):
            path = folder + b"/" + entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif not entry.is_symlink():
                found.append(path)
    return found


class ArmedPipes:
    """Pipes that are held open at both ends and watched."""

    def __init__(self, base: Path, spare: Path, openings: Openings, *, folders: Sequence[bytes]) -> None:
        self._base, self._spare = os.fsencode(base), os.fsencode(spare)
        self._openings, self._folders = openings, folders
        self._held: dict[bytes, int] = {}

    @classmethod
    def make(cls, base: Path, paths: Sequence[bytes], spare: Path) -> ArmedPipes | None:
        """Arm all of ``paths``; None where opens are not told, or there are not enough descriptors."""
        folders = sorted({os.path.dirname(path) for path in paths})
        openings = Openings.make([os.path.join(os.fsdecode(base), os.fsdecode(folder)) for folder in folders])
        if openings is None:
            return None
        made = cls(base, spare, openings, folders=folders)
        try:
            for path in paths:
                made._arm(path, os.path.join(made._base, path))
        except OSError:
            made.close()
            return None
        return made

    @property
    def fd(self) -> int | None:
        """What is readable when there is news."""
        return self._openings.fd

    def delay_s(self) -> float | None:
        """Return None: only news count."""
        return None

    def opened(self) -> Iterator[Opened]:
        """Yield the pipes that have a reader now."""
        for news in self._openings.read():
            paths = list(self._held) if news is None else [self._folders[news[0]] + b"/" + news[1]]
            for path in paths:
                fd = self._take(path) if path in self._held else None
                if fd is not None:
                    yield path, fd

    def expect(self) -> None:
        """Do nothing: news come by themselves."""

    def close(self) -> None:
        """Let go of all of them."""
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()
        self._openings.close()

    def _arm(self, path: bytes, place: bytes) -> None:
        """Hold the pipe at ``place`` open, by a name that nobody watches: so no open is told but those of others."""
        hidden = os.path.join(self._spare, b"held")
        os.link(place, hidden)
        try:
            fd = self._held[path] = os.open(hidden, _BOTH)
        finally:
            os.unlink(hidden)
        # A user may have so many pages in pipes; what nobody reads takes one.
        resize(fd, _SMALL_PIPE)

    def _take(self, path: bytes) -> int | None:
        """Return the writing end of a pipe if somebody reads it, with another one armed in its place."""
        both = self._held.pop(path)
        fd = os.open(f"/proc/self/fd/{both}", _WRITE)
        os.close(both)
        if not _has_reader(fd):
            self._held[path] = os.open(f"/proc/self/fd/{fd}", _BOTH)
            os.close(fd)
            return None
        fresh = os.path.join(self._spare, b"fresh")
        try:
            os.mkfifo(fresh, _PIPE_MODE)
            self._arm(path, fresh)
            os.rename(fresh, os.path.join(self._base, path))
        except OSError:
            os.close(fd)
            raise
        return fd


def _has_reader(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return not any(event & select.POLLERR for _, event in poller.poll(0))


class ScannedPipes:
    """Pipes of which nothing is held; they are tried in turn.

    Each turn tries those that come after the one read last, as files are listed and by name, which is how most commands
    go on: few at first, more with each turn in vain. And a search goes round whatever was found, so that nobody waits
    for ever.
    """

    def __init__(self, base: Path, paths: Sequence[bytes], spare: Path) -> None:
        self._paths = paths
        self._folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._spare = os.fsencode(spare)
        self._by_name = array("q", sorted(range(len(paths)), key=paths.__getitem__))
        self._rank = array("q", bytes(8 * len(paths)))
        for rank, number in enumerate(self._by_name):
            self._rank[number] = rank
        self._listed = self._named = self._round = 0
        self._count = _FIRST_SCAN
        self._hit_at = self._looked_at = time.monotonic()
        self._spent = 0.0

    @property
    def fd(self) -> int | None:
        """Return None: only looking tells."""
        return None

    def delay_s(self) -> float | None:
        """Return how long to do something else, so that looking takes a bounded share of the time."""
        if not self._paths:
            return None
        if self._count < _SOON_SCAN:
            return 0.0
        busy = self._looked_at - self._hit_at < _BUSY_S
        pause = max(self._spent * (1 / (_BUSY_SHARE if busy else _IDLE_SHARE) - 1), _LEAST_DELAY_S)
        return max(self._looked_at + pause - time.monotonic(), 0.0)

    def opened(self) -> Iterator[Opened]:
        """Yield those of the pipes that come next in turn which have a reader now."""
        if self.delay_s() != 0.0:
            return
        started = time.monotonic()
        found = [(number, fd) for number in self._turn() if (fd := self._try(number)) is not None]
        self._looked_at = time.monotonic()
        self._spent = self._looked_at - started
        self._count = 2 * self._count if self._count < _MOST_SCAN else _SOON_SCAN
        for number, fd in found:
            self._hit_at, self._count = self._looked_at, _FIRST_SCAN
            self._listed, self._named = number, self._rank[number]
            yield self._paths[number], fd

    def expect(self) -> None:
        """Look at once: who has read a file to its end often opens the next."""
        self._count = _FIRST_SCAN

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)

    def _turn(self) -> list[int]:
        """Return the pipes to try in this turn, and move the search that goes round on."""
        total = len(self._paths)
        steps = range(min(self._count, total))
        numbers = [(self._listed + step) % total for step in steps]
        numbers += [self._by_name[(self._named + step) % total] for step in steps]
        numbers += [(self._round + step) % total for step in steps]
        self._round = (self._round + len(steps)) % total
        return numbers

    def _try(self, number: int) -> int | None:
        """Return the writing end of a pipe if somebody reads it, with another one in its place."""
        path = self._paths[number]
        try:
            fd = os.open(path, _WRITE, dir_fd=self._folder)
        except OSError:
            # Nobody reads it, or the command removed it.
            return None
        fresh = os.path.join(self._spare, b"fresh")
        os.mkfifo(fresh, _PIPE_MODE)
        os.rename(fresh, path, dst_dir_fd=self._folder)
        return fd
