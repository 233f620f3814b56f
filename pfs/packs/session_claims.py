"""Which chunks a session has: of those that are put, it tells the ones that neither the store nor itself had before.

Of two threads that put one chunk at once one is told that it is new, and stores it; the other counts on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pfs.arrays import np
from pfs.backends.base import Buffer
from pfs.ids import ChunkId
from pfs.packs.index_columns import NOWHERE
from pfs.packs.pack import RecordType
from pfs.packs.session_meta import MetaSession

if TYPE_CHECKING:
    import numpy.typing as npt

    from pfs.spans import Spans


class ClaimingSession(MetaSession):
    """The ids of the chunks that were put and are in no pack that the index has; thread-safe."""

    def _start(self) -> None:
        super()._start()
        self.new_bytes = 0
        """Plain bytes of the chunks that the store did not have."""
        self.new_chunks = 0
        self._known: set[ChunkId] = set()

    def unsealed(self) -> frozenset[bytes]:
        """Return the chunks and manifest blobs that this session put and that are in no pack that the index has."""
        with self._lock:
            self._check_usable()
            blobs = (id for id, (type, _) in self._meta.items() if type is RecordType.MANIFEST)
            return frozenset((*self._known, *blobs))

    def holds(self, ids: Sequence[bytes]) -> list[bool]:
        """Say of each chunk or manifest blob whether the store or the session has it, as if it were put again."""
        found = self._stored.find(ids)
        with self._lock:
            self._check_usable()
            self.touched.update(place.pack_no for place in found if place is not None)
            return [
                place is not None or id in self._known or id in self._meta for id, place in zip(ids, found, strict=True)
            ]

    def _claim(self, batch: Sequence[tuple[ChunkId, Buffer]]) -> list[tuple[ChunkId, Buffer]]:
        """Return the new ones among chunks, each once."""
        with self._lock:
            self._check_usable()
            unknown = {id: data for id, data in batch if id not in self._known}
            if self._lease.is_due:
                self._write_lease()
        if not unknown:
            return []
        found = self._stored.find(list(unknown))
        with self._lock:
            self.touched.update(place.pack_no for place in found if place is not None)
            missed = (item for item, place in zip(unknown.items(), found, strict=True) if place is None)
            fresh = [(id, data) for id, data in missed if id not in self._known]
            self._known.update(id for id, _ in fresh)
            self.new_chunks += len(fresh)
            self.new_bytes += sum(len(data) for _, data in fresh)
        return fresh

    def _claim_spans(self, chunks: Spans) -> Spans:
        """Do as `_claim` with columns."""
        with self._lock:
            self._check_usable()
            if self._lease.is_due:
                self._write_lease()
        is_new = self.places(chunks.ids).pack_no == NOWHERE
        fresh = chunks if is_new.all() else chunks.only(is_new)
        ids = fresh.keys()
        with self._lock:
            if len(set(ids)) < len(ids) or not self._known.isdisjoint(ids):
                fresh = fresh.only(self._first(ids))
            self._known.update(ids)
            self.new_chunks += fresh.count
            self.new_bytes += fresh.size
        return fresh

    def _first(self, ids: Sequence[ChunkId]) -> npt.NDArray[np.bool_]:
        """Say which of the ids are not known, and not among those before."""
        met, found = set[ChunkId](), list[bool]()
        for id in ids:
            found.append(id not in self._known and id not in met)
            met.add(id)
        return np.array(found, np.bool_)
