"""The protocol of an object store: a flat, durable map from names to bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

from pfs.errors import InvalidInputError
from pfs.ids import Etag

Buffer = bytes | bytearray | memoryview

_NAME: Final = re.compile(r"[A-Za-z0-9_.+=-]+(/[A-Za-z0-9_.+=-]+)*")
_MAX_NAME: Final = 1024


def check_object_name(name: str) -> str:
    """Return an object name that keeps the rules of docs/format/layout.md; raises InvalidInputError."""
    elements = name.split("/")
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME or "." in elements or ".." in elements:
        raise InvalidInputError(f"{name!r} cannot name an object")
    return name


class Entry(Struct, frozen=True):
    """One object in a listing: size in bytes, time of writing in ns since the epoch by the store's own clock.

    ``etag``: where a listing says it without reading the object, as `Backend.read` does; else empty.
    ``storage_class``: in which class it is where there are several, empty for the standard one.
    """

    name: str
    size: int
    modified_ns: int
    etag: str = ""
    storage_class: str = ""


class NewObject(Protocol):
    """An object being written: invisible until `publish`, gone without a trace after `abandon`.

    Used by one thread at a time. A process that dies leaves at most a temporary that no reader sees.
    """

    def write(self, *buffers: Buffer) -> None:
        """Append the buffers in order; they may be reused once this returns.

        Raises:
            StorageFullError, StorageError: nothing is visible; `abandon` it.
        """
        ...

    def publish(self) -> bool:
        """Make the object durable and visible under its name, all at once.

        Returns False, changing nothing, when the name was taken first by another.
        """
        ...

    def abandon(self) -> None:
        """Drop what was written; idempotent, also after `publish` (then it does nothing)."""
        ...


class Reads(Protocol):
    """What reads objects that never change: a `Backend`, or a cache before one (`pfs.backends.cached`)."""

    @property
    def location(self) -> str:
        """Where it is, for messages: a path or URL."""
        ...

    @property
    def parallel(self) -> int:
        """How many calls at once pay: 1 where each is local work, more where calls wait for a network."""
        ...

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the object or a part of it; a range that ends beyond the object is cut short.

        A negative ``offset`` counts from the end (a suffix read; the whole object when it is shorter).

        Raises:
            NotFoundError: no such object.
            StorageError: it cannot be read.
        """
        ...

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the (offset, length) ranges in the order given; may merge near ones into one read."""
        ...

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``offset`` on; return how many bytes there were, fewer only at the end of the object.

        For who reads much and keeps nothing: no new memory is touched. Raises as `get`.
        """
        ...


@runtime_checkable
class Lenient(Protocol):
    """What refuses to read damaged places by itself, but can be asked to read around them."""

    def leniently(self) -> Reads:
        """Return what gives zeros for damaged places, for who finds out what is whole."""
        ...


class Backend(Reads, Protocol):
    """A flat, durable store of named byte strings.

    Names are ASCII, at most 1,024 bytes, ``/``-separated. Mutable, and only by `swap`: ``refs/``, ``txn/``,
    ``gc/state.json``, ``pps/*.json``, ``secrets/``, ``idx/manifest.json``, ``leases/``, ``encryption.json``; all else
    is written once and never changed. Methods may be called from several threads and, where the place is shared,
    several processes and machines at once. A method that returns has made its effect durable: it survives power loss.
    Read-after-write and list-after-write hold.
    """

    def create(self, name: str) -> NewObject:
        """Begin a new object that is written in pieces, with memory bounded by the pieces (local) or a part (S3)."""
        ...

    def put_new(self, name: str, data: Buffer) -> bool:
        """Create the object atomically; False, changing nothing, when the name exists already."""
        ...

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """Return body and etag of a mutable object, or None when there is none."""
        ...

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """Replace a mutable object if its etag is still ``old`` (None: if it does not exist); return the new etag.

        Raises:
            BranchMovedError: it is another by now; nothing was changed.
            StorageError: the outcome is unknown (a lost reply may hide a success): read again and look.
        """
        ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose names start with ``prefix``, in byte order of names."""
        ...

    def delete_many(self, names: Sequence[str]) -> None:
        """Delete objects; names that do not exist are no error."""
        ...

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        """Move objects to a storage class, ``STANDARD`` or another that the place has; return those that are there now.

        The bytes and names stay; the time of writing becomes that of the move. Objects that do not exist are left out.

        Raises:
            InvalidInputError: the place has one class only, as a disk.
            ArchivedError: one is in an archive and was not restored.
            StorageError: some may have been moved.
        """
        ...

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        """Ask for an archived object to be readable for ``days``; say whether it is readable now.

        ``speed``: ``Expedited``, ``Standard`` or ``Bulk``, where the place knows them. To be called again until it is
        True, which costs one short request; always True for what is in no archive.

        Raises:
            NotFoundError: no such object. StorageError: it cannot be asked for.
        """
        ...

    def now_ns(self) -> int:
        """Return the time by the clock that dates objects, in ns since the epoch; some seconds off at most.

        Whatever this machine's clock says. Costs no request once anything was asked for.
        """
        ...

    def close(self) -> None:
        """Release handles; the object is unusable afterwards. Idempotent."""
        ...
