"""Faults below a local store: the system calls by which bytes and names get to a disk, and a power cut between them.

After a cut there is what was synced: bytes by fdatasync, names by fsync of their directory. What was not may be there
or not, in any choice, as file systems promise nothing of it; `Syscalls.cut` takes all of it away, or what is drawn.
What LMDB does in its own files goes past this: the index is no truth, and is left out.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_WRITING: Final = ("writev", "fdatasync", "fsync", "link", "replace", "unlink", "mkdir")
GROWS: Final = frozenset({"writev", "link", "mkdir"})
"""Calls that need room; a full disk refuses them and no others."""


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that changed since its directory was synced; ``old``: its bytes before, None: it was not there."""

    path: Path
    old: bytes | None


class Syscalls:
    """While entered, counts the calls of this process that change what is below ``root``; the ``fail_at``-th one fails.

    It does nothing and raises ``code``. With ``stays`` every later one does too: those that need room for ENOSPC, all
    for others, as on a disk that is gone. Threads of the process share the count; only one may be entered at a time.
    """

    def __init__(self, root: Path, *, fail_at: int | None = None, code: int = errno.EIO, stays: bool = False) -> None:
        self._root = root.resolve()
        self._fail_at, self._code, self._stays = fail_at, code, stays
        self._real: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()
        self.calls: list[str] = []
        """Names of the calls that were counted."""
        self._unsynced: dict[int, int] = {}
        """Bytes that are safe, of files by inode, where more were written."""
        self._names: list[_Name] = []

    def __enter__(self) -> Self:
        for name in _WRITING:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._counted(name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    @property
    def fired(self) -> bool:
        """Whether the fault has happened."""
        return self._fail_at is not None and len(self.calls) >= self._fail_at

    def _counted(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            path = _path_of(name, args, kwargs)
            if path is None or not path.is_relative_to(self._root):
                return real(*args, **kwargs)
            with self._lock:
                self._count(name, path)
                note = self._noting(name, path, args)
                done = real(*args, **kwargs)
                note()
                return done

        return call

    def _count(self, name: str, path: Path) -> None:
        fired = self.fired
        self.calls.append(name)
        hit = len(self.calls) == self._fail_at or (fired and self._stays)
        if hit and (self._code != errno.ENOSPC or name in GROWS):
            raise OSError(self._code, os.strerror(self._code), str(path))

    def _noting(self, name: str, path: Path, args: tuple[Any, ...]) -> Callable[[], object]:
        """Look at what a call is about to change; return what notes it once it is done."""
        if name in ("link", "replace", "unlink", "mkdir"):
            old = path.read_bytes() if path.is_file() else None
            return lambda: self._names.append(_Name(path, old))
        inode = os.fstat(args[0]).st_ino
        if name == "writev":
            size = os.fstat(args[0]).st_size
            return lambda: self._unsynced.setdefault(inode, size)
        return lambda: self._synced(inode, path)

    def _synced(self, inode: int, path: Path) -> None:
        self._unsynced.pop(inode, None)
        self._names = [name for name in self._names if name.path.parent != path]

    def cut(self, lost: Callable[[], bool] = lambda: True) -> None:
        """Leave what a power cut leaves; ``lost`` says it of each thing that was not synced. Call it after the end."""
        for path in [path for path in self._root.rglob("*") if path.is_file()]:
            size = self._unsynced.get(path.stat().st_ino)
            if size is not None and lost():
                os.truncate(path, size)
        for name in reversed(self._names):
            if lost():
                _undo(name)
        self._names, self._unsynced = [], {}


def _undo(name: _Name) -> None:
    if not name.path.parent.is_dir():
        return
    if name.old is not None:
        name.path.write_bytes(name.old)
    elif name.path.is_dir():
        shutil.rmtree(name.path)
    else:
        name.path.unlink(missing_ok=True)


def _path_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Path | None:
    """Return the path that a call is about; None where that cannot be told."""
    about = args[1] if name in ("link", "replace") else args[0]
    directory = kwargs.get("dst_dir_fd")
    try:
        if isinstance(about, int):
            return Path(os.readlink(f"/proc/self/fd/{about}").removesuffix(" (deleted)"))
        above = "" if directory is None else os.readlink(f"/proc/self/fd/{directory}")
        return Path(above, os.fsdecode(about))
    except OSError:
        return None
