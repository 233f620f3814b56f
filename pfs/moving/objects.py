"""Objects of one store, copied to another: what is not there yet, and nothing that did not arrive as it was made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_128_digest

from pfs.backends.memory import MemoryBackend
from pfs.errors import CorruptionError, NotFoundError
from pfs.packs.pack import parse_pack_name
from pfs.parallel import at_once
from pfs.refs.body import decode_body
from pfs.upkeep.check_packs import is_whole

if TYPE_CHECKING:
    from pfs.backends.base import Backend, Entry
    from pfs.files.progress import Progress

PACKS: Final = "packs/"
FACTS: Final = ("history/", "shred/")
LOG: Final = "log/"
_THREADS: Final = 4
"""Each holds one pack, of 64 MiB at most as writers make them."""
_SUM, _SUMMED = slice(16, 32), slice(32, None)
"""Where objects of `FACTS` have their checksum, and of what it is."""


class Copier:
    """Copies what is written once from ``source`` to ``target``; call `copy` as often as is needed. One thread."""

    def __init__(self, source: Backend, target: Backend, *, progress: Progress | None = None) -> None:
        self._source, self._target, self._progress = source, target, progress
        self._lock = threading.Lock()
        self._threads = 1 if source.parallel == target.parallel == 1 else _THREADS
        self.sent_packs = 0
        self.sent_bytes = 0
        """Of all objects that were copied."""
        self.damaged: list[str] = []
        """Packs that are damaged in the source, and were copied as they are: after all others."""

    def copy(self) -> None:
        """Copy packs, then what refs name beside them. What goes away meanwhile is passed over.

        Each record of a pack is read and its full id computed before the pack is written: read again once if that
        fails, then it is the source's damage, and the copy shall be as good as that.

        Raises:
            CorruptionError: another object is damaged, or one that is there already has another size.
            StorageError: one cannot be read or written.
        """
        if self._progress is not None:
            entries = list(_sizes(self._source))
            self._progress.total(len(entries), sum(entries))
        for prefix in (PACKS, *FACTS, LOG):
            bad = [one for one in at_once(self._threads, self._one, self._missing(prefix)) if one is not None]
            for _ in at_once(self._threads, partial(self._one, as_it_is=True), bad):
                pass

    def _missing(self, prefix: str) -> Iterator[Entry]:
        """Yield what the target lacks; both listings are in order of names, and read as they are needed."""
        there = self._target.entries(prefix)
        other = next(there, None)
        for entry in self._source.entries(prefix):
            while other is not None and other.name < entry.name:
                other = next(there, None)
            if other is None or other.name != entry.name:
                yield entry
                continue
            if other.size != entry.size:
                detail = f"it has {other.size} bytes, in {self._source.location} {entry.size}: delete it and try again"
                raise CorruptionError(f"{self._target.location}/{entry.name}", detail)
            self._advance(entry.size)

    def _one(self, entry: Entry, *, as_it_is: bool = False) -> Entry | None:
        """Copy one object; return it if it is a damaged pack, which is copied ``as_it_is`` alone."""
        for last in (False, True):
            try:
                data = self._source.get(entry.name)
            except NotFoundError:
                return None
            except CorruptionError:  # of an encrypted source, which has nothing of it as it was
                if as_it_is:
                    self._count(entry, 0, damaged=True)
                    return None
                data = b""
            if as_it_is or _is_whole(entry.name, data):
                break
            if last and parse_pack_name(entry.name) is None:
                raise CorruptionError(f"{self._source.location}/{entry.name}", "its checksum does not match")
            if last:
                return entry
        self._target.put_new(entry.name, data)
        self._count(entry, len(data), damaged=as_it_is)
        return None

    def _count(self, entry: Entry, size: int, *, damaged: bool) -> None:
        with self._lock:
            self.damaged += [entry.name] if damaged else []
            self.sent_bytes += size
            self.sent_packs += entry.name.startswith(PACKS)
        self._advance(size)

    def _advance(self, size: int) -> None:
        if self._progress is not None:
            with self._lock:
                self._progress.advance(files=1, size=size)


def _sizes(source: Backend) -> Iterator[int]:
    for prefix in (PACKS, *FACTS, LOG):
        yield from (entry.size for entry in source.entries(prefix))


def _is_whole(name: str, data: bytes) -> bool:
    if name.startswith(FACTS):
        return data[_SUM] == xxh3_128_digest(data[_SUMMED])
    if name.startswith(LOG):
        return _is_body(name, data)
    held = MemoryBackend()
    held.put_new(name, data)
    return is_whole(held, name, size=len(data))


def _is_body(name: str, data: bytes) -> bool:
    try:
        decode_body(data, where=name)
    except CorruptionError:
        return False
    return True
