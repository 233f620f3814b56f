"""A put from this machine: a file, bytes, a stream, or a whole directory."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from msgspec import Struct

from pfs.errors import InvalidInputError, NotFoundError, PfsError, StorageError
from pfs.sources.links import Symlinks, stays_inside

_EXECUTABLE: Final = 0o111


class Status(Struct, frozen=True):
    """What is asked of a file's status, by the names of `os.stat_result`; a third of its cost."""

    st_mode: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int
    st_dev: int
    st_rdev: int = 0

    @classmethod
    def of(cls, status: os.stat_result) -> Status:
        """Return the same of the other kind."""
        return cls(
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
            status.st_dev,
            status.st_rdev,
        )


AnyStatus: TypeAlias = Status | os.stat_result


class LocalFile(Struct, frozen=True):
    """A file on the disk, or a symbolic link that is kept: the key it is put at, its absolute path, and its status."""

    key: bytes
    path: str
    status: AnyStatus
    by_folder: bool = False
    """Whether its directory is remembered as a whole, and reading the file costs no more than looking it up."""

    @property
    def executable(self) -> bool:
        """Whether anybody may execute it; permissions of links mean nothing."""
        return is_executable(self.status.st_mode) and not self.is_link

    @property
    def is_link(self) -> bool:
        """Whether it is put as a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)


def is_executable(mode: int) -> bool:
    """Say whether any of the permission bits makes the file executable."""
    return bool(mode & _EXECUTABLE)


def refuse_device(path: str, status: os.stat_result) -> None:
    """Refuse a device: reading it never ends, or copies a disk. Terminals and the null device end.

    Raises:
        InvalidInputError: it is one.
    """
    if stat.S_ISCHR(status.st_mode) and (_is_null(status) or _is_terminal(path)):
        return
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise InvalidInputError(f"{path} is a device, not a file: pipe what is wanted of it into put-file -f -")


def _is_null(status: os.stat_result) -> bool:
    return status.st_rdev == os.stat(os.devnull).st_rdev


def _is_terminal(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.isatty(fd)
    finally:
        os.close(fd)


def open_regular(path: str) -> int:
    """Open a file that was a regular one when it was listed, and return its descriptor, which does not block.

    Raises:
        OSError: it cannot be opened, or became something else, such as a pipe, which would be waited for.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "it is no regular file any more")


@contextmanager
def open_source(source: Path | str | bytes | BinaryIO, key: bytes) -> Iterator[tuple[BinaryIO, LocalFile | None]]:
    """Yield a stream of the source, and what it was opened from if that is a file; closes only what it opened.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: it is a directory, a device, a text stream, or nothing that has bytes.
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
        refuse_device(str(file), file.stat())
        return file.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file at {file}") from error
    except IsADirectoryError as error:
        raise InvalidInputError(f"{file} is a directory: put it with -r, or with put_tree") from error
    except OSError as error:
        raise StorageError(f"read {file}", error.strerror or str(error)) from error


def find_file(file: Path, key: bytes, *, symlinks: Symlinks = "follow") -> LocalFile | None:
    """Return one file that was named by the user; None for a link that is skipped.

    Raises:
        NotFoundError: there is none, or it is a link to a file that does not exist.
        InvalidInputError: it is a directory, a device, or a link that is refused or cannot be kept.
        StorageError: it cannot be looked at.
    """
    path = str(file.absolute())
    if symlinks != "follow" and file.is_symlink():
        refuse_link(path, symlinks)
        return None if symlinks == "skip" else LocalFile(key, path, os.lstat(path))
    try:
        status = file.stat()
    except OSError as error:
        raise unusable(str(file), error, is_link=file.is_symlink()) from error
    if stat.S_ISDIR(status.st_mode):
        raise InvalidInputError(f"{file} is a directory: put it with -r, or with put_tree")
    refuse_device(str(file), status)
    return LocalFile(key, path, status)


def link_text(file: LocalFile) -> bytes:
    """Return where a link that is kept points to.

    Raises:
        InvalidInputError: out of the repo, or it may: no restore could make it again.
        StorageError: it cannot be read.
    """
    try:
        text = os.fsencode(os.readlink(file.path))
    except OSError as error:
        raise StorageError(f"read {file.path}", error.strerror or str(error)) from error
    if not stays_inside(text, file.key.count(b"/")):
        where = os.fsdecode(text).encode(errors="backslashreplace").decode()
        raise InvalidInputError(
            f"{file.path} is a link to {where}, which may lead out of the repo: it cannot be kept as a link,"
            " follow or skip it (--symlinks)"
        )
    return text


def refuse_link(path: str, symlinks: Symlinks) -> None:
    """Refuse a link where links are refused (InvalidInputError)."""
    if symlinks == "refuse":
        raise InvalidInputError(f"{path} is a symbolic link: follow, keep or skip it (--symlinks)")


def unusable(path: str, error: OSError, *, is_link: bool) -> PfsError:
    """Return what to raise when looking at a file failed."""
    if error.errno == errno.ELOOP:
        return InvalidInputError(f"{path} is a link that leads in circles")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFoundError(f"{path} is a link to a file that does not exist" if is_link else f"no file at {path}")
    return StorageError(f"read {path}", error.strerror or str(error))
