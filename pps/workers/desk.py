"""What changes in /pfs from datum to datum while one command runs: inputs, /pfs/out, /pfs/.env.

The command is alive, so nothing is made or removed where it could put a link in the way: all is made beside /pfs, in
the scratch directory, and renamed into it; what is to go is renamed out of it first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from pps.executor import DatumInput, DatumTask
from pps.workers.exchange import FOLDER
from pps.workers.scratch import Scratch, remove_tree
from pps.workers.staging import Staging

_OUT = "out"


def shared_inputs(tasks: Iterable[DatumTask]) -> tuple[DatumInput, ...]:
    """Return the inputs that are the same for all of ``tasks``; of lazy ones each has pipes of its own."""
    shared: dict[str, DatumInput] | None = None
    for task in tasks:
        own = {given.name: given for given in task.inputs if not given.lazy}
        if shared is None:
            shared = own
        shared = {name: given for name, given in shared.items() if name in own and _same(given, own[name])}
        if not shared:
            break
    return tuple((shared or {}).values())


def _same(one: DatumInput, two: DatumInput) -> bool:
    return one is two or (one.repo, one.commit, one.path, one.empty_files, one.rows) == (
        two.repo,
        two.commit,
        two.path,
        two.empty_files,
        two.rows,
    )


class Desk:
    """Lays out one datum after the other; ``fixed``: inputs that are mounted and stay. One thread."""

    def __init__(self, scratch: Scratch, staging: Staging, *, fixed: Collection[str]) -> None:
        self._pfs, self._staging = scratch.pfs, staging
        self._fixed = frozenset(fixed)
        self._keep = self._fixed | {FOLDER}
        self._made, self._gone = scratch.top / "made", scratch.top / "gone"
        self._made.mkdir()
        self._gone.mkdir()
        self._count = 0

    def lay(self, task: DatumTask) -> None:
        """Remove what the last datum left and put the inputs of ``task`` in place, with an empty /pfs/out.

        Raises:
            PfsError: an input cannot be staged. OSError: the disk takes no more, or is in the way.
        """
        for name in os.listdir(self._pfs):
            if name not in self._keep:
                self._remove(self._pfs / name)
        for given in task.inputs:
            if given.name not in self._fixed:
                self._staging.fill(given, self._made / given.name)
                os.rename(self._made / given.name, self._pfs / given.name)
        os.mkdir(self._pfs / _OUT)

    def clear(self) -> None:
        """Remove what a datum that could not be laid out left half made."""
        for name in os.listdir(self._made):
            remove_tree(self._made / name)

    def _remove(self, path: Path) -> None:
        self._count += 1
        gone = f"{self._gone}/{self._count}"
        try:
            os.rename(path, gone)
        except PermissionError:
            # Moving a directory takes the right to write to it, since '..' in it changes.
            os.chmod(path, 0o700)
            os.rename(path, gone)
        _discard(gone)


def _discard(path: str) -> None:
    """Remove whatever is there, a link and not what it leads to; quickly if it is a directory with files only."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        _remove_whole(path)
        return
    try:
        for name in os.listdir(folder):
            os.unlink(name, dir_fd=folder)
        os.rmdir(path)
    except OSError:
        _remove_whole(path)
    finally:
        os.close(folder)


def _remove_whole(path: str) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        remove_tree(Path(path))
    else:
        os.unlink(path)
