"""Where the bytes of a put come from: a file, bytes, a stream, or a whole directory."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from pfs.errors import InvalidInputError, NotFoundError, StorageError
from pfs.paths import MAX_PATH_BYTES, to_key

_EXECUTABLE: Final = 0o111
_PLAIN_NAME: Final = re.compile(r"[ -~]{1,255}")
"""What any path takes as the name of an entry of a directory."""


class LocalFile(NamedTuple):
    """A file on the disk: the key it is put at, its absolute path, and its status."""

    key: bytes
    path: str
    status: os.stat_result

    @property
    def executable(self) -> bool:
        """Whether anybody may execute it."""
        return is_executable(self.status)


def is_executable(status: os.stat_result) -> bool:
    """Say whether any of the permission bits makes the file executable."""
    return bool(status.st_mode & _EXECUTABLE)


@contextmanager
def open_source(source: Path | str | bytes | BinaryIO, key: bytes) -> Iterator[tuple[BinaryIO, LocalFile | None]]:
    """Yield a stream of the source, and what it was opened from if that is a file; closes only what it opened.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: it is a directory, a text stream, or nothing that has bytes.
        StorageError: it cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source), None
    elif isinstance(source, str | Path):
        with _open_file(Path(source)) as stream:
            yield stream, LocalFile(key, str(Path(source).absolute()), os.fstat(stream.fileno()))
    else:
        _check_stream(source)
        yield source, None


def _check_stream(source: object) -> None:
    if isinstance(source, io.TextIOBase):
        raise InvalidInputError("a text stream has no bytes: open the file in binary mode ('rb'), or encode the text")
    if not callable(getattr(source, "readinto", None)) and not callable(getattr(source, "read", None)):
        kind = type(source).__name__
        raise InvalidInputError(f"cannot put a {kind}: give a path (str or Path), bytes, or a binary stream")


def _open_file(file: Path) -> BinaryIO:
    try:
        return file.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file at {file}") from error
    except IsADirectoryError as error:
        raise InvalidInputError(f"{file} is a directory: put it with -r, or with put_tree") from error
    except OSError as error:
        raise StorageError(f"read {file}", error.strerror or str(error)) from error


def walk_files(directory: Path, under: str, *, leave_out: Path) -> Iterator[LocalFile]:
    """Yield every regular file below, in key order, with links followed; ``under`` is the target path.

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
    yield from _walk(str(directory), under.rstrip("/"), ((top.st_dev, top.st_ino),), str(leave_out))


def _walk(directory: str, under: str, above: tuple[tuple[int, int], ...], leave_out: str) -> Iterator[LocalFile]:
    base: bytes | None = None
    for name, entry, status in _children(directory):
        if stat.S_ISREG(status.st_mode):
            if base is None:
                base = to_key(under) + b"/" if under else b""
            yield LocalFile(_key(base, under, name), entry, status)
            continue
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise InvalidInputError(f"{entry} links to a directory that it lies in")
        if entry != leave_out:
            yield from _walk(entry, f"{under}/{name.rstrip('/')}", (*above, here), leave_out)


def _key(base: bytes, under: str, name: str) -> bytes:
    """Return the key of a file in the directory ``under``, whose key is ``base``; usual names need no full check."""
    if _PLAIN_NAME.fullmatch(name) and len(base) + len(name) < MAX_PATH_BYTES:
        return base + name.encode()
    return to_key(f"{under}/{name}")


def _children(directory: str) -> list[tuple[str, str, os.stat_result]]:
    """Return files and directories in the order of keys: as bytes, directories spelled with a slash at the end."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                status = _status(entry)
                if status is not None and stat.S_ISREG(status.st_mode):
                    found.append((entry.name, entry.path, status))
                elif status is not None and stat.S_ISDIR(status.st_mode):
                    found.append((entry.name + "/", entry.path, status))
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
