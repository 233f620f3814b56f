"""The index: where each id lies, and the commits of each repo. A cache: it is rebuilt from the packs.

It may lag behind the object store but is never ahead of it: rows are added after their pack is durable. One short write
transaction an `add`; nothing here waits for the network or hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from pfs.backends.durable import storage_errors
from pfs.errors import IndexDamagedError, InvalidInputError, StorageError
from pfs.ids import CommitId, PackId
from pfs.packs import index_commits, index_condemned
from pfs.packs.chunk_rows import chunk_rows
from pfs.packs.index_chunks import Chunks, RunGoneError, layout_of, look_up
from pfs.packs.index_condemned import CONDEMNED, GONE, STALE, States
from pfs.packs.index_env import SharedEnv, Txn, acquire, release
from pfs.packs.index_rows import (
    IN_BLOCK,
    KEY_SIZE,
    NUMBER,
    Location,
    decode_location,
    decode_pack,
)
from pfs.packs.pack import PackKind, SealedPack

if TYPE_CHECKING:
    from pfs.arrays import U8
    from pfs.packs.frozen import Frozen, Run
    from pfs.packs.index_columns import Places

__all__ = ["IN_BLOCK", "REWRITES", "Guard", "Index", "IndexStats", "Location"]

_SCHEMA: Final = b"1"
_SCHEMAS: Final = (_SCHEMA, b"2")
"""The second is that of an index with frozen rows."""
T = TypeVar("T")

_ROUNDS: Final = 8
_DAMAGES: Final = b"damages"
_SALVAGED: Final = "salvaged"
FREEZE_AT: Final = 100_000_000
"""Rows in LMDB from which on they are kept in runs."""
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


class Guard(NamedTuple):
    """A value of `Index.get_meta` must be one of ``values`` at the moment of a change, and is ``mark`` after it."""

    key: str
    values: frozenset[bytes | None]
    mark: bytes


class Index:
    """A handle on the index of one store; thread-safe; any number a process, one environment under them.

    Every method raises StorageError when the disk fails (StorageFullError when it is full; then nothing was changed)
    and IndexDamagedError when the file is damaged; InvalidInputError after `close`.
    """

    def __init__(self, shared: SharedEnv, *, freeze_at: int | None = None) -> None:
        self._shared = shared
        self._frozen: Frozen | None = None
        self._freeze_at = freeze_at or FREEZE_AT
        self._closed = False
        self._packs: dict[int, tuple[PackId, PackKind]] = {}

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

    @property
    def _env(self) -> SharedEnv:
        if self._closed:
            raise InvalidInputError("the store is closed")
        return self._shared

    def _check_owner(self, directory: Path, store_uuid: bytes) -> None:
        found = {"schema": self.get_meta("schema"), "store_uuid": self.get_meta("store_uuid")}
        wanted = {"schema": _SCHEMA, "store_uuid": store_uuid}
        if found == {"schema": None, "store_uuid": None}:
            self._env.write(lambda txn: _put_meta(txn, wanted))
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

    def _read_chunks(self, work: Callable[[Txn], T]) -> T:
        """Read; again where a run that was named has been merged meanwhile."""
        for _ in range(_ROUNDS):
            with suppress(RunGoneError):
                return self._env.read(work)
        raise IndexDamagedError(str(self._shared.directory), "a file of frozen rows is missing")

    def _write_chunks(self, work: Callable[[Txn], T]) -> T:
        """Write; then freeze rows if they are so many."""
        try:
            done = self._env.write(work)
        except RunGoneError as error:
            detail = "a file of frozen rows is missing"
            raise IndexDamagedError(str(self._shared.directory), detail) from error
        if self._env.read(lambda txn: txn.rows(layout_of(txn).active)) >= self._freeze_at:
            with suppress(StorageError):  # the rows are in, if not where they shall be: the next one tries again
                self.compact(at=self._freeze_at)
        return done

    def compact(self, *, at: int | None = None) -> bool:
        """Freeze rows if there are ``at`` of them in LMDB, merge runs, leave rows of deleted packs; see `freeze`."""
        from pfs.packs.freeze import freeze

        return freeze(self._env, self._files(), at=self._freeze_at if at is None else at)

    def _files(self) -> Frozen:
        if self._frozen is None:
            from pfs.packs.frozen import Frozen  # few indexes have so many rows

            self._frozen = Frozen(self._shared.directory / "frozen")
        return self._frozen

    def _runs(self, names: tuple[str, ...]) -> list[Run]:
        return self._files().runs(names)

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
                _put_mark(txn, guard)
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

    def generation(self) -> int:
        """Return the generation of collection whose lists have been applied, and all before."""
        return self._env.read(index_condemned.generation)

    def condemn(
        self, lists: Mapping[int, Collection[PackId]], *, gone: Iterable[PackId] = (), gen: int, kept: int
    ) -> None:
        """Apply lists of condemned packs by generation, all or nothing; `generation` is ``gen`` afterwards.

        ``gone``: indexed packs that do not exist any more; ``kept``: how many generations are remembered.
        """
        gone = tuple(gone)
        self._env.write(lambda txn: index_condemned.condemn(txn, lists, gone=gone, gen=gen, kept=kept))

    def condemned_since(self, gen: int) -> frozenset[PackId]:
        """Return the packs on the lists of the generations after ``gen``."""
        return self._env.read(lambda txn: index_condemned.condemned_since(txn, gen))

    def state(self, pack_no: int) -> int:
        """Return the state of a pack (`index_condemned`)."""
        return self._env.read(lambda txn: index_condemned.state_of(txn, pack_no))

    def is_condemned(self, pack_id: PackId) -> bool:
        """Say whether the index has met the pack, and it was on a list of condemned packs by then or later."""

        def work(txn: Txn) -> bool:
            number = txn.get("packid", pack_id)
            return number is not None and index_condemned.state_of(txn, NUMBER.unpack(number)[0]) >= CONDEMNED

        return self._env.read(work)

    def mark_gone(self, pack_id: PackId) -> bool:
        """Note that a condemned pack is deleted: its rows count as missing. False for one that is on no list."""

        def work(txn: Txn) -> bool:
            number = txn.get("packid", pack_id)
            if number is None or index_condemned.state_of(txn, NUMBER.unpack(number)[0]) < CONDEMNED:
                return False
            index_condemned.mark_gone(txn, pack_id)
            return True

        return self._env.write(work)

    def take_stale(self) -> bool:
        """Say whether packs went since the last call, so that objects may be found elsewhere by `refill` alone."""

        def work(txn: Txn) -> bool:
            stale = txn.get("meta", STALE) == b"1"
            txn.delete("meta", STALE)
            return stale

        return self._env.read(lambda txn: txn.get("meta", STALE)) is not None and self._env.write(work)

    def packs(self) -> list[PackId]:
        """Return every pack whose rows are in, deleted ones included, in no order."""

        def work(txn: Txn) -> list[PackId]:
            cursor = txn.cursor("packid")
            return [PackId(pack) for pack, _ in cursor.iternext()] if cursor.set_range(b"\0") else []

        return self._env.read(work)

    def pack(self, pack_no: int) -> tuple[PackId, PackKind]:
        """Return the pack that a location names; numbers are never given out again."""
        known = self._packs.get(pack_no)
        if known is None:
            value = self._env.read(lambda txn: txn.get("pack", NUMBER.pack(pack_no)))
            if value is None:
                raise IndexDamagedError(str(self._shared.directory), f"it names pack {pack_no}, which it does not have")
            known = self._packs[pack_no] = decode_pack(value)
        return known

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

    def salvaged(self) -> frozenset[str]:
        """Return the names of packs whose rows are those of what was whole in them when they were damaged."""
        return frozenset((self.get_meta(_SALVAGED) or b"").decode().split())

    def note_salvaged(self, names: Collection[str]) -> None:
        """Set what `salvaged` returns."""
        self.set_meta(_SALVAGED, " ".join(sorted(names)).encode())

    def damages(self) -> int:
        """Return how often rows were dropped because what they name is damaged."""
        return int(self.get_meta(_DAMAGES.decode()) or b"0")

    def sealed(self, packs: Sequence[PackId]) -> list[int] | None:
        """Return the numbers of packs, None when one is not known, or on a list of condemned packs."""
        return self._env.read(lambda txn: index_condemned.sealed(txn, packs))

    def forget(self, ids: Sequence[bytes], packs: Collection[PackId]) -> None:
        """Remove the rows of these ids that point into these packs, which are deleted; 1-2 us an id."""
        for start in range(0, len(ids), _FORGOTTEN):
            batch = ids[start : start + _FORGOTTEN]
            keys = [id[:KEY_SIZE] for id in batch]
            self._write_chunks(partial(self._forget, keys=keys, packs=packs))

    def _forget(self, txn: Txn, *, keys: Sequence[bytes], packs: Collection[PackId]) -> None:
        index_condemned.forget(txn, Chunks(txn, self._runs), keys, packs=packs)

    def move_commits(self, moves: Iterable[tuple[str, CommitId, PackId, PackId]]) -> None:
        """Change the pack in the rows of commits, given as (repo, id, old pack, new pack), that still name the old."""
        wanted = list(moves)
        if wanted:
            self._env.write(lambda txn: index_commits.move(txn, wanted))

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

    def set_tiers(self, tiers: Mapping[PackId, int]) -> None:
        """Note in which storage class packs are (`pfs.backends.classes`); of packs that are not known, nothing."""
        if tiers:
            self._env.write(lambda txn: index_condemned.set_tiers(txn, tiers))

    def tiers(self) -> dict[PackId, int]:
        """Return the packs that are in another storage class than the standard one, as far as that was noted."""
        return self._env.read(index_condemned.tiers)

    def has_pack(self, pack_id: PackId) -> bool:
        """Say whether the pack's rows are in."""
        return self._env.read(lambda txn: txn.get("packid", pack_id)) is not None

    def commit(self, repo: str, commit: CommitId) -> bytes | None:
        """Return the encoded record of a commit, None when the index does not know it."""
        return self._env.read(lambda txn: index_commits.get(txn, repo, commit))

    def commits(self, repo: str) -> Iterator[tuple[CommitId, bytes]]:
        """Yield the known commits of a repo, in the order of their ids; commits added meanwhile may be among them."""
        start: bytes | None = bytes(KEY_SIZE)
        while start is not None:
            rows, start = self._commit_page(repo, start)
            for id, record in rows:
                yield CommitId(id.hex()), record

    def _commit_page(self, repo: str, start: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        return self._env.read(lambda txn: index_commits.page(txn, repo, start))

    def forget_repo(self, repo: str, *, guard: Guard | None = None) -> bool:
        """Remove a repo's commits; its chunks stay until collection, and so does the mark that guards its rows.

        With a ``guard`` that holds, its mark is put; one that does not changes nothing, and False is returned.
        """

        def work(txn: Txn) -> bool:
            if guard is not None:
                if txn.get("meta", guard.key.encode()) not in guard.values:
                    return False
                _put_mark(txn, guard)
            index_commits.forget_repo(txn, repo)
            return True

        return self._env.write(work)

    def knows_repo(self, repo: str) -> bool:
        """Say whether a repo has commits here, or may have."""
        return self._env.read(lambda txn: txn.get("repo", repo.encode())) is not None

    def forget_commits(self, repo: str, commits: Iterable[CommitId]) -> None:
        """Remove some of a repo's commits."""
        wanted = list(commits)
        self._env.write(lambda txn: index_commits.forget(txn, repo, wanted))

    def get_meta(self, key: str) -> bytes | None:
        """Return a value that `set_meta` stored, or None."""
        return self._env.read(lambda txn: txn.get("meta", key.encode()))

    def set_meta(self, key: str, value: bytes) -> None:
        """Store a small value by name, durably."""
        self._env.write(lambda txn: _put_meta(txn, {key: value}))

    def stats(self) -> IndexStats:
        """Return how large the index is, O(1); of frozen rows those count too that newer ones replace."""
        rows, packs = self._read_chunks(lambda txn: (Chunks(txn, self._runs).count(), txn.rows("pack")))
        return IndexStats(
            rows, packs, self._env.size_bytes() + (0 if self._frozen is None else self._frozen.size_bytes())
        )

    def close(self) -> None:
        """Let go of the environment; the last handle closes the file. Idempotent."""
        if not self._closed:
            self._closed = True
            release(self._shared)


def _put_mark(txn: Txn, guard: Guard) -> None:
    if txn.get("meta", guard.key.encode()) != guard.mark:
        _put_meta(txn, {guard.key: guard.mark})


def _put_meta(txn: Txn, values: Mapping[str, bytes]) -> None:
    for key, value in values.items():
        txn.put("meta", key.encode(), value)


def _put_seen(txn: Txn, rows: Mapping[bytes, bytes]) -> None:
    if txn.rows("seen") + len(rows) > SEEN_ROWS:
        txn.clear("seen")
    txn.cursor("seen").putmulti(sorted(rows.items()))
