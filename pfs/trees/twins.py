"""Finds paths that are both a file and a directory, while sorted keys go by."""

from __future__ import annotations

import numpy as np

from pfs.arrays import I64
from pfs.errors import FileCollisionError
from pfs.paths import from_key
from pfs.trees.shape import Keys, Shape


class Twins:
    """Remembers the files that the last key begins with: between ``a`` and ``a/b`` come only keys that begin with a."""

    def __init__(self) -> None:
        self._open: list[bytes] = []

    def check(self, keys: Keys, shared: I64, shape: Shape) -> None:
        """Take the keys behind the first, which is the last of the call before; arguments as of `shape_of`.

        Raises:
            FileCollisionError: of the first directory that has the path of a file; an empty last step has no path of
                its own, so it never collides.
        """
        whole = np.flatnonzero(shared == np.diff(keys.offsets)[:-1])
        files = dict.fromkeys([*self._open, *(key for key in map(keys.key, whole.tolist()) if key)])
        if files and len(shape.starts):
            self._compare(keys, shape, files)
        last = keys.key(keys.rows - 1)
        self._open = [file for file in files if last.startswith(file)]

    def _compare(self, keys: Keys, shape: Shape, files: dict[bytes, None]) -> None:
        shortest, longest = min(map(len, files)), max(map(len, files))
        some = np.flatnonzero((shape.cuts > shortest) & (shape.cuts <= longest + 1))
        begins = keys.offsets[shape.starts[some] + 1]
        stops = begins + shape.cuts[some] - 1
        data = keys.data.tobytes()
        for number, (begin, stop) in enumerate(zip(begins.tolist(), stops.tolist(), strict=True)):
            path = data[begin:stop]
            if path in files and not path.endswith(b"/"):
                key = keys.key(int(shape.starts[some[number]]) + 1)
                raise FileCollisionError(from_key(key), from_key(path))
