"""The pages, manifests and commit records of a write session: they wait for a meta pack, and can be read meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from pfs.backends.base import Backend
from pfs.ids import ChunkId, ManifestId, PageId, TreeId, new_pack_id, page_id, record_id
from pfs.packs.commit_record import CommitRecord, encode_record
from pfs.packs.index import Index
from pfs.packs.manifest import Manifest, ManifestBuilder
from pfs.packs.objects import Objects
from pfs.packs.pack import PackWriter, RecordType, SealedPack
from pfs.packs.session_data import StagedRecord
from pfs.packs.session_memory import SealedFromMemory
from pfs.packs.session_state import SessionState
from pfs.trees.page import Page

META_BYTES: Final = 32 << 20
"""Pages and manifests beyond this go to a meta pack of their own before `seal`."""


class MetaSession(SessionState):
    """The part of a session that is no chunks; implements tree.PageSink. Thread-safe. Memory: `META_BYTES`."""

    def __init__(
        self,
        backend: Backend,
        index: Index,
        objects: Objects,
        *,
        clock: Callable[[], int] = time.time_ns,
        seen_gen: int = 0,
    ) -> None:
        self._objects = objects
        super().__init__(backend, index, clock=clock, seen_gen=seen_gen)

    def _start(self) -> None:
        super()._start()
        self._in_memory = SealedFromMemory()
        self._meta: dict[bytes, tuple[RecordType, bytes]] = {}
        self._unwritten: list[bytes] = []
        self._meta_bytes = 0
        self._pages: dict[PageId, Page] = {}
        self._unindexed: list[SealedPack] = []

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
        """Tell the index of every pack that it does not know."""
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

    def _adopt_meta(self, other: MetaSession) -> None:
        for id in other._unwritten:
            if id not in self._meta:
                self._keep_meta(other._meta[id][0], id, other._meta[id][1])
        if self._meta_bytes > META_BYTES:
            self._spill_meta()
