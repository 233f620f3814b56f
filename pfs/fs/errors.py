"""Our errors as the OSErrors that users of fsspec catch: one table, from the most particular class to the widest."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pfs.errors import (
    AlreadyExistsError,
    CommitClosedError,
    ConflictError,
    CorruptionError,
    FileCollisionError,
    InvalidInputError,
    NotFoundError,
    PfsError,
    PreconditionFailedError,
    PurgedError,
    StorageError,
    StorageFullError,
)

ERRNOS: Final[tuple[tuple[type[PfsError], int], ...]] = (
    (PurgedError, errno.ENODATA),
    (NotFoundError, errno.ENOENT),
    (AlreadyExistsError, errno.EEXIST),
    (PreconditionFailedError, errno.EEXIST),
    (FileCollisionError, errno.ENOTDIR),
    (CommitClosedError, errno.EPERM),
    (ConflictError, errno.EBUSY),
    (InvalidInputError, errno.EINVAL),
    (CorruptionError, errno.EIO),
    (StorageFullError, errno.ENOSPC),
    (StorageError, errno.EIO),
    (PfsError, errno.EIO),
)
"""The first class that fits counts; EPERM is what Linux answers for a file that is immutable."""


def os_error(error: PfsError) -> OSError:
    """Return the OSError, of its subclass, that says the same; its text is ours."""
    code = next(code for kind, code in ERRNOS if isinstance(error, kind))
    if isinstance(error, FileCollisionError) and error.existing.startswith("directory"):
        code = errno.EISDIR
    return OSError(code, str(error))


@contextmanager
def os_errors() -> Iterator[None]:
    """Turn errors of the library into OSErrors."""
    try:
        yield
    except PfsError as error:
        raise os_error(error) from error


@contextmanager
def lookup_errors() -> Iterator[None]:
    """As `os_errors`; an address that cannot be right is one where nothing is: `exists` and the like answer False."""
    try:
        yield
    except InvalidInputError as error:
        raise FileNotFoundError(errno.ENOENT, str(error)) from error
    except PfsError as error:
        raise os_error(error) from error
