"""The words for an error of the system."""

from __future__ import annotations

import errno

from pfs.errors import ArchivedError, PfsError, StorageFullError


def why(error: OSError) -> str:
    """Return the reason of an error of the system in words, with the file if there is one."""
    if is_full(error):
        return "no space left on the device"
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


def refuse_full(error: PfsError | OSError, action: str) -> None:
    """Raise StorageFullError if an error says that there was no space left: that is no fault of a datum.

    Neither is it that an input is in an archive: raises ArchivedError.
    """
    if isinstance(error, StorageFullError | ArchivedError):
        raise error
    if isinstance(error, OSError) and is_full(error):
        raise StorageFullError(action, why(error)) from error


def is_full(error: OSError) -> bool:
    """Say whether there was no space left."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}
