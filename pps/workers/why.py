"""The words for an error of the system."""

from __future__ import annotations

import errno


def why(error: OSError) -> str:
    """Return the reason of an error of the system in words, with the file if there is one."""
    if is_full(error):
        return "no space left on the device"
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


def is_full(error: OSError) -> bool:
    """Say whether there was no space left."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}
