"""A datum's files as its command saw them, found from outside after it ended.

Symlinks in /pfs/out hold paths of the command's world; this says where the same file is in ours. Inputs that were
overlaid are put together from the view and from what the command changed (docs of overlayfs: a character device 0:0
hides a name, the attribute ``overlay.opaque`` hides what is below a directory).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pfs.errors import FailedError

_MAX_LINKS = 40
# Linux opens directories as places, for which the right to enter them is enough.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Layer:
    """What is seen at the path ``seen``: ``lower``, with ``upper`` over it where the command could write.

    ``of_host``: it is the host's own, shown below /tmp for the sake of programs. ``shows``: of these names the host's
    are seen, which no layer shows.
    """

    seen: str
    lower: str
    upper: str | None = None
    of_host: bool = False
    shows: frozenset[str] = frozenset()

    @property
    def is_changed(self) -> bool:
        """Whether the command wrote or removed anything here."""
        return self.upper is not None and bool(os.listdir(self.upper))

    def find(self, parts: list[str]) -> str | None:
        """Return where a path inside is, None if it is not."""
        if self.upper is None:
            return os.path.join(self.lower, *parts)
        here, hidden = self.upper, _is_opaque(self.upper)
        for place, part in enumerate(parts):
            here = os.path.join(here, part)
            try:
                mode = os.lstat(here)
            except FileNotFoundError:
                return None if hidden else os.path.join(self.lower, *parts)
            if _is_whiteout(mode):
                return None
            if not stat.S_ISDIR(mode.st_mode):
                return here if place == len(parts) - 1 else None
            hidden = hidden or _is_opaque(here)
        return here

    def names(self, parts: list[str]) -> set[str]:
        """Return what a directory inside holds."""
        below = os.path.join(self.lower, *parts)
        if self.upper is None:
            return set(os.listdir(below))
        above = os.path.join(self.upper, *parts)
        found = self.find(parts)
        lower = set(os.listdir(below)) if os.path.isdir(below) else set()
        if found is None or not found.startswith(self.upper):
            return lower
        return {name for name in lower | set(os.listdir(above)) if self.find([*parts, name]) is not None}


class Scene:
    """The layers of one datum; what is in none of them is at the same path outside, unless it is ``closed``.

    ``closed``: folders in which the command saw something else than there is outside, or that are nobody's business:
    nothing in them is found, but for the layers that lie there.
    """

    def __init__(self, layers: list[Layer], *, closed: Sequence[str] = ()) -> None:
        self._layers = sorted(layers, key=lambda layer: -len(layer.seen))
        self._closed = [folder.rstrip("/") for folder in closed]

    def close(self, folder: str) -> None:
        """Let nothing be found in one more folder."""
        if folder.rstrip("/") not in self._closed:
            self._closed.append(folder.rstrip("/"))

    @property
    def layers(self) -> Sequence[Layer]:
        """All layers, the deepest first."""
        return self._layers

    def add(self, layer: Layer) -> None:
        """Let one more layer be seen, over one at the same place."""
        self._layers = sorted((layer, *self._layers), key=lambda one: -len(one.seen))

    def layer(self, path: str) -> tuple[Layer, list[str]] | None:
        """Return the layer that shows a path, and the rest of the path in it."""
        for layer in self._layers:
            if _covers(layer.seen, path):
                parts = [part for part in path[len(layer.seen) :].split("/") if part]
                if not parts or parts[0] not in layer.shows:
                    return layer, parts
        return None

    def is_of_host(self, path: str) -> bool:
        """Say whether a path is shown for the sake of programs."""
        at = self.layer(path)
        return at is not None and at[0].of_host

    def find(self, path: str) -> str | None:
        """Return where the (resolved) path is outside, None if there is nothing.

        Raises:
            FailedError: it is closed.
            OSError: it cannot be looked at: too long a path, or no right to.
        """
        at = self.layer(path)
        depth = -1 if at is None else len(at[0].seen)
        if any(len(folder) > depth and _covers(folder, path) for folder in self._closed):
            # Not where to: what lies there is no path of the command's.
            raise FailedError("it leads outside what the command could see")
        place = path if at is None else at[0].find(at[1])
        return place if place is not None and _exists(place) else None

    def names(self, path: str) -> list[str]:
        """Return the names in a (resolved) directory, sorted as bytes."""
        at = self.layer(path)
        names = set(os.listdir(path)) if at is None else at[0].names(at[1])
        return sorted(names, key=os.fsencode)

    def resolve(self, path: str) -> str | None:
        """Return the absolute path without symlinks; None if it leads nowhere.

        Raises:
            FailedError: more than 40 links, or it leads to what is closed.
            OSError: it cannot be followed.
        """
        try:
            return self._resolve(path)
        except FailedError as error:
            raise FailedError(f"{path} cannot be followed: {error}") from None

    def _resolve(self, path: str) -> str | None:
        left, done, links = _parts(path), "", 0
        while left:
            part = left.pop()
            if part in {".", ".."}:
                done = done.rpartition("/")[0] if part == ".." else done
                continue
            here = f"{done}/{part}"
            if self._leads_to_a_layer(here):
                done = here
                continue
            place = self.find(here)
            if place is None:
                return None
            if not os.path.islink(place):
                done = here
                continue
            links += 1
            if links > _MAX_LINKS:
                raise FailedError("it is a loop of symlinks")
            target = os.readlink(place)
            done = "" if target.startswith("/") else done
            left.extend(_parts(target))
        return (done or "/") if self.find(done or "/") is not None else None

    def open_outside(self, path: str) -> BinaryIO:
        """Open a regular file that no layer shows, given by a resolved path.

        Each step is taken without following links, so that what was resolved is what is read; a closed folder is known
        by its inode too, wherever it is mounted.

        Raises:
            FailedError: it is no regular file, or lies in what is closed.
            OSError: it cannot be opened.
        """
        names = _parts(path)[::-1]
        closed = {(status.st_dev, status.st_ino) for status in map(_status, self._closed) if status is not None}
        folder = os.open("/", _FOLDER)
        try:
            for name in names[:-1]:
                below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = below
                if (os.fstat(folder).st_dev, os.fstat(folder).st_ino) in closed:
                    raise FailedError(f"it leads outside what the command could see, to {path}")
            if not names or not stat.S_ISREG(os.stat(names[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                raise FailedError(f"{path} is no regular file: of what is outside /pfs and /tmp only those are taken")
            return open(os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb")
        finally:
            os.close(folder)

    def _leads_to_a_layer(self, path: str) -> bool:
        """Say whether a path is above a layer: a directory on the way to it, closed or not."""
        return any(layer.seen.startswith(path + "/") for layer in self._layers)


def _parts(path: str) -> list[str]:
    """Return the parts of a path, the last first."""
    return [part for part in reversed(path.split("/")) if part]


def _covers(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _status(folder: str) -> os.stat_result | None:
    try:
        return os.stat(folder) if folder else None
    except OSError:
        return None


def _exists(place: str) -> bool:
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(directory: str) -> bool:
    for name in ("user.overlay.opaque", "trusted.overlay.opaque"):
        try:
            if os.getxattr(directory, name) == b"y":
                return True
        except OSError:
            continue
    return False


def layer(seen: str, lower: Path, upper: Path | None = None) -> Layer:
    """Make a layer from paths."""
    return Layer(seen, str(lower), None if upper is None else str(upper))
