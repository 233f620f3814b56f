"""Whether zstd pays for a chunk, and the (de)compressors of each thread.

The gate compresses a sample unless it is ASCII, because statistics of byte values do not tell what does not shrink:
floating point columns have high entropy per byte and still shrink by a third, photos do not. Measured on one core:
without a gate zstd costs more than chunking, hashing and writing together.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import zstandard

from pfs.arrays import np
from pfs.backends.base import Buffer

if TYPE_CHECKING:
    import numpy.typing as npt

    from pfs.spans import Spans

SMALL_CHUNK: Final = 64 * 1024
"""Chunks below this many bytes share a block when they compress."""
_SAMPLE_LEVEL: Final = 1
_WORTH: Final = 0.90
"""A chunk is kept compressed when it shrinks to at most this part of its size."""
_SAMPLE: Final = 8 * 1024
_SMALL_SAMPLE: Final = 2 * 1024
_MANY: Final = 32
"""Samples from which on one call for all is worth what it costs to begin."""
_TINY: Final = 128
"""In a block such chunks save their 56-byte header, whatever they hold, so they are not sampled."""


def _parameters(*, strategy: int, chain_log: int, min_match: int) -> zstandard.ZstdCompressionParameters:
    """Return the parameters of zstd for inputs of some hundred KiB (measured: docs/design/ingest.md).

    A window of 2**18 lets zstd (1.5.6 and later) search without branches that are hard to foretell: 6 to 10 % faster,
    and what chunks of 300 KiB lose by it is not to be seen. A table of 2**16 finds 1 % more, for 3 % of the time.
    """
    return zstandard.ZstdCompressionParameters(
        strategy=strategy,
        window_log=18,
        hash_log=16,
        chain_log=chain_log,
        search_log=1,
        min_match=min_match,
        target_length=0,
        write_content_size=True,
    )


def _for_chunks() -> zstandard.ZstdCompressor:
    """Two tables, of long and of short matches: 4 % less is stored of CSV and source code for 8 to 15 % more time."""
    found = _parameters(strategy=zstandard.STRATEGY_DFAST, chain_log=14, min_match=6)
    return zstandard.ZstdCompressor(compression_params=found)


def _for_blocks() -> zstandard.ZstdCompressor:
    """One table, as of level 1: a put of small files has other things to wait for."""
    found = _parameters(strategy=zstandard.STRATEGY_FAST, chain_log=6, min_match=7)
    return zstandard.ZstdCompressor(compression_params=found)


class _Tools(threading.local):
    """zstd contexts are not thread-safe and cost 100 us to make: one set a thread."""

    def __init__(self) -> None:
        self.sampler = zstandard.ZstdCompressor(level=_SAMPLE_LEVEL)
        self.chunks, self.blocks = _for_chunks(), _for_blocks()
        self.decompressor = zstandard.ZstdDecompressor()


_tools = _Tools()


def is_compressible(data: Buffer) -> bool:
    """Say whether a sample of ``data`` (three times 8 KiB; 2 KiB of a small chunk) shrinks to 90 % or less.

    ASCII does, whatever it says: seven bits a byte. Else 2 us for random bytes of a small chunk, 10 us for what
    shrinks; 4 and 60 us for large chunks. Any thread.
    """
    if len(data) < _TINY:
        return True
    sample = _sample(data)
    return sample.isascii() or len(_tools.sampler.compress(sample)) <= len(sample) * _WORTH


def are_compressible(batch: Sequence[Buffer]) -> list[bool]:
    """Say of each what `is_compressible` says; zstd is asked about many in one call, without the interpreter."""
    if len(batch) < _MANY:
        return [is_compressible(data) for data in batch]
    samples = [_sample(data) for data in batch]
    known = [len(sample) < _TINY or sample.isascii() for sample in samples]
    asked: list[bytes | bytearray | memoryview] = [
        sample for sample, is_known in zip(samples, known, strict=True) if not is_known
    ]
    packed = _tools.sampler.multi_compress_to_buffer(asked) if asked else ()
    shrinks = (len(packed[at]) <= len(sample) * _WORTH for at, sample in enumerate(asked))
    return [is_known or next(shrinks) for is_known in known]


def which_compress(chunks: Spans) -> npt.NDArray[np.bool_]:
    """Say of each chunk below `SMALL_CHUNK` what `is_compressible` says."""
    from pfs.spans import are_ascii, packed  # for who stores directories alone

    lengths = chunks.lengths
    starts = chunks.offsets + np.maximum((lengths - _SMALL_SAMPLE) // 2, 0)
    sizes = np.minimum(lengths, _SMALL_SAMPLE)
    shrinks = (lengths < _TINY) | are_ascii(chunks.data, starts, sizes)
    asked = np.flatnonzero(~shrinks)
    if len(asked):
        samples = zstandard.BufferWithSegments(chunks.data, packed(starts[asked], sizes[asked]))
        made = _tools.sampler.multi_compress_to_buffer(samples)
        shrinks[asked] = np.array([len(made[at]) for at in range(len(asked))]) <= sizes[asked] * _WORTH
    return shrinks


def compress(data: Buffer) -> bytes | None:
    """Return ``data`` as one zstd frame, or None when that saves less than a tenth. Any thread; releases the GIL."""
    packed = _tools.chunks.compress(data)
    return packed if len(packed) <= len(data) * _WORTH else None


def compress_block(plain: bytes) -> bytes:
    """Return the joined chunks of a block as one zstd frame, whatever it saves: a block has only this one form."""
    return _tools.blocks.compress(plain)


def decompress(packed: Buffer, size: int) -> bytes:
    """Return the ``size`` bytes of a frame that this process made itself (of others, see `pack.parse_record`)."""
    return _tools.decompressor.decompress(packed, max_output_size=size)


def _sample(data: Buffer) -> bytes:
    size = len(data)
    if size < SMALL_CHUNK:
        start = max((size - _SMALL_SAMPLE) // 2, 0)
        return bytes(memoryview(data)[start : start + _SMALL_SAMPLE])
    view, starts = memoryview(data), (0, (size - _SAMPLE) // 2, size - _SAMPLE)
    return b"".join(view[start : start + _SAMPLE] for start in starts)
