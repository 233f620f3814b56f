"""A datum's files as its command saw them, found from outside after it ended.

Symlinks in /pfs/out hold paths of the command's world; this says where the same file is in ours. Inputs that were
overlaid are put together from the view and from what the command changed (docs of overlayfs: a character device 0:0
hides a name, the attribute ``overlay.opaque`` hides what is below a directory).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pfs.errors import FailedError

_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Layer:
    """What is seen at the path ``seen``: ``lower``, with ``upper`` over it where the command could write."""

    seen: str
    lower: str
    upper: str | None = None

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
    """The layers of one datum; what is in none of them is at the same path outside."""

    def __init__(self, layers: list[Layer]) -> None:
        self._layers = sorted(layers, key=lambda layer: -len(layer.seen))

    def layer(self, path: str) -> tuple[Layer, list[str]] | None:
        """Return the layer that shows a path, and the rest of the path in it."""
        for layer in self._layers:
            if path == layer.seen or path.startswith(layer.seen + "/"):
                return layer, [part for part in path[len(layer.seen) :].split("/") if part]
        return None

    def find(self, path: str) -> str | None:
        """Return where the (resolved) path is outside, None if there is nothing."""
        at = self.layer(path)
        place = path if at is None else at[0].find(at[1])
        return place if place is not None and os.path.lexists(place) else None

    def names(self, path: str) -> list[str]:
        """Return the names in a (resolved) directory, sorted as bytes."""
        at = self.layer(path)
        names = set(os.listdir(path)) if at is None else at[0].names(at[1])
        return sorted(names, key=os.fsencode)

    def resolve(self, path: str) -> str | None:
        """Return the absolute path without symlinks; None if it leads nowhere.

        Raises:
            FailedError: more than 40 links.
        """
        left, done, links = [part for part in reversed(path.split("/")) if part], "", 0
        while left:
            part = left.pop()
            if part in {".", ".."}:
                done = os.path.dirname(done) if part == ".." and done not in {"", "/"} else done
                continue
            place = self.find(f"{done}/{part}")
            if place is None:
                return None
            if not os.path.islink(place):
                done = f"{done}/{part}"
                continue
            links += 1
            if links > _MAX_LINKS:
                raise FailedError(f"{path} is a loop of symlinks")
            target = os.readlink(place)
            done = "" if target.startswith("/") else done
            left.extend(step for step in reversed(target.split("/")) if step)
        return done or "/"


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
