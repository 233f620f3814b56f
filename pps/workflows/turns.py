"""Beginning runs one after the other, and knowing who waits for one: files that are locked, in ``.pfs/run/workflows``.

On one machine the turn makes a run whole: from the look at what there is to the commit nothing else begins. Between
machines there is the comparison of heads and versions at the commit (runs.py).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pps.scheduling.lease import HolderLocks

if TYPE_CHECKING:
    from pathlib import Path

    from pfs.store import Store


@contextmanager
def turn(store: Store, name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the turn to begin a run of a workflow; not reentrant. ``wait`` False: yield False if another has it.

    Waits as long as the other takes, which may be importing. It is free when its holder dies.
    """
    fd = _opened(_file(store, name, "begin"))
    try:
        yield fd is None or _locked(fd, fcntl.LOCK_EX, wait=wait)
    finally:
        if fd is not None:
            os.close(fd)


@contextmanager
def awaited(store: Store, name: str) -> Iterator[None]:
    """Let others know that somebody waits for a run of a workflow, as its controller or beside one."""
    fd = _opened(_file(store, name, "awaited"))
    try:
        if fd is not None:
            _locked(fd, fcntl.LOCK_SH, wait=True)
        yield
    finally:
        if fd is not None:
            os.close(fd)


def is_attended(store: Store, name: str) -> bool:
    """Say whether what is due of a workflow is being done: a controller of this machine lives, or somebody waits."""
    if HolderLocks(store.path / "run").any_alive():
        return True
    fd = _opened(_file(store, name, "awaited"))
    if fd is None:
        return False
    try:
        return not _locked(fd, fcntl.LOCK_EX, wait=False)
    finally:
        os.close(fd)


def _file(store: Store, name: str, what: str) -> Path:
    return store.path / "run" / "workflows" / f"{name}.{what}"


def _opened(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:  # a full or read-only disk: whether a run can begin is for its writes to say
        return None


def _locked(fd: int, kind: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(fd, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
