"""Where the bytes of a put come from: a file, bytes, a stream, or a whole directory."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pfs.errors import InvalidInputError, NotFoundError, StorageError
from pfs.paths import to_key

EXECUTABLE = 0o111
"""Permission bits of which any makes a file executable."""


@contextmanager
def open_source(source: Path | str | bytes | BinaryIO) -> Iterator[tuple[BinaryIO, bool]]:
    """Yield a stream of the source and whether it is an executable file; closes only what it opened.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: it is a directory.
        StorageError: it cannot be read.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source), False
    elif isinstance(source, str | Path):
        with _open_file(Path(source)) as stream:
            yield stream, bool(os.fstat(stream.fileno()).st_mode & EXECUTABLE)
    else:
        yield source, False


def _open_file(file: Path) -> BinaryIO:
    try:
        return file.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file at {file}") from error
    except IsADirectoryError as error:
        raise InvalidInputError(f"{file} is a directory: put it with -r, or with put_tree") from error
    except OSError as error:
        raise StorageError(f"read {file}", error.strerror or str(error)) from error


def walk_files(directory: Path, under: str, *, leave_out: Path) -> Iterator[tuple[bytes, Path]]:
    """Yield (key, file) of every regular file below, in key order, with links followed; ``under`` is the target path.

    Sockets, pipes and devices are passed over, and so is ``leave_out`` (the store itself).

    Raises:
        NotFoundError, InvalidInputError: ``directory`` is none, or a link leads back above itself.
        InvalidPathError: a name that paths do not take.
        StorageError: a directory cannot be read.
    """
    try:
        top = directory.stat()
    except OSError as error:
        raise NotFoundError(f"no directory at {directory}") from error
    if not stat.S_ISDIR(top.st_mode):
        raise InvalidInputError(f"{directory} is not a directory")
    yield from _walk(directory, under.rstrip("/"), ((top.st_dev, top.st_ino),), leave_out)


def _walk(
    directory: Path, under: str, above: tuple[tuple[int, int], ...], leave_out: Path
) -> Iterator[tuple[bytes, Path]]:
    for name, entry, status in _children(directory):
        path = f"{under}/{name.rstrip('/')}"
        if stat.S_ISREG(status.st_mode):
            yield to_key(path), entry
            continue
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise InvalidInputError(f"{entry} links to a directory that it lies in")
        if entry != leave_out:
            yield from _walk(entry, path, (*above, here), leave_out)


def _children(directory: Path) -> list[tuple[str, Path, os.stat_result]]:
    """Return files and directories in the order of keys: as bytes, directories spelled with a slash at the end."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                status = _status(entry)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    found.append((entry.name + "/", Path(entry.path), status))
                elif status is not None and stat.S_ISREG(status.st_mode):
                    found.append((entry.name, Path(entry.path), status))
    except OSError as error:
        raise StorageError(f"read {directory}", error.strerror or str(error)) from error
    return sorted(found, key=lambda item: os.fsencode(item[0]))


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except FileNotFoundError as error:
        if entry.is_symlink():
            raise NotFoundError(f"{entry.path} is a link to a file that does not exist") from error
        return None  # it went away since the directory was read
