"""Writing: what one commit attempt, worker or upload adds to the store, until it is sealed into packs.

Chunks go to memory or data packs as they come (`chunk_records`, `session_data`); pages, manifests and the commit record
wait for the meta pack of `seal` (`session_meta`). What the store or the session has is not written again. Nothing that
a session wrote can be lost silently: when storing a chunk fails, another thread may have counted on it, so from then on
the session only abandons, and every other call raises that first error again (`session_state`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from pfs.backends.base import Backend, Buffer
from pfs.ids import ChunkId, PackId
from pfs.packs.chunk_records import ChunkRecords
from pfs.packs.index import Index
from pfs.packs.objects import Objects
from pfs.packs.pack import PackWriter, RecordType, SealedPack
from pfs.packs.session_claims import ClaimingSession
from pfs.packs.session_data import DataPacks
from pfs.parallel import Uploads

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pfs.spans import Spans


class WriteSession(ClaimingSession):
    """The writing end of a store.

    Thread-safe, but whoever seals, adopts, abandons or reads back waits until the puts it counts on have returned.
    Memory: at most 4 MiB of new data, a block, 32 MiB of pages and manifests, and the ids of the packs in the making.
    Every putting method raises StorageError when the backend fails (StorageFullError when it is full).
    """

    keeps = True
    """Whether what is put is stored in the end; False in a session for trying things out."""

    def __init__(
        self,
        backend: Backend,
        index: Index,
        objects: Objects,
        *,
        clock: Callable[[], int] = time.time_ns,
        seen_gen: int = 0,
        background: Executor | Uploads | None = None,
    ) -> None:
        """``seen_gen``: the generation of collection that the index is level with (`pfs.refs.level`).

        ``background`` syncs full data packs while the next is written; its threads wait for nothing of the session.
        """
        self._background = background
        super().__init__(backend, index, objects, clock=clock, seen_gen=seen_gen)

    def _start(self) -> None:
        super()._start()
        self._data = DataPacks(
            self._backend,
            begun=self._packs.append,
            seal=self._seal_data_pack,
            sealed=self._forget_indexed,
            clock_ns=self._clock,
            background=self._background,
        )
        self._records = ChunkRecords()

    @property
    def pack_ids(self) -> list[PackId]:
        """Every pack of this session in order, and last the meta pack that `seal` would write now, if it had to."""
        with self._lock:
            pending = self._unwritten or self._records.has_block or self._data.has_staged
            return [*self._packs, *([self._meta_pack] if pending else [])]

    def put_chunks(self, batch: Sequence[tuple[ChunkId, Buffer]]) -> int:
        """Store the chunks that neither the store nor the session has; return their plain size in bytes.

        Known ones cost a look-up and nothing else. The buffers may be reused when this returns. Of two threads that put
        one chunk at once, one stores it.
        """
        with self._ending_on_error():
            fresh = self._claim(batch)
            self._data.add_all(self._records.of(fresh))
        return sum(len(data) for _, data in fresh)

    def put_spans(self, chunks: Spans) -> int:
        """Do with many chunks below 64 KiB what `put_chunks` does, without values of Python for each."""
        from pfs.packs.span_records import records_of  # for who stores directories alone

        with self._ending_on_error():
            fresh = self._claim_spans(chunks)
            if fresh.count:
                raws, blocks = records_of(fresh, self._records)
                self._data.add_raws(raws)
                self._data.add_all(blocks)
        return fresh.size

    def _seal_data_pack(self, writer: PackWriter) -> SealedPack:
        """Lease a data pack before it is there, since what it holds may be in no memory by the end; then index it.

        Three syncs, each of which may wait for the disk: in the background nobody who adds waits with them.
        """
        self._write_lease()
        sealed = writer.seal()
        self._index.add([sealed])
        return sealed

    def _forget_indexed(self, pack: SealedPack) -> None:
        with self._lock:
            self._known.difference_update(pack.ids())

    def chunk(self, id: ChunkId, size: int) -> bytes:
        """Return a chunk of the store or of this session; one in an open pack costs the sealing of that pack.

        Raises as `Objects.chunk`.
        """
        with self._lock:
            known = id in self._known
        held = (self._records.waiting(id) or self._data.held(id)) if known else None
        if held is not None:
            return held
        if known:
            self._index_all()
        return self._objects.chunk(id, size)

    def _index_all(self) -> None:
        self._data.seal_open()
        super()._index_all()

    def flush_data(self) -> None:
        """End the pending block, so that all chunks are in records."""
        with self._ending_on_error():
            self._check_usable()
            block = self._records.end_block()
            if block is not None:
                self._data.add(block, last=True)

    def seal_data(self) -> None:
        """Make the data packs durable and index them, so that `adopt` and `seal` have little left to do."""
        with self._ending_on_error():
            self._check_usable()
            self._index_all()

    def store_again(self, condemned: Collection[PackId]) -> None:
        """Take what is in memory and lies in condemned packs of this session for not stored yet.

        What such a pack held beyond that, `holds` denies from now on, once the index knows that it is condemned.
        """
        with self._ending_on_error(), self._lock:
            self._check_usable()
            self._packs[:] = [pack for pack in self._packs if pack not in condemned]
            self._unindexed = [pack for pack in self._unindexed if pack.pack_id not in condemned]
            ids, records = self._in_memory.take(condemned)
            # Of the records of commits the one that counts is made anew.
            held = {id for id in ids if id in self._meta and self._meta[id][0] is not RecordType.COMMIT}
            self._unwritten += held.difference(self._unwritten)
            for record in records:
                self._data.add(record, last=True)

    def adopt(self, other: WriteSession) -> None:
        """Take over all that ``other`` wrote and saw; it is empty afterwards, and usable.

        Costs the sealing of the data pack that ``other`` has open, if any; what it has in memory moves without I/O.
        When it fails, both sessions are only good for `abandon`.
        """
        other._check_usable()
        with self._ending_on_error(), other._ending_on_error(), self._lock:
            self._check_usable()
            other._index_all()
            self._adopt_data(other)
            self._adopt_meta(other)
            if self._packs:
                self._write_lease()
        other.release()
        other._start()

    def _adopt_data(self, other: WriteSession) -> None:
        # Both may hold the same chunk: sessions do not see each other's before they are in a pack.
        held = self._known
        records = [one for one in other._data.take_staged() if not all(id in held for id, _ in one.members)]
        block = [(id, data) for id, data in other._records.take_block() if id not in held]
        self._packs += other._packs
        self._in_memory.take_over(other._in_memory)
        self.seen_gen = min(self.seen_gen, other.seen_gen)
        self.borrowed |= other.borrowed
        self._known |= other._known
        self.touched |= other.touched
        self.new_bytes += other.new_bytes
        self.new_chunks += other.new_chunks
        for record in (*records, *self._records.of_small(block)):
            self._data.add(record)

    def seal(self) -> list[SealedPack]:
        """Make all durable: the open data pack, then a meta pack of the rest, which has up to 4 MiB of data too.

        Returns the packs that are not in the index yet, for the caller to add when the commit is in the refs; those of
        an earlier `seal` are among them. The session goes on: what was sealed stays known and readable.
        """
        self.flush_data()
        with self._ending_on_error():
            self._data.seal_open()
            with self._lock:
                staged = self._data.take_staged()
                if staged or self._unwritten:
                    self._write_meta_pack(staged)
                return list(self._unindexed)

    def abandon(self) -> None:
        """Drop what is in no sealed pack; idempotent. Sealed packs are left to collection."""
        self._data.abandon()
        self.release()
        with self._lock:
            self._records.take_block()
            self._meta.clear()
            self._pages.clear()
            self._fail(None)
