"""Chunks that lie in one buffer, as columns: what is done to each is done by one call for all, in C if it is built."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from blake3 import blake3
from msgspec import Struct

from pfs.arrays import I64, U8, U64, np

if TYPE_CHECKING:
    import numpy.typing as npt

    from pfs.ids import ChunkId

_Data: TypeAlias = bytes | bytearray | memoryview
_Rows: TypeAlias = "npt.NDArray[np.bool_] | slice"
_SPAN: Final = struct.Struct("<QQ")
ID_BYTES: Final = 32


class Spans(Struct, frozen=True):
    """Chunks in a buffer that does not change while this is used; columns of equal length."""

    data: memoryview
    offsets: I64
    lengths: I64
    ids: U8
    """32 columns."""

    @property
    def count(self) -> int:
        """Number of chunks."""
        return len(self.lengths)

    @property
    def size(self) -> int:
        """Bytes of all chunks."""
        return int(self.lengths.sum())

    def only(self, which: _Rows) -> Spans:
        """Return some of the chunks, in their order."""
        return Spans(self.data, self.offsets[which], self.lengths[which], self.ids[which])

    def keys(self) -> list[ChunkId]:
        """Return the ids as values."""
        found: list[ChunkId] = np.ascontiguousarray(self.ids).view(f"V{ID_BYTES}").ravel().tolist()
        return found

    def chunks(self) -> list[memoryview]:
        """Return the bytes of each chunk."""
        data = self.data
        return [
            data[start : start + size] for start, size in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True)
        ]


class _Native(Struct, frozen=True):
    """One implementation."""

    hash: Callable[[_Data, bytes], bytes]
    ascii: Callable[[_Data, bytes], bytes]
    join: Callable[[_Data, bytes], bytes]


def hash_spans(data: memoryview, offsets: I64 | U64, lengths: I64 | U64) -> bytes:
    """Return the BLAKE3 of each span of the data, 32 bytes each; several short ones at once fill the vector lanes."""
    return _native().hash(data, packed(offsets, lengths))


def are_ascii(data: memoryview, offsets: I64, lengths: I64) -> npt.NDArray[np.bool_]:
    """Say of each span of the data whether all its bytes are below 128; 10 GB/s, releases the GIL."""
    return np.frombuffer(_native().ascii(data, packed(offsets, lengths)), np.bool_)


def joined(data: memoryview, offsets: I64, lengths: I64) -> bytes:
    """Return the bytes of the spans, one after the other; releases the GIL."""
    return _native().join(data, packed(offsets, lengths))


def packed(offsets: I64 | U64, lengths: I64 | U64) -> bytes:
    """Return spans as (offset, length), 64 bits each, as C and zstd take them."""
    return np.stack((offsets, lengths), axis=1).astype("<u8", copy=False).tobytes()


@cache
def _native() -> _Native:
    try:
        from pfs import _batch as native

        return _Native(native.hash, native.are_ascii, native.join)
    except (ImportError, AttributeError):  # not built, or not since the source changed
        return _Native(_hash, _ascii, _join)


def _each(data: _Data, spans: bytes) -> list[memoryview]:
    view = memoryview(data)
    rows = list(_SPAN.iter_unpack(spans))
    if any(offset + length > len(view) for offset, length in rows):
        raise ValueError("a span lies outside of the data")
    return [view[offset : offset + length] for offset, length in rows]


def _hash(data: _Data, spans: bytes) -> bytes:
    return b"".join(blake3(span).digest() for span in _each(data, spans))


def _ascii(data: _Data, spans: bytes) -> bytes:
    return bytes(bytes(span).isascii() for span in _each(data, spans))


def _join(data: _Data, spans: bytes) -> bytes:
    return b"".join(_each(data, spans))
