"""Reading packs through a cache on the local disk, in blocks: where each read is a request, and packs never change.

Only who reads objects by id reads here. Whether a pack is there, is whole, or may be relied on by a writer is asked of
the store itself: the cache may hold packs that were collected.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, Protocol, runtime_checkable

from pfs.backends.base import Backend, Buffer
from pfs.backends.blocks import BlockCache
from pfs.backends.forks import forget_in_children

BLOCK: Final = 512 << 10
"""Bytes of a block: most meta packs are one, and so come with one request; more would read too much for small files."""
_PACKS: Final = "packs/"
_META: Final = "packs/m/"
_TAIL: Final = 256 << 10
"""Bytes read of the end of a meta pack when its footer is wanted: most are then here as a whole."""


@runtime_checkable
class Announcing(Protocol):
    """A backend that says what it wrote, by name, while the bytes are in memory."""

    published: Callable[[str, Buffer], None]


class CachedReads:
    """Reads of packs; thread-safe. Two threads that want a block that is not here ask for it once."""

    def __init__(self, backend: Backend, blocks: BlockCache, *, afresh: bool = False) -> None:
        """``afresh``: ask the backend for the ends of packs, whatever is here, and keep what comes."""
        self._backend, self._blocks, self._afresh = backend, blocks, afresh
        self._lock = threading.Lock()
        self._coming: dict[tuple[str, int], threading.Event] = {}
        if isinstance(backend, Announcing):
            backend.published = self._keep_meta
        forget_in_children(self)

    def forget_parent(self) -> None:
        """Wait for no block that a thread of the parent is reading; see `Forgetful`."""
        self._lock, self._coming = threading.Lock(), {}

    @property
    def location(self) -> str:
        """Of the backend."""
        return self._backend.location

    @property
    def parallel(self) -> int:
        """Of the backend."""
        return self._backend.parallel

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return a pack or a part of it; see base.Reads. The end of a meta pack may bring all of it."""
        if name.startswith(_META) and offset < 0 and length is None:
            return self._end(name, -offset)
        if not name.startswith(_PACKS) or offset < 0 or length is None:
            return self._backend.get(name, offset=offset, length=length)
        return self.get_ranges(name, [(offset, length)])[0]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the ranges; blocks that are not here are read in runs as long as they get."""
        if not name.startswith(_PACKS):
            return self._backend.get_ranges(name, ranges)
        numbers = {number for offset, length in ranges for number in _numbers(offset, length)}
        blocks = self._get_blocks(name, sorted(numbers))
        return [_cut(blocks, offset, length) for offset, length in ranges]

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill the buffer; see base.Reads."""
        found = self.get(name, offset=offset, length=len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def forget(self, name: str) -> bool:
        """Drop what is here of an object, as it is damaged; say whether there was any."""
        return self._blocks.forget(name)

    def keep_only(self, names: Iterable[str]) -> None:
        """Drop what is here of other packs than these, as they were collected."""
        self._blocks.keep_only(names)

    def afresh(self) -> CachedReads:
        """Return the same cache for who must know what the backend has; see `__init__`."""
        return CachedReads(self._backend, self._blocks, afresh=True)

    def _end(self, name: str, size: int) -> bytes:
        first = None if self._afresh else self._blocks.get(name, 0)
        if first is not None and len(first) < BLOCK:
            return first[-size:]
        wanted = max(size, _TAIL)
        tail = self._backend.get(name, offset=-wanted)
        if len(tail) < wanted:
            self._keep(name, tail)
        return tail[-size:]

    def _keep_meta(self, name: str, data: Buffer) -> None:
        if name.startswith(_META):
            self._keep(name, data)

    def _keep(self, name: str, data: Buffer) -> None:
        view = memoryview(data)
        for number in _numbers(0, len(data)):
            self._blocks.put(name, number, view[number * BLOCK : (number + 1) * BLOCK])

    def _get_blocks(self, name: str, numbers: Sequence[int]) -> dict[int, bytes]:
        found = self._here(name, numbers)
        mine, others = self._claim(name, [number for number in numbers if number not in found])
        try:
            found |= self._here(name, mine)  # another thread may have brought them before the claim
            found |= self._read(name, [number for number in mine if number not in found])
        finally:
            self._let_go(name, mine)
        for number, coming in others:
            coming.wait()
            block = self._blocks.get(name, number)
            found |= self._read(name, [number]) if block is None else {number: block}
        return found

    def _here(self, name: str, numbers: Sequence[int]) -> dict[int, bytes]:
        blocks = ((number, self._blocks.get(name, number)) for number in numbers)
        found = {number: block for number, block in blocks if block is not None}
        # A short block is the last one: what would lie behind it is known too, and is nothing.
        end = next((number for number, block in found.items() if len(block) < BLOCK), None)
        return found if end is None else found | {number: b"" for number in numbers if number > end}

    def _claim(self, name: str, numbers: Sequence[int]) -> tuple[list[int], list[tuple[int, threading.Event]]]:
        """Divide blocks into those that this thread is to read, and those that others are reading."""
        mine, others = list[int](), list[tuple[int, threading.Event]]()
        with self._lock:
            for number in numbers:
                coming = self._coming.get((name, number))
                if coming is None:
                    self._coming[name, number] = threading.Event()
                    mine.append(number)
                else:
                    others.append((number, coming))
        return mine, others

    def _let_go(self, name: str, numbers: Sequence[int]) -> None:
        with self._lock:
            for number in numbers:
                self._coming.pop((name, number)).set()

    def _read(self, name: str, numbers: Sequence[int]) -> dict[int, bytes]:
        runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
        if not runs:
            return {}
        wanted = [(run[0] * BLOCK, len(run) * BLOCK) for run in runs]
        found: dict[int, bytes] = {}
        for run, data in zip(runs, self._backend.get_ranges(name, wanted), strict=True):
            for place, number in enumerate(run):
                found[number] = data[place * BLOCK : (place + 1) * BLOCK]
                if found[number]:
                    self._blocks.put(name, number, found[number])
        return found


def _numbers(offset: int, length: int) -> range:
    return range(offset // BLOCK, max(offset // BLOCK + 1, -(-(offset + length) // BLOCK)))


def _cut(blocks: dict[int, bytes], offset: int, length: int) -> bytes:
    numbers = _numbers(offset, length)
    start = offset - numbers[0] * BLOCK
    if len(numbers) == 1:
        return blocks[numbers[0]][start : start + length]
    return b"".join(blocks[number] for number in numbers)[start : start + length]
