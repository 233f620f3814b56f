"""The commits and objects of a store, with its packs read through a cache where they are not on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pfs.backends.base import Backend, Reads
from pfs.config import read_local_config
from pfs.history.records import History
from pfs.packs.index import Index
from pfs.refs.swap import Refs

CACHE: Final = "cache"


def history_of(folder: Path, backend: Backend, index: Index, *, refs: Refs) -> History:
    """Return the history of the store in the ``.pfs`` folder; raises as `read_local_config`."""
    config = read_local_config(folder)
    limit = config.cache_bytes if backend.parallel > 1 else 0
    if limit <= 0:
        return History(backend, index, refs)
    from pfs.backends.blocks import BlockCache
    from pfs.backends.cached import CachedReads
    from pfs.backends.encrypted import EncryptedBackend

    blocks = BlockCache(folder / CACHE, limit_bytes=limit)
    if isinstance(backend, EncryptedBackend):  # what is kept on the disk is what is in the bucket
        stored = CachedReads(backend.below, blocks)
        return History(backend, index, refs, reading=backend.over(stored), on_damaged=stored.forget)
    reading = CachedReads(backend, blocks)
    return History(backend, index, refs, reading=reading, on_damaged=reading.forget)


def forget_unlisted(reading: Reads, listed: Iterable[str]) -> None:
    """Let the cache, if there is one, forget packs that are not in a listing, before an index is made of what it has.

    Older records name packs that were collected since. What refs lead to is elsewhere, and rows that name them last.
    """
    if reading.parallel > 1:
        from pfs.backends.cached import CachedReads

        if isinstance(reading, CachedReads):
            reading.keep_only(listed)


def afresh(reading: Reads) -> Reads:
    """Return what reads the ends of packs from the store itself, and keeps them in the cache, if there is one."""
    if reading.parallel == 1:
        return reading
    from pfs.backends.cached import CachedReads
    from pfs.backends.encrypted_reads import EncryptedReads

    if isinstance(reading, EncryptedReads):
        return reading.over(afresh(reading.below))
    return reading.afresh() if isinstance(reading, CachedReads) else reading
