"""An object store of which the place sees sizes and times alone: a backend before another one, in any place.

What is above knows nothing of it. Objects are encrypted whole, in blocks (`encrypted_blocks`), names as far as users
chose them (`encrypted_names`); only ``config.json`` and ``encryption.json`` can be read without the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec.structs import replace

from pfs.backends.base import Backend, Buffer, Entry, NewObject
from pfs.backends.encrypted_blocks import BLOCK, Sealer, plain_size, seal
from pfs.backends.encrypted_key import StoreKey
from pfs.backends.encrypted_names import PACKS, PLAIN, Covers
from pfs.backends.encrypted_reads import EncryptedReads
from pfs.errors import BranchMovedError
from pfs.ids import Etag


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
