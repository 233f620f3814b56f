"""The directory in which one attempt at a datum happens, and how such directories go away."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pps.workers.inode_flags import flags, unlock
from pps.workers.sweep import UNTIMED, Sweep

if TYPE_CHECKING:
    from pps.workers.layout import World

_TMP_MODE: Final = 0o1777
_WORK: Final = "work"


class Scratch:
    """One attempt's directory: ``pfs`` (with ``out``), ``tmp``, ``home`` in it, ``code`` and ``layers`` for overlays.

    Making and removing a dozen directories costs a file system more than starting a command, so a worker makes one
    scratch and clears it after each attempt; directories that are as they were made stay. ``places``: more of these,
    as paths below ``top``, each after those above it.
    """

    def __init__(self, top: Path, places: tuple[str, ...] = ()) -> None:
        self.top, self.places = top, places
        self.cwd = top / "cwd"
        """Where the command starts when /pfs cannot be made: the folder that holds ``pfs``."""
        self.pfs = self.cwd / "pfs"
        """What the command sees as /pfs."""
        self.out = self.pfs / "out"
        """What the command sees as /pfs/out."""
        self.tmp = top / "tmp"
        """What the command sees as /tmp."""
        self.home = self.tmp / "home"
        """Its HOME, below ``tmp``."""
        self.code = top / "code"
        """Where the command starts if it is made of no files."""
        self.layers = top / "layers"
        """Upper and work directories of overlays."""
        self.private = top / "private"
        """Folders that cover others for a task, if it has any."""
        made = (self.cwd, self.pfs, self.out, self.tmp, self.home, self.code, self.layers)
        self._made = (*map(str, made), *(f"{top}/{place}" for place in places))
        self._sweep: Sweep | None = None
        self._untimed = 0
        # What the last `clear` left standing, for the `fill` after it.
        self._all = frozenset(self._made)
        self._there: frozenset[str] = frozenset()
        self.world: World | None = None
        """What `make_world` keeps for the next datum with the same places, while what it mounts is there."""

    @classmethod
    def make(cls, top: Path, places: tuple[str, ...] = ()) -> Self:
        """Return an empty one at ``top``, whatever was there; beside it, if what was there cannot be removed.

        Raises:
            OSError: there is no room, or no right to make it.
        """
        try:
            return cls._make(top, places)
        except OSError:
            return cls._make(top.with_name(f"{top.name}-{uuid.uuid4().hex}"), places)

    @classmethod
    def _make(cls, top: Path, places: tuple[str, ...]) -> Self:
        scratch = cls(top, places)
        if top.is_symlink() or not top.is_dir():
            _remove(top)
        top.mkdir(parents=True, exist_ok=True)
        scratch.clear()
        scratch.fill()
        # Some file systems write to a folder that they have just made.
        scratch._untimed = 0 if all(map(_is_timed, scratch._made)) else UNTIMED
        mode = stat.S_IMODE(os.stat(top).st_mode) | scratch._untimed
        made = [path.removeprefix(f"{top}/") for path in scratch._made]
        scratch._sweep = Sweep.over(str(top), made, mode, odd={"tmp": _TMP_MODE | scratch._untimed})
        return scratch

    def wrote(self, path: str) -> None:
        """Note a file that was put into it for the command, by its path below `top`."""
        self._there = frozenset()
        if self._sweep is not None:
            self._sweep.add(path)

    def took(self, keys: Iterable[bytes]) -> None:
        """Note what the command left in `out` and nobody needs any more; below folders it made, that is found later."""
        for key in keys:
            if b"/" not in key:
                self.wrote(f"cwd/pfs/out/{os.fsdecode(key)}")

    def sweep(self) -> bool:
        """Clear it if the command left nothing in it, and say whether that was so: then there is no output."""
        if self._sweep is None or not self._sweep.run():
            return False
        self._there = self._all
        return True

    def fill(self) -> None:
        """Make the directories that a cleared one lacks.

        Raises:
            OSError: there is no room, or no right to make them.
        """
        tmp = str(self.tmp)
        for path in () if self._there is self._all else self._made:
            if path not in self._there:
                with suppress(FileExistsError):
                    os.mkdir(path)
                if path == tmp:  # before its HOME is made in it: that puts both its times right
                    os.chmod(tmp, _TMP_MODE)
        self._there = frozenset()

    def clear(self) -> None:
        """Remove all but the directories of a fresh one; of those, the ones that were changed themselves."""
        if self._there is self._all or self.sweep():
            return
        top = str(self.top)
        unlock(top)
        status = os.stat(top)
        mode, group, flagged = stat.S_IMODE(status.st_mode) | self._untimed, status.st_gid, flags(top)
        keep = {path: _Made(mode, group, flagged) for path in self._made}
        keep[str(self.tmp)] = _Made(_TMP_MODE | self._untimed, group, flagged)
        layers = str(self.layers)
        if _as_made(layers, keep[layers]):
            for name in os.listdir(layers):
                above = f"{layers}/{name}"
                of_layer = _Made(mode | UNTIMED, group, flagged)
                keep |= dict.fromkeys((above, f"{above}/upper", f"{above}/{_WORK}"), of_layer)
        self._there = frozenset(_clear(top, keep))
        self.world = None
        if self._sweep is not None:
            self._sweep.forget()

    def open_up(self) -> None:
        """Let this user enter what its command made unreadable of the directories that were made for it."""
        uppers = [f"{self.layers}/{name}/upper" for name in os.listdir(self.layers)]
        ours = map(str, (self.cwd, self.pfs, self.out, self.tmp))
        for path in (*ours, *uppers):
            with suppress(FileNotFoundError, NotADirectoryError):
                mode = os.lstat(path).st_mode
                if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
                    os.chmod(path, stat.S_IMODE(mode) | 0o700)

    def layer(self, name: str) -> tuple[Path, Path]:
        """Return the upper and the work directory of an overlay, made on first use; one file system holds both."""
        upper, work = self.layers / name / "upper", self.layers / name / _WORK
        upper.mkdir(parents=True, exist_ok=True)
        work.mkdir(exist_ok=True)
        self._there = frozenset()
        if self._sweep is not None:
            self._sweep.add_layer(f"layers/{name}", f"layers/{name}/upper", f"layers/{name}/{_WORK}")
        return upper, work


class Workplace:
    """Where one worker works: it has one scratch there at a time."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._clean: Scratch | None = None

    @contextmanager
    def scratch(self, places: tuple[str, ...] = ()) -> Iterator[Scratch]:
        """Lend an empty scratch; what cannot be cleared afterwards stays behind, and the next is made beside it.

        Raises:
            OSError: there is no room, or no right to make it.
        """
        scratch, self._clean = self._clean, None
        if scratch is None or scratch.places != places:
            scratch = Scratch.make(self._top, places)
        try:
            yield scratch
        finally:
            with suppress(OSError):
                scratch.clear()
                scratch.fill()
                self._clean = scratch


