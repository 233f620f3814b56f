"""How many files and connections this process may have open."""

from __future__ import annotations

import resource

ENOUGH = 4096
"""Descriptors for a thousand connections and the files that they read and write."""


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
