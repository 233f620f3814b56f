"""What changes in /pfs from datum to datum while one command runs: inputs, /pfs/out, /pfs/.env.

The command is alive, so nothing is made or removed where it could put a link in the way: all is made beside /pfs, in
the scratch directory, and renamed into it, or into a directory there that is open; what is to go, likewise.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from pps.executor import DatumInput, DatumTask
from pps.workers.exchange import FOLDER
from pps.workers.layout import let_all_write
from pps.workers.scratch import Scratch, remove_tree
from pps.workers.staging import Staging

_OUT = "out"
_VARIABLES = ".env"
# Never through a link: the command may have put one there.
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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


def has_inputs(task: DatumTask, inputs: Iterable[DatumInput]) -> bool:
    """Say whether a datum has all of ``inputs``."""
    own = {given.name: given for given in task.inputs}
    return all(given.name in own and _same(given, own[given.name]) for given in inputs)


def _same(one: DatumInput, two: DatumInput) -> bool:
    return one is two or (one.repo, one.commit, one.path, one.empty_files, one.rows) == (
        two.repo,
        two.commit,
        two.path,
        two.empty_files,
        two.rows,
    )


class Desk:
    """Lays out one datum after the other; ``fixed``: inputs that are mounted and stay. One thread.

    ``for_all``: the command may run as any user. Directories that are as they were made are emptied and used again, as
    making and removing one costs a disk more than all else here.
    """

    def __init__(self, scratch: Scratch, staging: Staging, *, fixed: Collection[str], for_all: bool) -> None:
        self._pfs, self._staging = str(scratch.pfs), staging
        self._fixed, self._for_all = frozenset(fixed), for_all
        self._made, self._gone = f"{scratch.top}/made", f"{scratch.top}/gone"
        os.mkdir(self._made)
        os.mkdir(self._gone)
        self._mode = 0o777 if for_all else stat.S_IMODE(os.stat(self._made).st_mode)
        self._count = 0

    def lay(self, task: DatumTask) -> None:
        """Remove what the last datum left and put the inputs of ``task`` in place, with an empty /pfs/out.

        Raises:
            PfsError: an input cannot be staged. OSError: the disk takes no more, or is in the way.
        """
        changing = [given for given in task.inputs if given.name not in self._fixed]
        wanted = {_OUT, *(given.name for given in changing)}
        for entry in list(os.scandir(self._pfs)):
            known = entry.name in wanted or entry.name in self._fixed or entry.name == FOLDER
            # The list of variables is replaced by the next one, whatever it is but a directory.
            if not known and (entry.name != _VARIABLES or entry.is_dir(follow_symlinks=False)):
                self._remove(entry.path)
        for given in changing:
            self._bring(given)
        folder = self._emptied(_OUT)
        if folder is None:
            self._make_out()
        else:
            os.close(folder)

    def clear(self) -> None:
        """Remove what a datum that could not be laid out left half made."""
        for name in os.listdir(self._made):
            remove_tree(Path(self._made, name))

    def _make_out(self) -> None:
        made = f"{self._made}/{_OUT}"
        os.mkdir(made)
        if self._for_all:
            let_all_write(Path(made))
        os.rename(made, f"{self._pfs}/{_OUT}")

    def _bring(self, given: DatumInput) -> None:
        made = f"{self._made}/{given.name}"
        self._staging.fill(given, Path(made))
        if self._for_all:
            let_all_write(Path(made))
        folder = self._emptied(given.name)
        if folder is None:
            os.rename(made, f"{self._pfs}/{given.name}")
            return
        try:
            for name in os.listdir(made):
                os.rename(f"{made}/{name}", name, dst_dir_fd=folder)
        finally:
            os.close(folder)

    def _emptied(self, name: str) -> int | None:
        """Return a directory of /pfs, open and with nothing in it; None when there is none, or none that is as made."""
        path = f"{self._pfs}/{name}"
        try:
            folder = os.open(path, _FOLDER)
        except FileNotFoundError:
            return None
        except OSError:
            self._remove(path)
            return None
        if stat.S_IMODE(os.fstat(folder).st_mode) == self._mode and _empty(folder):
            return folder
        os.close(folder)
        self._remove(path)
        return None

    def _remove(self, path: str) -> None:
        self._count += 1
        gone = f"{self._gone}/{self._count}"
        try:
            os.rename(path, gone)
        except PermissionError:
            # Moving a directory takes the right to write to it, since '..' in it changes.
            os.chmod(path, 0o700)
            os.rename(path, gone)
        if stat.S_ISDIR(os.lstat(gone).st_mode):
            remove_tree(Path(gone))
        else:
            os.unlink(gone)


def _empty(folder: int) -> bool:
    """Remove the files in an open directory; say whether nothing is left."""
    try:
        for name in os.listdir(folder):
            os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    return True
