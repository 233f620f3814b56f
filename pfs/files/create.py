"""Writing many small files of one directory in one call; each is the old or the whole new one, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from pfs.backends.durable import write_all
from pfs.files.restore_file import replacing

NewFile: TypeAlias = tuple[bytes, bytes, bool]
"""Name, content, whether it is executable."""


def create_files(directory: Path, files: Sequence[NewFile]) -> None:
    """Write files, replacing files and links of their names; each is written beside its place and renamed.

    Nothing is synced. Where the native module is not built, and for a file that it cannot write, `replacing` does it.

    Raises:
        StorageError, StorageFullError: a file cannot be written; those before it are there.
    """
    create, path, done = _native(), os.fsencode(directory), 0
    while done < len(files):
        if create is not None:
            done += create(path, tuple(files[done:]), os.urandom(4).hex().encode())
        if done < len(files):
            name, data, executable = files[done]
            with replacing(directory / os.fsdecode(name), executable=executable, through_links=False) as fd:
                write_all(fd, [data])
            done += 1


@cache
def _native() -> Callable[[bytes, tuple[NewFile, ...], bytes], int] | None:
    try:
        from pfs import _batch
    except ImportError:
        return None
    return _batch.create
