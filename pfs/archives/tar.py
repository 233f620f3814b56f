"""tar as POSIX defines it (pax): any name, any size, readable by every tar of this century.

Headers are made by the standard library: a plain ustar header where all fits in one, else an extended header (pax) in
front with the full path or size as UTF-8. Owner and group are left at 0, so that nothing of the machine goes in.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterable, Iterator
from typing import Final

from pfs.archives.entry import Entry

_BLOCK: Final = 512
_RECORD: Final = 10_240
"""What tapes were written by; tar programs expect a multiple of it."""


def tar(entries: Iterable[Entry]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a tar with ``entries`` in their order; nothing is held back but the piece at hand."""
    size = 0
    for entry in entries:
        header = tar_header(entry)
        yield header
        size += len(header)
        if stat.S_ISREG(entry.mode):
            yield from entry.pieces if entry.whole is None else (entry.whole,)
            padding = -entry.size % _BLOCK
            yield bytes(padding)
            size += entry.size + padding
    size += 2 * _BLOCK
    yield bytes(2 * _BLOCK + -size % _RECORD)


def tar_header(entry: Entry) -> bytes:
    """Return the header blocks of a member."""
    info = tarfile.TarInfo(entry.name.decode(errors="surrogateescape"))
    info.mode, info.mtime = stat.S_IMODE(entry.mode), entry.mtime_s
    if entry.is_directory:
        info.type = tarfile.DIRTYPE
    elif entry.is_link:
        info.type = tarfile.SYMTYPE
        info.linkname = (entry.whole or b"").decode(errors="surrogateescape")
    else:
        info.size = entry.size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
