"""Writing: what one commit attempt, worker or upload adds to the store, until it is sealed into packs.

Chunks go to memory or data packs as they come (`session_data`); pages, manifests and the commit record wait for the
meta pack of `seal`. What the store or the session has is not written again. Nothing that a session wrote can be lost
silently: when storing a chunk fails, another thread may have counted on it, so from then on the session only abandons,
and every other call raises that first error again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from copy import copy
from typing import Final

from pfs.arrays import U8, np
from pfs.backends.base import Backend, Buffer
from pfs.errors import PfsError, StorageError
from pfs.ids import ChunkId, CommitId, ManifestId, PackId, PageId, TreeId, new_pack_id, page_id, record_id
from pfs.packs.commit_record import CommitRecord, encode_record
from pfs.packs.compress import SMALL_CHUNK, are_compressible, compress, compress_block, is_compressible
from pfs.packs.index import Index
from pfs.packs.index_columns import NOWHERE, Places
from pfs.packs.lease import Lease
from pfs.packs.manifest import Manifest, ManifestBuilder
from pfs.packs.objects import Objects
from pfs.packs.pack import Codec, PackWriter, RecordType, SealedPack
from pfs.packs.session_data import DataPacks, StagedRecord
from pfs.packs.session_memory import SealedFromMemory
from pfs.packs.trust import TrustedIndex
from pfs.parallel import Uploads
from pfs.trees.page import Page

BLOCK_BYTES: Final = 256 << 10
"""Plain bytes of a full block."""
META_BYTES: Final = 32 << 20
"""Pages and manifests beyond this go to a meta pack of their own before `seal`."""


class WriteSession:
    """The writing end of a store; implements tree.PageSink.

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
        self.seen_gen = seen_gen
        """No list of a generation up to this one has a pack that this session, or one adopted, wrote or relies on."""
        self._backend, self._index, self._objects = backend, index, objects
        self._stored = TrustedIndex(backend, index)
        self._clock = clock
        self._background = background
        self._lock, self._leasing = threading.RLock(), threading.Lock()
        self._lease = Lease(backend, clock_ns=clock)
        self._start()

    def _start(self) -> None:
        self.touched: set[int] = set()
        """Numbers of the packs that hold what was not written again."""
        self.new_bytes = 0
        """Plain bytes of the chunks that the store did not have."""
        self.new_chunks = 0
        self.borrowed: set[tuple[str, CommitId] | None] = set()
        """Where content was taken over from without looking it up; see `borrow`."""
        self._in_memory = SealedFromMemory()
        self._packs: list[PackId] = []
        self._data = DataPacks(
            self._backend,
            begun=self._packs.append,
            seal=self._seal_data_pack,
            sealed=self._forget_indexed,
            clock_ns=self._clock,
            background=self._background,
        )
        self._known: set[ChunkId] = set()
        self._pays = False
        """Whether the last large chunk was worth compressing; which one that was is not certain, and need not be."""
        self._block: list[tuple[ChunkId, bytes]] = []
        self._block_bytes = 0
        self._meta: dict[bytes, tuple[RecordType, bytes]] = {}
        self._unwritten: list[bytes] = []
        self._meta_bytes = 0
        self._pages: dict[PageId, Page] = {}
        self._meta_pack = new_pack_id()
        self._unindexed: list[SealedPack] = []
        self._failure: PfsError | None = None

    @property
    def pack_ids(self) -> list[PackId]:
        """Every pack of this session in order, and last the meta pack that `seal` would write now, if it had to."""
        with self._lock:
            pending = self._unwritten or self._block or self._data.has_staged
            return [*self._packs, *([self._meta_pack] if pending else [])]

    # chunks

    def put_chunks(self, batch: Sequence[tuple[ChunkId, Buffer]]) -> int:
        """Store the chunks that neither the store nor the session has; return their plain size in bytes.

        Known ones cost a look-up and nothing else. The buffers may be reused when this returns. Of two threads that put
        one chunk at once, one stores it.
        """
        with self._ending_on_error():
            fresh = self._claim(batch)
            self._data.add_all(self._records(fresh))
        return sum(len(data) for _, data in fresh)

    def _claim(self, batch: Sequence[tuple[ChunkId, Buffer]]) -> list[tuple[ChunkId, Buffer]]:
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

    def places(self, ids: U8) -> Places:
        """Return where the store has each object (32 columns), to rely on it as if it were put again."""
        found = self._stored.find_columns(ids)
        with self._lock:
            self._check_usable()
            self.touched.update(set(np.unique(found.pack_no).tolist()) - {NOWHERE})
        return found

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

    def rely_on(self, packs: Sequence[PackId]) -> bool:
        """Say whether all these packs are there for writers, which touches them: content in them is not put again."""
        numbers = self._stored.trusts(packs)
        with self._lock:
            self._check_usable()
            self.touched.update(numbers or ())
        return numbers is not None

    @property
    def relied_on(self) -> frozenset[PackId]:
        """The packs that hold what was not written again."""
        with self._lock:
            numbers = list(self.touched)
        return frozenset(self._index.pack(number)[0] for number in numbers)

    def borrow(self, source: tuple[str, CommitId] | None) -> None:
        """Note that content was taken over by reference: from a commit (repo, id), None: from anywhere.

        Whoever publishes it makes sure that it stays: at once if the commit is live there, else by looking it up.
        """
        with self._lock:
            self.borrowed.add(source)

    def _records(self, fresh: Sequence[tuple[ChunkId, Buffer]]) -> list[StagedRecord]:
        """Return the records of chunks, and of the blocks that are full by the small ones among them."""
        records: list[StagedRecord] = []
        small: list[tuple[ChunkId, bytes]] = []
        shrinks = iter(are_compressible([data for _, data in fresh if len(data) < SMALL_CHUNK]))
        for id, data in fresh:
            if len(data) >= SMALL_CHUNK:
                records.append(self._large_record(id, data))
            elif next(shrinks):
                small.append((id, bytes(data)))
            else:
                records.append(StagedRecord(((id, len(data)),), data, Codec.RAW))
        return records + [self._block_record(block) for block in self._add_to_block(small)]

    def _large_record(self, id: ChunkId, data: Buffer) -> StagedRecord:
        """Return the record of a chunk that shares no block.

        No sample is taken when the one before was worth compressing: it would be a twelfth of the work, and to learn
        that this one is not worth it costs less than that.
        """
        packed = compress(data) if self._pays or is_compressible(data) else None
        self._pays = packed is not None
        return StagedRecord(((id, len(data)),), *((data, Codec.RAW) if packed is None else (packed, Codec.ZSTD)))

    def _add_to_block(self, chunks: Sequence[tuple[ChunkId, bytes]]) -> list[list[tuple[ChunkId, bytes]]]:
        """Take small chunks in; return the blocks that are full."""
        full = []
        with self._lock:
            for chunk in chunks:
                if self._block_bytes + len(chunk[1]) > BLOCK_BYTES:
                    full.append(self._take_block())
                self._block.append(chunk)
                self._block_bytes += len(chunk[1])
        return [block for block in full if block]

    def _take_block(self) -> list[tuple[ChunkId, bytes]]:
        taken, self._block, self._block_bytes = self._block, [], 0
        return taken

    def _block_record(self, block: Sequence[tuple[ChunkId, bytes]]) -> StagedRecord:
        packed = compress_block([data for _, data in block])
        return StagedRecord([(id, len(data)) for id, data in block], packed, Codec.IN_BLOCK)

    def _seal_data_pack(self, writer: PackWriter) -> SealedPack:
        """Lease a data pack before it is there, since what it holds may be in no memory by the end; then index it.

        Three syncs, each of which may wait for the disk: in the background nobody who adds waits with them.
        """
        self._write_lease()
        sealed = writer.seal()
        self._index.add([sealed])
        return sealed

    def _write_lease(self) -> None:
        with self._leasing:  # of two that write it the later one says more
            relied_on = (self._index.pack(number)[0] for number in sorted(self.touched.copy()))
            self._lease.write([*self._packs, self._meta_pack, *relied_on], seen_gen=self.seen_gen)

    def keep_lease(self) -> None:
        """Write the lease again if it is time: for who writes nothing for long and will; any thread."""
        if self._lease.is_held and self._lease.is_due:
            with self._lock:
                self._write_lease()

    def _forget_indexed(self, pack: SealedPack) -> None:
        with self._lock:
            self._known.difference_update(map(ChunkId, pack.ids()))

    def chunk(self, id: ChunkId, size: int) -> bytes:
        """Return a chunk of the store or of this session; one in an open pack costs the sealing of that pack.

        Raises as `Objects.chunk`.
        """
        with self._lock:
            known = id in self._known
            pending = next((data for other, data in self._block if other == id), None) if known else None
        if pending is not None:
            return pending
        held = self._data.held(id) if known else None
        if held is not None:
            return held
        if known:
            self._index_all()
        return self._objects.chunk(id, size)

    # pages, manifests, records

    def put_page(self, data: bytes) -> PageId:
        """Store an encoded tree page unless it is there already; `get_page` gives it at once."""
        pid = page_id(data)
        self._put_meta(RecordType.PAGE, pid, data)
        return pid

    def get_page(self, pid: PageId) -> Page:
        """Return a decoded page of the store or of this session; see `Objects.get_page` for errors."""
        with self._lock:
            held = self._pages.get(pid)
            if held is None and pid in self._meta:
                held = self._pages[pid] = Page(self._meta[pid][1], where=f"page {pid.hex()[:12]}")
        return self._objects.get_page(pid) if held is None else held

    def prefetch(self, pids: Collection[PageId]) -> None:
        """Read pages of the store together; see `Objects.prefetch`."""
        with self._lock:
            stored = [pid for pid in pids if pid not in self._meta]
        self._objects.prefetch(stored)

    def put_manifest(self, chunks: Iterable[tuple[int, ChunkId]]) -> TreeId:
        """Store the manifest of a file of several chunks, given as (size, id) in order; return the file's tid."""
        builder = ManifestBuilder(self.put_manifest_blob)
        for size, id in chunks:
            builder.add(size, id)
        return TreeId(builder.finish())

    def put_manifest_blob(self, mid: ManifestId, blob: bytes) -> None:
        """Store one blob of a manifest, as `ManifestBuilder` makes them."""
        self._put_meta(RecordType.MANIFEST, mid, blob)

    def manifest(self, tid: TreeId) -> Manifest:
        """Return the chunk list of a file of several chunks of the store or of this session."""
        mid = ManifestId(tid)
        return Manifest(self.manifest_blob(mid), load=self.manifest_blob, where=f"manifest {mid.hex()[:12]}")

    def manifest_blob(self, mid: ManifestId) -> bytes:
        """Return one blob of a manifest, as `put_manifest_blob` stored it."""
        with self._lock:
            found = self._meta.get(mid)
        return self._objects.manifest(TreeId(mid)).blob if found is None else found[1]

    def put_record(self, record: CommitRecord) -> None:
        """Add a commit record to the next meta pack; ``record.packs`` is to be made from `pack_ids`."""
        data = encode_record(record)
        with self._lock:
            self._check_usable()
            self._keep_meta(RecordType.COMMIT, record_id(data), data)

    def _put_meta(self, type: RecordType, id: bytes, data: bytes) -> None:
        with self._lock:
            self._check_usable()
            if id in self._meta:
                return
            place = self._stored.find([id])[0]
            if place is not None:
                self.touched.add(place.pack_no)
                return
            self._keep_meta(type, id, data)
            if self._meta_bytes > META_BYTES:
                self._spill_meta()

    def _keep_meta(self, type: RecordType, id: bytes, data: bytes) -> None:
        self._meta[id] = (type, data)
        self._unwritten.append(id)
        self._meta_bytes += len(data)

    def _spill_meta(self) -> None:
        self._write_lease()
        self._write_meta_pack([])
        self._index_all()
        self._meta.clear()
        self._pages.clear()
        self._meta_bytes = 0

    def _index_all(self) -> None:
        self._data.seal_open()
        with self._lock:
            self._index.add(self._unindexed)
            self._unindexed = []

    def _write_meta_pack(self, staged: Sequence[StagedRecord]) -> None:
        writer = PackWriter(self._backend, "m", pack_id=self._meta_pack, created_ms=self._clock() // 1_000_000)
        try:
            with writer.together():
                for record in staged:
                    record.write(writer)
                for id in self._unwritten:
                    type, data = self._meta[id]
                    writer.add(type, id, data)
            sealed = writer.seal()
        except BaseException as error:
            self._fail(error)
            writer.abandon()
            raise
        self._packs.append(self._meta_pack)
        self._in_memory.note(self._meta_pack, self._unwritten, staged)
        self._unindexed.append(sealed)
        self._meta_pack = new_pack_id()
        self._unwritten = []

    # the end

    def flush_data(self) -> None:
        """End the pending block, so that all chunks are in records."""
        with self._ending_on_error():
            with self._lock:
                self._check_usable()
                block = self._take_block()
            if block:
                self._data.add(self._block_record(block), last=True)

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
        block = [(id, data) for id, data in other._block if id not in held]
        self._packs += other._packs
        self._in_memory.take_over(other._in_memory)
        self.seen_gen = min(self.seen_gen, other.seen_gen)
        self.borrowed |= other.borrowed
        self._known |= other._known
        self.touched |= other.touched
        self.new_bytes += other.new_bytes
        self.new_chunks += other.new_chunks
        for record in records:
            self._data.add(record)
        for full in self._add_to_block(block):
            self._data.add(self._block_record(full))

    def _adopt_meta(self, other: WriteSession) -> None:
        for id in other._unwritten:
            if id not in self._meta:
                self._keep_meta(other._meta[id][0], id, other._meta[id][1])
        if self._meta_bytes > META_BYTES:
            self._spill_meta()

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

    def release(self) -> None:
        """Take the lease back: what was written is live by other means, or not needed; idempotent."""
        self._lease.end()

    def abandon(self) -> None:
        """Drop what is in no sealed pack; idempotent. Sealed packs are left to collection."""
        self._data.abandon()
        self.release()
        with self._lock:
            self._block.clear()
            self._meta.clear()
            self._pages.clear()
            self._fail(None)

    @contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException | None) -> None:
        """End the session; the first cause stays, as the later ones follow from it."""
        with self._lock:
            if self._failure is None:
                ended = StorageError("go on with a commit", "it was dropped, or storing an earlier part of it failed")
                self._failure = error if isinstance(error, PfsError) else ended

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise copy(self._failure) from self._failure
