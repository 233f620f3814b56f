"""Small files that are put into a scratch directory for a command: by the extension _worker where it is built."""

from __future__ import annotations

import os
from collections.abc import Callable

from pfs.backends.durable import write_all

_native: Callable[[str, bytes, int], bool] | None
try:
    from pps.sandbox._worker import write_new as _native
except ImportError:
    _native = None


def write_new(place: str, data: bytes, *, mode: int = 0o666) -> bool:
    """Write a file where nothing stands, not even a link; False if something does.

    Raises:
        OSError: it cannot be written, and part of it may stand there.
    """
    if _native is not None:
        return _native(place, data, mode)
    try:
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        return False
    try:
        write_all(file, [data])
    finally:
        os.close(file)
    return True
