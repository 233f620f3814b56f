"""Reading by id: from an id over the index to checked bytes.

The index may lag (then `on_missing` lets it catch up) and may be wrong (then the record at the place has another id, or
none). What is returned always has the id and size that were asked for, as far as the checksum tells; pages, manifests
and records are verified by their full id, chunks where the caller wants it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from pfs.backends.base import Reads
from pfs.errors import (
    ArchivedError,
    CorruptionError,
    MissingObjectError,
    NotFoundError,
    PfsError,
    StorageError,
    ThawingError,
)
from pfs.ids import EMPTY_CHUNK, ChunkId, CommitId, ManifestId, PackId, PageId, TreeId
from pfs.lru import Lru
from pfs.packs.commit_record import CommitRecord, decode_record
from pfs.packs.index import Index, Location
from pfs.packs.manifest import Manifest
from pfs.packs.pack import ENTRY_ROW, Record, RecordType, pack_name, read_footer, scan_records
from pfs.packs.read import PackReader, Wanted
from pfs.parallel import at_once
from pfs.trees.page import Page

_PAGE_BYTES: Final = 64 << 20
_PAGE_OVERHEAD: Final = 1024
_CHUNK_OVERHEAD: Final = 256
_BLOCK_BYTES: Final = 4 << 20
"""Sixteen decompressed blocks: a reader in pack order needs one, readers of several files one each."""
_MANIFEST_BYTES: Final = 8 << 20
_CHUNK_BYTES: Final = 16 << 20
_FEW_BYTES: Final = 1 << 20
"""Chunks asked for together are kept up to this size: small files and small ranges, and not what is streamed."""

_NETWORK_THREADS: Final = 8
_ROUNDS: Final = 16
_NONE: Final[Mapping[bytes, Location]] = MappingProxyType({})
if TYPE_CHECKING:
    from pfs.packs.read_into import Room

T = TypeVar("T")
"""Packs that may be collected away one after the other under a reader before it gives up."""


class _GoneError(Exception):
    """The pack of an object is not there: ``(pack, error)``, the error as callers see it."""

    def __init__(self, pack: PackId, error: MissingObjectError) -> None:
        super().__init__(pack, error)
        self.pack, self.error = pack, error


class _Request(Struct, frozen=True):
    """Objects of one kind; ``sizes`` are those of chunks in bytes, None where the caller does not know it."""

    kind: RecordType
    sizes: dict[bytes, int | None]
    verify: bool


class Objects:
    """Chunks, pages, manifests and commit records by id; thread-safe; implements tree.PageSource.

    Every method raises MissingObjectError when the object is nowhere, CorruptionError when its bytes are damaged, and
    StorageError when the backend fails.
    """

    def __init__(
        self,
        backend: Reads,
        index: Index,
        *,
        on_missing: Callable[[], bool],
        on_gone: Callable[[PackId], bool] = lambda _: False,
        on_damaged: Callable[[str], bool] = lambda _: False,
        records: Callable[[PackId], Sequence[bytes] | None] = lambda _: None,
        on_archived: Callable[[str], bool] | None = None,
        page_bytes: int = _PAGE_BYTES,
    ) -> None:
        """Read from ``backend``; ``on_missing`` catches the index up and says whether it learned something.

        ``on_gone`` is told of a pack that is not there, and says whether it was collected: its objects are elsewhere.
        ``on_damaged`` is told of one whose bytes are wrong, and says whether reading it again may give others.
        ``records`` gives the encoded commit records of some packs without a read.
        ``on_archived`` asks for one that is in an archive, and says whether it can be read now; None: nobody asks.
        Up to ``page_bytes`` of decoded pages are kept, and 28 MiB of chunks, blocks and manifests.
        """
        self._backend = backend
        self._index = index
        self._on_missing, self._on_gone, self._on_damaged = on_missing, on_gone, on_damaged
        self._records = records
        self._on_archived = on_archived
        self._packs = PackReader(backend, block_bytes=_BLOCK_BYTES)
        self._pages: Lru[PageId, Page] = Lru(page_bytes)
        self._manifests: Lru[ManifestId, bytes] = Lru(_MANIFEST_BYTES)
        self._few: Lru[bytes, bytes] = Lru(_CHUNK_BYTES)

    @property
    def threads(self) -> int:
        """How many threads read a large file or tree best: one a processor, some more where each waits for a network.

        Their memory is a batch of 4 or 8 MiB each.
        """
        return max(os.cpu_count() or 1, min(self._backend.parallel, _NETWORK_THREADS))

    def get_page(self, pid: PageId) -> Page:
        """Return a decoded page, from memory when it was used lately."""
        page = self._pages.get(pid)
        return self._keep(pid, self._verified(RecordType.PAGE, pid)) if page is None else page

    def prefetch(self, pids: Collection[PageId]) -> None:
        """Read the pages that are not in memory together: one look-up, one opening of each pack; half the cost.

        The caller bounds how many. Pages that cannot be read are left to `get_page`, which says why.
        """
        cold: dict[bytes, int | None] = {pid: None for pid in pids if pid not in self._pages}
        if len(cold) < 2:
            return
        with suppress(PfsError):
            for id, data in self._read(_Request(RecordType.PAGE, cold, verify=True)).items():
                self._keep(PageId(id), data)

    def _keep(self, pid: PageId, data: bytes) -> Page:
        page = Page(data, where=f"page {pid.hex()[:12]}")
        self._pages.put(pid, page, weight=len(data) + _PAGE_OVERHEAD)
        return page

    def manifest(self, tid: TreeId) -> Manifest:
        """Return the chunk list of a file of several chunks; its parts are read as ranges need them."""
        id = ManifestId(tid)
        return Manifest(self._manifest_blob(id), load=self._manifest_blob, where=f"manifest {id.hex()[:12]}")

    def _manifest_blob(self, id: ManifestId) -> bytes:
        blob = self._manifests.get(id)
        if blob is None:
            blob = self._verified(RecordType.MANIFEST, id)
            self._manifests.put(id, blob, weight=len(blob))
        return blob

    def record(self, pack: PackId, repo: str, commit: CommitId) -> CommitRecord:
        """Return the record of a repo's commit from a meta pack, without the index: two reads or more.

        Commits of several repos have one id, and collection puts their records into one pack.

        Raises:
            MissingObjectError: the pack is not there, or does not have that commit.
        """
        name = pack_name(pack, "m")
        where = f"commit {commit[:12]}"
        try:
            known = self._records(pack)
            for offset, payload in self._commit_payloads(name) if known is None else enumerate(known):
                record = decode_record(payload, where=f"{name} at {offset}")
                if (record.repo, record.id) == (repo, commit):
                    return record
        except NotFoundError as error:
            raise MissingObjectError(where, f"its pack {name} is gone") from error
        raise MissingObjectError(where, f"{name} does not have it")

    def records_in(self, pack: PackId) -> Iterator[CommitRecord]:
        """Yield the commit records of a meta pack; raises NotFoundError when the pack is not there."""
        name = pack_name(pack, "m")
        for offset, payload in self._commit_payloads(name):
            yield decode_record(payload, where=f"{name} at {offset}")

    def _commit_payloads(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Yield the commit records of a pack; by a scan of all of it where its footer is damaged."""
        try:
            pack = self._twice(name, lambda: read_footer(self._backend, name))
        except CorruptionError:
            scanned = scan_records(self._backend, name)
            yield from ((at, record.payload) for at, record in scanned if record.type is RecordType.COMMIT)
            return
        for offset in sorted(row[1] for row in ENTRY_ROW.iter_unpack(pack.footer) if row[4] == RecordType.COMMIT):
            yield offset, self.record_at(name, offset).payload

    def blobs(self, kind: RecordType, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return pages or manifest blobs as they were stored, past the caches; the caller bounds how many.

        Read in order of place, a pack at a time; every full id is compared.
        """
        return self._fetch(_Request(kind, dict.fromkeys(ids), verify=True))

    def record_at(self, name: str, offset: int) -> Record:
        """Return the record at ``offset`` of the pack ``name``, verified; raises NotFoundError too."""
        return self._twice(name, lambda: self._packs.record(name, offset))

    def chunk(self, id: ChunkId, size: int, *, verify: bool = False) -> bytes:
        """Return a chunk of ``size`` bytes; ``verify`` compares the full id too (2 GB/s), not only the checksum."""
        return self._chunks([(id, size)], verify=verify)[0]

    def chunks(self, wanted: Sequence[tuple[ChunkId, int]], *, passing: bool = False) -> list[bytes]:
        """Return the (id, size) chunks in the order given; the caller bounds how many bytes that is.

        The index is asked once, packs are read in order of place, a block is read and decompressed once. Few ones are
        kept in memory, unless they are ``passing``: part of a stream, and not asked for again soon.
        """
        return self._chunks(wanted, verify=False, passing=passing)

    def chunks_into(self, wanted: Sequence[tuple[ChunkId, int]], room: Room) -> list[memoryview]:
        """Return chunks as `chunks` does, ``passing``; views of ``room.plain`` where they are in it, and fit.

        The room is used again and again, so that no new memory is touched, and the bytes stay in the processor's cache.
        Raises as `chunks`.
        """
        from pfs.packs.read_into import read_into

        places = self._index.find([id for id, _ in wanted])
        with suppress(PfsError):  # whatever is wrong is said, or mended, by the other way of reading
            found = read_into(self._backend, self._index, zip(wanted, places, strict=True), room)
            if found is not None:
                return found
        return [memoryview(data) for data in self.chunks(wanted, passing=True)]

    def are_raw(self, wanted: Sequence[tuple[ChunkId, int]]) -> bool:
        """Say whether all these chunks are stored as they are, so that reading them is little work; one look-up."""
        from pfs.packs.read_into import is_raw

        places = self._index.find([id for id, _ in wanted])
        return all(is_raw(place, size) for place, (_, size) in zip(places, wanted, strict=True))

    def _chunks(self, wanted: Sequence[tuple[ChunkId, int]], *, verify: bool, passing: bool = False) -> list[bytes]:
        few = not verify and not passing and sum(size for _, size in wanted) <= _FEW_BYTES
        found = self._kept(wanted) if few else {}
        found[EMPTY_CHUNK] = b""
        sizes: dict[bytes, int | None] = {id: size for id, size in wanted if id not in found}
        if sizes:
            read = self._fetch(_Request(RecordType.CHUNK, sizes, verify))
            found.update(read)
            for id, data in read.items() if few else ():
                self._few.put(id, data, weight=len(data) + _CHUNK_OVERHEAD)
        for id, size in wanted:
            if len(found[id]) != size:
                raise CorruptionError(f"chunk {id.hex()[:12]}", f"it has {len(found[id])} bytes, not {size}")
        return [found[id] for id, _ in wanted]

    def _kept(self, wanted: Sequence[tuple[ChunkId, int]]) -> dict[bytes, bytes]:
        kept = ((id, self._few.get(id)) for id, _ in wanted)
        return {id: data for id, data in kept if data is not None}

    def _verified(self, kind: RecordType, id: bytes) -> bytes:
        return self._fetch(_Request(kind, {id: None}, verify=True))[id]

    def _fetch(self, request: _Request) -> dict[bytes, bytes]:
        """Read; again when something was missing and the index learned of new packs, or of packs that are gone."""
        learned = collected = False
        for round_no in range(_ROUNDS):
            try:
                return self._read(request)
            except _GoneError as gone:
                error, collected = gone.error, self._on_gone(gone.pack)
            except MissingObjectError as missing:
                error, collected = missing, False
            if round_no and not learned and not collected:
                break
            learned = self._on_missing()  # False says little at first: another thread may have taught the index
        return self._read_forgotten(request, error)

    def _read_forgotten(self, request: _Request, missing: MissingObjectError) -> dict[bytes, bytes]:
        """Read what is nowhere but where it was damaged when it was read last: a bad cable, or brought back since.

        Raises:
            CorruptionError: it still is. MissingObjectError: the one given, where nothing is remembered either.
        """
        rows = self._index.dropped(list(request.sizes))
        if not rows:
            raise missing
        try:
            found = self._read(request, rows)
        except _GoneError as gone:
            raise gone.error from missing
        with suppress(StorageError):
            self._index.put_back(rows)
        return found

    def _read(self, request: _Request, dropped: Mapping[bytes, Location] = _NONE) -> dict[bytes, bytes]:
        located = sorted(self._locate(request, dropped).items())
        threads = self._backend.parallel if len(located) > 1 else 1
        found: dict[bytes, bytes] = {}
        for read in at_once(threads, lambda item: self._read_pack(*item, request=request), located):
            found.update(read)
        return found

    def _read_pack(self, pack_no: int, wanted: Sequence[Wanted], *, request: _Request) -> dict[bytes, bytes]:
        pack_id, pack_kind = self._index.pack(pack_no)
        name = pack_name(pack_id, pack_kind)

        def read() -> dict[bytes, bytes]:
            return dict(self._packs.read(name, wanted, kind=request.kind, verify=request.verify))

        try:
            try:
                return self._twice(name, read)
            except ArchivedError as error:
                self._ask(name, error, _where(request.kind, wanted[0].id))
            return self._twice(name, read)
        except NotFoundError as error:
            where = _where(request.kind, wanted[0].id)
            raise _GoneError(pack_id, MissingObjectError(where, f"its pack {name} is gone")) from error
        except CorruptionError:
            self._forget_damaged(name, wanted, request)
            raise

    def _twice(self, name: str, read: Callable[[], T]) -> T:
        """Read of a pack; again where the first bytes were wrong and others may come. What is wrong is not kept."""
        try:
            return read()
        except CorruptionError:
            if not self._on_damaged(name):
                raise
        try:
            return read()
        except CorruptionError:
            self._on_damaged(name)
            raise

    def _ask(self, name: str, error: ArchivedError, where: str) -> None:
        """Have a pack restored; raises ThawingError unless it can be read by now."""
        if self._on_archived is None:
            raise error
        if not self._on_archived(name):
            raise ThawingError(f"{where} in {name}", error.reason) from error

    def _forget_damaged(self, name: str, wanted: Sequence[Wanted], request: _Request) -> None:
        """Take the rows of objects away that cannot be read, now for the second time: a writer stores them again."""
        bad = []
        for one in wanted:
            try:
                list(self._packs.read(name, [one], kind=request.kind, verify=request.verify))
            except CorruptionError:
                bad.append((one.id, one.place))
            except (NotFoundError, StorageError):
                return
        with suppress(StorageError):  # the index may be on a disk that is full or read-only
            self._index.drop(bad)

    def _locate(self, request: _Request, dropped: Mapping[bytes, Location]) -> dict[int, list[Wanted]]:
        by_pack: dict[int, list[Wanted]] = {}
        ids = list(request.sizes)
        for id, found in zip(ids, self._index.find(ids), strict=True):
            place = found or dropped.get(id)
            if place is None:
                raise MissingObjectError(_where(request.kind, id), "no pack is known to have it")
            by_pack.setdefault(place.pack_no, []).append(Wanted(id, request.sizes[id], place))
        return by_pack


def _where(kind: RecordType, id: bytes) -> str:
    return f"{kind.name.lower()} {id.hex()[:12]}"
