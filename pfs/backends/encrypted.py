"""An object store of which the place sees sizes and times alone: a backend before another one, in any place.

What is above knows nothing of it. Objects are encrypted whole, in blocks (`encrypted_blocks`), names as far as users
chose them (`encrypted_names`); only ``config.json`` and ``encryption.json`` can be read without the key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from pfs.backends.base import Backend, Buffer, Entry, NewObject, Reads
from pfs.backends.encrypted_blocks import (
    BLOCK,
    STRIDE,
    TRAILER,
    Opened,
    Sealer,
    open_blocks,
    open_leniently,
    plain_size,
    seal,
    size_in,
    stored_size,
)
from pfs.backends.encrypted_key import StoreKey
from pfs.backends.encrypted_names import PACKS, PLAIN, Covers
from pfs.errors import BranchMovedError, CorruptionError, NotFoundError
from pfs.ids import Etag

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
        opened = self._read(name, spans)
        found, at = list[bytes](), dict[int, int]()
        for number, (first, stop) in enumerate(spans):
            at.update(dict.fromkeys(range(first, stop), number))
        for offset, length in ranges:
            found.append(opened[at[offset // BLOCK]].cut(offset, length))
        return found

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


class EncryptedBackend(EncryptedReads):
    """Objects in ``below``, encrypted; see base.Backend for the promises, which are those of ``below``.

    Names may be shorter than there: the cover of an element has up to 2.2 times its characters, 77 at least.
    """

    def __init__(self, below: Backend, key: StoreKey) -> None:
        """Use an open backend, which is closed with this one."""
        super().__init__(below, key, Covers(key))
        self._below = below

    @property
    def below(self) -> Backend:
        """Where the encrypted objects are."""
        return self._below

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the object or a part of it; see EncryptedReads."""
        if name in PLAIN:
            return self._below.get(name, offset=offset, length=length)
        return super().get(name, offset=offset, length=length)

    def create(self, name: str) -> NewObject:
        """Begin a new object that is written in pieces; holds a block of it in memory."""
        if name in PLAIN:
            return self._below.create(name)
        return EncryptedObject(self._below.create(self._covers.cover(name)), Sealer(self._key, name))

    def put_new(self, name: str, data: Buffer) -> bool:
        """Create the object atomically; False when the name exists already."""
        return self._below.put_new(self._covers.cover(name), self._sealed(name, data))

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """Return body and etag, that of what is stored below, or None."""
        found = self._below.read(self._covers.cover(name))
        if found is None or name in PLAIN:
            return found
        opened = self._opened(name, found[0], (0, 0), is_all=True)
        return b"".join(opened.blocks), found[1]

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """Replace a mutable object if its etag is still ``old``; see base.Backend."""
        try:
            return self._below.swap(self._covers.cover(name), old, self._sealed(name, new))
        except BranchMovedError as error:
            raise BranchMovedError(name) from error

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose names start with ``prefix``, in byte order, with true names and sizes.

        Packs are yielded as they come; other names that have the first element in common are sorted in memory.
        """
        listed = self._below.entries(self._covers.cover_above(prefix))
        # One first element ends before the next begins, above as below: it stays as it is, and so does the order.
        for first, group in groupby(listed, key=lambda entry: entry.name.partition("/")[:2]):
            found = filter(None, map(self._true, group))
            for entry in found if first == (PACKS, "/") else sorted(found, key=lambda entry: entry.name):
                if entry.name.startswith(prefix):
                    yield entry

    def delete_many(self, names: Sequence[str]) -> None:
        """Delete objects; names that do not exist are no error."""
        self._below.delete_many([self._covers.cover(name) for name in names])

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        """Move objects to a storage class; return those that are there now; see base.Backend."""
        names_of = {self._covers.cover(name): name for name in names}
        return [names_of[covered] for covered in self._below.set_tier(list(names_of), storage_class)]

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        """Ask for an archived object to be readable; see base.Backend."""
        with self._named(name) as covered:
            return self._below.thaw(covered, days=days, speed=speed)

    def now_ns(self) -> int:
        """Return the time by the clock that dates objects."""
        return self._below.now_ns()

    def close(self) -> None:
        """Close the backend below."""
        self._below.close()

    def _sealed(self, name: str, data: Buffer) -> bytes:
        return bytes(data) if name in PLAIN else seal(self._key, name, data)

    def _true(self, entry: Entry) -> Entry | None:
        name = self._covers.uncover(entry.name)
        if name is None or name in PLAIN:
            return None if name is None else entry
        return replace(entry, name=name, size=plain_size(entry.size))


@runtime_checkable
class _InFolders(Protocol):
    def folder(self, prefix: str) -> Path: ...


class EncryptedFolders(EncryptedBackend):
    """The same where objects are files of a local disk."""

    def folder(self, prefix: str) -> Path:
        """Return the directory with the objects whose names start with ``prefix``, which ends in a slash."""
        assert isinstance(self._below, _InFolders)
        return self._below.folder(self._covers.cover_above(prefix))


def encrypted(below: Backend, key: StoreKey) -> EncryptedBackend:
    """Return the encrypted objects in ``below``."""
    return (EncryptedFolders if isinstance(below, _InFolders) else EncryptedBackend)(below, key)


class EncryptedObject:
    """An object being encrypted as it is written; see base.NewObject."""

    def __init__(self, below: NewObject, sealer: Sealer) -> None:
        self._below, self._sealer = below, sealer
        self._pending = bytearray()

    def write(self, *buffers: Buffer) -> None:
        """Append the buffers in order; a block is written once there is more behind it, as the last one differs."""
        sealed = list[bytes]()
        for buffer in buffers:
            sealed += self._blocks(memoryview(buffer).cast("B"))
        if sealed:
            self._below.write(*sealed)

    def publish(self) -> bool:
        """Write the last block and publish; False when the name was taken first."""
        self._below.write(*self._sealer.block(self._pending, last=True))
        return self._below.publish()

    def abandon(self) -> None:
        """Drop what was written; idempotent."""
        self._pending = bytearray()
        self._below.abandon()

    def _blocks(self, view: memoryview) -> Iterator[bytes]:
        """Encrypt the blocks that are full and not the last; large buffers without copying them first."""
        while len(self._pending) + len(view) > BLOCK:
            if self._pending:
                taken = BLOCK - len(self._pending)
                self._pending += view[:taken]
                yield from self._sealer.block(self._pending)
                self._pending = bytearray()
            else:
                taken = BLOCK
                yield from self._sealer.block(view[:taken])
            view = view[taken:]
        self._pending += view


def _spans(ranges: Sequence[tuple[int, int]]) -> list[Span]:
    """Return the blocks that ranges touch (an empty one: where it is), joined where they meet, in order."""
    spans = list[Span]()
    for offset, length in sorted(ranges):
        first, stop = offset // BLOCK, max(offset // BLOCK + 1, -(-(offset + length) // BLOCK))
        if spans and first <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], stop)
        else:
            spans.append((first, stop))
    return spans
