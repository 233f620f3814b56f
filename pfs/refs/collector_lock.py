"""One collection of a store at a time on one machine; a process that dies lets go of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pfs.backends.durable import storage_errors
from pfs.errors import ConflictError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the store in ``folder``.

    Raises:
        ConflictError: another collection is at work here.
        StorageError: the lock file cannot be made.
    """
    place = folder / "run"
    with storage_errors(f"lock {place / 'gc'}"):
        place.mkdir(parents=True, exist_ok=True)
        fd = os.open(place / "gc", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.pread(fd, 64, 0).decode(errors="replace").strip()
            detail = f" (process {who})" if who.isdigit() else ""
            raise ConflictError(f"another collection of {folder} is at work{detail}: wait until it is done") from error
        with suppress(OSError):  # it is for people alone, and a full disk must not keep away what makes room
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(fd)
