"""The index: where each id lies, and the commits of each repo. A cache: it is rebuilt from the packs.

It may lag behind the object store but is never ahead of it: rows are added after their pack is durable. One short write
transaction an `add`; nothing here waits for the network or hashes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from pfs.backends.durable import storage_errors
from pfs.errors import IndexDamagedError
from pfs.ids import CommitId, PackId
from pfs.packs import index_commits, index_condemned
from pfs.packs.chunk_rows import chunk_rows
from pfs.packs.index_chunks import Chunks, look_up
from pfs.packs.index_condemned import CONDEMNED, GONE, States
from pfs.packs.index_env import Txn, acquire
from pfs.packs.index_handle import Guard, put_mark, put_meta
from pfs.packs.index_history import CommitTable
from pfs.packs.index_packs import PackTable
from pfs.packs.index_rows import IN_BLOCK, KEY_SIZE, NUMBER, Location, decode_location
from pfs.packs.pack import SealedPack

if TYPE_CHECKING:
    from pfs.arrays import U8
    from pfs.packs.index_columns import Places

__all__ = ["IN_BLOCK", "REWRITES", "Guard", "Index", "IndexStats", "Location"]

_SCHEMA: Final = b"1"
_SCHEMAS: Final = (_SCHEMA, b"2")
"""The second is that of an index with frozen rows."""
_DAMAGES: Final = b"damages"
_FORGOTTEN: Final = 4096  # rows looked at in one writing transaction, so that others do not wait long
REWRITES: Final = "rewrites/"
"""In front of a repo's name: the `get_meta` key of what the index has seen of rewritten records."""
SEEN_ROWS: Final = 1 << 21
"""Rows of local files at most, some 200 MB; when more are added, the older ones are dropped."""


class IndexStats(NamedTuple):
    """Rows of the chunk table, packs, and bytes of the file in use."""

    rows: int
    packs: int
    size_bytes: int


