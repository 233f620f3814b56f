"""A tree that notes what was asked of it, and whether another tree would answer the same.

A look-up is noted with kind and content of what it found, or that it found nothing; a listing with where it began, how
many rows were taken of it, whether it came to its end, and a digest of those rows. Metadata and times are no part of
it: like a directory's content id, it is about content. What cannot be noted so, or is too much, spoils the notes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal

import msgspec
from blake3 import blake3

from pfs.trees.row import Row
from pfs.trees.tree import Tree

MAX_BYTES: Final = 128 << 10
"""Of the notes about one tree, about as they are encoded; more spoil them."""
_LISTING_BYTES: Final = 64
_CONTEXT: Final = "pfs observed listing v1"


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """A listing behind ``start_after``: ``count`` rows were taken, all of them if it ``ended``."""

    prefix: bytes
    start_after: bytes
    delimited: bool
    count: int
    ended: bool
    digest: bytes


class Observed(msgspec.Struct, frozen=True, array_like=True):
    """What was asked of a tree: each key with its content, empty where nothing was there; and the listings."""

    found: dict[bytes, bytes] = {}
    listings: tuple[Listing, ...] = ()

    def difference(self, tree: Tree) -> str | None:
        """Say in which key or listing a tree differs, None when it would answer everything the same.

        Cost: as asking for all of it again. Raises as reading a tree.
        """
        tree.prefetch(self.found)
        for key, content in self.found.items():
            if _content_of(tree.stat(key, want="file")) != content:
                return f"/{key.decode(errors='replace')}"
        for one in self.listings:
            if not _lists_same(tree, one):
                return f"the listing of {one.prefix.decode(errors='replace') or 'everything'}"
        return None


@dataclass(slots=True)
class _Taking:
    """A listing in the making."""

    prefix: bytes
    start_after: bytes
    delimited: bool
    count: int = 0
    ended: bool = False
    digest: blake3 = field(default_factory=lambda: blake3(derive_key_context=_CONTEXT))

    def take(self, row: Row) -> None:
        self.count += 1
        _add(self.digest, row)


class Notes:
    """What was asked of one tree so far; thread-safe."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._lock = threading.Lock()
        self._left = max_bytes
        self._found: dict[bytes, bytes] = {}
        self._listings: list[_Taking] = []
        self._spoilt = False

    def spoil(self) -> None:
        """Note that something was asked that cannot be noted."""
        with self._lock:
            self._spoilt = True
            self._found.clear()
            self._listings.clear()

    def look_up(self, key: bytes, row: Row | None) -> None:
        """Note what was found under a key."""
        content = _content_of(row)
        with self._lock:
            known = key in self._found or self._spoilt
            if not known:
                self._found[key] = content
        if not known:
            self._take_room(len(key) + len(content) + 4)

    def begin(self, prefix: bytes, start_after: bytes, *, delimited: bool) -> _Taking:
        """Note that a listing begins; it is told the rows that are taken, by one thread."""
        taking = _Taking(prefix, start_after, delimited)
        with self._lock:
            if not self._spoilt:
                self._listings.append(taking)
        self._take_room(len(prefix) + len(start_after) + _LISTING_BYTES)
        return taking

    def _take_room(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self.spoil()

    def observed(self) -> Observed | None:
        """Return the notes, each listing once; None when they are spoilt. No listing may be under way."""
        with self._lock:
            if self._spoilt:
                return None
            listings = dict.fromkeys(
                Listing(one.prefix, one.start_after, one.delimited, one.count, one.ended, one.digest.digest())
                for one in self._listings
            )
            return Observed(dict(self._found), tuple(listings))


class ObservedTree(Tree):
    """The same tree; looking up files, `scan_prefix` and `list_delimited` are noted, other ways to read it spoil."""

    def __init__(self, tree: Tree, notes: Notes) -> None:
        super().__init__(tree.pages, tree.root)
        self._plain, self._notes = tree, notes

    def stat(self, key: bytes, *, want: Literal["file", "dir"] | None = None) -> Row | None:
        """Look up a file or directory."""
        row = self._plain.stat(key, want=want)
        if want == "file":
            self._notes.look_up(key, row)
        else:
            self._notes.spoil()
        return row

    def scan_prefix(
        self,
        prefix: bytes = b"",
        *,
        start_after: bytes = b"",
        limit: int | None = None,
        with_dirs: bool = False,
    ) -> Iterator[Row]:
        """Yield files by prefix."""
        if with_dirs:
            self._notes.spoil()
        rows = self._plain.scan_prefix(prefix, start_after=start_after, with_dirs=with_dirs)
        return islice(_noted(rows, self._notes.begin(prefix, start_after, delimited=False)), limit)

    def list_delimited(
        self,
        prefix: bytes = b"",
        *,
        delimiter: bytes = b"/",
        start_after: bytes = b"",
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Yield files and common prefixes."""
        rows = self._plain.list_delimited(prefix, delimiter=delimiter, start_after=start_after)
        return islice(_noted(rows, self._notes.begin(prefix, start_after, delimited=True)), limit)

    def list(self, dir_key: bytes = b"", *, start_after: bytes = b"", limit: int | None = None) -> Iterator[Row]:
        """Yield what is in a directory."""
        self._notes.spoil()
        return super().list(dir_key, start_after=start_after, limit=limit)

    def list_back(self, dir_key: bytes = b"", *, before: bytes = b"", limit: int | None = None) -> Iterator[Row]:
        """Yield what is in a directory, backwards."""
        self._notes.spoil()
        return super().list_back(dir_key, before=before, limit=limit)

    def walk(self, prefix_dir: bytes = b"", *, start_after: bytes = b"", with_dirs: bool = False) -> Iterator[Row]:
        """Yield what is below a directory."""
        self._notes.spoil()
        return super().walk(prefix_dir, start_after=start_after, with_dirs=with_dirs)


def _noted(rows: Iterator[Row], taking: _Taking) -> Iterator[Row]:
    for row in rows:
        taking.take(row)
        yield row
    taking.ended = True


def _lists_same(tree: Tree, listing: Listing) -> bool:
    ask = tree.list_delimited if listing.delimited else tree.scan_prefix
    rows = ask(listing.prefix, start_after=listing.start_after)
    digest = blake3(derive_key_context=_CONTEXT)
    count = 0
    for row in islice(rows, listing.count):
        count += 1
        _add(digest, row)
    ended = listing.ended and next(rows, None) is None
    return count == listing.count and ended == listing.ended and digest.digest() == listing.digest


def _add(digest: blake3, row: Row) -> None:
    """Add a row: of a common prefix its name, of a file what it is called and what is in it."""
    for part in (row.order_key, b"" if row.is_dir else _content_of(row)):
        digest.update(len(part).to_bytes(4, "big") + part)


def _content_of(row: Row | None) -> bytes:
    return b"" if row is None else bytes((row.kind,)) + row.tid
