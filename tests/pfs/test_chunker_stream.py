"""Streams of any length and any read size give the cuts of the whole."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.chunker import ChunkerParams, Splitter, cut_points
from pfs.errors import InvalidParamsError, StorageError

PARAMS = ChunkerParams(65536)
SMALLEST = 2 * PARAMS.max_bytes
NOISE = random.Random(7).randbytes(3 << 20)


def chunks_of(data: bytes, params: ChunkerParams = PARAMS) -> list[bytes]:
    cuts = cut_points(data, params)
    return [data[start:stop] for start, stop in zip([0, *cuts], cuts, strict=False)]


class ShortReads(io.BytesIO):
    """Hands out at most as many bytes at a time as ``sizes`` says, over and over."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self.sizes, self.calls = sizes, 0

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # narrower, as ours is
        self.calls += 1
        return super().readinto(buffer[: self.sizes[self.calls % len(self.sizes)]])


class FailsAfter(io.BytesIO):
    """Fails, or would block, on the given read."""

    def __init__(self, data: bytes, *, reads: int, error: OSError | None) -> None:
        super().__init__(data)
        self.reads, self.error = reads, error

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]  # may be non-blocking
        self.reads -= 1
        if self.reads >= 0:
            return super().readinto(buffer[:100_000])
        if self.error is None:
            return None
        raise self.error


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(0, 3 << 20),
    sizes=st.lists(st.integers(1000, 2 << 20), min_size=1, max_size=4),
    buffer_bytes=st.integers(SMALLEST, 3 * SMALLEST),
    buffers=st.integers(1, 3),
)
def test_splits_as_the_whole(size: int, sizes: list[int], buffer_bytes: int, buffers: int) -> None:
    splitter = Splitter(PARAMS, buffer_bytes=buffer_bytes, buffers=buffers)
    for data in (NOISE[:size], NOISE[size:], bytes(size // 2)):
        assert [bytes(chunk) for chunk in splitter.chunks(ShortReads(data, sizes))] == chunks_of(data)


@pytest.mark.parametrize("size", [0, 1, SMALLEST - 1, SMALLEST, SMALLEST + 1, 2 * SMALLEST])
def test_splits_streams_about_as_long_as_the_buffer(size: int) -> None:
    for data in (NOISE[:size], bytes(size)):
        splitter = Splitter(PARAMS, buffer_bytes=SMALLEST)
        assert [bytes(chunk) for chunk in splitter.chunks(io.BytesIO(data))] == chunks_of(data)


def test_default_buffer_holds_several_chunks_of_any_params() -> None:
    params = ChunkerParams(4 << 20)
    data = bytes(2 * params.max_bytes) + NOISE
    assert [bytes(chunk) for chunk in Splitter(params).chunks(io.BytesIO(data))] == chunks_of(data, params)


def test_an_empty_stream_has_no_batch() -> None:
    assert list(Splitter(PARAMS).batches(io.BytesIO())) == []


def test_views_live_until_as_many_batches_as_there_are_buffers() -> None:
    splitter = Splitter(PARAMS, buffer_bytes=SMALLEST, buffers=2)
    batches = splitter.batches(io.BytesIO(NOISE))
    expected = iter(chunks_of(NOISE))
    previous: list[memoryview] = []
    wanted: list[bytes] = []
    for batch in batches:
        assert [bytes(chunk) for chunk in previous] == wanted
        previous, wanted = batch, [next(expected) for _ in batch]
    assert [bytes(chunk) for chunk in previous] == wanted
    assert next(expected, None) is None


def test_a_buffer_is_filled_before_it_is_cut() -> None:
    stream = ShortReads(NOISE, [4096])
    batches = list(Splitter(PARAMS, buffer_bytes=4 * PARAMS.max_bytes).batches(stream))
    assert len(batches) <= len(NOISE) // (3 * PARAMS.max_bytes) + 2


@pytest.mark.parametrize("reads", [0, 1, 5, 20])
def test_what_the_stream_raises_passes_through_after_whole_chunks(reads: int) -> None:
    splitter = Splitter(PARAMS, buffer_bytes=SMALLEST)
    got: list[bytes] = []
    chunks = splitter.chunks(FailsAfter(NOISE, reads=reads, error=OSError(5, "unreadable sector")))
    with pytest.raises(OSError, match="unreadable sector"):
        collect(chunks, got)
    assert got == chunks_of(NOISE)[: len(got)]
    assert [bytes(chunk) for chunk in splitter.chunks(io.BytesIO(NOISE))] == chunks_of(NOISE)


def collect(chunks: Iterator[memoryview], into: list[bytes]) -> None:
    for chunk in chunks:
        into.append(bytes(chunk))  # noqa: PERF401  # what came before the error must be kept


def test_a_stream_that_would_block_is_refused() -> None:
    stream = FailsAfter(NOISE, reads=2, error=None)
    with pytest.raises(StorageError, match="cannot read the stream: it is not in blocking mode"):
        list(Splitter(PARAMS).chunks(stream))


@pytest.mark.parametrize(("buffer_bytes", "buffers"), [(SMALLEST - 1, 1), (0, 1), (SMALLEST, 0)])
def test_buffers_that_cannot_work_are_refused(buffer_bytes: int, buffers: int) -> None:
    with pytest.raises(InvalidParamsError, match="cannot hold two chunks of 262144"):
        Splitter(PARAMS, buffer_bytes=buffer_bytes, buffers=buffers)
