"""Many small files a call: read into one buffer, listed with their status; in C, else by a twin in Python.

One system call takes a microsecond, and a Python object for it another: for files of some KiB that is most of the
work. The native module is optional; both give the same (tests run over both).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

from blake3 import blake3
from msgspec import Struct

from pfs.arrays import Voids, np

STAMP: Final = [("size", "<u8"), ("mtime", "<i8"), ("ctime", "<i8"), ("inode", "<u8")]
"""What must be equal for a file to be the same; times in ns since 1970."""
READ: Final = [
    ("offset", "<u8"),
    ("length", "<u8"),
    ("stamp", STAMP),
    ("device", "<u8"),
    ("mode", "<u4"),
    ("state", "<u4"),
]
"""A file that was read: where it is in the buffer, its status before, and one of the states below."""
RUN: Final = [("files", "<u8"), ("names", "<u8")]
"""The end of a run in the columns, and in the bytes of the names."""
_RUN_FILES: Final = 512
"""Files of a run, on average."""
WHOLE, CHANGED, ODD = 0, 1, 2
"""Read and unchanged meanwhile; read, and its status changed meanwhile; not read: too large, no file, an error."""
_READ_ROW: Final = struct.Struct("<QQQqqQQII")
_ODD: Final = _READ_ROW.pack(0, 0, 0, 0, 0, 0, 0, 0, ODD)
_STAMP_ROW: Final = struct.Struct("<QqqQ")
Rows = Voids


class Listing(NamedTuple):
    """The regular files of a directory, by name; columns of equal length."""

    names: bytes
    """Each with a NUL behind it."""
    stamps: bytes
    """Rows of STAMP."""
    modes: bytes
    """32 bits each, little-endian."""
    runs: bytes
    """Rows of RUN: where runs of files end, a name alone tells; so a run stays where files come and go elsewhere."""
    others: bytes
    """Names of all else, and of files of other devices, each with a NUL behind it, in no order."""
    plain: bool
    """Whether all names are printable ASCII."""
    device: int


class _Batch(Struct, frozen=True):
    """One implementation."""

    read: Callable[[tuple[bytes, ...], bytearray | memoryview, int], bytes]
    scan: Callable[[bytes], tuple[bytes, bytes, bytes, bytes, bytes, bool, int]]
    digest: Callable[[bytes, bytes], bytes]
    read_in: Callable[[bytes, bytes, bytearray | memoryview, int], bytes]


def read_files(paths: Sequence[bytes], buffer: memoryview, *, limit: int) -> Rows:
    """Read files to the buffer, one after the other, as many as fit it; return a row of READ for each of those.

    Files of more than ``limit`` bytes, which must be less than the buffer, are ODD. Links are followed. Any thread;
    releases the GIL. Costs 5 us a file of some KiB.
    """
    return np.frombuffer(_batch().read(tuple(paths), buffer, limit), READ)


def read_files_in(directory: bytes, names: bytes, buffer: memoryview, *, limit: int) -> Rows:
    """Read files of a directory as `read_files` does; ``names`` have a NUL behind each."""
    return np.frombuffer(_batch().read_in(directory, names, buffer, limit), READ)


def scan(directory: bytes) -> Listing:
    """Return the regular files of a directory with their status, and the names of all else in it; 1 us a file.

    Raises:
        OSError: it cannot be read.
    """
    return Listing(*_batch().scan(directory))


def digest_files(names: bytes, stamps: bytes) -> bytes:
    """Return of each file of a listing the first 8 bytes of BLAKE3 of its name, NUL and stamp; 0.2 us a file."""
    return _batch().digest(names, stamps)


@cache
def _batch() -> _Batch:
    try:
        from pfs import _batch as native

        return _Batch(native.read, native.scan, native.digest, native.read_in)
    except (ImportError, AttributeError):  # not built, or not since the source changed
        return _Batch(_read, _scan, _digest, _read_in)


def _read(paths: Iterable[bytes], buffer: bytearray | memoryview, limit: int) -> bytes:
    return _read_all(paths, buffer, limit, directory=None)


def _read_in(directory: bytes, names: bytes, buffer: bytearray | memoryview, limit: int) -> bytes:
    if names and not names.endswith(b"\0"):
        raise ValueError("a name has no end")
    try:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return b"".join(_ODD for _ in names.split(b"\0")[:-1])
    try:
        return _read_all(names.split(b"\0")[:-1], buffer, limit, directory=opened)
    finally:
        os.close(opened)


def _read_all(paths: Iterable[bytes], buffer: bytearray | memoryview, limit: int, *, directory: int | None) -> bytes:
    rows, used, view = [], 0, memoryview(buffer)
    for path in paths:
        try:
            row = _read_one(path, view[used:], limit, directory=directory)
        except OSError:
            row = (0, bytes(_STAMP_ROW.size), 0, 0, ODD)
        if row is None:
            break
        length, stamp, device, mode, state = row
        rows.append(_READ_ROW.pack(used, length, *_STAMP_ROW.unpack(stamp), device, mode, state))
        used += length
    return b"".join(rows)


def _read_one(
    path: bytes, out: memoryview, limit: int, *, directory: int | None
) -> tuple[int, bytes, int, int, int] | None:
    """Return length, stamp, device, mode and state; None when it does not fit."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=directory)
    try:
        before = os.fstat(fd)
        odd = (0, bytes(_STAMP_ROW.size), 0, 0, ODD)
        if not stat.S_ISREG(before.st_mode) or before.st_size > limit:
            return odd
        if before.st_size >= len(out):
            return None
        # One byte more than the file should have tells that it ends there.
        got = os.readv(fd, [out[: before.st_size + 1]])
        then, after = _stamp(before), _stamp(os.fstat(fd))
    finally:
        os.close(fd)
    if got != before.st_size:
        return odd
    return got, then, before.st_dev, before.st_mode, WHOLE if then == after else CHANGED


