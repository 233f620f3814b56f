"""Streams of bytes compressed as they come; the same bytes in give the same bytes out."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import zstandard

_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3


def gzipped(pieces: Iterable[bytes | memoryview], *, level: int | None = None) -> Iterator[bytes]:
    """Yield ``pieces`` as a gzip file without a name or time."""
    packer = zlib.compressobj(level or _GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def zstd(pieces: Iterable[bytes | memoryview], *, jobs: int, level: int | None = None) -> Iterator[bytes]:
    """Yield ``pieces`` as one zstd frame, compressed in ``jobs`` threads; their number does not change the bytes."""
    threads = max(jobs, 1)
    packer = zstandard.ZstdCompressor(level=level or _ZSTD_LEVEL, threads=threads, write_checksum=True).compressobj()
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
