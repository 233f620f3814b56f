"""Members of tar archives (ustar, GNU, pax), read as a stream: once, forwards, in memory that does not grow.

`tarfile` takes a damaged header in the middle for the end of the archive, and one that ends without its end marks for
whole. Here both are errors: a put of half an archive would look like one of the whole.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final, Self

from pfs.errors import PfsError
from pfs.shorten import shorten
from pfs.sources.members import Member, damaged, guarded, member_key, refused

_BUFFER_BYTES: Final = 1 << 18
_HEADER_BYTES: Final = 1 << 20
"""The longest extended header that is read into memory."""
_HEADERS: Final = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _HeaderDamage(Exception):  # noqa: N818 - never leaves this module, and is no HeaderError, which tarfile swallows
    """A header that is none, where one must be."""


class _StrictInfo(tarfile.TarInfo):
    """A header that is right or an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse one block."""
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed leaves it out
            raise
        except tarfile.HeaderError as error:
            raise _HeaderDamage(str(error) or "the end is missing") from error
        if info.size < 0 or (info.type in _HEADERS and info.size > _HEADER_BYTES):
            raise _HeaderDamage("a header with an impossible size")
        return info


def tar_members(stream: BinaryIO, archive: str) -> Iterator[Member]:
    """Yield what a tar archive holds, without its directories; reads ``stream`` to its end, so that checksums are seen.

    Sparse files come with their holes filled in. Devices and named pipes are of type ``other``.

    Raises:
        InvalidInputError: it is no tar archive, damaged or cut off; a name is absolute, has ``..``, or is no path.
    """
    first = True
    try:
        with tarfile.open(
            fileobj=stream, mode="r|", bufsize=_BUFFER_BYTES, tarinfo=_StrictInfo, encoding="utf-8"
        ) as tar:
            first = False
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all; typeshed leaves it out
                if not info.isdir():
                    yield _member(tar, info, archive)
        while stream.read(_BUFFER_BYTES):
            pass
    except PfsError:
        raise
    except Exception as error:  # crafted headers make tarfile end in ValueError, RecursionError and others
        if first:
            what = "it is no zip and no tar archive, plain or packed by gzip, bzip2, xz or zstd"
            raise refused(archive, what) from error
        raise damaged(archive, error) from error


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo, archive: str) -> Member:
    key = member_key(info.name, archive)
    if info.issym():
        return Member(key, "symlink", target=info.linkname.encode(errors="surrogateescape"))
    if info.islnk():
        return Member(key, "hard-link", target=member_key(info.linkname, archive))
    file = tar.extractfile(info) if info.isreg() else None
    if file is None:
        return Member(key, "other")
    if info.size < 0:
        raise damaged(archive, f"{shorten(info.name)} has an impossible size")
    return Member(key, "file", info.size, guarded(file.read, archive), executable=bool(info.mode & 0o111))
