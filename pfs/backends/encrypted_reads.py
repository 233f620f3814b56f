"""Reading encrypted objects: any part with one call below, decrypting the blocks that it touches."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pfs.backends.base import Buffer, Reads
from pfs.backends.encrypted_blocks import (
    BLOCK,
    STRIDE,
    TRAILER,
    Opened,
    open_blocks,
    open_leniently,
    size_in,
    stored_size,
)
from pfs.backends.encrypted_key import StoreKey
from pfs.backends.encrypted_names import Covers
from pfs.errors import CorruptionError, NotFoundError

Span = tuple[int, int]
"""Numbers of blocks: the first, and the one behind the last."""
_WINDOW: Final = 16
"""Blocks that are read at once into memory that stays in the processor's cache."""


class EncryptedReads:
    """Reads through ``below``, decrypting the blocks that are touched; thread-safe. See base.Reads.

    Beside what that says, reads raise CorruptionError for what was changed, cut off, or put under another name.
    """

    def __init__(self, below: Reads, key: StoreKey, covers: Covers) -> None:
        self._reads, self._key, self._covers = below, key, covers
        self._held = threading.local()

    @property
    def location(self) -> str:
        """Of the backend below."""
        return self._reads.location

    @property
    def parallel(self) -> int:
        """Of the backend below."""
        return self._reads.parallel

    @property
    def below(self) -> Reads:
        """What reads the encrypted bytes."""
        return self._reads

    @property
    def key(self) -> StoreKey:
        """The key of the store: to wrap it once more, or for a process of ours."""
        return self._key

    def over(self, below: Reads) -> EncryptedReads:
        """Return what reads the same objects by another way, as through a cache of what is stored."""
        return EncryptedReads(below, self._key, self._covers)

    def leniently(self) -> EncryptedReads:
        """Return what reads zeros in the place of blocks that are damaged; see base.Lenient."""
        return _LenientReads(self._reads, self._key, self._covers)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the object or a part of it, with one call below; see base.Backend."""
        if offset < 0:
            found = self._end(name, -offset)
            return found if length is None else found[:length]
        if length is not None:
            return self.get_ranges(name, [(offset, length)])[0]
        first = offset // BLOCK
        with self._named(name) as covered:
            data = self._reads.get(covered, offset=first * STRIDE)
        opened = self._opened(name, data, (first, first), is_all=True)
        return opened.cut(offset, len(opened.blocks) * BLOCK)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the ranges in the order given; blocks that several of them touch are read and decrypted once."""
        spans = _spans(ranges)
        if self.parallel == 1 and sum(stop - first for first, stop in spans) > _WINDOW:
            return self._walked(name, ranges, spans)
        at = dict[int, Opened]()
        for opened, (first, stop) in zip(self._read(name, spans), spans, strict=True):
            at.update(dict.fromkeys(range(first, stop), opened))
        return [at[offset // BLOCK].cut(offset, length) for offset, length in ranges]

    def _walked(self, name: str, ranges: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[bytes]:
        """Do the same in windows, one after the other, and keep no block longer than it is needed."""
        found, held, ended = dict[tuple[int, int], bytes](), dict[int, bytes](), False
        left, at = iter(spans), 0
        stop = 0
        for offset, length in sorted(set(ranges)):
            first, last = offset // BLOCK, _last(offset, length)
            if first >= stop:
                at, stop = next(left)
            held = {number: block for number, block in held.items() if number >= first}
            while at <= last and not ended:
                opened = self._window(name, (at, min(at + _WINDOW, stop)))
                held.update(enumerate(opened.blocks, opened.first))
                at, ended = min(at + _WINDOW, stop), opened.size is not None
            blocks = [held[number] for number in range(first, last + 1) if number in held]
            found[offset, length] = Opened(first, blocks, None).cut(offset, length)
        return [found[one] for one in ranges]

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill the buffer; see base.Backend. Where reads are local work, through 1 MiB that is used again."""
        if self.parallel > 1 or len(buffer) <= BLOCK:
            (opened,) = self._read(name, _spans([(offset, len(buffer))]))
            return opened.copy_into(buffer, offset)
        done = 0
        while done < len(buffer):
            first = (offset + done) // BLOCK
            span = first, min(first + _WINDOW, -(-(offset + len(buffer)) // BLOCK))
            opened = self._window(name, span)
            done += opened.copy_into(buffer[done:], offset + done)
            if opened.size is not None:
                break
        return done

    def _window(self, name: str, span: Span) -> Opened:
        held: bytearray | None = getattr(self._held, "window", None)
        if held is None:
            held = self._held.window = bytearray(_WINDOW * STRIDE)
        with self._named(name) as covered, memoryview(held) as view:
            count = self._reads.read_into(covered, span[0] * STRIDE, view[: (span[1] - span[0]) * STRIDE])
            return self._opened(name, view[:count], span)

    def _read(self, name: str, spans: Sequence[Span]) -> list[Opened]:
        wanted = [(first * STRIDE, (stop - first) * STRIDE) for first, stop in spans]
        with self._named(name) as covered:
            found = self._reads.get_ranges(covered, wanted)
        return [self._opened(name, data, span) for span, data in zip(spans, found, strict=True)]

    def _opened(self, name: str, data: Buffer, span: Span, *, is_all: bool = False) -> Opened:
        """Decrypt what came of a span; what ends too early is the end of the object, or it was cut off.

        ``is_all``: it was all from the span's first block on, so the end must be here.
        """
        first, stop = span
        if len(data) <= TRAILER and first:  # nothing or some of the trailer: all of it lies behind the end
            return self._behind(name, first)
        opened = open_blocks(self._key, name, data, first=first)
        if opened.size is None and (is_all or len(opened.blocks) < stop - first):
            raise CorruptionError(name, "it was cut off")
        return opened

    def _behind(self, name: str, first: int) -> Opened:
        """Make sure, by its last block, that the object ends before block ``first``."""
        with self._named(name) as covered:
            size, opened = self._tail(name, self._reads.get(covered, offset=-(STRIDE + TRAILER)), 1)
        if size > first * BLOCK or opened.size != size:
            raise CorruptionError(name, "it was cut off")
        return Opened(first, (), size)

    def _end(self, name: str, count: int) -> bytes:
        """Return the last ``count`` bytes: the stored end is asked for, with a block more, as the last may be short."""
        blocks = 1 + -(-max(count - 1, 0) // BLOCK)
        with self._named(name) as covered:
            data = self._reads.get(covered, offset=-(blocks * STRIDE + TRAILER))
        size, opened = self._tail(name, data, count)
        return opened.cut(max(size - count, 0), count)

    def _tail(self, name: str, data: bytes, count: int) -> tuple[int, Opened]:
        """Decrypt the blocks with the last ``count`` bytes out of stored bytes that end with the object."""
        size = size_in(data, name=name)
        first = max(size - count, 0) // BLOCK
        begin = len(data) - (stored_size(size) - first * STRIDE)
        if begin < 0:
            raise CorruptionError(name, "it was cut off")
        opened = open_blocks(self._key, name, memoryview(data)[begin:], first=first)
        if opened.size != size:
            raise CorruptionError(name, "it was cut off")
        return size, opened

    @contextmanager
    def _named(self, name: str) -> Iterator[str]:
        """Give the stored name; errors name the object."""
        try:
            yield self._covers.cover(name)
        except NotFoundError as error:
            raise NotFoundError(f"no object {name} in {self.location}") from error


class _LenientReads(EncryptedReads):
    """Reads around damaged blocks."""

    def _opened(self, name: str, data: Buffer, span: Span, *, is_all: bool = False) -> Opened:
        return open_leniently(self._key, name, data, first=span[0])


def _spans(ranges: Sequence[tuple[int, int]]) -> list[Span]:
    """Return the blocks that ranges touch (an empty one: where it is), joined where they meet, in order."""
    spans = list[Span]()
    for offset, length in sorted(ranges):
        first, stop = offset // BLOCK, _last(offset, length) + 1
        if spans and first <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], stop)
        else:
            spans.append((first, stop))
    return spans


def _last(offset: int, length: int) -> int:
    """Return the number of the last block of a range."""
    return max(offset, offset + length - 1) // BLOCK
