"""What archives hold, whatever their format: files, links, and what no repo takes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal, TypeAlias, cast

from pfs.errors import InvalidInputError, PfsError
from pfs.paths import to_key
from pfs.shorten import quoted

MemberType: TypeAlias = Literal["file", "hard-link", "symlink", "other"]


@dataclass(frozen=True, slots=True)
class Member:
    """One entry, in the order of the archive.

    ``key`` is its name below the top of the archive; ``target`` where a link leads: of a hard link the key of an
    earlier member, of a symbolic link its text. ``stream`` has the ``size`` bytes of a file, once, before the next
    member is asked for.
    """

    key: bytes
    type: MemberType
    size: int = 0
    stream: BinaryIO | None = None
    target: bytes = b""
    executable: bool = False


def member_key(name: str, archive: str) -> bytes:
    """Return the key of a member's name; empty for the top itself.

    Raises:
        InvalidInputError: the name leads, or may lead, out of the place where the archive is unpacked, or is none that
            paths take.
    """
    if name.startswith("/"):
        raise refused(archive, f"it holds the absolute name {quoted(name)}")
    path = "/".join(step for step in name.split("/") if step != ".")
    try:
        return to_key(path)
    except InvalidInputError as error:
        raise refused(archive, f"it holds an {error}") from error


def refused(archive: str, why: str) -> InvalidInputError:
    """Return the error of an archive that is not unpacked; raise it."""
    return InvalidInputError(f"cannot unpack {archive}: {why}; nothing of it was put")


def damaged(archive: str, detail: object) -> InvalidInputError:
    """Return the error of an archive that cannot be read to its end; raise it."""
    text = " ".join(str(detail).split()).rstrip(".") or type(detail).__name__
    return refused(archive, f"it is damaged or cut off ({text})")


def guarded(read: Callable[[int], bytes], archive: str) -> BinaryIO:
    """Return a stream of what ``read`` returns, with one error for all that a library says of bad bytes."""
    return cast("BinaryIO", Guarded(read, archive))  # it reads as one


class Guarded(io.RawIOBase):
    """A stream out of an archive: whatever the library below says of bad bytes becomes one error of ours."""

    def __init__(self, read: Callable[[int], bytes], archive: str) -> None:
        self._read_some, self._archive = read, archive

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # callers here hand over memoryviews
        """Read at least one byte, 0 at the end; raises InvalidInputError for bytes that are no such archive."""
        try:
            data = self._read_some(len(buffer))
        except PfsError:
            raise
        except Exception as error:  # zlib, lzma, zstandard, zipfile and tarfile have some fifteen classes between them
            raise damaged(self._archive, error) from error
        buffer[: len(data)] = data
        return len(data)
