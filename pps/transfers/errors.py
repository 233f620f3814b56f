"""What goes wrong at a place: refusals, which only somebody can mend, apart from trouble, which may pass."""

from __future__ import annotations

import errno
import threading
from typing import Final

from pfs.errors import FailedError, StorageError

_REFUSALS: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EISDIR,
        errno.EINVAL,
    }
)


class PlaceRefusedError(FailedError):
    """A place refuses: rights, names, a bucket that is not there, no room: ``(action, reason)``.

    The same request gets the same answer until somebody changes something.
    """

    kind = "place-refused"

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(action, reason)
        self.action, self.reason = action, reason

    def __str__(self) -> str:
        return f"cannot {self.action}: {self.reason}"


class Stopped(Exception):  # noqa: N818 - no error: somebody wanted it
    """A transfer was stopped half-way."""


def check_going(stop: threading.Event) -> None:
    """Raise Stopped if it was set."""
    if stop.is_set():
        raise Stopped


def of_system(action: str, error: OSError) -> PlaceRefusedError | StorageError:
    """Return what an error of the operating system is: a refusal, or trouble."""
    kind = PlaceRefusedError if error.errno in _REFUSALS else StorageError
    return kind(action, error.strerror or str(error))