class Index(PackTable, CommitTable):
    """A handle on the index of one store; thread-safe; any number a process, one environment under them.

    Here are the rows of chunks and of local files; `PackTable` and `CommitTable` have the others.
    Every method raises StorageError when the disk fails (StorageFullError when it is full; then nothing was changed)
    and IndexDamagedError when the file is damaged; InvalidInputError after `close`.
    """

    @classmethod
    def open(cls, directory: Path, *, store_uuid: str, freeze_at: int | None = None) -> Index:
        """Open the index in ``directory``, making it if it is not there.

        ``freeze_at``: chunk rows in LMDB from which on they go to runs (`pfs.packs.freeze`), 100 million by default.

        Raises:
            IndexDamagedError: it cannot be read, or is another store's or release's.
            StorageError: it cannot be made or opened.
        """
        with storage_errors(f"make the index in {directory}"):
            directory.mkdir(parents=True, exist_ok=True)
        index = cls(acquire(directory), freeze_at=freeze_at)
        try:
            index._check_owner(directory, store_uuid.encode())
        except BaseException:
            index.close()
            raise
        return index

    def _check_owner(self, directory: Path, store_uuid: bytes) -> None:
        found = {"schema": self.get_meta("schema"), "store_uuid": self.get_meta("store_uuid")}
        wanted = {"schema": _SCHEMA, "store_uuid": store_uuid}
        if found == {"schema": None, "store_uuid": None}:
            self._env.write(lambda txn: put_meta(txn, wanted))
        elif found["schema"] not in _SCHEMAS:
            raise IndexDamagedError(str(directory), "another release made it")
        elif found["store_uuid"] != store_uuid:
            raise IndexDamagedError(str(directory), "it belongs to another store")

    def find(self, ids: Sequence[bytes], *, to_keep: bool = False) -> list[Location | None]:
        """Return where each id lies, or None, in the order given; one transaction, 1-2 us an id.

        ``to_keep``: only in packs that are on no list of condemned packs, so that a writer may rely on it.
        """
        keys = [id[:KEY_SIZE] for id in ids]

        def work(txn: Txn) -> dict[bytes, Location]:
            rows = Chunks(txn, self._runs).find(keys)
            found = {key: decode_location(value) for key, value in rows.items()}
            states, hidden = States(txn), (CONDEMNED, GONE) if to_keep else (GONE,)
            return {key: place for key, place in found.items() if states.of(place.pack_no) not in hidden}

        found = self._read_chunks(work)
        return [found.get(key) for key in keys]

    def find_columns(self, ids: U8) -> Places:
        """Return where a writer may rely on each id (32 columns); one transaction, under 1 us an id."""
        from pfs.packs.index_columns import find_columns  # for who writes alone

        return self._read_chunks(lambda txn: find_columns(txn, Chunks(txn, self._runs), ids))

    def seen(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the rows of local files (`pfs.files.seen`) by key, in the order given; one transaction, 1 us a row."""
        found = self._env.read(lambda txn: look_up(txn, "seen", keys))
        return [found.get(key) for key in keys]

    def add(
        self,
        packs: Sequence[SealedPack],
        commits: Sequence[tuple[str, CommitId, bytes]] = (),
        *,
        seen: Mapping[bytes, bytes] = MappingProxyType({}),
        guard: Guard | None = None,
    ) -> bool:
        """Add durable packs, (repo, id, encoded record) of commits and rows of local files, all or nothing.

        Known packs change nothing. An id in several packs is found in the one added last, condemned ones after others.
        Half a million rows a second. Returns False, without the commits, when the ``guard`` does not hold.
        """
        fresh = [pack for pack in packs if not self.has_pack(pack.pack_id)]
        if not fresh and not commits and not seen:
            return True
        rows = chunk_rows(fresh)

        def work(txn: Txn) -> bool:
            numbers = [index_condemned.put_pack(txn, pack) for pack in fresh]
            index_condemned.put_rows(txn, Chunks(txn, self._runs), rows.items(numbers), numbers=numbers)
            holds = guard is None or txn.get("meta", guard.key.encode()) in guard.values
            if guard is not None and commits and holds:
                put_mark(txn, guard)
            for repo, commit, record in commits if holds else ():
                index_commits.put(txn, repo, commit, record)
            _put_seen(txn, seen)
            return holds

        return self._write_chunks(work) if fresh else self._env.write(work)

    def refill(self, packs: Sequence[SealedPack]) -> None:
        """Put back rows of packs, known ones too, where an object is found nowhere, or only in a condemned pack."""
        rows = chunk_rows(packs)

        def work(txn: Txn) -> None:
            index_condemned.fill(
                txn, Chunks(txn, self._runs), rows.items([index_condemned.put_pack(txn, pack) for pack in packs])
            )

        self._write_chunks(work)

    def drop(self, rows: Iterable[tuple[bytes, Location]]) -> None:
        """Remove rows, given as (id, place), that still say so: their objects are damaged, and can be stored again.

        `dropped` still knows them, for readers who find them nowhere else.
        """

        def work(txn: Txn) -> None:
            chunks = Chunks(txn, self._runs)
            for id, place in wanted:
                value = chunks.get(id[:KEY_SIZE])
                if value is not None and decode_location(value) == place:
                    chunks.delete(id[:KEY_SIZE])
                    txn.put("dropped", id[:KEY_SIZE], value)
            txn.put("meta", _DAMAGES, b"%d" % (int(txn.get("meta", _DAMAGES) or b"0") + 1))

        wanted = list(rows)
        if wanted:
            self._write_chunks(work)

    def dropped(self, ids: Sequence[bytes]) -> dict[bytes, Location]:
        """Return where those of the ids were that `drop` removed."""

        def work(txn: Txn) -> dict[bytes, Location]:
            found = ((id, txn.get("dropped", id[:KEY_SIZE])) for id in ids)
            return {id: decode_location(value) for id, value in found if value is not None}

        return self._env.read(work)

    def put_back(self, rows: Mapping[bytes, Location]) -> None:
        """Undo `drop` for these rows, by id: their objects are whole after all. Rows made since are left alone."""

        def work(txn: Txn) -> None:
            chunks = Chunks(txn, self._runs)
            for key in (id[:KEY_SIZE] for id in rows):
                value = txn.get("dropped", key)
                if value is not None and chunks.get(key) is None:
                    chunks.put(key, value)
                txn.delete("dropped", key)

        self._write_chunks(work)

    def damages(self) -> int:
        """Return how often rows were dropped because what they name is damaged."""
        return int(self.get_meta(_DAMAGES.decode()) or b"0")

    def forget(self, ids: Sequence[bytes], packs: Collection[PackId]) -> None:
        """Remove the rows of these ids that point into these packs, which are deleted; 1-2 us an id."""
        for start in range(0, len(ids), _FORGOTTEN):
            batch = ids[start : start + _FORGOTTEN]
            keys = [id[:KEY_SIZE] for id in batch]
            self._write_chunks(partial(self._forget, keys=keys, packs=packs))

    def _forget(self, txn: Txn, *, keys: Sequence[bytes], packs: Collection[PackId]) -> None:
        index_condemned.forget(txn, Chunks(txn, self._runs), keys, packs=packs)

    def rows_of(self, packs: Collection[PackId]) -> dict[PackId, list[tuple[bytes, Location]]]:
        """Return the (key, place) rows of each pack; reads the whole table, 0.3 us a row."""

        def work(txn: Txn) -> dict[PackId, list[tuple[bytes, Location]]]:
            numbers = {pack: txn.get("packid", pack) for pack in packs}
            found: dict[PackId, list[tuple[bytes, Location]]] = {pack: [] for pack in packs}
            lists = {NUMBER.unpack(number)[0]: found[pack] for pack, number in numbers.items() if number is not None}
            for key, value in Chunks(txn, self._runs).of_packs(set(lists)):
                place = decode_location(value)
                lists[place.pack_no].append((key, place))
            return found

        return self._read_chunks(work)

    def stats(self) -> IndexStats:
        """Return how large the index is, O(1); of frozen rows those count too that newer ones replace."""
        rows, packs = self._read_chunks(lambda txn: (Chunks(txn, self._runs).count(), txn.rows("pack")))
        return IndexStats(
            rows, packs, self._env.size_bytes() + (0 if self._frozen is None else self._frozen.size_bytes())
        )


def _put_seen(txn: Txn, rows: Mapping[bytes, bytes]) -> None:
    if txn.rows("seen") + len(rows) > SEEN_ROWS:
        txn.clear("seen")
    txn.cursor("seen").putmulti(sorted(rows.items()))
