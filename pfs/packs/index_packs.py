"""The table of packs in an index: which there are, and what became of them (docs/format/index.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from pfs.errors import IndexDamagedError
from pfs.ids import PackId
from pfs.packs import index_condemned
from pfs.packs.index_condemned import CONDEMNED, STALE
from pfs.packs.index_env import SharedEnv, Txn
from pfs.packs.index_handle import IndexHandle
from pfs.packs.index_rows import NUMBER, decode_pack
from pfs.packs.pack import PackKind

_SALVAGED: Final = "salvaged"


class PackTable(IndexHandle):
    """The packs that an index knows."""

    def __init__(self, shared: SharedEnv, *, freeze_at: int | None = None) -> None:
        super().__init__(shared, freeze_at=freeze_at)
        self._packs: dict[int, tuple[PackId, PackKind]] = {}

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

    def has_pack(self, pack_id: PackId) -> bool:
        """Say whether the pack's rows are in."""
        return self._env.read(lambda txn: txn.get("packid", pack_id)) is not None

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

    def sealed(self, packs: Sequence[PackId]) -> list[int] | None:
        """Return the numbers of packs, None when one is not known, or on a list of condemned packs."""
        return self._env.read(lambda txn: index_condemned.sealed(txn, packs))

    def set_tiers(self, tiers: Mapping[PackId, int]) -> None:
        """Note in which storage class packs are (`pfs.backends.classes`); of packs that are not known, nothing."""
        if tiers:
            self._env.write(lambda txn: index_condemned.set_tiers(txn, tiers))

    def tiers(self) -> dict[PackId, int]:
        """Return the packs that are in another storage class than the standard one, as far as that was noted."""
        return self._env.read(index_condemned.tiers)

    def salvaged(self) -> frozenset[str]:
        """Return the names of packs whose rows are those of what was whole in them when they were damaged."""
        return frozenset((self.get_meta(_SALVAGED) or b"").decode().split())

    def note_salvaged(self, names: Collection[str]) -> None:
        """Set what `salvaged` returns."""
        self.set_meta(_SALVAGED, " ".join(sorted(names)).encode())
