"""How an archive is packed, told from its first bytes, never from its name; and the plain bytes of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, BinaryIO, Final, Literal, Protocol, TypeAlias, cast

from pfs.errors import StorageError
from pfs.sources.members import guarded

Packing: TypeAlias = Literal["gzip", "bzip2", "xz", "zstd", "zip", "plain"]
HEAD_BYTES: Final = 8
_MAGIC: Final[tuple[tuple[bytes, Packing], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)


class Readable(Protocol):
    """What bytes come from: a file, a pipe, a transfer."""

    def read(self, size: int, /) -> bytes | None:
        """Return some bytes, none at the end."""


class Source:
    """A stream of which the first bytes were looked at; its errors as ours."""

    def __init__(self, stream: Readable, name: str) -> None:
        self._stream, self._name = stream, name
        self.head = b""
        while len(self.head) < HEAD_BYTES and (piece := self._some(HEAD_BYTES - len(self.head))):
            self.head += piece
        self._ahead = self.head

    @property
    def packing(self) -> Packing:
        """How the bytes are packed."""
        if self.head[:3] == b"\x50\x2a\x4d" or (self.head[1:4] == b"\x2a\x4d\x18" and self.head[0] >> 4 == 5):
            return "zstd"  # a skippable frame in front, as pzstd writes them
        return next((packing for magic, packing in _MAGIC if self.head.startswith(magic)), "plain")

    def read(self, size: int = -1) -> bytes:
        """Return some bytes, none at the end; of at most 1 MiB.

        Raises:
            StorageError: the stream cannot be read.
        """
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data if size < 0 or size >= len(data) else self._keep(data, size)
        return self._some(size if 0 <= size <= 1 << 20 else 1 << 20)

    def _keep(self, data: bytes, size: int) -> bytes:
        self._ahead = data[size:]
        return data[:size]

    def _some(self, size: int) -> bytes:
        try:
            return bytes(self._stream.read(size) or b"")
        except OSError as error:
            raise StorageError(f"read {self._name}", error.strerror or str(error)) from error


def unpacked(source: Source, name: str) -> BinaryIO:
    """Return the decompressed bytes of an archive; reading raises InvalidInputError where they are damaged."""
    return guarded(_opener(source), name)


def _opener(source: Source) -> Callable[[int], bytes]:
    file = cast("IO[bytes]", _AsFile(source))  # it reads as one
    match source.packing:
        case "gzip":
            from gzip import GzipFile

            return GzipFile(fileobj=file, mode="rb").read1
        case "bzip2":
            from bz2 import BZ2File

            return BZ2File(file).read1
        case "xz":
            from lzma import LZMAFile

            return LZMAFile(file).read1
        case "zstd":
            from zstandard import ZstdDecompressor

            return ZstdDecompressor().stream_reader(file, read_across_frames=True).read
        case _:
            return source.read


class _AsFile(io.RawIOBase):
    """A source as the file object that decompressors take."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # callers here hand over memoryviews
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