def _stamp(status: os.stat_result) -> bytes:
    # Times beyond the year 2262 wrap.
    times = ((time + (1 << 63)) % (1 << 64) - (1 << 63) for time in (status.st_mtime_ns, status.st_ctime_ns))
    return _STAMP_ROW.pack(status.st_size, *times, status.st_ino)


def _scan(directory: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes, bool, int]:
    device = os.stat(directory).st_dev
    found: list[tuple[bytes, os.stat_result]] = []
    others: list[bytes] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                others.append(entry.name)
                continue
            if stat.S_ISREG(status.st_mode) and status.st_dev == device:
                found.append((entry.name, status))
            else:
                others.append(entry.name)
    found.sort(key=lambda item: item[0])
    names = b"".join(name + b"\0" for name, _ in found)
    stamps = b"".join(_stamp(status) for _, status in found)
    modes = struct.pack(f"<{len(found)}I", *(status.st_mode for _, status in found))
    plain = all(0x20 <= byte <= 0x7E for byte in names.replace(b"\0", b""))
    return (
        names,
        stamps,
        modes,
        _runs([name for name, _ in found]),
        b"".join(name + b"\0" for name in others),
        plain,
        device,
    )


def _runs(names: Sequence[bytes]) -> bytes:
    runs, end = [], 0
    for number, name in enumerate(names, 1):
        end += len(name) + 1
        if _ends_run(name) or number == len(names):
            runs.append(struct.pack("<QQ", number, end))
    return b"".join(runs)


def _ends_run(name: bytes) -> bool:
    hash = 2166136261  # FNV-1a
    for byte in name:
        hash = (hash ^ byte) * 16777619 % (1 << 32)
    return (hash ^ hash >> 16) % _RUN_FILES == 0


def _digest(names: bytes, stamps: bytes) -> bytes:
    rows = range(0, len(stamps), _STAMP_ROW.size)
    parts = zip(names.split(b"\0")[:-1], rows, strict=True)
    return b"".join(blake3(name + b"\0" + stamps[at : at + _STAMP_ROW.size]).digest(8) for name, at in parts)