@dataclass(frozen=True, slots=True)
class _Made:
    """How a directory was made: its mode (with `UNTIMED`), group and flags."""

    mode: int
    group: int
    flags: int


def _clear(directory: str, keep: Mapping[str, _Made]) -> list[str]:
    """Remove what is not to be kept, and return the directories that were."""
    with os.scandir(directory) as listed:
        found = list(listed)
    kept = []
    for entry in found:
        path = entry.path
        if path not in keep or not _as_made(path, keep[path]):
            if not _was_empty(entry):
                _remove(Path(path))
            continue
        kept.append(path)
        if entry.name != _WORK:
            # What overlayfs leaves in its work directory is cleared by it with the next mount.
            kept += _clear(path, keep)
    return kept


def _was_empty(entry: os.DirEntry[str]) -> bool:
    """Say whether this was an empty directory; it is gone then, in one call, as there may be very many."""
    if not entry.is_dir(follow_symlinks=False):
        return False
    try:
        os.rmdir(entry.path)
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        with suppress(FileNotFoundError):
            _unlink(str(path))


def _unlink(path: str) -> None:
    """Remove a file, also one that root's own command locked."""
    try:
        os.unlink(path)
    except PermissionError:
        if not unlock(path):
            raise
        os.unlink(path)


def _is_timed(path: str) -> bool:
    """Say whether a directory was last changed by what was made or removed in it, not by its owner, mode or times."""
    status = os.lstat(path)
    return status.st_mtime_ns == status.st_ctime_ns


def _as_made(path: str, made: _Made) -> bool:
    """Say whether this is a directory as it was made, with no attributes once those of overlayfs are gone."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) != made.mode & 0o7777:
        return False
    if (status.st_uid, status.st_gid) != (os.geteuid(), made.group) or flags(path) != made.flags:
        return False
    if not made.mode & UNTIMED and not _is_timed(path):
        return False
    return sys.platform != "linux" or all(_drop_attribute(path, name) for name in os.listxattr(path))


def _drop_attribute(path: str, name: str) -> bool:
    """Say whether nothing is left of an attribute that matters; overlayfs leaves one on the upper of each mount."""
    if name.startswith(("user.overlay.", "trusted.overlay.")):
        os.removexattr(path, name)
        return True
    return name.startswith("security.")


def remove_tree(top: Path) -> None:
    """Remove a directory with all it holds, also what user code made unreadable or deep; nothing if there is none."""
    try:
        with os.scandir(top) as listed:
            for entry in listed:
                _was_empty(entry)
        shutil.rmtree(top)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        _flatten(str(top))


def _flatten(top: str) -> None:
    """Remove a directory by moving the ones below up to it, so that no path is long and no depth too much.

    Every directory gets all rights, and loses the flags against changes, before it is listed or moved.
    """
    if not stat.S_ISDIR(os.lstat(top).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), top)
    _open(top)
    token, number = uuid.uuid4().hex, count()
    while names := os.listdir(top):
        for name in names:
            here = os.path.join(top, name)
            if not _is_folder(here):
                _unlink(here)
                continue
            for below in _names(here):
                place = os.path.join(here, below)
                if _is_folder(place):
                    _open(place)
                    os.rename(place, os.path.join(top, f"{token}-{next(number)}"))
                else:
                    _unlink(place)
            os.rmdir(here)
    os.rmdir(top)


def _names(folder: str) -> list[str]:
    _open(folder)
    return os.listdir(folder)


def _open(folder: str) -> None:
    unlock(folder)
    os.chmod(folder, 0o700)


def _is_folder(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)
