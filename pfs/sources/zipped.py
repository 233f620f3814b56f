"""Members of zip archives. Their list stands at the end of the file, so it needs a file, and is held in memory."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from pfs.errors import PfsError
from pfs.shorten import quoted
from pfs.sources.members import Member, damaged, guarded, member_key, refused

_UNIX: Final = 3
_ENCRYPTED: Final = 1
_LINK_BYTES: Final = 4096


def zip_members(file: BinaryIO, archive: str) -> Iterator[Member]:
    """Yield what a zip archive holds, in the order of its list, without its directories.

    Raises:
        InvalidInputError: it is damaged, encrypted or packed in a way that is not known; a name is absolute, has
            ``..``, or is no path.
    """
    try:
        with zipfile.ZipFile(file) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    _check(info, archive)
                    with opened.open(info) as stream:
                        yield _member(info, guarded(stream.read, archive), archive)
    except PfsError:
        raise
    except Exception as error:  # crafted lists make zipfile end in ValueError, struct.error and others
        raise damaged(archive, error) from error


def _check(info: zipfile.ZipInfo, archive: str) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise refused(archive, f"{quoted(info.filename)} in it is encrypted")


def _member(info: zipfile.ZipInfo, stream: BinaryIO, archive: str) -> Member:
    key = member_key(info.filename, archive)
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    if stat.S_ISLNK(mode):
        return Member(key, "symlink", target=_all(stream))
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        return Member(key, "other")
    return Member(key, "file", info.file_size, stream, executable=bool(mode & 0o111))


def _all(stream: BinaryIO) -> bytes:
    data = b""
    while len(data) <= _LINK_BYTES and (piece := stream.read(_LINK_BYTES)):
        data += piece
    return data
