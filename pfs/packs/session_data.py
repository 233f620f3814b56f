"""Where a session's new chunks go: memory while they are few, data packs when they are many.

The first `STAGE_BYTES` stay in memory, so that a small commit is one pack. Beyond that they go to a data pack, which is
sealed and indexed when it is full; then staging begins anew. So memory is bounded whatever is written, and a writer
that was killed finds the chunks of its sealed packs when it runs again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Final, NamedTuple

from pfs.backends.base import Backend, Buffer
from pfs.errors import PfsError, StorageError
from pfs.ids import ChunkId, PackId, new_pack_id
from pfs.packs.compress import decompress
from pfs.packs.pack import Codec, PackWriter, RecordType, SealedPack
from pfs.parallel import Uploads, ended

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from pfs.packs.raws import Raws

STAGE_BYTES: Final = 4 << 20
PACK_BYTES: Final = 64 << 20
"""A data pack is sealed when it has this many bytes."""
PACK_ENTRIES: Final = 1 << 18
"""And also at this many chunks: the entries of an open pack are in memory."""


class StagedRecord(NamedTuple):
    """A record as it will be in a pack: one chunk, or a block of several; ``members`` are (id, plain size)."""

    members: Sequence[tuple[ChunkId, int]]
    payload: Buffer
    codec: Codec

    def write(self, writer: PackWriter) -> None:
        """Append it to a pack; blocks are the records with codec IN_BLOCK."""
        if self.codec is Codec.IN_BLOCK:
            writer.add_block(self.members, self.payload, ulen=sum(size for _, size in self.members))
        else:
            id, size = self.members[0]
            writer.add(RecordType.CHUNK, id, self.payload, codec=self.codec, ulen=size)

    def chunk(self, wanted: ChunkId) -> bytes:
        """Return the plain bytes of one of its chunks."""
        plain = self.payload
        if self.codec is not Codec.RAW:
            plain = decompress(self.payload, sum(size for _, size in self.members))
        start = 0
        for id, size in self.members:
            if id == wanted:
                return bytes(plain[start : start + size])
            start += size
        raise KeyError(wanted)


class DataPacks:
    """Takes the records of several threads. After an error it is of no use but for `abandon`.

    With a ``background`` a full pack is synced there while records go into the next one: one pack at a time, or several
    where that is `Uploads`. If these hold packs in memory, one is begun once there is a place for it. What fails there
    is raised by the next call, and by `seal_open` at the latest.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        begun: Callable[[PackId], None],
        seal: Callable[[PackWriter], SealedPack],
        sealed: Callable[[SealedPack], None],
        clock_ns: Callable[[], int],
        background: Executor | Uploads | None = None,
    ) -> None:
        """``seal`` makes a pack durable, in the background if there is one, where it must wait for nobody that adds.

        ``begun`` is told each new pack, ``sealed`` each durable one, in a thread that adds or seals.
        """
        self._backend = backend
        self._background = background
        self._at_once = background.limit if isinstance(background, Uploads) else 1
        self._places = background if isinstance(background, Uploads) and background.in_memory else None
        self._sealing: deque[Future[SealedPack]] = deque()
        self._on_begun, self._do_seal, self._on_sealed = begun, seal, sealed
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._writer: PackWriter | None = None
        self._staged: list[StagedRecord] = []
        self._staged_bytes = 0
        self._held: dict[ChunkId, StagedRecord] = {}
        self._failure: BaseException | None = None

    @property
    def has_staged(self) -> bool:
        """Whether `take_staged` would return anything."""
        return bool(self._staged)

    def add(self, record: StagedRecord, *, last: bool = False) -> None:
        """Store a record; its payload may be reused when this returns. The ``last`` one does not begin a pack.

        Raises:
            StorageError: the backend failed.
        """
        self.add_all([record], last=last)

    def add_all(self, records: Sequence[StagedRecord], *, last: bool = False) -> None:
        """Store records as `add` does; those that go to an open pack are written together."""
        done = 0
        while done < len(records):
            with self._lock, self._ending_on_error():
                self._raise_failed()
                done = self._take_in(records, done, last=last)
                full = self._take_full()
            self._end(full)

    def add_raws(self, raws: Raws) -> None:
        """Store chunks as they are; those that go to an open pack are written together.

        Raises:
            StorageError: the backend failed.
        """
        while raws.chunks.count:
            with self._lock, self._ending_on_error():
                self._raise_failed()
                done = self._take_in_raws(raws)
                full = self._take_full()
            self._end(full)
            raws = raws.only(slice(done, None))

    def _take_in_raws(self, raws: Raws) -> int:
        if self._writer is None:
            records = (StagedRecord(((id, len(data)),), data, Codec.RAW) for id, data in raws.each())
            return self._take_in(list(records), 0, last=False)
        some = raws.only(slice(min(raws.fit(PACK_BYTES - self._writer.size), PACK_ENTRIES - len(self._writer))))
        self._writer.add_raws(some)
        return some.chunks.count

    def _take_in(self, records: Sequence[StagedRecord], start: int, *, last: bool) -> int:
        """Stage records, or write them up to the end of the open pack; return how far that went."""
        if self._writer is None:
            for number in range(start, len(records)):
                self._stage(records[number]._replace(payload=bytes(records[number].payload)))
                if self._staged_bytes > STAGE_BYTES and not last:
                    self._spill()
                    return number + 1
            return len(records)
        with self._writer.together():
            for number in range(start, len(records)):
                records[number].write(self._writer)
                if self._is_full():
                    return number + 1
        return len(records)

    def seal_open(self) -> None:
        """Make the open pack durable, if there is one, and what is sealed beside; what is staged stays in memory."""
        with self._lock:
            self._raise_broken()
            writer = self._take_writer()
            sealing, self._sealing = self._sealing, deque()
        try:
            sealed = [] if writer is None else [self._sealed(writer)]
        finally:
            ended(sealing)  # nothing goes on once an error was told
        for pack in (*sealed, *(future.result() for future in sealing)):
            self._on_sealed(pack)

    def take_staged(self) -> list[StagedRecord]:
        """Return the records that are in no pack, for one to which the caller writes them; they stay readable."""
        with self._lock:
            taken, self._staged, self._staged_bytes = self._staged, [], 0
            return taken

    def held(self, id: ChunkId) -> bytes | None:
        """Return the plain bytes of a chunk that is in memory, else None."""
        with self._lock:
            record = self._held.get(id)
        return None if record is None else record.chunk(id)

    def abandon(self) -> None:
        """Drop what is in no sealed pack; idempotent."""
        with self._lock:
            writer = self._take_writer()
            self._staged, self._staged_bytes = [], 0
            self._held.clear()
            sealing, self._sealing = self._sealing, deque()
        ended(sealing)
        if writer is not None:
            writer.abandon()

    def _stage(self, record: StagedRecord) -> None:
        self._staged.append(record)
        self._staged_bytes += len(record.payload)
        self._held.update((id, record) for id, _ in record.members)

    def _spill(self) -> None:
        if self._places is not None:
            self._places.wait_to_begin()
        pack_id = new_pack_id()
        self._writer = PackWriter(self._backend, "d", pack_id=pack_id, created_ms=self._clock_ns() // 1_000_000)
        self._on_begun(pack_id)
        with self._writer.together():
            for record in self._staged:
                record.write(self._writer)
        self._staged, self._staged_bytes = [], 0
        self._held.clear()

    def _is_full(self) -> bool:
        writer = self._writer
        return writer is not None and (writer.size >= PACK_BYTES or len(writer) >= PACK_ENTRIES)

    def _take_writer(self) -> PackWriter | None:
        taken, self._writer = self._writer, None
        return taken

    def _take_full(self) -> PackWriter | Sequence[Future[SealedPack]]:
        """Take the open pack if it is full: return it, or what ended before where it is being sealed already.

        One in memory has its place before another thread waits for one to begin the next pack: so none is left over.
        """
        if self._writer is None or not self._is_full():
            return ()
        if self._places is None:
            full, self._writer = self._writer, None
            return full
        self._sealing.append(self._places.submit(self._sealed, self._writer))
        self._writer = None
        return self._take_ended()

    def _end(self, full: PackWriter | Sequence[Future[SealedPack]]) -> None:
        # Outside the lock: the sync of a full pack takes a while, and others go on with the next one.
        if isinstance(full, PackWriter):
            if self._background is None:
                self._on_sealed(self._sealed(full))
                return
            future = self._background.submit(self._sealed, full)
            with self._lock:
                self._sealing.append(future)
                full = self._take_ended()
        for earlier in full:
            self._on_sealed(earlier.result())

    def _take_ended(self) -> list[Future[SealedPack]]:
        """Take what is durable by now, and the oldest ones that there is no place for beside the last."""
        many = [self._sealing.popleft() for _ in range(len(self._sealing) - self._at_once)]
        ended = [future for future in self._sealing if future.done()]
        for future in ended:
            self._sealing.remove(future)
        return [*many, *ended]

    @contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        """End all for every thread when one fails: where in the pack a later record would lie is not known then.

        Else a thread that goes on would fill the pack around the hole, and the index would believe what it says.
        """
        try:
            yield
        except BaseException as error:
            self._failure = self._failure or error
            writer = self._take_writer()
            if writer is not None:
                writer.abandon()
            raise

    def _raise_broken(self) -> None:
        if isinstance(self._failure, PfsError):
            raise copy(self._failure) from self._failure
        if self._failure is not None:
            raise StorageError("go on with a commit", "storing an earlier part of it failed")

    def _raise_failed(self) -> None:
        self._raise_broken()
        for future in self._sealing:
            if future.done():
                future.result()

    def _sealed(self, writer: PackWriter) -> SealedPack:
        try:
            return self._do_seal(writer)
        except BaseException:
            writer.abandon()
            raise
