"""A little room on the disk that is kept back for collection: to delete, it has to write first.

Without it a disk that is full to the last block could not be given back what nothing leads to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

BYTES: Final = 128 << 10
"""Some refs, a list of condemned packs, and what the index writes in one transaction."""
_NAME: Final = "reserve"


def keep_reserve(folder: Path) -> None:
    """Make ``run/reserve`` of a store unless it is there; where there is no room, do without."""
    place = folder / "run"
    with suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        fd = os.open(place / _NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with suppress(OSError):
                if os.fstat(fd).st_size < BYTES:
                    _allocate(fd)
        finally:
            os.close(fd)


def _allocate(fd: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, BYTES)
    else:
        os.pwrite(fd, bytes(BYTES), 0)


@contextmanager
def released(folder: Path) -> Iterator[None]:
    """Give the room free inside; it is taken back afterwards, as far as there is some."""
    with suppress(OSError):
        (folder / "run" / _NAME).unlink(missing_ok=True)
    try:
        yield
    finally:
        keep_reserve(folder)
