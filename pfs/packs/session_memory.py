"""What a session sealed and still has in memory: if the pack is condemned, it is written again from there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pfs.ids import PackId
from pfs.packs.session_data import StagedRecord


class SealedFromMemory:
    """By pack, the ids of its pages, manifests and records, and its staged chunks; the session's lock guards it."""

    def __init__(self) -> None:
        self._packs: dict[PackId, tuple[list[bytes], list[StagedRecord]]] = {}

    def note(self, pack: PackId, ids: Sequence[bytes], records: Sequence[StagedRecord]) -> None:
        """Remember what a pack was made of."""
        self._packs[pack] = list(ids), list(records)

    def take(self, packs: Collection[PackId]) -> tuple[list[bytes], list[StagedRecord]]:
        """Return what these packs were made of, and forget it."""
        taken = [self._packs.pop(pack) for pack in list(self._packs) if pack in packs]
        return [id for ids, _ in taken for id in ids], [record for _, records in taken for record in records]

    def take_over(self, other: SealedFromMemory) -> None:
        """Remember what another session did too."""
        self._packs |= other._packs
