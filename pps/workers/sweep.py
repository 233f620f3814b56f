"""Looking whether a command left anything, and if not, clearing its scratch directory: in one call of the extension.

Most commands leave nothing but their output, and many not even that. To know it for sure takes opening and listing
each folder that was made, a third of what a datum took in Python. Where the extension is not built, or a scratch has
more folders or files than it takes, everything is cleared the long way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, Self

try:
    from pps.sandbox import _worker as _native
except ImportError:
    _native = None  # type: ignore[assignment]  # optional

_MOST: Final = 64
_ANYTHING: Final = 1 << 31
UNTIMED: Final = 1 << 30
"""Set in a mode where the times of a folder say nothing; an overlay changes its upper folder itself."""

Folder = tuple[int, bytes, int]
"""The number of the folder that it lies in (-1 for the first, which has its path), name, mode."""


class Sweep:
    """The folders of one scratch, and the files that were put into them for the command. One thread."""

    def __init__(self, numbers: Mapping[str, int], folders: tuple[Folder, ...]) -> None:
        self._numbers, self._folders = numbers, folders
        self._layers: dict[str, int] = {}
        self._all = folders
        self._files: list[tuple[int, bytes]] | None = []

    @classmethod
    def over(cls, top: str, made: Sequence[str], mode: int, *, odd: Mapping[str, int]) -> Self | None:
        """Return one for ``top`` and the folders ``made`` below it, each after those above; None if there is none.

        ``mode``: that of all but the ``odd`` ones.
        """
        if _native is None or len(made) >= _MOST:
            return None
        numbers, folders = {"": 0}, [(-1, os.fsencode(top), mode)]
        for path in made:
            above, _, name = path.rpartition("/")
            if path in numbers or above not in numbers:
                return None
            numbers[path] = len(folders)
            folders.append((numbers[above], os.fsencode(name), odd.get(path, mode)))
        return cls(numbers, tuple(folders))

    def add(self, path: str) -> None:
        """Note a file by its path below the top."""
        above, _, name = path.rpartition("/")
        number = self._numbers.get(above)
        if self._files is not None and number is not None and len(self._files) < _MOST:
            self._files.append((number, os.fsencode(name)))
        else:
            self._files = None

    def add_layer(self, above: str, upper: str, work: str) -> None:
        """Note the folders of an overlay, by their paths below the top; what is in ``work`` is the overlay's affair."""
        if above in self._layers:
            return
        at, mode = len(self._all), self._all[0][2] | UNTIMED
        names = [os.fsencode(path.rpartition("/")[2]) for path in (above, upper, work)]
        if at + len(names) > _MOST:
            self._files = None
            return
        self._layers[above] = at
        holder = self._numbers[above.rpartition("/")[0]]
        self._all += ((holder, names[0], mode), (at, names[1], mode), (at, names[2], mode | _ANYTHING))

    def forget(self) -> None:
        """Note that no file is left, and perhaps no overlay's folder."""
        self._files, self._layers, self._all = [], {}, self._folders

    def run(self) -> bool:
        """Remove the files that were noted if nothing else is there, and say whether that was so."""
        files = self._files
        if _native is None or files is None or not _native.sweep(self._all, tuple(files)):
            return False
        self._files = []
        return True
