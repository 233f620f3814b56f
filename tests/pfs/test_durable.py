"""What the system says of a write, as it is told to users."""

from __future__ import annotations

import errno
import os

import pytest

from pfs.backends.durable import storage_errors
from pfs.errors import StorageError, StorageFullError


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, StorageFullError, "no space left on the device"),
        (errno.EDQUOT, StorageFullError, "no space left on the device"),
        (errno.EFBIG, StorageFullError, r"no space left under a limit of file sizes \(`ulimit -f`\)"),
        (errno.EIO, StorageError, "Input/output error"),
    ],
)
def test_a_failed_write_is_told_by_its_reason(number: int, kind: type[StorageError], text: str) -> None:
    with pytest.raises(kind, match=f"^cannot write there: {text}") as told, storage_errors("write there"):
        raise OSError(number, os.strerror(number))
    assert type(told.value) is kind
    assert "nothing was changed" not in str(told.value), "files of a restore may have been written before"
